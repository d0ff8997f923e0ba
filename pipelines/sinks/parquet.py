"""Incidents as Parquet files in a folder, for tables and notebooks; a small open file holds what is not yet in one."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Final

import pyarrow as pa
import pyarrow.parquet as pq

from detectors.incidents import INCIDENT
from detectors.schema import TIMESTAMP
from models.errors import InputError
from pipelines.durable import DurableLines, lines_of, sync_folder
from pipelines.sinks.base import AMENDS, DeliveryError, Incident, key, revision
from pipelines.sinks.files import MAX_AGE_S, MAX_BYTES, REMEMBERED, remembered_keys
from pipelines.sinks.lines import as_datetime, json_line

_TEXTS: Final = pa.list_(pa.string())

#: one row an incident and revision; the fields of ``incidents.ndjson``, what else it carries as JSON in ``more``
INCIDENTS: Final[pa.Schema] = INCIDENT.append(pa.field(AMENDS, pa.bool_())).append(pa.field("more", pa.string()))


class ParquetFolder:
    """Writes ``incidents-000001.parquet`` and so on into a folder.

    ``send`` puts incidents into ``incidents-000001.open.ndjson``, on disk when it returns; when that is full or old,
    and on ``close``, it becomes the Parquet file of the same number. A crash between the two steps is repaired on
    opening. An incident is written once, also after a restart. Files that an earlier Lonetree wrote with other columns
    are written anew on opening, so that all files of the folder can be read as one table.

    Args:
        folder: it is made.
        max_bytes: size of the open file at which it is turned into Parquet.
        max_age_s: age at which it is, s, counted from the first incident since it was opened.
        clock: seconds, on any origin.
    """

    def __init__(
        self,
        folder: Path,
        *,
        max_bytes: int = MAX_BYTES,
        max_age_s: float = MAX_AGE_S,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.name = "parquet"
        self.folder, self.max_bytes, self.max_age_s, self._clock = folder, max_bytes, max_age_s, clock
        try:
            folder.mkdir(parents=True, exist_ok=True)
            numbers = self._numbers("parquet")
            for number in set(self._numbers("open.ndjson")) & set(numbers):
                self._open_path(number).unlink()
            self._renew(numbers)
            self._number = max([*numbers, 0]) + 1
            self._lines = DurableLines(self._open_path(self._number))
        except OSError as error:
            raise InputError(
                f"{folder} can't be written.", expected="a writable folder", received=str(error.strerror)
            ) from None
        self._since_s = clock()
        self._written = self._known_keys(numbers)

    def send(self, incidents: Sequence[Incident]) -> None:
        """Put what the folder doesn't hold yet into the open file, and turn that into Parquet when it is due.

        Raises:
            DeliveryError: the disk is full or gone (``retry=True``); nothing of this call was written.
        """
        fresh = {key(incident): incident for incident in incidents if key(incident) not in self._written}
        try:
            if self._lines.size and self._clock() - self._since_s >= self.max_age_s:
                self._turn()
            if not self._lines.size:
                self._since_s = self._clock()
            self._lines.append([json_line(incident) for incident in fresh.values()])
            self._written.update(dict.fromkeys(fresh))
            if self._lines.size >= self.max_bytes:
                self._turn()
        except OSError as error:
            raise DeliveryError(
                f"{self.folder} can't be written.", received=str(error.strerror), hint="is the disk full?", retry=True
            ) from None
        while len(self._written) > REMEMBERED:
            del self._written[next(iter(self._written))]

    def close(self) -> None:
        """Turn the open file into Parquet, if it holds anything."""
        if self._lines.size:
            self._turn()
        self._lines.close()
        if self._lines.size == 0:
            self._open_path(self._number).unlink(missing_ok=True)

    def _turn(self) -> None:
        source = self._open_path(self._number)
        self._write(self._number, [json.loads(line) for line in lines_of(source)])
        self._lines.close()
        source.unlink()
        self._number += 1
        self._lines = DurableLines(self._open_path(self._number))
        self._since_s = self._clock()

    def _write(self, number: int, incidents: Sequence[Incident]) -> None:
        """The whole Parquet file of this number, or none."""
        target = self._path(number)
        temporary = target.with_name(f".{target.name}.tmp")
        try:
            pq.write_table(incident_table(incidents), temporary, compression="zstd")
            temporary.replace(target)
        finally:
            temporary.unlink(missing_ok=True)
        sync_folder(self.folder)

    def _renew(self, numbers: list[int]) -> None:
        """Bring files with other columns to those of today; what had no column is in ``more``."""
        for number in numbers:
            if not pq.read_schema(self._path(number)).equals(INCIDENTS):
                rows = pq.read_table(self._path(number)).to_pylist()
                self._write(number, [row | json.loads(row.pop("more", None) or "{}") for row in rows])

    def _path(self, number: int) -> Path:
        return self.folder / f"incidents-{number:06d}.parquet"

    def _open_path(self, number: int) -> Path:
        return self.folder / f"incidents-{number:06d}.open.ndjson"

    def _numbers(self, ending: str) -> list[int]:
        pattern = re.compile(rf"incidents-(\d{{6,}})\.{re.escape(ending)}")
        return sorted(int(m[1]) for p in self.folder.iterdir() if (m := pattern.fullmatch(p.name)))

    def _known_keys(self, numbers: list[int]) -> dict[str, None]:
        known: list[str] = []
        for number in reversed(numbers):
            if len(known) >= REMEMBERED:
                break
            table = pq.read_table(self._path(number), columns=["incident_id", "revision"])
            known = [key(row) for row in table.to_pylist()] + known
        return dict.fromkeys(known[-REMEMBERED:]) | remembered_keys([self._open_path(self._number)])


def incident_table(incidents: Sequence[Incident]) -> pa.Table:
    """Incidents as a table of the INCIDENTS schema; a value of a wrong kind becomes null, nothing is refused."""
    rows = [_row(incident) for incident in incidents]
    return pa.Table.from_pylist(rows, schema=INCIDENTS)


def _row(incident: Incident) -> dict[str, Any]:
    row = {field.name: _value(incident.get(field.name), field.type) for field in INCIDENTS}
    more = {name: value for name, value in incident.items() if name not in row}
    return row | {"revision": revision(incident), "more": json_line(more).decode() if more else None}


def _value(value: Any, kind: pa.DataType) -> Any:
    if value is None:
        return None
    if kind == TIMESTAMP:
        return as_datetime(value)
    if kind == pa.bool_():
        return value if isinstance(value, bool) else None
    if kind == pa.string():
        return value if isinstance(value, str) else json.dumps(value)
    if kind == _TEXTS:
        return [str(item) for item in value] if isinstance(value, list) else [str(value)]
    if pa.types.is_list(kind):
        fields = kind.value_type
        reasons = value if isinstance(value, list) else None
        return reasons and [_struct(item, fields) for item in reasons if isinstance(item, dict)]
    number = isinstance(value, (int, float)) and not isinstance(value, bool)
    return (float(value) if pa.types.is_floating(kind) else int(value)) if number else None


def _struct(item: dict[str, Any], fields: pa.StructType) -> dict[str, Any]:
    return {field.name: _value(item.get(field.name), field.type) for field in fields}
