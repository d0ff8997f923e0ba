"""What deserves a person: schema, features, scoring, explanation, incidents. No Beam, no Azure.

What a notebook needs is here by name, and read in only when asked for:

    from pipelines import load
    from detectors import detect, fit

    model = fit(load(["logs/october"]))
    found = detect(load(["logs/november"]), model, budget=1.0)

- `detectors.analysis`: `fit` a table, `detect` in a table, `measure` features and surprise, `collated` rows
- `detectors.versions`: `save_model` to a registry, `load_model` from it
- `detectors.comparison`: `compare` what two versions found; `detectors.drift`: `measure_drift` from the training window
- `detectors.expectations`: a `statement` about an incident, for `models.feedback`; `truth_of` all that is bad
- `detectors.evaluate`: `evaluate` verdicts and incidents against the truth
- `detectors.schema`: the columns of `INVOCATION` and `VERDICT`
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from models.on_demand import on_demand

if TYPE_CHECKING:
    from detectors.analysis import Detection as Detection
    from detectors.analysis import collated as collated
    from detectors.analysis import detect as detect
    from detectors.analysis import fit as fit
    from detectors.analysis import measure as measure
    from detectors.comparison import Comparison as Comparison
    from detectors.comparison import compare as compare
    from detectors.drift import Drift as Drift
    from detectors.drift import measure_drift as measure_drift
    from detectors.expectations import statement as statement
    from detectors.expectations import truth_of as truth_of
    from detectors.model import Model as Model
    from detectors.schema import INVOCATION as INVOCATION
    from detectors.schema import VERDICT as VERDICT
    from detectors.training import TrainingOptions as TrainingOptions
    from detectors.versions import load_model as load_model
    from detectors.versions import save_model as save_model

#: the public names, by the module that each lives in
_HOMES: Final = {
    "detectors.analysis": (
        "Detection",
        "collated",
        "detect",
        "fit",
        "measure",
    ),
    "detectors.comparison": (
        "Comparison",
        "compare",
    ),
    "detectors.drift": (
        "Drift",
        "measure_drift",
    ),
    "detectors.expectations": (
        "statement",
        "truth_of",
    ),
    "detectors.model": ("Model",),
    "detectors.schema": (
        "INVOCATION",
        "VERDICT",
    ),
    "detectors.training": ("TrainingOptions",),
    "detectors.versions": (
        "load_model",
        "save_model",
    ),
}

__getattr__, __dir__ = on_demand(__name__, _HOMES)
