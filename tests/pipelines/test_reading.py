"""A clock tells which times can't be; one that is itself wrong spoils nothing."""

from __future__ import annotations

from datetime import datetime, timezone

from pipelines.reading import reading


def test_the_clock_is_the_latest_time_that_can_be() -> None:
    later = datetime(2031, 5, 1, tzinfo=timezone.utc).timestamp()
    assert reading(clock=lambda: later).now_us == round(later * 1e6)


def test_a_clock_that_was_never_set_makes_no_log_a_dead_letter() -> None:
    now_us = reading(clock=lambda: 0.0).now_us
    assert now_us is not None
    assert datetime.fromtimestamp(now_us / 1e6, timezone.utc).year == 2026


def test_the_owners_property_is_handed_on() -> None:
    assert reading("KeyHash").caller_property == "KeyHash"
