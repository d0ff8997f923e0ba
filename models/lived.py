"""The time that logs cover: from the first row to the last, without the holes in which nothing at all was logged."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

Ints = npt.NDArray[np.int64]

#: us; longer than any weekend with its holidays: a whole tenant that logs nothing for so long was not logged
HOLE_US: Final = 4 * 86_400_000_000
#: parts of that, six hours, from which on a stretch is a hole where all others are far shorter but for a few: times as
#: long, and lived time, in holes' lengths, for each of the few; who rests by night or at weekends does it more often
PARTS: Final = 16
FAR_LONGER: Final = 20
FOR_EACH: Final = 1.25
#: days that such a hole's length has at most, and the first of a weekend, counted from Monday; 1970 began on a Thursday
DAYS: Final = 4
SATURDAY: Final = 5
THURSDAY: Final = 3


@dataclass(frozen=True)
class Lived:
    """Stretches of time, in order and apart.

    Attributes:
        begins: int64[k], us UTC.
        ends: int64[k], us UTC, not before their begins.
    """

    begins: Ints
    ends: Ints

    @classmethod
    def of(cls, times_us: Ints, hole_us: int = HOLE_US) -> Lived:
        """What these times cover.

        Args:
            times_us: int64[n], sorted; when something was logged, or the beginning of a short span in which it was.
            hole_us: a longer stretch without any is a hole; so is a shorter one on working days where there is hardly
                ever any like it.

        Example:
            >>> Lived.of(np.array([0, 5, 100, 103]), hole_us=50).total_us
            8
        """
        if len(times_us) == 0:
            return cls(times_us, times_us)
        gaps = np.diff(times_us)
        long = gaps >= hole_us // PARTS
        few = long.sum() * FOR_EACH * hole_us <= times_us[-1] - times_us[0]
        others = gaps.max(where=~long, initial=0)
        within = times_us[:-1, None] + gaps[:, None] * np.arange(1, 4) // 4
        weekend = ((within // max(hole_us // DAYS, 1) + THURSDAY) % 7 >= SATURDAY).any(axis=1)
        lonely = long & few & ~weekend & (others > 0) & (gaps > FAR_LONGER * others)
        holes = np.flatnonzero((gaps > hole_us) | lonely)
        return cls(times_us[np.r_[0, holes + 1]], times_us[np.r_[holes, len(times_us) - 1]])

    @property
    def total_us(self) -> int:
        """How long all stretches last."""
        return int((self.ends - self.begins).sum())

    @property
    def holes_us(self) -> Ints:
        """int64[k - 1], how long each hole lasts."""
        found: Ints = self.begins[1:] - self.ends[:-1]
        return found

    def at(self, share: float) -> int:
        """The moment by which this share of all has been lived, us UTC."""
        left = int(self.total_us * share)
        for begin, end in zip(self.begins.tolist(), self.ends.tolist(), strict=True):
            if left <= end - begin:
                return int(begin + left)
            left -= end - begin
        return int(self.ends[-1])

    def after_us(self, moment_us: int) -> int:
        """How much is lived from a moment on."""
        return int(np.maximum(self.ends - np.maximum(self.begins, moment_us), 0).sum())
