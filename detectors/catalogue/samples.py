"""Shorthand for the examples that the catalogue holds: a story on one function, unless said otherwise."""

from __future__ import annotations

from typing import Any, Final

from detectors.evidence import Evidence, Lead

#: 3 August 2026, 02:10 UTC
START_US: Final = 1_785_723_000_000_000
_US: Final = 1_000_000


def sample(
    lead: Lead,
    calls: int,
    minutes: float,
    share: dict[str, float],
    *,
    function: str = "PayInvoice",
    app: str = "shop",
    caller: str | None = None,
    trigger: str = "http",
    **more: Any,
) -> Evidence:
    """Evidence of ``calls`` in ``minutes``, with the shares of the features that made it; ``more`` as in Evidence."""
    source = "unknown" if caller is None else caller.partition(":")[0]
    last = START_US + int(minutes * 60 * _US)
    # where there are several callers, none stands out
    its_own = max(calls // max(more.get("distinct_callers", 1), 1), 1)
    filled: dict[str, Any] = {
        "apps": (app,),
        "functions": ((app, function, calls),),
        "callers": () if caller is None else ((caller, source, its_own),),
        "distinct_callers": 0 if caller is None else 1,
        "triggers": (trigger,),
        "surprise": {name: 1.0 + 8.0 * part for name, part in share.items()},
        "score": 9.0,
        "p_value": 1e-6,
        "opened_us": START_US + (last - START_US) // 4,
    }
    return Evidence(
        lead=lead,
        first_us=START_US,
        last_us=last,
        invocations=calls,
        share=share,
        **{**filled, **more},
    )
