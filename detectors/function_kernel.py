"""One function's events in order: windows, rates and distances from its own habits, as a single compiled loop.

Windows are exponentially decayed sums, updated event by event, so a value depends on the events before it and on
nothing else: neither on batch borders nor on what other functions do.
"""

from __future__ import annotations

from typing import Any, Final

import numpy as np

from models.assured import QUARTERS
from models.baselines import HOUR_US, HOURS_A_WEEK, LEVELS, SELDOM, TAKES_SCATTERS, US, WEEK_OFFSET, WEEKEND
from models.jit import copy_row, njit

#: columns of the function state, float64
(
    S_N5, S_E5, S_N60, S_E60, S_NDAY, S_EDAY, S_N15, S_F15, S_C15, S_COST60, S_COSTDAY,
    S_VFAST, S_WFAST, S_VSLOW, S_WSLOW, S_LOGFAST, S_FEW, S_CEW, S_NEW60, S_MANUAL, S_AGAIN, S_MAX_GAP, S_COUNT,
    S_NEW_HABIT, S_NEW_TODAY, S_SETTLED, S_TODAY, S_TOP, S_TOP_REFUSED, S_OFF, S_MANUAL_SETTLED, S_MANUAL_TODAY,
    S_PEAKS, S_TOP_RECENT, S_TOP60, S_ROUND, S_TOP_ROUND,
) = range(37)  # fmt: skip
#: highs of a day, each followed by those of the last three days on which there were calls: refusals of a quarter of an
#: hour, refusals of one caller in it, and calls in five minutes of a caller on its first day
(H_REFUSED, H_ONE_REFUSED, H_NEWCOMER) = range(37, 49, 4)
#: run time of an hour and of a day, s, whole: what a person is told
S_RUN60, S_RUNDAY = 49, 50
#: of the last hours: runs that took as long as one in a hundred does, all runs, and nats beyond the longest run known;
#: of a day: runs that ended at a limit; of the long runs: their share of the last ones, those of the caller who waits
#: most for them, and those that were counted in an hour
S_SLOW, S_RUNS, S_RECORDS, S_LIMIT, S_SLOW_LATELY, S_TOP_SLOW, S_SLOW60 = range(51, 58)
#: highs of a day while all of the app was busier: by how much, and how many times, what is usual at the hour was
#: passed; each followed by the highest of the days before and by the second: calls in five minutes, calls in an hour
#: but for those of the caller that makes most, and cost of an hour
H_CALLS5, H_TIMES5, H_CALLS60, H_TIMES60, H_COST60, H_TIMES_COST = range(58, 76, 3)
#: hosts that came since T_HOSTS, calls to them, and how often all hosts were replaced, fading within a week
S_NEW_HOSTS, S_ON_NEW, S_REPLACED = range(76, 79)
#: half minutes in which something failed: of an hour, and those that began among the last 16 events
S_FAULTS, S_FAULTS_EW = 79, 80
#: nats by which more of the last runs than usual took as long as one in four does
S_SLOWER: Final = 81
#: of six hours: quarters of an hour in which something failed, and calls; of a day: starts that came late and were
#: excused; of a timer: the least us between two starts, of the days before and of today, 0 where none is known
S_FAILING6H, S_N6H, S_EXCUSED, S_LEAST_GAP, S_LEAST_TODAY = range(82, 87)
#: nats by which fewer calls than usual came, for hours
S_FEWER: Final = 87
#: of refused calls: us that lie between two, of late; nats by which more of the calls than usual were refused, for
#: hours, and refused calls and calls since that began
S_REFUSED_GAP, S_REFUSING, S_REFUSED_SUM, S_ASKED_SUM = range(88, 92)
#: how slow the last two or three runs were, as S_VFAST has it of sixteen
S_VNOW: Final = 92
#: nats by which the last calls were refused as usual rather than as since more of them were
S_ACCEPTED: Final = 93
#: runs that no schedule asked for, of which S_MANUAL counts those that came apart
S_BY_HAND: Final = 94
#: calls of a day beyond its habit of the caller of which that is most
S_TOP_DAY: Final = 95
#: calls that each of the last rows stood for, where logs are sampled
S_ITEMS: Final = 96
#: the busiest hour of today; of the days before, how many there were, and sum and squares of the logarithm of it
S_BUSIEST_TODAY, S_BUSIEST_DAYS, S_BUSIEST, S_BUSIEST_SQUARES = range(97, 101)
#: countries that somebody called from on the days before
S_LANDS: Final = 101
FUNCTION_STATE: Final = 102
#: columns of the function's times, int64 us
(
    T_LAST, T_FIRST, T_DEPLOYED, T_ARMED, T_VERSION, T_VERSION_BEFORE, T_DAY, T_DAYS,
    T_TOP, T_TOP_REFUSED, T_TOP60, T_TOP_RECENT, T_TOP_ROUND, T_TOP_SLOW,
    T_HOSTS, T_OLD_HOST, T_REPLACED, T_FAILING, T_FAILED_IN, T_STARTED, T_REFUSED, T_REFUSING,
    T_BY_HAND,
) = range(23)  # fmt: skip
#: T_HOSTS: since when new hosts come, which may replace all others; below 0: when a rest ended; T_OLD_HOST: when one of
#: those was seen last; T_REPLACED: since when there was none of them
#: T_FAILING: when the last half minute began in which something failed; T_FAILED_IN: the quarter of an hour in which it
#: last did; T_STARTED: the last start by the clock, if it came on schedule and went well
#: T_REFUSED: the last refused call; T_REFUSING: since when more of the calls than usual are refused
#: T_BY_HAND: when somebody last began to start runs
FUNCTION_TIMES: Final = 23
#: columns of what is told of an event, in the order of ``features.FUNCTION_FEATURES``
(
    F_DURATION_HIGH, F_DURATION_LOW, F_LATENCY_SHIFT, F_LATENCY_DROP, F_FAILURE_BURST, F_CLIENT_ERROR_BURST,
    F_PACE_MINUTES, F_PACE_HOUR, F_GROWTH_DAYS, F_COST_HOUR, F_COST_DAYS, F_CALLER_NEW_TO_FUNCTION,
    F_CALLER_PACE_HERE, F_OFF_SCHEDULE, F_REDELIVERY, F_ATTACK_SIGNATURE, F_NEW_FUNCTION, F_CALLER_SLOW_HERE,
    F_ROUND_SECONDS, F_COUNTRY_RARE_HERE, F_NEWCOMERS, F_UNSCHEDULED, F_DURATION_RECORD, F_COUNTRY_NEW, F_LONG_RUNS,
    F_TIME_LIMIT, F_CALLER_VOLUME_HERE, F_FEWER_CALLS, F_REFUSED_HOURS,
) = range(29)  # fmt: skip
#: values of T_ARMED: at its usual pace when training ended, which counts once these logs are seen to go on from
#: there; silent, which was told; nothing heard yet in these logs; heard; heard at its usual pace, so that silence would
#: be news
LEFT, MISSED, UNHEARD, HEARD, PACED = range(-2, 3)
#: calls of an hour added to what came and to what was expected, to say how far below the usual it was; and the least
#: that is believed of that
A_FEW: Final = 4.0
LEAST_LEVEL: Final = 0.2
#: how far beyond the usual, in logarithms, a run time counts in full, and ms that a timer's must be longer for what its
#: own few runs say
FAR: Final = np.log(2.0)
FAR_MS: Final = 1000.0
#: runs from which on they say how far the next may be; beyond how many they say by themselves how often one is as far;
#: how even they may be
FEWEST_RUNS: Final = 6.0
MOST_RUNS: Final = 400.0
EVEN: Final = 0.05
#: refused calls of one caller within minutes that say nothing yet
TYPOS: Final = 4.0
#: values of ``refused``: by a client error, and by one that says that the call could not be read
REFUSED, MALFORMED = 1, 2
#: hosts remembered per function, to tell a cold start
HOSTS: Final = 32

#: us within which old hosts go and new ones come where all are replaced; and calls to new ones that show it
ROLLING_US: Final = np.int64(300 * US)
ON_NEW_HOSTS: Final = 10.0
#: us without a call after which hosts start anew, and until it is settled which of them go on
RESTED_US: Final = np.int64(HOUR_US)
WARM_US: Final = np.int64(1800 * US)
#: times within about a week, two a day, that hosts may be replaced before it is no news that they were
OFTEN_REPLACED: Final = 15.0
WEEK_US: Final = 7.0 * 86400.0 * US
#: ``deployed`` where no version is logged and hosts were replaced so long ago: that, less than this
BY_HOSTS: Final = -2

#: operations that failed last, remembered per function to tell that a message comes back: keys, then how often
FAILED_OPERATIONS: Final = 8
OPERATIONS: Final = 2 * FAILED_OPERATIONS

#: columns of the state of a caller at a function, float64
(
    P_N5, P_V, P_VVAR, P_ROUND, P_DELAYED, P_SIGN, P_SETTLED, P_TODAY, P_SETTLED_V, P_TODAY_V, P_REFUSED, P_PEAK,
    P_PEAK_TODAY, P_COMPANY, P_N60, P_FROM, P_FROM_TODAY, P_N6H, P_MOST, P_MOST_TODAY,
    P_SLOWLY,
) = range(21)  # fmt: skip
PAIR_STATE: Final = 21
#: columns of its times, int64
Q_LAST, Q_FIRST, Q_DAY, Q_SETTLED_DAYS = range(4)
PAIR_TIMES: Final = 4

