"""The real runners of Beam: what they judge is what a replay in this process judges, to the bit."""

from __future__ import annotations

import random
from dataclasses import replace
from functools import partial

import pyarrow as pa
import pytest

from detectors.conform import conform_json
from detectors.order import with_at
from pipelines.cli.entry import run as lonetree
from pipelines.cli.failures import ExitCode
from pipelines.stream_job import run
from pipelines.workflows import plan_for
from tests.integration.kafka_broker import Broker
from tests.integration.on_beam import BUDGET, LINES, PATIENCE_S, Piecewise, feeds, job, outcome

pytestmark = pytest.mark.integration

MINUTE = 60_000_000


@pytest.mark.parametrize("runner", ["prism", "flink from its jar"], indirect=True)
def test_a_replay_elsewhere_gives_what_it_gives_here(runner, lines, expected, models, tmp_path):
    (tmp_path / "logs.ndjson").write_text("\n".join(lines) + "\n")
    words = ["--input", str(tmp_path / "logs.ndjson"), "--models", str(models), "--output", str(tmp_path / "out")]
    name, more = runner
    more = ["--budget", str(BUDGET), "--verdicts", "all", "--", f"--runner={name}", *more]
    assert lonetree(["replay", *words, *more]) == ExitCode.OK
    assert outcome(tmp_path / "out") == expected


@pytest.mark.parametrize("shards", [1, 3])
def test_a_stream_of_shuffled_logs_gives_what_a_replay_gives(runner, lines, expected, model, tmp_path, shards):
    shuffled = random.Random(shards).sample(lines, len(lines))
    (tmp_path / "logs").mkdir()
    (tmp_path / "logs" / "all.ndjson").write_text("\n".join(shuffled) + "\n")
    name, words = runner
    ended, counted = run(job(tmp_path, message_rows=300), replace(plan_for(model, BUDGET), shards=shards), name, words)
    assert ended
    assert counted["read"] == counted["invocations"] == LINES
    assert counted.get("late_function", 0) == 0
    assert outcome(tmp_path) == expected


def test_a_stream_in_many_steps_out_of_order_within_the_lateness_gives_what_a_replay_gives(
    runner, lines, expected, model, tmp_path, monkeypatch
):
    rows = conform_json([line.encode() for line in lines], "logs", 0).rows
    minutes = random.Random(8)
    arrival = [at + minutes.randrange(5 * MINUTE) for at in with_at(rows).column("at").to_pylist()]
    rows = rows.take(pa.array(sorted(range(rows.num_rows), key=arrival.__getitem__)))
    pieces = [rows.slice(start, LINES // 40) for start in range(0, rows.num_rows, LINES // 40)]

    feeds(monkeypatch, partial(Piecewise, pieces))
    name, words = runner
    live = job(tmp_path, lateness_us=5 * MINUTE)
    ended, counted = run(replace(live, sources=("fed:day",)), replace(plan_for(model, BUDGET), shards=2), name, words)
    assert ended
    assert (counted["invocations"], counted.get("late_function", 0)) == (LINES, 0)
    assert outcome(tmp_path) == expected


def test_a_stream_from_kafka_gives_what_a_replay_gives(runner, lines, expected, model, tmp_path):
    kafka = pytest.importorskip("confluent_kafka", reason="confluent-kafka is not installed")
    (tmp_path / "kafka").mkdir()
    broker = Broker(tmp_path / "kafka")
    try:
        broker.make_topic("logs", 3)
        producer = kafka.Producer({"bootstrap.servers": broker.bootstrap, "acks": "all", "log_level": 2})
        for number, line in enumerate(lines):
            producer.produce("logs", line.encode(), partition=number % 3)
        assert producer.flush(PATIENCE_S) == 0
        live = replace(job(tmp_path), sources=(f"kafka:logs?bootstrap={broker.bootstrap}",))
        name, words = runner
        ended, counted = run(live, plan_for(model, BUDGET), name, words)
    finally:
        broker.kill()
    assert ended
    assert counted["read"] == LINES
    assert outcome(tmp_path) == expected
