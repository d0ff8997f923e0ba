"""A compiled pass that finds where the elements of a JSON document begin and end; what is odd is left to who calls."""

from __future__ import annotations

from typing import Any

import numpy as np

from detectors.conform import simd
from models.jit import njit

_ONE = np.uint64(1)
_TWO = np.uint64(2)
_WORD = np.uint64(simd.WORD)
_NOTHING = np.uint64(0)


def available() -> bool:
    """Whether the compiled pass can be used."""
    return simd.COMPILED


@njit
def cut(data: Any, at: Any, depth: Any, base: Any, begin: Any, starts: Any, ends: Any) -> Any:
    """Objects and arrays that lie at a depth, as far as nothing but commas and blanks stands between them.

    Args:
        data: uint8[n].
        at: where to go on, outside of any string.
        depth: how many brackets are open there.
        base: the depth of elements.
        begin: where the element under way began; -1 for none.
        starts: int64[k], takes where each that is found begins.
        ends: int64[k], takes the byte behind each.

    Returns:
        How many were found, and ``at``, ``depth`` and ``begin`` where the pass stopped: at the end of the data, at a
        string without end, at something odd between two elements, or since k were found.
    """
    size = np.uint64(len(data))
    i = np.uint64(at)
    count = 0
    while i < size and count < len(starts):
        c = data[i]
        if begin < 0:
            if c == 44 or c == 32 or c == 10 or c == 13 or c == 9:
                i += _ONE
                continue
            if depth != base or (c != 123 and c != 91):
                break
            begin = np.int64(i)
            depth += 1
        elif c == 34:
            j = i + _ONE
            while j < size and data[j] != 34:
                if data[j] == 92:
                    j += _TWO
                elif j + _WORD <= size:
                    mask = simd.stops(data, j, _NOTHING)
                    # control characters stop, too, though they are part of a (broken) string
                    j += simd.lowest(mask) if mask != _NOTHING and simd.lowest(mask) != _NOTHING else _skip(mask)
                else:
                    j += _ONE
            if j >= size:
                break
            i = j
        elif c == 123 or c == 91:
            depth += 1
        elif c == 125 or c == 93:
            depth -= 1
            if depth == base:
                starts[count] = begin
                ends[count] = np.int64(i) + 1
                count += 1
                begin = -1
        i += _ONE
    return count, np.int64(i), depth, begin


@njit
def _skip(mask: Any) -> Any:
    """Bytes to go on where the first is no end of a string: one that stops the rest, or a whole word that doesn't."""
    return _ONE if mask != _NOTHING else _WORD
