"""What lives through a change of model: the live state, and beside it what only the new training knew."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import numpy as np
import pyarrow as pa

from detectors.timeline import Tables

#: tables of the folds' snapshots that hold one row for each function, app, caller or pair: what tells a row from others
_IDENTITY: Final[Mapping[str, tuple[str, ...]]] = {
    "functions": ("app", "function"),
    "apps": ("app",),
    "pairs": ("key",),
    "lands": ("key",),
    "callers": ("key",),
}


def carried_over(live: Mapping[str, pa.Table], trained: Mapping[str, pa.Table]) -> Tables:
    """The live tables, with the rows of the trained ones that they lack.

    Args:
        live: a timeline's snapshot, as it runs.
        trained: the snapshot of a timeline that a new model has just made.

    Returns:
        The tables to restore the new timeline from: windows and habits as they are, callers and functions that only
        the new training saw as it left them.
    """
    merged = dict(live)
    for name, table in trained.items():
        identity = _IDENTITY.get(name.rpartition("/")[2])
        mine = live.get(name)
        if identity is None or mine is None or not table.num_rows or not table.schema.equals(mine.schema):
            continue
        missing = table.filter(pa.array(_missing(table, mine, identity)))
        merged[name] = pa.concat_tables([mine, missing])
    return merged


def _missing(table: pa.Table, mine: pa.Table, identity: tuple[str, ...]) -> np.ndarray[tuple[int], np.dtype[np.bool_]]:
    """bool[n]: which rows of a table have no equal in the other."""
    if identity == ("key",):
        absent = ~np.isin(table.column("key").to_numpy(), mine.column("key").to_numpy())
        return np.asarray(absent, np.bool_)
    known = set(zip(*(mine.column(name).to_pylist() for name in identity), strict=True))
    rows = zip(*(table.column(name).to_pylist() for name in identity), strict=True)
    return np.array([row not in known for row in rows], np.bool_)
