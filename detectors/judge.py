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

from detectors.features import FAMILIES, FAMILY_OF, FEATURES
from detectors.forests import FOREST_CLIP, forest_rows
from detectors.function_features import cohorts_of, from_matrix
from detectors.habits import Habits
from models.baselines import Baselines, pair_codes
from models.forest import ForestSet
from models.tails import Tails

Vector = npt.NDArray[Any]

#: surprise that each family is granted before it counts: one hour in two reaches it
GRANT: Final = 1.5
#: surprise that the forest is granted: it is judged by events, not hours, and a new day brings more of what it finds
#: strange than held-out hours do
FOREST_GRANT: Final = 3.5
#: nats of raw feature below which there is hardly any evidence
GRAIN: Final = 1.0
#: how many times the evidence that it claims itself a feature may come to
BELIEF: Final = 2.0
#: float64[len(FEATURES)]: what is believed of BELIEF
_BELIEVED: Final = np.where([feature.counted for feature in FEATURES], 1.0 / BELIEF, 1.0)
_FAMILY: Final = np.array(FAMILY_OF)
_MEMBERS: Final = tuple(np.flatnonzero(np.equal(_FAMILY, k)) for k in range(len(FAMILIES)))


@dataclass(frozen=True)
class Judgement:
    """What the judge found for n events.

    Attributes:
        surprise: float64[n, len(FEATURES)], -log10 p of each feature.
        families: float64[n, len(FAMILIES)], what each family adds to the total.
        forest: float64[n], what the forest adds to the total.
        forest_of: int64[n], number of the forest that judged it.
        score: float64[n], the total; higher is stranger.
        p_value: float64[n], share of normal invocations of the same kind of trigger at least as strange.
    """

    surprise: Vector
    families: Vector
    forest: Vector
    forest_of: Vector
    score: Vector
    p_value: Vector

    @property
    def _parts(self) -> tuple[Vector, ...]:
        return (self.surprise, self.families, self.forest, self.forest_of, self.score, self.p_value)

    def parts(self, shares: Vector) -> Vector:
        """What each family adds to the score, float64[n, len(FAMILIES)], the forest's part among them by its paths.

        Args:
            shares: of the score by feature, as ``Judge.shares`` gives them.
        """
        out = np.zeros((len(shares), len(FAMILIES)))
        for k, members in enumerate(_MEMBERS):
            out[:, k] = shares[:, members].sum(axis=1)
        return out * self.score[:, None]

    def take(self, rows: Vector) -> Judgement:
        """What was found for some of the events, int64[m]."""
        return Judgement(*(part[rows] for part in self._parts))

    def spread(self, rows: Vector, n: int) -> Judgement:
        """The same for n events, of which only these ``rows``, int64[m], were judged; the others score 0."""
        parts = []
        for part in self._parts:
            whole = np.zeros((n, *part.shape[1:]), part.dtype)
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
        forest: isolation forests on clipped surprises: the tenant's, then those of triggers, then those of functions.
        forest_tails: of a forest's score; the groups are all forests but the tenant's, which is judged by trigger.
        total_tails: of the total.
        weights: float64[len(FAMILIES)], what a score led by each family counts for when incidents are opened.
        forest_of: int64[functions + cohorts], number of each function's forest, then of that of each cohort, for
            functions that training did not know; empty without forests.
        habits: what a score counts for at functions where its like comes back.
    """

    baselines: Baselines
    tails: Tails
    honest: Tails | None
    forest: ForestSet | None
    forest_tails: Tails | None
    total_tails: Tails | None
    weights: Vector = field(default_factory=lambda: np.ones(len(FAMILIES)))
    forest_of: Vector = field(default_factory=lambda: np.zeros(0, np.int64))
    habits: Habits = field(default_factory=Habits.none)

    def gate(self, found: Judgement) -> Vector:
        """float64[n]: the score as it counts for opening incidents.

        Some families look strange in normal life more often than others; each is held to what it does there.
        """
        weighted: Vector = found.score * self.weights[self.lead(found)]
        return weighted

    def lead(self, found: Judgement) -> Vector:
        """int64[n]: the family that adds most to the score; where none adds anything, by the forest's paths."""
        out: Vector = found.families.argmax(axis=1)
        alone = np.flatnonzero((found.forest > 0.0) & ~found.families.any(axis=1))
        if len(alone):
            only = found.take(alone)
            out[alone] = only.parts(self.shares(only)).argmax(axis=1)
        return out

    def locate(self, rows: pa.RecordBatch | pa.Table) -> tuple[Vector, Vector]:
        """Group (function row, or -1) and cohort of each event, int64[n] each; taken from the rows if they say so."""
        if "group" in rows.schema.names:
            return np.asarray(rows.column("group")).astype(np.int64), np.asarray(rows.column("cohort")).astype(np.int64)
        index = {n: i for i, n in enumerate(self.baselines.names())}
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
        number = forest_rows(self.forest_of, group, cohort, len(self.baselines))
        forest = self.forest_part(surprise, number, cohort)
        total = families.sum(axis=1) + forest
        here = self.habits.concern(group)
        if len(here):
            found = Judgement(surprise, families, forest, number, total, total).take(here)
            total[here] *= self.habits.of(group[here], self.lead(found))
        if self.total_tails is None:
            p_value = np.ones(len(total))
        else:
            # judged against its cohort, so that a p-value means the same for every kind of trigger
            strange = self.total_tails.surprise(total[:, None], np.full(len(total), -1), cohort)[:, 0]
            p_value = np.power(10.0, -strange)
        return Judgement(surprise, families, forest, number, total, p_value)

    def surprise(self, raw: Vector, group: Vector, cohort: Vector) -> Vector:
        """Honest surprise of each feature, float64[n, len(FEATURES)]."""
        return self.believed(first_surprise(self.tails, raw, group, cohort), raw, cohort)

    def believed(self, first: Vector, raw: Vector, cohort: Vector) -> Vector:
        """Honest surprise of each feature, given the first, float64[n, len(FEATURES)] each."""
        if self.honest is None:
            return first
        return believable(self.honest.surprise(first, np.full(len(first), -1), cohort), raw)

    def shares(self, found: Judgement) -> Vector:
        """Share of the score by feature, float64[n, len(FEATURES)]; rows sum to 1, or to 0 where the score is 0.

        A family's part belongs to its largest feature. The forest's part is laid on the features by the paths in the
        forest that judged it.
        """
        out = np.zeros(found.surprise.shape)
        row = np.arange(len(out))
        for k, members in enumerate(_MEMBERS):
            lead = members[found.surprise[:, members].argmax(axis=1)]
            out[row, lead] += found.families[:, k]
        felt = np.flatnonzero(found.forest > 0.0)
        if self.forest is not None and len(felt):
            clipped = np.minimum(found.surprise[felt], FOREST_CLIP)
            path = np.maximum(self.forest.attribute(clipped, found.forest_of[felt]), 0.0)
            total = path.sum(axis=1, keepdims=True)
            out[felt] += found.forest[felt, None] * np.where(total > 0.0, path / np.maximum(total, 1e-12), 0.0)
        total = out.sum(axis=1, keepdims=True)
        return np.where(total > 0.0, out / np.maximum(total, 1e-12), 0.0)

    def forest_part(self, surprise: Vector, number: Vector, cohort: Vector) -> Vector:
        """What the forest of this number adds to the total, float64[n]."""
        if self.forest is None or self.forest_tails is None:
            return np.zeros(len(surprise))
        return forest_part(self.forest_surprise(self.forest_feature(surprise, number), number, cohort))

    def forest_feature(self, surprise: Vector, number: Vector) -> Vector:
        """The forest's score as a raw feature, float64[n, 1]: above 0 where stranger than an empty leaf."""
        if self.forest is None:
            return np.zeros((len(surprise), 1))
        return depth_feature(self.forest.score(np.minimum(surprise, FOREST_CLIP), number))

    def forest_surprise(self, depth: Vector, number: Vector, cohort: Vector) -> Vector:
        """How rare such a ``forest_feature`` is in the forest of this number, float64[n]; 0 without forests."""
        if self.forest_tails is None:
            return np.zeros(len(depth))
        # scores of different forests can't be compared; the tenant's serves what is left of each trigger
        found: Vector = self.forest_tails.surprise(depth, number - 1, cohort)[:, 0]
        return found