TAU_5M: Final = 300.0 * US
TAU_15M: Final = 900.0 * US
TAU_30M: Final = 1800.0 * US
TAU_1H: Final = 3600.0 * US
TAU_6H: Final = 21600.0 * US
TAU_1D: Final = 86400.0 * US
DAY_US: Final = 86400 * US
#: us; no function counts as silent sooner, however busy it was; unless so many times the calls are missing that tell a
#: silence of what came on every day
LEAST_SILENCE_US: Final = np.int64(1200 * US)
BRIEF_SILENCE_US: Final = np.int64(600 * US)
BRIEF: Final = 8.0
#: calls, and days of a caller's calls at a function, that six hours must have held once, faded, before it sends
#: batches; and how many times what it sent, faded, is the same batch again
BATCH: Final = 12.0
BATCH_DAYS: Final = 2.0
BATCH_MORE: Final = 2.0
#: share of its usual day that a caller has sent within five minutes, from which on that is a batch
BATCH_OF_DAY: Final = 0.25
#: us within which runs that somebody starts are one act
ONE_ACT_US: Final = 300 * US
#: of a run that no schedule asked for: somebody started it; else the host says why it did
BY_HAND: Final = 2
#: calls missed that no function reaches: one that is not watched
UNWATCHED: Final = 1e9
QUARTER_US: Final = DAY_US // QUARTERS
#: two weeks, after which what came on every day has been missed, or never is
_ALARM_QUARTERS: Final = 14 * QUARTERS
_NEVER: Final = np.int64(2**63 - 1)
#: share of a usual hour that its window must have run for, and share of the calls expected in it that must have come,
#: before anybody is missed: rows that come days late may stand hours before the logs really begin
RAN_FOR: Final = 0.4
CAME: Final = 0.15
#: us; a start so long after its due time, where there was none at that time, is the one that was due
PAST_DUE_US: Final = np.int64(15 * 60 * US)
#: whoever was silent longer is forgotten, at most (``remembered_days``)
FORGET_DAYS: Final = 30
#: of a caller's number of calls: bits that any passer-by may have, and days more for each further one
FEW_BITS: Final = 3
HOLIDAYS: Final = 3
#: weights of the fast and the slow moving average of a function's run times: about 16 and 200 events
FAST: Final = 1.0 / 16.0
SLOW: Final = 1.0 / 200.0
#: the same of the last two or three; and of their sum, normal scores, what may be chance: with one more it all counts
NOW: Final = 1.0 / 2.0
NOT_OVER: Final = 0.5
#: novelty fades over thirty days; ages are not told apart below a minute
NOVEL_US: Final = 30.0 * DAY_US
NOVEL_FLOOR_US: Final = 60.0 * US
#: a caller counts as new at a function for a day
NEW_FOR_US: Final = DAY_US
#: a new function is watched as new for a week
NEW_FUNCTION_US: Final = 7.0 * DAY_US
#: nats that calls of a new function can add: those of twenty
MOST_CALLED: Final = 3.0
#: days after which it is known how often somebody new comes to a function
OPEN_DAYS: Final = 2
#: how fast that a function is new is no news any longer: by the so-manieth power of its age
NEWS_FADE: Final = 2.0
#: nats that say no more than that a function is new, for the timeline of callers
IS_NEW: Final = 1e-3
#: times what callers of an app are at their busiest that callers of a new function of it may be, and the least that
#: counts as busy, calls in five minutes
ROOM_AT_NEW: Final = 3.0
BUSY_AT_NEW: Final = 30.0
#: of each call that was to be expected, and of each that came, what says that four of ten come and not all (a
#: cumulative sum: Page, 1954): it grows where less than two thirds come; calls of an hour beyond which more say no
#: more, since what is missing for minutes comes again; and the most nats that it claims
DUE_CLAIMS: Final = 1.0 - 0.4
CAME_CLAIMS: Final = -np.log(0.4)
CALLS_TOLD: Final = 24.0
MOST_FEWER: Final = 40.0
#: share of the usual that an hour may hold at most where fewer calls come, and below which that counts in full
STILL_FEWER: Final = 0.75
SURELY_FEWER: Final = 0.55
#: columns of an app's state: calls and expected calls, of five minutes and of an hour, and an hour's newcomers
(A_N5, A_E5, A_N60, A_E60, A_NEW60) = range(5)
APP_STATE: Final = 5
#: shape of the gamma distribution that a rate is drawn from around its habit: 1 / 0.35^2
RATE_SHAPE: Final = 8.0
#: s of run time in an hour and in a day that are too little to speak of
HOUR_SECONDS: Final = 3.0
DAY_SECONDS: Final = 20.0
#: standard deviations of cost from which on only their order of magnitude counts
COST_BEND: Final = 4.0
#: calls in a day added to the expectation of growth, and to those of a caller's day
DAY_FLOOR: Final = 5.0
#: nats up to which a day with more calls is no growth, and beyond them those from which on it counts in full
LEAST_GROWN: Final = 0.25
MORE_GROWN: Final = 0.3
#: days from which on their busiest hours tell how busy one may be, calls added to each, and the deviation of their
#: logarithms that is believed beforehand, with how many degrees of freedom
BUSIEST_DAYS: Final = 4.0
BUSIEST_CALLS: Final = 4.0
BUSIEST_SCATTER: Final = 0.3
BUSIEST_FREE: Final = 3.0
#: newcomers of a day below which nobody new comes to a function, and countries up to which another is news there; how
#: much more it says with each e times as many calls
CLOSED: Final = 0.5
FEW_LANDS: Final = 3.0
STAYS: Final = 0.3
#: times its level of an hour that what came on every day is held to: that the last hour was as calm as on the calmest
#: day is no news
CALMEST_DAY: Final = 2.0
#: how far beyond its habit a caller takes part in what a day brings in full
GROWN_PART: Final = 0.6
#: run times that are long are those of one in a hundred, and a share of them that normal life may well reach for hours
LONG_RUN: Final = 0.99
LONG_SHARE: Final = 0.03
#: share of an hour's runs, and runs besides, that may count as long in the sum of several
MOST_LONG: Final = 0.10
SOME_LONG: Final = 2.0
#: weight of the newest run in the share of long ones among the last sixty or so; of few runs, all of them
LATELY: Final = 1.0 / 64.0
#: times how far a run goes beyond the longest known that the sum of such runs may claim with it
RECORDS_ALIKE: Final = 10.0
#: what a run claims besides by how far it goes beyond twice the longest of all functions with the same kind of trigger
BEYOND_ALL: Final = 4.0
#: times its usual runs that an hour may count for there
BUSY_HOUR: Final = 2.0
#: ms; a run is cut off at a whole number of minutes, and is written down within so long after it
LIMIT_MS: Final = 60_000.0
LIMIT_WITHIN_MS: Final = 1_000.0
#: the same as a share of its run time, and runs from which on the longest of them says what they may take
LIMIT_WITHIN: Final = 0.005
MANY_SEEN: Final = 200.0
#: share of a limit that no run has ever reached where a limit is news
SHORT_OF_LIMIT: Final = 0.9
#: invocations from which on a function's longest run means something
RECORD_EVENTS: Final = 500.0
#: times its habit that an hour may count for in the sum of a day
DAY_CAP: Final = 3.0
#: calls of the other functions that must be missing or many before they tell anything, and the most they can explain
SIBLINGS: Final = 20.0
MAX_LIFT: Final = 5.0
#: how far the mean normal score of a function's run times wanders in normal life
MEAN_WANDERS: Final = 0.25
#: how much slower, in nats, runs must be on average before it counts, and how much more until it counts in full
LEAST_SLOWER: Final = 0.1
MORE_SLOWER: Final = 0.1
#: how much slower, in nats, it must be before it counts for more than that it is, and the most that it does
THREE_TIMES: Final = 1.1
MOST_SLOWLY: Final = 2.5
#: how much faster, in nats, runs must be before a few of them say it; with a nat more they do so in full
FAR_FASTER: Final = 1.5
#: runs that take as long as one in four does; the share of them that normal life may well reach, that of a function of
#: which the half has become slow, and the most nats that these claim (a cumulative sum: Page, 1954)
SLOWER_RUN: Final = 0.75
USUAL_SLOWER: Final = 0.30
HALF_SLOWER: Final = 0.55
MOST_SLOWER: Final = 25.0
#: how much slower, in nats, the last runs must be where one of two times is taken more often, and more until all counts
LEAST_OF_TWO: Final = 0.4
MORE_OF_TWO: Final = 0.3
#: ms by which the last runs must be longer until it counts in full: nobody waits for less
NOTICED_MS: Final = 10.0
#: chance that a delay looks like a round number of seconds by accident, and that it does, or all of its run
ROUND_CHANCE: Final = 0.12
EITHER_CHANCE: Final = 0.2
#: us after a caller's last call from which on another says all of how slow it is for this caller, and what one says at
#: least
APART_US: Final = 5 * US
OF_ONE_MOMENT: Final = 0.2
#: s; who waits longer is kept waiting by a time-out, of half a minute for most
PUT_IN_S: Final = 25.0
#: ms for each second of a delay within which it must be round, to be looked at
ROUND_WITHIN: Final = 60.0
#: us within which all that fails has one cause, and the nats that one such time can claim, however much failed in it
ONE_FAULT_US: Final = np.int64(30 * US)
FAULT_CLAIMS: Final = 4.0
#: quarters of an hour, of six hours, in which something must have failed, so that what failed at once is no part of
#: what goes on; and nats for looking at another window
FAILED_FOR_HOURS: Final = 3.5
ANOTHER_LOOK: Final = 1.0
#: how many times the us between two refused calls pass without one, an hour at least, until the next is another matter
REFUSED_RESTS: Final = 4.0
#: nats by which calls are refused as usual again, from which on it is over; and the largest share that refuses so many
ACCEPTED_AGAIN: Final = 5.0
ALL_BUT_ALL: Final = 0.98
#: the share of refused calls that is held against the usual one, by that and besides, and the least usual one
REFUSED_TIMES: Final = 4.0
REFUSED_MORE: Final = 0.05
LEAST_REFUSED: Final = 0.01
#: calls of an hour that count for it, so that the refusals of a few minutes say less than those of hours, and the most
#: that all say together
ASKED_AN_HOUR: Final = 24.0
#: us from which on refusals count in full as what goes on for hours
REFUSED_LASTS_US: Final = 300 * US
MOST_REFUSING: Final = 40.0
#: refused calls of one caller, among the last sixteen, from which on they are its own doing
ONES_DOING: Final = 1.5
#: quarters of an hour without a failure after which it no longer goes on
FAILS_AGAIN: Final = 8
#: starts of a day that may come late, after a host that was down; what comes late more often keeps another schedule
EXCUSED: Final = 2.5
#: share of the least time that lay between two starts below which a second one comes too soon, and the starts from
#: which on that is known
TOO_SOON: Final = 0.5
STARTS: Final = 3.0
#: starts a day up to which a timer is one that runs once a day, or more seldom
A_DAY_SELDOM: Final = 1.1
#: how far a call that is refused as malformed counts for one that is refused: who guesses writes what can be read
MALFORMED_CLAIMS: Final = 0.5
#: expected calls added to every expectation of pace, so that one call is never a flood
PACE_FLOOR: Final = 1.0
#: the same where only what still goes on is to be told from what has ended
GOING_FLOOR: Final = 0.5
#: days for which a caller must be known at a function before what it takes in hours is compared, how many days' worth
#: of doubt there is about the most it took, calls added to that, and times the calls of its last hour that those of six
#: hours count for at most
KNOWN_DAYS: Final = 2
FEW_DAYS: Final = 1.0
VOLUME_FLOOR: Final = 2.0
HOURS_AT_THIS_PACE: Final = 8.0
#: times the most that it took in six hours that an hour may hold and still count for them, where many may be behind a
#: name, and where it is one's own
HOUR_OF_VOLUME: Final = 2.5
HOUR_OF_OWN_VOLUME: Final = 4.0
#: times the calls of five minutes that those of an hour count for at most: a quarter more than at an even pace
AT_THIS_PACE: Final = 15.0
#: share of yesterday's peak of a caller that is left tomorrow
PEAK_FADES: Final = 0.9
#: share of a function's busiest minutes and hours of a day that is left the next: half after two weeks
HIGHS_FADE: Final = 0.95
#: how much busier the rest of an app is in a campaign
CAMPAIGN_LIFT: Final = 0.5
#: share of callers whose daily peaks lie below a function's usual peak, and the step of its running estimate, in nats
PEAK_SHARE: Final = 0.95
PEAK_STEP: Final = 0.2
#: nats that a campaign's newcomers can take from the novelty of each
MAX_COMPANY: Final = 6.0
#: ln(duration) closer together than this is the same run time
TIE: Final = 1e-9
LEVEL_COUNT: Final = len(LEVELS)
_MEDIAN: Final = int(np.searchsorted(LEVELS, 0.5))
_FEWER_SLOWER: Final = float(np.log((1.0 - HALF_SLOWER) / (1.0 - USUAL_SLOWER)))
_MORE_SLOWER: Final = float(np.log(HALF_SLOWER / USUAL_SLOWER))


@njit
def remembered_days(settled_days: Any, calls: Any) -> Any:
    """Days of silence after which a caller is forgotten: two, one for each day it was seen, and more for many calls.

    Who works here comes back after a holiday; an address that called twice is another's by then.
    """
    bits = 0
    left = np.int64(calls) + 1
    while left > 1:
        left >>= 1
        bits += 1
    return min(FORGET_DAYS, 2 + settled_days + bits + HOLIDAYS * max(bits - FEW_BITS, 0))


def remembered(last_us: Any, settled_days: Any, calls: Any, now_us: int) -> Any:
    """Which callers are not forgotten yet, as ``remembered_days`` has it, bool[n]."""
    bits = np.frexp(np.floor(calls) + 1.0)[1] - 1
    days = 2 + settled_days + bits + HOLIDAYS * np.maximum(bits - FEW_BITS, 0)
    return now_us - last_us <= np.minimum(FORGET_DAYS, days) * DAY_US


@njit
def normal_quantile(p: Any) -> Any:
    """Standard normal quantile, to 5e-4 (Abramowitz and Stegun, 26.2.23)."""
    tail = max(min(p, 1.0 - p), 1e-12)
    r = np.sqrt(-2.0 * np.log(tail))
    x = r - (2.515517 + 0.802853 * r + 0.010328 * r * r) / (
        1.0 + 1.432788 * r + 0.189269 * r * r + 0.001308 * r * r * r
    )
    return -x if p < 0.5 else x


@njit
def position(x: Any, quantiles: Any, levels: Any, high: Any, low: Any) -> Any:
    """Where x stands in a distribution given by quantiles with exponential tails.

    Returns (share below, ln share above, ln share below).
    """
    last = levels.shape[0] - 1
    begin = np.searchsorted(quantiles, x - TIE)
    end = np.searchsorted(quantiles, x + TIE)
    if end - begin > 1:
        # run times that are always the same stand in the middle of themselves, not at their end
        u = 0.5 * ((levels[begin] if begin > 0 else 0.0) + (levels[end - 1] if end <= last else 1.0))
        return u, np.log(1.0 - u), np.log(u)
    if x >= quantiles[last]:
        above = np.log(1.0 - levels[last]) - (x - quantiles[last]) / high
        return 1.0 - np.exp(above), above, 0.0
    if x <= quantiles[0]:
        below = np.log(levels[0]) - (quantiles[0] - x) / low
        return np.exp(below), 0.0, below
    lower, upper = 0, last
    while upper - lower > 1:
        middle = (lower + upper) // 2
        if quantiles[middle] <= x:
            lower = middle
        else:
            upper = middle
    width = quantiles[upper] - quantiles[lower]
    part = (x - quantiles[lower]) / width if width > 0 else 0.5
    u = levels[lower] + part * (levels[upper] - levels[lower])
    return u, np.log(1.0 - u), np.log(u)


@njit
def outlier(x: Any, mean: Any, square: Any, n: Any, side: Any) -> Any:
    """Nats that a logarithm of a run time claims beside n that are normal, by their mean and mean square, not in logs.

    ``side``: 1 for what is longer, -1 for what is shorter. The likelihood ratio of one that lies apart (Student's t):
    a few even runs say how far the next may be.
    """
    if n < FEWEST_RUNS or n > MOST_RUNS or mean <= 0.0:
        return 0.0
    variance = max(np.log(max(square / (mean * mean), 1.0)), EVEN**2)
    t = side * (x - np.log(mean) + 0.5 * variance) / np.sqrt(variance * (1.0 + 1.0 / n))
    if t <= 0.0:
        return 0.0
    return 0.5 * n * np.log(1.0 + t * t / (n - 1.0))


