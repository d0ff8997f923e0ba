"""Training: from ordered invocations to everything the judge needs, in three passes over the logs.

    1  baselines of the first part of the window      (what is usual)
    2  features over the whole window, with these      (what normal life looks like beside what is usual)
    3  tails, forest and calibration on the later part, each half judged by the other (what is strange, and how often)

No event is judged by a model that saw it. Stories too strange to be normal life are left out, then all is fitted again.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, Final, get_args

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from detectors import wording as say
from detectors.blame import blame, party
from detectors.caller_features import CallerFeatures
from detectors.deployments import NAMED, Restarts, VersionLog
from detectors.drift_blocks import blocks_of
from detectors.expectations import learned_from, normal_events, without_bad
from detectors.features import BLOCK_US, FAMILIES, FUNCTION_FEATURES, INDEX
from detectors.forests import FOREST_SCOPE, Scope, fit_forests, forest_rows
from detectors.function_features import (
    IDENTIFIED,
    FunctionFeatures,
    from_matrix,
)
from detectors.habits import Habits, habits_of
from detectors.judge import Judge, depth_feature, family_parts, first_surprise, forest_part
from detectors.keyed import KeyedState
from detectors.model import Model
from detectors.operations import Operations
from detectors.silences import silences
from detectors.stories import ALONE, FEW_EVENTS, Stories, arrived_at, met
from models.baselines import COHORTS, HOUR_US, US, Baselines, BaselineSketch
from models.calibration import PLAIN_BUDGET, BudgetCurve
from models.errors import InputError
from models.feedback import Feedback
from models.hashing import combine, hash_strings
from models.lived import Lived
from models.tails import EXCEEDANCE, Tails, fit_tails

Vector = npt.NDArray[Any]
Slices = Callable[[], Iterable[pa.RecordBatch]]

#: an event that is less than this share as strange as what opens an incident is nobody's story
JOIN_SHARE: Final = 0.4
#: share of the window from which the first baselines are taken; what follows is held out
BASE_SHARE: Final = 0.5
DAY_US: Final = 86400 * US
#: us before the end of the window in which what is strange may still go on: that is life by now
STILL_US: Final = 6 * 3600 * US
#: score below which an event is nobody's story
JOIN_SCORE: Final = 2.0
#: stretches of the held-out part, each judged by tails of the others
FOLDS: Final = 5
#: what comes back each day: at least this share of a story's peak, at the same hour, in so many hours a day at most
DAILY_SHARE: Final = 0.5
DAILY_HOURS: Final = 4
HOURS_A_DAY: Final = 24
FOLD_US: Final = 6 * HOUR_US
#: prior slope of the tails of surprise, in -log10 p a nat; 1 / ln 10 if extrapolation were always right
HONEST_SLOPE: Final = 0.6
#: families that share the budget when each is weighed, and how far weights may go
BUSY_FAMILIES: Final = 5
MIN_WEIGHT: Final = 0.8
MAX_WEIGHT: Final = 1.2
#: the same where each event is somebody's doing, or what never rests stays away: normal life hardly has any
MAX_WEIGHTS: Final = {"schedule": 1.8, "absence": 1.5}
#: held-out events kept in memory, about 0.5 kB each
MAX_HELD_OUT: Final = 2_000_000
#: features that are silent until there is a habit, and the held-out events that must have one
OF_HABITS: Final = ("caller_hours",)
LEAST_HEARD: Final = 300
#: p-value below which it is told by hours of functions how often normal life is so strange
RARE: Final = 0.002
#: prior slope of the tail of a forest's score, in tenths of a score a nat
FOREST_SLOPE: Final = 0.3
#: share of stories, the least strange, from which it is told what normal life can do
CALM_SHARE: Final = 0.3
#: slopes that the peaks of normal life were seen to have, in score a nat
LIFE_SLOPES: Final = (1.0, 2.0)
#: peak of a story of a single event that just counts
LEAST_PEAK: Final = JOIN_SCORE * (1.0 - ALONE * (FEW_EVENTS - 1))
#: strongest stories kept to tell how often normal life looks strange
CURVE_STORIES: Final = 2000


@dataclass(frozen=True)
class TrainingOptions:
    """How to train.

    Attributes:
        seed: of the forests.
        trees, samples: of each forest.
        forest: for whom there are forests: ``own`` for functions and triggers with enough to learn from, ``tenant`` for
            the tenant alone; True is the default, ``none`` or False leaves forests out.
        feedback: what stands: bad incidents are kept out, expected ones count as normal life however strange.
    """

    seed: int = 0
    trees: int = 100
    samples: int = 256
    forest: Scope | bool = True
    feedback: tuple[Feedback, ...] = ()

    @property
    def scope(self) -> Scope:
        """For whom there are forests, in words.

        Raises:
            InputError: for another word.
        """
        if isinstance(self.forest, bool):
            return FOREST_SCOPE if self.forest else "none"
        if self.forest not in get_args(Scope):
            raise InputError("No such forests.", expected=" | ".join(get_args(Scope)), received=str(self.forest))
        return self.forest


@dataclass
class _HeldOut:
    """Columns of the held-out events, concatenated."""

    raw: Vector
    value_function: Vector
    value_caller: Vector
    group: Vector
    cohort: Vector
    at: Vector
    function: Vector
    caller: Vector
    app: Vector
    party: Vector
    identified: Vector
    named: Vector
    vague: Vector
    met: Vector

    def where(self, mask: Vector) -> _HeldOut:
        """Some of the events, bool[n]."""
        return self if mask.all() else _HeldOut(*(column[mask] for column in vars(self).values()))


def train(
    slices: Slices, options: TrainingOptions | None = None, progress: Callable[[str], None] | None = None
) -> Model:
    """Fit a judge.

    Args:
        slices: gives the collated invocations, ordered by completion, anew at each call.
        options: how.
        progress: told each step.
    """
    options = options or TrainingOptions()
    tell = progress or (lambda _: None)
    tell("measuring the window")
    versions, operations = VersionLog(), Operations()
    lived, count = _window(_good(slices, options), versions, operations)
    restarts = Restarts(versions.restarts())
    # what is held out stands in memory: of very many logs the last part is enough
    share = max(BASE_SHARE, 1.0 - MAX_HELD_OUT / max(count, 1))
    cut = lived.at(share)
    tell("learning what is usual")
    early, whole = _baselines(_good(slices, options), cut, restarts)
    tell("measuring features")
    # silences are measured by all that is expected, though half of the week may be new to the first days
    watching = replace(early, covered=np.ones_like(early.covered))
    held, state, gaps = _features(_good(slices, options), watching, cut, lived)
    # what a deployment changed can't be held against what was usual before, unless nearly all has changed
    changed = restarts.unseen_by(cut).after(held.function, held.at)
    place = np.arange(len(changed))
    if 2 * int(changed.sum()) <= len(changed):
        held, place = held.where(~changed), place[~changed]
    group_early = held.group
    # from here on groups are rows of the final baselines
    lookup = {name: row for row, name in enumerate(whole.names())}
    final = np.array([lookup[name] for name in early.names()] or [0], dtype=np.int64)
    held.group = np.where(group_early >= 0, final[np.maximum(group_early, 0)], -1)
    tell("fitting tails and forests")
    days = max(lived.after_us(cut) / DAY_US, 1e-6) * _as_busy(len(held.at), count, lived, cut)
    keep, over = np.ones(len(held.at), bool), np.zeros(len(held.at), bool)
    expected = normal_events(held.at, held.function, held.caller, held.app, options.feedback)
    for _ in range(2):
        surprise = _cross_fit(held, whole, keep)
        judge, score = _fit_judge(held, whole, surprise, keep, options)
        # what people expect is normal life, and is no false incident either
        strange, story, peaks = _normal_stories(held, judge, score, expected)
        extreme = peaks > _beyond_life(peaks[peaks > 0.0])
        extreme &= ~_daily(held, strange, story, score, peaks, extreme)
        if not extreme.any():
            break
        beyond = strange[extreme[story]]
        keep[beyond] = False
        over[beyond] = _over(held.at[strange], story, len(peaks), int(lived.ends[-1]))[story[extreme[story]]]
    if extreme.any():
        # what was found last was part of what the score is held against
        totals = total_tails(held.at, held.function, held.cohort, score, keep)
        judge = replace(judge, total_tails=totals)
    lead = _lead(judge, held, surprise, score)
    kept = np.zeros(len(peaks), np.bool_)
    kept[story[keep[strange]]] = True
    habits, came_back = habits_of(
        held.group[strange],
        held.at[strange],
        lead[strange],
        score[strange],
        story,
        np.where(kept, peaks, 0.0),
        partial(_opens_at, days),
    )
    if len(habits):
        # what comes back there is no measure of what is strange elsewhere
        score = score * habits.of(held.group, lead)
        totals = total_tails(held.at, held.function, held.cohort, score, keep)
        judge = replace(judge, habits=habits, total_tails=totals)
        strange, story, peaks = _normal_stories(held, judge, score, expected)
    judge = replace(judge, weights=_weights(held, judge, score, story, strange, peaks, days))
    strange, story, peaks = _normal_stories(held, judge, score * judge.weights[lead], expected | ~keep)
    curve = BudgetCurve(np.sort(peaks[peaks > 0.0])[::-1][:CURVE_STORIES], days, JOIN_SCORE)
    silence = silences(whole, early, held.group, held.at, gaps)
    if over.any():
        # what was too strange to be normal life, and has ended, is no habit of anybody either
        tell("measuring features without what was too strange")
        life = np.ones(len(changed), np.bool_)
        life[place] = ~over
        state = _habits_without(_good(slices, options), watching, cut, lived, life)
    notes = [*learned_from(options.feedback), *restarts.notes()]
    if len(lived.holes_us):
        missing = say.span(lived.holes_us.sum() / US)
        notes.append(f"Nothing at all was logged for {missing} in between, which counts as missing, not as silence.")
    notes += _came_back(whole, habits, came_back)
    dropped = int((~keep).sum())
    if dropped:
        notes.append(f"{dropped:,} of {len(keep):,} held-out invocations were too strange to count as normal life.")
    return Model(
        judge,
        silence,
        state,
        curve,
        (int(lived.begins[0]), int(lived.ends[-1])),
        count,
        tuple(notes),
        reference=blocks_of(surprise, held.at, held.group),
        downstream=operations.learn(),
    )


def _over(at: Vector, story: Vector, stories: int, ends_us: int) -> Vector:
    """Which stories, bool[stories], are over when the window ends, by the times and stories of their events."""
    last = np.zeros(stories, np.int64)
    np.maximum.at(last, story, at)
    return last < ends_us - STILL_US


def _without(slices: Iterable[pa.RecordBatch], cut: int, life: Vector) -> Iterator[pa.RecordBatch]:
    """The rows without those of the held-out part, in their order, that ``life``, bool[n], doesn't hold."""
    begin = 0
    for rows in slices:
        later = np.flatnonzero(np.asarray(rows.column("at")) >= cut)
        mask = np.ones(rows.num_rows, np.bool_)
        mask[later] = life[begin : begin + len(later)]
        begin += len(later)
        yield rows.filter(pa.array(mask))


