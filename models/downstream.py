"""Runs that follow runs: what passes one function brings runs of another, its follower, a while later.

Which functions follow which is learned from operations (`models.operation_log`). It is judged by counts alone: what a
function's runs promise of its followers, added up, is held against how many came, so that no run need be found again.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Final, NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from models.baselines import BIN_US
from models.hashing import combine, hash_strings
from models.jit import njit

Vector = npt.NDArray[Any]

#: what is held against the usual: so large a part of it
PART: Final = 0.4
MISSED: Final = 1.0 - PART
CAME: Final = -float(np.log(PART))
#: what is held against the usual from above: so many times it
TIMES: Final = 1.6
EXTRA: Final = float(np.log(TIMES))
BROUGHT: Final = TIMES - 1.0
#: spans within which of work that has not come only so much is still to come (1/e), while of what is handed on so large
#: a part comes
FORGETS: Final = 864.0
FLOWS: Final = 0.5
#: part of what was handed on within so many spans (1/e) that may be more by chance
SPARE: Final = 0.06
SPARE_SPANS: Final = 12.0
#: nats below which what was told is over
OVER: Final = 1.0


@dataclass(frozen=True)
class Downstream:
    """What is known of followers: N functions that have a part in it, F of them followers, and E pairs.

    Attributes:
        apps, functions, triggers: N names, and what fires each.
        source: int64[E], place of a function in the names.
        follower: int64[E], place of its follower among the F.
        mean: float64[E], runs of the follower that a good run of the source brings.
        most: float64[E], good runs of the source in a span beyond which more promise nothing.
        named: int64[F], place of each follower in the names.
        spread: float64[F], variance of what came beyond what was promised, over its mean.
        wait: int64[F], spans after which what is to come has come.
        ahead: int64[F], spans by which it may come before its source has ended.
        bar, top: float64[F], nats that tell that less came, and that more did.
    """

    apps: tuple[str, ...]
    functions: tuple[str, ...]
    triggers: tuple[str, ...]
    source: Vector
    follower: Vector
    mean: Vector
    most: Vector
    named: Vector
    spread: Vector
    wait: Vector
    ahead: Vector
    bar: Vector
    top: Vector

    def __len__(self) -> int:
        return len(self.named)

    @classmethod
    def none(cls) -> Downstream:
        """Nothing follows anything."""
        kinds = (np.int64, np.int64, float, float, np.int64, float, np.int64, np.int64, float, float)
        return cls((), (), (), *(np.zeros(0, kind) for kind in kinds))

    @cached_property
    def keys(self) -> Vector:
        """uint64[N], hashes of the functions and their apps, as rows carry them."""
        return combine(*(hash_strings(pa.array(names, pa.string())) for names in (self.apps, self.functions)))

    @cached_property
    def together(self) -> Vector:
        """int64[N], number of each function's circle: who follows one another, and whoever has part in it."""
        circle = np.arange(len(self.apps))
        for source, follower in zip(self.source.tolist(), self.named[self.follower].tolist(), strict=True):
            circle[circle == circle[follower]] = circle[source]
        return circle

    @cached_property
    def _by_key(self) -> tuple[Vector, Vector]:
        """Places by their keys, and the keys in that order."""
        order = np.argsort(self.keys)
        return order, self.keys[order]

    def find(self, keys: Vector) -> Vector:
        """Places in the names, int64[n], by hashes as ``keys`` has them, uint64[n]; -1 of other functions."""
        order, known = self._by_key
        if not len(known):
            return np.full(len(keys), -1, np.int64)
        at_most = np.minimum(np.searchsorted(known, keys), len(known) - 1)
        return np.where(known[at_most] == keys, order[at_most], -1)

    def find_named(self, table: pa.Table) -> Vector:
        """Places in the names, int64[n], by the columns ``app`` and ``function`` of a table; -1 of other functions."""
        places = {name: place for place, name in enumerate(zip(self.apps, self.functions, strict=True))}
        names = zip(table.column("app").to_pylist(), table.column("function").to_pylist(), strict=True)
        return np.array([places.get(name, -1) for name in names], np.int64)

    def main_source(self, follower: int) -> int:
        """Place in the names of what promises most runs of a follower, by its place among the F."""
        pairs = np.flatnonzero(self.follower == follower)
        return int(self.source[pairs[np.argmax((self.mean * self.most)[pairs])]])

    def to_tables(self) -> dict[str, pa.Table]:
        """For a bundle."""
        return {
            "functions": pa.table({n: pa.array(getattr(self, n), pa.string()) for n in _NAMES}),
            "pairs": pa.table({n: getattr(self, n) for n in _PAIRS}),
            "followers": pa.table({n: getattr(self, n) for n in _FOLLOWERS}),
        }

    @classmethod
    def from_tables(cls, tables: Mapping[str, pa.Table]) -> Downstream:
        """The inverse of ``to_tables``."""
        of = (
            dict.fromkeys(_NAMES, "functions") | dict.fromkeys(_PAIRS, "pairs") | dict.fromkeys(_FOLLOWERS, "followers")
        )
        columns: dict[str, Any] = {n: tables[table].column(n) for n, table in of.items()}
        for n, column in columns.items():
            columns[n] = tuple(column.to_pylist()) if n in _NAMES else column.to_numpy().copy()
        return cls(**columns)


