"""A registry: immutable versions of bundles in a storage, one of them the champion, and a log of every change.

    versions/20260801T000000-3fa9c1/...  manifest.json   complete once its manifest is there, never changed after
    audit.jsonl                                          one line a change; the last one names the champion
    lock                                                 held by the one who writes

The log is replaced as a whole by one atomic write, and it is the pointer to the champion too, so no crash can leave the
two at odds. Readers take no lock.
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path
from typing import Any, Final, Literal

from models.audit import AUDIT, Change, append_change, former_champion, read_changes
from models.bundle import MANIFEST, SIGNATURE, Bundle, decode_bundle, map_folder
from models.errors import BundleCorruptError, InputError, RegistryError
from models.signing import SigningKey, verify_files
from models.storage import WAIT_S, LocalStorage, Storage, writing

#: stands for whichever version is the champion
CHAMPION: Final = "champion"

_VERSIONS: Final = "versions"
_ID: Final = re.compile(r"[0-9]{8}T[0-9]{6}-[0-9a-f]{6,64}")
#: hex digits of the digest in a version's name; more where two versions share the first ones
_DIGITS: Final = (6, 12, 64)
#: what a version's name begins with where the manifest tells no training window
_NO_WINDOW: Final = "00000000T000000"
#: versions that an error names
_NAMED: Final = 5


@dataclass(frozen=True)
class Version:
    """A version in the registry."""

    #: readable, sorts by the end of the training window: 20260801T000000-3fa9c1
    id: str
    #: whether it is the one that judges
    champion: bool
    #: when (ISO 8601, UTC), by whom and with what note it was added; None where a crash came before the log
    added: str | None = None
    who: str | None = None
    note: str | None = None


# inside the class, list is the method
Versions = list[Version]
Changes = list[Change]
Names = list[str]


def _now() -> datetime:
    return datetime.now(timezone.utc)


class Registry:
    """Versions of bundles in a folder or another storage.

    Args:
        place: a folder on this machine (made when first written to), or a Storage.
        clock: what time it is, UTC; goes into the log.
        wait_s: seconds to wait for another writer.

    Example:
        >>> import tempfile
        >>> from models.bundle import encode_bundle
        >>> registry = Registry(tempfile.mkdtemp())
        >>> def bundle(number):
        ...     return encode_bundle(tables={}, documents={"settings": number}, manifest={})
        >>> first, second = (registry.add(bundle(number), who="ann") for number in (1, 2))
        >>> registry.promote(second, who="ann", why="quieter") == registry.champion
        True
        >>> registry.rollback(who="bob", why="missed a flood") == first
        True
        >>> registry.get().document("settings")
        1
        >>> [(change.who, change.what, change.why) for change in registry.log()][2:]
        [('ann', 'promote', 'quieter'), ('bob', 'rollback', 'missed a flood')]
    """

    def __init__(
        self, place: str | Path | Storage, *, clock: Callable[[], datetime] = _now, wait_s: float = WAIT_S
    ) -> None:
        self.storage: Storage = LocalStorage(place) if isinstance(place, (str, Path)) else place
        self._clock = clock
        self._wait_s = wait_s

    def __repr__(self) -> str:
        return f"Registry({self.storage!r})"

    @property
    def champion(self) -> str | None:
        """The version that judges; None in an empty registry."""
        changes = self.log()
        # without a log, a crash came between the first version and its line
        return changes[-1].after if changes else next(iter(self._ids()), None)

    def log(self) -> Changes:
        """Every change, oldest first.

        Raises:
            BundleCorruptError: for a line that is not one of ours.
        """
        return read_changes(self.storage)

    def ready(self) -> None:
        """Make sure that it can be written to, so that who can't learns it before the work and not after.

        Raises:
            RegistryError: it can't be, or another process keeps writing.
        """
        with writing(self.storage, self._wait_s):
            pass

    def list(self) -> Versions:
        """All versions, oldest training window first."""
        added = {change.version: change for change in self.log() if change.what == "add"}
        champion = self.champion
        versions = []
        for name in self._ids():
            change = added.get(name)
            told = (change.at, change.who, change.why) if change else ()
            versions.append(Version(name, name == champion, *told))
        return versions

    def resolve(self, version: str = CHAMPION) -> str:
        """The version's own name, also for 'champion'.

        Raises:
            RegistryError: where there is no such version.
        """
        name = self.champion if version == CHAMPION else version
        if name is not None and self._is_complete(name):
            return name
        known = self._ids()
        raise RegistryError(
            f"No version {version if name is None else name!r} in the registry.",
            expected=f"one of {', '.join(known[-_NAMED:])}" if known else "at least one version",
            received=f"{len(known) or 'no'} version{'' if len(known) == 1 else 's'} in {self.storage}",
            hint="Choose one of those." if known else "Train one: lonetree train --input PATH --models DIR",
        )

    def get(self, version: str = CHAMPION, *, public_key: bytes | None = None) -> Bundle:
        """The bundle of a version, its checksums verified; memory-mapped where it is on this machine.

        Args:
            version: its name, or 'champion'.
            public_key: PEM; if given, the bundle must be signed with its private key.

        Raises:
            RegistryError: where there is no such version.
            ModelError: where its bundle is corrupt, foreign, newer, or not signed as demanded.
        """
        name = self.resolve(version)
        files = self._files(name)
        if public_key is not None:
            verify_files(files, public_key)
        bundle = decode_bundle(files)
        promised = name.partition("-")[2]
        if not bundle.digest.startswith(promised):
            raise BundleCorruptError(
                f"Version {name} is not what was added.",
                expected=f"a digest beginning with {promised}",
                received=bundle.digest,
                hint="Go back to another version, and train again.",
            )
        return bundle

    def add(self, source: str | Path | Mapping[str, Any], *, who: str, note: str = "") -> str:
        """Add a bundle as a new version; the first one becomes the champion.

        Args:
            source: a bundle's folder, or its files as ``encode_bundle`` gives them.
            who: who adds it.
            note: what should be known about it.

        Returns:
            The version's name. The same content again gives the version that is there; only a signature is added.

        Raises:
            ModelError: where the bundle doesn't hold.
            RegistryError: where another process keeps writing.
        """
        files = map_folder(Path(source)) if isinstance(source, (str, Path)) else source
        bundle = decode_bundle(files)
        with self._writing():
            name, is_new = self._name(bundle)
            if is_new:
                # the manifest last, because it makes the version complete
                for file in sorted(files, key=lambda file: (file == MANIFEST, file)):
                    self.storage.write_atomic(f"{_VERSIONS}/{name}/{file}", bytes(memoryview(files[file])))
                self._record("add", name, who, note)
            elif SIGNATURE in files and not self.is_signed(name):
                self._put_signature(name, bytes(memoryview(files[SIGNATURE])))
        return name

    def promote(self, version: str, *, who: str, why: str) -> str:
        """Make a version the champion, after reading it through; nothing happens if it is already.

        Returns:
            The version's name.

        Raises:
            RegistryError: where there is no such version, or another process keeps writing.
            ModelError: where its bundle doesn't hold.
        """
        with self._changing(version) as name:
            if name != self.champion:
                self._record("promote", name, who, why)
        return name

    def rollback(self, *, who: str, why: str) -> str:
        """Go back to the champion before this one; called again, to the one before that.

        Returns:
            The version gone back to.

        Raises:
            RegistryError: where there was none before, or another process keeps writing.
            ModelError: where its bundle doesn't hold.
        """
        with self._writing():
            former = former_champion(self.log())
            if former is None:
                raise RegistryError(
                    "There is no champion before this one.",
                    expected="an earlier promotion",
                    received=f"champion {self.champion}",
                    hint="Promote a version by its name: lonetree models promote VERSION",
                )
            self.get(former)
            self._record("rollback", former, who, why)
        return former

    def sign(self, version: str, key: SigningKey, *, who: str, why: str = "") -> str:
        """Sign a version, after reading it through; a signature that is there is replaced.

        Args:
            version: its name, or 'champion'.
            key: Ed25519; whoever demands its public part runs only what was signed with it.
            who: who signs.
            why: the reason.

        Returns:
            The version's name.

        Raises:
            RegistryError, ModelError: as ``promote`` says.
        """
        with self._changing(version) as name:
            self._put_signature(name, key.sign(self.storage.read_bytes(f"{_VERSIONS}/{name}/{MANIFEST}")))
            self._record("sign", name, who, why)
        return name

    def is_signed(self, version: str = CHAMPION) -> bool:
        """Whether there is a signature; only ``get`` with a public key says whether it holds."""
        return self.storage.exists(f"{_VERSIONS}/{self.resolve(version)}/{SIGNATURE}")

    def _put_signature(self, name: str, signature: bytes) -> None:
        key = f"{_VERSIONS}/{name}/{SIGNATURE}"
        self.storage.tidy(key)
        self.storage.write_atomic(key, signature)

    def _ids(self) -> Names:
        return [name for name in self.storage.list(_VERSIONS) if self._is_complete(name)]

    def _is_complete(self, name: str) -> bool:
        return _ID.fullmatch(name) is not None and self.storage.exists(f"{_VERSIONS}/{name}/{MANIFEST}")

    def _files(self, name: str) -> Mapping[str, Any]:
        key = f"{_VERSIONS}/{name}"
        folder = self.storage.local_path(key)
        if folder is not None:
            return map_folder(folder)
        return {file: self.storage.read_bytes(f"{key}/{file}") for file in self.storage.list(key)}

    def _name(self, bundle: Bundle) -> tuple[str, bool]:
        """A version's name for the bundle, and whether there is none of it yet."""
        trained_to = _compact_time(bundle.manifest)
        for digits in _DIGITS:
            name = f"{trained_to}-{bundle.digest[:digits]}"
            if not self._is_complete(name):
                return name, True
            if self.get(name).digest == bundle.digest:
                break
        return name, False

    @contextlib.contextmanager
    def _changing(self, version: str) -> Iterator[str]:
        """Hold the lock, with the name of a version that was read through."""
        with self._writing():
            name = self.resolve(version)
            self.get(name)
            yield name

    @contextlib.contextmanager
    def _writing(self) -> Iterator[None]:
        """Hold the lock; first clear up after a writer that was killed."""
        with writing(self.storage, self._wait_s):
            self._clear_up()
            yield

    def _clear_up(self) -> None:
        self.storage.tidy(AUDIT)
        logged = {change.version for change in self.log()}
        for name in self.storage.list(_VERSIONS):
            if not self._is_complete(name):
                self.storage.delete_tree(f"{_VERSIONS}/{name}")
            elif name not in logged:
                self._record("add", name, "unknown", "found complete but not in the log, as after a crash")

    def _record(self, what: Literal["add", "promote", "rollback", "sign"], version: str, who: str, why: str) -> None:
        changes = self.log()
        before = changes[-1].after if changes else None
        after = before if what in ("add", "sign") and before is not None else version
        at = self._clock().astimezone(timezone.utc).isoformat(timespec="milliseconds")
        append_change(self.storage, Change(at, who, what, why, version, before, after))


def _compact_time(manifest: Mapping[str, Any]) -> str:
    """End of the training window as it stands in a version's name: 20260801T000000."""
    window = manifest.get("training_window")
    if not isinstance(window, Mapping) or window.get("end") is None:
        return _NO_WINDOW
    try:
        # fromisoformat knows no Z before Python 3.11
        end = datetime.fromisoformat(str(window["end"]).replace("Z", "+00:00"))
    except ValueError as error:
        raise InputError(
            "The bundle's training window has no end that can be read.",
            expected="ISO 8601, like 2026-08-01T00:00:00Z",
            received=repr(window["end"]),
        ) from error
    return (end.astimezone(timezone.utc) if end.tzinfo else end).strftime("%Y%m%dT%H%M%S")
