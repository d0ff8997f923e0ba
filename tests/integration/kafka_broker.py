"""A real Kafka broker on loopback: jars from Maven Central, one node in KRaft mode, killed and restarted at will."""

from __future__ import annotations

import contextlib
import random
import shutil
import socket
import subprocess
import tempfile
import time
from pathlib import Path

import pytest

from tests.integration.fetching import CACHE, alone

VERSION = "3.9.1"
START_S = 120.0

POM = f"""<project xmlns="http://maven.apache.org/POM/4.0.0">
  <modelVersion>4.0.0</modelVersion>
  <groupId>local</groupId><artifactId>kafka</artifactId><version>1</version>
  <dependencies>
    <dependency><groupId>org.apache.kafka</groupId><artifactId>kafka_2.13</artifactId><version>{VERSION}</version></dependency>
  </dependencies>
</project>
"""


def jars() -> Path:
    """The folder of the broker's jars, fetched once."""
    if shutil.which("java") is None or shutil.which("mvn") is None:
        pytest.skip("needs java and mvn")
    folder = CACHE / f"kafka-{VERSION}"
    with alone("kafka"), tempfile.TemporaryDirectory(dir=CACHE) as work:
        if folder.exists():
            return folder
        Path(work, "pom.xml").write_text(POM)
        goal = ["dependency:copy-dependencies", "-DoutputDirectory=jars", "-DincludeScope=runtime"]
        done = subprocess.run(
            ["mvn", "-q", "-B", *goal], cwd=work, capture_output=True, text=True, timeout=900, check=False
        )
        if done.returncode != 0:
            pytest.skip(f"Kafka's jars can't be fetched: {done.stdout[-500:]}")
        Path(work, "jars").rename(folder)
    return folder


def free_port() -> int:
    """A port that nothing listens on, below those that systems hand out: nobody is given it before it is used."""
    while True:
        port = random.SystemRandom().randrange(20_000, 32_000)
        with socket.socket() as found, contextlib.suppress(OSError):
            found.bind(("127.0.0.1", port))
            return port


class Broker:
    def __init__(self, folder: Path) -> None:
        self._jars, self._folder = jars(), folder
        self.port, controller = free_port(), free_port()
        self.bootstrap = f"127.0.0.1:{self.port}"
        (folder / "server.properties").write_text(
            f"""process.roles=broker,controller
node.id=1
controller.quorum.voters=1@127.0.0.1:{controller}
listeners=PLAINTEXT://{self.bootstrap},CONTROLLER://127.0.0.1:{controller}
advertised.listeners=PLAINTEXT://{self.bootstrap}
controller.listener.names=CONTROLLER
listener.security.protocol.map=CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT
log.dirs={folder}/data
offsets.topic.replication.factor=1
offsets.topic.num.partitions=4
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
group.initial.rebalance.delay.ms=0
"""
        )
        self._run("kafka.tools.StorageTool", "format", "-t", "MkU3OEVBNTcwNTJENDM2Qg", "-c", "server.properties").wait(
            START_S
        )
        self._process: subprocess.Popen[bytes] | None = None
        self.start()

    def start(self) -> None:
        self._process = self._run("kafka.Kafka", "server.properties")
        deadline = time.monotonic() + START_S
        while True:
            try:
                socket.create_connection(("127.0.0.1", self.port), timeout=1).close()
            except OSError:  # noqa: PERF203, it waits anyhow
                if self._process.poll() is not None or time.monotonic() > deadline:
                    raise RuntimeError((self._folder / "out.log").read_text()[-2000:]) from None
                time.sleep(0.1)  # a server's start can only be waited for
            else:
                return

    def kill(self) -> None:
        """As kill -9 does."""
        if self._process is not None:
            self._process.kill()
            self._process.wait(START_S)

    def make_topic(self, topic: str, partitions: int) -> None:
        from confluent_kafka.admin import AdminClient, NewTopic

        admin = AdminClient({"bootstrap.servers": self.bootstrap, "log_level": 2})
        admin.create_topics([NewTopic(topic, partitions, 1)])[topic].result(START_S)

    def _run(self, *command: str) -> subprocess.Popen[bytes]:
        with (self._folder / "out.log").open("ab") as out:
            java = ["java", "-Xmx384m", "-cp", f"{self._jars}/*", *command]
            return subprocess.Popen(java, cwd=self._folder, stdout=out, stderr=out)
