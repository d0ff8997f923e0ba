"""``lonetree replay``: judges logs with a trained version, and writes verdicts and incidents."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final, Literal

import click

from pipelines.cli.bars import ShownProgress
from pipelines.cli.console import print_json, printable
from pipelines.cli.options import (
    LogsCommand,
    beam_options,
    budget_option,
    input_option,
    json_option,
    models_option,
    pseudonym_option,
    verdicts_option,
)
from pipelines.cli.show import plural, print_blind_spots, print_expected, print_incidents

#: rows shown at the end of a replay; `lonetree incidents` has them all
ROWS: Final = 20


@click.command(
    "replay", cls=LogsCommand, short_help="Judge logs with a trained version; writes verdicts and incidents."
)
@input_option
@models_option
@click.option(
    "--output",
    metavar="DIR",
    required=True,
    type=click.Path(file_okay=False, path_type=Path),
    help="Where to write verdicts/, incidents.ndjson, dead-letter/ and run.json.",
)
@click.option("--version", metavar="V", help="The version to judge with; the registry's champion by default.")
@budget_option
@verdicts_option
@pseudonym_option
@json_option
def command(
    inputs: list[str],
    models: str | Path,
    output: Path,
    version: str | None,
    budget: float,
    verdicts: Literal["anomalous", "all"],
    pseudonym_key: str | None,
    as_json: bool,
) -> None:
    """Judge every invocation in the logs, and write the incidents that deserve a person.

    \b
    Examples:
      lonetree replay --input logs/november --models models --output out
      lonetree replay --input logs --models models --output out --budget 0.2      stricter: one in five days
      lonetree replay --input logs --models models --output out --verdicts all --json
      lonetree replay --input logs --models models --output out -- --runner=FlinkRunner --flink_master=localhost:8081
    """
    from pipelines.workflows import replay

    with ShownProgress() as progress:
        result = replay(
            inputs,
            models,
            output,
            version=version,
            budget=budget,
            verdicts=verdicts,
            pseudonym_key=pseudonym_key,
            beam_args=beam_options(),
            progress=progress,
        )
    if as_json:
        print_json({"run": result.run, "incidents": result.incidents})
        return
    click.echo(printable(account(result.run)))
    if result.run.get("dead_letter"):
        click.echo(printable(f"Which could not be read, and why: {output / 'dead-letter'}"))
    if result.run.get("read") and result.run.get("scored") == 0:
        click.echo("note: nothing was judged, so that there are no incidents says nothing.")
    print_expected(result.run)
    print_incidents(result.incidents, limit=ROWS, hint=f"lonetree incidents {output}")
    if result.incidents:
        click.echo(printable(f"One from all sides: lonetree incidents {output} --id ID"))
    print_blind_spots(result.run)


def account(run: Mapping[str, Any]) -> str:
    """The account of a run in one sentence, from ``run.json``."""
    counts = [
        (run.get("scored"), "scored"),
        (run.get("duplicates"), "duplicates"),
        (run.get("dead_letter"), "dead letters"),
    ]
    parts = ", ".join(f"{count:,} {name}" for count, name in counts if isinstance(count, int))
    seconds = run.get("seconds")
    took = f" in {seconds:.1f} s" if isinstance(seconds, (int, float)) else ""
    return f"{plural(run.get('read', 0), 'record')} read{took}: {parts}."
