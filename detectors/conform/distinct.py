"""A column of text as its distinct values and a code a row: what is worked out of a text is worked out once a value."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, Final, NamedTuple

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from detectors.texts import CODED

Codes = NDArray[np.int32]

MISSING: Final = np.int32(-1)
#: combinations that are looked up in a table rather than sorted, for each row
_TABLE_SHARE: Final = 4

_NO_TEXTS: Final = pa.array([], pa.string())


class Distinct(NamedTuple):
    """n texts; a value may stand among ``values`` twice, or be no row's."""

    #: int32[n], index into ``values``; MISSING where there is none
    codes: Codes
    #: string[k], without nulls
    values: pa.StringArray

    @classmethod
    def of(cls, array: pa.Array) -> Distinct:
        """The texts of a column of strings, CODED or not."""
        if array.type != CODED or len(array.dictionary) > len(array):
            array = (array.dictionary_decode() if array.type == CODED else array).dictionary_encode()
        codes = array.indices
        if codes.null_count:
            codes = codes.fill_null(MISSING)
        return cls(codes.to_numpy(zero_copy_only=False), array.dictionary)

    @classmethod
    def none(cls, rows: int) -> Distinct:
        """Rows without a text."""
        return cls(np.full(rows, MISSING, np.int32), _NO_TEXTS)

    @classmethod
    def constant(cls, value: str, rows: int) -> Distinct:
        """The same text in every row."""
        return cls(np.zeros(rows, np.int32), pa.array([value], pa.string()))

    @property
    def valid(self) -> NDArray[np.bool_]:
        """Rows that have a text, bool[n]."""
        valid: NDArray[np.bool_] = self.codes >= 0
        return valid

    def mapped(self, function: Callable[[pa.Array], pa.Array]) -> Distinct:
        """A function of string[k] applied to the values; where it gives null, the rows have no text any more."""
        if len(self.values) == 0:
            return self
        after = function(self.values)
        if after is self.values:
            return self
        if not after.null_count:
            return Distinct(self.codes, after)
        present = after.is_valid().to_numpy(zero_copy_only=False)
        renumbered = np.where(present, np.cumsum(present) - 1, MISSING).astype(np.int32)
        return Distinct(self.spread(renumbered, MISSING), after.drop_null())

    def each(self, function: Callable[[str], str | None]) -> Distinct:
        """A function of one text applied to the values."""
        before = self.values.to_pylist()
        after = [function(value) for value in before]
        return self if before == after else self.mapped(lambda _: pa.array(after, pa.string()))

    def spread(self, of_values: NDArray[Any], missing: Any) -> NDArray[Any]:
        """What is known of each value, [k], as what is known of each row, [n]."""
        if len(of_values) == 0:
            return np.full(len(self.codes), missing, of_values.dtype)
        # a code of -1 takes the last
        return np.append(of_values, np.array(missing, of_values.dtype))[self.codes]

    def where(self, mask: NDArray[np.bool_]) -> Distinct:
        """The texts of the rows where the mask, bool[n], holds."""
        return Distinct(np.where(mask, self.codes, MISSING), self.values)

    def or_else(self, other: Distinct) -> Distinct:
        """These texts, and the other's where there are none."""
        if len(self.values) == 0:
            return other
        missing = self.codes < 0
        if len(other.values) == 0 or not missing.any():
            return self
        theirs = np.where(other.codes < 0, MISSING, other.codes + np.int32(len(self.values)))
        return Distinct(np.where(missing, theirs, self.codes), pa.concat_arrays([self.values, other.values]))

    def filter(self, mask: NDArray[np.bool_]) -> Distinct:
        """Only the rows where the mask, bool[n], holds."""
        return Distinct(self.codes[mask], self.values)

    def coded(self) -> pa.DictionaryArray:
        """The column as Arrow dictionary, CODED."""
        return pa.DictionaryArray.from_arrays(self._indices(), self.values, safe=False)

    def plain(self) -> pa.StringArray:
        """The column as string[n]."""
        if len(self.values) == 0:
            return pa.nulls(len(self.codes), pa.string())
        return self.values.take(self._indices())

    def _indices(self) -> pa.Array:
        missing = self.codes < 0
        return pa.array(self.codes, mask=missing) if missing.any() else pa.array(self.codes)


def first_of(columns: Iterable[Distinct], rows: int) -> Distinct:
    """The first text that any of these columns has, row by row."""
    found = Distinct.none(rows)
    for column in columns:
        found = found.or_else(column)
    return found


def combined(columns: tuple[Distinct, ...], join: Callable[[list[pa.Array]], pa.Array]) -> Distinct:
    """Texts made of several columns, worked out once a combination.

    Args:
        columns: of the same length.
        join: from string[k] for each column (null where it has none) to string[k].
    """
    rows = len(columns[0].codes)
    key = np.zeros(rows, np.int64)
    size = 1
    for column in columns:
        width = len(column.values) + 1
        key = key * width + column.codes + 1
        size *= width
    if size <= _TABLE_SHARE * rows:
        seen = np.zeros(size, np.bool_)
        seen[key] = True
        keys = np.flatnonzero(seen)
        number = np.cumsum(seen) - 1
        codes = number[key].astype(np.int32)
    else:
        keys, inverse = np.unique(key, return_inverse=True)
        codes = inverse.astype(np.int32)
    parts: list[pa.Array] = []
    for column in reversed(columns):
        width = len(column.values) + 1
        keys, own = np.divmod(keys, width)
        parts.append(Distinct((own - 1).astype(np.int32), column.values).plain())
    joined = Distinct.of(join(parts[::-1]))
    return Distinct(joined.codes[codes], joined.values)
