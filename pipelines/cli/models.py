"""``lonetree models``: the versions in a registry."""

from __future__ import annotations

from pathlib import Path

import click

from pipelines.cli.console import print_json, print_table
from pipelines.cli.options import json_option, models_option


@click.group("models", short_help="List and show the versions in a registry.")
def command() -> None:
    """List and show the versions in a registry, the folder that train writes to.

    \b
    Examples:
      lonetree models list --models models
      lonetree models show v0003 --models models --json
    """


@command.command("list", short_help="All versions, the champion marked.")
@models_option
@json_option
def list_versions(models: Path, as_json: bool) -> None:
    """List the versions in DIR; the champion is the one that replay takes by default."""
    from models.registry import Registry

    versions = Registry(models).list()
    if as_json:
        print_json({"versions": versions})
        return
    if not versions:
        click.echo("No versions yet: lonetree train adds one.")
        return
    print_table(("version", "champion", "trained"), [(one.version, "", "") for one in versions])


@command.command("show", short_help="One version: what it was trained on and what it holds.")
@click.argument("version", metavar="VERSION")
@models_option
@json_option
def show_version(version: str, models: Path, as_json: bool) -> None:
    """Show one version in DIR: schema, features, training window, counts, checksums."""
    from models.registry import Registry

    manifest = Registry(models).get(version)
    if as_json:
        print_json(manifest)
