"""Rows on their way into stories: what stories take from them is worked out once for all rows that stand together."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cached_property
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from detectors.blame import SLOW, told_by
from detectors.features import FEATURE_NAMES, FEATURES
from detectors.function_features import SILENCE_P_VALUE, failures, refusals, slots
from detectors.function_kernel import BY_HOSTS, NEW_FOR_US
from detectors.signatures import SIGNATURES, signature_kinds
from detectors.story import MICRO, SPAN_US, Story
from detectors.texts import is_text
from models.baselines import BY_MESSAGE, US

Vector = npt.NDArray[Any]

#: invocation ids listed with an incident
MAX_IDS: Final = 1000
#: names of functions, callers and the like kept for a story
MAX_NAMES: Final = 5000
#: durations kept for the median
MAX_DURATIONS: Final = 1001
#: paths kept as examples
MAX_PATHS: Final = 5
#: bool[len(FEATURES)]: of these the larger value is the stranger one
_GROWS: Final = np.array(
    [
        (feature.unit == "count" and feature.name != "fewer_calls")
        or feature.name
        in (
            *("duration_high", "duration_record", "latency_shift", "caller_slow_here"),
            *("cost_hour", "cost_days", "off_schedule"),
        )
        for feature in FEATURES
    ]
)
#: surprise from which on a person asks how much it came to, and no more how seldom that is
_QUOTED: Final = 3.0
#: columns whose values a story counts
_NAMES: Final = (
    *("app", "function", "caller", "caller_source", "country", "trigger", "trigger_source", "exception_type"),
    *("came_from", "method"),
)
#: of these, those that are told of whom the story is about
_OF_ITS_OWN: Final = ("country", "came_from", "method")
_DURATION_AT: Final = FEATURE_NAMES.index("duration_high")
_UNBORN: Final = FEATURE_NAMES.index("new_function")
_LONG: Final = tuple(FEATURE_NAMES.index(name) for name in ("duration_high", "duration_record", "time_limit"))
#: that a caller is new, where it is new everywhere, s; and the share of the score that makes it all there is to tell
_ARRIVAL: Final = tuple(FEATURE_NAMES.index(name) for name in ("caller_new", "caller_new_to_function"))
_NEW_FOR_S: Final = NEW_FOR_US / US
_NEARLY_ALL: Final = 0.9
#: that hardly anybody calls from a country, and all that tells no more than this and that who calls is new
_FOREIGN: Final = [FEATURE_NAMES.index(name) for name in ("country_rare_here", "country_new")]
_NEWNESS: Final = [
    FEATURE_NAMES.index(f.name) for f in FEATURES if f.family in ("novelty", "reach") and f.counted
] + _FOREIGN
#: surprise from which on hardly anybody calls from a country
_AFAR: Final = 1.5
#: share of the score from which on what is strange is part of it
PART_OF_IT: Final = 0.2
#: the code of a value that is null
_NONE: Final = -1


class _Coded:
    """A column as codes, int64[n] with ``_NONE`` for null, and the text of each code."""

    def __init__(self, column: pa.Array, text: Callable[[Any], str] = str) -> None:
        encoded = column if pa.types.is_dictionary(column.type) else column.dictionary_encode()
        self.codes: Vector = np.asarray(encoded.indices.fill_null(_NONE)).astype(np.int64)
        self.texts = [text(value) for value in encoded.dictionary.to_pylist()]

    def found(self, codes: Vector) -> tuple[Vector, Vector]:
        """The codes that occur in some, in the order in which they come first, and how often each does."""
        codes = codes[codes >= 0]
        if len(codes) * 2 > len(self.texts):
            counts = np.bincount(codes, minlength=len(self.texts))
            here = np.flatnonzero(counts)
            if len(here) <= 1:
                return here, counts[here]
            first = np.empty(len(self.texts), np.int64)
            first[codes[::-1]] = np.arange(len(codes))[::-1]
            here = here[np.argsort(first[here])]
            return here, counts[here]
        here, first, counts = np.unique(codes, return_index=True, return_counts=True)
        order = np.argsort(first)
        return here[order], counts[order]


class StoryRows:
    """RAISED rows, those of a story side by side and sorted by time.

    Args:
        rows: n rows, at least one.
        score: float64[n], as it counts for opening its incident.
    """

    def __init__(self, rows: pa.RecordBatch, score: Vector) -> None:
        self.rows, self.score = rows, score
        self.at: Vector = np.asarray(rows.column("at"))
        self.begun: Vector = np.asarray(rows.column("event_time").cast(pa.int64()))
        self.weight = self._filled("item_count", 0)
        self.silent: Vector = np.asarray(rows.column("signal").is_valid())
        self.failed = failures(rows.column("succeeded")) > 0
        self.refused = refusals(rows.column("status")) > 0
        self.age_us = self._filled("pair_age_us", -1)
        self.aged: Vector = np.asarray(rows.column("pair_age_us").is_valid())
        self.late: Vector = np.asarray(rows.column("late"))
        self.ran: Vector = np.asarray(rows.column("duration_ms").is_valid())
        self.duration_ms = self._filled("duration_ms", 0.0)
        self.deployed_us = self._filled("deployed_us", -1)
        self.p_value: Vector = np.asarray(rows.column("p_value"))
        self.pointing: Vector = np.asarray(rows.column("by_caller").fill_null(False))
        self.caller_key = self._filled("caller_key", 0)

    def _filled(self, name: str, value: float) -> Vector:
        column: Vector = np.asarray(self.rows.column(name).fill_null(value))
        return column

    @cached_property
    def names(self) -> dict[str, _Coded]:
        """The columns that are counted."""
        found = {name: _Coded(self.rows.column(name)) for name in _NAMES}
        where = pc.binary_join_element_wise(self.rows.column("app"), self.rows.column("function"), "\x1f")
        return found | {"where": _Coded(where), "status": _Coded(self.rows.column("status"))}

    @cached_property
    def attacks(self) -> Vector:
        """int8[n], as ``signature_kinds``."""
        return np.asarray(signature_kinds(self.rows.column("path")))

    @cached_property
    def fired(self) -> Vector:
        """Which were fired by messages, bool[n]."""
        return is_text(self.rows.column("trigger"), *BY_MESSAGE)

    @cached_property
    def touched(self) -> Vector:
        """Which may be what somebody else's doing touches: fired by a message, or slow, bool[n]."""
        trouble = np.asarray(self.rows.column("trouble").fill_null(-1))
        touched: Vector = self.fired | (told_by(trouble) == SLOW)
        return touched

    @cached_property
    def long(self) -> Vector:
        """Surprise of run times beyond the usual, float64[n]."""
        long: Vector = self.matrices[1][:, _LONG].max(axis=1)
        return long

    @cached_property
    def matrices(self) -> tuple[Vector, Vector, Vector, Vector]:
        """Shares, surprise, values and typical values, float64[n, len(FEATURES)]; of a silence they mean nothing."""
        share, surprise, value, typical = (
            slots(self.rows.column(name)) for name in ("share", "surprise", "value", "typical")
        )
        return share, surprise, value, typical


