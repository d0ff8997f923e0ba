"""Operations in the logs, from which it is learned which functions' runs bring runs of which others."""

from __future__ import annotations

import numpy as np
import pyarrow as pa

from detectors.run_counts import went_well
from models.baselines import pair_codes
from models.downstream import Downstream
from models.hashing import hash_strings
from models.operation_log import OperationLog


class Operations:
    """Collated invocations as runs of numbered functions."""

    def __init__(self) -> None:
        self._log = OperationLog()
        self._numbers: dict[tuple[str, str], int] = {}
        self._triggers: list[str] = []

    def update(self, rows: pa.RecordBatch) -> None:
        """Take invocations, at least one, ordered by completion."""
        codes, names = pair_codes(rows.column("app"), rows.column("function"))
        first = np.unique(codes, return_index=True)[1]
        for name, row in zip(names, first.tolist(), strict=True):
            if self._numbers.setdefault(name, len(self._numbers)) == len(self._triggers):
                self._triggers.append(rows.column("trigger")[row].as_py() or "other")
        self._log.update(
            hash_strings(rows.column("operation_id")),
            np.array([self._numbers[name] for name in names], np.int64)[codes],
            np.asarray(rows.column("event_time").cast(pa.int64())),
            np.asarray(rows.column("at")),
            np.asarray(rows.column("item_count")).astype(np.float64),
            went_well(rows.column("succeeded"), rows.column("status")),
        )

    def learn(self) -> Downstream:
        """Who follows whom."""
        named = zip(self._numbers, self._triggers, strict=True)
        return self._log.learn([(app, function, trigger) for (app, function), trigger in named])
