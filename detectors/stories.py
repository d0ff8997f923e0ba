"""Which strange events belong together: one caller wherever it goes, or one function in one kind of trouble.

A story opens an incident once one of its events is strange enough; events join it until a gap closes it. Trouble of one
kind in several functions of an app within minutes is one story, so that a storm becomes one incident; ``storms`` joins
what opens in several apps.
"""

from __future__ import annotations

from collections.abc import Container, Mapping
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from detectors.blame import (
    CROWD,
    DEBUT,
    FAILING,
    FEWER,
    HANGING,
    LOAD,
    LONG,
    NEW,
    OTHER,
    PACE,
    SCHEDULE,
    SILENT,
    SLOW,
    VISIT,
    told_by,
)
from detectors.features import INDEX
from detectors.function_features import from_matrix, matrix, slots
from detectors.story_index import (
    CALLERS_AT,
    IN_APP,
    NONE,
    OF_CALLER,
    OF_FUNCTION,
    bucket,
    buckets_for,
    drop,
    pop,
    push,
    put,
)
from models.baselines import US
from models.jit import copy_row, njit

Vector = npt.NDArray[Any]

#: us without a strange event that ends a function's story, and a caller's: who does the same at the same hour of the
#: next day is no news
GAP_US: Final = 4 * 3600 * US
CALLER_GAP_US: Final = 30 * 3600 * US
#: the same where a function is silent: what falls silent again in the next night is no news
SILENT_GAP_US: Final = 24 * 3600 * US
#: the same for a caller known by its place only, which many share
VAGUE_GAP_US: Final = 12 * 3600 * US
#: us after which only the same trouble, or what happens at the same function, is still of such a story
VAGUE_SOON_US: Final = 3 * 3600 * US
#: us after which another trouble at the same function is another story
OTHER_SOON_US: Final = 3600 * US
#: us of rest after which another trouble of the same caller is another story: who works late one evening travels on the
#: next day
REST_US: Final = 6 * 3600 * US
#: us within which the same trouble in another function of the app is the same story
STORM_US: Final = 1800 * US
#: events from which on a story counts in full, and what each that is missing takes from it
FEW_EVENTS: Final = 5
ALONE: Final = 0.1
#: the same for long runs where there are many runs, of which one may hang whenever something beneath it does
SEVERAL_HANG: Final = 6
ONE_HANGS: Final = 0.14
#: the same for who is new, or from elsewhere: most who come once look around, and go
LONG_VISIT: Final = 12
ONE_VISITS: Final = 0.04
#: how much it counts that a caller whom the tenant itself knows by name is new, comes from somewhere and is busy in its
#: own way: a new customer is no thief of a name
NEW_CUSTOMER: Final = 0.2
#: us from which on slowness counts in full, and how much of it at its first moment: what passes by itself is no shift
SHIFT_US: Final = 2700 * US
BLIP: Final = 0.4
#: the same for failures: those of one moment are one batch, or one restart
MOMENT_US: Final = 60 * US
BATCH: Final = 0.6
#: us after an open story in which strange load at its function is its aftermath
AFTERMATH_US: Final = 3 * 3600 * US
#: how long after the last function one more may fall silent that is part of the same story
SILENT_US: Final = 2 * 3600 * US
#: whose an open story is, by the number in O_LEAD
LEADS: Final = ("function", "caller", "place")
#: bits that tell who was one of a story's crowd, or made load in other trouble, as words of 64: of a hundred callers
#: who were not, nine pass for one that was where the crowd has a hundred
CROWD_WORDS: Final = 16
#: a caller's story has no crowd: when it last made load, us, stands in this word; 0 where it never did
LOADED: Final = 0
_ONE, _SIX, _IN_WORD, _WORDS = np.uint64(1), np.uint64(6), np.uint64(63), np.uint64(CROWD_WORDS)
#: int64 columns of an open story
(O_LEAD, O_LAST, O_FIRST, O_OPENED, O_COUNT, O_ID, O_TROUBLE) = range(7)
#: uint64 columns
(K_FUNCTION, K_CALLER, K_APP) = range(3)
OPEN_STORIES: Final = 4096


