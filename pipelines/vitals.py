"""How a streaming job is: what it counted, how far it is, and whether a person should look at it.

The status line, the JSON log, the metrics and ``/healthz`` all show this one thing.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from pipelines.sinks.fanout import SinkStatus
from pipelines.sinks.lines import utc_text
from pipelines.sources.base import from_microseconds

#: a watermark that stands for so long while rows wait for it is a fault, s
STALLED_S: Final = 600.0
#: a sink that has failed for so long needs a person, s
SINK_DEAD_S: Final = 900.0
#: a runner that tells nothing for so long is not well, s: it is asked every few seconds
UNHEARD_S: Final = 120.0

#: signs that only a job on a runner of Beam has, and those that only the embedded one has
OF_RUNNERS: Final = frozenset({"unheard_s", "unasked_s"})
OF_EMBEDDED: Final = frozenset({"checkpoints", "checkpoint_bytes", "checkpoint_s", "notes", "note_s"})


@dataclass
class Vitals:
    """Plain numbers; counters count since the job's state began, restarts included."""

    #: records that stand for an invocation, or could not be read
    read: int = 0
    scored: int = 0
    duplicates: int = 0
    dead_letter: int = 0
    late: int = 0
    ignored: int = 0
    #: tellings of incidents, and incidents
    tellings: int = 0
    incidents: int = 0
    #: tellings of incidents that people's feedback expects, and that went nowhere
    suppressed: int = 0
    model_version: str = ""
    #: versions taken and refused, since the start
    swaps: int = 0
    refused_models: int = 0
    model_trouble: str | None = None
    #: event time below which all is judged, us; None before there is one
    watermark_us: int | None = None
    #: how far it trails the clock, s
    lag_s: float | None = None
    #: rows that wait for the watermark
    pending: int = 0
    #: rows a second, over the last moments
    events_per_second: float = 0.0
    checkpoints: int = 0
    checkpoint_bytes: int = 0
    checkpoint_s: float = 0.0
    checkpoint_trouble: str | None = None
    #: notes added to checkpoints since the start, and how long the last one took, s
    notes: int = 0
    note_s: float = 0.0
    #: source: whether it is caught up and well
    sources: dict[str, bool] = field(default_factory=dict)
    #: source: why it can't be read
    source_trouble: dict[str, str] = field(default_factory=dict)
    #: source: where it is, in a few words
    cursors: dict[str, str] = field(default_factory=dict)
    #: source: the same as a number for each unit
    positions: dict[str, dict[str, float]] = field(default_factory=dict)
    #: what the logs don't let anyone see, a sentence each; None while too little came to say so
    blind_spots: list[str] | None = None
    sinks: list[SinkStatus] = field(default_factory=list)
    #: how long the watermark has stood while rows wait, s
    standing_s: float = 0.0
    #: how long each failing sink has failed, s
    sinks_down_s: dict[str, float] = field(default_factory=dict)
    #: how long each source has given nothing and not been at its end, s
    sources_down_s: dict[str, float] = field(default_factory=dict)
    #: with a runner of Beam: how long it has told nothing, and how long no worker of it has asked a source, s
    unheard_s: float = 0.0
    unasked_s: float = 0.0
    #: signs that such a job does not have, so that nobody shows them
    lacking: frozenset[str] = OF_RUNNERS


#: counters that go on after a restart
KEPT: Final = ("read", "dead_letter", "ignored", "tellings", "incidents", "suppressed")


def troubles(vitals: Vitals, stalled_s: float = STALLED_S, sink_dead_s: float = SINK_DEAD_S) -> list[str]:
    """Why a person should look, one sentence each; none where all is well."""
    found = []
    if vitals.unheard_s > UNHEARD_S:
        found.append(f"The runner has told nothing for {vitals.unheard_s:.0f} s; numbers are of then.")
    if vitals.unasked_s > stalled_s:
        found.append(f"No worker has asked a source for {vitals.unasked_s:.0f} s.")
    if vitals.standing_s > stalled_s:
        found.append(f"The watermark has stood for {vitals.standing_s:.0f} s while {vitals.pending:,} rows wait.")
    found += [f"The source {name} fails: {why}" for name, why in sorted(vitals.source_trouble.items())]
    found += [
        f"The source {name} has not answered for {down:.0f} s."
        for name, down in sorted(vitals.sources_down_s.items())
        if down > stalled_s
    ]
    found += [
        f"The sink {name} has failed for {down:.0f} s."
        for name, down in sorted(vitals.sinks_down_s.items())
        if down > sink_dead_s
    ]
    found += [f"The sink {sink.name} gave up {sink.lost} incidents." for sink in vitals.sinks if sink.lost]
    if vitals.checkpoint_trouble is not None:
        found.append(f"The state can't be saved: {vitals.checkpoint_trouble}")
    return found


