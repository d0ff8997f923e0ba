"""For the tests of the streaming job: clocks that are turned, a source told what to give, a sink that records."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import orjson
import pyarrow as pa
import pyarrow.compute as pc

from detectors.conform import Conformed
from detectors.order import with_at
from detectors.schema import DEAD_LETTER
from detectors.story_rows import MAX_IDS
from models.errors import SinkError, SourceError
from pipelines.engine import Engine, Given
from pipelines.graph import Plan
from pipelines.sinks.base import AMENDS, EXPECTED_FALSE
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
    """What was told last of each incident, as JSON data, without what only says which telling it is."""
    last = {incident["incident_id"]: incident for incident in incidents}
    found = orjson.loads(orjson.dumps(last, option=orjson.OPT_UTC_Z))
    return {
        name: {k: v for k, v in incident.items() if k not in ("revision", AMENDS, EXPECTED_FALSE)}
        for name, incident in found.items()
    }


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


def play_late(
    plan: Plan, batches: Sequence[pa.RecordBatch], lateness_us: int, shards: int = 1, *, restarts: bool = False
) -> tuple[Given, list[pa.RecordBatch], dict[str, int]]:
    """All batches, an advance behind each, and the end; also what of each batch came in time, and the counts."""
    engine, whole, in_time = Engine(plan, shards=shards, lateness_us=lateness_us), Given(), []

    def take(given: Given) -> None:
        whole.verdicts.extend(given.verdicts)
        whole.incidents.extend(given.incidents)

    for batch in batches:
        in_time.append(batch.filter(pa.array(completions(batch) >= engine.watermark_us)))
        engine.push("source", batch, None, 2**60)
        engine.polled("source", True, 2**60)
        take(engine.advance())
        if restarts:
            tables, marks = engine.snapshot(), engine.marks()
            engine = Engine(plan, shards=shards, lateness_us=lateness_us)
            engine.restore(tables, orjson.loads(orjson.dumps(marks)))
    take(engine.finish())
    return whole, in_time, engine.counts()


def check_late(
    verdicts: pa.Table, incidents: Sequence[Mapping[str, Any]], alone: Given, *, same_steps: bool = False
) -> set[str]:
    """Compare what is given with what is given where nothing comes late; says which invocations are late.

    Verdicts of what came in time are the same, and so is what is told last of incidents that no late row belongs to;
    with ``same_steps`` all that is told of them. The others have the same ids, and hold what they hold without late
    rows.
    """
    assert canonical(verdicts.filter(pc.invert(verdicts.column("late")))) == canonical(alone.verdicts)
    late = set(verdicts.filter(verdicts.column("late")).column("invocation_id").to_pylist())
    assert len({identity(incident) for incident in incidents}) == len(incidents)
    mine, theirs = last_told(incidents), last_told(alone.incidents)
    assert len(theirs) > 2
    assert theirs.keys() <= mine.keys()
    for name, told in mine.items():
        found = told["invocation_ids"]
        if name not in theirs:
            assert found
            assert late.issuperset(found)
        elif late.isdisjoint(found):
            assert told == theirs[name]
            assert not same_steps or _tellings(incidents, name) == _tellings(alone.incidents, name)
        else:
            in_time = [one for one in found if one not in late]
            # they are the first that came, so late ones take the places of others
            assert in_time == theirs[name]["invocation_ids"][: None if len(found) < MAX_IDS else len(in_time)]
            assert told["opened"] == theirs[name]["opened"]
    return late


def _tellings(incidents: Sequence[Mapping[str, Any]], name: str) -> list[Mapping[str, Any]]:
    return [incident for incident in incidents if incident["incident_id"] == name]


def table_of(batches: Sequence[pa.RecordBatch]) -> pa.Table:
    return pa.concat_tables([pa.Table.from_batches([batch]) for batch in batches])
