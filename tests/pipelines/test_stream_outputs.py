"""Where a stream ends: each verdict in one file, each telling at the sinks once, whatever fails on the way."""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from detectors.incidents import INCIDENT
from detectors.timeline import END
from pipelines import part_files, stations, stream_outputs
from pipelines.messages import Message
from pipelines.sinks import fanout
from pipelines.sinks.base import DeliveryError
from pipelines.sinks.fanout import Sinks
from pipelines.stations import StationDoFn
from pipelines.stream_outputs import OUT, DeadLetterFiles, SinkStations, VerdictFiles, close_sinks
from pipelines.watch import WATCHED
from tests.pipelines.beam_state import Keyed
from tests.pipelines.incidents import Clock, Recorder

PLAIN: dict[str, Any] = {
    **dict.fromkeys(("app", "function", "trigger", "caller", "model_version"), ""),
    **{"p_value": 1.0, "reasons": [], "late": False},
}


def verdicts(numbers: range) -> pa.RecordBatch:
    rows = [
        {**PLAIN, "invocation_id": f"id-{n}", "event_time": n, "anomalous": n % 3 == 0, "score": float(n)}
        for n in numbers
    ]
    return pa.RecordBatch.from_pylist(rows, schema=WATCHED)


def said(count: int = 30) -> list[tuple[int, Message]]:
    messages = [Message("a", n, n, (verdicts(range(10 * n, 10 * n + 10)),)) for n in range(count)]
    return [(0, message) for message in [*messages, Message("a", count, END)]]


def written(folder: Path) -> list[str]:
    parts = sorted(folder.glob("*.parquet"))
    return sorted(name for part in parts for name in pq.read_table(part)["invocation_id"].to_pylist())


def play(step: Keyed, arriving: list[tuple[int, Message]], generator: random.Random) -> None:
    """Bundles of a few messages, of which some fail, on workers that change."""
    while arriving:
        size = generator.randrange(1, 4)
        bundle, arriving = arriving[:size], arriving[size:]
        if generator.random() < 0.3:
            step.bundle(bundle, fails=True)
        if generator.random() < 0.3:
            step.move()
        step.bundle(bundle)


@pytest.mark.parametrize("seed", range(4))
def test_each_verdict_stands_in_one_part_whatever_fails(tmp_path, monkeypatch, seed):
    monkeypatch.setattr(part_files, "PART_ROWS", 35)
    monkeypatch.setattr(stations, "LOG_BYTES", 20_000)
    step = Keyed(StationDoFn("verdicts", VerdictFiles(str(tmp_path), "job", "all", ("a",)), OUT))
    generator = random.Random(seed)
    arriving = said()
    # a runner may mix up what is near
    for start in range(0, len(arriving), 5):
        part = arriving[start : start + 5]
        generator.shuffle(part)
        arriving[start : start + 5] = part
    play(step, arriving, generator)
    assert written(tmp_path) == sorted(f"id-{n}" for n in range(300))
    assert len(list(tmp_path.iterdir())) > 3


def test_only_the_anomalous_are_written_unless_all_are_asked_for(tmp_path):
    step = Keyed(StationDoFn("verdicts", VerdictFiles(str(tmp_path), "job", "anomalous", ("a",)), OUT))
    step.bundle(said())
    assert written(tmp_path) == sorted(f"id-{n}" for n in range(0, 300, 3))


def test_a_job_begun_anew_replaces_what_one_of_its_name_wrote_and_nothing_else(tmp_path):
    for name in ("job", "other", "job"):
        made = VerdictFiles(str(tmp_path), name, "all", ("a",))
        Keyed(StationDoFn("verdicts", made, OUT)).bundle(said(3))
    assert written(tmp_path) == sorted([f"id-{n}" for n in range(30)] * 2)


def test_dead_letters_are_lines(tmp_path):
    letter = {"source": "s", "position": 3, "error": "torn", "raw": "{"}
    batch = pa.RecordBatch.from_pylist([letter])
    step = Keyed(StationDoFn("dead-letter", DeadLetterFiles(str(tmp_path), "job", ("a", "b")), OUT))
    step.bundle([(0, Message("a", 0, 1, (batch,))), (0, Message("a", 1, END))])
    assert list(tmp_path.iterdir()) == []
    step.bundle([(0, Message("b", 0, END))])
    (part,) = tmp_path.iterdir()
    assert json.loads(part.read_text()) == letter


