"""Machines at work: services with a beat, timers, event hubs, and the minutes of real functions."""

from __future__ import annotations

import numpy as np

from .callers import Beat
from .clock import DAY, HOUR, MINUTE, MINUTES_A_DAY, SECOND, draw_times, minute_weights, rough, weekday
from .events import Array, Events, concat, make
from .people import attributed, campaign_factor
from .places import OFFSET_H
from .seeds import stream
from .tenant import Function
from .workload import TABLE_MINUTES
from .world import World

TIMER_JITTER_S = 0.06  #: median delay of a timer behind its schedule
TIMER_MISSED = 0.002  #: share of ticks that never come (the host was down)
BEAT_MISSED = 0.003  #: share of a service's calls that never come
CAUGHT_UP_S = 300.0  #: timers at least this rare may be caught up after a restart
CAUGHT_UP = 0.35  #: and are with this chance
BULK_FACTOR = 3.0  #: calls that a bulk import adds, times the service's pace
OFFICE_HOURS = (7.5, 18.5)  #: local hours of services that run on working days only


def beat_events(world: World, number: int, beat: Beat, which: int) -> Events:
    """A service's calls of a day."""
    rng = stream(world.seed, "beat", which, number)
    day = world.first_day + number
    start = day * DAY
    period = beat.period_s * SECOND
    first = int(np.ceil((start - beat.phase_s * SECOND) / period))
    last = int(np.ceil((start + DAY - beat.phase_s * SECOND) / period))
    time = np.arange(first, last) * period + beat.phase_s * SECOND
    time = (time + rng.normal(0.0, beat.jitter, len(time)) * period).astype(np.int64)
    extra = [
        _bulk(rng, beat, begin, end, start) for caller, begin, end in world.population.bulks if caller == beat.caller
    ]
    time = np.concatenate([time, *extra])
    callers = world.population.callers
    keep = time >= max(beat.start, start)
    if beat.office:
        local_h = (time / HOUR + OFFSET_H[callers.place[beat.caller]]) % 24
        keep &= (local_h > OFFICE_HOURS[0]) & (local_h < OFFICE_HOURS[1]) & (weekday(day) < 5)
    keep &= rng.random(len(time)) > BEAT_MISSED
    return make(
        rng,
        time[keep],
        beat.function,
        caller=beat.caller,
        place=callers.place[beat.caller],
        address=callers.address[beat.caller],
        user=callers.user[beat.caller],
    )


def _bulk(rng: np.random.Generator, beat: Beat, begin: int, end: int, midnight: int) -> Array:
    """More calls of a service within the part of a bulk import that falls on this day."""
    begin, end = max(begin, midnight), min(end, midnight + DAY)
    count = int(rng.poisson(max(0, end - begin) / (beat.period_s * SECOND) * BULK_FACTOR))
    return np.asarray(begin + rng.random(count) * max(0, end - begin)).astype(np.int64)


def timer_events(world: World, function: Function, number: int) -> Events:
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
        if inside and deployment.app == function.app and function.period_s >= CAUGHT_UP_S and rng.random() < CAUGHT_UP:
            late.append(deployment.time + int(rng.uniform(5, 60) * SECOND))
    regular = make(rng, time, function.index)
    return concat([regular, make(rng, np.array(late, dtype=np.int64), function.index, late=True)])


def stream_events(world: World, function: Function, number: int) -> Events:
    """Batches from an event hub: a rate that follows the app's day."""
    rng = stream(world.seed, "stream", function.index, number)
    day = world.first_day + number
    app = world.tenant.apps[function.app]
    minutes = minute_weights(app.audience, day, 1.0, app.shift_h) * rough(rng) / MINUTES_A_DAY
    count = int(rng.poisson(function.per_day * minutes.sum()))
    return make(rng, draw_times(rng, minutes, count, day), function.index)


def tiled_events(world: World, function: Function, number: int) -> Events:
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
            counts * (0.35 + 0.65 * curve) * rough(rng) * campaign_factor(world, app.index, day * DAY) * 0.9
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
    return attributed(world, function, np.sort(time), day, rng)
