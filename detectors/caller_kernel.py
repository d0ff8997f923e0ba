"""One caller's events in order, over all functions and apps: places, reach, errors, pace, hours, as a compiled loop."""

from __future__ import annotations

from typing import Any, Final

import numpy as np

from detectors.function_kernel import (
    DAY_FLOOR,
    DAY_US,
    FORGET_DAYS,
    KNOWN_DAYS,
    NOVEL_FLOOR_US,
    NOVEL_US,
    PEAK_FADES,
    TAU_5M,
    TAU_30M,
    TYPOS,
    claims_of,
    pace_excess,
    poisson_excess,
    remembered_days,
)
from models.baselines import HOUR_US, US
from models.jit import copy_row, njit

#: columns of the caller state, float64; up to C_SPREAD half an hour's, C_ODD a night's, C_TYPED minutes'
(
    C_N30, C_REFUSED, C_XREFUSED, C_FAILED, C_FAILED_MOST, C_XFAILED, C_ABROAD, C_SPREAD, C_ODD, C_TYPED,
    C_SETTLED, C_TODAY, C_SETTLED_REFUSED, C_TODAY_REFUSED, C_SETTLED_FAILED, C_TODAY_FAILED, C_FUNCTIONS,
    C_TODAY_FUNCTIONS, C_APPS, C_LANDS, C_PEAK, C_PEAK_TODAY, C_COMPANY, C_CALLS_TODAY, C_DAYS, C_LOG_DAYS,
    C_LOG_DAYS_SQUARED, C_LATELY, C_REACHED, C_NAMED,
) = range(30)  # fmt: skip
CALLER_STATE: Final = 30
#: C_CALLS_TODAY counts what C_TODAY does but for what was refused, and keeps what was raised; C_DAYS and the two
#: after it are of its days, in logarithms; C_LATELY is of two minutes; C_REACHED, of hours, counts calls of apps that
#: it came to lately; C_NAMED is 1 where it is known by a name, not by an address
#: columns of its times, int64; D_FAILS_AT is the key of the function where most of its failing calls fail, D_REFUSED_AT
#: of that which refused it last; then the day on which it was raised last, counted from 1, and on how many days it was
D_LAST, D_FIRST, D_DAY, D_SETTLED_DAYS, D_FAILS_AT, D_REFUSED_AT, D_RAISED_ON, D_RAISED_DAYS = range(8)
CALLER_TIMES: Final = 8
#: columns of what is told of an event, in the order of ``features.CALLER_FEATURES``
(
    G_CALLER_NEW, G_CALLER_NEW_TO_APP, G_CALLER_NEW_COUNTRY, G_TRAVEL, G_CALLER_CLIENT_ERRORS, G_CALLER_FAILURES,
    G_CALLER_SPREAD, G_CALLER_PACE, G_CALLER_HOURS, G_CALLER_NEW_HERE, G_CALLER_DAY, G_KNOWN_REFUSED, G_KNOWN_FAILURES,
) = range(13)  # fmt: skip
#: apps and countries remembered per caller
PLACES: Final = 6
#: how much more a call of an app says that its caller came to lately, with each e-fold of its calls
MORE_REACHED: Final = 0.5
#: how many times the nats of its own calls other callers may say that one does what nobody does, in another app or from
#: another country: who called once may be anybody
KNOWN_TIMES: Final = 2.5
#: a caller younger than this has no habits to break: what it does first is part of its arrival
ARRIVAL_US: Final = 3600 * US
#: no one flies to another country in less, nor to one of the same region
FLIGHT_US: Final = 4 * 3600 * US
NEAR_FLIGHT_US: Final = 2 * 3600 * US
#: nats that a country can claim to which a caller may have travelled: nobody called from elsewhere in its name since,
#: nor shortly before, and it is an hour at which it calls; where hardly anybody travels it may claim as much as that
TRAVELLED: Final = 6.0
#: calls and days that make an hour-of-day habit
HABIT_CALLS: Final = 30.0
HABIT_DAYS: Final = 2
#: days after which an hour-of-day habit counts half of what it shows
SURE_DAYS: Final = 3.0
#: a night's memory, us
NIGHT_US: Final = 6 * 3600 * US
#: us after a call from which on the next counts in full for a night's length, and what it counts at least
MINUTE_US: Final = 60 * US
AT_ONCE: Final = 1 / 20
#: how far an hour that was used once, beside others, says that a caller comes at any hour
LONGER_DAY: Final = 0.3
#: how far a habit reaches beyond the hour before and the hour after, by hours: a day begins early or ends late
REACHES: Final = (0.3, 0.1)
#: functions and calls added to those of a caller's past, to say how many functions new to it are to be expected
ROOM_FUNCTIONS: Final = 6.0
ROOM_CALLS: Final = 12.0
#: days, and calls, from which on a caller's days can be told apart; how far those of anybody differ, in nats, and for
#: how many days that counts
FEWEST_DAYS: Final = 3
DAYS_CALLS: Final = 60.0
DAY_SCATTER: Final = 0.5
SCATTER_DAYS: Final = 3.0
#: times the calls of half an hour, for each hour of its days, that a caller's day counts for at most: twice that pace
DAY_AT_THIS_PACE: Final = 4.0
#: days on which what a caller did was raised and not learned; on the next it is taken for this caller's way
UNLEARNED_DAYS: Final = 2
#: days without anything raised after which these are counted anew
RAISED_MEMORY_DAYS: Final = 7
#: how many times the calls of the busiest five minutes those of half an hour may be; six at an even pace, which nobody
#: knows of a function that is new
HALF_HOUR: Final = 2.0
HALF_HOUR_AT_NEW: Final = 6.0
#: memory of what a caller does right now, us, and how many times its calls those of half an hour are at an even pace: a
#: burst of a minute is remembered for half an hour, in which whoever calls at its place would be as busy as it was
TAU_2M: Final = 120.0 * US
AT_EVEN_PACE: Final = TAU_30M / TAU_2M
#: stands for an hour of today in which something was raised, so that it does not become a habit
RAISED_HOUR: Final = -1.0
#: refused calls that any caller is allowed in half an hour before they count
ERROR_FLOOR: Final = 0.3
#: calls from which on a caller of some days is known: what scanners and visitors are refused says nothing of it
KNOWN_CALLS: Final = 50.0


