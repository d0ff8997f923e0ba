"""Files of JSON as invocations: JSON Lines, a document, or either gzipped; large files of plain lines in parts."""

from __future__ import annotations

import itertools
import zlib
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import IO, Final

import pyarrow.compute as pc

from detectors.conform import Conformed, ConformOptions, conform_json
from detectors.conform.options import MAX_RECORD_BYTES
from pipelines.sources import documents
from pipelines.sources.blocks import Joined, blocks, line_ends_before
from pipelines.sources.refs import TO_THE_END, FileRef, broken, even, local, open_binary

#: bytes read at a time; about 10,000 rows of AppRequests
BLOCK_BYTES: Final = 16 * 1024 * 1024
#: bytes of a part of a file of lines, about: two blocks
PART_BYTES: Final = 32 * 1024 * 1024
#: elements of a JSON document handed on at a time
_ELEMENTS: Final = 8_192
#: bytes read at a time until two lines are there, which tell lines from a document
_PEEK_BYTES: Final = 1 << 16
#: bytes of a gzip file read, and unpacked, at a time: few, so that they are still in the cache when they are copied
_PACKED_BYTES: Final = 1 << 18
_UNPACKED_BYTES: Final = 1 << 20


def parts(ref: FileRef) -> list[FileRef]:
    """A large local file of lines in parts; itself where it can't be parted."""
    if not local(ref) or not Path(ref.path).is_file() or (size := Path(ref.path).stat().st_size) < 2 * PART_BYTES:
        return [ref]
    with open_binary(ref.path) as stream:
        if documents.is_document(_beginning(_chunks(stream, _PEEK_BYTES))):
            return [ref]
    stretches = list(even(0, size, PART_BYTES))
    # the last one goes to wherever the file ends when it is read
    ends = [*(end for _, end in stretches[:-1]), TO_THE_END]
    return [
        FileRef(ref.path, ref.format, begin=begin, end=end, size=size // len(ends))
        for (begin, _), end in zip(stretches, ends, strict=True)
    ]


def read(ref: FileRef, options: ConformOptions) -> Iterator[Conformed]:
    """The file's records, or its part's, in order; where a gzip file breaks off is told."""
    with open_binary(ref.path) as stream:
        if ref.compressed:
            yield from _inflated(ref, stream, options)
        elif ref.whole and documents.is_document(beginning := _beginning(_chunks(stream, _PEEK_BYTES))):
            whole = itertools.chain([beginning], _chunks(stream, BLOCK_BYTES))
            yield from _conformed(documents.elements(whole, _ELEMENTS), ref, options)
        else:
            stream.seek(0)
            end = None if ref.end == TO_THE_END else ref.end
            pieces = blocks(stream, BLOCK_BYTES, ref.begin, end)
            yield from _placed(_conformed(pieces, ref, options), lambda: _lines_before(ref))


def _inflated(ref: FileRef, stream: IO[bytes], options: ConformOptions) -> Iterator[Conformed]:
    chunks = Inflated(stream)
    unpacked = iter(chunks)
    beginning = _beginning(unpacked)
    whole = itertools.chain([beginning], unpacked)
    document = documents.is_document(beginning)
    pieces = documents.elements(whole, _ELEMENTS) if document else blocks(Joined(whole), BLOCK_BYTES)
    end = 0
    for piece in pieces:
        end = piece.position + 1 if isinstance(piece, documents.Oversize) else piece.end
        if chunks.error and isinstance(piece, documents.Piece) and not piece.ended:
            end -= 1  # the line that the break goes through is told by the file's own dead letter
            continue
        yield from _conformed([piece], ref, options)
    if chunks.error:
        yield broken(ref, end, f"expected a whole gzip file; received one that {chunks.error}", options)


def _conformed(
    pieces: Iterable[documents.Piece | documents.Oversize], ref: FileRef, options: ConformOptions
) -> Iterator[Conformed]:
    for piece in pieces:
        if isinstance(piece, documents.Oversize):
            yield conform_json([piece.beginning], ref.path, piece.position, options)
        else:
            yield conform_json(piece.values, ref.path, piece.first, options)


def _placed(found: Iterator[Conformed], lines_before: Callable[[], int]) -> Iterator[Conformed]:
    """Positions in the file instead of in the part; the lines before it are only counted if somebody asks."""
    before = -1
    for piece in found:
        batches = [piece.rows, piece.dead]
        for number, batch in enumerate(batches):
            index = batch.schema.get_field_index("position")
            if index < 0 or batch.num_rows == 0:
                continue
            before = lines_before() if before < 0 else before
            if before:
                moved = pc.add(batch.column(index), before)
                batches[number] = batch.set_column(index, batch.schema.field(index), moved)
        yield Conformed(batches[0], batches[1], piece.ignored)


def _lines_before(ref: FileRef) -> int:
    if ref.begin == 0:
        return 0
    with open_binary(ref.path) as stream:
        # the part's first line begins behind the first line end from the byte before the part on
        return line_ends_before(stream, ref.begin - 1) + 1


def _beginning(chunks: Iterator[bytes]) -> bytes:
    """The first two lines of a text, or as much as a record may have."""
    beginning = b""
    for chunk in chunks:
        beginning += chunk
        if beginning.removeprefix(documents.BOM).lstrip().count(b"\n") > 1 or len(beginning) >= MAX_RECORD_BYTES:
            break
    return beginning


def _chunks(stream: IO[bytes], size: int) -> Iterator[bytes]:
    """Blocks of a stream, each as large as all before it, up to BLOCK_BYTES."""
    while block := stream.read(size):
        yield block
        size = min(2 * size, BLOCK_BYTES)


class Inflated:
    """Blocks of a gzipped stream of any number of members; ``error`` says how it broke off, if it did."""

    def __init__(self, stream: IO[bytes]) -> None:
        self._stream = stream
        self._inflater = zlib.decompressobj(zlib.MAX_WBITS | 16)
        self.error = ""

    def __iter__(self) -> Iterator[bytes]:
        pending = b""
        while not self.error:
            pending = pending or self._stream.read(_PACKED_BYTES)
            if not pending:
                if not self._inflater.eof:
                    self.error = "ends too early"
                return
            if self._inflater.eof:
                if not pending.lstrip(b"\0"):
                    return  # padding behind the last member
                self._inflater = zlib.decompressobj(zlib.MAX_WBITS | 16)
            try:
                block = self._inflater.decompress(pending, _UNPACKED_BYTES)
            except zlib.error as error:
                self.error = f"is damaged ({error})"
                return
            pending = self._inflater.unused_data if self._inflater.eof else self._inflater.unconsumed_tail
            if block:
                yield block
