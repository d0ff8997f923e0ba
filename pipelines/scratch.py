"""Folders for what a run needs only while it lasts; what killed runs left behind is removed by the next one."""

from __future__ import annotations

import os
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from models.errors import RegistryError
from models.storage import LocalStorage

#: name of the file whose lock the run holds that the folder belongs to; it falls when the run ends, however it ends
HELD: Final = "held"
#: s that a folder is left alone: whoever has just made it may not have taken the lock yet
YOUNG_S: Final = 3600.0


@contextmanager
def scratch(
    prefix: str, root: Path | None = None, *, young_s: float = YOUNG_S, clock: Callable[[], float] = time.time
) -> Iterator[Path]:
    """A new folder, removed in the end.

    Args:
        prefix: of its name, the same for all runs of a kind.
        root: where it is made; by default where the system keeps such things.
        young_s: age up to which folders of others are left alone, s.
        clock: seconds since 1970.
    """
    root = Path(tempfile.gettempdir()) if root is None else root
    for left in root.glob(f"{prefix}*"):
        if _is_mine(left, clock() - young_s):
            _remove_unless_held(left)
    folder = Path(tempfile.mkdtemp(prefix=prefix, dir=root))
    try:
        with LocalStorage(folder).lock(HELD, 0.0):
            yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _is_mine(folder: Path, before_s: float) -> bool:
    """Whether this user's run made it before then; others may have put anything of that name there."""
    try:
        found = folder.lstat()
    except OSError:  # it has just gone
        return False
    mine = not hasattr(os, "getuid") or found.st_uid == os.getuid()
    return mine and found.st_mtime < before_s and not folder.is_symlink() and (folder / HELD).is_file()


def _remove_unless_held(folder: Path) -> None:
    try:
        with LocalStorage(folder).lock(HELD, 0.0):
            shutil.rmtree(folder, ignore_errors=True)
    except (RegistryError, OSError):
        return  # its run is alive, or another has just removed it
