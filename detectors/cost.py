"""What invocations cost, as a range: logs don't say the plan nor the memory, so the cheapest and the dearest are given.

Consumption bills memory rounded up to 128 MB, at most 1,536 MB. Flex Consumption bills instances of 2,048 or 4,096 MB
for at least a second. Free grants are left out: a bill that is run up has used them long before.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

_PER_MILLION: Final = 1e6


@dataclass(frozen=True, slots=True)
class Prices:
    """Prices in US dollars; those of 2026 in most regions, to be replaced by one's own."""

    #: dollars a GB-second on the Consumption plan
    consumption_gb_s: float = 0.000016
    #: dollars a GB-second on the Flex Consumption plan
    flex_gb_s: float = 0.000026
    #: dollars a million executions
    million_executions: float = 0.20
    #: least memory billed on Consumption, GB
    consumption_least_gb: float = 0.125
    #: most memory billed on Consumption, GB
    consumption_most_gb: float = 1.5
    #: largest instance on Flex, GB
    flex_most_gb: float = 4.0
    #: least run time billed for a run on Flex, s
    flex_least_s: float = 1.0


PRICES: Final = Prices()


@dataclass(frozen=True, slots=True)
class Cost:
    """GB-seconds and dollars, each as (least, most)."""

    gb_seconds: tuple[float, float]
    usd: tuple[float, float]

    def words(self) -> str:
        """As in a sentence, in money alone: $0.01 to $0.40."""
        least, most = _dollars(self.usd[0]), _dollars(self.usd[1])
        return most if least == most else f"{least} to {most}"


def cost(run_seconds: float, invocations: int, prices: Prices = PRICES) -> Cost:
    """Cost of so many invocations that ran so long together.

    The least is Consumption at its smallest memory; the most is the dearer of Consumption at its largest and Flex
    with an instance of the largest size for each run.
    """
    runs = max(invocations, 0)
    seconds = max(run_seconds, 0.0)
    flex_seconds = max(seconds, runs * prices.flex_least_s)
    executions = runs / _PER_MILLION * prices.million_executions
    least = seconds * prices.consumption_least_gb
    most = (seconds * prices.consumption_most_gb, flex_seconds * prices.flex_most_gb)
    dollars = (most[0] * prices.consumption_gb_s, most[1] * prices.flex_gb_s)
    return Cost(
        gb_seconds=(least, max(most)),
        usd=(least * prices.consumption_gb_s + executions, max(dollars) + executions),
    )


def _dollars(value: float) -> str:
    if value < 0.01:
        return "under $0.01"
    return f"${value:,.2f}" if value < 100.0 else f"${value:,.0f}"
