"""Which worker and script host runs an invocation: scaling with load, idle unloading, restarts, cold starts."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

import numpy as np

from .clock import MINUTE, SECOND
from .events import Array, Events
from .world import World

SCALE_WINDOW: Final = 5 * MINUTE  #: the platform looks at this much load to choose the number of instances
CALLS_AN_INSTANCE: Final = 900.0  #: calls in a window that one instance takes easily
BUSY_AN_INSTANCE: Final = 6.0  #: running invocations at once that one instance takes easily
MOST_INSTANCES: Final = 40
IDLE: Final = 20 * MINUTE  #: a host without work for this long is unloaded
COLD_START_MS: Final = 900.0  #: median of what a first invocation takes longer
COLD_START_SIGMA: Final = 0.7
COLD_WINDOW: Final = 3 * SECOND  #: calls that arrive while the host still warms up wait too
SLOT_BITS: Final = 1 << 20  #: room for restarts of one slot within its number


@dataclass
class Hosts:
    """What runs where, carried from day to day: (app, slot) to (last start us, restarts so far, worker)."""

    slots: dict[tuple[int, int], tuple[int, int, int]] = field(default_factory=dict)


def place(world: World, hosts: Hosts, events: Events, rng: np.random.Generator) -> tuple[Array, Array]:
    """Give each event a host and a worker, and lengthen cold starts in place. Events must be sorted by time.

    Returns:
        (host, worker): int64 numbers of shape (n,); the same number is the same host.
    """
    host = np.zeros(len(events), dtype=np.int64)
    worker = np.zeros(len(events), dtype=np.int64)
    app_of = np.array([function.app for function in world.tenant.functions])[events.function]
    for app in world.tenant.apps:
        index = np.flatnonzero(app_of == app.index)
        if not len(index):
            continue
        time = events.time[index]
        slot = _slots(time, events.duration_ms[index], rng)
        deployments = [d.time for d in world.calendar.deployments if d.app == app.index] + world.calendar.upgrades
        recycles = [at for which, at in world.calendar.recycles if which == app.index]
        for number in range(int(slot.max()) + 1):
            mine = np.flatnonzero(slot == number)
            if not len(mine):
                continue
            rows = index[mine]
            last, restarts, workers = hosts.slots.get((app.index, number), (-(2**62), 0, 0))
            at = events.time[rows]
            before = np.concatenate([[last], at[:-1]])
            idle = at - before > IDLE
            moved = _crossed(recycles, before, at)
            renewed = _crossed(deployments, before, at)
            restart = restarts + np.cumsum(idle | moved | renewed)
            worker_no = workers + np.cumsum(idle | moved)
            base = (app.index * MOST_INSTANCES + number) * SLOT_BITS
            host[rows] = base + restart
            worker[rows] = base + worker_no
            hosts.slots[app.index, number] = (int(at[-1]), int(restart[-1]), int(worker_no[-1]))
            begun = np.maximum.accumulate(np.where(idle | moved | renewed, at, -(2**62)))
            cold = (at - begun < COLD_WINDOW) & ~events.fixed[rows]
            extra = COLD_START_MS * np.exp(rng.normal(0.0, COLD_START_SIGMA, len(rows)))
            events.duration_ms[rows] += np.where(cold, extra, 0.0)
    return host, worker


def _slots(time: Array, duration_ms: Array, rng: np.random.Generator) -> Array:
    window = time // SCALE_WINDOW
    window = window - window[0]
    calls = np.bincount(window)
    busy = np.bincount(window, weights=duration_ms) / (SCALE_WINDOW / 1000.0)
    wanted = np.maximum(calls / CALLS_AN_INSTANCE, busy / BUSY_AN_INSTANCE)
    # scaling lags behind load, and scaling in lags more
    held = wanted.copy()
    for number in range(1, len(held)):
        held[number] = max(wanted[number], 0.6 * held[number - 1])
    count = np.minimum(MOST_INSTANCES, 1 + np.floor(held)).astype(np.int64)
    return np.asarray((rng.random(len(time)) * count[window]).astype(np.int64))


def _crossed(marks: list[int], before: Array, at: Array) -> Array:
    ordered = np.sort(np.array(marks, dtype=np.int64))
    return np.asarray(np.searchsorted(ordered, at, side="right") > np.searchsorted(ordered, before, side="right"))
