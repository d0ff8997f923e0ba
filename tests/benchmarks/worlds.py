"""Worlds to judge a detector by: a tenant's AppRequests with trouble in them, and the truth about every invocation.

Nothing here is shared with ``lonetree simulate``: other people, other machines, other trouble.
Seeds 0 to 19 are for development; figures that are published come from seeds 100 and up.

    python -m tests.benchmarks.worlds OUT --seed 3 --identity masked --traffic ../shared/data/azure-functions-2019
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from tests.benchmarks.tenant import estate, machines, people, workload
from tests.benchmarks.tenant.extra import EXTRAS
from tests.benchmarks.tenant.rows import DAY_S, Rows, concat, take
from tests.benchmarks.tenant.scene import Scene
from tests.benchmarks.tenant.table import as_table, spoil
from tests.benchmarks.tenant.trouble import KINDS
from tests.benchmarks.tenant.weather import settle_outcomes

__all__ = ["EXTRAS", "KINDS", "World", "make_world", "write_world"]

#: with five days of training and two of test from these weekdays on, every kind of test day was seen before
FIRST_WEEKDAYS: Final = (2, 3, 4, 5, 6)
#: shares of a day's invocations by who causes them; what queues take up comes on top
SHARES: Final = {"shop": 0.30, "phones": 0.09, "office": 0.07, "partner": 0.12, "services": 0.12, "streams": 0.16}
FIRST_MONDAY: Final = "2026-02-02"


@dataclass(frozen=True)
class World:
    """A tenant's logs.

    train, test: AppRequests tables in order of arrival; copies and second rows included.
    truth: InvocationId -> scenario, for the invocations that trouble caused; all others are normal.
    clean: no trouble at all.
    record: what was done, one dict a trouble: scenario, strength, apps, functions, start and end (ISO, UTC), calls.
    """

    train: pa.Table
    test: pa.Table
    truth: dict[str, str]
    clean: bool
    record: list[dict[str, Any]]


def make_world(
    seed: int,
    *,
    days_train: int = 5,
    days_test: int = 2,
    identity: str = "full",
    traffic: str | Path = "simulated",
    events_per_day: int = 100_000,
    functions: int = 40,
    faults: bool = True,
    kinds: Sequence[str] | None = None,
) -> World:
    """A world, the same for the same arguments.

    Args:
        seed: any integer.
        days_train: days of normal life first.
        days_test: days in which trouble happens.
        identity: ``full`` logs addresses and users; ``masked`` shows 0.0.0.0 and no user, as Azure does by default.
        traffic: ``simulated``, or the folder of the 2019 workload's tables (all of its functions are used).
        events_per_day: about how many invocations a day.
        functions: how many functions (simulated traffic; at least 18).
        faults: False gives a clean world: the same life without any trouble.
        kinds: names out of KINDS and EXTRAS; None means the thirteen of KINDS.
    """
    if identity not in ("full", "masked"):
        raise ValueError(f"identity: expected full or masked, received {identity}")
    rng = np.random.default_rng([seed, 0x10E7])
    weekday = int(rng.choice(FIRST_WEEKDAYS))
    calendar = people.Calendar(days_train + days_test, days_train, weekday)
    begin = datetime.fromisoformat(FIRST_MONDAY).replace(tzinfo=timezone.utc)
    begin += timedelta(days=weekday + 7 * int(rng.integers(0, 16)))
    tenant = estate.found(rng)
    if traffic == "simulated":
        estate.build(tenant, functions)
        rows = simulated(tenant, calendar, events_per_day)
    else:
        counts = workload.read(tenant, Path(traffic))
        rows = workload.arrivals(tenant, calendar, counts, events_per_day)
        rows = concat([rows, machines.engineers(tenant, calendar)])
    rows = take(rows, (rows["t"] >= 0) & (rows["t"] < calendar.end_s))
    # trouble draws from a stream of its own: a clean world has the same tenant and the same normal calls
    scene = Scene(tenant, calendar, np.random.default_rng([seed, 0xBAD]), rows, identity == "masked")
    if faults:
        for name in kinds if kinds is not None else KINDS:
            (KINDS | EXTRAS)[name](scene, float(scene.rng.random()))
    tenant.rng = tenant.addresses.rng = np.random.default_rng([seed, 0x5EA])
    rows = settle_outcomes(tenant, calendar, scene.finish())
    rows, item_count = spoil(tenant, calendar, rows)
    return _split(scene, rows, item_count, begin, identity == "masked", clean=not faults)


def simulated(tenant: estate.Tenant, calendar: people.Calendar, per_day: float) -> Rows:
    """The normal rows of a tenant in which people, partners and machines call, about ``per_day`` a day."""
    rng, parts = tenant.rng, []
    shops, offices, partners = tenant.of("shop"), tenant.of("office"), tenant.of("partner")
    for app, share in zip(shops, rng.dirichlet(np.full(len(shops), 3.0)), strict=True):
        daily = SHARES["shop"] * per_day * share
        crowd = people.settle(tenant, calendar, app, max(20, int(daily / 6)), employees=False)
        parts.append(people.visits(tenant, calendar, crowd, daily / (crowd.calls + 1)))
        if rng.random() < 0.6:
            parts.append(people.pollers(tenant, calendar, crowd, SHARES["phones"] * per_day / len(shops)))
        if rng.random() < 0.6:
            start = rng.uniform(0, calendar.end_s - DAY_S / 8)
            parts.append(people.peak(tenant, calendar, crowd, daily / (crowd.calls + 1), start))
    for app in offices:
        daily = SHARES["office"] * per_day / len(offices)
        staff = people.settle(tenant, calendar, app, max(8, int(daily / 40)), employees=True)
        parts.append(people.visits(tenant, calendar, staff, daily / (staff.calls + 1)))
    for app in partners:
        parts += machines.partners(
            tenant, calendar, app, SHARES["partner"] * per_day / len(partners), int(rng.integers(3, 9))
        )
    parts.append(machines.services(tenant, calendar, SHARES["services"] * per_day))
    parts.append(machines.streams(tenant, calendar, SHARES["streams"] * per_day))
    parts += [machines.probes(tenant, calendar), machines.crawlers(tenant, calendar, 0.004 * per_day)]
    parts += [machines.timers(tenant, calendar), machines.engineers(tenant, calendar)]
    rows = concat(parts)
    rows = take(rows, (rows["t"] >= 0) & (rows["t"] < calendar.end_s))
    return concat([rows, machines.chain(tenant, rows)])


def _split(scene: Scene, rows: Rows, item_count: np.ndarray, begin: datetime, masked: bool, *, clean: bool) -> World:
    table, ids = as_table(scene.tenant, scene.calendar, rows, item_count, begin, masked=masked)
    bad = np.flatnonzero(rows["label"] > 0)
    names = np.array(["", *scene.names])[rows["label"][bad]]
    truth = dict(zip(ids.take(pa.array(bad)).to_pylist(), names.tolist(), strict=True))
    split = begin + timedelta(seconds=scene.calendar.split_s)
    early = pc.less(table["TimeGenerated"], pa.scalar(split, pa.timestamp("us", tz="UTC")))
    record = []
    for entry in scene.record:
        start, end = (begin + timedelta(seconds=entry[k]) for k in ("start_s", "end_s"))
        rest = {k: v for k, v in entry.items() if k not in ("start_s", "end_s")}
        record.append(rest | {"start": start.isoformat(), "end": end.isoformat()})
    return World(table.filter(early), table.filter(pc.invert(early)), truth, clean, record)


def write_world(world: World, folder: Path) -> None:
    """Write train/*.parquet and test/*.parquet (a file a day), truth.parquet and side.json into ``folder``."""
    for name, table in (("train", world.train), ("test", world.test)):
        (folder / name).mkdir(parents=True, exist_ok=True)
        day = pc.strftime(table["TimeGenerated"], "%Y-%m-%d")
        for value in pc.unique(day).to_pylist():
            pq.write_table(table.filter(pc.equal(day, value)), folder / name / f"requests-{value}.parquet")
    pq.write_table(truth_table(world), folder / "truth.parquet")
    (folder / "side.json").write_text(json.dumps(world.record, indent=1))


def truth_table(world: World) -> pa.Table:
    """InvocationId, scenario and TimeGenerated of every invocation that trouble caused."""
    ids = pc.struct_field(pc.extract_regex(world.test["Properties"], r'"InvocationId":"(?P<id>[^"]+)"'), "id")
    bad = pc.is_in(ids, value_set=pa.array(list(world.truth), pa.string()))
    first = dict(zip(ids.filter(bad).to_pylist(), world.test["TimeGenerated"].filter(bad).to_pylist(), strict=True))
    kinds = [("InvocationId", pa.string()), ("scenario", pa.string()), ("TimeGenerated", pa.timestamp("us", tz="UTC"))]
    names, scenarios = list(world.truth), list(world.truth.values())
    columns = {"InvocationId": names, "scenario": scenarios, "TimeGenerated": [first[k] for k in names]}
    return pa.table(columns, pa.schema(kinds))


def main(arguments: Sequence[str] | None = None) -> None:
    """Write one world to a folder."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("out", type=Path)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--identity", choices=("full", "masked"), default="full")
    parser.add_argument("--traffic", default="simulated")
    parser.add_argument("--events-per-day", type=int, default=100_000)
    parser.add_argument("--clean", action="store_true")
    parser.add_argument("--extras", action="store_true", help="the kinds beyond the thirteen instead")
    given = parser.parse_args(arguments)
    world = make_world(
        given.seed,
        identity=given.identity,
        traffic=given.traffic,
        events_per_day=given.events_per_day,
        faults=not given.clean,
        kinds=tuple(EXTRAS) if given.extras else None,
    )
    write_world(world, given.out)
    print(f"{given.out}: {world.train.num_rows} rows to train, {world.test.num_rows} to test, {len(world.truth)} bad")


if __name__ == "__main__":
    main()