def _as_busy(held: int, count: int, lived: Lived, cut: int) -> float:
    """How much of the window's usual life its held-out part has, at most 1: a weekend says little of working days."""
    share = lived.after_us(cut) / max(lived.after_us(int(lived.begins[0])), 1)
    return min(held / max(count * share, 1.0), 1.0)


def _came_back(baselines: Baselines, habits: Habits, days: Mapping[int, int]) -> Iterator[str]:
    """A sentence for each function whose strange calls come back, the first few; then how many more."""
    named = list(days.items())
    for row, seen in named[:NAMED]:
        share = say.percent(float(habits.counts[habits.group == row].max()))
        where = f"{say.tame(baselines.apps[row])}/{say.tame(baselines.functions[row])}"
        yield f"Strange calls came back at {where} on {seen} days: their like counts for {share} of its score there."
    if len(named) > NAMED:
        yield f"At {len(named) - NAMED} more functions strange calls came back, and count for less there."


def _good(slices: Slices, options: TrainingOptions) -> Iterable[pa.RecordBatch]:
    return without_bad(slices(), options.feedback) if options.feedback else slices()


def _window(slices: Iterable[pa.RecordBatch], versions: VersionLog, operations: Operations) -> tuple[Lived, int]:
    """The time that the logs cover, and how many invocations they hold."""
    moments: list[Vector] = []
    count = 0
    for rows in slices:
        if rows.num_rows:
            versions.update(rows)
            operations.update(rows)
            at = np.asarray(rows.column("at"))
            # the first and the last of each hour are enough to see every hole
            hour = at // HOUR_US
            edges = np.flatnonzero(np.r_[True, hour[1:] != hour[:-1], True])
            moments += [at[edges[:-1]], at[edges[1:] - 1]]
            count += rows.num_rows
    return Lived.of(np.unique(np.concatenate(moments))), count


