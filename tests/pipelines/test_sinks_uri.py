from __future__ import annotations

import copy
import pickle
import re
from pathlib import Path

import pytest

from models.errors import InputError
from pipelines.kafka_config import KafkaAccess
from pipelines.secrets import Secret, redact
from pipelines.sinks import Sink, parse_sink
from pipelines.sinks.files import NdjsonFile
from pipelines.sinks.ocsf import ocsf_line
from pipelines.sinks.parquet import ParquetFolder
from pipelines.sinks.stdout import Stdout
from pipelines.sinks.uri import open_sinks
from pipelines.sinks.webhook import Webhook

DOCS = Path(__file__).parents[2] / "docs" / "sinks.md"


@pytest.fixture(autouse=True)
def _settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("SLACK_URL", "https://hooks.slack.com/services/T0/B0/XYZSECRET")
    monkeypatch.setenv("HOOK_SECRET", "signing-secret-value")
    monkeypatch.setenv(
        "EVENT_HUBS", "Endpoint=sb://ns.servicebus.windows.net/;SharedAccessKeyName=k;SharedAccessKey=S3CRETKEY"
    )


def test_every_kind_is_made_from_its_uri(tmp_path: Path):
    (tmp_path / "teams-url").write_text("https://prod.example.com/workflows/abcdefgh\n")
    assert isinstance(parse_sink("stdout"), Stdout)
    ndjson = parse_sink("ndjson:out/i.ndjson?max_mb=2&max_hours=0.5&keep=3")
    assert isinstance(ndjson, NdjsonFile)
    assert (ndjson.max_bytes, ndjson.max_age_s, ndjson.keep) == (2 * 1024 * 1024, 1800.0, 3)
    ocsf = parse_sink("ocsf:out/f.ndjson")
    assert isinstance(ocsf, NdjsonFile)
    assert ocsf._render is ocsf_line
    assert isinstance(parse_sink("parquet:out/p"), ParquetFolder)
    hook = parse_sink("webhook:https://hooks.example.com/a?secret=env:HOOK_SECRET&attempts=5&timeout_s=2")
    assert isinstance(hook, Webhook)
    assert hook.secret is not None
    assert (hook.secret.reveal(), hook.attempts, hook.timeout_s) == ("signing-secret-value", 5, 2.0)
    for uri in ("slack:env:SLACK_URL", "teams:file:teams-url"):
        chat = parse_sink(uri)
        assert isinstance(chat, Webhook)
        assert chat.interval_s == 1.0
        assert isinstance(chat, Sink)


def test_every_example_in_the_documentation_is_understood(monkeypatch: pytest.MonkeyPatch):
    made: list[str] = []
    for kind in ("kafka", "azure_logs"):  # these would connect
        name = {"kafka": "KafkaTopic", "azure_logs": "AzureLogs"}[kind]
        monkeypatch.setattr(f"pipelines.sinks.uri.{name}", lambda *_, **__: made.append("made") or Stdout())
    monkeypatch.setattr("pipelines.secrets._read", lambda *_: "https://prod.example.com/workflows/abcdefgh")
    examples = [
        row.split("|")[2].strip().strip("`")
        for row in DOCS.read_text().splitlines()
        if re.match(r"\| [A-Za-z].*`", row)
    ]
    assert len(examples) == 10
    for example in examples:
        assert parse_sink(example)
    assert len(made) == 3


@pytest.mark.parametrize(
    ("uri", "says"),
    [
        ("slak:env:SLACK_URL", "did you mean slack"),
        ("ndjson:", "lacks its path"),
        ("ndjson:a?max_mbb=1", "did you mean max_mb"),
        ("ndjson:a?max_mb=-1", "above 0"),
        ("ndjson:a?max_mb=much", "above 0"),
        ("ndjson:a?format=xml", "no such format"),
        ("stdout:x", "no target"),
        ("kafka:topic", "No Kafka broker"),
        ("kafka:?bootstrap=a:1", "lacks its topic"),
        ("slack:env:MISSING", "MISSING"),
        ("slack:file:/no/such/file", "can't be read"),
        ("webhook:https://h/?sig=abc", "env:NAME"),
        ("azure-logs:https://x?rule=dcr-1&stream=Lonetree", "Custom-"),
    ],
)
def test_a_uri_that_can_not_be_used_says_why(uri: str, says: str):
    with pytest.raises(InputError, match=re.escape(says)):
        parse_sink(uri)


