"""constraints.txt pins all that is installed, exactly, and says nothing about where it comes from."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import pytest
from packaging.markers import Marker
from packaging.requirements import Requirement

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

ROOT = Path(__file__).resolve().parent.parent
LINES = [
    line
    for line in (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
    if line and not line.startswith("#")
]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
PYTHONS = ["3.10", "3.11", "3.12", "3.13"]


def normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def wanted() -> list[Requirement]:
    extras = PROJECT["optional-dependencies"].values()
    return [Requirement(text) for text in [*PROJECT["dependencies"], *(text for extra in extras for text in extra)]]


@pytest.mark.parametrize("line", LINES)
def test_each_line_is_an_exact_pin(line: str) -> None:
    assert re.fullmatch(r"[a-z0-9-]+==[A-Za-z0-9.+!]+( ; [a-z_0-9'.=<> ]+)?", line)


@pytest.mark.parametrize("python", PYTHONS)
def test_no_python_gets_two_versions_of_one_distribution(python: str) -> None:
    names = []
    for requirement in map(Requirement, LINES):
        marker: Marker | None = requirement.marker
        if marker is None or marker.evaluate({"python_version": python}):
            names.append(normal(requirement.name))
    assert sorted(names) == sorted(set(names))


@pytest.mark.parametrize("python", PYTHONS)
def test_every_direct_dependency_has_a_pin_that_satisfies_it(python: str) -> None:
    pins = {
        normal(pin.name): str(pin.specifier).removeprefix("==")
        for pin in map(Requirement, LINES)
        if pin.marker is None or pin.marker.evaluate({"python_version": python})
    }
    here = [one for one in wanted() if one.marker is None or one.marker.evaluate({"python_version": python})]
    unmet = [str(one) for one in here if not one.specifier.contains(pins.get(normal(one.name), ""), prereleases=True)]
    assert unmet == []
