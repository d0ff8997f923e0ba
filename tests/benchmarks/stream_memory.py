"""What the streaming job holds in memory, minute by minute of log, by a clock that is turned. Prints Markdown.

    python tests/benchmarks/stream_memory.py [--rate 5000] [--minutes 10] [--lateness 5] [--work FOLDER]

The job of ``stream.py``, in a process of its own, half a second of log a round and no waiting between them.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import sys
import tempfile
import time
from collections.abc import Sequence
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, Final

import numpy as np

ROOT: Final = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))  # so that it runs as a script, too

from tests.benchmarks.stream import fates, prepared  # noqa: E402
from tests.benchmarks.stream_load import AFTER_S, Load  # noqa: E402
from tests.pipelines.live import SECOND, Turned  # noqa: E402

#: seconds of log a round
ROUND_S: Final = 0.5
#: how often memory is looked at, s of log
LOOK_S: Final = 30.0
#: from here on it is to be flat, s of log
FLAT_FROM_S: Final = 120.0
#: false incidents a day
BUDGET: Final = 0.01
#: files of the log that are kept: those before were read
KEPT_FILES: Final = 3


def job(pipe: Connection, logs: Path, models: Path, began_s: float, lateness_s: float) -> None:
    """The job: told how late it is, it does a round and says what it holds."""
    # imported here: the process that writes the log has no need of it
    import pyarrow as pa

    from pipelines.champion import Champion
    from pipelines.checkpoint import Checkpoints
    from pipelines.memory import one_heap
    from pipelines.sinks.uri import open_sinks
    from pipelines.sources.uri import open_sources
    from pipelines.watch import Watch, WatchOptions

    clock = Turned(round(began_s * SECOND))
    state = logs.parent / "state"
    sinks = open_sinks([f"ndjson:{logs.parent / 'incidents.ndjson'}"], state / "sinks")
    sinks.start()
    options = WatchOptions(lateness_us=round(lateness_s * SECOND), output=logs.parent / "out", rehearse=True)
    sources = open_sources([f"files:{logs}"], {}, state / "cursors")
    champion, checkpoints = Champion(models, BUDGET), Checkpoints(state)
    watch = Watch(sources, None, champion, checkpoints, sinks, options, clock=clock, steady=clock.steady)
    with one_heap():
        while (seconds := pipe.recv()) is not None:
            clock.turn(seconds)
            while watch.round():
                pass
            pipe.send((resident_mb(), pa.total_allocated_bytes() / 1e6, watch.vitals.scored, watch.vitals.incidents))
    watch.stop()


def resident_mb() -> float:
    """Of this process."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 1e6


def measured(work: Path, rate: float, seconds: float, lateness_s: float) -> list[tuple[float, ...]]:
    """(s of log, resident MB, MB of Arrow, scored, incidents) every LOOK_S."""
    logs, models = work / "turned" / "logs", prepared(work, rate)
    began = time.time()
    load = Load(logs, rate, began, seconds)
    here, there = multiprocessing.get_context("spawn").Pipe()
    process = multiprocessing.get_context("spawn").Process(target=job, args=(there, logs, models, began, lateness_s))
    process.start()
    looks: list[tuple[float, ...]] = []
    try:
        for number in range(1, int((seconds + AFTER_S) / ROUND_S) + 1):
            at = number * ROUND_S
            load.write(began + at, lambda at=at: began + at)  # type: ignore[misc]
            here.send(ROUND_S)
            said = here.recv()
            if at % LOOK_S == 0.0 and at <= seconds:
                looks.append((at, *said))
                say(looks[-1])
                for old in sorted(logs.iterdir())[:-KEPT_FILES]:
                    old.unlink()
        here.send(None)
    finally:
        process.join(60)
        process.kill()
    return looks


def say(look: Sequence[float]) -> None:
    """One row."""
    at, mb, arrow, scored, incidents = look
    print(f"| {at:.0f} s | {mb:.0f} | {arrow:.0f} | {scored:,.0f} | {incidents:,.0f} |", flush=True)


def main() -> None:
    """Run it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rate", type=float, default=5_000.0)
    parser.add_argument("--minutes", type=float, default=10.0)
    parser.add_argument("--lateness", type=float, default=5.0)
    parser.add_argument("--work", type=Path, help="where to work and to leave what was made")
    options = parser.parse_args()
    print("| log | resident MB | of that Arrow | scored | incidents |\n|---:|---:|---:|---:|---:|", flush=True)
    with tempfile.TemporaryDirectory() as made:
        work = options.work or Path(made)
        looks = measured(work, options.rate, options.minutes * 60.0, options.lateness)
        tellings = map(json.loads, (work / "turned" / "incidents.ndjson").open())
        found = fates(work / "turned", tellings)
    memory: np.ndarray[Any, Any] = np.array([mb for _, mb, *_ in looks])
    then = memory[int(FLAT_FROM_S / LOOK_S) - 1]
    half = memory[len(memory) // 2 :]
    print(f"\nAttacks: {found.told} told, {found.joined} joined an open incident, {found.missed} missed.")
    print(f"The last half lies {(half.min() / then - 1):+.1%} to {(half.max() / then - 1):+.1%} from two minutes on.")


if __name__ == "__main__":
    main()
