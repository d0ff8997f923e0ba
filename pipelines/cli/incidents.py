"""``lonetree incidents``: what a replay found, as a table or one incident from all sides."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Final

import click

from models.errors import InputError
from pipelines.cli.console import print_json, printable
from pipelines.cli.options import json_option
from pipelines.cli.show import print_blind_spots, print_expected, print_incident, print_incidents

#: rows of the table unless told otherwise; more than a screen or two nobody reads
ROWS: Final = 50


@click.command("incidents", short_help="Show what a replay found, or one incident from all sides.")
@click.argument("output", metavar="OUTPUT", type=click.Path(path_type=Path))
@click.option(
    "--id", "incident_id", metavar="ID", help="Show this incident from all sides; a unique beginning will do."
)
@click.option("--limit", metavar="N", type=click.IntRange(min=1), default=ROWS, show_default=True, help="Rows at most.")
@json_option
def command(output: Path, incident_id: str | None, limit: int, as_json: bool) -> None:
    """Show the incidents in OUTPUT, most severe first: the folder that replay wrote, or a file of incidents.

    \b
    Examples:
      lonetree incidents out
      lonetree incidents out --id 3f9a            why, who, since when, and what to do
      lonetree incidents out --json | jq '.incidents[].title'
      lonetree incidents incidents.ndjson         what a sink of watch wrote
    """
    incidents, run = read_incidents(output), read_run(output)
    if incident_id is not None:
        one = find(incidents, incident_id)
        print_json(one) if as_json else print_incident(one, run)
    elif as_json:
        print_json({"run": run, "incidents": incidents})
    else:
        print_incidents(incidents, limit=limit, hint=f"--limit {len(incidents)}")
        print_expected(run)
        print_blind_spots(run)


def read_incidents(output: Path) -> list[dict[str, Any]]:
    """The incidents that a replay or a sink wrote, each as its latest amendment has it.

    Args:
        output: the folder that ``lonetree replay --output`` named, or a file of JSON Lines.

    Raises:
        InputError: no such file, or a line in it that is not an incident.
    """
    path = output if output.is_file() else output / "incidents.ndjson"
    if not path.is_file():
        raise InputError(
            f"There are no incidents in {output}.",
            expected="a folder that `lonetree replay --output` wrote, with incidents.ndjson in it",
            received="no such folder" if not output.is_dir() else "a folder without it",
        )
    found: dict[str, dict[str, Any]] = {}
    with path.open(encoding="utf-8", errors="replace") as lines:
        for i, line in enumerate(lines, start=1):
            if line.strip():
                one = _parse(line, f"{path}, line {i}")
                key = str(one.get("incident_id", i))
                if key not in found or _revision(one) >= _revision(found[key]):
                    found[key] = one
    return list(found.values())


def read_run(output: Path) -> dict[str, Any]:
    """The account of the run, ``run.json``; empty where it is missing: after an interruption, beside a sink's file.

    Args:
        output: as for ``read_incidents``.
    """
    path = (output.parent if output.is_file() else output) / "run.json"
    return _parse(path.read_text(encoding="utf-8"), str(path)) if path.is_file() else {}


def _revision(one: dict[str, Any]) -> int:
    number = one.get("revision")
    return number if isinstance(number, int) else 0


def _parse(text: str, where: str) -> dict[str, Any]:
    try:
        value = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise InputError(f"{where} can't be read.", expected="a JSON object", received=str(error)) from None
    if not isinstance(value, dict):
        raise InputError(f"{where} can't be read.", expected="a JSON object", received=type(value).__name__)
    return value


def _begins(incident_id: str, beginning: str) -> bool:
    """Whether an id begins so, with or without the ``LT-`` that all have."""
    return incident_id.startswith(beginning) or incident_id.partition("-")[2].startswith(beginning)


def find(incidents: list[dict[str, Any]], beginning: str) -> dict[str, Any]:
    """The one incident whose id begins so.

    Raises:
        InputError: none does, or several do.
    """
    matching = [one for one in incidents if _begins(str(one.get("incident_id", "")), beginning)]
    exact = [one for one in matching if one.get("incident_id") == beginning]
    if len(exact or matching) == 1:
        return (exact or matching)[0]
    near = ", ".join(printable(str(one.get("incident_id"))) for one in (matching or incidents)[:3])
    raise InputError(
        f"{'No incident begins' if not matching else f'{len(matching)} incidents begin'} with {beginning!r}.",
        expected="the beginning of exactly one id" + (f", such as {near}" if near else ""),
        received=beginning,
    )
