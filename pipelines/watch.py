"""The streaming job: sources, engine, checkpoint, sinks, round after round; no step that can't be repeated.

    poll ─► engine ─► checkpoint, or a note of the steps since ─► sinks' outboxes ─► sinks
                          └── a crash begins here again ──┘

An incident goes to the sinks only after it is on disk, in a checkpoint (state, cursors, incidents) or in what was noted
since: what a crash repeats is the same incident under the same id and revision, which the sinks' outboxes know. A note
takes as long as its rows, a checkpoint as long as the state.
"""

from __future__ import annotations

import datetime as dt
import logging
import time
import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal, Protocol

import pyarrow as pa

from detectors.blind_spots import blind_spots
from detectors.coverage import coverage_of
from detectors.schema import DEAD_LETTER, VERDICT
from detectors.timeline import START
from models.errors import InputError, LonetreeError, SourceError
from pipelines import meter
from pipelines.champion import Champion, Judging
from pipelines.checkpoint import Checkpoints, Saved
from pipelines.engine import GRID_US, Engine, Given
from pipelines.journal import Step
from pipelines.lately import Down, Rate, Standing
from pipelines.memory import given_back
from pipelines.part_files import PartFiles, as_lines, as_parquet
from pipelines.sinks.escape import terminal
from pipelines.sinks.fanout import SinkStatus
from pipelines.sinks.lines import as_told
from pipelines.sources.base import Cursor, Polled, Source, microseconds
from pipelines.told import Told
from pipelines.vitals import KEPT, Vitals, place_of, position_of
from pipelines.warm import rehearse
from pipelines.watermarks import DEFAULT_IDLE_US, DEFAULT_LATENESS_US

#: a checkpoint at the latest after so long, s: what a restart reads again
CHECKPOINT_S: Final = 10.0
#: incidents don't wait for that, but for a note, which is not made more often than this, s
INCIDENT_NOTE_S: Final = 0.1
#: nor may checkpoints take more than one part in so many of the time, and notes of the time while incidents wait
CHECKPOINT_SHARE, NOTE_SHARE = 10.0, 4.0
#: rows that came since the last note or checkpoint, at which they are noted, so that memory need not hold them
NOTE_ROWS: Final = 100_000
#: how often the registry is asked for its champion, s
MODEL_POLL_S: Final = 15.0
#: dead letters kept: so many parts of up to 100,000
DEAD_PARTS: Final = 100
#: invocations after which it is told what the logs don't show, or so long after the first, s
BLIND_ROWS, BLIND_S = 1_000, 300.0
#: how often that is looked at again, s
_BLIND_EVERY_S: Final = 60.0

#: the judgement of one invocation, as ``watch`` writes it: that of ``replay``, and whether the row came too late
WATCHED: Final[pa.Schema] = VERDICT.append(pa.field("late", pa.bool_()))

_log = logging.getLogger(__name__)


class Outlet(Protocol):
    """Where incidents go: ``pipelines.sinks.fanout.Sinks``."""

    def send(self, incidents: Sequence[Mapping[str, Any]]) -> None:
        """Take incidents over for good; those taken before are ignored."""

    def status(self) -> list[SinkStatus]:
        """How each sink is."""

    def close(self) -> None:
        """Deliver what can be delivered, and stop."""


@dataclass(frozen=True)
class WatchOptions:
    """How the job runs."""

    lateness_us: int = DEFAULT_LATENESS_US
    #: None: a quiet source holds the others back for ever
    idle_us: int | None = DEFAULT_IDLE_US
    #: where verdicts go; None: nowhere
    output: Path | None = None
    verdicts: Literal["anomalous", "all"] = "anomalous"
    model_poll_s: float = MODEL_POLL_S
    checkpoint_s: float = CHECKPOINT_S
    incident_note_s: float = INCIDENT_NOTE_S
    grid_us: int = GRID_US
    #: judge made-up rows before the first, so that no real one waits for a compiler
    rehearse: bool = False


def utc_now() -> dt.datetime:
    """The clock of the system."""
    return dt.datetime.now(dt.timezone.utc)


