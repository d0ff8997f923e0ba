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

from detectors.forests import forest_rows
from detectors.judge import FOREST_GRANT, GRANT, Judge, believable, depth_feature, first_surprise
from models.forest import ForestSet
from models.jit import njit
from models.kernels import COUNT_BITS, COUNT_MASK

Vector = npt.NDArray[Any]

#: steps of raw value, up to that which counts, for which it is kept how many nodes are turned
STEPS: Final = 16
#: more than any surprise, or the evidence for one, can come to
_ANY: Final = np.float64(np.inf)
#: kept clear of every bound, so that the last digit of a logarithm never decides
_MARGIN: Final = 1e-6


@dataclass(frozen=True)
class Quiet:
    """Bounds by function, then by cohort for functions that training did not know; plain data.

    Attributes:
        most: float32[rows, features], the largest raw value that does not count.
        turned: int16[rows, features, STEPS], how many of the feature's nodes a raw value within a step may turn in the
            row's forest.
        forest: int64[rows], the forest that judges the row.
        first: int64[forests * features + 1], where the nodes of feature j in forest f begin, at
            ``f * features + j``; in the order in which they are turned.
        tree: int64[nodes], the tree of each, within its forest.
        lost: float64[nodes], depth that its tree may lose by it.
        total: float64[nodes + forests * features], depth lost by the first 0, 1, 2 ... nodes of a feature together;
            that of block ``f * features + j`` begins at the block's ``first`` plus its number.
        room: float64[rows], depth that may be lost before the forest says anything.
        functions: of the rows.
    """

    most: Vector
    turned: Vector
    forest: Vector
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
        nodes = (self.turned, self.forest, self.first, self.tree, self.lost, self.total)
        _find(raw_function, raw_caller, row, self.most, *nodes, self.room, out)
        return out


def quiet_of(judge: Judge, features: int, cohorts: int) -> Quiet:
    """The bounds for a judge whose tails are of so many features and cohorts."""
    functions = len(judge.baselines)
    group = np.concatenate([np.arange(functions), np.full(cohorts, -1)])
    cohort = np.concatenate([judge.baselines.cohort[:functions], np.arange(cohorts)]).astype(np.int64)
    most = _most(judge, group, cohort, features)
    turned = np.zeros((len(group), features, STEPS), np.int16)
    forest, room = np.zeros(len(group), np.int64), np.full(len(group), np.inf)
    ways, first = _NO_WAYS, _NO_WAYS.first(features)
    if judge.forest is not None and judge.forest_tails is not None:
        ways = _ways(judge.forest)
        first = ways.first(len(judge.forest) * features)
        forest = forest_rows(judge.forest_of, group, cohort, functions)
        # what turns no node need not be measured
        turning = np.where((np.diff(first).reshape(-1, features) > 0)[forest], most, np.float32(0.0))
        for step in range(STEPS):
            # the step's upper end, a little beyond it
            with np.errstate(over="ignore"):  # where no value counts, the largest is the largest number
                raw = np.minimum(turning, turning * np.float32((step + 1) / STEPS * (1.0 + _MARGIN)))
            _count(judge.surprise(raw, group, cohort) + _MARGIN, forest, first, ways.threshold, turned[:, :, step])
        room = _room(judge, forest, cohort)
    total = np.zeros(len(ways.tree) + len(first) - 1)
    _together(first, ways.tree, ways.lost, np.zeros(int(ways.tree.max(initial=0)) + 1), total)
    return Quiet(most, turned, forest, first, ways.tree, ways.lost, total, room, functions)


def _most(judge: Judge, group: Vector, cohort: Vector, features: int) -> Vector:
    """float32[rows, features]: the largest raw value that does not count."""
    enough = GRANT - _MARGIN
    # what a first surprise comes to hangs on the cohort alone: looked up once for all of its functions
    each = np.arange(int(cohort.max()) + 1)
    most_first = _largest(lambda first: judge.believed(first, _ANY, each) <= enough, (len(each), features), np.float64)

    def counts_nothing(raw: Vector) -> Vector:
        first = first_surprise(judge.tails, raw, group, cohort)
        found: Vector = (first <= most_first[cohort]) | (believable(_ANY, raw) <= enough)
        return found

    return _largest(counts_nothing, (len(group), features), np.float32)


def _largest(holds: Callable[[Vector], Vector], shape: tuple[int, ...], kind: type[np.floating[Any]]) -> Vector:
    """The largest positive number for which a condition holds that holds up to some value; 0 where it never does."""
    # the bits of a positive number are ordered as the numbers are: halving their range finds the very last that holds
    high: Vector = np.full(shape, np.inf, kind).view(f"i{np.dtype(kind).itemsize}")
    low: Vector = np.zeros_like(high)
    for _ in range(int(high.max()).bit_length()):
        middle = low + (high - low) // 2
        held = holds(middle.view(kind))
        low, high = np.where(held, middle, low), np.where(held, high, middle)
    found: Vector = low.view(kind)
    return found


