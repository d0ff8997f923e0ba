"""A registry keeps versions whole, knows its champion and why, and survives being killed at any step."""

import errno
import json
import os
import re
import signal
import subprocess
import sys
import tempfile
import textwrap
from datetime import datetime, timedelta, timezone
from pathlib import Path

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from models.bundle import encode_bundle, write_bundle
from models.errors import BundleCorruptError, BundleForeignError, InputError, RegistryError
from models.registry import Registry
from models.signing import SigningKey, sign_bundle, sign_files, verify_bundle, verify_files
from models.storage import TEMPORARY, LocalStorage

ROOT = Path(__file__).parents[2]


def bundle(number, end="2026-08-01T00:00:00Z"):
    table = pa.table({"mean": [float(number)]})
    about = {"training_window": {"start": "2026-07-01T00:00:00Z", "end": end}}
    return encode_bundle(tables={"baselines": table}, documents={"settings": {"number": number}}, manifest=about)


class Clock:
    """Moves a minute each time it is looked at."""

    def __init__(self):
        self.now = datetime(2026, 8, 1, 12, tzinfo=timezone.utc)

    def __call__(self):
        self.now += timedelta(minutes=1)
        return self.now


@pytest.fixture
def registry(tmp_path):
    return Registry(tmp_path / "models", clock=Clock())


def test_an_empty_registry_has_no_champion_and_says_what_to_do(registry):
    assert registry.champion is None
    assert registry.list() == []
    assert registry.log() == []
    with pytest.raises(RegistryError, match="lonetree train"):
        registry.get()
    assert not registry.storage.local_path("lock").exists(), "reading writes nothing"


def test_a_version_is_named_after_its_training_window_and_its_content(registry):
    name = registry.add(bundle(1), who="ada", note="first")
    assert name.startswith("20260801T000000-")
    assert registry.get(name).digest.startswith(name.partition("-")[2])
    assert registry.get(name).document("settings") == {"number": 1}


@pytest.mark.parametrize(
    ("end", "begins"),
    [
        ("2026-08-01T02:00:00+02:00", "20260801T000000-"),
        ("2026-08-01T00:00:00.123456", "20260801T000000-"),
        (None, "00000000T000000-"),
    ],
)
def test_training_windows_come_in_any_iso_form(registry, end, begins):
    assert registry.add(bundle(1, end), who="ada").startswith(begins)


def test_a_training_window_that_can_not_be_read_is_refused(registry):
    with pytest.raises(InputError, match="yesterday"):
        registry.add(bundle(1, "yesterday"), who="ada")
    assert registry.list() == []


def test_the_first_version_becomes_champion_and_later_ones_wait(registry):
    first = registry.add(bundle(1), who="ada")
    second = registry.add(bundle(2, "2026-09-01T00:00:00Z"), who="ada")
    assert registry.champion == first
    assert [version.id for version in registry.list()] == [first, second]
    assert [version.champion for version in registry.list()] == [True, False]
    assert registry.get().document("settings") == {"number": 1}


def test_the_same_content_is_added_once(registry, tmp_path):
    write_bundle(tmp_path / "bundle", tables={}, documents={"settings": 1}, manifest={})
    first = registry.add(tmp_path / "bundle", who="ada", note="one")
    again = registry.add(encode_bundle(tables={}, documents={"settings": 1}, manifest={}), who="bob", note="two")
    assert again == first
    assert [(version.who, version.note) for version in registry.list()] == [("ada", "one")]


def test_promotion_and_rollback_are_logged_with_who_when_and_why(registry):
    first, second = registry.add(bundle(1), who="ada", note="July"), registry.add(bundle(2), who="ada")
    registry.promote(second, who="bob", why="quieter")
    assert registry.champion == second
    assert registry.rollback(who="eve", why="missed a flood") == first
    assert registry.champion == first
    log = registry.log()
    assert [(c.who, c.what, c.why, c.version, c.before, c.after) for c in log] == [
        ("ada", "add", "July", first, None, first),
        ("ada", "add", "", second, first, first),
        ("bob", "promote", "quieter", second, first, second),
        ("eve", "rollback", "missed a flood", first, second, first),
    ]
    assert [c.at for c in log] == [f"2026-08-01T12:0{minute}:00.000+00:00" for minute in (1, 2, 3, 4)]


