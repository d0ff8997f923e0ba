"""The catalogue as a page of the documentation: ``python -m detectors.catalogue.document docs/findings.md``."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Final

from detectors.catalogue import KINDS, Kind
from detectors.catalogue.techniques import TECHNIQUES
from detectors.explain import describe

_HEAD: Final = """\
# What Lonetree finds

Each incident is of one kind. Below, for every kind: what it may mean and what harmless things look the same, an example
as Lonetree tells it, MITRE ATT&CK techniques where it may be an attack, and what to do first. The first kind that fits
is taken, in this order, so the specific come before the general.

This page is made from the catalogue in `detectors/catalogue`, which says how to add a kind.
"""


def catalogue_markdown() -> str:
    """The page, from the catalogue alone: the same catalogue gives the same text."""
    return "\n".join([_HEAD, *map(_section, KINDS)])


def _section(kind: Kind) -> str:
    told = describe(kind.example)
    techniques = ", ".join(f"{name} ({TECHNIQUES[name]})" for name in kind.attack) or "none, a fault"
    made_by = ", ".join(group.replace("_", " ") for group in kind.made_by) or "any"
    lines = [
        f"## {kind.id}",
        "",
        kind.meaning,
        "",
        f"> **{told['title']}** ({told['severity']})  ",
        f"> {told['summary']}",
        "",
        f"- seen in: {made_by}",
        f"- ATT&CK: {techniques}",
        "- what to do:",
        *(f"  {number}. {step}" for number, step in enumerate(kind.runbook, start=1)),
        "",
    ]
    return "\n".join(lines)


if __name__ == "__main__":
    Path(sys.argv[1]).write_text(catalogue_markdown(), encoding="utf-8")
