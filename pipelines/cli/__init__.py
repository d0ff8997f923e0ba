"""The command line, ``lonetree``: one module a command, loaded when the command is called."""

from pipelines.cli.entry import main

__all__ = ["main"]
