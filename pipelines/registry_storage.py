"""Where a registry lies: a folder on this machine, or a container of Azure blobs (``azfs://account/container/path``)."""

from __future__ import annotations

import contextlib
import os
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

from models.errors import InputError, RegistryError
from models.registry import Registry
from models.storage import LocalStorage, Storage

#: how a path of blobs begins
SCHEME: Final = "azfs://"
#: s that a lock lasts when its holder dies; the service takes 15 to 60
LEASE_S: Final = 30
#: s between two renewals of a lock that is held, several within a lease
_RENEW_S: Final = 10.0
#: s between two tries for a lock
_POLL_S: Final = 0.5


def open_registry(place: str | Path) -> Registry:
    """The registry at a place; see ``open_storage``."""
    return Registry(open_storage(place))


def open_storage(place: str | Path) -> Storage:
    """The storage at a place.

    Args:
        place: a folder, or ``azfs://account/container/path``; blobs are reached with AZURE_STORAGE_CONNECTION_STRING
            where it is set, else as whom ``az login`` or the machine's identity says.

    Raises:
        InputError: no place for a registry.
    """
    text = str(place)
    if "://" not in text:
        return LocalStorage(place)
    account, _, rest = text.removeprefix(SCHEME).partition("/")
    container, _, root = rest.partition("/")
    if not text.startswith(SCHEME) or not account or not container:
        raise InputError(
            "A registry can't be there.",
            expected="a folder, or azfs://account/container/path",
            received=text,
        )
    from azure.storage.blob import BlobServiceClient

    connection = os.environ.get("AZURE_STORAGE_CONNECTION_STRING")
    if connection:
        service = BlobServiceClient.from_connection_string(connection)
    else:
        from azure.identity import DefaultAzureCredential

        service = BlobServiceClient(f"https://{account}.blob.core.windows.net", DefaultAzureCredential())
    return BlobStorage(service.get_container_client(container), root)


class BlobStorage:
    """Blobs below a path in a container, which must exist; keeps the promises of ``models.storage.Storage``.

    A blob is written as a whole by one request, so readers never see a part. The lock is a lease on a blob of its own:
    it is renewed while it is held, and runs out by itself when its holder dies.

    Args:
        container: an ``azure.storage.blob.ContainerClient``.
        root: path in it; empty for the container itself.
    """

    def __init__(self, container: Any, root: str = "") -> None:
        self._container = container
        #: the container's name
        self.container = str(container.container_name)
        #: path in it
        self.root = root.strip("/")

    def __repr__(self) -> str:
        return f"BlobStorage({self.container}/{self.root})"

    def read_bytes(self, key: str) -> bytes:
        """As Storage says."""
        from azure.core.exceptions import ResourceNotFoundError

        try:
            return bytes(self._container.download_blob(self._path(key)).readall())
        except ResourceNotFoundError as error:
            raise FileNotFoundError(key) from error

    def write_atomic(self, key: str, data: bytes) -> None:
        """As Storage says."""
        self._container.upload_blob(self._path(key), data, overwrite=True)

    def create_exclusive(self, key: str, data: bytes) -> bool:
        """As Storage says: the service refuses to write over a blob."""
        from azure.core.exceptions import ResourceExistsError

        try:
            self._container.upload_blob(self._path(key), data, overwrite=False)
        except ResourceExistsError:
            return False
        return True

    def exists(self, key: str) -> bool:
        """As Storage says."""
        return bool(self._container.get_blob_client(self._path(key)).exists())

    def list(self, key: str) -> list[str]:
        """As Storage says."""
        below = f"{self._path(key)}/"
        found = self._container.walk_blobs(name_starts_with=below, delimiter="/")
        return sorted(item.name.removeprefix(below).rstrip("/") for item in found)

    def delete_tree(self, key: str) -> None:
        """As Storage says; the last written, which makes a version complete, goes first."""
        below = f"{self._path(key)}/"
        names = sorted(self._container.list_blob_names(name_starts_with=below), key=lambda n: "manifest" not in n)
        for name in names:
            self._container.delete_blob(name)

    def tidy(self, key: str) -> None:
        """Nothing: what is being written is no blob yet."""

    @contextlib.contextmanager
    def lock(self, key: str, wait_s: float) -> Iterator[None]:
        """As Storage says: a lease, renewed by a thread while it is held."""
        self.create_exclusive(key, b"")
        lease = self._lease(key, wait_s)
        done = threading.Event()

        def renew() -> None:
            while not done.wait(_RENEW_S):
                with contextlib.suppress(Exception):  # the next write tells whether the service is there
                    lease.renew()

        thread = threading.Thread(target=renew, name="lease", daemon=True)
        thread.start()
        try:
            yield
        finally:
            done.set()
            thread.join()
            lease.release()

    def local_path(self, key: str) -> Path | None:  # noqa: ARG002 - as Storage says
        """None: blobs are elsewhere."""
        return None

    def _lease(self, key: str, wait_s: float) -> Any:
        from azure.core.exceptions import HttpResponseError

        client = self._container.get_blob_client(self._path(key))
        deadline = time.monotonic() + wait_s
        while True:
            try:
                return client.acquire_lease(LEASE_S)
            except HttpResponseError as error:
                if error.status_code != 409:
                    raise
                if time.monotonic() >= deadline:
                    raise RegistryError(
                        "Another process is writing to the registry.",
                        expected=f"its lease within {wait_s:g} s",
                        received="held by another",
                        hint=f"Wait for it to end; the lease of one that died runs out in {LEASE_S} s.",
                        retry=True,
                    ) from error
            time.sleep(_POLL_S)

    def _path(self, key: str) -> str:
        parts = key.split("/")
        if any(part in ("", ".", "..") or "\\" in part for part in parts):
            raise InputError("No key of a storage.", expected="names with slashes between", received=repr(key))
        return f"{self.root}/{key}" if self.root else key
