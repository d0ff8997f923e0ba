"""Tables that nobody here wrote: whatever types hold their columns, they give the rows that JSON gives."""

import json
from decimal import Decimal

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from detectors.conform import ConformOptions, conform_json, conform_table, triggers
from detectors.conform.distinct import Distinct, combined, first_of
from detectors.function_features import NEEDED
from detectors.schema import INVOCATION
from tests.detectors.azure_records import LOG_LINE, REQUEST, changed, lines

RECORDS = [
    changed(REQUEST, DurationMs=45),
    changed(REQUEST, {"InvocationId": "b", "HttpPath": "/api/pay?code=c2VjcmV0"}, Success=False, DurationMs=7),
    changed(REQUEST, {"InvocationId": "c", "HttpPath": "", "HttpMethod": None}, ClientIP="", DurationMs=0),
]
EXPECTED = conform_json(lines(*RECORDS), "here", 0).rows


def table(**replaced):
    """The records as a batch, Properties as JSON text, some columns in other types."""
    rows = [{**record, "Properties": json.dumps(record["Properties"])} for record in RECORDS]
    batch = pa.RecordBatch.from_pylist(rows)
    columns = {name: batch.column(name) for name in batch.schema.names}
    return pa.RecordBatch.from_pydict({**columns, **replaced})


def read(batch, **options):
    result = conform_table(batch, "here", 0, ConformOptions(**options))
    assert result.dead.to_pylist() == []
    result.rows.validate(full=True)
    return result.rows


def texts(name):
    return [record[name] for record in RECORDS]


def test_rows_of_a_table_equal_rows_of_json():
    assert read(table()).equals(EXPECTED)


@pytest.mark.parametrize(
    "kind",
    [
        *(pa.large_string(), pa.string_view(), pa.binary(), pa.large_binary()),
        *(pa.dictionary(pa.int8(), pa.string()), pa.dictionary(pa.uint16(), pa.large_string())),
        pa.dictionary(pa.int64(), pa.binary()),
    ],
    ids=str,
)
def test_every_column_of_text_may_have_any_type_of_text(kind):
    batch = table()
    other = {
        name: pa.array(column.to_pylist()).cast(kind)
        if not pa.types.is_dictionary(kind)
        else column.cast(kind.value_type).dictionary_encode().cast(kind)
        for name, column in zip(batch.schema.names, batch.columns, strict=True)
        if pa.types.is_string(column.type)
    }
    assert read(table(**other)).equals(EXPECTED)


def test_a_dictionary_may_hold_nulls_and_copies_and_values_of_no_row():
    values = pa.array(["shop", None, "shop", "nobody"])
    names = pa.DictionaryArray.from_arrays(pa.array([0, 2, 0]), values)
    assert read(table(AppRoleName=names)).equals(EXPECTED)
    addresses = pa.DictionaryArray.from_arrays(pa.array([0, 0, 1]), pa.array(["203.0.113.7", None]))
    assert read(table(ClientIP=addresses)).equals(EXPECTED)


@pytest.mark.parametrize("unit", ["s", "ms", "us", "ns"])
@pytest.mark.parametrize("zone", [None, "UTC", "Europe/Helsinki"])
def test_times_may_have_any_unit_and_zone(unit, zone):
    seconds = [1_785_578_400, None, 1_785_578_401]
    times = pa.array(seconds).cast(pa.timestamp("s")).cast(pa.timestamp("s", zone)).cast(pa.timestamp(unit, zone))
    result = conform_table(table(TimeGenerated=times), "here", 0)
    assert result.rows["event_time"].cast(pa.int64()).to_pylist() == [s * 1_000_000 for s in seconds if s]
    assert result.dead["position"].to_pylist() == [1]


@pytest.mark.parametrize(
    "times",
    [
        pa.array(texts("TimeGenerated")).dictionary_encode(),
        pa.array([1_785_578_400_123_456] * 3),
        pa.array([Decimal("1785578400123456")] * 3),
    ],
    ids=lambda times: str(times.type),
)
def test_times_may_be_texts_or_numbers(times):
    assert read(table(TimeGenerated=times)).equals(EXPECTED)


@pytest.mark.parametrize(
    "values",
    [
        *(["True", "False", "true"], ["1", "0", "1"], [1, 0, 1], [1.0, 0.0, 2.0]),
        pa.array(["True", "False", "True"]).dictionary_encode(),
    ],
)
def test_truths_may_be_texts_or_numbers(values):
    assert read(table(Success=pa.array(values) if isinstance(values, list) else values)).equals(EXPECTED)


