"""What feedback means for detection: which incidents are expected, and what of the logs a training may learn from.

An expectation covers an incident of the same kind that opened between the first event of the one it was said about
and its ``until``, by the times in the logs, so that a replay of any day tells the same. Its scope says what must agree:

    caller      the same apps, functions and callers, or some of them
    function    the same apps and functions, or some of them; any caller
    app         the same apps, or some of them
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import date, datetime, timedelta, timezone
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from models.errors import InputError
from models.feedback import Feedback, Scope, What
from models.hashing import combine, hash_strings

Mask = npt.NDArray[np.bool_]

#: what has to agree, by scope
_AGREE: Final[dict[str, tuple[str, ...]]] = {
    "caller": ("apps", "functions", "callers"),
    "function": ("apps", "functions"),
    "app": ("apps",),
}
#: names that an incident lists at most; a list this long may have been cut
_SHOWN_NAMES: Final = 50
#: statements that a note names
_TOLD: Final = 5
_FOREVER_US: Final = 2**62


def statement(
    incident: Mapping[str, Any],
    what: What,
    *,
    who: str,
    now: datetime,
    scope: Scope | None = None,
    until: date | datetime | None = None,
    why: str = "",
) -> Feedback:
    """What a person says about an incident, ready for ``models.feedback.add_feedback``.

    Args:
        incident: as in ``incidents.ndjson`` or ``Detection.incidents``.
        what: ``expected`` or ``bad``.
        who: who says it.
        now: when it is said.
        scope: by default the callers where the incident names them all, else the functions.
        until: an expectation's end; a date counts to its end, UTC.
        why: the reason.

    Example:
        >>> times = dict.fromkeys(("first_event", "last_event", "opened"), "2026-08-01T12:00:00Z")
        >>> names = {"apps": ["shop"], "functions": ["Pay"], "callers": ["user:bob"], "invocation_ids": ["a"]}
        >>> incident = {"incident_id": "LT-1", "kind": "unusual", "title": "Flood at Pay", **times, **names}
        >>> now = datetime(2026, 8, 2, tzinfo=timezone.utc)
        >>> said = statement(incident, "expected", who="ann", now=now, until=date(2026, 8, 31), why="load test")
        >>> said.scope, said.until
        ('caller', '2026-09-01T00:00:00+00:00')

    Raises:
        InputError: the scope asks for callers that the incident doesn't name, or ``until`` is before the incident.
    """
    callers = tuple(incident.get("callers") or ())
    named = 0 < len(callers) < _SHOWN_NAMES
    if scope == "caller" and not named:
        raise InputError(
            "This incident can't be expected of its callers.",
            expected=f"1 to {_SHOWN_NAMES - 1} callers named in the incident",
            received=f"{len(callers)} named",
            hint="Say --scope function or --scope app.",
        )
    end = _end_of(until)
    if end is not None and _us(end) < _us(incident["first_event"]):
        raise InputError(
            "The expectation would end before the incident began.",
            expected=f"a time after {_iso(incident['first_event'])}",
            received=_iso(end),
        )
    return Feedback(
        what=what,
        at=_iso(now),
        who=who,
        why=why,
        incident_id=str(incident["incident_id"]),
        title=str(incident.get("title") or ""),
        kind=str(incident.get("kind") or ""),
        scope=scope or ("caller" if named else "function"),
        until=_iso(end) if end is not None else None,
        first_event=_iso(incident["first_event"]),
        last_event=_iso(incident["last_event"]),
        apps=tuple(incident.get("apps") or ()),
        functions=tuple(incident.get("functions") or ()),
        callers=callers,
        invocations=int(incident.get("invocations") or 0),
        invocation_ids=tuple(incident.get("invocation_ids") or ()),
    )


def expected_by(feedback: Iterable[Feedback], incident: Mapping[str, Any]) -> str | None:
    """Id of the first expectation that covers an incident; None where none does.

    Args:
        feedback: what stands.
        incident: kind, opened, apps, functions and callers are read.
    """
    opened = _us(incident["opened"])
    for said in feedback:
        if said.what != "expected" or said.kind != incident["kind"] or not _begins(said) <= opened <= _ends(said):
            continue
        if all(_within(incident.get(names), getattr(said, names)) for names in _AGREE[said.scope]):
            return said.id
    return None


def part_suppressed(
    incidents: Iterable[Mapping[str, Any]],
) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Incidents to tell people, and those that feedback expects: what they were, and which statement expects them."""
    told, suppressed = [], []
    for incident in incidents:
        by = incident.get("suppressed")
        if by is None:
            told.append({name: value for name, value in incident.items() if name != "suppressed"})
        else:
            names = ("incident_id", "title", "kind", "opened", "invocations")
            suppressed.append({**{name: incident.get(name) for name in names}, "feedback": by})
    return told, suppressed


def without_bad(slices: Iterable[pa.RecordBatch], feedback: Sequence[Feedback]) -> Iterator[pa.RecordBatch]:
    """The rows that no bad incident holds: what training may see.

    Args:
        slices: collated invocations.
        feedback: what stands.
    """
    bad = [said for said in feedback if said.what == "bad"]
    for rows in slices:
        mask = bad_rows(rows, bad) if bad else np.zeros(rows.num_rows, np.bool_)
        yield rows.filter(pa.array(~mask)) if mask.any() else rows


