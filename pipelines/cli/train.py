"""``lonetree train``: learns what is normal from logs, and adds a version to a registry."""

from __future__ import annotations

from pathlib import Path

import click

from pipelines.cli.bars import ShownProgress
from pipelines.cli.console import print_json, printable
from pipelines.cli.options import LogsCommand, beam_options, input_option, json_option, models_option


@click.command("train", cls=LogsCommand, short_help="Learn what is normal from logs; adds a version to a registry.")
@input_option
@models_option
@json_option
def command(inputs: list[str], models: Path, as_json: bool) -> None:
    """Learn what is normal from logs, and add a version to the registry in DIR.

    One to four weeks are a good start. A few percent of anomalies in them do no harm.

    \b
    Examples:
      lonetree train --input logs/october --models models
      lonetree train --input 'logs/2026-10-*.parquet' more/*.json.gz --models models
      lonetree train --input azfs://account/am-apprequests --models models
      lonetree train --input logs --models models -- --direct_num_workers=2
    """
    from pipelines.jobs import train

    with ShownProgress() as progress:
        result = train(inputs, models, beam_args=beam_options(), progress=progress)
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
    for note in result.notes:
        click.echo(printable(f"note: {note}"))
