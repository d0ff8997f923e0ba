"""What timelines raise for the incident timeline: strange invocations with evidence, and functions that fell silent."""

from __future__ import annotations

from typing import Any, Final

import numpy as np
import pyarrow as pa

from detectors.features import FEATURES
from detectors.order import aligned
from detectors.schema import REASON, TIMESTAMP

_WIDTH: Final = len(FEATURES)


def _field(name: str, kind: pa.DataType, *, nullable: bool = True, doc: str) -> pa.Field:
    return pa.field(name, kind, nullable=nullable, metadata={"doc": doc})


_FEATURES: Final = pa.list_(pa.float64(), _WIDTH)

#: a scored invocation, before incidents are made of the strange ones
SCORED: Final[pa.Schema] = pa.schema(
    [
        _field("at", pa.int64(), nullable=False, doc="completion, UTC us"),
        _field("invocation_id", pa.string(), nullable=False, doc="as in INVOCATION"),
        _field("event_time", TIMESTAMP, nullable=False, doc="start"),
        _field("app", pa.string(), nullable=False, doc="as in INVOCATION"),
        _field("function", pa.string(), nullable=False, doc="as in INVOCATION"),
        _field("trigger", pa.string(), nullable=False, doc="as in INVOCATION"),
        _field("caller", pa.string(), nullable=False, doc="as in INVOCATION"),
        _field("late", pa.bool_(), nullable=False, doc="came after its timeline had passed it"),
        _field("score", pa.float64(), nullable=False, doc="higher is stranger"),
        _field("p_value", pa.float64(), nullable=False, doc="share of normal invocations at least as strange"),
        _field("anomalous", pa.bool_(), nullable=False, doc="belongs to an incident"),
        _field("incident_id", pa.string(), doc="the incident it belongs to"),
        _field("reasons", pa.list_(REASON), nullable=False, doc="features by share of the score, largest first"),
        _field("model_version", pa.string(), nullable=False, doc="bundle that judged it"),
        _field("candidate", pa.bool_(), nullable=False, doc="False: no incident can want it"),
    ]
)

#: a row for the incident timeline: SCORED, then evidence
RAISED: Final[pa.Schema] = pa.schema(
    [
        *SCORED,
        _field(
            "signal",
            pa.string(),
            doc="null: an invocation; 'silence': a function fell silent; 'missing': runs that others promised do not "
            "come; 'surplus': more come than that; 'speech': none of these any longer; 'runs': a count of runs; "
            "'tick': logs reach ``at``",
        ),
        _field("since", pa.int64(), doc="of a silence: last event before it, UTC us; of missing runs: since when"),
        _field("per_hour", pa.float64(), doc="of a silence: calls expected in an hour"),
        _field("horizon", pa.bool_(), doc="of a silence: true only if logs reach as far as ``at``"),
        _field("runs", pa.float64(), doc="of a count: all runs; of missing ones: those that came"),
        _field("promised", pa.float64(), doc="of a count: runs that went well; of missing ones: all that were to come"),
        _field("follows", pa.string(), doc="of missing runs: app and name of the function that promised most of them"),
        _field("caller_source", pa.string(), doc="as in INVOCATION"),
        _field("country", pa.string(), doc="as in INVOCATION"),
        _field("city", pa.string(), doc="as in INVOCATION"),
        _field("trigger_source", pa.string(), doc="as in INVOCATION"),
        _field("duration_ms", pa.float64(), doc="as in INVOCATION"),
        _field("succeeded", pa.bool_(), doc="as in INVOCATION"),
        _field("status", pa.int32(), doc="as in INVOCATION"),
        _field("item_count", pa.int32(), doc="as in INVOCATION"),
        _field("method", pa.string(), doc="as in INVOCATION"),
        _field("path", pa.string(), doc="as in INVOCATION"),
        _field("exception_type", pa.string(), doc="as in INVOCATION"),
        _field("pair_age_us", pa.int64(), doc="since the caller was first seen at the function, us"),
        _field(
            "deployed_us",
            pa.int64(),
            doc="since its version changed, us; -1: it did not; below: -2 less the time since its hosts did",
        ),
        _field(
            "came_from",
            pa.string(),
            doc="the country of the caller's calls elsewhere, sooner than anyone travels; empty: one without a name",
        ),
        _field("gate", pa.float64(), doc="the score as it counts for opening an incident"),
        _field("surprise", _FEATURES, doc="honest surprise of each feature"),
        _field("share", _FEATURES, doc="share of the score of each feature"),
        _field("value", _FEATURES, doc="each feature's value, in its unit"),
        _field("typical", _FEATURES, doc="each feature's usual value"),
        _field("function_key", pa.uint64(), doc="hash of app and function"),
        _field("caller_key", pa.uint64(), doc="hash of the caller or its network; 0: nobody in particular"),
        _field("app_key", pa.uint64(), doc="hash of the app"),
        _field("trouble", pa.int64(), doc="index into blame.TROUBLES"),
        _field("by_caller", pa.bool_(), doc="points at its caller"),
        _field(
            "crowd",
            pa.int8(),
            doc="2: one of many callers' in a loaded function; 1: loaded, and not by its caller alone",
        ),
    ]
)


def raised_batch(columns: dict[str, Any], rows: int) -> pa.RecordBatch:
    """RAISED rows from some of its columns; the others are null, or the type's zero where null is not allowed."""
    arrays = []
    for field in RAISED:
        if field.name in columns:
            column = columns[field.name]
            arrays.append(column if isinstance(column, pa.Array) else pa.array(column, field.type))
        elif field.nullable:
            arrays.append(_nulls(field.type, rows))
        else:
            arrays.append(_zeros(field.type, rows))
    return pa.RecordBatch.from_arrays(arrays, schema=RAISED)


def as_raised(rows: pa.Table) -> pa.Table:
    """RAISED rows that were saved, with what an earlier version did not know of them as null."""
    return pa.Table.from_batches([aligned(batch, RAISED) for batch in rows.to_batches()], RAISED)


def _nulls(kind: pa.DataType, rows: int) -> pa.Array:
    """Nulls; of matrices only the rows are null, not the numbers in them.

    A single null number among those of a batch makes Arrow copy them one by one, which takes ten times as long.
    """
    if not pa.types.is_fixed_size_list(kind):
        return pa.nulls(rows, kind)
    numbers = pa.array(np.zeros(rows * kind.list_size), kind.value_type)
    return pa.FixedSizeListArray.from_arrays(numbers, type=kind, mask=pa.array(np.ones(rows, np.bool_)))


def _zeros(kind: pa.DataType, rows: int) -> pa.Array:
    if pa.types.is_list(kind):
        return pa.array([[]] * rows, kind)
    if pa.types.is_string(kind):
        return pa.repeat(pa.scalar("", kind), rows)
    return pa.array([0] * rows, pa.int64()).cast(kind)
