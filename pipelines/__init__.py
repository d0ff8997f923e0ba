"""How data gets there: the graph, sources, sinks, the command line. Only here: Beam, Azure, Kafka, network.

What a notebook needs is here by name, and read in only when asked for:

- `pipelines.sources.files`: `load` files, folders and globs into a table; without Beam where they are local
- `pipelines.workflows`: `train` and `replay` through the graph, in bounded memory
- `pipelines.versus`: `compare_on` two versions on the same logs
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from pipelines.sources.files import load as load
    from pipelines.versus import compare_on as compare_on
    from pipelines.workflows import TrainResult as TrainResult
    from pipelines.workflows import replay as replay
    from pipelines.workflows import train as train

#: the public names, by the module that each lives in
_HOMES: Final = {
    "pipelines.sources.files": ("load",),
    "pipelines.versus": ("compare_on",),
    "pipelines.workflows": (
        "TrainResult",
        "replay",
        "train",
    ),
}


def __getattr__(name: str) -> Any:
    """A public name, from the module that it lives in."""
    for home, names in _HOMES.items():
        if name in names:
            return getattr(importlib.import_module(home), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    """The public names."""
    return sorted(name for names in _HOMES.values() for name in names)
