"""Operations, from which it is learned which functions' runs bring runs of which others.

Whatever takes part in an operation shares its id, through queues and across apps.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, Final, NamedTuple

import numpy as np
import numpy.typing as npt

from models.baselines import BIN_US, US
from models.downstream import Downstream, Flow, starts

Vector = npt.NDArray[Any]

#: share of a follower's operations that came past a source
COVERED: Final = 0.9
#: share of them that the lesser of several sources must have begun
LEAST_SOURCE: Final = 0.05
#: good runs of a source from which on it promises anything, and what it must promise of one
LEAST_RUNS: Final = 5
LEAST_MEAN: Final = 0.3
#: us that a follower is waited for at least, and at most
LEAST_WAIT_US: Final = 1200 * US
MOST_WAIT_US: Final = 6 * 3600 * US
#: dispersion that is believed at least, of the mean and at most
LEAST_SPREAD: Final = 0.25
#: share of a follower's operations that came past a source without which more of them may have come past another
ALL_COVERED: Final = 0.98
#: nats that tell, and how many times those of the worst stretch that was lived through
BAR: Final = 7.0
MARGIN: Final = 1.5
#: times the runs of a source in the busiest span that was seen, beyond which more of them promise nothing
BUSIEST: Final = 1.25
#: runs kept to learn from, about 40 bytes each; of more, those of every second operation, and so on
MOST_RUNS: Final = 1_000_000
#: functions of one operation that are compared
_MOST_FUNCTIONS: Final = 20
#: what tells as well as the best: so many times its spread, and a little
_ALIKE: Final = 1.1
_SLIGHT: Final = 0.01
#: share of the delays that is nearly all of them
_NEARLY_ALL: Final = 0.995
#: us in a millisecond, and bits that hold the milliseconds of 200 days
_MS: Final = 1000
_BITS: Final = 34


class OperationLog:
    """Runs of functions in operations, to learn from; of very many, those of some operations."""

    def __init__(self, most: int = MOST_RUNS) -> None:
        self._parts: list[tuple[Vector, ...]] = []
        self._most, self._held, self._halved = most, 0, 0

    def update(
        self, operation: Vector, function: Vector, begun_us: Vector, at_us: Vector, weight: Vector, good: Vector
    ) -> None:
        """Take runs.

        Args:
            operation: uint64[n], hashes; 0: of none.
            function: int64[n], numbers of their functions.
            begun_us: int64[n], when they began.
            at_us: int64[n], when they ended; in order, and not before those of earlier calls.
            weight: float64[n], runs that each stands for.
            good: bool[n], whether it did not fail.
        """
        part = (operation, function, begun_us, at_us, weight, good)
        kept = self._kept(operation)
        self._parts.append(tuple(column[kept] for column in part))
        self._held += int(kept.sum())
        while self._held > self._most:
            self._halved += 1
            self._parts = [tuple(column[self._kept(part[0])] for column in part) for part in self._parts]
            self._held = sum(len(part[0]) for part in self._parts)

    def _kept(self, operation: Vector) -> Vector:
        kept: Vector = operation % np.uint64(1 << self._halved) == 0
        return kept

    def learn(self, names: list[tuple[str, str, str]]) -> Downstream:
        """Who follows whom.

        Args:
            names: app, name and trigger of the functions by their numbers, which may be in any order.
        """
        if not self._held:
            return Downstream.none()
        runs = [np.concatenate(column) for column in zip(*self._parts, strict=True)]
        order = sorted(range(len(names)), key=names.__getitem__)
        runs[1] = np.argsort(order)[runs[1]]
        return _learned(_Runs(*runs), [names[number] for number in order])


@dataclass
class _Runs:
    """Runs by function, in the order in which they ended."""

    operation: Vector
    function: Vector
    begun: Vector
    at: Vector
    weight: Vector
    good: Vector

    def __post_init__(self) -> None:
        order = np.argsort(self.function, kind="stable")
        for name, column in list(vars(self).items()):
            setattr(self, name, column[order])
        self.functions = int(self.function[-1]) + 1
        self.first = np.searchsorted(self.function, np.arange(self.functions + 1))

    def of(self, function: int) -> slice:
        """Where the runs of a function stand."""
        return slice(int(self.first[function]), int(self.first[function + 1]))


@dataclass
class _Passes:
    """One row for each function that an operation passed, by operation and by when it first began there.

    Attributes:
        operation: int64[n], numbers.
        function: int64[n].
        begun: int64[n], us.
        count, good: float64[n], its runs, and those that did not fail.
        leads: bool[n], the operation begins with it.
    """

    operation: Vector
    function: Vector
    begun: Vector
    count: Vector
    good: Vector
    leads: Vector

    @classmethod
    def of(cls, runs: _Runs) -> _Passes:
        some = np.flatnonzero(runs.operation != 0)
        operation = np.unique(runs.operation[some], return_inverse=True)[1].reshape(-1)
        order = np.argsort(operation, kind="stable")  # runs stand by function
        some, operation = some[order], operation[order]
        first = starts(operation, runs.function[some])
        weight = runs.weight[some]
        count, good = (np.add.reduceat(w, first) for w in (weight, weight * runs.good[some]))
        begun = np.minimum.reduceat(runs.begun[some], first)
        operation, function = operation[first], runs.function[some][first]
        order = np.lexsort((function, begun, operation))
        columns = (column[order] for column in (operation, function, begun, count, good))
        operation, function, begun, count, good = columns
        return cls(operation, function, begun, count, good, np.r_[True, np.diff(operation) > 0])

    def pairs(self) -> tuple[Vector, Vector]:
        """Rows of every two functions of one operation, the one that began sooner first."""
        first = np.flatnonzero(self.leads)
        size = np.diff(np.r_[first, len(self.leads)])
        sooner, later = [np.zeros(0, np.int64)], [np.zeros(0, np.int64)]
        for many in np.unique(size[(size > 1) & (size <= _MOST_FUNCTIONS)]).tolist():
            one, other = np.triu_indices(many, 1)
            begin = first[size == many][:, None]
            sooner.append((begin + one).reshape(-1))
            later.append((begin + other).reshape(-1))
        before, after = np.concatenate(sooner), np.concatenate(later)
        apart = self.begun[before] < self.begun[after]
        return before[apart], after[apart]


class _Pairs:
    """What pairs of a source and a follower have in common, P of them, by source and follower.

    Args:
        passes: of operations.
        before: int64[n], rows of the sources.
        after: int64[n], rows of the followers, each in the operation of its source.
        sources: bool, of the rows of ``passes``: they count as runs of a source.
    """

    def __init__(self, passes: _Passes, before: Vector, after: Vector, sources: Vector) -> None:
        functions = int(passes.function.max()) + 1
        code = passes.function[before] * functions + passes.function[after]
        found, which = np.unique(code, return_inverse=True)
        which = which.reshape(-1)

        def added(values: Vector) -> Vector:
            return np.bincount(which, values, minlength=len(found))

        def of_source(values: Vector) -> Vector:
            return np.bincount(passes.function[sources], values[sources], minlength=functions)

        self.source, self.follower = found // functions, found % functions
        #: operations with both
        self.met = np.bincount(which, minlength=len(found))
        came, good = passes.count[after], passes.good[before]
        self.came = added(came)
        self.runs = of_source(passes.good)[self.source]
        self.mean = self.came / np.maximum(self.runs, 1.0)
        squares = of_source(np.square(passes.good))[self.source]
        #: squares of what came beyond what was promised
        self.beyond = added(np.square(came)) - 2.0 * self.mean * added(came * good) + np.square(self.mean) * squares
        ago = np.minimum(passes.begun[after] - passes.begun[before], MOST_WAIT_US)
        self.ago = added(ago.astype(float)) / self.met
        self.promises = (self.runs >= LEAST_RUNS) & (self.mean >= LEAST_MEAN)

    def by_follower(self) -> dict[int, Vector]:
        """Pairs of each follower."""
        order = np.argsort(self.follower, kind="stable")
        first = starts(self.follower[order])
        return {int(self.follower[part[0]]): part for part in np.split(order, first[1:])}


class _Found(NamedTuple):
    """A follower, its sources, runs that one of each brings, their spread, and its operations' share past them."""

    follower: int
    sources: list[int]
    means: list[float]
    spread: float
    covered: float


