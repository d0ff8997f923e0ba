"""The fast way through plain JSON: one compiled pass finds the wanted keys of flat records, without making objects.

A record is read here if it is a JSON object whose wanted values are scalars, at the top and one level below
(Properties, Measurements). Any other (an envelope, an odd escape, a syntax error) is only marked, and goes the slow way
through ``records``, which has the last word. So what is found here never differs from what is found there.

It is fast because quotes are found 64 bytes at a time and ahead of need, and because a key is first compared with the
one that followed its predecessor last time.
"""

from __future__ import annotations

from typing import Any, Final, NamedTuple

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from detectors.conform import simd
from detectors.conform.gather import Found, keep
from detectors.conform.keys import MEASUREMENTS, PROPERTIES, TEXT_SLOTS, TOP, Keys, keys_of, meaning_of, spot_of
from detectors.conform.options import MAX_RECORD_BYTES
from detectors.conform.slots import Columns
from models.jit import njit

_NEWLINE: Final = 10
#: what became of a value
FOUND, SLOW, BLANK = 0, 1, 2
#: kinds of a value, in the two low bits of ``packed``
PLAIN, ESCAPED = 1, 2
#: rows scanned before what they hold is kept: few, so that their bytes are still in the cache
_ROWS: Final = 64
#: bytes whose quotes are found ahead
_AHEAD: Final = 16_384
#: spellings of keys that are remembered; more than a table has columns
_TOKENS: Final = 256
#: bits of a cursor: first stop not used up, stops known, bytes that they are known of, where the next line begins
_NEXT, _KNOWN, _REACHED, _LINE = range(4)
# unsigned, so that the compiled code need not ask whether an index counts from the end
_ZERO, _ONE, _TWO, _THREE, _FOUR, _FIVE, _SIX, _EIGHT = (np.uint64(number) for number in (*range(7), 8))
_WORD = np.uint64(simd.WORD)
_WIDTH = np.uint64(simd.WIDTH)
_ALL = np.uint64(2**64 - 1)


class Scan(NamedTuple):
    """What n JSON values hold."""

    status: NDArray[np.uint8]  # FOUND, SLOW or BLANK
    starts: NDArray[np.int64]
    ends: NDArray[np.int64]
    columns: Columns


def available() -> bool:
    """Whether the compiled pass can be used; interpreted, the slow way is faster."""
    return simd.COMPILED


def scan_lines(block: bytes | memoryview, keys: Keys) -> Scan:
    """The values of JSON Lines, its columns those of the rows FOUND; the others are marked."""
    data = np.frombuffer(block, np.uint8)
    rows = line_ends(data) + 1
    bounds = np.zeros(rows, np.int64)
    return _scan(data, bounds, np.zeros(rows, np.int64), True, TOP, keys, _is_utf8(data))


def scan_elements(block: bytes | memoryview, starts: NDArray[np.int64], ends: NDArray[np.int64], keys: Keys) -> Scan:
    """The values of JSON elements that lie in a block between ``starts`` and ``ends``, int64[n]; as ``scan_lines``."""
    data = np.frombuffer(block, np.uint8)
    return _scan(data, starts, ends, False, TOP, keys, _is_utf8(data))


def open_texts(text: pa.Array, prefix: str, keys: Keys) -> tuple[Columns, NDArray[np.bool_]]:
    """Objects written as JSON text, string[n]: their slots, and where the slow way must read them, bool[n]."""
    rows = len(text)
    _, offsets_buffer, data_buffer = text.buffers()
    offsets = np.frombuffer(offsets_buffer, np.int32)[text.offset : text.offset + rows + 1].astype(np.int64)
    data = np.frombuffer(data_buffer or b"", np.uint8)
    root = PROPERTIES if prefix == "p." else MEASUREMENTS
    keys = keys_of(tuple(name for name in keys.names if name.startswith(prefix) and name not in TEXT_SLOTS))
    starts, ends = offsets[:-1].copy(), offsets[1:].copy()
    if text.null_count:
        # what lies below a null is nobody's value
        ends = np.where(text.is_null().to_numpy(zero_copy_only=False), starts, ends)
    found = _scan(data, starts, ends, False, root, keys, True, whole=True)
    return found.columns, found.status == SLOW


