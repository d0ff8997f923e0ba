"""The names of a run, each once: a spool writes codes, and who reads it gets the names back with them.

A handful of apps, functions, triggers, hosts and cities make up half of what an invocation says. As codes they are a
third as wide, and are sorted, written and read like numbers. Names live in this process, as long as the run; where the
workers of a run are other processes, nobody holds a lexicon and the names themselves travel.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final, NamedTuple

import numpy as np
import pyarrow as pa

from detectors.texts import CODED, plain
from models.errors import InputError

#: keys in a schema's metadata: the lexicon, and the columns that are codes into it
_LEXICON: Final = b"lexicon"
_COLUMNS: Final = b"coded"
_BETWEEN: Final = b"\x1f"

_held: Final[dict[str, Lexicon]] = {}


class Lexicon:
    """Distinct texts of each column, in the order in which they came; threads may share it."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._codes: dict[str, dict[str, int]] = {}
        self._texts: dict[str, pa.StringArray] = {}

    def texts(self, column: str) -> pa.StringArray:
        """All texts of a column by their codes, string[k]; the same array until one is added."""
        codes = self._codes.get(column, {})
        known = self._texts.get(column)
        if known is None or len(known) < len(codes):
            with self._lock:
                known = self._texts[column] = pa.array(list(codes), pa.string())
        return known

    def codes(self, column: str, values: pa.DictionaryArray) -> pa.Array:
        """int32[n]: codes of the texts of a column, new ones added; null where there is none."""
        own, known = values.dictionary, self._texts.get(column)
        if known is not None and _same(own, known):
            return values.indices
        with self._lock:
            codes = self._codes.setdefault(column, {})
            mine = [codes.setdefault(text, len(codes)) for text in own.to_pylist()]
        return pa.array(np.array(mine, np.int32)).take(values.indices)


@contextmanager
def lexicon(spool: str | Path) -> Iterator[None]:
    """Hold the names of whatever is spooled in the folders of this folder, as long as the context lasts."""
    _held[str(spool)] = Lexicon()
    try:
        yield
    finally:
        _held.pop(str(spool), None)


def shortened(batch: pa.RecordBatch, folder: str) -> pa.RecordBatch:
    """Rows with codes (int32) in place of columns of coded texts; the texts themselves where no lexicon is held.

    Args:
        batch: rows.
        folder: that they are to be written to.
    """
    coded = [field.name for field in batch.schema if pa.types.is_dictionary(field.type)]
    if not coded:
        return batch
    name = str(Path(folder).parent)
    held = _held.get(name)
    fields, columns = [], []
    for field, column in zip(batch.schema, batch.columns, strict=True):
        if field.name in coded:
            column = plain(column) if held is None else held.codes(field.name, column)
        fields.append(field.with_type(column.type))
        columns.append(column)
    metadata = dict(batch.schema.metadata or {})
    if held is not None:
        metadata |= {_LEXICON: name.encode(), _COLUMNS: _BETWEEN.join(name.encode() for name in coded)}
    return pa.RecordBatch.from_arrays(columns, schema=pa.schema(fields, metadata=metadata))


def sharing(batch: pa.RecordBatch, folder: str) -> pa.RecordBatch:
    """Rows whose coded texts are codes into the lexicon already, so that no part of them has to be looked up again.

    Args:
        batch: rows.
        folder: that they are to be written to.
    """
    held = _held.get(str(Path(folder).parent))
    if held is None:
        return batch
    columns: list[Any] = batch.columns
    for place, field in enumerate(batch.schema):
        if pa.types.is_dictionary(field.type):
            codes = held.codes(field.name, columns[place])
            columns[place] = pa.DictionaryArray.from_arrays(codes, held.texts(field.name), safe=False)
    return pa.RecordBatch.from_arrays(columns, schema=batch.schema)


class Plan(NamedTuple):
    """How rows of one schema get their names back."""

    lexicon: str
    #: of the rows afterwards
    schema: pa.Schema
    #: places and names of the columns that are codes
    coded: tuple[tuple[int, str], ...]


def plan_of(schema: pa.Schema) -> Plan | None:
    """How rows of this schema get their names back; None where nothing was shortened."""
    metadata = schema.metadata or {}
    if _LEXICON not in metadata:
        return None
    coded = tuple((schema.get_field_index(name), name) for name in metadata[_COLUMNS].decode().split(_BETWEEN.decode()))
    fields = list(schema)
    for place, _ in coded:
        fields[place] = fields[place].with_type(CODED)
    rest = {key: value for key, value in metadata.items() if key not in (_LEXICON, _COLUMNS)}
    return Plan(metadata[_LEXICON].decode(), pa.schema(fields, metadata=rest or None), coded)


def lengthened(batch: pa.RecordBatch, plan: Plan | None) -> pa.RecordBatch:
    """The inverse of ``shortened``: rows with coded texts; as they are where nothing was shortened.

    Args:
        batch: rows.
        plan: of their schema.

    Raises:
        InputError: in another process, or after the run.
    """
    if plan is None:
        return batch
    held = _held.get(plan.lexicon)
    if held is None:
        raise InputError(
            "The names of these rows are not here.",
            expected="a worker that is a thread of the process that began the run",
            received="another process, or one whose run has ended",
        )
    columns: list[Any] = batch.columns
    for place, name in plan.coded:
        columns[place] = pa.DictionaryArray.from_arrays(columns[place], held.texts(name), safe=False)
    return pa.RecordBatch.from_arrays(columns, schema=plan.schema)


def spelled_out(batch: pa.RecordBatch) -> pa.RecordBatch:
    """Rows with plain texts in place of coded ones, and of what was shortened."""
    batch = lengthened(batch, plan_of(batch.schema))
    columns = [plain(column) for column in batch.columns]
    fields = [field.with_type(column.type) for field, column in zip(batch.schema, columns, strict=True)]
    return pa.RecordBatch.from_arrays(columns, schema=pa.schema(fields, metadata=batch.schema.metadata))


def _same(one: pa.StringArray, other: pa.StringArray) -> bool:
    """Whether two arrays are the same memory."""
    return (
        len(one) == len(other)
        and one.offset == other.offset
        and [part.address for part in one.buffers() if part] == [part.address for part in other.buffers() if part]
    )