def _learned(runs: _Runs, names: list[tuple[str, str, str]]) -> Downstream:
    if not runs.operation.any():
        return Downstream.none()
    passes = _Passes.of(runs)
    before, after = passes.pairs()
    if not len(before):
        return Downstream.none()
    met = np.bincount(passes.function, minlength=runs.functions)
    nearest = _Pairs(passes, before, after, np.ones(len(passes.leads), np.bool_))
    led = passes.leads[before]
    first = _Pairs(passes, before[led], after[led], passes.leads)
    roots = first.by_follower()
    found = []
    for follower, those in nearest.by_follower().items():
        one = _best(nearest, those, follower, int(met[follower]))
        if one is None and follower in roots:
            one = _together(first, roots[follower], follower, int(met[follower]))
        if one is not None:
            found.append(one)
    return _known(runs, found, names)


def _best(pairs: _Pairs, those: Vector, follower: int, met: int) -> _Found | None:
    """The one source that tells best how many runs of the follower come; of equals the nearest."""
    those = those[(pairs.met[those] >= COVERED * met) & pairs.promises[those]]
    if not len(those):
        return None
    spread = pairs.beyond[those] / pairs.came[those]
    alike = spread <= _ALIKE * spread.min() + _SLIGHT
    best = np.flatnonzero(alike)[np.argmin(pairs.ago[those[alike]])]
    one = those[best]
    covered = float(pairs.met[one] / met)
    return _Found(follower, [int(pairs.source[one])], [float(pairs.mean[one])], float(spread[best]), covered)


