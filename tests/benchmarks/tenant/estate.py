"""The estate of one tenant: its apps and functions, what they are for and how long they take."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

import numpy as np

from tests.benchmarks.tenant.geo import COUNTRY, HOMES, PLACES, REGION, Addresses

#: what an app is for decides who calls it
KINDS: Final = ("shop", "partner", "office", "pipeline", "mesh")
WORDS: Final = (
    "Basket", "Ledger", "Parcel", "Quote", "Ticket", "Invoice", "Voucher", "Roster", "Claim", "Catalog", "Stock",
    "Route", "Refund", "Profile", "Consent", "Meter", "Tariff", "Booking", "Asset", "Report", "Digest", "Thumbnail",
    "Mandate", "Payout", "Reading", "Notice", "Archive", "Survey", "Contract", "Signal"
)  # fmt: skip
ACTIONS: Final = (
    "Get", "List", "Create", "Update", "Find", "Sync", "Import", "Export", "Check", "Submit", "Resolve", "Build",
    "Send", "Merge", "Close"
)  # fmt: skip
#: triggers of an app's functions in the order in which they are added
MAKE_UP: Final = {
    "shop": ("http", "http", "http", "queue", "http", "timer", "http", "http"),
    "partner": ("http", "http", "servicebus", "http", "timer", "http"),
    "office": ("http", "http", "http", "timer", "http", "blob"),
    "pipeline": ("queue", "eventhub", "timer", "blob", "servicebus", "timer", "queue"),
    "mesh": ("http", "other", "http", "queue", "other", "timer"),
}
#: functionTimeout in ms that plans give (Consumption default and maximum, others' default)
LIMITS_MS: Final = (300_000.0, 600_000.0, 1_800_000.0)
#: an HTTP response is cut here whatever the plan
HTTP_LIMIT_MS: Final = 230_000.0
TIMER_PERIODS_S: Final = (300.0, 600.0, 900.0, 1_800.0, 3_600.0, 3_600.0, 21_600.0, 86_400.0)


@dataclass
class App:
    """One function app."""

    name: str
    kind: str
    limit_ms: float
    auth: bool = False  # fills UserAuthenticatedId
    proxied: bool = False  # stands behind a CDN: addresses are the proxy's
    sampled: float = 1.0  # mean ItemCount
    isolated: bool = False  # its worker writes a second row now and then
    versioned: bool = False  # AppVersion is logged
    fns: list[int] = field(default_factory=list)


@dataclass
class Function:
    """One function. Durations: ``modes`` (weight, median ms, log sigma), or quantiles measured elsewhere."""

    app: int
    name: str
    trigger: str
    source: str = ""  # queue, topic or container
    period_s: float = 0.0  # timers
    modes: tuple[tuple[float, float, float], ...] = ((1.0, 50.0, 0.4),)
    quantiles: tuple[np.ndarray, np.ndarray] | None = None
    fail: float = 1e-4  # share that throws on a good day
    client_error: float = 0.0  # share of 4xx answers
    error_code: int = 404
    route: int = -1  # index into Tenant.paths
    writes: float = 0.2  # share of POST and PUT
    dependency: int = -1  # what it leans on; -1 nothing that matters

    def draw_ms(self, rng: np.random.Generator, n: int) -> np.ndarray:
        """``n`` durations in ms, as on a good day."""
        if self.quantiles is not None:
            return np.interp(rng.random(n), *self.quantiles)
        weights = np.array([m[0] for m in self.modes])
        which = rng.choice(len(self.modes), size=n, p=weights / weights.sum())
        medians, sigmas = np.array([m[1] for m in self.modes]), np.array([m[2] for m in self.modes])
        return medians[which] * np.exp(rng.standard_normal(n) * sigmas[which])


@dataclass
class Tenant:
    """Everything that is fixed about a tenant, and the name tables that rows point into."""

    rng: np.random.Generator
    apps: list[App]
    fns: list[Function]
    addresses: Addresses
    home: np.ndarray  # place indices of the customers, most common first
    home_p: np.ndarray
    datacentre: int  # place index
    paths: list[str] = field(default_factory=list)  # "{}" stands for a resource id
    users: list[str] = field(default_factory=list)
    versions: list[str] = field(default_factory=list)
    releases: list[tuple[int, float]] = field(default_factory=list)  # (app, seconds) that trouble asked for

    def path(self, template: str) -> int:
        """Index of a path template, added where it is new."""
        if template in self.paths:
            return self.paths.index(template)
        self.paths.append(template)
        return len(self.paths) - 1

    def add_users(self, n: int, prefix: str) -> np.ndarray:
        """Indices of ``n`` new authenticated names."""
        start = len(self.users)
        self.users.extend(f"{prefix}-{int(k):08x}" for k in self.rng.integers(0, 2**32, n))
        return np.arange(start, start + n, dtype=np.int32)

    def of(self, kind: str) -> list[int]:
        """Indices of the apps of a kind."""
        return [i for i, app in enumerate(self.apps) if app.kind == kind]

    def limit_ms(self, fn: int) -> float:
        """After so many ms a call is killed; a function known to take longer over HTTP answers before it is done."""
        function = self.fns[fn]
        plan = self.apps[function.app].limit_ms
        longest = 0.0 if function.quantiles is None else float(function.quantiles[1][-1])
        return min(plan, HTTP_LIMIT_MS) if function.trigger == "http" and longest < HTTP_LIMIT_MS else plan

    def http(self, app: int) -> np.ndarray:
        """Indices of an app's HTTP functions."""
        return np.array([f for f in self.apps[app].fns if self.fns[f].trigger == "http"], np.int32)

    def column(self, name: str) -> np.ndarray:
        """One attribute of every function, as an array (F,)."""
        return np.array([getattr(f, name) for f in self.fns])


