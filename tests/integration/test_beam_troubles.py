"""The real runners of Beam in trouble: late rows, another version, and what is down for an hour."""

from __future__ import annotations

import datetime as dt
import random
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

from detectors.conform import conform_json
from detectors.order import with_at
from models.errors import SourceError
from pipelines import stream_outputs, stream_source
from pipelines.announced import Announced
from pipelines.champion import Champion
from pipelines.engine import Engine
from pipelines.sinks import fanout
from pipelines.sinks.base import DeliveryError
from pipelines.sinks.fanout import Sinks
from pipelines.sources.base import Polled
from pipelines.stream_job import run
from pipelines.stream_timeline import JUDGED_BY
from pipelines.workflows import plan_for
from tests.integration.on_beam import BUDGET, LINES, Piecewise, feeds, job, outcome, told
from tests.pipelines.incidents import Clock
from tests.pipelines.live import (
    check_late,
    identity,
    last_told,
    play,
    play_late,
)
from tests.pipelines.test_watch import another, copied

pytestmark = pytest.mark.integration

MINUTE = 60_000_000


def test_of_rows_beyond_the_lateness_the_late_alone_differ_and_are_marked(runner, lines, model, tmp_path, monkeypatch):
    rows = conform_json([line.encode() for line in lines], "logs", 0).rows
    rows = rows.filter(pc.equal(rows.column("record"), "invocation"))
    minutes = random.Random(9)
    arrival = [at + minutes.choice([0, 0, 0, 4, 90]) * MINUTE for at in with_at(rows).column("at").to_pylist()]
    rows = rows.take(pa.array(sorted(range(rows.num_rows), key=arrival.__getitem__)))
    pieces = [rows.slice(start, LINES // 20) for start in range(0, rows.num_rows, LINES // 20)]

    feeds(monkeypatch, partial(Piecewise, pieces))
    name, words = runner
    plan = plan_for(model, BUDGET)
    live = replace(job(tmp_path, lateness_us=5 * MINUTE), sources=("fed:day",))
    ended, counted = run(live, replace(plan, shards=2), name, words)
    assert ended
    judged = pq.read_table(tmp_path / "verdicts")
    in_time = judged.filter(pc.invert(judged["late"]))["invocation_id"]
    punctual = rows.filter(pc.is_in(rows.column("invocation_id"), in_time))
    late = check_late(judged, told(tmp_path / "incidents.ndjson"), play(Engine(plan), [punctual]))
    assert counted["late_function"] == len(late) == rows.num_rows - punctual.num_rows > 100
    # the embedded engine takes the same rows for late; what it knew by the time each came may differ
    _, taken, _ = play_late(plan, pieces, 5 * MINUTE)
    assert sorted(in_time.to_pylist()) == sorted(name for batch in taken for name in batch["invocation_id"].to_pylist())


def test_a_version_promoted_while_it_runs_judges_from_there_on_and_nothing_is_lost(
    runner, lines, models, tmp_path, monkeypatch
):
    registry = copied(models, tmp_path / "models")
    first, second = registry.resolve(), another(registry)
    rows = conform_json([line.encode() for line in lines[:2_000]], "logs", 0).rows
    pieces = [rows.slice(start, 100) for start in range(0, rows.num_rows, 100)]

    class Promoting(Piecewise):
        def poll(self, now: dt.datetime) -> Iterator[Polled]:
            yield from super().poll(now)
            if self._given == len(pieces) // 2 and registry.resolve() == first:
                registry.promote(second, who="test", why="better")

    feeds(monkeypatch, partial(Promoting, pieces))
    followed = Announced(str(tmp_path / "models"), BUDGET, None, 0.0, first)
    plan = replace(Champion(followed.models, BUDGET).load(first).plan, announced=followed, shards=2)
    name, words = runner
    live = replace(job(tmp_path, announced=followed, lateness_us=0), sources=("fed:day",))
    ended, counted = run(live, plan, name, words)
    assert ended
    judged = pq.read_table(tmp_path / "verdicts").sort_by("event_time")
    assert counted["invocations"] == judged.num_rows == len(set(judged["invocation_id"].to_pylist())) == 2_000
    by = judged["model_version"].to_pylist()
    assert set(by[:500]) == {first}
    assert set(by[-500:]) == {second}
    assert {name: counted[f"{JUDGED_BY}{name}"] for name in (first, second)} == Counter(by)


def test_a_source_that_is_down_for_an_hour_is_caught_up_with_and_nothing_is_late(
    runner, lines, expected, model, tmp_path, monkeypatch
):
    rows = conform_json([line.encode() for line in lines], "logs", 0).rows
    pieces = [rows.slice(start, LINES // 80) for start in range(0, rows.num_rows, LINES // 80)]
    clock, failures = Clock(0.0), Counter[int]()

    class Down(Piecewise):
        """The clock goes with the rows; at the fortieth piece the source fails once a minute, for an hour."""

        def poll(self, now: dt.datetime) -> Iterator[Polled]:
            if self._given == 40 and failures[40] < 60:
                failures[40] += 1
                clock.sleep(60.0)
                raise SourceError("Down.", retry=True)
            for piece in super().poll(now):
                clock.now = max(clock.now, max(with_at(piece.conformed.rows).column("at").to_pylist()) / 1e6)
                yield piece

    feeds(monkeypatch, partial(Down, pieces))
    monkeypatch.setattr(stream_source, "_now", lambda: dt.datetime.fromtimestamp(clock.now, dt.timezone.utc))
    monkeypatch.setattr(stream_source, "FAILED_S", 0.1)
    name, words = runner
    # a minute's silence would move the watermark, and an hour's make all that follows late, if failing were silence
    live = replace(job(tmp_path, lateness_us=5 * MINUTE, idle_us=MINUTE), sources=("fed:day",))
    ended, counted = run(live, plan_for(model, BUDGET), name, words)
    assert ended
    assert failures[40] == 60
    assert (counted["invocations"], counted.get("late_function", 0)) == (LINES, 0)
    assert outcome(tmp_path) == expected


class Switched:
    """A sink that is down until it is switched on; what it got, and how often it was asked while it was down."""

    def __init__(self, *, up: bool) -> None:
        self.up, self.refused = up, 0
        self.got: list[dict[str, Any]] = []

    def send(self, incidents: Any) -> None:
        if not self.up:
            self.refused += 1
            raise DeliveryError("down", retry=True)
        self.got += incidents

    def close(self) -> None:
        """Nothing is open."""


def test_a_sink_that_is_down_for_an_hour_gets_all_of_it_after_and_the_others_theirs_meanwhile(
    runner, lines, expected, model, tmp_path, monkeypatch
):
    rows = conform_json([line.encode() for line in lines], "logs", 0).rows
    pieces = [rows.slice(start, LINES // 80) for start in range(0, rows.num_rows, LINES // 80)]
    clock, dead, alive, meanwhile = Clock(), Switched(up=False), Switched(up=True), []

    class Hour(Piecewise):
        """A minute passes with each piece; after sixty, when the other sink was told of some, this one is up."""

        def poll(self, now: dt.datetime) -> Iterator[Polled]:
            if self._given == 60 and not dead.up:
                if len(alive.got) < 3:
                    return
                meanwhile.extend([*dead.got, None, *alive.got])
                dead.up = True
            clock.sleep(60.0)
            yield from super().poll(now)

    def opened(uris: Any, folder: Path) -> Sinks:
        return Sinks({"dead": dead, "alive": alive}, folder, clock=clock, rng=random.Random(1))

    feeds(monkeypatch, partial(Hour, pieces))
    monkeypatch.setattr(stream_outputs, "open_sinks", opened)
    # a turned clock wakes nobody, so that they look at it often
    monkeypatch.setattr(fanout, "_LOOK_AROUND_S", 0.1)
    name, words = runner
    live = replace(job(tmp_path, lateness_us=5 * MINUTE), sources=("fed:day",))
    ended, counted = run(live, plan_for(model, BUDGET), name, words)
    assert ended
    assert meanwhile[0] is None
    assert len(meanwhile) > 3
    # it was asked, and left alone longer and longer
    assert 0 < dead.refused < 60
    assert [identity(one) for one in dead.got] == [identity(one) for one in alive.got]
    assert len({identity(one) for one in dead.got}) == len(dead.got) == counted["tellings"]
    assert last_told(dead.got) == expected[1]
