"""How long an incident takes from its event to its sink, while thousands of events a second come. Prints Markdown.

    python tests/benchmarks/stream.py [--rate 5000] [--seconds 600] [--steps 10000 20000] [--step-seconds 120]

First one rate for long: latency, and memory over time. Then higher rates, one after the other, until the job can't keep
up: the last that it kept up with is the sustained maximum.

A real ``lonetree watch`` follows a folder that another process writes to; trouble is planted at known times. Latency is
counted from the moment that the newest event of a telling could be read to the moment that the telling stands in the
sink's file, less the allowed lateness, which the job has to wait.
"""

from __future__ import annotations

import argparse
import bisect
import datetime as dt
import json
import os
import platform
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import numpy as np
import pyarrow.parquet as pq

ROOT: Final = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))  # so that it runs as a script, too

from detectors.story_rows import MAX_IDS  # noqa: E402
from detectors.versions import load_model, save_model  # noqa: E402
from pipelines.workflows import train  # noqa: E402
from tests.benchmarks.stream_load import number_of, planted_number, thickened, write_training  # noqa: E402

#: how often the process and its metrics are looked at, s
LOOK_S: Final = 2.0
#: how often the sink's file is looked at: what a latency may be too long by, s
TAIL_S: Final = 0.01
#: from here on memory is to be flat, s
WARM_S: Final = 120.0
#: a watermark further behind than this, beyond the lateness, does not keep up, s
KEPT_UP_S: Final = 5.0
#: the job gets so long to catch up after the last attack, s
REST_S: Final = 30.0
#: clock ticks a second of /proc
TICKS: Final = os.sysconf("SC_CLK_TCK")


@dataclass
class Seen:
    """What was seen of a run."""

    #: (when, incident) as they came to the sink
    told: list[tuple[float, dict[str, Any]]] = field(default_factory=list)
    #: (s since the first event, resident MB, CPU s, metrics)
    looks: list[tuple[float, float, float, dict[str, float]]] = field(default_factory=list)


def prepared(work: Path, rate: float) -> Path:
    """A registry whose champion knows the estate at this rate."""
    models = work / f"models-{rate:.0f}"
    thin = work / "thin"
    if not thin.exists():
        thin_rate = write_training(work / "train", time.time() - 3_600)
        train([str(work / "train")], thin)
        (work / "thin-rate").write_text(str(thin_rate))
    factor = rate / float((work / "thin-rate").read_text())
    save_model(thickened(load_model(thin), factor), models, who="benchmark")
    return models


def watched(work: Path, models: Path, rate: float, seconds: float, lateness_s: float, budget: float) -> Seen:
    """One run."""
    folder = work / f"run-{rate:.0f}"
    logs, sink = folder / "logs", folder / "incidents.ndjson"
    logs.mkdir(parents=True)
    words = ["watch", "--source", f"files:{logs}", "--models", str(models), "--sink", f"ndjson:{sink}"]
    words += ["--state", str(folder / "state"), "--allowed-lateness", str(lateness_s), "--http", "0"]
    words += ["--budget", str(budget), "--output", str(folder / "out")]
    code = f"from pipelines.cli.entry import main; import sys; sys.argv = ['lonetree', *{words!r}]; main()"
    job = subprocess.Popen([sys.executable, "-c", code], cwd=ROOT, stderr=subprocess.PIPE, text=True)
    address = _address(job)
    script = str(ROOT / "tests" / "benchmarks" / "stream_load.py")
    load = subprocess.Popen(
        [sys.executable, script, str(logs), "--rate", str(rate), "--seconds", str(seconds)],
        cwd=ROOT, env={**os.environ, "PYTHONPATH": str(ROOT)},
    )  # fmt: skip
    seen, over = Seen(), threading.Event()
    tail = threading.Thread(target=_tail, args=(sink, seen, over))
    tail.start()
    began = time.time()
    try:
        while load.poll() is None or time.time() < began + seconds + REST_S:
            time.sleep(LOOK_S)
            if job.poll() is not None:
                raise SystemExit("the job has ended")
            seen.looks.append((time.time() - began, *_usage(job.pid), _metrics(address)))
    finally:
        over.set()
        load.terminate()
        job.terminate()
        job.wait(60)
        tail.join()
    with (folder / "looks.ndjson").open("w") as file:
        file.writelines(json.dumps([at, mb, cpu_s, metrics]) + "\n" for at, mb, cpu_s, metrics in seen.looks)
    with (folder / "told.ndjson").open("w") as file:
        file.writelines(json.dumps([at, incident]) + "\n" for at, incident in seen.told)
    return seen


