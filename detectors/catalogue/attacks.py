"""Kinds that try a function's locks: guessing, probing, injection."""

from __future__ import annotations

from typing import Final

from detectors.catalogue.kind import ONE_CALLER, Kind, Signs, finite, level
from detectors.catalogue.samples import sample

#: signatures that speak of looking around rather than of breaking in
_LOOKING: Final = frozenset({"none", "scanner tool", "secret file probe"})
#: parts of the names of exceptions that crafted input raises where it is read
_PARSING: Final = ("json", "parse", "format", "syntax", "serializ", "decod", "sql", "xml", "template", "injection")
#: functions asked by one caller that make it a look around
_WIDE: Final = 5
#: share of the score below which failures are not what the story is about
_ABOUT_FAILURES: Final = 0.12
#: share of refused calls from which on somebody tries what others don't know
_MOSTLY_IN_VAIN: Final = 0.8
#: refused calls below this are typing mistakes
_GUESSES: Final = 8
#: share of the score below which delays say nothing: among slow runs some end at round seconds
_TELLING: Final = 0.04
#: share of the score from which on it is what the story is about
_MOSTLY: Final = 0.5
#: delays by round seconds below this are chance
_DELAYS: Final = 3.0
#: times the usual run that speak of a delay put in on purpose
_SLEEPS: Final = 8.0
#: deliveries of one message from which on it has come back, and failed runs that many messages take
_COMES_BACK: Final = 2.0
_BREAKS: Final = 10
#: runs near this end by a time limit, ms
_LIMIT_MS: Final = 200_000.0
#: calls a minute from which on the amount, if it makes more of the score, is the trouble
_FLOODING: Final = 60.0


def _signed(s: Signs) -> bool:
    return bool(set(s.e.signatures) - _LOOKING) or (s.of("signature") >= 0.1 and s.refused < 0.5)


def _injects(s: Signs) -> bool:
    if s.messaging:
        return False
    breaks = s.by_caller and s.new_here and s.http and s.e.failed >= 3 and s.failed >= 0.1 and s.refused < 0.4
    # one hand puts delays in; what many callers wait for is the function's own
    one_hand = s.one_caller or s.caller_share >= 0.5
    put_in = finite(s.e.share.get("round_seconds")) >= _TELLING and s.value("round_seconds") >= _DELAYS
    # runs that end sooner than usual keep nobody waiting
    sooner = s.share("duration_low") >= _MOSTLY
    delays = one_hand and ((put_in and s.of("probe") >= 0.1) or s.kept_waiting) and s.refused < 0.5 and not sooner
    return _signed(s) or delays or (breaks and s.own_failures and s.of("failure") >= _ABOUT_FAILURES)


def _injects_by_message(s: Signs) -> bool:
    if not s.messaging or s.functions > 3:
        return False
    parsing = any(part in name.lower() for name in s.e.exception_types for part in _PARSING)
    if not s.few_messages or s.timed_out:
        # dozens of messages that fail are an outage of what reads them, or of what it calls, whatever went well beside
        # them; and what gives up after the same time, however often, waits for somebody
        return _signed(s) or (parsing and s.failed < 0.5)
    slow = s.share("duration_high", "round_seconds") >= 0.2 or (
        s.of("duration", "cost") >= 0.1 and s.longest >= _SLEEPS
    )
    # delays that are put in end before the time limit does
    # a slow dependency makes a few runs fail; messages come back, break many runs, or name what breaks in them
    broken = s.value("redelivery") >= _COMES_BACK or s.e.failed >= _BREAKS or bool(s.e.exception_types)
    slow_too = (
        slow
        and broken
        and s.e.duration_ms[1] < _LIMIT_MS
        and s.e.failed >= 2
        and s.failed < 1.0
        and s.of("failure", "retry") >= 0.1
    )
    return _signed(s) or s.of("probe") >= 0.1 or slow_too or (parsing and s.e.failed >= 3)


