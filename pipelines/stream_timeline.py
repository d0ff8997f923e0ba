"""A timeline as a station: it advances when all who speak to it vouch for more, and says so to those behind it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import pyarrow as pa

from detectors.local import Stage
from detectors.timeline import END, START, Tables, Timeline, counts_of, lag_of
from pipelines.messages import Inbox, Message

#: tags, and what the names of origins end in
ROWS: Final = "rows"
RAISED: Final = "raised"
#: rows of a message at most: runners keep each in memory several times over
MESSAGE_ROWS: Final = 10_000
#: tables of the station beside those of its timeline
_INBOX: Final = "inbox"
_SAID: Final = "said"
_TIMELINE: Final = "timeline/"


def origin(stage: str, shard: int, tag: str) -> str:
    """How a timeline's messages are signed."""
    return f"{stage}/{shard}/{tag}"


@dataclass(frozen=True)
class TimelineStations:
    """Makes the stations of a stage.

    Attributes:
        stage: its name and folds.
        shards: of this stage.
        origins: all that speak to each of them.
    """

    stage: Stage
    shards: int
    origins: tuple[str, ...]

    def make(self, shard: int) -> TimelineStation:
        """The station of a shard."""
        return TimelineStation(self, shard)


class TimelineStation:
    """One shard's timeline."""

    #: its waiting rows are state, which no output makes superfluous
    settled = False

    def __init__(self, made: TimelineStations, shard: int) -> None:
        self._timeline = Timeline(made.stage.folds.make(shard, made.shards))
        self._inbox = Inbox(made.origins)
        self._name, self._shard = made.stage.name, shard
        self._said = {ROWS: 0, RAISED: 0}
        self._reached_us = {ROWS: START, RAISED: START}

    @property
    def ended(self) -> bool:
        """Whether the end was reached."""
        return self._timeline.watermark_us >= END

    def take(self, message: Message, *, again: bool = False) -> list[tuple[str, Message]]:  # noqa: ARG002 - pure
        """Take rows, and give what each advance gives and raises, also where that is nothing: the mark counts."""
        given: list[tuple[str, Message]] = []
        for due in self._inbox.take(message):
            for batch in due.batches:
                self._timeline.push(batch)
            # behind each message, so that what is late does not depend on how many were waiting
            if self._inbox.watermark_us > self._timeline.watermark_us:
                given += self._advance(self._inbox.watermark_us)
        return given

    def _advance(self, watermark_us: int) -> list[tuple[str, Message]]:
        rows = self._timeline.advance(watermark_us)
        raised = self._timeline.take_raised()
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
            said.append((tag, Message(origin(self._name, self._shard, tag), self._said[tag], mark, own)))
            self._said[tag] += 1
        self._reached_us[tag] = reached_us
        return said

    def early(self) -> list[Message]:
        """Messages whose turn has not come."""
        return self._inbox.early()

    def counts(self) -> dict[str, int]:
        """Those of the fold, and late rows."""
        return {**counts_of(self._timeline.fold), f"late_{self._name}": self._timeline.late}

    def snapshot(self) -> Tables:
        """The timeline with its waiting rows, who has said what, and what it has said itself."""
        tables = {f"{_TIMELINE}{name}": table for name, table in self._timeline.snapshot().items()}
        own = {"tag": list(self._said), "said": [*self._said.values()], "reached_us": [*self._reached_us.values()]}
        return {**tables, _INBOX: self._inbox.to_table(), _SAID: pa.table(own)}

    def restore(self, tables: Mapping[str, pa.Table]) -> None:
        """Take over a snapshot."""
        self._inbox.restore(tables[_INBOX])
        for row in tables[_SAID].to_pylist():
            self._said[row["tag"]], self._reached_us[row["tag"]] = row["said"], row["reached_us"]
        mine = {name.removeprefix(_TIMELINE): t for name, t in tables.items() if name.startswith(_TIMELINE)}
        self._timeline.restore(mine)
