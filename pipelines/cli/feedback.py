"""``lonetree feedback``: what people say about incidents, kept beside the registry."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timezone
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import click

from models.errors import InputError
from pipelines.cli.console import print_json, print_table, printable
from pipelines.cli.options import json_option, models_option
from pipelines.cli.show import moment

if TYPE_CHECKING:
    from models.feedback import Feedback


@click.command("feedback", short_help="Say that an incident is expected, or bad; or take that back.")
@click.argument("incident", metavar="[INCIDENT]", required=False)
@models_option
@click.option(
    "--output",
    metavar="DIR",
    type=click.Path(path_type=Path),
    help="The folder that replay wrote, where the incident is.",
)
@click.option(
    "--incidents",
    metavar="FILE",
    type=click.Path(path_type=Path),
    help="JSON Lines of incidents instead, as a sink of watch wrote them.",
)
@click.option(
    "--expected", "what", flag_value="expected", help="It is normal: don't raise it again, and learn from it."
)
@click.option("--bad", "what", flag_value="bad", help="It is real: keep it out of training, and keep finding it.")
@click.option(
    "--scope",
    type=click.Choice(["caller", "function", "app"]),
    help="How far an expectation reaches.  [default: its callers where all are named, else its functions]",
)
@click.option(
    "--until", metavar="DATE", type=click.DateTime(["%Y-%m-%d"]), help="Last day of an expectation, UTC, by log time."
)
@click.option("--why", metavar="TEXT", default="", help="The reason, kept with it.")
@click.option("--undo", metavar="ID", help="Take an earlier statement back.")
@json_option
def command(
    incident: str | None,
    models: str | Path,
    output: Path | None,
    incidents: Path | None,
    what: Literal["expected", "bad"] | None,
    scope: Literal["caller", "function", "app"] | None,
    until: datetime | None,
    why: str,
    undo: str | None,
    as_json: bool,
) -> None:
    """Say what INCIDENT is; the beginning of its id will do. Without INCIDENT, list what was said.

    Expected incidents are not raised again within their scope and time, and count as normal in the next training. Bad
    ones are kept out of training, and `lonetree models compare` tells whether a version still finds them.

    \b
    Examples:
      lonetree feedback LT-3f9a --output out --models models --expected --until 2026-09-30 --why 'load test'
      lonetree feedback LT-3f9a --output out --models models --bad --why 'key was stolen'
      lonetree feedback --models models
      lonetree feedback --models models --undo F-3fa9c1d200
    """
    from models.feedback import Feedback, add_feedback, read_feedback, standing
    from models.user import whoami
    from pipelines.registry_storage import open_storage

    storage = open_storage(models)
    now = datetime.now(timezone.utc)
    if undo is not None:
        if incident is not None or what is not None:
            raise click.UsageError("--undo takes a statement back: no INCIDENT, no --expected, no --bad.")
        at = now.isoformat(timespec="seconds")
        said = add_feedback(storage, Feedback("undo", at, whoami(), why=why, undoes=undo))
        print_json(said) if as_json else click.echo(printable(f"{undo} no longer stands ({said.id})."))
        return
    if incident is None:
        if what is not None:
            raise click.UsageError("Which INCIDENT? Its id, or the beginning of it.")
        everything = read_feedback(storage)
        _list(everything, {one.id for one in standing(everything)}, as_json)
        return
    if what is None:
        raise click.UsageError("Say --expected or --bad.")
    from detectors.expectations import statement
    from pipelines.cli.incidents import find

    one = find(_incidents(output, incidents), incident)
    last_day = until.date() if until is not None else None
    said = add_feedback(storage, statement(one, what, who=whoami(), now=now, scope=scope, until=last_day, why=why))
    if as_json:
        print_json(said)
    else:
        reach = f"in the scope of its {said.scope}{' until ' + moment(said.until) if said.until else ''}"
        effect = f"is expected {reach}" if what == "expected" else "is bad: kept out of training, and kept as a test"
        click.echo(printable(f"{said.incident_id} {effect} ({said.id})."))


def _incidents(output: Path | None, incidents: Path | None) -> list[dict[str, Any]]:
    if (output is None) == (incidents is None):
        raise click.UsageError("Say where the incident is: --output DIR or --incidents FILE.")
    if incidents is not None:
        from detectors.evaluate import read_incidents

        if not incidents.is_file():
            raise InputError(f"{incidents} does not exist.", expected="JSON Lines of incidents", received="nothing")
        return list({str(one.get("incident_id")): one for one in read_incidents(incidents)}.values())
    from pipelines.cli.incidents import read_incidents as read_output

    assert output is not None  # noqa: S101 - narrows the type
    return read_output(output)


def _list(said: Sequence[Feedback], stands: set[str], as_json: bool) -> None:
    if as_json:
        print_json({"feedback": said, "standing": sorted(stands)})
    elif not said:
        click.echo("Nothing was said yet.")
    else:
        print_table(
            ("id", "stands", "said (UTC)", "by", "what", "scope", "until", "incident", "why"),
            [
                (
                    one.id,
                    "yes" if one.id in stands else "",
                    moment(one.at),
                    one.who,
                    one.what,
                    one.scope if one.what == "expected" else "",
                    moment(one.until) if one.until else "",
                    one.undoes or f"{one.incident_id} {one.title}",
                    one.why,
                )
                for one in said
            ],
        )
