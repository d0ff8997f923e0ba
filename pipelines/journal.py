"""What happened since the last checkpoint, frame by frame, so that no incident waits until a large state is written.

A checkpoint and its journal together are the state: whoever takes the same steps from the same state gets the same
state, and the same incidents. A frame that a crash left halfway was never answered, so it is cut off.

    frame: length, uint64 little-endian; SHA-256 of the body; body
    body: a line of JSON, spaces up to eight bytes, the batches as Arrow IPC streams
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO, Final, Literal

import orjson
import pyarrow as pa

from pipelines.durable import sync_folder

_LENGTH: Final = 8
_DIGEST: Final = hashlib.sha256().digest_size
#: columns must lie so in memory: kernels are compiled for that
_ALIGNED: Final = 8


@dataclass(frozen=True)
class Step:
    """One thing that happened to the engine.

    Attributes:
        kind: rows came, a watermark was reached, or letters were dead.
        rows: those, as the engine took them; None for a watermark.
        watermark_us: the one that was reached.
    """

    kind: Literal["rows", "watermark", "dead"]
    rows: pa.RecordBatch | None = None
    watermark_us: int = 0


@dataclass(frozen=True)
class Noted:
    """All frames of a journal."""

    steps: list[Step] = field(default_factory=list)
    #: what the last frame said besides; None where there is no frame
    document: dict[str, Any] | None = None


class Journal:
    """The frames behind one checkpoint.

    Args:
        path: of the file; made with the first frame.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        #: bytes of whole frames
        self.size = 0
        self._file: BinaryIO | None = None

    def add(self, steps: Sequence[Step], document: dict[str, Any]) -> int:
        """Have a frame on disk.

        Args:
            steps: since the frame before.
            document: JSON data that replaces that of the frame before.

        Returns:
            Its size in bytes.

        Raises:
            OSError: nothing was added.
        """
        body = _encode(steps, document)
        try:
            if self._file is None:
                self._file = self.path.open("ab")
                # what a failed attempt left behind the whole frames
                self._file.truncate(self.size)
                sync_folder(self.path.parent)
            self._file.write(b"".join([len(body).to_bytes(_LENGTH, "little"), hashlib.sha256(body).digest(), body]))
            self._file.flush()
            os.fsync(self._file.fileno())
        except OSError:
            self.close()
            raise
        added = _LENGTH + _DIGEST + len(body)
        self.size += added
        return added

    def read(self) -> Noted:
        """All whole frames; from here on frames are added behind them."""
        self.close()
        steps: list[Step] = []
        document: dict[str, Any] | None = None
        self.size = 0
        try:
            file = self.path.open("rb")
        except FileNotFoundError:
            return Noted()
        with file:
            while True:
                head = file.read(_LENGTH + _DIGEST)
                length = int.from_bytes(head[:_LENGTH], "little")
                if len(head) < _LENGTH + _DIGEST or self.size + len(head) + length > self.path.stat().st_size:
                    break
                body = file.read(length)
                if hashlib.sha256(body).digest() != head[_LENGTH:]:
                    break
                more, document = _decode(body)
                steps += more
                self.size += len(head) + length
        return Noted(steps, document)

    def close(self) -> None:
        """Let go of the file."""
        file, self._file = self._file, None
        if file is not None:
            try:
                file.close()
            except OSError:
                # what its buffer still held is cut off before the next frame
                return


def _encode(steps: Iterable[Step], document: dict[str, Any]) -> bytes:
    # imported here: the module registers coders with Beam
    from pipelines.coders import encode_batch

    told: list[list[Any]] = []
    bodies = []
    for step in steps:
        if step.rows is None:
            told.append([step.kind, step.watermark_us])
            continue
        body = encode_batch(step.rows)
        bodies.append(body + b"\0" * (-len(body) % _ALIGNED))
        told.append([step.kind, len(bodies[-1])])
    head = orjson.dumps({"steps": told, "document": document})
    return b"".join([head, b" " * (-(len(head) + 1) % _ALIGNED), b"\n", *bodies])


def _decode(body: bytes) -> tuple[list[Step], dict[str, Any]]:
    from pipelines.coders import decode_batch

    head, _, _ = body.partition(b"\n")
    said = orjson.loads(head)
    start = len(head) + 1
    steps = []
    for kind, number in said["steps"]:
        if kind == "watermark":
            steps.append(Step(kind, None, int(number)))
        else:
            steps.append(Step(kind, decode_batch(body[start : start + number])))
            start += number
    return steps, said["document"]
