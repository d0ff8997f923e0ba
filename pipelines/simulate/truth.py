"""What was planted and what of it stands in the logs: truth.parquet and scenarios.json."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timezone
from pathlib import Path
from typing import Any, Final

import numpy as np
import pyarrow as pa

from .clock import SECOND
from .formats import write_parquet
from .rows import Placed, invocation_ids
from .scenario import Scenario

SCHEMA: Final = pa.schema([("InvocationId", pa.string()), ("scenario", pa.string())])


@dataclass
class Truth:
    """The labels of one part of the logs, gathered day by day."""

    scenarios: Sequence[Scenario]
    tables: list[pa.Table] = field(default_factory=list)
    events: list[int] = field(init=False)
    first: list[int | None] = field(init=False)
    last: list[int | None] = field(init=False)

    def __post_init__(self) -> None:
        self.events = [0] * len(self.scenarios)
        self.first = [None] * len(self.scenarios)
        self.last = [None] * len(self.scenarios)

    @property
    def labelled(self) -> int:
        """Invocations with a label so far."""
        return sum(self.events)

    def add(self, placed: Placed) -> None:
        """Take in a day."""
        rows = np.flatnonzero(placed.events.scenario >= 0)
        which = placed.events.scenario[rows]
        names = [self.scenarios[int(number)].kind for number in which]
        ids = invocation_ids(placed).take(pa.array(rows))
        self.tables.append(pa.table({"InvocationId": ids, "scenario": pa.array(names, pa.string())}, schema=SCHEMA))
        for number in np.unique(which):
            time = placed.events.time[rows[which == number]]
            first, last = self.first[number], self.last[number]
            self.events[number] += len(time)
            self.first[number] = int(time.min()) if first is None else min(first, int(time.min()))
            self.last[number] = int(time.max()) if last is None else max(last, int(time.max()))

    def write(self, path: Path) -> None:
        """InvocationId and scenario of each labelled invocation."""
        write_parquet([pa.concat_tables([SCHEMA.empty_table(), *self.tables]).combine_chunks()], path)

    def described(self) -> tuple[dict[str, Any], ...]:
        """Each scenario with its place, its window and what it left in the logs (silence leaves nothing)."""
        return tuple(
            {
                "name": scenario.kind,
                "kind": scenario.kind,
                "app": scenario.app,
                "function": scenario.function,
                "caller": scenario.caller,
                "start": written(scenario.start),
                "end": written(scenario.end),
                "first_event": written(self.first[number]),
                "last_event": written(self.last[number]),
                "events": self.events[number],
            }
            for number, scenario in enumerate(self.scenarios)
        )

    def write_scenarios(self, path: Path) -> None:
        """The description as JSON."""
        path.write_text(json.dumps(self.described(), indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


def written(micros: int | None) -> str | None:
    """A time as ISO text in UTC, to the millisecond."""
    if micros is None:
        return None
    return datetime.fromtimestamp(micros / SECOND, tz=timezone.utc).isoformat(timespec="milliseconds")
