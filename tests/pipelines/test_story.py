"""The story of a registry by commands, on this machine; what drift and feedback say beside it."""

from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner

from pipelines.cli.group import lonetree
from tests.conftest import Tenant
from tests.pipelines.story import ask, run, story


@pytest.mark.integration
@pytest.mark.slow
def test_from_the_first_version_to_a_roll_back(tenant: Tenant, tmp_path: Path) -> None:
    days = sorted(str(path) for path in tenant.train.glob("day=*"))
    story(str(tmp_path / "models"), days[:2], [str(tenant.train)], str(tenant.replay), tmp_path)


def test_drift_is_told_of_the_champion(tenant: Tenant, models: Path) -> None:
    found = ask("models", "drift", "--input", str(tenant.replay), "--models", str(models))
    assert found["advice"]
    assert found["invocations"] > 0
    assert "days against version" in run("models", "drift", "--input", str(tenant.replay), "--models", str(models))


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        (["LT-1"], "--expected or --bad"),
        (["LT-1", "--bad"], "--output DIR or --incidents FILE"),
        (["--bad"], "Which INCIDENT"),
        (["LT-1", "--undo", "F-1"], "takes a statement back"),
    ],
)
def test_feedback_says_what_is_missing(words: list[str], complaint: str, tmp_path: Path) -> None:
    done = CliRunner().invoke(lonetree, ["feedback", *words, "--models", str(tmp_path)])
    assert done.exit_code == 2
    assert complaint in done.output
