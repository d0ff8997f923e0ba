"""The log of a registry: who changed what, when and why, one JSON line a change; the last line names the champion."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from typing import Final, Literal

from models.errors import BundleCorruptError
from models.storage import Storage

#: the log's key in the registry's storage
AUDIT: Final = "audit.jsonl"


@dataclass(frozen=True)
class Change:
    """A line of the log."""

    #: when, ISO 8601, UTC
    at: str
    who: str
    what: Literal["add", "promote", "rollback", "sign"]
    why: str
    #: the version added, promoted, gone back to, or signed
    version: str
    #: champion before; None if there was none
    before: str | None
    #: champion after
    after: str


def read_changes(storage: Storage) -> list[Change]:
    """Every change, oldest first.

    Raises:
        BundleCorruptError: for a line that is not one of ours.
    """
    try:
        lines = storage.read_bytes(AUDIT).splitlines()
    except FileNotFoundError:
        return []
    try:
        return [Change(**json.loads(line)) for line in lines]
    except (TypeError, ValueError) as error:
        raise BundleCorruptError(
            "The registry's log can't be read.",
            expected="one JSON object a line",
            received=str(error),
            hint=f"Restore {AUDIT}; the versions themselves are not touched by this.",
        ) from error


def append_change(storage: Storage, change: Change) -> None:
    """Add a line; the caller holds the registry's lock. Lines before it stay as they are, to the byte."""
    try:
        before = storage.read_bytes(AUDIT)
    except FileNotFoundError:
        before = b""
    line = json.dumps(asdict(change), ensure_ascii=False).encode() + b"\n"
    storage.write_atomic(AUDIT, before + line)


def former_champion(changes: list[Change]) -> str | None:
    """The champion before the present one, leaving out what was rolled back; None if there was none."""
    line: list[str] = []
    for change in changes:
        if change.what == "rollback":
            line.pop()
        elif change.after != change.before:
            line.append(change.after)
    return line[-2] if len(line) > 1 else None
