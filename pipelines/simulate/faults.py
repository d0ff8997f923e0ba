"""Troubles of the system itself: slow, failing, silent, off schedule, or worse since a version."""

from __future__ import annotations

import numpy as np

from .calendar import Deployment
from .consequences import MOST_DELIVERIES, delivered_again
from .events import Array, Events, concat, make
from .outcome import settle
from .scenario import Scenario, Stage, mark, paced, rate, seconds
from .tenant import CLIENT_ERROR, MANY, Function

NOTICED = 60.0  #: calls that should have come while a function is silent


def _during(events: Events, functions: list[int], start: int, end: int) -> Array:
    return np.asarray(np.isin(events.function, functions) & (events.time >= start) & (events.time < end))


def runaway(stage: Stage) -> Scenario | None:
    """A share of the calls, or all of them, hang until the plan's time limit."""
    rng = stage.rng
    target = stage.choose(stage.busy(150, 8000), stage.busy(60))
    if target is None:
        return None
    length = seconds(rng.uniform(1.0, 4.0) * 3600)
    start, length = stage.when_busy(target, length)
    share = float(rng.choice([rng.uniform(0.2, 0.7), 1.0], p=[0.7, 0.3]))
    limit = stage.world.tenant.apps[target.app].time_limit_ms

    def alters(events: Events, rng: np.random.Generator) -> Events:
        hang = _during(events, [target.index], start, start + length) & (rng.random(len(events)) < share)
        events.duration_ms[hang] = limit
        events.fixed[hang] = True
        mark(events, hang)
        return events

    return Scenario("runaway-duration", stage.app_name(target), target.name, None, start, start + length, alters=alters)


def latency_shift(stage: Stage) -> Scenario | None:
    """All calls of a function are some times slower for hours; nothing fails."""
    rng = stage.rng
    target = stage.choose(stage.busy(300), stage.busy(100))
    if target is None:
        return None
    length = seconds(rng.uniform(2.0, 7.0) * 3600)
    start, length = stage.when_busy(target, length)
    factor = float(rng.uniform(2.2, 6.0))

    def alters(events: Events, rng: np.random.Generator) -> Events:
        slow = _during(events, [target.index], start, start + length)
        events.duration_ms[slow] *= factor * np.exp(rng.normal(0.0, 0.15, int(slow.sum())))
        mark(events, slow)
        return events

    return Scenario("latency-shift", stage.app_name(target), target.name, None, start, start + length, alters=alters)


def failure_burst(stage: Stage) -> Scenario | None:
    """A dependency is down: what leans on it in one app fails, and messages come back."""
    rng = stage.rng
    target = stage.choose(stage.busy(1500), stage.busy(200))
    if target is None:
        return None
    length = seconds(rng.uniform(12, 60) * 60)
    start, length = stage.when_busy(target, length)
    same = [
        f.index
        for f in stage.world.tenant.of_app(target.app)
        if f.dependency == target.dependency and not f.hidden and f.dependency != "none"
    ] or [target.index]
    share = float(rng.uniform(0.35, 0.95))

    def breaks(events: Events, rng: np.random.Generator) -> Array:
        down = _during(events, same, start, start + length) & (rng.random(len(events)) < share)
        events.success[down] = False
        events.status[down & (events.status > 0)] = 500
        events.duration_ms[down] *= np.exp(rng.normal(0.5, 0.6, int(down.sum())))
        mark(events, down)
        return down

    def alters(events: Events, rng: np.random.Generator) -> Events:
        parts = [events]
        failed = events.take(breaks(events, rng) & (events.dequeue > 0))
        while len(failed):
            again = settle(stage.world, 0, delivered_again(failed, rng), rng)
            failed = again.take(breaks(again, rng))
            parts.append(again)
        return concat(parts)

    return Scenario("failure-burst", stage.app_name(target), target.name, None, start, start + length, alters=alters)


def poison_message(stage: Stage) -> Scenario | None:
    """Some messages fail at every delivery until they are put aside."""
    rng = stage.rng
    target = stage.choose(stage.busy(1, triggers=("queue", "servicebus")))
    if target is None:
        return None
    length = seconds(rng.uniform(5, 40) * 60)
    start = stage.moment(length)
    adds = _poisoned(stage, paced(rng, start, length, int(rng.integers(4, 16))), target)
    return Scenario("poison-message", stage.app_name(target), target.name, None, start, start + length, adds)


def _poisoned(stage: Stage, time: Array, target: Function, first: Events | None = None) -> Events:
    """Deliveries of messages that fail each time."""
    rng = stage.rng
    current = stage.calls(time, target.index, dequeue=1) if first is None else first
    parts = []
    for _ in range(MOST_DELIVERIES):
        current.success[:] = False
        current.fixed[:] = True
        parts.append(current)
        current = settle(stage.world, 0, delivered_again(current, rng), rng)
    return concat(parts)


