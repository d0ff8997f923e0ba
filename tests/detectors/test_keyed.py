"""State by key: each key keeps its row, whatever the batches, and tables bring all of it back."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from detectors.keyed import INITIAL_ROWS, KeyedState

KEYS = st.lists(st.integers(0, 2**64 - 1) | st.integers(0, 9), max_size=60)


def state() -> KeyedState:
    return KeyedState({"count": (np.int64, 0, 7), "pair": (np.float64, 2, 0.5)})


def uint(keys: list[int]) -> np.ndarray:
    return np.array(keys, np.uint64)


@given(batches=st.lists(KEYS, max_size=5))
def test_a_key_has_one_row_for_ever(batches: list[list[int]]) -> None:
    keyed, known = state(), dict[int, int]()
    for batch in batches:
        for key, row in zip(batch, keyed.rows(uint(batch)).tolist(), strict=True):
            assert known.setdefault(key, row) == row
    assert len(keyed) == len(known) == len(set(known.values()))


def test_a_new_row_has_initial_values() -> None:
    keyed = state()
    row = keyed.rows(uint([5]))[0]
    assert keyed.columns["count"][row] == 7
    assert keyed.columns["pair"][row].tolist() == [0.5, 0.5]


@pytest.mark.parametrize("step", [1, 2**32, 2**40], ids=["low bits", "high bits", "highest bits"])
def test_it_grows_and_keeps_what_was_there(step: int) -> None:
    keyed = state()
    count = 5 * INITIAL_ROWS
    for start in range(0, count, 97):
        keys = np.arange(start, min(start + 97, count), dtype=np.uint64) * np.uint64(step)
        # rows first: they may replace the columns by longer ones
        rows = keyed.rows(keys)
        keyed.columns["count"][rows] = keys.astype(np.int64)
    keys = np.arange(count, dtype=np.uint64) * np.uint64(step)
    assert len(keyed) == count
    rows = keyed.rows(keys)
    assert (keyed.columns["count"][rows] == keys.astype(np.int64)).all()


@given(keys=KEYS)
def test_a_table_brings_it_back_in_an_order_of_its_own(keys: list[int]) -> None:
    one, other = state(), state()
    for keyed, order in ((one, keys), (other, keys[::-1])):
        rows = keyed.rows(uint(order))
        keyed.columns["count"][rows] = uint(order).astype(np.int64)
        keyed.columns["pair"][rows, 1] = uint(order).astype(np.float64)
    assert one.to_table().equals(other.to_table())
    back = state()
    back.load_table(one.to_table())
    assert back.to_table().equals(one.to_table())
    rows = back.rows(uint(keys))
    assert (back.columns["count"][rows] == uint(keys).astype(np.int64)).all()
    assert len(back) == len(set(keys))


@given(keys=KEYS)
def test_what_is_not_kept_is_as_if_it_had_never_come(keys: list[int]) -> None:
    keyed = state()
    distinct = sorted(set(keys))
    rows = keyed.rows(uint(distinct))
    keyed.columns["count"][rows] = 1
    keep = np.arange(len(distinct)) % 2 == 0
    keyed.keep(keep)
    assert len(keyed) == keep.sum()
    rows = keyed.rows(uint(distinct))
    assert keyed.columns["count"][rows].tolist() == np.where(keep, 1, 7).tolist()


def test_a_shard_takes_its_own_rows_of_a_table() -> None:
    keyed = state()
    keyed.rows(uint([1, 2, 3, 4]))
    shard = state()
    shard.load_table(keyed.to_table(), np.array([True, False, True, False]))
    assert shard.to_table()["key"].to_pylist() == [1, 3]


@given(before=KEYS, batches=st.lists(st.tuples(KEYS, KEYS), max_size=4))
def test_what_only_late_rows_brought_leaves_no_trace(
    before: list[int], batches: list[tuple[list[int], list[int]]]
) -> None:
    keyed, alone = state(), state()
    for one in (keyed, alone):
        one.rows(uint(before))
    for in_time, late in batches:
        mask = np.array([False] * len(in_time) + [True] * len(late), np.bool_)
        rows, count = keyed.rows_in_time(uint(in_time + late), mask)
        keyed.columns["count"][rows[~mask]] = 3
        keyed.columns["count"][rows[rows >= count]] = 9
        keyed.take_back(count)
        mine = alone.rows(uint(in_time))
        alone.columns["count"][mine] = 3
        assert rows[~mask].tolist() == mine.tolist()
    assert keyed.to_table().equals(alone.to_table())
    everything = sorted({*before, *(key for pair in batches for keys in pair for key in keys)})
    assert keyed.rows(uint(everything)).tolist() == alone.rows(uint(everything)).tolist()
    assert keyed.columns["pair"][: len(keyed)].tolist() == alone.columns["pair"][: len(alone)].tolist()
