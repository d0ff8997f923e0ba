"""What is usual is learned from events in any order, where there are few from the cohort, and not from rare trouble."""

from __future__ import annotations

import random
from dataclasses import replace
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from models import baselines
from models.baselines import CLOCK, COHORTS, HOURS_A_WEEK, LEVELS, Baselines, hour_of_week, pair_codes
from models.hashing import hash_strings
from tests.detectors.life import DAY, HOUR, MINUTE, SECOND, baselines_of, ordinary, sketch_of, timer
from tests.detectors.rows import EPOCH_US, rows

MEDIAN = int(np.searchsorted(LEVELS, 0.5))
ARRAYS = (
    "quantiles",
    "failure_rate",
    "refusal_rate",
    "rate",
    "dispersion",
    "between_days",
    "day_spread",
    "waves",
    "tail_high",
    "tail_low",
    "by_hand",
    "phases",
    "count",
)


def row_of(baselines: Baselines, function: str) -> int:
    return baselines.functions.index(function)


def same(one: Baselines, other: Baselines) -> None:
    assert (one.apps, one.functions, one.window) == (other.apps, other.functions, other.window)
    for name in ARRAYS:
        # sums of floats may differ in their last bit where they are added in another order
        np.testing.assert_allclose(getattr(one, name), getattr(other, name), rtol=1e-9, atol=1e-12, err_msg=name)


def test_the_rhythm_of_the_day_is_learned() -> None:
    busy = [record for day in range(7) for record in ordinary(day * DAY + 9 * HOUR, 8, every=MINUTE)]
    quiet = ordinary(0, 7 * 24, every=HOUR)
    found = baselines_of([*busy, *quiet])
    rate = found.rate[row_of(found, "Pay")] * 3600.0
    hours = (np.arange(HOURS_A_WEEK)) % 24
    assert rate[hours == 12].mean() == pytest.approx(61.0, rel=0.1)
    assert rate[hours == 3].mean() == pytest.approx(1.0, rel=0.3)
    # the whole week adds up to what came
    assert rate.sum() == pytest.approx(len(busy) + len(quiet), rel=0.05)


def test_a_few_messages_more_are_unnoticed_by_how_much_the_tenant_does() -> None:
    queue = ordinary(0, 48, every=HOUR, function="Drain", trigger="queue")
    for every, few in ((HOUR, 0.02), (MINUTE, 0.61)):
        found = baselines_of([*ordinary(0, 48, every=every), *queue])
        assert found.unnoticed()[row_of(found, "Drain")] == pytest.approx(few, rel=0.1)
        assert found.unnoticed()[row_of(found, "Pay")] == 0.0
    assert replace(found, rate=1e6 * found.rate).unnoticed().max() == 100.0


def test_weeks_without_any_log_are_missing_and_no_silence() -> None:
    week = ordinary(0, 7 * 24, every=HOUR)
    later = ordinary(42 * DAY, 7 * 24, every=HOUR)
    stray = ordinary(-4_000 * DAY, 0.01)
    found = baselines_of([*stray, *week, *later])
    rate = found.rate[row_of(found, "Pay")] * 3600.0
    assert rate.mean() == pytest.approx(1.0, rel=0.1)


def test_an_hour_of_which_the_logs_hold_the_begin_alone_is_not_taken_for_empty() -> None:
    """Exports end a moment after midnight, and a job runs a few minutes later."""
    nightly = [
        record for day in range(5) for record in ordinary(day * DAY + 10 * MINUTE, 0.25, every=SECOND, function="Bill")
    ]
    others = ordinary(0, 5 * 24, every=10 * MINUTE)
    whole = baselines_of([*nightly, *others])
    cut = baselines_of([*nightly, *others, *ordinary(5 * DAY, 0.001)])
    midnight = hour_of_week(np.array([EPOCH_US + 5 * DAY]))[0]
    expected, found = (one.rate[row_of(one, "Bill"), midnight] for one in (whole, cut))
    assert found == pytest.approx(expected, rel=0.01)
    assert found > 0.1