@njit
def poisson_excess(seen: Any, expected: Any) -> Any:
    """Nats by which a count exceeds its expectation (Chernoff bound of a Poisson tail); 0 below it."""
    if seen <= expected:
        return 0.0
    return seen * np.log(seen / expected) - seen + expected


@njit
def pace_excess(seen: Any, expected: Any) -> Any:
    """Nats by which a count exceeds an uncertain expectation (Chernoff bound of a negative binomial tail).

    Rates of real functions wander by a third around their habit; a Poisson bound would call any busy hour impossible.
    """
    if seen <= expected:
        return 0.0
    return seen * np.log(seen / expected) - (seen + RATE_SHAPE) * np.log((seen + RATE_SHAPE) / (expected + RATE_SHAPE))


@njit
def clumped_excess(seen: Any, expected: Any, phi: Any) -> Any:
    """As ``pace_excess``, of calls that come in clumps of ``phi``, which are counted instead of calls.

    Clumps come in clumps, too: the busy spells of what is called in bursts are more than chance would make of bursts.
    """
    return pace_excess(seen / phi, expected / phi) / np.sqrt(phi)


@njit
def day_excess(seen: Any, expected: Any, spread: Any, freedom: Any, phi: Any) -> Any:
    """Nats by which the calls of a day, in clumps of ``phi``, exceed those of others, of what differs so from them."""
    more = np.log((seen + DAY_FLOOR) / (expected + DAY_FLOOR))
    if more <= LEAST_GROWN:
        return 0.0
    # days of few calls differ by chance, too
    apart = more / np.sqrt(spread * spread + phi / (expected + DAY_FLOOR))
    noticed = min((more - LEAST_GROWN) / MORE_GROWN, 1.0)
    return noticed * 0.5 * (freedom + 1.0) * np.log(1.0 + apart * apart / freedom)


@njit
def claims_of(refused: Any) -> Any:
    """How far a call that is refused counts, by how it is."""
    return MALFORMED_CLAIMS if refused == MALFORMED else 1.0


@njit
def drift(total: Any, weight: Any, events: Any) -> Any:
    """Standard deviations by which a sum of normal scores departs from zero, if their mean wanders by MEAN_WANDERS."""
    return total / np.sqrt(weight + (MEAN_WANDERS * events) ** 2)


@njit
def made_most(s: Any, t: Any, count: Any, who: Any, caller: Any, amount: Any) -> Any:
    """Count a call, by its amount, for the caller that made most of the recent ones, by a fading majority vote.

    Returns whether this is it.
    """
    if caller == t[who]:
        s[count] += amount
        return True
    if s[count] < 1.0:
        s[count] = amount
        t[who] = caller
        return True
    return False


@njit
def usual_high(s: Any, high: Any) -> Any:
    """What a day's high reaches on most days: the second of the last three, so that a single day makes no habit."""
    a, b, c = s[high + 1], s[high + 2], s[high + 3]
    return max(min(a, b), min(max(a, b), c))


@njit
def busier_than(calls: Any, usual: Any) -> Any:
    """How many times the usual the other functions of an app are called; few calls tell nothing."""
    return (calls + SIBLINGS) / (max(usual, 0.0) + SIBLINGS)


@njit
def lesser(known: Any, other: Any) -> Any:
    """The lesser of two, of which the first is not known where it is 0."""
    return min(known, other) if known > 0.0 else other


@njit
def next_high(s: Any, high: Any) -> None:
    """Begin another day's high, as ``usual_high`` reads them."""
    for day in range(high + 3, high, -1):
        s[day] = s[day - 1]
    s[high] = 0.0


@njit
def remember_highs(s: Any, days: Any) -> None:
    """Put a day's highs among those of the days before, which fade by so many days."""
    fading = HIGHS_FADE ** min(days, FORGET_DAYS)
    for high in range(H_CALLS5, S_NEW_HOSTS, 3):
        if s[high] > s[high + 1]:
            s[high + 2] = s[high + 1]
            s[high + 1] = s[high]
        elif s[high] > s[high + 2]:
            s[high + 2] = s[high]
        s[high] = 0.0
        s[high + 1] *= fading
        s[high + 2] *= fading


@njit
def busiest_of(a: Any, app: Any, state: Any, times: Any) -> Any:
    """The busiest that callers of an app's functions are, in five minutes of each; as S_PEAKS has it."""
    most = 0.0
    for k in range(app.shape[0]):
        if app[k] == a and times[k, T_DAYS] > 0:
            most = max(most, state[k, S_PEAKS])
    return np.log(1.0 + max(ROOM_AT_NEW * (np.exp(most) - 1.0), BUSY_AT_NEW))


@njit
def campaign_of(s: Any, lift: Any) -> Any:
    """How far calls are a campaign's: 1 where the rest of the app is busier, too, and nobody makes a third of them."""
    lifted = min(max(lift - 1.0, 0.0) / CAMPAIGN_LIFT, 1.0)
    return lifted * min(max(2.0 - 3.0 * s[S_TOP] / s[S_N5], 0.0), 1.0)


@njit
def high_again(s: Any, high: Any, beyond: Any, usual: Any, campaign: Any) -> Any:
    """How far what is usual at this hour was passed on two days; notes how far it is passed now (``beyond``).

    A campaign comes again where an attack came once. What comes by day says little of the night, when less is usual: a
    high counts by how far it went beyond, or by how many times what is usual at the hour that was, whichever is less.
    """
    s[high] = max(s[high], beyond * campaign)
    s[high + 3] = max(s[high + 3], beyond / usual * campaign)
    return min(s[high + 2], s[high + 5] * usual) * campaign


@njit
def off_second(ms: Any) -> Any:
    """How far a time is from the next whole second, ms."""
    return abs(ms - 1000.0 * np.round(ms / 1000.0))


@njit
def binomial_excess(hits: Any, total: Any, rate: Any) -> Any:
    """Nats by which hits out of total exceed a rate (Chernoff bound of a binomial tail); 0 below it."""
    if total <= 0.0:
        return 0.0
    share = min(hits / total, 1.0)
    if share <= rate:
        return 0.0
    out = share * np.log(share / rate)
    if share < 1.0:
        out += (1.0 - share) * np.log((1.0 - share) / (1.0 - rate))
    return total * out


@njit
def beyond_busiest(s: Any, calls: Any) -> Any:
    """Nats by which an hour has more calls than the busiest hours of the days before, which differ (Student's t)."""
    days = s[S_BUSIEST_DAYS]
    if days < BUSIEST_DAYS:
        return 0.0
    mean = s[S_BUSIEST] / days
    free = days - 1.0 + BUSIEST_FREE
    scatter = max(s[S_BUSIEST_SQUARES] - days * mean * mean, 0.0) + BUSIEST_FREE * BUSIEST_SCATTER**2
    z = (np.log(calls + BUSIEST_CALLS) - mean) / np.sqrt(scatter / free * (1.0 + 1.0 / days))
    return 0.5 * (free + 1.0) * np.log(1.0 + z * z / free) if z > 0.0 else 0.0


@njit
def by_staying(calls: Any) -> Any:
    """How many times as much it says that somebody is new where nobody new comes, after so many calls in an hour."""
    return 1.0 + STAYS * np.log(max(calls, 1.0))


@njit
def company(newcomers: Any, usual: Any) -> Any:
    """Nats by which a newcomer is less of a surprise where many arrive together."""
    return min(max(np.log(max(newcomers, 1.0) / (usual + 1.0)), 0.0), MAX_COMPANY)


@njit
def goes_on(seen: Any, usual: Any) -> Any:
    """How far something is still above what is usual: 0 where it is not, 1 from half as much again on."""
    return min(max(seen / usual - 1.0, 0.0) * 2.0, 1.0)


@njit
def crowded(busier: Any) -> Any:
    """How far newcomers are a crowd: 0 where the function is as busy as usual, 1 where it is three times as busy."""
    return min(max(busier - 1.0, 0.0) / 2.0, 1.0)


@njit
def follow_hosts(s: Any, t: Any, place: Any, now: Any) -> None:
    """Find out when all hosts of a function are replaced, by a deployment, a restart or a move.

    A host that comes while others go on is one more of them; one that comes after a rest is a cold start, and so are
    those that come to its help within half an hour: a job of the night finds no host, and a first one may hang.

    - ``place``: of the host among those seen last, the newest first; -1: it was not among them
    """
    pending = t[T_HOSTS] > 0
    if not pending and t[T_OLD_HOST] > 0 and now - t[T_OLD_HOST] > RESTED_US:
        t[T_HOSTS] = -now
    if place >= 0 and not pending:
        t[T_OLD_HOST] = now
    elif place >= s[S_NEW_HOSTS]:
        # an old one goes on: for a while, while they are replaced, or beside the new ones
        t[T_OLD_HOST] = now
        if now - t[T_HOSTS] > ROLLING_US:
            t[T_HOSTS] = 0
    elif pending:
        s[S_NEW_HOSTS] += 1.0 if place < 0 else 0.0
        s[S_ON_NEW] += 1.0
        if s[S_NEW_HOSTS] > HOSTS // 2:
            # more hosts than can be told apart
            t[T_HOSTS] = 0
        elif now - t[T_HOSTS] > ROLLING_US and s[S_ON_NEW] >= ON_NEW_HOSTS:
            s[S_REPLACED] = 1.0 + s[S_REPLACED] * np.exp(-(t[T_HOSTS] - t[T_REPLACED]) / WEEK_US)
            t[T_REPLACED] = t[T_HOSTS]
            t[T_HOSTS] = 0
            t[T_OLD_HOST] = now
    elif t[T_OLD_HOST] > 0 and now - t[T_OLD_HOST] <= ROLLING_US and now + t[T_HOSTS] > WARM_US:
        t[T_HOSTS] = now
        s[S_NEW_HOSTS] = s[S_ON_NEW] = 1.0
    else:
        t[T_OLD_HOST] = now


@njit
def sends_again(q: Any, days: Any) -> Any:
    """Whether a caller sends a batch as it did before: far more in hours than its days have, and no more than then.

    Or much of its day at once, as on other days. Who does a little more every day sends none.
    """
    a_day = q[P_SETTLED] / max(days, 1)
    seldom = q[P_MOST] >= max(BATCH, BATCH_DAYS * a_day) and q[P_N6H] <= BATCH_MORE * q[P_MOST]
    daily = q[P_PEAK] >= max(BATCH, BATCH_OF_DAY * a_day) and q[P_N5] <= BATCH_MORE * q[P_PEAK]
    return days >= KNOWN_DAYS and (seldom or (daily and q[P_N6H] <= BATCH_MORE * max(q[P_MOST], a_day)))


@njit
def at_its_pace(calls: Any, expected: Any, an_hour: Any) -> Any:
    """Whether an hour's window has run for a while and holds a fair part of the calls expected in it."""
    return expected >= RAN_FOR * an_hour and calls >= CAME * expected


@njit
def past_due(phases: Any, width: Any, bins: Any, start: Any, last: Any) -> Any:
    """Whether a start comes soon after a due time at which none was: a host that was down runs it when it is up."""
    slot = start // width
    behind = 1
    while phases[(slot - behind) % bins] <= 0.0:
        behind += 1
        if behind * width > PAST_DUE_US:
            return False
    # the due time may be spread over some slots
    while phases[(slot - behind - 1) % bins] > 0.0 and behind < bins:
        behind += 1
    return last < (slot - behind) * width


