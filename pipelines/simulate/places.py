"""Where callers sit: country, state and city as Azure's geography writes them, local time, made-up addresses."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np

from .events import Array

IPV6_BIT: Final = 1 << 32  #: an address with this bit is written as IPv6
IPV6_SHARE: Final = 0.08  #: share of callers with an IPv6 address
FIRST_OCTET: Final = 20  #: clear of 10.0.0.0/8; with two octets a place the table ends below 127


@dataclass(frozen=True)
class Place:
    """A city with its local time (hours from UTC) and how common callers from it are."""

    country: str
    state: str
    city: str
    utc_offset_h: float
    weight: float


PLACES: Final[tuple[Place, ...]] = tuple(
    Place(*row)
    for row in (
        ("Germany", "Hesse", "Frankfurt am Main", 1, 8),
        ("Germany", "Bavaria", "Munich", 1, 6),
        ("Germany", "Berlin", "Berlin", 1, 6),
        ("Netherlands", "North Holland", "Amsterdam", 1, 5),
        ("France", "Ile-de-France", "Paris", 1, 6),
        ("United Kingdom", "England", "London", 0, 8),
        ("United Kingdom", "England", "Manchester", 0, 3),
        ("Spain", "Madrid", "Madrid", 1, 4),
        ("Italy", "Lombardy", "Milan", 1, 4),
        ("Poland", "Mazovia", "Warsaw", 1, 3),
        ("Sweden", "Stockholm", "Stockholm", 1, 3),
        ("Finland", "Uusimaa", "Helsinki", 2, 2),
        ("Norway", "Oslo County", "Oslo", 1, 2),
        ("United States", "New York", "New York", -5, 9),
        ("United States", "Virginia", "Ashburn", -5, 5),
        ("United States", "Texas", "Dallas", -6, 5),
        ("United States", "California", "San Jose", -8, 8),
        ("United States", "Washington", "Seattle", -8, 4),
        ("United States", "Pennsylvania", "Pittsburgh", -5, 2),
        ("Canada", "Ontario", "Toronto", -5, 4),
        ("Mexico", "Mexico City", "Mexico City", -6, 2),
        ("Brazil", "Sao Paulo", "São Paulo", -3, 3),
        ("Argentina", "Buenos Aires", "Buenos Aires", -3, 1),
        ("India", "Karnataka", "Bengaluru", 5.5, 5),
        ("India", "Maharashtra", "Mumbai", 5.5, 4),
        ("Singapore", "", "Singapore", 8, 3),
        ("Japan", "Tokyo", "Tokyo", 9, 4),
        ("South Korea", "Seoul", "Seoul", 9, 2),
        ("Australia", "New South Wales", "Sydney", 10, 3),
        ("South Africa", "Gauteng", "Johannesburg", 2, 1),
        ("United Arab Emirates", "Dubai", "Dubai", 4, 1),
        ("Turkey", "Istanbul", "Istanbul", 3, 1),
        ("Vietnam", "Hanoi", "Hanoi", 7, 0.6),
        ("Indonesia", "Jakarta", "Jakarta", 7, 0.6),
        ("Romania", "Bucharest", "Bucharest", 2, 0.8),
        ("Ukraine", "Kyiv City", "Kyiv", 2, 0.6),
        ("Nigeria", "Lagos", "Lagos", 1, 0.4),
        ("Seychelles", "English River", "Victoria", 4, 0.1),
        ("Moldova", "Chisinau", "Chisinau", 2, 0.2),
        ("Bulgaria", "Sofia-Capital", "Sofia", 2, 0.6),
    )
)

COUNTRIES: Final = tuple(sorted({place.country for place in PLACES}))
#: index into COUNTRIES of each place, shape (len(PLACES),)
COUNTRY_OF: Final = np.array([COUNTRIES.index(place.country) for place in PLACES], dtype=np.int16)
OFFSET_H: Final = np.array([place.utc_offset_h for place in PLACES], dtype=np.float64)
WEIGHT: Final = np.array([place.weight for place in PLACES], dtype=np.float64)


def addresses(rng: np.random.Generator, place: Array) -> Array:
    """Public addresses, uint64, in the ranges of the given places (int array of any length)."""
    place = np.asarray(place, dtype=np.int64)
    count = len(place)
    octet = FIRST_OCTET + 2 * place + rng.integers(0, 2, count)
    rest = rng.integers(1, 2**24 - 1, count)
    six = (rng.random(count) < IPV6_SHARE).astype(np.int64) * IPV6_BIT
    return np.asarray((octet << 24) + rest + six, dtype=np.uint64)


def mobile_addresses(rng: np.random.Generator, home: Array) -> Array:
    """A carrier's address for each session: the home address with its last 14 bits drawn anew."""
    low = rng.integers(1, 2**14, len(home)).astype(np.uint64)
    return np.asarray((home & ~np.uint64(2**14 - 1)) | low)


def write_address(address: int) -> str:
    """The text of an address number; 0 is Azure's mask 0.0.0.0."""
    if address & IPV6_BIT:
        low = address & 0xFFFFFFFF
        return f"2a02:{low >> 24:x}{low >> 16 & 0xFF:02x}:{low & 0xFFFF:x}::{low % 251 + 1:x}"
    return f"{address >> 24 & 255}.{address >> 16 & 255}.{address >> 8 & 255}.{address & 255}"
