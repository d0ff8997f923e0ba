"""Logs in files and folders, local or azfs://: which files there are, and their records as invocations.

Files are told apart by what is in them (Parquet, JSON Lines, a JSON document, each maybe gzipped), never by their name.
"""

from __future__ import annotations

import glob
import io
import logging
import zlib
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import IO, Final

import pyarrow as pa
import pyarrow.parquet as pq

from detectors.conform import Conformed, ConformOptions
from detectors.conform.slots import TIME
from detectors.schema import INVOCATION
from models.errors import InputError
from pipelines.sources import json_files, parquet_files
from pipelines.sources.parquet_files import BATCH_ROWS
from pipelines.sources.refs import FileRef as FileRef
from pipelines.sources.refs import open_binary
from pipelines.sources.remote import match

#: bytes that tell what a file is
_PEEK_BYTES: Final = 256 * 1024
_PARQUET: Final = b"PAR1"
_GZIP: Final = b"\x1f\x8b"
#: endings that people give logs; in a folder, a file with another is read only if it looks like JSON or Parquet
_LOG_NAMES: Final = (".parquet", ".json", ".jsonl", ".ndjson", ".log", ".gz")
_LABEL_COLUMNS: Final = frozenset(("invocationid", "scenario"))

#: a path, folder or glob, or several
Inputs = str | Path | Sequence[str | Path]

_log = logging.getLogger(__name__)


def expand(inputs: Inputs, note: Callable[[str], None] = _log.info) -> list[FileRef]:
    """The files that these paths, folders and globs mean, sorted by path.

    Args:
        inputs: one or more files, folders (searched below) and globs, local or ``azfs://account/container/path``.
        note: told of each file that is skipped, and why.

    Raises:
        InputError: a path leads nowhere, or nothing here is a log.
    """
    found: dict[str, FileRef] = {}
    every = [str(given) for given in ([inputs] if isinstance(inputs, str | Path) else inputs)]
    if not every:
        raise InputError(
            "There is nothing to read.", expected="at least one file, folder or glob of logs", received="no path"
        )
    for given in every:
        paths = _remote(given) if "://" in given else _local(given)
        if not paths:
            is_folder = "://" not in given and Path(given).is_dir()
            raise InputError(
                f"no files at {given}",
                expected="a file, a folder or a glob of Parquet, JSON Lines or JSON (also .gz)",
                received="a folder without a file" if is_folder else "a path that matches nothing",
                hint=(
                    "check whether the export has written anything yet"
                    if is_folder
                    else "quote globs so that the shell leaves them alone; check the spelling"
                ),
            )
        for path, explicit in paths:
            ref = _look(path, explicit, note)
            if ref is not None:
                found[path] = ref
    if not found:
        raise InputError(
            f"nothing to read at {', '.join(every)}",
            expected="files of Parquet, JSON Lines or JSON (also .gz) with function logs",
            received="only files of other kinds, hidden ones or label tables",
            hint="pass the folder that holds the logs, or the files themselves",
        )
    return [found[path] for path in sorted(found)]


def read(ref: FileRef, options: ConformOptions | None = None) -> Iterator[Conformed]:
    """A file's records (or its part's) as invocations, at most BATCH_ROWS rows at a time, in the file's order.

    A file that breaks off gives what can be read, and one dead letter that says where it broke.
    """
    options = options or ConformOptions()
    pieces = parquet_files.read(ref, options) if ref.format == "parquet" else json_files.read(ref, options)
    for piece in pieces:
        yield from _bounded(piece)


def parts(ref: FileRef, options: ConformOptions | None = None) -> list[FileRef]:
    """A file in parts that may be read side by side and give together what it gives; itself where it is small."""
    if ref.format == "parquet":
        return parquet_files.parts(ref, options or ConformOptions())
    return json_files.parts(ref)


def load(inputs: Inputs, options: ConformOptions | None = None) -> pa.Table:
    """All invocations of these inputs as one INVOCATION table, for notebooks; dead letters are left out.

    Args:
        inputs: one or more files, folders and globs, local or ``azfs://account/container/path``; Parquet, JSON Lines
            or JSON.
        options: how to read.

    Returns:
        A row for each record (``detectors.schema.INVOCATION``: times UTC, run times in ms), in no order.

    Example:
        >>> import json, tempfile
        >>> from pathlib import Path
        >>> logs = Path(tempfile.mkdtemp()) / "logs.ndjson"
        >>> row = {"Type": "AppRequests", "TimeGenerated": "2026-08-01T12:00:00Z", "AppRoleName": "shop"}
        >>> row |= {"OperationName": "Pay", "DurationMs": 81.5, "Success": True, "ResultCode": "200"}
        >>> row["Properties"] = {"InvocationId": "8d3a1d35-4d5e-4b6b-9f0e-2b8a4a3c1d2e"}
        >>> _ = logs.write_text(json.dumps(row))
        >>> load(logs).select(["app", "function", "duration_ms"]).to_pylist()
        [{'app': 'shop', 'function': 'Pay', 'duration_ms': 81.5}]

    Raises:
        InputError: a path leads nowhere, or nothing there is a log.
    """
    batches = [piece.rows for ref in expand(inputs) for piece in read(ref, options)]
    return pa.Table.from_batches(batches, schema=INVOCATION)


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
