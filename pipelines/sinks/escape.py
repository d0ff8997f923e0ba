"""Text from logs made harmless for where it is shown: terminals, Slack, Teams.

Logs hold what callers sent, so an attacker chooses this text. Shown as it is, it could repaint a terminal, reverse
what a reader sees, call a whole channel or plant a link in an alert that people trust. Each function here keeps the
text readable and takes away what it could do.
"""

from __future__ import annotations

import re
import unicodedata
from typing import Final

#: general categories that steer or hide instead of showing: controls, formats (bidi, zero width, tags), surrogates,
#: private use, unassigned, line and paragraph separators
_UNSEEN: Final = frozenset({"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"})
#: look like nothing though Unicode calls them letters or marks: Hangul fillers, grapheme joiner, variation selectors
_BLANK: Final = re.compile("[\u034f\u115f\u1160\u17b4\u17b5\u3164\uffa0\ufe00-\ufe0f\U000e0100-\U000e01ef\u2800]")
#: more marks on one letter than any language writes; towers of them cover the lines above
_MARKS_IN_A_ROW: Final = 3
_MARK: Final = "[\u0300-\u036f\u0483-\u0489\u1ab0-\u1aff\u1dc0-\u1dff\u20d0-\u20ff]"
_MARK_TOWER: Final = re.compile(rf"({_MARK}{{{_MARKS_IN_A_ROW}}}){_MARK}+")

_SCHEME: Final = re.compile(r"\b(h)(tt)(ps?)(?=:)", re.IGNORECASE)
_OTHER_SCHEME: Final = re.compile(r"\b(mailto|tel|javascript|(?:s?ftp|file|slack|msteams)(?=://))(:)(?=\S)", re.I)
_WWW: Final = re.compile(r"\b(www)\.", re.IGNORECASE)
_MENTION: Final = re.compile(r"(?<![\w.+-])@(?=\w)")
_MARKDOWN: Final = re.compile(r"([\\`*_{}\[\]()#+\-.!~>|])")


def plain(text: str) -> str:
    r"""One line in which everything that is there can be seen.

    Line breaks and tabs become spaces; other control characters (escape sequences of terminals), bidi overrides,
    zero-width characters and their like become ``\x1b`` or ``\u202e``, as a programmer would write them.

    >>> plain("a\x1b[31mb")
    'a\\x1b[31mb'
    """
    text = " ".join(text.split()) if any(c in text for c in "\r\n\t\v\f") else text
    if text.isascii() and text.isprintable():
        return text
    text = "".join(_written(c) if unicodedata.category(c) in _UNSEEN else c for c in text)
    text = _BLANK.sub(lambda found: _written(found.group()), text)
    return _MARK_TOWER.sub(r"\1", text)


def _written(character: str) -> str:
    code = ord(character)
    if code < 0x100:
        return f"\\x{code:02x}"
    return f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"


def terminal(text: str) -> str:
    """As ``plain``: for a terminal or a log file that someone will print to one."""
    return plain(text)


def unlinked(text: str) -> str:
    """As ``plain``, with addresses and mentions that a chat program would turn into links or calls made inert.

    ``https://`` becomes ``hxxps://`` as incident reports write it, ``www.`` becomes ``www[.]``, a mention's ``@``
    becomes a full-width ``＠``; e-mail addresses stay.

    >>> unlinked("see https://evil.example @channel")
    'see hxxps://evil.example ＠channel'
    """
    text = _SCHEME.sub(r"\1xx\3", plain(text))
    text = _OTHER_SCHEME.sub(r"\1[:]", text)
    return _MENTION.sub("＠", _WWW.sub(r"\1[.]", text))  # noqa: RUF001, the look-alike is meant


def slack(text: str) -> str:
    """As ``unlinked``, for a mrkdwn field: ``& < >`` as entities, so that no ``<!channel>`` survives."""
    return unlinked(text).replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def adaptive(text: str) -> str:
    """As ``unlinked``, for an Adaptive Card TextBlock, FactSet or fallback: signs of Markdown behind a backslash.

    ``<`` and ``&`` become look-alikes, because Teams reads ``<at>`` as a mention and decodes entities.
    """
    return _MARKDOWN.sub(r"\\\1", _without_markup(unlinked(text)))


def adaptive_run(text: str) -> str:
    """As ``unlinked``, for a TextRun of a RichTextBlock, which knows no Markdown: no ``<at>`` and no entities."""
    return _without_markup(unlinked(text))


def _without_markup(text: str) -> str:
    return text.replace("&", "＆").replace("<", "‹").replace(">", "›")  # noqa: RUF001, look-alikes are meant
