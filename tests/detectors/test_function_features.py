"""Each feature of a function's timeline rises for its own trouble, and has nothing to say about ordinary life."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pytest

from detectors import caller_kernel
from detectors import function_kernel as kernel
from detectors.features import CALLER_FEATURES, FUNCTION_FEATURES, INDEX
from detectors.function_features import FunctionFeatures, from_matrix, refusals
from detectors.function_kernel import UNWATCHED
from detectors.order import in_order
from detectors.timeline import END
from models.baselines import Baselines
from tests.detectors.life import (
    DAY,
    HOUR,
    MINUTE,
    SECOND,
    Measured,
    baselines_of,
    live,
    ordinary,
    sketch_of,
    somebody,
    timer,
    usual_ms,
)
from tests.detectors.rows import EPOCH_US, rows

#: four days to learn from; what is tested comes on the fifth, after six ordinary hours
LEARNED, NOW = 4 * DAY, 4 * DAY + 6 * HOUR
STRANGER = "address:203.0.113.7"


@pytest.fixture(scope="module")
def usual() -> Baselines:
    catalogue = ordinary(0, 96, function="Catalogue", every=HOUR // 60)
    return baselines_of([*ordinary(0, 96), *timer(0, 96), *catalogue, *messages(0, 96)])


def messages(begin: int, hours: float, **fields: Any) -> list[dict[str, Any]]:
    """A queue's function: thirty messages an hour, of which one in twenty takes long."""
    plain: dict[str, Any] = {
        "function": "Send",
        "trigger": "queue",
        "caller": "queue:mail",
        "caller_source": "queue",
        "duration_ms": lambda n: 9_000.0 if n % 20 == 7 else 90.0 + n % 23,
    }
    return ordinary(begin, hours, **{**plain, **fields})


def before(hours: float = 6.0, **fields: Any) -> list[dict[str, Any]]:
    """The ordinary hours that lead up to what is tested; with the day before, so that callers are known."""
    return ordinary(LEARNED - DAY, 24 + hours, **fields)


def trouble(count: int, every: int = 5 * SECOND, **fields: Any) -> list[dict[str, Any]]:
    """Calls of Pay on top of what is usual."""
    return [
        {**record, "invocation_id": f"bad-{number:04d}"}
        for number, record in enumerate(ordinary(NOW, count * every / HOUR, every=every, **fields))
    ]


def test_the_kernels_columns_are_named_in_the_order_of_the_features() -> None:
    of_function = [getattr(kernel, f"F_{feature.name.upper()}") for feature in FUNCTION_FEATURES]
    of_caller = [getattr(caller_kernel, f"G_{feature.name.upper()}") for feature in CALLER_FEATURES]
    assert of_function == list(range(len(FUNCTION_FEATURES)))
    assert of_caller == list(range(len(CALLER_FEATURES)))


def test_ordinary_life_says_little(usual: Baselines) -> None:
    found = live(usual, before(18.0), timer(LEARNED - DAY, 42.0))
    day = found.rows["event_time"].cast("int64").to_numpy() >= EPOCH_US + LEARNED
    for feature in ("failure_burst", "redelivery", "attack_signature", "off_schedule", "unscheduled", "new_function"):
        assert (found.raw(feature)[day] == 0.0).all(), feature
    for feature in ("latency_shift", "latency_drop", "client_error_burst", "pace_minutes", "pace_hour", "growth_days"):
        assert found.raw(feature)[day].max() < 6.0, feature


def test_a_run_far_beyond_the_functions_own_longest_stands_out(usual: Baselines) -> None:
    found = live(usual, before(), trouble(1, duration_ms=60_000.0))
    assert found.raw("duration_high", "bad").max() > 2.0 * found.raw("duration_high", "Pay").max()
    assert found.raw("duration_record", "bad").max() > 1.0
    assert found.raw("duration_low", "bad").max() == 0.0
    assert found.value("duration_high", "bad") == pytest.approx([60_000.0])


def test_runs_beyond_the_longest_add_up(usual: Baselines) -> None:
    found = live(usual, before(), trouble(6, 10 * MINUTE, duration_ms=20_000.0))
    record = found.raw("duration_record", "bad")
    assert record[-1] > 5.0 * record[0] > 0.0
    # in between nothing is as long as it was
    assert found.raw("duration_record", "Pay").max() == 0.0


def test_a_run_a_little_beyond_the_longest_is_not_one_more_of_those_far_beyond_it(usual: Baselines) -> None:
    far, alone = trouble(40, 30 * SECOND, duration_ms=20_000.0), ordinary(NOW + 3 * HOUR, 0.05, duration_ms=200.0)
    after = [{**row, "invocation_id": f"after-{n}"} for n, row in enumerate(alone)]
    found = live(usual, before(12.0), far, after)
    assert found.raw("duration_record", "bad").max() > 40.0
    assert 0.0 < found.raw("duration_record", "after").max() < 6.0
    first = live(usual, before(12.0), after).raw("duration_record", "after").max()
    assert found.raw("duration_record", "after").max() == pytest.approx(kernel.RECORDS_ALIKE * first, rel=0.2)


def test_a_run_beyond_all_of_its_kind_says_more_than_one_that_others_take_too() -> None:
    def record(duration_ms: float, others_ms: float) -> float:
        others = ordinary(0, 96, function="Bill", duration_ms=others_ms, every=10 * MINUTE)
        found = live(baselines_of([*ordinary(0, 96), *others]), before(), trouble(1, duration_ms=duration_ms))
        return float(found.raw("duration_record", "bad").max())

    # what hangs is given up after half a minute at any function of this kind; what goes on for ten is another matter
    assert record(30_000.0, 30_000.0) == pytest.approx(record(30_000.0, 600_000.0), rel=1e-6)
    assert record(600_000.0, 30_000.0) > record(600_000.0, 600_000.0) + 2.0 * np.log(600.0 / 30.0)


def test_where_runs_take_one_of_two_times_more_of_the_longer_ones_stand_out() -> None:
    def cached(misses: int) -> Any:
        """Run times of a function of which so many of ten calls miss its cache, in no order."""
        return lambda n: 900.0 + n % 50 if n * 7919 % 10 < misses else 38.0 + n % 9

    usual = baselines_of(ordinary(0, 96, duration_ms=cached(2)))
    slower = live(usual, before(duration_ms=cached(2)), trouble(120, MINUTE, duration_ms=cached(6)))
    found = slower.raw("latency_shift", "bad")
    assert found[:40].max() > 8.0
    assert found.max() <= kernel.MOST_SLOWER
    assert live(usual, before(24.0, duration_ms=cached(2))).raw("latency_shift").max() < 4.0
    # as soon as they are as fast as ever it is over
    after = [
        {**row, "invocation_id": f"z-{n}"} for n, row in enumerate(ordinary(NOW + 3 * HOUR, 4, duration_ms=cached(2)))
    ]
    over = live(usual, before(duration_ms=cached(2)), trouble(120, MINUTE, duration_ms=cached(6)), after)
    assert over.raw("latency_shift", "z")[-60:].max() < 4.0


def test_some_runs_far_longer_for_hours_add_up_where_averages_hardly_move(usual: Baselines) -> None:
    # every tenth call takes twice as long as any did, which a bad quarter of an hour does as well
    found = live(usual, before(), trouble(240, 2 * MINUTE, duration_ms=lambda n: 300.0 if n % 10 == 9 else usual_ms(n)))
    long = found.raw("long_runs", "bad")
    assert long[9::10][-1] > 5.0
    assert long[9::10][-1] > 3.0 * long[9::10][3]
    assert (np.delete(long, np.s_[9::10]) > 0.0).mean() < 0.03
    assert found.raw("latency_shift", "bad").max() < long.max()
    assert live(usual, before(18.0)).raw("long_runs").max() < 1.0


def test_a_slow_quarter_of_an_hour_does_not_make_the_rest_of_the_day_slow(usual: Baselines) -> None:
    # all calls of some minutes are slow; later one in twenty is, as may well be
    slow = trouble(180, 5 * SECOND, duration_ms=300.0)
    after = ordinary(NOW + 15 * MINUTE, 3, duration_ms=lambda n: 300.0 if n % 20 == 19 else usual_ms(n))
    found = live(usual, before(), slow, [{**row, "invocation_id": f"after-{n:03d}"} for n, row in enumerate(after)])
    assert found.raw("long_runs", "after")[30:].max() < 2.0


def test_a_flood_of_slow_calls_does_not_make_the_hours_after_it_slow(usual: Baselines) -> None:
    flood = trouble(1_500, SECOND, duration_ms=300.0)
    after = ordinary(NOW + 30 * MINUTE, 4, duration_ms=lambda n: 300.0 if n % 40 == 39 else usual_ms(n))
    found = live(usual, before(), flood, [{**row, "invocation_id": f"after-{n:03d}"} for n, row in enumerate(after)])
    assert found.raw("long_runs", "after")[30:].max() < 2.0


def test_two_long_runs_hours_after_many_say_nothing(usual: Baselines) -> None:
    slow = trouble(360, 2 * MINUTE, duration_ms=lambda n: 300.0 if n % 3 == 0 else usual_ms(n))
    after = ordinary(NOW + 19 * HOUR, 1, duration_ms=lambda n: 300.0 if n in (8, 11) else usual_ms(n))
    found = live(usual, before(20.0), slow, [{**row, "invocation_id": f"after-{n:03d}"} for n, row in enumerate(after)])
    assert found.raw("long_runs", "bad").max() > 20.0
    # the hours before are remembered, and are not told again
    assert found.value("long_runs", "after").max() > 10.0
    assert found.raw("long_runs", "after").max() < 3.0


def test_the_long_runs_of_one_caller_are_set_aside_only_as_far_as_they_count(usual: Baselines) -> None:
    def long(caller: Any) -> float:
        slow = trouble(360, 80 * SECOND, duration_ms=lambda n: 300.0 if n % 4 == 3 else usual_ms(n), caller=caller)
        return float(live(usual, before(), slow).raw("long_runs", "bad").max())

    # more runs are long than count, and a third of them are one caller's, as are a third of all calls
    third = lambda n: STRANGER if n % 3 == 0 else f"user:{n}"  # noqa: E731
    assert long(third) >= 0.95 * long(lambda n: f"user:{n}") > 5.0


def test_runs_that_one_caller_waits_for_are_not_the_functions(usual: Baselines) -> None:
    def long(caller: Any) -> float:
        slow = trouble(240, 2 * MINUTE, duration_ms=lambda n: 300.0 if n % 10 == 9 else usual_ms(n), caller=caller)
        return float(live(usual, before(), slow).raw("long_runs", "bad").max())

    others = lambda n: STRANGER if n % 10 == 9 else somebody(n)  # noqa: E731
    assert long(others) < 0.3 * long(somebody)


def cut_off(count: int, ms: float, **fields: Any) -> Measured:
    usual = baselines_of(ordinary(0, 96))
    return live(usual, before(), trouble(count, 10 * MINUTE, duration_ms=ms, **{"succeeded": False, **fields}))


def test_runs_cut_off_at_a_time_limit_are_told_from_runs_that_are_long(usual: Baselines) -> None:
    limit = cut_off(3, 300_040.0).raw("time_limit", "bad")
    assert limit[0] == pytest.approx(np.log(96 * 30 + 2.0), rel=0.01)
    assert limit[2] > 2.9 * limit[0]
    for ms, fields in ((300_040.0, {"succeeded": True}), (290_000.0, {}), (2_000.0, {})):
        assert cut_off(3, ms, **fields).raw("time_limit").max() == 0.0, (ms, fields)


def nightly_cut_off(took: Callable[[int], float], limit_ms: float = 1_806_000.0) -> float:
    """A job of every night, cut off after half an hour."""
    nights = [
        record
        for day in range(4)
        for record in timer(day * DAY, 0.1, function="Night", duration_ms=took(day))
        + timer(day * DAY, 24.0, every=HOUR)
    ]
    killed = timer(LEARNED, 0.1, function="Night", duration_ms=limit_ms, succeeded=False)
    return float(live(baselines_of(nights), killed).raw("time_limit").max())


def test_of_few_runs_what_they_took_says_whether_a_limit_is_news() -> None:
    # one in 4 runs says little: those of all timers count together
    assert nightly_cut_off(lambda day: 1_000_000.0 + 50_000.0 * day) > np.log(90)
    assert nightly_cut_off(lambda day: 1_400_000.0 + 300_000.0 * (day % 2)) == 0.0
    assert nightly_cut_off(lambda day: 1_000_000.0, 1_820_000.0) == 0.0


