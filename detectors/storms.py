"""Storms: the same trouble in several apps within minutes has a cause that they share, and is one incident.

Slowness does from the third story on, or where it also began at about the same time. What was heard of after another
app was missed did not fall silent with it.

So are callers new at a function who are strange there one after the other: one who comes from many addresses, or the
first of a crowd; callers that are refused at one function, from however many addresses; visitors from a country from
which hardly anybody called, within a day of one another; and functions never seen before that one caller finds one
after the other. And where a flood by one caller is worked off, message by message, is that flood's place, too, as is
what it makes slow.

Stories stay apart for as long as they wait, so that what is a little strange elsewhere is not drawn into an incident.
One that opens within minutes of another joins it, with the rows that waited for that; what comes after goes to its
host.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final, NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from detectors.blame import LOAD, NEW, PACE, SILENT, SLOW, TROUBLES
from detectors.features import FEATURE_NAMES, FEATURES
from detectors.function_features import refusals
from detectors.late_stories import FIRST as FIRST_LATE
from detectors.stories import LEADS, SILENT_US
from detectors.story import Story
from detectors.story_rows import PART_OF_IT, part_of_the_score, visitors
from detectors.texts import is_text
from models.baselines import BY_MESSAGE, US
from models.hashing import combine, hash_strings

Vector = npt.NDArray[Any]
#: whose it is, the trouble, and where or by whom, by the hash of the function, the app or the caller; 0: any
_Cause = tuple[str, int, int]

#: us within which the same trouble opens in another app; less than within an app, which two are likelier to share by
#: chance: half an hour joined a run that hung in one app to slow calls in another
SPREAD_US: Final = 600 * US
#: the same for one more caller who is new at a function, and for how long one is, and finds functions nobody called
ARRIVAL_US: Final = 1800 * US
NEW_US: Final = 3600 * US
#: trouble that a shared cause brings to many: a database, a network, a customer, a region that starts again; functions
#: that are new in two apps are news of each, unless one caller finds them
_SHARED: Final = tuple(TROUBLES.index(name) for name in ("slow", "failing", "load", "schedule", "fewer"))
#: us after a flood opened in which a queue of its app that is busier than ever is busy with it, in which a function of
#: the app that has become slow is slowed by it, and in which more of it comes from another place
WORKED_OFF_US: Final = 1800 * US
#: by which the flood is told
_FLOOD: Final = (LOAD, PACE)
#: the same for one more caller that is refused at a function
SPRAY_US: Final = 3 * 3600 * US
_REFUSALS: Final = [FEATURE_NAMES.index(feature.name) for feature in FEATURES if feature.family == "refusal"]
#: us within which one more visitor from a country that is news comes of the same: a new market, or a campaign there
LAND_US: Final = 24 * 3600 * US
_WITHIN: Final = {
    "function": SPREAD_US,
    "caller": ARRIVAL_US,
    "crowd": WORKED_OFF_US,
    "finder": NEW_US,
    "land": LAND_US,
    "silence": SILENT_US,
    "spray": SPRAY_US,
}
#: how long slowness takes to open differs by function, so that two do so at once by chance
_SLOWNESS: Final[_Cause] = ("function", SLOW, 0)


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


class Clues(NamedTuple):
    """What of rows tells which cause they may have, bool[n] each.

    Attributes:
        arrives: its caller is new at the function.
        floods: the load or the pace is what is strange.
        fired: a message fired it.
        land: uint64[n], hash of the country from which hardly anybody calls, where no more than that and who calls is
            new; of runs that others promised and that do not come that of their app; else 0.
        since: int64[n], of a silence the last event before it, us.
        sprays: it was refused, and that is part of what is strange, or its caller is new at the function.
        beyond: it would open an incident by itself, and not as a visitor's.
    """

    arrives: Vector
    floods: Vector
    fired: Vector
    land: Vector
    since: Vector
    sprays: Vector
    beyond: Vector

    @classmethod
    def of(cls, rows: pa.RecordBatch, opens_at: float) -> Clues:
        """Those of RAISED rows, with the score that opens an incident."""
        age = np.asarray(rows.column("pair_age_us").fill_null(-1))
        trouble = np.asarray(rows.column("trouble").fill_null(-1))
        fired = is_text(rows.column("trigger"), *BY_MESSAGE)
        visits = visitors(rows)
        land = np.where(visits, hash_strings(rows.column("country")), np.uint64(0))
        missing = is_text(rows.column("signal"), "missing", "surplus")
        if missing.any():
            land = np.where(missing, hash_strings(rows.column("app")), land)
        beyond = ~visits & (np.asarray(rows.column("gate").fill_null(0.0)) >= opens_at)
        since = np.asarray(rows.column("since").fill_null(0))
        arrives = (age >= 0) & (age < NEW_US)
        # at a place there are others, who may be refused for reasons of their own
        somebody = ~is_text(rows.column("caller_source"), "geography")
        part_of_it = part_of_the_score(rows, _REFUSALS) >= PART_OF_IT
        sprays = (arrives | (somebody & part_of_it)) & (refusals(rows.column("status")) > 0)
        return cls(arrives, np.isin(trouble, _FLOOD), fired, land, since, sprays, beyond)

    def take(self, rows: Vector) -> Clues:
        """Those of some of the rows, int64[m]."""
        return Clues(*(clue[rows] for clue in self))


def find_joins(
    known: Mapping[int, Story], story: Vector, opened: Vector, clues: Clues, at: Vector, order: Vector
) -> list[Join]:
    """Stories that open with these rows and join one that opened shortly before, in the order in which they do.

    Args:
        known: all stories that go on, as they were before these rows.
        story: int64[n], number of each row's story; rows of one stand together.
        opened: bool[n], its story is open with this row.
        clues: of the n rows.
        at: int64[n], us.
        order: int64[n], places of the rows in the order of time.
    """
    opening = [
        (int(order[i]), number, int(at[i]), i) for number, i in _openings(story, opened) if known[number].opened_us < 0
    ]
    if not opening:
        return []
    lately: dict[_Cause, list[tuple[int, int]]] = {}
    for number, one in known.items():
        # what came in time is told the same whether or not something comes late
        if number < FIRST_LATE and one.opened_us >= 0:
            for cause, us in _openings_of(one):
                lately.setdefault(cause, []).append((us, number))
    joins: list[Join] = []
    before = _Before(story, clues, at, order, joins)
    for place, number, us, i in sorted(opening):
        one = known[number]
        told = {name: bool(getattr(clues, name)[i]) for name in ("arrives", "floods", "sprays")}
        causes = _causes(one.lead, one.trouble, one.keys, int(clues.land[i]), **told)
        asked = [(cause, _WITHIN[cause[0]]) for cause in causes if cause[0] in _WITHIN]
        if clues.fired[i] and one.lead == "function" and one.trouble == LOAD:
            asked += [(("flood", LOAD, one.keys[2]), WORKED_OFF_US), (("flood", LOAD, 0), SPREAD_US)]
        if one.trouble == SILENT and one.keys[0] == _whole(one.keys[2]):
            # an app that says nothing does not do what others promise either
            asked.append((("undone", SILENT, one.keys[2]), SILENT_US))
        if one.lead == "function" and one.trouble == SLOW:
            asked += [((what, LOAD, one.keys[2]), WORKED_OFF_US) for what in ("flood", "crowd")]
        near = []
        for cause, within in asked:
            found = [(since, host) for since, host in lately.get(cause, []) if 0 <= us - since <= within]
            if cause[0] == "silence":
                # what was heard of after another was missed has not stopped with it
                found = [(since, host) for since, host in found if clues.since[i] <= since]
            if cause[0] == "land":
                # who turned out to do more than that is no visitor
                found = [(since, host) for since, host in found if not before.tell_more(known[host], host, place)]
            if cause[0] in ("flood", "crowd") and one.trouble == SLOW:
                # what is slow when a flood has been over for a while has another cause
                found = [
                    (since, host)
                    for since, host in found
                    if us <= max(since, before.flooded_us(known[host], host, place)) + SPREAD_US
                ]
            if cause == _SLOWNESS and len(found) == 1:
                found = [
                    (since, host) for since, host in found if abs(one.started_us - known[host].started_us) <= SPREAD_US
                ]
            near += found
        host = max(near)[1] if near else number
        if near:
            joins.append(Join(number, host, place, us))
        if _drags_along(known[host], one.lead, one.trouble):
            continue
        for cause in causes:
            lately.setdefault(cause, []).append((us, host))
    return joins


class _Before(NamedTuple):
    """What came to stories before a row, these rows among it, so that it is the same however rows are cut."""

    story: Vector
    clues: Clues
    at: Vector
    order: Vector
    joins: Sequence[Join]

    def _rows(self, number: int, place: int) -> Vector:
        """Which of these rows came to a story, or to one that joined it by then, before the row at a place, bool[n]."""
        rows = self.story == number
        for join in self.joins:
            if join.host == number:
                rows |= (self.story == join.story) & (self.order >= join.place)
        came: Vector = rows & (self.order < place)
        return came

    def tell_more(self, known: Story, number: int, place: int) -> bool:
        """Whether a story that opened with a visitor has told more than of visitors."""
        return known.beyond or bool((self._rows(number, place) & self.clues.beyond).any())

    def flooded_us(self, known: Story, number: int, place: int) -> int:
        """When load or pace was strange last in a story, us; -1 where it never was."""
        flooded = self.at[self._rows(number, place) & self.clues.floods]
        return max(known.flooded_us, int(flooded.max(initial=-1)))


def _whole(app: int) -> int:
    """The key of an app as a whole, by the app's, as a silence has it."""
    return int(combine(hash_strings(pa.array([""])), np.array([app], np.uint64))[0])


