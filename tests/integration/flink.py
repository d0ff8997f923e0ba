"""Flink: the job server of deploy/flink before Beam's runner, and a cluster of processes; jars from Maven Central."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from itertools import count
from pathlib import Path
from typing import Any

import pytest
from apache_beam.options.pipeline_options import PipelineOptions
from apache_beam.runners.portability.flink_runner import FlinkJarJobServer

from tests.integration.fetching import CACHE, alone
from tests.integration.kafka_broker import free_port

ROOT = Path(__file__).parents[2]
SOURCES = ROOT / "deploy" / "flink"
BUILD_S = 900.0


def job_server() -> Path:
    """The jar, out of ``FLINK_JOB_SERVER_JAR``, which may name Beam's own, or built."""
    named = os.environ.get("FLINK_JOB_SERVER_JAR")
    return Path(named) if named else built()


def built() -> Path:
    """The jar of deploy/flink; beside it the folder of the jars that it needs, Flink's among them."""
    if shutil.which("javac") is None or shutil.which("mvn") is None:
        pytest.skip("needs a JDK and mvn, to build Flink's job server")
    found = _built()
    if isinstance(found, str):
        pytest.skip(f"Flink's job server can't be built: {found}")
    return found


@cache
def _built() -> Path | str:
    """The jar; or why there is none."""
    files = sorted(
        path for path in SOURCES.rglob("*") if path.suffix in {".java", ".xml"} and "target" not in path.parts
    )
    mark = hashlib.sha256(b"".join(path.read_bytes() for path in files)).hexdigest()[:12]
    folder = CACHE / f"flink-{mark}"
    jar = folder / "target" / "lonetree-flink-1.jar"
    with alone("flink"):
        if folder.exists():
            return jar
        work = folder.with_suffix(f".{os.getpid()}")
        shutil.copytree(SOURCES, work, ignore=shutil.ignore_patterns("target"))
        words = ["mvn", "-q", "-B", "package"]
        done = subprocess.run(words, cwd=work, capture_output=True, text=True, timeout=BUILD_S, check=False)
        if done.returncode != 0:
            shutil.rmtree(work)
            return done.stdout[-500:]
        work.rename(folder)
    return jar


@contextmanager
def serving() -> Iterator[str]:
    """A job server with Flink in its own process, for one job after the other: where it listens."""
    port = free_port()
    words = [f"--flink_job_server_jar={job_server()}", "--flink_master=[local]", f"--job_port={port}"]
    server = FlinkJarJobServer(PipelineOptions(words))
    try:
        server.start()
        yield f"localhost:{port}"
    finally:
        server.stop()


#: what Flink itself needs of the job server's jars: a cluster gets the rest with the job
_FLINKS = ("flink-", "frocksdbjni-", "slf4j-", "commons-", "javassist-", "kryo-", "chill-", "minlog-", "objenesis-")
_MORE = ("async-profiler-", "jsr305-", "lz4-", "snappy-")
#: Flink 1.19 looks into these
_OPENS = [
    f"--add-opens=java.base/{package}=ALL-UNNAMED"
    for package in ("java.lang", "java.lang.reflect", "java.net", "java.nio", "java.text", "java.time", "java.util")
]
START_S = 60.0
LOOK_S = 0.1


