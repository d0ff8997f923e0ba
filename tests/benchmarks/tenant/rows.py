"""Rows of a world while it grows: a dict of equally long numpy arrays, one entry an invocation."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import numpy as np

Rows = dict[str, np.ndarray]

DAY_S: Final = 86_400.0
HOUR_S: Final = 3_600.0

#: column -> (dtype, value where nobody says otherwise); times in seconds from the world's first midnight UTC
COLUMNS: Final[dict[str, tuple[Any, Any]]] = {
    "t": (np.float64, np.nan),
    "fn": (np.int32, -1),
    "place": (np.int32, -1),  # index into geo.PLACES; -1 nowhere
    "ip": (np.int32, -1),  # index into Addresses.names; -1 masked or not HTTP
    "user": (np.int32, -1),  # index into Tenant.users; -1 the app's code fills none
    "span": (np.uint64, 0),  # 0: drawn at the end
    "parent": (np.uint64, 0),  # span of the caller; 0 none
    "op": (np.uint64, 0),  # trace; 0: drawn at the end
    "dur": (np.float64, np.nan),  # ms; nan: drawn from the function
    "slow": (np.float64, 1.0),  # factor on the drawn duration
    "status": (np.int16, 0),  # HTTP status; 0: drawn
    "fail": (np.int8, -1),  # 1 threw, 0 did not, -1 drawn
    "path": (np.int32, -1),  # index into Tenant.paths; -1 the function's own
    "rid": (np.int64, -1),  # resource id in the path; -1 drawn
    "verb": (np.int8, -1),  # index into VERBS; -1 drawn
    "manual": (np.int8, 0),  # 1 run by hand through the admin API
    "retries": (np.int8, 0),  # how often this client tries again after a 500
    "synthetic": (np.int8, 0),  # 1 an availability test
    "version": (np.int16, -1),  # index into Tenant.versions; -1 not logged
    "label": (np.int16, 0),  # 0 normal, else 1 + index into Scene.names
}

VERBS: Final = ("GET", "POST", "PUT", "DELETE")


def make(n: int, **given: Any) -> Rows:
    """``n`` rows with the given columns (arrays or scalars), the rest at their defaults."""
    unknown = set(given) - set(COLUMNS)
    if unknown:
        raise KeyError(f"no such column: {sorted(unknown)}")
    out: Rows = {}
    for name, (dtype, default) in COLUMNS.items():
        column = np.empty(n, dtype)
        column[:] = given.get(name, default)
        out[name] = column
    return out


def size(rows: Rows) -> int:
    """Number of rows."""
    return len(rows["t"])


def concat(parts: Sequence[Rows]) -> Rows:
    """All rows of all parts, in the given order."""
    return {name: np.concatenate([p[name] for p in parts]) if parts else make(0)[name] for name in COLUMNS}


def take(rows: Rows, index: np.ndarray) -> Rows:
    """The rows at ``index`` (integers or a mask), copied."""
    return {name: column[index].copy() for name, column in rows.items()}
