from __future__ import annotations

from dataclasses import replace

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest
from hypothesis import given
from hypothesis import strategies as st

from detectors import measure_drift
from detectors.drift import welch
from detectors.drift_blocks import blocks_of, summaries_of
from detectors.features import FEATURE_NAMES
from detectors.model import Model
from models.baselines import HOUR_US
from models.errors import InputError
from pipelines import load
from tests.conftest import Tenant

DURATION = FEATURE_NAMES.index("duration_high")


def test_a_block_counts_once_by_its_largest_surprise() -> None:
    surprise = np.zeros((6, len(FEATURE_NAMES)))
    surprise[:, DURATION] = [0.5, 1.0, 3.0, 0.0, 99.0, 2.0]
    at = np.array([0, 1, 2, 3, HOUR_US, 5])
    group = np.array([0, 0, 1, 0, 0, -1])
    found = summaries_of(blocks_of(surprise, at, group))
    assert sorted(found) == [0, 1]
    # two hours, with 1 and 99, which is clipped to 4
    assert (found[0].blocks[DURATION], found[0].mean[DURATION], found[0].variance[DURATION]) == (2.0, 2.5, 4.5)
    assert (found[1].blocks[DURATION], found[1].mean[DURATION]) == (1.0, 3.0)


@given(st.permutations(range(40)))
def test_the_order_of_events_does_not_matter(order: list[int]) -> None:
    rng = np.random.default_rng(0)
    surprise, at = rng.exponential(size=(40, len(FEATURE_NAMES))), rng.integers(0, 20 * HOUR_US, 40)
    group = rng.integers(-1, 3, 40)
    shuffled = blocks_of(surprise[order], at[order], group[order])
    for g, one in summaries_of(blocks_of(surprise, at, group)).items():
        np.testing.assert_allclose(np.array(summaries_of(shuffled)[g]), np.array(one), rtol=1e-12)


def test_nothing_gives_nothing() -> None:
    none = np.zeros(0, np.int64)
    assert blocks_of(np.zeros((0, len(FEATURE_NAMES))), none, none).num_rows == 0


def test_the_test_cries_wolf_as_often_as_it_says() -> None:
    rng = np.random.default_rng(1)
    then, now = rng.exponential(size=(60, 4000)), rng.exponential(size=(40, 4000))
    mean = np.stack([then.mean(axis=0), now.mean(axis=0)])
    variance = np.stack([then.var(axis=0, ddof=1), now.var(axis=0, ddof=1)])
    n = np.stack([np.full(4000, 60.0), np.full(4000, 40.0)])
    assert 0.035 < (welch(mean, variance, n) < 0.05).mean() < 0.065


def test_functions_that_became_slow_are_said_to_have_moved(tenant: Tenant, model: Model) -> None:
    logs = load([str(tenant.replay)])
    names = pc.value_counts(logs["function"]).to_pylist()
    busiest = max(names, key=lambda entry: (entry["counts"], entry["values"]))["values"]
    slower = pc.if_else(
        pc.equal(logs["function"], busiest), pc.multiply(logs["duration_ms"], 20.0), logs["duration_ms"]
    )
    at = logs.schema.get_field_index("duration_ms")
    found = measure_drift(logs.set_column(at, logs.schema.field(at), slower), model)
    moved = {one.function: one for one in found.moved}
    assert busiest in moved
    assert moved[busiest].median_ms[1] > 5 * moved[busiest].median_ms[0]
    assert any(shift.feature == "latency_shift" and shift.now > shift.before for shift in moved[busiest].shifts)
    assert found.retrain
    assert found.advice[0].startswith("Train again")
    assert found.to_json()["moved"][0]["function"]


def test_functions_never_seen_are_unknown_and_missing_ones_gone(tenant: Tenant, model: Model) -> None:
    logs = load([str(tenant.replay)])
    at = logs.schema.get_field_index("app")
    renamed = logs.set_column(at, logs.schema.field(at), pa.repeat(pa.scalar("moved-house"), logs.num_rows))
    found = measure_drift(renamed, model)
    assert found.unknown_share == 1.0
    assert found.moved == ()
    assert len(found.unknown) > 0
    assert len(found.gone) > 0
    assert found.retrain


def test_a_version_without_a_reference_is_refused(tenant: Tenant, model: Model) -> None:
    with pytest.raises(InputError, match="nothing to compare with"):
        measure_drift(load([str(tenant.replay)]), replace(model, reference=None))
