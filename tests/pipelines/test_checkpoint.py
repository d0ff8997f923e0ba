"""The checkpoint: the old one or the new one, rows that wait written once, damage refused."""

from __future__ import annotations

import errno
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from models.errors import InputError, SinkError
from pipelines import checkpoint, segments
from pipelines.checkpoint import Checkpoints, Saved


def batch(first: int, rows: int = 4) -> pa.RecordBatch:
    return pa.record_batch({"name": [f"r{first + i}" for i in range(rows)], "at": list(range(first, first + rows))})


def tables(*waiting: pa.RecordBatch, state: int = 1) -> dict[str, pa.Table]:
    schema = batch(0).schema
    return {
        "function/0/pending": pa.Table.from_batches(waiting, schema),
        "function/0/fold/x": pa.table({"state": [state]}),
    }


def written(folder: Path) -> set[str]:
    return {path.name for path in folder.glob("rows-*.arrows")}


def again(folder: Path) -> Saved:
    checkpoints = Checkpoints(folder)
    saved = checkpoints.load()
    checkpoints.close()
    assert saved is not None
    return saved


def save(checkpoints: Checkpoints, found: dict[str, pa.Table], **document: Any) -> None:
    checkpoints.save(found, {"cursor": 1, **document})


@pytest.fixture
def checkpoints(tmp_path: Path) -> Checkpoints:
    return Checkpoints(tmp_path)


def test_what_was_saved_comes_back(checkpoints, tmp_path):
    kept = batch(10)
    found = tables(batch(0), kept, kept.slice(1, 2))
    save(checkpoints, found, cursor={"a": [1, 2]})
    checkpoints.close()
    saved = again(tmp_path)
    assert saved.document["cursor"] == {"a": [1, 2]}
    assert {name: table.to_pylist() for name, table in saved.tables.items()} == {
        name: table.to_pylist() for name, table in found.items()
    }


def test_there_is_none_at_first(checkpoints):
    assert checkpoints.load() is None


def test_rows_that_wait_are_written_once_and_their_segment_goes_with_the_last_of_them(checkpoints, tmp_path):
    one, two, three = batch(0), batch(10), batch(20)
    save(checkpoints, tables(one, two))
    assert written(tmp_path) == {"rows-00000001.arrows"}
    before = (tmp_path / "rows-00000001.arrows").stat().st_ino
    save(checkpoints, tables(two, three))
    assert written(tmp_path) == {"rows-00000001.arrows", "rows-00000002.arrows"}
    assert (tmp_path / "rows-00000001.arrows").stat().st_ino == before
    save(checkpoints, tables(three))
    assert written(tmp_path) == {"rows-00000002.arrows"}
    save(checkpoints, tables())
    assert written(tmp_path) == set()
    checkpoints.close()
    assert again(tmp_path).tables["function/0/pending"].num_rows == 0


def test_parts_of_one_batch_are_told_apart(checkpoints, tmp_path):
    whole = batch(0, 10)
    save(checkpoints, tables(whole))
    save(checkpoints, tables(whole.slice(5, 3)))
    checkpoints.close()
    assert again(tmp_path).tables["function/0/pending"].column("at").to_pylist() == [5, 6, 7]


@pytest.mark.parametrize("failing", ["state", "document", "rows"])
def test_a_save_that_fails_leaves_the_old_one_and_the_next_is_whole(checkpoints, tmp_path, monkeypatch, failing):
    one, two, three = batch(0), batch(10), batch(20)
    save(checkpoints, tables(one), cursor=1)
    real = checkpoint.write_atomic
    names = {"state": "state-", "document": "checkpoint.json", "rows": "rows-"}

    def full(path: Path, data: bytes, **more: Any) -> None:
        if path.name.startswith(names[failing]):
            raise OSError(errno.ENOSPC, "No space left on device")
        real(path, data, **more)

    with monkeypatch.context() as patched:
        patched.setattr(checkpoint, "write_atomic", full)
        patched.setattr(segments, "write_atomic", full)
        with pytest.raises(SinkError, match="can't be saved"):
            save(checkpoints, tables(one, two), cursor=2)
        checkpoints.close()
        old = again(tmp_path)
        assert (old.document["cursor"], old.tables["function/0/pending"].num_rows) == (1, 4)
    save(checkpoints, tables(one, two, three), cursor=3)
    new = again(tmp_path)
    assert new.document["cursor"] == 3
    assert new.tables["function/0/pending"].column("at").to_pylist() == [*range(4), *range(10, 14), *range(20, 24)]


@pytest.mark.parametrize("name", ["checkpoint.json", "state-*.arrows", "rows-*.arrows"])
def test_damage_is_refused_with_what_to_do(checkpoints, tmp_path, name):
    save(checkpoints, tables(batch(0)))
    checkpoints.close()
    (path,) = tmp_path.glob(name)
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(bytes(content))
    with pytest.raises(InputError, match="Move the folder away"):
        Checkpoints(tmp_path).load()


def test_a_missing_file_is_refused(checkpoints, tmp_path):
    save(checkpoints, tables(batch(0)))
    next(tmp_path.glob("rows-*.arrows")).unlink()
    with pytest.raises(InputError, match="can't be used"):
        checkpoints.load()
