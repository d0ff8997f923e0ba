"""For the tests of the streaming job: clocks that are turned, a source told what to give, a sink that records."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import orjson
import pyarrow as pa

from detectors.conform import Conformed
from detectors.order import with_at
from detectors.schema import DEAD_LETTER
from models.errors import SinkError, SourceError
from pipelines.engine import Engine, Given
from pipelines.sinks.fanout import SinkStatus
from pipelines.sources.base import Polled, from_microseconds, microseconds

SECOND = 1_000_000
#: columns of a verdict, without the mark of late rows
COLUMNS = ["invocation_id", "event_time", "score", "p_value", "anomalous", "incident_id", "reasons", "model_version"]


class Turned:
    """A clock that shows what it is told: called, the time of day; ``steady``, seconds that never go back."""

    def __init__(self, us: int) -> None:
        self.us = us
        self.steady_s = 0.0

    def __call__(self) -> dt.datetime:
        return from_microseconds(self.us)

    def steady(self) -> float:
        return self.steady_s

    def turn(self, seconds: float) -> None:
        self.us += round(seconds * SECOND)
        self.steady_s += seconds


class Fed:
    """A source that gives the pieces it was fed, each once; its cursor is how many."""

    def __init__(self, pieces: Sequence[pa.RecordBatch] = (), cursor: Mapping[str, Any] | None = None) -> None:
        self.pieces = list(pieces)
        self.given = int(cursor["given"]) if cursor is not None else 0
        self.down: SourceError | None = None
        self.failing = self.closed = False
        self.committed: list[Any] = []
        self.delay_us = 0
        self._idle = False

    def poll(self, now: dt.datetime) -> Iterator[Polled]:
        self._idle = False
        if self.down is not None:
            raise self.down
        if self.failing:
            return
        for number in range(self.given, len(self.pieces)):
            self.given = number + 1
            yield Polled(Conformed(self.pieces[number], no_letters(), 0), {"given": self.given}, None)
        self._idle = True
        empty = self.pieces[0].slice(0, 0) if self.pieces else None
        if empty is not None:
            yield Polled(Conformed(empty, no_letters(), 0), {"given": self.given}, microseconds(now) - self.delay_us)

    def commit(self, cursor: Any) -> None:
        self.committed.append(cursor)

    @property
    def idle(self) -> bool:
        return self._idle

    def close(self) -> None:
        self.closed = True


def no_letters() -> pa.RecordBatch:
    return pa.RecordBatch.from_pylist([], schema=DEAD_LETTER)


class Kept:
    """In the place of the sinks: keeps each identity once, as they do, also from start to start."""

    def __init__(self) -> None:
        self.got: list[dict[str, Any]] = []
        self.repeated = 0
        self.down = self.closed = False

    def send(self, incidents: Sequence[Mapping[str, Any]]) -> None:
        if self.down:
            raise SinkError("The outbox can't be written.", retry=True)
        for incident in incidents:
            if identity(incident) in {identity(one) for one in self.got}:
                self.repeated += 1
            else:
                self.got.append(dict(incident))

    def status(self) -> list[SinkStatus]:
        return []

    def close(self) -> None:
        self.closed = True


def identity(incident: Mapping[str, Any]) -> tuple[str, int]:
    return incident["incident_id"], incident["revision"]


def canonical(verdicts: Sequence[pa.RecordBatch] | pa.Table) -> list[dict[str, Any]]:
    """Verdicts in an order of their own."""
    tables = [verdicts] if isinstance(verdicts, pa.Table) else [pa.Table.from_batches([batch]) for batch in verdicts]
    rows = [row for table in tables for row in table.select(COLUMNS).to_pylist()]
    return sorted(rows, key=lambda row: (row["event_time"], row["invocation_id"]))


def last_told(incidents: Sequence[Mapping[str, Any]]) -> dict[str, dict[str, Any]]:
    """What was told last of each incident, as JSON data, without the number of the telling."""
    last = {incident["incident_id"]: incident for incident in incidents}
    found = orjson.loads(orjson.dumps(last, option=orjson.OPT_UTC_Z))
    return {name: {k: v for k, v in incident.items() if k != "revision"} for name, incident in found.items()}


def play(engine: Engine, batches: Sequence[pa.RecordBatch], now_us: int = 2**60) -> Given:
    """All batches, an advance behind each, and the end."""
    whole = Given()

    def take(given: Given) -> None:
        whole.verdicts.extend(given.verdicts)
        whole.incidents.extend(given.incidents)

    for batch in batches:
        engine.push("source", batch, None, now_us)
        engine.polled("source", True, now_us)
        take(engine.advance())
    take(engine.finish())
    return whole


def cut(rows: pa.RecordBatch, order: Any, size: int) -> list[pa.RecordBatch]:
    """The rows in an order, in batches of a size."""
    rows = rows.take(pa.array(order))
    return [rows.slice(start, size) for start in range(0, rows.num_rows, size)]


def completions(rows: pa.RecordBatch) -> Any:
    return with_at(rows).column("at").to_numpy()
