"""The ids that were seen, in the order they came, in batches that never change: a checkpoint writes each once."""

from __future__ import annotations

from typing import Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from models.hashing import Hashes

#: entries of a batch that changes no more: 1 MB
BATCH: Final = 131_072
#: spans that an entry tells apart: those remembered, as many again that a row may be late, and what a batch holds
SPANS: Final = 256
#: spans of a batch, at most
_WIDTH: Final = 36
_MASK: Final = np.uint64(SPANS - 1)

#: an id's hash but for its last bits, which are the span it came in
ENTRY: Final = pa.field("entry", pa.uint64())
_SCHEMA: Final = pa.schema([ENTRY])


class SeenLog:
    """Entries in order.

    Args:
        oldest: entries of spans before it are forgotten, though they may still stand in a batch.
    """

    def __init__(self, oldest: int = 0) -> None:
        self.oldest = oldest
        #: batches that change no more, with the latest span of each
        self._full: list[tuple[pa.RecordBatch, int]] = []
        self._open: list[Hashes] = []
        #: the latest spans of the open batch and of its first entries
        self._newest = self._first = 0

    def add(self, hashes: Hashes, spans: npt.NDArray[np.int64]) -> None:
        """Take entries.

        Args:
            hashes: uint64[n].
            spans: int64[n].
        """
        if not len(hashes):
            return
        newest = int(spans.max())
        if self._open and newest - self._first > _WIDTH:
            self._seal()
        self._first = self._first if self._open else newest
        self._open.append((hashes & ~_MASK) | (spans.astype(np.uint64) & _MASK))
        self._newest = max(self._newest, newest)
        if sum(map(len, self._open)) >= BATCH:
            self._seal()

    def keep(self, batch: pa.RecordBatch, spans: npt.NDArray[np.int64]) -> None:
        """Take a batch of a snapshot: as it is where it is full."""
        if batch.num_rows >= BATCH:
            self._full.append((batch, int(spans.max())))
        else:
            self.add(batch.column(0).to_numpy(), spans)

    def forget(self, oldest: int) -> None:
        """Drop batches of which nothing is needed any more."""
        self.oldest = max(self.oldest, oldest)
        self._full = [(batch, newest) for batch, newest in self._full if newest >= self.oldest]
        if self._open and self._newest < self.oldest:
            self._open, self._newest = [], 0

    def batches(self) -> list[pa.RecordBatch]:
        """All entries; of one snapshot and the next the same batches but for the last."""
        return [*(batch for batch, _ in self._full), *([self._together()] if self._open else [])]

    def _seal(self) -> None:
        self._full.append((self._together(), self._newest))
        self._open, self._newest = [], 0

    def _together(self) -> pa.RecordBatch:
        return pa.RecordBatch.from_arrays([pa.array(np.concatenate(self._open))], schema=_SCHEMA)
