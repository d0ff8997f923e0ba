"""Machines: timers, queues, partners, services, probes and crawlers, each with its own cadence."""

from __future__ import annotations

import numpy as np

from tests.benchmarks.tenant.estate import Tenant
from tests.benchmarks.tenant.geo import PLACES, UTC_OFFSET_S
from tests.benchmarks.tenant.people import OFFICE, SHOPPERS, WORK_DAYS, Calendar, starts
from tests.benchmarks.tenant.rows import DAY_S, HOUR_S, Rows, concat, make, size, take


def timers(tenant: Tenant, calendar: Calendar) -> Rows:
    """Every timer on its schedule, a little late, and once in a while again after a restart."""
    rng, parts = tenant.rng, []
    for f, fn in enumerate(tenant.fns):
        if fn.trigger != "timer" or fn.period_s <= 0:
            continue
        # schedules sit on round times; daily ones in the small hours
        phase = 0.0 if fn.period_s < DAY_S else HOUR_S * int(rng.integers(0, 6))
        t = np.arange(phase, calendar.end_s, fn.period_s)
        late = np.abs(rng.normal(0.02, 0.02, len(t))) + np.where(
            rng.random(len(t)) < 0.01, rng.exponential(8.0, len(t)), 0
        )
        parts.append(make(len(t), t=t + late, fn=f))
    return concat(parts)


def services(tenant: Tenant, calendar: Calendar, per_day: float) -> Rows:
    """Callers in data centres that come every so many minutes to the same one to three functions."""
    rng, parts = tenant.rng, []
    apps = tenant.of("mesh") + tenant.of("partner") + tenant.of("shop")[:1]
    left = per_day
    while left > 0:
        fns = tenant.http(int(rng.choice(apps)))
        if not len(fns):
            continue
        period, calls = float(rng.choice((60.0, 300.0, 600.0, 900.0, 3_600.0))), int(rng.integers(1, 8))
        ticks = np.arange(rng.uniform(0, period), calendar.end_s, period)
        ticks = ticks[rng.random(len(ticks)) > 0.003]
        t = (
            np.repeat(ticks, calls)
            + np.tile(np.arange(calls) * 0.4, len(ticks))
            + rng.exponential(1.5, calls * len(ticks))
        )
        chosen = rng.choice(fns, size=min(len(fns), int(rng.integers(1, 4))), replace=False)
        fn = np.tile(rng.choice(chosen, calls), len(ticks))
        parent = np.repeat(rng.integers(1, 2**63, len(ticks)).astype(np.uint64), calls)
        ip = tenant.addresses.single(1)[0]
        user = tenant.add_users(1, "svc")[0]
        rows = make(len(t), t=t, fn=fn, ip=ip, place=tenant.datacentre, parent=parent, op=parent, retries=2)
        rows["user"][:] = np.where(np.array([tenant.apps[tenant.fns[f].app].auth for f in fn]), user, -1)
        parts.append(rows)
        left -= calls * DAY_S / period
    return concat(parts)


def partners(tenant: Tenant, calendar: Calendar, app: int, per_day: float, count: int) -> list[Rows]:
    """Integrations of other companies: hourly batches of pages, in their office hours, that retry what fails.

    The last of them may be onboarded in the middle of the world, training or test alike.
    """
    rng, parts, fns = tenant.rng, [], tenant.http(app)
    share = rng.dirichlet(np.full(count, 1.0))
    civil = np.array([i for i, p in enumerate(PLACES) if p.region != "far"])
    for k in range(count):
        place = int(rng.choice(tenant.home[:6]) if rng.random() < 0.6 else rng.choice(civil))
        mine = rng.choice(fns, size=min(len(fns), int(rng.integers(1, 4))), replace=False)
        pages = float(rng.uniform(4, 40))
        hours = OFFICE + (0.0 if rng.random() < 0.5 else 30.0)
        local = starts(rng, calendar, max(1.0, share[k] * per_day / pages), hours, np.maximum(WORK_DAYS, 0.3))
        if count > 1 and k == count - 1 and rng.random() < 0.7:
            local = local[local > rng.uniform(0.2, 0.95) * calendar.end_s]
        begin = (local - UTC_OFFSET_S[place]) % calendar.end_s
        length = rng.poisson(pages, len(begin)) + 1
        step = np.arange(length.sum()) - np.repeat(np.cumsum(length) - length, length)
        t = np.repeat(begin, length) + step * rng.uniform(0.3, 3.0) + rng.exponential(0.3, len(step))
        ips = tenant.addresses.pool(int(rng.integers(1, 3)))
        user = tenant.add_users(1, "partner")[0] if tenant.apps[app].auth else -1
        fn = np.repeat(rng.choice(mine, len(begin)), length)
        rows = make(
            len(t), t=t, fn=fn, ip=np.repeat(rng.choice(ips, len(begin)), length), place=place, user=user, retries=3
        )
        refused = rng.random(len(t)) < rng.choice((0.0, 0.01, 0.05))
        rows["status"][refused] = rng.choice((409, 422))
        parts.append(rows)
    return parts


def probes(tenant: Tenant, calendar: Calendar) -> Rows:
    """Availability tests: five places ask one function of a shop every five minutes."""
    rng, parts = tenant.rng, []
    fn = int(tenant.http(tenant.of("shop")[0])[0])
    for place in rng.choice(np.array([i for i, p in enumerate(PLACES) if p.region != "far"]), 5, replace=False):
        t = np.arange(rng.uniform(0, 300), calendar.end_s, 300.0)
        ip = tenant.addresses.single(1)[0]
        parts.append(
            make(len(t), t=t + rng.normal(0, 1.0, len(t)), fn=fn, ip=ip, place=place, synthetic=1, verb=0, status=200)
        )
    return concat(parts)