def test_who_rests_at_night_may_rest_on_a_day_that_training_did_not_see() -> None:
    # 2026-11-01 is a Sunday; four days of an office from Monday on, and of a shop that never rests
    office = [
        record for day in range(1, 5) for record in ordinary(day * DAY + 8 * HOUR, 9, every=MINUTE, function="Book")
    ]
    found = baselines_of([*office, *ordinary(DAY, 4 * 24, every=5 * MINUTE)])
    noon, friday = np.arange(HOURS_A_WEEK) % 24 == 12, np.arange(HOURS_A_WEEK) // 24 == 4
    book, pay = (row_of(found, name) for name in ("Book", "Pay"))
    missed = found.missed()
    assert found.covered.sum() == 4 * 24
    assert found.rate[book, noon & friday] > 0.01
    assert missed[book, noon & friday] == 0.0
    np.testing.assert_array_equal(missed[:, found.covered], found.rate[:, found.covered])
    np.testing.assert_allclose(missed[pay], found.rate[pay], rtol=0.1)


def test_one_busy_day_promises_hardly_more_for_its_day_of_the_week() -> None:
    # twelve days from Sunday on: ten calls an hour, and on the second Tuesday four hundred from ten to eleven
    calm = ordinary(0, 12 * 24, every=6 * MINUTE)
    sale = ordinary(9 * DAY + 10 * HOUR, 1, every=9 * SECOND)
    found = baselines_of([*calm, *[{**one, "invocation_id": f"s{n}"} for n, one in enumerate(sale)]])
    pay, hour = row_of(found, "Pay"), 24 + 10
    # it is expected there, and not missed
    assert 3600.0 * found.rate[pay, hour] > 50.0
    assert 8.0 < 3600.0 * found.missed()[pay, hour] < 25.0
    assert found.missed()[pay, hour] < 0.7 * found.rate[pay, hour] * found.lasting[pay, 10]
    np.testing.assert_allclose(3600.0 * found.missed()[pay, 48:72], 10.0, rtol=0.5)


def test_what_comes_at_that_time_of_every_day_is_steady_and_no_more_than_is_missed() -> None:
    # 2026-11-01 is a Sunday, on which one call in four comes; nothing is known of the Saturday
    sunday = ordinary(0, 24, every=4 * MINUTE)
    found = baselines_of([*sunday, *ordinary(DAY, 5 * 24, every=MINUTE), *timer(0, 6 * 24)])
    pay, tick = row_of(found, "Pay"), row_of(found, "Tick")
    steady = 3600.0 * found.steady()
    np.testing.assert_allclose(steady[pay, 26:45], 15.0, rtol=0.3)
    np.testing.assert_allclose(steady[tick, 2:118], 12.0, rtol=0.1)
    assert (found.steady() <= found.missed()).all()


def test_of_a_weekend_that_training_did_not_see_no_more_is_missed_than_in_the_quietest_hour() -> None:
    # from Monday to Friday: by day a call a minute, by night one in five; a timer all the time
    days = [record for day in range(1, 6) for record in ordinary(day * DAY + 6 * HOUR, 16, every=MINUTE)]
    nights = ordinary(DAY, 5 * 24, every=5 * MINUTE)
    found = baselines_of([*days, *nights, *timer(DAY, 5 * 24)])
    pay, tick, saturday = row_of(found, "Pay"), row_of(found, "Tick"), 5 * 24 + 12
    missed = found.missed()
    assert found.rate[pay, saturday] > 4.0 * missed[pay, saturday]
    assert missed[pay, saturday] > 0.0
    assert missed[tick, saturday] == pytest.approx(found.rate[tick, saturday], rel=0.1)
    np.testing.assert_array_equal(missed[:, :120], found.rate[:, :120])


def test_a_weekend_is_told_from_working_days() -> None:
    # 2026-11-01 is a Sunday; three weeks of calls from Monday to Friday
    days = [day for day in range(1, 22) if day % 7 not in (0, 6)]
    found = baselines_of([record for day in days for record in ordinary(day * DAY, 24, every=2 * MINUTE)])
    rate = found.rate[row_of(found, "Pay")]
    assert rate[:120].mean() > 10.0 * rate[120:].mean()


