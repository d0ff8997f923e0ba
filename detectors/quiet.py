"""Invocations that are plainly normal: no feature counts and the forest adds nothing, which two looks at a table prove.

Nineteen of twenty invocations score 0: no family of features goes beyond what it is granted, and the forest says
nothing. To know that, neither tails nor trees need to be walked: surprise grows with the raw feature, so a raw value
below that of a surprise of GRANT adds nothing; and a tree's depth falls only where a feature leaves the way that a row
of zeros takes, by at most what the shallowest leaf on the other side takes away. What is not proven is scored in full.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from detectors.judge import FOREST_GRANT, GRANT, Judge, depth_feature
from models.forest import Forest
from models.jit import njit
from models.kernels import COUNT_BITS, COUNT_MASK

Vector = npt.NDArray[Any]

#: steps of raw value, up to that which counts, for which it is kept how many nodes are turned
STEPS: Final = 32
#: the bits of a positive float32 are ordered as the numbers are: halving their range finds the very last that holds
_HALVINGS: Final = 31
_INFINITY: Final = 0x7F800000
#: kept clear of every bound, so that the last digit of a logarithm never decides
_MARGIN: Final = 1e-6


@dataclass(frozen=True)
class Quiet:
    """Bounds by function, then by cohort for functions that training did not know; plain data.

    Attributes:
        most: float32[rows, features], the largest raw value that does not count.
        turned: int16[rows, features, STEPS], how many of the feature's nodes a raw value within a step may turn.
        first: int64[features + 1], where each feature's nodes begin; in the order in which they are turned.
        tree: int64[nodes], the tree of each.
        lost: float64[nodes], depth that its tree may lose by it.
        total: float64[nodes + features], depth lost by the first 0, 1, 2 ... nodes of a feature together; that of
            feature j begins at ``first[j] + j``.
        room: float64[rows], depth that may be lost before the forest says anything.
        functions: of the rows.
    """

    most: Vector
    turned: Vector
    first: Vector
    tree: Vector
    lost: Vector
    total: Vector
    room: Vector
    functions: int

    def find(self, raw_function: Vector, raw_caller: Vector, group: Vector, cohort: Vector) -> Vector:
        """bool[n]: surely scores 0. Arguments as for ``Judge.score``, the raw features in their two parts, float32."""
        row = np.where(group >= 0, group, self.functions + cohort)
        out = np.empty(len(row), np.bool_)
        nodes = (self.turned, self.first, self.tree, self.lost, self.total)
        _find(raw_function, raw_caller, row, self.most, *nodes, self.room, out)
        return out


def quiet_of(judge: Judge, features: int, cohorts: int) -> Quiet:
    """The bounds for a judge whose tails are of so many features and cohorts."""
    functions = len(judge.baselines)
    group = np.concatenate([np.arange(functions), np.full(cohorts, -1)])
    cohort = np.concatenate([judge.baselines.cohort, np.arange(cohorts)]).astype(np.int64)
    most = _largest(lambda raw: judge.surprise(raw, group, cohort) <= GRANT - _MARGIN, (len(group), features))
    turned = np.zeros((len(group), features, STEPS), np.int16)
    nodes: list[list[tuple[float, int, float]]] = [[] for _ in range(features)]
    room = np.full(len(group), np.inf)
    if judge.forest is not None and judge.forest_tails is not None:
        nodes = [_nodes(judge.forest, feature) for feature in range(features)]
        at = [np.array([threshold for threshold, _, _ in of], np.float64) for of in nodes]
        for step in range(STEPS):
            # the step's upper end, a little beyond it
            with np.errstate(over="ignore"):  # where no value counts, the largest is the largest number
                raw = np.minimum(most, most * np.float32((step + 1) / STEPS * (1.0 + _MARGIN)))
            surprise = judge.surprise(raw, group, cohort)
            for feature in range(features):
                turned[:, feature, step] = np.searchsorted(at[feature], surprise[:, feature] + _MARGIN)
        room = _room(judge, cohort)
    first = np.cumsum([0, *(len(of) for of in nodes)])
    tree = np.array([number for of in nodes for _, number, _ in of], np.int64)
    lost = np.array([depth for of in nodes for _, _, depth in of], np.float64)
    total = np.concatenate([_together(of) for of in nodes])
    return Quiet(most, turned, first, tree, lost, total, room, functions)


def _largest(holds: Callable[[Vector], Vector], shape: tuple[int, ...]) -> Vector:
    """The largest positive float32 for which a condition holds that holds up to some value; 0 where it never does."""
    low, high = np.zeros(shape, np.int32), np.full(shape, _INFINITY, np.int32)
    for _ in range(_HALVINGS):
        middle = low + (high - low) // 2
        held = holds(middle.view(np.float32))
        low, high = np.where(held, middle, low), np.where(held, high, middle)
    return low.view(np.float32)


def _room(judge: Judge, cohort: Vector) -> Vector:
    """float64[rows]: depth between that of a row of zeros and that from which on the forest adds to the score."""
    assert judge.forest is not None  # noqa: S101 - the caller has looked
    assert judge.forest_tails is not None  # noqa: S101
    tails, nobody = judge.forest_tails, np.full(len(cohort), -1)

    def says_nothing(score: Vector) -> Vector:
        depth = depth_feature(score.astype(np.float64))
        found: Vector = tails.surprise(depth, nobody, cohort)[:, 0] <= FOREST_GRANT - _MARGIN
        return found

    silent = _largest(says_nothing, (len(cohort),)).astype(np.float64)
    arrays = judge.forest.arrays
    zeros = float(judge.forest.score(np.zeros((1, arrays.columns)))[0])
    normaliser = float(arrays.normaliser[0])
    with np.errstate(divide="ignore"):
        room = normaliser * (np.log2(silent) - np.log2(zeros))
    return np.where(silent > 0.0, room - _MARGIN * normaliser, -1.0)


def _nodes(forest: Forest, feature: int) -> list[tuple[float, int, float]]:
    """The nodes on the way of zeros that a feature may turn, in order: threshold, tree, depth that it may lose."""
    nodes = forest.arrays
    turned: list[tuple[float, int, float]] = []
    for tree, root in enumerate(nodes.root.tolist()):
        node, way = root, []
        while nodes.step[node]:
            way.append(node)
            # zeros go left unless a threshold lies below them
            node += int(nodes.step[node]) + int(nodes.threshold[node] < 0.0)
        end = _depth(forest, node)
        for on in way:
            if nodes.feature[on] == feature and nodes.threshold[on] >= 0.0:
                other = _shallowest(forest, on + int(nodes.step[on]) + 1)
                turned.append((float(nodes.threshold[on]), tree, max(end - other, 0.0)))
    return sorted(turned)


def _together(nodes: list[tuple[float, int, float]]) -> Vector:
    """Depth lost by the first 0, 1, 2 ... nodes, float64[nodes + 1]: of each tree the most that one of them takes."""
    lost = [0.0]
    by_tree: dict[int, float] = {}
    for _, tree, depth in nodes:
        worst = by_tree.get(tree, 0.0)
        lost.append(lost[-1] + max(depth - worst, 0.0))
        by_tree[tree] = max(depth, worst)
    return np.array(lost, np.float64)


def _depth(forest: Forest, leaf: int) -> float:
    nodes = forest.arrays
    code = int(nodes.threshold[leaf])
    return float((code >> COUNT_BITS) + nodes.mean_depth[code & COUNT_MASK])


def _shallowest(forest: Forest, node: int) -> float:
    step = int(forest.arrays.step[node])
    if not step:
        return _depth(forest, node)
    return min(_shallowest(forest, node + step), _shallowest(forest, node + step + 1))


@njit
def _find(
    raw_function: Any, raw_caller: Any, row: Any, most: Any, turned: Any, first: Any, tree: Any, lost: Any, total: Any,
    room: Any, out: Any,
) -> None:  # fmt: skip
    """Whether each row is proven to score 0; arguments as in ``Quiet``."""
    functional, features, steps = raw_function.shape[1], turned.shape[1], turned.shape[2]
    trees = 0
    for k in range(tree.shape[0]):
        trees = max(trees, tree[k] + 1)
    worst = np.zeros(trees)
    number = np.zeros(features, np.int64)
    for i in range(row.shape[0]):
        r = row[i]
        left = room[r]
        for j in range(features):
            x = raw_function[i, j] if j < functional else raw_caller[i, j - functional]
            number[j] = 0
            if x > 0.0:
                if x > most[r, j]:
                    left = -np.inf
                    break
                number[j] = turned[r, j, min(int(np.float64(x) * steps / most[r, j]), steps - 1)]
                left -= total[first[j] + j + number[j]]
        if left <= 0.0 and left > -np.inf:
            # two features that turn nodes of one tree take from it but once
            left = room[r]
            worst[:] = 0.0
            for j in range(features):
                for k in range(first[j], first[j] + number[j]):
                    if lost[k] > worst[tree[k]]:
                        left -= lost[k] - worst[tree[k]]
                        worst[tree[k]] = lost[k]
        out[i] = left > 0.0
