"""Large files are read in parts, which give together what the file gives, to the bit."""

import gzip
import io
import json
from itertools import pairwise

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from detectors.conform import ConformOptions
from pipelines.read_parts import deal
from pipelines.sources import json_files, parquet_files
from pipelines.sources.blocks import blocks, line_ends_before
from pipelines.sources.documents import Oversize
from pipelines.sources.files import expand, parts, read
from pipelines.sources.refs import TO_THE_END
from tests.detectors.azure_records import LOG_LINE, REQUEST, changed, lines


@given(
    st.lists(st.sampled_from([b"", b"a", b"bc\r", b"defghijklmnop", b"\xef\xbb\xbf"]), max_size=12).map(b"\n".join),
    st.integers(1, 9),
    st.lists(st.integers(0, 60), max_size=4).map(sorted),
)
def test_stretches_hold_each_line_once_and_know_its_number(data, block_bytes, cuts):
    stream = io.BytesIO(data)
    marks = [0, *(min(cut, len(data)) for cut in cuts), None]
    found = []
    for begin, end in pairwise(marks):
        if begin == end:
            continue
        before = line_ends_before(stream, begin - 1) + 1 if begin else 0
        for piece in blocks(stream, block_bytes, begin, end):
            held = bytes(piece.values).split(b"\n")
            assert piece.end - piece.first == len(held)
            found += [(before + piece.first + number, line) for number, line in enumerate(held)]
    expected = list(enumerate(data.removeprefix(b"\xef\xbb\xbf").split(b"\n")))
    if not expected[-1][1]:
        expected.pop()  # behind the last line end there is no line
    assert [pair for pair in found if pair[1] or pair in expected] == expected


def test_a_line_too_long_is_told_once_by_the_stretch_it_begins_in(monkeypatch):
    monkeypatch.setattr("pipelines.sources.blocks.MAX_RECORD_BYTES", 20)
    data = b"one\n" + b"x" * 50 + b"\ntwo"
    for cut in range(1, len(data)):
        stream = io.BytesIO(data)
        found = [piece for begin, end in ((0, cut), (cut, None)) for piece in blocks(stream, 8, begin, end)]
        oversize = [piece.beginning for piece in found if isinstance(piece, Oversize)]
        assert oversize == [b"x" * 21]


MIXED = [
    line
    for number in range(30)
    for line in (
        lines(changed(REQUEST, {"InvocationId": f"id-{number}"})),
        lines(LOG_LINE),
        b"{broken" if number % 9 == 0 else b"",
        lines({"records": [changed(REQUEST, {"InvocationId": f"in-{number}"})] * 2}),
    )
]


def everything(refs, options=None):
    pieces = [piece for ref in refs for piece in read(ref, options)]
    rows = pa.Table.from_batches([piece.rows for piece in pieces])
    dead = pa.Table.from_batches([piece.dead for piece in pieces])
    return rows, dead, sum(piece.ignored for piece in pieces)


def same(found, expected):
    assert found[0].equals(expected[0])
    assert found[1].equals(expected[1])
    assert found[2] == expected[2]


@pytest.mark.parametrize("block_bytes", [1_500, 9_000])
@pytest.mark.parametrize("part_bytes", [1_000, 7_777, 40_000])
@pytest.mark.parametrize("columns", [None, frozenset(("record", "event_time", "invocation_id", "duration_ms"))])
def test_parts_of_json_lines_give_rows_and_dead_letters_of_the_file(
    part_bytes, block_bytes, columns, tmp_path, monkeypatch
):
    path = tmp_path / "a.ndjson"
    path.write_bytes(b"\xef\xbb\xbf" + b"\n".join(MIXED))
    (ref,) = expand([str(path)])
    options = ConformOptions(columns=columns)
    expected = everything([ref], options)
    assert expected[1].num_rows == 4
    monkeypatch.setattr(json_files, "PART_BYTES", part_bytes)
    monkeypatch.setattr(json_files, "BLOCK_BYTES", block_bytes)
    parted = parts(ref)
    assert len(parted) > 1
    assert (parted[0].begin, parted[-1].end) == (0, TO_THE_END)
    same(everything(parted, options), expected)
    same(everything([ref], options), expected)


@pytest.mark.parametrize("kind", ["document", "gzip"])
def test_what_can_only_be_read_from_its_beginning_is_not_parted(kind, tmp_path, monkeypatch):
    path = tmp_path / "a.json"
    records = [changed(REQUEST, {"InvocationId": f"id-{number}"}) for number in range(50)]
    path.write_bytes(json.dumps(records, indent=1).encode() if kind == "document" else gzip.compress(lines(*records)))
    monkeypatch.setattr(json_files, "PART_BYTES", 500)
    (ref,) = expand([str(path)])
    assert parts(ref) == [ref]


@pytest.fixture
def damaged(tmp_path):
    """A Parquet file of ten row groups, some of which can be damaged."""
    path = tmp_path / "a.parquet"
    records = [changed(REQUEST, {"InvocationId": f"id-{number}"}) for number in range(100)]
    rows = [{**record, "Properties": json.dumps(record["Properties"])} for record in records]
    pq.write_table(pa.Table.from_pylist(rows), path, row_group_size=10, compression="gzip", use_dictionary=False)

    def damage(groups):
        data = bytearray(path.read_bytes())
        for group in groups:
            column = pq.read_metadata(path).row_group(group).column(0)
            begin = column.data_page_offset
            data[begin : begin + column.total_compressed_size] = b"\xff" * column.total_compressed_size
        path.write_bytes(data)
        (ref,) = expand([str(path)])
        return ref

    return damage


@pytest.mark.parametrize("groups", [(), (0,), (9,), (3, 4), (1, 5, 8), tuple(range(10))])
@pytest.mark.parametrize("part_rows", [10, 25])
def test_parts_of_parquet_give_rows_and_the_one_dead_letter_of_the_file(groups, part_rows, damaged, monkeypatch):
    ref = damaged(groups)
    expected = everything([ref])
    assert expected[0].num_rows == 100 - 10 * len(groups)
    assert expected[1].num_rows == bool(groups)
    monkeypatch.setattr(parquet_files, "PART_ROWS", part_rows)
    parted = parts(ref)
    assert len(parted) == (10 if part_rows == 10 else 4)
    same(everything(parted), expected)


def test_a_file_without_a_footer_or_without_our_columns_is_not_parted(tmp_path, monkeypatch):
    monkeypatch.setattr(parquet_files, "PART_ROWS", 1)
    pq.write_table(pa.table({"x": [1, 2, 3]}), tmp_path / "foreign.parquet", row_group_size=1)
    (tmp_path / "broken.parquet").write_bytes(b"PAR1 and nothing else")
    for ref in expand([str(tmp_path)]):
        assert parts(ref) == [ref]
        assert everything([ref])[1].num_rows == 1


def test_the_parts_of_one_file_keep_all_lanes_busy(damaged, monkeypatch):
    monkeypatch.setattr(parquet_files, "PART_ROWS", 10)
    dealt = deal(parts(damaged(())), 2)
    assert [sum(lane == number for lane, _ in dealt) for number in (0, 1)] == [5, 5]
