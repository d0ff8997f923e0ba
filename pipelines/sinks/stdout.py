"""Incidents on standard output: a few lines each for people, or JSON Lines for the next program."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import BinaryIO

from pipelines.sinks.base import DeliveryError, Incident
from pipelines.sinks.card import card
from pipelines.sinks.escape import terminal


def text_lines(incident: Incident) -> bytes:
    """Title, summary, facts and reasons, one a line, with nothing in them that a terminal would obey."""
    shown = card(incident)
    title = f"Update: {shown.title}" if shown.amended else shown.title
    lines = [terminal(title)]
    if shown.summary:
        lines.append("  " + terminal(shown.summary))
    lines.extend(f"  {label}: {terminal(value)}" for label, value in shown.facts)
    lines.extend(f"  why: {terminal(reason)}" for reason in shown.reasons)
    lines.append(f"  incident {terminal(shown.key)}")
    return "\n".join(lines).encode("utf-8", "replace")


@dataclass
class Stdout:
    """Writes each incident to a binary stream, standard output unless told, and flushes."""

    #: how an incident becomes bytes, without the last line break
    render: Callable[[Incident], bytes] = text_lines
    stream: BinaryIO | None = None
    name: str = "stdout"

    def send(self, incidents: Sequence[Incident]) -> None:
        """Write them; a closed pipe is a failure that can't be repaired by trying again."""
        stream = self.stream or sys.stdout.buffer
        for delivered, incident in enumerate(incidents):
            try:
                stream.write(self.render(incident) + b"\n")
                stream.flush()
            except (OSError, ValueError) as error:  # noqa: PERF203, incidents are few
                raise DeliveryError(
                    "Standard output can't be written.", received=str(error), delivered=delivered, retry=True
                ) from None

    def close(self) -> None:
        """Standard output is not ours to close."""
