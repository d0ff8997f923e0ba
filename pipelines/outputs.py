"""What a run writes: parts in a staging folder while it works, moved into place when it has succeeded.

``verdicts/*.parquet``, ``incidents.ndjson``, ``dead-letter/*.ndjson`` and ``run.json``, as the command line promises.
"""

from __future__ import annotations

import shutil
import uuid
from collections.abc import Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import asdict
from pathlib import Path
from typing import Any, Final, Literal

import apache_beam as beam
import orjson
import pyarrow as pa
import pyarrow.parquet as pq

from detectors.expectations import part_suppressed
from detectors.schema import VERDICT
from models.errors import InputError
from pipelines.durable import write_atomic
from pipelines.parcels import Spooled

#: rows of a Parquet row group; as many may wait in memory while another group is written
GROUP_ROWS: Final = 65_536
#: rows of one part file
PART_ROWS: Final = 2_000_000
#: which verdicts are written
Which = Literal["anomalous", "all"]

VERDICTS: Final = "verdicts"
DEAD_LETTERS: Final = "dead-letter"
INCIDENTS: Final = "incidents.ndjson"
RUN: Final = "run.json"


class Staging:
    """The folders of a run that is going on, beside where its results will be.

    Args:
        output: the folder that results go to; made if missing.
    """

    def __init__(self, output: Path) -> None:
        self.output = output
        # workers may stand in another folder
        self.folder = output.absolute() / f".run-{uuid.uuid4().hex[:12]}"
        self.spool = self.folder / "spool"
        for name in ("spool", VERDICTS, DEAD_LETTERS, "incidents"):
            (self.folder / name).mkdir(parents=True)

    def publish(self, run: Mapping[str, Any]) -> tuple[dict[str, Any], list[dict[str, Any]]]:
        """Move everything into place, ``run.json`` last.

        Returns:
            What ``run.json`` holds, and the incidents by ``opened``, each as it was told last. Those that feedback
            expects are listed in ``run.json`` instead.
        """
        incidents, suppressed = part_suppressed(self._incidents())
        for name in (VERDICTS, DEAD_LETTERS):
            self._move(name)
        write_atomic(self.output / INCIDENTS, b"".join(orjson.dumps(incident) + b"\n" for incident in incidents))
        whole = {**run, "incidents": len(incidents), "suppressed": suppressed}
        write_atomic(self.output / RUN, orjson.dumps(whole, option=orjson.OPT_INDENT_2) + b"\n")
        return whole, incidents

    def remove(self) -> None:
        """Leave nothing behind."""
        shutil.rmtree(self.folder, ignore_errors=True)

    def _incidents(self) -> list[dict[str, Any]]:
        last: dict[str, dict[str, Any]] = {}
        for path in sorted((self.folder / "incidents").glob("*.ndjson")):
            for line in path.read_bytes().splitlines():
                incident = orjson.loads(line)
                known = last.get(incident["incident_id"])
                if known is None or _told(incident) >= _told(known):
                    last[incident["incident_id"]] = incident
        return sorted(last.values(), key=lambda incident: (incident.get("opened") or "", incident["incident_id"]))

    def _move(self, name: str) -> None:
        """Replace a folder of an earlier run; parts are numbered by their order, which their rows decide."""
        target = self.output / name
        if target.exists():
            target.rename(self.folder / f"old-{name}")
        target.mkdir()
        parts = sorted((self.folder / name).iterdir(), key=lambda path: path.name)
        for number, part in enumerate(parts):
            part.rename(target / f"part-{number:05d}{part.suffix}")


def _told(incident: Mapping[str, Any]) -> tuple[bool, int]:
    """Later tellings of an incident are closed, or have a higher revision."""
    return bool(incident.get("closed")), int(incident.get("revision") or 0)


class VerdictParts(beam.DoFn):  # type: ignore[misc]
    """Writes batches with the columns of VERDICT to Parquet parts."""

    def __init__(self, folder: str, which: Which) -> None:
        self._folder = folder
        self._which = which
        self._open: _Part | None = None

    def process(self, element: pa.RecordBatch) -> Iterator[Any]:
        """Write what is asked for."""
        if self._which == "anomalous":
            element = element.filter(element.column("anomalous"))
        if element.num_rows:
            if self._open is None or self._open.rows >= PART_ROWS:
                self.finish_bundle()
                self._open = _Part(self._folder, element)
            self._open.write(element)
        return iter(())

    def finish_bundle(self) -> None:
        """Close the part, so that the bundle stands on its own."""
        if self._open is not None:
            self._open.close()
            self._open = None


