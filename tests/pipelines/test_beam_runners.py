"""Runners by name, and what is said where one can't be used."""

from __future__ import annotations

import socket
import time
from pathlib import Path

import apache_beam as beam
import pytest
from apache_beam.coders import Coder, typecoders
from apache_beam.options.pipeline_options import PipelineOptions, PortableOptions
from apache_beam.runners.portability.fn_api_runner import worker_handlers

from models.errors import InputError
from pipelines.beam_runners import begin, checkpoints_kept, refuse_beam_options, runner_of, stream_arguments
from pipelines.jobs import local_options


@pytest.mark.parametrize(
    ("asked", "beam", "runner"),
    [
        ("embedded", [], "embedded"),
        ("Embedded", [], "embedded"),
        ("flinkrunner", [], "FlinkRunner"),
        ("embedded", ["--runner=PrismRunner"], "PrismRunner"),
        ("embedded", ["--runner", "prismrunner", "--x=1"], "PrismRunner"),
        ("Other", [], "Other"),
    ],
)
def test_a_runner_is_found_whatever_the_case_and_the_place(asked, beam, runner):
    assert runner_of(asked, beam) == runner


def test_beam_is_told_the_runner_once_and_that_it_streams():
    words = stream_arguments("DataflowRunner", ["--runner", "dataflowrunner", "--region=a", "--runner=x"])
    assert words == ["--runner=DataflowRunner", "--region=a", "--streaming"]


def test_flink_is_told_to_make_checkpoints_and_to_close_bundles_soon_unless_the_user_says_otherwise():
    """Without them Beam's runner for Flink loses or keeps back what a bundle left for later."""
    words = stream_arguments("FlinkRunner", ["--checkpointing_interval=500"])
    assert [word for word in words if "checkpointing_interval" in word] == ["--checkpointing_interval=500"]
    assert {"--finish_bundle_before_checkpointing", "--max_bundle_time_mills=200"} <= {*words}
    assert "--checkpointing_interval=10000" in stream_arguments("FlinkRunner", [])


@pytest.mark.parametrize(
    ("runner", "beam", "kept"),
    [
        ("FlinkRunner", [], True),
        ("FlinkRunner", ["--flink_master=[local]", "--job_endpoint=localhost:8099"], True),
        ("FlinkRunner", ["--job_endpoint=localhost:8099"], False),
        ("FlinkRunner", ["--flink_master=jobmanager:8081"], False),
        ("FlinkRunner", ["--state_backend=rocksdb", "--state_backend_storage_path=file:///x"], False),
        ("FlinkRunner", ["--flink_conf_dir=/etc/flink"], False),
        ("PrismRunner", [], False),
    ],
)
def test_a_flink_of_its_own_keeps_checkpoints_in_a_folder_and_a_cluster_where_it_keeps_them(runner, beam, kept):
    """In memory it keeps 5 MB of a step, and restarts the job for ever when there is more."""
    with checkpoints_kept(runner, beam) as words:
        folders = [Path(word.partition("=file://")[2]) for word in words[1:]]
        assert words[:1] == (kept * ["--state_backend=filesystem"])
        assert [folder.is_dir() for folder in folders] == (kept * [True])
    assert not any(folder.exists() for folder in folders)


def test_prism_is_told_to_leave_bundles_whole():
    """Prism 2.77 loses state where it splits a bundle that holds several messages of one key."""
    assert "--experiments=prism_disable_sdf_split" in stream_arguments("PrismRunner", [])


@pytest.mark.parametrize(("name", "said"), [("DirectRunner", "can't stream"), ("FlinkRuner", "No such runner")])
def test_a_runner_that_does_not_stream_is_refused(name, said):
    with pytest.raises(InputError, match=said):
        stream_arguments(name, [])


def test_words_for_beam_without_a_runner_of_beam_are_refused():
    refuse_beam_options(["--runner=embedded"])
    with pytest.raises(InputError, match="mean nothing"):
        refuse_beam_options(["--runner", "embedded", "--streaming"])


class PrismRunner:
    """By the name of Beam's."""


class Begun:
    """A pipeline that only begins."""

    def __init__(self, runner: object, *words: str) -> None:
        self.runner, self.options = runner, PipelineOptions(list(words))

    def run(self) -> int:
        return int(self.options.view_as(PortableOptions).job_server_timeout)


def test_a_job_under_prism_may_take_longer_than_beam_waits_for_an_answer():
    """Beam gives the stream of a job's states the time-out of a single answer where the runner answers early."""
    assert begin(Begun(PrismRunner())) > 365 * 86_400
    assert begin(Begun(PrismRunner(), "--job_server_timeout=77")) == 77
    assert begin(Begun(None)) == 300


class Broken(Begun):
    def __init__(self, message: str) -> None:
        super().__init__(None)
        self.message = message

    def run(self) -> int:
        raise RuntimeError(self.message)


def test_a_runner_that_can_not_be_fetched_is_told_with_the_way_out():
    with pytest.raises(InputError, match="can't be fetched") as refused:
        begin(Broken("Unable to fetch remote job server jar at https://example.org/a.jar: 404. Also failed there"))
    assert refused.value.received == "Unable to fetch remote job server jar at https://example.org/a.jar: 404"
    assert "--flink_job_server_jar" in str(refused.value.hint)
    with pytest.raises(RuntimeError, match="another"):
        begin(Broken("another fault"))


def test_a_job_server_that_does_not_answer_is_told_and_not_waited_for(monkeypatch):
    monkeypatch.setattr("pipelines.beam_runners._ANSWERS_S", 0.1)
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))
        endpoint = f"127.0.0.1:{nobody.getsockname()[1]}"
        with pytest.raises(InputError, match="No job server answered") as raised:
            begin(Begun(PrismRunner(), f"--job_endpoint={endpoint}"))
    assert endpoint in str(raised.value)


class Heavy:
    """Something that takes long to write."""


class HeavyCoder(Coder):
    def encode(self, value: Heavy) -> bytes:
        # longer than the second after which Beam sends what is there
        time.sleep(1.3)
        return b"heavy"

    def decode(self, encoded: bytes) -> Heavy:
        assert encoded == b"heavy"
        return Heavy()

    def estimate_size(self, value: Heavy) -> int:
        return 5

    def is_deterministic(self) -> bool:
        return True


def test_an_element_that_takes_long_to_write_is_not_sent_in_halves(monkeypatch, tmp_path):
    """Half an element made Beam ask for tens of GB, or, rarer, was lost."""
    monkeypatch.setattr(worker_handlers, "DATA_BUFFER_TIME_LIMIT_MS", worker_handlers.DATA_BUFFER_TIME_LIMIT_MS)
    typecoders.registry.register_coder(Heavy, HeavyCoder)
    pipeline = beam.Pipeline(options=local_options([], 2))
    heavy = pipeline | beam.Create([1]) | beam.Map(lambda key: (key, Heavy())).with_output_types(tuple[int, Heavy])
    counted = heavy | beam.GroupByKey() | beam.MapTuple(lambda key, values: f"{key} {len(list(values))}")
    _ = counted | beam.Map((tmp_path / "counted").write_text)
    begin(pipeline).wait_until_finish()
    assert (tmp_path / "counted").read_text() == "1 1"
