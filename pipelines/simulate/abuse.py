"""Troubles of amount: floods, bills run up on purpose, guessed passwords, growth that nobody notices."""

from __future__ import annotations

import numpy as np

from .clock import DAY, HOUR, draw_times, minute_weights
from .events import concat
from .places import PLACES, WEIGHT, addresses
from .scenario import Scenario, Stage, paced, rate, seconds

SLOWEST = 6  #: a bill is run up on one of so many slowest functions


def single_source_flood(stage: Stage) -> Scenario | None:
    """One address calls as fast as it can."""
    rng = stage.rng
    target = stage.choose(stage.visited(least=100))
    if target is None:
        return None
    place = stage.any_place()
    address = stage.new_address(place)
    length = seconds(rng.uniform(4, 18) * 60)
    start = stage.moment(length)
    count = int(np.clip(rate(stage.world, target) * rng.uniform(0.3, 1.2), 400, 20_000))
    time = paced(rng, start, length, count)
    status = np.where(rng.random(count) < rng.choice([0.0, 0.3]), 429, 0)
    adds = stage.calls(time, target.index, place=place, address=address, status=status)
    adds.duration_ms *= rng.uniform(1.0, 3.0)
    who = stage.who(target, address)
    return Scenario("single-source-flood", stage.app_name(target), target.name, who, start, start + length, adds)


def distributed_flood(stage: Stage) -> Scenario | None:
    """Hundreds of addresses, none of them busy, all at once."""
    rng = stage.rng
    target = stage.choose(stage.visited(least=100))
    if target is None:
        return None
    size = int(rng.integers(150, 600))
    place = rng.choice(len(PLACES), size, p=WEIGHT / WEIGHT.sum())
    address = addresses(rng, place)
    length = seconds(rng.uniform(8, 45) * 60)
    start = stage.moment(length)
    count = int(np.clip(rate(stage.world, target) * rng.uniform(0.25, 0.8), size * 3, 20_000))
    which = rng.integers(0, size, count)
    adds = stage.calls(paced(rng, start, length, count), target.index, place=place[which], address=address[which])
    adds.duration_ms *= rng.uniform(1.0, 3.0)
    return Scenario("distributed-flood", stage.app_name(target), target.name, None, start, start + length, adds)


def denial_of_wallet(stage: Stage) -> Scenario | None:
    """A few addresses ask for the most expensive work, at a pace that looks modest, for hours."""
    rng = stage.rng
    candidates = sorted(stage.visited(least=1), key=lambda f: -f.durations.median_ms())[:SLOWEST]
    target = stage.choose(candidates)
    if target is None:
        return None
    size = int(rng.integers(1, 4))
    place = rng.choice(len(PLACES), size, p=WEIGHT / WEIGHT.sum())
    address = addresses(rng, place)
    length = seconds(rng.uniform(1.5, 5.0) * 3600)
    start = stage.moment(length)
    count = int(length / seconds(rng.uniform(6, 25)))
    which = rng.integers(0, size, count)
    adds = stage.calls(paced(rng, start, length, count), target.index, place=place[which], address=address[which])
    costly = rng.uniform(4_000.0, 20_000.0) / target.durations.median_ms()
    adds.duration_ms *= max(rng.uniform(2.5, 8.0), costly)
    who = stage.who(target, int(address[0]))
    return Scenario("denial-of-wallet", stage.app_name(target), target.name, who, start, start + length, adds)


def credential_stuffing(stage: Stage) -> Scenario | None:
    """Passwords tried from many addresses, two or three from each."""
    rng = stage.rng
    guarded = [f for f in stage.world.tenant.http() if 401 in f.client_codes and f.per_day > 20]
    target = stage.choose(guarded, stage.visited(least=100))
    if target is None:
        return None
    size = int(rng.integers(150, 450))
    place = rng.choice(len(PLACES), size, p=WEIGHT / WEIGHT.sum())
    address = addresses(rng, place)
    length = seconds(rng.uniform(0.4, 3.0) * 3600)
    start = stage.moment(length)
    which = np.repeat(np.arange(size), rng.integers(1, 5, size))
    which = rng.permutation(which)
    status = np.where(rng.random(len(which)) < rng.uniform(0.85, 0.98), 401, 0)
    time = paced(rng, start, length, len(which))
    adds = stage.calls(time, target.index, place=place[which], address=address[which], status=status)
    return Scenario("credential-stuffing", stage.app_name(target), target.name, None, start, start + length, adds)


def retry_storm(stage: Stage) -> Scenario | None:
    """A known client whose request always fails tries it again and again without a pause."""
    rng = stage.rng
    target = stage.choose(stage.visited(least=50))
    if target is None:
        return None
    caller = stage.regular(target)
    callers = stage.world.population.callers
    length = seconds(rng.uniform(6, 30) * 60)
    start = stage.moment(length, (7.0, 21.0), stage.offset_of(caller))
    count = int(length / seconds(rng.uniform(0.6, 4.0)))
    address, user = int(callers.address[caller]), int(callers.user[caller])
    adds = stage.calls(
        paced(rng, start, length, count),
        target.index,
        caller=caller,
        place=callers.place[caller],
        address=address,
        user=user,
    )
    failed = rng.random(count) < rng.uniform(0.75, 1.0)
    adds.success[failed] = False
    adds.status[failed] = 500
    who = stage.who(target, address, user)
    return Scenario("retry-storm", stage.app_name(target), target.name, who, start, start + length, adds)


def slow_growth(stage: Stage) -> Scenario | None:
    """Each hour a little more than the last, until the end of the logs."""
    rng = stage.rng
    world = stage.world
    open_to_many = [f for f in stage.visited(least=400, most=6000) if world.tenant.apps[f.app].audience != "internal"]
    target = stage.choose(open_to_many, stage.visited(least=50))
    if target is None:
        return None
    size = int(rng.integers(5, 30))
    place = rng.choice(len(PLACES), size, p=WEIGHT / WEIGHT.sum())
    address = addresses(rng, place)
    caller = np.full(size, -1)
    callers = world.population.callers
    for known in range(size // 2):
        caller[known] = stage.regular(target)
        place[known], address[known] = callers.place[caller[known]], callers.address[caller[known]]
    most = rate(world, target) * float(rng.uniform(0.6, 1.8))  # a day, at the end
    parts = []
    app = world.tenant.apps[target.app]
    for day in range(stage.start // DAY, -(-stage.end // DAY)):
        minutes = minute_weights(app.audience, day, 0.0, app.shift_h)
        # the share of the way to the end of the window at each minute
        ramp = np.clip((day * DAY + np.arange(len(minutes)) * DAY / len(minutes) - stage.start), 0, None)
        weights = minutes * ramp / max(stage.end - stage.start, HOUR) / len(minutes)
        parts.append(draw_times(rng, weights, int(rng.poisson(most * weights.sum())), day))
    time = np.sort(np.concatenate(parts))
    which = rng.integers(0, size, len(time))
    adds = stage.calls(
        time,
        target.index,
        caller=caller[which],
        place=place[which],
        address=address[which],
        user=np.where(caller[which] >= 0, callers.user[caller[which]], -1),
    )
    return Scenario("slow-growth", stage.app_name(target), target.name, None, stage.start, stage.end, concat([adds]))
