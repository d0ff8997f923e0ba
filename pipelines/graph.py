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

from detectors.local import Stage
from detectors.timeline import FoldFactory
from pipelines.steps import part_candidates, shard
from pipelines.timeline_dofn import OrderedTimelines, trail_of

#: what a function's timeline needs together: all rows of its app, since a campaign lifts all functions of an app
FUNCTION_KEY: Final = ("app",)
#: what a caller's timeline needs together: all rows of one caller
CALLER_KEY: Final = ("caller",)
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
        columns: of INVOCATION that the function timelines need, with ``at`` and ``late``; empty for all. Half of the
            cost of a shuffle is in columns that nobody reads.
        shards: of the first two.
        spool: folder for what is shuffled, where memory is to stay bounded; None: rows travel inside messages.
        streaming: timelines by state and timer; False: by grouping, for input that ends.
    """

    function: FoldFactory
    caller: FoldFactory
    incident: FoldFactory | None = None
    columns: tuple[str, ...] = ()
    shards: int = SHARDS
    spool: str | None = None
    streaming: bool = False


class Judged(NamedTuple):
    """PCollections of record batches."""

    #: verdicts, in one or two parts; scored rows where the plan has no incident timeline
    verdicts: tuple[Any, ...]
    #: what the last timeline raised
    incidents: Any


def judge(rows: Any, plan: Plan) -> Judged:
    """Wire rows (batches of INVOCATION with ``at``) to verdicts and incidents."""
    by_function = rows | "To functions" >> shard(FUNCTION_KEY, plan.shards, plan.spool, plan.columns)
    functions = by_function | "Function timelines" >> _timelines("function", FUNCTION_KEY, plan.function, plan)
    behind = trail_of(plan.function, 0) if plan.streaming else 0

    by_caller = functions.rows | "To callers" >> shard(CALLER_KEY, plan.shards, plan.spool)
    callers = by_caller | "Caller timelines" >> _timelines("caller", CALLER_KEY, plan.caller, plan, behind)
    if plan.incident is None:
        return Judged((callers.rows,), callers.raised)
    behind = trail_of(plan.caller, behind) if plan.streaming else 0

    candidates, others = callers.rows | "Part candidates" >> part_candidates()
    findings = {"candidates": candidates, "function signals": functions.raised, "caller signals": callers.raised}
    parcels = [found | f"Send {name}" >> shard((), 1, plan.spool) for name, found in findings.items()]
    together = parcels | "Gather" >> beam.Flatten()
    incidents = together | "Incident timeline" >> _timelines("incident", (), plan.incident, plan, behind)
    return Judged((incidents.rows, others), incidents.raised)


def collate(rows: Any, plan: Plan) -> Any:
    """Wire rows to what the function timelines give: all that training learns from."""
    by_function = rows | "To functions" >> shard(FUNCTION_KEY, plan.shards, plan.spool, plan.columns)
    return (by_function | "Function timelines" >> _timelines("function", FUNCTION_KEY, plan.function, plan)).rows


def _timelines(name: str, key: tuple[str, ...], folds: FoldFactory, plan: Plan, behind_us: int = 0) -> OrderedTimelines:
    shards = plan.shards if key else 1
    return OrderedTimelines(Stage(name, key, folds), shards, behind_us=behind_us, streaming=plan.streaming)
