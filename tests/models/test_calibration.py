"""The budget is kept: a threshold follows from it, and lets through what the held-out stories say at most."""

from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from models.calibration import CALMEST, NEW_DAYS, NEW_LIFE, BudgetCurve

PEAKS = st.lists(st.floats(2.0, 30.0), max_size=80)
BUDGETS = st.floats(0.05, 50.0)


def curve(peaks: list[float], days: float = 5.0) -> BudgetCurve:
    return BudgetCurve(np.sort(np.array(peaks, dtype=np.float64))[::-1], days, 2.0)


@given(peaks=PEAKS, budgets=st.tuples(BUDGETS, BUDGETS), days=st.floats(0.5, 60.0))
def test_a_larger_budget_never_asks_for_more(peaks: list[float], budgets: tuple[float, float], days: float) -> None:
    small, large = sorted(budgets)
    assert curve(peaks, days).threshold(large) <= curve(peaks, days).threshold(small)


@example(peaks=[2.0, 20.0, 30.0], budget=0.05078125, days=0.5)
@given(peaks=PEAKS, budget=BUDGETS, days=st.floats(0.5, 60.0))
def test_the_rate_at_the_threshold_keeps_the_budget(peaks: list[float], budget: float, days: float) -> None:
    found = curve(peaks, days)
    assert found.rate(found.threshold(budget)) <= budget


@given(peaks=PEAKS, low=st.floats(2.0, 30.0), high=st.floats(2.0, 30.0))
def test_a_higher_threshold_never_lets_more_through(peaks: list[float], low: float, high: float) -> None:
    low, high = sorted((low, high))
    assert curve(peaks).rate(high) <= curve(peaks).rate(low)


@given(peaks=st.lists(st.floats(2.0, 30.0), min_size=1, max_size=80), threshold=st.floats(2.0, 30.0))
def test_no_fewer_are_expected_than_were_counted(peaks: list[float], threshold: float) -> None:
    counted = sum(peak >= threshold for peak in peaks) / 5.0
    assert curve(peaks).rate(threshold) >= NEW_LIFE * counted


def test_a_life_without_any_strange_story_still_has_a_threshold() -> None:
    empty = curve([], days=7.0)
    assert empty.threshold(1.0) == pytest.approx(CALMEST, abs=0.1)
    assert empty.threshold(0.001) > empty.threshold(0.01) > CALMEST > empty.threshold(5.0) >= 2.0
    assert 0.0 < empty.rate(2.0 * NEW_DAYS + 3.0) < 0.2


def test_longer_life_with_the_same_stories_asks_for_less() -> None:
    peaks = [3.0, 4.0, 5.0, 6.0, 7.0, 8.0]
    assert curve(peaks, days=30.0).threshold(1.0) < curve(peaks, days=3.0).threshold(1.0)


def test_one_story_of_few_hours_does_not_set_the_threshold_alone() -> None:
    # at one false incident a day, with a campaign in a day and a half that were held out
    found = curve([16.0, 4.0, 3.5, 3.0, 2.5], days=1.6)
    assert found.rate(10.0) == pytest.approx(1.0)
    assert found.threshold(1.0) < 10.0
    assert found.threshold(0.5) > 16.0


def test_one_strange_story_asks_for_no_more_than_it_would_beside_weaker_ones() -> None:
    alone, among = curve([7.2], days=3.0), curve([7.2, 5.0, 4.0], days=3.0)
    assert curve([], days=3.0).threshold(1.0) < alone.threshold(1.0) < among.threshold(1.0) < 7.2 * NEW_DAYS
    # where the budget does not bear even the one, its height is what counts
    assert curve([12.0], days=3.0).threshold(0.2) > 12.0


def test_on_fresh_life_of_the_same_kind_the_budget_holds() -> None:
    generator = np.random.default_rng(4)
    ratios = []
    for _ in range(200):
        held_out = 2.0 + generator.exponential(1.3, generator.poisson(40))
        threshold = curve(held_out.tolist(), days=4.0).threshold(1.0)
        fresh = 2.0 + generator.exponential(1.3, generator.poisson(40))
        ratios.append((fresh >= threshold).sum() / 4.0)
    assert np.mean(ratios) < 1.0


@given(peaks=PEAKS)
def test_it_comes_back_from_json(peaks: list[float]) -> None:
    found = curve([round(peak, 9) for peak in peaks])
    back = BudgetCurve.from_json(json.loads(json.dumps(found.to_json())))
    assert back.peaks.tolist() == found.peaks.tolist()
    assert (back.days, back.floor) == (found.days, found.floor)
    assert back.threshold(1.0) == found.threshold(1.0)


def test_the_fewer_strange_stories_were_held_out_the_less_it_is_believed_that_there_are_none() -> None:
    none, some = curve([], days=3.0), curve([1.0] * 9, days=3.0)
    assert none.threshold(1.0) == pytest.approx(CALMEST, abs=0.01)
    assert some.threshold(1.0) < CALMEST - 0.5
