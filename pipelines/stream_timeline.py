"""A timeline as a station: it advances when all who speak to it vouch for more, and says so to those behind it."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Protocol

import pyarrow as pa

from detectors.local import Stage
from detectors.timeline import END, START, FoldFactory, Tables, Timeline, counts_of, lag_of
from pipelines.carry_over import carried_over
from pipelines.messages import SAID_AFTER, Inbox, Message
from pipelines.sinks.escape import terminal

_log = logging.getLogger(__name__)

#: tags, and what the names of origins end in
ROWS: Final = "rows"
RAISED: Final = "raised"
#: begin the names of gauges, a stage and a shard follow: rows that wait for the watermark, and how far all is done, ms
WAITING: Final = "waiting_"
WATERMARK: Final = "watermark_ms_"
#: begins the names of counters of what each version judged
JUDGED_BY: Final = "judged_by_"
#: rows of a message at most: runners keep each in memory several times over
MESSAGE_ROWS: Final = 10_000
#: tables of the station beside those of its timeline
_INBOX: Final = "inbox"
_SAID: Final = "said"
_HEARD: Final = "heard"
_VERSION: Final = "version"
_TIMELINE: Final = "timeline/"


def origin(stage: str, shard: int, tag: str) -> str:
    """How a timeline's messages are signed."""
    return f"{stage}/{shard}/{tag}"


class Versions(Protocol):
    """Plain data that knows announced versions: ``pipelines.announced.Announced``."""

    @property
    def first(self) -> str:
        """The label of what judges at the start."""
        ...

    def folds(self, label: str, stage: str) -> FoldFactory:
        """The folds of a stage as a version has them."""
        ...


@dataclass(frozen=True)
class TimelineStations:
    """Makes the stations of a stage.

    Attributes:
        stage: its name and folds.
        shards: of this stage.
        origins: all that speak to each of them.
        versions: where the folds of announced versions come from; None: announcements are not heard.
        judges: what it gives and raises is counted by the version that judged it.
    """

    stage: Stage
    shards: int
    origins: tuple[str, ...]
    versions: Versions | None = None
    judges: bool = False

    def make(self, shard: int) -> TimelineStation:
        """The station of a shard."""
        return TimelineStation(self, shard)