def bad_rows(rows: pa.RecordBatch, bad: Sequence[Feedback]) -> Mask:
    """Which invocations belong to bad incidents, bool[n].

    An incident lists at most 1,000 invocations; of a larger one, all calls of its callers to its functions within its
    time belong to it.
    """
    ids = pa.array(sorted({one for said in bad for one in said.invocation_ids}), pa.string())
    mask = np.asarray(pc.is_in(rows.column("invocation_id"), value_set=ids))
    at = np.asarray(rows.column("at"))
    for said in bad:
        if said.invocations > len(said.invocation_ids) and 0 < len(said.callers) < _SHOWN_NAMES:
            inside = (at >= _us(said.first_event)) & (at <= _us(said.last_event))
            for column, names in (("app", said.apps), ("function", said.functions), ("caller", said.callers)):
                inside = inside & np.asarray(pc.is_in(rows.column(column), value_set=pa.array(names, pa.string())))
            mask = mask | inside
    return mask


def normal_events(at: Any, function: Any, caller: Any, app: Any, feedback: Sequence[Feedback]) -> Mask:
    """Which events people said are to be expected, bool[n]: training takes them for normal life however strange.

    Args:
        at: int64[n], completion, UTC us.
        function: uint64[n], hash of app and function.
        caller: uint64[n], hash of the caller; 0 where it is nobody in particular.
        app: uint64[n], hash of the app.
        feedback: what stands.
    """
    mask = np.zeros(len(at), np.bool_)
    for said in feedback:
        if said.what != "expected" or not said.apps:
            continue
        apps = hash_strings(pa.array(said.apps, pa.string()))
        inside = (at >= _begins(said)) & (at <= _ends(said)) & np.isin(app, apps)
        if said.scope != "app":
            names = hash_strings(pa.array(said.functions, pa.string()))
            pairs = combine(np.repeat(apps, len(names)), np.tile(names, len(apps)))
            inside &= np.isin(function, pairs)
        if said.scope == "caller":
            inside &= np.isin(caller, hash_strings(pa.array(said.callers, pa.string())))
        mask |= inside
    return mask


def _begins(said: Feedback) -> int:
    return _us(said.first_event)


def _ends(said: Feedback) -> int:
    return _us(said.until) if said.until is not None else _FOREVER_US


def _within(names: Iterable[str] | None, expected: Sequence[str]) -> bool:
    """Whether all names are expected ones; where the list may have been cut, nobody knows."""
    found = list(names or ())
    return len(found) < _SHOWN_NAMES and set(found) <= set(expected)


def learned_from(statements: Sequence[Feedback]) -> list[str]:
    """What of the feedback a training heeded, as a note of its version; nothing where nothing stands."""
    bad, expected = ([one.id for one in statements if one.what == what] for what in ("bad", "expected"))
    parts = [f"{len(bad)} bad kept out ({', '.join(bad[:_TOLD])})"] if bad else []
    parts += [f"{len(expected)} expected counted as normal ({', '.join(expected[:_TOLD])})"] if expected else []
    return [f"Feedback on incidents: {'; '.join(parts)}."] if parts else []


def truth_of(statements: Iterable[Feedback]) -> pa.Table:
    """What people said is bad, as the truth for ``detectors.evaluate.evaluate``: each incident is a scenario.

    An incident lists at most 1,000 invocations, so what is found of a larger one is a sample of it. Silences have none.

    Args:
        statements: what stands.

    Returns:
        ``InvocationId`` str and ``scenario`` str, a row for each invocation of an incident said to be bad.

    Example:
        >>> said = Feedback("bad", "2026-08-01T00:00:00Z", "ann", incident_id="LT-1", invocation_ids=("a", "b"))
        >>> truth_of([said]).to_pydict()
        {'InvocationId': ['a', 'b'], 'scenario': ['LT-1', 'LT-1']}
    """
    pairs = [(one, said.incident_id) for said in statements if said.what == "bad" for one in said.invocation_ids]
    return pa.table(
        {
            "InvocationId": pa.array([one for one, _ in pairs], pa.string()),
            "scenario": pa.array([incident for _, incident in pairs], pa.string()),
        }
    )


def _end_of(until: date | datetime | None) -> datetime | None:
    if until is None or isinstance(until, datetime):
        return until
    return datetime(until.year, until.month, until.day, tzinfo=timezone.utc) + timedelta(days=1)


def _us(moment: str | datetime) -> int:
    """UTC microseconds of a datetime, or of ISO 8601 text as Lonetree writes it."""
    # fromisoformat knows no Z before Python 3.11
    time = datetime.fromisoformat(moment.replace("Z", "+00:00")) if isinstance(moment, str) else moment
    time = time if time.tzinfo else time.replace(tzinfo=timezone.utc)
    return (time - datetime(1970, 1, 1, tzinfo=timezone.utc)) // timedelta(microseconds=1)


def _iso(moment: str | datetime) -> str:
    us = _us(moment)
    return (datetime(1970, 1, 1, tzinfo=timezone.utc) + timedelta(microseconds=us)).isoformat()