def part_of_the_score(rows: pa.RecordBatch, features: Sequence[int]) -> Vector:
    """Share of the score of RAISED rows that is these features', float64[n]."""
    share: Vector = slots(rows.column("share"))[:, features].sum(axis=1)
    return share


def newcomers(rows: pa.RecordBatch) -> Vector:
    """Which RAISED rows tell no more than that their caller is new, bool[n]: a customer's first calls are that, too."""
    value = slots(rows.column("value"))
    nothing_else: Vector = part_of_the_score(rows, _ARRIVAL) >= _NEARLY_ALL
    return nothing_else & (value[:, _ARRIVAL[0]] < _NEW_FOR_S)


def visitors(rows: pa.RecordBatch) -> Vector:
    """Which RAISED rows tell no more than that their caller is new and from where hardly anybody calls, bool[n]."""
    abroad = part_of_the_score(rows, _FOREIGN) >= PART_OF_IT
    visits: Vector = abroad & (part_of_the_score(rows, _NEWNESS) >= _NEARLY_ALL)
    return visits


def add_rows(story: Story, rows: StoryRows, begin: int, end: int) -> None:
    """Take the rows from ``begin`` to before ``end``, at least one, into a story."""
    here = slice(begin, end)
    n = end - begin
    at, weight, silent = rows.at[here], rows.weight[here], rows.silent[here]
    story.first_us, story.last_us = min(story.first_us, int(at[0])), max(story.last_us, int(at[-1]))
    if not silent.all():
        begun = int(rows.begun[here][~silent].min())
        story.begun_us = begun if story.begun_us < 0 else min(story.begun_us, begun)
    counted = rows.score[here]
    story.rows += n
    story.invocations += int(weight.sum())
    story.failed += int(weight[rows.failed[here]].sum())
    story.refused += int(weight[rows.refused[here]].sum())
    story.new_callers += int((rows.age_us[here] == 0).sum())
    story.late += int(rows.late[here].sum())
    story.sampled += int((weight > 1).sum())
    durations = rows.duration_ms[here][rows.ran[here]]
    story.run_ms += int(np.rint(durations).sum())
    story.max_ms = max(story.max_ms, float(durations.max(initial=0.0)))
    story.durations += durations[: MAX_DURATIONS - len(story.durations)].tolist()
    _keep_examples(story, rows.rows.slice(begin, n), silent)
    deployed = rows.deployed_us[here]
    if story.deployed_us == -1 and (deployed != -1).any():
        first = int(np.argmax(deployed != -1))
        story.deployed_us, story.undeployed = int(deployed[first]), story.rows - n + first
        if story.deployed_us <= BY_HOSTS:
            # that hosts were replaced is known only minutes after: the story may have begun in between
            ago = BY_HOSTS - story.deployed_us - (int(at[first]) - story.first_us)
            story.deployed_us, story.undeployed = (BY_HOSTS - ago, 0) if ago >= 0 else (-1, 0)
    peak = int(np.argmax(counted))
    if counted[peak] > story.score:
        story.score, story.p_value = float(counted[peak]), float(rows.p_value[begin + peak])
    # what a caller did is told by its own calls, not by those that its doing touched
    own = _own(story, rows, here)
    _add_features(story, rows, begin, end, silent | (rows.touched[here] & ~own))
    for i in np.flatnonzero(silent).tolist():
        _add_silence(story, rows.rows, begin + i)
    for i, mask in enumerate((True, rows.failed[here], rows.refused[here])):
        story.beside[i] += int(weight[~own & mask].sum())
    for name in _NAMES:
        _count(story.counts.setdefault(name, {}), rows.names[name], here, own if name in _OF_ITS_OWN else None)
    callers = rows.names["caller"]
    _count(story.counts.setdefault("pointed", {}), callers, here, rows.pointing[here])
    _age(story.counts.setdefault("age", {}), callers, rows, here)
    _spans(story.counts.setdefault("span", {}), at, np.where(silent, 0, weight))
    where = rows.names["where"]
    _count(story.counts.setdefault("where", {}), where, here)
    _weigh(story.counts.setdefault("strange", {}), where, here, counted)
    _weigh(story.counts.setdefault("long", {}), where, here, rows.long[here])
    _count(story.counts.setdefault("status", {}), rows.names["status"], here, own, weight)
    _count(story.counts.setdefault("any_status", {}), rows.names["status"], here, weight=weight)
    unborn = (rows.matrices[1][here, _UNBORN] > 0.0) & ~silent
    _count(story.counts.setdefault("unborn", {}), where, here, unborn)
    fresh = own & ~silent & rows.aged[here] & (rows.age_us[here] < NEW_FOR_US)
    _count(story.counts.setdefault("fresh", {}), where, here, fresh, weight)
    afar = (rows.matrices[1][here][:, _FOREIGN].max(axis=1) >= _AFAR) & ~silent
    _count(story.counts.setdefault("afar", {}), rows.names["country"], here, afar, weight)
    found = rows.attacks[here]
    for kind in np.unique(found[found > 0]).tolist():
        signatures = story.counts.setdefault("signature", {})
        signatures[SIGNATURES[kind]] = signatures.get(SIGNATURES[kind], 0) + int((found == kind).sum())