def test_a_function_born_in_the_last_days_is_as_busy_as_it_was_since() -> None:
    others = ordinary(0, 7 * 24, every=10 * MINUTE)
    found = baselines_of([*others, *ordinary(6 * DAY, 24, every=MINUTE, function="Recommend")])
    rate = found.rate[row_of(found, "Recommend")] * 3600.0
    assert rate.min() > 40.0
    assert rate.mean() == pytest.approx(60.0, rel=0.1)
    # empty five minutes before it was there are none of its life
    assert found.dispersion[row_of(found, "Recommend")] == pytest.approx(1.0, abs=0.3)


def test_bursts_at_another_hour_each_day_are_a_functions_way_though_each_made_its_own_hour_busy() -> None:
    quiet = ordinary(0, 5 * 24, every=HOUR)
    steady = ordinary(0, 5 * 24, every=48 * MINUTE, function="Steady")
    crawls = [
        record
        for day, hour in enumerate((3, 8, 11, 2, 14))
        for record in ordinary(day * DAY + hour * HOUR, 0.33, every=40 * SECOND, function="Docs")
    ]
    found = baselines_of([*quiet, *steady, *crawls])
    assert found.dispersion[row_of(found, "Docs")] > 5.0
    assert found.dispersion[row_of(found, "Steady")] < 1.5


def test_an_app_that_rests_while_the_logs_begin_is_not_taken_for_new() -> None:
    # 2026-11-01 is a Sunday, before it a Saturday: nobody works till Monday
    others = ordinary(-DAY, 7 * 24, every=10 * MINUTE)
    office = [
        record for day in range(1, 6) for record in ordinary(day * DAY + 8 * HOUR, 9, every=MINUTE, function="Book")
    ]
    found = baselines_of([*others, *office])
    rate = found.rate[row_of(found, "Book")] * 3600.0
    assert rate[120:].max() < 0.1 * rate[:120].max()


def test_hours_of_the_week_begin_on_monday() -> None:
    assert hour_of_week(np.array([EPOCH_US]))[0] == 6 * 24
    assert hour_of_week(np.array([EPOCH_US + DAY]))[0] == 0


def test_a_function_seen_little_borrows_the_spread_of_its_cohort() -> None:
    many = ordinary(0, 96, duration_ms=lambda n: float(100.0 * np.exp(1.2 * np.sin(n * 2.399))))
    few = ordinary(0, 0.2, function="Rare", duration_ms=lambda n: 1_000.0 + n)
    found = baselines_of([*many, *few])
    pay, rare = row_of(found, "Pay"), row_of(found, "Rare")
    assert found.quantiles[rare, MEDIAN] == pytest.approx(np.log(1_000.0), abs=0.1)
    spread = found.quantiles[:, -1] - found.quantiles[:, MEDIAN]
    assert spread[rare] > 0.4 * spread[pay] > 0.0
    assert 0.0 < found.failure_rate[rare] < 0.5


def test_a_cohort_stands_in_for_functions_never_seen() -> None:
    found = baselines_of([*ordinary(0, 48), *timer(0, 48)])
    http, clock = (len(found) + COHORTS.index(name) for name in ("http", "timer"))
    assert found.quantiles[http, MEDIAN] == pytest.approx(np.log(100.0), abs=0.1)
    assert found.quantiles[clock, MEDIAN] == pytest.approx(np.log(50.0), abs=0.1)
    assert (found.rate[len(found) :] == 0.0).all()


def test_three_percent_of_trouble_in_training_sets_no_standard() -> None:
    life = ordinary(0, 96)
    outage = ordinary(50 * HOUR, 96 * 0.03, succeeded=False, status=500, duration_ms=30_000.0, every=2 * MINUTE)
    clean, troubled = baselines_of(life), baselines_of([*life, *outage])
    pay = row_of(clean, "Pay")
    assert troubled.failure_rate[pay] < 0.03
    assert troubled.quantiles[pay, MEDIAN] == pytest.approx(clean.quantiles[pay, MEDIAN], abs=0.02)
    assert troubled.quantiles[pay, : MEDIAN + 5] == pytest.approx(clean.quantiles[pay, : MEDIAN + 5], abs=0.1)
    assert troubled.dispersion[pay] < 3.0 * clean.dispersion[pay]
    assert troubled.rate[pay].mean() == pytest.approx(clean.rate[pay].mean(), rel=0.1)


