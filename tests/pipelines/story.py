"""One story from end to end: train, promote, feedback, retrain, compare, promote, roll back; all by commands."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from click.testing import CliRunner

from pipelines.cli.group import lonetree


def run(*words: str) -> str:
    done = CliRunner().invoke(lonetree, [str(word) for word in words], catch_exceptions=False)
    assert done.exit_code == 0, done.output
    return done.stdout


def ask(*words: str) -> Any:
    return json.loads(run(*words, "--json"))


def story(models: str, some: list[str], everything: list[str], logs: str, tmp_path: Path) -> None:
    """Tell it.

    Args:
        models: where the registry is to be.
        some: logs to learn from at first.
        everything: logs to learn from in the end.
        logs: logs to judge, and to learn from in the end.
        tmp_path: for outputs.
    """
    # train on some: the first version becomes the champion
    first = ask("train", "--input", *some, "--models", models, "--note", "two days")["version"]
    assert [v["champion"] for v in ask("models", "list", "--models", models)["versions"]] == [True]

    # judge, and say what two of the incidents are
    before = ask("replay", "--input", logs, "--models", models, "--output", str(tmp_path / "one"), "--budget", "2")
    ids = [
        one["incident_id"]
        for one in sorted(before["incidents"], key=lambda one: -one["score"])
        if one["invocation_ids"]
    ]
    bad, expected = ids[0], ids[1]
    out = ["--output", str(tmp_path / "one"), "--models", models]
    said = ask("feedback", expected, *out, "--expected", "--scope", "function", "--why", "load test")
    ask("feedback", bad, *out, "--bad", "--why", "seen in the access logs")
    assert len(ask("feedback", "--models", models)["standing"]) == 2

    # the expected one is not told again, but counted and listed
    again = ask("replay", "--input", logs, "--models", models, "--output", str(tmp_path / "two"), "--budget", "2")
    assert expected not in [one["incident_id"] for one in again["incidents"]]
    assert expected in [one["incident_id"] for one in again["run"]["suppressed"]]
    assert len(again["incidents"]) + len(again["run"]["suppressed"]) == len(before["incidents"])
    assert again["run"]["scored"] == before["run"]["scored"]
    written = json.loads((tmp_path / "two" / "run.json").read_text())
    assert written["suppressed"][0]["feedback"] == said["id"]
    assert any("enableQueryStringTracing" in line for line in written["blind_spots"])

    # retrain on everything: what is bad is kept out, so that it is still found
    second = ask("train", "--input", *everything, logs, "--models", models, "--note", "with feedback")
    held = {row["incident_id"]: row["invocations"] for row in before["incidents"]}
    assert second["invocations"] <= second["run"]["scored"] - min(held[bad], 1000)

    assert [note for note in second["notes"] if "1 bad kept out" in note and "1 expected counted as normal" in note]

    # compare: the bad case is a regression test
    found = ask(
        "models", "compare", "champion", second["version"], "--input", logs, "--models", models, "--budget", "2"
    )
    assert (found["a"], found["b"]) == (first, second["version"])
    assert [(case["incident_id"], case["a"]) for case in found["regressions"]] == [(bad, "found")]
    assert all(one["reason"] for one in found["lost"] + found["gained"])

    # promote, then roll back; the log tells who, when and why
    run("models", "promote", second["version"], "--models", models, "--why", "holds August")
    assert champion(models) == second["version"]
    run("models", "rollback", "--models", models, "--why", "too many incidents")
    assert champion(models) == first

    # and take the expectation back
    ask("feedback", "--models", models, "--undo", said["id"])
    last = ask("replay", "--input", logs, "--models", models, "--output", str(tmp_path / "three"), "--budget", "2")
    assert last["incidents"] == before["incidents"]
    assert last["run"]["suppressed"] == []


def champion(models: str) -> str:
    return str(next(v["id"] for v in ask("models", "list", "--models", models)["versions"] if v["champion"]))
