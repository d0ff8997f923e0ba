"""Where a stream ends: part files of verdicts and dead letters, and sinks; as stations, each row comes out once."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal

import pyarrow as pa

from detectors.expectations import part_suppressed
from detectors.schema import DEAD_LETTER
from detectors.timeline import Tables
from pipelines.engine import telling
from pipelines.messages import Inbox, Message
from pipelines.part_files import PartFiles, as_lines, as_parquet
from pipelines.sinks.fanout import Sinks
from pipelines.sinks.lines import as_told
from pipelines.sinks.uri import open_sinks
from pipelines.told import Told
from pipelines.watch import WATCHED

#: at the end of a stream that ends, sinks may take so long for what still waits, s
DRAIN_S: Final = 60.0
_LOOK_S: Final = 0.1
#: tag of what the world gets
OUT: Final = "out"
#: how a sink is -> begins the names of gauges, the sink's name follows
SINK_SIGNS: Final = {
    "pending": "sink_waiting_",
    "delivered": "sink_delivered_",
    "refused": "sink_refused_",
    "lost": "sink_lost_",
    "failures": "sink_failures_",
}


@dataclass(frozen=True)
class VerdictFiles:
    """Makes the station that writes verdicts, as Parquet.

    Attributes:
        folder: of the parts.
        job: begins their names; parts of that name which the state does not know are replaced.
        which: are written.
        origins: of the messages.
    """

    folder: str
    job: str
    which: Literal["anomalous", "all"]
    origins: tuple[str, ...]

    def make(self, shard: int) -> Files:  # noqa: ARG002 - there is one
        """The station."""
        parts = PartFiles(Path(self.folder), self.job, WATCHED, as_parquet, ".parquet")
        return Files(parts, self.origins, _anomalous if self.which == "anomalous" else None)


@dataclass(frozen=True)
class DeadLetterFiles:
    """Makes the station that writes dead letters, as JSON Lines; attributes as those of VerdictFiles.

    ``keep`` is how many parts stay.
    """

    folder: str
    job: str
    origins: tuple[str, ...]
    keep: int = 100

    def make(self, shard: int) -> Files:  # noqa: ARG002 - there is one
        """The station."""
        parts = PartFiles(Path(self.folder), self.job, DEAD_LETTER, as_lines, ".ndjson", keep=self.keep)
        return Files(parts, self.origins, None)


class Files:
    """Gathers rows to parts."""

    def __init__(
        self, parts: PartFiles, origins: Sequence[str], chosen: Callable[[pa.RecordBatch], pa.RecordBatch] | None
    ) -> None:
        self._parts, self._chosen = parts, chosen
        self._inbox = Inbox(origins)
        self._clean = False
        #: a part was written, and with it the log of its rows is done with
        self.settled = False

    @property
    def ended(self) -> bool:
        """Whether nothing can follow."""
        return self._inbox.ended

    def take(self, message: Message, *, again: bool = False) -> list[tuple[str, Message]]:
        """Take rows; write a part when it is worth it, and at the end."""
        now_s = time.monotonic()
        for due in self._inbox.take(message):
            for batch in due.batches:
                self._parts.add(batch if self._chosen is None else self._chosen(batch), now_s)
        self.settled = False
        if not again:
            if not self._clean:
                # what an attempt that failed wrote beyond this state; only now, since a restore ends only now
                self._parts.restore(*self._parts.snapshot(), now_s)
                self._clean = True
            before = self._parts.snapshot()[0]
            self._parts.flush(now_s, whole=self.ended)
            self.settled = self._parts.snapshot()[0] > before
        return []

    def early(self) -> list[Message]:
        """Messages whose turn has not come."""
        return self._inbox.early()

    def counts(self) -> dict[str, int]:
        """Nothing."""
        return {}

    def gauges(self) -> dict[str, int]:
        """Nothing."""
        return {}

    def snapshot(self) -> Tables:
        """The next part's number, the rows that wait, and who has said what."""
        number, waiting = self._parts.snapshot()
        return {"number": pa.table({"number": [number]}), "waiting": waiting, "inbox": self._inbox.to_table()}

    def restore(self, tables: Mapping[str, pa.Table]) -> None:
        """Take over a snapshot."""
        self._inbox.restore(tables["inbox"])
        self._parts.restore(tables["number"]["number"][0].as_py(), tables["waiting"], time.monotonic())


