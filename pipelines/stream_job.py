"""The streaming job as one Beam pipeline: sources, the graph, files and sinks.

sources ─► messages ─► the graph (pipelines/graph.py) ─► verdicts ─► part files
└► dead letters ─► part files                   └► incidents ─► sinks
"""

from __future__ import annotations

import logging
import tempfile
import threading
import time
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Final, Literal

import apache_beam as beam
import grpc
from apache_beam.metrics.metric import MetricsFilter
from apache_beam.options.pipeline_options import PipelineOptions

from models.errors import LonetreeError
from pipelines import graph
from pipelines.beam_runners import DURABLE, begin, checkpoints_kept, same_process, stream_arguments
from pipelines.held import held
from pipelines.jobs import counters
from pipelines.sources.uri import source_name
from pipelines.stations import ENDED, METRICS, StationDoFn
from pipelines.steps import address
from pipelines.stream_outputs import OUT, DeadLetterFiles, SinkStations, VerdictFiles, close_sinks
from pipelines.stream_source import POLLS, SOURCES, LiveOptions, follow
from pipelines.stream_timeline import RAISED, ROWS

#: shards of a stage on one machine: each step of the source costs a message a pair of shards
LOCAL_SHARDS: Final = 1
#: between two looks at the metrics, s
TELL_S: Final = 5.0
#: names of stations beside those of the graph; that of the sinks also names the folder of their outboxes
SINKS: Final = "sinks"
_VERDICTS: Final = "verdicts"
_LETTERS: Final = "dead-letter"
_LOOK_S: Final = 0.2
#: the counters of a stream that has ended may come so much later, s: a runner looks at them now and then
COUNTERS_S: Final = 20.0
#: a runner may take so long to stop, s
_CANCEL_S: Final = 30.0
#: no source was asked for so long: nobody is there who could, s; one query of Azure Monitor may take 630
SILENT_S: Final = 900.0
#: changes of the count from which on it is believed: some runners tell counters seldom, or not at all
_BEATS: Final = 2

