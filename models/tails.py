"""Surprise: how rare a value is in its group, as -log10 of a tail probability, pooled where the group says too little.

Each group (a function), then each pool (an app's functions of one trigger), each cohort (a trigger kind), then the
tenant keeps, for every feature, the values that 1/2, 1/5, 1/10 ... of its normal events reach or exceed, and an
exponential tail beyond. A group's tail probability is a mixture of its own, its pool's and its cohort's, weighted by
what each has seen, so that no group is ever "initialising".
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from models.jit import njit

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]

#: exceedance probabilities at which values are kept
EXCEEDANCE: Final = np.array(
    [0.5, 0.3, 0.2, 0.1, 0.05, 0.02, 0.01, 5e-3, 2e-3, 1e-3, 5e-4, 2e-4, 1e-4, 5e-5, 2e-5, 1e-5, 5e-6, 2e-6, 1e-6]
)
#: events that must lie beyond a level for the level to be believed
LEVEL_EVENTS: Final = 2.0
#: events that what stands above it weighs in a group's, a pool's or a cohort's tail
PRIOR_EVENTS: Final = 100.0
#: events that the tenant weighs in a cohort's tail: what queues do says little of what HTTP calls do
PRIOR_TENANT: Final = 20.0
#: exceedances from which a tail's slope is taken, and how many exceedances the prior slope weighs
TAIL_EVENTS: Final = 60
PRIOR_TAIL: Final = 15.0
#: blocks that the cohort weighs in a group's scale, and the least scale, in nats
PRIOR_BLOCKS: Final = 8.0
MIN_SCALE: Final = 1.0
#: no tail is believed to be thinner than this share of its prior: values that cluster say little of what lies beyond
MIN_SLOPE: Final = 0.4
#: no surprise is believed beyond one in 10^15
MAX_SURPRISE: Final = 15.0
#: a value that no feature reaches
UNREACHED: Final = 1e12
_LOG10: Final = float(np.log(10.0))
#: of groups, pools or cohorts: the row of each event, the row above it, -1 where it has none, and the rows there are
_Level = tuple[Ints, Ints, slice]


@njit
def _one(x: Any, values: Any, logs: Any, depth: Any, slope: Any, count: Any) -> Any:
    """Natural logarithm of the share of a group's normal events that reach x; ``logs`` are those of the levels."""
    if depth == 0:
        return min(np.log(0.5 / (count + 1.0)) - x / slope, 0.0)
    last = depth - 1
    if x > values[last]:
        return logs[last] - (x - values[last]) / slope
    place = last
    while place > 0 and values[place - 1] >= x:
        place -= 1
    if place == 0:
        return logs[0] * (x / values[0]) if values[0] > 0 else 0.0
    above, below = values[place], values[place - 1]
    part = (x - below) / (above - below) if above > below else 1.0
    # up to the level's own value the share lies between the two levels
    return logs[place - 1] + part * (logs[place] - logs[place - 1])


@njit
def _surprises(
    X: Any, group: Any, cohort: Any, values: Any, depth: Any, slope: Any, count: Any, scale: Any, above: Any,
    levels: Any, grain: Any, out: Any,
) -> None:  # fmt: skip
    tenant_row = values.shape[0] - 1
    logs = np.empty(levels.shape[0])
    for place in range(levels.shape[0]):
        logs[place] = np.log(levels[place])
    way = np.empty(3, np.int64)
    for i in range(X.shape[0]):
        g, c = group[i], cohort[i]
        # from the widest to the event's own
        way[0], steps = c, 1
        if g >= 0:
            if above[g] >= 0:
                way[1], steps = above[g], 2
            way[steps] = g
            steps += 1
        for j in range(X.shape[1]):
            x = np.float64(X[i, j])
            if not x > 0.0:
                out[i, j] = 0.0
                continue
            full = x
            x = x / (scale[g, j] if g >= 0 else scale[c, j])
            n = count[tenant_row, j]
            p = np.exp(_one(x, values[tenant_row, j], logs, depth[tenant_row, j], slope[tenant_row, j], n))
            for step in range(steps):
                r = way[step]
                n = count[r, j]
                if n > 0.0:
                    own = np.exp(_one(x, values[r, j], logs, depth[r, j], slope[r, j], n))
                    prior = PRIOR_TENANT if step == 0 else PRIOR_EVENTS
                    p = (n * own + prior * p) / (n + prior)
            out[i, j] = min(max(-np.log(p) / _LOG10, 0.0), MAX_SURPRISE) if p > 0.0 else MAX_SURPRISE
            if full < grain:
                out[i, j] *= full / grain


