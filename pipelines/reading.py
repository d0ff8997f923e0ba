"""How the records of a run are read: who counts as the caller, and which times can't be."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Final

from detectors.conform import ConformOptions

#: us, 2026-12-01: a clock that shows an earlier day than this was written on is wrong, and good logs must not suffer
_WRITTEN_US: Final = 1_796_083_200_000_000


def reading(caller_property: str | None = None, clock: Callable[[], float] = time.time) -> ConformOptions:
    """How to read logs that end today.

    Args:
        caller_property: key in Properties in which the app's owner logs who called.
        clock: seconds since 1970. A record more than a day ahead of it is a dead letter: one such row would stretch the
            window of training, or have every function fall silent.
    """
    return ConformOptions(caller_property=caller_property, now_us=max(round(clock() * 1e6), _WRITTEN_US))
