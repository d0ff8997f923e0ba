"""One shaper a family of records: slots of requests, traces, exceptions and host log lines to INVOCATION's fields."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from typing import Final, NamedTuple, TypeAlias

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from detectors.conform import recognise as tables
from detectors.conform import slots, triggers
from detectors.conform.callers import callers
from detectors.conform.coerce import milliseconds, moments, numbers, truths
from detectors.conform.distinct import Distinct
from detectors.conform.function_logs import read_messages
from detectors.conform.options import ConformOptions
from detectors.conform.slots import Columns, pick
from detectors.conform.texts import app_names, clean, function_names
from detectors.masking import mask_secrets_array
from detectors.schema import CALLER_CONFIDENCE, RECORDS

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


#: one field of INVOCATION: texts by their distinct values, or any Arrow column
Field: TypeAlias = pa.Array | Distinct


class Shaped(NamedTuple):
    """n records as INVOCATION's fields; what a shape never tells is not in ``fields``."""

    fields: dict[str, Field]
    #: int64[n], microseconds UTC
    event_time: NDArray[np.int64]
    #: int8[n], one of OK, SKIP, NO_TIME, OUT_OF_TIME, NO_FUNCTION
    fate: NDArray[np.int8]


def requests(columns: Columns, rows: int, options: ConformOptions) -> Shaped:
    """AppRequests, classic requests, and spans and exports mapped to them."""
    fields, event_time, fate = _common(columns, rows, options)
    texts = _Texts(columns, rows, options)
    names = function_names([texts(names) for names in (slots.NAME, slots.OPERATION_NAME, slots.FULL_NAME)], rows)
    fate[(fate == OK) & ~names.valid] = NO_FUNCTION

    method = texts(slots.METHOD)
    fired = triggers.triggers(texts(slots.TRIGGER_REASON), texts(slots.BINDING), texts(slots.SOURCE))
    path = _paths(texts.maybe(slots.PATH), texts.maybe(slots.URL), rows)
    kind = _http_or_manual(columns, fired, method, path)
    fired = fired._replace(kind=kind)
    http = kind == triggers.HTTP

    sdk = texts(slots.SDK_VERSION)
    geography = _geography(texts, http, sdk)
    owner = None if options.caller_property is None else (slots.caller_slot(options.caller_property),)
    who = callers(
        fired,
        owner_property=None if owner is None else texts.maybe(owner),
        user=texts.maybe(slots.USER),
        client_ip=texts.maybe(slots.ADDRESS),
        source=texts.maybe(slots.SOURCE),
        geography=geography,
        options=options,
    )
    fields |= {
        "record": Distinct.constant("invocation", rows),
        "invocation_id": either(texts.plain(slots.INVOCATION_ID), lambda: texts.plain(slots.SPAN_ID)),
        "function": names,
        "trigger": triggers.kind_names(kind),
        "trigger_source": fired.source,
        "operation_id": texts.plain(slots.OPERATION_ID),
        "parent_id": texts.plain(slots.PARENT_ID),
        "duration_ms": _sane_ms(columns, slots.DURATION, rows),
        "execution_ms": _sane_ms(columns, slots.EXECUTION, rows),
        "succeeded": _truths(columns, slots.SUCCESS, rows),
        "status": _status(columns, http, rows),
        "caller": who.caller,
        "caller_source": who.source,
        "caller_confidence": pa.array(who.confidence),
        "address": who.address,
        "network": who.network,
        "method": method,
        "path": path.mapped(mask_secrets_array),
        "sdk_version": sdk,
        "cold_start": _truths(columns, slots.COLD_START, rows),
        "dequeue_count": _small_ints(columns, slots.DEQUEUE_COUNT, rows),
        "unscheduled_reason": texts(slots.UNSCHEDULED),
        "queued_ms": _sane_ms(columns, slots.QUEUED, rows),
    }
    if geography is not None:
        fields |= dict(zip(("country", "state", "city"), geography, strict=True))
    fields["invocation_id"] = _derived_ids(fields, event_time)
    return Shaped(fields, event_time, fate)


