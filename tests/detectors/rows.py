"""Rows of the INVOCATION schema for tests: say what matters, the rest is plain."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pyarrow as pa

from detectors.order import with_at
from detectors.schema import INVOCATION

#: 2026-11-01 00:00 UTC
EPOCH_US = 1_793_491_200_000_000
SECOND = 1_000_000
HOUR = 3_600 * SECOND

PLAIN: dict[str, Any] = {
    "record": "invocation",
    "event_time": 0,
    "invocation_id": "a",
    "app": "shop",
    "function": "Pay",
    "trigger": "http",
    "duration_ms": None,
    "caller": "address:192.0.2.1",
    "caller_source": "address",
    "caller_confidence": 0.7,
    "item_count": 1,
    "source": "rows.py",
    "position": 0,
}


def rows(records: Sequence[dict[str, Any]], epoch_us: int = EPOCH_US) -> pa.RecordBatch:
    """A batch with ``at`` and ``late``; ``event_time`` in us after ``epoch_us``, ``position`` by order."""
    full = []
    for position, record in enumerate(records):
        row = {**PLAIN, "position": position, **record}
        row["event_time"] += epoch_us
        full.append(row)
    return with_at(pa.RecordBatch.from_pylist(full, schema=INVOCATION))
