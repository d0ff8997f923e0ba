"""Blobs that are read as a whole once they rest: packed lines (.gz) and Parquet."""

from __future__ import annotations

import gzip
import io
import zlib
from collections.abc import Iterator
from typing import Final

import pyarrow as pa

from detectors.conform import ConformOptions
from pipelines.sources.parquet_files import BATCH_ROWS, opened

WHOLE_ENDINGS: Final = (".gz", ".parquet")


class DamagedError(Exception):
    """The blob is damaged or was never finished."""


def pieces(
    path: str, data: bytes, done: int, chunk_bytes: int, options: ConformOptions
) -> Iterator[list[bytes] | pa.RecordBatch]:
    """The blob's lines or rows from number ``done`` on, in pieces.

    Args:
        path: its name, which says what it is.
        data: all of its bytes.
        done: lines or rows that were dealt with before.
        chunk_bytes: unpacked bytes of lines in a piece, about.
        options: how to read: of Parquet, only the columns needed come.

    Raises:
        DamagedError: damaged or not finished; what came before the damage was yielded.
    """
    try:
        if path.lower().endswith(".parquet"):
            yield from _rows(data, done, options)
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


def _rows(data: bytes, done: int, options: ConformOptions) -> Iterator[pa.RecordBatch]:
    before = 0
    file, needed = opened(pa.BufferReader(data), options)
    # where none is needed, each row becomes a dead letter that shows it
    for batch in file.iter_batches(batch_size=BATCH_ROWS, columns=needed or None, use_threads=False):
        begin = max(0, done - before)
        before += batch.num_rows
        if begin < batch.num_rows:
            yield batch.slice(begin)
