"""Kinds that one caller makes by who it is, where it comes from, when it calls and how much it takes."""

from __future__ import annotations

from typing import Final

from detectors.catalogue.kind import GROUPS, ONE_CALLER, STRONG, Kind, Severity, Signs, level
from detectors.catalogue.load import BILL_S, grows
from detectors.catalogue.samples import sample

#: share of the score that is most of it, and times the usual load that one caller alone brings about
_MOST_OF_IT: Final = 0.5
_FAR_BUSIER: Final = 10.0
#: surprise at the load of a function, -log10 p, that chance and a new customer don't bring about
_FAR_BEYOND: Final = 4.0
#: no plane is faster between two countries that are worth telling apart, s
FASTEST_TRAVEL_S: Final = 3 * 3600.0
_DAY_S: Final = 86_400.0
#: functions that a new customer may use on its first day
_LOOKS_AROUND: Final = 4
#: calls below which nobody is busy
_FEW: Final = 5
#: calls that make a harvest
_HARVEST: Final = 100
#: identities that a person may have, and times what it ever took that tell of a harvest
_PERSONS: Final = frozenset({"user", "property"})
_TIMES_AS_MUCH: Final = 8.0
#: calls a minute that one caller can read; beyond, the amount itself is the trouble
_READABLE: Final = 60.0
#: share of its working hours above which a caller is at work at a usual one; an eighth would be the typical share
_ODD_HOUR: Final = 0.04
#: -log10 p from which on a country is one that hardly anybody calls from
_SELDOM_FROM_THERE: Final = 2.0
#: share of the score from which on the pace of who calls from there is a part of the story
_BUSY_THERE: Final = 0.25


def _travels(s: Signs) -> bool:
    return s.of("travel") >= 0.1 and 0.0 < s.value("travel", -1.0) <= FASTEST_TRAVEL_S


def reaches(s: Signs) -> bool:
    """Whether someone known from elsewhere turns up in an app for the first time."""
    known_elsewhere = s.one_caller and not s.value("caller_new", _DAY_S) < _DAY_S
    reach = s.share("caller_new_to_app")
    # one who guesses is refused nearly always; one who is known and new here may be, too
    tries = s.refused < 0.6 or reach >= s.of("refusal")
    # who is told that it may not knows where it knocks; who guesses is told that there is no such thing
    forbidden = s.e.statuses.get(401, 0) + s.e.statuses.get(403, 0) >= 0.8 * max(s.e.refused, 1)
    # where it is new tells more than where it calls from
    strong = s.surprise("caller_new_to_app") >= max(STRONG, s.surprise(*GROUPS["place"])) and tries
    arrives = (reach >= 0.1 and tries) or (reach >= 0.03 and (forbidden or strong))
    return known_elsewhere and arrives and s.caller_source in ONE_CALLER


def _takes_much(s: Signs) -> bool:
    # of a place that many share nobody can say that it takes anything
    known = s.one_caller and s.caller_source in ONE_CALLER and not (s.new_here or s.first_day or s.only_writes)
    much = s.caller_load >= 0.2 and s.e.invocations >= _HARVEST
    quiet = s.failed < 0.2 and s.refused < 0.2
    # faster is a flood, dearer is a bill, and a few calls at night are off hours
    other = (
        s.peak_a_minute >= _READABLE or s.e.run_seconds >= BILL_S or (s.of("hours") >= 0.12 and s.e.invocations < 200)
    )
    return known and much and (_each_longer(s) or _reads_on(s)) and quiet and not other


def _each_longer(s: Signs) -> bool:
    slower = s.share("caller_slow_here", "duration_high", "latency_shift", "cost_hour", "cost_days") >= 0.08
    return slower or s.typical_run > 1.5


def _reads_on(s: Signs) -> bool:
    """Somebody reads, and nothing else, many times what it ever took in hours or in a day."""
    much = s.ratio("caller_volume_here", "caller_day") >= _TIMES_AS_MUCH
    return s.only_reads and s.caller_source in _PERSONS and much


