"""What a kind of finding is, and the signs by which kinds tell evidence apart."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Final, Literal

from detectors.evidence import Evidence
from detectors.features import FEATURES
from detectors.schema import UNREADABLE
from models.baselines import BY_MESSAGE

Severity = Literal["low", "medium", "high", "critical"]
SEVERITIES: Final = ("low", "medium", "high", "critical")

_FAMILY: Final = {feature.name: feature.family for feature in FEATURES}
_US: Final = 1_000_000
_DAY_S: Final = 86_400.0
#: what features speak of, as the rules name it; independent of the families by which features are scored
GROUPS: Final[dict[str, tuple[str, ...]]] = {
    "duration": ("duration_high", "duration_low", "duration_record", "time_limit"),
    "latency": ("latency_shift", "latency_drop", "long_runs"),
    "caller_latency": ("caller_slow_here",),
    "cost": ("cost_hour", "cost_days"),
    "probe": ("round_seconds",),
    "failure": ("failure_burst", "caller_failures", "known_failures"),
    "refusal": ("client_error_burst", "caller_client_errors", "known_refused", "refused_hours"),
    "retry": ("redelivery",),
    "pace": ("pace_minutes", "pace_hour"),
    "caller_pace": ("caller_pace", "caller_pace_here", "caller_volume_here", "caller_day"),
    "growth": ("growth_days", "cost_days"),
    "crowd": ("newcomers",),
    "novelty": ("caller_new", "caller_new_to_function"),
    "reach": ("caller_new_to_app", "caller_new_here"),
    "spread": ("caller_spread",),
    "place": ("caller_new_country", "country_rare_here", "country_new"),
    "travel": ("travel",),
    "hours": ("caller_hours",),
    "schedule": ("off_schedule", "unscheduled"),
    "structure": ("new_function",),
    "absence": ("fewer_calls",),
    "signature": ("attack_signature",),
}
#: features that only callers with a past have
_HABITS: Final = ("caller_new_country", "caller_new_to_app", "caller_new_here", "caller_hours")
#: features whose typical value is the usual run time
_RUN_TIMES: Final = (
    "duration_high",
    "duration_record",
    "latency_shift",
    "caller_slow_here",
    "duration_low",
    "latency_drop",
)
#: identities that stand for one caller each; a place or a queue is shared by many
ONE_CALLER: Final = frozenset({"property", "user", "address", "role"})
#: calls from which on it tells something that only one caller made them
_TELLING: Final = 5
#: delays by a round number of seconds that speak for themselves, and the surprise beyond which they are no chance
_SEVERAL_DELAYS: Final = 5.0
_NO_CHANCE: Final = 3.0
#: share of the score below which novelty is not the story
_NOVEL: Final = 0.03
#: share of a function's recent calls that makes them one caller's
_MOST_OF: Final = 0.3
#: share of all calls from which on a function has a part in it
_A_PART: Final = 0.02
#: share of a function's recent calls below which they are one of many callers'
_SMALL_PART: Final = 0.1
#: times the usual load that speak of a flood
_STEEP: Final = 5.0
#: statuses by which a function refuses a credential; 403 refuses somebody whom it knows
DENIED: Final = frozenset({401, 407})
#: by which a function refuses for want of a key or of a right
_UNENTITLED: Final = frozenset({401, 403})
#: by which a call is refused that asks for what was done already
_CONFLICT: Final = frozenset({409})
#: share of the calls that makes them one caller's doing, whoever else was hit
_NEARLY_ALL: Final = 0.8
#: bad messages at most: where dozens come back, what reads them is at fault
_FEW_MESSAGES: Final = 60.0
#: failures from which on they tell how long they take, what is as long as the longest, and ms that a client waits
_MANY_FAILURES: Final = 10
_ALIKE: Final = 0.95
_PATIENCE_MS: Final = 5_000.0
#: surprise, -log10 p, from which on where a caller is, or what it reaches, speaks for itself, small as its share of the
#: score may be: how rarely something was seen has a bound, and pace has none
STRONG: Final = 2.0
#: failures, counted in a window that fades, from which on there was a second one
_SECOND: Final = 1.5
#: share of the calls from a country that makes it the country of all of them
_ALL_BUT: Final = 0.9
#: share of the calls that makes functions new to their caller the story
_MOSTLY: Final = 0.5
#: methods that write, and read nothing; and those that only read
_WRITING: Final = frozenset({"POST", "PUT", "PATCH", "DELETE"})
_READING: Final = frozenset({"GET", "HEAD"})
#: callers that make a crowd
CROWD: Final = 20


class Signs:
    """Evidence as the rules read it: numbers that are always finite, whatever is missing."""

    def __init__(self, evidence: Evidence) -> None:
        self.e = evidence

    @cached_property
    def _weights(self) -> dict[str, tuple[str, float]]:
        """Family and weight of each feature.

        A family's share is booked on its largest feature alone; one that is nearly as surprising weighs nearly as much.
        """
        share: dict[str, float] = {}
        peak: dict[str, float] = {}
        for name in sorted({*self.e.share, *self.e.surprise}):
            family = _FAMILY.get(name, name)
            share[family] = share.get(family, 0.0) + finite(self.e.share.get(name))
            peak[family] = max(peak.get(family, 0.0), finite(self.e.surprise.get(name)))
        out = {}
        for name in sorted({*self.e.share, *self.e.surprise}):
            family = _FAMILY.get(name, name)
            part = finite(self.e.surprise.get(name)) / peak[family] if peak[family] > 0.0 else 0.0
            out[name] = family, max(finite(self.e.share.get(name)), share[family] * part)
        return out

    def of(self, *groups: str) -> float:
        """How much of the score these GROUPS make together, 0 to 1."""
        return self.share(*(feature for group in groups for feature in GROUPS[group]))

    def share(self, *features: str) -> float:
        """How much of the score these features make together, 0 to 1."""
        best: dict[str, float] = {}
        for name in features:
            family, weight = self._weights.get(name, (name, 0.0))
            best[family] = max(best.get(family, 0.0), weight)
        return min(sum(best.values()), 1.0)

    def surprise(self, *features: str) -> float:
        """The largest surprise among these features, -log10 p."""
        return max(finite(self.e.surprise.get(name)) for name in features)

    def value(self, feature: str, default: float = 0.0) -> float:
        """Value of a feature where it was most surprising; the default where it is unknown."""
        return finite(self.e.value.get(feature), default)

    def typical(self, feature: str) -> float:
        """What is usual of a feature where it was most surprising; 0 where that is unknown."""
        return finite(self.e.typical.get(feature))

    def ratio(self, *features: str) -> float:
        """By how many times the features exceed what is typical, the largest; typical is taken as 1 at least."""
        return max(finite(self.e.value.get(f)) / max(finite(self.e.typical.get(f)), 1.0) for f in features)

    @property
    def failed(self) -> float:
        """Share of the invocations that failed."""
        return self.e.failed / max(self.e.invocations, 1)

    @property
    def refused(self) -> float:
        """Share of the invocations that were refused."""
        return self.e.refused / max(self.e.invocations, 1)

    @property
    def denied(self) -> float:
        """Share of the refused calls that were refused for their credential."""
        return self._refused_by(DENIED)

    @property
    def functions(self) -> int:
        """Functions touched."""
        return len({(app, function) for app, function, _ in self.e.functions})

    @property
    def troubled(self) -> int:
        """Functions that have a part in it worth the name: of hundreds of calls, two at a function are chance."""
        counts = [count for _, _, count in self.e.functions]
        return sum(count >= max(1, _A_PART * sum(counts)) for count in counts)

    @property
    def known_for_s(self) -> float:
        """How long before the first event a function was seen that training did not know, s."""
        return max(self.value("new_function") - self.span_s, 0.0)

    @property
    def span_s(self) -> float:
        """From the first event to the last, s."""
        return max(self.e.last_us - self.e.first_us, 0) / _US

    @property
    def a_minute(self) -> float:
        """Calls a minute, over a minute at least."""
        return self.e.invocations / max(self.span_s / 60.0, 1.0)

    @cached_property
    def caller_share(self) -> float:
        """Share of the calls that the first caller made."""
        if not self.e.callers:
            return 0.0
        # rows are counted by caller, but one that is sampled stands for several calls
        named = sum(count for _, _, count in self.e.callers)
        total = named if self.e.sampled else max(named, self.e.invocations)
        return self.e.callers[0][2] / max(total, 1)

    @property
    def by_caller(self) -> bool:
        """The story is one caller's; what a caller or a place began and a crowd made is not."""
        return self.e.lead == "caller" and (self.e.distinct_callers < CROWD or self.caller_share >= 0.5)

    @property
    def one_caller(self) -> bool:
        """Nearly all of it is one caller's doing, whatever the story began with."""
        nearly = self.e.distinct_callers == 1 or self.caller_share >= _NEARLY_ALL
        return self.by_caller or (nearly and self.e.invocations >= _TELLING and self.caller_source in ONE_CALLER)

    @property
    def sure_or_many(self) -> bool:
        """The caller is known for sure, or calls so often that it matters whoever it is."""
        return self.e.caller_confidence >= 0.7 or self.e.invocations >= 100

    @property
    def first_day(self) -> bool:
        """The first caller was not seen at these functions a day before it began, however long it has gone on since."""
        return self.e.caller_age_s is not None and self.e.caller_age_s - self.span_s < _DAY_S

    @property
    def only_writes(self) -> bool:
        """All calls write, by their methods, and none reads."""
        return self._only(_WRITING)

    @property
    def only_reads(self) -> bool:
        """All calls read, by their methods, and none writes."""
        return self._only(_READING)

    def _only(self, methods: frozenset[str]) -> bool:
        return bool(self.e.methods) and methods.issuperset(method.upper() for method in self.e.methods)

    @property
    def abroad(self) -> bool:
        """One caller calls from a country that is strange in itself: to it, or of a place, there."""
        place = GROUPS["place"] if self.caller_source not in ONE_CALLER else ("caller_new_country",)
        return self._strange_there(*place)

    @property
    def from_afar(self) -> bool:
        """As ``abroad``, or from where hardly anybody calls."""
        return self.abroad or self._strange_there("country_rare_here", "country_new")

    def _strange_there(self, *features: str) -> bool:
        """One caller calls from a single country, which one of these features finds strange in itself."""
        return self.one_caller and self.all_from_there and self.surprise(*features) >= STRONG

    @property
    def all_from_there(self) -> bool:
        """Nearly all calls came from one country."""
        here = self.e.countries[0][1] if self.e.countries else 0
        return here > 0 and here >= _ALL_BUT * sum(count for _, count in self.e.countries)

    @property
    def many_from_afar(self) -> bool:
        """Most calls of many callers come from where hardly anybody calls."""
        afar = sum(count for _, count in self.e.afar)
        # a place is where many may call from
        many = self.e.distinct_callers >= CROWD or self.caller_source not in ONE_CALLER
        return many and not self.one_caller and afar >= _MOSTLY * self.e.invocations > 0

    @property
    def out_of_place(self) -> bool:
        """A caller that is known calls what it had not called a day before, and hardly anybody calls as much of."""
        known = self.one_caller and self.caller_source in ONE_CALLER and not self.first_day
        fresh = sum(count for _, _, count in self.e.fresh)
        seldom = self.own_load and self.surprise("pace_minutes", "pace_hour") >= STRONG
        return known and seldom and fresh >= _MOSTLY * self.e.invocations > 0

    @property
    def peak_a_minute(self) -> float:
        """Calls a minute when it was busiest; others' calls, before and after, make a flood look slow."""
        window = self.value("pace_minutes") if self.own_load else 0.0
        return max(self.a_minute, window / 5.0, self.value("caller_pace_here") / 5.0)

    @property
    def of_a_crowd(self) -> bool:
        """One caller's part in what many do at once: the function's load makes the story, and is not its own."""
        window = max(self.value("pace_minutes"), self.value("pace_hour"))
        small = self.e.invocations <= _SMALL_PART * window
        steep = self.ratio("pace_minutes", "pace_hour") >= _STEEP
        # a place is where many may call from
        many = self.value("newcomers") >= CROWD or self.caller_source not in ONE_CALLER
        return self.by_caller and small and steep and many

    @property
    def own_load(self) -> bool:
        """The function's load is one caller's."""
        window = max(self.value("pace_hour"), self.value("pace_minutes"))
        return self.one_caller and self.e.invocations >= _MOST_OF * window

    @property
    def caller_load(self) -> float:
        """How much of the score one caller's pace makes; where it is alone, the function's pace is its pace."""
        return self.of("caller_pace", "pace") if self.own_load else self.of("caller_pace")

    @property
    def own_failures(self) -> bool:
        """The caller fails more than the function does: where it fails for everybody, the caller is not the cause."""
        own, known, everybody = (
            finite(self.e.share.get(n)) for n in ("caller_failures", "known_failures", "failure_burst")
        )
        return own + known >= max(everybody, 0.05)

    @property
    def fails_once(self) -> bool:
        """A single call failed, and no other beside it."""
        return self.e.failed == 1 and max(self.value(name) for name in GROUPS["failure"]) < _SECOND

    @property
    def unreadable(self) -> float:
        """Share of the refused calls that were refused since they can't be read."""
        return self._refused_by(UNREADABLE)

    @property
    def unentitled(self) -> float:
        """Share of the refused calls that were refused for want of a key or of a right."""
        return self._refused_by(_UNENTITLED)

    @property
    def done_already(self) -> float:
        """Share of the refused calls that asked for what was done already, or is being done."""
        return self._refused_by(_CONFLICT)

    def _refused_by(self, statuses: frozenset[int]) -> float:
        """Share of the refused calls that were refused by these statuses."""
        refusals = {status: count for status, count in self.e.statuses.items() if 400 <= status < 500}
        return sum(n for status, n in refusals.items() if status in statuses) / max(sum(refusals.values()), 1)

    @property
    def messages(self) -> float:
        """Messages that failed, about: failures by deliveries of one."""
        return self.e.failed / max(self.value("redelivery"), 1.0)

    @property
    def few_messages(self) -> bool:
        """Its failures may be deliveries of few bad messages."""
        return self.messages <= _FEW_MESSAGES

    @property
    def timed_out(self) -> bool:
        """Most of it failed, and half of it took as long as the longest: whoever was asked did not answer in time."""
        middle, longest = (finite(ms) for ms in self.e.duration_ms)
        return self.failed >= 0.5 and self.e.failed >= _MANY_FAILURES and middle >= max(_ALIKE * longest, _PATIENCE_MS)

    @property
    def guesses(self) -> int:
        """Refused calls that tried something; 429 says that there were too many, 409 that the same was done already."""
        return max(self.e.refused - self.e.statuses.get(429, 0) - self.e.statuses.get(409, 0), 0)

    @property
    def caller_source(self) -> str:
        """Where the most frequent caller's identity was taken from."""
        return self.e.callers[0][1] if self.e.callers else "unknown"

    @property
    def kept_waiting(self) -> bool:
        """Several delays by a round number of seconds, beyond chance, however much else there is."""
        many = max(_SEVERAL_DELAYS, _SMALL_PART * self.e.invocations)
        return self.value("round_seconds") >= many and self.surprise("round_seconds") >= _NO_CHANCE

    @property
    def newcomer(self) -> bool:
        """The caller was first seen anywhere less than a day before."""
        age = self.e.value.get("caller_new")
        if age is not None:
            # others' calls may be part of a caller's story: a past that tells more than novelty is this caller's
            novelty = self.of("novelty")
            return (
                finite(age) < _DAY_S
                and novelty >= _NOVEL
                and novelty >= self.share("caller_hours", "caller_new_country")
            )
        # where newcomers are common nothing is said about age: one that breaks no habit has none
        return self.e.new_callers > 0 and not any(name in self.e.value for name in _HABITS)

    @property
    def new_here(self) -> bool:
        """That the caller is new, or new at these functions, is a good part of the story."""
        age = self.e.value.get("caller_new_to_function")
        return self.newcomer or (age is not None and finite(age) < _DAY_S and self.of("novelty", "reach") >= 0.1)

    @property
    def usual_ms(self) -> float:
        """The usual run time in ms; 0 where nothing says it."""
        if finite(self.e.usual_ms) > 0.0:
            return self.e.usual_ms
        return next((v for name in _RUN_TIMES if (v := finite(self.e.typical.get(name))) > 0.0), 0.0)

    @property
    def messaging(self) -> bool:
        """All of it was fired by messages, or by hand in their stead."""
        # an event hub's reason is not logged, but where its messages come from is
        fired = frozenset((*BY_MESSAGE, "other") if self.caller_source == "queue" else BY_MESSAGE)
        return any(t in fired for t in self.e.triggers) and (fired | {"host-api"}).issuperset(self.e.triggers)

    @property
    def http(self) -> bool:
        """Some of it was called over HTTP, or how is not known."""
        return "http" in self.e.triggers or not self.e.triggers

    @property
    def longest(self) -> float:
        """The longest run, in usual ones; 0 where nothing says what is usual."""
        return finite(self.e.duration_ms[1]) / max(self.usual_ms, 1.0) if self.usual_ms > 0.0 else 0.0

    @property
    def typical_run(self) -> float:
        """The median run, in usual ones; 0 where nothing says what is usual.

        What is usual at one function is not at another: of several, the run times that have risen most.
        """
        lately, usual = (finite(of.get("latency_shift")) for of in (self.e.value, self.e.typical))
        if len(self.e.functions) > 1 and usual > 0.0:
            return lately / max(usual, 1.0)
        return finite(self.e.duration_ms[0]) / max(self.usual_ms, 1.0) if self.usual_ms > 0.0 else 0.0