@njit
def _place(keys: Any, first: Any, last: Any, key: Any, now: Any) -> Any:
    """Slot of an app or country; a new one takes a free slot, or a forgotten one's, or that of the latest found.

    Who tries one place after another must not push out of memory where it belongs.
    """
    given = 0
    for slot in range(PLACES):
        if keys[slot] == key:
            return slot
        if keys[slot] == 0:
            given = slot
            break
        if now - last[slot] > FORGET_DAYS * DAY_US or (
            first[slot] > first[given] and now - last[given] <= FORGET_DAYS * DAY_US
        ):
            given = slot
    keys[given] = key
    first[given] = now
    last[given] = 0
    return given


@njit
def flight(one: Any, other: Any, known: Any, regions: Any) -> Any:
    """How long a flight from one country to another takes at least, us; ``known`` and ``regions`` by `regions`."""
    a, b = np.searchsorted(known, one), np.searchsorted(known, other)
    if a < known.shape[0] and b < known.shape[0] and known[a] == one and known[b] == other and regions[a] == regions[b]:
        return NEAR_FLIGHT_US
    return FLIGHT_US


@njit
def _begin_day(s: Any, t: Any, hours: Any, today: Any) -> None:
    """Begin to count what a caller does on a day."""
    s[C_PEAK_TODAY] = s[C_CALLS_TODAY] = 0.0
    s[C_TODAY] = s[C_TODAY_REFUSED] = s[C_TODAY_FAILED] = s[C_TODAY_FUNCTIONS] = 0.0
    for hour in range(24):
        hours[hour] = 0.0
    t[D_DAY] = today


