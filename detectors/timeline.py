"""The ordered timeline: rows come in any order, a fold sees them in one, as far as the watermark promises.

A fold is a state machine over that order. A timeline holds back what may still be overtaken. Neither knows Beam, clocks
or threads, so the same pair serves a notebook, a replay and a stream.

    >>> import pyarrow as pa
    >>> class Count:
    ...     seen = 0
    ...     def advance(self, rows, watermark_us):
    ...         self.seen += rows.num_rows
    ...         return rows
    ...     def snapshot(self):
    ...         return {"count": pa.table({"seen": [self.seen]})}
    ...     def restore(self, tables):
    ...         self.seen = tables["count"]["seen"][0].as_py()
    >>> timeline = Timeline(Count())
    >>> timeline.push(pa.record_batch({"at": [30, 10, 20]}))
    >>> [batch.column("at").to_pylist() for batch in timeline.advance(25)]
    [[10, 20]]
    >>> timeline.due()
    31
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, Protocol

import numpy as np
import pyarrow as pa

from detectors.order import LATE, aligned, concat, in_order, times_of

#: the watermark behind everything: no more rows will come (int64 with room for horizons to be added)
END: Final = 2**62
#: the watermark before everything
START: Final = -(2**62)
#: rows handed to a fold at once, so that a long advance works in bounded memory and strings stay below 2 GiB a column
SLICE_ROWS: Final = 524_288
#: times its own size that the end of a batch may keep alive
_WASTE: Final = 4

Tables = dict[str, pa.Table]


class Fold(Protocol):
    """A state machine over rows in order.

    Law: what it gives, put together, does not depend on how the ordered rows are cut into calls of ``advance``.

    A fold may also have these, each with a neutral default where it is missing:
        ``lag_us: int``: after ``advance(_, w)`` exactly the rows below ``w - lag_us`` have been given (default 0);
        ``due() -> int | None``: the lowest watermark at which ``advance`` without rows gives something (default None);
        ``raised() -> pa.RecordBatch``: a second product of the last ``advance``, of another schema (default none);
        ``counts() -> dict[str, int]``: what it counted so far, snapshots included (default empty);
        ``takes: pa.Schema``: the columns it wants; others are dropped, missing ones are null. A fold that takes rows of
            several schemas must say so (default: rows come as they are, all of one schema).
    """

    def advance(self, rows: pa.RecordBatch, watermark_us: int) -> pa.RecordBatch:
        """Take rows in order and give what is known by now.

        Args:
            rows: sorted by (``at``, invocation id), all below ``watermark_us``, none below the watermark of the call
                before, but for those marked ``late``; may be empty.
            watermark_us: UTC microseconds; no row below it will come any more but late ones. END: none at all.

        Returns:
            rows sorted by ``at``, at or after those given before (late ones aside); of one schema, even when empty.
        """
        ...

    def snapshot(self) -> Tables:
        """The whole state as plain tables."""
        ...

    def restore(self, tables: Mapping[str, pa.Table]) -> None:
        """Take over a snapshot; what follows equals what would have followed where it was taken."""
        ...


class FoldFactory(Protocol):
    """Plain data that makes the fold of each shard; a frozen dataclass, so that it travels to workers."""

    def make(self, shard: int, shards: int) -> Fold:
        """The fold for shard number ``shard`` of ``shards``, at its beginning."""
        ...


def lag_of(fold: Fold) -> int:
    """How far the fold's output trails its watermark, us."""
    return int(getattr(fold, "lag_us", 0))


def due_of(fold: Fold) -> int | None:
    """The lowest watermark at which the fold gives something without new rows, us."""
    due = getattr(fold, "due", None)
    return due() if due is not None else None


def counts_of(fold: Fold) -> dict[str, int]:
    """What the fold counted so far."""
    counts = getattr(fold, "counts", None)
    return dict(counts()) if counts is not None else {}


def raised_by(fold: Fold) -> pa.RecordBatch | None:
    """The fold's second product of the last advance, if it has one and it is not empty."""
    raised = getattr(fold, "raised", None)
    batch: pa.RecordBatch | None = raised() if raised is not None else None
    return batch if batch is not None and batch.num_rows else None


def renewed_by(fold: Fold, rows: pa.Table) -> pa.Table:
    """Rows that waited for the fold, saved by an earlier version, with the columns that they have now."""
    renewed = getattr(fold, "renewed", None)
    return rows if renewed is None else renewed(rows)


def _takes(fold: Fold) -> pa.Schema | None:
    """The columns that the fold asks for, all nullable, since rows of another schema may lack any."""
    schema = getattr(fold, "takes", None)
    return None if schema is None else pa.schema([field.with_nullable(True) for field in schema])


def _lean(rows: pa.RecordBatch) -> pa.RecordBatch:
    """The end of a batch; copied where it is so small that it would keep far more alive than it is."""
    if rows.nbytes * _WASTE >= rows.get_total_buffer_size():
        return rows
    return rows.take(pa.array(np.arange(rows.num_rows)))


