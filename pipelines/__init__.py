"""How data gets there: the graph, sources, sinks, the command line. Only here: Beam, Azure, Kafka, network.

What a notebook needs is here by name, and read in only when asked for:

- `pipelines.sources.files`: `load` files, folders and globs into a table; without Beam where they are local
- `pipelines.workflows`: `train` and `replay` through the graph, in bounded memory
- `pipelines.versus`: `compare_on` two versions on the same logs
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from models.on_demand import on_demand

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

__getattr__, __dir__ = on_demand(__name__, _HOMES)
