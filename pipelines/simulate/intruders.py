"""Troubles that one caller makes by being where, when or what it never was."""

from __future__ import annotations

import numpy as np

from .clock import HOUR, MINUTE
from .events import concat
from .places import OFFSET_H, PLACES
from .probes import QUERIES
from .scenario import BENIGN, Scenario, Stage, paced, seconds

FAR_HOURS = 5.0  #: places whose local times differ by so much are far apart


def stolen_key(stage: Stage) -> Scenario | None:
    """A key in the wrong hands: a new country, a known function and a few its people seldom use, at a quiet pace."""
    rng = stage.rng
    # in a public app every day brings new countries
    guarded = [f for f in stage.visited(least=50) if stage.world.tenant.apps[f.app].audience != "public"]
    target = stage.choose(guarded, stage.visited(least=50))
    if target is None:
        return None
    length = seconds(rng.uniform(1.0, 4.0) * 3600)
    start = stage.moment(length)
    victim = stage.regular(target)
    place = stage.strange_place(target)
    address = stage.new_address(place)
    user = int(stage.world.population.callers.user[victim])
    time = paced(rng, start, length, int(rng.integers(15, 60)))
    others = [f.index for f in stage.world.tenant.http(target.app) if f.per_day > 0]
    function = np.where(rng.random(len(time)) < 0.6, target.index, rng.choice(others, len(time)))
    adds = stage.calls(time, function, place=place, address=address, user=user)
    who = stage.who(target, address, user)
    return Scenario("stolen-key", stage.app_name(target), target.name, who, start, start + length, adds)


def impossible_travel(stage: Stage) -> Scenario | None:
    """One account here and, minutes later, on the other side of the world."""
    rng = stage.rng
    signed = [f for f in stage.visited(least=50) if stage.world.tenant.apps[f.app].signed_in]
    target = stage.choose(signed, stage.visited(least=50))
    if target is None:
        return None
    callers = stage.world.population.callers
    caller = stage.regular(target)
    home = int(callers.place[caller])
    far = [p for p in range(len(PLACES)) if abs(OFFSET_H[p] - OFFSET_H[home]) >= FAR_HOURS]
    place = int(rng.choice(far))
    address = stage.new_address(place)
    length = seconds(rng.uniform(6, 25) * 60)
    start = stage.moment(length, (8, 19), stage.offset_of(caller))
    user = int(callers.user[caller])
    time = paced(rng, start, length, int(rng.integers(8, 26)))
    away = stage.calls(time, target.index, place=place, address=address, user=user)
    around = paced(rng, start - 5 * MINUTE, length + 8 * MINUTE, int(rng.integers(4, 10)))
    own = stage.calls(
        around, target.index, caller=caller, place=home, address=callers.address[caller], user=user, scenario=BENIGN
    )
    who = stage.who(target, address, user)
    return Scenario(
        "impossible-travel", stage.app_name(target), target.name, who, start, start + length, concat([away, own])
    )


def lateral(stage: Stage) -> Scenario | None:
    """A service of one app reaches into another that it never called."""
    rng = stage.rng
    beats = stage.beats()
    functions = stage.world.tenant.functions
    target = stage.choose([f for f in stage.visited(least=5) if stage.world.tenant.apps[f.app].audience != "public"])
    if target is None:
        return None
    home = stage.world.population.members.get(target.app)
    inside = set() if home is None else set(home.callers.tolist())
    inside |= {beat.caller for beat in beats if functions[beat.function].app == target.app}
    services = [b.caller for b in beats if b.caller not in inside]
    people = [int(c) for app, m in stage.world.population.members.items() if app != target.app for c in m.callers[:20]]
    outside = sorted(set(services or people) - inside)
    if not outside:
        return None
    caller = int(rng.choice(outside))
    callers = stage.world.population.callers
    length = seconds(rng.uniform(0.3, 2.5) * 3600)
    start = stage.moment(length)
    time = paced(rng, start, length, int(rng.integers(12, 45)))
    others = [f.index for f in stage.world.tenant.http(target.app)]
    function = np.where(rng.random(len(time)) < 0.5, target.index, rng.choice(others, len(time)))
    status = np.where(rng.random(len(time)) < rng.uniform(0.0, 0.4), 403, 0)
    address = int(callers.address[caller])
    adds = stage.calls(
        time, function, caller=caller, place=callers.place[caller], address=address, user=-1, status=status
    )
    return Scenario(
        "lateral-movement", stage.app_name(target), target.name, stage.who(target, address), start, start + length, adds
    )


