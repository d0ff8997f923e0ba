"""Live sources as a Beam step: one splittable element a source, whose restriction is where the source is.

A bundle reads a little, claims the place behind it, and leaves the rest to the next bundle; so a runner that keeps
bundles and state together loses nothing and reads nothing twice. The watermark travels with the rows
(pipelines/messages.py).
"""

from __future__ import annotations

import datetime as dt
import logging
import shutil
import tempfile
import threading
import time
import uuid
import weakref
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, Final

import apache_beam as beam
import orjson
import pyarrow as pa
from apache_beam.io.iobase import RestrictionProgress, RestrictionTracker
from apache_beam.metrics import Metrics
from apache_beam.transforms.core import RestrictionProvider
from apache_beam.utils.timestamp import Duration

from detectors.conform import ConformOptions
from detectors.order import with_at
from detectors.timeline import END, START
from models.errors import SourceError
from pipelines import meter
from pipelines.announced import Announced, herald
from pipelines.lately import Rate
from pipelines.messages import Message
from pipelines.sinks.escape import terminal
from pipelines.sources.base import Cursor, Polled, Source, microseconds
from pipelines.sources.uri import open_sources, source_name
from pipelines.stations import ENDED, METRICS
from pipelines.stream_timeline import ROWS
from pipelines.vitals import position_of
from pipelines.watermarks import DEFAULT_IDLE_US, DEFAULT_LATENESS_US, SourceClock

#: tag of the records that can't be read
DEAD: Final = "dead"
#: the name that sources share where it is told who has ended
SOURCES: Final = "sources"
#: begins the names of gauges: how far the watermark of a source trails the clock, s
LAG: Final = "lag_s_"
#: the same: records read a second, over the last half minute
PACE: Final = "events_per_second_"
#: how gauges of where sources are begin; the unit and the source's name follow
PLACE: Final = "position_"
#: the same, 1: it is read to its end and well; 1: it can't be read, and will be asked again
IDLE: Final = "idle_"
FAILING: Final = "failing_"
#: gauge: versions that were refused, by the process that reads a source
REFUSED: Final = "versions_refused"
#: rows of a message, about: enough that what Beam costs a message is small beside what the rows cost
MESSAGE_ROWS: Final = 10_000
#: rows of a bundle, about, and how long it may take, s: results leave a worker when their bundle ends
BUNDLE_ROWS: Final = 20_000
BUNDLE_S: Final = 0.5
#: pause after a source had nothing, s
PAUSE_S: Final = 0.5
#: pause after a source failed, s
FAILED_S: Final = 5.0
#: rows read while the watermark stood still, after which a source in its backlog moves on: bounded memory
MAX_PENDING_ROWS: Final = 2_000_000

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class LiveOptions:
    """How sources are followed; plain data."""

    lateness_us: int = DEFAULT_LATENESS_US
    #: None: a quiet source holds the others back for ever
    idle_us: int | None = DEFAULT_IDLE_US
    #: end as a replay does when nothing came for so long; None: never
    until_idle_s: float | None = None
    #: tell the source what was dealt with once the runner has made it durable; only where the runner does
    commit: bool = False
    message_rows: int = MESSAGE_ROWS
    #: versions that are followed; None: what judges at the start judges for ever
    announced: Announced | None = None
    #: how records are read
    conform: ConformOptions = field(default_factory=ConformOptions)


@dataclass(frozen=True)
class Place:
    """Where a source is: all that a worker needs to go on. Travels as JSON."""

    cursor: Cursor | None = None
    clock: dict[str, Any] = field(default_factory=dict)
    #: of the next message
    number: int = 0
    #: nothing is to be read from here on: another bundle has the rest, or the source has ended
    done: bool = False

    def to_json(self) -> bytes:
        """As the runner keeps it."""
        return orjson.dumps(self)

    @classmethod
    def of(cls, text: bytes) -> Place:
        """The inverse."""
        return cls(**orjson.loads(text))


