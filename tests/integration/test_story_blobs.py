"""The story of a registry by commands, with logs and registry in blob storage: on Azurite."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.conftest import Tenant
from tests.integration.azurite import ACCOUNT, azurite
from tests.pipelines.story import story

pytestmark = pytest.mark.integration
blobs = pytest.importorskip("azure.storage.blob", reason="the azure extra is not installed")


@pytest.mark.slow
def test_from_the_first_version_to_a_roll_back_in_blob_storage(
    tenant: Tenant, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with azurite(tmp_path) as connection:
        monkeypatch.setenv("AZURE_STORAGE_CONNECTION_STRING", connection)
        container = blobs.BlobServiceClient.from_connection_string(connection).create_container("team")
        for folder in (tenant.train, tenant.replay):
            for path in sorted(folder.rglob("*.parquet")):
                container.upload_blob(f"logs/{path.relative_to(tenant.folder).as_posix()}", path.read_bytes())
        place = f"azfs://{ACCOUNT}/team"
        days = [f"{place}/logs/train/{path.name}" for path in sorted(tenant.train.glob("day=*"))]
        story(f"{place}/models", days[:2], [f"{place}/logs/train"], f"{place}/logs/replay", tmp_path)
        kept = {
            name.removeprefix("models/").partition("/")[0]
            for name in container.list_blob_names(name_starts_with="models/")
        }
        assert kept == {"audit.jsonl", "feedback.jsonl", "lock", "versions"}
        assert not (tmp_path / "models").exists()
