"""Places on earth and the addresses that live there."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final, NamedTuple

import numpy as np


class Place(NamedTuple):
    """A city as a geography service names it; ``utc`` in hours, without summer time."""

    city: str
    state: str
    country: str
    region: str
    utc: float


PLACES: Final = tuple(
    Place(*row)
    for row in (
        ("Lisbon", "Lisboa", "Portugal", "eu", 0.0),
        ("Porto", "Porto", "Portugal", "eu", 0.0),
        ("Madrid", "Madrid", "Spain", "eu", 1.0),
        ("Valencia", "Valencia", "Spain", "eu", 1.0),
        ("Lyon", "Auvergne-Rhone-Alpes", "France", "eu", 1.0),
        ("Paris", "Ile-de-France", "France", "eu", 1.0),
        ("Ghent", "East Flanders", "Belgium", "eu", 1.0),
        ("Rotterdam", "South Holland", "Netherlands", "eu", 1.0),
        ("Hamburg", "Hamburg", "Germany", "eu", 1.0),
        ("Leipzig", "Saxony", "Germany", "eu", 1.0),
        ("Warsaw", "Mazovia", "Poland", "eu", 1.0),
        ("Leeds", "England", "United Kingdom", "eu", 0.0),
        ("Dublin", "Leinster", "Ireland", "eu", 0.0),
        ("Gothenburg", "Vastra Gotaland", "Sweden", "eu", 1.0),
        ("Denver", "Colorado", "United States", "na", -7.0),
        ("Columbus", "Ohio", "United States", "na", -5.0),
        ("Boydton", "Virginia", "United States", "na", -5.0),
        ("Portland", "Oregon", "United States", "na", -8.0),
        ("Atlanta", "Georgia", "United States", "na", -5.0),
        ("Calgary", "Alberta", "Canada", "na", -7.0),
        ("Halifax", "Nova Scotia", "Canada", "na", -4.0),
        ("Monterrey", "Nuevo Leon", "Mexico", "na", -6.0),
        ("Osaka", "Osaka", "Japan", "ap", 9.0),
        ("Sendai", "Miyagi", "Japan", "ap", 9.0),
        ("Busan", "Busan", "Korea", "ap", 9.0),
        ("Brisbane", "Queensland", "Australia", "ap", 10.0),
        ("Adelaide", "South Australia", "Australia", "ap", 9.5),
        ("Wellington", "Wellington", "New Zealand", "ap", 12.0),
        ("Singapore", "Singapore", "Singapore", "ap", 8.0),
        ("Pune", "Maharashtra", "India", "ap", 5.5),
        ("Campinas", "Sao Paulo", "Brazil", "sa", -3.0),
        ("Recife", "Pernambuco", "Brazil", "sa", -3.0),
        ("Rosario", "Santa Fe", "Argentina", "sa", -3.0),
        ("Cali", "Valle del Cauca", "Colombia", "sa", -5.0),
        ("Odesa", "Odesa", "Ukraine", "far", 2.0),
        ("Kazan", "Tatarstan", "Russia", "far", 3.0),
        ("Chengdu", "Sichuan", "China", "far", 8.0),
        ("Hanoi", "Hanoi", "Vietnam", "far", 7.0),
        ("Lagos", "Lagos", "Nigeria", "far", 1.0),
        ("Tbilisi", "Tbilisi", "Georgia", "far", 4.0),
        ("Karachi", "Sindh", "Pakistan", "far", 5.0),
        ("Minsk", "Minsk", "Belarus", "far", 3.0),
        ("Manila", "Metro Manila", "Philippines", "far", 8.0),
        ("Cairo", "Cairo", "Egypt", "far", 2.0),
    )
)
REGION: Final = np.array([p.region for p in PLACES])
COUNTRY: Final = np.array([p.country for p in PLACES])
UTC_OFFSET_S: Final = np.array([p.utc * 3_600.0 for p in PLACES])
#: regions a tenant may call home; "far" is where nobody's customers are
HOMES: Final = ("eu", "na", "ap", "sa")


@dataclass
class Addresses:
    """Every address of a world; a new one never repeats, and a block shares its /24."""

    rng: np.random.Generator
    names: list[str] = field(default_factory=list)
    _blocks: set[tuple[int, int, int]] = field(default_factory=set)

    def _block(self) -> tuple[int, int, int]:
        while True:
            first, second, third = int(self.rng.integers(23, 200)), *map(int, self.rng.integers(0, 256, 2))
            if first not in (100, 127, 169, 172, 192, 198) and (first, second, third) not in self._blocks:
                self._blocks.add((first, second, third))
                return first, second, third

    def single(self, n: int) -> np.ndarray:
        """``n`` addresses, each in a network of its own; int32 indices into ``names``."""
        return np.concatenate([self.pool(1) for _ in range(n)]) if n else np.empty(0, np.int32)

    def pool(self, n: int) -> np.ndarray:
        """``n`` (at most 250) addresses of one /24, as behind a NAT or at a carrier's gateway."""
        a, b, c = self._block()
        hosts = self.rng.choice(np.arange(2, 254), size=n, replace=False)
        start = len(self.names)
        self.names.extend(f"{a}.{b}.{c}.{d}" for d in hosts)
        return np.arange(start, start + n, dtype=np.int32)
