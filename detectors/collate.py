"""Collate: one row for each invocation, out of its copies, its beginning and its details.

The rules, which depend on the rows and their times alone, never on how they come ("id" is that of the invocation with
its app and function, so that results never depend on which functions share a shard):
    - An invocation is anchored where its first row ends. Rows of the same id within HOLD_US are merged into it; the row
      that the script host wrote leads, the others fill what it lacks and count as duplicates.
    - A row that began and never ended is anchored STARTED_WAIT_US after its start, with an unknown outcome; if its end
      comes before that, the end is the anchor, and the beginning a duplicate.
    - A row of an id that was anchored in the last REMEMBERED_HOURS is a duplicate (of the last ten million ids:
      detectors.seen).
    - A detail joins the invocation anchored at most DETAIL_WAIT_US behind it or less than HOLD_US before it; else it is
      an orphan.
    - What came in time is merged as if nothing came late. A late row of an invocation that came in time is a duplicate,
      a late detail of it an orphan; late rows of one that did not are merged among themselves, and what is held of it
      in time (its beginning, its details) fills what they lack.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from detectors.order import AT, ID, LATE, concat, in_order, is_sorted, pick, times_of, with_methods
from detectors.seen import HOUR_US, REMEMBERED_SPANS, SPAN_US, Seen, recall
from detectors.texts import constant, is_text, told
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
#: how the tables of what comes late are named in a snapshot
_BEHIND: Final = "late."
#: bool column beside rows that are sorted together: the row is lent
_LENT: Final = "lent"

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
        #: merges what comes late; None until something does
        self._behind: Collate | None = None

    def advance(self, rows: pa.RecordBatch, watermark_us: int) -> pa.RecordBatch:
        """Merge, and give every invocation anchored more than HOLD_US before the watermark."""
        some_late = LATE in rows.schema.names and rows.column(LATE).true_count > 0
        if self._behind is None and not some_late:
            return self._merge(rows, watermark_us)
        late = rows.slice(0, 0)
        if some_late:
            late, rows = rows.filter(rows.column(LATE)), rows.filter(pc.invert(rows.column(LATE)))
        if self._behind is None:
            self._behind = Collate()
        in_time = rows if self._held is None else concat([self._held, rows])
        given_late = self._behind._follow(late, in_time, self._seen, watermark_us)
        given = self._merge(rows, watermark_us)
        return in_order(concat([given_late, given])) if given_late.num_rows else given

    def due(self) -> int | None:
        """When the earliest open invocation closes."""
        late = self._behind.due() if self._behind is not None else None
        return min((due for due in (self._due, late) if due is not None), default=None)

    def counts(self) -> dict[str, int]:
        """Invocations given, duplicates, beginnings without an end, and details: all, joined, orphaned."""
        late = self._behind.counts() if self._behind is not None else {}
        return {name: count + late.get(name, 0) for name, count in self._counts.items()}

    def snapshot(self) -> Tables:
        """What is held, and the ids that came."""
        tables = {"seen": self._seen.snapshot(), "counts": pa.table({n: [c] for n, c in self._counts.items()})}
        if self._held is not None:
            tables["held"] = pa.Table.from_batches([self._held])
        if self._behind is not None:
            tables |= {f"{_BEHIND}{name}": table for name, table in self._behind.snapshot().items()}
        return tables

    def renewed(self, rows: pa.Table) -> pa.Table:
        """Rows that an earlier version saved on their way here."""
        return with_methods(rows)

    def restore(self, tables: Mapping[str, pa.Table]) -> None:
        """Take over a snapshot."""
        self._seen.restore(tables["seen"])
        self._counts = {name: int(count) for name, count in tables["counts"].to_pylist()[0].items()}
        self._held, self._due, self._behind = None, None, None
        if "held" in tables:
            self._held = concat(with_methods(tables["held"]).to_batches())
            # an advance to before everything gives nothing and finds what is due
            self._merge(self._held.slice(0, 0), -(2**62))
        late = {n.removeprefix(_BEHIND): table for n, table in tables.items() if n.startswith(_BEHIND)}
        if late:
            self._behind = Collate()
            self._behind.restore(late)

    def _merge(self, rows: pa.RecordBatch, watermark_us: int) -> pa.RecordBatch:
        """Take rows that came in time, after all before."""
        if self._held is not None:
            rows = concat([self._held, rows]) if rows.num_rows else self._held
        if rows.num_rows == 0:
            return rows
        given, ids, at = self._close(rows, np.zeros(rows.num_rows, np.bool_), watermark_us)
        self._seen.add(ids, at, watermark_us)
        return given

    def _follow(self, rows: pa.RecordBatch, in_time: pa.RecordBatch, seen: Seen, watermark_us: int) -> pa.RecordBatch:
        """Take rows that came late.

        Args:
            rows: late ones.
            in_time: those that came in time and were not given before this advance.
            seen: ids of what came in time and was given.
            watermark_us: as for ``advance``.
        """
        if self._held is not None:
            rows = concat([self._held, rows])
        if rows.num_rows == 0:
            return rows
        ids, kind = _ids(rows), _kinds(rows.column("record"))
        theirs, their_kind = _ids(in_time), _kinds(in_time.column("record"))
        known = _recalled(seen.slots, seen.span, ids, times_of(rows) // SPAN_US)
        known |= np.isin(ids, theirs[their_kind == _INVOCATION])
        # of one that only began in time the late end is news
        known |= (kind == _STARTED) & np.isin(ids, theirs[their_kind == _STARTED])
        known &= kind != _DETAIL
        self._counts["duplicates"] += int(known.sum())
        rows, ids, kind = rows.filter(pa.array(~known)), ids[~known], kind[~known]
        lent = in_time.filter(pa.array((their_kind != _INVOCATION) & np.isin(theirs, ids[kind != _DETAIL])))
        mark = np.zeros(rows.num_rows + lent.num_rows, np.bool_)
        mark[rows.num_rows :] = True
        both = concat([rows, lent]).append_column(_LENT, pa.array(mark))
        both = in_order(both)
        given, ids, _ = self._close(both.drop_columns([_LENT]), np.asarray(both.column(_LENT)), watermark_us)
        # they are remembered from when they came, however old they are
        self._seen.add(ids, np.full(len(ids), watermark_us), watermark_us)
        return given

    def _close(
        self, rows: pa.RecordBatch, lent: npt.NDArray[np.bool_], watermark_us: int
    ) -> tuple[pa.RecordBatch, Hashes, Rows]:
        """Group rows, give the groups that are closed with the id and the anchor of each, and hold the rest.

        Args:
            rows: n rows in order.
            lent: bool[n], rows that others hold: they fill, and are neither counted nor held here.
            watermark_us: as for ``advance``.
        """
        if rows.num_rows == 0:
            self._held, self._due = None, None
            return rows, np.zeros(0, np.uint64), np.zeros(0, np.int64)
        at, kind = times_of(rows), _kinds(rows.column("record"))
        names = hash_strings(rows.column(ID))
        ids = _ids(rows, names)
        group, anchors = np.empty(len(at), np.int64), np.empty(len(at), np.int64)
        found = _group(self._seen.slots, self._seen.span, at, ids, kind, group, anchors)
        anchors = anchors[:found]
        closed = anchors + HOLD_US < watermark_us
        mine = group >= 0
        done = np.zeros(len(at), np.bool_)
        done[mine] = closed[group[mine]]
        orphan = (group == _ALONE) & (at + DETAIL_WAIT_US < watermark_us)
        self._count(kind[~lent], group[~lent], done[~lent], orphan[~lent], int(closed.sum()))
        given = self._give(rows, at, ids, names, kind, group, anchors, closed, done)
        keep = ~(done | orphan | (group == _DROPPED) | lent)
        # take copies, so that what is held does not hold on to what is gone
        self._held = rows.take(pa.array(np.flatnonzero(keep))) if keep.any() else None
        self._due = int(anchors[~closed].min()) + HOLD_US + 1 if not closed.all() else None
        return given

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


def _ids(rows: pa.RecordBatch, names: Hashes | None = None) -> Hashes:
    """uint64[n]: which invocation each row is of; ``names`` are the hashes of the ids, where they are there."""
    names = hash_strings(rows.column(ID)) if names is None else names
    return combine(names, combine(hash_strings(rows.column("app")), hash_strings(rows.column("function"))))


def _kinds(record: pa.Array) -> npt.NDArray[np.int8]:
    """int8[n]: invocation, started, or any detail."""
    kind = np.full(len(record), _INVOCATION, np.int8)
    ended = is_text(record, "invocation")
    if not ended.all():
        kind[~ended] = _DETAIL
        kind[is_text(record, "started")] = _STARTED
    return kind


def _host_wrote(sdk: pa.Array, rows: Rows) -> npt.NDArray[np.bool_]:
    return told(sdk.take(pa.array(rows)), lambda texts: pc.starts_with(texts, HOST_SDK))


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
            columns.append(constant("invocation", len(leaders), field.type))
            continue
        if not len(donors):
            pass
        elif field.name in FILLED and column.null_count:
            source = _first_with(offer.is_valid().to_numpy(zero_copy_only=False), leaders, donors, slots)
        elif field.name == "trigger":
            source = _first_with(~is_text(offer, "other"), leaders, donors, slots)
        elif field.name in ("caller", "caller_source", "caller_confidence"):
            if not asked:
                asked = True
                sources = given.column("caller_source")
                known = ~is_text(sources, "unknown")
                named = is_text(sources, *_DETAIL_CALLERS)
                caller = _first_with(known & ((kind[donors] != _DETAIL) | named), leaders, donors, slots)
            source = caller
        columns.append(led if source is None else column.take(source))
    return pa.RecordBatch.from_arrays(columns, schema=rows.schema)


def _first_with(good: npt.NDArray[np.bool_], leaders: Rows, donors: Rows, slots: Rows) -> pa.Array | None:
    """For each slot the first good donor, else the leader: int64[m], or None where it is the leader for all.

    The leader is the first of its slot's donors.
    """
    source = leaders.copy()
    filled, first = np.unique(slots[good], return_index=True)
    source[filled] = donors[good][first]
    return None if np.array_equal(source, leaders) else pa.array(source)


@njit
def _recalled(slots: Hashes, base_span: int, ids: Hashes, spans: Rows) -> npt.NDArray[np.bool_]:
    """``recall`` of n ids: bool[n]."""
    found = np.empty(ids.shape[0], np.bool_)
    for i in range(ids.shape[0]):
        found[i] = recall(slots, base_span, ids[i], spans[i])
    return found


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
    seen_span: int,
    at: Rows,
    ids: Hashes,
    kind: npt.NDArray[np.int8],
    group: Rows,
    anchors: Rows,
) -> int:
    """Give each row its group, and each group its anchor; how many groups there are.

    Args:
        seen: slots of ``Seen``.
        seen_span: their span.
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
            if at[i] // SPAN_US - anchors[g] // SPAN_US <= REMEMBERED_SPANS:
                group[i] = _DROPPED
                continue
        elif recall(seen, seen_span, ids[i], at[i] // SPAN_US):
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
