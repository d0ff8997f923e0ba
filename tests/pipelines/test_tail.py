from __future__ import annotations

import datetime as dt
import gzip
import json
import os
import random
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from models.errors import SourceError
from pipelines.sources.base import Source, microseconds
from pipelines.sources.blobs import BeamBlobs, Blob, LocalBlobs
from pipelines.sources.tail import TailSource

from .fake_log_analytics import NOON

MINUTE = dt.timedelta(minutes=1)
HOUR = "resourceId=/SUBSCRIPTIONS/S/y=2026/m=08/d=01/h={:02d}/m=00/PT1H.json"


def record(number: int) -> dict[str, Any]:
    return {
        "time": "2026-08-01T11:00:00.0000000Z",
        "Type": "AppRequests",
        "AppRoleName": "shop",
        "Name": "pay",
        "OperationName": "pay",
        "DurationMs": 12.5,
        "Success": True,
        "ResultCode": "0",
        "Properties": {"InvocationId": name(number), "FullName": "Functions.pay", "TriggerReason": "Timer fired at x"},
    }


def name(number: int) -> str:
    return f"00000000-0000-0000-0000-{number:012d}"


def line(number: int) -> bytes:
    return json.dumps(record(number)).encode() + b"\n"


class Tail:
    def __init__(self, root: Path, **options: Any) -> None:
        self.root, self.now, self.options = root, NOON, options
        self.source = TailSource(str(root), **options)
        self.got: list[str] = []
        self.dead: list[str] = []
        self.polled: list[Any] = []

    def poll(self, later: dt.timedelta = dt.timedelta(seconds=1)) -> list[str]:
        self.now += later
        before = len(self.got)
        for polled in self.source.poll(self.now):
            self.polled.append(polled)
            self.got.extend(polled.conformed.rows.column("invocation_id").to_pylist())
            self.dead.extend(polled.conformed.dead.column("error").to_pylist())
        return self.got[before:]

    def restart(self) -> None:
        self.source = TailSource(str(self.root), **self.options)

    def commit(self) -> None:
        self.source.commit(self.polled[-1].cursor)


