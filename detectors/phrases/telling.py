"""What all phrases are worked out from, and how a feature is told in them."""

from __future__ import annotations

from typing import Final

from detectors.catalogue.kind import GROUPS, Signs, finite
from detectors.cost import PRICES, Prices
from detectors.evidence import Evidence
from detectors.reasons import reason_text

_DAY_S: Final = 86_400.0
#: features that count all calls of a function, whoever makes them; and what went wrong, in the incident or beside it
_MORE_THAN_IT: Final = frozenset({"pace_minutes", "pace_hour", *GROUPS["failure"], *GROUPS["refusal"]})


class Telling:
    """Evidence, its signs and the prices."""

    def __init__(self, evidence: Evidence, prices: Prices = PRICES) -> None:
        self._e = evidence
        self._signs = Signs(evidence)
        self._prices = prices

    def _began_us(self) -> int:
        """When the first of it began, which is where logs have it; a run is known when it ends."""
        return self._e.first_us if self._e.begun_us < 0 else self._e.begun_us

    def _runs(self) -> bool:
        return bool(self._e.triggers) and "http" not in self._e.triggers

    def _first(self) -> str:
        """The feature with the largest share of those that have a value; "" where none has."""
        ranked = sorted((-finite(share), name) for name, share in self._e.share.items())
        return next((name for _, name in ranked if name in self._e.value), "")

    def _most(self, names: tuple[str, ...]) -> str:
        """What the feature with the largest share says; "" where none has a value."""
        found = sorted((-finite(self._e.share.get(n)), i, n) for i, n in enumerate(names) if n in self._e.value)
        if not found:
            return ""
        return self._of(found[0][2])

    def _of(self, name: str) -> str:
        """What a feature says; the calls of a whole function are told from those of the incident, which are fewer."""
        value = self._e.value.get(name, 0.0)
        if name == "growth_days" and self._signs.span_s <= _DAY_S:
            # a busy hour counts for less in the sum of a day
            value = max(value, float(self._e.invocations))
        text = reason_text(name, value, self._e.typical.get(name), self._signs.caller_source)
        return f"among {text}" if name in _MORE_THAN_IT and finite(value) >= 1.5 * self._e.invocations else text
