"""The records that were gathered from Azure, each alone and all together, through a whole replay."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from pipelines.workflows import replay

SAMPLES = Path(__file__).parents[2] / ".." / "shared" / "azure" / "sample-records.jsonl"

pytestmark = pytest.mark.skipif(not SAMPLES.exists(), reason="the shared sample records are not beside the project")

#: of each record: records read, and the app, function, trigger and caller that were judged
OUTCOMES: list[tuple[int, list[tuple[str, str, str, str]]]] = [
    (1, [("functionAppName", "functionName", "http", "geography:United States/Pennsylvania/Pittsburgh")]),
    (1, [("myapp", "ProcessOrder", "queue", "queue:orders")]),
    (0, []),  # a trace: a detail that joins nothing here
    (1, [("myapp", "Nightly", "timer", "timer:timer")]),
    (1, [("myapp", "Hello", "http", "geography:Finland")]),
    (1, [("test-function", "hello", "http", "unknown:unknown")]),
    (1, [("test-hello-world2", "hello", "http", "unknown:unknown")]),
    (1, [("mbranca-test-function", "hello", "other", "unknown:unknown")]),
]


def judged(lines: list[str], models: Path, folder: Path) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    logs = folder / "logs.jsonl"
    logs.write_text("\n".join(lines))
    result = replay([str(logs)], models, folder / "out", verdicts="all")
    return result.run, pq.read_table(folder / "out" / "verdicts").to_pylist()


@pytest.mark.parametrize("number", range(len(OUTCOMES)))
def test_each_record_alone_has_its_outcome(number: int, models: Path, tmp_path: Path) -> None:
    read, who = OUTCOMES[number]
    run, verdicts = judged([SAMPLES.read_text().splitlines()[number]], models, tmp_path)
    assert (run["read"], run["scored"], run["dead_letter"], run["duplicates"]) == (read, read, 0, 0)
    assert [(v["app"], v["function"], v["trigger"], v["caller"]) for v in verdicts] == who
    assert all(0.0 <= verdict["p_value"] <= 1.0 for verdict in verdicts)


def test_together_the_trace_joins_its_invocation_and_every_other_is_judged_once(models: Path, tmp_path: Path) -> None:
    lines = SAMPLES.read_text().splitlines()
    run, verdicts = judged(lines, models, tmp_path)
    assert (run["read"], run["scored"], run["details"], run["details_joined"]) == (7, 7, 1, 1)
    ids = {json.loads(line).get("Properties", {}).get("InvocationId") for line in lines} - {None}
    assert ids <= {verdict["invocation_id"] for verdict in verdicts}
    # an id means an invocation of its app and function: two records of different apps share one here
    assert len(verdicts) == len({(one["app"], one["invocation_id"]) for one in verdicts}) == 7
