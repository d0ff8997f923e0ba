"""Trouble beyond the thirteen kinds, played in worlds of its own so that the bars stay what they are."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import numpy as np

from tests.benchmarks.tenant.estate import add_function
from tests.benchmarks.tenant.rows import DAY_S, HOUR_S, take
from tests.benchmarks.tenant.scene import Scene
from tests.benchmarks.tenant.trouble import MINUTE_S, between, early, regulars, spread, window


def bad_deploy(scene: Scene, strength: float) -> None:
    """From a release on, one function throws in a share of its calls, until the end."""
    fn = scene.choose("http", "queue", "servicebus", "eventhub", least=200)
    start, share = early(scene, 6 * HOUR_S, fn), between(strength, 0.05, 0.4)
    scene.tenant.releases.append((scene.tenant.fns[fn].app, start))
    chosen, end = window(scene, fn, start, scene.calendar.end_s - start, 1)
    chosen = chosen[scene.rng.random(len(chosen)) < share]
    scene.rows["fail"][chosen] = 1
    scene.rows["label"][chosen] = scene.label("bad_deploy")
    scene.note("bad_deploy", strength, [fn], start, end, calls=len(chosen), share=share)


def slow_growth(scene: Scene, strength: float) -> None:
    """A function takes longer hour by hour, never by a step; labelled once it is a third slower."""
    fn = scene.choose("http", "queue", "servicebus", "eventhub", "other", least=300)
    start = scene.calendar.split_s
    chosen, end = window(scene, fn, start, scene.calendar.end_s - start, 1)
    share = (scene.rows["t"][chosen] - start) / (scene.calendar.end_s - start)
    factor = 1 + share * between(strength, 1.0, 4.0)
    scene.rows["slow"][chosen] *= factor
    scene.rows["label"][chosen[factor > 4 / 3]] = scene.label("slow_growth")
    scene.note("slow_growth", strength, [fn], start, end, calls=int((factor > 4 / 3).sum()))


def new_function(scene: Scene, strength: float) -> None:
    """A function that was never there answers in a known app."""
    rng, tenant = scene.rng, scene.tenant
    app = tenant.fns[scene.choose("http", least=50)].app
    fn = add_function(tenant, app, "http", "Shell", 1)
    n, length = int(between(strength, 8, 200)), between(rng.random(), 30, 300) * MINUTE_S
    start = scene.moment(length)
    ip, place = tenant.addresses.single(1)[0], int(rng.choice(tenant.home[:4]))
    scene.add("new_function", fn, spread(scene, n, start, length), ip=ip, place=place)
    scene.note("new_function", strength, [fn], start, start + length, calls=n)


def silence(scene: Scene, strength: float) -> None:
    """A function that never rests stops for hours. No row to label: the side file tells."""
    fn = scene.choose("http", "queue", "eventhub", "timer", least=400)
    length = between(strength, 2, 10) * HOUR_S
    start = scene.moment(length, fn)
    rows = scene.rows
    gone = (rows["fn"] == fn) & (rows["t"] >= start) & (rows["t"] < start + length)
    scene.rows = take(rows, ~gone)
    scene.__post_init__()
    scene.note("silence", strength, [fn], start, start + length, calls=0, missing=int(gone.sum()))


def queue_injection(scene: Scene, strength: float) -> None:
    """Messages that no function of the tenant sent."""
    fn = scene.choose("queue", "servicebus", least=50)
    n = int(min(between(strength, 150, 2_000), len(scene.rows["t"]) / scene.calendar.days * 0.1 + 50))
    length = between(scene.rng.random(), 5, 60) * MINUTE_S
    start = scene.moment(length, fn)
    scene.add("queue_injection", fn, spread(scene, n, start, length), slow=scene.rng.uniform(0.5, 2.5))
    scene.note("queue_injection", strength, [fn], start, start + length, calls=n)


def exfiltration(scene: Scene, strength: float) -> None:
    """A caller everybody knows reads ten to fifty times what it used to, id by id, from its own address."""
    rng, rows = scene.rng, scene.rows
    fn = scene.choose("http", least=150)
    caller = int(rng.choice(regulars(scene, np.array([fn]), "ip")))
    mine = np.flatnonzero((rows["ip"] == caller) & (rows["fn"] == fn))
    hourly = len(mine) / scene.calendar.days / DAY_S * HOUR_S
    length = rng.uniform(1, 5) * HOUR_S
    n = int(np.clip(hourly * length / HOUR_S * between(strength, 10, 50), 150, 5_000))
    start = scene.moment(length, fn)
    t, rid = spread(scene, n, start, length), 5_000 + np.arange(n)
    who = {"ip": caller, "place": rows["place"][mine[0]], "user": rows["user"][mine[0]]}
    scene.add("exfiltration", fn, t, rid=rid, verb=0, **who)
    scene.note("exfiltration", strength, [fn], start, start + length, calls=n)


#: kinds beyond the thirteen
EXTRAS: Final[dict[str, Callable[[Scene, float], None]]] = {
    f.__name__: f for f in (bad_deploy, slow_growth, new_function, silence, queue_injection, exfiltration)
}
