"""Rows that wait for their story: bounded by their order alone, however they are cut, saved and put together."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
from hypothesis import given
from hypothesis import strategies as st

from detectors.waiting import Waiting

SCHEMA = pa.schema([("at", pa.int64())])
MOST = 12


def rows(begin: int, end: int) -> pa.RecordBatch:
    return pa.record_batch({"at": np.arange(begin, end)}, schema=SCHEMA)


def settle(waiting: Waiting, *stories: int) -> dict[int, int]:
    """Rows let go of, by ``at``, with their story."""
    given = waiting.settle(np.array(stories, np.int64), ["at"])
    return {at: s for batch, story, _ in given for at, s in zip(batch.column("at").to_pylist(), story, strict=True)}


def again(waiting: Waiting) -> Waiting:
    other = Waiting(SCHEMA, waiting.most)
    other.restore(waiting.snapshot())
    return other


@given(st.lists(st.integers(0, 4), max_size=80), st.data())
def test_a_row_waits_until_its_story_is_done_or_so_many_came_after_it(stories, data):
    """Cut anywhere, restarted anywhere: what is let go of, once each, and when, counted in rows."""
    waiting, begin, gone = Waiting(SCHEMA, MOST), 0, {}
    while begin < len(stories):
        end = data.draw(st.integers(begin + 1, len(stories)))
        mine = np.array(stories[begin:end], np.int64)
        order = np.argsort(mine, kind="stable")
        batch = rows(begin, end).take(pa.array(order))
        assert waiting.add(batch, mine[order], order).tolist() == (begin + order).tolist()
        found = settle(waiting, 0)
        assert not set(found) & set(gone)
        assert {at: stories[at] for at in found} == found
        gone |= found
        assert set(gone) == {at for at in range(end) if stories[at] == 0 or at < end - MOST}
        assert len(waiting) == end - len(gone)
        if data.draw(st.booleans()):
            waiting = again(waiting)
        begin = end
    left = {at for batch in waiting.of(3, 0, len(stories)) for at in batch.column("at").to_pylist()}
    assert left == {at for at, story in enumerate(stories) if story == 3 and at not in gone}
    assert set(settle(waiting, 0, 1, 2, 3, 4)) | set(gone) == set(range(len(stories)))
    assert len(waiting) == 0


def test_the_rows_of_a_story_between_two_places():
    waiting = Waiting(SCHEMA)
    waiting.add(rows(0, 10), np.arange(10) % 2, np.arange(10))
    assert [b.column("at").to_pylist() for b in waiting.of(1, 3, 9)] == [[3, 5, 7]]


def test_many_small_batches_become_few_and_each_row_is_copied_seldom():
    waiting, before, copied = Waiting(SCHEMA, 10**9), set(), 0
    for number in range(4_000):
        waiting.add(rows(number * 3, number * 3 + 3), np.ones(3, np.int64), np.arange(3))
        settle(waiting)
        batches = waiting.snapshot()["waiting"].to_batches()
        now = {(b.column(0).buffers()[1].address, b.num_rows) for b in batches}
        copied += sum(count for _, count in now - before)
        before = now
    assert len(before) < 20
    assert copied < 15 * 12_000


def test_rows_that_are_done_with_leave_a_batch_as_it_is_until_they_are_half_of_it():
    waiting = Waiting(SCHEMA)
    waiting.add(rows(0, 100), np.arange(100) // 10, np.arange(100))
    place = [b.column(0).buffers()[1].address for b in waiting.snapshot()["waiting"].to_batches()]
    settle(waiting, 0, 1, 2, 3, 4)
    assert [b.column(0).buffers()[1].address for b in waiting.snapshot()["waiting"].to_batches()] == place
    settle(waiting, 5)
    assert waiting.snapshot()["waiting"].num_rows == len(waiting) == 40
