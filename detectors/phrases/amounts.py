"""Phrases of how much, how long and since when."""

from __future__ import annotations

from typing import Final

from detectors import wording as say
from detectors.catalogue.kind import finite
from detectors.cost import cost
from detectors.evidence import Silence
from detectors.phrases.telling import Telling

_US: Final = 1_000_000
#: share of the score from which on something is a part of the story
_PART_OF_IT: Final = 0.05
#: of the largest share: what makes so much may be told in its place
_NEARLY_AS_MUCH: Final = 0.25
#: ms; a run that takes so long is worth a word
_LONG_RUN_MS: Final = 10_000.0
#: s; what lasts so long may be a short thing with a tail, where most came in so small a part of it
_LONG_S: Final = 3_600.0
_SHORT_PART: Final = 0.4
#: s within which most must have come to have come at once
_AT_ONCE_S: Final = 3_600.0
#: US dollars from which on a bill is told
_WORTH_A_BILL: Final = 1.0


def _whole(number: float, least: float = 1.0) -> float:
    """A number of runs that is known on the average only."""
    return max(float(round(finite(number))), least)


class Amounts(Telling):
    """How much and when."""

    def say_calls(self) -> str:
        """The invocations, counted; runs where nobody called over HTTP, about so many where rows are sampled."""
        noun = "run" if self._runs() else "call"
        return ("about " if self._e.sampled else "") + say.plural(self._e.invocations, noun)

    def say_by_hand(self) -> str:
        """Runs that no schedule asked for, and in how long; the first alone may have been too little to be told."""
        runs = round(self._signs.value("unscheduled"))
        more = f" ({runs:,} within a day)" if runs > self._e.invocations else ""
        return f"{self.say_calls()} {self.say_during()}{more}"

    def say_how_many(self) -> str:
        """That only some of the runs are of that kind: others the clock started, where nobody expected it."""
        return "" if set(self._e.triggers) <= {"host-api"} else ", some of them"

    def say_none(self) -> str:
        """That nothing came, where nothing comes any more."""
        return "no run" if self._runs() else "no call"

    def say_few(self) -> str:
        """How many of the runs came that others promised."""
        came = round(finite(self._e.missing.came)) if self._e.missing is not None else 0
        return say.plural(came, "run" if self._runs() else "call") if came else self.say_none()

    def say_owed(self) -> str:
        """How many runs others promised."""
        return say.number(_whole(self._e.missing.promised if self._e.missing is not None else 0.0))

    def say_undone(self) -> str:
        """How many of them did not come, and whether they come again."""
        missing = self._e.missing
        if missing is None:
            return "some missing"
        left = _whole(missing.promised) - _whole(missing.came, least=0.0)
        return f"about {say.number(max(left, 1.0))} missing{', but they come again' if missing.over else ''}"

    def say_times(self) -> str:
        """How many times as many runs came, and whether that is over."""
        missing = self._e.missing
        if missing is None:
            return "too many"
        times = finite(missing.came) / max(finite(missing.promised), 1.0)
        return f"{say.number(times)} times as many{', but no longer' if missing.over else ''}"

    def say_since_when(self) -> str:
        """Since when fewer, or more, came than were promised."""
        return f"since {say.clock(self._e.missing.since_us if self._e.missing is not None else self._e.first_us)}"

    def say_no_more(self) -> str:
        """That nothing comes any more, or for how long nothing came."""
        silent = self._e.silence
        if silent is None or not silent.over:
            return f"{self.say_none()} any more"
        return f"{self.say_none()} for {self._silent_for(silent, silent.lasts_us(silent.until_us) / _US)}"

    def _silent_for(self, silent: Silence, seconds: float) -> str:
        """How long nothing came; the shortest and the longest, where functions were not silent alike."""
        return say.span_range(silent.shortest_us / _US, seconds) if silent.unlike(seconds) else say.span(seconds)

    def say_to(self) -> str:
        """Calls go to a function, runs are a function's own."""
        return "of" if self._runs() else "to"

    def say_during(self) -> str:
        """In how long, and in which part of it most came; a single moment by its clock."""
        span_s, core_s = self._signs.span_s, finite(self._e.core_s)
        if span_s < 1.0:
            return f"at {say.clock(self._began_us())}"
        if span_s < _LONG_S or not 0.0 < core_s <= _SHORT_PART * span_s:
            return f"in {say.span(span_s)}"
        return f"in {say.span(span_s)}, most of them within {say.span(core_s)},"

    def say_at_once(self) -> str:
        """That most of it came together; what goes on for hours did not."""
        lasted = finite(self._e.core_s) or self._signs.span_s
        return " at once" if lasted <= _AT_ONCE_S else ""

    def say_pace(self) -> str:
        """The pace that stands out most, with what is usual."""
        of_caller = ("caller_pace", "caller_pace_here", "caller_volume_here", "caller_day")
        names = (*of_caller, "pace_minutes", "pace_hour", "growth_days")
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

    def say_fewer(self) -> str:
        """How many come, with what is usual."""
        return f"only {self._most(('fewer_calls',))}"

    def say_expense(self) -> str:
        """Run time paid for, with what is usual."""
        return self._most(("cost_hour", "cost_days")) or f"{say.span(self._e.run_seconds)} of run time"

    def say_bill(self) -> str:
        """Cost so far, in money: what the plan and its memory make of it is not logged."""
        if self._e.run_seconds <= 0.0:
            return ""
        spent = cost(self._e.run_seconds, self._e.invocations, self._prices)
        return f"; cost so far {spent.words()}, depending on plan and memory"

    def say_money(self) -> str:
        """As ``bill``, where there may be a dollar to it."""
        spent = cost(max(self._e.run_seconds, 0.0), self._e.invocations, self._prices)
        return self.say_bill() if spent.usd[1] >= _WORTH_A_BILL else ""

    def say_each(self) -> str:
        """How long a run takes, where that is long for anything: of what is new nothing is usual."""
        median = finite(self._e.duration_ms[0])
        return f", {say.milliseconds(median)} a run" if median >= _LONG_RUN_MS else ""

    def say_hour(self) -> str:
        """The time of day of the first event."""
        return say.time_of_day(self._began_us())

    def say_odd_hour(self) -> str:
        """The share of the hours at which the caller calls that this one holds as a rule."""
        share = self._e.value.get("caller_hours")
        if share is not None and finite(share) <= 0.0:
            return "a time of day at which it never called before"
        return f"a time of day that holds {'few' if share is None else say.percent(finite(share))} of its working hours"

    def say_travel(self) -> str:
        """Time between calls from two countries."""
        return say.span(finite(self._e.value.get("travel")))

    def say_history(self) -> str:
        """Earlier calls of the caller, by which it is known."""
        names = ("caller_new_country", "caller_new_to_app", "caller_new_here")
        settled = max(finite(self._e.typical.get(name)) for name in names)
        return f" in {say.counted(settled, 'earlier call')}" if settled >= 1.0 else " before"

    def say_deployed(self) -> str:
        """Since when it is worse: how long after the version changed, or all hosts did."""
        what = "all of its hosts were replaced" if self._e.by_hosts else "a new version"
        return f"from {say.span(finite(self._e.deployed_ago_s))} after {what} on"

    def say_deployment(self) -> str:
        """What it is worse since."""
        return "its hosts were replaced" if self._e.by_hosts else "a new version"
