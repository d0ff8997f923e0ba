"""Memory that is used again instead of given back and asked for anew, for runs that judge batch after batch.

Every page that the system hands out is cleared first: where each batch takes fresh pages, a third of a run's time.
A job that runs for ever does the contrary: what a backlog took once is given back.
"""

from __future__ import annotations

import ctypes
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Final

import pyarrow as pa

#: glibc's names for what can be set, from malloc.h
_TRIM_THRESHOLD, _MMAP_THRESHOLD, _ARENA_MAX = -1, -3, -8
#: bytes; larger pieces come from the system each time. The most that glibc takes
_FROM_THE_SYSTEM: Final = 32 << 20
#: bytes at the end of the heap that are kept for the next batch
_KEPT: Final = 256 << 20
#: heaps; as many as threads that work, since each keeps its own
_HEAPS: Final = 2
#: bytes by which what is held may grow before gaps are given back, so that a long run's peak is that of a short one
_MOST_MORE: Final = 256 << 20
#: the same where one thread works
_ALONE_MORE: Final = 64 << 20


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
    _last.held = held_bytes() or 0
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
    _last.held = held_bytes() or 0


def kept_small(alone: bool = False) -> None:
    """Give pages back once this process holds far more than after it last did, to be called between two batches.

    Batches of different sizes leave gaps that the next ones don't fit into: without this, the longer a run the more of
    them. To ask costs some microseconds, to give back some milliseconds and what the next batches then ask for anew.
    Where the system doesn't say what a process holds, nothing happens.

    Args:
        alone: nobody works beside the caller, so that fewer pages are asked for anew, and more gaps are left.
    """
    held = held_bytes()
    if held is not None and held > _last.held + (_ALONE_MORE if alone else _MOST_MORE):
        given_back()


def held_bytes() -> int | None:
    """Bytes of memory that this process holds, None where the system is not Linux."""
    try:
        pages = Path("/proc/self/statm").read_bytes().split()[1]
    except OSError:
        return None
    return int(pages) * os.sysconf("SC_PAGE_SIZE")


@dataclass
class _Last:
    """What was held after pages were given back, bytes."""

    held: int = 0


_last = _Last()


@cache
def _glibc() -> Any:
    """The C library of this process, None where it is another."""
    try:
        library = ctypes.CDLL(None)
    except (OSError, TypeError):
        return None
    return library if hasattr(library, "mallopt") and hasattr(library, "malloc_trim") else None