def traces(columns: Columns, rows: int, options: ConformOptions) -> Shaped:
    """AppTraces: details of an invocation, above all of its trigger; without its id, nothing to join."""
    fields, event_time, fate = _common(columns, rows, options)
    texts = _Texts(columns, rows, options)
    message = texts(slots.MESSAGE)
    fields |= _details("trace", texts, rows) | _trigger_details(columns, texts, message, rows)
    fields["message"] = message.mapped(mask_secrets_array)
    _skip_unjoinable(fields, fate)
    return Shaped(fields, event_time, fate)


def exceptions(columns: Columns, rows: int, options: ConformOptions) -> Shaped:
    """AppExceptions: type and message of a failure; some lack the invocation's id and join nothing."""
    fields, event_time, fate = _common(columns, rows, options)
    texts = _Texts(columns, rows, options)
    fields |= _details("exception", texts, rows)
    fields["exception_type"] = texts((*slots.EXCEPTION_TYPE, *slots.TYPE))
    fields["message"] = texts((*slots.EXCEPTION_MESSAGE, *slots.MESSAGE)).mapped(mask_secrets_array)
    _skip_unjoinable(fields, fate)
    return Shaped(fields, event_time, fate)


def function_logs(columns: Columns, rows: int, options: ConformOptions) -> Shaped:
    """FunctionAppLogs: began, ended, or a detail; the outcome stands in the message (trap 5)."""
    fields, event_time, fate = _common(columns, rows, options)
    texts = _Texts(columns, rows, options)
    message = texts.plain(slots.MESSAGE)
    event_id = pick(columns, slots.EVENT_ID)
    said = read_messages(message, np.full(rows, np.nan) if event_id is None else numbers(event_id))
    exception_type = texts(slots.EXCEPTION_TYPE)

    names = function_names(
        [Distinct.of(said.function), texts(slots.LOG_FUNCTION), texts(slots.LOG_CATEGORY).mapped(_category_function)],
        rows,
    )
    fired = triggers.triggers(Distinct.of(said.reason), Distinct.none(rows), Distinct.none(rows))
    who = callers(fired, options=options)
    # the host's line of a failure carries the exception, and stays an invocation
    detail = np.where(exception_type.valid, RECORDS.index("exception"), RECORDS.index("trace"))
    record = np.where(said.started, RECORDS.index("started"), detail)
    record[said.completed] = RECORDS.index("invocation")

    duration = _sane(milliseconds(said.duration))
    duration[~said.completed] = np.nan
    # the line is written when it ends, an invocation's time is when it began
    event_time = event_time - np.rint(np.nan_to_num(duration) * 1e3).astype(np.int64)
    fields |= {
        "record": Distinct(record.astype(np.int32), pa.array(RECORDS, pa.string())),
        "invocation_id": either(texts.plain(slots.INVOCATION_ID), lambda: said.invocation_id),
        "function": names.or_else(Distinct.constant("", rows)),
        "trigger": triggers.kind_names(fired.kind),
        "trigger_source": fired.source,
        "duration_ms": _nullable(duration),
        "succeeded": said.succeeded,
        "caller": who.caller,
        "caller_source": who.source,
        "caller_confidence": pa.array(who.confidence),
        "exception_type": exception_type,
        "item_count": pa.repeat(pa.scalar(1, pa.int32()), rows),
    }
    fields |= _trigger_details(columns, texts, Distinct.of(message), rows)
    plain = pa.array(~said.completed & ~said.started)
    outcome = either(
        texts.plain(slots.EXCEPTION_MESSAGE), lambda: pc.if_else(plain, message, pa.scalar(None, pa.string()))
    )
    fields["message"] = mask_secrets_array(outcome)
    fate[(fate == OK) & ~names.valid & (said.completed | said.started)] = NO_FUNCTION
    _skip_unjoinable(fields, fate)
    return Shaped(fields, event_time, fate)


