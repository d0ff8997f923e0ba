"""A standalone Flink cluster: what is killed there goes on from a checkpoint, with what a replay gives."""

from __future__ import annotations

import math
import os
import random
import signal
import time
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest

from pipelines.cli.failures import ExitCode
from tests.integration import flink
from tests.integration.kafka_broker import free_port
from tests.integration.on_beam import LINES, PATIENCE_S, Outcome, end, named, start, told, until, verdicts, worker_pool
from tests.pipelines.live import identity, last_told

pytestmark = pytest.mark.integration

#: of TaskManagers and of Beam's workers in turn; more by hand
KILLS = int(os.environ.get("FLINK_KILLS", "3"))
#: whether a whole cluster dies, too
DEATHS = os.environ.get("FLINK_DEATHS", "0") != "0"
#: s from the time that all runs to a kill, at most
LIFE_S = 4.0
#: s from a piece of the log to the next, and which part of the rest a piece is: smaller and smaller, since the source
#: must not be quiet before the last kill, however slow the machine
PIECE_S, PIECE = 0.2, 1 / 1000


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[flink.Cluster]:
    (tmp_path / "flink").mkdir()
    found = flink.Cluster(tmp_path / "flink")
    try:
        yield found
    finally:
        found.close()


def cluster_words(cluster: flink.Cluster, more: Sequence[str]) -> list[str]:
    """What Beam is told of a cluster, with what it is told of the workers."""
    master = [f"--flink_job_server_jar={flink.job_server()}", f"--flink_master={cluster.master}"]
    return [*master, *more, "--parallelism=2", "--checkpointing_interval=1000"]


def alive(name: str, parent: int) -> list[int]:
    """Children of a process, without those that ended and that it did not ask for."""
    return [child for child in named(name, parent) if "\nState:\tZ" not in Path(f"/proc/{child}/status").read_text()]


def seen(port: int) -> dict[str, float]:
    """What the job says of itself; nothing where it does not answer."""
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics") as answer:
            lines = answer.read().decode().splitlines()
    except OSError:
        return {}
    return {name: float(value) for name, _, value in (line.rpartition(" ") for line in lines if line[:1] != "#")}


class Growing:
    """A log that grows while the test waits for something."""

    def __init__(self, path: Path, lines: Sequence[str]) -> None:
        self._path, self._lines, self._due = path, lines, 0.0
        self.written = 0

    def until(self, done: Callable[[], bool]) -> None:
        """Write a piece now and then, until it is so."""
        until(lambda: (self._grow(), done())[1])

    def write_rest(self) -> None:
        """All that was kept back."""
        self._write(len(self._lines))

    def _grow(self) -> None:
        if time.monotonic() >= self._due:
            self._write(self.written + math.ceil(PIECE * (len(self._lines) - self.written)))
            self._due = time.monotonic() + PIECE_S

    def _write(self, end: int) -> None:
        with self._path.open("a") as file:
            file.write("".join(f"{line}\n" for line in self._lines[self.written : end]))
        self.written = end


def test_kills_of_task_managers_and_of_workers_lose_nothing_and_tell_nothing_twice(
    cluster, lines, expected, models, tmp_path
):
    (tmp_path / "logs").mkdir()
    log, generator = Growing(tmp_path / "logs" / "app.ndjson", lines), random.Random(KILLS)
    with worker_pool() as (pid, more):
        words = cluster_words(cluster, more)
        port = free_port()
        job = ["--until-idle", "5", "--shards", "2", "--allowed-lateness", "3600", "--http", str(port)]
        process = start(tmp_path, models, ("FlinkRunner", words), *job)
        try:
            log.until(lambda: cluster.all_run() and cluster.checkpoints()["completed"] > 0)
            log.until(lambda: seen(port).get("lonetree_pending_rows", 0.0) > 0.0)
            assert seen(port)["lonetree_healthy"] == 1.0
            for kill in range(KILLS):
                before, dies = cluster.checkpoints()["restored"], time.monotonic() + generator.uniform(0.0, LIFE_S)
                log.until(lambda dies=dies: time.monotonic() > dies)
                if kill % 3 == 1:
                    for worker in alive("python", pid):
                        os.kill(worker, signal.SIGKILL)
                else:
                    cluster.kill_worker(generator.choice(cluster.busy()))
                log.until(lambda before=before: cluster.checkpoints()["restored"] > before)
                log.until(cluster.all_run)
            assert LINES // 10 < log.written < LINES, "all was written before the last kill"
            log.write_rest()
            assert process.wait(PATIENCE_S) == ExitCode.OK
        finally:
            end(process)
    assert_nothing_lost_nor_told_twice(tmp_path, expected)


@pytest.mark.skipif(not DEATHS, reason="takes minutes: FLINK_DEATHS=1 runs it")
@pytest.mark.parametrize("goes_on", [False, True], ids=["from the source's start", "from the last checkpoint"])
def test_a_cluster_that_dies_ends_the_job_and_a_new_one_goes_on(goes_on, cluster, lines, expected, models, tmp_path):
    (tmp_path / "logs").mkdir()
    log, half = tmp_path / "logs" / "app.ndjson", LINES // 2
    log.write_text("".join(f"{line}\n" for line in lines[:half]))
    with worker_pool() as (_, more):
        words = cluster_words(cluster, more)
        # what is written later was not late
        job = ["--shards", "2", "--allowed-lateness", "600"]
        process = start(tmp_path, models, ("FlinkRunner", words), *job)
        try:
            until(lambda: (tmp_path / "incidents.ndjson").exists() and cluster.checkpoints()["completed"] > 1)
            cluster.close()
            assert process.wait(PATIENCE_S) not in (ExitCode.OK, -signal.SIGKILL)
            with log.open("a") as file:
                file.write("".join(f"{line}\n" for line in lines[half:]))
            cluster.start()
            words += [f"--savepoint_path={cluster.last_checkpoint()}"] if goes_on else []
            process = start(tmp_path, models, ("FlinkRunner", words), *job, "--until-idle", "5")
            assert process.wait(PATIENCE_S) == ExitCode.OK
        finally:
            end(process)
    assert_nothing_lost_nor_told_twice(tmp_path, expected)


def assert_nothing_lost_nor_told_twice(output: Path, expected: Outcome) -> None:
    """Hold that the job gave what a replay gives."""
    tellings = told(output / "incidents.ndjson")
    assert len({identity(one) for one in tellings}) == len(tellings)
    assert {name: one["invocation_ids"] for name, one in last_told(tellings).items()} == {
        name: one["invocation_ids"] for name, one in expected[1].items()
    }
    assert verdicts(output) == expected[0]
