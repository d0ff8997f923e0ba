"""What the commands of a registry say: what a version was trained on, who changed what and why, who signed it."""

from __future__ import annotations

import re
import shutil
import subprocess
from datetime import datetime, timezone
from pathlib import Path

import pytest
from click.testing import CliRunner

from detectors import load_model, save_model
from detectors.comparison import Comparison, Regression
from models.errors import LonetreeError
from models.registry import Registry
from models.signing import SigningKey
from pipelines.champion import Champion
from pipelines.cli.compare import ROWS, print_comparison
from pipelines.cli.group import lonetree
from tests.pipelines.story import ask, run


@pytest.fixture
def place(models: Path, tmp_path: Path) -> str:
    """A copy of the shared registry."""
    shutil.copytree(models, tmp_path / "models")
    return str(tmp_path / "models")


def another(place: str) -> str:
    """A second version that does not judge yet."""
    from dataclasses import replace

    return save_model(replace(load_model(place), notes=("a second one",)), place, who="ann", note="again")


def test_show_tells_what_a_version_was_trained_on_and_what_became_of_it(place: str) -> None:
    first = ask("models", "list", "--models", place)["versions"][0]["id"]
    second = another(place)
    run("models", "promote", second, "--models", place, "--why", "holds August")
    shown = run("models", "show", second, "--models", place)
    model = load_model(place, second)
    begin, end = (f"{datetime.fromtimestamp(us / 1e6, timezone.utc):%Y-%m-%d %H:%M}" for us in model.window)
    assert f"{second}, the champion" in shown
    assert f"{begin} to {end} UTC" in shown
    assert f"{model.invocations:,} invocations of {len(model.judge.baselines):,} functions" in shown
    assert "false incidents to be expected" in shown
    assert "a second one" in shown
    assert re.search(r"added +\S+ \S+ UTC by ann: again", shown)
    assert re.search(r"promoted +\S+ \S+ UTC by \S+: holds August", shown)
    assert "champion" not in run("models", "show", first, "--models", place)


def test_the_log_tells_every_change_with_who_when_and_why(place: str) -> None:
    assert "Nothing has changed yet" in run("models", "log", "--models", f"{place}/empty")
    second = another(place)
    run("models", "promote", second, "--models", place, "--why", "holds August")
    run("models", "rollback", "--models", place, "--why", "too loud")
    changes = ask("models", "log", "--models", place)["changes"]
    assert [(one["what"], one["why"]) for one in changes[1:]] == [
        ("add", "again"),
        ("promote", "holds August"),
        ("rollback", "too loud"),
    ]
    shown = run("models", "log", "--models", place)
    assert "gone back to" in shown
    assert "too loud" in shown


def keys(folder: Path, password: bytes | None = None) -> tuple[Path, bytes]:
    key = SigningKey.generate()
    path = folder / "key.pem"
    path.write_bytes(key.private_pem(password))
    return path, key.public_pem()


def test_a_signed_version_judges_where_an_unsigned_one_is_refused(place: str, tmp_path: Path) -> None:
    path, public = keys(tmp_path)
    first = load_model(place).version
    run("models", "sign", "--models", place, "--key", str(path), "--why", "reviewed")
    champion = Champion(place, 1.0, public)
    assert champion.start().version == first
    second = another(place)
    run("models", "promote", second, "--models", place)
    assert champion.changed() is None, "an unsigned champion is refused, and the old one judges on"
    assert (champion.version, champion.refused) == (first, 1)
    assert "not signed" in str(champion.trouble)
    run("models", "sign", second, "--models", place, "--key", str(path))
    taken = champion.changed()
    assert taken is not None
    assert taken.version == second
    _, other = keys(tmp_path)
    with pytest.raises(LonetreeError, match="signature does not hold"):
        Champion(place, 1.0, other).start()


def test_signing_is_logged_and_changes_neither_champion_nor_content(place: str, tmp_path: Path) -> None:
    path, public = keys(tmp_path, b"horse")
    registry = Registry(place)
    before = registry.get().digest
    run("models", "promote", another(place), "--models", place)
    refused = CliRunner().invoke(lonetree, ["models", "sign", "--models", place, "--key", str(path)])
    assert "Not a signing key" in str(refused.exception)
    done = CliRunner().invoke(
        lonetree,
        ["models", "sign", "--models", place, "--key", str(path), "--why", "ok"],
        env={"LONETREE_KEY_PASSWORD": "horse"},
    )
    assert done.exit_code == 0, done.output
    last = registry.log()[-1]
    assert (last.what, last.why, last.before, last.after) == ("sign", "ok", registry.champion, registry.champion)
    assert registry.get(public_key=public).digest != before
    assert re.search(r"signed +yes", run("models", "show", "--models", place))
    assert registry.rollback(who="ann", why="") != registry.log()[-1].before, "a signature is no step to go back to"
    assert registry.get().digest == before


@pytest.mark.skipif(shutil.which("openssl") is None, reason="needs openssl")
def test_a_key_made_by_openssl_as_the_docs_say_signs(place: str, tmp_path: Path) -> None:
    private, public = tmp_path / "key.pem", tmp_path / "public.pem"
    made = subprocess.run(
        ["openssl", "genpkey", "-algorithm", "ed25519", "-out", private], capture_output=True, check=False
    )
    if made.returncode:
        pytest.skip("this openssl knows no Ed25519")
    subprocess.run(["openssl", "pkey", "-in", private, "-pubout", "-out", public], check=True, capture_output=True)
    run("models", "sign", "--models", place, "--key", str(private))
    assert Champion(place, 1.0, public.read_bytes()).start().version == Registry(place).champion


def comparison(**more: object) -> Comparison:
    from dataclasses import replace

    return replace(Comparison("a", "b", (0, 0), 0, (), (), (), ()), **more)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("in_b", "verdict"),
    [
        ("missed", "B misses 1 of the bad incidents that A finds: better not promote it."),
        ("found", "B finds every bad"),
    ],
)
def test_compare_says_what_became_of_bad_incidents(in_b: str, verdict: str, capsys: pytest.CaptureFixture[str]) -> None:
    case = Regression("F-1", "LT-1", "Flood at Pay", "found", in_b)  # type: ignore[arg-type]
    print_comparison(comparison(regressions=(case,)))
    shown = capsys.readouterr().out
    assert re.search(rf"LT-1 +found +{in_b} +Flood at Pay", shown)
    assert verdict in shown


def test_compare_shows_the_strangest_and_counts_the_rest(capsys: pytest.CaptureFixture[str]) -> None:
    from detectors.comparison import Change

    lost = tuple(
        Change(f"LT-{n}", "unusual", f"What {n}", "2026-08-01T00:00:00Z", ("Pay",), (), 3, 99.0 - n, 1.0, 9.0, "Why.")
        for n in range(ROWS + 4)
    )
    print_comparison(comparison(lost=lost))
    shown = capsys.readouterr().out
    assert f"What {ROWS - 1} " in shown
    assert f"What {ROWS} " not in shown
    assert "4 more lost" in shown
