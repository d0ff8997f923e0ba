"""A small life to measure features against: one app, a few functions, some callers, from which baselines are fitted."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from detectors.caller_features import CallerFeatures, Reach
from detectors.features import FEATURE_NAMES
from detectors.function_features import FunctionFeatures, from_matrix
from detectors.order import in_order
from detectors.timeline import END
from models.baselines import Baselines, BaselineSketch
from models.hashing import hash_strings
from tests.detectors.rows import rows

SECOND = 1_000_000
MINUTE = 60 * SECOND
HOUR = 60 * MINUTE
DAY = 24 * HOUR
#: calls of Pay in an hour, by six callers in turn
PACE = 30


def calls(begin: int, hours: float, every: int = HOUR // PACE, **fields: Any) -> list[dict[str, Any]]:
    """Calls at an even pace, in us after the epoch; fields may be functions of the call's number."""
    out = []
    for number in range(int(hours * HOUR // every)):
        told = {name: value(number) if callable(value) else value for name, value in fields.items()}
        prefix = f"{fields.get('function', 'Pay')}-{fields.get('app', 'shop')}-{begin}"
        at = begin + number * every
        out.append({"invocation_id": f"{prefix}-{number}", "event_time": at, "country": "Germany", **told})
    return out


def usual_ms(number: int) -> float:
    """A run time, spread by a third around 100 ms in a way that is always the same."""
    return float(100.0 * np.exp(0.3 * np.sin(number * 2.399)))


def somebody(number: int) -> str:
    """One of six callers, in turn."""
    return f"address:192.0.2.{number % 6}"


def ordinary(begin: int, hours: float, **fields: Any) -> list[dict[str, Any]]:
    """Pay as it is used every day: nobody new, nothing slow, one call in fifty refused."""
    plain: dict[str, Any] = {
        "duration_ms": usual_ms,
        "caller": somebody,
        "succeeded": True,
        "status": lambda number: 404 if number % 50 == 49 else 200,
        "host_instance": "host-1",
        "app_version": "1.0",
    }
    return calls(begin, hours, **{**plain, **fields})


def timer(begin: int, hours: float, every: int = 5 * MINUTE, **fields: Any) -> list[dict[str, Any]]:
    """A function that runs by the clock."""
    plain: dict[str, Any] = {
        "function": "Tick",
        "trigger": "timer",
        "caller": "timer:Tick",
        "caller_source": "timer",
        "duration_ms": 50.0,
        "succeeded": True,
    }
    return calls(begin, hours, every, **{**plain, **fields})


def baselines_of(records: Sequence[dict[str, Any]], epoch_us: int = 0) -> Baselines:
    """What is usual, from records alone."""
    return sketch_of(rows(records, epoch_us) if epoch_us else rows(records)).fit()


def sketch_of(batch: pa.RecordBatch, cold: npt.NDArray[np.bool_] | None = None) -> BaselineSketch:
    """Counts of a batch; ``cold`` says which rows began on a fresh host."""
    sketch = BaselineSketch()
    index = sketch.function_index(batch["app"], batch["function"])
    cold = np.zeros(batch.num_rows, np.bool_) if cold is None else cold
    sketch.update(batch, index, cold, hash_strings(batch["invocation_id"]))
    return sketch


class Measured:
    """Features of rows by name, in order of completion."""

    def __init__(self, featured: pa.RecordBatch, raised: list[dict[str, Any]], callers: CallerFeatures) -> None:
        self.rows = featured
        self.callers = callers
        self.raised = raised
        both = [
            from_matrix(featured.column(f"{kind}_{who}")) for kind in ("raw", "value") for who in ("function", "caller")
        ]
        self._raw = np.concatenate(both[:2], axis=1)
        self._value = np.concatenate(both[2:], axis=1)
        self._ids = featured["invocation_id"].to_pylist()

    def raw(self, feature: str, prefix: str = "") -> npt.NDArray[Any]:
        """Raw feature of the rows whose invocation id begins so."""
        return self._raw[self._mine(prefix), FEATURE_NAMES.index(feature)]

    def value(self, feature: str, prefix: str = "") -> npt.NDArray[Any]:
        return self._value[self._mine(prefix), FEATURE_NAMES.index(feature)]

    def silences(self) -> list[dict[str, Any]]:
        return [row for row in self.raised if row["signal"] == "silence"]

    def _mine(self, prefix: str) -> npt.NDArray[Any]:
        return np.array([name.startswith(prefix) for name in self._ids])


def live(
    baselines: Baselines,
    *pieces: Sequence[dict[str, Any]],
    silence: float = 1e9,
    watermark_us: int | None = None,
    reach: Reach | None = None,
) -> Measured:
    """Features of all pieces together; with ``watermark_us`` time goes on so far behind them."""
    functions = FunctionFeatures(baselines, np.full(len(baselines.cohort), silence))
    callers = CallerFeatures(reach)
    batch = in_order(rows([record for piece in pieces for record in piece]))
    raised: list[dict[str, Any]] = []

    def advance(part: pa.RecordBatch, until: int) -> pa.RecordBatch:
        out = functions.advance(part, until)
        quiet = functions.raised()
        raised.extend([] if quiet is None else quiet.to_pylist())
        return out

    featured = advance(batch, batch["at"][-1].as_py() + 1)
    if watermark_us is not None:
        advance(batch.slice(0, 0), watermark_us)
    return Measured(callers.advance(featured, END), raised, callers)
