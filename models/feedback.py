"""What people said about incidents: an append-only file beside the registry, one JSON line a statement.

    feedback.jsonl    {"id": "F-3fa9c1d200", "what": "expected", "incident_id": "LT-...", "scope": "caller", ...}

A statement stands until it is undone, or until a later one about the same incident takes its place; undoing that one
lets the earlier stand again. What stands is a function of the file alone, so any day's state can be told again.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass, fields, replace
from typing import Any, Final, Literal

from models.errors import BundleCorruptError, InputError
from models.storage import WAIT_S, Storage, writing

#: the file's key in the registry's storage
FEEDBACK: Final = "feedback.jsonl"
#: hex digits of a statement's id
_DIGITS: Final = 10
_NAMES: Final = ("apps", "functions", "callers", "invocation_ids")

What = Literal["expected", "bad", "undo"]
Scope = Literal["caller", "function", "app"]


@dataclass(frozen=True)
class Feedback:
    """One statement; plain data.

    Attributes:
        what: ``expected``, ``bad``, or ``undo`` of an earlier statement.
        at: when it was said, ISO 8601, UTC.
        who: who said it.
        why: the reason, for people.
        incident_id: the incident that it is about; empty for ``undo``.
        title: the incident's, for people.
        kind: the incident's.
        scope: how far an expectation reaches: the same callers, any caller of the same functions, or the whole app.
        until: an expectation's end, event time, ISO 8601, UTC; None: without end.
        first_event, last_event: the incident's, ISO 8601, UTC.
        apps, functions, callers: the incident's.
        invocations: how many belong to it.
        invocation_ids: of those, at most 1,000.
        undoes: id of the statement taken back, for ``undo``.
        id: hash of all the rest; given by ``add_feedback``.
    """

    what: What
    at: str
    who: str
    why: str = ""
    incident_id: str = ""
    title: str = ""
    kind: str = ""
    scope: Scope = "caller"
    until: str | None = None
    first_event: str = ""
    last_event: str = ""
    apps: tuple[str, ...] = ()
    functions: tuple[str, ...] = ()
    callers: tuple[str, ...] = ()
    invocations: int = 0
    invocation_ids: tuple[str, ...] = ()
    undoes: str | None = None
    id: str = ""


def read_feedback(storage: Storage) -> list[Feedback]:
    """Every statement, oldest first; ``add_feedback`` has an example.

    Args:
        storage: the registry's, ``Registry.storage``.

    Raises:
        BundleCorruptError: for a line that is not one of ours.
    """
    try:
        lines = storage.read_bytes(FEEDBACK).splitlines()
    except FileNotFoundError:
        return []
    try:
        return [_statement(json.loads(line)) for line in lines]
    except (TypeError, ValueError) as error:
        raise BundleCorruptError(
            "The feedback can't be read.",
            expected="one JSON object a line",
            received=str(error),
            hint=f"Restore {FEEDBACK}; the versions beside it are not touched by this.",
        ) from error


def add_feedback(storage: Storage, said: Feedback, *, wait_s: float = WAIT_S) -> Feedback:
    """Add a statement; lines before it stay as they are, to the byte.

    Args:
        storage: the registry's.
        said: the statement, without its id.
        wait_s: seconds to wait for another writer.

    Returns:
        The statement with its id.

    Example:
        >>> import tempfile
        >>> from models.storage import LocalStorage
        >>> storage = LocalStorage(tempfile.mkdtemp())
        >>> said = Feedback("bad", "2026-08-01T00:00:00Z", "ann", incident_id="LT-1", why="seen in the access logs")
        >>> add_feedback(storage, said).incident_id
        'LT-1'
        >>> [(one.who, one.what) for one in read_feedback(storage)]
        [('ann', 'bad')]

    Raises:
        InputError: it undoes one that doesn't stand.
        RegistryError: another process keeps writing, or the place can't be written to.
    """
    with writing(storage, wait_s):
        storage.tidy(FEEDBACK)
        known = read_feedback(storage)
        _check(said, known)
        body = _line(replace(said, id=""))
        digest = hashlib.sha256(b"%d\n" % len(known) + body).hexdigest()[:_DIGITS]
        named = replace(said, id=f"F-{digest}")
        before = storage.read_bytes(FEEDBACK) if known else b""
        storage.write_atomic(FEEDBACK, before + _line(named) + b"\n")
    return named


def standing(statements: Iterable[Feedback]) -> list[Feedback]:
    """What stands after all these statements: none that is undone, and the last one about each incident.

    Example:
        >>> one = Feedback("expected", "2026-08-01T00:00:00Z", "ann", incident_id="LT-1", id="F-1")
        >>> two = Feedback("undo", "2026-08-02T00:00:00Z", "ann", undoes="F-1", id="F-2")
        >>> len(standing([one])), len(standing([one, two]))
        (1, 0)
    """
    said = list(statements)
    undone = {one.undoes for one in said if one.what == "undo"}
    last = {one.incident_id: one for one in said if one.what != "undo" and one.id not in undone}
    return [one for one in said if last.get(one.incident_id) is one]


def _check(said: Feedback, known: list[Feedback]) -> None:
    if said.what != "undo":
        return
    undone = {one.undoes for one in known if one.what == "undo"}
    left = [one.id for one in known if one.what != "undo" and one.id not in undone]
    if said.undoes not in left:
        raise InputError(
            "There is no such statement to take back.",
            expected=f"one of {', '.join(left[-5:])}" if left else "a statement that stands",
            received=str(said.undoes),
            hint="List them: lonetree feedback --models DIR",
        )


def _line(said: Feedback) -> bytes:
    return json.dumps(asdict(said), ensure_ascii=False).encode()


def _statement(document: dict[str, Any]) -> Feedback:
    known = {field.name for field in fields(Feedback)}
    if not isinstance(document, dict) or not set(document) <= known:
        raise ValueError(f"unknown fields {sorted(set(document) - known)}")
    values: dict[str, Any] = {name: tuple(value) if name in _NAMES else value for name, value in document.items()}
    return Feedback(**values)
