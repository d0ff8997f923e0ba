"""An incident as one line of JSON, safe to print and the same bytes every time."""

from __future__ import annotations

import datetime as dt
import json
import math
from collections.abc import Mapping
from typing import Any

from pipelines.sinks.base import AMENDS, EXPECTED_FALSE, Incident, masked


def json_line(incident: Incident) -> bytes:
    r"""One line of ASCII JSON with secrets masked and without the line break.

    Everything outside ASCII is written as ``\uXXXX``: lossless for programs, and a bidi override or a terminal's
    escape sequence inside a log message can't act when somebody prints the file. Times become ISO 8601 in UTC,
    infinities and NaN (which JSON lacks) null.
    """
    text = json.dumps(jsonable(masked(incident)), ensure_ascii=True, allow_nan=False, separators=(",", ":"))
    return text.replace("\x7f", "\\u007f").encode("ascii")


def as_told(incident: Incident, *, amends: bool, expected_false: float | None) -> dict[str, Any]:
    """An incident as a running job hands it to sinks: plain JSON, with what only the job knows.

    Args:
        incident: as the incident timeline tells it.
        amends: it was told before.
        expected_false: incidents a day that are to be expected at the budget; None: not known.
    """
    told: dict[str, Any] = json.loads(json_line({**incident, AMENDS: amends, EXPECTED_FALSE: expected_false}))
    return told


def jsonable(value: Any) -> Any:
    """The same data with values that JSON lacks replaced: times, numpy numbers, NaN."""
    if value is None or isinstance(value, (str, bool, int)):
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, dt.datetime):
        return utc_text(value)
    if isinstance(value, Mapping):
        return {str(name): jsonable(item) for name, item in value.items()}
    if isinstance(value, (list, tuple, set, frozenset)):
        return [jsonable(item) for item in value]
    if hasattr(value, "item"):  # a numpy scalar
        return jsonable(value.item())
    return str(value)


def utc_text(time: dt.datetime) -> str:
    """ISO 8601 with microseconds and Z; a time without a zone is taken as UTC, as everywhere here."""
    aware = time.replace(tzinfo=dt.timezone.utc) if time.tzinfo is None else time.astimezone(dt.timezone.utc)
    return aware.strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def as_datetime(value: Any) -> dt.datetime | None:
    """A time field of an incident (datetime or ISO 8601 text) as an aware UTC datetime; None where it can't be read."""
    if isinstance(value, dt.datetime):
        return value.replace(tzinfo=dt.timezone.utc) if value.tzinfo is None else value.astimezone(dt.timezone.utc)
    if isinstance(value, str) and value:
        text = value[:-1] + "+00:00" if value.endswith(("Z", "z")) else value
        try:
            return as_datetime(dt.datetime.fromisoformat(text))
        except ValueError:
            return None
    return None