def append(path: Path, data: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("ab") as file:
        file.write(data)


def names(*numbers: int) -> list[str]:
    return [name(number) for number in numbers]


def test_a_blob_that_grows_is_read_line_by_line_and_never_twice(tmp_path: Path):
    path, tail = tmp_path / HOUR.format(11), Tail(tmp_path)
    assert isinstance(tail.source, Source)
    append(path, line(1) + line(2)[:30])
    assert tail.poll() == names(1)
    assert tail.poll() == []
    append(path, line(2)[30:] + line(3))
    assert tail.poll() == names(2, 3)
    rows = [row for polled in tail.polled for row in polled.conformed.rows.to_pylist()]
    assert [row["position"] for row in rows] == [0, 1, 2]
    assert rows[0]["source"].endswith("h=11/m=00/PT1H.json")
    assert tail.dead == []


def test_the_previous_hour_is_read_again_for_what_comes_late(tmp_path: Path):
    tail = Tail(tmp_path)
    append(tmp_path / HOUR.format(10), line(1))
    append(tmp_path / HOUR.format(11), line(2))
    assert sorted(tail.poll()) == names(1, 2)
    append(tmp_path / HOUR.format(11), line(3))
    append(tmp_path / HOUR.format(10), line(4))
    append(tmp_path / HOUR.format(12), line(5))
    assert sorted(tail.poll()) == names(3, 4, 5)


def test_a_last_line_without_a_break_is_read_once_the_blob_rests(tmp_path: Path):
    path, tail = tmp_path / HOUR.format(11), Tail(tmp_path)
    append(path, line(1) + line(2)[:-1])
    assert tail.poll() == names(1)
    assert tail.poll(dt.timedelta(seconds=30)) == []
    assert tail.poll(MINUTE) == names(2)
    append(path, b"\n" + line(3))
    assert tail.poll() == names(3)
    assert tail.polled[-2].conformed.rows.column("position").to_pylist() == [2]


def test_a_line_that_stays_torn_becomes_a_dead_letter_after_a_day(tmp_path: Path):
    tail = Tail(tmp_path)
    append(tmp_path / "a.json", line(1) + line(2)[:40])
    assert tail.poll() == names(1)
    tail.poll(dt.timedelta(hours=23))
    assert tail.dead == []
    tail.poll(dt.timedelta(hours=2))
    assert len(tail.dead) == 1
    tail.poll(dt.timedelta(hours=2))
    assert len(tail.dead) == 1


def test_after_a_restart_it_goes_on_from_what_was_committed(tmp_path: Path):
    logs, state = tmp_path / "logs", tmp_path / "cursor.json"
    append(logs / "a.json", line(1) + line(2))
    tail = Tail(logs, state=state)
    tail.poll()
    tail.commit()
    append(logs / "a.json", line(3))
    assert tail.poll() == names(3)  # not committed
    tail.restart()
    assert tail.poll() == names(3)


def test_a_restart_between_two_pieces_repeats_only_what_was_not_committed(tmp_path: Path):
    logs, state = tmp_path / "logs", tmp_path / "cursor.json"
    append(logs / "a.json", b"".join(line(n) for n in range(20)))
    tail = Tail(logs, state=state, chunk_bytes=1000)
    pieces = tail.source.poll(NOON)
    first = next(pieces)
    tail.source.commit(first.cursor)
    done = first.conformed.rows.column("invocation_id").to_pylist()
    assert 0 < len(done) < 20
    tail.restart()
    assert done + tail.poll() == names(*range(20))


@pytest.mark.parametrize(
    "cut", ["truncated", "replaced by a shorter one", "replaced by a longer one", "replaced by one as long"]
)
def test_a_blob_that_is_not_the_same_any_more_is_read_from_its_start(tmp_path: Path, cut: str):
    path, tail = tmp_path / "a.json", Tail(tmp_path)
    append(path, line(1) + line(2))
    tail.poll()
    new = {"truncated": line(3), "replaced by a shorter one": line(3)}.get(cut, line(3) + line(4))
    new += line(5) if "longer" in cut else b""
    if cut == "truncated":
        path.write_bytes(new)
    else:
        (tmp_path / "new").write_bytes(new)
        (tmp_path / "new").replace(path)
    os.utime(path, (2_000_000_000, 2_000_000_000))
    assert tail.poll() == names(*range(3, 3 + new.count(b"\n")))


def test_a_rotated_file_is_read_to_its_end_and_the_new_one_from_its_start(tmp_path: Path):
    path, tail = tmp_path / "app.log", Tail(tmp_path)
    append(path, line(1) + line(2))
    tail.poll()
    append(path, line(3))
    path.rename(tmp_path / "app.log.1")
    append(path, line(4))
    assert sorted(tail.poll()) == names(3, 4)
    append(path, line(5))
    (tmp_path / "app.log.1").rename(tmp_path / "app.log.2")
    path.rename(tmp_path / "app.log.1")
    append(path, line(6))
    assert sorted(tail.poll()) == names(5, 6)
    assert tail.poll() == []


def test_a_file_that_is_copied_and_cut_back_is_not_read_twice(tmp_path: Path):
    path, tail = tmp_path / "app.log", Tail(tmp_path)
    append(path, line(1) + line(2))
    tail.poll()
    append(path, line(3))
    (tmp_path / "app.log.1").write_bytes(path.read_bytes())
    path.write_bytes(b"")
    assert tail.poll() == names(3)
    append(path, line(4))
    assert tail.poll() == names(4)


def test_packed_and_parquet_blobs_are_read_once_when_they_rest(tmp_path: Path):
    tail = Tail(tmp_path)
    append(tmp_path / "a.json.gz", gzip.compress(line(1) + line(2)))
    rows = [
        {**record(n), "TimeGenerated": record(n)["time"], "Properties": json.dumps(record(n)["Properties"])}
        for n in (3, 4)
    ]
    pq.write_table(pa.Table.from_pylist(rows), tmp_path / "b.parquet")
    assert tail.poll() == []
    assert tail.poll(MINUTE) == names(1, 2, 3, 4)
    for _ in range(3):
        assert tail.poll(MINUTE) == []
    assert tail.dead == []


def test_a_damaged_packed_blob_is_one_dead_letter_and_holds_nothing_back(tmp_path: Path):
    tail = Tail(tmp_path, chunk_bytes=5000)
    append(tmp_path / "a.json.gz", gzip.compress(b"".join(line(n) for n in range(400)), mtime=0)[:-40])
    append(tmp_path / "b.parquet", b"PAR1 and nothing more")
    tail.poll()
    got = tail.poll(MINUTE)
    assert got == names(*range(len(got)))
    assert len(got) > 20
    assert len(tail.dead) == 2
    tail.poll(MINUTE)
    assert len(tail.dead) == 2
    assert tail.source.idle
    (tmp_path / "a.json.gz").write_bytes(
        gzip.compress(b"".join(line(n) for n in range(400)), mtime=0)
    )  # now it is whole
    tail.poll(MINUTE)
    tail.poll(MINUTE)
    assert tail.got == names(*range(400))


def test_other_names_and_unfinished_uploads_are_left_alone(tmp_path: Path):
    for path in ("a.csv", ".hidden.json", "_SUCCESS", "_tmp.json", "b.json.tmp"):
        append(tmp_path / path, line(1))
    assert Tail(tmp_path).poll() == []


def test_bad_lines_are_dead_letters_and_envelopes_are_opened(tmp_path: Path):
    tail = Tail(tmp_path)
    envelope = json.dumps({"records": [record(1), record(2)]}).encode()
    append(tmp_path / "a.json", b"not json\n" + envelope + b"\n\n" + line(3))
    assert tail.poll() == names(1, 2, 3)
    assert len(tail.dead) == 1


def test_it_starts_where_it_is_told(tmp_path: Path):
    for hour in (9, 10, 11):
        append(tmp_path / HOUR.format(hour), line(hour))
    old = tmp_path / "old.json"
    append(old, line(1))
    os.utime(old, (NOON.timestamp() - 7200, NOON.timestamp() - 7200))
    tail = Tail(tmp_path, start=NOON - dt.timedelta(hours=1, minutes=30))
    assert sorted(tail.poll()) == names(10, 11)


def test_what_rested_for_a_week_is_forgotten_and_not_read_again(tmp_path: Path):
    tail = Tail(tmp_path)
    append(tmp_path / HOUR.format(11), line(1))
    append(tmp_path / "a.log", line(2))
    tail.poll()
    assert tail.poll(dt.timedelta(days=9)) == []
    assert set(tail.polled[-1].cursor["blobs"]) == {"a.log"}
    assert tail.polled[-1].cursor["frontier"] == "2026080112"
    assert tail.poll() == []
    append(tmp_path / HOUR.format(12), line(3))
    assert tail.poll() == names(3)


def test_an_idle_folder_moves_the_watermark_on(tmp_path: Path):
    tail = Tail(tmp_path, delivery_delay_us=60_000_000)
    tail.poll(MINUTE)
    tail.poll(MINUTE)
    assert [polled.watermark_us for polled in tail.polled] == [microseconds(NOON), microseconds(NOON + MINUTE)]
    assert tail.source.idle


class Flaky(LocalBlobs):
    """Local files that can't be listed or read when told."""

    def __init__(self, root: Path) -> None:
        super().__init__(root)
        self.unlisted, self.unread = False, set[str]()

    def list(self) -> list[Blob]:
        if self.unlisted:
            raise SourceError("the container is away", retry=True)
        return super().list()

    def read(self, path: str, begin: int, end: int) -> bytes:
        if path in self.unread:
            raise PermissionError(13, "Permission denied")
        return super().read(path, begin, end)


def test_an_outage_of_the_container_is_waited_out(tmp_path: Path):
    blobs = Flaky(tmp_path)
    tail = Tail(tmp_path, blobs=blobs)
    append(tmp_path / "a.json", line(1))
    tail.poll()
    blobs.unlisted = True
    append(tmp_path / "a.json", line(2))
    for _ in range(60):
        assert tail.poll(MINUTE) == []
        assert not tail.source.idle
    blobs.unlisted = False
    assert tail.poll(MINUTE) == names(2)


def test_one_blob_that_can_not_be_read_stops_no_other_and_holds_the_watermark_for_a_while_only(tmp_path: Path):
    blobs = Flaky(tmp_path)
    tail = Tail(tmp_path, blobs=blobs)
    blobs.unread = {"a.json"}
    append(tmp_path / "a.json", line(1))
    append(tmp_path / "b.json", line(2))
    assert tail.poll() == names(2)
    assert tail.polled[-1].watermark_us is None
    tail.poll(6 * MINUTE)
    assert tail.polled[-1].watermark_us is not None
    assert not tail.source.idle
    blobs.unread = set()
    assert tail.poll() == names(1)
    assert tail.source.idle


def test_a_root_that_is_not_there_is_an_error_at_once(tmp_path: Path):
    with pytest.raises(SourceError, match="no folder"):
        Tail(tmp_path / "missing").poll()


def test_a_cursor_of_something_else_is_refused(tmp_path: Path):
    for content in ('{"kind": "kafka"}', '{"kind": "tail"}', '{"kind": "tail", "blobs": {"a": {"new": 1}}}', "torn"):
        (tmp_path / "c").write_text(content)
        with pytest.raises(SourceError, match="cursor can't be read"):
            TailSource(str(tmp_path), state=tmp_path / "c")


def test_blobs_are_listed_and_read_through_beam_as_they_are_from_a_folder(tmp_path: Path):
    append(tmp_path / HOUR.format(11), line(1))
    append(tmp_path / "b.json.gz", gzip.compress(line(2)))
    beam, local = BeamBlobs(str(tmp_path)), LocalBlobs(tmp_path)
    assert [(b.path, b.size) for b in beam.list()] == [(b.path, b.size) for b in local.list()]
    for blob in local.list():
        assert beam.read(blob.path, 3, blob.size) == local.read(blob.path, 3, blob.size)
    tail = Tail(tmp_path, blobs=beam)
    assert tail.poll() == names(1)
    assert tail.poll(MINUTE) == names(2)


@settings(max_examples=12, deadline=None)
@given(st.integers(0, 2**32))
def test_whatever_grows_rotates_and_crashes_every_line_comes_once(tmp_path_factory: pytest.TempPathFactory, seed: int):
    drawn, folder = random.Random(seed), tmp_path_factory.mktemp("tail")
    logs, tail_options = folder / "logs", {"state": folder / "cursor.json", "chunk_bytes": 700}
    logs.mkdir()
    tail = Tail(logs, **tail_options)
    kept: list[str] = []
    torn = dict.fromkeys(("a.log", "b.json", HOUR.format(11)), b"")
    number = rotations = 0
    for _ in range(60):
        action, path = (
            drawn.choice(["write", "write", "tear", "rotate", "poll", "poll", "crash"]),
            drawn.choice(list(torn)),
        )
        if action == "write":
            append(logs / path, torn[path] + line(number))
            torn[path], number = b"", number + 1
        elif action == "tear" and not torn[path]:
            cut = drawn.randint(1, 60)
            append(logs / path, line(number)[:cut])
            torn[path], number = line(number)[cut:], number + 1
        elif action == "rotate" and path == "a.log" and not torn[path] and (logs / path).exists():
            rotations += 1
            (logs / path).rename(logs / f"a.log.{rotations}")
        elif action == "poll":
            kept += tail.poll()
            tail.commit()
        elif action == "crash":
            tail.poll()  # and nothing of it is committed
            tail.restart()
    for path, rest in torn.items():
        if rest:
            append(logs / path, rest)
    kept += tail.poll()
    assert sorted(kept) == names(*range(number))
    assert tail.dead == []
