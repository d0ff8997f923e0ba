"""How well trouble is found: Lonetree beside other detectors, over many worlds. Prints Markdown, writes JSON.

    python -m tests.benchmarks.quality --seeds 0-2 --out build/quality
    python -m tests.benchmarks.quality --quick

Seeds 0 to 19 are for development; published figures come from seeds 100 and up. A finished case is not done again
unless ``--again`` is given, so a long run may be interrupted.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np

ROOT: Final = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))  # so that it runs as a script, too

from detectors.evaluate import BUDGETS, Evaluation, evaluate  # noqa: E402
from tests.benchmarks.comparators import COMPARATORS, THRESHOLDS, incidents, plain, verdicts  # noqa: E402
from tests.benchmarks.worlds import EXTRAS, World, make_world, truth_table, write_world  # noqa: E402

LONETREE: Final = "Lonetree"
WORKLOAD: Final = ROOT.parent / "shared" / "data" / "azure-functions-2019"
#: false incidents a day that Lonetree is told to keep to in the run that the bars are read from, and in the wide one
BUDGET, WIDE_BUDGET = 1, 20
#: by the later of these trouble should have been found: bad events, and s after the first
IN_TIME_EVENTS: Final = 5
IN_TIME_S: Final = 120.0
#: in fewer normal invocations of a trigger a share of 2 in 1,000 can't be told
LEAST_NORMALS: Final = 2_000


@dataclass(frozen=True)
class Case:
    """One world and how it is asked for."""

    seed: int
    identity: str
    traffic: str
    clean: bool
    extras: bool
    events_per_day: int

    @property
    def name(self) -> str:
        """A file's name for it."""
        what = "clean" if self.clean else "extras" if self.extras else "trouble"
        return f"{self.traffic}-{self.identity}-{what}-{self.events_per_day}-seed{self.seed:03d}"

    def world(self, workload: Path) -> World:
        """Make it."""
        return make_world(
            self.seed,
            identity=self.identity,
            traffic="simulated" if self.traffic == "simulated" else workload,
            events_per_day=self.events_per_day,
            faults=not self.clean,
            kinds=tuple(EXTRAS) if self.extras else None,
        )


def run_lonetree(folder: Path, days: float, record: list[dict[str, Any]]) -> dict[str, Any]:
    """Train and replay through the command line, at the narrow budget and at the wide one."""
    started = time.perf_counter()
    models = folder / "models"
    cli("train", "--input", folder / "train", "--models", models)
    results = {}
    for budget in (BUDGET, WIDE_BUDGET):
        out = folder / f"replay-{budget}"
        kept = "all" if budget == BUDGET else "anomalous"
        inputs = ("--input", folder / "test", "--models", models, "--output", out)
        cli("replay", *inputs, "--budget", budget, "--verdicts", kept)
        silences = [entry for entry in record if entry["scenario"] == "silence"]
        results[budget] = evaluate(
            out / "verdicts",
            out / "incidents.ndjson",
            folder / "truth.parquet",
            days=days,
            budget=budget,
            silences=silences,
        )
    return _summary(results[BUDGET], results[WIDE_BUDGET], time.perf_counter() - started)


def cli(*arguments: object) -> None:
    command = [sys.executable, "-c", "from pipelines.cli import main; main()", *(str(a) for a in arguments)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"lonetree {' '.join(command[3:])} ended with {done.returncode}:\n{done.stderr[-3_000:]}")


def run_comparators(world: World, days: float, names: Sequence[str]) -> dict[str, dict[str, Any]]:
    """Every comparator on the same world, each with the threshold that finds it most."""
    train, test = plain(world.train, world.test)
    truth, results = truth_table(world), {}
    silences = [entry for entry in world.record if entry["scenario"] == "silence"]
    for name in names:
        started = time.perf_counter()
        before, after = COMPARATORS[name](train, test)
        tried = []
        for quantile in THRESHOLDS:
            threshold = float(np.quantile(before, quantile))
            table, raised = verdicts(test, before, after, threshold), incidents(test, after, threshold)
            tried.append(evaluate(table, raised, truth, days=days, budget=BUDGET, silences=silences))
        # most found at 5 a day; on clean days the fewest false
        best = max(tried, key=lambda e: (len(e.recalls[1].found), len(e.recalls[0].found), -e.false_per_day))
        results[name] = _summary(best, best, time.perf_counter() - started)
    return results


