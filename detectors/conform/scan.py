"""The fast way through plain JSON: one compiled pass finds the wanted keys of flat records, without making objects.

A record is read here if it is a JSON object whose wanted values are scalars, at the top and one level below
(Properties, Measurements). Any other (an envelope, an odd escape, a syntax error) is only marked, and goes the slow way
through ``records``, which has the last word. So what is found here never differs from what is found there.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any, Final, NamedTuple

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from detectors.conform.options import MAX_RECORD_BYTES
from detectors.conform.slots import CONTAINERS, ENVELOPES, Columns
from models.jit import HAVE_NUMBA, njit

#: what became of a value
FOUND, SLOW, BLANK = 0, 1, 2
#: kinds of a value, in the two low bits of ``packed``
_PLAIN: Final = 1
_ESCAPED: Final = 2
#: what a key means when it is no slot
_NONE, _PROPERTIES, _MEASUREMENTS, _ENVELOPE, _FOREIGN = -1, -2, -3, -4, -5
#: containers; the top is 0
TOP, PROPERTIES, MEASUREMENTS = 0, 1, 2
#: nested deeper goes the slow way, which refuses bombs
_MAX_DEPTH: Final = 60
_TABLE_SIZE: Final = 1_024
#: a lone span: not flat whatever its values are
_FOREIGN_KEYS: Final = ("starttimeunixnano",)
_TEXT_SLOTS: Final = ("p.", "m.")
# unsigned, so that the compiled code need not ask whether an index counts from the end
_ONE, _TWO, _THREE, _FOUR, _FIVE, _SIX = (np.uint64(number) for number in range(1, 7))


class Keys(NamedTuple):
    """The wanted keys, laid out for the compiled pass."""

    names: tuple[str, ...]  # slots, then "p." and "m." for containers that come as text
    table: NDArray[np.int32]  # hash to key, -1 empty
    meaning: NDArray[np.int32]  # key to slot, or a negative meaning
    container: NDArray[np.int32]  # key to the container it stands in
    starts: NDArray[np.int32]  # key to its bytes
    bytes: NDArray[np.uint8]


class Scan(NamedTuple):
    """Where the wanted values of n JSON values are."""

    status: NDArray[np.uint8]  # FOUND, SLOW or BLANK
    starts: NDArray[np.int64]
    ends: NDArray[np.int64]
    at: NDArray[np.int32]  # [n, slots], relative to starts
    packed: NDArray[np.int32]  # [n, slots], length << 2 | kind; 0 is missing


@lru_cache(maxsize=16)
def keys_of(slots: tuple[str, ...]) -> Keys:
    """The layout for these slots (as ``slots.wanted`` gives them)."""
    names = (*slots, *_TEXT_SLOTS)
    entries: list[tuple[bytes, int, int]] = []
    for index, slot in enumerate(slots):
        container = PROPERTIES if slot.startswith("p.") else MEASUREMENTS if slot.startswith("m.") else TOP
        entries.append(((slot if container == TOP else slot[2:]).encode(), container, index))
    for key, prefix in CONTAINERS.items():
        entries.append((key.encode(), TOP, _PROPERTIES if prefix == "p." else _MEASUREMENTS))
    taken = {(key, container) for key, container, _ in entries}
    entries += [(key.encode(), TOP, _ENVELOPE) for key in ENVELOPES if (key.encode(), TOP) not in taken]
    entries += [(key.encode(), TOP, _FOREIGN) for key in _FOREIGN_KEYS]
    table = np.full(_TABLE_SIZE, -1, np.int32)
    joined = np.frombuffer(b"".join(key for key, _, _ in entries), np.uint8)
    starts = np.cumsum([0, *(len(key) for key, _, _ in entries)]).astype(np.int32)
    for index, (_, container, _) in enumerate(entries):
        spot = int(_hash(joined, np.uint64(starts[index]), np.uint64(starts[index + 1]), container))
        while table[spot] >= 0:
            spot = (spot + 1) % _TABLE_SIZE
        table[spot] = index
    meaning = np.array([entry[2] for entry in entries], np.int32)
    containers = np.array([entry[1] for entry in entries], np.int32)
    return Keys(names, table, meaning, containers, starts, joined)


def available() -> bool:
    """Whether the compiled pass can be used; interpreted, the slow way is faster."""
    return HAVE_NUMBA


def scan_lines(block: bytes, keys: Keys) -> Scan:
    """The values of JSON Lines; a line that is blank or must go the slow way is marked."""
    rows = block.count(b"\n") + 1
    bounds = np.zeros(rows, np.int64)
    return _scan(np.frombuffer(block, np.uint8), bounds, np.zeros(rows, np.int64), True, TOP, keys, _is_utf8(block))


def scan_elements(block: bytes, starts: NDArray[np.int64], ends: NDArray[np.int64], keys: Keys) -> Scan:
    """The values of JSON elements that lie in a block between ``starts`` and ``ends``, int64[n]."""
    return _scan(np.frombuffer(block, np.uint8), starts, ends, False, TOP, keys, _is_utf8(block))


def open_texts(text: pa.Array, prefix: str, keys: Keys) -> tuple[Columns, NDArray[np.bool_]]:
    """Objects written as JSON text, string[n]: their slots, and where the slow way must read them, bool[n]."""
    rows = len(text)
    _, offsets_buffer, data_buffer = text.buffers()
    offsets = np.frombuffer(offsets_buffer, np.int32)[text.offset : text.offset + rows + 1].astype(np.int64)
    data = np.frombuffer(data_buffer or b"", np.uint8)
    root = PROPERTIES if prefix == "p." else MEASUREMENTS
    found = _scan(data, offsets[:-1].copy(), offsets[1:].copy(), False, root, keys, True)
    valid = text.is_valid().to_numpy(zero_copy_only=False)
    # what lies below a null is nobody's value
    found.packed[~valid] = 0
    odd: NDArray[np.bool_] = (found.status == SLOW) & valid
    found.packed[odd] = 0
    return gather(data, found, np.arange(rows), keys), odd


def gather(data: NDArray[np.uint8], scan: Scan, rows: NDArray[np.int64], keys: Keys) -> Columns:
    """Every slot that any of these rows has, as string[len(rows)], unescaped."""
    width = len(keys.names)
    totals, present = np.zeros(width, np.int64), np.zeros(width, np.int64)
    _measure(scan.packed, rows, totals, present)
    slots = np.flatnonzero(present)
    bases = np.concatenate([[0], np.cumsum(totals[slots])]).astype(np.uint64)
    out = np.empty(int(bases[-1]), np.uint8)
    offsets = np.zeros((len(slots), len(rows) + 1), np.int32)
    valid = np.zeros((len(slots), len(rows)), np.uint8)
    _copy(data, scan.starts, scan.at, scan.packed, rows, slots, bases, offsets, out, valid)
    columns: Columns = {}
    for column, slot in enumerate(slots):
        missing = len(rows) - int(present[slot])
        validity = pa.py_buffer(np.packbits(valid[column], bitorder="little")) if missing else None
        text = pa.py_buffer(out[int(bases[column]) : int(bases[column + 1])])
        buffers = [validity, pa.py_buffer(offsets[column]), text]
        columns[keys.names[slot]] = pa.Array.from_buffers(pa.string(), len(rows), buffers, missing)
    return columns


def _is_utf8(block: bytes) -> bool:
    offsets = pa.py_buffer(np.array([0, len(block)], np.int64))
    try:
        pa.Array.from_buffers(pa.large_binary(), 1, [None, offsets, pa.py_buffer(block)]).cast(pa.large_string())
    except pa.ArrowInvalid:
        return False
    return True


def _scan(
    data: NDArray[np.uint8],
    starts: NDArray[np.int64],
    ends: NDArray[np.int64],
    by_line: bool,
    root: int,
    keys: Keys,
    utf8: bool,
) -> Scan:
    rows = len(starts)
    status = np.full(rows, BLANK, np.uint8)
    at = np.zeros((rows, len(keys.names)), np.int32)
    packed = np.zeros((rows, len(keys.names)), np.int32)
    # bytes from here on are left to the slow way: those beyond ASCII where the block isn't valid UTF-8
    bound = 256 if utf8 else 128
    _scan_rows(
        data, starts, ends, by_line, root, bound, keys.table, keys.meaning, keys.container, keys.starts, keys.bytes,
        status, at, packed,
    )  # fmt: skip
    status[(status == FOUND) & (ends - starts > MAX_RECORD_BYTES)] = SLOW
    return Scan(status, starts, ends, at, packed)


@njit
def _hash(data: Any, begin: Any, end: Any, container: Any) -> Any:
    """A slot of the table, from the length and four letters (lower case) of a key: cheap, and enough for these keys."""
    size = end - begin
    if size == 0:
        return np.int64(container)
    first = np.int64(data[begin]) | 32
    last = np.int64(data[end - _ONE]) | 32
    middle = np.int64(data[begin + size // _TWO]) | 32
    third = np.int64(data[begin + size // _THREE]) | 32
    return (np.int64(size) * 131 + first * 7 + last * 29 + middle * 53 + third * 17 + container * 337) & 1_023


@njit
def _scan_rows(
    data: Any, starts: Any, ends: Any, by_line: Any, root: Any, bound: Any, table: Any, meanings: Any,
    containers: Any, key_starts: Any, key_bytes: Any, status: Any, at: Any, packed: Any,
) -> None:  # fmt: skip
    """A strict JSON parser as one loop; states: 0 key or }, 1 key, 2 colon, 3 value, 4 comma or end, 5 value or ]."""
    slots = packed.shape[1]
    stack = np.zeros(64, np.uint8)  # 1 array, 0 object
    size = np.uint64(len(data))
    position = np.uint64(0)
    for row in range(len(starts)):
        if by_line:
            starts[row] = position
            limit = size
        else:
            position = np.uint64(starts[row])
            limit = np.uint64(ends[row])
        begin = np.uint64(starts[row])
        i = begin
        outcome = 2  # BLANK
        depth = 0
        state = 3
        within = root  # container whose keys matter here, -1 none
        below = -1  # container at depth 2
        meaning = -1
        properties = 0
        measurements = 0
        while i < limit:
            c = data[i]
            if c == 32 or c == 9 or c == 13:
                i += _ONE
                continue
            if c == 10:
                if by_line:
                    break
                i += _ONE
                continue
            if outcome == 2:
                outcome = 1  # SLOW, until the object is complete
                if c != 123:
                    break
                depth = 1
                stack[0] = 0
                state = 0
                i += _ONE
                continue
            if depth == 0:
                outcome = 1  # something behind the object
                break
            if state == 4:
                if c == 44:
                    state = 3 if stack[depth - 1] == 1 else 1
                elif (c == 125 and stack[depth - 1] == 0) or (c == 93 and stack[depth - 1] == 1):
                    depth -= 1
                    if depth == 0:
                        outcome = 0  # FOUND, if nothing follows
                    within = root if depth == 1 else (below if depth == 2 else -1)
                else:
                    break
                i += _ONE
                continue
            if state == 2:
                if c != 58:
                    break
                state = 3
                i += _ONE
                continue
            if state <= 1:
                if c == 34:
                    i += _ONE
                    j = i
                    while j < limit:
                        letter = data[j]
                        if letter == 34 or letter == 92 or letter < 32 or letter >= bound:
                            break
                        j += _ONE
                    if j >= limit or data[j] != 34:
                        i = min(j, limit)
                        break  # escaped keys, too, are left to the slow way
                    meaning = -1
                    if within >= 0 and j > i:
                        spot = _hash(data, i, j, within)
                        while table[spot] >= 0:
                            key = table[spot]
                            key_begin = key_starts[key]
                            if containers[key] == within and key_starts[key + 1] - key_begin == np.int64(j - i):
                                same = True
                                for k in range(np.int64(j - i)):
                                    letter = data[i + np.uint64(k)]
                                    if 65 <= letter <= 90:
                                        letter += 32
                                    if letter != key_bytes[key_begin + k]:
                                        same = False
                                        break
                                if same:
                                    meaning = meanings[key]
                                    break
                            spot = (spot + 1) & 1_023
                    if meaning == -5:
                        break
                    i = j + _ONE
                    state = 2
                    # the usual next bytes, taken here to save a turn of the loop each
                    if i + _ONE < limit and data[i] == 58:
                        i += _TWO if data[i + _ONE] == 32 else _ONE
                        state = 3
                    continue
                if c == 125 and state == 0:
                    depth -= 1
                    if depth == 0:
                        outcome = 0
                    within = root if depth == 1 else (below if depth == 2 else -1)
                    state = 4
                    i += _ONE
                    continue
                break
            # a value
            slot = meaning if stack[depth - 1] == 0 else -1
            meaning = -1
            if slot == -2 or slot == -3:
                if slot == -2:
                    properties += 1
                else:
                    measurements += 1
                if properties > 1 or measurements > 1:
                    break
            if c == 34:
                i += _ONE
                j = i
                kind = 1
                wrong = False
                while j < limit:
                    while j < limit:
                        letter = data[j]
                        if letter == 34 or letter == 92 or letter < 32 or letter >= bound:
                            break
                        j += _ONE
                    if j >= limit or data[j] == 34:
                        break
                    if data[j] != 92 or j + _ONE >= limit:
                        wrong = True
                        break
                    kind = 2
                    escape = data[j + _ONE]
                    if escape == 117:
                        code = 0
                        if j + _FIVE >= limit:
                            wrong = True
                            break
                        for k in range(4):
                            digit = data[j + _TWO + np.uint64(k)]
                            if 48 <= digit <= 57:
                                code = code * 16 + (digit - 48)
                            elif 97 <= digit <= 102:
                                code = code * 16 + (digit - 87)
                            elif 65 <= digit <= 70:
                                code = code * 16 + (digit - 55)
                            else:
                                wrong = True
                        if wrong or 0xD800 <= code <= 0xDFFF:
                            wrong = True
                            break
                        j += _SIX
                    elif (
                        escape == 34 or escape == 92 or escape == 47 or escape == 98
                        or escape == 102 or escape == 110 or escape == 114 or escape == 116
                    ):  # fmt: skip
                        j += _TWO
                    else:
                        wrong = True
                        break
                if wrong or j >= limit:
                    i = min(j, limit)
                    break
                target = slot
                if slot == -2:
                    target = slots - 2
                elif slot == -3:
                    target = slots - 1
                if target >= 0:
                    at[row, target] = np.int64(i - begin)
                    packed[row, target] = (np.int64(j - i) << 2) | kind
                i = j + _ONE
                state = 4
                if i + _ONE < limit and data[i] == 44 and stack[depth - 1] == 0:
                    i += _TWO if data[i + _ONE] == 32 else _ONE
                    state = 1
                continue
            if c == 123 or c == 91:
                if slot >= 0 or slot == -4 or (c == 91 and (slot == -2 or slot == -3)) or depth >= 60:
                    break
                if depth == 1:
                    below = 1 if slot == -2 else (2 if slot == -3 else -1)
                within = below if depth == 1 else -1
                stack[depth] = 1 if c == 91 else 0
                depth += 1
                state = 5 if c == 91 else 0
                i += _ONE
                continue
            if c == 93 and state == 5:
                depth -= 1
                within = root if depth == 1 else (below if depth == 2 else -1)
                state = 4
                i += _ONE
                continue
            j = i
            if c == 45 or 48 <= c <= 57:
                if c == 45:
                    j += _ONE
                digits = j
                while j < limit and 48 <= data[j] <= 57:
                    j += _ONE
                if j == digits or (data[digits] == 48 and j - digits > 1):
                    break
                if j < limit and data[j] == 46:
                    j += _ONE
                    digits = j
                    while j < limit and 48 <= data[j] <= 57:
                        j += _ONE
                    if j == digits:
                        break
                if j < limit and (data[j] == 101 or data[j] == 69):
                    break  # exponents print differently once parsed: the slow way
            elif (
                c == 116
                and j + _THREE < limit
                and data[j + _ONE] == 114
                and data[j + _TWO] == 117
                and data[j + _THREE] == 101
            ):
                j += _FOUR
            elif (
                c == 102 and j + _FOUR < limit and data[j + _ONE] == 97 and data[j + _TWO] == 108
                and data[j + _THREE] == 115 and data[j + _FOUR] == 101
            ):  # fmt: skip
                j += _FIVE
            elif (
                c == 110
                and j + _THREE < limit
                and data[j + _ONE] == 117
                and data[j + _TWO] == 108
                and data[j + _THREE] == 108
            ):
                j += _FOUR
            else:
                break
            if slot >= 0:
                at[row, slot] = np.int64(i - begin)
                packed[row, slot] = 0 if c == 110 else (np.int64(j - i) << 2) | 1
            i = j
            state = 4
            if i + _ONE < limit and data[i] == 44 and stack[depth - 1] == 0:
                i += _TWO if data[i + _ONE] == 32 else _ONE
                state = 1
        if outcome == 0 and depth != 0:
            outcome = 1
        status[row] = outcome
        if by_line:
            while i < size and data[i] != 10:
                i += _ONE
            ends[row] = i
            position = i + _ONE


@njit
def _measure(packed: Any, rows: Any, totals: Any, present: Any) -> None:
    """Bytes and number of the values of each slot."""
    for k in range(len(rows)):
        row = rows[k]
        for slot in range(packed.shape[1]):
            value = packed[row, slot]
            if value != 0:
                present[slot] += 1
                totals[slot] += value >> 2


@njit
def _copy(
    data: Any, starts: Any, at: Any, packed: Any, rows: Any, slots: Any, bases: Any, offsets: Any, out: Any, valid: Any
) -> None:
    """The values of each slot one behind the other, escapes resolved; rows outside, so that memory is read in order."""
    ends = bases.copy()
    for k in range(len(rows)):
        row = rows[k]
        start = np.uint64(starts[row])
        for column in range(len(slots)):
            slot = slots[column]
            value = packed[row, slot]
            if value != 0:
                valid[column, k] = 1
                end = ends[column]
                i = start + np.uint64(at[row, slot])
                last = i + np.uint64(value >> 2)
                if value & 3 == 1:
                    while i < last:
                        out[end] = data[i]
                        end += _ONE
                        i += _ONE
                else:
                    end = _unescape(data, i, last, out, end)
                ends[column] = end
            offsets[column, k + 1] = ends[column] - bases[column]


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