def depth_feature(scored: Vector) -> Vector:
    """A forest's scores, float64[n], as a raw feature, float64[n, 1]."""
    depth: Vector = np.maximum(scored - 0.3, 0.0)[:, None] * 10.0
    return depth


def forest_part(surprise: Vector) -> Vector:
    """What a forest's surprise, float64[n], adds to the total: what is beyond that which every forest is granted."""
    part: Vector = np.maximum(surprise - FOREST_GRANT, 0.0)
    return part


def first_surprise(tails: Tails, raw: Vector, group: Vector, cohort: Vector) -> Vector:
    """Surprise of each feature by its tails, as far as the evidence goes, float64[n, len(FEATURES)]."""
    return believable(tails.surprise(raw, group, cohort, GRAIN), raw)


def believable(surprise: Vector, raw: Vector) -> Vector:
    """The surprise as far as the evidence goes, float64[n, len(FEATURES)].

    A raw feature of x nats makes normal life e^x times as unlikely by its own account. Tails are extrapolated and may
    make far more of it: at most ``BELIEF`` times its own account is believed, of ``counted`` features once. What was
    not measured says nothing.
    """
    most = np.fmax(np.asarray(raw, np.float64), 0.0) * (_BELIEVED * (BELIEF / np.log(10.0)))
    limited: Vector = np.minimum(surprise, most)
    return limited


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
        out["forest_of"] = pa.table({"forest": judge.forest_of})
    if judge.forest_tails is not None:
        out["forest_tails"] = judge.forest_tails.to_table()
    if len(judge.habits):
        out["habits"] = judge.habits.to_table()
    out["weights"] = pa.table({"family": list(FAMILIES), "weight": judge.weights})
    if judge.total_tails is not None:
        out["total_tails"] = judge.total_tails.to_table()
    return out


def judge_from(tables: Mapping[str, pa.Table]) -> Judge:
    """The inverse of ``tables_of``."""

    def tails(name: str) -> Tails | None:
        return Tails.from_table(tables[name]) if name in tables else None

    forest_of = np.zeros(0, np.int64)
    if "forest_of" in tables:
        forest_of = tables["forest_of"].column("forest").to_numpy().copy()
    return Judge(
        baselines=Baselines.from_table(tables["baselines"]),
        tails=Tails.from_table(tables["tails"]),
        honest=tails("honest"),
        forest=ForestSet.from_table(tables["forest"]) if "forest" in tables else None,
        forest_tails=tails("forest_tails"),
        total_tails=tails("total_tails"),
        weights=tables["weights"].column("weight").to_numpy().copy(),
        forest_of=forest_of,
        habits=Habits.from_table(tables["habits"]) if "habits" in tables else Habits.none(),
    )
