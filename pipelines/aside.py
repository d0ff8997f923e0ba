"""Columns left aside by a shuffle: written once as they come, and fetched for the few rows that somebody asks about.

What a shuffle sorts, writes and reads is copied four times. Most of an invocation's columns are read again only if it
turns out to be strange; those stay where they were written, and the row carries the place.
"""

from __future__ import annotations

from itertools import count
from pathlib import Path
from typing import Any, Final

import numpy as np
import pyarrow as pa

from detectors.order import concat
from pipelines.lexicon import shortened, spelled_out

#: columns of a row that had others left aside: the file's number and the message's offset in it, and the row in it
PLACE: Final = "aside"
ROW: Final = "aside_row"
#: bytes gathered before they are written: a batch has about a hundred buffers, most of them small
BUFFER_BYTES: Final = 1 << 20
#: key in the schema's metadata: the folder
_FOLDER: Final = b"aside"
#: bits of a place that hold the offset
_OFFSET_BITS: Final = 48


class AsideWriter:
    """Writes the columns left aside to a file of its own in a folder.

    Args:
        folder: existing.
        columns: that are left aside, where a batch has them.
    """

    def __init__(self, folder: str, columns: tuple[str, ...]) -> None:
        self._folder = folder
        self._columns = columns
        self._number, self._sink = _fresh(folder)
        self._writer: Any = None

    def put(self, batch: pa.RecordBatch) -> pa.RecordBatch:
        """Leave columns aside; the rows without them, with their place."""
        aside = shortened(batch.select([name for name in self._columns if name in batch.schema.names]), self._folder)
        if self._writer is None:
            self._writer = pa.ipc.new_stream(self._sink, aside.schema)
            # the schema is written with the first batch only
            self._writer.write_batch(aside.slice(0, 0))
        place = self._number << _OFFSET_BITS | self._sink.tell()
        self._writer.write_batch(aside)
        kept = [field for field in batch.schema if field.name not in self._columns]
        schema = pa.schema(
            [*kept, pa.field(PLACE, pa.int64()), pa.field(ROW, pa.int32())], metadata={_FOLDER: self._folder}
        )
        columns = [
            *(batch.column(field.name) for field in kept),
            pa.repeat(pa.scalar(place, pa.int64()), batch.num_rows),
            pa.array(np.arange(batch.num_rows, dtype=np.int32)),
        ]
        return pa.RecordBatch.from_arrays(columns, schema=schema)

    def close(self) -> None:
        """Close the file; places stay good."""
        if self._writer is not None:
            self._writer.close()
        self._sink.close()


def recall(rows: pa.RecordBatch) -> pa.RecordBatch:
    """Rows with the columns that were left aside; as they are where none were.

    Args:
        rows: at least one, as ``AsideWriter.put`` gave them, in any order; the files must still be there.
    """
    folder = (rows.schema.metadata or {}).get(_FOLDER)
    if folder is None:
        return rows
    place, row = np.asarray(rows.column(PLACE)), np.asarray(rows.column(ROW))
    order = np.lexsort((row, place))
    edges = np.flatnonzero(np.r_[True, place[order][1:] != place[order][:-1]])
    schemas: dict[int, pa.Schema] = {}
    found = []
    for begin, end in zip(edges, [*edges[1:], len(order)], strict=True):
        number, offset = divmod(int(place[order[begin]]), 1 << _OFFSET_BITS)
        # mapped for one place at a time: what is mapped counts as this process's memory
        with pa.memory_map(_path(folder.decode(), number)) as file:
            if number not in schemas:
                schemas[number] = pa.ipc.read_schema(file)
            file.seek(offset)
            batch = pa.ipc.read_record_batch(pa.ipc.read_message(file), schemas[number])
            found.append(batch.take(pa.array(row[order[begin:end]])))
            del batch
    back = np.empty(len(order), np.int64)
    back[order] = np.arange(len(order))
    aside = spelled_out(concat(found).take(pa.array(back)))
    own = [field for field in rows.schema if field.name not in (PLACE, ROW)]
    columns = [*(rows.column(field.name) for field in own), *aside.columns]
    return pa.RecordBatch.from_arrays(columns, schema=pa.schema([*own, *aside.schema]))


def _fresh(folder: str) -> tuple[int, Any]:
    """A file that nobody else writes, by its number.

    The number is taken by a file of its own: where one that exists is opened to be written anew, ext4 waits with its
    closing until all of it, a gigabyte, is on its way to the disk.
    """
    for number in count():
        path = _path(folder, number)
        try:
            Path(f"{path}.taken").touch(exist_ok=False)
        except FileExistsError:
            continue
        return number, pa.BufferedOutputStream(pa.OSFile(path, "wb"), BUFFER_BYTES)
    raise AssertionError  # pragma: no cover - numbers do not end


def _path(folder: str, number: int) -> str:
    return str(Path(folder) / f"aside-{number:05d}.arrows")
