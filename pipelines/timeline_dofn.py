"""Ordered timelines as Beam steps: by stations in a stream, by grouping where the input ends.

Both drive the same ``Timeline``. The second exists because Beam's local runner runs all stateful work on one core and
keeps state as bytes between bundles; grouped claim checks spread over the cores and keep the state where it is.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import apache_beam as beam
import pyarrow as pa
from apache_beam.metrics import Metrics

from detectors.local import Stage
from detectors.timeline import Timeline, counts_of
from pipelines.coders import with_tag
from pipelines.lanes import Offer, dealt, take
from pipelines.memory import given_back
from pipelines.messages import Message
from pipelines.parcels import Parcel
from pipelines.spool import discard, slices
from pipelines.stations import METRICS, StationDoFn
from pipelines.stream_timeline import RAISED, ROWS, TimelineStations

if TYPE_CHECKING:
    from pipelines.announced import Announced


class Ledger:
    """Counts of folds on their way into metrics, each once."""

    def __init__(self, stage: str) -> None:
        self._stage = stage
        self._counters: dict[str, Any] = {}

    def settle(self, timeline: Timeline, before: dict[str, int]) -> dict[str, int]:
        """Add what was counted since ``before``, and return what is counted by now."""
        now = {**counts_of(timeline.fold), f"late_{self._stage}": timeline.late}
        for name, count in now.items():
            more = count - before.get(name, 0)
            if more:
                if name not in self._counters:
                    self._counters[name] = Metrics.counter(METRICS, name)
                self._counters[name].inc(more)
        return now


class DrainDoFn(beam.DoFn):  # type: ignore[misc]
    """(shard, all its Parcels) to batches: the whole timeline of a shard, a slice of time after the other."""

    def __init__(self, stage: Stage, shards: int, spent: str | None = None) -> None:
        self._spent = spent
        self._stage = stage
        self._shards = shards
        self._ledger = Ledger(stage.name)

    def process(self, element: tuple[int, Iterable[Parcel]]) -> Iterator[Any]:
        """From the first row to the end."""
        shard, parcels = element
        if self._spent is not None and Path(self._spent).exists():
            # grouping waits for all of the stage before
            discard(self._spent)
            given_back()
        timeline = Timeline(self._stage.folds.make(shard, self._shards))
        counted = self._ledger.settle(timeline, {})
        for given in slices(timeline, parcels, ahead=self._shards == 1):
            yield from given
            # also where nothing was given: else what is raised would wait for the end of the shard
            for raised in timeline.take_raised():
                yield beam.pvalue.TaggedOutput(RAISED, raised)
            counted = self._ledger.settle(timeline, counted)


class LaneDoFn(beam.DoFn):  # type: ignore[misc]
    """(lane, offers of shards) to batches: shard by shard, as long as one is left that nobody has taken."""

    def __init__(self, stage: Stage, shards: int, taken: str, spent: str | None = None) -> None:
        self._each = DrainDoFn(stage, shards, spent)
        self._taken = taken

    def process(self, element: tuple[int, Iterable[Offer]]) -> Iterator[Any]:
        """All shards that this lane is the first to take."""
        for name, shards in element[1]:
            for shard in shards:
                if take(self._taken, f"{name}-{shard[0]}"):
                    yield from self._each.process(shard)


class OrderedTimelines(beam.PTransform):  # type: ignore[misc]
    """(shard, Parcel) to what the folds give (``rows``) and raise (``raised``), each a PCollection of record batches.

    In a stream (shard, Message) to messages, one a step of a shard under each tag.

    Args:
        stage: its name, key and folds.
        shards: of this stage; 1 for a stage without a key.
        origins: in a stream, all that speak to each shard; empty: by grouping, which waits for the end of the input.
        announced: in a stream, where the folds of other versions come from.
        lanes: by grouping, how many workers share the shards; 0: as the runner has it.
        taken: folder in which workers of one machine note who has taken which shard; needed where there are lanes.
        spent: folder of the spool of the stage before, which nobody reads once this one begins; None: there is none.
        judges: in a stream, what it gives and raises is counted by the version that judged it.
    """

    def __init__(
        self,
        stage: Stage,
        shards: int,
        origins: tuple[str, ...] = (),
        announced: Announced | None = None,
        lanes: int = 0,
        taken: str = "",
        spent: str | None = None,
        *,
        judges: bool = False,
    ) -> None:
        super().__init__()
        self._judges = judges
        self._spent = spent
        self._lanes = lanes
        self._taken = taken
        self._announced = announced
        self._stage = stage
        self._shards = shards
        self._origins = origins

    def expand(self, rows: Any) -> Any:
        """Wire the step."""
        if self._origins:
            stations = TimelineStations(self._stage, self._shards, self._origins, self._announced, self._judges)
            step, kind = beam.ParDo(StationDoFn(self._stage.name, stations, ROWS)), Message
        elif self._lanes:
            rows = dealt(rows, self._lanes)
            step, kind = beam.ParDo(LaneDoFn(self._stage, self._shards, self._taken, self._spent)), pa.RecordBatch
        else:
            rows = rows | "Group" >> beam.GroupByKey()
            step, kind = beam.ParDo(DrainDoFn(self._stage, self._shards, self._spent)), pa.RecordBatch
        return rows | "Fold" >> with_tag(step, kind, RAISED, ROWS)
