"""Other ways to score invocations with Beam or river, timed on the same plain features.

Each is a function of X (n, 7) float64 and a fitted IsolationForest that scores every row once. What a pipeline costs to
start is not counted: ``timed`` takes the time of two rows off.
"""

from __future__ import annotations

import pickle
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import pyarrow as pa
from sklearn.ensemble import IsolationForest

Rows = np.ndarray
Rival = Callable[[Rows, IsolationForest], None]

#: rows that a forest is fitted on
FIT_ROWS: Final = 20_000
#: threads that each is tried on: where Python's lock is held throughout, two are slower than one
WORKERS: Final = (1, 2)
#: starts of two rows each, of which the fastest counts
STARTS: Final = 3
#: rows of a batch, for all that batch
BATCH_ROWS: Final = 1_024


#: threads of the pipelines that are built now
_workers = 1


@dataclass(frozen=True)
class Timed:
    """What scoring ``events`` rows took, s."""

    events: int
    wall_s: float
    cpu_s: float


def features(table: pa.Table) -> Rows:
    """Twelve plain features of AppRequests, float64[n, 12]; names count as numbers, as frequent users of forests do."""
    at = np.asarray(table["TimeGenerated"].cast(pa.int64())) / 3.6e9
    duration = np.log1p(np.asarray(table["DurationMs"]))
    named = (
        "Name",
        "AppRoleName",
        "ResultCode",
        "ClientIP",
        "ClientCountryOrRegion",
        "UserAuthenticatedId",
        "AppVersion",
    )
    codes = [np.asarray(table[name].combine_chunks().dictionary_encode().indices.fill_null(-1)) for name in named]
    columns = [duration, np.asarray(table["Success"]), at % 24, at // 24 % 7, np.asarray(table["ItemCount"]), *codes]
    return np.column_stack([np.asarray(column, np.float64) for column in columns])


def forest(X: Rows) -> IsolationForest:
    """The model that all of these score with, where they can: 100 trees of 256."""
    return IsolationForest(n_estimators=100, max_samples=256, random_state=0, n_jobs=1).fit(X[:FIT_ROWS])


def timed(rival: Rival, X: Rows, model: IsolationForest) -> Timed:
    """Time of all rows less that of two, on one thread or on two: whichever is faster by the clock."""
    return min((_timed(rival, X, model, workers) for workers in WORKERS), key=lambda took: took.wall_s)


def _timed(rival: Rival, X: Rows, model: IsolationForest, workers: int) -> Timed:
    global _workers
    _workers = workers
    spent = []
    rival(X[:2], model)  # imports what it needs
    for rows in (*[X[:2]] * STARTS, X):
        wall, cpu = time.perf_counter(), time.process_time()
        rival(rows, model)
        spent.append((time.perf_counter() - wall, time.process_time() - cpu))
    *starts, (wall_1, cpu_1) = spent
    # a start that was held up would be taken off as if all were so slow
    wall_0, cpu_0 = (min(times) for times in zip(*starts, strict=True))
    return Timed(len(X) - 2, max(wall_1 - wall_0, 1e-9), max(cpu_1 - cpu_0, 1e-9))


def per_event(X: Rows, model: IsolationForest) -> None:
    """A DoFn that calls score_samples for each event."""
    import apache_beam as beam

    with _pipeline() as pipeline:
        _ = pipeline | beam.Create(list(X)) | beam.Map(lambda row: float(-model.score_samples(row[None, :])[0]))


def batched(X: Rows, model: IsolationForest) -> None:
    """BatchElements, then score_samples."""
    import apache_beam as beam

    with _pipeline() as pipeline:
        batches = pipeline | beam.Create(list(X)) | beam.BatchElements(BATCH_ROWS, BATCH_ROWS)
        _ = batches | beam.FlatMap(lambda rows: (-model.score_samples(np.stack(rows))).tolist())


def run_inference(X: Rows, model: IsolationForest) -> None:
    """RunInference with SklearnModelHandlerNumpy."""
    import apache_beam as beam
    from apache_beam.ml.inference.base import RunInference
    from apache_beam.ml.inference.sklearn_inference import SklearnModelHandlerNumpy

    def score(fitted: Any, batch: Any, _: Any = None) -> Any:
        return -fitted.score_samples(np.stack(batch))

    with tempfile.TemporaryDirectory() as folder:
        handler = SklearnModelHandlerNumpy(
            _saved(model, folder), inference_fn=score, min_batch_size=BATCH_ROWS, max_batch_size=BATCH_ROWS
        )
        with _pipeline() as pipeline:
            _ = pipeline | beam.Create(list(X)) | RunInference(handler)


def beam_zscore(X: Rows, _: IsolationForest) -> None:
    """apache_beam.ml.anomaly with ZScore on the first feature."""
    import apache_beam as beam
    from apache_beam.ml.anomaly.detectors.zscore import ZScore
    from apache_beam.ml.anomaly.transforms import AnomalyDetection

    rows = [(0, beam.Row(x=float(row[0]))) for row in X]
    with _pipeline() as pipeline:
        _ = pipeline | beam.Create(rows) | AnomalyDetection(ZScore(features=["x"]))


def beam_pyod(X: Rows, _: IsolationForest) -> None:
    """apache_beam.ml.anomaly with its adapter for PyOD's IForest."""
    import apache_beam as beam
    from apache_beam.ml.anomaly.detectors.pyod_adapter import PyODFactory
    from apache_beam.ml.anomaly.transforms import AnomalyDetection
    from pyod.models.iforest import IForest

    rows = [(0, beam.Row(**{f"x{k}": float(v) for k, v in enumerate(row)})) for row in X]
    with tempfile.TemporaryDirectory() as folder:
        path = _saved(IForest(random_state=0, n_jobs=1).fit(X if len(X) > 2 else np.vstack([X] * 64)), folder)
        with _pipeline() as pipeline:
            _ = pipeline | beam.Create(rows) | AnomalyDetection(PyODFactory.create_detector(path))


def half_space_trees(X: Rows, _: IsolationForest) -> None:
    """river's HalfSpaceTrees, 10 trees, score then learn, in plain Python without a pipeline."""
    from river.anomaly import HalfSpaceTrees

    low, span = X.min(axis=0), np.ptp(X, axis=0) + 1e-9
    model = HalfSpaceTrees(n_trees=10, height=8, window_size=250, seed=0)
    names = [str(k) for k in range(X.shape[1])]
    for row in (X - low) / span:
        values = dict(zip(names, row.tolist(), strict=True))
        model.score_one(values)
        model.learn_one(values)


#: name -> how, and the most rows it gets: slow ones get few, their rate is what counts
RIVALS: Final[dict[str, tuple[Rival, int]]] = {
    "per-event DoFn, scikit-learn": (per_event, 200),
    "BatchElements, scikit-learn": (batched, 30_000),
    "RunInference, SklearnModelHandlerNumpy": (run_inference, 30_000),
    "Beam ml.anomaly, ZScore": (beam_zscore, 5_000),
    "Beam ml.anomaly, PyOD IForest": (beam_pyod, 5_000),
    "river HalfSpaceTrees, no pipeline": (half_space_trees, 10_000),
}


def _pipeline() -> Any:
    import apache_beam as beam
    from apache_beam.options.pipeline_options import PipelineOptions

    mode = "multi_threading" if _workers > 1 else "in_memory"
    options = PipelineOptions(direct_num_workers=_workers, direct_running_mode=mode)
    return beam.Pipeline(runner="apache_beam.runners.portability.fn_api_runner.FnApiRunner", options=options)


def _saved(model: Any, folder: str) -> str:
    # Beam's own handlers take a pickle and nothing else; this one is ours, and gone in a moment
    path = Path(folder) / "model.pickle"
    path.write_bytes(pickle.dumps(model))
    return str(path)
