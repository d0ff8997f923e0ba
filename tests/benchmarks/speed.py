"""How fast Lonetree is, beside other ways to score the same events. Prints Markdown.

    python tests/benchmarks/speed.py [--side-by-side 5000000] [--sizes 2000000 20000000] [--functions ...]

Each run of Lonetree is a process of its own, start, reading and writing included. Events per CPU-second say what a core
gives whatever else the machine does; events per second by the clock depend on what else it does.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

ROOT: Final = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))  # so that it runs as a script, too

from tests.benchmarks.rivals import RIVALS, features, forest, timed  # noqa: E402
from tests.benchmarks.stages import profile  # noqa: E402

#: days of a sample, and days of them to train on
DAYS, TRAIN_DAYS = 7, 5
#: invocations a day at scale 1
A_DAY: Final = 100_000
DAY_US: Final = 86_400_000_000
#: what a child runs: the command, and at its end Linux's account of its memory, since the usage that the parent gets
#: begins with the parent's own peak
_CHILD: Final = """
import atexit, sys
from pathlib import Path
atexit.register(lambda target=sys.argv.pop(): Path(target).write_text(Path("/proc/self/status").read_text()))
from pipelines.cli import main
main()
"""
#: days that all logs are moved back by, so that days repeated a hundred times end before today: later times are refused
EARLIER_DAYS: Final = 300
#: rows of a row group of what is made here
GROUP_ROWS: Final = 65_536
#: rows that are turned into lines at once
LINES_AT_ONCE: Final = 10_000


@dataclass(frozen=True)
class Run:
    """One process: its account, and what it took."""

    events: int
    wall_s: float
    cpu_s: float
    peak_mb: float


def lonetree(*arguments: str) -> tuple[float, float, float]:
    """Run a command to its end: wall s, CPU s, peak MB."""
    # what was written before goes to the disk first, so that no run waits for another's pages
    os.sync()
    began = time.perf_counter()
    with tempfile.TemporaryDirectory() as folder:
        status_file = Path(folder) / "status"
        process = subprocess.Popen(
            [sys.executable, "-c", _CHILD, *arguments, str(status_file)],
            cwd=ROOT,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
        )
        # the usage of this child alone; its output is read first, so that it can't block
        said = process.stderr.read() if process.stderr else b""
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode:
            raise SystemExit(f"lonetree {' '.join(arguments)} failed:\n{said.decode()}")
        peak_kb = next(line.split()[1] for line in status_file.read_text().splitlines() if line.startswith("VmHWM"))
    return time.perf_counter() - began, usage.ru_utime + usage.ru_stime, int(peak_kb) / 1_024


def _replay(logs: Path, models: Path, out: Path) -> list[str]:
    return ["replay", "--input", str(logs), "--models", str(models), "--output", str(out)]


def replay(logs: Path, models: Path, out: Path) -> Run:
    """Judge a folder."""
    taken = lonetree(*_replay(logs, models, out))
    return Run(json.loads((out / "run.json").read_bytes())["read"], *taken)


def requests(folder: Path) -> pa.Table:
    """The AppRequests of a sample's folder, moved back in time."""
    table = pa.concat_tables([pq.read_table(path) for path in sorted(folder.glob("*.parquet"))])
    return _later(table, -EARLIER_DAYS * DAY_US)


