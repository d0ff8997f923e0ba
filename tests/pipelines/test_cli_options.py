"""Options as people type them: several paths behind one --input, Beam's words behind --."""

from __future__ import annotations

import click
import pytest
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st

from pipelines.cli.options import LogsCommand, beam_options, input_option, repeat_option, split_beam


@click.command("read", cls=LogsCommand)
@input_option
@click.option("--json", "as_json", is_flag=True)
def read(inputs: list[str], as_json: bool) -> None:
    click.echo(f"{inputs} {as_json} {beam_options()}")


def reading(*words: str) -> str:
    result = CliRunner().invoke(read, list(words), catch_exceptions=False)
    return result.output.strip()


@pytest.mark.parametrize(
    "words",
    [
        ["--input", "a", "b", "--json"],
        ["--input", "a", "--input", "b", "--json"],
        ["--input=a", "b", "--json"],
        ["--json", "--input", "a", "b"],
        ["--input", "a", "--json", "--input", "b"],
    ],
)
def test_several_paths_may_follow_one_input(words: list[str]) -> None:
    assert reading(*words) == "['a', 'b'] True []"


def test_what_stands_behind_two_dashes_goes_to_beam() -> None:
    shown = reading("--input", "a", "--", "--runner=FlinkRunner", "--input", "x")
    assert shown == "['a'] False ['--runner=FlinkRunner', '--input', 'x']"


@pytest.mark.parametrize("words", [["--input"], ["--input", "--json"], ["--input", "a", "--json", "stray"], []])
def test_an_input_without_a_path_and_a_stray_word_are_refused(words: list[str]) -> None:
    assert CliRunner().invoke(read, words).exit_code == 2


def test_the_usage_line_tells_of_beam_options() -> None:
    assert "[-- BEAM OPTIONS]" in reading("--help")


@given(st.lists(st.text(alphabet="ab-", min_size=1, max_size=3)))
def test_words_before_and_behind_the_dashes_are_all_kept(words: list[str]) -> None:
    own, beam = split_beam(words)
    assert own + (["--"] if "--" in words else []) + beam == words


@given(st.lists(st.sampled_from(["a", "b", "--json", "-x"])))
def test_words_without_the_option_stay_as_they_are(words: list[str]) -> None:
    assert repeat_option(words, "--input") == words
