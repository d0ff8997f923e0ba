"""The stages that judge with a model at a budget: the same in pipelines as in a table of this process."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from detectors.caller_stage import CallerStage
from detectors.function_stage import FunctionStage
from detectors.incidents import IncidentStage
from detectors.model import Model
from detectors.training import habit_score, join_score
from models.baselines import Baselines
from models.feedback import Feedback

#: of ordinary invocations of a trigger so many are too many for an incident of what is no stranger than they are, for
#: each false incident a day that the reader is willing to read
COMMON: Final = 1e-3
#: where a trigger has few functions that is less than one of their hours in weeks: so many hours a day with something
#: as strange, for each false incident of the budget, are not too many, up to this share of all
COMMON_HOURS: Final = 0.3
MOST_COMMON: Final = 1e-2


@dataclass(frozen=True)
class Stages:
    """Makes the folds of the three kinds of timelines; plain data.

    Attributes:
        function: one for each app.
        caller: one for each caller.
        incident: one for all.
    """

    function: FunctionStage
    caller: CallerStage
    incident: IncidentStage

    @classmethod
    def of(
        cls,
        model: Model,
        budget: float,
        feedback: tuple[Feedback, ...] = (),
        *,
        strange_only: bool = False,
        closed_only: bool = False,
    ) -> Stages:
        """Stages that judge with a model.

        Args:
            model: as training made it.
            budget: false incidents a day that the reader is willing to read, above 0.
            feedback: incidents that it expects are marked.
            strange_only: there are verdicts only of what an incident may want.
            closed_only: incidents are told only when they close.
        """
        opens_at = model.curve.threshold(budget)
        scores = (join_score(opens_at), habit_score(model.curve))
        return cls(
            FunctionStage(model.judge.baselines, model.silence_nats, model.part("function"), model.downstream),
            CallerStage(model.judge, *scores, model.version, model.part("caller"), strange_only),
            IncidentStage(
                opens_at,
                _rarer_than(model.judge.baselines, budget),
                model.version,
                feedback,
                closed_only,
                model.downstream,
            ),
        )


def _rarer_than(baselines: Baselines, budget: float) -> tuple[float, ...]:
    """The p-value below which an invocation of each cohort may open an incident."""
    hours = np.maximum(baselines.busy_hours(), 1e-9)
    bound: npt.NDArray[np.float64] = budget * np.clip(COMMON_HOURS / hours, COMMON, MOST_COMMON)
    return tuple(bound.tolist())
