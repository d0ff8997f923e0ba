"""Isolation forests as flat read-only arrays: scored, explained, put together in sets, saved as Arrow."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field, fields
from functools import cached_property
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from models import kernels
from models.errors import BundleCorruptError, InputError
from models.forest_table import pack, unpack
from models.jit import HAVE_NUMBA

Floats = npt.NDArray[np.float64]


_AS_IS: Final = np.zeros(0, np.int64)
_FIRST_MODEL: Final = np.zeros(1, np.int32)


@dataclass(frozen=True, eq=False, repr=False)
class ForestSet:
    """Many forests over the same d columns, in one set of read-only arrays."""

    #: int32[models], training rows a tree
    samples: npt.NDArray[np.int32]
    #: uint8[models], depth of the deepest leaf
    levels: npt.NDArray[np.uint8]
    #: float32[models, d], each column's training median
    typical: npt.NDArray[np.float32]
    #: uint32[models + 1], a model's trees in ``root``
    first_tree: npt.NDArray[np.uint32]
    #: uint32[trees], first node of each tree
    root: npt.NDArray[np.uint32]
    #: float32[nodes], uint8[nodes], uint16[nodes]: see models.kernels
    threshold: npt.NDArray[np.float32]
    feature: npt.NDArray[np.uint8]
    step: npt.NDArray[np.uint16]
    #: float64[models], trees times the expected depth; worked out
    normaliser: Floats = field(init=False)
    #: float64[samples + 1], expected further depth below a leaf; worked out
    mean_depth: Floats = field(init=False)

    def __post_init__(self) -> None:
        mean_depth = _mean_depths(int(self.samples.max(initial=1)))
        trees = self.first_tree[1:] - self.first_tree[:-1]
        object.__setattr__(self, "mean_depth", mean_depth)
        object.__setattr__(self, "normaliser", trees * mean_depth[self.samples])
        for each in fields(self):
            # numba compiles anew for writable arrays, and those from Arrow are read-only: hold all so
            object.__setattr__(self, each.name, _read_only(getattr(self, each.name)))

    def __len__(self) -> int:
        return len(self.samples)

    def __repr__(self) -> str:
        return f"ForestSet({len(self)} forests, {self.columns} columns, {self.nbytes:,} bytes)"

    @property
    def columns(self) -> int:
        """How many columns the forests were trained on."""
        return int(self.typical.shape[1])

    @property
    def nbytes(self) -> int:
        """Bytes of all arrays together."""
        return sum(int(getattr(self, each.name).nbytes) for each in fields(self))

    @cached_property
    def _arrays(self) -> tuple[Any, ...]:
        nodes = (self.threshold, self.feature, self.step)
        return (self.first_tree, self.root, *nodes, self.levels, self.normaliser, self.typical, self.mean_depth)

    def score(self, X: npt.NDArray[Any], model_index: npt.NDArray[Any]) -> Floats:
        """Score each row with its own forest; as ``self.forest(i).score`` does, to the bit.

        Args:
            X: float64[n, d].
            model_index: int[n], 0 to ``len(self)`` - 1.

        Returns:
            float64[n] in (0, 1], higher is stranger.

        Raises:
            InputError: for a wrong shape or index.
        """
        X = self.checked(X)
        index = _writable(np.ascontiguousarray(model_index, np.int32))
        if index.shape != (len(X),):
            raise InputError("One model a row is needed.", expected=f"shape ({len(X)},)", received=f"{index.shape}")
        scores = np.empty(len(X), np.float64)
        if not len(X):
            return scores
        # numpy's own minimum of one number costs more than its score
        least, greatest = (index[0], index[0]) if len(index) == 1 else (index.min(), index.max())
        if least < 0 or greatest >= len(self):
            received = f"{least} to {greatest}"
            raise InputError("No such forest in the set.", expected=f"0 to {len(self) - 1}", received=received)
        if len(index) == 1:
            # the kernel takes a single index as that of all rows
            return self._score(X, index, _AS_IS, scores)
        order = _AS_IS if (np.diff(index) >= 0).all() else np.argsort(index, kind="stable")
        return self._score(X, index, order, scores)

    def checked(self, X: npt.NDArray[Any]) -> Floats:
        """X as the kernels want it: float64[n, d], C order, writable (they don't write to it).

        Raises:
            InputError: for another shape.
        """
        X = np.ascontiguousarray(X, np.float64)
        if X.ndim != 2 or X.shape[1] != self.columns:
            raise InputError(
                "These rows don't fit the forest.", expected=f"shape (n, {self.columns})", received=f"shape {X.shape}"
            )
        return _writable(X)

    def _score(self, X: Floats, index: npt.NDArray[np.int32], order: npt.NDArray[Any], scores: Floats) -> Floats:
        if HAVE_NUMBA:
            kernels.score_rows(X, index, order, scores, *self._arrays)
            return scores
        if len(index) == 1:
            return self.forest(int(index[0])).score(X)
        for model in np.unique(index):
            of_model = index == model
            scores[of_model] = self.forest(int(model)).score(X[of_model])
        return scores

    def attribute(self, X: npt.NDArray[Any], model_index: npt.NDArray[Any]) -> Floats:
        """Each column's part in each row's score, by its own forest; see ``Forest.attribute``. float64[n, d]."""
        X = self.checked(X)
        index = np.asarray(model_index)
        shares = np.zeros(X.shape, np.float64)
        for model in np.unique(index):
            of_model = np.flatnonzero(index == model)
            # kept, with the depths that it worked out: a stream asks for few rows many times
            if int(model) not in self._asked:
                self._asked[int(model)] = self.forest(int(model))
            shares[of_model] = self._asked[int(model)].attribute(X[of_model])
        return shares

    @cached_property
    def _asked(self) -> dict[int, Forest]:
        return {}

    def forest(self, model: int) -> Forest:
        """One forest of the set; it shares the set's memory."""
        first, last = int(self.first_tree[model]), int(self.first_tree[model + 1])
        start = int(self.root[first])
        stop = int(self.root[last]) if last < len(self.root) else len(self.threshold)
        return Forest(
            ForestSet(
                samples=self.samples[model : model + 1],
                levels=self.levels[model : model + 1],
                typical=self.typical[model : model + 1],
                first_tree=np.array([0, last - first], np.uint32),
                root=self.root[first:last] - np.uint32(start),
                threshold=self.threshold[start:stop],
                feature=self.feature[start:stop],
                step=self.step[start:stop],
            )
        )

    @classmethod
    def of(cls, forests: Sequence[Forest]) -> ForestSet:
        """Put forests over the same columns together, in this order."""
        if not forests:
            raise InputError("A set needs a forest.", expected="at least one forest", received="none")
        sets = [forest.arrays for forest in forests]
        if len({each.columns for each in sets}) > 1:
            received = str(sorted({each.columns for each in sets}))
            raise InputError("Forests of a set share their columns.", expected="one number", received=received)
        trees = np.cumsum([0] + [len(each.root) for each in sets])
        nodes = np.cumsum([0] + [len(each.threshold) for each in sets])
        return cls(
            samples=np.concatenate([each.samples for each in sets]),
            levels=np.concatenate([each.levels for each in sets]),
            typical=np.concatenate([each.typical for each in sets]),
            first_tree=trees.astype(np.uint32),
            root=np.concatenate([each.root + np.uint32(at) for each, at in zip(sets, nodes, strict=False)]),
            threshold=np.concatenate([each.threshold for each in sets]),
            feature=np.concatenate([each.feature for each in sets]),
            step=np.concatenate([each.step for each in sets]),
        )

    def to_table(self) -> pa.Table:
        """The set as Arrow, schema FOREST, a row a forest."""
        return pack(self)

    @classmethod
    def from_table(cls, table: pa.Table) -> ForestSet:
        """Take a set from Arrow; the nodes stay in the table's memory.

        Raises:
            BundleCorruptError: for another schema, or trees that lead out of their arrays.
        """
        return cls(**unpack(table))


@dataclass(frozen=True, eq=False, repr=False)
class Forest:
    """One isolation forest over d columns."""

    #: the forest's arrays, a set of one
    arrays: ForestSet

    def __repr__(self) -> str:
        trees, samples = len(self.arrays.root), int(self.arrays.samples[0])
        return f"Forest({trees} trees of {samples} samples, {self.columns} columns, {self.arrays.nbytes:,} bytes)"

    @property
    def columns(self) -> int:
        """How many columns the forest was trained on."""
        return self.arrays.columns

    @cached_property
    def base(self) -> float:
        """Score of the expected depth over the training samples, where ``attribute`` starts from."""
        expected = self._expected
        return _score_of(float(expected[self.arrays.root].sum()), float(self.arrays.normaliser[0]))

    def score(self, X: npt.NDArray[Any]) -> Floats:
        """How strange each row is.

        Args:
            X: float64[n, d]; NaN counts as the training median, infinities as the largest float32.

        Returns:
            float64[n] in (0, 1], higher is stranger; equals scikit-learn's ``-score_samples``.

        Raises:
            InputError: for another number of columns.
        """
        arrays = self.arrays
        X = arrays.checked(X)
        if HAVE_NUMBA:
            scores = np.empty(len(X), np.float64)
            kernels.score_rows(X, _FIRST_MODEL, _AS_IS, scores, *arrays._arrays)
            return scores
        return self.score_numpy(X)

    def score_numpy(self, X: npt.NDArray[Any]) -> Floats:
        """As ``score``, to the bit, without numba."""
        arrays = self.arrays
        nodes = (arrays.root, arrays.threshold, arrays.feature, arrays.step)
        normaliser = float(arrays.normaliser[0])
        return kernels.score_rows_numpy(
            arrays.checked(X), *nodes, int(arrays.levels[0]), normaliser, arrays.typical[0], arrays.mean_depth
        )

    def attribute(self, X: npt.NDArray[Any]) -> Floats:
        """Each column's part in each row's score.

        Along a row's way down a tree, each split changes the depth to expect; the change belongs to the column split
        on (Saabas, "Interpreting random forests", 2014). Depths become scores by the row's own mean slope, so that
        ``attribute(X).sum(axis=1) == score(X) - base``.

        Args:
            X: float64[n, d].

        Returns:
            float64[n, d]; positive makes the row stranger.
        """
        arrays = self.arrays
        values = kernels.clean(arrays.checked(X), arrays.typical[0])
        expected = self._expected
        shares = np.zeros(values.shape, np.float64)
        kernels.attribute_rows(values, arrays.root, arrays.threshold, arrays.feature, arrays.step, expected, shares)
        normaliser = float(arrays.normaliser[0])
        if normaliser == 0.0:
            return np.zeros(values.shape, np.float64)
        per_depth = -math.log(2.0) / normaliser
        exponent = shares.sum(axis=1) * per_depth
        small = np.abs(exponent) < np.finfo(np.float64).tiny
        ratio = np.expm1(exponent) / np.where(small, 1.0, exponent)
        slope = self.base * per_depth * np.where(small, 1.0, ratio)
        attributed: Floats = shares * slope[:, None]
        return attributed

    @cached_property
    def _expected(self) -> Floats:
        arrays = self.arrays
        expected, counts = np.empty((2, len(arrays.threshold)), np.float64)
        kernels.expected_depths(arrays.threshold, arrays.step, arrays.mean_depth, expected, counts)
        return expected

    def to_table(self) -> pa.Table:
        """The forest as Arrow, schema FOREST, one row."""
        return self.arrays.to_table()

    @classmethod
    def from_table(cls, table: pa.Table) -> Forest:
        """Take a forest from Arrow.

        Raises:
            BundleCorruptError: for another schema, another number of rows, or broken trees.
        """
        if table.num_rows != 1:
            raise BundleCorruptError("Not a table of one forest.", expected="1 row", received=f"{table.num_rows} rows")
        return cls(ForestSet.from_table(table))


def _score_of(depth: float, normaliser: float) -> float:
    return math.exp(-math.log(2.0) * (depth / normaliser)) if normaliser > 0.0 else kernels.UNDECIDED


def _writable(array: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """The array itself, or a copy if it is read-only: numba would compile the kernels anew for it."""
    return array if array.flags.writeable else array.copy()


def _read_only(array: npt.NDArray[Any]) -> npt.NDArray[Any]:
    if array.flags.writeable:
        array = array.view()
        array.flags.writeable = False
    return array


def _mean_depths(samples: int) -> Floats:
    """Mean depth of an unsuccessful search in a binary tree of 0 to ``samples`` entries; float64[samples + 1].

    2 H(n - 1) - 2 (n - 1) / n, with the harmonic number by its logarithm, as in the paper (eq. 1) and scikit-learn.
    """
    depths = [0.0, 0.0, 1.0][: samples + 1]
    depths += [2.0 * (math.log(n - 1.0) + np.euler_gamma) - 2.0 * (n - 1.0) / n for n in range(3, samples + 1)]
    return np.array(depths, np.float64)
