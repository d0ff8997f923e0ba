"""What the logs carry is counted as they pass, however they are cut."""

from __future__ import annotations

from typing import Any

import pyarrow as pa
from hypothesis import given
from hypothesis import strategies as st

from detectors.blind_spots import Coverage, blind_spots
from detectors.coverage import LEAST_OUTCOMES, PREFIX, Tally, coverage, coverage_of
from detectors.timeline import END
from tests.detectors.rows import SECOND, rows

MASKED = {"caller": "geography:Finland", "caller_source": "geography", "caller_confidence": 0.2, "address": None}
QUEUE = {"trigger": "queue", "function": "Load", "caller": "queue:q", "caller_source": "queue"}


def call(number: int, **more: Any) -> dict[str, Any]:
    return {"invocation_id": f"{number:06d}", "event_time": number * SECOND, "succeeded": True} | more


CALLS = rows(
    [
        *(call(i, country="Finland", path="/api/pay", host_instance="h", duration_ms=1.0) for i in range(4)),
        *(call(i, **MASKED, app_version="1", host_instance="h", path="/api/pay?id=1") for i in range(4, 6)),
        *(call(i, **QUEUE, dequeue_count=1 if i < 8 else None) for i in range(6, 10)),
        *(call(i, function="Broken", succeeded=False, item_count=5) for i in range(10, 10 + LEAST_OUTCOMES)),
    ]
)


def test_each_share_is_of_what_could_have_carried_it() -> None:
    tally = Tally()
    assert tally.advance(CALLS, END).equals(CALLS)
    everything, http = CALLS.num_rows, 6 + LEAST_OUTCOMES
    assert coverage_of(tally.counts()) == Coverage(
        share_http=round(http / everything, 4),
        share_masked=round(2 / http, 4),
        share_without_country=round((http - 4) / http, 4),
        share_sampled=round(LEAST_OUTCOMES / everything, 4),
        share_without_host_instance=round((everything - 6) / everything, 4),
        share_without_version=round((everything - 2) / everything, 4),
        share_traces_joined=0.5,
        share_without_query=round((http - 2) / http, 4),
        share_without_duration=round((everything - 4) / everything, 4),
        share_failed_only=round(1 / 3, 4),
    )


def test_a_few_failures_are_no_setting_of_the_log() -> None:
    tally = Tally()
    tally.advance(rows([call(i, succeeded=False) for i in range(LEAST_OUTCOMES - 1)]), END)
    assert tally.counts()[f"{PREFIX}failing_functions"] == 0
    tally.advance(rows([call(99, succeeded=False)]), END)
    assert tally.counts()[f"{PREFIX}failing_functions"] == 1
    tally.advance(rows([call(100)]), END)
    assert tally.counts()[f"{PREFIX}failing_functions"] == 0


@given(cut=st.integers(0, CALLS.num_rows))
def test_it_goes_on_from_its_snapshot(cut: int) -> None:
    whole, first, second = Tally(), Tally(), Tally()
    whole.advance(CALLS, END)
    first.advance(CALLS.slice(0, cut), END)
    second.restore(first.snapshot())
    second.advance(CALLS.slice(cut), END)
    assert second.counts() == whole.counts()
    assert second.snapshot() == whole.snapshot()


def test_of_nothing_nothing_is_said() -> None:
    assert coverage_of(Tally().counts()) == Coverage()
    assert blind_spots(coverage_of({})) == []


def test_rows_in_memory_are_counted_alike_with_their_traces_beside_them() -> None:
    beside = rows(
        [
            *(call(i, **QUEUE) for i in range(4)),
            *({"record": "trace", "trigger": "other", **call(i), "dequeue_count": 2} for i in range(3)),
        ]
    )
    found = coverage(pa.Table.from_batches([beside]).drop_columns(["at", "late"]))
    assert (found.share_traces_joined, found.share_http, found.share_failed_only) == (0.75, 0.0, 0.0)
