"""The whole job as a Beam pipeline, on the runner for bounded input: good enough for a source that ends."""

from __future__ import annotations

import itertools
import json
import threading
from dataclasses import replace
from pathlib import Path
from typing import Any

import apache_beam as beam
import grpc
import pyarrow.parquet as pq
import pytest
from apache_beam.options.pipeline_options import PipelineOptions

from detectors.model import Model
from detectors.schema import INVOCATION
from models.errors import InputError, LonetreeError
from pipelines import stream_job
from pipelines.jobs import account_of
from pipelines.sources import uri
from pipelines.stations import ENDED
from pipelines.stream_job import SILENT_S, Pulse, StreamJob, build, ends_of, run
from pipelines.stream_source import LAG, LiveOptions
from pipelines.workflows import plan_for
from tests.pipelines.live import Fed, canonical, last_told
from tests.pipelines.test_parity_stream import calls, expected, plan

__all__ = ["calls", "expected", "plan"]

LIVE = LiveOptions(lateness_us=0, idle_us=None, until_idle_s=0.0, message_rows=100)


def job(folder: Path, **more: Any) -> StreamJob:
    sink = f"ndjson:{folder / 'incidents.ndjson'}"
    return replace(StreamJob(("fed:a",), (sink,), folder / "state", folder, "all", LIVE), **more)


