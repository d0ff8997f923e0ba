"""A normal day: all that people and machines do, how it ends, and what follows from it."""

from __future__ import annotations

import numpy as np

from .consequences import with_consequences
from .events import Events, concat
from .machines import beat_events, stream_events, tiled_events, timer_events
from .outcome import settle
from .people import passers_by, sessions
from .seeds import stream
from .world import World


def day_of(world: World, number: int) -> Events:
    """Normal invocations of day ``number`` (from 0), settled with outcome and duration, unsorted.

    Times may run past midnight where a session, a chain of messages or a retry does.
    """
    parts = []
    for app in world.tenant.apps:
        if app.index in world.population.members:
            parts.append(passers_by(world, app, world.population.members[app.index], number))
            if any(f.minutes is not None for f in world.tenant.http(app.index)):
                continue
            parts.append(sessions(world, app, world.population.members[app.index], number))
    parts.extend(beat_events(world, number, beat, place) for place, beat in enumerate(world.population.beats))
    for function in world.tenant.functions:
        if function.minutes is not None:
            parts.append(tiled_events(world, function, number))
        elif function.trigger == "timer":
            parts.append(timer_events(world, function, number))
        elif function.trigger == "eventhub" and function.per_day > 0:
            parts.append(stream_events(world, function, number))
    rng = stream(world.seed, "settle", number)
    first = settle(world, number, _whereabouts(world, concat(parts)), rng)
    return with_consequences(world, number, first, rng)


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
