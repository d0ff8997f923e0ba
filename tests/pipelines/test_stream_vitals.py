"""How a job on a runner of Beam is seen: what its metrics tell becomes vital signs, and silence is one of them."""

from __future__ import annotations

import json
from typing import Any

import pytest

from pipelines.sinks.fanout import SinkStatus
from pipelines.stream_vitals import StreamVitals
from pipelines.vitals import STALLED_S, UNHEARD_S, as_json, status_line, troubles
from tests.pipelines.live import SECOND, Turned

FIRST, SECOND_VERSION = "20261101T000000-3fa9c1", "20261101T000000-77aa00"
NOW_MS = 1_790_000_000_000


def told(**more: int) -> dict[str, int]:
    return {"read": 100, "invocations": 90, "dead_letter": 3, "polls": 5} | more


class Seen:
    """A job that is looked at, and a clock that is turned between two looks."""

    def __init__(self, *, ends: bool = False) -> None:
        self.clock = Turned(NOW_MS * 1_000)
        self.vitals = StreamVitals(FIRST, ends=ends, clock=self.clock, steady=self.clock.steady)

    def after(self, seconds: float, counted: dict[str, int] | None = None) -> Any:
        self.clock.turn(seconds)
        if counted is not None:
            self.vitals.heard(counted)
        return self.vitals()


def test_what_is_counted_and_where_each_source_is_is_said():
    counted = told(duplicates=2, late_function=4, ignored=5, tellings=7, incidents=6, suppressed=1)
    places = {"position_bytes_files-0a": 1_234, "position_blobs_files-0a": 2, "idle_files-0a": 1}
    places |= {"position_ingested_seconds_azure-monitor-0b": 1_790_000_000, "position_tables_azure-monitor-0b": 1}
    seen = Seen().after(5.0, counted | places | {"versions_refused": 1})
    assert (seen.read, seen.scored, seen.duplicates, seen.dead_letter, seen.late) == (100, 90, 2, 3, 4)
    assert (seen.ignored, seen.tellings, seen.incidents, seen.suppressed, seen.refused_models) == (5, 7, 6, 1, 1)
    assert seen.sources == {"files-0a": True}
    assert seen.positions["files-0a"] == {"blobs": 2.0, "bytes": 1_234.0}
    line = status_line(seen)
    assert "files-0a at 2 blobs, 1,234 bytes" in line
    assert "azure-monitor-0b at 1 tables, ingested to 2026-09-21T14:13:20Z" in line
    assert FIRST in line
    assert troubles(seen) == []
    assert json.loads(json.dumps(as_json(seen)))["healthy"]


def test_what_only_the_embedded_job_has_is_not_shown_and_the_other_way_round():
    seen = Seen().after(5.0, told())
    assert {"checkpoints", "notes"}.isdisjoint(as_json(seen))
    assert as_json(seen)["unheard_s"] == 0.0


def test_how_fast_it_reads_is_worked_out_and_begins_anew_where_the_runner_did():
    job = Seen()
    job.after(5.0, told(read=0))
    assert job.after(10.0, told(read=5_000)).events_per_second == pytest.approx(5_000 / 15)
    assert job.after(5.0, told(read=10)).events_per_second == 0.0
    assert job.after(10.0, told(read=1_010)).events_per_second == 100.0


def far(seconds: float, *, waiting: int = 7) -> dict[str, int]:
    """The gauges of the stations: the slowest so many seconds behind the time at which the job began."""
    reached = NOW_MS - round(seconds * 1_000)
    return {
        "watermark_ms_function_0": reached + 9_000,
        "watermark_ms_function_1": reached + 5_000,
        "watermark_ms_incident_0": reached,
        "waiting_function_0": waiting,
        "waiting_function_1": 0,
        "waiting_incident_0": 3,
    }


def test_the_slowest_step_says_how_far_it_is_and_the_first_how_many_rows_wait():
    job = Seen()
    seen = job.after(0.0, told(**far(20.0)))
    assert (seen.lag_s, seen.pending) == (20.0, 7)
    assert seen.watermark_us == (NOW_MS - 20_000) * 1_000
    # also between two looks
    assert job.after(2.0).lag_s == 22.0


