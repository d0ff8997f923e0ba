"""Text columns made fit: empty is missing, long is cut, names lose what the platform puts around them."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from detectors.conform.distinct import Distinct, first_of

#: bytes a character takes at most in UTF-8
_MAX_UTF8: Final = 4
_ROUTE: Final = re.compile(r"^[A-Z]{3,7} /")
_PREFIX: Final = "Functions."
#: bytes of an offset of string[n]
_OFFSET_BYTES: Final = 4
#: an app that the log doesn't name
UNKNOWN_APP: Final = "unknown"


def clean(array: pa.Array, limit: int) -> pa.Array:
    """string[n] with empty values null and at most ``limit`` characters each; itself where that is so already."""
    if array.null_count == len(array):
        return array
    if array.null_count:
        lengths = pc.binary_length(array)
        shortest, longest = pc.min_max(lengths).as_py().values()
    else:
        # the buffers say it with less ado, which tells where batches are small
        offsets = np.frombuffer(array.buffers()[1], np.int32, len(array) + 1, array.offset * _OFFSET_BYTES)
        lengths = np.diff(offsets)
        shortest, longest = lengths.min(), lengths.max()
    if shortest == 0:
        array = pc.if_else(pc.equal(lengths, 0), pa.scalar(None, pa.string()), array)
    if longest > limit:
        array = _cut(array, limit)
    return array


def _cut(array: pa.Array, limit: int) -> pa.Array:
    """Only the long values go through the character count: a 10 MB one must not cost for its neighbours."""
    long = pc.fill_null(pc.greater(pc.binary_length(array), limit), False)
    chosen = pc.binary_slice(pc.cast(array.filter(long), pa.binary()), 0, limit * _MAX_UTF8)
    cut = [value.decode("utf-8", "ignore")[:limit] for value in chosen.to_pylist()]
    return pc.replace_with_mask(array, long, pa.array(cut, pa.string()))


def function_names(columns: Iterable[Distinct], rows: int) -> Distinct:
    """Function names out of columns, best first; a route ("GET /api/x") yields to a real name."""
    stripped = [column.each(_bare_name) for column in columns if len(column.values)]
    if stripped and any(_ROUTE.match(value) for value in stripped[0].values.to_pylist()):
        return first_of([*(column.each(_no_route) for column in stripped), *stripped], rows)
    return first_of(stripped, rows)


def app_names(app: Distinct, resource: Distinct) -> Distinct:
    """App names: the role's, else the last part of the resource id, else ``unknown``."""
    if app.valid.all():
        return app
    of_resource = resource.each(lambda value: value.rstrip("/").rpartition("/")[2].lower() or None)
    return first_of([app, of_resource, Distinct.constant(UNKNOWN_APP, len(app.codes))], len(app.codes))


def _bare_name(value: str) -> str | None:
    return value.removeprefix(_PREFIX) or None


def _no_route(value: str) -> str | None:
    return None if _ROUTE.match(value) else value
