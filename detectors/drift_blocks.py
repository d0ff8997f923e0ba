"""How surprising stretches of time were: for each function and feature, the largest surprise of each block, summed up.

Values of a feature within an hour (or its own window, where that is longer) hang together, so the block, not the
invocation, is what counts as evidence.
"""

from __future__ import annotations

from typing import Any, Final, NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from detectors.features import BLOCK_US, FEATURE_NAMES
from models.baselines import HOUR_US

Vector = npt.NDArray[Any]

#: surprise at which a block's largest is clipped, -log10 p: beyond it, how much stranger tells nothing about drift
CLIP: Final = 4.0
#: us of a block, by feature: an hour, or the feature's own window
BLOCKS_US: Final = np.maximum(np.array(BLOCK_US), HOUR_US)


class Summary(NamedTuple):
    """Of one function's blocks: float64[len(FEATURES)] each."""

    #: how many blocks
    blocks: Vector
    #: mean of their largest surprise, -log10 p
    mean: Vector
    #: its variance between blocks
    variance: Vector


def blocks_of(surprise: Vector, at: Vector, group: Vector) -> pa.Table:
    """Sum up blocks by their largest surprise.

    Args:
        surprise: float64[n, len(FEATURES)], -log10 p by tails that did not see these events.
        at: int64[n], UTC us.
        group: int64[n], row of the function in the baselines; -1 where it has none: left out.

    Returns:
        ``group`` int32, ``feature`` str, ``blocks`` int32, ``mean`` and ``variance`` float64; by group, then feature,
        for each function seen.
    """
    known = np.flatnonzero(group >= 0)
    at, group = at[known], group[known]
    groups, where = np.unique(group, return_inverse=True)
    where = where.reshape(-1)
    blocks, mean, variance = (np.zeros((len(groups), len(FEATURE_NAMES))) for _ in range(3))
    for width in np.unique(BLOCKS_US) if len(group) else ():
        features = np.flatnonzero(np.equal(BLOCKS_US, width))
        block = at // width
        key = where * (int(block.max() - block.min()) + 1) + block - block.min()
        order = np.argsort(key, kind="stable")
        first = np.flatnonzero(np.r_[True, key[order][1:] != key[order][:-1]])
        # a column at a time, since the whole may be as large as training itself
        rows = known[order]
        columns = (np.maximum.reduceat(surprise[rows, j], first) for j in features)
        highest = np.minimum(np.stack(list(columns), axis=1), CLIP)
        # rows are sorted by function, then block: sums by function are sums of stretches
        begin = np.searchsorted(where[order][first], np.arange(len(groups)))
        count = np.diff(np.append(begin, len(first)))[:, None]
        average = np.add.reduceat(highest, begin, axis=0) / count
        squares = np.add.reduceat((highest - np.repeat(average, count[:, 0], axis=0)) ** 2, begin, axis=0)
        blocks[:, features], mean[:, features] = count, average
        variance[:, features] = squares / np.maximum(count - 1, 1)
    return pa.table(
        {
            "group": pa.array(np.repeat(groups, len(FEATURE_NAMES)), pa.int32()),
            "feature": pa.array(list(FEATURE_NAMES) * len(groups), pa.string()),
            "blocks": pa.array(blocks.reshape(-1).astype(np.int32)),
            "mean": pa.array(mean.reshape(-1)),
            "variance": pa.array(variance.reshape(-1)),
        }
    )


def summaries_of(table: pa.Table) -> dict[int, Summary]:
    """Row of the function in the baselines -> its summary, from what ``blocks_of`` gave."""
    shape = (-1, len(FEATURE_NAMES))
    columns = [table.column(name).to_numpy().reshape(shape).astype(np.float64) for name in Summary._fields]
    groups = table.column("group").to_numpy()[:: len(FEATURE_NAMES)]
    return {int(g): Summary(*(column[k] for column in columns)) for k, g in enumerate(groups)}
