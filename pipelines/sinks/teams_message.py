"""An incident as a Microsoft Teams message for a Workflows webhook: an Adaptive Card 1.4."""

from __future__ import annotations

import json
from typing import Any, Final

from pipelines.sinks.base import Incident
from pipelines.sinks.card import Card, card
from pipelines.sinks.escape import adaptive, adaptive_run

#: Workflows throttle at a few messages a second; one is always fine
INTERVAL_S: Final = 1.0
#: largest message that Teams takes, bytes, with room for its own wrapping
LARGEST_BYTES: Final = 26 * 1024

_COLOURS: Final = {"critical": "Attention", "high": "Attention", "medium": "Warning", "low": "Accent"}


def teams_message(incident: Incident) -> dict[str, Any]:
    """The payload of type ``message`` with one Adaptive Card attachment.

    Whatever comes from logs stands in the TextRuns of RichTextBlocks, which know no Markdown, so nothing needs a
    backslash to be inert; mentions need ``<at>`` and an entity, and find neither. The fallback text is escaped.
    """
    shown = card(incident)
    body: list[dict[str, Any]] = [
        _rich(
            _title(shown), size="Large", weight="Bolder", color=_COLOURS.get(str(incident.get("severity")), "Default")
        )
    ]
    if shown.summary:
        body.append(_rich(shown.summary))
    body.extend(_fact(label, value) for label, value in shown.facts)
    if shown.reasons:
        body.append(_fact("Why", "; ".join(shown.reasons)))
    body.append(_rich(f"Incident {shown.key}", isSubtle=True, size="Small"))
    content = {
        "$schema": "http://adaptivecards.io/schemas/adaptive-card.json",
        "type": "AdaptiveCard",
        "version": "1.4",
        "fallbackText": adaptive(_title(shown)),
        "msteams": {"width": "Full"},
        "body": body,
    }
    attachment = {"contentType": "application/vnd.microsoft.card.adaptive", "contentUrl": None, "content": content}
    return {"type": "message", "attachments": [attachment]}


def teams_body(incident: Incident) -> bytes:
    """The payload as bytes; an incident too large for Teams is shown without its facts and reasons."""
    body = json.dumps(teams_message(incident), ensure_ascii=False).encode("utf-8", "replace")
    if len(body) <= LARGEST_BYTES:
        return body
    kept = {name: incident.get(name) for name in ("incident_id", "revision", "title", "severity")}
    return json.dumps(teams_message(kept), ensure_ascii=False).encode("utf-8", "replace")


def _title(shown: Card) -> str:
    return f"Update: {shown.title}" if shown.amended else shown.title


def _run(text: str, **style: Any) -> dict[str, Any]:
    return {"type": "TextRun", "text": adaptive_run(text), **style}


def _rich(text: str, **style: Any) -> dict[str, Any]:
    return {"type": "RichTextBlock", "inlines": [_run(text, **style)]}


def _fact(label: str, value: str) -> dict[str, Any]:
    runs = [_run(f"{label}: ", weight="Bolder"), _run(value)]
    return {"type": "RichTextBlock", "spacing": "Small", "inlines": runs}
