"""Traffic of the real 2019 workload: its functions, triggers, arrivals and durations, with callers drawn to fit."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Final

import numpy as np

from tests.benchmarks.tenant.estate import LIMITS_MS, WORDS, App, Function, Tenant
from tests.benchmarks.tenant.geo import REGION
from tests.benchmarks.tenant.people import Calendar
from tests.benchmarks.tenant.rows import DAY_S, Rows, concat, make

TRIGGERS: Final = {"orchestration": "other", "storage": "blob", "event": "eventhub"}
KIND_OF: Final = {"http": "shop", "timer": "pipeline", "queue": "pipeline"}
QUANTILES: Final = ("0", "1", "25", "50", "75", "99", "100")
#: the tables hold the minutes 480 to 959 of a day, eight hours
TILE_S: Final = 28_800.0
#: what the three tiles of a day keep of the measured counts: night, day, evening
TILES: Final = (0.55, 1.0, 0.8)
#: the same where only employees call
OFFICE_TILES: Final = (0.01, 1.0, 0.15)


def read(tenant: Tenant, folder: Path) -> np.ndarray:
    """Add the measured functions to the tenant; returns invocations per function and minute (F, 480)."""
    rng = tenant.rng
    with (folder / "invocations.csv").open(newline="") as file:
        calls = list(csv.DictReader(file))
    with (folder / "durations.csv").open(newline="") as file:
        timings = {r["HashFunction"]: r for r in csv.DictReader(file)}
    apps: dict[str, int] = {}
    minutes = [str(m) for m in range(480, 960)]
    for row in calls:
        trigger = TRIGGERS.get(row["Trigger"], row["Trigger"])
        if row["HashApp"] not in apps:
            apps[row["HashApp"]] = len(tenant.apps)
            kind = KIND_OF.get(trigger, "mesh")
            word = WORDS[len(apps) % len(WORDS)].lower()
            tenant.apps.append(App(f"{word}-{row['HashApp'][:6]}", kind, float(rng.choice((300_000.0, 600_000.0)))))
        app = apps[row["HashApp"]]
        name = f"{WORDS[(len(tenant.fns) * 7) % len(WORDS)]}{row['HashFunction'][:5]}"
        values = np.array([float(timings[row["HashFunction"]][f"percentile_Average_{q}"]) for q in QUANTILES])
        # whole milliseconds: what reads as 0 took less than one
        values = np.maximum.accumulate(np.maximum(values, 0.3)) * (1 + np.arange(len(values)) * 1e-3)
        if values[-1] > tenant.apps[app].limit_ms / 1.3:  # it ran, so its plan let it
            tenant.apps[app].limit_ms = LIMITS_MS[-1]
        made = Function(app, name, trigger, quantiles=(np.array([int(q) for q in QUANTILES]) / 100, values))
        made.fail = float(np.exp(rng.uniform(np.log(2e-5), np.log(4e-3))))
        if trigger == "http":
            made.route = tenant.path(f"/api/{name.lower()}")
            made.client_error, made.writes = float(rng.choice((0.0, 0.002, 0.02))), float(rng.choice((0.0, 0.5, 1.0)))
        elif trigger not in ("timer", "other"):
            made.source = f"{name.lower()}-{trigger[:3]}"
        made.dependency = int(rng.integers(4)) if rng.random() < 0.3 else -1
        tenant.fns.append(made)
        tenant.apps[app].fns.append(len(tenant.fns) - 1)
    counts = np.array([[int(r[m]) for m in minutes] for r in calls], np.float64)
    volume = np.array([counts[a.fns].sum() * any(tenant.fns[f].trigger == "http" for f in a.fns) for a in tenant.apps])
    for a in np.argsort(-volume)[: len(volume) // 4]:
        tenant.apps[a].auth = bool(volume[a] > 0 and rng.random() < 0.6)
    busiest = np.argsort(-volume)
    tenant.apps[int(busiest[0])].auth = True
    # some of the busier apps serve employees, and rest at night
    for a in busiest[int(rng.integers(1, 4)) : np.count_nonzero(volume > 0) // 2 : 4]:
        tenant.apps[int(a)].kind, tenant.apps[int(a)].auth = "office", True
    return counts


def arrivals(tenant: Tenant, calendar: Calendar, counts: np.ndarray, per_day: float) -> Rows:
    """Rows of every function, the eight measured hours tiled over the days, the busiest functions thinned to fit."""
    rng, parts = tenant.rng, []
    keep = thinning(counts.sum(axis=1), per_day / sum(TILES))
    for f, fn in enumerate(tenant.fns):
        seconds = rng.uniform(0, 60) if fn.trigger == "timer" else None
        tiles = OFFICE_TILES if tenant.apps[fn.app].kind == "office" else TILES
        times = []
        for day in range(calendar.days):
            mood = float(np.exp(rng.normal(0, 0.05)))
            for tile, share in enumerate(tiles):
                # a clock doesn't sleep at night; thinned evenly, a regular timer stays regular
                if fn.trigger == "timer":
                    n = np.diff(np.floor(np.cumsum(counts[f] * keep[f]) + 1e-6), prepend=0).astype(int)
                else:
                    n = rng.poisson(counts[f] * keep[f] * share * mood)
                minute = np.repeat(np.arange(len(n)), n)
                if seconds is None:
                    inside = rng.random(len(minute)) * 60
                else:
                    order = np.arange(len(minute)) - np.searchsorted(minute, minute)
                    inside = (
                        seconds + order * 60 / np.maximum(1, n[minute]) + np.abs(rng.normal(0, 0.05, len(minute)))
                    ) % 60
                times.append(day * DAY_S + tile * TILE_S + minute * 60 + inside)
        t = np.sort(np.concatenate(times))
        rows = make(len(t), t=t, fn=f)
        if fn.trigger == "http" and len(t):
            _callers(tenant, calendar, fn, rows)
        parts.append(rows)
    return concat(parts)


def thinning(totals: np.ndarray, budget: float) -> np.ndarray:
    """Share to keep of each function (F,) so that the sum fits the budget: a cap on the busiest, the rest untouched."""
    if totals.sum() <= budget:
        return np.ones(len(totals))
    low, high = 0.0, float(totals.max())
    for _ in range(60):
        cap = (low + high) / 2
        low, high = (cap, high) if np.minimum(totals, cap).sum() < budget else (low, cap)
    return np.minimum(totals, low) / np.maximum(totals, 1)


def _callers(tenant: Tenant, calendar: Calendar, fn: Function, rows: Rows) -> None:
    """A handful to some hundred callers a function, who call in runs; the more calls, the more callers."""
    rng, n = tenant.rng, len(rows["t"])
    crowd = int(np.clip(rng.lognormal(np.log(1 + n**0.5), 0.7), 1, 400))
    weight = rng.dirichlet(np.full(crowd, 0.5))
    ip = tenant.addresses.single(crowd)
    place = rng.choice(tenant.home, crowd, p=tenant.home_p)
    user = tenant.add_users(crowd, "u") if tenant.apps[fn.app].auth else np.full(crowd, -1)
    gap = np.diff(rows["t"], prepend=-np.inf)
    change = (rng.random(n) < 0.35) | (gap > 600)
    who = rng.choice(crowd, change.sum(), p=weight)[np.cumsum(change) - 1]
    # some customers come late; until then an old one calls
    born = np.where(rng.random(crowd) < 0.1, rng.uniform(0, calendar.end_s, crowd), 0.0)
    born[int(np.argmax(weight))] = 0.0
    who = np.where(born[who] > rows["t"], int(np.argmax(weight)), who)
    rows["ip"][:], rows["place"][:], rows["user"][:] = ip[who], place[who], user[who]
    # and some travel for a day
    for traveller in np.flatnonzero(rng.random(crowd) < 0.01):
        start = rng.uniform(0, calendar.end_s)
        away = (who == traveller) & (rows["t"] >= start) & (rows["t"] < start + DAY_S)
        rows["ip"][away] = tenant.addresses.single(1)[0]
        rows["place"][away] = rng.choice(np.flatnonzero(REGION != "far"))
    # some come from another address now and then, most of them from the same city
    moved = (change & (rng.random(n) < 0.01))[np.maximum.accumulate(np.where(change, np.arange(n), 0))]
    rows["ip"][moved] = tenant.addresses.pool(60)[rng.integers(0, 60, moved.sum())]
