"""The compiled pass finds what a parser of JSON finds, however long, many or alike the records are."""

import json

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from detectors.conform import conform_json, gather, scan
from detectors.conform import lines as conform_lines
from detectors.conform.keys import keys_of
from detectors.conform.records import parse, records
from detectors.conform.slots import texts, wanted
from tests.detectors.azure_records import CLASSIC, LOG_LINE, REQUEST, TRACE, changed, lines

pytestmark = pytest.mark.skipif(not scan.available(), reason="the compiled pass needs numba")
SLOTS = wanted(None)
KEYS = keys_of(SLOTS)


def found_in(block):
    """What the pass finds in JSON Lines: for each line a mapping of slots, or None where the slow way must read it."""
    result = scan.scan_lines(block, KEYS)
    columns = {name: texts(column).plain().to_pylist() for name, column in result.columns.items()}
    rows = iter(range(int((result.status == scan.FOUND).sum())))
    told = []
    for status in result.status.tolist():
        row = next(rows) if status == scan.FOUND else None
        told.append(
            None if row is None else {name: values[row] for name, values in columns.items() if values[row] is not None}
        )
    return told


def parsed(line):
    (slots,) = records(parse(line))
    return {name: value for name, value in slots.items() if name in SLOTS}


def agrees(block):
    told = found_in(block)
    for line, slots in zip(block.split(b"\n"), told, strict=True):
        if slots is not None:
            assert {name: value for name, value in slots.items() if name not in ("p.", "m.")} == parsed(line)
    return told


SOME = [REQUEST, changed(REQUEST, {"HttpPath": None, "InvocationId": "b"}), CLASSIC, LOG_LINE, TRACE]
SHUFFLED = [dict(sorted(record.items(), key=lambda pair: hash(pair[0]) % 97)) for record in SOME]


@pytest.mark.parametrize("separators", [(",", ":"), (", ", ": "), (" ,\t", " :\t"), (" , ", ": ")])
def test_many_rows_of_several_layouts_are_found(separators):
    some = [json.dumps(record, separators=separators).encode() for record in [*SOME, *SHUFFLED]]
    block = b"\n".join(some[(number * 7) % len(some)] for number in range(300))
    assert None not in agrees(block)


@given(st.lists(st.integers(0, 40_000), min_size=1, max_size=5), st.sampled_from(["x", "ä", '"', "\\u0041", "\n"]))
@settings(max_examples=60)
def test_strings_may_be_longer_than_what_is_looked_at_ahead(lengths, letter):
    block = lines(*(changed(REQUEST, {"HttpPath": letter * length}, Url=letter * 3) for length in lengths))
    assert None not in agrees(block)


@pytest.mark.parametrize("ending", [b"", b"\n", b"\n\n"])
@pytest.mark.parametrize("size", range(1, 140))
def test_the_end_of_the_data_may_come_anywhere(size, ending):
    told = agrees(b'{"Name":"' + b"n" * size + b'","Type":"AppRequests"}' + ending)
    assert told[0] == {"name": "n" * size, "type": "AppRequests"}


def test_more_keys_than_are_remembered_are_read_all_the_same():
    many = [{f"key {number} {row}": number for number in range(40)} | REQUEST for row in range(20)]
    assert None not in agrees(lines(*many))


def test_a_key_that_begins_like_the_one_expected_is_another():
    pairs = [("Name", "a"), ("NameX", "b"), ("Nam", "c"), ("name", "d")]
    block = b"\n".join(b'{"%s":"%s","Type":"x"}' % (key.encode(), value.encode()) for key, value in pairs * 3)
    assert [slots.get("name") for slots in agrees(block)] == ["a", None, None, "d"] * 3


def test_keys_of_one_container_mean_nothing_in_another():
    record = {
        "Properties": {"Name": "no", "InvocationId": "yes"},
        "InvocationId": "top",
        "Name": "yes",
        "x": {"Name": 1},
    }
    (slots,) = agrees(lines(record))
    assert slots == {"p.invocationid": "yes", "invocationid": "top", "name": "yes"}


@pytest.mark.parametrize(
    "broken", [b'{"a":"\x01"}', b'{"a":"b"', b'{"a" "b"}', b'{"a":"\\x"}', b'{"a":01}', b'{"a":"b', b'{"a":1}}']
)
def test_a_broken_line_between_good_ones_is_marked_and_spoils_nothing(broken):
    good = lines(REQUEST)
    told = found_in(b"\n".join([good, broken, good, broken, good]))
    assert [slots is None for slots in told] == [False, True, False, True, False]
    assert told[0] == told[2] == told[4]


def test_bytes_that_are_no_utf8_send_only_their_own_line_the_slow_way():
    good = lines(REQUEST)
    told = found_in(b"\n".join([good, good.replace(b"/api/pay", b"/caf\xe9"), good]))
    assert [slots is None for slots in told] == [False, True, False]


def test_values_that_come_again_are_kept_once_and_others_as_they_are():
    block = lines(*(changed(REQUEST, {"InvocationId": f"id-{row}"}, Name=f"f{row % 3}") for row in range(200)))
    columns = scan.scan_lines(block, KEYS).columns
    assert columns["name"].dictionary.to_pylist() == ["f0", "f1", "f2"]
    assert columns["p.invocationid"].type == pa.string()


def test_too_many_distinct_values_cost_only_copies():
    names = [f"f{(row * row) % 65_537}" for row in range(40_000)]
    assert len(set(names)) > gather.MOST
    found = scan.scan_lines(b"\n".join(b'{"Name":"%s"}' % name.encode() for name in names), KEYS).columns["name"]
    assert texts(found).plain().to_pylist() == names


def test_values_that_collide_are_told_apart():
    # whoever writes logs can choose values with one and the same place in the table
    candidates = [f"value {number}" for number in range(30_000)]
    spots = [_spot(value) for value in candidates]
    colliding = [value for value, spot in zip(candidates, spots, strict=True) if spot == spots[0]]
    assert len(colliding) > gather.PROBES
    names = [colliding[row % len(colliding)] for row in range(400)]
    assert [slots["name"] for slots in agrees(lines(*(changed(REQUEST, Name=name) for name in names)))] == names


def _spot(value):
    data = np.frombuffer(value.encode() + b"        ", np.uint8)
    return int(gather._mixed(data, np.uint64(0), np.uint64(len(value)))) % 1_024


def test_rows_of_both_ways_come_in_the_order_of_their_lines(monkeypatch):
    escaped = changed(REQUEST, Name="slow")
    text = json.dumps(escaped).replace('"Name"', '"\\u004eame"').encode()  # escaped keys go the slow way
    block = b"\n".join([lines(REQUEST), text, lines(LOG_LINE), text, lines(CLASSIC)])
    fast = conform_json(block, "here", 0)
    assert fast.rows["function"].to_pylist() == ["Pay", "slow", "Pay", "slow", "Pay"]
    monkeypatch.setattr(conform_lines.scan, "available", lambda: False)
    assert conform_json(block, "here", 0).rows.equals(fast.rows)
    assert conform_json(memoryview(block), "here", 0).rows.equals(fast.rows)


def test_properties_as_text_and_as_objects_may_stand_in_one_block():
    text = {**REQUEST, "Properties": json.dumps(REQUEST["Properties"])}
    rows = conform_json(lines(REQUEST, text, REQUEST, text), "here", 0).rows
    assert rows.drop_columns(["position"]).slice(1, 1).equals(rows.drop_columns(["position"]).slice(0, 1))
    assert rows["path"].to_pylist() == ["/api/pay"] * 4
