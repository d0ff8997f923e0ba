"""Files are found, told apart by what is in them, and read whole, in order and in bounded pieces."""

import gzip
import json
import sys

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from detectors.conform import ConformOptions
from detectors.schema import INVOCATION
from models.errors import InputError
from pipelines.sources import blocks, documents, json_files
from pipelines.sources.files import BATCH_ROWS, expand, load, read
from tests.detectors.azure_records import CLASSIC, LOG_LINE, REQUEST, changed, lines


def many(count):
    return [changed(REQUEST, {"InvocationId": f"id-{number}"}) for number in range(count)]


def read_all(path, options=None):
    (ref,) = expand([str(path)])
    pieces = list(read(ref, options))
    ids = [key for piece in pieces for key in piece.rows["invocation_id"].to_pylist()]
    return ids, [dead for piece in pieces for dead in piece.dead.to_pylist()]


IDS = [f"id-{number}" for number in range(50)]
WAYS = {
    "lines": lambda records: lines(*records),
    "lines with an end": lambda records: lines(*records) + b"\n",
    "lines of Windows with a mark": lambda records: b"\xef\xbb\xbf" + lines(*records).replace(b"\n", b"\r\n"),
    "array on one line": lambda records: json.dumps(records).encode(),
    "array, indented": lambda records: json.dumps(records, indent=2).encode(),
    "array, a record a line": lambda records: b"[\n" + lines(*records).replace(b"\n", b",\n") + b"\n]\n",
    "envelope": lambda records: json.dumps({"records": records}).encode(),
    "envelope, indented": lambda records: json.dumps({"records": records}, indent=1).encode(),
    "capture": lambda records: json.dumps([{"records": records[:20]}, {"records": records[20:]}], indent=1).encode(),
    "envelopes, one a line": lambda records: lines({"records": records[:20]}, {"records": records[20:]}),
}


@pytest.mark.parametrize("compress", [False, True])
@pytest.mark.parametrize("way", WAYS)
def test_every_way_to_write_json_is_read_whatever_the_name(way, compress, tmp_path):
    data = WAYS[way](many(50))
    path = tmp_path / "export.json"
    path.write_bytes(gzip.compress(data) if compress else data)
    assert read_all(path) == (IDS, [])


def test_small_reads_change_nothing(tmp_path, monkeypatch):
    monkeypatch.setattr(json_files, "BLOCK_BYTES", 512)
    for way, write in WAYS.items():
        path = tmp_path / "export.json"
        path.write_bytes(write(many(50)))
        assert read_all(path) == (IDS, []), way


@given(st.lists(st.integers(1, 40), max_size=8), st.sampled_from(["[", '{"records": [', ""]), st.booleans())
def test_elements_are_the_same_however_the_stream_is_cut(cuts, opening, pretty):
    records = [{"a": 'x]}"', "b": [{"c": "\\"}]}, {"d": {}}, {}]
    body = (", " if opening else "\n").join(json.dumps(record, indent=2 if pretty else None) for record in records)
    data = (opening + body + {"[": "]", '{"records": [': "]}", "": ""}[opening]).encode()
    places = [0]
    for cut in cuts:
        places.append(min(places[-1] + cut, len(data)))
    chunks = [data[begin:end] for begin, end in zip(places, [*places[1:], len(data)], strict=True)]
    if opening.startswith("{"):
        chunks = [b"".join(chunks)]  # an envelope is known by its beginning, which is read at once
    found = [json.loads(value) for piece in documents.elements(chunks, 2) for value in piece.values]
    assert found == records


@given(
    st.sampled_from(["", "[", '{"records": ['] * 2),
    st.lists(
        st.sampled_from([*'[]{}",\\ 1\n\t', '"a"', "{}", '{"a": [1, "]"]}', "x" * 70, '"' + "y" * 130 + '"']),
        max_size=30,
    ),
    st.lists(st.integers(1, 90), max_size=4),
)
def test_any_text_is_cut_alike_with_and_without_the_compiled_pass(opening, pieces, cuts):
    data = (opening + "".join(pieces)).encode()
    places = [0]
    for cut in cuts:
        places.append(min(places[-1] + cut, len(data)))
    chunks = [data[begin:end] for begin, end in zip(places, [*places[1:], len(data)], strict=True)]
    compiled = [value for piece in documents.elements(chunks, 3) for value in piece.values]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(documents.cutting, "available", lambda: False)
        interpreted = [value for piece in documents.elements(chunks, 3) for value in piece.values]
    assert compiled == interpreted


