"""What normal looks like: forests, baselines, calibration, bundles and their registry. No Beam, no Azure.

What a notebook needs is here by name, and read in only when asked for:

    from models import Registry

    Registry("models").list()

- `models.registry`: a `Registry` of immutable versions, one of them the champion
- `models.feedback`: what people said about incidents: `read_feedback`, `add_feedback`, and what is `standing`
- `models.calibration`: a `BudgetCurve`, false incidents a day by threshold
- `models.errors`: every error that is raised on purpose
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from models.on_demand import on_demand

if TYPE_CHECKING:
    from models.calibration import BudgetCurve as BudgetCurve
    from models.feedback import Feedback as Feedback
    from models.feedback import add_feedback as add_feedback
    from models.feedback import read_feedback as read_feedback
    from models.feedback import standing as standing
    from models.registry import CHAMPION as CHAMPION
    from models.registry import Registry as Registry
    from models.registry import Version as Version

#: the public names, by the module that each lives in
_HOMES: Final = {
    "models.calibration": ("BudgetCurve",),
    "models.feedback": (
        "Feedback",
        "add_feedback",
        "read_feedback",
        "standing",
    ),
    "models.registry": (
        "CHAMPION",
        "Registry",
        "Version",
    ),
}

__getattr__, __dir__ = on_demand(__name__, _HOMES)
