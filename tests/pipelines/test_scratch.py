"""What a killed run left behind is removed by the next one; what a living one needs is left alone."""

from __future__ import annotations

import subprocess
import sys
import textwrap
import time
from pathlib import Path

import pytest

from pipelines.scratch import HELD, YOUNG_S, scratch

ROOT = Path(__file__).parents[2]


def later() -> float:
    return time.time() + YOUNG_S + 60.0


def run(root: Path, code: str) -> subprocess.CompletedProcess[str]:
    """Python that has a folder and does something, in a process of its own."""
    program = f"""
        import os, signal, sys
        from pathlib import Path
        from pipelines.scratch import scratch
        with scratch("run-", Path(sys.argv[1])) as folder:
            (folder / "rows").mkdir()
            (folder / "rows" / "1").write_bytes(b"1")
            print(folder, flush=True)
            {code}
    """
    command = [sys.executable, "-c", textwrap.dedent(program), str(root)]
    return subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, text=True, check=False)


def test_a_run_leaves_nothing_however_it_ends(tmp_path: Path) -> None:
    with scratch("run-", tmp_path) as folder:
        (folder / "rows").write_bytes(b"1")
    with pytest.raises(ValueError, match="no"), scratch("run-", tmp_path):
        raise ValueError("no")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.skipif(sys.platform == "win32", reason="kills by a signal")
def test_the_folder_of_a_killed_run_is_removed_once_it_is_no_longer_young(tmp_path: Path) -> None:
    left = Path(run(tmp_path, "os.kill(os.getpid(), signal.SIGKILL)").stdout.strip())
    assert left.parent == tmp_path
    with scratch("run-", tmp_path):
        assert left.exists()
    with scratch("other-", tmp_path, clock=later):
        assert left.exists()
    with scratch("run-", tmp_path, clock=later) as folder:
        assert list(tmp_path.iterdir()) == [folder]


def test_the_folder_of_a_living_run_stays_however_old_it_is(tmp_path: Path) -> None:
    with scratch("run-", tmp_path) as mine:
        (mine / "rows").write_bytes(b"1")
        code = "import time\nfrom pathlib import Path\nfrom pipelines.scratch import scratch\nimport sys\n"
        code += "with scratch('run-', Path(sys.argv[1]), young_s=-60.0): print('ran')"
        done = subprocess.run(
            [sys.executable, "-c", code, str(tmp_path)], cwd=ROOT, stdout=subprocess.PIPE, text=True, check=True
        )
        assert done.stdout == "ran\n"
        assert (mine / "rows").read_bytes() == b"1"


def test_what_no_run_has_made_stays(tmp_path: Path) -> None:
    (tmp_path / "run-notes").mkdir()
    (tmp_path / "run-file").write_bytes(b"1")
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / HELD).write_bytes(b"")
    (tmp_path / "run-link").symlink_to(elsewhere)
    with scratch("run-", tmp_path, clock=later):
        pass
    assert sorted(path.name for path in tmp_path.iterdir()) == ["elsewhere", "run-file", "run-link", "run-notes"]
