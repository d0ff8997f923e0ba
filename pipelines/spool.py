"""The spool: sorted runs on disk that claim checks point into, so that a bounded replay needs bounded memory.

It is the first half of an external merge sort. Rows are gathered to a run, split by shard, sorted by time and written
in small chunks; each chunk's claim check tells its earliest time. ``drain`` is the second half: it merges one slice of
time after the other, so that memory holds a slice and at most a chunk of every run, however shuffled the input.
"""

from __future__ import annotations

import shutil
import threading
import uuid
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import TracebackType
from typing import Any, Final

import pyarrow as pa

from detectors.order import concat, split, times_of
from detectors.timeline import END, Fold, Tables, Timeline
from pipelines.aside import BUFFER_BYTES, AsideWriter, recall
from pipelines.lexicon import sharing, shortened
from pipelines.memory import kept_small
from pipelines.parcels import Parcel, Spooled

#: rows gathered before they are sorted and written: about 20 MB of invocations, twice while they are sorted
RUN_ROWS: Final = 65_536
#: the same in bytes: rows of strange invocations carry their evidence, and are five times as wide
RUN_BYTES: Final = 24 << 20
#: rows a claim check stands for at most: small, so that a slice loads little beyond its end
CHUNK_ROWS: Final = 2_048
#: rows merged and judged at once: columns small enough that memory is used again instead of asked for anew
SLICE_ROWS: Final = 32_768
#: the same in bytes
SLICE_BYTES: Final = 16 << 20


class SpoolWriter:
    """Gathers batches of one schema, and gives claim checks for them by shard.

    Args:
        folder: made if missing; the file is named at random, so that workers never meet.
        key: columns whose hash chooses the shard.
        shards: how many there are.
        aside: columns that are left aside, see ``pipelines.aside``; empty for none.
    """

    def __init__(self, folder: str, key: tuple[str, ...], shards: int, aside: tuple[str, ...] = ()) -> None:
        Path(folder).mkdir(parents=True, exist_ok=True)
        self._aside = AsideWriter(folder, aside) if aside else None
        self._folder = folder
        self._path = str(Path(folder) / f"{uuid.uuid4().hex}.arrows")
        self._key = key
        self._shards = shards
        self._gathered: list[pa.RecordBatch] = []
        self._rows, self._bytes = 0, 0
        self._sink: Any = None
        self._writer: Any = None
        self._head = 0

    def __enter__(self) -> SpoolWriter:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    def add(self, batch: pa.RecordBatch) -> Iterator[tuple[int, Spooled]]:
        """Take rows; what a full run gives comes back as (shard, claim check)."""
        if batch.num_rows:
            self._gathered.append(batch if self._aside is None else self._aside.put(batch))
            self._rows += batch.num_rows
            self._bytes += batch.nbytes
            if self._rows >= RUN_ROWS or self._bytes >= RUN_BYTES:
                yield from self.flush()

    def flush(self) -> Iterator[tuple[int, Spooled]]:
        """Write what has been gathered."""
        if not self._gathered:
            return
        run = concat(self._gathered)
        self._gathered, self._rows, self._bytes = [], 0, 0
        parts = split(sharing(run, self._folder), self._key, self._shards)
        del run
        for shard, part in parts.items():
            rows = shortened(part, self._folder)
            if self._writer is None:
                self._open(rows.schema)
            for start in range(0, rows.num_rows, CHUNK_ROWS):
                yield shard, self._write(rows.slice(start, CHUNK_ROWS))
        self._sink.flush()

    def close(self) -> None:
        """Close the file; claim checks stay good."""
        if self._writer is not None:
            self._writer.close()
            self._sink.close()
            self._writer = None
        if self._aside is not None:
            self._aside.close()

    def _open(self, schema: pa.Schema) -> None:
        self._sink = pa.BufferedOutputStream(pa.OSFile(self._path, "wb"), BUFFER_BYTES)
        # not compressed: that would take longer than all else that a shuffle does
        self._writer = pa.ipc.new_stream(self._sink, schema)
        # the schema is written with the first batch only
        self._writer.write_batch(pa.RecordBatch.from_pylist([], schema=schema))
        self._head = self._sink.tell()

    def _write(self, chunk: pa.RecordBatch) -> Spooled:
        offset = self._sink.tell()
        self._writer.write_batch(chunk)
        length = self._sink.tell() - offset
        return Spooled(self._path, self._head, offset, length, chunk.num_rows, int(times_of(chunk)[0]))


