"""Logs in files and folders, local or azfs://: which files there are, and their records as invocations.

Files are told apart by what is in them (Parquet, JSON Lines, a JSON document, each maybe gzipped), never by their name.
"""

from __future__ import annotations

import glob
import io
import itertools
import logging
import zlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Final

import pyarrow as pa
import pyarrow.parquet as pq

from detectors.conform import Conformed, ConformOptions, columns_needed, conform_json, conform_table
from detectors.conform.assemble import dead_letters, no_rows
from detectors.conform.options import MAX_RECORD_BYTES, schema_of
from detectors.conform.slots import TIME
from detectors.schema import INVOCATION
from models.errors import InputError
from pipelines.sources import documents
from pipelines.sources.remote import file_systems, match

#: rows of a batch: large enough that a batch's cost vanishes, small enough for a cache
BATCH_ROWS: Final = 65_536
#: bytes read at a time; about 16,000 rows of AppRequests
BLOCK_BYTES: Final = 16 * 1024 * 1024
#: elements of a JSON document handed on at a time
_ELEMENTS: Final = 8_192
#: bytes that tell what a file is
_PEEK_BYTES: Final = 256 * 1024
_PARQUET: Final = b"PAR1"
_GZIP: Final = b"\x1f\x8b"
#: endings that people give logs; in a folder, a file with another is read only if it looks like JSON or Parquet
_LOG_NAMES: Final = (".parquet", ".json", ".jsonl", ".ndjson", ".log", ".gz")
#: names of Parquet's encodings by dictionary
_DICTIONARIES: Final = frozenset(("PLAIN_DICTIONARY", "RLE_DICTIONARY"))
#: bytes a value that a column of codes takes at most, its dictionary included
_CODE_BYTES: Final = 4
_LABEL_COLUMNS: Final = frozenset(("invocationid", "scenario"))

_log = logging.getLogger(__name__)


@dataclass(frozen=True, order=True)
class FileRef:
    """One file to read."""

    #: path or URL; also the ``source`` of its rows
    path: str
    #: "parquet" or "json"
    format: str
    #: gzipped
    compressed: bool = False


def expand(inputs: Sequence[str], note: Callable[[str], None] = _log.info) -> list[FileRef]:
    """The files that these paths, folders and globs mean, sorted by path.

    Args:
        inputs: files, folders (searched below) and globs, local or ``azfs://account/container/path``.
        note: told of each file that is skipped, and why.

    Raises:
        InputError: a path leads nowhere, or nothing here is a log.
    """
    found: dict[str, FileRef] = {}
    for given in inputs:
        paths = _remote(given) if "://" in given else _local(given)
        if not paths:
            raise InputError(
                f"no files at {given}",
                expected="a file, a folder or a glob of Parquet, JSON Lines or JSON (also .gz)",
                received="a path that matches nothing",
                hint="quote globs so that the shell leaves them alone; check the spelling",
            )
        for path, explicit in paths:
            ref = _look(path, explicit, note)
            if ref is not None:
                found[path] = ref
    if not found:
        raise InputError(
            f"nothing to read at {', '.join(inputs)}",
            expected="files of Parquet, JSON Lines or JSON (also .gz) with function logs",
            received="only files of other kinds, hidden ones or label tables",
            hint="pass the folder that holds the logs, or the files themselves",
        )
    return [found[path] for path in sorted(found)]


def read(ref: FileRef, options: ConformOptions | None = None) -> Iterator[Conformed]:
    """A file's records as invocations, at most BATCH_ROWS rows at a time, in the file's order.

    A file that breaks off gives what can be read, and one dead letter that says where it broke.
    """
    options = options or ConformOptions()
    pieces = _parquet(ref, options) if ref.format == "parquet" else _json(ref, options)
    for piece in pieces:
        yield from _bounded(piece)


def load(inputs: Sequence[str], options: ConformOptions | None = None) -> pa.Table:
    """All invocations of these inputs as one INVOCATION table, for notebooks; dead letters are left out."""
    batches = [piece.rows for ref in expand(inputs) for piece in read(ref, options)]
    return pa.Table.from_batches(batches, schema=INVOCATION)


def open_binary(path: str) -> IO[bytes]:
    """A seekable binary stream of a local file or of a blob, its bytes as they are stored."""
    if "://" not in path:
        return Path(path).open("rb")
    from apache_beam.io.filesystem import CompressionTypes

    stream: IO[bytes] = file_systems(path).open(path, compression_type=CompressionTypes.UNCOMPRESSED)
    return stream


