from __future__ import annotations

import json

from hypothesis import given
from hypothesis import strategies as st

from pipelines.sources.growth import Growth, take

RECORDS = st.lists(st.dictionaries(st.sampled_from("ab"), st.text(max_size=8), max_size=2).map(json.dumps), max_size=8)


@given(RECORDS, st.lists(st.integers(1, 20)), st.sampled_from([b"\n", b"\r\n"]), st.booleans())
def test_however_a_blob_grows_each_line_is_taken_once(
    records: list[str], steps: list[int], ending: bytes, last_break: bool
):
    lines = [record.encode() for record in records]
    content = ending.join(lines) + (ending if last_break and lines else b"")
    growth, got, size = Growth(), [], 0
    for step in [*steps, len(content), len(content)]:
        size = min(len(content), size + step)
        found = take(growth, content[growth.offset : size], rested=size == len(content))
        assert found.first_line == growth.line
        growth = found.after
        got.extend(found.lines)
    assert [line.rstrip(b"\r") for line in got] == lines
    assert growth.offset == len(content)
    assert growth.line == len(lines)


@given(RECORDS.filter(bool), st.data())
def test_a_last_line_taken_without_its_break_is_not_taken_again_when_the_break_comes(
    records: list[str], data: st.DataObject
):
    lines = [record.encode() for record in records]
    cut = data.draw(st.integers(1, len(lines)))
    before, content = b"\n".join(lines[:cut]), b"\n".join(lines) + b"\n"
    first = take(Growth(), before, rested=True)
    second = take(first.after, content[first.after.offset :], rested=False)
    assert first.lines + second.lines == lines
    assert second.after.line == len(lines)


def test_a_torn_line_waits_and_a_given_up_one_is_taken_as_it_is():
    torn = b'{"a": 1}\n{"b": '
    found = take(Growth(), torn, rested=True)
    assert (found.lines, found.after.offset) == ([b'{"a": 1}'], 9)
    assert take(found.after, torn[9:], rested=True, given_up=True).lines == [b'{"b": ']


def test_a_number_without_its_break_may_go_on_and_is_not_taken():
    assert take(Growth(), b"12", rested=True).lines == []


def test_a_line_too_long_to_be_a_record_is_taken_cut_and_its_rest_skipped():
    content = b"x" * 100 + b"\n" + b'{"a": 1}\n'
    first = take(Growth(), content[:40], rested=False, longest=30)
    assert first.lines == [b"x" * 31]
    second = take(first.after, content[40:90], rested=False, longest=30)
    assert (second.lines, second.after.offset, second.after.skipping) == ([], 90, True)
    third = take(second.after, content[90:], rested=False, longest=30)
    assert (third.lines, third.first_line, third.after.line) == ([b'{"a": 1}'], 1, 2)


def test_a_byte_order_mark_is_no_part_of_the_first_line():
    assert take(Growth(), b'\xef\xbb\xbf{"a": 1}\n', rested=False).lines == [b'{"a": 1}']


@given(st.binary(max_size=60), st.binary(max_size=60))
def test_a_blob_is_recognised_by_how_it_begins(head: bytes, other: bytes):
    known = Growth().with_head(head)
    assert known.same_head(head + other)
    assert Growth.from_json(json.loads(json.dumps(known.to_json()))) == known
    if head and not other.startswith(head):
        assert not known.same_head(other)
