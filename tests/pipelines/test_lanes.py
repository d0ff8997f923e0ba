"""Work is dealt out by its weight."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from pipelines.lanes import DealDoFn, deal
from pipelines.parcels import Spooled


def parcel(rows: int, number: int) -> Spooled:
    return Spooled("spool", 0, number, 1, rows, number)


@given(st.lists(st.integers(0, 1000)), st.integers(1, 4))
def test_no_lane_has_more_than_the_heaviest_piece_above_another(weights: list[int], lanes: int) -> None:
    of = deal(weights, lanes)
    loads = [sum(weight + 1 for weight, lane in zip(weights, of, strict=True) if lane == n) for n in range(lanes)]
    assert len(of) == len(weights)
    assert max(loads) - min(loads) <= max(weights, default=0) + 1


def test_a_shard_with_half_of_the_rows_has_a_lane_to_itself() -> None:
    rows = [(0, parcel(10, 0)), (1, parcel(40, 1)), (2, parcel(30, 2)), (1, parcel(40, 3)), (3, parcel(40, 4))]
    dealt = list(DealDoFn(2).process((0, rows)))
    assert [(lane, shard, [one.offset for one in parcels]) for lane, (shard, parcels) in dealt] == [
        (0, 1, [1, 3]),
        (1, 3, [4]),
        (1, 2, [2]),
        (1, 0, [0]),
    ]


def test_nothing_is_dealt_where_there_is_nothing() -> None:
    assert list(DealDoFn(2).process((0, []))) == []
