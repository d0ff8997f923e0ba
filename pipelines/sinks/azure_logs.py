"""Incidents to a Log Analytics table through the Logs Ingestion API (a data collection rule)."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Final

from models.errors import InputError
from pipelines.retry import retry_after_s
from pipelines.sinks.base import DeliveryError, Incident, masked, revision
from pipelines.sinks.escape import terminal
from pipelines.sinks.lines import as_datetime, jsonable, utc_text

#: limits of the API: a call, and a field, in bytes of UTF-8
CALL_BYTES: Final = 1_000_000
FIELD_BYTES: Final = 64 * 1024
#: a record keeps some distance from a call's limit, for the brackets around it
_RECORD_BYTES: Final = CALL_BYTES - 1024

#: column of the table -> field of the incident. None of them is reserved (id, Type, TenantId, Title, UniqueId,
#: _ResourceId), and none is longer than 45 characters.
COLUMNS: Final[dict[str, str]] = {
    "IncidentId": "incident_id",
    "Kind": "kind",
    "IncidentTitle": "title",
    "Summary": "summary",
    "Severity": "severity",
    "Opened": "opened",
    "FirstEvent": "first_event",
    "LastEvent": "last_event",
    "Apps": "apps",
    "Functions": "functions",
    "Callers": "callers",
    "Invocations": "invocations",
    "InvocationIds": "invocation_ids",
    "Score": "score",
    "PValue": "p_value",
    "Reasons": "reasons",
    "Attack": "attack",
    "Runbook": "runbook",
    "ModelVersion": "model_version",
}

_TIMES: Final = frozenset({"Opened", "FirstEvent", "LastEvent"})
_REJECTING_STATUSES: Final = frozenset({400, 413, 422})
_ERROR_SHOWN: Final = 300


class AzureLogs:
    """Uploads incidents with ``azure-monitor-ingestion``, in chunks of at most 1 MB.

    The table has no upsert: a repeated delivery is a second row with the same IncidentId and Revision; queries take the
    last by ``summarize arg_max(Revision, *) by IncidentId``.

    Args:
        endpoint: of the data collection endpoint or rule, https://….ingest.monitor.azure.com.
        rule: immutable id of the data collection rule, ``dcr-…``.
        stream: its stream, ``Custom-…``.
        client: a LogsIngestionClient; None makes one with DefaultAzureCredential. It should not retry by itself.
        now_s: POSIX time in s, for a Retry-After that is a date.
    """

    def __init__(
        self, endpoint: str, rule: str, stream: str, *, client: Any = None, now_s: Callable[[], float] | None = None
    ) -> None:
        if not rule or not stream.startswith("Custom-"):
            raise InputError(
                "The Azure Logs sink lacks its rule or stream.",
                expected="rule=dcr-…, stream=Custom-…",
                received=f"rule={rule}, stream={stream}",
            )
        self.name = "azure-logs"
        self._rule, self._stream = rule, stream
        self._client = client if client is not None else _client(endpoint)
        self._now_s = now_s

    def send(self, incidents: Sequence[Incident]) -> None:
        """Upload them chunk by chunk; stops at the first chunk that fails, and says how many had arrived."""
        delivered = 0
        for chunk in chunks([record(incident) for incident in incidents]):
            try:
                self._client.upload(rule_id=self._rule, stream_name=self._stream, logs=chunk)
            except Exception as error:  # any of azure-core's, or of a credential's
                raise self._error(error, delivered) from None
            delivered += len(chunk)

    def close(self) -> None:
        """Close the client's connections."""
        self._client.close()

    def _error(self, error: Exception, delivered: int) -> DeliveryError:
        response = getattr(error, "response", None)
        status = getattr(response, "status_code", None)
        now_s = self._now_s() if self._now_s is not None else 0.0
        hint = None
        if status in (401, 403) or type(error).__name__ in ("ClientAuthenticationError", "CredentialUnavailableError"):
            hint = "the identity needs the role Monitoring Metrics Publisher on the data collection rule"
        if status == 404:
            hint = "check the rule's immutable id and the stream's name"
        return DeliveryError(
            "Azure Logs Ingestion did not take the incident.",
            received=f"{status or type(error).__name__}: {terminal(str(getattr(error, 'message', error)))}"[
                :_ERROR_SHOWN
            ],
            hint=hint,
            retry=status not in _REJECTING_STATUSES,
            retry_after_s=retry_after_s(response.headers, now_s) if response is not None else None,
            delivered=delivered,
        )


