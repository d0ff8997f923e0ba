"""What follows from invocations: messages passed on to queues, deliveries repeated, services that try again."""

from __future__ import annotations

import numpy as np

from .clock import SECOND
from .events import Events, concat, make
from .outcome import settle
from .tenant import CLIENT_ERROR, MANY, Function
from .world import World

MOST_DELIVERIES = 5  #: then a message goes to the poison queue
REDELIVERY_S = 8.0  #: median seconds before a failed message comes back, times its deliveries
RETRY_AFTER_S = 2.0  #: median pause of a service that tries again
RETRIED = 0.7  #: share of a service's failed calls that it tries again


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
    sources = np.flatnonzero((events.function == function.upstream) & events.success & (events.status < CLIENT_ERROR))
    if not len(sources):
        return make(rng, np.zeros(0, dtype=np.int64), function.index)
    many = function.passes_on > MANY
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
    failed = failed.take(rng.random(len(failed)) < RETRIED)
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