def _summary(narrow: Evaluation, wide: Evaluation, seconds: float) -> dict[str, Any]:
    """What the tables need of a run at the narrow budget and, for recall beyond it, at the wide one."""
    recalls = [narrow.recalls[0], *wide.recalls[1:]]
    return {
        "seconds": seconds,
        "found": {f"{r.false_per_day:g}": list(r.found) for r in recalls},
        "narrow": json.loads(narrow.to_json()),
    }


def table(results: list[dict[str, Any]]) -> str:
    """Markdown: a row for each detector on each sort of world."""
    groups: dict[tuple[str, str, str, str], list[dict[str, Any]]] = defaultdict(list)
    clean: dict[tuple[str, str, str], list[float]] = defaultdict(list)
    for result in results:
        case, detector = result["case"], result["detector"]
        if case["clean"]:
            clean[case["traffic"], case["identity"], detector].append(result["narrow"]["false_per_day"])
        else:
            groups[case["traffic"], case["identity"], "extras" if case["extras"] else "", detector].append(result)
    head = ["traffic", "identity", "detector", "worlds", *(f"kinds at {b:g}" for b in BUDGETS)]
    head += ["AP", "bad events", "seconds", "in time", "clean false/day", "p<1e-3"]
    lines = [
        f"| {' | '.join(head)} |",
        "|---" * len(head) + "|",
    ]
    for traffic, identity, detector in clean:  # a row of its own where only clean worlds were judged
        groups[traffic, identity, "", detector] += []
    for (traffic, identity, extras, detector), group in sorted(groups.items()):
        narrow = [g["narrow"] for g in group]
        of = mean([len(n["scenarios"]) for n in narrow], 0)
        kinds = [mean([len(g["found"][f"{b:g}"]) for g in group], 1) for b in BUDGETS]
        quiet = clean.get((traffic, identity, detector))
        cells = [
            f"{traffic} {extras}".strip(), identity, detector, str(len(group)),
            *(f"{k} of {of}" for k in kinds),
            mean([n["average_precision"] or 0.0 for n in narrow], 3),
            _middle([s["events_to_detect"] for n in narrow for s in n["scenarios"]]),
            _middle([s["seconds_to_detect"] for n in narrow for s in n["scenarios"]]),
            mean([in_time(s) for n in narrow for s in n["scenarios"] if s["found"]], 2),
            mean(quiet or [], 2), worst_p(narrow),
        ]  # fmt: skip
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def mean(values: Sequence[float], digits: int) -> str:
    """The mean as text, "-" where there is none."""
    return f"{np.mean(values):.{digits}f}" if len(values) else "-"


def _middle(values: list[float | None]) -> str:
    known = [v for v in values if v is not None]
    return f"{np.median(known):.0f}" if known else "-"


def in_time(scenario: dict[str, Any]) -> bool:
    """Whether trouble that was found was found by its fifth bad event or within two minutes of the first."""
    events, seconds = scenario["events_to_detect"], scenario["seconds_to_detect"]
    return (events is not None and events <= IN_TIME_EVENTS) or (seconds is not None and seconds <= IN_TIME_S)


def worst_p(narrow: list[dict[str, Any]]) -> str:
    """The trigger with the largest share of small p-values among normal invocations, pooled over worlds, per 1,000."""
    small: dict[str, float] = defaultdict(float)
    total: dict[str, float] = defaultdict(float)
    for one in narrow:
        for trigger, count in one["normal_count"].items():
            small[trigger] += one["small_p_share"][trigger] * count
            total[trigger] += count
    shares = {t: 1_000 * small[t] / total[t] for t in total if total[t] >= LEAST_NORMALS}
    if not shares:
        return "-"
    worst = max(shares, key=lambda t: shares[t])
    return f"{shares[worst]:.1f}‰ ({worst})"


def missed(results: list[dict[str, Any]], detector: str) -> str:
    """Which kinds a detector misses at one false incident a day, and how often."""
    misses: dict[str, int] = defaultdict(int)
    for result in results:
        if result["detector"] == detector and not result["case"]["clean"]:
            for scenario in result["narrow"]["scenarios"]:
                misses[scenario["name"]] += scenario["name"] not in result["found"]["1"]
    worst = sorted(((n, k) for k, n in misses.items() if n), reverse=True)
    return ", ".join(f"{kind} {count}" for count, kind in worst) or "none"


