"""The steps around the timelines: reading files, and sending rows to the shard of their key."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from typing import Any, Final, Protocol

import apache_beam as beam
import pyarrow as pa
import pyarrow.compute as pc
from apache_beam.metrics import Metrics
from apache_beam.transforms.window import GlobalWindow
from apache_beam.utils.timestamp import MIN_TIMESTAMP
from apache_beam.utils.windowed_value import WindowedValue

from detectors.conform import Conformed, ConformOptions
from detectors.order import split, with_at
from pipelines import coders, meter
from pipelines.parcels import Inline, Parcel
from pipelines.sources.files import FileRef, read
from pipelines.spool import SpoolWriter
from pipelines.timeline_dofn import METRICS, ROWS

coders.register()

#: tag of the records that can't be read
DEAD: Final = "dead"
#: bool column of scored rows: False for those that no incident can want, which then skip the incident timeline
CANDIDATE: Final = "candidate"


class Reader(Protocol):
    """Plain data that reads a file; a frozen dataclass, so that it travels to workers."""

    def read(self, ref: FileRef) -> Iterator[Conformed]:
        """The file's records, in batches."""
        ...


@dataclass(frozen=True)
class FileReader:
    """Reads what ``pipelines.sources.files`` reads."""

    options: ConformOptions = field(default_factory=ConformOptions)

    @classmethod
    def of(cls, options: ConformOptions | None, columns: tuple[str, ...]) -> FileReader:
        """A reader for a plan that needs these columns, or all where none is named."""
        options = options or ConformOptions()
        return cls(replace(options, columns=frozenset(columns)) if columns else options)

    def read(self, ref: FileRef) -> Iterator[Conformed]:
        """The file's records, in batches."""
        return read(ref, self.options)


class ReadDoFn(beam.DoFn):  # type: ignore[misc]
    """(lane, files) to batches of INVOCATION rows with ``at``, and dead letters beside them."""

    def __init__(self, reader: Reader, run: str) -> None:
        self._reader = reader
        self._run = run
        self._read = Metrics.counter(METRICS, "read")
        self._dead = Metrics.counter(METRICS, "dead_letter")
        self._ignored = Metrics.counter(METRICS, "ignored")

    def process(self, element: tuple[int, Iterable[FileRef]]) -> Iterator[Any]:
        """Read the files of a lane, one after the other."""
        _, refs = element
        for ref in sorted(refs):
            for piece in self._reader.read(ref):
                dead = piece.dead.num_rows
                self._dead.inc(dead)
                self._read.inc(dead + _standing(piece.rows))
                self._ignored.inc(piece.ignored)
                meter.add(self._run, piece.rows.num_rows + dead + piece.ignored)
                if dead:
                    yield beam.pvalue.TaggedOutput(DEAD, piece.dead)
                if piece.rows.num_rows:
                    yield with_at(piece.rows)
            meter.add(self._run, 0, files=1)


def _standing(rows: pa.RecordBatch) -> int:
    """Records that stand for an invocation: all but the details."""
    standing = pc.is_in(rows.column("record"), pa.array(["invocation", "started"]))
    return int(standing.true_count)


class ShardDoFn(beam.DoFn):  # type: ignore[misc]
    """Batches to (shard, Parcel): through the spool where there is one, else inside the message."""

    def __init__(self, key: tuple[str, ...], shards: int, spool: str | None, columns: tuple[str, ...]) -> None:
        self._columns = columns
        self._key = key
        self._shards = shards
        self._spool = spool
        self._writers: list[tuple[pa.Schema, SpoolWriter]] = []

    def process(self, element: pa.RecordBatch) -> Iterator[tuple[int, Parcel]]:
        """Split one batch, or gather it for a run."""
        if self._columns:
            element = element.select([name for name in self._columns if name in element.schema.names])
        if self._spool is None:
            for shard, rows in split(element, self._key, self._shards).items():
                yield shard, Inline.of(rows)
            return
        yield from self._writer(self._spool, element.schema).add(element)

    def finish_bundle(self) -> Iterator[WindowedValue]:
        """Write what is gathered, so that the bundle stands on its own."""
        for _, writer in self._writers:
            for part in writer.flush():
                yield WindowedValue(part, MIN_TIMESTAMP, [GlobalWindow()])
            writer.close()
        self._writers = []

    def _writer(self, spool: str, schema: pa.Schema) -> SpoolWriter:
        # by schema, since a spool file has one; there are at most two or three
        for known, writer in self._writers:
            if known.equals(schema):
                return writer
        writer = SpoolWriter(spool, self._key, self._shards)
        self._writers.append((schema, writer))
        return writer


def shard(key: tuple[str, ...], shards: int, spool: str | None, columns: tuple[str, ...] = ()) -> Any:
    """The step from batches to (shard, Parcel); only the columns named travel, or all where none is."""
    return beam.ParDo(ShardDoFn(key, shards, spool, columns)).with_output_types(tuple[int, Parcel])


def read_files(reader: Reader, run: str) -> Any:
    """The step from (lane, files) to ``rows`` and ``dead``."""
    return beam.ParDo(ReadDoFn(reader, run)).with_outputs(DEAD, main=ROWS).with_output_types(pa.RecordBatch)


class CandidateDoFn(beam.DoFn):  # type: ignore[misc]
    """Rows that an incident may want, and others."""

    def process(self, element: pa.RecordBatch) -> Iterator[Any]:
        """Split a batch by CANDIDATE; all are candidates where it has no such column."""
        index = element.schema.get_field_index(CANDIDATE)
        if index < 0:
            yield element
            return
        wanted = element.column(index)
        candidates = element.filter(wanted)
        if candidates.num_rows:
            yield candidates
        if candidates.num_rows < element.num_rows:
            yield beam.pvalue.TaggedOutput("others", element.filter(pc.invert(wanted)))


def part_candidates() -> Any:
    """The step from scored rows to ``rows`` (candidates) and ``others``."""
    return beam.ParDo(CandidateDoFn()).with_outputs("others", main=ROWS).with_output_types(pa.RecordBatch)
