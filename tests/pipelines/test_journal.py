"""Frames behind a checkpoint: all that were answered come back, a torn one is cut off, a full disk adds none."""

from __future__ import annotations

import errno
import os
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipelines.journal import Journal, Noted, Step


def rows(first: int, count: int = 3) -> pa.RecordBatch:
    return pa.record_batch({"at": list(range(first, first + count)), "name": [f"n{i}" for i in range(count)]})


def told(noted: Noted) -> list[Any]:
    return [(s.kind, s.watermark_us if s.rows is None else s.rows.to_pylist()) for s in noted.steps]


FRAMES = [
    [Step("rows", rows(0)), Step("watermark", None, 2)],
    [],
    [Step("dead", rows(5, 1)), Step("rows", rows(9, 2)), Step("watermark", None, -7)],
]


def written(path: Path) -> Journal:
    journal = Journal(path)
    for number, frame in enumerate(FRAMES):
        journal.add(frame, {"number": number})
    return journal


def test_all_frames_come_back_in_order_with_the_last_document(tmp_path):
    journal = written(tmp_path / "journal")
    journal.close()
    noted = Journal(tmp_path / "journal").read()
    assert told(noted) == told(Noted([step for frame in FRAMES for step in frame]))
    assert noted.document == {"number": 2}


def test_a_journal_without_a_frame_says_nothing(tmp_path):
    assert Journal(tmp_path / "journal").read() == Noted()


def test_columns_lie_aligned_in_memory(tmp_path):
    journal = written(tmp_path / "journal")
    for step in journal.read().steps:
        if step.rows is not None:
            assert step.rows.column("at").buffers()[1].address % 8 == 0


@given(st.data())
def test_a_torn_tail_is_cut_off_and_frames_are_added_behind_what_is_whole(tmp_path_factory, data):
    path = tmp_path_factory.mktemp("torn") / "journal"
    journal = Journal(path)
    ends = []
    for number, frame in enumerate(FRAMES):
        journal.add(frame, {"number": number})
        ends.append(journal.size)
    journal.close()
    left = data.draw(st.integers(0, ends[-1]))
    os.truncate(path, left)
    whole = sum(end <= left for end in ends)
    again = Journal(path)
    assert told(again.read()) == told(Noted([step for frame in FRAMES[:whole] for step in frame]))
    again.add([Step("watermark", None, 99)], {"number": 99})
    again.close()
    noted = Journal(path).read()
    assert len(noted.steps) == sum(len(frame) for frame in FRAMES[:whole]) + 1
    assert noted.document == {"number": 99}


def test_what_is_damaged_ends_it(tmp_path):
    path = tmp_path / "journal"
    written(path).close()
    content = bytearray(path.read_bytes())
    content[-3] ^= 1
    path.write_bytes(bytes(content))
    assert Journal(path).read().document == {"number": 1}


def test_a_full_disk_adds_nothing_and_the_next_frame_stands_behind_the_last_whole_one(tmp_path, monkeypatch):
    def full(descriptor: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    journal = written(tmp_path / "journal")
    with monkeypatch.context() as patched:
        patched.setattr(os, "fsync", full)
        with pytest.raises(OSError, match="No space"):
            journal.add([Step("rows", rows(50))], {"number": 50})
    journal.add([Step("watermark", None, 60)], {"number": 60})
    noted = Journal(tmp_path / "journal").read()
    assert len(noted.steps) == sum(map(len, FRAMES)) + 1
    assert noted.document == {"number": 60}
