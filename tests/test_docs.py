"""The docs and the program agree: every command, option, make target and link in them exists, none is left out."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

from pipelines.cli.group import COMMANDS, lonetree

ROOT = Path(__file__).resolve().parent.parent
DOCS = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").rglob("*.md"))]
#: commands that docs of finished parts speak of before they exist
ANNOUNCED: set[str] = set()
#: the table of commands in the README: | `lonetree name ARGUMENT` | ... | `--option` `--option` |
ROW = re.compile(r"^\| `lonetree (?P<words>[^`]+)` \|[^|]*\|(?P<options>[^|]*)\|$", re.MULTILINE)


def name_of(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def commands(group: click.Group, above: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], click.Command]]:
    """Each command with the words that call it, groups within groups looked into."""
    for name in group.list_commands(click.Context(group)):
        command = group.get_command(click.Context(group), name)
        assert command is not None
        if isinstance(command, click.Group):
            yield from commands(command, (*above, name))
        else:
            yield (*above, name), command


PROGRAM = dict(commands(lonetree))


def options(command: click.Command) -> set[str]:
    return {text for one in command.params for text in one.opts if text.startswith("--")}


def shown_lines(text: str) -> Iterator[str]:
    """Command lines in a Markdown text: indented or fenced blocks, and inline code that calls lonetree."""
    fenced = False
    for line in text.splitlines():
        if line.lstrip().startswith("```"):
            fenced = not fenced
        elif (fenced or line.startswith("    ")) and re.match(r"\s*(\$ )?(\S*/)?lonetree\s+[a-z-]", line):
            yield line.strip().removeprefix("$ ")
    yield from re.findall(r"`(lonetree [a-z-][^`]*)`", text)


def faults(line: str) -> list[str]:
    """What is wrong with a shown command line: no such command, no such option."""
    words = shlex.split(line.partition(" -- ")[0], comments=True)[1:]
    if words and words[0].startswith("-"):
        return [word for word in words if word not in {"--help", "--version"}]
    names = [words[:depth] for depth in (2, 1) if tuple(words[:depth]) in PROGRAM]
    if not names and words[0] in ANNOUNCED:
        return []
    if not names:
        return [] if words[0] in COMMANDS and len(words) == 1 else [f"no command {' '.join(words[:2])}"]
    known = options(PROGRAM[tuple(names[0])]) | {"--help"}
    asked = {word.partition("=")[0] for word in words if word.startswith("--")}
    return sorted(f"no option {word}" for word in asked - known)


@pytest.mark.parametrize("path", DOCS, ids=name_of)
def test_every_command_line_in_the_docs_can_be_typed(path: Path) -> None:
    wrong = {line: faults(line) for line in shown_lines(path.read_text(encoding="utf-8")) if faults(line)}
    assert wrong == {}


def test_what_is_announced_does_not_exist_yet() -> None:
    assert ANNOUNCED & set(COMMANDS) == set()


@pytest.mark.parametrize("words", PROGRAM, ids=" ".join)
def test_every_example_in_the_help_can_be_typed(words: tuple[str, ...]) -> None:
    examples = [
        line.strip() for line in (PROGRAM[words].help or "").splitlines() if line.strip().startswith("lonetree")
    ]
    assert {line: faults(line) for line in examples if faults(line)} == {}


@pytest.mark.parametrize("words", PROGRAM, ids=" ".join)
def test_the_readme_has_every_command_with_every_option(words: tuple[str, ...]) -> None:
    rows = ROW.finditer((ROOT / "README.md").read_text(encoding="utf-8"))
    listed = {
        tuple(word for word in row["words"].split() if re.fullmatch("[a-z-]+", word)): set(
            re.findall(r"`(--[a-z-]+)`", row["options"])
        )
        for row in rows
    }
    assert listed.get(words) == options(PROGRAM[words])


@pytest.mark.parametrize("path", DOCS, ids=name_of)
def test_every_make_target_in_the_docs_exists(path: Path) -> None:
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))
    text = path.read_text(encoding="utf-8")
    asked = set(re.findall(r"(?:^    |`)make ([a-z-]+)", text, re.MULTILINE))
    assert asked - targets == set()


@pytest.mark.parametrize("path", DOCS, ids=name_of)
def test_every_link_to_a_file_leads_somewhere(path: Path) -> None:
    links = re.findall(r"\]\(([^)#\s]+)", path.read_text(encoding="utf-8"))
    local = [link for link in links if not link.startswith(("http:", "https:", "mailto:"))]
    assert [link for link in local if not (path.parent / link).exists()] == []


def test_each_decision_has_a_number_of_its_own_and_a_status() -> None:
    records = sorted((ROOT / "docs" / "decisions").glob("*.md"))
    numbers = [path.name[:5] for path in records]
    assert [number for number in numbers if not re.fullmatch(r"\d{4}-", number) or numbers.count(number) > 1] == []
    assert [path.name for path in records if "- Status:" not in path.read_text(encoding="utf-8")] == []


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("lonetree incidents out --id 3f", []),
        ("lonetree incidents out --idd 3f", ["no option --idd"]),
        ("lonetree incident out", ["no command incident out"]),
        ("lonetree models list --models models", []),
        ("lonetree models lost --models models", ["no command models lost"]),
        ("lonetree replay --input a -- --runner=X", []),
        ("lonetree --help", []),
    ],
)
def test_the_check_of_command_lines_sees_what_is_wrong(line: str, expected: list[str]) -> None:
    assert faults(line) == expected
