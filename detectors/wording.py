"""Numbers, spans of time and names as a tired person reads them; texts from logs are tamed here before they are shown.

>>> number(12345), span(750.0), milliseconds(4200.0), times(900.0, 30.0)
('12,345', '12 minutes', '4.2 s', '30 times')
>>> caller_words("address:203.0.113.7"), caller_words("geography:Finland/Uusimaa/Helsinki")
('address 203.0.113.7', 'callers from Helsinki, Finland')
"""

from __future__ import annotations

import math
import re
import unicodedata
from collections.abc import Sequence
from datetime import datetime, timedelta, timezone
from typing import Final

from detectors.masking import MASK, mask_secrets

#: longest name of a function or app in a sentence
NAME: Final = 30
#: longest name of a caller; an IPv6 address is whole
CALLER: Final = 44
#: and of a place: United Arab Emirates, Bosnia and Herzegovina
PLACE: Final = 24
#: a typical count below this is no count
_HARDLY_ANY: Final = 0.05
#: times as much as usual below which that is no news
NEWS: Final = 1.25
#: characters of a text that are looked at: more than any field of INVOCATION keeps
_LOOKED_AT: Final = 16_384
#: what chat programs, terminals and Markdown may take for markup; the bar that splits table cells is part of many ids,
#: the backslash of the names of users in a domain
_MARKUP: Final = str.maketrans({**dict.fromkeys("<>[]`*", ""), "|": "¦", "\\": "\u2216"})
#: what tickets, mails and chat programs make links or mentions of, and how incident reports write it
_LINKS: Final = (
    (re.compile(r"\bh(tt)(ps?)(?=:)", re.IGNORECASE), r"hxx\2"),
    (re.compile(r"\b(www)\.", re.IGNORECASE), r"\1(.)"),
    (re.compile(r"(?<![\w.+-])@(?=\w)"), "(at)"),
)
#: controls, formats (also those that turn the direction of writing), surrogates, private use, separators of lines
_UNSEEN: Final = frozenset({"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"})
#: stands for a masked secret while markup is taken out; of private use, so no text can bring it along
_MASKED: Final = "\ue000"
_US: Final = 1_000_000
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=timezone.utc)

#: how a sentence calls a caller, by where its identity was taken from
_CALLER_WORDS: Final = {
    "property": "caller",
    "user": "user",
    "address": "address",
    "role": "app",
    "queue": "queue",
}
#: what a message came from, by the kind of trigger that it fired
_MESSAGE_FROM: Final = {"blob": "container", "eventhub": "event hub"}
_FIXED_CALLERS: Final = {
    "timer": "the timer",
    "host-api": "the admin API",
    "unknown": "callers without identity",
}


def tame(text: object, limit: int = NAME) -> str:
    r"""One short line: no controls, no markup, no links, no secrets; "?" where nothing is left.

    >>> tame("pay\x1b[2J\n<b>now</b>?code=4fL9qTzk2Pq7")
    'pay 2J bnow/b?code=***'
    >>> tame("auth0|600000263fe")
    'auth0¦600000263fe'
    >>> tame(r"CORP\anna")
    'CORP∖anna'
    """
    seen = str(text)[:_LOOKED_AT]
    seen = "".join(" " if unicodedata.category(c) in _UNSEEN else c for c in seen)
    # masked before markup goes, so that a bracket can't hide where a secret begins; and after, in case one did
    seen = mask_secrets(seen).replace(MASK, _MASKED).translate(_MARKUP).replace(_MASKED, MASK)
    seen = mask_secrets(seen)
    for linked, inert in _LINKS:
        seen = linked.sub(inert, seen)
    return shorten(" ".join(seen.split()), limit) or "?"


def shorten(text: str, limit: int) -> str:
    """At most ``limit`` characters; what was cut is shown by an ellipsis."""
    return text if len(text) <= limit else text[: max(limit - 1, 0)].rstrip(" ,;:") + "…"


def capital(text: str) -> str:
    """With a capital first letter."""
    return text[:1].upper() + text[1:]


def number(value: float) -> str:
    """A count or a rate: 12,345; 3.4; 0.02; "none" for zero."""
    if not math.isfinite(value):
        return "unknown"
    if value <= 0.0:
        return "none"
    if value >= 10.0 or (abs(value - round(value)) < 0.05 and value >= 1.0):
        return f"{round(value):,}"
    if value >= 0.1:
        return f"{value:.1f}"
    return f"{value:.2f}" if value >= 0.01 else "under 0.01"


def whole(value: float) -> float:
    """A count seen over a window that fades, and so in fractions: nobody calls 8.7 times."""
    return float(round(value)) if value >= 1.0 and math.isfinite(value) else value


def usual(value: float) -> str:
    """A count that is typical, beside one that was seen: "hardly any" where hardly any is."""
    return "hardly any" if 0.0 <= value < _HARDLY_ANY else number(value)


def counted(value: float, one: str, many: str | None = None) -> str:
    """A number with its noun: 1 call, 41 calls, 0 calls."""
    shown = number(value).replace("none", "0")
    return f"{shown} {one}" if shown == "1" else f"{shown} {many or one + 's'}"


