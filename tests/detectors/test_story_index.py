"""Looking for a story by caller, function and app finds what looking through all of them finds."""

from __future__ import annotations

from collections import defaultdict
from typing import Any

import numpy as np
import pytest

from detectors import stories as module
from detectors.blame import CROWD, LOAD, PACE, TROUBLES, told_by
from detectors.stories import (
    AFTERMATH_US,
    O_COUNT,
    O_FIRST,
    O_ID,
    O_LAST,
    O_LEAD,
    O_OPENED,
    O_TROUBLE,
    Stories,
)

HOUR_US = 3_600_000_000
OPENS_AT = 6.0


def through_all(events: tuple[Any, ...], room: int) -> list[int]:
    """Story of each event, by asking every open story, newest first."""
    open_: list[tuple[Any, Any, float]] = []
    crowds: dict[int, set[int]] = defaultdict(set)
    loaded: dict[int, int] = defaultdict(lambda: -1)
    told = []
    gap, storm = module.GAP_US, module.STORM_US
    for next_id, (now, function, caller, app, score, kind, by_caller, crowd, vague, met, arrived) in enumerate(
        zip(*events, strict=True)
    ):
        trouble = told_by(kind)
        open_ = [one for one in open_ if now - one[0][O_LAST] <= module._gap(one[0], gap)]
        about = (now, function, caller, app, trouble, by_caller, crowd, met, arrived)
        part_of = [one for one in reversed(open_) if module.belongs(*about, one[0], one[1], gap, storm)]
        own = [one for one in part_of if by_caller and one[0][O_LEAD] > 0]
        # what is open of its function comes before what is newer of its app
        near = [one for one in part_of if one[0][O_LEAD] > 0 or one[1][0] == function]
        is_open = [one for one in near if one[0][O_LEAD] == 0 and one[0][O_OPENED] >= 0]
        if own or (is_open and (near[0] is is_open[0] or module._gives_way(near[0][0], by_caller))):
            part_of = near
        found = next(iter(own or part_of), None)
        if found is not None and module._gives_way(found[0], by_caller):
            found = next((one for one in part_of if one[0][O_LEAD] == 0 and one[0][O_OPENED] >= 0), found)
        alike = LOAD if crowd == CROWD else trouble
        if found is not None and not by_caller and found[0][O_LEAD] == 0 and found[0][O_TROUBLE] != alike:
            same = [
                one
                for one in reversed(open_)
                if one[0][O_LEAD] == 0 and one[0][O_OPENED] >= 0 and one[0][O_TROUBLE] == alike
                if module.belongs(*about, one[0], one[1], gap, storm)
            ]
            # that of the function itself before those of others of its app
            found = next(iter([one for one in same if one[1][0] == function] or same), found)
        extends = True
        if by_caller and trouble == PACE and (found is None or found[0][O_OPENED] < 0):
            crowd_of = [
                one
                for one in reversed(open_)
                if one[0][O_LEAD] == 0 and one[0][O_OPENED] >= 0
                if caller in crowds[int(one[0][O_ID])] and module._near(now, one[0], AFTERMATH_US)
            ]
            found, extends = (crowd_of[0], False) if crowd_of else (found, True)
        if found is None:
            about = (now, function, caller, app, trouble, by_caller, crowd, vague, kind)
            found = next(
                (
                    one
                    for one in reversed(open_)
                    if module.follows(
                        *about,
                        one[0],
                        one[1],
                        caller in crowds[int(one[0][O_ID])],
                        loaded[int(one[0][O_ID])],
                        gap,
                        storm,
                    )
                ),
                None,
            )
            extends = found is None or found[0][O_LEAD] == 0 or by_caller
        if found is None:
            open_ = open_[len(open_) == room :]
            lead = (2 if vague else 1) if by_caller and caller and crowd != 2 else 0
            numbers = np.zeros(7, np.int64)
            numbers[[O_LEAD, O_FIRST, O_LAST, O_OPENED, O_ID]] = lead, now, now, -1, next_id
            numbers[O_TROUBLE] = LOAD if crowd == 2 else trouble
            found = (numbers, np.array([function, caller, app]), 0.0)
            open_.append(found)
        numbers = found[0]
        numbers[O_FIRST] = min(now, numbers[O_FIRST])
        numbers[O_LAST] = max(now, numbers[O_LAST]) if extends else numbers[O_LAST]
        makes_load = crowd == CROWD if numbers[O_TROUBLE] == LOAD else by_caller and trouble == LOAD
        if makes_load and numbers[O_LEAD] == 0:
            crowds[int(numbers[O_ID])].add(int(caller))
        if numbers[O_LEAD] > 0 and by_caller and trouble in (LOAD, PACE):
            loaded[int(numbers[O_ID])] = max(loaded[int(numbers[O_ID])], now)
        numbers[O_COUNT] += 1
        if numbers[O_OPENED] < 0 and score * module._weight(kind, numbers[O_COUNT], now - numbers[O_FIRST]) >= OPENS_AT:
            numbers[O_OPENED] = now
        told.append(int(numbers[O_ID]))
    return told


def numbered(stories: list[int]) -> list[int]:
    """Stories by the order in which they begin."""
    names: dict[int, int] = {}
    return [names.setdefault(story, len(names)) for story in stories]


def some_events(seed: int) -> tuple[Any, ...]:
    rng = np.random.default_rng(seed)
    n = 300
    at = np.sort(rng.integers(0, int(rng.choice([1, 30, 300])) * HOUR_US, n)) + 20 * HOUR_US
    late = rng.random(n) < rng.choice([0.0, 0.1])
    keys = (rng.integers(low, high, n).astype(np.uint64) for low, high in ((1, 9), (0, rng.choice([3, 500])), (1, 3)))
    return (
        at - late * rng.integers(0, 20 * HOUR_US, n),
        *keys,
        rng.random(n) * 10,
        rng.integers(0, len(TROUBLES), n),
        rng.random(n) < 0.5,
        rng.integers(0, 3, n).astype(np.int8),
        rng.random(n) < 0.3,
        *(np.where(rng.random(n) < 0.5, at - rng.integers(0, 40 * HOUR_US, n), -1) for _ in ("met", "arrived")),
    )


@pytest.mark.parametrize("seed", range(24))
def test_an_event_goes_to_the_story_that_asking_all_of_them_finds(seed: int) -> None:
    events = some_events(seed)
    stories = Stories(OPENS_AT)
    room = (1, 5, 4096)[seed % 3]
    for name in ("_numbers", "_keys", "_crowds", "_peak"):
        setattr(stories, name, getattr(stories, name)[:room].copy())
    told: list[int] = []
    for cut in (slice(0, 7), slice(7, 150), slice(150, None)):
        told += stories.tell(*(column[cut] for column in events))[0].tolist()
    assert numbered(told) == numbered(through_all(events, room))
