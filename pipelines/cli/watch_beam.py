"""``lonetree watch --runner …``: the streaming job on a runner of Beam."""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import click

from detectors.conform import ConformOptions
from pipelines.announced import Announced, label_of
from pipelines.beam_runners import DURABLE, stream_arguments
from pipelines.champion import Champion
from pipelines.jobs import account_of
from pipelines.sinks.uri import parse_sink
from pipelines.sources.uri import check_source
from pipelines.stream_job import StreamJob, run
from pipelines.watch import BLIND_ROWS, kind_of


def on_beam(
    job: StreamJob,
    runner: str,
    beam: Sequence[str],
    followed: Announced,
    shards: int,
    stop: threading.Event,
    line: Callable[[dict[str, Any]], None],
) -> None:
    """Run the job until its sources end or until told to stop, and say what it came to.

    Args:
        job: what is watched, and where results go.
        runner: Beam's name of it.
        beam: words for Beam.
        followed: the registry, whose champion judges.
        shards: parts of each stage.
        stop: tells to stop.
        line: writes one line of the log; used where stderr is no terminal.

    Raises:
        InputError: the runner, a source or a sink can't be used.
        ModelError: no version can be used.
    """
    stream_arguments(runner, beam)
    for uri in job.sources:
        check_source(uri)
    for uri in job.sinks:
        parse_sink(uri).close()
    champion = Champion(followed.models, followed.budget, followed.public_key)
    judging = champion.start()
    followed = replace(followed, first=label_of(judging))

    blind: set[str] = set()

    def say(counted: Mapping[str, int]) -> None:
        found = account_of(dict(counted), whole=False)
        numbers = {name: count for name, count in found.items() if isinstance(count, int)}
        spots = found["blind_spots"] if found["scored"] >= BLIND_ROWS else []
        said = {"blind_spots": len(spots)} if found["scored"] >= BLIND_ROWS else {}
        line({"level": "info", "runner": runner, "began_with": judging.version, **numbers, **said})
        for spot in spots:
            if kind_of(spot) not in blind:
                blind.add(kind_of(spot))
                line({"level": "warning", "message": f"not in these logs: {spot}"})

    plan = replace(judging.plan, shards=shards, announced=followed)
    conform = ConformOptions(caller_property=champion.caller_property())
    job = replace(job, live=replace(job.live, conform=conform, announced=followed))
    ended, counted = run(job, plan, runner, beam, stop=stop, told=None if sys.stderr.isatty() else say)
    # a durable runner counts since it last went on from a checkpoint
    account = account_of(counted, whole=ended and runner not in DURABLE)
    click.echo(
        f"{'All is judged' if ended else 'Stopped'}: {account['read']:,} records read, {account['scored']:,} scored, "
        f"{account['duplicates']:,} duplicates, {account['dead_letter']:,} dead letters, {account['late']:,} late, "
        f"{account.get('incidents', 0):,} incidents.",
        err=True,
    )
