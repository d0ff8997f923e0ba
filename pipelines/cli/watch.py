"""``lonetree watch``: judges logs as they come, day and night, and sends incidents to sinks."""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Literal

import click

from models.errors import InputError, LonetreeError
from pipelines.beam_runners import EMBEDDED, refuse_beam_options, runner_of
from pipelines.cli.console import printable
from pipelines.cli.options import (
    ABOVE_ZERO,
    FOLDER,
    FROM_ZERO,
    LogsCommand,
    beam_options,
    budget_option,
    models_option,
    pseudonym_option,
    refuse_given,
    value_option,
    verdicts_option,
)
from pipelines.cli.shown import Shown, served

if TYPE_CHECKING:
    from pipelines.vitals import Vitals
    from pipelines.watch import Watch

#: pause after a round that brought nothing, s
_PAUSE_S: Final = 1.0


@click.command("watch", cls=LogsCommand, short_help="Judge logs as they come; sends incidents to sinks.")
@click.option(
    "--source",
    "sources",
    metavar="URI",
    multiple=True,
    required=True,
    help="files:PATH, azure-monitor:WORKSPACE or kafka:TOPIC, with options behind '?'; may be repeated.",
)
@models_option
@click.option(
    "--sink",
    "sinks",
    metavar="URI",
    multiple=True,
    default=("stdout",),
    show_default=True,
    help="Where incidents go: stdout, ndjson:PATH, slack:env:NAME, … (docs/sinks.md); may be repeated.",
)
@budget_option
@value_option(
    "--state",
    "DIR",
    FOLDER,
    "Where the job keeps what it knows; the same folder goes on where it stopped.",
    default="watch-state",
)
@value_option(
    "--output",
    "DIR",
    FOLDER,
    "Where to write verdicts/ and dead-letter/; without it no verdicts, and dead letters beside the state.",
)
@verdicts_option
@value_option(
    "--allowed-lateness",
    "S",
    FROM_ZERO,
    "Seconds that rows may be out of order; it waits so long, and what comes later is marked late.",
    default=300.0,
)
@value_option(
    "--idle-after",
    "S",
    ABOVE_ZERO,
    "Seconds without news after which a source holds nobody back; more than the logs' age for recorded logs.",
    default=60.0,
)
@value_option(
    "--until-idle",
    "S",
    FROM_ZERO,
    "End as a replay does when nothing came for so many seconds; without it, it goes on for ever.",
)
@value_option(
    "--checkpoint-every",
    "S",
    ABOVE_ZERO,
    "Seconds between two checkpoints; incidents don't wait for one, what happened since is noted.",
    default=10.0,
)
@value_option("--poll-models", "S", ABOVE_ZERO, "Seconds between two looks for another champion.", default=15.0)
@value_option(
    "--demand-signature",
    "KEY",
    click.Path(dir_okay=False, path_type=Path),
    "A public key (PEM); only versions signed with its private key may judge.",
)
@pseudonym_option
@value_option("--http", "PORT", click.IntRange(0, 65535), "Serve /healthz and /metrics here.")
@value_option("--http-host", "HOST", click.STRING, "On which address.", default="127.0.0.1")
@value_option(
    "--runner",
    "NAME",
    click.STRING,
    "'embedded', or a runner of Beam that streams: PrismRunner, FlinkRunner, …; see below.",
    default="embedded",
)
@value_option(
    "--shards",
    "N",
    click.IntRange(min=1),
    "With a runner of Beam: parts of each stage, which may lie on several workers; never changes a result.",
    default=1,
)
def command(
    sources: tuple[str, ...],
    models: str | Path,
    sinks: tuple[str, ...],
    budget: float,
    state: Path,
    output: Path | None,
    verdicts: Literal["anomalous", "all"],
    allowed_lateness: float,
    idle_after: float,
    until_idle: float | None,
    checkpoint_every: float,
    poll_models: float,
    demand_signature: Path | None,
    pseudonym_key: str | None,
    http: int | None,
    http_host: str,
    runner: str,
    shards: int,
) -> None:
    """Judge invocations as their logs arrive, and send the incidents that deserve a person to sinks.

    It stops on Ctrl-C or SIGTERM, having saved where it is; the same command goes on from there. A new champion in the
    registry judges from within a minute. On a terminal there is a status line, else a line of JSON now and then.

    \b
    Examples:
      lonetree watch --source files:/var/log/functions --models models --sink ndjson:incidents.ndjson
      lonetree watch --source azure-monitor:WORKSPACE-ID --models models --sink slack:env:SLACK_URL --http 8080
      lonetree watch --source kafka:logs?connection=env:EVENT_HUBS --models models --sink stdout --output out

    It runs in this process. With --runner it is a job of Beam, whose options stand behind '--': state is the runner's,
    --state holds what waits for sinks, and --checkpoint-every says nothing (docs/deploy.md). Beam's local runner for
    bounded input can't stream, and is refused.
    """
    from pipelines.champion import Champion

    runner = runner_of(runner, beam_options())
    if runner != EMBEDDED:
        from pipelines.announced import Announced
        from pipelines.cli.watch_beam import on_beam
        from pipelines.stream_job import StreamJob
        from pipelines.stream_source import LiveOptions

        refuse_given(
            ("checkpoint_every",),
            "is for the embedded runner",
            "The runner has its own: docs/deploy.md.",
        )
        live = LiveOptions(round(allowed_lateness * 1e6), round(idle_after * 1e6), until_idle)
        stream = StreamJob(
            sources, sinks, state.absolute(), output.absolute() if output is not None else None, verdicts, live
        )
        registry = str(models) if "://" in str(models) else str(Path(models).absolute())
        followed = Announced(registry, budget, _key(demand_signature), poll_models, "", pseudonym_key)
        with _stopping() as stop:
            on_beam(stream, runner, beam_options(), followed, shards, stop, (http, http_host))
        return
    refuse_beam_options(beam_options())
    champion = Champion(models, budget, _key(demand_signature), pseudonym_key)
    from pipelines.checkpoint import Checkpoints
    from pipelines.memory import one_heap
    from pipelines.sinks.uri import open_sinks
    from pipelines.sources.uri import check_source, open_sources
    from pipelines.watch import INCIDENT_NOTE_S, Watch, WatchOptions, refuse_ended

    for uri in sources:
        check_source(uri)
    options = WatchOptions(
        lateness_us=round(allowed_lateness * 1e6),
        idle_us=round(idle_after * 1e6),
        output=output,
        verdicts=verdicts,
        model_poll_s=poll_models,
        checkpoint_s=checkpoint_every,
        incident_note_s=min(INCIDENT_NOTE_S, checkpoint_every),
        rehearse=True,
    )
    with _stopping() as stop, one_heap():
        with ExitStack() as unwind:
            checkpoints = Checkpoints(state)
            unwind.callback(checkpoints.close)
            saved = checkpoints.load()
            if until_idle is None:
                refuse_ended(saved)
            cursors = saved.document["cursors"] if saved is not None else {}
            opened = open_sources(sources, cursors, state / "cursors", champion.conform())
            for source in opened.values():
                unwind.callback(source.close)
            fan_out = open_sinks(sinks, state / "sinks")
            unwind.callback(fan_out.close)
            fan_out.start()
            job = Watch(opened, saved, champion, checkpoints, fan_out, options)
            serving = ExitStack()
            serving.enter_context(served(lambda: job.vitals, http, http_host))
            # from here on the job closes what it was given
            unwind.pop_all()
        with serving, Shown(lambda: job.vitals) as shown:
            ended = run(job, stop, shown, until_idle, done=saved is not None and bool(saved.document["ended"]))
    click.echo(printable(_last_words(job.vitals, ended)), err=True)


