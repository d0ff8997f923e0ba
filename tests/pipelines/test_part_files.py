"""Parts of an output: each row once, from snapshot to snapshot, in batches that do not become many."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
from hypothesis import given
from hypothesis import strategies as st

from pipelines.part_files import PART_AGE_S, PartFiles, as_parquet

SCHEMA = pa.schema([("number", pa.int64()), ("word", pa.string())])


def rows(*numbers: int) -> pa.RecordBatch:
    return pa.record_batch([list(numbers), [str(number) for number in numbers]], schema=SCHEMA)


def parts(folder: Path) -> PartFiles:
    return PartFiles(folder, "job", SCHEMA, as_parquet, ".parquet")


@given(steps=st.lists(st.sampled_from(["add", "add", "snapshot", "age", "crash"]), max_size=40))
def test_each_row_stands_in_one_part_whatever_dies_between_two_snapshots(tmp_path_factory, steps):
    folder, number, now_s = tmp_path_factory.mktemp("parts"), 0, 0.0
    writing = parts(folder)
    saved = (*writing.snapshot(), 0)
    for step in steps:
        now_s += 1.0
        if step == "add":
            writing.add(rows(number, number + 1), now_s)
            number += 2
        elif step == "age":
            now_s += PART_AGE_S
        elif step == "snapshot":
            writing.flush(now_s)
            saved = (*writing.snapshot(), number)
        else:
            writing = parts(folder)
            writing.restore(saved[0], saved[1], now_s)
            number = saved[2]
    writing.flush(now_s, whole=True)
    found = pq.read_table(folder, schema=SCHEMA)["number"].to_pylist() if number else []
    assert sorted(found) == list(range(number))


def test_what_waits_lies_in_a_batch_for_each_snapshot(tmp_path):
    writing = parts(tmp_path)
    for number in range(60):
        writing.add(rows(number), 1.0)
        if number % 20 == 19:
            writing.snapshot()
    _, waiting = writing.snapshot()
    assert waiting["number"].to_pylist() == list(range(60))
    assert [batch.num_rows for batch in waiting.to_batches()] == [20, 20, 20]
