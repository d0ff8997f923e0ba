"""What a story takes from rows does not depend on how they are cut, and equals a count by hand."""

from __future__ import annotations

import itertools
from collections import Counter

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from detectors import story_rows
from detectors.evidence import Evidence
from detectors.features import FEATURE_NAMES
from detectors.function_features import matrix
from detectors.raised import RAISED, raised_batch
from detectors.story import Ended, Story, evidence_of, story_text
from detectors.story_rows import StoryRows, add_rows

names = st.sampled_from(["a", "b", "c", None])
calls = st.lists(
    st.tuples(names, names, st.integers(-1, 3), st.integers(0, 2), st.booleans(), st.booleans()),
    min_size=1,
    max_size=30,
)


def raised(rows: list[tuple[str | None, str | None, int, int, bool, bool]]) -> pa.RecordBatch:
    """Rows of (caller, country, age in hours or -1, status in hundreds, points at its caller, is a silence)."""
    n = len(rows)
    caller, country, age, status, pointing, silent = zip(*rows, strict=True)
    features = np.random.default_rng(7).random((n, len(FEATURE_NAMES)))
    said = [not flag for flag in silent]
    columns = {
        "at": np.arange(n),
        "invocation_id": pa.array([f"{number}" for number in range(n)]),
        "app": pa.array(["app"] * n),
        "function": pa.array([f"f{number % 2}" for number in range(n)]),
        "trigger": pa.array(["http"] * n),
        "caller": pa.array([name or "unknown" for name in caller]),
        "country": pa.array(country, pa.string()),
        "signal": pa.array(["silence" if flag else None for flag in silent], pa.string()),
        "since": pa.array([1 if flag else None for flag in silent], pa.int64()),
        "per_hour": pa.array([2.0 if flag else None for flag in silent]),
        "pair_age_us": pa.array([None if hours < 0 else hours * 3_600_000_000 for hours in age], pa.int64()),
        "status": pa.array([hundreds * 100 + 200 for hundreds in status], pa.int32()),
        "item_count": pa.array([1] * n, pa.int32()),
        "by_caller": pa.array(pointing),
        **{name: matrix(features).filter(pa.array(said)) for name in ("surprise", "share", "value", "typical")},
    }
    whole = raised_batch({n: c for n, c in columns.items() if n not in ("surprise", "share", "value", "typical")}, n)
    place = pa.array(np.where(said, np.cumsum(said) - 1, 0), mask=np.array(silent))
    for name in ("surprise", "share", "value", "typical"):
        index = whole.schema.get_field_index(name)
        whole = whole.set_column(index, RAISED.field(name), columns[name].take(place).cast(RAISED.field(name).type))
    return whole


def told(rows: pa.RecordBatch, cuts: list[int]) -> Story:
    story = Story("LT-1", "function", 0, 0)
    edges = sorted({0, rows.num_rows, *(cut for cut in cuts if cut < rows.num_rows)})
    together = StoryRows(rows, np.linspace(1.0, 2.0, rows.num_rows))
    for begin, end in itertools.pairwise(edges):
        add_rows(story, together, begin, end)
    return story


def told_of_a_caller(rows: pa.RecordBatch, keys: list[int]) -> Story:
    """The story of the caller whose key is 7, of rows whose callers have these."""
    index = rows.schema.get_field_index("caller_key")
    keyed = rows.set_column(index, rows.schema.field(index), pa.array(keys, pa.uint64()))
    story = Story("LT-1", "caller", 0, 0, [0, 7, 0])
    add_rows(story, StoryRows(keyed, np.ones(len(keys))), 0, len(keys))
    return story


@given(calls, st.lists(st.integers(1, 29), max_size=4))
def test_a_story_is_the_same_however_its_rows_are_cut(rows, cuts):
    batch = raised(rows)
    assert story_text(told(batch, cuts)) == story_text(told(batch, []))


@given(calls)
def test_names_are_counted_as_by_hand(rows):
    story = told(raised(rows), [])
    assert story.counts["country"] == Counter(row[1] for row in rows if row[1] is not None)
    assert story.counts["caller"] == Counter(row[0] or "unknown" for row in rows)
    assert story.counts["pointed"] == Counter(row[0] or "unknown" for row in rows if row[4])
    assert story.counts["status"] == Counter(str(row[3] * 100 + 200) for row in rows)
    ages: dict[str, int] = {}
    for caller, _, hours, *_ in rows:
        if hours >= 0:
            ages[caller or "unknown"] = max(ages.get(caller or "unknown", 0), hours * 3600)
    assert story.counts["age"] == ages


def test_a_caller_was_in_no_country_from_which_others_call_that_its_doing_touched():
    rows = raised([(name, country, 0, 0, False, False) for name, country in (("eve", "Chile"), ("ann", "France"))])
    story = told_of_a_caller(rows, [7, 8])
    assert story.counts["country"] == {"Chile": 1}
    assert story.counts["caller"] == {"eve": 1, "ann": 1}


def test_calls_of_others_that_were_touched_are_told_apart_unless_they_are_nearly_all():
    def seen(others: int) -> Evidence:
        rows = raised([("eve", "b", 0, 0, True, False)] * 2 + [("ann", "b", 0, 2, False, False)] * others)
        story = told_of_a_caller(rows, [7] * 2 + [8] * others)
        assert story.invocations == 2 + others
        return evidence_of(story)

    few, most = seen(5), seen(50)
    assert (few.invocations, few.refused, few.beside, dict(few.statuses)) == (2, 0, 5, {200: 2})
    assert (most.invocations, most.refused, most.beside) == (52, 50, 0)