def met(rows: pa.RecordBatch) -> Vector:
    """When the caller of each row was first seen at the function, us, int64[n]; -1 where that is not known."""
    at, age = np.asarray(rows.column("at")), np.asarray(rows.column("pair_age_us").fill_null(-1))
    when: Vector = np.where(age >= 0, at - age, -1)
    return when


def arrived(rows: pa.RecordBatch) -> Vector:
    """When the caller of each row was first seen at the app, us, int64[n]; -1 where that is not known."""
    values = rows.column("value")
    age = np.where(np.asarray(values.is_valid()), slots(values)[:, INDEX["caller_new_to_app"]], np.nan)
    return arrived_at(np.asarray(rows.column("at")), age)


def arrived_at(at: Vector, age: Vector) -> Vector:
    """When callers came to an app, us, int64[n], by when a call there ended, us, and how long after that was, s."""
    known = age >= 0.0
    since = np.where(known, age, 0.0).astype(np.float64)
    when: Vector = np.where(known, at - np.rint(since * US).astype(np.int64), -1)
    return when


@njit
def _gap(numbers: Any, gap_us: Any) -> Any:
    """The gap that ends a story, us."""
    if numbers[O_LEAD] == 0:
        return max(SILENT_GAP_US, gap_us) if numbers[O_TROUBLE] == SILENT else gap_us
    # what came to a function with the story may go on as long as a caller's, see ``belongs``; all else ends sooner
    return CALLER_GAP_US


@njit
def _near(now: Any, numbers: Any, us: Any) -> Any:
    """Whether a moment lies within a story or at most so far from it; what comes late may lie before it."""
    return numbers[O_FIRST] - us <= now <= numbers[O_LAST] + us


@njit
def _weight(trouble: Any, count: Any, lasted_us: Any) -> Any:
    """How far a strange event counts, by how many its story has and how long that has gone on: 1, or less."""
    if trouble in (SILENT, SCHEDULE, NEW, LONG):
        return 1.0
    # one call may be a freak, which a start by hand or off schedule, or a function that never was, is not, and where
    # there are few runs one that takes long is all that there is to see; from five on a story counts in full
    few, each = FEW_EVENTS, ALONE
    if trouble == HANGING:
        few, each = SEVERAL_HANG, ONE_HANGS
    if trouble in (VISIT, DEBUT):
        few, each = LONG_VISIT, ONE_VISITS
    weight = 1.0 - each * max(few - count, 0)
    if trouble == DEBUT:
        weight *= NEW_CUSTOMER
    if trouble == SLOW:
        weight = min(weight, BLIP + (1.0 - BLIP) * min(lasted_us / SHIFT_US, 1.0))
    if trouble == FAILING:
        weight = min(weight, BATCH + (1.0 - BATCH) * min(lasted_us / MOMENT_US, 1.0))
    return weight


