"""The names under which Azure logs the same thing, gathered into slots; all matched without case.

A slot is one key that some shape uses, in lower case: ``durationms`` at the top of a record, ``p.invocationid`` in its
Properties, ``m.timesinceenqueued`` in its Measurements. A reader turns records into columns of slots; what stands in
them is text, maybe CODED, or any Arrow type. The tuples below say which slots mean the same, best first.
"""

from __future__ import annotations

import json
from functools import lru_cache
from typing import Final

import pyarrow as pa
import pyarrow.compute as pc

from detectors.conform.distinct import Distinct
from detectors.texts import CODED

#: columns of slots, all of the same length
Columns = dict[str, pa.Array]

#: keys that hold a nested object, and the prefix of the slots in it
CONTAINERS: Final = {"properties": "p.", "customdimensions": "p.", "measurements": "m.", "custommeasurements": "m."}
#: keys whose value holds whole records, or marks a shape that is taken apart record by record
ENVELOPES: Final = ("records", "resourcespans", "scopespans", "request", "context", "tables")

TIME: Final = ("timegenerated", "time", "timestamp")
APP: Final = ("approlename", "cloud_rolename", "p.appname", "appname")
RESOURCE: Final = ("_resourceid", "resourceid")
INSTANCE: Final = ("approleinstance", "cloud_roleinstance", "roleinstance", "p.roleinstance", "p.faas.instance")
NAME: Final = ("name",)
OPERATION_NAME: Final = ("operationname", "operation_name")
OPERATION_ID: Final = ("operationid", "operation_id")
PARENT_ID: Final = ("parentid", "operation_parentid")
SPAN_ID: Final = ("id",)
DURATION: Final = ("durationms", "duration")
SUCCESS: Final = ("success",)
RESULT_CODE: Final = ("resultcode",)
ADDRESS: Final = ("clientip", "client_ip")
USER: Final = ("userauthenticatedid", "user_authenticatedid")
COUNTRY: Final = ("clientcountryorregion", "client_countryorregion")
STATE: Final = ("clientstateorprovince", "client_stateorprovince")
CITY: Final = ("clientcity", "client_city")
APP_VERSION: Final = ("appversion", "application_version")
SDK_VERSION: Final = ("sdkversion",)
URL: Final = ("url",)
SOURCE: Final = ("source",)
ITEM_COUNT: Final = ("itemcount",)
MESSAGE: Final = ("message", "p.message")
EXCEPTION_TYPE: Final = ("exceptiontype", "outertype", "p.exceptiontype")
EXCEPTION_MESSAGE: Final = ("outermessage", "exceptionmessage", "p.exceptionmessage", "innermostmessage")
ITEM_TYPE: Final = ("itemtype",)
TYPE: Final = ("type",)
CATEGORY: Final = ("category",)
EVENT_ID: Final = ("eventid", "p.eventid")
LOG_FUNCTION: Final = ("functionname", "p.functionname")

#: trap 6: OperationId is the caller's, so the key is one of these
INVOCATION_ID: Final = (
    "p.invocationid",
    "p.faas.invocation_id",
    "p.faas.execution",
    "p.azurefunctions_invocationid",
    "functioninvocationid",
    "p.functioninvocationid",
    "invocationid",
)
FULL_NAME: Final = ("p.fullname", "p.faas.name")
TRIGGER_REASON: Final = ("p.triggerreason", "triggerreason")
BINDING: Final = ("p.faas.trigger",)
LOG_CATEGORY: Final = ("p.category", "category")
HOST_INSTANCE: Final = ("p.hostinstanceid", "hostinstanceid")
EXECUTION: Final = ("p.functionexecutiontimems", "functionexecutiontimems")
METHOD: Final = ("p.httpmethod", "httpmethod")
PATH: Final = ("p.httppath", "httppath")
COLD_START: Final = ("p.faas.coldstart",)
DEQUEUE_COUNT: Final = ("p.prop__dequeuecount", "p.dequeuecount", "p.prop__deliverycount")
UNSCHEDULED: Final = ("p.prop__unscheduledinvocationreason", "p.unscheduledinvocationreason")
QUEUED: Final = ("m.timesinceenqueued",)

