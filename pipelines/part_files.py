"""Numbered part files that agree with a checkpoint: each row once, whatever dies when.

Rows wait in memory, and in the checkpoint, until a part is worth writing. A part is written before the checkpoint that
no longer holds its rows; what a crash left behind the checkpoint's number is written again under the same name.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final

import orjson
import pyarrow as pa
import pyarrow.parquet as pq

from detectors.order import concat
from models.errors import SinkError
from pipelines.durable import sync_folder, write_atomic

#: rows that make a part
PART_ROWS: Final = 100_000
#: a part is written at the latest after so long, s: its rows wait in memory
PART_AGE_S: Final = 60.0

#: a table as the bytes of a file
Render = Callable[[pa.Table], bytes]


class PartFiles:
    """One kind of output.

    Args:
        folder: where the parts go; other files there are left alone.
        job: begins their names, so that two jobs may share a folder.
        schema: of the rows; others are cut to it.
        render: rows to the bytes of a file.
        ending: of the names.
        keep: how many parts of this job stay; None: all.
    """

    def __init__(
        self, folder: Path, job: str, schema: pa.Schema, render: Render, ending: str, *, keep: int | None = None
    ) -> None:
        self._folder, self._job, self._schema = folder, job, schema
        self._render, self._ending, self._keep = render, ending, keep
        self._number = 0
        self._waiting: list[pa.RecordBatch] = []
        #: batches of ``_waiting`` that were there at the last snapshot
        self._settled = 0
        self._since_s: float | None = None

    def add(self, rows: pa.RecordBatch, now_s: float) -> None:
        """Take rows; they are in the next checkpoint or in a part before it."""
        if rows.num_rows == 0:
            return
        if self._since_s is None:
            self._since_s = now_s
        columns = [rows.column(item.name).cast(item.type) for item in self._schema]
        self._waiting.append(pa.RecordBatch.from_arrays(columns, schema=self._schema))

    def __len__(self) -> int:
        return sum(batch.num_rows for batch in self._waiting)

    def flush(self, now_s: float, *, whole: bool = False) -> None:
        """Write a part if it is worth it, or if ``whole``.

        Raises:
            SinkError: the disk is full or gone (``retry=True``); the rows wait.
        """
        if not self._waiting or self._since_s is None:
            return
        if not whole and len(self) < PART_ROWS and 0.0 <= now_s - self._since_s < PART_AGE_S:
            return
        path = self._path(self._number)
        try:
            write_atomic(path, self._render(self._table()))
        except OSError as error:
            raise SinkError(
                "The results can't be written.",
                expected=f"room and the right to write in {self._folder}",
                received=str(error.strerror or error),
                retry=True,
            ) from None
        self._number += 1
        self._waiting, self._settled, self._since_s = [], 0, None
        if self._keep is not None:
            for old in sorted(self._folder.glob(f"{self._job}-*{self._ending}"))[: -self._keep]:
                old.unlink(missing_ok=True)

    def snapshot(self) -> tuple[int, pa.Table]:
        """The next part's number, and the rows that wait."""
        # a batch of a few rows takes several times what is in it
        fresh = self._waiting[self._settled :]
        if len(fresh) > 1:
            self._waiting[self._settled :] = [concat(fresh)]
        self._settled = len(self._waiting)
        return self._number, self._table()

    def restore(self, number: int, waiting: pa.Table, now_s: float) -> None:
        """Take over a snapshot, and remove what was written after it."""
        self._number, self._waiting, self._settled = number, [], 0
        for batch in waiting.to_batches():
            self.add(batch, now_s)
        for path in self._folder.glob(f"{self._job}-*{self._ending}"):
            if path.name >= self._path(number).name:
                path.unlink(missing_ok=True)
        if self._folder.exists():
            sync_folder(self._folder)

    def _path(self, number: int) -> Path:
        return self._folder / f"{self._job}-{number:08d}{self._ending}"

    def _table(self) -> pa.Table:
        return pa.Table.from_batches(self._waiting, self._schema)


def as_parquet(table: pa.Table) -> bytes:
    """A Parquet file."""
    sink = pa.BufferOutputStream()
    pq.write_table(table, sink, compression="zstd", compression_level=1)
    data: bytes = sink.getvalue().to_pybytes()
    return data


def as_lines(table: pa.Table) -> bytes:
    """JSON Lines."""
    rows: list[Mapping[str, Any]] = table.to_pylist()
    return b"".join(orjson.dumps(row, option=orjson.OPT_UTC_Z) + b"\n" for row in rows)
