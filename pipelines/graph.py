"""The way of an event, on one screen.

    files ─► read ─► to the shard of its function ─► function timeline: one row an invocation, what its function says
               │                                          │ └► silences ─────────────────────────────┐
               └► dead letters                            └► to the shard of its caller ─► caller timeline: score
                                                                                              │          │
                                  verdicts ◄─ incident timeline: what belongs together ◄──────┴──────────┘
                                 incidents ◄──────┘

A timeline sees its rows in the order of their time, whatever the order of arrival. Training, replay and streaming are
this graph with other folds, sources and sinks.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final, NamedTuple

import apache_beam as beam
import pyarrow as pa
import pyarrow.compute as pc

from detectors.local import Stage
from detectors.timeline import FoldFactory
from pipelines.steps import shard
from pipelines.timeline_dofn import OrderedTimelines, trail_of

#: what a function's timeline needs together: all rows of one function
FUNCTION_KEY: Final = ("app", "function")
#: what a caller's timeline needs together: all rows of one caller
CALLER_KEY: Final = ("caller",)
#: bool column of scored rows: False for those that no incident can want, which then skip the incident timeline
CANDIDATE: Final = "candidate"
#: more shards than cores, so that a busy function does not hold up the rest; never changes a result
SHARDS: Final = 8


@dataclass(frozen=True)
class Plan:
    """What varies between training, replay and streaming; plain data.

    Args:
        function: folds of the function timelines; they give one row an invocation and may raise.
        caller: folds of the caller timelines; they give scored rows and may raise.
        incident: the fold of the one incident timeline; takes scored and raised rows, gives verdicts, raises incidents.
            None for training: scored rows are the result then.
        shards: of the first two.
        spool: folder for what is shuffled, where memory is to stay bounded; None: rows travel inside messages.
        streaming: timelines by state and timer; False: by grouping, for input that ends.
    """

    function: FoldFactory
    caller: FoldFactory
    incident: FoldFactory | None = None
    shards: int = SHARDS
    spool: str | None = None
    streaming: bool = False


class Judged(NamedTuple):
    """PCollections of record batches."""

    #: verdicts, or scored rows where the plan has no incident timeline
    verdicts: Any
    #: what the last timeline raised
    incidents: Any


def judge(rows: Any, plan: Plan) -> Judged:
    """Wire rows (batches of INVOCATION with ``at``) to verdicts and incidents."""
    functions = _timelines(rows, "function", FUNCTION_KEY, plan.function, plan)
    behind = trail_of(plan.function, 0) if plan.streaming else 0
    callers = _timelines(functions.rows, "caller", CALLER_KEY, plan.caller, plan, behind)
    if plan.incident is None:
        return Judged(callers.rows, callers.raised)
    behind = trail_of(plan.caller, behind) if plan.streaming else 0
    candidates, others = callers.rows | "Part candidates" >> beam.ParDo(_Part()).with_outputs("others", main="rows")
    together = (candidates, functions.raised, callers.raised) | "Gather" >> beam.Flatten()
    incidents = _timelines(together, "incident", (), plan.incident, plan, behind)
    verdicts = (incidents.rows, others) | "Verdicts" >> beam.Flatten()
    return Judged(verdicts, incidents.raised)


def _timelines(rows: Any, name: str, key: tuple[str, ...], folds: FoldFactory, plan: Plan, behind_us: int = 0) -> Any:
    shards = plan.shards if key else 1
    timelines = OrderedTimelines(Stage(name, key, folds), shards, behind_us=behind_us, streaming=plan.streaming)
    return rows | f"To shards by {name}" >> shard(key, shards, plan.spool) | f"Timelines by {name}" >> timelines


class _Part(beam.DoFn):  # type: ignore[misc]
    """Rows that an incident may want, and others."""

    def process(self, element: pa.RecordBatch) -> Any:
        """Split a batch by CANDIDATE; all are candidates where it has no such column."""
        index = element.schema.get_field_index(CANDIDATE)
        if index < 0:
            yield element
            return
        wanted = element.column(index)
        candidates = element.filter(wanted)
        if candidates.num_rows:
            yield candidates
        if candidates.num_rows < element.num_rows:
            yield beam.pvalue.TaggedOutput("others", element.filter(pc.invert(wanted)))
