"""What a live source is: something that is asked for news, and that forgets only what it was told to forget."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Protocol, TypeAlias, runtime_checkable

from detectors.conform import Conformed

#: where a source is, as JSON data; opaque to everyone but the source that made it
Cursor: TypeAlias = Mapping[str, Any]


@dataclass(frozen=True)
class Polled:
    """One piece of news."""

    #: the records: rows, dead letters and how many were ignored
    conformed: Conformed
    #: where the source is once this piece has been dealt with, and every piece before it
    cursor: Cursor
    #: event time in µs UTC below which the source expects no more rows, by what it knows of itself; None where it
    #: can't tell, as while it catches up. It never promises: rows below it are late, not impossible.
    watermark_us: int | None

    @property
    def records(self) -> int:
        """Records that this piece accounts for: rows, dead letters and ignored ones."""
        return int(self.conformed.rows.num_rows + self.conformed.dead.num_rows + self.conformed.ignored)


@runtime_checkable
class Source(Protocol):
    """A source of invocation logs that goes on for ever.

    Contract:
        - ``poll`` yields what is new, in pieces, and ends when there is nothing more now. It never sleeps: a source
          that must wait (throttled, down) yields nothing until ``now`` has passed the time it waits for.
        - An idle source yields pieces without rows whose watermark moves on, so that it holds nobody back.
        - The cursor of a piece covers it and all before it. ``commit(cursor)`` makes the source start from there after
          a restart; what was polled and not committed comes again. Nothing is committed by polling.
        - A piece is complete or absent: an answer that was cut short yields nothing.
        - ``now`` is the clock. If it is set back, the source waits or goes on; it loses and repeats nothing.
    """

    def poll(self, now: dt.datetime) -> Iterator[Polled]:
        """What is new at ``now`` (aware, UTC).

        Raises:
            SourceError: ``retry=False`` where a person must act (no rights, no such workspace, folder or topic);
                failures that pass by themselves are waited for.
        """
        ...

    def commit(self, cursor: Cursor) -> None:
        """Remember, on disk or at the broker, that everything up to the cursor has been dealt with.

        Raises:
            SourceError: it could not be remembered (``retry=True``); the source goes on, a restart would repeat.
        """
        ...

    @property
    def idle(self) -> bool:
        """Whether the last ``poll`` read everything there was."""
        ...

    def close(self) -> None:
        """Release connections. Commits nothing."""
        ...


def microseconds(time: dt.datetime) -> int:
    """An aware time as µs since 1970 UTC."""
    return int((time - _EPOCH) // dt.timedelta(microseconds=1))


def from_microseconds(us: int) -> dt.datetime:
    """µs since 1970 UTC as an aware time."""
    return _EPOCH + dt.timedelta(microseconds=us)


_EPOCH = dt.datetime(1970, 1, 1, tzinfo=dt.timezone.utc)