def test_it_is_red_where_the_watermark_stands_while_rows_wait():
    job = Seen()
    job.after(5.0, told(polls=1, **far(20.0)))
    assert troubles(job.after(STALLED_S, told(polls=2, **far(20.0)))) == []
    assert troubles(job.after(1.0, told(polls=3, **far(20.0)))) == [
        "The watermark has stood for 601 s while 7 rows wait."
    ]
    assert troubles(job.after(1.0, told(polls=4, **far(19.0)))) == []


def test_it_is_green_where_the_watermark_stands_and_nothing_waits():
    job = Seen()
    job.after(5.0, told(polls=1, **far(20.0, waiting=0)))
    assert troubles(job.after(10 * STALLED_S, told(polls=2, **far(20.0, waiting=0)))) == []


def test_it_is_red_where_the_runner_does_not_answer_and_green_again_when_it_does():
    job = Seen()
    job.after(5.0, told())
    assert troubles(job.after(UNHEARD_S, {})) == []
    assert troubles(job.after(1.0)) == ["The runner has told nothing for 121 s; numbers are of then."]
    assert job.vitals().read == 100
    assert troubles(job.after(1.0, told(polls=6))) == []


def test_it_is_red_where_no_worker_asks_a_source_any_more_unless_sources_end():
    for ends in (False, True):
        job = Seen(ends=ends)
        job.after(5.0, told(polls=6))
        found = troubles(job.after(STALLED_S + 1.0, told(polls=6)))
        assert found == ([] if ends else ["No worker has asked a source for 601 s."])
        assert troubles(job.after(1.0, told(polls=7))) == []


def test_a_source_that_fails_is_told_at_once_and_one_that_gives_nothing_after_a_while():
    job = Seen()
    places = {"idle_hub": 0, "position_messages_hub": 12}
    found = troubles(job.after(5.0, told(failing_hub=1, **places)))
    assert found == ["The source hub fails: it will be asked again; the log of its worker says why."]
    assert troubles(job.after(5.0, told(failing_hub=0, **places))) == []
    assert troubles(job.after(STALLED_S + 1.0, told(polls=6, **places))) == [
        "The source hub has not answered for 601 s."
    ]
    assert troubles(job.after(5.0, told(polls=7, **places | {"position_messages_hub": 13}))) == []


def test_sinks_are_seen_and_one_that_is_dead_for_long_is_red():
    job = Seen()
    sink = {"waiting": 3, "delivered": 9, "refused": 1, "lost": 0, "failures": 2}
    gauges = {f"sink_{sign}_slack-0c": number for sign, number in sink.items()}
    assert job.after(5.0, told(**gauges)).sinks == [SinkStatus("slack-0c", 3, 9, 1, 0, 2, 0.0, None)]
    assert troubles(job.after(901.0, told(polls=6, **gauges))) == ["The sink slack-0c has failed for 901 s."]
    assert troubles(job.after(1.0, told(polls=7, **gauges | {"sink_failures_slack-0c": 0}))) == []


def test_the_version_is_that_which_judged_last():
    job = Seen()
    assert job.after(5.0, told()).model_version == FIRST
    first, second = f"judged_by_{FIRST}", f"judged_by_{SECOND_VERSION}"
    assert job.after(5.0, told(**{first: 50})).swaps == 0
    seen = job.after(5.0, told(**{first: 51, second: 20}))
    assert (seen.model_version, seen.swaps) == (SECOND_VERSION, 1)
    assert job.after(5.0, told(**{first: 51, second: 20})).model_version == SECOND_VERSION
    # the runner began anew, and counts from nothing; then the first came back
    assert job.after(5.0, told(**{second: 2})).model_version == SECOND_VERSION
    seen = job.after(5.0, told(**{second: 2, first: 9}))
    assert (seen.model_version, seen.swaps) == (FIRST, 2)


def test_blind_spots_wait_for_enough_rows():
    job = Seen()
    assert job.after(5.0, told(invocations=999)).blind_spots is None
    assert job.after(5.0, told(invocations=1_000)).blind_spots is not None


def test_a_lag_is_of_the_clock():
    job = Seen()
    job.after(0.0, told(**far(0.0)))
    job.clock.us += 3 * SECOND
    assert job.vitals().lag_s == 3.0
