"""Plainly normal: whatever is proven to score 0 without a walk through tails and trees does score 0."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from detectors.features import FEATURES, FUNCTION_FEATURES
from detectors.model import Model
from detectors.quiet import Quiet, quiet_of
from models.baselines import COHORTS

WIDTH = len(FUNCTION_FEATURES)


@pytest.fixture(scope="module")
def quiet(model: Model) -> Quiet:
    return quiet_of(model.judge, len(FEATURES), len(COHORTS))


def proven(quiet: Quiet, raw: Any, group: Any, cohort: Any) -> Any:
    function, caller = np.ascontiguousarray(raw[:, :WIDTH]), np.ascontiguousarray(raw[:, WIDTH:])
    return quiet.find(function, caller, group, cohort)


def places(model: Model, rng: Any, rows: int) -> tuple[Any, Any]:
    """Functions known and unknown, with their cohorts."""
    group = rng.integers(-1, len(model.judge.baselines), rows)
    return group, np.where(group >= 0, model.judge.baselines.cohort[group], rng.integers(0, len(COHORTS), rows))


@given(st.integers(0, 2**32 - 1), st.floats(0.05, 1.0), st.floats(0.01, 3.0))
@settings(max_examples=25, deadline=None)
def test_what_is_proven_scores_0_with_a_p_value_of_1(model: Model, quiet: Quiet, seed: int, some: float, far: float):
    rng = np.random.default_rng(seed)
    group, cohort = places(model, rng, 400)
    row = np.where(group >= 0, group, len(model.judge.baselines) + cohort)
    # around what just does not count, and a few exactly there
    reach = quiet.most[row] * rng.choice([1.0, far, rng.random()], (400, len(FEATURES)))
    raw = np.where(rng.random(reach.shape) < some, np.minimum(reach, 1e6), 0.0).astype(np.float32)
    raw[rng.random(raw.shape) < 0.02] = np.nan
    found = model.judge.score(raw, group, cohort)
    calm = proven(quiet, raw, group, cohort)
    assert (found.score[calm] == 0.0).all()
    assert (found.p_value[calm] == 1.0).all()


def test_nothing_measured_is_plainly_normal(model: Model, quiet: Quiet):
    group, cohort = places(model, np.random.default_rng(0), 50)
    assert proven(quiet, np.zeros((50, len(FEATURES)), np.float32), group, cohort).all()


@pytest.mark.parametrize("feature", range(0, len(FEATURES), 5))
def test_the_next_number_beyond_what_does_not_count_is_judged(model: Model, quiet: Quiet, feature: int):
    group, cohort = places(model, np.random.default_rng(feature), 50)
    row = np.where(group >= 0, group, len(model.judge.baselines) + cohort)
    raw = np.zeros((50, len(FEATURES)), np.float32)
    raw[:, feature] = np.nextafter(quiet.most[row, feature], np.float32(np.inf))
    assert not proven(quiet, raw, group, cohort).any()


def test_judgements_of_a_few_spread_over_all(model: Model):
    rng = np.random.default_rng(1)
    group, cohort = places(model, rng, 20)
    raw = np.zeros((20, len(FEATURES)), np.float32)
    raw[[3, 7]] = 50.0
    whole = model.judge.score(raw, group, cohort)
    few = model.judge.score(raw[[3, 7]], group[[3, 7]], cohort[[3, 7]])
    spread = few.spread(np.array([3, 7]), 20)
    assert (spread.score == whole.score).all()
    assert (spread.p_value == whole.p_value).all()
    assert (model.judge.shares(spread) == model.judge.shares(whole)).all()