def timer_off_schedule(stage: Stage) -> Scenario | None:
    """A timer fires at times that its schedule doesn't have."""
    rng = stage.rng
    target = stage.choose(stage.busy(0.1, 300, triggers=("timer",)), stage.busy(0.1, triggers=("timer",)))
    if target is None:
        return None
    length = seconds(rng.uniform(0.5, 5.0) * 3600)
    start = stage.moment(length)
    adds = stage.calls(paced(rng, start, length, int(rng.integers(4, 15))), target.index)
    return Scenario("timer-off-schedule", stage.app_name(target), target.name, None, start, start + length, adds)


def manual_run(stage: Stage) -> Scenario | None:
    """Someone starts a timer or a queue function by hand through the admin API."""
    rng = stage.rng
    target = stage.choose(stage.busy(0.1, triggers=("timer", "queue", "blob")))
    if target is None:
        return None
    length = seconds(rng.uniform(1, 40) * 60)
    start = stage.moment(length)
    adds = stage.calls(paced(rng, start, length, int(rng.integers(2, 8))), target.index, manual=True)
    return Scenario("manual-run", stage.app_name(target), target.name, None, start, start + length, adds)


def silence(stage: Stage) -> Scenario | None:
    """A steady function, or its whole app, says nothing for hours."""
    rng = stage.rng
    steady = [f for f in stage.busy(280) if f.trigger in ("timer", "eventhub") or rate(stage.world, f) > 1400]
    target = stage.choose([f for f in steady if not stage.world.tenant.downstream(f.index)])
    if target is None:
        return None
    whole = bool(rng.random() < 0.3)
    functions = [f.index for f in stage.world.tenant.of_app(target.app)] if whole else [target.index]
    length = seconds(rng.uniform(3.0, 9.0) * 3600)
    start, length = stage.when_busy(target, length, NOTICED)

    def alters(events: Events, rng: np.random.Generator) -> Events:
        del rng
        quiet = _during(events, functions, start, start + length) & (events.scenario < 0)
        return events.take(~quiet)

    name = None if whole else target.name
    return Scenario("silence", stage.app_name(target), name, None, start, start + length, alters=alters)


def bad_version(stage: Stage) -> Scenario | None:
    """A deployment that makes one function slower and less sure, until it is rolled back."""
    rng = stage.rng
    target = stage.choose(stage.busy(400), stage.busy(100))
    if target is None:
        return None
    length = seconds(rng.uniform(2.5, 8.0) * 3600)
    start, length = stage.when_busy(target, length)
    slower, failing = float(rng.uniform(1.3, 2.6)), float(rng.uniform(0.05, 0.3))
    deployments = stage.world.calendar.deployments
    deployments += [Deployment(target.app, start, 1.0), Deployment(target.app, start + length, 1.0)]

    def alters(events: Events, rng: np.random.Generator) -> Events:
        mine = _during(events, [target.index], start, start + length)
        events.duration_ms[mine] *= slower
        failed = mine & (rng.random(len(events)) < failing)
        events.success[failed] = False
        events.status[failed & (events.status > 0)] = 500
        mark(events, mine)
        return events

    return Scenario("bad-version", stage.app_name(target), target.name, None, start, start + length, alters=alters)


def injection_through_queue(stage: Stage) -> Scenario | None:
    """Crafted requests look normal where they come in, and break what reads the queue behind it."""
    rng = stage.rng
    functions = stage.world.tenant.functions
    found = [f for f in functions if f.upstream >= 0 and functions[f.upstream].trigger == "http" and f.passes_on < MANY]
    loose = [] if found else stage.busy(0.1, triggers=("queue",))
    target = stage.choose(found, loose)
    if target is None:
        return None
    upstream = functions[target.upstream] if target.upstream >= 0 else stage.choose(stage.visited(least=20))
    if upstream is None:
        return None
    place = stage.any_place()
    address = stage.new_address(place)
    length = seconds(rng.uniform(0.3, 2.5) * 3600)
    start = stage.moment(length)
    sent = stage.calls(
        paced(rng, start, length, int(rng.integers(12, 50))), upstream.index, place=place, address=address
    )
    ended = sent.time + (sent.duration_ms * 1000.0).astype(np.int64)
    wait = (rng.lognormal(-0.7, 0.8, len(sent)) * seconds(target.spread_s)).astype(np.int64)
    good = sent.success & (sent.status < CLIENT_ERROR)
    read = make(
        rng, (ended + wait)[good], target.index, operation=sent.operation[good], parent=sent.request[good], dequeue=1
    )
    read = settle(stage.world, 0, read, rng)
    slept = rng.random(len(read)) < rng.uniform(0.2, 0.6)
    read.duration_ms[slept] += float(rng.choice([5000.0, 10_000.0]))
    fails = ~slept & (rng.random(len(read)) < 0.8)
    broken = _poisoned(stage, read.time[fails], target, read.take(fails))
    who = stage.who(upstream, address)
    return Scenario(
        "injection-through-queue",
        stage.app_name(target),
        target.name,
        who,
        start,
        start + length,
        concat([sent, read.take(~fails), broken]),
    )
