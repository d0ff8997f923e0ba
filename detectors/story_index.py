"""Where to look for the open story of an event: by its caller, its function and its app instead of through all of them.

Each story stands in two of four kinds of chains, newest first; a chain may hold others by chance, so whoever looks
asks the whole question of each. Stories that ended are found by a heap of the earliest moment at which they may.
"""

from __future__ import annotations

from typing import Any, Final

import numpy as np

from models.jit import copy_row, njit

#: kinds of chains: stories of a caller, by caller and by function; stories of functions, by function and by app
OF_CALLER, CALLERS_AT, OF_FUNCTION, IN_APP = range(4)
#: odd constants that spread keys and kinds over the buckets
_SPREAD: Final = np.uint64(0x9E3779B97F4A7C15)
_KIND: Final = np.uint64(0xC2B2AE3D27D4EB4F)
_HALF: Final = np.uint64(32)
#: nobody
NONE: Final = -1


@njit
def buckets_for(stories: Any) -> Any:
    """A power of two, four times as many as there are places in chains: int64[...] of heads, all empty."""
    size = 16
    while size < 8 * stories:
        size *= 2
    return np.full(size, NONE, np.int64)


@njit
def bucket(heads: Any, kind: Any, key: Any) -> Any:
    """The chain of a key (uint64)."""
    spread = (key ^ (np.uint64(kind) + np.uint64(1)) * _KIND) * _SPREAD
    return np.int64(spread >> _HALF) & (heads.shape[0] - 1)


@njit
def put(heads: Any, behind: Any, before: Any, chain: Any, node: Any) -> None:
    """Make a node the first of a chain.

    - ``heads``: int64[buckets]; ``behind``, ``before``: int64[nodes]; a story in slot k is the nodes 2 k and 2 k + 1
    """
    first = heads[chain]
    behind[node], before[node] = first, NONE
    if first != NONE:
        before[first] = node
    heads[chain] = node


@njit
def drop(heads: Any, behind: Any, before: Any, chain: Any, node: Any) -> None:
    """Take a node out of its chain."""
    if before[node] == NONE:
        heads[chain] = behind[node]
    else:
        behind[before[node]] = behind[node]
    if behind[node] != NONE:
        before[behind[node]] = before[node]


@njit
def push(heap: Any, size: Any, moment: Any, slot: Any, number: Any) -> Any:
    """Add (moment, slot, story) to a heap with the earliest on top, int64[m, 3]; returns its size."""
    at = size
    while at > 0:
        above = (at - 1) // 2
        if heap[above, 0] <= moment:
            break
        copy_row(heap[above], heap[at])
        at = above
    heap[at, 0], heap[at, 1], heap[at, 2] = moment, slot, number
    return size + 1


@njit
def pop(heap: Any, size: Any) -> Any:
    """Take the top off a heap; returns its size."""
    size -= 1
    moment, slot, number = heap[size, 0], heap[size, 1], heap[size, 2]
    at = 0
    while True:
        below = 2 * at + 1
        if below >= size:
            break
        if below + 1 < size and heap[below + 1, 0] < heap[below, 0]:
            below += 1
        if heap[below, 0] >= moment:
            break
        copy_row(heap[below], heap[at])
        at = below
    heap[at, 0], heap[at, 1], heap[at, 2] = moment, slot, number
    return size