def line_ends(data: NDArray[np.uint8]) -> int:
    """How many lines end in these bytes."""
    return int(_line_ends(data)) if available() else int(np.count_nonzero(data == _NEWLINE))


@njit
def _line_ends(data: Any) -> Any:
    found = 0
    for k in range(len(data)):
        found += data[k] == 10
    return found


def _is_utf8(data: NDArray[np.uint8]) -> bool:
    offsets = pa.py_buffer(np.array([0, len(data)], np.int64))
    try:
        pa.Array.from_buffers(pa.large_binary(), 1, [None, offsets, pa.py_buffer(data)]).cast(pa.large_string())
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
    whole: bool = False,
) -> Scan:
    """Scan all; with ``whole``, columns have a place for every row, also for those that are not FOUND."""
    rows = len(starts)
    # loops are compiled anew for arrays that may be written to: these bytes never are
    data = data.view()
    data.flags.writeable = False
    status = np.full(rows, BLANK, np.uint8)
    found = Found.make(len(keys.names), rows)
    _scan_and_keep(
        data, starts, ends, by_line, whole, root, utf8, MAX_RECORD_BYTES,
        keys.table, keys.meaning, keys.container, keys.starts, keys.bytes, keys.unlike, status,
        found.codes, found.at, found.packed, found.counts, found.spots,
    )  # fmt: skip
    count = rows if whole else int(np.count_nonzero(status == FOUND))
    return Scan(status, starts, ends, found.columns(data, keys, count))


@njit
def _scan_and_keep(
    data: Any, starts: Any, ends: Any, by_line: Any, whole: Any, root: Any, utf8: Any, longest: Any, table: Any,
    meanings: Any, containers: Any, key_starts: Any, key_bytes: Any, unlike: Any, status: Any,
    codes: Any, value_at: Any, value_packed: Any, counts: Any, spots: Any,
) -> None:  # fmt: skip
    """Scan some rows, keep what they hold while it is in the cache, and so on."""
    slots = len(unlike)
    at = np.zeros((slots, _ROWS), np.int64)
    packed = np.zeros((slots, _ROWS), np.int32)
    stops = np.zeros(_AHEAD + 2 * 64 + 4, np.uint64)
    cursor = np.zeros(4, np.int64)
    if len(starts) and not by_line:
        cursor[_REACHED] = starts[0]
    tokens = np.zeros((_TOKENS, 6), np.int64)
    tokens[:, 3] = -1
    token_table = np.full(1_024, -1, np.int32)
    token_count = np.full(1, 3, np.int64)
    kept = np.int64(0)  # of the same kind as what ``keep`` returns: compiled once
    for first in range(0, len(starts), _ROWS):
        last = min(first + _ROWS, len(starts))
        packed[:] = 0
        _scan_rows(
            data, starts, ends, first, last, by_line, root, utf8, longest, table, meanings, containers, key_starts,
            key_bytes, status, at, packed, stops, cursor, tokens, token_table, token_count,
        )  # fmt: skip
        kept = keep(
            data, status, first, last, whole, kept, at, packed, unlike, codes, value_at, value_packed, counts, spots
        )


