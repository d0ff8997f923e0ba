"""The second stage as a fold: caller features and the judge; gives verdicts of every invocation and raises the strange ones."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from detectors.caller_features import CallerFeatures
from detectors.features import FEATURE_NAMES
from detectors.function_features import IDENTIFIED, from_matrix, matrix, own_rows
from detectors.judge import Judge, Judgement
from detectors.schema import REASON
from detectors.stories import blame
from detectors.timeline import Tables
from models.hashing import combine, hash_strings

Vector = npt.NDArray[Any]

#: reasons written with a verdict
REASONS: Final = 4

#: what a scored invocation is, before incidents are made of the strange ones
SCORED: Final[pa.Schema] = pa.schema(
    [
        pa.field("at", pa.int64(), nullable=False),
        pa.field("invocation_id", pa.string(), nullable=False),
        pa.field("event_time", pa.timestamp("us", tz="UTC"), nullable=False),
        pa.field("app", pa.string(), nullable=False),
        pa.field("function", pa.string(), nullable=False),
        pa.field("trigger", pa.string(), nullable=False),
        pa.field("caller", pa.string(), nullable=False),
        pa.field("late", pa.bool_(), nullable=False),
        pa.field("score", pa.float64(), nullable=False),
        pa.field("p_value", pa.float64(), nullable=False),
        pa.field("reasons", pa.list_(REASON), nullable=False),
    ]
)

#: columns that only a strange invocation carries, for the story that it may be part of
EVIDENCE: Final = ("caller_source", "country", "city", "trigger_source", "duration_ms", "succeeded", "status", "item_count")
EVIDENCE_MORE: Final = ("path", "exception_type", "pair_age_us", "deployed_us")


@dataclass(frozen=True)
class CallerStage:
    """Makes the fold of each shard; plain data.

    Attributes:
        judge: scores.
        join_score: score from which an invocation is raised as strange.
        state: tables of ``CallerFeatures.snapshot`` at the end of training, or None.
    """

    judge: Judge
    join_score: float
    state: Mapping[str, pa.Table] | None = None

    def make(self, shard: int, shards: int) -> CallerScoring:
        """The fold of one shard."""
        fold = CallerScoring(self.judge, self.join_score)
        if self.state is not None:
            fold.restore(own_rows(self.state, "key", shard, shards))
        return fold


class CallerScoring:
    """Caller features, then the judge."""

    def __init__(self, judge: Judge, join_score: float) -> None:
        self._judge = judge
        self._join = join_score
        self._features = CallerFeatures()
        self._raised: pa.RecordBatch | None = None

    def advance(self, rows: pa.RecordBatch, watermark_us: int) -> pa.RecordBatch:  # noqa: ARG002 - a Fold
        """SCORED rows of all; ``raised()`` then gives the strange ones with their evidence."""
        raw_c, value_c, typical_c = self._features.measure(rows)
        raw = np.concatenate([from_matrix(rows.column("raw_function")), raw_c], axis=1)
        group, cohort = self._judge.locate(rows)
        found = self._judge.score(raw, group, cohort)
        value = np.concatenate([from_matrix(rows.column("value_function")), value_c], axis=1)
        typical = np.concatenate([from_matrix(rows.column("typical_function")), typical_c], axis=1)
        shares = self._judge.shares(found)
        columns: dict[str, Any] = {name: rows.column(name) for name in SCORED.names[:8]}
        columns["score"], columns["p_value"] = pa.array(found.score), pa.array(found.p_value)
        columns["reasons"] = reasons_of(shares, value, typical)
        scored = pa.RecordBatch.from_arrays([columns[n] for n in SCORED.names], schema=SCORED)
        self._raised = self._strange(rows, scored, found, shares, value, typical)
        return scored

    def _strange(
        self, rows: pa.RecordBatch, scored: pa.RecordBatch, found: Judgement, shares: Vector, value: Vector, typical: Vector
    ) -> pa.RecordBatch:
        chosen = np.flatnonzero(found.score >= self._join)
        take = pa.array(chosen)
        rows, scored = rows.take(take), scored.take(take)
        identified = np.asarray(pc.is_in(rows.column("caller_source"), value_set=pa.array(IDENTIFIED)))
        width = from_matrix(rows.column("value_function")).shape[1]
        trouble, by_caller, crowd = blame(
            found.families[chosen], value[chosen][:, :width], value[chosen][:, width:], identified
        )
        app = hash_strings(rows.column("app"))
        caller = np.where(identified, hash_strings(rows.column("caller")), np.uint64(0))
        extra: dict[str, pa.Array] = {
            **{n: rows.column(n) for n in (*EVIDENCE, *EVIDENCE_MORE)},
            "surprise": matrix(found.surprise[chosen]),
            "share": matrix(shares[chosen]),
            "value": matrix(value[chosen].astype(np.float64)),
            "typical": matrix(typical[chosen].astype(np.float64)),
            "function_key": pa.array(combine(app, hash_strings(rows.column("function")))),
            "caller_key": pa.array(caller),
            "app_key": pa.array(app),
            "trouble": pa.array(trouble.astype(np.int64)),
            "by_caller": pa.array(by_caller),
            "crowd": pa.array(crowd),
        }
        fields = [*scored.schema, *(pa.field(n, c.type) for n, c in extra.items())]
        return pa.RecordBatch.from_arrays([*scored.columns, *extra.values()], schema=pa.schema(fields))

    def raised(self) -> pa.RecordBatch | None:
        """The strange invocations of the last ``advance``."""
        return self._raised

    def snapshot(self) -> Tables:
        """State of all callers of the shard."""
        return self._features.snapshot()

    def restore(self, tables: Mapping[str, pa.Table]) -> None:
        """Take over a snapshot."""
        self._features.restore(tables)


def reasons_of(shares: Vector, value: Vector, typical: Vector) -> pa.Array:
    """The largest shares of each event as list<struct<feature, value, typical, share>>."""
    n = len(shares)
    top = np.argsort(-shares, axis=1, kind="stable")[:, :REASONS]
    share = np.take_along_axis(shares, top, axis=1)
    counted = share > 0.0
    offsets = np.concatenate([[0], np.cumsum(counted.sum(axis=1))]).astype(np.int32)
    row = np.repeat(np.arange(n), REASONS).reshape(n, REASONS)[counted] if n else np.zeros(0, np.int64)
    feature = top[counted]
    names = pa.DictionaryArray.from_arrays(pa.array(feature.astype(np.int32)), pa.array(FEATURE_NAMES)).cast(pa.string())
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
