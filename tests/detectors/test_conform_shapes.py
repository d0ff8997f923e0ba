"""Every shape that Azure writes gives the same invocation."""

import json
from datetime import datetime, timezone
from pathlib import Path

import pyarrow as pa
import pytest

from detectors.conform import ConformOptions, conform_json, conform_table
from detectors.schema import DEAD_LETTER, INVOCATION
from tests.detectors.azure_records import (
    CLASSIC,
    EXCEPTION,
    EXPORT,
    HOST_API,
    LOG_LINE,
    REQUEST,
    TRACE,
    changed,
    lines,
    span,
)

SAMPLES = Path(__file__).parents[2] / ".." / "shared" / "azure" / "sample-records.jsonl"


def one(*records, options=None):
    """The only row that these records give."""
    result = conform_json(lines(*records), "here", 0, options)
    assert result.dead.to_pylist() == []
    assert result.rows.schema.equals(INVOCATION, check_metadata=True)
    assert result.dead.schema.equals(DEAD_LETTER, check_metadata=True)
    result.rows.validate(full=True)
    (row,) = result.rows.to_pylist()
    return row


EXPECTED = {
    "record": "invocation",
    "event_time": datetime(2026, 8, 1, 10, 0, 0, 123456, tzinfo=timezone.utc),
    "invocation_id": "11111111-2222-3333-4444-555555555555",
    "app": "shop",
    "function": "Pay",
    "trigger": "http",
    "operation_id": "4bf92f3577b34da6a3ce929d0e0e4736",
    "parent_id": "00f067aa0ba902b7",
    "duration_ms": 45.25,
    "succeeded": True,
    "status": 200,
    "caller": "address:203.0.113.7",
    "caller_source": "address",
    "address": "203.0.113.7",
    "network": "203.0.113.0/24",
    "method": "POST",
    "path": "/api/pay",
    "item_count": 1,
    "source": "here",
    "position": 0,
}
BY_HOST = {
    "instance": "worker-1",
    "host_instance": "aaaaaaaa-bbbb-cccc-dddd-eeeeeeeeeeee",
    "execution_ms": 41.7,
    "country": "Finland",
    "state": "Uusimaa",
    "city": "Helsinki",
    "sdk_version": "azurefunctions: 4.1037.0.0",
}

SHAPES = {
    "workspace": REQUEST,
    "properties as JSON text": changed(REQUEST, Properties=json.dumps(REQUEST["Properties"])),
    "event hub, time": changed(REQUEST, TimeGenerated=None, time="2026-08-01T10:00:00.1234567Z"),
    "an offset": changed(REQUEST, TimeGenerated="2026-08-01T12:00:00.1234567+02:00"),
    "epoch in microseconds": changed(REQUEST, TimeGenerated=1785578400123456),
    "everything as text": changed(REQUEST, Success="True", DurationMs="45.25", ItemCount="1"),
    "no Type": changed(REQUEST, Type=None),
    "classic": CLASSIC,
    "classic, dimensions as text": changed(CLASSIC, customDimensions=json.dumps(CLASSIC["customDimensions"])),
    "classic without itemType": changed(CLASSIC, itemType=None),
    "continuous export": EXPORT,
    "envelope": {"records": [REQUEST]},
    "capture of envelopes": [[{"records": [REQUEST]}]],
    "query answer": {"tables": [{"columns": [{"name": name} for name in REQUEST], "rows": [list(REQUEST.values())]}]},
}


@pytest.mark.parametrize("shape", SHAPES)
def test_every_shape_of_a_request_gives_the_same_invocation(shape):
    row = one(SHAPES[shape])
    expected = EXPECTED | BY_HOST
    assert {name: row[name] for name in expected} == expected
    assert row["caller_confidence"] == pytest.approx(0.7)


def test_a_span_gives_the_same_invocation():
    row = one(span())
    assert {name: row[name] for name in EXPECTED} == EXPECTED
    assert row["cold_start"] is True
    assert row["app_version"] == "1.2.3"