def test_rollback_goes_further_back_each_time_until_there_is_nothing_before(registry):
    names = [registry.add(bundle(number), who="ada") for number in range(3)]
    for name in (names[1], names[2], names[1]):
        registry.promote(name, who="ada", why="")
    back = [registry.rollback(who="ada", why="") for _ in range(3)]
    assert back == [names[2], names[1], names[0]]
    with pytest.raises(RegistryError, match="no champion before"):
        registry.rollback(who="ada", why="")
    registry.promote(names[2], who="ada", why="")
    assert registry.rollback(who="ada", why="") == names[0]


@settings(max_examples=30)
@given(st.lists(st.sampled_from(["add", "promote 0", "promote 1", "promote 2", "rollback"]), max_size=12))
def test_any_story_ends_with_the_champion_that_a_plain_list_would_have(story):
    with tempfile.TemporaryDirectory() as folder:
        registry, names, line = Registry(folder, clock=Clock()), [], []
        for step in story:
            what, _, which = step.partition(" ")
            if what == "add":
                names.append(registry.add(bundle(len(names)), who="ada"))
                line = line or [names[0]]
            elif what == "promote" and int(which) < len(names):
                registry.promote(names[int(which)], who="ada", why="")
                line += [names[int(which)]] if line[-1] != names[int(which)] else []
            elif what == "rollback" and len(line) > 1:
                line.pop()
                assert registry.rollback(who="ada", why="") == line[-1]
            else:
                with pytest.raises(RegistryError):
                    registry.rollback(who="ada", why="") if what == "rollback" else registry.promote(
                        "9", who="", why=""
                    )
            assert registry.champion == (line[-1] if line else None)
        assert sorted(names) == [version.id for version in Registry(folder).list()]


def test_promoting_the_champion_changes_nothing(registry):
    name = registry.add(bundle(1), who="ada")
    registry.promote(name, who="ada", why="again")
    assert len(registry.log()) == 1


def test_lines_of_the_log_are_never_changed(registry):
    registry.add(bundle(1), who="ada")
    before = registry.storage.read_bytes("audit.jsonl")
    registry.add(bundle(2), who="Ädä\n2", note="line\u2028break\x85")
    after = registry.storage.read_bytes("audit.jsonl")
    assert after.startswith(before)
    assert [change.who for change in registry.log()] == ["ada", "Ädä\n2"]


@pytest.mark.parametrize("name", ["20260801T000000-ffffff", "../../etc", "", "latest"])
def test_an_unknown_version_is_refused_with_the_known_ones(registry, name):
    known = registry.add(bundle(1), who="ada")
    for act in (registry.get, lambda version: registry.promote(version, who="ada", why="")):
        with pytest.raises(RegistryError, match=known):
            act(name)


def test_a_damaged_version_is_neither_loaded_nor_promoted(registry):
    registry.add(bundle(1), who="ada")
    second = registry.add(bundle(2), who="ada")
    path = registry.storage.local_path(f"versions/{second}/baselines.arrow")
    damaged = bytearray(path.read_bytes())
    damaged[-20] ^= 1
    path.write_bytes(bytes(damaged))
    with pytest.raises(BundleCorruptError):
        registry.promote(second, who="ada", why="")
    assert registry.champion != second


def test_a_version_put_in_place_of_another_is_noticed(registry):
    first, second = (registry.add(bundle(number), who="ada") for number in (1, 2))
    folder = registry.storage.local_path("versions")
    (folder / first).rename(folder / "elsewhere")
    (folder / second).rename(folder / first)
    with pytest.raises(BundleCorruptError, match="not what was added"):
        registry.get(first)


def test_a_foreign_bundle_is_not_added(registry):
    with pytest.raises(BundleForeignError):
        registry.add({"manifest.json": b"{}"}, who="ada")
    assert registry.list() == []


def test_a_damaged_log_is_named(registry):
    registry.add(bundle(1), who="ada")
    registry.storage.write_atomic("audit.jsonl", b'{"who": "ada"}\n')
    with pytest.raises(BundleCorruptError, match="log"):
        registry.list()