@njit
def belongs(
    now: Any, function: Any, caller: Any, app: Any, trouble: Any, by_caller: Any, crowd: Any, met: Any,
    arrived: Any, numbers: Any, keys: Any, gap_us: Any, storm_us: Any,
) -> Any:  # fmt: skip
    """Whether an event is part of a story: of the same caller, or of the same trouble."""
    lead = numbers[O_LEAD]
    if not _near(now, numbers, _gap(numbers, gap_us)):
        return False
    mine = keys[K_FUNCTION] == function
    if lead > 0:
        # who came to a function with the story is told with all that it does there next
        came = mine and met >= max(numbers[O_FIRST] - storm_us, 0)
        if lead == 2 and not came and not _near(now, numbers, VAGUE_GAP_US):
            return False
        # who came to the app with the story is told with what it goes on to do there, and what it is the first to call
        newcomer = keys[K_APP] == app and arrived >= max(numbers[O_FIRST] - REST_US, 0)
        if newcomer and trouble == NEW and numbers[O_OPENED] >= 0:
            return caller != 0 and keys[K_CALLER] == caller
        # what the same caller does elsewhere belongs to it only if that, too, is strange for the caller;
        # what it does as one of a crowd is the crowd's; what befalls it where it did something hours before is another
        # story; and who else is at its place is another, sooner or later
        here = mine and crowd != CROWD and (trouble == numbers[O_TROUBLE] or _near(now, numbers, OTHER_SOON_US))
        soon_us = REST_US if lead == 1 else VAGUE_SOON_US
        same = trouble == numbers[O_TROUBLE] and (lead == 1 or keys[K_APP] == app)
        lives = lead == 1 and newcomer and trouble in (OTHER, PACE)
        alike = same or came or lives or _near(now, numbers, soon_us)
        return caller != 0 and keys[K_CALLER] == caller and (by_caller or here) and alike
    # slow, failing, busy, new or silent functions of one app: one story; new ones until the gap closes it, silent ones
    # for a while, since each is missed when it was due
    together = trouble in (SLOW, FAILING, LOAD, NEW, SILENT, FEWER)
    soon = _near(now, numbers, SILENT_US if trouble == SILENT else storm_us) or trouble == NEW
    # what they share slows them at about the same time
    soon = soon and (trouble != SLOW or numbers[O_OPENED] < 0 or now <= numbers[O_OPENED] + OTHER_SOON_US)
    # what one of a crowd meets is the crowd's doing, slow runs, too
    alike = numbers[O_TROUBLE] == trouble or (crowd == CROWD and numbers[O_TROUBLE] == LOAD)
    storm = keys[K_APP] == app and alike and together and soon
    its_own = by_caller and trouble != NEW and now > numbers[O_FIRST] + OTHER_SOON_US
    if mine and numbers[O_TROUBLE] == NEW and not its_own:
        # at a function that is itself news whoever calls is part of that, until it is known what else one of them does
        return True
    # another trouble, or somebody's doing, hours after is another story
    mine = mine and (trouble == numbers[O_TROUBLE] or _near(now, numbers, OTHER_SOON_US))
    one_of_many = crowd == CROWD or (crowd == 1 and numbers[O_TROUBLE] == LOAD and _near(now, numbers, OTHER_SOON_US))
    return (mine or storm) and (not by_caller or one_of_many)


@njit
def _place_in_crowd(caller: Any) -> Any:
    """The word of a crowd, and the bit in it, that stand for a caller."""
    return (caller >> _SIX) % _WORDS, _ONE << (caller & _IN_WORD)


@njit
def _is_among(caller: Any, numbers: Any, crowd: Any) -> Any:
    """Whether a caller is one of those that make the load of a function's story, whose bits these are."""
    word, bit = _place_in_crowd(caller)
    return numbers[O_LEAD] == 0 and crowd[word] & bit != 0