def _address(job: subprocess.Popen[str]) -> str:
    assert job.stderr is not None
    for line in job.stderr:
        if line.startswith("http://"):
            threading.Thread(target=job.stderr.read, daemon=True).start()
            return line.split("/healthz")[0]
    raise SystemExit("the job did not start")


def _tail(path: Path, seen: Seen, over: threading.Event) -> None:
    rest = b""
    while not path.exists():
        if over.wait(TAIL_S):
            return
    with path.open("rb") as file:
        while not over.wait(TAIL_S):
            *lines, rest = (rest + file.read()).split(b"\n")
            now = time.time()
            seen.told += [(now, json.loads(line)) for line in lines]


def _usage(pid: int) -> tuple[float, float]:
    """Resident MB and CPU seconds of a process."""
    stat = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return int(stat[21]) * os.sysconf("SC_PAGE_SIZE") / 1e6, (int(stat[11]) + int(stat[12])) / TICKS


def _metrics(address: str) -> dict[str, float]:
    with urllib.request.urlopen(f"{address}/metrics", timeout=10) as answer:  # noqa: S310 - an address of this machine
        lines = answer.read().decode().splitlines()
    return {name: float(value) for name, _, value in (line.rpartition(" ") for line in lines if line[:1] != "#")}


def latencies(folder: Path, seen: Seen) -> np.ndarray[Any, Any]:
    """Seconds of each telling, from the moment that its newest event could be read.

    That is the newest of those it lists; where an incident has more than it lists, the one that its last event ended
    with, which was written within a tick.
    """
    marks = [json.loads(line) for line in (folder / "marks.ndjson").open()]
    nexts, planted = [mark["next"] for mark in marks], [mark["planted"] for mark in marks]
    readable_s = [mark["readable_s"] for mark in marks]
    found = []
    for when, incident in seen.told:
        numbers = [number_of(one) for one in incident["invocation_ids"]]
        if incident["closed"] or not numbers:
            continue
        if len(numbers) >= MAX_IDS:
            ended = dt.datetime.fromisoformat(incident["last_event"].replace("Z", "+00:00"))
            newest = bisect.bisect_left(readable_s, ended.timestamp())
        else:
            attacks = [attack_of(number) for number in numbers]
            newest = max(
                bisect.bisect_right(nexts, number) if attack is None else bisect.bisect_right(planted, attack)
                for number, attack in zip(numbers, attacks, strict=True)
            )
        found.append(when - readable_s[newest])
    return np.array(found)


def attack_of(number: int) -> int | None:
    """The attack that an invocation is part of; None for one of normal life."""
    attack = (number - planted_number(0)) // (planted_number(1) - planted_number(0))
    return attack if attack >= 0 else None


@dataclass(frozen=True)
class Fates:
    """What became of the planted attacks, each counted once."""

    planted: int
    #: listed in a telling
    told: int
    #: not that, but verdicts name an incident that was told before: its next telling is due when it has doubled
    joined: int
    #: no verdict names an incident for any of its invocations
    missed: int


def fates(folder: Path, tellings: Iterable[Mapping[str, Any]]) -> Fates:
    """What became of the attacks, by the tellings and the verdicts of the job."""
    planted = json.loads((folder / "marks.ndjson").read_text().splitlines()[-1])["planted"]
    listed, known = set(), set()
    for incident in tellings:
        known.add(incident["incident_id"])
        listed |= {attack_of(number_of(one)) for one in incident["invocation_ids"]}
    verdicts = pq.read_table(folder / "out" / "verdicts", columns=["invocation_id", "incident_id"]).to_pylist()
    taken = {attack_of(number_of(v["invocation_id"])) for v in verdicts if v["incident_id"] in known} - listed
    told, joined = len(listed - {None}), len(taken - {None})
    return Fates(planted, told, joined, planted - told - joined)


@dataclass(frozen=True)
class Run:
    """What a run came to; seconds are those beyond the allowed lateness."""

    rate: float
    events: float
    per_cpu_second: float
    cores: float
    fates: Fates
    tellings: int
    p50_s: float
    p99_s: float
    worst_s: float
    #: watermark lag: the median, and the mean of the last third
    lag_s: float
    lag_at_end_s: float
    #: resident MB at two minutes (or a third of the time), at half, at the end, and at most
    memory_mb: tuple[float, float, float, float]
    checkpoint_s: float
    checkpoint_mb: float

    @property
    def sustained(self) -> bool:
        """Whether it kept up: the watermark is no further behind at the end than it may be."""
        return self.lag_at_end_s < KEPT_UP_S


