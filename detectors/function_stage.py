"""The first stage as a fold: collate, count what the logs carry, then what the function's own timeline says."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy.typing as npt
import pyarrow as pa

from detectors.collate import Collate
from detectors.coverage import Tally
from detectors.function_features import FunctionFeatures, Usual, own_rows
from detectors.local import Chain
from detectors.timeline import Fold
from models.baselines import Baselines
from models.downstream import Downstream


@dataclass(frozen=True)
class CollateStage:
    """Collate alone: the first stage of training, which learns from what it gives."""

    def make(self, shard: int, shards: int) -> Fold:  # noqa: ARG002 - the same in each shard
        """The fold of one shard."""
        return Chain(Collate(), Tally())


@dataclass(frozen=True)
class FunctionStage:
    """Makes the fold of each shard; plain data.

    Attributes:
        baselines: what is usual.
        silence_nats: float64[len(baselines.cohort)], expected calls over dispersion after which silence is strange.
        state: tables of ``FunctionFeatures.snapshot`` at the end of training, or None for a cold start.
        downstream: who follows whom.
    """

    baselines: Baselines
    silence_nats: npt.NDArray[Any]
    state: Mapping[str, pa.Table] | None = None
    downstream: Downstream | None = None

    def make(self, shard: int, shards: int) -> Fold:
        """The fold of one shard; shards are by app."""
        features = FunctionFeatures(self.baselines, self.silence_nats, self.usual, self.downstream)
        if self.state is not None:
            features.restore(own_rows(self.state, "app_key", shard, shards))
            features.disarm()
        return Chain(Collate(), Tally(), features)

    @cached_property
    def usual(self) -> Usual:
        """What all shards ask of the baselines."""
        return Usual.of(self.baselines)
