"""Bounded jobs: a plan over files, run to its end on this machine or on a Beam runner."""

from __future__ import annotations

import gc
import logging
import threading
import time
import uuid
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Final

import apache_beam as beam
from apache_beam.options.pipeline_options import DirectOptions, PipelineOptions, StandardOptions

from detectors.blind_spots import blind_spots
from detectors.coverage import PREFIX, coverage_of
from detectors.timeline import FoldFactory
from pipelines import graph, meter
from pipelines.beam_runners import begin
from pipelines.held import held
from pipelines.lexicon import lexicon
from pipelines.memory import reused
from pipelines.outputs import (
    DEAD_LETTERS,
    VERDICTS,
    CheckParts,
    JsonParts,
    Staging,
    VerdictParts,
    Which,
    check_output,
    read_checks,
)
from pipelines.parcels import Spooled
from pipelines.progress import Progress, silent
from pipelines.read_parts import read_parts
from pipelines.sources.files import FileRef
from pipelines.stations import METRICS
from pipelines.steps import FileReader, Reader, shard

#: s between two words of progress
_BEAT_S: Final = 0.25
#: threads; reading, sorting and scoring leave Python's lock, so that two keep two cores busy
WORKERS: Final = 2

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Result:
    """What a run came to."""

    #: what ``run.json`` holds
    run: dict[str, Any]
    #: what ``incidents.ndjson`` holds
    incidents: list[dict[str, Any]]


def run_bounded(
    refs: Sequence[FileRef],
    plan: graph.Plan,
    output: Path,
    *,
    reader: Reader | None = None,
    verdicts: Which = "anomalous",
    workers: int = WORKERS,
    beam_args: Sequence[str] = (),
    progress: Progress = silent,
    about: Mapping[str, Any] | None = None,
) -> Result:
    """Judge all files, and put verdicts, incidents, dead letters and the account of the run into a folder.

    Args:
        refs: the files.
        plan: the folds; its ``spool`` is set here.
        output: a folder; results of an earlier run there are replaced, but only when this one has succeeded.
        reader: how files are read.
        verdicts: which are written.
        workers: threads of the local runner.
        beam_args: options for Beam; without ``--runner`` the local one for bounded input.
        progress: told how many files are read.
        about: added to ``run.json``.

    Raises:
        InputError: the output can't be written.
        KeyboardInterrupt: nothing was written and nothing is left behind.
    """
    check_output(output)
    began = time.monotonic()
    staging = Staging(output)
    run = uuid.uuid4().hex
    stay = ExitStack()
    meter.begin(run)
    try:
        options = local_options(beam_args, workers)
        pipeline = beam.Pipeline(options=options)
        # claim checks are only good on the machine that has the spool
        local = not _asks_for("--runner", beam_args)
        judged_plan = replace(plan, spool=str(staging.spool) if local else None, lanes=_lanes(options))
        judged_plan = stay.enter_context(held(judged_plan)) if _in_process(options) else judged_plan
        reader = reader or FileReader.of(None, plan.columns)
        if _in_process(options) and judged_plan.spool is not None and isinstance(reader, FileReader):
            stay.enter_context(lexicon(staging.spool))
            reader = replace(reader, options=replace(reader.options, coded=True))
        parts = [part for ref in refs for part in reader.parts(ref)]
        if not _in_process(options):
            parts = [_anywhere(part) for part in parts]
        lanes = _lanes(options) if local else workers
        read = read_parts(pipeline, parts, reader, run, lanes, staging.spool if local else None)
        judged = graph.judge(read.rows, judged_plan)
        folder = staging.folder
        _ = read.dead | "Dead letters" >> beam.ParDo(JsonParts(str(folder / DEAD_LETTERS)))
        for number, part in enumerate(judged.verdicts):
            _ = part | f"Write verdicts {number}" >> beam.ParDo(VerdictParts(str(folder / VERDICTS), verdicts))
        _ = judged.incidents | "Write incidents" >> beam.ParDo(JsonParts(str(folder / "incidents")))
        with _Told(run, len(refs), len(parts), progress), _few_collections(), reused():
            result = begin(pipeline)
            result.wait_until_finish()
        account = account_of(counters(result))
        seconds = time.monotonic() - began
        account |= {"seconds": round(seconds, 3), "events_per_second": round(account["read"] / max(seconds, 1e-9), 1)}
        account |= dict(about or {})
        whole, incidents = staging.publish(account)
        return Result(whole, incidents)
    finally:
        stay.close()
        meter.end(run)
        staging.remove()


