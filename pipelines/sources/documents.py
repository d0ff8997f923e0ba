"""A stream of JSON text cut into records' bytes: by lines, or by the elements of a document, in bounded memory."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import Final, NamedTuple

import msgspec
import numpy as np

from detectors.conform import cut as cutting
from detectors.conform.options import MAX_RECORD_BYTES

#: mark of the byte order that Windows puts before text
BOM: Final = b"\xef\xbb\xbf"
#: whole strings and everything else up to the next bracket; written so that a string without end costs one pass
_TO_BRACKET: Final = re.compile(rb'(?:[^"\[\]{}]+|"[^"\\]*(?:\\.[^"\\]*)*")*', re.S)
#: an envelope whose records may be streamed one by one
_ENVELOPE: Final = re.compile(rb'^\s*\{\s*"records"\s*:\s*\[')
_OPEN: Final = b"[{"
#: elements found in one go
_CUTS: Final = 1_024


class Piece(NamedTuple):
    """Some JSON values in order: a block of whole lines, or a list of elements."""

    values: bytes | memoryview | list[bytes]
    #: number of the first line or element, from 0
    first: int
    #: number of the line or element after it
    end: int
    #: whether its last line has its line end
    ended: bool = True


class Oversize(NamedTuple):
    """A line or element too long to be a record; only its beginning is here."""

    beginning: bytes
    position: int


def is_document(beginning: bytes) -> bool:
    """Whether the text is one JSON document over many lines (or one enormous line) rather than JSON Lines."""
    lines = [line.strip() for line in beginning.removeprefix(BOM).lstrip().split(b"\n", 2)]
    first = lines[0]
    if first[:1] not in (b"[", b"{"):
        return False
    if len(lines) == 1:
        # no line end yet: whole and short enough is a line, else only a document can be this long
        return not _parses(first) and len(first) >= MAX_RECORD_BYTES
    if _parses(first):
        return False
    if first in (b"[", b"{"):
        return True
    return (first[:1] == b"[" or first[-1:] in b",[{:") and not _parses(lines[1])


def elements(chunks: Iterable[bytes], batch: int) -> Iterator[Piece | Oversize]:
    """Elements of a document's array or of an envelope's records, or whole documents in a row; ``batch`` at a time."""
    found: list[bytes] = []
    position = 0
    for element in _elements(chunks):
        if len(element) > MAX_RECORD_BYTES:
            if found:
                yield Piece(found, position - len(found), position)
                found = []
            yield Oversize(element, position)
            position += 1
            continue
        found.append(element)
        position += 1
        if len(found) >= batch:
            yield Piece(found, position - batch, position)
            found = []
    if found:
        yield Piece(found, position - len(found), position)


def _elements(chunks: Iterable[bytes]) -> Iterator[bytes]:
    text = b""
    at = 0  # scanned up to here
    begin = -1  # where the element under way begins
    depth, base = 0, 0  # base: the depth of elements, 1 inside an outer array
    started = False
    starts, ends = np.zeros(_CUTS, np.int64), np.zeros(_CUTS, np.int64)
    for chunk in chunks:
        text = text[at if begin < 0 else begin :] + chunk
        if not started:
            text = text.removeprefix(BOM)
        at, begin = (at - begin, 0) if begin >= 0 else (0, -1)
        if not started and text.strip():
            envelope = _ENVELOPE.match(text)
            outer = re.match(rb"^\s*\[", text)
            head = envelope or outer
            if head:
                at, depth, base = head.end(), 1, 1
            started = True
        data = np.frombuffer(text, np.uint8)
        while True:
            if cutting.available():
                found, at, depth, begin = cutting.cut(data, at, depth, base, begin, starts, ends)
                for first, last in zip(starts[:found].tolist(), ends[:found].tolist(), strict=True):
                    yield text[first:last]
                if found == _CUTS:
                    continue
            # what the compiled pass leaves: the outer brackets, and what stands between elements
            match = _TO_BRACKET.match(text, at)
            end = match.end() if match else at
            if begin < 0:
                yield from _scalars(text[at:end], base)
            at = end
            if at >= len(text) or text[at : at + 1] == b'"':
                break  # the text goes on in the next chunk
            opening = text[at : at + 1] in _OPEN
            if opening:
                if depth == base and begin < 0:
                    begin = at
                depth += 1
            else:
                depth -= 1
            at += 1
            if not opening and depth == base and begin >= 0:
                yield text[begin:at]
                begin = -1
            elif depth < base:
                depth = base = 0  # the outer array ends; whole documents may follow
        if begin >= 0 and len(text) - begin > MAX_RECORD_BYTES:
            yield text[begin:]
            return  # what follows can't be told from what it holds
    if begin >= 0:
        yield text[begin:]
    elif text[at:].strip():
        yield text[at:].strip()


def _scalars(text: bytes, base: int) -> Iterator[bytes]:
    """What stands between objects: separators, or values that are no records."""
    if base == 0:
        return
    for value in text.split(b","):
        if value.strip():
            yield value.strip()


def _parses(line: bytes) -> bool:
    try:
        msgspec.json.decode(line)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return False
    return True