_NAMES: Final = ("apps", "functions", "triggers")
_PAIRS: Final = ("source", "follower", "mean", "most")
_FOLLOWERS: Final = ("named", "spread", "wait", "ahead", "bar", "top")


class Told(NamedTuple):
    """That runs are missing or too many, or that they are no longer.

    Attributes:
        at_us: from when on that is known.
        follower: place among the followers.
        strange: else it is over.
        more: more came than was promised; else less.
        since_us: since when.
        promised, came: runs since then.
    """

    at_us: int
    follower: int
    strange: bool
    more: bool
    since_us: int
    promised: float
    came: float


class Flow:
    """How much less, or more, came than was promised, as spans pass.

    What is worked out does not depend on how counts are cut into calls, as long as all of a span are there before it is
    judged.

    Args:
        known: who follows whom.
    """

    def __init__(self, known: Downstream) -> None:
        self.known = known
        size = len(known)
        #: float64[F]: nats by which less came than was promised, and the most there ever were; the same of more
        self.nats, self.worst, self.excess, self.highest = np.zeros((4, size))
        #: float64[F]: runs that came and that were promised since that began to grow; the same of more, runs that are
        #: still to come, and those that may be more by chance
        self.came, self.promised, self.ran, self.brought, self.owed, self.spare = np.zeros((6, size))
        #: int64[F]: span in which it began to grow, -1: in none; the same of more, and when any was brought last
        self.since, self.risen, self.fed = np.full((3, size), -1, np.int64)
        #: bool[F]: it was told; the same of more; bool[N]: the function was heard of
        self.told, self.rose = np.zeros((2, size), np.bool_)
        self.heard = np.zeros(len(known.apps), np.bool_)
        #: spans below which it is judged whether more came
        self._until = 0
        #: of spans that are not judged yet, in the order in which they came: follower, span, promised, came; brought by
        #: all runs of the sources, and those that came and went well
        self._open: tuple[Vector, ...] = _NOTHING
        order = np.argsort(known.source, kind="stable")
        self._pairs_of = order, np.searchsorted(known.source[order], np.arange(len(known.apps) + 1))
        self._follower_of = np.full(len(known.apps), -1, np.int64)
        self._follower_of[known.named] = np.arange(size)

    def count(self, place: Vector, span: Vector, came: Vector, good: Vector) -> None:
        """Take counts, one of a function in a span.

        Args:
            place: int64[n], of functions in the names.
            span: int64[n], numbers of spans.
            came: float64[n], runs that ended in them.
            good: float64[n], of these, those that did not fail.
        """
        known = self.known
        self.heard[place] = True
        row, pair = _each(place, *self._pairs_of)
        # more of a source than ever promise no more
        promised = known.mean[pair] * np.minimum(good[row], known.most[pair])
        mine = self._follower_of[place]
        own = np.flatnonzero(mine >= 0)
        added = (
            (known.follower[pair], mine[own]),
            (span[row], span[own] + known.ahead[mine[own]]),
            (promised, np.zeros(len(own))),
            (np.zeros(len(row)), came[own]),
            (known.mean[pair] * came[row], np.zeros(len(own))),
            (np.zeros(len(row)), good[own]),
        )
        self._open = tuple(np.concatenate([held, *more]) for held, more in zip(self._open, added, strict=True))

    def judge(self, until: int) -> list[Told]:
        """What there is to tell, now that all spans before one are counted; by follower, in the order of time."""
        if not len(self._open[0]):
            self._until = max(self._until, until)
            return []
        known = self.known
        follower, span, promised, came, brought, well = self._merged()
        out, numbers = np.zeros((len(span), 4), np.int64), np.zeros((len(span), 2))
        more = _judge_more(
            follower, span, brought, well, known.spread, known.wait, known.top, self._until, until,
            self.excess, self.highest, self.ran, self.brought, self.owed, self.spare, self.risen, self.fed, self.rose,
            out, numbers,
        )  # fmt: skip
        self._until = max(self._until, until)
        told = _told(out[:more], numbers[:more], more=True)
        found = _judge(
            follower, span, promised, came, known.spread, known.wait, known.bar, self._reach(), until,
            self.nats, self.worst, self.came, self.promised, self.since, self.told, out, numbers,
        )  # fmt: skip
        left = span + known.wait[follower] >= until
        self._open = tuple(column[left] for column in (follower, span, promised, came, brought, well))
        return told + _told(out[:found], numbers[:found], more=False)

    def _merged(self) -> tuple[Vector, ...]:
        """Spans that are not judged yet, one row of a follower each, in order."""
        if not len(self._open[0]):
            return self._open
        order = np.lexsort((self._open[1], self._open[0]))
        follower, span, *runs = (column[order] for column in self._open)
        first = starts(follower, span)
        return follower[first], span[first], *(np.add.reduceat(column, first) for column in runs)

    def _reach(self) -> Vector:
        """bool[F]: of the follower's app something was heard, so that its logs are among these."""
        heard = {app for app, there in zip(self.known.apps, self.heard.tolist(), strict=True) if there}
        return np.array([self.known.apps[place] in heard for place in self.known.named.tolist()], np.bool_)

    def due(self) -> int | None:
        """The least number of spans counted from which on ``judge`` has something to do."""
        follower, span = self._open[:2]
        if not len(span):
            return None
        new = span[span >= self._until]
        soonest = int((span + self.known.wait[follower]).min())
        return min(soonest, int(new.min()) if len(new) else soonest) + 1

    def snapshot(self) -> dict[str, pa.Table]:
        """The state, by names."""
        known, (follower, span, *runs) = self.known, self._merged()
        apps, functions = (np.array(names, object) for names in (known.apps, known.functions))
        columns: dict[str, Any] = {n: getattr(self, n) for n in _STATE}
        named = known.named
        columns |= {"app": pa.array(apps[named], pa.string()), "function": pa.array(functions[named], pa.string())}
        return {
            "followers": pa.table(columns),
            "heard": pa.table(
                {
                    "app": pa.array(apps[self.heard], pa.string()),
                    "function": pa.array(functions[self.heard], pa.string()),
                }
            ),
            "spans": pa.table(
                {
                    "app": pa.array(apps[named[follower]], pa.string()),
                    "function": pa.array(functions[named[follower]], pa.string()),
                    "span": span,
                    **dict(zip(_RUNS, runs, strict=True)),
                }
            ),
            "until": pa.table({"until": [self._until]}),
        }

    def restore(self, tables: Mapping[str, pa.Table]) -> None:
        """Take over a snapshot, of this or of what else was known: followers are found by name."""
        known = self.known
        numbers = {place: k for k, place in enumerate(known.named.tolist())}

        heard = known.find_named(tables["heard"])
        self.heard[heard[heard >= 0]] = True
        saved = tables["followers"]
        k = np.array([numbers.get(place, -1) for place in known.find_named(saved).tolist()], np.int64)
        for name in _STATE:
            getattr(self, name)[k[k >= 0]] = saved.column(name).to_numpy()[k >= 0]
        spans = tables["spans"]
        k = np.array([numbers.get(place, -1) for place in known.find_named(spans).tolist()], np.int64)
        columns = (k, *(spans.column(name).to_numpy() for name in ("span", *_RUNS)))
        self._open = tuple(column[k >= 0].copy() for column in columns)
        self._until = tables["until"].column("until")[0].as_py()


