"""Small folds with history, in the places of the real ones: what they give depends on every row before."""

from __future__ import annotations

import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa

from detectors.collate import Collate
from detectors.conform import Conformed
from detectors.local import Chain
from detectors.schema import DEAD_LETTER, VERDICT
from detectors.timeline import Tables
from pipelines.sources.files import FileRef

INCIDENT = pa.schema(
    [
        ("at", pa.int64()),
        ("incident_id", pa.string()),
        ("opened", pa.timestamp("us", tz="UTC")),
        ("invocations", pa.int64()),
    ]
)
EVENT = pa.schema([("at", pa.int64()), ("signal", pa.string())])


class History:
    """Adds a column: a checksum of all that its key has told so far. Raises an EVENT for every tenth row of a key."""

    def __init__(self, key: str, column: str, told: tuple[str, ...]) -> None:
        self.key, self.column, self.told = key, column, told
        self.state: dict[str, list[int]] = {}
        self._raised: list[dict[str, Any]] = []

    def advance(self, rows: pa.RecordBatch, watermark_us: int) -> pa.RecordBatch:
        values = []
        self._raised = []
        for row in rows.select(["at", self.key, *self.told]).to_pylist():
            key = row[self.key]
            told, seen = self.state.get(key, [0, 0])
            told = zlib.crc32(repr([told, *row.values()]).encode())
            self.state[key] = [told, seen + 1]
            values.append(told)
            if seen % 10 == 9:
                self._raised.append({"at": row["at"], "signal": f"{key}:{told}"})
        return rows.append_column(self.column, pa.array(values, pa.int64()))

    def raised(self) -> pa.RecordBatch:
        return pa.RecordBatch.from_pylist(self._raised, schema=EVENT)

    def counts(self) -> dict[str, int]:
        return {f"told_{self.column}": sum(seen for _, seen in self.state.values())}

    def snapshot(self) -> Tables:
        keys = list(self.state)
        return {"history": pa.table({"key": pa.array(keys, pa.string()), "state": [self.state[key] for key in keys]})}

    def restore(self, tables: Mapping[str, pa.Table]) -> None:
        self.state = {row["key"]: row["state"] for row in tables["history"].to_pylist()}


@dataclass(frozen=True)
class Functions:
    def make(self, shard: int, shards: int) -> Chain:
        return Chain(Collate(), History("function", "function_history", ("invocation_id", "dequeue_count")))


@dataclass(frozen=True)
class Callers:
    def make(self, shard: int, shards: int) -> History:
        return History("caller", "caller_history", ("invocation_id", "function_history"))


class Incidents:
    """Gives a verdict for every scored row, and raises an incident for every signal."""

    takes = pa.schema(
        [
            ("at", pa.int64()),
            ("event_time", pa.timestamp("us", tz="UTC")),
            *[(name, pa.string()) for name in ("invocation_id", "app", "function", "trigger", "caller", "signal")],
            ("caller_history", pa.int64()),
            ("late", pa.bool_()),
        ]
    )

    def __init__(self) -> None:
        self.number = 0
        self._raised: list[dict[str, Any]] = []

    def advance(self, rows: pa.RecordBatch, watermark_us: int) -> pa.RecordBatch:
        self._raised, verdicts = [], []
        for row in rows.to_pylist():
            self.number += 1
            if row["signal"] is not None:
                self._raised.append(
                    {"at": row["at"], "incident_id": row["signal"], "opened": row["at"], "invocations": self.number}
                )
                continue
            names = ("event_time", "invocation_id", "app", "function", "trigger", "caller")
            verdicts.append(
                {name: row[name] for name in names}
                | {
                    "score": float(row["caller_history"]),
                    "p_value": 1 / self.number,
                    "anomalous": row["caller_history"] % 3 == 0,
                    "incident_id": None,
                    "reasons": [{"feature": "caller_history", "value": 1.0, "typical": 0.0, "share": 1.0}],
                    "model_version": "toy",
                }
            )
        return pa.RecordBatch.from_pylist(verdicts, schema=VERDICT)

    def raised(self) -> pa.RecordBatch:
        return pa.RecordBatch.from_pylist(self._raised, schema=INCIDENT)

    def snapshot(self) -> Tables:
        return {"number": pa.table({"number": [self.number]})}

    def restore(self, tables: Mapping[str, pa.Table]) -> None:
        self.number = tables["number"]["number"][0].as_py()


@dataclass(frozen=True)
class OneIncidents:
    def make(self, shard: int, shards: int) -> Incidents:
        return Incidents()


@dataclass(frozen=True)
class ToyReader:
    """Reads Parquet of INVOCATION rows in batches of a size; a row of the function "broken" is a dead letter."""

    batch_rows: int = 64

    def parts(self, ref: FileRef) -> list[FileRef]:
        return [ref]

    def read(self, ref: FileRef) -> Iterator[Conformed]:
        import pyarrow.parquet as pq

        for batch in pq.ParquetFile(ref.path).iter_batches(self.batch_rows):
            broken = np.array([name == "broken" for name in batch["function"].to_pylist()])
            letters = [
                {"source": ref.path, "position": int(position), "error": "broken", "raw": "{"}
                for position in np.flatnonzero(broken)
            ]
            rows = batch.filter(pa.array(~broken))
            yield Conformed(rows, pa.RecordBatch.from_pylist(letters, schema=DEAD_LETTER), 0)
