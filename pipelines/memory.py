"""Memory that is used again instead of given back and asked for anew, for runs that judge batch after batch.

Every page that the system hands out is cleared first: where each batch takes fresh pages, a third of a run's time.
A job that runs for ever does the contrary: what a backlog took once is given back.
"""

from __future__ import annotations

import ctypes
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from typing import Any, ClassVar, Final

import pyarrow as pa

#: glibc's names for what can be set, from malloc.h
_TRIM_THRESHOLD, _MMAP_THRESHOLD, _ARENA_MAX = -1, -3, -8
#: bytes; larger pieces come from the system each time. The most that glibc takes
_FROM_THE_SYSTEM: Final = 32 << 20
#: bytes at the end of the heap that are kept for the next batch
_KEPT: Final = 256 << 20
#: heaps; as many as threads that work, since each keeps its own
_HEAPS: Final = 2
#: bytes between what is used that nothing uses: no more are kept, so that a long run's peak is that of a short one
_MOST_FREE: Final = 224 << 20


@contextmanager
def reused() -> Iterator[None]:
    """Let Arrow and numpy share one heap that keeps its pages, as long as the context lasts; afterwards it gives back.

    Where the C library is not glibc, only Arrow's pool changes.
    """
    pool = pa.default_memory_pool()
    library = _glibc()
    if library is not None:
        library.mallopt(_ARENA_MAX, _HEAPS)
        library.mallopt(_TRIM_THRESHOLD, _KEPT)
        library.mallopt(_MMAP_THRESHOLD, _FROM_THE_SYSTEM)
    pa.set_memory_pool(pa.system_memory_pool())
    try:
        yield
    finally:
        pa.set_memory_pool(pool)
        if library is not None:
            library.malloc_trim(0)


@contextmanager
def one_heap() -> Iterator[None]:
    """Let Arrow and numpy share few heaps as long as the context lasts: Arrow's own pool gives back half as much."""
    pool = pa.default_memory_pool()
    library = _glibc()
    if library is not None:
        library.mallopt(_ARENA_MAX, _HEAPS)
        pa.set_memory_pool(pa.system_memory_pool())
    try:
        yield
    finally:
        pa.set_memory_pool(pool)


def given_back() -> None:
    """Give pages that nothing uses back to the system: some milliseconds, so not for every batch."""
    pa.default_memory_pool().release_unused()
    library = _glibc()
    if library is not None:
        library.malloc_trim(0)


class _Heaps(ctypes.Structure):
    """What glibc says of its heaps: ``struct mallinfo2`` of malloc.h, of which the last but one is what is free."""

    _fields_: ClassVar = [("others", ctypes.c_size_t * 8), ("fordblks", ctypes.c_size_t), ("keepcost", ctypes.c_size_t)]


def kept_small(most_free: int = _MOST_FREE) -> None:
    """Give pages back as soon as more is free than a batch wants, to be called between batches.

    Batches of different sizes leave gaps that the next ones don't fit into: without this, the longer a run the more of
    them. To ask costs some 0.1 ms; gaps are given back every few hundred batches.

    Args:
        most_free: bytes.
    """
    free = free_bytes()
    if free is not None and free > most_free:
        given_back()


def free_bytes() -> int | None:
    """Bytes that the heaps hold and nothing uses; None where the C library doesn't say (glibc does from 2.33 on)."""
    library = _glibc()
    ask = getattr(library, "mallinfo2", None)
    if ask is None:
        return None
    ask.restype = _Heaps
    return int(ask().fordblks)


@cache
def _glibc() -> Any:
    """The C library of this process, None where it is another."""
    try:
        library = ctypes.CDLL(None)
    except (OSError, TypeError):
        return None
    return library if hasattr(library, "mallopt") and hasattr(library, "malloc_trim") else None
