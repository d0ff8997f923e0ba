"""Kinds that systems make by themselves: slow, failing, worse since a version, calling what they should not."""

from __future__ import annotations

from typing import Final

from detectors.catalogue.kind import CROWD, Kind, Signs, finite, level
from detectors.catalogue.samples import sample

#: a version is suspected of what begins this soon after it, s
_SUSPECT_S: Final = 2700.0
#: the same where no version is logged, but hosts were replaced, which has other reasons, too
_SUSPECT_HOSTS_S: Final = 900.0
#: share of a story's invocations that come in the first quarter of its time, at night and few as they may be
_FROM_THE_START: Final = 0.02
#: functions in the same trouble at once that make a storm
_STORM: Final = 3
#: deliveries of one message after which a queue gives it up, or is about to
_COMES_BACK: Final = 4.0
#: runs that come near a time limit: an HTTP answer is cut at 230 s, Consumption stops a run at 300 s
_NEAR_LIMIT_MS: Final = 200_000.0
#: functionTimeout of the plans, by default or at most: a run that fails so shortly after one was stopped there
_LIMITS_MS: Final = (300_000.0, 600_000.0, 1_800_000.0)
_SHORTLY_AFTER: Final = 1.02
_STOPPED: Final = 2.0
#: a run that takes this long hangs; below, it is slow
_HANGS_MS: Final = 10_000.0
#: how many times what is usual half of the runs take where all of them hang
_ALL_HANG: Final = 20.0
_ON_AVERAGE: Final = 10.0
#: features of runs that end sooner, and of those that take longer
_SHORT: Final = ("duration_low", "latency_drop")
_LONG: Final = ("duration_high", "duration_record", "latency_shift", "long_runs", "caller_slow_here")
#: failed runs from which on it is a severe fault that most of them fail
_FAIL: Final = 5
#: failed runs from which on slowness is said to make runs fail
_SEVERAL_FAIL: Final = 3
#: refused calls that show a client with a fault, and the share of them that can't be read
_SEVERAL: Final = 3
_NEARLY_ALL: Final = 0.8
#: share of new callers, and refused calls of each, up to which a function's usual clients are refused
_SOME_NEW: Final = 0.3
_FEW_EACH: Final = 4.0


def _trouble(s: Signs) -> float:
    return s.of("failure", "retry") + _slow(s)


def _since_version(s: Signs) -> bool:
    ago = s.e.deployed_ago_s
    return (
        not s.by_caller
        and ago is not None
        and 0.0 <= ago <= (_SUSPECT_HOSTS_S if s.e.by_hosts else _SUSPECT_S)
        # what a version brings shows from then on; what only begins to grow then was on its way
        and s.e.early >= _FROM_THE_START
        and s.of("failure", "duration", "latency") >= 0.3
    )


def _storms(s: Signs) -> bool:
    return not s.by_caller and s.troubled >= _STORM and _trouble(s) >= 0.3


def _cannot_be_read(s: Signs) -> bool:
    told = s.of("refusal") >= 0.3 and s.of("signature", "probe", "spread") < 0.1
    return s.guesses >= _SEVERAL and s.refused >= 0.3 and s.unreadable >= _NEARLY_ALL and told


def _turns_many_away(s: Signs) -> bool:
    # as many call as ever, hardly one of them new, and each is refused a few times: nobody tries anything
    many = not s.one_caller and s.e.distinct_callers >= CROWD
    known = s.e.new_callers <= _SOME_NEW * s.e.distinct_callers
    each = s.guesses <= _FEW_EACH * s.e.distinct_callers and s.denied < 0.5
    told = s.of("refusal") >= 0.3 and s.of("pace", "caller_pace", "crowd", "signature", "probe") < 0.1
    return many and known and each and told and s.guesses >= CROWD and s.refused >= 0.3


