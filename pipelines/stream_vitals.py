"""Vital signs of a job on a runner of Beam, worked out of what its metrics tell now and then.

Workers are elsewhere, and some runners lose counters when they restart: rates, stand-stills and what was last heard are
the business of the process that asks.
"""

from __future__ import annotations

import datetime as dt
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Final

from pipelines.jobs import account_of
from pipelines.lately import Down, Rate, Standing
from pipelines.sinks.fanout import SinkStatus
from pipelines.sources.base import microseconds
from pipelines.stream_outputs import SINK_SIGNS
from pipelines.stream_source import FAILING, IDLE, PLACE, POLLS, REFUSED
from pipelines.stream_timeline import JUDGED_BY, WAITING, WATERMARK
from pipelines.vitals import OF_EMBEDDED, Vitals, place_at
from pipelines.watch import BLIND_ROWS, utc_now

#: whose waiting rows are told: those of the first stage wait for the sources, the others' only for it
_FIRST: Final = f"{WAITING}function_"
_FAILS: Final = "it will be asked again; the log of its worker says why."


class StreamVitals:
    """Takes counters and gauges, gives vital signs; one thread tells, others may ask.

    Args:
        first: the version that judges at the start.
        ends: sources end, and nobody asks them after that.
        clock: the time of day, UTC.
        steady: seconds that never go back.
    """

    def __init__(
        self,
        first: str,
        *,
        ends: bool = False,
        clock: Callable[[], dt.datetime] = utc_now,
        steady: Callable[[], float] = time.monotonic,
    ) -> None:
        self._ends, self._clock, self._steady = ends, clock, steady
        now_s = steady()
        self._heard_s = now_s
        self._rate, self._standing, self._polls = Rate(now_s, 0), Standing(now_s, None), Standing(now_s, None)
        self._sources, self._sinks = Down(), Down()
        self._judged: dict[str, int] = {}
        self._vitals = Vitals(model_version=first, lacking=OF_EMBEDDED)

    def heard(self, counted: Mapping[str, int]) -> None:
        """Take what a look at the metrics gave; nothing where the runner did not answer."""
        if not counted:
            return
        self._heard_s = now_s = self._steady()
        before, account = self._vitals, account_of(dict(counted), whole=False)
        vitals = replace(before)
        for name in ("read", "scored", "duplicates", "dead_letter", "late"):
            setattr(vitals, name, account[name])
        for name in ("ignored", "tellings", "incidents", "suppressed"):
            setattr(vitals, name, counted.get(name, 0))
        vitals.blind_spots = account["blind_spots"] if vitals.scored >= BLIND_ROWS else None
        vitals.model_version = self._judges(counted)
        vitals.swaps += vitals.model_version != before.model_version
        vitals.refused_models = counted.get(REFUSED, 0)
        reached_ms = _under(counted, WATERMARK).values()
        vitals.watermark_us = min(reached_ms) * 1_000 if reached_ms else None
        vitals.pending = sum(_under(counted, _FIRST).values())
        vitals.standing_s = self._standing.take(now_s, vitals.watermark_us, vitals.pending > 0)
        vitals.unasked_s = self._polls.take(now_s, counted.get(POLLS), not self._ends)
        vitals.events_per_second = self._rate.take(now_s, vitals.read)
        self._look_at_sources(vitals, counted, now_s)
        vitals.sinks = _sinks(counted)
        vitals.sinks_down_s = self._sinks.take(now_s, [sink.name for sink in vitals.sinks if sink.failures])
        self._vitals = vitals

    def __call__(self) -> Vitals:
        """How the job is, by what was heard last."""
        vitals = replace(self._vitals, unheard_s=self._steady() - self._heard_s)
        if vitals.watermark_us is not None:
            vitals.lag_s = (microseconds(self._clock()) - vitals.watermark_us) / 1e6
        return vitals

    def _judges(self, counted: Mapping[str, int]) -> str:
        """The version that judged most since the look before; where none judged anything, the one that did then."""
        judged = _under(counted, JUDGED_BY)
        more = {name: count - self._judged.get(name, 0) for name, count in judged.items()}
        # a runner that restarted counts from nothing
        more = {name: judged[name] if grown < 0 else grown for name, grown in more.items()}
        self._judged = judged
        most = max(more, key=more.__getitem__, default="")
        return most if more.get(most, 0) > 0 else self._vitals.model_version

    def _look_at_sources(self, vitals: Vitals, counted: Mapping[str, int], now_s: float) -> None:
        vitals.sources = {name: bool(idle) for name, idle in _under(counted, IDLE).items()}
        failing = _under(counted, FAILING)
        vitals.source_trouble = {name: _FAILS for name, fails in failing.items() if fails}
        positions: dict[str, dict[str, float]] = {}
        for named, number in sorted(_under(counted, PLACE).items()):
            # units have underscores, the names of sources have none
            unit, _, name = named.rpartition("_")
            positions.setdefault(name, {})[unit] = float(number)
        still = [name for name, idle in vitals.sources.items() if not idle]
        still = [name for name in still if positions.get(name) == vitals.positions.get(name)]
        vitals.sources_down_s = self._sources.take(now_s, still)
        vitals.positions = positions
        vitals.cursors = {name: place_at(position) for name, position in positions.items()}


def _under(counted: Mapping[str, int], prefix: str) -> dict[str, int]:
    """What is told under names that begin so, by the rest of the name."""
    return {name.removeprefix(prefix): count for name, count in counted.items() if name.startswith(prefix)}


def _sinks(counted: Mapping[str, int]) -> list[SinkStatus]:
    told = {sign: _under(counted, prefix) for sign, prefix in SINK_SIGNS.items()}
    names = sorted({name for found in told.values() for name in found})
    return [
        SinkStatus(name, **{sign: found.get(name, 0) for sign, found in told.items()}, wait_s=0.0, last_error=None)
        for name in names
    ]