def _own(story: Story, rows: StoryRows, here: slice) -> Vector:
    """Which rows are the doing of whom the story is told of, bool[n]; all of them where that is a function."""
    if story.lead == "function":
        return np.ones(here.stop - here.start, np.bool_)
    own: Vector = rows.caller_key[here] == np.uint64(story.keys[1])
    # what comes from several places at once, or of callers who are new one after the other, is one story of all of them
    return own | rows.pointing[here] if story.lead == "place" or story.joined else own


def _keep_examples(story: Story, rows: pa.RecordBatch, silent: Vector) -> None:
    """The first ids and paths."""
    if len(story.ids) < MAX_IDS:
        ids = rows.column("invocation_id")
        ids = ids.filter(pa.array(~silent)) if silent.any() else ids
        story.ids += ids.slice(0, MAX_IDS - len(story.ids)).to_pylist()
    if len(story.paths) < MAX_PATHS:
        story.paths += rows.column("path").drop_null().slice(0, MAX_PATHS - len(story.paths)).to_pylist()


def _add_features(story: Story, rows: StoryRows, begin: int, end: int, apart: Vector) -> None:
    """What the features of the rows say, but for silences and what a caller's flood touches."""
    if apart.all():
        return
    shares, surprise, value, typical = (matrix[begin:end] for matrix in rows.matrices)
    score = rows.score[begin:end]
    if apart.any():
        shares, surprise, value, typical, score = (m[~apart] for m in (shares, surprise, value, typical, score))
    # whole numbers add up to the same sum in any cut
    added = np.rint(shares * np.minimum(score, 1e6)[:, None] * MICRO).astype(np.int64).sum(axis=0)
    story.shares = (np.array(story.shares) + added).tolist()
    # of what is strange enough that is told which lies farthest beyond the usual; in whole or in parts, it is the same
    quoted, beyond = _rank(surprise, value, typical)
    best, every = np.where(quoted == quoted.max(axis=0), beyond, -np.inf).argmax(axis=0), np.arange(len(FEATURE_NAMES))
    known, told = _rank(*(np.array(numbers) for numbers in (story.surprise, story.value, story.typical)))
    found = quoted[best, every]
    farther = (found > 0.0) & (found == known) & (beyond[best, every] > told)
    for j in np.flatnonzero((found > known) | farther).tolist():
        story.value[j], story.typical[j] = float(value[best[j], j]), float(typical[best[j], j])
    story.surprise = np.maximum(story.surprise, surprise.max(axis=0)).tolist()
    story.slow += int((surprise[:, _DURATION_AT] > 1.0).sum())


