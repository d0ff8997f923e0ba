"""Which ids came in the last hours: a hash set that forgets by spans of ten minutes, eight bytes a slot.

An entry is the upper 56 bits of the id's hash and the span (UTC, modulo 256) of its event. With ten million ids held,
the chance that any two are mistaken for one another is about 1 in 1,400. More than that are not held: where more come
within the hours, those that came first are forgotten first.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from detectors.seen_log import ENTRY, SPANS, SeenLog
from models.hashing import Hashes
from models.jit import njit

#: whole hours of event time that an id is remembered: exports retry for 12 h
REMEMBERED_HOURS: Final = 12
#: one hour in microseconds
HOUR_US: Final = 3_600_000_000
#: what is forgotten at once, us, and how many of them are remembered
SPAN_US: Final = 600_000_000
REMEMBERED_SPANS: Final = REMEMBERED_HOURS * HOUR_US // SPAN_US
#: ids held at most: 134 MB of slots
MOST: Final = 10_000_000
#: share of them that stays where they are too many, so that they are not soon again
_STAYS: Final = 0.75
#: an entry's span is kept modulo this; entries must be swept before they are that old
_SPANS: Final = SPANS
_SPAN_MASK: Final = np.uint64(_SPANS - 1)
_HASH_MASK: Final = np.uint64(2**64 - _SPANS)
#: an entry for the hash whose upper bits are all zero, since 0 marks an empty slot
_ZERO_HASH: Final = np.uint64(_SPANS)
_SHIFT: Final = np.uint64(8)
_EMPTY: Final = np.uint64(0)
#: slots at the beginning: 32 kB
_FIRST_SLOTS: Final = 4_096
#: used slots at which the table is rebuilt; linear probing slows down beyond
_FULL: Final = 0.6
#: and of those that are used after that: a little more than half, so that a full table becomes twice as large
_ROOMY: Final = 0.36
#: slots that hold MOST
_MOST_SLOTS: Final = 2**24


class Seen:
    """A set of hashes with the span of each.

    Args:
        most: ids held.
    """

    def __init__(self, most: int = MOST) -> None:
        #: uint64[2**k], the slots
        self.slots: Hashes = np.zeros(_FIRST_SLOTS, np.uint64)
        #: span (since 1970) that the last ``add`` ended in; entries are at most 255 spans older
        self.span = 0
        self._most = most
        self._used = 0
        self._swept = 0
        self._log: SeenLog | None = None

    def __len__(self) -> int:
        return self._used

    def add(self, hashes: Hashes, times_us: npt.NDArray[np.int64], watermark_us: int) -> None:
        """Remember ids, and forget what no row from the watermark on can need.

        Args:
            hashes: uint64[n].
            times_us: int64[n], when each came.
            watermark_us: rows behind it are still to come.
        """
        now = max(watermark_us // SPAN_US, self.span)
        spans = times_us // SPAN_US
        needed = (spans >= now - REMEMBERED_SPANS) & (spans <= now)
        hashes, spans = hashes[needed], spans[needed]
        room = min(_FULL * len(self.slots), self._most)
        if now - self._swept >= REMEMBERED_SPANS or self._used + len(hashes) > room:
            self._rebuild(now, len(hashes))
        self._used += _insert(self.slots, hashes, spans)
        if self._log is not None:
            self._log.forget(now - REMEMBERED_SPANS)
            self._log.add(hashes, spans)
        self.span = now

    def snapshot(self) -> pa.Table:
        """All entries, in batches that stay as they are from one snapshot to the next but for the last."""
        if self._log is None:
            self._log = SeenLog()
            entries = np.sort(self.slots[self.slots != _EMPTY])
            self._log.add(entries, self.span - _age(entries, self.span))
        metadata = {"span": str(self.span), "swept": str(self._swept), "oldest": str(self._log.oldest)}
        return pa.Table.from_batches(self._log.batches(), pa.schema([ENTRY], metadata=metadata))

    def restore(self, table: pa.Table) -> None:
        """Take over a snapshot."""
        metadata: Mapping[bytes, bytes] = table.schema.metadata
        self.span, self._swept = int(metadata[b"span"]), int(metadata[b"swept"])
        oldest = int(metadata[b"oldest"])
        self._log = SeenLog(oldest)
        self.slots, self._used = np.zeros(_slots_for(min(table.num_rows, self._most)), np.uint64), 0
        for batch in table.to_batches():
            entries = batch.column(0).to_numpy()
            spans = self.span - _age(entries, self.span)
            self._log.keep(batch, spans)
            needed = (spans >= self.span - REMEMBERED_SPANS) & (spans >= oldest)
            self._used += _insert(self.slots, entries[needed], spans[needed])

    def _rebuild(self, now: int, room: int) -> None:
        """Drop what is too old or too much, and make room."""
        entries = self.slots[self.slots != _EMPTY]
        # spans are relative to that of the last add, when all entries were at most 255 spans old
        spans = self.span - _age(entries, self.span)
        oldest = now - REMEMBERED_SPANS
        counts = np.bincount(spans[spans >= oldest] - oldest, minlength=REMEMBERED_SPANS + 1)
        held = np.cumsum(counts[::-1])[::-1]
        if held[0] + room > self._most:
            fits = np.flatnonzero(held <= _STAYS * self._most - room)
            oldest += int(fits[0]) if len(fits) else len(held)
        entries = entries[spans >= oldest]
        self.slots = np.zeros(_slots_for(len(entries) + room), np.uint64)
        _place(self.slots, entries)
        self._used = len(entries)
        self._swept = now
        if self._log is not None:
            self._log.forget(oldest)


def _slots_for(entries: int) -> int:
    """A power of two with room to grow; no more than ``MOST`` need."""
    slots = _FIRST_SLOTS
    while entries > slots * _ROOMY and (slots < _MOST_SLOTS or entries > slots * _FULL):
        slots *= 2
    return slots


def _age(entries: Hashes, span: int) -> npt.NDArray[np.int64]:
    """How many spans before ``span`` each entry is, int64[n]."""
    age: npt.NDArray[np.int64] = (span - (entries & _SPAN_MASK).astype(np.int64)) & (_SPANS - 1)
    return age


@njit
def recall(slots: Hashes, base_span: int, hashed: np.uint64, span: int) -> bool:
    """Whether an id came in the spans before ``span``; ``base_span`` is ``Seen.span``."""
    wanted = hashed & _HASH_MASK
    if wanted == _EMPTY:
        wanted = _ZERO_HASH
    mask = np.uint64(slots.shape[0] - 1)
    slot = (wanted >> _SHIFT) & mask
    while slots[slot] != _EMPTY:
        if (slots[slot] & _HASH_MASK) == wanted:
            age = (base_span - np.int64(slots[slot] & _SPAN_MASK)) & (_SPANS - 1)
            return bool(span - (base_span - age) <= REMEMBERED_SPANS)
        slot = (slot + np.uint64(1)) & mask
    return False


@njit
def _insert(slots: Hashes, hashes: Hashes, spans: npt.NDArray[np.int64]) -> int:
    """Add ids, or put those there forward to a later span; how many are new."""
    mask = np.uint64(slots.shape[0] - 1)
    added = 0
    for i in range(hashes.shape[0]):
        wanted = hashes[i] & _HASH_MASK
        if wanted == _EMPTY:
            wanted = _ZERO_HASH
        slot = (wanted >> _SHIFT) & mask
        while slots[slot] != _EMPTY and (slots[slot] & _HASH_MASK) != wanted:
            slot = (slot + np.uint64(1)) & mask
        if slots[slot] == _EMPTY:
            added += 1
        else:
            # what is held is at most twice the remembered spans older, and at most the remembered spans newer
            ahead = (spans[i] - np.int64(slots[slot] & _SPAN_MASK)) & (_SPANS - 1)
            if ahead >= _SPANS - REMEMBERED_SPANS:
                continue
        slots[slot] = wanted | (np.uint64(spans[i]) & _SPAN_MASK)
    return added


@njit
def _place(slots: Hashes, entries: Hashes) -> None:
    """Put whole entries, all different, into an empty table."""
    mask = np.uint64(slots.shape[0] - 1)
    for entry in entries:
        slot = (entry >> _SHIFT) & mask
        while slots[slot] != _EMPTY:
            slot = (slot + np.uint64(1)) & mask
        slots[slot] = entry