def _baselines(slices: Iterable[pa.RecordBatch], cut: int, restarts: Restarts) -> tuple[Baselines, Baselines]:
    early, late = BaselineSketch(), BaselineSketch()
    known = restarts.seen_by(cut)
    hosts = KeyedState({})
    for rows in slices:
        if rows.num_rows == 0:
            continue
        owner = combine(hash_strings(rows.column("app")), hash_strings(rows.column("function")))
        host = hash_strings(rows.column("host_instance"))
        before = len(hosts)
        place = hosts.rows(combine(owner, host))
        cold = np.zeros(rows.num_rows, np.bool_)
        fresh, where = np.unique(place, return_index=True)
        cold[where[fresh >= before]] = True
        cold &= host != 0
        at = np.asarray(rows.column("at"))
        ids = hash_strings(rows.column("invocation_id"))
        for sketch, mask, since in ((early, at < cut, known), (late, at >= cut, restarts)):
            if mask.any():
                part = since.without_old_runs(rows.filter(pa.array(mask)) if not mask.all() else rows)
                index = sketch.function_index(part.column("app"), part.column("function"))
                sketch.update(part, index, cold[mask], ids[mask])
    first = early.fit(known.since)
    early.forget_runs(restarts.unseen_by(cut).since)
    late.merge(early)
    return first, late.fit(restarts.since)


