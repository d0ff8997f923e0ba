"""What normal looks like: forests, baselines, calibration, bundles and their registry. No Beam, no Azure.

What a notebook needs is here by name, and read in only when asked for::

    from models import Registry

    Registry("models").list()
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from models.calibration import BudgetCurve
    from models.feedback import Feedback, add_feedback, read_feedback, standing
    from models.registry import CHAMPION, Registry, Version

_HOMES: Final = {
    "models.calibration": ("BudgetCurve",),
    "models.feedback": ("Feedback", "add_feedback", "read_feedback", "standing"),
    "models.registry": ("CHAMPION", "Registry", "Version"),
}

__all__ = [
    "CHAMPION",
    "BudgetCurve",
    "Feedback",
    "Registry",
    "Version",
    "add_feedback",
    "read_feedback",
    "standing",
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