def _each(place: Vector, order: Vector, first: Vector) -> tuple[Vector, Vector]:
    """Row and pair of each pair of which a row counts the source."""
    many = first[place + 1] - first[place]
    row = np.repeat(np.arange(len(place)), many)
    within = np.arange(len(row)) - np.repeat(np.cumsum(many) - many, many)
    return row, order[first[place][row] + within]


_STATE: Final = (
    "nats", "worst", "came", "promised", "since", "told",
    "excess", "highest", "ran", "brought", "owed", "spare", "risen", "fed", "rose",
)  # fmt: skip
_RUNS: Final = ("promised", "came", "brought", "well")
_NOTHING: Final = (np.zeros(0, np.int64), np.zeros(0, np.int64), *np.zeros((4, 0)))


def _told(out: Vector, numbers: Vector, *, more: bool) -> list[Told]:
    return [
        Told((at + 1) * BIN_US, k, bool(strange), more, since * BIN_US, promise, runs)
        for (at, k, strange, since), (promise, runs) in zip(out.tolist(), numbers.tolist(), strict=True)
    ]


@njit
def _judge(
    follower: Any, span: Any, promised: Any, came: Any, spread: Any, wait: Any, bar: Any, reach: Any, until: Any,
    nats: Any, worst: Any, sum_came: Any, sum_promised: Any, since: Any, told: Any, out: Any, numbers: Any,
) -> Any:  # fmt: skip
    """Judge spans, by follower and in order; writes what is to be told and says how much that is."""
    number = 0
    for i in range(follower.shape[0]):
        k = follower[i]
        if span[i] + wait[k] >= until:
            continue
        before = nats[k]
        nats[k] = before + (MISSED * promised[i] - CAME * came[i]) / spread[k]
        if nats[k] <= (OVER if told[k] else 0.0):
            if told[k]:
                out[number, 0], out[number, 1], out[number, 2], out[number, 3] = span[i] + wait[k], k, 0, since[k]
                numbers[number, 0], numbers[number, 1] = sum_promised[k] + promised[i], sum_came[k] + came[i]
                number += 1
            nats[k] = sum_came[k] = sum_promised[k] = 0.0
            since[k], told[k] = -1, False
            continue
        if before == 0.0:
            since[k] = span[i]
        sum_came[k] += came[i]
        sum_promised[k] += promised[i]
        # what has come since may have been promised by then
        still = 0.0
        j = i + 1
        while j < follower.shape[0] and follower[j] == k and span[j] <= span[i] + wait[k]:
            still += came[j]
            j += 1
        left = nats[k] - CAME * still / spread[k]
        worst[k] = max(worst[k], left)
        # once it is told, what has to come before it is over is no more than twice of what tells
        nats[k] = min(nats[k], 2.0 * bar[k] + CAME * still / spread[k])
        if left > bar[k] and reach[k] and not told[k]:
            told[k] = True
            out[number, 0], out[number, 1], out[number, 2], out[number, 3] = span[i] + wait[k], k, 1, since[k]
            numbers[number, 0], numbers[number, 1] = sum_promised[k], sum_came[k] + still
            number += 1
    return number