def _poisons(s: Signs) -> bool:
    # what comes back so often has a bad message in it, however loud its failures are
    again = s.messaging and s.failed >= 0.5 and s.value("redelivery") >= _COMES_BACK and s.of("retry") >= 0.05
    return (again or s.of("retry") >= max(0.12, 0.2 * s.of("failure"))) and s.troubled < _STORM and s.few_messages


def _runs_away(s: Signs) -> bool:
    at_limit = s.e.duration_ms[1] >= _NEAR_LIMIT_MS and s.longest >= 5.0
    hangs = s.e.duration_ms[1] >= _HANGS_MS and s.longest >= 8.0
    ended = any(limit <= finite(s.e.duration_ms[1]) <= _SHORTLY_AFTER * limit for limit in _LIMITS_MS)
    at_limit |= ended and s.failed >= 0.5 and s.longest >= _STOPPED
    single_runs = s.share("duration_high", "cost_hour") > s.share("latency_shift")
    # what takes twenty times as long does not slow down, where that is so of all runs and not of those told alone
    all_hang = s.typical_run >= _ALL_HANG and s.value("latency_shift") >= _ON_AVERAGE * s.typical("latency_shift")
    return _slow(s) >= 0.3 and (at_limit or (hangs and (single_runs or all_hang)))


def _slow(s: Signs) -> float:
    return s.share(
        "duration_high",
        "duration_record",
        "time_limit",
        "latency_shift",
        "long_runs",
        "caller_slow_here",
        "cost_hour",
        "cost_days",
        "round_seconds",
    )


def _fast(s: Signs) -> bool:
    low = s.share("duration_low", "latency_drop")
    # what one family makes of both is told by what makes most of it
    short, long = (sum(finite(s.e.share.get(name)) for name in names) for names in (_SHORT, _LONG))
    return low >= 0.3 and low >= s.share("duration_high", "latency_shift") and short >= long


def _fails(s: Signs) -> bool:
    return s.of("failure") >= 0.25 or (s.e.failed >= 5 and s.failed >= 0.3 and s.longest < 5.0)


def _is_locked_out(s: Signs) -> bool:
    # at its own pace, where it always calls: nobody tries keys with one that it has used for days
    told = s.share("known_refused") >= 0.3 and s.of("pace", "caller_pace", "spread", "place", "travel") < 0.1
    return s.by_caller and s.one_caller and told and s.refused >= 0.3 and s.unentitled >= _NEARLY_ALL


BAD_DEPLOYMENT: Final = Kind(
    id="bad-deployment",
    title="Worse since {deployment}: {spot}",
    summary="{Deployed}: {calls} {during} {to} {where}{bad}{exceptions}{slow}.",
    meaning=(
        "Failures or run times changed right after the version did; or, where no version is logged, after all hosts "
        "were replaced: by a deployment, new settings, a restart. A coincidence with a slow dependency looks the same."
    ),
    attack=(),
    severity=lambda s: level("medium", s.failed > 0.05 or s.longest >= 10.0, s.failed > 0.5),
    runbook=(
        "Ask whoever deployed (AzureActivity, Microsoft.Web/sites/write; Function App, Deployment Center, Logs).",
        "Compare AppRequests by AppVersion or HostInstanceId: share of Success == false, percentiles of DurationMs.",
        "If the new version is worse, roll back (swap the slots back, or deploy the last good package).",
        "In AppExceptions, look for an ExceptionType that the old version never had.",
    ),
    made_by=("failure", "duration", "latency"),
    fits=_since_version,
    example=sample(
        "function", 640, 180, {"latency_shift": 0.5, "failure_burst": 0.5}, failed=96, deployed_ago_s=240.0,
        value={"failure_burst": 9.0, "latency_shift": 700.0}, typical={"failure_burst": 0.2, "latency_shift": 300.0},
        duration_ms=(700.0, 4_000.0), usual_ms=300.0,
    ),
)  # fmt: skip

