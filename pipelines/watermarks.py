"""How far a live source has come: the event time below which no more rows are waited for.

    rows flow, all read          latest completion seen - allowed lateness
    rows flow, more to read      the same, of the partition that is furthest behind; never beyond what the source says
    nothing came for a while     the clock - allowed lateness; never beyond what the source says
    the source fails             stands still: silence of a broken pipe is not silence of the functions

Pure: the clock is an argument.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Final

import pyarrow as pa

from detectors.order import times_of
from detectors.timeline import START

_SECOND_US: Final = 1_000_000
#: rows out of order by more than this (after their arrival) are late
DEFAULT_LATENESS_US: Final = 300 * _SECOND_US
#: a source from which nothing came for so long holds nobody back
DEFAULT_IDLE_US: Final = 60 * _SECOND_US


class SourceClock:
    """The watermark of one source. It never goes back.

    Args:
        lateness_us: how far rows may be out of order without being late.
        idle_us: from which silence on the clock moves the watermark; None: it never does.
    """

    def __init__(self, lateness_us: int = DEFAULT_LATENESS_US, idle_us: int | None = DEFAULT_IDLE_US) -> None:
        self._lateness, self._idle = lateness_us, idle_us
        #: us; START until the source has shown anything
        self.watermark_us = START
        self._seen: int | None = None
        self._claimed: int | None = None
        self._quiet_since: int | None = None
        self._came = False
        #: partition: latest completion seen, and when the clock showed what at that
        self._lanes: dict[str, tuple[int, int]] = {}

    def saw(self, rows: pa.RecordBatch, claimed_us: int | None, now_us: int) -> None:
        """A piece of news has come.

        Args:
            rows: INVOCATION rows with ``at``, all of one partition; may be empty.
            claimed_us: below which the source itself expects nothing more; None where it can't tell.
            now_us: the clock.
        """
        self._claimed = claimed_us
        if rows.num_rows:
            # a row from the future (a clock that is wrong, or a lie) must not make all others late
            latest = min(int(times_of(rows).max()), now_us)
            lane = str(rows.column("source")[0].as_py())
            self._lanes[lane] = (max(latest, self._lanes.get(lane, (latest, 0))[0]), now_us)
            self._seen = latest if self._seen is None else max(self._seen, latest)
            self._quiet_since, self._came = now_us, True
        if claimed_us is not None and self._seen is not None:
            self._move(min(claimed_us, self._seen - self._lateness))

    def polled(self, idle: bool, now_us: int) -> None:
        """The source has given all it has for now.

        Args:
            idle: there is nothing more to read, and the source is well.
            now_us: the clock.
        """
        came, self._came = self._came, False
        if self._quiet_since is None or self._quiet_since > now_us:  # at the start, and where the clock was set back
            self._quiet_since = now_us
        if not idle:
            if came:
                self._move(self._behind(now_us))
            return
        if self._seen is not None:
            self._move(self._seen - self._lateness)
        if self._idle is not None and now_us - self._quiet_since >= self._idle:
            claimed = now_us if self._claimed is None else self._claimed
            self._move(min(claimed, now_us - self._lateness))

    def _behind(self, now_us: int) -> int:
        """What holds while there is more to read: partitions may be read at different speed."""
        if self._idle is not None:
            self._lanes = {n: (seen, at) for n, (seen, at) in self._lanes.items() if abs(now_us - at) <= self._idle}
        reached = min((seen for seen, _ in self._lanes.values()), default=START) - self._lateness
        return reached if self._claimed is None else min(reached, self._claimed)

    def _move(self, to_us: int) -> None:
        self.watermark_us = max(self.watermark_us, to_us)

    def to_json(self) -> dict[str, Any]:
        """What a restart needs."""
        return {"watermark_us": self.watermark_us, "seen_us": self._seen}

    def restore(self, saved: Mapping[str, Any]) -> None:
        """Take over what ``to_json`` gave."""
        self.watermark_us = int(saved["watermark_us"])
        self._seen = None if saved["seen_us"] is None else int(saved["seen_us"])


def slowest(clocks: Iterable[SourceClock]) -> int:
    """The watermark that all sources vouch for; START while there is none or one has shown nothing yet."""
    return min((clock.watermark_us for clock in clocks), default=START)
