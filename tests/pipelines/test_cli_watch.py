"""``lonetree watch`` from the command line: what it refuses, how it ends, and what it says."""

from __future__ import annotations

import json
import os
import signal
import threading
import urllib.request
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from models.errors import InputError, SourceError
from pipelines import stream_job
from pipelines.cli.entry import run
from pipelines.cli.failures import ExitCode
from pipelines.cli.watch import _stopping
from pipelines.cli.watch import run as rounds
from pipelines.serve import Served
from pipelines.sources.tail import TailSource
from pipelines.sources.uri import check_source, open_sources, source_name

RECORD = {
    "Type": "AppRequests",
    "TimeGenerated": "2026-06-09T10:00:00.0000000Z",
    "Name": "Pay",
    "OperationName": "Pay",
    "Success": True,
    "ResultCode": "200",
    "DurationMs": 12.5,
    "AppRoleName": "shop",
    "ClientIP": "192.0.2.7",
    "SDKVersion": "azurefunctions: 4",
    "ItemCount": 1,
}


def log(folder: Path, count: int = 20) -> Path:
    folder.mkdir()
    lines = []
    for number in range(count):
        properties = {"InvocationId": f"00000000-0000-0000-0000-{number:012d}", "HttpMethod": "GET", "HttpPath": "pay"}
        lines.append(json.dumps({**RECORD, "Properties": properties}))
    (folder / "app.ndjson").write_text("\n".join([*lines, "{torn"]) + "\n")
    return folder


def words(tmp_path: Path, models: Path, *more: str) -> list[str]:
    return [
        "watch", "--source", f"files:{tmp_path / 'logs'}", "--models", str(models), "--state", str(tmp_path / "state"),
        "--sink", f"ndjson:{tmp_path / 'incidents.ndjson'}", "--output", str(tmp_path / "out"), *more,
    ]  # fmt: skip


def test_it_reads_what_there_is_and_ends_when_told_to(tmp_path, models, capsys):
    log(tmp_path / "logs")
    assert run(words(tmp_path, models, "--until-idle", "0", "--verdicts", "all")) == ExitCode.OK
    said = capsys.readouterr().err.splitlines()
    assert said[-1].startswith("All is judged: 21 records read, 20 scored, 0 duplicates, 1 dead letters, 0 late")
    shown = json.loads(said[-2])
    assert (shown["read"], shown["scored"], shown["dead_letter"], shown["healthy"]) == (21, 20, 1, True)
    (letters,) = (tmp_path / "out" / "dead-letter").iterdir()
    assert json.loads(letters.read_text())["raw"] == "{torn"
    assert len(list((tmp_path / "out" / "verdicts").iterdir())) == 1


def test_a_job_that_ended_is_not_gone_on_with(tmp_path, models, capsys):
    log(tmp_path / "logs")
    assert run(words(tmp_path, models, "--until-idle", "0")) == ExitCode.OK
    assert run(words(tmp_path, models, "--until-idle", "0")) == ExitCode.OK
    assert run(words(tmp_path, models)) == ExitCode.USAGE
    assert "This job has ended" in capsys.readouterr().err


@pytest.mark.parametrize(
    "more", [["--runner", "FnApiRunner"], ["--", "--runner=FnApiRunner"], ["--", "--runner", "DirectRunner"]]
)
def test_a_runner_that_cannot_stream_is_refused_with_the_reason(tmp_path, models, capsys, more):
    assert run([*words(tmp_path, models), *more]) == ExitCode.USAGE
    assert "can't stream: it holds results back until its input ends" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("more", "said"),
    [
        (["--runner", "FlinkRuner"], "No such runner"),
        (["--", "--flink_master=localhost:8081"], "mean nothing without one of its runners"),
        (["--runner", "PrismRunner", "--checkpoint-every", "5"], "docs/deploy.md"),
    ],
)
def test_options_that_would_say_nothing_are_refused(tmp_path, models, capsys, more, said):
    given = words(tmp_path, models)
    at = given.index("--source")
    assert run([*given[:at], *more, *given[at:]] if more[0] != "--" else [*given, *more]) == ExitCode.USAGE
    assert said in capsys.readouterr().err


class Ran:
    """A job on a runner as Beam shows it: it tells what it counted, and is over when it was looked at."""

    def __init__(self, look: Callable[[], bool]) -> None:
        self._look, self._over = look, threading.Event()

    def wait_until_finish(self) -> None:
        self._over.wait()

    def metrics(self) -> Ran:
        if self._look():
            self._over.set()
        return self

    def query(self, _filter: Any = None) -> dict[str, list[Any]]:
        counters = {"read": 21, "invocations": 20, "dead_letter": 1, "polls": 3}
        gauges = {"waiting_function_0": 7, "idle_files-0a": 1}
        return {
            "counters": [told_of(name, count) for name, count in counters.items()],
            "gauges": [told_of(name, SimpleNamespace(value=value)) for name, value in gauges.items()],
        }


def told_of(name: str, result: Any) -> Any:
    return SimpleNamespace(key=SimpleNamespace(metric=SimpleNamespace(namespace="lonetree", name=name)), result=result)


