"""A day's log, and what a replay in this process makes of it, for the tests that run it elsewhere."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from detectors.model import Model
from pipelines.jobs import run_bounded
from pipelines.sources.files import expand
from pipelines.workflows import plan_for
from tests.conftest import Tenant
from tests.integration import flink
from tests.integration.on_beam import BUDGET, LINES, Outcome, Words, flink_words, prism_words, verdicts
from tests.pipelines.live import last_told

# a JVM that lives for a minute or two spends most of it on compiling what it runs as if it were to run for days
os.environ.setdefault("JAVA_TOOL_OPTIONS", "-XX:TieredStopAtLevel=1 -XX:+UseSerialGC")


def as_lines(folder: Path) -> list[str]:
    """The invocations of a folder of Parquet as lines that Azure could have written, by time."""
    rows = [row for path in sorted(folder.glob("*.parquet")) for row in pq.read_table(path).to_pylist()]
    rows.sort(key=lambda row: row["TimeGenerated"])
    return [json.dumps({"Type": "AppRequests", **row}, default=lambda time: time.isoformat()) for row in rows]


@pytest.fixture(scope="module")
def lines(tenant: Tenant) -> list[str]:
    day = as_lines(tenant.replay)
    middle = len(day) // 2
    return day[middle : middle + LINES]


@pytest.fixture(scope="module")
def expected(lines: list[str], model: Model, tmp_path_factory: pytest.TempPathFactory) -> Outcome:
    folder = tmp_path_factory.mktemp("expected")
    (folder / "logs").mkdir()
    (folder / "logs" / "all.ndjson").write_text("\n".join(lines) + "\n")
    found = run_bounded(
        expand([str(folder / "logs")]), plan_for(model, BUDGET), folder / "out", verdicts="all", workers=1
    )
    assert found.run["scored"] == LINES
    assert len(found.incidents) > 5
    return verdicts(folder / "out"), last_told(found.incidents)


@pytest.fixture(scope="module")
def flink_server() -> Iterator[str]:
    with flink.serving() as endpoint:
        yield endpoint


@pytest.fixture(params=["prism", "flink"])
def runner(request: pytest.FixtureRequest) -> Words:
    if request.param == "prism":
        return prism_words()
    if request.param == "flink from its jar":
        return flink_words(f"--flink_job_server_jar={flink.job_server()}")
    return flink_words(f"--job_endpoint={request.getfixturevalue('flink_server')}")
