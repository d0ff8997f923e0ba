"""Which strange events belong together: the same caller wherever it goes, or the same function in the same kind of trouble.

A story opens an incident once one of its events is strange enough; events join it until a gap closes it. Trouble of one
kind in several functions of an app within minutes is one story, so that a storm becomes one incident.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from detectors.features import FAMILIES, INDEX
from models.baselines import US
from models.jit import njit

Vector = npt.NDArray[Any]

#: us without a strange event that ends a function's story, and a caller's: who was strange yesterday is no news today
GAP_US: Final = 4 * 3600 * US
CALLER_GAP_US: Final = 24 * 3600 * US
#: us within which the same trouble in another function of the app is the same story
STORM_US: Final = 1800 * US
#: kinds of trouble that function stories are told apart by
TROUBLES: Final = ("slow", "failing", "load", "schedule", "structure", "silent", "other")
_TROUBLE_OF: Final = {
    "run": "slow",
    "latency": "slow",
    "failure": "failing",
    "retry": "failing",
    "load": "load",
    "schedule": "schedule",
    "structure": "structure",
}
TROUBLE_OF_FAMILY: Final = np.array([TROUBLES.index(_TROUBLE_OF.get(f, "other")) for f in FAMILIES])
#: families that point at the caller by themselves
CALLER_FAMILIES: Final = np.array(
    [f in ("novelty", "reach", "place", "refusal", "caller_pace", "hours", "signature") for f in FAMILIES]
)
#: share of a function's recent calls, failures or refusals that makes them one caller's doing
OWN_DOING: Final = 0.5

#: int64 columns of an open story
(O_LEAD, O_LAST, O_FIRST, O_OPENED, O_COUNT, O_ID, O_TROUBLE) = range(7)
#: uint64 columns
(K_FUNCTION, K_CALLER, K_APP) = range(3)
OPEN_STORIES: Final = 4096


@njit
def assign(
    at: Any, function: Any, caller: Any, app: Any, score: Any, trouble: Any, by_caller: Any, crowd: Any,
    numbers: Any, keys: Any, peak: Any, live: Any, next_id: Any, opens_at: Any, gap_us: Any, storm_us: Any,
    story: Any, opened: Any, previous: Any,
) -> Any:  # fmt: skip
    """Give each strange event (sorted by time) its story; returns (live stories, next story number).

    Args:
        at: int64[n] us. function, caller, app: uint64[n] keys. score: float64[n]. trouble: int64[n].
        by_caller: bool[n], the event points at its caller. crowd: bool[n], it is one of many callers' in a loaded function.
        numbers, keys, peak: the open stories, int64[m, 7], uint64[m, 3], float64[m]; the first ``live`` rows count.
        story: int64[n] out, story number. opened: bool[n] out, the story is open with this event.
    """
    for i in range(at.shape[0]):
        now = at[i]
        found = -1
        keep = 0
        for k in range(live):
            if now - numbers[k, O_LAST] > (CALLER_GAP_US if numbers[k, O_LEAD] == 1 else gap_us):
                continue
            if keep != k:
                numbers[keep] = numbers[k]
                keys[keep] = keys[k]
                peak[keep] = peak[k]
            keep += 1
        live = keep
        for k in range(live - 1, -1, -1):
            if numbers[k, O_LEAD] == 1:
                if caller[i] != 0 and keys[k, K_CALLER] == caller[i]:
                    found = k
                    break
            else:
                storm = (
                    keys[k, K_APP] == app[i]
                    and numbers[k, O_TROUBLE] == trouble[i]
                    and (trouble[i] <= 1 or trouble[i] == 5)
                    and now - numbers[k, O_LAST] <= storm_us
                )
                if (keys[k, K_FUNCTION] == function[i] or storm) and (not by_caller[i] or crowd[i]):
                    found = k
                    break
        if found < 0 and not by_caller[i]:
            # a caller that floods a function makes others' calls there slow, too: they are part of its story
            for k in range(live - 1, -1, -1):
                if keys[k, K_FUNCTION] == function[i] and numbers[k, O_LEAD] == 1 and numbers[k, O_OPENED] >= 0:
                    found = k
                    break
        if found < 0:
            if live == numbers.shape[0]:
                # more stories at once than anyone can read: the oldest gives way
                for k in range(1, live):
                    numbers[k - 1] = numbers[k]
                    keys[k - 1] = keys[k]
                    peak[k - 1] = peak[k]
                live -= 1
            found = live
            live += 1
            numbers[found, O_LEAD] = 1 if by_caller[i] and caller[i] != 0 and not crowd[i] else 0
            numbers[found, O_FIRST] = now
            numbers[found, O_OPENED] = -1
            numbers[found, O_COUNT] = 0
            numbers[found, O_ID] = next_id
            numbers[found, O_TROUBLE] = 2 if crowd[i] else trouble[i]
            next_id += 1
            keys[found, K_FUNCTION] = function[i]
            keys[found, K_CALLER] = caller[i]
            keys[found, K_APP] = app[i]
            peak[found] = 0.0
        previous[i] = numbers[found, O_LAST] if numbers[found, O_COUNT] > 0 else np.int64(-1)
        numbers[found, O_LAST] = now
        numbers[found, O_COUNT] += 1
        peak[found] = max(peak[found], score[i])
        if numbers[found, O_OPENED] < 0 and peak[found] >= opens_at:
            numbers[found, O_OPENED] = now
        story[i] = numbers[found, O_ID]
        opened[i] = numbers[found, O_OPENED] >= 0
    return live, next_id


def blame(
    families: Vector, value_function: Vector, value_caller: Vector, identified: Vector
) -> tuple[Vector, Vector, Vector]:
    """Whom each event points at.

    Args:
        families: float64[n, len(FAMILIES)], what each family adds.
        value_function, value_caller: the windows that tell whether one caller does most of it.
        identified: bool[n].

    Returns:
        trouble int64[n] (index into TROUBLES), by_caller bool[n], crowd bool[n].
    """
    lead = families.argmax(axis=1)
    trouble = TROUBLE_OF_FAMILY[lead]
    v = value_function
    with np.errstate(divide="ignore", invalid="ignore"):
        of_calls = v[:, INDEX["caller_pace_here"]] / np.maximum(v[:, INDEX["pace_minutes"]], 1.0)
        offset = v.shape[1]
        of_failures = value_caller[:, INDEX["caller_failures"] - offset] / np.maximum(v[:, INDEX["failure_burst"]], 1.0)
    load = families[:, FAMILIES.index("load")]
    caller_led = CALLER_FAMILIES[lead]
    caller_led = caller_led | ((trouble == TROUBLES.index("load")) & (of_calls >= OWN_DOING))
    caller_led = caller_led | (
        (trouble == TROUBLES.index("failing")) & (of_failures >= OWN_DOING) & (of_calls < OWN_DOING)
    )
    novel = families[:, [FAMILIES.index("novelty"), FAMILIES.index("place"), FAMILIES.index("reach")]].max(axis=1) > 1.0
    caller_led = caller_led | (novel & (trouble != TROUBLES.index("load")))
    crowd = (load >= 1.5) & (of_calls < 0.2)
    crowd = crowd & ((trouble == TROUBLES.index("load")) | (lead == FAMILIES.index("novelty")))
    return trouble, caller_led & identified & ~crowd, crowd


class Stories:
    """The open stories; ``tell`` gives each event of a sorted batch its story."""

    def __init__(self, opens_at: float, *, gap_us: int = GAP_US, storm_us: int = STORM_US) -> None:
        self.opens_at = opens_at
        self._gap, self._storm = gap_us, storm_us
        self._numbers = np.zeros((OPEN_STORIES, 7), np.int64)
        self._keys = np.zeros((OPEN_STORIES, 3), np.uint64)
        self._peak = np.zeros(OPEN_STORIES)
        self._live = 0
        self._next = 0

    def snapshot(self) -> dict[str, pa.Table]:
        """The open stories as plain tables."""
        live = self._live
        return {
            "stories": pa.table(
                {
                    "numbers": pa.FixedSizeListArray.from_arrays(pa.array(self._numbers[:live].reshape(-1)), 7),
                    "keys": pa.FixedSizeListArray.from_arrays(pa.array(self._keys[:live].reshape(-1)), 3),
                    "peak": self._peak[:live],
                }
            ),
            "next": pa.table({"story": [self._next]}),
        }

    def restore(self, tables: Mapping[str, pa.Table]) -> None:
        """Take over a snapshot."""
        table = tables["stories"].combine_chunks()
        self._live = live = table.num_rows
        for name, target in (("numbers", self._numbers), ("keys", self._keys)):
            column = table.column(name)
            if live:
                target[:live] = column.chunk(0).flatten().to_numpy().reshape(live, -1)
        self._peak[:live] = table.column("peak").to_numpy()
        self._next = tables["next"].column("story")[0].as_py()

    def tell(
        self, at: Vector, function: Vector, caller: Vector, app: Vector, score: Vector, trouble: Vector, by_caller: Vector,
        crowd: Vector,
    ) -> tuple[Vector, Vector]:  # fmt: skip
        """Story number int64[n] and whether it is open bool[n]; arguments as in ``assign``."""
        n = len(at)
        story, opened, previous = np.zeros(n, np.int64), np.zeros(n, np.bool_), np.zeros(n, np.int64)
        self._live, self._next = assign(
            at, function, caller, app, score, trouble, by_caller, crowd, self._numbers, self._keys, self._peak,
            self._live, self._next, self.opens_at, self._gap, self._storm, story, opened, previous,
        )  # fmt: skip
        return story, opened