def run(job: Watch, stop: threading.Event, shown: Shown, until_idle: float | None, *, done: bool = False) -> bool:
    """Round after round until told to stop, or until there is nothing more; whether the end was reached.

    Args:
        job: is stopped, or ended, when this returns or raises.
        stop: tells to stop.
        shown: told after each round.
        until_idle: seconds without news that are the end.
        done: the end was reached in an earlier run, only the sinks may lack something.
    """
    quiet_since = time.monotonic()
    ended = done
    try:
        while not done and not stop.is_set():
            came = job.round(stop.is_set)
            shown.look()
            now = time.monotonic()
            if came or not job.idle:
                quiet_since = now
            elif until_idle is not None and now - quiet_since >= until_idle:
                ended = True
                break
            if not came:
                stop.wait(_PAUSE_S if until_idle is None else min(_PAUSE_S, until_idle / 2))
    except LonetreeError:
        job.stop()
        raise
    except BaseException:
        # a fault may have left the state halfway; the last checkpoint is whole
        job.abandon()
        raise
    if ended and not done:
        job.end()
    else:
        job.stop()
    return ended


def _last_words(vitals: Vitals, ended: bool) -> str:
    waiting = sum(sink.pending for sink in vitals.sinks)
    return (
        f"{'All is judged' if ended else 'Stopped, and saved'}: {vitals.read:,} records read, "
        f"{vitals.scored:,} scored, "
        f"{vitals.duplicates:,} duplicates, {vitals.dead_letter:,} dead letters, {vitals.late:,} late, "
        f"{vitals.incidents:,} incidents" + (f"; {waiting:,} wait for a sink." if waiting else ".")
    )


def _key(path: Path | None) -> bytes | None:
    if path is None:
        return None
    try:
        return path.read_bytes()
    except OSError as error:
        raise InputError(
            "The key can't be read.", expected="a public key in PEM", received=f"{path}: {error.strerror}"
        ) from None


@contextmanager
def _stopping() -> Iterator[threading.Event]:
    """An event that SIGTERM and Ctrl-C set; a second one ends the process as ever."""
    stop = threading.Event()
    before: dict[int, Any] = {}

    def told(number: int, _frame: Any) -> None:
        stop.set()
        signal.signal(number, before[number])

    if threading.current_thread() is not threading.main_thread():
        yield stop
        return
    for watched in (signal.SIGTERM, signal.SIGINT):
        before[watched] = signal.signal(watched, told)
    try:
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