def _local(given: str) -> list[tuple[str, bool]]:
    """Files below a path, and whether the path named the file itself."""
    path = Path(given)
    if path.is_dir():
        below = (item for item in path.rglob("*") if item.is_file())
        return [(str(item), False) for item in below if not _hidden(item.relative_to(path).parts)]
    if path.exists():
        return [(given, True)]
    matches = [Path(match) for match in glob.glob(given, recursive=True)]  # noqa: PTH207  Path.glob takes no absolute patterns
    files = [(str(match), False) for match in matches if match.is_file() and not _hidden(match.parts[-1:])]
    for folder in matches:
        if folder.is_dir() and not _hidden(folder.parts[-1:]) and "**" not in given:
            files += _local(str(folder))
    return files


def _remote(given: str) -> list[tuple[str, bool]]:
    root = given.rstrip("/")
    if any(sign in given for sign in "*?["):
        found = match(given)
    else:
        # blobs have no folders: there is only what lies below, or the one blob of this name
        found = match(f"{root}/**") or [item for item in match(f"{root}*") if item.path == root]
    paths = []
    for item in found:
        below = item.path.removeprefix(root).strip("/")
        if item.size_in_bytes and not _hidden(tuple(below.split("/"))):
            paths.append((item.path, item.path == given))
    return paths


def _hidden(parts: tuple[str, ...]) -> bool:
    return any(part.startswith((".", "_")) for part in parts)


def _look(path: str, explicit: bool, note: Callable[[str], None]) -> FileRef | None:
    """What a file is, or None (with a note) where it holds no logs."""
    try:
        with open_binary(path) as stream:
            head = stream.read(_PEEK_BYTES)
            compressed = head.startswith(_GZIP)
            if compressed:
                head = _begin_inflate(head)
            if head.startswith(_PARQUET):
                if not compressed and _is_labels(stream):
                    note(f"skipped {path}: a table of labels (InvocationId, scenario), not of logs")
                    return None
                return FileRef(path, "parquet", compressed)
    except OSError as error:
        raise InputError(f"can't open {path}", received=str(error), hint="check the permissions of the file") from error
    looks = head.removeprefix(b"\xef\xbb\xbf").lstrip()[:1] in (b"{", b"[")
    if looks or explicit or path.lower().endswith(_LOG_NAMES):
        if path.lower().endswith(".parquet") and not looks:
            return FileRef(path, "parquet", compressed)
        return FileRef(path, "json", compressed)
    note(f"skipped {path}: neither Parquet nor JSON")
    return None


def _is_labels(stream: IO[bytes]) -> bool:
    try:
        names = {name.lower() for name in pq.read_schema(pa.PythonFile(_Unclosed(stream), mode="r")).names}
    except (pa.ArrowException, OSError, ValueError):
        return False  # broken: reading it will say where
    return names >= _LABEL_COLUMNS and names.isdisjoint(TIME)


class _Unclosed(io.RawIOBase):
    """A stream that Arrow may close without closing ours."""

    def __init__(self, stream: IO[bytes]) -> None:
        super().__init__()
        self._stream = stream

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = 0) -> int:
        return self._stream.seek(offset, whence)

    def tell(self) -> int:
        return self._stream.tell()

    def read(self, size: int = -1) -> bytes:
        return self._stream.read(size)


def _begin_inflate(head: bytes) -> bytes:
    try:
        return zlib.decompressobj(zlib.MAX_WBITS | 16).decompress(head, _PEEK_BYTES)
    except zlib.error:
        return b""


def _bounded(piece: Conformed) -> Iterator[Conformed]:
    if piece.rows.num_rows <= BATCH_ROWS:
        yield piece
        return
    for begin in range(0, piece.rows.num_rows, BATCH_ROWS):
        first = begin == 0
        rows = piece.rows.slice(begin, BATCH_ROWS)
        yield Conformed(rows, piece.dead if first else piece.dead.slice(0, 0), piece.ignored if first else 0)


def _broken(ref: FileRef, position: int, error: str, options: ConformOptions) -> Conformed:
    dead = dead_letters(ref.path, [(position, error, "")], options)
    return Conformed(no_rows(schema_of(options)), dead, 0)