def _guesses(s: Signs) -> bool:
    wide = not s.by_caller and s.e.distinct_callers >= 10
    # one of many callers tries a few times only: the function has seen the rest
    enough = s.guesses >= _GUESSES or (s.e.refused > 0 and s.value("client_error_burst") >= 2 * _GUESSES)
    return enough and s.refused >= 0.3 and s.denied >= 0.5 and (s.functions <= 2 or wide) and not _floods(s)


def _floods(s: Signs) -> bool:
    return s.peak_a_minute >= _FLOODING and s.of("caller_pace", "pace") >= 2.0 * s.of("refusal")


def _spams(s: Signs) -> bool:
    """Many write, and some of it is taken, or it is refused for what it is: that is spam, and tries no names."""
    # a place is where many may call from
    many = not s.one_caller or s.caller_source not in ONE_CALLER
    return s.only_writes and many and (s.refused < _MOSTLY_IN_VAIN or s.unreadable >= _MOSTLY_IN_VAIN)


def _mistypes(s: Signs) -> bool:
    return s.guesses < _GUESSES and s.denied >= 0.5


def _enumerates(s: Signs) -> bool:
    if _spams(s):
        return False
    # who asks everywhere and is refused again and again looks around, however fast
    wide = s.functions >= _WIDE and s.guesses >= max(_GUESSES, 0.1 * s.e.invocations) and s.of("refusal") >= 0.1
    if wide and s.one_caller:
        return True
    if _floods(s):
        return False
    refused = (
        s.guesses >= max(_GUESSES, 0.25 * s.e.invocations) and s.of("refusal", "spread", "novelty", "reach") >= 0.1
    )
    return refused or (s.of("refusal") >= 0.3 and s.guesses >= 3) or (s.of("spread") >= 0.3 and s.functions >= 4)


INJECTION_PROBE: Final = Kind(
    id="injection-probe",
    title="Injection probes at {spot} {from_whom}",
    summary="{Calls} {during} {to} {where} {from_whom}{signatures}{delays}{bad}{slow}.",
    meaning=(
        "Input is crafted to make the function fail, wait or obey. A penetration "
        "test looks the same; a fuzzing client, too."
    ),
    attack=("T1190", "T1595.002"),
    severity=lambda s: level("high", s.share("round_seconds") >= 0.1 and s.value("round_seconds") >= 5.0),
    runbook=(
        "Ask whether a penetration test is announced.",
        (
            "Block the address (Function App, Networking, Access restrictions) or the "
            "pattern (Front Door or gateway, WAF policy)."
        ),
        (
            "In AppExceptions, read ExceptionType and OuterMessage of these OperationIds: "
            "an SQL or template error names the hole."
        ),
        (
            "If calls were delayed by round numbers of seconds, treat it as a working "
            "injection: take the function offline."
        ),
        (
            "Fix the query (parameters instead of concatenation), then search AppRequests "
            "for the same paths in the last 30 days."
        ),
    ),
    made_by=("signature", "probe", "failure", "caller_latency"),
    fits=_injects,
    example=sample(
        "caller", 96, 25, {"attack_signature": 0.4, "round_seconds": 0.35, "caller_failures": 0.25},
        caller="address:203.0.113.7", new_callers=1, failed=31, signatures=("sql injection",),
        value={"attack_signature": 40.0, "round_seconds": 22.0, "caller_failures": 31.0, "caller_new": 0.0},
        typical={"caller_failures": 0.4}, duration_ms=(310.0, 10_320.0), usual_ms=300.0,
    ),
)  # fmt: skip

