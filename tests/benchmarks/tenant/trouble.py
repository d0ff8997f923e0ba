"""Thirteen kinds of trouble. Each takes a scene and a strength (0 subtle but visible with the full logs, 1 loud)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import numpy as np

from tests.benchmarks.tenant.estate import far_places
from tests.benchmarks.tenant.geo import COUNTRY, REGION
from tests.benchmarks.tenant.rows import HOUR_S
from tests.benchmarks.tenant.scene import Scene

MINUTE_S: Final = 60.0
#: below this median the platform's own overhead hides a slower function
MEASURABLE_MS: Final = 5.0
#: a cold start, which may happen to any call, in ms
COLD_MS: Final = 2_500.0


def between(strength: float, low: float, high: float) -> float:
    """Geometric interpolation: ``low`` at strength 0, ``high`` at 1."""
    return float(low * (high / low) ** strength)


def spread(scene: Scene, n: int, start: float, length_s: float) -> np.ndarray:
    """``n`` moments of one hand at work: uneven, in order."""
    gaps = scene.rng.exponential(1.0, n) * np.exp(scene.rng.normal(0, 0.5, n))
    return start + np.cumsum(gaps) / max(gaps.sum(), 1e-9) * length_s


def foreign(scene: Scene, fns: np.ndarray, *, far: bool) -> int:
    """A place whose country never calls these functions: one of nobody's customers, or one known elsewhere."""
    seen = scene.countries(fns)
    if not far:
        known = [int(p) for p in scene.tenant.home if COUNTRY[p] not in seen]
        if known:
            return int(scene.rng.choice(known))
    return int(scene.rng.choice([p for p in far_places(scene.tenant) if COUNTRY[p] not in seen]))


def regulars(scene: Scene, fns: np.ndarray, column: str) -> np.ndarray:
    """The most active callers of the functions in training and in test, by ``ip`` or ``user``; at most ten."""
    rows = scene.rows
    mine = np.isin(rows["fn"], fns) & (rows[column] >= 0) & (rows["synthetic"] == 0)
    early, late = mine & (rows["t"] < scene.calendar.split_s), mine & (rows["t"] >= scene.calendar.split_s)
    who, count = np.unique(rows[column][early], return_counts=True)
    both = np.isin(who, rows[column][late])
    who, count = (who[both], count[both]) if both.any() else (who, count)
    return who[np.argsort(-count, kind="stable")[:10]]


def stolen_key(scene: Scene, strength: float) -> None:
    """A key that leaked: steady reading of one app from a country and an address that never called it."""
    fn, rng = scene.choose("http", least=80), scene.rng
    app = scene.tenant.fns[fn].app
    fns = np.unique(np.append(rng.choice(scene.tenant.http(app), 2), fn))
    n, length = int(between(strength, 25, 400)), between(rng.random(), 15, 120) * MINUTE_S
    start = scene.moment(length, fn)
    place = foreign(scene, scene.tenant.http(app), far=scene.masked or bool(rng.random() < 0.3 + 0.5 * strength))
    pool = scene.tenant.addresses.pool(int(rng.integers(1, 4)))
    victims = regulars(scene, fns, "user")
    user = int(rng.choice(victims)) if len(victims) else -1
    rid = 200 + np.arange(n) + int(rng.integers(20_000))
    t = spread(scene, n, start, length)
    scene.add("stolen_key", rng.choice(fns, n), t, ip=rng.choice(pool, n), place=place, user=user, verb=0, rid=rid)
    scene.note("stolen_key", strength, [int(f) for f in fns], start, start + length, calls=n)