def copies(table: pa.Table, events: int, *, functions: int = 0, callers: int = 0) -> Iterator[pa.Table]:
    """So many events: days come again later under new ids, spread over more functions or callers if asked for."""
    span = int(np.ceil((pc.max(table["TimeGenerated"]).value - pc.min(table["TimeGenerated"]).value) / DAY_US)) * DAY_US
    known = pc.count_distinct(table["Name"]).as_py()
    rng = np.random.default_rng(0)
    for copy in range(-(-events // table.num_rows)):
        part = _later(table, copy * span).slice(0, events - copy * table.num_rows)
        fresh = pc.replace_substring(part["Properties"], '"InvocationId":"', f'"InvocationId":"{copy:x}')
        part = _with(part, "Properties", fresh)
        if functions:
            number = pa.array(rng.integers(0, max(functions // known, 1), part.num_rows)).cast(pa.string())
            part = _with(part, "AppRoleName", pc.binary_join_element_wise(part["AppRoleName"], number, "-"))
        if callers:
            number = pa.array(rng.integers(0, callers, part.num_rows)).cast(pa.string())
            user = pc.binary_join_element_wise(pa.scalar("user"), number, "-")
            part = _with(part, "UserAuthenticatedId", user)
        yield part


def _later(table: pa.Table, us: int) -> pa.Table:
    times = pc.add(table["TimeGenerated"], pa.scalar(us, pa.duration("us")))
    return _with(table, "TimeGenerated", times.cast(table.schema.field("TimeGenerated").type))


def _with(table: pa.Table, name: str, values: Any) -> pa.Table:
    index = table.schema.get_field_index(name)
    return table.set_column(index, table.schema.field(index), values.cast(table.schema.field(index).type))


def write(parts: Iterable[pa.Table], folder: Path) -> Path:
    """Tables as Parquet files, one each."""
    folder.mkdir(parents=True, exist_ok=True)
    for number, part in enumerate(parts):
        pq.write_table(part, folder / f"part-{number:05d}.parquet", row_group_size=GROUP_ROWS)
    return folder


def side_by_side(work: Path, days: pa.Table, models: Path, events: int) -> None:
    """Lonetree from Parquet and NDJSON on two threads, and the others on one or two, whichever is faster."""
    found: list[tuple[str, int, float, float, float | None]] = []
    # compiles what is not in the cache yet: whole days, since fewer events come without copies or silences
    lonetree(*_replay(write(copies(days, days.num_rows), work / "few"), models, work / "warm"))
    for name, made in (("Lonetree, Parquet", write), ("Lonetree, NDJSON", _ndjson)):
        # one after the other, so that the memory that holds the files of one is free for the other
        folder = made(copies(days, events), work / made.__name__)
        run = replay(folder, models, folder / "out")
        found.append((name, run.events, run.wall_s, run.cpu_s, run.peak_mb))
        shutil.rmtree(folder)
    X = features(next(copies(days, days.num_rows)))
    model = forest(X)
    for name, (rival, rows) in RIVALS.items():
        took = timed(rival, X[:rows], model)
        found.append((name, took.events, took.wall_s, took.cpu_s, None))
    _, n, wall, cpu, _ = found[0]
    a_second, a_cpu_second = n / wall, n / cpu
    print("\n## Side by side\n")
    print("| way | events | events/s by the clock | Lonetree is | events per CPU-second | Lonetree is | peak MB |")
    print("|---|---:|---:|---:|---:|---:|---:|")
    for name, n, wall, cpu, peak in found:
        by_clock = f"{n / wall:,.0f} | {a_second / (n / wall):,.1f} x"
        by_cpu = f"{n / cpu:,.0f} | {a_cpu_second / (n / cpu):,.1f} x"
        print(f"| {name} | {n:,} | {by_clock} | {by_cpu} | {f'{peak:,.0f}' if peak else ''} |", flush=True)


def _ndjson(parts: Iterable[pa.Table], folder: Path) -> Path:
    """Tables as files of JSON lines, one each."""
    folder.mkdir(parents=True)
    for number, part in enumerate(parts):
        with (folder / f"part-{number:05d}.ndjson").open("wb") as file:
            for batch in part.to_batches(max_chunksize=LINES_AT_ONCE):
                file.writelines(_line(row) for row in batch.to_pylist())
    return folder


def _line(row: dict[str, Any]) -> bytes:
    import orjson

    for name in ("Properties", "Measurements"):
        if row.get(name):
            row[name] = orjson.loads(row[name])
    return orjson.dumps(row, option=orjson.OPT_UTC_Z) + b"\n"


def growth(
    work: Path, days: tuple[pa.Table, pa.Table], models: Path, what: str, counts: list[int], events: int
) -> None:
    """Replays of growing input; for growing numbers of functions by models that know them.

    Args:
        work: folder.
        days: to train on, and to judge.
        models: of the days to train on.
        what: grows: events, functions or callers.
        counts: of what grows.
        events: where something else grows.
    """
    train, table = days
    print(
        f"\n## By {what}\n\n| {what} | events | events/s by the clock | events per CPU-second | s | peak MB |"
        "\n|---:|---:|---:|---:|---:|---:|"
    )
    for count in counts:
        more = {} if what == "events" else {what: count}
        logs = write(copies(table, count if what == "events" else events, **more), work / f"{what}-{count}")
        known = models
        if what == "functions":
            known = work / f"{what}-{count}-models"
            learned = write(copies(train, train.num_rows, **more), work / f"{what}-{count}-train")
            lonetree("train", "--input", str(learned), "--models", str(known))
        run = replay(logs, known, work / f"{what}-{count}-out")
        rates = (run.events / run.wall_s, run.events / run.cpu_s)
        cells = (f"{count:,}", f"{run.events:,}", *(f"{rate:,.0f}" for rate in rates), f"{run.wall_s:,.1f}")
        print(f"| {' | '.join(cells)} | {run.peak_mb:,.0f} |", flush=True)
        shutil.rmtree(logs)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--side-by-side", type=int, default=5_000_000, help="events; many, so that the start is little")
    parser.add_argument("--events", type=int, default=400_000, help="of the profile, and where something else grows")
    parser.add_argument("--sizes", type=int, nargs="*", default=[100_000, 2_000_000], help="events, to 20,000,000")
    parser.add_argument("--functions", type=int, nargs="*", default=[50, 5_000])
    parser.add_argument("--callers", type=int, nargs="*", default=[100, 100_000])
    options = parser.parse_args()
    print(
        f"{os.cpu_count()} cores, {platform.machine()}, Python {platform.python_version()}; load {os.getloadavg()[0]}"
    )
    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder)
        sample, models = work / "sample", work / "models"
        days = ("--days", str(DAYS), "--train-days", str(TRAIN_DAYS))
        lonetree("simulate", str(sample), *days, "--scale", "1")
        train, table = requests(sample / "train"), requests(sample / "replay")
        learned = write([train], work / "train")
        wall, cpu, peak = lonetree("train", "--input", str(learned), "--models", str(models))
        print(f"\nTraining on {TRAIN_DAYS * A_DAY:,} events or so: {wall:.1f} s, {cpu:.1f} CPU-s, {peak:,.0f} MB")
        if options.side_by_side:
            side_by_side(work, table, models, options.side_by_side)
        print("\n## By stage, one thread, without Beam\n")
        print(profile(write(copies(table, options.events), work / "profiled"), models))
        for what in ("events", "functions", "callers"):
            growth(
                work,
                (train, table),
                models,
                what,
                getattr(options, "sizes" if what == "events" else what),
                options.events,
            )


if __name__ == "__main__":
    main()
