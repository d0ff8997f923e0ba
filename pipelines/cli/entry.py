"""From the words of a command line to an exit code: runs a command, and turns whatever it raises into a message."""

from __future__ import annotations

import gc
import os
import sys
import threading
from collections.abc import Sequence
from typing import Final, NoReturn

import click

from pipelines.cli.failures import ExitCode, report
from pipelines.cli.group import lonetree

#: seconds after which a thread that runs Python gives way to one that waits; ten times as many unless it is said
SWITCH_S: Final = 0.0005


def main() -> NoReturn:
    """Run ``lonetree`` with the words of this process and end it with the exit code (see ``lonetree --help``)."""
    code = run(sys.argv[1:])
    sys.stdout.flush()
    sys.stderr.flush()
    if code == ExitCode.INTERRUPTED and any(not one.daemon for one in threading.enumerate()[1:]):
        # a runner's worker threads would keep an interrupted process alive until their bundles are done
        os._exit(code)
    # Python would look through all that is there for garbage, several times, before the system takes it back
    gc.disable()
    gc.freeze()
    sys.exit(code)


def run(words: Sequence[str]) -> int:
    """Run ``lonetree`` with the given words. Never raises.

    Returns:
        int: the exit code, one of ``ExitCode`` or what ``click`` asks for.
    """
    _show_what_a_stream_cannot_encode()
    # two lanes share Python's lock: who waits for it a tenth as long keeps its core busier, and nobody loses by it
    sys.setswitchinterval(SWITCH_S)
    try:
        result = lonetree.main(args=list(words), prog_name="lonetree", standalone_mode=False)
    except BrokenPipeError:
        # whoever read our output has seen enough, as in `lonetree incidents OUT | head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return ExitCode.OK
    except (click.Abort, KeyboardInterrupt):
        click.echo("Interrupted before it was done; the same command begins anew.", err=True)
        return ExitCode.INTERRUPTED
    except Exception as error:
        return report(error)
    return result if isinstance(result, int) else ExitCode.OK


def _show_what_a_stream_cannot_encode() -> None:
    """On a stream that isn't UTF-8, escape what it can't hold rather than fail."""
    for stream in (sys.stdout, sys.stderr):
        reconfigure = getattr(stream, "reconfigure", None)
        if reconfigure is not None:
            reconfigure(errors="backslashreplace")
