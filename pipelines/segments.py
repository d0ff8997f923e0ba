"""What stays as it is, written once: a checkpoint names the batches that earlier ones wrote, and writes the others.

Rows wait for the watermark as long as the allowed lateness, over many checkpoints, which ids came is remembered for
hours, and verdicts wait for minutes until they are worth a file; the rest of the state is small.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import pyarrow as pa

from pipelines.durable import write_atomic

#: tables of a snapshot whose batches stay as they are until they are gone, by the end of their name: how the segments
#: begin that hold them, one kind for each length of life
KINDS: Final = {"/pending": "rows", "/seen": "seen", ".waiting": "strange", "parts/verdicts": "verdicts"}

#: where a batch lies in memory: address, offset and rows of its first column
_Key = tuple[int, int, int]


@dataclass
class _Written:
    """A batch that a segment holds; kept, so that no other can take its place in memory."""

    batch: pa.RecordBatch
    #: file and number within it
    place: tuple[str, int]


@dataclass
class Segments:
    """The segment files of one checkpoint folder."""

    folder: Path
    #: of the last segment; never used again, even where the checkpoint that it was for failed
    number: int = 0
    _written: dict[_Key, _Written] = field(default_factory=dict)
    _digests: dict[str, str] = field(default_factory=dict)

    def put(self, tables: Mapping[str, pa.Table]) -> tuple[dict[str, pa.Table], dict[str, Any]]:
        """Write the batches that no segment holds, as one new segment of each kind; the caller makes their names last.

        Args:
            tables: the snapshot.

        Returns:
            The tables that are to be written whole, and what ``get`` needs, as JSON data.

        Raises:
            OSError: the disk is full or gone; nothing is forgotten.
        """
        whole = {name: table for name, table in tables.items() if _kind(name) is None}
        self.number += 1
        fresh: dict[str, list[pa.RecordBatch]] = {}
        written: dict[_Key, _Written] = {}
        places: dict[str, list[tuple[str, int]]] = {}
        schemas = {}
        for table_name in sorted(set(tables) - set(whole)):
            table, file = tables[table_name], f"{_kind(table_name)}-{self.number:08d}.arrows"
            places[table_name] = []
            schemas[table_name] = table.slice(0, 0)
            for batch in table.to_batches():
                if not batch.num_rows:
                    continue
                key = _key(batch)
                known = self._written.get(key) or written.get(key)
                if known is None:
                    mine = fresh.setdefault(file, [])
                    known = _Written(batch, (file, len(mine)))
                    mine.append(batch)
                written[key] = known
                places[table_name].append(known.place)
        digests = {file: self._digests[file] for file in {one.place[0] for one in written.values()} - set(fresh)}
        for file, batches in fresh.items():
            data = _encode(batches)
            write_atomic(self.folder / file, data, lasting=False)
            digests[file] = _digest(data)
        self._written, self._digests = written, digests
        # the schemas travel with the small tables, so that an empty list of batches is still a table
        return {**whole, **schemas}, {"places": places, "sha256": digests, "number": self.number}

    def get(self, tables: Mapping[str, pa.Table], named: Mapping[str, Any]) -> dict[str, pa.Table]:
        """The whole snapshot again.

        Raises:
            OSError, ValueError, pa.ArrowException: a segment is missing or damaged.
        """
        read: dict[str, list[pa.RecordBatch]] = {}
        for file, digest in named["sha256"].items():
            data = (self.folder / file).read_bytes()
            if _digest(data) != digest:
                raise ValueError(f"{file} does not match its checksum")
            read[file] = _decode(data)
        self.number = int(named["number"])
        found = dict(tables)
        for name, places in named["places"].items():
            found[name] = pa.Table.from_batches([read[file][n] for file, n in places], tables[name].schema)
        return found

    def tidy(self) -> None:
        """Remove the segments that the checkpoint does not name."""
        for kind in KINDS.values():
            for path in self.folder.glob(f"{kind}-*.arrows"):
                if path.name not in self._digests:
                    path.unlink(missing_ok=True)


def _kind(name: str) -> str | None:
    """The kind of segment that holds a table; None where it is written whole."""
    return next((kind for end, kind in KINDS.items() if name.endswith(end)), None)


def _key(batch: pa.RecordBatch) -> _Key:
    column = batch.column(0)
    return column.buffers()[1].address, column.offset, batch.num_rows


def _encode(batches: list[pa.RecordBatch]) -> bytes:
    """All batches, each an IPC stream of its own: their schemas may differ."""
    # imported here: the module registers coders with Beam
    from pipelines.coders import encode_tables

    return encode_tables({str(number): pa.Table.from_batches([batch]) for number, batch in enumerate(batches)})


def _decode(data: bytes) -> list[pa.RecordBatch]:
    from pipelines.coders import decode_tables

    return [table.to_batches()[0] for table in decode_tables(data).values()]


def _digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()
