"""Stations: state machines over messages, kept in Beam's state as a snapshot and a log of what came since.

A message costs its own bytes, not those of the whole state: it is added to the log, and the state is written anew only
when the log has grown as long as the state. A worker that takes a station over reads the snapshot and takes the logged
messages again, in the order in which they were taken. Between two messages the station stays in memory; a random stamp
in the state tells whether what is in memory is what was committed.
"""

from __future__ import annotations

import struct
import uuid
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, Protocol

import apache_beam as beam
import pyarrow as pa
from apache_beam.metrics import Metrics
from apache_beam.transforms.userstate import BagStateSpec, ReadModifyWriteStateSpec

from detectors.timeline import Tables
from pipelines.coders import decode_message, decode_tables, encode_message, encode_tables
from pipelines.messages import Message

#: namespace of all metrics
METRICS: Final = "lonetree"
#: begins the names of counters of shards whose input has ended
ENDED: Final = "ended_"
#: bytes that a log may have before it is worth a snapshot, however small the state: some seconds of a busy stream
LOG_BYTES: Final = 4 * 1024 * 1024
#: bytes of a piece of a snapshot: runners take messages of a few MB
PIECE_BYTES: Final = 1024 * 1024

_PLACE: Final = struct.Struct(">Q")


class Station(Protocol):
    """A state machine over messages, deterministic in what it gives.

    A station that acts on the world (writes files, calls a sink) does so in ``take`` unless ``again`` is set.
    """

    @property
    def settled(self) -> bool:
        """Whether the log is better forgotten now, as after what waited was written."""
        ...

    @property
    def ended(self) -> bool:
        """Whether nothing can follow."""
        ...

    def take(self, message: Message, *, again: bool = False) -> list[tuple[str, Message]]:
        """Take a message, and give (tag, message) for others.

        Args:
            message: in any order, perhaps repeated.
            again: it was taken before, and what follows from it outside has happened; the result is thrown away.
        """
        ...

    def early(self) -> list[Message]:
        """Messages taken whose turn has not come; not part of the snapshot."""
        ...

    def snapshot(self) -> Tables:
        """The rest of the state."""
        ...

    def restore(self, tables: Mapping[str, pa.Table]) -> None:
        """Take over a snapshot."""
        ...

    def counts(self) -> dict[str, int]:
        """What was counted so far, snapshots included; becomes counters."""
        ...

    def gauges(self) -> dict[str, int]:
        """How it is now; becomes gauges. Names are its own, also beside those of other shards."""
        ...


class Stations(Protocol):
    """Plain data that makes the station of each shard; a frozen dataclass, so that it travels to workers."""

    def make(self, shard: int) -> Station:
        """The station of a shard at its beginning."""
        ...


@dataclass
class _Live:
    """A station in memory."""

    station: Station
    counted: dict[str, int] = field(default_factory=dict)
    #: of the state that it equals
    stamp: bytes | None = None
    #: messages taken
    taken: int = 0
    #: bytes of log and of snapshot
    logged: int = 0
    saved: int = 0


#: stations of this process, by job, step and shard: the runner may give a shard to any thread
_LIVE: Final[dict[tuple[str, str, int], _Live]] = {}


