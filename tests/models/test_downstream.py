"""Who follows whom is learned from operations, and what does not follow is told."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.baselines import BIN_US
from models.downstream import Downstream, Flow, Told
from models.operation_log import BAR, LEAST_WAIT_US
from tests.models.downstream import (
    CHARGE,
    DAY,
    HOUR,
    MINUTE,
    NAMES,
    ORDER,
    RETURN,
    SECOND,
    SEND,
    Run,
    learned,
    orders,
    without,
)


def pairs(known: Downstream) -> dict[tuple[str, str], float]:
    follower = known.named[known.follower]
    return {
        (known.functions[s], known.functions[f]): round(float(m), 2)
        for s, f, m in zip(known.source.tolist(), follower.tolist(), known.mean.tolist(), strict=True)
    }


def test_what_follows_and_how_much_of_it_is_learned_from_operations() -> None:
    known = learned(orders(follows=lambda number: (CHARGE,) * (1 + number % 3)))
    assert pairs(known) == {("Order", "Charge"): 2.0}
    assert (known.apps, known.triggers) == (("pay", "shop"), ("queue", "http"))
    assert known.wait.tolist() == [LEAST_WAIT_US // BIN_US]
    assert known.ahead.tolist() == [0]
    assert known.bar.tolist() == [BAR]


def test_of_what_came_before_a_follower_the_nearest_that_tells_as_much_promises_it() -> None:
    runs = orders()
    runs += [(o, SEND, e + MINUTE, e + MINUTE + SECOND, True) for o, f, _, e, _ in runs if f == CHARGE]
    assert pairs(learned(runs)) == {("Order", "Charge"): 1.0, ("Charge", "Send"): 1.0}


def test_what_several_functions_begin_follows_all_of_them() -> None:
    both = orders() + orders(source=RETURN, every=HOUR, first=10_000, follows=lambda number: (CHARGE, CHARGE))
    assert pairs(learned(both)) == {("Order", "Charge"): 1.0, ("Return", "Charge"): 2.0}


@pytest.mark.parametrize(
    "runs",
    [
        orders(follows=lambda number: (CHARGE,) if number % 5 == 0 else ()),
        orders(days=2, every=13 * HOUR),
        orders(delay=4 * HOUR),
        [(0, *run[1:]) for run in orders()],
        orders(well=False),
    ],
    ids=["seldom follows", "hardly ever runs", "follows after hours", "without operations", "never goes well"],
)
def test_what_promises_nothing_is_not_waited_for(runs: list[Run]) -> None:
    assert len(learned(runs)) == 0


def test_who_waits_for_what_it_calls_is_followed_before_it_ends() -> None:
    runs = [(n, ORDER, n * HOUR, n * HOUR + 20 * MINUTE, True) for n in range(1, 100)]
    runs += [(n, CHARGE, n * HOUR + MINUTE, n * HOUR + 2 * MINUTE, True) for n in range(1, 100)]
    known = learned(runs)
    assert pairs(known) == {("Order", "Charge"): 1.0}
    # 18 minutes, and a quarter more
    assert known.ahead.tolist() == [5]
    assert told_of(known, runs) == []


def test_of_more_runs_than_can_be_kept_those_of_some_operations_tell_the_same() -> None:
    runs = orders(follows=lambda number: (CHARGE, CHARGE))
    assert pairs(learned(runs, most=300)) == pairs(learned(runs))


def test_what_is_known_survives_the_way_into_a_bundle_and_back() -> None:
    known = learned(orders())
    again = Downstream.from_tables(known.to_tables())
    for name, value in vars(known).items():
        assert np.array_equal(value, getattr(again, name)), name


# ---------------------------------------------------------------------- what does not follow
def counted(known: Downstream, runs: Sequence[Run]) -> list[tuple[int, int, float, float]]:
    """Span, place of the function, runs, and good runs, in the order in which they are known."""
    names = zip(known.apps, known.functions, known.triggers, strict=True)
    places = {NAMES.index(name): place for place, name in enumerate(names)}
    counts: dict[tuple[int, int], list[float]] = {}
    for _, function, _, ended, good in runs:
        if function in places:
            count = counts.setdefault((ended // BIN_US, places[function]), [0.0, 0.0])
            count[0] += 1.0
            count[1] += good
    return [(span, place, came, well) for (span, place), (came, well) in sorted(counts.items())]


def told_of(known: Downstream, runs: Sequence[Run], cuts: Sequence[int] = (), *, restoring: bool = False) -> list[Told]:
    """What is told, where all spans before each cut are counted and judged before the rest."""
    flow, found, counts = Flow(known), [], counted(known, runs)
    ends = counts[-1][0] + 40
    begin = 0
    for cut in [*sorted(cuts), ends]:
        now = [one for one in counts if begin <= one[0] < cut]
        if now:
            span, place, came, good = (np.array(column) for column in zip(*now, strict=True))
            flow.count(place, span, came, good)
        found += flow.judge(cut)
        begin = max(begin, cut)
        if restoring:
            fresh = Flow(known)
            fresh.restore(flow.snapshot())
            assert fresh.due() == flow.due()
            flow = fresh
    return sorted(found, key=lambda one: one.at_us)


KNOWN = learned(orders())


def test_where_all_follows_nothing_is_told() -> None:
    assert told_of(KNOWN, orders(days=9)) == []


def test_what_no_longer_follows_is_told_once_and_so_is_that_it_comes_again() -> None:
    gone, back = told_of(KNOWN, without(orders(days=9), CHARGE, DAY, DAY + 6 * HOUR))
    assert (gone.strange, back.strange) == (True, False)
    assert (gone.follower, gone.came) == (0, 0.0)
    # three orders without a charge are enough, and the last is waited for
    assert 3.0 <= gone.promised <= 4.0
    assert DAY <= gone.since_us < gone.at_us <= DAY + 2 * HOUR
    assert DAY + 6 * HOUR < back.at_us < DAY + 12 * HOUR


def test_a_batch_that_ends_halfway_is_told_the_same_day() -> None:
    nightly = orders(days=8, every=DAY, follows=lambda number: (CHARGE,) * 24)
    known = learned(nightly)
    halfway = orders(days=3, every=DAY, follows=lambda number: (CHARGE,) * (24 if number != 1 else 7))
    (gone, back) = told_of(known, halfway)
    assert (gone.strange, gone.more, gone.promised, gone.came) == (True, False, 24.0, 7.0)
    assert DAY < gone.at_us < DAY + HOUR
    assert back.at_us > 2 * DAY


def test_work_that_is_done_twice_is_told_within_minutes_and_so_is_that_it_no_longer_is() -> None:
    busy = {"every": 2 * MINUTE}
    twice = orders(days=3, follows=lambda number: (CHARGE,) * (2 if 720 <= number < 900 else 1), **busy)
    told, over = told_of(learned(orders(**busy)), twice)
    assert (told.strange, told.more, over.strange, over.more) == (True, True, False, True)
    assert told.came > 1.8 * told.promised
    assert DAY < told.at_us <= DAY + HOUR // 2
    assert DAY + 6 * HOUR < over.at_us < DAY + 9 * HOUR


def test_what_waited_and_comes_at_once_is_not_too_much() -> None:
    busy = orders(days=3, every=2 * MINUTE)
    held = [
        (o, f, DAY + 5 * HOUR + b % MINUTE, DAY + 5 * HOUR + b % MINUTE + SECOND, good)
        if f == CHARGE and DAY <= b < DAY + 5 * HOUR
        else (o, f, b, e, good)
        for o, f, b, e, good in busy
    ]
    assert [(one.strange, one.more) for one in told_of(learned(orders(every=2 * MINUTE)), held)] == [
        (True, False),
        (False, False),
    ]


def test_runs_whose_source_is_not_in_these_logs_are_not_too_many() -> None:
    alone = [run for run in orders(days=3) if run[1] == CHARGE]
    assert told_of(KNOWN, alone) == []


def test_messages_that_no_source_sent_are_too_many_while_the_source_runs() -> None:
    sent = [(10**6 + n, CHARGE, DAY + n * MINUTE, DAY + n * MINUTE + SECOND, True) for n in range(30)]
    (told, _) = told_of(KNOWN, [*orders(days=3), *sent])
    assert (told.more, told.at_us <= DAY + HOUR) == (True, True)


def test_what_follows_late_but_while_it_is_waited_for_is_not_missing() -> None:
    late = [
        (o, f, b, e + (12 * MINUTE if f == CHARGE and DAY <= b < 2 * DAY else 0), good)
        for o, f, b, e, good in orders(days=3)
    ]
    assert told_of(KNOWN, late) == []


def test_runs_that_did_not_go_well_promise_nothing() -> None:
    failing = [(o, f, b, e, good and not DAY <= b < 2 * DAY) for o, f, b, e, good in orders(days=3)]
    assert told_of(KNOWN, without(failing, CHARGE, DAY, 2 * DAY)) == []


def test_nothing_is_missed_of_an_app_whose_logs_are_not_there() -> None:
    alone = [run for run in orders(days=3) if run[1] == ORDER]
    assert told_of(KNOWN, alone) == []


def test_more_of_a_source_than_ever_came_together_promise_no_more() -> None:
    known = learned(orders(every=2 * MINUTE))
    calm, (source,) = orders(days=2, every=2 * MINUTE), known.most.tolist()
    # a flood in one span, which brings nothing
    flood = [(10**6 + n, ORDER, DAY + n, DAY + n + SECOND, True) for n in range(5_000)]
    assert source < 10.0
    assert told_of(known, calm + flood) == []
    assert told_of(replace(known, most=np.full(1, np.inf)), calm + flood) != []


def test_how_it_is_told_says_that_it_is_known_who_belongs_together() -> None:
    runs = orders()
    runs += [(o, SEND, e + MINUTE, e + MINUTE + SECOND, True) for o, f, _, e, _ in runs if f == CHARGE]
    known = learned(runs)
    assert len(set(known.together.tolist())) == 1
    places = [known.functions[known.main_source(k)] for k in range(len(known))]
    assert sorted(places) == ["Charge", "Order"]


@given(st.lists(st.integers(0, 9 * DAY // BIN_US), max_size=6), st.booleans())
def test_what_is_told_does_not_hang_on_where_counts_are_cut(cuts: list[int], restoring: bool) -> None:
    runs = without(orders(days=9), CHARGE, DAY, DAY + 6 * HOUR)
    runs = without(runs, CHARGE, 5 * DAY, 5 * DAY + 90 * MINUTE)
    runs += [(10**6 + n, CHARGE, 7 * DAY + n * MINUTE, 7 * DAY + n * MINUTE + SECOND, True) for n in range(60)]
    assert told_of(KNOWN, runs, cuts, restoring=restoring) == told_of(KNOWN, runs)
