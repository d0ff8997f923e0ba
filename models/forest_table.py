"""Forests as an Arrow table, a row a forest, and back: in the table's memory, every tree checked."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from models import kernels
from models.errors import BundleCorruptError

if TYPE_CHECKING:
    from models.trees import ForestSet

Array = npt.NDArray[Any]

#: columns a forest can have: a node keeps its column in one byte, and one value stands for "leaf"
MAX_COLUMNS: Final = 254
#: samples a tree can have: a leaf's code keeps their number in 16 bits
MAX_SAMPLES: Final = 65_535

#: a table of forests, one row each; what the nodes mean stands in models.kernels
FOREST: Final[pa.Schema] = pa.schema(
    [
        pa.field("samples", pa.int32(), nullable=False, metadata={"doc": "training rows a tree"}),
        pa.field("levels", pa.uint8(), nullable=False, metadata={"doc": "depth of the deepest leaf"}),
        pa.field("typical", pa.large_list(pa.float32()), nullable=False, metadata={"doc": "each column's median"}),
        pa.field("root", pa.large_list(pa.uint32()), nullable=False, metadata={"doc": "first node of each tree"}),
        pa.field("threshold", pa.large_list(pa.float32()), nullable=False, metadata={"doc": "split, or leaf code"}),
        pa.field("feature", pa.large_list(pa.uint8()), nullable=False, metadata={"doc": "column, or d in a leaf"}),
        pa.field("step", pa.large_list(pa.uint16()), nullable=False, metadata={"doc": "nodes on to the left child"}),
    ],
    metadata={"schema": "lonetree.forest", "version": "1"},
)


def pack(forests: ForestSet) -> pa.Table:
    """A set of forests as Arrow, schema FOREST, a row a forest."""
    models = len(forests)
    first_tree = forests.first_tree.astype(np.int64)
    first_node = np.append(forests.root[first_tree[:-1]].astype(np.int64), len(forests.threshold))
    root = forests.root - np.repeat(first_node[:-1], first_tree[1:] - first_tree[:-1]).astype(np.uint32)
    lists = [
        (np.arange(models + 1, dtype=np.int64) * forests.columns, forests.typical.reshape(-1)),
        (first_tree, root),
        (first_node, forests.threshold),
        (first_node, forests.feature),
        (first_node, forests.step),
    ]
    arrays = [pa.array(forests.samples), pa.array(forests.levels)]
    arrays += [pa.LargeListArray.from_arrays(pa.array(offsets), pa.array(values)) for offsets, values in lists]
    return pa.Table.from_arrays(arrays, schema=FOREST)


def unpack(table: pa.Table) -> dict[str, Array]:
    """The fields of a ForestSet by name, out of a table of schema FOREST; the nodes stay in its memory.

    Raises:
        BundleCorruptError: for another schema, or trees that lead out of their arrays.
    """
    if not table.schema.equals(FOREST, check_metadata=False) or table.num_rows == 0:
        raise BundleCorruptError("Not a table of forests.", expected=str(FOREST), received=str(table.schema))
    if any(column.null_count or (hasattr(column, "values") and column.values.null_count) for column in _parts(table)):
        raise BundleCorruptError("A table of forests has nulls.")
    rows = table.combine_chunks().to_batches()[0]
    models = len(rows)
    lists = {name: _flat(rows.column(name)) for name in ("typical", "root", "threshold", "feature", "step")}
    of_columns, typical = lists["typical"]
    first_tree, root = lists["root"]
    first_node, _ = lists["threshold"]
    columns = len(typical) // models
    if (
        any(not np.array_equal(lists[name][0], first_node) for name in ("feature", "step"))
        or (of_columns[1:] - of_columns[:-1] != columns).any()
        or not 0 < columns <= MAX_COLUMNS
    ):
        raise BundleCorruptError("A table of forests has lists of unequal length.")
    arrays = {
        "samples": rows.column("samples").to_numpy(),
        "levels": rows.column("levels").to_numpy(),
        "typical": typical.reshape(models, columns),
        "first_tree": first_tree.astype(np.uint32),
        "root": root + np.repeat(first_node[:-1], first_tree[1:] - first_tree[:-1]).astype(np.uint32),
        **{name: lists[name][1] for name in ("threshold", "feature", "step")},
    }
    _check(arrays, first_node)
    return arrays


def _parts(table: pa.Table) -> list[pa.Array]:
    return [chunk for column in table.columns for chunk in column.chunks]


def _flat(lists: pa.Array) -> tuple[npt.NDArray[np.int64], npt.NDArray[Any]]:
    """Offsets from 0 and values of a list column without nulls, in its memory."""
    offsets: npt.NDArray[np.int64] = lists.offsets.to_numpy()
    return offsets - offsets[0], lists.flatten().to_numpy()


def _check(arrays: dict[str, Array], first_node: Array) -> None:
    """Hold that every walk stays inside its forest, because the kernels don't look."""
    columns = arrays["typical"].shape[1]
    first_tree = arrays["first_tree"]
    sizes = first_node[1:] - first_node[:-1]
    places = np.arange(sizes.max(), dtype=np.uint32)
    for model, size in enumerate(sizes.tolist()):
        start = int(first_node[model])
        root = arrays["root"][first_tree[model] : first_tree[model + 1]]
        step, feature = arrays["step"][start : start + size], arrays["feature"][start : start + size]
        splits = step > 0
        codes = arrays["threshold"][start : start + size][np.flatnonzero(~splits)]
        samples = int(arrays["samples"][model])
        if not (
            1 <= samples <= MAX_SAMPLES
            and size > 0
            and len(root) > 0
            and root[0] == start
            and root.max() < start + size
            and (places[:size] + step + splits).max() < size
            and feature.max() <= columns
            and np.array_equal(feature < columns, splits)
            and 0 <= codes.min(initial=0.0) <= codes.max(initial=0.0) < kernels.CODES
            and (codes.astype(np.int32) & kernels.COUNT_MASK).max(initial=0) <= samples
            and int(codes.max(initial=0.0)) >> kernels.COUNT_BITS == arrays["levels"][model]
        ):
            raise BundleCorruptError(
                f"The trees of forest {model} lead nowhere.",
                expected="children behind their parents, columns and counts in range",
                hint="The table was damaged or not written by Lonetree; train again.",
            )
