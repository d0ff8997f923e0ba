"""Logs of function apps that ``lonetree simulate`` did not write: plainly made AppRequests rows, and odd types."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta, timezone
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from detectors.conform.callers import MASKED

START = datetime(2026, 9, 1, tzinfo=timezone.utc)
REASONS = {
    "http": "This function was programmatically called via the host APIs.",
    "queue": "New queue message detected on 'orders'.",
    "timer": "Timer fired at 2026-09-01T00:00:00.0000000+00:00",
    "servicebus": "New ServiceBus message detected on 'bills'.",
}
KINDS = ("http", "queue", "timer", "servicebus")


@dataclass(frozen=True)
class Call:
    """What a row is made of."""

    when: datetime
    app: str
    function: str
    kind: str
    ok: bool
    ms: float
    id: str
    address: str
    key: str


def calls(
    count: int,
    hours: float,
    seed: int,
    *,
    start: datetime = START,
    functions: int = 4,
    kind: str | None = None,
    failing: float = 0.02,
    ms: float | None = None,
    masked: bool = False,
) -> list[Call]:
    """Calls at uniformly random times, in order."""
    rng = np.random.default_rng(seed)
    found = []
    for i, second in enumerate(np.sort(rng.uniform(0, hours * 3_600, count)).tolist()):
        number = int(rng.integers(functions))
        caller = int(rng.integers(12))
        found.append(
            Call(
                when=start + timedelta(microseconds=round(second * 1e6)),
                app=f"app-{number % 2}",
                function=f"Function{number}",
                kind=kind or KINDS[number % len(KINDS)],
                ok=bool(rng.random() >= failing),
                # quarters of a millisecond, which every type of number can hold
                ms=float(np.round(rng.lognormal(4.0, 0.6) * 4) / 4) if ms is None else ms,
                id=f"{seed:08x}-0000-4000-8000-{i:012x}",
                address=MASKED if masked else f"198.51.100.{caller}",
                key=f"key-{caller}",
            )
        )
    return found


def properties(call: Call) -> dict[str, str]:
    """The Properties of a row."""
    found = {
        "InvocationId": call.id,
        "FullName": f"Functions.{call.function}",
        "TriggerReason": REASONS[call.kind],
        "Category": "Host.Results",
        "HostInstanceId": f"host-{call.when.day}",
        "FunctionExecutionTimeMs": str(call.ms),
        "KeyHash": call.key,
    }
    return found | ({"HttpMethod": "GET", "HttpPath": f"/api/{call.function}"} if call.kind == "http" else {})


def seven_digits(moment: datetime) -> str:
    """A time as Azure writes it."""
    return moment.strftime("%Y-%m-%dT%H:%M:%S.%f") + "0Z"


def record(call: Call) -> dict[str, Any]:
    """A row of AppRequests as JSON has it."""
    http = call.kind == "http"
    return {
        "TimeGenerated": seven_digits(call.when),
        "AppRoleName": call.app,
        "Name": call.function,
        "Success": call.ok,
        "ResultCode": ("200" if call.ok else "500") if http else "0",
        "DurationMs": call.ms,
        "ClientIP": call.address,
        "ItemCount": 1,
        "SDKVersion": "azurefunctions: 4.1037.0.0",
        "Properties": properties(call),
    }


Column = Callable[[list[Call]], pa.Array]


def table(of: list[Call], **columns: Column | None) -> pa.Table:
    """Rows of AppRequests as Parquet has them, some columns of other types, or none."""
    records = [record(call) for call in of]
    arrays = {name: pa.array([one[name] for one in records]) for name in records[0]}
    arrays["TimeGenerated"] = pa.array([call.when for call in of], pa.timestamp("us", "UTC"))
    arrays["Properties"] = pa.array([json.dumps(properties(call)) for call in of])
    for name, column in columns.items():
        arrays.pop(name, None)
        if column is not None:
            arrays[name] = column(of)
    return pa.table(arrays)


def write(path: Path, found: pa.Table) -> Path:
    """One Parquet file, its folder made."""
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(found, path)
    return path


def moved(of: list[Call], **change: Any) -> Call:
    """The first call, changed, under another id."""
    return replace(of[0], **{"id": f"{change}", **change})


#: the same rows, other types of columns
TYPES: dict[str, dict[str, Column | None]] = {
    "times in ns": {"TimeGenerated": lambda of: pa.array([c.when for c in of], pa.timestamp("ns", "UTC"))},
    "times without a zone": {
        "TimeGenerated": lambda of: pa.array([c.when.replace(tzinfo=None) for c in of], pa.timestamp("us"))
    },
    "times of another zone": {
        "TimeGenerated": lambda of: pa.array([c.when for c in of], pa.timestamp("us", "Asia/Tokyo"))
    },
    "times as text of seven digits": {"TimeGenerated": lambda of: pa.array([seven_digits(c.when) for c in of])},
    "times as text with a blank": {
        "TimeGenerated": lambda of: pa.array([f"{c.when:%Y-%m-%d %H:%M:%S.%f}" for c in of])
    },
    "success as text": {"Success": lambda of: pa.array([str(c.ok) for c in of])},
    "success as a number": {"Success": lambda of: pa.array([int(c.ok) for c in of], pa.int8())},
    "duration as a decimal": {
        "DurationMs": lambda of: pa.array([Decimal(f"{c.ms:.4f}") for c in of], pa.decimal128(18, 4))
    },
    "duration as text": {"DurationMs": lambda of: pa.array([f"{c.ms:.4f}" for c in of])},
    "result code as a number": {"ResultCode": lambda of: pa.array([int(record(c)["ResultCode"]) for c in of])},
    "properties as a struct": {"Properties": lambda of: pa.array([properties(c) for c in of])},
    "properties as a map": {
        "Properties": lambda of: pa.array([list(properties(c).items()) for c in of], pa.map_(pa.string(), pa.string()))
    },
    "properties as a dictionary": {
        "Properties": lambda of: pa.array([json.dumps(properties(c)) for c in of]).dictionary_encode()
    },
    "names as large strings": {"Name": lambda of: pa.array([c.function for c in of], pa.large_string())},
    "names as a dictionary": {"Name": lambda of: pa.array([c.function for c in of]).dictionary_encode()},
    "names as a view": {"Name": lambda of: pa.array([c.function for c in of]).cast(pa.string_view())},
    "names as bytes": {"Name": lambda of: pa.array([c.function.encode() for c in of], pa.binary())},
    "counts as text": {"ItemCount": lambda of: pa.array(["1" for _ in of])},
    "counts missing": {"ItemCount": None},
    "other columns besides": {"Odd": lambda of: pa.array([{"a": [1, 2]} for _ in of])},
}
