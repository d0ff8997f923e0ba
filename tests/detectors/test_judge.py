"""The judge: surprise by feature, one part a family, the forest beside them; p-values that mean what they say."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from detectors.blame import TROUBLES, blame
from detectors.caller_features import CallerFeatures
from detectors.features import FAMILIES, FEATURE_NAMES, FEATURES, INDEX
from detectors.forests import FOREST_CLIP
from detectors.function_features import from_matrix
from detectors.judge import BELIEF, GRAIN, GRANT, Judgement, believable, family_parts, judge_from, tables_of
from detectors.local import Stage, run_local
from detectors.model import Model
from detectors.order import hashed, with_at
from detectors.timeline import END
from models.baselines import COHORTS
from models.hashing import hash_strings
from pipelines.graph import FUNCTION_KEY
from pipelines.simulate import simulate
from pipelines.sources.files import expand, read
from pipelines.workflows import plan_for
from tests.conftest import TENANT_DAYS, TENANT_SCALE, TENANT_SEED, TENANT_TRAIN_DAYS, once


@pytest.fixture(scope="module")
def clean(shared_folder: Any, model: Model) -> pa.RecordBatch:
    """The tenant's last day without any trouble, with features: normal life that training never saw."""
    folder = once(
        shared_folder / "clean",
        lambda target: simulate(
            target,
            seed=TENANT_SEED,
            days=TENANT_DAYS,
            train_days=TENANT_TRAIN_DAYS,
            scale=TENANT_SCALE,
            scenarios=False,
            traces=False,
        ),
    )
    batches = [with_at(piece.rows) for ref in expand([str(folder / "replay")]) for piece in read(ref)]
    featured, _, _ = run_local(batches, [Stage("function", FUNCTION_KEY, plan_for(model, 1.0).function)])
    assert featured is not None
    callers = CallerFeatures()
    callers.restore(model.part("caller"))
    return callers.advance(featured, END)


@pytest.fixture(scope="module")
def raw(clean: pa.RecordBatch) -> Any:
    return np.concatenate([from_matrix(clean[f"raw_{who}"]) for who in ("function", "caller")], axis=1)


def test_small_p_values_are_as_rare_in_normal_life_as_they_say_for_each_trigger(
    model: Model, clean: pa.RecordBatch
) -> None:
    found = model.judge.judge(clean)
    _, cohort = model.judge.locate(clean)
    judged = 0
    for number, name in enumerate(COHORTS):
        p_value = found.p_value[cohort == number]
        if len(p_value) < 150:
            continue
        judged += 1
        # of so few events, whose neighbours hang together, no more can be asked; never far more than said
        for share in (0.2, 0.05, 0.01):
            assert (p_value <= share).mean() < 2.5 * share + 4.0 / len(p_value), (name, share)
        assert (p_value < 1e-3).mean() <= 6e-3, name
    assert judged >= 3


def test_shares_of_a_score_add_up_to_one(model: Model, clean: pa.RecordBatch) -> None:
    found = model.judge.judge(clean)
    shares = model.judge.shares(found)
    assert shares.shape == (clean.num_rows, len(FEATURES))
    assert (shares >= 0.0).all()
    assert shares.sum(axis=1)[found.score > 0.0] == pytest.approx(1.0)
    assert (shares[found.score == 0.0] == 0.0).all()


def test_what_families_add_is_the_score_with_the_forests_part_among_them(model: Model) -> None:
    generator, baselines = np.random.default_rng(3), model.judge.baselines
    # each feature says nothing, or a little, or much
    raw = generator.exponential(6.0, (400, len(FEATURES))) * (generator.random((400, len(FEATURES))) < 0.3)
    group = generator.integers(0, len(baselines), 400)
    found = model.judge.score(raw.astype(np.float32), group, baselines.cohort[group])
    parts = found.parts(model.judge.shares(found))
    assert parts.sum(axis=1) == pytest.approx(found.score)
    assert (parts >= found.families - 1e-9).all()
    assert (found.forest > 0.0).any()