class PlaceTracker(RestrictionTracker):  # type: ignore[misc]
    """Follows a source from a place; a split leaves everything that was not claimed to the other part."""

    def __init__(self, start: bytes) -> None:
        self._place = start
        self._stopped = Place.of(start).done

    def current_restriction(self) -> bytes:
        """Where it is."""
        return self._place

    def current_progress(self) -> RestrictionProgress:
        """Nobody knows how much is to come."""
        return RestrictionProgress(completed=Place.of(self._place).number, remaining=0 if self._stopped else 1)

    def try_claim(self, position: bytes) -> bool:
        """Whether what lies before the position may be given out."""
        if self._stopped:
            return False
        self._place = position
        self._stopped = Place.of(position).done
        return True

    def try_split(self, fraction_of_remainder: float) -> tuple[bytes, bytes] | None:
        """Stop here; a source can't be shared, so that only stopping is a split."""
        if self._stopped or fraction_of_remainder != 0:
            return None
        rest = self._place
        self._stopped = True
        self._place = _done(rest)
        return self._place, rest

    def check_done(self) -> None:
        """Complain about what was neither read nor left to another."""
        if not self._stopped:
            raise ValueError("a source was left without saying who goes on")

    def is_bounded(self) -> bool:
        """It goes on for ever."""
        return False


def _done(place: bytes) -> bytes:
    found = Place.of(place)
    return Place(found.cursor, found.clock, found.number, done=True).to_json()


class Places(RestrictionProvider):  # type: ignore[misc]
    """Restrictions of sources: JSON, never pickles."""

    def initial_restriction(self, element: str) -> bytes:  # noqa: ARG002 - all begin alike
        """Where a source begins is its own business."""
        return Place().to_json()

    def create_tracker(self, restriction: bytes) -> PlaceTracker:
        """Follow it from there."""
        return PlaceTracker(restriction)

    def restriction_coder(self) -> Any:
        """Bytes."""
        return beam.coders.BytesCoder()

    def restriction_size(self, element: str, restriction: bytes) -> float:  # noqa: ARG002 - unknown
        """One, or nothing."""
        return 0.0 if Place.of(restriction).done else 1.0


