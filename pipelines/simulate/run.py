"""Simulates a tenant day by day and writes its logs, with the truth about what was planted."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime, timezone
from pathlib import Path
from typing import Any, Final, Literal

import numpy as np
import pyarrow as pa

from models.errors import InputError

from . import catalogue, details, formats
from . import workload as real
from .calendar import plan
from .callers import populate
from .clock import DAY
from .events import Events, concat, empty
from .hosts import Hosts, place
from .normal import World, day_of
from .outcome import cut_at_limit
from .planting import CONTAMINATING, chosen, plant
from .rows import Placed, completion, invocation_ids, table
from .scenario import Scenario, alter, insert
from .seeds import stream

Format = Literal["parquet", "ndjson", "functionapplogs"]
Identity = Literal["full", "masked"]
Progress = Callable[[str, int, int], None]

FORMATS: Final = ("parquet", "ndjson", "functionapplogs")
IDENTITIES: Final = ("full", "masked")
FIRST_DAY: Final = date(2026, 6, 1)  #: a Monday, so that a week of training holds every weekday in order
REPLAY_SHARE: Final = 2 / 7  #: of the days, the last, are for replay
DUPLICATES: Final = 2e-4  #: share of rows that an export writes twice
MOST_DAYS: Final = 400


@dataclass(frozen=True)
class SimulationSummary:
    """What was written.

    Attributes:
        out: the folder.
        train_days: dates written to ``train``.
        replay_days: dates written to ``replay``.
        train_events: invocations in ``train`` (each counted once).
        replay_events: invocations in ``replay``.
        duplicates: rows written a second time.
        labelled: invocations of planted troubles in ``replay``.
        scenarios: as in scenarios.json.
        apps: number of apps.
        functions: number of functions.
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
    traces: bool = True,
    progress: Progress | None = None,
) -> SimulationSummary:
    """Write a labelled tenant's logs into a folder.

    Args:
        out: gets train/day=….parquet, replay/day=….parquet (or .ndjson), truth.parquet and scenarios.json;
            with ``traces`` also train/traces, train/exceptions and the same for replay.
        seed: the same seed gives the same bytes; another seed is another tenant.
        days: how many, of which the last are for replay.
        scale: 1 is about 100,000 invocations a day (160,000 with a workload).
        workload: folder of the 2019 Azure Functions tables, for real arrivals, triggers and durations.
        identity: ``full`` writes addresses and, for some apps, users; ``masked`` is Azure's default.
        format: ``parquet`` and ``ndjson`` hold AppRequests rows, ``functionapplogs`` the platform's own log.
        scenarios: all kinds of trouble, none, or those named.
        train_days: how many of the days go to ``train``; default all but two sevenths.
        start: first day.
        contaminate: share of attack events put into the training days (0 to 0.2).
        traces: write AppTraces and AppExceptions beside the requests.
        progress: called with (what, done, of) after each day.

    Raises:
        InputError: if an option is out of range or the workload can't be read.
    """
    _check(days, scale, identity, format, train_days, contaminate)
    training = max(0, days - max(1, round(days * REPLAY_SHARE))) if train_days is None else train_days
    kinds = chosen(scenarios)
    first_day = (datetime(start.year, start.month, start.day, tzinfo=timezone.utc).timestamp()) // 86_400
    tenant = catalogue.build(seed, scale) if workload is None else real.build(workload, seed, scale)
    calendar = plan(tenant, seed, int(first_day), days)
    world = World(tenant, populate(tenant, calendar, seed, scale), calendar, seed, scale, int(first_day))
    replay_start = (int(first_day) + training) * DAY
    planted = plant(world, kinds, replay_start, (int(first_day) + days) * DAY)
    tainted = _contamination(world, contaminate, training) if contaminate > 0 else []
    hosts, carried = Hosts(), empty()
    counts = {"train": 0, "replay": 0}
    duplicates = 0
    truth: list[pa.Table] = []
    tainted_truth: list[pa.Table] = []
    seen = [Seen() for _ in planted]
    names: dict[str, list[str]] = {"train": [], "replay": []}
    for number in range(days):
        part = "train" if number < training else "replay"
        midnight = (world.first_day + number) * DAY
        active = planted if part == "replay" else tainted
        events, carried = _day(world, number, carried, active)
        placed = _place(world, hosts, events, number)
        label = datetime.fromtimestamp(midnight // 1_000_000, tz=timezone.utc).date().isoformat()
        duplicates += _write(world, placed, out / part, label, number, format, identity == "masked", traces)
        rows = np.flatnonzero(placed.events.scenario >= 0)
        labels = [scenario.kind for scenario in active]
        found = pa.table(
            {
                "InvocationId": invocation_ids(placed).take(pa.array(rows)),
                "scenario": pa.array([labels[int(which)] for which in placed.events.scenario[rows]], pa.string()),
            }
        )
        (truth if part == "replay" else tainted_truth).append(found)
        if part == "replay":
            for which, one in enumerate(seen):
                one.add(placed.events.take(placed.events.scenario == which))
        counts[part] += len(placed.events)
        names[part].append(label)
        if progress is not None:
            progress(f"{part} {label}", number + 1, days)
    out.mkdir(parents=True, exist_ok=True)
    schema = pa.schema([("InvocationId", pa.string()), ("scenario", pa.string())])
    labelled = pa.concat_tables([schema.empty_table(), *truth])
    formats.write_parquet(labelled, out / "truth.parquet")
    if tainted:
        formats.write_parquet(pa.concat_tables([schema.empty_table(), *tainted_truth]), out / "contamination.parquet")
    described = tuple(_describe(scenario, one) for scenario, one in zip(planted, seen, strict=True))
    (out / "scenarios.json").write_text(
        json.dumps(list(described), indent=2, ensure_ascii=False) + "\n", encoding="utf-8"
    )
    return SimulationSummary(
        out=out,
        train_days=tuple(names["train"]),
        replay_days=tuple(names["replay"]),
        train_events=counts["train"],
        replay_events=counts["replay"],
        duplicates=duplicates,
        labelled=labelled.num_rows,
        scenarios=described,
        apps=len(tenant.apps),
        functions=sum(not function.hidden for function in tenant.functions),
    )


@dataclass
class Seen:
    """What a scenario left in the logs."""

    events: int = 0
    first: int | None = None
    last: int | None = None

    def add(self, events: Events) -> None:
        """Count the labelled events of a day."""
        if len(events):
            self.events += len(events)
            self.first = int(events.time.min()) if self.first is None else min(self.first, int(events.time.min()))
            self.last = int(events.time.max()) if self.last is None else max(self.last, int(events.time.max()))


def _check(days: int, scale: float, identity: str, format_: str, train_days: int | None, contaminate: float) -> None:
    for name, good, value, expected in (
        ("days", 1 <= days <= MOST_DAYS, days, f"1 to {MOST_DAYS}"),
        ("scale", 0 < scale <= 1000, scale, "more than 0, at most 1000"),
        ("identity", identity in IDENTITIES, identity, " or ".join(IDENTITIES)),
        ("format", format_ in FORMATS, format_, ", ".join(FORMATS)),
        ("train days", train_days is None or 0 <= train_days <= days, train_days, "0 to the number of days"),
        ("contaminate", 0 <= contaminate <= 0.2, contaminate, "a share from 0 to 0.2"),
    ):
        if not good:
            raise InputError(f"The option {name} is out of range.", expected=expected, received=str(value))


def _day(world: World, number: int, carried: Events, active: list[Scenario]) -> tuple[Events, Events]:
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


def _place(world: World, hosts: Hosts, events: Events, number: int) -> Placed:
    rng = stream(world.seed, "hosts", number)
    events = events.take(np.argsort(events.time, kind="stable"))
    host, worker = place(world, hosts, events, rng)
    cut_at_limit(world, events, rng)
    order = np.argsort(completion(events), kind="stable")
    invocation = rng.integers(1, 2**63, len(events), dtype=np.uint64)
    salt = int(stream(world.seed, "ids").integers(1, 2**40))
    return Placed(events.take(order), host[order], worker[order], invocation, salt)


def _write(
    world: World, placed: Placed, folder: Path, label: str, number: int, form: str, masked: bool, traces: bool
) -> int:
    """Write a day; returns how many rows were written twice."""
    if form == "functionapplogs":
        formats.write_function_app_logs(world, placed, folder / f"day={label}.ndjson")
        return 0
    rng = stream(world.seed, "rows", number)
    again = np.flatnonzero(rng.random(len(placed.events)) < DUPLICATES)
    rows = table(world, placed, masked=masked, rng=rng)
    rows = pa.concat_tables([rows, rows.take(pa.array(again))]).combine_chunks()
    write = formats.write_parquet if form == "parquet" else formats.write_lines
    ending = "parquet" if form == "parquet" else "ndjson"
    write(rows, folder / f"day={label}.{ending}")
    if traces:
        write(details.traces(world, placed).combine_chunks(), folder / "traces" / f"day={label}.{ending}")
        write(details.exceptions(world, placed).combine_chunks(), folder / "exceptions" / f"day={label}.{ending}")
    return len(again)


def _contamination(world: World, share: float, training: int) -> list[Scenario]:
    """Troubles for the training days that make up about ``share`` of their events."""
    expected = sum(function.per_day for function in world.tenant.functions) * max(training, 1)
    planted: list[Scenario] = []
    total = 0
    for round_ in range(200):
        if total >= expected * share or not training:
            break
        shifted = replace(world, seed=world.seed + 7919 * (round_ + 1))
        start = world.first_day * DAY
        more = plant(shifted, CONTAMINATING, start, start + training * DAY)
        planted.extend(more)
        total += sum(len(one.adds) for one in more if one.adds is not None)
    return planted


def _describe(scenario: Scenario, seen: Seen) -> dict[str, Any]:
    return {
        "name": scenario.kind,
        "kind": scenario.kind,
        "app": scenario.app,
        "function": scenario.function,
        "caller": scenario.caller,
        "start": _time(scenario.start),
        "end": _time(scenario.end),
        "first_event": _time(seen.first),
        "last_event": _time(seen.last),
        "events": seen.events,
    }


def _time(micros: int | None) -> str | None:
    if micros is None:
        return None
    return datetime.fromtimestamp(micros / 1_000_000, tz=timezone.utc).isoformat(timespec="milliseconds")
