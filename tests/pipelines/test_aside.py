"""Columns left aside by a shuffle come back to the very rows that they were taken from."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import pyarrow as pa

from detectors.timeline import Tables, Timeline
from pipelines.aside import AsideWriter, recall
from pipelines.spool import SpoolWriter, drain

COLUMNS = ("name", "weight", "not there")


class Same:
    """Gives what it gets, and can fetch what was left aside."""

    recall: Callable[[pa.RecordBatch], pa.RecordBatch]

    def __init__(self) -> None:
        self.recall = lambda rows: rows

    def advance(self, rows: pa.RecordBatch, watermark_us: int) -> pa.RecordBatch:
        del watermark_us
        return rows

    def snapshot(self) -> Tables:
        return {}

    def restore(self, tables: Mapping[str, pa.Table]) -> None:
        pass


def batch(begin: int, rows: int) -> pa.RecordBatch:
    number = np.arange(begin, begin + rows)
    return pa.record_batch(
        {
            "at": number,
            "caller": pa.array([f"c{n % 5}" for n in number]),
            "name": pa.array([None if n % 7 == 0 else f"row {n}" for n in number]),
            "weight": number * 0.5,
        }
    )


def test_rows_of_several_files_in_any_order_get_their_columns_back(tmp_path: Path):
    first, second = AsideWriter(str(tmp_path), COLUMNS), AsideWriter(str(tmp_path), COLUMNS)
    kept = [first.put(batch(0, 100)), second.put(batch(100, 50)), first.put(batch(150, 30))]
    first.close()
    second.close()
    assert set(kept[0].schema.names) == {"at", "caller", "aside", "aside_row"}
    rng = np.random.default_rng(0)
    whole = pa.Table.from_batches(kept).combine_chunks().to_batches()[0]
    some = rng.permutation(180)[:60]
    # a row may be asked for twice
    some = np.concatenate([some, some[:3]])
    found = recall(whole.take(pa.array(some)))
    expected = batch(0, 180).take(pa.array(some))
    assert found.select(["at", "caller", "name", "weight"]).to_pydict() == expected.to_pydict()


def test_rows_that_left_nothing_aside_are_as_they_are():
    rows = batch(0, 3)
    assert recall(rows) is rows


def test_a_timeline_fetches_what_the_spool_left_aside(tmp_path: Path):
    with SpoolWriter(str(tmp_path), ("caller",), 3, ("name", "weight")) as writer:
        parcels = [*writer.add(batch(0, 1000)), *writer.add(batch(1000, 500)), *writer.flush()]
    given = []
    for shard in range(3):
        fold = Same()
        for rows in drain(Timeline(fold), [parcel for number, parcel in parcels if number == shard]):
            assert "name" not in rows.schema.names
            given += fold.recall(rows).select(["at", "name", "weight"]).to_pylist()
    expected = batch(0, 1500).select(["at", "name", "weight"]).to_pylist()
    assert sorted(given, key=lambda row: row["at"]) == expected
