"""Train, judge and measure a table in this process, by the stages that the pipelines run: for notebooks and scripts."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Final

import numpy as np
import pyarrow as pa

from detectors.caller_features import CallerFeatures, Reach, by_day
from detectors.expectations import part_suppressed
from detectors.features import FEATURE_NAMES
from detectors.function_features import from_matrix, own_rows
from detectors.function_stage import CollateStage, FunctionStage
from detectors.judge import Judge
from detectors.local import Stage, run_local
from detectors.model import Model
from detectors.order import concat, with_at
from detectors.schema import INVOCATION, VERDICT
from detectors.stages import Stages
from detectors.timeline import Fold, Tables
from detectors.training import TrainingOptions, habit_score, train
from models.errors import InputError
from models.feedback import Feedback

#: as in the pipelines' graph: what a timeline needs together
_APP: Final = ("app",)
_CALLER: Final = ("caller",)
#: rows of a slice that training reads at a time
_SLICE_ROWS: Final = 65_536
#: columns that an error names
_TOLD: Final = 6
#: columns of INVOCATION that ``measure`` gives along
_ABOUT: Final = (
    *("invocation_id", "event_time", "app", "function", "trigger", "caller", "country"),
    *("duration_ms", "succeeded", "status"),
)


@dataclass(frozen=True, repr=False)
class Detection:
    """What detecting in a table came to.

    Attributes:
        verdicts: one row an invocation, schema ``detectors.schema.VERDICT``, by time.
        incidents: what deserves a person, as in ``incidents.ndjson``, by ``opened``.
        counts: what the stages counted: invocations, duplicates, late.
        opens_at: score that opened an incident.
        suppressed: incidents that feedback expects: what they were, and which statement expects them.
    """

    verdicts: pa.Table
    incidents: list[dict[str, Any]]
    counts: dict[str, int]
    opens_at: float
    suppressed: list[dict[str, Any]] = field(default_factory=list)

    def __repr__(self) -> str:
        kept = f", {len(self.suppressed):,} expected" if self.suppressed else ""
        return (
            f"Detection({len(self.incidents):,} incidents{kept}, opened at a score of {self.opens_at:.2f}; "
            f"{self.verdicts.num_rows:,} verdicts)"
        )


def collated(table: pa.Table) -> pa.RecordBatch:
    """Each invocation once, its details joined, ordered by completion: what training learns from.

    Args:
        table: INVOCATION rows in any order, as ``pipelines.load`` gives them; a data frame of them (polars, pandas)
            will do here and below.

    Raises:
        InputError: there is no invocation in it, or it is no such table.
    """
    rows, _, _ = run_local(_batches(table), [Stage("function", _APP, CollateStage())])
    if rows is None or rows.num_rows == 0:
        raise _no_invocation()
    return rows


def fit(
    table: pa.Table, options: TrainingOptions | None = None, *, progress: Callable[[str], None] | None = None
) -> Model:
    """Learn what is normal from a table; the same model, to the bit, as ``lonetree train`` makes of the same logs.

    Args:
        table: INVOCATION rows in any order, some days of them.
        options: how to fit.
        progress: told each step.

    Raises:
        InputError: there is no invocation in it, or it is no such table.
    """
    rows = collated(table)

    def slices() -> Iterator[pa.RecordBatch]:
        return (rows.slice(begin, _SLICE_ROWS) for begin in range(0, rows.num_rows, _SLICE_ROWS))

    model: Model = train(slices, options, progress)
    return model


def detect(table: pa.Table, model: Model, *, budget: float = 1.0, feedback: Sequence[Feedback] = ()) -> Detection:
    """Judge a table with a model; the same verdicts and incidents as ``lonetree replay`` gives.

    Args:
        table: INVOCATION rows in any order.
        model: as ``fit`` or ``load_model`` gives it.
        budget: false incidents a day that the reader is willing to read, above 0.
        feedback: what stands (``standing(read_feedback(registry.storage))``); incidents that it expects are not told.

    Raises:
        InputError: the budget is not above 0, or it is no such table.
    """
    if not budget > 0:
        raise InputError("The budget can't be kept.", expected="a number above 0", received=f"{budget:g}")
    stages = Stages.of(model, budget, tuple(feedback))
    function = Stage("function", _APP, stages.function)
    caller = Stage("caller", _CALLER, stages.caller)
    incident = Stage("incident", (), stages.incident)
    measured, signals, counts = run_local(_batches(table), [function])
    scored, strange, more = run_local([] if measured is None else [measured], [caller])
    told_rows, told, most = run_local([*signals, *strange], [incident])
    parts = [part.select(VERDICT.names) for part in (scored, told_rows) if part is not None]
    verdicts = pa.Table.from_batches(parts, pa.schema(list(VERDICT))).sort_by(
        [("event_time", "ascending"), ("invocation_id", "ascending")]
    )
    incidents, suppressed = part_suppressed(_last_told(told))
    return Detection(verdicts, incidents, _summed(counts, more, most), stages.incident.opens_at, suppressed)


def measure(table: pa.Table, model: Model) -> pa.Table:
    """What a model measures about each invocation, and how surprising it finds that.

    Args:
        table: INVOCATION rows in any order.
        model: as ``fit`` or ``load_model`` gives it.

    Returns:
        One row an invocation, by completion: what it is (``invocation_id``, ``event_time``, ``app``, ...), for each
        feature ``raw_<name>`` (float64, 0 means nothing to say, grows with strangeness), ``value_<name>`` in the
        feature's unit and ``surprise_<name>`` (float64, honest -log10 p), then ``forest`` (what the forest adds),
        ``score`` and ``p_value``.

    Raises:
        InputError: there is no invocation in it, or it is no such table.
    """
    function = Stage("function", _APP, FunctionStage(model.judge.baselines, model.silence_nats, model.part("function")))
    caller = Stage("caller", _CALLER, _MeasureStage(model.judge, habit_score(model.curve), model.part("caller")))
    rows, _, _ = run_local(_batches(table), [function, caller])
    if rows is None:
        raise _no_invocation()
    return pa.Table.from_batches([rows]).drop_columns(["at", "late"])


@dataclass(frozen=True)
class _MeasureStage:
    """Makes the folds that measure callers and keep every number."""

    judge: Judge
    habit_score: float
    state: Mapping[str, pa.Table]

    def make(self, shard: int, shards: int) -> Fold:
        fold = _Measure(self.judge, self.habit_score, self.reach)
        fold.restore(own_rows(self.state, "key", shard, shards))
        return fold

    @cached_property
    def reach(self) -> Reach:
        return Reach.of(self.state)


class _Measure:
    """Caller features and the judge, as ``CallerScoring``, but all numbers in columns of their own."""

    def __init__(self, judge: Judge, habit_score: float, reach: Reach) -> None:
        self._judge = judge
        self._habit = habit_score
        self._callers = CallerFeatures(reach)

    def advance(self, rows: pa.RecordBatch, watermark_us: int) -> pa.RecordBatch:  # noqa: ARG002 - a Fold
        return concat([self._one_day(part) for part in by_day(rows)])

    def _one_day(self, rows: pa.RecordBatch) -> pa.RecordBatch:
        raw_c, value_c, _, raw_f = self._callers.measure(rows)
        raw = np.concatenate([raw_f, raw_c], axis=1)
        value = np.concatenate([from_matrix(rows.column("value_function")), value_c], axis=1)
        found = self._judge.score(raw, *self._judge.locate(rows))
        self._callers.unlearn(rows, np.flatnonzero(self._judge.gate(found) >= self._habit))
        columns: dict[str, Any] = {name: rows.column(name) for name in ("at", "late", *_ABOUT)}
        for label, matrix in (("raw", raw), ("value", value), ("surprise", found.surprise)):
            columns |= {f"{label}_{name}": matrix[:, j].astype(np.float64) for j, name in enumerate(FEATURE_NAMES)}
        columns |= {"forest": found.forest, "score": found.score, "p_value": found.p_value}
        return pa.RecordBatch.from_pydict(columns)

    def snapshot(self) -> Tables:
        return self._callers.snapshot()

    def restore(self, tables: Mapping[str, pa.Table]) -> None:
        self._callers.restore(tables)


def _batches(table: pa.Table) -> Iterator[pa.RecordBatch]:
    return (with_at(batch, every_operation=True) for batch in _invocations(table).to_batches() if batch.num_rows)


def _invocations(table: Any) -> pa.Table:
    """The table with the columns of INVOCATION; ``table`` may be anything that gives Arrow data."""
    if not isinstance(table, pa.Table):
        if not hasattr(table, "__arrow_c_stream__") and not isinstance(table, pa.RecordBatch):
            raise _no_such_table(f"a {type(table).__name__}")
        table = pa.table(table)
    if table.schema.equals(INVOCATION):
        return table
    missing = [name for name in INVOCATION.names if name not in table.schema.names]
    if missing:
        others = ", ".join(table.schema.names[:_TOLD]) + (", …" if table.num_columns > _TOLD else "")
        raise _no_such_table(f"columns {others}; not there: {', '.join(missing[:_TOLD])}")
    try:
        return table.select(INVOCATION.names).cast(INVOCATION)
    except (ValueError, TypeError, NotImplementedError) as error:
        raise _no_such_table(f"columns of other types: {error}") from error


def _no_such_table(received: str) -> InputError:
    return InputError(
        "These are no invocations as Lonetree reads them.",
        expected="a table with the columns of detectors.INVOCATION",
        received=received,
        hint="read logs of any shape by pipelines.load(PATH)",
    )


def _no_invocation() -> InputError:
    return InputError("There is no invocation.", expected="INVOCATION rows", received="none")


def _last_told(told: Sequence[pa.RecordBatch]) -> list[dict[str, Any]]:
    """The incidents by ``opened``, each as it was told last."""
    last = {incident["incident_id"]: incident for batch in told for incident in batch.to_pylist()}
    return sorted(last.values(), key=lambda incident: (incident["opened"], incident["incident_id"]))


def _summed(*counts: Mapping[str, int]) -> dict[str, int]:
    return {name: sum(c.get(name, 0) for c in counts) for name in sorted({n for c in counts for n in c})}
