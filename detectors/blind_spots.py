"""What the logs don't let anyone see, and which setting lets it be seen."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from detectors.wording import percent

#: a share below this is not worth a line
_LEAST: Final = 0.02
#: above this next to nothing is there
_NEARLY_ALL: Final = 0.98
#: above this most of it is missing, and what depends on it can't be found
_MOST: Final = 0.5


@dataclass(frozen=True, slots=True)
class Coverage:
    """How much of the logs carries what detection needs; shares from 0 to 1, None where nothing is known.

    Attributes:
        share_http: of the invocations, those called over HTTP.
        share_masked: of the HTTP invocations, those with neither address, user nor owner's property.
        share_without_country: of the HTTP invocations, those without geography.
        share_sampled: of the invocations, those whose row stands for several.
        share_without_host_instance: of the invocations, those without HostInstanceId.
        share_without_version: of the invocations, those without AppVersion.
        share_traces_joined: of the invocations fired by messages or timers, those with trigger details from AppTraces.
        share_without_query: of the HTTP invocations, those whose path carries no query.
        share_without_duration: of the invocations, those without a run time.
        share_failed_only: of the functions, those of which only failures are logged.
    """

    share_http: float | None = None
    share_masked: float | None = None
    share_without_country: float | None = None
    share_sampled: float | None = None
    share_without_host_instance: float | None = None
    share_without_version: float | None = None
    share_traces_joined: float | None = None
    share_without_query: float | None = None
    share_without_duration: float | None = None
    share_failed_only: float | None = None


def blind_spots(coverage: Coverage) -> list[str]:
    """One line for each thing that can't be seen: how much is missing, what stays unseen, how to let it be seen."""
    c = coverage
    http = c.share_http is None or c.share_http >= _LEAST
    out: list[str] = []
    nobody = min(_of(c.share_masked), _of(c.share_without_country)) >= _NEARLY_ALL
    if http and nobody:
        out.append(
            f"{percent(_of(c.share_masked))} of the HTTP calls say neither who made them nor from where: "
            "new callers, one caller's guessing, new countries "
            "and impossible travel stay unseen. Read AppRequests (FunctionAppLogs have no callers), log a hash of the "
            "key's id, oid or appid as a property of the request, or set DisableIpMasking to true on the Application "
            "Insights resource."
        )
    if http and not nobody and _much(c.share_masked):
        out.append(
            f"{percent(_of(c.share_masked))} of the HTTP calls have no identity "
            "(ClientIP is masked, no user): one caller's "
            "guessing, new callers and impossible travel show only by place and by function. "
            "Log a hash of the key's id, oid or appid as a property of the request, "
            "or set DisableIpMasking to true on the "
            "Application Insights resource."
        )
    if http and not nobody and _much(c.share_without_country):
        out.append(
            f"{percent(_of(c.share_without_country))} of the HTTP calls have no country: "
            "new countries and travel stay unseen. "
            "Use rows written by the host (SDKVersion azurefunctions:) and export ClientCountryOrRegion."
        )
    if _much(c.share_sampled):
        out.append(
            f"{percent(_of(c.share_sampled))} of the rows are sampled: who is new and "
            "single strange calls may be missing, "
            "counts are estimates. In host.json, add Request to "
            "logging.applicationInsights.samplingSettings.excludedTypes."
        )
    if _much(c.share_without_host_instance):
        out.append(
            f"{percent(_of(c.share_without_host_instance))} of the invocations have no "
            "HostInstanceId: cold starts can't be told "
            "from slow runs. Keep Properties in the export, or log faas.coldstart with OpenTelemetry."
        )
    if _much(c.share_without_version):
        out.append(
            f"{percent(_of(c.share_without_version))} of the invocations have no "
            "version: trouble that a deployment brought shows "
            "by its hosts at most. Set AppVersion (a telemetry initializer, or service.version with OpenTelemetry)."
        )
    if c.share_traces_joined is not None and 1.0 - c.share_traces_joined >= _MOST:
        out.append(
            f"{percent(max(1.0 - c.share_traces_joined, 0.0))} of the runs fired by "
            "messages and timers have no trigger details: "
            "deliveries of a message and reasons of unscheduled runs stay unseen. Export AppTraces as well, with "
            "Host.Triggers and Function at level Information."
        )
    if http and _mostly(c.share_without_query):
        out.append(
            f"{percent(_of(c.share_without_query))} of the HTTP paths are logged without "
            "their query: injection shows by failures "
            "and delays only. Turn on enableQueryStringTracing if no secrets travel in queries."
        )
    if _much(c.share_without_duration):
        out.append(
            f"{percent(_of(c.share_without_duration))} of the invocations have no run "
            "time: slow runs and costs stay unseen. "
            "Export AppRequests, which has DurationMs, beside FunctionAppLogs."
        )
    if _much(c.share_failed_only):
        out.append(
            f"{percent(_of(c.share_failed_only))} of the functions log failures only: "
            "rates and silences can't be judged. In "
            "host.json, set logLevel of Host.Results to Information."
        )
    return out


def _of(share: float | None) -> float:
    return 0.0 if share is None else share


def _much(share: float | None) -> bool:
    return share is not None and share >= _LEAST


def _mostly(share: float | None) -> bool:
    return share is not None and share >= _MOST
