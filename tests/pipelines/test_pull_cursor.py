from __future__ import annotations

import json
import random
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from models.errors import SourceError
from pipelines.sources.cursor import PullCursor, PullOptions, Window, completed, halved, next_window

SECOND = 1_000_000
OPTIONS = PullOptions(lag_us=60 * SECOND, overlap_us=300 * SECOND, widest_us=3600 * SECOND, shortest_us=5 * SECOND)
NOW = 1_785_585_600 * SECOND


def done(
    cursor: PullCursor, window: Window, now_us: int, items: tuple[str, ...] = (), options: PullOptions = OPTIONS
) -> PullCursor:
    times = np.full(len(items), window.begin_us, np.int64)
    return completed(cursor, window, items, times, now_us, options)[0]


def windows(cursor: PullCursor, now_us: int, options: PullOptions = OPTIONS) -> tuple[list[Window], PullCursor]:
    found = []
    while (window := next_window(cursor, now_us, options)) is not None:
        found.append(window)
        cursor = done(cursor, window, now_us, options=options)
    return found, cursor


def test_a_backfill_reads_each_stretch_once_and_only_the_end_again():
    cursor = PullCursor.start(NOW - 5 * 3600 * SECOND, OPTIONS)
    found, cursor = windows(cursor, NOW)
    assert found[0].begin_us == NOW - 5 * 3600 * SECOND
    assert all(a.end_us == b.begin_us for a, b in pairwise(found))
    assert found[-1].end_us == cursor.to_us == NOW - OPTIONS.lag_us
    (again,), _ = windows(cursor, NOW + 10 * SECOND)
    assert again == Window(cursor.to_us - OPTIONS.overlap_us, cursor.to_us + 10 * SECOND)


def test_nothing_is_asked_for_before_something_is_ripe_or_while_the_clock_is_set_back():
    _, cursor = windows(PullCursor.start(NOW - 600 * SECOND, OPTIONS), NOW)
    for ahead in (-7200, -1, 0, 4):
        assert next_window(cursor, NOW + ahead * SECOND, OPTIONS) is None
    assert next_window(cursor, NOW + 5 * SECOND, OPTIONS) is not None


def test_nothing_before_the_start_is_ever_asked_for():
    cursor, earliest = PullCursor.start(NOW - 70 * SECOND, OPTIONS), NOW
    for step in range(0, 600, 10):
        found, cursor = windows(cursor, NOW + step * SECOND)
        earliest = min([earliest, *(window.begin_us for window in found)])
    assert earliest == NOW - 70 * SECOND


def test_a_pass_ends_though_its_windows_are_narrower_than_the_overlap():
    _, cursor = windows(PullCursor.start(NOW - 3600 * SECOND, OPTIONS), NOW)
    later, narrow = (
        NOW + 60 * SECOND,
        PullOptions(lag_us=OPTIONS.lag_us, overlap_us=OPTIONS.overlap_us, widest_us=7 * SECOND),
    )
    cursor = PullCursor(cursor.to_us, cursor.at_us, 7 * SECOND, None, cursor.rows, cursor.seen)
    found, after = windows(cursor, later, narrow)
    assert len(found) == 52  # 300 s of overlap and 60 s of news in steps of 7 s
    assert after.to_us == later - OPTIONS.lag_us
    assert after.at_us == after.to_us - OPTIONS.overlap_us


def test_the_window_halves_when_cut_short_and_grows_back():
    cursor = PullCursor.start(NOW - 7200 * SECOND, OPTIONS)
    window = next_window(cursor, NOW, OPTIONS)
    assert window is not None
    half = halved(cursor, window, OPTIONS)
    assert half is not None
    assert (half.to_us, half.width_us) == (cursor.to_us, 1800 * SECOND)
    assert done(half, Window(half.at_us, half.at_us + half.width_us), NOW).width_us == 3600 * SECOND
    count = 0
    while (narrower := halved(half, Window(half.at_us, half.at_us + half.width_us), OPTIONS)) is not None:
        half, count = narrower, count + 1
    assert half.width_us >= OPTIONS.narrowest_us
    assert count < 25


def test_rows_seen_in_the_overlap_or_twice_in_one_answer_are_not_new():
    cursor, window = PullCursor.start(NOW - 400 * SECOND, OPTIONS), Window(NOW - 400 * SECOND, NOW - 60 * SECOND)
    times = np.full(3, NOW - 61 * SECOND)
    cursor, fresh = completed(cursor, window, ["a", "b", "a"], times, NOW, OPTIONS)
    assert fresh.tolist() == [True, True, False]
    again, fresh = completed(cursor, window, ["b", "c", "a"], times, NOW, OPTIONS)
    assert fresh.tolist() == [False, True, False]
    assert again.rows == 3


def test_ids_are_forgotten_once_they_can_not_come_again():
    cursor = PullCursor.start(NOW - 600 * SECOND, OPTIONS)
    for step in range(50):
        now = NOW + step * 60 * SECOND
        while (window := next_window(cursor, now, OPTIONS)) is not None:
            cursor = done(cursor, window, now, tuple(f"{step}-{n}" for n in range(10)))
    assert len(cursor.seen) <= 80


@given(st.integers(0, 2**53), st.lists(st.text(max_size=5), max_size=5), st.one_of(st.none(), st.integers(0, 2**53)))
def test_the_cursor_survives_json(to_us: int, items: list[str], again_us: int | None):
    items = [item.encode("utf-8", "replace").decode() for item in items]
    cursor = done(PullCursor(to_us, to_us - 5, 1000, again_us, 7), Window(to_us, to_us + 10), to_us, tuple(items))
    back = PullCursor.from_json(json.loads(json.dumps(cursor.to_json())))
    assert back.to_json() == cursor.to_json()


@pytest.mark.parametrize(
    "data", [{}, {"version": 2}, {"version": 1, "to_us": "x"}, {**PullCursor(1, 1, 1).to_json(), "hashes": "!"}]
)
def test_a_cursor_that_can_not_be_read_is_an_error_that_says_what_to_do(data: dict[str, object]):
    with pytest.raises(SourceError, match="remove the cursor's file"):
        PullCursor.from_json(data)


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 2**32), st.lists(st.tuples(st.integers(0, 3000), st.integers(0, 299)), max_size=40))
def test_whatever_the_clock_and_the_cuts_every_row_is_new_exactly_once(seed: int, arrivals: list[tuple[int, int]]):
    """Rows become visible up to the overlap after their time; windows are cut at random; polls come at random."""
    rows = [(f"r{n}", NOW + at * SECOND, NOW + (at + hidden) * SECOND) for n, (at, hidden) in enumerate(arrivals)]
    drawn, cursor, now_s, got = random.Random(seed), PullCursor.start(NOW, OPTIONS), 0, []
    while now_s < 5000:
        now_s += drawn.randint(-50, 400)
        now = NOW + now_s * SECOND
        while (window := next_window(cursor, now, OPTIONS)) is not None:
            narrower = halved(cursor, window, OPTIONS)
            if narrower is not None and narrower.width_us > 20 * SECOND and drawn.random() < 0.3:
                cursor = narrower
                continue
            answer = [(i, at) for i, at, visible in rows if window.begin_us <= at < window.end_us and visible <= now]
            times = np.array([at for _, at in answer], np.int64)
            cursor, fresh = completed(cursor, window, [i for i, _ in answer], times, now, OPTIONS)
            got.extend(i for (i, _), new in zip(answer, fresh, strict=True) if new)
    assert sorted(got) == sorted(i for i, _, _ in rows)
