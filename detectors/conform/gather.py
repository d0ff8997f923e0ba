"""What a scan found, as columns: values that come again are kept once, and a code for each row."""

from __future__ import annotations

from typing import Any, Final, NamedTuple

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from detectors.conform import simd
from detectors.conform.keys import Keys
from detectors.conform.slots import Columns
from models.jit import njit

#: looks at the table of known values before a value is taken for new: whoever writes logs can make values collide
PROBES: Final = 16
#: distinct values of a slot above which a table costs more than it saves
MOST: Final = 8_192
_ZERO, _ONE, _TWO, _THREE, _SIX, _EIGHT = (np.uint64(number) for number in (0, 1, 2, 3, 6, 8))
_WIDTH = np.uint64(simd.WIDTH)
_BITS, _FOLD = np.uint64(3), np.uint64(32)
#: as in models.hashing
_BASIS, _GOLDEN = np.uint64(0xCBF29CE484222325), np.uint64(0x9E3779B97F4A7C15)


class Found(NamedTuple):
    """Values of each slot, in the order in which they were first met; memory is only used where there are some."""

    codes: NDArray[np.int32]  # [slots, rows], number of the row's value from 1; 0 is missing
    at: NDArray[np.int64]  # [slots, rows], where value k is in the data
    packed: NDArray[np.int32]  # [slots, rows], length << 2 | kind of value k
    counts: NDArray[np.int64]  # [slots]
    spots: NDArray[np.int32]  # [slots, hashes], number of a value from 1

    @classmethod
    def make(cls, slots: int, rows: int) -> Found:
        """Room for so many rows."""
        spots = 1 << (2 * min(max(rows, 8), MOST) - 1).bit_length()
        shape = (slots, rows)
        return cls(
            np.zeros(shape, np.int32), np.empty(shape, np.int64), np.empty(shape, np.int32), np.zeros(slots, np.int64),
            np.zeros((slots, spots), np.int32),
        )  # fmt: skip

    def columns(self, data: NDArray[np.uint8], keys: Keys, rows: int) -> Columns:
        """Every slot that any row has, of ``rows`` rows: string[rows] where values differ, else CODED."""
        columns: Columns = {}
        for slot in np.flatnonzero(self.counts).tolist():
            count = int(self.counts[slot])
            codes = self.codes[slot, :rows]
            at, packed = self.at[slot], self.packed[slot]
            if keys.unlike[slot]:
                columns[keys.names[slot]] = _texts(data, at, packed, codes, count)
                continue
            values = _texts(data, at, packed, np.arange(1, count + 1, dtype=np.int32), count)
            missing = codes == 0
            indices = pa.array(codes - np.int32(1), mask=missing) if missing.any() else pa.array(codes - np.int32(1))
            columns[keys.names[slot]] = pa.DictionaryArray.from_arrays(indices, values, safe=False)
        return columns


def _texts(
    data: NDArray[np.uint8], at: NDArray[np.int64], packed: NDArray[np.int32], codes: NDArray[np.int32], count: int
) -> pa.StringArray:
    """The values of these codes as string[n], unescaped."""
    rows = len(codes)
    room = int((packed[:count] >> 2).sum())
    out = np.empty(room + simd.WIDTH, np.uint8)
    offsets = np.empty(rows + 1, np.int32)
    _lay_out(data, at, packed, codes, offsets, out)
    missing = codes == 0
    lacking = int(missing.sum())
    validity = pa.py_buffer(np.packbits(~missing, bitorder="little")) if lacking else None
    buffers = [validity, pa.py_buffer(offsets), pa.py_buffer(out[: offsets[rows]])]
    return pa.Array.from_buffers(pa.string(), rows, buffers, lacking)


@njit
def keep(
    data: Any, status: Any, first: Any, last: Any, whole: Any, kept: Any, at: Any, packed: Any, unlike: Any,
    codes: Any, value_at: Any, value_packed: Any, counts: Any, spots: Any,
) -> Any:  # fmt: skip
    """Put by what rows hold (at, packed: [slots, rows]); returns how many are kept by now."""
    targets = np.full(last - first, -1, np.int64)
    for here in range(last - first):
        if status[first + here] == 0:
            targets[here] = first + here if whole else kept
            kept += 1
    for slot in range(packed.shape[0]):
        _keep_slot(
            data, targets, at[slot], packed[slot], unlike[slot], slot, codes[slot], value_at[slot],
            value_packed[slot], counts, spots[slot],
        )  # fmt: skip
    return kept


