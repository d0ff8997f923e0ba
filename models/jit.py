"""Numba where it is installed, plain Python where it is not: the same code, only slower."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

F = TypeVar("F", bound=Callable[..., Any])

try:
    import numba

    HAVE_NUMBA = True
except ImportError:
    HAVE_NUMBA = False


def njit(function: F) -> F:
    """Compile a function of arrays and scalars: releases the GIL, caches on disk, keeps IEEE semantics."""
    if not HAVE_NUMBA:
        return function
    compiled: F = numba.njit(cache=True, nogil=True, fastmath=False, error_model="numpy")(function)
    return compiled
