"""The forest on public data sets (ADBench), beside scikit-learn's: area under the ROC curve. Prints Markdown.

    python tests/benchmarks/adbench.py [--seeds 5] [--data FOLDER]

Forests are fitted on all rows without their labels and score the same rows, as is usual on these sets.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

ROOT: Final = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))  # so that it runs as a script, too

import numpy as np  # noqa: E402
from sklearn.ensemble import IsolationForest  # noqa: E402
from sklearn.metrics import roc_auc_score  # noqa: E402

from models.forest import fit_forest  # noqa: E402

DATA: Final = ROOT.parent / "shared" / "data" / "adbench"
SEEDS: Final = 5

Score = Callable[[Any, int], Any]


def by_scikit_learn(X: Any, seed: int) -> Any:
    return -IsolationForest(max_samples=min(256, len(X)), random_state=seed, n_jobs=1).fit(X).score_samples(X)


def by_forest(**options: Any) -> Score:
    return lambda X, seed: fit_forest(X, seed=seed, **options).score(X)


def by_tails(X: Any, seed: int) -> Any:
    """A forest on each value's surprise in its column, signed, as Lonetree's own forests get it."""
    ordered = np.sort(X, axis=0)
    surprise = np.empty(X.shape)
    for column in range(X.shape[1]):
        at_most = np.searchsorted(ordered[:, column], X[:, column], "right") / len(X)
        at_least = 1.0 - np.searchsorted(ordered[:, column], X[:, column], "left") / len(X)
        surprise[:, column] = np.where(at_most < at_least, np.log(at_most), -np.log(at_least))
    return fit_forest(surprise, seed=seed, grower="compiled").score(surprise)


ENGINES: Final[dict[str, Score]] = {
    "scikit-learn": by_scikit_learn,
    "ours": by_forest(),
    "compiled": by_forest(grower="compiled"),
    "compiled, half the columns a tree": by_forest(grower="compiled", max_features=0.5),
    "compiled, 300 trees": by_forest(grower="compiled", trees=300),
    "compiled, on tail surprise": by_tails,
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=SEEDS, help="forests a data set, of which the mean counts")
    parser.add_argument("--data", type=Path, default=DATA, help="folder of .npz files with X and y")
    options = parser.parse_args()
    files = sorted(options.data.glob("*.npz"), key=lambda path: path.stem.partition("_")[2].lower())
    if not files:
        raise SystemExit(
            f"no .npz files in {options.data}: download data sets from the ADBench project, or name --data"
        )
    print("| data set | rows | columns | anomalies | " + " | ".join(ENGINES) + " |")
    print("|---|---:|---:|---:|" + "---:|" * len(ENGINES))
    means = []
    for path in files:
        with np.load(path) as data:
            X, y = data["X"].astype(np.float64), data["y"]
        areas = [[roc_auc_score(y, score(X, seed)) for seed in range(options.seeds)] for score in ENGINES.values()]
        means.append([float(np.mean(of_engine)) for of_engine in areas])
        cells = [f"{np.mean(of_engine):.3f} ± {np.std(of_engine):.3f}" for of_engine in areas]
        about = f"{path.stem.partition('_')[2]} | {len(X):,} | {X.shape[1]} | {y.mean():.1%}"
        print(f"| {about} | " + " | ".join(cells) + " |", flush=True)
    print("| mean | | | | " + " | ".join(f"{mean:.4f}" for mean in np.mean(means, axis=0)) + " |")


if __name__ == "__main__":
    main()
