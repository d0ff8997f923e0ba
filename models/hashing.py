"""Stable 64-bit hashes of Arrow strings: the same on every machine, run and Python, so that shards and keys are too.

Eight bytes at a time, little-endian, each folded in by xor, multiply and shift, with the length in the seed and
MurmurHash3's 64-bit finaliser at the end (Appleby, 2011), so that all bits of the result depend on all bytes.
Not cryptographic: whoever chooses the strings can find collisions. The values are part of saved state, so this
function must never change.
"""

from __future__ import annotations

from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from models.errors import InputError
from models.jit import HAVE_NUMBA, njit

Hashes = npt.NDArray[np.uint64]

#: 2**64 divided by the golden ratio, odd: the usual multiplicative constant (Knuth, TAOCP 3, 6.4)
_GOLDEN: Final = np.uint64(0x9E3779B97F4A7C15)
#: the two multipliers of MurmurHash3's fmix64
_MIX_1: Final = np.uint64(0xFF51AFD7ED558CCD)
_MIX_2: Final = np.uint64(0xC4CEB9FE1A85EC53)
#: FNV-1a's 64-bit offset basis, the start for every string
_BASIS: Final = np.uint64(0xCBF29CE484222325)
#: fmix64 shifts by 33, the folding after each word by 32
_SHIFT_MIX: Final = np.uint64(33)
_SHIFT_FOLD: Final = np.uint64(32)
_BYTE_BITS: Final = np.uint64(8)
_ZERO: Final = np.uint64(0)
_ONE: Final = np.uint64(1)
#: a word has eight bytes
_WORD: Final = 8


def hash_strings(strings: pa.Array | pa.ChunkedArray) -> Hashes:
    """Hash each string; equal strings hash alike whatever their Arrow type, slice or chunking.

    Args:
        strings: string, large_string, string_view, binary, large_binary, or a dictionary of one of these; length n.

    Returns:
        uint64[n]; 0 for null and for nothing else.

    Raises:
        InputError: for any other Arrow type.
    """
    if isinstance(strings, pa.ChunkedArray):
        if strings.num_chunks == 0:
            return np.zeros(0, np.uint64)
        return np.concatenate([hash_strings(chunk) for chunk in strings.chunks])
    kind = strings.type
    if pa.types.is_dictionary(kind):
        return _hash_dictionary(strings)
    if pa.types.is_null(kind):
        return np.zeros(len(strings), np.uint64)
    if pa.types.is_string(kind) or pa.types.is_binary(kind):
        return _hash_buffers(strings, np.dtype(np.int32))
    if pa.types.is_large_string(kind) or pa.types.is_large_binary(kind):
        return _hash_buffers(strings, np.dtype(np.int64))
    if str(kind) in ("string_view", "binary_view"):
        return _hash_buffers(strings.cast(pa.large_binary()), np.dtype(np.int64))
    raise InputError(
        "This column can't be hashed.",
        expected="an Arrow array of strings, or a dictionary of strings",
        received=f"an array of {kind}",
        hint="Cast it to string first.",
    )


def combine(first: Hashes, second: Hashes) -> Hashes:
    """Hash of a pair of hashes, in this order: ``combine(a, b)`` differs from ``combine(b, a)``.

    Args:
        first: uint64[n].
        second: uint64[n].

    Returns:
        uint64[n], as well spread as its inputs.
    """
    mixed = first ^ (_finish(second + _GOLDEN) + _GOLDEN)
    return _finish(mixed * _GOLDEN)


def shard_of(hashes: Hashes, shards: int) -> npt.NDArray[np.int32]:
    """Shard of each hash, from its upper bits, so that tables inside a shard can use the lower ones.

    Args:
        hashes: uint64[n].
        shards: how many there are, 1 to 2**31 - 1.

    Returns:
        int32[n], 0 to ``shards`` - 1, evenly filled.

    Raises:
        InputError: for a number of shards out of range.
    """
    if not 1 <= shards <= np.iinfo(np.int32).max:
        raise InputError("No such number of shards.", expected="1 to 2,147,483,647", received=str(shards))
    upper: Hashes = hashes >> _SHIFT_FOLD
    shard: Hashes = (upper * np.uint64(shards)) >> _SHIFT_FOLD
    return shard.astype(np.int32)


