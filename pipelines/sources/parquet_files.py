"""Parquet files as invocations: only the columns needed, by row groups, so that a large file is read in parts."""

from __future__ import annotations

import io
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any, Final, TypeAlias

import pyarrow as pa
import pyarrow.parquet as pq

from detectors.conform import Conformed, ConformOptions, columns_needed, conform_table
from pipelines.sources.json_files import Inflated
from pipelines.sources.refs import TO_THE_END, FileRef, broken, local, one_line, open_binary

#: rows of a batch: large enough that a batch's cost vanishes, small enough that two of them, read side by side with all
#: that their text says, take no more memory than what comes later
BATCH_ROWS: Final = 32_768
#: rows of a part, about: a quarter of a second of reading, so that lanes end together
PART_ROWS: Final = 131_072
#: bytes of each column read at a time, so that a row group of any size takes no more memory than a small one
_BUFFER_BYTES: Final = 1 << 20
#: names of Parquet's encodings by dictionary
_DICTIONARIES: Final = frozenset(("PLAIN_DICTIONARY", "RLE_DICTIONARY"))
#: bytes a value that a column of codes takes at most, its dictionary included
_CODE_BYTES: Final = 4


#: a row group that can't be read: the position of the first row that is lost, and what is wrong
Loss: TypeAlias = tuple[int, str]


def parts(ref: FileRef, options: ConformOptions) -> list[FileRef]:
    """A large local file in parts of whole row groups; itself where it can't be parted."""
    if not local(ref):
        return [ref]
    try:
        metadata = pq.read_metadata(ref.path)
        if not columns_needed(metadata.schema.to_arrow_schema(), options):
            return [ref]
    except (pa.ArrowException, OSError):
        return [ref]  # reading it says what is wrong
    marks, held = [0], [0]
    for group in range(metadata.num_row_groups):
        held[-1] += metadata.row_group(group).num_rows
        if held[-1] >= PART_ROWS and group + 1 < metadata.num_row_groups:
            marks.append(group + 1)
            held.append(0)
    if len(marks) == 1:
        return [ref]
    row_bytes = Path(ref.path).stat().st_size / max(metadata.num_rows, 1)
    return [
        FileRef(ref.path, ref.format, begin=begin, end=end, size=round(rows * row_bytes))
        for begin, end, rows in zip(marks, [*marks[1:], metadata.num_row_groups], held, strict=True)
    ]


def read(ref: FileRef, options: ConformOptions) -> Iterator[Conformed]:
    """The file's rows, or its part's, in order; what can't be read costs its row group, and is told once a file."""
    if local(ref):
        yield from _tables(ref, ref.path, options)  # Arrow reads it without Python's lock
        return
    with open_binary(ref.path) as stream:
        stored = io.BytesIO(b"".join(Inflated(stream))) if ref.compressed else stream
        yield from _tables(ref, stored, options)


def opened(stored: Any, options: ConformOptions) -> tuple[pq.ParquetFile, list[str]]:
    """A Parquet file and the names of the columns that reading needs.

    Raises:
        pa.ArrowException, OSError: its footer can't be read.
    """
    metadata = pq.read_metadata(stored)
    needed = columns_needed(metadata.schema.to_arrow_schema(), options)
    file = pq.ParquetFile(
        stored, metadata=metadata, read_dictionary=_repeating(metadata, needed), buffer_size=_BUFFER_BYTES
    )
    return file, needed


def _tables(ref: FileRef, stored: str | IO[bytes], options: ConformOptions) -> Iterator[Conformed]:
    try:
        file, needed = opened(stored, options)
    except (pa.ArrowException, OSError) as error:
        text = f"expected a whole Parquet file; received one whose footer can't be read ({one_line(error)})"
        yield broken(ref, 0, text, options)
        return
    if not needed:
        names = ", ".join(file.schema_arrow.names[:12])
        yield broken(ref, 0, f"expected columns of AppRequests or its equals; received {names}", options)
        return
    groups = file.num_row_groups
    begin, end = ref.begin, groups if ref.end == TO_THE_END else ref.end
    lost: list[Loss] = []
    yield from _row_groups(ref, file, needed, options, range(begin, end), lost)
    # one letter a file, whatever its parts: from the part that has the first loss, which looks for the others
    if lost and not _lost(ref, file, needed, options, range(begin)):
        lost += _lost(ref, file, needed, options, range(end, groups))
        position, why = lost[0]
        text = f"expected {groups} readable row groups; received {len(lost)} that can't be read ({why})"
        yield broken(ref, position, text, options)


def _repeating(metadata: pq.FileMetaData, needed: list[str]) -> list[str]:
    """Columns of text whose values come again and again: they are read as codes into their distinct values."""
    if metadata.num_row_groups == 0:
        return []
    group = metadata.row_group(0)
    columns = (group.column(index) for index in range(group.num_columns))
    return [
        column.path_in_schema
        for column in columns
        if column.path_in_schema in needed
        and column.physical_type == "BYTE_ARRAY"
        and not _DICTIONARIES.isdisjoint(column.encodings)
        and column.total_uncompressed_size <= _CODE_BYTES * column.num_values
    ]


def _row_groups(
    ref: FileRef, file: pq.ParquetFile, needed: list[str], options: ConformOptions, groups: range, lost: list[Loss]
) -> Iterator[Conformed]:
    """The rows of some row groups; adds what of them is lost."""
    first = sum(file.metadata.row_group(group).num_rows for group in range(groups.start))
    for group in groups:
        position = first
        try:
            for batch in file.iter_batches(BATCH_ROWS, row_groups=[group], columns=needed, use_threads=False):
                yield conform_table(batch, ref.path, position, options)
                position += batch.num_rows
        except (pa.ArrowException, OSError) as error:
            lost.append((position, one_line(error)))
        first += file.metadata.row_group(group).num_rows


def _lost(ref: FileRef, file: pq.ParquetFile, needed: list[str], options: ConformOptions, groups: range) -> list[Loss]:
    """What of some row groups is lost, by reading them."""
    lost: list[Loss] = []
    for _ in _row_groups(ref, file, needed, options, groups, lost):
        pass
    return lost
