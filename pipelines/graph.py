"""The way of an event, on one screen.

    files ─► read ─► to the shard of its function ─► function timeline: one row an invocation, what its function says
               │                                          │ └► silences, counts of runs ─────────────┐
               └► dead letters                            └► to the shard of its caller ─► caller timeline: score
                                                                                              │          │
                                  verdicts ◄─ incident timeline: what belongs together ◄──────┴──────────┘
                                 incidents ◄──────┘

A timeline sees its rows in the order of their time, whatever the order of arrival. Training, replay and streaming are
this graph with other folds, sources and sinks.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import apache_beam as beam
import pyarrow as pa

from detectors.local import Stage
from detectors.timeline import FoldFactory
from pipelines.messages import Message
from pipelines.steps import address, part_candidates, shard
from pipelines.stream_timeline import RAISED, ROWS, origin
from pipelines.timeline_dofn import OrderedTimelines

if TYPE_CHECKING:
    from pipelines.announced import Announced

#: what a function's timeline needs together: all rows of its app, since a campaign lifts all functions of an app
FUNCTION_KEY: Final = ("app",)
#: what a caller's timeline needs together: all rows of one caller
CALLER_KEY: Final = ("caller",)
#: names of the stages
FUNCTION: Final = "function"
CALLER: Final = "caller"
INCIDENT: Final = "incident"
#: folder in a spool in which workers note what they have taken
TAKEN: Final = "taken"
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
        lanes: where there is a spool, how many workers share the shards; 0: as the runner has it.
        spool: folder for what is shuffled, where memory is to stay bounded; None: rows travel inside messages.
        origins: in a stream, the names of its sources: rows then travel in messages that say how far their source has
            come, and timelines are stations; empty: timelines by grouping, for input that ends.
        announced: in a stream, where the folds of versions come from that sources announce; None: these judge for ever.
    """

    function: FoldFactory
    caller: FoldFactory
    incident: FoldFactory | None = None
    columns: tuple[str, ...] = ()
    shards: int = SHARDS
    lanes: int = 0
    spool: str | None = None
    origins: tuple[str, ...] = ()
    announced: Announced | None = None


class Judged(NamedTuple):
    """PCollections of record batches; of messages in a stream."""

    #: verdicts, in one or two parts; scored rows where the plan has no incident timeline
    verdicts: tuple[Any, ...]
    #: what the last timeline raised
    incidents: Any


def judge(rows: Any, plan: Plan) -> Judged:
    """Wire rows (batches of INVOCATION with ``at``, or messages of them) to verdicts and incidents."""
    by_function = rows | "To functions" >> _send(FUNCTION, FUNCTION_KEY, plan, plan.columns)
    functions = by_function | "Function timelines" >> _timelines(FUNCTION, FUNCTION_KEY, plan.function, plan)

    by_caller = functions.rows | "To callers" >> _send(CALLER, CALLER_KEY, plan, aside=aside_of(plan.caller))
    callers = by_caller | "Caller timelines" >> _timelines(CALLER, CALLER_KEY, plan.caller, plan)
    if plan.incident is None:
        return Judged((callers.rows,), callers.raised)

    kind = Message if plan.origins else pa.RecordBatch
    candidates, others = callers.rows | "Part candidates" >> part_candidates(kind)
    findings = {"candidates": candidates, "function signals": functions.raised, "caller signals": callers.raised}
    parcels = [found | f"Send {name}" >> _send(INCIDENT, (), plan) for name, found in findings.items()]
    together = parcels | "Gather" >> beam.Flatten()
    incidents = together | "Incident timeline" >> _timelines(INCIDENT, (), plan.incident, plan)
    return Judged((incidents.rows, others), incidents.raised)


def collate(rows: Any, plan: Plan) -> Any:
    """Wire rows to what the function timelines give: all that training learns from."""
    by_function = rows | "To functions" >> _send(FUNCTION, FUNCTION_KEY, plan, plan.columns)
    return (by_function | "Function timelines" >> _timelines(FUNCTION, FUNCTION_KEY, plan.function, plan)).rows


def speakers(stage: str, tag: str, plan: Plan) -> tuple[str, ...]:
    """How the shards of a stage sign what they send under a tag."""
    return tuple(origin(stage, number, tag) for number in range(1 if stage == INCIDENT else plan.shards))


def aside_of(folds: FoldFactory) -> tuple[str, ...]:
    """Columns that the folds fetch for few rows, so that a spool may leave them aside."""
    return tuple(getattr(folds, "aside", ()))


def _send(
    stage: str, key: tuple[str, ...], plan: Plan, columns: tuple[str, ...] = (), aside: tuple[str, ...] = ()
) -> Any:
    shards = plan.shards if key else 1
    return address(key, shards, columns) if plan.origins else shard(key, shards, _spool(stage, plan), columns, aside)


def _spool(stage: str, plan: Plan) -> str | None:
    """The folder for what is sent to a stage: gone once the next stage begins."""
    return None if plan.spool is None else str(Path(plan.spool) / stage)


def _timelines(stage: str, key: tuple[str, ...], folds: FoldFactory, plan: Plan) -> OrderedTimelines:
    origins = {
        FUNCTION: plan.origins,
        CALLER: speakers(FUNCTION, ROWS, plan),
        INCIDENT: speakers(CALLER, ROWS, plan) + speakers(FUNCTION, RAISED, plan) + speakers(CALLER, RAISED, plan),
    }
    speaking = origins[stage] if plan.origins else ()
    lanes = plan.lanes if key and plan.spool is not None else 0
    taken = "" if plan.spool is None else str(Path(plan.spool) / TAKEN)
    before = {CALLER: FUNCTION, INCIDENT: CALLER}.get(stage)
    spent = None if before is None else _spool(before, plan)
    shards, judges = plan.shards if key else 1, stage == CALLER
    return OrderedTimelines(
        Stage(stage, key, folds), shards, speaking, plan.announced, lanes, taken, spent, judges=judges
    )
