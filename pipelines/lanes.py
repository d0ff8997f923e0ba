"""Lanes: work dealt out by its weight, so that all cores end together."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

import apache_beam as beam

from pipelines.parcels import Parcel


def deal(weights: Sequence[int], lanes: int) -> list[int]:
    """The lane of each piece of work: the heaviest first, always to the lane with least.

    >>> deal([3, 9, 5, 1], 2)
    [1, 0, 1, 0]
    """
    load = [0] * max(lanes, 1)
    of = [0] * len(weights)
    for piece in sorted(range(len(weights)), key=lambda piece: -weights[piece]):
        of[piece] = load.index(min(load))
        load[of[piece]] += weights[piece] + 1
    return of


class DealDoFn(beam.DoFn):  # type: ignore[misc]
    """(anything, all (shard, Parcel)) to (lane, (shard, its Parcels)), the heaviest shards first.

    Beam's local runner deals keys out in turn, whatever is behind them: one shard may hold half of all rows.
    """

    def __init__(self, lanes: int) -> None:
        self._lanes = lanes

    def process(
        self, element: tuple[int, Iterable[tuple[int, Parcel]]]
    ) -> Iterator[tuple[int, tuple[int, list[Parcel]]]]:
        """Deal once."""
        shards: dict[int, list[Parcel]] = {}
        for shard, parcel in element[1]:
            shards.setdefault(shard, []).append(parcel)
        rows = {shard: sum(parcel.rows for parcel in parcels) for shard, parcels in shards.items()}
        heaviest = sorted(shards, key=lambda shard: (-rows[shard], shard))
        for shard, lane in zip(heaviest, deal([rows[shard] for shard in heaviest], self._lanes), strict=True):
            yield lane, (shard, shards[shard])


def dealt(rows: beam.PCollection, lanes: int) -> beam.PCollection:
    """(shard, Parcel) to (lane, all (shard, its Parcels)): at most ``lanes`` elements."""
    return (
        rows
        | "Gather" >> beam.Map(lambda row: (0, row)).with_output_types(tuple[int, tuple[int, Parcel]])
        | "All" >> beam.GroupByKey()
        | "Deal" >> beam.ParDo(DealDoFn(lanes)).with_output_types(tuple[int, tuple[int, list[Parcel]]])
        | "Lanes" >> beam.GroupByKey()
    )