def record(incident: Incident) -> dict[str, Any]:
    """One row: TimeGenerated, Revision and COLUMNS, every field at most 64 KB, the whole below a call's limit.

    Lists lose their last entries and texts their end, with ``…`` in their place, until they fit.
    """
    clean = masked(incident)
    row: dict[str, Any] = {
        "TimeGenerated": _time(clean.get("opened") or clean.get("last_event")),
        "Revision": revision(incident),
    }
    for column, name in COLUMNS.items():
        row[column] = _time(clean.get(name)) if column in _TIMES else jsonable(clean.get(name))
    limit = FIELD_BYTES
    fitted = _fitted(row, limit)
    while _size(fitted) > _RECORD_BYTES:
        limit //= 2
        fitted = _fitted(row, limit)
    return fitted


def chunks(records: Sequence[Mapping[str, Any]], limit: int = CALL_BYTES) -> Iterator[list[Mapping[str, Any]]]:
    """The records in order, in lists whose JSON is at most ``limit`` bytes; a larger record stands alone."""
    chunk: list[Mapping[str, Any]] = []
    size = 2  # the brackets
    for item in records:
        more = _size(item) + 2  # a comma and a space
        if chunk and size + more > limit:
            yield chunk
            chunk, size = [], 2
        chunk.append(item)
        size += more
    if chunk:
        yield chunk


def _fitted(row: Mapping[str, Any], limit: int) -> dict[str, Any]:
    return {name: _fit(value, limit) for name, value in row.items()}


def _fit(value: Any, limit: int) -> Any:
    if isinstance(value, str) and _size(value) > limit:
        return _cut(value, limit)
    if isinstance(value, list) and _size(value) > limit:
        kept: list[Any] = []
        room = limit - _size(["…"])
        for item in value:
            room -= _size(item) + 2
            if room < 0:
                break
            kept.append(item)
        return [*kept, "…"] if kept else [_cut(json.dumps(value[0]), limit - 4)]
    if isinstance(value, dict) and _size(value) > limit:
        return _cut(json.dumps(value), limit)
    return value


def _cut(text: str, limit: int) -> str:
    low, high = 0, len(text)  # the longest beginning whose JSON fits: escapes make it longer than its characters
    while low < high:
        middle = (low + high + 1) // 2
        low, high = (middle, high) if _size(text[:middle] + "…") <= limit else (low, middle - 1)
    return text[:low] + "…"


def _size(value: Any) -> int:
    return len(json.dumps(value))  # ASCII with escapes, as the client sends it


def _time(value: Any) -> str | None:
    time = as_datetime(value)
    return None if time is None else utc_text(time)


def _client(endpoint: str) -> Any:
    if not endpoint.startswith("https://"):
        raise InputError(
            "The endpoint of the Azure Logs sink can't be used.",
            expected="https://….ingest.monitor.azure.com",
            received=endpoint or "nothing",
        )
    try:
        from azure.identity import DefaultAzureCredential
        from azure.monitor.ingestion import LogsIngestionClient
    except ImportError:
        raise InputError(
            "The Azure Logs sink needs azure-monitor-ingestion.",
            expected="it installed",
            hint="pip install 'lonetree[azure]'",
        ) from None
    return LogsIngestionClient(endpoint, DefaultAzureCredential(), retry_total=0)
