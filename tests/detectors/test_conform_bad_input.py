"""Bad input has a defined outcome, spoils nothing beside it, and is accounted for."""

import json

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from detectors.conform import ConformOptions, conform_json, conform_table
from detectors.conform import lines as conform_lines
from detectors.conform import table as conform_tables
from detectors.conform.callers import MASKED
from detectors.schema import INVOCATION
from tests.detectors.azure_records import CLASSIC, EXCEPTION, EXPORT, LOG_LINE, REQUEST, TRACE, changed, lines, span

NOW_US = 1_785_600_000_000_000
OPTIONS = ConformOptions(now_us=NOW_US)


def read(data, options=OPTIONS):
    return conform_json(data, "here", 0, options)


def row(record):
    result = read(lines(record))
    assert result.dead.to_pylist() == []
    (found,) = result.rows.to_pylist()
    return found


def letter(data):
    result = read(data)
    assert result.rows.num_rows == 0
    (found,) = result.dead.to_pylist()
    return found


@pytest.mark.parametrize("duration", [float("nan"), float("inf"), -1, -0.5, 1e12, "NaN", "soon", {}, [], True, None])
def test_a_duration_that_cannot_be_is_missing_and_its_row_kept(duration):
    assert row(changed(REQUEST) | {"DurationMs": duration})["duration_ms"] in (None, 1.0 if duration is True else None)


@pytest.mark.parametrize(("given", "ms"), [("00:00:01.5000000", 1500.0), ("1.00:00:00", 86_400_000.0), ("1e2", 100.0)])
def test_a_timespan_is_a_duration(given, ms):
    assert row(changed(REQUEST, DurationMs=given))["duration_ms"] == ms


@pytest.mark.parametrize(
    "time", ["1970-01-01T00:00:00Z", "0001-01-01T00:00:00Z", 0, "2014-12-31T23:59:59Z", "2026-08-03T10:00:00Z", 4e12]
)
def test_a_time_long_ago_or_to_come_is_a_dead_letter(time):
    assert "between 2015 and one day from now" in letter(lines(changed(REQUEST, TimeGenerated=time)))["error"]


def test_a_time_within_a_day_ahead_is_kept():
    assert row(changed(REQUEST, TimeGenerated="2026-08-02T10:00:00Z"))["function"] == "Pay"


@pytest.mark.parametrize("time", [None, "", "yesterday", "2026-13-41T00:00:00Z", {}, float("nan"), "9" * 400])
def test_a_time_that_cannot_be_read_is_a_dead_letter(time):
    assert "time" in letter(lines(changed(REQUEST) | {"TimeGenerated": time}))["error"]


def test_one_odd_time_does_not_spoil_the_others():
    times = ["2026-08-01T10:00:00Z", "x", "2026-08-01 10:00:00", "2026-08-01T12:00:00.1+02:00", "8/1/2026 10:00:00 AM"]
    result = read(lines(*(changed(REQUEST, TimeGenerated=time) for time in times)))
    assert result.dead["position"].to_pylist() == [1]
    seconds = result.rows["event_time"].cast(pa.int64()).to_numpy() / 1e6 - 1_785_578_400
    assert seconds.round(1).tolist() == [0.0, 0.0, 0.1, 0.0]


def test_an_invocation_without_a_function_is_a_dead_letter():
    bare = changed(REQUEST, {"FullName": None}, Name=None, OperationName=None)
    assert "function" in letter(lines(bare))["error"]


def test_without_an_invocation_id_the_content_makes_one_that_copies_share():
    bare = changed(REQUEST, {"InvocationId": None}, Id=None)
    first, again = row(bare)["invocation_id"], row(bare)["invocation_id"]
    assert first == again
    assert first.startswith("content:")
    assert row(changed(bare, DurationMs=46))["invocation_id"] != first
    assert row(changed(REQUEST, {"InvocationId": None}))["invocation_id"] == REQUEST["Id"]


