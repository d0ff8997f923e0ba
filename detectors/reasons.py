"""One reason in words: what was measured, beside what is typical."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Final

from detectors import wording as say
from detectors.features import FEATURES

_WORDS: Final = {feature.name: feature.words for feature in FEATURES}

#: share of a caller's working hours from which on an hour is one of them
_AN_HOUR_OF_MANY: Final = 0.06
#: counts over a window from which on they are told as estimates
_MANY: Final = 20.0
#: what a caller is called that is no single one
_NOUNS: Final = {"geography": "place", "queue": "queue"}
_CALLER: Final = re.compile(r"\b(the )?caller(?=\b|s\b)")
#: below this an age says "never before" and not how long ago
_JUST_NOW_S: Final = 60.0


def reason_text(feature: str, value: float, typical: float | None, source: str = "") -> str:
    """What the feature says, with its numbers and without its name; ``source`` tells what kind of caller it was.

    >>> reason_text("duration_high", 240_000.0, 310.0)
    'a run took 4 min where 310 ms is usual'
    """
    shown = _TEXTS.get(feature)
    usual = 0.0 if typical is None else typical
    if shown is not None:
        text = shown(value, usual)
    else:
        text = f"{_WORDS.get(feature, feature.replace('_', ' '))}: {say.number(value).replace('none', '0')}"
    noun = _NOUNS.get(source)
    return text if noun is None else _CALLER.sub(lambda found: f"this {noun}" if found[1] else noun, text)


def is_news(feature: str, value: float | None, typical: float | None) -> bool:
    """Whether a person learns anything from the reason: not from what is as it always is."""
    if feature == "caller_hours" and value is not None:
        return value < _AN_HOUR_OF_MANY
    if feature == "fewer_calls" and value is not None and typical is not None:
        return typical >= say.NEWS * value
    if feature not in _AMOUNTS or value is None or typical is None or typical <= 0.0:
        return True
    return value >= say.NEWS * typical


def _amount(noun: str, window: str) -> Callable[[float, float], str]:
    def text(value: float, typical: float) -> str:
        shown = say.usual(typical)
        expected = "is" if shown == "1" or shown.startswith("0") else "are"
        return f"{_estimate(value, noun)} {window} where {shown} {expected} usual"

    return text


def _estimate(value: float, noun: str) -> str:
    """A count over a window that fades: what that holds is near the count, and not the count."""
    return ("about " if value >= _MANY else "") + say.counted(say.whole(value), noun)


def _run(value: float, typical: float) -> str:
    return f"a run took {say.milliseconds(value)} where {say.milliseconds(typical)} is usual"


def _record(value: float, longest: float) -> str:
    return f"a run took {say.milliseconds(value)} where the longest before took {say.milliseconds(longest)}"


def _own_runs(value: float, typical: float) -> str:
    return f"this caller's calls take {say.milliseconds(value)} where {say.milliseconds(typical)} is usual"


def _lately(value: float, typical: float) -> str:
    return f"runs lately take {say.milliseconds(value)} where {say.milliseconds(typical)} is usual"


def _paid(window: str) -> Callable[[float, float], str]:
    def text(value: float, typical: float) -> str:
        usual = say.span(typical) if typical >= 1.0 else "hardly any"
        return f"{say.span(value)} of run time {window} where {usual} is usual"

    return text


def _first(what: str) -> Callable[[float, float], str]:
    def text(value: float, _: float) -> str:
        if value < _JUST_NOW_S:
            return f"{what} for the first time (0 calls before)"
        return f"{what} for the first time {say.span(value)} before"

    return text


def _after_history(what: str) -> Callable[[float, float], str]:
    def text(_: float, settled: float) -> str:
        return f"{what} for the first time, after {say.counted(max(settled, 0.0), 'earlier call')}"

    return text


def _from_abroad(value: float, _: float) -> str:
    return f"a country from which {say.percent(value)} of all calls came while the model was trained"


def _hours(value: float, _: float) -> str:
    if value <= 0.0:
        return "at a time of day at which this caller never called before (0% of its hours)"
    return f"at an hour that holds {say.percent(value)} of this caller's working hours"


def _rare(value: float, _: float) -> str:
    if value <= 0.0:
        return "a country from which 0 calls came here before"
    return f"a country from which {say.percent(value)} of the calls here come"


def _schedule(value: float, _: float) -> str:
    return f"started {say.span(value)} off the schedule" if value >= 1.0 else "started 1 time or more off the schedule"


def _several(one: str, rest: str) -> Callable[[float, float], str]:
    """A count without a usual one."""
    return lambda value, _: f"{say.counted(say.whole(value), one)} {rest}"


def _bad(noun: str, window: str) -> Callable[[float, float], str]:
    """What went wrong, beside what would have, among as many calls."""

    def text(value: float, typical: float) -> str:
        return f"{_estimate(value, noun)} {window} where {say.usual(typical)} would be usual"

    return text


_TEXTS: Final[dict[str, Callable[[float, float], str]]] = {
    "duration_high": _run,
    "duration_low": _run,
    "duration_record": _record,
    "latency_shift": _lately,
    "latency_drop": _lately,
    "failure_burst": _bad("failure", "close together"),
    "client_error_burst": _bad("refused call", "close together"),
    "pace_minutes": _amount("call", "in five minutes"),
    "pace_hour": _amount("call", "in an hour"),
    "growth_days": _amount("call", "in a day"),
    "cost_hour": _paid("in an hour"),
    "cost_days": _paid("in a day"),
    "caller_new_to_function": _first("the caller was seen here"),
    "caller_pace_here": _amount("call", "by one caller in five minutes"),
    "caller_volume_here": _amount("call", "by one caller in six hours"),
    "fewer_calls": _amount("call", "in an hour"),
    "refused_hours": _bad("refused call", "over hours"),
    "off_schedule": _schedule,
    "redelivery": lambda value, _: f"1 message was delivered {say.counted(value, 'time')}",
    "attack_signature": _several("call", "with an attack's signature"),
    "new_function": _first("the function was seen"),
    "caller_slow_here": _own_runs,
    "round_seconds": _several("call", "delayed by a round number of seconds"),
    "newcomers": _amount("caller", "never seen here before in an hour"),
    "unscheduled": lambda value, _: f"{say.counted(max(say.whole(value), 1.0), 'run')} that no schedule asked for",
    "caller_new": _first("the caller was seen anywhere"),
    "caller_new_to_app": _after_history("the caller reached this app"),
    "caller_new_country": _after_history("the caller came from this country"),
    "country_rare_here": _rare,
    "country_new": _from_abroad,
    "long_runs": lambda value, usual: (
        f"at least {say.counted(say.whole(value), 'run')} in six hours as long as 1 in 100 is, "
        f"where {say.usual(usual)} would be"
    ),
    "time_limit": lambda value, count: (
        f"{say.counted(max(say.whole(value), 1.0), 'run')} cut off at a whole number of minutes, "
        f"where none of {say.number(count)} came near it"
    ),
    "travel": lambda value, _: f"calls from two countries within {say.span(value)}",
    "caller_client_errors": _bad("refused call", "by one caller in half an hour"),
    "caller_failures": _bad("failed call", "by one caller in half an hour"),
    "known_refused": _bad("refused call", "by a caller known for days in half an hour"),
    "known_failures": _bad("failed call", "by a caller known for days in half an hour"),
    "caller_spread": _several("function", "new to this caller in half an hour"),
    "caller_pace": _amount("call", "by one caller in half an hour"),
    "caller_day": _amount("call", "by one caller in a day"),
    "caller_hours": _hours,
    "caller_new_here": _after_history("the caller used this function"),
}
#: features that say nothing where they say what is usual
_AMOUNTS: Final = frozenset(
    (
        *("failure_burst", "client_error_burst", "pace_minutes", "pace_hour", "growth_days", "cost_hour", "cost_days"),
        *("caller_pace_here", "caller_volume_here", "caller_pace", "caller_day"),
        *("caller_client_errors", "caller_failures", "known_refused", "known_failures", "newcomers", "refused_hours"),
    )
)
#: features that say the same twice: one clause tells it
TOPICS: Final[dict[str, str]] = {
    "duration_record": "duration_high",
    "pace_hour": "pace_minutes",
    "growth_days": "pace_minutes",
    "cost_days": "cost_hour",
    "caller_pace_here": "caller_pace",
    "caller_volume_here": "caller_pace",
    "caller_day": "caller_pace",
    "long_runs": "latency_shift",
    "caller_new": "caller_new_to_function",
    "country_new": "country_rare_here",
    "caller_new_here": "caller_new_to_function",
    "caller_failures": "failure_burst",
    "caller_client_errors": "client_error_burst",
    "refused_hours": "client_error_burst",
    "known_failures": "failure_burst",
    "known_refused": "client_error_burst",
}
