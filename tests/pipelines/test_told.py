"""An incident is counted once, however often it is told: when it grows, when it ends, and when late rows amend it."""

from __future__ import annotations

from detectors.incidents import KEPT_CLOSED
from pipelines.told import Told


def telling(name: str, *, closed: bool = False) -> dict[str, object]:
    return {"incident_id": name, "closed": closed}


def test_an_incident_is_new_the_first_time_only_also_where_it_is_amended_after_its_end() -> None:
    told = Told()
    tellings = [telling("a"), telling("a"), telling("a", closed=True), telling("a"), telling("a", closed=True)]
    assert [told.take(one) for one in tellings] == [False, True, True, True, True]
    assert (told.open_ids, told.closed_ids) == ([], ["a"])


def test_it_goes_on_from_what_was_saved() -> None:
    told = Told()
    for one in (telling("b"), telling("a"), telling("c"), telling("c", closed=True)):
        told.take(one)
    again = Told(told.open_ids, told.closed_ids)
    assert again.open_ids == ["a", "b"]
    assert [again.take(telling(name)) for name in "abcd"] == [True, True, True, False]


def test_it_remembers_as_many_that_ended_as_can_be_amended() -> None:
    told = Told()
    for number in range(KEPT_CLOSED + 1):
        told.take(telling(str(number), closed=True))
    assert told.closed_ids == [str(number) for number in range(1, KEPT_CLOSED + 1)]
