"""Callers are judged a day at a time: what they are raised for is no habit, wherever batches end."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from detectors.blame import TROUBLES
from detectors.caller_stage import CallerScoring
from detectors.function_features import FunctionFeatures
from detectors.model import Model
from detectors.order import concat, in_order
from detectors.timeline import END
from tests.detectors.life import DAY, HOUR, MINUTE, SECOND
from tests.detectors.rows import rows
from tests.detectors.test_caller_features import hers, working_days

NIGHTS = 3
JOIN = 2.0


@pytest.fixture(scope="module")
def week(model: Model) -> pa.RecordBatch:
    """Anna's working days, with an hour's work in each of the last nights, as the caller timeline gets them."""
    nights = [
        {**record, "invocation_id": f"odd-{night}-{number:03d}"}
        for night in range(NIGHTS)
        for number, record in enumerate(hers((5 + night) * DAY + 2 * HOUR, 1, every=MINUTE))
    ]
    batch = in_order(rows([*working_days(5 + NIGHTS), *nights]))
    functions = FunctionFeatures(model.judge.baselines, np.full(len(model.judge.baselines.cohort), 1e9))
    return functions.advance(batch, batch["at"][-1].as_py() + 1)


def judged(
    model: Model, week: pa.RecordBatch, cuts: list[int], habit: float = JOIN
) -> tuple[pa.RecordBatch, pa.RecordBatch]:
    """What is not strange, and what is, in order, of rows that come in batches with these cuts."""
    fold = CallerScoring(model.judge, JOIN, habit)
    given, raised = [], []
    for begin, end in zip([0, *cuts], [*cuts, week.num_rows], strict=True):
        given.append(fold.advance(week.slice(begin, end - begin), END))
        strange = fold.raised()
        raised += [] if strange is None else [strange]
    return concat(given), concat(raised)


def of_night(raised: pa.RecordBatch, night: int) -> float:
    """The largest score of a night."""
    ids, score = raised["invocation_id"].to_pylist(), raised["score"].to_pylist()
    return max((s for name, s in zip(ids, score, strict=True) if name.startswith(f"odd-{night}")), default=0.0)


def test_a_night_that_was_raised_is_as_strange_when_it_comes_again(model: Model, week: pa.RecordBatch) -> None:
    _, raised = judged(model, week, [])
    assert of_night(raised, 0) > JOIN
    assert of_night(raised, 1) >= of_night(raised, 0)


def test_without_that_it_would_be_learned_overnight(model: Model, week: pa.RecordBatch) -> None:
    _, raised = judged(model, week, [], habit=np.inf)
    assert of_night(raised, 1) < 0.8 * of_night(raised, 0)


@given(cuts=st.lists(st.integers(0, 500), max_size=6).map(sorted))
@settings(max_examples=20, deadline=None)
def test_verdicts_do_not_hang_on_where_batches_end(model: Model, week: pa.RecordBatch, cuts: list[int]) -> None:
    whole = judged(model, week, [])
    parts = judged(model, week, [cut for cut in cuts if cut <= week.num_rows])
    assert all(one.equals(other) for one, other in zip(whole, parts, strict=True))


@pytest.mark.parametrize(
    ("caller", "debut"),
    [
        ({"caller": "user:partner-7", "caller_source": "user"}, True),
        ({"caller": "property:partner-7", "caller_source": "property"}, True),
        ({"caller": "address:203.0.113.7", "caller_source": "address"}, False),
        ({"caller": "geography:Peru//Lima", "caller_source": "geography"}, False),
    ],
)
def test_only_who_is_known_by_name_is_a_new_customer(model: Model, caller: dict[str, str], debut: bool) -> None:
    busy = hers(8 * DAY, 0.5, every=2 * SECOND, country="Peru", **caller)
    batch = in_order(rows([*working_days(8), *busy]))
    functions = FunctionFeatures(model.judge.baselines, np.full(len(model.judge.baselines.cohort), 1e9))
    _, raised = judged(model, functions.advance(batch, batch["at"][-1].as_py() + 1), [])
    theirs = raised.filter(pa.array([name == caller["caller"] for name in raised["caller"].to_pylist()]))
    troubles = {TROUBLES[trouble] for trouble in theirs["trouble"].to_pylist()}
    assert troubles
    assert ("debut" in troubles) == debut
