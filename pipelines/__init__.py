"""How data gets there: the graph, sources, sinks, the command line. Only here: Beam, Azure, Kafka, network.

What a notebook needs is here by name, and read in only when asked for: ``load`` reads local files without Beam.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from pipelines.sources.files import load
    from pipelines.workflows import TrainResult, replay, train

_HOMES: Final = {
    "pipelines.sources.files": ("load",),
    "pipelines.workflows": ("TrainResult", "replay", "train"),
}

__all__ = ["TrainResult", "load", "replay", "train"]


def __getattr__(name: str) -> Any:
    """A public name, from the module that it lives in."""
    for home, names in _HOMES.items():
        if name in names:
            return getattr(importlib.import_module(home), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    """The public names."""
    return [*__all__]
