"""Other people's detectors on plain features, judged by the same rules: what Lonetree has to beat.

Each gives one score an invocation. Invocations above a threshold are grouped to incidents by function and caller,
a gap of half an hour ends one; of three thresholds the one that serves the detector best is kept.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timezone
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

#: silence of so long between two anomalous invocations of a function and caller begins a new incident
GAP_S: Final = 1_800.0
#: quantiles of the training scores above which an invocation is anomalous, tried in turn
THRESHOLDS: Final = (0.99, 0.999, 0.9999)
#: rows to fit on: more changes nothing for these detectors but their time
FIT_ROWS: Final = 60_000
#: rows that the pure Python ones learn from
SLOW_FIT_ROWS: Final = 10_000

#: first word of a TriggerReason without method -> the trigger's name
TRIGGERS: Final = {"This": "host-api", "(null)": "other"}

Scores = tuple[np.ndarray, np.ndarray]


@dataclass(frozen=True)
class Plain:
    """Plain features of a world: names and times of the test rows, and X (N, 7) float64 for both parts."""

    ids: np.ndarray
    start: np.ndarray  # seconds since 1970, UTC
    end: np.ndarray
    trigger: np.ndarray
    function: np.ndarray
    caller: np.ndarray
    X: np.ndarray


def plain(train: pa.Table, test: pa.Table) -> tuple[Plain, Plain]:
    """Both parts without copies; frequencies of functions and countries are those of training."""
    first, second = _unique(train), _unique(test)
    function = _codes(first["function"], first["function"]), _codes(first["function"], second["function"])
    country = _codes(first["country"], first["country"]), _codes(first["country"], second["country"])
    return tuple(
        Plain(**{k: part[k] for k in ("ids", "start", "end", "trigger", "function", "caller")}, X=_features(part, f, c))
        for part, f, c in zip((first, second), function, country, strict=True)
    )  # type: ignore[return-value]


def _unique(table: pa.Table) -> dict[str, np.ndarray]:
    properties = table["Properties"]
    field = {
        name: pc.struct_field(pc.extract_regex(properties, rf'"{key}":"(?P<x>[^"]*)"'), "x")
        for name, key in (("ids", "InvocationId"), ("reason", "TriggerReason"))
    }
    ids = field["ids"].to_numpy(zero_copy_only=False)
    host = pc.starts_with(table["SDKVersion"], "azurefunctions:").to_numpy()
    # the host's row comes first among copies
    order = np.lexsort((~host, ids))
    keep = np.sort(order[np.unique(ids[order], return_index=True)[1]])
    rows = table.take(pa.array(keep))
    text = {
        n: rows[n].to_numpy(zero_copy_only=False) for n in ("Name", "ClientIP", "UserAuthenticatedId", "ResultCode")
    }
    country = rows["ClientCountryOrRegion"].to_numpy(zero_copy_only=False)
    user, ip = text["UserAuthenticatedId"], text["ClientIP"]
    caller = np.where(user != "", user, np.where(ip != "0.0.0.0", ip, country))  # noqa: S104 (the mask of an address)
    start = rows["TimeGenerated"].cast(pa.int64()).to_numpy() / 1e6
    duration = rows["DurationMs"].to_numpy()
    reason = field["reason"].to_numpy(zero_copy_only=False)[keep]
    http = pc.match_substring(rows["Properties"], '"HttpMethod"').to_numpy()
    kind = np.array([r.split(" ")[1] if r.startswith("New ") else r.split(" ")[0] for r in reason])
    kind = np.array([TRIGGERS.get(k, k.lower()) for k in kind])
    return {
        "ids": ids[keep], "start": start, "end": start + duration / 1e3, "trigger": np.where(http, "http", kind),
        "function": text["Name"], "caller": caller, "country": country, "duration": duration,
        "failed": ~rows["Success"].to_numpy(), "refused": np.char.startswith(text["ResultCode"].astype(str), "4"),
    }  # fmt: skip


def _codes(known: np.ndarray, values: np.ndarray) -> np.ndarray:
    """log10 of how often each value occurred in training, 0 for never."""
    names, counts = np.unique(known, return_counts=True)
    at = np.minimum(np.searchsorted(names, values), len(names) - 1)
    return np.log10(1 + np.where(names[at] == values, counts[at], 0))


def _features(part: dict[str, np.ndarray], function: np.ndarray, country: np.ndarray) -> np.ndarray:
    hour = part["start"] / 3_600 % 24
    duration = np.log10(part["duration"] + 0.1)
    columns = [duration, part["failed"], part["refused"], hour, part["trigger"] == "http", function, country]
    return np.column_stack([np.asarray(c, np.float64) for c in columns])


def _sample(X: np.ndarray, n: int) -> np.ndarray:
    return X[np.random.default_rng(0).permutation(len(X))[:n]]


def isolation_forest(train: Plain, test: Plain) -> Scores:
    """scikit-learn's IsolationForest, 100 trees of 256."""
    from sklearn.ensemble import IsolationForest

    forest = IsolationForest(n_estimators=100, max_samples=256, random_state=0).fit(_sample(train.X, FIT_ROWS))
    return -forest.score_samples(_sample(train.X, FIT_ROWS)), -forest.score_samples(test.X)


