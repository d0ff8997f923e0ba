"""The wanted keys of records, laid out for the compiled passes."""

from __future__ import annotations

from functools import lru_cache
from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from detectors.conform.slots import CONTAINERS, ENVELOPES, UNLIKE
from models.jit import njit

#: what a key means when it is no slot
NONE, PROPERTIES_KEY, MEASUREMENTS_KEY, ENVELOPE_KEY, FOREIGN_KEY = -1, -2, -3, -4, -5
#: containers; the top is 0
TOP, PROPERTIES, MEASUREMENTS = 0, 1, 2
#: a lone span: not flat whatever its values are
_FOREIGN_KEYS: Final = ("starttimeunixnano",)
#: slots for containers that come as text
TEXT_SLOTS: Final = ("p.", "m.")
_TABLE_SIZE: Final = 1_024
# unsigned, so that the compiled code need not ask whether an index counts from the end
_ONE, _TWO, _THREE = (np.uint64(number) for number in range(1, 4))


class Keys(NamedTuple):
    """The wanted keys."""

    names: tuple[str, ...]  # slots, then TEXT_SLOTS
    unlike: NDArray[np.bool_]  # slot to whether its values differ from row to row
    table: NDArray[np.int32]  # hash to key, -1 empty
    meaning: NDArray[np.int32]  # key to slot, or a negative meaning
    container: NDArray[np.int32]  # key to the container it stands in
    starts: NDArray[np.int32]  # key to its bytes
    bytes: NDArray[np.uint8]


@lru_cache(maxsize=16)
def keys_of(slots: tuple[str, ...]) -> Keys:
    """The layout for these slots (as ``slots.wanted`` gives them)."""
    names = (*slots, *TEXT_SLOTS)
    entries: list[tuple[bytes, int, int]] = []
    for index, slot in enumerate(slots):
        container = PROPERTIES if slot.startswith("p.") else MEASUREMENTS if slot.startswith("m.") else TOP
        entries.append(((slot if container == TOP else slot[2:]).encode(), container, index))
    for key, prefix in CONTAINERS.items():
        entries.append((key.encode(), TOP, PROPERTIES_KEY if prefix == "p." else MEASUREMENTS_KEY))
    taken = {(key, container) for key, container, _ in entries}
    entries += [(key.encode(), TOP, ENVELOPE_KEY) for key in ENVELOPES if (key.encode(), TOP) not in taken]
    entries += [(key.encode(), TOP, FOREIGN_KEY) for key in _FOREIGN_KEYS]
    table = np.full(_TABLE_SIZE, -1, np.int32)
    joined = np.frombuffer(b"".join(key for key, _, _ in entries), np.uint8)
    starts = np.cumsum([0, *(len(key) for key, _, _ in entries)]).astype(np.int32)
    for index, (_, container, _) in enumerate(entries):
        spot = int(spot_of(joined, np.uint64(starts[index]), np.uint64(starts[index + 1]), container))
        while table[spot] >= 0:
            spot = (spot + 1) % _TABLE_SIZE
        table[spot] = index
    meaning = np.array([entry[2] for entry in entries], np.int32)
    containers = np.array([entry[1] for entry in entries], np.int32)
    unlike = np.array([name in UNLIKE or name in TEXT_SLOTS for name in names])
    return Keys(names, unlike, table, meaning, containers, starts, joined)


@njit
def spot_of(data: Any, begin: Any, end: Any, container: Any) -> Any:
    """A slot of the table, from the length and four letters (lower case) of a key: cheap, and enough for these keys."""
    size = end - begin
    if size == 0:
        return np.int64(container)
    first = np.int64(data[begin]) | 32
    last = np.int64(data[end - _ONE]) | 32
    middle = np.int64(data[begin + size // _TWO]) | 32
    third = np.int64(data[begin + size // _THREE]) | 32
    return (np.int64(size) * 131 + first * 7 + last * 29 + middle * 53 + third * 17 + container * 337) & 1_023


@njit
def meaning_of(
    data: Any, begin: Any, end: Any, within: Any, table: Any, meanings: Any, containers: Any, starts: Any, names: Any
) -> Any:
    """What the key in these bytes means in a container: a slot, or a negative meaning."""
    spot = spot_of(data, begin, end, within)
    size = np.int64(end - begin)
    while table[spot] >= 0:
        key = table[spot]
        first = starts[key]
        if containers[key] == within and starts[key + 1] - first == size:
            same = True
            for k in range(size):
                letter = data[begin + np.uint64(k)]
                if 65 <= letter <= 90:
                    letter += 32
                if letter != names[first + k]:
                    same = False
                    break
            if same:
                return meanings[key]
        spot = (spot + 1) & 1_023
    return -1
