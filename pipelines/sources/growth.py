"""How far one growing blob of lines has been read: pure bookkeeping over bytes, no input or output.

Only whole lines are taken. A last line without its break is taken once the blob has rested and the line is whole JSON,
because the last record of an hour may never get its break.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any, Final

from detectors.conform.options import MAX_RECORD_BYTES

#: a blob is told from another by its first bytes, at most so many; a record with its time and ids is shorter
HEAD_BYTES: Final = 1024

_BOM: Final = b"\xef\xbb\xbf"


@dataclass(frozen=True)
class Growth:
    """How far a blob has been read."""

    #: bytes that have been dealt with
    offset: int = 0
    #: lines (or rows) that have been dealt with
    line: int = 0
    #: how many of the first bytes ``head`` stands for
    head_bytes: int = 0
    #: SHA-256 of them, hex
    head: str = ""
    #: size and time of change when last looked at
    size: int = 0
    modified_s: float = 0.0
    #: when it was last seen to grow, µs UTC
    grown_us: int = 0
    #: device and inode, where there are such
    identity: str | None = None
    #: the last line was taken before its break came
    unbroken: bool = False
    #: in the middle of a line that is too long to be a record
    skipping: bool = False

    def to_json(self) -> dict[str, Any]:
        """As JSON data."""
        return asdict(self)

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Growth:
        """What ``to_json`` wrote; unknown names are an error (TypeError)."""
        return cls(**data)

    def same_head(self, head: bytes) -> bool:
        """Whether a blob that begins like this can be the one; always, where nothing of it is known yet."""
        return len(head) >= self.head_bytes and _digest(head[: self.head_bytes]) == (self.head or _digest(b""))

    def with_head(self, head: bytes) -> Growth:
        """The same with a longer beginning known."""
        return replace(self, head_bytes=len(head), head=_digest(head)) if len(head) > self.head_bytes else self


@dataclass(frozen=True)
class Taken:
    """What was taken of a stretch of bytes."""

    lines: list[bytes]
    #: line number of the first, from 0
    first_line: int
    after: Growth


def take(
    growth: Growth, data: bytes, *, rested: bool, given_up: bool = False, longest: int = MAX_RECORD_BYTES
) -> Taken:
    """Take what can be taken of the bytes from ``growth.offset`` on.

    Args:
        growth: how far it was read.
        data: the bytes from there, as many as were fetched.
        rested: they reach the blob's end, and it has not grown for a while: a last line that is whole JSON counts.
        given_up: they reach the blob's end, and nobody will finish the last line: it is taken as it is.
        longest: longer lines are taken cut (and become dead letters), their rest is skipped.
    """
    begin, growth = _skip(growth, data)
    rest = data[begin:]
    if growth.offset == 0 and rest.startswith(_BOM):
        begin, rest = begin + len(_BOM), rest[len(_BOM) :]
    whole = rest.rfind(b"\n") + 1
    lines = rest[:whole].split(b"\n")[:-1] if whole else []
    unbroken = skipping = False
    tail = rest[whole:]
    if len(tail) > longest:
        lines.append(tail[: longest + 1])
        skipping, whole = True, len(rest)
    elif tail.strip() and (given_up or (rested and _is_whole(tail))):
        lines.append(tail)
        unbroken, whole = True, len(rest)
    if growth.skipping:  # still, for no break came
        skipping = True
    taken = bool(lines) or begin > 0
    after = replace(
        growth,
        offset=growth.offset + begin + whole,
        line=growth.line + len(lines),
        unbroken=unbroken if taken else growth.unbroken,
        skipping=skipping,
    )
    return Taken(lines, growth.line, after)


def _skip(growth: Growth, data: bytes) -> tuple[int, Growth]:
    """How many of the bytes belong to a line that was taken already, and the growth behind them."""
    if growth.skipping:
        end = data.find(b"\n")
        return (len(data), growth) if end < 0 else (end + 1, replace(growth, skipping=False))
    if growth.unbroken:
        for ending in (b"\n", b"\r\n"):
            if data.startswith(ending):
                return len(ending), replace(growth, unbroken=False)
    return 0, growth


def _is_whole(text: bytes) -> bool:
    """Whether it is a JSON object or array, so that nothing can be missing at its end."""
    if text.rstrip()[-1:] not in (b"}", b"]"):
        return False
    try:
        json.loads(text)
    except (ValueError, RecursionError):
        return False
    return True


def _digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()