def test_load_that_the_forest_alone_finds_strange_points_at_the_function_and_not_at_who_calls(model: Model) -> None:
    surprise = np.zeros((1, len(FEATURES)))
    surprise[0, [INDEX["pace_hour"], INDEX["pace_minutes"], INDEX["cost_hour"]]] = FOREST_CLIP
    nothing = np.zeros((1, len(FAMILIES)))
    forest, number = np.array([3.0]), np.zeros(1, np.int64)
    found = Judgement(surprise, nothing, forest, number, score=forest, p_value=np.ones(1))
    parts = found.parts(model.judge.shares(found))
    assert FAMILIES[parts[0].argmax()] == "load"
    trouble, by_caller, _ = blame(parts, surprise, np.zeros((1, len(FEATURES))), np.array([True]), np.array([False]))
    assert (TROUBLES[trouble[0]], bool(by_caller[0])) == ("load", False)


def test_a_score_that_is_the_forests_alone_is_weighed_by_the_family_that_led_there(model: Model) -> None:
    weights = np.array([0.5 if name == "load" else 3.0 for name in FAMILIES])
    judge = replace(model.judge, weights=weights)
    surprise = np.zeros((2, len(FEATURES)))
    surprise[:, [INDEX["pace_hour"], INDEX["pace_minutes"], INDEX["cost_hour"]]] = FOREST_CLIP
    families = np.zeros((2, len(FAMILIES)))
    families[1, FAMILIES.index("run")] = 1.0
    forest = np.array([3.0, 3.0])
    found = Judgement(surprise, families, forest, np.zeros(2, np.int64), families.sum(axis=1) + forest, np.ones(2))
    assert [FAMILIES[k] for k in judge.lead(found)] == ["load", "run"]
    assert judge.gate(found).tolist() == [1.5, 12.0]


def test_no_surprise_goes_far_beyond_the_evidence_it_rests_on(model: Model, clean: pa.RecordBatch, raw: Any) -> None:
    group, cohort = model.judge.locate(clean)
    # values between and beyond all that was seen
    for times in (0.3, 1.0, 5.0):
        found = model.judge.surprise(raw * times, group, cohort)
        assert (found <= BELIEF * np.maximum(raw * times, 0.0) / np.log(10.0) + 1e-12).all()
    unlimited = model.judge.tails.surprise(raw, group, cohort, GRAIN)
    assert (unlimited > BELIEF * raw / np.log(10.0)).any()


def test_what_is_told_by_a_count_is_believed_once() -> None:
    claimed = np.full((1, len(FEATURES)), 6.0)
    found = believable(np.full_like(claimed, 99.0), claimed)[0] * np.log(10.0)
    counted = [place for place, feature in enumerate(FEATURES) if feature.counted]
    assert len(counted) == 7
    assert found[counted] == pytest.approx(6.0)
    assert np.delete(found, counted) == pytest.approx(BELIEF * 6.0)


def test_the_score_is_the_families_parts_and_the_forests(model: Model, clean: pa.RecordBatch) -> None:
    found = model.judge.judge(clean)
    assert found.score == pytest.approx(found.families.sum(axis=1) + found.forest)
    without = replace(model.judge, forest=None, forest_tails=None).judge(clean)
    assert (without.forest == 0.0).all()
    assert without.score == pytest.approx(found.families.sum(axis=1))


def test_rows_say_once_what_their_names_say(model: Model, clean: pa.RecordBatch) -> None:
    said = model.judge.locate(clean)
    found = model.judge.locate(pa.Table.from_batches([clean]).drop_columns(["group", "cohort"]))
    assert all((one == other).all() for one, other in zip(said, found, strict=True))
    for name in ("app", "caller", "country", "invocation_id"):
        assert (hashed(clean, name) == hash_strings(clean.column(name))).all()


def test_an_event_is_judged_the_same_alone_and_among_others(model: Model, clean: pa.RecordBatch, raw: Any) -> None:
    group, cohort = model.judge.locate(clean)
    whole = model.judge.score(raw, group, cohort)
    for some in (slice(7, 8), slice(100, 333)):
        part = model.judge.score(raw[some], group[some], cohort[some])
        assert (part.score == whole.score[some]).all()
        assert (part.p_value == whole.p_value[some]).all()


