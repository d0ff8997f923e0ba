"""Settings for all tests, and one small tenant with its model, made once for all of them.

Hypothesis measures no time, because a first call may compile or import for seconds. A property is tried with 50
examples unless it says how many; ``pytest --hypothesis-profile=thorough`` takes 2,000 where none is said.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import settings

if TYPE_CHECKING:
    from detectors.model import Model

settings.register_profile("lonetree", deadline=None, max_examples=50)
settings.register_profile("thorough", deadline=None, max_examples=2_000)
settings.load_profile("lonetree")

#: a Saturday and two working days to learn from, one to judge: about 25,000 and 12,000 invocations
TENANT_SEED, TENANT_DAYS, TENANT_TRAIN_DAYS, TENANT_SCALE = 3, 4, 3, 0.03
#: s that a worker waits for another to make what they share
WAIT_S = 300.0


@dataclass(frozen=True)
class Tenant:
    """A simulated tenant's logs, never to be written to.

    Attributes:
        folder: all of it.
        train, replay: folders of AppRequests Parquet, with traces and exceptions below.
        truth: Parquet of InvocationId and scenario.
    """

    folder: Path

    @property
    def train(self) -> Path:
        return self.folder / "train"

    @property
    def replay(self) -> Path:
        return self.folder / "replay"

    @property
    def truth(self) -> Path:
        return self.folder / "truth.parquet"


@pytest.fixture(scope="session")
def shared_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of this test run: all workers of pytest-xdist see the same."""
    base = tmp_path_factory.getbasetemp()
    folder = (base.parent if os.environ.get("PYTEST_XDIST_WORKER") else base) / "shared"
    folder.mkdir(exist_ok=True)
    return folder


def once(folder: Path, make: Callable[[Path], object]) -> Path:
    """Have a folder made by the first process that asks; the others wait for it."""
    from models.storage import LocalStorage

    done = folder.with_suffix(".done")
    with LocalStorage(folder.parent).lock(f"{folder.name}.lock", WAIT_S):
        if not done.exists():
            make(folder)
            done.touch()
    return folder


@pytest.fixture(scope="session")
def tenant(shared_folder: Path) -> Tenant:
    """The logs of a small tenant, with every kind of trouble in the last day."""
    from pipelines.simulate import simulate

    def make(folder: Path) -> None:
        simulate(folder, seed=TENANT_SEED, days=TENANT_DAYS, train_days=TENANT_TRAIN_DAYS, scale=TENANT_SCALE)

    return Tenant(once(shared_folder / "tenant", make))


@pytest.fixture(scope="session")
def models(shared_folder: Path, tenant: Tenant) -> Path:
    """A registry with one version, trained on the tenant's first days; never to be written to."""
    from pipelines.workflows import train

    return once(shared_folder / "models", lambda folder: train([str(tenant.train)], folder))


@pytest.fixture(scope="session")
def model(models: Path) -> Model:
    """What training made of the tenant's first days."""
    from pipelines.workflows import load_model

    return load_model(models)
