"""The command ``lonetree`` itself: what there is, and which module holds it. Loads none of them to say so."""

from __future__ import annotations

import difflib
import importlib
from typing import Final

import click

#: each command: the module that holds it as ``command``, and what it does, as ``lonetree --help`` says it
COMMANDS: Final[dict[str, tuple[str, str]]] = {
    "demo": ("pipelines.cli.demo", "Simulate, train, replay, and show the incidents."),
    "simulate": ("pipelines.cli.simulate", "Write labelled sample logs to try things on."),
    "train": ("pipelines.cli.train", "Learn what is normal from logs; adds a version to a registry."),
    "replay": ("pipelines.cli.replay", "Judge logs with a trained version; writes verdicts and incidents."),
    "watch": ("pipelines.cli.watch", "Judge logs as they come; sends incidents to sinks."),
    "incidents": ("pipelines.cli.incidents", "Show what a replay found, or one incident from all sides."),
    "evaluate": ("pipelines.cli.evaluate", "Measure verdicts against the truth."),
    "feedback": ("pipelines.cli.feedback", "Say that an incident is expected, or bad; or take that back."),
    "models": (
        "pipelines.cli.models",
        "The versions in a registry: list, compare, promote, roll back, sign, drift.",
    ),
}

EPILOG: Final = """\
\b
Start here:
  lonetree demo                                        everything once, on sample logs
  lonetree train --input logs/october --models models  learn what is normal
  lonetree replay --input logs/november --models models --output out
  lonetree incidents out                               what deserves a person

\b
Exit codes:
  0    done (also where incidents were found)
  1    a fault in Lonetree itself
  2    the command line or the input can't be used
  3    a trained version or a registry can't be used
  4    a source of logs fails
  5    a destination of results fails
  130  interrupted

\b
Errors say what was expected, what came, and what to do; LONETREE_DEBUG=1 adds the traceback.
Logs hold what callers sent: whatever comes from them is shown with control characters escaped.
"""


class Lazy(click.Group):
    """A group that knows its commands by name and loads one when it is called."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 - click's signature
        """The names, in the order in which a newcomer needs them."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002 - as above
        """The command of that name, from its module."""
        if cmd_name not in COMMANDS:
            return None
        command = importlib.import_module(COMMANDS[cmd_name][0]).command
        assert isinstance(command, click.Command)  # noqa: S101 - narrows the type; a test loads each
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """The command that the words begin with; an unknown one is refused with the nearest name."""
        name = args[0]
        if name not in COMMANDS and not name.startswith("-"):
            near = difflib.get_close_matches(name, COMMANDS, n=1)
            hint = f"Did you mean '{near[0]}'?" if near else f"There are {', '.join(COMMANDS)}."
            ctx.fail(f"No such command {name!r}. {hint}")
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002 - as above
        """The list of commands, from the table alone."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, short) for name, (_, short) in COMMANDS.items()])


def _version(ctx: click.Context, _param: click.Parameter, value: bool) -> None:
    if value:
        from importlib.metadata import version

        click.echo(f"lonetree {version('lonetree')}")
        ctx.exit()


@click.group(
    cls=Lazy,
    epilog=EPILOG,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    no_args_is_help=False,
    invoke_without_command=True,
)
@click.option("--version", is_flag=True, is_eager=True, expose_value=False, callback=_version, help="Show the version.")
@click.pass_context
def lonetree(ctx: click.Context) -> None:
    """Lonetree reads the invocation logs of serverless functions and raises the few incidents that deserve a person."""
    if ctx.invoked_subcommand is None:
        click.echo(ctx.get_help())