STORM: Final = Kind(
    id="storm",
    title="Storm in {app}: {functions} {in_trouble}{at_once}",
    summary="{Calls} {during} in {functions} of {app}{bad}{exceptions}{slow}.",
    meaning=(
        "Many functions fail or slow down together, so the cause is what they "
        "share: a database, a network, the plan."
    ),
    attack=(),
    severity=lambda s: level("medium", s.e.invocations >= 50, s.failed > 0.5 or s.troubled >= 10),
    runbook=(
        (
            "In AppDependencies of the app, find the Target with Success == false or "
            "rising DurationMs since the beginning."
        ),
        "Check Azure Service Health, and Function App, Diagnose and solve problems, for the region and the plan.",
        "Look for a deployment or a change of settings in AzureActivity in the hour before.",
        "Tell those who depend on it; mend or fail over the shared dependency before single functions.",
    ),
    made_by=("failure", "duration", "latency", "retry"),
    fits=_storms,
    example=sample(
        "function", 380, 35, {"failure_burst": 0.8, "duration_high": 0.2}, failed=290,
        functions=tuple(("shop", f"Step{n}", 95) for n in range(4)), exception_types=("SqlException",),
        value={"failure_burst": 60.0}, typical={"failure_burst": 0.4},
    ),
)  # fmt: skip

POISON_MESSAGE: Final = Kind(
    id="poison-message",
    title="{A_message} again and again at {spot}",
    summary="{Calls} {during} of {where}{queue}, up to {deliveries} deliveries of {each_message}{bad}{exceptions}.",
    meaning=(
        "A message can't be processed and comes back until it is put aside. A "
        "dependency that is down looks the same."
    ),
    attack=(),
    severity=lambda s: level("low", s.e.failed >= 10, s.e.failed >= 200),
    runbook=(
        "In AppExceptions of the function, read ExceptionType and OuterMessage.",
        (
            "Peek at the -poison queue (Storage Explorer) or the dead-letter queue "
            "(Service Bus Explorer): what is in the message?"
        ),
        "If the message is bad, keep a copy and remove it; if the code is, mend it and put the message back.",
        "Check maxDequeueCount and visibilityTimeout in host.json: retries without a pause block what waits behind.",
    ),
    made_by=("retry", "failure"),
    fits=_poisons,
    example=sample(
        "function", 25, 30, {"redelivery": 0.6, "failure_burst": 0.4}, function="BookOrder", trigger="queue",
        caller="queue:orders", sources=("orders",), failed=25, value={"redelivery": 5.0, "failure_burst": 14.0},
        typical={"redelivery": 1.0, "failure_burst": 0.1},
    ),
)  # fmt: skip

CLIENT_REFUSED: Final = Kind(
    id="client-refused",
    title="A known client is refused: {caller}",
    summary="{Calls} {during} {to} {where} {from_whom}{denied}.",
    meaning=(
        "A caller that was served for days is turned away, at its usual pace and where it always calls: its secret "
        "has expired, or was changed on one side only, or its right was taken away."
    ),
    attack=(),
    severity=lambda s: level("medium", s.e.refused >= 200 and s.refused >= 0.9),
    runbook=(
        "In AppRequests, count this caller's calls by ResultCode and bin(TimeGenerated, 15m): since when, how many?",
        "In Entra ID, App registrations, Certificates and secrets, or in the function's App keys: what expired then?",
        "In AzureActivity, look for keys that were renewed, settings and roles that were changed just before.",
        "Tell its owner. If the owner knows nothing of these calls, the credential is lost: revoke it.",
    ),
    made_by=("refusal",),
    fits=_is_locked_out,
    example=sample(
        "caller", 58, 40, {"known_refused": 0.9, "client_error_burst": 0.1}, caller="user:svc-monitors",
        refused=51, statuses={401: 51, 200: 7},
        value={"known_refused": 24.0, "client_error_burst": 11.0, "caller_new": 5e6},
        typical={"known_refused": 0.4, "client_error_burst": 0.3},
    ),
)  # fmt: skip

