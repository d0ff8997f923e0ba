"""A story of a registry and its feedback that is killed at its n-th step, for every n; and what must hold after a kill.

    python -m tests.models.killed FOLDER

writes to FOLDER/001, FOLDER/002, ... and dies before the first, second, ... change to the file system.
"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import pyarrow as pa

from models.bundle import encode_bundle
from models.feedback import Feedback, add_feedback, read_feedback, standing
from models.registry import Registry
from models.signing import SigningKey, sign_files
from models.storage import LocalStorage, Storage

AT = "2026-08-01T00:00:00+00:00"
#: what an audit hook hears of a change
CHANGES = ("open", "os.rename", "os.link", "os.mkdir", "os.remove", "os.truncate", "os.rmdir")
#: the story has fewer steps than this
MOST = 1_000


@cache
def bundle(number: int) -> dict[str, bytes]:
    about = {"training_window": {"start": "2026-07-01T00:00:00Z", "end": AT}}
    return encode_bundle(
        tables={"baselines": pa.table({"mean": [float(number)]})},
        documents={"settings": {"number": number}},
        manifest=about,
    )


def said(incident: str, what: Any) -> Feedback:
    return Feedback(what, AT, "ann", incident_id=incident, apps=("shop",))


@cache
def signed(number: int) -> dict[str, bytes]:
    return sign_files(bundle(number), SigningKey.generate())


def story(storage: Storage) -> None:
    """Two versions, a promotion, three statements, a signature, a roll-back."""
    registry = Registry(storage)
    registry.add(bundle(0), who="ada", note="first")
    second = registry.add(bundle(1), who="ada")
    registry.promote(second, who="ada", why="better")
    expected = add_feedback(storage, said("LT-1", "expected"))
    add_feedback(storage, said("LT-2", "bad"))
    add_feedback(storage, Feedback("undo", AT, "ann", undoes=expected.id))
    registry.add(signed(1), who="ada")
    registry.rollback(who="ada", why="worse")


def killed_each_time(storage_of: Callable[[int], Storage], die_at: Callable[[int], None], every: int = 1) -> int:
    """Play the story in children, each killed ``every`` steps later than the one before, until one comes to the end.

    Args:
        storage_of: a storage of its own for the child that dies at the n-th step.
        die_at: has the process killed before its n-th step from then on.
        every: 1 kills at each step.

    Returns:
        the step at which a child was to die that came to the end.
    """
    bundle(0), signed(1)  # made once, before the children
    for n in range(1, MOST, every):
        child = os.fork()
        if not child:
            storage = storage_of(n)
            die_at(n)
            story(storage)
            os._exit(0)
        ended = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        if ended == 0:
            return n
        if ended != -signal.SIGKILL:
            raise AssertionError(f"step {n} ended with {ended}")
    raise AssertionError("the story has no end")


def whole(storage: Storage) -> tuple[int, int, str | None, tuple[str, ...]]:
    """Hold that a registry is whole after a kill, before and after somebody else has written.

    Returns:
        how far the story had come: versions, changes, champion, statements.
    """
    registry = Registry(storage, wait_s=0.0)
    versions = registry.list()
    for version in versions:
        registry.get(version.id)
    assert not versions or registry.get().document("settings")["number"] in (0, 1)
    statements = read_feedback(storage)
    come_to = (len(versions), len(registry.log()), registry.champion, tuple(one.what for one in statements))
    assert come_to[3] == ("expected", "bad", "undo")[: len(statements)]
    # whoever comes next works as ever, and clears up
    registry.add(bundle(3), who="bob")
    registry.promote(registry.add(bundle(2), who="bob"), who="bob", why="")
    assert registry.get().document("settings") == {"number": 2}
    assert {version.id for version in registry.list()} == {change.version for change in registry.log()}
    assert set(storage.list("versions")) == {version.id for version in registry.list()}
    more = add_feedback(storage, said("LT-3", "bad"))
    assert read_feedback(storage) == [*statements, more]
    assert more in standing(read_feedback(storage))
    # the interrupted work can be taken up again
    registry.add(signed(1), who="ada")
    return come_to


def die_at_change(n: int) -> None:
    """Be killed before the n-th change to the file system from here on."""
    left = [n]

    def count(event: str, args: tuple[Any, ...]) -> None:
        if event in CHANGES and not (event == "open" and args[1] in ("r", "rb")):
            left[0] -= 1
            if not left[0]:
                os.kill(os.getpid(), signal.SIGKILL)

    sys.addaudithook(count)


if __name__ == "__main__":
    killed_each_time(lambda n: LocalStorage(Path(sys.argv[1]) / f"{n:03}"), die_at_change)