def _room(judge: Judge, forest: Vector, cohort: Vector) -> Vector:
    """float64[rows]: depth between that of a row of zeros and that from which on its forest adds to the score."""
    assert judge.forest is not None  # noqa: S101 - the caller has looked

    def says_nothing(score: Vector) -> Vector:
        depth = depth_feature(score.astype(np.float64))
        found: Vector = judge.forest_surprise(depth, forest, cohort) <= FOREST_GRANT - _MARGIN
        return found

    silent = _largest(says_nothing, (len(cohort),), np.float32).astype(np.float64)
    forests = judge.forest
    zeros = forests.score(np.zeros((len(forests), forests.columns)), np.arange(len(forests)))[forest]
    normaliser = forests.normaliser[forest]
    with np.errstate(divide="ignore"):
        room = normaliser * (np.log2(silent) - np.log2(zeros))
    return np.where(silent > 0.0, room - _MARGIN * normaliser, -1.0)


@dataclass(frozen=True)
class _Ways:
    """The nodes on the ways of zeros that a feature may turn, by forest and feature, in the order they are turned.

    Attributes:
        block: int64[nodes], forest times features plus feature.
        tree: int64[nodes], within its forest.
        threshold: float64[nodes].
        lost: float64[nodes], depth that the tree may lose.
    """

    block: Vector
    tree: Vector
    threshold: Vector
    lost: Vector

    def first(self, blocks: int) -> Vector:
        """int64[blocks + 1]: where each block's nodes begin."""
        return np.searchsorted(self.block, np.arange(blocks + 1)).astype(np.int64)


_NO_WAYS: Final = _Ways(np.zeros(0, np.int64), np.zeros(0, np.int64), np.zeros(0), np.zeros(0))


def _ways(forests: ForestSet) -> _Ways:
    nodes = len(forests.threshold)
    block, tree = np.empty((2, nodes), np.int64)
    threshold, lost, least = np.empty((3, nodes), np.float64)
    trees = (forests.first_tree, forests.root, forests.threshold, forests.feature, forests.step, forests.mean_depth)
    count = _walk(*trees, forests.columns, least, block, tree, threshold, lost)
    order = np.lexsort((lost[:count], tree[:count], threshold[:count], block[:count]))
    return _Ways(*(column[order] for column in (block, tree, threshold, lost)))


@njit
def _walk(
    first_tree: Any, root: Any, threshold: Any, feature: Any, step: Any, mean_depth: Any, features: Any, least: Any,
    block: Any, tree: Any, turns_at: Any, lost: Any,
) -> Any:  # fmt: skip
    """Write the nodes that can be turned, in the order of the trees, and say how many; ``least`` is scratch space."""
    # the shallowest leaf below each node: children stand behind their parents
    for node in range(threshold.shape[0] - 1, -1, -1):
        ahead = np.int64(step[node])
        if ahead:
            least[node] = min(least[node + ahead], least[node + ahead + 1])
        else:
            code = np.int64(threshold[node])
            least[node] = (code >> COUNT_BITS) + mean_depth[code & COUNT_MASK]
    found = 0
    for model in range(first_tree.shape[0] - 1):
        for number in range(np.int64(first_tree[model]), np.int64(first_tree[model + 1])):
            begin, node = found, np.int64(root[number])
            while step[node]:
                # zeros go left unless a threshold lies below them
                left = node + np.int64(step[node])
                if threshold[node] < 0.0:
                    node = left + 1
                    continue
                block[found] = model * features + np.int64(feature[node])
                tree[found] = number - np.int64(first_tree[model])
                turns_at[found] = threshold[node]
                lost[found] = least[left + 1]
                found += 1
                node = left
            for k in range(begin, found):
                # the way ends in a leaf, whose own depth is the least below it
                lost[k] = max(least[node] - lost[k], 0.0)
    return found


@njit
def _count(surprise: Any, forest: Any, first: Any, threshold: Any, turned: Any) -> None:
    """How many nodes of its row's forest each surprise may turn."""
    features = surprise.shape[1]
    for i in range(surprise.shape[0]):
        for j in range(features):
            block = forest[i] * features + j
            part = threshold[first[block] : first[block + 1]]
            turned[i, j] = np.searchsorted(part, surprise[i, j])


@njit
def _together(first: Any, tree: Any, lost: Any, worst: Any, total: Any) -> None:
    """Depth lost by the first 0, 1, 2 ... nodes of each block: of each tree the most that one of them takes."""
    for block in range(first.shape[0] - 1):
        worst[:] = 0.0
        at = first[block] + block
        total[at] = 0.0
        for k in range(first[block], first[block + 1]):
            more = max(lost[k] - worst[tree[k]], 0.0)
            worst[tree[k]] += more
            total[at + 1] = total[at] + more
            at += 1


@njit
def _find(
    raw_function: Any, raw_caller: Any, row: Any, most: Any, turned: Any, forest: Any, first: Any, tree: Any, lost: Any,
    total: Any, room: Any, out: Any,
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
        block = forest[r] * features
        left = room[r]
        for j in range(features):
            x = raw_function[i, j] if j < functional else raw_caller[i, j - functional]
            number[j] = 0
            if x > 0.0:
                if x > most[r, j]:
                    left = -np.inf
                    break
                number[j] = turned[r, j, min(int(np.float64(x) * steps / most[r, j]), steps - 1)]
                left -= total[first[block + j] + block + j + number[j]]
        if left <= 0.0 and left > -np.inf:
            # two features that turn nodes of one tree take from it but once
            left = room[r]
            worst[:] = 0.0
            for j in range(features):
                for k in range(first[block + j], first[block + j] + number[j]):
                    if lost[k] > worst[tree[k]]:
                        left -= lost[k] - worst[tree[k]]
                        worst[tree[k]] = lost[k]
        out[i] = left > 0.0
