"""FunctionAppLogs: what a message of the host says about an invocation (trap 5).

``Executing 'Functions.x' (Reason='…', Id=…)`` begins one, ``Executed 'Functions.x' (Succeeded, Id=…, Duration=16ms)``
ends it. Quotes may be missing. Every other line with an invocation id is a detail.
"""

from __future__ import annotations

from typing import Final, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

_FUNCTION: Final = r"'?(?P<function>[^\s'()]+?)'?"
_EXECUTED: Final = (
    rf"^Executed {_FUNCTION} \((?P<outcome>Succeeded|Failed|Canceled|Cancelled), Id=(?P<id>[0-9A-Za-z-]+)"
    r"(?:, Duration=(?P<ms>[0-9.]+)\s?ms)?"
)
_EXECUTING: Final = rf"^Executing {_FUNCTION} \((?:Reason='?(?P<reason>.*?)'?, )?Id=(?P<id>[0-9A-Za-z-]+)\)"
#: EventId of the host's own lines; they decide where the message is missing or worded otherwise
STARTED, COMPLETED, FAILED = 1, 2, 3


class LogLines(NamedTuple):
    """What the messages of n lines say."""

    #: bool[n], the invocation begins with this line
    started: NDArray[np.bool_]
    #: bool[n], the invocation ends with it
    completed: NDArray[np.bool_]
    #: bool_[n] (Arrow), outcome of completed lines
    succeeded: pa.Array
    #: string[n] each, null where the message doesn't say
    function: pa.Array
    invocation_id: pa.Array
    reason: pa.Array
    #: double[n] as text, ms
    duration: pa.Array


def read_messages(message: pa.Array, event_id: NDArray[np.float64]) -> LogLines:
    """Outcomes out of messages (string[n]); event ids (float64[n], NaN unknown) decide where the wording doesn't."""
    ended = pc.extract_regex(message, _EXECUTED)
    begun = pc.extract_regex(message, _EXECUTING)
    outcome = pc.struct_field(ended, "outcome")
    says_ended = outcome.is_valid().to_numpy(zero_copy_only=False)
    says_begun = begun.is_valid().to_numpy(zero_copy_only=False)
    worded = says_ended | says_begun
    completed = says_ended | (~worded & np.isin(event_id, (COMPLETED, FAILED)) & message.is_null().to_numpy(False))
    started = (says_begun & ~says_ended) | (~worded & (event_id == STARTED) & message.is_null().to_numpy(False))
    by_event = pa.array(event_id == COMPLETED)
    succeeded = pc.if_else(pa.array(says_ended), pc.equal(outcome, "Succeeded"), by_event)
    none = pa.scalar(None, pa.string())

    def either(name: str) -> pa.Array:
        return _present(pc.coalesce(pc.struct_field(ended, name), pc.struct_field(begun, name)))

    return LogLines(
        started=started,
        completed=completed,
        succeeded=pc.if_else(pa.array(completed), succeeded, pa.scalar(None, pa.bool_())),
        function=either("function"),
        invocation_id=either("id"),
        reason=pc.if_else(pa.array(started), _present(pc.struct_field(begun, "reason")), none),
        duration=_present(pc.struct_field(ended, "ms")),
    )


def _present(array: pa.Array) -> pa.Array:
    return pc.if_else(pc.equal(array, ""), pa.scalar(None, pa.string()), array)
