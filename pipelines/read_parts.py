"""The beginning of a bounded job: parts of files, and who reads which."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import apache_beam as beam

from pipelines.graph import TAKEN
from pipelines.lanes import deal as deal_out
from pipelines.sources.files import FileRef
from pipelines.steps import Reader, read_files


def read_parts(
    pipeline: beam.Pipeline,
    parts: Sequence[FileRef],
    reader: Reader,
    run: str,
    lanes: int,
    spool: Path | None,
    *,
    every_operation: bool = False,
) -> Any:
    """Wire parts of files to ``rows`` and ``dead``.

    Args:
        pipeline: Beam's.
        parts: of files, each to be read once.
        reader: how.
        run: its name.
        lanes: how many workers read.
        spool: a folder of this machine, if all workers are on it: whoever is free takes the next part then. None: each
            has its own from the beginning.
        every_operation: all rows keep their operation, so that it can be learned who follows whom.
    """
    if spool is None:
        given, taken = deal(parts, lanes), None
    else:
        given, taken = [(lane, part) for lane in range(lanes) for part in parts], str(spool / TAKEN)
    pieces = pipeline | "Files" >> beam.Create(given) | "Deal" >> beam.GroupByKey()
    return pieces | "Read" >> read_files(reader, run, taken, every_operation=every_operation)


def deal(refs: Sequence[FileRef], lanes: int) -> list[tuple[int, FileRef]]:
    """Give each file to a lane, the largest first and always to the lane with least, so that all end together."""
    sizes = sorted(((_size(ref), ref) for ref in refs), key=lambda pair: (-pair[0], pair[1]))
    return [(lane, ref) for lane, (_, ref) in zip(deal_out([size for size, _ in sizes], lanes), sizes, strict=True)]


def _size(ref: FileRef) -> int:
    if ref.size:
        return ref.size
    path = Path(ref.path)
    return path.stat().st_size if "://" not in ref.path and path.exists() else 0
