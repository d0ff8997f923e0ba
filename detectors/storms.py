"""Storms: the same trouble in several apps within minutes has a cause that they share, and is one incident.

So are callers new at a function who are strange there one after the other: one who comes from many addresses, or the
first of a crowd.

Stories stay apart for as long as they wait, so that what is a little strange elsewhere is not drawn into an incident.
One that opens within minutes of another joins it, with the rows that waited for that; what comes after goes to its
host.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final, NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from detectors.blame import TROUBLES
from detectors.late_stories import FIRST as FIRST_LATE
from detectors.story import Story
from models.baselines import US

Vector = npt.NDArray[Any]
#: whose it is, the trouble, and where, by the hash of the function; 0: anywhere
_Cause = tuple[str, int, int]

#: us within which the same trouble opens in another app; less than within an app, which two are likelier to share by
#: chance: half an hour joined a run that hung in one app to slow calls in another
SPREAD_US: Final = 600 * US
#: the same for one more caller who is new at a function, and for how long one is
ARRIVAL_US: Final = 1800 * US
NEW_US: Final = 3600 * US
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


def arriving(rows: pa.RecordBatch) -> Vector:
    """Which rows point at a caller who is new at the function, bool[n]."""
    age = np.asarray(rows.column("pair_age_us").fill_null(-1))
    new: Vector = (age >= 0) & (age < NEW_US) & np.asarray(rows.column("by_caller").fill_null(False))
    return new


def find_joins(
    known: Mapping[int, Story], story: Vector, opened: Vector, arrives: Vector, at: Vector, order: Vector
) -> list[Join]:
    """Stories that open with these rows and join one that opened shortly before, in the order in which they do.

    Args:
        known: all stories that go on, as they were before these rows.
        story: int64[n], number of each row's story; rows of one stand together.
        opened: bool[n], its story is open with this row.
        arrives: bool[n], as ``arriving`` has it.
        at: int64[n], us.
        order: int64[n], places of the rows in the order of time.
    """
    opening = [
        (int(order[i]), number, int(at[i]), cause)
        for number, i in _openings(story, opened)
        if known[number].opened_us < 0 and (cause := _cause(known[number], arrives=bool(arrives[i])))
    ]
    if not opening:
        return []
    lately: dict[_Cause, dict[int, int]] = {}
    for number, one in known.items():
        # what came in time is told the same whether or not something comes late
        if number < FIRST_LATE and one.opened_us >= 0 and (shared := _cause(one, arrives=one.arrived)):
            lately.setdefault(shared, {})[number] = _last_opening(one)
    joins = []
    for place, number, us, cause in sorted(opening):
        others = lately.setdefault(cause, {})
        within = ARRIVAL_US if cause[0] == "caller" else SPREAD_US
        near = [(since, host) for host, since in others.items() if 0 <= us - since <= within]
        if near:
            host = max(near)[1]
            joins.append(Join(number, host, place, us))
            others[host] = us
        else:
            others[number] = us
    return joins


def _openings(story: Vector, opened: Vector) -> Iterator[tuple[int, int]]:
    """Each story that is open with some row, and the first such row."""
    rows = np.flatnonzero(opened)
    numbers, first = np.unique(story[rows], return_index=True)
    return zip(numbers.tolist(), rows[first].tolist(), strict=True)


def _cause(story: Story, *, arrives: bool) -> _Cause | None:
    """What stories have in common that one cause may have: None where nothing may."""
    if story.lead == "function" and story.trouble in _SHARED:
        return "function", story.trouble, 0
    return ("caller", story.trouble, story.keys[0]) if story.lead == "caller" and arrives else None


def _last_opening(story: Story) -> int:
    """When it opened, or the last story joined it, us."""
    return max([story.opened_us, *(at_us for *_, at_us in story.joined)])
