"""Who runs this, for the logs of registries and feedback."""

from __future__ import annotations

import getpass


def whoami() -> str:
    """The user's name, or "unknown" where the system has none, as in some containers."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return "unknown"
