"""``lonetree watch --runner …``: the streaming job on a runner of Beam."""

from __future__ import annotations

import logging
import threading
from collections.abc import Mapping, Sequence
from dataclasses import replace

import click

from pipelines.announced import Announced, label_of
from pipelines.beam_runners import DURABLE, stream_arguments
from pipelines.champion import Champion
from pipelines.cli.shown import Shown, served
from pipelines.jobs import account_of
from pipelines.sinks.uri import parse_sink
from pipelines.sources.uri import check_source
from pipelines.stream_job import StreamJob, run
from pipelines.stream_vitals import StreamVitals
from pipelines.watch import kind_of

_log = logging.getLogger(__name__)


def on_beam(
    job: StreamJob,
    runner: str,
    beam: Sequence[str],
    followed: Announced,
    shards: int,
    stop: threading.Event,
    http: tuple[int | None, str],
) -> None:
    """Run the job until its sources end or until told to stop, and say what it came to.

    Args:
        job: what is watched, and where results go.
        runner: Beam's name of it.
        beam: words for Beam.
        followed: the registry, whose champion judges.
        shards: parts of each stage.
        stop: tells to stop.
        http: port and address of ``/healthz`` and ``/metrics``; no port: they are not served.

    Raises:
        InputError: the runner, a source, a sink or the port can't be used.
        ModelError: no version can be used.
    """
    stream_arguments(runner, beam)
    for uri in job.sources:
        check_source(uri)
    for uri in job.sinks:
        parse_sink(uri).close()
    champion = Champion(followed.models, followed.budget, followed.public_key, followed.pseudonym_key)
    judging = champion.start()
    followed = replace(followed, first=label_of(judging))

    vitals = StreamVitals(judging.version, ends=job.live.until_idle_s is not None)
    blind: set[str] = set()

    def heard(counted: Mapping[str, int]) -> None:
        vitals.heard(counted)
        for spot in vitals().blind_spots or ():
            if kind_of(spot) not in blind:
                blind.add(kind_of(spot))
                _log.warning("not in these logs: %s", spot)
        shown.look()

    plan = replace(judging.plan, shards=shards, announced=followed)
    live = replace(job.live, conform=champion.conform(), announced=followed)
    job = replace(job, live=live, expected_false=judging.expected)
    with served(vitals, *http), Shown(vitals, runner=runner) as shown:
        ended, counted = run(job, plan, runner, beam, stop=stop, told=heard)
        vitals.heard(counted)
    # a durable runner counts since it last went on from a checkpoint
    account = account_of(counted, whole=ended and runner not in DURABLE)
    click.echo(
        f"{'All is judged' if ended else 'Stopped'}: {account['read']:,} records read, {account['scored']:,} scored, "
        f"{account['duplicates']:,} duplicates, {account['dead_letter']:,} dead letters, {account['late']:,} late, "
        f"{account.get('incidents', 0):,} incidents.",
        err=True,
    )