def crawlers(tenant: Tenant, calendar: Calendar, per_day: float) -> Rows:
    """Search engines and scanners on a shop's public functions: half of what they ask for does not exist."""
    rng = tenant.rng
    fns = tenant.http(tenant.of("shop")[-1])[:2]
    n = rng.poisson(per_day * calendar.days)
    visits = max(1, n // 12)
    begin = rng.uniform(0, calendar.end_s, visits)
    which = rng.integers(0, visits, n)
    pool = np.concatenate([tenant.addresses.pool(20), tenant.addresses.pool(20)])
    ip = pool[rng.integers(0, len(pool), visits)]
    places = np.array([16, 14, 12, 28])[rng.integers(0, 4, len(pool))]
    t = begin[which] + rng.exponential(40.0, n)
    status = np.where(rng.random(n) < 0.5, 404, 200)
    by_ip = places[np.searchsorted(np.sort(pool), ip)]
    return make(n, t=t, fn=rng.choice(fns, n), ip=ip[which], place=by_ip[which], status=status, verb=0)


def streams(tenant: Tenant, calendar: Calendar, per_day: float) -> Rows:
    """Event hubs in steady batches, blobs in clumps, orchestrations now and then; month's end doubles one day."""
    rng, parts = tenant.rng, []
    month_end = int(rng.integers(calendar.days))
    weights = {"eventhub": 6.0, "blob": 2.0, "other": 1.5, "servicebus": 2.0, "queue": 1.0}
    fns = [f for f, fn in enumerate(tenant.fns) if fn.trigger in weights]
    share = np.array([weights[tenant.fns[f].trigger] for f in fns]) * rng.gamma(1.2, size=len(fns)) + 0.05
    for f, part in zip(fns, share / share.sum(), strict=True):
        trigger, daily = tenant.fns[f].trigger, max(24.0, part * per_day)
        clump = 1.0 if trigger == "eventhub" else 6.0 if trigger != "blob" else 25.0
        local = starts(rng, calendar, daily / clump, SHOPPERS + 20 if trigger != "other" else OFFICE + 8, np.ones(7))
        begin = (local - UTC_OFFSET_S[tenant.datacentre]) % calendar.end_s
        length = rng.poisson(clump - 1, len(begin)) + 1
        if trigger in ("blob", "servicebus"):
            length = np.where(begin // DAY_S == month_end, length * 2, length)
        t = np.repeat(begin, length) + rng.exponential(4.0 if trigger != "blob" else 30.0, length.sum())
        parts.append(make(len(t), t=t, fn=f))
    return concat(parts)


def chain(tenant: Tenant, rows: Rows) -> Rows:
    """What HTTP calls set off: messages that a queue's function takes up seconds later, in the same trace."""
    rng, parts = tenant.rng, []
    takers = [f for f, fn in enumerate(tenant.fns) if fn.trigger in ("queue", "servicebus")]
    http = tenant.column("trigger")[rows["fn"]] == "http"
    for f in takers:
        senders = [k for k in tenant.apps[tenant.fns[f].app].fns if tenant.fns[k].trigger == "http"]
        if not senders:
            senders = [int(rng.choice(np.flatnonzero(tenant.column("trigger") == "http")))]
        chosen = np.flatnonzero(http & (rows["fn"] == int(rng.choice(senders))) & (rows["status"] < 400))
        chosen = chosen[rng.random(len(chosen)) < rng.uniform(0.1, 0.6)]
        # rows need a span and a trace before others can point at them
        fresh = chosen[rows["span"][chosen] == 0]
        rows["span"][fresh] = rng.integers(1, 2**63, len(fresh)).astype(np.uint64)
        fresh = chosen[rows["op"][chosen] == 0]
        rows["op"][fresh] = rng.integers(1, 2**63, len(fresh)).astype(np.uint64)
        wait = rng.exponential(1.5, len(chosen)) + np.where(
            rng.random(len(chosen)) < 0.02, rng.exponential(60, len(chosen)), 0
        )
        source = take(rows, chosen)
        parts.append(make(len(chosen), t=source["t"] + wait, fn=f, parent=source["span"], op=source["op"]))
    return concat(parts)


def engineers(tenant: Tenant, calendar: Calendar) -> Rows:
    """On-call engineers run a few well-known functions by hand, mostly in office hours, sometimes at night."""
    rng, parts = tenant.rng, []
    runnable = [f for f, fn in enumerate(tenant.fns) if fn.trigger in ("timer", "queue", "blob")]
    for f in rng.choice(runnable, size=min(2, len(runnable)), replace=False):
        n = rng.poisson(1.2 * calendar.days)
        day = rng.integers(0, calendar.days, n) * DAY_S
        hour = np.where(rng.random(n) < 0.8, rng.normal(13, 2.5, n), rng.normal(2, 1.5, n)) * HOUR_S
        begin = (day + hour - UTC_OFFSET_S[tenant.home[0]]) % calendar.end_s
        length = rng.integers(1, 4, n)
        t = np.repeat(begin, length) + rng.exponential(50.0, length.sum())
        parts.append(make(len(t), t=t, fn=f, manual=1))
    rows = concat(parts)
    return rows if size(rows) else concat([])
