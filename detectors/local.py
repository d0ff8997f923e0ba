"""The same stages without Beam: for notebooks, tests and whoever wants a plain function call."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import pyarrow as pa

from detectors.order import concat, in_order, split
from detectors.timeline import (
    END,
    Fold,
    FoldFactory,
    Tables,
    Timeline,
    counts_of,
    due_of,
    lag_of,
    raised_by,
    renewed_by,
)


@dataclass(frozen=True)
class Stage:
    """One ordered timeline in each shard.

    Args:
        name: for people, metrics and saved state.
        key: columns whose hash chooses the shard; empty: one shard for all.
        folds: makes the fold of each shard.
    """

    name: str
    key: tuple[str, ...]
    folds: FoldFactory


class Chain:
    """Folds in one another's wake: what the first gives, the next takes, in the same shard."""

    def __init__(self, *folds: Fold) -> None:
        self._folds = folds
        #: the sum of the lags of its parts
        self.lag_us = sum(lag_of(fold) for fold in folds)

    def advance(self, rows: pa.RecordBatch, watermark_us: int) -> pa.RecordBatch:
        """Rows through all folds, each at the watermark that the one before can vouch for."""
        for fold in self._folds:
            rows = fold.advance(rows, watermark_us)
            watermark_us = watermark_us if watermark_us >= END else watermark_us - lag_of(fold)
        return rows

    def due(self) -> int | None:
        """The earliest of its parts', in terms of the first one's watermark."""
        waiting: list[int] = []
        lag = 0
        for fold in self._folds:
            due = due_of(fold)
            if due is not None:
                waiting.append(due + lag)
            lag += lag_of(fold)
        return min(waiting, default=None)

    def raised(self) -> pa.RecordBatch | None:
        """What the last fold raised; only the last may."""
        return raised_by(self._folds[-1])

    def counts(self) -> dict[str, int]:
        """The counts of all parts; names are theirs and must differ."""
        return {name: count for fold in self._folds for name, count in counts_of(fold).items()}

    def snapshot(self) -> Tables:
        """The tables of all parts, numbered."""
        return {f"{i}/{name}": table for i, fold in enumerate(self._folds) for name, table in fold.snapshot().items()}

    def renewed(self, rows: pa.Table) -> pa.Table:
        """Rows that an earlier version saved on their way to the first fold."""
        return renewed_by(self._folds[0], rows)

    def restore(self, tables: Mapping[str, pa.Table]) -> None:
        """Each part its own."""
        for i, fold in enumerate(self._folds):
            mine = f"{i}/"
            fold.restore({name.removeprefix(mine): table for name, table in tables.items() if name.startswith(mine)})


def run_local(
    batches: Iterable[pa.RecordBatch],
    stages: Sequence[Stage],
    shards: int = 1,
    watermarks_us: Iterable[int] | None = None,
) -> tuple[pa.RecordBatch | None, list[pa.RecordBatch], dict[str, int]]:
    """Run batches through stages.

    Args:
        batches: rows with ``at``, in any order.
        stages: at least one.
        shards: of each stage with a key; never changes the result.
        watermarks_us: the watermark behind each batch, to play a stream; without it, all rows come before any advance.

    Returns:
        what the last stage gave as one batch in order (None where it gave nothing), what it raised, and all counts,
        ``late`` among them.
    """
    timelines = [[Timeline(s.folds.make(n, shards)) for n in range(shards if s.key else 1)] for s in stages]
    given: list[pa.RecordBatch] = []

    def advance(watermark_us: int) -> None:
        for level, row in enumerate(timelines):
            for timeline in row:
                for out in timeline.advance(watermark_us):
                    if level + 1 == len(stages):
                        given.append(out)
                    else:
                        push(level + 1, out)
            watermark_us = watermark_us if watermark_us >= END else watermark_us - lag_of(row[0].fold)

    def push(level: int, batch: pa.RecordBatch) -> None:
        for shard, rows in split(batch, stages[level].key, len(timelines[level])).items():
            timelines[level][shard].push(rows)

    marks = iter(watermarks_us) if watermarks_us is not None else None
    for batch in batches:
        push(0, batch)
        if marks is not None:
            advance(next(marks))
    advance(END)
    counts: dict[str, int] = {"late": sum(t.late for t in timelines[0])}
    for row in timelines:
        for timeline in row:
            for name, count in counts_of(timeline.fold).items():
                counts[name] = counts.get(name, 0) + count
    raised = [batch for row in timelines for timeline in row for batch in timeline.take_raised()]
    return (in_order(concat(given)) if given else None), raised, counts
