from __future__ import annotations

import json
import logging
import threading
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from models.errors import SinkError
from pipelines.durable import lines_of
from pipelines.sinks.base import DeliveryError, key
from pipelines.sinks.fanout import Sinks
from pipelines.sinks.files import NdjsonFile
from pipelines.sinks.outbox import Outbox

from .incidents import Clock, Recorder, down, incident, rng


def names(*numbers: int) -> list[str]:
    return [f"inc-{number:04d}@1" for number in numbers]


def test_a_dead_sink_does_not_stop_the_others_and_gets_everything_when_it_is_back(tmp_path: Path):
    clock, dead, alive = Clock(), Recorder([down()] * 3), Recorder()
    sinks = Sinks({"dead": dead, "alive": alive}, tmp_path, clock=clock, rng=rng())
    for number in range(4):
        sinks.send([incident(number)])
        sinks.drain()
    assert alive.got == names(0, 1, 2, 3)
    assert dead.got == []
    for _ in range(10):
        clock.now += 60
        sinks.drain()
    assert dead.got == names(0, 1, 2, 3)
    assert [status.pending for status in sinks.status()] == [0, 0]


def test_a_sink_that_fails_is_left_alone_until_its_pause_is_over(tmp_path: Path):
    clock, sink = Clock(), Recorder([down(), DeliveryError("slow down", retry=True, retry_after_s=120)])
    sinks = Sinks({"s": sink}, tmp_path, clock=clock, rng=rng())
    sinks.send([incident()])
    for _ in range(5):
        sinks.drain()
    assert sink.calls == 1
    clock.now += 1.0
    sinks.drain()
    assert sink.calls == 2
    (status,) = sinks.status()
    assert (status.failures, status.pending, status.wait_s) == (2, 1, 120.0)
    clock.now += 119
    sinks.drain()
    assert sink.calls == 2
    clock.now += 1
    assert sinks.drain() == 0
    assert sink.got == names(1)


def test_what_waited_is_delivered_after_a_restart_and_what_arrived_is_not_sent_again(tmp_path: Path):
    clock = Clock()
    first = Sinks({"s": Recorder([down()])}, tmp_path, clock=clock, rng=rng())
    first.send([incident(1), incident(2)])
    first.drain()
    first.close()
    sink = Recorder()
    second = Sinks({"s": sink}, tmp_path, clock=clock, rng=rng())
    second.drain()
    assert sink.got == names(1, 2)
    second.send([incident(1), incident(2), incident(3)])  # a restarted job repeats itself
    second.drain()
    second.close()
    third = Sinks({"s": sink}, tmp_path, clock=clock, rng=rng())
    third.send([incident(2), incident(2, revision=2)])
    third.drain()
    assert sink.got == [*names(1, 2, 3), "inc-0002@2"]


def test_part_of_a_batch_that_arrived_is_not_sent_again(tmp_path: Path):
    class Halfway(Recorder):
        def send(self, incidents):
            self.calls += 1
            if self.calls == 1:
                self.got.extend(key(item) for item in incidents[:2])
                raise DeliveryError("gone", retry=True, delivered=2)
            self.got.extend(key(item) for item in incidents)

    clock, sink = Clock(), Halfway()
    sinks = Sinks({"s": sink}, tmp_path, clock=clock, rng=rng())
    sinks.send([incident(number) for number in range(5)])
    sinks.drain()
    clock.now += 10
    sinks.drain()
    assert sink.got == names(0, 1, 2, 3, 4)


def test_an_incident_that_is_never_taken_is_put_aside_and_the_rest_goes_on(tmp_path: Path, caplog):
    class Picky(Recorder):
        def send(self, incidents):
            if any(item["incident_id"] == "inc-0002" for item in incidents):
                raise SinkError("400 bad\x1b[2J", retry=False)
            super().send(incidents)

    sink = Picky()
    sinks = Sinks({"s": sink}, tmp_path, clock=Clock(), rng=rng())
    sinks.send([incident(number) for number in range(5)])
    sinks.drain()
    assert sink.got == names(0, 1, 3, 4)
    (status,) = sinks.status()
    assert (status.refused, status.pending, status.delivered) == (1, 0, 4)
    (refused,) = [json.loads(line) for line in lines_of(tmp_path / "s" / "refused.ndjson")]
    assert refused["incident"]["incident_id"] == "inc-0002"
    assert "never take incident inc-0002@1" in caplog.text
    assert "\x1b" not in caplog.text


def test_an_unexpected_exception_is_a_failure_whose_text_is_not_shown(tmp_path: Path, caplog):
    sink = Recorder([ValueError("https://hooks.example/T0K3N")])
    sinks = Sinks({"s": sink}, tmp_path, clock=Clock(), rng=rng())
    sinks.send([incident()])
    assert sinks.drain() == 1
    assert "ValueError" in (sinks.status()[0].last_error or "")
    assert "T0K3N" not in caplog.text


def test_the_outbox_is_bounded_and_counts_what_it_gives_up(tmp_path: Path):
    sink = Recorder([down()] * 1000)
    sinks = Sinks({"s": sink}, tmp_path, clock=Clock(), rng=rng(), max_pending=3)
    sinks.send([incident(1)])
    sinks.send([incident(2), incident(1, revision=2), incident(3)])
    outbox = sinks._deliveries[0].outbox
    assert [key(item) for item in outbox.pending()] == [
        "inc-0002@1",
        "inc-0001@2",
        "inc-0003@1",
    ]  # a replaced one goes first
    sinks.send([incident(4), incident(5)])
    assert [key(item) for item in outbox.pending()] == names(3, 4, 5)
    assert sinks.status()[0].lost == 3


