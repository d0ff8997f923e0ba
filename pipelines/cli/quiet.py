"""What libraries log by themselves: kept off the screen, where our own messages say it better."""

from __future__ import annotations

import logging
import os
from typing import Any, Final

from pipelines.cli.console import printable
from pipelines.cli.failures import DEBUG_VARIABLE

#: loggers of ours; what they warn of is shown
OURS: Final = ("models", "detectors", "pipelines")


class _Printable(logging.Formatter):
    """One line a message, made printable: it may quote a log."""

    def format(self, record: logging.LogRecord) -> str:
        return printable(f"{record.levelname.lower()}: {record.getMessage()}")


def _silence_workers() -> None:
    """Keep Beam's local workers from printing the traceback of an error that they raise as well."""
    from apache_beam.runners.worker import sdk_worker

    def nothing(*_: Any, **__: Any) -> None:
        """Takes the place of ``print`` in that module."""

    vars(sdk_worker)["print"] = nothing


def quiet() -> None:
    """Show our own warnings on stderr, those of libraries only where LONETREE_DEBUG is set. May be called again."""
    if os.environ.get(DEBUG_VARIABLE):
        logging.basicConfig(level=logging.INFO)
        return
    # with a handler there, neither Python nor Beam adds one that prints a worker's tracebacks
    logging.getLogger().addHandler(logging.NullHandler())
    handler = logging.StreamHandler()
    handler.setFormatter(_Printable())
    for name in OURS:
        logger = logging.getLogger(name)
        if not logger.handlers:
            logger.addHandler(handler)
    _silence_workers()
