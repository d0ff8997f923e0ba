"""Several sinks as one: each gets every incident at least once, and a dead one stops nobody.

send ─► outbox of each sink (on disk) ─► delivery of each sink, with back-off of its own
"""

from __future__ import annotations

import logging
import random
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from models.errors import SinkError
from pipelines.retry import Backoff
from pipelines.sinks.base import DeliveryError, Incident, Sink, key
from pipelines.sinks.escape import terminal
from pipelines.sinks.outbox import MAX_PENDING, Outbox

#: incidents handed to a sink in one call
BATCH: Final = 100
#: how often an idle delivery thread looks around, s; it is woken when something comes
_LOOK_AROUND_S: Final = 30.0

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class SinkStatus:
    """How a sink is doing, since the start."""

    name: str
    #: incidents that wait in its outbox
    pending: int
    delivered: int
    #: never taken by the sink; kept in refused.ndjson
    refused: int
    #: given up because the outbox was full
    lost: int
    #: failures in a row; 0 is healthy
    failures: int
    #: seconds until the next attempt; 0 means now
    wait_s: float
    last_error: str | None


class Delivery:
    """One sink with its outbox: tries, backs off, and never raises."""

    def __init__(self, name: str, sink: Sink, outbox: Outbox, backoff: Backoff, rng: random.Random) -> None:
        self.name, self.sink, self.outbox = name, sink, outbox
        self._backoff, self._rng = backoff, rng
        self._due_s = float("-inf")
        self._single = 0
        self._delivered = self._refused = self._failures = 0
        self._last_error: str | None = None

    def attempt(self, now_s: float) -> bool:
        """Hand the oldest waiting incidents to the sink, if it is due; whether more could be done at once."""
        if now_s < self._due_s:
            return False
        batch = self.outbox.pending(1 if self._single else BATCH)
        if not batch:
            return False
        try:
            self.sink.send(batch)
        except Exception as error:  # a sink's own mistake must not stop the others either
            self._failed(batch, error, now_s)
            return now_s >= self._due_s
        self._settle(batch)
        self._failures, self._last_error, self._due_s = 0, None, float("-inf")
        return True

    def status(self, now_s: float) -> SinkStatus:
        """How it is doing."""
        wait_s = max(0.0, self._due_s - now_s) if self._failures else 0.0
        return SinkStatus(
            self.name,
            len(self.outbox),
            self._delivered,
            self._refused,
            self.outbox.lost,
            self._failures,
            wait_s,
            self._last_error,
        )

    def _failed(self, batch: Sequence[Incident], error: Exception, now_s: float) -> None:
        arrived = min(error.delivered, len(batch)) if isinstance(error, DeliveryError) else 0
        self._settle(batch[:arrived])
        rest = batch[arrived:]
        # an unexpected exception shows its kind alone: its text may quote an address
        self._last_error = str(error) if isinstance(error, SinkError) else f"unexpected {type(error).__name__}"
        if isinstance(error, SinkError) and not error.retry and rest:
            if len(rest) == 1:
                self.outbox.refuse(rest[0], self._last_error)
                self._refused += 1
                self._single = max(0, self._single - 1)
                _log.error(
                    "sink %s will never take incident %s: %s",
                    self.name,
                    terminal(key(rest[0])),
                    terminal(self._last_error),
                )
            else:
                self._single = len(rest)  # which one is it? send them one by one
            return
        self._failures += 1
        asked_s = error.retry_after_s if isinstance(error, DeliveryError) else None
        wait_s = self._backoff.delay_s(self._failures, self._rng, asked_s)
        self._due_s = now_s + wait_s
        _log.warning(
            "sink %s failed (%d in a row, %d waiting, next attempt in %.1f s): %s",
            self.name, self._failures, len(self.outbox), wait_s, terminal(self._last_error),
        )  # fmt: skip

    def _settle(self, arrived: Sequence[Incident]) -> None:
        self.outbox.settle([key(incident) for incident in arrived])
        self._delivered += len(arrived)
        self._single = max(0, self._single - len(arrived))


