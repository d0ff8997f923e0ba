"""The real stages over simulated logs: the same verdicts, scores, incidents and ids to the bit, whatever the way."""

from __future__ import annotations

import json
import random
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import orjson
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

from detectors.expectations import part_suppressed
from detectors.local import Stage, run_local
from detectors.model import Model
from detectors.order import concat, in_order, with_at
from detectors.schema import VERDICT
from detectors.timeline import END, Timeline
from pipelines import spool
from pipelines.graph import CALLER_KEY, FUNCTION_KEY, Plan
from pipelines.jobs import run_bounded
from pipelines.sources import json_files, parquet_files
from pipelines.sources.files import expand, parts, read
from pipelines.workflows import plan_for
from tests.conftest import Tenant, once

#: generous, so that a small day has many incidents
BUDGET = 5.0
#: "in-memory": asked for by name, the runner gets its rows inside the messages, as on a cluster
BY_NAME = ("--runner=apache_beam.runners.portability.fn_api_runner.FnApiRunner",)
GARBAGE = ["{not json", '{"time": "2026-06-09T10:00:00Z"}', "\x00\x01\x02"]


class Outcome(NamedTuple):
    """What a run found, in an order of its own."""

    verdicts: pa.Table
    incidents: list[dict[str, Any]]


def arranged(verdicts: pa.Table, incidents: Sequence[dict[str, Any]]) -> Outcome:
    verdicts = verdicts.select(VERDICT.names).cast(VERDICT)
    ordered = verdicts.sort_by([("event_time", "ascending"), ("invocation_id", "ascending")]).combine_chunks()
    return Outcome(ordered, sorted(incidents, key=lambda incident: incident["incident_id"]))


def told(output: Path) -> tuple[Outcome, dict[str, Any]]:
    incidents = [orjson.loads(line) for line in (output / "incidents.ndjson").read_bytes().splitlines()]
    run = json.loads((output / "run.json").read_text())
    del run["seconds"], run["events_per_second"]
    return arranged(pq.read_table(output / "verdicts"), incidents), run


def beam(inputs: Path, output: Path, plan: Plan, **options: Any) -> tuple[Outcome, dict[str, Any]]:
    run_bounded(expand([str(inputs)]), plan, output, verdicts="all", **options)
    return told(output)


def local(batches: Sequence[pa.RecordBatch], plan: Plan, shards: int = 1, marks: Any = None) -> Outcome:
    """The three timelines without Beam."""
    stages = [Stage("function", FUNCTION_KEY, plan.function), Stage("caller", CALLER_KEY, plan.caller)]
    quiet, raised, _ = run_local(batches, stages, shards, marks)
    assert plan.incident is not None
    timeline = Timeline(plan.incident.make(0, 1))
    for batch in raised:
        timeline.push(batch)
    given = [*([] if quiet is None else [quiet]), *timeline.advance(END)]
    closed = [row for batch in timeline.take_raised() for row in batch.to_pylist() if row["closed"]]
    incidents, _ = part_suppressed(closed)
    written = [orjson.loads(orjson.dumps(row, option=orjson.OPT_UTC_Z)) for row in incidents]
    return arranged(pa.Table.from_batches(given), written)


def same(found: Outcome, expected: Outcome) -> None:
    assert found.verdicts.equals(expected.verdicts)
    assert found.incidents == expected.incidents


@pytest.fixture(scope="module")
def plan(model: Model) -> Plan:
    return plan_for(model, BUDGET)


@pytest.fixture(scope="module")
def batches(tenant: Tenant) -> list[pa.RecordBatch]:
    return [with_at(piece.rows) for ref in expand([str(tenant.replay)]) for piece in read(ref)]


@pytest.fixture(scope="module")
def replayed(shared_folder: Path, tenant: Tenant, plan: Plan) -> tuple[Outcome, dict[str, Any]]:
    """The plain way: files as they are, through Beam."""
    return told(once(shared_folder / "replayed", lambda folder: beam(tenant.replay, folder, plan)))


