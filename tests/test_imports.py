"""Imports go one way, pipelines -> detectors -> models; Beam and network stay in pipelines; nothing is unpickled."""

from __future__ import annotations

import ast
import importlib.metadata
import importlib.util
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
PACKAGES = ("models", "detectors", "pipelines")
#: what each package may import of the three
ALLOWED = {"models": {"models"}, "detectors": {"models", "detectors"}, "pipelines": set(PACKAGES)}
#: talks to the network or runs the graph: only in pipelines
ONLY_PIPELINES = {
    "aiohttp", "apache_beam", "azure", "confluent_kafka", "ftplib", "grpc", "http", "httpx", "kafka",
    "requests", "smtplib", "socket", "socketserver", "ssl", "urllib", "urllib3", "websockets",
}  # fmt: skip
#: takes addresses apart, and opens none
HARMLESS = {"urllib.parse"}
#: reads or writes objects by executing what the file says, or freezes module paths
NEVER = {"_pickle", "cloudpickle", "dill", "joblib", "jsonpickle", "marshal", "pickle", "shelve"}


def sources(package: str) -> list[Path]:
    return sorted((ROOT / package).rglob("*.py"))


def imported(source: str, package: tuple[str, ...] = ()) -> Iterator[tuple[int, str]]:
    """Each (line, dotted module) that a source text imports, at any depth, also by import_module and __import__."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield node.lineno, alias.name
        elif isinstance(node, ast.ImportFrom):
            parent = package[: len(package) - node.level + 1] if node.level else ()
            yield node.lineno, ".".join([*parent, *([node.module] if node.module else [])])
        elif isinstance(node, ast.Call) and node.args and isinstance(node.args[0], ast.Constant):
            name = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
            if name in ("import_module", "__import__") and isinstance(node.args[0].value, str):
                yield node.lineno, node.args[0].value


def wrong(folder: str, forbidden: set[str]) -> list[str]:
    """Places below a folder that import one of the forbidden top-level names."""
    found = []
    for path in sources(folder):
        package = path.relative_to(ROOT).parent.parts
        for line, module in imported(path.read_text(encoding="utf-8"), package):
            if module.split(".")[0] in forbidden and module not in HARMLESS:
                found.append(f"{path.relative_to(ROOT)}:{line} imports {module}")
    return found


@pytest.mark.parametrize("package", PACKAGES)
def test_imports_never_go_back(package: str) -> None:
    assert wrong(package, set(PACKAGES) - ALLOWED[package]) == []


@pytest.mark.parametrize("package", ["models", "detectors"])
def test_beam_azure_kafka_and_the_network_stay_in_pipelines(package: str) -> None:
    assert wrong(package, ONLY_PIPELINES) == []


@pytest.mark.parametrize("package", PACKAGES)
def test_nothing_imports_a_pickler(package: str) -> None:
    assert wrong(package, NEVER) == []


@pytest.mark.parametrize("folder", ["tests/models", "tests/detectors", "tests/pipelines"])
def test_the_tests_may_try_to_pickle_but_never_unpickle(folder: str) -> None:
    found = [
        f"{path.relative_to(ROOT)}:{node.lineno}"
        for path in sources(folder)
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Attribute)
        and node.attr in ("load", "loads", "Unpickler")
        and isinstance(node.value, ast.Name)
        and node.value.id in NEVER
    ]
    assert found == []


@pytest.mark.parametrize("package", PACKAGES)
def test_no_reader_is_told_to_allow_pickles(package: str) -> None:
    found = [
        f"{path.relative_to(ROOT)}:{node.value.lineno}"
        for path in sources(package)
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.keyword)
        and node.arg == "allow_pickle"
        and not (isinstance(node.value, ast.Constant) and node.value.value is False)
    ]
    assert found == []


@pytest.mark.parametrize("package", PACKAGES)
def test_the_package_that_python_finds_is_ours(package: str) -> None:
    spec = importlib.util.find_spec(package)
    assert spec is not None
    assert spec.origin is not None
    assert Path(spec.origin).resolve() == ROOT / package / "__init__.py"


def test_no_other_distribution_claims_our_names() -> None:
    claims = set()
    for distribution in importlib.metadata.distributions():
        if distribution.metadata["Name"] == "lonetree":
            continue
        for file in distribution.files or ():
            top = file.parts[0].removesuffix(".py")
            if top in PACKAGES:
                claims.add(f"{distribution.metadata['Name']} installs {file}")
    assert sorted(claims) == []


@pytest.mark.parametrize(
    ("source", "package", "expected"),
    [
        ("import socket", ("models",), {"socket"}),
        ("def f():\n    from urllib.request import urlopen", ("models",), {"urllib.request"}),
        ("import importlib\nimportlib.import_module('apache_beam')", ("models",), {"importlib", "apache_beam"}),
        ("__import__('pickle')", ("models",), {"pickle"}),
        ("from . import schema", ("detectors",), {"detectors"}),
        ("from .conform import shapes", ("detectors",), {"detectors.conform"}),
        ("from ..schema import INVOCATION", ("detectors", "conform"), {"detectors.schema"}),
    ],
)
def test_the_walk_sees_every_way_to_import(source: str, package: tuple[str, ...], expected: set[str]) -> None:
    assert {module for _, module in imported(source, package)} == expected