def test_a_span_of_a_queue_takes_its_source_from_the_destination():
    row = one(span(**{"faas.trigger": "queueTrigger", "messaging.destination.name": "orders", "client.address": None}))
    assert (row["trigger"], row["trigger_source"], row["caller"]) == ("queue", "orders", "queue:orders")
    assert row["status"] is None


def test_spans_that_are_no_invocation_are_ignored():
    document = span()
    document["resourceSpans"][0]["scopeSpans"][0]["spans"][0]["attributes"] = []
    result = conform_json(lines(document), "here", 0)
    assert (result.rows.num_rows, result.dead.num_rows, result.ignored) == (0, 0, 1)


def test_a_span_names_its_user_before_its_address():
    assert one(span(**{"enduser.id": "ann"}))["caller"] == "user:ann"


@pytest.mark.parametrize("position", range(8))
def test_each_sample_record_of_azure_is_read(position):
    if not SAMPLES.exists():
        pytest.skip("the shared sample records are not beside the project")
    row = one(json.loads(SAMPLES.read_text().splitlines()[position]))
    expected = [
        ("invocation", "functionName", "http", "geography:United States/Pennsylvania/Pittsburgh", True, 30021.5457),
        ("invocation", "ProcessOrder", "queue", "queue:orders", True, 45.2),
        ("trace", "ProcessOrder", "other", "unknown:unknown", None, None),
        ("invocation", "Nightly", "timer", "timer:timer", True, 815.9),
        ("invocation", "Hello", "http", "geography:Finland", False, 19.4),
        ("started", "hello", "http", "unknown:unknown", None, None),
        ("started", "hello", "http", "unknown:unknown", None, None),
        ("invocation", "hello", "other", "unknown:unknown", False, 16.0),
    ]
    names = ("record", "function", "trigger", "caller", "succeeded", "duration_ms")
    assert tuple(row[name] for name in names) == expected[position]


def test_a_completed_log_line_says_outcome_and_duration_and_began_that_much_earlier():
    row = one(LOG_LINE)
    assert (row["record"], row["function"], row["app"], row["succeeded"]) == ("invocation", "Pay", "shop", True)
    assert row["duration_ms"] == 45.0
    assert row["event_time"] == datetime(2026, 8, 1, 10, 0, 0, 455000, tzinfo=timezone.utc)
    assert row["status"] is None


def test_a_failed_log_line_carries_its_exception():
    failed = "Executed 'Functions.Pay' (Failed, Id=11111111-2222-3333-4444-555555555555, Duration=16ms)"
    inner = {"message": failed, "eventId": 3, "exceptionType": "RpcException", "exceptionMessage": "Ka-booom!"}
    row = one(changed(LOG_LINE, inner))
    assert (row["record"], row["succeeded"], row["duration_ms"]) == ("invocation", False, 16.0)
    assert (row["exception_type"], row["message"]) == ("RpcException", "Ka-booom!")


def test_a_started_log_line_knows_the_trigger_and_not_the_outcome():
    begun = f"Executing 'Functions.Pay' (Reason='{HOST_API}', Id=11111111-2222-3333-4444-555555555555)"
    row = one(changed(LOG_LINE, {"message": begun, "eventId": 1}))
    assert (row["record"], row["trigger"], row["succeeded"]) == ("started", "http", None)


@pytest.mark.parametrize("quote", ["'", ""])
def test_pseudo_json_and_stripped_quotes_are_read(quote):
    message = LOG_LINE["properties"]["message"].replace("'", quote)
    inner = {**LOG_LINE["properties"], "message": message}
    body = ",".join(
        f"{quote}{key}{quote}:" + (f"{quote}{value}{quote}" if isinstance(value, str) else f" {value}")
        for key, value in inner.items()
    )
    row = one({**LOG_LINE, "properties": "{" + body + "}"})
    straight = one(changed(LOG_LINE, {"message": message}))
    assert row == straight


