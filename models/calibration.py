"""The budget: the false incidents a day that a threshold lets through, from normal life the models never saw."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]

#: false incidents a day that a reader is asked to bear where nobody said otherwise
PLAIN_BUDGET: Final = 1.0
#: strongest stories that tell the slope of the tail
TAIL_STORIES: Final = 30
#: the prior slope, in units of score a nat, and the stories that it weighs
PRIOR_SLOPE: Final = 1.0
PRIOR_STORIES: Final = 5.0
#: stories from which on they tell how many weaker ones there are
FEW_STORIES: Final = 3
#: beyond it no score is worth a search
HIGHEST: Final = 1e6
#: false incidents that a new day brings for each that hours held out among days that were seen would: 0.9 a day were
#: counted on clean worlds of development, and 0.9 on clean days of other tenants, where those hours said 0.4
NEW_LIFE: Final = 2.0
#: how much stranger the stories of a new day are than those of hours held out among days that were seen; chosen on
#: seven clean development worlds of two days each, where 1.4 instead of 1.25 brings 1.6 false incidents a day down to
#: 1.2, and on 14 of a tenant of another kind, 1.4 down to 1.3; what is found at one a day stays the same
NEW_DAYS: Final = 1.4


#: score that something reaches once a day in a tenant whose held-out days hold next to nothing strange: few calls say
#: little. On one of 1,700 invocations a day, of development, 8 of 17 incidents about nothing lay below it, and none of
#: 24 others
CALMEST: Final = 4.0


@dataclass(frozen=True)
class BudgetCurve:
    """False incidents a day by threshold.

    Attributes:
        peaks: float64[k], descending, peak scores of stories of normal life.
        days: length of that life, days.
        floor: score below which no story was looked for.

    Example:
        >>> curve = BudgetCurve(np.array([9.0, 6.0, 5.0, 4.0, 3.0]), days=5.0, floor=2.0)
        >>> curve.rate(curve.threshold(0.5)) <= 0.5 <= curve.rate(3.0)
        True
    """

    peaks: Floats
    days: float
    floor: float

    def rate(self, threshold: float) -> float:
        """Expected false incidents on a new day: the larger of the count and what the tail's slope says."""
        known = threshold / NEW_DAYS
        counted = float((self.peaks >= known).sum())
        # of hours that are less than two days one story is one a day, not more: it would set the threshold alone
        counted /= max(self.days, NEW_LIFE)
        # one or two stories say little of how strange life may get
        unknown = min(FEW_STORIES / (len(self.peaks) + 1.0), 1.0) ** 2
        calmest = unknown * float(np.exp(-(threshold - CALMEST) / PRIOR_SLOPE))
        return max(NEW_LIFE * max(counted, self._tail(known) / max(self.days, 1e-9)), calmest)

    def _tail(self, threshold: float) -> float:
        """Stories expected above a threshold, by an exponential tail through the strongest third of them."""
        n = len(self.peaks)
        if n == 0:
            # nothing was ever strange: as if half a story had reached the floor
            return 0.5 * float(np.exp(-(threshold - self.floor) / PRIOR_SLOPE))
        m = int(np.clip(n // 3, min(n, 5), TAIL_STORIES))
        base = float(self.peaks[m - 1])
        excess = float((self.peaks[:m] - base).sum())
        slope = (excess + PRIOR_STORIES * PRIOR_SLOPE) / (m + PRIOR_STORIES)
        found = m * float(np.exp(-(threshold - base) / slope))
        if n >= FEW_STORIES or threshold >= base:
            return found
        # one or two stories say nothing of how many are weaker: as many as if others had just reached the floor
        padded = np.append(self.peaks, np.full(FEW_STORIES - n, self.floor))
        weaker = BudgetCurve(padded, self.days, self.floor)._tail(threshold)
        return max(float(n), min(found, weaker))

    def threshold(self, budget: float) -> float:
        """The lowest threshold whose expected rate keeps the budget (false incidents a day)."""
        low, high = self.floor, self.floor + 40.0
        while self.rate(high) > budget and high < HIGHEST:
            low, high = high, 2.0 * high
        for _ in range(60):
            middle = 0.5 * (low + high)
            if self.rate(middle) <= budget:
                high = middle
            else:
                low = middle
        return high

    def to_json(self) -> dict[str, Any]:
        """Plain data for a bundle."""
        return {"peaks": [round(float(p), 9) for p in self.peaks], "days": self.days, "floor": self.floor}

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> BudgetCurve:
        """The inverse of ``to_json``."""
        return cls(np.asarray(data["peaks"], dtype=np.float64), float(data["days"]), float(data["floor"]))
