"""Two versions judged on the same logs, in bounded memory: the workflow behind ``lonetree models compare``."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pyarrow.dataset as ds

from detectors.analysis import Detection
from detectors.comparison import Comparison, compare
from detectors.schema import VERDICT
from pipelines.outputs import VERDICTS
from pipelines.progress import Progress, silent
from pipelines.registry_storage import open_registry
from pipelines.scratch import scratch
from pipelines.workflows import feedback_of, load_model, replay


def compare_on(
    inputs: Sequence[str],
    models: str | Path,
    a: str,
    b: str,
    *,
    budget: float = 1.0,
    pseudonym_key: str | None = None,
    beam_args: Sequence[str] = (),
    progress: Progress = silent,
) -> Comparison:
    """Judge logs with two versions and compare what they found; bad cases come from the registry's feedback.

    Args:
        inputs: files, folders and globs.
        models: the registry's folder.
        a: the version that runs; a name, or ``champion``.
        b: the version that may take its place.
        budget: false incidents a day.
        pseudonym_key: where the key is kept, if the versions know callers by pseudonyms.
        beam_args: options for Beam.
        progress: told how far it is.

    Raises:
        InputError: nothing to read.
        ModelError: no such version, or one that can't be used.
    """
    found = []
    for version in (a, b):
        # a slip of the pen is told before the logs are read, not after
        open_registry(models).resolve(version)
    with scratch("lonetree-compare-") as folder:
        for number, version in enumerate((a, b)):
            output = folder / str(number)
            result = replay(
                inputs,
                models,
                output,
                version=version,
                budget=budget,
                verdicts="all",
                pseudonym_key=pseudonym_key,
                beam_args=beam_args,
                progress=progress,
            )
            verdicts = ds.dataset(output / VERDICTS, schema=VERDICT, format="parquet").to_table()
            opens_at = load_model(models, version).curve.threshold(budget)
            found.append(Detection(verdicts, result.incidents, {}, opens_at, list(result.run["suppressed"])))
    return compare(found[0], found[1], feedback_of(models))
