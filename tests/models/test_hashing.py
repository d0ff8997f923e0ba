"""Hashes are stable, blind to how Arrow stores a string, and well spread."""

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from models import hashing
from models.errors import InputError
from models.hashing import combine, hash_strings, shard_of

#: hashes of the five strings of the first test, and of its first two together
PINNED = ["efd01f60ba992926", "3662dd944bbafb3a", "08bd0f709d637a38", "02fd7e0ae81652f2", "0000000000000000"]
PINNED_PAIR = "5f5e1f66b37e4e8e"

STRINGS = st.lists(st.none() | st.text(max_size=40), max_size=30)


def test_values_never_change_because_saved_state_depends_on_them():
    got = hash_strings(pa.array(["", "a", "address:203.0.113.7", "Funktion Ümläut 漢字", None]))
    assert [f"{value:016x}" for value in got] == PINNED
    pair = combine(got[:1], got[1:2])
    assert f"{pair[0]:016x}" == PINNED_PAIR


@given(STRINGS)
def test_every_arrow_type_hashes_alike(strings):
    plain = hash_strings(pa.array(strings, pa.string()))
    encoded = [None if s is None else s.encode() for s in strings]
    for other in (
        pa.array(strings, pa.large_string()),
        pa.array(strings, pa.string_view()),
        pa.array(encoded, pa.binary()),
        pa.array(strings, pa.string()).dictionary_encode(),
        pa.chunked_array([pa.array(strings, pa.string())]),
    ):
        assert np.array_equal(hash_strings(other), plain), other.type


@given(STRINGS, st.data())
def test_a_slice_hashes_as_its_rows_do(strings, data):
    start = data.draw(st.integers(0, len(strings)))
    length = data.draw(st.integers(0, len(strings) - start))
    for array in (pa.array(strings, pa.string()), pa.array(strings, pa.string()).dictionary_encode()):
        assert np.array_equal(hash_strings(array.slice(start, length)), hash_strings(array)[start : start + length])


@given(STRINGS, st.integers(0, 30))
def test_chunking_changes_nothing(strings, cut):
    array = pa.array(strings, pa.string())
    chunked = pa.chunked_array([array[:cut], array[cut:]])
    assert np.array_equal(hash_strings(chunked), hash_strings(array))


@given(STRINGS)
def test_only_null_hashes_to_zero(strings):
    hashes = hash_strings(pa.array(strings, pa.string()))
    assert [value == 0 for value in hashes] == [s is None for s in strings]


@given(st.lists(st.binary(max_size=40), max_size=30), st.integers(0, 5))
def test_the_fallback_without_numba_gives_the_same(values, start):
    array = pa.array(values, pa.binary()).slice(min(start, len(values)))
    offsets = np.frombuffer(array.buffers()[1], np.int32)[array.offset : array.offset + len(array) + 1]
    data = np.frombuffer(array.buffers()[2] or b"", np.uint8)
    hashes = np.zeros(len(array), np.uint64)
    if len(array):
        hashing._hash_into_numpy(data, offsets, hashes)
    assert np.array_equal(hashes, hash_strings(array))


def test_trailing_zero_bytes_make_a_difference():
    values = [b"\0" * length for length in range(20)]
    assert len(set(hash_strings(pa.array(values, pa.binary())).tolist())) == len(values)


def test_similar_strings_do_not_collide_and_every_output_bit_is_used_evenly():
    hashes = hash_strings(pa.array([f"address:10.0.{i // 256}.{i % 256}" for i in range(65_536)]))
    assert len(np.unique(hashes)) == len(hashes)
    bits = (hashes[:, None] >> np.arange(64, dtype=np.uint64)) & np.uint64(1)
    # 65,536 fair coins: five standard deviations are 0.0098
    assert np.abs(bits.mean(axis=0) - 0.5).max() < 0.01


@pytest.mark.parametrize("shards", [1, 2, 7, 16, 1000])
def test_shards_fill_evenly(shards):
    hashes = hash_strings(pa.array([f"app-{i}" for i in range(100_000)]))
    filled = np.bincount(shard_of(hashes, shards), minlength=shards)
    expected = len(hashes) / shards
    assert len(filled) == shards
    assert np.abs(filled - expected).max() < 6 * np.sqrt(expected) + 1


def test_combine_depends_on_the_order_and_on_both():
    a, b, c = (hash_strings(pa.array([name])) for name in "abc")
    pairs = [combine(a, b), combine(b, a), combine(a, c), combine(c, b), combine(a, a), combine(b, b)]
    assert len({int(pair[0]) for pair in pairs}) == len(pairs)


def test_numbers_are_refused_with_a_hint():
    with pytest.raises(InputError, match="array of int64") as raised:
        hash_strings(pa.array([1, 2]))
    assert raised.value.hint is not None


@pytest.mark.parametrize("shards", [0, -1, 2**31])
def test_an_impossible_number_of_shards_is_refused(shards):
    with pytest.raises(InputError, match="shards"):
        shard_of(np.zeros(1, np.uint64), shards)


def test_empty_columns_give_empty_hashes():
    for empty in (pa.array([], pa.string()), pa.chunked_array([], pa.string()), pa.nulls(0)):
        assert hash_strings(empty).shape == (0,)
    assert hash_strings(pa.nulls(3)).tolist() == [0, 0, 0]
