"""Simulates a tenant day by day and writes its logs, with the truth about what was planted."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any, Final

import numpy as np
import pyarrow as pa

from . import catalogue, details, formats
from . import workload as real
from .calendar import plan
from .callers import populate
from .clock import DAY
from .events import Events, concat, empty
from .hosts import Hosts, place
from .normal import day_of
from .options import FIRST_DAY, Format, Identity, Options, Progress, check
from .outcome import cut_at_limit
from .planting import contaminate as contamination
from .planting import plant
from .rows import Placed, by_worker, completion, table
from .scenario import Scenario, alter, insert
from .seeds import stream
from .text import mix
from .truth import Truth
from .world import World

DUPLICATES: Final = 2e-4  #: share of rows that come twice, by an export's retry or a worker's own row
PARTS: Final = ("train", "replay")
EPOCH: Final = date(1970, 1, 1)


@dataclass(frozen=True)
class SimulationSummary:
    """What was written.

    Attributes:
        out: the folder.
        train_days: dates written to ``train``, ISO.
        replay_days: dates written to ``replay``, ISO.
        train_events: invocations in ``train`` (each counted once).
        replay_events: invocations in ``replay``.
        duplicates: rows written a second time.
        labelled: invocations of planted troubles in ``replay``.
        scenarios: as in scenarios.json.
        apps: number of apps.
        functions: number of functions on normal days.
    """

    out: Path
    train_days: tuple[str, ...]
    replay_days: tuple[str, ...]
    train_events: int
    replay_events: int
    duplicates: int
    labelled: int
    scenarios: tuple[dict[str, Any], ...]
    apps: int
    functions: int


def simulate(
    out: Path,
    *,
    seed: int = 0,
    days: int = 7,
    scale: float = 1.0,
    workload: Path | None = None,
    identity: Identity = "full",
    format: Format = "parquet",  # noqa: A002 - the option's name on the command line
    scenarios: bool | Sequence[str] = True,
    train_days: int | None = None,
    start: date = FIRST_DAY,
    contaminate: float = 0.0,
    sampling: float = 1.0,
    traces: bool = True,
    progress: Progress | None = None,
) -> SimulationSummary:
    """Write a labelled tenant's logs into a folder; an earlier simulation there is replaced.

    Args:
        out: gets train/day=….parquet, replay/day=….parquet (or .ndjson), truth.parquet and scenarios.json;
            with ``traces`` also traces/ and exceptions/ inside of train and of replay.
        seed: the same seed gives the same bytes; another seed is another tenant.
        days: how many, of which the last are for replay.
        scale: 1 is about 100,000 invocations a day (160,000 with a workload).
        workload: folder of the 2019 Azure Functions tables, for real arrivals, triggers and durations.
        identity: ``full`` writes addresses and, for some apps, users; ``masked`` is Azure's default.
        format: ``parquet`` and ``ndjson`` hold AppRequests rows, ``functionapplogs`` the platform's own log.
        scenarios: all kinds of trouble, none, or those named; KINDS has the names.
        train_days: how many of the days go to ``train``; default all but two sevenths.
        start: first day, UTC.
        contaminate: share of attack events in the training days (0 to 0.2); contamination.parquet says which.
        sampling: share of operations that are logged, each row with ItemCount 1/sampling.
        traces: write AppTraces and AppExceptions beside the requests.
        progress: called with (what, done, of) after each day.

    Raises:
        InputError: if an option is out of range or the workload can't be read.
    """
    options = check(
        seed=seed,
        days=days,
        scale=scale,
        workload=workload,
        identity=identity,
        format=format,
        scenarios=scenarios,
        train_days=train_days,
        start=start,
        contaminate=contaminate,
        sampling=sampling,
        traces=traces,
    )
    world = build(options)
    replay_start = (world.first_day + options.train_days) * DAY
    kinds = options.kinds if options.train_days < days else ()
    truths = {
        "train": Truth(contamination(world, options.contaminate, options.train_days)),
        "replay": Truth(plant(world, kinds, replay_start, (world.first_day + days) * DAY)),
    }
    _clear(out)
    hosts, carried, duplicates = Hosts(), empty(), 0
    counts = dict.fromkeys(PARTS, 0)
    names: dict[str, list[str]] = {part: [] for part in PARTS}
    for number in range(days):
        part = "train" if number < options.train_days else "replay"
        events, carried = _day(world, number, carried, truths[part].scenarios)
        placed = _place(world, hosts, events, number, options.sampling)
        label = date.fromordinal(start.toordinal() + number).isoformat()
        duplicates += _write(world, placed, out / part, label, number, options)
        truths[part].add(placed)
        counts[part] += len(placed.events)
        names[part].append(label)
        if progress is not None:
            progress(f"{part} {label}", number + 1, days)
    truths["replay"].write(out / "truth.parquet")
    truths["replay"].write_scenarios(out / "scenarios.json")
    if options.contaminate > 0:
        truths["train"].write(out / "contamination.parquet")
    return SimulationSummary(
        out=out,
        train_days=tuple(names["train"]),
        replay_days=tuple(names["replay"]),
        train_events=counts["train"],
        replay_events=counts["replay"],
        duplicates=duplicates,
        labelled=truths["replay"].labelled,
        scenarios=truths["replay"].described(),
        apps=len(world.tenant.apps),
        functions=sum(not function.hidden for function in world.tenant.functions),
    )


def build(options: Options) -> World:
    """The tenant, its calendar and its callers.

    Raises:
        InputError: if the workload can't be read.
    """
    seed, scale = options.seed, options.scale
    first_day = (options.start - EPOCH).days
    folder = options.workload
    tenant = catalogue.build(seed, scale) if folder is None else real.build(folder, seed, scale)
    calendar = plan(tenant, seed, first_day, options.days)
    return World(tenant, populate(tenant, calendar, seed, scale), calendar, seed, scale, first_day)


def _clear(out: Path) -> None:
    """Remove the day files of an earlier simulation, or they would be read with the new ones; nobody else's files."""
    for part in PARTS if (out / "scenarios.json").is_file() else ():
        for old in sorted((out / part).glob("**/day=*")):
            if old.is_file():
                old.unlink()
    (out / "contamination.parquet").unlink(missing_ok=True)
    out.mkdir(parents=True, exist_ok=True)


