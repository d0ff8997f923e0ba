"""A bundle: a trained model as a folder of Arrow tables and JSON documents, with a manifest that vouches for each.

    forests.arrow  baselines.arrow  settings.json  ...  manifest.json  [manifest.sig]

The manifest holds every file's size and SHA-256, so the manifest's own SHA-256 (the digest) names the whole content.
The same content gives the same bytes everywhere; nothing in it depends on the time of writing. Nothing is pickled.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final

import pyarrow as pa

from models.errors import BundleCorruptError, BundleForeignError, BundleNewerError, InputError
from models.storage import TEMPORARY, write_folder

#: what the manifest calls the format, and the newest version of it that this code reads and writes
FORMAT: Final = "lonetree.bundle"
FORMAT_VERSION: Final = 1

MANIFEST: Final = "manifest.json"
SIGNATURE: Final = "manifest.sig"

#: names of tables and documents; no slash, no leading dot, so no way out of the folder
_NAME: Final = re.compile(r"[a-z0-9][a-z0-9_-]{0,99}")
#: bytes; thousands of forests take 150 kB each, documents are small, and a damaged size must not fill the memory
MAX_TABLE_BYTES: Final = 4 << 30
MAX_DOCUMENT_BYTES: Final = 64 << 20
#: files of a bundle; a bundle of ours has about ten
MAX_FILES: Final = 1_000


@dataclass(frozen=True)
class Bundle:
    """A bundle as read: its checksums held."""

    #: SHA-256 of manifest.json, hex
    digest: str
    #: what the writer said about it: training window, versions, counts
    manifest: Mapping[str, Any]
    #: tables by name, memory-mapped where they come from a folder
    tables: Mapping[str, pa.Table]
    #: JSON documents by name
    documents: Mapping[str, Any]

    def __repr__(self) -> str:
        return f"Bundle({self.digest[:12]}, tables={sorted(self.tables)}, documents={sorted(self.documents)})"

    def table(self, name: str, schema: pa.Schema | None = None) -> pa.Table:
        """The table of this name.

        Args:
            name: as given to ``write_bundle``.
            schema: fields that it must have.

        Raises:
            BundleForeignError: where there is none, or it has other fields.
        """
        if name not in self.tables:
            received = ", ".join(sorted(self.tables)) or "no tables"
            raise BundleForeignError(f"The bundle has no table {name!r}.", expected=name, received=received)
        table: pa.Table = self.tables[name]
        if schema is not None and not table.schema.equals(schema, check_metadata=False):
            raise BundleForeignError(
                f"The bundle's table {name!r} has other fields.",
                expected=", ".join(f"{field.name}: {field.type}" for field in schema),
                received=", ".join(f"{field.name}: {field.type}" for field in table.schema),
                hint="Train again with this version of Lonetree.",
            )
        return table

    def document(self, name: str) -> Any:
        """The JSON document of this name.

        Raises:
            BundleForeignError: where there is none.
        """
        if name not in self.documents:
            received = ", ".join(sorted(self.documents)) or "no documents"
            raise BundleForeignError(f"The bundle has no document {name!r}.", expected=name, received=received)
        return self.documents[name]


def encode_bundle(
    *, tables: Mapping[str, pa.Table], documents: Mapping[str, Any], manifest: Mapping[str, Any]
) -> dict[str, bytes]:
    """The files of a bundle by name, the manifest last.

    Args:
        tables: by name; the order and number of their chunks makes no difference.
        documents: JSON values by name; numbers must be finite.
        manifest: JSON values about the bundle, e.g. ``training_window`` with ``start`` and ``end`` (ISO 8601, UTC).

    Raises:
        InputError: for an impossible name or a value that JSON can't hold.
    """
    files: dict[str, bytes] = {}
    listed: dict[str, dict[str, Any]] = {}
    for name in sorted(tables):
        data = _table_bytes(tables[name])
        about = {"rows": tables[name].num_rows, **_schema_name(tables[name].schema)}
        files[_file_name(name, "arrow")] = data
        listed[f"{name}.arrow"] = {"bytes": len(data), "sha256": hashlib.sha256(data).hexdigest(), **about}
    for name in sorted(documents):
        data = _json_bytes(documents[name], name)
        files[_file_name(name, "json")] = data
        listed[f"{name}.json"] = {"bytes": len(data), "sha256": hashlib.sha256(data).hexdigest()}
    whole = {"format": FORMAT, "format_version": FORMAT_VERSION, "files": listed, "about": dict(manifest)}
    files[MANIFEST] = _json_bytes(whole, "manifest")
    return files


def decode_bundle(files: Mapping[str, Any]) -> Bundle:
    """A bundle from its files, every checksum verified.

    Args:
        files: bytes-like (bytes or pa.Buffer) by file name.

    Raises:
        BundleForeignError: not a bundle of ours.
        BundleNewerError: written by a newer Lonetree.
        BundleCorruptError: a file is missing, too much, or not what the manifest says.
    """
    if MANIFEST not in files:
        received = ", ".join(sorted(files)[:10]) or "no files"
        raise BundleForeignError("Not a bundle: it has no manifest.", expected=MANIFEST, received=received)
    head = memoryview(files[MANIFEST])
    listed, about = _read_manifest(head)
    _check_names(set(files) - {MANIFEST, SIGNATURE}, listed)
    tables: dict[str, pa.Table] = {}
    documents: dict[str, Any] = {}
    for name, entry in listed.items():
        content = memoryview(files[name])
        received = f"{content.nbytes:,} bytes, sha256 {hashlib.sha256(content).hexdigest()}"
        expected = f"{entry['bytes']:,} bytes, sha256 {entry['sha256']}"
        if received != expected:
            raise BundleCorruptError(
                f"{name} is not the file that was written.",
                expected=expected,
                received=received,
                hint="Restore it, or go back to another version.",
            )
        stem, _, suffix = name.rpartition(".")
        if suffix == "json":
            documents[stem] = _parse_json(content, name)
        else:
            tables[stem] = _read_table(files[name], name, entry)
    digest = hashlib.sha256(head).hexdigest()
    return Bundle(digest, MappingProxyType(about), MappingProxyType(tables), MappingProxyType(documents))


def write_bundle(
    folder: str | Path, *, tables: Mapping[str, pa.Table], documents: Mapping[str, Any], manifest: Mapping[str, Any]
) -> str:
    """Write a bundle as a new folder: whole, or not at all.

    Args:
        folder: must not exist.
        tables: see ``encode_bundle``.
        documents: see ``encode_bundle``.
        manifest: see ``encode_bundle``.

    Returns:
        The bundle's digest.

    Raises:
        InputError: where the folder exists, or something can't be written as a bundle.
    """
    files = encode_bundle(tables=tables, documents=documents, manifest=manifest)
    write_folder(Path(folder), files)
    return hashlib.sha256(files[MANIFEST]).hexdigest()


def read_bundle(folder: str | Path) -> Bundle:
    """Read a bundle; its tables stay on disk, memory-mapped.

    Raises:
        BundleForeignError: not a bundle of ours.
        BundleNewerError: written by a newer Lonetree.
        BundleCorruptError: a file is missing, too much, or not what the manifest says.
    """
    return decode_bundle(map_folder(Path(folder)))


def map_folder(folder: Path) -> dict[str, pa.Buffer]:
    """The files of a folder, memory-mapped, by name.

    Raises:
        BundleForeignError: where there is no such folder.
        BundleCorruptError: for links, folders, files of impossible size, or too many of them.
    """
    if not folder.is_dir():
        raise BundleForeignError("No bundle there.", expected="a folder with manifest.json", received=str(folder))
    paths = sorted(path for path in folder.iterdir() if not path.name.startswith(TEMPORARY))
    if len(paths) > MAX_FILES:
        raise BundleCorruptError("Too many files for a bundle.", expected=f"{MAX_FILES}", received=f"{len(paths)}")
    buffers = {}
    for path in paths:
        if path.is_symlink() or not path.is_file():
            raise BundleCorruptError("A bundle holds plain files only.", expected="a file", received=path.name)
        limit = MAX_TABLE_BYTES if path.suffix == ".arrow" else MAX_DOCUMENT_BYTES
        size = path.stat().st_size
        if size > limit:
            raise BundleCorruptError(
                f"{path.name} is too large.", expected=f"{limit:,} bytes at most", received=f"{size:,} bytes"
            )
        # an empty file can't be mapped
        buffers[path.name] = pa.memory_map(str(path)).read_buffer() if size else pa.py_buffer(b"")
    return buffers


def _read_manifest(data: memoryview) -> tuple[dict[str, dict[str, Any]], dict[str, Any]]:
    """Files by name, and what is said about the bundle."""
    whole = _parse_json(data, MANIFEST)
    if not isinstance(whole, dict) or whole.get("format") != FORMAT:
        received = str(whole.get("format")) if isinstance(whole, dict) else type(whole).__name__
        raise BundleForeignError("Not a bundle of Lonetree.", expected=f"format {FORMAT!r}", received=received[:200])
    version = whole.get("format_version")
    if not isinstance(version, int) or isinstance(version, bool) or version < 1:
        raise BundleCorruptError("The manifest names no format version.", expected="1 or more", received=repr(version))
    if version > FORMAT_VERSION:
        raise BundleNewerError(
            "This bundle was written by a newer Lonetree.",
            expected=f"format version {FORMAT_VERSION} at most",
            received=f"format version {version}",
            hint="Update Lonetree, or choose an older version of the model.",
        )
    listed, about = whole.get("files"), whole.get("about")
    if not isinstance(about, dict) or not isinstance(listed, dict):
        raise BundleCorruptError("The manifest is incomplete.", expected="files and about", received=", ".join(whole))
    for name, entry in listed.items():
        stem, _, suffix = name.rpartition(".")
        known = isinstance(entry, dict) and isinstance(entry.get("bytes"), int) and isinstance(entry.get("sha256"), str)
        if not known or suffix not in ("arrow", "json") or not _NAME.fullmatch(stem) or name == MANIFEST:
            raise BundleCorruptError("The manifest lists an impossible file.", received=f"{name!r}: {entry!r}"[:300])
    return listed, about


def _check_names(present: set[str], listed: Mapping[str, Any]) -> None:
    for names, problem in ((set(listed) - present, "lacks"), (present - set(listed), "holds more than")):
        if names:
            raise BundleCorruptError(
                f"The bundle {problem} the files of its manifest.",
                expected=", ".join(sorted(listed)),
                received=f"{'without' if problem == 'lacks' else 'also'} {', '.join(sorted(names)[:10])}",
            )


def _read_table(data: Any, name: str, entry: Mapping[str, Any]) -> pa.Table:
    try:
        table = pa.ipc.open_file(pa.py_buffer(data)).read_all()
        table.validate(full=True)
    except (pa.ArrowException, OSError) as error:
        raise BundleCorruptError(f"{name} is not an Arrow file.", received=str(error)) from error
    if table.num_rows != entry.get("rows") or any(entry.get(k) != v for k, v in _schema_name(table.schema).items()):
        raise BundleCorruptError(f"{name} is not the table that the manifest describes.")
    return table


def _schema_name(schema: pa.Schema) -> dict[str, str]:
    """The name and version that our schemas carry in their metadata."""
    metadata = schema.metadata or {}
    named = {"schema": metadata.get(b"schema"), "schema_version": metadata.get(b"version")}
    return {key: value.decode() for key, value in named.items() if value is not None}


def _table_bytes(table: pa.Table) -> bytes:
    sink = pa.BufferOutputStream()
    # one batch, no compression: bytes depend on the content alone, and can be memory-mapped
    with pa.ipc.new_file(sink, table.schema) as writer:
        writer.write_table(table.combine_chunks())
    data: bytes = sink.getvalue().to_pybytes()
    return data


def _json_bytes(value: Any, name: str) -> bytes:
    try:
        text = json.dumps(value, sort_keys=True, indent=1, ensure_ascii=False, allow_nan=False)
        return text.encode() + b"\n"
    except (TypeError, ValueError, RecursionError) as error:
        raise InputError(
            f"{name} can't be written as JSON.",
            expected="strings, finite numbers, booleans, null, lists and dicts of these",
            received=str(error),
        ) from error


def _parse_json(data: memoryview, name: str) -> Any:
    try:
        return json.loads(bytes(data))
    except (ValueError, RecursionError) as error:
        raise BundleCorruptError(f"{name} is not JSON.", received=str(error)) from error


def _file_name(name: str, suffix: str) -> str:
    file = f"{name}.{suffix}"
    if not _NAME.fullmatch(name) or file == MANIFEST:
        raise InputError(
            "No name for a part of a bundle.", expected="a-z, 0-9, - and _; not 'manifest'", received=repr(name)
        )
    return file
