"""``lonetree watch`` killed ten times at random moments over recorded logs: nothing is lost, nothing comes twice."""

from __future__ import annotations

import random
import shutil
import signal
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import orjson
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

from detectors.order import concat, with_at
from pipelines.checkpoint import Checkpoints
from pipelines.engine import Given
from pipelines.simulate import simulate
from pipelines.sinks.outbox import Outbox
from pipelines.sources.files import expand, read
from pipelines.workflows import replay
from tests.conftest import TENANT_DAYS, TENANT_SCALE, TENANT_SEED, TENANT_TRAIN_DAYS
from tests.pipelines.live import canonical, check_late, identity, last_told

pytestmark = pytest.mark.integration

KILLS, LATE_KILLS = 10, 3
LINES = 8_000
#: pieces of the logs that come while the job runs, between two kills
PIECES = 40
#: s that it lives after it is ready, at most
LIFE_S = 2.5
READY_S = 300.0


@pytest.fixture(scope="module")
def lines(tmp_path_factory: Any) -> list[bytes]:
    """Records of the tenant's replayed day as lines, in order of completion."""
    folder = tmp_path_factory.mktemp("recorded")
    simulate(
        folder, seed=TENANT_SEED, days=TENANT_DAYS, train_days=TENANT_TRAIN_DAYS, scale=TENANT_SCALE,
        format="ndjson", traces=False,
    )  # fmt: skip
    (path,) = (folder / "replay").glob("*.ndjson")
    found = path.read_bytes().splitlines(keepends=True)
    rows = with_at(concat([piece.rows for ref in expand([str(path)]) for piece in read(ref)]))
    at = dict(zip(rows.column("position").to_pylist(), rows.column("at").to_pylist(), strict=True))
    order = sorted(at, key=lambda position: at[position])
    return [found[position] for position in order][:LINES]


class Watched:
    """A job in a process of its own, over a log that grows."""

    def __init__(self, folder: Path, models: Path, budget: float = 1.0) -> None:
        self.folder, self.models, self.budget = folder, models, budget
        self.logs = folder / "logs"
        self.logs.mkdir()
        self.state = folder / "state"
        self.incidents = folder / "incidents.ndjson"

    def start(self, *more: str, under: Sequence[str] = ()) -> subprocess.Popen[str]:
        words = ["watch", "--source", f"files:{self.logs}", "--models", str(self.models)]
        words += ["--sink", f"ndjson:{self.incidents}", "--state", str(self.state)]
        words += [
            "--output",
            str(self.folder / "out"),
            "--verdicts",
            "all",
            "--http",
            "0",
            "--budget",
            str(self.budget),
        ]
        words += ["--allowed-lateness", "0", "--idle-after", "1e9", "--checkpoint-every", "1", *more]
        code = f"from pipelines.cli.entry import main; import sys; sys.argv = ['lonetree', *{words!r}]; main()"
        return subprocess.Popen([*under, sys.executable, "-c", code], stderr=subprocess.PIPE, text=True)

    def append(self, found: list[bytes]) -> None:
        with (self.logs / "app.ndjson").open("ab") as file:
            file.write(b"".join(found))

    def told(self) -> list[dict[str, Any]]:
        """All that the sink got."""
        return [orjson.loads(line) for line in self.incidents.read_bytes().splitlines()]

    def replayed(self, whole: list[bytes]) -> Given:
        """What a replay of logs gives."""
        recorded, out = self.folder / "recorded.ndjson", self.folder / "replayed"
        recorded.write_bytes(b"".join(whole))
        replay([str(recorded)], self.models, out, verdicts="all", budget=self.budget)
        incidents = [orjson.loads(line) for line in (out / "incidents.ndjson").open("rb")]
        return Given(pq.read_table(out / "verdicts").to_batches(), incidents)

    def check(self, whole: list[bytes]) -> None:
        """Compare with a replay of the same logs."""
        replayed, told = self.replayed(whole), self.told()
        assert canonical(pq.read_table(self.folder / "out" / "verdicts")) == canonical(replayed.verdicts)
        assert len({identity(incident) for incident in told}) == len(told)
        ours, theirs = last_told(told), last_told(replayed.incidents)
        assert set(ours) == set(theirs)
        assert {name: one["invocation_ids"] for name, one in ours.items()} == {
            name: one["invocation_ids"] for name, one in theirs.items()
        }


