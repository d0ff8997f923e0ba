"""Logs and a registry in blob storage, on Azurite: which blobs an input means, and the whole story by commands."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from models.errors import InputError, SourceError
from pipelines.sources.blobs import open_blobs
from pipelines.sources.files import expand
from tests.conftest import Tenant
from tests.integration.azurite import ACCOUNT, azurite
from tests.pipelines.story import story

pytestmark = pytest.mark.integration
blobs = pytest.importorskip("azure.storage.blob", reason="the azure extra is not installed")

PLACE = f"azfs://{ACCOUNT}/team"


@pytest.fixture(scope="module")
def container(tenant: Tenant, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """With the tenant's logs in it."""
    with azurite(tmp_path_factory.mktemp("azurite")) as connection, pytest.MonkeyPatch.context() as patch:
        patch.setenv("AZURE_STORAGE_CONNECTION_STRING", connection)
        made = blobs.BlobServiceClient.from_connection_string(connection).create_container("team")
        for folder in (tenant.train, tenant.replay):
            for path in sorted(folder.rglob("*.parquet")):
                made.upload_blob(f"logs/{path.relative_to(tenant.folder).as_posix()}", path.read_bytes())
        yield made


def test_folders_globs_and_single_blobs_are_found_as_on_a_disk(container: Any, tenant: Tenant) -> None:
    local = expand([str(tenant.train)])
    names = [ref.path.removeprefix(f"{tenant.folder}/") for ref in local]
    for given in (f"{PLACE}/logs/train", f"{PLACE}/logs/train/", f"{PLACE}/logs/train/**.parquet"):
        assert [ref.path for ref in expand([given])] == [f"{PLACE}/logs/{name}" for name in names]
    (one,) = expand([f"{PLACE}/logs/{names[0]}"])
    assert (one.path, one.format) == (f"{PLACE}/logs/{names[0]}", "parquet")
    assert len(expand([PLACE])) == len(expand([str(tenant.train), str(tenant.replay)]))
    tailed = open_blobs(f"{PLACE}/logs/train")
    assert [f"train/{blob.path}" for blob in tailed.list()] == names
    assert tailed.read(tailed.list()[0].path, 0, 4) == b"PAR1"


def test_a_path_that_leads_nowhere_is_told(container: Any) -> None:
    with pytest.raises(InputError, match="no files at"):
        expand([f"{PLACE}/logs/trai"])
    with pytest.raises(SourceError, match="can't be listed"):
        expand([f"azfs://{ACCOUNT}/nowhere/logs"])


@pytest.mark.slow
def test_from_the_first_version_to_a_roll_back(container: Any, tenant: Tenant, tmp_path: Path) -> None:
    days = [f"{PLACE}/logs/train/{path.name}" for path in sorted(tenant.train.glob("day=*"))]
    story(f"{PLACE}/models", days[:2], [f"{PLACE}/logs/train"], f"{PLACE}/logs/replay", tmp_path)
    kept = {name.split("/")[1] for name in container.list_blob_names(name_starts_with="models/")}
    assert kept == {"audit.jsonl", "feedback.jsonl", "lock", "versions"}
    assert {path.name for path in tmp_path.iterdir()} == {"one", "two", "three"}