def _features(
    slices: Iterable[pa.RecordBatch], baselines: Baselines, cut: int, lived: Lived
) -> tuple[_HeldOut, dict[str, pa.Table], dict[tuple[str, str], float]]:
    functions, callers = _unlearned(baselines)
    judge = Judge(baselines, None, None, None, None, None)  # type: ignore[arg-type]
    parts: list[list[Vector]] = []
    for rows in _without_holes(slices, lived, functions.begin_anew):
        at = np.asarray(rows.column("at"))
        featured = functions.advance(rows, int(at[-1]) + 1)
        raw_c, value_c, _, raw_f = callers.measure(featured)
        later = at >= cut
        if not later.any():
            continue
        group, cohort = judge.locate(featured)
        raw = np.concatenate([raw_f, raw_c], axis=1)
        columns = [raw, from_matrix(featured.column("value_function")), value_c, group, cohort, at, *_keys(featured)]
        parts.append([c[later] for c in columns])
    joined = [np.concatenate([p[k] for p in parts]) for k in range(len(parts[0]))]
    return _HeldOut(*joined), _state(functions, callers), functions.longest_gaps(int(lived.ends[-1]))


def _habits_without(
    slices: Iterable[pa.RecordBatch], baselines: Baselines, cut: int, lived: Lived, life: Vector
) -> dict[str, pa.Table]:
    """What is learned of functions and callers from all rows but those of the held-out part that are no ``life``."""
    functions, callers = _unlearned(baselines)
    for rows in _without_holes(_without(slices, cut, life), lived, functions.begin_anew):
        callers.measure(functions.advance(rows, int(rows.column("at")[-1].as_py()) + 1))
    return _state(functions, callers)


def _unlearned(baselines: Baselines) -> tuple[FunctionFeatures, CallerFeatures]:
    return FunctionFeatures(baselines, np.full(len(baselines.cohort), 1e9)), CallerFeatures()


def _state(functions: FunctionFeatures, callers: CallerFeatures) -> dict[str, pa.Table]:
    return {**_prefixed("function/", functions.snapshot()), **_prefixed("caller/", callers.snapshot())}


def _without_holes(
    slices: Iterable[pa.RecordBatch], lived: Lived, begin_anew: Callable[[], None]
) -> Iterator[pa.RecordBatch]:
    """Rows as they come, cut at each hole, where what follows begins anew."""
    ahead = lived.begins[1:].tolist()
    for rows in slices:
        while rows.num_rows:
            at = np.asarray(rows.column("at"))
            before = int(np.searchsorted(at, ahead[0])) if ahead else rows.num_rows
            if before:
                yield rows.slice(0, before)
            if before < rows.num_rows:
                begin_anew()
                ahead.pop(0)
            rows = rows.slice(before)


