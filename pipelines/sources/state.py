"""Cursors on disk: one JSON document, replaced as a whole."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from models.errors import SourceError
from pipelines.durable import write_atomic
from pipelines.sources.base import Cursor


def save_cursor(path: Path, cursor: Cursor) -> None:
    """Write the cursor; a crash leaves the old or the new one.

    Raises:
        SourceError: it could not be written (``retry=True``); the old one is still there.
    """
    try:
        write_atomic(path, json.dumps(cursor, separators=(",", ":")).encode())
    except OSError as error:
        raise SourceError(
            "The cursor can't be saved.",
            expected=f"a file at {path}",
            received=str(error.strerror),
            hint="is the disk full?",
            retry=True,
        ) from None


def load_cursor(path: Path, kind: str) -> dict[str, Any] | None:
    """The cursor that was saved, or None where there is none.

    Raises:
        SourceError: it can't be read, or belongs to another kind of source (``retry=False``).
    """
    try:
        data = json.loads(path.read_bytes())
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as error:
        data = type(error).__name__
    if not isinstance(data, dict) or data.get("kind") != kind:
        raise SourceError(
            "The cursor can't be read.",
            expected=f"a cursor of kind {kind} in {path}",
            received=str(data.get("kind")) if isinstance(data, dict) else str(data)[:100],
            hint="move the file away to start anew, from a time you give",
        )
    return data