@pytest.mark.parametrize(
    "uri",
    ["slack:https://hooks.slack.com/services/XYZSECRET", "teams:XYZSECRET", "webhook:https://h/x?secret=XYZSECRET"],
)
def test_a_secret_on_the_command_line_is_refused_and_not_repeated(uri: str):
    with pytest.raises(InputError) as caught:
        parse_sink(uri)
    assert "XYZSECRET" not in str(caught.value)
    assert "env:NAME or file:PATH" in str(caught.value)


def test_names_are_stable_tell_sinks_apart_and_hold_no_secret():
    first, second = parse_sink("slack:env:SLACK_URL"), parse_sink("ndjson:a")
    assert first.name == parse_sink("slack:env:SLACK_URL").name != second.name  # type: ignore[attr-defined]
    assert "XYZSECRET" not in repr(first)


def test_a_path_may_hold_question_marks_when_encoded(tmp_path: Path):
    parse_sink("ndjson:a%3Fb%26c.ndjson").close()
    assert (tmp_path / "a?b&c.ndjson").exists()


def test_the_same_sink_twice_is_refused(tmp_path: Path):
    with pytest.raises(InputError, match="twice"):
        open_sinks(["stdout", "stdout"], tmp_path / "state")
    sinks = open_sinks(["stdout", "ndjson:i.ndjson"], tmp_path / "state")
    assert len(sinks.status()) == 2
    sinks.close()


def test_a_secret_shows_its_origin_only():
    secret = Secret.parse("env:HOOK_SECRET")
    for text in (repr(secret), str(secret), f"{secret}", f"{secret!r:>40}", repr([secret]), repr({"s": secret})):
        assert "signing-secret-value" not in text
    assert secret.reveal() == "signing-secret-value"
    assert secret == Secret("signing-secret-value")
    assert secret != Secret("other")
    assert len({secret, Secret("signing-secret-value")}) == 1


def test_a_secret_refuses_to_be_pickled_or_copied_into_a_job_graph():
    for action in (pickle.dumps, copy.deepcopy):
        with pytest.raises(TypeError, match="can't be pickled"):
            action(Secret("signing-secret-value"))


def test_an_empty_secret_is_an_error(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    monkeypatch.setenv("EMPTY", "  ")
    (tmp_path / "empty").write_text("\n")
    (tmp_path / "binary").write_bytes(b"\xff\xfe\x00")
    for name in ("env:EMPTY", "file:empty", "file:binary", "env:", "plain"):
        with pytest.raises(InputError):
            Secret.parse(name)


def test_connection_strings_are_hidden_part_by_part():
    connection = Secret.parse("env:EVENT_HUBS")
    assert redact("auth failed for S3CRETKEY at ns", [connection]) == "auth failed for [secret] at ns"
    assert redact("nothing here", [connection]) == "nothing here"


def test_an_event_hubs_connection_string_gives_the_whole_configuration():
    access = KafkaAccess(connection=Secret.parse("env:EVENT_HUBS"))
    options = access.options()
    assert options["bootstrap.servers"] == "ns.servicebus.windows.net:9093"
    assert options["security.protocol"] == "SASL_SSL"
    assert options["sasl.username"] == "$ConnectionString"
    assert "S3CRETKEY" not in repr(access)
    with pytest.raises(InputError, match="No Kafka broker"):
        KafkaAccess(connection=Secret("SharedAccessKey=x")).options()