@pytest.mark.parametrize("key", ["faas.invocation_id", "faas.execution", "AzureFunctions_InvocationId"])
def test_other_names_of_the_invocation_id_are_known(key):
    assert row(changed(REQUEST, {"InvocationId": None, key: "x-1"}))["invocation_id"] == "x-1"


@pytest.mark.parametrize("count", [0, -1, 1e12, "many", None, 2.5])
def test_an_absurd_item_count_is_one(count):
    assert row(changed(REQUEST) | {"ItemCount": count})["item_count"] == (2 if count == 2.5 else 1)


def test_sampled_rows_keep_their_count():
    assert row(changed(REQUEST, ItemCount=20))["item_count"] == 20


def test_a_string_of_twelve_megabytes_is_cut():
    found = row(changed(REQUEST, {"HttpPath": "/" + "ä" * 2_000_000}))
    assert found["path"] == "/" + "ä" * 2_047


def test_a_line_beyond_sixteen_mebibytes_is_a_dead_letter_with_its_beginning():
    big = lines(changed(REQUEST, {"HttpPath": "/" + "a" * (16 << 20)}))
    result = read(big + b"\n" + lines(REQUEST))
    assert result.rows["position"].to_pylist() == [1]
    (dead,) = result.dead.to_pylist()
    assert "at most 16 MiB" in dead["error"]
    assert len(dead["raw"]) == 4_096


def test_invalid_utf8_is_replaced_where_the_json_holds():
    line = lines(changed(REQUEST, {"HttpPath": "/caf@"})).replace(b"@", b"\xe9")
    assert read(line).rows["path"].to_pylist() == ["/caf�"]


@pytest.mark.parametrize(
    "line", [b"\xff\xfe{", b"{", b"nonsense", b"{'a': 1}", b'{"a": 1}', b"12", b'"x"', b"null", b"[3]"]
)
def test_what_is_no_record_is_a_dead_letter(line):
    assert letter(line)["error"].startswith("expected")


@pytest.mark.parametrize("bomb", [b"[" * 100_000, b'{"a":' * 100_000, b"[" * 50_000 + b"]" * 50_000])
def test_a_nested_bomb_is_a_dead_letter(bomb):
    assert letter(bomb)["error"].startswith("expected")


def test_a_bomb_inside_properties_spoils_only_what_it_hides():
    bomb = '{"a":' * 5_000 + "1" + "}" * 5_000
    assert row({**REQUEST, "Properties": bomb})["function"] == "Pay"


def test_a_bad_line_spoils_nothing_but_itself():
    data = b"\n".join([lines(REQUEST), b"{broken", b"", lines(LOG_LINE), b"\xff", lines(CLASSIC)])
    result = read(data)
    assert result.rows["position"].to_pylist() == [0, 3, 5]
    assert result.dead["position"].to_pylist() == [1, 4]


def test_secrets_are_masked_in_dead_letters_and_paths():
    url = "https://shop.azurewebsites.net/api/pay?code=c2VjcmV0&id=7"
    dead = letter(lines(changed(REQUEST, TimeGenerated=None, Url=url)))
    assert "c2VjcmV0" not in dead["raw"]
    assert row(changed(REQUEST, {"HttpPath": None}, Url=url))["path"] == "/api/pay?code=***&id=7"


def test_half_a_surrogate_pair_is_replaced():
    line = lines(changed(REQUEST, Name="P@y", OperationName="x")).replace(b"@", b"\\ud800")
    assert read(line).rows["function"].to_pylist() == ["P?y"]


def accounts(data):
    result = read(data)
    result.rows.validate(full=True)
    result.dead.validate(full=True)
    assert result.rows.schema.equals(INVOCATION)
    for field in INVOCATION:
        assert field.nullable or result.rows[field.name].null_count == 0
    return result.rows.num_rows + result.dead.num_rows + result.ignored


