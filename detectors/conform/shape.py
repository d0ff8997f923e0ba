"""One shaper a family of records: slots of requests, traces, exceptions and host log lines to INVOCATION's fields."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from typing import Final, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from detectors.conform import recognise as tables
from detectors.conform import slots, triggers
from detectors.conform.callers import callers
from detectors.conform.coerce import milliseconds, moments, numbers, truths
from detectors.conform.function_logs import read_messages
from detectors.conform.options import ConformOptions
from detectors.conform.slots import Columns, pick
from detectors.conform.texts import app_names, clean, function_names
from detectors.masking import mask_secrets_array
from detectors.schema import CALLER_CONFIDENCE

#: what becomes of a record
OK, SKIP, NO_TIME, OUT_OF_TIME, NO_FUNCTION = range(5)

#: a longer duration is a broken clock: no plan lets a function run for weeks
MAX_DURATION_MS: Final = 30 * 86_400_000.0
#: a row that stands for more is a broken counter: sampling keeps at least 1 in this many
MAX_ITEM_COUNT: Final = 1_000_000
_HOST_SDK: Final = "azurefunctions:"
_TRACE_COUNT: Final = r"(?:Dequeue|Delivery)Count: (?P<count>\d{1,9})"
_TRACE_UNSCHEDULED: Final = r"UnscheduledInvocationReason: (?P<why>[^,]+)"
_CATEGORY_FUNCTION: Final = r"^Function\.(?P<function>[^.]+)"


class Shaped(NamedTuple):
    """n records as INVOCATION's fields; what a shape never tells is not in ``fields``."""

    fields: dict[str, pa.Array]
    #: int64[n], microseconds UTC
    event_time: NDArray[np.int64]
    #: int8[n], one of OK, SKIP, NO_TIME, OUT_OF_TIME, NO_FUNCTION
    fate: NDArray[np.int8]


class Common(NamedTuple):
    """What every family has."""

    fields: dict[str, pa.Array]
    event_time: NDArray[np.int64]
    fate: NDArray[np.int8]


def requests(columns: Columns, rows: int, options: ConformOptions) -> Shaped:
    """AppRequests, classic requests, and spans and exports mapped to them."""
    fields, event_time, fate = _common(columns, rows, options)
    strings = _Strings(columns, rows, options)
    operation, span = strings(slots.OPERATION_ID), strings(slots.SPAN_ID)
    names = function_names(
        strings.maybe(slots.NAME), strings.maybe(slots.OPERATION_NAME), strings.maybe(slots.FULL_NAME), rows
    )
    fate[(fate == OK) & names.is_null().to_numpy(zero_copy_only=False)] = NO_FUNCTION

    method, path, url = strings(slots.METHOD), strings.maybe(slots.PATH), strings.maybe(slots.URL)
    fired = triggers.triggers(
        strings.maybe(slots.TRIGGER_REASON), strings.maybe(slots.BINDING), strings.maybe(slots.SOURCE), rows
    )
    path = _paths(path, url, rows)
    kind = _http_or_manual(columns, fired, method, path)
    fired = fired._replace(kind=kind)
    http = kind == triggers.HTTP

    duration = _sane_ms(columns, slots.DURATION, rows)
    sdk = strings(slots.SDK_VERSION)
    geography = _geography(strings, http, sdk)
    owner = None if options.caller_property is None else (slots.caller_slot(options.caller_property),)
    who = callers(
        fired,
        owner_property=None if owner is None else strings.maybe(owner),
        user=strings.maybe(slots.USER),
        client_ip=strings.maybe(slots.ADDRESS),
        source=strings.maybe(slots.SOURCE),
        geography=geography,
        options=options,
    )
    fields |= {
        "record": pa.repeat("invocation", rows),
        "invocation_id": pc.coalesce(strings(slots.INVOCATION_ID), span),
        "function": names,
        "trigger": triggers.kind_names(kind),
        "trigger_source": fired.source,
        "operation_id": operation,
        "parent_id": strings(slots.PARENT_ID),
        "duration_ms": duration,
        "execution_ms": _sane_ms(columns, slots.EXECUTION, rows),
        "succeeded": _truths(columns, slots.SUCCESS, rows),
        "status": _status(columns, http, rows),
        "caller": who.caller,
        "caller_source": who.source,
        "caller_confidence": who.confidence,
        "address": who.address,
        "network": who.network,
        "method": method,
        "path": mask_secrets_array(path),
        "sdk_version": sdk,
        "cold_start": _truths(columns, slots.COLD_START, rows),
        "dequeue_count": _small_ints(columns, slots.DEQUEUE_COUNT, rows),
        "unscheduled_reason": strings(slots.UNSCHEDULED),
        "queued_ms": _sane_ms(columns, slots.QUEUED, rows),
    }
    if geography is not None:
        fields |= dict(zip(("country", "state", "city"), geography, strict=True))
    fields["invocation_id"] = _derived_ids(fields, event_time)
    return Shaped(fields, event_time, fate)


