"""The workflow can be started: make lists every target, and the scripts are whole and may be run."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
MAKEFILE = (ROOT / "Makefile").read_text(encoding="utf-8")
TARGETS = re.search(r"^\.PHONY: (.*)$", MAKEFILE, re.MULTILINE)
SCRIPTS = [path for path in sorted((ROOT / ".ci").iterdir()) if path.suffix == ""]

needs_make = pytest.mark.skipif(shutil.which("make") is None, reason="make is not installed")
needs_bash = pytest.mark.skipif(shutil.which("bash") is None, reason="bash is not installed")


@needs_make
def test_make_alone_lists_every_target() -> None:
    assert TARGETS is not None
    shown = subprocess.run(["make", "--no-print-directory"], cwd=ROOT, capture_output=True, text=True, check=True)
    listed = [line.split()[1] for line in shown.stdout.splitlines()]
    assert sorted(listed) == sorted(TARGETS[1].split())


@needs_make
@pytest.mark.parametrize(
    "target", ["demo", "test", "lint", "bench", "bench-stream", "bench-quality", "notebooks", "docs", "integration"]
)
def test_a_target_first_sets_up_its_environment(target: str) -> None:
    command = ["make", "--no-print-directory", "--dry-run", "VENV=build/no-such-venv", target]
    shown = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    lines = shown.stdout.splitlines()
    assert lines[0].startswith("bash .ci/venv build/no-such-venv")
    assert any(line.startswith("bash .ci/install build/no-such-venv ") for line in lines)


@needs_bash
@pytest.mark.parametrize(
    ("settings", "uv", "by"),
    [
        ("", "exit 0", ["uv"]),
        ("", "exit 1", ["uv", "pip"]),
        ("global.index-url='https://own.example'", "exit 0", ["pip"]),
    ],
    ids=["by uv", "by pip where uv fails", "by pip where an index of its own is set up"],
)
def test_installing_goes(settings: str, uv: str, by: list[str], tmp_path: Path) -> None:
    python = tmp_path / "bin" / "python"
    python.parent.mkdir()
    python.write_text(
        f"""#!/usr/bin/env bash
        case "$*" in
            "-m pip config list") echo "{settings}" ;;
            "-m pip install"*) echo "$*" >> "{tmp_path}/installed" ;;
            "-m uv pip install"*) echo "$*" >> "{tmp_path}/installed"; {uv} ;;
        esac
        """
    )
    python.chmod(0o755)
    command = ["bash", str(ROOT / ".ci" / "install"), str(tmp_path), "dev"]
    subprocess.run(command, capture_output=True, check=True)
    calls = (tmp_path / "installed").read_text().splitlines()
    assert [call.split()[1] for call in calls] == by
    assert all(call.endswith("--constraint constraints.txt --editable .[dev]") for call in calls)


@needs_bash
@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.name)
def test_a_script_is_whole_and_may_be_run(script: Path) -> None:
    assert os.access(script, os.X_OK)
    assert subprocess.run(["bash", "-n", str(script)], capture_output=True, check=False).stderr == b""


@needs_bash
def test_a_python_that_is_too_old_is_refused_with_a_hint(tmp_path: Path) -> None:
    old = tmp_path / "python3"
    old.write_text("#!/bin/sh\nexit 1\n")
    old.chmod(0o755)
    command = ["bash", str(ROOT / ".ci" / "venv"), str(tmp_path / "venv"), str(old)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "expected: Python 3.10 to 3.13" in done.stderr
    assert "hint:" in done.stderr
