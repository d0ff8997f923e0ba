"""One parsed JSON value to its records, each a mapping of slots: the slow way, which knows every shape."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any, Final

import msgspec
import pyarrow as pa

from detectors.conform import exports, spans
from detectors.conform.slots import CONTAINERS

#: slots of one record, as text
Slots = dict[str, str]

_DECODER: Final = msgspec.json.Decoder()
#: an envelope in an envelope in an array is as deep as captures go
_MAX_WRAPS: Final = 8
#: the beginning of pseudo-JSON: {'key': or, its quotes stripped, {key:
_KEY: Final = re.compile(r"(?:^\{|,)\s*'?([A-Za-z][A-Za-z0-9_]{1,40})'?\s*:")
#: keys of FunctionAppLogs' properties; only these begin a new value where quotes can't say so
_LOG_KEYS: Final = frozenset(
    (
        "appName",
        "roleInstance",
        "message",
        "category",
        "hostVersion",
        "functionInvocationId",
        "functionName",
        "hostInstanceId",
        "level",
        "levelId",
        "processId",
        "exceptionDetails",
        "exceptionMessage",
        "exceptionType",
        "eventId",
        "eventName",
        "activityId",
    )
)


class NotARecordError(ValueError):
    """A JSON value that no shape explains; its text says what was expected and received."""


def parse(line: bytes) -> Any:
    """The JSON value in these bytes; takes NaN and Infinity, and replaces invalid UTF-8.

    Raises:
        NotARecordError: where it is no JSON, or nested too deep.
    """
    try:
        return _DECODER.decode(line)
    except RecursionError:
        raise NotARecordError("expected a record; received JSON nested too deep") from None
    except (msgspec.DecodeError, UnicodeDecodeError) as first:
        try:
            return json.loads(line.decode("utf-8", "replace"))
        except RecursionError:
            raise NotARecordError("expected a record; received JSON nested too deep") from None
        except ValueError:
            raise NotARecordError(f"expected JSON; received {_one_line(str(first))}") from None


def records(value: Any) -> Iterator[Slots | NotARecordError]:
    """The slots of every record in a JSON value, through arrays and envelopes; what is no record comes as an error."""
    yield from _unwrap(value, 0)


def _unwrap(value: Any, depth: int) -> Iterator[Slots | NotARecordError]:
    if depth > _MAX_WRAPS:
        yield NotARecordError("expected records; received envelopes nested too deep")
    elif isinstance(value, list):
        for item in value:
            yield from _unwrap(item, depth + 1)
    elif not isinstance(value, dict):
        yield NotARecordError(f"expected a JSON object; received {type(value).__name__}")
    else:
        lower = {key.lower(): item for key, item in value.items()}
        if isinstance(lower.get("records"), list):
            yield from _unwrap(lower["records"], depth + 1)
        elif spans.is_spans(value):
            yield from spans.spans(value)
        elif exports.is_export(value):
            yield from exports.exports(value)
        elif isinstance(lower.get("tables"), list):
            yield from _query_tables(lower["tables"], depth)
        else:
            yield _flat(lower)


def _flat(lower: dict[str, Any]) -> Slots:
    slots: Slots = {}
    for key, value in lower.items():
        prefix = CONTAINERS.get(key)
        if prefix is None:
            as_text = text_of(value)
            if as_text is not None:
                slots[key] = as_text
            continue
        for inner, item in _object(value).items():
            as_text = text_of(item)
            if as_text is not None:
                slots[prefix + inner.lower()] = as_text
    return slots


def _query_tables(tables: list[Any], depth: int) -> Iterator[Slots | NotARecordError]:
    """The answer of a query: columns once, then rows."""
    for table in tables:
        try:
            names = [column["name"] for column in table["columns"]]
            rows = [dict(zip(names, row, strict=True)) for row in table["rows"]]
        except (KeyError, TypeError, ValueError):
            yield NotARecordError("expected a table with columns and rows; received something else")
            continue
        yield from _unwrap(rows, depth + 1)


def _object(value: Any) -> dict[str, Any]:
    """A nested object, given as such, as JSON text, or as FunctionAppLogs' pseudo-JSON."""
    if isinstance(value, dict):
        return value
    if not isinstance(value, str):
        return {}
    return object_of_text(value)


def object_of_text(value: str) -> dict[str, Any]:
    """The object in a string: JSON, single-quoted pseudo-JSON, or that with every quote stripped (trap 5)."""
    value = value.strip()
    if not value.startswith("{"):
        return {}
    try:
        parsed = _DECODER.decode(value)
    except (msgspec.DecodeError, RecursionError, UnicodeError):
        return _pseudo_json(value)
    return parsed if isinstance(parsed, dict) else {}


def _pseudo_json(value: str) -> dict[str, Any]:
    """Keys and values where quotes can't be trusted: a value ends where the next known key begins."""
    body = value.removesuffix("}")
    begins = [match for match in _KEY.finditer(body) if match[1] in _LOG_KEYS]
    found: dict[str, Any] = {}
    for index, match in enumerate(begins):
        end = begins[index + 1].start() if index + 1 < len(begins) else len(body)
        item = body[match.end() : end].strip().rstrip(",").strip()
        if len(item) > 1 and item[0] == item[-1] == "'":
            item = item[1:-1]
        found.setdefault(match[1], item)
    return found


def text_of(value: Any) -> str | None:
    """A scalar as text, as JSON writes it; null is None, and what is nested stays JSON."""
    if isinstance(value, str):
        return value
    if value is None:
        return None
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, (int, float)):
        return repr(value)
    return json.dumps(value)


def strings(values: list[str | None]) -> pa.Array:
    """Texts as string[n], half surrogate pairs (which JSON allows and UTF-8 doesn't) replaced."""
    try:
        return pa.array(values, pa.string())
    except UnicodeEncodeError:
        whole = [None if value is None else value.encode("utf-8", "replace").decode() for value in values]
        return pa.array(whole, pa.string())


def _one_line(text: str) -> str:
    return " ".join(text.split())[:200]