def found(rng: np.random.Generator) -> Tenant:
    """A tenant without apps: a home region, its cities, a data centre."""
    region = str(rng.choice(HOMES))
    cities = rng.permutation(np.flatnonzero(region == REGION))
    weights = rng.dirichlet(np.linspace(4.0, 0.4, len(cities)))
    # few customers come from the rest of the civilised world, none from the far places
    others = rng.choice(np.flatnonzero((region != REGION) & (REGION != "far")), size=4, replace=False)
    home = np.concatenate([cities, others]).astype(np.int32)
    home_p = np.concatenate([weights * 0.98, np.full(4, 0.005)])
    order = np.argsort(-home_p, kind="stable")
    return Tenant(rng, [], [], Addresses(rng), home[order], home_p[order], int(rng.choice(cities)))


def build(tenant: Tenant, functions: int) -> None:
    """Give the tenant about five functions an app, every kind of app at least once."""
    rng = tenant.rng
    n_apps = max(len(KINDS), round(functions / 5))
    kinds = list(KINDS) + [str(k) for k in rng.choice(KINDS, n_apps - len(KINDS), p=(0.3, 0.25, 0.1, 0.2, 0.15))]
    words = rng.permutation(list(WORDS) * (1 + n_apps // len(WORDS)))
    prefix = "".join(rng.choice(list("bcdfgklmnprstv"), 3))
    for k, kind in enumerate(kinds):
        tenant.apps.append(App(f"{prefix}-{words[k].lower()}-{kind}{k}", kind, float(rng.choice(LIMITS_MS))))
    shares = np.maximum(3, np.round(rng.dirichlet(np.full(n_apps, 6.0)) * functions)).astype(int)
    while shares.sum() > max(functions, 3 * n_apps):
        shares[np.argmax(shares)] -= 1
    dependencies = 4
    for a, app in enumerate(tenant.apps):
        make_up = MAKE_UP[app.kind]
        for k in range(int(shares[a])):
            add_function(tenant, a, make_up[k % len(make_up)], str(words[(a * 3 + k) % len(words)]), dependencies)
    for app in tenant.apps:
        app.auth = app.kind == "office" or bool(rng.random() < 0.35)
        app.isolated, app.versioned = bool(rng.random() < 0.3), bool(rng.random() < 0.3)
    tenant.apps[tenant.of("shop")[0]].auth = True
    tenant.apps[int(rng.choice(tenant.of("shop")))].proxied = bool(rng.random() < 0.5)
    sampled = tenant.of("shop")[1:] + tenant.of("mesh")[1:]
    if sampled and rng.random() < 0.6:
        tenant.apps[int(rng.choice(sampled))].sampled = float(rng.uniform(2.0, 6.0))


def add_function(tenant: Tenant, app: int, trigger: str, word: str, dependencies: int) -> int:
    """Draw one function's nature and add it; returns its index."""
    rng = tenant.rng
    action = str(rng.choice(ACTIONS))
    name = f"{action}{word}"
    if any(f.name == name for f in tenant.fns):
        name += str(len(tenant.fns))
    base = float(np.exp(rng.normal(4.2 if trigger == "http" else 5.2, 1.0)))
    modes = [(1.0, base, float(rng.uniform(0.15, 0.5)))]
    if rng.random() < 0.5:  # large payloads are a mode of their own
        modes.append((float(rng.uniform(0.03, 0.4)), base * float(rng.uniform(3, 12)), float(rng.uniform(0.15, 0.5))))
    if rng.random() < 0.3:  # answered from a cache
        modes.append((float(rng.uniform(0.2, 1.0)), base * float(rng.uniform(0.05, 0.3)), 0.25))
    made = Function(app, name, trigger, modes=tuple(modes), fail=float(np.exp(rng.uniform(np.log(2e-5), np.log(4e-3)))))
    if rng.random() < 0.5:
        made.dependency = int(rng.integers(dependencies))
    if trigger == "http":
        made.client_error = float(np.exp(rng.uniform(np.log(5e-4), np.log(0.03))))
        made.error_code = int(rng.choice((404, 404, 400, 409, 422, 401)))
        made.writes = float(rng.choice((0.0, 0.1, 0.9)))
        made.route = tenant.path(f"/api/{word.lower()}/{{}}" if rng.random() < 0.6 else f"/api/{name.lower()}")
    elif trigger == "timer":
        made.period_s = float(rng.choice(TIMER_PERIODS_S))
    elif trigger != "other":
        made.source = f"{word.lower()}-{trigger[:3]}{len(tenant.fns)}"
    tenant.fns.append(made)
    tenant.apps[app].fns.append(len(tenant.fns) - 1)
    return len(tenant.fns) - 1


def far_places(tenant: Tenant) -> np.ndarray:
    """Place indices of countries where nobody of this tenant lives."""
    known = set(COUNTRY[tenant.home])
    return np.array([i for i, p in enumerate(PLACES) if p.country not in known and p.region == "far"], np.int32)