def traces(columns: Columns, rows: int, options: ConformOptions) -> Shaped:
    """AppTraces: details of an invocation, above all of its trigger; without its id, nothing to join."""
    fields, event_time, fate = _common(columns, rows, options)
    strings = _Strings(columns, rows, options)
    message = strings(slots.MESSAGE)
    fields |= _details("trace", strings, rows) | _trigger_details(columns, strings, message, rows)
    fields["message"] = mask_secrets_array(message)
    _skip_unjoinable(fields, fate)
    return Shaped(fields, event_time, fate)


def exceptions(columns: Columns, rows: int, options: ConformOptions) -> Shaped:
    """AppExceptions: type and message of a failure; some lack the invocation's id and join nothing."""
    fields, event_time, fate = _common(columns, rows, options)
    strings = _Strings(columns, rows, options)
    fields |= _details("exception", strings, rows)
    fields["exception_type"] = strings((*slots.EXCEPTION_TYPE, *slots.TYPE))
    fields["message"] = mask_secrets_array(strings((*slots.EXCEPTION_MESSAGE, *slots.MESSAGE)))
    _skip_unjoinable(fields, fate)
    return Shaped(fields, event_time, fate)


def function_logs(columns: Columns, rows: int, options: ConformOptions) -> Shaped:
    """FunctionAppLogs: began, ended, or a detail; the outcome stands in the message (trap 5)."""
    fields, event_time, fate = _common(columns, rows, options)
    strings = _Strings(columns, rows, options)
    message = strings(slots.MESSAGE)
    event_id = pick(columns, slots.EVENT_ID)
    said = read_messages(message, np.full(rows, np.nan) if event_id is None else numbers(event_id))
    exception_type = strings(slots.EXCEPTION_TYPE)

    ids = pc.coalesce(strings(slots.INVOCATION_ID), said.invocation_id)
    names = function_names(said.function, strings.maybe(slots.LOG_FUNCTION), _category_function(strings), rows)
    fired = triggers.triggers(said.reason, None, None, rows)
    who = callers(fired, owner_property=None, user=None, client_ip=None, geography=None, options=options)
    # the host's line of a failure carries the exception, and stays an invocation
    detail = np.where(exception_type.is_valid().to_numpy(zero_copy_only=False), "exception", "trace")
    record = np.where(said.completed, "invocation", np.where(said.started, "started", detail))

    duration = _sane(milliseconds(said.duration))
    duration[~said.completed] = np.nan
    # the line is written when it ends, an invocation's time is when it began
    event_time = event_time - np.rint(np.nan_to_num(duration) * 1e3).astype(np.int64)
    fields |= {
        "record": pa.array(record.tolist(), pa.string()),
        "invocation_id": ids,
        "function": pc.fill_null(names, ""),
        "trigger": triggers.kind_names(fired.kind),
        "trigger_source": fired.source,
        "duration_ms": _nullable(duration),
        "succeeded": said.succeeded,
        "caller": who.caller,
        "caller_source": who.source,
        "caller_confidence": who.confidence,
        "exception_type": exception_type,
        "item_count": pa.repeat(pa.scalar(1, pa.int32()), rows),
    }
    fields |= _trigger_details(columns, strings, message, rows)
    plain = pa.array(~said.completed & ~said.started)
    outcome = pc.coalesce(strings(slots.EXCEPTION_MESSAGE), pc.if_else(plain, message, pa.scalar(None, pa.string())))
    fields["message"] = mask_secrets_array(outcome)
    nameless = names.is_null().to_numpy(zero_copy_only=False)
    fate[(fate == OK) & nameless & (said.completed | said.started)] = NO_FUNCTION
    _skip_unjoinable(fields, fate)
    return Shaped(fields, event_time, fate)


#: family code to its shaper
SHAPERS: Final[dict[int, Callable[[Columns, int, ConformOptions], Shaped]]] = {
    tables.REQUEST: requests,
    tables.TRACE: traces,
    tables.EXCEPTION: exceptions,
    tables.FUNCTION_LOG: function_logs,
}


