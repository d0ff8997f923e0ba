"""The quality suite counts fairly: how comparators' invocations become incidents, and what the table says."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest

from tests.benchmarks import quality
from tests.benchmarks.comparators import Plain, incidents, isolation_forest, plain, verdicts
from tests.benchmarks.worlds import World, make_world


@pytest.fixture(scope="module")
def world() -> World:
    return make_world(1, days_train=2, days_test=1, events_per_day=4_000, functions=24)


def judged(start: list[float], function: list[str], caller: list[str]) -> Plain:
    n, at = len(start), np.array(start)
    ids = np.array([f"i{k}" for k in range(n)], dtype=object)
    return Plain(ids, at, at + 1, np.full(n, "http"), np.array(function), np.array(caller), np.zeros((n, 7)))


def test_comparators_group_by_function_and_caller_and_cut_at_half_an_hour() -> None:
    test = judged([0, 60, 4_000, 30, 90], ["f", "f", "f", "g", "f"], ["a", "a", "a", "a", "b"])
    raised = incidents(test, np.array([5.0, 7, 6, 5, 1]), 4.0)
    assert sorted((i["invocation_ids"], i["score"]) for i in raised) == [(["i0", "i1"], 7), (["i2"], 6), (["i3"], 5)]
    assert incidents(test, np.zeros(5), 4.0) == []


def test_plain_rows_are_unique_and_the_hosts_own(world: World) -> None:
    train, test = plain(world.train, world.test)
    assert len(set(test.ids.tolist())) == len(test.ids)
    assert set(world.truth) <= set(test.ids.tolist())
    assert train.X.shape == (len(train.ids), 7)
    assert np.isfinite(test.X).all()


def test_a_comparator_is_judged_on_every_kind(world: World) -> None:
    result = quality.run_comparators(world, 1, ["isolation forest"])["isolation forest"]
    assert len(result["narrow"]["scenarios"]) == 13
    assert 0 < result["narrow"]["average_precision"] < 1
    assert result["found"].keys() == {"1", "5", "20"}
    assert set(result["found"]["1"]) <= set(result["found"]["20"])


def test_lonetree_is_trained_once_and_replayed_at_both_budgets(
    world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    train, test = plain(world.train, world.test)
    before, after = isolation_forest(train, test)
    called: list[tuple[str, dict[str, str]]] = []

    def stand_in(command: str, *arguments: Any) -> None:
        given = dict(zip(arguments[::2], map(str, arguments[1::2]), strict=True))
        called.append((command, given))
        if command == "replay":
            out, threshold = Path(given["--output"]), float(np.quantile(before, 0.999))
            (out / "verdicts").mkdir(parents=True)
            pq.write_table(verdicts(test, before, after, threshold), out / "verdicts" / "0.parquet")
            lines = (json.dumps(i) + "\n" for i in incidents(test, after, threshold))
            (out / "incidents.ndjson").write_text("".join(lines))

    monkeypatch.setattr(quality, "cli", stand_in)
    quality.write_world(world, tmp_path)
    result = quality.run_lonetree(tmp_path, 1, world.record)
    assert [(c, g.get("--budget"), g.get("--verdicts")) for c, g in called] == [
        ("train", None, None),
        ("replay", "1", "all"),
        ("replay", "20", "anomalous"),
    ]
    assert len(result["narrow"]["scenarios"]) == 13


def test_the_table_has_a_row_for_each_detector_and_the_false_incidents_of_clean_days(world: World) -> None:
    result = quality.run_comparators(world, 1, ["isolation forest"])["isolation forest"]
    case = {"seed": 1, "identity": "full", "traffic": "simulated", "clean": False, "extras": False}
    rows = [
        {"case": case, "detector": "isolation forest"} | result,
        {"case": case | {"clean": True}, "detector": "isolation forest"}
        | result
        | {"narrow": result["narrow"] | {"false_per_day": 3.25}},
    ]
    head, _, line = quality.table(rows).splitlines()
    assert head.count("|") == line.count("|")
    assert "| isolation forest | 1 |" in line
    assert "| 3.25 |" in line


@pytest.mark.parametrize(("text", "wanted"), [("3", [3]), ("0-2", [0, 1, 2]), ("0,5,7-8", [0, 5, 7, 8])])
def test_seeds_are_numbers_and_ranges(text: str, wanted: list[int]) -> None:
    assert quality.seeds(text) == wanted


@pytest.mark.parametrize(
    ("events", "seconds", "wanted"),
    [(5, 900.0, True), (80, 119.0, True), (6, 121.0, False), (None, 60.0, True), (None, None, False)],
)
def test_trouble_is_found_in_time_by_the_later_of_five_bad_events_and_two_minutes(
    events: int | None, seconds: float | None, wanted: bool
) -> None:
    assert quality.in_time({"events_to_detect": events, "seconds_to_detect": seconds}) is wanted
