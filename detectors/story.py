"""A story: what is known of strange invocations that belong together, and the evidence that it gives."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

import numpy.typing as npt

from detectors.catalogue.kind import CROWD
from detectors.evidence import Evidence, Missing, Silence
from detectors.features import FEATURE_NAMES
from detectors.function_kernel import BY_HOSTS
from detectors.schema import CALLER_CONFIDENCE
from detectors.stories import CALLER_GAP_US, GAP_US, LEADS, SILENT_GAP_US
from models.baselines import HOUR_US

Vector = npt.NDArray[Any]

#: names of functions, callers and the like shown
SHOWN_NAMES: Final = 50
#: share of a story's rows that may come before a new version that it is laid to
BEFORE_A_VERSION: Final = 0.1
#: invocations are counted by spans of five minutes, to tell in which time so large a share of them came
SPAN_US: Final = 300_000_000
CORE_SHARE: Final = 0.8
#: part of its time in which a story begins, and spans from which on that part tells something
BEGINNING: Final = 0.25
LONG_SPANS: Final = 48
#: shares of scores and rates are kept in millionths, as integers, so that sums do not depend on how rows are cut
MICRO: Final = 1_000_000
#: calls of a bystander for which one counts that points at its caller
POINTING: Final = 10


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
    #: when the first of its invocations began; -1 before any is known. ``first_us`` and ``last_us`` are ends of runs
    begun_us: int = -1
    #: when its own first row came, us, which ``first_us`` is no more once one that began sooner has joined it
    started_us: int = -1
    #: place of the first row that still waited when it opened
    let_go: int = 0
    rows: int = 0
    #: of these, those of others that a caller's doing touched: invocations, failed, refused
    beside: list[int] = field(default_factory=lambda: [0, 0, 0])
    #: late rows that joined it, the watermark up to which it waits for more, and how often they opened it again
    amending: int = 0
    amended_us: int = -1
    reopened: int = 0
    #: how often all that was silent had come back
    came_back: int = 0
    #: it opened with a call of one who was new at the function
    arrived: bool = False
    #: or with one whose load or pace was strange
    floods: bool = False
    #: or with a visitor from a country that is news: its hash; or with runs that do not come: that of their app; else 0
    land: int = 0
    #: or with one that was refused as others may be there
    sprays: bool = False
    #: since it opened it has told of more than visitors; and when load or pace was strange last, us. What comes late
    #: changes neither
    beyond: bool = False
    flooded_us: int = -1
    #: of each story that joined it: number, hashes as in ``keys``, and as ``land``, when it did, us, places in LEADS
    #: and in TROUBLES, whether it floods, and whether it sprays
    joined: list[list[int]] = field(default_factory=list)
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
    #: rows that came before the first that knew of a new version
    undeployed: int = 0
    #: last event before the silence that was told last
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
    def begins_us(self) -> int:
        """When the first of what it is about began."""
        return self.first_us if self.begun_us < 0 else min(self.first_us, self.begun_us)

    @property
    def revision(self) -> int:
        """Grows each time the story, or what came late for it, has doubled.

        The telling of its end is one further (``pipelines.engine.telling``), so one that goes on is two further.
        """
        return self.rows.bit_length() + self.amending.bit_length() + 2 * self.reopened + self.came_back

    def speaks(self, function: str, at_us: int) -> None:
        """One of its functions, by app and name, was heard of again."""
        spoke = self.counts.setdefault("spoke", {})
        spoke[function] = max(at_us, spoke.get(function, -1))
        self.came_back += self.back_us >= 0

    @property
    def back_us(self) -> int:
        """When the last of the functions that were silent was heard of again, us; -1 while one is silent."""
        return -1 if self.hushed() else max(self.counts.get("spoke", {}).values(), default=-1)

    def hushed(self) -> list[str]:
        """Its functions, by app and name, that are still silent."""
        spoke = self.counts.get("spoke", {})
        return [name for name, at_us in self.counts.get("silent", {}).items() if spoke.get(name, -1) < at_us]

    @property
    def ends_us(self) -> int:
        """The last watermark at which it is open."""
        gap = GAP_US if self.lead == "function" else CALLER_GAP_US
        if self.since_us >= 0:
            gap = SILENT_GAP_US
        return max(self.last_us + gap, self.amended_us)


#: numbers that earlier versions saved of each story that joined another: number, hashes and when; as what; from where
_WHO_JOINED, _AS_WHAT, _FROM_WHERE = 5, 8, 9
#: where the land stands in it
_LAND: Final = 4
#: what a story says of itself before anything is known
_NOTHING_KNOWN: Final = {n: v for n, v in Story("", "", 0, 0).__dict__.items() if n not in ("first_us", "last_us")}


def story_text(story: Story) -> str:
    """A story as JSON, without what is not known of it yet."""
    return json.dumps({name: v for name, v in story.__dict__.items() if v != _NOTHING_KNOWN.get(name)}, sort_keys=True)


def story_of(text: str) -> Story:
    """A story from JSON; what another version knew besides is passed over."""
    story = Story(**{name: value for name, value in json.loads(text).items() if name in Story.__dataclass_fields__})
    story.joined = [_as_saved_now(one, story) for one in story.joined]
    return story


def _as_saved_now(joined: list[int], host: Story) -> list[int]:
    """What is known of a story that joined another; what an earlier version did not save is as of the host, or 0."""
    if len(joined) == _WHO_JOINED:
        joined = [*joined, LEADS.index(host.lead), host.trouble, 0]
    if len(joined) == _AS_WHAT:
        joined = [*joined[:_LAND], 0, *joined[_LAND:]]
    return [*joined, 0] if len(joined) == _FROM_WHERE else joined


class Ended:
    """A story that has ended: its JSON is made once, when it is first saved, since most are never looked at again."""

    def __init__(self, kept: Story | str) -> None:
        self._kept = kept

    @property
    def text(self) -> str:
        """The story as JSON."""
        if isinstance(self._kept, Story):
            self._kept = story_text(self._kept)
        return self._kept

    def story(self) -> Story:
        """A copy of its own, that may go on."""
        return story_of(self.text)


def evidence_of(story: Story) -> Evidence:
    """What the catalogue and the sentences are made from."""
    counts = {name: Counter(found) for name, found in story.counts.items()}
    total = max(sum(story.shares), 1)
    where: list[tuple[str, str, int]] = []
    strange = counts.get("strange", Counter())
    for name, n in sorted(counts.get("where", Counter()).items(), key=lambda i: (-strange[i[0]], -i[1], i[0])):
        app, _, function = name.partition("\x1f")
        where.append((app, function, n))
    callers = [(name, counts["caller"][name]) for name in callers_of(counts)]
    age = story.counts.get("age", {}).get(callers[0][0]) if callers else None
    # many whom it befell are the story, not what one did; nor is what one began and a crowd made
    crowd = len(callers) >= CROWD and 2 * callers[0][1] < sum(n for _, n in callers)
    few = not crowd and POINTING * (story.invocations - story.beside[0]) >= story.beside[0]
    touched = story.beside if few else [0, 0, 0]
    statuses = "status" if touched is story.beside else "any_status"
    if hushed := story.hushed():
        where = [one for one in where if f"{one[0]}\x1f{one[1]}" in hushed]
    fresh = story.counts.get("fresh", {})
    durations = sorted(story.durations)
    usual = story.typical[FEATURE_NAMES.index("duration_high")]

    def named(values: list[float]) -> dict[str, float]:
        return {name: v for name, v, s in zip(FEATURE_NAMES, values, story.surprise, strict=True) if s > 0.0}

    return Evidence(
        lead="function" if story.lead == "function" else "caller",
        begun_us=story.begins_us,
        first_us=story.first_us,
        last_us=story.last_us,
        core_s=_core_s(story),
        opened_us=story.opened_us,
        invocations=story.invocations - touched[0],
        failed=story.failed - touched[1],
        refused=story.refused - touched[2],
        slow=story.slow,
        apps=tuple(top(counts.get("app", {}))),
        functions=tuple(where[:SHOWN_NAMES]),
        unborn=_places(counts.get("unborn", {})),
        fresh=tuple((*place, fresh["\x1f".join(place)]) for place in _places(fresh)),
        long_at=_places(counts.get("long", {})),
        callers=tuple((c, c.split(":", 1)[0], n) for c, n in callers[:SHOWN_NAMES]),
        distinct_callers=len(callers),
        new_callers=story.new_callers,
        countries=tuple(_ranked(counts.get("country", {}))),
        afar=tuple(_ranked(counts.get("afar", {}))),
        came_from=_came_from(counts.get("came_from", {}), counts.get("country", {})),
        methods=tuple(top(counts.get("method", {}))),
        early=_early(story),
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
        deployed_ago_s=_since_deployed_us(story) / 1e6 if _followed_a_version(story) else None,
        by_hosts=story.deployed_us <= BY_HOSTS,
        silence=_silence(story),
        missing=_missing(story),
        statuses={int(s): n for s, n in sorted(counts.get(statuses, Counter()).items())},
        exception_types=tuple(top(counts.get("exception_type", {}))),
        signatures=tuple(top(counts.get("signature", {}))),
        paths=tuple(story.paths[:5]),
        sampled=story.sampled > 0,
        caller_confidence=CALLER_CONFIDENCE.get(callers[0][0].split(":", 1)[0], 0.0) if callers else 0.0,
        caller_age_s=None if age is None else float(age),
        late=story.late,
        beside=touched[0],
        revision=story.revision,
    )


def _came_from(elsewhere: Mapping[str, int], here: Mapping[str, int]) -> str | None:
    """The country of the other calls, where it is a single one, and none of those of the story itself."""
    name = next(iter(elsewhere)) if len(elsewhere) == 1 else ""
    return name if name and name not in here else None


def _places(counts: Mapping[str, int]) -> tuple[tuple[str, str], ...]:
    """App and name of the functions that were counted, most frequent first."""
    parted = [name.partition("\x1f") for name in top({name: n for name, n in counts.items() if n})]
    return tuple((app, function) for app, _, function in parted)


def _silence(story: Story) -> Silence | None:
    """The silence of what is still silent; once that is nothing, the silences of all."""
    if story.since_us < 0:
        return None
    since, per_hour, spoke = (story.counts.get(name, {}) for name in ("since", "per_hour", "spoke"))
    told = _as_a_whole(story.hushed() or list(since))
    now, back_us = max(story.opened_us, story.last_us), story.back_us
    ends = {name: now if back_us < 0 else spoke[name] for name in told}
    missing = sum(per_hour.get(name, 0) * max(ends[name] - since.get(name, now), 0) for name in told)
    return Silence(
        sum(per_hour.get(name, 0) for name in told) / MICRO,
        min((since.get(name, story.since_us) for name in told), default=story.since_us),
        max(ends.values()) if back_us >= 0 else -1,
        missing / MICRO / HOUR_US,
        max((ends[name] - since.get(name, now) for name in told), default=-1),
        min((ends[name] - since.get(name, now) for name in told), default=-1),
    )


def _missing(story: Story) -> Missing | None:
    """Runs that others promised, where all that does not come is of that kind."""
    owed, came, since = (story.counts.get(name, {}) for name in ("promised", "came", "since"))
    told = story.hushed() or list(since)
    if not told or any(name not in owed for name in told):
        return None
    sources = [
        name for name in story.counts.get("follows", {}) if name.rpartition("\x1f")[0].rpartition("\x1f")[0] in told
    ]
    named = dict.fromkeys(tuple(name.split("\x1f")[-2:]) for name in sources)
    return Missing(
        sum(owed[name] for name in told) / MICRO,
        sum(came.get(name, 0) for name in told) / MICRO,
        min(since[name] for name in told),
        tuple((app, function) for app, function in named),
        story.back_us >= 0,
    )


def _as_a_whole(silent: list[str]) -> list[str]:
    """Functions, by app and name, and of an app that is silent as a whole only itself."""
    apps = {name.partition("\x1f")[0] for name in silent if name.endswith("\x1f")}
    return [name for name in silent if name.endswith("\x1f") or name.partition("\x1f")[0] not in apps]


def _followed_a_version(story: Story) -> bool:
    """Whether a version changed before nearly all of it: what goes on already is not of its making."""
    return story.deployed_us != -1 and story.undeployed <= BEFORE_A_VERSION * story.rows


def _since_deployed_us(story: Story) -> int:
    """From the change of version, or of hosts, to the story, us."""
    return BY_HOSTS - story.deployed_us if story.deployed_us <= BY_HOSTS else story.deployed_us


def _core_s(story: Story) -> float:
    """The shortest time, in whole spans, that holds most of the invocations, s; what comes later stretches it."""
    spans = sorted((int(span), n) for span, n in story.counts.get("span", {}).items() if n)
    wanted = CORE_SHARE * sum(n for _, n in spans)
    best, first, held = float("inf"), 0, 0
    for last, n in spans:
        held += n
        while held - spans[first][1] >= wanted:
            held -= spans[first][1]
            first += 1
        if held >= wanted:
            best = min(best, float(last - spans[first][0] + 1))
    return best * SPAN_US / 1e6 if spans else 0.0


def _early(story: Story) -> float:
    """Share of the invocations of a long story that came in the first quarter of its time."""
    spans = {int(span): n for span, n in story.counts.get("span", {}).items() if n}
    long = max(spans, default=0) - min(spans, default=0) + 1
    if long < LONG_SPANS:
        return 1.0
    until = min(spans) + BEGINNING * long
    return sum(n for span, n in spans.items() if span < until) / sum(spans.values())


def callers_of(counts: Mapping[str, Mapping[str, int]]) -> list[str]:
    """The callers, those who carry most of it first: a call that points at its caller counts for several."""
    pointed = counts.get("pointed", {})
    weight = {name: n + (POINTING - 1) * pointed.get(name, 0) for name, n in counts.get("caller", {}).items()}
    return [name for name, _ in sorted(weight.items(), key=lambda item: (-item[1], item[0])) if name]


def top(counts: Mapping[str, int]) -> list[str]:
    """Names, most frequent first; ties by name."""
    return [name for name, _ in _ranked(counts) if name]


def _ranked(counts: Mapping[str, int]) -> list[tuple[str, int]]:
    """Names with their counts, most frequent first; ties by name."""
    return sorted(counts.items(), key=lambda item: (-item[1], item[0]))[:SHOWN_NAMES]