def impossible_travel(scene: Scene, strength: float) -> None:
    """A user at home who also calls from another part of the world minutes later."""
    rng, tenant, rows = scene.rng, scene.tenant, scene.rows
    apps = [a for a, app in enumerate(tenant.apps) if app.auth and not app.proxied and app.sampled == 1]
    low, high = scene.calendar.split_s + HOUR_S, scene.calendar.end_s - 2 * HOUR_S
    late = (rows["t"] > low) & (rows["t"] < high) & (rows["user"] >= 0)
    awake = np.bincount(tenant.column("app")[rows["fn"][late]], minlength=len(tenant.apps))
    busy = [a for a in apps if awake[a] > 20] or [max(apps, key=lambda a: awake[a])]
    fns = tenant.http(int(rng.choice(busy)))
    scene.hit |= {int(f) for f in fns}
    users = regulars(scene, fns, "user")
    late &= np.isin(rows["fn"], fns)
    mine = late & np.isin(rows["user"], users)
    seen = int(rng.choice(np.flatnonzero(mine if mine.any() else late)))
    home = rows["place"][seen]
    wait = between(1 - strength, 3, 40) * MINUTE_S
    n, length = int(between(strength, 10, 70)), between(rng.random(), 5, 30) * MINUTE_S
    elsewhere = [p for p in tenant.home if REGION[p] != REGION[home] and COUNTRY[p] != COUNTRY[home]]
    known = bool(elsewhere) and not scene.masked and rng.random() > strength
    place = int(rng.choice(elsewhere)) if known else foreign(scene, fns, far=True)
    start = rows["t"][seen] + wait
    t = spread(scene, n, start, length)
    ip = tenant.addresses.single(1)[0]
    scene.add("impossible_travel", rng.choice(fns, n), t, ip=ip, place=place, user=rows["user"][seen])
    scene.note("impossible_travel", strength, [int(f) for f in fns], start, start + length, calls=n)


def lateral_movement(scene: Scene, strength: float) -> None:
    """A caller well known to one app tries functions of others; some say 403."""
    rng, tenant, rows = scene.rng, scene.tenant, scene.rows
    origin = tenant.fns[scene.choose("http", least=100, avoid=False)].app
    here = tenant.http(origin)
    callers = regulars(scene, here, "ip")
    caller = int(rng.choice(callers))
    sample = int(np.flatnonzero((rows["ip"] == caller) & np.isin(rows["fn"], here))[0])
    place, user = int(rows["place"][sample]), int(rows["user"][sample])
    others = np.flatnonzero((scene.trigger == "http") & ~np.isin(tenant.column("app"), [origin]) & ~scene.sampled)
    visits = np.array([np.any(rows["ip"][scene.of(int(f))] == caller) for f in others], bool)
    others = others[~visits]
    if scene.masked:
        # without addresses only the country can give it away
        strange = [f for f in others if COUNTRY[place] not in scene.countries(np.array([f]))]
        if len(strange) < 2:
            place = foreign(scene, np.arange(len(tenant.fns)), far=True)
        else:
            others = np.array(strange)
    fns = rng.choice(others, size=min(len(others), round(between(strength, 2, 6))), replace=False)
    n, length = len(fns) * int(between(strength, 5, 40)), between(rng.random(), 10, 90) * MINUTE_S
    start = scene.moment(length)
    status = np.where(rng.random(n) < rng.uniform(0.1, 0.5), 403, 0)
    auth = np.array([tenant.apps[a].auth for a in tenant.column("app")])
    fn = np.sort(rng.choice(fns, n))
    who = np.where(auth[fn], user, -1)
    t = spread(scene, n, start, length)
    scene.add("lateral_movement", fn, t, ip=caller, place=place, user=who, status=status)
    scene.note("lateral_movement", strength, [int(f) for f in fns], start, start + length, calls=n)