#: family code to its shaper
SHAPERS: Final[dict[int, Callable[[Columns, int, ConformOptions], Shaped]]] = {
    tables.REQUEST: requests,
    tables.TRACE: traces,
    tables.EXCEPTION: exceptions,
    tables.FUNCTION_LOG: function_logs,
}


def plain(field: Field) -> pa.Array:
    """A field as an Arrow column."""
    return field.plain() if isinstance(field, Distinct) else field


def either(array: pa.Array, other: Callable[[], pa.Array]) -> pa.Array:
    """string[n], the other's value where the first has none."""
    return array if array.null_count == 0 else pc.coalesce(array, other())


class _Texts:
    """Slots as clean text: empty is missing, long is cut."""

    def __init__(self, columns: Columns, rows: int, options: ConformOptions) -> None:
        self._columns, self._rows, self._limit = columns, rows, options.max_string

    def maybe(self, names: tuple[str, ...]) -> Distinct | None:
        """Distinct texts, or None where no row has one."""
        found: Distinct | None = None
        for array in self._having(names):
            if found is not None and found.valid.all():
                break
            given = slots.texts(array).mapped(self._clean)
            found = given if found is None else found.or_else(given)
        return found if found is not None and found.valid.any() else None

    def _clean(self, values: pa.Array) -> pa.Array:
        return clean(values, self._limit)

    def __call__(self, names: tuple[str, ...]) -> Distinct:
        """Distinct texts."""
        return self.maybe(names) or Distinct.none(self._rows)

    def plain(self, names: tuple[str, ...]) -> pa.Array:
        """string[n], for what is different in nearly every row."""
        found: pa.Array | None = None
        for array in self._having(names):
            if found is not None and found.null_count == 0:
                break
            array = clean(slots.text(array), self._limit)
            found = array if found is None else pc.coalesce(found, array)
        return pa.nulls(self._rows, pa.string()) if found is None else found

    def _having(self, names: tuple[str, ...]) -> list[pa.Array]:
        columns = (self._columns[name] for name in names if name in self._columns)
        return [array for array in columns if array.null_count < len(array)]


def _common(columns: Columns, rows: int, options: ConformOptions) -> Shaped:
    """What every family has."""
    texts = _Texts(columns, rows, options)
    fate = np.full(rows, OK, np.int8)
    time = pick(columns, slots.TIME)
    if time is None:
        event_time, timed = np.zeros(rows, np.int64), np.zeros(rows, np.bool_)
    else:
        event_time, timed = moments(time)
    fate[~timed] = NO_TIME
    fields: dict[str, Field] = {
        "app": app_names(texts(slots.APP), texts(slots.RESOURCE)),
        "instance": texts(slots.INSTANCE),
        "host_instance": texts(slots.HOST_INSTANCE),
        "app_version": texts(slots.APP_VERSION),
        "item_count": _item_counts(columns, rows),
    }
    return Shaped(fields, event_time, fate)


def _details(record: str, texts: _Texts, rows: int) -> dict[str, Field]:
    """Fields of a detail; who called and what fired is the invocation's to say."""
    names = function_names(
        [texts(slots.OPERATION_NAME), texts(slots.LOG_CATEGORY).mapped(_category_function)],
        rows,
    )
    return {
        "record": Distinct.constant(record, rows),
        "invocation_id": texts.plain(slots.INVOCATION_ID),
        "function": names.or_else(Distinct.constant("", rows)),
        "trigger": Distinct.constant("other", rows),
        "operation_id": texts.plain(slots.OPERATION_ID),
        "parent_id": texts.plain(slots.PARENT_ID),
        "caller": Distinct.constant("unknown:unknown", rows),
        "caller_source": Distinct.constant("unknown", rows),
        "caller_confidence": pa.repeat(pa.scalar(CALLER_CONFIDENCE["unknown"], pa.float32()), rows),
        "sdk_version": texts(slots.SDK_VERSION),
    }