@dataclass(frozen=True, slots=True)
class Kind:
    """One kind of finding: how it is known, what it is called, how bad it is and what to do.

    Attributes:
        id: as in an incident's ``kind``.
        title: template of the title; names in braces are phrases, see ``detectors.phrases``.
        summary: template of the summary, one sentence.
        meaning: what it may be and what harmless things look the same, for the documentation.
        attack: MITRE ATT&CK (Enterprise) techniques; empty where it is a fault.
        severity: rule.
        runbook: steps for whoever is called, most urgent first.
        made_by: GROUPS of features that make it.
        fits: whether evidence is of this kind, provided that no kind before it fits.
        example: evidence of this kind, for tests and documentation.
        costs: it runs up a bill, so money is told.
        long_runs: functions with long runs are named before the others.
    """

    id: str
    title: str
    summary: str
    meaning: str
    attack: tuple[str, ...]
    severity: Callable[[Signs], Severity]
    runbook: tuple[str, ...]
    made_by: tuple[str, ...]
    fits: Callable[[Signs], bool]
    example: Evidence
    costs: bool = False
    long_runs: bool = False


def level(base: Severity, *raises: bool) -> Severity:
    """The base severity, one step higher for each condition that holds."""
    return SEVERITIES[min(SEVERITIES.index(base) + sum(raises), len(SEVERITIES) - 1)]


def finite(value: float | None, default: float = 0.0) -> float:
    """The number, or the default where there is none."""
    return default if value is None or not math.isfinite(value) else float(value)