def _prefixed(prefix: str, tables: dict[str, pa.Table]) -> dict[str, pa.Table]:
    return {prefix + name: table for name, table in tables.items()}


def _keys(rows: pa.RecordBatch) -> Iterator[Vector]:
    """Hashes of function, caller, app and party, whether the caller is somebody, named or a place, and since when."""
    app = hash_strings(rows.column("app"))
    yield combine(app, hash_strings(rows.column("function")))
    identified = np.asarray(pc.is_in(rows.column("caller_source"), value_set=pa.array(IDENTIFIED)))
    yield np.where(identified, hash_strings(rows.column("caller")), np.uint64(0))
    yield app
    yield np.where(identified, party(rows.column("caller")), np.uint64(0))
    yield identified
    yield np.asarray(rows.column("named"))
    yield np.asarray(pc.equal(rows.column("caller_source"), "geography"))
    yield met(rows)


def _tails(held: _HeldOut, baselines: Baselines, mask: Vector) -> Tails:
    # functions of an app that answer the same trigger lead a like life
    names = zip(baselines.apps, baselines.cohort[: len(baselines)].tolist(), strict=True)
    numbers: dict[tuple[str, int], int] = {}
    pool = np.array([numbers.setdefault(name, len(numbers)) for name in names], np.int64)
    return fit_tails(
        held.raw[mask],
        held.group[mask],
        held.cohort[mask],
        groups=len(baselines),
        cohorts=len(COHORTS),
        pool=pool,
        at=held.at[mask],
        block_us=np.array(BLOCK_US),
    )


def _cross_fit(held: _HeldOut, baselines: Baselines, keep: Vector) -> Vector:
    """Surprise of every held-out event by tails fitted on the other folds, float64[n, len(FEATURES)]."""
    block = held.at // FOLD_US % FOLDS
    out = np.zeros(held.raw.shape)
    for k in range(FOLDS):
        fold = block == k
        if not fold.any():
            continue
        tails = _tails(held, baselines, keep & ~fold)
        out[fold] = first_surprise(tails, held.raw[fold], held.group[fold], held.cohort[fold])
    return out


def _fit_judge(
    held: _HeldOut, baselines: Baselines, surprise: Vector, keep: Vector, options: TrainingOptions
) -> tuple[Judge, Vector]:
    """The judge, and the score of every held-out event from its cross-fitted surprise."""
    cohorts = len(COHORTS)
    honest = _honest(held, surprise, keep).muted(_unheard(held))
    judge = Judge(baselines, _tails(held, baselines, keep), honest, None, None, None)
    believed = judge.believed(surprise, held.raw, held.cohort)
    score = family_parts(believed).sum(axis=1)
    if options.scope != "none":
        fitted = fit_forests(
            believed,
            held.group,
            held.cohort,
            keep,
            _halves(held.at),
            baselines.cohort[: len(baselines)],
            cohorts,
            scope=options.scope,
            trees=options.trees,
            samples=options.samples,
            seed=options.seed,
        )
        judge = replace(judge, forest=fitted.forests, forest_of=fitted.whose)
        number = forest_rows(fitted.whose, held.group, held.cohort, len(baselines))
        depth = depth_feature(fitted.unseen)
        others = len(fitted.forests) - 1
        tails = fit_tails(
            depth[keep], number[keep] - 1, held.cohort[keep], groups=others, cohorts=cohorts, slope=FOREST_SLOPE
        )
        judge = replace(judge, forest_tails=tails)
        score = score + forest_part(judge.forest_surprise(depth, number, held.cohort))
    return replace(judge, total_tails=total_tails(held.at, held.function, held.cohort, score, keep)), score


