"""Which story a strange event belongs to that came late: one that is open or was told, else one of late events alone.

Late events leave the stories of those in time as they are, so that these are the same whether or not something comes
late: a late event joins a story that has opened, which amends its incident, and begins no story that others may join.
"""

from __future__ import annotations

from collections.abc import Container, Mapping
from typing import Any, Final, NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from detectors.blame import LOAD, PACE, told_by
from detectors.stories import GAP_US, O_LAST, O_LEAD, O_TROUBLE, STORM_US, Stories, belongs, follows
from detectors.story_index import NONE
from models.jit import njit

Vector = npt.NDArray[Any]

#: number of the first story of late events; those of others lie below
FIRST: Final = 2**40
#: what of an event tells whether it belongs to a story that is there
_TOLD_BY: Final = ("at", "function", "caller", "app", "trouble", "by_caller", "crowd", "vague", "met", "arrived")


class Whereabouts(NamedTuple):
    """A story that has opened: its rows of ``numbers`` and ``keys`` in ``assign``."""

    numbers: tuple[int, ...]
    keys: tuple[int, ...]


@njit
def _join(
    at: Any, function: Any, caller: Any, app: Any, kind: Any, trouble: Any, by_caller: Any, crowd: Any, vague: Any,
    met: Any, arrived: Any, numbers: Any, keys: Any, gap_us: Any, storm_us: Any, place: Any,
) -> None:  # fmt: skip
    """Place of the story that each event joins, else NONE.

    As in ``assign``: the caller's own for what points at it, else the last that it is part of, else that it follows.

    Arguments are those of ``assign``; ``numbers`` and ``keys`` hold stories that are open; ``place`` is int64[n] out.
    """
    for i in range(at.shape[0]):
        place[i] = NONE
        for k in range(numbers.shape[0] - 1, -1, -1):
            if belongs(
                at[i], function[i], caller[i], app[i], trouble[i], by_caller[i], crowd[i], met[i],
                arrived[i], numbers[k], keys[k], gap_us, storm_us,
            ):  # fmt: skip
                own = by_caller[i] and numbers[k, O_LEAD] > 0
                if own or place[i] == NONE:
                    place[i] = k
                if own or not by_caller[i]:
                    break
        if place[i] != NONE:
            continue
        for k in range(numbers.shape[0] - 1, -1, -1):
            if follows(
                at[i], function[i], caller[i], app[i], trouble[i], by_caller[i], crowd[i], vague[i], kind[i],
                # who made load in it, and until when, is forgotten by then
                numbers[k], keys[k], False,
                numbers[k, O_LAST] if numbers[k, O_TROUBLE] in (LOAD, PACE) else NONE, gap_us, storm_us,
            ):  # fmt: skip
                place[i] = k
                break


class LateStories:
    """The stories of late events."""

    def __init__(self, opens_at: float) -> None:
        self._own = Stories(opens_at, first=FIRST)

    def tell(self, told: Mapping[int, Whereabouts], events: Mapping[str, Vector]) -> tuple[Vector, Vector, Vector]:
        """The story of each event, whether it is open, and the score as it counts, int64[n], bool[n] and float64[n].

        Args:
            told: stories that have opened, by number, oldest first.
            events: the arguments of ``Stories.tell``, sorted by time.
        """
        place = np.full(len(events["at"]), NONE, np.int64)
        if told:
            numbers = np.array([one.numbers for one in told.values()], np.int64)
            keys = np.array([one.keys for one in told.values()], np.uint64)
            at, function, caller, app, trouble, by_caller, crowd, vague, met, arrived = (
                events[name] for name in _TOLD_BY
            )
            _join(
                at, function, caller, app, trouble, told_by(trouble), by_caller, crowd, vague, met, arrived,
                numbers, keys, GAP_US, STORM_US, place,
            )  # fmt: skip
        story = np.array([*told, NONE], np.int64)[place]
        opened, weighed = place != NONE, events["score"].copy()
        rest = ~opened
        if rest.any():
            own = self._own.tell(**{name: column[rest] for name, column in events.items()})
            story[rest], opened[rest], weighed[rest] = own
        return story, opened, weighed

    def __len__(self) -> int:
        return len(self._own)

    def keep(self, numbers: Container[int]) -> None:
        """Forget all stories of late events but those of these numbers."""
        self._own.keep(numbers)

    def snapshot(self) -> dict[str, pa.Table]:
        """The stories of late events as plain tables."""
        return self._own.snapshot()

    def restore(self, tables: Mapping[str, pa.Table]) -> None:
        """Take over a snapshot; one without tables is that of a job to which nothing had come late."""
        if tables:
            self._own.restore(tables)
