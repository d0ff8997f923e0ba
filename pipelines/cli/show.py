"""Incidents as a person reads them: a table of all, and one from all sides. Texts from logs are made printable."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from datetime import datetime, timezone
from typing import Any, Final, TypeAlias

import click

from detectors.odds import odds
from pipelines.cli.console import print_table, printable

#: an incident as ``incidents.ndjson`` holds it
Incident: TypeAlias = Mapping[str, Any]

#: most severe first, with the style of its name on a terminal
SEVERITIES: Final[dict[str, str]] = {
    "critical": "bold red",
    "high": "red",
    "medium": "yellow",
    "low": "cyan",
    "informational": "dim",
}
#: an id is cut to the shortest beginning that tells it apart, and to no less, characters
SHORTEST_ID: Final = 8
#: share of a budget below which it is not spent: nothing is left that a higher one would raise
_SPENT: Final = 0.98
#: of a list of callers or functions, so many are named
NAMED: Final = 2
#: callers named in the detail view; ``--json`` has all that were kept
CALLERS_SHOWN: Final = 8
#: invocations named in the detail view; ``--json`` has all that were kept
IDS_SHOWN: Final = 5

COLUMNS: Final = ("id", "severity", "when (UTC)", "how strange", "what", "who", "function", "in a sentence")
STACKED: Final = (("id", "severity"), ("when (UTC)", "how strange"), ("what", "who", "function", "in a sentence"))


def by_urgency(incidents: Sequence[Incident]) -> list[Incident]:
    """The incidents, most severe first, then in the order they would have been raised."""
    order = {name: i for i, name in enumerate(SEVERITIES)}
    return sorted(
        incidents, key=lambda one: (order.get(str(one.get("severity")).lower(), len(order)), str(one.get("opened")))
    )


def print_incidents(incidents: Sequence[Incident], *, limit: int | None = None, hint: str = "") -> None:
    """Print a table with a row for each incident, most severe first.

    Args:
        incidents: as in ``incidents.ndjson``.
        limit: at most so many rows; the rest is counted.
        hint: how to see the rest.
    """
    if not incidents:
        click.echo("No incidents.")
        return
    ordered = by_urgency(incidents)
    shown = ordered[:limit]
    short = short_ids([str(one.get("incident_id", "")) for one in incidents])
    print_table(
        COLUMNS,
        [
            (
                short[str(one.get("incident_id", ""))],
                str(one.get("severity", "?")),
                moment(one.get("opened")),
                odds(one.get("p_value"), one.get("score")),
                str(one.get("title") or one.get("kind") or "?"),
                some(one.get("callers")),
                some(one.get("functions")),
                str(one.get("summary") or ""),
            )
            for one in shown
        ],
        styles=[SEVERITIES.get(str(one.get("severity")).lower(), "") for one in shown],
        styled="severity",
        stacked=STACKED,
        whole=COLUMNS[:4],
    )
    if len(shown) < len(ordered):
        click.echo(f"… and {len(ordered) - len(shown):,} more{': ' + hint if hint else ''}")


def print_incident(one: Incident, run: Mapping[str, Any] | None = None) -> None:
    """Print one incident: what happened, who, since when, why it is strange, and what to do.

    Args:
        one: as in ``incidents.ndjson``.
        run: the account of the run that raised it, which says how many false ones are to be expected.
    """
    severity = str(one.get("severity", "?"))
    click.echo(f"{printable(str(one.get('title') or one.get('kind') or 'Incident'))}")
    if one.get("summary"):
        click.echo(f"  {printable(str(one['summary']))}")
    click.echo()
    rows = [
        ("id", str(one.get("incident_id", "?"))),
        ("severity", severity),
        ("kind", str(one.get("kind", "?"))),
        ("raised", f"{moment(one.get('opened'))} UTC"),
        # a silence holds no invocation, and its summary says since when
        ("from", f"{moment(one.get('first_event'))} UTC" if one.get("invocations") != 0 else ""),
        ("to", f"{moment(one.get('last_event'))} UTC" if one.get("invocations") != 0 else ""),
        ("apps", ", ".join(map(str, one.get("apps") or ()))),
        ("functions", ", ".join(map(str, one.get("functions") or ()))),
        ("who", some(one["callers"], CALLERS_SHOWN) if one.get("callers") else ""),
        ("", _what_who_is(one.get("callers") or ())),
        ("invocations", f"{one['invocations']:,}" if isinstance(one.get("invocations"), int) else "?"),
        ("how strange", _strangeness(one)),
        ("false ones", _expected(run or {}, "expect about {expected} a day at --budget {budget:g}")),
        ("ATT&CK", ", ".join(_technique(str(name)) for name in one.get("attack") or ())),
        ("model", str(one.get("model_version", "?"))),
    ]
    width = max(len(name) for name, _ in rows)
    for name, value in rows:
        if value:
            click.echo(f"  {name:<{width}}  {printable(value)}")
    _print_reasons(one.get("reasons") or ())
    _print_runbook(one.get("runbook"))
    _print_ids(one.get("invocation_ids") or ())


#: what the days of learning can't tell
ON_TOP: Final = "  (on days like those of learning; new customers, trips abroad and campaigns come on top)"


def print_expected(run: Mapping[str, Any]) -> None:
    """Print how many false incidents a day are to be expected; nothing where the run doesn't say.

    Args:
        run: the account of the run, ``run.json``.
    """
    expected = _expected(run, "False incidents to be expected at --budget {budget:g}: about {expected} a day")
    if expected:
        # a threshold keeps the budget exactly, but for the lowest there is
        all_of_it = run["expected_false_per_day"] < _SPENT * run["budget"]
        click.echo(f"{expected}{'; a higher budget raises hardly anything more.' if all_of_it else '.'}")
        click.echo(ON_TOP)


def _expected(run: Mapping[str, Any], text: str) -> str:
    expected, budget = run.get("expected_false_per_day"), run.get("budget")
    if not isinstance(expected, (int, float)) or not isinstance(budget, (int, float)):
        return ""
    return text.format(expected=f"{expected:.2g}", budget=budget)


def _what_who_is(callers: Sequence[Any]) -> str:
    """What a place says and doesn't say, where a caller is known by nothing else."""
    if not str(callers[0] if callers else "").startswith("geography:"):
        return ""
    return "a place and not a person: addresses are masked; DisableIpMasking in Application Insights shows them"


