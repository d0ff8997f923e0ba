"""How much of a table carries what detection needs; ``blind_spots`` says in words what follows from it."""

from __future__ import annotations

from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from detectors.blind_spots import Coverage
from detectors.schema import CALLER_CONFIDENCE

#: callers at least as sure as this are somebody
_SOMEBODY = CALLER_CONFIDENCE["role"]


def coverage(table: pa.Table) -> Coverage:
    """The shares that ``blind_spots`` speaks of.

    Args:
        table: INVOCATION rows in any order, with their details (traces, exceptions) where they are there.

    Example:
        >>> import pyarrow as pa
        >>> from detectors import INVOCATION
        >>> coverage(pa.Table.from_pylist([], schema=INVOCATION)).share_http is None
        True
    """
    calls = table.filter(pc.equal(table["record"], "invocation"))
    http = calls.filter(pc.equal(calls["trigger"], "http"))
    fired = calls.filter(pc.is_in(calls["trigger"], pa.array(["queue", "servicebus"])))
    traced = pc.unique(table.filter(pc.equal(table["record"], "trace"))["invocation_id"])
    return Coverage(
        share_http=_share(pc.equal(calls["trigger"], "http")),
        share_masked=_share(pc.less(http["caller_confidence"], _SOMEBODY)),
        share_without_country=_share(pc.is_null(http["country"])),
        share_sampled=_share(pc.greater(calls["item_count"], 1)),
        share_without_host_instance=_share(pc.is_null(calls["host_instance"])),
        share_without_version=_share(pc.is_null(calls["app_version"])),
        share_traces_joined=_share(pc.is_in(fired["invocation_id"], traced)),
        share_without_query=_share(pc.invert(pc.match_substring(pc.fill_null(http["path"], ""), "?"))),
        share_without_duration=_share(pc.is_null(calls["duration_ms"])),
        share_failed_only=_failed_only(calls),
    )


def _failed_only(calls: pa.Table) -> float | None:
    """Share of the functions that show failures and no success."""
    if calls.num_rows == 0:
        return None
    known = calls.select(["app", "function", "succeeded"])
    by_function = known.group_by(["app", "function"]).aggregate([("succeeded", "max"), ("succeeded", "count")])
    failed = pc.and_(
        pc.invert(pc.fill_null(by_function["succeeded_max"], True)), pc.greater(by_function["succeeded_count"], 0)
    )
    return _share(failed)


def _share(mask: Any) -> float | None:
    """Share of True, to four digits; None of nothing."""
    return round(float(pc.mean(pc.cast(mask, pa.float64())).as_py()), 4) if len(mask) else None
