"""What servers are made of is fetched and built once, however many workers of pytest ask for it at the same time."""

from __future__ import annotations

from contextlib import AbstractContextManager
from pathlib import Path

from models.storage import LocalStorage

CACHE = Path(__file__).parents[2] / ".cache"
#: s; as long as the longest build
WAIT_S = 1_200.0


def alone(name: str) -> AbstractContextManager[None]:
    """No other process is in here with this name; whoever comes later finds what the first has made."""
    return LocalStorage(CACHE).lock(f"{name}.lock", WAIT_S)