@njit
def _judge_more(
    follower: Any, span: Any, brought: Any, well: Any, spread: Any, wait: Any, top: Any, begin: Any, until: Any,
    nats: Any, most: Any, sum_ran: Any, sum_brought: Any, owed: Any, spare: Any, since: Any, fed: Any, told: Any,
    out: Any, numbers: Any,
) -> Any:  # fmt: skip
    """As ``_judge``, of more than was promised, which need not be waited for."""
    number = 0
    for i in range(follower.shape[0]):
        k = follower[i]
        if not begin <= span[i] < until:
            continue
        before = nats[k]
        if brought[i] > 0.0:
            fed[k] = span[i]
        # what others handed on before may come now
        late = min(well[i], owed[k])
        extra = well[i] - late
        spare[k] = spare[k] * np.exp(-1.0 / SPARE_SPANS) + SPARE * brought[i]
        chance = min(max(extra - brought[i], 0.0), spare[k])
        extra, spare[k] = extra - chance, spare[k] - chance
        flows = well[i] >= FLOWS * brought[i]
        owed[k] = (owed[k] - late) * (np.exp(-1.0 / FORGETS) if flows else 1.0) + max(brought[i] - extra, 0.0)
        if fed[k] < 0 or span[i] > fed[k] + wait[k]:
            # who handed it on is not in these logs
            continue
        nats[k] = before + (EXTRA * extra - BROUGHT * brought[i]) / spread[k]
        if nats[k] <= (OVER if told[k] else 0.0):
            if told[k]:
                out[number, 0], out[number, 1], out[number, 2], out[number, 3] = span[i], k, 0, since[k]
                numbers[number, 0], numbers[number, 1] = sum_brought[k] + brought[i] + late, sum_ran[k] + well[i]
                number += 1
            nats[k] = sum_ran[k] = sum_brought[k] = 0.0
            since[k], told[k] = -1, False
            continue
        if before == 0.0:
            since[k] = span[i]
        sum_ran[k] += well[i]
        sum_brought[k] += brought[i] + late
        most[k] = max(most[k], nats[k])
        nats[k] = min(nats[k], 2.0 * top[k])
        if nats[k] > top[k] and not told[k]:
            told[k] = True
            out[number, 0], out[number, 1], out[number, 2], out[number, 3] = span[i], k, 1, since[k]
            numbers[number, 0], numbers[number, 1] = sum_brought[k], sum_ran[k]
            number += 1
    return number


def starts(*columns: Vector) -> Vector:
    """Where rows begin that differ from the row before in one of the columns, which are not empty."""
    differs = np.logical_or.reduce([column[1:] != column[:-1] for column in columns])
    return np.flatnonzero(np.r_[True, differs])
