"""What a tenant is made of: applications, functions, and how each is started."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from .durations import Durations
from .events import Array

#: HTTP methods; events refer to them by index
METHODS: Final = ("GET", "POST", "PUT", "DELETE", "PATCH", "HEAD", "OPTIONS")
#: time limits by plan, ms: Consumption's default, Consumption's most, Flex and Premium's default
TIME_LIMITS_MS: Final = (300_000.0, 600_000.0, 1_800_000.0)
#: a status of this or above and below 500 is the client's error
CLIENT_ERROR: Final = 400
#: a function that passes on more messages than this for one run is a batch; they come spread out
MANY: Final = 10.0


@dataclass(frozen=True)
class App:
    """A function app: one role in the logs, one pool of instances, one audience."""

    index: int
    name: str
    audience: str  #: a key of clock.CURVES
    shift_h: float  #: how much later than its audience's curve its people get up
    signed_in: bool  #: its code logs UserAuthenticatedId
    strangers: float  #: share of HTTP sessions by callers never seen before
    traces_query: bool  #: enableQueryStringTracing is on
    logs_version: bool  #: AppVersion is filled
    strips_quotes: bool  #: its FunctionAppLogs come as single-quoted pseudo-JSON
    time_limit_ms: float
    home: tuple[int, ...]  #: places of most of its callers; empty means anywhere


@dataclass(frozen=True)
class Function:
    """A function and how it behaves on a normal day."""

    index: int
    app: int
    name: str
    trigger: str  #: http, queue, servicebus, eventhub, blob, timer
    per_day: float  #: invocations of its own on a working day (0 for chained functions and timers)
    durations: Durations
    failure_rate: float = 0.002
    client_error_rate: float = 0.0
    client_codes: tuple[int, ...] = (404, 400)
    ok_code: int = 200
    method: int = 0
    path: str = ""
    items: bool = False  #: its path ends in a number
    source: str = ""  #: queue, topic/Subscriptions/name, container
    period_s: float = 0.0  #: a timer's period
    offset_s: float = 0.0  #: a timer's offset from midnight UTC (weekly: from Thursday, as the epoch)
    upstream: int = -1  #: function whose successes feed this one
    passes_on: float = 0.0  #: mean messages for each upstream success
    spread_s: float = 0.5  #: messages arrive within about this time after the upstream ends
    dependency: str = "sql"  #: what it leans on; its blips are shared
    hidden: bool = False  #: not there on normal days
    minutes: Array | None = None  #: float64 (480,), invocations a minute of a real function, tiled over the day


@dataclass(frozen=True)
class Tenant:
    """All apps and functions; ``functions[i].index == i``."""

    name: str
    apps: tuple[App, ...]
    functions: tuple[Function, ...]

    def of_app(self, app: int) -> list[Function]:
        """Functions of an app."""
        return [function for function in self.functions if function.app == app]

    def http(self, app: int | None = None) -> list[Function]:
        """HTTP functions of normal days, of one app or of all."""
        return [f for f in self.functions if f.trigger == "http" and not f.hidden and (app is None or f.app == app)]

    def downstream(self, function: int) -> list[Function]:
        """Functions fed by another."""
        return [f for f in self.functions if f.upstream == function]
