"""Loops over flattened isolation trees: by numba where it is installed, by numpy where not, equal to the bit.

A tree's nodes stand breadth first, siblings side by side. Node i of the arrays:

- ``feature[i]``: the column it splits on; in a leaf the number of columns d, which stands for a column of -inf
- ``threshold[i]``: a row goes right where its value is greater; in a leaf the code ``depth << 16 | samples``
- ``step[i]``: how far on its left child stands (the right one stands behind it); 0 in a leaf

So a walk needs no test for leaves: in a leaf it takes steps of 0 until the levels are through.
"""

from __future__ import annotations

import math
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from models.jit import njit

Array = npt.NDArray[Any]

#: rows walked down one tree before the next: their values and the tree's nodes stay in the first-level cache
BLOCK: Final = 64
#: the same for numpy: enough rows to spread its cost per call, few enough for the second-level cache
NUMPY_BLOCK: Final = 256
#: rows of one model from which on they go down a tree together rather than one row down all trees
ABREAST: Final = 8
#: bits of a leaf's code that hold its number of training samples; the depth stands above
COUNT_BITS: Final = 16
#: takes the number of training samples from a leaf's code
COUNT_MASK: Final = (1 << COUNT_BITS) - 1
#: a leaf's code is below this, so that float32 holds it exactly
CODES: Final = 1 << 24
#: score where trees of one sample can't say
UNDECIDED: Final = 0.5
_LARGEST: Final = np.float32(np.finfo(np.float32).max)
_LN2: Final = math.log(2.0)
_ONE: Final = np.uint32(1)
_ZERO: Final = np.uint32(0)


@njit
def _walk_rows(
    block: Array,
    tree: Any,
    levels: Any,
    threshold: Array,
    feature: Array,
    step: Array,
    mean_depth: Array,
    nodes: Array,
    sums: Array,
) -> None:
    """Rows abreast down one tree: a walk waits for memory at each step, and the others go on meanwhile."""
    rows = block.shape[0]
    for i in range(rows):
        nodes[i] = tree
    for _ in range(levels):
        for i in range(rows):
            node = nodes[i]
            right = _ONE if block[i, feature[node]] > threshold[node] else _ZERO
            nodes[i] = node + np.uint32(step[node]) + right
    for i in range(rows):
        code = np.int64(threshold[nodes[i]])
        sums[i] += ((code >> COUNT_BITS) + 1 + mean_depth[code & COUNT_MASK]) - 1.0


@njit
def _walk_trees(
    row: Array,
    trees: Array,
    levels: Any,
    threshold: Array,
    feature: Array,
    step: Array,
    mean_depth: Array,
    nodes: Array,
) -> float:
    """One row down all trees abreast; adds in the order of the trees, as ``_walk_rows`` does."""
    for tree in range(trees.shape[0]):
        nodes[tree] = trees[tree]
    for _ in range(levels):
        for tree in range(trees.shape[0]):
            node = nodes[tree]
            right = _ONE if row[feature[node]] > threshold[node] else _ZERO
            nodes[tree] = node + np.uint32(step[node]) + right
    total = 0.0
    for tree in range(trees.shape[0]):
        code = np.int64(threshold[nodes[tree]])
        total += ((code >> COUNT_BITS) + 1 + mean_depth[code & COUNT_MASK]) - 1.0
    return total


@njit
def score_rows(
    X: Array,
    model_of: Array,
    order: Array,
    scores: Array,
    first_tree: Array,
    root: Array,
    threshold: Array,
    feature: Array,
    step: Array,
    levels: Array,
    normaliser: Array,
    typical: Array,
    mean_depth: Array,
) -> None:
    """Score rows, each with its own model.

    Args:
        X: float64[n, d].
        model_of: int32[n], or int32[1] where all rows have the same model.
        order: int64[n], a permutation of the rows that puts those of a model together; or int64[0] for the order as is.
        scores: float64[n], written.
        first_tree: uint32[models + 1], a model's trees in ``root``.
        root: uint32[trees], first node of each tree.
        threshold: float32[nodes].
        feature: uint8[nodes].
        step: uint16[nodes].
        levels: uint8[models], depth of the deepest leaf.
        normaliser: float64[models], trees times the mean depth of an unsuccessful search among the samples.
        typical: float32[models, d], what stands in for NaN.
        mean_depth: float64[samples + 1], expected further depth below a leaf by its number of samples.
    """
    rows, columns = X.shape
    block = np.empty((min(rows, BLOCK), columns + 1), np.float32)
    block[:, columns] = -np.inf
    sums = np.empty(block.shape[0], np.float64)
    most_trees = 0
    for model in range(first_tree.shape[0] - 1):
        most_trees = max(most_trees, np.int64(first_tree[model + 1]) - np.int64(first_tree[model]))
    nodes = np.empty(max(block.shape[0], most_trees), np.uint32)
    one_model = model_of.shape[0] == 1
    as_is = order.shape[0] == 0
    start = 0
    while start < rows:
        model = model_of[0] if one_model else model_of[start if as_is else order[start]]
        filled = 0
        while filled < BLOCK and start + filled < rows:
            row = start + filled if as_is else order[start + filled]
            if not one_model and model_of[row] != model:
                break
            for column in range(columns):
                value = np.float32(X[row, column])
                if value != value:
                    value = typical[model, column]
                block[filled, column] = min(max(value, -_LARGEST), _LARGEST)
            sums[filled] = 0.0
            filled += 1
        trees = root[first_tree[model] : first_tree[model + 1]]
        if filled < ABREAST:
            for i in range(filled):
                sums[i] = _walk_trees(block[i], trees, levels[model], threshold, feature, step, mean_depth, nodes)
        else:
            for tree in trees:
                _walk_rows(block[:filled], tree, levels[model], threshold, feature, step, mean_depth, nodes, sums)
        for i in range(filled):
            row = start + i if as_is else order[start + i]
            scores[row] = math.exp(-_LN2 * (sums[i] / normaliser[model])) if normaliser[model] > 0.0 else UNDECIDED
        start += filled


