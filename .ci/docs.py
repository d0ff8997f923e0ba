"""Write the Python API as pages, from its docstrings; what pdoc can't make sense of is an error.

python .ci/docs.py FOLDER
"""

from __future__ import annotations

import importlib
import pkgutil
import sys
import typing
import warnings
from pathlib import Path
from typing import Any

import pdoc
import pdoc.doc_types

PACKAGES = ("models", "detectors", "pipelines")


def resolve_named_tuples(package: str) -> None:
    """Name the types of their fields in full: their constructors don't know the module that they stand in."""
    for found in pkgutil.walk_packages(importlib.import_module(package).__path__, f"{package}."):
        module = importlib.import_module(found.name)
        for value in vars(module).values():
            if isinstance(value, type) and issubclass(value, tuple) and hasattr(value, "_fields"):
                made: Any = value.__new__
                made.__annotations__ = typing.get_type_hints(value)


def main() -> int:
    """Write them, and say what is wrong."""
    pdoc.render.configure(docformat="google")
    with warnings.catch_warnings(record=True) as heard:
        warnings.simplefilter("always")
        for package in PACKAGES:
            resolve_named_tuples(package)
        pdoc.pdoc(*PACKAGES, output_directory=Path(sys.argv[1]))
    ours = [str(one.message) for one in heard if Path(one.filename).parent == Path(pdoc.doc_types.__file__).parent]
    print("\n".join(ours) or f"written to {sys.argv[1]}")
    return 1 if ours else 0


if __name__ == "__main__":
    sys.exit(main())
