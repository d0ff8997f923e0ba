"""``lonetree demo``: simulates, trains, replays, and shows what was found, everything in one folder."""

from __future__ import annotations

import math
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Final

import click

from models.errors import InputError
from pipelines.cli.bars import ShownProgress
from pipelines.cli.console import printable
from pipelines.cli.evaluate import measure
from pipelines.cli.options import budget_option, scale_option, value_option
from pipelines.cli.quiet import quiet
from pipelines.cli.replay import account
from pipelines.cli.show import plural, print_incidents

if TYPE_CHECKING:
    from detectors.evaluate import Evaluation

#: marks a folder as one that the demo made and may make again
MARKER: Final = ".lonetree-demo"
#: rows of the table at the end; more would push what it means off the screen
ROWS: Final = 40


@click.command("demo", short_help="Simulate, train, replay, and show the incidents.")
@click.argument("out", metavar="[OUT]", default="demo", type=click.Path(file_okay=False, path_type=Path))
@value_option("--seed", "N", click.INT, "Another seed, another company.", default=0)
@value_option("--days", "D", click.IntRange(min=3), "Days of logs.", default=7)
@scale_option
@budget_option
def command(out: Path, seed: int, days: int, scale: float, budget: float) -> None:
    """Go the whole way once on sample logs, in a few minutes: simulate, train, replay, and show the incidents.

    Everything is written to OUT (./demo by default) and stays there to look at; the next demo writes it anew.

    \b
    Examples:
      lonetree demo
      lonetree demo /tmp/demo --seed 7
    """
    make_room(out)
    quiet()
    from pipelines.simulate import simulate
    from pipelines.workflows import replay, train

    sample, models, found = out / "sample", out / "models", out / "out"
    with ShownProgress() as progress:
        made = simulate(
            sample,
            seed=seed,
            days=days,
            scale=scale,
            progress=lambda _, done, of: progress("simulating", done, of, "days"),
        )
        train([str(sample / "train")], models, progress=progress)
        result = replay([str(sample / "replay")], models, found, budget=budget, verdicts="anomalous", progress=progress)
    # the budget has had its say: whatever was raised counts as read
    measured = measure(found, sample / "truth.parquet", days=len(made.replay_days), budget=math.inf)
    click.echo()
    print_incidents(result.incidents, limit=ROWS, hint=f"lonetree incidents {found} --limit {len(result.incidents)}")
    click.echo()
    click.echo(
        printable(
            f"Learned from {plural(made.train_events, 'invocation')} in {plural(len(made.train_days), 'day')};"
            f" judged {plural(len(made.replay_days), 'day')}: {account(result.run)}"
        )
    )
    for line in verdict_on(measured):
        click.echo(printable(line))
    click.echo(printable(f"One from all sides: lonetree incidents {found} --id ID"))


def verdict_on(measured: Evaluation) -> list[str]:
    """How many of the planted troubles were found, and what was missed, as sentences."""
    missed = sorted(one.name for one in measured.scenarios if not one.found)
    planted = plural(len(measured.scenarios), "planted attack or fault", "planted attacks and faults")
    return [
        f"The incidents hold {len(measured.scenarios) - len(missed)} of {planted}"
        + (f"; missed: {', '.join(missed)}." if missed else "."),
        f"{plural(measured.incidents_true, 'incident')} about something planted,"
        f" {measured.incidents_false:,} about nothing planted ({measured.false_per_day:.2g} a day).",
    ]


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
