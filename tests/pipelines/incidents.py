"""Sample incidents for the tests of the sinks."""

from __future__ import annotations

import random
from typing import Any

from models.errors import SinkError
from pipelines.sinks.base import key

ATTACK = (
    "\x1b[2J<!channel> <https://evil.example|click> @here **bold** [x](https://evil.example) \u202egnp.exe <at>All</at>"
)


def incident(number: int = 1, revision: int = 1, **more: Any) -> dict[str, Any]:
    return {
        "incident_id": f"inc-{number:04d}",
        "revision": revision,
        "kind": "new-caller",
        "title": "Unknown caller on pay",
        "summary": "A caller never seen before calls pay 300 times.",
        "severity": "high",
        "opened": "2026-08-01T10:05:00.000000Z",
        "first_event": "2026-08-01T10:00:00.000000Z",
        "last_event": "2026-08-01T10:04:59.000000Z",
        "apps": ["shop"],
        "functions": ["pay"],
        "callers": ["address:203.0.113.9"],
        "invocations": 300,
        "invocation_ids": ["11111111-2222-3333-4444-555555555555"],
        "score": 7.5,
        "p_value": 1e-7,
        "reasons": [{"feature": "caller_rate", "value": 300.0, "typical": 2.0, "share": 0.7}],
        "attack": ["T1110"],
        "runbook": "docs/runbooks.md",
        "model_version": "0001",
        **more,
    }


class Clock:
    """Seconds that move only when told; sleeping moves them."""

    def __init__(self, now: float = 1_000_000.0) -> None:
        self.now = now
        self.slept: list[float] = []

    def __call__(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.now += seconds


class Recorder:
    """A sink that keeps what it gets, and fails as told."""

    def __init__(self, fails: list[Exception] | None = None) -> None:
        self.got: list[str] = []
        self.calls = 0
        self.fails = fails or []
        self.closed = False

    def send(self, incidents: Any) -> None:
        self.calls += 1
        if self.fails:
            raise self.fails.pop(0)
        self.got.extend(key(item) for item in incidents)

    def close(self) -> None:
        self.closed = True


def down() -> SinkError:
    return SinkError("it is down", retry=True)


def rng() -> random.Random:
    return random.Random(0)
