"""Where the time of a replay goes: CPU time of each stage, one thread, without Beam."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import pyarrow as pa
import pyarrow.parquet as pq

from detectors.conform import ConformOptions
from detectors.order import with_at
from detectors.schema import VERDICT
from detectors.timeline import END, FoldFactory, Timeline
from pipelines.graph import CALLER_KEY, FUNCTION_KEY, SHARDS, aside_of
from pipelines.lexicon import lexicon
from pipelines.memory import reused
from pipelines.parcels import Spooled
from pipelines.sources.files import expand
from pipelines.spool import SpoolWriter, drain
from pipelines.steps import FileReader
from pipelines.workflows import load_model, plan_for

#: rows of incidents at once
SLICE_ROWS: Final = 131_072


class Clock:
    """CPU seconds of this thread by stage."""

    def __init__(self) -> None:
        self.spent: dict[str, float] = {}

    @contextmanager
    def of(self, stage: str) -> Iterator[None]:
        """Count what is done in here."""
        began = time.thread_time()
        yield
        self.spent[stage] = self.spent.get(stage, 0.0) + time.thread_time() - began


def profile(logs: Path, models: Path) -> str:
    """A Markdown table of the stages, after one round that compiles and warms."""
    for _ in range(2):
        clock = Clock()
        with reused():
            rows = _once(logs, models, clock)
    total = sum(clock.spent.values())
    lines = ["| stage | µs an event | share |", "|---|---:|---:|"]
    lines += [f"| {stage} | {s / rows * 1e6:.2f} | {s / total:.0%} |" for stage, s in clock.spent.items()]
    return "\n".join([*lines, f"| all | {total / rows * 1e6:.2f} | {rows / total:,.0f} events per CPU-second |"])


def _once(logs: Path, models: Path, clock: Clock) -> int:
    plan = plan_for(load_model(models), 1.0, strange_only=True, closed_only=True)
    with clock.of("read, conform"):
        reader = FileReader.of(ConformOptions(coded=True), plan.columns)
        pieces = [piece.rows for ref in expand([str(logs)]) for piece in reader.read(ref)]
    rows = [with_at(piece).select(list(plan.columns)) for piece in pieces if piece.num_rows]
    del pieces
    events = sum(piece.num_rows for piece in rows)
    raised: list[pa.RecordBatch] = []
    with tempfile.TemporaryDirectory() as spool, lexicon(spool):
        folder = str(Path(spool) / "stage")
        with clock.of("shuffle to functions"):
            parcels = _spooled(rows, SpoolWriter(folder, FUNCTION_KEY, SHARDS))
        del rows
        with clock.of("function timelines: merge, collate, features"):
            featured = _drained(plan.function, parcels, [])
        with clock.of("shuffle to callers"):
            parcels = _spooled(featured, SpoolWriter(folder, CALLER_KEY, SHARDS, aside_of(plan.caller)))
        del featured
        with clock.of("caller timelines: merge, features, score"):
            _drained(plan.caller, parcels, raised)
        verdicts: list[pa.RecordBatch] = []
        if plan.incident is not None and raised:
            with clock.of("incidents"):
                timeline = Timeline(plan.incident.make(0, 1), slice_rows=SLICE_ROWS)
                for batch in raised:
                    timeline.push(batch)
                verdicts = timeline.advance(END)
        with clock.of("write"):
            for number, batch in enumerate(verdicts):
                table = pa.Table.from_batches([batch]).select(VERDICT.names)
                pq.write_table(table, Path(folder) / f"{number}.parquet", compression="zstd", compression_level=1)
    return events


def _spooled(rows: list[pa.RecordBatch], writer: SpoolWriter) -> list[tuple[int, Spooled]]:
    """Claim checks by shard."""
    with writer:
        return [part for batch in rows for part in writer.add(batch)] + list(writer.flush())


def _drained(
    folds: FoldFactory, parcels: list[tuple[int, Spooled]], raised: list[pa.RecordBatch]
) -> list[pa.RecordBatch]:
    """What the timelines of all shards give; adds what they raise."""
    given: list[pa.RecordBatch] = []
    for shard in range(SHARDS):
        timeline = Timeline(folds.make(shard, SHARDS))
        given += drain(timeline, [parcel for number, parcel in parcels if number == shard])
        raised += timeline.take_raised()
    return given