@njit
def advance_callers(
    row: Any, at: Any, ident: Any, app: Any, seldom: Any, function: Any, country: Any, named: Any, abroad: Any,
    pair_age: Any, failed: Any, refused: Any, weight: Any,
    late: Any, company: Any, usual_peak: Any, new_function: Any, rare: Any, news: Any,
    failure_rate: Any, refusal_rate: Any, known_lands: Any, regions: Any,
    state: Any, times: Any, apps: Any, app_first: Any, app_last: Any, lands: Any, land_first: Any, land_last: Any,
    settled_hours: Any, today_hours: Any,
    raw: Any, value: Any, typical: Any, came_from: Any, travelled: Any,
) -> None:  # fmt: skip
    """Advance every caller through its events (sorted by completion); fills ``raw``, ``value``, ``typical``: [n, 13].

    ``seldom``, in nats: how seldom callers of other apps come to this one, and ``abroad``, how seldom one that is
    ``named`` changes its country, as ``caller_features.Reach`` has them.
    Columns are those of ``features.CALLER_FEATURES``; ``came_from`` gets the other country of who travels sooner
    than anyone can, ``travelled``, bool[n], who may have travelled. Rows of callers without identity are left at 0, and
    but for travel those of a ``weight`` above 1, which stand for several calls.
    """
    kept_s, kept_t = np.empty(CALLER_STATE), np.empty(CALLER_TIMES, np.int64)
    kept_names, kept_places = np.empty((2, PLACES), np.uint64), np.empty((4, PLACES), np.int64)
    kept_hours = np.empty((2, 24), np.float32)
    for i in range(row.shape[0]):
        if not ident[i]:
            continue
        c = row[i]
        s = state[c]
        t = times[c]
        # a late row is judged as of now, by the state as it is, and leaves it so: see advance_functions
        now = max(at[i], t[D_LAST]) if late[i] else at[i]
        if late[i]:
            copy_row(s, kept_s)
            copy_row(t, kept_t)
            copy_row(apps[c], kept_names[0])
            copy_row(lands[c], kept_names[1])
            copy_row(app_first[c], kept_places[0])
            copy_row(app_last[c], kept_places[1])
            copy_row(land_first[c], kept_places[2])
            copy_row(land_last[c], kept_places[3])
            copy_row(settled_hours[c], kept_hours[0])
            copy_row(today_hours[c], kept_hours[1])
        # two countries within minutes need no history; of what is sampled all else would be half a habit
        sampled = weight[i] > 1.0
        w = 0.0 if sampled else weight[i]
        today = now // DAY_US
        remembered_us = remembered_days(t[D_SETTLED_DAYS], s[C_SETTLED] + s[C_TODAY]) * DAY_US
        if t[D_FIRST] != 0 and now - t[D_LAST] > remembered_us:
            t[D_FIRST] = 0
        if t[D_FIRST] != 0 and t[D_LAST] > now:
            # an older log than the state has seen: where a caller is known, it stays known
            t[D_FIRST] = min(t[D_FIRST], now - np.int64(NOVEL_US))
            for slot in range(PLACES):
                app_first[c, slot] = min(app_first[c, slot], now - DAY_US)
                land_first[c, slot] = min(land_first[c, slot], now - DAY_US)
            if today < t[D_DAY]:
                # what was learned of a later day is no part of this one
                _begin_day(s, t, today_hours[c], today)
        if t[D_FIRST] == 0:
            for column in range(CALLER_STATE):
                s[column] = 0.0
            for slot in range(PLACES):
                apps[c, slot] = 0
                lands[c, slot] = 0
            for hour in range(24):
                settled_hours[c, hour] = 0.0
                today_hours[c, hour] = 0.0
            t[D_FIRST], t[D_LAST], t[D_DAY], t[D_SETTLED_DAYS] = now, now, today, 0
            t[D_RAISED_ON], t[D_RAISED_DAYS] = 0, 0
            s[C_COMPANY] = company[i]
        if today > t[D_DAY]:
            # what was done today becomes habit tomorrow, so an attack is not its own yardstick
            s[C_SETTLED] += s[C_TODAY]
            s[C_SETTLED_REFUSED] += s[C_TODAY_REFUSED]
            s[C_SETTLED_FAILED] += s[C_TODAY_FAILED]
            s[C_FUNCTIONS] += s[C_TODAY_FUNCTIONS]
            if t[D_RAISED_ON] != t[D_DAY] + 1 or t[D_RAISED_DAYS] > UNLEARNED_DAYS:
                s[C_PEAK] = max(PEAK_FADES * s[C_PEAK], s[C_PEAK_TODAY])
                amount = np.log(s[C_CALLS_TODAY] + DAY_FLOOR)
                s[C_DAYS] += 1.0
                s[C_LOG_DAYS] += amount
                s[C_LOG_DAYS_SQUARED] += amount * amount
            for hour in range(24):
                settled_hours[c, hour] += 1.0 if today_hours[c, hour] > 0.0 else 0.0
            t[D_SETTLED_DAYS] += today - t[D_DAY]
            _begin_day(s, t, today_hours[c], today)
        gone = now - t[D_LAST]
        if gone < 0:
            for column in range(C_TYPED + 1):
                s[column] = 0.0
            s[C_LATELY] = s[C_REACHED] = 0.0
            gone = 0
        decay = np.exp(-gone / TAU_30M)
        for column in range(C_SPREAD + 1):
            s[column] *= decay
        hours = np.exp(-gone / NIGHT_US)
        s[C_ODD] *= hours
        s[C_REACHED] *= hours
        s[C_TYPED] *= np.exp(-gone / TAU_5M)
        s[C_LATELY] = s[C_LATELY] * np.exp(-gone / TAU_2M) + w
        t[D_LAST] = now
        age = now - t[D_FIRST]
        if age < 0:
            age = np.int64(NOVEL_US)
        s[C_N30] += w
        s[C_PEAK_TODAY] = max(s[C_PEAK_TODAY], s[C_N30])
        s[C_TODAY] += w
        s[C_NAMED] = 1.0 if named[i] else 0.0
        if refused[i] == 0:
            s[C_CALLS_TODAY] += w
        hour = (now // HOUR_US) % 24

        # arrival, reach, place: how rare something new is follows from how much was seen without it
        history = np.log(s[C_SETTLED] + 1.0)
        # what others never do says of this caller as much as is known of it
        believed = KNOWN_TIMES * history
        if age < NOVEL_US:
            raw[i, G_CALLER_NEW] = max(np.log(NOVEL_US / (age + NOVEL_FLOOR_US)) - s[C_COMPANY], 0.0)
        value[i, G_CALLER_NEW], typical[i, G_CALLER_NEW] = age / US, NOVEL_US / US
        slot = _place(apps[c], app_first[c], app_last[c], app[i], now)
        app_last[c, slot] = now
        # who is known at the function is known at its app, of which another may have taken the place meanwhile
        app_first[c, slot] = min(app_first[c, slot], now - max(pair_age[i], 0))
        since = max(now - app_first[c, slot], 0)
        if since == 0:
            s[C_APPS] += 1.0
        if app_first[c, slot] - t[D_FIRST] > ARRIVAL_US and since < DAY_US:
            # that this caller never did so, or that hardly anybody comes here from elsewhere, as far as it is known
            seldom_so = max(history - np.log(max(s[C_APPS] - 1.0, 1.0)), min(seldom[i], believed), 0.0)
            # one call may be a slip of the hand, thirty are none
            s[C_REACHED] += w
            raw[i, G_CALLER_NEW_TO_APP] = seldom_so * (1.0 + MORE_REACHED * np.log(max(s[C_REACHED], 1.0)))
        value[i, G_CALLER_NEW_TO_APP], typical[i, G_CALLER_NEW_TO_APP] = since / US, s[C_SETTLED]
        if pair_age[i] == 0 and not sampled:
            s[C_TODAY_FUNCTIONS] += 1.0
        reaches_out = 0 <= pair_age[i] < DAY_US and age > ARRIVAL_US
        if reaches_out and new_function[i] <= 0.0:
            raw[i, G_CALLER_NEW_HERE] = max(history - np.log(max(s[C_FUNCTIONS], 1.0)), 0.0)
        value[i, G_CALLER_NEW_HERE], typical[i, G_CALLER_NEW_HERE] = pair_age[i] / US, s[C_SETTLED]
        stays = min(abroad, believed) if named[i] else 0.0
        if country[i] != 0:
            slot = _place(lands[c], land_first[c], land_last[c], country[i], now)
            land_last[c, slot] = now
            since = max(now - land_first[c, slot], 0)
            if since == 0:
                s[C_LANDS] += 1.0
            foreign = land_first[c, slot] - t[D_FIRST] > ARRIVAL_US and since < DAY_US
            if foreign:
                # that this caller never did so, or that hardly anybody does
                moves = max(history - np.log(max(s[C_LANDS] - 1.0, 1.0)), stays if s[C_LANDS] <= 2.0 else 0.0)
                # who goes to a country for the first time mostly goes where others call from
                raw[i, G_CALLER_NEW_COUNTRY] = moves + max(rare[i], 0.0)
            value[i, G_CALLER_NEW_COUNTRY], typical[i, G_CALLER_NEW_COUNTRY] = since / US, s[C_SETTLED]
            elsewhere, before = np.int64(0), np.uint64(0)
            for other in range(PLACES):
                if other != slot and lands[c, other] != 0 and land_last[c, other] > elsewhere:
                    elsewhere, before = land_last[c, other], lands[c, other]
            flight_us = flight(country[i], before, known_lands, regions) if foreign else FLIGHT_US
            travelled[i] = foreign and 0 < elsewhere <= land_first[c, slot] - flight_us
            # who stays there does not make the way any longer; who is in both places at once makes it shorter
            gap = now - elsewhere if elsewhere > land_first[c, slot] else land_first[c, slot] - elsewhere
            if foreign and elsewhere > 0 and 0 <= gap < flight_us and now - elsewhere < flight_us:
                # between places a caller is used to, hopping is a habit (two networks, a proxy); to a new one it is not
                # one call may come through somebody else's network, twenty do not; and such networks stand where others
                # call from, too; but who has hardly called before may be anybody
                s[C_ABROAD] += max(w, 1.0)
                hop = np.log(flight_us / (gap + NOVEL_FLOOR_US)) + min(max(news[i], 0.0), history)
                raw[i, G_TRAVEL] = hop * np.log(1.0 + s[C_ABROAD])
                value[i, G_TRAVEL] = gap / US
                came_from[i] = before
            typical[i, G_TRAVEL] = flight_us / US

        # errors against what these functions refuse or fail anyway, and against what this caller is used to
        confidence = s[C_SETTLED] / (s[C_SETTLED] + 20.0)
        own_refused = confidence * s[C_SETTLED_REFUSED] / max(s[C_SETTLED], 1.0)
        own_failed = confidence * s[C_SETTLED_FAILED] / max(s[C_SETTLED], 1.0)
        s[C_XREFUSED] += w * max(refusal_rate[i], own_refused)
        s[C_XFAILED] += w * max(failure_rate[i], own_failed)
        if refused[i] > 0:
            s[C_REFUSED] += w
            s[C_TODAY_REFUSED] += w
            # who mistypes does so at one function within minutes; where one never went before it is no slip
            s[C_TYPED] = w + (s[C_TYPED] if t[D_REFUSED_AT] == function[i] else 0.0)
            t[D_REFUSED_AT] = function[i]
            typed = 0.0 if reaches_out else max(min(s[C_TYPED], TYPOS) - w, 0.0)
            raw[i, G_CALLER_CLIENT_ERRORS] = claims_of(refused[i]) * poisson_excess(
                s[C_REFUSED] - typed, s[C_XREFUSED] + ERROR_FLOOR
            )
        if failed[i] == 1:
            s[C_FAILED] += w
            s[C_TODAY_FAILED] += w
            # the majority's function, as long as there is one (Boyer and Moore's vote)
            if t[D_FAILS_AT] == function[i]:
                s[C_FAILED_MOST] += w
            elif s[C_FAILED_MOST] < w:
                t[D_FAILS_AT] = function[i]
                s[C_FAILED_MOST] = w
            else:
                s[C_FAILED_MOST] -= w
        # a function that fails does so for all who call it: it says nothing of what else they do
        fails = s[C_FAILED] - (0.0 if t[D_FAILS_AT] == function[i] else s[C_FAILED_MOST])
        if failed[i] == 1:
            raw[i, G_CALLER_FAILURES] = poisson_excess(fails, s[C_XFAILED] + ERROR_FLOOR)
        value[i, G_CALLER_CLIENT_ERRORS], typical[i, G_CALLER_CLIENT_ERRORS] = s[C_REFUSED], s[C_XREFUSED]
        value[i, G_CALLER_FAILURES], typical[i, G_CALLER_FAILURES] = fails, s[C_XFAILED]
        if t[D_SETTLED_DAYS] >= KNOWN_DAYS and s[C_SETTLED] >= KNOWN_CALLS:
            raw[i, G_KNOWN_REFUSED], raw[i, G_KNOWN_FAILURES] = (
                raw[i, G_CALLER_CLIENT_ERRORS],
                raw[i, G_CALLER_FAILURES],
            )
        value[i, G_KNOWN_REFUSED], typical[i, G_KNOWN_REFUSED] = s[C_REFUSED], s[C_XREFUSED]
        value[i, G_KNOWN_FAILURES], typical[i, G_KNOWN_FAILURES] = fails, s[C_XFAILED]

        # breadth and pace
        if pair_age[i] == 0:
            s[C_SPREAD] += 1.0
        # who comes for the first time looks around; who has been here for long knows where to go
        wanders = s[C_N30] * (s[C_FUNCTIONS] + ROOM_FUNCTIONS) / (s[C_SETTLED] + ROOM_CALLS)
        if pair_age[i] < ARRIVAL_US:
            raw[i, G_CALLER_SPREAD] = poisson_excess(s[C_SPREAD], wanders + 1.0)
        value[i, G_CALLER_SPREAD], typical[i, G_CALLER_SPREAD] = s[C_SPREAD], wanders
        # a batch of a hundred calls is one habit, not a hundred: hours count by the days on which they were used
        active, once = 0.0, 0.0
        for other in range(24):
            active += settled_hours[c, other]
            if settled_hours[c, other] == 1.0:
                # an hour beside others of its day is the end of a long day, and no visit at any time
                beside = settled_hours[c, (other + 1) % 24] + settled_hours[c, (other + 23) % 24]
                once += 1.0 if beside <= 1.0 else LONGER_DAY
        near = settled_hours[c, hour] + settled_hours[c, (hour + 1) % 24] + settled_hours[c, (hour + 23) % 24]
        total = s[C_SETTLED]
        if t[D_SETTLED_DAYS] > 0:
            habit = total / t[D_SETTLED_DAYS] * (near + 0.3) / (3.0 * (active + 2.4)) * 0.5
        else:
            habit = 0.0
        # that somebody calls so often and is refused is the function's habit, not the caller's; and at a function that
        # is new nobody has one
        anybody = refused[i] > 0 or new_function[i] > 0.0
        usual = usual_peak[i] if anybody else usual_peak[i] / (1.0 + t[D_SETTLED_DAYS])
        usual *= HALF_HOUR_AT_NEW if new_function[i] > 0.0 else HALF_HOUR
        habit = max(habit, s[C_PEAK], usual)
        # what half an hour remembers of a burst that is over is no pace of now
        raw[i, G_CALLER_PACE] = pace_excess(min(s[C_N30], AT_EVEN_PACE * s[C_LATELY]), habit + 1.0)
        odd = 0.0
        value[i, G_CALLER_PACE], typical[i, G_CALLER_PACE] = s[C_N30], habit
        if total >= HABIT_CALLS and t[D_SETTLED_DAYS] >= HABIT_DAYS:
            days = s[C_DAYS]
            if days >= FEWEST_DAYS and total >= DAYS_CALLS:
                # against how its own days differ; those of a few say little of how they may
                mean = s[C_LOG_DAYS] / days
                scatter = max(s[C_LOG_DAYS_SQUARED] - days * mean * mean, 0.0) + SCATTER_DAYS * DAY_SCATTER**2
                usual_scatter = np.sqrt(scatter / (days - 1.0 + SCATTER_DAYS) * (1.0 + 1.0 / days))
                # what it did this morning, and does no more, has ended: its day counts as far as its pace still agrees
                # this call alone says nothing of its pace
                pace = DAY_AT_THIS_PACE * max(s[C_N30] - w, 0.0)
                lately = min(s[C_CALLS_TODAY], pace * active / days)
                z = (np.log(lately + DAY_FLOOR) - mean) / usual_scatter
                if refused[i] == 0:
                    raw[i, G_CALLER_DAY] = 0.5 * max(z, 0.0) ** 2
                value[i, G_CALLER_DAY], typical[i, G_CALLER_DAY] = s[C_CALLS_TODAY], max(np.exp(mean) - DAY_FLOOR, 0.0)
            # who has come once at many hours may well come at one more (Good and Turing's estimate)
            fresh = (once + 0.5) / (active + 1.0)
            about = near
            for step in range(len(REACHES)):
                later, sooner = (hour + 2 + step) % 24, (hour + 22 - step) % 24
                about += REACHES[step] * (settled_hours[c, later] + settled_hours[c, sooner])
            odd = max(-np.log(max(8.0 * (about + 0.3) / (active + 2.4), fresh)), 0.0)
            if odd > 0.0:
                # one visit at a strange hour is a late evening, an hour's work is not
                s[C_ODD] += w * max(min(gone / MINUTE_US, 1.0), AT_ONCE)
                # and the fewer the days, the less is known of where a caller's day ends
                sure = t[D_SETTLED_DAYS] / (t[D_SETTLED_DAYS] + SURE_DAYS)
                raw[i, G_CALLER_HOURS] = sure * odd * np.log(1.0 + s[C_ODD])
            value[i, G_CALLER_HOURS], typical[i, G_CALLER_HOURS] = near / max(active, 1.0), 0.125
        # who travels works by day
        travelled[i] = travelled[i] and odd <= 0.0
        if travelled[i]:
            raw[i, G_CALLER_NEW_COUNTRY] = min(raw[i, G_CALLER_NEW_COUNTRY], max(TRAVELLED, stays))
        if sampled:
            for column in range(raw.shape[1]):
                if column != G_TRAVEL:
                    raw[i, column] = value[i, column] = typical[i, column] = 0.0
            travelled[i] = False
        elif today_hours[c, hour] != RAISED_HOUR:
            today_hours[c, hour] = 1.0
        if late[i]:
            copy_row(kept_s, s)
            copy_row(kept_t, t)
            copy_row(kept_names[0], apps[c])
            copy_row(kept_names[1], lands[c])
            copy_row(kept_places[0], app_first[c])
            copy_row(kept_places[1], app_last[c])
            copy_row(kept_places[2], land_first[c])
            copy_row(kept_places[3], land_last[c])
            copy_row(kept_hours[0], settled_hours[c])
            copy_row(kept_hours[1], today_hours[c])
