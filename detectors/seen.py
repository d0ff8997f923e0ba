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
#: ids from which on their rate says how many the remembered hours will hold: fewer may be a burst
_TELLING: Final = 100_000


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
        #: ids that came since this object was made, and when the first did, us
        self._came, self._since_us = 0, 0
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
        if len(hashes) and not self._came:
            self._since_us = int(times_us[needed].min())
        self._came += len(hashes)
        room = min(_FULL * len(self.slots), self._most)
        if now - self._swept >= REMEMBERED_SPANS or self._used + len(hashes) > room:
            self._rebuild(now, len(hashes), int(times_us.max(initial=0)))
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

    def _rebuild(self, now: int, room: int, newest_us: int) -> None:
        """Drop what is too old or too much, and make room: in place, or in a table that is large enough for long."""
        oldest = now - REMEMBERED_SPANS
        counts = np.zeros(REMEMBERED_SPANS + 1, np.int64)
        # spans are relative to that of the last add, when all entries were at most 255 spans old
        reach = self.span - oldest
        if reach >= 0:
            counts[: reach + 1] = _by_age(self.slots, self.span)[reach::-1]
        held = np.cumsum(counts[::-1])[::-1]
        if held[0] + room > self._most:
            fits = np.flatnonzero(held <= _STAYS * self._most - room)
            dropped = int(fits[0]) if len(fits) else len(held)
            oldest += dropped
            held = held[dropped:]
        self._used = int(held[0]) if len(held) else 0
        slots = _slots_for(max(self._used + room, self._expected(newest_us)))
        if slots == len(self.slots):
            _sweep(self.slots, self.span, oldest)
        else:
            fresh: Hashes = np.zeros(slots, np.uint64)
            _move(self.slots, fresh, self.span, oldest)
            self.slots = fresh
        self._swept = now
        if self._log is not None:
            self._log.forget(oldest)

    def _expected(self, newest_us: int) -> int:
        """How many ids the remembered hours will hold, if they go on as they came; 0 while nobody can say.

        The table of a busy stream has its size after seconds, and need not be copied into one of twice the size, and
        again: that takes room for both at once, and memory goes on growing for half an hour.
        """
        if self._came < _TELLING:
            return 0
        passed_us = max(newest_us - self._since_us, 1)
        return min(self._came * REMEMBERED_SPANS * SPAN_US // passed_us, self._most)


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
def _by_age(slots: Hashes, span: int) -> npt.NDArray[np.int64]:
    """How many entries are how many spans older than ``span``, int64[_SPANS]."""
    found = np.zeros(_SPANS, np.int64)
    for entry in slots:
        if entry != _EMPTY:
            found[(span - np.int64(entry & _SPAN_MASK)) & (_SPANS - 1)] += 1
    return found


@njit
def _move(slots: Hashes, fresh: Hashes, span: int, oldest: int) -> None:
    """Put the entries from span ``oldest`` on, all different, into an empty table."""
    mask = np.uint64(fresh.shape[0] - 1)
    for entry in slots:
        if entry == _EMPTY or span - ((span - np.int64(entry & _SPAN_MASK)) & (_SPANS - 1)) < oldest:
            continue
        slot = (entry >> _SHIFT) & mask
        while fresh[slot] != _EMPTY:
            slot = (slot + np.uint64(1)) & mask
        fresh[slot] = entry


@njit
def _sweep(slots: Hashes, span: int, oldest: int) -> None:
    """Take out the entries before span ``oldest``, and move the others up, so that each is found again."""
    mask = np.uint64(slots.shape[0] - 1)
    begin = np.uint64(0)
    while slots[begin] != _EMPTY:
        begin = (begin + np.uint64(1)) & mask
    # from an empty slot on, so that whatever an entry stepped over has been seen to before it
    for i in range(slots.shape[0]):
        at = (begin + np.uint64(i)) & mask
        entry = slots[at]
        if entry == _EMPTY:
            continue
        slots[at] = _EMPTY
        if span - ((span - np.int64(entry & _SPAN_MASK)) & (_SPANS - 1)) < oldest:
            continue
        slot = (entry >> _SHIFT) & mask
        while slots[slot] != _EMPTY:
            slot = (slot + np.uint64(1)) & mask
        slots[slot] = entry
