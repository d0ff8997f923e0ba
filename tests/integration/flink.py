"""Flink by the job server of Beam: a jar that holds Flink, too, for its `[local]` cluster."""

from __future__ import annotations

import os
import shutil
import subprocess
from functools import cache
from importlib.metadata import version
from pathlib import Path

import pytest

CACHE = Path(__file__).parents[2] / ".cache"
FLINK = "1.20"
FETCH_S = 600.0


def job_server() -> Path:
    """The jar, out of ``FLINK_JOB_SERVER_JAR`` or from Maven Central."""
    if shutil.which("java") is None:
        pytest.skip("needs java, to run Flink")
    found = _fetched()
    if found is None:
        pytest.skip(
            f"Flink's job server can't be fetched for Beam {version('apache-beam')}; FLINK_JOB_SERVER_JAR names none"
        )
    return found


@cache
def _fetched() -> Path | None:
    named = os.environ.get("FLINK_JOB_SERVER_JAR")
    if named:
        return Path(named)
    beam = version("apache-beam")
    artifact = f"beam-runners-flink-{FLINK}-job-server"
    found = CACHE / "flink" / f"{artifact}-{beam}.jar"
    if not found.exists():
        if shutil.which("mvn") is None:
            return None
        goal = [f"-Dartifact=org.apache.beam:{artifact}:{beam}:jar", f"-DoutputDirectory={found.parent}"]
        words = ["mvn", "-q", "-B", "dependency:copy", *goal]
        done = subprocess.run(words, capture_output=True, text=True, timeout=FETCH_S, check=False)
        if done.returncode != 0 or not found.exists():
            return None
    return found
