"""Where registries keep their files: a handful of operations, each whole or not at all, and a local folder of them."""

from __future__ import annotations

import contextlib
import os
import secrets
import shutil
import sys
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final, Protocol

from models.errors import InputError, RegistryError

#: how names of files and folders begin that aren't finished
TEMPORARY: Final = ".tmp-"
#: held by whoever writes to a registry or to the feedback beside it
LOCK: Final = "lock"
#: s to wait for another writer: longer than the lock of one that died lasts in blob storage
WAIT_S: Final = 45.0
#: seconds between two tries for a lock; far below what a person notices
_LOCK_POLL_S: Final = 0.02

# inside the classes, list is the method
Names = list[str]


class Storage(Protocol):
    """Files by key, a path with slashes from the storage's root. Other storages need to keep the same promises."""

    def read_bytes(self, key: str) -> bytes:
        """A file's content; FileNotFoundError where there is none."""

    def write_atomic(self, key: str, data: bytes) -> None:
        """Write or replace a file; readers and crashes see the old one or the new one, never a part.

        RegistryError where the lock was held and is lost, since another may have written meanwhile.
        """

    def create_exclusive(self, key: str, data: bytes) -> bool:
        """Write a file if there is none; False, and nothing done, if there is. Of two at once, one gets True."""

    def exists(self, key: str) -> bool:
        """Whether there is such a file."""

    def list(self, key: str) -> Names:
        """Names right under a folder, sorted, unfinished ones left out; none where there is no such folder."""

    def delete_tree(self, key: str) -> None:
        """Delete a folder and all in it; nothing happens where there is none."""

    def tidy(self, key: str) -> None:
        """Delete what killed writers of a file left beside it; only for its one writer."""

    def lock(self, key: str, wait_s: float) -> contextlib.AbstractContextManager[None]:
        """Keep other writers out, in this process and others; a holder's death frees it. RegistryError after wait_s."""

    def local_path(self, key: str) -> Path | None:
        """Where a folder lies on this machine, to be memory-mapped; None if elsewhere."""


class LocalStorage:
    """A folder on this machine, made when first written to.

    Args:
        folder: its path.

    Raises:
        InputError: where there is something else in its place.
    """

    def __init__(self, folder: str | Path) -> None:
        self.folder = Path(folder)
        if self.folder.exists() and not self.folder.is_dir():
            raise InputError(
                "Not a folder.", expected="a folder, or a path where one can be made", received=str(folder)
            )

    def __repr__(self) -> str:
        return f"LocalStorage({str(self.folder)!r})"

    def __str__(self) -> str:
        return str(self.folder)

    def read_bytes(self, key: str) -> bytes:
        """As Storage says."""
        return self._path(key).read_bytes()

    def write_atomic(self, key: str, data: bytes) -> None:
        """As Storage says: a temporary file beside it, flushed, then renamed."""
        path = self._path(key)
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary = path.with_name(f"{TEMPORARY}{path.name}-{secrets.token_hex(4)}")
        try:
            _write_flushed(temporary, data)
            temporary.replace(path)
        finally:
            temporary.unlink(missing_ok=True)
        _flush_folder(path.parent)

    def create_exclusive(self, key: str, data: bytes) -> bool:
        """As Storage says: a hard link fails where the name is taken."""
        path = self._path(key)
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary = path.with_name(f"{TEMPORARY}{path.name}-{secrets.token_hex(4)}")
        try:
            _write_flushed(temporary, data)
            os.link(temporary, path)
        except FileExistsError:
            return False
        finally:
            temporary.unlink(missing_ok=True)
        _flush_folder(path.parent)
        return True

    def exists(self, key: str) -> bool:
        """As Storage says."""
        return self._path(key).is_file()

    def list(self, key: str) -> Names:
        """As Storage says."""
        try:
            return sorted(path.name for path in self._path(key).iterdir() if not path.name.startswith(TEMPORARY))
        except FileNotFoundError:
            return []

    def delete_tree(self, key: str) -> None:
        """As Storage says."""
        shutil.rmtree(self._path(key), ignore_errors=True)

    def tidy(self, key: str) -> None:
        """As Storage says."""
        path = self._path(key)
        for left in path.parent.glob(f"{TEMPORARY}{path.name}-*"):
            left.unlink(missing_ok=True)

    @contextlib.contextmanager
    def lock(self, key: str, wait_s: float) -> Iterator[None]:
        """As Storage says: the system's own lock on a file, which dies with its holder, so none is ever stale."""
        path = self._path(key)
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("a+b") as file:
            deadline = time.monotonic() + wait_s
            while not _try_lock(file.fileno()):
                if time.monotonic() >= deadline:
                    raise RegistryError(
                        "Another process is writing to the registry.",
                        expected=f"its lock within {wait_s:g} s",
                        received=f"held by process {path.read_text(errors='replace').strip() or 'unknown'}",
                        hint="Wait for it to end, then try again.",
                        retry=True,
                    )
                time.sleep(_LOCK_POLL_S)
            try:
                file.truncate(0)
                file.write(str(os.getpid()).encode())
                file.flush()
                yield
            finally:
                _unlock(file.fileno())

    def local_path(self, key: str) -> Path | None:
        """As Storage says."""
        return self._path(key)

    def _path(self, key: str) -> Path:
        parts = key.split("/")
        if any(part in ("", ".", "..") or "\\" in part for part in parts):
            raise InputError("No key of a storage.", expected="names with slashes between", received=repr(key))
        return self.folder.joinpath(*parts)


@contextlib.contextmanager
def writing(storage: Storage, wait_s: float = WAIT_S) -> Iterator[None]:
    """Hold the registry's lock, and say plainly where it can't be written.

    Raises:
        RegistryError: another process keeps writing, or the place can't be written to.
    """
    try:
        with storage.lock(LOCK, wait_s):
            yield
    except OSError as error:
        raise RegistryError(
            "The registry can't be written to.",
            expected=f"room and the right to write in {storage}",
            received=str(error),
            hint="Nothing was changed that others see; try again when there is.",
            retry=True,
        ) from error


def write_folder(folder: Path, files: Mapping[str, bytes]) -> None:
    """Write a new folder of files: whole, or not at all.

    Raises:
        InputError: where the folder exists.
    """
    temporary = folder.with_name(f"{TEMPORARY}{folder.name}-{secrets.token_hex(4)}")
    taken = InputError(
        "There is a folder of that name already.",
        expected="a new folder",
        received=str(folder),
        hint="Choose another name; what was written is never changed.",
    )
    if folder.exists():
        raise taken
    temporary.mkdir(parents=True)
    try:
        for name, data in files.items():
            _write_flushed(temporary / name, data)
        _flush_folder(temporary)
        try:
            temporary.rename(folder)
        except OSError as error:
            if folder.exists():
                raise taken from error
            raise
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    _flush_folder(folder.parent)


def _write_flushed(path: Path, data: bytes) -> None:
    with path.open("xb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())


def _flush_folder(path: Path) -> None:
    """Make a rename last through a loss of power; Windows knows no such thing."""
    if sys.platform == "win32":
        return
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


if sys.platform == "win32":
    import msvcrt

    def _try_lock(descriptor: int) -> bool:
        try:
            msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)
        except OSError:
            return False
        return True

    def _unlock(descriptor: int) -> None:
        msvcrt.locking(descriptor, msvcrt.LK_UNLCK, 1)

else:
    import fcntl

    def _try_lock(descriptor: int) -> bool:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            return False
        return True

    def _unlock(descriptor: int) -> None:
        fcntl.flock(descriptor, fcntl.LOCK_UN)
