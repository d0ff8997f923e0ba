"""Prism, Beam's runner in Go, built once from its Go module."""

from __future__ import annotations

import os
import shutil
import subprocess
from importlib.metadata import version
from pathlib import Path

import pytest

from tests.integration.fetching import CACHE, alone

#: a first build fetches 60 modules and compiles them on two cores
BUILD_S = 1_200.0


def program() -> Path:
    """The binary of the installed Beam's version."""
    if shutil.which("go") is None:
        pytest.skip("needs go, to build Prism")
    beam = version("apache-beam")
    folder = CACHE / f"prism-{beam}"
    found = folder / "prism"
    with alone("prism"):
        if found.exists():
            return found
        words = ["go", "install", f"github.com/apache/beam/sdks/v2/go/cmd/prism@v{beam}"]
        work = folder.with_suffix(f".{os.getpid()}")
        done = subprocess.run(
            words, env={**os.environ, "GOBIN": str(work)}, capture_output=True, text=True, timeout=BUILD_S, check=False
        )
        if done.returncode != 0:
            pytest.skip(f"Prism can't be built: {done.stderr[-300:]}")
        folder.mkdir(parents=True, exist_ok=True)
        (work / "prism").replace(found)
        work.rmdir()
    return found
