"""p-values of the total: as rare as they say, also where normal life is strange by the hour."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from detectors.training import RARE, total_tails
from models.baselines import HOUR_US

FUNCTIONS, HOURS, CALLS = 8, 60, 40


def life(seed: int, clumps: float) -> tuple[Any, Any, Any]:
    """Score, function and time of calls of one cohort; an hour of a function is stranger as a whole."""
    rng = np.random.default_rng(seed)
    shape = (FUNCTIONS, HOURS, CALLS)
    score = rng.exponential(1.0, shape) + clumps * rng.exponential(1.0, (FUNCTIONS, HOURS, 1))
    function, hour, call = np.indices(shape)
    at = hour * HOUR_US + call * (HOUR_US // CALLS)
    return score.reshape(-1), function.reshape(-1), at.reshape(-1)


def p_values(seed: int, clumps: float) -> Any:
    """Of another such time, by the tails of the first."""
    score, function, at = life(seed, clumps)
    none = np.zeros(len(score), np.int64)
    tails = total_tails(at, function, none, score, np.ones(len(score), np.bool_))
    new, _, _ = life(seed + 1000, clumps)
    return 10.0 ** -tails.surprise(new[:, None], np.full(len(new), -1), none)[:, 0]


@pytest.mark.parametrize("seed", range(5))
def test_they_are_uniform_down_to_what_is_rare(seed: int) -> None:
    found = p_values(seed, 0.0)
    for share in (0.5, 0.1, 0.02):
        assert 0.6 * share < (found <= share).mean() <= 1.2 * share, share


def test_an_hour_that_is_strange_as_a_whole_is_one_observation() -> None:
    small = [float((p_values(seed, 4.0) < 1e-3).mean()) for seed in range(20)]
    assert np.mean(small) <= 1e-3
    # one strange hour is 2 in 1,000 of these calls
    assert max(small) <= 3e-3


def test_what_is_strange_enough_is_still_told() -> None:
    score, function, at = life(0, 2.0)
    none = np.zeros(len(score), np.int64)
    tails = total_tails(at, function, none, score, np.ones(len(score), np.bool_))
    found = 10.0 ** -tails.surprise(np.array([[score.max() * 3.0]]), np.array([-1]), none[:1])[:, 0]
    assert found[0] < RARE / 10
