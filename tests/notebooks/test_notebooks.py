"""The notebooks run, within their time, and show what they promise; what is committed holds no path of a machine."""

from __future__ import annotations

import json
import re
import time
from pathlib import Path
from typing import Any

import pytest

FOLDER = Path(__file__).resolve().parents[2] / "notebooks"
#: titles of the plots without which a notebook is not what it says
PLOTS = {
    "explore": [
        "Calls by function and trigger",
        "Run time by function",
        "Rhythm: calls an hour",
        "Callers never seen before",
        "Failed and refused calls",
    ],
    "tune": [
        "Mean surprise of each feature",
        "Scores above 0",
        "Expected false incidents a day",
        "Each trial by precision",
        "What a budget buys",
        "99th percentile of the score by function",
    ],
    "investigate": [
        "Reasons by their share",
        "Score of each call to",
        "by status, every half hour",
        "All calls by",
        "Largest surprise of each feature",
    ],
}
#: bytes of a notebook with its outputs; a repository keeps every version of them
MOST_BYTES = 1_500_000
#: a path that only one machine has
MACHINE = re.compile(r"(/home/|/root/|/Users/|/tmp/|/var/folders/|/private/|[A-Z]:\\\\Users)")


def outputs(notebook: dict[str, Any]) -> list[dict[str, Any]]:
    return [out for cell in notebook["cells"] if cell["cell_type"] == "code" for out in cell["outputs"]]


def titles(notebook: dict[str, Any]) -> list[str]:
    """Titles of the charts that have a picture."""
    shown = [out.get("data", {}) for out in outputs(notebook)]
    specs = [(data.get("image/png"), value) for data in shown for kind, value in data.items() if "vegalite" in kind]
    return [str(spec.get("title") or spec.get("layer", [{}])[0].get("title", "")) for png, spec in specs if png]


def missing(name: str, notebook: dict[str, Any]) -> list[str]:
    there = titles(notebook)
    return [plot for plot in PLOTS[name] if not any(plot in title for title in there)]


def read(name: str) -> dict[str, Any]:
    notebook: dict[str, Any] = json.loads((FOLDER / f"{name}.ipynb").read_text(encoding="utf-8"))
    return notebook


def test_every_notebook_is_known_here() -> None:
    assert sorted(path.stem for path in FOLDER.glob("*.ipynb")) == sorted(PLOTS)


@pytest.mark.parametrize("name", PLOTS)
def test_the_committed_notebook_shows_its_plots(name: str) -> None:
    assert missing(name, read(name)) == []


@pytest.mark.parametrize("name", PLOTS)
def test_the_committed_notebook_holds_no_error_and_no_path_of_a_machine(name: str) -> None:
    text = (FOLDER / f"{name}.ipynb").read_text(encoding="utf-8")
    assert [out["ename"] for out in outputs(read(name)) if out["output_type"] == "error"] == []
    # pictures are base64, in which anything may stand
    assert MACHINE.findall(re.sub(r'"image/png": "[^"]*"', "", text)) == []
    assert len(text) < MOST_BYTES


@pytest.mark.parametrize("name", PLOTS)
def test_cells_are_short_and_have_prose_between(name: str) -> None:
    cells = read(name)["cells"]
    code = ["".join(cell["source"]) for cell in cells if cell["cell_type"] == "code"]
    assert max(len(source.splitlines()) for source in code) <= 40
    assert sum(cell["cell_type"] == "markdown" for cell in cells) >= len(code) // 2


@pytest.mark.integration
@pytest.mark.slow
@pytest.mark.parametrize("name", PLOTS)
def test_the_notebook_runs_and_shows_its_plots(name: str) -> None:
    nbformat = pytest.importorskip("nbformat", reason="the notebooks extra is not installed")
    client = pytest.importorskip("nbclient", reason="the notebooks extra is not installed")
    pytest.importorskip("altair", reason="the notebooks extra is not installed")
    notebook = nbformat.read(FOLDER / f"{name}.ipynb", as_version=4)
    began = time.monotonic()
    client.NotebookClient(notebook, timeout=180, resources={"metadata": {"path": str(FOLDER)}}).execute()
    print(f"{name}: {time.monotonic() - began:.0f} s")
    assert missing(name, notebook) == []