class Sinks:
    """Fans incidents out to sinks.

    ``send`` puts them into every sink's outbox, on disk, and returns; from then on they are delivered at least once,
    also after a crash. Delivery happens in ``drain`` (call it as often as you like), or in a thread per sink after
    ``start``, so that one that hangs delays nobody. An incident with an id and revision that was settled before is
    ignored, so a restarted job may send again what it sent.

    Args:
        sinks: name -> sink; the name is the folder of its outbox, so keep it from start to start.
        state: folder of the outboxes; one process at a time.
        clock: seconds that never go back.
        rng: draws the jitter.
        backoff: between attempts on a sink that fails.
        max_pending: incidents that may wait in each outbox.
    """

    def __init__(
        self,
        sinks: Mapping[str, Sink],
        state: Path,
        *,
        clock: Callable[[], float] = time.monotonic,
        rng: random.Random | None = None,
        backoff: Backoff | None = None,
        max_pending: int = MAX_PENDING,
    ) -> None:
        drawn = rng or random.Random()
        self._clock = clock
        self._deliveries: list[Delivery] = []
        try:
            for name, sink in sinks.items():
                outbox = Outbox(state / name, max_pending=max_pending)
                self._deliveries.append(Delivery(name, sink, outbox, backoff or Backoff(), drawn))
        except BaseException:
            for delivery in self._deliveries:
                delivery.outbox.close()
            raise
        self._threads: list[threading.Thread] = []
        self._wake = threading.Condition()
        self._arrivals = 0
        self._stopping = False

    def send(self, incidents: Sequence[Incident]) -> None:
        """Accept incidents for every sink.

        Raises:
            SinkError: an outbox can't be written (``retry=True``). The other sinks have theirs; sending the same again
                repeats nothing for them.
        """
        if not incidents:
            return
        failure: SinkError | None = None
        for delivery in self._deliveries:
            try:
                delivery.outbox.add(incidents)
            except SinkError as error:  # noqa: PERF203, each outbox fails alone
                failure = error
        with self._wake:
            self._arrivals += 1
            self._wake.notify_all()
        if failure is not None:
            raise failure

    def drain(self) -> int:
        """Attempt every delivery that is due until nothing more can be done now; how many incidents still wait."""
        for delivery in self._deliveries:
            while delivery.attempt(self._clock()):
                pass
        return sum(len(delivery.outbox) for delivery in self._deliveries)

    def start(self) -> None:
        """Deliver in the background, a thread per sink, until ``close``."""
        for delivery in self._deliveries:
            thread = threading.Thread(target=self._deliver, args=(delivery,), name=f"sink-{delivery.name}", daemon=True)
            self._threads.append(thread)
            thread.start()

    def status(self) -> list[SinkStatus]:
        """How each sink is doing."""
        return [delivery.status(self._clock()) for delivery in self._deliveries]

    def close(self, timeout_s: float = 10.0) -> None:
        """Give each sink a last chance, then stop; what is not delivered waits on disk for the next start.

        Args:
            timeout_s: how long threads may take to finish the call they are in, s.
        """
        with self._wake:
            self._stopping = True
            self._wake.notify_all()
        for thread in self._threads:
            thread.join(timeout_s)
        stuck = {thread.name for thread in self._threads if thread.is_alive()}
        for delivery in self._deliveries:
            if f"sink-{delivery.name}" in stuck:
                _log.warning("sink %s is still busy; what waits is delivered at the next start", delivery.name)
                continue
            if not self._threads:
                while delivery.attempt(self._clock()):
                    pass
            try:
                delivery.sink.close()
            except Exception as error:
                _log.warning("sink %s did not close: %s", delivery.name, type(error).__name__)
            delivery.outbox.close()

    def _deliver(self, delivery: Delivery) -> None:
        while True:
            with self._wake:
                seen, stopping = self._arrivals, self._stopping
            while delivery.attempt(self._clock()):
                pass
            if stopping:
                return
            with self._wake:
                if self._arrivals == seen and not self._stopping:
                    wait_s = delivery.status(self._clock()).wait_s
                    self._wake.wait(min(wait_s, _LOOK_AROUND_S) if wait_s > 0 else _LOOK_AROUND_S)
