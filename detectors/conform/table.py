"""Arrow batches (Parquet) of Azure's tables to invocations, a column at a time."""

from __future__ import annotations

import json
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from detectors.conform import scan
from detectors.conform.assemble import assemble
from detectors.conform.keys import keys_of
from detectors.conform.options import Conformed, ConformOptions, slots_of
from detectors.conform.records import object_of_text, strings, text_of
from detectors.conform.slots import CONTAINERS, METHOD, Columns, coded, text, texts

#: between a container and its key, in the names of columns that somebody unfolded: ``Properties.InvocationId``
_UNFOLDED_BY: Final = (".", "_")
#: types that JSON text may have
_TEXTS: Final = (
    *(pa.types.is_string, pa.types.is_large_string, pa.types.is_string_view),
    *(pa.types.is_binary, pa.types.is_large_binary),
)


def columns_needed(schema: pa.Schema, options: ConformOptions | None = None) -> list[str]:
    """The columns of this schema that reading needs, in its own spelling; ``Properties.InvocationId`` in a struct."""
    slots = set(slots_of(options or ConformOptions()))
    needed: list[str] = []
    for field in schema:
        prefix = CONTAINERS.get(field.name.lower())
        if prefix is not None and pa.types.is_struct(field.type):
            inner = [field.type.field(index).name for index in range(field.type.num_fields)]
            needed += [f"{field.name}.{name}" for name in inner if prefix + name.lower() in slots]
        elif prefix is not None or _slot_of(field.name) in slots:
            needed.append(field.name)
    return needed


def _slot_of(name: str) -> str:
    """The slot that a column's name means."""
    lower = name.lower()
    for container, prefix in CONTAINERS.items():
        if lower.startswith(container) and lower[len(container) : len(container) + 1] in _UNFOLDED_BY:
            return prefix + lower[len(container) + 1 :]
    return lower


def conform_table(
    batch: pa.RecordBatch, source: str, first_position: int, options: ConformOptions | None = None
) -> Conformed:
    """Rows of a table as INVOCATION rows; Properties may be a struct, a map, JSON text, or columns of their own.

    Args:
        batch: rows of AppRequests, AppTraces, AppExceptions, FunctionAppLogs or their classic forms, mixed or not.
        source: name of the file, kept beside every row.
        first_position: position of the first row.
        options: how to read.

    Returns:
        rows + dead + ignored are the batch's rows.
    """
    options = options or ConformOptions()
    slots = slots_of(options)
    columns: Columns = {}
    for name, array in zip(batch.schema.names, batch.columns, strict=True):
        prefix = CONTAINERS.get(name.lower())
        slot = _slot_of(name)
        if prefix is not None:
            columns |= _nested(array, prefix, slots)
            if prefix == "p." and not pa.types.is_struct(array.type):
                # such properties have no fixed keys: a missing one was not logged
                columns.setdefault(METHOD[0], pa.nulls(batch.num_rows, pa.string()))
        elif slot in slots and slot not in columns:
            columns[slot] = coded(array)
    positions = np.arange(first_position, first_position + batch.num_rows, dtype=np.int64)
    return assemble(columns, batch.num_rows, positions, source, options, raw=lambda row: _row_text(batch, row))


def _nested(array: pa.Array, prefix: str, slots: tuple[str, ...]) -> Columns:
    """The wanted slots in a column of objects, each an array of the same length."""
    if pa.types.is_dictionary(array.type):
        array = array.dictionary_decode()
    kind = array.type
    if pa.types.is_struct(kind):
        return _of_struct(array, prefix, slots)
    if pa.types.is_map(kind):
        return _of_map(array, prefix, slots)
    if any(is_kind(kind) for is_kind in _TEXTS):
        return _of_text(coded(text(array)), prefix, slots)
    return {}


def _of_struct(array: pa.Array, prefix: str, slots: tuple[str, ...]) -> Columns:
    found: Columns = {}
    for index in range(array.type.num_fields):
        slot = prefix + array.type.field(index).name.lower()
        if slot in slots and slot not in found:
            found[slot] = coded(pc.struct_field(array, index))
    return found


def _of_map(array: pa.Array, prefix: str, slots: tuple[str, ...]) -> Columns:
    """The items of wanted keys; where a key stands twice in a row, its first."""
    if len(array) == 0:
        return {}
    offsets = array.offsets.to_numpy()
    begin, end = int(offsets[0]), int(offsets[-1])
    keys = texts(array.keys.slice(begin, end - begin))
    items = array.items.slice(begin, end - begin)
    counts = np.where(array.is_valid().to_numpy(zero_copy_only=False), np.diff(offsets), 0)
    row_of = np.repeat(np.arange(len(array)), counts)
    found: Columns = {}
    meant = [prefix + key.lower() for key in keys.values.to_pylist()]
    for slot in sorted(set(slots).intersection(meant)):
        is_slot = keys.spread(np.array([name == slot for name in meant]), missing=False)
        at = np.flatnonzero(is_slot)[::-1]
        chosen = np.full(len(array), -1, np.int64)
        chosen[row_of[at]] = at
        found[slot] = coded(items.take(pa.array(chosen, mask=chosen < 0)))
    return found


def _of_text(array: pa.Array, prefix: str, slots: tuple[str, ...]) -> Columns:
    if not scan.available():
        return _of_odd_text(array, prefix, slots)
    found, odd = scan.open_texts(array, prefix, keys_of(slots))
    if odd.any():
        mask = pa.array(odd)
        rest = _of_odd_text(array.filter(mask), prefix, slots)
        nulls = pa.nulls(len(array), pa.string())
        for name, values in rest.items():
            found[name] = pc.replace_with_mask(text(found[name]) if name in found else nulls, mask, values)
    return found


def _of_odd_text(array: pa.Array, prefix: str, slots: tuple[str, ...]) -> Columns:
    rows: list[dict[str, str | None]] = []
    for value in array.to_pylist():
        parsed: dict[str, Any] = {} if value is None else object_of_text(value)
        rows.append({prefix + key.lower(): text_of(item) for key, item in parsed.items()})
    names = set(slots).intersection(set().union(*rows)) if rows else set()
    return {name: strings([row.get(name) for row in rows]) for name in sorted(names)}


def _row_text(batch: pa.RecordBatch, row: int) -> str:
    return json.dumps(batch.slice(row, 1).to_pylist()[0], default=str)
