"""Beam's runners by name: which can stream, and what each must be told."""

from __future__ import annotations

import tempfile
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from models.errors import InputError
from pipelines.lean_imports import import_file_systems

#: no runner of Beam, but pipelines/engine.py in this process
EMBEDDED: Final = "embedded"
#: these hold results back until their input ends
BOUNDED_ONLY: Final = ("fnapirunner", "directrunner", "bundlebaseddirectrunner", "switchingdirectrunner")
#: these stream; by the name that Beam knows
STREAMING: Final = ("PrismRunner", "FlinkRunner", "PortableRunner", "DataflowRunner")
#: keep what a worker has written through their own crash, so that a source may be told what was dealt with
DURABLE: Final = ("FlinkRunner", "DataflowRunner")
#: a bundle that Prism 2.77 splits lets another bundle of the same key run beside it, and state is lost
#: (docs/decisions/0013)
_PRISM_WHOLE_BUNDLES: Final = "prism_disable_sdf_split"
#: what Flink is told unless the user says otherwise (docs/decisions/0032). Without checkpoints a restart begins anew,
#: and Beam's runner ends sources at once, with what a splittable step left for later. What a bundle gave by the time of
#: a checkpoint would wait in its step for the next message; and results leave a worker with their bundle, which Flink
#: keeps open for 10 s
_FLINK_STREAM: Final = (
    "--checkpointing_interval=10000",
    "--finish_bundle_before_checkpointing",
    "--max_bundle_time_mills=200",
)
#: Flink within its job server keeps checkpoints in memory, 5 MB of a step at most, and restarts a job whose step has
#: more for ever (docs/decisions/0032). Who says one of these has seen to that
_KEPT_ELSEWHERE: Final = ("--state_backend", "--state_backend_storage_path", "--flink_conf_dir")
#: these answer who asks for a job before it runs, and Beam then takes its patience with an answer, 300 s, for that of
#: the whole job: it ended after five minutes
_ASKED_EARLY: Final = ("PrismRunner", "PortableRunner")
#: s; longer than a process lives
_FOREVER_S: Final = 10 * 365 * 86_400
#: s within which a job server that the user named has to answer
_ANSWERS_S: Final = 60.0
#: ms after which a worker of the local runner sends what it has written, from a thread beside the one that writes:
#: never, since it does so every 10 MB and with the bundle (docs/decisions/0053). For 0 Beam takes its own second
_NEVER_MS: Final = -1
#: how Beam begins to say that it could not download a runner
_NOT_FETCHED: Final = "Unable to fetch remote"


def runner_of(asked: str, beam: Sequence[str]) -> str:
    """The runner that was asked for, by an option or among Beam's words.

    >>> runner_of("embedded", ["--runner=prismrunner"])
    'PrismRunner'
    """
    for number, word in enumerate(beam):
        if word == "--runner" or word.startswith("--runner="):
            asked = word.partition("=")[2] or [*beam, ""][number + 1]
    known = {name.lower(): name for name in (*STREAMING, EMBEDDED)}
    return known.get(asked.lower(), asked)


def stream_arguments(runner: str, beam: Sequence[str]) -> list[str]:
    """Beam's words for a streaming job.

    Args:
        runner: as ``runner_of`` gives it.
        beam: what the user said.

    Raises:
        InputError: the runner can't stream, or nobody knows it.
    """
    if runner.lower() in BOUNDED_ONLY:
        raise InputError(
            f"{runner} can't stream: it holds results back until its input ends.",
            expected="no --runner, or one of " + ", ".join(STREAMING),
            received=runner,
            hint="Leave it out.",
        )
    if runner not in STREAMING:
        raise InputError(
            "No such runner is known here.", expected="embedded, or one of " + ", ".join(STREAMING), received=runner
        )
    words = [*arguments(runner, _without_runner(beam)), "--streaming"]
    if runner == "FlinkRunner":
        said = {word.partition("=")[0] for word in words}
        words += [word for word in _FLINK_STREAM if word.partition("=")[0] not in said]
    return words


def refuse_beam_options(beam: Sequence[str]) -> None:
    """Refuse words for Beam where there is no runner of Beam.

    Raises:
        InputError: there are some.
    """
    if _without_runner(beam):
        raise InputError(
            "Options of Beam mean nothing without one of its runners.",
            expected="--runner PrismRunner, or another that streams",
            received=" ".join(beam),
        )


def arguments(runner: str, beam: Iterable[str]) -> list[str]:
    """Beam's words for a runner, with what it must be told."""
    words = [f"--runner={runner}", *beam]
    if runner == "PrismRunner":
        words.append(f"--experiments={_PRISM_WHOLE_BUNDLES}")
    return words