def test_a_limit_that_runs_come_near_to_as_a_rule_is_none_that_cuts_them_off() -> None:
    slow = baselines_of(ordinary(0, 96, duration_ms=lambda n: 280_000.0 + n % 7))
    found = live(slow, trouble(3, 10 * MINUTE, duration_ms=300_040.0, succeeded=False))
    assert found.raw("time_limit").max() == 0.0


def test_a_run_that_ends_at_once_stands_out_at_the_other_end(usual: Baselines) -> None:
    found = live(usual, before(), trouble(1, duration_ms=0.5))
    assert found.raw("duration_low", "bad").max() > found.raw("duration_low", "Pay").max() + 5.0
    assert found.raw("duration_high", "bad").max() == 0.0


def test_a_shift_of_all_run_times_builds_up_over_calls(usual: Baselines) -> None:
    found = live(usual, before(), trouble(60, 2 * MINUTE, duration_ms=lambda n: 180.0 + n % 7))
    shift = found.raw("latency_shift", "bad")
    assert shift[40:].mean() > shift[:3].mean() + 5.0
    assert found.raw("latency_shift", "Pay").max() < shift.max() / 2


def test_a_few_per_cent_slower_is_nothing_to_be_called_for_however_alike_runs_are() -> None:
    alike = baselines_of(ordinary(0, 96, duration_ms=lambda n: 100.0 + n % 3))

    def slower_by(share: float) -> float:
        calm = before(duration_ms=lambda n: 100.0 + n % 3)
        slow = trouble(120, 2 * MINUTE, duration_ms=lambda n: (1.0 + share) * (100.0 + n % 3))
        return float(live(alike, calm, slow).raw("latency_shift", "bad").max())

    assert slower_by(0.08) == 0.0
    assert slower_by(0.15) < 0.5 * slower_by(0.3)
    assert slower_by(0.3) == pytest.approx(slower_by(0.6), rel=0.05)
    assert slower_by(0.3) > 5.0


def test_the_morning_after_a_slow_evening_is_not_slow(usual: Baselines) -> None:
    slow = trouble(30, MINUTE, duration_ms=190.0)

    def first_calls(rest: int) -> float:
        # a little slower than most calls, as every second one is
        after = ordinary(NOW + 30 * MINUTE + rest, 0.1, every=MINUTE, function="Pay", duration_ms=105.0)
        found = live(usual, before(), slow, [{**row, "invocation_id": f"after-{n}"} for n, row in enumerate(after)])
        return float(max(found.raw("latency_shift", f"after-{n}").max() for n in range(3)))

    assert first_calls(MINUTE) > 0.5
    assert first_calls(10 * HOUR) < 0.2 * first_calls(MINUTE)


def test_runs_as_long_as_ever_after_a_few_long_ones_are_none_of_them(usual: Baselines) -> None:
    slow = trouble(8, MINUTE, duration_ms=300.0)
    # a little slower than most calls, as every second one is
    after = ordinary(NOW + 8 * MINUTE, 0.5, every=MINUTE, duration_ms=105.0)
    found = live(usual, before(), slow, [{**row, "invocation_id": f"after-{n:03d}"} for n, row in enumerate(after)])
    over = found.raw("latency_shift", "after")
    assert found.raw("latency_shift", "bad").max() > 5.0
    # the average of sixteen runs is still high by then
    assert found.value("latency_shift", "after")[4:8].min() > 120.0
    assert over[4:].max() < 1.0


def test_less_than_a_millisecond_more_keeps_nobody_waiting() -> None:
    def claimed(usual_ms: float) -> float:
        alike = baselines_of(ordinary(0, 96, duration_ms=lambda n: usual_ms * (1.0 + n % 7 / 50)))
        calm = before(duration_ms=lambda n: usual_ms * (1.0 + n % 7 / 50))
        slow = trouble(60, MINUTE, duration_ms=lambda n: usual_ms * (2.7 + n % 7 / 50))
        return float(live(alike, calm, slow).raw("latency_shift", "bad").max())

    assert claimed(0.5) < 0.12 * claimed(50.0)
    assert claimed(50.0) > 10.0


