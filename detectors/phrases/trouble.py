"""Phrases of what went wrong, beside what is usual."""

from __future__ import annotations

import re
from typing import Final

from detectors import wording as say
from detectors.catalogue.kind import GROUPS, finite
from detectors.phrases.who import Who

_US: Final = 1_000_000
#: a share of refused or failed calls below this is not told
_WORTH_TELLING: Final = 0.02
#: the same where they are fewer than some
_WORTH_TELLING_OF_FEW: Final = 0.2
_SOME: Final = 3
#: calls from which on those that were refused, or failed, are told as a share, too
_A_SHARE: Final = 20
#: the same share up to which it says more than the number: of strange calls alone all may be
_NOT_ALL: Final = 0.95
#: times as many as usual from which on refusals and failures are news
_CLEARLY_MORE: Final = 1.5
#: failures by deliveries up to which one message may have made them all, some of its deliveries unlogged
_ONE_OR_TWO: Final = 2.0
#: share of the calls that is most of them
_MOST: Final = 0.5
#: calls of which half are worth speaking of
_HALVES: Final = 5
#: times the usual run from which on all runs are slow
_SLOW: Final = 1.5
#: share of the score from which on something is a part of the story
_PART_OF_IT: Final = 0.05
#: share of the calls whose failing is a part of the story
_SOME_FAIL: Final = 0.1
#: what a count of failures is called, where they have just been spoken of
_OF_FAILURES: Final = re.compile(r" (?:failures?|failed calls?)\b")
_ACRONYMS: Final = re.compile(r"\b(?:sql|jndi|ssrf)\b")