_ALL: Final = (
    *(TIME + APP + RESOURCE + INSTANCE + NAME + OPERATION_NAME + OPERATION_ID + PARENT_ID + SPAN_ID + DURATION),
    *(SUCCESS + RESULT_CODE + ADDRESS + USER + COUNTRY + STATE + CITY + APP_VERSION + SDK_VERSION + URL + SOURCE),
    *(ITEM_COUNT + MESSAGE + EXCEPTION_TYPE + EXCEPTION_MESSAGE + ITEM_TYPE + TYPE + CATEGORY + EVENT_ID),
    *(LOG_FUNCTION + INVOCATION_ID + FULL_NAME + TRIGGER_REASON + BINDING + LOG_CATEGORY + HOST_INSTANCE + EXECUTION),
    *(METHOD + PATH + COLD_START + DEQUEUE_COUNT + UNSCHEDULED + QUEUED),
)
#: every slot that some column of INVOCATION needs
SLOTS: Final = tuple(dict.fromkeys(_ALL))


#: slots whose value is another in nearly every record: not worth a look for copies
UNLIKE: Final = frozenset(
    (
        *(TIME + OPERATION_ID + PARENT_ID + SPAN_ID + DURATION + INVOCATION_ID + EXECUTION + QUEUED),
        *(MESSAGE + EXCEPTION_MESSAGE),
    )
)
#: slots that only one column of INVOCATION is made of
_OWN: Final = {"execution_ms": EXECUTION, "queued_ms": QUEUED, "cold_start": COLD_START, "parent_id": PARENT_ID}


@lru_cache(maxsize=16)
def wanted(caller_property: str | None, columns: frozenset[str] | None = None) -> tuple[str, ...]:
    """The slots to read, the owner's caller property among them, for these columns of INVOCATION (None for all)."""
    spared: set[str] = set()
    if columns is not None:
        spared.update(*(names for column, names in _OWN.items() if column not in columns))
    extra = () if caller_property is None else (caller_slot(caller_property),)
    return tuple(dict.fromkeys((*(slot for slot in SLOTS if slot not in spared), *extra)))


def caller_slot(caller_property: str) -> str:
    """The slot of the property in which the app's owner logs the caller."""
    return CONTAINERS["properties"] + caller_property.lower()


def pick(columns: Columns, names: tuple[str, ...]) -> pa.Array | None:
    """The first non-null value of these slots in each row; None where no shape here has them."""
    found = [columns[name] for name in names if name in columns and columns[name].null_count < len(columns[name])]
    if not found:
        return None
    if len(found) == 1 or found[0].null_count == 0:
        return found[0]
    if any(array.type != found[0].type for array in found) or pa.types.is_dictionary(found[0].type):
        found = [text(array) for array in found]
    return pc.coalesce(*found)


def text(array: pa.Array) -> pa.Array:
    """Any column as plain text; floats that are whole print as whole, what is nested as JSON."""
    kind = array.type
    if pa.types.is_string(kind):
        return array
    if pa.types.is_dictionary(kind):
        return text(array.dictionary_decode())
    if pa.types.is_large_string(kind) or pa.types.is_string_view(kind):
        return _valid(array.cast(pa.string()))
    if pa.types.is_binary(kind) or pa.types.is_large_binary(kind) or pa.types.is_fixed_size_binary(kind):
        decoded = [None if value is None else value.decode("utf-8", "replace") for value in array.to_pylist()]
        return pa.array(decoded, pa.string())
    if pa.types.is_nested(kind):
        written = [None if value is None else json.dumps(value, default=str) for value in array.to_pylist()]
        return pa.array(written, pa.string())
    return pc.cast(array, pa.string())


def coded(array: pa.Array) -> pa.Array:
    """A column as readers may keep it: texts are valid UTF-8, a dictionary is one of texts without nulls (CODED)."""
    kind = array.type
    if pa.types.is_string(kind):
        return _valid(array)
    if not pa.types.is_dictionary(kind):
        return array
    values = array.dictionary
    if not _is_text(kind.value_type) or values.null_count:
        return coded(array.dictionary_decode())
    return pa.DictionaryArray.from_arrays(array.indices.cast(pa.int32()), _valid(text(values)))


def texts(array: pa.Array) -> Distinct:
    """Any column as distinct texts."""
    return Distinct.of(array if array.type == CODED else text(array))


def _valid(array: pa.StringArray) -> pa.StringArray:
    """string[n], U+FFFD in place of what is no UTF-8: not every writer of Parquet looks."""
    as_bytes = array.cast(pa.binary())
    try:
        return as_bytes.cast(pa.string())
    except pa.ArrowInvalid:
        return text(as_bytes)


def _is_text(kind: pa.DataType) -> bool:
    return bool(pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_string_view(kind))
