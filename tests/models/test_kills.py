"""Whoever is killed, and whenever: a registry and its feedback stay whole, and many at once lose nothing."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import textwrap
from itertools import pairwise
from pathlib import Path

import pytest

from models.feedback import read_feedback
from models.registry import Registry
from models.storage import TEMPORARY, LocalStorage
from tests.models.killed import bundle, story, whole

ROOT = Path(__file__).parents[2]


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(os, "fork"), reason="forks to be killed")
def test_a_kill_at_any_step_leaves_registry_and_feedback_whole(tmp_path: Path) -> None:
    subprocess.run([sys.executable, "-m", "tests.models.killed", str(tmp_path)], cwd=ROOT, check=True)
    folders = sorted(tmp_path.iterdir())
    assert len(folders) > 50, "the story has fewer steps than it should"
    outcomes = {whole(LocalStorage(folder)) for folder in folders}
    assert len({come_to[:3] for come_to in outcomes}) >= 5, f"kills did not reach every stage: {outcomes}"
    assert {come_to[3] for come_to in outcomes} == {
        (),
        ("expected",),
        ("expected", "bad"),
        ("expected", "bad", "undo"),
    }
    assert list(tmp_path.rglob(f"{TEMPORARY}*")) == []


def test_readers_change_nothing_so_a_killed_one_leaves_nothing(tmp_path: Path) -> None:
    story(LocalStorage(tmp_path))
    program = """
        import os, sys
        from models import Registry, read_feedback, standing
        from tests.models.killed import CHANGES

        changes = []
        def hear(event, args):
            if event in CHANGES and not (event == "open" and (args[1] in ("r", "rb") or not args[2] & 0o3)):
                changes.append((event, str(args)))

        registry = Registry(sys.argv[1])
        sys.addaudithook(hear)
        for version in registry.list():
            registry.get(version.id)
        registry.get(), registry.log(), registry.champion, standing(read_feedback(registry.storage))
        print(changes)
    """
    command = [sys.executable, "-B", "-c", textwrap.dedent(program), str(tmp_path)]
    done = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True)
    assert done.stdout == "[]\n"


#: one of a crowd: writes or reads for ever, and says so after each round
CROWD = """
    import sys
    from itertools import count
    from models import Feedback, Registry, add_feedback, read_feedback, standing
    from tests.models.killed import AT, bundle, said

    place, role, number = sys.argv[1], sys.argv[2], int(sys.argv[3])
    registry = Registry(place)
    for turn in count():
        if role == "train":
            name = registry.add(bundle(1000 * number + turn), who=f"trainer {number}")
            if turn % 3 == 2:
                registry.promote(name, who=f"trainer {number}", why="newest")
        elif role == "say":
            one = add_feedback(registry.storage, said(f"LT-{number}-{turn}", "expected"))
            if turn % 2:
                add_feedback(registry.storage, Feedback("undo", AT, "ann", undoes=one.id))
        else:
            champion = registry.get()
            assert champion.document("settings")["number"] >= 0
            logged = {change.version for change in registry.log()}
            assert {version.id for version in registry.list()} >= logged
            assert len(standing(read_feedback(registry.storage))) <= len(read_feedback(registry.storage))
        print(turn, flush=True)
"""
ROLES = ("train", "train", "say", "say", "read", "read")
#: rounds after which one of the crowd is killed and another takes its place
PATIENCE = 4
GENERATIONS = 3


@pytest.mark.integration
@pytest.mark.slow
def test_a_crowd_of_trainers_speakers_and_readers_that_are_killed_loses_nothing(tmp_path: Path) -> None:
    place = tmp_path / "models"
    first = Registry(place).add(bundle(0), who="ada")
    heard: dict[str, int] = {}
    for generation in range(GENERATIONS):
        crowd = []
        for number, role in enumerate(ROLES):
            who = 1 + generation * len(ROLES) + number
            command = [sys.executable, "-c", textwrap.dedent(CROWD), str(place), role, str(who)]
            crowd.append((role, who, subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True)))
        for role, who, one in crowd:
            assert one.stdout is not None
            for _ in range(PATIENCE):
                line = one.stdout.readline()
                assert line, f"{role} {who} ended with {one.wait()}"
            heard[f"{role} {who}"] = int(line)
        for _, _, one in crowd:
            one.send_signal(signal.SIGKILL)
        for role, who, one in crowd:
            # an error would have ended it before
            assert one.wait() == -signal.SIGKILL, f"{role} {who}"
            assert one.stdout is not None
            heard[f"{role} {who}"] += len(one.stdout.readlines())
            one.stdout.close()
    registry = Registry(place, wait_s=0.0)
    registry.add(bundle(99), who="ada")
    numbers = {registry.get(version.id).document("settings")["number"] for version in registry.list()}
    statements = {one.incident_id for one in read_feedback(registry.storage)}
    for name, turn in heard.items():
        role, _, who = name.partition(" ")
        if role == "train":
            assert {1000 * int(who) + k for k in range(turn + 1)} <= numbers, f"{name} lost a version"
        elif role == "say":
            assert {f"LT-{who}-{k}" for k in range(turn + 1)} <= statements, f"{name} was not heard"
    assert {version.id for version in registry.list()} == {change.version for change in registry.log()}
    log = registry.log()
    assert log[0].version == first
    assert all(after.before == before.after for before, after in pairwise(log)), "a change was lost"
    lines = registry.storage.read_bytes("feedback.jsonl").splitlines()
    assert len({json.loads(line)["id"] for line in lines}) == len(lines)
    assert list(tmp_path.rglob(f"{TEMPORARY}audit*")) == []