@given(st.lists(st.binary(max_size=80).map(lambda line: line.replace(b"\n", b" ")), max_size=6))
def test_any_bytes_are_accounted_for(found):
    data = b"\n".join(found)
    result = read(data)
    blank = sum(not line or line.isspace() for line in found)
    assert result.rows.num_rows == 0
    # an array counts its elements, so there may be more letters than lines, or none for []
    assert result.dead.num_rows >= 0
    assert result.dead.num_rows <= sum(len(line) for line in found)
    if not any(b"[" in line for line in found):
        assert result.dead.num_rows + result.ignored == len(found) - blank


SCALARS = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(),
    st.text(max_size=20),
    st.sampled_from(["", MASKED, "GET /x"]),
)
JSON = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)
RECORDS = st.sampled_from([REQUEST, CLASSIC, LOG_LINE, TRACE, EXCEPTION, EXPORT, span()])


@st.composite
def damaged(draw):
    """A good record with some of its values, at the top or below, replaced or taken away."""
    record = json.loads(json.dumps(draw(RECORDS)))
    for _ in range(draw(st.integers(0, 4))):
        target = record
        below = [value for value in record.values() if isinstance(value, dict)]
        if below and draw(st.booleans()):
            target = draw(st.sampled_from(below))
        if not target:
            continue
        key = draw(st.sampled_from(sorted(target)))
        if draw(st.booleans()):
            del target[key]
        else:
            target[key] = draw(JSON)
    return record


@settings(max_examples=60)
@given(st.lists(damaged(), max_size=5))
def test_damaged_records_never_crash_and_are_accounted_for(found):
    flat = [record for record in found if not {"records", "request", "resourceSpans"} & set(record)]
    assert accounts(lines(*flat)) == len(flat)
    accounts(lines(*found))


@settings(max_examples=60)
@given(found=st.lists(damaged(), max_size=5), ascii_only=st.booleans(), compact=st.booleans())
def test_the_fast_way_and_the_slow_way_agree(found, ascii_only, compact):
    separators = (",", ":") if compact else (", ", ": ")
    data = b"\n".join(
        json.dumps(record, ensure_ascii=ascii_only, separators=separators).encode("utf-8", "replace")
        for record in found
    )
    fast = read(data)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(conform_lines.scan, "available", lambda: False)
        slow = read(data)
    assert fast.rows.to_pylist() == slow.rows.to_pylist()
    assert fast.dead.to_pylist() == slow.dead.to_pylist()
    assert fast.ignored == slow.ignored


@given(
    st.lists(st.dictionaries(st.sampled_from(sorted(REQUEST["Properties"])), JSON, max_size=5), min_size=1, max_size=4)
)
def test_properties_in_parquet_are_read_alike_fast_and_slow(found):
    rows = [{**changed(REQUEST), "Properties": json.dumps(properties)} for properties in found]
    batch = pa.RecordBatch.from_pylist(rows)
    fast = conform_table(batch, "here", 0)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(conform_tables.scan, "available", lambda: False)
        slow = conform_table(batch, "here", 0)
    assert fast.rows.to_pylist() == slow.rows.to_pylist()


@given(st.integers(1, 4))
def test_cutting_the_input_anywhere_changes_no_row(size):
    records = [REQUEST, LOG_LINE, CLASSIC, TRACE, EXPORT]
    whole = read(lines(*records)).rows.to_pylist()
    parts = [
        conform_json(lines(*records[at : at + size]), "here", at, OPTIONS).rows.to_pylist()
        for at in range(0, len(records), size)
    ]
    assert [found for part in parts for found in part] == whole


def test_a_foreign_table_gives_dead_letters_and_no_crash():
    result = conform_table(pa.RecordBatch.from_pydict({"a": np.arange(3), "Name": ["x", None, "y"]}), "here", 5)
    assert result.dead["position"].to_pylist() == [5, 6, 7]
