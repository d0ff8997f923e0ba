from __future__ import annotations

import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.errors import SinkError
from pipelines.durable import DurableLines, lines_of, write_atomic
from pipelines.sinks.base import DeliveryError, key
from pipelines.sinks.files import NdjsonFile
from pipelines.sinks.lines import json_line
from pipelines.sinks.ocsf import ALLOWED, REQUIRED, detection_finding, ocsf_line, validate
from pipelines.sinks.parquet import INCIDENTS, ParquetFolder
from tests.detectors.strange import MINUTE, incidents_of, strange

from .incidents import Clock, incident


def ids(path: Path) -> list[str]:
    return [key(json.loads(line)) for line in lines_of(path)]


def everything(folder: Path) -> list[str]:
    return [
        name for path in sorted(folder.glob("*.ndjson"), key=lambda p: (p.stem == "i", p.name)) for name in ids(path)
    ]


def test_each_incident_and_revision_stands_in_the_file_once_also_after_a_restart(tmp_path: Path):
    path = tmp_path / "deep" / "i.ndjson"
    first = NdjsonFile(path)
    first.send([incident(1), incident(1), incident(2)])
    first.send([incident(2), incident(2, revision=2)])
    first.close()
    second = NdjsonFile(path)
    second.send([incident(1), incident(2, revision=2), incident(3)])
    assert ids(path) == ["inc-0001@1", "inc-0002@1", "inc-0002@2", "inc-0003@1"]


def test_a_file_is_rotated_by_size_and_nothing_is_written_twice_across_rotations(tmp_path: Path):
    path = tmp_path / "i.ndjson"
    sink = NdjsonFile(path, max_bytes=2000)
    for number in range(10):
        sink.send([incident(number)])
    sink.close()
    again = NdjsonFile(path, max_bytes=2000)
    again.send([incident(number) for number in range(10)])
    assert len(again.rotated()) >= 2
    assert all(file.stat().st_size <= 2000 for file in again.rotated())
    assert everything(tmp_path) == [f"inc-{number:04d}@1" for number in range(10)]


def test_a_file_is_rotated_by_age_and_old_ones_are_dropped_as_told(tmp_path: Path):
    clock = Clock()
    sink = NdjsonFile(tmp_path / "i.ndjson", max_age_s=3600, keep=2, clock=clock)
    for number in range(5):
        sink.send([incident(number)])
        clock.now += 3600
    assert [path.name for path in sink.rotated()] == ["i-000003.ndjson", "i-000004.ndjson"]
    assert ids(tmp_path / "i.ndjson") == ["inc-0004@1"]


def test_an_empty_file_is_not_rotated(tmp_path: Path):
    clock = Clock()
    sink = NdjsonFile(tmp_path / "i.ndjson", max_age_s=1, clock=clock)
    clock.now += 10
    sink.send([])
    sink.send([incident()])
    assert sink.rotated() == []


def test_a_line_torn_by_a_crash_is_cut_off_and_written_again(tmp_path: Path):
    path = tmp_path / "i.ndjson"
    sink = NdjsonFile(path)
    sink.send([incident(1), incident(2)])
    sink.close()
    path.write_bytes(path.read_bytes()[:-20])
    NdjsonFile(path).send([incident(1), incident(2)])
    assert ids(path) == ["inc-0001@1", "inc-0002@1"]


@given(st.lists(st.binary(min_size=1).filter(lambda b: b"\n" not in b), max_size=20), st.integers(0, 500))
def test_opening_keeps_exactly_the_whole_lines(tmp_path_factory: pytest.TempPathFactory, lines: list[bytes], cut: int):
    path = tmp_path_factory.mktemp("lines") / "f"
    whole = b"".join(line + b"\n" for line in lines)
    path.write_bytes(whole[:cut])
    file = DurableLines(path)
    file.append([b"next"])
    file.close()
    assert path.read_bytes() == whole[:cut][: whole[:cut].rfind(b"\n") + 1] + b"next\n"
    assert file.size == path.stat().st_size