def _drags_along(host: Story, lead: str, trouble: int) -> bool:
    """Whether a story is slow by what its host does: what is slow elsewhere need not be slow by that, too."""
    slow = lead == "function" and trouble == SLOW
    return slow and not (host.lead == "function" and host.trouble == SLOW)


def _openings(story: Vector, opened: Vector) -> Iterator[tuple[int, int]]:
    """Each story that is open with some row, and the first such row."""
    rows = np.flatnonzero(opened)
    numbers, first = np.unique(story[rows], return_index=True)
    return zip(numbers.tolist(), rows[first].tolist(), strict=True)


def _causes(
    lead: str, trouble: int, keys: Sequence[int], land: int, *, arrives: bool, floods: bool, sprays: bool
) -> list[_Cause]:
    """What a story, by its hashes of function, caller, app and land, has in common with others of one cause."""
    if trouble == SILENT:
        # logs that stop arriving silence every app at once; what runs elsewhere arrives
        return [("undone", SILENT, land)] if land else [("silence", SILENT, 0)]
    spray: list[_Cause] = [("spray", 0, keys[0])] if sprays else []
    crowd: list[_Cause] = [("crowd", LOAD, keys[2])]
    finds = keys[1] and (trouble == NEW if lead == "function" else arrives)
    finder: list[_Cause] = [("finder", NEW, keys[1])] if finds else []
    if lead == "function":
        shared: list[_Cause] = [("function", trouble, 0)] if trouble in _SHARED else []
        return spray + shared + finder + (crowd if trouble == LOAD else [])
    flood: list[_Cause] = [("flood", LOAD, keys[2]), ("flood", LOAD, 0)] if floods else []
    if floods and lead == "place":
        # a place is where many call from
        flood += crowd
    arrival: list[_Cause] = [("caller", trouble, keys[0])] if lead == "caller" and arrives else []
    return spray + flood + arrival + finder + ([("land", 0, land)] if land and arrives else [])


def _openings_of(story: Story) -> Iterator[tuple[_Cause, int]]:
    """The causes of a story and of those that joined it, in the order in which they opened, and when, us."""
    own = story.lead, story.trouble, story.keys, story.land
    for cause in _causes(*own, arrives=story.arrived, floods=story.floods, sprays=story.sprays):
        yield cause, story.opened_us
    for _, *keys, land, us, lead, trouble, floods, sprays in story.joined:
        if _drags_along(story, LEADS[lead], trouble):
            continue
        # a caller's story joins as that of one who has just arrived
        for cause in _causes(LEADS[lead], trouble, keys, land, arrives=True, floods=bool(floods), sprays=bool(sprays)):
            yield cause, us
