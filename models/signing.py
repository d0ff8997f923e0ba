"""Ed25519 signatures of bundles: detached, over the manifest, whose checksums cover everything else.

Whoever can write to the registry can replace a model; whoever demands a signature runs only what the key's holder made.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from models.bundle import MANIFEST, SIGNATURE, Bundle, decode_bundle, map_folder
from models.errors import BundleCorruptError, BundleForeignError, InputError
from models.storage import LocalStorage

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey


class SigningKey:
    """A private key that does not show itself.

    Args:
        pem: PKCS #8 in PEM, not encrypted unless a password is given.
        password: of an encrypted key.

    Raises:
        InputError: for what is no Ed25519 private key.
    """

    def __init__(self, pem: bytes, password: bytes | None = None) -> None:
        self._key = _load_private(pem, password)

    def __repr__(self) -> str:
        return "SigningKey(***)"

    def __reduce__(self) -> Any:
        raise TypeError("A signing key is not to be pickled.")

    @classmethod
    def generate(cls) -> SigningKey:
        """A new key, from the system's randomness."""
        from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

        made = cls.__new__(cls)
        made._key = Ed25519PrivateKey.generate()
        return made

    def private_pem(self, password: bytes | None = None) -> bytes:
        """The key as PKCS #8 in PEM, to be kept; encrypted if a password is given."""
        from cryptography.hazmat.primitives import serialization as form

        lock = form.BestAvailableEncryption(password) if password else form.NoEncryption()
        return self._key.private_bytes(form.Encoding.PEM, form.PrivateFormat.PKCS8, lock)

    def public_pem(self) -> bytes:
        """Its public key in PEM, to be given to who verifies."""
        from cryptography.hazmat.primitives import serialization as form

        public = self._key.public_key()
        return public.public_bytes(form.Encoding.PEM, form.PublicFormat.SubjectPublicKeyInfo)

    def sign(self, manifest: bytes) -> bytes:
        """A signature file's content: base64 and a line break."""
        return base64.b64encode(self._key.sign(manifest)) + b"\n"


def sign_files(files: Mapping[str, bytes], key: SigningKey) -> dict[str, bytes]:
    """The files of a bundle with their signature among them, as ``Registry.add`` takes them."""
    return {SIGNATURE: key.sign(files[MANIFEST]), **{name: data for name, data in files.items() if name != SIGNATURE}}


def sign_bundle(folder: str | Path, key: SigningKey) -> None:
    """Verify a bundle's checksums and put a signature beside its manifest.

    Raises:
        ModelError: where the bundle doesn't hold.
    """
    files = map_folder(Path(folder))
    decode_bundle(files)
    LocalStorage(folder).write_atomic(SIGNATURE, key.sign(bytes(memoryview(files[MANIFEST]))))


def verify_bundle(folder: str | Path, public_key: bytes) -> Bundle:
    """Read a bundle that must be signed.

    Args:
        folder: the bundle.
        public_key: PEM.

    Raises:
        BundleForeignError: not signed at all.
        BundleCorruptError: signed by another key, or changed since.
    """
    files = map_folder(Path(folder))
    verify_files(files, public_key)
    return decode_bundle(files)


def verify_files(files: Mapping[str, Any], public_key: bytes) -> None:
    """Hold that the manifest among a bundle's files is signed by the public key (PEM).

    Raises:
        BundleForeignError: not signed at all.
        BundleCorruptError: signed by another key, or changed since.
        InputError: for what is no Ed25519 public key.
    """
    from cryptography.exceptions import InvalidSignature

    key = _load_public(public_key)
    if SIGNATURE not in files or MANIFEST not in files:
        raise BundleForeignError(
            "The bundle is not signed.",
            expected=f"{MANIFEST} with its {SIGNATURE}",
            received=", ".join(sorted(files)[:10]) or "no files",
            hint="Sign it with the key whose public part is demanded here, or demand none.",
        )
    try:
        signature = base64.b64decode(bytes(memoryview(files[SIGNATURE])).strip(), validate=True)
        key.verify(signature, bytes(memoryview(files[MANIFEST])))
    except (InvalidSignature, binascii.Error) as error:
        raise BundleCorruptError(
            "The bundle's signature does not hold.",
            expected="a signature of this manifest by the key demanded",
            received="one by another key, or of another manifest",
            hint="Don't run this model before you know who changed it.",
        ) from error


def _load_private(pem: bytes, password: bytes | None) -> Ed25519PrivateKey:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
    from cryptography.hazmat.primitives.serialization import load_pem_private_key

    try:
        key = load_pem_private_key(pem, password)
    except (ValueError, TypeError):
        key = None  # the error could quote the key
    if not isinstance(key, Ed25519PrivateKey):
        raise InputError("Not a signing key.", expected="an Ed25519 private key in PEM, and its password if it has one")
    return key


def _load_public(pem: bytes) -> Ed25519PublicKey:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
    from cryptography.hazmat.primitives.serialization import load_pem_public_key

    try:
        key = load_pem_public_key(pem)
    except ValueError:
        key = None
    if not isinstance(key, Ed25519PublicKey):
        raise InputError("Not a public key.", expected="an Ed25519 public key in PEM", received="something else")
    return key
