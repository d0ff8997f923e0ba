"""Versions of the model as a stream hears of them: a source announces one with its rows, and each shard takes it there.

So every shard changes between the same two messages, whatever the workers, and a shard that is taken over changes there
again. What is announced has been loaded and verified; each worker makes the folds from the registry.
"""

from __future__ import annotations

import threading
import time
import zlib
from dataclasses import dataclass
from typing import Final

from detectors.timeline import FoldFactory
from models.errors import InputError
from pipelines.champion import Champion, Judging
from pipelines.graph import CALLER, FUNCTION, INCIDENT, Plan
from pipelines.messages import SAID_AFTER


@dataclass(frozen=True)
class Announced:
    """Where announced versions come from; plain data.

    Attributes:
        models: the registry's folder, which all workers see.
        budget: false incidents a day.
        public_key: PEM; if given, only versions signed with its private key are taken.
        poll_s: how often the registry is asked for its champion, s.
        first: the label of what judges at the start.
        pseudonym_key: where the key is kept by which callers become pseudonyms.
    """

    models: str
    budget: float
    public_key: bytes | None
    poll_s: float
    first: str
    pseudonym_key: str | None = None

    def folds(self, label: str, stage: str) -> FoldFactory:
        """The folds of a stage as an announced version has them.

        Raises:
            ModelError: it can't be used any more.
        """
        plan = self._plan(label)
        folds = {FUNCTION: plan.function, CALLER: plan.caller, INCIDENT: plan.incident}[stage]
        if folds is None:
            raise InputError("This plan judges nothing.", expected="a plan with an incident timeline", received="none")
        return folds

    def _plan(self, label: str) -> Plan:
        with _lock:
            if (self, label) not in _plans:
                # one version at a time: those before it are not announced again but after a rollback
                for old in [key for key in _plans if key[0] == self]:
                    del _plans[old]
                champion = Champion(self.models, self.budget, self.public_key, self.pseudonym_key)
                _plans[self, label] = champion.load(label.partition(SAID_AFTER)[0]).plan
            return _plans[self, label]


class Herald:
    """Follows the champion for a process that reads sources."""

    def __init__(self, announced: Announced) -> None:
        self._champion = Champion(announced.models, announced.budget, announced.public_key, announced.pseudonym_key)
        self._poll_s = announced.poll_s
        self._looked_s = float("-inf")
        self.label = announced.first

    @property
    def refused(self) -> int:
        """Versions that it refused."""
        return self._champion.refused

    def look(self) -> str:
        """The label of what is to judge from here on; a champion that can't be used is refused, and said so once."""
        now_s = time.monotonic()
        if now_s - self._looked_s >= self._poll_s:
            self._looked_s = now_s
            judging = self._champion.changed()
            if judging is not None:
                self._champion.took(judging)
                self.label = label_of(judging)
        return self.label


_lock: Final = threading.Lock()
#: of this process
_plans: Final[dict[tuple[Announced, str], Plan]] = {}
_heralds: Final[dict[Announced, Herald]] = {}


def herald(announced: Announced) -> Herald:
    """The one of this process."""
    with _lock:
        if announced not in _heralds:
            _heralds[announced] = Herald(announced)
        return _heralds[announced]


def label_of(judging: Judging) -> str:
    """A version, and what people said of its incidents."""
    if not judging.feedback:
        return judging.version
    return f"{judging.version}{SAID_AFTER}{zlib.crc32(repr(judging.feedback).encode()):08x}"
