"""Second stage, second half: from raw features to surprise, score and p-value.

    raw feature ─► surprise in its function ─► honest surprise ─► largest of each family ─► sum ┐
                                                       └► isolation forest ─► its own surprise ─┴► score ─► p-value

The first surprise extrapolates from what a function showed. The honest one asks how often, in hours of normal life that
the tails had not seen, any function reached such a surprise: a feature that cries wolf is believed less.

A forest can't rank beyond what it was trained on, a sum can't see combinations; the calibrated total has both.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from detectors.features import FAMILIES, FAMILY_OF
from detectors.function_features import cohorts_of, from_matrix
from models.baselines import Baselines, pair_codes
from models.forest import Forest
from models.tails import Tails

Vector = npt.NDArray[Any]

#: surprise that each family is granted before it counts: one hour in two reaches it
GRANT: Final = 1.5
#: surprise that the forest is granted: it is judged by events, not hours, and one event in thirty reaches it
FOREST_GRANT: Final = 2.0
#: nats of raw feature below which there is hardly any evidence
GRAIN: Final = 1.0
#: surprises are clipped here before the forest sees them
FOREST_CLIP: Final = 6.0
_FAMILY: Final = np.array(FAMILY_OF)
_MEMBERS: Final = tuple(np.flatnonzero(np.equal(_FAMILY, k)) for k in range(len(FAMILIES)))


@dataclass(frozen=True)
class Judgement:
    """What the judge found for n events.

    Attributes:
        surprise: float64[n, len(FEATURES)], -log10 p of each feature.
        families: float64[n, len(FAMILIES)], what each family adds to the total.
        forest: float64[n], what the forest adds to the total.
        score: float64[n], the total; higher is stranger.
        p_value: float64[n], share of normal invocations of the same kind of trigger at least as strange.
    """

    surprise: Vector
    families: Vector
    forest: Vector
    score: Vector
    p_value: Vector

    def take(self, rows: Vector) -> Judgement:
        """What was found for some of the events, int64[m]."""
        parts = (self.surprise, self.families, self.forest, self.score, self.p_value)
        return Judgement(*(part[rows] for part in parts))

    def spread(self, rows: Vector, n: int) -> Judgement:
        """The same for n events, of which only these ``rows``, int64[m], were judged; the others score 0."""
        parts = []
        for part in (self.surprise, self.families, self.forest, self.score, self.p_value):
            whole = np.zeros((n, *part.shape[1:]))
            whole[rows] = part
            parts.append(whole)
        # nothing is less strange than a score of 0
        parts[-1] = np.ones(n)
        parts[-1][rows] = self.p_value
        return Judgement(*parts)


@dataclass(frozen=True)
class Judge:
    """Everything needed to score; plain data.

    Attributes:
        baselines: names and cohorts of the functions.
        tails: of the raw features.
        honest: of the surprises, by hours of normal life that the tails had not seen; None while they are fitted.
        forest: isolation forest on clipped surprises, for the tenant.
        forest_tails: of the forest's score.
        total_tails: of the total.
        weights: float64[len(FAMILIES)], what a score led by each family counts for when incidents are opened.
    """

    baselines: Baselines
    tails: Tails
    honest: Tails | None
    forest: Forest | None
    forest_tails: Tails | None
    total_tails: Tails | None
    weights: Vector = field(default_factory=lambda: np.ones(len(FAMILIES)))

    def gate(self, found: Judgement) -> Vector:
        """float64[n]: the score as it counts for opening incidents.

        Some families look strange in normal life more often than others; each is held to what it does there.
        """
        weighted: Vector = found.score * self.weights[found.families.argmax(axis=1)]
        return weighted

    def locate(self, rows: pa.RecordBatch | pa.Table) -> tuple[Vector, Vector]:
        """Group (function row, or -1) and cohort of each event, int64[n] each; taken from the rows if they say so."""
        if "group" in rows.schema.names:
            return np.asarray(rows.column("group")).astype(np.int64), np.asarray(rows.column("cohort")).astype(np.int64)
        index = {n: i for i, n in enumerate(zip(self.baselines.apps, self.baselines.functions, strict=True))}
        codes, names = pair_codes(rows.column("app"), rows.column("function"))
        lookup = np.array([index.get(n, -1) for n in names], dtype=np.int64)
        group = lookup[codes] if len(names) else np.zeros(0, np.int64)
        own = cohorts_of(rows.column("trigger"))
        return group, np.where(group >= 0, self.baselines.cohort[np.maximum(group, 0)], own)

    def judge(self, rows: pa.RecordBatch) -> Judgement:
        """Score events that carry ``raw_function`` and ``raw_caller``."""
        group, cohort = self.locate(rows)
        raw = np.concatenate([from_matrix(rows.column("raw_function")), from_matrix(rows.column("raw_caller"))], axis=1)
        return self.score(raw, group, cohort)

    def score(self, raw: Vector, group: Vector, cohort: Vector) -> Judgement:
        """Score raw features, float[n, len(FEATURES)]."""
        surprise = self.surprise(raw, group, cohort)
        families = family_parts(surprise)
        forest = self.forest_part(surprise, cohort)
        total = families.sum(axis=1) + forest
        if self.total_tails is None:
            p_value = np.ones(len(total))
        else:
            # judged against its cohort, so that a p-value means the same for every kind of trigger
            strange = self.total_tails.surprise(total[:, None], np.full(len(total), -1), cohort)[:, 0]
            p_value = np.power(10.0, -strange)
        return Judgement(surprise, families, forest, total, p_value)

    def surprise(self, raw: Vector, group: Vector, cohort: Vector) -> Vector:
        """Honest surprise of each feature, float64[n, len(FEATURES)]."""
        found = self.tails.surprise(raw, group, cohort, GRAIN)
        return found if self.honest is None else self.honest.surprise(found, np.full(len(found), -1), cohort)

    def shares(self, found: Judgement) -> Vector:
        """Share of the score by feature, float64[n, len(FEATURES)]; rows sum to 1, or to 0 where the score is 0.

        A family's part belongs to its largest feature. The forest's part is laid on the features by its paths.
        """
        out = np.zeros(found.surprise.shape)
        row = np.arange(len(out))
        for k, members in enumerate(_MEMBERS):
            lead = members[found.surprise[:, members].argmax(axis=1)]
            out[row, lead] += found.families[:, k]
        felt = np.flatnonzero(found.forest > 0.0)
        if self.forest is not None and len(felt):
            path = np.maximum(self.forest.attribute(np.minimum(found.surprise[felt], FOREST_CLIP)), 0.0)
            total = path.sum(axis=1, keepdims=True)
            out[felt] += found.forest[felt, None] * np.where(total > 0.0, path / np.maximum(total, 1e-12), 0.0)
        total = out.sum(axis=1, keepdims=True)
        return np.where(total > 0.0, out / np.maximum(total, 1e-12), 0.0)

    def forest_part(self, surprise: Vector, cohort: Vector) -> Vector:
        """What the forest adds to the total, float64[n]."""
        if self.forest is None or self.forest_tails is None:
            return np.zeros(len(surprise))
        depth = self.forest_feature(surprise)
        found = self.forest_tails.surprise(depth, np.full(len(depth), -1), cohort)[:, 0]
        return np.maximum(found - FOREST_GRANT, 0.0)

    def forest_feature(self, surprise: Vector) -> Vector:
        """The forest's score as a raw feature, float64[n, 1]: above 0 where stranger than an empty leaf."""
        if self.forest is None:
            return np.zeros((len(surprise), 1))
        return depth_feature(self.forest.score(np.minimum(surprise, FOREST_CLIP)))