def _trigger_details(columns: Columns, texts: _Texts, message: Distinct, rows: int) -> dict[str, Field]:
    """Deliveries so far and the reason of an unscheduled timer, out of properties or of 'Trigger Details: …'."""
    count, why = _small_ints(columns, slots.DEQUEUE_COUNT, rows), texts(slots.UNSCHEDULED)
    told = message.mapped(
        lambda values: pc.if_else(pc.starts_with(values, "Trigger Details"), values, pa.scalar(None, pa.string()))
    )
    if told.valid.any():
        counted = told.mapped(lambda values: pc.struct_field(pc.extract_regex(values, _TRACE_COUNT), "count"))
        count = pc.coalesce(count, pc.cast(counted.plain(), pa.int32()))
        why = why.or_else(
            told.mapped(lambda values: pc.struct_field(pc.extract_regex(values, _TRACE_UNSCHEDULED), "why"))
        )
    return {"dequeue_count": count, "unscheduled_reason": why}


def _skip_unjoinable(fields: dict[str, Field], fate: NDArray[np.int8]) -> None:
    fate[(fate == OK) & plain(fields["invocation_id"]).is_null().to_numpy(zero_copy_only=False)] = SKIP


def _category_function(categories: pa.Array) -> pa.Array:
    return pc.struct_field(pc.extract_regex(categories, _CATEGORY_FUNCTION), "function")


def _http_or_manual(columns: Columns, fired: triggers.Triggers, method: Distinct, path: Distinct) -> NDArray[np.int8]:
    """Trigger kinds, with a run through the admin API told from a call, and a row with a URL but no reason as HTTP."""
    kind: NDArray[np.int8] = fired.kind.copy()
    has_http = method.valid | path.valid
    # columns absent from the whole source say nothing about how a row was called
    if any(name in columns for name in (*slots.METHOD, *slots.PATH, *slots.URL)):
        kind[fired.via_host & ~has_http] = triggers.HOST_API
    kind[(kind == triggers.OTHER) & has_http] = triggers.HTTP
    return kind


def _paths(path: Distinct | None, url: Distinct | None, rows: int) -> Distinct:
    """HTTP paths; the URL's where it carries a query or nothing else does."""
    if url is None:
        return path or Distinct.none(rows)
    below = url.mapped(lambda values: pc.replace_substring_regex(values, r"^[A-Za-z]+://[^/?]*", ""))
    if path is None:
        return below.mapped(lambda values: pc.if_else(pc.equal(values, ""), "/", values))
    queried = url.spread(pc.match_substring(url.values, "?").to_numpy(zero_copy_only=False), missing=False)
    return below.where(queried | ~path.valid).or_else(path)


def _geography(texts: _Texts, http: NDArray[np.bool_], sdk: Distinct) -> tuple[Distinct, Distinct, Distinct] | None:
    """Country, state and city where they are the caller's: HTTP rows of the host, or of a log without SDKVersion."""
    parts = [texts(names) for names in (slots.COUNTRY, slots.STATE, slots.CITY)]
    if not any(len(part.values) for part in parts):
        return None
    by_host = sdk.spread(pc.starts_with(sdk.values, _HOST_SDK).to_numpy(zero_copy_only=False), missing=True)
    country, state, city = (part.where(http & by_host) for part in parts)
    return country, state, city


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


def _derived_ids(fields: dict[str, Field], event_time: NDArray[np.int64]) -> pa.Array:
    """Invocation ids, those missing made of the record's content: a copy of the record gets the same id."""
    ids = plain(fields["invocation_id"])
    if ids.null_count == 0:
        return ids
    missing = ids.is_null().to_numpy(zero_copy_only=False)
    parts = ("app", "function", "instance", "operation_id", "duration_ms", "status", "caller")
    values = [plain(fields[name]).filter(pa.array(missing)).to_pylist() for name in parts]
    made = [
        "content:" + hashlib.blake2b(repr(key).encode("utf-8", "replace"), digest_size=16).hexdigest()
        for key in zip(event_time[missing].tolist(), *values, strict=True)
    ]
    return pc.replace_with_mask(ids, pa.array(missing), pa.array(made, pa.string()))
