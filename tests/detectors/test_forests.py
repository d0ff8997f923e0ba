"""Forests of functions, triggers and the tenant: each learns from its own, and only where there is enough to learn."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from detectors import forests
from detectors.forests import FittedForests, fit_forests, forest_rows

#: functions 0 and 1 of cohort 0, function 2 of cohort 1, function 3 of cohort 2
OF_FUNCTION = np.array([0, 0, 1, 2])
COLUMNS = 4


@pytest.fixture(autouse=True)
def little_is_enough(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(forests, "OWN_ROWS", 300)
    monkeypatch.setattr(forests, "OWN_STIRRED", 100)


def lived(calls: list[int], calm: tuple[int, ...] = ()) -> tuple[Any, Any, Any]:
    """Surprise, function and cohort of so many calls of each function; those that are calm are never surprised."""
    group = np.repeat(np.arange(len(calls)), calls)
    rng = np.random.default_rng(0)
    surprise = rng.exponential(1.0, (len(group), COLUMNS))
    surprise[np.isin(group, calm)] = 0.0
    order = rng.permutation(len(group))
    return surprise[order], group[order], OF_FUNCTION[group[order]]


def fitted(
    parts: tuple[Any, Any, Any], scope: forests.Scope = "own", *, half: Any = None, normal: Any = None
) -> FittedForests:
    n = len(parts[0])
    half = np.arange(n) % 2 if half is None else half
    normal = np.ones(n, np.bool_) if normal is None else normal
    return fit_forests(*parts, normal, half, OF_FUNCTION, 3, scope=scope, trees=10, samples=64, seed=0)


def test_a_function_has_its_own_else_its_triggers_else_the_tenants() -> None:
    found = fitted(lived([400, 50, 250, 350]))
    # the tenant's 0, those of cohorts 0 and 2, those of functions 0 and 3
    assert len(found.forests) == 5
    assert found.whose.tolist() == [3, 1, 0, 4, 1, 0, 2]


def test_where_nothing_is_ever_surprising_a_larger_forest_serves() -> None:
    whose = fitted(lived([400, 350, 50, 50], calm=(1,))).whose
    assert whose[:2].tolist() == [2, 1]


def test_only_the_busiest_have_their_own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(forests, "OWN_FORESTS", 2)
    whose = fitted(lived([310, 500, 400, 50])).whose.tolist()
    assert whose[1] != whose[0] == whose[len(OF_FUNCTION)] != 0
    assert len(set(whose)) == 5


def test_the_tenants_alone_serves_all_if_asked_for() -> None:
    parts = lived([400, 350, 300, 300])
    found = fitted(parts, "tenant")
    assert len(found.forests) == 1
    assert set(found.whose.tolist()) == {0}
    assert found.forests.forest(0).to_table().equals(fitted(parts).forests.forest(0).to_table())


def test_what_is_usual_in_one_function_is_strange_in_another() -> None:
    surprise, group, cohort = lived([1_000, 1_000, 0, 0])
    surprise[group == 0, 0] += 4.0
    surprise[group == 1, 1] += 4.0
    found = fitted((surprise, group, cohort))
    whose = found.whose.tolist()
    moved = np.array([[5.0, 1.0, 1.0, 1.0], [1.0, 5.0, 1.0, 1.0]])
    own, other = (found.forests.score(moved, np.array(order)) for order in (whose[:2], whose[1::-1]))
    assert (own + 0.05 < other).all()


def test_functions_that_training_did_not_know_have_their_triggers() -> None:
    whose = np.array([3, 1, 0, 4, 1, 0, 2])
    assert forest_rows(whose, np.array([0, -1, -1]), np.array([0, 2, 1]), len(OF_FUNCTION)).tolist() == [3, 2, 0]
    assert forest_rows(np.zeros(0, np.int64), np.array([0, -1]), np.array([0, 1]), 4).tolist() == [0, 0]


def test_an_invocation_is_held_to_what_the_other_half_of_the_time_taught() -> None:
    surprise, group, cohort = lived([800, 0, 0, 0])
    half = np.arange(800) % 2
    surprise[half == 1, :2] += 4.0
    found = fitted((surprise, group, cohort), half=half)
    seen = found.forests.score(np.minimum(surprise, forests.FOREST_CLIP), found.whose[group])
    # half of all that the forest learned from is like this; the other half has nothing like it
    assert found.unseen[half == 1].mean() > seen[half == 1].mean() + 0.05


def test_what_is_no_normal_life_is_scored_and_not_learned_from() -> None:
    surprise, group, cohort = lived([900, 0, 0, 0])
    wild = np.arange(900) < 90
    surprise[wild] = 6.0
    found, fooled = fitted((surprise, group, cohort), normal=~wild), fitted((surprise, group, cohort))
    assert found.unseen[wild].min() > found.unseen[~wild].max()
    assert found.unseen[wild].mean() > fooled.unseen[wild].mean()


def test_a_forest_of_its_own_takes_enough_in_either_half() -> None:
    parts = lived([800, 400, 50, 50])
    early = np.where(parts[1] == 0, np.arange(len(parts[1])) < 5, np.arange(len(parts[1])) % 2).astype(np.int64)
    whose = fitted(parts, half=early).whose
    assert whose[0] == whose[len(OF_FUNCTION)] != whose[1]


def test_where_all_that_is_known_lies_in_one_half_it_serves_for_both() -> None:
    parts = lived([800, 0, 0, 0])
    found = fitted(parts, half=np.zeros(800, np.int64))
    own = found.forests.score(np.minimum(parts[0], forests.FOREST_CLIP), np.zeros(800, np.int64))
    assert (found.unseen == own).all()
