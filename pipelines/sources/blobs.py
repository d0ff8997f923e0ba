"""A folder of files or a container of blobs, as far as tailing needs it: what is there, and a stretch of one."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from models.errors import SourceError
from pipelines.sources.remote import failed, file_systems, match


@dataclass(frozen=True)
class Blob:
    """One file or blob as the listing shows it."""

    #: relative to the root, with slashes
    path: str
    #: bytes
    size: int
    #: POSIX time of the last change, s; 0 where unknown
    modified_s: float
    #: survives renaming (device and inode of a file); None where there is no such thing
    identity: str | None = None


# inside the classes, list is the method
Found = list[Blob]


class Blobs(Protocol):
    """Where blobs are. Failures are OSError, or SourceError with ``retry``."""

    def list(self) -> Found:
        """Every blob, sorted by path."""
        ...

    def read(self, path: str, begin: int, end: int) -> bytes:
        """Bytes ``begin`` to ``end``; fewer where the blob is shorter."""
        ...


class LocalBlobs:
    """Files of a folder and its subfolders; links to folders are not followed."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def list(self) -> Found:
        """Every file, sorted by path; one that vanishes meanwhile is left out."""
        if not self.root.is_dir():
            raise SourceError(
                f"There is no folder {self.root}.", expected="a folder of logs", received="nothing", retry=False
            )
        return sorted(self._walk(), key=lambda blob: blob.path)

    def read(self, path: str, begin: int, end: int) -> bytes:
        """A stretch of a file."""
        with (self.root / path).open("rb") as file:
            file.seek(begin)
            return file.read(end - begin)

    def _walk(self) -> Iterator[Blob]:
        for folder, _, names in os.walk(self.root):
            for name in names:
                path = Path(folder, name)
                try:
                    found = path.stat()
                except OSError:
                    continue
                identity = f"{found.st_dev}:{found.st_ino}" if found.st_ino else None
                relative = path.relative_to(self.root).as_posix()
                yield Blob(relative, found.st_size, found.st_mtime_ns / 1e9, identity)


class BeamBlobs:
    """Blobs through Beam's file systems: ``azfs://account/container/folder`` and what else Beam knows."""

    def __init__(self, root: str) -> None:
        self.root = root.rstrip("/") + "/"

    def list(self) -> Found:
        """Every blob below the root, sorted by path."""
        found = [
            Blob(item.path.removeprefix(self.root), int(item.size_in_bytes), float(item.last_updated_in_seconds or 0))
            for item in match(f"{self.root}**")
        ]
        return sorted(found, key=lambda blob: blob.path)

    def read(self, path: str, begin: int, end: int) -> bytes:
        """A stretch of a blob, as it lies there: nothing is decompressed."""
        from apache_beam.io.filesystem import CompressionTypes

        try:
            with file_systems(self.root).open(self.root + path, compression_type=CompressionTypes.UNCOMPRESSED) as file:
                file.seek(begin)
                return bytes(file.read(end - begin))
        except Exception as error:
            raise failed("read", self.root + path, error) from None


def open_blobs(root: str) -> Blobs:
    """The blobs of a folder, or of a URL that Beam's file systems know."""
    return BeamBlobs(root) if "://" in root else LocalBlobs(Path(root))
