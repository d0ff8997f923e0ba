"""Where a registry lies: a folder on this machine, or a container of Azure blobs (``azfs://account/container/path``)."""

from __future__ import annotations

import contextlib
import os
import random
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
#: renewals of a lock that is held, within the time it lasts
_RENEWALS: Final = 3
#: what the service says where there is no such container
_NO_CONTAINER: Final = "ContainerNotFound"
#: what it says where the lease was lost, or a blob has changed since it was read
_OVERTAKEN: Final = (
    *("LeaseIdMismatchWithLeaseOperation", "LeaseNotPresentWithLeaseOperation", "LeaseIsBrokenAndCannotBeRenewed"),
    *("LeaseLost", "ConditionNotMet", "BlobAlreadyExists", "UnauthorizedBlobOverwrite"),
)
#: s between two tries for a lock, about: those who wait must not all come at once
_POLL_S: Final = 0.1

# inside the class, list is the method
Names = list[str]


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
    it is renewed while it is held, and runs out by itself when its holder dies. A holder that was held up for longer
    writes no more: it must still have the lease, and what it read must still be what is there.

    Args:
        container: an ``azure.storage.blob.ContainerClient``.
        root: path in it; empty for the container itself.
        lease_s: how long a lock lasts when its holder dies, s, from 15 to 60.
    """

    def __init__(self, container: Any, root: str = "", *, lease_s: int = LEASE_S) -> None:
        self._container = container
        #: the container's name
        self.container = str(container.container_name)
        #: path in it
        self.root = root.strip("/")
        self._lease_s = lease_s
        #: while the lock is held: the lease, and what was read since, by its version; None where there was nothing
        self._held: Any = None
        self._read: dict[str, str | None] = {}

    def __repr__(self) -> str:
        return f"BlobStorage({self.container}/{self.root})"

    def __str__(self) -> str:
        return f"container {self.container}, {self.root or 'all of it'}"

    def read_bytes(self, key: str) -> bytes:
        """As Storage says."""
        from azure.core.exceptions import ResourceNotFoundError

        with self._reached():
            data: bytes | None
            version: str | None
            try:
                found = self._container.download_blob(self._path(key))
                data, version = bytes(found.readall()), str(found.properties.etag)
            except ResourceNotFoundError as error:
                if _code(error) == _NO_CONTAINER:
                    raise
                data, version = None, None
        if self._held is not None:
            self._read.setdefault(key, version)
        if data is None:
            raise FileNotFoundError(key)
        return data

    def write_atomic(self, key: str, data: bytes) -> None:
        """As Storage says."""
        with self._reached():
            blob = self._container.get_blob_client(self._path(key))
            if self._held is None:
                blob.upload_blob(data, overwrite=True)
            else:
                self._held.renew()
                self._read[key] = str(blob.upload_blob(data, **self._unchanged(key))["etag"])

    def create_exclusive(self, key: str, data: bytes) -> bool:
        """As Storage says: the service refuses to write over a blob."""
        from azure.core.exceptions import ResourceExistsError

        with self._reached():
            try:
                self._container.upload_blob(self._path(key), data, overwrite=False)
            except ResourceExistsError:
                return False
        return True

    def exists(self, key: str) -> bool:
        """As Storage says."""
        with self._reached():
            return bool(self._container.get_blob_client(self._path(key)).exists())

    def list(self, key: str) -> Names:
        """As Storage says."""
        below = f"{self._path(key)}/"
        with self._reached():
            found = self._container.walk_blobs(name_starts_with=below, delimiter="/")
            return sorted(item.name.removeprefix(below).rstrip("/") for item in found)

    def delete_tree(self, key: str) -> None:
        """As Storage says; the last written, which makes a version complete, goes first."""
        from azure.core.exceptions import ResourceNotFoundError

        below = f"{self._path(key)}/"
        with self._reached():
            names = self._container.list_blob_names(name_starts_with=below)
            for name in sorted(names, key=lambda n: "manifest" not in n):
                with contextlib.suppress(ResourceNotFoundError):
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
            while not done.wait(self._lease_s / _RENEWALS):
                with contextlib.suppress(Exception):  # the next write tells whether it is still held
                    lease.renew()

        thread = threading.Thread(target=renew, name="lease", daemon=True)
        thread.start()
        self._read = {}
        self._held = lease
        try:
            yield
        finally:
            self._held = None
            done.set()
            thread.join()
            with contextlib.suppress(Exception):  # it runs out by itself
                lease.release()

    def local_path(self, key: str) -> Path | None:  # noqa: ARG002 - as Storage says
        """None: blobs are elsewhere."""
        return None

    @contextlib.contextmanager
    def _reached(self) -> Iterator[None]:
        """Say what fails as an error of ours; an answer's text may hold a signed address, so only its code is shown."""
        from azure.core.exceptions import AzureError

        try:
            yield
        except AzureError as error:
            code = _code(error)
            if code in _OVERTAKEN:
                raise RegistryError(
                    "Another process has written to the registry meanwhile.",
                    expected="the lock to last while this one writes",
                    received=code,
                    hint="Try again; nothing of the other's was overwritten.",
                    retry=True,
                ) from error
            raise RegistryError(
                "The registry can't be reached.",
                expected=f"container {self.container} of the storage account, and the right to read and write it",
                received=code,
                hint="Make the container, and give this identity the role Storage Blob Data Contributor there."
                if code == _NO_CONTAINER
                else "Check the account's name, the network and the identity (az login, or the connection string).",
                retry=code != _NO_CONTAINER,
            ) from error

    def _unchanged(self, key: str) -> dict[str, Any]:
        """Conditions under which a blob may be written: it is as it was read under this lock."""
        from azure.core import MatchConditions

        if key not in self._read:
            return {"overwrite": True}
        version = self._read[key]
        if version is None:
            return {"overwrite": False}
        return {"overwrite": True, "etag": version, "match_condition": MatchConditions.IfNotModified}

    def _lease(self, key: str, wait_s: float) -> Any:
        from azure.core.exceptions import HttpResponseError

        client = self._container.get_blob_client(self._path(key))
        deadline = time.monotonic() + wait_s
        while True:
            try:
                with self._reached():
                    return client.acquire_lease(self._lease_s)
            except RegistryError as error:
                cause = error.__cause__
                if not isinstance(cause, HttpResponseError) or cause.status_code != 409:
                    raise
                if time.monotonic() >= deadline:
                    raise RegistryError(
                        "Another process is writing to the registry.",
                        expected=f"its lease within {wait_s:g} s",
                        received="held by another",
                        hint=f"Wait for it to end; the lease of one that died runs out in {self._lease_s} s.",
                        retry=True,
                    ) from cause
            time.sleep(_POLL_S * random.uniform(0.5, 1.5))

    def _path(self, key: str) -> str:
        parts = key.split("/")
        if any(part in ("", ".", "..") or "\\" in part for part in parts):
            raise InputError("No key of a storage.", expected="names with slashes between", received=repr(key))
        return f"{self.root}/{key}" if self.root else key


def _code(error: Exception) -> str:
    """The service's word for what went wrong, or the kind of error where it was not reached."""
    code = getattr(error, "error_code", None) or getattr(error, "status_code", None) or type(error).__name__
    return str(getattr(code, "value", code))
