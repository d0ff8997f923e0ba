"""Columns of text made from columns of numbers, without a Python object per value."""

from __future__ import annotations

from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from .events import Array

HEX: Final = np.frombuffer(b"0123456789abcdef", dtype=np.uint8)
GUID_DASHES: Final = (8, 13, 18, 23)
GUID_LENGTH: Final = 36


def mix(numbers: Array, salt: int) -> Array:
    """Scatter numbers over 64 bits (splitmix64), uint64 of the same shape; the same number gives the same result."""
    with np.errstate(over="ignore"):
        x = np.asarray(numbers).astype(np.uint64) + np.uint64((salt * 0x9E3779B97F4A7C15 + 0x9E3779B97F4A7C15) % 2**64)
        x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        return np.asarray(x ^ (x >> np.uint64(31)))


def _fixed(letters: Array) -> Any:
    count, width = letters.shape
    offsets = np.arange(count + 1, dtype=np.int32) * width
    data = np.ascontiguousarray(letters).reshape(-1)
    return pa.StringArray.from_buffers(count, pa.py_buffer(offsets), pa.py_buffer(data))


def _nibbles(words: Array) -> Array:
    data = np.ascontiguousarray(words.astype(">u8")).view(np.uint8).reshape(len(words), 8 * words.shape[1])
    letters = np.empty((len(words), data.shape[1] * 2), dtype=np.uint8)
    letters[:, 0::2] = HEX[data >> 4]
    letters[:, 1::2] = HEX[data & 15]
    return letters


def hexes(*words: Array) -> Any:
    """Hexadecimal text of 16 digits for each uint64 column, joined: a pa.StringArray of length n."""
    return _fixed(_nibbles(np.stack(words, axis=1)))


def guids(numbers: Array, salt: int) -> Any:
    """GUIDs that stand for numbers (int64 or uint64): a pa.StringArray of length n."""
    digits = _nibbles(np.stack([mix(numbers, salt), mix(numbers, salt + 1)], axis=1))
    letters = np.full((len(digits), GUID_LENGTH), ord("-"), dtype=np.uint8)
    letters[:, [place for place in range(GUID_LENGTH) if place not in GUID_DASHES]] = digits
    return _fixed(letters)


def pick(values: list[str | None], index: Array) -> Any:
    """Texts chosen by index from a short list; a negative index gives null."""
    chosen = pa.array(np.asarray(index, dtype=np.int64), mask=np.asarray(index) < 0)
    return pa.array(values, pa.string()).take(chosen)


def each(numbers: Array, write: Any) -> Any:
    """Texts written by a function of one number, called once for each distinct number."""
    distinct, index = np.unique(numbers, return_inverse=True)
    return pick([write(int(number)) for number in distinct], index.reshape(-1))


def decimals(values: Array, digits: int = 4) -> Any:
    """Numbers as text without exponent."""
    scaled = np.round(np.asarray(values) * 10**digits).astype(np.int64)
    whole, part = np.divmod(scaled, 10**digits)
    rest = pc.utf8_lpad(pa.array(part).cast(pa.string()), digits, "0")
    return pc.binary_join_element_wise(pa.array(whole).cast(pa.string()), rest, ".")


def iso(micros: Array) -> Any:
    """UTC times as ``2026-06-01T08:00:00.1234560Z``: seven digits, as Azure writes them."""
    micros = np.asarray(micros, dtype=np.int64)
    text = pc.strftime(pa.array(micros // 1_000_000 * 1_000_000, pa.timestamp("us")), "%Y-%m-%dT%H:%M:%S")
    text = pc.utf8_slice_codeunits(text, 0, 19)
    part = pc.utf8_lpad(pa.array(micros % 1_000_000).cast(pa.string()), 6, "0")
    return pc.binary_join_element_wise(text, pc.binary_join_element_wise(part, "0Z", ""), ".")


def join(*parts: Any) -> Any:
    """Concatenate columns and constants into one column; a null part counts as empty."""
    return pc.binary_join_element_wise(*parts, "", null_handling="replace", null_replacement="")
