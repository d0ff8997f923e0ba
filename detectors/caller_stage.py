"""The second stage as a fold: caller features and the judge; gives every invocation a verdict, raises the strange."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from detectors.blame import blame, party
from detectors.caller_features import CallerFeatures, Reach, by_day
from detectors.features import FEATURE_NAMES
from detectors.function_features import IDENTIFIED, from_matrix, matrix, own_rows
from detectors.judge import Judge, Judgement
from detectors.order import concat, with_methods
from detectors.quiet import Quiet, quiet_of
from detectors.raised import SCORED, raised_batch
from detectors.schema import REASON
from detectors.timeline import Tables
from models.baselines import COHORTS
from models.hashing import combine, hash_strings

Vector = npt.NDArray[Any]

#: reasons written with a verdict
REASONS: Final = 4

#: columns that only a strange invocation carries, for the story that it may be part of
EVIDENCE: Final = (
    *("caller_source", "country", "city", "trigger_source", "duration_ms", "succeeded", "status", "item_count"),
    *("method", "path", "exception_type", "pair_age_us", "deployed_us"),
)
#: columns that are read only of invocations that get a verdict: a shuffle may leave them aside
_ASIDE: Final = (
    *("invocation_id", "event_time", "app", "function", "trigger", "trigger_source", "caller", "caller_source"),
    *("country", "city", "duration_ms", "method", "path", "exception_type"),
    *("value_function", "typical_function", "cold", "deployed_us"),
)
_NOTHING: Final = pa.RecordBatch.from_pylist([], schema=SCORED)


@dataclass(frozen=True)
class CallerStage:
    """Makes the fold of each shard; plain data.

    Attributes:
        judge: scores.
        join_score: score from which an invocation is raised as strange.
        habit_score: score from which it does not become its caller's habit, whatever the budget.
        version: named in each verdict.
        state: tables of ``CallerFeatures.snapshot`` at the end of training, or None.
        strange_only: what is not strange gets no verdict, which spares its reasons.
        aside: columns that the folds fetch for few rows.
    """

    judge: Judge
    join_score: float
    habit_score: float
    version: str = ""
    state: Mapping[str, pa.Table] | None = None
    strange_only: bool = False
    aside: tuple[str, ...] = _ASIDE

    def make(self, shard: int, shards: int) -> CallerScoring:
        """The fold of one shard."""
        fold = CallerScoring(
            *(self.judge, self.join_score, self.habit_score, self.version, self.quiet, self.reach),
            strange_only=self.strange_only,
        )
        if self.state is not None:
            fold.restore(own_rows(self.state, "key", shard, shards))
        return fold

    @cached_property
    def reach(self) -> Reach:
        """How seldom callers of other apps come to each app, the same for all shards."""
        return Reach.of(self.state)

    @cached_property
    def quiet(self) -> Quiet | None:
        """What tells plainly normal invocations, the same for all shards; None where even a score of 0 is strange."""
        return quiet_of(self.judge, len(FEATURE_NAMES), len(COHORTS)) if self.join_score > 0.0 else None


class CallerScoring:
    """Caller features, then the judge for all that is not plainly normal."""

    def __init__(
        self, judge: Judge, join_score: float, habit_score: float, version: str = "", quiet: Quiet | None = None,
        reach: Reach | None = None, *, strange_only: bool = False,
    ) -> None:  # fmt: skip
        self._judge = judge
        self._join = join_score
        self._habit = habit_score
        self._version = version
        self._quiet = quiet
        self._strange_only = strange_only
        #: rows with the columns that a shuffle left aside
        self.recall: Callable[[pa.RecordBatch], pa.RecordBatch] = _as_they_are
        self._features = CallerFeatures(reach)
        self._raised: pa.RecordBatch | None = None

    def advance(self, rows: pa.RecordBatch, watermark_us: int) -> pa.RecordBatch:  # noqa: ARG002 - a Fold
        """SCORED rows of all that is not strange; ``raised()`` then gives the strange ones with their evidence."""
        given, strange = zip(*(self._one_day(part) for part in by_day(rows)), strict=True)
        raised = [part for part in strange if part is not None]
        self._raised = concat(raised) if raised else None
        return concat(list(given))

    def _one_day(self, rows: pa.RecordBatch) -> tuple[pa.RecordBatch, pa.RecordBatch | None]:
        """SCORED rows of what is not strange among invocations of one UTC day, and RAISED rows of what is."""
        raw_c, value_c, typical_c, raw_f = self._features.measure(rows)
        group, cohort = self._judge.locate(rows)
        loud, found = self._judged(raw_f, raw_c, group, cohort)
        gate = self._judge.gate(found)
        self._features.unlearn(rows, loud[gate >= self._habit])
        strange = gate >= self._join
        told = loud[strange]
        raised = None
        if len(told):
            about = self._told(told, rows, found.take(strange), value_c, typical_c, candidate=True)
            came_from = self._judge.baselines.named(self._features.came_from[told])
            raised = self._evidence(*about, gate[strange], came_from)
        if self._strange_only or len(told) == rows.num_rows:
            return _NOTHING, raised
        others = np.ones(rows.num_rows, np.bool_)
        others[told] = False
        chosen = np.flatnonzero(others)
        whole = found.spread(loud, rows.num_rows).take(chosen)
        return self._told(chosen, rows, whole, value_c, typical_c, candidate=False)[1], raised

    def _judged(self, raw_f: Vector, raw_c: Vector, group: Vector, cohort: Vector) -> tuple[Vector, Judgement]:
        """The rows that are not plainly normal, int64[m], and what the judge finds for them."""
        if self._quiet is None:
            loud = np.arange(len(group))
        else:
            loud = np.flatnonzero(~self._quiet.find(raw_f, raw_c, group, cohort))
        raw = np.concatenate([raw_f[loud], raw_c[loud]], axis=1)
        return loud, self._judge.score(raw, group[loud], cohort[loud])

    def _told(
        self,
        chosen: Vector,
        rows: pa.RecordBatch,
        found: Judgement,
        value_c: Vector,
        typical_c: Vector,
        *,
        candidate: bool,
    ) -> tuple[pa.RecordBatch, pa.RecordBatch, Judgement, Vector, Vector, Vector]:
        """The chosen rows, as they are and as SCORED, with their judgement, shares, values and typical values."""
        if len(chosen) < rows.num_rows:
            rows = rows.take(pa.array(chosen))
            value_c, typical_c = value_c[chosen], typical_c[chosen]
        rows = self.recall(rows)
        value = np.concatenate([from_matrix(rows.column("value_function")), value_c], axis=1)
        typical = np.concatenate([from_matrix(rows.column("typical_function")), typical_c], axis=1)
        shares = self._judge.shares(found)
        n = rows.num_rows
        columns: dict[str, Any] = {name: rows.column(name) for name in SCORED.names[:8]}
        columns["score"], columns["p_value"] = pa.array(found.score), pa.array(found.p_value)
        columns["reasons"] = reasons_of(shares, value, typical)
        columns["anomalous"] = pa.repeat(pa.scalar(False), n)
        columns["incident_id"] = pa.nulls(n, pa.string())
        columns["model_version"] = pa.repeat(pa.scalar(self._version), n)
        columns["candidate"] = pa.repeat(pa.scalar(candidate), n)
        scored = pa.RecordBatch.from_arrays([columns[name] for name in SCORED.names], schema=SCORED)
        return rows, scored, found, shares, value, typical

    def _evidence(
        self,
        rows: pa.RecordBatch,
        scored: pa.RecordBatch,
        found: Judgement,
        shares: Vector,
        value: Vector,
        typical: Vector,
        gate: Vector,
        came_from: pa.Array,
    ) -> pa.RecordBatch:
        identified = np.asarray(pc.is_in(rows.column("caller_source"), value_set=pa.array(IDENTIFIED)))
        named = np.asarray(rows.column("named"))
        trouble, by_caller, crowd = blame(found.parts(shares), found.surprise, value, identified, named)
        app = hash_strings(rows.column("app"))
        columns: dict[str, Any] = {name: scored.column(name) for name in SCORED.names}
        columns |= {name: rows.column(name) for name in EVIDENCE}
        columns |= {
            "gate": gate,
            "came_from": came_from,
            "surprise": matrix(found.surprise),
            "share": matrix(shares),
            "value": matrix(value.astype(np.float64)),
            "typical": matrix(typical.astype(np.float64)),
            "function_key": combine(app, hash_strings(rows.column("function"))),
            "caller_key": np.where(identified, party(rows.column("caller")), np.uint64(0)),
            "app_key": app,
            "trouble": trouble.astype(np.int64),
            "by_caller": by_caller,
            "crowd": crowd,
        }
        return raised_batch(columns, rows.num_rows)

    def raised(self) -> pa.RecordBatch | None:
        """The strange invocations of the last ``advance``."""
        return self._raised

    def snapshot(self) -> Tables:
        """State of all callers of the shard."""
        return self._features.snapshot()

    def renewed(self, rows: pa.Table) -> pa.Table:
        """Rows that an earlier version saved on their way here."""
        return with_methods(rows)

    def restore(self, tables: Mapping[str, pa.Table]) -> None:
        """Take over a snapshot."""
        self._features.restore(tables)


def _as_they_are(rows: pa.RecordBatch) -> pa.RecordBatch:
    return rows


def reasons_of(shares: Vector, value: Vector, typical: Vector) -> pa.Array:
    """The largest shares of each event as list<struct<feature, value, typical, share>>."""
    n = len(shares)
    top = np.argsort(-shares, axis=1, kind="stable")[:, :REASONS]
    share = np.take_along_axis(shares, top, axis=1)
    counted = share > 0.0
    offsets = np.concatenate([[0], np.cumsum(counted.sum(axis=1))]).astype(np.int32)
    row = np.repeat(np.arange(n), REASONS).reshape(n, REASONS)[counted] if n else np.zeros(0, np.int64)
    feature = top[counted]
    names = pa.DictionaryArray.from_arrays(pa.array(feature.astype(np.int32)), pa.array(FEATURE_NAMES)).cast(
        pa.string()
    )
    struct = pa.StructArray.from_arrays(
        [
            names,
            pa.array(value[row, feature].astype(np.float64)),
            pa.array(typical[row, feature].astype(np.float64)),
            pa.array(share[counted].astype(np.float64)),
        ],
        fields=list(REASON),
    )
    return pa.ListArray.from_arrays(pa.array(offsets), struct, type=pa.list_(REASON))
