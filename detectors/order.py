"""The one order of events: by time, then by invocation, then by content; and the split into shards that keeps it.

Arrival, files and runners shuffle rows. Whatever computes on history needs one order that depends on the rows alone.
"""

from __future__ import annotations

from typing import Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from detectors.texts import is_text, told
from models.hashing import Hashes, combine, hash_strings, shard_of

#: int64, UTC microseconds: when a row takes its place on the timeline (an invocation: when it ended)
AT: Final = "at"
#: bool: the row came after the timeline had passed it
LATE: Final = "late"
#: the id that breaks ties of ``at``
ID: Final = "invocation_id"
#: what the name of a column of hashes (uint64) ends in; it stands for the column of strings
HASH: Final = "_hash"
#: hash of app and function (uint64), beside the hashes of other columns
FUNCTION_KEY: Final = "function_key"
#: columns that say where a row was read or how it came, not what happened
PLACE: Final = frozenset({"source", "position", LATE})

#: mean rows of a piece from which on pieces are copied rather than rows
_PIECE_ROWS: Final = 256
_US_PER_MS: Final = 1_000.0

Permutation = npt.NDArray[np.int64]
Times = npt.NDArray[np.int64]


def with_at(batch: pa.RecordBatch, *, every_operation: bool = False) -> pa.RecordBatch:
    """Rows of the INVOCATION schema with ``at`` (int64 us) and ``late`` (bool, false) appended.

    An invocation's row is written when it ends, so it takes its place at ``event_time`` + ``duration_ms``; a row
    without a duration, and every detail, at ``event_time``. ``operation_id`` is kept only where a message may
    come back; all of them where it is to be learned who follows whom.
    """
    if not every_operation:
        batch = _without_idle_operations(batch)
    start = batch.column("event_time").cast(pa.int64()).to_numpy(zero_copy_only=False)
    duration = batch.column("duration_ms")
    ended = is_text(batch.column("record"), "invocation")
    length_ms = pc.if_else(pa.array(ended), pc.fill_null(duration, 0.0), 0.0).to_numpy(zero_copy_only=False)
    at = start + np.rint(length_ms * _US_PER_MS).astype(np.int64)
    late = pa.repeat(pa.scalar(False), batch.num_rows)
    schema = batch.schema.append(pa.field(AT, pa.int64(), nullable=False)).append(
        pa.field(LATE, pa.bool_(), nullable=False)
    )
    return pa.RecordBatch.from_arrays([*batch.columns, pa.array(at), late], schema=schema)


def _without_idle_operations(batch: pa.RecordBatch) -> pa.RecordBatch:
    """Null ``operation_id`` but for failed runs that no HTTP call caused: nothing else is looked up by it."""
    index = batch.schema.get_field_index("operation_id")
    if index < 0:
        return batch
    failed = pc.fill_null(pc.invert(batch.column("succeeded")), False)
    called = told(batch.column("trigger"), lambda triggers: pc.not_equal(triggers, "http"))
    wanted = pc.and_(failed, pa.array(called))
    kept = pc.if_else(wanted, batch.column(index), pa.scalar(None, pa.string()))
    return batch.set_column(index, batch.schema.field(index), kept)


def times_of(batch: pa.RecordBatch) -> Times:
    """The ``at`` column as int64[n], UTC microseconds, without a copy."""
    times: Times = batch.column(AT).to_numpy()
    return times


def is_sorted(times: Times) -> bool:
    """Strictly ascending, so that no tie is left to break."""
    return bool(np.all(times[1:] > times[:-1]))


def order_of(batch: pa.RecordBatch, shards: npt.NDArray[np.int32] | None = None) -> Permutation | None:
    """The permutation that sorts rows by (shard,) ``at``, invocation id (by hash) and content; None if they are sorted.

    Args:
        batch: n rows with ``at``; ties are broken by ``invocation_id``, if there, then by all columns but PLACE.
        shards: int32[n], the leading key, if rows are to be grouped by shard as well.

    Returns:
        int64[n], or None where the rows stand in order already.
    """
    times = times_of(batch)
    if shards is None:
        if is_sorted(times):
            return None
        order = np.argsort(times, kind="stable")
        tied = _tied(times[order])
    else:
        order = np.argsort(times, kind="stable")
        order = order[np.argsort(shards[order], kind="stable")]
        tied = _tied(times[order], shards[order])
    if not tied.any():
        return _unless_same(order)
    members = order[tied]
    ids = hashed(batch, ID, members)
    keys: list[npt.NDArray[np.generic]] = [ids, times[members]]
    if shards is not None:
        keys.append(shards[members])
    within = np.lexsort(keys)
    members, ids = members[within], ids[within]
    same = _tied(times[members], ids)
    if same.any():
        twins = members[same]
        keys = [content_hash(batch.take(pa.array(twins))), ids[same], times[twins]]
        if shards is not None:
            keys.append(shards[twins])
        members[same] = twins[np.lexsort(keys)]
    order[tied] = members
    return _unless_same(order)


def _unless_same(order: Permutation) -> Permutation | None:
    """The permutation, or None where it moves nothing, which spares a copy of all columns."""
    return None if np.array_equal(order, np.arange(len(order))) else order


def in_order(batch: pa.RecordBatch) -> pa.RecordBatch:
    """The rows sorted; the same object where they stand in order already."""
    order = order_of(batch)
    return batch if order is None else batch.take(pa.array(order))


