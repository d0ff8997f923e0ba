"""Training: the same logs give the same bytes, a few percent of trouble does no harm, and too little is refused."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from detectors import training
from detectors.features import FAMILIES, FEATURE_NAMES, INDEX
from detectors.function_features import FunctionFeatures, from_matrix
from detectors.function_kernel import UNWATCHED
from detectors.function_stage import CollateStage
from detectors.local import Stage, run_local
from detectors.model import Model
from detectors.order import in_order, with_at
from detectors.silences import BY_THE_CLOCK, by_the_clock
from detectors.timeline import END, Timeline
from detectors.training import TrainingOptions, _daily, train
from models.assured import MIN_SILENCE
from models.baselines import US
from models.bundle import encode_bundle
from models.errors import InputError
from pipelines import workflows
from pipelines.graph import CALLER_KEY, FUNCTION_KEY
from pipelines.simulate import simulate
from pipelines.sources.files import expand, read
from tests.conftest import TENANT_DAYS, TENANT_SCALE, TENANT_SEED, TENANT_TRAIN_DAYS, Tenant, once
from tests.detectors.life import DAY, HOUR, MINUTE, SECOND, ordinary, timer
from tests.detectors.rows import EPOCH_US, rows


def collated(folder: Path) -> pa.RecordBatch:
    """Each invocation once, in order."""
    batches = [with_at(piece.rows, every_operation=True) for ref in expand([str(folder)]) for piece in read(ref)]
    rows, _, _ = run_local(batches, [Stage("function", FUNCTION_KEY, CollateStage())])
    assert rows is not None
    return rows


@pytest.fixture(scope="module")
def learned(tenant: Tenant) -> pa.RecordBatch:
    return collated(tenant.train)


def bytes_of(model: Model) -> dict[str, bytes]:
    tables, documents = model.to_parts()
    return dict(encode_bundle(tables=tables, documents=documents, manifest={}))


def in_slices(rows: pa.RecordBatch, size: int) -> Iterator[pa.RecordBatch]:
    for start in range(0, rows.num_rows, size):
        yield rows.slice(start, size)


def test_a_row_from_years_ago_changes_next_to_nothing(learned: pa.RecordBatch, model: Model) -> None:
    years = 9 * 365 * 86_400_000_000
    first = learned.slice(0, 1).to_pylist()[0]
    stray = {**first, "invocation_id": "stray", "at": first["at"] - years}
    stray["event_time"] = first["event_time"] - timedelta(microseconds=years)
    rows = pa.RecordBatch.from_pylist([stray], schema=learned.schema)
    found = train(lambda: iter([rows, learned]))
    assert found.curve.days == pytest.approx(model.curve.days, rel=0.01)
    with_stray, without = (one.judge.baselines.rate.mean(axis=1) for one in (found, model))
    np.testing.assert_allclose(with_stray, without, rtol=0.05)
    assert [note for note in found.notes if "counts as missing" in note]


def test_hours_that_no_held_out_caller_had_a_habit_of_are_not_judged(learned: pa.RecordBatch) -> None:
    hours = FEATURE_NAMES.index("caller_hours")
    raw = np.zeros((1, len(FEATURE_NAMES)), np.float32)
    raw[0, hours] = 6.0
    short = learned.filter(pc.less(learned["at"], learned["at"][0].as_py() + 86_400_000_000))
    judge = train(lambda: iter([short]), TrainingOptions(forest=False)).judge
    assert judge.surprise(raw, np.array([-1]), np.zeros(1, np.int64))[0, hours] < 0.01


def test_the_same_logs_and_seed_give_the_same_bundle_however_they_are_sliced(
    learned: pa.RecordBatch, model: Model
) -> None:
    # the shared model was trained through Beam
    again = bytes_of(train(lambda: in_slices(learned, 5_000)))
    there = bytes_of(model)
    assert again.keys() == there.keys()
    assert [name for name in again if again[name] != there[name]] == []


def test_nobody_misses_a_function_whose_silences_were_never_measured(learned: pa.RecordBatch, model: Model) -> None:
    app, function = ("shop", "Newborn")
    mine = learned.slice(learned.num_rows - 200)
    for name, value in (("app", app), ("function", function)):
        place = mine.schema.get_field_index(name)
        mine = mine.set_column(
            place, mine.schema.field(name), pa.repeat(value, mine.num_rows).cast(mine.schema.types[place])
        )
    ids = pa.array([f"newborn-{n}" for n in range(mine.num_rows)])
    place = mine.schema.get_field_index("invocation_id")
    mine = mine.set_column(place, mine.schema.field("invocation_id"), ids.cast(mine.schema.types[place]))
    later = train(lambda: [learned, mine.slice(0, 0), mine])
    names = list(zip(later.judge.baselines.apps, later.judge.baselines.functions, strict=True))
    assert later.silence_nats[names.index((app, function))] >= UNWATCHED
    assert (model.silence_nats < UNWATCHED).mean() > 0.5


def test_a_timer_that_never_kept_anybody_waiting_is_missed_sooner_than_what_comes_by_chance(model: Model) -> None:
    silence = dict(zip(model.judge.baselines.functions, model.silence_nats.tolist(), strict=False))
    # four runs an hour by the clock, and as many calls by people; a job of the night has not run often enough to tell
    assert silence["CloseOrders"] < MIN_SILENCE <= min(silence["SignIn"], silence["NightlyReport"])


def of_the_night(timers: int, days: int, skipped: Callable[[int, int], bool], begin: int = 0) -> pa.RecordBatch:
    """Days of a tenant with a busy function and daily timers, each at its own time of day."""
    life = ordinary(begin * DAY, 24.0 * days, every=HOUR // 4)
    for number in range(timers):
        for day in range(begin, begin + days):
            if not skipped(number, day):
                life += timer(day * DAY + number * HOUR, 0.1, function=f"Night{number}")
    return in_order(rows(life))


def never(number: int, day: int) -> bool:
    return False


@pytest.fixture(scope="module")
def nightly() -> Model:
    return train(lambda: [of_the_night(10, 10, never)], TrainingOptions(forest=False))


def silences_of(model: Model) -> dict[str, float]:
    return dict(zip(model.judge.baselines.functions, model.silence_nats.tolist(), strict=False))


def test_one_run_that_a_daily_timer_skips_is_told_where_the_tenants_timers_skip_none(nightly: Model) -> None:
    after = of_the_night(10, 14, lambda number, day: number == 3 and day == 12)
    at = np.asarray(after["at"])
    features = FunctionFeatures(nightly.judge.baselines, nightly.silence_nats)
    features.advance(after.slice(int(np.searchsorted(at, EPOCH_US + 10 * DAY))), int(at[-1]) + 1)
    told = features.raised()
    assert told is not None
    (gone,) = [row for row in told.to_pylist() if row["signal"] == "silence"]
    assert gone["function"] == "Night3"
    due = EPOCH_US + 12 * DAY + 3 * HOUR
    assert due < gone["at"] < due + 4 * HOUR


@pytest.mark.parametrize(("begins", "again"), [(4.2, True), (5.9, False)], ids=["over", "still going on"])
def test_what_was_too_strange_to_be_normal_life_is_no_habit_of_who_did_it(begins: float, again: bool) -> None:
    def flood(day: float) -> list[dict[str, Any]]:
        calls = ordinary(int(day * DAY), 0.25, every=SECOND, caller="address:192.0.2.1")
        return [{**call, "invocation_id": f"flood-{n}"} for n, call in enumerate(calls)]

    life = ordinary(0, 6 * 24.0, every=5 * MINUTE)
    model = train(lambda: [in_order(rows([*life, *flood(begins)]))], TrainingOptions(forest=False))
    assert any("too strange to count as normal life" in note for note in model.notes)
    features = FunctionFeatures(model.judge.baselines, model.silence_nats)
    features.restore(model.part("function"))
    after = features.advance(in_order(rows(flood(6.2))), END)
    pace = from_matrix(after.column("raw_function"))[:, INDEX["caller_pace_here"]].max()
    assert (pace > 100.0) == again


def test_it_is_known_of_held_out_callers_whether_they_have_a_name(monkeypatch: pytest.MonkeyPatch) -> None:
    named = {"caller": "user:ann", "caller_source": "user", "invocation_id": lambda n: f"ann-{n}"}
    placed = {"caller": "geography:Peru//Lima", "caller_source": "geography", "invocation_id": lambda n: f"lima-{n}"}
    life = [call for fields in ({}, named, placed) for call in ordinary(0, 6 * 24.0, every=20 * MINUTE, **fields)]
    held = []
    told = training.stories_of
    monkeypatch.setattr(training, "stories_of", lambda events, *others: held.append(events) or told(events, *others))
    train(lambda: [in_order(rows(life))], TrainingOptions(forest=False))
    for column, share in ((held[0].named, 1 / 3), (held[0].vague, 1 / 3), (held[0].identified, 1.0)):
        assert column.dtype == np.bool_
        assert column.mean() == pytest.approx(share, abs=0.01)
    assert not (held[0].named & held[0].vague).any()


def test_a_job_of_two_hours_is_missed_once_it_should_have_ended() -> None:
    def days(count: int, begin: int = 0, without: int = -1) -> pa.RecordBatch:
        life = ordinary(begin * DAY, 24.0 * count, every=HOUR // 4)
        for day in range(begin, begin + count):
            if day != without:
                # some start minutes before the hour ends, some after
                at = day * DAY + 3 * HOUR - (day % 3) * 4 * 60 * US
                took = 2 * HOUR + (day % 2) * HOUR // 6
                life += timer(at + took, 0.1, function="Night", duration_ms=took / 1000)
        return in_order(rows(life))

    model = train(lambda: [days(6)], TrainingOptions(forest=False))
    features = FunctionFeatures(model.judge.baselines, model.silence_nats)
    after = days(4, begin=6, without=8)
    features.advance(after, int(after["at"][-1].as_py()) + 1)
    told = features.raised()
    assert told is not None
    (gone,) = [row for row in told.to_pylist() if row["signal"] == "silence"]
    due = EPOCH_US + 8 * DAY + 5 * HOUR
    assert gone["function"] == "Night"
    assert due < gone["at"] < due + 4 * HOUR


@pytest.mark.parametrize("leads", [("load", "load", "novelty"), ("load", "schedule", "novelty")], ids=["none", "one"])
def test_starts_off_schedule_weigh_most_where_normal_life_has_none(leads: tuple[str, ...]) -> None:
    peaks = np.array([9.0, 8.0, 7.0])
    rows = np.arange(len(peaks))
    held = SimpleNamespace(raw=peaks, group=rows, cohort=rows)
    lead = np.array([FAMILIES.index(name) for name in leads])
    judge = SimpleNamespace(score=lambda raw, *_: raw, lead=lambda _: lead)
    weights = training._weights(held, judge, peaks, rows, rows, peaks, 2.5)  # type: ignore[arg-type]
    schedule = weights[FAMILIES.index("schedule")]
    rare = [FAMILIES.index(family) for family in training.MAX_WEIGHTS]
    assert np.delete(weights, rare).max() <= training.MAX_WEIGHT
    if "schedule" in leads:
        assert schedule <= 1.0
    else:
        assert training.MAX_WEIGHT < schedule <= training.MAX_WEIGHTS["schedule"]


def test_where_most_timers_skip_a_run_now_and_then_none_is_missed_for_that(nightly: Model) -> None:
    often = train(
        lambda: [of_the_night(10, 10, lambda number, day: number < 6 and day == 7)], TrainingOptions(forest=False)
    )
    seldom = train(
        lambda: [of_the_night(10, 10, lambda number, day: number < 2 and day == 7)], TrainingOptions(forest=False)
    )
    alone = train(lambda: [of_the_night(1, 6, never)], TrainingOptions(forest=False))
    assert max(silences_of(nightly)[f"Night{number}"] for number in range(10)) < 2.0
    assert min(silences_of(often)[f"Night{number}"] for number in range(10)) >= MIN_SILENCE
    assert min(silences_of(seldom)[f"Night{number}"] for number in range(2)) >= MIN_SILENCE
    assert max(silences_of(seldom)[f"Night{number}"] for number in range(2, 10)) < 2.0
    assert silences_of(alone)["Night0"] < 2.0


@pytest.mark.parametrize(("begins", "missed"), [(7.0, {"Night1"}), (7.4, set())], ids=["at once", "later"])
def test_a_job_that_does_not_run_on_the_first_night_is_missed_where_logs_go_on(begins: float, missed: set[str]) -> None:
    # six days from Monday to Saturday; on the Sunday, of which training saw nothing, the job does not run
    learned, after = of_the_night(3, 6, never, begin=1), of_the_night(3, 3, lambda number, day: number == 1, begin=7)
    model = train(lambda: [learned], TrainingOptions(forest=False))
    features = FunctionFeatures(model.judge.baselines, model.silence_nats)
    features.restore(model.part("function"))
    features.disarm()
    begin = int(np.searchsorted(np.asarray(after["at"]), EPOCH_US + int(begins * DAY)))
    features.advance(after.slice(begin), int(after["at"][-1].as_py()) + 1)
    told = features.raised()
    silent = [] if told is None else [row["function"] for row in told.to_pylist() if row["signal"] == "silence"]
    assert set(silent) == missed


@pytest.mark.parametrize(("without", "missed"), [(17, {"Night2"}), (20, set())], ids=["Wednesday", "Saturday"])
def test_a_job_of_working_days_is_missed_on_one_of_them_and_not_at_the_weekend(without: int, missed: set[str]) -> None:
    # most jobs of this tenant rest at weekends, the first day of which is a Sunday
    def rests(number: int, day: int) -> bool:
        return number in (1, 2, 3, 4) and (day % 7 in (0, 6) or (number == 2 and day == without))

    model = train(lambda: [of_the_night(6, 14, rests)], TrainingOptions(forest=False))
    assert max(silences_of(model)[f"Night{number}"] for number in range(6)) < 2.0
    features = FunctionFeatures(model.judge.baselines, model.silence_nats)
    after = of_the_night(6, 9, rests, begin=14)
    features.advance(after, int(after["at"][-1].as_py()) + 1)
    told = features.raised()
    silent = [] if told is None else [row["function"] for row in told.to_pylist() if row["signal"] == "silence"]
    assert set(silent) == missed


def test_of_a_timer_that_runs_every_two_hours_two_runs_are_missed() -> None:
    def days(count: int, begin: int, without: Callable[[int], bool]) -> pa.RecordBatch:
        life = ordinary(begin * DAY, 24.0 * count, every=HOUR // 4)
        for run in range(begin * 12, (begin + count) * 12):
            if not without(run):
                life += timer(run * 2 * HOUR + HOUR // 2, 0.1, function="Sweep")
        return in_order(rows(life))

    model = train(lambda: [days(8, 0, lambda run: False)], TrainingOptions(forest=False))
    assert 1.5 < silences_of(model)["Sweep"] < 2.5
    features = FunctionFeatures(model.judge.baselines, model.silence_nats)
    after = days(2, 8, lambda run: run in (100, 101, 110))
    features.advance(after, int(after["at"][-1].as_py()) + 1)
    told = features.raised()
    assert told is not None
    (gone,) = [row for row in told.to_pylist() if row["signal"] == "silence"]
    assert EPOCH_US + 200 * HOUR < gone["at"] < EPOCH_US + 204.5 * HOUR


@given(calls=st.integers(1, 500), gap=st.floats(0.1, 20.0))
def test_only_what_chance_would_not_leave_so_even_is_taken_for_coming_by_the_clock(calls: int, gap: float) -> None:
    at_random = (1.0 - np.exp(-gap)) ** calls
    assert by_the_clock(gap, calls) == (at_random < BY_THE_CLOCK)


def test_another_seed_grows_another_forest_and_leaves_the_rest(learned: pa.RecordBatch, model: Model) -> None:
    other = train(lambda: [learned], TrainingOptions(seed=1, trees=20))
    assert other.judge.forest is not None
    assert other.judge.forest.to_table() != model.judge.forest.to_table()  # type: ignore[union-attr]
    assert other.judge.baselines.to_table().equals(model.judge.baselines.to_table())


def scenarios_found(model: Model, tenant: Tenant) -> set[str]:
    """Kinds of trouble of which at least one invocation is in an incident."""
    plan = workflows.plan_for(model, 5.0)
    batches = [with_at(piece.rows) for ref in expand([str(tenant.replay)]) for piece in read(ref)]
    stages = [Stage("function", FUNCTION_KEY, plan.function), Stage("caller", CALLER_KEY, plan.caller)]
    _, raised, _ = run_local(batches, stages)
    assert plan.incident is not None
    timeline = Timeline(plan.incident.make(0, 1))
    for batch in raised:
        timeline.push(batch)
    strange = {
        name
        for batch in timeline.advance(END)
        for name in batch.filter(batch["anomalous"])["invocation_id"].to_pylist()
    }
    truth = pq.read_table(tenant.truth).to_pylist()
    return {row["scenario"] for row in truth if row["InvocationId"] in strange}


def test_three_percent_of_attacks_in_the_training_logs_do_little_harm(
    shared_folder: Path, tenant: Tenant, model: Model
) -> None:
    folder = once(
        shared_folder / "contaminated",
        lambda target: simulate(
            target,
            seed=TENANT_SEED,
            days=TENANT_DAYS,
            train_days=TENANT_TRAIN_DAYS,
            scale=TENANT_SCALE,
            contaminate=0.03,
            traces=False,
        ),
    )
    rows = collated(folder / "train")
    found = scenarios_found(train(lambda: [rows]), tenant)
    clean = scenarios_found(model, tenant)
    assert len(clean) >= 8
    assert len(found) >= 0.7 * len(clean)


def test_too_little_to_learn_from_is_refused_with_what_there_was(tmp_path: Path, tenant: Tenant) -> None:
    day = sorted(tenant.train.glob("*.parquet"))[0]
    pq.write_table(pq.read_table(day).slice(0, 50), tmp_path / "few.parquet")
    with pytest.raises(InputError) as caught:
        workflows.train([str(tmp_path / "few.parquet")], tmp_path / "models")
    assert "50 invocations" in str(caught.value.received)
    assert not list((tmp_path / "models").glob("versions/*"))


def test_logs_without_any_invocation_are_refused(tmp_path: Path) -> None:
    (tmp_path / "empty.ndjson").write_text(json.dumps({"hello": "world"}) + "\n")
    with pytest.raises(InputError):
        workflows.train([str(tmp_path / "empty.ndjson")], tmp_path / "models")


@pytest.mark.parametrize(
    ("hours", "comes_back"),
    [
        ((0, 24), True),
        ((23, 48), True),
        ((0, 30), False),
        ((22, 23), False),
        ((23, 24), False),
        ((0,), False),
        (range(48), False),
    ],
)
def test_what_comes_back_at_the_same_hour_of_another_day_is_a_job(hours, comes_back) -> None:
    at = np.array([day_hour * 3_600_000_000 + 60_000_000 for day_hour in hours])
    held = SimpleNamespace(at=at, function=np.full(len(at), 5))
    strange, story = np.arange(len(at)), np.zeros(len(at), np.int64)
    score = np.linspace(8.0, 9.0, len(at))
    assert _daily(held, strange, story, score, np.array([9.0]), np.array([True])).tolist() == [comes_back]


def test_each_step_is_told(learned: pa.RecordBatch) -> None:
    told: list[str] = []
    train(lambda: [learned.slice(0, 4_000)], TrainingOptions(forest=False), told.append)
    assert len(told) >= 4


def test_forests_are_for_whom_one_says(learned: pa.RecordBatch, model: Model) -> None:
    assert model.judge.forest is not None
    assert len(model.judge.forest) > 1
    alone = train(lambda: [learned], TrainingOptions(forest="tenant", trees=20)).judge
    assert alone.forest is not None
    assert len(alone.forest) == 1
    assert (alone.forest_of == 0).all()
    assert TrainingOptions(forest=False).scope == "none"
    with pytest.raises(InputError, match="No such forests"):
        train(lambda: [learned.slice(0, 4_000)], TrainingOptions(forest="all"))  # type: ignore[arg-type]


def test_without_a_forest_a_model_still_judges(learned: pa.RecordBatch) -> None:
    found = train(lambda: [learned.slice(0, 8_000)], TrainingOptions(forest=False))
    assert found.judge.forest is None
    assert found.curve.threshold(1.0) > 0.0
