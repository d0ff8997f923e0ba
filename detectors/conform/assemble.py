"""Columns of slots in, invocations out: every record becomes a row, a dead letter or is ignored."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Final

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from detectors.conform import recognise as tables
from detectors.conform.distinct import Distinct
from detectors.conform.options import MAX_RAW, Conformed, ConformOptions, schema_of
from detectors.conform.shape import NO_FUNCTION, NO_TIME, OK, OUT_OF_TIME, SHAPERS, SKIP, Field, Shaped, plain
from detectors.conform.slots import Columns
from detectors.masking import mask_secrets
from detectors.schema import DEAD_LETTER, INVOCATION
from detectors.texts import CODED

#: no function ran on Azure before; a time before it is a broken clock or an empty field (1970, 0001)
EARLIEST_US: Final = 1_420_070_400_000_000  # 2015-01-01
#: Azure itself replaces a time more than a day ahead
MAX_AHEAD_US: Final = 86_400_000_000
_UNKNOWN: Final = 99

_ERRORS: Final = {
    NO_TIME: "expected a time (TimeGenerated, time or timestamp) that can be read; received none",
    OUT_OF_TIME: "expected a time between 2015 and one day from now; received one outside",
    NO_FUNCTION: "expected the function's name (Name, OperationName or functionName); received none",
    _UNKNOWN: "expected a record of AppRequests, AppTraces, AppExceptions, FunctionAppLogs, a classic table or a span"
    " with faas.*; received an object that has the keys of none",
}

#: one dead letter: position, error, the record's beginning (not masked yet)
DeadLetter = tuple[int, str, str]


def dead_letters(source: str, letters: Iterable[DeadLetter], options: ConformOptions) -> pa.RecordBatch:
    """DEAD_LETTER rows, their text cut and masked."""
    found = list(letters)
    hidden = options.pseudonym_key is not None
    raw = ["(withheld: identities are pseudonyms here)" if hidden else excerpt(text) for _, _, text in found]
    return pa.RecordBatch.from_arrays(
        [
            pa.array([source] * len(found), pa.string()),
            pa.array([position for position, _, _ in found], pa.int64()),
            pa.array([error for _, error, _ in found], pa.string()),
            pa.array(raw, pa.string()),
        ],
        schema=DEAD_LETTER,
    )


def excerpt(text: str) -> str:
    """The beginning of a record as it may be kept: secrets masked (also one that the cut goes through), then cut."""
    return mask_secrets(text[: 2 * MAX_RAW])[:MAX_RAW]


def assemble(
    columns: Columns,
    rows: int,
    positions: NDArray[np.int64],
    source: str,
    options: ConformOptions,
    raw: Callable[[int], str],
    before: Iterable[DeadLetter] = (),
) -> Conformed:
    """INVOCATION (those of its columns that are asked for) and DEAD_LETTER batches of ``rows`` records.

    Args:
        columns: slots, arrays of length ``rows``.
        rows: number of records.
        positions: int64[rows], where each was in the source.
        source: the source's name.
        options: how to read.
        raw: the text of record i, for its dead letter.
        before: dead letters of records that never became columns.
    """
    letters = list(before)
    ignored = 0
    parts: list[pa.RecordBatch] = []
    order: list[NDArray[np.int64]] = []
    family = tables.recognise(columns, rows) if rows else np.zeros(0, np.int8)
    for code in np.unique(family):
        index = np.flatnonzero(family == code)
        if code == tables.IGNORED:
            ignored += len(index)
            continue
        if code == tables.UNKNOWN:
            letters.extend((int(positions[row]), _ERRORS[_UNKNOWN], raw(int(row))) for row in index)
            continue
        whole = len(index) == rows
        chosen = columns if whole else {name: array.take(pa.array(index)) for name, array in columns.items()}
        shaped = SHAPERS[int(code)](chosen, len(index), options)
        fate = _fate(shaped, options)
        ignored += int((fate == SKIP).sum())
        lost = np.flatnonzero((fate != OK) & (fate != SKIP))
        letters.extend((int(positions[index[row]]), _ERRORS[int(fate[row])], raw(int(index[row]))) for row in lost)
        kept = fate == OK
        parts.append(_batch(shaped, kept, positions[index], source, schema_of(options)))
        order.append(index[kept])
    letters.sort(key=lambda letter: letter[0])
    return Conformed(_in_order(parts, order, schema_of(options)), dead_letters(source, letters, options), ignored)


def _fate(shaped: Shaped, options: ConformOptions) -> NDArray[np.int8]:
    fate: NDArray[np.int8] = shaped.fate.copy()
    timed = fate == OK
    late = timed & (shaped.event_time < EARLIEST_US)
    if options.now_us is not None:
        late |= timed & (shaped.event_time > options.now_us + MAX_AHEAD_US)
    fate[late] = OUT_OF_TIME
    return fate


def _batch(
    shaped: Shaped, kept: NDArray[np.bool_], positions: NDArray[np.int64], source: str, schema: pa.Schema
) -> pa.RecordBatch:
    fields = dict(shaped.fields)
    fields["event_time"] = pa.array(shaped.event_time).cast(INVOCATION.field("event_time").type)
    fields["source"] = Distinct.constant(source, len(kept))
    fields["position"] = pa.array(positions)
    if not kept.all():
        # fields of rows that go elsewhere may be null where the schema forbids it, so filter before it is put on
        mask = pa.array(kept)
        fields = {
            name: field.filter(kept) if isinstance(field, Distinct) else field.filter(mask)
            for name, field in fields.items()
        }
    rows = int(kept.sum())
    arrays = [
        _typed(fields[field.name], field.type)
        if field.name in fields
        else pa.nulls(rows, field.type)  # what this shape never tells
        for field in schema
    ]
    return pa.RecordBatch.from_arrays(arrays, schema=schema)


def _typed(field: Field, kind: pa.DataType) -> pa.Array:
    """A field as a column, of codes where these are asked for."""
    if kind != CODED:
        return plain(field)
    return (field if isinstance(field, Distinct) else Distinct.of(field)).coded()


def _in_order(parts: list[pa.RecordBatch], order: list[NDArray[np.int64]], schema: pa.Schema) -> pa.RecordBatch:
    if not parts:
        return no_rows(schema)
    if len(parts) == 1:
        return parts[0]
    table = (
        pa.Table.from_batches(parts).combine_chunks().take(pa.array(np.argsort(np.concatenate(order), kind="stable")))
    )
    batches = table.combine_chunks().to_batches()
    return batches[0] if batches else no_rows(schema)


def no_rows(schema: pa.Schema = INVOCATION) -> pa.RecordBatch:
    """INVOCATION, or some of its columns, without a row."""
    return pa.RecordBatch.from_arrays([pa.array([], field.type) for field in schema], schema=schema)