@pytest.fixture
def fed(calls: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = calls.select(INVOCATION.names)
    pieces = [whole.slice(start, 50) for start in range(0, whole.num_rows, 50)]

    def opened(target: str, options: Any, cursor: Any, path: Path, conform: Any) -> Fed:
        return Fed(pieces, cursor)

    monkeypatch.setitem(uri._KINDS, "fed", (opened, ()))


def test_from_the_source_to_files_and_sinks_it_gives_what_a_replay_gives(fed, plan, expected, tmp_path):
    options = PipelineOptions(["--runner=apache_beam.runners.portability.fn_api_runner.FnApiRunner"])
    pipeline = beam.Pipeline(options=options)
    marks = tmp_path / "marks"
    marks.mkdir()
    build(pipeline, job(tmp_path, marks=marks), replace(plan, shards=2))
    result = pipeline.run()
    found = stream_job._counters(result)
    assert [name for name in found if name.startswith(LAG)] == [f"{LAG}{uri.source_name('fed:a')}"]
    verdicts, _ = expected
    assert canonical(pq.read_table(tmp_path / "verdicts")) == verdicts
    tellings = [json.loads(line) for line in (tmp_path / "incidents.ndjson").read_text().splitlines()]
    assert len(last_told(tellings)) == found["incidents"] > 0
    assert len(tellings) == found["tellings"]
    told = {name.removeprefix(ENDED): count for name, count in found.items() if name.startswith(ENDED)}
    assert told == ends_of(job(tmp_path), replace(plan, shards=2))
    assert {path.name for path in marks.iterdir()} == {"dead-letter", "verdicts", "sinks"}
    account = account_of(stream_job._plain(found))
    assert account["read"] == account["scored"] == len(verdicts)
    assert account["late"] == 0
    assert not [name for name in account if name.startswith(ENDED)]


def test_parts_and_outboxes_have_their_places_and_names_that_stay(tmp_path):
    one, other = job(tmp_path), job(tmp_path / "elsewhere", sources=("fed:b",))
    assert one.name == job(tmp_path / "elsewhere").name != other.name


def test_a_job_writes_and_sends_only_what_is_asked_for(plan, tmp_path):
    ends = ends_of(job(tmp_path, output=None, sinks=()), plan)
    assert set(ends) == {"sources", "function", "caller", "incident", "dead-letter"}


def test_a_runner_that_can_not_stream_is_refused(plan, tmp_path):
    with pytest.raises(InputError, match="can't stream"):
        run(job(tmp_path), plan, "FnApiRunner")


class Ran:
    """A pipeline's result as a runner gives it."""

    def __init__(self, failure: Exception | None = None, *, ends: bool = True) -> None:
        self._failure, self._over = failure, threading.Event()
        self.cancelled = False
        if ends:
            self._over.set()

    def wait_until_finish(self) -> None:
        self._over.wait()
        if self._failure is not None:
            raise self._failure

    def cancel(self) -> None:
        self.cancelled = True
        self._over.set()

    def metrics(self) -> Any:
        raise ValueError("it has gone")


@pytest.fixture
def ran(monkeypatch: pytest.MonkeyPatch) -> Any:
    def to(result: Ran) -> Ran:
        monkeypatch.setattr(stream_job, "begin", lambda pipeline: result)
        return result

    return to


def test_a_runner_that_says_it_is_done_and_lost_messages_is_not_believed(fed, ran, model: Model, tmp_path):
    ran(Ran())
    with pytest.raises(LonetreeError, match="messages were lost") as lost:
        run(job(tmp_path), plan_for(model, 20.0), "PrismRunner")
    assert "sinks" in str(lost.value.received)


def test_where_counters_stay_torn_it_is_said(plan, tmp_path, monkeypatch, caplog):
    monkeypatch.setattr(stream_job, "COUNTERS_S", 0.0)
    monkeypatch.setattr(stream_job, "_counters", lambda result: {f"{ENDED}sources": 1})
    assert stream_job._counters_with_all(None, job(tmp_path, sinks=()), plan) == {f"{ENDED}sources": 1}
    assert "not told all that was counted: nothing of the end of function, caller" in caplog.text


def test_what_ended_the_pipeline_is_told(fed, ran, model: Model, tmp_path):
    ran(Ran(RuntimeError("a worker died")))
    with pytest.raises(RuntimeError, match="a worker died"):
        run(job(tmp_path), plan_for(model, 20.0), "PrismRunner")


class Gone(grpc.RpcError):
    def details(self) -> str:
        return "Socket closed"


def test_a_runner_that_died_is_told_as_that(fed, ran, model: Model, tmp_path):
    ran(Ran(Gone()))
    with pytest.raises(LonetreeError, match="has gone") as gone:
        run(job(tmp_path), plan_for(model, 20.0), "PrismRunner")
    assert (gone.value.received, gone.value.retry) == ("Socket closed", True)


def test_a_job_whose_workers_are_gone_is_told_and_ends_though_the_runner_waits(
    fed, ran, model: Model, tmp_path, monkeypatch
):
    counts = itertools.chain([{}, {"polls": 3}, {"polls": 4}], itertools.repeat({"polls": 4}))
    monkeypatch.setattr(stream_job, "_counters", lambda result: next(counts))
    for name, seconds in (("TELL_S", 0.0), ("SILENT_S", 0.0), ("_LOOK_S", 0.001)):
        monkeypatch.setattr(stream_job, name, seconds)
    result = ran(Ran(ends=False))
    forever = replace(job(tmp_path), live=LiveOptions())
    with pytest.raises(LonetreeError, match="no worker any more") as gone:
        run(forever, plan_for(model, 20.0), "PrismRunner")
    assert gone.value.retry
    assert result.cancelled
    assert next(counts) == {"polls": 4}


def test_a_durable_runner_that_never_ends_is_ended_when_all_that_writes_has_heard_the_end(
    fed, ran, model: Model, tmp_path, monkeypatch
):
    seen: list[Path] = []

    def marked(pipeline: Any, job: StreamJob, plan: Any) -> None:
        assert job.marks is not None
        seen.append(job.marks)
        for name in ("dead-letter", "verdicts", "sinks"):
            (job.marks / name).touch()

    few = {"read": 7, "ended_function": 1}
    all_of_it = {"read": 9, "ended_function": 8, "ended_caller": 8}
    all_of_it |= dict.fromkeys(("ended_incident", "ended_dead-letter", "ended_verdicts", "ended_sinks"), 1)
    # as a runner tells that is asked step by step: the source as it was a moment before the others
    torn = {name: count for name, count in all_of_it.items() if name != "read"}
    counts = iter([few, torn, {**all_of_it, "ended_sources": 1}])
    monkeypatch.setattr(stream_job, "_counters", lambda result: next(counts))
    monkeypatch.setattr(stream_job, "build", marked)
    monkeypatch.setattr(stream_job, "_LOOK_S", 0.001)
    result = ran(Ran(ends=False))
    assert run(job(tmp_path), plan_for(model, 20.0), "FlinkRunner") == (True, {"read": 9})
    assert result.cancelled
    assert not seen[0].exists()


def test_a_durable_runner_sees_to_its_workers_itself(fed, ran, model: Model, tmp_path, monkeypatch):
    stop, looks = threading.Event(), itertools.count()

    def counters(result: Ran) -> dict[str, int]:
        if next(looks) == 20:
            stop.set()
        return {"polls": min(next(looks), 7)}

    monkeypatch.setattr(stream_job, "_counters", counters)
    for name, seconds in (("TELL_S", 0.0), ("SILENT_S", 0.0), ("_LOOK_S", 0.001)):
        monkeypatch.setattr(stream_job, name, seconds)
    ran(Ran(ends=False))
    forever = replace(job(tmp_path), live=LiveOptions())
    ended, _ = run(forever, plan_for(model, 20.0), "FlinkRunner", stop=stop)
    assert not ended


def test_counts_that_a_runner_does_not_tell_or_tells_seldom_are_no_sign_of_death():
    pulse = Pulse(0.0)
    assert pulse.beats(0, 10_000.0)
    assert pulse.beats(7, 20_000.0)
    assert pulse.beats(7, 30_000.0)
    assert pulse.beats(9, 40_000.0)
    assert pulse.beats(9, 40_000.0 + SILENT_S - 1.0)
    # a runner that does not answer says 0
    assert pulse.beats(0, 40_000.0 + SILENT_S - 0.5)
    assert not pulse.beats(0, 40_000.0 + SILENT_S)
    assert pulse.beats(10, 50_000.0)


def test_told_to_stop_it_cancels_the_pipeline(fed, ran, model: Model, tmp_path):
    result = ran(Ran(ends=False))
    stop = threading.Event()
    stop.set()
    assert run(job(tmp_path), plan_for(model, 20.0), "PrismRunner", stop=stop) == (False, {})
    assert result.cancelled


def test_only_an_account_of_all_there_was_must_add_up(caplog):
    counted = {"read": 3, "invocations": 2}
    assert account_of(counted, whole=False)["scored"] == 2
    assert not caplog.records
    account_of(counted)
    assert "does not add up" in caplog.text
