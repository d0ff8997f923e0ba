"""What is strange at one function again and again is that function's life, and no measure of the others'.

A form that scanners find every other night looks stranger than all else of a quiet tenant. Where its nights set how
strange an incident must be, nothing else is told; where they count for what they are, a night like them opens nothing
there, one that goes beyond them still does, and the other functions keep a bar of their own.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from detectors.features import FAMILIES
from detectors.function_kernel import DAY_US
from models.baselines import HOUR_US
from models.calibration import NEW_DAYS

Vector = npt.NDArray[Any]

#: peak from which on a story that comes back is strange enough to set a bar; what comes back counts for no less
STRANGE: Final = 3.0
#: days on which it has to come, and us from the first to the last
FEWEST_DAYS: Final = 2
APART_US: Final = 12 * HOUR_US
#: share of a story's peak from which on an event says what led it
LED_BY: Final = 0.5


@dataclass(frozen=True)
class Habits:
    """What a score counts for where its like comes back.

    Attributes:
        group: int64[n], rows of baselines, sorted together with ``family``.
        family: int64[n], number of the family that leads the score.
        counts: float64[n], what the score is multiplied by, above 0 and below 1.

    Example:
        >>> habits = Habits(np.array([3]), np.array([0]), np.array([0.5]))
        >>> habits.of(np.array([3, 3, -1]), np.array([0, 1, 0])).tolist()
        [0.5, 1.0, 1.0]
    """

    group: Vector
    family: Vector
    counts: Vector

    @classmethod
    def none(cls) -> Habits:
        """Nothing comes back."""
        return cls(np.zeros(0, np.int64), np.zeros(0, np.int64), np.zeros(0))

    def __len__(self) -> int:
        return len(self.counts)

    def concern(self, group: Vector) -> Vector:
        """Events of functions that have any, int64[k], of int64[n] groups."""
        found: Vector = np.flatnonzero(np.isin(group, self.group)) if len(self) else np.zeros(0, np.int64)
        return found

    def of(self, group: Vector, lead: Vector) -> Vector:
        """What the score of each event counts for, float64[n]; 1 where its like does not come back.

        Args:
            group: int64[n], rows of baselines; -1 for functions that training did not know.
            lead: int64[n], number of the family that leads the score.
        """
        out = np.ones(len(group))
        if len(self) and len(group):
            keys = self.group * len(FAMILIES) + self.family
            asked = np.where(group >= 0, group * len(FAMILIES) + lead, -1)
            place = np.minimum(np.searchsorted(keys, asked), len(keys) - 1)
            out = np.where(keys[place] == asked, self.counts[place], 1.0)
        return out

    def to_table(self) -> pa.Table:
        """For a bundle: families by name."""
        names = [FAMILIES[number] for number in self.family.tolist()]
        columns = {"group": self.group, "family": pa.array(names, pa.string()), "counts": self.counts}
        return pa.table(columns)

    @classmethod
    def from_table(cls, table: pa.Table) -> Habits:
        """The inverse of ``to_table``."""
        family = np.array([FAMILIES.index(name) for name in table.column("family").to_pylist()], np.int64)
        return cls(table.column("group").to_numpy().copy(), family, table.column("counts").to_numpy().copy())


def habits_of(
    group: Vector,
    at: Vector,
    lead: Vector,
    score: Vector,
    story: Vector,
    peaks: Vector,
    opens_at: Callable[[Vector], float],
) -> tuple[Habits, dict[int, int]]:
    """At which functions strange stories come back on another day, and what counts for less there: what has led them.

    So much that a story there has to go beyond the strongest that its family led, as what is new has to go beyond all
    that was seen, before it opens an incident; nothing changes where a tenant's other life is as strange.

    Args:
        group: int64[n], row of baselines of each strange event.
        at: int64[n], its completion, UTC us.
        lead: int64[n], the family that leads its score.
        score: float64[n].
        story: int64[n], its story.
        peaks: float64[stories]; 0 for those that don't count.
        opens_at: gives the score that opens an incident, of the peaks of normal stories.

    Returns:
        The habits, and for each row of baselines that has one on how many days it was seen.
    """
    days: dict[int, list[int]] = {}
    told: dict[int, list[int]] = {}
    highest: dict[int, dict[int, float]] = {}
    for number in np.flatnonzero(peaks >= STRANGE).tolist():
        members = np.flatnonzero(story == number)
        first = members[np.argmax(score[members])]
        where = int(group[first])
        if where >= 0:
            strong = members[(group[members] == where) & (score[members] >= LED_BY * score[first])]
            days.setdefault(where, []).append(int(at[first]))
            told.setdefault(where, []).append(number)
            led = highest.setdefault(where, {})
            for family in np.unique(lead[strong]).tolist():
                led[family] = max(led.get(family, 0.0), float(peaks[number]))
    seen = {where: len({when // DAY_US for when in found}) for where, found in days.items()}
    back = [w for w, found in days.items() if seen[w] >= FEWEST_DAYS and max(found) - min(found) >= APART_US]
    again = np.zeros(len(peaks), np.bool_)
    for where in back:
        again[told[where]] = True
    others = max(opens_at(peaks[~again]), STRANGE)
    needed = {(w, family): NEW_DAYS * peak for w in back for family, peak in highest[w].items()}
    kept = sorted(key for key, peak in needed.items() if peak > others)
    group, family = (np.array([key[n] for key in kept], np.int64) for n in range(2))
    counts = np.array([others / needed[key] for key in kept])
    return Habits(group, family, counts), {where: seen[where] for where, _ in kept}