def shuffled(folder: Path, target: Path, files: int) -> Counter[str]:
    """The day's rows in any order over many files, with copies and garbage among them; what was added."""
    generator = np.random.default_rng(files)
    added: Counter[str] = Counter()
    for number, path in enumerate(sorted(folder.rglob("*.parquet"))):
        table = pq.read_table(path)
        again = table.take(pa.array(generator.choice(table.num_rows, table.num_rows // 20, replace=False)))
        if path.parent == folder:
            added["duplicates"] += again.num_rows
        whole = pa.concat_tables([table, again]).combine_chunks()
        whole = whole.take(pa.array(generator.permutation(whole.num_rows)))
        size = -(-whole.num_rows // files)
        for part in range(files):
            # names in an order that is not that of time
            name = f"{generator.integers(10**9):09d}-{number}-{part}.parquet"
            target.mkdir(parents=True, exist_ok=True)
            pq.write_table(whole.slice(part * size, size), target / name)
    (target / "5-garbage.ndjson").write_text("\n".join(GARBAGE))
    added["dead_letter"] += len(GARBAGE)
    return added


def test_every_record_is_scored_or_a_dead_letter_or_a_duplicate(replayed: tuple[Outcome, dict[str, Any]]) -> None:
    outcome, run = replayed
    assert run["read"] == run["scored"] + run["dead_letter"] + run["duplicates"]
    assert outcome.verdicts.num_rows == run["scored"] > 5_000
    assert run["incidents"] == len(outcome.incidents) > 5


def test_every_invocation_comes_back_as_exactly_one_verdict(
    replayed: tuple[Outcome, dict[str, Any]], batches: list[pa.RecordBatch]
) -> None:
    verdicts = replayed[0].verdicts["invocation_id"].to_pylist()
    assert len(verdicts) == len(set(verdicts))
    invocations = [batch.filter(pc.equal(batch["record"], "invocation")) for batch in batches]
    assert set(verdicts) == {name for batch in invocations for name in batch["invocation_id"].to_pylist()}


def test_the_invocations_of_an_incident_are_its_verdicts(replayed: tuple[Outcome, dict[str, Any]]) -> None:
    verdicts, incidents = replayed[0]
    strange = verdicts.filter(verdicts["anomalous"])
    assert strange["incident_id"].null_count == 0
    assert verdicts.filter(pc.invert(verdicts["anomalous"]))["incident_id"].null_count == verdicts.num_rows - len(
        strange
    )
    named: dict[str, list[str]] = {incident["incident_id"]: [] for incident in incidents}
    for row in strange.select(["incident_id", "invocation_id"]).to_pylist():
        named[row["incident_id"]].append(row["invocation_id"])
    for incident in incidents:
        listed, own = incident["invocation_ids"], named[incident["incident_id"]]
        assert len(listed) == min(len(own), 1_000)
        assert set(listed) <= set(own)
        assert len(own) == incident["invocations"]


def test_a_plain_call_gives_what_beam_gives(
    replayed: tuple[Outcome, dict[str, Any]], batches: list[pa.RecordBatch], plan: Plan
) -> None:
    same(local(batches, plan), replayed[0])


@pytest.mark.parametrize("shards", [3, 8])
def test_the_number_of_shards_does_not_matter(
    replayed: tuple[Outcome, dict[str, Any]], batches: list[pa.RecordBatch], plan: Plan, shards: int
) -> None:
    same(local(batches, plan, shards), replayed[0])


@pytest.mark.parametrize("rows", [400, 3_000])
def test_slices_of_the_timeline_do_not_matter(
    replayed: tuple[Outcome, dict[str, Any]], batches: list[pa.RecordBatch], plan: Plan, rows: int
) -> None:
    whole = in_order(concat(batches))
    slices = [whole.slice(start, rows) for start in range(0, whole.num_rows, rows)]
    marks = [*(later["at"][0].as_py() for later in slices[1:]), END]
    same(local(slices, plan, 2, marks), replayed[0])


def test_shuffled_rows_in_other_files_with_copies_and_garbage_change_nothing_but_the_account(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    tenant: Tenant,
    plan: Plan,
    replayed: tuple[Outcome, dict[str, Any]],
) -> None:
    added = shuffled(tenant.replay, tmp_path / "logs", 4)
    # runs, chunks and slices far smaller than the input, so that many are merged
    monkeypatch.setattr(spool, "RUN_ROWS", 3_000)
    monkeypatch.setattr(spool, "CHUNK_ROWS", 101)
    monkeypatch.setattr(spool, "SLICE_ROWS", 2_000)
    found, run = beam(tmp_path / "logs", tmp_path / "out", replace(plan, shards=3))
    expected, account = replayed
    same(found, expected)
    assert {name: run[name] - account[name] for name in ("duplicates", "dead_letter")} == added
    assert run["scored"] == account["scored"]
    assert run["read"] == run["scored"] + run["dead_letter"] + run["duplicates"]
    letters = [line for part in (tmp_path / "out" / "dead-letter").iterdir() for line in part.read_text().splitlines()]
    assert len(letters) == run["dead_letter"]


def test_rows_inside_messages_give_what_spooled_rows_give(
    tmp_path: Path, tenant: Tenant, plan: Plan, replayed: tuple[Outcome, dict[str, Any]]
) -> None:
    found, run = beam(tenant.replay, tmp_path / "out", replace(plan, shards=1), beam_args=BY_NAME)
    same(found, replayed[0])
    assert run == replayed[1]


def test_any_order_of_arrival_gives_the_same(
    replayed: tuple[Outcome, dict[str, Any]], batches: list[pa.RecordBatch], plan: Plan
) -> None:
    whole = concat(batches)
    order = list(range(whole.num_rows))
    random.Random(8).shuffle(order)
    mixed = whole.take(pa.array(order))
    pieces = [mixed.slice(start, 977) for start in range(0, mixed.num_rows, 977)]
    same(local(pieces, plan, 3), replayed[0])


@pytest.mark.parametrize("form", ["parquet", "lines"])
def test_large_files_read_in_parts_give_what_whole_files_give(
    form: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    tenant: Tenant,
    plan: Plan,
    replayed: tuple[Outcome, dict[str, Any]],
) -> None:
    # parts far smaller than the input, so that there are many
    monkeypatch.setattr(parquet_files, "PART_ROWS", 700)
    monkeypatch.setattr(json_files, "PART_BYTES", 500_000)
    monkeypatch.setattr(json_files, "BLOCK_BYTES", 200_000)
    for number, path in enumerate(sorted(tenant.replay.rglob("*.parquet"))):
        table = pq.read_table(path)
        target = tmp_path / "logs" / f"{number}.{form}"
        target.parent.mkdir(exist_ok=True)
        if form == "parquet":
            pq.write_table(table, target, row_group_size=300)
        else:
            rows = (orjson.dumps(row, option=orjson.OPT_UTC_Z) for row in table.to_pylist())
            target.write_bytes(b"\n".join(rows) + b"\n")
    refs = expand([str(tmp_path / "logs")])
    assert sum(len(parts(ref)) for ref in refs) > 2 * len(refs)
    found, run = beam(tmp_path / "logs", tmp_path / "out", plan)
    same(found, replayed[0])
    assert run == replayed[1]
