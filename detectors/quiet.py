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

#: steps of raw value, up to that which counts, for which the loss of depth is kept
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
        loss: float32[rows, features, STEPS], depth that the forest may lose by a raw value within a step.
        room: float64[rows], depth that may be lost before the forest says anything.
        functions: of the rows.
    """

    most: Vector
    loss: Vector
    room: Vector
    functions: int

    def find(self, raw_function: Vector, raw_caller: Vector, group: Vector, cohort: Vector) -> Vector:
        """bool[n]: surely scores 0. Arguments as for ``Judge.score``, the raw features in their two parts, float32."""
        row = np.where(group >= 0, group, self.functions + cohort)
        out = np.empty(len(row), np.bool_)
        _find(raw_function, raw_caller, row, self.most, self.loss, self.room, out)
        return out


def quiet_of(judge: Judge, features: int, cohorts: int) -> Quiet:
    """The bounds for a judge whose tails are of so many features and cohorts."""
    functions = len(judge.baselines)
    group = np.concatenate([np.arange(functions), np.full(cohorts, -1)])
    cohort = np.concatenate([judge.baselines.cohort, np.arange(cohorts)]).astype(np.int64)
    most = _largest(lambda raw: judge.surprise(raw, group, cohort) <= GRANT - _MARGIN, (len(group), features))
    loss = np.zeros((len(group), features, STEPS), np.float32)
    room = np.full(len(group), np.inf)
    if judge.forest is not None and judge.forest_tails is not None:
        losses = [_losses(judge.forest, feature) for feature in range(features)]
        for step in range(STEPS):
            # the step's upper end, a little beyond it
            with np.errstate(over="ignore"):  # where no value counts, the largest is the largest number
                raw = np.minimum(most, most * np.float32((step + 1) / STEPS * (1.0 + _MARGIN)))
            surprise = judge.surprise(raw, group, cohort)
            for feature, (at, lost) in enumerate(losses):
                loss[:, feature, step] = lost[np.searchsorted(at, surprise[:, feature] + _MARGIN)]
        room = _room(judge, cohort)
    return Quiet(most, loss, room, functions)


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


def _losses(forest: Forest, feature: int) -> tuple[Vector, Vector]:
    """From which surprise on a feature may take how much depth from the forest: float64[k], ascending; float32[k + 1].

    A tree's loss is the largest of the nodes that the feature has turned, on the way of zeros.
    """
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
    lost, total = [0.0], 0.0
    by_tree: dict[int, float] = {}
    for _, tree, loss in sorted(turned):
        total += max(loss - by_tree.get(tree, 0.0), 0.0)
        by_tree[tree] = max(loss, by_tree.get(tree, 0.0))
        lost.append(total)
    at = np.array([threshold for threshold, _, _ in sorted(turned)], np.float64)
    # rounded up, since it is a bound
    return at, np.nextafter(np.array(lost, np.float32), np.float32(np.inf))


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
def _find(raw_function: Any, raw_caller: Any, row: Any, most: Any, loss: Any, room: Any, out: Any) -> None:
    """Whether each row is proven to score 0; arguments as in ``Quiet``."""
    functional = raw_function.shape[1]
    for i in range(row.shape[0]):
        r = row[i]
        left = room[r]
        for j in range(most.shape[1]):
            x = raw_function[i, j] if j < functional else raw_caller[i, j - functional]
            if x > 0.0:
                if x > most[r, j]:
                    left = -1.0
                    break
                left -= loss[r, j, min(int(np.float64(x) * STEPS / most[r, j]), STEPS - 1)]
        out[i] = left > 0.0
