"""The incident timeline: strange invocations become stories, and stories that are strange enough become incidents.

Rows of a story wait until the story opens (then all of them are its verdicts) or its gap closes it (then none is).
Where very many wait, those that came first are let go.
An incident is told when it opens, each time it has doubled, and when it closes; always under the same id.

Rows that come late amend the incident that they belong to, for some time also after it closed, and leave the stories
of the others as they are.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timezone
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from detectors.blame import CROWD, LOAD, SILENT, told_by
from detectors.expectations import expected_by
from detectors.explain import describe
from detectors.function_features import SILENCE_P_VALUE, cohorts_of
from detectors.late_stories import FIRST as FIRST_LATE
from detectors.late_stories import LateStories, Whereabouts
from detectors.order import concat, in_order
from detectors.raised import RAISED, SCORED, as_raised, raised_batch
from detectors.run_counts import RUNS
from detectors.schema import TIMESTAMP
from detectors.stories import LEADS, Stories, arrived, met
from detectors.storms import Clues, Join, find_joins, hosted, hosts_of
from detectors.story import SHOWN_NAMES, Ended, Story, callers_of, evidence_of, story_of, story_text, top
from detectors.story_rows import StoryRows, add_rows, newcomers
from detectors.timeline import END, Tables
from detectors.waiting import MOST, Waiting
from models.baselines import BIN_US, COHORTS, HOUR_US, US
from models.downstream import Downstream, Flow, Told
from models.feedback import Feedback
from models.hashing import combine, hash_strings

Vector = npt.NDArray[Any]

#: us of log time that an incident which late rows amend stays open for more of them
AMENDING_US: Final = 300 * US
#: incidents kept after their end, for late rows that amend them
KEPT_CLOSED: Final = 32
#: how much rarer than anything else it must be that somebody is merely new
NEWCOMERS: Final = 0.01
#: what a silence scores: as what is as rare, and more than what just opens an incident
SILENCE_SCORE: Final = -math.log10(SILENCE_P_VALUE)
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
#: signals that hang on what was open when they came
_AS_THEY_COME: Final = pa.array(["speech", "missing", "surplus"])
#: what tells the keys of functions that do more than others promise from those of silent ones
_TOO_MUCH: Final = np.uint64(0x9E3779B97F4A7C15)
#: columns of a row that its verdict is made of
_SETTLED: Final = (*SCORED.names, "signal")

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
        rarer_than: p-value below which an invocation of each of ``COHORTS`` may open one, whatever its score.
        version: of the model, named in each incident.
        feedback: what stands; incidents that it expects are marked.
        closed_only: nobody reads an incident before it closes, which spares telling it when it opens and grows.
        downstream: who follows whom.
    """

    opens_at: float
    rarer_than: tuple[float, ...] = (1.0,) * len(COHORTS)
    version: str = ""
    feedback: tuple[Feedback, ...] = ()
    closed_only: bool = False
    downstream: Downstream | None = None

    def make(self, shard: int, shards: int) -> Incidents:  # noqa: ARG002 - there is one
        """The fold."""
        return Incidents(
            self.opens_at, self.version, self.feedback, rarer_than=self.rarer_than, closed_only=self.closed_only,
            downstream=self.downstream,
        )  # fmt: skip


