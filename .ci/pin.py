"""Write constraints.txt anew: what pip resolves for every extra on each Python given, merged.

    make pin        (or: python3 .ci/pin.py python3.10 python3.11 python3.12 python3.13)

Resolves only, installs nothing. A pin without a marker holds for every Python.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
import tempfile
from collections import defaultdict
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
EXTRAS = ("azure", "kafka", "metrics", "bench", "docs", "notebooks", "dev")
HEADER = """\
# Exact versions of everything that Lonetree installs, for each Python it runs on. Written by `make pin`, not by hand.
"""


def resolve(python: str) -> tuple[tuple[int, int], dict[str, str]]:
    """The Python's version, and the version of each distribution that pip would install with it."""
    with tempfile.TemporaryDirectory() as folder:
        subprocess.run([python, "-m", "venv", folder], check=True)
        inside = str(Path(folder, "bin", "python"))
        # an old pip prefers downloads over metadata, and backtracks badly
        subprocess.run([inside, "-m", "pip", "install", "--quiet", "--upgrade", "pip"], check=True)
        report = Path(folder, "report.json")
        command = [
            inside,
            "-m",
            "pip",
            "install",
            "--quiet",
            "--dry-run",
            "--ignore-installed",
            "--report",
            str(report),
        ]
        subprocess.run([*command, f"{ROOT}[{','.join(EXTRAS)}]"], check=True)
        content = json.loads(report.read_text(encoding="utf-8"))
    major, minor = content["environment"]["python_version"].split(".")
    found = {}
    for item in content["install"]:
        name = re.sub(r"[-_.]+", "-", item["metadata"]["name"]).lower()
        if name != "lonetree":
            found[name] = item["metadata"]["version"]
    return (int(major), int(minor)), found


def marker(pythons: list[tuple[int, int]], every: list[tuple[int, int]]) -> str:
    """The shortest marker that holds on some of all the Pythons (both sorted)."""
    if pythons == every:
        return ""
    if pythons == every[: len(pythons)]:
        major, minor = every[len(pythons)]
        return f" ; python_version < '{major}.{minor}'"
    if pythons == every[-len(pythons) :]:
        major, minor = pythons[0]
        return f" ; python_version >= '{major}.{minor}'"
    return " ; " + " or ".join(f"python_version == '{major}.{minor}'" for major, minor in pythons)


def merge(resolved: dict[tuple[int, int], dict[str, str]]) -> list[str]:
    """One line for each distribution and version, with a marker where the Pythons differ."""
    every = sorted(resolved)
    versions: dict[str, dict[str, list[tuple[int, int]]]] = defaultdict(lambda: defaultdict(list))
    for python in every:
        for name, version in resolved[python].items():
            versions[name][version].append(python)
    return [
        f"{name}=={version}{marker(pythons, every) if len(versions[name]) > 1 else ''}"
        for name in sorted(versions)
        for version, pythons in versions[name].items()
    ]


def main(pythons: list[str]) -> None:
    """Resolve on each Python and write the file."""
    if not pythons:
        sys.exit("usage: pin.py PYTHON...  (expected: one interpreter for each supported version; received: none)")
    lines = merge(dict(resolve(python) for python in pythons))
    (ROOT / "constraints.txt").write_text(HEADER + "\n".join(lines) + "\n", encoding="utf-8")
    print(f"constraints.txt: {len(lines)} pins for {len(pythons)} Pythons")


if __name__ == "__main__":
    main(sys.argv[1:])
