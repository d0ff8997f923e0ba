"""Which stretch of ingestion time to ask for next, and which rows of it are new: pure logic, no network, no clock.

    … ──────────── done ───────────┤ to         ┤ ripe     ┤ now
                        ├ overlap ─┤ new rows   ┤   lag    ┤
                        ├── window ──┼── window ┤
                        at           └ one pass ┘

Rows become visible a little out of order. So a pass, in one or more windows, goes from ``overlap`` before the end of
the last pass to what is ripe now, and rows whose item id was seen are dropped. The windows shrink when an answer is cut
short and grow again when it isn't; they may end within the overlap, so that however many rows it holds, a pass ends.
What was ripe for longer than the overlap when it was asked for is not asked for again: a backfill reads once.
"""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from models.errors import SourceError
from models.hashing import hash_strings

_MINUTE_US: Final = 60_000_000

#: version of the cursor's JSON
_VERSION: Final = 1


@dataclass(frozen=True)
class PullOptions:
    """How ingestion time is cut into windows; all durations in µs."""

    #: what came last is left alone for so long, because rows become visible out of order
    lag_us: int = 1 * _MINUTE_US
    #: how much of the previous window is asked for again
    overlap_us: int = 5 * _MINUTE_US
    #: widest window, used for backfill and after an outage
    widest_us: int = 60 * _MINUTE_US
    #: a window below this is not halved any more
    narrowest_us: int = 1_000
    #: windows shorter than this are not worth a request; more has to have passed
    shortest_us: int = 5_000_000


@dataclass(frozen=True)
class Seen:
    """Item ids of the overlap, each as a 64-bit hash with its ingestion time, sorted by hash."""

    hashes: NDArray[np.uint64] = field(default_factory=lambda: np.zeros(0, np.uint64))
    times_us: NDArray[np.int64] = field(default_factory=lambda: np.zeros(0, np.int64))

    def __len__(self) -> int:
        return len(self.hashes)

    def holds(self, hashes: NDArray[np.uint64]) -> NDArray[np.bool_]:
        """bool[n]: which of the hashes (uint64[n]) are among the seen."""
        if not len(self.hashes):
            return np.zeros(len(hashes), np.bool_)
        at = np.minimum(np.searchsorted(self.hashes, hashes), len(self.hashes) - 1)
        found: NDArray[np.bool_] = self.hashes[at] == hashes
        return found

    def with_rows(self, hashes: NDArray[np.uint64], times_us: NDArray[np.int64], since_us: int) -> Seen:
        """These and further rows, without those ingested before ``since_us``."""
        all_hashes = np.concatenate([self.hashes, hashes])
        all_times = np.concatenate([self.times_us, times_us])
        kept = all_times >= since_us
        unique, first = np.unique(all_hashes[kept], return_index=True)
        return Seen(unique, all_times[kept][first])


