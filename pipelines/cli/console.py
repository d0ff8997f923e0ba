"""What is printed where: results to stdout, progress to stderr; rich on a terminal, plain lines in a pipe."""

from __future__ import annotations

import json
import math
import sys
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import fields, is_dataclass
from types import TracebackType
from typing import TYPE_CHECKING, Any, Final, TextIO

import click

if TYPE_CHECKING:
    from rich.console import Console
    from rich.progress import Progress as RichProgress
    from rich.progress import TaskID

#: in a pipe, a line of progress at most this often, s: enough to see life, too little to fill a log
LINE_EVERY_S: Final = 5.0


def printable(text: str) -> str:
    """One line that is safe to print: control characters, bidi overrides and invisible ones escaped."""
    # one rule for every place that prints text from logs to a terminal
    from pipelines.sinks.escape import terminal

    return terminal(text)


def console(stream: TextIO | None = None) -> Console:
    """A rich console that takes nothing for markup, emoji codes or links."""
    from rich.console import Console

    return Console(file=stream or sys.stdout, markup=False, emoji=False, highlight=False)


def print_json(value: Any) -> None:
    """Print one JSON document; a dataclass is an object, NaN and infinities are null.

    It is ASCII, so that no text from logs can steer a terminal.
    """
    click.echo(json.dumps(_finite(value), indent=2, ensure_ascii=True, allow_nan=False, default=str))


def _finite(value: Any) -> Any:
    if is_dataclass(value) and not isinstance(value, type):
        return _finite({field.name: getattr(value, field.name) for field in fields(value)})
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, dict):
        return {str(key): _finite(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_finite(item) for item in value]
    return value


def print_table(
    columns: Sequence[str],
    rows: Sequence[Sequence[str]],
    *,
    styles: Sequence[str] = (),
    styled: str = "",
    right: Sequence[str] = (),
) -> None:
    """Print rows of text below their headings.

    Args:
        columns: the headings.
        rows: one text for each column; made printable here.
        styles: a rich style for each row, on a terminal.
        styled: the column that the styles are for.
        right: the columns that hold numbers.
    """
    cells = [[printable(cell) for cell in row] for row in rows]
    if not sys.stdout.isatty():
        _print_plain(columns, cells, right)
        return
    from rich import box
    from rich.table import Table
    from rich.text import Text

    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for column in columns:
        table.add_column(column, justify="right" if column in right else "left", overflow="fold")
    for i, row in enumerate(cells):
        style = styles[i] if styles else ""
        table.add_row(
            *(Text(cell, style=style if name == styled else "") for name, cell in zip(columns, row, strict=True))
        )
    console().print(table)


def _print_plain(columns: Sequence[str], cells: Sequence[Sequence[str]], right: Sequence[str]) -> None:
    """Aligned columns without a limit on width, the last one ragged."""
    widths = [max(map(len, column)) for column in zip(columns, *cells, strict=True)]
    for row in [columns, *cells]:
        padded = [
            cell.rjust(width) if name in right else cell.ljust(width)
            for name, cell, width in zip(columns, row, widths, strict=True)
        ]
        click.echo("  ".join(padded).rstrip())


class ShownProgress:
    """Progress on stderr: a bar on a terminal, else a line every few seconds and one at the end of each stage.

    Use as a context manager; call it as ``pipelines.progress.Progress``.

    Args:
        stream: where to write; stderr by default.
        clock: seconds, monotonic.
    """

    def __init__(self, stream: TextIO | None = None, clock: Callable[[], float] = time.monotonic) -> None:
        self._stream = stream or sys.stderr
        self._clock = clock
        self._lock = threading.Lock()
        self._bars: RichProgress | None = None
        self._tasks: dict[str, TaskID] = {}
        self._stage = ""
        self._line = ""
        self._began = self._said = clock()

    def __enter__(self) -> ShownProgress:
        """Start to show."""
        if self._stream.isatty():
            from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

            self._bars = Progress(
                TextColumn("{task.description}", markup=False),
                BarColumn(),
                MofNCompleteColumn(),
                TextColumn("{task.fields[unit]}", markup=False),
                TimeElapsedColumn(),
                console=console(self._stream),
                transient=True,
            )
            self._bars.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Say the last word and give the terminal back."""
        if self._bars is not None:
            self._bars.stop()
        elif kind is None:
            self._end_stage()

    def __call__(self, stage: str, done: float, total: float | None = None, unit: str = "") -> None:
        """See ``pipelines.progress.Progress``."""
        with self._lock:
            if self._bars is None:
                self._say(stage, done, total, unit)
                return
            if stage not in self._tasks:
                self._tasks[stage] = self._bars.add_task(printable(stage), total=total, unit=unit)
            self._bars.update(self._tasks[stage], completed=done, total=total, unit=unit)

    def _say(self, stage: str, done: float, total: float | None, unit: str) -> None:
        now = self._clock()
        if stage != self._stage:
            self._end_stage()
            self._stage, self._began, self._said = stage, now, now
            self._write(f"{stage} …")
        of = f" of {total:,.0f}" if total is not None else ""
        # a stage that only says that it is busy has nothing to count
        self._line = f"{stage}: {done:,.0f}{of} {unit}".rstrip() if done or total else stage
        if now - self._said >= LINE_EVERY_S:
            self._said = now
            self._write(f"{self._line} ({now - self._began:.0f} s)")

    def _end_stage(self) -> None:
        if self._line:
            self._write(f"{self._line}, done in {self._clock() - self._began:.1f} s")
            self._line = ""

    def _write(self, line: str) -> None:
        self._stream.write(printable(line) + "\n")
        self._stream.flush()
