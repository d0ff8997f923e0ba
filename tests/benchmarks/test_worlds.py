"""The judge's worlds are fit to judge with: repeatable, labelled, and true to how Azure writes its logs."""

from __future__ import annotations

import json
from collections import Counter
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset as ds
import pyarrow.parquet as pq
import pytest

from tests.benchmarks.worlds import EXTRAS, KINDS, World, make_world, truth_table, write_world

WORKLOAD = Path(__file__).resolve().parents[3] / "shared" / "data" / "azure-functions-2019"
SMALL: dict[str, Any] = {"days_train": 2, "days_test": 1, "events_per_day": 4_000, "functions": 24}


@lru_cache(maxsize=8)
def small(seed: int = 1, **more: Any) -> World:
    return make_world(seed, **(SMALL | more))


def properties(table: pa.Table) -> list[dict[str, str]]:
    return [json.loads(p) for p in table["Properties"].to_pylist()]


def test_the_same_arguments_give_the_same_world() -> None:
    one, other = make_world(3, **SMALL), make_world(3, **SMALL)
    assert one.train.equals(other.train)
    assert one.test.equals(other.test)
    assert (one.truth, one.record) == (other.truth, other.record)


def test_other_seeds_give_other_tenants() -> None:
    assert set(small(1).test["AppRoleName"].to_pylist()).isdisjoint(small(2).test["AppRoleName"].to_pylist())


@pytest.mark.parametrize("identity", ["full", "masked"])
def test_every_kind_of_trouble_has_labelled_invocations_in_the_test_part_only(identity: str) -> None:
    world = small(1, identity=identity)
    assert set(world.truth.values()) == set(KINDS)
    assert set(world.truth) <= {p["InvocationId"] for p in properties(world.test)}
    assert not set(world.truth) & {p["InvocationId"] for p in properties(world.train)}
    assert [entry["scenario"] for entry in world.record] == list(KINDS)


def test_trouble_is_rare() -> None:
    ids = {p["InvocationId"] for p in properties(small(1).test)}
    assert len(small(1).truth) < len(ids) / 2


def test_a_clean_world_has_no_trouble_and_the_same_tenant() -> None:
    clean = small(1, faults=False)
    assert clean.clean
    assert not clean.truth
    assert not clean.record
    assert set(clean.train["Name"].to_pylist()) == set(small(1).train["Name"].to_pylist())


def test_the_kinds_beyond_the_thirteen_are_played_on_demand_and_silence_leaves_no_row() -> None:
    world = small(2, kinds=tuple(EXTRAS))
    assert {entry["scenario"] for entry in world.record} == set(EXTRAS)
    assert set(world.truth.values()) <= set(EXTRAS) - {"silence"}
    gone = next(entry for entry in world.record if entry["scenario"] == "silence")
    inside = pc.and_(
        pc.equal(world.test["Name"], gone["functions"][0]),
        pc.and_(
            pc.greater_equal(
                world.test["TimeGenerated"], pa.scalar(np.datetime64(gone["start"][:-6], "us")).cast(STAMP)
            ),
            pc.less(world.test["TimeGenerated"], pa.scalar(np.datetime64(gone["end"][:-6], "us")).cast(STAMP)),
        ),
    )
    labelled = pc.is_in(ids(world.test), value_set=pa.array(list(world.truth)))
    assert pc.sum(pc.and_(inside, pc.invert(labelled))).as_py() in (0, None)


STAMP = pa.timestamp("us", tz="UTC")


def ids(table: pa.Table) -> pa.ChunkedArray:
    return pc.struct_field(pc.extract_regex(table["Properties"], r'"InvocationId":"(?P<id>[^"]+)"'), "id")


def test_result_codes_tell_a_throw_from_a_refusal_and_are_zero_beside_http() -> None:
    table = small(1).test
    for p, success, code in zip(
        properties(table), table["Success"].to_pylist(), table["ResultCode"].to_pylist(), strict=True
    ):
        if "HttpMethod" not in p:
            assert code == "0"
        else:
            assert success == (code != "500")
    assert {"404", "403"} & set(table["ResultCode"].to_pylist())


def test_masked_rows_show_no_address_and_no_user_but_their_geography() -> None:
    table = small(1, identity="masked").test
    assert set(table["ClientIP"].to_pylist()) == {"0.0.0.0"}  # noqa: S104 (how a hidden address is shown)
    assert set(table["UserAuthenticatedId"].to_pylist()) == {""}
    assert len(set(table["ClientCountryOrRegion"].to_pylist())) > 3


def test_only_http_rows_have_method_path_address_and_geography() -> None:
    table = small(1).test
    http = np.array(["HttpMethod" in p for p in properties(table)])
    for column, missing in (("ClientCity", ""), ("ClientIP", "0.0.0.0"), ("Url", "")):  # noqa: S104 (as above)
        assert set(table.filter(pa.array(~http))[column].to_pylist()) == {missing}
    assert all(p["HttpPath"].startswith("/api/") for p in properties(table) if "HttpPath" in p)


def test_triggers_are_told_by_their_reason() -> None:
    reasons = {p["TriggerReason"].split(" ")[0] for p in properties(small(1).test)}
    assert {"This", "Timer", "New"} <= reasons


def test_rows_arrive_after_they_completed_so_files_are_not_in_order_of_start() -> None:
    stamps = small(1).test["TimeGenerated"].cast(pa.int64()).to_numpy()
    assert (np.diff(stamps) < 0).any()


def test_some_rows_come_twice_and_some_workers_write_a_second_one() -> None:
    tables = [small(seed).test for seed in (1, 2)]
    assert any(max(Counter(ids(t).to_pylist()).values()) > 1 for t in tables)


def test_durations_are_positive_and_contain_the_time_inside_of_the_function() -> None:
    table = small(1).test
    inside = np.array([float(p["FunctionExecutionTimeMs"]) for p in properties(table)])
    assert (inside > 0).all()
    assert (table["DurationMs"].to_numpy() >= inside).all()


def test_written_worlds_read_back(tmp_path: Path) -> None:
    world = small(1)
    write_world(world, tmp_path)
    assert ds.dataset(tmp_path / "train").count_rows() == world.train.num_rows
    assert ds.dataset(tmp_path / "test").count_rows() == world.test.num_rows
    assert pq.read_table(tmp_path / "truth.parquet").equals(truth_table(world))
    assert json.loads((tmp_path / "side.json").read_text()) == world.record


@pytest.mark.skipif(not WORKLOAD.is_dir(), reason="the 2019 workload's tables are not beside the project")
def test_the_2019_workload_keeps_its_sparse_functions_and_its_span_of_durations() -> None:
    world = make_world(1, days_train=2, days_test=1, events_per_day=20_000, traffic=WORKLOAD)
    calls = Counter(world.train["Name"].to_pylist())
    assert len(calls) > 80
    assert sum(n < 20 for n in calls.values()) > 15
    q = np.quantile(world.train["DurationMs"].to_numpy(), (0.01, 0.99))
    assert q[1] / q[0] > 1e4
    assert set(world.truth.values()) == set(KINDS)
