"""The watermark of a live source: how it moves, and what holds it."""

from __future__ import annotations

import pyarrow as pa
from hypothesis import given
from hypothesis import strategies as st

from detectors.timeline import START
from pipelines.watermarks import SourceClock, slowest

SECOND = 1_000_000
NOW = 1_000_000 * SECOND


def rows(*times: int, source: str = "p0") -> pa.RecordBatch:
    return pa.record_batch({"at": pa.array(times, pa.int64()), "source": pa.array([source] * len(times), pa.string())})


def clock(lateness_s: int = 10, idle_s: int | None = 60) -> SourceClock:
    return SourceClock(lateness_s * SECOND, None if idle_s is None else idle_s * SECOND)


def test_it_trails_the_latest_completion_by_the_allowed_lateness():
    one = clock()
    one.saw(rows(NOW - 50 * SECOND, NOW - 90 * SECOND), None, NOW)
    one.polled(True, NOW)
    assert one.watermark_us == NOW - 60 * SECOND


def test_it_waits_for_the_end_of_a_poll_where_the_source_promises_nothing():
    one = clock()
    one.saw(rows(NOW - 50 * SECOND), None, NOW)
    assert one.watermark_us == START


def test_what_a_source_says_of_itself_holds_it_back_while_it_catches_up():
    one = clock()
    one.saw(rows(NOW - 50 * SECOND), NOW - 500 * SECOND, NOW)
    assert one.watermark_us == NOW - 500 * SECOND


def test_it_never_goes_back():
    one = clock()
    for at in (NOW, NOW - 900 * SECOND):
        one.saw(rows(at), None, NOW)
        one.polled(True, NOW)
    assert one.watermark_us == NOW - 10 * SECOND


def test_a_row_from_the_future_moves_it_no_further_than_the_clock():
    one = clock()
    one.saw(rows(NOW + 86_400 * SECOND), None, NOW)
    one.polled(True, NOW)
    assert one.watermark_us == NOW - 10 * SECOND


def test_a_quiet_source_follows_the_clock():
    one = clock()
    one.saw(rows(NOW), None, NOW)
    one.polled(True, NOW)
    one.polled(True, NOW + 59 * SECOND)
    assert one.watermark_us == NOW - 10 * SECOND
    one.polled(True, NOW + 60 * SECOND)
    assert one.watermark_us == NOW + 50 * SECOND


def test_a_quiet_source_goes_no_further_than_it_says_of_itself():
    one = clock()
    one.saw(rows(), NOW - 600 * SECOND, NOW)
    one.polled(True, NOW)
    one.polled(True, NOW + 60 * SECOND)
    assert one.watermark_us == NOW - 600 * SECOND


def test_a_source_that_fails_stands_still_however_long():
    one = clock()
    one.saw(rows(NOW), None, NOW)
    one.polled(True, NOW)
    one.polled(False, NOW + 3_600 * SECOND)
    assert one.watermark_us == NOW - 10 * SECOND


def test_while_there_is_more_to_read_the_partition_furthest_behind_rules():
    one = clock()
    one.saw(rows(NOW - 20 * SECOND, source="p0"), None, NOW)
    one.saw(rows(NOW - 500 * SECOND, source="p1"), None, NOW)
    one.polled(False, NOW)
    assert one.watermark_us == NOW - 510 * SECOND


def test_a_partition_that_fell_quiet_is_not_waited_for():
    one = clock()
    one.saw(rows(NOW - 500 * SECOND, source="p1"), None, NOW)
    one.saw(rows(NOW + 100 * SECOND, source="p0"), None, NOW + 100 * SECOND)
    one.polled(False, NOW + 100 * SECOND)
    assert one.watermark_us == NOW + 90 * SECOND


def test_a_clock_set_back_changes_nothing_and_silence_is_measured_anew():
    one = clock()
    one.saw(rows(NOW), None, NOW)
    one.polled(True, NOW)
    one.polled(True, NOW - 7_200 * SECOND)
    assert one.watermark_us == NOW - 10 * SECOND
    one.polled(True, NOW - 7_200 * SECOND + 60 * SECOND)
    assert one.watermark_us == NOW - 10 * SECOND


def test_the_slowest_source_rules_and_one_that_showed_nothing_holds_all():
    fast, slow = clock(), clock(lateness_s=100)
    for one in (fast, slow):
        one.saw(rows(NOW), None, NOW)
        one.polled(True, NOW)
    assert slowest([fast, slow]) == NOW - 100 * SECOND
    assert slowest([fast, clock()]) == START


def test_it_goes_on_where_it_was_after_a_restart():
    one, other = clock(), clock()
    one.saw(rows(NOW), None, NOW)
    one.polled(True, NOW)
    other.restore(one.to_json())
    other.polled(True, NOW)
    assert other.watermark_us == one.watermark_us


@given(st.lists(st.tuples(st.integers(-(10**9), 10**9), st.booleans(), st.integers(-100, 100)), max_size=30))
def test_whatever_comes_it_never_goes_back_nor_beyond_the_clock(news):
    one = clock()
    now, latest = NOW, NOW
    for offset, idle, passed_s in news:
        before = one.watermark_us
        now += passed_s * SECOND
        latest = max(latest, now)
        one.saw(rows(NOW + offset), None, now)
        one.polled(idle, now)
        assert before <= one.watermark_us <= latest
