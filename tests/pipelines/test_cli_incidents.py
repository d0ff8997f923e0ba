"""Incidents as a person reads them, as a table and one by one."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipelines.cli.entry import run
from pipelines.cli.show import moment, number, odds, short_ids, some

INCIDENT: dict[str, Any] = {
    "incident_id": "3f9a1c0de5b7a001",
    "kind": "new-caller",
    "title": "A caller never seen before on checkout",
    "summary": "41 calls from an address never seen before, 38 refused; usual: 0.2 an hour",
    "severity": "high",
    "opened": "2026-11-03T14:05:00.123456Z",
    "first_event": "2026-11-03T14:02:00Z",
    "last_event": "2026-11-03T14:31:00Z",
    "apps": ["shop-api"],
    "functions": ["checkout"],
    "callers": ["address:203.0.113.7"],
    "invocations": 41,
    "invocation_ids": [f"i{n}" for n in range(41)],
    "score": 6.4,
    "p_value": 4e-7,
    "reasons": [{"feature": "caller_rate", "value": 82.0, "typical": 0.2, "share": 0.61}],
    "attack": ["T1110.003"],
    "runbook": ["Ask the owner of checkout.", "Block the address."],
    "model_version": "v0001",
}


def written(folder: Path, *incidents: dict[str, Any]) -> str:
    (folder / "incidents.ndjson").write_text("".join(json.dumps(one) + "\n" for one in incidents), encoding="utf-8")
    (folder / "run.json").write_text('{"read": 10}')
    return str(folder)


def test_the_table_says_when_how_bad_who_where_and_what(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["incidents", written(tmp_path, INCIDENT)]) == 0
    shown = capsys.readouterr().out
    told = ("3f9a1c0d", "2026-11-03 14:05", "high", "1 in 2.5 million", "203.0.113.7", "checkout", "41 calls")
    for part in (*told, INCIDENT["title"]):
        assert part in shown


def test_the_most_severe_come_first_and_the_rest_is_counted(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    low = {**INCIDENT, "severity": "low", "incident_id": "low-one-0"}
    run(["incidents", written(tmp_path, low, low | {"incident_id": "low-two-0"}, INCIDENT), "--limit", "1"])
    rows = capsys.readouterr().out.splitlines()
    assert rows[1].startswith("3f9a1c0d")
    assert rows[2] == "… and 2 more: --limit 3"


def test_one_incident_is_shown_from_all_sides(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["incidents", written(tmp_path, INCIDENT), "--id", "3f9a"]) == 0
    shown = capsys.readouterr().out
    for part in (INCIDENT["title"], INCIDENT["summary"], "shop-api", "T1110.003", "v0001", "caller rate", "61%"):
        assert part in shown
    assert "1. Ask the owner of checkout.\n  2. Block the address." in shown
    assert "i4 and 36 more" in shown


def test_one_incident_says_how_many_false_ones_are_to_be_expected_and_what_a_place_is(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = written(tmp_path, {**INCIDENT, "callers": ["geography:Finland/Uusimaa/Helsinki"]})
    run_of = {"read": 10, "budget": 1.0, "expected_false_per_day": 0.52, "blind_spots": ["98% of the HTTP calls …"]}
    (tmp_path / "run.json").write_text(json.dumps(run_of))
    run(["incidents", out, "--id", "3f9a"])
    shown = capsys.readouterr().out
    assert "false ones   expect about 0.52 a day at --budget 1\n" in shown
    assert "a place and not a person: addresses are masked; DisableIpMasking" in shown
    run(["incidents", out])
    shown = capsys.readouterr().out
    assert (
        "False incidents to be expected at --budget 1: about 0.52 a day; a higher budget raises hardly anything more.\n"
        "  (on days like those of learning; new customers, trips abroad and campaigns come on top)\n" in shown
    )
    assert "What these logs don't show, and how to let it be seen:\n  - 98% of the HTTP calls …\n" in shown
    run(["incidents", written(tmp_path, INCIDENT), "--id", "3f9a"])
    shown = capsys.readouterr().out
    assert "a place" not in shown
    assert "to be expected" not in shown


def test_a_technique_is_named_and_a_silence_has_no_first_event(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    quiet = {**INCIDENT, "invocations": 0, "invocation_ids": [], "attack": ["T1489", "T9999"]}
    run(["incidents", written(tmp_path, quiet), "--id", "3f9a"])
    shown = capsys.readouterr().out
    assert "T1489 (Service Stop), T9999" in shown
    assert "raised " in shown
    assert "  from " not in shown


def test_a_file_of_incidents_that_a_sink_wrote_is_shown_too(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    written(tmp_path, INCIDENT)
    assert run(["incidents", str(tmp_path / "incidents.ndjson")]) == 0
    assert INCIDENT["title"] in capsys.readouterr().out


def test_an_id_is_found_with_and_without_what_all_ids_begin_with(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = written(tmp_path, {**INCIDENT, "incident_id": "LT-3f9a1c0de5b7"}, {**INCIDENT, "incident_id": "LT-77db2020"})
    for beginning in ("LT-3f", "3f", "LT-3f9a1c0de5b7"):
        assert run(["incidents", out, "--id", beginning]) == 0
        assert "LT-3f9a1c0de5b7" in capsys.readouterr().out
    assert run(["incidents", out, "--id", "LT-"]) == 2


def test_of_many_callers_a_few_are_named_and_of_none_nothing_is_said(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = written(tmp_path, {**INCIDENT, "callers": [f"address:203.0.113.{n}" for n in range(50)]})
    run(["incidents", out, "--id", "3f9a"])
    assert "address:203.0.113.7 +42\n" in capsys.readouterr().out
    run(["incidents", written(tmp_path, {**INCIDENT, "callers": []}), "--id", "3f9a"])
    assert "  who  " not in capsys.readouterr().out


def test_an_amended_incident_is_shown_once_as_it_stands_now(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    amended = [{**INCIDENT, "revision": revision, "invocations": 10 * revision} for revision in (1, 3, 2)]
    run(["incidents", written(tmp_path, *amended), "--json"])
    assert json.loads(capsys.readouterr().out)["incidents"] == [amended[1]]


def test_a_reason_is_told_in_words_where_there_are_some(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    reason = {
        **INCIDENT["reasons"][0],
        "words": "pace of the caller",
        "text": "82 calls in an hour where 0.2 are usual",
    }
    run(["incidents", written(tmp_path, {**INCIDENT, "reasons": [reason]}), "--id", "3f9a"])
    assert "82 calls in an hour where 0.2 are usual" in capsys.readouterr().out


def test_a_program_gets_the_whole_as_json(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run(["incidents", written(tmp_path, INCIDENT), "--json"])
    assert json.loads(capsys.readouterr().out) == {"run": {"read": 10}, "incidents": [INCIDENT]}
    run(["incidents", str(tmp_path), "--id", "3f9a", "--json"])
    assert json.loads(capsys.readouterr().out) == INCIDENT


def test_text_from_logs_cannot_steer_the_terminal(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    hostile = "\x1b[2J\x9b31m\u202e\nforged line"
    texts = {name: hostile for name, value in INCIDENT.items() if isinstance(value, str) and name != "incident_id"}
    lists = {name: [hostile] for name in ("apps", "functions", "callers", "attack", "runbook", "invocation_ids")}
    reasons = [{"feature": hostile, "value": 1.0, "typical": 1.0, "share": 1.0}]
    folder = written(tmp_path, {**INCIDENT, **texts, **lists, "reasons": reasons})
    run(["incidents", folder])
    run(["incidents", folder, "--id", "3f9a"])
    shown = capsys.readouterr().out
    assert [c for c in shown if c in "\x1b\x9b\u202e"] == []
    assert "\nforged" not in shown


@pytest.mark.parametrize("words", [["--id", "zzz"], ["--id", ""], ["--id", "3f9a1c0de5b7a00"]])
def test_an_id_that_fits_none_or_several_is_refused(
    words: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = written(tmp_path, INCIDENT, {**INCIDENT, "incident_id": "3f9a1c0de5b7a002"})
    assert run(["incidents", folder, *words]) == 2
    assert "such as 3f9a1c0de5b7a001" in capsys.readouterr().err


@pytest.mark.parametrize("line", ["{", "[1]", '"a"', "[" * 100_000])
def test_a_damaged_file_is_refused_with_its_line(line: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "incidents.ndjson").write_text(f'{{"incident_id": "a"}}\n{line}\n')
    assert run(["incidents", str(tmp_path)]) == 2
    assert "incidents.ndjson, line 2" in capsys.readouterr().err


def test_a_folder_without_incidents_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["incidents", str(tmp_path / "none")]) == 2
    assert "lonetree replay --output" in capsys.readouterr().err


def test_no_incidents_is_good_news_and_no_failure(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["incidents", written(tmp_path)]) == 0
    assert capsys.readouterr().out == "No incidents.\n"


def test_an_incident_with_hardly_any_fields_is_still_shown(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = written(tmp_path, {"incident_id": "a"})
    assert run(["incidents", folder]) == run(["incidents", folder, "--id", "a"]) == 0
    assert "a" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("p_value", "score", "expected"),
    [
        (0.01, None, "1 in 100"),
        (1 / 12_345, None, "1 in 12,000"),
        (4e-7, None, "1 in 2.5 million"),
        (5e-10, None, "1 in 2.0 billion"),
        (0.0, 14.2, "1 in 10^14"),
        (0.0, 4000.0, "1 in 10^4000"),
        (None, None, "?"),
        (float("nan"), 3.0, "1 in 1,000"),
    ],
)
def test_odds_are_said_as_people_say_them(p_value: float | None, score: float | None, expected: str) -> None:
    assert odds(p_value, score) == expected


@given(st.one_of(st.none(), st.floats(), st.text()), st.one_of(st.none(), st.floats(), st.text()))
def test_odds_and_numbers_never_fail(p_value: Any, score: Any) -> None:
    assert isinstance(odds(p_value, score) + number(p_value) + moment(score), str)


@given(st.sets(st.text(max_size=20)))
def test_short_ids_tell_incidents_apart(ids: set[str]) -> None:
    short = short_ids(sorted(ids))
    assert len(set(short.values())) == len(ids)
    assert all(one.startswith(beginning) for one, beginning in short.items())


def test_a_long_list_of_names_is_cut_and_counted() -> None:
    assert some(["a", "b", "c", "d"]) == "a, b +2"
    assert some([]) == some(None) == "-"
