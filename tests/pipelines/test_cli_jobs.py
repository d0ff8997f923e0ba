"""The commands hand on what was typed, and say what came of it."""

from __future__ import annotations

import json
import math
import os
import subprocess
import sys
from datetime import datetime, timezone
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest

from models.errors import InputError
from pipelines.cli.entry import run
from pipelines.cli.failures import DEBUG_VARIABLE
from pipelines.cli.simulate import clear_earlier

INCIDENT = {"incident_id": "3f9a1c0d", "severity": "high", "title": "Guessing", "score": 5.0, "p_value": 1e-5}
RUN = {"read": 1200, "scored": 1000, "duplicates": 150, "dead_letter": 50, "incidents": 1, "seconds": 2.0}


class Jobs(ModuleType):
    """Stands for pipelines.workflows: remembers how it was called."""

    def __init__(self) -> None:
        super().__init__("pipelines.workflows")
        self.asked: dict[str, Any] = {}

    def train(self, inputs: list[str], models: Path, **options: Any) -> Any:
        self.asked = {"inputs": inputs, "models": models, **options}
        options["progress"]("reading logs", 1, 2, "files")
        window = (datetime(2026, 10, 1, tzinfo=timezone.utc), datetime(2026, 10, 31, tzinfo=timezone.utc))
        return SimpleNamespace(
            version="v1",
            functions=40,
            invocations=3_000_000,
            window=window,
            expected=0.9,
            notes=["masked"],
            run={"read": 3_000_000, "dead_letter": 2, "blind_spots": ["98% of the calls have no identity."]},
        )

    def replay(self, inputs: list[str], models: Path, output: Path, **options: Any) -> Any:
        self.asked = {"inputs": inputs, "models": models, "output": output, **options}
        return SimpleNamespace(run=RUN, incidents=[INCIDENT])


@pytest.fixture
def jobs(monkeypatch: pytest.MonkeyPatch) -> Jobs:
    fake = Jobs()
    monkeypatch.setitem(sys.modules, "pipelines.workflows", fake)
    return fake


def test_train_hands_on_paths_registry_and_beam_options(jobs: Jobs, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["train", "--input", "a", "azfs://b/c", "--models", "m", "--note", "autumn", "--", "--runner=X"]) == 0
    assert jobs.asked["inputs"] == ["a", "azfs://b/c"]
    assert jobs.asked["models"] == Path("m")
    assert jobs.asked["note"] == "autumn"
    assert jobs.asked["beam_args"] == ["--runner=X"]
    shown = capsys.readouterr()
    assert "Version v1 in m: 40 functions from 3,000,000 invocations, 2026-10-01 to 2026-10-31." in shown.out
    assert "False incidents to be expected at --budget 1: about 0.9 a day.\n  (on days like" in shown.out
    assert "note: masked" in shown.out
    assert "note: 2 records could not be read; replay writes down which, and why." in shown.out
    assert "  - 98% of the calls have no identity." in shown.out
    assert "reading logs" in shown.err