class Timeline:
    """Rows on their way to a fold.

    Args:
        fold: sees the rows in order.
        slice_rows: rows handed on at once.
    """

    def __init__(self, fold: Fold, *, slice_rows: int = SLICE_ROWS) -> None:
        self.fold = fold
        #: rows that came after the watermark had passed them
        self.late = 0
        #: no row below has been promised to come, us
        self.watermark_us = START
        self._slice_rows = slice_rows
        self._pending: list[pa.RecordBatch] = []
        self._raised: list[pa.RecordBatch] = []
        self._takes = _takes(fold)
        self._schema: pa.Schema | None = self._takes

    def push(self, batch: pa.RecordBatch) -> None:
        """Take rows in any order; those below the watermark are marked late, counted, and go with the next advance."""
        if self._takes is not None:
            batch = aligned(batch, self._takes)
        if self._schema is None:
            self._schema = batch.schema
        if batch.num_rows == 0:
            return
        late = times_of(batch) < self.watermark_us
        if late.any():
            self.late += int(late.sum())
            index = batch.schema.get_field_index(LATE)
            if index >= 0:
                was = batch.column(index).fill_null(False).to_numpy(zero_copy_only=False)
                batch = batch.set_column(index, batch.schema.field(index), pa.array(late | was))
        self._pending.append(batch)

    def advance(self, watermark_us: int) -> list[pa.RecordBatch]:
        """Hand on what lies below the watermark, in order, and keep the rest.

        Args:
            watermark_us: UTC microseconds; END for the end. A watermark that goes back is taken as standing still.

        Returns:
            what the fold gave, without empty batches; what it raised is kept for ``take_raised``.
        """
        watermark_us = max(watermark_us, self.watermark_us)
        if self._schema is None:
            # nothing has come yet, so there is no schema to call the fold with
            self.watermark_us = watermark_us
            return []
        given: list[pa.RecordBatch] = []
        for boundary in [*self._cuts(watermark_us), watermark_us]:
            rows = self._below(boundary)
            self.watermark_us = max(boundary, self.watermark_us)
            given.append(self.fold.advance(rows, boundary))
            raised = raised_by(self.fold)
            if raised is not None:
                self._raised.append(raised)
        return [batch for batch in given if batch.num_rows]

    def take_raised(self) -> list[pa.RecordBatch]:
        """What the fold raised since the last call."""
        raised, self._raised = self._raised, []
        return raised

    def due(self) -> int | None:
        """The lowest watermark at which ``advance`` has something to do, us; None while there is nothing."""
        waiting = [int(times_of(batch).min()) + 1 for batch in self._pending]
        due = due_of(self.fold)
        if due is not None:
            waiting.append(due)
        return min(waiting, default=None)

    def pending(self) -> int:
        """Rows held back."""
        return sum(batch.num_rows for batch in self._pending)

    def take_pending(self) -> list[pa.RecordBatch]:
        """Take out the rows held back, for whoever keeps them elsewhere."""
        pending, self._pending = self._pending, []
        return pending

    def snapshot(self) -> Tables:
        """Pending rows, watermark and the fold's state, as plain tables."""
        tables = {f"fold/{name}": table for name, table in self.fold.snapshot().items()}
        tables["timeline"] = pa.table({"watermark_us": [self.watermark_us], "late": [self.late]})
        if self._schema is not None:
            tables["pending"] = pa.Table.from_batches(self._pending, self._schema)
        return tables

    def restore(self, tables: Mapping[str, pa.Table]) -> None:
        """Take over a snapshot."""
        own = tables["timeline"].to_pylist()[0]
        self.watermark_us, self.late = own["watermark_us"], own["late"]
        self._schema, self._pending = self._takes, []
        if "pending" in tables:
            pending = renewed_by(self.fold, tables["pending"])
            self._schema = pending.schema
            self._pending = pending.to_batches()
        self.fold.restore(
            {name.removeprefix("fold/"): table for name, table in tables.items() if name.startswith("fold/")}
        )

    def _cuts(self, watermark_us: int) -> list[int]:
        """Boundaries below the watermark that keep each call to the fold near ``slice_rows`` rows."""
        if self.pending() <= self._slice_rows:
            return []
        times = np.concatenate([times_of(batch) for batch in self._pending])
        times = times[times < watermark_us]
        ranks = np.arange(self._slice_rows, len(times), self._slice_rows)
        if not ranks.size:
            return []
        cuts = np.unique(np.partition(times, ranks)[ranks])
        # a cut inside the past holds late rows only; they go with the first call
        return [int(cut) for cut in cuts if cut > self.watermark_us]

    def _below(self, boundary_us: int) -> pa.RecordBatch:
        """Take what lies below the boundary out of the pending rows, sorted."""
        ready: list[pa.RecordBatch] = []
        kept: list[pa.RecordBatch] = []
        for batch in self._pending:
            below = times_of(batch) < boundary_us
            count = int(below.sum())
            if count == batch.num_rows:
                ready.append(batch)
            elif count == 0:
                kept.append(batch)
            elif below[:count].all():
                ready.append(batch.slice(0, count))
                kept.append(_lean(batch.slice(count)))
            else:
                # filter copies, so that what is kept does not hold on to what is gone
                ready.append(batch.filter(pa.array(below)))
                kept.append(batch.filter(pa.array(~below)))
        self._pending = kept
        if not ready:
            return pa.RecordBatch.from_pylist([], schema=self._schema)
        ready.sort(key=lambda batch: int(times_of(batch)[0]))
        return in_order(concat(ready))
