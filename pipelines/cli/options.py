"""Options that several commands share: ``--input`` with many paths, Beam options behind ``--``, budget and JSON."""

from __future__ import annotations

import gc
import importlib
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final, TypeVar

import click
from click.core import ParameterSource

from models.errors import InputError
from pipelines.lean_imports import lean_imports, no_notebook

F = TypeVar("F", bound=Callable[..., Any])

#: where a context keeps the words behind ``--``
_BEAM: Final = "lonetree.beam_options"


class LogsCommand(click.Command):
    """A command that reads logs: ``--input`` takes several paths, and what stands behind ``--`` goes to Beam."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Set Beam's words aside, and repeat ``--input`` before each of its paths."""
        own, beam = split_beam(args)
        ctx.meta[_BEAM] = beam
        return super().parse_args(ctx, repeat_option(own, "--input"))

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command, Beam's own messages off the screen."""
        with _all_kept(), lean_imports():
            from pipelines.cli.quiet import quiet

            quiet()
            importlib.import_module("pipelines.workflows")
        with no_notebook():
            return super().invoke(ctx)

    def collect_usage_pieces(self, ctx: click.Context) -> list[str]:
        """The usage line, with the words for Beam."""
        return [*super().collect_usage_pieces(ctx), "[-- BEAM OPTIONS]"]


@contextmanager
def _all_kept() -> Iterator[None]:
    """Load modules without looking for garbage: all of it stays, and looking takes a fifth of the time."""
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        gc.enable()


def split_beam(words: list[str]) -> tuple[list[str], list[str]]:
    """The words before the first ``--``, and those behind it."""
    if "--" not in words:
        return words, []
    at = words.index("--")
    return words[:at], words[at + 1 :]


def repeat_option(words: Iterable[str], option: str) -> list[str]:
    """The words with the option before each of the values that follow it, as click wants them.

    >>> repeat_option(["--input", "a", "b", "--json"], "--input")
    ['--input', 'a', '--input', 'b', '--json']
    """
    found: list[str] = []
    inside = False
    for word in words:
        if word.startswith(f"{option}="):
            inside = True
            found += [option, word.removeprefix(f"{option}=")]
        elif word.startswith("-"):
            inside = word == option
            found.append(word)
        elif inside and found[-1] != option:
            found += [option, word]
        else:
            found.append(word)
    return found


def beam_options() -> list[str]:
    """The words behind ``--`` of the command that runs."""
    return list(click.get_current_context().meta.get(_BEAM, []))


def refuse_given(names: Iterable[str], why: str, hint: str) -> None:
    """Refuse options that say nothing here, where they were given.

    Args:
        names: of parameters of the command that runs.
        why: goes on from the option's name.
        hint: what to do instead.

    Raises:
        InputError: one was given.
    """
    context = click.get_current_context()
    for name in names:
        if context.get_parameter_source(name) is ParameterSource.COMMANDLINE:
            option = f"--{name.replace('_', '-')}"
            raise InputError(f"{option} {why}.", expected=f"the command without {option}", received=option, hint=hint)


def _paths(_ctx: click.Context, _param: click.Parameter, paths: tuple[str, ...]) -> list[str]:
    for path in paths:
        if path.startswith("-"):
            raise click.BadParameter(f"expected a path, received {path!r} (a path that begins so: ./{path})")
    return list(paths)


def input_option(function: F) -> F:
    """``--input PATH...``, at least one."""
    return click.option(
        "--input",
        "inputs",
        metavar="PATH...",
        multiple=True,
        required=True,
        callback=_paths,
        help="Files, folders or globs of logs, local or azfs://, in any shape that Azure writes (Parquet, JSON, .gz).",
    )(function)


class Place(click.Path):
    """A folder, or a place of blobs, ``azfs://account/container/path``."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """A Path, or the text where it is no path."""
        return value if "://" in str(value) else super().convert(value, param, ctx)


def models_option(function: F) -> F:
    """``--models DIR``, the registry."""
    return click.option(
        "--models",
        metavar="DIR",
        required=True,
        type=Place(file_okay=False, path_type=Path),
        help="The registry: a folder of trained versions, or azfs://account/container/path.",
    )(function)


def pseudonym_option(function: F) -> F:
    """``--pseudonym-key env:NAME|file:PATH``."""
    return click.option(
        "--pseudonym-key",
        metavar="KEY",
        help="Know callers by pseudonyms only, made by the key that is kept in env:NAME or file:PATH. A version judges "
        "with the key that it was trained with.",
    )(function)


def value_option(name: str, metavar: str | None, kind: Any, meaning: str, default: Any = None) -> Callable[[F], F]:
    """An option with one value; its default is shown where it has one."""
    return click.option(
        name, metavar=metavar, type=kind, default=default, show_default=default is not None, help=meaning
    )


#: a folder to write to
FOLDER: Final = click.Path(file_okay=False, path_type=Path)
ABOVE_ZERO: Final = click.FloatRange(min=0, min_open=True)
FROM_ZERO: Final = click.FloatRange(min=0)

budget_option: Final = value_option(
    "--budget", "N", ABOVE_ZERO, "False incidents a day that you are willing to read.", default=1.0
)
verdicts_option: Final = value_option(
    "--verdicts",
    None,
    click.Choice(["anomalous", "all"]),
    "Which invocations get a row in verdicts/.",
    default="anomalous",
)
scale_option: Final = value_option(
    "--scale", "S", ABOVE_ZERO, "Traffic, as a multiple of about 100,000 invocations a day.", default=1.0
)


def json_option(function: F) -> F:
    """``--json``, for programs."""
    return click.option("--json", "as_json", is_flag=True, help="Print one JSON document instead, for programs.")(
        function
    )