@pytest.mark.parametrize(
    "values",
    [
        pa.array([45, 7, 0], pa.int8()),
        pa.array([45, 7, 0], pa.uint64()),
        pa.array([Decimal("45.000"), Decimal("7"), Decimal("0")]),
        pa.array(["45", "7.0", "0"]),
        pa.array(["45", "7.0", "0"], pa.large_string()),
        pa.array(["45", "00:00:00.0070000", "0"]),
        pa.array(["00:00:00.045", "7", "0"]).dictionary_encode(),
        pa.array([45_000, 7_000, 0], pa.duration("us")),
    ],
    ids=lambda values: str(values.type),
)
def test_durations_may_have_any_type_of_number_or_text(values):
    assert read(table(DurationMs=values)).equals(EXPECTED)


@pytest.mark.parametrize(
    "kind", [pa.int64(), pa.float32(), pa.decimal128(9, 2), pa.dictionary(pa.int32(), pa.string())]
)
def test_statuses_may_be_numbers(kind):
    codes = pa.array(texts("ResultCode"))
    cast = codes.dictionary_encode().cast(kind) if pa.types.is_dictionary(kind) else codes.cast(pa.int16()).cast(kind)
    assert read(table(ResultCode=cast)).equals(EXPECTED)


@pytest.mark.parametrize(
    "kind", [pa.map_(pa.string(), pa.string()), pa.map_(pa.large_string(), pa.large_string())], ids=str
)
def test_properties_may_be_a_map_some_of_them_missing(kind):
    pairs = [list(record["Properties"].items()) for record in RECORDS]
    whole = pa.array([pairs[0], None, *pairs, []], kind)
    assert read(table(Properties=whole.slice(2, 3))).equals(EXPECTED)
    none = conform_table(table(Properties=whole.slice(0, 3)), "here", 0).rows
    assert none["invocation_id"].to_pylist() == [
        RECORDS[0]["Properties"]["InvocationId"],
        RECORDS[1]["Id"],
        pairs[0][0][1],
    ]


def test_of_a_key_that_stands_twice_in_a_map_the_first_counts():
    twice = [("InvocationId", "first"), ("invocationid", "second"), ("InvocationId", "third")]
    maps = pa.array([twice, twice[1:], twice[2:]], pa.map_(pa.string(), pa.string()))
    assert read(table(Properties=maps))["invocation_id"].to_pylist() == ["first", "second", "third"]


def test_properties_may_be_a_struct_of_dictionaries_and_numbers():
    fields = {
        name: pa.array([record["Properties"].get(name) for record in RECORDS]) for name in RECORDS[0]["Properties"]
    }
    fields["FullName"] = fields["FullName"].dictionary_encode()
    fields["FunctionExecutionTimeMs"] = fields["FunctionExecutionTimeMs"].cast(pa.float64())
    struct = pa.StructArray.from_arrays(list(fields.values()), list(fields))
    assert read(table(Properties=struct)).equals(EXPECTED)


@pytest.mark.parametrize("column", ["Name", "AppRoleName", "ClientCity", "Id", "Properties"])
def test_text_that_is_no_utf8_is_replaced_and_spoils_nothing_else(column):
    good = table().column(column).to_pylist()
    damaged = [good[0].encode() if column == "Properties" else b"caf\xe9", *(value.encode() for value in good[1:])]
    if column == "Properties":
        damaged[0] = damaged[0].replace(b"/api/pay", b"/caf\xe9")
    binary = pa.array(damaged)
    claimed = pa.Array.from_buffers(pa.string(), 3, binary.buffers())
    rows = read(table(**{column: claimed}))
    assert rows.slice(1).equals(EXPECTED.slice(1))
    if column == "Properties":
        assert rows["path"].to_pylist()[0] == "/caf\ufffd"
    if column == "Name":
        assert rows["function"].to_pylist()[0] == "caf\ufffd"


def test_a_nested_column_where_a_text_belongs_is_its_json():
    names = pa.array([{"a": 1}, {"a": 2}, {"a": 1}])
    assert read(table(AppRoleName=names))["app"].to_pylist() == ['{"a": 1}', '{"a": 2}', '{"a": 1}']


def test_columns_that_are_missing_are_null():
    batch = table().select(["TimeGenerated", "Name", "Properties", "DurationMs"])
    rows = read(batch)
    assert rows["app"].to_pylist() == ["unknown"] * 3
    assert rows["succeeded"].null_count == rows["city"].null_count == 3
    for name in ("event_time", "invocation_id", "function", "duration_ms"):
        assert rows[name].equals(EXPECTED[name])


