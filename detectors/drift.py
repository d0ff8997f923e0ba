"""Has the world moved away from what a model learned: features, functions and the alert rate, against its training.

The evidence is the largest surprise of each feature in each block of time (``detectors.drift_blocks``). Their mean now
is compared with that in the training's held-out part by Welch's t-test, which allows for unequal variances: blocks are
nearly independent where invocations are not, and a mean of surprises moves little where a value merely crosses the edge
of a bin, as it would in a population stability index. Many features of many functions are tested: the false discovery
rate is held by Benjamini and Hochberg's procedure (1995). What is significant may still be slight: a feature has moved
only where its mean has changed by a surprise that matters.

Alerts are compared with what the model's own calibration expects, by the Poisson distribution.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from detectors.analysis import detect, measure
from detectors.drift_blocks import Summary, blocks_of, summaries_of
from detectors.features import FEATURE_NAMES, FEATURES
from detectors.model import Model
from models.baselines import LEVELS, US
from models.errors import InputError

Vector = npt.NDArray[Any]

#: change of the mean surprise that matters, -log10 p: a usual block has become three times rarer, or less rare
MATTERS: Final = 0.5
#: share of false alarms among the features that are said to have moved
FALSE_DISCOVERIES: Final = 0.01
#: blocks of each kind below which a feature's distribution is not compared
MIN_BLOCKS: Final = 8
#: share of the invocations in functions that moved, or that the model doesn't know, from which to train again
RETRAIN_SHARE: Final = 0.1
#: an alert rate is out of line where it is so improbable, and at least so many times what is expected
ALERT_P: Final = 0.01
ALERT_RATIO: Final = 2.0

_WELCH: Final = ("mean", "variance", "blocks")
_DAY_S: Final = 86_400.0
_WORDS: Final = {feature.name: feature.words for feature in FEATURES}


@dataclass(frozen=True)
class Shift:
    """One feature of one function.

    Attributes:
        feature: its name.
        words: how a sentence names it.
        before: mean over the training's blocks of the largest surprise in each, -log10 p.
        now: the same over the blocks of these logs.
        p_value: of so large a difference without drift.
        blocks: how many were compared, before and now.
    """

    feature: str
    words: str
    before: float
    now: float
    p_value: float
    blocks: tuple[int, int]


@dataclass(frozen=True)
class FunctionDrift:
    """A function that moved.

    Attributes:
        app, function: which.
        invocations: in these logs.
        shifts: the features that moved, furthest first.
        median_ms: median run time then and now; nan where unknown.
        per_day: calls a day then and now.
        failure_rate: share of failures then and now.
    """

    app: str
    function: str
    invocations: int
    shifts: tuple[Shift, ...]
    median_ms: tuple[float, float]
    per_day: tuple[float, float]
    failure_rate: tuple[float, float]


@dataclass(frozen=True)
class Drift:
    """The result of ``measure_drift``.

    Attributes:
        version: the model's.
        days: length of the logs.
        invocations: in them.
        tested: pairs of function and feature that could be compared.
        moved: functions that moved, the busiest first.
        unknown: functions that the model has never seen, ``app/function``.
        gone: functions that it knows and these logs don't show.
        moved_share, unknown_share: of the invocations.
        incidents: raised in these logs at the budget.
        expected_incidents: how many false ones the calibration expects in so many days.
        alert_p: how probable so many or more incidents are, if all were false.
        retrain: whether to train again.
        advice: why or why not, one sentence each.
    """

    version: str
    days: float
    invocations: int
    tested: int
    moved: tuple[FunctionDrift, ...]
    unknown: tuple[str, ...]
    gone: tuple[str, ...]
    moved_share: float
    unknown_share: float
    incidents: int
    expected_incidents: float
    alert_p: float
    retrain: bool
    advice: tuple[str, ...]

    def to_json(self) -> dict[str, Any]:
        """Plain data; what is unknown is null."""
        return {name: _plain(value) for name, value in asdict(self).items()}


def measure_drift(table: pa.Table, model: Model, *, budget: float = 1.0) -> Drift:
    """Compare logs with a model's training window.

    Args:
        table: INVOCATION rows in any order; days, better a week.
        model: as ``load_model`` gives it.
        budget: false incidents a day at which alerts are counted.

    Raises:
        InputError: there is no invocation, or the model was trained before references were kept.
    """
    if model.reference is None:
        raise InputError(
            "This version holds nothing to compare with.",
            expected="a version with the surprises of its training window",
            received=f"version {model.version or 'without a name'}",
            hint="Train a new version: lonetree train --input LOGS --models DIR",
        )
    felt = measure(table, model)
    at = pc.cast(felt["event_time"], pa.int64()).to_numpy()
    group, cohort = model.judge.locate(felt)
    raw = np.stack([felt[f"raw_{name}"].to_numpy() for name in FEATURE_NAMES], axis=1)
    # by the tails alone, as the reference was measured
    surprise = model.judge.tails.surprise(raw, group, cohort)
    incidents = len(detect(table, model, budget=budget).incidents)
    before, now = summaries_of(model.reference), summaries_of(blocks_of(surprise, at, group))
    shifts = _tested(before, now)
    chosen = _discoveries(np.array([shift.p_value for _, shift in shifts]))
    by_group: dict[int, list[Shift]] = {}
    for (g, shift), significant in zip(shifts, chosen, strict=True):
        if significant and abs(shift.now - shift.before) >= MATTERS:
            by_group.setdefault(g, []).append(shift)
    days = max((int(at.max()) - int(at.min())) / US / _DAY_S, 1 / 24)
    count = np.bincount(group[group >= 0], minlength=len(model.judge.baselines))
    moved = [_function(g, found, felt, group == g, days, model) for g, found in by_group.items()]
    moved.sort(key=lambda one: (-one.invocations, one.app, one.function))
    moved_share = sum(one.invocations for one in moved) / len(at)
    unknown_share = float((group < 0).mean())
    expected = model.curve.rate(model.curve.threshold(budget)) * days
    alert_p = _poisson_tail(incidents, expected)
    retrain, advice = _advice(moved_share, unknown_share, incidents, expected, alert_p, len(moved))
    baselines = model.judge.baselines
    strangers = felt.filter(pa.array(group < 0))
    return Drift(
        version=model.version,
        days=days,
        invocations=len(at),
        tested=len(shifts),
        moved=tuple(moved),
        unknown=tuple(sorted({"/".join(pair) for pair in _pairs(strangers)})),
        gone=tuple(f"{baselines.apps[g]}/{baselines.functions[g]}" for g in before if count[g] == 0),
        moved_share=moved_share,
        unknown_share=unknown_share,
        incidents=incidents,
        expected_incidents=expected,
        alert_p=alert_p,
        retrain=retrain,
        advice=advice,
    )


def welch(mean: Vector, variance: Vector, n: Vector) -> Vector:
    """Two-sided p-values of Welch's t-test, float64[k].

    Args:
        mean: float64[2, k], of the two samples.
        variance: float64[2, k], with n - 1 in the denominator.
        n: float64[2, k], sizes, at least 2.

    Example:
        >>> import numpy as np
        >>> mean, n = np.array([[0.0, 0.0], [0.0, 2.0]]), np.full((2, 2), 50.0)
        >>> welch(mean, np.ones((2, 2)), n) < 0.001
        array([False,  True])
    """
    from scipy.special import stdtr

    # without any variance, as if one block in the sample had differed by 1
    squared = np.maximum(variance, 1.0 / n) / n
    error = squared.sum(axis=0)
    freedom = error**2 / (squared**2 / (n - 1.0)).sum(axis=0)
    return np.asarray(2.0 * stdtr(freedom, -np.abs(mean[1] - mean[0]) / np.sqrt(error)))


def _tested(before: Mapping[int, Summary], now: Mapping[int, Summary]) -> list[tuple[int, Shift]]:
    found = []
    for g in sorted(set(before) & set(now)):
        old, new = before[g], now[g]
        enough = np.flatnonzero((old.blocks >= MIN_BLOCKS) & (new.blocks >= MIN_BLOCKS))
        mean, variance, n = (np.stack([getattr(old, x)[enough], getattr(new, x)[enough]]) for x in _WELCH)
        p_values = welch(mean, variance, n)
        for j, p in zip(enough.tolist(), p_values.tolist(), strict=True):
            name, blocks = FEATURE_NAMES[j], (int(old.blocks[j]), int(new.blocks[j]))
            found.append((g, Shift(name, _WORDS[name], float(old.mean[j]), float(new.mean[j]), p, blocks)))
    return found


def _discoveries(p: Vector) -> Vector:
    """Which hypotheses to reject at FALSE_DISCOVERIES, bool[k] (Benjamini and Hochberg 1995)."""
    if len(p) == 0:
        return np.zeros(0, np.bool_)
    order = np.sort(p)
    passing = np.flatnonzero(order <= FALSE_DISCOVERIES * np.arange(1, len(p) + 1) / len(p))
    return np.asarray(p <= (order[passing[-1]] if len(passing) else -1.0))


def _function(g: int, shifts: list[Shift], felt: pa.Table, mine: Vector, days: float, model: Model) -> FunctionDrift:
    rows = felt.filter(pa.array(mine))
    baselines = model.judge.baselines
    middle = int(np.argmin(np.abs(LEVELS - 0.5)))
    durations = rows["duration_ms"].drop_null().to_numpy()
    failed = pc.mean(pc.cast(pc.invert(rows["succeeded"]), pa.float64())).as_py()
    return FunctionDrift(
        app=baselines.apps[g],
        function=baselines.functions[g],
        invocations=rows.num_rows,
        shifts=tuple(sorted(shifts, key=lambda shift: (-abs(shift.now - shift.before), shift.feature))),
        median_ms=(
            float(np.exp(baselines.quantiles[g, middle])),
            float(np.median(durations)) if len(durations) else float("nan"),
        ),
        per_day=(float(baselines.rate[g].mean() * _DAY_S), rows.num_rows / days),
        failure_rate=(float(baselines.failure_rate[g]), float("nan") if failed is None else float(failed)),
    )


def _advice(
    moved_share: float, unknown_share: float, incidents: int, expected: float, alert_p: float, moved: int
) -> tuple[bool, tuple[str, ...]]:
    said: list[str] = []
    if moved_share >= RETRAIN_SHARE:
        said.append(f"Train again: {_have(moved)} moved, with {moved_share:.0%} of the invocations.")
    if unknown_share >= RETRAIN_SHARE:
        said.append(f"Train again: {unknown_share:.0%} of the invocations are in functions that it has never seen.")
    retrain = bool(said)
    if alert_p < ALERT_P and incidents >= ALERT_RATIO * expected:
        said.append(
            f"{incidents} incidents where {expected:.1f} false ones were to be expected: read them first. "
            "If most are real, mark them bad before training again; if most are not, train again."
        )
    return retrain, tuple(said) or ("No need to train again.",)


def _have(functions: int) -> str:
    return "one function has" if functions == 1 else f"{functions} functions have"


def _poisson_tail(count: int, mean: float) -> float:
    """Probability of ``count`` or more events where ``mean`` are expected."""
    from scipy.special import gammainc

    return 1.0 if count == 0 else float(gammainc(count, max(mean, 1e-12)))


def _pairs(rows: pa.Table) -> list[tuple[str, str]]:
    return list(zip(rows["app"].to_pylist(), rows["function"].to_pylist(), strict=True))


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {k: _plain(v) for k, v in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(v) for v in value]
    return None if isinstance(value, float) and not np.isfinite(value) else value