MALFORMED_CALLS: Final = Kind(
    id="malformed-calls",
    title="Calls that {spot} can't read {from_whom}",
    summary="{Calls} {during} {to} {where} {from_whom}{denied}.",
    meaning=(
        "A client sends what the function refuses as malformed: it has a fault, or the "
        "function was changed under it. Who tries crafted input looks the same at first."
    ),
    attack=(),
    severity=lambda s: level("low", s.e.refused >= 50),
    runbook=(
        "In AppRequests, look at Url and AppVersion of these calls: did the function or its client change just before?",
        "Ask the client's owner, where it is known; send it the answer's text, which should name what is wrong.",
        "If nobody knows it, look for crafted input in its calls, and block it (Networking, Access restrictions).",
    ),
    made_by=("refusal", "novelty"),
    fits=_cannot_be_read,
    example=sample(
        "caller", 14, 6, {"client_error_burst": 0.7, "caller_client_errors": 0.3}, caller="address:203.0.113.7",
        new_callers=1, refused=14, statuses={400: 14}, value={"client_error_burst": 14.0, "caller_client_errors": 14.0},
        typical={"client_error_burst": 0.6, "caller_client_errors": 0.6},
    ),
)  # fmt: skip

REFUSED_CALLS: Final = Kind(
    id="refused-calls",
    title="Far more refused calls than usual at {spot}",
    summary="{Calls} {during} {to} {where} {from_whom}{denied}.",
    meaning=(
        "Many callers that were always served are refused, each a few times: what they ask for is gone, a rule "
        "or a key has changed, or an index decays. Who guesses from many addresses looks much the same."
    ),
    attack=(),
    severity=lambda s: level("medium", s.e.refused >= 200 and s.refused >= 0.9 and s.e.distinct_callers >= 100),
    runbook=(
        "In AppRequests, count by ResultCode and Url since the beginning: is it one id, one path, or all of them?",
        "Check for a deployment, a change of settings or an expired key (AzureActivity) just before it began.",
        "Look at the data that these calls ask for: an import that failed, an index that was not rebuilt.",
        "If the ids are made up, it is somebody who guesses from many addresses: see enumeration.",
    ),
    made_by=("refusal",),
    fits=_turns_many_away,
    example=sample(
        "function", 1_170, 720, {"client_error_burst": 0.9, "caller_client_errors": 0.1}, function="Search",
        distinct_callers=792, new_callers=31, refused=1_170, statuses={404: 1_161, 400: 9},
        value={"client_error_burst": 41.0}, typical={"client_error_burst": 2.4},
    ),
)  # fmt: skip

FAILURE_BURST: Final = Kind(
    id="failure-burst",
    title="{More_failures} {failing}",
    summary="{Failures}{from_one}{exceptions}{slow}.",
    meaning=(
        "More calls throw than this function's own rate allows. The log's level can "
        "mislead: see Host.Results in host.json."
    ),
    attack=(),
    severity=lambda s: level(
        "low" if s.fails_once else "medium",
        s.failed > 0.3 and s.e.failed >= 20,
        s.failed > 0.8 and s.e.failed >= 200,
    ),
    runbook=(
        "In AppExceptions of the function, count by ExceptionType and OuterMessage since the beginning.",
        "In AppDependencies with the same OperationIds, look for the call that fails first.",
        "Check for a deployment or a change of settings (AzureActivity), and Azure Service Health for the region.",
        "Mend or roll back; then send again what failed (poison or dead-letter queue).",
    ),
    made_by=("failure",),
    fits=_fails,
    example=sample(
        "function", 210, 20, {"failure_burst": 0.9, "duration_high": 0.1}, failed=140,
        exception_types=("SqlException",),
        value={"failure_burst": 90.0}, typical={"failure_burst": 0.3},
    ),
)  # fmt: skip

