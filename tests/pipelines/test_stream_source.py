"""A source as a Beam step: every message claims its place, and from any place the rest comes, once."""

from __future__ import annotations

import datetime as dt
import gc
import tempfile
from collections.abc import Iterator
from typing import Any

import pyarrow as pa
import pytest

from detectors.conform import Conformed
from detectors.schema import DEAD_LETTER, INVOCATION
from detectors.timeline import END, START
from models.errors import SourceError
from pipelines import stream_source
from pipelines.messages import Message
from pipelines.sources.base import Cursor, Polled
from pipelines.stream_source import LiveDoFn, LiveOptions, Place, Places, PlaceTracker, Reading, account
from tests.detectors.rows import EPOCH_US, SECOND, rows
from tests.pipelines.live import Fed, no_letters


def pieces(count: int) -> list[pa.RecordBatch]:
    return [
        rows([{"event_time": n * SECOND, "invocation_id": f"id-{n}"}]).select(INVOCATION.names) for n in range(count)
    ]


def options(**more: Any) -> LiveOptions:
    return LiveOptions(**{"lateness_us": 0, "idle_us": None, "until_idle_s": 0.0, "message_rows": 1, **more})


def reading(place: bytes = Place().to_json(), count: int = 6, **more: Any) -> Reading:
    found = Place.of(place)
    return Reading("s", Fed(pieces(count), found.cursor), found, options(**more))


def read(one: Reading) -> list[tuple[Message, bytes]]:
    """What it says to its end, each with the place behind it."""
    said = []
    while not one.ended:
        said += [(message, one.place) for message, _ in one.messages()]
    return said


def ids(said: list[tuple[Message, bytes]]) -> list[str]:
    return [name for message, _ in said for batch in message.batches for name in batch["invocation_id"].to_pylist()]


def test_everything_is_said_once_with_numbers_without_gaps_and_the_end_behind_it():
    said = read(reading())
    assert ids(said) == [f"id-{n}" for n in range(6)]
    assert [message.number for message, _ in said] == list(range(len(said)))
    marks = [message.watermark_us for message, _ in said]
    assert marks == sorted(marks)
    assert marks[0] == START
    assert marks[-1] == END
    assert Place.of(said[-1][1]).done


@pytest.mark.parametrize("taken", range(7))
def test_from_the_place_behind_any_message_the_rest_comes(taken):
    said = read(reading())
    place = said[taken - 1][1] if taken else Place().to_json()
    rest = read(reading(place))
    assert ids(said[:taken]) + ids(rest) == [f"id-{n}" for n in range(6)]
    assert [message.number for message, _ in rest][:1] == ([taken] if taken < len(said) else [])


def test_a_bundle_ends_where_it_is_full_and_the_next_goes_on_with_the_same_poll(monkeypatch):
    monkeypatch.setattr(stream_source, "BUNDLE_ROWS", 2)
    one = reading()
    bundles = []
    while not one.ended:
        bundles.append([(message, one.place) for message, _ in one.messages()])
        assert one.quiet == (len(ids(bundles[-1])) == 0)
    assert [len(ids(bundle)) for bundle in bundles[:3]] == [2, 2, 2]
    assert sum(len(ids(bundle)) for bundle in bundles) == 6


def test_of_places_that_became_durable_in_any_order_the_source_is_told_the_furthest():
    one = reading()
    places = [Place.of(place) for _, place in read(one)]
    assert isinstance(one.source, Fed)
    for number in (0, 3, 1, 3, 4, 2):
        one.commit(places[number])
    assert one.source.committed == [places[number].cursor for number in (0, 3, 4)]


def test_small_pieces_travel_together():
    said = read(reading(message_rows=4))
    assert [message.rows for message, _ in said][:2] == [4, 2]


def test_a_quiet_source_says_nothing_and_does_not_end_unless_it_may():
    one = reading(until_idle_s=None)
    assert len(list(one.messages())) == 7
    assert one.quiet is False
    assert list(one.messages()) == []
    assert one.quiet
    assert not one.ended