def run_of(rate: float, seconds: float, lateness_s: float, folder: Path, seen: Seen) -> Run:
    """Work out what a run came to."""
    waited = latencies(folder, seen)
    beyond = waited - lateness_s if len(waited) else np.array([np.nan])
    looks = [look for look in seen.looks if look[0] <= seconds]
    memory = np.array([mb for _, mb, _, _ in looks])
    at = np.array([look[0] for look in looks])

    def metric(name: str) -> np.ndarray[Any, Any]:
        return np.array([look[3].get(f"lonetree_{name}", np.nan) for look in looks])

    lag = metric("watermark_lag_seconds") - lateness_s
    cpu_s = seen.looks[-1][2] - seen.looks[0][2]
    read = seen.looks[-1][3]["lonetree_records_total"]
    warm_s = min(WARM_S, seconds / 3)
    moments = [int(np.searchsorted(at, moment).clip(0, len(at) - 1)) for moment in (warm_s, seconds / 2, seconds)]
    first, half, last = (float(memory[moment]) for moment in moments)
    return Run(
        rate,
        read,
        read / cpu_s,
        cpu_s / (seen.looks[-1][0] - seen.looks[0][0]),
        fates(folder, (incident for _, incident in seen.told)),
        len(waited),
        float(np.percentile(beyond, 50)),
        float(np.percentile(beyond, 99)),
        float(beyond.max()),
        float(np.nanmedian(lag)),
        float(np.nanmean(lag[-(len(lag) // 3) :])),
        (first, half, last, float(memory.max())),
        float(metric("checkpoint_seconds")[-1]),
        float(metric("checkpoint_bytes")[-1]) / 1e6,
    )


#: the columns of the table
HEADER: Final = (
    "events/s",
    "for",
    "latency beyond the lateness, p50 / p99 / worst",
    "watermark lag, median / at the end",
    "MB at 2 min / half / end / most",
    "cores",
    "events per CPU-second",
    "attacks: told / joined an open incident / missed",
    "last checkpoint",
    "kept up",
)


def say_header() -> None:
    """The head of the table."""
    print(f"\n| {' | '.join(HEADER)} |\n|{'---|' * len(HEADER)}", flush=True)


def say(run: Run, seconds: float) -> None:
    """One row."""
    row = (
        f"{run.rate:,.0f}",
        f"{seconds:.0f} s",
        f"{run.p50_s:.1f} / {run.p99_s:.1f} / {run.worst_s:.1f} s ({run.tellings:,})",
        f"{run.lag_s:.1f} / {run.lag_at_end_s:.1f} s",
        " / ".join(f"{mb:,.0f}" for mb in run.memory_mb),
        f"{run.cores:.2f}",
        f"{run.per_cpu_second:,.0f}",
        f"{run.fates.told} / {run.fates.joined} / {run.fates.missed} of {run.fates.planted}",
        f"{run.checkpoint_s:.2f} s, {run.checkpoint_mb:.1f} MB",
        "yes" if run.sustained else "no",
    )
    print(f"| {' | '.join(row)} |", flush=True)


def main() -> None:
    """Run it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rate", type=float, default=5_000.0)
    parser.add_argument("--seconds", type=float, default=600.0)
    parser.add_argument("--steps", type=float, nargs="*", default=[10_000.0, 15_000.0, 20_000.0, 25_000.0, 30_000.0])
    parser.add_argument("--step-seconds", type=float, default=90.0)
    parser.add_argument("--lateness", type=float, default=5.0)
    parser.add_argument("--budget", type=float, default=0.01)
    parser.add_argument("--work", type=Path, help="where to work and to leave what was made")
    options = parser.parse_args()
    print(f"{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}, "
          f"load before: {os.getloadavg()[0]:.1f}")  # fmt: skip
    say_header()
    sustained = 0.0
    with tempfile.TemporaryDirectory() as made:
        work = options.work or Path(made)
        plan = [(options.rate, options.seconds), *((step, options.step_seconds) for step in options.steps)]
        for rate, seconds in plan:
            models = prepared(work, rate)
            seen = watched(work, models, rate, seconds, options.lateness, options.budget)
            run = run_of(rate, seconds, options.lateness, work / f"run-{rate:.0f}", seen)
            say(run, seconds)
            if not run.sustained:
                break
            sustained = rate
    print(f"\nSustained: {sustained:,.0f} events/s; load after: {os.getloadavg()[0]:.1f}")


if __name__ == "__main__":
    main()
