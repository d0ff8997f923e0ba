"""An incident as a Slack message: ``text`` for notifications, ``blocks`` for reading."""

from __future__ import annotations

import json
from typing import Any, Final

from pipelines.sinks.base import Incident
from pipelines.sinks.card import Card, card
from pipelines.sinks.escape import slack, unlinked

#: incoming webhooks take about one message a second
INTERVAL_S: Final = 1.0
#: Slack's own limits, characters
_HEADER: Final = 150
_TEXT: Final = 2900
_FIELD: Final = 1900
#: fields in a section
_FIELDS: Final = 10


def slack_message(incident: Incident) -> dict[str, Any]:
    """The payload for an incoming webhook.

    Whatever comes from logs stands in ``plain_text`` objects, which know no markup; the notification's ``text``, which
    does, is escaped. Links are not unfurled: a preview would fetch an address that an attacker wrote.
    """
    shown = card(incident)
    blocks: list[dict[str, Any]] = [{"type": "header", "text": _plain(_title(shown), _HEADER)}]
    if shown.summary:
        blocks.append({"type": "section", "text": _plain(shown.summary, _TEXT)})
    if shown.facts:
        fields = [_plain(f"{label}: {value}", _FIELD) for label, value in shown.facts[:_FIELDS]]
        blocks.append({"type": "section", "fields": fields})
    if shown.reasons:
        blocks.append({"type": "section", "text": _plain("Why: " + "; ".join(shown.reasons), _TEXT)})
    blocks.append({"type": "context", "elements": [_plain(f"Incident {shown.key}", _FIELD)]})
    return {
        "text": slack(_title(shown))[:_TEXT],
        "mrkdwn": False,
        "unfurl_links": False,
        "unfurl_media": False,
        "blocks": blocks,
    }


def slack_body(incident: Incident) -> bytes:
    """The payload as bytes."""
    return json.dumps(slack_message(incident), ensure_ascii=False).encode("utf-8", "replace")


def _title(shown: Card) -> str:
    return f"Update: {shown.title}" if shown.amended else shown.title


def _plain(text: str, limit: int) -> dict[str, Any]:
    safe = unlinked(text)
    return {
        "type": "plain_text",
        "text": (safe[: limit - 1] + "…" if len(safe) > limit else safe) or "-",
        "emoji": False,
    }