def print_blind_spots(run: Mapping[str, Any]) -> None:
    """Print what the logs of a run don't let anyone see, and which setting lets it be seen; nothing where all is there.

    Args:
        run: the account of the run, ``run.json``.
    """
    spots = run.get("blind_spots")
    if isinstance(spots, (list, tuple)) and spots:
        click.echo("\nWhat these logs don't show, and how to let it be seen:")
        for spot in spots:
            click.echo(f"  - {printable(str(spot))}")


def _strangeness(one: Incident) -> str:
    score = one.get("score")
    text = odds(one.get("p_value"), score)
    return f"{text} (score {score:.3g})" if isinstance(score, (int, float)) else text


def _print_reasons(reasons: Sequence[Mapping[str, Any]]) -> None:
    if not reasons:
        return
    click.echo("\nWhy")
    print_table(
        ("share", "reason"),
        [(percent(reason.get("share")), _reason(reason)) for reason in reasons],
        right=("share",),
        whole=("share",),
    )


def _reason(reason: Mapping[str, Any]) -> str:
    """A reason in words, which hold its numbers; the numbers beside its name where it has none."""
    if reason.get("text"):
        return str(reason["text"])
    name = str(reason.get("words") or str(reason.get("feature", "?")).replace("_", " "))
    return f"{name}: {number(reason.get('value'))} where {number(reason.get('typical'))} is typical"


def _technique(name: str) -> str:
    """A technique's number with its name, where it is one that the catalogue knows."""
    from detectors.catalogue.techniques import TECHNIQUES

    return f"{name} ({TECHNIQUES[name]})" if name in TECHNIQUES else name


def _print_runbook(runbook: str | Sequence[str] | None) -> None:
    steps = [runbook] if isinstance(runbook, str) else list(runbook or ())
    lines = [line.strip() for step in steps for line in str(step).splitlines() if line.strip()]
    if not lines:
        return
    click.echo("\nWhat to do")
    for i, line in enumerate(lines, start=1):
        text = printable(line)
        click.echo(f"  {text}" if text[:1].isdigit() or len(lines) == 1 else f"  {i}. {text}")


def _print_ids(ids: Sequence[str]) -> None:
    if ids:
        more = f" and {len(ids) - IDS_SHOWN:,} more (--json has them)" if len(ids) > IDS_SHOWN else ""
        click.echo("\nInvocations\n  " + ", ".join(printable(str(one)) for one in ids[:IDS_SHOWN]) + more)


def short_ids(ids: Sequence[str]) -> dict[str, str]:
    """For each id, the beginning that tells it apart from the others; all of one length, 8 characters or more."""
    distinct = set(ids)
    length = SHORTEST_ID
    while len({one[:length] for one in distinct}) < len(distinct):
        length += 1
    return {one: one[:length] for one in distinct}


def moment(value: Any) -> str:
    """A time of the log, to the minute; as it stands where it isn't one."""
    try:
        parsed = value if isinstance(value, datetime) else datetime.fromisoformat(str(value).replace("Z", "+00:00"))
    except ValueError:
        # Python 3.10 reads fractions of 3 or 6 digits only; minutes are all that is shown
        return str(value)[:16].replace("T", " ") if value is not None else "?"
    return (parsed.astimezone(timezone.utc) if parsed.tzinfo else parsed).strftime("%Y-%m-%d %H:%M")


def number(value: Any) -> str:
    """A number with four digits that matter."""
    if not isinstance(value, (int, float)) or not math.isfinite(value):
        return "-"
    return f"{value:,.0f}" if abs(value) >= 1000 or float(value).is_integer() else f"{value:.4g}"


def percent(value: Any) -> str:
    """A share as a percentage."""
    return f"{value:.0%}" if isinstance(value, (int, float)) and math.isfinite(value) else "-"


def plural(count: int, one: str, many: str | None = None) -> str:
    """A count with its noun: "1 day", "2 days"."""
    return f"{count:,} {one if count == 1 else many or one + 's'}"


def some(names: Any, named: int = NAMED) -> str:
    """The first few of a list of names, and how many more there are."""
    items = [str(name) for name in names] if isinstance(names, (list, tuple)) else [str(names or "-")]
    if not items:
        return "-"
    more = f" +{len(items) - named:,}" if len(items) > named else ""
    return ", ".join(items[:named]) + more
