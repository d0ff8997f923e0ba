"""The graph as one object: the folds and timelines that Beam drives on a cluster, driven here on one machine.

    push ─► function timelines ─► caller timelines ─► incident timeline ─► advance gives verdicts and incidents

Pure: no network, no files, no clock of its own. The same rows and the same end give what ``replay`` gives, to the bit.
docs/decisions/0012 says why this exists beside Beam.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

import pyarrow as pa
import pyarrow.compute as pc

from detectors.expectations import part_suppressed
from detectors.local import Stage
from detectors.order import split, with_at
from detectors.timeline import END, START, Tables, Timeline, counts_of, lag_of
from models.errors import InputError
from pipelines.carry_over import carried_over
from pipelines.watermarks import DEFAULT_IDLE_US, DEFAULT_LATENESS_US, SourceClock, slowest

if TYPE_CHECKING:
    from pipelines.graph import Plan

#: rows held back at which a source that is still reading its backlog no longer waits for its end: bounded memory
MAX_PENDING_ROWS: Final = 2_000_000
#: us; the watermark moves in steps no finer than this while a source is being read, since each costs some milliseconds
GRID_US: Final = 500_000
#: bool column of scored rows: False for those that no incident can want
_CANDIDATE: Final = "candidate"


@dataclass
class Given:
    """What an advance gave."""

    #: batches of scored rows
    verdicts: list[pa.RecordBatch] = field(default_factory=list)
    #: tellings of incidents, in order; ``incident_id`` and ``revision`` tell each from all others
    incidents: list[dict[str, Any]] = field(default_factory=list)
    #: tellings of incidents that people's feedback expects, which are not to be sent
    suppressed: list[dict[str, Any]] = field(default_factory=list)


class Engine:
    """Rows of live sources to verdicts and incidents.

    Args:
        plan: the folds; one with an incident timeline.
        sources: names of the sources; the watermark is that of the slowest.
        shards: of the first two stages; never changes a result.
        lateness_us: how far rows may be out of order without being late.
        idle_us: a source from which nothing came for so long holds nobody back; None: it waits for ever.
        max_pending_rows: rows held back for a source that is still reading its backlog.
    """

    def __init__(
        self,
        plan: Plan,
        sources: Iterable[str] = ("source",),
        *,
        shards: int = 1,
        lateness_us: int = DEFAULT_LATENESS_US,
        idle_us: int | None = DEFAULT_IDLE_US,
        max_pending_rows: int = MAX_PENDING_ROWS,
    ) -> None:
        self.shards = shards
        self._plan = plan
        self._max_pending = max_pending_rows
        self.clocks = {name: SourceClock(lateness_us, idle_us) for name in sources}
        self._stages = _stages(plan)
        self._rows = _timelines(self._stages, shards)
        #: no row below is waited for any more, us
        self.watermark_us = START
        #: the end was reached: whatever comes now is late
        self.ended = False

    def push(self, source: str, rows: pa.RecordBatch, claimed_us: int | None, now_us: int) -> pa.RecordBatch:
        """Take rows as conform gives them, in any order.

        Args:
            source: whose they are.
            rows: of INVOCATION; may be empty.
            claimed_us: ``watermark_us`` of the piece they came in.
            now_us: the clock.

        Returns:
            The rows as they were taken, for ``again``.
        """
        rows = with_at(rows)
        self.clocks[source].saw(rows, claimed_us, now_us)
        if self._plan.columns:
            rows = rows.select([name for name in self._plan.columns if name in rows.schema.names])
        self._push(0, rows)
        return rows

    def again(self, rows: pa.RecordBatch) -> None:
        """Take rows that ``push`` gave where the state was saved; the clocks are saved for themselves."""
        self._push(0, rows)

    def polled(self, source: str, idle: bool, now_us: int) -> None:
        """A source has given all it has for now; ``idle``: there is nothing more, and it is well."""
        self.clocks[source].polled(idle, now_us)

    def relieve(self, now_us: int) -> bool:
        """Where too much is held back, let sources that still read their backlog move on; whether that was so."""
        if self.pending() < self._max_pending:
            return False
        for clock in self.clocks.values():
            clock.polled(False, now_us)
        return True

    def due(self, grid_us: int = GRID_US) -> bool:
        """Whether the sources have moved on by so much that ``advance`` is worth its cost."""
        return slowest(self.clocks.values()) - self.watermark_us >= grid_us

    def advance(self) -> Given:
        """Judge what the slowest source vouches for."""
        return self._advance(slowest(self.clocks.values()))

    def advance_to(self, watermark_us: int) -> Given:
        """Judge what lies below a watermark, whatever the sources say: one that ``advance`` reached, once again."""
        return self._advance(watermark_us)

    def finish(self) -> Given:
        """Judge all that is there, as at the end of a replay. Nothing can follow."""
        self.ended = True
        return self._advance(END)

    def pending(self) -> int:
        """Rows of the first stage held back."""
        return sum(timeline.pending() for timeline in self._rows[0])

    def counts(self) -> dict[str, int]:
        """What was counted so far, snapshots included: ``late``, and the counts of the folds."""
        found = {"late": sum(timeline.late for timeline in self._rows[0])}
        for row in self._rows:
            for timeline in row:
                for name, count in counts_of(timeline.fold).items():
                    found[name] = found.get(name, 0) + count
        return found

    def swap(self, plan: Plan) -> None:
        """Judge with another model from here on; what lives (windows, known callers, open stories) is carried over.

        Raises:
            Exception: whatever the new folds raise; the old ones stay as they were.
        """
        stages = _stages(plan)
        fresh = _timelines(stages, self.shards)
        for row, old in zip(fresh, self._rows, strict=True):
            for timeline, before in zip(row, old, strict=True):
                timeline.restore(carried_over(before.snapshot(), timeline.snapshot()))
        self._plan, self._stages, self._rows = plan, stages, fresh

    def snapshot(self) -> Tables:
        """The state of all timelines as plain tables, named stage/shard/table."""
        return {
            f"{stage.name}/{number}/{name}": table
            for stage, row in zip(self._stages, self._rows, strict=True)
            for number, timeline in enumerate(row)
            for name, table in timeline.snapshot().items()
        }

    def marks(self) -> dict[str, Any]:
        """The rest of the state, as JSON data: shards, watermark, and where each source's clock is."""
        return {
            "shards": self.shards,
            "watermark_us": self.watermark_us,
            "ended": self.ended,
            "clocks": {name: clock.to_json() for name, clock in self.clocks.items()},
        }

    def restore(self, tables: Mapping[str, pa.Table], marks: Mapping[str, Any], *, other_model: bool = False) -> None:
        """Take over ``snapshot`` and ``marks``.

        Args:
            tables: the snapshot.
            marks: what ``marks`` gave with it.
            other_model: it is that of another version; what only this one's training knew is kept, too.

        Raises:
            InputError: it was made with another number of shards.
        """
        if marks["shards"] != self.shards:
            raise InputError(
                "The saved state is of another shape.",
                expected=f"{self.shards} shards",
                received=str(marks["shards"]),
                hint="Start with the number of shards that it was saved with.",
            )
        for stage, row in zip(self._stages, self._rows, strict=True):
            for number, timeline in enumerate(row):
                mine = f"{stage.name}/{number}/"
                saved = {name.removeprefix(mine): table for name, table in tables.items() if name.startswith(mine)}
                timeline.restore(carried_over(saved, timeline.snapshot()) if other_model else saved)
        self.mark(marks)

    def mark(self, marks: Mapping[str, Any]) -> None:
        """Take over ``marks`` alone."""
        self.watermark_us, self.ended = int(marks["watermark_us"]), bool(marks["ended"])
        for name, saved_clock in marks["clocks"].items():
            if name in self.clocks:
                self.clocks[name].restore(saved_clock)

    def _push(self, level: int, rows: pa.RecordBatch) -> None:
        for shard, part in split(rows, self._stages[level].key, len(self._rows[level])).items():
            self._rows[level][shard].push(part)

    def _advance(self, watermark_us: int) -> Given:
        given = Given()
        self.watermark_us = max(watermark_us, self.watermark_us)
        if watermark_us == START:
            return given
        functions, callers, (incidents,) = self._rows
        for timeline in functions:
            for rows in timeline.advance(watermark_us):
                self._push(1, rows)
            for raised in timeline.take_raised():
                incidents.push(raised)
        watermark_us = _behind(watermark_us, functions)
        for timeline in callers:
            for rows in timeline.advance(watermark_us):
                candidates, others = part(rows)
                incidents.push(candidates)
                if others.num_rows:
                    given.verdicts.append(others)
            for raised in timeline.take_raised():
                incidents.push(raised)
        given.verdicts += incidents.advance(_behind(watermark_us, callers))
        for raised in incidents.take_raised():
            told, suppressed = part_suppressed(raised.to_pylist())
            given.incidents += [telling(incident) for incident in told]
            given.suppressed += suppressed
        return given


