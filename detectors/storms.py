"""Storms: the same trouble in several apps within minutes has a cause that they share, and is one incident.

Stories stay apart for as long as they wait, so that what is a little strange elsewhere is not drawn into an incident.
One that opens within minutes of another joins it, with the rows that waited for that; what comes after goes to its
host.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final, NamedTuple

import numpy as np
import numpy.typing as npt

from detectors.blame import TROUBLES
from detectors.story import Story
from models.baselines import US

Vector = npt.NDArray[Any]

#: us within which the same trouble opens in another app; less than within an app, which two are likelier to share by
#: chance: half an hour joined a run that hung in one app to slow calls in another
SPREAD_US: Final = 600 * US
#: trouble that a shared cause brings to many: a database, a network, a customer, a region that starts again; functions
#: that are new in two apps are news of each
_SHARED: Final = tuple(TROUBLES.index(name) for name in ("slow", "failing", "load", "schedule"))


class Join(NamedTuple):
    """A story that becomes part of another.

    Attributes:
        story: its number.
        host: that of the story that it joins.
        place: of the row that opens it, among the rows in their order of time.
        at_us: time of that row.
    """

    story: int
    host: int
    place: int
    at_us: int


def hosts_of(stories: Mapping[int, Story]) -> dict[int, int]:
    """Number of the story that each story is part of that joined one."""
    return {number: host for host, story in stories.items() for number, *_ in story.joined}


def hosted(story: Vector, hosts: Mapping[int, int]) -> Vector:
    """Numbers of stories, int64[n]; that of the host for a story that joined one."""
    if not hosts:
        return story
    numbers, which = np.unique(story, return_inverse=True)
    found: Vector = np.array([hosts.get(number, number) for number in numbers.tolist()], np.int64)
    return found[which.reshape(-1)]


def find_joins(known: Mapping[int, Story], story: Vector, opened: Vector, at: Vector, order: Vector) -> list[Join]:
    """Stories that open with these rows and join one that opened shortly before, in the order in which they do.

    Args:
        known: all stories that go on, as they were before these rows.
        story: int64[n], number of each row's story; rows of one stand together.
        opened: bool[n], its story is open with this row.
        at: int64[n], us.
        order: int64[n], places of the rows in the order of time.
    """
    opening = [
        (int(order[i]), number, int(at[i]))
        for number, i in _openings(story, opened)
        if known[number].opened_us < 0 and _may_be_shared(known[number])
    ]
    if not opening:
        return []
    lately = {number: _last_opening(one) for number, one in known.items() if one.opened_us >= 0 and _may_be_shared(one)}
    joins = []
    for place, number, us in sorted(opening):
        near = [
            (since, host)
            for host, since in lately.items()
            if known[host].trouble == known[number].trouble and 0 <= us - since <= SPREAD_US
        ]
        if near:
            host = max(near)[1]
            joins.append(Join(number, host, place, us))
            lately[host] = us
        else:
            lately[number] = us
    return joins


def _openings(story: Vector, opened: Vector) -> Iterator[tuple[int, int]]:
    """Each story that is open with some row, and the first such row."""
    rows = np.flatnonzero(opened)
    numbers, first = np.unique(story[rows], return_index=True)
    return zip(numbers.tolist(), rows[first].tolist(), strict=True)


def _may_be_shared(story: Story) -> bool:
    return story.lead == "function" and story.trouble in _SHARED


def _last_opening(story: Story) -> int:
    """When it opened, or the last story joined it, us."""
    return max([story.opened_us, *(at_us for *_, at_us in story.joined)])