@dataclass(frozen=True)
class PullCursor:
    """How far one table of one workspace has been pulled; times are ingestion times in µs UTC."""

    #: up to here every visible row has been handed on
    to_us: int
    #: where the next window begins; before ``to_us`` where the overlap is read again
    at_us: int
    #: width of the next window, µs
    width_us: int
    #: where the next pass begins, as this one knows by now; None before its first window that has to be read again
    again_us: int | None = None
    #: rows handed on, for their positions
    rows: int = 0
    seen: Seen = field(default_factory=Seen)

    @classmethod
    def start(cls, from_us: int, options: PullOptions) -> PullCursor:
        """A cursor that begins at a time; nothing before it is asked for."""
        return cls(from_us, from_us, options.widest_us)

    def to_json(self) -> dict[str, Any]:
        """As JSON data; ids and their times as base64 of 16 bytes a row."""
        return {
            "version": _VERSION,
            "to_us": self.to_us,
            "at_us": self.at_us,
            "width_us": self.width_us,
            "again_us": self.again_us,
            "rows": self.rows,
            "hashes": base64.b64encode(self.seen.hashes.astype("<u8").tobytes()).decode(),
            "times_us": base64.b64encode(self.seen.times_us.astype("<i8").tobytes()).decode(),
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> PullCursor:
        """The cursor that ``to_json`` wrote.

        Raises:
            SourceError: it was not (``retry=False``).
        """
        try:
            if data["version"] != _VERSION:
                raise ValueError(f"version {data['version']}")
            hashes = np.frombuffer(base64.b64decode(data["hashes"], validate=True), "<u8").astype(np.uint64)
            times_us = np.frombuffer(base64.b64decode(data["times_us"], validate=True), "<i8").astype(np.int64)
            if len(hashes) != len(times_us):
                raise ValueError("ids and times of different length")
            again_us = None if data["again_us"] is None else int(data["again_us"])
            to_us, at_us, width_us, rows = (int(data[name]) for name in ("to_us", "at_us", "width_us", "rows"))
            return cls(to_us, at_us, width_us, again_us, rows, Seen(hashes, times_us))
        except (KeyError, TypeError, ValueError) as error:
            raise SourceError(
                "The cursor can't be read.",
                expected=f"a cursor of version {_VERSION}",
                received=f"{type(error).__name__}: {error}",
                hint="remove the cursor's file and give a time to start from",
            ) from None


@dataclass(frozen=True)
class Window:
    """A stretch of ingestion time to ask for: ``begin_us`` <= time < ``end_us``."""

    begin_us: int
    end_us: int


def next_window(cursor: PullCursor, now_us: int, options: PullOptions) -> Window | None:
    """The window to ask for; None where nothing is ripe, also while the clock is set back."""
    ripe_us = now_us - options.lag_us
    within_pass = cursor.again_us is not None
    if not within_pass and ripe_us - cursor.to_us < options.shortest_us:
        return None
    end_us = min(cursor.at_us + cursor.width_us, ripe_us)
    return Window(cursor.at_us, end_us) if end_us > cursor.at_us else None


def halved(cursor: PullCursor, window: Window, options: PullOptions) -> PullCursor | None:
    """The cursor after an answer that was cut short: it stays, its next window half as wide; None if too narrow."""
    width_us = (window.end_us - window.begin_us) // 2
    return replace(cursor, width_us=width_us) if width_us >= options.narrowest_us else None


def completed(
    cursor: PullCursor,
    window: Window,
    items: Sequence[str],
    times_us: NDArray[np.int64],
    now_us: int,
    options: PullOptions,
) -> tuple[PullCursor, NDArray[np.bool_]]:
    """The cursor after a whole answer, and which of its rows are new.

    Args:
        cursor: the cursor the window was made from.
        window: what was asked for.
        items: item id of each row.
        times_us: int64[rows], ingestion time of each row.
        now_us: the clock when the window was made.
        options: as for ``next_window``.

    Returns:
        The cursor behind the window, its width doubled; bool[rows], True where a row was not seen before, neither in
        an earlier window nor earlier in this answer.
    """
    hashes = hash_strings(pa.array(items, pa.string()))
    fresh = np.zeros(len(hashes), np.bool_)
    fresh[np.unique(hashes, return_index=True)[1]] = True
    fresh &= ~cursor.seen.holds(hashes)
    end_us, ripe_us = window.end_us, now_us - options.lag_us
    again_us = cursor.again_us
    unsettled_us = max(ripe_us - options.overlap_us, window.begin_us)
    if end_us > unsettled_us:
        again_us = unsettled_us if again_us is None else min(again_us, unsettled_us)
    seen = cursor.seen.with_rows(hashes[fresh], times_us[fresh], end_us if again_us is None else min(end_us, again_us))
    width_us = min(options.widest_us, max(cursor.width_us, end_us - window.begin_us) * 2)
    at_us = end_us
    if end_us >= ripe_us and again_us is not None:  # the pass ends, and the next begins in its overlap
        at_us, again_us = again_us, None
    to_us = max(cursor.to_us, end_us)
    return PullCursor(to_us, at_us, width_us, again_us, cursor.rows + int(fresh.sum()), seen), fresh
