"""People: sessions that walk from call to call, at home, on the road and behind other people's addresses."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np

from tests.benchmarks.tenant.estate import Tenant
from tests.benchmarks.tenant.geo import COUNTRY, REGION, UTC_OFFSET_S
from tests.benchmarks.tenant.rows import DAY_S, HOUR_S, Rows, concat, make, size

#: relative activity by local hour: shoppers in the evening, employees in office hours
SHOPPERS: Final = np.array([8, 4, 2, 1, 1, 2, 6, 14, 22, 28, 32, 36, 40, 38, 34, 34, 38, 46, 56, 66, 70, 60, 38, 18.0])
OFFICE: Final = np.array([0, 0, 0, 0, 0, 0, 1, 10, 50, 80, 90, 85, 50, 70, 90, 85, 70, 30, 6, 2, 1, 0, 0, 0.0])
OFFICE += 0.4  # somebody is always awake
#: relative activity by weekday, Monday first
SHOPPING_DAYS: Final = np.array([1.0, 0.95, 0.95, 1.0, 1.1, 1.3, 1.2])
WORK_DAYS: Final = np.array([1.0, 1.05, 1.0, 1.0, 0.9, 0.03, 0.02])


@dataclass
class Calendar:
    """The world's days: ``weekday`` of day 0 (Monday is 0), and where training ends."""

    days: int
    train: int
    weekday: int

    @property
    def end_s(self) -> float:
        """Seconds from the first midnight to the end."""
        return self.days * DAY_S

    @property
    def split_s(self) -> float:
        """Seconds from the first midnight to the first test row."""
        return self.train * DAY_S


@dataclass
class People:
    """Users of one app: (U,) arrays of weight, home place and home address, and who they say they are."""

    app: int
    weight: np.ndarray
    place: np.ndarray
    ip: np.ndarray
    user: np.ndarray  # -1 where the app does not log it
    hours: np.ndarray
    week: np.ndarray
    calls: float  # mean calls a session
    carrier: np.ndarray  # addresses of the mobile carrier
    edges: np.ndarray  # addresses of the CDN in front
    seats: np.ndarray  # where these are
    travellers: tuple[tuple[int, float, float, int, int], ...] = ()  # user, from, to, place, address


def settle(tenant: Tenant, calendar: Calendar, app: int, n: int, *, employees: bool) -> People:
    """``n`` users with homes and addresses; employees share the office's address, and one or two travel."""
    rng = tenant.rng
    home = tenant.home if not employees else tenant.home[:2]
    p = tenant.home_p[: len(home)] / tenant.home_p[: len(home)].sum()
    place = rng.choice(home, size=n, p=p).astype(np.int32)
    if employees:
        office = tenant.addresses.pool(2)
        ip = np.where(rng.random(n) < 0.7, rng.choice(office, n), tenant.addresses.single(n))
    else:
        ip = tenant.addresses.single(n)
    user = tenant.add_users(n, "emp" if employees else "u") if tenant.apps[app].auth else np.full(n, -1, np.int32)
    abroad = np.flatnonzero(REGION != "far")
    trips = []
    for _ in range(rng.poisson(1.5 if employees else 2.0)):
        start = rng.uniform(0, calendar.end_s)
        address = int(tenant.addresses.single(1)[0])
        trips.append((int(rng.integers(n)), start, start + rng.uniform(1, 3) * DAY_S, int(rng.choice(abroad)), address))
    hours, week = (OFFICE, WORK_DAYS) if employees else (SHOPPERS, SHOPPING_DAYS)
    weight = rng.gamma(0.7 if not employees else 3.0, size=n) + 1e-3
    calls = float(rng.uniform(5, 10))
    carrier, edges = tenant.addresses.pool(150), tenant.addresses.pool(8)
    seats = rng.choice(tenant.home[:4], 8)
    weight /= weight.sum()
    return People(app, weight, place, ip, user, hours, week, calls, carrier, edges, seats, tuple(trips))


def gateway(rng: np.random.Generator, place: np.ndarray) -> np.ndarray:
    """Where a phone at ``place`` (N,) seems to be: any city of its country, seldom one of a neighbour's."""
    out = place.copy()
    for country in np.unique(COUNTRY[place]):
        mine = np.flatnonzero(COUNTRY[place] == country)
        out[mine] = rng.choice(np.flatnonzero(country == COUNTRY), len(mine))
    roaming = np.flatnonzero(rng.random(len(place)) < 0.003)
    for k in roaming:
        out[k] = rng.choice(np.flatnonzero(REGION[place[k]] == REGION))
    return out


def starts(
    rng: np.random.Generator, calendar: Calendar, per_day: float, hours: np.ndarray, week: np.ndarray
) -> np.ndarray:
    """Local start times (S,) in seconds of about ``per_day`` sessions a day, unsorted."""
    share = np.concatenate([week[(calendar.weekday + d) % 7] * hours / hours.sum() for d in range(calendar.days)])
    # real days differ from each other by more than Poisson noise
    share = share * np.exp(rng.normal(0, 0.08, len(share))) * np.repeat(np.exp(rng.normal(0, 0.06, calendar.days)), 24)
    counts = rng.poisson(per_day * share)
    return np.repeat(np.arange(len(share)), counts) * HOUR_S + rng.random(counts.sum()) * HOUR_S


