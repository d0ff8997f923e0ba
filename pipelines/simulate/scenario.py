"""A planted trouble: what it is, when, where, and how it changes a day's events."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Final

import numpy as np

from .callers import Beat
from .clock import DAY, HOUR, MINUTE, MINUTES_A_DAY, SECOND, minute_weights
from .events import Array, Events, concat, make
from .outcome import settle
from .places import COUNTRY_OF, OFFSET_H, PLACES, WEIGHT, addresses, write_address
from .tenant import MANY, Function
from .text import mix
from .world import World

LONGEST: Final = 10 * HOUR  #: of a trouble that is stretched until a slow function shows it
TRIES: Final = 20  #: moments looked at for a busy one
BENIGN: Final = -2  #: in ``scenario``: comes with the trouble, but is normal
MARKED: Final = -3  #: in ``scenario``: changed by the trouble that alters the day
#: takes a day's events and a stream, gives the day's events as the trouble leaves them
Alter = Callable[[Events, np.random.Generator], Events]


@dataclass(frozen=True)
class Scenario:
    """One planted trouble; ``adds`` joins the normal events, ``alters`` changes those of each day it touches."""

    kind: str
    app: str | None
    function: str | None
    caller: str | None
    start: int  #: us UTC
    end: int
    adds: Events | None = None
    alters: Alter | None = None


@dataclass
class Stage:
    """Where troubles are planted: the world, the days for it, and what is taken already."""

    world: World
    start: int
    end: int
    rng: np.random.Generator
    taken: set[int] = field(default_factory=set)  #: functions
    used: set[int] = field(default_factory=set)  #: callers

    def moment(self, length: int, local_h: tuple[float, float] = (0.0, 24.0), offset_h: float = 0.0) -> int:
        """A start such that ``length`` us fit, at a local hour within the range where the window allows."""
        last = max(self.start + 1, self.end - length)
        for _ in range(200):
            time = int(self.rng.uniform(self.start, last))
            hour = (time / HOUR + offset_h) % 24
            if local_h[0] <= hour < local_h[1]:
                return time
        return int(self.rng.uniform(self.start, last))

    def when_busy(self, function: Function, length: int, least: float = 15.0) -> tuple[int, int]:
        """(start, length) in which the function is expected to run ``least`` times; longer where it must be."""
        while True:
            tries = [self.moment(length) for _ in range(TRIES)]
            expected = [expected_between(self.world, function, start, start + length) for start in tries]
            good = [start for start, count in zip(tries, expected, strict=True) if count >= least]
            if good or 2 * length > LONGEST:
                return (good or [tries[int(np.argmax(expected))]])[0], length
            length *= 2

    def choose(self, *pools: Sequence[Function]) -> Function | None:
        """A function that no other trouble has, of the first pool that has one; else any of the first with any."""
        for pool in pools:
            fresh = [function for function in pool if function.index not in self.taken]
            if fresh:
                return self._take(fresh)
        return next((self._take(pool) for pool in pools if pool), None)

    def _take(self, functions: Sequence[Function]) -> Function:
        function = functions[int(self.rng.integers(len(functions)))]
        self.taken.add(function.index)
        return function

    def visited(self, least: float = 0.0, most: float = np.inf, app: int | None = None) -> list[Function]:
        """HTTP functions with so many calls a day, those that pass nothing on first."""
        found = [f for f in self.world.tenant.http(app) if least <= f.per_day <= most]
        return [f for f in found if not self.world.tenant.downstream(f.index)] or found

    def busy(self, least: float, most: float = np.inf, triggers: Sequence[str] = ()) -> list[Function]:
        """Functions of any trigger (or of those named) with so many invocations a day, fed by no batch."""
        return [
            f
            for f in self.world.tenant.functions
            if not f.hidden
            and f.passes_on <= MANY
            and least <= rate(self.world, f) <= most
            and (not triggers or f.trigger in triggers)
        ]

    def app_name(self, function: Function) -> str:
        """Name of a function's app."""
        return self.world.tenant.apps[function.app].name

    def strange_place(self, function: Function) -> int:
        """A place in a country from which no regular caller of the app comes."""
        callers = self.world.population.callers
        members = self.world.population.members.get(function.app)
        known = set() if members is None else set(COUNTRY_OF[callers.place[members.callers]].tolist())
        places = [place for place in range(len(PLACES)) if int(COUNTRY_OF[place]) not in known]
        return int(self.rng.choice(places or list(range(len(PLACES)))))

    def any_place(self) -> int:
        """A place as common as its weight."""
        return int(self.rng.choice(len(PLACES), p=WEIGHT / WEIGHT.sum()))

    def new_address(self, place: int) -> int:
        """An address never used before."""
        return int(addresses(self.rng, np.array([place]))[0])

    def regular(self, function: Function, *, still: bool = True) -> int:
        """A regular caller of the function's app, one of the busier; ``still`` for one with a fixed address."""
        callers = self.world.population.callers
        members = self.world.population.members.get(function.app)
        moved = {move.caller for move in self.world.population.moves}
        if members is not None:
            column = np.flatnonzero(members.functions == function.index)
            liking = members.weight * (members.uses[:, column[0]] if len(column) else 1.0)
            good = (callers.start[members.callers] == 0) & ~np.isin(members.callers, list(moved))
            good &= ~callers.mobile[members.callers] | (not still)
            ranked = members.callers[np.argsort(-liking * good, kind="stable")]
            ranked = ranked[: max(1, min(len(ranked) // 3, int(good.sum())))]
            fresh = ranked[~np.isin(ranked, list(self.used))]
            caller = int(self.rng.choice(fresh if len(fresh) else ranked))
            self.used.add(caller)
            return caller
        services = [beat.caller for beat in self.beats() if beat.function == function.index]
        return int(self.rng.choice(services)) if services else int(self.rng.integers(len(callers)))

    def beats(self) -> list[Beat]:
        """Services that have been there from the start."""
        return [beat for beat in self.world.population.beats if beat.start == 0]

    def offset_of(self, caller: int) -> float:
        """Local time of a caller, hours from UTC."""
        return float(OFFSET_H[self.world.population.callers.place[caller]])

    def who(self, function: Function, address: int, user: int = -1) -> str:
        """A caller as a person would name it."""
        if user >= 0 and self.world.tenant.apps[function.app].signed_in:
            return user_name(user)
        return write_address(address)

    def calls(self, time: Array, function: Array | int, **columns: Array | float | bool) -> Events:
        """Settled events at the given times, as the functions answer on a normal day."""
        events = make(self.rng, np.sort(time), function, **columns)
        number = int((self.start + DAY // 2) // DAY) - self.world.first_day
        return settle(self.world, number, events, self.rng)


def user_name(number: int) -> str:
    """UserAuthenticatedId of an account."""
    return f"user-{int(mix(np.array([number]), 5)[0]) % 16**10:010x}"


def paced(rng: np.random.Generator, start: int, length: int, count: int) -> Array:
    """``count`` times with exponential gaps that fill ``length`` us from ``start``, int64, sorted."""
    gaps = rng.exponential(1.0, max(count, 1))
    return np.asarray(start + (np.cumsum(gaps) / gaps.sum() * length).astype(np.int64))


def seconds(value: float) -> int:
    """Seconds as microseconds."""
    return int(value * SECOND)


def insert(events: Events, scenario: Scenario, number: int, day_start: int) -> Events:
    """The day's events with those that the scenario adds on it, labelled ``number``."""
    if scenario.adds is None:
        return events
    today = (scenario.adds.time >= day_start) & (scenario.adds.time < day_start + DAY)
    if not today.any():
        return events
    added = scenario.adds.take(today)
    added.scenario[:] = np.where(added.scenario == BENIGN, -1, number)
    return concat([events, added])


def alter(events: Events, scenario: Scenario, number: int, rng: np.random.Generator) -> Events:
    """The day's events as the scenario changes them, those that it marked labelled ``number``."""
    if scenario.alters is None:
        return events
    events = scenario.alters(events, rng)
    events.scenario[events.scenario == MARKED] = number
    return events


def mark(events: Events, mask: Array) -> None:
    """Mark events as this trouble's work, unless another was there first."""
    events.scenario[mask & (events.scenario < 0)] = MARKED


def expected_between(world: World, function: Function, start: int, end: int) -> float:
    """Invocations of a function to expect between two times (us UTC), by its rate and the day's curve, about."""
    minutes = np.arange(start // MINUTE, max(end // MINUTE, start // MINUTE + 1))
    if function.minutes is not None:
        return float(function.minutes[minutes % len(function.minutes)].sum())
    source = function
    while source.upstream >= 0:
        source = world.tenant.functions[source.upstream]
    app = world.tenant.apps[source.app]
    a_minute = rate(world, function) / MINUTES_A_DAY
    members = world.population.members.get(app.index)
    if source.trigger == "timer" or members is None:
        return a_minute * len(minutes)
    offset = float(np.average(OFFSET_H[world.population.callers.place[members.callers]], weights=members.weight))
    days = minutes // MINUTES_A_DAY
    curve = {int(day): minute_weights(app.audience, int(day), offset, app.shift_h) for day in np.unique(days)}
    return float(sum(curve[int(day)][minutes[days == day] % MINUTES_A_DAY].sum() for day in curve)) * a_minute


def rate(world: World, function: Function) -> float:
    """Invocations of a function on a normal working day, about."""
    own = function.per_day
    if function.trigger == "timer" and function.minutes is None:
        own = 86_400.0 / function.period_s
    if function.trigger == "http" and function.per_day <= 0:
        own = sum(86_400.0 / beat.period_s for beat in world.population.beats if beat.function == function.index)
    if function.upstream >= 0:
        own += function.passes_on * rate(world, world.tenant.functions[function.upstream])
    return own