@pytest.mark.parametrize(
    ("records", "bins"),
    [
        (timer(0, 96, every=5 * MINUTE), 120),
        (timer(0, 24 * 8, every=DAY), 1440),
        (timer(0, 96, every=HOUR), 120),
    ],
    ids=["five minutes", "daily", "hourly"],
)
def test_a_schedule_is_found(records: list[dict[str, Any]], bins: int) -> None:
    found = baselines_of([*records, *ordinary(0, 48)])
    tick = row_of(found, "Tick")
    assert found.phase_count[tick] == bins
    assert (found.phases[tick] > 0).sum() <= 0.3 * bins
    assert found.phase_count[row_of(found, "Pay")] == 0


def test_a_timer_that_keeps_no_schedule_has_none() -> None:
    generator = random.Random(1)
    scattered = [{**record, "event_time": generator.randrange(4 * DAY)} for record in timer(0, 96)]
    found = baselines_of(scattered)
    assert found.phase_count[row_of(found, "Tick")] == 0


def test_a_daily_timer_is_held_against_all_timers_that_keep_a_schedule() -> None:
    nights = [run for number in range(12) for run in timer(number * HOUR, 120, every=DAY, function=f"Night{number}")]
    often = [run for number in range(10) for run in timer(0, 120, every=HOUR, function=f"Hourly{number}")]
    at_odd_times = [
        {**run, "event_time": run["event_time"] * 1.3} for run in timer(0, 96, every=7 * HOUR, function="Whenever")
    ]
    found = baselines_of([*nights, *often])
    claims = found.starts_on_schedule()
    # each by its starts, though by no more than one an hour
    assert claims[row_of(found, "Night0")] == pytest.approx(12 * 5 + 10 * 120, rel=0.01)
    assert claims[row_of(found, "Hourly0")] == claims[row_of(found, "Night0")]
    ticks = baselines_of([*nights, *often, *timer(0, 120, every=5 * MINUTE, function="Tick")])
    assert ticks.starts_on_schedule()[row_of(ticks, "Night0")] == pytest.approx(12 * 5 + 11 * 120, rel=0.01)
    # who does as he likes is no witness, and makes the others less sure
    mixed = baselines_of([*nights, *often, *at_odd_times])
    claims = mixed.starts_on_schedule()
    assert claims[row_of(mixed, "Whenever")] == 0.0
    assert claims[row_of(mixed, "Night0")] == pytest.approx((12 * 5 + 10 * 120) / 2, rel=0.02)


def test_what_came_five_times_on_the_second_comes_by_a_clock() -> None:
    nights = [run for number in range(2) for run in timer(number * HOUR, 120, every=DAY, function=f"Night{number}")]
    five, four = baselines_of(nights), baselines_of([run for run in nights if run["event_time"] < 4 * DAY])
    assert five.starts_on_schedule()[row_of(five, "Night0")] == CLOCK
    assert four.starts_on_schedule()[row_of(four, "Night0")] < 10.0


def test_busy_hours_are_those_in_which_anything_runs() -> None:
    found = baselines_of([*timer(0, 120, every=MINUTE, function="Tick"), *timer(0, 120, every=DAY, function="Night")])
    assert found.busy_hours()[COHORTS.index("timer")] == pytest.approx(25.0, abs=0.7)
    assert found.busy_hours().sum() == found.busy_hours()[COHORTS.index("timer")]


def test_functions_that_are_no_timers_keep_no_schedule_however_regular() -> None:
    found = baselines_of(ordinary(0, 96, every=5 * MINUTE))
    assert (found.phase_us == 0).all()


@given(seed=st.integers(0, 2**16), parts=st.integers(1, 6))
@settings(max_examples=10)
def test_neither_order_nor_parts_matter(seed: int, parts: int) -> None:
    batch = rows(LIFE)
    generator = np.random.default_rng(seed)
    order = generator.permutation(batch.num_rows)
    whole = sketch_of(batch).fit()
    pieces = [sketch_of(batch.take(piece)) for piece in np.array_split(order, parts)]
    merged = pieces[0]
    for piece in pieces[1:]:
        merged.merge(piece)
    same(merged.fit(), whole)


