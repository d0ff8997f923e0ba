"""After the rehearsal a day with late rows, restarts and silences has nothing compiled any more."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from models.jit import HAVE_NUMBA
from pipelines import watch
from pipelines.champion import Champion
from pipelines.checkpoint import Checkpoints
from pipelines.warm import rehearse
from pipelines.watch import Watch, WatchOptions
from pipelines.workflows import plan_for
from tests.conftest import Tenant
from tests.pipelines.live import Fed, Kept

ROWS = 6_000
SCRIPT = """
import json, sys
import numpy as np
from detectors.conform import conform_json
from pipelines.champion import Champion
from pipelines.engine import Engine
from pipelines.warm import rehearse
from tests.pipelines.live import completions, cut, play, play_late

def compiled():
    found = {}
    for name, module in list(sys.modules.items()):
        if name.split(".")[0] in ("models", "detectors"):
            for function in vars(module).values():
                for signature in getattr(function, "signatures", None) or ():
                    found.setdefault(f"{function.__module__}.{function.__name__}", set()).add(str(signature))
    return found

plan = Champion(sys.argv[1], 1.0).start().plan
rehearse(plan)
before = compiled()
rows = conform_json(open(sys.argv[2], "rb").read().splitlines(), "day", 0).rows
order = np.argsort(completions(rows), kind="stable")
play(Engine(plan, lateness_us=0), cut(rows, order, 300))
delay = (np.random.default_rng(1).random(len(order)) < 0.1) * 900
late = order[np.argsort(np.arange(len(order)) + delay, kind="stable")]
_, _, counts = play_late(plan, cut(rows, late, 300), 0, restarts=True)
assert counts["late"] > 100
after = compiled()
print(json.dumps([len(before), sorted(name for name in after if after[name] != before.get(name))]))
"""


@pytest.mark.skipif(not HAVE_NUMBA, reason="numba is not installed")
def test_a_day_with_late_rows_and_restarts_compiles_nothing_after_the_rehearsal(
    tenant: Tenant, models: Path, tmp_path: Path
):
    rows = [row for path in sorted(tenant.replay.glob("*.parquet")) for row in pq.read_table(path).to_pylist()]
    day = tmp_path / "day.ndjson"
    lines = [json.dumps({"Type": "AppRequests", **row}, default=lambda time: time.isoformat()) for row in rows[:ROWS]]
    day.write_text("\n".join(lines))
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, str(models), str(day)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    known, fresh = json.loads(done.stdout.splitlines()[-1])
    assert known > 20
    assert fresh == []


def test_it_leaves_the_plan_as_it_is(model):
    plan = plan_for(model, 1.0)
    tables = plan.function.make(0, 1).snapshot()
    assert rehearse(plan) > 1_000 or not HAVE_NUMBA
    assert plan.function.make(0, 1).snapshot() == tables


def test_a_rehearsal_that_fails_keeps_nobody_from_judging(models, tmp_path, monkeypatch, caplog):
    def stumble(plan):
        raise ValueError("made up")

    monkeypatch.setattr(watch, "rehearse", stumble)
    job = Watch({"fed": Fed()}, None, Champion(models, 1.0), Checkpoints(tmp_path), Kept(), WatchOptions(rehearse=True))
    job.stop()
    assert "the rehearsal failed: ValueError: made up" in caplog.text