def run(case: Case, detectors: Sequence[str], workload: Path, keep: Path | None) -> list[dict[str, Any]]:
    """Judge the detectors on one world."""
    world = case.world(workload)
    days = len(set(world.test["TimeGenerated"].cast("date32").to_pylist()))
    results = run_comparators(world, days, [d for d in detectors if d in COMPARATORS])
    if LONETREE in detectors:
        with tempfile.TemporaryDirectory() as scratch:
            folder = keep / case.name if keep else Path(scratch)
            write_world(world, folder)
            results[LONETREE] = run_lonetree(folder, days, world.record)
    return [{"case": asdict(case), "detector": name} | result for name, result in results.items()]


def seeds(text: str) -> list[int]:
    """``3``, ``0-4`` or ``0,5,7-9`` as a list."""
    parts = [part.split("-") for part in text.split(",")]
    return [seed for part in parts for seed in range(int(part[0]), int(part[-1]) + 1)]


def ask_for_worlds(
    parser: argparse.ArgumentParser, of: str, *, identity: str = "full,masked", worlds: str = "trouble"
) -> None:
    """Give a parser the options that say which worlds are meant, and what they are unless said; see ``cases``."""
    parser.add_argument("--seeds", type=seeds, default=seeds(of), help="as 100-109 or 0,3")
    parser.add_argument("--identity", default=identity, help="full, masked or both with a comma")
    parser.add_argument("--traffic", default="simulated,workload", help="simulated, workload or both")
    parser.add_argument("--workload", type=Path, default=WORKLOAD, help="folder of the 2019 workload's tables")
    parser.add_argument("--worlds", default=worlds, help="trouble, clean, extras; several with commas")
    parser.add_argument("--events-per-day", type=int, default=100_000)


def cases(given: argparse.Namespace) -> list[Case]:
    """The worlds that are meant, seed by seed; without the workload's tables those of simulated traffic only."""
    traffics = given.traffic.split(",")
    if "workload" in traffics and not given.workload.is_dir():
        print(f"no 2019 workload in {given.workload}: simulated traffic only", file=sys.stderr)
        traffics.remove("workload")
    return [
        Case(seed, identity, traffic, what == "clean", what == "extras", given.events_per_day)
        for seed in given.seeds
        for traffic in traffics
        for identity in given.identity.split(",")
        for what in given.worlds.split(",")
    ]


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the suite."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    ask_for_worlds(parser, "100-109", worlds="trouble,clean")
    parser.add_argument("--detectors", default=",".join([LONETREE, *COMPARATORS]), help="names with commas")
    parser.add_argument("--out", type=Path, default=ROOT / "build" / "quality", help="folder for the JSON")
    parser.add_argument("--keep", type=Path, help="keep the worlds and Lonetree's output there")
    parser.add_argument("--again", action="store_true", help="do finished cases again")
    parser.add_argument("--quick", action="store_true", help="one small world, full identity, simulated traffic")
    given = parser.parse_args(arguments)
    unknown = set(given.detectors.split(",")) - {LONETREE, *COMPARATORS}
    if unknown:
        parser.error(f"no such detector: {', '.join(sorted(unknown))}; there are {', '.join([LONETREE, *COMPARATORS])}")
    if given.quick:
        given.seeds, given.identity, given.traffic, given.events_per_day = [0], "full", "simulated", 20_000
    given.out.mkdir(parents=True, exist_ok=True)
    results: list[dict[str, Any]] = []
    for case in cases(given):
        file = given.out / f"{case.name}.json"
        done = json.loads(file.read_text()) if file.exists() and not given.again else []
        wanted = [d for d in given.detectors.split(",") if d not in {r["detector"] for r in done}]
        if wanted:
            print(f"{case.name}: {', '.join(wanted)}", file=sys.stderr, flush=True)
            done += run(case, wanted, given.workload, given.keep)
            file.write_text(json.dumps(done, indent=1))
        results += [one for one in done if one["detector"] in given.detectors.split(",")]
    print(table(results))
    for detector in given.detectors.split(","):
        print(f"\n{detector} misses at 1 a day: {missed(results, detector)}")


if __name__ == "__main__":
    main()
