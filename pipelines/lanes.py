"""Lanes: work dealt out by its weight, or taken by whoever is free, so that all cores end together."""

from __future__ import annotations

import os
import uuid
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import apache_beam as beam

from pipelines.memory import given_back
from pipelines.parcels import Parcel

#: name of the work, and its shards with their parcels, the heaviest first
Offer = tuple[str, list[tuple[int, list[Parcel]]]]


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


def take(folder: str | Path, name: str) -> bool:
    """Whether a piece of work is ours: it is for the first who asks, of all threads and processes of this machine.

    Args:
        folder: made if missing.
        name: of the piece, unique among all that the folder ever sees.
    """
    Path(folder).mkdir(parents=True, exist_ok=True)
    try:
        os.close(os.open(Path(folder) / name, os.O_CREAT | os.O_EXCL | os.O_WRONLY))
    except FileExistsError:
        return False
    return True


class DealDoFn(beam.DoFn):  # type: ignore[misc]
    """(anything, all (shard, Parcel)) to (lane, (name of the work, all (shard, its Parcels))), heaviest shards first.

    Each lane is offered all shards and takes the next as soon as it is free (``take``). Beam's local runner would deal
    keys out in turn, whatever is behind them, and rows alone do not tell how long a shard takes.
    """

    def __init__(self, lanes: int) -> None:
        self._lanes = lanes

    def process(self, element: tuple[int, Iterable[tuple[int, Parcel]]]) -> Iterator[tuple[int, Offer]]:
        """Deal once; what the stage before took is given back."""
        given_back()
        shards: dict[int, list[Parcel]] = {}
        for shard, parcel in element[1]:
            shards.setdefault(shard, []).append(parcel)
        rows = {shard: sum(parcel.rows for parcel in parcels) for shard, parcels in shards.items()}
        heaviest = sorted(shards, key=lambda shard: (-rows[shard], shard))
        offer = (uuid.uuid4().hex, [(shard, shards[shard]) for shard in heaviest])
        for lane in range(min(max(self._lanes, 1), len(heaviest))):
            yield lane, offer


def dealt(rows: beam.PCollection, lanes: int) -> beam.PCollection:
    """(shard, Parcel) to (lane, its one offer): at most ``lanes`` elements."""
    return (
        rows
        | "Gather" >> beam.Map(lambda row: (0, row)).with_output_types(tuple[int, tuple[int, Parcel]])
        | "All" >> beam.GroupByKey()
        | "Deal" >> beam.ParDo(DealDoFn(lanes)).with_output_types(tuple[int, Offer])
        | "Lanes" >> beam.GroupByKey()
    )
