"""Memory that is used again instead of given back and asked for anew, for runs that judge batch after batch.

Every page that the system hands out is cleared first: where each batch takes fresh pages, a third of a run's time.
A job that runs for ever does the contrary: what a backlog took once is given back.
"""

from __future__ import annotations

import ctypes
from collections.abc import Iterator
from contextlib import contextmanager
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


def _glibc() -> Any:
    """The C library of this process, None where it is another."""
    try:
        library = ctypes.CDLL(None)
    except (OSError, TypeError):
        return None
    return library if hasattr(library, "mallopt") and hasattr(library, "malloc_trim") else None
