"""``lonetree simulate``: labelled sample logs, with planted attacks and faults, to try things on."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import click

from pipelines.cli.console import ShownProgress, print_json, printable
from pipelines.cli.options import json_option

FORMATS: Final = ("parquet", "ndjson", "functionapplogs")
IDENTITIES: Final = ("full", "masked")


@click.command("simulate", short_help="Write labelled sample logs to try things on.")
@click.argument("out", metavar="OUT", type=click.Path(file_okay=False, path_type=Path))
@click.option("--seed", metavar="N", type=int, default=0, show_default=True, help="The same seed gives the same bytes.")
@click.option("--days", metavar="D", type=click.IntRange(min=1), default=10, show_default=True, help="Days of logs.")
@click.option(
    "--train-days",
    metavar="D",
    type=click.IntRange(min=0),
    default=7,
    show_default=True,
    help="The first days, kept apart and free of planted trouble, to train on.",
)
@click.option(
    "--scale",
    metavar="S",
    type=click.FloatRange(min=0, min_open=True),
    default=1.0,
    show_default=True,
    help="Traffic, as a multiple of about 100,000 invocations a day.",
)
@click.option(
    "--workload",
    metavar="FOLDER",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    help="Take arrivals, triggers and durations from the tables of the 2019 Azure Functions trace in FOLDER.",
)
@click.option(
    "--identity",
    type=click.Choice(IDENTITIES),
    default="full",
    show_default=True,
    help="Callers' addresses as logged: full, or masked as Azure does by default.",
)
@click.option("--format", "shape", type=click.Choice(FORMATS), default="parquet", show_default=True, help="Log shape.")
@click.option(
    "--scenario",
    "scenarios",
    metavar="NAME",
    multiple=True,
    help="Plant only this attack or fault; may be repeated. All of them by default.",
)
@json_option
def command(
    out: Path,
    seed: int,
    days: int,
    train_days: int,
    scale: float,
    workload: Path | None,
    identity: str,
    shape: str,
    scenarios: tuple[str, ...],
    as_json: bool,
) -> None:
    """Write the logs of an invented company to OUT, with attacks and faults planted in them and labelled.

    OUT/train holds normal days, OUT/logs the days to judge, OUT/truth.parquet which invocations are bad and why.

    \b
    Examples:
      lonetree simulate sample
      lonetree simulate sample --seed 7 --days 14 --identity masked --format ndjson
      lonetree simulate sample --workload azure-functions-2019     real arrivals and durations
    """
    from pipelines.simulate import simulate

    with ShownProgress() as progress:
        made = simulate(
            out,
            seed=seed,
            days=days,
            train_days=train_days,
            scale=scale,
            workload=workload,
            identity=identity,
            format=shape,
            scenarios=scenarios or None,
            progress=progress,
        )
    if as_json:
        print_json(made)
        return
    click.echo(printable(f"Wrote {out}."))
