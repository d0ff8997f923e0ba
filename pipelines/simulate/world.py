"""All that a day is made from."""

from __future__ import annotations

from dataclasses import dataclass

from .calendar import Calendar
from .callers import Population
from .tenant import Tenant


@dataclass(frozen=True)
class World:
    """A tenant, its callers and its calendar, at a scale."""

    tenant: Tenant
    population: Population
    calendar: Calendar
    seed: int
    scale: float
    first_day: int
