"""``lonetree models``: the versions in a registry, what each holds, and which of them judges."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

import click

from models.user import whoami
from pipelines.cli.compare import compare_versions, drift_of_version
from pipelines.cli.console import print_json, print_table, printable
from pipelines.cli.options import json_option, models_option
from pipelines.cli.show import moment

#: values of a list that are shown; --json has them all
SHOWN: Final = 6


@click.group("models", short_help="The versions in a registry: list, show, compare, promote, roll back, drift.")
def command() -> None:
    """The versions in a registry, the folder that train writes to. The champion is the one that judges.

    \b
    Examples:
      lonetree models list --models models
      lonetree models show --models models --json
      lonetree models promote 20260801T000000-3fa9c1 --models models --why 'holds August'
    """


command.add_command(compare_versions)
command.add_command(drift_of_version)


@command.command("list", short_help="All versions, the champion marked.")
@models_option
@json_option
def list_versions(models: str | Path, as_json: bool) -> None:
    """List the versions in DIR, oldest training window first.

    \b
    Examples:
      lonetree models list --models models
    """
    from pipelines.registry_storage import open_registry

    versions = open_registry(models).list()
    if as_json:
        print_json({"versions": versions})
    elif not versions:
        click.echo("No versions yet: lonetree train adds one.")
    else:
        print_table(
            ("version", "champion", "added (UTC)", "by", "note"),
            [
                (
                    one.id,
                    "yes" if one.champion else "",
                    moment(one.added) if one.added else "-",
                    one.who or "-",
                    one.note or "",
                )
                for one in versions
            ],
            styles=["green" if one.champion else "" for one in versions],
            styled="champion",
        )


@command.command("show", short_help="One version: what it was trained on and what it holds.")
@click.argument("version", metavar="[VERSION]", default="champion")
@models_option
@json_option
def show_version(version: str, models: str | Path, as_json: bool) -> None:
    """Show one version in DIR, the champion by default, after checking every checksum in it.

    \b
    Examples:
      lonetree models show --models models
      lonetree models show 20260801T000000-3fa9c1 --models models --json
    """
    from pipelines.registry_storage import open_registry

    registry = open_registry(models)
    name = registry.resolve(version)
    bundle = registry.get(name)
    about = {
        "version": name,
        "champion": name == registry.champion,
        "digest": bundle.digest,
        "about": dict(bundle.manifest),
        "tables": {table: bundle.tables[table].num_rows for table in sorted(bundle.tables)},
        "documents": sorted(bundle.documents),
    }
    if as_json:
        print_json(about)
        return
    for key, value in flat(about):
        click.echo(printable(f"{key}: {value}"))


@command.command("promote", short_help="Make a version the one that judges.")
@click.argument("version", metavar="VERSION")
@models_option
@click.option("--why", metavar="TEXT", default="", help="The reason, kept in the registry's log.")
def promote_version(version: str, models: str | Path, why: str) -> None:
    """Make VERSION the champion, the one that judges unless told otherwise. It is read through first.

    \b
    Examples:
      lonetree models promote 20260801T000000-3fa9c1 --models models --why 'holds August'
    """
    from pipelines.registry_storage import open_registry

    name = open_registry(models).promote(version, who=whoami(), why=why)
    click.echo(printable(f"{name} judges now."))


@command.command("rollback", short_help="Go back to the champion before this one.")
@models_option
@click.option("--why", metavar="TEXT", default="", help="The reason, kept in the registry's log.")
def roll_back(models: str | Path, why: str) -> None:
    """Go back to the champion before this one; again, to the one before that.

    \b
    Examples:
      lonetree models rollback --models models --why 'too many false incidents since Monday'
    """
    from pipelines.registry_storage import open_registry

    name = open_registry(models).rollback(who=whoami(), why=why)
    click.echo(printable(f"{name} judges again."))


def flat(value: Mapping[str, Any], above: str = "") -> Iterator[tuple[str, str]]:
    """Each leaf of nested mappings as (dotted key, text); long lists are cut."""
    for key, item in value.items():
        name = f"{above}{key}"
        if isinstance(item, Mapping):
            yield from flat(item, f"{name}.")
        elif isinstance(item, (list, tuple)):
            more = f" and {len(item) - SHOWN:,} more" if len(item) > SHOWN else ""
            yield name, ", ".join(map(str, item[:SHOWN])) + more
        else:
            yield name, f"{item:,}" if isinstance(item, int) and not isinstance(item, bool) else str(item)