QUEUE_INJECTION: Final = Kind(
    id="queue-injection",
    title="Broken or crafted messages at {spot}",
    summary="{Calls} {during} of {where}{queue}{signatures}{bad}{exceptions}{slow}.",
    meaning=(
        "What came in looks harmless at the door and breaks what reads the queue behind "
        "it. A producer with a bug looks the same."
    ),
    attack=("T1190",),
    severity=lambda s: level("medium", bool(s.e.signatures) or s.e.failed >= 10, s.share("round_seconds") >= 0.1),
    runbook=(
        (
            "In Storage Explorer or Service Bus Explorer, peek at the poison or dead-letter "
            "queue: what do these messages have in common?"
        ),
        "In AppExceptions of the function, read ExceptionType and OuterMessage.",
        "Follow AppRequests.OperationId back to the call that enqueued the message, and block its caller.",
        "Validate messages where they are enqueued; purge the bad ones once a sample is kept.",
    ),
    made_by=("failure", "duration", "signature", "probe", "retry"),
    fits=_injects_by_message,
    example=sample(
        "function", 46, 55, {"failure_burst": 0.4, "duration_high": 0.4, "redelivery": 0.2}, function="BookOrder",
        trigger="queue", caller="queue:orders", sources=("orders",), failed=28, slow=12,
        exception_types=("System.Text.Json.JsonException",),
        value={"failure_burst": 12.0, "redelivery": 4.0}, typical={"failure_burst": 0.1},
        duration_ms=(400.0, 9_000.0), usual_ms=120.0,
    ),
)  # fmt: skip

CREDENTIAL_GUESSING: Final = Kind(
    id="credential-guessing",
    title="Credentials are being guessed at {spot}",
    summary="{Calls} {during} {to} {where} {from_whom}{new_ones}{denied}.",
    meaning=(
        "Passwords, tokens or keys are tried, from one address or many. An expired "
        "secret in a busy client looks the same."
    ),
    attack=("T1110", "T1110.003", "T1110.004"),
    severity=lambda s: level("medium", s.e.refused >= 100, s.refused < 0.98 and s.e.refused >= 30 and s.new_here),
    runbook=(
        (
            "In AppRequests, find calls of these callers with ResultCode 200 after a row of "
            "401: those accounts are lost, lock them."
        ),
        "If one known client makes all of it, look for an expired secret first and ask its owner.",
        "Limit sign-ins by address (Front Door or gateway, WAF rate limit) and ask for a second factor.",
        "In Entra ID, Sign-in logs, check the accounts tried in the same time.",
    ),
    made_by=("refusal", "novelty", "pace"),
    fits=_guesses,
    example=sample(
        "function", 640, 80, {"client_error_burst": 0.5, "pace_minutes": 0.2, "caller_new_to_function": 0.3},
        function="SignIn", caller="address:203.0.113.7", distinct_callers=310, new_callers=298, refused=601,
        statuses={401: 590, 403: 11, 200: 39}, value={"client_error_burst": 118.0}, typical={"client_error_burst": 2.1},
    ),
)  # fmt: skip

ENUMERATION: Final = Kind(
    id="enumeration",
    title="{Locks} tried at {spot} {from_whom}",
    summary="{Calls} {during} {to} {where} {from_whom}{signatures}{denied}.",
    meaning=(
        "Ids, names or paths are tried one after the other; most are refused. A "
        "broken link in a busy client looks the same."
    ),
    attack=("T1595.003", "T1087"),
    severity=lambda s: level(
        "low" if _mistypes(s) else "medium", s.e.refused >= 50 and s.refused < 0.95, s.functions >= 8
    ),
    runbook=(
        (
            "In AppRequests, look at Url and ResultCode of this caller's calls: running numbers or word lists show a "
            "tool at work, 401 and 403 at one function after the other a key that is tried everywhere."
        ),
        "Those answered with 200 were found: check whether they gave away other people's data (missing authorisation).",
        "Block or slow the caller (Function App, Networking, Access restrictions; WAF rate limit).",
        "Answer unknown and forbidden ids alike, and use ids that can't be guessed.",
    ),
    made_by=("refusal", "spread", "novelty"),
    fits=_enumerates,
    example=sample(
        "caller", 41, 12, {"caller_client_errors": 0.6, "caller_new": 0.25, "caller_spread": 0.15},
        caller="address:203.0.113.7", new_callers=1, refused=38, statuses={404: 30, 403: 8, 200: 3},
        functions=(("shop", "PayInvoice", 20), ("shop", "GetInvoice", 12), ("shop", "GetUser", 9)),
        value={"caller_client_errors": 38.0, "caller_new": 0.0}, typical={"caller_client_errors": 0.2},
    ),
)  # fmt: skip