@njit
def follows(
    now: Any, function: Any, caller: Any, app: Any, trouble: Any, by_caller: Any, crowd: Any, vague: Any, kind: Any,
    numbers: Any, keys: Any, among: Any, loaded_us: Any, gap_us: Any, storm_us: Any,
) -> Any:  # fmt: skip
    """Whether an event that is part of no story comes of one.

    ``kind``, ``trouble``: as ``assign`` has them; ``among``: its caller makes load in it; ``loaded_us``: when who a
    caller's story is of last made load; of a function's story it says nothing.

    A caller that floods a function makes others' calls there slow, too, and what is counted by the hour remembers a
    flood that has ended: both are part of its story; load that one caller makes by itself beside a flood is not, nor
    what it makes an hour after other trouble began in which it had no part. So is the load that it makes together with
    its network elsewhere, and what only callers do, at a function that is busy besides.
    """
    lead = numbers[O_LEAD]
    is_open = numbers[O_OPENED] >= 0
    # of a caller's story that nobody was told of nothing comes; where all callers are new there are thousands of them
    if lead == 1 and not is_open:
        return False
    if not _near(now, numbers, VAGUE_GAP_US if lead == 2 else _gap(numbers, gap_us)):
        return False
    mine = keys[K_FUNCTION] == function
    # a flood leaves slow calls and full windows behind; what fails, or stops, half an hour after has another cause
    behind_us = AFTERMATH_US if trouble in (SLOW, LOAD) or crowd == CROWD else storm_us
    # what a caller does without load slows nobody: what begins there an hour after it came has another cause
    by_it = lead == 0 or now <= max(numbers[O_FIRST] + OTHER_SOON_US, loaded_us + AFTERMATH_US)
    bystander = is_open and not by_caller and lead > 0 and by_it and _near(now, numbers, behind_us)
    apart = numbers[O_TROUBLE] == LOAD or (now > numbers[O_FIRST] + OTHER_SOON_US and not among)
    alone = by_caller and crowd == 0 and apart
    # a backlog comes soon after what held it up
    backlog = lead > 0 or numbers[O_TROUBLE] == LOAD or _near(now, numbers, OTHER_SOON_US)
    # averages remember what was slow; a run that is far longer than any was then is no such memory
    by_itself = kind in (LONG, HANGING)
    slow = trouble == SLOW and (not by_itself or lead > 0 or _near(now, numbers, OTHER_SOON_US))
    remembered = slow or (trouble == LOAD and not alone and backlog)
    after = is_open and remembered and by_it and _near(now, numbers, AFTERMATH_US)
    # many callers at once load all of an app, and make it slow
    drained = after and lead == 0 and numbers[O_TROUBLE] == LOAD and keys[K_APP] == app
    drained = drained and not by_caller and _near(now, numbers, storm_us)
    own = is_open and lead == 1 and caller == keys[K_CALLER] and trouble in (LOAD, PACE, OTHER)
    own = own and (trouble == numbers[O_TROUBLE] or _near(now, numbers, REST_US))
    # who is known by a place only: what comes to one function from several places at once is one story; who comes
    # from one more place hours later has come for something else
    together = trouble in (LOAD, PACE) or now <= numbers[O_FIRST] + OTHER_SOON_US
    places = lead == 2 and vague and by_caller and together and _near(now, numbers, storm_us)
    # whoever calls an app that fails has failing calls, and so has who calls a function whose runs hang
    storm = is_open and lead == 0 and trouble == FAILING and _near(now, numbers, storm_us)
    storm = storm and ((numbers[O_TROUBLE] == FAILING and keys[K_APP] == app) or (numbers[O_TROUBLE] == SLOW and mine))
    return storm or own or drained or (mine and (bystander or after or places))


@njit
def _gives_way(numbers: Any, by_caller: Any) -> Any:
    """Whether a caller's story leaves what points at nobody to an open one of the function.

    What befalls all callers of a function is told once, and not once more for each that did something strange besides.
    """
    return not by_caller and numbers[O_LEAD] > 0 and numbers[O_OPENED] < 0


@njit
def _is_open(numbers: Any) -> Any:
    """Whether a story is one of a function, and open."""
    return numbers[O_LEAD] == 0 and numbers[O_OPENED] >= 0


@njit
def _crowd_before(now: Any, caller: Any, crowded: Any, many: Any, numbers: Any, crowds: Any) -> Any:
    """The newest open story whose crowd the caller was one of lately, else NONE.

    A caller's pace and hours are counted over all functions of all apps, and remember a flood that it took part in.
    ``crowded``: int64[n, 2], slot and number of the first ``many`` stories that have a crowd, as it came.
    """
    found = NONE
    for i in range(many):
        k = crowded[i, 0]
        if numbers[k, O_ID] != crowded[i, 1] or not _is_open(numbers[k]):
            continue
        newer = found == NONE or numbers[k, O_ID] > numbers[found, O_ID]
        if newer and _is_among(caller, numbers[k], crowds[k]) and _near(now, numbers[k], AFTERMATH_US):
            found = k
    return found