def test_flat_log_analytics_columns_of_function_app_logs_are_read():
    flat = {
        "TimeGenerated": LOG_LINE["time"],
        "AppName": "shop",
        "RoleInstance": "worker-1",
        "Category": "Function.Pay",
        "EventId": 2,
        "FunctionName": "Functions.Pay",
        "FunctionInvocationId": "11111111-2222-3333-4444-555555555555",
        "HostInstanceId": "aaaaaaaa-bbbb-cccc-dddd-eeeeeeeeeeee",
        "Message": LOG_LINE["properties"]["message"],
    }
    assert one(flat) == one(LOG_LINE)
    assert one({**flat, "Type": "FunctionAppLogs"}) == one(LOG_LINE)


def test_a_log_line_without_an_invocation_is_ignored():
    host = changed(LOG_LINE, {"message": "Host started", "functionInvocationId": "", "functionName": "", "eventId": 0})
    result = conform_json(lines(host), "here", 0)
    assert (result.rows.num_rows, result.dead.num_rows, result.ignored) == (0, 0, 1)


def test_a_log_line_of_the_users_code_is_a_detail():
    row = one(changed(LOG_LINE, {"message": "charging card", "eventId": 0}))
    assert (row["record"], row["message"]) == ("trace", "charging card")


def test_an_exception_is_a_detail_with_its_secrets_masked():
    row = one(EXCEPTION)
    assert (row["record"], row["function"], row["exception_type"]) == ("exception", "Pay", "System.TimeoutException")
    assert row["message"] == "no answer from https://bank.example?code=***"


def test_a_trace_tells_how_often_a_message_was_delivered():
    assert one(TRACE)["dequeue_count"] == 3
    by_property = changed(TRACE, {"prop__DequeueCount": "4"}, Message="x")
    assert one(by_property)["dequeue_count"] == 4


def test_a_trace_tells_why_a_timer_ran_off_schedule():
    row = one(changed(TRACE, Message="Trigger Details: UnscheduledInvocationReason: IsPastDue, OriginalSchedule: x"))
    assert row["unscheduled_reason"] == "IsPastDue"


def test_rows_of_other_tables_are_ignored():
    others = [
        {"TimeGenerated": "2026-08-01T10:00:00Z", "Type": "AppDependencies", "Name": "GET /", "DurationMs": 1},
        {"time": "2026-08-01T10:00:00Z", "category": "AppServiceHTTPLogs", "properties": {"CsMethod": "GET"}},
        {"context": EXPORT["context"], "metric": [{"name": "x", "value": 1}]},
    ]
    result = conform_json(lines(*others), "here", 0)
    assert (result.rows.num_rows, result.dead.num_rows, result.ignored) == (0, 0, 3)


def test_a_folder_of_mixed_shapes_keeps_the_order_of_its_lines():
    mixed = [LOG_LINE, REQUEST, CLASSIC, EXPORT, span(), TRACE, {"records": [EXCEPTION, REQUEST]}]
    result = conform_json(lines(*mixed), "here", 100)
    assert result.rows["position"].to_pylist() == [100, 101, 102, 103, 104, 105, 106, 106]
    assert result.rows["record"].to_pylist()[-3:] == ["trace", "exception", "invocation"]


