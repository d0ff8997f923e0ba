"""What a sink is: a destination of incidents, and how it says that a delivery failed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final, Protocol, TypeAlias, runtime_checkable

from detectors.masking import mask_secrets
from models.errors import SinkError

#: an incident as JSON-like data with the fields of ``incidents.ndjson``; ``revision`` tells its tellings apart
Incident: TypeAlias = Mapping[str, Any]

#: bool field that a running job adds: the incident was told before, and this amends it
AMENDS: Final = "amends"
#: float field that a running job adds: false incidents a day that are to be expected at its budget
EXPECTED_FALSE: Final = "expected_false_per_day"


class DeliveryError(SinkError):
    """A delivery failed.

    ``retry=True``: the destination fails (down, throttled, refusing our credentials); the same incident may pass later.
    ``retry=False``: the destination works and will never take this incident as it is.

    Args:
        message: what went wrong, without secrets.
        delivered: how many incidents of the call, from the first, had arrived before the failure.
        retry_after_s: how long the destination asks us to wait, s.
        details: ``expected``, ``received``, ``hint`` and ``retry`` of LonetreeError.
    """

    def __init__(self, message: str, *, delivered: int = 0, retry_after_s: float | None = None, **details: Any) -> None:
        super().__init__(message, **details)
        self.delivered = delivered
        self.retry_after_s = retry_after_s


@runtime_checkable
class Sink(Protocol):
    """A destination of incidents.

    ``send`` returns only when every incident has been handed over for good (on disk, acknowledged by the server).
    It may be called again with incidents that had arrived: each carries its identity (``key``), by which a file sink
    skips it and a receiver can tell the copy. One call at a time; an instance belongs to one thread.
    """

    def send(self, incidents: Sequence[Incident]) -> None:
        """Deliver the incidents, oldest first.

        Raises:
            SinkError: with ``retry``; a DeliveryError also says how many had arrived.
        """
        ...

    def close(self) -> None:
        """Release files and connections. Nothing is delivered by it that ``send`` had not delivered."""
        ...


def revision(incident: Incident) -> int:
    """Grows each time that the incident changes, from 1; one that begins with much begins further on."""
    return int(incident.get("revision") or 1)


def amends(incident: Incident) -> bool:
    """Whether it was told before; where it doesn't say, the revision does."""
    told = incident.get(AMENDS)
    return told if isinstance(told, bool) else revision(incident) > 1


def key(incident: Incident) -> str:
    """The identity under which a delivery happens once: ``incident_id@revision``."""
    return f"{incident['incident_id']}@{revision(incident)}"


def masked(value: Any) -> Any:
    """The same data with secrets masked in every text, at any depth.

    Names of fields are left as they are, and so is ``incident_id``: it is ours, and the identity must survive.
    """
    if isinstance(value, str):
        return mask_secrets(value)
    if isinstance(value, Mapping):
        return {name: item if name == "incident_id" else masked(item) for name, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [masked(item) for item in value]
    return value


def shown(value: Any, limit: int) -> str:
    """One value as text of at most ``limit`` characters; of a list's items those that fit, and a count."""
    if value is None:
        return "-"
    if isinstance(value, float):
        return f"{value:.4g}"
    if isinstance(value, (list, tuple)):
        return _joined([shown(item, limit) for item in value], limit)
    text = str(value)
    return text if len(text) <= limit else text[: limit - 1] + "…"


def _joined(items: list[str], limit: int) -> str:
    text = ""
    for i, item in enumerate(items):
        longer = f"{text}, {item}" if text else item
        if len(longer) > limit and text:
            return f"{text} and {len(items) - i} more"
        text = longer
    return text or "-"