@njit
def _same_before(
    now: Any, function: Any, caller: Any, app: Any, trouble: Any, crowd: Any, met: Any, arrived: Any, told_as: Any,
    node: Any, behind: Any, numbers: Any, keys: Any, gap_us: Any, storm_us: Any,
) -> Any:  # fmt: skip
    """The newest open story of a function, or app, told as an event is that is part of it, else NONE."""
    while node != NONE:
        k = node // 2
        if _is_open(numbers[k]) and numbers[k, O_TROUBLE] == told_as and belongs(
            now, function, caller, app, trouble, False, crowd, met, arrived, numbers[k], keys[k], gap_us, storm_us
        ):  # fmt: skip
            return k
        node = behind[node]
    return NONE


@njit
def _chains(heads: Any, lead: Any, keys: Any) -> Any:
    """The two chains in which a story stands."""
    if lead > 0:
        return bucket(heads, OF_CALLER, keys[K_CALLER]), bucket(heads, CALLERS_AT, keys[K_FUNCTION])
    return bucket(heads, OF_FUNCTION, keys[K_FUNCTION]), bucket(heads, IN_APP, keys[K_APP])


@njit
def _enter(
    heads: Any, behind: Any, before: Any, heap: Any, waiting: Any, slot: Any, numbers: Any, keys: Any, gap_us: Any
) -> Any:
    """Put a story where it is found; returns the size of the heap."""
    first, second = _chains(heads, numbers[O_LEAD], keys)
    put(heads, behind, before, first, 2 * slot)
    put(heads, behind, before, second, 2 * slot + 1)
    return push(heap, waiting, numbers[O_LAST] + _gap(numbers, gap_us), slot, numbers[O_ID])


@njit
def _leave(heads: Any, behind: Any, before: Any, slot: Any, numbers: Any, keys: Any) -> None:
    """Take a story from where it is found."""
    first, second = _chains(heads, numbers[O_LEAD], keys)
    drop(heads, behind, before, first, 2 * slot)
    drop(heads, behind, before, second, 2 * slot + 1)
    numbers[O_ID] = NONE


