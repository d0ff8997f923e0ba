"""Work is dealt out by its weight."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from pipelines.lanes import DealDoFn, deal, take
from pipelines.parcels import Spooled


def parcel(rows: int, number: int) -> Spooled:
    return Spooled("spool", 0, number, 1, rows, number)


@given(st.lists(st.integers(0, 1000)), st.integers(1, 4))
def test_no_lane_has_more_than_the_heaviest_piece_above_another(weights: list[int], lanes: int) -> None:
    of = deal(weights, lanes)
    loads = [sum(weight + 1 for weight, lane in zip(weights, of, strict=True) if lane == n) for n in range(lanes)]
    assert len(of) == len(weights)
    assert max(loads) - min(loads) <= max(weights, default=0) + 1


def test_each_lane_is_offered_all_shards_the_heaviest_first() -> None:
    rows = [(0, parcel(10, 0)), (1, parcel(40, 1)), (2, parcel(30, 2)), (1, parcel(40, 3)), (3, parcel(40, 4))]
    (first, offer), (second, same) = DealDoFn(2).process((0, rows))
    name, shards = offer
    assert (first, second) == (0, 1)
    assert offer == same
    assert [(shard, [one.offset for one in parcels]) for shard, parcels in shards] == [
        (1, [1, 3]),
        (3, [4]),
        (2, [2]),
        (0, [0]),
    ]
    assert next(iter(DealDoFn(2).process((0, rows))))[1][0] != name, "what is dealt again is other work"


def test_a_piece_of_work_is_taken_once_however_many_ask(tmp_path: Path) -> None:
    pieces = [f"work-{number}" for number in range(20)]
    with ThreadPoolExecutor(4) as threads:
        asked = [[threads.submit(take, tmp_path / "taken", piece) for piece in pieces] for _ in range(4)]
    assert [sum(lane[number].result() for lane in asked) for number in range(20)] == [1] * 20


def test_nothing_is_dealt_where_there_is_nothing() -> None:
    assert list(DealDoFn(2).process((0, []))) == []
