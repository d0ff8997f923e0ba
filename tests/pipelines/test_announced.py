"""The champion as sources announce it: what can't be used is refused, and what people say counts as another version."""

from __future__ import annotations

from pathlib import Path

import pytest

from models.feedback import Feedback, add_feedback
from pipelines.announced import Announced, Herald
from pipelines.graph import CALLER, FUNCTION, INCIDENT
from tests.pipelines.test_watch import another, copied


@pytest.fixture
def registry(models: Path, tmp_path: Path):
    return copied(models, tmp_path / "models")


def announced(tmp_path: Path, first: str) -> Announced:
    return Announced(str(tmp_path / "models"), 5.0, None, 0.0, first)


def test_a_promoted_version_is_announced_and_each_stage_has_its_folds(registry, tmp_path):
    first = registry.resolve()
    second = another(registry)
    versions = announced(tmp_path, first)
    herald = Herald(versions)
    assert herald.look() == first
    registry.promote(second, who="test", why="better")
    assert herald.look() == second
    assert versions.folds(second, CALLER).version == second
    assert versions.folds(first, INCIDENT).version == first
    assert versions.folds(second, FUNCTION).make(0, 1) is not None


def test_a_bad_bundle_is_not_announced(registry, tmp_path):
    first = registry.resolve()
    second = another(registry)
    herald = Herald(announced(tmp_path, first))
    registry.promote(second, who="test", why="better")
    table = next(iter(sorted(registry.storage.local_path(f"versions/{second}").glob("*.arrow"))))
    table.write_bytes(b"\0" * table.stat().st_size)
    assert herald.look() == first


def test_what_people_say_is_announced_as_another_version_of_the_same_name(registry, tmp_path):
    first = registry.resolve()
    herald = Herald(announced(tmp_path, first))
    assert herald.look() == first
    said = Feedback("expected", "2026-06-09T00:00:00Z", "ann", incident_id="LT-1", apps=("shop",))
    add_feedback(registry.storage, said)
    label = herald.look()
    assert label != first
    assert label.startswith(f"{first}+")
    assert announced(tmp_path, first).folds(label, INCIDENT).version == first