def _takes_over(s: Signs) -> bool:
    # one who makes nearly all of a function's calls, and many times as many as ever, is no customer's first visit
    load = ("pace_minutes", "pace_hour")
    tells = s.of("pace") >= _MOST_OF_IT or s.surprise(*load) >= _FAR_BEYOND
    return s.own_load and tells and s.ratio(*load) >= _FAR_BUSIER


def _odd_hours(s: Signs) -> bool:
    hours = s.of("hours")
    odd = s.value("caller_hours") <= _ODD_HOUR
    telling = hours >= 0.12 or (hours >= 0.05 and s.surprise("caller_hours") >= 1.5)
    return s.one_caller and not s.newcomer and odd and telling


def _arrives(s: Signs) -> bool:
    first = (s.first_day or s.out_of_place) and s.one_caller
    first = first and s.of("novelty", "reach", "caller_pace", "pace") >= 0.3
    return first or s.of("novelty", "reach", "spread", "crowd") >= (0.2 if s.by_caller else 0.4)


def _hurries(s: Signs) -> bool:
    """Busier than it was ever seen to be: one caller, or a function that is no flood's."""
    if s.failed >= 0.5 or s.e.invocations < _FEW:
        return False
    if s.one_caller:
        return s.caller_load >= 0.3 and not _arrives(s)
    busy = s.share("pace_minutes", "pace_hour", "growth_days", "caller_pace", "caller_pace_here", "newcomers")
    # what hangs keeps others waiting, and those that come meanwhile are not what is strange
    slow = s.share("duration_high", "duration_record", "latency_shift", "caller_slow_here")
    return s.of("caller_pace", "pace", "growth") >= 0.3 and busy >= slow and not grows(s)


def _severity_of_pace(s: Signs) -> Severity:
    # a batch is over in minutes; who takes for hours many times what it ever took may be carrying it away
    taken = s.ratio("caller_volume_here") >= 8.0
    # a door that is opened, or money that is paid back, is no page that is read
    changes = s.only_writes and s.ratio("caller_pace", "caller_pace_here", "pace_minutes", "pace_hour") >= 10.0
    faster = s.ratio("caller_pace", "caller_pace_here") >= 30.0
    return level("low", taken or changes or faster, s.failed + s.refused > 0.2)


def _severity_of_new(s: Signs) -> Severity:
    in_vain = s.failed + s.refused > 0.2
    busy = s.functions > _LOOKS_AROUND or s.e.invocations >= 200 or _takes_over(s)
    # a scanner of the internet that is refused within seconds wakes nobody
    # as much from where hardly anybody calls is no less than fewer calls from there
    wants = (in_vain and busy and s.e.invocations >= _HARVEST) or (busy and s.from_afar)
    return level("low", in_vain or busy or s.out_of_place, wants)


def _severity_of_country(s: Signs) -> Severity:
    # where nobody ever called from it counts, too, who is known by the place alone
    foreign = s.surprise("country_rare_here", "country_new") >= _SELDOM_FROM_THERE
    # who looks around is a visitor; who is turned away, or calls far more than others do, wants something
    wants = s.refused > 0.3 or (s.of("pace", "caller_pace") >= _BUSY_THERE and s.one_caller)
    return level("low", s.sure_or_many or foreign, wants)


IMPOSSIBLE_TRAVEL: Final = Kind(
    id="impossible-travel",
    title="{Caller} {travels}",
    summary="{Calls} {during} {to} {where} by {caller}, {apart}{bad}.",
    meaning=(
        "One identity is used in two countries sooner than anyone travels. A shared "
        "account, a VPN or a proxy looks the same."
    ),
    attack=("T1078.004", "T1550.001"),
    severity=lambda s: level("high", s.e.invocations >= 200 and s.e.caller_confidence >= 0.9),
    runbook=(
        "In Log Analytics, list AppRequests of this caller by ClientCountryOrRegion and ClientIP for the last day.",
        "Ask the owner of the account whether both places are theirs (VPN, proxy, mobile network).",
        (
            "If not, revoke its sessions in Entra ID (Users, Revoke sessions) or renew "
            "its function key (Function App, App keys)."
        ),
        "Compare AppRequests.Url and ResultCode of the far place with its habits to see what was read or changed.",
    ),
    made_by=("travel", "place", "novelty"),
    fits=_travels,
    example=sample(
        "caller", 18, 14, {"travel": 0.5, "caller_new_country": 0.3, "caller_pace": 0.2}, caller="user:u-1",
        countries=(("Brazil", 18),), came_from="Finland", value={"travel": 420.0, "caller_new": 5e6},
        caller_confidence=0.9,
    ),
)  # fmt: skip

