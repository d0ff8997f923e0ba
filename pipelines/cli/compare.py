"""``lonetree models compare`` and ``drift``: may this version take the other's place, and is it still right."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from pipelines.cli.bars import ShownProgress
from pipelines.cli.console import print_json, print_table, printable
from pipelines.cli.options import (
    LogsCommand,
    beam_options,
    budget_option,
    input_option,
    json_option,
    models_option,
    pseudonym_option,
)
from pipelines.cli.show import moment

if TYPE_CHECKING:
    from detectors.comparison import Comparison
    from detectors.drift import Drift

#: functions, or incidents lost and gained, in a table; --json has them all
ROWS = 10


@click.command("compare", cls=LogsCommand, short_help="Judge the same logs with two versions, and tell the difference.")
@click.argument("a", metavar="A")
@click.argument("b", metavar="B")
@input_option
@models_option
@budget_option
@pseudonym_option
@json_option
def compare_versions(
    a: str, b: str, inputs: list[str], models: str | Path, budget: float, pseudonym_key: str | None, as_json: bool
) -> None:
    """Judge the same logs with versions A and B: incidents gained and lost, and why; how scores moved; what became of
    the incidents that were said to be bad. A version's name, or `champion`.

    \b
    Examples:
      lonetree models compare champion 20260801T000000-3fa9c1 --input logs/august --models models
      lonetree models compare champion 20260801T000000-3fa9c1 --input logs/august --models models --json
    """
    from pipelines.versus import compare_on

    with ShownProgress() as progress:
        found = compare_on(
            inputs,
            models,
            a,
            b,
            budget=budget,
            pseudonym_key=pseudonym_key,
            beam_args=beam_options(),
            progress=progress,
        )
    print_json(found.to_json()) if as_json else print_comparison(found)


def print_comparison(found: Comparison) -> None:
    """Print what differs."""
    click.echo(printable(f"A {found.a}: {found.incidents[0]} incidents. B {found.b}: {found.incidents[1]}."))
    click.echo(f"{found.shared} in both, {len(found.lost)} only in A, {len(found.gained)} only in B.")
    changes = [("lost", one) for one in found.lost[:ROWS]] + [("gained", one) for one in found.gained[:ROWS]]
    if changes:
        print_table(
            ("", "incident", "opened (UTC)", "score", "what", "why"),
            [(sign, c.incident_id, moment(c.opened), f"{c.score:.1f}", c.title, c.reason) for sign, c in changes],
            right=("score",),
        )
        left = [(len(which) - ROWS, name) for which, name in ((found.lost, "lost"), (found.gained, "gained"))]
        if more := ", ".join(f"{count:,} more {name}" for count, name in left if count > 0):
            click.echo(f"… and {more}, less strange: --json has them all.")
    if found.regressions:
        print_table(
            ("bad case", "A", "B", "what"),
            [(one.incident_id, one.a, one.b, one.title) for one in found.regressions],
        )
    if found.functions:
        print_table(
            ("function", "invocations", "p99 in A", "p99 in B", "distance"),
            [
                (
                    f"{f.app}/{f.function}",
                    f"{f.invocations:,}",
                    f"{f.a['p99']:.2f}",
                    f"{f.b['p99']:.2f}",
                    f"{f.distance:.3f}",
                )
                for f in found.functions[:ROWS]
            ],
            right=("invocations", "p99 in A", "p99 in B", "distance"),
        )
    if found.regressed:
        click.echo(f"B misses {len(found.regressed)} of the bad incidents that A finds: better not promote it.")
    elif found.regressions:
        click.echo("B finds every bad incident of these logs that A finds.")


@click.command("drift", cls=LogsCommand, short_help="How far logs have moved from what a version learned.")
@click.argument("version", metavar="[VERSION]", default="champion")
@input_option
@models_option
@budget_option
@pseudonym_option
@json_option
def drift_of_version(
    version: str, inputs: list[str], models: str | Path, budget: float, pseudonym_key: str | None, as_json: bool
) -> None:
    """Compare logs with the training window of VERSION, the champion by default: which functions moved and in what,
    whether it raises more than its budget, and whether to train again. The logs are read into memory; days will do.

    \b
    Examples:
      lonetree models drift --input logs/september --models models
      lonetree models drift --input logs/september --models models --json
    """
    from detectors.drift import measure_drift
    from pipelines.reading import reading_for
    from pipelines.sources.files import load
    from pipelines.workflows import load_model

    model = load_model(models, version)
    found = measure_drift(load(inputs, reading_for(model, pseudonym_key)), model, budget=budget)
    print_json(found.to_json()) if as_json else print_drift(found)


def print_drift(found: Drift) -> None:
    """Print what moved, and the advice."""
    click.echo(
        printable(
            f"{found.invocations:,} invocations in {found.days:.1f} days against version {found.version}:"
            f" {len(found.moved)} function{'' if len(found.moved) == 1 else 's'} moved"
            f" ({found.moved_share:.0%} of the invocations),"
            f" {len(found.unknown)} unknown, {len(found.gone)} gone."
        )
    )
    if found.moved:
        print_table(
            ("function", "invocations", "in what", "usual ms", "calls a day", "failures"),
            [
                (
                    f"{one.app}/{one.function}",
                    f"{one.invocations:,}",
                    "; ".join(f"{s.words} ({s.before:.1f} to {s.now:.1f})" for s in one.shifts[:3]),
                    f"{one.median_ms[0]:,.0f} to {one.median_ms[1]:,.0f}",
                    f"{one.per_day[0]:,.0f} to {one.per_day[1]:,.0f}",
                    f"{one.failure_rate[0]:.1%} to {one.failure_rate[1]:.1%}",
                )
                for one in found.moved[:ROWS]
            ],
            right=("invocations",),
        )
    for name, functions in (("Unknown", found.unknown), ("Gone", found.gone)):
        if functions:
            click.echo(printable(f"{name}: {', '.join(functions[:ROWS])}{' ...' if len(functions) > ROWS else ''}"))
    click.echo(f"Incidents: {found.incidents}, where {found.expected_incidents:.1f} false ones are to be expected.")
    for line in found.advice:
        click.echo(printable(line))