def test_a_backlog_that_grows_too_long_moves_on_before_its_end(monkeypatch):
    monkeypatch.setattr(stream_source, "MAX_PENDING_ROWS", 3)
    said = read(reading())
    assert said[2][0].watermark_us == EPOCH_US + 2 * SECOND


def test_dead_letters_travel_beside_the_rows_under_the_same_number():
    letter = pa.RecordBatch.from_pylist(
        [{"source": "s", "position": 0, "error": "torn", "raw": "{"}], schema=DEAD_LETTER
    )

    class Torn(Fed):
        def poll(self, now: dt.datetime) -> Iterator[Polled]:
            for piece in super().poll(now):
                yield Polled(Conformed(piece.conformed.rows, letter, 2), piece.cursor, piece.watermark_us)

    one = Reading("s", Torn(pieces(1)), Place(), options())
    (said, dead), *_ = one.messages()
    assert (said.number, said.rows, dead.number, dead.rows) == (0, 1, 0, 1)
    assert account(Polled(Conformed(pieces(1)[0], letter, 2), {}, None)) == {"read": 2, "dead_letter": 1, "ignored": 2}
    assert account(Polled(Conformed(pieces(1)[0], no_letters(), 0), {}, None))["read"] == 1


@pytest.fixture
def told(monkeypatch: pytest.MonkeyPatch) -> dict[str, int]:
    """What gauges say."""
    found: dict[str, int] = {}

    class Gauge:
        def __init__(self, name: str) -> None:
            self.name = name

        def set(self, value: int) -> None:
            found[self.name] = value

    monkeypatch.setattr(stream_source.Metrics, "gauge", staticmethod(lambda _, name: Gauge(name)))
    return found


def test_gauges_say_where_the_source_is_and_how_far_it_trails(told):
    class Tailing(Fed):
        def poll(self, now: dt.datetime) -> Iterator[Polled]:
            for piece in super().poll(now):
                blobs = {"a": {"offset": 100 * piece.cursor["given"]}}
                yield Polled(piece.conformed, {"kind": "tail", "blobs": blobs}, piece.watermark_us)

    one = Reading("s", Tailing(pieces(6)), Place(), options())
    read(one)
    one.tell()
    assert told["position_bytes_s"] == 600
    assert told["position_blobs_s"] == 1
    assert told["lag_s_s"] > 0
    assert told["idle_s"] == 1


def test_a_gauge_says_how_many_records_a_second_a_source_gives(told, monkeypatch):
    clock = [1_000.0]
    monkeypatch.setattr(stream_source.time, "monotonic", lambda: clock[0])
    one = Reading("s", Fed(pieces(6)), Place(), options())
    read(one)
    clock[0] += 2.0
    one.tell()
    records = sum(piece.num_rows for piece in pieces(6))
    assert told["events_per_second_s"] == round(records / 2.0) > 0
    clock[0] += 40.0
    one.tell()
    clock[0] += 40.0
    one.tell()
    assert told["events_per_second_s"] == 0


def test_a_split_leaves_what_was_not_claimed_and_a_source_is_not_shared():
    tracker = PlaceTracker(Place().to_json())
    first = Place({"given": 1}, {}, 1).to_json()
    assert tracker.try_claim(first)
    assert tracker.try_split(0.5) is None
    with pytest.raises(ValueError, match="who goes on"):
        tracker.check_done()
    split = tracker.try_split(0)
    assert split is not None
    primary, rest = split
    assert rest == first
    assert Place.of(primary).done
    assert not tracker.try_claim(Place({"given": 2}, {}, 2).to_json())
    assert tracker.current_restriction() == primary
    tracker.check_done()
    assert tracker.try_split(0) is None
    # and the part that stays is done for good
    PlaceTracker(primary).check_done()


def test_the_end_of_a_source_leaves_nothing_to_anyone():
    tracker = Places().create_tracker(Places().initial_restriction("s"))
    assert not tracker.is_bounded()
    assert tracker.try_claim(Place({"given": 6}, {}, 7, done=True).to_json())
    tracker.check_done()
    assert Places().restriction_size("s", tracker.current_restriction()) == 0.0


