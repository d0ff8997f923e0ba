"""Beam's state of one step in plain lists, committed bundle by bundle, and lost with a bundle that fails."""

from __future__ import annotations

import copy
import random
from collections.abc import Iterable, Iterator
from typing import Any

import apache_beam as beam

from pipelines import stations
from pipelines.messages import Message
from pipelines.stations import StationDoFn


class Bag:
    def __init__(self) -> None:
        self.held: list[bytes] = []

    def add(self, item: bytes) -> None:
        self.held.append(item)

    def read(self) -> list[bytes]:
        # a bag promises no order
        return random.Random(len(self.held)).sample(self.held, len(self.held))

    def clear(self) -> None:
        self.held = []


class Cell:
    def __init__(self) -> None:
        self.value: bytes | None = None

    def read(self) -> bytes | None:
        return self.value

    def write(self, value: bytes) -> None:
        self.value = value


class Keyed:
    """Runs a step as a runner does: state by shard, a bundle at a time."""

    def __init__(self, step: StationDoFn) -> None:
        self._step = step
        self._states: dict[int, tuple[Bag, Bag, Cell]] = {}
        #: bytes added to or written into the state so far
        self.written = 0

    def bundle(self, elements: Iterable[tuple[int, Message]], *, fails: bool = False) -> list[tuple[str, Any]]:
        """(tag, element) of what it gave; nothing is kept of a bundle that fails."""
        before = copy.deepcopy(self._states)
        given: list[tuple[str, Any]] = []
        self._step.start_bundle()
        for shard, message in elements:
            log, saved, stamp = self._states.setdefault(shard, (Bag(), Bag(), Cell()))
            known = sum(map(len, log.held)) if log.held else 0
            given += list(_tagged(self._step.process((shard, message), log, saved, stamp)))
            grown = sum(map(len, log.held)) - known
            self.written += grown if grown > 0 else sum(map(len, saved.held))
        if fails:
            self._states = before
            return []
        return given

    def move(self) -> None:
        """Go on in another process, which has none of this one's memory."""
        stations._LIVE.clear()


def _tagged(given: Iterator[Any]) -> Iterator[tuple[str, Any]]:
    for one in given:
        yield (one.tag, one.value) if isinstance(one, beam.pvalue.TaggedOutput) else ("main", one)
