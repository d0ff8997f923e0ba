"""People at work: sessions of an app's regulars and of strangers, or callers laid over a real function's arrivals."""

from __future__ import annotations

import numpy as np

from .callers import BEAT_SHARE, FEWEST_BEATS, Callers, Members
from .clock import DAY, MINUTE, MINUTES_A_DAY, SECOND, draw_times, minute_weights, rough
from .events import Array, Events, concat, make
from .places import OFFSET_H, PLACES, WEIGHT, addresses, mobile_addresses
from .seeds import stream
from .tenant import App, Function
from .world import World

CALLS_A_SESSION = 5.0  #: mean calls of a person's session
GAP_S = 5.0  #: median seconds between two calls of a session
GAP_SIGMA = 1.1
GROWTH_A_DAY = 0.003  #: what an app's traffic grows by, on average; some shrink
PASSERS_BY = 2.0  #: mean a day, for each app with people, of strangers who try something and are refused
BURST = 0.5  #: on a real function, chance that the next call within a minute is by the same caller


def campaign_factor(world: World, app: int, midnight: int) -> Array:
    """How many times its usual traffic an app has at each minute of a day, shape (1440,)."""
    minutes = midnight + np.arange(MINUTES_A_DAY) * MINUTE
    factor = np.ones(MINUTES_A_DAY)
    for campaign in world.calendar.campaigns:
        if campaign.app == app:
            ramp = np.clip((minutes - campaign.start) / (20 * MINUTE), 0, 1) * np.clip(
                (campaign.end - minutes) / (60 * MINUTE), 0, 1
            )
            factor = np.maximum(factor, 1 + (campaign.factor - 1) * ramp)
    return factor


def sessions(world: World, app: App, members: Members, number: int) -> Events:
    """Sessions of an app's people and, where it is public, of strangers."""
    rng = stream(world.seed, "sessions", app.index, number)
    day = world.first_day + number
    functions = [world.tenant.functions[index] for index in members.functions]
    share = BEAT_SHARE[app.audience]
    wanted = sum(f.per_day * (1 - (share if f.per_day * share >= FEWEST_BEATS else 0.0)) for f in functions)
    growth = 1.0 + GROWTH_A_DAY * number * float(stream(world.seed, "growth", app.index).normal(1.0, 1.5))
    wanted *= float(np.clip(growth, 0.5, 2.0))
    visits = wanted / CALLS_A_SESSION * float(np.exp(rng.normal(0.0, 0.08)))
    campaign = campaign_factor(world, app.index, day * DAY)
    noise = rough(rng) * campaign
    callers = world.population.callers
    here = callers.start[members.callers] < (day + 1) * DAY
    parts = []
    for offset in np.unique(OFFSET_H):
        minutes = minute_weights(app.audience, day, float(offset), app.shift_h) * noise / MINUTES_A_DAY
        local = np.flatnonzero(here & (OFFSET_H[callers.place[members.callers]] == offset))
        weight = members.weight[local]
        count = int(rng.poisson(visits * (1 - app.strangers) * weight.sum() * minutes.sum()))
        if count:
            pick = local[np.searchsorted(np.cumsum(weight / weight.sum())[:-1], rng.random(count), side="right")]
            parts.append(_known(rng, callers, members, pick, draw_times(rng, minutes, count, day)))
        places = np.flatnonzero(offset == OFFSET_H)
        chance = WEIGHT[places]
        # a campaign brings strangers above all
        drawn = minutes * campaign**0.5
        count = int(rng.poisson(visits * app.strangers * chance.sum() / WEIGHT.sum() * drawn.sum()))
        if count:
            place = rng.choice(places, count, p=chance / chance.sum())
            parts.append(_strangers(rng, members, place, draw_times(rng, drawn, count, day)))
    return concat(parts)


def passers_by(world: World, app: App, members: Members, number: int) -> Events:
    """Scanners and lost visitors: a few calls from nowhere, mostly refused; every address on the internet gets them."""
    rng = stream(world.seed, "passers-by", app.index, number)
    count = int(rng.poisson(PASSERS_BY if app.audience != "internal" else 0.0))
    calls = rng.integers(1, 7, count)
    which = np.repeat(np.arange(count), calls)
    place = rng.integers(0, len(PLACES), count)
    start = (world.first_day + number) * DAY + (rng.random(count) * DAY).astype(np.int64)
    time = start[which] + (rng.exponential(20.0, len(which)) * SECOND).astype(np.int64)
    status = np.where(rng.random(len(which)) < 0.8, rng.choice([400, 401, 404], len(which)), 0)
    function = rng.choice(members.functions, len(which))
    return make(rng, time, function, place=place[which], address=addresses(rng, place)[which], status=status)


