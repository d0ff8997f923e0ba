"""What each part of detection adds: the same worlds judged with and without it, in this process. Prints Markdown.

python -m tests.benchmarks.ablation --seeds 0-2
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final
from unittest.mock import patch

import numpy as np

ROOT: Final = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))  # so that it runs as a script, too

from detectors import detect, fit, judge  # noqa: E402
from detectors.evaluate import evaluate  # noqa: E402
from detectors.features import FEATURES  # noqa: E402
from detectors.training import TrainingOptions  # noqa: E402
from pipelines import load  # noqa: E402
from tests.benchmarks.quality import BUDGET, Case, ask_for_worlds, cases, mean  # noqa: E402
from tests.benchmarks.worlds import truth_table, write_world  # noqa: E402

Part = Callable[[], AbstractContextManager[Any]]


def unlimited() -> AbstractContextManager[Any]:
    """Surprises are believed however far they go beyond the evidence."""
    return patch.object(judge, "BELIEF", 1e9)


def first_surprise() -> AbstractContextManager[Any]:
    """The surprise in the function is believed as it is, not as far as hours of normal life bear it out."""
    return patch.object(judge.Judge, "believed", lambda _self, first, _raw, _cohort: first)


def one_for_all() -> AbstractContextManager[Any]:
    """Tails of triggers instead of functions."""
    own = judge.Judge.locate

    def located(self: judge.Judge, rows: Any) -> Any:
        group, cohort = own(self, rows)
        return np.full_like(group, -1), cohort

    return patch.object(judge.Judge, "locate", located)


def without(*blamed: str) -> Part:
    """Features that point at these say nothing."""
    deaf = np.array([feature.blame in blamed for feature in FEATURES])

    @contextmanager
    def part() -> Iterator[None]:
        own = judge.believable

        def heard(surprise: Any, raw: Any) -> Any:
            return np.where(deaf, 0.0, own(surprise, raw))

        with patch.object(judge, "believable", heard):
            yield

    return part


VARIANTS: Final[dict[str, tuple[TrainingOptions, Part]]] = {
    "all parts": (TrainingOptions(), nullcontext),
    "the tenant's forest alone": (TrainingOptions(forest="tenant"), nullcontext),
    "no forest": (TrainingOptions(forest="none"), nullcontext),
    "surprises without limit": (TrainingOptions(), unlimited),
    "first surprise, not honest": (TrainingOptions(), first_surprise),
    "tails of triggers, not functions": (TrainingOptions(), one_for_all),
    "no features of callers": (TrainingOptions(), without("caller")),
    "no features of functions": (TrainingOptions(), without("function", "pair")),
}


@dataclass(frozen=True)
class Outcome:
    """What one variant came to on one world."""

    kinds: int
    precision: float
    false_per_day: float


def judged(case: Case, workload: Path) -> dict[str, Outcome]:
    """Each variant on the same world."""
    world = case.world(workload)
    days = len(set(world.test["TimeGenerated"].cast("date32").to_pylist()))
    with tempfile.TemporaryDirectory() as scratch:
        write_world(world, Path(scratch))
        train, test = (load([str(Path(scratch, part))]) for part in ("train", "test"))
    out, truth = {}, truth_table(world)
    for name, (options, part) in VARIANTS.items():
        with part():
            found = detect(test, fit(train, options), budget=BUDGET)
        result = evaluate(found.verdicts, found.incidents, truth, days=days, budget=BUDGET)
        kinds = sum(scenario.found for scenario in result.scenarios)
        out[name] = Outcome(kinds, result.average_precision, result.false_per_day)
    return out


def main(arguments: Sequence[str] | None = None) -> None:
    """Run it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    ask_for_worlds(parser, "0-2", identity="full")
    given = parser.parse_args(arguments)
    heads = ["normal traffic", "identity", "variant", "worlds", "kinds at 1 a day", "average precision", "false a day"]
    print(f"| {' | '.join(heads)} |\n{'|---' * len(heads)}|")
    alike: dict[tuple[str, str], list[dict[str, Outcome]]] = defaultdict(list)
    for case in cases(given):
        alike[case.traffic, case.identity].append(judged(case, given.workload))
    for (traffic, identity), results in alike.items():
        for name in VARIANTS:
            own = [result[name] for result in results]
            cells = [traffic, identity, name, str(len(own)), mean([o.kinds for o in own], 1)]
            cells += [mean([o.precision for o in own], 3), mean([o.false_per_day for o in own], 2)]
            print(f"| {' | '.join(cells)} |", flush=True)


if __name__ == "__main__":
    main()
