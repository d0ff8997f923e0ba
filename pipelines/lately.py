"""What only shows over time: how fast a count grows, since when something stands still. The clock is an argument."""

from __future__ import annotations

from collections import deque
from collections.abc import Hashable, Iterable
from typing import Final

#: a rate is taken over so long, s
RATE_S: Final = 30.0


class Rate:
    """How fast a count grows, over the last moments.

    Args:
        now_s: seconds that never go back.
        count: at that time.

    Example:
        >>> rate = Rate(0.0, 100)
        >>> rate.take(10.0, 600), rate.take(20.0, 1_100)
        (50.0, 50.0)
        >>> rate.take(30.0, 10), rate.take(40.0, 260)  # it began anew
        (0.0, 25.0)
    """

    def __init__(self, now_s: float, count: int) -> None:
        self._looks: deque[tuple[float, int]] = deque([(now_s, count)])

    def take(self, now_s: float, count: int) -> float:
        """Take a count, and say by how much a second it grew."""
        if count < self._looks[-1][1]:
            self._looks.clear()
        self._looks.append((now_s, count))
        while self._looks[0][0] < now_s - RATE_S and len(self._looks) > 2:
            self._looks.popleft()
        (then_s, then), (_, now) = self._looks[0], self._looks[-1]
        return (now - then) / (now_s - then_s) if now_s > then_s else 0.0


class Standing:
    """How long a place has stood while something waits for it to move.

    Args:
        now_s: seconds that never go back.
        place: at that time.

    Example:
        >>> standing = Standing(0.0, 7)
        >>> standing.take(5.0, 7, True), standing.take(9.0, 8, True), standing.take(12.0, 8, True)
        (5.0, 0.0, 3.0)
        >>> standing.take(20.0, 8, False), standing.take(21.0, 8, True)
        (0.0, 1.0)
    """

    def __init__(self, now_s: float, place: Hashable) -> None:
        self._since_s, self._place = now_s, place

    def take(self, now_s: float, place: Hashable, waits: bool) -> float:
        """Take a place, and say for how many seconds it has stood."""
        if place != self._place or not waits:
            self._since_s, self._place = now_s, place
        return now_s - self._since_s


class Down:
    """How long each of some things has been down.

    Example:
        >>> down = Down()
        >>> down.take(0.0, ["a"]), down.take(4.0, ["a", "b"]), down.take(6.0, ["b"])
        ({'a': 0.0}, {'a': 4.0, 'b': 0.0}, {'b': 2.0})
    """

    def __init__(self) -> None:
        self._since_s: dict[str, float] = {}

    def take(self, now_s: float, names: Iterable[str]) -> dict[str, float]:
        """Take the names of those that are down now, and say for how many seconds each has been."""
        self._since_s = {name: self._since_s.get(name, now_s) for name in names}
        return {name: now_s - since_s for name, since_s in self._since_s.items()}
