"""Kinds of being there: off schedule, by hand, silent, too often, never seen before; and what fits no other kind."""

from __future__ import annotations

from typing import Final

from detectors.catalogue.callers import reaches
from detectors.catalogue.kind import Kind, Signs, level
from detectors.catalogue.samples import START_US, sample
from detectors.evidence import Missing, Silence

_HOUR_US: Final = 3_600_000_000
_HOUR_S: Final = 3_600.0
#: share of refused calls that no client of a new function sees
_TURNED_AWAY: Final = 0.2
#: calls of an hour that are missed by somebody
_MANY_MISSED: Final = 100.0
#: functions that fall silent together are an app
_TOGETHER: Final = 2


def _by_hand(s: Signs) -> bool:
    admin = "host-api" in s.e.triggers or any(source == "host-api" for _, source, _ in s.e.callers)
    return admin and (s.share("unscheduled") >= 0.05 or set(s.e.triggers) <= {"host-api"} or s.of("schedule") >= 0.2)


def _off_schedule(s: Signs) -> bool:
    return s.of("schedule") >= (0.15 if "timer" in s.e.triggers else 0.3)


def _never_seen(s: Signs) -> bool:
    # nobody ever called it, and now someone who is known from elsewhere does: that is about the caller
    known = reaches(s)
    reach = s.share("caller_new_to_app") if known else 0.0
    if s.by_caller and s.known_for_s > _HOUR_S:
        # others called it before: whoever comes now is no news of the function
        return False
    return s.of("structure") >= max(0.2, reach) and not (known and s.refused >= _TURNED_AWAY)


def _app_silent(s: Signs) -> bool:
    named = {function for _, function, _ in s.e.functions}
    return s.e.silence is not None and (len(named) >= _TOGETHER or "" in named or not named)


def _expected(s: Signs) -> float:
    return s.e.silence.expected_per_hour if s.e.silence is not None else 0.0


def _undone(s: Signs) -> float:
    return s.e.missing.promised - s.e.missing.came if s.e.missing is not None else 0.0


def _many_missed(s: Signs) -> bool:
    return s.typical("fewer_calls") - s.value("fewer_calls") >= _MANY_MISSED


_SILENCE_RUNBOOK: Final = (
    (
        "Function App, Overview: is it running? Functions: is the function disabled? "
        "Check AzureActivity for a stop or a setting."
    ),
    (
        "Query AppTraces and AppRequests for the app's other functions: if all "
        "stopped, suspect the logs before the function."
    ),
    (
        "Check the way of the logs: Diagnostic settings, the workspace's daily cap "
        "(Usage and estimated costs), ingestion delay."
    ),
    "Look at what fires it: length of the queue, timer's lease in the storage account, the caller's own logs.",
    "Restart the app or call the function by hand once, and see whether AppRequests gets a row.",
)

SURPLUS_DOWNSTREAM: Final = Kind(
    id="surplus-downstream",
    title="More runs than work at {spot}",
    summary="{Few} {to} {where} in {app} {since_when}, where about {owed} should have followed {upstream}: {times}.",
    meaning=(
        "A function runs more often than the functions before it hand on work: messages are delivered or handled "
        "twice, functions feed each other in a circle, or somebody else puts messages into its queue."
    ),
    attack=("T1496",),
    severity=lambda s: level("medium", _undone(s) <= -_MANY_MISSED),
    runbook=(
        (
            "In AppRequests, take some OperationIds of this function: does one hold several runs of it, and how many "
            "of the function before it?"
        ),
        (
            "Several within one operation: did a deployment (AppVersion) just change who sends, a retry policy, or the "
            "lock and visibility time-out of its messages?"
        ),
        (
            "Runs in operations that no function of yours began: who else may send to that queue or topic? Look at its "
            "keys and access policies, and change those that leaked."
        ),
        "Functions that call each other in a circle: stop the one that writes the message, before the bill does.",
        "Find what was done twice (payments, letters, records) and whether that function may be run twice at all.",
    ),
    made_by=("silence",),
    fits=lambda s: s.e.missing is not None and s.e.missing.too_many,
    example=sample(
        "function", 0, 0, {}, function="PayoutLine", app="pay", trigger="queue", opened_us=START_US + _HOUR_US // 4,
        silence=Silence(48.0, START_US), missing=Missing(24.0, 49.0, START_US, (("pay", "Payout"),)),
    ),
)  # fmt: skip