def _day(world: World, number: int, carried: Events, active: Sequence[Scenario]) -> tuple[Events, Events]:
    """A day's events, and those that ran past midnight."""
    midnight = (world.first_day + number) * DAY
    events = concat([carried, day_of(world, number)])
    tomorrow = events.time >= midnight + DAY
    events, later = events.take(~tomorrow), events.take(tomorrow)
    for which, scenario in enumerate(active):
        events = insert(events, scenario, which, midnight)
        if scenario.start < midnight + DAY and scenario.end > midnight:
            events = alter(events, scenario, which, stream(world.seed, "alter", scenario.kind, number))
    return events, later


def _place(world: World, hosts: Hosts, events: Events, number: int, sampling: float) -> Placed:
    """The day's events on their hosts, cut at the time limit, sampled, in the order in which their rows are written."""
    rng = stream(world.seed, "hosts", number)
    events = events.take(np.argsort(events.time, kind="stable"))
    host, worker = place(world, hosts, events, rng)
    cut_at_limit(world, events, rng)
    order = np.argsort(completion(events), kind="stable")
    if sampling < 1:
        # Application Insights keeps or drops whole operations
        order = order[mix(events.operation[order], 0) / 2.0**64 < sampling]
    ids = stream(world.seed, "invocations", number).integers(1, 2**63, len(order), dtype=np.uint64)
    salt = int(stream(world.seed, "ids").integers(1, 2**40))
    return Placed(events.take(order), host[order], worker[order], ids, salt, round(1 / sampling))


def _write(world: World, placed: Placed, folder: Path, label: str, number: int, options: Options) -> int:
    """Write a day; returns how many rows were written twice."""
    if options.format == "functionapplogs":
        formats.write_function_app_logs(world, placed.parts(), folder / f"day={label}.ndjson")
        return 0
    masked = options.identity == "masked"
    again = np.flatnonzero(stream(world.seed, "again", number).random(len(placed.events)) < DUPLICATES)

    def rows() -> Iterator[pa.Table]:
        for part in placed.parts():
            yield table(world, part, masked=masked)
        twice = table(world, placed.take(again), masked=masked)
        yield pa.concat_tables([twice.slice(0, len(again) // 2), by_worker(twice.slice(len(again) // 2))])

    ending = "parquet" if options.format == "parquet" else "ndjson"
    write = formats.write_parquet if options.format == "parquet" else formats.write_lines
    write(rows(), folder / f"day={label}.{ending}")
    if options.traces:
        for name, make in (("traces", details.traces), ("exceptions", details.exceptions)):
            write((make(world, part) for part in placed.parts()), folder / name / f"day={label}.{ending}")
    return len(again)
