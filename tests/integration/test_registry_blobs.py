"""A registry in blob storage keeps the promises of one in a folder: the story on Azurite."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime, timezone
from pathlib import Path

import pytest
from click.testing import CliRunner

from detectors import load_model, save_model, statement
from detectors.model import Model
from models import Feedback, Registry, add_feedback, read_feedback, standing
from models.errors import RegistryError
from pipelines.cli.group import lonetree
from pipelines.registry_storage import BlobStorage, open_storage
from tests.integration.azurite import ACCOUNT, azurite

pytestmark = pytest.mark.integration
blobs = pytest.importorskip("azure.storage.blob", reason="the azure extra is not installed")


@pytest.fixture(scope="module")
def connection(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with azurite(tmp_path_factory.mktemp("azurite")) as found:
        yield found


@pytest.fixture
def storage(connection: str, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> BlobStorage:
    monkeypatch.setenv("AZURE_STORAGE_CONNECTION_STRING", connection)
    name = "".join(letter for letter in request.node.name.replace("_", "-") if letter.isalnum() or letter == "-")[:60]
    blobs.BlobServiceClient.from_connection_string(connection).create_container(name.strip("-"))
    found = open_storage(f"azfs://{ACCOUNT}/{name.strip('-')}/team/models")
    assert isinstance(found, BlobStorage)
    return found


def test_the_whole_story(storage: BlobStorage, model: Model) -> None:
    registry = Registry(storage)
    first = save_model(model, registry, who="ann", note="first")
    second = save_model(replace(model, notes=("again",)), registry, who="ann", note="second")
    assert [(v.id, v.champion) for v in registry.list()] == sorted([(first, True), (second, False)])
    incident = {
        **{"incident_id": "LT-1", "kind": "unusual", "callers": ["user:ann"], "apps": ["shop"], "functions": ["Pay"]},
        **dict.fromkeys(("first_event", "last_event", "opened"), "2026-08-01T00:00:00Z"),
    }
    now = datetime(2026, 8, 1, tzinfo=timezone.utc)
    said = add_feedback(storage, statement(incident, "bad", who="ann", now=now))
    assert registry.promote(second, who="ann", why="better") == registry.champion == second
    assert load_model(registry).notes == ("again",)
    assert registry.rollback(who="ann", why="worse") == registry.champion == first
    assert load_model(registry, first).curve.threshold(1.0) == model.curve.threshold(1.0)
    assert standing(read_feedback(storage)) == [said]
    add_feedback(storage, Feedback("undo", said.at, "ann", undoes=said.id))
    assert standing(read_feedback(storage)) == []
    assert [change.what for change in registry.log()] == ["add", "add", "promote", "rollback"]


def test_a_version_whose_writer_died_is_cleared_up(storage: BlobStorage, model: Model) -> None:
    storage.write_atomic("versions/20260101T000000-abcdef/part.arrow", b"half")
    version = save_model(model, Registry(storage))
    assert [v.id for v in Registry(storage).list()] == [version]
    assert storage.list("versions") == [version]


def test_only_one_writes_at_a_time(storage: BlobStorage) -> None:
    with storage.lock("lock", 5.0), pytest.raises(RegistryError, match="Another process"), storage.lock("lock", 0.0):
        pytest.fail("two hold the lock")
    with storage.lock("lock", 5.0):
        pass


def test_of_two_at_once_one_creates(storage: BlobStorage) -> None:
    won: list[bool] = []
    threads = [
        threading.Thread(target=lambda n=n: won.append(storage.create_exclusive("one", b"%d" % n))) for n in range(6)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(won) == [False] * 5 + [True]


def test_what_is_not_there_is_told_as_a_folder_tells_it(storage: BlobStorage, tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        storage.read_bytes("nothing")
    assert storage.list("nothing") == []
    storage.delete_tree("nothing")
    storage.write_atomic("a/b/c", b"1")
    storage.write_atomic("a/d", b"2")
    assert storage.list("a") == ["b", "d"]
    storage.delete_tree("a")
    assert not storage.exists("a/d")


def test_the_commands_take_a_place_of_blobs(storage: BlobStorage, model: Model) -> None:
    version = save_model(model, Registry(storage), who="ann")
    place = f"azfs://{ACCOUNT}/{storage.container}/{storage.root}"
    shown = CliRunner().invoke(lonetree, ["models", "list", "--models", place, "--json"], catch_exceptions=False)
    assert [one["id"] for one in json.loads(shown.stdout)["versions"]] == [version]
    nowhere = CliRunner().invoke(lonetree, ["models", "list", "--models", "https://example.org/models"])
    assert "azfs://account/container/path" in str(nowhere.exception)