SILENCE_DOWNSTREAM: Final = Kind(
    id="silence-downstream",
    title="Work that does not arrive at {spot}",
    summary="{Few} {to} {where} in {app} {since_when}, where about {owed} should have followed {upstream}: {undone}.",
    meaning=(
        "A function ran as if all were well, but the work that it hands on as a rule does not come: its message is not "
        "sent or not taken, an orchestration is stuck, or a job ended halfway."
    ),
    attack=("T1489",),
    severity=lambda s: level("medium", _undone(s) >= _MANY_MISSED),
    runbook=(
        (
            "In AppRequests, take an OperationId of the function before it and look for the same OperationId here: "
            "are all runs missing, or those of some operations?"
        ),
        (
            "Look at what lies between the two: queue, poison or dead-letter queue, Event Grid subscription, "
            "state of the orchestration."
        ),
        (
            "If the function before it ran for a shorter time than usual or has a new AppVersion, it did less: "
            "read its AppTraces to the end."
        ),
        "Function App, Functions: is this one disabled, is its app stopped? Look for either in AzureActivity.",
        "Once it is mended, have what was left undone run again: messages of the poison queue, the rest of the batch.",
    ),
    made_by=("silence",),
    fits=lambda s: s.e.missing is not None,
    example=sample(
        "function", 0, 0, {}, function="PayoutLine", app="pay", trigger="queue", opened_us=START_US + _HOUR_US // 2,
        silence=Silence(48.0, START_US), missing=Missing(24.0, 7.0, START_US, (("pay", "Payout"),)),
    ),
)  # fmt: skip

SILENCE_APP: Final = Kind(
    id="silence-app",
    title="Silence in {app}: {all_quiet}",
    summary="{None} {to} {all_named} {gone}.",
    meaning=(
        "Several functions say nothing any more: their app is stopped or unreachable, or its "
        "logs no longer arrive."
    ),
    attack=("T1489", "T1562.008"),
    severity=lambda s: level("high", _expected(s) >= 60.0),
    runbook=_SILENCE_RUNBOOK,
    made_by=("silence",),
    fits=_app_silent,
    example=sample(
        "function", 0, 0, {}, functions=(("shop", "PayInvoice", 0), ("shop", "GetInvoice", 0)),
        opened_us=START_US + 2 * _HOUR_US, silence=Silence(120.0, START_US),
    ),
)  # fmt: skip

SILENCE: Final = Kind(
    id="silence",
    title="Silence at {spot}: {no_more}",
    summary="{None} {to} {where} in {app} {gone}.",
    meaning="A function that runs steadily doesn't. It is disabled, nothing fires it, or its logs no longer arrive.",
    attack=("T1489", "T1562.008"),
    severity=lambda s: level("medium", _expected(s) >= 12.0),
    runbook=_SILENCE_RUNBOOK,
    made_by=("silence",),
    fits=lambda s: s.e.silence is not None,
    example=sample("function", 0, 0, {}, opened_us=START_US + 3 * _HOUR_US, silence=Silence(12.0, START_US)),
)

FEWER_CALLS: Final = Kind(
    id="fewer-calls",
    title="Far fewer calls than usual at {spot}",
    summary="{Calls} {during} {to} {where}: {fewer}{bad}.",
    meaning=(
        "Much of what comes as a rule stays away, for an hour or more: part of the senders is down or cut off, or part "
        "of the logs is lost. A holiday, or a customer who left, looks the same."
    ),
    attack=(),
    severity=lambda s: level("low", s.value("fewer_calls") <= 0.5 * s.typical("fewer_calls"), _many_missed(s)),
    runbook=(
        (
            "In AppRequests, chart sum(ItemCount) by bin(TimeGenerated, 15m) for a week: "
            "did it fall at once, and is it the same on other days?"
        ),
        "Split the chart by caller, country and AppRoleInstance: who is missing? All a little, or some altogether?",
        "Look at who sends: a gateway, a region, a partner, the queue or hub before it, an instance that is stuck.",
        "Check that no logs are lost: sampling (ItemCount), the workspace's daily cap, ingestion delay.",
        "If it stays so and is right, train again.",
    ),
    made_by=("absence",),
    fits=lambda s: s.of("absence") >= 0.3,
    example=sample(
        "function", 520, 140, {"fewer_calls": 1.0}, function="TakeReading", trigger="eventHub", distinct_callers=1,
        value={"fewer_calls": 230.0}, typical={"fewer_calls": 880.0},
    ),
)  # fmt: skip