class _Strings:
    """Slots as clean text: empty is null, long is cut."""

    def __init__(self, columns: Columns, rows: int, options: ConformOptions) -> None:
        self._columns, self._rows, self._limit = columns, rows, options.max_string

    def maybe(self, names: tuple[str, ...]) -> pa.Array | None:
        """string[n], or None where no row has it."""
        found = {name: clean(self._columns[name], self._limit) for name in names if name in self._columns}
        return pick(found, names)

    def __call__(self, names: tuple[str, ...]) -> pa.Array:
        """string[n]."""
        found = self.maybe(names)
        return pa.nulls(self._rows, pa.string()) if found is None else found


def _common(columns: Columns, rows: int, options: ConformOptions) -> Common:
    strings = _Strings(columns, rows, options)
    fate = np.full(rows, OK, np.int8)
    time = pick(columns, slots.TIME)
    if time is None:
        event_time, timed = np.zeros(rows, np.int64), np.zeros(rows, np.bool_)
    else:
        event_time, timed = moments(time)
    fate[~timed] = NO_TIME
    fields = {
        "app": app_names(strings.maybe(slots.APP), strings.maybe(slots.RESOURCE), rows),
        "instance": strings(slots.INSTANCE),
        "host_instance": strings(slots.HOST_INSTANCE),
        "app_version": strings(slots.APP_VERSION),
        "item_count": _item_counts(columns, rows),
    }
    return Common(fields, event_time, fate)


def _details(record: str, strings: _Strings, rows: int) -> dict[str, pa.Array]:
    """Fields of a detail; who called and what fired is the invocation's to say."""
    names = function_names(strings.maybe(slots.OPERATION_NAME), _category_function(strings), None, rows)
    return {
        "record": pa.repeat(record, rows),
        "invocation_id": strings(slots.INVOCATION_ID),
        "function": pc.fill_null(names, ""),
        "trigger": pa.repeat("other", rows),
        "operation_id": strings(slots.OPERATION_ID),
        "parent_id": strings(slots.PARENT_ID),
        "caller": pa.repeat("unknown:unknown", rows),
        "caller_source": pa.repeat("unknown", rows),
        "caller_confidence": pa.repeat(pa.scalar(CALLER_CONFIDENCE["unknown"], pa.float32()), rows),
        "sdk_version": strings(slots.SDK_VERSION),
    }


def _trigger_details(columns: Columns, strings: _Strings, message: pa.Array, rows: int) -> dict[str, pa.Array]:
    """Deliveries so far and the reason of an unscheduled timer, out of properties or of 'Trigger Details: …'."""
    count, why = _small_ints(columns, slots.DEQUEUE_COUNT, rows), strings(slots.UNSCHEDULED)
    detailed = pc.fill_null(pc.starts_with(message, "Trigger Details"), False)
    if pc.any(detailed).as_py():
        told = pc.if_else(detailed, message, pa.scalar(None, pa.string()))
        counted = pc.struct_field(pc.extract_regex(told, _TRACE_COUNT), "count")
        count = pc.coalesce(count, pc.cast(counted, pa.int32()))
        why = pc.coalesce(why, pc.struct_field(pc.extract_regex(told, _TRACE_UNSCHEDULED), "why"))
    return {"dequeue_count": count, "unscheduled_reason": why}


def _skip_unjoinable(fields: dict[str, pa.Array], fate: NDArray[np.int8]) -> None:
    fate[(fate == OK) & fields["invocation_id"].is_null().to_numpy(zero_copy_only=False)] = SKIP


def _category_function(strings: _Strings) -> pa.Array | None:
    category = strings.maybe(slots.LOG_CATEGORY)
    if category is None:
        return None
    return pc.struct_field(pc.extract_regex(category, _CATEGORY_FUNCTION), "function")


def _http_or_manual(columns: Columns, fired: triggers.Triggers, method: pa.Array, path: pa.Array) -> NDArray[np.int8]:
    """Trigger kinds, with a run through the admin API told from a call, and a row with a URL but no reason as HTTP."""
    kind: NDArray[np.int8] = fired.kind.copy()
    has_http = method.is_valid().to_numpy(zero_copy_only=False) | path.is_valid().to_numpy(zero_copy_only=False)
    # columns absent from the whole source say nothing about how a row was called
    if any(name in columns for name in (*slots.METHOD, *slots.PATH, *slots.URL)):
        kind[fired.via_host & ~has_http] = triggers.HOST_API
    kind[(kind == triggers.OTHER) & has_http] = triggers.HTTP
    return kind