def _together(pairs: _Pairs, those: Vector, follower: int, met: int) -> _Found | None:
    """All functions with which its operations begin, where there are several."""
    those = those[pairs.met[those] >= LEAST_SOURCE * met]
    if pairs.met[those].sum() < COVERED * met or not pairs.promises[those].all():
        return None
    spread = float(pairs.beyond[those].sum() / pairs.came[those].sum())
    covered = float(pairs.met[those].sum() / met)
    return _Found(follower, pairs.source[those].tolist(), pairs.mean[those].tolist(), spread, covered)


def _known(runs: _Runs, found: list[_Found], names: list[tuple[str, str, str]]) -> Downstream:
    """What judging needs, of followers whose delay is short enough to wait for."""
    pairs: list[tuple[int, int, float, float]] = []
    followers: list[tuple[int, float, int, int, float]] = []
    for function, sources, means, spread, covered in found:
        late, early = _delays(runs, sources, function)
        wait, ahead = max(2.0 * late, float(LEAST_WAIT_US)), 1.25 * early
        if max(wait, ahead) > MOST_WAIT_US:
            continue
        pairs += [(s, len(followers), m, BUSIEST * _busiest(runs, s)) for s, m in zip(sources, means, strict=True)]
        least = max(LEAST_SPREAD, min(1.0, LEAST_SPREAD * float(np.mean(means))))
        spans = (int(np.ceil(wait / BIN_US)), int(np.ceil(ahead / BIN_US)))
        followers.append((function, max(spread, least), *spans, covered))
    if not followers:
        return Downstream.none()
    source, follower, mean, most = (np.array(column) for column in zip(*pairs, strict=True))
    named, spreads, waits, aheads, covers = (np.array(column) for column in zip(*followers, strict=True))
    part, place = np.unique(np.concatenate([source, named]), return_inverse=True)
    place = place.reshape(-1).astype(np.int64)
    apps, functions, triggers = zip(*(names[number] for number in part.tolist()), strict=True)
    known = Downstream(
        apps, functions, triggers, place[: len(source)], follower.astype(np.int64), mean, most,
        place[len(source) :], spreads, waits.astype(np.int64), aheads.astype(np.int64),
        *np.full((2, len(named)), np.inf),
    )  # fmt: skip
    less, more = _worst(runs, known, part)
    top = np.where(covers >= ALL_COVERED, np.maximum(BAR, MARGIN * more), np.inf)
    return replace(known, bar=np.maximum(BAR, MARGIN * less), top=top)


def _delays(runs: _Runs, sources: list[int], follower: int) -> tuple[float, float]:
    """How long after the end of a source a follower ends, and how long before it, us: of nearly all."""
    theirs = np.concatenate([np.arange(runs.first[s], runs.first[s + 1]) for s in sources])
    mine = np.arange(runs.first[follower], runs.first[follower + 1])
    theirs, mine = (rows[runs.operation[rows] != 0] for rows in (theirs, mine))
    operations, which = np.unique(runs.operation[theirs], return_inverse=True)
    at, ended = (runs.at[rows] // _MS for rows in (theirs, mine))
    begin = min(int(at.min()), int(ended.min()))
    key = np.sort(which.reshape(-1) << _BITS | at - begin)
    number = np.searchsorted(operations, runs.operation[mine])
    there = operations[np.minimum(number, len(operations) - 1)] == runs.operation[mine]
    number, ended = number[there], ended[there]
    # the last end of a source before it, or else the first behind
    place = np.searchsorted(key, number << _BITS | ended - begin, "right")
    before = key[np.maximum(place - 1, 0)]
    nearest = np.where((place > 0) & (before >> _BITS == number), before, key[np.minimum(place, len(key) - 1)])
    delay = (ended - begin - (nearest & ((1 << _BITS) - 1))) * _MS
    if not len(delay):
        return 0.0, 0.0
    behind, before_it = np.quantile(delay, [_NEARLY_ALL, 1.0 - _NEARLY_ALL]).tolist()
    return max(behind, 0.0), max(-before_it, 0.0)


def _busiest(runs: _Runs, source: int) -> float:
    """Good runs of a function in its busiest span."""
    rows = runs.of(source)
    _, which = np.unique(runs.at[rows] // BIN_US, return_inverse=True)
    return float(np.bincount(which.reshape(-1), runs.weight[rows] * runs.good[rows]).max())


def _worst(runs: _Runs, known: Downstream, part: Vector) -> tuple[Vector, Vector]:
    """The most nats of each follower in the runs that it is learned from, of less and of more, float64[F] each."""
    counts = []
    for place, function in enumerate(part.tolist()):
        rows = runs.of(function)
        span, which = np.unique(runs.at[rows] // BIN_US, return_inverse=True)
        weight = runs.weight[rows]
        sums = (np.bincount(which.reshape(-1), values) for values in (weight, weight * runs.good[rows]))
        counts.append((np.full(len(span), place), span, *sums))
    flow = Flow(known)
    flow.count(*(np.concatenate(column) for column in zip(*counts, strict=True)))
    flow.judge(int(max(span[-1] for _, span, *_ in counts)) + 1)
    return flow.worst, flow.highest
