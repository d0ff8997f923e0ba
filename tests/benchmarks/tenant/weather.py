"""Weather: what happens to every row on an ordinary day, from cold starts to a dependency with a cold."""

from __future__ import annotations

from typing import Final

import numpy as np

from tests.benchmarks.tenant.estate import Tenant
from tests.benchmarks.tenant.people import Calendar
from tests.benchmarks.tenant.rows import DAY_S, HOUR_S, Rows, concat, size, take

#: after so long without a call a host is taken down
IDLE_S: Final = 1_200.0
#: a host lives about so long
HOST_LIFE_S: Final = 5 * HOUR_S
#: invocations an hour that one worker takes before another is added
WORKER_HOURLY: Final = 1_500.0
#: a dependency's client gives up after so many ms
CLIENT_TIMEOUT_MS: Final = 30_000.0


def settle_outcomes(tenant: Tenant, calendar: Calendar, rows: Rows) -> Rows:
    """Fill in durations, failures, statuses and workers, let clients retry; returns the rows in order of time.

    Adds the columns ``worker`` and ``host`` (int64) and ``exec`` (ms inside the function).
    """
    rng = tenant.rng
    inside = (rows["t"] >= 0) & (rows["t"] < calendar.end_s)
    rows = take(rows, inside)
    colds = dependency_colds(tenant, calendar)
    _durations(tenant, rows, colds)
    _outcomes(tenant, rows, colds)
    rows = concat([rows, *_retries(tenant, rows)])
    rows = take(rows, np.argsort(rows["t"], kind="stable"))
    deploys = []
    for a in range(len(tenant.apps)):
        wanted = [t for app, t in tenant.releases if app == a]
        deploys.append(np.sort(np.append(rng.uniform(0, calendar.end_s, rng.poisson(0.12 * calendar.days)), wanted)))
    _workers(tenant, rows, deploys)
    return rows


def dependency_colds(tenant: Tenant, calendar: Calendar) -> list[tuple[int, float, float, float, float]]:
    """When something shared is unwell: (dependency, from s, to s, share that fails, factor on durations)."""
    rng, found = tenant.rng, []
    for d in range(int(tenant.column("dependency").max(initial=-1)) + 1):
        for start in rng.uniform(0, calendar.end_s, rng.poisson(0.6 * calendar.days)):
            fails = float(rng.choice((0.0, 0.03, 0.08, 0.2)))
            found.append((d, float(start), float(start + rng.uniform(30, 150)), fails, float(rng.uniform(1.1, 2.0))))
    return found


def _durations(tenant: Tenant, rows: Rows, colds: list[tuple[int, float, float, float, float]]) -> None:
    rng, n = tenant.rng, size(rows)
    drawn = np.empty(n)
    order = np.argsort(rows["fn"], kind="stable")
    edges = np.searchsorted(rows["fn"][order], np.arange(len(tenant.fns) + 1))
    for f, fn in enumerate(tenant.fns):
        mine = order[edges[f] : edges[f + 1]]
        value = fn.draw_ms(rng, len(mine))
        # garbage collection: rare, long, the same for all of a function's life
        pause = rng.random(len(mine)) < rng.uniform(0, 0.003)
        drawn[mine] = np.where(pause, value + rng.uniform(200, 1_500, len(mine)), value)
    busy = 1 + 0.06 * np.sin(2 * np.pi * (rows["t"] / DAY_S - 0.3))
    slow = rows["slow"] * busy
    dependency = tenant.column("dependency")[rows["fn"]]
    for d, start, end, _, factor in colds:
        slow = np.where((dependency == d) & (rows["t"] >= start) & (rows["t"] < end), slow * factor, slow)
    rows["dur"] = np.where(np.isnan(rows["dur"]), drawn * slow, rows["dur"])
    limit = np.array([tenant.limit_ms(f) for f in range(len(tenant.fns))])[rows["fn"]]
    over = rows["dur"] > limit
    rows["dur"] = np.where(over, limit + rng.uniform(5, 60, n), rows["dur"])
    rows["fail"][over & (rows["fail"] < 0)] = 1