class Watch:
    """The job. One thread: ``round`` does one, ``stop`` ends it so that it can go on, ``end`` as a replay ends.

    Args:
        sources: from their saved cursors; opened by the caller, because they need the checkpoint.
        saved: the checkpoint to go on from.
        champion: the version that judges, followed.
        checkpoints: where the state is kept.
        sinks: where incidents go.
        options: how it runs.
        clock: the time of day, UTC.
        steady: seconds that never go back.

    Raises on construction:
        ModelError: no version can be used.
        InputError: the saved state is of another shape.
    """

    def __init__(
        self,
        sources: Mapping[str, Source],
        saved: Saved | None,
        champion: Champion,
        checkpoints: Checkpoints,
        sinks: Outlet,
        options: WatchOptions | None = None,
        *,
        clock: Callable[[], dt.datetime] = utc_now,
        steady: Callable[[], float] = time.monotonic,
    ) -> None:
        self._sources, self._champion, self._checkpoints, self._sinks = dict(sources), champion, checkpoints, sinks
        self._options, self._clock, self._steady = options or WatchOptions(), clock, steady
        #: what is known of the job, current after each round
        self.vitals = Vitals()
        self._cursors: dict[str, Cursor] = {}
        self._outbox: list[dict[str, Any]] = []
        self._told = Told()
        #: how many incidents of the outbox are on disk
        self._saved_outbox = 0
        #: what happened since the last note or checkpoint, and how many rows that holds
        self._steps: list[Step] = []
        self._step_rows = 0
        #: what happened can't be noted: the next save is a whole checkpoint
        self._whole = saved is None
        #: sources that gave nothing when they were asked last, and were not read to their end
        self._stuck: set[str] = set()
        self._job = uuid.uuid4().hex[:12]
        self._dirty = False
        before = saved.document if saved is not None else None
        judging = champion.start(before["model_version"] if before is not None else None)
        self._expected_false = judging.expected
        if self._options.rehearse:
            _rehearsed(judging)
        former = judging if saved is None else _former(champion, judging, saved)
        self._engine = Engine(
            former.plan, self._sources, lateness_us=self._options.lateness_us, idle_us=self._options.idle_us
        )
        if before is not None:
            self._job = str(before["job"])
        folder = self._options.output or checkpoints.folder
        self._dead = PartFiles(folder / "dead-letter", self._job, DEAD_LETTER, as_lines, ".ndjson", keep=DEAD_PARTS)
        self._verdicts: PartFiles | None = None
        if self._options.output is not None:
            self._verdicts = PartFiles(folder / "verdicts", self._job, WATCHED, as_parquet, ".parquet")
        if saved is not None:
            self._restore(saved, former)
        if former is not judging:
            self._engine.swap(judging.plan)
            self._whole = True
        now_s = steady()
        self._last_save = self._last_note = self._last_look = now_s
        self._standing = Standing(now_s, self._engine.watermark_us)
        self._rate, self._sources_down, self._sinks_down = Rate(now_s, self.vitals.read), Down(), Down()
        self._blind_since = self._blind_look = now_s
        self.vitals.model_version = judging.version
        self._deliver()
        self._look()

    # ------------------------------------------------------------------ a round
    def round(self, stopping: Callable[[], bool] = lambda: False) -> bool:
        """Ask every source once, judge what can be judged, and save and deliver what is due.

        Args:
            stopping: asked between two pieces of news; True ends the round early.

        Returns:
            Whether anything came, so that asking again at once is worth it.

        Raises:
            SourceError: a source says that a person must act.
        """
        came = False
        self._follow_champion()
        if self.vitals.checkpoint_trouble is not None:
            # reading on would only fill the memory
            self._save_if_due()
            self._look()
            return False
        for name, source in self._sources.items():
            came |= self._poll(name, source, stopping)
            if stopping():
                break
        self._advance(grid_us=1)
        self._save_if_due()
        self._deliver()
        self._look()
        return came

    @property
    def idle(self) -> bool:
        """Whether all sources were read to their end and are well, and nothing keeps it from reading on."""
        return self.vitals.checkpoint_trouble is None and all(source.idle for source in self._sources.values())

    def stop(self) -> None:
        """Save where it stands, hand over the incidents, and let go of everything. A later start goes on from there."""
        self._flush()
        saved = self._save()
        self._deliver()
        if saved and not self._outbox:
            self._save()
        self._close()

    def end(self) -> None:
        """Judge all that is there, as at the end of a replay, then stop. Nothing can follow."""
        self._take(self._engine.finish())
        self.stop()

    def abandon(self) -> None:
        """Let go of everything and save nothing: after a fault, the last checkpoint is what is known to be right."""
        self._close()

    def _poll(self, name: str, source: Source, stopping: Callable[[], bool]) -> bool:
        came = False
        now_us = microseconds(self._clock())
        try:
            for piece in source.poll(self._clock()):
                came |= self._push(name, piece, now_us)
                self._advance(grid_us=self._options.grid_us)
                if self._engine.relieve(now_us):
                    self._advance(grid_us=1)
                self._save_if_due()
                self._deliver()
                if stopping():  # only now: a source whose poll is left halfway may hold news that nobody got
                    return came
        except SourceError as error:
            if not error.retry:
                raise
            self.vitals.source_trouble[name] = error.message
            _log.warning("source %s fails, it will be tried again: %s", name, terminal(str(error)))
            self._engine.polled(name, False, now_us)
            return came
        self.vitals.source_trouble.pop(name, None)
        self.vitals.sources[name] = source.idle
        if came or source.idle:
            self._stuck.discard(name)
        else:
            self._stuck.add(name)
        self._engine.polled(name, source.idle, now_us)
        return came

    def _push(self, name: str, piece: Polled, now_us: int) -> bool:
        rows, dead = piece.conformed.rows, piece.conformed.dead
        self._step(Step("rows", self._engine.push(name, rows, piece.watermark_us, now_us)))
        self._dead.add(dead, self._steady())
        self._step(Step("dead", dead))
        self.vitals.read += meter.standing(rows) + dead.num_rows
        self.vitals.dead_letter += dead.num_rows
        self.vitals.ignored += piece.conformed.ignored
        self._cursors[name] = piece.cursor
        self._dirty |= piece.records > 0
        return piece.records > 0

    def _advance(self, grid_us: int) -> None:
        if self._engine.due(grid_us):
            self._take(self._engine.advance())
            self._step(Step("watermark", None, self._engine.watermark_us))
            self._dirty = True

    def _step(self, step: Step) -> None:
        if step.rows is None:
            self._steps.append(step)
        elif step.rows.num_rows:
            self._steps.append(step)
            self._step_rows += step.rows.num_rows

    def _take(self, given: Given) -> None:
        now_s = self._steady()
        for rows in given.verdicts:
            if self._verdicts is not None:
                self._verdicts.add(
                    rows if self._options.verdicts == "all" else rows.filter(rows.column("anomalous")), now_s
                )
        self.vitals.suppressed += len(given.suppressed)
        for incident in given.incidents:
            amends = self._told.take(incident)
            self._outbox.append(as_told(incident, amends=amends, expected_false=self._expected_false))
            self.vitals.tellings += 1
            self.vitals.incidents += not amends
            self._dirty = True

    # ------------------------------------------------------------------ the version that judges
    def _follow_champion(self) -> None:
        now_s = self._steady()
        if now_s - self._last_look < self._options.model_poll_s:
            return
        self._last_look = now_s
        judging = self._champion.changed()
        if judging is not None:
            try:
                self._engine.swap(judging.plan)
            except Exception as error:
                # a bundle may hold what no check foresaw; the engine has kept the old folds
                self._champion.refuse(judging, error)
            else:
                self._champion.took(judging)
                self._expected_false = judging.expected
                if judging.version == self.vitals.model_version:
                    _log.warning("%s judges on, with what people said since", judging.version)
                else:
                    _log.warning("%s judges from here on, after %s", judging.version, self.vitals.model_version)
                    self.vitals.swaps += 1
                self.vitals.model_version = judging.version
                self._dirty = self._whole = True
        self.vitals.refused_models, self.vitals.model_trouble = self._champion.refused, self._champion.trouble

    # ------------------------------------------------------------------ state
    def _save_if_due(self) -> None:
        if not self._dirty and self.vitals.checkpoint_trouble is None:
            return
        now_s = self._steady()
        since_s, since_note_s = now_s - self._last_save, now_s - max(self._last_save, self._last_note)
        if since_s >= max(self._options.checkpoint_s, CHECKPOINT_SHARE * self.vitals.checkpoint_s):
            self._save()
        elif self.vitals.checkpoint_trouble is None and (
            self._step_rows >= NOTE_ROWS or len(self._outbox) > self._saved_outbox
        ):
            if not self._whole:
                if since_note_s >= max(self._options.incident_note_s, NOTE_SHARE * self.vitals.note_s):
                    self._note()
            elif since_s >= max(self._options.incident_note_s, NOTE_SHARE * self.vitals.checkpoint_s):
                self._save()

    def _note(self) -> None:
        """Add what happened to the last checkpoint; where that fails, say so."""
        began = self._last_note = self._steady()
        try:
            self._checkpoints.note(self._steps, self._document())
        except LonetreeError as error:
            self._in_trouble(error)
            return
        self._settled()
        self.vitals.notes += 1
        self.vitals.note_s = self._steady() - began

    def _document(self) -> dict[str, Any]:
        """What a note replaces in the document of its checkpoint."""
        return {
            "cursors": self._cursors,
            "counters": {name: getattr(self.vitals, name) for name in KEPT},
            **self._engine.marks(),
        }

    def _in_trouble(self, error: LonetreeError) -> None:
        if self.vitals.checkpoint_trouble is None:
            _log.error("%s", terminal(str(error)))
        self.vitals.checkpoint_trouble = error.received or error.message

    def _settled(self) -> None:
        """All that happened is on disk."""
        self._steps, self._step_rows = [], 0
        self._saved_outbox = len(self._outbox)

    def _save(self) -> bool:
        """Write a checkpoint; where that fails, say so and keep the old one."""
        began = self._last_save = self._steady()
        try:
            for parts in self._parts().values():
                parts.flush(began)
            tables = self._engine.snapshot()
            numbers = {}
            for name, parts in self._parts().items():
                numbers[name], tables[f"parts/{name}"] = parts.snapshot()
            size = self._checkpoints.save(
                tables,
                {
                    "job": self._job,
                    "saved": self._clock().isoformat(),
                    "model_version": self.vitals.model_version,
                    "outbox": self._outbox,
                    "open": self._told.open_ids,
                    "closed": self._told.closed_ids,
                    "parts": numbers,
                    **self._document(),
                },
            )
        except LonetreeError as error:
            self._in_trouble(error)
            return False
        self._dirty = self._whole = False
        self.vitals.checkpoint_trouble = None
        self.vitals.checkpoints += 1
        self.vitals.checkpoint_bytes, self.vitals.checkpoint_s = size, self._steady() - began
        self._settled()
        given_back()
        for name, source in self._sources.items():
            if name in self._cursors:
                try:
                    source.commit(self._cursors[name])
                except SourceError as error:  # the checkpoint has it; a broker that doesn't know only shows more lag
                    _log.warning("source %s: %s", name, terminal(str(error)))
        return True

    def _deliver(self) -> None:
        """Hand the saved incidents to the sinks."""
        ready = self._outbox[: self._saved_outbox]
        if not ready:
            return
        try:
            self._sinks.send(ready)
        except LonetreeError as error:
            _log.warning("incidents wait: %s", terminal(str(error)))
            return
        del self._outbox[: self._saved_outbox]
        self._saved_outbox = 0
        self._dirty = True

    def _flush(self) -> None:
        for parts in self._parts().values():
            try:
                parts.flush(self._steady(), whole=True)
            except LonetreeError as error:  # noqa: PERF203 - two at most, and each fails alone
                _log.error("%s", terminal(str(error)))

    def _parts(self) -> dict[str, PartFiles]:
        return {"dead": self._dead} | ({"verdicts": self._verdicts} if self._verdicts is not None else {})

    def _restore(self, saved: Saved, judging: Judging) -> None:
        document, now_s = saved.document, self._steady()
        self._engine.restore(saved.tables, saved.marks, other_model=document["model_version"] != judging.version)
        self._cursors = {name: cursor for name, cursor in document["cursors"].items() if name in self._sources}
        self._outbox = list(document["outbox"])
        self._told = Told(document["open"], document.get("closed", ()))
        for name, parts in self._parts().items():
            if name in document["parts"]:
                parts.restore(document["parts"][name], saved.tables[f"parts/{name}"], now_s)
        for step in saved.steps:
            if step.rows is None:
                self._take(self._engine.advance_to(step.watermark_us))
            elif step.kind == "rows":
                self._engine.again(step.rows)
            else:
                self._dead.add(step.rows, now_s)
        self._engine.mark(document)
        self._saved_outbox = len(self._outbox)
        for name, count in document["counters"].items():
            setattr(self.vitals, name, int(count))

    def _close(self) -> None:
        for name, source in self._sources.items():
            try:
                source.close()
            except Exception as error:  # noqa: PERF203 - what one client says on leaving must not hide the others
                _log.warning("source %s did not close: %s", name, type(error).__name__)
        self._sinks.close()
        self._checkpoints.close()
        self._look()

    # ------------------------------------------------------------------ seeing it
    def _look_for_blind_spots(self, counts: Mapping[str, int], now_s: float) -> None:
        """Say once of each kind what the logs don't show, as soon as enough of them came."""
        vitals = self.vitals
        if not vitals.scored:
            self._blind_since = now_s
        waited_s = now_s - self._blind_since
        enough = vitals.scored >= BLIND_ROWS or waited_s >= BLIND_S
        if not enough or (vitals.blind_spots is not None and now_s - self._blind_look < _BLIND_EVERY_S):
            return
        self._blind_look = now_s
        before = {kind_of(spot) for spot in vitals.blind_spots or ()}
        vitals.blind_spots = blind_spots(coverage_of(counts))
        for spot in vitals.blind_spots:
            if kind_of(spot) not in before:
                _log.warning("not in these logs: %s", spot)

    def _look(self) -> None:
        vitals, engine, now_s = self.vitals, self._engine, self._steady()
        counts = engine.counts()
        vitals.scored, vitals.duplicates = counts.get("invocations", 0), counts.get("duplicates", 0)
        vitals.late, vitals.pending = counts["late"], engine.pending()
        if engine.watermark_us > START and not engine.ended:
            vitals.watermark_us = engine.watermark_us
            vitals.lag_s = (microseconds(self._clock()) - engine.watermark_us) / 1e6
        vitals.standing_s = self._standing.take(now_s, engine.watermark_us, vitals.pending > 0)
        vitals.events_per_second = self._rate.take(now_s, vitals.read)
        vitals.cursors = {name: place_of(cursor) for name, cursor in self._cursors.items()}
        vitals.positions = {name: position_of(cursor) for name, cursor in self._cursors.items()}
        self._look_for_blind_spots(counts, now_s)
        vitals.sinks = self._sinks.status()
        vitals.sinks_down_s = self._sinks_down.take(now_s, [sink.name for sink in vitals.sinks if sink.failures])
        vitals.sources_down_s = self._sources_down.take(now_s, self._stuck)


def kind_of(spot: str) -> str:
    """A blind spot without its numbers."""
    return spot.partition(" of ")[2]


def _rehearsed(judging: Judging) -> None:
    try:
        rehearse(judging.plan)
    except Exception as error:  # what made-up rows stumble over must not keep real ones from being judged
        _log.warning("the rehearsal failed: %s: %s", type(error).__name__, terminal(str(error)))


def _former(champion: Champion, judging: Judging, saved: Saved) -> Judging:
    """Who is to take the noted steps again: the version that took them first, so that they end as they did."""
    former = str(saved.document["model_version"])
    if not saved.steps or former == judging.version:
        return judging
    try:
        return champion.load(former)
    except LonetreeError as error:
        _log.warning("%s takes the last steps of %s again: %s", judging.version, former, terminal(str(error)))
        return judging


def refuse_ended(saved: Saved | None) -> None:
    """Refuse to go on from a state whose end was reached.

    Raises:
        InputError: it was.
    """
    if saved is not None and saved.document["ended"]:
        raise InputError(
            "This job has ended, all its logs are judged.",
            expected="a new state folder, or that of a job that was stopped",
            received="the state of a job that ran with --until-idle",
            hint="Choose another --state.",
        )