class View:
    """What Beam hands to a step in the place of a tracker."""

    def __init__(self, place: bytes, claims: int = 1_000) -> None:
        self.tracker, self.claims, self.deferred_s = PlaceTracker(place), claims, -1.0

    def current_restriction(self) -> bytes:
        return self.tracker.current_restriction()

    def try_claim(self, position: bytes) -> bool:
        self.claims -= 1
        return self.claims >= 0 and self.tracker.try_claim(position)

    def defer_remainder(self, duration: Any) -> None:
        self.deferred_s = float(duration)


@pytest.fixture
def fed(monkeypatch: pytest.MonkeyPatch) -> list[Fed]:
    opened: list[Fed] = []

    def open_fed(uris: list[str], cursors: dict[str, Cursor], folder: Any, conform: Any) -> dict[str, Fed]:
        (uri,) = uris
        name = stream_source.source_name(uri)
        opened.append(Fed(pieces(6), cursors.get(name)))
        (folder / "cursor.json").write_text("{}")
        return {name: opened[-1]}

    monkeypatch.setattr(stream_source, "open_sources", open_fed)
    monkeypatch.setattr(stream_source, "_READING", {})
    return opened


def rows_of(given: list[Any]) -> int:
    return sum(one.rows for one in given if isinstance(one, Message))


def test_what_could_not_be_claimed_comes_again_from_a_source_opened_anew(fed):
    step = LiveDoFn(options())
    view = View(Place().to_json(), claims=2)
    assert rows_of(list(step.process("fed:x", view))) == 2
    assert fed[0].closed
    rest = View(view.current_restriction())
    assert rows_of(list(step.process("fed:x", rest))) == 4
    assert len(fed) == 2


def test_a_source_stays_open_from_bundle_to_bundle_where_the_runner_goes_on_with_it(fed, monkeypatch):
    monkeypatch.setattr(stream_source, "BUNDLE_ROWS", 2)
    step = LiveDoFn(options(until_idle_s=None))
    view = View(Place().to_json())
    assert rows_of(list(step.process("fed:x", view))) == 2
    assert view.deferred_s == 0.0
    again = View(view.current_restriction())
    assert rows_of(list(step.process("fed:x", again))) == 2
    assert len(fed) == 1
    # a bundle that failed: the runner goes on from where it was before
    repeated = View(view.current_restriction())
    assert rows_of(list(step.process("fed:x", repeated))) == 2
    assert len(fed) == 2
    assert fed[0].closed


def test_nothing_is_left_of_sources_that_were_closed_failed_or_could_not_be_opened(fed, monkeypatch, tmp_path):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    list(LiveDoFn(options()).process("fed:x", View(Place().to_json(), claims=2)))
    assert fed[0].closed
    assert list(tmp_path.iterdir()) == []
    list(LiveDoFn(options(until_idle_s=None)).process("fed:x", View(Place().to_json())))
    assert len(list(tmp_path.iterdir())) == 1, "one that is still followed"
    stream_source._READING.clear()
    gc.collect()
    assert list(tmp_path.iterdir()) == []

    def shut(*of: Any) -> Any:
        raise SourceError("Gone.", retry=True)

    monkeypatch.setattr(stream_source, "open_sources", shut)
    list(LiveDoFn(options()).process("fed:x", View(Place().to_json())))
    assert list(tmp_path.iterdir()) == []


def test_a_source_that_fails_is_tried_again_later_and_one_that_needs_a_person_is_not(fed, told, monkeypatch):
    name = f"failing_{stream_source.source_name('fed:x')}"
    list(LiveDoFn(options()).process("fed:x", View(Place().to_json())))
    assert told[name] == 0

    def broken(retry: bool) -> Any:
        def poll(self: Fed, now: dt.datetime) -> Iterator[Polled]:
            raise SourceError("Down.", retry=retry)

        return poll

    monkeypatch.setattr(Fed, "poll", broken(True))
    view = View(Place().to_json())
    assert list(LiveDoFn(options()).process("fed:x", view)) == []
    assert view.deferred_s == stream_source.FAILED_S
    assert fed[1].closed
    assert told[name] == 1
    monkeypatch.setattr(Fed, "poll", broken(False))
    with pytest.raises(SourceError):
        list(LiveDoFn(options()).process("fed:x", View(Place().to_json())))
