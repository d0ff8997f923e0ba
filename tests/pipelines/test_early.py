"""What can't come to anything is said before logs are read, which may take long."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from models.errors import RegistryError
from pipelines import versus, workflows
from tests.detectors.azure_records import REQUEST


def never(*_: Any, **__: Any) -> Any:
    raise AssertionError("the logs are read")


@pytest.fixture
def logs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    (tmp_path / "logs.json").write_text(json.dumps(REQUEST))
    monkeypatch.setattr(workflows, "collect", never)
    monkeypatch.setattr(workflows, "run_bounded", never)
    return str(tmp_path / "logs.json")


def test_a_registry_that_cannot_be_written_to(logs: str, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("no folder can be made in it")
    with pytest.raises(RegistryError, match="can't be written to"):
        workflows.train([logs], tmp_path / "file" / "models")


def test_a_version_that_is_not_there(logs: str, tmp_path: Path) -> None:
    with pytest.raises(RegistryError, match="No version 'champion'"):
        versus.compare_on([logs], tmp_path / "none", "champion", "20260801T000000-3fa9c1")
