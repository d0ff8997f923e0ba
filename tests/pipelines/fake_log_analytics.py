"""A Log Analytics workspace on 127.0.0.1: it speaks the query API, and misbehaves as the real one does."""

from __future__ import annotations

import datetime as dt
import json
import random
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from .local_http import LocalServer, Request, Response, serving

EPOCH = dt.datetime(1970, 1, 1, tzinfo=dt.timezone.utc)
NOON = dt.datetime(2026, 8, 1, 12, 0, tzinfo=dt.timezone.utc)


@dataclass
class Row:
    number: int
    ingested: dt.datetime
    #: when a query can see it first; a little after it was ingested
    visible: dt.datetime
    table: str = "AppRequests"
    workspace: str = "ws-1"

    @property
    def invocation(self) -> str:
        return f"00000000-0000-0000-0000-{self.number:012d}"


@dataclass
class Workspace:
    """Rows, a clock, and faults to come."""

    rows: list[Row] = field(default_factory=list)
    now: dt.datetime = NOON
    #: answers with more rows than this are partial
    most_rows: int = 10**9
    #: rows at which an answer is silently cut
    silent_limit: int = 10**9
    #: windows wider than this time out with 504
    slowest: dt.timedelta = dt.timedelta(days=999)
    #: begin and end of an outage: 503
    outage: tuple[dt.datetime, dt.datetime] | None = None
    #: answers given before any other, in turn
    faults: list[Response] = field(default_factory=list)
    shuffle: random.Random | None = None
    #: each row comes twice in an answer
    doubled: bool = False
    queries: list[str] = field(default_factory=list)
    windows: list[tuple[dt.datetime, dt.datetime]] = field(default_factory=list)
    prefers: list[str] = field(default_factory=list)

    def add(self, number: int, ingested: dt.datetime, hidden_s: float = 0.0, **more: Any) -> None:
        self.rows.append(Row(number, ingested, ingested + dt.timedelta(seconds=hidden_s), **more))

    def answer(self, request: Request) -> Response:
        found = re.fullmatch(r"/v1/workspaces/([^/]+)/query", request.path)
        query = json.loads(request.body)["query"]
        self.queries.append(query)
        self.prefers.append(request.headers.get("prefer", ""))
        if self.faults:
            return self.faults.pop(0)
        if found is None:
            return error(404, "PathNotFoundError")
        if self.outage is not None and self.outage[0] <= self.now < self.outage[1]:
            return error(503, "ServiceUnavailable")
        table = query.split("\n")[0]
        begin, end = (_time(text) for text in re.findall(r"LonetreeIngestedAt (?:>=|<) datetime\(([^)]+)\)", query))
        self.windows.append((begin, end))
        if end - begin > self.slowest:
            return error(504, "GatewayTimeout")
        rows = [
            row
            for row in self.rows
            if row.table == table
            and row.workspace == found[1]
            and begin <= row.ingested < end
            and row.visible <= self.now
        ]
        rows.sort(key=lambda row: row.ingested)
        if self.doubled:
            rows = rows * 2
        if self.shuffle is not None:
            self.shuffle.shuffle(rows)
        body = _table(rows[: self.silent_limit])
        if len(rows) > self.most_rows:
            body = _table(rows[: self.most_rows])
            body["error"] = {
                "code": "PartialError",
                "message": "There were some errors when processing your query.",
                "innererror": {"code": "QueryResultTooLarge", "message": "E_QUERY_RESULT_SET_TOO_LARGE"},
            }
        return Response(200, json.dumps(body).encode())


def error(status: int, code: str, headers: dict[str, str] | None = None) -> Response:
    return Response(status, json.dumps({"error": {"code": code, "message": f"{code}!"}}).encode(), headers or {})


def _time(text: str) -> dt.datetime:
    return dt.datetime.strptime(text, "%Y-%m-%dT%H:%M:%S.%fZ").replace(tzinfo=dt.timezone.utc)


def _text(time: dt.datetime) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%S.%f7Z")  # the service writes 100 ns


MASKED = "0.0.0.0"  # noqa: S104, how Azure masks an address
COLUMNS = (
    ("LonetreeIngestedAt", "datetime"),
    ("LonetreeItemId", "string"),
    ("TimeGenerated", "datetime"),
    ("Type", "string"),
    ("AppRoleName", "string"),
    ("Name", "string"),
    ("OperationName", "string"),
    ("Success", "bool"),
    ("ResultCode", "string"),
    ("DurationMs", "real"),
    ("ClientIP", "string"),
    ("ItemCount", "int"),
    ("Properties", "dynamic"),
    ("Message", "string"),
)


def _table(rows: list[Row]) -> dict[str, Any]:
    data = []
    for row in rows:
        properties = {"InvocationId": row.invocation, "FullName": "Functions.pay", "TriggerReason": "Timer fired at x"}
        data.append(
            [
                _text(row.ingested), f"item-{row.workspace}-{row.table}-{row.number}",
                _text(row.ingested - dt.timedelta(seconds=30)), row.table, "shop", "pay", "pay", True, "0",
                "NaN" if row.number % 7 == 0 else 12.5, MASKED, 1, json.dumps(properties), None,
            ]
        )  # fmt: skip
    return {
        "tables": [{"name": "PrimaryResult", "columns": [{"name": n, "type": t} for n, t in COLUMNS], "rows": data}]
    }


@contextmanager
def log_analytics(workspace: Workspace) -> Iterator[LocalServer]:
    with serving(workspace.answer) as server:
        yield server


def real_client(server: LocalServer) -> Any:
    """The real LogsQueryClient against the local server, without signing in."""
    from azure.core.pipeline.policies import SansIOHTTPPolicy
    from azure.monitor.query import LogsQueryClient

    return LogsQueryClient(object(), endpoint=server.url, authentication_policy=SansIOHTTPPolicy(), retry_total=0)  # type: ignore[arg-type]