def test_replay_hands_on_version_budget_and_verdicts(jobs: Jobs, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["--version", "v1", "--budget", "0.5", "--verdicts", "all"]
    assert run(["replay", "--input", "a", "--models", "m", "--output", "o", *words]) == 0
    asked = {name: jobs.asked[name] for name in ("output", "version", "budget", "verdicts")}
    assert asked == {"output": Path("o"), "version": "v1", "budget": 0.5, "verdicts": "all"}
    shown = capsys.readouterr().out
    assert "1,200 records read in 2.0 s: 1,000 scored, 150 duplicates, 50 dead letters." in shown
    assert "Which could not be read, and why: o/dead-letter" in shown
    assert "Guessing" in shown


def test_replay_says_what_the_logs_do_not_show(
    jobs: Jobs, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(RUN, "blind_spots", ["90% of the rows are sampled.", "strange \x1b[31m"])
    assert run(["replay", "--input", "a", "--models", "m", "--output", "o"]) == 0
    told = capsys.readouterr().out.partition("What these logs don't show")[2]
    assert "\n  - 90% of the rows are sampled.\n  - strange \\x1b[31m\n" in told


def test_replay_of_what_nobody_can_read_does_not_pass_for_good_news(
    jobs: Jobs, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    run_of_one = {
        "read": 1,
        "scored": 0,
        "duplicates": 0,
        "dead_letter": 1,
        "expected_false_per_day": 0.52,
        "budget": 1.0,
    }
    monkeypatch.setattr(jobs, "replay", lambda *_, **__: SimpleNamespace(run=run_of_one, incidents=[]))
    assert run(["replay", "--input", "a", "--models", "m", "--output", "o"]) == 0
    shown = capsys.readouterr().out
    assert "1 record read: 0 scored" in shown
    assert "note: nothing was judged" in shown
    assert (
        "False incidents to be expected at --budget 1: about 0.52 a day; a higher budget raises hardly anything more."
        in shown
    )


def test_replay_tells_a_program_all_in_one_document(jobs: Jobs, capsys: pytest.CaptureFixture[str]) -> None:
    run(["replay", "--input", "a", "--models", "m", "--output", "o", "--json"])
    assert json.loads(capsys.readouterr().out) == {"run": RUN, "incidents": [INCIDENT]}


def test_what_libraries_log_stays_off_the_screen_and_what_we_warn_of_is_shown() -> None:
    code = (
        "import logging; from pipelines.cli.quiet import quiet; quiet(); quiet();"
        "logging.warning('root'); logging.getLogger('apache_beam.runners').error('beam', exc_info=True);"
        "logging.getLogger('pipelines.jobs').warning('ours \\x1b[31m')"
    )
    environment = {name: value for name, value in os.environ.items() if name != DEBUG_VARIABLE}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, env=environment)
    assert done.stderr == "warning: ours \\x1b[31m\n"


@pytest.mark.parametrize(
    "words",
    [
        ["replay", "--input", "a", "--models", "m"],
        ["replay", "--input", "a", "--models", "m", "--output", "o", "--budget", "0"],
        ["replay", "--input", "a", "--models", "m", "--output", "o", "--verdicts", "some"],
        ["train", "--models", "m"],
        ["train", "--input", "a"],
        ["simulate"],
        ["simulate", "out", "--days", "0"],
        ["simulate", "out", "--clean", "--scenario", "silence"],
        ["simulate", "out", "--identity", "half"],
        ["evaluate", "--verdicts", "v"],
        ["models"],
        ["models", "list"],
    ],
    ids=" ".join,
)
def test_what_cannot_be_meant_is_a_usage_error(words: list[str], jobs: Jobs) -> None:
    assert run(words) == 2


def test_simulate_writes_labelled_logs_and_says_so(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["simulate", str(tmp_path), "--days", "2", "--scale", "0.02", "--scenario", "enumeration"]
    assert run([*words, "--json"]) == 0
    made = json.loads(capsys.readouterr().out)
    assert [one["kind"] for one in made["scenarios"]] == ["enumeration"]
    assert (tmp_path / "truth.parquet").is_file()
    assert run(words) == 0
    assert "enumeration" in capsys.readouterr().out


def test_a_new_sample_replaces_the_earlier_one(tmp_path: Path) -> None:
    def days() -> int:
        return len(list(tmp_path.glob("*/day=*")))

    assert run(["simulate", str(tmp_path), "--days", "3", "--scale", "0.02", "--clean"]) == 0
    assert days() == 3
    assert run(["simulate", str(tmp_path), "--days", "2", "--scale", "0.02", "--clean"]) == 0
    assert days() == 2


def test_simulate_leaves_foreign_files_alone(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    ours = tmp_path / "train" / "day=2026-01-01.parquet"
    ours.parent.mkdir()
    ours.write_text("not a sample's")
    assert run(["simulate", str(tmp_path), "--days", "2", "--scale", "0.02"]) == 2
    assert ours.read_text() == "not a sample's"
    assert "name another folder" in capsys.readouterr().err


def test_an_unknown_scenario_is_refused_with_the_known_ones(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["simulate", str(tmp_path), "--days", "2", "--scenario", "nonsense"]) == 2
    assert "enumeration" in capsys.readouterr().err


def test_the_demo_leaves_a_folder_alone_that_is_not_its_own(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "precious").write_text("mine")
    assert run(["demo", str(tmp_path)]) == 2
    assert (tmp_path / "precious").read_text() == "mine"
    assert "name another" in capsys.readouterr().err


def test_an_empty_registry_says_how_to_fill_it(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["models", "list", "--models", str(tmp_path)]) == 0
    assert "lonetree train" in capsys.readouterr().out
    assert run(["models", "show", "--models", str(tmp_path)]) == 3


def test_a_registry_is_listed_shown_and_rolled_back(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from models.bundle import encode_bundle
    from models.registry import Registry

    registry = Registry(tmp_path)
    names = [
        registry.add(
            encode_bundle(
                tables={},
                documents={"settings": {"seed": seed}},
                manifest={"training_window": {"start": "2026-10-01T00:00:00Z", "end": "2026-10-31T00:00:00Z"}},
            ),
            who="ada\x1b[31m",
            note=f"seed {seed}",
        )
        for seed in (1, 2)
    ]
    assert run(["models", "promote", names[1], "--models", str(tmp_path), "--why", "better"]) == 0
    assert run(["models", "list", "--models", str(tmp_path), "--json"]) == 0
    shown = capsys.readouterr().out
    listed = json.loads(shown[shown.index("{") :])["versions"]
    assert {one["id"]: one["champion"] for one in listed} == {names[0]: False, names[1]: True}
    assert run(["models", "rollback", "--models", str(tmp_path)]) == 0
    assert run(["models", "show", "--models", str(tmp_path)]) == 0
    assert run(["models", "list", "--models", str(tmp_path)]) == 0
    shown = capsys.readouterr().out
    assert f"{names[0]}, the champion" in shown
    assert "learned from" in shown
    assert "2026-10-01 00:00 to 2026-10-31 00:00 UTC" in shown
    assert "\x1b" not in shown
    assert registry.champion == names[0]


def test_evaluate_says_which_path_is_missing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["evaluate", "--verdicts", str(tmp_path), "--truth", str(tmp_path / "truth.parquet")]) == 2
    assert "truth.parquet does not exist" in capsys.readouterr().err


def written_by_replay(folder: Path) -> tuple[str, str]:
    """A replay's output with one true incident, and the truth: one kind found, one kind missed, one silence."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    from detectors.schema import TIMESTAMP

    count = 100
    (folder / "out" / "verdicts").mkdir(parents=True)
    table = pa.table(
        {
            "invocation_id": [f"i{n}" for n in range(count)],
            "event_time": pa.array([n * 600_000_000 for n in range(count)], TIMESTAMP),
            "trigger": ["http"] * count,
            "score": [5.0 if n < 4 else 0.5 for n in range(count)],
            "p_value": [1e-5 if n < 4 else 0.3 for n in range(count)],
            "anomalous": [n < 4 for n in range(count)],
        }
    )
    pq.write_table(table, folder / "out" / "verdicts" / "part-0.parquet")
    found = {**INCIDENT, "kind": "x", "opened": "1970-01-01T00:10:00Z", "invocation_ids": ["i0", "i1", "i2", "i3"]}
    (folder / "out" / "incidents.ndjson").write_text(json.dumps(found) + "\n")
    truth = {"InvocationId": ["i0", "i1", "i2", "i3", "i50"], "scenario": ["guessing"] * 4 + ["leak"]}
    pq.write_table(pa.table(truth), folder / "truth.parquet")
    silent = {"kind": "silence", "app": "a", "function": "f", "start": "1970-01-01T05:00:00Z"}
    (folder / "scenarios.json").write_text(json.dumps([{**silent, "end": "1970-01-01T06:00:00Z"}]))
    return str(folder / "out"), str(folder / "truth.parquet")


def test_evaluate_says_what_was_found_and_how_soon(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    output, truth = written_by_replay(tmp_path)
    assert run(["evaluate", "--verdicts", output, "--truth", truth]) == 0
    shown = capsys.readouterr().out
    assert "1 of 3 kinds found at 1 false incident a day." in shown
    assert "guessing  yes" in " ".join(shown.split("\n")).replace("   ", "  ")
    assert "10.0 min" in shown


@pytest.mark.parametrize("inside", ["", "/verdicts"])
def test_evaluate_takes_the_output_or_the_verdicts_in_it(
    inside: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    output, truth = written_by_replay(tmp_path)
    assert run(["evaluate", "--verdicts", output + inside, "--truth", truth, "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert {one["name"]: one["found"] for one in found["scenarios"]} == {
        "guessing": True,
        "leak": False,
        "silence": False,
    }


def test_the_demo_says_what_its_incidents_hold_and_what_they_miss(tmp_path: Path) -> None:
    from pipelines.cli.demo import verdict_on
    from pipelines.cli.evaluate import measure

    output, truth = written_by_replay(tmp_path)
    assert verdict_on(measure(Path(output), Path(truth), days=2, budget=math.inf)) == [
        "The incidents hold 1 of 3 planted attacks and faults; missed: leak, silence.",
        "1 incident about something planted, 0 about nothing planted (0 a day).",
    ]


@pytest.mark.slow  # it compiles what training needs
def test_an_error_in_a_worker_is_told_once_and_without_its_traceback(
    models: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def broken(*_: object) -> Any:
        raise InputError("The file went away.", expected="a file", received="nothing")

    monkeypatch.setattr("pipelines.steps.read", broken)
    monkeypatch.delenv(DEBUG_VARIABLE, raising=False)
    logs = tmp_path / "a.json"
    logs.write_text("{}\n")
    assert run(["replay", "--input", str(logs), "--models", str(models), "--output", str(tmp_path / "o")]) == 2
    told = capsys.readouterr().err
    assert "error: The file went away.\n  expected: a file\n  received: nothing\n" in told
    assert "Traceback" not in told


def test_a_sample_that_was_interrupted_can_be_made_again(tmp_path: Path) -> None:
    clear_earlier(tmp_path)
    day = tmp_path / "train" / "day=2026-06-06.parquet"
    day.parent.mkdir()
    day.touch()
    clear_earlier(tmp_path)
    assert not day.exists()


def test_a_sample_never_replaces_logs_that_no_sample_wrote(tmp_path: Path) -> None:
    day = tmp_path / "train" / "day=2026-06-06.parquet"
    day.parent.mkdir()
    day.touch()
    with pytest.raises(InputError, match="holds something else"):
        clear_earlier(tmp_path)
    assert day.exists()
