"""A folder or container as a live source: new blobs, and blobs that grow, read by offset: nothing comes twice."""

from __future__ import annotations

import datetime as dt
import logging
import re
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

import pyarrow as pa

from detectors.conform import Conformed, ConformOptions, conform_json, conform_table
from detectors.conform.assemble import dead_letters
from detectors.conform.options import MAX_RECORD_BYTES
from detectors.schema import DEAD_LETTER, INVOCATION
from models.errors import SourceError
from pipelines.sources.base import Cursor, Polled, microseconds
from pipelines.sources.blobs import Blob, Blobs, open_blobs
from pipelines.sources.growth import HEAD_BYTES, Growth, take
from pipelines.sources.state import load_cursor, save_cursor
from pipelines.sources.whole import WHOLE_ENDINGS, DamagedError, pieces

#: blobs of lines, which may grow; also as rotation renames them, app.log.1 or app.log-20260801
_LINES: Final = re.compile(r".*\.(json|jsonl|ndjson|log|txt)([.-]\d+)?")
#: bytes read at once
CHUNK_BYTES: Final = 8 * 1024 * 1024
#: a blob that has not grown for so long rests: its last line counts without a break, and a packed blob is complete
REST_US: Final = 60_000_000
#: a last line that is torn for so long stays torn
GIVE_UP_US: Final = 24 * 3_600_000_000
#: an hour's partition that has rested for so long is forgotten, and its folder not looked at again
HORIZON_US: Final = 7 * 24 * 3_600_000_000
#: resource logs reach storage three to ten minutes after the event
DELIVERY_DELAY_US: Final = 10 * 60_000_000
#: a blob that can't be read holds the watermark back for so long; then its rows will be late
HOLD_US: Final = 5 * 60_000_000
#: pause after a listing failed
_LISTING_PAUSE_US: Final = 10_000_000

_HOUR: Final = re.compile(r"(?:^|/)y=(\d{4})/m=(\d{2})/d=(\d{2})/h=(\d{2})(?:/|$)")

_log = logging.getLogger(__name__)


