"""``lonetree simulate``: labelled sample logs, with planted attacks and faults, to try things on."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click

from models.errors import InputError
from pipelines.cli.bars import ShownProgress
from pipelines.cli.console import print_json, print_table, printable
from pipelines.cli.options import FOLDER, json_option, scale_option, value_option
from pipelines.cli.show import moment, plural

if TYPE_CHECKING:
    from pipelines.simulate import SimulationSummary

#: marks a folder as one that a sample goes to, also where writing it was interrupted
MARKER: Final = ".lonetree-sample"
FORMATS: Final = ("parquet", "ndjson", "functionapplogs")
IDENTITIES: Final = ("full", "masked")


@click.command("simulate", short_help="Write labelled sample logs to try things on.")
@click.argument("out", metavar="OUT", type=FOLDER)
@value_option("--seed", "N", click.INT, "The same seed gives the same bytes.", default=0)
@value_option("--days", "D", click.IntRange(min=1), "Days of logs.", default=7)
@value_option(
    "--train-days",
    "D",
    click.IntRange(min=0),
    "How many of the days, the first, are kept apart to train on.  [default: all but the last two sevenths]",
)
@scale_option
@value_option(
    "--workload",
    "FOLDER",
    FOLDER,
    "Take arrivals, triggers and durations from the tables of the 2019 Azure Functions trace in FOLDER.",
)
@value_option(
    "--identity",
    None,
    click.Choice(IDENTITIES),
    "Callers' addresses as logged: full, or masked as Azure does by default.",
    default="full",
)
@click.option(
    "--format",
    "shape",
    type=click.Choice(FORMATS),
    default="parquet",
    show_default=True,
    help="Shape of the logs: AppRequests as Parquet or JSON Lines, or the platform's own FunctionAppLogs.",
)
@click.option(
    "--scenario",
    "scenarios",
    metavar="NAME",
    multiple=True,
    help="Plant only this attack or fault; may be repeated. All kinds by default.",
)
@click.option("--clean", is_flag=True, help="Plant nothing: normal life alone.")
@value_option(
    "--contaminate",
    "SHARE",
    click.FloatRange(0, 0.2),
    "Share of the training days' invocations that are attacks too, as in real logs.",
    default=0.0,
)
@value_option(
    "--sampling",
    "SHARE",
    click.FloatRange(0, 1, min_open=True),
    "Share of the rows that are kept; below 1, ItemCount says for how many each stands.",
    default=1.0,
)
@json_option
def command(
    out: Path,
    seed: int,
    days: int,
    train_days: int | None,
    scale: float,
    workload: Path | None,
    identity: Any,
    shape: Any,
    scenarios: tuple[str, ...],
    clean: bool,
    contaminate: float,
    sampling: float,
    as_json: bool,
) -> None:
    """Write the logs of an invented company to OUT, with attacks and faults planted in them and labelled.

    OUT/train holds the days to train on, OUT/replay the days to judge, OUT/truth.parquet which invocations are bad and
    why, OUT/scenarios.json what was planted. A sample that was written to OUT before is replaced.

    \b
    Examples:
      lonetree simulate sample
      lonetree simulate sample --seed 7 --days 14 --identity masked --format ndjson
      lonetree simulate sample --workload azure-functions-2019     real arrivals and durations
    """
    if clean and scenarios:
        raise click.UsageError("--clean plants nothing, so it can't be combined with --scenario.")
    from pipelines.simulate import simulate

    clear_earlier(out)
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
            scenarios=scenarios or not clean,
            contaminate=contaminate,
            sampling=sampling,
            progress=lambda _, done, of: progress("simulating", done, of, "days"),
        )
    print_json(made) if as_json else print_summary(made)


def clear_earlier(out: Path) -> None:
    """Remove the days of an earlier sample: mixed with those of another they would be nobody's logs. Leaves a marker.

    Raises:
        InputError: train/ or replay/ hold files that are no sample's.
    """
    files = [path for part in ("train", "replay") for path in sorted((out / part).rglob("*")) if path.is_file()]
    ours = (out / MARKER).is_file() or (out / "scenarios.json").is_file()
    foreign = [path for path in files if not (ours and path.name.startswith("day="))]
    if foreign:
        raise InputError(
            f"{out} holds something else.",
            expected="an earlier sample, an empty folder, or none",
            received=str(foreign[0]),
            hint="name another folder",
        )
    for path in files:
        path.unlink()
    out.mkdir(parents=True, exist_ok=True)
    (out / MARKER).write_text("Written by lonetree simulate; the next sample replaces this one.\n", encoding="utf-8")


def print_summary(made: SimulationSummary) -> None:
    """Say what was written: days, invocations, and a row for each planted trouble."""
    click.echo(
        printable(
            f"{made.out}: {plural(made.apps, 'app')} with {plural(made.functions, 'function')};"
            f" train: {plural(len(made.train_days), 'day')}, {plural(made.train_events, 'invocation')};"
            f" replay: {plural(len(made.replay_days), 'day')}, {plural(made.replay_events, 'invocation')},"
            f" {made.labelled:,} of them planted."
        )
    )
    if made.scenarios:
        print_table(
            ("planted", "from (UTC)", "to", "invocations", "where"),
            [
                (
                    str(one["kind"]),
                    moment(one["first_event"]),
                    moment(one["last_event"]),
                    f"{one['events']:,}",
                    "/".join(str(one[name]) for name in ("app", "function") if one[name]) or "several",
                )
                for one in made.scenarios
            ],
            right=("invocations",),
        )