def test_of_what_one_began_and_a_crowd_made_all_calls_are_told():
    def seen(others: int) -> Evidence:
        crowd = [f"address-{n}" for n in range(others)]
        rows = raised([("eve", "b", 0, 0, True, False)] * 17 + [(name, "b", 0, 0, False, False) for name in crowd])
        return evidence_of(told_of_a_caller(rows, [7] * 17 + list(range(100, 100 + others))))

    few, many = seen(12), seen(60)
    assert (few.invocations, few.beside) == (17, 12)
    assert (many.invocations, many.beside) == (77, 0)


def test_functions_are_named_by_how_strange_they_were_in_any_cut():
    rows = raised([("eve", "b", 0, 0, True, False)] * 5)
    score = np.array([1.0, 9.0, 1.0, 2.0, 1.0])

    def seen(*cuts: int) -> Story:
        story, edges = Story("LT-1", "function", 0, 0), [0, *cuts, 5]
        for begin, end in itertools.pairwise(edges):
            add_rows(story, StoryRows(rows, score), begin, end)
        return story

    assert seen().counts["strange"] == seen(1, 2).counts["strange"] == {"app\x1ff0": 3, "app\x1ff1": 81 + 4}
    assert [function for _, function, _ in evidence_of(seen()).functions] == ["f1", "f0"]


def test_of_very_many_names_those_that_came_first_are_kept(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(story_rows, "MAX_NAMES", 2)
    rows = [(name, "b", 0, 0, False, False) for name in ("c", "a", "b", "a", "c")]
    assert told(raised(rows), []).counts["caller"] == {"c": 2, "a": 2}
    assert told(raised(rows), [1, 2, 3]).counts["caller"] == {"c": 2, "a": 2}


def test_an_ended_story_goes_on_as_a_copy():
    ended = Ended(told(raised([("a", "b", 0, 0, True, False)]), []))
    ended.story().rows += 5
    assert ended.story().rows == 1
    assert Ended(ended.text).text == Ended(ended.story()).text == ended.text


def test_where_a_row_has_no_matrix_the_numbers_beside_it_are_still_whole():
    column = raised_batch({"at": np.arange(3)}, 3).column("surprise")
    assert column.null_count == 3
    assert column.values.null_count == 0


@pytest.mark.parametrize(
    ("own", "others", "told"), [(3, 3, {401: 3}), (1, 12, {401: 13})], ids=["its own", "a crowd's"]
)
def test_statuses_are_of_the_same_calls_as_the_refused(own: int, others: int, told: dict[int, int]) -> None:
    n = own + others
    batch = raised([("a", "c", 0, 2, False, False)] * n)
    columns = {
        "status": pa.array([401] * n, pa.int32()),
        "caller_key": pa.array([7] * own + [8] * others, pa.uint64()),
    }
    for name, column in columns.items():
        batch = batch.set_column(batch.schema.get_field_index(name), name, column)
    story = Story("LT-1", "caller", 0, 0, [0, 7, 0])
    add_rows(story, StoryRows(batch, np.ones(n)), 0, n)
    found = evidence_of(story)
    assert found.statuses == told
    assert found.refused == sum(told.values())


def test_the_functions_whose_runs_are_longest_are_known_by_themselves() -> None:
    batch = raised([("a", "c", 0, 0, False, False)] * 4)
    surprise = np.zeros((4, len(FEATURE_NAMES)))
    surprise[1, FEATURE_NAMES.index("duration_high")] = 5.0
    batch = batch.set_column(batch.schema.get_field_index("surprise"), RAISED.field("surprise"), matrix(surprise))
    story = Story("LT-1", "function", 0, 0)
    add_rows(story, StoryRows(batch, np.ones(4)), 0, 4)
    assert evidence_of(story).long_at == (("app", "f1"),)


@pytest.mark.parametrize(
    ("came_from", "told"),
    [
        (["Finland", None, "Finland"], "Finland"),
        (["Finland", "Italy", None], None),
        (["Chile", None, None], None),
        (["", "", ""], None),
        ([None, None, None], None),
    ],
)
def test_where_a_traveller_came_from_is_told_where_it_is_one_other_country(came_from, told):
    rows = raised([("eve", "Chile", 0, 0, True, False)] * 3)
    index = rows.schema.get_field_index("came_from")
    rows = rows.set_column(index, rows.schema.field(index), pa.array(came_from, pa.string()))
    story = Story("LT-1", "function", 0, 0)
    add_rows(story, StoryRows(rows, np.ones(3)), 0, 3)
    assert evidence_of(story).came_from == told


def test_what_comes_early_in_a_long_story_is_told_by_its_first_quarter():
    def early(*spans: tuple[int, int]) -> float:
        story = Story("LT-1", "function", 0, 0)
        story.counts["span"] = {str(span): n for span, n in spans}
        return evidence_of(story).early

    assert early((100, 1), (150, 9), (199, 90)) == 0.01
    # an hour has no slow beginning
    assert early((100, 1), (112, 99)) == 1.0
    assert early() == 1.0


def test_calls_at_functions_that_are_new_to_their_caller_are_counted_with_their_weight():
    rows = raised([("eve", "b", hours, 0, False, False) for hours in (0, 23, 30, -1)])
    index = rows.schema.get_field_index("item_count")
    rows = rows.set_column(index, rows.schema.field(index), pa.array([3, 2, 5, 7], pa.int32()))
    assert evidence_of(told(rows, [])).fresh == (("app", "f0", 3), ("app", "f1", 2))
