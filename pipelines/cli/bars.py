"""Progress as a person sees it: a bar on a terminal, else a line every few seconds."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Callable
from types import TracebackType
from typing import TYPE_CHECKING, Final, TextIO

from pipelines.cli.console import console, printable

if TYPE_CHECKING:
    from rich.progress import Progress, TaskID

#: in a pipe, a line of progress at most this often, s: enough to see life, too little to fill a log
LINE_EVERY_S: Final = 5.0
COMPILING: Final = "compiling loops, once after an installation: half a minute or so"


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
        self._bars: Progress | None = None
        self._tasks: dict[str, TaskID] = {}
        self._stage = ""
        self._line = ""
        self._began = self._said = clock()
        self._deafen: Callable[[], None] | None = None

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
        if self._deafen is not None:
            self._deafen()
        if self._bars is not None:
            self._bars.stop()
        elif kind is None:
            self._end_stage()

    def __call__(self, stage: str, done: float, total: float | None = None, unit: str = "") -> None:
        """See ``pipelines.progress.Progress``."""
        with self._lock:
            # a job that compiles nothing is spared the import
            if self._deafen is None and "models.jit" in sys.modules:
                from models.jit import when_compiling

                self._deafen = when_compiling(self._compiling)
            if self._bars is None:
                self._say(stage, done, total, unit)
                return
            if stage not in self._tasks:
                self._tasks[stage] = self._bars.add_task(printable(stage), total=total, unit=unit)
            self._bars.update(self._tasks[stage], completed=done, total=total, unit=unit)

    def _compiling(self) -> None:
        with self._lock:
            if self._bars is None:
                self._write(COMPILING)
            else:
                self._bars.console.print(COMPILING)

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
