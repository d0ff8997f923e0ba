"""A tenant whose arrivals, triggers and durations are those of the 2019 Azure Functions tables.

The tables are a sample with one function an owner, eight hours of a day. Functions are grouped into apps of a few,
and the hours are tiled to days with a day curve for what people start; timers keep their beat.
"""

from __future__ import annotations

import csv
from dataclasses import replace
from pathlib import Path
from typing import Final

import numpy as np

from models.errors import InputError

from .catalogue import hidden
from .durations import Percentiles
from .events import Array
from .places import PLACES, WEIGHT
from .seeds import stream
from .tenant import TIME_LIMITS_MS, App, Function, Tenant

FIRST_MINUTE: Final = 480  #: the tables' first minute of the day
TABLE_MINUTES: Final = 480  #: and how many there are
FUNCTIONS_AN_APP: Final = 4
BUSIEST: Final = (
    8_000.0  #: most invocations in the table's hours of one function at scale 1, or it would be all the traffic
)
SHARES: Final = (0.0, 0.01, 0.25, 0.5, 0.75, 0.99, 1.0)
TRIGGERS: Final = {
    "http": "http",
    "queue": "queue",
    "timer": "timer",
    "orchestration": "orchestration",
    "storage": "blob",
    "event": "eventhub",
    "others": "eventhub",
}


def _read(path: Path) -> list[dict[str, str]]:
    if not path.is_file():
        raise InputError(
            "The workload can't be read.",
            expected="a folder with invocations.csv and durations.csv of the 2019 Azure Functions tables",
            received=str(path),
        )
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def _durations(row: dict[str, str] | None) -> Percentiles:
    if row is None:
        return Percentiles((0.0, 0.5, 1.0), (5.0, 100.0, 5000.0))
    values = [float(row[f"percentile_Average_{int(share * 100)}"]) for share in SHARES]
    ends = [min(values[0], float(row["Minimum"])), *values[1:-1], max(values[-1], float(row["Maximum"]))]
    return Percentiles(SHARES, tuple(float(v) for v in np.maximum.accumulate(ends)))


def _minutes(row: dict[str, str], trigger: str, scale: float) -> Array:
    counts = np.array([float(row[str(FIRST_MINUTE + minute)] or 0) for minute in range(TABLE_MINUTES)])
    thin = min(1.0, BUSIEST / max(counts.sum(), 1.0))
    if trigger == "timer":
        return np.where(counts > 1, np.maximum(1, np.round(counts * thin * min(scale, 1.0))), counts)
    return np.asarray(counts * thin * (scale if counts.sum() * scale > TABLE_MINUTES / 20 else 1.0))


def build(folder: Path, seed: int, scale: float) -> Tenant:
    """The tenant of a folder of tables.

    Raises:
        InputError: if the tables are missing or not of that shape.
    """
    rows = _read(folder / "invocations.csv")
    try:
        durations = {row["HashFunction"]: row for row in _read(folder / "durations.csv")}
        kinds = [TRIGGERS.get(row["Trigger"], "eventhub") for row in rows]
        tables = [_minutes(row, kind, scale) for row, kind in zip(rows, kinds, strict=True)]
        models = [_durations(durations.get(row["HashFunction"])) for row in rows]
    except (KeyError, ValueError) as error:
        raise InputError(
            "The workload's tables have another shape.",
            expected="columns HashFunction, Trigger, 480 to 959 and percentile_Average_0 to _100",
            received=repr(error),
        ) from error
    rng = stream(seed, "workload")
    order = rng.permutation(len(rows))
    apps: list[App] = []
    functions: list[Function] = []
    models_of: list[Percentiles] = [models[index] for index in order]
    for place, row_index in enumerate(order):
        row, kind = rows[row_index], kinds[row_index]
        if place % FUNCTIONS_AN_APP == 0:
            home = int(rng.choice(len(PLACES), p=WEIGHT / WEIGHT.sum()))
            near = tuple(i for i, p in enumerate(PLACES) if p.country == PLACES[home].country)
            audience = str(rng.choice(["public", "customers", "partners", "internal"], p=[0.25, 0.3, 0.3, 0.15]))
            apps.append(
                App(
                    index=len(apps),
                    name=f"app-{row['HashApp'][:8]}",
                    audience=audience,
                    shift_h=float(rng.normal(0.0, 0.7)),
                    signed_in=bool(rng.random() < 0.35),
                    strangers={"public": 0.4, "customers": 0.05}.get(audience, 0.0),
                    traces_query=bool(rng.random() < 0.2),
                    logs_version=bool(rng.random() < 0.35),
                    strips_quotes=len(apps) == 3,
                    time_limit_ms=TIME_LIMITS_MS[int(rng.choice(3, p=[0.4, 0.3, 0.3]))],
                    home=near if audience == "internal" else (),
                )
            )
        name = f"{row['Trigger']}-{row['HashFunction'][:6]}"
        functions.append(
            Function(
                index=len(functions),
                app=len(apps) - 1,
                name=name,
                trigger=kind,
                per_day=float(tables[row_index].sum()) * 3,
                durations=models[row_index],
                failure_rate=float(np.exp(rng.normal(np.log(0.002), 1.0))),
                client_error_rate=float(rng.choice([0.0, 0.004, 0.02, 0.05])) if kind == "http" else 0.0,
                client_codes=((404, 400), (400, 409), (401, 403, 400))[int(rng.integers(3))],
                method=int(rng.integers(0, 2)),
                path=f"/api/{name}" if kind == "http" else "",
                items=kind == "http" and bool(rng.random() < 0.3),
                source=f"{kind}-{row['HashFunction'][6:10]}" if kind in ("queue", "blob") else "",
                dependency=str(rng.choice(["sql", "storage", "cache", "crm", "none"])),
                minutes=tables[row_index],
            )
        )
    functions.append(hidden(rng, tuple(apps), len(functions)))
    limited = []
    for app in apps:
        longest = max(max(models_of[f.index].values_ms) for f in functions if f.app == app.index and not f.hidden)
        enough = [limit for limit in TIME_LIMITS_MS if limit > longest] or [TIME_LIMITS_MS[-1]]
        limited.append(replace(app, time_limit_ms=max(app.time_limit_ms, enough[0])))
    return Tenant("workload", tuple(limited), tuple(functions))
