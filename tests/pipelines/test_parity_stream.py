"""The real stages by state and timer, played as a stream, give what a replay gives; late rows are marked."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import apache_beam as beam
import pyarrow as pa
import pyarrow.compute as pc
import pytest
from apache_beam.options.pipeline_options import PipelineOptions
from apache_beam.runners.direct.direct_runner import BundleBasedDirectRunner
from apache_beam.testing.test_stream import TestStream as Played  # pytest would collect Test*
from apache_beam.testing.util import assert_that
from apache_beam.transforms.window import TimestampedValue
from apache_beam.utils.timestamp import Timestamp

from detectors.local import Stage, run_local
from detectors.model import Model
from detectors.order import concat, in_order, with_at
from detectors.timeline import END, Timeline
from pipelines import coders
from pipelines.coders import RecordBatchCoder
from pipelines.graph import CALLER_KEY, FUNCTION_KEY
from pipelines.sources.files import expand, read
from pipelines.steps import shard
from pipelines.timeline_dofn import OrderedTimelines
from pipelines.workflows import plan_for
from tests.conftest import Tenant
from tests.detectors.rows import rows

coders.register()

Check = Callable[[list[pa.RecordBatch]], None]

MINUTE = 60_000_000
#: longer than any story waits for its next event
DAY = 24 * 60 * MINUTE
#: a stretch of the day, small because each firing of a timer writes all state
ROWS = 40
#: how often the watermark moves while stories end
STEPS = 80


@pytest.fixture(scope="module")
def calls(tenant: Tenant) -> pa.RecordBatch:
    """A stretch of the replayed day with trouble in it, in order."""
    pieces = [with_at(piece.rows) for ref in expand([str(tenant.replay)]) for piece in read(ref)]
    day = in_order(concat(pieces))
    return day.slice(day.num_rows // 2, ROWS)


@pytest.fixture(scope="module")
def stages(model: Model) -> dict[str, Stage]:
    plan = plan_for(model, 20.0)
    assert plan.incident is not None
    return {
        # without what was seen in training, since all of it would be written at each firing
        "function": Stage("function", FUNCTION_KEY, replace(plan.function, state=None)),
        "caller": Stage("caller", CALLER_KEY, replace(plan.caller, state=None)),
        "incident": Stage("incident", (), plan.incident),
    }


def known(batches: Sequence[pa.RecordBatch]) -> list[str]:
    """Rows as text, in an order of their own: equal only where every bit is."""
    return sorted(repr(row) for batch in batches for row in batch.to_pylist())


def replayed(batch: pa.RecordBatch, stage: Stage) -> tuple[list[pa.RecordBatch], list[pa.RecordBatch]]:
    timeline = Timeline(stage.folds.make(0, 1))
    timeline.push(batch)
    return timeline.advance(END), timeline.take_raised()


def silences(raised: Sequence[pa.RecordBatch], until: int) -> list[tuple[int, str]]:
    """When and where there was silence; what comes after the logs only a clock can tell, and replays have none."""
    rows = [row for batch in raised for row in batch.to_pylist() if row["signal"] == "silence"]
    return sorted((row["at"], row["invocation_id"]) for row in rows if row["at"] <= until)


def closed(raised: Sequence[pa.RecordBatch]) -> list[str]:
    return sorted(repr(row) for batch in raised for row in batch.to_pylist() if row["closed"])


def stream(batches: Sequence[pa.RecordBatch], marks: Sequence[int], until_us: int = 0) -> Played:
    """Each batch, then the watermark behind it; then on for ``until_us`` without rows."""
    played = Played(coder=RecordBatchCoder())
    reached = whole(0)

    def advance(mark: int) -> None:
        nonlocal played, reached
        # this runner refuses a watermark that stands still
        if whole(mark) > reached:
            reached = whole(mark)
            played = played.advance_watermark_to(reached)

    for batch, mark in zip(batches, marks, strict=True):
        first = min(batch["at"].to_pylist())
        played = played.add_elements([TimestampedValue(batch, whole(first))])
        advance(mark)
    # a step for each story's end: this runner fires a timer once each time the watermark moves
    for mark in range(marks[-1] + MINUTE, marks[-1] + until_us, until_us // STEPS if until_us else 1):
        advance(mark)
    return played.advance_watermark_to_infinity()


def whole(us: int) -> Timestamp:
    """The millisecond before, since this runner's test stream knows no finer times."""
    return Timestamp(micros=us // 1_000 * 1_000)


def play(
    source: Played, stage: Stage, shards: int, given: Callable[[Any], None], raised: Callable[[Any], None]
) -> None:
    """One stage by state and timer; one, because this runner lets the watermark pass timers that have not fired."""
    with beam.Pipeline(runner=BundleBasedDirectRunner(), options=PipelineOptions(["--streaming"])) as pipeline:
        batches = pipeline | source.with_output_types(pa.RecordBatch)
        out = batches | shard(stage.key, shards, None) | OrderedTimelines(stage, shards, streaming=True)
        assert_that(out.rows, given, label="given")
        assert_that(out.raised, raised, label="raised")


def is_known(expected: list[str]) -> Check:
    def check(batches: list[pa.RecordBatch]) -> None:
        assert known(batches) == expected

    return check


def pieces_of(batch: pa.RecordBatch, count: int) -> list[pa.RecordBatch]:
    size = -(-batch.num_rows // count)
    return [batch.slice(start, size) for start in range(0, batch.num_rows, size)]


def behind(pieces: Sequence[pa.RecordBatch]) -> list[int]:
    """Behind each piece a watermark below all that is still to come."""
    first = [min(piece["at"].to_pylist()) for piece in pieces]
    last = max(at for piece in pieces for at in piece["at"].to_pylist())
    return [min(first[number + 1 :], default=last + MINUTE) for number in range(len(pieces))]


def within_lateness(batch: pa.RecordBatch, minutes: int, seed: int) -> pa.RecordBatch:
    """Rows as a slow export brings them: each up to so many minutes after its time."""
    generator = random.Random(seed)
    arrival = [at + generator.randrange(minutes * MINUTE) for at in batch["at"].to_pylist()]
    return batch.take(pa.array(sorted(range(batch.num_rows), key=arrival.__getitem__)))


def test_functions_in_a_stream_out_of_order_give_what_they_give_in_a_replay(
    calls: pa.RecordBatch, stages: dict[str, Stage]
) -> None:
    given, told = replayed(calls, stages["function"])
    until = calls["at"][-1].as_py()

    def silent(batches: list[pa.RecordBatch]) -> None:
        assert silences(batches, until) == silences(told, until)

    arriving = pieces_of(within_lateness(calls, 5, 4), 3)
    play(stream(arriving, behind(arriving)), stages["function"], 3, is_known(known(given)), silent)


def test_callers_in_a_stream_give_what_they_give_in_a_replay(calls: pa.RecordBatch, stages: dict[str, Stage]) -> None:
    featured, _, _ = run_local([calls], [stages["function"]])
    assert featured is not None
    given, strange = replayed(featured, stages["caller"])
    assert len(known(strange)) > 0
    arriving = pieces_of(within_lateness(featured, 5, 7), 3)
    play(stream(arriving, behind(arriving)), stages["caller"], 3, is_known(known(given)), is_known(known(strange)))


def test_incidents_in_a_stream_are_those_of_a_replay(calls: pa.RecordBatch, stages: dict[str, Stage]) -> None:
    _, raised, _ = run_local([calls], [stages["function"], stages["caller"]])
    evidence = in_order(concat([batch.filter(pc.is_null(batch["signal"])) for batch in raised]))
    given, told = replayed(evidence, stages["incident"])
    expected = closed(told)
    assert len(expected) > 0

    def ended(batches: list[pa.RecordBatch]) -> None:
        assert closed(batches) == expected

    arriving = pieces_of(within_lateness(evidence, 5, 9), 3)
    play(stream(arriving, behind(arriving), DAY), stages["incident"], 1, is_known(known(given)), ended)


def test_in_order_a_late_batch_is_judged_and_marked_and_the_rest_is_as_in_a_replay(
    calls: pa.RecordBatch, stages: dict[str, Stage]
) -> None:
    stage = stages["function"]
    expected = known(replayed(calls, stage)[0])
    late = rows(
        [{"invocation_id": "late", "app": "late-app", "function": "Late", "caller": "address:late"}],
        calls["at"][0].as_py(),
    )
    first, second = pieces_of(calls, 2)
    end = calls["at"][-1].as_py()
    marks = [second["at"][0].as_py(), end + MINUTE, end + 2 * MINUTE]

    def check(batches: list[pa.RecordBatch]) -> None:
        found = [row for batch in batches for row in batch.to_pylist()]
        assert [row["invocation_id"] for row in found if row["late"]] == ["late"]
        assert sorted(repr(row) for row in found if not row["late"]) == expected

    play(stream([first, second, late], marks), stage, 2, check, lambda raised: None)
