"""What there is to read: one file, or the part of one that a lane is given."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import IO, Final

from detectors.conform import Conformed, ConformOptions
from detectors.conform.assemble import dead_letters, no_rows
from detectors.conform.options import schema_of
from pipelines.sources.remote import file_systems

#: to the end of a file, whatever its size
TO_THE_END: Final = -1


@dataclass(frozen=True, order=True)
class FileRef:
    """One file to read."""

    #: path or URL; also the ``source`` of its rows
    path: str
    #: "parquet" or "json"
    format: str
    #: gzipped
    compressed: bool = False
    #: of a part: its first row group (Parquet), or the byte from which on its lines begin (JSON Lines)
    begin: int = 0
    #: of a part: the row group behind its last, or the byte before which its lines begin
    end: int = TO_THE_END
    #: of a part: about how many bytes it takes
    size: int = 0

    @property
    def whole(self) -> bool:
        """Whether this is a file and no part of one."""
        return self.begin == 0 and self.end == TO_THE_END


def open_binary(path: str) -> IO[bytes]:
    """A seekable binary stream of a local file or of a blob, its bytes as they are stored."""
    if "://" not in path:
        return Path(path).open("rb")
    from apache_beam.io.filesystem import CompressionTypes

    stream: IO[bytes] = file_systems(path).open(path, compression_type=CompressionTypes.UNCOMPRESSED)
    return stream


def local(ref: FileRef) -> bool:
    """Whether the file's own bytes can be read from this machine's disk."""
    return "://" not in ref.path and not ref.compressed


def broken(ref: FileRef, position: int, error: str, options: ConformOptions) -> Conformed:
    """The dead letter of a file that breaks off."""
    return Conformed(no_rows(schema_of(options)), dead_letters(ref.path, [(position, error, "")], options), 0)


def even(begin: int, end: int, step: int) -> Iterator[tuple[int, int]]:
    """A range in stretches of about ``step``, all of about the same length."""
    count = max(1, (end - begin) // step)
    marks = [begin + (end - begin) * number // count for number in range(count + 1)]
    yield from pairwise(marks)


def one_line(error: Exception) -> str:
    """An error's text as it may stand in a dead letter."""
    return " ".join(str(error).split())[:200]
