"""Training and replay, from paths to a version and from a version to incidents: what commands and notebooks call."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any, Final, Literal

import pyarrow as pa

from detectors import versions
from detectors.conform import ConformOptions
from detectors.function_features import NEEDED
from detectors.function_stage import CollateStage
from detectors.model import Model
from detectors.stages import Stages
from detectors.timeline import Tables, Timeline
from detectors.training import TrainingOptions
from detectors.training import train as fit
from detectors.wording import span
from models.calibration import PLAIN_BUDGET
from models.errors import InputError
from models.feedback import Feedback, read_feedback, standing
from pipelines.graph import Plan
from pipelines.jobs import Result, collect, run_bounded
from pipelines.progress import Progress, silent
from pipelines.reading import reading, reading_for
from pipelines.registry_storage import open_registry, open_storage
from pipelines.scratch import scratch
from pipelines.sources.files import expand
from pipelines.spool import drain
from pipelines.steps import FileReader

#: days of logs that hold each day of the week, a little less than seven
WEEK_DAYS: Final = 6.5
#: invocations below which a version would be noise
MIN_INVOCATIONS: Final = 200


@dataclass(frozen=True)
class TrainResult:
    """What a training came to.

    Attributes:
        version: its name in the registry.
        functions: how many were seen.
        invocations: how many were learned from.
        window: first and last completion, UTC.
        expected: false incidents a day that the default budget is expected to let through.
        notes: what a person should know, one sentence each.
        run: the account: records read, duplicates, dead letters.
    """

    version: str
    functions: int
    invocations: int
    window: tuple[datetime, datetime]
    expected: float
    notes: tuple[str, ...]
    run: dict[str, Any]


def train(
    inputs: Sequence[str],
    models: str | Path,
    *,
    options: TrainingOptions | None = None,
    conform: ConformOptions | None = None,
    caller_property: str | None = None,
    pseudonym_key: str | None = None,
    note: str = "",
    beam_args: Sequence[str] = (),
    progress: Progress = silent,
) -> TrainResult:
    """Learn what is normal from logs, and add a version to a registry.

    Args:
        inputs: files, folders and globs.
        models: the registry: a folder, made if missing, or azfs://account/container/path.
        options: how to fit.
        conform: how to read; by default as ``pipelines.reading`` has it.
        caller_property: key in Properties in which the app's owner logs who called; kept with the version.
        pseudonym_key: where the key is kept by which callers become pseudonyms, ``env:NAME`` or ``file:PATH``.
        note: kept with the version.
        beam_args: options for Beam.
        progress: told how far it is.

    Raises:
        InputError: nothing to read, or too little to learn from.
        RegistryError: the registry can't be written.
    """
    refs = expand(inputs)
    open_registry(models).ready()
    options = options or TrainingOptions()
    options = replace(options, feedback=options.feedback or feedback_of(models))
    conform = conform or reading(caller_property, pseudonym_key=pseudonym_key)
    pseudonyms = conform.pseudonyms()  # a key that can't be used is told before anything is read
    with scratch("lonetree-train-") as work:
        run, parcels = collect(
            refs,
            CollateStage(),
            work,
            columns=NEEDED,
            reader=FileReader.of(conform, NEEDED),
            beam_args=beam_args,
            progress=progress,
        )
        if run["scored"] < MIN_INVOCATIONS:
            raise InputError(
                "There is too little to learn from.",
                expected=f"at least {MIN_INVOCATIONS} invocations, better a week of them",
                received=f"{run['scored']:,} invocations; records that can't be read: {run['dead_letter']:,}",
                hint="Check that the paths hold AppRequests or FunctionAppLogs of function apps.",
            )

        def slices() -> Iterator[pa.RecordBatch]:
            return drain(Timeline(_Same()), parcels)

        model = fit(slices, options, progress=lambda step: progress(step, 0, None, ""))
    model = replace(model, caller_property=conform.caller_property, pseudonyms=pseudonyms)
    first, last = (datetime.fromtimestamp(us / 1e6, timezone.utc) for us in model.window)
    version = versions.save_model(model, open_registry(models), note=note)
    threshold = model.curve.threshold(PLAIN_BUDGET)
    return TrainResult(
        version=version,
        functions=len(model.judge.baselines),
        invocations=model.invocations,
        window=(first, last),
        expected=model.curve.rate(threshold),
        notes=(*model.notes, *_short_of_a_week(last - first)),
        run=run,
    )


def _short_of_a_week(covered: timedelta) -> list[str]:
    if covered >= timedelta(days=WEEK_DAYS):
        return []
    return [
        f"The logs cover {span(covered.total_seconds())}. What is usual on other days is not known yet, and few"
        " held-out days say little of how strange normal life gets: expect more false incidents, and train again"
        " on a week or more."
    ]


def feedback_of(models: str | Path) -> tuple[Feedback, ...]:
    """What people said about incidents, as it stands in a registry.

    Raises:
        BundleCorruptError: the file can't be read.
    """
    return tuple(standing(read_feedback(open_storage(models))))


def load_model(models: str | Path, version: str | None = None) -> Model:
    """A version of a registry, or its champion.

    Raises:
        RegistryError: there is none.
        BundleCorruptError, BundleForeignError, BundleNewerError: it can't be used.
    """
    return versions.load_model(open_registry(models), version)


def plan_for(
    model: Model,
    budget: float,
    feedback: tuple[Feedback, ...] = (),
    *,
    strange_only: bool = False,
    closed_only: bool = False,
) -> Plan:
    """The folds that judge with a model at a budget of false incidents a day; what feedback expects is marked.

    With ``strange_only`` there are verdicts only of what an incident may want, with ``closed_only`` incidents are told
    only when they close.
    """
    stages = Stages.of(model, budget, feedback, strange_only=strange_only, closed_only=closed_only)
    return Plan(stages.function, stages.caller, stages.incident, NEEDED)


def replay(
    inputs: Sequence[str],
    models: str | Path,
    output: str | Path,
    *,
    version: str | None = None,
    budget: float = 1.0,
    verdicts: Literal["anomalous", "all"] = "anomalous",
    conform: ConformOptions | None = None,
    pseudonym_key: str | None = None,
    beam_args: Sequence[str] = (),
    progress: Progress = silent,
) -> Result:
    """Judge logs with a version, and write verdicts, incidents, dead letters and the account of the run.

    Args:
        inputs: files, folders and globs.
        models: the registry's folder.
        output: where to write.
        version: the champion by default.
        budget: false incidents a day that the reader is willing to read, above 0.
        verdicts: which are written.
        conform: how to read; by default as ``pipelines.reading`` has it, callers as the version knows them.
        pseudonym_key: where the key is kept, if the version knows callers by pseudonyms.
        beam_args: options for Beam.
        progress: told how far it is.

    Raises:
        InputError: nothing to read, or an output that can't be written.
        ModelError: no such version, or one that can't be used.
    """
    if not budget > 0:
        raise InputError("The budget can't be kept.", expected="a number above 0", received=f"{budget:g}")
    model = load_model(models, version)
    conform = reading_for(model, pseudonym_key, conform)
    plan = plan_for(model, budget, feedback_of(models), strange_only=verdicts == "anomalous", closed_only=True)
    return run_bounded(
        expand(inputs),
        plan,
        Path(output),
        reader=FileReader.of(conform, plan.columns),
        verdicts=verdicts,
        beam_args=beam_args,
        progress=progress,
        about={
            "model_version": model.version,
            "budget": budget,
            "expected_false_per_day": round(model.curve.rate(model.curve.threshold(budget)), 3),
        },
    )


class _Same:
    """A fold that gives what it gets, in order."""

    def advance(self, rows: pa.RecordBatch, watermark_us: int) -> pa.RecordBatch:  # noqa: ARG002 - a Fold
        return rows

    def snapshot(self) -> Tables:
        return {}

    def restore(self, tables: Any) -> None:
        """Nothing to take over."""
