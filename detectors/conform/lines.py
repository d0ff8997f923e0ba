"""JSON Lines and JSON elements to invocations, told apart record by record; a bad line spoils nothing but itself."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeAlias

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from detectors.conform import scan
from detectors.conform.assemble import DeadLetter, assemble
from detectors.conform.keys import Keys, keys_of
from detectors.conform.options import MAX_RAW, MAX_RECORD_BYTES, Conformed, ConformOptions, slots_of
from detectors.conform.records import NotARecordError, Slots, parse, records, strings
from detectors.conform.slots import METHOD, Columns, text
from detectors.texts import CODED

#: JSON values, one each, or a block of JSON Lines
Lines: TypeAlias = Sequence[bytes] | bytes | memoryview


def conform_json(lines: Lines, source: str, first_position: int, options: ConformOptions | None = None) -> Conformed:
    """Records in JSON, each of any shape that Azure writes, as INVOCATION rows.

    Args:
        lines: JSON values, one each (an element may span lines), or a block of JSON Lines, which is not kept. A value
            may be a record, an array or an envelope of records, or an OTLP document. Blank lines are no records.
        source: name of the file or partition, kept beside every row.
        first_position: position of the first line; each line, blank or not, counts one.
        options: how to read.

    Returns:
        rows + dead + ignored add up to the records that the lines hold; the position of a record is its line's.
    """
    options = options or ConformOptions()
    block = lines if isinstance(lines, (bytes, memoryview)) else b"\n".join(lines)
    plain = _Plain.of(lines, block, options) if scan.available() else None
    slow = _Slow(source, first_position, options)
    if plain is None:
        each: Sequence[bytes] = lines if not isinstance(lines, (bytes, memoryview)) else bytes(lines).split(b"\n")
        for index, line in enumerate(each):
            slow.read(index, line)
        return slow.conformed(slow.columns(), slow.line_of, lambda index: slow.lines[index])
    for index in np.flatnonzero(plain.scan.status == scan.SLOW).tolist():
        slow.read(index, plain.line(index))
    if not slow.line_of:
        return slow.conformed(plain.columns, plain.rows, plain.line)
    merged, line_of = _merge(plain.columns, plain.rows, slow.columns(), np.array(slow.line_of, np.int64))
    return slow.conformed(merged, line_of, plain.line)


class _Plain:
    """The lines that the fast way can read, and where each line is."""

    def __init__(self, block: bytes | memoryview, found: scan.Scan, options: ConformOptions) -> None:
        self.scan, self._block = found, block
        self.rows: NDArray[np.int64] = np.flatnonzero(found.status == scan.FOUND)
        self.columns = found.columns
        self._open_texts(keys_of(slots_of(options)))

    @classmethod
    def of(
        cls, lines: Sequence[bytes] | bytes | memoryview, block: bytes | memoryview, options: ConformOptions
    ) -> _Plain:
        """The lines of a block, or the elements that were joined into it."""
        keys = keys_of(slots_of(options))
        if isinstance(lines, (bytes, memoryview)):
            return cls(block, scan.scan_lines(block, keys), options)
        lengths = np.array([len(line) for line in lines], np.int64)
        ends = np.cumsum(lengths + 1) - 1
        return cls(block, scan.scan_elements(block, ends - lengths, ends, keys), options)

    def line(self, index: int) -> bytes:
        """One line."""
        return bytes(self._block[self.scan.starts[index] : self.scan.ends[index]])

    def _open_texts(self, keys: Keys) -> None:
        """Properties that came as JSON text; lines where they are odd go the slow way."""
        for prefix in ("p.", "m."):
            text = self.columns.pop(prefix, None)
            if text is None:
                continue
            inner, odd = scan.open_texts(text, prefix, keys)
            for name, array in inner.items():
                self.columns[name] = _either(self.columns[name], array) if name in self.columns else array
            if odd.any():
                self.scan.status[self.rows[odd]] = scan.SLOW
                kept = pa.array(~odd)
                self.rows = self.rows[~odd]
                self.columns = {name: array.filter(kept) for name, array in self.columns.items()}


class _Slow:
    """The lines that are read one by one, and the end of every way."""

    def __init__(self, source: str, first_position: int, options: ConformOptions) -> None:
        self._source, self._first, self._options = source, first_position, options
        self._found: list[Slots] = []
        self._dead: list[DeadLetter] = []
        self.line_of: list[int] = []
        self.lines: dict[int, bytes] = {}

    def read(self, index: int, line: bytes) -> None:
        """The records of one line."""
        if not line or line.isspace():
            return
        self.lines[index] = line
        position = self._first + index
        if len(line) > MAX_RECORD_BYTES:
            error = f"expected a record of at most {MAX_RECORD_BYTES >> 20} MiB; received a longer one"
            self._dead.append((position, error, _raw(line)))
            return
        try:
            for record in records(parse(line)):
                if isinstance(record, NotARecordError):
                    self._dead.append((position, str(record), _raw(line)))
                else:
                    self._found.append(record)
                    self.line_of.append(index)
        except NotARecordError as error:
            self._dead.append((position, str(error), _raw(line)))

    def columns(self) -> Columns:
        """The wanted slots of the records read."""
        columns: Columns = {}
        for name in slots_of(self._options):
            values = [record.get(name) for record in self._found]
            if any(value is not None for value in values):
                columns[name] = strings(values)
        return columns

    def conformed(
        self, columns: Columns, line_of: NDArray[np.int64] | list[int], line: Callable[[int], bytes]
    ) -> Conformed:
        """Rows, with the dead letters met on the way."""
        at = np.array(line_of, np.int64)
        # in JSON a key that is missing was not logged, which tells a manual run from a call
        columns.setdefault(METHOD[0], pa.nulls(len(at), pa.string()))
        return assemble(
            columns,
            len(at),
            at + self._first,
            self._source,
            self._options,
            raw=lambda row: _raw(line(int(at[row]))),
            before=self._dead,
        )


def _merge(
    first: Columns, first_rows: NDArray[np.int64], second: Columns, second_rows: NDArray[np.int64]
) -> tuple[Columns, NDArray[np.int64]]:
    """Columns of two sets of lines as one, in the order of the lines."""
    rows = np.concatenate([first_rows, second_rows])
    order = np.argsort(rows, kind="stable")
    if not len(first_rows):
        return second, second_rows
    merged: Columns = {}
    for name in {**first, **second}:
        parts = [
            found[name] if name in found else pa.nulls(len(at), pa.string())
            for found, at in ((first, first_rows), (second, second_rows))
        ]
        if any(part.type == CODED for part in parts):
            parts = [part if part.type == CODED else part.dictionary_encode() for part in parts]
        merged[name] = pa.concat_arrays(parts).take(pa.array(order))
    return merged, rows[order]


def _either(first: pa.Array, second: pa.Array) -> pa.Array:
    """The first's value where it has one, else the second's."""
    return pc.coalesce(text(first), text(second))


def _raw(line: bytes) -> str:
    return line[: 2 * MAX_RAW].decode("utf-8", "replace")
