"""Collate: one row for each invocation, out of its copies, its beginning and its details.

The rules, which depend on the rows and their times alone, never on how they come ("id" is that of the invocation with
its app and function, so that results never depend on which functions share a shard):
    - An invocation is anchored where its first row ends. Rows of the same id within HOLD_US are merged into it; the row
      that the script host wrote leads, the others fill what it lacks and count as duplicates.
    - A row that began and never ended is anchored STARTED_WAIT_US after its start, with an unknown outcome; if its end
      comes before that, the end is the anchor, and the beginning a duplicate.
    - A row of an id that was anchored in the last REMEMBERED_HOURS is a duplicate.
    - A detail joins the invocation anchored at most DETAIL_WAIT_US behind it or less than HOLD_US before it; else it is
      an orphan.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from detectors.order import AT, ID, concat, is_sorted, pick, times_of
from detectors.seen import HOUR_US, REMEMBERED_HOURS, Seen, recall
from detectors.timeline import Tables
from models.hashing import Hashes, combine, hash_strings
from models.jit import njit

#: us; a worker's second row of an invocation and its last traces come within a second or two of the host's row
HOLD_US: Final = 2_000_000
#: us; longer than every time limit of the plans that have one (10 and 30 minutes)
STARTED_WAIT_US: Final = HOUR_US
#: us; as long as a beginning waits, and five minutes for what was logged before it
DETAIL_WAIT_US: Final = STARTED_WAIT_US + 300_000_000

#: what a copy or a detail may fill where the leading row is null. Not address and geography: those of a worker's row
#: are the data centre's.
FILLED: Final = (
    "trigger_source",
    "instance",
    "host_instance",
    "operation_id",
    "parent_id",
    "duration_ms",
    "execution_ms",
    "succeeded",
    "status",
    "method",
    "path",
    "exception_type",
    "message",
    "app_version",
    "sdk_version",
    "cold_start",
    "dequeue_count",
    "unscheduled_reason",
    "queued_ms",
)
#: how a row begins its sdk_version when the script host wrote it
HOST_SDK: Final = "azurefunctions:"
#: callers that a detail can name; an address in a trace is the worker's
_DETAIL_CALLERS: Final = ("queue", "role", "timer", "host-api")

_INVOCATION, _STARTED, _DETAIL = 0, 1, 2
#: a row's group when it has none: it is a duplicate of a group that is closed, or a detail without an invocation
_DROPPED, _ALONE = -1, -2

Rows = npt.NDArray[np.int64]


class Collate:
    """A fold from INVOCATION rows with ``at`` (invocations, beginnings, details) to one row an invocation.

    What is given has the same schema, ``record`` "invocation" throughout, and ``at`` at the anchor.
    """

    lag_us = HOLD_US

    def __init__(self) -> None:
        self._held: pa.RecordBatch | None = None
        self._due: int | None = None
        self._seen = Seen()
        self._counts = dict.fromkeys(
            ("invocations", "duplicates", "started_only", "details", "details_joined", "details_orphaned"), 0
        )

    def advance(self, rows: pa.RecordBatch, watermark_us: int) -> pa.RecordBatch:
        """Merge, and give every invocation anchored more than HOLD_US before the watermark."""
        if self._held is not None:
            rows = concat([self._held, rows]) if rows.num_rows else self._held
        if rows.num_rows == 0:
            return rows
        at, kind = times_of(rows), _kinds(rows.column("record"))
        names = hash_strings(rows.column(ID))
        ids = combine(names, combine(hash_strings(rows.column("app")), hash_strings(rows.column("function"))))
        group, anchors = np.empty(len(at), np.int64), np.empty(len(at), np.int64)
        found = _group(self._seen.slots, self._seen.hour, at, ids, kind, group, anchors)
        anchors = anchors[:found]
        closed = anchors + HOLD_US < watermark_us
        mine = group >= 0
        done = np.zeros(len(at), np.bool_)
        done[mine] = closed[group[mine]]
        orphan = (group == _ALONE) & (at + DETAIL_WAIT_US < watermark_us)
        self._count(kind, group, done, orphan, int(closed.sum()))
        given, given_ids, given_at = self._give(rows, at, ids, names, kind, group, anchors, closed, done)
        self._seen.add(given_ids, given_at, watermark_us)
        keep = ~(done | orphan | (group == _DROPPED))
        # take copies, so that what is held does not hold on to what is gone
        self._held = rows.take(pa.array(np.flatnonzero(keep))) if keep.any() else None
        self._due = int(anchors[~closed].min()) + HOLD_US + 1 if not closed.all() else None
        return given

    def due(self) -> int | None:
        """When the earliest open invocation closes."""
        return self._due

    def counts(self) -> dict[str, int]:
        """Invocations given, duplicates, beginnings without an end, and details: all, joined, orphaned."""
        return dict(self._counts)

    def snapshot(self) -> Tables:
        """What is held, and the ids that came."""
        tables = {"seen": self._seen.snapshot(), "counts": pa.table({n: [c] for n, c in self._counts.items()})}
        if self._held is not None:
            tables["held"] = pa.Table.from_batches([self._held])
        return tables

    def restore(self, tables: Mapping[str, pa.Table]) -> None:
        """Take over a snapshot."""
        self._seen.restore(tables["seen"])
        self._counts = {name: int(count) for name, count in tables["counts"].to_pylist()[0].items()}
        self._held, self._due = None, None
        if "held" in tables:
            self._held = concat(tables["held"].to_batches())
            # an advance to before everything gives nothing and finds what is due
            self.advance(self._held.slice(0, 0), -(2**62))

    def _count(self, kind: npt.NDArray[np.int8], group: Rows, done: Any, orphan: Any, closed: int) -> None:
        detail = kind == _DETAIL
        joined = int((done & detail).sum())
        orphaned = int(orphan.sum())
        self._counts["invocations"] += closed
        self._counts["duplicates"] += int((done & ~detail).sum()) - closed + int((group == _DROPPED).sum())
        self._counts["details_joined"] += joined
        self._counts["details_orphaned"] += orphaned
        self._counts["details"] += joined + orphaned

    def _give(
        self,
        rows: pa.RecordBatch,
        at: Rows,
        ids: Hashes,
        names: Hashes,
        kind: npt.NDArray[np.int8],
        group: Rows,
        anchors: Rows,
        closed: npt.NDArray[np.bool_],
        done: npt.NDArray[np.bool_],
    ) -> tuple[pa.RecordBatch, Hashes, Rows]:
        """The closed groups as rows in order, with the hash and the anchor of each."""
        chosen = np.flatnonzero(done)
        if len(chosen) == int(closed.sum()) and _plain(chosen, names, kind, group, at, anchors):
            return pick(rows, chosen), ids[chosen], at[chosen]
        written = _host_wrote(rows.column("sdk_version"), chosen)
        rank = np.where(kind[chosen] == _INVOCATION, np.where(written, 0, 1), kind[chosen] + 1)
        leader, size = np.full(len(anchors), -1, np.int64), np.zeros(len(anchors), np.int64)
        _lead(chosen, group, rank, leader, size)
        leaders = leader[leader >= 0]
        places = anchors[group[leaders]]
        if not is_sorted(places):
            order = np.lexsort((ids[leaders], names[leaders], places))
            leaders, places = leaders[order], places[order]
        self._counts["started_only"] += int((kind[leaders] == _STARTED).sum())
        # only groups of several rows have anything to fill, in the order of precedence
        several = np.flatnonzero(size[group[chosen]] > 1)
        several = several[np.lexsort((rank[several], group[chosen[several]]))]
        donors = chosen[several]
        slot_of = np.full(len(anchors), -1, np.int64)
        slot_of[group[leaders]] = np.arange(len(leaders))
        return _filled(rows, leaders, places, donors, slot_of[group[donors]], kind), ids[leaders], places


def _kinds(record: pa.Array) -> npt.NDArray[np.int8]:
    """int8[n]: invocation, started, or any detail."""
    kind = np.full(len(record), _INVOCATION, np.int8)
    ended = pc.equal(record, "invocation")
    if ended.true_count < len(record):
        kind[~ended.to_numpy(zero_copy_only=False)] = _DETAIL
        kind[pc.equal(record, "started").to_numpy(zero_copy_only=False)] = _STARTED
    return kind


def _host_wrote(sdk: pa.Array, rows: Rows) -> npt.NDArray[np.bool_]:
    written = pc.fill_null(pc.starts_with(sdk.take(pa.array(rows)), HOST_SDK), False)
    flags: npt.NDArray[np.bool_] = written.to_numpy(zero_copy_only=False)
    return flags


def _plain(chosen: Rows, names: Hashes, kind: npt.NDArray[np.int8], group: Rows, at: Rows, anchors: Rows) -> bool:
    """Whether each chosen row is a whole invocation at its own place, in order, so that nothing is to be done."""
    if kind[chosen].any():
        return False
    places, names = anchors[group[chosen]], names[chosen]
    later = (places[1:] > places[:-1]) | ((places[1:] == places[:-1]) & (names[1:] > names[:-1]))
    return bool(later.all() and (places == at[chosen]).all())


def _filled(
    rows: pa.RecordBatch, leaders: Rows, places: Rows, donors: Rows, slots: Rows, kind: npt.NDArray[np.int8]
) -> pa.RecordBatch:
    """The leading rows, with what they lack filled from the donors of their slot, in the donors' order.

    Args:
        rows: n rows.
        leaders: int64[m], the leading row of each slot.
        places: int64[m], ``at`` of each slot.
        donors: int64[d], the rows of slots that have several, by precedence within a slot, leaders included.
        slots: int64[d], each donor's slot.
        kind: int8[n].
    """
    columns = []
    caller: pa.Array | None = None
    asked = False
    given = rows.take(pa.array(donors))
    own = pick(rows, leaders)
    for field, column, offer, led in zip(rows.schema, rows.columns, given.columns, own.columns, strict=True):
        source = None
        if field.name == AT:
            columns.append(pa.array(places))
            continue
        if field.name == "record":
            columns.append(pa.repeat(pa.scalar("invocation", field.type), len(leaders)))
            continue
        if not len(donors):
            pass
        elif field.name in FILLED and column.null_count:
            source = _first_with(offer.is_valid().to_numpy(zero_copy_only=False), leaders, donors, slots)
        elif field.name == "trigger":
            source = _first_with(_differs(offer, "other"), leaders, donors, slots)
        elif field.name in ("caller", "caller_source", "caller_confidence"):
            if not asked:
                asked = True
                sources = given.column("caller_source")
                known = _differs(sources, "unknown")
                named = pc.is_in(sources, pa.array(_DETAIL_CALLERS)).to_numpy(zero_copy_only=False)
                caller = _first_with(known & ((kind[donors] != _DETAIL) | named), leaders, donors, slots)
            source = caller
        columns.append(led if source is None else column.take(source))
    return pa.RecordBatch.from_arrays(columns, schema=rows.schema)


def _differs(column: pa.Array, value: str) -> npt.NDArray[np.bool_]:
    flags: npt.NDArray[np.bool_] = pc.not_equal(column, value).to_numpy(zero_copy_only=False)
    return flags


def _first_with(good: npt.NDArray[np.bool_], leaders: Rows, donors: Rows, slots: Rows) -> pa.Array | None:
    """For each slot the first good donor, else the leader: int64[m], or None where it is the leader for all.

    The leader is the first of its slot's donors.
    """
    source = leaders.copy()
    filled, first = np.unique(slots[good], return_index=True)
    source[filled] = donors[good][first]
    return None if np.array_equal(source, leaders) else pa.array(source)


@njit
def _lead(chosen: Rows, group: Rows, rank: Rows, leader: Rows, size: Rows) -> None:
    """Find the first of the lowest rank in each group, and how many there are.

    Args:
        chosen: int64[c], rows.
        group: int64[n], the group of each row.
        rank: int64[c], of the chosen rows.
        leader: int64[groups], filled where a group has chosen rows; -1 before.
        size: int64[groups], filled; 0 before.
    """
    best = np.empty(leader.shape[0], np.int64)
    for i in range(chosen.shape[0]):
        g = group[chosen[i]]
        if size[g] == 0 or rank[i] < best[g]:
            best[g] = rank[i]
            leader[g] = chosen[i]
        size[g] += 1


@njit
def _group(
    seen: Hashes,
    seen_hour: int,
    at: Rows,
    ids: Hashes,
    kind: npt.NDArray[np.int8],
    group: Rows,
    anchors: Rows,
) -> int:
    """Give each row its group, and each group its anchor; how many groups there are.

    Args:
        seen: slots of ``Seen``.
        seen_hour: their hour.
        at: int64[n], ascending but for late rows.
        ids: uint64[n].
        kind: int8[n].
        group: int64[n], filled: the row's group, _DROPPED or _ALONE.
        anchors: int64[n], filled up to the number of groups.
    """
    rows = at.shape[0]
    slots = 16
    while slots < 2 * rows:
        slots *= 2
    mask = np.uint64(slots - 1)
    latest = np.full(slots, -1, np.int64)
    # per group: its id, whether only its beginning is known, and the group of the same id before it
    owner = np.empty(rows, np.uint64)
    begun = np.zeros(rows, np.bool_)
    before = np.empty(rows, np.int64)
    groups = 0
    for i in range(rows):
        if kind[i] == _DETAIL:
            continue
        slot = (ids[i] >> np.uint64(5)) & mask
        while latest[slot] >= 0 and owner[latest[slot]] != ids[i]:
            slot = (slot + np.uint64(1)) & mask
        g = latest[slot]
        if g >= 0:
            if at[i] < anchors[g] + HOLD_US:
                group[i] = g
                if begun[g] and kind[i] == _INVOCATION:
                    begun[g] = False
                    anchors[g] = min(anchors[g], at[i])
                continue
            if at[i] // HOUR_US - anchors[g] // HOUR_US <= REMEMBERED_HOURS:
                group[i] = _DROPPED
                continue
        elif recall(seen, seen_hour, ids[i], at[i] // HOUR_US):
            group[i] = _DROPPED
            continue
        latest[slot] = groups
        owner[groups] = ids[i]
        before[groups] = g
        begun[groups] = kind[i] == _STARTED
        anchors[groups] = at[i] + STARTED_WAIT_US if kind[i] == _STARTED else at[i]
        group[i] = groups
        groups += 1
    for i in range(rows):
        if kind[i] != _DETAIL:
            continue
        group[i] = _ALONE
        slot = (ids[i] >> np.uint64(5)) & mask
        while latest[slot] >= 0 and owner[latest[slot]] != ids[i]:
            slot = (slot + np.uint64(1)) & mask
        g = latest[slot]
        while g >= 0:
            if anchors[g] - DETAIL_WAIT_US <= at[i] < anchors[g] + HOLD_US:
                group[i] = g
                break
            g = before[g]
    return groups