class Incidents:
    """The fold of the incident timeline."""

    def __init__(
        self, opens_at: float, version: str = "", feedback: tuple[Feedback, ...] = (), *,
        rarer_than: tuple[float, ...] = (1.0,) * len(COHORTS), closed_only: bool = False, most_waiting: int = MOST,
        downstream: Downstream | None = None,
    ) -> None:  # fmt: skip
        # whether feedback expects an incident is settled when it opens
        self._closed_only = closed_only and not feedback
        self._opens_at, self._rarer_than = opens_at, rarer_than
        self._version = version
        self._feedback = feedback
        self._stories = Stories(opens_at)
        self._late = LateStories(opens_at)
        self._open: dict[int, Story] = {}
        self._closed: dict[int, Ended] = {}
        #: RAISED rows: those that came in time, and those that came late, which must not count among the others
        self._waiting, self._waiting_late = Waiting(RAISED, most_waiting), Waiting(RAISED, most_waiting)
        self._flow = Flow(downstream or Downstream.none())
        self._horizon: list[pa.RecordBatch] = []
        self._reached = -(2**62)
        self._told: list[dict[str, Any]] = []

    def advance(self, rows: pa.RecordBatch, watermark_us: int) -> pa.RecordBatch:
        """Verdicts (SCORED) of rows whose story has opened or closed; ``raised()`` then gives incidents told."""
        self._told = []
        if rows.num_rows:
            rows = self._count(rows)
            ticks = _flags(pc.equal(rows.column("signal"), "tick"))
            beyond = _flags(rows.column("horizon"))
            if ticks.any():
                self._reached = max(self._reached, int(np.asarray(rows.column("at"))[ticks].max()))
            if beyond.any():
                self._horizon.append(rows.filter(pa.array(beyond)))
            if ticks.any() or beyond.any():
                rows = rows.filter(pa.array(~(ticks | beyond)))
        told = self._told_flow(watermark_us)
        if told is not None:
            rows = in_order(concat([rows, told]))
        late = rows.column("late")
        if late.true_count:
            self._take_and_hear(rows.filter(pc.invert(late)))
            self._amend(rows.filter(late), watermark_us)
        else:
            self._take_and_hear(rows)
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
            story, opened, about["score"] = self._stories.tell(**about)
            self._place(rows, about, hosted(story, hosts_of(self._open)), opened)

    def _amend(self, rows: pa.RecordBatch, watermark_us: int) -> None:
        """Rows that came late."""
        closed = {number: ended.story() for number, ended in self._closed.items()}
        known = {number: story for number, story in sorted((closed | self._open).items()) if number < FIRST_LATE}
        told = [one for number, story in known.items() if story.opened_us >= 0 for one in _whereabouts(number, story)]
        about = self._about(rows)
        story, opened, about["score"] = self._late.tell(dict(sorted(told)), about)
        story = hosted(story, hosts_of(known))
        joined = np.unique(story).tolist()
        for number in joined:
            if number in closed:
                del self._closed[number]
                self._open[number] = closed[number]
                self._open[number].reopened += 1
        self._place(rows, about, story, opened, amends=True)
        for number in joined:
            self._open[number].amended_us = min(watermark_us, END - AMENDING_US) + AMENDING_US

    def _take_and_hear(self, rows: pa.RecordBatch) -> None:
        """Rows that came in time, some of which may say that a function is silent no longer."""
        if rows.num_rows == 0:
            # a mark of time alone has no columns of evidence
            return
        begin = 0
        signal = rows.column("signal")
        for i in np.flatnonzero(_flags(pc.is_in(signal, value_set=_AS_THEY_COME))).tolist():
            self._take(rows.slice(begin, i - begin))
            name, at_us = f"{rows.column('app')[i]}\x1f{rows.column('function')[i]}", rows.column("at")[i].as_py()
            begin = i + 1
            if signal[i].as_py() == "speech":
                self._hear(name, at_us)
            elif not self._explained(name, at_us, more=signal[i].as_py() == "surplus"):
                self._take(rows.slice(i, 1))
        self._take(rows.slice(begin))

    # ------------------------------------------------------------------ runs that others promise
    def _count(self, rows: pa.RecordBatch) -> pa.RecordBatch:
        """Take counts of runs out of the rows."""
        counts = _flags(pc.equal(rows.column("signal"), RUNS))
        if not counts.any():
            return rows
        counted = rows.filter(pa.array(counts))
        place = self._flow.known.find(np.asarray(counted.column("function_key")))
        mine = place >= 0
        columns = (np.asarray(counted.column(name))[mine] for name in ("runs", "promised"))
        self._flow.count(place[mine], np.asarray(counted.column("at"))[mine] // BIN_US - 1, *columns)
        return rows.filter(pa.array(~counts))

    def _told_flow(self, watermark_us: int) -> pa.RecordBatch | None:
        """Of runs that others promise: that they are missing or too many, or no longer are, as far as logs reach."""
        until = self._reached // BIN_US if watermark_us >= END else -(-watermark_us // BIN_US) - 1
        told = self._flow.judge(until)
        if not told:
            return None
        known = self._flow.known
        names = [(known.apps[place], known.functions[place]) for place in known.named[[one.follower for one in told]]]
        signals = [("surplus" if one.more else "missing") if one.strange else "speech" for one in told]
        columns = {
            "at": [one.at_us for one in told],
            "invocation_id": [
                f"{signal}:{app}/{function}@{one.since_us}"
                for signal, (app, function), one in zip(signals, names, told, strict=True)
            ],
            "event_time": [one.at_us for one in told],
            "app": [app for app, _ in names],
            "function": [function for _, function in names],
            "trigger": [known.triggers[known.named[one.follower]] for one in told],
            "candidate": [True] * len(told),
            "p_value": [SILENCE_P_VALUE if one.strange else 1.0 for one in told],
            "signal": signals,
            "since": [one.since_us for one in told],
            "per_hour": [one.promised * HOUR_US / max(one.at_us - one.since_us, 1) for one in told],
            "runs": [one.came for one in told],
            "promised": [one.promised for one in told],
            "follows": [self._upstream(one) for one in told],
            "app_key": known.keys[known.together[known.named[[one.follower for one in told]]]],
        }
        return in_order(raised_batch(columns, len(told)))

    def _upstream(self, told: Told) -> str:
        """App and name of what promises most of a follower's runs."""
        known = self._flow.known
        most = known.main_source(told.follower)
        return f"{known.apps[most]}\x1f{known.functions[most]}"

    def _explained(self, function: str, at_us: int, *, more: bool) -> bool:
        """An incident goes on that tells why a function does not do what others promise, or does more.

        It is silent, or its app is; or, where its work comes from or goes to, there is other trouble than that. Why
        more comes is told by trouble of its own within the hour, or by work that has waited.
        """
        known = self._flow.known
        names = [f"{app}\x1f{name}" for app, name in zip(known.apps, known.functions, strict=True)]
        circle = known.together[names.index(function)]
        near = {name for name, one in zip(names, known.together.tolist(), strict=True) if one == circle}
        where = {function} if more else near
        app = function.partition("\x1f")[0] + "\x1f"
        for story in self._open.values():
            if story.opened_us < 0 or at_us > story.ends_us:
                continue
            if story.trouble == SILENT:
                told = {function, app}.intersection(story.hushed())
                if any(name not in story.counts.get("promised", {}) for name in told):
                    return True
                if more and not near.isdisjoint(story.counts.get("silent", {})):
                    return True
            elif not (more and at_us > story.last_us + HOUR_US) and not where.isdisjoint(story.counts.get("where", {})):
                return True
        return False

    def _hear(self, function: str, at_us: int) -> None:
        """A function is silent no longer."""
        for story in self._open.values():
            if at_us <= story.ends_us and story.counts.get("silent", {}).get(function, at_us) < at_us:
                story.speaks(function, at_us)
                self._tell(story)

    def _about(self, rows: pa.RecordBatch) -> dict[str, Vector]:
        """What stories are told by, as ``Stories.tell`` takes it."""
        silent = np.asarray(rows.column("signal").is_valid())
        key = {n: np.asarray(rows.column(n).fill_null(0)) for n in ("function_key", "caller_key", "app_key", "trouble")}
        if silent.any():
            app = hash_strings(rows.column("app"))
            # by other keys than what is strange there
            own = combine(hash_strings(rows.column("function")), app)
            key["function_key"] = np.where(silent, own, key["function_key"])
            # what others promise is of those others, not of what else stops in its app
            more = _flags(pc.equal(rows.column("signal"), "surplus"))
            missing = more | _flags(pc.equal(rows.column("signal"), "missing"))
            key["app_key"] = np.where(silent & ~missing, app, key["app_key"])
            for name in ("function_key", "app_key"):
                # what does too much has no part in what does nothing
                key[name] = np.where(more, key[name] ^ _TOO_MUCH, key[name])
            key["trouble"] = np.where(silent, SILENT, key["trouble"])
        about = {
            "at": np.asarray(rows.column("at")),
            "function": key["function_key"],
            "caller": key["caller_key"],
            "app": key["app_key"],
            "score": self._gates(rows, silent),
            "trouble": key["trouble"].astype(np.int64),
            "by_caller": np.asarray(rows.column("by_caller").fill_null(False)),
            "crowd": np.asarray(rows.column("crowd").fill_null(0)),
            "vague": np.asarray(pc.equal(rows.column("caller_source"), "geography").fill_null(False)),
            "met": met(rows),
            "arrived": arrived(rows),
        }
        # Arrow lends its memory for reading only, and a loop is compiled for each kind of array that it is called with
        return {name: np.require(column, requirements="W") for name, column in about.items()}

    def _place(
        self, rows: pa.RecordBatch, about: dict[str, Vector], story: Vector, opened: Vector, *, amends: bool = False
    ) -> None:
        """Put rows into their stories."""
        weighed = pa.array(about["score"])
        rows = rows.set_column(rows.schema.get_field_index("gate"), rows.schema.field("gate"), weighed)
        order = np.argsort(story, kind="stable")
        rows, story, opened = rows.take(pa.array(order)), story[order], opened[order]
        self._begin(rows, {name: column[order] for name, column in about.items()}, story)
        waiting, joins, clues = self._waiting, [], Clues.of(rows, self._opens_at)
        if amends:
            waiting = self._waiting_late
        else:
            joins = find_joins(self._open, story, opened, clues, about["at"][order], order)
            if joins:
                story = self._join(joins, story, clues, order)
                again = np.lexsort((order, story))
                rows, story, opened, order = rows.take(pa.array(again)), story[again], opened[again], order[again]
                clues = clues.take(again)
        self._grow(rows, story, about["score"][order], opened, clues, waiting, order, joins)

    def _join(self, joins: list[Join], story: Vector, clues: Clues, order: Vector) -> Vector:
        """Give what comes of stories that join others to their hosts; the story of each row then, int64[n]."""
        for number, host, place, us in joins:
            joining, known = self._open[number], self._open[host]
            known.first_us, known.last_us = min(known.first_us, joining.first_us), max(known.last_us, joining.last_us)
            row = np.flatnonzero(order == place)[0]
            what = (us, LEADS.index(joining.lead), joining.trouble, int(clues.floods[row]), int(clues.sprays[row]))
            known.joined.append([number, *joining.keys, int(clues.land[row]), *what])
            story = np.where((story == number) & (order >= place), host, story)
        return story

    def _gates(self, rows: pa.RecordBatch, silent: Vector) -> Vector:
        """The scores that count for opening an incident, float64[n]."""
        score: Vector = np.asarray(rows.column("gate").fill_null(0.0)).copy()
        # of what ordinary invocations do as often nobody need be told; it may be part of what something else opens
        bound = np.array(self._rarer_than)[cohorts_of(rows.column("trigger"))]
        bound[newcomers(rows)] *= NEWCOMERS
        common = np.asarray(rows.column("p_value")) >= bound
        score[common] = np.minimum(score[common], np.nextafter(self._opens_at, -np.inf))
        score[silent] = max(self._opens_at + SILENCE_MARGIN, SILENCE_SCORE)
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
        trouble = np.where(about["crowd"][begun] == CROWD, LOAD, told_by(about["trouble"][begun])).tolist()
        columns = (begun.tolist(), named, marks.tolist(), since, keys, trouble)
        for i, caller, mark, us, key, kind in zip(*columns, strict=True):
            lead = _lead(about["by_caller"][i], about["vague"][i]) if caller else "function"
            self._open[int(story[i])] = Story(f"LT-{mark:016x}"[:15], lead, us, us, list(key), kind, started_us=us)
        for number, begin, end in zip(story[last].tolist(), at[first].tolist(), at[last].tolist(), strict=True):
            known = self._open[number]
            known.first_us, known.last_us = min(known.first_us, begin), max(known.last_us, end)

    def _grow(
        self, rows: pa.RecordBatch, story: Vector, score: Vector, opened: Vector, clues: Clues, waiting: Waiting,
        order: Vector, joins: list[Join],
    ) -> None:  # fmt: skip
        """Take rows into the stories that are open; into one that opens, also the rows that waited for that.

        What is known of a story is worked out once it opens, since most never do.
        """
        at, before = np.asarray(rows.column("at")), waiting.came
        place, taken = waiting.add(rows, story, order), StoryRows(rows, score)
        edges = np.flatnonzero(np.r_[True, story[1:] != story[:-1]]).tolist()
        for begin, end in zip(edges, [*edges[1:], len(story)], strict=True):
            number = int(story[begin])
            known = self._open[number]
            if known.opened_us < 0:
                if not opened[begin:end].any():
                    continue
                opening = begin + int(np.argmax(opened[begin:end]))
                known.opened_us = int(at[opening])
                known.arrived, known.floods = bool(clues.arrives[opening]), bool(clues.floods[opening])
                known.sprays, known.land = bool(clues.sprays[opening]), int(clues.land[opening])
                known.let_go = int(place[opening]) - waiting.most
                self._add(known, waiting.of(number, known.let_go, before))
                begin += int(np.searchsorted(place[begin:end], known.let_go))
            if waiting is self._waiting:
                known.beyond |= bool(clues.beyond[begin:end].any())
                known.flooded_us = max(known.flooded_us, int(at[begin:end][clues.floods[begin:end]].max(initial=-1)))
            for join in joins:
                if join.host == number:
                    here = begin + int(np.searchsorted(order[begin:end], join.place))
                    if here > begin:
                        add_rows(known, taken, begin, here)
                    begin, let_go = here, int(place[here]) - waiting.most
                    self._add(known, waiting.of(join.story, let_go, int(place[here])))
                    waiting.hand_over(join.story, number, let_go)
            add_rows(known, taken, begin, end)
            if waiting is self._waiting_late and number < FIRST_LATE:
                # when what came in time is told does not hang on what came late
                known.rows -= end - begin
                known.amending += end - begin
            self._tell(known)

    def _tell(self, story: Story) -> None:
        """Tell an incident that goes on, where there is something new to tell."""
        if story.revision > story.told and not self._closed_only:
            story.told = story.revision
            self._told.append(self._document(story, closed=False))

    def _add(self, story: Story, parts: Iterable[pa.RecordBatch]) -> None:
        """Take in rows that waited."""
        for part in parts:
            add_rows(story, StoryRows(part, np.asarray(part.column("gate"))), 0, part.num_rows)

    # ------------------------------------------------------------------ stories to verdicts
    def _settle(self, watermark_us: int) -> pa.RecordBatch:
        ended = {n for n, s in self._open.items() if watermark_us >= END or s.ends_us < watermark_us}
        # what gave way to others can't open any more
        live = set(self._stories.live())
        ended |= {n for n, s in self._open.items() if n < FIRST_LATE and s.opened_us < 0 and n not in live}
        done = np.array([n for n, s in self._open.items() if s.opened_us >= 0 or n in ended], np.int64)
        given = []
        for waiting in (self._waiting, self._waiting_late):
            for rows, numbers, places in waiting.settle(done, _SETTLED):
                given.append(self._verdicts(rows, self._names(numbers, places, late=waiting is self._waiting_late)))
        over = {number: self._open.pop(number) for number in sorted(ended)}
        opened = {number: story for number, story in over.items() if story.opened_us >= 0}
        self._told += [self._document(story, closed=True) for story in opened.values()]
        if opened and watermark_us < END:
            fresh = [(number, Ended(story)) for number, story in list(opened.items())[-KEPT_CLOSED:]]
            self._closed = dict([*self._closed.items(), *fresh][-KEPT_CLOSED:])
        if ended and len(self._late):
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
        signal = rows.column("signal")
        return scored if signal.null_count == len(signal) else scored.filter(signal.is_null())

    # ------------------------------------------------------------------ incidents
    def _document(self, story: Story, *, closed: bool) -> dict[str, Any]:
        evidence = evidence_of(story)
        told = describe(evidence)
        # of work that does not arrive, what should have brought it is part of the story
        before = evidence.missing.follows if evidence.missing is not None else ()
        document = {
            "incident_id": story.incident_id,
            "revision": story.revision,
            "closed": closed,
            **{name: told[name] for name in ("kind", "title", "summary", "severity", "attack", "runbook")},
            "reasons": [{f.name: reason.get(f.name) for f in _REASON} for reason in told["reasons"]],
            "opened": _time(story.opened_us),
            "first_event": _time(story.begins_us),
            "last_event": _time(max(story.last_us, story.back_us)),
            "apps": list(dict.fromkeys([*top(story.counts.get("app", {})), *(app for app, _ in before)])),
            "functions": list(dict.fromkeys([*top(story.counts.get("function", {})), *(name for _, name in before)])),
            "callers": callers_of(story.counts)[:SHOWN_NAMES],
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
        """The lowest watermark at which a story closes, or runs are known to be missing."""
        waiting = [story.ends_us + 1 for story in self._open.values()]
        spans = self._flow.due()
        return min(waiting if spans is None else [*waiting, spans * BIN_US + 1], default=None)

    # ------------------------------------------------------------------ state
    def snapshot(self) -> Tables:
        """Stories, and the rows that wait for them."""
        return {
            "stories": _table({number: story_text(self._open[number]) for number in sorted(self._open)}),
            "closed": _table({number: ended.text for number, ended in self._closed.items()}),
            **{f"in_time.{name}": table for name, table in self._waiting.snapshot().items()},
            **{f"behind.{name}": table for name, table in self._waiting_late.snapshot().items()},
            "horizon": pa.Table.from_batches(self._horizon, RAISED),
            "reached": pa.table({"at": [self._reached]}),
            **{f"missing.{name}": table for name, table in self._flow.snapshot().items()},
            **{f"live.{name}": table for name, table in self._stories.snapshot().items()},
            **{f"late.{name}": table for name, table in self._late.snapshot().items()},
        }

    def renewed(self, rows: pa.Table) -> pa.Table:
        """Rows that an earlier version saved on their way here."""
        return as_raised(rows)

    def restore(self, tables: Mapping[str, pa.Table]) -> None:
        """Take over a snapshot."""
        self._open = {number: story_of(text) for number, text in _texts(tables["stories"]).items()}
        closed = _texts(tables["closed"]) if "closed" in tables else {}
        self._closed = {number: Ended(text) for number, text in closed.items()}
        tables = {n: as_raised(t) if n.endswith(".waiting") else t for n, t in tables.items()}
        self._waiting.restore({n.removeprefix("in_time."): t for n, t in tables.items() if n.startswith("in_time.")})
        self._waiting_late.restore({n.removeprefix("behind."): t for n, t in tables.items() if n.startswith("behind.")})
        self._horizon = as_raised(tables["horizon"]).to_batches()
        self._reached = tables["reached"].column("at")[0].as_py()
        missing = {n.removeprefix("missing."): t for n, t in tables.items() if n.startswith("missing.")}
        if missing:
            self._flow.restore(missing)
        self._stories.restore({n.removeprefix("live."): t for n, t in tables.items() if n.startswith("live.")})
        self._late.restore({n.removeprefix("late."): t for n, t in tables.items() if n.startswith("late.")})


def _table(texts: Mapping[int, str]) -> pa.Table:
    return pa.table({"number": pa.array(list(texts), pa.int64()), "story": pa.array(list(texts.values()), pa.string())})


def _texts(table: pa.Table) -> dict[int, str]:
    return dict(zip(table.column("number").to_pylist(), table.column("story").to_pylist(), strict=True))


def _whereabouts(number: int, story: Story) -> Iterator[tuple[int, Whereabouts]]:
    """A story, and those that joined it, as ``assign`` knows them: numbers, but for the count, and keys."""
    own = (number, *story.keys, story.opened_us, LEADS.index(story.lead), story.trouble, 0, 0)
    for one, *keys, _, lead, trouble, _, _ in (own, *story.joined):
        numbers = (lead, story.last_us, story.first_us, story.opened_us, 0, one, trouble)
        yield one, Whereabouts(numbers, tuple(keys[: len(story.keys)]))


def _flags(column: pa.Array) -> Vector:
    """bool[n], False where the column is null."""
    flags: Vector = np.asarray(column.fill_null(False))
    return flags


def _lead(by_caller: bool, vague: bool) -> str:
    return ("place" if vague else "caller") if by_caller else "function"


def _time(us: int) -> datetime:
    return datetime.fromtimestamp(us // 1_000_000, timezone.utc).replace(microsecond=us % 1_000_000)
