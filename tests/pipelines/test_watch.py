"""The streaming job on one machine: what it survives, and what it tells. Clocks are turned, nothing sleeps."""

from __future__ import annotations

import errno
import json
import os
import random
import urllib.request
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

from detectors.order import concat
from models.errors import InputError, ModelError, SourceError
from models.registry import Registry
from pipelines import checkpoint
from pipelines.champion import Champion
from pipelines.checkpoint import Checkpoints
from pipelines.engine import Engine
from pipelines.serve import Served, answer
from pipelines.sinks.base import DeliveryError
from pipelines.sinks.fanout import Sinks, SinkStatus
from pipelines.sources.files import expand, read
from pipelines.vitals import Vitals, as_json, place_of, position_of, status_line, troubles
from pipelines.watch import BLIND_ROWS, BLIND_S, Watch, WatchOptions, refuse_ended
from pipelines.workflows import plan_for
from tests.conftest import Tenant
from tests.pipelines.live import (
    SECOND,
    Fed,
    Kept,
    Turned,
    canonical,
    check_late,
    completions,
    cut,
    identity,
    last_told,
    play,
)

ROWS = 4_000
BATCH = 400


@pytest.fixture(scope="module")
def logs(tenant: Tenant) -> pa.RecordBatch:
    """A stretch of the replayed day, in order of completion."""
    rows = concat([piece.rows for ref in expand([str(tenant.replay)]) for piece in read(ref)])
    return rows.take(pa.array(np.argsort(completions(rows), kind="stable")[:ROWS]))


@pytest.fixture(scope="module")
def expected(logs, model):
    """What an engine gives that nothing happens to."""
    given = play(Engine(plan_for(model, 1.0), lateness_us=0), cut(logs, np.arange(ROWS), BATCH))
    return canonical(given.verdicts), last_told(given.incidents)


