"""The command line as a whole: cheap to start, exit codes that mean something, failures without tracebacks."""

from __future__ import annotations

import errno
import importlib
import signal
import subprocess
import sys
from pathlib import Path

import click
import pytest

from models.errors import BundleCorruptError, InputError, LonetreeError, ModelError, SinkError, SourceError
from pipelines.cli.entry import run
from pipelines.cli.failures import DEBUG_VARIABLE, as_lonetree
from pipelines.cli.group import COMMANDS, Lazy, lonetree

#: any of these takes longer to import than the whole of `lonetree --help` may
HEAVY = {"apache_beam", "azure", "numba", "numpy", "pandas", "polars", "pyarrow", "rich", "scipy", "sklearn"}


def loaded_by(words: list[str]) -> set[str]:
    """Top-level modules in memory after the words were run in a fresh Python."""
    code = (
        "import sys; from pipelines.cli.entry import run; run(sys.argv[1:]);"
        "print('\\nLOADED', *{name.split('.')[0] for name in sys.modules})"
    )
    done = subprocess.run([sys.executable, "-c", code, *words], capture_output=True, text=True, check=True)
    return set(done.stdout.rpartition("LOADED")[2].split())


def raising(error: BaseException, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let `lonetree demo` raise."""

    @click.command("demo")
    def command() -> None:
        raise error

    monkeypatch.setattr(Lazy, "get_command", lambda self, ctx, name: command)


@pytest.mark.parametrize("words", [["--help"], [], ["--version"], ["no-such-command"]])
def test_help_loads_nothing_heavy(words: list[str]) -> None:
    assert loaded_by(words) & HEAVY == set()


@pytest.mark.parametrize("name", COMMANDS)
def test_help_of_a_command_loads_nothing_heavy(name: str) -> None:
    assert loaded_by([name, "--help"]) & HEAVY == set()


@pytest.mark.parametrize("name", COMMANDS)
def test_the_list_of_commands_says_what_the_command_says(name: str) -> None:
    command = importlib.import_module(COMMANDS[name][0]).command
    assert command.name == name
    assert command.short_help == COMMANDS[name][1]


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_teaches_by_example(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run([name, "--help"]) == 0
    assert f"lonetree {name}" in capsys.readouterr().out.partition("Examples:")[2]


def test_without_words_it_shows_the_help(capsys: pytest.CaptureFixture[str]) -> None:
    assert run([]) == 0
    assert "Start here" in capsys.readouterr().out


def test_the_help_documents_every_exit_code(capsys: pytest.CaptureFixture[str]) -> None:
    run(["--help"])
    shown = capsys.readouterr().out
    codes = {kind.exit_code for kind in (LonetreeError, InputError, ModelError, SourceError, SinkError)}
    missing = [code for code in {0, 130, *codes} if f"\n    {code} " not in shown]
    assert missing == []


def test_an_unknown_command_is_refused_with_the_nearest_name(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["repaly"]) == 2
    assert "Did you mean 'replay'?" in capsys.readouterr().err


def test_an_unknown_option_is_a_usage_error(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["incidents", "--nope"]) == 2
    assert "--nope" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (InputError("a"), 2),
        (BundleCorruptError("a"), 3),
        (SourceError("a"), 4),
        (SinkError("a"), 5),
        (FileNotFoundError(errno.ENOENT, "No such file or directory", "logs"), 2),
        (PermissionError(errno.EACCES, "Permission denied", "logs"), 2),
        (OSError(errno.ENOSPC, "No space left on device"), 5),
        (RuntimeError("Traceback …\nOSError: [Errno 28] Error writing bytes [while running 'To callers']"), 5),
        (ZeroDivisionError("a"), 1),
        (KeyboardInterrupt(), 130),
        (click.UsageError("a"), 2),
    ],
)
def test_each_kind_of_failure_has_its_exit_code(
    error: BaseException, code: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    raising(error, monkeypatch)
    assert run(["demo"]) == code
    shown = capsys.readouterr()
    assert shown.out == ""
    assert shown.err.strip() != ""
    assert "Traceback" not in shown.err


def test_a_failure_says_expected_received_and_hint(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    raising(InputError("No logs.", expected="a file", received="a \x1b[31mfolder", hint="name one"), monkeypatch)
    run(["demo"])
    assert capsys.readouterr().err.splitlines() == [
        "error: No logs.",
        "  expected: a file",
        r"  received: a \x1b[31mfolder",
        "  hint: name one",
    ]


def test_of_a_worker_s_traceback_only_the_last_line_is_shown(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    raising(RuntimeError("Traceback (most recent call last):\n  File x\nZeroDivisionError: in score\n"), monkeypatch)
    assert run(["demo"]) == 1
    assert capsys.readouterr().err.splitlines()[0] == "internal error: RuntimeError: ZeroDivisionError: in score"


def test_a_failure_that_may_pass_says_so(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    raising(SourceError("Throttled.", retry=True), monkeypatch)
    run(["demo"])
    assert "trying again may help" in capsys.readouterr().err


def test_the_traceback_is_shown_where_it_is_asked_for(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv(DEBUG_VARIABLE, "1")
    raising(InputError("No logs."), monkeypatch)
    run(["demo"])
    assert "Traceback" in capsys.readouterr().err


def test_a_missing_extra_is_named(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    raising(ModuleNotFoundError("No module named 'confluent_kafka'", name="confluent_kafka"), monkeypatch)
    assert run(["demo"]) == 2
    assert "lonetree[kafka]" in capsys.readouterr().err


def test_an_error_that_a_beam_worker_sends_as_text_is_recognised() -> None:
    text = (
        'Traceback (most recent call last):\n  File "x.py", line 1, in f\n'
        "models.errors.BundleCorruptError: The bundle is damaged.\n  expected: sha256 a\n  received: sha256 b\n\n"
        "During handling of the above exception, another exception occurred:\n\nTraceback (most recent call last):\n"
        "models.errors.BundleCorruptError: The bundle is damaged. [while running 'score']\n"
    )
    found = as_lonetree(RuntimeError(text))
    assert isinstance(found, BundleCorruptError)
    assert (found.message, found.expected, found.received) == ("The bundle is damaged.", "sha256 a", "sha256 b")


def test_the_cause_behind_a_wrapped_error_is_found() -> None:
    wrapped = RuntimeError("step failed")
    wrapped.__cause__ = ModelError("No champion.", hint="promote one")
    assert as_lonetree(wrapped) is wrapped.__cause__


def test_a_fault_of_the_program_is_not_taken_for_an_error_of_ours() -> None:
    assert as_lonetree(RuntimeError("models.errors.NoSuchKind: a")) is None
    assert as_lonetree(ValueError("models.errors is a module")) is None


def test_output_that_nobody_reads_to_the_end_is_no_failure(tmp_path: Path) -> None:
    (tmp_path / "incidents.ndjson").write_text("".join(f'{{"incident_id": "{n}"}}\n' for n in range(20_000)))
    command = [sys.executable, "-c", "from pipelines.cli import main; main()", "incidents", str(tmp_path), "--json"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.read(1)
        process.stdout.close()
        assert process.stderr.read() == b""
        assert process.wait() == 0


def test_an_interrupted_command_ends_with_a_sentence_and_its_code(tmp_path: Path) -> None:
    # a shell's background jobs, and so some CI runners, are started with SIGINT ignored
    code = (
        "import signal; signal.signal(signal.SIGINT, signal.default_int_handler);from pipelines.cli import main; main()"
    )
    command = [sys.executable, "-c", code, "simulate", str(tmp_path), "--days", "400"]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        first = process.stderr.readline()
        process.send_signal(signal.SIGINT)
        try:
            _, rest = process.communicate(timeout=60)
        finally:
            process.kill()
    assert "simulating" in first
    assert process.returncode == 130
    assert rest.endswith("Interrupted before it was done; the same command begins anew.\n")
    assert "Traceback" not in rest


def test_the_group_has_no_command_that_is_not_in_the_table() -> None:
    assert lonetree.list_commands(click.Context(lonetree)) == list(COMMANDS)
