"""Surprise is -log10 of how often normal life gets so far: calibrated, monotone, and pooled where little was seen."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from models.tails import MAX_SURPRISE, Tails, fit_tails

MINUTE = 60_000_000
HOUR = 60 * MINUTE


def normal(rows: int, seed: int = 0, groups: int = 3) -> tuple[Any, Any, Any]:
    """Exponential values, as likelihood ratios are, in groups of one cohort."""
    generator = np.random.default_rng(seed)
    return generator.exponential(1.0, (rows, 1)), generator.integers(0, groups, rows), np.zeros(rows, np.int64)


def fitted(rows: int = 20_000, **options: Any) -> Tails:
    X, group, cohort = normal(rows)
    return fit_tails(X, group, cohort, groups=3, cohorts=2, **options)


@pytest.mark.parametrize("share", [0.3, 0.1, 0.03, 0.01, 0.003, 1e-3])
def test_normal_events_are_as_surprising_as_their_share_says(share: float) -> None:
    X, group, cohort = normal(60_000, seed=1)
    reached = (fitted().surprise(X, group, cohort)[:, 0] >= -np.log10(share)).mean()
    assert reached == pytest.approx(share, rel=0.35)


def test_beyond_what_was_seen_the_tail_goes_on_as_it_ended() -> None:
    far = fitted().surprise(np.array([[15.0], [20.0]]), np.array([0, 0]), np.zeros(2, np.int64))[:, 0]
    # an exponential of scale 1 has a surprise of x / ln 10
    assert far == pytest.approx(np.array([15.0, 20.0]) / np.log(10.0), rel=0.2)


@given(
    values=st.lists(st.floats(0.0, 1e6), min_size=2, max_size=30), group=st.integers(-1, 2), cohort=st.integers(0, 1)
)
@settings(max_examples=60)
def test_more_is_never_less_surprising(values: list[float], group: int, cohort: int) -> None:
    ordered = np.sort(np.array(values))[:, None]
    found = FITTED.surprise(ordered, np.full(len(values), group), np.full(len(values), cohort))[:, 0]
    assert (np.diff(found) >= -1e-12).all()
    assert found.min() >= 0.0
    assert found.max() <= MAX_SURPRISE


FITTED = fitted(5_000)


def test_nothing_to_say_is_no_surprise_nor_is_no_number() -> None:
    X = np.array([[0.0], [-1.0], [np.nan]])
    assert FITTED.surprise(X, np.zeros(3, np.int64), np.zeros(3, np.int64))[:, 0].tolist() == [0.0, 0.0, 0.0]


def test_a_group_is_judged_by_its_own_life_once_it_has_one() -> None:
    X, group, cohort = normal(30_000)
    X[group == 0] *= 5.0
    tails = fit_tails(X, group, cohort, groups=3, cohorts=1)
    loud, quiet = tails.surprise(np.array([[12.0], [12.0]]), np.array([0, 1]), np.zeros(2, np.int64))[:, 0]
    assert loud < 1.5 < 3.0 < quiet


def test_a_group_seen_little_is_judged_by_its_cohort() -> None:
    X, group, cohort = normal(10_000)
    group[:] = 0
    group[:5] = 1
    tails = fit_tails(X, group, cohort, groups=3, cohorts=1)
    asked = np.full((3, 1), 6.0)
    known, few, never = tails.surprise(asked, np.array([0, 1, 2]), np.zeros(3, np.int64))[:, 0]
    assert few == pytest.approx(known, abs=0.3)
    assert never == pytest.approx(known, abs=0.3)
    assert tails.surprise(asked[:1], np.array([-1]), np.zeros(1, np.int64))[0, 0] == pytest.approx(known, abs=0.3)


def test_a_cohort_never_seen_is_judged_by_the_tenant() -> None:
    known, never = FITTED.surprise(np.full((2, 1), 5.0), np.array([-1, -1]), np.array([0, 1]))[:, 0]
    assert never == pytest.approx(known, abs=0.2)


def test_what_one_cohort_does_is_hardly_held_against_what_another_does() -> None:
    generator = np.random.default_rng(3)
    value, cohort = generator.exponential(1.0, (2_000, 1)), np.repeat([0, 1], [1_500, 500])
    value[1_990:] += 40.0  # the second bursts now and then
    found = fit_tails(value, np.full(2_000, -1), cohort, groups=0, cohorts=2)
    calm, bursting = found.surprise(np.full((2, 1), 30.0), np.full(2, -1), np.array([0, 1]))[:, 0]
    assert bursting < 2.0
    assert calm > bursting + 2.2


def test_values_that_hang_together_count_once_a_block() -> None:
    generator = np.random.default_rng(2)
    hours = np.repeat(generator.exponential(1.0, 400), 50)
    at = np.arange(len(hours)) * (HOUR // 50)
    zero = np.zeros(len(hours), np.int64)
    each = fit_tails(hours[:, None], zero, zero, groups=1, cohorts=1)
    block = fit_tails(hours[:, None], zero, zero, groups=1, cohorts=1, at=at, block_us=np.array([HOUR]))
    assert each.count[-1, 0] == len(hours)
    assert block.count[-1, 0] == 400
    # the highest of 400 blocks was seen once in 400, not fifty times in 20,000
    top = np.array([[hours.max()]])
    assert block.surprise(top, np.array([0]), np.array([0]))[0, 0] == pytest.approx(np.log10(400), abs=0.6)


def test_by_blocks_a_loud_group_is_measured_in_its_own_scale() -> None:
    generator = np.random.default_rng(3)
    group = np.arange(20_000) % 2
    X = (generator.exponential(1.0, 20_000) * np.where(group == 0, 10.0, 1.0))[:, None]
    at, zero = np.arange(20_000) * MINUTE, np.zeros(20_000, np.int64)
    tails = fit_tails(X, group, zero, groups=2, cohorts=1, at=at, block_us=np.array([HOUR]))
    assert tails.scale[0, 0] > 5.0 * tails.scale[1, 0]
    loud, quiet = tails.surprise(np.array([[60.0], [60.0]]), np.array([0, 1]), np.zeros(2, np.int64))[:, 0]
    assert quiet > loud + 3.0


def test_a_single_wild_value_in_training_buys_no_licence() -> None:
    X, group, cohort = normal(5_000)
    clean = fit_tails(X, group, cohort, groups=3, cohorts=1)
    X[7] = 500.0
    wild = fit_tails(X, group, cohort, groups=3, cohorts=1)
    asked = (np.array([[12.0]]), np.array([1]), np.array([0]))
    assert wild.surprise(*asked)[0, 0] > 0.5 * clean.surprise(*asked)[0, 0]


def test_without_any_event_it_still_answers() -> None:
    empty = np.zeros(0, np.int64)
    tails = fit_tails(np.zeros((0, 2)), empty, empty, groups=0, cohorts=2)
    found = tails.surprise(np.array([[0.0, 9.0]]), np.array([-1]), np.array([1]))
    assert np.isfinite(found).all()
    assert found[0, 0] == 0.0


def test_the_order_of_events_does_not_matter() -> None:
    X, group, cohort = normal(2_000)
    at = np.arange(2_000) * MINUTE
    options: dict[str, Any] = {"groups": 3, "cohorts": 1, "block_us": np.array([HOUR])}
    order = np.random.default_rng(9).permutation(2_000)
    one = fit_tails(X, group, cohort, at=at, **options)
    other = fit_tails(X[order], group[order], cohort[order], at=at[order], **options)
    assert one.to_table().equals(other.to_table())


def pooled() -> tuple[Tails, Tails]:
    """Tails of six groups of one cohort, without pools and with: three lead a calm life and three a wild one."""
    rng = np.random.default_rng(3)
    group = np.repeat(np.arange(6), 200)
    X = np.where(group < 3, rng.exponential(1.0, 1200), rng.exponential(1.0, 1200) ** 3)[:, None]
    zero = np.zeros(len(X), np.int64)
    options: dict[str, Any] = {"at": np.tile(np.arange(200) * HOUR, 6), "block_us": np.array([HOUR])}
    plain = fit_tails(X, group, zero, groups=6, cohorts=1, **options)
    return plain, fit_tails(X, group, zero, groups=6, cohorts=1, pool=np.array([0, 0, 0, 1, 1, 1]), **options)


def test_a_group_is_judged_by_its_pool_before_its_cohort() -> None:
    plain, pools = pooled()
    far, zero = np.full((2, 1), 12.0), np.zeros(2, np.int64)
    before, after = (tails.surprise(far, np.array([0, 3]), zero)[:, 0] for tails in (plain, pools))
    # what the wild ones do is no excuse for the calm, nor what the calm ones do a reproach for the wild
    assert after[0] > before[0]
    assert after[1] <= before[1]


def test_a_group_that_was_never_seen_is_judged_by_its_cohort_with_pools_as_without() -> None:
    plain, pools = pooled()
    far, never = np.array([[3.0], [12.0]]), np.full(2, -1)
    zero = np.zeros(2, np.int64)
    assert pools.surprise(far, never, zero) == pytest.approx(plain.surprise(far, never, zero), rel=0.2)


def test_pools_come_back_from_a_table() -> None:
    _, pools = pooled()
    back = Tails.from_table(pools.to_table())
    far, zero = np.full((6, 1), 7.0), np.zeros(6, np.int64)
    assert (back.surprise(far, np.arange(6), zero) == pools.surprise(far, np.arange(6), zero)).all()
    assert back.to_table().equals(pools.to_table())


def test_a_table_brings_it_back_through_a_file(tmp_path: Any) -> None:
    path = tmp_path / "tails.arrow"
    table = FITTED.to_table()
    with pa.ipc.new_file(path, table.schema) as writer:
        writer.write_table(table)
    back = Tails.from_table(pa.ipc.open_file(path).read_all())
    X, group, cohort = normal(500, seed=5)
    assert (back.surprise(X, group, cohort) == FITTED.surprise(X, group, cohort)).all()
    assert back.to_table().equals(table)


def test_a_feature_that_is_muted_surprises_nobody_and_leaves_the_others_alone() -> None:
    rng = np.random.default_rng(5)
    life = rng.exponential(1.0, (400, 2))
    everyone = np.zeros(len(life), np.int64)
    tails = fit_tails(life, everyone, everyone, groups=1, cohorts=1)
    muted = tails.muted(np.array([False, True]))
    far = np.array([[50.0, 50.0]])
    here = np.zeros(1, np.int64)
    before, after = tails.surprise(far, here, here), muted.surprise(far, here, here)
    assert after[0, 0] == before[0, 0] > 3.0
    assert after[0, 1] < 0.01 < before[0, 1]
    assert Tails.from_table(muted.to_table()).surprise(far, here, here).tolist() == after.tolist()