LATERAL_MOVEMENT: Final = Kind(
    id="lateral-movement",
    title="First reach into {app} by {caller}",
    summary="{Calls} {during} {to} {where} in {app} by {caller}, which never called {it}{history}{unborn}{bad}.",
    meaning="A caller known from one app turns up in another. A new integration looks the same on its first day.",
    attack=("T1021.007", "T1550.001"),
    severity=lambda s: level("medium", s.functions > 1 or s.refused > 0.1, s.caller_source in ("role", "property")),
    runbook=(
        "Ask the owners of both apps whether this call path is planned; look for a deployment in AzureActivity.",
        "In AppDependencies of the calling app, find the code that calls (Target, OperationId) and since when.",
        (
            "If nobody knows it, renew the key or restrict the managed identity it "
            "uses (Function App, App keys; Identity)."
        ),
        "In AppRequests, list what else this caller touched since the first call (Name, Url, ResultCode).",
    ),
    made_by=("reach", "spread"),
    fits=reaches,
    example=sample(
        "caller", 32, 48, {"caller_new_to_app": 0.55, "caller_new_to_function": 0.25, "caller_client_errors": 0.2},
        function="ListInvoices", app="billing", caller="role:shop", refused=9,
        functions=(("billing", "ListInvoices", 20), ("billing", "GetInvoice", 12)),
        value={"caller_new_to_app": 0.0, "caller_new": 5e6, "caller_client_errors": 9.0},
        typical={"caller_new_to_app": 1204.0, "caller_client_errors": 0.3},
    ),
)  # fmt: skip

EXFILTRATION: Final = Kind(
    id="exfiltration",
    title="Far more than usual taken from {spot} by {caller}",
    summary="{Calls} {during} {to} {where} by {caller}{in_country}: {pace}{slow}{bad}.",
    meaning=(
        "A known caller reads far more than ever, page after page, or each call takes longer. A "
        "migration or a new report looks the same."
    ),
    attack=("T1530", "T1119"),
    severity=lambda s: level("high" if _each_longer(s) else "medium", s.e.invocations >= 2_000, s.abroad),
    runbook=(
        "Ask the owner of this caller whether a migration, export or report is running.",
        (
            "In AppRequests, look at Url and Measurements of these calls: many "
            "different ids or growing pages mean a harvest."
        ),
        (
            "If it is not theirs, disable the account or renew the key, then limit its "
            "rate (API Management, rate-limit-by-key)."
        ),
        (
            "Estimate what left: storage logs (StorageBlobLogs, ResponseBodySize) or the "
            "gateway's bytes sent in the same time."
        ),
    ),
    made_by=("caller_pace", "caller_latency", "duration"),
    fits=_takes_much,
    example=sample(
        "caller", 620, 95, {"caller_pace": 0.55, "caller_slow_here": 0.3, "pace_hour": 0.15}, caller="user:u-1",
        value={"caller_pace": 240.0, "caller_slow_here": 900.0, "caller_new": 5e6},
        typical={"caller_pace": 6.0, "caller_slow_here": 300.0}, duration_ms=(900.0, 4200.0), usual_ms=300.0,
    ),
)  # fmt: skip

NEW_COUNTRY: Final = Kind(
    id="new-country",
    title="{Abroad}",
    summary="{Calls} {during} {to} {where} {from_abroad}, {foreign}{bad}.",
    meaning="New to the caller, or rare at the function. Travel or a new exit of a proxy looks the same.",
    attack=("T1078.004",),
    severity=_severity_of_country,
    runbook=(
        "In Log Analytics, list AppRequests of this caller by ClientCountryOrRegion for the last month.",
        "Ask the owner whether they travel or changed their network.",
        "If not, renew its key (Function App, App keys) or revoke its sessions in Entra ID.",
        "Review what it called from there: AppRequests, columns Name, Url and ResultCode.",
    ),
    made_by=("place",),
    fits=lambda s: s.of("place") >= 0.15 or s.abroad or s.many_from_afar,
    example=sample(
        "caller", 41, 150, {"caller_new_country": 0.6, "caller_pace": 0.2, "caller_new_here": 0.2},
        caller="property:9f2c", countries=(("Brazil", 41),), caller_confidence=1.0,
        value={"caller_new_country": 0.0, "caller_new": 5e6}, typical={"caller_new_country": 1204.0},
    ),
)  # fmt: skip