@njit
def _hour(at: Any) -> Any:
    return (at // HOUR_US + WEEK_OFFSET) % HOURS_A_WEEK


@njit
def silent_since(rate: Any, level: Any, last: Any, until: Any, nats: Any) -> Any:
    """When, after ``last``, a silence is strange (-1: not before ``until``), and the calls expected meanwhile.

    It is when as many calls as ``nats`` are missing, of ``level`` times those that are usual, but not sooner than
    ``LEAST_SILENCE_US``: a restart, or a batch that came sooner.
    """
    total = 0.0
    at = last
    # eight weeks: a function that is expected less often than that can't be missed
    for _ in range(8 * HOURS_A_WEEK):
        if at >= until:
            break
        border = min((at // HOUR_US + 1) * HOUR_US, until)
        per_us = level * rate[_hour(at)] / US
        step = per_us * (border - at)
        if total + step >= nats and per_us > 0.0:
            strange = max(np.int64(at + (nats - total) / per_us), last + LEAST_SILENCE_US)
            return strange if strange <= until else np.int64(-1), nats
        total += step
        at = border
    return np.int64(-1), total


@njit
def alarmed_since(alarms: Any, missed: Any, level: Any, last: Any, until: Any) -> Any:
    """When, after ``last``, what came on every day, by ``Baselines.alarms``, is missed for too long; -1: not before.

    Of a day of the week on which nothing is missed, nothing was promised. Where ``BRIEF`` times as many calls are
    missing as tell a silence, it is one from ``BRIEF_SILENCE_US`` on, else from ``LEAST_SILENCE_US`` on.
    """
    total = 0.0
    at = last
    strange = _NEVER
    for _ in range(_ALARM_QUARTERS):
        if at >= min(until, strange):
            break
        border = min((at // QUARTER_US + 1) * QUARTER_US, until)
        hour = _hour(at)
        promised = alarms[(QUARTERS if hour >= WEEKEND else 0) + at % DAY_US // QUARTER_US] / US
        per_us = min(CALMEST_DAY * level, 1.0) * promised if missed[hour] > 0.0 else 0.0
        step = per_us * (border - at)
        if total < 1.0 <= total + step:
            strange = max(np.int64(at + (1.0 - total) / per_us), last + LEAST_SILENCE_US)
        if total < BRIEF <= total + step:
            strange = min(strange, max(np.int64(at + (BRIEF - total) / per_us), last + BRIEF_SILENCE_US))
        total += step
        at = border
    return strange if strange <= until else np.int64(-1)


@njit
def level_of(calls: Any, expected: Any) -> Any:
    """How far what came in an hour lies below what was to be expected, as on a holiday: 1, or less."""
    return max(min((calls + A_FEW) / (expected + A_FEW), 1.0), LEAST_LEVEL)


@njit
def rows_of(level: Any, items: Any) -> Any:
    """A level by rows: of calls of which one in ``items`` is kept so many times fewer rows can be missing."""
    return level / max(items, 1.0)


@njit
def missed_since(missed: Any, alarms: Any, level: Any, last: Any, until: Any, nats: Any) -> Any:
    """As ``silent_since``, or sooner by ``alarmed_since``, of a function that is watched."""
    strange, total = silent_since(missed, level, last, until, nats)
    if nats < UNWATCHED:
        alarmed = alarmed_since(alarms, missed, level, last, strange if strange >= 0 else until)
        strange = alarmed if alarmed >= 0 else strange
    return strange, total


@njit
def _schedule(
    s: Any, t: Any, raw: Any, value: Any, typical: Any, start: Any, last: Any, dt: Any, failed: Any, phases: Any,
    phase_us: Any, bins: Any, phase_sum: Any,
) -> Any:  # fmt: skip
    """A start off the times that a timer keeps, or too soon after the last."""
    phase = (start // phase_us) % bins
    near = phases[phase] + phases[(phase + 1) % bins] + phases[(phase + bins - 1) % bins]
    forgets = np.exp(-dt / TAU_1D)
    s[S_OFF] *= forgets
    s[S_EXCUSED] *= forgets
    off = near <= 0.0
    if off and past_due(phases, phase_us, bins, start, last):
        s[S_EXCUSED] += 1.0
        off = s[S_EXCUSED] > EXCUSED
    if off:
        # after n starts on schedule, one off it has a chance of 1 in n + 2 (the rule of succession); each adds,
        # but for the hour by which clocks are put forward and back
        hour = HOUR_US // phase_us
        dst = phases[(phase + hour) % bins] + phases[(phase + bins - hour) % bins] > 0.0
        if not dst:
            s[S_OFF] += 1.0
        raw[F_OFF_SCHEDULE] = max(s[S_OFF], 1.0) * np.log((phases.sum() if dst else phase_sum) + 2.0)
    distance = 0
    while distance < bins // 2 and near <= 0.0:
        distance += 1
        near = phases[(phase + distance) % bins] + phases[(phase + bins - distance) % bins]
    value[F_OFF_SCHEDULE] = distance * (phase_us / US)
    gap = start - t[T_STARTED] if t[T_STARTED] > 0 else np.int64(0)
    t[T_STARTED] = start if distance == 0 and failed == 0 else 0
    if 0 < gap < TOO_SOON * s[S_LEAST_GAP] and s[S_SETTLED] >= STARTS:
        # the times it keeps never asked for a second one so soon after the first
        s[S_OFF] += 1.0
        raw[F_OFF_SCHEDULE] = max(raw[F_OFF_SCHEDULE], s[S_OFF] * np.log(phase_sum + 2.0))
        value[F_OFF_SCHEDULE], typical[F_OFF_SCHEDULE] = gap / US, s[S_LEAST_GAP] / US
    elif gap > 0:
        s[S_LEAST_TODAY] = lesser(s[S_LEAST_TODAY], float(gap))


@njit
def _started_seldom(
    s: Any, t: Any, raw: Any, value: Any, typical: Any, start: Any, dt: Any, count: Any, mean_rate: Any
) -> Any:
    """A start by the clock soon after another, of what a clock starts so seldom that its schedule is not known."""
    s[S_OFF] *= np.exp(-dt / TAU_1D)
    gap = start - t[T_STARTED] if t[T_STARTED] > 0 else np.int64(0)
    t[T_STARTED] = start
    a_day = mean_rate * (TAU_1D / US)
    if 0.0 < a_day <= A_DAY_SELDOM and 0 < gap < TOO_SOON * DAY_US:
        # where it was started at most once a day on n days, each further start has a chance of 1 in n + 2
        s[S_OFF] += 1.0
        raw[F_OFF_SCHEDULE] = s[S_OFF] * np.log(count / a_day + 2.0)
        value[F_OFF_SCHEDULE], typical[F_OFF_SCHEDULE] = gap / US, DAY_US / (a_day * US)


@njit
def _unscheduled(
    s: Any, t: Any, raw: Any, value: Any, typical: Any, unscheduled: Any, phase_sum: Any, hands: Any, now: Any
) -> Any:  # fmt: skip
    """Runs that no schedule asked for: made up for by a host that was down, or started by hand."""
    # where none was on n days, one is today with a chance below 1 in 2 n; each more adds as much as one that
    # never was in n runs, 1 in 2 n. A host that was down runs late what was due, which comes by days; what
    # somebody runs by hand comes as seldom as runs say, those of the tenant's timers together
    # and who starts it three times within minutes does so once
    s[S_BY_HAND] += 1.0
    if t[T_BY_HAND] == 0 or now - t[T_BY_HAND] > ONE_ACT_US:
        s[S_MANUAL] += 1.0
        s[S_MANUAL_TODAY] += 1.0
        t[T_BY_HAND] = now
    usual = s[S_MANUAL_SETTLED] / max(t[T_DAYS], 1)
    if s[S_MANUAL_SETTLED] > 0.0:
        raw[F_UNSCHEDULED] = pace_excess(s[S_MANUAL], usual + PACE_FLOOR)
    else:
        more = max(s[S_MANUAL] - 1.0, 0.0) * np.log(2.0 * s[S_SETTLED] + 2.0)
        never = max(t[T_DAYS], phase_sum, s[S_SETTLED]) if unscheduled == BY_HAND else t[T_DAYS]
        first = np.log(2.0 * never + 2.0)
        if unscheduled == BY_HAND:
            # somebody starts what else the tenant has, or nobody ever did
            first = min(max(first - hands[0], 0.0), hands[1])
        raw[F_UNSCHEDULED] = first + more
    value[F_UNSCHEDULED], typical[F_UNSCHEDULED] = s[S_BY_HAND], usual


@njit
def _next_day_of_function(s: Any, t: Any, today: Any) -> Any:
    """What was seen yesterday of a function becomes habit."""
    # on its first day every caller of a function is new: that is no habit
    if t[T_DAYS] >= 1:
        s[S_NEW_HABIT] = s[S_NEW_TODAY] if t[T_DAYS] == 1 else 0.6 * s[S_NEW_HABIT] + 0.4 * s[S_NEW_TODAY]
    t[T_DAYS] += 1 if t[T_DAY] > 0 else 0
    if t[T_DAY] > 0 and s[S_BUSIEST_TODAY] > 0.0:
        busiest = np.log(s[S_BUSIEST_TODAY] + BUSIEST_CALLS)
        s[S_BUSIEST_DAYS] += 1.0
        s[S_BUSIEST] += busiest
        s[S_BUSIEST_SQUARES] += busiest * busiest
    s[S_BUSIEST_TODAY] = 0.0
    s[S_NEW_TODAY] = 0.0
    s[S_SETTLED] += s[S_TODAY]
    s[S_TODAY] = 0.0
    if s[S_LEAST_TODAY] > 0.0:
        s[S_LEAST_GAP] = lesser(s[S_LEAST_GAP], s[S_LEAST_TODAY])
    s[S_MANUAL_SETTLED] += s[S_MANUAL_TODAY]
    s[S_MANUAL_TODAY] = s[S_LEAST_TODAY] = 0.0
    for high in range(H_REFUSED, S_RUN60, 4):
        next_high(s, high)
    remember_highs(s, today - t[T_DAY])
    t[T_DAY] = today


@njit
def _next_day_of_caller(s: Any, q: Any, qt: Any, today: Any) -> Any:
    """What was seen today becomes habit tomorrow, so an attack is not its own yardstick."""
    q[P_SETTLED] += q[P_TODAY]
    q[P_SETTLED_V] += q[P_TODAY_V]
    q[P_TODAY] = 0.0
    q[P_TODAY_V] = 0.0
    peak = np.log(q[P_PEAK_TODAY] + 1.0)
    # a running quantile of what callers do at their busiest, for those whose peak is not known yet
    s[S_PEAKS] += PEAK_STEP * (PEAK_SHARE if peak > s[S_PEAKS] else PEAK_SHARE - 1.0)
    q[P_FROM] = max(q[P_FROM], q[P_FROM_TODAY])
    q[P_FROM_TODAY] = 0.0
    q[P_PEAK] = max(PEAK_FADES * q[P_PEAK], q[P_PEAK_TODAY])
    q[P_PEAK_TODAY] = 0.0
    q[P_MOST] = max(PEAK_FADES * q[P_MOST], q[P_MOST_TODAY])
    q[P_MOST_TODAY] = 0.0
    qt[Q_SETTLED_DAYS] += today - qt[Q_DAY]
    qt[Q_DAY] = today


@njit
def _begin_anew(s: Any, t: Any) -> Any:
    """Windows of a function that is heard for the first time, or anew."""
    for column in range(S_MAX_GAP):
        s[column] = 0.0
    s[S_TOP] = s[S_TOP60] = s[S_TOP_DAY] = s[S_TOP_REFUSED] = s[S_TOP_RECENT] = 0.0
    s[S_ROUND] = s[S_TOP_ROUND] = s[S_RUN60] = s[S_RUNDAY] = s[S_FAULTS] = s[S_FAULTS_EW] = 0.0
    t[T_FAILING] = t[T_FAILED_IN] = t[T_STARTED] = t[T_REFUSED] = 0
    s[S_REFUSED_GAP] = s[S_REFUSING] = s[S_REFUSED_SUM] = s[S_ASKED_SUM] = s[S_ACCEPTED] = 0.0
    s[S_SLOWER] = s[S_FAILING6H] = s[S_N6H] = s[S_FEWER] = s[S_VNOW] = 0.0
    s[S_SLOW] = s[S_RUNS] = s[S_RECORDS] = s[S_LIMIT] = s[S_SLOW_LATELY] = s[S_TOP_SLOW] = s[S_SLOW60] = 0.0


@njit
def advance_functions(
    f: Any, at: Any, start: Any, pair: Any, caller: Any, ident: Any, by_place: Any, lnd: Any, failed: Any, refused: Any,
    weight: Any, version: Any, host: Any, operation: Any, dequeue: Any, unscheduled: Any, by_clock: Any, late: Any,
    signature: Any, sampled: Any, quantiles: Any, tail_high: Any, tail_low: Any, longest: Any,
    longest_alike: Any, count: Any, spread: Any, cold_extra: Any, failure_rate: Any, refusal_rate: Any, rate: Any,
    mean_rate: Any, max_rate: Any, missed: Any, steady: Any, unnoticed: Any, dispersion: Any, between_days: Any,
    day_spread: Any, waves: Any, mean_ms: Any, square_ms: Any, phases: Any, phase_us: Any, phase_count: Any,
    phase_sum: Any, hands: Any, known: Any, silence_nats: Any, alarms: Any, levels: Any, state: Any, times: Any,
    hosts: Any, host_since: Any, operations: Any,
    app: Any, app_state: Any, app_last: Any, app_rate: Any, app_missed: Any, app_alarms: Any,
    app_armed: Any, country_row: Any, lands: Any, land_day: Any, foreign: Any, pair_state: Any,
    pair_times: Any, raw: Any, value: Any, typical: Any, cold: Any, pair_age: Any, arrived_with: Any, peak_habit: Any,
    refused_as_usual: Any, deployed: Any, quiet_function: Any, quiet_at: Any, quiet_since: Any, quiet_until: Any,
) -> Any:  # fmt: skip
    """Advance every function through its events (sorted by completion); fills ``raw``, ``value``, ``typical``: [n, 29].

    Returns the number of silences written to ``quiet_*``: whose (of an app its number, beyond all functions'), when it
    became strange (-1: it was told before), the last event before and the first after. Columns are those of
    ``features.FUNCTION_FEATURES``.
    """
    quiet = 0
    median = _MEDIAN
    kept_s, kept_t = np.empty(FUNCTION_STATE), np.empty(FUNCTION_TIMES, np.int64)
    kept_hosts, kept_operations = np.empty(HOSTS, hosts.dtype), np.empty(OPERATIONS, operations.dtype)
    kept_since = np.empty(HOSTS, np.int64)
    kept_q, kept_qt = np.empty(PAIR_STATE), np.empty(PAIR_TIMES, np.int64)
    kept_app, kept_land = np.empty(APP_STATE), np.empty(2)
    kept_app_last, kept_app_armed, kept_land_day = np.int64(0), np.int64(0), np.int64(0)
    for i in range(f.shape[0]):
        k = f[i]
        s = state[k]
        t = times[k]
        # a late row is judged as of now, by the state as it is, and leaves it so: what came in time is judged the same
        # whether or not something comes late
        now = max(at[i], t[T_LAST]) if late[i] else at[i]
        if late[i]:
            copy_row(s, kept_s)
            copy_row(t, kept_t)
            copy_row(hosts[k], kept_hosts)
            copy_row(host_since[k], kept_since)
            copy_row(operations[k], kept_operations)
            copy_row(pair_state[pair[i]], kept_q)
            copy_row(pair_times[pair[i]], kept_qt)
            copy_row(app_state[app[k]], kept_app)
            kept_app_last, kept_app_armed = app_last[app[k]], app_armed[app[k]]
            if country_row[i] >= 0:
                copy_row(lands[country_row[i]], kept_land)
                kept_land_day = land_day[country_row[i]]
        w = weight[i]
        last = t[T_LAST]
        if last > now:
            # an older log than the state has seen: what is known stays known, windows begin anew, and of hosts and
            # messages nobody knows whether these were before or after
            for column in range(S_MAX_GAP):
                s[column] = 0.0
            hosts[k, :] = 0
            operations[k, :] = 0
            last = 0
            t[T_DEPLOYED] = t[T_HOSTS] = t[T_OLD_HOST] = t[T_REPLACED] = 0
            t[T_FIRST] = min(t[T_FIRST], now - np.int64(NEW_FUNCTION_US))
        fresh = last == 0
        dt = now - last if not fresh else 0
        # calls that are missed if they don't come, since the last
        due = 0.0
        if t[T_FIRST] == 0:
            t[T_FIRST] = now
            if not known[k]:
                # who calls a function that is new is held against those who call the others of its app
                s[S_PEAKS] = busiest_of(app[k], app, state, times)

        # expectations and windows decay to now
        if fresh:
            _begin_anew(s, t)
            # a window that has not run yet is expected to be empty
        else:
            d5, d60, dday, d15 = np.exp(-dt / TAU_5M), np.exp(-dt / TAU_1H), np.exp(-dt / TAU_1D), np.exp(-dt / TAU_15M)
            e5, e60, eday = s[S_E5] * d5, s[S_E60] * d60, s[S_EDAY] * dday
            if known[k]:
                begin = max(last, now - 6 * DAY_US)
                while begin < now:
                    border = min((begin // HOUR_US + 1) * HOUR_US, now)
                    per_us = rate[k, _hour(begin)] / US
                    a, b = now - begin, now - border
                    e5 += per_us * TAU_5M * (np.exp(-b / TAU_5M) - np.exp(-a / TAU_5M))
                    e60 += per_us * TAU_1H * (np.exp(-b / TAU_1H) - np.exp(-a / TAU_1H))
                    eday += per_us * TAU_1D * (np.exp(-b / TAU_1D) - np.exp(-a / TAU_1D))
                    due += steady[k, _hour(begin)] / US * (border - begin)
                    begin = border
                if t[T_ARMED] == PACED and max_rate[k] * (dt / US) >= 1.0:
                    level = rows_of(level_of(s[S_N60], s[S_E60]), s[S_ITEMS])
                    crossing, gap = missed_since(missed[k], alarms[k], level, last, now, silence_nats[k])
                    if crossing < 0:
                        s[S_MAX_GAP] = max(s[S_MAX_GAP], gap)
                    elif not late[i]:
                        t[T_ARMED] = HEARD
                        quiet_function[quiet] = k
                        quiet_at[quiet] = crossing
                        quiet_since[quiet], quiet_until[quiet] = last, now
                        quiet += 1
                    if crossing >= 0:
                        # that nothing came is told
                        due = s[S_FEWER] = 0.0
            s[S_E5], s[S_E60], s[S_EDAY] = e5, e60, eday
            s[S_N5] *= d5
            s[S_N60] *= d60
            s[S_NDAY] *= dday
            s[S_N15] *= d15
            s[S_F15] *= d15
            s[S_C15] *= d15
            s[S_FAULTS] *= d60
            s[S_TOP_REFUSED] *= d15
            s[S_ROUND] *= d15
            s[S_TOP_ROUND] *= d15
            s[S_COST60] *= d60
            s[S_NEW60] *= d60
            s[S_AGAIN] *= d60
            s[S_MANUAL] *= dday
            s[S_BY_HAND] *= dday
            s[S_TOP] *= d5
            s[S_TOP60] *= d60
            s[S_TOP_DAY] *= dday
            s[S_COSTDAY] *= dday
            s[S_RUN60] *= d60
            s[S_SLOW60] *= d60
            s[S_RUNDAY] *= dday
            s[S_LIMIT] *= dday
            d6 = np.exp(-dt / TAU_6H)
            s[S_SLOW] *= d6
            s[S_FAILING6H] *= d6
            s[S_N6H] *= d6
            s[S_RUNS] *= d6
            s[S_TOP_SLOW] *= d6
            s[S_RECORDS] *= d6
        if t[T_ARMED] == MISSED:
            # it was told while nothing came
            due = s[S_FEWER] = 0.0
            if not fresh and not late[i]:
                quiet_function[quiet], quiet_at[quiet] = k, np.int64(-1)
                quiet_since[quiet], quiet_until[quiet] = last, now
                quiet += 1
        t[T_LAST] = now
        t[T_ARMED] = max(t[T_ARMED], HEARD)
        s[S_N5] += w
        s[S_N60] += w
        # an hour counts in the day's sum for at most three times its habit: growth is slow, a flood is not
        s[S_NDAY] += w * (min(1.0, DAY_CAP * (s[S_E60] + PACE_FLOOR) / s[S_N60]) if known[k] else 1.0)
        s[S_N15] += w
        s[S_N6H] += w
        s[S_COUNT] += w
        s[S_TODAY] += w
        s[S_BUSIEST_TODAY] = max(s[S_BUSIEST_TODAY], s[S_N60])

        # cold start: a host not among the last seen
        is_cold = False
        if host[i] != 0:
            place = -1
            for h in range(HOSTS):
                if hosts[k, h] == host[i]:
                    place = h
                    break
            follow_hosts(s, t, place, now)
            if place < 0:
                is_cold = True
                for h in range(HOSTS - 1, 0, -1):
                    hosts[k, h] = hosts[k, h - 1]
                    host_since[k, h] = host_since[k, h - 1]
                hosts[k, 0], host_since[k, 0] = host[i], now
            else:
                # whoever called before the first was answered waited for the host, too
                is_cold = start[i] < host_since[k, place]
        cold[i] = is_cold
        # two versions are remembered: during a roll-out old and new hosts answer side by side
        if version[i] != 0 and version[i] != t[T_VERSION] and version[i] != t[T_VERSION_BEFORE]:
            if t[T_VERSION] != 0:
                t[T_DEPLOYED] = now
            t[T_VERSION_BEFORE] = t[T_VERSION]
            t[T_VERSION] = version[i]
        deployed[i] = now - t[T_DEPLOYED] if t[T_DEPLOYED] > 0 else np.int64(-1)
        if version[i] == 0 and t[T_REPLACED] > 0 and s[S_REPLACED] < OFTEN_REPLACED:
            deployed[i] = BY_HOSTS - (now - t[T_REPLACED])
        # the caller at this function
        q = pair_state[pair[i]]
        qt = pair_times[pair[i]]
        today = now // DAY_US
        if qt[Q_FIRST] != 0 and qt[Q_LAST] > now:
            # an older log: whoever is known stays known
            qt[Q_FIRST] = min(qt[Q_FIRST], now - np.int64(NOVEL_US))
        remembered_us = remembered_days(qt[Q_SETTLED_DAYS], q[P_SETTLED] + q[P_TODAY]) * DAY_US
        if qt[Q_FIRST] != 0 and now - qt[Q_LAST] > remembered_us:
            qt[Q_FIRST] = 0
        if qt[Q_FIRST] == 0:
            for column in range(PAIR_STATE):
                q[column] = 0.0
            qt[Q_FIRST] = now
            qt[Q_LAST] = now
            qt[Q_DAY] = today
            qt[Q_SETTLED_DAYS] = 0
        age = now - qt[Q_FIRST]
        if today > t[T_DAY]:
            _next_day_of_function(s, t, today)
        elif not known[k] and t[T_DAYS] == 0 and last > 0 and last // HOUR_US < now // HOUR_US:
            # of a function that is new an hour says what a day says of others
            next_high(s, H_NEWCOMER)
        if age < 0:
            age = np.int64(NOVEL_US)
        if today > qt[Q_DAY]:
            _next_day_of_caller(s, q, qt, today)
        gone = now - qt[Q_LAST]
        if gone < 0:
            for column in (P_N5, P_N60, P_N6H, P_SLOWLY, P_V, P_VVAR, P_ROUND, P_DELAYED, P_SIGN, P_REFUSED):
                q[column] = 0.0
            gone = 0
        q[P_N5] = q[P_N5] * np.exp(-gone / TAU_5M) + w
        q[P_N60] = q[P_N60] * np.exp(-gone / TAU_1H) + w
        fading = np.exp(-gone / TAU_6H)
        q[P_N6H] = q[P_N6H] * fading + w
        # what comes at once is told by the pace: it counts as far as an hour may hold of what goes on for several
        an_hour = HOUR_OF_VOLUME if by_place[i] else HOUR_OF_OWN_VOLUME
        slowly = q[P_N60] <= an_hour * (q[P_MOST] + VOLUME_FLOOR)
        q[P_SLOWLY] = q[P_SLOWLY] * fading + (w if slowly else 0.0)
        q[P_PEAK_TODAY] = max(q[P_PEAK_TODAY], q[P_N5])
        q[P_MOST_TODAY] = max(q[P_MOST_TODAY], q[P_N6H])
        slow_decay = np.exp(-gone / TAU_30M)
        q[P_REFUSED] *= np.exp(-gone / TAU_15M)
        q[P_ROUND] *= slow_decay
        q[P_DELAYED] *= slow_decay
        q[P_SIGN] *= slow_decay
        q[P_TODAY] += w
        qt[Q_LAST] = now
        pair_age[i] = age
        identified = ident[i] and not sampled[i]
        is_new = identified and age < NEW_FOR_US

        bend = 1.0
        if known[k] and mean_rate[k] > 0.0:
            bend = min(max(rate[k, _hour(now)] / mean_rate[k], 0.2), 5.0)
        habit = 0.0
        if qt[Q_SETTLED_DAYS] > 0:
            habit = q[P_SETTLED] / qt[Q_SETTLED_DAYS] * (TAU_5M / TAU_1D) * bend
        # how much this event takes part in what the function's windows show
        part = 1.0
        if identified:
            part = min(max((q[P_N5] / (habit + PACE_FLOOR) - 1.0) / 2.0, 0.0), 1.0)
            if is_new:
                part = max(part, 0.5)
            part = max(part, 0.05)

        if ident[i]:
            beyond_habit = max(q[P_N6H], q[P_TODAY]) - q[P_SETTLED] / max(qt[Q_SETTLED_DAYS], 1)
            s[S_TOP_DAY] = max(s[S_TOP_DAY], beyond_habit)
        batch = identified and not by_place[i] and sends_again(q, qt[Q_SETTLED_DAYS])

        # one caller that makes most of the calls, in a sample, too: what it does is not the others' doing
        if ident[i]:
            if caller[i] == t[T_TOP] or q[P_N5] > s[S_TOP]:
                s[S_TOP] = q[P_N5]
                t[T_TOP] = caller[i]
            elif s[S_N5] > 0.0:
                part *= max(1.0 - 1.2 * s[S_TOP] / s[S_N5], 0.0)
        # nor is what it did in the hour, when it may have stopped
        hour_calls = s[S_N60]
        wave = waves[k, now // HOUR_US % waves.shape[1]] if known[k] else 0.0
        if ident[i]:
            if caller[i] == t[T_TOP60] or q[P_N60] > s[S_TOP60]:
                s[S_TOP60] = q[P_N60]
                t[T_TOP60] = caller[i]
            else:
                hour_calls = max(s[S_N60] - s[S_TOP60], w)
        # what is sampled at all may soon be sampled again
        s[S_ITEMS] = max(w, 0.5 * (s[S_ITEMS] + w))

        # the app: a campaign lifts all its functions, a flood one of them
        a = app[k]
        lift5, lift60 = 1.0, 1.0
        gap_app = now - app_last[a] if 0 < app_last[a] <= now else 0
        if app_last[a] == 0 or app_last[a] > now:
            for column in range(APP_STATE):
                app_state[a, column] = 0.0
        else:
            if not late[i]:
                crossing = np.int64(-1)
                if app_armed[a] == PACED and gap_app >= BRIEF_SILENCE_US:
                    # by its windows as they were when it was heard last
                    level = level_of(app_state[a, A_N60], app_state[a, A_E60])
                    crossing = alarmed_since(app_alarms[a], app_missed[a], level, app_last[a], now)
                if crossing >= 0 or app_armed[a] == MISSED:
                    quiet_function[quiet], quiet_at[quiet] = state.shape[0] + a, crossing
                    quiet_since[quiet], quiet_until[quiet] = app_last[a], now
                    quiet += 1
                    app_armed[a] = HEARD
            f5, f60 = np.exp(-gap_app / TAU_5M), np.exp(-gap_app / TAU_1H)
            per_us = app_rate[a, _hour(now)] / US
            app_state[a, A_N5] *= f5
            app_state[a, A_N60] *= f60
            app_state[a, A_NEW60] *= f60
            app_state[a, A_E5] = app_state[a, A_E5] * f5 + per_us * TAU_5M * (1.0 - f5)
            app_state[a, A_E60] = app_state[a, A_E60] * f60 + per_us * TAU_1H * (1.0 - f60)
        app_last[a] = now
        app_armed[a] = max(app_armed[a], HEARD)
        if known[k]:
            app_state[a, A_N5] += w
            app_state[a, A_N60] += w
            others, usual_others = app_state[a, A_N5] - s[S_N5], app_state[a, A_E5] - s[S_E5]
            lift5 = min(max(busier_than(others, usual_others), 1.0), MAX_LIFT)
            others, usual_others = app_state[a, A_N60] - s[S_N60], app_state[a, A_E60] - s[S_E60]
            busier60 = busier_than(others, usual_others)
            lift60 = min(max(busier60, 1.0), MAX_LIFT)
            hour = _hour(now)
            if at_its_pace(app_state[a, A_N60], app_state[a, A_E60], 3600.0 * app_rate[a, hour]):
                app_armed[a] = PACED
                if at_its_pace(s[S_N60], s[S_E60], 3600.0 * rate[k, hour]):
                    t[T_ARMED] = PACED
            a_day = mean_rate[k] * (TAU_1D / US)
            if a_day < SELDOM and s[S_EDAY] >= RAN_FOR * a_day:
                t[T_ARMED] = PACED
            # fewer calls than usual, where neither the app has fewer nor the day had
            level = min(busier60, 1.0) * min((s[S_NDAY] + DAY_FLOOR) / (s[S_EDAY] + DAY_FLOOR), 1.0)
            each = min(CALLS_TOLD / (3600.0 * steady[k, hour] + 1e-9), 1.0 / max(dispersion[k], between_days[k]))
            s[S_FEWER] += each * (DUE_CLAIMS * level * due - CAME_CLAIMS * w)
            s[S_FEWER] = min(max(s[S_FEWER], 0.0), MOST_FEWER)
            # what has come back is told no longer
            surely = level * s[S_E60] * min(steady[k, hour] / (rate[k, hour] + 1e-12), 1.0)
            came = (s[S_N60] + PACE_FLOOR) / (surely + PACE_FLOOR)
            raw[i, F_FEWER_CALLS] = s[S_FEWER] * min(max((STILL_FEWER - came) / (STILL_FEWER - SURELY_FEWER), 0.0), 1.0)
            value[i, F_FEWER_CALLS], typical[i, F_FEWER_CALLS] = s[S_N60], level * s[S_E60]

        # run time against the function's own distribution
        v = 0.0
        if not np.isnan(lnd[i]):
            # a cold start explains that a run takes longer, and none that ends sooner
            slow_start = min(cold_extra[k], max(lnd[i] - quantiles[k, median], 0.0)) if is_cold else 0.0
            x = lnd[i] - slow_start
            u, above, below = position(x, quantiles[k], levels, tail_high[k], tail_low[k])
            v = min(max(normal_quantile(u), -4.0), 4.0)
            ms = np.exp(lnd[i])
            usual_ms = np.exp(quantiles[k, median])
            # what takes half as long again once is no news, however even the runs were
            far = min(max((x - quantiles[k, median]) / FAR, 0.0), 1.0)
            raw[i, F_DURATION_HIGH] = far * max(-above - 0.7, 0.0)
            # few runs of what keeps a schedule say how far the next may be
            regular = by_clock[i] and phase_us[k] > 0 and known[k]
            if regular and ms > usual_ms + FAR_MS:
                raw[i, F_DURATION_HIGH] = max(
                    raw[i, F_DURATION_HIGH], far * outlier(x, mean_ms[k], square_ms[k], count[k], 1.0)
                )
            # what fails or is refused ends sooner, which is told by that
            raw[i, F_DURATION_LOW] = max(-below - 0.7, 0.0) if v < 0.0 and failed[i] == 0 and refused[i] == 0 else 0.0
            if regular and failed[i] == 0 and usual_ms > ms + FAR_MS:
                sooner = min(max((quantiles[k, median] - x) / FAR, 0.0), 1.0)
                raw[i, F_DURATION_LOW] = max(
                    raw[i, F_DURATION_LOW], sooner * outlier(x, mean_ms[k], square_ms[k], count[k], -1.0)
                )
            # a function seen rarely breaks its record often
            if known[k] and x > longest[k]:
                # what hangs is given up after as long at any function; what outlasts all of its kind is another matter
                beyond = x - longest[k] + BEYOND_ALL * max(x - longest_alike[k] - FAR, 0.0)
                beyond *= count[k] / (count[k] + RECORD_EVENTS)
                s[S_RECORDS] += beyond
                # a run a little longer than ever, hours after some that were far longer, is not one more of them
                raw[i, F_DURATION_RECORD] = far * min(s[S_RECORDS], RECORDS_ALIKE * beyond)
            value[i, F_DURATION_RECORD], typical[i, F_DURATION_RECORD] = ms, np.exp(longest[k])
            # some runs far longer for hours move no average
            s[S_RUNS] += 1.0
            newest = max(LATELY, 1.0 / s[S_RUNS])
            s[S_SLOW_LATELY] *= 1.0 - newest
            if u >= LONG_RUN:
                # what was slow hours ago, and is no more, has ended: it counts as far as the last runs still agree, of
                # which one may always be long
                lately = max(s[S_SLOW_LATELY] - newest, 0.0) * s[S_RUNS]
                # an hour of which all runs are slow counts for no more than one of which some are, nor does a flood
                runs = min(s[S_N60], BUSY_HOUR * s[S_E60])
                counted = min(max(MOST_LONG * runs + SOME_LONG - s[S_SLOW60], 0.0), 1.0)
                s[S_SLOW60] += counted
                s[S_SLOW] += counted
                s[S_SLOW_LATELY] += newest
                slow_runs = s[S_SLOW]
                if ident[i]:
                    # what one caller waits for is its own story
                    made_most(s, t, S_TOP_SLOW, T_TOP_SLOW, caller[i], counted)
                    slow_runs = max(s[S_SLOW] - s[S_TOP_SLOW], 0.0) + 1.0
                raw[i, F_LONG_RUNS] = (
                    binomial_excess(min(slow_runs, lately), s[S_RUNS], LONG_SHARE) if known[k] else 0.0
                )
            value[i, F_LONG_RUNS], typical[i, F_LONG_RUNS] = s[S_SLOW], s[S_RUNS] * (1.0 - LONG_RUN)
            # cut off at a limit, where none of n runs came near it: after n, one has a chance of 1 in n + 2
            within = max(LIMIT_WITHIN_MS, LIMIT_WITHIN * ms)
            cut_off = failed[i] == 1 and ms >= LIMIT_MS and ms % LIMIT_MS <= within
            # of few runs the longest known is reckoned rather than seen; runs of all that keep schedules count together
            record_ms = np.exp(longest[k])
            if count[k] < MANY_SEEN:
                scatter = np.sqrt(max(square_ms[k] - mean_ms[k] * mean_ms[k], 0.0))
                record_ms = min(record_ms, mean_ms[k] + TAKES_SCATTERS * scatter)
            if known[k] and cut_off and record_ms < SHORT_OF_LIMIT * ms:
                s[S_LIMIT] += 1.0
                runs = max(count[k], phase_sum[k]) if by_clock[i] else count[k]
                raw[i, F_TIME_LIMIT] = s[S_LIMIT] * np.log(runs + 2.0)
            value[i, F_TIME_LIMIT], typical[i, F_TIME_LIMIT] = s[S_LIMIT], count[k]
            for column in (F_DURATION_HIGH, F_DURATION_LOW):
                value[i, column] = ms
                typical[i, column] = usual_ms
            # how slow it was before a long rest says little of how it is now
            rested = FAST * mean_rate[k] * (dt / US) - 1.0 if known[k] and dt > HOUR_US else 0.0
            stays = (1.0 - FAST) * np.exp(-max(rested, 0.0))
            s[S_VFAST] = stays * s[S_VFAST] + v
            s[S_WFAST] = stays * stays * s[S_WFAST] + 1.0
            s[S_VNOW] = (1.0 - NOW) * np.exp(-max(rested, 0.0)) * s[S_VNOW] + v
            s[S_VSLOW] = (1.0 - SLOW) * s[S_VSLOW] + v
            s[S_WSLOW] = (1.0 - SLOW) * (1.0 - SLOW) * s[S_WSLOW] + 1.0
            zf = drift(s[S_VFAST], s[S_WFAST], min(s[S_COUNT], 1.0 / FAST))
            zs = drift(s[S_VSLOW], s[S_WSLOW], min(s[S_COUNT], 1.0 / SLOW))
            anew = fresh or s[S_LOGFAST] == 0.0 or rested > 3.0
            s[S_LOGFAST] = lnd[i] if anew else s[S_LOGFAST] + FAST * (lnd[i] - s[S_LOGFAST])
            # the slow average remembers: it counts as far as the fast one still agrees
            z = max(zf, min(zs, 3.0 * zf))
            # where runs take one of two times, more of them than usual may take the longer
            more = _MORE_SLOWER if u >= SLOWER_RUN else _FEWER_SLOWER
            s[S_SLOWER] = min(max(s[S_SLOWER] * np.exp(-max(rested, 0.0)) + more, 0.0), MOST_SLOWER)
            # what others of its kind take says where a new function may lie, not where it has moved from
            if v > 0.0 and z > 0.0 and known[k]:
                # a tenth slower may be told from chance where all runs take the same, but is nothing to be called for
                slower = s[S_LOGFAST] - quantiles[k, median]
                claims = 0.5 * z * z * min(max((slower - LEAST_SLOWER) / MORE_SLOWER, 0.0), 1.0)
                # how surely it is slower says nothing of how much
                claims *= min(max(slower / THREE_TIMES, 1.0), MOST_SLOWLY)
                of_two = min(max((slower - LEAST_OF_TWO) / MORE_OF_TWO, 0.0), 1.0)
                # the fast one remembers, too: a run that takes as long as ever after a few long ones is none of them
                goes_on_now = min(max(s[S_VNOW] - NOT_OVER, 0.0), 1.0)
                goes_on_now *= min(max((np.exp(s[S_LOGFAST]) - usual_ms) / NOTICED_MS, 0.0), 1.0)
                raw[i, F_LATENCY_SHIFT] = (
                    max(claims, s[S_SLOWER] * min(zf, 1.0) * of_two) * min(v, 1.0) ** 2 * goes_on_now
                )
            # a little faster is good news; work that is skipped is not, and where next to nothing is left of it a few
            # runs tell
            faster = quantiles[k, median] - s[S_LOGFAST]
            z = max(min(-zs, -3.0 * zf), -zf * min(max(quantiles[k, median] - x - FAR_FASTER, 0.0), 1.0))
            if v < 0.0 and z > 0.0 and known[k]:
                raw[i, F_LATENCY_DROP] = 0.25 * z * z * min(-v, 1.0) * min(max(faster - 0.7, 0.0), 1.0)
            for column in (F_LATENCY_SHIFT, F_LATENCY_DROP):
                value[i, column] = np.exp(s[S_LOGFAST])
                typical[i, column] = usual_ms
            # one run away from all others is no rise of the bill: it counts as much as the longest usual one
            cost = w * min(ms, np.exp(quantiles[k, quantiles.shape[1] - 1])) / 1000.0
            s[S_COST60] += cost
            s[S_RUN60] += w * ms / 1000.0
            s[S_RUNDAY] += w * ms / 1000.0
            usual_cost = (s[S_E60] + PACE_FLOOR) * mean_ms[k] / 1000.0
            s[S_COSTDAY] += cost * (
                min(1.0, DAY_CAP * usual_cost / s[S_COST60]) if known[k] and s[S_COST60] > 0.0 else 1.0
            )
            if known[k]:
                mean_s, square_s = mean_ms[k] / 1000.0, square_ms[k] / 1e6
                hour_cost = s[S_COST60] * hour_calls / s[S_N60]
                hour_s = (s[S_E60] + PACE_FLOOR) * mean_s + HOUR_SECONDS
                again_s = high_again(s, H_COST60, hour_cost - hour_s, hour_s, campaign_of(s, lift60))
                for column, paid, ran, calls, more_s in (
                    (F_COST_HOUR, hour_cost, s[S_RUN60] * hour_calls / s[S_N60], max(s[S_E60], wave), again_s),
                    (F_COST_DAYS, s[S_COSTDAY], s[S_RUNDAY], s[S_EDAY], 0.0),
                ):
                    expected_s = calls * mean_s + more_s
                    spread_s = np.sqrt(dispersion[k] * (calls + PACE_FLOOR) * square_s) + 0.2 * expected_s
                    # seconds that nobody would notice on a bill
                    spread_s += HOUR_SECONDS if column == F_COST_HOUR else DAY_SECONDS
                    excess = paid - expected_s - mean_s
                    if excess > 0.0 and v > 1.0:
                        # one run away from all others must not speak for its neighbours
                        window = hour_calls if column == F_COST_HOUR else s[S_NDAY]
                        # nor must yesterday's bill, once the last hour is back to what is usual
                        going_on = goes_on(hour_cost, s[S_E60] * mean_s + mean_s)
                        if s[S_E5] > 0.0 and cost < 3.0 * mean_s:
                            # where runs are as long as ever, the bill rises by their number only while it is high
                            going_on *= goes_on(s[S_N5], s[S_E5] + GOING_FLOOR)
                        takes_part = max(part, min(max(cost / mean_s - 1.0, 0.0) / 4.0, 1.0))
                        over = excess / spread_s * min(1.0, cost * window / excess) * going_on * takes_part
                        # a rare long run of a cheap function is hundreds of deviations away: only their order matters
                        raw[i, column] = COST_BEND * np.log(1.0 + over / COST_BEND)
                    value[i, column] = max(ran, paid)
                    typical[i, column] = expected_s

            # this caller's run times against its own and the function's
            settled = q[P_SETTLED_V] / (q[P_SETTLED] + 10.0)
            # that all are slow excuses each; that many are quick, as who is refused is, makes nobody slow
            common = s[S_VSLOW] * SLOW if s[S_WSLOW] > 30.0 else 0.0
            own = v - settled - min(max(common, 0.0), 1.0)
            # calls of one moment meet the same moment: together they count for one
            apart = 1.0 if age == 0 else min(max(gone / APART_US, OF_ONE_MOMENT), 1.0)
            kept = 1.0 - 0.125 * apart
            q[P_V] = kept * q[P_V] + apart * own
            q[P_VVAR] = kept * kept * q[P_VVAR] + apart
            q[P_TODAY_V] += v * w
            zp = drift(q[P_V], q[P_VVAR], 8.0)
            if identified and zp > 0.0 and own > 0.0:
                raw[i, F_CALLER_SLOW_HERE] = 0.5 * zp * zp
            value[i, F_CALLER_SLOW_HERE] = ms
            typical[i, F_CALLER_SLOW_HERE] = usual_ms
            delay = (ms - usual_ms) / 1000.0
            whole = np.round(delay)
            delayed = v > 1.2 and whole >= 1.0 and whole <= PUT_IN_S and spread[k] < 400.0 and identified
            tolerance = 40.0 + 0.25 * spread[k]
            # runs that are slower by about a second are just slow, unless they are slower by very nearly that
            if delayed and tolerance <= ROUND_WITHIN * whole:
                q[P_DELAYED] += 1.0
                # crafted input waits beside the work, or in its stead
                near = min(2.0 * tolerance / 1000.0, 1.0)
                if off_second(usual_ms) >= tolerance:
                    chance = max(EITHER_CHANCE, 1.0 - (1.0 - near) ** 2)
                else:
                    chance = max(ROUND_CHANCE, near)
                if min(abs(delay - whole) * 1000.0, off_second(ms)) < tolerance:
                    q[P_ROUND] += 1.0
                    s[S_ROUND] += 1.0
                    # where others wait for as round a time it is a time-out that they share, and nobody's probe
                    mine = s[S_TOP_ROUND] if made_most(s, t, S_TOP_ROUND, T_TOP_ROUND, caller[i], 1.0) else 1.0
                    others = max(s[S_ROUND] - mine, 0.0)
                    raw[i, F_ROUND_SECONDS] = binomial_excess(q[P_ROUND], q[P_DELAYED], chance) / (1.0 + others)
            value[i, F_ROUND_SECONDS] = q[P_ROUND]

        # errors: only an event that failed carries the evidence of a burst of failures
        p = failure_rate[k]
        value[i, F_FAILURE_BURST], typical[i, F_FAILURE_BURST] = s[S_F15] + (w if failed[i] == 1 else 0.0), s[S_N15] * p
        s[S_FEW] = (1.0 - FAST) * s[S_FEW] + (1.0 if failed[i] == 1 else 0.0)
        s[S_FAULTS_EW] *= 1.0 - FAST
        if refused[i] > 0:
            since_refused = now - t[T_REFUSED]
            if t[T_REFUSED] != 0 and since_refused > max(HOUR_US, REFUSED_RESTS * s[S_REFUSED_GAP]):
                # what is refused when nothing was for long is no part of what went on, few as the calls in between are
                s[S_CEW] = s[S_TOP_RECENT] = s[S_REFUSING] = 0.0
            if t[T_REFUSED] != 0:
                s[S_REFUSED_GAP] = max(0.5 * s[S_REFUSED_GAP], since_refused)
            t[T_REFUSED] = now
        s[S_CEW] = (1.0 - FAST) * s[S_CEW] + (1.0 if refused[i] > 0 else 0.0)
        s[S_TOP_RECENT] *= 1.0 - FAST
        recent = min(s[S_COUNT], 1.0 / FAST)
        tries = 1.0
        if failed[i] == 1:
            if not ident[i] and operation[i] != 0:
                # the same message fails again: it comes back
                slot = FAILED_OPERATIONS - 1
                for h in range(FAILED_OPERATIONS):
                    if operations[k, h] == operation[i]:
                        slot = h
                        tries = float(operations[k, FAILED_OPERATIONS + h]) + 1.0
                        s[S_AGAIN] += w
                        break
                for h in range(slot, 0, -1):
                    operations[k, h] = operations[k, h - 1]
                    operations[k, FAILED_OPERATIONS + h] = operations[k, FAILED_OPERATIONS + h - 1]
                operations[k, 0] = operation[i]
                operations[k, FAILED_OPERATIONS] = np.uint64(tries)
            s[S_F15] += w
            if now - t[T_FAILING] >= ONE_FAULT_US:
                t[T_FAILING] = now
                s[S_FAULTS] += 1.0
                s[S_FAULTS_EW] += 1.0
            if now // QUARTER_US > t[T_FAILED_IN]:
                if now // QUARTER_US > t[T_FAILED_IN] + FAILS_AGAIN:
                    # what fails hours after all else has failed is no part of what went on
                    s[S_FAILING6H] = 0.0
                t[T_FAILED_IN] = now // QUARTER_US
                s[S_FAILING6H] += 1.0
            # a row that stands for several is seen once
            by_time, by_calls = binomial_excess(s[S_F15], s[S_N15], p) / w, binomial_excess(s[S_FEW], recent, p)
            raw[i, F_FAILURE_BURST] = max(by_time, by_calls)
            if by_calls > by_time:
                value[i, F_FAILURE_BURST], typical[i, F_FAILURE_BURST] = s[S_FEW], recent * p
            # a batch that fails at once, and goes well when it is tried again, is one fault; one that goes on is many
            raw[i, F_FAILURE_BURST] = min(raw[i, F_FAILURE_BURST], FAULT_CLAIMS * max(s[S_FAULTS], s[S_FAULTS_EW]))
            if s[S_F15] <= w and s[S_FEW] <= 1.0:
                # one failure in so many is all that it claims: surprise may go twice as far
                raw[i, F_FAILURE_BURST] *= 0.5
            if known[k] and s[S_FAILING6H] >= FAILED_FOR_HOURS:
                # a few an hour, for hours
                for_hours = binomial_excess(s[S_FAILING6H], s[S_N6H], p) - ANOTHER_LOOK
                if for_hours > raw[i, F_FAILURE_BURST]:
                    raw[i, F_FAILURE_BURST], value[i, F_FAILURE_BURST], typical[i, F_FAILURE_BURST] = (
                        for_hours,
                        s[S_FAILING6H],
                        s[S_N6H] * p,
                    )
        often, ones_doing, c = usual_high(s, H_REFUSED), False, refusal_rate[k]
        value[i, F_CLIENT_ERROR_BURST] = s[S_C15] + (w if refused[i] > 0 else 0.0)
        typical[i, F_CLIENT_ERROR_BURST] = max(s[S_N15] * c, min(often, s[S_N15]))
        if refused[i] > 0:
            s[S_C15] += w
            in_time, in_calls = s[S_C15], s[S_CEW]
            if ident[i]:
                # one caller that is refused again and again says nothing about the next one's typing error
                q[P_REFUSED] += w
                if caller[i] == t[T_TOP_REFUSED] or q[P_REFUSED] > s[S_TOP_REFUSED]:
                    s[S_TOP_REFUSED] = q[P_REFUSED]
                    t[T_TOP_REFUSED] = caller[i]
                    # whoever forgets a password is refused a few times
                    typed = min(q[P_REFUSED] - w, TYPOS)
                    in_time, in_calls = max(s[S_C15] - typed, w), max(s[S_CEW] - typed, 1.0)
                else:
                    in_time = max(s[S_C15] - s[S_TOP_REFUSED], w)
                # where calls are few, the last sixteen go back a long way: it stays the doing of who did it
                ones_doing = made_most(s, t, S_TOP_RECENT, T_TOP_RECENT, caller[i], 1.0)
                if not ones_doing:
                    in_calls = min(in_calls, max(s[S_CEW] - s[S_TOP_RECENT], 1.0))
                refused_as_usual[i] = q[P_REFUSED] <= usual_high(s, H_ONE_REFUSED)
                s[H_ONE_REFUSED] = max(s[H_ONE_REFUSED], q[P_REFUSED])
            s[H_REFUSED] = max(s[H_REFUSED], in_time)
            by_time = binomial_excess(in_time, s[S_N15], max(c, min(often / s[S_N15], 1.0))) / w
            by_calls = binomial_excess(in_calls, recent, max(c, min(often / recent, 1.0)))
            raw[i, F_CLIENT_ERROR_BURST] = max(by_time, by_calls)
            if by_calls > by_time:
                value[i, F_CLIENT_ERROR_BURST], typical[i, F_CLIENT_ERROR_BURST] = (
                    s[S_CEW],
                    max(recent * c, min(often, recent)),
                )
            raw[i, F_CLIENT_ERROR_BURST] *= claims_of(refused[i])
        if known[k] and (refused[i] > 0 or s[S_REFUSING] > 0.0):
            # more of the calls than usual are refused, whoever makes them, for hours
            usually = min(max(c, LEAST_REFUSED), 0.5)
            rather = min(REFUSED_TIMES * usually + REFUSED_MORE, 0.5 * (1.0 + usually))
            each = min(ASKED_AN_HOUR * w / s[S_N60], 1.0)
            # what has ended is over at once, however much it was
            since = min(max(s[S_REFUSED_SUM] / max(s[S_ASKED_SUM], 1.0), rather), ALL_BUT_ALL)
            again = np.log(usually / since) if refused[i] > 0 else np.log((1.0 - usually) / (1.0 - since))
            s[S_ACCEPTED] = max(s[S_ACCEPTED] + again, 0.0) if s[S_REFUSING] > 0.0 else 0.0
            if s[S_ACCEPTED] > ACCEPTED_AGAIN:
                s[S_REFUSING] = 0.0
            if refused[i] == 0:
                s[S_REFUSING] += each * np.log((1.0 - rather) / (1.0 - usually))
            elif not (ones_doing and s[S_TOP_RECENT] > ONES_DOING):
                if s[S_REFUSING] == 0.0:
                    s[S_REFUSED_SUM] = s[S_ASKED_SUM] = 0.0
                    t[T_REFUSING] = now
                claims = np.log(rather / usually)
                # as many as an hour counts, by the time that it goes on
                lasts = max(now - t[T_REFUSING], 0)
                most = claims * (1.0 + ASKED_AN_HOUR * lasts / HOUR_US)
                s[S_REFUSING] = min(s[S_REFUSING] + each * claims, most)
                s[S_REFUSED_SUM] += w
                # the last sixteen say whether it goes on; this call says nothing of that
                still = (s[S_CEW] - 1.0 - usually * recent) / (0.5 * rather * recent)
                # what is refused within minutes is told as a burst
                raw[i, F_REFUSED_HOURS] = s[S_REFUSING] * min(max(still, 0.0), 1.0) * min(lasts / REFUSED_LASTS_US, 1.0)
            s[S_REFUSING] = min(max(s[S_REFUSING], 0.0), MOST_REFUSING)
            s[S_ASKED_SUM] += w
            value[i, F_REFUSED_HOURS], typical[i, F_REFUSED_HOURS] = s[S_REFUSED_SUM], c * s[S_ASKED_SUM]

        # pace
        usual5, usual60, again5, again60, now_on, in_hour = s[S_E5], s[S_E60], 0.0, 0.0, 1.0, hour_calls
        if known[k] and not fresh:
            phi = dispersion[k]
            few5, few60 = max(PACE_FLOOR, unnoticed[k] * TAU_5M / TAU_1H), max(PACE_FLOOR, unnoticed[k])
            # a batch that comes at this hour of most days is none that came today
            expected5, expected60 = max(s[S_E5] * lift5, wave) + few5, max(s[S_E60] * lift60, wave) + few60
            again5 = high_again(s, H_CALLS5, s[S_N5] - expected5, s[S_E5] + few5, campaign_of(s, lift5))
            again60 = high_again(s, H_CALLS60, hour_calls - expected60, s[S_E60] + few60, campaign_of(s, lift60))
            usual5, usual60 = max(s[S_E5], wave) + again5, max(s[S_E60], wave) + again60
            # a batch that its caller sent before is no load of the function
            of_batch5, of_batch60 = (q[P_N5], q[P_N60]) if batch else (0.0, 0.0)
            calls5 = max(s[S_N5] - of_batch5, w)
            raw[i, F_PACE_MINUTES] = clumped_excess(calls5, expected5 + again5, phi) * part
            # an hour's sum remembers a flood that has ended, and a day's sum long after
            now_on = goes_on(s[S_N5], s[S_E5] * lift5 + GOING_FLOOR)
            # what one caller does now is its own part of the hour, and does not vouch for what others did in it
            own5, own60 = (q[P_N5], q[P_N60]) if ident[i] else (0.0, 0.0)
            # nor is what it did an hour ago and does no longer
            lately = AT_THIS_PACE * max(s[S_N5] - own5, 0.0) + min(own60, AT_THIS_PACE * own5)
            in_hour = min(hour_calls, lately)
            lately = max(in_hour - of_batch60, w)
            claims = clumped_excess(lately, expected60 + again60, phi)
            raw[i, F_PACE_HOUR] = max(claims, beyond_busiest(s, lately / lift60)) * part * now_on
            going_on = goes_on(hour_calls, s[S_E60] * lift60 + PACE_FLOOR) * now_on
            in_day = 1.0
            if identified:
                in_six = q[P_N6H] / (habit * (TAU_6H / TAU_5M) + PACE_FLOOR)
                in_day = min(max((in_six - 1.0) / GROWN_PART, 0.0), 0.5 if is_new else 1.0)
            # what one caller brings beyond its habit is its own story
            beside = max(s[S_NDAY] - s[S_TOP_DAY], 0.0)
            clump = max(phi, between_days[k])
            by_days = day_excess(beside, s[S_EDAY] * lift60, day_spread[k, 0], day_spread[k, 1], clump)
            raw[i, F_GROWTH_DAYS] = by_days * in_day * going_on
        value[i, F_PACE_MINUTES], typical[i, F_PACE_MINUTES] = s[S_N5], usual5
        value[i, F_PACE_HOUR], typical[i, F_PACE_HOUR] = in_hour, usual60
        value[i, F_GROWTH_DAYS], typical[i, F_GROWTH_DAYS] = s[S_NDAY], s[S_EDAY]

        # who
        if identified:
            if age < NOVEL_US:
                # who came with a function that is new is not new to it
                since_us = NOVEL_US if known[k] else min(max(now - t[T_FIRST], 1), NOVEL_US)
                raw[i, F_CALLER_NEW_TO_FUNCTION] = max(np.log(since_us / (age + NOVEL_FLOOR_US)), 0.0)
                if known[k] and not by_place[i] and t[T_DAYS] >= OPEN_DAYS:
                    # where somebody new comes every day it is no news, and where nobody did as rare as all calls say
                    came = s[S_NEW_HABIT] * t[T_DAYS]
                    raw[i, F_CALLER_NEW_TO_FUNCTION] = min(
                        raw[i, F_CALLER_NEW_TO_FUNCTION], max(np.log((s[S_SETTLED] + 1.0) / (came + 0.5)), 0.0)
                    )
            usual_peak = max(np.exp(s[S_PEAKS]) - 1.0, 0.0)
            if qt[Q_SETTLED_DAYS] == 0:
                usual_peak = max(usual_peak, usual_high(s, H_NEWCOMER))
                s[H_NEWCOMER] = max(s[H_NEWCOMER], q[P_N5])
            peak_habit[i] = usual_peak
            usual_peak /= 1.0 + qt[Q_SETTLED_DAYS]
            if refused[i] > 0:
                # as often as one caller is refused here on most days, whoever calls may be refused
                peak_habit[i] = usual_peak = max(usual_peak, usual_high(s, H_ONE_REFUSED))
            own_peak = max(habit, q[P_PEAK], usual_peak)
            if batch:
                own_peak = max(own_peak, min(q[P_N5], BATCH_MORE * q[P_PEAK]))
            raw[i, F_CALLER_PACE_HERE] = pace_excess(q[P_N5], own_peak + PACE_FLOOR)
            habit = own_peak
            # what it takes over hours, as long as it goes on, of who is known for a while
            if qt[Q_SETTLED_DAYS] >= KNOWN_DAYS and refused[i] == 0:
                lately = min(q[P_SLOWLY], HOURS_AT_THIS_PACE * q[P_N60])
                # a busy day is everybody's, and the most of few days may well be passed on the next
                others = (max(s[S_N60] - q[P_N60], 0.0) + SIBLINGS) / (s[S_E60] + SIBLINGS)
                most = q[P_MOST] * min(max(lift60, others, 1.0), MAX_LIFT) * (1.0 + FEW_DAYS / qt[Q_SETTLED_DAYS])
                raw[i, F_CALLER_VOLUME_HERE] = pace_excess(lately, most + VOLUME_FLOOR)
        value[i, F_CALLER_NEW_TO_FUNCTION] = age / US
        typical[i, F_CALLER_NEW_TO_FUNCTION] = NOVEL_US / US
        value[i, F_CALLER_PACE_HERE] = q[P_N5]
        typical[i, F_CALLER_PACE_HERE] = habit
        value[i, F_CALLER_VOLUME_HERE], typical[i, F_CALLER_VOLUME_HERE] = q[P_SLOWLY], q[P_MOST]

        if identified:
            land = country_row[i]
            if land >= 0:
                seen_here = lands[land, 0]
                if today > land_day[land]:
                    s[S_LANDS] += 1.0 if lands[land, 0] == 0.0 and lands[land, 1] > 0.0 else 0.0
                    lands[land, 0] += lands[land, 1]
                    seen_here = lands[land, 0]
                    lands[land, 1] = 0.0
                    land_day[land] = today
                # who was turned away was not here: refusals tell of that
                came_in = refused[i] == 0
                lands[land, 1] += w if came_in else 0.0
                if s[S_SETTLED] > 0.0 and came_in:
                    raw[i, F_COUNTRY_RARE_HERE] = max(np.log((s[S_SETTLED] + 1.0) / (seen_here + 0.5)), 0.0)
                    if seen_here == 0.0 and s[S_LANDS] <= FEW_LANDS:
                        raw[i, F_COUNTRY_RARE_HERE] *= by_staying(q[P_N60])
                    value[i, F_COUNTRY_RARE_HERE] = seen_here / s[S_SETTLED]
                typical[i, F_COUNTRY_RARE_HERE] = s[S_SETTLED]
                # what is new to the tenant, too, as far as it is rarer than where the caller came from until yesterday;
                # of who is new, novelty tells
                if not is_new and came_in:
                    raw[i, F_COUNTRY_NEW] = min(max(foreign[i] - q[P_FROM], 0.0), raw[i, F_COUNTRY_RARE_HERE])
                if came_in:
                    q[P_FROM_TODAY] = max(q[P_FROM_TODAY], foreign[i])
                value[i, F_COUNTRY_NEW], typical[i, F_COUNTRY_NEW] = np.exp(-foreign[i]), s[S_SETTLED]
            if age == 0:
                s[S_NEW60] += 1.0
                app_state[a, A_NEW60] += 1.0
                s[S_NEW_TODAY] += 1.0
            if t[T_DAYS] >= 2 and age < TAU_1H:
                usual_new = s[S_NEW_HABIT] / 24.0 * bend * lift60
                # who comes to the app for the first time comes to several functions of it
                elsewhere = max(app_state[a, A_NEW60] - s[S_NEW60], 0.0)
                likely = elsewhere * s[S_E60] / max(app_state[a, A_E60] - s[S_E60], 1.0)
                usual_new = max(usual_new, min(likely, MAX_LIFT * usual_new))
                busier = max(
                    s[S_N5] / (s[S_E5] * lift5 + again5 + PACE_FLOOR),
                    s[S_N60] / (s[S_E60] * lift60 + again60 + PACE_FLOOR),
                )
                raw[i, F_NEWCOMERS] = pace_excess(s[S_NEW60], usual_new + PACE_FLOOR) * crowded(busier) * now_on
                value[i, F_NEWCOMERS], typical[i, F_NEWCOMERS] = s[S_NEW60], usual_new
                if age == 0:
                    q[P_COMPANY] = company(s[S_NEW60], usual_new)
            raw[i, F_CALLER_NEW_TO_FUNCTION] = max(raw[i, F_CALLER_NEW_TO_FUNCTION] - q[P_COMPANY], 0.0)
            if known[k] and t[T_DAYS] >= OPEN_DAYS and s[S_NEW_HABIT] < CLOSED and refused[i] == 0:
                raw[i, F_CALLER_NEW_TO_FUNCTION] *= by_staying(q[P_N60])
            arrived_with[i] = q[P_COMPANY]

        # schedule
        if phase_us[k] > 0 and by_clock[i]:
            _schedule(
                s, t, raw[i], value[i], typical[i], start[i], last, dt, failed[i], phases[k], phase_us[k],
                phase_count[k], phase_sum[k],
            )  # fmt: skip
        elif by_clock[i] and known[k]:
            _started_seldom(s, t, raw[i], value[i], typical[i], start[i], dt, count[k], mean_rate[k])
        if not np.isnan(dequeue[i]) and dequeue[i] > tries:
            tries = dequeue[i]
        if tries > 1.0:
            raw[i, F_REDELIVERY] = np.log(tries) + np.log(s[S_AGAIN] + 1.0)
            value[i, F_REDELIVERY] = tries
        typical[i, F_REDELIVERY] = 1.0
        if unscheduled[i] > 0:
            _unscheduled(s, t, raw[i], value[i], typical[i], unscheduled[i], phase_sum[k], hands, now)
        if signature[i] > 0:
            q[P_SIGN] += 1.0
            raw[i, F_ATTACK_SIGNATURE] = 1.0 + np.log(q[P_SIGN])
            value[i, F_ATTACK_SIGNATURE] = q[P_SIGN]
        if not known[k]:
            grown = now - t[T_FIRST]
            if 0 <= grown < NEW_FUNCTION_US:
                # one that is called once a month was there before; one that is called all the time was not
                # and the news of the morning is none in the evening
                news = np.log(NEW_FUNCTION_US / NOVEL_FLOOR_US) - NEWS_FADE * np.log(grown / NOVEL_FLOOR_US + 1.0)
                raw[i, F_NEW_FUNCTION] = max(news + min(np.log(s[S_COUNT]), MOST_CALLED), IS_NEW)
            value[i, F_NEW_FUNCTION] = grown / US
            typical[i, F_NEW_FUNCTION] = NEW_FUNCTION_US / US
        if late[i]:
            copy_row(kept_s, s)
            copy_row(kept_t, t)
            copy_row(kept_hosts, hosts[k])
            copy_row(kept_since, host_since[k])
            copy_row(kept_operations, operations[k])
            copy_row(kept_q, pair_state[pair[i]])
            copy_row(kept_qt, pair_times[pair[i]])
            copy_row(kept_app, app_state[app[k]])
            app_last[app[k]], app_armed[app[k]] = kept_app_last, kept_app_armed
            if country_row[i] >= 0:
                copy_row(kept_land, lands[country_row[i]])
                land_day[country_row[i]] = kept_land_day
    return quiet