def _rank(surprise: Vector, value: Vector, typical: Vector) -> tuple[Vector, Vector]:
    """What tells which value is told: how surprising it is, up to where that is enough, then how far it has grown."""
    quoted = np.where(_GROWS, np.minimum(surprise, _QUOTED), surprise)
    return quoted, np.where(_GROWS, value - np.nan_to_num(typical), 0.0)


def _add_silence(story: Story, rows: pa.RecordBatch, i: int) -> None:
    """A function that says nothing."""
    name = f"{rows.column('app')[i]}\x1f{rows.column('function')[i]}"
    since, per_hour = int(rows.column("since")[i].as_py()), float(rows.column("per_hour")[i].as_py())
    told = [("silent", rows.column("at")[i].as_py()), ("since", since), ("per_hour", per_hour * MICRO)]
    promised, follows = rows.column("promised")[i].as_py(), rows.column("follows")[i].as_py()
    owed = story.counts.setdefault("promised", {})
    if follows is None:
        # what says nothing at all is told as that
        owed.pop(name, None)
    elif name in owed or name not in story.hushed():
        told += [("came", rows.column("runs")[i].as_py() * MICRO), ("promised", promised * MICRO)]
        story.counts.setdefault("follows", {})[f"{name}\x1f{follows}"] = 1
    for what, number in told:
        # what falls silent again has spoken meanwhile
        story.counts.setdefault(what, {})[name] = round(number)
    story.since_us = since
    story.p_value = min(story.p_value, SILENCE_P_VALUE)


def _count(
    counts: dict[str, int],
    column: _Coded,
    here: slice,
    where: Vector | None = None,
    weight: Vector | None = None,
) -> None:
    """Add up how often each value occurs; with weights, how many invocations have it."""
    codes = column.codes[here] if where is None else column.codes[here][where]
    found, often = column.found(codes)
    if weight is not None:
        kept = weight if where is None else weight[where]
        often = np.bincount(codes[codes >= 0], kept[codes >= 0], len(column.texts))[found].astype(np.int64)
    _add(counts, [column.texts[code] for code in found.tolist()], often)


def _weigh(counts: dict[str, int], column: _Coded, here: slice, score: Vector) -> None:
    """Add up how strange each value's rows are: one that is twice as strange weighs as much as four."""
    named = column.codes[here] >= 0
    codes, first, place = np.unique(column.codes[here][named], return_index=True, return_inverse=True)
    heavy = np.bincount(place.reshape(-1), np.rint(np.square(np.minimum(score[named], 1e6))), len(codes))
    order = np.argsort(first)
    _add(counts, [column.texts[code] for code in codes[order].tolist()], heavy[order].astype(np.int64))


def _add(counts: dict[str, int], names: list[str], often: Vector) -> None:
    """Add to the counts of names; a story of very many forgets none that it already has."""
    for name, n in zip(names, often.tolist(), strict=True):
        if name in counts or len(counts) < MAX_NAMES:
            counts[name] = counts.get(name, 0) + n


def _spans(counts: dict[str, int], at: Vector, weight: Vector) -> None:
    """Add up the invocations of each span of time."""
    span, place = np.unique(at // SPAN_US, return_inverse=True)
    _add(counts, list(map(str, span.tolist())), np.bincount(place, weight).astype(np.int64))


def _age(ages: dict[str, int], callers: _Coded, rows: StoryRows, here: slice) -> None:
    """The longest time, s, for which each caller has been known to one of the functions."""
    known = rows.aged[here] & (callers.codes[here] >= 0)
    codes, age_us = callers.codes[here][known], rows.age_us[here][known]
    found, _often = callers.found(codes)
    if not len(found):
        return
    order = np.argsort(codes, kind="stable")
    begins = np.r_[0, np.flatnonzero(np.diff(codes[order])) + 1]
    longest = dict(zip(codes[order][begins].tolist(), np.maximum.reduceat(age_us[order], begins).tolist(), strict=True))
    for code in found.tolist():
        name, age = callers.texts[code], longest[code] // US
        if name in ages or len(ages) < MAX_NAMES:
            ages[name] = max(ages.get(name, 0), age)