def collect(
    refs: Sequence[FileRef],
    folds: FoldFactory,
    folder: Path,
    *,
    columns: tuple[str, ...] = (),
    reader: Reader | None = None,
    workers: int = WORKERS,
    beam_args: Sequence[str] = (),
    progress: Progress = silent,
) -> tuple[dict[str, Any], list[Spooled]]:
    """The first half of the graph alone: what the function timelines give, left in a folder for training to read.

    Args:
        refs: the files.
        folds: of the function timelines.
        folder: for the rows; the caller removes it when done.
        columns: that are kept, with those that ``folds`` needs; all where none is named.
        reader: how files are read.
        workers: threads of the local runner.
        beam_args: options for Beam; without ``--runner`` the local one for bounded input.
        progress: told how many files are read.

    Returns:
        The account of the run, and claim checks for all rows.
    """
    began = time.monotonic()
    run = uuid.uuid4().hex
    checks = folder / "checks"
    checks.mkdir(parents=True)
    meter.begin(run)
    try:
        options = local_options(beam_args, workers)
        pipeline = beam.Pipeline(options=options)
        reader = reader or FileReader()
        parts = [part for ref in refs for part in reader.parts(ref)]
        local = not _asks_for("--runner", beam_args)
        lanes = _lanes(options) if local else workers
        read = read_parts(pipeline, parts, reader, run, lanes, folder if local else None, every_operation=True)
        plan = graph.Plan(function=folds, caller=folds, columns=columns, spool=str(folder), lanes=lanes if local else 0)
        collated = graph.collate(read.rows, plan)
        _ = collated | "Keep" >> shard((), 1, str(folder)) | "Checks" >> beam.ParDo(CheckParts(str(checks)))
        with _Told(run, len(refs), len(parts), progress, "putting invocations in order"), _few_collections(), reused():
            result = begin(pipeline)
            result.wait_until_finish()
        account = account_of(counters(result))
        account["seconds"] = round(time.monotonic() - began, 3)
        return account, read_checks(checks)
    finally:
        meter.end(run)


def local_options(beam_args: Sequence[str], workers: int) -> PipelineOptions:
    """Beam's options: the local runner for bounded input unless another is asked for."""
    options = PipelineOptions(list(beam_args))
    standard = options.view_as(StandardOptions)
    if not _asks_for("--runner", beam_args):
        # DirectRunner would look for another runner to download
        standard.runner = "apache_beam.runners.portability.fn_api_runner.FnApiRunner"
        direct = options.view_as(DirectOptions)
        if not _asks_for("--direct_num_workers", beam_args):
            direct.direct_num_workers = workers
        if not _asks_for("--direct_running_mode", beam_args):
            direct.direct_running_mode = "multi_threading" if direct.direct_num_workers != 1 else "in_memory"
    return options


@contextmanager
def _few_collections() -> Iterator[None]:
    """Spare the garbage collector what lives as long as the run: modules, models and the pipeline.

    Each full collection would walk all of it, for a fifth of the time of a run.
    """
    gc.collect()
    gc.freeze()
    try:
        yield
    finally:
        gc.unfreeze()


def _anywhere(ref: FileRef) -> FileRef:
    """The same file for a worker that stands in another folder."""
    return ref if "://" in ref.path else replace(ref, path=str(Path(ref.path).absolute()))


def _in_process(options: PipelineOptions) -> bool:
    """Whether the workers are threads of this process."""
    local = "FnApiRunner" in (options.view_as(StandardOptions).runner or "")
    return local and options.view_as(DirectOptions).direct_running_mode in ("in_memory", "multi_threading")


def _lanes(options: PipelineOptions) -> int:
    """How many workers there are."""
    return max(int(options.view_as(DirectOptions).direct_num_workers or 0), 1)


def _asks_for(option: str, beam_args: Sequence[str]) -> bool:
    return any(argument == option or argument.startswith(f"{option}=") for argument in beam_args)


def counters(result: Any) -> dict[str, int]:
    """All of Lonetree's counters of a finished pipeline."""
    found: dict[str, int] = {}
    for counter in result.metrics().query()["counters"]:
        if counter.key.metric.namespace == METRICS:
            name = counter.key.metric.name
            # Prism has no result for a counter that was named and never raised
            found[name] = found.get(name, 0) + int(counter.result or 0)
    return found


def account_of(counted: dict[str, int], *, whole: bool = True) -> dict[str, Any]:
    """The account of a run: ``read`` = ``scored`` + ``dead_letter`` + ``duplicates``; details stand apart.

    Args:
        counted: the run's counters.
        whole: it has ended, and they count all of it: an account that doesn't add up is an error.
    """
    account: dict[str, Any] = {
        "read": counted.get("read", 0),
        "scored": counted.get("invocations", 0),
        "dead_letter": counted.get("dead_letter", 0),
        "duplicates": counted.get("duplicates", 0),
        "late": counted.get("late_function", 0),
    }
    known = {"read", "invocations", "dead_letter", "duplicates"}
    rest = {name: count for name, count in sorted(counted.items()) if name not in known}
    account |= {name: count for name, count in rest.items() if not name.startswith(("late_", PREFIX))}
    seen = coverage_of(counted)
    account["coverage"] = {name: share for name, share in asdict(seen).items() if share is not None}
    account["blind_spots"] = blind_spots(seen)
    if whole and account["read"] != account["scored"] + account["dead_letter"] + account["duplicates"]:
        _log.error("the account does not add up: %s", account)
    return account


class _Told:
    """Says how far a run is while it goes on."""

    def __init__(self, run: str, files: int, parts: int, progress: Progress, then: str = "judging invocations") -> None:
        self._run = run
        self._then = then
        self._parts = parts
        self._unit = "files" if parts == files else "parts of files"
        self._progress = progress
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._tell, name="progress", daemon=True)

    def __enter__(self) -> None:
        self._thread.start()

    def __exit__(self, *error: object) -> None:
        self._done.set()
        self._thread.join()

    def _tell(self) -> None:
        reading = True
        while True:
            done = self._done.wait(_BEAT_S)
            if reading:
                parts = meter.read(self._run).parts
                self._progress("reading logs", parts, self._parts, self._unit)
                reading = parts < self._parts
            else:
                self._progress(self._then, 0, None, "invocations")
            if done:
                return
