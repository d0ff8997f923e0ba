"""What is printed and how: tables on a terminal, plain lines in a pipe, JSON for programs; none of it steers them."""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Sequence
from dataclasses import fields, is_dataclass
from typing import TYPE_CHECKING, Any, Literal, TextIO

import click

if TYPE_CHECKING:
    from rich.console import Console


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
    stacked: Sequence[tuple[str, ...]] = (),
    whole: Sequence[str] = (),
) -> None:
    """Print rows of text below their headings.

    Args:
        columns: the headings.
        rows: one text for each column; made printable here.
        styles: a rich style for each row, on a terminal.
        styled: the column that the styles are for.
        right: the columns that hold numbers.
        stacked: neighbouring columns that stand above each other on a terminal, where width is scarce.
        whole: columns that are never broken into lines.
    """
    cells = [[printable(cell) for cell in row] for row in rows]
    if not sys.stdout.isatty():
        _print_plain(columns, cells, right)
        return
    from rich import box
    from rich.table import Table
    from rich.text import Text

    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, padding=(0, 1, 0, 0))
    below = {name: group for group in stacked for name in group}
    groups = list(dict.fromkeys(below.get(name, (name,)) for name in columns))
    for group in groups:
        justify: Literal["left", "right"] = "right" if group[0] in right else "left"
        table.add_column("\n".join(group), justify=justify, overflow="fold", no_wrap=set(group) <= set(whole))
    for i, row in enumerate(cells):
        texts = {
            name: Text(cell, style=styles[i] if styles and name == styled else "")
            for name, cell in zip(columns, row, strict=True)
        }
        table.add_row(*(Text("\n").join(texts[name] for name in group) for group in groups))
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
