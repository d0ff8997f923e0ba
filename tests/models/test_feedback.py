from __future__ import annotations

import threading
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.errors import BundleCorruptError, InputError
from models.feedback import FEEDBACK, Feedback, add_feedback, read_feedback, standing
from models.storage import LocalStorage

AT = "2026-08-01T00:00:00+00:00"


def said(incident: str = "LT-1", what: str = "expected", **more: object) -> Feedback:
    return replace(Feedback("expected", AT, "ann", incident_id=incident, apps=("shop",)), what=what, **more)  # type: ignore[arg-type]


def test_what_was_said_is_read_back_as_it_was_said(tmp_path: Path) -> None:
    storage = LocalStorage(tmp_path)
    one = add_feedback(storage, said(why="load test", callers=("user:ann", "address:10.0.0.1")))
    two = add_feedback(storage, said("LT-2", "bad", invocation_ids=("a", "b")))
    assert read_feedback(storage) == [one, two]
    assert one.id != two.id


def test_lines_already_there_stay_as_they_are(tmp_path: Path) -> None:
    storage = LocalStorage(tmp_path)
    add_feedback(storage, said())
    before = storage.read_bytes(FEEDBACK)
    add_feedback(storage, said("LT-2"))
    assert storage.read_bytes(FEEDBACK).startswith(before)


def test_a_statement_stands_until_it_is_undone(tmp_path: Path) -> None:
    storage = LocalStorage(tmp_path)
    one = add_feedback(storage, said())
    assert standing(read_feedback(storage)) == [one]
    add_feedback(storage, Feedback("undo", AT, "ann", undoes=one.id))
    assert standing(read_feedback(storage)) == []


def test_a_later_statement_takes_the_place_of_the_earlier_and_gives_it_back(tmp_path: Path) -> None:
    storage = LocalStorage(tmp_path)
    first = add_feedback(storage, said())
    second = add_feedback(storage, said(what="bad"))
    assert standing(read_feedback(storage)) == [second]
    add_feedback(storage, Feedback("undo", AT, "ann", undoes=second.id))
    assert standing(read_feedback(storage)) == [first]


def test_what_does_not_stand_cannot_be_undone(tmp_path: Path) -> None:
    storage = LocalStorage(tmp_path)
    one = add_feedback(storage, said())
    add_feedback(storage, Feedback("undo", AT, "ann", undoes=one.id))
    for gone in (one.id, "F-nothing"):
        with pytest.raises(InputError, match="no such statement"):
            add_feedback(storage, Feedback("undo", AT, "ann", undoes=gone))


def test_the_same_words_twice_are_two_statements(tmp_path: Path) -> None:
    storage = LocalStorage(tmp_path)
    assert add_feedback(storage, said()).id != add_feedback(storage, said()).id


def test_many_speakers_at_once_are_all_heard(tmp_path: Path) -> None:
    def speak(number: int) -> None:
        add_feedback(LocalStorage(tmp_path), said(f"LT-{number}"))

    threads = [threading.Thread(target=speak, args=(n,)) for n in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert {one.incident_id for one in read_feedback(LocalStorage(tmp_path))} == {f"LT-{n}" for n in range(8)}


@pytest.mark.parametrize("line", [b"{", b"[]", b"3", b'{"what": "expected"}', b'{"else": 1}'])
def test_a_line_that_is_not_ours_is_refused(tmp_path: Path, line: bytes) -> None:
    (tmp_path / FEEDBACK).write_bytes(line + b"\n")
    with pytest.raises(BundleCorruptError, match="feedback can't be read"):
        read_feedback(LocalStorage(tmp_path))


@given(st.lists(st.tuples(st.sampled_from(["LT-1", "LT-2", "undo"]), st.integers(0, 9)), max_size=12))
def test_at_most_one_statement_stands_for_an_incident(script: list[tuple[str, int]]) -> None:
    lines: list[Feedback] = []
    for number, (what, index) in enumerate(script):
        if what != "undo":
            lines.append(said(what, id=f"F-{number}"))
        elif lines:
            lines.append(Feedback("undo", AT, "ann", undoes=lines[index % len(lines)].id, id=f"F-{number}"))
    found = standing(lines)
    assert len({one.incident_id for one in found}) == len(found)
    undone = {one.undoes for one in lines}
    assert all(one.id not in undone for one in found)