@njit
def _ready(data: Any, i: Any, stops: Any, cursor: Any, high: Any) -> None:
    """Drop the stops before ``i``, and have at least two more, the size of the data standing for those that lack."""
    size = np.uint64(len(data))
    k = cursor[_NEXT]
    known = cursor[_KNOWN]
    reached = np.uint64(cursor[_REACHED])
    while True:
        while k < known and stops[k] < i:
            k += 1
        if k + 1 < known:
            break
        left = known - k
        for moved in range(left):
            stops[moved] = stops[k + moved]
        k, known = 0, left
        if reached < i and left == 0:
            reached = i
        if reached >= size:
            stops[known] = size
            stops[known + 1] = size
            known += 2
            break
        until = min(reached + np.uint64(_AHEAD), size)
        while reached < until and reached + _WORD <= size:
            mask = simd.stops(data, reached, high)
            count = simd.ones(mask)
            # eight at a time whether they are there or not, since a branch that can't be foretold costs more
            for ahead in range(8):
                stops[known + ahead] = reached + simd.lowest(mask)
                mask &= mask - _ONE
            for ahead in range(8, count):
                stops[known + ahead] = reached + simd.lowest(mask)
                mask &= mask - _ONE
            known += count
            reached += _WORD
        while reached < until:
            letter = data[reached]
            if letter == 34 or letter == 92 or letter < 32 or (letter >= 128 and high != _ZERO):
                stops[known] = reached
                known += 1
            reached += _ONE
    cursor[_NEXT] = k
    cursor[_KNOWN] = known
    cursor[_REACHED] = np.int64(reached)


@njit
def _token(
    data: Any, begin: Any, end: Any, within: Any, table: Any, meanings: Any, containers: Any, key_starts: Any,
    key_bytes: Any, tokens: Any, token_table: Any, token_count: Any,
) -> Any:  # fmt: skip
    """The number of the key in these bytes (quotes not counted), as it is spelled here; -1 where too many are known.

    A token: 0 where its quote is, 1 bytes with quotes and colon (0: not to be compared), 2 meaning, 3 what followed it
    last, 4 container, 5 bytes of its key.
    """
    size = np.int64(end - begin)
    spot = spot_of(data, begin, end, within)
    while token_table[spot] >= 0:
        token = token_table[spot]
        if tokens[token, 4] == within and tokens[token, 5] == size:
            old = np.uint64(tokens[token, 0]) + _ONE
            same = True
            for k in range(size):
                if data[old + np.uint64(k)] != data[begin + np.uint64(k)]:
                    same = False
                    break
            if same:
                return np.int64(token)
        spot = (spot + 1) & 1_023
    token = token_count[0]
    if token >= _TOKENS:
        return -1
    token_count[0] = token + 1
    token_table[spot] = token
    tokens[token, 0] = np.int64(begin) - 1
    whole = size + 3
    near = end + _ONE < np.uint64(len(data)) and data[end + _ONE] == 58
    tokens[token, 1] = whole if near and whole <= 32 and begin + _WIDTH <= np.uint64(len(data)) else 0
    tokens[token, 2] = meaning_of(data, begin, end, within, table, meanings, containers, key_starts, key_bytes)
    tokens[token, 3] = -1
    tokens[token, 4] = within
    tokens[token, 5] = size
    return token


