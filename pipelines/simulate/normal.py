"""A normal day: sessions of people, beats of services, timers, batches and messages passed on."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from .calendar import Calendar
from .callers import Beat, Callers, Members, Population
from .clock import DAY, HOUR, MINUTE, MINUTES_A_DAY, SECOND, draw_times, minute_weights, rough, weekday
from .events import Array, Events, concat, make
from .outcome import settle
from .places import OFFSET_H, PLACES, WEIGHT, addresses, mobile_addresses
from .seeds import stream
from .tenant import App, Function, Tenant
from .workload import TABLE_MINUTES

CALLS_A_SESSION = 5.0  #: mean calls of a person's session
GAP_S = 5.0  #: median seconds between two calls of a session
GAP_SIGMA = 1.1
TIMER_JITTER_S = 0.06  #: median delay of a timer behind its schedule
TIMER_MISSED = 0.002  #: share of ticks that never come (the host was down)
MOST_DELIVERIES = 5  #: then a message goes to the poison queue
REDELIVERY_S = 8.0  #: median seconds before a failed message comes back, times its deliveries
RETRY_AFTER_S = 2.0  #: first pause of a service that tries again
LONG_PERIOD_S = 3600.0  #: timers rarer than this are caught up after a restart
BURST = 0.5  #: in the workload, chance that the next call within a minute is by the same caller


@dataclass(frozen=True)
class World:
    """All that a day is made from."""

    tenant: Tenant
    population: Population
    calendar: Calendar
    seed: int
    scale: float
    first_day: int


def day_of(world: World, number: int) -> Events:
    """Normal invocations of day ``number`` (from 0), settled with outcome and duration, unsorted.

    Times may run past midnight where a session, a chain of messages or a retry does.
    """
    parts = []
    for app in world.tenant.apps:
        if app.index in world.population.members:
            if any(f.minutes is not None for f in world.tenant.http(app.index)):
                continue
            parts.append(_sessions(world, app, world.population.members[app.index], number))
    parts.extend(_beat(world, number, beat, place) for place, beat in enumerate(world.population.beats))
    for function in world.tenant.functions:
        if function.minutes is not None:
            parts.append(_tiled(world, function, number))
        elif function.trigger == "timer":
            parts.append(_timer(world, function, number))
        elif function.trigger == "eventhub" and function.per_day > 0:
            parts.append(_stream(world, function, number))
    rng = stream(world.seed, "settle", number)
    first = settle(world, number, _whereabouts(world, concat(parts)), rng)
    return with_consequences(world, number, first, rng)


def with_consequences(world: World, number: int, events: Events, rng: np.random.Generator) -> Events:
    """The events and all that follows from them: retries, and messages passed on to queues."""
    events = concat([events, _service_retries(world, number, events, rng)])
    parts = [events]
    while len(events):
        passed = [pass_on(events, function, rng) for function in world.tenant.functions if function.upstream >= 0]
        fresh = concat(passed)
        if not len(fresh):
            break
        fresh = settle(world, number, fresh, rng)
        parts.append(fresh)
        events = fresh
    everything = concat(parts)
    return concat([everything, redeliveries(world, number, everything, rng)])


def pass_on(events: Events, function: Function, rng: np.random.Generator) -> Events:
    """The messages that ``function`` receives from its upstream's successes among the events."""
    sources = np.flatnonzero((events.function == function.upstream) & events.success & (events.status < 400))
    if not len(sources):
        return make(rng, np.zeros(0, dtype=np.int64), function.index)
    many = function.passes_on > 10.0
    whole = int(function.passes_on)
    counts = (
        rng.poisson(function.passes_on, len(sources))
        if many
        else whole + (rng.random(len(sources)) < function.passes_on - whole)
    )
    index = np.repeat(sources, counts)
    ended = events.time[index] + (events.duration_ms[index] * 1000.0).astype(np.int64)
    wait = rng.uniform(0, 1, len(index)) if many else rng.lognormal(-0.7, 0.8, len(index))
    time = ended + (wait * function.spread_s * SECOND).astype(np.int64) + 20_000
    return make(
        rng,
        time,
        function.index,
        operation=events.operation[index],
        parent=events.request[index],
        dequeue=1 if function.trigger in ("queue", "servicebus") else 0,
    )


def redeliveries(world: World, number: int, events: Events, rng: np.random.Generator) -> Events:
    """Failed messages come back, up to MOST_DELIVERIES; a second try nearly always works."""
    parts = []
    current = events.take((events.dequeue > 0) & ~events.success & ~events.fixed)
    while len(current):
        again = settle(world, number, delivered_again(current, rng), rng)
        parts.append(again)
        current = again.take(~again.success)
    return concat(parts)