def _hash_dictionary(array: Any) -> Hashes:
    of_values = hash_strings(array.dictionary)
    if array.null_count == 0:
        whole: Hashes = of_values[array.indices.to_numpy(zero_copy_only=False)]
        return whole
    present = array.indices.is_valid().to_numpy(zero_copy_only=False)
    hashes = np.zeros(len(array), np.uint64)
    hashes[present] = of_values[array.indices.drop_null().to_numpy(zero_copy_only=False)]
    return hashes


def _hash_buffers(array: Any, offset_type: np.dtype[Any]) -> Hashes:
    rows = len(array)
    if rows == 0:
        return np.zeros(0, np.uint64)
    _, offset_buffer, data_buffer = array.buffers()
    offsets = np.frombuffer(offset_buffer, offset_type)[array.offset : array.offset + rows + 1]
    data = np.frombuffer(data_buffer, np.uint8) if data_buffer is not None else np.zeros(0, np.uint8)
    hashes = np.empty(rows, np.uint64)
    if HAVE_NUMBA:
        _hash_into(data, offsets, hashes)
    else:
        _hash_into_numpy(data, offsets, hashes)
    if array.null_count:
        hashes[array.is_null().to_numpy(zero_copy_only=False)] = 0
    return hashes


@njit
def _hash_into(data: npt.NDArray[np.uint8], offsets: npt.NDArray[Any], hashes: Hashes) -> None:
    for row in range(hashes.shape[0]):
        start = np.int64(offsets[row])
        end = np.int64(offsets[row + 1])
        h = _BASIS ^ (np.uint64(end - start) * _GOLDEN)
        while start < end:
            stop = min(start + _WORD, end)
            word = _ZERO
            shift = _ZERO
            for at in range(start, stop):
                word |= np.uint64(data[at]) << shift
                shift += _BYTE_BITS
            h = (h ^ word) * _GOLDEN
            h ^= h >> _SHIFT_FOLD
            start = stop
        h ^= h >> _SHIFT_MIX
        h *= _MIX_1
        h ^= h >> _SHIFT_MIX
        h *= _MIX_2
        h ^= h >> _SHIFT_MIX
        hashes[row] = h if h != _ZERO else _ONE


def _hash_into_numpy(data: npt.NDArray[np.uint8], offsets: npt.NDArray[Any], hashes: Hashes) -> None:
    """As ``_hash_into``, a word of all strings at a time."""
    starts = offsets[:-1].astype(np.int64)
    lengths = offsets[1:].astype(np.int64) - starts
    # one word of zeros behind the data, so that reading a whole last word stays inside
    padded = np.concatenate([data, np.zeros(_WORD, np.uint8)])
    h = _BASIS ^ (lengths.astype(np.uint64) * _GOLDEN)
    within = np.arange(_WORD)
    left = np.flatnonzero(lengths > 0)
    done = 0
    while left.size:
        bytes_of = padded[(starts[left] + done)[:, None] + within]
        bytes_of[within >= (lengths[left] - done)[:, None]] = 0
        words = np.ascontiguousarray(bytes_of).view("<u8").reshape(-1).astype(np.uint64)
        mixed = (h[left] ^ words) * _GOLDEN
        h[left] = mixed ^ (mixed >> _SHIFT_FOLD)
        done += _WORD
        left = left[lengths[left] > done]
    hashes[:] = np.maximum(_finish(h), _ONE)


def _finish(h: Hashes) -> Hashes:
    """MurmurHash3's fmix64 over an array."""
    for multiplier in (_MIX_1, _MIX_2):
        h = (h ^ (h >> _SHIFT_MIX)) * multiplier
    finished: Hashes = h ^ (h >> _SHIFT_MIX)
    return finished
