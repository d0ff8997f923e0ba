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

from detectors.order import concat, split, with_at
from detectors.schema import VERDICT
from detectors.timeline import END, Timeline
from pipelines.graph import CALLER_KEY, FUNCTION_KEY, SHARDS
from pipelines.sources.files import expand
from pipelines.steps import FileReader
from pipelines.workflows import load_model, plan_for

#: rows that a timeline hands on at once in a replay
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
        rows = _once(logs, models, clock)
    total = sum(clock.spent.values())
    lines = ["| stage | µs an event | share |", "|---|---:|---:|"]
    lines += [f"| {stage} | {s / rows * 1e6:.2f} | {s / total:.0%} |" for stage, s in clock.spent.items()]
    return "\n".join([*lines, f"| all | {total / rows * 1e6:.2f} | {rows / total:,.0f} events per CPU-second |"])


def _once(logs: Path, models: Path, clock: Clock) -> int:
    plan = plan_for(load_model(models), 1.0, strange_only=True)
    reader = FileReader.of(None, plan.columns)
    with clock.of("read, conform"):
        pieces = [piece.rows for ref in expand([str(logs)]) for piece in reader.read(ref)]
    read_rows = [with_at(piece).select(list(plan.columns)) for piece in pieces if piece.num_rows]
    events = sum(piece.num_rows for piece in read_rows)
    with clock.of("shuffle to functions"):
        parts = split(concat(read_rows), FUNCTION_KEY, SHARDS)
    featured = []
    for shard, part in sorted(parts.items()):
        with clock.of("function timelines: collate, features"):
            timeline = Timeline(plan.function.make(shard, SHARDS), slice_rows=SLICE_ROWS)
            timeline.push(part)
            featured += timeline.advance(END)
    with clock.of("shuffle to callers"):
        parts = split(concat(featured), CALLER_KEY, SHARDS)
    raised: list[pa.RecordBatch] = []
    for shard, part in sorted(parts.items()):
        with clock.of("caller timelines: features, score"):
            timeline = Timeline(plan.caller.make(shard, SHARDS), slice_rows=SLICE_ROWS)
            timeline.push(part)
            timeline.advance(END)
            raised += timeline.take_raised()
    verdicts: list[pa.RecordBatch] = []
    if plan.incident is not None and raised:
        with clock.of("incidents"):
            timeline = Timeline(plan.incident.make(0, 1), slice_rows=SLICE_ROWS)
            for batch in raised:
                timeline.push(batch)
            verdicts = timeline.advance(END)
    with clock.of("write"), tempfile.TemporaryDirectory() as folder:
        for number, batch in enumerate(verdicts):
            table = pa.Table.from_batches([batch]).select(VERDICT.names)
            pq.write_table(table, Path(folder) / f"{number}.parquet", compression="zstd", compression_level=1)
    return events
