"""The Log Analytics query: its text, one answer as Arrow, and what each kind of failure means. No state, no clock."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from detectors.schema import TIMESTAMP
from models.errors import InputError, SourceError
from pipelines.retry import TRANSIENT_STATUSES, retry_after_s
from pipelines.sinks.escape import terminal
from pipelines.sources.base import from_microseconds, microseconds
from pipelines.sources.cursor import Window

#: cloud -> (query endpoint, authority that signs in)
CLOUDS: Final[dict[str, tuple[str, str]]] = {
    "public": ("https://api.loganalytics.io", "login.microsoftonline.com"),
    "usgov": ("https://api.loganalytics.us", "login.microsoftonline.us"),
    "china": ("https://api.loganalytics.azure.cn", "login.chinacloudapi.cn"),
}

_APP: Final = ("AppRoleName", "AppRoleInstance", "AppVersion", "SDKVersion", "OperationName", "OperationId", "ParentId")
_REQUEST: Final = (
    *_APP, "Id", "Name", "Success", "ResultCode", "DurationMs", "Url", "Source", "ClientIP", "ClientCity",
    "ClientStateOrProvince", "ClientCountryOrRegion", "UserAuthenticatedId", "ItemCount", "Properties", "Measurements",
)  # fmt: skip
_EXCEPTION: Final = (*_APP, "ExceptionType", "OuterType", "OuterMessage", "InnermostMessage", "Properties", "ItemCount")
_FUNCTION_LOG: Final = (
    "AppName", "Category", "EventId", "ExceptionMessage", "ExceptionType", "FunctionInvocationId", "FunctionName",
    "HostInstanceId", "Level", "Message", "RoleInstance", "_ResourceId",
)  # fmt: skip

#: table -> (columns that are needed, what of it is about invocations); the filter keeps traces from drowning the rest
TABLES: Final[dict[str, tuple[tuple[str, ...], str]]] = {
    "AppRequests": (_REQUEST, ""),
    "AppExceptions": (_EXCEPTION, ""),
    "AppTraces": ((*_APP, "Message", "Properties", "ItemCount"), 'Message startswith "Trigger Details"'),
    "FunctionAppLogs": (_FUNCTION_LOG, "EventId in (1, 2, 3) or isnotempty(FunctionInvocationId)"),
}

#: Azure replaces a TimeGenerated more than two days before or one day after its arrival, so rows lie within this of
#: their ingestion time; the bound on TimeGenerated is what lets the service skip the rest of the table
_BEFORE_US: Final = 3 * 86_400_000_000
_AFTER_US: Final = 2 * 86_400_000_000

#: the service cuts an answer at this many rows
ROW_LIMIT: Final = 500_000
#: and an answer this near to it is not trusted to be whole
NEAR_LIMIT: Final = 0.98

#: columns that we add, and the reader takes off again
_ITEM, _INGESTED = "LonetreeItemId", "LonetreeIngestedAt"


def query_text(table: str, window: Window) -> str:
    """KQL for the rows of a table that arrived within a window; columns that a workspace lacks come as empty."""
    columns, about = TABLES[table]
    begin, end = _literal(window.begin_us), _literal(window.end_us)
    earliest, latest = _literal(window.begin_us - _BEFORE_US), _literal(window.end_us + _AFTER_US)
    lines = [
        table,
        f"| where TimeGenerated between ({earliest} .. {latest})",
        f"| extend {_INGESTED} = ingestion_time()",
        f"| where {_INGESTED} >= {begin} and {_INGESTED} < {end}",
        *([f"| where {about}"] if about else []),
        f"| project {_INGESTED}, {_ITEM} = _ItemId, TimeGenerated, Type, "
        + ", ".join(f"{name} = column_ifexists('{name}', '')" for name in columns),
        f"| order by {_INGESTED} asc",
    ]
    return "\n".join(lines)


def _literal(us: int) -> str:
    return f"datetime({from_microseconds(max(us, 0)).strftime('%Y-%m-%dT%H:%M:%S.%fZ')})"


@dataclass(frozen=True)
class Answer:
    """A whole answer."""

    #: the rows in the service's columns, ours taken off
    batch: pa.RecordBatch
    #: item id of each row; one that the service left empty is made of the row's number and time
    items: list[str]
    #: int64[rows], ingestion time in µs UTC
    times_us: NDArray[np.int64]


class CutShortError(Exception):
    """The answer is not whole; a smaller question may get a whole one."""


def read_answer(result: Any, row_limit: int) -> Answer:
    """A LogsQueryResult as Arrow.

    Raises:
        CutShortError: a partial result, or so many rows that some may be missing.
        SourceError: an answer without our columns.
    """
    error = getattr(result, "partial_error", None)
    if error is not None or result.status != "Success":
        raise CutShortError(terminal(f"partial result: {getattr(error, 'code', '')} {getattr(error, 'message', '')}"))
    if not result.tables:
        raise CutShortError("an answer without a table")
    table = result.tables[0]
    if len(table.rows) >= row_limit * NEAR_LIMIT:
        raise CutShortError(f"{len(table.rows)} rows, near the limit of {row_limit}")
    names = list(table.columns)
    if _ITEM not in names or _INGESTED not in names:
        raise SourceError(
            "Azure Monitor answered with other columns.", expected=f"{_ITEM}, {_INGESTED}", received=", ".join(names)
        )
    values: dict[str, list[Any]] = {name: [row[i] for row in table.rows] for i, name in enumerate(names)}
    ingested, items = values.pop(_INGESTED), values.pop(_ITEM)
    kinds = dict(zip(names, table.columns_types, strict=True))
    arrays = {name: _array(column, str(kinds[name])) for name, column in values.items()}
    times_us = np.array([microseconds(time) if hasattr(time, "tzinfo") else 0 for time in ingested], np.int64)
    named = [str(item) if item else f"row {i} at {times_us[i]}" for i, item in enumerate(items)]
    batch = pa.RecordBatch.from_arrays(list(arrays.values()), names=list(arrays))
    return Answer(batch, named, times_us)


_ARROW: Final[Mapping[str, pa.DataType]] = {
    "datetime": TIMESTAMP,
    "bool": pa.bool_(),
    "int": pa.int64(),
    "long": pa.int64(),
    "real": pa.float64(),
}


def _array(values: list[Any], kind: str) -> pa.Array:
    """A column in the type the service names, or as text where a value does not fit.

    Reals may be "NaN" or "Infinity", which JSON has only as texts.
    """
    try:
        if kind == "real":
            values = [float(value) if isinstance(value, str) else value for value in values]
        return pa.array(values, _ARROW.get(kind, pa.string()))
    except (pa.ArrowException, TypeError, ValueError):
        return pa.array([None if value is None else str(value) for value in values], pa.string())


@dataclass(frozen=True)
class Trouble:
    """What a failed query means."""

    #: what happened, safe to show
    text: str
    #: a smaller question may succeed
    halve: bool
    #: the same question may succeed later
    passes: bool
    retry_after_s: float | None = None
    hint: str | None = None


def trouble_of(error: Exception, now_s: float) -> Trouble:
    """The meaning of an exception that the client raised.

    A time-out (504, or the client's own) may pass with a smaller window, so may an answer that broke off; 429 and other
    5xx pass by themselves; a refusal (400, 401, 403, 404) needs a person.
    """
    if isinstance(error, CutShortError):
        return Trouble(str(error), halve=True, passes=False)
    name = type(error).__name__
    response = getattr(error, "response", None)
    status = getattr(response, "status_code", None)
    text = terminal(f"{status or name}: {getattr(error, 'message', None) or error}")[:300]
    if name in ("IncompleteReadError", "DecodeError", "ServiceResponseTimeoutError") or isinstance(error, ValueError):
        return Trouble(text, halve=True, passes=True)
    if name == "CredentialUnavailableError" or (status is None and name == "ClientAuthenticationError"):
        hint = "sign in with az login, or give the machine a managed identity or AZURE_CLIENT_ID and its secret"
        return Trouble(text, halve=False, passes=False, hint=hint)
    if status is None or status == 200:  # no connection, or one that broke off
        return Trouble(text, halve=status == 200, passes=True)
    asked_s = retry_after_s(response.headers, now_s) if response is not None else None
    if status in TRANSIENT_STATUSES or status >= 500:
        return Trouble(text, halve=status == 504, passes=True, retry_after_s=asked_s)
    return Trouble(text, halve=False, passes=False, hint=_HINTS.get(status))


_HINTS: Final = {
    400: "does the workspace have this table? choose others with tables=",
    401: "is the cloud right (public, usgov, china)?",
    403: "the identity needs the role Log Analytics Reader on the workspace",
    404: "the workspace id is the GUID shown on the workspace's overview, not its name",
}


def make_client(cloud: str) -> Any:
    """A LogsQueryClient that signs in with DefaultAzureCredential and leaves retries to us.

    Raises:
        InputError: no such cloud.
    """
    if cloud not in CLOUDS:
        raise InputError("There is no such cloud.", expected=", ".join(CLOUDS), received=cloud)
    from azure.identity import DefaultAzureCredential
    from azure.monitor.query import LogsQueryClient

    endpoint, authority = CLOUDS[cloud]
    return LogsQueryClient(DefaultAzureCredential(authority=authority), endpoint=endpoint, retry_total=0)
