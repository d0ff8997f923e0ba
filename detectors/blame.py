"""Whom a strange event points at: the caller that made it, the function that it befell, or a crowd.

What each family adds to the score says what kind of trouble it is; windows of the function say whether one caller makes
most of it.
"""

from __future__ import annotations

from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from detectors.features import FAMILIES, FEATURES, INDEX
from models.hashing import hash_strings

Vector = npt.NDArray[Any]

#: kinds of trouble that events, and stories of functions, are told apart by
TROUBLES: Final = (
    *("slow", "failing", "load", "schedule", "structure", "silent", "other", "pace", "long", "hanging", "fewer"),
    *("visit", "debut"),
)
SLOW, FAILING, LOAD, SCHEDULE, NEW, SILENT, OTHER, PACE, LONG, HANGING, FEWER, VISIT, DEBUT = range(len(TROUBLES))
_TROUBLE_OF: Final = {
    "run": "long",
    "latency": "slow",
    "failure": "failing",
    "retry": "failing",
    "load": "load",
    "schedule": "schedule",
    "structure": "structure",
    "caller_pace": "pace",
    "hours": "pace",
    "absence": "fewer",
    "novelty": "visit",
    "place": "visit",
    "travel": "visit",
}
TROUBLE_OF_FAMILY: Final = np.array([TROUBLES.index(_TROUBLE_OF.get(f, "other")) for f in FAMILIES])
#: families that point at the caller by themselves
CALLER_FAMILIES: Final = np.array(
    [f in ("novelty", "reach", "place", "travel", "refusal", "caller_pace", "hours", "signature") for f in FAMILIES]
)
#: share of a function's recent calls, failures or refusals that makes them one caller's doing
OWN_DOING: Final = 0.5
#: by how much a caller's share of the failures must exceed its share of the calls before the failing is its own; where
#: all fail it seems to be twice its share, as half an hour of the caller stands against a quarter of the function
BEYOND_SHARE: Final = 3.0
#: failures of a caller from which on they may be its own doing
SEVERAL_FAILURES: Final = 2.5
#: calls in an hour from which on one long run is one of many runs, of which one may always hang
MANY_RUNS: Final = 5.0
#: runs of a day that a time limit ended, from which on they are no freak; they fade
SEVERAL_CUT_OFF: Final = 1.5
#: share of a day's calls that are a batch when they come within an hour, and its least calls
MOST_OF_DAY: Final = 0.6
BATCH_CALLS: Final = 20.0
#: share below which a caller is one of many
FEW: Final = 0.2
#: how many times the calls of five minutes those of an hour are at most, where they still come; twelve at an even pace
LIVELY: Final = 36.0
#: what load or refusals must add before a function counts as crowded
CROWD_SURPRISE: Final = 1.5
#: surprise of newcomers from which on a function's arrivals are a crowd's
ARRIVALS_SURPRISE: Final = 2.0
#: what structure must add before a function counts as new
NEW_SURPRISE: Final = 1.0

#: surprise of delays by a round number of seconds from which on they are what a caller asked for
DELAYED_SURPRISE: Final = 2.0

#: s for which a caller that the tenant knows by name is its new customer: on the third day it has habits
DEBUT_S: Final = 48.0 * 3600.0
#: share of the score up to which what is no part of being new, from somewhere and busy in one's own way is left aside
HARDLY: Final = 0.1
_UNWELCOME: Final = np.array([f in ("travel", "refusal", "signature", "hours", "failure", "retry") for f in FAMILIES])
#: what is known of where a caller went first: to another country, to another app
_ELSEWHERE: Final = [INDEX[name] for name in ("caller_new_country", "travel", "caller_new_to_app")]

#: features of runs that are long
_RUNS: Final = [INDEX[f.name] for f in FEATURES if f.family == "run"]
#: features of load that one caller may make within an hour, and those that only many do
_FAST: Final = [INDEX["pace_minutes"], INDEX["pace_hour"]]
_OF_MANY: Final = [INDEX["newcomers"], INDEX["growth_days"]]