MANUAL_RUN: Final = Kind(
    id="manual-run",
    title="Started by hand: {spot}",
    summary="{By_hand} of {where}{how_many} through the admin API, where no schedule or message asked for them{bad}.",
    meaning=(
        "Someone with the master key or access to the portal started a function. "
        "A colleague who tests looks the same."
    ),
    attack=("T1648", "T1078.004"),
    severity=lambda s: level("medium", s.e.invocations >= 20),
    runbook=(
        "Ask the team whether someone ran it (portal, Code + Test, or a POST to /admin/functions).",
        (
            "In AzureActivity, look for host/listkeys/action and "
            "functions/listkeys/action before it: Caller names who read keys."
        ),
        (
            "If nobody did, renew the master key (Function App, App keys, _master) and "
            "review who may read it (Access control)."
        ),
        "Check what the runs did: AppDependencies and AppTraces with the same OperationIds.",
    ),
    made_by=("schedule",),
    fits=_by_hand,
    example=sample(
        "function", 4, 9, {"unscheduled": 0.9, "off_schedule": 0.1}, function="NightlyClose", trigger="host-api",
        caller="host-api:host-api", value={"unscheduled": 1.0}, typical={"unscheduled": 0.0},
    ),
)  # fmt: skip

NEW_FUNCTION: Final = Kind(
    id="new-function",
    title="New function: {newborn} in {app}",
    summary="{Calls} {during} {to} {where} in {app}, {born}, {from_whom}{each}{bad}.",
    meaning="A function runs that the training logs don't have. A release looks the same: it comes with a deployment.",
    attack=("T1648",),
    severity=lambda s: level("low", s.e.deployed_ago_s is None, s.by_caller and s.e.distinct_callers <= 1),
    runbook=(
        "Ask the app's owner whether it is theirs; compare with the repository of the last release.",
        (
            "In AzureActivity, look for Microsoft.Web/sites/write, functions/write and "
            "publishxml/action: Caller names who deployed."
        ),
        (
            "If nobody knows it, disable it (Function App, Functions, Disable), keep a copy "
            "of its code, renew publishing credentials."
        ),
        "Look at what it did: AppDependencies by Target, AppRequests by caller.",
    ),
    made_by=("structure",),
    fits=_never_seen,
    example=sample(
        "caller", 42, 160, {"new_function": 0.7, "caller_new": 0.3}, function="Helper2", caller="address:203.0.113.7",
        new_callers=1, value={"new_function": 120.0, "caller_new": 0.0},
    ),
)  # fmt: skip

OFF_SCHEDULE: Final = Kind(
    id="off-schedule",
    title="Off its schedule: {spot}",
    summary="{Calls} {during} of {where}, {off}{bad}.",
    meaning="A timer fires when its schedule doesn't say so. A changed schedule, a restart that catches up, or a hand.",
    attack=("T1053",),
    severity=lambda s: level("low", s.e.invocations >= 5),
    runbook=(
        "In AppTraces, read Properties.UnscheduledInvocationReason and 'Timer fired at' of these InvocationIds.",
        "Compare with the schedule in function.json or the app setting it names; look for a change in AzureActivity.",
        "If runs overlap, check that the work bears it (double bookings, double mails).",
        "After a change of schedule, train again, so that the new times become usual.",
    ),
    made_by=("schedule",),
    fits=_off_schedule,
    example=sample(
        "function", 9, 150, {"off_schedule": 1.0}, function="NightlyClose", trigger="timer", caller="timer:timer",
        value={"off_schedule": 5_400.0}, typical={"off_schedule": 0.0},
    ),
)  # fmt: skip

UNUSUAL: Final = Kind(
    id="unusual",
    title="Unusual calls at {spot}",
    summary="{Calls} {during} {to} {where} {from_whom}: {why}{other_bad}.",
    meaning="Strange together though nothing by itself names a kind; the reasons say what adds up.",
    attack=(),
    severity=lambda s: level("low", s.e.p_value < 1e-6 and s.e.invocations >= 10),
    runbook=(
        "Read the reasons, the largest share first.",
        "In AppRequests, look at the invocations of the incident beside those of the same function an hour before.",
        "If it is normal life, train again with these days, so that it becomes usual.",
    ),
    made_by=(),
    fits=lambda _: True,
    example=sample(
        "function", 12, 30, {"duration_high": 0.26, "pace_hour": 0.25, "caller_hours": 0.04, "caller_new_here": 0.2},
        caller="user:u-1", value={"duration_high": 900.0}, typical={"duration_high": 310.0},
    ),
)  # fmt: skip
