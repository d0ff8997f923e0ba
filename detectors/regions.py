"""Countries between which a flight takes no two hours: what lies in one region is near, all else is far.

Names as Azure writes them (``client_CountryOrRegion``, from MaxMind's GeoLite), with the others that logs may hold.
"""

from __future__ import annotations

from functools import cache
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from models.hashing import hash_strings

Vector = npt.NDArray[Any]

#: after the groups of the United Nations' standard M49, those that span an ocean or a continent parted or left out
REGIONS: Final[dict[str, tuple[str, ...]]] = {
    "Europe": (
        "Albania", "Andorra", "Austria", "Belarus", "Belgium", "Bosnia and Herzegovina", "Bulgaria", "Croatia",
        "Cyprus", "Czech Republic", "Czechia", "Denmark", "Estonia", "Faroe Islands", "Finland", "France", "Germany",
        "Gibraltar", "Greece", "Guernsey", "Hungary", "Iceland", "Ireland", "Isle of Man", "Italy", "Jersey", "Kosovo",
        "Latvia", "Liechtenstein", "Lithuania", "Luxembourg", "Malta", "Moldova", "Monaco", "Montenegro",
        "Netherlands", "North Macedonia", "Norway", "Poland", "Portugal", "Romania", "San Marino", "Serbia",
        "Slovakia", "Slovenia", "Spain", "Sweden", "Switzerland", "The Netherlands", "Ukraine", "United Kingdom",
        "Vatican City",
    ),
    "North America": ("Canada", "United States"),
    "Central America": (
        "Belize", "Costa Rica", "El Salvador", "Guatemala", "Honduras", "Mexico", "Nicaragua", "Panama",
    ),
    "Caribbean": (
        "Aruba", "Bahamas", "Barbados", "Cuba", "Curaçao", "Dominica", "Dominican Republic", "Grenada", "Guadeloupe",
        "Haiti", "Jamaica", "Martinique", "Puerto Rico", "Saint Lucia", "Trinidad and Tobago",
    ),
    "Andes": ("Colombia", "Ecuador", "Peru", "Venezuela"),
    "Southern Cone": ("Argentina", "Bolivia", "Brazil", "Chile", "Paraguay", "Uruguay"),
    "North Africa": ("Algeria", "Egypt", "Libya", "Morocco", "Tunisia"),
    "West Africa": (
        "Benin", "Burkina Faso", "Côte d'Ivoire", "Gambia", "Ghana", "Guinea", "Guinea-Bissau", "Ivory Coast",
        "Liberia", "Mali", "Mauritania", "Niger", "Nigeria", "Senegal", "Sierra Leone", "Togo",
    ),
    "East Africa": (
        "Burundi", "Djibouti", "Eritrea", "Ethiopia", "Kenya", "Rwanda", "Somalia", "South Sudan", "Tanzania", "Uganda",
    ),
    "Southern Africa": (
        "Botswana", "Eswatini", "Lesotho", "Malawi", "Mozambique", "Namibia", "South Africa", "Zambia", "Zimbabwe",
    ),
    "Middle East": (
        "Bahrain", "Iraq", "Israel", "Jordan", "Kuwait", "Lebanon", "Oman", "Qatar", "Saudi Arabia", "Syria",
        "United Arab Emirates", "Yemen",
    ),
    "Caucasus": ("Armenia", "Azerbaijan", "Georgia"),
    "Central Asia": ("Kazakhstan", "Kyrgyzstan", "Tajikistan", "Turkmenistan", "Uzbekistan"),
    "South Asia": ("Bangladesh", "Bhutan", "India", "Maldives", "Nepal", "Pakistan", "Sri Lanka"),
    "East Asia": (
        "China", "Hong Kong", "Hong Kong SAR", "Japan", "Korea", "Macao", "Macao SAR", "Mongolia", "South Korea",
        "Taiwan",
    ),
    "Southeast Asia": (
        "Brunei", "Cambodia", "Indonesia", "Laos", "Malaysia", "Myanmar", "Philippines", "Singapore", "Thailand",
        "Timor-Leste", "Vietnam",
    ),
}  # fmt: skip


@cache
def regions() -> tuple[Vector, Vector]:
    """Countries and the region of each: uint64[n], sorted hashes of their names, and int64[n], numbers of regions."""
    names = [name for of_one in REGIONS.values() for name in of_one]
    number = [n for n, of_one in enumerate(REGIONS.values()) for _ in of_one]
    keys: Vector = hash_strings(pa.array(names, pa.string()))
    order = np.argsort(keys)
    return keys[order], np.array(number, np.int64)[order]