#: a caller known by its address, as its network: /24, or /48
_NETWORKS: Final = (
    (r"^(address:[0-9]+\.[0-9]+\.[0-9]+)\.[0-9]+$", r"\1.0/24"),
    (r"^(address:[0-9a-f]+:[0-9a-f]+):(:|0:).*$", r"\1:0::/48"),
    (r"^(address:[0-9a-f]+:[0-9a-f]+:[0-9a-f]+):[0-9a-f:]*$", r"\1::/48"),
)

#: of events, by the number in ``crowd``: one of many callers' in a loaded function
CROWD: Final = 2


def blame(
    families: Vector, surprise: Vector, value: Vector, identified: Vector, named: Vector
) -> tuple[Vector, Vector, Vector]:
    """Whom each event points at.

    Args:
        families: float64[n, len(FAMILIES)], what each family adds.
        surprise: float64[n, len(FEATURES)].
        value: float[n, len(FEATURES)], the windows that tell whether one caller does most of it.
        identified: bool[n].
        named: bool[n], the caller is known by a name that the tenant itself gave it.

    Returns:
        trouble int64[n] (index into TROUBLES), by_caller bool[n], crowd int8[n] as ``assign`` takes it.
    """
    trouble = TROUBLE_OF_FAMILY[families.argmax(axis=1)]
    hour = value[:, INDEX["pace_hour"]]
    many_runs = hour >= MANY_RUNS
    # that one caller waits longer than it used to is slowness, which has to go on
    waits, runs = surprise[:, INDEX["caller_slow_here"]], surprise[:, _RUNS].max(axis=1)
    trouble = np.where((trouble == LONG) & (waits > 0.0) & (waits >= runs), SLOW, trouble)
    # what hangs is given up some time; of runs that go on until a time limit ends them, where none came near that, one
    # may be a freak, and two are not
    by_limit = surprise[:, INDEX["time_limit"]]
    cut_off = (by_limit > 0.0) & (by_limit >= runs) & (value[:, INDEX["time_limit"]] >= SEVERAL_CUT_OFF)
    trouble = np.where((trouble == LONG) & many_runs & ~cut_off, HANGING, trouble)
    # nor will a batch that holds most of the day's runs go on for long; a flood, which may hold them too, is no batch
    load = families[:, FAMILIES.index("load")]
    batch = (load < CROWD_SURPRISE) & (hour >= BATCH_CALLS) & (hour >= MOST_OF_DAY * value[:, INDEX["growth_days"]])
    trouble = np.where((trouble == SLOW) & batch, HANGING, trouble)
    of_calls = value[:, INDEX["caller_pace_here"]] / np.maximum(value[:, INDEX["pace_minutes"]], 1.0)
    of_failures = value[:, INDEX["caller_failures"]] / np.maximum(value[:, INDEX["failure_burst"]], 1.0)
    of_refusals = value[:, INDEX["caller_client_errors"]] / np.maximum(value[:, INDEX["client_error_burst"]], 1.0)
    # what is counted by the hour remembers a flood that has ended, which is not the doing of who calls next
    lively = LIVELY * value[:, INDEX["pace_minutes"]] >= value[:, INDEX["pace_hour"]]
    for_hours = surprise[:, INDEX["refused_hours"]]
    here = np.maximum(surprise[:, INDEX["client_error_burst"]], for_hours) > 1.0
    refused = families[:, FAMILIES.index("refusal")] * here
    # who makes a function wait for round seconds is no victim of its being slow
    delays = surprise[:, INDEX["round_seconds"]]
    asked_for = (delays >= DELAYED_SURPRISE) & (delays >= runs)
    probed = np.where(asked_for, families[:, FAMILIES.index("run")], 0.0)
    own = families[:, CALLER_FAMILIES].sum(axis=1) + probed
    # many callers refused at one function: the function's trouble, not that of each
    own_refused = surprise[:, [INDEX["caller_client_errors"], INDEX["known_refused"]]].max(axis=1)
    of_many = (of_refusals < FEW) | ((for_hours > 1.0) & (for_hours >= own_refused))
    common = np.where(of_many, refused, 0.0)
    own = own - common
    # at a function that is itself new every caller is: that is the function's news, not theirs
    structure = families[:, FAMILIES.index("structure")]
    arriving = families[:, [FAMILIES.index(name) for name in ("novelty", "reach", "place")]].sum(axis=1)
    # nor is it each one's where many come for the first time at once
    together = surprise[:, INDEX["newcomers"]] >= ARRIVALS_SURPRISE
    own = own - np.where((structure >= NEW_SURPRISE) | together, arriving, 0.0)
    function = families[:, ~CALLER_FAMILIES].sum(axis=1) - probed + common
    by_caller = own >= function
    # one caller may be a flood, but is not many who arrive, nor what a function's days have grown by
    many = surprise[:, _OF_MANY].max(axis=1) > surprise[:, _FAST].max(axis=1)
    by_caller |= ((trouble == LOAD) | (trouble == PACE)) & (of_calls >= OWN_DOING) & lively & ~many
    # the first who meets a fault is not its cause
    several = value[:, INDEX["caller_failures"]] >= SEVERAL_FAILURES
    fails_more = several & (of_failures >= np.maximum(OWN_DOING, BEYOND_SHARE * of_calls))
    by_caller |= (trouble == FAILING) & fails_more & (of_calls < OWN_DOING)
    crowd = ((load >= CROWD_SURPRISE) & (of_calls < FEW)) | (common >= CROWD_SURPRISE)
    arrival = families[:, FAMILIES.index("novelty")] + families[:, FAMILIES.index("place")]
    # a crowd arrives; one who arrives makes no crowd
    joint = np.minimum(arrival, load)
    crowd &= load + common + joint >= own + common - joint
    others = (of_calls < OWN_DOING) | ~lively
    degree = np.where(crowd, 2, np.where((load >= CROWD_SURPRISE) & others, 1, 0)).astype(np.int8)
    own_way = np.isin(trouble, (VISIT, PACE)) & _makes_its_debut(families, surprise, value)
    trouble = np.where(own_way & named, DEBUT, trouble)
    # what is new first of all is the function, whoever calls it
    return trouble, by_caller & identified & ~crowd & (trouble != NEW), degree