def ready(process: subprocess.Popen[str]) -> str:
    """Wait for the line that says where it listens, and give the address."""
    timer = threading.Timer(READY_S, process.kill)
    timer.start()
    assert process.stderr is not None
    line = ""
    for line in process.stderr:
        if line.startswith("http://"):
            break
    timer.cancel()
    threading.Thread(target=process.stderr.read, daemon=True).start()
    return line.split("/healthz")[0]


def records(address: str) -> int:
    """How many records the job has read since its state began; 0 where it does not answer."""
    try:
        with urllib.request.urlopen(f"{address}/metrics", timeout=10.0) as answer:  # noqa: S310 - of this machine
            lines = answer.read().decode().splitlines()
    except OSError:
        return 0
    return next((int(float(line.split()[1])) for line in lines if line.startswith("lonetree_records_total")), 0)


def until(done: Callable[[], bool]) -> None:
    deadline = time.monotonic() + READY_S
    while not done():
        assert time.monotonic() < deadline, "it took too long"
        time.sleep(0.05)  # another process can only be watched


@pytest.fixture
def watched(tmp_path: Path, models: Path) -> Iterator[Watched]:
    yield Watched(tmp_path, models)
    shutil.rmtree(tmp_path, ignore_errors=True)


def test_ten_kills_lose_nothing_and_repeat_nothing(watched, lines):
    generator = random.Random(1)
    share = len(lines) // (KILLS + 1)
    for kill in range(KILLS):
        process = watched.start()
        ready(process)
        dies = time.monotonic() + generator.uniform(0.05, LIFE_S)
        mine = lines[kill * share : (kill + 1) * share]
        step = -(-len(mine) // PIECES)
        for begin in range(0, len(mine), step):
            watched.append(mine[begin : begin + step])
            time.sleep(min(LIFE_S / PIECES, max(dies - time.monotonic(), 0.0)))
        time.sleep(max(dies - time.monotonic(), 0.0))
        process.send_signal(signal.SIGKILL)
        process.wait()
    watched.append(lines[KILLS * share :])
    process = watched.start("--until-idle", "0")
    ready(process)
    assert process.wait(READY_S) == 0
    watched.check(lines)


def test_killed_what_came_in_time_is_as_if_nothing_had_come_late(watched, lines):
    watched.budget = 20.0
    generator = random.Random(2)
    some = lines[:4_000]
    delay = [generator.choice([0, 0, 0, 0, 0, 500]) for _ in some]
    arriving = [some[n] for n in sorted(range(len(some)), key=lambda n: (n + delay[n], n))]
    share = len(arriving) // (LATE_KILLS + 1)
    for kill in range(LATE_KILLS):
        process = watched.start()
        address = ready(process)
        for begin in range(kill * share, (kill + 1) * share, share // 5):
            watched.append(arriving[begin : min(begin + share // 5, (kill + 1) * share)])
            # what comes late is late only where what came before was read
            until(lambda address=address, begin=begin: records(address) > begin)
            time.sleep(generator.uniform(0.0, 0.3))
        process.send_signal(signal.SIGKILL)
        process.wait()
    watched.append(arriving[LATE_KILLS * share :])
    process = watched.start("--until-idle", "0")
    ready(process)
    assert process.wait(READY_S) == 0
    judged = pq.read_table(watched.folder / "out" / "verdicts")
    ids = [orjson.loads(line)["Properties"]["InvocationId"] for line in some]
    assert sorted(judged["invocation_id"].to_pylist()) == sorted(set(ids))
    in_time = set(judged.filter(pc.invert(judged["late"]))["invocation_id"].to_pylist())
    alone = watched.replayed([line for name, line in zip(ids, some, strict=True) if name in in_time])
    late = check_late(judged, watched.told(), alone)
    assert len(late) == judged.num_rows - len(in_time) > 50


def test_sigterm_saves_and_the_next_start_goes_on(watched, lines):
    some = lines[:2_000]
    process = watched.start()
    ready(process)
    watched.append(some[:1_000])
    time.sleep(0.5)
    process.send_signal(signal.SIGTERM)
    assert process.wait(READY_S) == 0
    checkpoints = Checkpoints(watched.folder / "state")
    saved = checkpoints.load()
    checkpoints.close()
    # all that it read is in the checkpoint, and what it told is with the sink
    assert saved is not None
    assert not saved.steps
    assert saved.document["outbox"] == []
    (folder,) = (watched.folder / "state" / "sinks").iterdir()
    outbox = Outbox(folder)
    assert outbox.pending() == []
    outbox.close()
    watched.append(some[1_000:])
    process = watched.start("--until-idle", "0")
    ready(process)
    assert process.wait(READY_S) == 0
    watched.check(some)
