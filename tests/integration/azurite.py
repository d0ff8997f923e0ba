"""Azure blob storage on loopback: Azurite from npm, killed at the end."""

from __future__ import annotations

import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.integration.fetching import CACHE, alone

START_S = 60.0
#: the emulator's own account and key, the same everywhere and known to all
ACCOUNT = "devstoreaccount1"
KEY = "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw=="


def program() -> Path:
    """Azurite's blob service, fetched once."""
    if shutil.which("npm") is None or shutil.which("node") is None:
        pytest.skip("needs node and npm")
    folder = CACHE / "azurite"
    found = folder / "node_modules" / ".bin" / "azurite-blob"
    with alone("azurite"):
        if not found.exists():
            folder.mkdir(parents=True, exist_ok=True)
            words = ["npm", "install", "--no-fund", "--no-audit", "azurite@3"]
            done = subprocess.run(words, cwd=folder, capture_output=True, text=True, timeout=600, check=False)
            if done.returncode != 0 or not found.exists():
                pytest.skip(f"Azurite can't be fetched: {done.stderr[-300:]}")
    return found


@contextmanager
def azurite(folder: Path) -> Iterator[str]:
    """A running emulator's connection string."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = int(free.getsockname()[1])
    words = [str(program()), "--blobPort", str(port), "--location", str(folder), "--silent", "--skipApiVersionCheck"]
    server = subprocess.Popen(words, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        deadline = time.monotonic() + START_S
        while True:
            with socket.socket() as trial:
                if trial.connect_ex(("127.0.0.1", port)) == 0:
                    break
            if time.monotonic() > deadline or server.poll() is not None:
                pytest.fail("Azurite does not start")
            time.sleep(0.1)
        endpoint = f"http://127.0.0.1:{port}/{ACCOUNT}"
        yield f"DefaultEndpointsProtocol=http;AccountName={ACCOUNT};AccountKey={KEY};BlobEndpoint={endpoint};"
    finally:
        server.kill()
        server.wait()
