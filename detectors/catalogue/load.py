"""Kinds of too much: floods, bills run up on purpose, retries without a pause, growth that nobody notices."""

from __future__ import annotations

from typing import Final

from detectors.catalogue.kind import CROWD, ONE_CALLER, Kind, Signs, level
from detectors.catalogue.samples import sample

#: calls below which one caller is busy rather than a flood
_FLOOD_CALLS: Final = 500.0
#: calls below which nobody is a flood, however busy
_FEW_CALLS: Final = 100
#: calls a minute from which on somebody seems to repeat them
_REPEATING: Final = 1.0
#: calls a minute at which one caller is a flood whatever its habit
_FLOOD_A_MINUTE: Final = 30.0
#: share of the score from which on the load has a part in it
_SOME_OF_IT: Final = 0.05
#: times the usual load at which so many calls are a flood, whatever else they bring about
_FLOODING: Final = 10.0
#: times the usual amount of a day beyond which nothing has grown by and by
_BY_AND_BY: Final = 10.0
#: s; what is over sooner did not grow
_BY_AND_BY_S: Final = 7200.0
#: times the usual load from which on it is told before where the calls come from
_FAR_MORE: Final = 3.0
#: share of the score from which on growth is what there is to tell
_MOST_OF_IT: Final = 0.6
#: calls that growth needs to show
_MANY: Final = 10
#: run time that shows on a bill, s
BILL_S: Final = 3_600.0
_HALF_DAY_S: Final = 43_200.0


def _load(s: Signs) -> float:
    return s.of("pace", "caller_pace")


def _expense(s: Signs) -> float:
    return s.of("cost")


def _retries(s: Signs) -> bool:
    if s.e.refused >= 10 and s.refused >= 0.5 and s.done_already >= 0.6 and s.one_caller and not s.messaging:
        return True
    if s.e.failed < 10 or s.failed < 0.5 or s.messaging:
        return False
    known_client = (
        s.by_caller
        and s.caller_source in ONE_CALLER
        and s.peak_a_minute >= _REPEATING
        and s.own_failures
        and not s.newcomer
        and s.functions <= 2
        and s.of("caller_pace", "pace", "failure") >= 0.3
    )
    # who was never seen before has nothing to try again: its failures are what it is after, or their traces
    repeats = s.of("pace", "caller_pace") >= 0.2 and s.ratio("pace_minutes", "pace_hour", "caller_pace") >= 2.0
    return known_client or (repeats and not (s.by_caller and s.newcomer))


def _runs_up_a_bill(s: Signs) -> bool:
    new = s.by_caller and s.new_here
    on_purpose = s.of("pace", "caller_pace", "crowd") >= 0.1 or s.share("growth_days") >= 0.1 or new
    # slow work at a modest pace, for long: what a latency shift has not is callers who came for it; what reads a queue
    # has none
    came = new or (s.one_caller and s.first_day)
    dear = _expense(s) >= 0.15 or (came and s.of("duration", "latency", "caller_latency") >= 0.3)
    return dear and on_purpose and s.e.run_seconds >= 600.0 and s.failed < 0.5 and not s.messaging


def _floods_together(s: Signs) -> bool:
    if s.of_a_crowd:
        # a crowd comes from anywhere, and where each comes from may be the strangest of it
        return s.of("pace", "crowd") >= _SOME_OF_IT
    new = s.of("novelty", "crowd", "place") if s.e.new_callers >= CROWD else s.of("crowd")
    raised = s.ratio("pace_minutes", "pace_hour", "growth_days", "newcomers") >= 1.5
    for_hours = _BY_AND_BY_S if s.of("growth") >= _MOST_OF_IT else _HALF_DAY_S
    grows = s.of("growth") > s.of("pace") and s.span_s >= for_hours
    many = not s.one_caller and s.e.distinct_callers >= CROWD and not _news_is_from_where(s)
    return many and _load(s) + new >= 0.3 and raised and not grows


def _news_is_from_where(s: Signs) -> bool:
    """Many call from where hardly anybody did, and no more of them than the function can bear."""
    return s.many_from_afar and s.ratio("pace_minutes", "pace_hour") < _FAR_MORE