def test_scalars_in_a_document_are_dead_letters(tmp_path):
    path = tmp_path / "a.json"
    path.write_bytes(b"[\n1,\n" + lines(REQUEST) + b',\n"x"\n]')
    ids, dead = read_all(path)
    assert len(ids) == 1
    assert len(dead) == 2


def test_a_truncated_document_gives_its_whole_records_and_one_dead_letter(tmp_path):
    path = tmp_path / "a.json"
    path.write_bytes(json.dumps(many(50), indent=2).encode()[:-300])
    ids, dead = read_all(path)
    assert ids == IDS[:49]
    assert [letter["position"] for letter in dead] == [49]


def test_a_truncated_gzip_gives_its_whole_lines_and_one_dead_letter_with_the_place(tmp_path):
    path = tmp_path / "a.jsonl.gz"
    whole = gzip.compress(lines(*many(3000)))
    path.write_bytes(whole[: len(whole) // 2])
    ids, dead = read_all(path)
    assert 0 < len(ids) < 3000
    assert ids == [f"id-{number}" for number in range(len(ids))]
    (letter,) = dead
    assert letter["position"] == len(ids)
    assert "ends too early" in letter["error"]


def test_a_damaged_gzip_gives_what_is_before_the_damage(tmp_path):
    path = tmp_path / "a.jsonl.gz"
    path.write_bytes(gzip.compress(lines(*many(50)) + b"\n") + b"\x1f\x8b broken member")
    ids, dead = read_all(path)
    assert ids == IDS
    assert len(dead) == 1


def test_several_gzip_members_are_one_file(tmp_path):
    path = tmp_path / "a.gz"
    path.write_bytes(gzip.compress(lines(*many(25)) + b"\n") + gzip.compress(lines(*many(50)[25:])))
    assert read_all(path) == (IDS, [])


@pytest.fixture
def table():
    return pa.Table.from_pylist([{**record, "Properties": json.dumps(record["Properties"])} for record in many(50)])


@pytest.mark.parametrize("name", ["a.parquet", "a.json", "a"])
def test_parquet_is_known_by_its_content(table, name, tmp_path):
    pq.write_table(table, tmp_path / name)
    assert read_all(tmp_path / name) == (IDS, [])


def test_a_truncated_parquet_file_is_one_dead_letter(table, tmp_path):
    path = tmp_path / "a.parquet"
    pq.write_table(table, path)
    path.write_bytes(path.read_bytes()[:-40])
    ids, dead = read_all(path)
    assert (ids, len(dead)) == ([], 1)


def test_a_damaged_row_group_costs_only_itself(table, tmp_path):
    path = tmp_path / "a.parquet"
    pq.write_table(table, path, row_group_size=10, compression="gzip", use_dictionary=False)
    column = pq.read_metadata(path).row_group(2).column(0)
    data = bytearray(path.read_bytes())
    begin = column.data_page_offset
    data[begin : begin + column.total_compressed_size] = b"\xff" * column.total_compressed_size
    path.write_bytes(data)
    ids, dead = read_all(path)
    assert ids == IDS[:20] + IDS[30:]
    (letter,) = dead
    assert letter["position"] == 20
    assert "1 that can't be read" in letter["error"]


def test_a_foreign_parquet_file_is_one_dead_letter(tmp_path):
    pq.write_table(pa.table({"x": [1, 2, 3]}), tmp_path / "a.parquet")
    ids, dead = read_all(tmp_path / "a.parquet")
    assert (ids, len(dead)) == ([], 1)
    assert "received x" in dead[0]["error"]


def test_only_the_columns_needed_are_read(tmp_path):
    from detectors.conform import columns_needed

    properties = pa.struct([("InvocationId", pa.string()), ("ProcessId", pa.string())])
    schema = pa.schema([("TimeGenerated", pa.string()), ("IKey", pa.string()), ("Properties", properties)])
    assert columns_needed(schema) == ["TimeGenerated", "Properties.InvocationId"]


def test_a_folder_is_searched_below_and_read_in_order_of_its_paths(table, tmp_path):
    (tmp_path / "y=2026" / "m=08").mkdir(parents=True)
    (tmp_path / "y=2026" / "m=08" / "PT1H.json").write_bytes(lines(REQUEST))
    (tmp_path / "b.ndjson").write_bytes(lines(LOG_LINE))
    pq.write_table(table, tmp_path / "a.parquet")
    (tmp_path / "_SUCCESS").write_bytes(b"{}")
    (tmp_path / ".hidden.json").write_bytes(lines(REQUEST))
    (tmp_path / "notes.txt").write_text("not a log")
    pq.write_table(pa.table({"InvocationId": ["a"], "scenario": ["flood"]}), tmp_path / "truth.parquet")
    notes = []
    found = expand([str(tmp_path)], notes.append)
    names = [ref.path.removeprefix(str(tmp_path)) for ref in found]
    assert names == ["/a.parquet", "/b.ndjson", "/y=2026/m=08/PT1H.json"]
    assert len(notes) == 2
    assert load([str(tmp_path)]).num_rows == 52


def test_a_glob_a_file_and_a_folder_name_each_file_once(tmp_path):
    (tmp_path / "a.json").write_bytes(lines(REQUEST))
    (tmp_path / "b.json").write_bytes(lines(CLASSIC))
    given = [str(tmp_path / "*.json"), str(tmp_path / "a.json"), str(tmp_path)]
    assert len(expand(given)) == 2


def test_nothing_found_is_an_error_with_a_hint(tmp_path):
    with pytest.raises(InputError) as missing:
        expand([str(tmp_path / "nowhere")])
    assert missing.value.hint
    with pytest.raises(InputError) as empty:
        expand([str(tmp_path)])
    assert empty.value.received == "a folder without a file"
    (tmp_path / "notes.txt").write_text("x")
    with pytest.raises(InputError):
        expand([str(tmp_path)])


def test_an_empty_file_has_no_records(tmp_path):
    (tmp_path / "a.json").write_bytes(b"")
    assert read_all(tmp_path / "a.json") == ([], [])


def test_a_piece_holds_a_bounded_number_of_rows(tmp_path):
    row = json.dumps({"time": "2026-08-01T10:00:00Z", "Type": "AppRequests", "Name": "f", "Id": "1", "DurationMs": 1})
    path = tmp_path / "a.json"
    path.write_text('{"records": [' + ",".join([row] * 70_000) + "]}")
    (ref,) = expand([str(path)])
    sizes = [piece.rows.num_rows for piece in read(ref)]
    assert sum(sizes) == 70_000
    assert max(sizes) <= BATCH_ROWS


def test_a_line_without_end_does_not_fill_the_memory(tmp_path, monkeypatch):
    for module in (documents, blocks, json_files):
        monkeypatch.setattr(module, "MAX_RECORD_BYTES", 4_096)
    monkeypatch.setattr(json_files, "BLOCK_BYTES", 1_024)
    path = tmp_path / "a.jsonl"
    path.write_bytes(lines(REQUEST) + b"\n" + b"x" * 50_000 + b"\n" + lines(LOG_LINE))
    pieces = [piece for ref in expand([str(path)]) for piece in read(ref)]
    rows = [position for piece in pieces for position in piece.rows["position"].to_pylist()]
    dead = [position for piece in pieces for position in piece.dead["position"].to_pylist()]
    assert (rows, dead) == ([0, 2], [1])


def test_a_notebook_loads_one_table_without_beam(tmp_path):
    (tmp_path / "a.json").write_bytes(lines(REQUEST, CLASSIC))
    before = "apache_beam" in sys.modules
    table = load([str(tmp_path)], ConformOptions(pseudonym_key=b"k"))
    assert table.schema.equals(INVOCATION)
    assert table.num_rows == 2
    assert ("apache_beam" in sys.modules) == before


def test_one_path_is_as_good_as_a_list_of_one(tmp_path):
    path = tmp_path / "logs.ndjson"
    path.write_bytes(lines(*many(3)))
    asked = [path, str(path), [path], [str(path)], (str(tmp_path),)]
    assert [load(inputs)["invocation_id"].to_pylist() for inputs in asked] == [["id-0", "id-1", "id-2"]] * len(asked)
