"""State by key: a hash index over dense columns, looked up a whole batch at a time.

A kernel never hashes: it gets the row number of every event's key and works on plain arrays. Rows that have been silent
longer than their entity's time to live count as forgotten, whether or not they are still there, so physical removal
(``compact``) can happen at any moment without changing a result.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from models.jit import njit

#: rows a new table has room for
INITIAL_ROWS = 1024
#: share of the index that may be filled before it doubles
MAX_LOAD = 0.5


@njit
def _find_or_insert(keys: Any, index: Any, dense: Any, count: Any, out: Any) -> Any:
    """Row of each key; unknown keys get the next free row. ``index`` holds row + 1, 0 is free. Returns the count."""
    mask = np.uint64(index.shape[0] - 1)
    for i in range(keys.shape[0]):
        key = keys[i]
        slot = key & mask
        while True:
            row = index[np.int64(slot)]
            if row == 0:
                dense[count] = key
                count += 1
                index[np.int64(slot)] = count
                out[i] = count - 1
                break
            if dense[row - 1] == key:
                out[i] = row - 1
                break
            slot = (slot + np.uint64(1)) & mask
    return count


@njit
def _take_out(keys: Any, index: Any, first: Any) -> None:
    """Free the slots of ``keys``, the rows from ``first`` on; the last that were added, so no other key lies behind."""
    mask = np.uint64(index.shape[0] - 1)
    for i in range(keys.shape[0] - 1, -1, -1):
        slot = keys[i] & mask
        while index[np.int64(slot)] != first + i + 1:
            slot = (slot + np.uint64(1)) & mask
        index[np.int64(slot)] = 0


class KeyedState:
    """Dense columns addressed by 64-bit keys.

    Args:
        columns: name to (dtype, width, initial value); width 0 makes a 1-d column, otherwise ``[rows, width]``.
    """

    def __init__(self, columns: Mapping[str, tuple[Any, int, Any]]) -> None:
        self._spec = dict(columns)
        self._count = 0
        self._keys = np.zeros(INITIAL_ROWS, dtype=np.uint64)
        self._index = np.zeros(int(INITIAL_ROWS / MAX_LOAD), dtype=np.int64)
        self.columns: dict[str, npt.NDArray[Any]] = {n: self._blank(n, INITIAL_ROWS) for n in self._spec}

    def __len__(self) -> int:
        return self._count

    def _blank(self, name: str, rows: int) -> npt.NDArray[Any]:
        dtype, width, initial = self._spec[name]
        return np.full((rows, width) if width else rows, initial, dtype=dtype)

    def rows(self, keys: npt.NDArray[np.uint64]) -> npt.NDArray[np.int64]:
        """Row number of each key, shape ``[n]``; unknown keys are added with initial values."""
        self._reserve(self._count + keys.shape[0])
        out = np.empty(keys.shape[0], dtype=np.int64)
        self._count = int(_find_or_insert(keys, self._index, self._keys, self._count, out))
        return out

    def rows_in_time(
        self, keys: npt.NDArray[np.uint64], late: npt.NDArray[np.bool_]
    ) -> tuple[npt.NDArray[np.int64], int]:
        """As ``rows``, and the count to ``take_back`` to, so that keys that only late rows have leave no trace."""
        if not late.any():
            out = self.rows(keys)
            return out, self._count
        out = np.empty(keys.shape[0], np.int64)
        out[~late] = self.rows(keys[~late])
        in_time = self._count
        out[late] = self.rows(keys[late])
        return out, in_time

    def take_back(self, count: int) -> None:
        """Forget the rows that ``rows`` has added since ``len(self)`` was ``count``, as if they had never been."""
        added = self._keys[count : self._count]
        if not len(added):
            return
        _take_out(added, self._index, count)
        for name, (_, _, initial) in self._spec.items():
            self.columns[name][count : self._count] = initial
        added[:] = 0
        self._count = count

    def _reserve(self, rows: int) -> None:
        if rows > self._keys.shape[0]:
            room = max(rows, int(self._keys.shape[0] * 1.5))
            self._keys = np.concatenate([self._keys[: self._count], np.zeros(room - self._count, dtype=np.uint64)])
            for name, old in self.columns.items():
                grown = self._blank(name, room)
                grown[: self._count] = old[: self._count]
                self.columns[name] = grown
        if rows > self._index.shape[0] * MAX_LOAD:
            self._reindex(1 << int(np.ceil(np.log2(rows / MAX_LOAD))))

    def _reindex(self, slots: int) -> None:
        self._index = np.zeros(slots, dtype=np.int64)
        dense = np.zeros(self._keys.shape[0], dtype=np.uint64)
        out = np.empty(self._count, dtype=np.int64)
        _find_or_insert(self._keys[: self._count], self._index, dense, 0, out)

    def keep(self, mask: npt.NDArray[np.bool_]) -> None:
        """Drop the rows where ``mask`` (shape ``[len(self)]``) is false."""
        chosen = np.flatnonzero(mask)
        self._rebuild(self._keys[chosen], {n: c[chosen] for n, c in self.columns.items()})

    def _rebuild(self, keys: npt.NDArray[np.uint64], columns: Mapping[str, npt.NDArray[Any]]) -> None:
        self._count = keys.shape[0]
        room = max(INITIAL_ROWS, self._count)
        self._keys = np.zeros(room, dtype=np.uint64)
        self._keys[: self._count] = keys
        for name in self._spec:
            fresh = self._blank(name, room)
            fresh[: self._count] = columns[name]
            self.columns[name] = fresh
        self._reindex(1 << int(np.ceil(np.log2(room / MAX_LOAD))))

    def to_table(self) -> pa.Table:
        """All rows, ordered by key: the same state gives the same table, however it came about."""
        order = np.argsort(self._keys[: self._count], kind="stable")
        arrays: list[pa.Array] = [pa.array(self._keys[: self._count][order])]
        for name, (_, width, _) in self._spec.items():
            column = self.columns[name][: self._count][order]
            flat = pa.array(column.reshape(-1))
            arrays.append(pa.FixedSizeListArray.from_arrays(flat, width) if width else flat)
        return pa.table(arrays, names=["key", *self._spec])

    def load_table(self, table: pa.Table, chosen: npt.NDArray[np.bool_] | None = None) -> None:
        """Replace the state by a table of ``to_table``; ``chosen`` picks rows (a shard's own)."""
        if chosen is not None:
            table = table.filter(pa.array(chosen))
        table = table.combine_chunks()
        columns = {}
        for name, (dtype, width, _) in self._spec.items():
            column = table.column(name)
            array = column.chunk(0) if column.num_chunks else pa.array([], column.type)
            values = array.flatten() if width else array
            flat = values.to_numpy(zero_copy_only=False).astype(dtype)
            columns[name] = flat.reshape(-1, width) if width else flat
        self._rebuild(table.column("key").to_numpy().astype(np.uint64), columns)
