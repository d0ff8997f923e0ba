"""A webhook: one signed POST an incident, tried a few times at once before the outbox takes over."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Final, TypeAlias

from pipelines.retry import Backoff
from pipelines.secrets import Secret
from pipelines.sinks.base import DeliveryError, Incident, key
from pipelines.sinks.lines import json_line
from pipelines.sinks.post import TIMEOUT_S, checked_url, host_of, post
from pipelines.sinks.signature import signed_headers

#: makes the body of one incident
Body: TypeAlias = Callable[[Incident], bytes]

#: tries within one ``send``; what outlasts them is an outage, and the outbox's business
ATTEMPTS: Final = 3
#: a longer pause than this is not slept here but handed to the outbox, s
LONGEST_PAUSE_S: Final = 10.0
_BACKOFF: Final = Backoff(first_s=0.5, longest_s=LONGEST_PAUSE_S)


@dataclass
class Webhook:
    """Posts each incident as one JSON body, one request an incident.

    The header ``webhook-id`` (and ``Idempotency-Key``) is ``incident_id@revision``, the same for every attempt; with a
    secret the delivery is signed (pipelines/sinks/signature.py).

    Raises on construction:
        InputError: the address can't be used.
    """

    #: where to; it may carry a token, so it is never shown
    url: Secret
    #: key of the signature; None sends unsigned
    secret: Secret | None = None
    #: how an incident becomes a body
    body: Body = json_line
    name: str = "webhook"
    #: requests are at least this far apart, s
    interval_s: float = 0.0
    attempts: int = ATTEMPTS
    timeout_s: float = TIMEOUT_S
    backoff: Backoff = _BACKOFF
    #: POSIX time in s; signatures need the true time
    clock: Callable[[], float] = time.time
    sleep: Callable[[float], object] = time.sleep
    rng: random.Random = field(default_factory=random.Random, repr=False)
    _next_s: float = field(default=float("-inf"), init=False, repr=False)

    def __post_init__(self) -> None:
        checked_url(self.url, self.name)

    def send(self, incidents: Sequence[Incident]) -> None:
        """Post them one by one; stops at the first that fails, and says how many had arrived."""
        for delivered, incident in enumerate(incidents):
            try:
                self._deliver(incident)
            except DeliveryError as error:  # noqa: PERF203, a request takes longer
                error.delivered = delivered
                raise

    def close(self) -> None:
        """Nothing is held open."""

    def _deliver(self, incident: Incident) -> None:
        body = self.body(incident)
        for attempt in range(1, self.attempts + 1):
            self._pace()
            try:
                self._post(key(incident), body)
            except DeliveryError as error:
                pause_s = self.backoff.delay_s(attempt, self.rng, error.retry_after_s)
                if not error.retry or attempt == self.attempts or pause_s > LONGEST_PAUSE_S:
                    raise
                self.sleep(pause_s)
            else:
                return

    def _post(self, message_id: str, body: bytes) -> None:
        now_s = self.clock()
        headers = {"Content-Type": "application/json; charset=utf-8", "Idempotency-Key": message_id}
        if self.secret is not None:
            headers |= signed_headers(self.secret, message_id, int(now_s), body)
        else:
            headers["webhook-id"] = message_id
        secrets = () if self.secret is None else (self.secret,)
        post(self.url, body, headers, now_s=now_s, secrets=secrets, timeout_s=self.timeout_s)

    def _pace(self) -> None:
        if self.interval_s <= 0:
            return
        wait_s = self._next_s - self.clock()
        if 0 < wait_s <= self.interval_s:  # more means that the clock was set back: don't wait for it to catch up
            self.sleep(wait_s)
        self._next_s = self.clock() + self.interval_s

    @property
    def host(self) -> str:
        """Host and port, safe to show."""
        return host_of(self.url)
