"""What a failure looks like on the command line: a message in four parts without a traceback, and an exit code."""

from __future__ import annotations

import enum
import errno
import os
import re
import sys
import traceback
from typing import Final

import click

from models import errors
from models.errors import InputError, LonetreeError, SinkError

#: set to anything, it shows the traceback of a failure
DEBUG_VARIABLE: Final = "LONETREE_DEBUG"
#: the extra of ours that brings a module which may be missing
_EXTRAS: Final = {"azure": "azure", "confluent_kafka": "kafka"}
#: an error of ours inside the traceback that a Beam worker sends as text, with its indented parts
_IN_TRACEBACK: Final = re.compile(
    r"^(?:\w+\.)*errors\.(?P<kind>\w+): (?P<message>.*)$(?P<parts>(?:\n  (?:expected|received|hint): .*)*)",
    re.MULTILINE,
)
#: how a worker's traceback ends where the disk is full
_FULL: Final = re.compile(r"OSError: \[Errno (?:28|122)\]")
_WRITABLE: Final = "a disk with room that can be written"
#: what Beam appends to a message
_STEP: Final = re.compile(r" \[while running '.*'\]$")
_DISK: Final = {errno.ENOSPC, errno.EDQUOT, errno.EROFS}


class ExitCode(enum.IntEnum):
    """What the exit code of ``lonetree`` says."""

    OK = 0
    INTERNAL = 1
    USAGE = 2
    MODEL = 3
    SOURCE = 4
    SINK = 5
    INTERRUPTED = 130


def report(error: BaseException) -> int:
    """Write a failure to stderr, and say with which code to end.

    Args:
        error: what a command raised.

    Returns:
        int: one of ``ExitCode``.
    """
    if os.environ.get(DEBUG_VARIABLE):
        traceback.print_exception(error)
    if isinstance(error, click.ClickException):
        error.show(sys.stderr)
        return ExitCode.USAGE
    ours = as_lonetree(error)
    if ours is None:
        # a Beam worker sends its whole traceback as the message; the last line says what happened
        last = (str(error).strip().splitlines() or [""])[-1]
        click.echo(f"internal error: {type(error).__name__}: {_printable(last)}", err=True)
        click.echo(f"  hint: this is a fault in Lonetree; {DEBUG_VARIABLE}=1 shows where", err=True)
        return ExitCode.INTERNAL
    click.echo("error: " + "\n  ".join(_printable(line.strip()) for line in str(ours).splitlines()), err=True)
    if ours.retry:
        click.echo("  trying again may help", err=True)
    return ours.exit_code


def as_lonetree(error: BaseException) -> LonetreeError | None:
    """The error of ours that stands behind an exception: itself, its cause, or one that a Beam worker sent as text.

    Args:
        error: any exception.

    Returns:
        LonetreeError | None: None where nothing of ours stands behind it: a fault of the program.
    """
    seen: BaseException | None = error
    found: LonetreeError | None = None
    while seen is not None:
        if isinstance(seen, LonetreeError):
            # the innermost: Beam raises a copy of it that has lost all but the message
            found = seen
        seen = seen.__cause__ or seen.__context__
    return found or _of_system(error) or _of_text(str(error))


def _of_text(text: str) -> LonetreeError | None:
    if _FULL.search(text):
        return _full("")
    match = _IN_TRACEBACK.search(text)
    kind = getattr(errors, match["kind"], None) if match else None
    if match is None or not (isinstance(kind, type) and issubclass(kind, LonetreeError)):
        return None
    parts = dict(line.strip().split(": ", 1) for line in match["parts"].splitlines() if line.strip())
    message = _STEP.sub("", match["message"])
    return kind(message, expected=parts.get("expected"), received=parts.get("received"), hint=parts.get("hint"))


def _of_system(error: BaseException) -> LonetreeError | None:
    if isinstance(error, ModuleNotFoundError):
        extra = _EXTRAS.get((error.name or "").split(".")[0])
        if extra is not None:
            return InputError(
                f"The module {error.name} is not installed.", hint=f"python3 -m pip install 'lonetree[{extra}]'"
            )
    if isinstance(error, OSError) and error.errno is not None:
        where = f"{error.filename}: " if error.filename is not None else ""
        message = f"{where}{error.strerror}."
        if error.errno in _DISK:
            return _full(where) if error.errno != errno.EROFS else SinkError(message, expected=_WRITABLE)
        if error.filename is not None:
            return InputError(message)
    return None


def _full(where: str) -> SinkError:
    return SinkError(
        f"{where}No space left on device.",
        expected=_WRITABLE,
        hint="Make room; scratch files go where TMPDIR points, /tmp by default.",
        retry=True,
    )


def _printable(text: str) -> str:
    from pipelines.cli.console import printable

    return printable(text)