class Full:
    """A file on a full disk: takes half of what it is given, then fails."""

    def __init__(self, file):
        self.file = file

    def write(self, data):
        self.file.write(data[: len(data) // 2])
        self.file.flush()
        raise OSError(28, "No space left on device")

    def close(self):
        self.file.close()


def test_a_full_disk_fails_the_send_whole_and_the_next_one_goes_through(tmp_path: Path):
    sink = NdjsonFile(tmp_path / "i.ndjson")
    sink.send([incident(1)])
    sink._lines._file = Full(sink._lines._file)
    with pytest.raises(DeliveryError, match="No space left") as caught:
        sink.send([incident(2), incident(3)])
    assert caught.value.retry
    assert ids(tmp_path / "i.ndjson") == ["inc-0001@1"]
    sink.send([incident(2), incident(3)])
    assert ids(tmp_path / "i.ndjson") == ["inc-0001@1", "inc-0002@1", "inc-0003@1"]


def test_parquet_files_hold_every_incident_once_across_restarts(tmp_path: Path):
    clock = Clock()
    sink = ParquetFolder(tmp_path, max_age_s=60, clock=clock)
    sink.send([incident(1), incident(2)])
    clock.now += 61
    sink.send([incident(3)])  # the first two become Parquet
    # a crash: the open file stays behind
    second = ParquetFolder(tmp_path, clock=clock)
    second.send([incident(1), incident(3), incident(4, revision=2, extra={"a": 1})])
    second.close()
    files = sorted(tmp_path.iterdir())
    assert [path.name for path in files] == ["incidents-000001.parquet", "incidents-000002.parquet"]
    tables = [pq.read_table(path) for path in files]
    assert all(table.schema.equals(INCIDENTS) for table in tables)
    rows = [row for table in tables for row in table.to_pylist()]
    assert [key(row) for row in rows] == ["inc-0001@1", "inc-0002@1", "inc-0003@1", "inc-0004@2"]
    (reason,) = rows[0]["reasons"]
    assert {name: value for name, value in reason.items() if value is not None} == incident()["reasons"][0]
    assert rows[0]["opened"].isoformat() == "2026-08-01T10:05:00+00:00"
    assert json.loads(rows[3]["more"]) == {"extra": {"a": 1}}


def test_what_is_told_of_an_incident_keeps_its_kinds_in_parquet(tmp_path: Path):
    _, (told,) = incidents_of([strange(n * MINUTE, f"i{n}") for n in range(3)])
    sink = ParquetFolder(tmp_path)
    sink.send([json.loads(json_line(told))])
    sink.close()
    table = pq.read_table(tmp_path / "incidents-000001.parquet")
    assert table.drop_columns(["amends", "more"]).to_pylist() == [told]
    assert table["more"].null_count == 1


def test_files_of_an_earlier_lonetree_are_brought_to_the_columns_of_today(tmp_path: Path):
    reasons = pa.list_(pa.struct([("feature", pa.string()), ("share", pa.float64())]))
    columns = [("incident_id", pa.string()), ("revision", pa.int32()), ("reasons", reasons), ("more", pa.string())]
    row = {"incident_id": "inc-0001", "revision": 1, "reasons": [{"feature": "caller_rate", "share": 0.7}]}
    rows = [row | {"more": '{"closed":true,"extra":1}'}, row | {"revision": 2, "more": None}]
    pq.write_table(pa.Table.from_pylist(rows, schema=pa.schema(columns)), tmp_path / "incidents-000001.parquet")
    sink = ParquetFolder(tmp_path)
    sink.send([incident(1), incident(1, revision=2), incident(2)])
    sink.close()
    table = pq.read_table(tmp_path)
    assert table.schema.equals(INCIDENTS)
    assert [key(row) for row in table.to_pylist()] == ["inc-0001@1", "inc-0001@2", "inc-0002@1"]
    assert table["closed"].to_pylist() == [True, None, None]
    assert table["more"].to_pylist() == ['{"extra":1}', None, None]
    assert [reasons[0]["share"] for reasons in table["reasons"].to_pylist()] == [0.7, 0.7, 0.7]


def test_a_crash_between_the_parquet_file_and_the_removal_of_its_source_is_repaired(tmp_path: Path):
    sink = ParquetFolder(tmp_path)
    sink.send([incident(1)])
    source = next(tmp_path.glob("*.open.ndjson"))
    content = source.read_bytes()
    sink.close()
    source.write_bytes(content)
    again = ParquetFolder(tmp_path)
    again.send([incident(1), incident(2)])
    again.close()
    rows = [key(row) for path in sorted(tmp_path.glob("*.parquet")) for row in pq.read_table(path).to_pylist()]
    assert rows == ["inc-0001@1", "inc-0002@1"]


def test_values_of_a_wrong_kind_become_null_in_parquet_and_stop_nothing(tmp_path: Path):
    sink = ParquetFolder(tmp_path)
    sink.send([incident(opened="when?", score="high", apps="shop", reasons=7, title=["a"])])
    sink.close()
    (row,) = pq.read_table(tmp_path / "incidents-000001.parquet").to_pylist()
    assert (row["opened"], row["score"], row["apps"], row["reasons"], row["title"]) == (
        None,
        None,
        ["shop"],
        None,
        '["a"]',
    )


def test_a_whole_file_is_replaced_or_left(tmp_path: Path):
    path = tmp_path / "cursor.json"
    write_atomic(path, b"old")
    write_atomic(path, b"new")
    assert path.read_bytes() == b"new"
    assert [p.name for p in tmp_path.iterdir()] == ["cursor.json"]


def test_an_incident_is_a_valid_ocsf_detection_finding():
    finding = detection_finding(incident())
    assert validate(finding) == []
    assert (finding["class_uid"], finding["category_uid"], finding["type_uid"]) == (2004, 2, 200401)
    assert finding["severity_id"] == 4
    assert finding["time"] == 1785578700000
    assert finding["metadata"]["version"] == "1.8.0"
    assert finding["finding_info"]["uid"] == "inc-0001"
    assert finding["finding_info"]["attacks"] == [{"technique": {"uid": "T1110"}}]
    assert detection_finding(incident(revision=3))["type_uid"] == 200402
    assert detection_finding(incident(revision=3, amends=False))["type_uid"] == 200401
    assert detection_finding(incident(revision=3, amends=True))["type_uid"] == 200402


def test_an_incident_with_only_an_id_and_a_time_is_valid_too():
    assert validate(detection_finding({"incident_id": "x", "opened": "2026-08-01T10:00:00Z"})) == []


def test_an_incident_without_a_time_makes_no_finding_and_says_why():
    with pytest.raises(SinkError, match="time is missing") as caught:
        detection_finding({"incident_id": "x"})
    assert not caught.value.retry


@pytest.mark.parametrize("name", sorted(REQUIRED[""]))
def test_a_finding_without_a_required_field_is_found_out(name: str):
    finding = detection_finding(incident())
    del finding[name]
    assert any(name in problem for problem in validate(finding))


def test_wrong_types_values_and_nested_gaps_are_found_out():
    finding = detection_finding(incident())
    finding |= {"severity_id": 9, "time": "now", "evidences": [{"name": "x"}], "type_uid": 200402}
    finding["metadata"]["product"] = {}
    finding["anomaly_analyses"][0]["anomalies"][0]["observations"][0] = {"count": 1}
    problems = " ".join(validate(finding))
    for expected in (
        "severity_id is 9",
        "time is str",
        "evidences",
        "type_uid",
        "metadata.product",
        "observations.value",
    ):
        assert expected in problems
    assert set(ALLOWED) == {"activity_id", "severity_id", "category_uid", "class_uid"}


def test_an_ocsf_file_knows_its_findings_after_a_restart(tmp_path: Path):
    path = tmp_path / "f.ndjson"
    for _ in range(2):
        sink = NdjsonFile(path, render=ocsf_line)
        sink.send([incident(1), incident(1, revision=2)])
        sink.close()
    assert [json.loads(line)["metadata"]["uid"] for line in lines_of(path)] == ["inc-0001@1", "inc-0001@2"]
