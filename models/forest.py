"""Isolation forests: fitted by scikit-learn or by a compiled loop, scored on flat arrays with scikit-learn's scores.

The score is that of Liu, Ting and Zhou, "Isolation Forest" (ICDM 2008): 2 ** -(mean depth / expected depth), in (0, 1],
higher is stranger; scikit-learn's ``score_samples`` with the sign turned. Missing values are defined: NaN counts as the
column's median in training, that is as typical, and infinities as the largest float32 of their sign.

    >>> import numpy as np
    >>> X = np.random.default_rng(0).normal(size=(1000, 3))
    >>> forest = fit_forest(X, seed=1)
    >>> forest.score(np.array([[0.0, 0.0, 0.0], [9.0, 9.0, 9.0]])).round(1).tolist()
    [0.4, 0.7]
"""

from __future__ import annotations

import math
from typing import Any, Final, Literal

import numpy as np
import numpy.typing as npt

from models import kernels
from models.errors import InputError
from models.forest_table import FOREST, MAX_COLUMNS, MAX_SAMPLES
from models.grow import grow_trees
from models.trees import Forest, ForestSet

__all__ = ["FOREST", "MAX_COLUMNS", "MAX_SAMPLES", "Forest", "ForestSet", "fit_forest"]

#: trees a forest, and training rows a tree: the paper's choice, beyond which scores hardly change
TREES: Final = 100
SAMPLES: Final = 256

#: types of threshold, feature and step
_NODE: Final = (np.float32, np.uint8, np.uint16)


def fit_forest(
    X: npt.NDArray[Any],
    *,
    trees: int = TREES,
    samples: int = SAMPLES,
    seed: int,
    max_features: float = 1.0,
    grower: Literal["scikit-learn", "compiled"] = "scikit-learn",
) -> Forest:
    """Fit an isolation forest; the same data and seed give the same bytes.

    Args:
        X: float64[n, d], n at least 1, d 1 to MAX_COLUMNS; NaN counts as the column's median.
        trees: how many, at least 1.
        samples: training rows a tree, at most MAX_SAMPLES; all n where there are fewer.
        seed: 0 to 2**32 - 1.
        max_features: share of the columns a tree may split on, above 0, at most 1.
        grower: who grows the trees. 'compiled' takes milliseconds where scikit-learn takes 200, and needs no
            scikit-learn; its scores differ as those of another seed do.

    Raises:
        InputError: for a shape or number out of range.
    """
    X = np.asarray(X, np.float64)
    _check(X, trees, samples, seed, max_features, grower)
    typical = _medians(X)
    values = kernels.clean(X, typical)
    drawn = min(samples, len(values))
    if grower == "compiled":
        return _grow(values, trees, drawn, seed, max_features, typical)
    # heavy, and not needed where forests are only scored
    from sklearn.ensemble import IsolationForest

    fitted = IsolationForest(
        n_estimators=trees, max_samples=drawn, max_features=max_features, random_state=seed, n_jobs=1
    ).fit(values)
    return _flatten(fitted, drawn, typical)


def _grow(
    values: npt.NDArray[np.float32],
    trees: int,
    samples: int,
    seed: int,
    max_features: float,
    typical: npt.NDArray[np.float32],
) -> Forest:
    most = trees * (2 * samples - 1)
    root = np.empty(trees, np.uint32)
    threshold, feature, step = (np.empty(most, kind) for kind in _NODE)
    # as scikit-learn: beyond the mean depth of a tree over its samples, nothing is strange any more
    depth_limit = math.ceil(math.log2(max(samples, 2)))
    columns = max(1, int(max_features * values.shape[1]))
    state = np.array([seed], np.uint64)
    # without numba, the generator's overflow would warn
    with np.errstate(over="ignore"):
        nodes, levels = grow_trees(values, trees, samples, depth_limit, columns, state, root, threshold, feature, step)
    return Forest(
        ForestSet(
            samples=np.array([samples], np.int32),
            levels=np.array([levels], np.uint8),
            typical=typical[None, :],
            first_tree=np.array([0, trees], np.uint32),
            root=root,
            threshold=threshold[:nodes].copy(),
            feature=feature[:nodes].copy(),
            step=step[:nodes].copy(),
        )
    )


def _flatten(fitted: Any, samples: int, typical: npt.NDArray[np.float32]) -> Forest:
    columns = len(typical)
    flat = [[np.zeros(tree.tree_.node_count, kind) for kind in _NODE] for tree in fitted.estimators_]
    levels = 0
    for tree, chosen, arrays in zip(fitted.estimators_, fitted.estimators_features_, flat, strict=True):
        nodes = tree.tree_
        # a tree over some of the columns numbers them among themselves; leaves say -2
        split = np.asarray(chosen)[np.maximum(nodes.feature, 0)].astype(np.int64)
        left, right = nodes.children_left.astype(np.int64), nodes.children_right.astype(np.int64)
        counts = nodes.n_node_samples.astype(np.int64)
        at = nodes.threshold.astype(np.float64)
        levels = max(levels, kernels.flatten_tree(left, right, split, at, counts, columns, *arrays))
    sizes = [len(arrays[0]) for arrays in flat]
    threshold, feature, step = (np.concatenate(part) for part in zip(*flat, strict=True))
    return Forest(
        ForestSet(
            samples=np.array([samples], np.int32),
            levels=np.array([levels], np.uint8),
            typical=typical[None, :],
            first_tree=np.array([0, len(flat)], np.uint32),
            root=np.cumsum([0, *sizes[:-1]]).astype(np.uint32),
            threshold=threshold,
            feature=feature,
            step=step,
        )
    )


def _medians(X: npt.NDArray[np.float64]) -> npt.NDArray[np.float32]:
    """Each column's median without NaN, 0 where nothing is left; float32[d], finite."""
    missing = np.isnan(X)
    if not missing.any():
        # much faster than leaving NaN out
        return np.median(kernels.clean(X, np.float32(0.0)), axis=0).astype(np.float32)
    known = ~missing.all(axis=0)
    medians = np.zeros(X.shape[1], np.float64)
    medians[known] = np.nanmedian(kernels.clean(X[:, known], np.float32("nan")), axis=0)
    return medians.astype(np.float32)


def _check(X: npt.NDArray[Any], trees: int, samples: int, seed: int, max_features: float, grower: str) -> None:
    if X.ndim != 2 or X.shape[0] < 1 or not 1 <= X.shape[1] <= MAX_COLUMNS:
        raise InputError(
            "A forest can't be fitted to these rows.",
            expected=f"shape (n, d) with n at least 1 and d from 1 to {MAX_COLUMNS}",
            received=f"shape {X.shape}",
        )
    in_range = trees >= 1 and 1 <= samples <= MAX_SAMPLES and 0 <= seed < 1 << 32 and 0.0 < max_features <= 1.0
    if not in_range or grower not in ("scikit-learn", "compiled"):
        raise InputError(
            "A forest can't be fitted with these settings.",
            expected=f"trees >= 1, samples 1 to {MAX_SAMPLES:,}, seed 0 to 2**32 - 1, 0 < max_features <= 1, "
            "grower scikit-learn or compiled",
            received=f"trees {trees}, samples {samples}, seed {seed}, max_features {max_features}, grower {grower}",
        )
