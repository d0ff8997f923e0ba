"""The whole state of a streaming job in one folder: either the old one or the new one, whatever dies when.

    checkpoint.json           cursors, watermarks, counters, incidents that no sink has yet; its own checksum
    state-00000042.arrows     all timelines, as Arrow IPC; named, and checked, by checkpoint.json
    rows-00000042.arrows      rows that wait for the watermark, written once (pipelines/segments.py)
    seen-00000042.arrows      which ids came, written once
    strange-00000042.arrows   rows that wait for what becomes of their story, written once
    verdicts-00000042.arrows  verdicts that wait until they are worth a file, written once
    journal-00000042.frames   what happened since, in steps (pipelines/journal.py)
    lock                      held by the job

State and cursors are one document's, so that they can't disagree. Nothing is pickled.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import orjson
import pyarrow as pa

from models.errors import InputError, SinkError
from pipelines.durable import hold, sync_folder, write_atomic
from pipelines.journal import Journal, Step
from pipelines.segments import Segments

#: changes whenever an older state can't be read any more
SCHEMA: Final = "lonetree.watch/12"
_DOCUMENT: Final = "checkpoint.json"
_FRESH: Final = "Move the folder away to start anew, from a time you give to the source."


@dataclass(frozen=True)
class Saved:
    """A checkpoint as it was read.

    Attributes:
        tables: the engine's snapshot.
        document: the rest, as it was when the last step was noted.
        steps: what happened since the snapshot.
        marks: ``document`` as it was at the snapshot.
    """

    tables: dict[str, pa.Table]
    document: dict[str, Any]
    steps: Sequence[Step]
    marks: dict[str, Any]


class Checkpoints:
    """The checkpoint of one job.

    Args:
        folder: of this job alone; made if missing.

    Raises on construction:
        InputError: another process has it, or it can't be made.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._number = 0
        self._segments = Segments(folder)
        self._journal: Journal | None = None
        try:
            folder.mkdir(parents=True, exist_ok=True)
            self._held = hold(folder / "lock")
        except BlockingIOError:
            raise InputError(
                "Another process has this state.",
                expected="one job a state folder",
                received=str(folder),
                hint="Give this job its own --state, or stop the other.",
            ) from None
        except OSError as error:
            raise InputError(
                "The state can't be kept there.", expected="a folder that can be written", received=f"{folder}: {error}"
            ) from None

    def load(self) -> Saved | None:
        """The last checkpoint; None where there is none.

        Raises:
            InputError: it is damaged, or another version's.
        """
        path = self.folder / _DOCUMENT
        if not path.exists():
            return None
        try:
            whole = orjson.loads(path.read_bytes())
            document: dict[str, Any] = whole["document"]
            if whole["sha256"] != _digest(_canonical(document)):
                raise ValueError("checkpoint.json does not match its checksum")
            if document["schema"] != SCHEMA:
                raise ValueError(f"schema {document['schema']}, not {SCHEMA}")
            state = (self.folder / document["state"]["file"]).read_bytes()
            if _digest(state) != document["state"]["sha256"]:
                raise ValueError(f"{document['state']['file']} does not match its checksum")
            tables = self._segments.get(_decode(state), document["waiting"])
        except (OSError, ValueError, KeyError, TypeError, pa.ArrowException) as error:
            raise InputError(
                "The saved state can't be used.",
                expected=f"a whole checkpoint of {SCHEMA} in {self.folder}",
                received=str(error),
                hint=_FRESH,
            ) from None
        self._number = int(document["number"])
        self._journal = Journal(self._journal_path())
        noted = self._journal.read()
        return Saved(tables, {**document, **(noted.document or {})}, noted.steps, document)

    def save(self, tables: Mapping[str, pa.Table], document: Mapping[str, Any]) -> int:
        """Replace the checkpoint.

        Args:
            tables: the engine's snapshot.
            document: the rest, as JSON data.

        Returns:
            Its size in bytes.

        Raises:
            SinkError: the disk is full or gone (``retry=True``); the old one is still there.
        """
        number = self._number + 1
        name = f"state-{number:08d}.arrows"
        try:
            tables, waiting = self._segments.put(tables)
            state = _encode(tables)
            whole = {
                **document,
                "schema": SCHEMA,
                "number": number,
                "state": {"file": name, "bytes": len(state), "sha256": _digest(state)},
                "waiting": waiting,
            }
            write_atomic(self.folder / name, state, lasting=False)
            # what the document names must last before the document does
            sync_folder(self.folder)
            text = orjson.dumps({"document": whole, "sha256": _digest(_canonical(whole))})
            write_atomic(self.folder / _DOCUMENT, text)
        except OSError as error:
            raise self._full(error) from None
        self._number = number
        if self._journal is not None:
            self._journal.close()
        self._journal = Journal(self._journal_path())
        self._tidy(name)
        return len(state) + len(text)

    def note(self, steps: Sequence[Step], document: Mapping[str, Any]) -> int:
        """Add to the checkpoint what happened since it, or since the note before.

        Args:
            steps: in order.
            document: what is to be read in the place of the same names of the checkpoint's document.

        Returns:
            The size of the note in bytes.

        Raises:
            SinkError: the disk is full or gone (``retry=True``), and nothing was added; or there is no checkpoint.
        """
        if self._journal is None:
            raise SinkError("There is no checkpoint that could be added to.")
        try:
            return self._journal.add(steps, dict(document))
        except OSError as error:
            raise self._full(error) from None

    def close(self) -> None:
        """Let another process have the folder."""
        if self._journal is not None:
            self._journal.close()
        if self._held is not None:
            self._held.close()

    def _full(self, error: OSError) -> SinkError:
        return SinkError(
            "The job's state can't be saved.",
            expected=f"room and the right to write in {self.folder}",
            received=str(error.strerror or error),
            hint="Nothing is lost: it reads no further until this works.",
            retry=True,
        )

    def _journal_path(self) -> Path:
        return self.folder / f"journal-{self._number:08d}.frames"

    def _tidy(self, keep: str) -> None:
        for path in [*self.folder.glob("state-*.arrows"), *self.folder.glob("journal-*.frames")]:
            if path.name not in (keep, self._journal_path().name):
                path.unlink(missing_ok=True)
        self._segments.tidy()


def _canonical(document: Mapping[str, Any]) -> bytes:
    return orjson.dumps(document, option=orjson.OPT_SORT_KEYS)


def _digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def _encode(tables: Mapping[str, pa.Table]) -> bytes:
    # imported here: the module registers coders with Beam
    from pipelines.coders import encode_tables

    return encode_tables(tables)


def _decode(state: bytes) -> dict[str, pa.Table]:
    from pipelines.coders import decode_tables

    return decode_tables(state)
