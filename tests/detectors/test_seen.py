"""Which ids came: remembered for hours, bounded, and the same after a restart; what was said once is not said again."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from detectors import seen as module
from detectors.collate import _recalled
from detectors.seen import REMEMBERED_SPANS, SPAN_US, Seen
from detectors.seen_log import BATCH

BEGIN = 2_950_000


def hashes(*numbers: int) -> np.ndarray:
    return (np.array(numbers, np.uint64) + np.uint64(1)) * np.uint64(0x9E3779B97F4A7C15)


def add(seen: Seen, span: int, *numbers: int, of: int | None = None) -> None:
    """Ids that came in a span, as of another one."""
    times = np.full(len(numbers), (of if of is not None else span) * SPAN_US, np.int64)
    seen.add(hashes(*numbers), times, span * SPAN_US)


def known(seen: Seen, span: int, *numbers: int) -> list[bool]:
    return _recalled(seen.slots, seen.span, hashes(*numbers), np.full(len(numbers), span, np.int64)).tolist()


def again(seen: Seen) -> Seen:
    other = Seen()
    other.restore(seen.snapshot())
    return other


def test_an_id_is_remembered_for_hours_and_then_forgotten():
    seen = Seen()
    add(seen, BEGIN, 1)
    assert known(seen, BEGIN, 1, 2) == [True, False]
    assert known(seen, BEGIN + REMEMBERED_SPANS, 1) == [True]
    assert known(seen, BEGIN + REMEMBERED_SPANS + 1, 1) == [False]


def test_an_older_copy_makes_no_id_forgotten_sooner():
    seen = Seen()
    add(seen, BEGIN, 1)
    add(seen, BEGIN, 1, of=BEGIN - REMEMBERED_SPANS)
    add(seen, BEGIN + REMEMBERED_SPANS, 2)
    assert known(seen, BEGIN + REMEMBERED_SPANS, 1) == [True]


@given(st.lists(st.tuples(st.integers(0, 90), st.integers(0, 40), st.integers(0, 72)), max_size=60), st.data())
def test_restarted_at_any_moment_it_knows_what_it_knew(steps, data):
    plain, restarted, span = Seen(), Seen(), BEGIN
    for ahead, number, age in steps:
        span += ahead
        for seen in (plain, restarted):
            add(seen, span, number, of=span - age)
        if data.draw(st.booleans()):
            restarted = again(restarted)
        assert known(plain, span, *range(41)) == known(restarted, span, *range(41))


def test_of_two_snapshots_only_the_last_batch_differs():
    seen = Seen()
    seen.snapshot()
    for number in range(5):
        add(seen, BEGIN + number, *range(number * BATCH, (number + 1) * BATCH - 7))
        add(seen, BEGIN + number, *range((number + 1) * BATCH - 7, (number + 1) * BATCH))
    add(seen, BEGIN + 5, 10_000_001)
    first = seen.snapshot().to_batches()
    add(seen, BEGIN + 5, 10_000_002)
    second = seen.snapshot().to_batches()
    assert len(first) == len(second) == 6
    place = [[b.column(0).buffers()[1].address for b in batches] for batches in (first, second)]
    assert place[0][:-1] == place[1][:-1]
    assert second[-1].num_rows == 2
    other = again(seen)
    assert [b.column(0).buffers()[1].address for b in other.snapshot().to_batches()][:-1] == place[0][:-1]
    assert len(other) == len(seen)


@pytest.mark.parametrize("restarts", [False, True])
def test_memory_is_bounded_however_many_come_and_the_oldest_go_first(restarts):
    most, each = 20_000, 3_000
    seen = Seen(most)
    seen.snapshot()
    sizes = []
    for number in range(60):
        add(seen, BEGIN + number // 2, *range(number * each, (number + 1) * each))
        sizes.append(len(seen))
        assert known(seen, BEGIN + number // 2, number * each, (number + 1) * each - 1) == [True, True]
        if restarts and number % 7 == 6:
            table = seen.snapshot()
            seen = Seen(most)
            seen.restore(table)
    assert max(sizes) <= most
    assert seen.slots.nbytes <= 8 * 2**17
    assert known(seen, BEGIN + 30, 0) == [False]
    # of the batches, which hold many spans, what is forgotten stays at most as long as what stands beside it
    assert seen.snapshot().num_rows <= most + BATCH + each


@given(
    st.lists(st.tuples(st.integers(0, 40), st.integers(1, 400)), min_size=1, max_size=30),
    st.sampled_from([0, 1_000, 10**9]),
)
def test_how_large_the_table_is_changes_nothing_of_what_is_known(steps, telling):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "_TELLING", telling)
        patch.setattr(module, "_FIRST_SLOTS", 64)
        seen, came, span, number = Seen(4_000), {}, BEGIN, 0
        for ahead, count in steps:
            span += ahead
            add(seen, span, *range(number, number + count))
            came |= dict.fromkeys(range(number, number + count), span)
            number += count
        if number <= 3_000:
            expected = [span - came[one] <= REMEMBERED_SPANS for one in range(number)]
            assert known(seen, span, *range(number)) == expected
            # as many as are still needed, and those that no sweep has met
            assert sum(expected) <= len(seen) == np.count_nonzero(seen.slots)


def test_a_busy_streams_table_has_its_size_from_its_first_minute_on():
    seen, sizes = Seen(most=1_000_000), []
    for second in range(400):
        ids = np.arange(second * 5_000, (second + 1) * 5_000)
        at = BEGIN * SPAN_US + second * 1_000_000
        seen.add(hashes(*ids.tolist()), np.full(5_000, at), at)
        sizes.append(seen.slots.nbytes)
    assert len(set(sizes[60:])) == 1
    # 100 a minute come to 72,000 in half a day
    calm = Seen(most=1_000_000)
    for minute in range(3_000):
        at = BEGIN * SPAN_US + minute * 60_000_000
        calm.add(hashes(*range(minute * 100, minute * 100 + 100)), np.full(100, at), at)
    assert calm.slots.nbytes < sizes[-1] / 4


def test_more_at_once_than_are_held_are_held_until_more_come():
    seen = Seen(1_000)
    add(seen, BEGIN, *range(5_000))
    assert known(seen, BEGIN, 0, 4_999) == [True, True]
    add(seen, BEGIN + 1, *range(5_000, 5_100))
    assert known(seen, BEGIN + 1, 5_000) == [True]


def test_the_log_forgets_what_is_too_old_also_where_little_comes():
    seen = Seen()
    seen.snapshot()
    for span in range(BEGIN, BEGIN + 1_000):
        add(seen, span, span)
    table = seen.snapshot()
    assert REMEMBERED_SPANS <= table.num_rows <= 2 * REMEMBERED_SPANS
    assert isinstance(table, pa.Table)