def depth_feature(scored: Vector) -> Vector:
    """A forest's scores, float64[n], as a raw feature, float64[n, 1]."""
    depth: Vector = np.maximum(scored - 0.3, 0.0)[:, None] * 10.0
    return depth


def family_parts(surprise: Vector) -> Vector:
    """float64[n, len(FAMILIES)]: the largest surprise of each family, less what every family is granted."""
    out = np.empty((len(surprise), len(FAMILIES)))
    for k, members in enumerate(_MEMBERS):
        out[:, k] = surprise[:, members].max(axis=1)
    return np.maximum(out - GRANT, 0.0)


def tables_of(judge: Judge) -> Mapping[str, pa.Table]:
    """The judge as tables, for a bundle."""
    out = {"baselines": judge.baselines.to_table(), "tails": judge.tails.to_table()}
    if judge.honest is not None:
        out["honest"] = judge.honest.to_table()
    if judge.forest is not None:
        out["forest"] = judge.forest.to_table()
    if judge.forest_tails is not None:
        out["forest_tails"] = judge.forest_tails.to_table()
    out["weights"] = pa.table({"family": list(FAMILIES), "weight": judge.weights})
    if judge.total_tails is not None:
        out["total_tails"] = judge.total_tails.to_table()
    return out


def judge_from(tables: Mapping[str, pa.Table]) -> Judge:
    """The inverse of ``tables_of``."""

    def tails(name: str) -> Tails | None:
        return Tails.from_table(tables[name]) if name in tables else None

    return Judge(
        baselines=Baselines.from_table(tables["baselines"]),
        tails=Tails.from_table(tables["tails"]),
        honest=tails("honest"),
        forest=Forest.from_table(tables["forest"]) if "forest" in tables else None,
        forest_tails=tails("forest_tails"),
        total_tails=tails("total_tails"),
        weights=tables["weights"].column("weight").to_numpy().copy(),
    )