def as_json(vitals: Vitals) -> dict[str, Any]:
    """One line of the log."""
    apart = {"sinks", "sinks_down_s", "positions", "blind_spots", "lacking"} | vitals.lacking
    shown = {name: value for name, value in vars(vitals).items() if name not in apart}
    # the sentences stand in lines of their own, once
    shown["blind_spots"] = None if vitals.blind_spots is None else len(vitals.blind_spots)
    shown["sinks"] = {
        sink.name: {"waiting": sink.pending, "delivered": sink.delivered, "refused": sink.refused, "lost": sink.lost}
        | ({"error": sink.last_error} if sink.last_error else {})
        for sink in vitals.sinks
    }
    shown["healthy"] = not troubles(vitals)
    return shown


def status_line(vitals: Vitals) -> str:
    """One line for a person."""
    lag = "-" if vitals.lag_s is None else _span(vitals.lag_s)
    parts = [
        f"{vitals.events_per_second:,.0f} events/s",
        f"lag {lag}",
        f"{vitals.read:,} read",
        f"{vitals.late:,} late",
        f"{vitals.duplicates:,} duplicates",
        f"{vitals.dead_letter:,} dead letters",
        f"{vitals.incidents:,} incidents",
        vitals.model_version or "no version",
        *(f"{name} at {place}" for name, place in sorted(vitals.cursors.items())),
    ]
    waiting = sum(sink.pending for sink in vitals.sinks)
    if waiting:
        parts.append(f"{waiting:,} wait for sinks")
    return " · ".join([*parts, *troubles(vitals)])


def _span(seconds: float) -> str:
    for unit, length in (("d", 86_400.0), ("h", 3_600.0), ("min", 60.0)):
        if abs(seconds) >= 2 * length:
            return f"{seconds / length:.0f} {unit}"
    return f"{seconds:.0f} s"


def position_of(cursor: Mapping[str, Any]) -> dict[str, float]:
    """Where a source is, a number for each unit: files and bytes, partitions and messages, or tables and seconds.

    Seconds are those since 1970 up to which all that was ingested has been read.
    """
    if cursor.get("kind") == "tail":
        blobs = [blob for blob in cursor.get("blobs", {}).values() if isinstance(blob, dict)]
        return {"blobs": len(cursor.get("blobs", {})), "bytes": sum(int(blob.get("offset", 0)) for blob in blobs)}
    if cursor.get("kind") == "kafka":
        offsets = [int(offset) for topic in cursor.get("offsets", {}).values() for offset in topic.values()]
        return {"partitions": len(offsets), "messages": sum(offsets)}
    if cursor.get("kind") == "azure-monitor":
        reached = [int(pull.get("to_us", 0)) for pull in cursor.get("pulls", {}).values() if isinstance(pull, dict)]
        return {"tables": len(reached), "ingested_seconds": min(reached, default=0) / 1e6}
    return {}


def place_of(cursor: Mapping[str, Any]) -> str:
    """Where a source is, in a few words."""
    return place_at(position_of(cursor))


def place_at(position: Mapping[str, float]) -> str:
    """The same, of what ``position_of`` gave."""
    if "ingested_seconds" in position:
        reached = utc_text(from_microseconds(round(position["ingested_seconds"] * 1e6)))[:19]
        return f"{position['tables']:.0f} tables, ingested to {reached}Z"
    return ", ".join(f"{number:,.0f} {unit}" for unit, number in position.items()) or "somewhere"