class _Part:
    """One Parquet file being written; named by its first row, so that names sort as rows do.

    A thread of its own compresses and writes, which takes a quarter of the time of the timeline that gives the rows.
    """

    def __init__(self, folder: str, first: pa.RecordBatch) -> None:
        begin = first.column("event_time")[0].cast(pa.int64()).as_py()
        self._path = Path(folder) / f"{begin:020d}-{uuid.uuid4().hex}.parquet"
        self._writer: Any = pq.ParquetWriter(self._path, VERDICT, compression="zstd", compression_level=1)
        self._waiting: list[pa.RecordBatch] = []
        self._rows_waiting = 0
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="verdicts")
        self._writing: Future[None] | None = None
        self.rows = 0

    def write(self, batch: pa.RecordBatch) -> None:
        columns = [batch.column(field.name).cast(field.type) for field in VERDICT]
        self._waiting.append(pa.RecordBatch.from_arrays(columns, schema=VERDICT))
        self._rows_waiting += batch.num_rows
        self.rows += batch.num_rows
        if self._rows_waiting >= GROUP_ROWS:
            self._flush()

    def close(self) -> None:
        try:
            self._flush()
            self._settle()
        finally:
            self._thread.shutdown()
            self._writer.close()

    def _flush(self) -> None:
        # one group at a time, so that no more than two are in memory
        self._settle()
        if self._waiting:
            group = pa.Table.from_batches(self._waiting)
            self._writing = self._thread.submit(self._writer.write_table, group, row_group_size=GROUP_ROWS)
        self._waiting, self._rows_waiting = [], 0

    def _settle(self) -> None:
        """Wait for the group that is being written.

        Raises:
            OSError: it can't be.
        """
        writing, self._writing = self._writing, None
        if writing is not None:
            writing.result()


class JsonParts(beam.DoFn):  # type: ignore[misc]
    """Writes the rows of batches as JSON Lines, times in ISO 8601 UTC; one part a bundle."""

    def __init__(self, folder: str) -> None:
        self._folder = folder
        self._file: Any = None
        self._parts = 0

    def process(self, element: pa.RecordBatch) -> Iterator[Any]:
        """Write every row."""
        if self._file is None:
            self._file = (Path(self._folder) / f"{self._parts:06d}-{uuid.uuid4().hex}.ndjson").open("wb")
            self._parts += 1
        for row in element.to_pylist():
            self._file.write(orjson.dumps(row, option=orjson.OPT_UTC_Z | orjson.OPT_SERIALIZE_NUMPY) + b"\n")
        return iter(())

    def finish_bundle(self) -> None:
        """Close the part."""
        if self._file is not None:
            self._file.close()
            self._file = None


class CheckParts(beam.DoFn):  # type: ignore[misc]
    """Writes down the claim checks of spooled rows, one part a bundle."""

    def __init__(self, folder: str) -> None:
        self._folder = folder
        self._checks: list[Spooled] = []

    def process(self, element: tuple[int, Spooled]) -> Iterator[Any]:
        """Take one."""
        self._checks.append(element[1])
        return iter(())

    def finish_bundle(self) -> None:
        """Write them, so that the bundle stands on its own."""
        lines = b"".join(orjson.dumps(asdict(check)) + b"\n" for check in self._checks)
        (Path(self._folder) / f"{uuid.uuid4().hex}.ndjson").write_bytes(lines)
        self._checks = []


def read_checks(folder: Path) -> list[Spooled]:
    """All claim checks that ``CheckParts`` wrote, by time."""
    lines = [line for part in sorted(folder.glob("*.ndjson")) for line in part.read_bytes().splitlines()]
    return sorted(
        (Spooled(**orjson.loads(line)) for line in lines), key=lambda check: (check.min_at, check.path, check.offset)
    )


def check_output(output: Path) -> None:
    """Refuse a place where results can't be written.

    Raises:
        InputError: it is a file, or can't be made.
    """
    try:
        output.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(
            "The results can't be written there.",
            expected="a folder that exists or can be made",
            received=f"{output}: {error.strerror or error}",
            hint="Choose another --output.",
        ) from error