class TimelineStation:
    """One shard's timeline."""

    #: its waiting rows are state, which no output makes superfluous
    settled = False

    def __init__(self, made: TimelineStations, shard: int) -> None:
        self._made = made
        self._timeline = Timeline(made.stage.folds.make(shard, made.shards))
        #: what judges, and what each origin announced last
        self._version = made.versions.first if made.versions is not None else ""
        self._heard: dict[str, str] = {}
        #: from which watermark on what is to judge, us
        self._coming: list[tuple[int, str]] = []
        self._inbox = Inbox(made.origins)
        self._name, self._shard = made.stage.name, shard
        self._said = {ROWS: 0, RAISED: 0}
        self._reached_us = {ROWS: START, RAISED: START}
        #: rows by version, since it is in this process
        self._judged: dict[str, int] = {}

    @property
    def ended(self) -> bool:
        """Whether the end was reached."""
        return self._timeline.watermark_us >= END

    def take(self, message: Message, *, again: bool = False) -> list[tuple[str, Message]]:  # noqa: ARG002 - pure
        """Take rows, and give what each advance gives and raises, also where that is nothing: the mark counts."""
        given: list[tuple[str, Message]] = []
        for due in self._inbox.take(message):
            self._hear(due)
            for batch in due.batches:
                self._timeline.push(batch)
            # behind each message, so that what is late does not depend on how many were waiting
            given += self._advance(self._inbox.watermark_us)
        return given

    def _hear(self, message: Message) -> None:
        """Where an origin announces a version that it did not announce before, let it judge from there on.

        "There" is how far the origin had come: all origins of a stage change at the same watermark, whichever is heard
        first.
        """
        versions, label = self._made.versions, message.version
        if versions is None or not label or label == self._heard.get(message.origin, versions.first):
            return
        self._heard[message.origin] = label
        at_us, last = self._coming[-1] if self._coming else (START, self._version)
        if label != last:
            self._coming.append((max(self._inbox.before_us, at_us), label))

    def _advance(self, mark_us: int) -> list[tuple[str, Message]]:
        given: list[tuple[str, Message]] = []
        while self._coming and self._coming[0][0] <= mark_us:
            at_us, label = self._coming.pop(0)
            given += self._step(at_us)
            self._swap(label)
        return given + self._step(mark_us)

    def _swap(self, label: str) -> None:
        versions = self._made.versions
        if versions is None or label == self._version:
            return
        fresh = self._fresh(versions, label)
        try:
            fresh.restore(carried_over(self._timeline.snapshot(), fresh.snapshot()))
        except Exception as error:
            # it may hold what no check foresaw; the old folds are as they were
            _log.error("%s/%d can't take %s: %s", self._name, self._shard, label, terminal(repr(error)))
            return
        self._timeline, self._version = fresh, label

    def _fresh(self, versions: Versions, label: str) -> Timeline:
        """A timeline at its beginning, with the folds of a version."""
        folds = versions.folds(label, self._name)
        return Timeline(folds.make(self._shard, self._made.shards))

    def _step(self, watermark_us: int) -> list[tuple[str, Message]]:
        if watermark_us <= self._timeline.watermark_us:
            return []
        rows = self._timeline.advance(watermark_us)
        raised = self._timeline.take_raised()
        if self._made.judges and self._version and (rows or raised):
            name = f"{JUDGED_BY}{self._version.partition(SAID_AFTER)[0]}"
            # what is strange is raised instead of given
            self._judged[name] = self._judged.get(name, 0) + sum(batch.num_rows for batch in (*rows, *raised))
        reached = END if watermark_us >= END else max(watermark_us - lag_of(self._timeline.fold), START)
        return [*self._say(ROWS, rows, reached), *self._say(RAISED, raised, reached)]

    def _say(self, tag: str, batches: list[pa.RecordBatch], reached_us: int) -> list[tuple[str, Message]]:
        """Messages of a bearable size, of which only the last vouches for more than was said before."""
        parts = [
            batch.slice(start, MESSAGE_ROWS) for batch in batches for start in range(0, batch.num_rows, MESSAGE_ROWS)
        ]
        said = []
        for number, part in enumerate(parts or [None]):
            last = number + 1 >= len(parts)
            own = () if part is None else (part,)
            mark = reached_us if last else self._reached_us[tag]
            said.append((tag, Message(origin(self._name, self._shard, tag), self._said[tag], mark, own, self._version)))
            self._said[tag] += 1
        self._reached_us[tag] = reached_us
        return said

    def early(self) -> list[Message]:
        """Messages whose turn has not come."""
        return self._inbox.early()

    def counts(self) -> dict[str, int]:
        """Those of the fold, late rows, and rows by version."""
        return {**counts_of(self._timeline.fold), f"late_{self._name}": self._timeline.late, **self._judged}

    def gauges(self) -> dict[str, int]:
        """Rows that wait, and how far it is, until the end."""
        named, reached_us = f"{self._name}_{self._shard}", self._timeline.watermark_us - lag_of(self._timeline.fold)
        far = {f"{WATERMARK}{named}": reached_us // 1_000} if START < self._timeline.watermark_us < END else {}
        return {f"{WAITING}{named}": self._timeline.pending(), **far}

    def snapshot(self) -> Tables:
        """The timeline with its waiting rows, who has said what, and what it has said itself."""
        tables = {f"{_TIMELINE}{name}": table for name, table in self._timeline.snapshot().items()}
        own = {"tag": list(self._said), "said": [*self._said.values()], "reached_us": [*self._reached_us.values()]}
        heard = {"origin": pa.array(self._heard, pa.string()), "label": pa.array(self._heard.values(), pa.string())}
        # the first is the one that judges
        version = {
            "from_us": [START, *(at_us for at_us, _ in self._coming)],
            "label": pa.array([self._version, *(label for _, label in self._coming)], pa.string()),
        }
        tables |= {_INBOX: self._inbox.to_table(), _SAID: pa.table(own)}
        return tables | {_HEARD: pa.table(heard), _VERSION: pa.table(version)}

    def restore(self, tables: Mapping[str, pa.Table]) -> None:
        """Take over a snapshot."""
        self._inbox.restore(tables[_INBOX])
        for row in tables[_SAID].to_pylist():
            self._said[row["tag"]], self._reached_us[row["tag"]] = row["said"], row["reached_us"]
        self._heard = {row["origin"]: row["label"] for row in tables[_HEARD].to_pylist()}
        (_, label), *coming = zip(*tables[_VERSION].to_pydict().values(), strict=True)
        self._coming = list(coming)
        if self._made.versions is not None and label != self._version:
            self._timeline, self._version = self._fresh(self._made.versions, label), label
        mine = {name.removeprefix(_TIMELINE): t for name, t in tables.items() if name.startswith(_TIMELINE)}
        self._timeline.restore(mine)
