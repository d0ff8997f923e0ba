"""What is strange at one function again and again counts for less there, and nowhere else."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from detectors.features import FAMILIES, FEATURES
from detectors.habits import STRANGE, Habits, habits_of
from detectors.judge import judge_from, tables_of
from detectors.model import Model
from detectors.training import _came_back
from models.calibration import NEW_DAYS
from tests.detectors.life import DAY, HOUR

REFUSAL, LOAD, PLACE = (FAMILIES.index(name) for name in ("refusal", "load", "place"))


def found(*stories, opens_at=lambda peaks: 1.4 * peaks.max(initial=0.0)):
    """The habits of stories of one event each: (function, time, family that leads it, peak)."""
    where, at, lead, peaks = (np.array(column) for column in zip(*stories, strict=True))
    return habits_of(where, at.astype(np.int64), lead, peaks, np.arange(len(stories)), peaks, opens_at)


def test_what_comes_back_on_another_day_has_to_go_beyond_the_strongest_of_it() -> None:
    habits, days = found((4, 0, REFUSAL, 11.0), (4, 2 * DAY, REFUSAL, 6.0), (1, DAY, LOAD, 2.5))
    counts = habits.of(np.array([4]), np.array([REFUSAL]))[0]
    assert days == {4: 2}
    assert 11.0 * NEW_DAYS * counts == pytest.approx(max(1.4 * 2.5, STRANGE))


@pytest.mark.parametrize(
    "second",
    [(4, 3 * HOUR, REFUSAL, 6.0), (5, 2 * DAY, REFUSAL, 6.0), (4, 2 * DAY, REFUSAL, 2.0), (-1, DAY, LOAD, 9.0)],
)
def test_what_comes_once_or_elsewhere_or_weakly_is_no_habit(second) -> None:
    assert len(found((4, 0, REFUSAL, 11.0), second)[0]) == 0


def test_two_evenings_before_and_after_midnight_are_one() -> None:
    assert len(found((4, DAY - HOUR, REFUSAL, 11.0), (4, DAY + HOUR, REFUSAL, 11.0))[0]) == 0


def test_a_family_that_led_none_of_them_counts_in_full_and_each_other_by_its_own_strongest() -> None:
    habits, _ = found((4, 0, REFUSAL, 11.0), (4, 2 * DAY, LOAD, 5.5))
    assert habits.of(np.full(3, 4), np.array([REFUSAL, LOAD, PLACE])).tolist() == pytest.approx(
        [STRANGE / (11.0 * NEW_DAYS), STRANGE / (5.5 * NEW_DAYS), 1.0]
    )


def test_where_a_tenants_other_life_is_as_strange_nothing_changes() -> None:
    assert len(found((4, 0, REFUSAL, 5.0), (4, 2 * DAY, REFUSAL, 5.0), (1, DAY, LOAD, 6.0))[0]) == 0


def test_functions_that_training_did_not_know_have_none() -> None:
    habits, _ = found((4, 0, REFUSAL, 11.0), (4, 2 * DAY, REFUSAL, 6.0))
    assert habits.of(np.array([-1, 3, 4, 5]), np.full(4, REFUSAL)).round(2).tolist() == [1.0, 1.0, 0.19, 1.0]
    assert habits.concern(np.array([-1, 4, 3, 4])).tolist() == [1, 3]


def test_only_the_scores_that_its_families_lead_count_for_less(model: Model) -> None:
    judge = model.judge
    raw = np.zeros((3, len(FEATURES)))
    raw[:, [feature.name for feature in FEATURES].index("client_error_burst")] = 60.0
    group = np.array([0, 1, -1])
    plain = judge.score(raw, group, np.zeros(3, np.int64))
    lead = int(judge.lead(plain)[0])
    habitual = replace(judge, habits=Habits(np.array([0]), np.array([lead]), np.array([0.25])))
    scored = habitual.score(raw, group, np.zeros(3, np.int64))
    assert plain.score.min() > 1.0
    assert (scored.score / plain.score).tolist() == pytest.approx([0.25, 1.0, 1.0])
    assert scored.p_value[0] > plain.p_value[0]
    assert scored.p_value[1:].tolist() == plain.p_value[1:].tolist()
    # what led it is still what is told
    assert judge.shares(scored).tolist() == judge.shares(plain).tolist()


def test_a_bundle_keeps_them(model: Model) -> None:
    habits = Habits(np.array([0, 2]), np.array([REFUSAL, PLACE]), np.array([0.25, 0.5]))
    kept = judge_from(tables_of(replace(model.judge, habits=habits))).habits
    assert [column.tolist() for column in (kept.group, kept.family, kept.counts)] == [
        [0, 2],
        [REFUSAL, PLACE],
        [0.25, 0.5],
    ]
    assert len(judge_from(tables_of(replace(model.judge, habits=Habits.none()))).habits) == 0


def test_a_training_says_where_strange_calls_came_back(model: Model) -> None:
    baselines = model.judge.baselines
    habits = Habits(np.array([0, 0]), np.array([REFUSAL, LOAD]), np.array([0.25, 0.5]))
    (told,) = _came_back(baselines, habits, {0: 3})
    name = f"{baselines.apps[0]}/{baselines.functions[0]}"
    assert told == f"Strange calls came back at {name} on 3 days: their like counts for 50% of its score there."
