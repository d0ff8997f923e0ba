"""The whole graph over files: the same verdicts to the bit, whatever the files, batches, shards and threads."""

from __future__ import annotations

import json
import random
from dataclasses import replace
from pathlib import Path
from typing import Any

import apache_beam as beam
import orjson
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from detectors.schema import INVOCATION
from models.errors import InputError
from pipelines import coders, lanes, spool, timeline_dofn
from pipelines.graph import Plan, judge
from pipelines.jobs import local_options, run_bounded
from pipelines.read_parts import deal
from pipelines.sources.files import FileRef
from pipelines.steps import read_files
from tests.detectors.rows import SECOND, rows
from tests.pipelines.toys import Callers, Functions, OneIncidents, ToyReader

PLAN = Plan(Functions(), Callers(), OneIncidents())


def tenant(count: int = 900) -> list[dict[str, Any]]:
    """Calls with copies, details and beginnings among them, and some that can't be read."""
    generator = random.Random(5)
    records: list[dict[str, Any]] = []
    for i in range(count):
        start = i * 3 * SECOND
        one = {
            "event_time": start,
            "invocation_id": f"id-{i}",
            "function": f"f{generator.randrange(7)}",
            "caller": f"address:192.0.2.{generator.randrange(9)}",
            "duration_ms": generator.choice([None, 5.0, 60_000.0]),
        }
        records.append(one)
        if i % 10 == 0:
            records.append({**one, "sdk_version": "azurefunctions: 4"})
        if i % 15 == 0:
            records.append({**one, "record": "trace", "dequeue_count": i, "duration_ms": None})
        if i % 20 == 0:
            records.append({**one, "record": "started", "duration_ms": None, "invocation_id": f"begun-{i}"})
        if i % 50 == 0:
            records.append({**one, "function": "broken"})
    return records


def write(folder: Path, records: list[dict[str, Any]], files: int) -> list[FileRef]:
    folder.mkdir(exist_ok=True)
    refs = []
    for number in range(files):
        path = folder / f"logs-{number}.parquet"
        batch = rows(records[number::files]).select(INVOCATION.names)
        pq.write_table(pa.Table.from_batches([batch]), path)
        refs.append(FileRef(str(path), "parquet"))
    return refs


def outcome(output: Path) -> tuple[list[dict[str, Any]], list[dict[str, Any]], dict[str, Any]]:
    verdicts = pq.read_table(output / "verdicts").sort_by([("event_time", "ascending"), ("invocation_id", "ascending")])
    incidents = [orjson.loads(line) for line in (output / "incidents.ndjson").read_bytes().splitlines()]
    run = json.loads((output / "run.json").read_text())
    del run["seconds"], run["events_per_second"]
    return verdicts.to_pylist(), incidents, run


@pytest.fixture(scope="module")
def expected(tmp_path_factory):
    folder = tmp_path_factory.mktemp("expected")
    refs = write(folder / "logs", tenant(), 1)
    run_bounded(refs, PLAN, folder / "out", reader=ToyReader(), verdicts="all", workers=1)
    return outcome(folder / "out")


def test_every_record_is_accounted_for(expected):
    verdicts, incidents, run = expected
    assert run["read"] == run["scored"] + run["dead_letter"] + run["duplicates"]
    assert run["read"] == 900 + 90 + 45 + 18
    assert (run["scored"], run["dead_letter"], run["duplicates"]) == (945, 18, 90)
    assert (run["details"], run["details_joined"], run["started_only"]) == (60, 60, 45)
    assert len(verdicts) == run["scored"] == run["told_function_history"] == run["told_caller_history"]
    assert run["incidents"] == len(incidents) > 100


@pytest.mark.parametrize(
    ("files", "shuffled", "batch_rows", "shards", "workers"),
    [(1, True, 64, 8, 1), (3, False, 1_000, 1, 2), (5, True, 7, 3, 2)],
    ids=["rows shuffled", "few files, one shard, two threads", "shuffled files, small batches, three shards"],
)
def test_the_way_of_the_input_does_not_matter(
    tmp_path, monkeypatch, expected, files, shuffled, batch_rows, shards, workers
):
    records = tenant()
    if shuffled:
        random.Random(files).shuffle(records)
    refs = write(tmp_path / "logs", records, files)
    random.Random(2).shuffle(refs)
    # runs, chunks and slices far smaller than the input, so that many are merged
    monkeypatch.setattr(spool, "RUN_ROWS", 200)
    monkeypatch.setattr(spool, "CHUNK_ROWS", 11)
    monkeypatch.setattr(spool, "SLICE_ROWS", 50)
    plan = Plan(Functions(), Callers(), OneIncidents(), shards=shards)
    run_bounded(refs, plan, tmp_path / "out", reader=ToyReader(batch_rows), verdicts="all", workers=workers)
    assert outcome(tmp_path / "out") == expected


def test_only_the_anomalous_are_written_unless_all_are_asked_for(tmp_path, expected):
    refs = write(tmp_path / "logs", tenant(), 1)
    run_bounded(refs, PLAN, tmp_path / "out", reader=ToyReader(), workers=1)
    verdicts, _, _ = outcome(tmp_path / "out")
    assert verdicts == [verdict for verdict in expected[0] if verdict["anomalous"]]


