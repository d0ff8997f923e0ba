"""What a sink has yet to take: a bounded list on disk that survives a crash, and a memory of what it took."""

from __future__ import annotations

import contextlib
import json
import threading
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, Final

from models.errors import SinkError
from pipelines.durable import DurableLines, hold, lines_of, write_atomic
from pipelines.sinks.base import Incident, key
from pipelines.sinks.lines import json_line

#: incidents that may wait: a hundred a day for three months
MAX_PENDING: Final = 10_000
#: identities remembered as settled, so that a restarted job's repetitions are not sent again
REMEMBERED: Final = 20_000
#: lines written beyond what is needed before the files are rewritten
_SLACK_LINES: Final = 2_000
#: refused incidents kept for a person to look at, bytes
_REFUSED_BYTES: Final = 8 * 1024 * 1024


class Outbox:
    """Incidents in order of arrival, each until it is settled. Safe to use from two threads.

    ``waiting.ndjson`` has them, with secrets masked; ``settled.ndjson`` the identities of those done with;
    ``refused.ndjson`` those that the sink will never take. All are on disk when a call returns.

    A full outbox gives up the oldest revision that a newer one replaces, else the oldest incident, and counts it as
    lost: memory and disk stay bounded when a sink is dead for months, and the newest is what a person needs.

    Args:
        folder: of this sink alone; another process that has it open is refused.
        max_pending: how many may wait.

    Raises on construction:
        SinkError: another process holds the folder.
    """

    def __init__(self, folder: Path, *, max_pending: int = MAX_PENDING) -> None:
        self.folder, self.max_pending = folder, max_pending
        folder.mkdir(parents=True, exist_ok=True)
        try:
            self._held = hold(folder / "lock")
        except BlockingIOError:
            raise SinkError(
                f"Another process delivers from {folder}.",
                expected="one process a state folder",
                hint="give this job its own state folder, or stop the other",
            ) from None
        self._lock = threading.RLock()
        self._settled: dict[str, None] = dict.fromkeys(
            [line.decode("utf-8", "replace") for line in lines_of(folder / "settled.ndjson")][-REMEMBERED:]
        )
        self._pending: dict[str, dict[str, Any]] = {}
        for line in lines_of(folder / "waiting.ndjson"):
            with contextlib.suppress(ValueError, KeyError, TypeError):  # a damaged line must not stop the others
                incident = json.loads(line)
                if key(incident) not in self._settled:
                    self._pending[key(incident)] = incident
        self._waiting_lines = DurableLines(folder / "waiting.ndjson")
        self._settled_lines = DurableLines(folder / "settled.ndjson")
        self._surplus = 0
        #: incidents given up because the outbox was full, since the start
        self.lost = 0
        self._rewrite()

    def add(self, incidents: Sequence[Incident]) -> None:
        """Take incidents in; those that wait already or were settled are ignored.

        Raises:
            SinkError: the disk is full or gone (``retry=True``); none was taken in.
        """
        with self._lock:
            fresh = {
                key(i): json_line(i) for i in incidents if key(i) not in self._pending and key(i) not in self._settled
            }
            try:
                self._waiting_lines.append(fresh.values())
            except OSError as error:
                raise SinkError(
                    f"The outbox {self.folder} can't be written.",
                    received=str(error.strerror),
                    hint="is the disk full?",
                    retry=True,
                ) from None
            self._pending.update({name: json.loads(line) for name, line in fresh.items()})
            surplus = self._beyond_the_bound()
            self.lost += len(surplus)
            self.settle(surplus)

    def pending(self, limit: int | None = None) -> list[dict[str, Any]]:
        """What waits, oldest first."""
        with self._lock:
            return list(self._pending.values())[:limit]

    def settle(self, keys: Iterable[str]) -> None:
        """Forget incidents that were delivered, refused or given up.

        A full disk is tolerated: they are settled for this process, and may be sent once more after a restart.
        """
        with self._lock:
            names = [name for name in keys if self._pending.pop(name, None) is not None]
            self._settled.update(dict.fromkeys(names))
            while len(self._settled) > REMEMBERED:
                del self._settled[next(iter(self._settled))]
            with contextlib.suppress(OSError):
                self._settled_lines.append([name.encode() for name in names])
                self._surplus += len(names)
                if self._surplus > _SLACK_LINES:
                    self._rewrite()

    def refuse(self, incident: Incident, reason: str) -> None:
        """Settle an incident that the sink will never take, and keep it in ``refused.ndjson`` with the reason."""
        with self._lock:
            path = self.folder / "refused.ndjson"
            with contextlib.suppress(OSError):
                if path.exists() and path.stat().st_size > _REFUSED_BYTES:
                    path.replace(path.with_suffix(".old.ndjson"))
                lines = DurableLines(path)
                lines.append([json_line({"reason": reason, "incident": incident})])
                lines.close()
            self.settle([key(incident)])

    def __len__(self) -> int:
        return len(self._pending)

    def close(self) -> None:
        """Close the files and let another process have the folder."""
        with self._lock:
            self._waiting_lines.close()
            self._settled_lines.close()
            if self._held is not None:
                self._held.close()

    def _beyond_the_bound(self) -> list[str]:
        surplus = len(self._pending) - self.max_pending
        if surplus <= 0:
            return []
        newest = {str(incident["incident_id"]): name for name, incident in self._pending.items()}
        replaced = [name for name, i in self._pending.items() if newest[str(i["incident_id"])] != name]
        return (replaced + [name for name in self._pending if name not in set(replaced)])[:surplus]

    def _rewrite(self) -> None:
        """Write both files anew without what is done with; first what waits, so that nothing settled can come back."""
        self._waiting_lines.close()
        self._settled_lines.close()
        try:
            waiting = b"".join(json_line(incident) + b"\n" for incident in self._pending.values())
            write_atomic(self._waiting_lines.path, waiting)
            write_atomic(self._settled_lines.path, "".join(f"{name}\n" for name in self._settled).encode())
        finally:
            self._waiting_lines = DurableLines(self._waiting_lines.path)
            self._settled_lines = DurableLines(self._settled_lines.path)
        self._surplus = 0
