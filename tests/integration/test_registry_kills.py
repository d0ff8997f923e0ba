"""A registry in blob storage stays whole whenever its writer is killed; one that was held up overwrites nothing."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from models import Registry, add_feedback, read_feedback
from models.errors import RegistryError
from pipelines.registry_storage import BlobStorage, open_storage
from tests.integration.azurite import ACCOUNT, azurite
from tests.models.killed import bundle, said, whole

pytestmark = pytest.mark.integration
blobs = pytest.importorskip("azure.storage.blob", reason="the azure extra is not installed")

ROOT = Path(__file__).parents[2]
#: s that a lock lasts when its holder dies: the least that the service grants
LEASE_S = 15
#: from a killed change to the next that is; each by hand
KILL_EVERY = int(os.environ.get("REGISTRY_KILL_EVERY", "3"))


@pytest.fixture(scope="module")
def container(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    with azurite(tmp_path_factory.mktemp("azurite")) as connection, pytest.MonkeyPatch.context() as patch:
        patch.setenv("AZURE_STORAGE_CONNECTION_STRING", connection)
        yield blobs.BlobServiceClient.from_connection_string(connection).create_container("kills")


def release(container: Any, root: str) -> None:
    """As if the lease of a killed writer had run out."""
    lock = container.get_blob_client(f"{root}/lock")
    if lock.exists() and lock.get_blob_properties().lease.state == "leased":
        blobs.BlobLeaseClient(lock).break_lease(0)


#: as ``tests.models.killed``, but dies before its n-th request that changes anything in the service
KILLED = """
    import os, signal, sys
    from azure.core.pipeline.transport import RequestsTransport
    from pipelines.registry_storage import open_storage
    from tests.integration.azurite import ACCOUNT
    from tests.models.killed import killed_each_time

    def die_at(n):
        left, send = [n], RequestsTransport.send
        def count(self, request, **kwargs):
            renewal = request.headers.get("x-ms-lease-action") == "renew"
            if request.method not in ("GET", "HEAD") and not renewal:
                left[0] -= 1
                if not left[0]:
                    os.kill(os.getpid(), signal.SIGKILL)
            return send(self, request, **kwargs)
        RequestsTransport.send = count

    every = int(sys.argv[1])
    print(killed_each_time(lambda n: open_storage(f"azfs://{ACCOUNT}/kills/each/{n:03}"), die_at, every))
"""


def test_a_kill_before_any_change_leaves_registry_and_feedback_whole(container: Any) -> None:
    command = [sys.executable, "-c", textwrap.dedent(KILLED), str(KILL_EVERY)]
    ended = int(subprocess.run(command, cwd=ROOT, check=True, stdout=subprocess.PIPE, text=True).stdout)
    assert ended - 1 > 30, "the story has fewer changes than it should"
    outcomes = set()
    for n in range(1, ended + 1, KILL_EVERY):
        release(container, f"each/{n:03}")
        outcomes.add(whole(BlobStorage(container, f"each/{n:03}")))
    assert len({come_to[:3] for come_to in outcomes}) >= 5, f"kills did not reach every stage: {outcomes}"
    assert {len(come_to[3]) for come_to in outcomes} == {0, 1, 2, 3}


#: writes versions and statements for ever, and says so
WRITER = """
    import sys
    from itertools import count
    from models import Registry, add_feedback
    from pipelines.registry_storage import open_storage
    from tests.integration.azurite import ACCOUNT
    from tests.models.killed import bundle, said

    storage = open_storage(f"azfs://{ACCOUNT}/kills/crowd")
    for turn in count():
        Registry(storage).add(bundle(1000 * int(sys.argv[1]) + turn), who=sys.argv[1])
        add_feedback(storage, said(f"LT-{sys.argv[1]}-{turn}", "bad"))
        print(turn, flush=True)
        # leave room for the other
        for version in Registry(storage).list():
            Registry(storage).get(version.id)