@njit
def _keep_slot(
    data: Any, targets: Any, at: Any, packed: Any, unlike: Any, slot: Any, codes: Any, value_at: Any,
    value_packed: Any, counts: Any, spots: Any,
) -> None:  # fmt: skip
    """The values of one slot; those that were met before by their number."""
    mask = np.uint64(len(spots) - 1)
    count = counts[slot]
    code = 0
    for here in range(len(targets)):
        value = packed[here]
        target = targets[here]
        if value == 0 or target < 0:
            continue
        begin = np.uint64(at[here])
        size = np.uint64(value >> 2)
        known = False
        if not unlike and count < MOST:
            # most often it is the value of the row before
            known = code > 0 and value_packed[code - 1] == value
            known = known and _same(data, begin, np.uint64(value_at[code - 1]), size)
            if not known:
                spot = _mixed(data, begin, size) & mask
                for _ in range(PROBES):
                    code = spots[spot]
                    if code == 0:
                        spots[spot] = count + 1
                        break
                    if value_packed[code - 1] == value and _same(data, begin, np.uint64(value_at[code - 1]), size):
                        known = True
                        break
                    spot = (spot + _ONE) & mask
        if not known:
            value_at[count] = np.int64(begin)
            value_packed[count] = value
            count += 1
            code = count
        codes[target] = code
    counts[slot] = count


@njit
def _same(data: Any, one: Any, other: Any, size: Any) -> Any:
    """Whether two stretches of the same length hold the same bytes."""
    room = np.uint64(len(data))
    while size >= _WIDTH:
        if simd.differing(data, one, other) != 0:
            return False
        one += _WIDTH
        other += _WIDTH
        size -= _WIDTH
    if max(one, other) + _WIDTH <= room:
        return np.uint64(simd.differing(data, one, other)) & ((_ONE << size) - _ONE) == _ZERO
    while size > _ZERO:
        if data[one] != data[other]:
            return False
        one += _ONE
        other += _ONE
        size -= _ONE
    return True


@njit
def _mixed(data: Any, at: Any, size: Any) -> Any:
    """A hash of some bytes, for this table only."""
    room = np.uint64(len(data))
    h = _BASIS ^ (size * _GOLDEN)
    while size >= _EIGHT:
        h = (h ^ simd.word(data, at)) * _GOLDEN
        h ^= h >> _FOLD
        at += _EIGHT
        size -= _EIGHT
    if size > _ZERO:
        if at + _EIGHT <= room:
            rest = simd.word(data, at) & ((_ONE << (size << _BITS)) - _ONE)
        else:
            rest = _ZERO
            while size > _ZERO:
                size -= _ONE
                rest = (rest << _EIGHT) | np.uint64(data[at + size])
        h = (h ^ rest) * _GOLDEN
        h ^= h >> _FOLD
    return h ^ (h >> np.uint64(17))


@njit
def _lay_out(data: Any, at: Any, packed: Any, codes: Any, offsets: Any, out: Any) -> None:
    """The values of these codes one behind the other, escapes resolved."""
    room = np.uint64(len(data))
    end = _ZERO
    offsets[0] = 0
    for row in range(len(codes)):
        code = codes[row]
        if code != 0:
            i = np.uint64(at[code - 1])
            value = packed[code - 1]
            size = np.uint64(value >> 2)
            last = i + size
            if value & 3 == 1:
                # whole widths while both ends allow it; what is written too much is written over next
                while i < last and i + _WIDTH <= room:
                    simd.copy(data, i, out, end)
                    i += _WIDTH
                    end += _WIDTH
                if i > last:
                    end -= i - last
                while i < last:
                    out[end] = data[i]
                    end += _ONE
                    i += _ONE
            else:
                end = _unescape(data, i, last, out, end)
        offsets[row + 1] = np.int64(end)


@njit
def _unescape(data: Any, i: Any, last: Any, out: Any, end: Any) -> Any:
    """One string with its escapes resolved, from ``end`` on; returns the new end."""
    while i < last:
        c = data[i]
        if c != 92:
            out[end] = c
            end += _ONE
            i += _ONE
            continue
        escape = data[i + _ONE]
        if escape != 117:
            if escape == 98:
                escape = np.uint8(8)
            elif escape == 102:
                escape = np.uint8(12)
            elif escape == 110:
                escape = np.uint8(10)
            elif escape == 114:
                escape = np.uint8(13)
            elif escape == 116:
                escape = np.uint8(9)
            out[end] = escape
            end += _ONE
            i += _TWO
            continue
        code = 0
        for d in range(4):
            digit = np.int64(data[i + _TWO + np.uint64(d)])
            code = code * 16 + (digit - 48 if digit <= 57 else (digit | 32) - 87)
        if code < 0x80:
            out[end] = code
            end += _ONE
        elif code < 0x800:
            out[end] = 0xC0 | (code >> 6)
            out[end + _ONE] = 0x80 | (code & 63)
            end += _TWO
        else:
            out[end] = 0xE0 | (code >> 12)
            out[end + _ONE] = 0x80 | ((code >> 6) & 63)
            out[end + _TWO] = 0x80 | (code & 63)
            end += _THREE
        i += _SIX
    return end
