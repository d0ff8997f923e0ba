"""``lonetree watch`` with its state on a disk that really is full: a small one in memory, in a namespace of its own."""

from __future__ import annotations

import shutil
import signal
import subprocess
import urllib.error
import urllib.request
from pathlib import Path

import pytest

from tests.integration.test_watch_kills import READY_S, lines, ready, records, until, watched

__all__ = ["lines", "watched"]

pytestmark = pytest.mark.integration

#: of the small disk
SIZE = "32m"
#: has a disk of its own at the first argument, and becomes the rest
SMALL_DISK = f'mount -t tmpfs -o size={SIZE} none "$0" && exec "$@"'
LINES = 3_000


def under(state: Path) -> list[str]:
    """What starts a command whose state lies on the small disk."""
    if shutil.which("unshare") is None:
        pytest.skip("needs unshare")
    words = ["unshare", "--map-root-user", "--mount", "sh", "-c", SMALL_DISK, str(state)]
    tried = subprocess.run([*words, "true"], capture_output=True, text=True, check=False)
    if tried.returncode != 0:
        pytest.skip(f"may not mount: {tried.stderr.strip()}")
    return words


def health(address: str) -> tuple[int, str]:
    try:
        with urllib.request.urlopen(f"{address}/healthz", timeout=10.0) as answer:  # noqa: S310 - of this machine
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()
    except OSError:  # it has just ended
        return 0, ""


def fill(path: Path) -> None:
    """Write until nothing more fits."""
    with path.open("wb", buffering=0) as file:
        try:
            while file.write(b"\0" * 4_096):
                pass
        except OSError:
            return


def test_a_disk_that_is_full_stops_the_reading_and_with_room_it_goes_on_without_a_loss(watched, lines):
    some = lines[:LINES]
    watched.state.mkdir()
    process = watched.start("--until-idle", "20", under=under(watched.state))
    try:
        address = ready(process)
        watched.append(some[:1_000])
        until(lambda: records(address) == 1_000 and health(address)[0] == 200)
        # the disk as the job sees it
        filler = Path(f"/proc/{process.pid}/root{watched.state}/filler")
        fill(filler)
        watched.append(some[1_000:2_000])
        until(lambda: health(address)[0] == 503)
        assert "The state can't be saved" in health(address)[1]
        watched.append(some[2_000:])
        assert process.poll() is None
        filler.unlink()
        until(lambda: process.poll() is not None or health(address)[0] == 200)
        assert process.wait(READY_S) == 0
    finally:
        process.send_signal(signal.SIGKILL)
    watched.check(some)