def _paths(path: pa.Array | None, url: pa.Array | None, rows: int) -> pa.Array:
    """HTTP paths; the URL's where it carries a query or nothing else does."""
    if url is None:
        return pa.nulls(rows, pa.string()) if path is None else path
    below = pc.replace_substring_regex(url, r"^[A-Za-z]+://[^/?]*", "") if path is None else None
    if path is None:
        return pc.if_else(pc.equal(below, ""), "/", below)
    use_url = pc.or_(pc.fill_null(pc.match_substring(url, "?"), False), path.is_null())
    if not pc.any(use_url).as_py():
        return path
    below = pc.replace_substring_regex(
        pc.if_else(use_url, url, pa.scalar(None, pa.string())), r"^[A-Za-z]+://[^/?]*", ""
    )
    return pc.coalesce(below, path)


def _geography(strings: _Strings, http: NDArray[np.bool_], sdk: pa.Array) -> tuple[pa.Array, pa.Array, pa.Array] | None:
    """Country, state and city where they are the caller's: HTTP rows of the host, or of a log without SDKVersion."""
    parts = [strings(names) for names in (slots.COUNTRY, slots.STATE, slots.CITY)]
    if all(part.null_count == len(part) for part in parts):
        return None
    by_host = pc.fill_null(pc.starts_with(sdk, _HOST_SDK), True).to_numpy(zero_copy_only=False)
    trusted = http & by_host
    if not trusted.all():
        mask = pa.array(trusted)
        parts = [pc.if_else(mask, part, pa.scalar(None, pa.string())) for part in parts]
    return parts[0], parts[1], parts[2]


def _status(columns: Columns, http: NDArray[np.bool_], rows: int) -> pa.Array:
    array = pick(columns, slots.RESULT_CODE)
    if array is None:
        return pa.nulls(rows, pa.int32())
    values = numbers(array)
    with np.errstate(invalid="ignore"):
        right = http & (values >= 100) & (values < 600) & (values == np.floor(values))
    return pa.array(np.where(right, values, 0).astype(np.int32), mask=~right)


def _item_counts(columns: Columns, rows: int) -> pa.Array:
    array = pick(columns, slots.ITEM_COUNT)
    if array is None:
        return pa.repeat(pa.scalar(1, pa.int32()), rows)
    values = numbers(array)
    with np.errstate(invalid="ignore"):
        right = (values >= 1) & (values <= MAX_ITEM_COUNT)
    return pa.array(np.where(right, values, 1).astype(np.int32))


def _small_ints(columns: Columns, names: tuple[str, ...], rows: int) -> pa.Array:
    array = pick(columns, names)
    if array is None:
        return pa.nulls(rows, pa.int32())
    values = numbers(array)
    with np.errstate(invalid="ignore"):
        right = (values >= 0) & (values < np.iinfo(np.int32).max)
    return pa.array(np.where(right, values, 0).astype(np.int32), mask=~right)


def _truths(columns: Columns, names: tuple[str, ...], rows: int) -> pa.Array:
    array = pick(columns, names)
    return pa.nulls(rows, pa.bool_()) if array is None else truths(array)


def _sane_ms(columns: Columns, names: tuple[str, ...], rows: int) -> pa.Array:
    array = pick(columns, names)
    return pa.nulls(rows, pa.float64()) if array is None else _nullable(_sane(milliseconds(array)))


def _sane(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Durations with NaN in place of the negative and the absurd."""
    with np.errstate(invalid="ignore"):
        return np.where((values >= 0) & (values <= MAX_DURATION_MS), values, np.nan)


def _nullable(values: NDArray[np.float64]) -> pa.Array:
    return pa.array(values, mask=np.isnan(values))


def _derived_ids(fields: dict[str, pa.Array], event_time: NDArray[np.int64]) -> pa.Array:
    """Invocation ids, those missing made of the record's content: a copy of the record gets the same id."""
    ids = fields["invocation_id"]
    if ids.null_count == 0:
        return ids
    missing = ids.is_null().to_numpy(zero_copy_only=False)
    parts = ("app", "function", "instance", "operation_id", "duration_ms", "status", "caller")
    values = [fields[name].filter(pa.array(missing)).to_pylist() for name in parts]
    made = [
        "content:" + hashlib.blake2b(repr(key).encode("utf-8", "replace"), digest_size=16).hexdigest()
        for key in zip(event_time[missing].tolist(), *values, strict=True)
    ]
    return pc.replace_with_mask(ids, pa.array(missing), pa.array(made, pa.string()))
