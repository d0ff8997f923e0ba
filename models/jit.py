"""Numba where it is installed, plain Python where it is not: the same code, only slower."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

F = TypeVar("F", bound=Callable[..., Any])

try:
    import numba
    from numba.core import event

    HAVE_NUMBA = True
except ImportError:
    HAVE_NUMBA = False


def njit(function: F) -> F:
    """Compile a function of arrays and scalars: releases the GIL, caches on disk, keeps IEEE semantics."""
    if not HAVE_NUMBA:
        return function
    compiled: F = numba.njit(cache=True, nogil=True, fastmath=False, error_model="numpy")(function)
    return compiled


@njit
def copy_row(of: Any, into: Any) -> None:
    """Copy a row number by number: in a compiled loop, to compile an assignment of slices takes half a second each."""
    for column in range(of.shape[0]):
        into[column] = of[column]


def when_compiling(tell: Callable[[], None]) -> Callable[[], None]:
    """Have somebody told once, when a first loop is compiled instead of found on the disk: that takes a while.

    Args:
        tell: called in the thread that compiles, before it does.

    Returns:
        What ends it, to be called once.
    """
    if not HAVE_NUMBA:
        return lambda: None
    listener = _Once(tell)
    event.register("numba:compile", listener)
    return lambda: event.unregister("numba:compile", listener)


if HAVE_NUMBA:

    class _Once(event.Listener):  # type: ignore[misc]
        """Hears of each loop that is compiled, and tells of the first."""

        def __init__(self, tell: Callable[[], None]) -> None:
            self._tell: Callable[[], None] | None = tell

        def on_start(self, _event: Any) -> None:
            tell, self._tell = self._tell, None
            if tell is not None:
                tell()

        def on_end(self, _event: Any) -> None:
            """Nobody asks."""
