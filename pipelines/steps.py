"""The steps around the timelines: reading files, and sending rows to the shard of their key."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from typing import Any, Final, Protocol

import apache_beam as beam
import pyarrow as pa
from apache_beam.metrics import Metrics
from apache_beam.transforms.window import GlobalWindow
from apache_beam.utils.timestamp import MIN_TIMESTAMP
from apache_beam.utils.windowed_value import WindowedValue

from detectors.conform import Conformed, ConformOptions
from detectors.order import split, with_at
from pipelines import coders, meter
from pipelines.engine import part
from pipelines.lanes import take
from pipelines.memory import kept_small
from pipelines.messages import Message
from pipelines.parcels import Inline, Parcel
from pipelines.sources.files import FileRef, parts, read
from pipelines.spool import SpoolWriter
from pipelines.stations import METRICS
from pipelines.stream_timeline import ROWS

coders.register()

#: tag of the records that can't be read
DEAD: Final = "dead"
#: tag of the scored rows that no incident can want, which then skip the incident timeline
OTHERS: Final = "others"


class Reader(Protocol):
    """Plain data that reads a file; a frozen dataclass, so that it travels to workers."""

    def parts(self, ref: FileRef) -> list[FileRef]:
        """The file in parts that ``read`` can take side by side; itself where it can't be parted."""
        ...

    def read(self, ref: FileRef) -> Iterator[Conformed]:
        """The records of a file or part, in batches."""
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

    def parts(self, ref: FileRef) -> list[FileRef]:
        """A large file in parts."""
        return parts(ref, self.options)

    def read(self, ref: FileRef) -> Iterator[Conformed]:
        """The records of a file or part, in batches."""
        return read(ref, self.options)


class ReadDoFn(beam.DoFn):  # type: ignore[misc]
    """(lane, files) to batches of INVOCATION rows with ``at``, and dead letters beside them.

    Args:
        reader: how.
        run: its name.
        taken: folder in which workers of one machine note who has taken what: each lane is then offered all files.
            None: what a lane is given is its own.
        every_operation: all rows keep their operation.
    """

    def __init__(self, reader: Reader, run: str, taken: str | None = None, *, every_operation: bool = False) -> None:
        self._taken, self._every_operation = taken, every_operation
        self._reader = reader
        self._run = run
        self._read = Metrics.counter(METRICS, "read")
        self._dead = Metrics.counter(METRICS, "dead_letter")
        self._ignored = Metrics.counter(METRICS, "ignored")

    def process(self, element: tuple[int, Iterable[FileRef]]) -> Iterator[Any]:
        """Read the files and parts of a lane, one after the other."""
        _, refs = element
        for number, ref in enumerate(sorted(refs)):
            if self._taken is not None and not take(self._taken, f"{self._run}-{number}"):
                continue
            for piece in self._reader.read(ref):
                dead = piece.dead.num_rows
                self._dead.inc(dead)
                self._read.inc(dead + meter.standing(piece.rows))
                self._ignored.inc(piece.ignored)
                meter.add(self._run, piece.rows.num_rows + dead + piece.ignored)
                if dead:
                    yield beam.pvalue.TaggedOutput(DEAD, piece.dead)
                if piece.rows.num_rows:
                    yield with_at(piece.rows, every_operation=self._every_operation)
                kept_small()
            meter.add(self._run, 0, parts=1)


class ShardDoFn(beam.DoFn):  # type: ignore[misc]
    """Batches to (shard, Parcel): through the spool where there is one, else inside the message."""

    def __init__(
        self, key: tuple[str, ...], shards: int, spool: str | None, columns: tuple[str, ...], aside: tuple[str, ...]
    ) -> None:
        self._columns = columns
        self._aside = aside
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
            for parcel in writer.flush():
                yield WindowedValue(parcel, MIN_TIMESTAMP, [GlobalWindow()])
            writer.close()
        self._writers = []

    def _writer(self, spool: str, schema: pa.Schema) -> SpoolWriter:
        # by schema, since a spool file has one; there are at most two or three
        for known, writer in self._writers:
            if known.equals(schema):
                return writer
        writer = SpoolWriter(spool, self._key, self._shards, self._aside)
        self._writers.append((schema, writer))
        return writer


class AddressDoFn(beam.DoFn):  # type: ignore[misc]
    """Messages to (shard, Message): every shard hears of every step, with the rows that are its own."""

    def __init__(self, key: tuple[str, ...], shards: int, columns: tuple[str, ...]) -> None:
        self._key, self._shards, self._columns = key, shards, columns

    def process(self, element: Message) -> Iterator[tuple[int, Message]]:
        """Split one message."""
        if not self._key:
            yield 0, element
            return
        parts: dict[int, list[pa.RecordBatch]] = {number: [] for number in range(self._shards)}
        for batch in element.batches:
            if self._columns:
                batch = batch.select([name for name in self._columns if name in batch.schema.names])
            for number, rows in split(batch, self._key, self._shards).items():
                parts[number].append(rows)
        for number, batches in parts.items():
            yield number, replace(element, batches=tuple(batches))


def shard(
    key: tuple[str, ...],
    shards: int,
    spool: str | None,
    columns: tuple[str, ...] = (),
    aside: tuple[str, ...] = (),
) -> Any:
    """The step from batches to (shard, Parcel); only the columns named travel, or all where none is.

    In the spool, columns that are left aside do not travel either: see ``pipelines.aside``.
    """
    return beam.ParDo(ShardDoFn(key, shards, spool, columns, aside)).with_output_types(tuple[int, Parcel])


def address(key: tuple[str, ...], shards: int, columns: tuple[str, ...] = ()) -> Any:
    """The step from messages to (shard, Message), as ``shard``."""
    return beam.ParDo(AddressDoFn(key, shards, columns)).with_output_types(tuple[int, Message])


def read_files(reader: Reader, run: str, taken: str | None = None, *, every_operation: bool = False) -> Any:
    """The step from (lane, files) to ``rows`` and ``dead``."""
    reads = ReadDoFn(reader, run, taken, every_operation=every_operation)
    return coders.with_tag(beam.ParDo(reads), pa.RecordBatch, DEAD, ROWS)


class CandidateDoFn(beam.DoFn):  # type: ignore[misc]
    """Rows that an incident may want, and others; of a message, two that speak of the same step."""

    def process(self, element: pa.RecordBatch | Message) -> Iterator[Any]:
        """Split a batch, or all of a message."""
        if isinstance(element, Message):
            parts = [part(batch) for batch in element.batches]
            yield replace(element, batches=tuple(rows for rows, _ in parts if rows.num_rows))
            others = tuple(rows for _, rows in parts if rows.num_rows)
            yield beam.pvalue.TaggedOutput(OTHERS, replace(element, batches=others))
            return
        candidates, rest = part(element)
        if candidates.num_rows:
            yield candidates
        if rest.num_rows:
            yield beam.pvalue.TaggedOutput(OTHERS, rest)


def part_candidates(kind: type = pa.RecordBatch) -> Any:
    """The step from scored rows to ``rows`` (candidates) and ``others``; ``kind`` is how rows come."""
    return coders.with_tag(beam.ParDo(CandidateDoFn()), kind, OTHERS, ROWS)