class Job:
    """A job, and all that stays when it dies."""

    def __init__(
        self, folder: Path, models: Path, logs: pa.RecordBatch, *, budget: float = 1.0, **options: Any
    ) -> None:
        self.folder, self.models = folder, models
        self.logs, self.budget = logs, budget
        self.clock = Turned(int(completions(logs).max()) + 3_600 * SECOND)
        self.sink = Kept()
        self.options = WatchOptions(
            lateness_us=0, idle_us=None, output=folder / "out", verdicts="all", checkpoint_s=5.0, **options
        )
        self.source = Fed()
        self.start()

    def start(self) -> Watch:
        """Start it, or start it again after it was stopped or died."""
        checkpoints = Checkpoints(self.folder / "state")
        saved = checkpoints.load()
        cursor = saved.document["cursors"].get("fed") if saved is not None else None
        self.source = Fed(self.source.pieces, cursor)
        champion = Champion(self.models, self.budget)
        self.watch = Watch(
            {"fed": self.source}, saved, champion, checkpoints, self.sink, self.options,
            clock=self.clock, steady=self.clock.steady,
        )  # fmt: skip
        return self.watch

    def die(self) -> Watch:
        """As after kill -9: nothing is saved, and the lock falls; then start again."""
        self.watch._checkpoints.close()
        return self.start()

    def feed(self, count: int = 1) -> None:
        """Have more logs come, a second between two pieces."""
        for _ in range(count):
            begin = BATCH * len(self.source.pieces)
            self.source.pieces.append(self.logs.slice(begin, BATCH))
            self.clock.turn(1.0)
            self.watch.round()

    def feed_all(self) -> None:
        self.feed(ROWS // BATCH - len(self.source.pieces))

    def verdicts(self) -> list[dict[str, Any]]:
        return canonical(pq.read_table(self.folder / "out" / "verdicts"))


@pytest.fixture
def job(tmp_path: Path, models: Path, logs: pa.RecordBatch) -> Job:
    return Job(tmp_path, models, logs)


def check(job: Job, expected: Any) -> None:
    assert job.verdicts() == expected[0]
    assert last_told(job.sink.got) == expected[1]


def test_it_gives_what_the_engine_gives_and_each_telling_once(job, expected):
    job.feed_all()
    job.watch.end()
    check(job, expected)
    ids = [incident["incident_id"] for incident in job.sink.got]
    assert [one["amends"] for one in job.sink.got] == [name in ids[:number] for number, name in enumerate(ids)]
    assert job.sink.repeated == 0
    assert job.source.closed
    assert job.sink.closed


def test_the_account_of_the_job_adds_up(job, logs):
    job.feed_all()
    job.watch.end()
    vitals = job.watch.vitals
    assert vitals.read == vitals.scored + vitals.duplicates + vitals.dead_letter > 0


def test_stopped_and_started_at_any_moment_it_goes_on(job, expected):
    for _ in range(ROWS // BATCH):
        job.feed()
        job.watch.stop()
        job.start()
    job.watch.end()
    check(job, expected)


def test_killed_at_any_moment_it_loses_nothing_and_tells_nothing_twice(job, expected):
    for number in range(ROWS // BATCH):
        job.feed()
        if number % 3:
            job.die()
            job.watch.round()
    job.watch.end()
    check(job, expected)
    told = [identity(incident) for incident in job.sink.got]
    assert len(set(told)) == len(told)


def test_killed_at_any_moment_what_came_in_time_is_as_if_nothing_had_come_late(tmp_path, models, logs, model):
    calls = logs.filter(pc.equal(logs.column("record"), "invocation"))
    generator = np.random.default_rng(6)
    delay = np.where(generator.random(calls.num_rows) < 0.1, generator.integers(0, 7_200, calls.num_rows), 0) * SECOND
    arriving = calls.take(pa.array(np.argsort(completions(calls) + delay, kind="stable")))
    job = Job(tmp_path, models, arriving, budget=20.0)
    for number in range(-(-calls.num_rows // BATCH)):
        job.feed()
        if number % 3:
            # what is read again comes in one poll, so fewer rows may be late than would have been
            job.die()
            job.watch.round()
    job.watch.end()
    verdicts = pq.read_table(tmp_path / "out" / "verdicts")
    in_time = calls.filter(
        pc.is_in(calls.column("invocation_id"), verdicts.filter(pc.invert(verdicts.column("late")))["invocation_id"])
    )
    alone = play(Engine(plan_for(model, 20.0), lateness_us=0), cut(in_time, np.arange(in_time.num_rows), BATCH))
    late = check_late(verdicts, job.sink.got, alone)
    assert len(late) == job.watch.vitals.late == calls.num_rows - in_time.num_rows > 50
    assert job.watch.vitals.incidents == len({incident["incident_id"] for incident in job.sink.got})
    # some that were told had late rows added
    told = [incident for incident in job.sink.got if not late.issuperset(incident["invocation_ids"])]
    assert any(not late.isdisjoint(incident["invocation_ids"]) for incident in told)


def test_killed_between_checkpoint_and_delivery_it_delivers_after_the_start(job, expected):
    job.sink.down = True
    job.feed_all()
    job.clock.turn(10.0)
    job.watch.round()
    assert job.sink.got == []
    job.sink.down = False
    job.die()
    assert job.sink.got
    job.watch.end()
    check(job, expected)


def test_killed_after_notes_it_takes_the_same_steps_again(job, expected):
    job.feed(2)
    job.watch._save()
    saved = job.watch.vitals.checkpoints
    job.options = replace(job.options, checkpoint_s=1e9)
    job.watch._options = job.options
    while len(job.source.pieces) < ROWS // BATCH:
        job.feed()
        told, reached = list(job.sink.got), job.watch.vitals.watermark_us
        assert job.watch.vitals.checkpoints <= saved + 1
        job.die()
        # what was told is told again, under the same names, and nothing else
        assert job.sink.got == told
        assert job.watch.vitals.watermark_us <= reached
    assert job.sink.repeated
    job.watch.end()
    check(job, expected)


def test_an_incident_is_noted_and_no_checkpoint_is_written_for_it(job):
    job.feed(1)
    job.watch._save()
    job.options = replace(job.options, checkpoint_s=1e9)
    job.watch._options = job.options
    before = job.watch.vitals.checkpoints
    job.feed_all()
    assert job.sink.got
    assert job.watch.vitals.notes
    assert job.watch.vitals.checkpoints == before


def test_killed_between_a_swap_and_the_next_checkpoint_the_former_version_takes_its_steps_again(
    tmp_path, models, logs, expected
):
    registry, first, second, job = with_two_versions(tmp_path, models, logs)
    job.feed(2)
    job.watch._save()
    job.watch._options = replace(job.options, checkpoint_s=1e9)
    job.feed(3)
    assert job.watch.vitals.notes
    told = list(job.sink.got)
    registry.promote(second, who="test", why="better")
    job.die()
    assert job.sink.got == told
    assert job.watch.vitals.model_version == second
    job.feed_all()
    job.watch.end()
    assert last_told(job.sink.got).keys() == expected[1].keys()
    assert {row["model_version"] for row in job.verdicts()} == {first, second}


def test_a_disk_that_is_full_when_an_incident_is_noted_keeps_it_until_there_is_room(job, expected, monkeypatch):
    def full(descriptor: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    job.feed(1)
    job.watch._save()
    job.watch._options = replace(job.options, checkpoint_s=3.0)
    with monkeypatch.context() as patched:
        patched.setattr(os, "fsync", full)
        while job.watch.vitals.checkpoint_trouble is None:
            job.feed(1)
        told, given = len(job.sink.got), job.source.given
        job.feed(1)
        assert (len(job.sink.got), job.source.given) == (told, given)
    job.clock.turn(10.0)
    job.watch.round()
    assert job.watch.vitals.checkpoint_trouble is None
    job.feed_all()
    job.watch.end()
    check(job, expected)


def test_killed_between_delivery_and_the_next_checkpoint_it_repeats_the_same_identities(job, expected):
    job.feed(5)
    job.clock.turn(10.0)
    job.watch.round()
    before = len(job.sink.got)
    assert before
    job.die()
    assert len(job.sink.got) == before
    job.feed_all()
    job.watch.end()
    check(job, expected)


def test_killed_after_its_end_it_only_delivers(job, expected, monkeypatch):
    job.feed_all()
    job.sink.down = True
    job.watch.end()
    job.sink.down = False
    job.start()
    job.watch.stop()
    check(job, expected)
    with pytest.raises(InputError, match="has ended"):
        refuse_ended(Checkpoints(job.folder / "state").load())


def test_an_hour_without_the_source_loses_nothing(job, expected):
    job.feed(4)
    reached = job.watch.vitals.watermark_us
    job.source.down = SourceError("The service is down.", retry=True)
    for _ in range(60):
        job.clock.turn(60.0)
        job.watch.round()
    assert job.watch.vitals.watermark_us == reached
    assert any("The service is down" in trouble for trouble in troubles(job.watch.vitals))
    job.source.down = None
    job.feed_all()
    job.watch.end()
    check(job, expected)
    assert job.watch.vitals.late == 0


def test_a_source_that_just_says_nothing_for_long_is_told(job):
    job.feed(1)
    job.source.failing = True
    for _ in range(20):
        job.clock.turn(60.0)
        job.watch.round()
    assert any("has not answered" in trouble for trouble in troubles(job.watch.vitals))


def test_a_source_that_needs_a_person_ends_the_job_and_nothing_is_lost(job, expected):
    job.feed(4)
    job.source.down = SourceError("No rights.", retry=False)
    with pytest.raises(SourceError, match="No rights"):
        job.watch.round()
    job.watch.stop()
    job.source.down = None
    job.start()
    job.feed_all()
    job.watch.end()
    check(job, expected)


def test_an_hour_without_the_sinks_loses_nothing(job, expected):
    job.sink.down = True
    job.feed_all()
    for _ in range(60):
        job.clock.turn(60.0)
        job.watch.round()
    job.sink.down = False
    job.watch.end()
    check(job, expected)


class Failing:
    """A sink that is down until it is told to be up."""

    def __init__(self) -> None:
        self.up = False
        self.got: list[Any] = []
        self.calls = 0

    def send(self, incidents: Any) -> None:
        self.calls += 1
        if not self.up:
            raise DeliveryError("down", retry=True)
        self.got += list(incidents)

    def close(self) -> None:
        pass


def test_a_sink_that_is_down_for_an_hour_and_a_kill_in_it_gets_all_and_the_others_theirs_at_once(job, expected):
    job.watch.stop()
    dead, alive = Failing(), Failing()
    alive.up = True

    def sinks() -> Sinks:
        return Sinks({"dead": dead, "alive": alive}, job.folder / "sinks", clock=job.clock.steady, rng=random.Random(1))

    job.sink = sinks()
    job.start()
    for minute in range(60):
        if len(job.source.pieces) < ROWS // BATCH:
            job.feed()
        if minute == 30:
            job.sink._deliveries[0].outbox.close()
            job.sink._deliveries[1].outbox.close()
            job.watch._checkpoints.close()
            job.sink = sinks()
            job.start()
        job.clock.turn(60.0)
        job.watch.round()
        job.sink.drain()
        assert dead.got == []
    assert alive.got
    assert any("dead has failed" in trouble for trouble in troubles(job.watch.vitals))
    # it is left alone longer and longer, not hammered
    assert dead.calls < 60
    told = [identity(incident) for incident in alive.got]
    dead.up = True
    job.clock.turn(3_600.0)
    job.sink.drain()
    assert [identity(incident) for incident in dead.got] == told
    job.watch.end()
    assert last_told(dead.got) == last_told(alive.got) == expected[1]


def test_a_full_disk_stops_the_reading_and_nothing_is_lost(job, expected, monkeypatch):
    def full(path: Path, data: bytes, **more: Any) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    job.feed(3)
    with monkeypatch.context() as patched:
        patched.setattr(checkpoint, "write_atomic", full)
        job.clock.turn(10.0)
        job.feed(1)
        given = job.source.given
        assert job.watch.vitals.checkpoint_trouble == "No space left on device"
        told = len(job.sink.got)
        for _ in range(5):
            job.clock.turn(10.0)
            job.feed(1)
        assert job.source.given == given
        assert len(job.sink.got) == told
        assert any("can't be saved" in trouble for trouble in troubles(job.watch.vitals))
    job.clock.turn(10.0)
    job.watch.round()
    assert job.watch.vitals.checkpoint_trouble is None
    job.feed_all()
    job.watch.end()
    check(job, expected)


def test_killed_while_the_disk_is_full_it_goes_on_from_the_checkpoint_before(job, expected, monkeypatch):
    def full(path: Path, data: bytes, **more: Any) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    job.feed(3)
    with monkeypatch.context() as patched:
        patched.setattr(checkpoint, "write_atomic", full)
        job.clock.turn(10.0)
        job.feed(2)
        job.die()
    job.feed_all()
    job.watch.end()
    check(job, expected)


def test_a_clock_set_back_loses_and_repeats_nothing(job, expected):
    job.feed(4)
    job.clock.us -= 7_200 * SECOND
    job.feed_all()
    job.clock.us += 7_200 * SECOND
    job.watch.end()
    check(job, expected)


def test_a_quiet_source_does_not_hold_back_what_waits(tmp_path, models, logs):
    job = Job(tmp_path, models, logs)
    job.options = WatchOptions(lateness_us=300 * SECOND, idle_us=60 * SECOND)
    job.watch.stop()
    job.start()
    job.feed(2)
    assert job.watch.vitals.pending
    job.clock.turn(61.0)
    job.watch.round()
    assert job.watch.vitals.pending == 0


def copied(models: Path, folder: Path) -> Registry:
    """A registry of its own with the same version."""
    registry = Registry(folder)
    source = Registry(models)
    registry.add(source._files(source.resolve()), who="test")
    return registry


def another(registry: Registry, spoil: Callable[[dict[str, bytes]], None] = lambda files: None) -> str:
    """Add a version like the champion, under a name of its own."""
    from models.bundle import encode_bundle

    bundle = registry.get()
    files = encode_bundle(
        tables=dict(bundle.tables),
        documents=dict(bundle.documents),
        manifest={"training_window": {"start": "2026-06-06T00:00:00Z", "end": "2026-06-30T00:00:00Z"}},
    )
    name = registry.add(files, who="test")
    folder = registry.storage.local_path(f"versions/{name}")
    for file in sorted(folder.glob("*.arrow"))[:1]:
        content = {"bytes": bytes(file.read_bytes())}
        spoil(content)
        file.write_bytes(content["bytes"])
    return name


def with_two_versions(folder: Path, models: Path, logs: pa.RecordBatch) -> tuple[Registry, str, str, Job]:
    """A registry of its own, its champion, a second version like it, and a job that judges by the champion."""
    registry = copied(models, folder / "models")
    first = registry.resolve()
    second = another(registry)
    return registry, first, second, Job(folder / "job", folder / "models", logs)


def test_a_promoted_version_judges_from_between_two_rounds_and_back_again(tmp_path, models, logs, expected):
    registry, first, second, job = with_two_versions(tmp_path, models, logs)
    job.feed(3)
    registry.promote(second, who="test", why="better")
    job.clock.turn(15.0)
    job.feed(3)
    assert job.watch.vitals.model_version == second
    registry.rollback(who="test", why="worse")
    job.clock.turn(15.0)
    job.feed_all()
    assert job.watch.vitals.model_version == first
    assert job.watch.vitals.swaps == 2
    job.watch.end()
    verdicts = job.verdicts()
    assert {row["model_version"] for row in verdicts} == {first, second}
    plain = [{name: value for name, value in row.items() if name != "model_version"} for row in verdicts]
    assert plain == [{name: value for name, value in row.items() if name != "model_version"} for row in expected[0]]


def test_a_bad_version_is_refused_loudly_and_the_old_one_stays(tmp_path, models, logs, caplog):
    registry, first, second, job = with_two_versions(tmp_path, models, logs)
    registry.promote(second, who="test", why="better")
    folder = registry.storage.local_path(f"versions/{second}")
    table = next(iter(sorted(folder.glob("*.arrow"))))
    table.write_bytes(b"\0" * table.stat().st_size)
    for _ in range(3):
        job.clock.turn(15.0)
        job.feed(1)
    assert job.watch.vitals.model_version == first
    assert job.watch.vitals.refused_models == 1
    assert job.watch.vitals.model_trouble is not None
    assert len([r for r in caplog.records if "refused" in r.message]) == 1
    registry.rollback(who="test", why="broken")
    job.clock.turn(15.0)
    job.watch.round()
    assert job.watch.vitals.model_trouble is None


def test_started_with_a_bad_champion_the_version_of_the_checkpoint_judges_on(tmp_path, models, logs):
    registry, first, second, job = with_two_versions(tmp_path, models, logs)
    job.feed(2)
    job.watch.stop()
    registry.promote(second, who="test", why="better")
    table = next(iter(sorted(registry.storage.local_path(f"versions/{second}").glob("*.arrow"))))
    table.write_bytes(b"\0" * table.stat().st_size)
    assert job.start().vitals.model_version == first


def test_an_unsigned_version_is_refused_where_a_signature_is_demanded(tmp_path, models, logs):
    from models.signing import SigningKey

    with pytest.raises(ModelError, match="sign"):
        Champion(models, 1.0, SigningKey.generate().public_pem()).start()


def test_a_damaged_checkpoint_is_refused(job):
    job.feed(2)
    job.watch.stop()
    state = next((job.folder / "state").glob("state-*.arrows"))
    state.write_bytes(state.read_bytes()[:-1] + b"?")
    with pytest.raises(InputError, match="saved state can't be used"):
        job.start()


def test_a_second_job_on_the_same_state_is_refused(job):
    with pytest.raises(InputError, match="Another process"):
        Checkpoints(job.folder / "state")


def test_part_files_of_others_are_left_alone(job):
    other = job.folder / "out" / "verdicts" / "part-00000.parquet"
    other.parent.mkdir(parents=True, exist_ok=True)
    other.write_bytes(b"")
    job.feed(2)
    job.watch.stop()
    job.start()
    assert other.exists()


def test_health_is_green_while_all_is_well_and_red_while_the_watermark_stands(job):
    job.feed(2)
    assert answer("/healthz", lambda: job.watch.vitals)[0] == 200
    stands = Vitals(standing_s=3_600.0, pending=7)
    status, kind, body = answer("/healthz", lambda: stands)
    assert (status, kind) == (503, "application/json")
    assert json.loads(body)["troubles"] == ["The watermark has stood for 3600 s while 7 rows wait."]


def test_health_is_red_where_a_sink_is_dead_for_long():
    sink = SinkStatus("slack", 3, 0, 0, 0, 9, 1.0, "down")
    assert troubles(Vitals(sinks=[sink], sinks_down_s={"slack": 60.0})) == []
    assert troubles(Vitals(sinks=[sink], sinks_down_s={"slack": 3_600.0})) == ["The sink slack has failed for 3600 s."]


def test_metrics_are_in_the_format_of_prometheus():
    pytest.importorskip("prometheus_client")
    vitals = Vitals(read=12, model_version="v1", lag_s=4.0, sinks=[SinkStatus("ndjson", 3, 0, 0, 0, 0, 0.0, None)])
    status, _, body = answer("/metrics", lambda: vitals)
    assert status == 200
    text = body.decode()
    for line in (
        "lonetree_records_total 12.0",
        'lonetree_model{version="v1"} 1.0',
        "lonetree_watermark_lag_seconds 4.0",
        'lonetree_sink_waiting{sink="ndjson"} 3.0',
        "lonetree_healthy 1.0",
    ):
        assert line in text.splitlines()


def test_where_each_source_is_stands_in_the_metrics_and_the_line_and_what_logs_lack_is_counted():
    pytest.importorskip("prometheus_client")
    cursors = {
        "files": {"kind": "tail", "blobs": {"a": {"offset": 1_000}, "b": {"offset": 234}}},
        "hub": {"kind": "kafka", "offsets": {"logs": {"0": 7, "1": 5}}},
        "monitor": {"kind": "azure-monitor", "pulls": {"AppRequests": {"to_us": 1_790_000_000 * SECOND}}},
    }
    places = {name: place_of(cursor) for name, cursor in cursors.items()}
    positions = {name: position_of(cursor) for name, cursor in cursors.items()}
    vitals = Vitals(model_version="v1", cursors=places, positions=positions, blind_spots=["7% of the rows are sampled"])
    text = answer("/metrics", lambda: vitals)[2].decode().splitlines()
    assert 'lonetree_source_position{source="files",unit="bytes"} 1234.0' in text
    assert 'lonetree_source_position{source="hub",unit="messages"} 12.0' in text
    assert 'lonetree_source_position{source="monitor",unit="ingested_seconds"} 1.79e+09' in text
    assert "lonetree_blind_spots 1.0" in text
    line = status_line(vitals)
    assert "files at 2 blobs, 1,234 bytes" in line
    assert "hub at 2 partitions, 12 messages" in line
    assert "monitor at 1 tables, ingested to 2026-09-21T14:13:20Z" in line
    assert as_json(vitals)["cursors"] == places


def test_the_json_line_has_all_that_a_person_asks(job):
    job.feed(3)
    said = as_json(job.watch.vitals)
    asked = ("events_per_second", "lag_s", "late", "duplicates", "dead_letter", "incidents", "model_version", "cursors")
    assert all(said[name] is not None for name in asked)
    assert json.loads(json.dumps(said))["cursors"] == {"fed": "somewhere"}


def test_what_the_logs_do_not_show_is_said_once_when_enough_have_come(tmp_path, models, logs, caplog):
    index = logs.schema.get_field_index("item_count")
    sampled = pa.array(np.full(logs.num_rows, 5), pa.int32())
    job = Job(tmp_path, models, logs.set_column(index, logs.schema.field(index), sampled))
    job.feed(1)
    assert job.watch.vitals.blind_spots is None
    job.feed(4)
    for _ in range(5):
        job.clock.turn(100.0)
        job.feed(1)
    spots = job.watch.vitals.blind_spots
    assert any("are sampled" in spot for spot in spots)
    said = [record.getMessage() for record in caplog.records if "not in these logs" in record.getMessage()]
    assert len([text for text in said if "are sampled" in text]) == 1
    assert len(said) == len(spots)


def test_what_few_logs_do_not_show_is_said_after_some_minutes(job):
    job.feed(2)
    assert job.watch.vitals.scored < BLIND_ROWS
    assert job.watch.vitals.blind_spots is None
    job.clock.turn(BLIND_S)
    job.watch.round()
    assert job.watch.vitals.blind_spots is not None


def test_the_server_answers_and_stops():
    served = Served(lambda: Vitals(), 0)
    with urllib.request.urlopen(f"http://127.0.0.1:{served.port}/healthz") as response:
        assert json.loads(response.read()) == {"healthy": True, "troubles": []}
    served.close()
    assert answer("/else", Vitals)[0] == 404


def test_the_status_line_says_what_a_person_asks(job):
    job.feed(3)
    line = status_line(job.watch.vitals)
    for word in ("events/s", "lag", "late", "duplicates", "dead letters", "incidents", job.watch.vitals.model_version):
        assert word in line
