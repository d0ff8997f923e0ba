"""``lonetree evaluate``: measures verdicts against the truth."""

from __future__ import annotations

from pathlib import Path

import click

from pipelines.cli.console import print_json
from pipelines.cli.options import budget_option, json_option


@click.command("evaluate", short_help="Measure verdicts against the truth.")
@click.option(
    "--verdicts",
    metavar="DIR",
    required=True,
    type=click.Path(path_type=Path),
    help="The folder that replay wrote, or its verdicts/; all verdicts give the truest average precision.",
)
@click.option(
    "--truth",
    metavar="FILE",
    required=True,
    type=click.Path(path_type=Path),
    help="Parquet with InvocationId and scenario; invocations that are not in it are normal.",
)
@budget_option
@json_option
def command(verdicts: Path, truth: Path, budget: float, as_json: bool) -> None:
    """Say how much of what is known to be bad was found: by kind, how precisely, how soon.

    Average precision, recall at the budget and time to detect, for each kind of attack and fault in the truth.

    \b
    Examples:
      lonetree evaluate --verdicts out --truth sample/truth.parquet
      lonetree evaluate --verdicts out --truth sample/truth.parquet --budget 5 --json
    """
    from detectors.evaluate import evaluate

    found = evaluate(verdicts, truth, budget=budget)
    print_json(found)
