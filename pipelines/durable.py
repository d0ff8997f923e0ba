"""Files that survive a crash: whole replacement, and lines that are on disk when the call returns."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import BinaryIO, Final, TextIO

#: step in which a torn tail is searched for its last line break, bytes
_TAIL_STEP: Final = 64 * 1024


def write_atomic(path: Path, data: bytes, *, lasting: bool = True) -> None:
    """Replace the file as a whole: a reader or a crash sees the old or the new content, never a mixture.

    Args:
        path: of the file.
        data: its new content.
        lasting: whether its name lasts when the call returns; else the caller sees to it with ``sync_folder``, once for
            several files.

    Raises:
        OSError: the old content is still there.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        with temporary.open("wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)
    if lasting:
        sync_folder(path.parent)


def sync_folder(folder: Path) -> None:
    """Make renames and new names in the folder last, where the system can."""
    with contextlib.suppress(OSError):  # Windows has no such thing, and needs none
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def hold(path: Path) -> TextIO | None:
    """A file that this process alone has open, until it is closed; None where the system has no such locks.

    Raises:
        BlockingIOError: another process has it.
        OSError: it can't be opened.
    """
    try:
        import fcntl
    except ImportError:
        return None
    file = path.open("a")
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        file.close()
        raise BlockingIOError(error.errno, f"another process has {path.name} open", str(path)) from None
    return file


class DurableLines:
    """A file of lines to which lines are added all or none.

    Opening cuts off a last line without its break: its ``append`` never returned, so whoever wrote it writes it again.
    A failed ``append`` takes back what it had written.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        path.parent.mkdir(parents=True, exist_ok=True)
        self._file: BinaryIO = path.open("ab")
        whole = _whole_bytes(path)
        if whole < path.stat().st_size:
            self._file.truncate(whole)
        #: bytes in the file
        self.size = whole

    def append(self, lines: Iterable[bytes]) -> None:
        """Add lines (given without breaks) and wait until the disk has them.

        Raises:
            OSError: nothing was added.
        """
        data = b"".join(line + b"\n" for line in lines)
        if not data:
            return
        try:
            self._file.write(data)
            self._file.flush()
            os.fsync(self._file.fileno())
        except OSError:
            self._take_back()
            raise
        self.size += len(data)

    def _take_back(self) -> None:
        # the buffer may still hold what failed: closing would write it after the truncation
        with contextlib.suppress(OSError):
            self._file.close()
        with contextlib.suppress(OSError):
            os.truncate(self.path, self.size)
        self._file = self.path.open("ab")

    def close(self) -> None:
        """Close the file."""
        with contextlib.suppress(OSError):
            self._file.close()


def lines_of(path: Path) -> Iterator[bytes]:
    """The whole lines of a file, without breaks; none where it is absent."""
    if not path.exists():
        return
    with path.open("rb") as file:
        for line in file:
            if line.endswith(b"\n") and line.strip():
                yield line.rstrip(b"\r\n")


def _whole_bytes(path: Path) -> int:
    """Bytes up to and with the last line break."""
    end = path.stat().st_size
    with path.open("rb") as file:
        while end > 0:
            begin = max(0, end - _TAIL_STEP)
            file.seek(begin)
            found = file.read(end - begin).rfind(b"\n")
            if found >= 0:
                return begin + found + 1
            end = begin
    return 0
