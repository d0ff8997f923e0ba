"""The features: what is measured about each invocation, in which family, and in which words a person reads it.

A raw feature is a number that grows with strangeness; 0 means "nothing to say". ``models.tails`` turns it into a
surprise (-log10 p) for its function. Families gather features that tell the same story: only the largest of a family
counts.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True)
class Feature:
    """One feature.

    Attributes:
        name: column name, as in a verdict's reasons.
        family: features of one family tell one story.
        blame: 'caller', 'function' or 'pair': whom a high value points at.
        words: how a sentence names it.
        block_s: length of the stretch of time in which its values hang together; 0 where each event counts for itself.
        unit: of ``value`` and ``typical``: 'ms', 'count', 'share', 's', 'ratio'.
        counted: it tells how rarely, or for how short a time, something was seen: one in so many is all it can claim.
    """

    name: str
    family: str
    blame: str
    words: str
    unit: str
    block_s: int = 0
    counted: bool = False


#: measured on the function's timeline, in the order of its kernel's columns
FUNCTION_FEATURES: Final = (
    Feature("duration_high", "run", "pair", "ran far longer than usual", "ms"),
    Feature("duration_low", "run", "function", "ended far sooner than usual", "ms"),
    Feature("latency_shift", "latency", "function", "has become slower", "ms", 3600),
    Feature("latency_drop", "latency", "function", "has become much faster", "ms", 3600),
    Feature("failure_burst", "failure", "function", "failures of late", "count", 3600),
    Feature("client_error_burst", "refusal", "function", "refused calls of late", "count", 3600),
    Feature("pace_minutes", "load", "function", "calls in five minutes", "count", 3600),
    Feature("pace_hour", "load", "function", "calls in an hour", "count", 10800),
    Feature("growth_days", "load", "function", "calls in a day", "count", 86400),
    Feature("cost_hour", "run", "function", "seconds of run time in an hour", "s", 10800),
    Feature("cost_days", "run", "function", "seconds of run time in a day", "s", 86400),
    Feature(
        "caller_new_to_function", "novelty", "caller", "seconds since the caller was first seen here", "s", counted=True
    ),
    Feature("caller_pace_here", "caller_pace", "caller", "calls by this caller in five minutes", "count", 3600),
    Feature("off_schedule", "schedule", "function", "seconds off the schedule", "s"),
    Feature("redelivery", "retry", "function", "deliveries of one message", "count", 3600),
    Feature("attack_signature", "signature", "caller", "calls that carry an attack's signature", "count"),
    Feature("new_function", "structure", "function", "seconds since the function was first seen", "s"),
    Feature("caller_slow_here", "run", "caller", "usual run time of this caller's calls", "ms", 3600),
    Feature("round_seconds", "run", "caller", "calls delayed by a round number of seconds", "count", 3600),
    Feature("country_rare_here", "place", "caller", "share of calls here from this country", "share", counted=True),
    Feature("newcomers", "load", "function", "callers never seen here before, in an hour", "count", 3600),
    Feature("unscheduled", "schedule", "function", "runs that no schedule asked for, in a day", "count", 3600),
    Feature("duration_record", "run", "pair", "ran longer than ever before", "ms"),
    Feature("country_new", "place", "caller", "share of calls anywhere from this country", "share", counted=True),
    Feature("long_runs", "latency", "function", "runs as long as one in a hundred is, in six hours", "count", 10800),
    Feature("time_limit", "run", "function", "runs that ended at a time limit, in a day", "count", 3600),
    Feature("caller_volume_here", "caller_pace", "caller", "calls by this caller in six hours", "count", 10800),
    Feature("fewer_calls", "absence", "function", "calls in an hour, of those that are usual", "count", 10800),
    Feature("refused_hours", "refusal", "function", "refused calls, whoever made them, for hours", "count", 10800),
)

#: measured on the caller's timeline, in the order of its kernel's columns
CALLER_FEATURES: Final = (
    Feature("caller_new", "novelty", "caller", "seconds since the caller was first seen anywhere", "s", counted=True),
    Feature(
        "caller_new_to_app", "reach", "caller", "seconds since the caller first reached this app", "s", counted=True
    ),
    Feature(
        "caller_new_country",
        "place",
        "caller",
        "seconds since the caller first came from this country",
        "s",
        counted=True,
    ),
    Feature("travel", "travel", "caller", "seconds between calls from two countries", "s"),
    Feature("caller_client_errors", "refusal", "caller", "refused calls of this caller in half an hour", "count", 3600),
    Feature("caller_failures", "failure", "caller", "failed calls of this caller in half an hour", "count", 3600),
    Feature(
        "caller_spread", "novelty", "caller", "functions newly touched by this caller in half an hour", "count", 3600
    ),
    Feature("caller_pace", "caller_pace", "caller", "calls by this caller in half an hour", "count", 3600),
    Feature("caller_hours", "hours", "caller", "share of the hours at which this caller calls", "share", 3600),
    Feature(
        "caller_new_here",
        "reach",
        "caller",
        "seconds since the caller first used this function",
        "s",
        3600,
        counted=True,
    ),
    Feature("caller_day", "caller_pace", "caller", "calls by this caller in a day", "count", 86400),
    Feature("known_refused", "refusal", "caller", "refused calls of a caller known for days", "count", 3600),
    Feature("known_failures", "failure", "caller", "failed calls of a caller known for days", "count", 3600),
)

FEATURES: Final = FUNCTION_FEATURES + CALLER_FEATURES
FEATURE_NAMES: Final = tuple(f.name for f in FEATURES)
FAMILIES: Final = tuple(dict.fromkeys(f.family for f in FEATURES))
FAMILY_OF: Final = tuple(FAMILIES.index(f.family) for f in FEATURES)
INDEX: Final = {f.name: i for i, f in enumerate(FEATURES)}
BLOCK_US: Final = tuple(f.block_s * 1_000_000 for f in FEATURES)
