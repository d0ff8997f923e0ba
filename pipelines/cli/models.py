"""``lonetree models``: the versions in a registry, what each holds, and which of them judges."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click

from models.user import whoami
from pipelines.cli.compare import compare_versions, drift_of_version
from pipelines.cli.console import print_json, print_table, printable
from pipelines.cli.options import json_option, models_option
from pipelines.cli.show import moment

if TYPE_CHECKING:
    from models.bundle import Bundle

#: what was done to a version, in words
_DONE: Final = {"add": "added", "promote": "promoted", "rollback": "gone back to", "sign": "signed"}


@click.group("models", short_help="The versions in a registry: list, compare, promote, roll back, sign, drift.")
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
        click.echo(printable(f"No versions in {models} yet: lonetree train adds one."))
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
        "signed": registry.is_signed(name),
        "digest": bundle.digest,
        "changes": [asdict(change) for change in registry.log() if change.version == name],
        "about": dict(bundle.manifest),
        "tables": {table: bundle.tables[table].num_rows for table in sorted(bundle.tables)},
        "documents": sorted(bundle.documents),
    }
    if as_json:
        print_json(about)
        return
    click.echo(printable(f"{name}{', the champion' if about['champion'] else ''}"))
    for key, value in told(about, bundle):
        click.echo(printable(f"  {key:<14}{value}"))


@command.command("log", short_help="Every change: who, when and why.")
@models_option
@json_option
def show_log(models: str | Path, as_json: bool) -> None:
    """Show every change in DIR, oldest first: versions added, promoted, signed, and gone back to.

    \b
    Examples:
      lonetree models log --models models
    """
    from pipelines.registry_storage import open_registry

    changes = open_registry(models).log()
    if as_json:
        print_json({"changes": changes})
    elif not changes:
        click.echo("Nothing has changed yet.")
    else:
        print_table(
            ("when (UTC)", "by", "what", "version", "why", "judges since"),
            [(moment(one.at), one.who, _DONE[one.what], one.version, one.why, one.after) for one in changes],
        )


@command.command("sign", short_help="Sign a version, for watch --demand-signature.")
@click.argument("version", metavar="[VERSION]", default="champion")
@models_option
@click.option(
    "--key",
    metavar="FILE",
    required=True,
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="An Ed25519 private key in PEM.",
)
@click.option("--why", metavar="TEXT", default="", help="The reason, kept in the registry's log.")
def sign_version(version: str, models: str | Path, key: Path, why: str) -> None:
    """Sign VERSION, the champion by default, after reading it through; watch --demand-signature then takes it.

    A password of the key is taken from LONETREE_KEY_PASSWORD.

    \b
    Examples:
      openssl genpkey -algorithm ed25519 -out key.pem && openssl pkey -in key.pem -pubout -out public.pem
      lonetree models sign 20260801T000000-3fa9c1 --models models --key key.pem --why 'reviewed'
    """
    from models.signing import SigningKey
    from pipelines.registry_storage import open_registry

    password = os.environ.get("LONETREE_KEY_PASSWORD")
    signing = SigningKey(key.read_bytes(), password.encode() if password else None)
    name = open_registry(models).sign(version, signing, who=whoami(), why=why)
    click.echo(printable(f"{name} is signed."))


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


def told(about: Mapping[str, Any], bundle: Bundle) -> Iterator[tuple[str, str]]:
    """What a person wants to know of a version, line by line; what a foreign one doesn't say is left out."""
    from models.calibration import PLAIN_BUDGET, BudgetCurve

    manifest = about["about"]
    window = manifest.get("training_window") or {}
    if window:
        yield "learned from", f"{moment(window.get('start'))} to {moment(window.get('end'))} UTC"
    counts = [f"{manifest[key]:,} {key}" for key in ("invocations", "functions") if isinstance(manifest.get(key), int)]
    if counts:
        yield "", " of ".join(counts)
    if manifest.get("caller_property"):
        yield "callers by", f"the property {manifest['caller_property']}"
    if manifest.get("pseudonyms"):
        yield "callers as", f"pseudonyms of the key {manifest['pseudonyms']}"
    curve = bundle.document("model").get("curve") if "model" in bundle.documents else None
    if curve:
        known = BudgetCurve.from_json(curve)
        yield (
            f"at budget {PLAIN_BUDGET:g}",
            f"false incidents to be expected: about {known.rate(known.threshold(PLAIN_BUDGET)):.2g} a day",
        )
    for remark in manifest.get("notes") or ():
        yield "note", str(remark)
    for change in about["changes"]:
        why = f": {change['why']}" if change["why"] else ""
        yield _DONE[change["what"]], f"{moment(change['at'])} UTC by {change['who']}{why}"
    yield "signed", "yes" if about["signed"] else "no"
    yield "digest", about["digest"]
    yield "holds", f"{len(about['tables'])} tables and {len(about['documents'])} documents: --json lists them"
