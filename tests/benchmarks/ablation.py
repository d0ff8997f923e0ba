"""What isolation forests add: the same worlds judged with and without them, in this process. Prints Markdown.

python -m tests.benchmarks.ablation --seeds 0-2
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))  # so that it runs as a script, too

from detectors import detect, fit  # noqa: E402
from detectors.evaluate import evaluate  # noqa: E402
from detectors.training import TrainingOptions  # noqa: E402
from pipelines import load  # noqa: E402
from tests.benchmarks.quality import BUDGET, WORKLOAD, Case, mean, seeds  # noqa: E402
from tests.benchmarks.worlds import truth_table, write_world  # noqa: E402

VARIANTS: Final = {
    "forests of functions, triggers and the tenant": TrainingOptions(forest="own"),
    "the tenant's forest": TrainingOptions(forest="tenant"),
    "no forest": TrainingOptions(forest="none"),
}


@dataclass(frozen=True)
class Outcome:
    """What one variant came to on one world."""

    kinds: int
    precision: float
    false_per_day: float


def judged(case: Case) -> dict[str, Outcome]:
    """Each variant on the same world."""
    world = case.world(WORKLOAD)
    days = len(set(world.test["TimeGenerated"].cast("date32").to_pylist()))
    with tempfile.TemporaryDirectory() as scratch:
        write_world(world, Path(scratch))
        train, test = (load([str(Path(scratch, part))]) for part in ("train", "test"))
    out, truth = {}, truth_table(world)
    for name, options in VARIANTS.items():
        found = detect(test, fit(train, options), budget=BUDGET)
        result = evaluate(found.verdicts, found.incidents, truth, days=days, budget=BUDGET)
        kinds = sum(scenario.found for scenario in result.scenarios)
        out[name] = Outcome(kinds, result.average_precision, result.false_per_day)
    return out


def main(arguments: Sequence[str] | None = None) -> None:
    """Run it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=seeds, default=seeds("0-2"), help="as 0-2 or 0,3")
    parser.add_argument("--events-per-day", type=int, default=100_000)
    given = parser.parse_args(arguments)
    traffics = ["simulated", *(["workload"] if WORKLOAD.is_dir() else [])]
    heads = ["normal traffic", "variant", "worlds", "kinds at 1 a day", "average precision", "false a day"]
    print(f"| {' | '.join(heads)} |\n{'|---' * len(heads)}|")
    for traffic in traffics:
        cases = [Case(seed, "full", traffic, False, False, given.events_per_day) for seed in given.seeds]
        results = [judged(case) for case in cases]
        for name in VARIANTS:
            own = [result[name] for result in results]
            cells = [traffic, name, str(len(own)), mean([o.kinds for o in own], 1)]
            cells += [mean([o.precision for o in own], 3), mean([o.false_per_day for o in own], 2)]
            print(f"| {' | '.join(cells)} |", flush=True)


if __name__ == "__main__":
    main()