def test_the_forest_adds_where_many_things_are_a_little_strange(model: Model) -> None:
    wide = np.zeros((1, len(FEATURES)))
    # each alone is within reach of normal life, all together are not
    wide[0, ::2] = 2.0
    quiet = np.zeros((1, len(FEATURES)))
    http = np.array([COHORTS.index("http")])
    # the tenant's, and that of functions that training did not know; one of a function sees only what varied there
    for of in (np.zeros(1, np.int64), model.judge.forest_of[len(model.judge.baselines) + http]):
        assert model.judge.forest_part(wide, of, http)[0] > model.judge.forest_part(quiet, of, http)[0] == 0.0


def test_each_invocation_is_judged_and_explained_by_its_own_forest(
    model: Model, raw: Any, clean: pa.RecordBatch
) -> None:
    judge = replace(model.judge, forest_of=np.arange(len(model.judge.forest_of)) % 2)
    group, cohort = judge.locate(clean)
    found = judge.score(raw, group, cohort)
    assert (found.forest_of == judge.forest_of[np.where(group >= 0, group, len(judge.baselines) + cohort)]).all()
    for number in (0, 1):
        alone = replace(judge, forest_of=np.full(len(judge.forest_of), number)).score(raw, group, cohort)
        mine = found.forest_of == number
        assert mine.any()
        assert (found.score[mine] == alone.score[mine]).all()
        assert (judge.shares(found.take(mine)) == judge.shares(alone.take(mine))).all()


def test_what_the_forest_sees_is_clipped(model: Model) -> None:
    far = np.zeros((2, len(FEATURES)))
    far[0, 3], far[1, 3] = FOREST_CLIP, 10.0 * FOREST_CLIP
    depth = model.judge.forest_feature(far, np.zeros(2, np.int64))
    assert depth[0, 0] == depth[1, 0]


@pytest.mark.parametrize("feature", range(0, len(FEATURES), 4), ids=lambda number: FEATURE_NAMES[number])
def test_a_feature_far_beyond_normal_life_is_strange_by_itself(model: Model, feature: int) -> None:
    one = np.zeros((1, len(FEATURES)))
    one[0, feature] = 1e4
    cohort = np.array([COHORTS.index("http")])
    found = model.judge.score(one, np.array([-1]), cohort)
    ordinary = model.judge.score(np.zeros_like(one), np.array([-1]), cohort)
    assert found.score[0] > ordinary.score[0]
    assert found.p_value[0] < ordinary.p_value[0]
    lead = FAMILIES.index(FEATURES[feature].family)
    assert found.families[0].argmax() == lead
    assert model.judge.shares(found)[0].argmax() == feature


def test_of_a_family_only_the_largest_counts_beyond_what_all_are_granted() -> None:
    surprise = np.zeros((1, len(FEATURES)))
    members = [number for number, feature in enumerate(FEATURES) if feature.family == "load"]
    surprise[0, members] = np.linspace(GRANT + 1.0, GRANT + 2.0, len(members))
    parts = family_parts(surprise)[0]
    assert parts[FAMILIES.index("load")] == pytest.approx(2.0)
    assert parts.sum() == pytest.approx(2.0)


def test_a_function_never_seen_is_judged_as_one_of_its_trigger(model: Model, raw: Any) -> None:
    cohort = np.full(len(raw), COHORTS.index("timer"))
    found = model.judge.score(raw, np.full(len(raw), -1), cohort)
    assert np.isfinite(found.score).all()
    assert ((found.p_value > 0.0) & (found.p_value <= 1.0)).all()


def test_a_judge_comes_back_from_its_tables(model: Model, clean: pa.RecordBatch) -> None:
    back = judge_from(dict(tables_of(model.judge))).judge(clean)
    there = model.judge.judge(clean)
    assert (back.score == there.score).all()
    assert (back.p_value == there.p_value).all()
