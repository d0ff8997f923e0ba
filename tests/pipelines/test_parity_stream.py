"""The graph over messages gives what a replay gives, to the bit; late rows are marked."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import apache_beam as beam
import pyarrow as pa
import pytest
from apache_beam.options.pipeline_options import PipelineOptions
from apache_beam.testing.util import assert_that

from detectors.local import Stage, run_local
from detectors.model import Model
from detectors.order import concat, in_order, with_at
from detectors.timeline import END, START
from pipelines import coders, graph
from pipelines.graph import CALLER_KEY, FUNCTION_KEY, Plan
from pipelines.messages import Message
from pipelines.sources.files import expand, read
from pipelines.workflows import plan_for
from tests.conftest import Tenant
from tests.detectors.rows import rows
from tests.pipelines.live import canonical

coders.register()

MINUTE = 60_000_000
#: a stretch of the day
ROWS = 600


@pytest.fixture(scope="module")
def calls(tenant: Tenant) -> pa.RecordBatch:
    """A stretch of the replayed day with trouble in it, in order."""
    pieces = [with_at(piece.rows) for ref in expand([str(tenant.replay)]) for piece in read(ref)]
    day = in_order(concat(pieces))
    return day.slice(day.num_rows // 2, ROWS)


@pytest.fixture(scope="module")
def plan(model: Model) -> Plan:
    return plan_for(model, 20.0)


@pytest.fixture(scope="module")
def expected(calls: pa.RecordBatch, plan: Plan) -> tuple[list[dict[str, Any]], list[str]]:
    """Verdicts and closed incidents of a replay."""
    return replayed(calls, plan)


def replayed(calls: pa.RecordBatch, plan: Plan) -> tuple[list[dict[str, Any]], list[str]]:
    assert plan.incident is not None
    stages = [
        Stage(graph.FUNCTION, FUNCTION_KEY, plan.function),
        Stage(graph.CALLER, CALLER_KEY, plan.caller),
    ]
    scored, raised, _ = run_local([calls], stages)
    assert scored is not None
    evidence = concat([batch for batch in raised if batch.num_rows])
    verdicts, incidents, _ = run_local([evidence], [Stage(graph.INCIDENT, (), plan.incident)])
    assert verdicts is not None
    return canonical([scored, verdicts]), closed(incidents)


def closed(raised: Sequence[pa.RecordBatch]) -> list[str]:
    return sorted(repr(row) for batch in raised for row in batch.to_pylist() if row["closed"])


def said(batches: Sequence[pa.RecordBatch], marks: Sequence[int]) -> list[Message]:
    """What a source says: each batch, with the watermark behind it; then that nothing more will come."""
    messages = [Message("s", n, mark, (batch,)) for n, (batch, mark) in enumerate(zip(batches, marks, strict=True))]
    return [*messages, Message("s", len(messages), END)]


def play(messages: list[Message], plan: Plan, check: Any, shards: int = 3) -> None:
    """The whole graph; by the runner for bounded input, since messages need no timers and no watermark of Beam's."""
    options = PipelineOptions(["--runner=apache_beam.runners.portability.fn_api_runner.FnApiRunner"])
    with beam.Pipeline(options=options) as pipeline:
        source = pipeline | beam.Create(messages, reshuffle=False).with_output_types(Message)
        judged = graph.judge(source, replace(plan, origins=("s",), shards=shards))
        verdicts = judged.verdicts | "Verdicts" >> beam.Flatten()
        both = (
            verdicts | "Verdict rows" >> beam.FlatMap(lambda m: [("verdict", b) for b in m.batches]),
            judged.incidents | "Incident rows" >> beam.FlatMap(lambda m: [("incident", b) for b in m.batches]),
        )
        assert_that(both | "Both" >> beam.Flatten(), check)


def gives(expected: tuple[list[dict[str, Any]], list[str]]) -> Any:
    def check(found: list[tuple[str, pa.RecordBatch]]) -> None:
        verdicts = canonical([batch for kind, batch in found if kind == "verdict"])
        assert [repr(row) for row in verdicts] == [repr(row) for row in expected[0]]
        assert closed([batch for kind, batch in found if kind == "incident"]) == expected[1]

    return check


def pieces_of(batch: pa.RecordBatch, count: int) -> list[pa.RecordBatch]:
    size = -(-batch.num_rows // count)
    return [batch.slice(start, size) for start in range(0, batch.num_rows, size)]


def behind(pieces: Sequence[pa.RecordBatch]) -> list[int]:
    """Behind each piece a watermark below all that is still to come."""
    first = [min(piece["at"].to_pylist()) for piece in pieces]
    return [min(first[number + 1 :], default=START) for number in range(len(pieces))]


def within_lateness(batch: pa.RecordBatch, minutes: int, seed: int) -> pa.RecordBatch:
    """Rows as a slow export brings them: each up to so many minutes after its time."""
    generator = random.Random(seed)
    arrival = [at + generator.randrange(minutes * MINUTE) for at in batch["at"].to_pylist()]
    return batch.take(pa.array(sorted(range(batch.num_rows), key=arrival.__getitem__)))


@pytest.mark.parametrize(("pieces", "shards"), [(1, 1), (25, 3)])
def test_in_order(calls, plan, expected, pieces, shards):
    assert len(expected[1]) > 0
    arriving = pieces_of(calls, pieces)
    play(said(arriving, behind(arriving)), plan, gives(expected), shards)


def test_out_of_order_within_the_watermark_and_messages_shuffled_by_the_runner(calls, plan, expected):
    arriving = pieces_of(within_lateness(calls, 5, 4), 20)
    messages = said(arriving, behind(arriving))
    random.Random(2).shuffle(messages)
    play(messages, plan, gives(expected), 2)


def test_shuffled_altogether_while_the_watermark_stands(calls, plan, expected):
    order = random.Random(5).sample(range(calls.num_rows), calls.num_rows)
    arriving = pieces_of(calls.take(pa.array(order)), 10)
    play(said(arriving, [START] * len(arriving)), plan, gives(expected))


def test_a_late_row_is_judged_and_marked_and_the_rest_is_as_in_a_replay(calls, plan, expected):
    late = rows(
        [{"invocation_id": "late", "app": "late-app", "function": "Late", "caller": "address:late"}],
        calls["at"][0].as_py(),
    )
    first, second = pieces_of(calls, 2)
    marks = [second["at"][0].as_py(), calls["at"][-1].as_py() + 1, calls["at"][-1].as_py() + MINUTE]

    def check(found: list[tuple[str, pa.RecordBatch]]) -> None:
        given = [row for kind, batch in found if kind == "verdict" for row in batch.to_pylist()]
        assert [row["invocation_id"] for row in given if row["late"]] == ["late"]
        known = {repr(row) for row in expected[0]}
        rest = canonical(
            [
                batch.filter(pa.array([not m for m in batch["late"].to_pylist()]))
                for kind, batch in found
                if kind == "verdict"
            ]
        )
        assert {repr(row) for row in rest} == known

    play(said([first, second, late], marks), plan, check, 2)
