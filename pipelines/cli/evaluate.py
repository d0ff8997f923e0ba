"""``lonetree evaluate``: measures verdicts and incidents against the truth."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click

from models.errors import InputError
from pipelines.cli.console import print_json, print_table, printable
from pipelines.cli.options import budget_option, json_option
from pipelines.cli.show import plural

if TYPE_CHECKING:
    from detectors.evaluate import Evaluation

#: the planted trouble that leaves no invocation to label; where it was stands in scenarios.json
SILENCE: Final = "silence"


@click.command("evaluate", short_help="Measure verdicts against the truth.")
@click.option(
    "--verdicts",
    metavar="DIR",
    required=True,
    type=click.Path(path_type=Path),
    help="The folder that replay wrote, or the verdicts/ in it.",
)
@click.option(
    "--truth",
    metavar="FILE",
    required=True,
    type=click.Path(path_type=Path),
    help="Parquet with InvocationId and scenario, and TimeGenerated if need be for those without a verdict; "
    "invocations that are not in it are normal.",
)
@click.option(
    "--incidents",
    metavar="FILE",
    type=click.Path(path_type=Path),
    help="The incidents.ndjson that belongs to the verdicts.  [default: the one beside them]",
)
@click.option(
    "--days",
    metavar="D",
    type=click.FloatRange(min=0, min_open=True),
    help="Length of the judged logs.  [default: from the first to the last verdict]",
)
@budget_option
@json_option
def command(
    verdicts: Path, truth: Path, incidents: Path | None, days: float | None, budget: float, as_json: bool
) -> None:
    """Say how much of what is known to be bad was found: which kinds, how precisely, how soon.

    A kind of trouble counts as found where an incident of its own comes, most anomalous first, before more than N false
    ones a day have been read. Average precision is exact where replay wrote all verdicts, else a lower bound.

    \b
    Examples:
      lonetree evaluate --verdicts out --truth sample/truth.parquet
      lonetree evaluate --verdicts out --truth sample/truth.parquet --budget 5 --json
    """
    found = measure(verdicts, truth, incidents=incidents, days=days, budget=budget)
    print_json(json.loads(found.to_json())) if as_json else print_evaluation(found)


def measure(
    output: Path, truth: Path, *, incidents: Path | None = None, days: float | None = None, budget: float = 1.0
) -> Evaluation:
    """Evaluate what a replay wrote.

    Args:
        output: the folder that replay wrote, or the verdicts/ in it.
        truth: Parquet with InvocationId and scenario; a scenarios.json beside it says where functions fell silent.
        incidents: the incidents.ndjson; None takes the one that belongs to the verdicts.
        days: length of the judged logs; None takes it from the verdicts.
        budget: false incidents a day.

    Raises:
        InputError: a file is missing or can't be read.
    """
    inner = output / "verdicts"
    folder = inner if inner.is_dir() else output
    beside = incidents or folder.parent / "incidents.ndjson"
    for path, what in ((folder, "verdicts that replay wrote"), (truth, "a Parquet file"), (beside, "incidents.ndjson")):
        if not path.exists():
            raise InputError(f"{path} does not exist.", expected=what, received="nothing")
    from detectors.evaluate import evaluate

    return evaluate(folder, beside, truth, days=days, budget=budget, silences=silences(truth.parent / "scenarios.json"))


def silences(path: Path) -> list[dict[str, Any]]:
    """The functions that fell silent, from the scenarios.json of ``lonetree simulate``; none where there is no such."""
    if not path.is_file():
        return []
    try:
        planted = json.loads(path.read_text(encoding="utf-8"))
        return [
            {
                "scenario": one["kind"],
                "apps": [one["app"]] if one["app"] else [],
                "functions": [one["function"]] if one["function"] else [],
                "start": one["start"],
                "end": one["end"],
            }
            for one in planted
            if one["kind"] == SILENCE
        ]
    except (ValueError, KeyError, TypeError) as error:
        raise InputError(
            f"{path} can't be read.", expected="the scenarios.json of lonetree simulate", received=repr(error)
        ) from None


def _seen(events: int | None) -> str:
    """Bad invocations up to the one with which an incident was told; none if it was open when they began."""
    if events is None:
        return "-"
    return f"{events:,}" if events else "open already"


def print_evaluation(found: Evaluation) -> None:
    """Print a row for each kind of trouble, and the figures over all of them."""
    print_table(
        ("kind", "found", "invocations", "seen of them", "after"),
        [
            (
                one.name,
                "yes" if one.found else "no",
                f"{one.events:,}",
                _seen(one.events_to_detect),
                elapsed(one.seconds_to_detect),
            )
            for one in found.scenarios
        ],
        styles=["green" if one.found else "red" for one in found.scenarios],
        styled="found",
        right=("invocations", "seen of them", "after"),
    )
    hits = sum(one.found for one in found.scenarios)
    bound = "" if found.complete else " at least (replay with --verdicts all gives it exactly)"
    precision = "unknown" if math.isnan(found.average_precision) else f"{found.average_precision:.3f}{bound}"
    lines = [
        f"{hits} of {plural(len(found.scenarios), 'kind')} found at"
        f" {found.budget:g} false {'incident' if found.budget == 1 else 'incidents'} a day.",
        f"Incidents in {found.days:.3g} days: {found.incidents_true:,} true, {found.incidents_false:,} false"
        f" ({found.false_per_day:.2g} false a day).",
        f"Average precision over invocations: {precision}.",
    ]
    if found.median_seconds_to_detect is not None:
        lines.append(
            f"Median time to detect: {elapsed(found.median_seconds_to_detect)}"
            + (f", {found.median_events_to_detect:g} invocations" if found.median_events_to_detect is not None else "")
            + "."
        )
    lines += [
        f"Read to {one.false_per_day:g} false a day: {len(one.found)} kinds, {plural(one.incidents, 'incident')}."
        for one in found.recalls
        if one.false_per_day != found.budget
    ]
    for line in lines:
        click.echo(printable(line))


def elapsed(seconds: float | None) -> str:
    """A time span in the unit that fits it."""
    if seconds is None:
        return "-"
    for unit, size in (("d", 86_400), ("h", 3600), ("min", 60)):
        if seconds >= 2 * size:
            return f"{seconds / size:.1f} {unit}"
    return f"{seconds:.0f} s"
