"""Invocations as columns of numpy arrays, before they are dressed as log rows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

Array: TypeAlias = npt.NDArray[Any]

#: dtype and the value that means "none" for every column but ``time`` and ``function``
DEFAULTS: dict[str, tuple[str, int | float | bool]] = {
    "caller": ("int32", -1),
    "place": ("int16", -1),
    "address": ("uint64", 0),
    "user": ("int64", -1),
    "duration_ms": ("float64", 0.0),
    "success": ("bool", True),
    "status": ("int16", 0),
    "operation": ("uint64", 0),
    "parent": ("uint64", 0),
    "request": ("uint64", 0),
    "dequeue": ("int16", 0),
    "item": ("int64", -1),
    "query": ("int16", -1),
    "method": ("int8", -1),
    "manual": ("bool", False),
    "late": ("bool", False),
    "fixed": ("bool", False),
    "scenario": ("int16", -1),
}


@dataclass
class Events:
    """One row an invocation; all arrays have the shape (n,)."""

    time: Array  #: start, int64 microseconds UTC
    function: Array  #: index into the tenant's functions
    caller: Array  #: index into the tenant's callers, -1 for strangers and for triggers other than HTTP
    place: Array  #: index into PLACES, -1 none
    address: Array  #: IPv4 as a number, bit 32 set for IPv6; 0 none
    user: Array  #: number of the signed-in user, -1 none
    duration_ms: Array
    success: Array
    status: Array  #: HTTP status, 0 for other triggers
    operation: Array  #: number that becomes the OperationId
    parent: Array  #: number that becomes the ParentId, 0 none
    request: Array  #: number that becomes the Id
    dequeue: Array  #: deliveries of the message so far, 0 where there is no message
    item: Array  #: number at the end of the path, -1 none
    query: Array  #: index into the query strings, -1 none
    method: Array  #: index into METHODS where it departs from the function's own, -1
    manual: Array  #: started by hand through the admin API
    late: Array  #: a timer that is past due
    fixed: Array  #: duration and outcome were decided by the scenario; leave them alone
    scenario: Array  #: index into the scenarios, -1 normal

    def __len__(self) -> int:
        """Number of invocations."""
        return len(self.time)

    def take(self, index: Array) -> Events:
        """The rows at an integer or boolean index."""
        return Events(*(getattr(self, field.name)[index] for field in fields(self)))


def make(rng: np.random.Generator, time: Array, function: Array | int, **columns: Array | float | bool) -> Events:
    """Events with the given columns (arrays or one value for all), the others at their default, and fresh ids."""
    count = len(time)
    ids = {
        "operation": rng.integers(1, 2**63, count, dtype=np.uint64),
        "request": rng.integers(1, 2**63, count, dtype=np.uint64),
    }
    filled: dict[str, Array] = {}
    for name, (dtype, default) in DEFAULTS.items():
        value = columns.get(name, ids.get(name, default))
        filled[name] = np.array(np.broadcast_to(np.asarray(value), (count,)), dtype=dtype)
    return Events(
        time=np.asarray(time, dtype=np.int64),
        function=np.array(np.broadcast_to(np.asarray(function), (count,)), dtype=np.int32),
        **filled,
    )


def empty() -> Events:
    """No events."""
    return make(np.random.default_rng(0), np.zeros(0, dtype=np.int64), 0)


def concat(parts: Sequence[Events]) -> Events:
    """All events of the parts, in their order."""
    if not parts:
        return empty()
    return Events(*(np.concatenate([getattr(part, field.name) for part in parts]) for field in fields(Events)))
