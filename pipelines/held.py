"""Folds that stay in this process, so that Beam's steps carry a name and not what was learned.

Beam packs a step with all that it holds and unpacks it again for every bundle. For the state of a trained model that
takes longer than judging a day with it. Only runners whose workers are threads of this process can do without.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Final

from detectors.timeline import Fold, FoldFactory
from models.errors import InputError
from pipelines.graph import Plan, aside_of

_held: Final[dict[str, FoldFactory]] = {}


@dataclass(frozen=True)
class Held:
    """The name of folds that this process holds."""

    name: str

    @property
    def aside(self) -> tuple[str, ...]:
        """Columns that the folds fetch for few rows."""
        return aside_of(_held[self.name])

    def make(self, shard: int, shards: int) -> Fold:
        """The fold of one shard.

        Raises:
            InputError: in another process, or after the run.
        """
        folds = _held.get(self.name)
        if folds is None:
            raise InputError(
                "These folds are not here.",
                expected="a worker that is a thread of the process that began the run",
                received="another process",
                hint="Name the runner with --runner, so that what was learned travels with the steps.",
            )
        return folds.make(shard, shards)


@contextmanager
def held(plan: Plan) -> Iterator[Plan]:
    """The plan with its folds held here, for as long as the context lasts."""
    names: list[str] = []

    def hold(folds: FoldFactory) -> Held:
        names.append(uuid.uuid4().hex)
        _held[names[-1]] = folds
        return Held(names[-1])

    try:
        incident = None if plan.incident is None else hold(plan.incident)
        yield replace(plan, function=hold(plan.function), caller=hold(plan.caller), incident=incident)
    finally:
        for name in names:
            _held.pop(name, None)