class StationDoFn(beam.DoFn):  # type: ignore[misc]
    """(shard, Message) to what the shard's station gives, under its tags.

    Args:
        name: of the step, unique in the job.
        stations: makes them.
        main: the tag of the main output.
        mark: a file that is made once its input has ended, for who can't hear it from the runner; None: none.
    """

    LOG = BagStateSpec("log", beam.coders.BytesCoder())
    SAVED = BagStateSpec("saved", beam.coders.BytesCoder())
    STAMP = ReadModifyWriteStateSpec("stamp", beam.coders.BytesCoder())

    def __init__(self, name: str, stations: Stations, main: str, mark: str | None = None) -> None:
        self._name, self._stations, self._main, self._mark = name, stations, main, mark
        # drawn where the pipeline is made: the same on all workers, another for each job
        self._job = uuid.uuid4().hex
        self._sure: set[int] = set()
        self._counters: dict[str, Any] = {}
        self._gauges: dict[str, Any] = {}

    def start_bundle(self) -> None:
        """The bundle before may have failed."""
        self._sure = set()

    def process(
        self,
        element: tuple[int, Message],
        log: Any = beam.DoFn.StateParam(LOG),  # noqa: B008 - Beam's way to ask for state
        saved: Any = beam.DoFn.StateParam(SAVED),  # noqa: B008
        stamp: Any = beam.DoFn.StateParam(STAMP),  # noqa: B008
    ) -> Iterator[Any]:
        """Take a message, and remember it."""
        shard, message = element
        live = self._live(shard, log, saved, stamp)
        given = live.station.take(message)
        entry = _PLACE.pack(live.taken) + encode_message(message)
        live.taken += 1
        live.logged += len(entry)
        if live.station.settled or live.logged >= max(LOG_BYTES, live.saved):
            _save(live, log, saved)
        else:
            log.add(entry)
        live.stamp = uuid.uuid4().bytes
        stamp.write(live.stamp)
        self._settle(live)
        if live.station.ended:
            Metrics.counter(METRICS, f"{ENDED}{self._name}").inc(1)
            if self._mark is not None:
                Path(self._mark).touch()
        else:
            _LIVE[self._job, self._name, shard] = live
            self._sure.add(shard)
        for tag, said in given:
            yield said if tag == self._main else beam.pvalue.TaggedOutput(tag, said)

    def _live(self, shard: int, log: Any, saved: Any, stamp: Any) -> _Live:
        """The shard's station as the state has it; taken out of memory, so that a failure leaves none behind."""
        live = _LIVE.pop((self._job, self._name, shard), None)
        if live is not None and shard in self._sure:
            return live
        committed = stamp.read()
        if live is not None and live.stamp == committed:
            return live
        live = _Live(self._stations.make(shard))
        if committed is not None:
            _load(live, log, saved)
        live.stamp, live.counted = committed, live.station.counts()
        return live

    def _settle(self, live: _Live) -> None:
        """Add what was counted to the metrics, each once, and say how it is."""
        now = live.station.counts()
        for name, count in now.items():
            more = count - live.counted.get(name, 0)
            if more:
                if name not in self._counters:
                    self._counters[name] = Metrics.counter(METRICS, name)
                self._counters[name].inc(more)
        live.counted = now
        for name, value in live.station.gauges().items():
            if name not in self._gauges:
                self._gauges[name] = Metrics.gauge(METRICS, name)
            self._gauges[name].set(value)


def _save(live: _Live, log: Any, saved: Any) -> None:
    """Write the whole state, and forget the log."""
    tables = {**live.station.snapshot(), "taken": pa.table({"taken": [live.taken]})}
    data = encode_tables(tables)
    log.clear()
    saved.clear()
    for start in range(0, len(data), PIECE_BYTES):
        saved.add(_PLACE.pack(start) + data[start : start + PIECE_BYTES])
    live.saved, live.logged = len(data), 0
    for message in live.station.early():
        entry = _PLACE.pack(live.taken) + encode_message(message)
        live.taken += 1
        live.logged += len(entry)
        log.add(entry)


def _load(live: _Live, log: Any, saved: Any) -> None:
    """Read the state, and take what came since again."""
    pieces = sorted(saved.read())
    if pieces:
        data = b"".join(piece[_PLACE.size :] for piece in pieces)
        tables = decode_tables(data)
        live.taken, live.saved = tables.pop("taken")["taken"][0].as_py(), len(data)
        live.station.restore(tables)
    for entry in sorted(log.read(), key=lambda entry: entry[: _PLACE.size]):
        live.station.take(decode_message(entry[_PLACE.size :]), again=True)
        live.taken = _PLACE.unpack_from(entry)[0] + 1
        live.logged += len(entry)