def visits(tenant: Tenant, calendar: Calendar, people: People, per_day: float) -> Rows:
    """The calls of about ``per_day`` sessions a day: bursts that walk over the app's HTTP functions."""
    rng, fns = tenant.rng, tenant.http(people.app)
    local = starts(rng, calendar, per_day, people.hours, people.week)
    who = rng.choice(len(people.weight), size=len(local), p=people.weight)
    begin = local - UTC_OFFSET_S[people.place[who]]
    begin = np.where(begin < 0, begin + calendar.end_s, begin) % calendar.end_s
    return walk(tenant, people, fns, who, begin)


def walk(tenant: Tenant, people: People, fns: np.ndarray, who: np.ndarray, begin: np.ndarray) -> Rows:
    """One session per entry of ``who`` (S,), beginning at ``begin`` (S,) UTC seconds."""
    rng, n = tenant.rng, len(who)
    length = 1 + rng.geometric(1 / people.calls, n)
    steps = np.arange(length.sum()) - np.repeat(np.cumsum(length) - length, length)
    gap = np.where(steps == 0, 0.0, np.exp(rng.normal(np.log(6.0), 1.2, len(steps))))
    total = np.cumsum(gap)
    first = np.repeat(np.cumsum(length) - length, length)
    t = np.repeat(begin, length) + total - total[first]
    # an app has its beaten tracks: the next function depends on the last one
    tracks = np.cumsum(rng.dirichlet(np.full(len(fns), 0.6), len(fns)) * 0.9 + 0.1 / len(fns), axis=1)
    at = np.zeros(len(steps), np.int64)
    current = rng.choice(len(fns), n, p=np.linspace(2, 1, len(fns)) / np.linspace(2, 1, len(fns)).sum())
    offset = np.cumsum(length) - length
    for step in range(int(length.max(initial=0))):
        alive = length > step
        at[offset[alive] + step] = current[alive]
        u = rng.random(n)
        current = np.minimum((tracks[current] < u[:, None]).sum(axis=1), len(fns) - 1)
    ip, place = people.ip[who].copy(), people.place[who].copy()
    roam(tenant, people, who, begin, ip, place)
    rows = make(len(t), t=t, fn=fns[at], ip=np.repeat(ip, length), place=np.repeat(place, length))
    rows["user"][:] = np.repeat(people.user[who], length)
    return rows


def roam(tenant: Tenant, people: People, who: np.ndarray, begin: np.ndarray, ip: np.ndarray, place: np.ndarray) -> None:
    """Change address and place (in place) of sessions on phones, in cafes, behind a proxy or on a journey."""
    rng, n = tenant.rng, len(who)
    if tenant.apps[people.app].proxied:
        # a user mostly meets the same edge
        edge = np.where(rng.random(n) < 0.9, who % 8, rng.integers(0, 8, n))
        ip[:], place[:] = people.edges[edge], people.seats[edge]
    else:
        phone = rng.random(n) < 0.2
        ip[phone] = rng.choice(people.carrier, phone.sum())
        place[phone] = gateway(rng, place[phone])
        cafe = ~phone & (rng.random(n) < 0.03)
        ip[cafe] = tenant.addresses.single(int(cafe.sum()))
    for user, start, end, where, address in people.travellers:
        away = (who == user) & (begin >= start) & (begin < end)
        ip[away], place[away] = address, where


def pollers(tenant: Tenant, calendar: Calendar, people: People, per_day: float) -> Rows:
    """Mobile clients that ask one function every 15 to 40 s while open, their carrier's address changing midway."""
    rng, fns = tenant.rng, tenant.http(people.app)
    fn = int(rng.choice(fns))
    local = starts(rng, calendar, per_day / 25, people.hours, people.week)
    who = rng.choice(len(people.weight), size=len(local), p=people.weight)
    length = 5 + rng.geometric(1 / 20, len(local))
    step = np.arange(length.sum()) - np.repeat(np.cumsum(length) - length, length)
    period = np.repeat(rng.choice((15.0, 20.0, 40.0), len(local)), length)
    begin = np.repeat(local - UTC_OFFSET_S[people.place[who]], length) % calendar.end_s
    t = begin + step * period + rng.normal(0, 0.4, len(step))
    leg = np.cumsum(rng.random(len(step)) < 1 / 15)
    # the carrier's address changes now and then, and its city with it
    begun = np.concatenate([[True], (np.diff(leg) > 0) | (np.diff(step) < 0)])[: len(step)]
    turn = np.cumsum(begun) - 1
    ip = rng.choice(people.carrier, begun.sum())[turn]
    place = gateway(rng, np.repeat(people.place[who], length)[begun])[turn]
    return make(len(t), t=t, fn=fn, ip=ip, place=place, user=np.repeat(people.user[who], length), verb=0)


def peak(tenant: Tenant, calendar: Calendar, people: People, per_day: float, start: float) -> Rows:
    """A benign marketing peak: two hours in which sessions of old and new users come twice as often."""
    rng = tenant.rng
    n = rng.poisson(per_day / 24 * 2 * rng.uniform(1.0, 2.0))
    who = rng.integers(0, len(people.weight), n)
    begin = start + rng.beta(1.5, 2.5, n) * 2 * HOUR_S
    rows = walk(tenant, people, tenant.http(people.app), who, begin)
    return rows if size(rows) else concat([])
