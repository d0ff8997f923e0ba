"""Each part that the ablation takes away is away, and is back afterwards."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from detectors.features import FEATURES
from detectors.model import Model
from tests.benchmarks.ablation import first_surprise, one_for_all, unlimited, without


@pytest.fixture
def seen(model: Model) -> tuple[Any, Any, Any]:
    """Raw features, function and cohort of calls of which each feature says much."""
    functions = len(model.judge.baselines)
    raw = np.random.default_rng(0).exponential(3.0, (500, len(FEATURES)))
    raw[::7] = 0.0
    group = np.arange(500) % functions
    return raw, group, model.judge.baselines.cohort[group]


def test_without_limit_surprises_are_larger_and_as_before_afterwards(model: Model, seen: tuple[Any, Any, Any]) -> None:
    before = model.judge.surprise(*seen)
    with unlimited():
        free = model.judge.surprise(*seen)
    assert (free >= before).all()
    assert (free > before).any()
    assert (free[::7] == 0.0).all()
    assert (model.judge.surprise(*seen) == before).all()


def test_the_first_surprise_is_another_than_the_honest_one(model: Model, seen: tuple[Any, Any, Any]) -> None:
    with first_surprise():
        first = model.judge.surprise(*seen)
    assert (first != model.judge.surprise(*seen)).any()


def test_features_of_callers_or_functions_say_nothing(model: Model, seen: tuple[Any, Any, Any]) -> None:
    of_callers = np.array([feature.blame == "caller" for feature in FEATURES])
    with without("caller")():
        found = model.judge.surprise(*seen)
    assert (found[:, of_callers] == 0.0).all()
    assert found[:, ~of_callers].any()
    with without("function", "pair")():
        assert (model.judge.surprise(*seen)[:, ~of_callers] == 0.0).all()


def test_functions_are_one_where_triggers_are_all_that_counts(model: Model) -> None:
    class Rows:
        schema = type("Schema", (), {"names": ("group", "cohort")})

        def column(self, name: str) -> Any:
            return np.array([2, 0, 1]) if name == "group" else np.array([1, 0, 3])

    with one_for_all():
        group, cohort = model.judge.locate(Rows())  # type: ignore[arg-type]
    assert group.tolist() == [-1, -1, -1]
    assert cohort.tolist() == [1, 0, 3]