class TestParquet:
    """Tables give what lines give, whatever type holds the properties."""

    def rows(self, *records, properties=None, **columns):
        arrays = {name: [record.get(name) for record in records] for name in records[0]}
        table = {name: pa.array(values) for name, values in arrays.items()}
        if properties is not None:
            table["Properties"] = properties
        table |= columns
        batch = pa.RecordBatch.from_pydict(table)
        result = conform_table(batch, "here", 0)
        assert result.dead.num_rows == 0
        result.rows.validate(full=True)
        return result.rows

    @pytest.fixture
    def expected(self):
        return conform_json(lines(REQUEST, changed(REQUEST, {"InvocationId": "b"}, Success=False)), "here", 0).rows

    @pytest.fixture
    def records(self):
        return REQUEST, changed(REQUEST, {"InvocationId": "b"}, Success=False)

    def test_properties_as_a_struct(self, records, expected):
        assert self.rows(*records).equals(expected)

    @pytest.mark.parametrize(
        "kind", [pa.string(), pa.large_string(), pa.binary(), pa.dictionary(pa.int32(), pa.string())]
    )
    def test_properties_as_text(self, records, expected, kind):
        texts = pa.array([json.dumps(record["Properties"]) for record in records], pa.string()).cast(kind)
        assert self.rows(*records, properties=texts).equals(expected)

    @pytest.mark.parametrize("between", [".", "_"])
    def test_properties_unfolded_into_columns(self, records, expected, between):
        unfolded = {
            f"Properties{between}{key}": pa.array([record["Properties"][key] for record in records])
            for key in REQUEST["Properties"]
        }
        plain = [{name: value for name, value in record.items() if name != "Properties"} for record in records]
        assert self.rows(*plain, **unfolded).equals(expected)

    def test_properties_projected_by_a_query_under_their_own_names(self, records, expected):
        flat = [{**record, **record["Properties"], "Properties": None, "Type": None} for record in records]
        assert self.rows(*flat).equals(expected)
        assert conform_json(lines(*flat), "here", 0).rows.equals(expected)

    def test_time_name_and_properties_are_enough_to_be_a_request(self, records):
        few = ("TimeGenerated", "AppRoleName", "Name", "Properties")
        rows = self.rows(*({name: record[name] for name in few} for record in records))
        assert rows["invocation_id"].to_pylist() == ["11111111-2222-3333-4444-555555555555", "b"]
        assert rows["succeeded"].null_count == rows["duration_ms"].null_count == 2

    def test_properties_as_a_map(self, records, expected):
        pairs = [list(record["Properties"].items()) for record in records]
        assert self.rows(*records, properties=pa.array(pairs, pa.map_(pa.string(), pa.string()))).equals(expected)

    def test_odd_properties_among_good_ones_spoil_only_themselves(self, records):
        good = json.dumps(records[0]["Properties"])
        texts = pa.array([good, "{'InvocationId': broken"], pa.string())
        ids = self.rows(*records, properties=texts)["invocation_id"].to_pylist()
        assert ids == ["11111111-2222-3333-4444-555555555555", "53995c3f42cd8ad8"]

    def test_times_as_timestamps_of_any_unit_and_zone(self, records, expected):
        micros = expected["event_time"].cast(pa.int64())
        for kind in (pa.timestamp("us"), pa.timestamp("ns", "UTC"), pa.timestamp("us", "Europe/Helsinki")):
            times = micros.cast(pa.timestamp("us")).cast(pa.timestamp("us", kind.tz)).cast(kind)
            assert self.rows(*records, TimeGenerated=times).equals(expected)

    def test_names_of_columns_are_matched_without_case(self, records, expected):
        table = pa.RecordBatch.from_pylist(list(records))
        lower = table.rename_columns([name.lower() for name in table.schema.names])
        assert conform_table(lower, "here", 0).rows.equals(expected)

    def test_a_slice_of_a_batch_reads_like_its_copy(self, records, expected):
        texts = [json.dumps(record["Properties"]) for record in records]
        rows = [{**record, "Properties": text} for record, text in zip(records, texts, strict=True)]
        whole = pa.RecordBatch.from_pylist([rows[0], *rows, rows[0]])
        assert conform_table(whole.slice(1, 2), "here", 0).rows.equals(expected)

    def test_without_any_http_column_a_host_call_counts_as_http(self):
        record = changed(REQUEST, {"HttpMethod": None, "HttpPath": None}, Url=None)
        assert self.rows(record)["trigger"].to_pylist() == ["http"]


def test_the_owners_property_is_read_wherever_it_is_written():
    options = ConformOptions(caller_property="KeyId")
    record = changed(REQUEST, {"keyid": "9f2c"})
    assert one(record, options=options)["caller"] == "property:9f2c"
    batch = pa.RecordBatch.from_pylist([record])
    assert conform_table(batch, "here", 0, options).rows["caller"].to_pylist() == ["property:9f2c"]
