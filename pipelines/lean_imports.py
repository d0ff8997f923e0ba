"""A quick start: what libraries import only in case somebody asks for it stays away until somebody does.

Beam looks for the clients of every cloud whose files it can read and of databases, Arrow for pandas, numba for a BLAS;
where they are installed that is a third of the start of a replay. Whoever needs one later imports it as ever.
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
#: and what Beam, Arrow and numba can do without: databases, tables of another kind, and linear algebra in loops
_LEFT_OUT: Final = FILE_SYSTEMS | {"apache_beam.io.gcp.bigquery", "bson", "pandas", "scipy.linalg"}
#: imported by Beam for each step that a pipeline gets, to ask whether this is a notebook
_NOTEBOOK: Final = frozenset(("IPython",))


class _Away(MetaPathFinder):
    """Says of optional modules that they are not there."""

    def __init__(self, names: frozenset[str]) -> None:
        self._names = names

    def find_spec(
        self,
        name: str,
        path: Sequence[str] | None = None,  # noqa: ARG002 - as Python calls it
        target: ModuleType | None = None,  # noqa: ARG002
    ) -> ModuleSpec | None:
        """None for all others, so that the usual finders are asked."""
        if name in self._names:
            raise ModuleNotFoundError(f"{name} is not imported at the start", name=name)
        return None


@contextmanager
def lean_imports() -> Iterator[None]:
    """Import what is imported in this context without the optional modules; not for a process that wants pandas."""
    with _without(_LEFT_OUT):
        yield
        _ask_now()


@contextmanager
def no_notebook() -> Iterator[None]:
    """Spare a command that Beam imports IPython to find out that this is no notebook: half a second.

    In a notebook, which has imported it, nothing changes.
    """
    with _without(_NOTEBOOK):
        yield


@contextmanager
def _without(names: frozenset[str]) -> Iterator[None]:
    away = _Away(names)
    sys.meta_path.insert(0, away)
    try:
        yield
    finally:
        sys.meta_path.remove(away)


def _ask_now() -> None:
    """Let Arrow and numba look for what is away: each looks once, and would else do so at the first row."""
    if "pyarrow" in sys.modules:
        arrow = sys.modules["pyarrow"]
        arrow.chunked_array([arrow.array([0])]).to_numpy()
    if "numba" in sys.modules:
        with suppress(ImportError):
            importlib.import_module("numba.np.arraymath")


def import_file_systems() -> None:
    """Those of clouds whose clients are installed; before Beam is handed a path of one."""
    for name in sorted(FILE_SYSTEMS):
        with suppress(ImportError):
            importlib.import_module(name)