def test_a_second_writer_waits_no_longer_than_told(registry):
    registry.add(bundle(1), who="ada")
    impatient = Registry(registry.storage, wait_s=0.0)
    with registry.storage.lock("lock", 0.0):
        with pytest.raises(RegistryError, match=f"held by process {os.getpid()}") as raised:
            impatient.add(bundle(2), who="bob")
        assert raised.value.retry
        assert impatient.get().document("settings") == {"number": 1}, "readers are not held up"
    impatient.add(bundle(2), who="bob")


def test_a_full_disk_leaves_the_registry_as_it_was(registry, monkeypatch):
    first = registry.add(bundle(1), who="ada")

    def full(key, data):
        raise OSError(errno.ENOSPC, "No space left on device", key)

    with monkeypatch.context() as patch:
        patch.setattr(registry.storage, "write_atomic", full)
        with pytest.raises(RegistryError, match="No space left") as raised:
            registry.add(bundle(2), who="ada")
    assert raised.value.retry
    assert [version.id for version in registry.list()] == [first]
    assert registry.add(bundle(2), who="ada") != first


def test_a_file_is_no_registry(tmp_path):
    (tmp_path / "models").write_text("")
    with pytest.raises(InputError, match="Not a folder"):
        Registry(tmp_path / "models")


class Remote(LocalStorage):
    """A storage that is not on this machine, as far as the registry can tell."""

    def local_path(self, key):
        return None


def test_a_registry_elsewhere_works_the_same(tmp_path):
    registry = Registry(Remote(tmp_path))
    first, second = (registry.add(bundle(number), who="ada") for number in (1, 2))
    registry.promote(second, who="ada", why="")
    assert registry.get().document("settings") == {"number": 2}
    assert registry.rollback(who="ada", why="") == first


def test_a_demanded_signature_must_be_there_and_hold(registry):
    key, other = SigningKey.generate(), SigningKey.generate()
    name = registry.add(bundle(1), who="ada")
    with pytest.raises(BundleForeignError, match="not signed"):
        registry.get(name, public_key=key.public_pem())
    assert registry.add(sign_files(bundle(1), key), who="ada") == name, "signing changes no content"
    assert registry.get(name, public_key=key.public_pem()).document("settings") == {"number": 1}
    with pytest.raises(BundleCorruptError, match="signature"):
        registry.get(name, public_key=other.public_pem())


def test_a_folder_is_signed_in_place_and_a_change_breaks_the_signature(tmp_path):
    key = SigningKey.generate()
    write_bundle(tmp_path / "bundle", tables={}, documents={}, manifest={"a": 1})
    sign_bundle(tmp_path / "bundle", key)
    assert verify_bundle(tmp_path / "bundle", key.public_pem()).manifest == {"a": 1}
    manifest = tmp_path / "bundle" / "manifest.json"
    manifest.write_text(manifest.read_text().replace('"a": 1', '"a": 2'))
    with pytest.raises(BundleCorruptError, match="signature"):
        verify_bundle(tmp_path / "bundle", key.public_pem())
    (tmp_path / "bundle" / "manifest.sig").write_bytes(b"no base64!")
    with pytest.raises(BundleCorruptError, match="signature"):
        verify_bundle(tmp_path / "bundle", key.public_pem())


def test_keys_come_back_from_pem_and_never_show_themselves():
    key = SigningKey.generate()
    for password in (None, b"horse"):
        pem = key.private_pem(password)
        assert SigningKey(pem, password).public_pem() == key.public_pem()
        assert repr(SigningKey(pem, password)) == "SigningKey(***)"
    for wrong in (b"nonsense", key.public_pem(), key.private_pem(b"horse")):
        with pytest.raises(InputError) as raised:
            SigningKey(wrong)
        assert raised.value.received is None
    with pytest.raises(InputError, match="public key"):
        verify_files({}, key.private_pem())


def test_a_key_can_not_lead_out_of_the_storage(tmp_path):
    storage = LocalStorage(tmp_path)
    for key in ("../x", "/etc/passwd", "a//b", "a/./b", "", "a\\..\\b"):
        with pytest.raises(InputError):
            storage.read_bytes(key)


