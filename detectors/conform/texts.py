"""Text columns made fit: empty is missing, long is cut, names lose what the platform puts around them."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Final

import pyarrow as pa
import pyarrow.compute as pc

from detectors.conform.slots import text

#: bytes a character takes at most in UTF-8
_MAX_UTF8: Final = 4
_ROUTE: Final = re.compile(r"^[A-Z]{3,7} /")
_PREFIX: Final = "Functions."
#: an app that the log doesn't name
UNKNOWN_APP: Final = "unknown"


def clean(array: pa.Array, limit: int) -> pa.Array:
    """A column as string[n] with empty and blank-only values null and at most ``limit`` characters each."""
    array = text(array)
    if array.null_count == len(array):
        return array
    lengths = pc.binary_length(array)
    extremes = pc.min_max(lengths).as_py()
    if extremes["min"] == 0:
        array = pc.if_else(pc.equal(lengths, 0), pa.scalar(None, pa.string()), array)
    if extremes["max"] > limit:
        array = _cut(array, limit)
    return array


def _cut(array: pa.Array, limit: int) -> pa.Array:
    """Only the long values go through the character count: a 10 MB one must not cost for its neighbours."""
    long = pc.fill_null(pc.greater(pc.binary_length(array), limit), False)
    chosen = pc.binary_slice(pc.cast(array.filter(long), pa.binary()), 0, limit * _MAX_UTF8)
    cut = [value.decode("utf-8", "ignore")[:limit] for value in chosen.to_pylist()]
    return pc.replace_with_mask(array, long, pa.array(cut, pa.string()))


def function_names(first: pa.Array | None, second: pa.Array | None, third: pa.Array | None, rows: int) -> pa.Array:
    """Function names string[n] out of up to three columns, best first; a route ("GET /api/x") yields to a real name."""
    candidates = [array for array in (first, second, third) if array is not None]
    if not candidates:
        return pa.nulls(rows, pa.string())
    stripped = [_mapped(array, _bare_name) for array in candidates]
    real = [_mapped(array, _no_route) for array in stripped] if _any_route(stripped[0]) else stripped
    return pc.coalesce(*real, *stripped) if len(stripped) > 1 else stripped[0]


def app_names(app: pa.Array | None, resource: pa.Array | None, rows: int) -> pa.Array:
    """App names string[n]: the role's, else the last part of the resource id, else ``unknown``."""
    named = pa.nulls(rows, pa.string()) if app is None else app
    if named.null_count and resource is not None:
        named = pc.coalesce(
            named, _mapped(resource, lambda value: value.rstrip("/").rpartition("/")[2].lower() or None)
        )
    return pc.fill_null(named, UNKNOWN_APP)


def _mapped(array: pa.Array, function: Callable[[str], str | None]) -> pa.Array:
    """A function of text applied to each distinct value of string[n]."""
    encoded = array.dictionary_encode()
    before = encoded.dictionary.to_pylist()
    after = [function(value) for value in before]
    if before == after:
        return array
    return pa.array(after, pa.string()).take(encoded.indices)


def _bare_name(value: str) -> str | None:
    return value.removeprefix(_PREFIX) or None


def _no_route(value: str) -> str | None:
    return None if _ROUTE.match(value) else value


def _any_route(array: pa.Array) -> bool:
    return bool(pc.any(pc.match_substring_regex(array, r"^[A-Z]{3,7} /")).as_py())
