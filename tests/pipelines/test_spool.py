"""Runs and slices are bounded in rows and in bytes, so that memory is, however wide the rows."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from detectors.local import Stage
from detectors.timeline import Timeline
from pipelines import spool
from pipelines.parcels import Spooled
from pipelines.spool import SpoolWriter, discard, drain, slices
from pipelines.timeline_dofn import DrainDoFn

ROWS = 400
WIDE = 1_000


class Sizes:
    """A fold that gives what it gets, and notes how much that was."""

    def __init__(self) -> None:
        self.rows: list[int] = []

    def advance(self, rows: pa.RecordBatch, watermark_us: int) -> pa.RecordBatch:
        self.rows.append(rows.num_rows)
        return rows

    def snapshot(self) -> dict[str, pa.Table]:
        return {}

    def restore(self, tables: Any) -> None:
        pass


def wide(first: int, rows: int) -> pa.RecordBatch:
    return pa.record_batch({"at": np.arange(first, first + rows), "evidence": ["x" * WIDE] * rows})


def written(folder: Path) -> tuple[list[int], list[Spooled]]:
    """How many claim checks each batch of ten rows gave, and all of them."""
    with SpoolWriter(str(folder / "made"), (), 1) as writer:
        given = [[check for _, check in writer.add(wide(first, 10))] for first in range(0, ROWS, 10)]
        given.append([check for _, check in writer.flush()])
    return [len(checks) for checks in given], [check for checks in given for check in checks]


def test_rows_that_are_wide_make_short_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(spool, "RUN_BYTES", 50 * WIDE)
    counts, _ = written(tmp_path)
    assert counts[:10] == [0, 0, 0, 0, 1] * 2


def test_rows_that_are_wide_make_short_slices(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(spool, "RUN_BYTES", 20 * WIDE)
    _, checks = written(tmp_path)
    whole, short = Sizes(), Sizes()
    all_rows = list(drain(Timeline(whole), checks))
    monkeypatch.setattr(spool, "SLICE_BYTES", 60 * WIDE)
    in_slices = list(drain(Timeline(short), checks))
    assert whole.rows == [ROWS]
    assert max(short.rows) <= 80
    assert pa.Table.from_batches(in_slices).equals(pa.Table.from_batches(all_rows))


def test_slices_made_ahead_reach_the_fold_as_those_made_in_turn(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(spool, "RUN_BYTES", 20 * WIDE)
    monkeypatch.setattr(spool, "SLICE_BYTES", 60 * WIDE)
    rng = np.random.default_rng(3)
    shuffled = wide(0, ROWS).take(pa.array(rng.permutation(ROWS)))
    with SpoolWriter(str(tmp_path / "made"), (), 1) as writer:
        given = [[check for _, check in writer.add(shuffled.slice(first, 10))] for first in range(0, ROWS, 10)]
        checks = [check for some in given for check in some] + [check for _, check in writer.flush()]
    in_turn, early = Sizes(), Sizes()
    one, other = ([*slices(Timeline(fold), checks, ahead=fold is early)] for fold in (in_turn, early))
    assert len(one) > 3
    assert in_turn.rows == early.rows
    assert [[batch.to_pydict() for batch in part] for part in one] == [
        [batch.to_pydict() for batch in part] for part in other
    ]


def test_what_a_slice_can_not_be_made_of_is_raised_where_it_is_taken(tmp_path: Path) -> None:
    _, checks = written(tmp_path)
    Path(checks[0].path).unlink()
    with pytest.raises(FileNotFoundError):
        list(slices(Timeline(Sizes()), checks, ahead=True))


def test_a_spool_that_nobody_reads_is_removed_whole(tmp_path: Path) -> None:
    written(tmp_path)
    assert list((tmp_path / "made").iterdir())
    discard(str(tmp_path / "made")).join()
    assert not (tmp_path / "made").exists()


class Raises(Sizes):
    """A fold that gives nothing and raises all it gets."""

    def advance(self, rows: pa.RecordBatch, watermark_us: int) -> pa.RecordBatch:
        self.last = super().advance(rows, watermark_us)
        return rows.slice(0, 0)

    def raised(self) -> pa.RecordBatch:
        return self.last


class MakesRaises:
    def make(self, shard: int, shards: int) -> Raises:
        return Raises()


def test_what_is_raised_goes_on_with_its_slice_even_where_nothing_is_given(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(spool, "RUN_BYTES", 20 * WIDE)
    monkeypatch.setattr(spool, "SLICE_BYTES", 60 * WIDE)
    _, checks = written(tmp_path)
    loaded: list[Spooled] = []
    load = Spooled.load
    monkeypatch.setattr(Spooled, "load", lambda check: loaded.append(check) or load(check))
    raised = DrainDoFn(Stage("incident", (), MakesRaises()), 1).process((0, checks))
    first = next(raised)
    assert first.value.num_rows < len(checks) * 10
    assert len(loaded) < len(checks)
    assert first.value.num_rows + sum(one.value.num_rows for one in raised) == ROWS