def test_of_two_that_create_a_file_one_wins(tmp_path):
    storage = LocalStorage(tmp_path)
    assert storage.create_exclusive("a/b", b"1")
    assert not storage.create_exclusive("a/b", b"2")
    assert storage.read_bytes("a/b") == b"1"
    assert storage.list("a") == ["b"]


def write_bundles(folder, count):
    """Bundles 0, 1, ... as folders, for other processes to add."""
    for number in range(count):
        parts = {"documents": {"settings": {"number": number}}, "manifest": {}}
        write_bundle(folder / str(number), tables={"means": pa.table({"mean": [float(number)]})}, **parts)


def test_writers_in_many_processes_lose_nothing(tmp_path):
    write_bundles(tmp_path / "bundles", 12)
    program = """
        import sys
        from models.registry import Registry
        for number in range(int(sys.argv[2]), 12, 3):
            Registry(f"{sys.argv[1]}/models").add(f"{sys.argv[1]}/bundles/{number}", who=sys.argv[2])
    """
    command = [sys.executable, "-c", textwrap.dedent(program), str(tmp_path)]
    writers = [subprocess.Popen([*command, str(first)], cwd=ROOT) for first in range(3)]
    assert [writer.wait() for writer in writers] == [0, 0, 0]
    registry = Registry(tmp_path / "models")
    assert len(registry.list()) == len(registry.log()) == 12
    assert all(change.after == registry.champion for change in registry.log())


def test_what_a_killed_trainer_left_is_no_version_and_is_gone_once_another_is_added(tmp_path):
    registry = Registry(tmp_path)
    first = registry.add(bundle(1), who="ada")
    half = tmp_path / "versions" / "20260901T000000-0a1b2c"
    half.mkdir()
    (half / "judge.arrow").write_bytes(b"1")
    (half / f"{TEMPORARY}manifest.json-1f").write_bytes(b"{")
    assert [version.id for version in registry.list()] == [first]
    second = registry.add(bundle(2), who="ada")
    assert sorted(path.name for path in half.parent.iterdir()) == sorted([first, second])


def test_a_trainer_that_is_writing_keeps_what_it_has_written_so_far(tmp_path):
    registry = Registry(tmp_path, wait_s=0.0)
    half = tmp_path / "versions" / "20260901T000000-0a1b2c"
    with LocalStorage(tmp_path).lock("lock", 0.0):
        half.mkdir(parents=True)
        with pytest.raises(RegistryError, match="Another process"):
            registry.add(bundle(1), who="ada")
        assert half.exists()


def test_a_killed_holder_of_the_lock_holds_nobody_up(tmp_path):
    program = "import sys, time\nfrom models.storage import LocalStorage\n"
    program += "with LocalStorage(sys.argv[1]).lock('lock', 0):\n    print('held', flush=True)\n    time.sleep(600)"
    command = [sys.executable, "-c", program, str(tmp_path)]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as holder:
        assert holder.stdout.readline() == "held\n"
        with pytest.raises(RegistryError, match=str(holder.pid)):
            Registry(tmp_path, wait_s=0.0).add(bundle(1), who="ada")
        holder.send_signal(signal.SIGKILL)
        holder.wait()
        Registry(tmp_path, wait_s=0.0).add(bundle(1), who="ada")


def test_who_cannot_write_learns_it_before_the_work(tmp_path):
    Registry(tmp_path / "new").ready()
    assert Registry(tmp_path / "new").list() == []
    (tmp_path / "file").write_text("no folder can be made in it")
    with pytest.raises(RegistryError, match="can't be written to"):
        Registry(tmp_path / "file" / "models").ready()


def test_versions_whose_names_would_clash_get_longer_ones(registry, monkeypatch):
    monkeypatch.setattr("models.registry._DIGITS", (0, 12))
    monkeypatch.setattr("models.registry._ID", re.compile(r"[0-9]{8}T[0-9]{6}-[0-9a-f]*"))
    first, second = (registry.add(bundle(number), who="ada") for number in (1, 2))
    assert first == "20260801T000000-"
    assert len(second) == len(first) + 12
    assert registry.add(bundle(2), who="ada") == second
    assert json.loads(registry.storage.read_bytes("audit.jsonl").splitlines()[-1])["version"] == second