def off_hours(stage: Stage) -> Scenario | None:
    """A member of the staff, from the usual address, in the middle of the night and busier than by day."""
    rng = stage.rng
    apps = stage.world.tenant.apps
    wanted = [f for f in stage.visited(least=2) if apps[f.app].audience == "internal"]
    target = stage.choose(wanted, stage.visited(least=50))
    if target is None:
        return None
    caller = stage.regular(target)
    callers = stage.world.population.callers
    length = seconds(rng.uniform(0.4, 2.0) * 3600)
    start = stage.moment(length, (0.5, 4.0), stage.offset_of(caller))
    time = paced(rng, start, length, int(rng.integers(18, 70)))
    address, user = int(callers.address[caller]), int(callers.user[caller])
    adds = stage.calls(time, target.index, caller=caller, place=callers.place[caller], address=address, user=user)
    who = stage.who(target, address, user)
    return Scenario("off-hours", stage.app_name(target), target.name, who, start, start + length, adds)


def enumeration(stage: Stage) -> Scenario | None:
    """One address tries numbers and names across functions; most are refused. Sometimes fast, sometimes patient."""
    rng = stage.rng
    target = stage.choose([f for f in stage.visited(least=20) if f.items], stage.visited(least=20))
    if target is None:
        return None
    place = stage.any_place()
    address = stage.new_address(place)
    count = int(rng.integers(120, 600))
    gap = float(rng.choice([0.4, 3.0, 15.0])) * float(rng.uniform(0.7, 1.4))
    length = min(seconds(count * gap), 4 * HOUR)
    start = stage.moment(length)
    time = paced(rng, start, length, count)
    functions = [f.index for f in stage.world.tenant.http(target.app)]
    function = np.where(rng.random(count) < 0.7, target.index, rng.choice(functions, count))
    refused = rng.random(count) < rng.uniform(0.55, 0.95)
    status = np.where(refused, rng.choice([404, 404, 401, 403], count), 0)
    item = int(rng.integers(1, 50_000)) + np.arange(count)
    adds = stage.calls(time, function, place=place, address=address, status=status, item=item)
    return Scenario(
        "enumeration", stage.app_name(target), target.name, stage.who(target, address), start, start + length, adds
    )


def injection(stage: Stage) -> Scenario | None:
    """Probes in the parameters: sleeps of round seconds, server errors, and signatures where queries are logged."""
    rng = stage.rng
    target = stage.choose(stage.visited(least=20))
    if target is None:
        return None
    place = stage.any_place()
    address = stage.new_address(place)
    count = int(rng.integers(40, 160))
    length = seconds(count * float(rng.uniform(3, 40)))
    start = stage.moment(length)
    time = paced(rng, start, length, count)
    adds = stage.calls(time, target.index, place=place, address=address, query=rng.integers(0, len(QUERIES), count))
    sleeps = rng.random(count) < rng.uniform(0.15, 0.45)
    asked = float(rng.choice([2.0, 5.0, 10.0]))
    adds.duration_ms[sleeps] += asked * 1000.0 * rng.choice([1.0, 1.0, 2.0], int(sleeps.sum()))
    thrown = ~sleeps & (rng.random(count) < rng.uniform(0.2, 0.5))
    adds.success[thrown] = False
    adds.status[thrown] = 500
    who = stage.who(target, address)
    return Scenario("injection-probe", stage.app_name(target), target.name, who, start, start + length, adds)


def exfiltration(stage: Stage) -> Scenario | None:
    """A known caller reads far more than it ever did, and larger."""
    rng = stage.rng
    target = stage.choose([f for f in stage.visited(least=20) if f.method == 0], stage.visited(least=20))
    if target is None:
        return None
    caller = stage.regular(target)
    callers = stage.world.population.callers
    length = seconds(rng.uniform(0.7, 3.0) * 3600)
    start = stage.moment(length)
    count = int(rng.integers(200, 900))
    address, user = int(callers.address[caller]), int(callers.user[caller])
    adds = stage.calls(
        paced(rng, start, length, count),
        target.index,
        caller=caller,
        place=callers.place[caller],
        address=address,
        user=user,
    )
    adds.duration_ms *= rng.uniform(1.8, 4.0)
    who = stage.who(target, address, user)
    return Scenario("exfiltration", stage.app_name(target), target.name, who, start, start + length, adds)


def backdoor(stage: Stage) -> Scenario | None:
    """A function that was never there is called from one address."""
    rng = stage.rng
    hidden = [f for f in stage.world.tenant.functions if f.hidden]
    if not hidden:
        return None
    target = hidden[0]
    place = stage.any_place()
    address = stage.new_address(place)
    length = seconds(rng.uniform(0.3, 5.0) * 3600)
    start = stage.moment(length)
    adds = stage.calls(
        paced(rng, start, length, int(rng.integers(15, 110))), target.index, place=place, address=address
    )
    who = stage.who(target, address)
    return Scenario("unknown-function", stage.app_name(target), target.name, who, start, start + length, adds)