class Trouble(Who):
    """What went wrong."""

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
            return f"{those}, up to {_OF_FAILURES.sub('', self._of(name)).removeprefix('about ')}"
        if most >= _CLEARLY_MORE * self._e.failed:
            # what came before is another story's, and is why this is told
            return f"{those}, among {self._of(name).removeprefix('among ')}"
        return those + self._instead("failed")

    def say_failing(self) -> str:
        """What fails: a function; or the calls of a caller, most of them elsewhere."""
        name = self._failing()
        elsewhere = (
            name in ("caller_failures", "known_failures")
            and finite(self._e.value.get(name)) >= _CLEARLY_MORE * self._e.failed
        )
        return f"{self.say_from_whom()}, now at {self.say_spot()}" if elsewhere else f"at {self.say_spot()}"

    def say_more_failures(self) -> str:
        """That more fails than usual; of a single failure that it is one."""
        if not self._signs.fails_once:
            return "far more failures than usual"
        return f"1 {'run' if self._runs() else 'call'} failed"

    def say_from_one(self) -> str:
        """The caller, where it is one caller's doing, or befalls one alone."""
        if not self._signs.one_caller:
            return ""
        share = "all" if self._e.distinct_callers <= 1 else "most" if self._signs.caller_share >= _MOST else "many"
        return f", {share} from {self._first_caller().removeprefix('callers from ')}"

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
        if self._signs.share("round_seconds") < 0.05 and not self._signs.kept_waiting:
            return ""
        # what was delayed before counts, too, and may be no part of the incident
        count = min(self._signs.value("round_seconds"), self._e.invocations)
        return f", at least {round(count):,} of them delayed by a round number of seconds" if count >= 1.0 else ""

    def say_slow(self) -> str:
        """Run times with what is usual; "" where they are usual."""
        return self._lengths(", running")

    def _lengths(self, runs: str) -> str:
        """As ``slow``, of one function begun with these words."""
        median, longest = (finite(v) for v in self._e.duration_ms)
        usual = self._signs.usual_ms
        if usual <= 0.0 or longest < say.NEWS * usual:
            return ""
        # among many runs some are always long
        if median < _SLOW * usual and self._signs.of("duration", "latency", "caller_latency", "probe") < _PART_OF_IT:
            return ""
        if len(self._e.functions) > 1:
            # what is usual at one of them is not at another
            if run := self._beyond_usual("duration_high"):
                return f", one running {run}"
            lately = self._beyond_usual("latency_shift", " on average")
            return f", runs taking up to {lately}" if lately else ""
        half = f"median {say.milliseconds(median)}, usual {say.milliseconds(usual)}"
        return f"{runs} up to {say.milliseconds(longest)} ({half})"

    def _beyond_usual(self, name: str, average: str = "") -> str:
        """What a run time came to where it was strangest, beside what is usual; "" where that is usual."""
        value, usual = finite(self._e.value.get(name)), finite(self._e.typical.get(name))
        if value < say.NEWS * usual or usual <= 0.0:
            return ""
        return f"{say.milliseconds(value)}{average} where {say.milliseconds(usual)} is usual"

    def say_in_trouble(self) -> str:
        """What ails several functions."""
        failing = self._signs.failed >= _SOME_FAIL or self._signs.of("failure", "retry") >= _PART_OF_IT
        slow = self._signs.of("duration", "latency", "caller_latency") >= _PART_OF_IT
        ails = [what for what, holds in (("slow", slow), ("failing", failing)) if holds]
        return " and ".join(ails) or "in trouble"

    def say_beside(self) -> str:
        """Calls of others that suffer, and runs that work off what was sent; "" where none to speak of do."""
        least = max(1.0, _WORTH_TELLING * self._e.invocations)
        fed = [(name, n) for name, n in self._queues() if least <= n <= self._e.beside]
        others = self._e.beside - sum(n for _, n in fed)
        parts = [f"{say.plural(n, 'run')} fed by {say.caller_words(name)}" for name, n in fed]
        if others >= least:
            parts.insert(0, f"{say.plural(others, 'call')} of others there")
        return f"; {say.listed(parts)} stood out, too" if parts else ""

    def say_latency(self) -> str:
        """The run time where it was strangest, with what is usual; its larger half, where an average trails behind."""
        if finite(self._e.share.get("long_runs")) > finite(self._e.share.get("latency_shift")):
            return self._of("long_runs") + self._lengths("; they run")
        names = ("latency_shift", "latency_drop", "duration_low", "duration_high")
        found = sorted((-finite(self._e.share.get(n)), n) for n in names if n in self._e.value)
        begun, name = "runs took up to", ""
        if found:
            name = found[0][1]
            begun = "runs took as little as" if name in ("latency_drop", "duration_low") else begun
            now, usual = finite(self._e.value[name]), finite(self._e.typical.get(name), self._signs.usual_ms)
            average = " on average" if name.startswith("latency") else ""
        else:
            now, usual, average = finite(self._e.duration_ms[0]), self._signs.usual_ms, " as a rule"
        half, beside = finite(self._e.duration_ms[0]), ""
        if len(self._e.functions) == 1 and half > max(now, usual):
            if self._e.invocations >= _HALVES and name.startswith("latency") and now >= say.NEWS * usual:
                # those that are told are the slowest: what all runs took is what a chart shows
                beside = f"; half of these calls took {say.milliseconds(half)} or more"
            elif self._e.invocations >= _HALVES:
                begun, now, average = "half of them took", half, " or more"
            else:
                begun = "it took" if self._e.invocations == 1 else "they took up to"
                now, average = finite(self._e.duration_ms[1]), ""
        often = say.times(now, usual)
        shown = f"{begun} {say.milliseconds(now)}{average} where {say.milliseconds(usual)} is usual"
        return (f"{shown}, {often} as long" if often else shown) + beside

    def say_a_message(self) -> str:
        """Whether one message fails or several do."""
        return "messages fail" if self._signs.messages > _ONE_OR_TWO else "a message fails"

    def say_each_message(self) -> str:
        """The message, or each of them."""
        return "a message" if self._signs.messages > _ONE_OR_TWO else "1 message"

    def say_deliveries(self) -> str:
        """Deliveries of one message."""
        return say.number(max(self._signs.value("redelivery"), 1.0))

    def say_off(self) -> str:
        """How far from the schedule."""
        off, between = self._signs.value("off_schedule"), finite(self._e.typical.get("off_schedule", 0.0))
        if between > 0.0:
            return f"{say.span(off)} after the one before, where {say.span(between)} between two are usual"
        return f"up to {say.span(off)} away from the times it keeps" if off >= 1.0 else "which no schedule asked for"

    def say_gone(self) -> str:
        """The silence: since when, how long, what is missing."""
        silent = self._e.silence
        if silent is None:
            return f"since {say.clock(self._e.last_us)}"
        seconds = silent.lasts_us(max(self._e.opened_us, self._e.last_us)) / _US
        rate, missing = finite(silent.expected_per_hour), finite(silent.gone(seconds / 3600.0))
        if silent.in_turn:
            longest = f"for up to {say.span(silent.longest_us / _US)}, one after the other"
            return f"{longest} since {say.clock(silent.since_us)}: about {say.number(missing)} missing"
        if silent.over:
            since = f"for {self._silent_for(silent, seconds)} since {say.clock(silent.since_us)}, where"
        else:
            since = f"since {say.clock(silent.since_us)}, {self._silent_for(silent, seconds)} so far, where"
        if (whole := silent.in_whole_runs(seconds / 3600.0, len(self._e.functions))) is not None:
            a_day, gone = whole
            return f"{since} {a_day} a day {'is' if a_day == 1 else 'are'} usual: {gone} missing"
        return f"{since} {say.number(rate)} an hour are usual: about {say.number(missing)} missing"

    def say_why(self) -> str:
        """What stands out most, in a few words."""
        name = self._first()
        if name:
            return self._of(name)
        return f"{say.number(max(finite(self._e.score), 0.0))} on the scale of strangeness"

    def _failing(self) -> str:
        """The feature that makes most of the failures."""
        return max(GROUPS["failure"], key=lambda one: finite(self._e.share.get(one)))

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
        calls, expected = self._e.invocations, self._expected(what)
        if calls >= _A_SHARE and count <= _NOT_ALL * calls and expected is not None and expected >= 1.0:
            # of a flood's calls so many would be refused as nobody has seen there: the share is what a person knows
            share, usual = say.percent(count / calls), say.percent(expected / calls)
            return f", {count:,} of them ({share}) {what} where {usual} would be usual"
        # counted, too, where it is all of them: what went well is no part of the incident, so not all calls failed
        return f", {count:,} of them {what}{self._instead(what)}"

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
            "refused": ("caller_client_errors", "known_refused", "client_error_burst", "refused_hours"),
            "failed": ("caller_failures", "known_failures", "failure_burst"),
        }
        count = self._e.refused if what == "refused" else self._e.failed
        seen = [
            finite(self._e.typical.get(name)) / value
            for name in names[what]
            if (value := finite(self._e.value.get(name))) > 0.0 and name in self._e.typical
        ]
        return count * max(seen) if seen else None