RUNAWAY_DURATION: Final = Kind(
    id="runaway-duration",
    title="Runs far longer than ever at {spot}",
    summary="{Calls} {during} {to} {where}{from_one}{slow}{bad}{money}.",
    meaning="Runs hang, some up to the plan's time limit. An endless loop, a lock or a dependency that doesn't answer.",
    attack=(),
    severity=lambda s: level(
        "medium",
        s.e.duration_ms[1] >= _NEAR_LIMIT_MS,
        s.e.slow >= 200 or (s.failed > 0.5 and s.e.failed >= _FAIL),
    ),
    runbook=(
        "In AppDependencies with the OperationIds of the long runs, find the call that takes the time.",
        "Where one caller waits for all of them, read what it sends (AppRequests, Url): it may be crafted for that.",
        "If no call takes it, it is the code: Function App, Diagnose and solve problems, Profiler or a memory dump.",
        "Set time limits on outgoing calls, below functionTimeout in host.json.",
        "Restart the app if instances hang; on a time-out the worker restarts, and its neighbours may fail with it.",
    ),
    made_by=("duration", "latency", "cost"),
    fits=_runs_away,
    example=sample(
        "function", 64, 90, {"duration_high": 0.8, "cost_hour": 0.2}, slow=60, failed=20, run_seconds=14_000.0,
        value={"duration_high": 300_000.0, "cost_hour": 9_000.0}, typical={"duration_high": 310.0, "cost_hour": 12.0},
        duration_ms=(240_000.0, 300_000.0), usual_ms=310.0,
    ),
    costs=True,
    long_runs=True,
)  # fmt: skip

LATENCY_SHIFT: Final = Kind(
    id="latency-shift",
    title="Slower than usual: {spot}",
    summary="{Calls} {during} {to} {where}: {latency}{bad}.",
    meaning="All runs take longer than they used to, nothing fails. A slow dependency, growing data or a smaller plan.",
    attack=(),
    severity=lambda s: level("low", s.typical_run >= 3.0, s.failed > 0.05 and s.e.failed >= _SEVERAL_FAIL),
    runbook=(
        "In AppRequests, chart percentiles of DurationMs by bin(TimeGenerated, 15m): a step or a slope?",
        "In AppDependencies of the function, find the Target whose DurationMs rose at the same time.",
        (
            "At a step, look for a deployment, a change of settings or of plan "
            "(AzureActivity); at a slope, for growing data."
        ),
        "Compare by AppRoleInstance: one slow instance is mended by a restart.",
    ),
    made_by=("latency", "duration", "caller_latency"),
    fits=lambda s: _slow(s) >= 0.3,
    example=sample(
        "function", 900, 240, {"latency_shift": 0.8, "duration_high": 0.2},
        value={"latency_shift": 900.0}, typical={"latency_shift": 300.0}, duration_ms=(880.0, 3_000.0), usual_ms=300.0,
    ),
)  # fmt: skip

FASTER_THAN_USUAL: Final = Kind(
    id="faster-than-usual",
    title="Runs end far sooner than usual at {spot}",
    summary="{Calls} {during} {to} {where}: {latency}; work may be skipped{bad}.",
    meaning="Runs end before the work can be done: a cache, an early return, a feature turned off, an empty input.",
    attack=(),
    severity=lambda s: level("low", 0.0 < s.typical_run <= 0.2),
    runbook=(
        "Check that the results are there: rows written, messages sent, files made since the beginning.",
        "In AppDependencies of the function, look for calls that are no longer made.",
        "Look for a deployment or a change of settings (AzureActivity), such as a feature flag or a connection string.",
        "If it is an improvement, train again, so that the new times become usual.",
    ),
    made_by=("duration", "latency"),
    fits=_fast,
    example=sample(
        "function", 300, 120, {"latency_drop": 0.7, "duration_low": 0.3},
        value={"latency_drop": 4.0}, typical={"latency_drop": 310.0}, duration_ms=(4.0, 12.0), usual_ms=310.0,
    ),
)  # fmt: skip