@njit
def _scan_rows(
    data: Any, starts: Any, ends: Any, first_row: Any, last_row: Any, by_line: Any, root: Any, utf8: Any, longest: Any,
    table: Any, meanings: Any, containers: Any, key_starts: Any, key_bytes: Any, status: Any, at: Any, packed: Any,
    stops: Any, cursor: Any, tokens: Any, token_table: Any, token_count: Any,
) -> None:  # fmt: skip
    """A strict JSON parser as one loop; states: 0 key or }, 1 key, 2 colon, 3 value, 4 comma or end, 5 value or ]."""
    slots = packed.shape[0]
    stack = np.zeros(64, np.uint8)  # 1 array, 0 object
    size = np.uint64(len(data))
    # bytes from here on are left to the slow way: those beyond ASCII where the block isn't valid UTF-8
    bound = 256 if utf8 else 128
    high = _ZERO if utf8 else _ALL
    for row in range(first_row, last_row):
        here = row - first_row
        if by_line:
            starts[row] = cursor[_LINE]
            limit = size
        else:
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
        previous = 0  # the key before this one, or what stands for the beginning of its container
        above = 0  # the key that holds the container at depth 2
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
                    elif depth == 1:
                        previous = above
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
                    if within >= 0:
                        guess = tokens[previous, 3]
                        if guess >= 0:
                            length = np.uint64(tokens[guess, 1])
                            if length != _ZERO and i + _WIDTH <= size and i + length <= limit:
                                odd = np.uint64(simd.differing(data, i, np.uint64(tokens[guess, 0])))
                                if odd & ((_ONE << length) - _ONE) == _ZERO:
                                    meaning = tokens[guess, 2]
                                    if meaning == -5:
                                        break
                                    previous = guess
                                    i += length
                                    state = 3
                                    continue
                    k = cursor[_NEXT]
                    while k + 2 < cursor[_KNOWN] and stops[k] < i:
                        k += 1
                    cursor[_NEXT] = k
                    if k + 1 >= cursor[_KNOWN] or stops[k] != i:
                        _ready(data, i, stops, cursor, high)
                        k = cursor[_NEXT]
                    j = stops[k + 1]
                    i += _ONE
                    if j >= limit or data[j] != 34:
                        i = min(j, limit)
                        break  # escaped keys, too, are left to the slow way
                    cursor[_NEXT] = k + 2
                    meaning = -1
                    if within >= 0:
                        found = _token(
                            data, i, j, within, table, meanings, containers, key_starts, key_bytes, tokens,
                            token_table, token_count,
                        )  # fmt: skip
                        if found >= 0:
                            tokens[previous, 3] = found
                            previous = found
                            meaning = tokens[found, 2]
                        else:
                            meaning = meaning_of(data, i, j, within, table, meanings, containers, key_starts, key_bytes)
                    if meaning == -5:
                        break
                    i = j + _ONE
                    state = 2
                    continue
                if c == 125 and state == 0:
                    depth -= 1
                    if depth == 0:
                        outcome = 0
                    elif depth == 1:
                        previous = above
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
                k = cursor[_NEXT]
                while k + 2 < cursor[_KNOWN] and stops[k] < i:
                    k += 1
                cursor[_NEXT] = k
                if k + 1 >= cursor[_KNOWN] or stops[k] != i:
                    _ready(data, i, stops, cursor, high)
                    k = cursor[_NEXT]
                i += _ONE
                j = stops[k + 1]
                kind = 1
                wrong = False
                if j < limit and data[j] == 34:
                    cursor[_NEXT] = k + 2
                else:
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
                            for d in range(4):
                                digit = data[j + _TWO + np.uint64(d)]
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
                    at[target, here] = np.int64(i)
                    packed[target, here] = (np.int64(j - i) << 2) | kind
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
                    within = below
                    above = previous
                    # tokens 1 and 2 stand for the beginning of a container
                    previous = max(below, 0)
                else:
                    within = -1
                stack[depth] = 1 if c == 91 else 0
                depth += 1
                state = 5 if c == 91 else 0
                i += _ONE
                continue
            if c == 93 and state == 5:
                depth -= 1
                if depth == 1:
                    previous = above
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
                at[slot, here] = np.int64(i)
                packed[slot, here] = 0 if c == 110 else (np.int64(j - i) << 2) | 1
            i = j
            state = 4
            if i + _ONE < limit and data[i] == 44 and stack[depth - 1] == 0:
                i += _TWO if data[i + _ONE] == 32 else _ONE
                state = 1
        if outcome == 0 and depth != 0:
            outcome = 1
        if by_line:
            while i < size and data[i] != 10:
                i += _ONE
            ends[row] = i
            cursor[_LINE] = np.int64(i) + 1
        if outcome == 0 and ends[row] - starts[row] > longest:
            outcome = 1
        status[row] = outcome
