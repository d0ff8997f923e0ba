"""What travels in a stream: rows together with how far their origin has come, and who they come from.

A watermark that travels with the rows needs no timer, says the same on every runner, and lets what was taken be taken
again in the same order. Runners may deliver messages out of order; the numbers put them right.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Final

import pyarrow as pa

from detectors.timeline import END, START
from models.errors import InputError

#: in the label of a version, between its name and the digest of what people said of its incidents
SAID_AFTER: Final = "+"
#: columns of ``Inbox.to_table``
_ORIGINS: Final = pa.schema([("origin", pa.string()), ("next", pa.int64()), ("watermark_us", pa.int64())])


@dataclass(frozen=True)
class Message:
    """One step of an origin, as far as it concerns one receiver."""

    #: who says it: "function/3/rows"
    origin: str
    #: the origin's steps, counted from 0 without gaps; every receiver hears of each
    number: int
    #: us; no row below will come from this origin any more but late ones. END: none at all
    watermark_us: int
    #: rows, of one schema or of several; none of them empty
    batches: tuple[pa.RecordBatch, ...] = ()
    #: label of the version that judges these rows and those that follow (pipelines/announced.py); empty: as before
    version: str = ""

    @property
    def rows(self) -> int:
        """How many there are."""
        return sum(batch.num_rows for batch in self.batches)


class Inbox:
    """Puts the messages of several origins in order: of each origin one after the other, none twice.

    Args:
        origins: all that will speak.

    Example:
        >>> inbox = Inbox(["a", "b"])
        >>> [m.number for m in inbox.take(Message("a", 1, 20))]
        []
        >>> [m.number for m in inbox.take(Message("a", 0, 10))]
        [0, 1]
        >>> inbox.watermark_us == START
        True
        >>> _ = list(inbox.take(Message("b", 0, 15)))
        >>> inbox.watermark_us
        15
    """

    def __init__(self, origins: Iterable[str]) -> None:
        self._next = dict.fromkeys(origins, 0)
        self._marks = dict.fromkeys(self._next, START)
        self._early: dict[tuple[str, int], Message] = {}
        #: how far the origin of the message fetched last had come before it, us
        self.before_us = START

    def take(self, message: Message) -> Iterator[Message]:
        """Take a message, and give those whose turn it is; watermarks move with each that is fetched.

        Raises:
            InputError: from an origin that was not announced.
        """
        origin = message.origin
        if origin not in self._next:
            raise InputError("A message of a stranger.", expected=f"from {', '.join(self._next)}", received=origin)
        if message.number >= self._next[origin]:
            self._early[origin, message.number] = message
        return self._turn(origin)

    def _turn(self, origin: str) -> Iterator[Message]:
        while (message := self._early.pop((origin, self._next[origin]), None)) is not None:
            self._next[origin] += 1
            self.before_us = self._marks[origin]
            self._marks[origin] = max(self._marks[origin], message.watermark_us)
            yield message

    @property
    def watermark_us(self) -> int:
        """What all origins vouch for."""
        return min(self._marks.values(), default=START)

    @property
    def ended(self) -> bool:
        """Whether all have said that nothing more will come."""
        return self.watermark_us >= END

    def early(self) -> list[Message]:
        """Those that wait for one before them."""
        return list(self._early.values())

    def to_table(self) -> pa.Table:
        """How far each origin is; ``early`` is kept apart."""
        names = sorted(self._next)
        columns = {"origin": names, "next": [self._next[n] for n in names]}
        return pa.table({**columns, "watermark_us": [self._marks[n] for n in names]}, schema=_ORIGINS)

    def restore(self, table: pa.Table, early: Iterable[Message] = ()) -> None:
        """Take over what ``to_table`` and ``early`` gave."""
        for row in table.to_pylist():
            if row["origin"] in self._next:
                self._next[row["origin"]], self._marks[row["origin"]] = row["next"], row["watermark_us"]
        self._early = {(message.origin, message.number): message for message in early}
