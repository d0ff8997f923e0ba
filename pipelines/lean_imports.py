"""A quick start: what Beam and Arrow import only in case somebody asks for it stays away until somebody does.

Beam looks for the clients of every cloud whose files it can read, Arrow for pandas; where they are installed that is a
quarter of the start of a replay. Whoever needs one later imports it as ever.
"""

from __future__ import annotations

import importlib
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Final

#: Beam's file systems of clouds: it uses those that are imported
FILE_SYSTEMS: Final = frozenset(
    (
        "apache_beam.io.aws.s3filesystem",
        "apache_beam.io.azure.blobstoragefilesystem",
        "apache_beam.io.gcp.gcsfilesystem",
        "apache_beam.io.hadoopfilesystem",
    )
)
#: and tables of another kind
_TABLES: Final = "pandas"


class _Away(MetaPathFinder):
    """Says of optional modules that they are not there."""

    def find_spec(
        self,
        name: str,
        path: Sequence[str] | None = None,  # noqa: ARG002 - as Python calls it
        target: ModuleType | None = None,  # noqa: ARG002
    ) -> ModuleSpec | None:
        """None for all others, so that the usual finders are asked."""
        if name in FILE_SYSTEMS or name == _TABLES:
            raise ModuleNotFoundError(f"{name} is not imported at the start", name=name)
        return None


@contextmanager
def lean_imports() -> Iterator[None]:
    """Import what is imported in this context without the optional modules; not for a process that wants pandas."""
    away = _Away()
    sys.meta_path.insert(0, away)
    try:
        yield
    finally:
        sys.meta_path.remove(away)


def import_file_systems() -> None:
    """Those of clouds whose clients are installed; before Beam is handed a path of one."""
    for name in sorted(FILE_SYSTEMS):
        with suppress(ImportError):
            importlib.import_module(name)
