"""Which incidents were told, so that each is counted once, however often it is told again."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from detectors.incidents import KEPT_CLOSED


class Told:
    """The incidents that are open, and those that closed lately: late rows may amend these.

    Args:
        open_ids: of the open ones.
        closed_ids: of those that closed, the latest last.
    """

    def __init__(self, open_ids: Iterable[str] = (), closed_ids: Iterable[str] = ()) -> None:
        self._open = set(open_ids)
        self._closed = dict.fromkeys(closed_ids)

    def take(self, incident: Mapping[str, Any]) -> bool:
        """Note a telling; whether the incident was told before."""
        name = str(incident["incident_id"])
        before = name in self._open or name in self._closed
        if incident.get("closed"):
            self._open.discard(name)
            self._closed.pop(name, None)
            self._closed[name] = None
            if len(self._closed) > KEPT_CLOSED:
                del self._closed[next(iter(self._closed))]
        else:
            self._open.add(name)
        return before

    @property
    def open_ids(self) -> list[str]:
        """Of the open ones, sorted."""
        return sorted(self._open)

    @property
    def closed_ids(self) -> list[str]:
        """Of those that closed, the latest last."""
        return list(self._closed)
