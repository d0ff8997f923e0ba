"""The phrases that titles and summaries are made of: each is worked out from evidence when a template asks for it."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Final

from detectors import wording as say
from detectors.catalogue.kind import CROWD, GROUPS, Signs, finite
from detectors.cost import PRICES, Prices, cost
from detectors.evidence import Evidence
from detectors.reasons import reason_text

_US: Final = 1_000_000
#: a share of refused or failed calls below this is not told
_WORTH_TELLING: Final = 0.02
#: the same where they are fewer than some
_WORTH_TELLING_OF_FEW: Final = 0.2
_SOME: Final = 3
#: times as many as usual from which on refusals and failures are news
_CLEARLY_MORE: Final = 1.5
#: times the usual run from which on all runs are slow
_SLOW: Final = 1.5
#: share of the score from which on something is a part of the story
_PART_OF_IT: Final = 0.05
#: of the largest share: what makes so much may be told in its place
_NEARLY_AS_MUCH: Final = 0.25
#: US dollars from which on a bill is told
_WORTH_A_BILL: Final = 1.0
#: seconds that count as no time at all
_JUST_NOW_S: Final = 60.0
#: features that count all calls of a function, whoever makes them
_OF_FUNCTION: Final = frozenset({"pace_minutes", "pace_hour"})
#: what a count of failures is called, where they have just been spoken of
_OF_FAILURES: Final = re.compile(r" (?:failures?|failed calls?)\b")
_ACRONYMS: Final = re.compile(r"\b(?:sql|jndi|ssrf)\b")


class Phrases(Mapping[str, str]):
    """Phrase by name, for ``str.format_map``; a name with a capital gives the phrase with a capital.

    >>> seen = Evidence(invocations=41, last_us=720_000_000, callers=(("address:203.0.113.7", "address", 41),))
    >>> "{Calls} {during} from {caller}.".format_map(Phrases(seen))
    '41 calls in 12 minutes from address 203.0.113.7.'
    """

    def __init__(self, evidence: Evidence, prices: Prices = PRICES) -> None:
        self._e = evidence
        self._signs = Signs(evidence)
        self._prices = prices

    def __getitem__(self, name: str) -> str:
        found = getattr(type(self), f"say_{name.lower()}", None)
        if found is None:
            raise KeyError(name)
        text: str = found(self)
        return say.capital(text) if name[:1].isupper() else text

    def __iter__(self) -> Iterator[str]:
        return (name.removeprefix("say_") for name in dir(type(self)) if name.startswith("say_"))

    def __len__(self) -> int:
        return sum(1 for _ in self)

    # who and where

    def say_caller(self) -> str:
        """The caller; several are counted."""
        e = self._e
        if not self._signs.one_caller and e.distinct_callers > 1:
            return say.plural(e.distinct_callers, "caller")
        return say.caller_words(e.callers[0][0]) if e.callers else "callers without identity"

    def say_from_whom(self) -> str:
        """Where the calls come from: a caller, so many callers, or a place."""
        caller = self.say_caller()
        return caller.removeprefix("callers ") if caller.startswith("callers from ") else f"from {caller}"

    def say_and_others(self) -> str:
        """How many others there were beside the one whose doing it is."""
        others = self._e.distinct_callers - 1
        return f" and {say.plural(others, 'other')}" if self._signs.one_caller and others > 0 else ""

    def say_crowd(self) -> str:
        """A flood's many callers; or the one that is told of, among them."""
        if self._signs.of_a_crowd:
            return f"with {self.say_caller()} among the callers"
        return f"{self.say_from_whom()} at once"

    def say_where(self) -> str:
        """The function most touched, the others counted."""
        names = [function for _, function, _ in self._e.functions if function]
        if not names:
            return self.say_app()
        others = len(set(names)) - 1
        first = say.tame(names[0])
        return first if others <= 0 else f"{first} and {others} other function{'s' if others > 1 else ''}"

    def say_spot(self) -> str:
        """As ``where``, shorter: for titles."""
        names = list(dict.fromkeys(function for _, function, _ in self._e.functions if function))
        if len(names) < 2:
            return self.say_where()
        return f"{say.tame(names[0])} and {len(names) - 1:,} more"

    def say_it(self) -> str:
        """The app, or the apps, as spoken of before."""
        return "these apps" if len(self._e.apps) > 1 else "this app"

    def say_app(self) -> str:
        """The app, or how many."""
        apps = self._e.apps or tuple(dict.fromkeys(app for app, _, _ in self._e.functions))
        return say.plural(len(apps), "app") if len(apps) > 1 else say.tame(apps[0]) if apps else "an unknown app"

    def say_functions(self) -> str:
        """How many functions."""
        return say.plural(self._signs.functions, "function")

    def say_country(self) -> str:
        """The country most seen."""
        return say.tame(self._e.countries[0][0]) if self._e.countries else "a new country"

    def say_abroad(self) -> str:
        """Calls from a country that is new to the caller, or rare at the function."""
        place = self._place()
        share = self._e.value.get("country_rare_here")
        if self._new_to_caller() and not place:
            return f"first calls from {self.say_country()} by {self.say_caller()}"
        by = "" if place else f", by {self.say_caller()}"
        if share is not None and finite(share) <= 0.0:
            return f"first calls from {place or self.say_country()} at {self.say_spot()}{by}"
        return f"calls from {place or self.say_country()}, rare at {self.say_spot()}{by}"

    def say_from_abroad(self) -> str:
        """The country and the caller; once where the caller is known by its place only."""
        place = self._place()
        return f"from {place}" if place else f"from {self.say_country()} by {self.say_caller()}"

    def say_foreign(self) -> str:
        """How new the country is to the caller, or how rare at the function."""
        if self._new_to_caller() and not self._place():
            return f"never seen from there{self.say_history()}"
        share = self._e.value.get("country_rare_here")
        if share is not None and finite(share) <= 0.0:
            return "a country from which nobody called it before"
        return f"a country that makes {'few' if share is None else say.percent(finite(share))} of the calls there"

    def say_travels(self) -> str:
        """Two countries and the time between them."""
        names = [say.tame(name) for name, _ in self._e.countries]
        if len(names) > 1:
            return f"in {say.listed(names)} within {self.say_travel()}"
        return f"in {self.say_country()} {self.say_travel()} after another country"

    def say_apart(self) -> str:
        """As ``travels``, for a sentence."""
        if len(self._e.countries) > 1:
            return f"{self.say_travels()} of each other"
        return f"from {self.say_country()}, {self.say_travel()} after a call from another country"

    def say_new_ones(self) -> str:
        """How many of the callers are new."""
        e = self._e
        if self._signs.of_a_crowd:
            ones = say.whole(self._signs.value("newcomers"))
            return f", one of {say.number(ones)} never seen there before" if ones >= CROWD else ""
        new = min(e.new_callers, e.distinct_callers)
        return f" ({new:,} of them new)" if new and not self._signs.one_caller and e.distinct_callers > 1 else ""

    def say_queue(self) -> str:
        """What fired the functions."""
        return f" fed by {say.listed([say.tame(s) for s in self._e.sources])}" if self._e.sources else ""

    # how much and when

    def say_calls(self) -> str:
        """The invocations, counted; runs where nobody called over HTTP, about so many where rows are sampled."""
        noun = "run" if self._runs() else "call"
        return ("about " if self._e.sampled else "") + say.plural(self._e.invocations, noun)

    def say_to(self) -> str:
        """Calls go to a function, runs are a function's own."""
        return "of" if self._runs() else "to"

    def say_during(self) -> str:
        """In how long; a single moment by its clock."""
        return (
            f"in {say.span(self._signs.span_s)}" if self._signs.span_s >= 1.0 else f"at {say.clock(self._e.first_us)}"
        )

    def say_pace(self) -> str:
        """The pace that stands out most, with what is usual."""
        names = ("caller_pace", "caller_pace_here", "pace_minutes", "pace_hour", "growth_days")
        share = {name: finite(self._e.share.get(name)) for name in names if name in self._e.value}
        told = [name for name in share if share[name] >= _NEARLY_AS_MUCH * max(share.values())]
        if not told:
            return f"{say.number(self._signs.a_minute)} calls a minute"
        return self._of(max(told, key=lambda name: (self._signs.ratio(name), share[name])))

    def say_busy(self) -> str:
        """The pace, where it is a part of the story."""
        return f", {self.say_pace()}" if self._signs.of("caller_pace", "pace") >= _PART_OF_IT else ""

    def say_growth(self) -> str:
        """The growth that stands out most, with what is usual."""
        return self._most(("growth_days", "cost_days", "pace_hour")) or self.say_pace()

    def say_expense(self) -> str:
        """Run time paid for, with what is usual."""
        return self._most(("cost_hour", "cost_days")) or f"{say.span(self._e.run_seconds)} of run time"

    def say_bill(self) -> str:
        """Cost so far, as a range over plans and memory."""
        if self._e.run_seconds <= 0.0:
            return ""
        spent = cost(self._e.run_seconds, self._e.invocations, self._prices)
        return f"; cost so far {spent.words()}, by plan and memory"

    def say_money(self) -> str:
        """As ``bill``, where there may be a dollar to it."""
        spent = cost(max(self._e.run_seconds, 0.0), self._e.invocations, self._prices)
        return self.say_bill() if spent.usd[1] >= _WORTH_A_BILL else ""

    def say_age(self) -> str:
        """How long the function has been known."""
        return say.span(finite(self._e.value.get("new_function")))

    def say_hour(self) -> str:
        """The hour of the first event."""
        return say.hour(self._e.first_us)

    def say_odd_hour(self) -> str:
        """The share of the hours at which the caller calls that this one holds as a rule."""
        share = self._e.value.get("caller_hours")
        if share is not None and finite(share) <= 0.0:
            return "a time of day at which it never called before"
        return f"a time of day that holds {'few' if share is None else say.percent(finite(share))} of its working hours"

    def say_unknown(self) -> str:
        """Since when the caller has been seen there."""
        age = self._e.caller_age_s
        # the age is that of its last event
        before = None if age is None else finite(age) - self._signs.span_s
        if before is None or before < _JUST_NOW_S:
            return "never seen there before"
        return f"first seen there {say.span(before)} before"

    def say_travel(self) -> str:
        """Time between calls from two countries."""
        return say.span(finite(self._e.value.get("travel")))

    def say_history(self) -> str:
        """Earlier calls of the caller, by which it is known."""
        names = ("caller_new_country", "caller_new_to_app", "caller_new_here")
        settled = max(finite(self._e.typical.get(name)) for name in names)
        return f" in {say.counted(settled, 'earlier call')}" if settled >= 1.0 else " before"

    def say_deployed(self) -> str:
        """How long before the first event the version changed."""
        return say.span(finite(self._e.deployed_ago_s))

    # what went wrong

    def say_bad(self) -> str:
        """Refused and failed calls, with what is usual; "" where all is well."""
        return self._refused() + self._failed()

    def say_other_bad(self) -> str:
        """As ``bad``, without what ``why`` has told."""
        told = self._first()
        refused = "" if told in GROUPS["refusal"] else self._refused()
        return refused + ("" if told in GROUPS["failure"] else self._failed())

    def say_denied(self) -> str:
        """Refused calls by status."""
        ranked = sorted(self._e.statuses.items(), key=lambda item: (-item[1], item[0]))
        seen = [f"{count:,} with {status}" for status, count in ranked if 400 <= status < 500]
        return self._refused() + (f" ({say.listed(seen)})" if seen else "")

    def say_failures(self) -> str:
        """Failed calls with what is usual, as the beginning of a sentence.

        Calls that went well are no part of the incident, so nothing is said of them.
        """
        noun = "run" if self._runs() else "call"
        those = f"{say.plural(self._e.failed, noun)} {self.say_during()} {self.say_to()} {self.say_where()} failed"
        name = self._failing()
        most = finite(self._e.value.get(name))
        if 1.0 <= most < self._e.failed / _CLEARLY_MORE:
            return f"{those}, up to {_OF_FAILURES.sub('', self._of(name))}"
        if name == "caller_failures" and most >= _CLEARLY_MORE * self._e.failed:
            return f"{those}, among {self._of(name)}"
        return those + self._instead("failed")

    def say_failing(self) -> str:
        """What fails: a function; or the calls of a caller, most of them elsewhere."""
        name = self._failing()
        elsewhere = name == "caller_failures" and finite(self._e.value.get(name)) >= _CLEARLY_MORE * self._e.failed
        return f"{self.say_from_whom()}, now at {self.say_spot()}" if elsewhere else f"at {self.say_spot()}"

    def say_from_one(self) -> str:
        """The caller, where the story is one caller's."""
        if not self._signs.by_caller:
            return ""
        return f", {'all' if self._e.distinct_callers <= 1 else 'most'} {self.say_from_whom()}"

    def say_exceptions(self) -> str:
        """Types of the exceptions, without their namespaces."""
        names = [say.tame(name.rpartition(".")[2] or name) for name in self._e.exception_types]
        return f", with {say.listed(list(dict.fromkeys(names)))}" if names else ""

    def say_signatures(self) -> str:
        """Kinds of attack that the texts carry."""
        names = [_ACRONYMS.sub(lambda m: m[0].upper(), say.tame(n)) for n in self._e.signatures if n != "none"]
        return f", with signs of {say.listed(names)}" if names else ""

    def say_delays(self) -> str:
        """Delays by round numbers of seconds."""
        if self._signs.share("round_seconds") < 0.05:
            return ""
        count = self._signs.value("round_seconds")
        return f", about {round(count):,} of them delayed by a round number of seconds" if count >= 1.0 else ""

    def say_slow(self) -> str:
        """Run times with what is usual; "" where they are usual."""
        median, longest = (finite(v) for v in self._e.duration_ms)
        usual = self._signs.usual_ms
        if usual <= 0.0 or longest < say.NEWS * usual:
            return ""
        # among many runs some are always long
        if median < _SLOW * usual and self._signs.of("duration", "latency", "caller_latency", "probe") < _PART_OF_IT:
            return ""
        half = f"median {say.milliseconds(median)}, usual {say.milliseconds(usual)}"
        return f", running up to {say.milliseconds(longest)} ({half})"

    def say_latency(self) -> str:
        """The run time as it has become, with what was usual."""
        names = ("latency_shift", "latency_drop", "duration_low", "duration_high")
        found = sorted((-finite(self._e.share.get(n)), n) for n in names if n in self._e.value)
        if found:
            name = found[0][1]
            now, usual = finite(self._e.value[name]), finite(self._e.typical.get(name), self._signs.usual_ms)
        else:
            now, usual = finite(self._e.duration_ms[0]), self._signs.usual_ms
        often = say.times(now, usual)
        shown = f"{say.milliseconds(now)} where {say.milliseconds(usual)} is usual"
        return f"{shown}, {often} as long" if often else shown

    def say_deliveries(self) -> str:
        """Deliveries of one message."""
        return say.number(max(self._signs.value("redelivery"), 1.0))

    def say_off(self) -> str:
        """How far from the schedule."""
        off = self._signs.value("off_schedule")
        return f"up to {say.span(off)} away from the times it keeps" if off >= 1.0 else "which no schedule asked for"

    def say_gone(self) -> str:
        """The silence: since when, how long, what is missing."""
        silent = self._e.silence
        if silent is None:
            return f"since {say.clock(self._e.last_us)}"
        until = max(self._e.opened_us, self._e.last_us, silent.since_us)
        seconds = (until - silent.since_us) / _US
        rate = finite(silent.expected_per_hour)
        missing = rate * seconds / 3600.0
        return (
            f"since {say.clock(silent.since_us)}, {say.span(seconds)} so far, where "
            f"{say.number(rate)} an hour are usual: "
            f"about {say.number(missing)} missing"
        )

    def say_why(self) -> str:
        """What stands out most, in a few words."""
        name = self._first()
        if name:
            return self._of(name)
        return f"{say.number(max(finite(self._e.score), 0.0))} on the scale of strangeness"

    def _first(self) -> str:
        """The feature with the largest share of those that have a value; "" where none has."""
        ranked = sorted((-finite(share), name) for name, share in self._e.share.items())
        return next((name for _, name in ranked if name in self._e.value), "")

    def _failing(self) -> str:
        """The feature that makes most of the failures."""
        return max(GROUPS["failure"], key=lambda one: finite(self._e.share.get(one)))

    def _place(self) -> str:
        """The place by which alone the caller is known; "" where it is known by more, or is one of many."""
        if self._signs.caller_source != "geography" or not self._signs.one_caller or not self._e.callers:
            return ""
        return say.place_words(self._e.callers[0][0].partition(":")[2])

    def _runs(self) -> bool:
        return bool(self._e.triggers) and "http" not in self._e.triggers

    def _new_to_caller(self) -> bool:
        return self._signs.share("caller_new_country") >= self._signs.share("country_rare_here", "country_new")

    def _most(self, names: tuple[str, ...]) -> str:
        """What the feature with the largest share says; "" where none has a value."""
        found = sorted((-finite(self._e.share.get(n)), i, n) for i, n in enumerate(names) if n in self._e.value)
        if not found:
            return ""
        return self._of(found[0][2])

    def _of(self, name: str) -> str:
        """What a feature says; the calls of a whole function are told from those of the incident, which are fewer."""
        value = self._e.value[name]
        text = reason_text(name, value, self._e.typical.get(name), self._signs.caller_source)
        return f"among {text}" if name in _OF_FUNCTION and finite(value) >= 1.5 * self._e.invocations else text

    def _refused(self) -> str:
        return self._part("refused", self._e.refused)

    def _failed(self) -> str:
        return self._part("failed", self._e.failed)

    def _part(self, what: str, count: int) -> str:
        """How many were refused, or failed, with what is usual; "" where that is no news."""
        if not self._news(what, count):
            return ""
        if self._e.invocations == 1:
            return f", which {'was ' if what == 'refused' else ''}{what}"
        those = "all of them" if count >= self._e.invocations else f"{count:,} of them"
        return f", {those} {what}{self._instead(what)}"

    def _news(self, what: str, count: int) -> bool:
        """Whether more than a few were refused, or failed, and clearly more than would be usual."""
        share, expected = count / max(self._e.invocations, 1), self._expected(what)
        some = share >= (_WORTH_TELLING if count >= _SOME else _WORTH_TELLING_OF_FEW)
        return count > 0 and some and (expected is None or count >= _CLEARLY_MORE * expected)

    def _instead(self, what: str) -> str:
        """How many would be usual among so many calls."""
        expected = self._expected(what)
        return "" if expected is None else f" where {say.usual(expected)} would be usual"

    def _expected(self, what: str) -> float | None:
        """How many would be usual among so many calls, from the windows that were measured; None where none was."""
        names = {
            "refused": ("caller_client_errors", "client_error_burst"),
            "failed": ("caller_failures", "failure_burst"),
        }
        count = self._e.refused if what == "refused" else self._e.failed
        seen = [
            finite(self._e.typical.get(name)) / value
            for name in names[what]
            if (value := finite(self._e.value.get(name))) > 0.0 and name in self._e.typical
        ]
        return count * max(seen) if seen else None
