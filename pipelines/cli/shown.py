"""A streaming job as it is seen: a line that is kept current on a terminal, else lines of JSON; ``--http``."""

from __future__ import annotations

import json
import logging
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final

import click

from pipelines.cli.console import console, printable

if TYPE_CHECKING:
    from pipelines.vitals import Vitals

#: between two lines of a log that is no terminal, s
_LINE_EVERY_S: Final = 30.0
#: between two looks of the line on a terminal, s
_LOOK_EVERY_S: Final = 0.5


class Shown:
    """Shows vital signs as long as the context lasts; warnings become lines of JSON where the signs are.

    Args:
        vitals: asked at each look.
        more: also in each line of JSON.
    """

    def __init__(self, vitals: Callable[[], Vitals], **more: str) -> None:
        self._vitals, self._more = vitals, more
        self._live: Any = None
        self._said = float("-inf")

    def __enter__(self) -> Shown:
        if sys.stderr.isatty():
            from rich.live import Live

            self._live = Live(console=console(sys.stderr), auto_refresh=False, transient=True)
            self._live.start()
        else:
            handler = _JsonLog(level=logging.WARNING)
            for name in ("models", "detectors", "pipelines"):
                logger = logging.getLogger(name)
                logger.handlers = [handler]
                logger.propagate = False
        return self

    def __exit__(self, *error: object) -> None:
        if self._live is not None:
            self._live.stop()
        else:
            self._say()

    def look(self) -> None:
        """Show how it is, if it is time to."""
        now = time.monotonic()
        if now - self._said < (_LOOK_EVERY_S if self._live is not None else _LINE_EVERY_S):
            return
        self._said = now
        self._say()

    def _say(self) -> None:
        from pipelines.vitals import as_json, status_line

        if self._live is None:
            _line({"level": "info", **self._more, **as_json(self._vitals())})
            return
        from rich.text import Text

        self._live.update(Text(printable(status_line(self._vitals()))), refresh=True)


@contextmanager
def served(vitals: Callable[[], Vitals], port: int | None, host: str) -> Iterator[None]:
    """Serve ``/healthz`` and ``/metrics`` as long as the context lasts; without a port nothing.

    Raises:
        InputError: the port is taken.
    """
    if port is None:
        yield
        return
    from pipelines.serve import Served

    server = Served(vitals, port, host)
    click.echo(f"http://{host}:{server.port}/healthz and /metrics", err=True)
    try:
        yield
    finally:
        server.close()


class _JsonLog(logging.Handler):
    """Warnings and errors as JSON lines among the others."""

    def emit(self, record: logging.LogRecord) -> None:
        """One line."""
        _line({"level": record.levelname.lower(), "message": printable(record.getMessage())})


def _line(what: dict[str, Any]) -> None:
    at = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
    sys.stderr.write(json.dumps({"at": at, **what}, ensure_ascii=True, default=str) + "\n")
    sys.stderr.flush()