def ecod(train: Plain, test: Plain) -> Scores:
    """PyOD's ECOD: tails of each feature's empirical distribution."""
    from pyod.models.ecod import ECOD

    model = ECOD().fit(_sample(train.X, FIT_ROWS))
    return model.decision_scores_, model.decision_function(test.X)


def hbos(train: Plain, test: Plain) -> Scores:
    """PyOD's HBOS: histograms of each feature."""
    from pyod.models.hbos import HBOS

    model = HBOS().fit(_sample(train.X, FIT_ROWS))
    return model.decision_scores_, model.decision_function(test.X)


def half_space_trees(train: Plain, test: Plain) -> Scores:
    """river's HalfSpaceTrees in order of time, learning only from training rows."""
    from river.anomaly import HalfSpaceTrees

    low, span = train.X.min(axis=0), np.ptp(train.X, axis=0) + 1e-9
    names = [str(k) for k in range(train.X.shape[1])]
    model = HalfSpaceTrees(n_trees=10, height=8, window_size=250, seed=0)
    known = np.clip((_sample(train.X, SLOW_FIT_ROWS) - low) / span, 0, 1)
    for row in known:
        model.learn_one(dict(zip(names, row.tolist(), strict=True)))

    # many rows are equal to three digits; each is scored once
    def score(X: np.ndarray) -> np.ndarray:
        rows, back = np.unique(np.round(np.clip((X - low) / span, 0, 1), 2), axis=0, return_inverse=True)
        scores = [model.score_one(dict(zip(names, row.tolist(), strict=True))) for row in rows]
        return np.array(scores)[back.ravel()]

    return score(known), score(test.X)


def beam_zscore(train: Plain, test: Plain) -> Scores:
    """Beam's ZScore on log duration, one a function, over its sliding window of 1,000."""
    import apache_beam as beam
    from apache_beam.ml.anomaly.detectors.zscore import ZScore

    before, after = np.zeros(len(train.X)), np.zeros(len(test.X))
    known = np.zeros(len(train.X), bool)
    for name in np.unique(np.concatenate([train.function, test.function])):
        model = ZScore()
        for part, out, last in ((train, before, 3_000), (test, after, None)):
            mine = np.flatnonzero(part.function == name)
            mine = mine[np.argsort(part.start[mine], kind="stable")]
            if last is not None:
                mine = mine[-last:]
                known[mine] = True
            for k in mine:
                row = beam.Row(x=float(part.X[k, 0]))
                out[k] = model.score_one(row)
                model.learn_one(row)
    return np.nan_to_num(before[known]), np.nan_to_num(after)


COMPARATORS: Final[dict[str, Callable[[Plain, Plain], Scores]]] = {
    "isolation forest": isolation_forest,
    "PyOD ECOD": ecod,
    "PyOD HBOS": hbos,
    "river HalfSpaceTrees": half_space_trees,
    "Beam ZScore": beam_zscore,
}


def verdicts(test: Plain, reference: np.ndarray, scores: np.ndarray, threshold: float) -> pa.Table:
    """The columns of a verdict that ``evaluate`` reads; p-values from the training scores ``reference``."""
    ordered = np.sort(reference)
    above = len(ordered) - np.searchsorted(ordered, scores, side="left")
    return pa.table(
        {
            "invocation_id": pa.array(test.ids, pa.string()),
            "event_time": pa.array((test.start * 1e6).astype(np.int64)).cast(pa.timestamp("us", tz="UTC")),
            "trigger": pa.array(test.trigger.astype(str), pa.string()),
            "score": scores,
            "p_value": (above + 1) / (len(ordered) + 1),
            "anomalous": scores > threshold,
        }
    )


def incidents(test: Plain, scores: np.ndarray, threshold: float) -> list[dict[str, Any]]:
    """Groups of invocations above the threshold by (function, caller), cut at gaps; opened when the first one ended."""
    mine = np.flatnonzero(scores > threshold)
    key = np.char.add(np.char.add(test.function[mine].astype(str), "|"), test.caller[mine].astype(str))
    order = np.lexsort((test.start[mine], key))
    mine, key = mine[order], key[order]
    if not len(mine):
        return []
    new = np.concatenate([[True], (key[1:] != key[:-1]) | (np.diff(test.start[mine]) > GAP_S)])
    groups = np.split(mine, np.flatnonzero(new)[1:])
    return [
        {
            "score": float(scores[g].max()),
            "opened": datetime.fromtimestamp(float(test.end[g].min()), timezone.utc).isoformat(),
            "invocation_ids": test.ids[g[:1_000]].tolist(),
            "kind": "anomaly",
            "functions": [str(test.function[g[0]])],
        }
        for g in groups
    ]
