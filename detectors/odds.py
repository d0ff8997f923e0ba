"""How rare something is, as people say it; needs nothing, so that it is at hand before anything is loaded."""

from __future__ import annotations

import math
from typing import Any, Final

#: beyond this nobody can picture the number, so the power of ten stands for it
WORDS_UP_TO: Final = 1e12


def odds(p_value: Any, score: Any = None) -> str:
    """How rare something as strange is among normal invocations: "1 in 12,000".

    Args:
        p_value: share of normal invocations at least as strange, 0 to 1.
        score: -log10 p, used where the share is too small to be a number.
    """
    if isinstance(p_value, (int, float)) and 0 < p_value <= 1:
        power = -math.log10(p_value)
    elif isinstance(score, (int, float)) and math.isfinite(score):
        power = float(score)
    else:
        return "?"
    times = 10 ** min(power, 300.0)
    if times >= WORDS_UP_TO:
        return f"1 in 10^{power:.0f}"
    for name, size in (("billion", 1e9), ("million", 1e6)):
        if times >= size:
            return f"1 in {times / size:.1f} {name}"
    return f"1 in {float(f'{times:.2g}'):,.0f}"