def _parquet(ref: FileRef, options: ConformOptions) -> Iterator[Conformed]:
    if "://" not in ref.path and not ref.compressed:
        yield from _tables(ref, ref.path, options)  # Arrow reads it without Python's lock
        return
    with open_binary(ref.path) as stream:
        inflated = io.BytesIO(b"".join(_Inflated(stream))) if ref.compressed else stream
        yield from _tables(ref, inflated, options)


def _tables(ref: FileRef, stored: str | IO[bytes], options: ConformOptions) -> Iterator[Conformed]:
    try:
        metadata = pq.read_metadata(stored)
        schema = metadata.schema.to_arrow_schema()
        needed = columns_needed(schema, options)
        names = ", ".join(schema.names[:12])
        file = pq.ParquetFile(stored, metadata=metadata, read_dictionary=_repeating(metadata, needed))
    except (pa.ArrowException, OSError) as error:
        text = f"expected a whole Parquet file; received one whose footer can't be read ({_one_line(error)})"
        yield _broken(ref, 0, text, options)
        return
    if not needed:
        yield _broken(ref, 0, f"expected columns of AppRequests or its equals; received {names}", options)
        return
    yield from _row_groups(ref, file, needed, options)


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


def _row_groups(ref: FileRef, file: pq.ParquetFile, needed: list[str], options: ConformOptions) -> Iterator[Conformed]:
    first, lost, lost_at, why = 0, 0, -1, ""
    for group in range(file.num_row_groups):
        position = first
        try:
            for batch in file.iter_batches(BATCH_ROWS, row_groups=[group], columns=needed, use_threads=False):
                yield conform_table(batch, ref.path, position, options)
                position += batch.num_rows
        except (pa.ArrowException, OSError) as error:
            lost, why = lost + 1, why or _one_line(error)
            lost_at = position if lost_at < 0 else lost_at
        first += file.metadata.row_group(group).num_rows
    if lost:
        text = f"expected {file.num_row_groups} readable row groups; received {lost} that can't be read ({why})"
        yield _broken(ref, lost_at, text, options)


def _json(ref: FileRef, options: ConformOptions) -> Iterator[Conformed]:
    with open_binary(ref.path) as stream:
        chunks = _Inflated(stream) if ref.compressed else _Plain(stream)
        blocks = iter(chunks)
        beginning = b""
        while b"\n" not in beginning and len(beginning) < MAX_RECORD_BYTES and (block := next(blocks, b"")):
            beginning += block
        whole = itertools.chain([beginning], blocks)
        document = documents.is_document(beginning)
        pieces = documents.elements(whole, _ELEMENTS) if document else documents.lines(whole)
        end = 0
        for piece in pieces:
            if isinstance(piece, documents.Oversize):
                yield conform_json([piece.beginning], ref.path, piece.position, options)
                end = piece.position + 1
                continue
            end = piece.end
            if chunks.error and not document and isinstance(piece.values, bytes) and b"\n" not in piece.values:
                end -= 1  # the line that the break goes through is told by the file's own dead letter
                continue
            yield conform_json(piece.values, ref.path, piece.first, options)
        if chunks.error:
            yield _broken(ref, end, f"expected a whole gzip file; received one that {chunks.error}", options)


class _Plain:
    """Blocks of a stream."""

    error = ""

    def __init__(self, stream: IO[bytes]) -> None:
        self._stream = stream

    def __iter__(self) -> Iterator[bytes]:
        while block := self._stream.read(BLOCK_BYTES):
            yield block


class _Inflated:
    """Blocks of a gzipped stream of any number of members; ``error`` says how it broke off, if it did."""

    def __init__(self, stream: IO[bytes]) -> None:
        self._stream = stream
        self._inflater = zlib.decompressobj(zlib.MAX_WBITS | 16)
        self.error = ""

    def __iter__(self) -> Iterator[bytes]:
        pending = b""
        while not self.error:
            pending = pending or self._stream.read(BLOCK_BYTES // 8)
            if not pending:
                if not self._inflater.eof:
                    self.error = "ends too early"
                return
            if self._inflater.eof:
                if not pending.lstrip(b"\0"):
                    return  # padding behind the last member
                self._inflater = zlib.decompressobj(zlib.MAX_WBITS | 16)
            try:
                block = self._inflater.decompress(pending, BLOCK_BYTES)
            except zlib.error as error:
                self.error = f"is damaged ({error})"
                return
            pending = self._inflater.unused_data if self._inflater.eof else self._inflater.unconsumed_tail
            if block:
                yield block


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split())[:200]
