"""Who calls: people with sessions, services with a beat, devices; their places, addresses, habits and moves."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np

from .calendar import Calendar
from .clock import HOUR
from .events import Array
from .places import PLACES, WEIGHT, addresses
from .seeds import stream
from .tenant import Function, Tenant

FOREVER: Final = 2**62
#: regular callers at scale 1, by audience; they grow slower than the traffic
REGULARS: Final = {"public": 420, "customers": 360, "partners": 26, "internal": 15, "devices": 70}
GROWTH: Final = 0.6  #: exponent of the scale for the number of callers
FEWEST: Final = {"public": 40, "customers": 40, "partners": 8, "internal": 9, "devices": 8}
ZIPF: Final = 1.05  #: exponent of the callers' shares
MOBILE_SHARE: Final = 0.3  #: share of people whose address changes with each session
#: share of an app's calls that comes from services with a beat, by audience
BEAT_SHARE: Final = {"public": 0.04, "customers": 0.05, "partners": 0.65, "internal": 0.0, "devices": 1.0}
FEWEST_BEATS: Final = 24.0  #: a day; a function with fewer calls has no services
SHORTEST_BEAT_S: Final = 5.0
MONITOR_PERIODS_S: Final = (60.0, 120.0, 300.0)


@dataclass
class Callers:
    """Regular callers as columns of shape (n,)."""

    place: Array  #: int16
    address: Array  #: uint64
    user: Array  #: int64 number of the account
    mobile: Array  #: bool
    payload: Array  #: float64, how much heavier its requests are
    clumsy: Array  #: float64, how many more client errors it makes
    start: Array  #: int64 us, when it appears

    def __len__(self) -> int:
        """Number of callers."""
        return len(self.place)


@dataclass(frozen=True)
class Members:
    """The people of one app."""

    functions: Array  #: the app's HTTP functions with traffic of their own
    callers: Array
    weight: Array  #: share of sessions; sums to 1 before newcomers
    preference: Array  #: cumulative shares over functions, (callers, functions)
    uses: Array  #: bool (callers, functions)


@dataclass(frozen=True)
class Beat:
    """A service that calls one function at a fixed period."""

    caller: int
    function: int
    period_s: float
    phase_s: float
    jitter: float  #: of the period
    start: int
    office: bool  #: only in its local office hours


@dataclass(frozen=True)
class Move:
    """A caller that is elsewhere for a time; its flight (no calls) comes before."""

    caller: int
    start: int
    end: int
    place: int
    address: int
    silent_from: int


@dataclass(frozen=True)
class Population:
    """All callers of a tenant and what binds them to functions."""

    callers: Callers
    members: dict[int, Members]
    beats: tuple[Beat, ...]
    moves: tuple[Move, ...]
    tokens: tuple[tuple[int, int, int], ...]  #: (caller, start, end): its token has expired, it gets 401
    bulks: tuple[tuple[int, int, int], ...]  #: (caller, start, end): it catches up or imports, and calls far more


class _Builder:
    def __init__(self, seed: int) -> None:
        self.seed = seed
        self.columns: dict[str, list[Array]] = {name: [] for name in Callers.__dataclass_fields__}
        self.count = 0

    def add(self, rng: np.random.Generator, place: Array, mobile: float, start: Array | int = 0) -> Array:
        count = len(place)
        self.columns["place"].append(place.astype(np.int16))
        self.columns["address"].append(addresses(rng, place))
        self.columns["user"].append(self.count + np.arange(count, dtype=np.int64))
        self.columns["mobile"].append(rng.random(count) < mobile)
        self.columns["payload"].append(np.exp(rng.normal(0.0, 0.25, count)))
        self.columns["clumsy"].append(np.exp(rng.normal(0.0, 0.9, count)))
        self.columns["start"].append(np.broadcast_to(np.asarray(start, dtype=np.int64), (count,)))
        numbers = np.arange(self.count, self.count + count)
        self.count += count
        return numbers

    def done(self) -> Callers:
        return Callers(**{name: np.concatenate(parts) for name, parts in self.columns.items()})


def _market(rng: np.random.Generator) -> Array:
    """Chances of places for a tenant: a few strong countries, a thin tail of others; shape (len(PLACES),)."""
    chance = WEIGHT * np.exp(rng.normal(0.0, 1.6, len(PLACES)))
    chance = np.where(chance >= np.sort(chance)[-10], chance, chance * 0.004)
    return np.asarray(chance / chance.sum())


def _zipf(rng: np.random.Generator, count: int) -> Array:
    shares = 1.0 / np.arange(1, count + 1) ** ZIPF
    return np.asarray(rng.permutation(shares / shares.sum()))


def _members(rng: np.random.Generator, functions: list[Function], callers: Array, weight: Array) -> Members:
    rates = np.array([function.per_day for function in functions])
    uses = rng.random((len(callers), len(functions))) < 0.65
    uses[np.arange(len(callers)), rng.choice(len(functions), len(callers), p=rates / rates.sum())] = True
    liking = uses * rates * rng.gamma(2.0, 0.5, uses.shape) + 1e-12 * uses
    # whoever uses a function, the function's own pace is kept: fit rows (callers) and columns (functions) in turn
    for _ in range(6):
        liking = liking * (rates / rates.sum() / np.maximum((liking * weight[:, None]).sum(axis=0), 1e-15))
        liking = liking / liking.sum(axis=1, keepdims=True)
    return Members(np.array([f.index for f in functions]), callers, weight, np.cumsum(liking, axis=1), uses)


def populate(tenant: Tenant, calendar: Calendar, seed: int, scale: float) -> Population:
    """The callers of a tenant, with the newcomers, moves and expired tokens of its calendar."""
    rng = stream(seed, "callers")
    market = _market(rng)
    builder = _Builder(seed)
    crowd = scale**GROWTH
    pools: dict[str, Array] = {}
    audiences = {app.audience for app in tenant.apps}
    for audience in sorted(audiences):
        size = max(FEWEST[audience], int(REGULARS[audience] * crowd))
        homes = [app.home for app in tenant.apps if app.audience == audience and app.home]
        if homes:
            place = rng.choice(np.array(homes[0]), size)
            place = np.where(rng.random(size) < 0.8, homes[0][0], place)
        else:
            place = rng.choice(len(PLACES), size, p=market)
        mobile = MOBILE_SHARE if audience in ("public", "customers") else 0.0
        pools[audience] = builder.add(rng, place, mobile)
    members: dict[int, Members] = {}
    beats: list[Beat] = []
    for app in tenant.apps:
        own = [f for f in tenant.http(app.index) if f.per_day > 0]
        draw = stream(seed, "members", app.index)
        pool = pools[app.audience]
        if own and app.audience != "devices":
            size = max(4, int(len(pool) * draw.uniform(0.5, 0.85)))
            chosen = np.sort(draw.choice(pool, size, replace=False))
            members[app.index] = _members(draw, own, chosen, _zipf(draw, size))
        for function in tenant.http(app.index):
            if function.minutes is None:
                beats.extend(_beats(draw, function, pool, app.audience))
    moves, tokens, bulks = _changes(calendar, builder.done(), members, beats, seed)
    beats, members = _newcomers(tenant, calendar, seed, market, builder, beats, members)
    callers = builder.done()
    return Population(callers, members, tuple(beats), moves, tokens, bulks)


def _beats(rng: np.random.Generator, function: Function, pool: Array, audience: str) -> list[Beat]:
    """Services that call a function; a function without a pace of its own is called by monitors alone."""
    if function.per_day <= 0:
        periods = rng.choice(MONITOR_PERIODS_S, 4)
        monitors = rng.choice(pool, min(4, len(pool)), replace=False)
        return [
            Beat(int(c), function.index, float(p), float(rng.uniform(0, p)), 0.004, 0, False)
            for c, p in zip(monitors, periods, strict=False)
        ]
    wanted = function.per_day * BEAT_SHARE[audience]
    if wanted < FEWEST_BEATS:
        return []
    size = len(pool) if audience == "devices" else int(min(len(pool), 1 + rng.integers(2, 7)))
    chosen = rng.choice(pool, size, replace=False)
    shares = _zipf(rng, size) if audience != "devices" else np.full(size, 1.0 / size)
    found = []
    for caller, share in zip(chosen, shares, strict=True):
        period = max(SHORTEST_BEAT_S, 86_400.0 / (wanted * float(share)))
        if period > 30.0:
            period = float(np.round(period / 15.0) * 15.0)
        office = audience == "partners" and bool(rng.random() < 0.25)
        jitter = float(rng.choice([0.002, 0.05, 0.4]))
        found.append(Beat(int(caller), function.index, period, float(rng.uniform(0, period)), jitter, 0, office))
    return found


def _newcomers(
    tenant: Tenant,
    calendar: Calendar,
    seed: int,
    market: Array,
    builder: _Builder,
    beats: list[Beat],
    members: dict[int, Members],
) -> tuple[list[Beat], dict[int, Members]]:
    for number, newcomer in enumerate(calendar.newcomers):
        rng = stream(seed, "newcomer", number)
        app = newcomer.app
        if app < 0 or app not in members:
            continue
        home = tenant.apps[app].home
        place = rng.choice(np.array(home), 1) if home else rng.choice(len(PLACES), 1, p=market)
        caller = builder.add(rng, place, 0.0, newcomer.time)
        of = members[app]
        if newcomer.service and tenant.functions[of.functions[0]].minutes is None:
            function = tenant.functions[int(rng.choice(of.functions))]
            period = float(rng.choice([60.0, 120.0, 300.0, 600.0, 900.0]))
            beats.append(
                Beat(int(caller[0]), function.index, period, float(rng.uniform(0, period)), 0.05, newcomer.time, False)
            )
            continue
        weight = float(np.quantile(of.weight, 0.5 + newcomer.luck / 2))
        row = of.preference[[int(rng.integers(len(of.callers)))]]
        uses = np.diff(np.concatenate([np.zeros((1, 1)), row], axis=1)) > 0
        members[app] = Members(
            of.functions,
            np.append(of.callers, caller),
            np.append(of.weight, weight),
            np.concatenate([of.preference, row]),
            np.concatenate([of.uses, uses]),
        )
    return beats, members


def _changes(
    calendar: Calendar, callers: Callers, members: dict[int, Members], beats: list[Beat], seed: int
) -> tuple[tuple[Move, ...], tuple[tuple[int, int, int], ...], tuple[tuple[int, int, int], ...]]:
    people = (
        np.unique(np.concatenate([m.callers for m in members.values()])) if members else np.zeros(0, dtype=np.int64)
    )
    services = np.array(sorted({beat.caller for beat in beats}), dtype=np.int64)
    moves: list[Move] = []
    tokens: list[tuple[int, int, int]] = []
    bulks: list[tuple[int, int, int]] = []
    for number, change in enumerate(calendar.changes):
        rng = stream(seed, "change", number)
        who = people if change.kind == "travel" or not len(services) else services
        if not len(who):
            continue
        caller = int(who[int(change.luck * len(who))])
        if change.kind in ("token", "bulk"):
            (tokens if change.kind == "token" else bulks).append((caller, change.start, change.end))
            continue
        place = int(callers.place[caller])
        if change.kind == "travel":
            place = int(np.searchsorted(np.cumsum(WEIGHT) / WEIGHT.sum(), change.where))
        address = int(addresses(rng, np.array([place]))[0])
        flight = int(rng.uniform(6, 14) * HOUR) if change.kind == "travel" else 0
        moves.append(Move(caller, change.start, change.end, place, address, change.start - flight))
    return tuple(moves), tuple(tokens), tuple(bulks)
