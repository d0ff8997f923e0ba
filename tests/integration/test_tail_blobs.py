"""Blobs that come and blobs that grow, tailed on Azurite: PT1H.json as Azure writes it, hour after hour."""

from __future__ import annotations

import datetime as dt
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from models.errors import SourceError
from pipelines.sources.uri import open_sources, source_name
from tests.integration.azurite import ACCOUNT, azurite
from tests.pipelines.test_tail import HOUR, Tail, line, names

pytestmark = pytest.mark.integration
blobs = pytest.importorskip("azure.storage.blob", reason="the azure extra is not installed")

CONTAINER = "insights-logs-apprequests"


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    with azurite(tmp_path_factory.mktemp("azurite")) as connection, pytest.MonkeyPatch.context() as patch:
        patch.setenv("AZURE_STORAGE_CONNECTION_STRING", connection)
        yield blobs.BlobServiceClient.from_connection_string(connection)


@pytest.fixture
def container(service: Any) -> Iterator[Any]:
    made = service.create_container(CONTAINER)
    yield made
    made.delete_container()


@pytest.fixture
def tail(container: Any, tmp_path: Path) -> Tail:
    return TailOfBlobs(tmp_path)


class TailOfBlobs(Tail):
    """As ``lonetree watch --source files:azfs://…`` opens it, from the cursor of the last piece."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.restart()

    def restart(self) -> None:
        uri = f"files:azfs://{ACCOUNT}/{CONTAINER}"
        cursors = {source_name(uri): self.polled[-1].cursor} if self.polled else {}
        (self.source,) = open_sources([uri], cursors, self.root / "cursors").values()


def grow(container: Any, path: str, data: bytes) -> None:
    """As diagnostic settings do it: an append blob, a block more."""
    blob = container.get_blob_client(path)
    if not blob.exists():
        blob.create_append_blob()
    blob.append_block(data)


def test_new_blobs_and_blobs_that_grow_are_read_once_and_the_hour_before_again(container, tail):
    grow(container, HOUR.format(10), line(1))
    grow(container, HOUR.format(11), line(2) + line(3)[:40])
    assert sorted(tail.poll()) == names(1, 2)
    assert tail.poll() == []
    grow(container, HOUR.format(11), line(3)[40:] + line(4))
    # and of the hour before something comes late
    grow(container, HOUR.format(10), line(5))
    assert sorted(tail.poll()) == names(3, 4, 5)
    container.upload_blob("other/new.json", line(6))
    assert tail.poll() == names(6)
    assert tail.poll(dt.timedelta(hours=1)) == []
    assert tail.dead == []


def test_from_poll_to_poll_and_start_to_start_nothing_is_read_twice_or_missed(container, tail):
    drawn, written = random.Random(7), 0
    torn = dict.fromkeys((HOUR.format(10), HOUR.format(11), HOUR.format(12)), b"")
    taken: list[str] = []
    for _ in range(40):
        path = drawn.choice(list(torn))
        more = line(written)
        cut = drawn.randrange(1, len(more))
        grow(container, path, torn[path] + more[:cut])
        torn[path], written = more[cut:], written + 1
        taken += tail.poll()
        if drawn.random() < 0.2:
            tail.restart()
    for path, rest in torn.items():
        if rest:
            grow(container, path, rest)
    taken += tail.poll()
    assert sorted(taken) == names(*range(written))


def test_a_container_that_is_not_there_for_a_while_costs_nothing(service, container, tail, monkeypatch):
    grow(container, HOUR.format(11), line(1))
    assert tail.poll() == names(1)
    # Azurite answers 404 where Azure answers that and worse
    monkeypatch.setattr(tail.source._blobs, "root", f"azfs://{ACCOUNT}/gone/")
    for _ in range(60):
        assert tail.poll(dt.timedelta(minutes=1)) == []
        assert not tail.source.idle
    monkeypatch.undo()
    grow(container, HOUR.format(11), line(2))
    assert tail.poll(dt.timedelta(minutes=1)) == names(2)
    assert tail.source.idle


def test_a_container_that_never_was_is_told_at_once(service, tmp_path):
    (source,) = open_sources([f"files:azfs://{ACCOUNT}/nowhere"], {}, tmp_path).values()
    with pytest.raises(SourceError, match="can't be listed"):
        list(source.poll(dt.datetime(2026, 8, 1, tzinfo=dt.timezone.utc)))
