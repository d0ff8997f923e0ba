"""An estate that logs thousands of invocations a second, as it happens: days of it to learn from, and a live log.

As a program it writes the live log, at a rate, with trouble planted in it at known times:

    python tests/benchmarks/stream_load.py FOLDER --rate 5000 --seconds 600
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, BinaryIO, Final

import numpy as np
import numpy.typing as npt

from detectors.caller_kernel import C_SETTLED, C_SETTLED_FAILED, C_SETTLED_REFUSED
from detectors.function_features import from_matrix, matrix
from detectors.function_kernel import P_SETTLED, P_SETTLED_V
from detectors.model import Model

APPS: Final = 20
#: functions of an app; most answer HTTP, the others a queue
FUNCTIONS, QUEUED = 10, 2
#: clients of an app, each known by its address
CLIENTS: Final = 100
#: share of calls that are refused, and that fail
REFUSED, FAILED = 0.01, 0.003
#: rows to learn from, a day
TRAIN_ROWS: Final = 60_000
TRAIN_DAYS: Final = 3
DAY_S: Final = 86_400
#: how often lines are written, s
TICK_S: Final = 0.05
#: seconds of log in a file
FILE_S: Final = 60.0
#: s between two planted attacks, and requests of each
PLANT_EVERY_S, PLANT_REQUESTS = 2.0, 20
#: s that it goes on after the last attack, so that the watermark passes it
AFTER_S: Final = 15.0
#: the first attacker's number; all before are clients
CLIENT_AT: Final = APPS * CLIENTS + 10_000
#: what an attacker asks for
PROBES: Final = (
    "/api/items?id=1%27%20UNION%20SELECT%20password%20FROM%20users--",
    "/api/items?q=%3Cscript%3Ealert(1)%3C/script%3E",
    "/api/files?name=../../../../etc/passwd",
)

Vector = npt.NDArray[Any]


@dataclass(frozen=True)
class Calls:
    """Invocations by column, each of the length n."""

    #: float64[n], s since 1970: when each ended
    ended_s: Vector
    function: Vector
    client: Vector
    duration_ms: Vector
    status: Vector

    @classmethod
    def drawn(cls, rng: np.random.Generator, ended_s: Vector) -> Calls:
        """Normal life at some moments."""
        n = len(ended_s)
        function = rng.integers(0, APPS * FUNCTIONS, n)
        usual_ms = 20.0 * 1.03 ** (function % 97)
        luck = rng.random(n)
        return cls(
            ended_s,
            function,
            # a client keeps to one app
            function // FUNCTIONS * CLIENTS + rng.integers(0, CLIENTS, n),
            usual_ms * np.exp(0.3 * rng.standard_normal(n)),
            np.where(luck < FAILED, 500, np.where(luck < FAILED + REFUSED, 404, 200)),
        )


def names(function: int) -> tuple[str, str, bool]:
    """App and name of a function, and whether it answers HTTP."""
    number = function % FUNCTIONS
    return f"load-{function // FUNCTIONS:02d}", f"Work{number}", number >= QUEUED


def address(client: int) -> str:
    """Where a client calls from."""
    return f"20.{client // 62_500 % 250}.{client // 250 % 250}.{client % 250 + 1}"


def lines(calls: Calls, first: int, *, path: str | None = None, client_at: int = 0) -> list[bytes]:
    """Records of AppRequests as JSON lines.

    Args:
        calls: what happened.
        first: number of the first; the ids follow from it.
        path: what was asked for; that of the function by default.
        client_at: added to the clients' numbers.
    """
    started = (calls.ended_s * 1e6 - calls.duration_ms * 1e3).astype(np.int64).astype("datetime64[us]")
    found = []
    for number, (start, function, client, ms, status) in enumerate(
        zip(np.datetime_as_string(started), calls.function.tolist(), calls.client.tolist(),
            calls.duration_ms.tolist(), calls.status.tolist(), strict=True), first,
    ):  # fmt: skip
        app, name, http = names(function)
        ok = "true" if status < 400 else "false"
        who = (
            f'"Url":"https://{app}.azurewebsites.net{path or "/api/" + name}",'
            f'"ClientIP":"{address(client + client_at)}","ClientCountryOrRegion":"Germany","ClientCity":"Berlin",'
            if http
            else '"ClientIP":"0.0.0.0",'
        )
        why = (
            f'"TriggerReason":"This function was programmatically called via the host APIs.","HttpMethod":"GET",'
            f'"HttpPath":"{path or "/api/" + name}"'
            if http
            else f'"TriggerReason":"New queue message detected on \'{name.lower()}\'."'
        )
        found.append(
            f'{{"TenantId":"7e57ab1e-0000-4000-8000-0000000010e7","TimeGenerated":"{start}0Z","Id":"{number:016x}",'
            f'"Name":"{name}",{who}"Success":{ok},"ResultCode":"{status if http else 0}","DurationMs":{ms:.4f},'
            f'"PerformanceBucket":"<250ms","Properties":{{"InvocationId":"{invocation(number)}",'
            f'"FullName":"Functions.{name}",{why},"Category":"Host.Results","LogLevel":"Information",'
            f'"HostInstanceId":"878fde3f-4eed-5e28-19ae-{function:012x}","ProcessId":"4024",'
            f'"FunctionExecutionTimeMs":"{ms:.4f}"}},"OperationName":"{name}","OperationId":"{number:032x}",'
            f'"ParentId":"","AppRoleName":"{app}","AppRoleInstance":"{function:064x}","ClientType":"PC",'
            f'"ClientBrowser":"Other","ResourceGUID":"1beef000-0000-4000-8000-00000000feed",'
            f'"IKey":"1beef000-0000-4000-8000-00000000feed","SDKVersion":"azurefunctions: 4.1034.0.0","ItemCount":1,'
            f'"SourceSystem":"Azure","Type":"AppRequests","_ItemId":"e36f55d4-8e92-575a-6409-{number:012x}",'
            f'"_ResourceId":"/subscriptions/0a1b2c3d-0000-4000-8000-00000000a5e7/resourcegroups/rg-{app}/providers/'
            f'microsoft.insights/components/ai-{app}"}}\n'.encode()
        )
    return found


def invocation(number: int) -> str:
    """The id of an invocation."""
    return f"{number >> 32:08x}-0000-4000-8000-{number & 0xFFFFFFFF:012x}"


def number_of(invocation_id: str) -> int:
    """The inverse of ``invocation``."""
    return (int(invocation_id[:8], 16) << 32) | int(invocation_id[-12:], 16)


def write_training(folder: Path, until_s: float) -> float:
    """Some days of the estate, thinned, up to a moment; how many invocations a second they hold."""
    rng = np.random.default_rng(1)
    folder.mkdir(parents=True, exist_ok=True)
    for day in range(TRAIN_DAYS):
        ended = np.sort(until_s - (TRAIN_DAYS - day) * DAY_S + rng.random(TRAIN_ROWS) * DAY_S)
        with (folder / f"day-{day}.ndjson").open("wb") as file:
            file.writelines(lines(Calls.drawn(rng, ended), (1 << 40) + day * TRAIN_ROWS))
    return TRAIN_ROWS / DAY_S


def thickened(model: Model, factor: float) -> Model:
    """A model of thinned logs as it would be of logs with so many times the invocations.

    Days of thousands of events a second can't be trained on here, so what counts calls is multiplied: expected rates,
    what a silence must miss, and what clients did on the days before.
    """
    base = model.judge.baselines
    baselines = replace(base, rate=np.repeat(base.rate.mean(axis=1, keepdims=True), base.rate.shape[1], 1) * factor)
    state = dict(model.state)
    for name, columns in (
        ("function/pairs", (P_SETTLED, P_SETTLED_V)),
        ("caller/callers", (C_SETTLED, C_SETTLED_FAILED, C_SETTLED_REFUSED)),
    ):
        table = state[name]
        values = from_matrix(table.column("state")).copy()
        values[:, list(columns)] *= factor
        state[name] = table.set_column(table.column_names.index("state"), "state", matrix(values))
    hours = state["caller/callers"].column("settled_hours")
    place = state["caller/callers"].column_names.index("settled_hours")
    more = matrix((from_matrix(hours) * factor).astype(np.float32))
    state["caller/callers"] = state["caller/callers"].set_column(place, "settled_hours", more)
    judge = replace(model.judge, baselines=baselines)
    return replace(model, judge=judge, silence_nats=model.silence_nats * factor, state=state)


class Load:
    """A live log that grows; ``marks.ndjson`` beside its folder says when which invocations could be read.

    Args:
        folder: of the log's files.
        rate: invocations a second.
        began_s: s since 1970: the first moment.
        seconds: attacks are planted for so long.
        plant_every_s: between two attacks.
    """

    def __init__(
        self, folder: Path, rate: float, began_s: float, seconds: float, plant_every_s: float = PLANT_EVERY_S
    ) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._folder, self._rate, self._began, self._last = folder, rate, began_s, began_s
        self._seconds, self._plant_every_s = seconds, plant_every_s
        self._rng = np.random.default_rng(2)
        self.written = self.planted = 0
        self._file: BinaryIO | None = None
        self._opened = 0.0
        self._marks = (folder.parent / "marks.ndjson").open("w")

    def write(self, now_s: float, clock: Callable[[], float] = time.time) -> None:
        """What happened since the last call."""
        count = int((now_s - self._began) * self._rate) - self.written
        ended = np.sort(self._last + self._rng.random(count) * (now_s - self._last))
        found = lines(Calls.drawn(self._rng, ended), self.written)
        attacks, where = [], None
        if (self.planted + 1) * self._plant_every_s < min(now_s - self._began, self._seconds):
            attacks, where = attack(self._rng, self.planted, now_s)
            self.planted += 1
        if self._file is None or now_s - self._opened >= FILE_S:
            self._file = (self._folder / f"log-{now_s:.0f}.ndjson").open("ab", buffering=0)
            self._opened = now_s
        self._file.write(b"".join([*found, *attacks]))
        readable_s = clock()
        self.written += count
        mark = {"readable_s": readable_s, "next": self.written, "planted": self.planted, "where": where}
        self._marks.write(json.dumps(mark) + "\n")
        self._marks.flush()
        self._last = now_s


def run(folder: Path, rate: float, seconds: float) -> None:
    """Write the live log as it happens."""
    began = now = time.time()
    load = Load(folder, rate, began, seconds)
    while now < began + seconds + AFTER_S:
        time.sleep(max(now + TICK_S - time.time(), 0.0))
        now = time.time()
        load.write(now)


def attack(rng: np.random.Generator, number: int, now_s: float) -> tuple[list[bytes], dict[str, str]]:
    """Probes of one address that nobody knows, within a tick; and whose they are and at what."""
    function = int(rng.integers(0, APPS)) * FUNCTIONS + QUEUED
    n = PLANT_REQUESTS
    calls = Calls(
        now_s - TICK_S * (1.0 - np.arange(n) / n),
        np.full(n, function),
        np.full(n, number),
        20.0 + 5.0 * rng.random(n),
        np.full(n, 404),
    )
    found = []
    for i in range(n):
        one = Calls(*(column[i : i + 1] for column in vars(calls).values()))
        first = planted_number(number) + i
        found += lines(one, first, path=PROBES[i % len(PROBES)], client_at=CLIENT_AT)
    app, name, _ = names(function)
    return found, {"app": app, "function": name, "address": address(number + CLIENT_AT)}


def planted_number(attack_number: int) -> int:
    """Number of the first invocation of an attack."""
    return (1 << 41) + attack_number * PLANT_REQUESTS


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--rate", type=float, default=5_000.0)
    parser.add_argument("--seconds", type=float, default=600.0)
    options = parser.parse_args()
    run(options.folder, options.rate, options.seconds)
