"""Orders, and what follows them: runs from which it is learned who follows whom."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from models.downstream import Downstream
from models.operation_log import OperationLog

SECOND = 1_000_000
MINUTE = 60 * SECOND
HOUR = 60 * MINUTE
DAY = 24 * HOUR
NAMES = [("shop", "Order", "http"), ("pay", "Charge", "queue"), ("shop", "Return", "http"), ("mail", "Send", "queue")]
ORDER, CHARGE, RETURN, SEND = range(4)
#: operation, function, when it began and ended, us, and whether it went well
Run = tuple[int, int, int, int, bool]


def learned(runs: Sequence[Run], most: int = 2_000_000) -> Downstream:
    log = OperationLog(most)
    runs = sorted(runs, key=lambda run: run[3])
    for part in (runs[: len(runs) // 2], runs[len(runs) // 2 :]):
        operation, function, begun, ended, good = (np.array(column) for column in zip(*part, strict=True))
        log.update(operation.astype(np.uint64), function, begun, ended, np.ones(len(part)), good.astype(bool))
    return log.learn(NAMES)


def orders(
    days: int = 6,
    *,
    every: int = 20 * MINUTE,
    source: int = ORDER,
    follows: Callable[[int], Sequence[int]] = lambda _: (CHARGE,),
    delay: int = 5 * SECOND,
    well: bool = True,
    first: int = 1,
) -> list[Run]:
    """An order every now and then, what follows it, and when: after it began."""
    runs: list[Run] = []
    for number in range(days * DAY // every):
        operation, begun = first + number, number * every
        runs.append((operation, source, begun, begun + SECOND, well))
        runs += [(operation, one, begun + delay, begun + delay + SECOND, True) for one in follows(number)]
    return runs


def without(runs: Sequence[Run], function: int, begin: int, end: int) -> list[Run]:
    return [run for run in runs if run[1] != function or not begin <= run[2] < end]