def test_only_the_columns_asked_for_are_made_and_they_are_the_same():
    asked = frozenset(NEEDED)
    rows = read(table(), columns=asked)
    assert rows.schema.names == [name for name in INVOCATION.names if name in asked]
    assert rows.equals(EXPECTED.select(rows.schema.names))
    mixed = lines(RECORDS[0], LOG_LINE, {"broken": 1}, RECORDS[1])
    some = conform_json(mixed, "here", 0, ConformOptions(columns=asked))
    every = conform_json(mixed, "here", 0)
    assert some.rows.equals(every.rows.select(rows.schema.names))
    assert some.dead.equals(every.dead)
    assert conform_json(b"{}", "here", 0, ConformOptions(columns=asked)).rows.schema.names == rows.schema.names


TEXTS = st.lists(st.sampled_from([None, "", "a", "b", "ä/ö"]), max_size=12)


def distinct(values, coded):
    array = pa.array(values, pa.string())
    return Distinct.of(array.dictionary_encode() if coded else array)


@given(TEXTS, TEXTS, st.booleans())
def test_distinct_texts_are_the_texts_of_the_rows(first, second, coded):
    rows = min(len(first), len(second))
    first, second = first[:rows], second[:rows]
    one, other = distinct(first, coded), distinct(second, not coded)
    assert one.plain().to_pylist() == one.coded().to_pylist() == first
    assert one.valid.tolist() == [value is not None for value in first]
    either = [a if a is not None else b for a, b in zip(first, second, strict=True)]
    assert one.or_else(other).plain().to_pylist() == first_of([one, other], rows).plain().to_pylist() == either
    assert one.each(lambda value: value.upper() or None).plain().to_pylist() == [
        v.upper() if v else None for v in first
    ]
    lengths = np.array([len(value) for value in one.values.to_pylist()], np.int64)
    assert one.spread(lengths, -1).tolist() == [-1 if value is None else len(value) for value in first]
    mask = np.array([index % 2 == 0 for index in range(rows)], np.bool_)
    assert one.where(mask).plain().to_pylist() == [v if m else None for v, m in zip(first, mask, strict=True)]
    assert one.filter(mask).plain().to_pylist() == first[::2]


@given(TEXTS, TEXTS, st.booleans())
def test_combinations_are_worked_out_as_row_by_row(first, second, small):
    rows = min(len(first), len(second))
    first, second = first[:rows], second[:rows]

    def join(parts):
        pairs = zip(*(part.to_pylist() for part in parts), strict=True)
        return pa.array([None if a is None else f"{a}+{b}" for a, b in pairs], pa.string())

    columns = (distinct(first, coded=True), distinct(second, coded=False))
    if small:  # values of no row make the table of combinations larger than it is worth
        idle = pa.array([f"idle {number}" for number in range(500)])
        columns = tuple(Distinct(column.codes, pa.concat_arrays([column.values, idle])) for column in columns)
    expected = [None if a is None else f"{a}+{b}" for a, b in zip(first, second, strict=True)]
    assert combined(columns, join).plain().to_pylist() == expected


REASONS = st.lists(
    st.one_of(
        st.text(max_size=30),
        st.from_regex(r"Timer fired at .{0,9}", fullmatch=True),
        st.from_regex(r"New blob detected(\([A-Za-z )]{0,5}\))?: ?'?[a-z0-9 ]{1,4}/?[^\r\t]{0,6}'?", fullmatch=True),
        st.sampled_from(
            [
                "New blob detected: uploads/2026/a.jpg",
                "New blob detected(LogsAndContainerScan): 'in/x y'",
                "New blob detected: " + "c" * 400 + "/a",
                "New blob detected: " + "c" * 63 + "/a\n",
                "Timer fired at 2026-08-01T00:00:00Z",
                " Timer fired at 2026",
                "New queue message detected on 'orders'.",
            ]
        ),
    ),
    max_size=8,
)


@given(REASONS)
def test_reasons_that_are_many_are_read_as_each_would_be(reasons):
    fired = triggers.triggers(Distinct.of(pa.array(reasons, pa.string())), *[Distinct.none(len(reasons))] * 2)
    alone = [triggers.parse_reason(reason) for reason in reasons]
    assert triggers.kind_names(fired.kind).plain().to_pylist() == [kind for kind, _ in alone]
    assert fired.source.plain().to_pylist() == [name for _, name in alone]