def telling(incident: dict[str, Any]) -> dict[str, Any]:
    """An incident as it is sent: its last telling, when it closes, has a revision of its own."""
    if incident.get("closed"):
        # else a receiver that knows the revision would take the final numbers for a copy
        incident = {**incident, "revision": int(incident.get("revision") or 0) + 1}
    return incident


def part(rows: pa.RecordBatch) -> tuple[pa.RecordBatch, pa.RecordBatch]:
    """Scored rows that an incident may want, and the others."""
    index = rows.schema.get_field_index(_CANDIDATE)
    if index < 0:
        return rows, rows.slice(0, 0)
    wanted = rows.column(index)
    if wanted.true_count == 0:
        return rows.slice(0, 0), rows
    return rows.filter(wanted), rows.filter(pc.invert(wanted))


def _stages(plan: Plan) -> list[Stage]:
    # imported here: it loads Beam, which the engine itself has no need of
    from pipelines.graph import CALLER_KEY, FUNCTION_KEY

    if plan.incident is None:
        raise InputError("This plan judges nothing.", expected="a plan with an incident timeline", received="none")
    return [
        Stage("function", FUNCTION_KEY, plan.function),
        Stage("caller", CALLER_KEY, plan.caller),
        Stage("incident", (), plan.incident),
    ]


def _timelines(stages: list[Stage], shards: int) -> list[list[Timeline]]:
    return [
        [Timeline(s.folds.make(n, shards)) for n in range(shards)] if s.key else [Timeline(s.folds.make(0, 1))]
        for s in stages
    ]


def _behind(watermark_us: int, row: list[Timeline]) -> int:
    return watermark_us if watermark_us >= END else watermark_us - lag_of(row[0].fold)