def test_an_outbox_on_a_full_disk_fails_the_send_but_not_for_the_other_sinks(tmp_path: Path, monkeypatch):
    good, bad = Recorder(), Recorder()
    sinks = Sinks({"bad": bad, "good": good}, tmp_path, clock=Clock(), rng=rng())
    lines = sinks._deliveries[0].outbox._waiting_lines

    def full(_):
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(lines, "append", full)
        with pytest.raises(SinkError, match="No space left") as caught:
            sinks.send([incident(1)])
    assert caught.value.retry
    sinks.drain()
    assert (good.got, bad.got) == (names(1), [])
    sinks.send([incident(1)])  # the caller tries again
    sinks.drain()
    assert (good.got, bad.got) == (names(1), names(1))
    sinks.close()


def test_a_damaged_outbox_line_does_not_stop_the_others(tmp_path: Path):
    outbox = Outbox(tmp_path)
    outbox.add([incident(1), incident(2)])
    outbox.close()
    path = tmp_path / "waiting.ndjson"
    first, second = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(first[:50] + b"\n" + second + b'{"torn')
    assert [key(item) for item in Outbox(tmp_path).pending()] == names(2)


def test_secrets_do_not_reach_the_disk(tmp_path: Path):
    sinks = Sinks({"s": Recorder([down()])}, tmp_path, clock=Clock(), rng=rng())
    sinks.send([incident(summary="Authorization: Bearer abcdefghijklmnop")])
    assert b"abcdefghijklmnop" not in b"".join(p.read_bytes() for p in tmp_path.rglob("*") if p.is_file())


def test_a_second_process_is_refused(tmp_path: Path):
    pytest.importorskip("fcntl", reason="needs POSIX file locks")
    first = Sinks({"s": Recorder()}, tmp_path)
    with pytest.raises(SinkError, match="Another process"):
        Sinks({"a": Recorder(), "s": Recorder()}, tmp_path)
    first.close()
    Sinks({"a": Recorder(), "s": Recorder()}, tmp_path).close()


def test_the_files_are_rewritten_when_they_hold_much_that_is_done_with(tmp_path: Path, monkeypatch):
    monkeypatch.setattr("pipelines.sinks.outbox._SLACK_LINES", 10)
    outbox = Outbox(tmp_path)
    for number in range(30):
        outbox.add([incident(number)])
        if number != 4:
            outbox.settle(names(number))
    assert len(list(lines_of(tmp_path / "waiting.ndjson"))) < 12
    outbox.close()
    again = Outbox(tmp_path)
    assert [key(item) for item in again.pending()] == names(4)
    again.add([incident(0), incident(29)])
    assert len(again) == 1


@settings(max_examples=30, deadline=None)
@given(
    st.lists(
        st.tuples(st.sampled_from(["send", "drain", "crash", "wait"]), st.integers(0, 5), st.booleans()), max_size=25
    )
)
def test_whatever_fails_and_crashes_each_sink_gets_each_incident(tmp_path_factory: pytest.TempPathFactory, steps):
    folder, clock = tmp_path_factory.mktemp("state"), Clock()
    sinks_by_name = {"a": Recorder(), "b": Recorder()}
    sinks, sent = Sinks(sinks_by_name, folder, clock=clock, rng=rng()), set()
    for action, number, fails in steps:
        if fails:
            sinks_by_name["a"].fails.append(down())
        if action == "send":
            sinks.send([incident(number), incident(number + 1)])
            sent |= set(names(number, number + 1))
        elif action == "drain":
            sinks.drain()
        elif action == "wait":
            clock.now += 400
        else:  # a kill: nothing is closed or flushed; the system only lets go of the lock
            for delivery in sinks._deliveries:
                if delivery.outbox._held is not None:
                    delivery.outbox._held.close()
            sinks = Sinks(sinks_by_name, folder, clock=clock, rng=rng())
    for _ in range(40):
        clock.now += 400
        sinks.drain()
    for sink in sinks_by_name.values():
        assert sorted(sink.got) == sorted(sent)  # at least once, and here, where no crash falls between, exactly once


def test_in_the_background_a_sink_that_hangs_delays_nobody(tmp_path: Path):
    release, arrived = threading.Event(), threading.Event()

    class Hanging(Recorder):
        def send(self, incidents):
            release.wait(30)
            super().send(incidents)

    class Telling(Recorder):
        def send(self, incidents):
            super().send(incidents)
            arrived.set()

    hanging, telling = Hanging(), Telling()
    sinks = Sinks({"hanging": hanging, "telling": telling}, tmp_path)
    sinks.start()
    sinks.send([incident(1)])
    assert arrived.wait(30)
    assert hanging.got == []
    release.set()
    sinks.close(timeout_s=30)
    assert (hanging.got, telling.got) == (names(1), names(1))
    assert hanging.closed
    assert telling.closed


def test_closing_delivers_what_it_can_and_keeps_the_rest(tmp_path: Path, caplog):
    caplog.set_level(logging.WARNING)
    sinks = Sinks({"up": NdjsonFile(tmp_path / "i.ndjson"), "down": Recorder([down()])}, tmp_path / "state", rng=rng())
    sinks.send([incident(1)])
    sinks.close()
    assert len(list(lines_of(tmp_path / "i.ndjson"))) == 1
    assert len(Outbox(tmp_path / "state" / "down")) == 1
    assert "sink down failed" in caplog.text