def test_dead_letters_are_lines_with_place_and_reason(tmp_path):
    refs = write(tmp_path / "logs", tenant(60), 1)
    run_bounded(refs, PLAN, tmp_path / "out", reader=ToyReader(), workers=1)
    lines = [line for path in (tmp_path / "out" / "dead-letter").iterdir() for line in path.read_text().splitlines()]
    letters = [json.loads(line) for line in lines]
    assert [letter["error"] for letter in letters] == ["broken", "broken"]
    assert set(letters[0]) == {"source", "position", "error", "raw"}


def test_a_new_run_replaces_the_results_of_the_old_and_leaves_nothing_else(tmp_path):
    refs = write(tmp_path / "logs", tenant(60), 1)
    for _ in range(2):
        run_bounded(refs, PLAN, tmp_path / "out", reader=ToyReader(), workers=1)
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == [
        "dead-letter", "incidents.ndjson", "run.json", "verdicts",
    ]  # fmt: skip
    assert len(list((tmp_path / "out" / "verdicts").iterdir())) == 1


class Interrupting(ToyReader):
    def read(self, ref):
        yield from list(super().read(ref))[:1]
        raise KeyboardInterrupt


def test_an_interrupted_run_leaves_the_results_of_the_one_before(tmp_path):
    refs = write(tmp_path / "logs", tenant(60), 1)
    run_bounded(refs, PLAN, tmp_path / "out", reader=ToyReader(), workers=1)
    before = outcome(tmp_path / "out")
    with pytest.raises((KeyboardInterrupt, RuntimeError)):
        run_bounded(refs, PLAN, tmp_path / "out", reader=Interrupting(), workers=1)
    assert outcome(tmp_path / "out") == before
    assert not [path for path in (tmp_path / "out").iterdir() if path.name.startswith(".")]


def test_an_output_that_is_a_file_is_refused(tmp_path):
    (tmp_path / "out").write_text("")
    with pytest.raises(InputError, match="folder"):
        run_bounded([], PLAN, tmp_path / "out")


def test_progress_is_told_to_the_end(tmp_path):
    told = []
    refs = write(tmp_path / "logs", tenant(60), 2)

    def note(stage, done, total=None, unit=""):
        told.append((stage, done, total))

    run_bounded(refs, PLAN, tmp_path / "out", reader=ToyReader(), workers=1, progress=note)
    assert ("reading logs", 2, 2) in told


def test_files_are_dealt_so_that_lanes_carry_alike(tmp_path):
    refs = []
    for number, size in enumerate([10, 50, 20, 70, 40]):
        path = tmp_path / f"{number}"
        path.write_bytes(b"x" * size)
        refs.append(FileRef(str(path), "json"))
    load = {0: 0, 1: 0}
    for lane, ref in deal(refs, 2):
        load[lane] += Path(ref.path).stat().st_size
    assert load == {0: 100, 1: 90} or load == {0: 90, 1: 100}


def test_what_was_sent_to_a_stage_is_gone_from_the_disk_once_the_next_begins(tmp_path, monkeypatch):
    removed = []

    def discard(folder: str) -> None:
        removed.append(Path(folder).name)
        spool.discard(folder).join()
        assert not Path(folder).exists()

    monkeypatch.setattr(timeline_dofn, "discard", discard)
    refs = write(tmp_path / "logs", tenant(), 3)
    result = run_bounded(refs, PLAN, tmp_path / "out", reader=ToyReader())
    assert result.run["scored"]
    assert sorted(set(removed)) == ["caller", "function"]


def test_memory_that_a_stage_took_is_given_back_before_the_next(tmp_path, monkeypatch):
    began = []
    monkeypatch.setattr(lanes, "given_back", lambda: began.append("timelines"))
    monkeypatch.setattr(timeline_dofn, "given_back", lambda: began.append("spent"))
    refs = write(tmp_path / "logs", tenant(), 3)
    assert run_bounded(refs, PLAN, tmp_path / "out", reader=ToyReader(), workers=2).run["scored"]
    # before function and caller timelines; and, where the spool of the stage before goes, before callers and incidents
    assert began.count("timelines") == 2
    assert began.count("spent") >= 2


def test_nothing_that_stays_in_a_worker_is_written_to_count_its_bytes(tmp_path, monkeypatch):
    written = []

    def written_batch(batch: pa.RecordBatch) -> bytes:
        written.append(batch.num_rows)
        return coders.encode_batch(batch)

    class Watched(coders.RecordBatchCoder):
        def encode(self, value: pa.RecordBatch) -> bytes:
            return written_batch(value)

    monkeypatch.setattr(coders, "RecordBatchCoder", Watched)
    coders.register()
    try:
        refs = write(tmp_path / "logs", tenant(), 3)
        assert run_bounded(refs, PLAN, tmp_path / "out", reader=ToyReader(), workers=1).run["scored"]
    finally:
        monkeypatch.undo()
        coders.register()
    assert written == []


def test_beam_knows_of_each_output_what_it_is(tmp_path):
    pipeline = beam.Pipeline(options=local_options([], 1))
    files = pipeline | beam.Create([(0, FileRef("logs", "parquet"))]) | beam.GroupByKey()
    read = files | read_files(ToyReader(), "run")
    judged = judge(read.rows, replace(PLAN, spool=str(tmp_path), lanes=2))
    outputs = {
        "dead": read.dead,
        "incidents": judged.incidents,
        "verdicts": judged.verdicts[0],
        "others": judged.verdicts[1],
    }
    assert {name: found.element_type for name, found in outputs.items()} == dict.fromkeys(outputs, pa.RecordBatch)
