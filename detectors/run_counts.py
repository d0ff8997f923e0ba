"""Runs of functions that others follow, or that follow others, counted by spans of five minutes."""

from __future__ import annotations

from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from detectors.raised import raised_batch
from models.baselines import BIN_US
from models.downstream import Downstream
from models.hashing import hash_strings

Vector = npt.NDArray[Any]

#: what a count is called among the signals
RUNS: Final = "runs"
#: counts by number of function and span are added up in a table where it has at most so many cells for each run
_CELLS: Final = 4


class RunCounts:
    """Counts of spans that are not over yet.

    Args:
        known: who follows whom; of others nothing is counted.
    """

    def __init__(self, known: Downstream) -> None:
        self.known = known
        labels = [f"{RUNS}:{app}/{name}" for app, name in zip(known.apps, known.functions, strict=True)]
        names = (known.apps, known.functions, known.triggers, labels)
        self._names = [pa.array(texts, pa.string()) for texts in names]
        #: place of the function, span, runs, and those that did not fail; by place and span
        self._open: tuple[Vector, ...] = _NOTHING

    def add(self, key: Vector, at: Vector, weight: Vector, good: Vector) -> None:
        """Take runs.

        Args:
            key: uint64[n], hashes of their functions and apps.
            at: int64[n], when they ended, us.
            weight: float64[n], runs that each stands for.
            good: bool[n], whether it did not fail.
        """
        place = self.known.find(key)
        mine = np.flatnonzero(place >= 0)
        if not len(mine):
            return
        runs = (place[mine], at[mine] // BIN_US, weight[mine], weight[mine] * good[mine])
        self._open = _added(*(np.concatenate([held, more]) for held, more in zip(self._open, runs, strict=True)))

    def take(self, watermark_us: int) -> pa.RecordBatch | None:
        """RAISED rows of the spans that are over at a watermark; None where there are none."""
        place, span, runs, good = self._open
        over = (span + 1) * BIN_US < watermark_us
        if not over.any():
            return None
        self._open = tuple(column[~over] for column in self._open)
        known, ends = self.known, pa.array((span[over] + 1) * BIN_US)
        which = pa.array(place[over])
        app, function, trigger, label = (names.take(which) for names in self._names)
        columns = {
            "at": ends,
            "invocation_id": pc.binary_join_element_wise(label, ends.cast(pa.string()), "@"),
            "event_time": ends.cast(pa.timestamp("us", "UTC")),
            "app": app,
            "function": function,
            "trigger": trigger,
            "candidate": pa.repeat(True, len(ends)),
            "p_value": pa.repeat(1.0, len(ends)),
            "signal": pa.repeat(RUNS, len(ends)),
            "function_key": pa.array(known.keys[place[over]]),
            "runs": pa.array(runs[over]),
            "promised": pa.array(good[over]),
        }
        return raised_batch(columns, len(ends))

    def due(self) -> int | None:
        """The lowest watermark at which a span is over, us."""
        span = self._open[1]
        return (int(span.min()) + 1) * BIN_US + 1 if len(span) else None

    def snapshot(self) -> pa.Table:
        """Counts by names."""
        place, span, runs, good = self._open
        order = np.lexsort((span, place))
        apps, functions = (names.take(pa.array(place[order])) for names in self._names[:2])
        columns = {"span": span[order], "runs": runs[order], "good": good[order]}
        return pa.table({"app": apps, "function": functions, "app_key": hash_strings(apps), **columns})

    def restore(self, table: pa.Table) -> None:
        """Take over a snapshot, of this or of other followers: functions are found by name."""
        place = self.known.find_named(table)
        columns = (place, *(table.column(name).to_numpy() for name in ("span", "runs", "good")))
        self._open = tuple(column[place >= 0] for column in columns)


_NOTHING: Final = (np.zeros(0, np.int64), np.zeros(0, np.int64), np.zeros(0), np.zeros(0))


def _added(place: Vector, span: Vector, runs: Vector, good: Vector) -> tuple[Vector, ...]:
    """Counts of the same function and span added up, in the order in which they stand."""
    first, last = int(span.min()), int(span.max())
    width = last - first + 1
    code = place * width + (span - first)
    if (int(place.max()) + 1) * width <= _CELLS * len(code):
        seen = np.bincount(code)
        found = np.flatnonzero(seen)
        sums = (np.bincount(code, values)[found] for values in (runs, good))
    else:
        found, which = np.unique(code, return_inverse=True)
        sums = (np.bincount(which.reshape(-1), values) for values in (runs, good))
    return found // width, found % width + first, *sums


def went_well(succeeded: pa.Array, status: pa.Array) -> Vector:
    """bool[n]: neither failed nor was refused; what can be told of neither counts as well."""
    failed = np.asarray(succeeded.cast(pa.int8()).fill_null(1)) == 0
    good: Vector = ~failed & (np.asarray(status.fill_null(0)) < 400)
    return good
