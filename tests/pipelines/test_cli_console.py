"""What is printed: nothing that steers a terminal, no markup, progress at a reader's pace."""

from __future__ import annotations

import io
import json
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipelines.cli.bars import COMPILING, LINE_EVERY_S, ShownProgress
from pipelines.cli.console import print_json, print_table, printable


class Terminal(io.StringIO):
    """A stream that says it is a terminal."""

    def isatty(self) -> bool:
        return True


class Clock:
    """A clock that a test turns."""

    now = 0.0

    def __call__(self) -> float:
        return self.now


@given(st.text())
def test_printable_text_holds_no_control_characters(text: str) -> None:
    assert all(ord(c) >= 0x20 and not 0x7F <= ord(c) < 0xA0 and c not in "\u202e\u2028\u200b" for c in printable(text))


@pytest.mark.parametrize("text", ["/api/orders?id=1", "naïve café", "[red]not markup[/red]", "日本"])
def test_ordinary_text_is_printed_as_it_is(text: str) -> None:
    assert printable(text) == text


@pytest.mark.parametrize("stream", [io.StringIO, Terminal])
def test_a_table_shows_hostile_text_without_obeying_it(
    stream: type[io.StringIO], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    monkeypatch.setenv("TERM", "dumb")
    out = stream()
    monkeypatch.setattr(sys, "stdout", out)
    print_table(("who", "what"), [("[bold]x[/bold]", "\x1b]0;owned\x07:smile: \u202eevil")])
    assert "[bold]x[/bold]" in out.getvalue()
    assert r"\x1b]0;owned\x07:smile: \u202eevil" in out.getvalue()


def test_a_table_in_a_pipe_is_aligned_and_never_cut(capsys: pytest.CaptureFixture[str]) -> None:
    print_table(("a", "count", "b"), [("x", "1", "y" * 300), ("long", "20", "z")], right=("count",))
    assert capsys.readouterr().out.splitlines() == [
        "a     count  b",
        f"x         1  {'y' * 300}",
        "long     20  z",
    ]


def test_on_a_terminal_columns_may_stand_above_each_other(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "60")
    monkeypatch.setenv("TERM", "dumb")
    out = Terminal()
    monkeypatch.setattr(sys, "stdout", out)
    print_table(("who", "function", "what"), [("ann", "checkout", "paid\ntwice")], stacked=(("who", "function"),))
    lines = [line.split() for line in out.getvalue().splitlines() if line.strip(" ─")]
    assert lines == [["who"], ["function", "what"], ["ann", "paid", "twice"], ["checkout"]]


def test_json_is_ascii_and_has_no_numbers_that_json_lacks(capsys: pytest.CaptureFixture[str]) -> None:
    print_json({"a": float("nan"), "b": [float("inf"), 1.5], "c": "\x1b\u202e"})
    shown = capsys.readouterr().out
    assert shown.isascii()
    assert "\x1b" not in shown
    assert json.loads(shown) == {"a": None, "b": [None, 1.5], "c": "\x1b\u202e"}


def test_in_a_pipe_progress_is_a_line_every_few_seconds() -> None:
    out, clock = io.StringIO(), Clock()
    with ShownProgress(out, clock) as progress:
        for second in range(21):
            clock.now = float(second)
            progress("reading logs", second, 20, "files")
    lines = out.getvalue().splitlines()
    assert lines[0] == "reading logs …"
    assert lines[-1] == "reading logs: 20 of 20 files, done in 20.0 s"
    assert len(lines) == 2 + 20 // int(LINE_EVERY_S)


def test_each_stage_is_begun_and_ended() -> None:
    out = io.StringIO()
    with ShownProgress(out, Clock()) as progress:
        progress("reading", 1, None, "files")
        progress("fitting", 3, 3, "functions")
    assert out.getvalue().splitlines() == [
        "reading …",
        "reading: 1 files, done in 0.0 s",
        "fitting …",
        "fitting: 3 of 3 functions, done in 0.0 s",
    ]


def test_a_stage_that_counts_nothing_is_only_named() -> None:
    out = io.StringIO()
    with ShownProgress(out, Clock()) as progress:
        progress("judging", 0, None, "invocations")
    assert out.getvalue().splitlines() == ["judging …", "judging, done in 0.0 s"]


def compiled_anew() -> int:
    import numba

    a_loop = {}
    # a function that no cache can know
    exec("def fresh(x):\n    return x + 1", a_loop)  # noqa: S102 (a text of this test)
    return int(numba.njit(a_loop["fresh"])(1))


@pytest.mark.parametrize("out", [io.StringIO(), Terminal()], ids=["in a pipe", "on a terminal"])
def test_a_wait_for_loops_that_are_compiled_is_said_once(out: io.StringIO) -> None:
    pytest.importorskip("numba")
    with ShownProgress(out) as progress:
        progress("reading", 1, 2, "files")
        assert compiled_anew() == compiled_anew() == 2
    assert out.getvalue().count(COMPILING) == 1
    before = out.getvalue()
    compiled_anew()
    assert out.getvalue() == before


def fail_after_a_word(out: io.StringIO) -> None:
    with ShownProgress(out, Clock()) as progress:
        progress("reading", 1)
        raise RuntimeError


def test_a_failed_stage_is_not_said_to_be_done() -> None:
    out = io.StringIO()
    with pytest.raises(RuntimeError):
        fail_after_a_word(out)
    assert "done" not in out.getvalue()


def test_on_a_terminal_progress_takes_nothing_for_markup() -> None:
    out = Terminal()
    with ShownProgress(out) as progress:
        progress("[red]reading\x07", 1, 2, "files")
    assert "[red]reading\\x07" in out.getvalue()
