"""When to try again: exponential back-off with jitter, and what a Retry-After header asks for."""

from __future__ import annotations

import random
from collections.abc import Mapping
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from typing import Final

#: HTTP statuses that say "not now": time-out, too early, too many, and the server's own failures
TRANSIENT_STATUSES: Final = frozenset({408, 425, 429, 500, 502, 503, 504})

#: no server is obeyed for longer than this, in seconds: a typo in a header must not silence a sink for a year
LONGEST_RETRY_AFTER_S: Final = 3600.0


@dataclass(frozen=True)
class Backoff:
    """Exponential back-off with equal jitter: between half and all of ``first_s * factor**(failures - 1)``.

    Half stays fixed so that a struggling server always gets a pause; the other half is drawn, so that many
    clients that failed together don't return together.
    """

    #: wait after the first failure, s
    first_s: float = 1.0
    #: longest wait, s
    longest_s: float = 300.0
    #: growth per further failure
    factor: float = 2.0

    def delay_s(self, failures: int, rng: random.Random, retry_after_s: float | None = None) -> float:
        """Seconds to wait after so many failures in a row (>= 1); never less than the server asked for."""
        exponent = min(failures - 1, 64)  # beyond this the power overflows, and the cap holds long before
        full = min(self.longest_s, self.first_s * self.factor**exponent)
        drawn = full / 2 + rng.random() * full / 2
        return max(drawn, min(retry_after_s or 0.0, LONGEST_RETRY_AFTER_S))


def retry_after_s(headers: Mapping[str, str], now_s: float) -> float | None:
    """Seconds that a response asks to wait, from ``Retry-After`` (seconds or a date) or Azure's ``*-ms`` forms.

    Args:
        headers: response headers; names in any case.
        now_s: POSIX time, to turn a date into a wait.

    Returns:
        Seconds from now, at least 0, or None where the header is absent or unreadable.
    """
    found = {name.lower(): value for name, value in headers.items()}
    for name in ("retry-after-ms", "x-ms-retry-after-ms"):
        if name in found:
            try:
                return max(0.0, float(found[name]) / 1000.0)
            except ValueError:
                continue
    value = found.get("retry-after", "").strip()
    if not value:
        return None
    try:
        return max(0.0, float(value))
    except ValueError:
        pass
    try:
        return max(0.0, parsedate_to_datetime(value).timestamp() - now_s)
    except ValueError:
        return None
