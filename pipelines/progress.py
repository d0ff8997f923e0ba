"""How a job says how far it is: one call, made as often as the job likes; whoever listens decides what to show."""

from __future__ import annotations

from typing import Protocol


class Progress(Protocol):
    """Takes word of how far a job is. Called from any thread; cheap enough for every batch."""

    def __call__(self, stage: str, done: float, total: float | None = None, unit: str = "") -> None:
        """Say how far a stage is.

        Args:
            stage: what is being done, as a person would say it: "reading logs". A new name begins a new stage.
            done: how much of it is done, from 0, in ``unit``.
            total: how much there is, or None while nobody knows.
            unit: what is counted, in the plural: "files", "invocations", "days".
        """
        ...


def silent(stage: str, done: float, total: float | None = None, unit: str = "") -> None:
    """The progress of a job that nobody watches."""