def delivered_again(failed: Events, rng: np.random.Generator) -> Events:
    """The next delivery of each failed message, unsettled; none for those that had MOST_DELIVERIES."""
    failed = failed.take(failed.dequeue < MOST_DELIVERIES)
    wait = rng.lognormal(np.log(REDELIVERY_S), 0.7, len(failed)) * failed.dequeue
    ended = failed.time + (failed.duration_ms * 1000.0).astype(np.int64)
    return make(
        rng,
        ended + (wait * SECOND).astype(np.int64),
        failed.function,
        operation=failed.operation,
        parent=failed.parent,
        dequeue=failed.dequeue + 1,
    )


def _service_retries(world: World, number: int, events: Events, rng: np.random.Generator) -> Events:
    """Services with a beat call again after a 500."""
    services = np.array(sorted({beat.caller for beat in world.population.beats}), dtype=np.int64)
    failed = events.take((events.status >= 500) & np.isin(events.caller, services))
    failed = failed.take(rng.random(len(failed)) < 0.7)
    wait = rng.lognormal(np.log(RETRY_AFTER_S), 0.4, len(failed))
    again = make(
        rng,
        failed.time + (failed.duration_ms * 1000.0).astype(np.int64) + (wait * SECOND).astype(np.int64),
        failed.function,
        caller=failed.caller,
        place=failed.place,
        address=failed.address,
        user=failed.user,
        operation=failed.operation,
    )
    return settle(world, number, again, rng)


def _campaign_factor(world: World, app: int, midnight: int) -> Array:
    minutes = midnight + np.arange(MINUTES_A_DAY) * MINUTE
    factor = np.ones(MINUTES_A_DAY)
    for campaign in world.calendar.campaigns:
        if campaign.app == app:
            ramp = np.clip((minutes - campaign.start) / (20 * MINUTE), 0, 1) * np.clip(
                (campaign.end - minutes) / (60 * MINUTE), 0, 1
            )
            factor = np.maximum(factor, 1 + (campaign.factor - 1) * ramp)
    return factor


def _sessions(world: World, app: App, members: Members, number: int) -> Events:
    """Sessions of an app's people and, where it is public, of strangers."""
    rng = stream(world.seed, "sessions", app.index, number)
    day = world.first_day + number
    functions = [world.tenant.functions[index] for index in members.functions]
    share = 0.0 if app.audience in ("public", "customers") else {"partners": 0.65}.get(app.audience, 0.0)
    wanted = sum(f.per_day * (1 - (share if f.per_day * share >= 24.0 else 0.0)) for f in functions)
    sessions = wanted / CALLS_A_SESSION * float(np.exp(rng.normal(0.0, 0.08)))
    campaign = _campaign_factor(world, app.index, day * DAY)
    noise = rough(rng) * campaign
    callers = world.population.callers
    here = callers.start[members.callers] < (day + 1) * DAY
    parts = []
    for offset in np.unique(OFFSET_H):
        minutes = minute_weights(app.audience, day, float(offset), app.shift_h) * noise / MINUTES_A_DAY
        local = np.flatnonzero(here & (OFFSET_H[callers.place[members.callers]] == offset))
        weight = members.weight[local]
        count = int(rng.poisson(sessions * (1 - app.strangers) * weight.sum() * minutes.sum()))
        if count:
            pick = local[np.searchsorted(np.cumsum(weight / weight.sum())[:-1], rng.random(count), side="right")]
            parts.append(_known(rng, callers, members, pick, draw_times(rng, minutes, count, day)))
        places = np.flatnonzero(offset == OFFSET_H)
        chance = WEIGHT[places]
        # a campaign brings strangers above all
        drawn = minutes * campaign**0.5
        count = int(rng.poisson(sessions * app.strangers * chance.sum() / WEIGHT.sum() * drawn.sum()))
        if count:
            place = rng.choice(places, count, p=chance / chance.sum())
            parts.append(_strangers(rng, members, place, draw_times(rng, drawn, count, day)))
    return concat(parts)


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


def _beat(world: World, number: int, beat: Beat, which: int) -> Events:
    """A service's calls of a day."""
    rng = stream(world.seed, "beat", which, number)
    day = world.first_day + number
    start = day * DAY
    period = beat.period_s * SECOND
    first = int(np.ceil((start - beat.phase_s * SECOND) / period))
    last = int(np.ceil((start + DAY - beat.phase_s * SECOND) / period))
    time = np.arange(first, last) * period + beat.phase_s * SECOND
    time = (time + rng.normal(0.0, beat.jitter, len(time)) * period).astype(np.int64)
    callers = world.population.callers
    keep = time >= max(beat.start, start)
    if beat.office:
        local_h = (time / HOUR + OFFSET_H[callers.place[beat.caller]]) % 24
        keep &= (local_h > 7.5) & (local_h < 18.5) & (weekday(day) < 5)
    keep &= rng.random(len(time)) > 0.003
    return make(
        rng,
        time[keep],
        beat.function,
        caller=beat.caller,
        place=callers.place[beat.caller],
        address=callers.address[beat.caller],
        user=callers.user[beat.caller],
    )