def content_hash(batch: pa.RecordBatch) -> Hashes:
    """Hash of what a row says, whatever its place: uint64[n] over all columns but PLACE."""
    if f"{ID}{HASH}" in batch.schema.names:
        # one row an invocation, whose other columns may be left aside: its function tells it from its namesakes
        return np.asarray(batch.column(FUNCTION_KEY))
    total = np.zeros(batch.num_rows, np.uint64)
    for field, column in zip(batch.schema, batch.columns, strict=True):
        if field.name in PLACE:
            continue
        total = combine(total, hash_strings(_as_text(column)))
    return total


def shards_of(batch: pa.RecordBatch, key: tuple[str, ...], shards: int) -> npt.NDArray[np.int32]:
    """Shard of each row, int32[n], by the stable hash of its key columns; all 0 for an empty key."""
    if not key or shards == 1:
        return np.zeros(batch.num_rows, np.int32)
    hashes = hashed(batch, key[0])
    for name in key[1:]:
        hashes = combine(hashes, hashed(batch, name))
    return shard_of(hashes, shards)


def split(batch: pa.RecordBatch, key: tuple[str, ...], shards: int) -> dict[int, pa.RecordBatch]:
    """The rows of each shard that has any, sorted; slices of one sorted copy."""
    if batch.num_rows == 0:
        return {}
    of = shards_of(batch, key, shards)
    order = order_of(batch, of)
    if order is not None:
        batch, of = batch.take(pa.array(order)), of[order]
    starts = np.flatnonzero(np.r_[True, of[1:] != of[:-1]])
    ends = np.r_[starts[1:], len(of)]
    return {int(of[a]): batch.slice(int(a), int(b - a)) for a, b in zip(starts, ends, strict=True)}


def concat(batches: list[pa.RecordBatch]) -> pa.RecordBatch:
    """One batch of at least one batch of the same schema."""
    if len(batches) == 1:
        return batches[0]
    table = pa.Table.from_batches(batches).combine_chunks()
    chunks = table.to_batches()
    return chunks[0] if chunks else batches[0]


def pick(batch: pa.RecordBatch, rows: Permutation) -> pa.RecordBatch:
    """The rows of these numbers, int64[m], in this order; in pieces where most of them stand together as they are.

    Copying a piece takes a sixth of what as many single rows take.
    """
    if not len(rows):
        return batch.slice(0, 0)
    begins = np.r_[0, np.flatnonzero(np.diff(rows) != 1) + 1]
    if len(begins) * _PIECE_ROWS > len(rows) + _PIECE_ROWS:
        return batch.take(pa.array(rows))
    ends = np.r_[begins[1:], len(rows)]
    return concat([batch.slice(int(rows[a]), int(b - a)) for a, b in zip(begins, ends, strict=True)])


def aligned(batch: pa.RecordBatch, schema: pa.Schema) -> pa.RecordBatch:
    """The columns of a schema (all nullable) out of a batch, nulls where the batch lacks one."""
    if batch.schema.equals(schema):
        return batch
    columns = []
    for field in schema:
        index = batch.schema.get_field_index(field.name)
        columns.append(batch.column(index).cast(field.type) if index >= 0 else pa.nulls(batch.num_rows, field.type))
    return pa.RecordBatch.from_arrays(columns, schema=schema)


def with_methods(rows: pa.Table) -> pa.Table:
    """Rows that were saved on their way by a version that left HTTP methods behind, with none in their place."""
    before = rows.schema.get_field_index("path")
    if before < 0 or "method" in rows.schema.names:
        return rows
    return rows.add_column(before, pa.field("method", pa.string()), pa.nulls(rows.num_rows, pa.string()))


def _tied(*keys: npt.NDArray[np.generic]) -> npt.NDArray[np.bool_]:
    """Rows equal in all keys to the row before or behind, bool[n]."""
    rows = len(keys[0])
    equal = np.ones(max(rows - 1, 0), np.bool_)
    for key in keys:
        equal &= key[1:] == key[:-1]
    tied = np.zeros(rows, np.bool_)
    tied[1:] |= equal
    tied[:-1] |= equal
    return tied


def hashed(batch: pa.RecordBatch, name: str, rows: Permutation | None = None) -> Hashes:
    """Hashes of a column of strings, uint64[n]: those that the batch carries, where it does; 0 where it has neither.

    Args:
        batch: n rows.
        name: of the column.
        rows: int64[m], only these rows.
    """
    index = batch.schema.get_field_index(f"{name}{HASH}")
    known = index >= 0
    index = index if known else batch.schema.get_field_index(name)
    if index < 0:
        return np.zeros(batch.num_rows if rows is None else len(rows), np.uint64)
    column = batch.column(index) if rows is None else batch.column(index).take(pa.array(rows))
    return np.asarray(column) if known else hash_strings(column)


def _as_text(column: pa.Array) -> pa.Array:
    """Something that ``hash_strings`` takes and that is equal where the values are."""
    kind = column.type
    if pa.types.is_nested(kind):
        return pa.array([repr(value) for value in column.to_pylist()], pa.string())
    if pa.types.is_dictionary(kind):
        return column.cast(kind.value_type)
    if pa.types.is_timestamp(kind):
        column = column.cast(pa.int64())
    return column.cast(pa.string())