"""


def test_writers_killed_in_the_middle_of_whatever_they_do_lose_nothing_that_was_done(container: Any) -> None:
    for generation in range(4):
        pair = []
        for number in (2 * generation, 2 * generation + 1):
            command = [sys.executable, "-c", textwrap.dedent(WRITER), str(number)]
            pair.append(subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True))
        try:
            for one in pair:
                assert one.stdout is not None
                for turn in range(2):
                    assert one.stdout.readline() == f"{turn}\n"
        finally:
            for one in pair:
                one.kill()
                one.wait()
        release(container, "crowd")
    storage = BlobStorage(container, "crowd")
    registry = Registry(storage, wait_s=0.0)
    registry.add(bundle(99), who="ada")
    numbers = {registry.get(version.id).document("settings")["number"] for version in registry.list()}
    assert {1000 * who + turn for who in range(8) for turn in range(2)} <= numbers
    statements = {one.incident_id for one in read_feedback(storage)}
    assert {f"LT-{who}-{turn}" for who in range(8) for turn in range(2)} <= statements
    assert {version.id for version in registry.list()} == {change.version for change in registry.log()}


def test_the_lock_of_a_killed_writer_runs_out_by_itself(container: Any) -> None:
    program = f"""
        import sys
        from pipelines.registry_storage import BlobStorage, open_storage
        from tests.integration.azurite import ACCOUNT
        place = open_storage(f"azfs://{{ACCOUNT}}/kills/alone")
        with BlobStorage(place._container, place.root, lease_s={LEASE_S}).lock("lock", 0.0):
            print("held", flush=True)
            sys.stdin.read()
    """
    command = [sys.executable, "-c", textwrap.dedent(program)]
    with subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "held\n"
        storage = BlobStorage(container, "alone")
        with pytest.raises(RegistryError, match="Another process is writing"):
            Registry(storage, wait_s=0.0).add(bundle(1), who="ada")
        holder.kill()
        holder.wait()
    began = time.monotonic()
    Registry(storage).add(bundle(1), who="ada")
    print(f"waited {time.monotonic() - began:.1f} s")


def test_a_writer_that_was_held_up_until_its_lock_ran_out_overwrites_nothing(container: Any) -> None:
    slow, quick = BlobStorage(container, "held"), BlobStorage(container, "held")
    first = add_feedback(quick, said("LT-1", "bad"))
    with slow.lock("lock", 0.0):
        before = slow.read_bytes("feedback.jsonl")
        release(container, "held")
        second = add_feedback(quick, said("LT-2", "bad"))
        with pytest.raises(RegistryError, match="meanwhile") as raised:
            slow.write_atomic("feedback.jsonl", before + b"more")
        assert raised.value.retry
    assert read_feedback(quick) == [first, second]


def test_what_was_read_under_the_lock_must_still_be_there_when_it_is_written(container: Any) -> None:
    storage = BlobStorage(container, "overtaken")
    with storage.lock("lock", 0.0):
        for key in ("old", "new"):
            if key == "old":
                storage.write_atomic(key, b"1")
            else:
                with pytest.raises(FileNotFoundError):
                    storage.read_bytes(key)
            container.get_blob_client(f"overtaken/{key}").upload_blob(b"by another", overwrite=True)
            with pytest.raises(RegistryError, match="meanwhile"):
                storage.write_atomic(key, b"2")
            assert storage.read_bytes(key) == b"by another"


def test_a_container_that_is_not_there_is_told_with_what_to_do() -> None:
    storage = open_storage(f"azfs://{ACCOUNT}/nowhere/models")
    for act in (
        lambda: storage.list("versions"),
        lambda: storage.read_bytes("audit.jsonl"),
        lambda: Registry(storage).add(bundle(1), who="ada"),
    ):
        with pytest.raises(RegistryError, match="Make the container") as raised:
            act()
        assert not raised.value.retry
