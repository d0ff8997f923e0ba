"""What deserves a person: schema, features, scoring, explanation, incidents. No Beam, no Azure.

What a notebook needs is here by name, and read in only when asked for::

    from pipelines import load
    from detectors import detect, fit

    model = fit(load(["logs/october"]))
    found = detect(load(["logs/november"]), model, budget=1.0)
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from detectors.analysis import Detection, collated, detect, fit, measure
    from detectors.comparison import Comparison, compare
    from detectors.drift import Drift, measure_drift
    from detectors.expectations import statement
    from detectors.model import Model
    from detectors.schema import INVOCATION, VERDICT
    from detectors.training import TrainingOptions
    from detectors.versions import load_model, save_model

_HOMES: Final = {
    "detectors.analysis": ("Detection", "collated", "detect", "fit", "measure"),
    "detectors.comparison": ("Comparison", "compare"),
    "detectors.drift": ("Drift", "measure_drift"),
    "detectors.expectations": ("statement",),
    "detectors.model": ("Model",),
    "detectors.schema": ("INVOCATION", "VERDICT"),
    "detectors.training": ("TrainingOptions",),
    "detectors.versions": ("load_model", "save_model"),
}

__all__ = [
    "INVOCATION",
    "VERDICT",
    "Comparison",
    "Detection",
    "Drift",
    "Model",
    "TrainingOptions",
    "collated",
    "compare",
    "detect",
    "fit",
    "load_model",
    "measure",
    "measure_drift",
    "save_model",
    "statement",
]


def __getattr__(name: str) -> Any:
    """A public name, from the module that it lives in."""
    for home, names in _HOMES.items():
        if name in names:
            return getattr(importlib.import_module(home), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    """The public names."""
    return [*__all__]