_log = logging.getLogger(__name__)


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
        expected_false: incidents a day that are to be expected of the version that begins; None: not known.
        marks: folder where each step that ends the stream leaves a file when it has heard the end; None: nowhere.
    """

    sources: tuple[str, ...]
    sinks: tuple[str, ...]
    state: Path
    output: Path | None = None
    verdicts: Literal["anomalous", "all"] = "anomalous"
    live: LiveOptions = field(default_factory=LiveOptions)
    expected_false: float | None = None
    marks: Path | None = None

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
    dead = DeadLetterFiles(str(folder / _LETTERS), job.name, names)
    _ = read.dead | "To dead letters" >> address((), 1) | "Dead letters" >> _station(_LETTERS, dead, job)
    judged = graph.judge(read[ROWS], plan)
    if job.output is not None:
        signed = graph.speakers(graph.INCIDENT, ROWS, plan) + graph.speakers(graph.CALLER, ROWS, plan)
        files = VerdictFiles(str(folder / _VERDICTS), job.name, job.verdicts, signed)
        parts = [part | f"To verdicts {number}" >> address((), 1) for number, part in enumerate(judged.verdicts)]
        _ = parts | "All verdicts" >> beam.Flatten() | "Write verdicts" >> _station(_VERDICTS, files, job)
    if job.sinks:
        raised = graph.speakers(graph.INCIDENT, RAISED, plan)
        sinks = SinkStations(job.sinks, str(job.state / SINKS), raised, job.expected_false)
        _ = judged.incidents | "To sinks" >> address((), 1) | "Sinks" >> _station(SINKS, sinks, job)


def run(
    job: StreamJob,
    plan: graph.Plan,
    runner: str,
    beam_args: Sequence[str] = (),
    *,
    stop: threading.Event | None = None,
    told: Callable[[Mapping[str, int]], None] | None = None,
) -> tuple[bool, dict[str, int]]:
    """Run the job until its sources end, or until told to stop.

    Args:
        job: what is watched, and where results go.
        plan: the folds.
        runner: Beam's name of a runner that streams.
        beam_args: more options of Beam.
        stop: tells to stop.
        told: is told all counters and gauges now and then; none where the runner does not answer.

    Returns:
        Whether the end was reached, and the counters; with them how far each source trails the clock, s.

    Raises:
        InputError: the runner can't stream.
        LonetreeError: the runner says that it is done, and is not.
    """
    job = replace(job, live=replace(job.live, commit=runner in DURABLE))
    stop = stop or threading.Event()
    with ExitStack() as stay:
        kept = stay.enter_context(checkpoints_kept(runner, beam_args))
        options = PipelineOptions([*stream_arguments(runner, beam_args), *kept])
        if runner in DURABLE and job.live.until_idle_s is not None:
            job = replace(job, marks=Path(stay.enter_context(_marks_in(job.state))))
        if same_process(runner, options):
            plan = stay.enter_context(held(plan))
        # where workers are threads of this process, nobody else gives the sinks their last chance
        stay.callback(close_sinks, str(job.state / SINKS))
        pipeline = beam.Pipeline(options=options)
        build(pipeline, job, plan)
        result = begin(pipeline)
        waiting = _Waiting(result)
        looked = time.monotonic()
        pulse = Pulse(looked)
        while not waiting.done.wait(_LOOK_S):
            if stop.is_set():
                result.cancel()
                waiting.done.wait(_CANCEL_S)
                return False, _plain(_counters(result))
            if job.marks is not None and all((job.marks / name).exists() for name in _last_of(job)):
                everything = _counters_with_all(result, job, plan)
                result.cancel()
                waiting.done.wait(_CANCEL_S)
                return True, _plain(everything)
            if time.monotonic() - looked < TELL_S:
                continue
            looked, counted = time.monotonic(), _counters(result)
            # a source that may end is not asked any more while the rest is judged; a durable runner has its own watch
            watched = job.live.until_idle_s is None and runner not in DURABLE
            if watched and not pulse.beats(counted.get(POLLS, 0), looked):
                result.cancel()
                raise LonetreeError(
                    "The runner has no worker any more.",
                    expected="sources that are asked again and again",
                    received=f"none that was asked in the last {SILENT_S:.0f} s",
                    hint="Start again: what was told is not told twice (docs/deploy.md).",
                    retry=True,
                )
            if told is not None:
                told(counted)
        waiting.raise_for_failure()
        everything = _counters(result)
    lacking = set(ends_of(job, plan)) - _ended(everything)
    if lacking and job.live.until_idle_s is not None:
        raise LonetreeError(
            "The runner says that it is done, but messages were lost on the way.",
            expected="each step to hear that its input has ended",
            received=f"no end at: {', '.join(sorted(lacking))}",
            hint="Start again; what was told is not told twice. If it happens again, leave --runner out.",
            retry=True,
        )
    return True, _plain(everything)


def ends_of(job: StreamJob, plan: graph.Plan) -> dict[str, int]:
    """Whoever says that it has heard the end, or found it, and how often that is said: by each source and shard."""
    found = {SOURCES: len(job.sources), graph.FUNCTION: plan.shards, graph.CALLER: plan.shards, graph.INCIDENT: 1}
    if plan.incident is None:
        del found[graph.INCIDENT]
    return found | dict.fromkeys(_last_of(job), 1)


def _last_of(job: StreamJob) -> set[str]:
    """The stations behind which there is nothing: what they have heard, all have."""
    return {_LETTERS} | ({_VERDICTS} if job.output is not None else set()) | ({SINKS} if job.sinks else set())


class Pulse:
    """Tells by the count of polls whether workers live: where one dies alone, a runner may wait for it for ever.

    Args:
        now_s: seconds that never go back.
    """

    def __init__(self, now_s: float) -> None:
        self._polls = self._changes = 0
        self._since_s = now_s

    def beats(self, polls: int, now_s: float) -> bool:
        """Take a count; False where it has stood still for too long, and did not do so from the start."""
        if polls not in (0, self._polls):
            self._polls, self._since_s = polls, now_s
            self._changes += 1
        return self._changes < _BEATS or now_s - self._since_s < SILENT_S


class _Waiting:
    """Waits for a pipeline in a thread of its own, since Beam's way to wait can't be interrupted."""

    def __init__(self, result: Any) -> None:
        self.done = threading.Event()
        self._failure: BaseException | None = None
        threading.Thread(target=self._wait, args=(result,), name="pipeline", daemon=True).start()

    def _wait(self, result: Any) -> None:
        try:
            result.wait_until_finish()
        except BaseException as error:
            self._failure = error
        finally:
            self.done.set()

    def raise_for_failure(self) -> None:
        """Raise what ended the pipeline, if it was no end of its own."""
        if isinstance(self._failure, grpc.RpcError):
            raise LonetreeError(
                "The runner has gone.",
                expected="one that lives as long as the job",
                received=f"{getattr(self._failure, 'details', str)()}",
                hint="Prism ends with its workers. Start again: what was told is not told twice (docs/deploy.md).",
                retry=True,
            ) from self._failure
        if self._failure is not None:
            raise self._failure


def _counters(result: Any) -> dict[str, int]:
    # Beam asks the runner once and remembers the answer
    result._metrics = None
    try:
        lags = result.metrics().query(MetricsFilter().with_namespace(METRICS))["gauges"]
        # a gauge that was named and not set yet has no value
        found = {lag.key.metric.name: int(lag.result.value) for lag in lags if lag.result is not None}
        return {**counters(result), **found}
    except Exception:  # a runner that is going down has no answer
        return {}


def _counters_with_all(result: Any, job: StreamJob, plan: graph.Plan) -> dict[str, int]:
    """The counters, when they tell of the end of all sources and shards, or as they are after some time.

    A runner that is asked step by step may know of later steps what it did not know yet when asked of earlier ones.
    """
    deadline = time.monotonic() + COUNTERS_S
    ends = ends_of(job, plan)
    while True:
        found = _counters(result)
        lacking = [name for name, number in ends.items() if found.get(f"{ENDED}{name}", 0) < number]
        if not lacking:
            return found
        if time.monotonic() > deadline:
            _log.warning("the runner has not told all that was counted: nothing of the end of %s", ", ".join(lacking))
            return found
        time.sleep(_LOOK_S)


def _ended(counted: Mapping[str, int]) -> set[str]:
    return {name.removeprefix(ENDED) for name in counted if name.startswith(ENDED)}


@contextmanager
def _marks_in(folder: Path) -> Iterator[str]:
    """A folder for the marks of this run alone, which all workers see."""
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".ended-", dir=folder.absolute()) as marks:
        yield marks


def _plain(counted: dict[str, int]) -> dict[str, int]:
    """Without the counters that only tell which stations have ended, and that workers live."""
    return {name: count for name, count in counted.items() if name != POLLS and not name.startswith(ENDED)}


def _station(name: str, stations: Any, job: StreamJob) -> Any:
    return beam.ParDo(StationDoFn(name, stations, OUT, None if job.marks is None else str(job.marks / name)))