@given(seed=st.integers(0, 2**16))
@settings(max_examples=10)
def test_countries_that_nobody_can_come_from_take_no_more_room_whatever_their_order(seed: int) -> None:
    lands = [f"land {number}" for number in range(40)]
    batch = rows([record for land in lands for record in ordinary(0, 1, every=20 * MINUTE, country=land)])
    generator = np.random.default_rng(seed)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(baselines, "MOST_COUNTRIES", 10)
        pieces = [sketch_of(batch.take(part)) for part in np.array_split(generator.permutation(batch.num_rows), 4)]
        merged = pieces[0]
        for piece in pieces[1:]:
            merged.merge(piece)
        assert len(merged.countries) <= 20
        found = merged.fit()
    hashes = np.sort(hash_strings(pa.array(lands)))
    np.testing.assert_array_equal(found.countries, hashes[:10])
    np.testing.assert_array_equal(found.country_count, np.full(10, batch.num_rows / len(lands)))
    assert hash_strings(pa.array(found.country_names)).tolist() == hashes[:10].tolist()


LIFE = [*ordinary(0, 24), *timer(0, 24), *ordinary(5 * HOUR, 2, app="other", every=30 * SECOND)]


def test_updates_one_after_the_other_equal_one_update() -> None:
    batch = rows(LIFE)
    sketch = sketch_of(batch.slice(0, 100))
    rest = batch.slice(100)
    sketch.update(
        rest,
        sketch.function_index(rest["app"], rest["function"]),
        np.zeros(rest.num_rows, np.bool_),
        hash_strings(rest["invocation_id"]),
    )
    same(sketch.fit(), sketch_of(batch).fit())


def test_a_row_that_stands_for_many_counts_as_many() -> None:
    found = baselines_of(ordinary(0, 24, item_count=10))
    pay = row_of(found, "Pay")
    assert found.count[pay] == 10 * 24 * 30
    assert found.rate[pay].mean() * 3600 == pytest.approx(300.0, rel=0.2)


def test_a_table_brings_it_back() -> None:
    found = baselines_of(LIFE)
    back = Baselines.from_table(found.to_table())
    assert back.to_table().equals(found.to_table())
    same(back, found)


def test_countries_are_known_by_name_where_training_saw_them() -> None:
    found = baselines_of([*ordinary(0, 24, country="Chile"), *ordinary(0, 24, app="other", country="Côte d'Ivoire")])
    wanted = hash_strings(pa.array(["Côte d'Ivoire", "Peru", None, "Chile"]))
    for one in (found, Baselines.from_table(found.to_table())):
        assert one.named(wanted).to_pylist() == ["Côte d'Ivoire", "", None, "Chile"]
    # as models of earlier versions have it
    assert replace(found, country_names=()).named(wanted).to_pylist() == ["", "", None, ""]


def test_nothing_seen_is_still_a_baseline() -> None:
    found = sketch_of(rows([*LIFE]).slice(0, 0)).fit()
    assert len(found) == 0
    assert len(found.quantiles) == len(COHORTS)
    assert np.isfinite(found.quantiles).all()


def test_pairs_are_numbered_alike_by_a_table_and_by_sorting(monkeypatch: pytest.MonkeyPatch) -> None:
    generator = random.Random(0)
    apps = pa.array([f"app-{generator.randrange(9)}" for _ in range(500)])
    functions = pa.array([f"F{generator.randrange(30)}" for _ in range(500)])
    codes, names = pair_codes(apps, functions)
    assert [names[code] for code in codes.tolist()] == list(zip(apps.to_pylist(), functions.to_pylist(), strict=True))
    monkeypatch.setattr(baselines, "_MOST_PAIRS", 0)
    sorted_codes, sorted_names = pair_codes(apps, functions)
    assert codes.tolist() == sorted_codes.tolist()
    assert names == sorted_names
