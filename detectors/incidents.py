"""The incident timeline: strange invocations become stories, and stories that are strange enough become incidents.

Rows of a story wait until the story opens (then all of them are its verdicts) or its gap closes it (then none is).
Where very many wait, those that came first are let go.
An incident is told when it opens, each time it has doubled, and when it closes; always under the same id.

Rows that come late amend the incident that they belong to, for some time also after it closed, and leave the stories
of the others as they are.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timezone
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from detectors.evidence import Evidence, Silence
from detectors.expectations import expected_by
from detectors.explain import describe
from detectors.features import FEATURE_NAMES
from detectors.function_features import from_matrix
from detectors.late_stories import FIRST as FIRST_LATE
from detectors.late_stories import LateStories, Whereabouts
from detectors.raised import RAISED, SCORED
from detectors.schema import CALLER_CONFIDENCE, TIMESTAMP
from detectors.signatures import SIGNATURES, signature_kinds
from detectors.stories import CALLER_GAP_US, CROWD, GAP_US, LEADS, TROUBLES, VAGUE_GAP_US, Stories
from detectors.timeline import END, Tables
from detectors.waiting import MOST, Waiting
from models.baselines import US
from models.feedback import Feedback
from models.hashing import hash_strings

Vector = npt.NDArray[Any]

#: invocation ids listed with an incident
MAX_IDS: Final = 1000
#: names of functions, callers and the like kept for a story, and shown
MAX_NAMES: Final = 5000
SHOWN_NAMES: Final = 50
#: calls of a bystander for which one counts that points at its caller
POINTING: Final = 10
#: durations kept for the median
MAX_DURATIONS: Final = 1001
#: shares of scores are added up in millionths, as integers, so that the sum does not depend on how rows are cut
MICRO: Final = 1_000_000
#: us of log time that an incident which late rows amend stays open for more of them
AMENDING_US: Final = 300 * US
#: incidents kept after their end, for late rows that amend them
KEPT_CLOSED: Final = 32
#: a function that is silent is judged as strange as what just opens an incident, and more with every call missed
SILENCE_MARGIN: Final = 1.0

_REASON: Final = pa.struct(
    [
        pa.field("feature", pa.string()),
        pa.field("words", pa.string()),
        pa.field("value", pa.float64()),
        pa.field("typical", pa.float64()),
        pa.field("unit", pa.string()),
        pa.field("share", pa.float64()),
        pa.field("text", pa.string()),
    ]
)
_NAMES: Final = pa.list_(pa.string())

#: an incident, as written by ``replay`` and ``watch``, also into Parquet
INCIDENT: Final[pa.Schema] = pa.schema(
    [
        pa.field("incident_id", pa.string(), nullable=False),
        pa.field("revision", pa.int64(), nullable=False),
        pa.field("closed", pa.bool_()),
        pa.field("kind", pa.string()),
        pa.field("title", pa.string()),
        pa.field("summary", pa.string()),
        pa.field("severity", pa.string()),
        pa.field("opened", TIMESTAMP),
        pa.field("first_event", TIMESTAMP),
        pa.field("last_event", TIMESTAMP),
        pa.field("apps", _NAMES),
        pa.field("functions", _NAMES),
        pa.field("callers", _NAMES),
        pa.field("invocations", pa.int64()),
        pa.field("invocation_ids", _NAMES),
        pa.field("score", pa.float64()),
        pa.field("p_value", pa.float64()),
        pa.field("reasons", pa.list_(_REASON)),
        pa.field("attack", _NAMES),
        pa.field("runbook", _NAMES),
        pa.field("model_version", pa.string()),
        # the statement that expects it; such an incident is counted and listed, not told to anyone
        pa.field("suppressed", pa.string()),
    ]
)


@dataclass(frozen=True)
class IncidentStage:
    """Makes the one fold; plain data.

    Attributes:
        opens_at: score that opens an incident.
        version: of the model, named in each incident.
        feedback: what stands; incidents that it expects are marked.
        closed_only: nobody reads an incident before it closes, which spares telling it when it opens and grows.
    """

    opens_at: float
    version: str = ""
    feedback: tuple[Feedback, ...] = ()
    closed_only: bool = False

    def make(self, shard: int, shards: int) -> Incidents:  # noqa: ARG002 - there is one
        """The fold."""
        return Incidents(self.opens_at, self.version, self.feedback, closed_only=self.closed_only)


@dataclass
class Story:
    """What is known of a story; plain data, so that it is saved as JSON."""

    incident_id: str
    lead: str
    first_us: int
    last_us: int
    #: of its first row: hashes of function, caller and app, and the place in TROUBLES
    keys: list[int] = field(default_factory=lambda: [0, 0, 0])
    trouble: int = 0
    opened_us: int = -1
    #: place of the first row that still waited when it opened
    let_go: int = 0
    rows: int = 0
    #: late rows that joined it, the watermark up to which it waits for more, and how often they opened it again
    amending: int = 0
    amended_us: int = -1
    reopened: int = 0
    invocations: int = 0
    failed: int = 0
    refused: int = 0
    slow: int = 0
    new_callers: int = 0
    late: int = 0
    sampled: int = 0
    run_ms: int = 0
    told: int = 0
    open: bool = False
    score: float = 0.0
    p_value: float = 1.0
    max_ms: float = 0.0
    deployed_us: int = -1
    per_hour: float = 0.0
    since_us: int = -1
    ids: list[str] = field(default_factory=list)
    durations: list[float] = field(default_factory=list)
    paths: list[str] = field(default_factory=list)
    shares: list[int] = field(default_factory=lambda: [0] * len(FEATURE_NAMES))
    surprise: list[float] = field(default_factory=lambda: [0.0] * len(FEATURE_NAMES))
    value: list[float] = field(default_factory=lambda: [0.0] * len(FEATURE_NAMES))
    typical: list[float] = field(default_factory=lambda: [0.0] * len(FEATURE_NAMES))
    counts: dict[str, dict[str, int]] = field(default_factory=dict)

    @property
    def revision(self) -> int:
        """Grows each time the story, or what came late for it, has doubled.

        The telling of its end is one further (``pipelines.engine.telling``), so one that goes on is two further.
        """
        return self.rows.bit_length() + self.amending.bit_length() + 2 * self.reopened

    @property
    def ends_us(self) -> int:
        """The last watermark at which it is open."""
        gap = {"caller": CALLER_GAP_US, "place": VAGUE_GAP_US}.get(self.lead, GAP_US)
        return max(self.last_us + gap, self.amended_us)


#: what a story says of itself before anything is known
_NOTHING_KNOWN: Final = {n: v for n, v in Story("", "", 0, 0).__dict__.items() if n not in ("first_us", "last_us")}


class Incidents:
    """The fold of the incident timeline."""

    def __init__(
        self, opens_at: float, version: str = "", feedback: tuple[Feedback, ...] = (), *, closed_only: bool = False,
        most_waiting: int = MOST,
    ) -> None:  # fmt: skip
        # whether feedback expects an incident is settled when it opens
        self._closed_only = closed_only and not feedback
        self._opens_at = opens_at
        self._version = version
        self._feedback = feedback
        self._stories = Stories(opens_at)
        self._late = LateStories(opens_at)
        self._open: dict[int, Story] = {}
        #: incidents that ended, as JSON, since they are saved often and looked at rarely
        self._closed: dict[int, str] = {}
        #: RAISED rows: those that came in time, and those that came late, which must not count among the others
        self._waiting, self._waiting_late = Waiting(RAISED, most_waiting), Waiting(RAISED, most_waiting)
        self._horizon: list[pa.RecordBatch] = []
        self._reached = -(2**62)
        self._told: list[dict[str, Any]] = []

    def advance(self, rows: pa.RecordBatch, watermark_us: int) -> pa.RecordBatch:
        """Verdicts (SCORED) of rows whose story has opened or closed; ``raised()`` then gives incidents told."""
        self._told = []
        if rows.num_rows:
            ticks = _flags(pc.equal(rows.column("signal"), "tick"))
            beyond = _flags(rows.column("horizon"))
            if ticks.any():
                self._reached = max(self._reached, int(np.asarray(rows.column("at"))[ticks].max()))
            if beyond.any():
                self._horizon.append(rows.filter(pa.array(beyond)))
            if ticks.any() or beyond.any():
                rows = rows.filter(pa.array(~(ticks | beyond)))
        late = rows.column("late")
        if late.true_count:
            self._take(rows.filter(pc.invert(late)))
            self._amend(rows.filter(late), watermark_us)
        else:
            self._take(rows)
        if watermark_us >= END and self._horizon:
            silences = pa.Table.from_batches(self._horizon)
            silences = silences.sort_by([("at", "ascending"), ("invocation_id", "ascending")])
            self._horizon = []
            for batch in silences.combine_chunks().to_batches():
                reached = np.asarray(batch.column("at")) <= self._reached
                self._take(batch.filter(pa.array(reached)))
        return self._settle(watermark_us)

    # ------------------------------------------------------------------ rows to stories
    def _take(self, rows: pa.RecordBatch) -> None:
        """Rows that came in time."""
        if rows.num_rows:
            about = self._about(rows)
            story, opened, _ = self._stories.tell(**about)
            self._place(rows, about, story, opened)

    def _amend(self, rows: pa.RecordBatch, watermark_us: int) -> None:
        """Rows that came late."""
        closed = {number: Story(**json.loads(text)) for number, text in self._closed.items()}
        known = {number: story for number, story in sorted((closed | self._open).items()) if number < FIRST_LATE}
        told = {number: _whereabouts(number, story) for number, story in known.items() if story.opened_us >= 0}
        about = self._about(rows)
        story, opened = self._late.tell(told, about)
        joined = np.unique(story).tolist()
        for number in joined:
            if number in closed:
                del self._closed[number]
                self._open[number] = closed[number]
                self._open[number].reopened += 1
        self._place(rows, about, story, opened, amends=True)
        for number in joined:
            self._open[number].amended_us = min(watermark_us, END - AMENDING_US) + AMENDING_US

    def _about(self, rows: pa.RecordBatch) -> dict[str, Vector]:
        """What stories are told by, as ``Stories.tell`` takes it."""
        silent = np.asarray(rows.column("signal").is_valid())
        key = {n: np.asarray(rows.column(n).fill_null(0)) for n in ("function_key", "caller_key", "app_key", "trouble")}
        if silent.any():
            own = hash_strings(rows.column("function"))
            key["function_key"] = np.where(silent, own, key["function_key"])
            # logs that stop arriving silence every app at once: one story
            key["app_key"] = np.where(silent, np.uint64(0), key["app_key"])
            key["trouble"] = np.where(silent, TROUBLES.index("silent"), key["trouble"])
        return {
            "at": np.asarray(rows.column("at")),
            "function": key["function_key"],
            "caller": key["caller_key"],
            "app": key["app_key"],
            "score": self._gates(rows, silent),
            "trouble": key["trouble"].astype(np.int64),
            "by_caller": np.asarray(rows.column("by_caller").fill_null(False)),
            "crowd": np.asarray(rows.column("crowd").fill_null(0)),
            "vague": np.asarray(pc.equal(rows.column("caller_source"), "geography").fill_null(False)),
        }

    def _place(
        self, rows: pa.RecordBatch, about: dict[str, Vector], story: Vector, opened: Vector, *, amends: bool = False
    ) -> None:
        """Put rows into their stories."""
        order = np.argsort(story, kind="stable")
        rows, story, opened = rows.take(pa.array(order)), story[order], opened[order]
        self._begin(rows, {name: column[order] for name, column in about.items()}, story)
        waiting = self._waiting_late if amends else self._waiting
        self._grow(rows, story, about["score"][order], opened, waiting, order)

    def _gates(self, rows: pa.RecordBatch, silent: Vector) -> Vector:
        """The scores that count for opening an incident, float64[n]."""
        score: Vector = np.asarray(rows.column("gate").fill_null(0.0)).copy()
        score[silent] = self._opens_at + SILENCE_MARGIN
        return score

    def _begin(self, rows: pa.RecordBatch, about: dict[str, Vector], story: Vector) -> None:
        """Give new stories, whose rows stand together, their names, and all stories the time of their last row."""
        at = about["at"]
        first = np.flatnonzero(np.r_[True, story[1:] != story[:-1]])
        last = np.r_[first[1:], len(story)] - 1
        fresh = np.array([int(story[i]) not in self._open for i in first], np.bool_)
        begun = first[fresh]
        names = rows.column("invocation_id").take(pa.array(begun)).to_pylist()
        named = rows.column("caller_key").take(pa.array(begun)).to_pylist()
        since = at[begun].tolist()
        marks = hash_strings(pa.array([f"{name}@{us}" for name, us in zip(names, since, strict=True)], pa.string()))
        keys = zip(*(about[name][begun].tolist() for name in ("function", "caller", "app")), strict=True)
        trouble = np.where(about["crowd"][begun] == CROWD, TROUBLES.index("load"), about["trouble"][begun]).tolist()
        columns = (begun.tolist(), named, marks.tolist(), since, keys, trouble)
        for i, caller, mark, us, key, kind in zip(*columns, strict=True):
            lead = _lead(about["by_caller"][i], about["vague"][i]) if caller else "function"
            self._open[int(story[i])] = Story(f"LT-{mark:016x}"[:15], lead, us, us, list(key), kind)
        for number, begin, end in zip(story[last].tolist(), at[first].tolist(), at[last].tolist(), strict=True):
            known = self._open[number]
            known.first_us, known.last_us = min(known.first_us, begin), max(known.last_us, end)

    def _grow(
        self, rows: pa.RecordBatch, story: Vector, score: Vector, opened: Vector, waiting: Waiting, order: Vector
    ) -> None:
        """Take rows into the stories that are open; into one that opens, also the rows that waited for that.

        What is known of a story is worked out once it opens, since most never do.
        """
        at, before = np.asarray(rows.column("at")), waiting.came
        place = waiting.add(rows, story, order)
        edges = np.flatnonzero(np.r_[True, story[1:] != story[:-1]]).tolist()
        for begin, end in zip(edges, [*edges[1:], len(story)], strict=True):
            number = int(story[begin])
            known = self._open[number]
            if known.opened_us < 0:
                if not opened[begin:end].any():
                    continue
                opening = begin + int(np.argmax(opened[begin:end]))
                known.opened_us = int(at[opening])
                known.let_go = int(place[opening]) - waiting.most
                for part in waiting.of(number, known.let_go, before):
                    _add(known, part, self._gates(part, np.asarray(part.column("signal").is_valid())))
                begin += int(np.searchsorted(place[begin:end], known.let_go))
            _add(known, rows.slice(begin, end - begin), score[begin:end])
            if waiting is self._waiting_late and number < FIRST_LATE:
                # when what came in time is told does not hang on what came late
                known.rows -= end - begin
                known.amending += end - begin
            if known.revision > known.told and not self._closed_only:
                known.told = known.revision
                self._told.append(self._document(known, closed=False))

    # ------------------------------------------------------------------ stories to verdicts
    def _settle(self, watermark_us: int) -> pa.RecordBatch:
        ended = {n for n, s in self._open.items() if watermark_us >= END or s.ends_us < watermark_us}
        # what gave way to others can't open any more
        live = set(self._stories.live())
        ended |= {n for n, s in self._open.items() if n < FIRST_LATE and s.opened_us < 0 and n not in live}
        done = np.array([n for n, s in self._open.items() if s.opened_us >= 0 or n in ended], np.int64)
        given = []
        for waiting in (self._waiting, self._waiting_late):
            for rows, numbers, places in waiting.settle(done):
                given.append(self._verdicts(rows, self._names(numbers, places, late=waiting is self._waiting_late)))
        for number in sorted(ended):
            story = self._open.pop(number)
            if story.opened_us >= 0:
                self._told.append(self._document(story, closed=True))
                if watermark_us < END:
                    self._closed[number] = _text(story)
        if ended:
            self._closed = dict(list(self._closed.items())[-KEPT_CLOSED:])
            if len(self._late):
                self._late.keep(self._open.keys() | self._closed.keys())
        if not given:
            return pa.RecordBatch.from_pylist([], schema=SCORED)
        merged = pa.Table.from_batches(given).combine_chunks().to_batches()
        return merged[0] if merged else pa.RecordBatch.from_pylist([], schema=SCORED)

    def _names(self, numbers: Vector, places: Vector, *, late: bool) -> pa.Array:
        """The incident of each row; null where its story has not opened, or opened when the row had been let go."""
        stories, which = np.unique(numbers, return_inverse=True)
        known = [self._open[number] for number in stories.tolist()]
        # rows in time and late ones are counted apart
        let_go = [s.let_go if late == (n >= FIRST_LATE) else 0 for n, s in zip(stories.tolist(), known, strict=True)]
        names = pa.array([story.incident_id if story.opened_us >= 0 else None for story in known], pa.string())
        there = pa.array(places >= np.array(let_go, np.int64)[which])
        return pc.if_else(there, names.take(pa.array(which)), pa.scalar(None, pa.string()))

    def _verdicts(self, rows: pa.RecordBatch, incident_ids: pa.Array) -> pa.RecordBatch:
        columns = {name: rows.column(name) for name in SCORED.names}
        columns["incident_id"] = incident_ids
        columns["anomalous"] = columns["incident_id"].is_valid()
        scored = pa.RecordBatch.from_arrays([columns[name] for name in SCORED.names], schema=SCORED)
        return scored.filter(rows.column("signal").is_null())

    # ------------------------------------------------------------------ incidents
    def _document(self, story: Story, *, closed: bool) -> dict[str, Any]:
        told = describe(evidence_of(story))
        document = {
            "incident_id": story.incident_id,
            "revision": story.revision,
            "closed": closed,
            **{name: told[name] for name in ("kind", "title", "summary", "severity", "attack", "runbook")},
            "reasons": [{f.name: reason.get(f.name) for f in _REASON} for reason in told["reasons"]],
            "opened": _time(story.opened_us),
            "first_event": _time(story.first_us),
            "last_event": _time(story.last_us),
            "apps": _top(story.counts.get("app", {})),
            "functions": _top(story.counts.get("function", {})),
            "callers": _callers(story.counts)[:SHOWN_NAMES],
            "invocations": story.invocations,
            "invocation_ids": list(story.ids),
            "score": story.score,
            "p_value": story.p_value,
            "model_version": self._version,
        }
        # what was once told is told to its end, whatever it turns out to be
        document["suppressed"] = None if story.open else expected_by(self._feedback, document)
        story.open = document["suppressed"] is None
        return document

    def raised(self) -> pa.RecordBatch | None:
        """Incidents told by the last ``advance``, INCIDENT rows."""
        return pa.RecordBatch.from_pylist(self._told, schema=INCIDENT) if self._told else None

    def due(self) -> int | None:
        """The lowest watermark at which a story closes."""
        return min((s.ends_us + 1 for s in self._open.values()), default=None)

    # ------------------------------------------------------------------ state
    def snapshot(self) -> Tables:
        """Stories, and the rows that wait for them."""
        return {
            "stories": _table({number: _text(self._open[number]) for number in sorted(self._open)}),
            "closed": _table(self._closed),
            **{f"in_time.{name}": table for name, table in self._waiting.snapshot().items()},
            **{f"behind.{name}": table for name, table in self._waiting_late.snapshot().items()},
            "horizon": pa.Table.from_batches(self._horizon, RAISED),
            "reached": pa.table({"at": [self._reached]}),
            **{f"live.{name}": table for name, table in self._stories.snapshot().items()},
            **{f"late.{name}": table for name, table in self._late.snapshot().items()},
        }

    def restore(self, tables: Mapping[str, pa.Table]) -> None:
        """Take over a snapshot."""
        self._open = {number: Story(**json.loads(text)) for number, text in _texts(tables["stories"]).items()}
        self._closed = _texts(tables["closed"]) if "closed" in tables else {}
        self._waiting.restore({n.removeprefix("in_time."): t for n, t in tables.items() if n.startswith("in_time.")})
        self._waiting_late.restore({n.removeprefix("behind."): t for n, t in tables.items() if n.startswith("behind.")})
        self._horizon = tables["horizon"].to_batches()
        self._reached = tables["reached"].column("at")[0].as_py()
        self._stories.restore({n.removeprefix("live."): t for n, t in tables.items() if n.startswith("live.")})
        self._late.restore({n.removeprefix("late."): t for n, t in tables.items() if n.startswith("late.")})


def _text(story: Story) -> str:
    """A story as JSON, without what is not known of it yet."""
    return json.dumps({name: v for name, v in story.__dict__.items() if v != _NOTHING_KNOWN.get(name)}, sort_keys=True)


def _table(texts: Mapping[int, str]) -> pa.Table:
    return pa.table({"number": pa.array(list(texts), pa.int64()), "story": pa.array(list(texts.values()), pa.string())})


def _texts(table: pa.Table) -> dict[int, str]:
    return dict(zip(table.column("number").to_pylist(), table.column("story").to_pylist(), strict=True))


def _whereabouts(number: int, story: Story) -> Whereabouts:
    """A story as ``assign`` knows it: its numbers, but for the count, and its keys."""
    lead = LEADS.index(story.lead)
    numbers = (lead, story.last_us, story.first_us, story.opened_us, 0, number, story.trouble)
    return Whereabouts(numbers, tuple(story.keys))


def _flags(column: pa.Array) -> Vector:
    """bool[n], False where the column is null."""
    flags: Vector = np.asarray(column.fill_null(False))
    return flags


def _lead(by_caller: bool, vague: bool) -> str:
    return ("place" if vague else "caller") if by_caller else "function"


def _add(story: Story, rows: pa.RecordBatch, score: Vector) -> None:
    """Take rows (sorted by time) into a story."""
    at = np.asarray(rows.column("at"))
    weight = np.asarray(rows.column("item_count").fill_null(0))
    silent = np.asarray(rows.column("signal").is_valid())
    story.first_us, story.last_us = min(story.first_us, int(at[0])), max(story.last_us, int(at[-1]))
    story.rows += rows.num_rows
    story.invocations += int(weight.sum())
    succeeded = np.asarray(rows.column("succeeded").cast(pa.int8()).fill_null(-1))
    status = rows.column("status").fill_null(0).to_numpy(zero_copy_only=False)
    story.failed += int(weight[succeeded == 0].sum())
    story.refused += int(weight[(status >= 400) & (status < 500)].sum())
    story.new_callers += int((np.asarray(rows.column("pair_age_us").fill_null(-1)) == 0).sum())
    story.late += int(np.asarray(rows.column("late")).sum())
    story.sampled += int((weight > 1).sum())
    durations = rows.column("duration_ms").drop_null().to_numpy(zero_copy_only=False)
    story.run_ms += int(np.rint(durations).sum())
    story.max_ms = max(story.max_ms, float(durations.max(initial=0.0)))
    story.durations += durations[: MAX_DURATIONS - len(story.durations)].tolist()
    ids = rows.column("invocation_id").filter(pa.array(~silent)).slice(0, MAX_IDS - len(story.ids))
    story.ids += ids.to_pylist()
    story.paths += rows.column("path").drop_null().slice(0, 5 - min(len(story.paths), 5)).to_pylist()
    deployed = np.asarray(rows.column("deployed_us").fill_null(-1))
    if story.deployed_us < 0 and (deployed >= 0).any():
        story.deployed_us = int(deployed[np.argmax(deployed >= 0)])
    peak = int(np.argmax(score))
    if score[peak] > story.score:
        story.score, story.p_value = float(score[peak]), float(rows.column("p_value")[peak].as_py())
    heard = np.flatnonzero(~silent)
    if len(heard):
        shares, surprise = (
            from_matrix(rows.column("share").take(pa.array(heard))),
            from_matrix(rows.column("surprise").take(pa.array(heard))),
        )
        value, typical = (
            from_matrix(rows.column("value").take(pa.array(heard))),
            from_matrix(rows.column("typical").take(pa.array(heard))),
        )
        # whole numbers add up to the same sum in any cut
        added = np.rint(shares * np.minimum(score[heard], 1e6)[:, None] * MICRO).astype(np.int64).sum(axis=0)
        story.shares = (np.array(story.shares) + added).tolist()
        best = surprise.argmax(axis=0)
        for j in np.flatnonzero(surprise[best, np.arange(len(best))] > np.array(story.surprise)).tolist():
            story.surprise[j] = float(surprise[best[j], j])
            story.value[j], story.typical[j] = float(value[best[j], j]), float(typical[best[j], j])
        duration_at = FEATURE_NAMES.index("duration_high")
        story.slow += int((surprise[:, duration_at] > 1.0).sum())
    for i in np.flatnonzero(silent).tolist():
        story.since_us = int(rows.column("since")[i].as_py()) if story.since_us < 0 else story.since_us
        told = story.counts.setdefault("silent", {})
        name = f"{rows.column('app')[i]}\x1f{rows.column('function')[i]}"
        if name not in told:
            told[name] = 1
            story.per_hour += float(rows.column("per_hour")[i].as_py())
        story.p_value = min(story.p_value, 10.0**-6)
    for name in (
        "app",
        "function",
        "caller",
        "caller_source",
        "country",
        "trigger",
        "trigger_source",
        "exception_type",
    ):
        _count(story.counts.setdefault(name, {}), rows.column(name))
    _count(story.counts.setdefault("pointed", {}), rows.column("caller").filter(rows.column("by_caller")))
    _age(story.counts.setdefault("age", {}), rows)
    _count(story.counts.setdefault("where", {}), _joined(rows))
    _count(story.counts.setdefault("status", {}), rows.column("status").cast(pa.string()))
    found = np.asarray(signature_kinds(rows.column("path")))
    for kind in np.unique(found[found > 0]).tolist():
        signatures = story.counts.setdefault("signature", {})
        signatures[SIGNATURES[kind]] = signatures.get(SIGNATURES[kind], 0) + int((found == kind).sum())


def _joined(rows: pa.RecordBatch) -> pa.Array:
    return pc.binary_join_element_wise(rows.column("app"), rows.column("function"), "\x1f")


def _count(counts: dict[str, int], column: pa.Array) -> None:
    """Add up how often each value occurs; a story of very many names forgets no name that it already has."""
    for entry in column.drop_null().value_counts().to_pylist():
        name = entry["values"]
        if name in counts or len(counts) < MAX_NAMES:
            counts[name] = counts.get(name, 0) + entry["counts"]


def _age(ages: dict[str, int], rows: pa.RecordBatch) -> None:
    """The longest time, s, for which each caller has been known to one of the functions."""
    known = pa.table([rows.column("caller"), rows.column("pair_age_us")], ["caller", "age"]).drop_null()
    for entry in known.group_by("caller").aggregate([("age", "max")]).to_pylist():
        name, age = entry["caller"], entry["age_max"] // US
        if name in ages or len(ages) < MAX_NAMES:
            ages[name] = max(ages.get(name, 0), age)


def _callers(counts: Mapping[str, Mapping[str, int]]) -> list[str]:
    """The callers, those who carry most of it first: a call that points at its caller counts for several."""
    pointed = counts.get("pointed", {})
    weight = {name: n + (POINTING - 1) * pointed.get(name, 0) for name, n in counts.get("caller", {}).items()}
    return [name for name, _ in sorted(weight.items(), key=lambda item: (-item[1], item[0])) if name]


def _top(counts: Mapping[str, int]) -> list[str]:
    """Names, most frequent first; ties by name."""
    return [n for n, _ in sorted(counts.items(), key=lambda item: (-item[1], item[0]))[:SHOWN_NAMES] if n]


def _time(us: int) -> datetime:
    return datetime.fromtimestamp(us // 1_000_000, timezone.utc).replace(microsecond=us % 1_000_000)


def evidence_of(story: Story) -> Evidence:
    """What the catalogue and the sentences are made from."""
    counts = {name: Counter(found) for name, found in story.counts.items()}
    total = max(sum(story.shares), 1)
    where: list[tuple[str, str, int]] = []
    for name, n in sorted(counts.get("where", Counter()).items(), key=lambda i: (-i[1], i[0])):
        app, _, function = name.partition("\x1f")
        where.append((app, function, n))
    callers = [(name, counts["caller"][name]) for name in _callers(counts)]
    age = story.counts.get("age", {}).get(callers[0][0]) if callers else None
    durations = sorted(story.durations)
    usual = story.typical[FEATURE_NAMES.index("duration_high")]

    def named(values: list[float]) -> dict[str, float]:
        return {name: v for name, v, s in zip(FEATURE_NAMES, values, story.surprise, strict=True) if s > 0.0}

    return Evidence(
        lead="function" if story.lead == "function" else "caller",
        first_us=story.first_us,
        last_us=story.last_us,
        opened_us=story.opened_us,
        invocations=story.invocations,
        failed=story.failed,
        refused=story.refused,
        slow=story.slow,
        apps=tuple(_top(counts.get("app", {}))),
        functions=tuple(where[:SHOWN_NAMES]),
        callers=tuple((c, c.split(":", 1)[0], n) for c, n in callers[:SHOWN_NAMES]),
        distinct_callers=len(callers),
        new_callers=story.new_callers,
        countries=tuple(sorted(counts.get("country", Counter()).items(), key=lambda i: (-i[1], i[0]))[:SHOWN_NAMES]),
        triggers=tuple(_top(counts.get("trigger", {}))),
        sources=tuple(_top(counts.get("trigger_source", {}))),
        score=story.score,
        p_value=story.p_value,
        surprise=named(story.surprise),
        share={name: s / total for name, s in zip(FEATURE_NAMES, story.shares, strict=True) if s > 0},
        value=named(story.value),
        typical=named(story.typical),
        duration_ms=(durations[len(durations) // 2] if durations else 0.0, story.max_ms),
        usual_ms=usual,
        run_seconds=story.run_ms / 1000.0,
        deployed_ago_s=story.deployed_us / 1e6 if story.deployed_us >= 0 else None,
        silence=Silence(story.per_hour, story.since_us) if story.since_us >= 0 else None,
        statuses={int(s): n for s, n in sorted(counts.get("status", Counter()).items())},
        exception_types=tuple(_top(counts.get("exception_type", {}))),
        signatures=tuple(_top(counts.get("signature", {}))),
        paths=tuple(story.paths[:5]),
        sampled=story.sampled > 0,
        caller_confidence=CALLER_CONFIDENCE.get(callers[0][0].split(":", 1)[0], 0.0) if callers else 0.0,
        caller_age_s=None if age is None else float(age),
        late=story.late,
        revision=story.revision,
    )