def _makes_its_debut(families: Vector, surprise: Vector, value: Vector) -> Vector:
    """Who is new to the tenant, comes from one place, and is neither refused nor failing nor where it is not wanted."""
    new = value[:, INDEX["caller_new"]] < DEBUT_S
    # nobody knows yet where it comes from, or how busy it is; that it came from elsewhere first, or to another app, is
    # known, and one more function of its app is none
    settled = (surprise[:, _ELSEWHERE] <= 0.0).all(axis=1)
    # who tries one function after the other looks for something
    tries = surprise[:, INDEX["caller_spread"]]
    here = np.maximum(surprise[:, INDEX["caller_new_to_function"]], surprise[:, INDEX["caller_new"]])
    welcome = families[:, _UNWELCOME].sum(axis=1) <= HARDLY * families.sum(axis=1)
    made: Vector = new & settled & (tries <= here) & welcome
    return made


def told_by(trouble: Vector) -> Vector:
    """By which trouble stories are told apart, int64[n]: long runs, and calls that have become slow, are one.

    So is who is new, or from elsewhere, and what else a caller does.

    >>> [TROUBLES[one] for one in told_by(np.array([LONG, HANGING, VISIT, DEBUT]))]
    ['slow', 'slow', 'other', 'other']
    """
    slow = np.where((trouble == LONG) | (trouble == HANGING), SLOW, trouble)
    return np.where((trouble == VISIT) | (trouble == DEBUT), OTHER, slow)


def party(caller: pa.Array) -> Vector:
    """Whom a story is told by, uint64[n]: a hash of the caller; of the network where it is known by its address.

    A customer's calls come from several addresses of one network, and so do those of who rents a few there.

    >>> one, other = party(pa.array(["address:203.0.113.7", "address:203.0.113.99"])).tolist()
    >>> one == other
    True
    """
    coded = caller if pa.types.is_dictionary(caller.type) else caller.cast(pa.string()).dictionary_encode()
    names = coded.dictionary
    for address, network in _NETWORKS:
        names = pc.replace_substring_regex(names, address, network)
    return hash_strings(pa.DictionaryArray.from_arrays(coded.indices, names))
