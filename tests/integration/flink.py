"""Flink: the job server of deploy/flink before Beam's runner, and a cluster of processes; jars from Maven Central."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
CACHE = ROOT / ".cache"
SOURCES = ROOT / "deploy" / "flink"
BUILD_S = 900.0


def job_server() -> Path:
    """The jar, out of ``FLINK_JOB_SERVER_JAR`` or built; beside it the folder of the jars that it needs."""
    named = os.environ.get("FLINK_JOB_SERVER_JAR")
    if named:
        return Path(named)
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
    if not folder.exists():
        work = folder.with_suffix(f".{os.getpid()}")
        shutil.copytree(SOURCES, work, ignore=shutil.ignore_patterns("target"))
        words = ["mvn", "-q", "-B", "package"]
        done = subprocess.run(words, cwd=work, capture_output=True, text=True, timeout=BUILD_S, check=False)
        if done.returncode != 0:
            shutil.rmtree(work)
            return done.stdout[-500:]
        work.rename(folder)
    return jar