def test_a_few_calls_hours_after_ones_flood_are_not_told_among_its_calls(usual: Baselines) -> None:
    flood = ordinary(NOW, 0.25, every=SECOND // 3, caller="user:eve", caller_source="user")
    few = ordinary(NOW + 2 * HOUR + 24 * MINUTE, 1 / 60, every=6 * SECOND, caller="user:eve", caller_source="user")
    sent = [{**row, "invocation_id": f"flood-{n:05d}"} for n, row in enumerate(flood)]
    after = [{**row, "invocation_id": f"after-{n:03d}"} for n, row in enumerate(few)]
    found = live(usual, before(), sent, after)
    assert found.value("pace_hour", "flood").max() > 2_000.0
    # the hour remembers hundreds of the flood's calls by then; at this pace it would hold these ten times over
    assert found.value("pace_hour", "after")[:3].max() < 15.0 * len(after)
    assert found.raw("pace_hour", "after").max() < 0.05 * found.raw("pace_hour", "flood").max()


def test_work_that_is_skipped_shows_as_a_drop(usual: Baselines) -> None:
    found = live(usual, before(), trouble(60, 2 * MINUTE, duration_ms=lambda n: 8.0 + n % 3))
    assert found.raw("latency_drop", "bad").max() > found.raw("latency_drop", "Pay").max() + 2.5
    assert found.raw("latency_shift", "bad").max() < 1.0


def test_a_few_runs_that_do_next_to_nothing_are_skipped_work_and_a_few_quicker_ones_are_not(usual: Baselines) -> None:
    def dropped(ms: float) -> float:
        found = live(usual, before(), trouble(12, 2 * MINUTE, duration_ms=lambda n: ms + n % 3))
        return float(found.raw("latency_drop", "bad").max())

    assert dropped(5.0) > 4.0
    assert dropped(45.0) < 0.5


def test_ten_times_slower_says_more_than_as_surely_half_as_slow_again(usual: Baselines) -> None:
    def shifted(times: float) -> float:
        found = live(usual, before(), trouble(60, 2 * MINUTE, duration_ms=lambda n: times * usual_ms(n)))
        return float(found.raw("latency_shift", "bad").max())

    assert shifted(30.0) > 1.2 * shifted(8.0) > 1.6 * shifted(3.0) > 0.0


def test_a_burst_of_failures_is_told_by_the_events_that_failed_alone(usual: Baselines) -> None:
    found = live(usual, before(), trouble(30, 10 * SECOND, succeeded=lambda n: n % 2 == 0, caller=somebody))
    burst = found.raw("failure_burst", "bad")
    assert (burst[0::2] == 0.0).all()
    assert burst[1::2][-1] > burst[1::2][0] > 0.0
    assert burst.max() > 20.0


def test_a_burst_of_refusals_of_many_callers_is_the_functions(usual: Baselines) -> None:
    found = live(usual, before(), trouble(30, 10 * SECOND, status=401, caller=lambda n: f"address:198.51.100.{n}"))
    assert found.raw("client_error_burst", "bad").max() > 20.0
    assert found.raw("failure_burst", "bad").max() == 0.0


def test_the_refusals_of_one_caller_are_not_laid_at_the_next_ones_door(usual: Baselines) -> None:
    guessing = trouble(60, 5 * SECOND, status=401, caller=STRANGER)
    mistyped = [{**trouble(1, status=404, caller=somebody)[0], "invocation_id": "slip", "event_time": NOW + 5 * MINUTE}]
    found = live(usual, before(), guessing, mistyped)
    assert found.raw("client_error_burst", "slip")[0] < 0.1 * found.raw("client_error_burst", "bad").max()


def test_a_flood_raises_the_pace_of_minutes_and_then_of_hours(usual: Baselines) -> None:
    found = live(usual, before(), trouble(200, 3 * SECOND, caller=lambda n: f"address:198.51.100.{n % 99}"))
    minutes, hour = found.raw("pace_minutes", "bad"), found.raw("pace_hour", "bad")
    assert minutes[-1] > minutes[10] > 0.0
    assert minutes[-1] > 10.0
    assert hour[-1] > hour[50]
    assert found.raw("pace_minutes", "Pay").max() < 5.0


def test_a_caller_that_goes_on_as_always_has_no_part_in_anothers_flood(usual: Baselines) -> None:
    flood = trouble(200, 3 * SECOND, caller=STRANGER)
    alongside = ordinary(NOW, 0.5)
    found = live(usual, before(), flood, alongside)
    assert found.raw("pace_minutes", f"Pay-shop-{NOW}").max() < 0.2 * found.raw("pace_minutes", "bad").max()
    assert found.raw("caller_pace_here", "bad").max() > 50.0
    assert found.raw("caller_pace_here", f"Pay-shop-{NOW}").max() < 3.0


@pytest.mark.parametrize(
    ("sent", "now", "again"),
    [([100], 100, True), ([100], 400, False), ([], 100, False), ([10], 16, False)],
    ids=["as before", "far more", "never before", "a few"],
)
def test_a_batch_that_its_caller_sent_before_is_no_load(
    usual: Baselines, sent: list[int], now: int, again: bool
) -> None:
    def batch(day: int, size: int, name: str) -> list[dict[str, Any]]:
        rows_ = trouble(size, 5 * SECOND, caller=STRANGER)
        moved = [{**row, "event_time": row["event_time"] - NOW + day * DAY + 10 * HOUR} for row in rows_]
        return [{**row, "invocation_id": f"{name}{day}-{n}"} for n, row in enumerate(moved)]

    # a few calls on each day besides, for a week
    habit = [row for day in range(7) for row in ordinary(day * DAY + 9 * HOUR, 0.2, caller=STRANGER)[:2]]
    before_it = [row for day, size in enumerate(sent) for row in batch(day + 7 - len(sent), size, "sent")]
    found = live(usual, ordinary(0, 7 * 24 + 10), habit, before_it, batch(7, now, "bad"))
    told = {name: found.raw(name, "bad").max() for name in ("pace_minutes", "pace_hour", "caller_pace_here")}
    if again:
        assert max(told.values()) < 1.0
    else:
        assert told["pace_minutes"] > 5.0


def test_who_does_more_every_day_sends_no_batch_and_neither_does_who_is_hardly_known() -> None:
    def again(*days: float) -> bool:
        pair = np.zeros(kernel.PAIR_STATE)
        pair[kernel.P_SETTLED], pair[kernel.P_MOST], pair[kernel.P_N6H] = sum(days), days[-1], days[-1]
        return bool(kernel.sends_again(pair, len(days)))

    assert again(2, 2, 2, 2, 2, 100)
    assert not again(20, 30, 45, 67, 100)
    assert not again(100)


def exports(calls: int, every: int, **fields: Any) -> list[dict[str, Any]]:
    """Calls of one who has called Pay four times a day until now, two of them within an hour."""
    habit = [
        {
            **row,
            "invocation_id": f"habit-{day}-{n}",
            "event_time": day * DAY + 8 * HOUR + n * 25 * MINUTE + n // 2 * HOUR,
        }
        for day in range(4)
        for n, row in enumerate(ordinary(0, 0.2, caller=STRANGER)[:4])
    ]
    return [*habit, *trouble(calls, every, caller=STRANGER, **fields)]


def test_who_takes_for_hours_many_times_what_it_ever_took_stands_out_though_no_minute_does(usual: Baselines) -> None:
    found = live(usual, ordinary(0, 4 * 24), before(12.0), exports(80, 3 * MINUTE))
    volume = found.raw("caller_volume_here", "bad")
    assert volume[-1] > 15.0
    assert volume[-1] > 3.0 * found.raw("caller_pace_here", "bad").max()
    assert found.value("caller_volume_here", "bad")[-1] > 40.0
    assert found.raw("caller_volume_here", "habit").max() < 1.0


def test_a_volume_that_has_ended_is_held_against_nobody(usual: Baselines) -> None:
    later = [{**row, "event_time": NOW + 7 * HOUR} for row in exports(1, MINUTE)[-1:]]
    later[0]["invocation_id"] = "later"
    found = live(usual, ordinary(0, 4 * 24), before(18.0), exports(80, 3 * MINUTE), later)
    assert found.raw("caller_volume_here", "later")[0] < 0.5 * found.raw("caller_volume_here", "bad").max()


def test_where_all_are_busier_nobody_takes_more_than_the_day(usual: Baselines) -> None:
    lone = live(usual, ordinary(0, 4 * 24), before(12.0), exports(80, 3 * MINUTE))
    busy = ordinary(NOW - 2 * HOUR, 6, every=20 * SECOND)
    crowd = [{**row, "invocation_id": f"crowd-{n}"} for n, row in enumerate(busy)]
    found = live(usual, ordinary(0, 4 * 24), before(12.0), crowd, exports(80, 3 * MINUTE))
    assert found.raw("caller_volume_here", "bad").max() < 0.6 * lone.raw("caller_volume_here", "bad").max()


def test_of_who_is_new_no_volume_is_told(usual: Baselines) -> None:
    found = live(usual, before(12.0), trouble(80, 3 * MINUTE, caller=STRANGER))
    assert found.raw("caller_volume_here", "bad").max() == 0.0


def test_a_campaign_that_lifts_the_whole_app_excuses_each_function(usual: Baselines) -> None:
    sibling = ordinary(LEARNED - DAY, 30, function="Catalogue", every=HOUR // 60)
    lone = live(usual, before(), sibling, trouble(120))
    campaign = ordinary(NOW, 120 * 5 / 3_600, function="Catalogue", every=2 * SECOND)
    together = live(
        usual, before(), ordinary(LEARNED - DAY, 30, function="Catalogue", every=HOUR // 60), trouble(120), campaign
    )
    assert together.raw("pace_minutes", "bad").max() < 0.7 * lone.raw("pace_minutes", "bad").max()


def test_growth_shows_in_the_days_sum_before_any_minute_is_strange(usual: Baselines) -> None:
    growing = messages(LEARNED, 24, every=HOUR // 90)
    found = live(usual, messages(LEARNED - DAY, 24), growing)
    assert found.raw("growth_days").max() > 3.0
    assert found.raw("growth_days").max() > found.raw("pace_minutes").max()
    assert live(usual, messages(LEARNED - DAY, 48)).raw("growth_days").max() < 0.5


def test_days_on_which_all_call_twice_as_much_are_growth_and_those_of_one_its_own(usual: Baselines) -> None:
    before_it = ordinary(LEARNED - DAY, 24)
    all_of_them = live(usual, before_it, ordinary(LEARNED, 54, every=HOUR // 66)).raw("growth_days").max()
    assert all_of_them > 1.5
    assert live(usual, before_it, ordinary(LEARNED, 54)).raw("growth_days").max() == 0.0
    # as many calls more, all of them of one
    one = [{**call, "invocation_id": f"one-{n}"} for n, call in enumerate(ordinary(LEARNED, 54, caller=somebody(0)))]
    alone = live(usual, before_it, ordinary(LEARNED, 54), one).raw("growth_days").max()
    assert alone < 0.4 * all_of_them
    # nobody is known by whom messages come
    nobody = live(usual, messages(LEARNED - DAY, 24), messages(LEARNED, 54, every=HOUR // 66))
    assert nobody.raw("growth_days").max() > all_of_them


def test_a_batch_that_comes_at_this_hour_of_every_night_is_no_load_and_at_another_hour_is_one() -> None:
    def batch(at: int, prefix: str = "") -> list[dict[str, Any]]:
        rows = messages(at, 90 * SECOND / HOUR, every=SECOND)
        return [{**row, "invocation_id": f"{prefix}{row['invocation_id']}"} for row in rows]

    life = [*messages(0, 6 * 24.0, every=HOUR), *(row for day in range(6) for row in batch(day * DAY + 3 * HOUR))]
    usual = baselines_of(life)
    found = live(usual, life, batch(6 * DAY + 3 * HOUR, "night-"), batch(6 * DAY + 14 * HOUR, "day-"))
    for feature in ("pace_minutes", "pace_hour", "cost_hour"):
        assert found.raw(feature, "night-").max() < 1.0, feature
    assert found.raw("pace_minutes", "day-").max() > 10.0


def thinned(begin: int, hours: float, **fields: Any) -> list[dict[str, Any]]:
    """Every third of the queue's messages."""
    rest = messages(begin, hours, every=HOUR // 10, **fields)
    return [{**row, "invocation_id": f"third-{row['invocation_id']}"} for row in rest]


def as_ever(hours: float = 8.0) -> list[dict[str, Any]]:
    """The other functions of the app, from the day before on until so long after NOW."""
    begin, whole = LEARNED - DAY, 30.0 + hours
    return [*before(6.0 + hours), *timer(begin, whole), *ordinary(begin, whole, function="Catalogue", every=MINUTE)]


def test_where_a_third_of_the_usual_comes_for_hours_each_call_says_more_so(usual: Baselines) -> None:
    then = [*messages(LEARNED - DAY, 30.0), *thinned(NOW, 4.0), *messages(NOW + 4 * HOUR, 4.0)]
    found = live(usual, as_ever(), then)
    fewer = found.raw("fewer_calls", "third")
    assert fewer[-1] > 15.0
    assert fewer[-1] > 1.5 * fewer[len(fewer) // 2] > 3.0 * fewer[len(fewer) // 4]
    assert found.value("fewer_calls", "third")[-1] == pytest.approx(11.0, rel=0.2)
    # nothing before, and nothing when they have been back for some hours
    assert found.raw("fewer_calls", f"Send-shop-{LEARNED - DAY}").max() < 1.0
    back = found.raw("fewer_calls", f"Send-shop-{NOW + 4 * HOUR}")
    assert back[-60:].max() == 0.0


def by_the_quarter(begin: int, hours: float, size: int) -> list[dict[str, Any]]:
    """So many messages within a minute, each quarter of an hour, as meters send them."""
    quarters = range(int(4 * hours))
    return [
        row
        for quarter in quarters
        for row in messages(begin + quarter * 15 * MINUTE, size * SECOND / HOUR, every=SECOND, duration_ms=90.0)
    ]


def test_where_days_differ_a_calm_day_says_less() -> None:
    def days(begin: int, count: int, every_other: float) -> list[dict[str, Any]]:
        """Days of messages, every second one by so much busier."""
        return [
            row
            for day in range(count)
            for row in messages(begin + day * DAY, 24.0, every=round(HOUR / (30 * (1.0 + day % 2 * every_other))))
        ]

    def claimed(every_other: float) -> float:
        known = baselines_of([*days(0, 6, every_other), *ordinary(0, 6 * 24.0)])
        calls = [*days(5 * DAY, 1, 0.0), *thinned(6 * DAY, 4.0)]
        return float(live(known, calls, ordinary(5 * DAY, 28.0)).raw("fewer_calls", "third").max())

    assert claimed(1.0) < 0.5 * claimed(0.0)


def test_between_two_bursts_of_an_hour_nothing_is_fewer_than_usual() -> None:
    def hourly(begin: int, hours: int) -> list[dict[str, Any]]:
        """Some fifty messages within the first minutes of each hour, a fifth more or less."""
        sizes = [round(48 + 9 * np.sin(2.4 * (begin // HOUR + hour))) for hour in range(hours)]
        return [
            row
            for hour, size in enumerate(sizes)
            for row in messages(begin + hour * HOUR + MINUTE, size * 5 * SECOND / HOUR, every=5 * SECOND)
        ]

    known = baselines_of([*hourly(0, 5 * 24), *ordinary(0, 5 * 24.0)])
    found = live(known, hourly(4 * DAY, 48), ordinary(4 * DAY, 48.0))
    assert found.raw("fewer_calls").max() < 1.0


def test_calls_that_stay_away_for_minutes_are_not_fewer(usual: Baselines) -> None:
    found = live(usual, as_ever(), messages(LEARNED - DAY, 30.0), messages(NOW + 20 * MINUTE, 2.0))
    assert found.raw("fewer_calls").max() < 3.0


def test_a_third_less_than_usual_is_an_ordinary_day(usual: Baselines) -> None:
    calm = messages(NOW, 8.0, every=HOUR // 21)
    assert live(usual, as_ever(), messages(LEARNED - DAY, 30.0), calm).raw("fewer_calls").max() < 3.0


def test_where_all_of_an_app_is_called_less_no_function_of_it_is(usual: Baselines) -> None:
    others = as_ever(4.0)
    holiday = [row for n, row in enumerate(others) if row["event_time"] < NOW or n % 3 == 0]
    calls = [*messages(LEARNED - DAY, 30.0), *thinned(NOW, 4.0)]
    alone, together = (live(usual, calls, all_else) for all_else in (others, holiday))
    assert together.raw("fewer_calls", "third").max() < 0.4 * alone.raw("fewer_calls", "third").max()


def test_what_rests_on_some_days_is_not_missed_on_another() -> None:
    # 2026-11-01 is a Sunday, on which every third comes
    week = [*thinned(0, 24.0), *messages(DAY, 5 * 24.0)]
    calls = [*messages(5 * DAY, 30.0), *thinned(6 * DAY + 6 * HOUR, 4.0)]
    assert live(baselines_of(week), calls).raw("fewer_calls").max() == 0.0
    always = baselines_of(messages(0, 6 * 24.0))
    assert live(always, calls).raw("fewer_calls").max() > 15.0


def test_a_silence_that_was_told_is_not_told_as_fewer_calls_again(usual: Baselines) -> None:
    calls = [*as_ever(), *messages(LEARNED - DAY, 30.0), *messages(NOW + 6 * HOUR, 1.0)]
    told, untold = live(usual, calls, silence=20.0), live(usual, calls)
    assert {row["function"] for row in told.silences()} == {"Send"}
    assert told.raw("fewer_calls").max() == 0.0
    assert untold.silences() == []
    assert untold.raw("fewer_calls").max() > 5.0


def test_a_bill_run_up_by_long_runs_shows_in_the_seconds_of_an_hour(usual: Baselines) -> None:
    long = messages(LEARNED, 1, duration_ms=8_000.0)
    found = live(usual, messages(LEARNED - DAY, 24), long)
    assert found.raw("cost_hour", f"Send-shop-{LEARNED}").max() > 3.0
    assert found.raw("cost_hour", f"Send-shop-{LEARNED - DAY}").max() < 1.0


def test_the_run_time_that_is_told_is_whole_though_one_long_run_is_no_rise_of_the_bill(usual: Baselines) -> None:
    found = live(usual, before(), trouble(12, MINUTE, duration_ms=100_000.0, caller=somebody))
    assert 1_000.0 < found.value("cost_hour", "bad")[-1] < 1_250.0


def test_a_new_caller_is_news_that_fades(usual: Baselines) -> None:
    found = live(usual, before(), trouble(50, 30 * MINUTE, caller=STRANGER))
    news = found.raw("caller_new_to_function", "bad")
    assert news[0] == pytest.approx(np.log(30 * 24 * 60), rel=0.01)
    assert (np.diff(news) < 0.0).all()
    known = found.raw("caller_new_to_function", "Pay")[-20:]
    assert known.max() < news[0] / 2


def test_sampled_rows_are_counted_by_their_weight_and_are_nobodys_news(usual: Baselines) -> None:
    found = live(usual, before(), trouble(40, 10 * SECOND, caller=STRANGER, item_count=20))
    for feature in ("caller_new_to_function", "caller_pace_here", "country_rare_here", "newcomers"):
        assert (found.raw(feature, "bad") == 0.0).all(), feature
    assert found.value("pace_minutes", "bad")[-1] > 20 * 20
    assert found.raw("pace_minutes", "bad").max() > 10.0


def test_a_flood_by_one_caller_is_not_laid_at_the_others_door_where_rows_are_sampled_either(usual: Baselines) -> None:
    flood = trouble(60, 10 * SECOND, caller=STRANGER, item_count=20)
    alongside = [
        {**record, "item_count": 20, "invocation_id": f"by-{n}"} for n, record in enumerate(ordinary(NOW, 0.2))
    ]
    found = live(usual, before(), flood, alongside)
    assert found.raw("pace_minutes", "bad").max() > 10.0
    assert found.raw("pace_minutes", "by-")[2:].max() < 0.2 * found.raw("pace_minutes", "bad").max()


def test_a_country_nobody_calls_from_is_rare_here(usual: Baselines) -> None:
    found = live(usual, before(), trouble(1, country="Seychelles", caller=STRANGER))
    assert found.raw("country_rare_here", "bad")[0] > np.log(200.0)
    assert found.raw("country_rare_here", f"Pay-shop-{LEARNED - DAY}")[-50:].max() < 0.1


def test_a_crowd_of_callers_never_seen_counts_as_newcomers(usual: Baselines) -> None:
    days = ordinary(LEARNED - 3 * DAY, 78)
    crowd = trouble(40, 20 * SECOND, caller=lambda n: f"address:198.51.100.{n}")
    found = live(usual, days, crowd)
    assert found.raw("newcomers", "bad").max() > 20.0
    assert found.raw("newcomers", "Pay")[-100:].max() < 0.5


def test_a_campaign_brings_newcomers_to_all_functions_of_an_app_and_a_flood_to_one(usual: Baselines) -> None:
    days = []
    for name in ("Pay", "Catalogue"):
        days += ordinary(LEARNED - 3 * DAY, 78, function=name)
        # somebody new now and then
        first = {"caller": lambda n: f"address:198.18.0.{n}", "every": HOUR, "app": "shop"}
        days += [
            {**call, "invocation_id": f"first-{call['invocation_id']}"}
            for call in ordinary(LEARNED - 3 * DAY, 78, function=name, **first)
        ]

    def crowd(function: str) -> list[dict[str, Any]]:
        come = trouble(40, 20 * SECOND, caller=lambda n: f"address:198.51.100.{n}")
        return [{**call, "function": function, "invocation_id": f"{function}-{call['invocation_id']}"} for call in come]

    flood = live(usual, days, crowd("Pay")).raw("newcomers", "Pay-bad").max()
    campaign = live(usual, days, crowd("Catalogue"), crowd("Pay")).raw("newcomers", "Pay-bad").max()
    assert campaign < 0.7 * flood


def one_in_ten_cold() -> Baselines:
    """What is usual where every tenth call finds a fresh host and takes two seconds."""
    cold = [
        {**record, "host_instance": f"host-{number}" if number % 10 == 5 else "host-1"}
        | ({"duration_ms": 2_000.0} if number % 10 == 5 else {})
        for number, record in enumerate(ordinary(0, 96))
    ]
    return sketch_of(rows(cold), np.array([record["duration_ms"] == 2_000.0 for record in cold])).fit()


def test_a_cold_start_is_excused_for_its_run_time(usual: Baselines) -> None:
    known = one_in_ten_cold()
    started = live(known, before(), trouble(1, duration_ms=2_000.0, host_instance="host-new"))
    warm = live(known, before(), trouble(1, duration_ms=2_000.0))
    assert started.rows["cold"].to_pylist()[-1]
    assert started.raw("duration_high", "bad")[0] < 1.0 < warm.raw("duration_high", "bad")[0]


def test_a_function_that_was_never_seen_to_start_cold_is_excused_for_what_others_take() -> None:
    """Three milliseconds and 300 add the same two seconds, not the same factor."""
    often = [
        {**record, "host_instance": f"host-{number}"} | ({"duration_ms": 2_300.0} if number % 10 == 5 else {})
        for number, record in enumerate(ordinary(0, 96, duration_ms=300.0))
    ]
    never = [
        {**record, "invocation_id": f"b{n}"}
        for n, record in enumerate(ordinary(0, 96, function="Ping", duration_ms=3.0))
    ]
    both = rows([*often, *never])
    cold = np.array([record["duration_ms"] == 2_300.0 for record in [*often, *never]])
    known = sketch_of(both, cold).fit()
    one = {"function": "Ping", "caller": "address:198.51.100.1"}
    started = live(known, never[:900], trouble(1, duration_ms=2_000.0, host_instance="host-new", **one))
    warm = live(known, never[:900], trouble(1, duration_ms=2_000.0, **one))
    hangs = live(known, never[:900], trouble(1, duration_ms=120_000.0, host_instance="host-new", **one))
    assert started.raw("duration_high", "bad")[0] == 0.0
    assert warm.raw("duration_high", "bad")[0] > 1.0
    assert hangs.raw("duration_high", "bad")[0] > 1.0


def test_who_calls_a_fresh_host_before_the_first_call_is_answered_waits_for_it_too(usual: Baselines) -> None:
    known = one_in_ten_cold()
    first, second = trouble(2, every=500_000, duration_ms=2_000.0, host_instance="host-new")
    # the second is answered sooner
    second |= {"duration_ms": 100.0}
    third = {**first, "invocation_id": "bad-0009", "event_time": first["event_time"] + 4 * SECOND}
    found = live(known, before(), [first, second, third])
    assert found.raw("duration_high", "bad-0000")[0] < 1.0 < found.raw("duration_high", "bad-0009")[0]


def nightly(*run_ms: float) -> Measured:
    """A job that took forty-eight seconds, give or take one, on sixteen nights, and then as long as is said."""
    even = [
        timer(n * DAY + 3 * HOUR, 0.1, function="Report", duration_ms=48_000.0 + 400.0 * (n % 5))[0] for n in range(16)
    ]
    # what others take says nothing of it
    other = timer(0, 16 * 24, every=HOUR, function="Sync", duration_ms=lambda n: 100.0 * 4.0 ** (n % 6))
    later = [
        {**timer((17 + n) * DAY + 3 * HOUR, 0.1, function="Report", duration_ms=ms)[0], "invocation_id": f"bad-{n}"}
        for n, ms in enumerate(run_ms)
    ]
    return live(baselines_of([*even, *other]), even, other, later)


def test_a_few_even_runs_of_a_job_say_how_far_the_next_may_be() -> None:
    even, half, twice, long = nightly(49_500.0, 60_000.0, 96_000.0, 300_000.0).raw("duration_high", "bad")
    assert even < 0.1
    assert half < 6.0 < twice < long
    assert long > 20.0


def test_what_takes_less_than_twice_the_usual_once_is_no_news_however_even_the_runs_were(usual: Baselines) -> None:
    steady = ordinary(0, 96, function="Steady", duration_ms=lambda n: 100.0 + n % 3)
    known = baselines_of(steady)
    slow = [
        {**record, "invocation_id": f"bad-{n}"}
        for n, record in enumerate(
            ordinary(
                LEARNED, 0.2, function="Steady", every=2 * MINUTE, duration_ms=lambda n: (130.0, 170.0, 220.0)[n % 3]
            )
        )
    ][:3]
    a_little, more, twice = live(known, steady, slow).raw("duration_high", "bad")
    assert a_little < 0.5 * more < 0.5 * twice


def test_a_function_that_mostly_finds_its_host_started_is_excused_where_it_starts_one() -> None:
    # of twenty first runs on a host one waits for it to start; the others came after another function's
    life = [
        {**record, "host_instance": f"host-{number // 10}"} | ({"duration_ms": 2_000.0} if number % 200 == 0 else {})
        for number, record in enumerate(ordinary(0, 96))
    ]
    known = sketch_of(rows(life), np.arange(len(life)) % 10 == 0).fit()
    started = live(known, before(), trouble(1, duration_ms=1_900.0, host_instance="host-new"))
    hangs = live(known, before(), trouble(1, duration_ms=60_000.0, host_instance="host-new"))
    assert started.raw("duration_high", "bad")[0] == 0.0
    assert hangs.raw("duration_high", "bad")[0] > 1.0


def test_a_timer_off_its_schedule_stands_out_and_one_on_it_never(usual: Baselines) -> None:
    on = timer(LEARNED - DAY, 30.1)
    off = [{**record, "invocation_id": "bad"} for record in timer(NOW + 150 * SECOND, 0.09)]
    found = live(usual, on, off)
    assert (found.raw("off_schedule", "Tick") == 0.0).all()
    assert found.raw("off_schedule", "bad")[0] > 2.0
    assert found.value("off_schedule", "bad")[0] == pytest.approx(120.0, abs=60.0)


def test_a_run_that_is_past_due_is_late_and_not_off_its_schedule(usual: Baselines) -> None:
    # down from 02:57 to 03:08:30: what was due at 03:00 and 03:05 is run once
    down, up = NOW - 3 * MINUTE, NOW + 8 * MINUTE + 30 * SECOND
    before, late = timer(down - 12 * 5 * MINUTE + 3 * MINUTE, 1), timer(up, 0.09)
    after = timer(NOW + 10 * MINUTE, 1)
    found = live(usual, timer(LEARNED - DAY, 24), before, [{**late[0], "invocation_id": "late"}], after)
    assert found.raw("off_schedule", "late")[0] == 0.0
    # one more beside the one that was due
    more = [{**late[0], "invocation_id": "more", "event_time": up + 30 * SECOND}]
    found = live(usual, timer(LEARNED - DAY, 24), before, [{**late[0], "invocation_id": "late"}], more, after)
    assert found.raw("off_schedule", "more")[0] > 2.0


def test_a_timer_that_starts_late_again_and_again_keeps_another_schedule() -> None:
    quarter = timer(0, 96, every=15 * MINUTE, function="Quarter")
    moved = [{**record, "invocation_id": f"late-{n:02d}"} for n, record in enumerate(
        timer(LEARNED + 7 * MINUTE, 3, every=15 * MINUTE, function="Quarter"))]  # fmt: skip
    late = live(baselines_of(quarter), quarter, moved).raw("off_schedule", "late")
    assert (late[:2] == 0.0).all()
    assert np.log(96 * 4) < late[2] < late[3] < late[-1]


def twice(after: int, usual_gap: int = 0, **first: Any) -> Measured:
    """An hourly timer that starts once more soon after it did; it may have done so once a day before."""
    hourly, before = timer(0, 96, every=HOUR, function="Hourly"), []
    if usual_gap:
        before = [
            {**record, "invocation_id": f"again-{n}", "event_time": record["event_time"] + usual_gap}
            for n, record in enumerate(timer(10 * HOUR, 96, every=DAY, function="Hourly"))
        ]
    today = timer(LEARNED, 3, every=HOUR, function="Hourly")
    today[1] |= first
    second = {**today[1], "invocation_id": "bad", "event_time": today[1]["event_time"] + after, "succeeded": True}
    return live(baselines_of([*hourly, *before]), hourly, before, today, [second])


def test_a_second_start_of_a_timer_soon_after_the_first_is_off_its_schedule() -> None:
    found = twice(40 * SECOND)
    assert found.raw("off_schedule", "bad")[0] > np.log(96)
    assert found.value("off_schedule", "bad")[0] == pytest.approx(40.0)
    assert (found.raw("off_schedule", "Hourly") == 0.0).all()


def weekly(starts: list[int]) -> Measured:
    """What a clock starts once in four days, on another day."""
    usual = [*timer(DAY, 0.1, function="Weekly"), *ordinary(0, 96)]
    again = [start for at in starts for start in timer(LEARNED + at, 0.1, function="Weekly", app="shop")]
    return live(baselines_of(usual), again)


def test_what_a_clock_starts_once_in_days_is_off_its_schedule_when_it_starts_again_and_again() -> None:
    often = weekly([0, 20 * MINUTE, HOUR, 61 * MINUTE, 2 * HOUR]).raw("off_schedule")
    assert often[0] == 0.0
    assert (np.diff(often) > 1.0).all()
    assert (weekly([0, DAY, 2 * DAY]).raw("off_schedule") == 0.0).all()


def test_a_second_start_is_none_too_soon_where_the_first_failed_or_two_ever_lay_so_near() -> None:
    assert twice(40 * SECOND, succeeded=False).raw("off_schedule", "bad")[0] == 0.0
    assert twice(40 * SECOND, usual_gap=50 * SECOND).raw("off_schedule", "bad")[0] == 0.0


@pytest.mark.parametrize(
    "run",
    [{"trigger": "host-api", "caller_source": "host-api"}, {"unscheduled_reason": "IsPastDue"}],
    ids=["by hand", "late"],
)
def test_a_run_that_no_schedule_asked_for_is_named(usual: Baselines, run: dict[str, Any]) -> None:
    odd = [{**record, **run, "invocation_id": "bad"} for record in timer(NOW, 0.09)]
    found = live(usual, timer(LEARNED - DAY, 24), odd)
    claims = found.raw("unscheduled", "bad")[0]
    if "trigger" in run:
        # so many runs, and somebody never started one
        assert claims > np.log(4 * 96)
    else:
        # hosts go down by days: of one day without any such run the chance of one tells little
        assert 0.0 < claims < np.log(24)
    assert (found.raw("unscheduled", "Tick") == 0.0).all()


def test_runs_that_somebody_starts_within_minutes_are_one_act(usual: Baselines) -> None:
    def by_hand(*at: int) -> npt.NDArray[Any]:
        runs = [{**timer(NOW + when, 0.1)[0], "trigger": "host-api", "invocation_id": f"bad{when}"} for when in at]
        found = live(usual, timer(LEARNED - DAY, 24), runs)
        assert found.value("unscheduled", "bad")[-1] == pytest.approx(len(at), rel=0.1)
        return found.raw("unscheduled", "bad")

    at_once, apart = by_hand(0, MINUTE, 3 * MINUTE), by_hand(0, HOUR, 2 * HOUR)
    assert at_once[2] == pytest.approx(at_once[0], rel=0.01)
    assert apart[2] > 2.0 * apart[0]


def test_one_run_by_hand_of_a_nightly_job_is_held_against_the_runs_of_all_timers() -> None:
    night, hourly = (
        timer(2 * HOUR, 4 * 24, every=DAY, function="Night"),
        timer(0, 4 * 24, every=HOUR, function="Hourly"),
    )
    by_hand = [{**timer(LEARNED + 12 * HOUR, 0.1, function="Night")[0], "trigger": "host-api", "invocation_id": "bad"}]
    claims = [
        live(baselines_of(timers), timers, by_hand).raw("unscheduled", "bad")[0]
        for timers in (night, [*night, *hourly])
    ]
    assert claims[0] < np.log(2 * 6 + 2) < np.log(100) < claims[1]


def test_a_run_by_hand_says_less_where_the_tenant_starts_others_by_hand() -> None:
    hourly, night = (
        timer(0, 4 * 24, every=HOUR, function="Hourly"),
        timer(2 * HOUR, 4 * 24, every=DAY, function="Night"),
    )
    by_hand = [{**timer(LEARNED + 12 * HOUR, 0.1, function="Night")[0], "trigger": "host-api", "invocation_id": "bad"}]

    def claims(*hours: float) -> float:
        acts = [
            {**timer(int(at * HOUR), 0.1, function="Hourly")[0], "trigger": "host-api", "invocation_id": f"hand{at}"}
            for at in hours
        ]
        usual = baselines_of([*hourly, *night, *acts])
        assert usual.by_hand.sum() == len({int(at) for at in hours})
        return float(live(usual, night, by_hand).raw("unscheduled", "bad")[0])

    never, once, at_once, often = claims(), claims(30.5), claims(30.2, 30.6), claims(30.5, 60.5)
    # nobody ever in a hundred runs, and one of a hundred
    assert never > np.log(100)
    assert once == at_once == pytest.approx(never - np.log(3.0), rel=0.01)
    # twice in four days: about every other day
    assert 0.0 < often < np.log(3.0)


@pytest.mark.parametrize(("off", "strange"), [(HOUR, False), (-HOUR, False), (3 * HOUR, True)], ids=str)
def test_a_job_that_starts_an_hour_off_is_no_more_than_clocks_that_changed(off: int, strange: bool) -> None:
    night, hourly = (
        timer(2 * HOUR, 4 * 24, every=DAY, function="Night"),
        timer(0, 4 * 24, every=HOUR, function="Hourly"),
    )
    usual = baselines_of([*night, *hourly])
    moved = [
        {**timer(LEARNED + day * DAY + 2 * HOUR + off, 0.1, function="Night")[0], "invocation_id": f"day{day}"}
        for day in range(3)
    ]
    found = live(usual, night, moved)
    claims = [found.raw("off_schedule", f"day{day}")[0] for day in range(3)]
    if strange:
        assert np.log(100) < claims[0] < claims[1] < claims[2]
    else:
        assert claims == [pytest.approx(np.log(4 + 2))] * 3


def test_a_message_delivered_again_and_again_stands_out(usual: Baselines) -> None:
    queued = {"trigger": "queue", "function": "Send", "caller": "queue:mail", "caller_source": "queue"}
    found = live(usual, ordinary(NOW, 0.5, dequeue_count=lambda n: 1 + n // 5, **queued))
    again = found.raw("redelivery")
    assert (again[:5] == 0.0).all()
    assert again[-1] > again[6] > 0.0


def test_the_loop_gets_the_same_kinds_of_columns_whatever_the_rows_hold(
    usual: Baselines, monkeypatch: pytest.MonkeyPatch
) -> None:
    kinds = []
    loop = kernel.advance_functions

    def seen(*columns: Any) -> Any:
        kinds.append([(one.dtype, one.ndim, one.flags.writeable) for one in columns if isinstance(one, np.ndarray)])
        return loop(*columns)

    monkeypatch.setattr(kernel, "advance_functions", seen)
    live(usual, ordinary(NOW, 0.5))
    live(usual, messages(NOW, 0.5, dequeue_count=1, status=500, succeeded=False, app_version="2", country="Norway"))
    live(usual, messages(NOW, 0.5, dequeue_count=lambda n: 1 if n % 2 else None, duration_ms=None))
    assert kinds.count(kinds[0]) == len(kinds) >= 3


def test_an_attack_signature_is_told_by_path_and_grows_with_each(usual: Baselines) -> None:
    found = live(usual, before(), trouble(3, path="/api/pay?id=1' OR '1'='1' --", caller=STRANGER))
    signed = found.raw("attack_signature", "bad")
    assert signed[2] > signed[0] >= 1.0
    assert (found.raw("attack_signature", "Pay") == 0.0).all()


def test_a_function_that_training_did_not_know_is_not_called_slower_or_faster_than_usual(usual: Baselines) -> None:
    for run_ms, feature in ((2.0, "latency_drop"), (900.0, "latency_shift")):
        known, new = (
            live(usual, ordinary(LEARNED, 24), ordinary(NOW, 4, duration_ms=run_ms, function=name)).raw(feature, name)
            for name in ("Pay", "Backdoor")
        )
        assert known.max() > 5.0
        assert (new == 0.0).all()


def test_a_function_never_seen_is_news_in_the_first_hours_and_then_no_more(usual: Baselines) -> None:
    found = live(usual, ordinary(LEARNED, 9 * 24, every=HOUR, function="Backdoor"))
    news = found.raw("new_function")
    assert news[0] > 8.0
    assert (np.diff(news) <= 0.0).all()
    assert 1.0 < news[1] < news[0] / 3.0
    assert kernel.IS_NEW == pytest.approx(news[24]) == pytest.approx(news[6 * 24])
    assert news[-1] == 0.0


def test_a_new_function_that_is_called_all_the_time_is_more_news_than_one_that_is_called_now_and_then(usual) -> None:
    often, seldom = (
        live(usual, ordinary(LEARNED, 24), ordinary(NOW, 2.01, every=every, function="Backdoor")).raw(
            "new_function", "Backdoor"
        )
        for every in (2 * MINUTE, HOUR)
    )
    assert often[-1] > seldom[-1] + 0.9


def test_a_caller_whose_calls_alone_are_slow_is_told_from_the_others(usual: Baselines) -> None:
    slow = trouble(30, MINUTE, duration_ms=190.0, caller=STRANGER)
    alongside = ordinary(NOW, 0.5)
    found = live(usual, before(), slow, alongside)
    assert found.raw("caller_slow_here", "bad").max() > 5.0
    assert found.raw("caller_slow_here", f"Pay-shop-{NOW}").max() < found.raw("caller_slow_here", "bad").max() / 2


def test_calls_of_one_moment_say_together_what_one_says_of_how_slow_it_is_for_a_caller(usual: Baselines) -> None:
    def claims(every: int) -> float:
        slow = trouble(12, every, duration_ms=lambda n: 400.0 + n, caller=STRANGER)
        return float(live(usual, before(), slow).raw("caller_slow_here", "bad").max())

    assert claims(MINUTE) > 3.0 * claims(SECOND // 10) > 0.0


def test_quick_refusals_do_not_make_the_calls_that_follow_slow(usual: Baselines) -> None:
    refused = trouble(400, 10 * SECOND, duration_ms=9.0, status=404, caller=STRANGER)
    after = [{**row, "invocation_id": f"after-{n}"} for n, row in enumerate(ordinary(NOW + 70 * MINUTE, 2.0))]
    found = live(usual, before(), refused, after)
    assert found.raw("caller_slow_here", "after").max() < 2.0


def test_delays_of_whole_seconds_by_one_caller_look_like_probes(usual: Baselines) -> None:
    probes = trouble(8, 20 * SECOND, duration_ms=lambda n: 5_100.0 + n, caller=STRANGER)
    uneven = trouble(8, 20 * SECOND, duration_ms=lambda n: 5_300.0 + 37 * n, caller=STRANGER)
    instead = trouble(8, 20 * SECOND, duration_ms=lambda n: 5_000.0 + n, caller=STRANGER)
    time_outs = trouble(8, 20 * SECOND, duration_ms=lambda n: 30_100.0 + n, caller=STRANGER)
    assert live(usual, before(), probes).raw("round_seconds", "bad").max() > 10.0
    assert live(usual, before(), instead).raw("round_seconds", "bad").max() > 10.0
    assert live(usual, before(), uneven).raw("round_seconds", "bad").max() < 5.0
    assert live(usual, before(), time_outs).raw("round_seconds", "bad").max() == 0.0


def test_a_time_out_that_several_callers_meet_is_nobodys_probe(usual: Baselines) -> None:
    def waiting(callers: int) -> list[dict[str, Any]]:
        rows = trouble(16, 20 * SECOND, duration_ms=lambda n: 5_100.0 + n)
        return [{**row, "caller": f"user:stranger-{n % callers}"} for n, row in enumerate(rows)]

    one, many = (live(usual, before(), waiting(callers)).raw("round_seconds", "bad").max() for callers in (1, 4))
    assert one > 10.0 * many
    assert many < 3.0


def test_runs_that_are_slow_by_all_sorts_of_times_are_no_probes_for_some_of_them_being_round(usual: Baselines) -> None:
    probes = trouble(30, 20 * SECOND, duration_ms=5_100.0, caller=STRANGER)
    slow = trouble(
        30, 20 * SECOND, duration_ms=lambda n: 2_100.0 + 1_000.0 * (n % 5) + (n % 3) * 350.0, caller=STRANGER
    )
    found = [live(usual, before(), calls).raw("round_seconds", "bad").max() for calls in (probes, slow)]
    assert found[0] > 3.0 * found[1]


def test_silence_is_raised_once_at_the_time_when_the_calls_missed_have_added_up(usual: Baselines) -> None:
    by_the_mean = replace(usual, alarms=np.zeros_like(usual.alarms))
    found = live(by_the_mean, before(), silence=60.0, watermark_us=EPOCH_US + NOW + 12 * HOUR)
    (silence,) = found.silences()
    last = found.rows["at"][-1].as_py()
    assert silence["function"] == "Pay"
    assert silence["since"] == last
    # 60 calls at 30 an hour
    assert silence["at"] - last == pytest.approx(2.0 * HOUR, rel=0.2)
    assert silence["per_hour"] == pytest.approx(30.0, rel=0.1)
    assert not silence["horizon"]


def test_who_comes_at_a_fifth_of_the_usual_pace_is_missed_at_a_fifth_of_it(usual: Baselines) -> None:
    by_the_mean = replace(usual, alarms=np.zeros_like(usual.alarms))
    holiday = [*ordinary(LEARNED - DAY, 24), *ordinary(LEARNED, 6, every=10 * MINUTE)]
    waited = live(by_the_mean, holiday, silence=60.0, watermark_us=EPOCH_US + NOW + 12 * HOUR).silences()
    ended = live(by_the_mean, holiday, ordinary(NOW + 9 * HOUR, 1), silence=60.0).silences()
    assert [row["at"] for row in waited] == [row["at"] for row in ended]
    (silence,) = waited
    # 60 calls at some 9 an hour, where 30 are usual
    assert 5.0 * HOUR < silence["at"] - silence["since"] < 8.0 * HOUR
    assert live(by_the_mean, holiday, ordinary(NOW + 4 * HOUR, 1), silence=60.0).silences() == []


def test_of_sampled_calls_rows_are_missed_and_not_calls(usual: Baselines) -> None:
    by_the_mean = replace(usual, alarms=np.zeros_like(usual.alarms))

    def hours(*evening: list[dict[str, Any]]) -> float:
        life = [*ordinary(LEARNED - DAY, 24), *(call for calls in evening for call in calls)]
        (silence,) = live(by_the_mean, life, silence=60.0, watermark_us=EPOCH_US + NOW + 18 * HOUR).silences()
        return (silence["at"] - silence["since"]) / HOUR

    # one in three is kept, to the end or but for the last hour
    sampled = {"every": 6 * MINUTE, "item_count": 3}
    assert hours(ordinary(LEARNED, 6, **sampled)) == pytest.approx(6.0, rel=0.2)
    assert hours(ordinary(LEARNED, 5, **sampled), ordinary(LEARNED + 5 * HOUR, 1)) == pytest.approx(2.0, rel=0.2)


def test_an_app_that_comes_at_a_fifth_of_its_pace_is_missed_later(seldom_called: Baselines) -> None:
    def told(calls: list[dict[str, Any]]) -> list[int]:
        found = live(seldom_called, calls, watermark_us=EPOCH_US + 8 * DAY + 14 * HOUR)
        return [row["at"] - row["since"] for row in found.silences() if not row["function"]]

    as_ever = seldom(8, end=11)
    thinned = [record for record in as_ever if record["event_time"] % (5 * MINUTE) < MINUTE]
    assert told(as_ever) < (told(thinned) or [14 * HOUR])


def test_what_came_on_every_day_is_missed_as_soon_after_an_hour_of_half_the_calls(seldom_called: Baselines) -> None:
    def told(calls: list[dict[str, Any]]) -> int:
        found = live(seldom_called, calls, watermark_us=EPOCH_US + 8 * DAY + 14 * HOUR)
        (waited,) = [row["at"] - row["since"] for row in found.silences() if not row["function"]]
        return int(waited)

    as_ever = seldom(8, end=11)
    halved = [record for n, record in enumerate(as_ever) if record["event_time"] < 8 * DAY + 10 * HOUR or n % 2 == 0]
    assert told(halved) == pytest.approx(told(as_ever), abs=15 * MINUTE)


def test_an_office_is_not_missed_on_a_day_of_the_week_that_training_did_not_see() -> None:
    # 2026-11-01 is a Sunday: from Monday to Thursday, then the Friday, and the Thursday after
    office = [record for day in range(1, 5) for record in ordinary(day * DAY + 8 * HOUR, 9, every=MINUTE)]
    usual = baselines_of([*office, *timer(DAY, 4 * 24)])
    silences = [
        live(usual, ordinary(day * DAY + 8 * HOUR, 2), silence=60.0, watermark_us=EPOCH_US + day * DAY + 17 * HOUR)
        for day in (5, 11)
    ]
    assert [len(found.silences()) for found in silences] == [0, 2]
    assert {row["function"] for row in silences[1].silences()} == {"Pay", ""}


def test_no_function_is_silent_within_twenty_minutes_however_busy(usual: Baselines) -> None:
    found = live(usual, before(), silence=1.0, watermark_us=EPOCH_US + NOW + 12 * HOUR)
    (silence,) = found.silences()
    assert silence["at"] - silence["since"] == 20 * MINUTE
    # told by the hour, however short it is
    assert silence["per_hour"] == pytest.approx(30.0, rel=0.1)
    back = live(
        usual, before(), ordinary(NOW + 15 * MINUTE, 0.5), silence=1.0, watermark_us=EPOCH_US + NOW + 60 * MINUTE
    )
    assert back.silences() == []


def test_what_came_on_each_working_day_is_missed_soon_by_whoever_is_watched() -> None:
    # 2026-11-01 is a Sunday; from Monday to Friday, then the Monday and the Sunday after
    usual = baselines_of(
        [*(r for day in range(1, 6) for r in ordinary(day * DAY + 8 * HOUR, 9, every=MINUTE)), *timer(DAY, 5 * 24)]
    )

    def missed(day: int, silence: float) -> list[dict[str, Any]]:
        calls = ordinary(day * DAY + 8 * HOUR, 3, every=MINUTE)
        found = live(usual, calls, silence=silence, watermark_us=EPOCH_US + day * DAY + 14 * HOUR)
        return [row for row in found.silences() if row["function"]]

    (silence,) = missed(8, 1e6)
    assert silence["at"] - silence["since"] < HOUR
    assert missed(8, UNWATCHED) == []
    assert missed(14, 1e6) == []


def test_what_came_all_the_time_on_every_day_is_missed_after_ten_minutes() -> None:
    def silence(pace: int, minutes: float) -> list[dict[str, Any]]:
        usual = baselines_of(ordinary(DAY, 5 * 24, every=pace))
        calls = ordinary(8 * DAY, 12, every=pace)
        end = EPOCH_US + 8 * DAY + 12 * HOUR + round(minutes * MINUTE)
        return [one for one in live(usual, calls, silence=1e6, watermark_us=end).silences() if one["function"]]

    # twelve a minute, and two: a hundred or so are missing, and twenty
    (brief,) = silence(5 * SECOND, 11)
    assert brief["at"] - brief["since"] == 10 * MINUTE
    assert silence(5 * SECOND, 9) == silence(30 * SECOND, 19) == []
    (longer,) = silence(30 * SECOND, 21)
    assert longer["at"] - longer["since"] == 20 * MINUTE


def seldom(day: int, begin: int = 8, end: int = 18) -> list[dict[str, Any]]:
    """Calls from one hour of a day to another of an app of eight functions, each called about once an hour by day."""
    calls = [
        {**record, "invocation_id": f"{number}-{record['invocation_id']}"}
        for number in range(8)
        for record in ordinary(
            day * DAY + 8 * HOUR + number * 6 * MINUTE, 10, function=f"Rare{number}", every=(47 + 5 * number) * MINUTE
        )
    ]
    inside = [record for record in calls if begin * HOUR <= record["event_time"] - day * DAY < end * HOUR]
    return sorted(inside, key=lambda record: int(record["event_time"]))


@pytest.fixture(scope="module")
def seldom_called() -> Baselines:
    return baselines_of([record for day in range(1, 6) for record in seldom(day)])


def test_an_app_of_functions_that_are_each_called_seldom_is_missed_as_a_whole(seldom_called: Baselines) -> None:
    # on the second Monday it is silent from eleven
    fold = FunctionFeatures(seldom_called, np.full(len(seldom_called.cohort), 1e6))
    morning, back = rows(seldom(8, end=11)), rows(seldom(8, begin=15, end=16))
    fold.advance(morning, EPOCH_US + 8 * DAY + 14 * HOUR)
    (silence,) = fold.raised().to_pylist()  # type: ignore[union-attr]
    assert (silence["signal"], silence["app"], silence["function"]) == ("silence", "shop", "")
    assert silence["since"] == morning["at"][-1].as_py()
    assert HOUR < silence["at"] - silence["since"] < 3 * HOUR
    assert silence["per_hour"] > 4.0
    fold.advance(back, EPOCH_US + 8 * DAY + 16 * HOUR)
    (speech,) = fold.raised().to_pylist()  # type: ignore[union-attr]
    assert (speech["signal"], speech["function"]) == ("speech", "")
    assert speech["at"] == back["at"][0].as_py()


def test_the_silence_of_an_app_is_found_by_the_event_that_ends_it_and_after_a_restart(seldom_called: Baselines) -> None:
    calls, back = seldom(8, end=11), seldom(8, begin=15, end=16)
    waited = live(seldom_called, calls, watermark_us=EPOCH_US + 8 * DAY + 14 * HOUR).silences()
    ended = live(seldom_called, calls, back).silences()
    assert [(row["at"], row["function"]) for row in ended] == [(row["at"], row["function"]) for row in waited]
    fold, other = (FunctionFeatures(seldom_called, np.full(len(seldom_called.cohort), 1e9)) for _ in range(2))
    fold.advance(rows(calls), EPOCH_US + 8 * DAY + 11 * HOUR)
    other.restore(fold.snapshot())
    assert other.due() == fold.due() == waited[0]["at"] + 1


def test_an_app_that_rests_on_sundays_or_has_one_function_is_not_missed_as_a_whole(seldom_called: Baselines) -> None:
    assert (
        live(seldom_called, seldom(8, end=11), watermark_us=EPOCH_US + 8 * DAY + 11 * HOUR + 30 * MINUTE).silences()
        == []
    )
    assert live(seldom_called, seldom(14, end=9), watermark_us=EPOCH_US + 14 * DAY + 14 * HOUR).silences() == []
    alone = baselines_of([r for day in range(1, 6) for r in ordinary(day * DAY + 8 * HOUR, 9, every=MINUTE)])
    assert (alone.app_alarms == 0.0).all()


def test_the_longest_silence_that_a_function_lived_through_may_still_go_on(usual: Baselines) -> None:
    fold = FunctionFeatures(usual, np.full(len(usual.cohort), 1e9))
    batch = rows(before())
    last = batch["at"][-1].as_py()
    fold.advance(batch, last + 1)
    soon, later = (fold.longest_gaps(last + hours * HOUR)["shop", "Pay"] for hours in (1, 6))
    assert later == pytest.approx(6 * 30.0, rel=0.2)
    assert soon < later


def test_a_silence_that_an_event_ends_is_raised_as_one_that_time_finds(usual: Baselines) -> None:
    waited = live(usual, before(), silence=15.0, watermark_us=EPOCH_US + NOW + 3 * HOUR)
    ended = live(usual, before(), ordinary(NOW + 3 * HOUR, 1), silence=15.0)
    assert [row["at"] for row in ended.silences()] == [row["at"] for row in waited.silences()]
    assert [row["invocation_id"] for row in ended.silences()] == [row["invocation_id"] for row in waited.silences()]


@pytest.mark.parametrize("waited", [False, True], ids=["found by the event", "told before it"])
def test_the_end_of_a_silence_is_raised_by_the_event_that_ends_it(usual: Baselines, waited: bool) -> None:
    fold = FunctionFeatures(usual, np.full(len(usual.cohort), 15.0))
    first, back = rows(before()), rows(ordinary(NOW + 3 * HOUR, 1))
    last, again = first["at"][-1].as_py(), back["at"][0].as_py()
    heard: list[dict[str, Any]] = []
    for batch, mark in ((first, last + 1), (first.slice(0, 0), again if waited else last + 1), (back, again + HOUR)):
        fold.advance(batch, mark)
        found = fold.raised()
        heard += [] if found is None else found.to_pylist()
    assert [row["signal"] for row in heard] == ["silence", "speech"]
    assert [row["since"] for row in heard] == [last, last]
    assert heard[1]["at"] == again
    assert heard[1]["function"] == "Pay"


def test_a_function_that_speaks_again_may_fall_silent_again(usual: Baselines) -> None:
    found = live(usual, before(), ordinary(NOW + 3 * HOUR, 1), silence=15.0, watermark_us=EPOCH_US + NOW + 12 * HOUR)
    assert len(found.silences()) == 2


def test_nobody_is_missed_between_rows_that_come_late_and_the_begin_of_the_logs(usual: Baselines) -> None:
    stragglers = [record for hours in (9, 5) for record in ordinary(NOW - hours * HOUR, 1 / 60, every=MINUTE)]
    begun = live(usual, stragglers, ordinary(NOW, 2), silence=30.0, watermark_us=EPOCH_US + NOW + 2 * HOUR)
    assert begun.silences() == []
    ended = live(usual, stragglers, ordinary(NOW, 2), silence=30.0, watermark_us=EPOCH_US + NOW + 12 * HOUR)
    assert len(ended.silences()) == 1


def test_a_fold_says_when_the_next_silence_is_due(usual: Baselines) -> None:
    fold = FunctionFeatures(usual, np.full(len(usual.cohort), 15.0))
    batch = rows(before())
    fold.advance(batch, batch["at"][-1].as_py() + 1)
    due = fold.due()
    assert due is not None
    fold.advance(batch.slice(0, 0), due - 1)
    assert fold.raised() is None or fold.raised().num_rows == 0  # type: ignore[union-attr]
    fold.advance(batch.slice(0, 0), due)
    assert fold.raised()["signal"].to_pylist() == ["silence"]  # type: ignore[index]
    assert fold.due() is None


def test_a_gap_between_training_and_replay_is_no_silence(usual: Baselines) -> None:
    trained = FunctionFeatures(usual, np.full(len(usual.cohort), 1e9))
    batch = rows(before())
    trained.advance(batch, batch["at"][-1].as_py() + 1)
    fold = FunctionFeatures(usual, np.full(len(usual.cohort), 15.0))
    fold.restore(trained.snapshot())
    fold.disarm()
    later = rows(ordinary(NOW + 9 * DAY, 1))
    fold.advance(later, later["at"][-1].as_py() + 1)
    assert fold.raised() is None or fold.raised().num_rows == 0  # type: ignore[union-attr]


def test_a_function_whose_runs_all_take_the_same_time_is_ordinary_when_they_do(usual: Baselines) -> None:
    found = live(usual, timer(LEARNED - DAY, 42))
    for feature in ("duration_high", "duration_low", "latency_shift", "latency_drop", "duration_record"):
        assert found.raw(feature).max() < 0.1, feature


def older_after(usual: Baselines, early: list[dict[str, Any]], *more: dict[str, Any]) -> pa.RecordBatch:
    """What is said of a log that comes after one that is weeks later, with ``more`` in that one."""
    fold = FunctionFeatures(usual, np.full(len(usual.cohort), 1e9))
    weeks_later = [{**record, "event_time": record["event_time"] + 20 * DAY} for record in more]
    for log in (rows([*ordinary(LEARNED + 20 * DAY, 2), *weeks_later]), rows(early)):
        featured = fold.advance(log, log["at"][-1].as_py() + 1)
    return featured


def test_an_older_log_than_the_state_has_seen_is_judged_without_harm(usual: Baselines) -> None:
    found = live(usual, before())
    raw = from_matrix(older_after(usual, before())["raw_function"])
    assert np.isfinite(raw).all()
    assert (
        raw[:, 6:11].max() <= max(found.raw(name).max() for name in ("pace_minutes", "pace_hour", "growth_days")) + 3.0
    )


def test_who_flooded_a_later_log_takes_nothing_from_an_older_one(usual: Baselines) -> None:
    def hour_of(*flooded: dict[str, Any]) -> Any:
        featured = older_after(usual, trouble(100, caller=somebody), *flooded)
        return from_matrix(featured["value_function"])[:, INDEX["pace_hour"]]

    flood = trouble(300, caller=STRANGER)
    assert hour_of(*flood).tolist() == hour_of().tolist()
    assert hour_of()[-1] > 60.0


def test_what_failed_in_a_later_log_is_no_fault_of_an_older_one(usual: Baselines) -> None:
    def burst(*failed: dict[str, Any]) -> Any:
        featured = older_after(usual, trouble(24, SECOND, succeeded=False, caller=somebody), *failed)
        return from_matrix(featured["raw_function"])[:, INDEX["failure_burst"]]

    for_minutes = trouble(20, 40 * SECOND, succeeded=False, caller=STRANGER)
    assert burst(*for_minutes).tolist() == burst().tolist()
    assert 0.0 < burst()[-1] <= kernel.FAULT_CLAIMS


def test_logs_older_than_the_training_reach_no_further_than_themselves(usual: Baselines) -> None:
    trained = FunctionFeatures(usual, np.full(len(usual.cohort), 1e9))
    learned = rows([*before(), *timer(LEARNED - DAY, 30)])
    trained.advance(learned, learned["at"][-1].as_py() + 1)
    fold = FunctionFeatures(usual, np.full(len(usual.cohort), 15.0))
    fold.restore(trained.snapshot())
    fold.disarm()
    older = rows(timer(0, 24))
    fold.advance(older, END)
    raised = fold.raised()
    assert raised is not None
    (tick,) = (row for row in raised.to_pylist() if row["signal"] == "tick")
    assert tick["at"] == older["at"][-1].as_py()


def test_each_run_by_hand_adds_where_none_ever_was_and_is_ordinary_where_they_are_a_habit(usual: Baselines) -> None:
    by_hand = {"trigger": "host-api", "caller_source": "host-api", "caller": "host-api:host-api"}

    def evenings(day: float) -> list[dict[str, Any]]:
        begin = int(NOW + day * DAY + 11 * HOUR)
        runs = timer(begin, 1.0, every=12 * MINUTE)
        return [{**record, **by_hand, "invocation_id": f"hand{day}-{n}"} for n, record in enumerate(runs)]

    life = timer(NOW - 4 * DAY, 96)
    never = live(usual, life, evenings(0)).raw("unscheduled", "hand0")
    often = live(usual, life, *(evenings(day) for day in (-3, -2, -1, 0))).raw("unscheduled", "hand0")
    assert (np.diff(never) > np.log(24)).all()
    assert often.max() < 0.2 * never.max()


def test_a_message_that_fails_again_is_known_by_its_operation(usual: Baselines) -> None:
    queued = {"trigger": "queue", "function": "Send", "caller": "queue:mail", "caller_source": "queue"}
    queued["succeeded"] = False  # type: ignore[assignment]
    again = live(usual, ordinary(NOW, 0.5, operation_id="poison", **queued)).raw("redelivery")
    others = live(usual, ordinary(NOW, 0.5, operation_id=lambda n: f"message-{n}", **queued)).raw("redelivery")
    assert again[0] == 0.0
    assert (np.diff(again) > 0.0).all()
    assert (others == 0.0).all()


@pytest.mark.parametrize(
    "fields",
    [{"trigger": "queue", "dequeue_count": 1}, {"trigger": "other", "caller": "other:f", "caller_source": "other"}],
    ids=["the host counts deliveries", "activities that one orchestration starts"],
)
def test_runs_of_one_operation_are_not_always_deliveries_of_one_message(
    usual: Baselines, fields: dict[str, Any]
) -> None:
    queued = {"function": "Send", "caller": "queue:mail", "caller_source": "queue", "succeeded": False, **fields}
    assert (live(usual, ordinary(NOW, 0.5, operation_id="one", **queued)).raw("redelivery") == 0.0).all()


def test_a_first_failure_claims_half_as_much_as_its_share_of_a_burst(usual: Baselines) -> None:
    found = live(usual, before(), trouble(4, 40 * SECOND, succeeded=False, caller=somebody))
    first, second, third, _ = found.raw("failure_burst", "bad")
    assert first > 0.0
    assert second - first > 1.5 * first
    assert third - second < 1.5 * (second - first)


def test_a_batch_that_fails_at_once_is_one_fault_and_one_that_goes_on_is_many(usual: Baselines) -> None:
    def claimed(every: int) -> float:
        failing = messages(NOW, 24 * every / HOUR, every=every, succeeded=False)
        bad = [{**record, "invocation_id": f"bad-{number:04d}"} for number, record in enumerate(failing)]
        return float(live(usual, messages(LEARNED - DAY, 30), bad).raw("failure_burst", "bad").max())

    at_once, for_minutes = claimed(SECOND), claimed(40 * SECOND)
    assert 0.0 < at_once <= kernel.FAULT_CLAIMS
    assert for_minutes > 8.0 * at_once


def test_batches_that_fail_one_after_the_other_claim_more_than_the_first() -> None:
    meters = baselines_of(by_the_quarter(0, 96.0, 60))
    failing = [
        {**row, "invocation_id": f"bad-{row['invocation_id']}", "succeeded": n % 4 != 0}
        for n, row in enumerate(by_the_quarter(NOW, 1.0, 60))
    ]
    burst = live(meters, by_the_quarter(LEARNED - DAY, 30.0, 60), failing).raw("failure_burst", "bad")
    first, third = burst[:60].max(), burst[120:180].max()
    assert 0.0 < first <= 2.0 * kernel.FAULT_CLAIMS
    assert third > 2.0 * first


@pytest.mark.parametrize(
    ("feature", "ended"), [("failure_burst", {"succeeded": False}), ("client_error_burst", {"status": 404})]
)
def test_a_row_that_stands_for_several_calls_is_seen_once(
    usual: Baselines, feature: str, ended: dict[str, Any]
) -> None:
    def claimed(count: int, weight: int) -> float:
        calls = [{**row, "item_count": weight} for row in (*before(every=HOUR // 10), *trouble(count, MINUTE, **ended))]
        return float(live(usual, calls).raw(feature, "bad").max())

    assert claimed(1, 3) <= 1.1 * claimed(1, 1)
    assert claimed(3, 3) <= 1.1 * claimed(3, 1)


def test_where_calls_are_few_each_that_fails_is_a_fault_of_its_own(usual: Baselines) -> None:
    # one every twenty minutes: a quarter of an hour never holds two
    rare = baselines_of(ordinary(0, 96, every=20 * MINUTE))
    found = live(rare, ordinary(LEARNED - DAY, 30, every=20 * MINUTE), trouble(6, 20 * MINUTE, succeeded=False))
    assert found.raw("failure_burst", "bad")[-1] > 2.0 * kernel.FAULT_CLAIMS


@pytest.mark.parametrize("ended", [{"succeeded": False, "status": 500}, {"status": 404}, {"status": 400}])
def test_what_fails_or_is_refused_may_end_sooner(usual: Baselines, ended: dict[str, Any]) -> None:
    well, badly = (
        live(usual, before(), trouble(3, duration_ms=0.5, **how)).raw("duration_low", "bad").max()
        for how in ({}, ended)
    )
    assert well > 1.0
    assert badly == 0.0


def test_a_forgotten_password_is_no_news_and_a_guessed_one_is(usual: Baselines) -> None:
    def claimed(count: int) -> float:
        found = live(usual, before(), trouble(count, 20 * SECOND, status=401, caller=STRANGER))
        return float(found.raw("client_error_burst", "bad").max())

    assert claimed(5) == claimed(1)
    assert claimed(30) > 10.0 * claimed(5)


@pytest.mark.parametrize("feature", ["client_error_burst", "caller_client_errors"])
def test_a_call_that_can_not_be_read_claims_half_of_what_a_guess_does(usual: Baselines, feature: str) -> None:
    def claimed(status: int) -> float:
        found = live(usual, before(), trouble(6, 20 * SECOND, status=status, caller=STRANGER))
        return float(found.raw(feature, "bad").max())

    assert claimed(404) == claimed(403) > 3.0
    assert claimed(400) == claimed(422) == pytest.approx(kernel.MALFORMED_CLAIMS * claimed(404))


def test_refusals_are_told_from_calls_that_can_not_be_read_and_from_all_else() -> None:
    status = pa.array([None, 200, 302, 400, 401, 404, 415, 422, 429, 499, 500], pa.int32())
    assert refusals(status).tolist() == [0, 0, 0, 2, 1, 1, 2, 2, 1, 1, 0]


def test_a_newcomer_among_many_is_less_of_a_surprise(usual: Baselines) -> None:
    def arriving(count: int) -> list[dict[str, Any]]:
        minute = ordinary(NOW, count * SECOND / HOUR, every=SECOND, caller=lambda n: f"address:198.51.100.{n}")
        return [{**record, "invocation_id": f"new-{n:03d}"} for n, record in enumerate(minute)]

    alone, together = (live(usual, ordinary(LEARNED - 3 * DAY, 72), arriving(n)) for n in (1, 60))
    news = "caller_new_to_function"
    assert together.raw(news, "new")[-1] < alone.raw(news, "new")[-1] - 2.0


def test_what_one_caller_did_within_the_hour_is_not_laid_at_the_next_ones_door(usual: Baselines) -> None:
    flood = trouble(200, 3 * SECOND, caller=STRANGER)
    for_a_while = trouble(20, 5 * SECOND, caller=somebody)
    later = [
        {**record, "invocation_id": f"later-{record['invocation_id']}", "event_time": record["event_time"] + HOUR // 2}
        for record in for_a_while
    ]
    alone = live(usual, before(), later).raw("pace_hour", "later")
    after = live(usual, before(), flood, later)
    assert after.raw("pace_hour", "bad").max() > 10.0 * alone.max()
    assert after.raw("pace_hour", "later").max() == pytest.approx(alone.max(), rel=0.25)
    assert after.value("pace_hour", "later").max() < 60.0


def test_what_many_did_within_the_hour_is_not_laid_at_the_door_of_who_calls_next(usual: Baselines) -> None:
    crowd = trouble(400, 5 * SECOND, caller=lambda n: f"address:198.51.100.{n % 80}")
    next_one = [
        {**record, "invocation_id": f"next-{n:02d}"}
        for n, record in enumerate(ordinary(NOW + HOUR, 0.1, every=20 * SECOND, caller=STRANGER))
    ]
    alone, after = (live(usual, before(9.0), *rows, next_one) for rows in ((), (crowd,)))
    assert after.raw("pace_hour", "bad").max() > 20.0
    # far more than the thirty that are usual
    assert after.value("pace_hour", "next").max() > 50.0
    assert after.raw("pace_hour", "next").max() < alone.raw("pace_hour", "next").max() + 2.0


def test_where_calls_are_few_old_refusals_stay_with_who_earned_them(usual: Baselines) -> None:
    guessing = trouble(60, 5 * SECOND, status=401, caller=STRANGER)
    slip = {**trouble(1, status=404, caller=somebody)[0], "invocation_id": "slip", "event_time": NOW + 8 * HOUR}
    alone = live(usual, before(), [slip]).raw("client_error_burst", "slip")[0]
    after = live(usual, before(), guessing, [slip]).raw("client_error_burst", "slip")[0]
    assert after == pytest.approx(alone, abs=1.0)


def test_a_country_that_no_function_ever_heard_from_is_rarer_than_one_that_calls_others(usual: Baselines) -> None:
    elsewhere = ordinary(0, 96, function="Catalogue", every=HOUR // 60, country="Norway")
    known = baselines_of([*ordinary(0, 96), *elsewhere])
    lived = (before(), ordinary(LEARNED - DAY, 30, function="Catalogue", every=HOUR // 60, country="Norway"))
    norway = live(known, *lived, trouble(1, country="Norway"))
    chile = live(known, *lived, trouble(1, country="Chile"))
    new = live(known, *lived, trouble(1, caller=STRANGER, country="Chile"))
    assert norway.raw("country_rare_here", "bad")[0] == chile.raw("country_rare_here", "bad")[0] > 4.0
    assert norway.raw("country_new", "bad")[0] < 1.0
    assert chile.raw("country_new", "bad")[0] > 4.0
    assert new.raw("country_new", "bad")[0] == 0.0


def test_a_country_is_no_news_of_a_caller_who_came_from_there_before(usual: Baselines) -> None:
    lives_there = ordinary(LEARNED, 3 * 24.0, caller=STRANGER, country="Chile", every=HOUR)
    found = live(usual, before(0.0), lives_there)
    assert found.raw("country_rare_here", f"Pay-shop-{LEARNED}").max() > 4.0
    assert found.raw("country_new", f"Pay-shop-{LEARNED}").max() == 0.0
    moved = live(usual, before(0.0), ordinary(LEARNED, 3 * 24.0, country="Chile", every=HOUR // 60))
    first, last = moved.raw("country_new", f"Pay-shop-{LEARNED}")[[0, -1]]
    assert first > 4.0
    assert last == 0.0


def test_newcomers_at_a_function_that_is_as_busy_as_usual_are_no_crowd(usual: Baselines) -> None:
    days = ordinary(LEARNED - 3 * DAY, 72 + (NOW - LEARNED) / HOUR)
    new: dict[str, Any] = {"caller": lambda n: f"address:198.51.100.{n}"}
    instead = [{**call, "invocation_id": f"bad-{n}"} for n, call in enumerate(ordinary(NOW, 1.0, **new))]
    beside = trouble(len(instead), 5 * SECOND, **new)
    assert (
        live(usual, days, instead).raw("newcomers", "bad").max()
        < 0.2 * live(usual, days, beside).raw("newcomers", "bad").max()
    )


def test_failures_that_are_few_an_hour_stand_out_when_they_go_on_for_hours(usual: Baselines) -> None:
    def failing(at: list[int]) -> npt.NDArray[Any]:
        """Single calls that fail, minutes after NOW, beside those that go well."""
        one = [{**trouble(1, succeeded=False, status=500)[0], "invocation_id": f"bad-{n:02d}",
                "event_time": NOW + m * MINUTE} for n, m in enumerate(at)]  # fmt: skip
        return live(usual, before(18.0), one).raw("failure_burst", "bad")

    hours = failing([25 * n for n in range(18)])
    assert hours[2] < hours[8] < hours[-1]
    # what failed at once is one quarter of an hour of the six hours
    burst = failing([*range(8), 200, 400])
    assert hours[-1] > burst[-1] + 3.0
    # and what fails hours after all else did begins anew
    again, going_on = (failing([*(25 * n for n in range(18)), 17 * 25 + rest])[-1] for rest in (170, 100))
    assert again < going_on - 3.0


def refused_now_and_then(minutes: list[float], callers: int) -> list[dict[str, Any]]:
    """Single calls that are refused, minutes after NOW, beside those that go well, by so many callers in turn."""
    return [
        {**trouble(1, status=409)[0], "invocation_id": f"bad-{n:03d}", "event_time": NOW + round(m * MINUTE),
         "caller": f"user:{n % callers}", "caller_source": "user"} for n, m in enumerate(minutes)
    ]  # fmt: skip


def test_refusals_that_are_few_an_hour_add_up_over_hours_whoever_is_refused(usual: Baselines) -> None:
    def told(minutes: list[float], callers: int = 40) -> tuple[npt.NDArray[Any], npt.NDArray[Any]]:
        found = live(usual, before(18.0), refused_now_and_then(minutes, callers))
        return found.raw("refused_hours", "bad"), found.value("refused_hours", "bad")

    # one in five calls, for three hours
    every_four = [4.0 * n for n in range(45)]
    hours, counted = told(every_four)
    assert hours[5] < hours[15] < hours[-1]
    assert counted[-1] == pytest.approx(45, abs=2)
    # as many within minutes say less
    assert told([n / 6 for n in range(45)])[0].max() < 0.4 * hours[-1]
    # the same of one caller is its own doing
    assert told(every_four, callers=1)[0].max() < 3.0
    # and the next one, hours after, is another matter
    assert told([*every_four, 45 * 4.0 + 150])[0][-1] < 1.0


def test_ordinary_refusals_in_the_hours_after_a_long_attack_are_no_part_of_it(usual: Baselines) -> None:
    attack = [4.0 * n for n in range(45)]
    after = [45 * 4.0 + 45.0, 45 * 4.0 + 48.0]
    found = live(usual, before(18.0), refused_now_and_then([*attack, *after], 40)).raw("refused_hours", "bad")
    assert found[:45].max() > 10.0
    assert found[45:].max() < 3.0


def test_what_is_refused_hours_after_a_burst_of_refusals_is_no_part_of_it_few_as_the_calls_between_are() -> None:
    rare = baselines_of(ordinary(0, 96, every=20 * MINUTE))
    burst, slow = (
        live(rare, ordinary(LEARNED - DAY, 30, every=20 * MINUTE), refused_now_and_then(at, 12)).raw(
            "client_error_burst", "bad"
        )
        for at in ([*(n / 6 for n in range(12)), 100.0], [20.0 * n + 0.5 for n in range(13)])
    )
    assert burst[11] > 10.0
    assert burst[-1] < 0.3 * slow[-1]


def test_how_many_were_refused_is_told_of_the_calls_that_say_most() -> None:
    rare = baselines_of(ordinary(0, 96, every=20 * MINUTE))
    often = refused_now_and_then([20.0 * n for n in range(9)], 9)
    found = live(rare, ordinary(LEARNED - DAY, 30, every=20 * MINUTE), often)
    # a quarter of an hour never holds two
    assert found.value("client_error_burst", "bad")[-1] > 6.0


def test_failures_of_hours_stand_out_in_an_older_log_than_the_state_has_seen(usual: Baselines) -> None:
    def failing(begin: int) -> list[dict[str, Any]]:
        """A day of which one call fails every twenty-five minutes for hours."""
        bad = [{**trouble(1, succeeded=False, status=500)[0], "invocation_id": f"bad-{begin}-{n}",
                "event_time": begin + (12 * 60 + 25 * n) * MINUTE} for n in range(18)]  # fmt: skip
        return [*ordinary(begin, 24), *bad]

    functions = FunctionFeatures(usual, np.full(len(usual.cohort), 1e9))
    claims = []
    for begin in (LEARNED, DAY):
        batch = in_order(rows(failing(begin)))
        featured = functions.advance(batch, batch["at"][-1].as_py() + 1)
        wrong = [name.startswith("bad") for name in featured["invocation_id"].to_pylist()]
        claims.append(from_matrix(featured["raw_function"])[wrong, INDEX["failure_burst"]])
    assert claims[0][-1] > claims[0][0] + 3.0
    np.testing.assert_allclose(claims[1], claims[0], rtol=0.2)


def test_somebody_new_is_news_where_nobody_new_ever_came_and_hardly_any_where_each_day_brings_some() -> None:
    closed = ordinary(0, 96, function="Approve")
    opened = ordinary(0, 96, function="Browse", caller=lambda n: f"address:10.{n // 4 // 256}.{n // 4 % 256}.1")
    usual = baselines_of([*closed, *opened])
    claims = [
        live(usual, closed, opened, trouble(1, function=name, caller=STRANGER)).raw("caller_new_to_function", "bad")[0]
        for name in ("Approve", "Browse")
    ]
    assert claims[0] > 8.0 > 4.0 > claims[1]


@pytest.mark.parametrize("feature", ["caller_new_to_function", "country_rare_here"])
def test_where_nobody_new_ever_came_the_thirtieth_call_of_somebody_new_says_more_than_the_first(feature: str) -> None:
    closed = ordinary(0, 96, function="Approve")
    visits = trouble(30, MINUTE, function="Approve", caller=STRANGER, country="Chile")
    found = live(baselines_of(closed), closed, visits).raw(feature, "bad")
    assert found[-1] > 1.5 * found[0] > 8.0
    turned_away = [{**call, "status": 403} for call in visits]
    refused = live(baselines_of(closed), closed, turned_away).raw(feature, "bad")
    assert refused[-1] <= refused[0]


def test_where_many_countries_call_one_more_says_no_more_with_each_call() -> None:
    many = ordinary(0, 96, function="Approve", country=lambda n: f"Country {n % 7}")
    visits = trouble(30, MINUTE, function="Approve", caller=STRANGER, country="Chile")
    found = live(baselines_of(many), many, visits).raw("country_rare_here", "bad")
    assert found[-1] <= found[0]


def test_an_hour_far_busier_than_the_busiest_of_each_day_stands_out_as_far_as_these_differ() -> None:
    def nats(busiest: list[float], calls: float) -> float:
        state, logs = np.zeros(kernel.FUNCTION_STATE), np.log(np.array(busiest) + kernel.BUSIEST_CALLS)
        state[kernel.S_BUSIEST_DAYS : kernel.S_BUSIEST_SQUARES + 1] = len(busiest), logs.sum(), (logs**2).sum()
        return float(kernel.beyond_busiest(state, calls))

    days = [44.0, 61.0, 108.0, 79.0, 92.0, 75.0, 88.0, 70.0, 97.0, 66.0, 83.0, 101.0]
    assert nats(days, 275.0) > 6.5 > 2.0 > nats(days, 120.0)
    assert nats(days, 60.0) == nats(days[:3], 275.0) == 0.0
    wide = [10.0, 300.0, 25.0, 150.0, 60.0, 400.0]
    assert nats(wide, 275.0) < 1.0


def test_the_busiest_hour_of_a_day_is_remembered_from_the_next_on(usual: Baselines) -> None:
    functions = FunctionFeatures(usual, np.full(len(usual.cohort), 1e9))
    batch = in_order(rows([*ordinary(0, 3 * 24.0), *ordinary(DAY + HOUR, 1, every=MINUTE, host_instance="host-2")]))
    functions.advance(batch, END)
    table = functions.snapshot()["functions"]
    names = table["function"].to_pylist()
    state = np.array(table["state"][names.index("Pay")].as_py())
    assert state[kernel.S_BUSIEST_DAYS] == 2.0
    assert np.exp(state[kernel.S_BUSIEST] / 2.0) == pytest.approx(np.sqrt(34.0 * 80.0), rel=0.3)


def test_a_job_whose_every_run_finds_a_fresh_host_is_not_excused_for_that() -> None:
    even = [
        {**timer(n * DAY + 3 * HOUR, 0.1, function="Report", duration_ms=48_000.0 + 400.0 * (n % 5))[0],
         "host_instance": f"host-{n}"}
        for n in range(16)
    ]  # fmt: skip
    # of others one start in ten is cold
    other = [
        {**record, "host_instance": f"h{n // 10}"} | ({"duration_ms": 2_000.0} if n % 10 == 0 else {})
        for n, record in enumerate(ordinary(0, 16 * 24, every=20 * MINUTE))
    ]
    both = rows([*even, *other])
    cold = np.array([True] * len(even) + [n % 10 == 0 for n in range(len(other))])
    known = sketch_of(both, cold).fit()
    extra = dict(zip(known.functions, known.cold_extra.tolist(), strict=False))
    assert extra["Report"] < np.log(1.1) < np.log(10.0) < extra["Pay"]
