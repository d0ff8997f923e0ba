"""A bundle comes back as it was written, has the same bytes everywhere, and anything else is refused with a reason."""

import json
import math
import os

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.bundle import MANIFEST, decode_bundle, encode_bundle, read_bundle, write_bundle
from models.errors import BundleCorruptError, BundleForeignError, BundleNewerError, InputError

SCHEMA = pa.schema(
    [("name", pa.string()), ("mean", pa.float64())], metadata={"schema": "lonetree.test", "version": "3"}
)
TABLE = pa.table({"name": ["a", "b", None], "mean": [1.5, None, 2.5]}, schema=SCHEMA)
PARTS = {
    "tables": {"baselines": TABLE},
    "documents": {"settings": {"budget": 1.0, "words": ["höher", "strange"]}},
    "manifest": {"training_window": {"start": "2026-07-01T00:00:00Z", "end": "2026-08-01T00:00:00Z"}},
}

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=20,
)


@pytest.fixture
def folder(tmp_path):
    write_bundle(tmp_path / "bundle", **PARTS)
    return tmp_path / "bundle"


def rewrite_manifest(folder, change):
    path = folder / MANIFEST
    manifest = json.loads(path.read_text())
    change(manifest)
    path.write_text(json.dumps(manifest))


def test_a_bundle_comes_back_as_it_was_written(folder):
    bundle = read_bundle(folder)
    assert bundle.table("baselines", SCHEMA).equals(TABLE, check_metadata=True)
    assert bundle.document("settings") == PARTS["documents"]["settings"]
    assert bundle.manifest == PARTS["manifest"]
    assert "baselines" in repr(bundle)


@given(st.dictionaries(st.from_regex(r"[a-z][a-z0-9_]{0,8}", fullmatch=True), JSON, max_size=4), JSON)
def test_any_json_comes_back_as_it_was(documents, about):
    documents.pop("manifest", None)
    files = encode_bundle(tables={}, documents=documents, manifest={"about": about})
    bundle = decode_bundle(files)
    assert dict(bundle.documents) == documents
    assert bundle.manifest == {"about": about}


def test_the_same_content_gives_the_same_bytes_whatever_its_order_and_chunks():
    chunked = pa.concat_tables([TABLE.slice(0, 1), TABLE.slice(1)])
    tables = {"second": TABLE, "first": chunked}
    turned = {"first": TABLE, "second": chunked}
    documents = {"a": {"x": 1, "y": 2}, "b": []}
    files = encode_bundle(tables=tables, documents=documents, manifest={"m": 1, "n": 2})
    again = encode_bundle(tables=turned, documents={"b": [], "a": {"y": 2, "x": 1}}, manifest={"n": 2, "m": 1})
    assert files == again
    assert list(files)[-1] == MANIFEST


def test_the_digest_names_the_content(tmp_path):
    first = write_bundle(tmp_path / "first", **PARTS)
    assert write_bundle(tmp_path / "second", **PARTS) == first == read_bundle(tmp_path / "first").digest
    assert write_bundle(tmp_path / "third", **{**PARTS, "manifest": {}}) != first


def test_every_flipped_byte_is_noticed():
    files = encode_bundle(**PARTS)
    for name, data in files.items():
        for at in range(0, len(data), 7):
            damaged = bytearray(data)
            damaged[at] ^= 0x10
            try:
                bundle = decode_bundle({**files, name: bytes(damaged)})
            except (BundleCorruptError, BundleForeignError, BundleNewerError):
                continue
            # only what the manifest says about the bundle is vouched for by the digest alone
            assert name == MANIFEST
            assert bundle.digest != decode_bundle(files).digest


@pytest.mark.parametrize("file", ["baselines.arrow", "settings.json", MANIFEST])
def test_a_truncated_file_is_noticed(folder, file):
    for size in (0, 10, (folder / file).stat().st_size - 1):
        os.truncate(folder / file, size)
        if file == MANIFEST and size > 10:
            continue  # the last byte of a manifest is a line break
        with pytest.raises(BundleCorruptError):
            read_bundle(folder)


