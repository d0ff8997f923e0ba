"""Ordered timelines as Beam steps: by state and timer in a stream, by grouping where the input ends.

Both drive the same ``Timeline``. The second exists because Beam's local runner runs all stateful work on one core and
keeps state as bytes between firings; grouped claim checks spread over the cores and keep the state where it is.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Iterator
from typing import Any, Final

import apache_beam as beam
import pyarrow as pa
from apache_beam.metrics import Metrics
from apache_beam.transforms.timeutil import TimeDomain
from apache_beam.transforms.userstate import BagStateSpec, ReadModifyWriteStateSpec, TimerSpec, on_timer
from apache_beam.transforms.window import GlobalWindow
from apache_beam.utils.timestamp import Timestamp

from detectors.local import Stage
from detectors.timeline import END, FoldFactory, Timeline, counts_of, lag_of
from pipelines.coders import ParcelCoder, decode_tables, encode_tables
from pipelines.parcels import Inline, Parcel
from pipelines.spool import drain

#: namespace of all metrics
METRICS: Final = "lonetree"
#: tag of a fold's second product
RAISED: Final = "raised"
ROWS: Final = "rows"
#: us; timers fire on this grid, so that a second of rows costs a few firings and not one a row
GRID_US: Final = 500_000
#: the last moment that a timer in the global window can be set to
_LAST: Final = GlobalWindow().max_timestamp()


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


class TimelineDoFn(beam.DoFn):  # type: ignore[misc]
    """(shard, Parcel) to batches: waits in state, and advances when the watermark reaches the earliest boundary.

    Args:
        stage: its name and folds.
        shards: of this stage.
        behind_us: how far what comes in trails the watermark at most.
    """

    PENDING = BagStateSpec("pending", ParcelCoder())
    STATE = ReadModifyWriteStateSpec("state", beam.coders.BytesCoder())
    VERSION = ReadModifyWriteStateSpec("version", beam.coders.BytesCoder())
    DUE = ReadModifyWriteStateSpec("due", beam.coders.VarIntCoder())
    BOUNDARY = TimerSpec("boundary", TimeDomain.WATERMARK)

    def __init__(self, stage: Stage, shards: int, behind_us: int) -> None:
        self._stage = stage
        self._shards = shards
        self._behind_us = behind_us
        self._live: dict[int, tuple[bytes, Timeline]] = {}
        self._ledger = Ledger(stage.name)

    def process(
        self,
        element: tuple[int, Parcel],
        pending: Any = beam.DoFn.StateParam(PENDING),  # noqa: B008 - Beam's way to ask for state
        due: Any = beam.DoFn.StateParam(DUE),  # noqa: B008
        boundary: Any = beam.DoFn.TimerParam(BOUNDARY),  # noqa: B008
    ) -> None:
        """Put the rows by, and see that the timer is early enough."""
        _, parcel = element
        pending.add(parcel)
        self._set(parcel.min_at + 1, due, boundary)

    @on_timer(BOUNDARY)  # type: ignore[untyped-decorator]
    def advance(
        self,
        shard: int = beam.DoFn.KeyParam,
        fired: Any = beam.DoFn.TimestampParam,
        pending: Any = beam.DoFn.StateParam(PENDING),  # noqa: B008
        state: Any = beam.DoFn.StateParam(STATE),  # noqa: B008
        version: Any = beam.DoFn.StateParam(VERSION),  # noqa: B008
        due: Any = beam.DoFn.StateParam(DUE),  # noqa: B008
        boundary: Any = beam.DoFn.TimerParam(BOUNDARY),  # noqa: B008
    ) -> Iterator[Any]:
        """Bring the timeline to the watermark, keep the rest, set the timer again."""
        watermark_us = END if fired >= _LAST else fired.micros - self._behind_us
        timeline = self._timeline(shard, state, version.read())
        before = {**counts_of(timeline.fold), f"late_{self._stage.name}": timeline.late}
        parcels = list(pending.read())
        pending.clear()
        for parcel in parcels:
            if parcel.min_at < watermark_us:
                timeline.push(parcel.load())
            else:
                pending.add(parcel)
        yield from timeline.advance(watermark_us)
        for raised in timeline.take_raised():
            yield beam.pvalue.TaggedOutput(RAISED, raised)
        self._ledger.settle(timeline, before)
        waiting = [parcel.min_at + 1 for parcel in parcels if parcel.min_at >= watermark_us]
        fold_due = timeline.due()
        for rest in timeline.take_pending():
            pending.add(Inline.of(rest))
        # a random version: a bundle that fails leaves a timeline in memory that no committed state has the version of
        stamp = uuid.uuid4().bytes
        version.write(stamp)
        state.write(encode_tables(timeline.snapshot()))
        self._live[shard] = (stamp, timeline)
        due.clear()
        if watermark_us < END:
            if fold_due is not None:
                waiting.append(fold_due)
            self._set(min(waiting, default=END), due, boundary)

    def _timeline(self, shard: int, state: Any, version: bytes | None) -> Timeline:
        """The timeline as it stands in state; the one in memory where that is the same."""
        stamp, live = self._live.pop(shard, (None, None))
        if live is not None and stamp == version:
            return live
        timeline = Timeline(self._stage.folds.make(shard, self._shards))
        if version is not None:
            timeline.restore(decode_tables(state.read()))
        return timeline

    def _set(self, boundary_us: int, due: Any, timer: Any) -> None:
        """Have the timer fire once the watermark can vouch for the boundary, unless it fires before."""
        known = due.read()
        if known is not None and known <= boundary_us:
            return
        due.write(boundary_us)
        at = -(-(boundary_us + self._behind_us) // GRID_US) * GRID_US
        timer.set(min(Timestamp(micros=at), _LAST))


class DrainDoFn(beam.DoFn):  # type: ignore[misc]
    """(shard, all its Parcels) to batches: the whole timeline of a shard, a slice of time after the other."""

    def __init__(self, stage: Stage, shards: int) -> None:
        self._stage = stage
        self._shards = shards
        self._ledger = Ledger(stage.name)

    def process(self, element: tuple[int, Iterable[Parcel]]) -> Iterator[Any]:
        """From the first row to the end."""
        shard, parcels = element
        timeline = Timeline(self._stage.folds.make(shard, self._shards))
        counted = self._ledger.settle(timeline, {})
        for rows in drain(timeline, parcels):
            yield rows
            for raised in timeline.take_raised():
                yield beam.pvalue.TaggedOutput(RAISED, raised)
            counted = self._ledger.settle(timeline, counted)
        for raised in timeline.take_raised():
            yield beam.pvalue.TaggedOutput(RAISED, raised)
        self._ledger.settle(timeline, counted)


class OrderedTimelines(beam.PTransform):  # type: ignore[misc]
    """(shard, Parcel) to what the folds give (``rows``) and raise (``raised``), each a PCollection of record batches.

    Args:
        stage: its name, key and folds.
        shards: of this stage; 1 for a stage without a key.
        behind_us: how far what comes in trails the watermark at most.
        streaming: by state and timer; else by grouping, which waits for the end of the input.
    """

    def __init__(self, stage: Stage, shards: int, *, behind_us: int = 0, streaming: bool = False) -> None:
        super().__init__()
        self._stage = stage
        self._shards = shards
        self._behind_us = behind_us
        self._streaming = streaming

    def expand(self, parcels: Any) -> Any:
        """Wire the step."""
        if self._streaming:
            step = beam.ParDo(TimelineDoFn(self._stage, self._shards, self._behind_us))
        else:
            parcels = parcels | "Group" >> beam.GroupByKey()
            step = beam.ParDo(DrainDoFn(self._stage, self._shards))
        return parcels | "Fold" >> step.with_outputs(RAISED, main=ROWS).with_output_types(pa.RecordBatch)


def trail_of(folds: FoldFactory, behind_us: int) -> int:
    """How far the output of these folds trails the watermark, when their input trails by ``behind_us``."""
    return behind_us + lag_of(folds.make(0, 1)) + GRID_US
