"""Strange invocations as the incident timeline gets them: say what matters, the rest is plain."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa

from detectors.blame import TROUBLES, party
from detectors.features import FEATURE_NAMES
from detectors.function_features import matrix
from detectors.incidents import Incidents
from detectors.order import in_order
from detectors.raised import RAISED, raised_batch
from detectors.timeline import END
from models.hashing import combine, hash_strings
from tests.detectors.rows import EPOCH_US

SECOND = 1_000_000
MINUTE = 60 * SECOND
HOUR = 60 * MINUTE
#: score that opens an incident
OPENS = 6.0


def strange(at: int, invocation_id: str, **fields: Any) -> dict[str, Any]:
    """One strange invocation, ``at`` in us after the epoch; ``feature`` names what was surprising."""
    return {
        "at": at,
        "invocation_id": invocation_id,
        "app": "shop",
        "function": "Pay",
        "trigger": "http",
        "caller": "address:203.0.113.7",
        "caller_source": "address",
        "score": 12.0,
        "p_value": 1e-6,
        "trouble": "other",
        "by_caller": True,
        "crowd": 0,
        "feature": "caller_new_to_function",
        "item_count": 1,
        "succeeded": True,
        "status": 200,
        "duration_ms": 100.0,
        **fields,
    }


def silent(at: int, function: str, **fields: Any) -> dict[str, Any]:
    """A function that fell silent."""
    return {
        "at": at,
        "invocation_id": f"silence:{fields.get('app', 'shop')}/{function}@{at}",
        "app": "shop",
        "function": function,
        "trigger": "timer",
        "signal": "silence",
        "since": at - HOUR + EPOCH_US,
        "per_hour": 12.0,
        "horizon": False,
        **fields,
    }


def speech(at: int, function: str, **fields: Any) -> dict[str, Any]:
    """A function that is heard of again after its silence."""
    named = {"app": "shop", "function": function, "trigger": "timer", **fields}
    return {"at": at, "invocation_id": f"speech:{named['app']}/{function}@{at}", "signal": "speech", **named}


def tick(at: int) -> dict[str, Any]:
    """The logs reach as far as this."""
    return {"at": at, "invocation_id": f"tick@{at}", "signal": "tick"}


def raised(records: Sequence[dict[str, Any]]) -> pa.RecordBatch:
    """RAISED rows in order."""
    count = len(records)
    column = {name: [record.get(name) for record in records] for name in RAISED.names}
    column["at"] = [record["at"] + EPOCH_US for record in records]
    # a run is known when it ends
    column["event_time"] = [record.get("event_time", record["at"]) + EPOCH_US for record in records]
    for name in ("app", "function", "caller"):
        column[name] = [record.get(name) or "" for record in records]
    column["trigger"] = [record.get("trigger") or "other" for record in records]
    column["score"] = [record.get("score") or 0.0 for record in records]
    # what counts for opening an incident
    column["gate"] = column["score"]
    column["p_value"] = [record.get("p_value") or 0.0 for record in records]
    column["trouble"] = [TROUBLES.index(r["trouble"]) if r.get("trouble") else None for r in records]
    app, function = hash_strings(pa.array(column["app"])), hash_strings(pa.array(column["function"]))
    known = np.array([bool(record.get("caller")) for record in records])
    column["app_key"], column["function_key"] = pa.array(app), pa.array(combine(app, function))
    column["caller_key"] = pa.array(np.where(known, party(pa.array(column["caller"])), np.uint64(0)))
    surprise = np.zeros((count, len(FEATURE_NAMES)))
    for number, record in enumerate(records):
        if record.get("feature"):
            surprise[number, FEATURE_NAMES.index(record["feature"])] = record["score"]
    column["surprise"], column["value"] = matrix(surprise), matrix(surprise * 10.0)
    column["share"] = matrix(surprise / np.maximum(surprise.sum(axis=1, keepdims=True), 1e-9))
    column["typical"] = matrix(np.zeros_like(surprise))
    column["late"] = [bool(record.get("late")) for record in records]
    for name in ("anomalous", "candidate"):
        column[name] = [False] * count
    column["reasons"] = [[] for _ in records]
    column["model_version"] = ["v1"] * count
    return in_order(raised_batch(column, count))


def incidents_of(
    records: Sequence[dict[str, Any]], opens_at: float = OPENS, watermark_us: int = END, **more: Any
) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Verdicts, and the incidents that were closed, each by time."""
    fold = Incidents(opens_at, "v1", **more)
    verdicts = fold.advance(raised(records), watermark_us).to_pylist()
    told = fold.raised()
    closed = [] if told is None else [row for row in told.to_pylist() if row["closed"]]
    return sorted(verdicts, key=lambda row: row["at"]), sorted(closed, key=lambda row: row["first_event"])
