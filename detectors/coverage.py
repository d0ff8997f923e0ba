"""How much of the logs carries what detection needs, counted as they pass; see ``blind_spots`` for what follows."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from detectors.blind_spots import Coverage
from detectors.schema import CALLER_CONFIDENCE
from detectors.texts import is_text
from detectors.timeline import Tables
from models.baselines import pair_codes

#: callers at least as sure as this are somebody
_SOMEBODY: Final = pa.scalar(CALLER_CONFIDENCE["role"], pa.float32())
#: triggers whose deliveries are told by the details in AppTraces
_DELIVERED: Final = ("queue", "servicebus")
#: outcomes of a function below which failures alone say nothing about its logging
LEAST_OUTCOMES: Final = 20
#: how the counts are named among those of a run
PREFIX: Final = "seen_"

_COUNTS: Final = (
    *("calls", "http", "masked", "without_country", "without_query", "sampled", "without_host_instance"),
    *("without_version", "without_duration", "delivered", "delivered_with_details", "functions", "failing_functions"),
)


class Tally:
    """A fold that gives collated invocations as they came, and counts what they carry."""

    def __init__(self) -> None:
        self._counts = dict.fromkeys(_COUNTS, 0)
        #: (app, function): outcomes known, successes among them
        self._outcomes: dict[tuple[str, str], list[int]] = {}

    def advance(self, rows: pa.RecordBatch, watermark_us: int) -> pa.RecordBatch:  # noqa: ARG002 - a Fold
        """Count, and hand on."""
        if rows.num_rows:
            self._add(rows)
        return rows

    def counts(self) -> dict[str, int]:
        """All that was counted; how many functions show failures only may also fall."""
        functions = list(self._outcomes.values())
        failing = sum(known >= LEAST_OUTCOMES and good == 0 for known, good in functions)
        found = self._counts | {"functions": len(functions), "failing_functions": failing}
        return {PREFIX + name: count for name, count in found.items()}

    def snapshot(self) -> Tables:
        """The counts, and the outcomes of each function."""
        names = sorted(self._outcomes)
        columns = {
            "app": pa.array([app for app, _ in names], pa.string()),
            "function": pa.array([function for _, function in names], pa.string()),
            "known": pa.array([self._outcomes[name][0] for name in names], pa.int64()),
            "good": pa.array([self._outcomes[name][1] for name in names], pa.int64()),
        }
        return {"outcomes": pa.table(columns), "counts": pa.table({n: [c] for n, c in self._counts.items()})}

    def restore(self, tables: Mapping[str, pa.Table]) -> None:
        """Take over a snapshot."""
        self._counts = {name: int(count) for name, count in tables["counts"].to_pylist()[0].items()}
        rows = tables["outcomes"].to_pylist()
        self._outcomes = {(row["app"], row["function"]): [row["known"], row["good"]] for row in rows}

    def _add(self, rows: pa.RecordBatch) -> None:
        http = pa.array(is_text(rows.column("trigger"), "http"))
        delivered = pa.array(is_text(rows.column("trigger"), *_DELIVERED))
        queries = pc.fill_null(pc.match_substring(rows.column("path"), "?"), False)
        flags = {
            "http": http,
            "masked": pc.and_(http, pc.less(rows.column("caller_confidence"), _SOMEBODY)),
            "without_country": pc.and_(http, pc.is_null(rows.column("country"))),
            "without_query": pc.and_(http, pc.invert(queries)),
            "sampled": pc.greater(rows.column("item_count"), 1),
            "without_host_instance": pc.is_null(rows.column("host_instance")),
            "without_version": pc.is_null(rows.column("app_version")),
            "without_duration": pc.is_null(rows.column("duration_ms")),
            "delivered": delivered,
            "delivered_with_details": pc.and_(delivered, pc.is_valid(rows.column("dequeue_count"))),
        }
        self._counts["calls"] += rows.num_rows
        for name, flag in flags.items():
            self._counts[name] += flag.true_count
        codes, names = pair_codes(rows.column("app"), rows.column("function"))
        succeeded = rows.column("succeeded")
        known = np.bincount(codes[np.asarray(succeeded.is_valid())], minlength=len(names)).tolist()
        good = np.bincount(codes[np.asarray(succeeded.fill_null(False))], minlength=len(names)).tolist()
        for function, outcomes, successes in zip(names, known, good, strict=True):
            mine = self._outcomes.setdefault(function, [0, 0])
            mine[0] += outcomes
            mine[1] += successes


def coverage_of(counted: Mapping[str, Any]) -> Coverage:
    """The shares that ``blind_spots`` speaks of, from the counts of a run; others among them are passed over."""

    def share(part: str, whole: str) -> float | None:
        of = counted.get(PREFIX + whole, 0)
        return round(counted.get(PREFIX + part, 0) / of, 4) if of else None

    with_details = share("delivered_with_details", "delivered")
    return Coverage(
        share_http=share("http", "calls"),
        share_masked=share("masked", "http"),
        share_without_country=share("without_country", "http"),
        share_sampled=share("sampled", "calls"),
        share_without_host_instance=share("without_host_instance", "calls"),
        share_without_version=share("without_version", "calls"),
        share_traces_joined=with_details,
        share_without_query=share("without_query", "http"),
        share_without_duration=share("without_duration", "calls"),
        share_failed_only=share("failing_functions", "functions"),
    )


def coverage(table: pa.Table) -> Coverage:
    """The shares that ``blind_spots`` speaks of, of rows in memory.

    Args:
        table: INVOCATION rows in any order, with their details (traces, exceptions) where they are there.

    Example:
        >>> import pyarrow as pa
        >>> from detectors import INVOCATION
        >>> coverage(pa.Table.from_pylist([], schema=INVOCATION)).share_http is None
        True
    """
    tally = Tally()
    details = table.filter(pc.is_valid(table["dequeue_count"]))
    known = pc.unique(details["invocation_id"])
    for rows in table.filter(pc.equal(table["record"], "invocation")).combine_chunks().to_batches():
        counted = pc.if_else(pc.is_in(rows.column("invocation_id"), known), pa.scalar(1, pa.int32()), None)
        place = rows.schema.get_field_index("dequeue_count")
        tally.advance(rows.set_column(place, rows.schema.field(place), counted), 0)
    return coverage_of(tally.counts())