def _halves(at: Vector) -> Vector:
    """int64[n]: 0 or 1 by turns, six hours each and the other way round the next day; less where all is shorter."""
    span = int(at.max() - at.min()) if len(at) else 0
    block = max(min(FOLD_US, span // 4), 1)
    halves: Vector = (at // block + at // (4 * block)) % 2
    return halves


def _unheard(held: _HeldOut) -> Vector:
    """bool[len(FEATURES)]: features that were hardly ever in a position to speak in the held-out part of the window.

    Hours of the day are a habit after some days. Where the window is too short for any, what such a feature says in
    normal life is not known, and it would cry wolf once there are habits.
    """
    out = np.zeros(held.raw.shape[1], np.bool_)
    for name in OF_HABITS:
        heard = held.value_caller[:, INDEX[name] - len(FUNCTION_FEATURES)] > 0.0
        out[INDEX[name]] = int(heard.sum()) < LEAST_HEARD
    return out


def total_tails(at: Vector, function: Vector, cohort: Vector, score: Vector, keep: Vector) -> Tails:
    """Tails of the score, each level as large as the folds' largest, since one day of life differs from the next.

    What is rarer than ``RARE`` comes in clumps, a strange hour of one function at a time. How often it comes, the
    hours tell, not the invocations in them.
    """

    def tails(value: Vector, owner: Vector) -> Tails:
        none = np.full(len(owner), -1)
        return fit_tails(value[:, None], none, owner, groups=0, cohorts=len(COHORTS), slope=1.0)

    whole = tails(score[keep], cohort[keep])
    values = whole.values.copy()
    block = at // FOLD_US % FOLDS
    for fold in range(FOLDS):
        mask = keep & (block == fold)
        if mask.any():
            part = tails(score[mask], cohort[mask])
            believed = np.arange(values.shape[2]) < part.depth[:, :, None]
            values = np.where(believed, np.maximum(values, part.values), values)
    highest, owner = _hourly(at[keep], function[keep], cohort[keep], score[keep, None])
    hours = tails(highest[:, 0], owner)
    rare = EXCEEDANCE <= RARE
    values[:, :, rare] = np.maximum(values, hours.reached())[:, :, rare]
    return replace(whole, values=np.maximum.accumulate(values, axis=2), slope=np.maximum(whole.slope, hours.slope))


def _honest(held: _HeldOut, surprise: Vector, keep: Vector) -> Tails:
    """Tails of the largest surprise in each hour of each function."""
    highest, cohort = _hourly(held.at[keep], held.function[keep], held.cohort[keep], surprise[keep])
    none = np.full(len(cohort), -1)
    return fit_tails(highest, none, cohort, groups=0, cohorts=len(COHORTS), slope=HONEST_SLOPE)


def _hourly(at: Vector, function: Vector, cohort: Vector, value: Vector) -> tuple[Vector, Vector]:
    """The largest value, float64[hours, d], in each hour of each function that has any, and its cohort."""
    hour = at // HOUR_US
    _, which = np.unique(function, return_inverse=True)
    key = (which.reshape(-1) * len(COHORTS) + cohort) * int(hour.max() + 1) + hour
    distinct, code = np.unique(key, return_inverse=True)
    order = np.argsort(code.reshape(-1), kind="stable")
    starts = np.searchsorted(code.reshape(-1)[order], np.arange(len(distinct)))
    highest: Vector = np.maximum.reduceat(value[order], starts, axis=0)
    return highest, distinct // int(hour.max() + 1) % len(COHORTS)


def stories_of(held: _HeldOut, judge: Judge, score: Vector, opens_at: float) -> tuple[Vector, Vector, Vector, Vector]:
    """Strange events (indices), their stories, whether each is open, and scores as they count for opening."""
    strange = np.flatnonzero(score >= join_score(opens_at))
    strange = strange[np.argsort(held.at[strange], kind="stable")]
    found = judge.score(held.raw[strange], held.group[strange], held.cohort[strange])
    value = np.concatenate([held.value_function[strange], held.value_caller[strange]], axis=1)
    trouble, by_caller, crowd = blame(
        found.parts(judge.shares(found)), found.surprise, value, held.identified[strange], held.named[strange]
    )
    story, opened, weighed = Stories(opens_at).tell(
        held.at[strange],
        held.function[strange],
        held.party[strange],
        held.app[strange],
        score[strange],
        trouble,
        by_caller,
        crowd,
        held.vague[strange],
        held.met[strange],
        arrived_at(held.at[strange], value[:, INDEX["caller_new_to_app"]]),
    )
    return strange, story, opened, weighed


def join_score(opens_at: float) -> float:
    """Score from which an event joins a story, given the score that opens one."""
    return JOIN_SCORE if opens_at > 1e6 else max(JOIN_SCORE, JOIN_SHARE * opens_at)


def habit_score(curve: BudgetCurve) -> float:
    """Score from which what a caller does is no habit: what joins a story at the plain budget of one a day.

    Scores then are the same at every budget.
    """
    return join_score(curve.threshold(PLAIN_BUDGET))


def _lead(judge: Judge, held: _HeldOut, surprise: Vector, score: Vector) -> Vector:
    """The family that leads each held-out event's score, int64[n]."""
    parts = family_parts(judge.believed(surprise, held.raw, held.cohort))
    lead: Vector = parts.argmax(axis=1)
    alone = np.flatnonzero((score > 0.0) & ~parts.any(axis=1))
    lead[alone] = judge.lead(judge.score(held.raw[alone], held.group[alone], held.cohort[alone]))
    return lead


def _weights(
    held: _HeldOut, judge: Judge, score: Vector, story: Vector, strange: Vector, peaks: Vector, days: float
) -> Vector:
    """What a score led by each family counts for: more where normal life never shows such a score, but not much more.

    Each family is given an equal part of a budget of one false incident a day, and the threshold that keeps it.
    """
    found = judge.score(held.raw[strange], held.group[strange], held.cohort[strange])
    lead = judge.lead(found)
    own: list[list[float]] = [[] for _ in FAMILIES]
    for number in np.flatnonzero(peaks > 0.0).tolist():
        members = np.flatnonzero(story == number)
        own[lead[members[np.argmax(score[strange[members]])]]].append(float(peaks[number]))
    common = _opens_at(days, peaks)
    alone = [_opens_at(days, np.array(p), PLAIN_BUDGET / BUSY_FAMILIES) for p in own]
    most = np.array([MAX_WEIGHTS.get(family, MAX_WEIGHT) for family in FAMILIES])
    weights: Vector = np.clip(common / np.maximum(np.array(alone), 1e-9), MIN_WEIGHT, most)
    return weights


def _opens_at(days: float, peaks: Vector, budget: float = PLAIN_BUDGET) -> float:
    """The score that opens an incident, of the peaks of normal stories of so many days."""
    return BudgetCurve(np.sort(peaks[peaks > 0.0])[::-1], days, JOIN_SCORE).threshold(budget)


def _normal_stories(held: _HeldOut, judge: Judge, score: Vector, left_out: Vector) -> tuple[Vector, Vector, Vector]:
    """Strange events (indices), their stories, and the peak of each, 0 of those with an event that is left out."""
    strange, story, _, weighed = stories_of(held, judge, score, 1e9)
    peaks = _peaks(story, weighed)
    peaks[story[left_out[strange]]] = 0.0
    return strange, story, peaks


def _peaks(story: Vector, score: Vector) -> Vector:
    """Peak score of each story."""
    out = np.zeros(int(story.max()) + 1 if len(story) else 0)
    np.maximum.at(out, story, score)
    return out


def _daily(held: _HeldOut, strange: Vector, story: Vector, score: Vector, peaks: Vector, asked: Vector) -> Vector:
    """Which of the stories asked for come back at the same hour of another day, bool[stories]: jobs, not attacks."""
    out = np.zeros(len(peaks), np.bool_)
    for number in np.flatnonzero(asked).tolist():
        members = strange[story == number]
        peak = members[np.argmax(score[members])]
        strong = strange[score[strange] >= DAILY_SHARE * peaks[number]]
        alike = strong[held.function[strong] == held.function[peak]]
        hours = np.unique(held.at[alike] // HOUR_US)
        # days from the peak's hour, each from an hour before that time of day to an hour after it
        days, over = np.divmod(hours - held.at[peak] // HOUR_US + 1, HOURS_A_DAY)
        days = np.unique(days[over <= 2])
        # what goes on day and night is no job
        out[number] = len(days) >= 2 and len(hours) <= DAILY_HOURS * len(days)
    return out


def _beyond_life(peaks: Vector) -> float:
    """Peak beyond which a story is no normal life, once in four such windows: an exponential tail from the lower part.

    Few stories of few days may be attacks for one half: the slope is taken from the part that is normal all the same.
    """
    if len(peaks) < 4:
        return JOIN_SCORE + 6.0
    above = float(np.quantile(peaks, CALM_SHARE)) - LEAST_PEAK
    slope = float(np.clip(above / -np.log(1.0 - CALM_SHARE), *LIFE_SLOPES))
    return LEAST_PEAK + slope * (float(np.log(len(peaks))) + float(np.log(4.0)))