def score_rows_numpy(
    X: Array,
    root: Array,
    threshold: Array,
    feature: Array,
    step: Array,
    levels: int,
    normaliser: float,
    typical: Array,
    mean_depth: Array,
) -> npt.NDArray[np.float64]:
    """As ``score_rows`` for one model, all trees at once; float64[n]."""
    scores = np.empty(len(X), np.float64)
    first = root.astype(np.int64)[:, None]
    for start in range(0, len(X), NUMPY_BLOCK):
        values = clean(X[start : start + NUMPY_BLOCK], typical)
        values = np.concatenate([values, np.full((len(values), 1), -np.inf, np.float32)], axis=1)
        row = np.arange(len(values)) * values.shape[1]
        node = np.repeat(first, len(values), axis=1)
        for _ in range(levels):
            right = values.take(feature.take(node) + row) > threshold.take(node)
            node += step.take(node)
            node += right
        code = threshold.take(node).astype(np.int64)
        depth = ((code >> COUNT_BITS) + 1 + mean_depth[code & COUNT_MASK]) - 1.0
        # cumsum adds in the order of the trees, as the kernel does; sum does not
        sums = np.cumsum(depth, axis=0)[-1]
        for i, total in enumerate(sums.tolist()):
            scores[start + i] = math.exp(-_LN2 * (total / normaliser)) if normaliser > 0.0 else UNDECIDED
    return scores


def clean(X: Array, typical: Array) -> npt.NDArray[np.float32]:
    """What a tree sees: NaN replaced by the typical value, infinities by the largest numbers; float32[n, d]."""
    with np.errstate(over="ignore"):
        values = X.astype(np.float32)
    values = np.where(np.isnan(values), typical, values)
    clipped: npt.NDArray[np.float32] = np.clip(values, -_LARGEST, _LARGEST)
    return clipped


@njit
def attribute_rows(
    values: Array,
    root: Array,
    threshold: Array,
    feature: Array,
    step: Array,
    expected: Array,
    shares: Array,
) -> None:
    """Add to each column's share the change in expected depth at its splits.

    Args:
        values: float32[n, d], cleaned.
        root: uint32[trees].
        threshold: float32[nodes].
        feature: uint8[nodes].
        step: uint16[nodes].
        expected: float64[nodes], from ``expected_depths``.
        shares: float64[n, d], added to.
    """
    columns = values.shape[1]
    for i in range(values.shape[0]):
        for tree in range(root.shape[0]):
            node = np.uint32(root[tree])
            while feature[node] < columns:
                column = feature[node]
                right = _ONE if values[i, column] > threshold[node] else _ZERO
                child = node + np.uint32(step[node]) + right
                shares[i, column] += expected[child] - expected[node]
                node = child


@njit
def expected_depths(threshold: Array, step: Array, mean_depth: Array, expected: Array, counts: Array) -> None:
    """Mean depth of a node's training samples, from the leaves up (children stand behind their parents).

    Args:
        threshold: float32[nodes].
        step: uint16[nodes].
        mean_depth: float64[samples + 1].
        expected: float64[nodes], written.
        counts: float64[nodes], written: training samples in the node.
    """
    for node in range(threshold.shape[0] - 1, -1, -1):
        if step[node] == 0:
            code = np.int64(threshold[node])
            counts[node] = code & COUNT_MASK
            expected[node] = (code >> COUNT_BITS) + mean_depth[code & COUNT_MASK]
        else:
            left = node + step[node]
            counts[node] = counts[left] + counts[left + 1]
            expected[node] = (expected[left] * counts[left] + expected[left + 1] * counts[left + 1]) / counts[node]


@njit
def flatten_tree(
    left: Array,
    right: Array,
    split: Array,
    at: Array,
    samples: Array,
    columns: int,
    threshold: Array,
    feature: Array,
    step: Array,
) -> int:
    """Lay one tree out breadth first.

    Args:
        left: int64[m], left child by number, -1 in leaves.
        right: int64[m], right child.
        split: int64[m], column of the split.
        at: float64[m], a row goes left where float32 value <= at.
        samples: int64[m], training samples in the node.
        columns: d.
        threshold: float32[m], written.
        feature: uint8[m], written.
        step: uint16[m], written.

    Returns:
        Depth of the deepest leaf.
    """
    nodes = left.shape[0]
    queue = np.zeros(nodes, np.int64)
    depth = np.zeros(nodes, np.int64)
    known = 1
    for place in range(nodes):
        node = queue[place]
        if left[node] < 0:
            feature[place] = columns
            threshold[place] = np.float32((depth[place] << COUNT_BITS) | samples[node])
            step[place] = 0
            continue
        feature[place] = split[node]
        # the greatest float32 that is not above: comparisons of float32 values come out as against the float64
        rounded = np.float32(at[node])
        if np.float64(rounded) > at[node]:
            rounded = np.nextafter(rounded, np.float32(-np.inf))
        threshold[place] = rounded
        step[place] = known - place
        queue[known] = left[node]
        queue[known + 1] = right[node]
        depth[known] = depth[place] + 1
        depth[known + 1] = depth[place] + 1
        known += 2
    return int(depth.max())
