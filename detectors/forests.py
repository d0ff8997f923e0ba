"""Which isolation forest judges whom: a function's own, its trigger's, or the tenant's, as far as there are data.

What goes together in one function is strange in another, so a busy function is held to a forest of its own. A forest
of few invocations, or of invocations with nothing to say, has nothing to split on, and the next larger serves.
"""

from __future__ import annotations

from typing import Any, Final, Literal

import numpy as np
import numpy.typing as npt

from models.forest import ForestSet, fit_forest

Vector = npt.NDArray[Any]
#: for whom there are forests
Scope = Literal["own", "tenant", "none"]

#: for whom there are, unless training is told otherwise
FOREST_SCOPE: Final[Scope] = "own"
#: surprises are clipped here before the forest sees them
FOREST_CLIP: Final = 6.0
#: rows a forest is fitted on, spread evenly
FOREST_ROWS: Final = 200_000
#: held-out invocations from which on a function, or a trigger, has a forest of its own: a hundred trees draw 256 each,
#: so that each is drawn but six times, and its tail is seen down to one in two thousand
OWN_ROWS: Final = 4_000
#: how many of them must be surprising in some way, so that there is something to split on
OWN_STIRRED: Final = 1_000
#: surprise above which an invocation is surprising in some way
STIRRED: Final = 0.5
#: functions that may have a forest of their own, the busiest: each costs 0.15 s, up to twice in a training, and 55 kB
OWN_FORESTS: Final = 24


def fit_forests(
    surprise: Vector,
    group: Vector,
    cohort: Vector,
    of_function: Vector,
    cohorts: int,
    *,
    scope: Scope,
    trees: int,
    samples: int,
    seed: int,
) -> tuple[ForestSet, Vector]:
    """Forests by scikit-learn: the tenant's is number 0, then those of triggers, then those of functions.

    Args:
        surprise: float64[n, d], of normal invocations.
        group: int64[n], the function's row, or -1.
        cohort: int64[n], 0..cohorts-1.
        of_function: int64[functions], each function's cohort.
        cohorts: how many there are.
        scope: ``own`` for all three, ``tenant`` for the first alone.
        trees: of each forest.
        samples: of each tree.
        seed: of each forest.

    Returns:
        The forests, and int64[functions + cohorts]: the number of that of each function, then of each cohort, which
        judges functions that training did not know.
    """
    functions = len(of_function)
    stirred = surprise.max(axis=1, initial=0.0) > STIRRED
    members = [np.arange(len(surprise))]
    whose = np.zeros(functions + cohorts, np.int64)
    if scope == "own":
        triggers = _worth(cohort, stirred, cohorts)
        whose[functions + triggers] = len(members) + np.arange(len(triggers))
        members += [np.flatnonzero(cohort == k) for k in triggers.tolist()]
        # a function has its trigger's until it has its own
        whose[:functions] = whose[functions + of_function]
        busiest = _worth(group, stirred, functions)
        whose[busiest] = len(members) + np.arange(len(busiest))
        members += [np.flatnonzero(group == k) for k in busiest.tolist()]
    forests = []
    for rows in members:
        some = rows[:: max(1, len(rows) // FOREST_ROWS)]
        clipped = np.minimum(surprise[some], FOREST_CLIP)
        forests.append(fit_forest(clipped, trees=trees, samples=samples, seed=seed))
    return ForestSet.of(forests), whose


def _worth(owner: Vector, stirred: Vector, size: int) -> Vector:
    """Owners with enough to learn from, ascending; the busiest, where there are too many."""
    known = owner >= 0
    count = np.bincount(owner[known], minlength=size)
    alive = np.bincount(owner[known & stirred], minlength=size)
    worth = np.flatnonzero((count >= OWN_ROWS) & (alive >= OWN_STIRRED))
    return np.sort(worth[np.argsort(-count[worth], kind="stable")][:OWN_FORESTS])


def forest_rows(whose: Vector, group: Vector, cohort: Vector, functions: int) -> Vector:
    """int64[n]: the number of the forest that judges each invocation; 0 where there is none."""
    return whose[np.where(group >= 0, group, functions + cohort)] if len(whose) else np.zeros(len(group), np.int64)
