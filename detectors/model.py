"""The model: all that training learned and all that scoring needs, to and from the tables and documents of a bundle."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timezone
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from detectors.features import FEATURE_NAMES
from detectors.judge import Judge, judge_from, tables_of
from models.baselines import US
from models.calibration import PLAIN_BUDGET, BudgetCurve
from models.downstream import Downstream
from models.errors import BundleForeignError

Vector = npt.NDArray[Any]

#: changes whenever features or state change their meaning, so that an old bundle is never misread
SCHEMA: Final = "lonetree.model/20"


@dataclass(frozen=True, repr=False)
class Model:
    """What a version of the registry holds.

    Attributes:
        judge: scores events.
        silence_nats: float64, per baseline row: expected calls over dispersion after which silence is strange.
        state: tables of both stages at the end of training, named ``function/...`` and ``caller/...``.
        curve: false incidents a day by threshold.
        window: (first, last) completion seen in training, UTC us.
        invocations: how many were seen.
        notes: what a person should know about the training, one sentence each.
        version: the registry's name for it; empty before it has one.
        reference: how surprising the held-out part of the window was, by function and feature, for ``detectors.drift``.
        caller_property: key in Properties in which the app's owner logs who called; logs to judge are read by it, too.
        downstream: which functions' runs bring runs of which others.
        pseudonyms: of which key callers are known by, see ``ConformOptions.pseudonyms``; None: they are known by names.
    """

    judge: Judge
    silence_nats: Vector
    state: Mapping[str, pa.Table]
    curve: BudgetCurve
    window: tuple[int, int]
    invocations: int
    notes: tuple[str, ...] = ()
    version: str = ""
    reference: pa.Table | None = None
    caller_property: str | None = None
    pseudonyms: str | None = None
    downstream: Downstream = field(default_factory=Downstream.none)

    def __repr__(self) -> str:
        first, last = (f"{at:%Y-%m-%d %H:%M}" for at in self.span)
        return (
            f"Model({self.version or 'unsaved'}: {self.invocations:,} invocations of "
            f"{len(self.judge.baselines):,} functions, {first} to {last} UTC; one false incident a day from a score of "
            f"{self.curve.threshold(PLAIN_BUDGET):.2f})"
        )

    @property
    def span(self) -> tuple[datetime, datetime]:
        """The window as times, UTC."""
        first, last = (datetime.fromtimestamp(at / US, timezone.utc) for at in self.window)
        return first, last

    def part(self, prefix: str) -> dict[str, pa.Table]:
        """The state's tables of one stage: ``function`` or ``caller``."""
        return {n.removeprefix(prefix + "/"): t for n, t in self.state.items() if n.startswith(prefix + "/")}

    def to_parts(self) -> tuple[dict[str, pa.Table], dict[str, Any]]:
        """Tables and documents for a bundle."""
        tables = {f"judge-{name}": table for name, table in tables_of(self.judge).items()}
        tables["silence"] = pa.table({"nats": self.silence_nats})
        tables.update({f"downstream-{name}": table for name, table in self.downstream.to_tables().items()})
        if self.reference is not None:
            tables["reference"] = self.reference
        tables.update({f"state-{name.replace('/', '-')}": table for name, table in self.state.items()})
        document = {
            "schema": SCHEMA,
            "features": list(FEATURE_NAMES),
            "curve": self.curve.to_json(),
            "window": list(self.window),
            "invocations": self.invocations,
            "notes": list(self.notes),
        }
        if self.caller_property is not None:
            document["caller_property"] = self.caller_property
        if self.pseudonyms is not None:
            document["pseudonyms"] = self.pseudonyms
        return tables, {"model": document}

    @classmethod
    def from_parts(cls, tables: Mapping[str, pa.Table], documents: Mapping[str, Any], version: str = "") -> Model:
        """The inverse of ``to_parts``.

        Raises:
            BundleForeignError: for a bundle of another schema or other features.
        """
        document = documents.get("model", {})
        found = (document.get("schema"), tuple(document.get("features", ())))
        if found != (SCHEMA, FEATURE_NAMES):
            raise BundleForeignError(
                "This bundle was trained with other features.",
                expected=SCHEMA,
                received=str(found[0]),
                hint="Train a new version from the logs: lonetree train --input LOGS --models DIR",
            )
        judge = judge_from({n.removeprefix("judge-"): t for n, t in tables.items() if n.startswith("judge-")})
        state = {n.removeprefix("state-").replace("-", "/"): t for n, t in tables.items() if n.startswith("state-")}
        return cls(
            judge=judge,
            silence_nats=np.asarray(tables["silence"].column("nats").to_numpy()).copy(),
            state=state,
            curve=BudgetCurve.from_json(document["curve"]),
            window=(int(document["window"][0]), int(document["window"][1])),
            invocations=int(document["invocations"]),
            notes=tuple(document["notes"]),
            version=version,
            reference=tables.get("reference"),
            caller_property=document.get("caller_property"),
            pseudonyms=document.get("pseudonyms"),
            downstream=Downstream.from_tables(
                {n.removeprefix("downstream-"): t for n, t in tables.items() if n.startswith("downstream-")}
            ),
        )
