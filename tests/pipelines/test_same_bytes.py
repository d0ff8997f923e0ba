"""Two machines that train from the same logs and seed get the same bytes, and so the same version."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from models.registry import Registry
from tests.conftest import Tenant

try:
    from numpy._core import _multiarray_umath as _umath
except ImportError:  # before NumPy 2
    from numpy.core import _multiarray_umath as _umath

ROOT = Path(__file__).parents[2]
#: another machine: other seeds of Python's hashes, other numbers of threads, a processor of which NumPy can use less
ELSEWHERE = {
    "PYTHONHASHSEED": "4242",
    "OMP_NUM_THREADS": "3",
    "OPENBLAS_NUM_THREADS": "1",
    "NUMBA_NUM_THREADS": "1",
    "NPY_DISABLE_CPU_FEATURES": " ".join(getattr(_umath, "__cpu_dispatch__", ())),
}
PIECES = 6


def scatter(logs: Path, folder: Path) -> None:
    """The same records in other files, of other names and sizes, in another order."""
    folder.mkdir()
    random = np.random.default_rng(11)
    for number, path in enumerate(sorted(logs.rglob("*.parquet"))):
        table = pq.read_table(path)
        piece = random.integers(0, PIECES, table.num_rows) ** 2 // PIECES
        for k in np.unique(piece).tolist():
            rows = random.permutation(np.flatnonzero(piece == k))
            pq.write_table(
                table.take(rows), folder / f"{(7 * k + 3 * number) % 10}-{number}-{k}.parquet", row_group_size=700
            )


def train(logs: Path, models: Path, workers: int) -> Registry:
    program = "from pipelines.cli import main; main()"
    words = ["train", "--input", str(logs), "--models", str(models), "--", f"--direct_num_workers={workers}"]
    command = [sys.executable, "-c", program, *words]
    subprocess.run(command, cwd=ROOT, check=True, env={**os.environ, **ELSEWHERE}, capture_output=True)
    return Registry(models)


@pytest.mark.slow
def test_the_same_records_in_other_files_give_the_same_version(tenant: Tenant, models: Path, tmp_path: Path) -> None:
    scatter(tenant.train, tmp_path / "logs")
    here, there = Registry(models), train(tmp_path / "logs", tmp_path / "models", workers=3)
    assert there.champion == here.champion
    assert there.get().digest == here.get().digest
    folders = [registry.storage.local_path(f"versions/{registry.champion}") for registry in (here, there)]
    files = [{path.name: path.read_bytes() for path in folder.iterdir()} for folder in folders if folder]
    assert files[0].keys() == files[1].keys()
    assert [name for name in files[0] if files[0][name] != files[1][name]] == []
