"""What a person reads about an incident in a chat or on a terminal: a title, some facts, a few reasons."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

from detectors.odds import odds
from pipelines.sinks.base import EXPECTED_FALSE, Incident, amends, key, masked, shown
from pipelines.sinks.lines import as_datetime

#: longest texts, characters: chat services cut at 3,000, people much earlier
_TITLE: Final = 150
_SUMMARY: Final = 1500
_FACT: Final = 300
#: steps of a runbook shown, the most urgent come first
_STEPS: Final = 5
#: reasons shown; the file has them all
_REASONS: Final = 5

#: severities from mild to grave, the vocabulary of the ``severity`` field
SEVERITIES: Final = ("info", "low", "medium", "high", "critical")

_FACTS: Final = (
    ("Severity", "severity"),
    ("How strange", "p_value"),
    ("Callers", "callers"),
    ("Functions", "functions"),
    ("Apps", "apps"),
    ("First event", "first_event"),
    ("Last event", "last_event"),
    ("Invocations", "invocations"),
    ("ATT&CK", "attack"),
    ("What to do", "runbook"),
    ("Model", "model_version"),
)


@dataclass(frozen=True)
class Card:
    """Raw but masked texts, to be escaped by whoever shows them."""

    #: incident_id@revision
    key: str
    title: str
    summary: str
    #: (label, value); labels are ours, values come from logs
    facts: tuple[tuple[str, str], ...]
    reasons: tuple[str, ...]
    #: an amendment of something raised before
    amended: bool


def card(incident: Incident) -> Card:
    """The card of an incident; fields that are missing or empty are left out."""
    clean = masked(incident)
    facts = tuple((label, _fact(clean, name)) for label, name in _FACTS if clean.get(name) not in (None, "", []))
    return Card(
        key=key(incident),
        title=shown(clean.get("title") or clean.get("kind") or "Incident", _TITLE),
        summary=shown(clean.get("summary") or "", _SUMMARY),
        facts=facts,
        reasons=tuple(_reason(reason) for reason in (clean.get("reasons") or [])[:_REASONS]),
        amended=amends(incident),
    )


def _fact(clean: dict[str, Any], name: str) -> str:
    """One fact as a person writes it: odds for a p-value, a time to the minute, steps with their numbers."""
    value = clean[name]
    if name == "p_value":
        false = clean.get(EXPECTED_FALSE)
        said = f"; false incidents to be expected: about {false:.2g} a day" if isinstance(false, (int, float)) else ""
        return odds(value, clean.get("score")) + said
    if name in ("first_event", "last_event") and (at := as_datetime(value)) is not None:
        return f"{at:%Y-%m-%d %H:%M} UTC"
    if name == "runbook" and isinstance(value, (list, tuple)):
        return " ".join(f"{i}. {shown(step, _FACT)}" for i, step in enumerate(value[:_STEPS], start=1))
    return shown(value, _FACT)


def _reason(reason: Any) -> str:
    if not isinstance(reason, dict):
        return shown(reason, _FACT)
    if reason.get("text"):
        return shown(reason["text"], _FACT)
    text = shown(reason.get("feature"), _FACT)
    if reason.get("value") is not None:
        text += f" {shown(reason['value'], _FACT)}"
    if reason.get("typical") is not None:
        text += f" (typical {shown(reason['typical'], _FACT)})"
    return text
