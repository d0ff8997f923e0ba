"""Benign surprises of a tenant's life, day by day: deployments, campaigns, blips, newcomers, travellers, moves."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from .clock import DAY, HOUR, MINUTE, weekday
from .seeds import stream
from .tenant import Tenant


@dataclass(frozen=True)
class Deployment:
    """New code in an app: a version, restarted hosts, durations a little different from then on."""

    app: int
    time: int
    slowdown: float


@dataclass(frozen=True)
class Campaign:
    """Some hours of far more visitors than usual."""

    app: int
    start: int
    end: int
    factor: float


@dataclass(frozen=True)
class Blip:
    """Minutes in which a dependency is slow and fails now and then, for all that lean on it."""

    dependency: str
    start: int
    end: int
    failure: float
    slowdown: float


@dataclass(frozen=True)
class Newcomer:
    """A customer who appears and stays."""

    app: int
    time: int
    luck: float  #: in [0, 1): decides place and weight
    service: bool


@dataclass(frozen=True)
class Change:
    """Something that happens to one caller: travel, a move to another network, an expired token, a bulk import."""

    kind: str
    start: int
    end: int
    luck: float  #: in [0, 1): which caller
    where: float  #: in [0, 1): which place


@dataclass(frozen=True)
class Backlog:
    """A queue that stands still (a paused consumer) and is then drained at once."""

    luck: float
    start: int
    end: int


@dataclass
class Calendar:
    """All surprises of the days; those of a day don't depend on how many days there are."""

    deployments: list[Deployment] = field(default_factory=list)
    recycles: list[tuple[int, int]] = field(default_factory=list)  #: (app, time): the platform moves an app
    upgrades: list[int] = field(default_factory=list)  #: the platform's own version goes up
    campaigns: list[Campaign] = field(default_factory=list)
    blips: list[Blip] = field(default_factory=list)
    newcomers: list[Newcomer] = field(default_factory=list)
    changes: list[Change] = field(default_factory=list)
    backlogs: list[Backlog] = field(default_factory=list)


def plan(tenant: Tenant, seed: int, first_day: int, days: int) -> Calendar:
    """The surprises of ``days`` days from ``first_day`` (counted from 1970-01-01)."""
    calendar = Calendar()
    dependencies = sorted({function.dependency for function in tenant.functions} - {"none"})
    visited = [app.index for app in tenant.apps if app.audience in ("public", "customers") and tenant.http(app.index)]
    called = [app.index for app in tenant.apps if tenant.http(app.index)]
    for number in range(days):
        day = first_day + number
        midnight = day * DAY
        rng = stream(seed, "calendar", number)
        working = weekday(day) < 5
        for app in tenant.apps:
            if rng.random() < (0.12 if working else 0.015):
                time = midnight + int(rng.normal(13.5, 2.5) % 24 * HOUR)
                calendar.deployments.append(Deployment(app.index, time, float(np.exp(rng.normal(0.0, 0.06)))))
            if rng.random() < 0.6:
                calendar.recycles.append((app.index, midnight + int(rng.random() * DAY)))
        if rng.random() < 0.05:
            calendar.upgrades.append(midnight + int(rng.uniform(1, 6) * HOUR))
        if visited and rng.random() < 0.2:
            start = midnight + int(rng.uniform(7, 19) * HOUR)
            calendar.campaigns.append(
                Campaign(
                    int(rng.choice(visited)), start, start + int(rng.uniform(1.5, 5) * HOUR), float(rng.uniform(2, 4))
                )
            )
        for _ in range(int(rng.poisson(1.3))):
            start = midnight + int(rng.random() * DAY)
            calendar.blips.append(
                Blip(
                    str(rng.choice(dependencies)),
                    start,
                    start + int(rng.uniform(1.5, 9) * MINUTE),
                    float(rng.beta(1.2, 5)),
                    float(np.exp(rng.normal(0.8, 0.4))),
                )
            )
        for _ in range(int(rng.poisson(0.8))):
            calendar.newcomers.append(
                Newcomer(
                    int(rng.choice(called)) if called else -1,
                    midnight + int(rng.uniform(6, 18) * HOUR),
                    float(rng.random()),
                    bool(rng.random() < 0.4),
                )
            )
        for kind, chance, shortest_h, longest_h in (
            ("travel", 0.3, 20.0, 70.0),
            ("move", 0.12, 24.0 * 365, 24.0 * 366),
            ("token", 0.2, 0.3, 1.2),
            ("bulk", 0.3, 0.4, 2.5),
        ):
            if rng.random() < chance:
                start = midnight + int(rng.random() * DAY)
                end = start + int(rng.uniform(shortest_h, longest_h) * HOUR)
                calendar.changes.append(Change(kind, start, end, float(rng.random()), float(rng.random())))
        if rng.random() < 0.1:
            start = midnight + int(rng.random() * DAY)
            calendar.backlogs.append(Backlog(float(rng.random()), start, start + int(rng.uniform(6, 30) * MINUTE)))
    return calendar