def plural(value: int, one: str, many: str | None = None) -> str:
    """A whole number with its noun; 0 is written as such."""
    return f"{value:,} {one if value == 1 else many or one + 's'}"


def milliseconds(value: float) -> str:
    """A run time in the unit a person would choose: 0.4 ms, 310 ms, 4.2 s, 4.2 min, 3.1 h."""
    if not math.isfinite(value) or value < 0.0:
        return "unknown"
    for size, unit in ((86_400_000.0, "days"), (3_600_000.0, "h"), (60_000.0, "min"), (1_000.0, "s")):
        if value >= size * (2.0 if unit == "days" else 1.0):
            return f"{_short(value / size)} {unit}"
    return f"{_short(value)} ms" if value >= 0.1 or value == 0.0 else "under 0.1 ms"


def span(seconds: float) -> str:
    """A stretch of time in words: 40 seconds, 12 minutes, 3.5 hours, 4 days."""
    if not math.isfinite(seconds) or seconds < 0.0:
        return "an unknown time"
    for size, unit in ((172_800.0, "day"), (5_400.0, "hour"), (90.0, "minute")):
        if seconds >= size:
            value = seconds / {"day": 86_400.0, "hour": 3_600.0, "minute": 60.0}[unit]
            shown = f"{value:.1f}".removesuffix(".0") if value < 10.0 and unit != "minute" else f"{value:,.0f}"
            return f"{shown} {unit}" + ("" if shown == "1" else "s")
    whole = max(round(seconds), 1)
    return f"{whole} second" + ("" if whole == 1 else "s")


def span_range(shortest: float, longest: float) -> str:
    """Two stretches of time as one: 4 to 31 hours, 12 minutes to 5 hours."""
    low, high = span(shortest), span(longest)
    if low == high:
        return high
    number_of, _, unit = low.partition(" ")
    return f"{number_of if high.endswith(unit) else low} to {high}"


def times(value: float, typical: float) -> str:
    """How many times as much: "twice", "30 times"; "" where that says nothing."""
    if not (math.isfinite(value) and math.isfinite(typical)) or typical <= 0.0 or value / typical < NEWS:
        return ""
    ratio = value / typical
    if 1.85 <= ratio < 2.25:
        return "twice"
    if ratio >= 1000.0:
        return "over 1,000 times"
    return f"{_short(ratio)} times"


def percent(share: float) -> str:
    """A share in per cent: 38%, 0.3%, under 0.1%."""
    if not math.isfinite(share) or share < 0.0:
        return "unknown"
    if 0.0 < share < 0.001:
        return "under 0.1%"
    return f"{_short(share * 100.0)}%"


def clock(at_us: int) -> str:
    """Time of day and date of UTC us: 02:10 UTC on 3 August."""
    try:
        at = _EPOCH + timedelta(microseconds=at_us)
    except OverflowError:
        return "an unknown time"
    return f"{at:%H:%M} UTC on {at.day} {at:%B}"


def time_of_day(at_us: int) -> str:
    """The time of day of UTC us: 02:15 UTC."""
    return clock(at_us).partition(" on ")[0]


def listed(names: Sequence[str], most: int = 3) -> str:
    """A, B and C; what exceeds ``most`` is counted."""
    if len(names) > most:
        return f"{', '.join(names[:most])} and {len(names) - most:,} more"
    return " and ".join(filter(None, (", ".join(names[:-1]), *names[-1:])))


def caller_words(caller: str, trigger: str = "") -> str:
    """A caller as it is called in a sentence; ``source:value`` becomes a word and the tamed value.

    >>> caller_words("queue:photos", trigger="blob")
    'container photos'
    """
    source, _, value = caller.partition(":")
    if source == "queue" and trigger in _MESSAGE_FROM:
        return f"{_MESSAGE_FROM[trigger]} {tame(value, CALLER - len(_MESSAGE_FROM[trigger]) - 1)}"
    if source in _FIXED_CALLERS:
        return _FIXED_CALLERS[source]
    if source == "geography":
        return f"callers from {place_words(value)}"
    if source in _CALLER_WORDS:
        name = tame(value, CALLER - 8)
        # a pseudonym says by itself what it stands for
        return name if name.startswith(_CALLER_WORDS[source] + "-") else f"{_CALLER_WORDS[source]} {name}"
    return f"caller {tame(caller, CALLER - 8)}"


def place_words(place: str) -> str:
    """A place as ``country/region/city``, from the near to the far: Helsinki, Finland.

    >>> place_words("United Arab Emirates/Dubai/Dubai")
    'Dubai, United Arab Emirates'
    """
    parts = [part for part in place.split("/") if part.strip()]
    words = ", ".join(tame(part, PLACE) for part in dict.fromkeys((*parts[-1:], *parts[:1])))
    return words or "an unknown place"


def _short(value: float) -> str:
    return f"{value:,.0f}" if value >= 10.0 else f"{value:.1f}".removesuffix(".0")
