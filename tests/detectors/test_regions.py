"""Regions of countries: each is in one at most, and found by the hash of its name."""

from __future__ import annotations

import numpy as np
import pyarrow as pa

from detectors.caller_kernel import FLIGHT_US, NEAR_FLIGHT_US, flight
from detectors.regions import REGIONS, regions
from models.hashing import hash_strings


def takes(one: str, other: str) -> int:
    return int(flight(*hash_strings(pa.array([one, other], pa.string())), *regions()))


def test_no_country_is_in_two_regions() -> None:
    names = [name for of_one in REGIONS.values() for name in of_one]
    assert len(set(names)) == len(names)
    keys, _ = regions()
    assert (np.diff(keys) > 0).all()


def test_the_way_is_short_within_a_region_alone() -> None:
    assert takes("Norway", "Denmark") == takes("Spain", "France") == NEAR_FLIGHT_US
    assert takes("Singapore", "Malaysia") == NEAR_FLIGHT_US
    far = [("Poland", "Canada"), ("Spain", "Morocco"), ("Portugal", "Brazil"), ("Atlantis", "Atlantis"), ("", "Spain")]
    assert {takes(*pair) for pair in far} == {FLIGHT_US}
