from __future__ import annotations

import importlib
import inspect
import pkgutil
import subprocess
import sys

import pytest

PACKAGES = ("models", "detectors", "pipelines")


@pytest.mark.parametrize("package", PACKAGES)
def test_every_public_name_is_there_and_says_what_it_is(package: str) -> None:
    module = importlib.import_module(package)
    assert dir(module)
    assert [name for name in dir(module) if callable(found := getattr(module, name)) and not found.__doc__] == []


@pytest.mark.parametrize("package", PACKAGES)
def test_every_public_function_says_what_it_takes_and_what_can_go_wrong(package: str) -> None:
    module = importlib.import_module(package)
    functions = {name: found for name in dir(module) if inspect.isfunction(found := getattr(module, name))}
    said = {name: inspect.getdoc(found) or "" for name, found in functions.items()}
    assert [name for name, text in said.items() if "Args:" not in text and "Example:" not in text] == []
    # what neither reads nor refuses anything has nothing to raise
    assert [name for name, text in said.items() if "Raises:" not in text and "Example:" not in text] == []


@pytest.mark.parametrize("package", PACKAGES)
def test_no_public_name_is_hidden_by_a_submodule(package: str) -> None:
    module = importlib.import_module(package)
    submodules = {found.name for found in pkgutil.iter_modules(module.__path__)}
    assert submodules & set(dir(module)) == set()


@pytest.mark.parametrize("package", PACKAGES)
def test_an_unknown_name_is_an_attribute_error(package: str) -> None:
    with pytest.raises(AttributeError, match="nothing_of_ours"):
        importlib.import_module(package).nothing_of_ours  # noqa: B018


def test_importing_the_packages_and_what_notebooks_use_brings_no_beam() -> None:
    code = (
        "import sys, models, detectors, pipelines\n"
        "light = 'numpy' not in sys.modules and 'pyarrow' not in sys.modules\n"
        "from detectors import detect, fit, measure; from models import Registry; from pipelines import load\n"
        "print(light, 'apache_beam' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["True", "False"]
