"""Questions asked of columns of texts, plain or as codes into their distinct values: there, once for each value.

A bounded run on one machine carries names as codes (``ConformOptions.coded``); whatever asks through here, or hashes,
does not mind which of the two comes.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

#: how a column of texts travels that is known by its distinct values
CODED: Final = pa.dictionary(pa.int32(), pa.string())

Flags = npt.NDArray[np.bool_]


def told(column: pa.Array, test: Callable[[pa.Array], pa.Array]) -> Flags:
    """What a test says of each text.

    Args:
        column: string[n], or codes of strings.
        test: from string[k] to bool[k].

    Returns:
        bool[n], False where there is no text or the test says nothing.
    """
    if not pa.types.is_dictionary(column.type):
        flags: Flags = test(column).fill_null(False).to_numpy(zero_copy_only=False)
        return flags
    of_values = test(column.dictionary).fill_null(False).to_numpy(zero_copy_only=False)
    codes = column.indices
    if codes.null_count:
        codes = codes.fill_null(len(of_values))
    found: Flags = np.append(of_values, False)[codes.to_numpy(zero_copy_only=False)]
    return found


def is_text(column: pa.Array, *values: str) -> Flags:
    """bool[n]: the text is one of these.

    >>> is_text(pa.array(["http", None, "timer"]), "http").tolist()
    [True, False, False]
    """
    if len(values) == 1:
        return told(column, lambda texts: pc.equal(texts, values[0]))
    wanted = pa.array(values, pa.string())
    return told(column, lambda texts: pc.is_in(texts, value_set=wanted))


def constant(value: str, rows: int, kind: pa.DataType) -> pa.Array:
    """The same text in every row, as a column of this type (string, or CODED)."""
    if pa.types.is_dictionary(kind):
        return pa.DictionaryArray.from_arrays(pa.array(np.zeros(rows, np.int32)), pa.array([value], kind.value_type))
    return pa.repeat(pa.scalar(value, kind), rows)


def plain(column: Any) -> Any:
    """The texts themselves."""
    return column.dictionary_decode() if pa.types.is_dictionary(column.type) else column
