from __future__ import annotations

import io
import json
import re
import unicodedata
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipelines.sinks.card import card
from pipelines.sinks.escape import adaptive, adaptive_run, plain, slack, terminal, unlinked
from pipelines.sinks.lines import json_line
from pipelines.sinks.slack_message import slack_body, slack_message
from pipelines.sinks.stdout import Stdout
from pipelines.sinks.teams_message import LARGEST_BYTES, teams_body, teams_message

from .incidents import ATTACK, incident

BIDI = "\u202a\u202b\u202d\u202e\u2066\u2067\u2068\u2069\u200e\u200f\u061c"
HIDDEN = "\u200b\u200d\ufeff\u2028\u2029\u00ad\U000e0041\ufe0f\u3164"


def attacked() -> dict[str, Any]:
    return incident(
        title=ATTACK, summary=ATTACK, callers=[ATTACK], functions=[ATTACK], reasons=[{"feature": ATTACK, "value": 1.0}]
    )


def texts(value: Any) -> list[str]:
    if isinstance(value, str):
        return [value]
    items = value.values() if isinstance(value, dict) else value if isinstance(value, list) else []
    return [text for item in items for text in texts(item)]


def test_a_card_says_how_strange_since_when_and_what_to_do():
    facts = dict(card(incident(runbook=["Ask the owner.", "Block the address."])).facts)
    assert facts["How strange"] == "1 in 10.0 million"
    told = dict(card(incident(expected_false_per_day=0.734)).facts)["How strange"]
    assert told == "1 in 10.0 million; false incidents to be expected: about 0.73 a day"
    assert (facts["First event"], facts["Last event"]) == ("2026-08-01 10:00 UTC", "2026-08-01 10:04 UTC")
    assert facts["What to do"] == "1. Ask the owner. 2. Block the address."
    assert dict(card(incident(p_value=0.0, score=14.2, first_event="soon")).facts)["How strange"] == "1 in 10^14"


@given(st.text())
def test_plain_text_is_one_line_of_visible_characters(text: str):
    shown = plain(text)
    assert not any(unicodedata.category(c) in ("Cc", "Cf", "Cs", "Zl", "Zp") for c in shown)
    assert plain(shown) == shown


@pytest.mark.parametrize("character", [*BIDI, *HIDDEN, "\x1b", "\x9b", "\x00", "\x7f", "\b"])
def test_what_steers_or_hides_is_written_out(character: str):
    assert plain(f"a{character}b") == f"a{_written(character)}b"


def _written(character: str) -> str:
    code = ord(character)
    return f"\\x{code:02x}" if code < 256 else f"\\u{code:04x}" if code < 65536 else f"\\U{code:08x}"


def test_ordinary_text_of_any_language_stays_as_it_is():
    for text in ("Grüße an Zoë", "データ処理が失敗", "ошибка: таймаут", "é̂", "System.NullReferenceException"):
        assert plain(text) == text
    assert plain("two\nlines\tand a tab") == "two lines and a tab"


def test_towers_of_marks_are_cut_down():
    assert plain("a" + "\u0301" * 500) == "a" + "\u0301" * 3


@given(st.text())
def test_no_link_and_no_mention_survives(text: str):
    for shown in (unlinked(text), slack(text), adaptive_run(text)):
        assert not re.search(r"https?:", shown, re.IGNORECASE)
        assert not re.search(r"(?<![\w.+-])@\w", shown)


def test_addresses_are_written_as_incident_reports_write_them():
    assert (
        unlinked("HTTPS://evil.example/x www.evil.example mailto:a@b.c")
        == "HxxPS://evil.example/x www[.]evil.example mailto[:]a@b.c"
    )
    assert unlinked("anna@contoso.com wrote to @channel") == "anna@contoso.com wrote to ＠channel"  # noqa: RUF001


@given(st.text())
def test_slack_markup_is_escaped(text: str):
    shown = slack(text)
    assert "<" not in shown
    assert ">" not in shown
    assert not re.search(r"&(?!amp;|lt;|gt;)", shown)


@given(st.text(alphabet="ab*_[]()`#~>|!-\\. "))
def test_adaptive_card_markdown_stands_behind_backslashes(text: str):
    shown = adaptive(text)
    assert re.fullmatch(r"(?:[^\\`*_{}\[\]()#+\-.!~>|]|\\.)*", shown, re.DOTALL)


def test_a_slack_message_holds_log_text_only_where_markup_is_unknown():
    message = slack_message(attacked())
    assert {element["type"] for element in _text_objects(message["blocks"])} == {"plain_text"}
    assert not any("<" in text for text in texts(message["text"]))
    assert message["mrkdwn"] is message["unfurl_links"] is message["unfurl_media"] is False
    assert not any("\x1b" in text or "\u202e" in text or "http" in text for text in texts(message))
    assert len(message["blocks"][0]["text"]["text"]) <= 150


def _text_objects(value: Any) -> list[dict[str, Any]]:
    if isinstance(value, dict):
        own = [value] if isinstance(value.get("text"), str) else []
        return own + [found for item in value.values() for found in _text_objects(item)]
    return [found for item in value for found in _text_objects(item)] if isinstance(value, list) else []


def test_a_teams_message_holds_log_text_only_in_text_runs():
    message = teams_message(attacked())
    (attachment,) = message["attachments"]
    card = attachment["content"]
    assert attachment["contentType"] == "application/vnd.microsoft.card.adaptive"
    assert (card["type"], card["version"]) == ("AdaptiveCard", "1.4")
    assert {block["type"] for block in card["body"]} == {"RichTextBlock"}
    assert not any("<at>" in text or "\x1b" in text or "https://evil" in text for text in texts(message))
    assert "entities" not in card["msteams"]


def test_a_teams_message_never_exceeds_what_teams_takes():
    big = incident(summary="ü" * 100_000, callers=["address:" + "x" * 500] * 1000)
    assert len(teams_body(big)) <= LARGEST_BYTES


def test_missing_and_odd_fields_still_make_messages():
    for odd in ({"incident_id": "x"}, incident(reasons=["text", {"feature": None}], title=None, severity=None)):
        assert json.loads(slack_body(odd))["blocks"]
        assert json.loads(teams_body(odd))["attachments"]


def test_an_amendment_says_so():
    assert slack_message(incident(revision=2))["text"].startswith("Update: ")
    # one that begins with much begins at a higher revision
    assert not slack_message(incident(revision=4, amends=False))["text"].startswith("Update: ")


def test_standard_output_never_repaints_the_terminal():
    stream = io.BytesIO()
    Stdout(stream=stream).send([attacked()])
    shown = stream.getvalue().decode()
    assert terminal(shown.replace("\n", "")) == shown.replace("\n", "")
    assert "incident inc-0001@1" in shown


@given(st.text())
def test_json_lines_are_printable_ascii_and_lossless(text: str):
    line = json_line({"incident_id": "x", "summary": "- " + text})
    assert line.isascii()
    assert line.decode().isprintable()
    if not re.search(r"(?i)key|secret|token|pass|pwd|code|sig|auth|basic|bearer|[A-Za-z0-9+/_-]{42}", text):
        assert json.loads(line)["summary"] == "- " + text


def test_json_lines_carry_no_secret_no_nan_and_times_in_utc():
    line = json_line(incident(summary="Authorization: Bearer abcdefghijklmnop", score=float("nan")))
    assert b"abcdefghijklmnop" not in line
    assert json.loads(line)["score"] is None
