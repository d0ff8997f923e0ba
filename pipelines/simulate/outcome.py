"""How an invocation ends: duration, success and status, from the function, its caller and its dependency."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np

from .clock import DAY, HOUR
from .events import Array, Events
from .seeds import stream
from .tenant import CLIENT_ERROR, Function

if TYPE_CHECKING:
    from .world import World

QUICK_REFUSAL: Final = 0.25  #: a refused request takes about this part of a normal one
FAILED_MS_SIGMA: Final = 0.8  #: failures are quicker or slower than successes: sigma of the logarithm
CLUMSIEST: Final = 0.6  #: no caller has more client errors than this share
DRIFT_SIGMA: Final = 0.05  #: a function is a little slower or faster from day to day
LOAD_EFFECT: Final = 0.08  #: slower by so much at the busiest hour


def settle(world: World, number: int, events: Events, rng: np.random.Generator) -> Events:
    """Fill duration, success, status, method and item of events that aren't fixed; changes them in place.

    A status that is already set (an expired token's 401) is kept.
    """
    order = np.argsort(events.function, kind="stable")
    bounds = np.searchsorted(events.function[order], np.arange(len(world.tenant.functions) + 1))
    for function in world.tenant.functions:
        index = order[bounds[function.index] : bounds[function.index + 1]]
        index = index[~events.fixed[index]]
        if len(index):
            _settle_one(world, number, events, index, function, rng)
    return events


def _settle_one(
    world: World, number: int, events: Events, index: Array, function: Function, rng: np.random.Generator
) -> None:
    callers = world.population.callers
    time, caller = events.time[index], events.caller[index]
    known = caller >= 0
    payload = np.where(known, callers.payload[caller], 1.0)
    clumsy = np.where(known, callers.clumsy[caller], 1.0)
    drift = np.exp(stream(world.seed, "drift", function.index, number).normal(0.0, DRIFT_SIGMA))
    hour = (time % DAY) / HOUR
    load = 1.0 + LOAD_EFFECT * np.cos((hour - 14.0) / 24.0 * 2 * np.pi)
    slow = payload * drift * load * code_speed(world, function.app, time)
    failure = np.full(len(index), function.failure_rate)
    for blip in world.calendar.blips:
        if blip.dependency == function.dependency:
            during = (time >= blip.start) & (time < blip.end)
            failure = np.where(during, np.maximum(failure, blip.failure), failure)
            slow = np.where(during, slow * blip.slowdown, slow)
    failed = rng.random(len(index)) < failure
    ms = function.durations.sample(rng, len(index)) * slow
    ms = np.where(failed, ms * np.exp(rng.normal(0.2, FAILED_MS_SIGMA, len(index))), ms)
    if function.trigger == "http":
        refused = events.status[index] >= CLIENT_ERROR
        clumsy_share = np.minimum(function.client_error_rate * clumsy, CLUMSIEST)
        own = ~refused & ~failed & (rng.random(len(index)) < clumsy_share)
        code = rng.choice(np.array(function.client_codes), len(index))
        status = np.where(own, code, np.where(failed, 500, function.ok_code))
        events.status[index] = np.where(refused, events.status[index], status)
        failed &= ~refused
        ms = np.where(refused | own, ms * QUICK_REFUSAL, ms)
        method = events.method[index]
        events.method[index] = np.where(method < 0, function.method, method)
        if function.items:
            item = events.item[index]
            events.item[index] = np.where(
                item < 0, (rng.pareto(0.9, len(index)) * 400).astype(np.int64) % 90_000 + 1000, item
            )
    else:
        events.status[index] = 0
    events.success[index] = ~failed
    events.duration_ms[index] = ms


def code_speed(world: World, app: int, time: Array) -> Array:
    """How much slower the app's deployments so far have made it, float64 of shape (n,)."""
    factor = np.ones(len(time))
    for deployment in world.calendar.deployments:
        if deployment.app == app:
            factor = np.where(time >= deployment.time, factor * deployment.slowdown, factor)
    return factor


def limit_ms(world: World, events: Events) -> Array:
    """The time limit of each event's app, ms, float64 of shape (n,)."""
    limits = np.array([world.tenant.apps[function.app].time_limit_ms for function in world.tenant.functions])
    return np.asarray(limits[events.function])


def cut_at_limit(world: World, events: Events, rng: np.random.Generator) -> Events:
    """Runs longer than the plan allows are stopped there and fail; changes the events in place."""
    limit = limit_ms(world, events)
    over = events.duration_ms >= limit
    events.duration_ms[over] = limit[over] + rng.exponential(40.0, int(over.sum()))
    events.success[over] = False
    events.status[over & (events.status > 0)] = 500
    return events