def _anomalous(rows: pa.RecordBatch) -> pa.RecordBatch:
    return rows.filter(rows.column("anomalous"))


@dataclass(frozen=True)
class SinkStations:
    """Makes the station that hands incidents to sinks.

    Attributes:
        uris: of the sinks.
        folder: of their outboxes; on a cluster one that all workers see.
        origins: of the messages.
        expected_false: incidents a day that are to be expected at the budget; None: not known.
    """

    uris: tuple[str, ...]
    folder: str
    origins: tuple[str, ...]
    expected_false: float | None = None

    def make(self, shard: int) -> Telling:  # noqa: ARG002 - there is one
        """The station."""
        return Telling(self)


#: fan-outs of this process by folder: an outbox belongs to one
_SINKS: Final[dict[str, Sinks]] = {}


class Telling:
    """Hands incidents over, each telling once: outboxes know those that came before."""

    settled = False

    def __init__(self, made: SinkStations) -> None:
        self._made = made
        self._inbox = Inbox(made.origins)
        self._counts = dict.fromkeys(("incidents", "tellings", "suppressed"), 0)
        self._told = Told()

    @property
    def ended(self) -> bool:
        """Whether nothing can follow."""
        return self._inbox.ended

    def take(self, message: Message, *, again: bool = False) -> list[tuple[str, Message]]:
        """Take incidents, and put them into the sinks' outboxes.

        Raises:
            SinkError: an outbox can't be written.
        """
        told: list[dict[str, Any]] = []
        for due in self._inbox.take(message):
            for batch in due.batches:
                these, suppressed = part_suppressed(batch.to_pylist())
                self._counts["suppressed"] += len(suppressed)
                for incident in these:
                    amends = self._told.take(incident)
                    expected = self._made.expected_false
                    told.append(as_told(telling(incident), amends=amends, expected_false=expected))
                    self._counts["tellings"] += 1
                    self._counts["incidents"] += not amends
        if not again:
            # also where there is nothing new: what waits from before is to go on
            sinks = self._sinks()
            if told:
                sinks.send(told)
        if self.ended and not again:
            close_sinks(self._made.folder)
        return []

    def _sinks(self) -> Sinks:
        if self._made.folder not in _SINKS:
            sinks = open_sinks(self._made.uris, Path(self._made.folder))
            sinks.start()
            _SINKS[self._made.folder] = sinks
        return _SINKS[self._made.folder]

    def early(self) -> list[Message]:
        """Messages whose turn has not come."""
        return self._inbox.early()

    def counts(self) -> dict[str, int]:
        """Incidents, tellings, and those that feedback expects."""
        return dict(self._counts)

    def gauges(self) -> dict[str, int]:
        """How the sinks are, where they are open."""
        sinks = _SINKS.get(self._made.folder)
        found = [] if sinks is None else sinks.status()
        return {f"{begins}{one.name}": int(getattr(one, sign)) for one in found for sign, begins in SINK_SIGNS.items()}

    def snapshot(self) -> Tables:
        """Counts, open incidents, and who has said what."""
        return {
            "counts": pa.table({name: [count] for name, count in self._counts.items()}),
            "open": pa.table({"incident_id": pa.array(self._told.open_ids, pa.string())}),
            "closed": pa.table({"incident_id": pa.array(self._told.closed_ids, pa.string())}),
            "inbox": self._inbox.to_table(),
        }

    def restore(self, tables: Mapping[str, pa.Table]) -> None:
        """Take over a snapshot."""
        self._inbox.restore(tables["inbox"])
        self._counts = {name: int(count) for name, count in tables["counts"].to_pylist()[0].items()}
        self._told = Told(*(tables[name]["incident_id"].to_pylist() for name in ("open", "closed")))


def close_sinks(folder: str, patience_s: float = DRAIN_S) -> None:
    """Let the sinks have what waits for them, for so long, and let go of the outboxes in a folder."""
    sinks = _SINKS.pop(folder, None)
    if sinks is None:
        return
    deadline = time.monotonic() + patience_s
    while any(sink.pending for sink in sinks.status()) and time.monotonic() < deadline:
        time.sleep(_LOOK_S)
    sinks.close()
