"""Rows that wait for what becomes of their story: no more than a bound, in few batches that seldom change.

The bound depends on the order of the rows alone: a row waits until its story opens or ends, or until ``most`` rows
came after it. Checkpoints write a batch once, so batches are put together the way of a merge sort, and rows that are
done with stay in theirs until half of it is.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from detectors.order import concat

Vector = npt.NDArray[Any]

#: rows that wait at most, of all stories together: about 40 MB, and twenty times what an incident lists
MOST: Final = 20_000
#: rows from which on a batch is not put together with others
_LARGE: Final = 4_096
#: in the place of the story of a row that is done with
_DONE: Final = -1
_NONE: Final = np.zeros(0, np.int64)


@dataclass
class _Batch:
    rows: pa.RecordBatch
    #: int64[n]
    story: Vector
    #: int64[n], the place of each among all rows that ever came
    number: Vector


class Waiting:
    """Rows with their stories.

    Args:
        schema: of the rows.
        most: rows that wait.
    """

    def __init__(self, schema: pa.Schema, most: int = MOST) -> None:
        self._schema, self.most = schema, most
        self._batches: list[_Batch] = []
        #: rows that ever came
        self.came = 0

    def __len__(self) -> int:
        return sum(int(np.count_nonzero(batch.story != _DONE)) for batch in self._batches)

    def add(self, rows: pa.RecordBatch, story: Vector, order: Vector) -> Vector:
        """Take rows.

        Args:
            rows: n, in any order.
            story: int64[n], of each.
            order: int64[n], their places in the order of time, 0 to n - 1.

        Returns:
            int64[n], the place of each among all rows that ever came.
        """
        number: Vector = self.came + order
        self.came += len(order)
        if len(order):
            self._batches.append(_Batch(rows, story.copy(), number))
        return number

    def of(self, story: int, begin: int, end: int) -> Iterator[pa.RecordBatch]:
        """The rows of a story whose places lie from ``begin`` to before ``end``."""
        for batch in self._batches:
            mine = (batch.story == story) & (batch.number >= begin) & (batch.number < end)
            if mine.any():
                yield batch.rows.filter(pa.array(mine))

    def hand_over(self, story: int, host: int, begin: int) -> None:
        """Have the rows of a story whose places lie from ``begin`` on be those of another."""
        for batch in self._batches:
            mine = (batch.story == story) & (batch.number >= begin)
            if mine.any():
                batch.story = np.where(mine, host, batch.story)

    def settle(self, done: Vector, columns: Sequence[str]) -> list[tuple[pa.RecordBatch, Vector, Vector]]:
        """Let go of the rows of stories that are done with, and of those that ``most`` rows followed.

        Args:
            done: int64[m], the stories.
            columns: that the rows are wanted with.

        Returns:
            rows, their stories and their places.
        """
        given = []
        kept: list[_Batch] = []
        for batch in self._batches:
            ready = np.isin(batch.story, done) | (batch.number < self.came - self.most)
            ready &= batch.story != _DONE
            if ready.all():
                given.append((batch.rows.select(columns), batch.story, batch.number))
                continue
            if ready.any():
                rows = batch.rows.select(columns).filter(pa.array(ready))
                given.append((rows, batch.story[ready], batch.number[ready]))
                batch.story = np.where(ready, _DONE, batch.story)
            left = np.flatnonzero(batch.story != _DONE)
            if not len(left):
                continue
            if 2 * len(left) < len(batch.story):
                batch = _Batch(batch.rows.take(pa.array(left)), batch.story[left], batch.number[left])
            kept.append(batch)
            while len(kept) > 1 and len(kept[-2].story) < min(2 * len(kept[-1].story), _LARGE):
                last = kept.pop()
                kept[-1] = _together(kept[-1], last)
        self._batches = kept
        return given

    def snapshot(self) -> dict[str, pa.Table]:
        """Rows, in batches that are the same objects as long as they are the same; what is known of each; the count."""
        return {
            "waiting": pa.Table.from_batches([batch.rows for batch in self._batches], self._schema),
            "waits": pa.table(
                {
                    "story": pa.array(np.concatenate([_NONE, *(b.story for b in self._batches)])),
                    "number": pa.array(np.concatenate([_NONE, *(b.number for b in self._batches)])),
                }
            ),
            "came": pa.table({"rows": [self.came]}),
        }

    def restore(self, tables: Mapping[str, pa.Table]) -> None:
        """Take over a snapshot."""
        self._batches, begin = [], 0
        story, number = (tables["waits"].column(name).to_numpy() for name in ("story", "number"))
        for rows in tables["waiting"].to_batches():
            end = begin + rows.num_rows
            if rows.num_rows:
                self._batches.append(_Batch(rows, story[begin:end].copy(), number[begin:end].copy()))
            begin = end
        self.came = int(tables["came"].column("rows")[0].as_py())


def _together(one: _Batch, other: _Batch) -> _Batch:
    return _Batch(
        concat([one.rows, other.rows]),
        np.concatenate([one.story, other.story]),
        np.concatenate([one.number, other.number]),
    )
