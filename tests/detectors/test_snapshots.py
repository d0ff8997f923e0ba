"""Every fold goes on from its snapshot as if nothing had happened, wherever it was taken: to the bit."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from detectors.collate import Collate
from detectors.function_features import FunctionFeatures, from_matrix, matrix, own_rows
from detectors.incidents import Incidents
from detectors.local import Chain, Stage, run_local
from detectors.model import Model
from detectors.order import concat, in_order, times_of, with_at
from detectors.stories import Stories
from detectors.timeline import END, Fold, Timeline
from models.errors import BundleNewerError
from pipelines.graph import CALLER_KEY, FUNCTION_KEY
from pipelines.sources.files import expand, read
from pipelines.workflows import plan_for
from tests.conftest import Tenant
from tests.detectors.strange import MINUTE, OPENS, strange
from tests.detectors.strange import raised as strange_rows

ROWS = 1_000
EXAMPLES = 5
#: where the run is cut, as shares of its rows
CUTS = st.lists(st.floats(0.0, 1.0), min_size=1, max_size=3).map(sorted)


@pytest.fixture(scope="module")
def calls(tenant: Tenant) -> pa.RecordBatch:
    """Rows and details of a stretch of the replayed day, in order."""
    pieces = [with_at(piece.rows) for ref in expand([str(tenant.replay)]) for piece in read(ref)]
    day = in_order(concat(pieces))
    return day.slice(day.num_rows // 3, ROWS)


@pytest.fixture(scope="module")
def made(model: Model) -> dict[str, Callable[[], Fold]]:
    """How each fold of the real plan begins."""
    plan = plan_for(model, 20.0)
    assert plan.incident is not None
    folds = {"function": plan.function, "caller": plan.caller, "incident": plan.incident}
    return {name: lambda stage=stage: stage.make(0, 1) for name, stage in folds.items()}


@pytest.fixture(scope="module")
def inputs(calls: pa.RecordBatch, model: Model) -> dict[str, pa.RecordBatch]:
    """What reaches each fold."""
    plan = plan_for(model, 20.0)
    function = Stage("function", FUNCTION_KEY, plan.function)
    featured, silences, _ = run_local([calls], [function])
    _, raised, _ = run_local([calls], [function, Stage("caller", CALLER_KEY, plan.caller)])
    assert featured is not None
    assert len(silences) > 0
    return {"function": calls, "caller": featured, "incident": in_order(concat(raised))}


def outcome(make: Callable[[], Fold], rows: pa.RecordBatch, cuts: list[float], restoring: bool) -> tuple[Any, ...]:
    """What a fold gives, raises and counts; at each cut it is replaced by one made from its snapshot, if so asked."""
    timeline = Timeline(make())
    given, raised = [], []
    start = 0
    for stop in [round(cut * rows.num_rows) for cut in cuts] + [rows.num_rows]:
        timeline.push(rows.slice(start, stop - start))
        given += timeline.advance(END if stop == rows.num_rows else rows["at"][stop].as_py())
        raised += timeline.take_raised()
        start = stop
        if restoring:
            fresh = Timeline(make())
            fresh.restore(timeline.snapshot())
            assert fresh.due() == timeline.due()
            timeline = fresh
    snapshot = timeline.fold.snapshot()
    return concat(given), concat(raised) if raised else None, snapshot


def equal(one: tuple[Any, ...], other: tuple[Any, ...]) -> None:
    assert one[0].equals(other[0])
    assert one[1] is other[1] is None or one[1].equals(other[1])
    assert one[2].keys() == other[2].keys()
    for name, table in one[2].items():
        assert table.combine_chunks().equals(other[2][name].combine_chunks()), name


@pytest.mark.parametrize("stage", ["function", "caller", "incident"])
@given(cuts=CUTS)
@settings(max_examples=EXAMPLES)
def test_a_stage_goes_on_from_its_snapshot(made: Any, inputs: Any, stage: str, cuts: list[float]) -> None:
    equal(outcome(made[stage], inputs[stage], cuts, True), outcome(made[stage], inputs[stage], cuts, False))


@given(cuts=CUTS)
@settings(max_examples=EXAMPLES)
def test_collating_goes_on_from_its_snapshot(calls: pa.RecordBatch, cuts: list[float]) -> None:
    equal(outcome(Collate, calls, cuts, True), outcome(Collate, calls, cuts, False))


@given(cuts=CUTS)
@settings(max_examples=EXAMPLES)
def test_a_chain_goes_on_from_the_snapshots_of_its_parts(calls: pa.RecordBatch, cuts: list[float]) -> None:
    def chain() -> Fold:
        return Chain(Collate(), Collate())

    equal(outcome(chain, calls, cuts, True), outcome(chain, calls, cuts, False))


@given(cuts=CUTS)
@settings(max_examples=EXAMPLES)
def test_where_a_run_is_cut_does_not_matter(made: Any, inputs: Any, cuts: list[float]) -> None:
    for stage in ("function", "caller", "incident"):
        whole = outcome(made[stage], inputs[stage], [], False)
        cut = outcome(made[stage], inputs[stage], cuts, True)
        order = [("at", "ascending"), ("invocation_id", "ascending")]
        assert cut[0].sort_by(order).equals(whole[0].sort_by(order))


@given(
    events=st.lists(
        st.tuples(
            *(st.integers(1, 3 * 3_600), st.integers(1, 4), st.integers(0, 4), st.integers(1, 2)),
            *(st.floats(0.0, 9.0), st.integers(0, 6), st.booleans(), st.integers(0, 2), st.booleans()),
            st.integers(-1, 3 * 3_600),
            st.integers(-1, 3 * 3_600),
        ),
        min_size=2,
        max_size=60,
    ),
    share=st.floats(0.0, 1.0),
)
@settings(max_examples=60)
def test_open_stories_go_on_from_their_snapshot(events: list[tuple[Any, ...]], share: float) -> None:
    gap, function, caller, app, score, trouble, by_caller, crowd, vague, met, arrived = (
        np.array(column) for column in zip(*events, strict=True)
    )
    arguments = (
        np.cumsum(gap) * 1_000_000,
        *(key.astype(np.uint64) for key in (function, caller, app)),
        score,
        trouble,
        by_caller,
        np.where(by_caller & (crowd == 2), 1, crowd).astype(np.int8),
        vague,
        met * 1_000_000,
        arrived * 1_000_000,
    )
    cut = round(share * len(events))
    whole = Stories(6.0).tell(*arguments)
    before, after = Stories(6.0), Stories(6.0)
    early = before.tell(*(column[:cut] for column in arguments))
    after.restore(before.snapshot())
    late = after.tell(*(column[cut:] for column in arguments))
    for one, first, second in zip(whole, early, late, strict=True):
        assert one.tolist() == [*first.tolist(), *second.tolist()]


def test_the_shards_of_a_snapshot_hold_all_of_it_once(model: Model) -> None:
    for part, column in (("function", "app_key"), ("caller", "key")):
        whole = model.part(part)
        shards = [own_rows(whole, column, shard, 3) for shard in range(3)]
        for name, table in whole.items():
            assert sum(own[name].num_rows for own in shards) == table.num_rows
            # training ends with nothing half counted
            assert (
                table.num_rows == 0
                or pc.count_distinct(pa.concat_tables([own[name] for own in shards])[column]).as_py() > 0
            )


def test_a_snapshot_restored_by_other_baselines_finds_its_functions_by_name(model: Model) -> None:
    base, part = model.judge.baselines, model.part("function")
    fold = FunctionFeatures(base, model.silence_nats)
    fold.restore(part)
    again = fold.snapshot()
    # what was learned by the first half of the logs may be known better by all of them
    for name, table in part.items():
        kept = [column for column in table.column_names if column not in ("known", "cohort")]
        assert again[name].select(kept).combine_chunks().equals(table.select(kept).combine_chunks()), name


def test_a_snapshot_that_an_earlier_version_saved_with_fewer_columns_goes_on(model: Model) -> None:
    part = model.part("function")
    functions = part["functions"].combine_chunks()
    for name in ("state", "times"):
        narrow = matrix(from_matrix(functions.column(name))[:, :-1].copy())
        functions = functions.set_column(functions.schema.get_field_index(name), name, narrow)
    fold = FunctionFeatures(model.judge.baselines, model.silence_nats)
    fold.restore({**part, "functions": functions})
    again = fold.snapshot()["functions"]
    for name in ("state", "times"):
        restored = from_matrix(again.column(name).combine_chunks())
        assert (restored[:, :-1] == from_matrix(functions.column(name).combine_chunks())).all()
        assert (restored[:, -1] == 0).all()


def test_rows_that_an_earlier_version_saved_while_they_waited_go_on() -> None:
    early = strange_rows([strange(0, "weak-1", score=3.0), strange(MINUTE, "weak-2", score=3.0)])
    late = strange_rows([strange(2 * MINUTE, "strong", score=2 * OPENS)])

    def ended(known: Callable[[pa.Table], pa.Table]) -> list[Any]:
        before, after = Timeline(Incidents(OPENS, "v1")), Timeline(Incidents(OPENS, "v1"))
        before.push(early)
        before.advance(early["at"][0].as_py() + 1)
        saved = before.snapshot()
        assert (saved["pending"].num_rows, saved["fold/in_time.waiting"].num_rows) == (1, 1)
        after.restore({name: known(table) for name, table in saved.items()})
        after.push(late)
        assert after.snapshot()["pending"].num_rows == 2
        verdicts = concat(after.advance(END))
        return [verdicts.to_pylist(), concat(after.take_raised()).to_pylist()]

    def without(table: pa.Table) -> pa.Table:
        return table.drop_columns("came_from") if "came_from" in table.column_names else table

    assert ended(without) == ended(lambda table: table)
    assert [row["anomalous"] for row in ended(without)[0]] == [True] * 3


@pytest.mark.parametrize("stage", ["function", "caller"])
def test_rows_that_an_earlier_version_saved_without_their_methods_go_on(made: Any, inputs: Any, stage: str) -> None:
    rows = inputs[stage]
    half, until = rows.slice(0, rows.num_rows // 2), int(times_of(rows)[rows.num_rows // 3])
    before, after = Timeline(made[stage]()), Timeline(made[stage]())
    before.push(half)
    before.advance(until)
    saved = {
        name: table.drop_columns(["method"]) if "method" in table.schema.names else table
        for name, table in before.snapshot().items()
    }
    after.restore(saved)
    after.push(rows.slice(half.num_rows))
    given = sum(batch.num_rows for batch in after.advance(END))
    assert given == sum(batch.num_rows for batch in _all_of(before, rows.slice(half.num_rows)))


def _all_of(timeline: Timeline, rows: pa.RecordBatch) -> list[pa.RecordBatch]:
    timeline.push(rows)
    return timeline.advance(END)


@pytest.mark.parametrize("name", ["state", "times"])
def test_a_snapshot_of_a_newer_version_with_more_columns_is_refused_in_words(model: Model, name: str) -> None:
    part = model.part("function")
    functions = part["functions"].combine_chunks()
    wide = matrix(np.pad(from_matrix(functions.column(name)), ((0, 0), (0, 4))))
    functions = functions.set_column(functions.schema.get_field_index(name), name, wide)
    fold = FunctionFeatures(model.judge.baselines, model.silence_nats)
    with pytest.raises(BundleNewerError, match="newer Lonetree"):
        fold.restore({**part, "functions": functions})