def test_a_job_on_a_runner_of_beam_is_seen_by_http_and_by_lines(tmp_path, models, capsys, monkeypatch):
    pytest.importorskip("prometheus_client")
    servers: list[Served] = []
    answers: dict[str, str] = {}

    class Listening(Served):
        def __init__(self, *words: Any) -> None:
            super().__init__(*words)
            servers.append(self)

    def look() -> bool:
        if not answers:
            answers["none"] = "before the first look"
            return False
        for path in ("healthz", "metrics"):
            with urllib.request.urlopen(f"http://127.0.0.1:{servers[0].port}/{path}") as answer:
                answers[path] = answer.read().decode()
        return True

    monkeypatch.setattr("pipelines.serve.Served", Listening)
    monkeypatch.setattr(stream_job, "begin", lambda pipeline: Ran(look))
    monkeypatch.setattr(stream_job, "TELL_S", 0.0)
    monkeypatch.setattr(stream_job, "_LOOK_S", 0.001)
    log(tmp_path / "logs")
    given = words(tmp_path, models, "--runner", "PrismRunner", "--http", "0")
    assert run(given) == ExitCode.OK
    assert json.loads(answers["healthz"]) == {"healthy": True, "troubles": []}
    found = answers["metrics"].splitlines()
    assert {"lonetree_records_total 21.0", "lonetree_pending_rows 7.0", "lonetree_healthy 1.0"} <= {*found}
    assert not [line for line in found if "checkpoint" in line]
    said = capsys.readouterr().err.splitlines()
    shown = json.loads(said[-2])
    assert (shown["runner"], shown["read"], shown["scored"], shown["pending"]) == ("PrismRunner", 21, 20, 7)
    assert shown["sources"] == {"files-0a": True}
    assert said[-1].startswith("All is judged: 21 records read, 20 scored")


@pytest.mark.parametrize(
    ("uri", "said"),
    [
        ("file:/logs", "did you mean files?"),
        ("files:", "lacks its target"),
        ("kafka:logs?grup=a", "did you mean group?"),
        ("azure-monitor:id?password=hunter2", "no such option"),
        ("/logs", "no known kind"),
    ],
)
def test_a_source_that_cannot_be_meant_is_refused_with_a_hint_and_no_secret(uri, said):
    with pytest.raises(InputError) as refused:
        check_source(uri)
    assert said in str(refused.value)
    assert "hunter2" not in str(refused.value)


@pytest.mark.parametrize("option", ["start=yesterday", "delay_s=-1", "delay_s=soon"])
def test_an_option_of_a_source_that_makes_no_sense_is_refused(tmp_path, option):
    with pytest.raises(InputError, match="no time"):
        open_sources([f"files:{tmp_path}?{option}"], {}, tmp_path / "cursors")


def test_a_source_named_twice_is_refused(tmp_path):
    with pytest.raises(InputError, match="named twice"):
        open_sources([f"files:{tmp_path}"] * 2, {}, tmp_path / "cursors")


def test_the_checkpoint_decides_where_a_source_begins_not_the_cursor_beside_it(tmp_path):
    uri = f"files:{tmp_path / 'logs'}"
    name = source_name(uri)
    (tmp_path / "cursors").mkdir()
    (tmp_path / "cursors" / f"{name}.json").write_text('{"kind": "tail", "frontier": "2099010100", "blobs": {}}')
    saved = {"kind": "tail", "frontier": "2026010100", "blobs": {}}
    (source,) = open_sources([uri], {name: saved}, tmp_path / "cursors").values()
    assert isinstance(source, TailSource)
    assert source._cursor()["frontier"] == "2026010100"
    (fresh,) = open_sources([uri], {}, tmp_path / "cursors").values()
    assert isinstance(fresh, TailSource)
    assert fresh._cursor()["frontier"] == ""


def test_a_registry_without_a_version_is_told(tmp_path, capsys):
    log(tmp_path / "logs")
    assert run(words(tmp_path, tmp_path / "none")) == ExitCode.MODEL
    assert "lonetree train" in capsys.readouterr().err


def test_a_budget_of_nothing_is_refused(tmp_path, models):
    assert run(words(tmp_path, models, "--budget", "0")) == ExitCode.USAGE


def test_sigterm_asks_for_an_end_and_a_second_one_takes_it():
    before = signal.getsignal(signal.SIGTERM)
    with _stopping() as stop:
        os.kill(os.getpid(), signal.SIGTERM)
        assert stop.wait(5.0)
        assert signal.getsignal(signal.SIGTERM) == before
    assert signal.getsignal(signal.SIGTERM) == before


class Rounds:
    """A job that only notes what it is told."""

    idle = True

    def __init__(self, stop: threading.Event, fails: Exception | None = None) -> None:
        self.stop_event, self.fails = stop, fails
        self.told: list[str] = []

    def round(self, stopping: Any) -> bool:
        self.told.append("round")
        if self.fails is not None:
            raise self.fails
        self.stop_event.set()
        return False

    def stop(self) -> None:
        self.told.append("stop")

    def end(self) -> None:
        self.told.append("end")

    def abandon(self) -> None:
        self.told.append("abandon")


class Shown:
    def look(self) -> None:
        pass


def test_told_to_stop_it_saves_and_does_not_end():
    stop = threading.Event()
    job = Rounds(stop)
    assert rounds(job, stop, Shown(), None) is False
    assert job.told == ["round", "stop"]


def test_with_nothing_more_to_read_it_ends():
    stop = threading.Event()
    job = Rounds(stop)
    assert rounds(job, stop, Shown(), 0.0) is True
    assert job.told == ["round", "end"]


def test_what_was_done_before_is_not_done_again():
    job = Rounds(threading.Event())
    assert rounds(job, threading.Event(), Shown(), None, done=True) is True
    assert job.told == ["stop"]


@pytest.mark.parametrize(("failure", "then"), [(SourceError("No rights."), "stop"), (ValueError("a fault"), "abandon")])
def test_where_a_person_must_act_it_saves_and_after_a_fault_it_keeps_the_last_checkpoint(failure, then):
    stop = threading.Event()
    job = Rounds(stop, fails=failure)
    with pytest.raises(type(failure)):
        rounds(job, stop, Shown(), None)
    assert job.told == ["round", then]
