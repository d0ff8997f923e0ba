"""Which table each record belongs to: by what it says of itself, else by the keys it has."""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

from detectors.conform import slots
from detectors.conform.slots import Columns, pick, texts

#: families of records
UNKNOWN: Final = -1
REQUEST: Final = 0
TRACE: Final = 1
EXCEPTION: Final = 2
FUNCTION_LOG: Final = 3
IGNORED: Final = 4

#: names in Type, itemType or category
_TABLES: Final = {
    "apprequests": REQUEST,
    "requests": REQUEST,
    "request": REQUEST,
    "apptraces": TRACE,
    "traces": TRACE,
    "trace": TRACE,
    "appexceptions": EXCEPTION,
    "exceptions": EXCEPTION,
    "exception": EXCEPTION,
    "functionapplogs": FUNCTION_LOG,
}
#: other tables of the same sources, known to say nothing about an invocation
_OTHER_TABLES: Final = frozenset(
    (
        "appdependencies",
        "dependencies",
        "dependency",
        "appmetrics",
        "appperformancecounters",
        "performancecounters",
        "performancecounter",
        "custommetrics",
        "custommetric",
        "metric",
        "appevents",
        "customevents",
        "customevent",
        "event",
        "apppageviews",
        "pageviews",
        "pageview",
        "appbrowsertimings",
        "browsertimings",
        "browsertiming",
        "appavailabilityresults",
        "availabilityresults",
        "availabilityresult",
        "appsystemevents",
        "azureactivity",
        "azurediagnostics",
        "azuremetrics",
        "allmetrics",
        "heartbeat",
        "usage",
        "administrative",
        "appservicehttplogs",
        "appserviceconsolelogs",
        "appserviceapplogs",
        "appserviceauditlogs",
        "appserviceplatformlogs",
        "appserviceauthenticationlogs",
        "appserviceipsecauditlogs",
        "appservicefileauditlogs",
        "appserviceantivirusscanauditlogs",
        "workflowruntime",
    )
)


def recognise(columns: Columns, rows: int) -> NDArray[np.int8]:
    """The family of each of ``rows`` records, int8[rows]; UNKNOWN where no shape fits."""
    family = np.full(rows, UNKNOWN, np.int8)
    for names in (slots.ITEM_TYPE, slots.TYPE, slots.CATEGORY):
        array = pick(columns, names)
        if array is None or not (family == UNKNOWN).any():
            continue
        named = texts(array)
        said = named.spread(np.array([_family(value) for value in named.values.to_pylist()], np.int8), UNKNOWN)
        family = np.where(family == UNKNOWN, said, family)
    if not (family == UNKNOWN).any():
        return family
    filled: NDArray[np.int8] = np.where(family == UNKNOWN, _by_keys(columns, rows), family)
    return filled


def _family(name: str) -> int:
    name = name.lower()
    return IGNORED if name in _OTHER_TABLES else _TABLES.get(name, UNKNOWN)


def _by_keys(columns: Columns, rows: int) -> NDArray[np.int8]:
    def has(*names: str) -> NDArray[np.bool_]:
        array = pick(columns, names)
        if array is None:
            return np.zeros(rows, np.bool_)
        valid: NDArray[np.bool_] = array.is_valid().to_numpy(zero_copy_only=False)
        return valid

    named = has(*slots.NAME, *slots.OPERATION_NAME)
    key = has(*slots.INVOCATION_ID)
    log = has("functioninvocationid", "p.functioninvocationid", *slots.LOG_FUNCTION) & has(*slots.MESSAGE)
    request = has(*slots.DURATION) & (named | key)
    exception = has(*slots.EXCEPTION_TYPE)
    trace = has(*slots.MESSAGE)
    bare_request = named & key & (has(*slots.SUCCESS) | ~(exception | trace))
    other = has(*slots.TYPE) & has(*slots.TIME)
    found: NDArray[np.int8] = np.select(
        [log, request, bare_request, exception, trace, other],
        [
            np.int8(FUNCTION_LOG),
            np.int8(REQUEST),
            np.int8(REQUEST),
            np.int8(EXCEPTION),
            np.int8(TRACE),
            np.int8(IGNORED),
        ],
        np.int8(UNKNOWN),
    ).astype(np.int8)
    return found
