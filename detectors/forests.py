"""Which isolation forest judges whom: a function's own, its trigger's, or the tenant's, as far as there are data.

What goes together in one function is strange in another, so a busy function is held to a forest of its own. A forest
of few invocations, or of invocations with nothing to say, has nothing to split on, and the next larger serves.
"""

from __future__ import annotations

from dataclasses import dataclass
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
#: the one half of the held-out invocations must hold one in so many of them
LEAST_SHARE: Final = 4
#: surprise above which an invocation is surprising in some way
STIRRED: Final = 0.5
#: functions that may have a forest of their own, the busiest: each costs 55 kB, and 0.15 s up to six times in training
OWN_FORESTS: Final = 24


@dataclass(frozen=True)
class FittedForests:
    """What ``fit_forests`` gives.

    Attributes:
        forests: the tenant's is number 0, then those of triggers, then those of functions.
        whose: int64[functions + cohorts], number of the forest of each function, then of each cohort, which judges
            functions that training did not know.
        unseen: float64[n], score of each invocation by a forest like its own that learned from the other half.
    """

    forests: ForestSet
    whose: Vector
    unseen: Vector


def fit_forests(
    surprise: Vector,
    group: Vector,
    cohort: Vector,
    normal: Vector,
    half: Vector,
    of_function: Vector,
    cohorts: int,
    *,
    scope: Scope,
    trees: int,
    samples: int,
    seed: int,
) -> FittedForests:
    """Forests by scikit-learn, and how strange they find invocations that they have not seen.

    Args:
        surprise: float64[n, d].
        group: int64[n], the function's row, or -1.
        cohort: int64[n], 0..cohorts-1.
        normal: bool[n], invocations that may be learned from.
        half: int64[n], 0 or 1: what forests of one half find in the other shows what to expect of a new day.
        of_function: int64[functions], each function's cohort.
        cohorts: how many there are.
        scope: ``own`` for forests of functions, triggers and the tenant, ``tenant`` for the last alone.
        trees: of each forest.
        samples: of each tree.
        seed: of each forest.
    """
    functions = len(of_function)
    stirred = surprise.max(axis=1, initial=0.0) > STIRRED
    members = [np.flatnonzero(normal)]
    whose = np.zeros(functions + cohorts, np.int64)
    if scope == "own":
        triggers = _worth(np.where(normal, cohort, -1), stirred, half, cohorts)
        whose[functions + triggers] = len(members) + np.arange(len(triggers))
        members += [np.flatnonzero(normal & (cohort == k)) for k in triggers.tolist()]
        # a function has its trigger's until it has its own
        whose[:functions] = whose[functions + of_function]
        busiest = _worth(np.where(normal, group, -1), stirred, half, functions)
        whose[busiest] = len(members) + np.arange(len(busiest))
        members += [np.flatnonzero(normal & (group == k)) for k in busiest.tolist()]
    clipped = np.minimum(surprise, FOREST_CLIP)

    def grown(rows: list[Vector]) -> ForestSet:
        some = [r[:: max(1, len(r) // FOREST_ROWS)] for r in rows]
        return ForestSet.of([fit_forest(clipped[r], trees=trees, samples=samples, seed=seed) for r in some])

    number = forest_rows(whose, group, cohort, functions)
    unseen = np.zeros(len(surprise))
    for side in (0, 1):
        here = np.flatnonzero(half == side)
        if len(here):
            # where all that is known lies in one half there is nothing else to learn from
            other = [rows[half[rows] != side] for rows in members]
            other = [part if len(part) else rows for part, rows in zip(other, members, strict=True)]
            unseen[here] = grown(other).score(clipped[here], number[here])
    return FittedForests(grown(members), whose, unseen)


def _worth(owner: Vector, stirred: Vector, half: Vector, size: int) -> Vector:
    """Owners with enough to learn from in either half, ascending; the busiest, where there are too many."""
    known = owner >= 0
    count = np.bincount(owner[known], minlength=size)
    enough = np.ones(size, np.bool_)
    for side in (0, 1):
        mine = known & (half == side)
        enough &= np.bincount(owner[mine], minlength=size) >= OWN_ROWS // LEAST_SHARE
        enough &= np.bincount(owner[mine & stirred], minlength=size) >= OWN_STIRRED // LEAST_SHARE
    alive = np.bincount(owner[known & stirred], minlength=size)
    worth = np.flatnonzero((count >= OWN_ROWS) & (alive >= OWN_STIRRED) & enough)
    return np.sort(worth[np.argsort(-count[worth], kind="stable")][:OWN_FORESTS])


def forest_rows(whose: Vector, group: Vector, cohort: Vector, functions: int) -> Vector:
    """int64[n]: the number of the forest that judges each invocation; 0 where there is none."""
    return whose[np.where(group >= 0, group, functions + cohort)] if len(whose) else np.zeros(len(group), np.int64)