def _unfold(rng: np.random.Generator, start: Array, mean_calls: float) -> tuple[Array, Array]:
    """Calls of sessions: (index of the session, time of the call)."""
    calls = rng.geometric(1.0 / mean_calls, len(start))
    index = np.repeat(np.arange(len(start)), calls)
    gaps = rng.lognormal(np.log(GAP_S), GAP_SIGMA, len(index))
    first = np.concatenate([[0], np.cumsum(calls)[:-1]]) if len(calls) else np.zeros(0, dtype=np.int64)
    gaps[first] = 0.0
    total = np.cumsum(gaps)
    within = total - np.repeat(total[first], calls)
    return index, start[index] + (within * SECOND).astype(np.int64)


def _choose(rng: np.random.Generator, members: Members, rows: Array) -> Array:
    """A function for each call, by the habits in the given rows of the members' table."""
    level = rng.random(len(rows))[:, None]
    column = np.minimum((level > members.preference[rows]).sum(axis=1), len(members.functions) - 1)
    return np.asarray(members.functions[column])


def _known(rng: np.random.Generator, callers: Callers, members: Members, pick: Array, start: Array) -> Events:
    order = np.argsort(start, kind="stable")
    pick, start = pick[order], start[order]
    index, time = _unfold(rng, start, CALLS_A_SESSION)
    who = members.callers[pick]
    address = np.where(callers.mobile[who], mobile_addresses(rng, callers.address[who]), callers.address[who])
    return make(
        rng,
        time,
        _choose(rng, members, pick[index]),
        caller=who[index],
        place=callers.place[who][index],
        address=address[index],
        user=callers.user[who][index],
    )


def _strangers(rng: np.random.Generator, members: Members, place: Array, start: Array) -> Events:
    index, time = _unfold(rng, start, CALLS_A_SESSION)
    rows = rng.integers(0, len(members.callers), len(start))
    address = addresses(rng, place)
    return make(rng, time, _choose(rng, members, rows[index]), place=place[index], address=address[index])


def attributed(world: World, function: Function, time: Array, day: int, rng: np.random.Generator) -> Events:
    """Callers laid over the arrivals of an HTTP function: its regulars at their hours, and strangers."""
    members = world.population.members[function.app]
    app = world.tenant.apps[function.app]
    callers = world.population.callers
    column = int(np.flatnonzero(members.functions == function.index)[0])
    liking = np.diff(members.preference, axis=1, prepend=0.0)[:, column] * members.weight
    liking = liking * members.uses[:, column] * (callers.start[members.callers] < (day + 1) * DAY)
    keep = np.argsort(-liking, kind="stable")[: max(2, int(3 * max(function.per_day, 1.0) ** 0.4))]
    offsets = OFFSET_H[callers.place[members.callers[keep]]]
    minute = ((time - day * DAY) // MINUTE).astype(np.int64) % MINUTES_A_DAY
    groups = np.unique(offsets)
    activity = np.stack([minute_weights(app.audience, day, float(o), app.shift_h) for o in groups])
    mass = np.array([liking[keep][offsets == o].sum() for o in groups])
    level = np.cumsum((activity * mass[:, None])[:, minute], axis=0)
    group = (rng.random(len(time)) * level[-1] > level).sum(axis=0)
    pick = np.zeros(len(time), dtype=np.int64)
    for which, offset in enumerate(groups):
        rows = np.flatnonzero(group == which)
        local = keep[offsets == offset]
        share = liking[local] / max(liking[local].sum(), 1e-300)
        pick[rows] = local[np.searchsorted(np.cumsum(share)[:-1], rng.random(len(rows)), side="right")]
    again = np.concatenate([[False], (np.diff(minute) == 0) & (rng.random(max(len(time) - 1, 0)) < BURST)])[: len(time)]
    source = np.maximum.accumulate(np.where(again, 0, np.arange(len(time))))
    who = members.callers[pick[source]]
    address = np.where(callers.mobile[who], mobile_addresses(rng, callers.address[who]), callers.address[who])
    stranger = (rng.random(len(time)) < app.strangers)[source] if len(time) else np.zeros(0, dtype=bool)
    place = rng.choice(len(PLACES), len(time), p=WEIGHT / WEIGHT.sum())
    fresh = addresses(rng, place)
    return make(
        rng,
        time,
        function.index,
        caller=np.where(stranger, -1, who),
        place=np.where(stranger, place[source], callers.place[who]) if len(time) else 0,
        address=np.where(stranger, fresh[source], address[source]) if len(time) else 0,
        user=np.where(stranger, -1, callers.user[who]),
    )
