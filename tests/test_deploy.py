"""The files in deploy/: what they call exists, and nothing runs as root."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.test_docs import ROOT, faults

DEPLOY = ROOT / "deploy"
IMAGES = sorted(DEPLOY.glob("Dockerfile.*"))


def test_the_unit_starts_a_command_that_can_be_typed_and_is_restarted() -> None:
    unit = (DEPLOY / "lonetree.service").read_text(encoding="utf-8")
    (start,) = re.findall(r"^ExecStart=/opt/lonetree/bin/(.*)$", unit, re.MULTILINE)
    assert faults(start) == []
    assert re.search(r"^User=lonetree$", unit, re.MULTILINE)
    assert re.search(r"^Restart=always$", unit, re.MULTILINE)


def test_there_is_an_image_for_workers_and_one_for_the_job() -> None:
    assert [path.name for path in IMAGES] == ["Dockerfile.watch", "Dockerfile.worker"]


@pytest.mark.parametrize("path", IMAGES, ids=lambda path: path.name)
def test_an_image_is_pinned_and_does_not_run_as_root(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    lines = text.splitlines()
    (base,) = [line.split()[1] for line in lines if line.startswith("FROM ")]
    assert ":" in base
    assert not base.endswith(":latest")
    assert [line for line in lines if line.startswith("USER ")] == ["USER lonetree"]
    assert "--constraint /tmp/lonetree/constraints.txt" in text
    shown = [line.removeprefix("#").strip() for line in lines if "lonetree-watch --source" in line]
    assert [faults(line.replace("lonetree-watch", "lonetree watch")) for line in shown] == [[] for _ in shown]


def test_workers_have_the_beam_that_the_job_has() -> None:
    (version,) = re.findall(
        r"^apache-beam(?:\[[^]]*\])?==([0-9.]+)", (ROOT / "constraints.txt").read_text(), re.MULTILINE
    )
    assert f"_sdk:{version}" in (DEPLOY / "Dockerfile.worker").read_text(encoding="utf-8")


def test_the_guide_leads_to_every_file() -> None:
    guide = (ROOT / "docs" / "deploy.md").read_text(encoding="utf-8")
    assert [path.name for path in DEPLOY.iterdir() if f"(../deploy/{path.name})" not in guide] == []
