"""Beam's own runner in Go with workers in processes of their own, and kills of both: nothing is lost or told twice."""

from __future__ import annotations

import os
import random
import signal
import time
from collections.abc import Iterator
from contextlib import suppress
from typing import NamedTuple

import pytest

from pipelines.cli.entry import run as lonetree
from pipelines.cli.failures import ExitCode
from tests.integration.on_beam import (
    BUDGET,
    LINES,
    PATIENCE_S,
    Words,
    end,
    name_of,
    named,
    outcome,
    prism_words,
    start,
    told,
    until,
    until_or,
    verdicts,
    worker_pool,
)
from tests.pipelines.live import identity, last_told

pytestmark = pytest.mark.integration

KILLS = 10
#: s that a job lives on once what is to die is there, at most
LIFE_S = 10.0
#: s that it lives on without its runner or its worker, at most
GRACE_S = 3.0


class Pool(NamedTuple):
    """Its process, and what Beam is told to use it."""

    pid: int
    words: Words


@pytest.fixture
def pool() -> Iterator[Pool]:
    """Prism with workers in processes of their own: what was learned travels with the steps."""
    name, beam = prism_words()
    with worker_pool() as (pid, more):
        yield Pool(pid, (name, [*beam, *more]))


def test_workers_in_processes_of_their_own_give_the_same(pool, lines, expected, models, tmp_path, monkeypatch):
    (tmp_path / "logs").mkdir()
    (tmp_path / "logs" / "all.ndjson").write_text("\n".join(lines) + "\n")
    process = start(tmp_path, models, pool.words, "--until-idle", "0.5", "--shards", "2")
    assert process.wait(PATIENCE_S) == ExitCode.OK
    assert outcome(tmp_path) == expected
    # and they stand elsewhere, so that paths must be whole
    monkeypatch.chdir(tmp_path)
    words = ["--input", "logs", "--models", str(models), "--output", "out", "--budget", str(BUDGET)]
    name, beam = pool.words
    assert lonetree(["replay", *words, "--verdicts", "all", "--", f"--runner={name}", *beam]) == ExitCode.OK
    assert outcome(tmp_path / "out") == expected


def test_ten_kills_at_random_moments_lose_nothing_and_tell_nothing_twice(pool, lines, expected, models, tmp_path):
    (tmp_path / "logs").mkdir()
    log, sink = tmp_path / "logs" / "app.ndjson", tmp_path / "incidents.ndjson"
    share, generator = LINES // (KILLS + 1), random.Random(KILLS)
    killed = set()
    for kill in range(KILLS):
        with log.open("a") as file:
            file.write("".join(f"{line}\n" for line in lines[kill * share : (kill + 1) * share]))
        process = start(tmp_path, models, pool.words)
        # a part of it alone, then all of it: what is left may end, begin anew or wait
        part = generator.choice([("prism", process.pid), ("python", pool.pid), None])
        if part is not None:
            until(lambda part=part: bool(named(*part)))
        dies = time.monotonic() + generator.uniform(0.0, LIFE_S)
        until(lambda dies=dies: time.monotonic() > dies)
        assert process.poll() is None
        for pid in named(*part) if part is not None else []:
            killed.add(name_of(pid))
            with suppress(ProcessLookupError):  # it may have ended by itself just now
                os.kill(pid, signal.SIGKILL)
            until_or(lambda process=process: process.poll() is not None, GRACE_S)
        end(process)
    assert len(killed - {""}) == 2
    with log.open("a") as file:
        file.write("".join(f"{line}\n" for line in lines[KILLS * share :]))
    process = start(tmp_path, models, pool.words, "--until-idle", "0.5")
    assert process.wait(PATIENCE_S) == ExitCode.OK
    tellings = told(sink)
    assert len({identity(one) for one in tellings}) == len(tellings)
    assert {name: one["invocation_ids"] for name, one in last_told(tellings).items()} == {
        name: one["invocation_ids"] for name, one in expected[1].items()
    }
    assert verdicts(tmp_path) == expected[0]