OFF_HOURS: Final = Kind(
    id="off-hours",
    title="Unusual hour at {spot}: {caller}",
    summary="{Calls} {during} {to} {where} by {caller}{in_country} from {hour}, {odd_hour}{busy}{bad}.",
    meaning="A caller with steady hours is active outside of them. Someone on call or a new batch job looks the same.",
    attack=("T1078.004",),
    severity=lambda s: level("low", s.e.invocations >= 20, s.failed + s.refused > 0.2 or s.of("caller_pace") >= 0.3),
    runbook=(
        "Ask the owner of this caller whether someone worked at that time (on call, release, batch job).",
        "In AppRequests, compare Name and Url of these calls with those of its usual hours.",
        "If nobody did, revoke its sessions in Entra ID or renew its key (Function App, App keys).",
    ),
    made_by=("hours", "caller_pace"),
    fits=_odd_hours,
    example=sample(
        "caller", 44, 70, {"caller_hours": 0.55, "caller_pace": 0.45}, caller="user:u-1",
        value={"caller_hours": 0.003, "caller_pace": 28.0, "caller_new": 5e6},
        typical={"caller_hours": 0.125, "caller_pace": 0.4},
    ),
)  # fmt: skip

UNUSUAL_PACE: Final = Kind(
    id="unusual-pace",
    title="Far busier than usual at {spot}: {caller}",
    summary="{Calls} {during} {to} {where} {from_whom}{in_country}: {pace}{bad}.",
    meaning=(
        "A known caller, or the few that a function has, calls far more often than its habit at "
        "this hour. A loop in a client or a bulk job looks the same."
    ),
    attack=("T1119",),
    severity=_severity_of_pace,
    runbook=(
        "In AppRequests, chart count() of this caller by bin(TimeGenerated, 5m) for the last week.",
        "Ask its owner whether a bulk job or a new version of the client is running.",
        "If it harms others, limit its rate (API Management, rate-limit-by-key) or disable its key for the time being.",
    ),
    made_by=("caller_pace",),
    fits=_hurries,
    example=sample(
        "caller", 210, 40, {"caller_pace": 0.8, "caller_pace_here": 0.2}, caller="user:u-1",
        value={"caller_pace": 180.0, "caller_new": 5e6}, typical={"caller_pace": 12.0},
    ),
)  # fmt: skip

NEW_CALLER: Final = Kind(
    id="new-caller",
    title="New at {new_spot}: {caller}",
    summary="{Calls} {during} {to} {where} {from_whom}{in_country}, {unknown}{busy}{bad}{slow}.",
    meaning=(
        "Someone calls a function for the first time, and does what others don't. "
        "A new customer looks the same at first."
    ),
    attack=("T1078.004",),
    severity=_severity_of_new,
    runbook=(
        "In AppRequests, list all calls of this caller: Name, Url, ResultCode, DurationMs.",
        "Ask the app's owner whether a customer or an integration was added.",
        (
            "If not, block the address (Function App, Networking, Access "
            "restrictions) or renew the key it used (App keys)."
        ),
        (
            "Check AzureActivity for Microsoft.Web/sites/functions/listkeys/action "
            "shortly before: a key may have been read."
        ),
    ),
    made_by=("novelty", "reach", "spread"),
    fits=_arrives,
    example=sample(
        "caller", 41, 12, {"caller_new": 0.5, "caller_client_errors": 0.1, "caller_pace": 0.4},
        caller="address:203.0.113.7", new_callers=1, refused=3, caller_confidence=0.7,
        value={"caller_new": 0.0, "caller_client_errors": 3.0, "caller_pace": 41.0},
        typical={"caller_client_errors": 0.2, "caller_pace": 0.0},
    ),
)  # fmt: skip