def _timer(world: World, function: Function, number: int) -> Events:
    """A timer's runs of a day, with those caught up after a restart."""
    rng = stream(world.seed, "timer", function.index, number)
    start = (world.first_day + number) * DAY
    period = int(function.period_s * SECOND)
    offset = int(function.offset_s * SECOND)
    first = -(-(start - offset) // period)
    ticks = np.arange(first * period + offset, start + DAY, period, dtype=np.int64)
    ticks = ticks[rng.random(len(ticks)) > TIMER_MISSED]
    time = ticks + (rng.lognormal(np.log(TIMER_JITTER_S), 0.9, len(ticks)) * SECOND).astype(np.int64)
    late = []
    for deployment in world.calendar.deployments:
        inside = start <= deployment.time < start + DAY
        if inside and deployment.app == function.app and function.period_s >= 300 and rng.random() < 0.35:
            late.append(deployment.time + int(rng.uniform(5, 60) * SECOND))
    regular = make(rng, time, function.index)
    return concat([regular, make(rng, np.array(late, dtype=np.int64), function.index, late=True)])


def _stream(world: World, function: Function, number: int) -> Events:
    """Batches from an event hub: a rate that follows the app's day."""
    rng = stream(world.seed, "stream", function.index, number)
    day = world.first_day + number
    app = world.tenant.apps[function.app]
    minutes = minute_weights(app.audience, day, 1.0, app.shift_h) * rough(rng) / MINUTES_A_DAY
    count = int(rng.poisson(function.per_day * minutes.sum()))
    return make(rng, draw_times(rng, minutes, count, day), function.index)


def _tiled(world: World, function: Function, number: int) -> Events:
    """A real function's minutes, tiled over the day; what people start follows the day and the week."""
    assert function.minutes is not None  # noqa: S101 - the caller asks only for tiled functions
    rng = stream(world.seed, "tiled", function.index, number)
    day = world.first_day + number
    counts = np.tile(function.minutes, MINUTES_A_DAY // TABLE_MINUTES)
    # the table begins at minute 480 of its day: its third part falls on midnight to eight
    app = world.tenant.apps[function.app]
    if function.trigger == "timer":
        drawn = counts.astype(np.int64)
    else:
        home = stream(world.seed, "tiled-home", function.app).choice([-6.0, 0.0, 1.0, 1.0, 5.5])
        curve = minute_weights(app.audience, day, float(home), app.shift_h)
        drawn = rng.poisson(
            counts * (0.35 + 0.65 * curve) * rough(rng) * _campaign_factor(world, app.index, day * DAY) * 0.9
        )
    minute = np.repeat(np.arange(MINUTES_A_DAY), drawn)
    phase = stream(world.seed, "tiled-phase", function.index).random()
    if function.trigger == "timer":
        position = np.arange(len(minute)) - np.repeat(np.cumsum(drawn) - drawn, drawn)
        second = (phase * 3 + position * 60.0 / np.repeat(drawn, drawn)) % 60
        second = second + rng.lognormal(np.log(TIMER_JITTER_S), 0.9, len(minute))
    else:
        second = rng.random(len(minute)) * 60.0
    time = day * DAY + minute * MINUTE + (second * SECOND).astype(np.int64)
    if function.trigger != "http":
        return make(rng, time, function.index, dequeue=1 if function.trigger == "queue" else 0)
    return _attributed(world, function, np.sort(time), day, rng)


def _attributed(world: World, function: Function, time: Array, day: int, rng: np.random.Generator) -> Events:
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


def _whereabouts(world: World, events: Events) -> Events:
    """Newcomers call only once they have come; who travels or moves calls from there, and not during the flight."""
    callers = world.population.callers
    known = events.caller >= 0
    begun = ~known | (events.time >= callers.start[events.caller])
    events = events.take(begun)
    for move in world.population.moves:
        mine = events.caller == move.caller
        if not mine.any():
            continue
        away = mine & (events.time >= move.start) & (events.time < move.end)
        events.place[away] = move.place
        events.address[away] = np.uint64(move.address)
        events = events.take(~(mine & (events.time >= move.silent_from) & (events.time < move.start)))
    for caller, start, end in world.population.tokens:
        expired = (events.caller == caller) & (events.time >= start) & (events.time < end)
        events.status[expired] = 401
    return events