def _floods(s: Signs) -> bool:
    if _news_is_from_where(s):
        return False
    if s.messaging and s.failed >= 0.5:
        return False
    if s.one_caller:
        of_function = ("pace_minutes", "pace_hour") if s.own_load else ()
        steep = s.ratio("caller_pace", "caller_pace_here", *of_function)
        fast = s.peak_a_minute >= _FLOOD_A_MINUTE and s.e.invocations >= 300
        # what a newcomer calls by and by, over hours, is what it came for
        comes = s.first_day and s.span_s >= _BY_AND_BY_S
        many = fast or max(s.value("caller_pace"), 0 if comes else s.e.invocations) >= _FLOOD_CALLS
        return many and ((_load(s) >= 0.25 and steep >= 5.0) or (_load(s) >= 0.1 and steep >= _FLOODING))
    return _load(s) >= 0.3 and s.e.invocations >= _FEW_CALLS and s.share("growth_days") <= _load(s)


def _slows(s: Signs) -> bool:
    return s.share("duration_high", "latency_shift") >= 0.1


def _growth(s: Signs) -> float:
    return s.ratio("growth_days", "cost_days")


def grows(s: Signs) -> bool:
    """Whether a function is busier than it was by so much as may come by and by, and comes by and by."""
    by_and_by = s.of("growth") >= max(0.3, s.of("pace")) and _growth(s) <= _BY_AND_BY and s.span_s >= _BY_AND_BY_S
    return not s.by_caller and s.e.invocations >= _MANY and by_and_by


RETRY_STORM: Final = Kind(
    id="retry-storm",
    title="Failing calls to {spot} repeated by {caller}",
    summary="{Calls} {during} {to} {where} by {caller}: {pace}{bad}{exceptions}.",
    meaning=(
        "A call that always fails is tried again without a pause. A dependency that "
        "is down for everybody is the usual cause."
    ),
    attack=(),
    severity=lambda s: level("medium", s.e.failed >= 1_000 or not s.by_caller),
    runbook=(
        "In AppExceptions, read ExceptionType and OuterMessage of these calls: one message many times names the cause.",
        "In AppDependencies of the function, look for calls with Success == false in the same minutes.",
        "Mend the cause, or answer 429 with Retry-After, so that the client waits.",
        "Ask the client's owner for growing pauses between attempts and an end to them.",
    ),
    made_by=("failure", "caller_pace", "pace"),
    fits=_retries,
    example=sample(
        "caller", 480, 18, {"caller_failures": 0.6, "caller_pace": 0.4}, caller="user:u-1", failed=431,
        statuses={500: 431, 200: 49}, exception_types=("System.TimeoutException",),
        value={"caller_failures": 400.0, "caller_pace": 450.0, "caller_new": 5e6},
        typical={"caller_failures": 2.0, "caller_pace": 5.0},
    ),
)  # fmt: skip

DENIAL_OF_WALLET: Final = Kind(
    id="denial-of-wallet",
    title="Costly calls run up the bill of {spot}",
    summary="{Calls} {during} {to} {where} {from_whom}{new_ones} used {expense}{bill}.",
    meaning=(
        "The most expensive work is asked for at a pace that looks modest, for "
        "hours. A heavy new customer looks the same."
    ),
    attack=("T1496", "T1499.003"),
    severity=lambda s: level(
        "medium",
        s.e.run_seconds >= 36_000.0,
        s.e.run_seconds >= BILL_S and s.ratio("cost_hour", "cost_days") >= 10.0,
    ),
    runbook=(
        "In AppRequests, sum DurationMs by ClientIP or caller for this function: who uses most of it?",
        (
            "In Cost Management, Cost analysis, set an alert for the app; in Function App, "
            "Configuration, lower the scale-out limit."
        ),
        "Limit the callers' rate (API Management, rate-limit-by-key) or block them (Networking, Access restrictions).",
        "Bound the work a call may ask for: size of the page, range of dates, functionTimeout in host.json.",
    ),
    made_by=("cost", "growth", "duration", "pace"),
    fits=_runs_up_a_bill,
    example=sample(
        "function", 900, 260, {"cost_hour": 0.5, "pace_hour": 0.3, "duration_high": 0.2}, function="RenderReport",
        caller="address:203.0.113.7", distinct_callers=4, new_callers=4, run_seconds=27_000.0,
        value={"cost_hour": 7_200.0, "pace_hour": 230.0}, typical={"cost_hour": 240.0, "pace_hour": 40.0},
        duration_ms=(30_000.0, 88_000.0), usual_ms=4_000.0,
    ),
    costs=True,
)  # fmt: skip

