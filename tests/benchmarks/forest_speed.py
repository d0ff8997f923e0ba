"""How fast forests score, load and grow, beside scikit-learn's. Prints Markdown.

    python tests/benchmarks/forest_speed.py [--quick]

Figures are events per CPU-second: what one core gives, whatever else the machine does.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

ROOT: Final = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))  # so that it runs as a script, too

import numpy as np  # noqa: E402
import pyarrow as pa  # noqa: E402
from sklearn.ensemble import IsolationForest  # noqa: E402

from models.bundle import read_bundle, write_bundle  # noqa: E402
from models.forest import FOREST, ForestSet, fit_forest  # noqa: E402

#: a function's usual training data, and its features
ROWS: Final = 5_000
COLUMNS: Final = 12
BATCHES: Final = (1, 1_024, 262_144)
#: forests in one file
MODELS: Final = 1_000
#: CPU-seconds for one measurement, of which the best of three counts
SPAN_S: Final = 0.5


def cpu_s(work: Callable[[], Any], span_s: float) -> float:
    """CPU-seconds of one call: the best of three stretches, after one call that compiles."""
    work()
    best = float("inf")
    for _ in range(3):
        calls, start = 0, time.process_time()
        while (spent := time.process_time() - start) < span_s or not calls:
            work()
            calls += 1
        best = min(best, spent / calls)
    return best


def rate(work: Callable[[], Any], rows: int, span_s: float) -> str:
    return f"{rows / cpu_s(work, span_s):,.0f}"


def scoring(span_s: float, batches: tuple[int, ...]) -> None:
    rng = np.random.default_rng(0)
    train = rng.normal(size=(ROWS, COLUMNS))
    theirs = IsolationForest(random_state=0, n_jobs=1).fit(train.astype(np.float32))
    ours = fit_forest(train, seed=0)
    several = ForestSet.of([fit_forest(train, seed=seed, grower="compiled") for seed in range(50)])
    engines: dict[str, Callable[[Any, Any], Any]] = {
        "scikit-learn score_samples": lambda X, _: theirs.score_samples(X),
        "ours, numpy": lambda X, _: ours.score_numpy(X),
        "ours": lambda X, _: ours.score(X),
        "ours, each row its own of 50 forests": several.score,
        "ours, attribution": lambda X, _: ours.attribute(X),
    }
    print(f"Scoring, {COLUMNS} columns, 100 trees of 256 samples; events per CPU-second by batch\n")
    print("| engine | " + " | ".join(f"{rows:,}" for rows in batches) + " |\n|---|" + "---:|" * len(batches))
    for name, score in engines.items():
        cells = []
        for rows in batches:
            X, index = rng.normal(size=(rows, COLUMNS)), rng.integers(0, len(several), rows)
            cells.append(rate(lambda X=X, index=index, score=score: score(X, index), rows, span_s))
        print(f"| {name} | " + " | ".join(cells) + " |")
    gap = np.abs(ours.score(train) + theirs.score_samples(train.astype(np.float32))).max()
    print(f"\nGreatest difference from scikit-learn: {gap:.1e}; bytes a forest: {ours.arrays.nbytes:,}")


def loading(models: int) -> None:
    rng = np.random.default_rng(0)
    some = [fit_forest(rng.normal(size=(ROWS, COLUMNS)), seed=seed, grower="compiled") for seed in range(20)]
    table = ForestSet.of([some[i % len(some)] for i in range(models)]).to_table()
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "forests.arrow"
        with pa.OSFile(str(file), "wb") as sink, pa.ipc.new_file(sink, FOREST) as writer:
            writer.write_table(table)
        write_bundle(Path(folder) / "bundle", tables={"forests": table}, documents={}, manifest={})

        def from_file() -> ForestSet:
            return ForestSet.from_table(pa.ipc.open_file(pa.memory_map(str(file))).read_all())

        def from_bundle() -> ForestSet:
            return ForestSet.from_table(read_bundle(Path(folder) / "bundle").table("forests", FOREST))

        print(f"\nLoading {models:,} forests, every tree checked, CPU-seconds\n\n| from | s |\n|---|---:|")
        print(f"| one Arrow file | {cpu_s(from_file, 0.0):.3f} |")
        print(f"| a bundle, checksums verified | {cpu_s(from_bundle, 0.0):.3f} |")


def growing(span_s: float) -> None:
    train = np.random.default_rng(0).normal(size=(ROWS, COLUMNS))
    print(f"\nGrowing a forest from {ROWS:,} rows, CPU-milliseconds\n\n| grower | ms |\n|---|---:|")
    for grower in ("scikit-learn", "compiled"):
        print(f"| {grower} | {cpu_s(lambda g=grower: fit_forest(train, seed=0, grower=g), span_s) * 1_000:.1f} |")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="short stretches, small batches, fewer forests")
    quick = parser.parse_args().quick
    scoring(SPAN_S / 10 if quick else SPAN_S, BATCHES[:2] if quick else BATCHES)
    loading(MODELS // 10 if quick else MODELS)
    growing(SPAN_S / 10 if quick else SPAN_S)


if __name__ == "__main__":
    main()
