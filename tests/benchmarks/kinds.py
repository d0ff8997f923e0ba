"""Whether an incident is called what it is: the kind of each true incident beside the trouble that was planted.

    python -m tests.benchmarks.kinds --seeds 20-23 --keep build/kinds
    python -m tests.benchmarks.kinds --seeds 20-23 --keep build/kinds --tell    each true incident in its words

A kind is right where it is what was planted, near where whoever reads it would look in the right place and do the right
thing first (``KIND_OF``), else wrong. A world that was judged and kept is not judged again.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

ROOT: Final = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))  # so that it runs as a script, too

import pyarrow.parquet as pq  # noqa: E402

from detectors.evaluate import read_incidents, scenario_of_incident  # noqa: E402
from tests.benchmarks.quality import BUDGET, Case, ask_for_worlds, cases, cli  # noqa: E402
from tests.benchmarks.worlds import write_world  # noqa: E402

#: planted trouble -> (kinds that are it, kinds that lead the reader to it all the same)
KIND_OF: Final[dict[str, tuple[tuple[str, ...], tuple[str, ...]]]] = {
    # one key, from a country and addresses that never called; where both ends are awake it is a travel
    "stolen_key": (("new-country", "impossible-travel"), ("new-caller", "exfiltration", "lateral-movement")),
    "impossible_travel": (("impossible-travel",), ("new-country",)),
    # without identity a caller can't be known from elsewhere: its country is what is new, or it is itself
    "lateral_movement": (("lateral-movement",), ("new-country", "new-caller", "enumeration")),
    # "faster than ever, at the hour when it is quiet" is both
    "offhours_identity": (("off-hours",), ("unusual-pace", "exfiltration")),
    "enumeration": (("enumeration",), ("credential-guessing",)),
    "injection_probe": (("injection-probe",), ("enumeration",)),
    "flood_single": (("flood",), ("distributed-flood", "denial-of-wallet", "unusual-pace")),
    "flood_distributed": (("distributed-flood", "denial-of-wallet"), ("flood",)),
    # a run that a time limit kills has failed, too
    "runaway_duration": (("runaway-duration",), ("latency-shift",)),
    "latency_shift": (("latency-shift",), ("runaway-duration", "slow-growth")),
    # what fails in a queue comes back
    "failure_burst": (("failure-burst", "storm"), ("poison-message", "retry-storm", "bad-deployment")),
    "retry_storm_poison": (("poison-message",), ("retry-storm", "failure-burst", "queue-injection")),
    "timer_or_manual_abuse": (("manual-run", "off-schedule"), ()),
    "bad_deploy": (("bad-deployment",), ("failure-burst", "poison-message", "storm")),
    "slow_growth": (("slow-growth", "latency-shift"), ("runaway-duration",)),
    "new_function": (("new-function",), ()),
    "silence": (("silence", "silence-app"), ()),
    # messages that nobody of the tenant sent: too many of them is all that shows
    "queue_injection": (("queue-injection", "flood"), ("distributed-flood", "latency-shift")),
    "exfiltration": (("exfiltration",), ("unusual-pace", "denial-of-wallet", "flood")),
}
RIGHT, NEAR, WRONG = "right", "near", "wrong"


@dataclass(frozen=True)
class Named:
    """One true incident.

    planted: the trouble that made most of it; said: its kind; grade: right, near or wrong.
    """

    planted: str
    said: str
    grade: str
    incident: dict[str, Any]


def grade(planted: str, said: str) -> str:
    """How well a kind names what was planted."""
    same, near = KIND_OF[planted]
    return RIGHT if said in same else NEAR if said in near else WRONG


def named(folder: Path) -> Iterator[Named]:
    """The true incidents of a world that was judged in ``folder``."""
    truth = pq.read_table(folder / "truth.parquet").to_pydict()
    label = dict(zip(truth["InvocationId"], truth["scenario"], strict=True))
    record = json.loads((folder / "side.json").read_text(encoding="utf-8"))
    silences = [entry for entry in record if entry["scenario"] == "silence"]
    for incident in read_incidents(_judged(folder) / "incidents.ndjson"):
        planted = scenario_of_incident(incident, label, silences)
        if planted is not None:
            said = str(incident["kind"])
            yield Named(planted, said, grade(planted, said), incident)


def judge(case: Case, workload: Path, folder: Path) -> None:
    """Make a world, learn from its first days, and raise the incidents of the others."""
    if not (folder / "truth.parquet").exists():
        write_world(case.world(workload), folder)
    cli("train", "--input", folder / "train", "--models", folder / "models")
    inputs = ("--input", folder / "test", "--models", folder / "models", "--output", _judged(folder))
    cli("replay", *inputs, "--budget", BUDGET)


def _judged(folder: Path) -> Path:
    """Where the quality suite, too, keeps what it raised."""
    return folder / f"replay-{BUDGET}"


def table(found: Sequence[Named]) -> str:
    """Markdown: a row for each planted trouble, and all together."""
    groups: dict[str, list[Named]] = defaultdict(list)
    for one in found:
        groups[one.planted].append(one)
    lines = ["| planted | incidents | right | near | wrong | called otherwise |", "|---" * 6 + "|"]
    for planted in sorted(groups):
        counts = Counter(one.grade for one in groups[planted])
        other = Counter(one.said for one in groups[planted] if one.grade != RIGHT)
        said = ", ".join(f"{kind} {n}" for kind, n in sorted(other.items(), key=lambda i: (-i[1], i[0])))
        cells = (planted, len(groups[planted]), counts[RIGHT], counts[NEAR], counts[WRONG], said)
        lines.append(f"| {' | '.join(map(str, cells))} |")
    counts = Counter(one.grade for one in found)
    total = max(len(found), 1)
    shares = [f"{counts[name]} ({100 * counts[name] / total:.0f} %)" for name in (RIGHT, NEAR, WRONG)]
    return "\n".join([*lines, f"| all | {len(found)} | {' | '.join(shares)} | |"])


def main(arguments: Sequence[str] | None = None) -> None:
    """Judge worlds, and print how their true incidents are called."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    ask_for_worlds(parser, "100-101")
    parser.add_argument("--keep", type=Path, help="keep the worlds and what was raised there")
    parser.add_argument("--tell", action="store_true", help="print each true incident, too")
    given = parser.parse_args(arguments)
    found: list[Named] = []
    for case in cases(given):
        with tempfile.TemporaryDirectory() as scratch:
            folder = given.keep / case.name if given.keep else Path(scratch)
            if not (_judged(folder) / "incidents.ndjson").exists():
                print(case.name, file=sys.stderr, flush=True)
                judge(case, given.workload, folder)
            found += named(folder)
    if given.tell:
        for one in sorted(found, key=lambda one: (one.grade, one.planted)):
            print(f"{one.grade}: {one.planted} as {one.said}: {one.incident['title']} | {one.incident['summary']}")
    print(table(found))


if __name__ == "__main__":
    main()
