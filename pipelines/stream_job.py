"""The streaming job as one Beam pipeline: sources, the graph, files and sinks."""

from __future__ import annotations

import zlib
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Final, Literal

import apache_beam as beam

from pipelines import graph
from pipelines.sources.uri import source_name
from pipelines.stations import StationDoFn
from pipelines.steps import address
from pipelines.stream_outputs import OUT, DeadLetterFiles, SinkStations, VerdictFiles
from pipelines.stream_source import LiveOptions, follow
from pipelines.stream_timeline import RAISED, ROWS

#: shards of a stage on one machine: each step of the source costs a message a pair of shards
LOCAL_SHARDS: Final = 1


@dataclass(frozen=True)
class StreamJob:
    """What is watched, and where results go; plain data.

    Attributes:
        sources: their URIs.
        sinks: their URIs; none: incidents go nowhere.
        state: folder of the sinks' outboxes, and of dead letters where there is no output.
        output: for verdicts and dead letters; None: no verdicts.
        verdicts: which are written.
        live: how sources are followed.
    """

    sources: tuple[str, ...]
    sinks: tuple[str, ...]
    state: Path
    output: Path | None = None
    verdicts: Literal["anomalous", "all"] = "anomalous"
    live: LiveOptions = field(default_factory=LiveOptions)

    @property
    def name(self) -> str:
        """Begins the names of part files; the same for the same sources."""
        return f"stream-{zlib.crc32(repr(sorted(self.sources)).encode()):08x}"


def build(pipeline: Any, job: StreamJob, plan: graph.Plan) -> None:
    """Wire the whole job.

    Args:
        pipeline: to build in.
        job: what is watched, and where results go.
        plan: the folds; its origins are set here.
    """
    names = tuple(source_name(uri) for uri in job.sources)
    plan = replace(plan, origins=names, spool=None)
    read = (
        pipeline
        | "Sources" >> beam.Create(list(job.sources))
        | "Apart" >> beam.Reshuffle()
        | "Read" >> follow(job.live)
    )
    folder = job.output or job.state
    dead = DeadLetterFiles(str(folder / "dead-letter"), job.name, names)
    _ = read.dead | "To dead letters" >> address((), 1) | "Dead letters" >> _station("dead letters", dead)
    judged = graph.judge(read[ROWS], plan)
    if job.output is not None:
        signed = graph.speakers(graph.INCIDENT, ROWS, plan) + graph.speakers(graph.CALLER, ROWS, plan)
        files = VerdictFiles(str(folder / "verdicts"), job.name, job.verdicts, signed)
        parts = [part | f"To verdicts {number}" >> address((), 1) for number, part in enumerate(judged.verdicts)]
        _ = parts | "All verdicts" >> beam.Flatten() | "Write verdicts" >> _station("verdicts", files)
    if job.sinks:
        sinks = SinkStations(job.sinks, str(job.state / "sinks"), graph.speakers(graph.INCIDENT, RAISED, plan))
        _ = judged.incidents | "To sinks" >> address((), 1) | "Sinks" >> _station("sinks", sinks)


def _station(name: str, stations: Any) -> Any:
    return beam.ParDo(StationDoFn(name, stations, OUT))
