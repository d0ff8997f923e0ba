"""Two versions on the same logs: incidents gained and lost, with reasons, how scores moved, what became of bad ones."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from typing import Any, Final, Literal

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from detectors.analysis import Detection
from detectors.features import FEATURES
from models.feedback import Feedback

Vector = npt.NDArray[Any]

#: two incidents are one where they share at least this part of the smaller one's invocations
SAME_SHARE: Final = 0.3
#: two silences of a function are one where they were told within this time
SAME_SILENCE: Final = timedelta(hours=1)
#: quantiles of the scores that are told of each function
QUANTILES: Final = {"p50": 0.5, "p99": 0.99, "p999": 0.999}

_WORDS: Final = {feature.name: feature.words for feature in FEATURES}

Outcome = Literal["found", "missed", "absent"]


@dataclass(frozen=True)
class Change:
    """An incident that only one of the two versions raised.

    Attributes:
        incident_id, kind, title, opened, functions, callers, invocations: the incident's.
        score: its score, by the version that raised it.
        other_score: the highest score that the other version gave any of its invocations; None for a silence.
        other_opens_at: score that opens an incident in the other version.
        reason: why the other version did not raise it, one sentence.
    """

    incident_id: str
    kind: str
    title: str
    opened: str
    functions: tuple[str, ...]
    callers: tuple[str, ...]
    invocations: int
    score: float
    other_score: float | None
    other_opens_at: float
    reason: str


@dataclass(frozen=True)
class FunctionScores:
    """How the scores of one function's invocations differ.

    Attributes:
        app, function: which.
        invocations: judged by both.
        a, b: quantiles and maximum of the score, by name, in each version.
        distance: Kolmogorov-Smirnov distance of the two distributions, from 0 (the same) to 1.
    """

    app: str
    function: str
    invocations: int
    a: dict[str, float]
    b: dict[str, float]
    distance: float


@dataclass(frozen=True)
class Regression:
    """What became of an incident that a person said is bad: ``found``, ``missed``, or ``absent`` from these logs."""

    feedback: str
    incident_id: str
    title: str
    a: Outcome
    b: Outcome


@dataclass(frozen=True)
class Comparison:
    """The result of ``compare``.

    Attributes:
        a, b: the versions.
        incidents: how many each raised.
        shared: how many incidents of A are also in B.
        gained: incidents that only B raised.
        lost: incidents that only A raised.
        functions: those that differ most first.
        regressions: the bad cases.
    """

    a: str
    b: str
    incidents: tuple[int, int]
    shared: int
    gained: tuple[Change, ...]
    lost: tuple[Change, ...]
    functions: tuple[FunctionScores, ...]
    regressions: tuple[Regression, ...]

    @property
    def regressed(self) -> tuple[Regression, ...]:
        """Bad cases that A found and B misses."""
        return tuple(one for one in self.regressions if one.a == "found" and one.b == "missed")

    def to_json(self) -> dict[str, Any]:
        """Plain data."""
        return {**asdict(self), "regressed": [one.feedback for one in self.regressed]}


def compare(a: Detection, b: Detection, bad: Iterable[Feedback] = ()) -> Comparison:
    """Compare what two versions made of the same logs.

    Args:
        a: by the version that runs; all verdicts, as ``detect`` gives them.
        b: by the version that may take its place.
        bad: what stands of the feedback; expectations in it are passed over.

    Returns:
        Incidents gained and lost with reasons, scores by function, and the bad cases. Nothing is changed or written.

    Example:
        >>> from detectors.schema import VERDICT
        >>> nothing = Detection(VERDICT.empty_table(), [], {}, opens_at=8.0)
        >>> said = Feedback("bad", "2026-08-01T00:00:00Z", "ann", id="F-1", incident_id="LT-1", invocation_ids=("a",))
        >>> [(case.incident_id, case.a, case.b) for case in compare(nothing, nothing, [said]).regressions]
        [('LT-1', 'absent', 'absent')]
    """
    ids_a, ids_b = _by_incident(a.verdicts), _by_incident(b.verdicts)
    pairs = _same(a.incidents, b.incidents, ids_a, ids_b)
    in_a, in_b = {x for x, _ in pairs}, {y for _, y in pairs}
    lost = [_change(one, ids_a, b) for one in a.incidents if one["incident_id"] not in in_a]
    gained = [_change(one, ids_b, a) for one in b.incidents if one["incident_id"] not in in_b]
    cases = [said for said in bad if said.what == "bad"]
    return Comparison(
        a=_version(a),
        b=_version(b),
        incidents=(len(a.incidents), len(b.incidents)),
        shared=len(in_a),
        gained=tuple(sorted(gained, key=lambda one: -one.score)),
        lost=tuple(sorted(lost, key=lambda one: -one.score)),
        functions=_functions(a.verdicts, b.verdicts),
        regressions=tuple(
            Regression(said.id, said.incident_id, said.title, _outcome(said, a), _outcome(said, b)) for said in cases
        ),
    )


def _version(found: Detection) -> str:
    return str(found.verdicts["model_version"][0].as_py()) if found.verdicts.num_rows else ""


def _by_incident(verdicts: pa.Table) -> dict[str, set[str]]:
    """Incident -> its invocations; all of them, where the incident itself lists a thousand."""
    mine = verdicts.filter(pc.is_valid(verdicts["incident_id"]))
    out: dict[str, set[str]] = {}
    ids, incidents = mine["invocation_id"].to_pylist(), mine["incident_id"].to_pylist()
    for invocation, incident in zip(ids, incidents, strict=True):
        out.setdefault(incident, set()).add(invocation)
    return out


def _same(
    left: Sequence[Mapping[str, Any]],
    right: Sequence[Mapping[str, Any]],
    ids_left: Mapping[str, set[str]],
    ids_right: Mapping[str, set[str]],
) -> set[tuple[str, str]]:
    """Pairs of incidents that are one and the same."""
    owner = {invocation: incident for incident, ids in ids_right.items() for invocation in ids}
    pairs = set()
    for incident, ids in ids_left.items():
        for other, shared in Counter(owner[i] for i in ids if i in owner).items():
            if shared >= SAME_SHARE * min(len(ids), len(ids_right[other])):
                pairs.add((incident, other))
    silent = [one for one in right if one["kind"] == "silence"]
    for one in left:
        for twin in silent if one["kind"] == "silence" else ():
            near = abs(_time(one["opened"]) - _time(twin["opened"])) <= SAME_SILENCE
            if near and set(one["functions"]) & set(twin["functions"]):
                pairs.add((one["incident_id"], twin["incident_id"]))
    return pairs


def _change(incident: Mapping[str, Any], ids: Mapping[str, set[str]], other: Detection) -> Change:
    mine = sorted(ids.get(incident["incident_id"], ()))
    rows = other.verdicts.filter(pc.is_in(other.verdicts["invocation_id"], value_set=pa.array(mine, pa.string())))
    best = pc.max(rows["score"]).as_py() if rows.num_rows else None
    elsewhere = Counter(name for name in rows["incident_id"].to_pylist() if name)
    expected = {one["incident_id"]: one["feedback"] for one in other.suppressed}
    if not mine:
        reason = "The other version heard no silence there."
    elif best is None:
        reason = "The other version judged none of its invocations."
    elif elsewhere and (name := elsewhere.most_common(1)[0][0]) in expected:
        reason = f"Feedback {expected[name]} expects it."
    elif elsewhere:
        reason = (
            f"Some of it is in the other version's {elsewhere.most_common(1)[0][0]}, which is mostly something else."
        )
    elif best >= other.opens_at:
        reason = f"Its highest score there, {best:.1f}, is enough, but belongs to another story."
    else:
        top = rows.sort_by([("score", "descending")])["reasons"][0].as_py()
        lead = f", mostly for '{_WORDS.get(top[0]['feature'], top[0]['feature'])}'" if top else ""
        reason = f"Its highest score there is {best:.1f}{lead}; {other.opens_at:.1f} opens an incident."
    return Change(
        incident_id=str(incident["incident_id"]),
        kind=str(incident["kind"]),
        title=str(incident["title"]),
        opened=_time(incident["opened"]).isoformat(),
        functions=tuple(incident["functions"]),
        callers=tuple(incident["callers"]),
        invocations=int(incident["invocations"]),
        score=float(incident["score"]),
        other_score=best,
        other_opens_at=other.opens_at,
        reason=reason,
    )


def _functions(a: pa.Table, b: pa.Table) -> tuple[FunctionScores, ...]:
    names = ["app", "function", "score"]
    keys: dict[tuple[str, str], list[Vector]] = {}
    for side, table in enumerate((a, b)):
        for key, scores in _scores(table.select(names)).items():
            keys.setdefault(key, [np.zeros(0), np.zeros(0)])[side] = scores
    found = [
        FunctionScores(app, function, min(len(x), len(y)), _told(x), _told(y), _distance(x, y))
        for (app, function), (x, y) in keys.items()
        if len(x) and len(y)
    ]
    # a distance weighs by the root of the sample's size, as in the test of that name
    return tuple(sorted(found, key=lambda one: (-one.distance * one.invocations**0.5, one.app, one.function)))


def _scores(table: pa.Table) -> dict[tuple[str, str], Vector]:
    """(app, function) -> its scores, ascending."""
    ordered = table.sort_by([("app", "ascending"), ("function", "ascending"), ("score", "ascending")])
    score = ordered["score"].to_numpy()
    counts = ordered.group_by(["app", "function"], use_threads=False).aggregate([("score", "count")])
    out, begin = {}, 0
    for row in counts.to_pylist():
        out[row["app"], row["function"]] = score[begin : begin + row["score_count"]]
        begin += row["score_count"]
    return out


def _told(scores: Vector) -> dict[str, float]:
    quantiles = {name: round(float(np.quantile(scores, q)), 3) for name, q in QUANTILES.items()}
    return {**quantiles, "max": round(float(scores[-1]), 3)}


def _distance(x: Vector, y: Vector) -> float:
    """Kolmogorov-Smirnov distance of two ascending samples."""
    points = np.concatenate([x, y])
    below_x = np.searchsorted(x, points, side="right") / len(x)
    below_y = np.searchsorted(y, points, side="right") / len(y)
    return round(float(np.abs(below_x - below_y).max()), 4)


def _outcome(said: Feedback, found: Detection) -> Outcome:
    if not said.invocation_ids:
        return _silence(said, found)
    rows = found.verdicts.filter(
        pc.is_in(found.verdicts["invocation_id"], value_set=pa.array(said.invocation_ids, pa.string()))
    )
    if rows.num_rows == 0:
        return "absent"
    told = {one["incident_id"] for one in found.incidents}
    return "found" if any(name in told for name in rows["incident_id"].to_pylist()) else "missed"


def _silence(said: Feedback, found: Detection) -> Outcome:
    begin, end = _time(said.first_event), _time(said.last_event)
    span = pc.min_max(found.verdicts["event_time"]).as_py()
    if span["min"] is None or not span["min"] <= end <= span["max"] + SAME_SILENCE:
        return "absent"
    for one in found.incidents:
        near = begin - SAME_SILENCE <= _time(one["opened"]) <= end + SAME_SILENCE
        if one["kind"] == said.kind and near and set(one["functions"]) & set(said.functions):
            return "found"
    return "missed"


def _time(moment: Any) -> datetime:
    # fromisoformat knows no Z before Python 3.11
    return datetime.fromisoformat(moment.replace("Z", "+00:00")) if isinstance(moment, str) else moment