def offhours_identity(scene: Scene, strength: float) -> None:
    """A known employee's identity at work at the hour when the app is at its quietest, faster than ever."""
    rng, tenant, rows = scene.rng, scene.tenant, scene.rows
    apps = [a for a in tenant.of("office") if scene.daily[tenant.http(a)].sum() > 20] or tenant.of("office")
    fns = tenant.http(int(rng.choice(apps)))
    scene.hit |= {int(f) for f in fns}
    users = regulars(scene, fns, "user")
    mine = np.isin(rows["fn"], fns)
    sample = int(rng.choice(np.flatnonzero(mine & np.isin(rows["user"], users) if len(users) else mine)))
    by_hour = np.bincount((rows["t"][mine] // HOUR_S).astype(int) % 24, minlength=24)
    calm = np.convolve(np.tile(by_hour, 2), np.ones(3), "valid")[:24]
    hour = float(rng.choice(np.flatnonzero(calm == calm.min()))) + rng.random()
    n, length = int(between(strength, 30, 250)), between(rng.random(), 20, 90) * MINUTE_S
    start = scene.at_local_hour(hour, 0, 0.0)
    t = spread(scene, n, start, length)
    who = {"ip": rows["ip"][sample], "place": rows["place"][sample], "user": rows["user"][sample]}
    scene.add("offhours_identity", rng.choice(fns, n), t, **who)
    scene.note("offhours_identity", strength, [int(f) for f in fns], start, start + length, calls=n)


def enumeration(scene: Scene, strength: float) -> None:
    """Guessing: one address counts through ids on several functions and mostly hears no."""
    rng, tenant = scene.rng, scene.tenant
    first = scene.choose("http", least=60)
    others = np.flatnonzero((scene.trigger == "http") & ~scene.sampled)
    fns = np.unique(np.append(rng.choice(others, size=min(len(others), int(rng.integers(2, 7))), replace=False), first))
    n, length = int(between(strength, 60, 1_500)), between(rng.random(), 10, 60) * MINUTE_S
    start = scene.moment(length, first)
    place = int(rng.choice(tenant.home[:3])) if rng.random() > strength else foreign(scene, fns, far=True)
    refused = rng.random(n) < rng.uniform(0.6, 0.95)
    status = np.where(refused, rng.choice((404, 404, 401, 403), n), 0)
    rid = 1_000 + np.arange(n)
    t = spread(scene, n, start, length)
    ip = tenant.addresses.single(1)[0]
    scene.add("enumeration", rng.choice(fns, n), t, ip=ip, place=place, status=status, rid=rid, slow=0.6, verb=0)
    scene.note("enumeration", strength, [int(f) for f in fns], start, start + length, calls=n)


PAYLOADS: Final = (
    "/api/{}/1%27%20OR%20%271%27%3D%271",
    "/api/{}/1;WAITFOR%20DELAY%20%270:0:5%27--",
    "/api/{}/..%2f..%2f..%2fetc%2fpasswd",
    "/api/{}/%3Cscript%3Ealert(1)%3C%2Fscript%3E",
    "/api/{}/1%20UNION%20SELECT%20name%20FROM%20sys.tables",
    "/api/{}/$%7Bjndi:ldap:%2F%2Fx%7D",
)


def injection_probe(scene: Scene, strength: float) -> None:
    """Payloads that make the database sleep for round seconds or the code throw; some show in the path."""
    rng, tenant = scene.rng, scene.tenant
    fn = scene.choose("http", least=40)
    n, length = int(between(strength, 40, 400)), between(rng.random(), 10, 90) * MINUTE_S
    start = scene.moment(length, fn)
    place = int(rng.choice(tenant.home[:3])) if rng.random() > strength else foreign(scene, np.array([fn]), far=True)
    word = tenant.paths[tenant.fns[fn].route].split("/")[2]
    templates = np.array([tenant.path(p.replace("{}", word)) for p in PAYLOADS])
    shown = rng.random(n) < (rng.uniform(0.2, 0.7) if rng.random() < 0.5 else 0.0)
    sleeps = rng.random(n) < rng.uniform(0.2, 0.5)
    nap = rng.choice((5_000.0, 5_000.0, 10_000.0), n) + tenant.fns[fn].draw_ms(rng, n)
    throws = ~sleeps & (rng.random(n) < rng.uniform(0.2, 0.6))
    t = spread(scene, n, start, length)
    ip = tenant.addresses.single(1)[0]
    dur, path = np.where(sleeps, nap, np.nan), np.where(shown, rng.choice(templates, n), -1)
    scene.add("injection_probe", fn, t, ip=ip, place=place, dur=dur, path=path, fail=throws.astype(np.int8))
    scene.note("injection_probe", strength, [fn], start, start + length, calls=n)


def flood_single(scene: Scene, strength: float) -> None:
    """One address hammers one function."""
    rng, tenant = scene.rng, scene.tenant
    fn = scene.choose("http", least=100)
    length = between(rng.random(), 3, 20) * MINUTE_S
    n = int(max(between(strength, 500, 8_000), between(strength, 4, 15) * scene.daily[fn] / 86_400 * length))
    n = min(n, int(len(scene.rows["t"]) / scene.calendar.days * 0.15) + 300)
    start = scene.moment(length, fn)
    place = (
        int(rng.choice(tenant.home[:4])) if rng.random() > 0.5 * strength else foreign(scene, np.array([fn]), far=True)
    )
    t = spread(scene, n, start, length)
    scene.add("flood_single", fn, t, ip=tenant.addresses.single(1)[0], place=place, slow=rng.uniform(1, 2))
    scene.note("flood_single", strength, [fn], start, start + length, calls=n)


def flood_distributed(scene: Scene, strength: float) -> None:
    """Hundreds of addresses with a few calls each run up the bill of one function."""
    rng, tenant = scene.rng, scene.tenant
    fn = scene.choose("http", least=100)
    crowd, length = int(between(strength, 80, 400)), between(rng.random(), 20, 90) * MINUTE_S
    n = int(max(crowd * rng.integers(4, 15), between(strength, 3, 10) * scene.daily[fn] / 86_400 * length))
    n = min(n, int(len(scene.rows["t"]) / scene.calendar.days * 0.15) + 300)
    ips = tenant.addresses.single(crowd)
    anywhere = rng.integers(0, len(REGION), crowd)
    local = rng.random(crowd) < between(1 - strength, 0.1, 0.8)
    places = np.where(local, rng.choice(tenant.home[:5], crowd), anywhere)
    who = rng.integers(0, crowd, n)
    start = scene.moment(length, fn)
    t = start + rng.beta(2, 2, n) * length
    scene.add("flood_distributed", fn, t, ip=ips[who], place=places[who], slow=rng.uniform(1.2, 3.0))
    scene.note("flood_distributed", strength, [fn], start, start + length, calls=n, callers=crowd)


def window(scene: Scene, fn: int, start: float, length_s: float, least: int) -> tuple[np.ndarray, float]:
    """The function's rows from ``start`` on for ``length_s``, longer until there are ``least``; and where it ends."""
    mine = scene.of(fn)
    t = scene.rows["t"][mine]
    mine = mine[(t >= start) & (scene.rows["label"][mine] == 0)]
    mine = mine[np.argsort(scene.rows["t"][mine], kind="stable")]
    inside = int(np.searchsorted(scene.rows["t"][mine], start + length_s))
    chosen = mine[: max(inside, least)]
    return chosen, float(scene.rows["t"][chosen[-1]]) if len(chosen) else start


def early(scene: Scene, length_s: float, fn: int) -> float:
    """A start so late at most that a quarter of the test days is left for a window that has to grow."""
    span = (scene.calendar.end_s - scene.calendar.split_s) * 0.25
    return scene.moment(length_s + span, fn)


def runaway_duration(scene: Scene, strength: float) -> None:
    """Some calls run twenty times longer than the longest used to, or until the time limit kills them."""
    rng = scene.rng
    kinds = ("http", "queue", "servicebus", "blob", "other", "timer")
    room = np.maximum(scene.usual_ms[:, 2], COLD_MS) * 20 < scene.limit_ms
    fn, length = scene.choose(*kinds, least=96, where=room), between(rng.random(), 20, 120) * MINUTE_S
    start = early(scene, length, fn)
    k = int(between(strength, 5, 40))
    chosen, end = window(scene, fn, start, length, k)
    chosen = np.sort(rng.choice(chosen, size=min(k, len(chosen)), replace=False))
    limit, longest = scene.limit_ms[fn], scene.usual_ms[fn, 2]
    killed = rng.random(len(chosen)) < strength
    # a cold start is no runaway: seconds are not long for a function that is often started anew
    long = np.minimum(
        max(longest, COLD_MS) * rng.uniform(20, 60, len(chosen)), limit * rng.uniform(0.6, 0.95, len(chosen))
    )
    scene.rows["dur"][chosen] = np.where(killed, limit + rng.uniform(5, 50, len(chosen)), long)
    scene.rows["fail"][chosen] = killed
    scene.rows["label"][chosen] = scene.label("runaway_duration")
    scene.note("runaway_duration", strength, [fn], start, end, calls=len(chosen))


def slowdown(scene: Scene, fn: int, above: float) -> float:
    """The factor by which durations must grow for a slow call to exceed an ordinary one with the chance ``above``."""
    ordinary = np.sort(scene.tenant.fns[fn].draw_ms(np.random.default_rng(0), 1_000))
    factors = np.geomspace(1.3, 30.0, 120)
    exceeds = [np.searchsorted(ordinary, ordinary * f).mean() / len(ordinary) for f in factors]
    return float(factors[min(int(np.searchsorted(exceeds, above)), len(factors) - 1)])


def latency_shift(scene: Scene, strength: float) -> None:
    """All calls of a function slow down together, by more than its own spread."""
    wide = np.log(scene.usual_ms[:, 1] / scene.usual_ms[:, 0])
    room = (wide < np.log(6)) & (scene.usual_ms[:, 0] > MEASURABLE_MS) & (scene.usual_ms[:, 1] * 8 < scene.limit_ms)
    kinds, length = ("http", "queue", "servicebus", "eventhub", "other", "timer"), scene.rng.uniform(1, 4) * HOUR_S
    fn = scene.choose(*kinds, least=250, where=room)
    start = early(scene, length, fn)
    factor = slowdown(scene, fn, 0.75 + 0.22 * strength)
    chosen, end = window(scene, fn, start, length, 60)
    scene.rows["slow"][chosen] *= factor
    scene.rows["label"][chosen] = scene.label("latency_shift")
    scene.note("latency_shift", strength, [fn], start, end, calls=len(chosen), factor=factor)


def failure_burst(scene: Scene, strength: float) -> None:
    """A function throws for minutes on end, some of its calls or nearly all."""
    rng = scene.rng
    fn = scene.choose("http", "queue", "servicebus", "eventhub", "blob", "other", least=150)
    length = between(rng.random(), 5, 40) * MINUTE_S
    start, share = early(scene, length, fn), between(strength, 0.3, 0.95)
    chosen, end = window(scene, fn, start, length, int(15 / share) + 1)
    chosen = chosen[rng.random(len(chosen)) < share]
    scene.rows["fail"][chosen] = 1
    scene.rows["label"][chosen] = scene.label("failure_burst")
    scene.note("failure_burst", strength, [fn], start, end, calls=len(chosen), share=share)


def retry_storm_poison(scene: Scene, strength: float) -> None:
    """Messages that can't be processed come back, five times or ten each, and sometimes are sent anew."""
    rng, tenant = scene.rng, scene.tenant
    fn = scene.choose("queue", "servicebus", least=20)
    messages, length = int(between(strength, 4, 80)), between(rng.random(), 5, 60) * MINUTE_S
    tries = 5 if tenant.fns[fn].trigger == "queue" else 10
    start = scene.moment(length + 600, fn)
    born = np.sort(start + rng.random(messages) * length)
    pause = np.cumsum(rng.uniform(0.5, 15, (messages, tries)), axis=1)
    op = np.repeat(rng.integers(1, 2**63, messages).astype(np.uint64), tries)
    t = (born[:, None] + pause).ravel()
    slow = float(rng.choice((0.3, 1.0, 1.0)))
    scene.add("retry_storm_poison", fn, t, op=op, fail=1, slow=slow)
    scene.note("retry_storm_poison", strength, [fn], start, start + length, calls=len(t), messages=messages)


def timer_or_manual_abuse(scene: Scene, strength: float) -> None:
    """Functions run by hand that nobody ever ran by hand, or a timer that fires off its schedule."""
    rng, rows = scene.rng, scene.rows
    known = set(np.unique(rows["fn"][rows["manual"] == 1]).tolist())
    scene.hit |= known
    by_hand = bool(rng.random() < 0.6)
    fn = scene.choose("timer", "queue", "blob", "other", most=3_000) if by_hand else scene.choose("timer", most=300)
    if by_hand:
        n, length = int(between(strength, 3, 25)), between(rng.random(), 5, 120) * MINUTE_S
    else:
        n, length = int(between(strength, 10, 60)), between(rng.random(), 20, 120) * MINUTE_S
    start = scene.moment(length)
    scene.add("timer_or_manual_abuse", fn, spread(scene, n, start, length), manual=int(by_hand))
    scene.note("timer_or_manual_abuse", strength, [fn], start, start + length, calls=n, by_hand=by_hand)


#: the thirteen kinds on which the bars stand
KINDS: Final[dict[str, Callable[[Scene, float], None]]] = {
    f.__name__: f
    for f in (
        stolen_key, impossible_travel, lateral_movement, offhours_identity, enumeration, injection_probe, flood_single,
        flood_distributed, runaway_duration, latency_shift, failure_burst, retry_storm_poison, timer_or_manual_abuse,
    )
}  # fmt: skip