def begin(pipeline: Any) -> Any:
    """Run a pipeline.

    Returns:
        Beam's result.

    Raises:
        InputError: the runner's program is not here, and Beam can't fetch it; or nothing answers where the user said
            that a job server does.
    """
    name = type(pipeline.runner).__name__
    if name.lower() not in BOUNDED_ONLY:
        # it may stage files wherever its options say
        import_file_systems()
    else:
        _send_whole_elements()
    _must_answer(pipeline.options)
    if name in _ASKED_EARLY:
        _be_patient(pipeline.options)
    try:
        return pipeline.run()
    except RuntimeError as error:
        if not str(error).startswith(_NOT_FETCHED):
            raise
        raise InputError(
            "The runner can't be fetched.",
            expected="a way to the network, or the runner's program on this machine",
            received=str(error).partition(". Also")[0],
            hint="Name the program behind '--': --prism_location=FILE, or --flink_job_server_jar=FILE "
            "(docs/deploy.md).",
        ) from None


@contextmanager
def checkpoints_kept(runner: str, beam: Sequence[str]) -> Iterator[list[str]]:
    """More words for a Flink within its job server, where the user said nothing of its checkpoints; else none.

    They name a folder that is there until the job has ended.

    Args:
        runner: as ``runner_of`` gives it.
        beam: what the user said.
    """
    if runner != "FlinkRunner" or not _keeps_in_memory(beam):
        yield []
        return
    with tempfile.TemporaryDirectory(prefix="lonetree-flink-", ignore_cleanup_errors=True) as folder:
        yield ["--state_backend=filesystem", f"--state_backend_storage_path={Path(folder).as_uri()}"]


def _keeps_in_memory(beam: Sequence[str]) -> bool:
    from apache_beam.options.pipeline_options import FlinkRunnerOptions, PipelineOptions, PortableOptions

    if any(word.partition("=")[0] in _KEPT_ELSEWHERE for word in beam):
        return False
    options = PipelineOptions([*beam])
    master, endpoint = options.view_as(FlinkRunnerOptions).flink_master, options.view_as(PortableOptions).job_endpoint
    return master == "[local]" or (master == "[auto]" and not endpoint)


def _send_whole_elements() -> None:
    """Keep Beam 2.77's local runner from sending an element of which half is written.

    Its workers send what they have once a second, and don't wait until the element that is being written is whole: the
    reader of the half takes some of its bytes for a number of windows, and makes a list of so many.
    """
    from apache_beam.runners.portability.fn_api_runner import worker_handlers

    worker_handlers.DATA_BUFFER_TIME_LIMIT_MS = _NEVER_MS


def _must_answer(options: Any) -> None:
    """Look for the job server that the user named; Beam would wait for it for minutes, or for ever, and say nothing."""
    from apache_beam.options.pipeline_options import PortableOptions

    endpoint = options.view_as(PortableOptions).job_endpoint
    if not endpoint or endpoint == "embed":
        return
    import grpc

    with grpc.insecure_channel(endpoint) as channel:
        try:
            grpc.channel_ready_future(channel).result(timeout=_ANSWERS_S)
        except grpc.FutureTimeoutError:
            raise InputError(
                f"No job server answered within {_ANSWERS_S:.0f} s.",
                expected="--job_endpoint=HOST:PORT, where a job server runs",
                received=endpoint,
            ) from None


def _be_patient(options: Any) -> None:
    """Wait for the end of a job as long as it takes, unless the user named another time."""
    from apache_beam.options.pipeline_options import PipelineOptions, PortableOptions

    portable = options.view_as(PortableOptions)
    if portable.job_server_timeout == PipelineOptions([]).view_as(PortableOptions).job_server_timeout:
        portable.job_server_timeout = _FOREVER_S


def same_process(runner: str, options: Any) -> bool:
    """Whether workers are threads of the process that starts the job.

    Args:
        runner: as ``runner_of`` gives it.
        options: Beam's.
    """
    from apache_beam.options.pipeline_options import PortableOptions

    environment = options.view_as(PortableOptions).environment_type
    return environment == "LOOPBACK" or (runner == "PrismRunner" and not environment)


def _without_runner(beam: Sequence[str]) -> list[str]:
    kept: list[str] = []
    skip = False
    for word in beam:
        if skip:
            skip = False
        elif word == "--runner":
            skip = True
        elif not word.startswith("--runner="):
            kept.append(word)
    return kept
