"""Blobs that are read as a whole once they rest: packed lines (.gz) and Parquet."""

from __future__ import annotations

import gzip
import io
import zlib
from collections.abc import Iterator
from typing import Final

import pyarrow as pa
import pyarrow.parquet as pq

WHOLE_ENDINGS: Final = (".gz", ".parquet")


class DamagedError(Exception):
    """The blob is damaged or was never finished."""


#: rows of Parquet in one piece
_ROWS: Final = 65_536


def pieces(path: str, data: bytes, done: int, chunk_bytes: int) -> Iterator[list[bytes] | pa.RecordBatch]:
    """The blob's lines or rows from number ``done`` on, in pieces.

    Args:
        path: its name, which says what it is.
        data: all of its bytes.
        done: lines or rows that were dealt with before.
        chunk_bytes: unpacked bytes of lines in a piece, about.

    Raises:
        DamagedError: damaged or not finished; what came before the damage was yielded.
    """
    try:
        if path.lower().endswith(".parquet"):
            yield from _rows(data, done)
        else:
            yield from _lines(data, done, chunk_bytes)
    except (pa.ArrowException, OSError, EOFError, zlib.error) as error:
        raise DamagedError(f"{type(error).__name__}: {error}"[:200]) from None


def _lines(data: bytes, done: int, chunk_bytes: int) -> Iterator[list[bytes]]:
    piece: list[bytes] = []
    size = 0
    with gzip.GzipFile(fileobj=io.BytesIO(data)) as file:
        for number, line in enumerate(file):
            if number < done:
                continue
            piece.append(line)
            size += len(line)
            if size >= chunk_bytes:
                yield piece
                piece, size = [], 0
    if piece:
        yield piece


def _rows(data: bytes, done: int) -> Iterator[pa.RecordBatch]:
    before = 0
    for batch in pq.ParquetFile(pa.BufferReader(data)).iter_batches(batch_size=_ROWS):
        begin = max(0, done - before)
        before += batch.num_rows
        if begin < batch.num_rows:
            yield batch.slice(begin)
