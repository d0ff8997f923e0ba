"""A story: what is known of strange invocations that belong together, and the evidence that it gives."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from detectors.evidence import Evidence, Silence
from detectors.features import FEATURE_NAMES, FEATURES
from detectors.function_features import from_matrix
from detectors.schema import CALLER_CONFIDENCE
from detectors.signatures import SIGNATURES, signature_kinds
from detectors.stories import ALONE, CALLER_GAP_US, FEW_EVENTS, GAP_US, VAGUE_GAP_US
from models.baselines import US

Vector = npt.NDArray[Any]

#: invocation ids listed with an incident
MAX_IDS: Final = 1000
#: names of functions, callers and the like kept for a story, and shown
MAX_NAMES: Final = 5000
SHOWN_NAMES: Final = 50
#: durations kept for the median
MAX_DURATIONS: Final = 1001
#: bool[len(FEATURES)]: of these the larger value is the stranger one
_COUNTS: Final = np.array([feature.unit == "count" for feature in FEATURES])
#: calls of a bystander for which one counts that points at its caller
POINTING: Final = 10
#: shares of scores are added up in millionths, as integers, so that the sum does not depend on how rows are cut
MICRO: Final = 1_000_000


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


def story_text(story: Story) -> str:
    """A story as JSON, without what is not known of it yet."""
    return json.dumps({name: v for name, v in story.__dict__.items() if v != _NOTHING_KNOWN.get(name)}, sort_keys=True)


def add_rows(story: Story, rows: pa.RecordBatch, score: Vector) -> None:
    """Take rows (sorted by time) into a story."""
    at = np.asarray(rows.column("at"))
    weight = np.asarray(rows.column("item_count").fill_null(0))
    silent = np.asarray(rows.column("signal").is_valid())
    story.first_us, story.last_us = min(story.first_us, int(at[0])), max(story.last_us, int(at[-1]))
    # as it counts for opening: one call may be a freak
    few = np.maximum(FEW_EVENTS - story.rows - 1 - np.arange(rows.num_rows), 0)
    counted = score * (1.0 - ALONE * np.where(silent, 0, few))
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
    peak = int(np.argmax(counted))
    if counted[peak] > story.score:
        story.score, story.p_value = float(counted[peak]), float(rows.column("p_value")[peak].as_py())
    heard = np.flatnonzero(~silent)
    if len(heard):
        # most stories are not of silence, and their matrices are read where they are
        said = rows if len(heard) == rows.num_rows else rows.filter(pa.array(~silent))
        shares, surprise = from_matrix(said.column("share")), from_matrix(said.column("surprise"))
        value, typical = from_matrix(said.column("value")), from_matrix(said.column("typical"))
        # whole numbers add up to the same sum in any cut
        added = np.rint(shares * np.minimum(score[heard], 1e6)[:, None] * MICRO).astype(np.int64).sum(axis=0)
        story.shares = (np.array(story.shares) + added).tolist()
        # surprise has an upper end; of counts that reach it, the largest is told
        most = np.where(surprise == surprise.max(axis=0), np.where(_COUNTS, value, 0.0), -np.inf)
        best, every = most.argmax(axis=0), np.arange(len(FEATURE_NAMES))
        found, known = surprise[best, every], np.array(story.surprise)
        more = _COUNTS & (found > 0.0) & (found == known) & (value[best, every] > np.array(story.value))
        for j in np.flatnonzero((found > known) | more).tolist():
            story.surprise[j] = float(found[j])
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


def evidence_of(story: Story) -> Evidence:
    """What the catalogue and the sentences are made from."""
    counts = {name: Counter(found) for name, found in story.counts.items()}
    total = max(sum(story.shares), 1)
    where: list[tuple[str, str, int]] = []
    for name, n in sorted(counts.get("where", Counter()).items(), key=lambda i: (-i[1], i[0])):
        app, _, function = name.partition("\x1f")
        where.append((app, function, n))
    callers = [(name, counts["caller"][name]) for name in callers_of(counts)]
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
        apps=tuple(top(counts.get("app", {}))),
        functions=tuple(where[:SHOWN_NAMES]),
        callers=tuple((c, c.split(":", 1)[0], n) for c, n in callers[:SHOWN_NAMES]),
        distinct_callers=len(callers),
        new_callers=story.new_callers,
        countries=tuple(sorted(counts.get("country", Counter()).items(), key=lambda i: (-i[1], i[0]))[:SHOWN_NAMES]),
        triggers=tuple(top(counts.get("trigger", {}))),
        sources=tuple(top(counts.get("trigger_source", {}))),
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
        exception_types=tuple(top(counts.get("exception_type", {}))),
        signatures=tuple(top(counts.get("signature", {}))),
        paths=tuple(story.paths[:5]),
        sampled=story.sampled > 0,
        caller_confidence=CALLER_CONFIDENCE.get(callers[0][0].split(":", 1)[0], 0.0) if callers else 0.0,
        caller_age_s=None if age is None else float(age),
        late=story.late,
        revision=story.revision,
    )


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


def callers_of(counts: Mapping[str, Mapping[str, int]]) -> list[str]:
    """The callers, those who carry most of it first: a call that points at its caller counts for several."""
    pointed = counts.get("pointed", {})
    weight = {name: n + (POINTING - 1) * pointed.get(name, 0) for name, n in counts.get("caller", {}).items()}
    return [name for name, _ in sorted(weight.items(), key=lambda item: (-item[1], item[0])) if name]


def top(counts: Mapping[str, int]) -> list[str]:
    """Names, most frequent first; ties by name."""
    return [n for n, _ in sorted(counts.items(), key=lambda item: (-item[1], item[0]))[:SHOWN_NAMES] if n]