class Cluster:
    """A standalone cluster on loopback: a JobManager and two TaskManagers, processes that are killed at will."""

    def __init__(self, folder: Path) -> None:
        self._folder, jars = folder, built().parent / "jars"
        self._classes = os.pathsep.join(
            str(path) for path in sorted(jars.glob("*.jar")) if path.name.startswith((*_FLINKS, *_MORE))
        )
        self.master = f"127.0.0.1:{free_port()}"
        settings = {
            "jobmanager.rpc.address": "127.0.0.1",
            "jobmanager.rpc.port": free_port(),
            "jobmanager.bind-host": "127.0.0.1",
            "rest.address": "127.0.0.1",
            "rest.bind-address": "127.0.0.1",
            "rest.port": self.master.partition(":")[2],
            "taskmanager.host": "127.0.0.1",
            "taskmanager.numberOfTaskSlots": 2,
            "cluster.evenly-spread-out-slots": True,
            "taskmanager.cpu.cores": 1.0,
            # Flink's scripts work these out of fewer
            "taskmanager.memory.framework.heap.size": "128m",
            "taskmanager.memory.framework.off-heap.size": "64m",
            "taskmanager.memory.jvm-metaspace.size": "256m",
            "taskmanager.memory.jvm-overhead.min": "64m",
            "taskmanager.memory.jvm-overhead.max": "64m",
            "taskmanager.memory.task.heap.size": "256m",
            "taskmanager.memory.task.off-heap.size": "64m",
            "taskmanager.memory.network.min": "64m",
            "taskmanager.memory.network.max": "64m",
            "taskmanager.memory.managed.size": "128m",
            "jobmanager.memory.heap.size": "384m",
            "state.backend.type": "rocksdb",
            "state.checkpoints.dir": (folder / "checkpoints").as_uri(),
            "execution.checkpointing.min-pause": "200ms",
            "restart-strategy.type": "fixed-delay",
            "restart-strategy.fixed-delay.attempts": 1_000,
            "restart-strategy.fixed-delay.delay": "200ms",
            "heartbeat.interval": 500,
            "heartbeat.timeout": 3_000,
            "metrics.fetcher.update-interval": 1_000,
            "io.tmp.dirs": folder / "tmp",
        }
        (folder / "tmp").mkdir()
        lines = [f"{name}: {str(value).lower() if value is True else value}" for name, value in settings.items()]
        (folder / "flink-conf.yaml").write_text("\n".join(lines) + "\n")
        self._workers: dict[str, subprocess.Popen[bytes]] = {}
        self._names = count()
        self.start()

    def start(self) -> None:
        """Start all of it, the first time or after ``close``: nothing is remembered but what lies on the disk."""
        self._manager = self._run("org.apache.flink.runtime.entrypoint.StandaloneSessionClusterEntrypoint", 384)
        # who comes too early waits for long before it asks again
        self.wait_for_workers()
        for _ in range(2):
            self._start_worker()
        self.wait_for_workers()

    def wait_for_workers(self) -> None:
        """Until all TaskManagers can take work."""
        deadline = time.monotonic() + START_S
        while len(self._ask("/taskmanagers").get("taskmanagers", [None] * 9)) != len(self._workers):
            if time.monotonic() > deadline:
                raise RuntimeError((self._folder / "flink.log").read_text()[-3000:])
            time.sleep(LOOK_S)  # a server's start can only be waited for

    def all_run(self) -> bool:
        """Whether there is a job, and each of its tasks runs."""
        states = {step["status"] for step in self._job().get("vertices", [])}
        return states == {"RUNNING"}

    def checkpoints(self) -> dict[str, int]:
        """How many of the job's checkpoints were completed, and how often it was restored from one."""
        counts = self._ask(f"/jobs/{self._job().get('jid')}/checkpoints").get("counts", {})
        return {name: int(counts.get(name, 0)) for name in ("completed", "restored")}

    def busy(self) -> list[str]:
        """The TaskManagers that have tasks."""
        job = self._job()
        found = set()
        for step in job.get("vertices", []):
            parts = self._ask(f"/jobs/{job['jid']}/vertices/{step['id']}/taskmanagers").get("taskmanagers", [])
            found |= {part["taskmanager-id"] for part in parts}
        return sorted(found & set(self._workers))

    def kill_worker(self, name: str) -> None:
        """As kill -9 does, and start another in its place."""
        process = self._workers.pop(name)
        process.kill()
        process.wait(START_S)
        self._start_worker()

    def close(self) -> None:
        """Kill all of it, as kill -9 does."""
        for process in (self._manager, *self._workers.values()):
            process.kill()
            process.wait(START_S)
        self._workers.clear()

    def last_checkpoint(self) -> str:
        """Where the newest checkpoint lies that is whole."""
        whole = (self._folder / "checkpoints").glob("*/chk-*/_metadata")
        return max(whole, key=lambda path: path.stat().st_mtime).parent.as_uri()

    def _start_worker(self) -> None:
        name = f"worker-{next(self._names)}"
        main = "org.apache.flink.runtime.taskexecutor.TaskManagerRunner"
        self._workers[name] = self._run(main, 448, "-D", f"taskmanager.resource-id={name}")

    def _job(self) -> dict[str, Any]:
        """The one job, with the states of its tasks; empty before there is one."""
        jobs = self._ask("/jobs").get("jobs", [])
        return self._ask(f"/jobs/{jobs[0]['id']}") if jobs else {}

    def _run(self, main: str, heap_mb: int, *more: str) -> subprocess.Popen[bytes]:
        own = [main, "--configDir", str(self._folder), *more]
        words = ["java", f"-Xmx{heap_mb}m", *_OPENS, "-cp", self._classes, *own]
        with (self._folder / "flink.log").open("ab") as log:
            return subprocess.Popen(words, cwd=self._folder, stdout=log, stderr=log)

    def _ask(self, path: str) -> dict[str, Any]:
        try:
            with urllib.request.urlopen(f"http://{self.master}{path}", timeout=START_S) as answer:
                found: dict[str, Any] = json.load(answer)
                return found
        except OSError:
            return {}
