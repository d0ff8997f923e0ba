"""How incidents are called is graded by what was planted, and every trouble that is planted can be graded."""

from __future__ import annotations

import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from detectors.catalogue import BY_ID
from tests.benchmarks.kinds import KIND_OF, NEAR, RIGHT, WRONG, Named, grade, named, table
from tests.benchmarks.worlds import EXTRAS, KINDS


def test_every_planted_trouble_has_kinds_and_every_kind_exists() -> None:
    assert set(KIND_OF) == {*KINDS, *EXTRAS}
    assert {kind for both in KIND_OF.values() for kinds in both for kind in kinds} <= set(BY_ID)
    assert not [planted for planted, (same, near) in KIND_OF.items() if set(same) & set(near)]


def test_a_kind_is_right_near_or_wrong() -> None:
    said = ("poison-message", "failure-burst", "new-caller")
    assert [grade("retry_storm_poison", one) for one in said] == [RIGHT, NEAR, WRONG]


def test_true_incidents_are_read_from_a_judged_world_and_counted(tmp_path: Path) -> None:
    truth = pa.table({"InvocationId": ["a", "b"], "scenario": ["flood_single", "latency_shift"]})
    pq.write_table(truth, tmp_path / "truth.parquet")
    (tmp_path / "side.json").write_text("[]")
    (tmp_path / "replay-1").mkdir()
    raised = [
        {"kind": "flood", "invocation_ids": ["a"]},
        {"kind": "unusual", "invocation_ids": ["b", "x"]},
        {"kind": "off-hours", "invocation_ids": ["x", "y"]},
    ]
    lines = "".join(json.dumps(one) + "\n" for one in raised)
    (tmp_path / "replay-1" / "incidents.ndjson").write_text(lines)
    found = list(named(tmp_path))
    assert [(one.planted, one.said, one.grade) for one in found] == [
        ("flood_single", "flood", RIGHT),
        ("latency_shift", "unusual", WRONG),
    ]
    rows = table([*found, Named("latency_shift", "runaway-duration", NEAR, {})]).splitlines()
    assert rows[2:] == [
        "| flood_single | 1 | 1 | 0 | 0 |  |",
        "| latency_shift | 2 | 0 | 1 | 1 | runaway-duration 1, unusual 1 |",
        "| all | 3 | 1 (33 %) | 1 (33 %) | 1 (33 %) | |",
    ]
