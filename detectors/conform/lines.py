"""JSON Lines and JSON elements to invocations, told apart record by record; a bad line spoils nothing but itself."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pyarrow as pa

from detectors.conform.assemble import DeadLetter, assemble
from detectors.conform.options import MAX_RAW, MAX_RECORD_BYTES, Conformed, ConformOptions
from detectors.conform.records import NotARecordError, Slots, parse, records
from detectors.conform.slots import Columns, wanted


def conform_json(
    lines: Sequence[bytes] | bytes, source: str, first_position: int, options: ConformOptions | None = None
) -> Conformed:
    """Records in JSON, each of any shape that Azure writes, as INVOCATION rows.

    Args:
        lines: JSON values, one each (an element may span lines), or a block of JSON Lines. A value may be a record,
            an array or an envelope of records, or an OTLP document. Blank lines are no records.
        source: name of the file or partition, kept beside every row.
        first_position: position of the first line; each line, blank or not, counts one.
        options: how to read.

    Returns:
        rows + dead + ignored add up to the records that the lines hold; the position of a record is its line's.
    """
    options = options or ConformOptions()
    if isinstance(lines, bytes):
        lines = lines.split(b"\n")
    found: list[Slots] = []
    line_of: list[int] = []
    dead: list[DeadLetter] = []
    for index, line in enumerate(lines):
        if not line or line.isspace():
            continue
        position = first_position + index
        if len(line) > MAX_RECORD_BYTES:
            error = f"expected a record of at most {MAX_RECORD_BYTES >> 20} MiB; received {len(line)} bytes"
            dead.append((position, error, _raw(line)))
            continue
        try:
            for record in records(parse(line)):
                if isinstance(record, NotARecordError):
                    dead.append((position, str(record), _raw(line)))
                else:
                    found.append(record)
                    line_of.append(index)
        except NotARecordError as error:
            dead.append((position, str(error), _raw(line)))
    whole = lines
    return assemble(
        _columns(found, options),
        len(found),
        np.array(line_of, np.int64) + first_position,
        source,
        options,
        raw=lambda row: _raw(whole[line_of[row]]),
        before=dead,
    )


def _columns(found: list[Slots], options: ConformOptions) -> Columns:
    columns: Columns = {}
    for name in wanted(options.caller_property):
        values = [record.get(name) for record in found]
        if any(value is not None for value in values):
            columns[name] = _strings(values)
    return columns


def _strings(values: list[str | None]) -> pa.Array:
    try:
        return pa.array(values, pa.string())
    except UnicodeEncodeError:  # half a surrogate pair, which JSON allows and UTF-8 doesn't
        whole = [None if value is None else value.encode("utf-8", "replace").decode() for value in values]
        return pa.array(whole, pa.string())


def _raw(line: bytes) -> str:
    return line[: 2 * MAX_RAW].decode("utf-8", "replace")