@njit
def assign(
    at: Any, function: Any, caller: Any, app: Any, score: Any, kind: Any, trouble: Any, by_caller: Any, crowd: Any,
    vague: Any, met: Any, arrived: Any, numbers: Any, keys: Any, crowds: Any, peak: Any, live: Any, next_id: Any,
    opens_at: Any, gap_us: Any, storm_us: Any, story: Any, opened: Any, weighed: Any,
) -> Any:  # fmt: skip
    """Give each strange event (sorted by time) its story; returns (live stories, next story number).

    An event that points at its caller goes to the newest of the caller's own stories that it is part of; else an event
    goes to the newest story that it is part of, or to an open one of the function instead of an unopened one of the
    caller's, else to the newest that it follows, else it begins one. Where the newest is of another trouble, what
    points at no caller goes to an open one of the same trouble first. The pace of a caller that was one of a crowd is
    the crowd's, unless a story of the caller's own is open.

    - ``at``: int64[n] us; ``function``, ``caller``, ``app``: uint64[n] keys; ``score``: float64[n]
    - ``kind``: int64[n], a place in TROUBLES; ``trouble``: int64[n], the same as ``told_by`` has it
    - ``by_caller``: bool[n], the event points at its caller; ``vague``: bool[n], the caller is known by its place only
    - ``met``, ``arrived``: int64[n], when the caller was first seen at the function, and at the app, us; -1 where that
      is not known
    - ``crowd``: int8[n], 2: one of many callers' in a loaded function; 1: loaded, and not by its caller alone
    - ``numbers``, ``keys``, ``crowds``, ``peak``: the open stories, int64[m, 7], uint64[m, 3], uint64[m, CROWD_WORDS],
      float64[m]; the first ``live`` hold, oldest first
    - ``story``: int64[n] out, story number; ``opened``: bool[n] out, the story is open with this event;
      ``weighed``: float64[n] out, the score as it counts for opening the story
    """
    ever = live + at.shape[0]
    room = min(numbers.shape[0], ever)
    heads = buckets_for(room)
    behind, before = np.empty(2 * room, np.int64), np.empty(2 * room, np.int64)
    # a plain 0 is a kind of its own, for which all that takes it would be compiled once more
    heap, waiting = np.empty((ever, 3), np.int64), np.int64(0)
    # slot and number of each story, oldest first; a story that ended has left its slot
    born, oldest, youngest = np.empty((ever, 2), np.int64), 0, live
    free, spare = np.arange(room - 1, -1, -1), room - live
    looked = np.empty(4, np.int64)
    # the same of those that have a crowd
    crowded, many = np.empty((ever, 2), np.int64), 0
    for k in range(live):
        waiting = _enter(heads, behind, before, heap, waiting, k, numbers[k], keys[k], gap_us)
        born[k, 0], born[k, 1] = k, numbers[k, O_ID]
        if numbers[k, O_LEAD] == 0 and crowds[k].any():
            crowded[many, 0], crowded[many, 1] = k, numbers[k, O_ID]
            many += 1
    for i in range(at.shape[0]):
        now = at[i]
        while waiting > 0 and heap[0, 0] < now:
            k, number = heap[0, 1], heap[0, 2]
            waiting = pop(heap, waiting)
            if numbers[k, O_ID] != number:
                continue
            ends = numbers[k, O_LAST] + _gap(numbers[k], gap_us)
            if ends < now:
                _leave(heads, behind, before, k, numbers[k], keys[k])
                free[spare] = k
                spare += 1
            else:
                waiting = push(heap, waiting, ends, k, number)
        found, extends = NONE, True
        # the newest open story of a function, should the caller's own give way
        instead = NONE
        looked[0] = heads[bucket(heads, OF_CALLER, caller[i])]
        looked[1] = heads[bucket(heads, OF_FUNCTION, function[i])]
        looked[2] = heads[bucket(heads, IN_APP, app[i])]
        for chain in range(3):
            node = looked[chain]
            while node != NONE:
                k = node // 2
                newer = found == NONE or numbers[k, O_ID] > numbers[found, O_ID]
                if not newer and (
                    chain == 0
                    or not _gives_way(numbers[found], by_caller[i])
                    or (instead != NONE and numbers[k, O_ID] <= numbers[instead, O_ID])
                ):
                    break
                # what shares a bucket with the caller's own stories by chance is looked at in its own chain
                its_place = chain > 0 or numbers[k, O_LEAD] > 0
                if (newer or _is_open(numbers[k])) and its_place and belongs(
                    now, function[i], caller[i], app[i], trouble[i], by_caller[i], crowd[i], met[i],
                    arrived[i], numbers[k], keys[k], gap_us, storm_us,
                ):  # fmt: skip
                    if newer:
                        found = k
                    else:
                        instead = k
                    break
                node = behind[node]
            if chain == 0 and found != NONE and by_caller[i]:
                # its own story comes before that of a function it calls
                break
            if chain == 1 and found != NONE:
                here = keys[found, K_FUNCTION] == function[i] and _is_open(numbers[found])
                if here or instead != NONE:
                    # and the open one of its function before those of others of the app
                    break
        if instead != NONE and _gives_way(numbers[found], by_caller[i]):
            found = instead
        # what goes on where another trouble has begun since is still what it was
        told_as = LOAD if crowd[i] == CROWD else trouble[i]
        if found != NONE and not by_caller[i] and numbers[found, O_LEAD] == 0 and numbers[found, O_TROUBLE] != told_as:
            for chain in range(1, 3):
                same = _same_before(
                    now, function[i], caller[i], app[i], trouble[i], crowd[i], met[i], arrived[i], told_as,
                    looked[chain], behind, numbers, keys, gap_us, storm_us,
                )  # fmt: skip
                if same != NONE:
                    found = same
                    break
        if by_caller[i] and trouble[i] == PACE and (found == NONE or numbers[found, O_OPENED] < 0):
            left = _crowd_before(now, caller[i], crowded, many, numbers, crowds)
            if left != NONE:
                found, extends = left, False
        if found == NONE:
            looked[3] = heads[bucket(heads, CALLERS_AT, function[i])]
            for chain in range(4):
                node = looked[chain]
                while node != NONE:
                    k = node // 2
                    if found != NONE and numbers[k, O_ID] <= numbers[found, O_ID]:
                        break
                    if follows(
                        now, function[i], caller[i], app[i], trouble[i], by_caller[i], crowd[i], vague[i],
                        kind[i], numbers[k], keys[k], _is_among(caller[i], numbers[k], crowds[k]),
                        np.int64(crowds[k, LOADED]), gap_us, storm_us,
                    ):  # fmt: skip
                        found = k
                        # what a caller leaves behind does not keep its story going
                        extends = numbers[k, O_LEAD] == 0 or by_caller[i]
                        break
                    node = behind[node]
        if found == NONE:
            if spare == 0:
                # more stories at once than anyone can read: the oldest gives way
                while numbers[born[oldest, 0], O_ID] != born[oldest, 1]:
                    oldest += 1
                k = born[oldest, 0]
                _leave(heads, behind, before, k, numbers[k], keys[k])
                free[spare] = k
                spare += 1
            spare -= 1
            found = free[spare]
            numbers[found, O_LEAD] = (2 if vague[i] else 1) if by_caller[i] and caller[i] != 0 and crowd[i] != 2 else 0
            numbers[found, O_FIRST] = numbers[found, O_LAST] = now
            numbers[found, O_OPENED] = -1
            numbers[found, O_COUNT] = 0
            numbers[found, O_ID] = next_id
            numbers[found, O_TROUBLE] = told_as
            keys[found, K_FUNCTION] = function[i]
            keys[found, K_CALLER] = caller[i]
            keys[found, K_APP] = app[i]
            peak[found] = 0.0
            for word in range(CROWD_WORDS):
                crowds[found, word] = 0
            waiting = _enter(heads, behind, before, heap, waiting, found, numbers[found], keys[found], gap_us)
            born[youngest, 0], born[youngest, 1] = found, next_id
            youngest += 1
            next_id += 1
        numbers[found, O_FIRST] = min(now, numbers[found, O_FIRST])
        if extends:
            numbers[found, O_LAST] = max(now, numbers[found, O_LAST])
        makes_load = crowd[i] == CROWD if numbers[found, O_TROUBLE] == LOAD else by_caller[i] and trouble[i] == LOAD
        if makes_load and numbers[found, O_LEAD] == 0:
            if not crowds[found].any():
                crowded[many, 0], crowded[many, 1] = found, numbers[found, O_ID]
                many += 1
            of_crowd, bit = _place_in_crowd(caller[i])
            crowds[found, of_crowd] |= bit
        if numbers[found, O_LEAD] > 0 and by_caller[i] and trouble[i] in (LOAD, PACE):
            crowds[found, LOADED] = max(crowds[found, LOADED], np.uint64(now))
        numbers[found, O_COUNT] += 1
        weighed[i] = score[i] * _weight(kind[i], numbers[found, O_COUNT], now - numbers[found, O_FIRST])
        peak[found] = max(peak[found], weighed[i])
        if numbers[found, O_OPENED] < 0 and peak[found] >= opens_at:
            numbers[found, O_OPENED] = now
        story[i] = numbers[found, O_ID]
        opened[i] = numbers[found, O_OPENED] >= 0
    # the open ones, oldest first; a slot may hold one that is yet to be moved
    all_numbers, all_keys, all_peaks = numbers[:room].copy(), keys[:room].copy(), peak[:room].copy()
    all_crowds = crowds[:room].copy()
    live = 0
    for k in range(oldest, youngest):
        slot = born[k, 0]
        if all_numbers[slot, O_ID] == born[k, 1]:
            copy_row(all_numbers[slot], numbers[live])
            copy_row(all_keys[slot], keys[live])
            copy_row(all_crowds[slot], crowds[live])
            peak[live] = all_peaks[slot]
            live += 1
    return live, next_id