def drain(timeline: Timeline, parcels: Iterable[Parcel]) -> Iterator[pa.RecordBatch]:
    """Bring all parcels of a shard through its timeline, a slice of time after the other, to the end."""
    for given in slices(timeline, parcels):
        yield from given


def slices(timeline: Timeline, parcels: Iterable[Parcel], *, ahead: bool = False) -> Iterator[list[pa.RecordBatch]]:
    """What ``drain`` gives for each slice of time, be it nothing: what the fold raises can then be taken.

    Args:
        timeline: of the shard.
        parcels: of the shard.
        ahead: load the next slice and put it in order in a thread beside the fold: for the only timeline of a stage,
            beside which a core would stand idle. Where all cores have a timeline it costs more than it gives.
    """
    if hasattr(timeline.fold, "recall"):
        timeline.fold.recall = recall
    waiting = sorted(parcels, key=lambda parcel: parcel.min_at)
    loaded = _loaded(waiting)
    for batches, watermark_us in _ahead(_sorted(loaded, timeline.fold)) if ahead else loaded:
        for batch in batches:
            timeline.push(batch)
        del batches
        yield timeline.advance(watermark_us)
        kept_small(alone=ahead)
    if not waiting:
        yield timeline.advance(END)


#: rows of a slice, and the watermark behind them
_Slice = tuple[list[pa.RecordBatch], int]


def _loaded(waiting: Sequence[Parcel]) -> Iterator[_Slice]:
    """The slices of parcels that are sorted by their time."""
    start = 0
    while start < len(waiting):
        rows, size = 0, 0
        stop = start
        while stop < len(waiting) and (
            (rows < SLICE_ROWS and size < SLICE_BYTES) or waiting[stop].min_at == waiting[start].min_at
        ):
            rows, size = rows + waiting[stop].rows, size + waiting[stop].nbytes
            stop += 1
        yield [parcel.load() for parcel in waiting[start:stop]], waiting[stop].min_at if stop < len(waiting) else END
        start = stop


class _InOrder:
    """A fold that gives what it gets, for rows that another fold takes next."""

    def __init__(self, following: Fold) -> None:
        if hasattr(following, "takes"):
            self.takes = following.takes

    def advance(self, rows: pa.RecordBatch, watermark_us: int) -> pa.RecordBatch:  # noqa: ARG002 - a Fold
        return rows

    def snapshot(self) -> Tables:
        return {}

    def restore(self, tables: Mapping[str, pa.Table]) -> None:
        """Nothing to take over."""


def _sorted(found: Iterator[_Slice], following: Fold) -> Iterator[_Slice]:
    """The same rows, of each slice only those below its watermark, in order."""
    timeline = Timeline(_InOrder(following))
    for batches, watermark_us in found:
        for batch in batches:
            timeline.push(batch)
        del batches
        yield timeline.advance(watermark_us), watermark_us


def _ahead(found: Iterator[_Slice]) -> Iterator[_Slice]:
    """The same, the next always under way."""
    with ThreadPoolExecutor(1, thread_name_prefix="ahead") as thread:
        following = thread.submit(next, found, None)
        while (here := following.result()) is not None:
            following = thread.submit(next, found, None)
            yield here
            del here


def discard(folder: str) -> threading.Thread:
    """Remove a folder of spools that nobody reads any more, beside whatever goes on: it takes a second for 5 GB."""
    thread = threading.Thread(target=shutil.rmtree, args=(folder,), kwargs={"ignore_errors": True}, name="discard")
    thread.start()
    return thread
