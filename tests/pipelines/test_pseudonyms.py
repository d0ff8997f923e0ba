"""Callers by pseudonyms from the command line: nobody's name is written anywhere, and versions know their own key."""

from __future__ import annotations

import hashlib
import hmac
import json
import pickle
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from models.errors import InputError
from models.registry import Registry
from pipelines.champion import Champion
from pipelines.cli.entry import run
from pipelines.reading import PseudonymKey, reading
from pipelines.workflows import load_model, train
from tests.conftest import Tenant
from tests.pipelines.test_cli_watch import log, words

KEY, OTHER = "a key of more than sixteen characters", "another key of as many characters"
NAMED = ["--pseudonym-key", "env:LONETREE_TEST_PSEUDONYMS"]


@pytest.fixture(autouse=True)
def _key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LONETREE_TEST_PSEUDONYMS", KEY)
    monkeypatch.setenv("LONETREE_TEST_OTHER", OTHER)


@pytest.fixture(scope="module")
def hidden(tenant: Tenant, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A registry whose only version knows callers by pseudonyms."""
    folder = tmp_path_factory.mktemp("hidden")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("LONETREE_TEST_PSEUDONYMS", KEY)
        assert run(["train", "--input", str(tenant.train), "--models", str(folder), *NAMED]) == 0
    return folder


def test_a_replay_by_pseudonyms_finds_the_same_and_names_nobody(
    tenant: Tenant, models: Path, hidden: Path, tmp_path: Path
) -> None:
    plain, secret = tmp_path / "plain", tmp_path / "secret"
    for registry, out, more in ((models, plain, []), (hidden, secret, NAMED)):
        words = ["--input", str(tenant.replay), "--models", str(registry), "--output", str(out), "--verdicts", "all"]
        assert run(["replay", *words, *more]) == 0
    found = {
        out: {r["invocation_id"]: r for r in pq.read_table(out / "verdicts").to_pylist()} for out in (plain, secret)
    }
    assert found[plain].keys() == found[secret].keys()
    people = 0
    for name, row in found[plain].items():
        source, _, identity = row["caller"].partition(":")
        if source in ("user", "address"):
            people += 1
            digits = hmac.new(KEY.encode(), identity.encode(), hashlib.sha256).hexdigest()[:16]
            assert found[secret][name]["caller"] == f"{source}:{digits}"
    assert people > 1_000
    written = b"".join(path.read_bytes() for path in secret.rglob("*") if path.suffix in (".ndjson", ".json"))
    addresses = {
        row["caller"].partition(":")[2] for row in found[plain].values() if row["caller"].startswith("address:")
    }
    assert addresses
    assert not any(address.encode() in written for address in addresses)
    told = [json.loads(line) for line in (secret / "incidents.ndjson").read_text().splitlines()]
    assert any(caller.startswith("address:") for one in told for caller in one["callers"])


@pytest.mark.parametrize(
    ("more", "says"),
    [([], "no key"), (["--pseudonym-key", "env:LONETREE_TEST_OTHER"], "another key")],
)
def test_a_version_that_knows_pseudonyms_judges_with_its_own_key_only(
    more: list[str], says: str, tenant: Tenant, hidden: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    common = ["--input", str(tenant.replay), "--models", str(hidden), *more]
    assert run(["replay", *common, "--output", str(tmp_path / "out")]) == 2
    assert run(["models", "drift", *common]) == 2
    assert run(["models", "compare", "champion", "champion", *common]) == 2
    told = capsys.readouterr().err
    assert told.count("knows callers by pseudonyms") == 3
    assert told.count(says) == 3
    assert KEY not in told
    assert OTHER not in told
    assert not (tmp_path / "out" / "verdicts").exists()


def test_a_version_that_knows_names_is_given_no_pseudonyms(
    tenant: Tenant, models: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["--input", str(tenant.replay), "--models", str(models), "--output", str(tmp_path / "out"), *NAMED]
    assert run(["replay", *words]) == 2
    assert "knows callers by their names" in capsys.readouterr().err


def test_a_job_that_watches_takes_only_champions_that_know_its_callers(hidden: Path, models: Path) -> None:
    origin = "env:LONETREE_TEST_PSEUDONYMS"
    assert Champion(hidden, 1.0, pseudonym_key=origin).start().version == Registry(hidden).champion
    assert Champion(hidden, 1.0, pseudonym_key=origin).conform().pseudonym("ann") != "ann"
    for registry, key in ((hidden, None), (models, origin), (hidden, "env:LONETREE_TEST_OTHER")):
        with pytest.raises(InputError, match="knows callers by"):
            Champion(registry, 1.0, pseudonym_key=key).start()


def test_a_job_that_watches_writes_no_address_down(hidden: Path, tmp_path: Path) -> None:
    log(tmp_path / "logs")
    assert run([*words(tmp_path, hidden, "--until-idle", "0", "--verdicts", "all"), *NAMED]) == 0
    digits = hmac.new(KEY.encode(), b"192.0.2.7", hashlib.sha256).hexdigest()[:16]
    assert set(pq.read_table(tmp_path / "out" / "verdicts")["caller"].to_pylist()) == {f"address:{digits}"}
    kept = [path for path in tmp_path.rglob("*") if path.is_file() and path.parent != tmp_path / "logs"]
    assert len(kept) > 3
    assert not any(b"192.0.2.7" in path.read_bytes() for path in kept)
    assert not any(KEY.encode() in path.read_bytes() for path in kept)


def test_what_is_sent_to_workers_says_where_the_key_is_and_not_what_it_is() -> None:
    options = reading(pseudonym_key="env:LONETREE_TEST_PSEUDONYMS")
    sent = pickle.dumps(options)
    assert b"LONETREE_TEST_PSEUDONYMS" in sent
    assert KEY.encode() not in sent
    assert KEY not in repr(options)


@pytest.mark.parametrize(
    ("origin", "says"),
    [
        ("env:LONETREE_TEST_NOTHING", "not set"),
        (KEY, "named by where it is kept"),
        ("env:LONETREE_TEST_SHORT", "can be guessed"),
    ],
)
def test_a_key_that_cannot_be_used_is_told_before_anything_is_read(
    origin: str, says: str, tenant: Tenant, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LONETREE_TEST_SHORT", "short")
    with pytest.raises(InputError, match=says) as caught:
        train([str(tenant.train)], tmp_path / "models", pseudonym_key=origin)
    assert KEY not in str(caught.value)
    with pytest.raises(InputError, match=says):
        Champion(tmp_path / "models", 1.0, pseudonym_key=origin)


def test_a_version_says_by_which_pseudonyms_it_knows_callers(hidden: Path, capsys: pytest.CaptureFixture[str]) -> None:
    check = PseudonymKey("env:LONETREE_TEST_PSEUDONYMS")
    assert check() == KEY.encode()
    assert run(["models", "show", "--models", str(hidden)]) == 0
    known = load_model(hidden).pseudonyms
    assert known is not None
    assert f"pseudonyms of the key {known}" in capsys.readouterr().out