class Stories:
    """The open stories; ``tell`` gives each event of a sorted batch its story; numbers begin with ``first``."""

    def __init__(self, opens_at: float, *, gap_us: int = GAP_US, storm_us: int = STORM_US, first: int = 0) -> None:
        self.opens_at = opens_at
        self._gap, self._storm = gap_us, storm_us
        self._numbers = np.zeros((OPEN_STORIES, 7), np.int64)
        self._keys = np.zeros((OPEN_STORIES, 3), np.uint64)
        self._crowds = np.zeros((OPEN_STORIES, CROWD_WORDS), np.uint64)
        self._peak = np.zeros(OPEN_STORIES)
        self._live = 0
        self._next = first

    def __len__(self) -> int:
        return self._live

    def keep(self, numbers: Container[int]) -> None:
        """Forget all stories but those of these numbers."""
        live = self._live
        wanted = np.array([number in numbers for number in self._numbers[:live, O_ID].tolist()], np.bool_)
        self._live = int(wanted.sum())
        for column in (self._numbers, self._keys, self._crowds, self._peak):
            column[: self._live] = column[:live][wanted]

    def snapshot(self) -> dict[str, pa.Table]:
        """The open stories as plain tables."""
        live = self._live
        return {
            "stories": pa.table(
                {
                    "numbers": matrix(self._numbers[:live]),
                    "keys": matrix(self._keys[:live]),
                    "crowds": matrix(self._crowds[:live]),
                    "peak": self._peak[:live],
                }
            ),
            "next": pa.table({"story": [self._next]}),
        }

    def restore(self, tables: Mapping[str, pa.Table]) -> None:
        """Take over a snapshot."""
        table = tables["stories"].combine_chunks()
        self._live = live = table.num_rows
        self._crowds[:live] = 0
        for name, target in (("numbers", self._numbers), ("keys", self._keys), ("crowds", self._crowds)):
            # a job of an earlier version saved no crowds
            if name in table.column_names:
                target[:live] = from_matrix(table.column(name))
        self._peak[:live] = table.column("peak").to_numpy()
        self._next = tables["next"].column("story")[0].as_py()

    def live(self) -> list[int]:
        """Numbers of the stories that events may still join."""
        found: list[int] = self._numbers[: self._live, O_ID].tolist()
        return found

    def tell(
        self, at: Vector, function: Vector, caller: Vector, app: Vector, score: Vector, trouble: Vector,
        by_caller: Vector, crowd: Vector, vague: Vector, met: Vector, arrived: Vector,
    ) -> tuple[Vector, Vector, Vector]:  # fmt: skip
        """``story``, ``opened`` and ``weighed`` of ``assign``, whose arguments these are; ``trouble``: its ``kind``."""
        n = len(at)
        story, opened, weighed = np.zeros(n, np.int64), np.zeros(n, np.bool_), np.zeros(n)
        self._live, self._next = assign(
            at, function, caller, app, score, trouble, told_by(trouble), by_caller, crowd, vague, met, arrived,
            self._numbers, self._keys, self._crowds, self._peak,
            self._live, self._next, self.opens_at, self._gap, self._storm, story, opened, weighed,
        )  # fmt: skip
        return story, opened, weighed