DISTRIBUTED_FLOOD: Final = Kind(
    id="distributed-flood",
    title="Flood at {spot} {crowd}",
    summary="{Calls} {during} {to} {where} {from_whom}{new_ones}: {pace}{bad}{money}.",
    meaning=(
        "Many callers, none of them busy, call all at once. A campaign, a newsletter "
        "or an outage elsewhere looks the same."
    ),
    attack=("T1499.002", "T1499.003"),
    severity=lambda s: (
        "low" if s.of_a_crowd else level("medium", s.failed > 0.05 or _slows(s), s.ratio("pace_minutes") >= 20.0)
    ),
    runbook=(
        "Ask marketing and product owners about a campaign, a release or a newsletter.",
        "In AppRequests, count by ClientCountryOrRegion, Url and ClientType: an attack has one path and odd countries.",
        (
            "Turn on the WAF's rate limit and bot rules (Front Door, WAF policy), and "
            "bound scale-out (Function App, Scale out)."
        ),
        "Watch the dependencies: AppDependencies, DurationMs and Success of what this function calls.",
    ),
    made_by=("pace", "novelty", "cost"),
    fits=_floods_together,
    example=sample(
        "function", 8_400, 25, {"pace_minutes": 0.7, "caller_new_to_function": 0.3}, caller="address:203.0.113.7",
        distinct_callers=412, new_callers=396, run_seconds=2_100.0,
        value={"pace_minutes": 1_650.0}, typical={"pace_minutes": 55.0},
    ),
    costs=True,
)  # fmt: skip

FLOOD: Final = Kind(
    id="flood",
    title="Flood at {spot} {from_whom}",
    summary="{Calls} {during} {to} {where} {from_whom}{in_country}{and_others}: {pace}{bad}{money}{beside}.",
    meaning="One caller calls as fast as it can. A load test or a client in a loop looks the same.",
    attack=("T1499.002", "T1499.003"),
    severity=lambda s: level("medium", s.e.invocations >= 2_000 or s.failed > 0.05 or s.abroad, s.failed > 0.3),
    runbook=(
        "Ask whether a load test is running.",
        (
            "Block the caller (Function App, Networking, Access restrictions) or limit its "
            "rate (API Management, rate-limit-by-key)."
        ),
        "Bound scale-out while it lasts (Function App, Scale out), so that the bill and the dependencies hold.",
        "In AppRequests, compare DurationMs and Success of other callers before and since: are they harmed?",
    ),
    made_by=("caller_pace", "pace", "cost"),
    fits=_floods,
    example=sample(
        "caller", 4_100, 12, {"caller_pace_here": 0.6, "caller_new": 0.2, "pace_minutes": 0.2},
        caller="address:203.0.113.7", new_callers=1, run_seconds=1_230.0,
        value={"caller_pace_here": 1_700.0, "caller_new": 0.0}, typical={"caller_pace_here": 0.0},
    ),
    costs=True,
)  # fmt: skip

SLOW_GROWTH: Final = Kind(
    id="slow-growth",
    title="Growing a little each hour: {spot}",
    summary="{Calls} {during} {to} {where}: {growth}{money}.",
    meaning="Load or run time rises slowly, under any single threshold. Real growth of a business looks the same.",
    attack=("T1496",),
    severity=lambda s: level("low", _growth(s) >= 2.0, _growth(s) >= 5.0),
    runbook=(
        "In AppRequests, chart sum(ItemCount) and sum(DurationMs) by bin(TimeGenerated, 1h) for the last two weeks.",
        "Split the chart by caller and by Url: does everybody grow, or a few?",
        (
            "Ask product owners whether growth is expected; otherwise look for a loop "
            "(a function that feeds its own queue)."
        ),
        "In Cost Management, Budgets, set an alert before the month's end tells.",
    ),
    made_by=("growth",),
    fits=grows,
    example=sample(
        "function", 5_200, 2_200, {"growth_days": 0.8, "pace_hour": 0.2}, distinct_callers=60, run_seconds=1_900.0,
        value={"growth_days": 5_200.0}, typical={"growth_days": 2_400.0},
    ),
    costs=True,
)  # fmt: skip