class TailSource:
    """Follows every blob below a root; see Source for the contract.

    Blobs of lines (PT1H.json and its like) are tailed: each poll lists the root and reads what grew, whole lines only.
    So the previous hour is looked at again with every poll, and so are all hours of the last week, late as they may
    grow. ``.gz`` and ``.parquet`` are read once, when they have rested. Other names, and those beginning with ``.`` or
    ``_``, are left alone.

    - A blob that was renamed (log rotation) is recognised by its inode, or by its beginning, and read on.
    - A blob that was replaced or cut back is read from its start, as a new one.
    - A copy of a blob is another blob.
    - Several lines of JSON that make one document are not put together; each such line is a dead letter.

    Args:
        root: a folder, or a URL of Beam's file systems (azfs://…).
        state: file of the committed cursor; None keeps it in memory only.
        start: partitions of earlier hours, and blobs last changed before, are not read.
        conform: how records are read.
        blobs: where blobs are; follows from ``root`` unless given.
        chunk_bytes: bytes read at once, an upper bound of a piece of news.
        delivery_delay_us: how long after its event a record usually arrives, for the watermark.
    """

    def __init__(
        self,
        root: str,
        *,
        state: Path | None = None,
        start: dt.datetime | None = None,
        conform: ConformOptions | None = None,
        blobs: Blobs | None = None,
        chunk_bytes: int = CHUNK_BYTES,
        delivery_delay_us: int = DELIVERY_DELAY_US,
    ) -> None:
        self.root, self._state, self._conform = root, state, conform or ConformOptions()
        self._blobs = blobs if blobs is not None else open_blobs(root)
        self._chunk, self._delay_us = chunk_bytes, delivery_delay_us
        self._start_s = start.timestamp() if start is not None else 0.0
        self._frontier = "" if start is None else start.astimezone(dt.timezone.utc).strftime("%Y%m%d%H")
        saved = load_cursor(state, "tail") if state is not None else None
        self._known: dict[str, Growth] = {}
        if saved is not None:
            self._frontier = max(self._frontier, str(saved.get("frontier", "")))
            self._known = _growths(saved.get("blobs"))
        self._json = {path: growth.to_json() for path, growth in self._known.items()}
        self._listed = self._idle = False
        self._retry_at_us = 0
        self._failing: dict[str, int] = {}

    def poll(self, now: dt.datetime) -> Iterator[Polled]:
        """Read what is new; at the end a piece without rows whose watermark says how far.

        Raises:
            SourceError: the root can't be listed, and never could (``retry`` says whether waiting may help).
        """
        now_us = microseconds(now)
        self._idle = False
        if 0 < self._retry_at_us - now_us <= _LISTING_PAUSE_US:
            return
        try:
            listing = [blob for blob in self._blobs.list() if self._concerns(blob)]
        except (OSError, SourceError) as error:
            if not self._listed:
                raise
            self._retry_at_us = now_us + _LISTING_PAUSE_US
            _log.warning("%s can't be listed: %s", self.root, error)
            return
        self._listed = True
        self._follow_renamed(listing)
        failing: dict[str, int] = {}
        for blob in listing:
            try:
                yield from self._read(blob, now_us)
            except (OSError, SourceError) as error:  # noqa: PERF203, a blob that can't be read must not stop the others
                failing[blob.path] = min(now_us, self._failing.get(blob.path, now_us))
                _log.warning("%s can't be read, it will be tried again: %s", blob.path, error)
        self._failing = failing
        self._forget(listing, now_us)
        self._idle = not failing
        held = any(now_us - since_us < HOLD_US for since_us in failing.values())
        yield Polled(_nothing(), self._cursor(), None if held else now_us - self._delay_us)

    def commit(self, cursor: Cursor) -> None:
        """Write the cursor to ``state``."""
        if self._state is not None:
            save_cursor(self._state, cursor)

    @property
    def idle(self) -> bool:
        """Whether the last ``poll`` read everything that was there."""
        return self._idle

    def close(self) -> None:
        """Nothing is held open."""

    def _concerns(self, blob: Blob) -> bool:
        name = blob.path.rpartition("/")[2].lower()
        if name.startswith((".", "_")) or not (_LINES.fullmatch(name) or name.endswith(WHOLE_ENDINGS)):
            return False
        if blob.path in self._known:
            return True
        hour = _hour(blob.path)
        if hour is not None:
            return hour >= self._frontier
        return not (0 < blob.modified_s < self._start_s)

    def _follow_renamed(self, listing: list[Blob]) -> None:
        """Give what is known of blobs that moved to the names they have now."""
        now_there = {blob.path: blob for blob in listing}
        moved = {path for path, known in self._known.items() if not _still(known, now_there.get(path))}
        found: dict[str, Growth] = {}
        taken: set[str] = set()
        for blob in listing:
            if not moved or (blob.path in self._known and blob.path not in moved):
                continue
            path = self._former_name(blob, moved - taken)
            if path is not None:
                found[blob.path] = replace(self._known[path], identity=blob.identity)
                taken.add(path)
        for path in taken:
            self._drop(path)  # if there is a blob by that name, it is another one, or was cut back: new
        for path, known in found.items():
            self._set(path, known)

    def _former_name(self, blob: Blob, moved: set[str]) -> str | None:
        """Which of the blobs that moved this one is, told by how it begins."""
        fitting = [path for path in moved if path != blob.path and 0 < self._known[path].head_bytes <= blob.size]
        fitting = [path for path in fitting if self._known[path].offset <= blob.size]
        if not fitting:
            return None
        try:
            head = self._blobs.read(blob.path, 0, HEAD_BYTES)
        except (OSError, SourceError):
            return None  # reading it will fail too, and say so
        same = [path for path in fitting if self._known[path].same_head(head)]
        return min(same, key=lambda path: (self._known[path].identity != blob.identity, path), default=None)

    def _read(self, blob: Blob, now_us: int) -> Iterator[Polled]:
        known = self._known.get(blob.path, Growth())
        changed = (blob.size, blob.modified_s) != (known.size, known.modified_s)
        if changed:
            head = self._blobs.read(blob.path, 0, min(HEAD_BYTES, blob.size))
            if blob.size < known.offset or not known.same_head(head):
                _log.info("%s was replaced or cut back; it is read from its start", blob.path)
                known = Growth()
            known = replace(
                known.with_head(head),
                size=blob.size, modified_s=blob.modified_s, grown_us=now_us, identity=blob.identity,
            )  # fmt: skip
        elif known.grown_us > now_us:  # the clock was set back
            known = replace(known, grown_us=now_us)
        self._set(blob.path, known)
        rested_us = now_us - known.grown_us
        if blob.path.lower().endswith(WHOLE_ENDINGS):
            if known.offset < blob.size and rested_us >= REST_US:
                yield from self._read_whole(blob, known)
            return
        yield from self._read_lines(blob, known, rested_us)

    def _read_lines(self, blob: Blob, known: Growth, rested_us: int) -> Iterator[Polled]:
        step = self._chunk
        while known.offset < blob.size:
            end = min(blob.size, known.offset + step)
            data = self._blobs.read(blob.path, known.offset, end)
            if not data:
                return
            at_end = known.offset + len(data) >= blob.size
            found = take(
                known, data, rested=at_end and rested_us >= REST_US, given_up=at_end and rested_us >= GIVE_UP_US
            )
            if found.after.offset == known.offset:
                if at_end:
                    return  # the last line is not finished
                step = min(step * 2, 2 * MAX_RECORD_BYTES)  # a line longer than the step
                continue
            known, step = found.after, self._chunk
            self._set(blob.path, known)
            if found.lines:
                source = f"{self.root.rstrip('/')}/{blob.path}"
                yield Polled(conform_json(found.lines, source, found.first_line, self._conform), self._cursor(), None)

    def _read_whole(self, blob: Blob, known: Growth) -> Iterator[Polled]:
        data, source = self._blobs.read(blob.path, 0, blob.size), f"{self.root.rstrip('/')}/{blob.path}"
        try:
            for piece in pieces(blob.path, data, known.line, self._chunk, self._conform):
                if isinstance(piece, pa.RecordBatch):
                    conformed, count = conform_table(piece, source, known.line, self._conform), piece.num_rows
                else:
                    conformed, count = conform_json(piece, source, known.line, self._conform), len(piece)
                known = replace(known, line=known.line + count)
                self._set(blob.path, known)
                yield Polled(conformed, self._cursor(), None)
        except DamagedError as error:  # it rested, so nobody is going to finish it; if it changes, it is read on
            _log.warning("%s is damaged: %s", blob.path, error)
            self._set(blob.path, replace(known, offset=blob.size))
            letter = (known.line, f"expected a whole {blob.path.rpartition('.')[2]} blob; received {error}", "")
            dead = dead_letters(source, [letter], self._conform)
            yield Polled(_nothing()._replace(dead=dead), self._cursor(), None)
            return
        self._set(blob.path, replace(known, offset=blob.size))

    def _forget(self, listing: list[Blob], now_us: int) -> None:
        """Drop what can't matter any more: partitions long past and at rest, and names long gone."""
        present = {blob.path for blob in listing}
        horizon = _hour_of_time(now_us - HORIZON_US)
        for path, known in list(self._known.items()):
            if now_us - known.grown_us < HORIZON_US:
                continue
            hour = _hour(path)
            if path not in present:
                self._drop(path)
            elif hour is not None and hour < horizon and known.offset >= known.size:
                self._drop(path)
                following = dt.datetime.strptime(hour, "%Y%m%d%H").replace(tzinfo=dt.timezone.utc) + dt.timedelta(
                    hours=1
                )
                self._frontier = max(self._frontier, following.strftime("%Y%m%d%H"))

    def _set(self, path: str, growth: Growth) -> None:
        if self._known.get(path) != growth:
            self._known[path] = growth
            self._json = {**self._json, path: growth.to_json()}

    def _drop(self, path: str) -> None:
        del self._known[path]
        self._json = {name: data for name, data in self._json.items() if name != path}

    def _cursor(self) -> Cursor:
        return {"kind": "tail", "frontier": self._frontier, "blobs": self._json}


def _still(known: Growth, blob: Blob | None) -> bool:
    """Whether a blob by this name can be the one that is known."""
    if blob is None or blob.size < known.offset:
        return False
    return known.identity is None or blob.identity is None or blob.identity == known.identity


def _hour(path: str) -> str | None:
    """The hour of a partition, yyyymmddhh."""
    found = _HOUR.search(path)
    return "".join(found.groups()) if found else None


def _hour_of_time(us: int) -> str:
    """The hour that a time in µs UTC lies in, yyyymmddhh."""
    return dt.datetime.fromtimestamp(max(us, 0) // 1_000_000, dt.timezone.utc).strftime("%Y%m%d%H")


def _growths(data: Any) -> dict[str, Growth]:
    try:
        if not isinstance(data, Mapping):
            raise TypeError("no blobs")
        return {str(path): Growth.from_json(growth) for path, growth in data.items()}
    except TypeError as error:
        raise SourceError(
            "The cursor can't be read.",
            expected="a cursor of this version",
            received=str(error),
            hint="move its file away",
        ) from None


def _nothing() -> Conformed:
    return Conformed(
        pa.RecordBatch.from_pylist([], schema=INVOCATION), pa.RecordBatch.from_pylist([], schema=DEAD_LETTER), 0
    )
