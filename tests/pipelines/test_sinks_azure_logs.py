from __future__ import annotations

import gzip
import json
from typing import Any

import pytest

from models.errors import InputError
from pipelines.sinks.azure_logs import CALL_BYTES, COLUMNS, FIELD_BYTES, AzureLogs, chunks, record
from pipelines.sinks.base import DeliveryError

from .incidents import incident
from .local_http import LocalServer, Request, Response, serving

RESERVED = {"id", "Type", "TenantId", "Title", "UniqueId", "_ResourceId"}


def size(value: Any) -> int:
    return len(json.dumps(value).encode())


def sink(server: LocalServer) -> AzureLogs:
    ingestion = pytest.importorskip("azure.monitor.ingestion", reason="azure-monitor-ingestion is not installed")
    from azure.core.pipeline.policies import SansIOHTTPPolicy

    client = ingestion.LogsIngestionClient(
        server.url, object(), authentication_policy=SansIOHTTPPolicy(), retry_total=0
    )
    return AzureLogs(server.url, "dcr-1", "Custom-Lonetree_CL", client=client, now_s=lambda: 0.0)


def rows(request: Request) -> list[dict[str, Any]]:
    return json.loads(gzip.decompress(request.body))


def test_incidents_arrive_as_rows_of_the_table():
    with serving(lambda _: Response(204, b"")) as server:
        logs = sink(server)
        logs.send([incident(1), incident(2, revision=3)])
        logs.close()
    (request,) = server.requests
    assert request.path.startswith("/dataCollectionRules/dcr-1/streams/Custom-Lonetree_CL?")
    assert [(row["IncidentId"], row["Revision"]) for row in rows(request)] == [("inc-0001", 1), ("inc-0002", 3)]
    assert rows(request)[0]["TimeGenerated"] == "2026-08-01T10:05:00.000000Z"
    assert rows(request)[0]["Reasons"][0]["feature"] == "caller_rate"


def test_a_large_delivery_goes_in_calls_of_at_most_one_megabyte():
    big = [incident(n, summary="x y " * 15_000) for n in range(40)]
    with serving(lambda _: Response(204, b"")) as server:
        sink(server).send(big)
    sent = [rows(request) for request in server.requests]
    assert len(sent) > 1
    assert all(size(part) <= CALL_BYTES for part in sent)
    assert [row["IncidentId"] for part in sent for row in part] == [item["incident_id"] for item in big]


def test_a_call_that_fails_says_how_many_had_arrived_and_how_long_to_wait():
    big = [incident(n, summary="x y " * 15_000) for n in range(40)]
    with serving(lambda _: Response(204, b"")) as server:
        server.answers = [Response(204, b""), Response(429, headers={"Retry-After": "17"})]
        with pytest.raises(DeliveryError) as caught:
            sink(server).send(big)
        first = len(rows(server.requests[0]))
    assert len(server.requests) == 2
    assert (caught.value.delivered, caught.value.retry, caught.value.retry_after_s) == (first, True, 17.0)


@pytest.mark.parametrize(
    ("status", "retry", "says"),
    [(403, True, "Metrics Publisher"), (404, True, "immutable id"), (413, False, "413"), (503, True, "503")],
)
def test_refusals_say_what_to_do(status: int, retry: bool, says: str):
    answer = Response(status, b'{"error":{"code":"X","message":"no"}}')
    with serving(lambda _: answer) as server, pytest.raises(DeliveryError, match=says) as caught:
        sink(server).send([incident()])
    assert caught.value.retry is retry
    assert caught.value.delivered == 0


def test_every_field_fits_its_limit_and_the_whole_a_call():
    huge = incident(
        title="ü" * 30_000,
        summary="\x00" * 30_000,
        callers=["c" * 1000] * 100,
        functions=["f" * 80_000],
        reasons=[{"feature": "x" * 100, "value": 1.0}] * 5000,
        runbook={"a": "b" * 80_000},
        invocation_ids=["i" * 36] * 5000,
        apps=["a" * 100] * 2000,
        attack=["T1"] * 20_000,
    )
    row = record(huge)
    assert all(size(value) <= FIELD_BYTES for value in row.values())
    assert size(row) < CALL_BYTES
    assert row["Callers"][-1] == row["InvocationIds"][-1] == "…"
    assert row["IncidentTitle"].endswith("…")
    assert record(incident())["Callers"] == incident()["callers"]


def test_no_column_is_reserved_or_too_long():
    names = set(record(incident()))
    assert names == {"TimeGenerated", "Revision", *COLUMNS}
    assert not names & RESERVED
    assert max(map(len, names)) <= 45


def test_chunks_keep_order_and_lose_nothing():
    records = [{"a": "x" * (n * 37 % 400)} for n in range(200)]
    parts = list(chunks(records, 1000))
    assert [item for part in parts for item in part] == records
    assert all(size(part) <= 1000 for part in parts)


def test_secrets_are_masked():
    assert "abcdefghijklmnop" not in json.dumps(record(incident(summary="Authorization: Bearer abcdefghijklmnop")))


def test_a_plain_http_endpoint_is_refused():
    with pytest.raises(InputError, match="endpoint"):
        AzureLogs("http://dce.example", "dcr-1", "Custom-X")
