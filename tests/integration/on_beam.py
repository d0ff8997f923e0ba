"""What tests on Beam's runners share: the verdicts and incidents of a run, and jobs beside this process."""

from __future__ import annotations

import datetime as dt
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from detectors.conform import Conformed
from pipelines.sources import uri
from pipelines.sources.base import Polled
from pipelines.stream_job import StreamJob
from pipelines.stream_source import LiveOptions
from tests.integration import prism
from tests.integration.kafka_broker import free_port
from tests.pipelines.live import COLUMNS, last_told, no_letters

BUDGET = 20.0
#: lines of the replayed day
LINES = 4_000
PATIENCE_S = 300.0

#: runner -> its name, and the words that it needs
Words = tuple[str, list[str]]
#: verdicts, and incidents by name as last told
Outcome = tuple[list[dict[str, Any]], dict[str, dict[str, Any]]]


def prism_words() -> Words:
    return "PrismRunner", [f"--prism_location={prism.program()}"]


def flink_words(server: str) -> Words:
    """What Beam is told of a job server, by its jar or by where it listens."""
    return "FlinkRunner", [server, "--flink_master=[local]", "--parallelism=1", "--checkpointing_interval=2000"]


class Piecewise:
    """A source that gives one piece a poll; its cursor is how many."""

    def __init__(self, pieces: list[pa.RecordBatch], given: int) -> None:
        self._pieces, self._given = pieces, given

    def poll(self, now: dt.datetime) -> Iterator[Polled]:
        if not self.idle:
            self._given += 1
            yield Polled(Conformed(self._pieces[self._given - 1], no_letters(), 0), {"given": self._given}, None)

    def commit(self, cursor: Any) -> None:
        """Nothing is kept elsewhere."""

    @property
    def idle(self) -> bool:
        return self._given == len(self._pieces)

    def close(self) -> None:
        """Nothing is open."""


def feeds(monkeypatch: pytest.MonkeyPatch, opened: Callable[[int], Piecewise]) -> None:
    """Let ``fed:day`` be a source opened with how many pieces it gave; workers are threads of this process."""

    def fed(target: str, options: Any, cursor: Any, path: Path, conform: Any) -> Piecewise:
        return opened(cursor["given"] if cursor is not None else 0)

    monkeypatch.setitem(uri._KINDS, "fed", (fed, ()))


def job(folder: Path, **live: Any) -> StreamJob:
    return StreamJob(
        (f"files:{folder / 'logs'}",),
        (f"ndjson:{folder / 'incidents.ndjson'}",),
        folder / "state",
        folder,
        "all",
        LiveOptions(**{"idle_us": None, "until_idle_s": 1.0, **live}),
    )


def verdicts(output: Path) -> list[dict[str, Any]]:
    rows = pq.read_table(output / "verdicts").select(COLUMNS).to_pylist()
    return sorted(rows, key=lambda row: (row["event_time"], row["invocation_id"]))


def told(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


def outcome(output: Path) -> Outcome:
    return verdicts(output), last_told(told(output / "incidents.ndjson"))


def start(folder: Path, models: Path, words: Words, *more: str) -> subprocess.Popen[bytes]:
    """The job in a process group of its own, so that a runner that it started dies with it."""
    name, beam = words
    said = ["watch", "--source", f"files:{folder / 'logs'}", "--models", str(models), "--runner", name]
    said += ["--sink", f"ndjson:{folder / 'incidents.ndjson'}", "--state", str(folder / "state")]
    said += ["--output", str(folder), "--verdicts", "all", "--budget", str(BUDGET)]
    said += ["--allowed-lateness", "0", "--idle-after", "1e9", *more, "--", *beam]
    code = f"from pipelines.cli.entry import main; import sys; sys.argv = ['lonetree', *{said!r}]; main()"
    return subprocess.Popen([sys.executable, "-c", code], stderr=subprocess.DEVNULL, start_new_session=True)


def end(process: subprocess.Popen[bytes]) -> None:
    """Kill what ``start`` began, and all that it started, where it has not ended by now."""
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


@contextmanager
def worker_pool() -> Iterator[tuple[int, list[str]]]:
    """A pool that starts workers in processes of their own, as on a cluster: its process, and what Beam is told."""
    port = free_port()
    words = ["-m", "apache_beam.runners.worker.worker_pool_main", f"--service_port={port}"]
    # the pool starts "python", whatever it was started with itself
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    process = subprocess.Popen(
        [sys.executable, *words], env={**os.environ, "PATH": path}, stderr=subprocess.DEVNULL, start_new_session=True
    )
    try:
        until(lambda: listens(port))
        yield process.pid, ["--environment_type=EXTERNAL", f"--environment_config=localhost:{port}"]
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def listens(port: int) -> bool:
    with socket.socket() as trial:
        return trial.connect_ex(("127.0.0.1", port)) == 0


def named(name: str, parent: int) -> list[int]:
    """Children of a process whose program begins with a name."""
    threads = Path(f"/proc/{parent}/task").glob("*/children")
    children = [child for thread in threads for child in _told_of(thread).split()]
    return [int(child) for child in children if name_of(int(child)).startswith(name)]


def name_of(pid: int) -> str:
    """A process's name; empty where it has ended meanwhile."""
    return _told_of(Path(f"/proc/{pid}/comm")).strip()


def _told_of(path: Path) -> str:
    """What the system tells of a process or a thread; nothing where it has ended meanwhile."""
    try:
        return path.read_text()
    except (FileNotFoundError, ProcessLookupError):
        return ""


def until(done: Callable[[], bool]) -> None:
    assert until_or(done, PATIENCE_S), "it took too long"


def until_or(done: Callable[[], bool], seconds: float) -> bool:
    deadline = time.monotonic() + seconds
    while not done() and time.monotonic() < deadline:
        time.sleep(0.05)  # another process can only be watched
    return done()
