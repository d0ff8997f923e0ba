"""What comes late is judged by the state as it is and leaves it so; what came in time is the same without it."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from detectors.caller_features import CallerFeatures
from detectors.function_features import FunctionFeatures
from detectors.order import in_order
from detectors.timeline import Timeline
from models.baselines import Baselines
from tests.detectors.life import DAY, HOUR, MINUTE, baselines_of, ordinary, timer
from tests.detectors.rows import EPOCH_US, rows

#: nats of silence that are strange
SILENCE = 8.0
NAMES = ("Pay", "Tick", "Unheard")


@pytest.fixture(scope="module")
def usual() -> Baselines:
    return baselines_of([*ordinary(0, 96), *timer(0, 96)])


@pytest.fixture(scope="module")
def before() -> pa.RecordBatch:
    """The fourth day."""
    return in_order(rows([*ordinary(3 * DAY, 24), *timer(3 * DAY, 24)]))


#: one call: minutes after the fourth day, minutes that it comes late, and what it is like
CALLS = st.tuples(
    st.integers(0, 3 * 24 * 60),
    st.sampled_from([0, 0, 0, 3, 60, 60 * 24]),
    st.fixed_dictionaries(
        {
            "function": st.sampled_from(NAMES),
            "app": st.sampled_from(["shop", "shop", "unheard"]),
            "caller": st.sampled_from(["address:192.0.2.1", "address:203.0.113.7", "user:anna"]),
            "country": st.sampled_from(["Germany", "Chile", None]),
            "trigger": st.sampled_from(["http", "queue"]),
            "host_instance": st.sampled_from(["host-1", "host-2", None]),
            "app_version": st.sampled_from(["1.0", "1.1"]),
            "duration_ms": st.sampled_from([90.0, 1_000.0, None]),
            "succeeded": st.booleans(),
            "status": st.sampled_from([200, 403, 500]),
            "item_count": st.sampled_from([1, 1, 5]),
            "operation_id": st.sampled_from(["m1", "m2"]),
            "unscheduled_reason": st.sampled_from([None, "by hand"]),
            "path": st.sampled_from([None, "/a?q=' OR 1=1"]),
        }
    ),
)


class Chained:
    """Both stages of features behind one watermark."""

    def __init__(self, usual: Baselines) -> None:
        self.functions = FunctionFeatures(usual, np.full(len(usual.cohort), SILENCE))
        self.callers = CallerFeatures()
        self.silences: list[dict[str, Any]] = []

    def advance(self, batch: pa.RecordBatch, watermark_us: int) -> pa.RecordBatch:
        featured = self.functions.advance(batch, watermark_us)
        raised = self.functions.raised()
        self.silences += [] if raised is None else raised.to_pylist()
        return self.callers.advance(featured, watermark_us)

    def snapshot(self) -> dict[str, pa.Table]:
        return {**self.functions.snapshot(), **self.callers.snapshot()}

    def restore(self, tables: dict[str, pa.Table]) -> None:
        self.functions.restore(tables)
        self.callers.restore(tables)


#: rows that come together, and the watermark behind them, us after the epoch
Pieces = list[tuple[pa.RecordBatch, int]]


def run(usual: Baselines, before: pa.RecordBatch, pieces: Pieces, *, restarts: bool = False) -> Timeline:
    """A timeline after the day before and all pieces; its fold has what was ``given`` in time."""
    timeline = Timeline(Chained(usual))
    timeline.push(before)
    timeline.advance(EPOCH_US + 4 * DAY)
    given = []
    for batch, watermark in pieces:
        timeline.push(batch)
        given += timeline.advance(EPOCH_US + watermark)
        if restarts:
            silences, tables = timeline.fold.silences, timeline.snapshot()
            timeline = Timeline(Chained(usual))
            timeline.restore(tables)
            timeline.fold.silences = silences
    given += timeline.advance(EPOCH_US + 9 * DAY)
    timeline.fold.given = [row for batch in given for row in batch.to_pylist() if not row.pop("late")]
    return timeline


#: a call that has nothing of its own
PLAIN: dict[str, Any] = {
    "function": "Pay", "app": "shop", "caller": "address:192.0.2.1", "country": "Germany", "trigger": "http",
    "host_instance": "host-1", "app_version": "1.0", "duration_ms": 90.0, "succeeded": False, "status": 200,
    "item_count": 1, "operation_id": "m1", "unscheduled_reason": None, "path": None,
}  # fmt: skip


# two functions that are heard of again at the same moment
@example(calls=[*[(0, 0, PLAIN)] * 3, (35, 0, PLAIN), (35, 0, {**PLAIN, "function": "Tick"})], size=1, restarts=True)
@given(calls=st.lists(CALLS, max_size=30), size=st.integers(1, 12), restarts=st.booleans())
@settings(max_examples=40, deadline=None)
def test_features_state_and_silences_are_those_of_a_life_without_the_late(
    usual: Baselines, before: pa.RecordBatch, calls: list[tuple[int, int, dict[str, Any]]], size: int, restarts: bool
) -> None:
    calls = sorted(calls, key=lambda call: call[0] + call[1])
    whole: Pieces = []
    alone: Pieces = []
    reached = 4 * DAY
    for start in range(0, len(calls), size):
        records = [
            {"event_time": 4 * DAY + minute * MINUTE, "invocation_id": f"i{start + number}", **fields}
            for number, (minute, _, fields) in enumerate(calls[start : start + size])
        ]
        batch = rows([{**record, "caller_source": record["caller"].partition(":")[0]} for record in records])
        in_time = batch["at"].to_numpy() >= EPOCH_US + reached
        reached = max(reached, *(4 * DAY + (minute + late) * MINUTE for minute, late, _ in calls[start : start + size]))
        whole.append((batch, reached))
        alone.append((batch.filter(pa.array(in_time)), reached))
    mine, theirs = run(usual, before, whole, restarts=restarts), run(usual, before, alone)
    assert mine.late == sum(batch.num_rows for batch, _ in whole) - sum(batch.num_rows for batch, _ in alone)
    assert theirs.late == 0
    assert mine.fold.given == theirs.fold.given
    assert mine.fold.silences == theirs.fold.silences
    tables, expected = mine.fold.snapshot(), theirs.fold.snapshot()
    assert tables.keys() == expected.keys()
    for name, table in tables.items():
        assert table.equals(expected[name]), name


def test_a_late_call_is_judged_by_what_is_known_now_and_is_news_to_nobody(usual: Baselines) -> None:
    fold = Chained(usual)
    timeline = Timeline(fold)
    timeline.push(in_order(rows([*ordinary(3 * DAY, 30), *timer(3 * DAY, 30)])))
    timeline.advance(EPOCH_US + 4 * DAY + 6 * HOUR)
    stranger = {"caller": "address:203.0.113.7", "country": "Chile", "duration_ms": 60_000.0, "status": 403}
    late = [{"event_time": 4 * DAY + n * MINUTE, "invocation_id": f"late-{n}", **stranger} for n in range(5)]
    timeline.push(rows(late))
    (found,) = timeline.advance(EPOCH_US + 4 * DAY + 7 * HOUR)
    assert found["late"].to_pylist() == [True] * 5
    # each is as new, as slow and as foreign as the first: none has taught anything
    raw = np.array(found["raw_function"].to_pylist())
    assert raw.max() > 5.0
    assert (raw == raw[0]).all()
