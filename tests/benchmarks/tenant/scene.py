"""The stage on which trouble is played: the normal rows, who may be hit, and what was done."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from tests.benchmarks.tenant.estate import Tenant
from tests.benchmarks.tenant.geo import COUNTRY
from tests.benchmarks.tenant.people import Calendar
from tests.benchmarks.tenant.rows import DAY_S, HOUR_S, Rows, concat, make, size


@dataclass
class Scene:
    """A world before its weather, to which trouble adds rows or whose rows trouble changes."""

    tenant: Tenant
    calendar: Calendar
    rng: np.random.Generator
    rows: Rows
    masked: bool
    names: list[str] = field(default_factory=list)
    record: list[dict[str, Any]] = field(default_factory=list)
    hit: set[int] = field(default_factory=set)
    added: list[Rows] = field(default_factory=list)

    def __post_init__(self) -> None:
        """Count once what every trouble asks for."""
        order = np.argsort(self.rows["fn"], kind="stable")
        edges = np.searchsorted(self.rows["fn"][order], np.arange(len(self.tenant.fns) + 1))
        self._of = np.split(order, edges[1:-1])
        self.daily = np.diff(edges) / self.calendar.days
        app = self.tenant.column("app")
        self.sampled = np.array([self.tenant.apps[a].sampled > 1 for a in app])
        self.trigger = self.tenant.column("trigger")
        draws = [fn.draw_ms(np.random.default_rng(0), 1_000) for fn in self.tenant.fns]
        #: median, 84 % and 99.9 % quantile of each function's ordinary duration in ms, (F, 3)
        self.usual_ms = np.array([np.quantile(d, (0.5, 0.84, 0.999)) for d in draws])
        self.limit_ms = np.array([self.tenant.limit_ms(f) for f in range(len(self.tenant.fns))])

    def of(self, fn: int) -> np.ndarray:
        """Indices of the function's normal rows."""
        return self._of[fn]

    def label(self, name: str) -> int:
        """The label's number."""
        if name not in self.names:
            self.names.append(name)
        return self.names.index(name) + 1

    def choose(
        self,
        *triggers: str,
        least: float = 1.0,
        most: float = np.inf,
        avoid: bool = True,
        where: np.ndarray | None = None,
    ) -> int:
        """A function of the triggers with so many calls a day, where nothing else happens; bends where none fits."""
        fits = ~self.sampled & np.isin(self.trigger, triggers)
        if where is not None and (fits & where).any():
            fits &= where
        free = fits & (self.daily >= least) & (self.daily <= most)
        if avoid and (free & ~np.isin(np.arange(len(free)), list(self.hit))).any():
            free &= ~np.isin(np.arange(len(free)), list(self.hit))
        if not free.any():
            # the busiest that there is
            free = np.arange(len(fits)) == np.argmax(np.where(fits, self.daily, -1))
        fn = int(self.rng.choice(np.flatnonzero(free)))
        self.hit.add(fn)
        return fn

    def moment(self, length_s: float, fn: int | None = None) -> float:
        """A start in the test days so that ``length_s`` fits, at a time when the function is alive."""
        low, high = self.calendar.split_s + HOUR_S, self.calendar.end_s - length_s - HOUR_S
        if fn is not None:
            t = self.rows["t"][self.of(fn)]
            t = t[(t > low) & (t < high)]
            if len(t):
                return float(self.rng.choice(t))
        return float(self.rng.uniform(low, max(high, low + 1)))

    def at_local_hour(self, hour: float, place: int, utc_offset_s: float) -> float:
        """A start on one of the test days at a local hour."""
        day = self.calendar.train + int(self.rng.integers(self.calendar.days - self.calendar.train))
        return day * DAY_S + (hour * HOUR_S - utc_offset_s) % DAY_S

    def add(self, name: str, fn: Any, t: np.ndarray, **columns: Any) -> None:
        """New rows caused by the trouble."""
        inside = (t >= self.calendar.split_s) & (t < self.calendar.end_s)
        rows = make(len(t), t=t, fn=fn, label=self.label(name), **columns)
        self.added.append({k: v[inside] for k, v in rows.items()})

    def note(self, name: str, strength: float, fns: list[int], start: float, end: float, **more: Any) -> None:
        """Remember what was done, for the side file."""
        functions = [self.tenant.fns[f].name for f in fns]
        apps = sorted({self.tenant.apps[self.tenant.fns[f].app].name for f in fns})
        self.record.append(
            {
                "scenario": name,
                "strength": strength,
                "apps": apps,
                "functions": functions,
                "start_s": start,
                "end_s": end,
            }
            | more
        )

    def countries(self, fns: np.ndarray) -> set[str]:
        """Countries that call these functions on normal days."""
        seen = np.unique(self.rows["place"][np.isin(self.rows["fn"], fns) & (self.rows["place"] >= 0)])
        return set(COUNTRY[seen])

    def finish(self) -> Rows:
        """Normal rows and trouble together."""
        return concat([self.rows, *(a for a in self.added if size(a))])
