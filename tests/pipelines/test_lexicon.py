"""Rows with coded names come back from a spool as they were written."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from models.errors import InputError
from pipelines.aside import AsideWriter, recall
from pipelines.lexicon import lexicon, plan_of, shortened
from pipelines.parcels import Spooled
from pipelines.spool import SpoolWriter


def coded(begin: int, rows: int) -> pa.RecordBatch:
    """Rows whose apps are other codes in every batch."""
    number = np.arange(begin, begin + rows)
    apps = pa.array([None if n % 11 == 0 else f"app {n % (3 + begin % 5)}" for n in number]).dictionary_encode()
    fields = [pa.field("at", pa.int64(), nullable=False), ("app", apps.type), ("name", pa.string())]
    columns = [pa.array(number), apps, pa.array([f"row {n}" for n in number])]
    return pa.RecordBatch.from_arrays(columns, schema=pa.schema(fields))


def written(folder: Path, batches: list[pa.RecordBatch]) -> list[Spooled]:
    with SpoolWriter(str(folder), ("app",), 4) as writer:
        found = [part for batch in batches for _, part in writer.add(batch)]
        return found + [part for _, part in writer.flush()]


def rows_of(batches: list[pa.RecordBatch]) -> list[dict[str, object]]:
    return sorted((row for batch in batches for row in batch.to_pylist()), key=lambda row: str(row["at"]))


def test_two_files_of_a_run_share_its_names(tmp_path: Path) -> None:
    first, second = [coded(0, 50), coded(50, 30)], [coded(82, 40)]
    with lexicon(tmp_path):
        parcels = [*written(tmp_path / "function", first), *written(tmp_path / "function", second)]
        loaded = [parcel.load() for parcel in parcels]

        assert rows_of(loaded) == rows_of(first + second)
        dictionaries = {batch["app"].dictionary.buffers()[2].address for batch in loaded}
        assert len(dictionaries) == 1
        assert len(loaded[0]["app"].dictionary) == 5


def test_without_a_lexicon_the_names_themselves_travel(tmp_path: Path) -> None:
    batches = [coded(0, 20), coded(20, 20)]
    loaded = [parcel.load() for parcel in written(tmp_path / "function", batches)]

    assert {str(batch.schema.field("app").type) for batch in loaded} == {"string"}
    assert rows_of(loaded) == rows_of(batches)


def test_names_are_gone_with_their_run(tmp_path: Path) -> None:
    with lexicon(tmp_path):
        parcels = written(tmp_path / "function", [coded(0, 20)])
    with pytest.raises(InputError, match="names of these rows are not here"):
        parcels[0].load()


def test_what_was_left_aside_comes_back_spelled_out(tmp_path: Path) -> None:
    folder = tmp_path / "caller"
    folder.mkdir()
    batch = coded(0, 40)
    with lexicon(tmp_path):
        writer = AsideWriter(str(folder), ("app", "name"))
        kept = writer.put(batch)
        writer.close()
        found = recall(kept.take(pa.array([7, 3, 11, 3])))

    assert found["app"].type == pa.string()
    assert found.to_pylist() == batch.take(pa.array([7, 3, 11, 3])).to_pylist()


def test_rows_without_coded_names_stay_as_they_are(tmp_path: Path) -> None:
    batch = coded(0, 5).select(["at", "name"])
    with lexicon(tmp_path):
        short = shortened(batch, str(tmp_path / "function"))

    assert short is batch
    assert plan_of(short.schema) is None