def incident(name: str, revision: int, **more: Any) -> dict[str, Any]:
    return {"incident_id": name, "revision": revision, "closed": False, "title": "Failures", **more}


def told(tmp_path: Path) -> list[tuple[str, int]]:
    lines = (tmp_path / "incidents.ndjson").read_text().splitlines()
    return [(line["incident_id"], line["revision"]) for line in map(json.loads, lines)]


def test_how_sinks_are_is_told_from_the_first_message_on_so_that_what_waits_goes_on(tmp_path):
    made = SinkStations((f"ndjson:{tmp_path / 'incidents.ndjson'}",), str(tmp_path / "sinks"), ("a",))
    station = made.make(0)
    assert station.gauges() == {}
    station.take(Message("a", 0, 0))
    told = station.gauges()
    close_sinks(made.folder)
    assert {name.rpartition("_")[0]: value for name, value in told.items()} == {
        f"sink_{sign}": 0 for sign in ("waiting", "delivered", "refused", "lost", "failures")
    }


@pytest.mark.parametrize("seed", range(3))
def test_each_telling_reaches_the_sink_once_in_order_and_what_is_expected_does_not(tmp_path, monkeypatch, seed):
    monkeypatch.setattr(stations, "LOG_BYTES", 5_000)
    counted: dict[str, int] = {}

    class Counter:
        def __init__(self, name: str) -> None:
            self.name = name

        def inc(self, more: int) -> None:
            counted[self.name] = counted.get(self.name, 0) + more

    monkeypatch.setattr(stations.Metrics, "counter", lambda namespace, name: Counter(name))
    made = SinkStations((f"ndjson:{tmp_path / 'incidents.ndjson'}",), str(tmp_path / "sinks"), ("a",))
    step = Keyed(StationDoFn("sinks", made, OUT))
    rows = [[incident(f"LT-{n}", 1), incident(f"LT-{n}", 2, closed=True)] for n in range(12)]
    rows[3] = [incident("LT-3", 1, suppressed="expected by ann")]
    batches = [pa.RecordBatch.from_pylist(both, schema=INCIDENT) for both in rows]
    messages = [(0, Message("a", n, n, (batch,))) for n, batch in enumerate(batches)]
    for message in messages:
        if seed and random.Random(seed).random() < 0.5:
            # the machine dies: neither memory nor open outboxes are left
            step.bundle([message], fails=True)
            step.move()
            close_sinks(made.folder)
        step.bundle([message])
    step.bundle([(0, Message("a", 12, END))])
    expected = [(f"LT-{n}", revision) for n in range(12) if n != 3 for revision in (1, 3)]
    assert told(tmp_path) == expected
    # the end has waited for the sinks, and let go of their outboxes
    assert stream_outputs._SINKS == {}
    if seed == 0:
        assert (counted["incidents"], counted["tellings"], counted["suppressed"]) == (11, 22, 1)


def test_what_waits_for_a_dead_sink_outlives_the_machine_and_the_others_have_theirs(tmp_path, monkeypatch):
    """An hour without the sink, by a turned clock, and each ten minutes the machine dies."""
    clock, dead, alive = Clock(), Recorder([DeliveryError("down", retry=True)] * 1_000), Recorder()

    def opened(uris: Any, folder: Path) -> Sinks:
        return Sinks({"dead": dead, "alive": alive}, folder, clock=clock, rng=random.Random(1))

    monkeypatch.setattr(stream_outputs, "open_sinks", opened)
    monkeypatch.setattr(fanout, "_LOOK_AROUND_S", 0.01)
    made = SinkStations(("dead", "alive"), str(tmp_path / "sinks"), ("a",))
    step = Keyed(StationDoFn("sinks", made, OUT))
    for minute in range(60):
        batch = pa.RecordBatch.from_pylist([incident(f"LT-{minute}", 1)], schema=INCIDENT)
        message = [(0, Message("a", minute, minute, (batch,)))]
        if minute % 10 == 9:
            step.bundle(message, fails=True)
            step.move()
            close_sinks(made.folder, patience_s=0.0)
        step.bundle(message)
        clock.sleep(60.0)
    assert dead.got == []
    asked, dead.fails = dead.calls, []
    clock.sleep(300.0)
    step.bundle([(0, Message("a", 60, END))])
    assert 0 < asked < 60
    assert dead.got == alive.got == [f"LT-{minute}@1" for minute in range(60)]
