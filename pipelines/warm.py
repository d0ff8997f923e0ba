"""A rehearsal before the first row: what is compiled or loaded at its first use, minutes into a job, is so now.

The loops of detectors and models are compiled when they are first called, and a late row, a silence or a story that
opens may come long after the start: with nothing compiled yet it would wait for seconds, and all behind it.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any, Final, cast

from detectors.conform import conform_json
from models.jit import HAVE_NUMBA
from pipelines.engine import Engine

if TYPE_CHECKING:
    from detectors.caller_stage import CallerStage
    from detectors.function_stage import FunctionStage
    from models.downstream import Downstream
    from pipelines.graph import Plan

#: minutes of log: enough for windows to fill and stories to open; the last after half a day, when ids are forgotten,
#: and functions that ran steadily have been silent for long
_MINUTES: Final = (0, 1, 2, 3, 4, 800)
#: invocations in each: enough for tables to grow
_CALLS: Final = 900
#: how late the late rows are, minutes
_LATE: Final = 10
#: s since 1970 of the first minute
_BEGIN_S: Final = 1_767_614_400
_SOURCE: Final = "rehearsal"
#: a shard's own clock says nothing here
_NOW_US: Final = 2**60


def rehearse(plan: Plan) -> int:
    """Judge made-up invocations with the folds of a plan, without what they remember; how many were judged.

    Where nothing is compiled there is nothing to do.

    Args:
        plan: of the job; it stays as it is.
    """
    if not HAVE_NUMBA:
        return 0
    function, caller = cast("FunctionStage", plan.function), cast("CallerStage", plan.caller)
    bare = replace(plan, function=replace(function, state=None), caller=replace(caller, state=None))
    # of those of which one follows another, counts are judged, too
    known = list(_who_follow(function.downstream) or function.baselines.names())[:2]
    engine = Engine(bare, (_SOURCE,), lateness_us=0)
    for minute in _MINUTES:
        lines = list(_records(minute, known))
        if minute == 1:
            lines += _records(minute - _LATE, [("rehearsal", "Late")])
            tables, marks = engine.snapshot(), engine.marks()
            engine = Engine(bare, (_SOURCE,), lateness_us=0)
            engine.restore(tables, marks)
        rows = conform_json([json.dumps(line).encode() for line in lines], _SOURCE, 0).rows
        engine.push(_SOURCE, rows, None, _NOW_US)
        engine.polled(_SOURCE, True, _NOW_US)
        engine.advance()
    engine.finish()
    return engine.counts()["invocations"]


def _who_follow(downstream: Downstream | None) -> list[tuple[str, str]]:
    """App and name of a function and of its follower, where any has one."""
    if downstream is None or not len(downstream):
        return []
    places = [downstream.source[0], downstream.named[downstream.follower[0]]]
    return [(downstream.apps[place], downstream.functions[place]) for place in places]


def _records(minute: int, known: Sequence[tuple[str, str]]) -> Iterator[dict[str, Any]]:
    """A minute of functions that are known and of one that is not: by address and by message, failing, probing."""
    functions = [*known, ("rehearsal", "Unknown")]
    for number in range(_CALLS):
        again = number % 10 == 9
        number -= again
        app, name = functions[number % len(functions)]
        http, failed = number % 4 != 0, number % 5 == 0
        call = (minute + _LATE) * _CALLS + number
        ended = datetime.fromtimestamp(_BEGIN_S + 60 * minute + number / 20, timezone.utc)
        properties = {
            "InvocationId": f"{call:08x}-0000-4000-8000-000000000000",
            "FullName": f"Functions.{name}",
            "TriggerReason": "This function was programmatically called via the host APIs."
            if http
            else "New queue message detected on 'rehearsal'.",
            "HostInstanceId": f"rehearsal-{minute // 2}",
        }
        yield {
            "TimeGenerated": ended.isoformat(),
            "Type": "AppRequests",
            "Id": f"{call:016x}",
            "Name": name,
            "OperationName": name,
            "AppRoleName": app,
            "Success": not failed,
            "ResultCode": ("500" if failed else "404" if number % 7 == 0 else "200") if http else "0",
            "DurationMs": 10.0 + number % 50 * 40.0,
            "Url": f"https://{app}.example/api/{name}?id=1%27%20UNION%20SELECT%20password%20FROM%20users--",
            "ClientIP": f"198.51.100.{(number + minute * 7) % 200}" if http else "0.0.0.0",  # noqa: S104 - as Azure masks
            "ClientCountryOrRegion": ("Germany", "Brazil", "Finland")[number % 3],
            "OperationId": f"{call:032x}",
            "SDKVersion": "azurefunctions: 4.1034.0.0" if not again else "python3.11:otel1.0",
            "AppVersion": f"1.{minute // 3}",
            # exports write it as a document or as the text of one
            "Properties": properties if number % 2 else json.dumps(properties),
        }