class Reading:
    """A source being followed from a place, and its watermark.

    Args:
        name: of the source.
        source: opened at the place's cursor.
        place: where it is.
        options: how it is followed.
        folder: where the source keeps its files; removed when it is closed, or when the process ends.
    """

    def __init__(
        self, name: str, source: Source, place: Place, options: LiveOptions, folder: Path | None = None
    ) -> None:
        self._name, self.source, self._options = name, source, options
        self._remove = None
        if folder is not None:
            self._remove = weakref.finalize(self, shutil.rmtree, folder, ignore_errors=True)
        self._clock = SourceClock(options.lateness_us, options.idle_us)
        if place.clock:
            self._clock.restore(place.clock)
        self._cursor, self._number = place.cursor, place.number
        self._said_us = self._clock.watermark_us
        self._since_mark = self._read = 0
        self._rate = Rate(time.monotonic(), 0)
        self._came = False
        self._polling: Iterator[Polled] | None = None
        self._quiet_since: float | None = None
        self._ended = place.done
        self._committing, self._committed = threading.Lock(), 0
        self._herald = herald(options.announced) if options.announced is not None else None
        #: what claims the last message
        self.place = place.to_json()

    def messages(self) -> Iterator[tuple[Message, Message]]:
        """What is new: rows, and in a second message of the same step the dead letters.

        Ends when the source has no more now, or a bundle is full. ``place`` lies behind each step.

        Raises:
            SourceError: as the source says.
        """
        began, read = time.monotonic(), 0
        rows: list[pa.RecordBatch] = []
        dead: list[pa.RecordBatch] = []
        waiting = 0
        if self._polling is None:
            self._polling = self.source.poll(_now())
        while (piece := next(self._polling, None)) is not None:
            waiting += self._take(piece, rows, dead)
            if waiting >= self._options.message_rows:
                yield self._message(rows, dead)
                read, waiting, rows, dead = read + waiting, 0, [], []
                # what polling holds and nobody got would be lost with it, so that it goes on where it is
                if read >= BUNDLE_ROWS or time.monotonic() - began >= BUNDLE_S:
                    return
        self._polling = None
        self._clock.polled(self.source.idle, microseconds(_now()))
        self._came = bool(read or waiting or dead)
        self._ended = self._over(came=self._came)
        if rows or dead or self._ended or self._clock.watermark_us > self._said_us:
            yield self._message(rows, dead)

    @property
    def quiet(self) -> bool:
        """Whether there was nothing new."""
        return self._polling is None and not self._came

    @property
    def ended(self) -> bool:
        """Whether it has said that nothing more will come."""
        return self._ended

    def tell(self) -> None:
        """Say by gauges where it is and how it is; also where nothing came, since the clock goes on."""
        if self._said_us > START:
            lag_us = microseconds(_now()) - self._said_us
            Metrics.gauge(METRICS, f"{LAG}{self._name}").set(lag_us // 1_000_000)
        Metrics.gauge(METRICS, f"{PACE}{self._name}").set(round(self._rate.take(time.monotonic(), self._read)))
        for unit, number in position_of(self._cursor or {}).items():
            Metrics.gauge(METRICS, f"{PLACE}{unit}_{self._name}").set(int(number))
        Metrics.gauge(METRICS, f"{IDLE}{self._name}").set(int(self._polling is None and self.source.idle))
        if self._herald is not None:
            Metrics.gauge(METRICS, REFUSED).set(self._herald.refused)

    def close(self) -> None:
        """Close the source, and remove its files."""
        self.source.close()
        if self._remove is not None:
            self._remove()

    def commit(self, place: Place) -> None:
        """Tell the source that a place is durable; places come in any order, and from several threads.

        Raises:
            SourceError: the source doesn't take it.
        """
        with self._committing:
            if place.cursor is not None and place.number > self._committed:
                self.source.commit(place.cursor)
                self._committed = place.number

    def _take(self, piece: Polled, rows: list[pa.RecordBatch], dead: list[pa.RecordBatch]) -> int:
        self._cursor = piece.cursor
        timed = with_at(piece.conformed.rows)
        self._clock.saw(timed, piece.watermark_us, microseconds(_now()))
        if timed.num_rows:
            rows.append(timed)
        if piece.conformed.dead.num_rows:
            dead.append(piece.conformed.dead)
        came = account(piece)
        self._read += came["read"]
        for name, count in came.items():
            if count:
                Metrics.counter(METRICS, name).inc(count)
        self._since_mark += int(timed.num_rows)
        if self._since_mark >= MAX_PENDING_ROWS:
            self._clock.polled(False, microseconds(_now()))
            self._since_mark = 0
        return int(timed.num_rows)

    def _over(self, *, came: bool) -> bool:
        """Whether nothing came for so long that this is the end."""
        if self._options.until_idle_s is None:
            return False
        now_s = time.monotonic()
        if came or not self.source.idle or self._quiet_since is None:
            self._quiet_since = now_s
        return self.source.idle and now_s - self._quiet_since >= self._options.until_idle_s

    def _message(self, rows: list[pa.RecordBatch], dead: list[pa.RecordBatch]) -> tuple[Message, Message]:
        if self._clock.watermark_us > self._said_us:
            self._said_us, self._since_mark = self._clock.watermark_us, 0
        mark = END if self._ended else self._said_us
        version = self._herald.look() if self._herald is not None else ""
        said = (
            Message(self._name, self._number, mark, tuple(rows), version),
            Message(self._name, self._number, mark, tuple(dead)),
        )
        self._number += 1
        self.place = Place(self._cursor, self._clock.to_json(), self._number, done=self._ended).to_json()
        return said[0], said[1]


def account(piece: Polled) -> dict[str, int]:
    """What a piece of news counts for."""
    dead = int(piece.conformed.dead.num_rows)
    return {
        "read": meter.standing(piece.conformed.rows) + dead,
        "dead_letter": dead,
        "ignored": int(piece.conformed.ignored),
    }


#: counter of how often sources were asked: it stands still only where no worker lives
POLLS: Final = "polls"
#: sources followed by this process, by job and name
_READING: Final[dict[tuple[str, str], Reading]] = {}


class LiveDoFn(beam.DoFn):  # type: ignore[misc]
    """The URI of a source to its messages, for ever; dead letters beside them."""

    def __init__(self, options: LiveOptions) -> None:
        self._options = options
        self._job = uuid.uuid4().hex

    @beam.DoFn.unbounded_per_element()  # type: ignore[untyped-decorator]
    def process(
        self,
        element: str,
        tracker: Any = beam.DoFn.RestrictionParam(Places()),  # noqa: B008 - Beam's way to ask for it
    ) -> Iterator[Any]:
        """Read a bundle's worth, and leave the rest to the next."""
        yield from self._follow(element, tracker)

    def _follow(self, uri: str, tracker: Any) -> Iterator[Any]:
        name = source_name(uri)
        reading: Reading | None = None
        Metrics.counter(METRICS, POLLS).inc()
        failing = Metrics.gauge(METRICS, f"{FAILING}{name}")
        try:
            reading = self._reading(name, uri, tracker.current_restriction())
            for message, dead in reading.messages():
                if not tracker.try_claim(reading.place):
                    # the runner has given the rest away, so that this message comes again from there
                    reading.close()
                    return
                yield message
                yield beam.pvalue.TaggedOutput(DEAD, dead)
            reading.tell()
            failing.set(0)
        except SourceError as error:
            if reading is not None:
                reading.close()
            if not error.retry:
                raise
            _log.warning("source %s fails, it will be tried again: %s", name, terminal(str(error)))
            failing.set(1)
            tracker.defer_remainder(Duration(seconds=FAILED_S))
            return
        if reading.ended:
            Metrics.counter(METRICS, f"{ENDED}{SOURCES}").inc()
            reading.close()
            return
        _READING[self._job, name] = reading
        tracker.defer_remainder(Duration(seconds=PAUSE_S if reading.quiet else 0.0))

    def _reading(self, name: str, uri: str, start: bytes) -> Reading:
        """The source at a place: the one that this process follows where it is there, else opened anew."""
        reading = _READING.pop((self._job, name), None)
        if reading is not None:
            if reading.place == start:
                return reading
            reading.close()
        place = Place.of(start)
        cursors = {} if place.cursor is None else {name: place.cursor}
        # the place is the truth: files of cursors that sources keep are for this process alone
        folder = Path(tempfile.mkdtemp(prefix="lonetree-source-"))
        try:
            source = open_sources([uri], cursors, folder, self._options.conform)[name]
        except BaseException:
            shutil.rmtree(folder, ignore_errors=True)
            raise
        return Reading(name, source, place, self._options, folder)


class CommittingLiveDoFn(LiveDoFn):
    """Also tells sources what was dealt with, once the runner has made it durable."""

    @beam.DoFn.unbounded_per_element()  # type: ignore[untyped-decorator]
    def process(
        self,
        element: str,
        # Beam counts on the restriction standing last
        finalizer: Any = beam.DoFn.BundleFinalizerParam,
        tracker: Any = beam.DoFn.RestrictionParam(Places()),  # noqa: B008
    ) -> Iterator[Any]:
        """As LiveDoFn."""
        yield from self._follow(element, tracker)
        name = source_name(element)
        reading = _READING.get((self._job, name))
        # every bundle of such a step must answer when it is finalized; by then the source may have been read further
        finalizer.register(partial(_commit, name, reading, tracker.current_restriction()))


def _commit(name: str, reading: Reading | None, place: bytes) -> None:
    if reading is None:
        return
    try:
        reading.commit(Place.of(place))
    except SourceError as error:  # the runner has it; a broker that doesn't know only shows more lag
        _log.warning("source %s: %s", name, terminal(str(error)))


def follow(options: LiveOptions) -> Any:
    """The step from the URIs of sources to ``rows`` and ``dead``, both of messages."""
    step = CommittingLiveDoFn(options) if options.commit else LiveDoFn(options)
    return beam.ParDo(step).with_outputs(DEAD, main=ROWS).with_output_types(Message)


def _now() -> dt.datetime:
    return dt.datetime.now(dt.timezone.utc)
