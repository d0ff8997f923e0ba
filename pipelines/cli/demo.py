"""``lonetree demo``: simulates, trains, replays, and shows what was found, everything in one folder."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Final

import click

from models.errors import InputError

#: marks a folder as one that the demo made and may make again
MARKER: Final = ".lonetree-demo"


@click.command("demo", short_help="Simulate, train, replay, and show the incidents.")
@click.argument("out", metavar="[OUT]", default="demo", type=click.Path(file_okay=False, path_type=Path))
@click.option("--seed", metavar="N", type=int, default=0, show_default=True, help="Another seed, another company.")
def command(out: Path, seed: int) -> None:
    """Go the whole way once on sample logs, in a few minutes: simulate, train, replay, and show the incidents.

    Everything is written to OUT (./demo by default) and stays there to look at; the next demo writes it anew.

    \b
    Examples:
      lonetree demo
      lonetree demo /tmp/demo --seed 7
    """
    make_room(out)


def make_room(out: Path) -> None:
    """Make the folder of a demo, empty; one that something else made is left alone.

    Raises:
        InputError: the folder holds something that no demo wrote.
    """
    if out.exists() and any(out.iterdir()):
        if not (out / MARKER).is_file():
            raise InputError(
                f"{out} is not empty.",
                expected="a folder of an earlier demo, an empty one, or none",
                received="a folder with other files in it",
                hint="name another: lonetree demo OUT",
            )
        shutil.rmtree(out)
    out.mkdir(parents=True, exist_ok=True)
    (out / MARKER).write_text("Written by lonetree demo; the next demo removes this folder.\n", encoding="utf-8")
