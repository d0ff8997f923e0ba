"""Whole lines of a stored file, or of a stretch of it, read into one buffer that is used again and again."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import IO, Any, Final

import numpy as np

from detectors.conform.options import MAX_RECORD_BYTES
from detectors.conform.scan import line_ends
from pipelines.sources.documents import BOM, Oversize, Piece

#: bytes whose line ends are counted at once: few, so that they stay in the cache
_COUNTED: Final = 1 << 18
#: bytes read at a time behind the end of a stretch, for the line that goes on there
_BEYOND: Final = 1 << 16
_NEWLINE: Final = 10


def line_ends_before(stream: IO[bytes], offset: int) -> int:
    """How many lines of a file end within its first ``offset`` bytes."""
    stream.seek(0)
    count, left = 0, offset
    while left > 0 and (block := stream.read(min(left, _COUNTED))):
        count += line_ends(np.frombuffer(block, np.uint8))
        left -= len(block)
    return count


def blocks(stream: Any, block_bytes: int, begin: int = 0, end: int | None = None) -> Iterator[Piece | Oversize]:
    """Blocks of the lines that begin at or behind ``begin`` and before ``end``; the last may lack its line end.

    Lines are numbered from 0, the first of the stretch. A block is good until the next is asked for.

    Args:
        stream: binary, with ``readinto``; stands at its beginning, and is seekable where ``begin`` is not 0.
        block_bytes: about how much is read at a time.
        begin: the first byte of the stretch.
        end: the byte behind its last; None for the end of the file.
    """
    buffer = bytearray(block_bytes)
    held, position = 0, 0  # bytes of a line under way, and its number
    # a line begins at ``begin`` where the byte before it is a line end
    skipping, at = begin > 0, max(begin - 1, 0)
    if begin:
        stream.seek(at)
    while True:
        if held == len(buffer):
            buffer = buffer + bytearray(len(buffer))
        room = len(buffer) - held
        inside = end is None or at < end
        if end is not None:
            room = min(room, end - at if inside else _BEYOND)
        with memoryview(buffer) as whole, whole[held : held + room] as free:
            got = stream.readinto(free) or 0
        if not got:
            if held:
                yield Piece(_first(buffer, held, begin, position), position, position + 1, ended=False)
            return
        at, filled = at + got, held + got
        if skipping:
            newline = buffer.find(_NEWLINE, 0, filled)
            if end is not None and (at >= end if newline < 0 else at - filled + newline + 1 >= end):
                return  # no line begins in what is left of the stretch
            if newline < 0:
                continue
            skipping, filled = False, _move(buffer, newline + 1, filled)
        cut = buffer.rfind(_NEWLINE, held, filled) if inside else buffer.find(_NEWLINE, held, filled)
        if cut < 0:
            held = filled
            if held > MAX_RECORD_BYTES:
                yield Oversize(bytes(buffer[: MAX_RECORD_BYTES + 1]), position)
                skipping, held, position = True, 0, position + 1
            continue
        block = _first(buffer, cut, begin, position)
        count = line_ends(np.frombuffer(block, np.uint8)) + 1
        yield Piece(block, position, position + count)
        position += count
        held = _move(buffer, cut + 1, filled)
        if end is not None and at - held >= end:
            return


class Joined:
    """Chunks of bytes as a stream to read from."""

    def __init__(self, chunks: Iterable[bytes]) -> None:
        self._chunks = iter(chunks)
        self._left = memoryview(b"")

    def readinto(self, free: memoryview) -> int:
        """Fill what is free as far as there is something; how many bytes that was."""
        filled = 0
        while filled < len(free):
            if not self._left:
                self._left = memoryview(next(self._chunks, b""))
                if not self._left:
                    break
            taken = min(len(free) - filled, len(self._left))
            free[filled : filled + taken] = self._left[:taken]
            self._left = self._left[taken:]
            filled += taken
        return filled


def _first(buffer: bytearray, size: int, begin: int, position: int) -> memoryview:
    """The first bytes of a buffer, without the mark that may stand before the file's first line."""
    marked = begin == 0 and position == 0 and buffer.startswith(BOM)
    return memoryview(buffer)[len(BOM) if marked else 0 : size]


def _move(buffer: bytearray, first: int, filled: int) -> int:
    """Bring what stands from ``first`` on to the front; how many bytes that is."""
    rest = buffer[first:filled]
    buffer[: len(rest)] = rest
    return len(rest)
