"""Incidents in files: JSON Lines, rotated by size and age. Each incident stands in them once."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

from models.errors import InputError
from pipelines.durable import DurableLines, lines_of, sync_folder
from pipelines.sinks.base import DeliveryError, Incident, key
from pipelines.sinks.lines import json_line

#: a file is closed at this size, bytes: an editor still opens it
MAX_BYTES: Final = 64 * 1024 * 1024
#: and at this age, s
MAX_AGE_S: Final = 24 * 3600.0
#: identities kept to recognise a repeated delivery: years of incidents at a usual budget
REMEMBERED: Final = 20_000


class NdjsonFile:
    """Appends incidents to one file; when it is full or old it becomes ``<stem>-000001<suffix>`` and a new one begins.

    On disk when ``send`` returns. An incident that the file or its predecessors hold already is not written again,
    also after a restart. The age counts from the first line written since the file was opened.

    Args:
        path: the current file; its folder is made.
        max_bytes: size at which it is rotated.
        max_age_s: age at which it is rotated, s.
        keep: how many rotated files stay; None keeps all.
        render: how an incident becomes a line.
        clock: seconds, on any origin.
    """

    def __init__(
        self,
        path: Path,
        *,
        max_bytes: int = MAX_BYTES,
        max_age_s: float = MAX_AGE_S,
        keep: int | None = None,
        render: Callable[[Incident], bytes] = json_line,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.name = "ndjson"
        self.path, self.max_bytes, self.max_age_s, self.keep = path, max_bytes, max_age_s, keep
        self._render, self._clock = render, clock
        try:
            self._lines = DurableLines(path)
        except OSError as error:
            raise InputError(
                f"{path} can't be written.", expected="a file in a writable folder", received=str(error.strerror)
            ) from None
        self._since_s = clock()
        self._written = remembered_keys([*self.rotated(), path])

    def send(self, incidents: Sequence[Incident]) -> None:
        """Append what the files don't hold yet.

        Raises:
            DeliveryError: the disk is full or gone (``retry=True``); nothing of this call was written.
        """
        fresh = {key(incident): incident for incident in incidents if key(incident) not in self._written}
        lines = [self._render(incident) for incident in fresh.values()]
        try:
            if lines and self._is_due(sum(len(line) + 1 for line in lines)):
                self._rotate()
            self._lines.append(lines)
        except OSError as error:
            raise DeliveryError(
                f"{self.path} can't be written.", received=str(error.strerror), hint="is the disk full?", retry=True
            ) from None
        self._written.update(dict.fromkeys(fresh))
        while len(self._written) > REMEMBERED:
            del self._written[next(iter(self._written))]

    def close(self) -> None:
        """Close the file."""
        self._lines.close()

    def rotated(self) -> list[Path]:
        """The closed files, oldest first."""
        pattern = re.compile(rf"{re.escape(self.path.stem)}-(\d{{6,}}){re.escape(self.path.suffix)}")
        numbered = [(int(m[1]), p) for p in self.path.parent.iterdir() if (m := pattern.fullmatch(p.name))]
        return [path for _, path in sorted(numbered)]

    def _is_due(self, coming: int) -> bool:
        if self._lines.size == 0:
            self._since_s = self._clock()
            return False
        return self._lines.size + coming > self.max_bytes or self._clock() - self._since_s >= self.max_age_s

    def _rotate(self) -> None:
        closed = self.rotated()
        last = int(closed[-1].stem.rpartition("-")[2]) if closed else 0
        self._lines.close()
        try:
            self.path.rename(self.path.with_name(f"{self.path.stem}-{last + 1:06d}{self.path.suffix}"))
            sync_folder(self.path.parent)
        finally:
            self._lines = DurableLines(self.path)
        self._since_s = self._clock()
        if self.keep is not None:
            for old in self.rotated()[: -self.keep or None]:
                old.unlink(missing_ok=True)


def remembered_keys(paths: Sequence[Path]) -> dict[str, None]:
    """Identities of the incidents in the files (oldest file first), the newest ``REMEMBERED``, in order of writing."""
    found: list[list[str]] = []
    for path in reversed(paths):
        found.append([name for line in lines_of(path) if (name := _key_of_line(line))])
        if sum(map(len, found)) >= REMEMBERED:
            break
    return dict.fromkeys([name for names in reversed(found) for name in names][-REMEMBERED:])


def _key_of_line(line: bytes) -> str | None:
    try:
        record = json.loads(line)
        if "incident_id" in record:
            return key(record)
        return str(record["metadata"]["uid"])  # an OCSF finding
    except (ValueError, TypeError, KeyError):
        return None