def _outcomes(tenant: Tenant, rows: Rows, colds: list[tuple[int, float, float, float, float]]) -> None:
    rng, n = tenant.rng, size(rows)
    chance = tenant.column("fail")[rows["fn"]]
    dependency = tenant.column("dependency")[rows["fn"]]
    for d, start, end, fails, _ in colds:
        chance = np.where((dependency == d) & (rows["t"] >= start) & (rows["t"] < end), chance + fails, chance)
    drawn = rng.random(n) < chance
    undecided = rows["fail"] < 0
    decided = np.where(undecided, drawn & (rows["status"] == 0), rows["fail"]).astype(np.int8)
    # a failing dependency is noticed at once or after the client's time-out
    waits = undecided & (decided == 1) & (rng.random(n) < 0.2)
    rows["dur"] = np.where(waits, np.maximum(rows["dur"], CLIENT_TIMEOUT_MS + rng.uniform(1, 40, n)), rows["dur"])
    rows["fail"] = decided
    verb = np.where(rng.random(n) < tenant.column("writes")[rows["fn"]], rng.choice((1, 1, 2), n), 0)
    rows["verb"] = np.where(rows["verb"] < 0, verb, rows["verb"]).astype(np.int8)
    good = np.array([200, 201, 200, 204])[rows["verb"]]
    refused = rng.random(n) < tenant.column("client_error")[rows["fn"]]
    status = np.where(refused, tenant.column("error_code")[rows["fn"]], good)
    rows["status"] = np.where(decided == 1, 500, np.where(rows["status"] == 0, status, rows["status"])).astype(np.int16)
    rows["rid"] = np.where(rows["rid"] < 0, (rng.pareto(0.8, n) * 40).astype(np.int64) % 90_000 + 100, rows["rid"])


def _retries(tenant: Tenant, rows: Rows) -> list[Rows]:
    """Clients that try again 2, 4, 8 s after a failure; what they suffer belongs to the same cause."""
    rng, parts = tenant.rng, []
    again, wait = take(rows, (rows["fail"] == 1) & (rows["retries"] > 0) & (rows["manual"] == 0)), 2.0
    while size(again):
        again["t"] = again["t"] + again["dur"] / 1e3 + wait + rng.exponential(0.2, size(again))
        again["retries"] -= 1
        fails = rng.random(size(again)) < np.where(again["label"] > 0, 0.7, 0.3)
        again["fail"] = fails.astype(np.int8)
        again["status"] = np.where(fails, 500, 200).astype(np.int16)
        again["label"] = np.where(fails, again["label"], 0).astype(np.int16)
        again["span"][:] = 0
        parts.append(again)
        again, wait = take(again, fails & (again["retries"] > 0)), wait * 2
    return parts


def _workers(tenant: Tenant, rows: Rows, deploys: list[np.ndarray]) -> None:
    rng, n = tenant.rng, size(rows)
    rows["worker"], rows["host"], rows["exec"] = np.zeros(n, np.int64), np.zeros(n, np.int64), rows["dur"] - 0.6
    app_of = tenant.column("app")[rows["fn"]]
    for a, app in enumerate(tenant.apps):
        mine = np.flatnonzero(app_of == a)
        if not len(mine):
            continue
        t = rows["t"][mine]
        hour = (t // HOUR_S).astype(np.int64)
        wanted = np.clip(np.ceil(np.bincount(hour) / WORKER_HOURLY), 1, 12)[hour]
        slot = (rng.random(len(mine)) * wanted).astype(np.int64)
        idle = np.cumsum(np.diff(t, prepend=t[0]) > IDLE_S)
        release = np.searchsorted(deploys[a], t)
        lives = [np.cumsum(rng.exponential(HOST_LIFE_S, int(t[-1] / HOST_LIFE_S * 3) + 8)) for _ in range(12)]
        life = np.zeros(len(mine), np.int64)
        for s in range(12):
            life[slot == s] = np.searchsorted(lives[s], t[slot == s])
        key = ((release * 10_000 + idle) * 1_000 + life) * 12 + slot
        _, first, host = np.unique(key, return_index=True, return_inverse=True)
        rows["worker"][mine], rows["host"][mine] = a * 100 + slot, a * 10_000_000 + host
        # the platform's part of a cold start lies outside of the function's own time
        cold = np.zeros(len(mine))
        cold[first] = np.exp(rng.normal(np.log(2_200.0), 0.5, len(first)))
        # a release may cost a little: a benign regression of some per cent
        factor = np.cumprod(np.concatenate([[1.0], rng.uniform(0.97, 1.06, len(deploys[a]))]))[release]
        plain = rows["label"][mine] == 0
        rows["exec"][mine] = np.maximum(0.05, rows["exec"][mine] * np.where(plain, factor, 1.0))
        rows["dur"][mine] = rows["exec"][mine] + np.abs(rng.normal(0.8, 0.6, len(mine))) + 0.2 + cold
        if app.versioned:
            names = [f"1.{int(rng.integers(3, 40))}.{k}" for k in range(len(deploys[a]) + 1)]
            start = len(tenant.versions)
            tenant.versions.extend(names)
            rows["version"][mine] = start + release
