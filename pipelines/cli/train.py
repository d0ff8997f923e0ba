"""``lonetree train``: learns what is normal from logs, and adds a version to a registry."""

from __future__ import annotations

from pathlib import Path

import click

from pipelines.cli.bars import ShownProgress
from pipelines.cli.console import print_json, printable
from pipelines.cli.options import LogsCommand, beam_options, input_option, json_option, models_option, pseudonym_option
from pipelines.cli.show import ON_TOP, plural, print_blind_spots


@click.command("train", cls=LogsCommand, short_help="Learn what is normal from logs; adds a version to a registry.")
@input_option
@models_option
@click.option(
    "--caller-property",
    metavar="KEY",
    help="A property of the request in which you log who called, say a hash of the key's id; kept with the version.",
)
@pseudonym_option
@click.option("--note", metavar="TEXT", default="", help="What should be known about the version; kept with it.")
@json_option
def command(
    inputs: list[str],
    models: str | Path,
    caller_property: str | None,
    pseudonym_key: str | None,
    note: str,
    as_json: bool,
) -> None:
    """Learn what is normal from logs, and add a version to the registry in DIR.

    One to four weeks are a good start. A few percent of anomalies in them do no harm.

    \b
    Examples:
      lonetree train --input logs/october --models models
      lonetree train --input 'logs/2026-10-*.parquet' more/*.json.gz --models models
      lonetree train --input azfs://account/am-apprequests --models models
      lonetree train --input logs --models models -- --direct_num_workers=2
    """
    from pipelines.workflows import train

    with ShownProgress() as progress:
        result = train(
            inputs,
            models,
            caller_property=caller_property,
            pseudonym_key=pseudonym_key,
            note=note,
            beam_args=beam_options(),
            progress=progress,
        )
    if as_json:
        print_json(result)
        return
    start, end = result.window
    click.echo(
        printable(
            f"Version {result.version} in {models}: {result.functions:,} functions from {result.invocations:,}"
            f" invocations, {start:%Y-%m-%d} to {end:%Y-%m-%d}."
        )
    )
    click.echo(f"False incidents to be expected at --budget 1: about {result.expected:.2g} a day.")
    click.echo(ON_TOP)
    lost = result.run.get("dead_letter", 0)
    if lost:
        click.echo(f"note: {plural(lost, 'record')} could not be read; replay writes down which, and why.")
    for remark in result.notes:
        click.echo(printable(f"note: {remark}"))
    print_blind_spots(result.run)
