"""Parcels: rows on their way through a shuffle, inside the message or left in a spool file with a claim check.

A local runner keeps every shuffle in memory, a cluster does not. So on one machine only claim checks are shuffled, and
memory does not grow with the input; in a stream and on a cluster the rows travel themselves.
"""

from __future__ import annotations

import os
from abc import ABC, abstractmethod
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import pyarrow as pa

from detectors.order import times_of
from pipelines.lexicon import Plan, lengthened, plan_of


class Parcel(ABC):
    """Rows with ``at``, sorted or not, at least one."""

    #: rows inside
    rows: int
    #: earliest ``at`` inside, us
    min_at: int

    @property
    @abstractmethod
    def nbytes(self) -> int:
        """Bytes of the rows, about."""

    @abstractmethod
    def load(self) -> pa.RecordBatch:
        """The rows."""


@dataclass(frozen=True)
class Inline(Parcel):
    """Rows inside the message."""

    batch: pa.RecordBatch
    rows: int
    min_at: int

    @classmethod
    def of(cls, batch: pa.RecordBatch) -> Inline:
        """Wrap a batch of at least one row."""
        return cls(batch, batch.num_rows, int(times_of(batch).min()))

    @property
    def nbytes(self) -> int:
        """Bytes of the rows."""
        return int(self.batch.nbytes)

    def load(self) -> pa.RecordBatch:
        """The rows."""
        return self.batch


@dataclass(frozen=True)
class Spooled(Parcel):
    """A claim check: one IPC message in a spool file, whose head is the schema."""

    path: str
    head: int
    offset: int
    length: int
    rows: int
    min_at: int

    @property
    def nbytes(self) -> int:
        """Bytes of the message."""
        return self.length

    def load(self) -> pa.RecordBatch:
        """Read the rows; the file must still be there."""
        # no memory map: its pages would count as this process's memory
        descriptor = os.open(self.path, os.O_RDONLY)
        try:
            body = os.pread(descriptor, self.length, self.offset)
        finally:
            os.close(descriptor)
        schema, plan = _head(self.path, self.head)
        return lengthened(pa.ipc.read_record_batch(pa.ipc.read_message(pa.py_buffer(body)), schema), plan)


@lru_cache(maxsize=64)
def _head(path: str, length: int) -> tuple[pa.Schema, Plan | None]:
    """The schema of a spool file, which has a name of its own, and how its rows get their names back."""
    with Path(path).open("rb") as file:
        schema = pa.ipc.read_schema(pa.py_buffer(file.read(length)))
    return schema, plan_of(schema)