def test_a_missing_file_is_named(folder):
    (folder / "settings.json").unlink()
    with pytest.raises(BundleCorruptError, match=r"without settings\.json"):
        read_bundle(folder)


def test_a_file_too_much_is_refused(folder):
    (folder / "more.json").write_text("{}")
    with pytest.raises(BundleCorruptError, match=r"also more\.json"):
        read_bundle(folder)


def test_links_and_folders_are_refused(folder, tmp_path):
    (folder / "settings.json").rename(tmp_path / "elsewhere.json")
    (folder / "settings.json").symlink_to(tmp_path / "elsewhere.json")
    with pytest.raises(BundleCorruptError, match="plain files"):
        read_bundle(folder)
    (folder / "settings.json").unlink()
    (folder / "settings.json").mkdir()
    with pytest.raises(BundleCorruptError, match="plain files"):
        read_bundle(folder)


@pytest.mark.parametrize(
    "name", ["../outside.json", "/etc/passwd.json", "a/b.json", ".hidden.json", "x.pickle", "", "x"]
)
def test_a_manifest_can_not_point_elsewhere(folder, name):
    def point(manifest):
        manifest["files"][name] = {"bytes": 2, "sha256": "0" * 64}

    rewrite_manifest(folder, point)
    with pytest.raises(BundleCorruptError, match="impossible file"):
        read_bundle(folder)


def test_a_newer_bundle_says_to_update(folder):
    rewrite_manifest(folder, lambda manifest: manifest.update(format_version=2, files="another shape"))
    with pytest.raises(BundleNewerError, match="Update Lonetree"):
        read_bundle(folder)


@pytest.mark.parametrize("version", [None, 0, "1", True, 1.5])
def test_a_bundle_without_a_format_version_is_corrupt(folder, version):
    rewrite_manifest(folder, lambda manifest: manifest.update(format_version=version))
    with pytest.raises(BundleCorruptError, match="format version"):
        read_bundle(folder)


def test_what_is_no_bundle_is_foreign(tmp_path, folder):
    with pytest.raises(BundleForeignError, match="No bundle there"):
        read_bundle(tmp_path / "nowhere")
    (tmp_path / "empty").mkdir()
    with pytest.raises(BundleForeignError, match="no manifest"):
        read_bundle(tmp_path / "empty")
    for foreign in ('{"format": "mlflow"}', "[1, 2]"):
        (folder / MANIFEST).write_text(foreign)
        with pytest.raises(BundleForeignError, match=r"lonetree\.bundle"):
            read_bundle(folder)


def test_a_nested_bomb_is_refused(folder):
    (folder / MANIFEST).write_text("[" * 1_000_000)
    with pytest.raises(BundleCorruptError, match="not JSON"):
        read_bundle(folder)


def test_tables_and_documents_that_are_missing_or_other_are_named(folder):
    bundle = read_bundle(folder)
    with pytest.raises(BundleForeignError, match="no table 'forests'"):
        bundle.table("forests")
    with pytest.raises(BundleForeignError, match="no document 'catalogue'"):
        bundle.document("catalogue")
    with pytest.raises(BundleForeignError, match="other fields"):
        bundle.table("baselines", pa.schema([("name", pa.string())]))


def test_nothing_written_is_ever_overwritten(folder):
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    with pytest.raises(InputError, match="already"):
        write_bundle(folder, tables={}, documents={}, manifest={})
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before


def test_a_failed_write_leaves_nothing_behind(tmp_path):
    for name, value in (("settings", math.nan), ("manifest", {}), ("../up", {}), ("settings", {1, 2})):
        with pytest.raises(InputError):
            write_bundle(tmp_path / "bundle", tables={}, documents={name: value}, manifest={})
    assert list(tmp_path.iterdir()) == []
