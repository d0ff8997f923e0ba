"""Which ids came in the last hours: a hash set that forgets by the hour, eight bytes a slot.

An entry is the upper 59 bits of the id's hash and the hour (UTC, modulo 32) of its event. With ten million ids held,
the chance that any two are mistaken for one another is about 1 in 10,000.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from models.hashing import Hashes
from models.jit import njit

#: whole hours of event time that an id is remembered: exports retry for 12 h
REMEMBERED_HOURS: Final = 12
#: one hour in microseconds
HOUR_US: Final = 3_600_000_000
#: an entry's hour is kept modulo this; entries must be swept before they are that old
_HOURS: Final = 32
_HOUR_MASK: Final = np.uint64(_HOURS - 1)
_HASH_MASK: Final = np.uint64(2**64 - _HOURS)
#: an entry for the hash whose upper bits are all zero, since 0 marks an empty slot
_ZERO_HASH: Final = np.uint64(_HOURS)
_SHIFT: Final = np.uint64(5)
_EMPTY: Final = np.uint64(0)
#: slots at the beginning: 32 kB
_FIRST_SLOTS: Final = 4_096
#: used slots at which the table is rebuilt; linear probing slows down beyond
_FULL: Final = 0.6


class Seen:
    """A set of hashes with the hour of each."""

    def __init__(self) -> None:
        #: uint64[2**k], the slots
        self.slots: Hashes = np.zeros(_FIRST_SLOTS, np.uint64)
        #: hour (since 1970) that the last ``add`` ended in; entries are at most 31 hours older
        self.hour = 0
        self._used = 0
        self._swept = 0

    def __len__(self) -> int:
        return self._used

    def add(self, hashes: Hashes, times_us: npt.NDArray[np.int64], watermark_us: int) -> None:
        """Remember ids, and forget what no row from the watermark on can need.

        Args:
            hashes: uint64[n].
            times_us: int64[n], when each came.
            watermark_us: rows behind it are still to come.
        """
        now = max(watermark_us // HOUR_US, self.hour)
        hours = times_us // HOUR_US
        needed = (hours >= now - REMEMBERED_HOURS) & (hours <= now)
        hashes, hours = hashes[needed], hours[needed]
        if now - self._swept >= REMEMBERED_HOURS or self._used + len(hashes) > _FULL * len(self.slots):
            self._rebuild(now, len(hashes))
        self._used += _insert(self.slots, hashes, hours)
        self.hour = now

    def snapshot(self) -> pa.Table:
        """All entries, sorted, with the hour they are relative to."""
        entries = np.sort(self.slots[self.slots != _EMPTY])
        metadata = {"hour": str(self.hour), "swept": str(self._swept)}
        return pa.table({"entry": entries}, schema=pa.schema([("entry", pa.uint64())], metadata=metadata))

    def restore(self, table: pa.Table) -> None:
        """Take over a snapshot."""
        metadata: Mapping[bytes, bytes] = table.schema.metadata
        self.hour, self._swept = int(metadata[b"hour"]), int(metadata[b"swept"])
        entries = table.column("entry").to_numpy()
        self.slots = np.zeros(_slots_for(len(entries)), np.uint64)
        self._used = len(entries)
        _place(self.slots, entries)

    def _rebuild(self, now: int, room: int) -> None:
        """Drop what is too old and make room."""
        entries = self.slots[self.slots != _EMPTY]
        # hours are relative to the hour of the last add, when all entries were at most 31 hours old
        age = now - self.hour + ((self.hour - (entries & _HOUR_MASK).astype(np.int64)) & (_HOURS - 1))
        entries = entries[age <= REMEMBERED_HOURS]
        self.slots = np.zeros(_slots_for(len(entries) + room), np.uint64)
        _place(self.slots, entries)
        self._used = len(entries)
        self._swept = now


def _slots_for(entries: int) -> int:
    """A power of two that is at most half as full as allowed."""
    slots = _FIRST_SLOTS
    while entries > slots * _FULL / 2:
        slots *= 2
    return slots


@njit
def recall(slots: Hashes, base_hour: int, hashed: np.uint64, hour: int) -> bool:
    """Whether an id came in the hours before ``hour``; ``base_hour`` is ``Seen.hour``."""
    wanted = hashed & _HASH_MASK
    if wanted == _EMPTY:
        wanted = _ZERO_HASH
    mask = np.uint64(slots.shape[0] - 1)
    slot = (wanted >> _SHIFT) & mask
    while slots[slot] != _EMPTY:
        if (slots[slot] & _HASH_MASK) == wanted:
            age = (base_hour - np.int64(slots[slot] & _HOUR_MASK)) & (_HOURS - 1)
            return bool(hour - (base_hour - age) <= REMEMBERED_HOURS)
        slot = (slot + np.uint64(1)) & mask
    return False


@njit
def _insert(slots: Hashes, hashes: Hashes, hours: npt.NDArray[np.int64]) -> int:
    """Add ids, or set the hour of those there; how many are new."""
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
        slots[slot] = wanted | (np.uint64(hours[i]) & _HOUR_MASK)
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
