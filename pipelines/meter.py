"""What has been read: how far the readers of a run are, for whoever shows progress in the same process."""

from __future__ import annotations

import threading
from dataclasses import dataclass

import pyarrow as pa

from detectors.texts import is_text


@dataclass
class Mileage:
    """What has been read so far."""

    records: int = 0
    parts: int = 0


_lock = threading.Lock()
_runs: dict[str, Mileage] = {}


def begin(run: str) -> None:
    """Start to count for a run."""
    with _lock:
        _runs[run] = Mileage()


def add(run: str, records: int, parts: int = 0) -> None:
    """Count; a run that nobody began (in a worker elsewhere) is not counted."""
    with _lock:
        mileage = _runs.get(run)
        if mileage is not None:
            mileage.records += records
            mileage.parts += parts


def read(run: str) -> Mileage:
    """How far a run is."""
    with _lock:
        mileage = _runs.get(run, Mileage())
        return Mileage(mileage.records, mileage.parts)


def end(run: str) -> None:
    """Forget a run."""
    with _lock:
        _runs.pop(run, None)


def standing(rows: pa.RecordBatch) -> int:
    """Records that stand for an invocation: all but the details."""
    return int(is_text(rows.column("record"), "invocation", "started").sum())