@dataclass(frozen=True)
class Tails:
    """Tails of J features for G groups, P pools, C cohorts and the tenant, N rows in this order.

    Attributes:
        values: float64[N, J, len(EXCEEDANCE)], ascending along the last axis, in units of the group's scale.
        depth: int64[N, J], levels that are believed.
        slope: float64[N, J], scale of the exponential tail.
        count: float64[N, J], independent observations: events, or blocks of time; 0 where only what is above counts.
        scale: float64[N, J], what a value is divided by: 1, or the group's mean block maximum.
        above: int64[G], row of each group's pool; -1 where it has none.
        cohorts: C.
    """

    values: Floats
    depth: Ints
    slope: Floats
    count: Floats
    scale: Floats
    above: Ints
    cohorts: int

    @property
    def first_cohort(self) -> int:
        """Row of the first cohort."""
        return len(self.depth) - 1 - self.cohorts

    def surprise(self, X: Any, group: Ints, cohort: Ints, grain: float = 0.0) -> Floats:
        """Surprise of each value.

        Args:
            X: float[n, J], higher is stranger, 0 is nothing to say.
            group: int64[n], row of the event's group; -1 for one never seen.
            cohort: int64[n], number of its cohort, 0..C-1.
            grain: a value below it is hardly evidence, however rare any value is: it counts for its share of the grain.

        Returns:
            float64[n, J], -log10 of the tail probability, 0 to MAX_SURPRISE.
        """
        out = np.empty(X.shape, dtype=np.float64)
        rows = np.ascontiguousarray(X)
        tables = (self.values, self.depth, self.slope, self.count, self.scale, self.above)
        _surprises(rows, group, self.first_cohort + cohort, *tables, EXCEEDANCE, grain, out)
        return out

    def muted(self, features: npt.NDArray[np.bool_]) -> Tails:
        """The same tails, by which no value of these features, bool[J], is a surprise."""
        values, depth = self.values.copy(), self.depth.copy()
        values[:, features], depth[:, features] = UNREACHED, 1
        return replace(self, values=values, depth=depth)

    def reached(self) -> Floats:
        """float64[G+C+1, J, len(EXCEEDANCE)]: ``values``, with those of levels not believed by the exponential tail."""
        last = np.maximum(self.depth - 1, 0)[:, :, None]
        beyond = np.log(EXCEEDANCE[last] / EXCEEDANCE) * self.slope[:, :, None]
        from_last: Floats = np.take_along_axis(self.values, last, axis=2) + np.maximum(beyond, 0.0)
        believed = np.arange(len(EXCEEDANCE)) < self.depth[:, :, None]
        return np.where(believed, self.values, from_last)

    def to_table(self) -> pa.Table:
        """Plain Arrow, a row a group; the inverse of ``from_table``."""
        rows, features = self.depth.shape
        columns = {}
        for name in _ARRAYS:
            value = getattr(self, name)
            columns[name] = pa.FixedSizeListArray.from_arrays(pa.array(value.reshape(-1)), value.size // rows)
        columns["above"] = pa.array(np.r_[self.above, np.full(rows - len(self.above), -1)])
        numbers = {"groups": len(self.above), "cohorts": self.cohorts, "features": features}
        return pa.table(columns).replace_schema_metadata({name: str(number) for name, number in numbers.items()})

    @classmethod
    def from_table(cls, table: pa.Table) -> Tails:
        """Read what ``to_table`` wrote."""
        table = table.combine_chunks()
        meta = table.schema.metadata or {}
        groups, cohorts, features = (int(meta[name]) for name in (b"groups", b"cohorts", b"features"))
        found = {
            n: table.column(n).chunk(0).flatten().to_numpy().reshape(table.num_rows, features, -1) for n in _ARRAYS
        }
        flat = {n: v.copy() if n == "values" else v[:, :, 0].copy() for n, v in found.items()}
        above = table.column("above").to_numpy()[:groups].copy()
        return cls(above=above, cohorts=cohorts, **flat)


_ARRAYS: Final = ("values", "depth", "slope", "count", "scale")


def fit_tails(
    X: Any,
    group: Ints,
    cohort: Ints,
    *,
    groups: int,
    cohorts: int,
    pool: Ints | None = None,
    slope: float = 1.0,
    at: Any = None,
    block_us: Any = None,
) -> Tails:
    """Tails of normal events.

    Args:
        X: float[n, J], n normal events.
        group: int64[n], 0..groups-1, or -1.
        cohort: int64[n], 0..cohorts-1.
        groups: how many groups there are.
        cohorts: how many cohorts there are.
        pool: int64[groups], number of each group's pool, 0 and up; a pool's groups are of one cohort. None: no pools.
        slope: prior scale of the tails, in the feature's unit a nat; 1 for likelihood ratios.
        at: int64[n] us, when; needed with ``block_us``.
        block_us: int64[J], length of the blocks whose maxima count as one observation, since values within them hang
            together; 0 where each event counts for itself.
    """
    features = X.shape[1]
    pools = int(pool.max(initial=-1)) + 1 if pool is not None else 0
    rows = groups + pools + cohorts + 1
    out = Tails(
        values=np.zeros((rows, features, len(EXCEEDANCE))),
        depth=np.zeros((rows, features), dtype=np.int64),
        slope=np.full((rows, features), slope),
        count=np.zeros((rows, features)),
        scale=np.ones((rows, features)),
        above=groups + pool if pool is not None else np.full(groups, -1, dtype=np.int64),
        cohorts=cohorts,
    )
    # of each length of blocks: the block of each event, and where blocks stand
    blocks: dict[int, tuple[Ints | None, list[_Level]]] = {0: (None, _levels_of(out, group, cohort))}
    for j in range(features):
        length = int(block_us[j]) if block_us is not None else 0
        if length not in blocks:
            of_event, g, c = _blocks(group, cohort, at // length)
            blocks[length] = of_event, _levels_of(out, g, c)
        code, levels = blocks[length]
        value = np.asarray(X[:, j], dtype=np.float64)
        if code is not None:
            own, above, _ = levels[-1]
            highest = np.zeros(len(own))
            np.maximum.at(highest, code, value)
            _fit_scale(out, j, highest, levels)
            # a group that is not known is measured by its cohort
            value = highest / out.scale[np.where(own >= 0, own, above), j]
        _fit_feature(out, j, value, levels if code is None else levels[:-1], slope)
    return out


def _levels_of(tails: Tails, g: Ints, c: Ints) -> list[_Level]:
    """From cohorts down to groups."""
    groups, first = len(tails.above), tails.first_cohort
    cohort = first + c
    levels = [(cohort, np.full(len(c), first + tails.cohorts), slice(first, first + tails.cohorts))]
    pool = np.where(g >= 0, np.r_[tails.above, -1][g], -1)
    if first > groups:
        levels.append((pool, cohort, slice(groups, first)))
    return [*levels, (g, np.where(pool >= 0, pool, cohort), slice(0, groups))]


def _blocks(group: Ints, cohort: Ints, number: Ints) -> tuple[Ints, Ints, Ints]:
    """Block of each event, and group and cohort of each block."""
    wide, low = int(cohort.max(initial=0)) + 1, int(number.min(initial=0))
    span = int(number.max(initial=0)) - low + 1
    key = ((group + 1) * wide + cohort) * span + (number - low)
    distinct, code = np.unique(key, return_inverse=True)
    pair = distinct // span
    return code.reshape(-1), pair // wide - 1, pair % wide


def _fit_scale(out: Tails, j: int, value: Floats, levels: list[_Level]) -> None:
    """Mean block maximum of each row, shrunk to that of the row above it."""
    # a single wild block must not buy a group licence
    capped = np.minimum(value, np.quantile(value, 0.99)) if len(value) else value
    tenant = max(float(capped.mean()) if len(capped) else 0.0, MIN_SCALE)
    out.scale[:, j] = tenant
    for own, above, level in levels:
        inside = own >= 0
        total = np.bincount(own[inside], weights=capped[inside], minlength=level.stop)[level]
        number = np.bincount(own[inside], minlength=level.stop)[level]
        prior = np.full(level.stop - level.start, tenant)
        prior[own[inside] - level.start] = out.scale[above[inside], j]
        out.scale[level, j] = np.maximum((total + PRIOR_BLOCKS * prior) / (number + PRIOR_BLOCKS), MIN_SCALE)


def _fit_feature(out: Tails, j: int, value: Floats, levels: list[_Level], prior: float) -> None:
    positive = np.flatnonzero(value > 0)
    order = positive[np.argsort(-value[positive], kind="stable")]
    ordered = value[order]
    out.count[-1, j] = len(value)
    out.values[-1, j], out.depth[-1, j], out.slope[-1, j] = _levels(ordered, out.count[-1, j], prior)
    out.slope[:-1, j] = out.slope[-1, j]
    for owner, above, level in levels:
        inside = owner[owner >= 0]
        out.count[level, j] = np.bincount(inside, minlength=level.stop)[level]
        mine = owner[order]
        by_owner = np.argsort(mine, kind="stable")
        edges = np.searchsorted(mine[by_owner], np.arange(level.start, level.stop + 1))
        for k in range(level.stop - level.start):
            part = by_owner[edges[k] : edges[k + 1]]
            if len(part):
                row = level.start + k
                base = float(out.slope[above[order[part[0]]], j])
                out.values[row, j], out.depth[row, j], out.slope[row, j] = _levels(
                    ordered[part], out.count[row, j], base
                )


def _levels(descending: Floats, count: float, prior: float) -> tuple[Floats, int, float]:
    """Values at each exceedance level, how many levels are believed, and the slope beyond."""
    out = np.zeros(len(EXCEEDANCE))
    depth = 0
    for place, share in enumerate(EXCEEDANCE):
        needed = share * count
        if needed < LEVEL_EVENTS:
            break
        rank = int(np.ceil(needed)) - 1
        out[place] = descending[rank] if rank < len(descending) else 0.0
        depth = place + 1
    top = min(TAIL_EVENTS, len(descending) // 2)
    if top < 3:
        return out, depth, prior
    excess = descending[:top] - descending[top]
    slope = (float(excess.sum()) + PRIOR_TAIL * prior) / (top + PRIOR_TAIL)
    return out, depth, max(slope, MIN_SLOPE * prior)
