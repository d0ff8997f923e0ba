"""What is usual for each function: run times, error rates, rhythm, schedule; pooled where a function says too little.

A ``BaselineSketch`` counts in bounded memory, in any order, and can be merged; ``fit`` turns it into ``Baselines``:
plain arrays with a row a function, then a row a trigger cohort, which stands in for functions that are new or nearly.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from models.assured import HOURS, alarms, between_days, day_spread, lasting, smoothed
from models.hashing import hash_strings
from models.lived import HOLE_US, SATURDAY, THURSDAY, Lived
from models.portable import exp, log
from models.waves import waves

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]
Hashes = npt.NDArray[np.uint64]

US: Final = 1_000_000
#: probability levels at which a function's ln(duration) is kept; dense in the tails, where strangeness is judged
LEVELS: Final = np.array(
    [0.0005, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.15, 0.2, 0.25, 0.3, 0.4, 0.5, 0.6, 0.7, 0.75, 0.8, 0.85, 0.9, 0.93,
     0.95, 0.965, 0.98, 0.99, 0.995, 0.998, 0.9995]
)  # fmt: skip
#: run times kept per function: enough for the 0.9995 level, small enough for thousands of functions
RESERVOIR: Final = 4096
#: cold starts kept of each function
COLD_RESERVOIR: Final = 200
#: share of the first runs on a host that are excused as usual: of an app's functions one waits for the host to start,
#: the others find it started
COLD_SHARE: Final = 0.97
#: such runs of all functions below which nothing is known of them
FEW_COLD: Final = 5
#: counting bins of five minutes, from which rhythm and overdispersion follow
BIN_US: Final = 300 * US
HOUR_US: Final = 3600 * US
HOURS_A_WEEK: Final = 168
#: hour of a week, UTC, with which Saturday begins
WEEKEND: Final = 120
#: 1970-01-01 was a Thursday; hour 0 of a week is Monday 00:00 UTC
WEEK_OFFSET: Final = 72
#: events that the cohort's distribution weighs when it is mixed into a function's own
PRIOR_DURATIONS: Final = 12.0
PRIOR_RATES: Final = 20.0
#: share of the top of a distribution from which its tail's scale is taken
TAIL_SHARE: Final = 0.05
PRIOR_TAIL: Final = 10.0
#: ln(duration) tails are never taken for thinner than this: 10 % in duration per nat
MIN_TAIL: Final = 0.10
#: share of five-minute bins, the busiest, left out when overdispersion is measured: an attack there buys no licence
TRIM_BINS: Final = 0.02
#: bins of a schedule: half minutes of the hour, minutes of the day
HOUR_PHASES: Final = 120
DAY_PHASES: Final = 1440
HOUR_MINUTES: Final = 60
#: runs on hosts that are warm from which on they are what is usual
FEWEST_WARM: Final = 5
#: calls a day below which it is a usual day, not an hour, that a function must have been heard for before it is missed:
#: what comes at the full hour has hardly anything expected of the hour before
SELDOM: Final = 4.5
#: working days from which on a timer may be known to rest at weekends, and how busy these are then at most
FEWEST_WORKING: Final = 3
RESTS: Final = 0.75
#: a function keeps a schedule if 95 % of its starts fall in at most this share of the phases
SCHEDULE_SHARE: Final = 0.3
#: starts up to which a timer's schedule is told by how its runs flock, and minutes that part two flocks
SPARSE_STARTS: Final = 60
FLOCK_MINUTES: Final = 10
#: standard deviations beyond the mean, or times it, that a run of few takes at most
TAKES_SCATTERS: Final = 3.0
TAKES_TIMES: Final = 1.25
#: starts on schedule from which on a clock is what starts a timer, and how many of them that is worth at least: what
#: came five times on the second came so by a cron expression, which a start at any other time is not
CLOCK_STARTS: Final = 5.0
CLOCK: Final = 500.0
#: starts of a flock, at least
FLOCK: Final = 3
#: hours for which an app may rest, over a long weekend, and hours with calls that must be missing besides, before a
#: function's first call is taken for its beginning
REST_HOURS: Final = 84.0
HOURS_MISSED: Final = 20.0
#: times what days of the working week, or of the weekend, have at an hour on average that one of them may promise, and
#: calls a second besides
ONE_DAY: Final = 1.5
ONE_CALL: Final = 1.0 / 3600.0
#: share of its mean rate below which a function rests, and the share of hours from which on that is its way
REST_RATE: Final = 0.1
REST_SHARE: Final = 1 / 3
#: countries that are counted: Azure knows some 250, so that only forged logs have more. Those with the least hashes
#: stay, whatever the order they came in, each with all its calls
MOST_COUNTRIES: Final = 4_096
#: characters of a country's name that are kept
_COUNTRY_NAME: Final = 64
COHORTS: Final = ("http", "queue", "servicebus", "eventhub", "blob", "timer", "host-api", "other")
#: hours in which something was started by hand from which on that is done in this tenant
SEVERAL_ACTS: Final = 2.0
#: what is brought by messages, and what they may bring in an hour beyond the usual that nobody notices: a share of the
#: tenant's calls, and at most so many
BY_MESSAGE: Final = ("queue", "servicebus", "eventhub", "blob")
UNNOTICED_SHARE: Final = 0.01
UNNOTICED_MOST: Final = 100.0


@dataclass
class BaselineSketch:
    """Counts of an ordered or unordered pile of invocations; ``update`` many times, ``merge``, then ``fit``."""

    names: dict[tuple[str, str], int] = field(default_factory=dict)
    triggers: dict[tuple[int, int], float] = field(default_factory=dict)
    _bins: list[Floats] = field(default_factory=list)
    _runs: list[Floats] = field(default_factory=list)
    _phases: list[Floats] = field(default_factory=list)
    countries: dict[int, float] = field(default_factory=dict)
    country_names: dict[int, str] = field(default_factory=dict)
    #: function, and hour since 1970 in which somebody started it by hand
    by_hand: set[tuple[int, int]] = field(default_factory=set)
    _pending: int = 0

    def update(self, rows: pa.RecordBatch | pa.Table, index: Ints, cold: npt.NDArray[np.bool_], hashes: Any) -> None:
        """Count rows.

        Args:
            rows: INVOCATION columns with ``at`` (completion, int64 us).
            index: int64[n], each row's function, from ``function_index``.
            cold: bool[n], first invocation on a fresh host.
            hashes: uint64[n], of the invocation id: which run times are kept is decided by it, not by order.
        """
        at = np.asarray(rows.column("at"))
        start = np.asarray(rows.column("event_time").cast(pa.int64()))
        weight = np.asarray(rows.column("item_count")).astype(np.float64)
        duration = rows.column("duration_ms").to_numpy(zero_copy_only=False).astype(np.float64)
        failed = _bool(rows.column("succeeded")) == 0
        status = rows.column("status").to_numpy(zero_copy_only=False).astype(np.float64)
        refused = (status >= 400) & (status < 500)
        known = np.where(np.isnan(duration), 0.0, duration)

        bins = at // BIN_US
        stacked = np.stack([index, bins, weight, weight * failed, weight * refused, weight * known], axis=1)
        self._bins.append(_group_sum(stacked.astype(np.float64), 2))

        has = ~np.isnan(duration)
        priority = (hashes[has] >> np.uint64(11)).astype(np.float64)
        runs = np.stack(
            [index[has].astype(np.float64), priority, log(np.maximum(duration[has], 0.01)), cold[has], weight[has]],
            axis=1,
        )
        self._runs.append(runs)

        timer = np.asarray(rows.column("trigger").dictionary_encode().indices)
        trigger_names = rows.column("trigger").dictionary_encode().dictionary.to_pylist()
        codes = np.array(
            [COHORTS.index(t) if t in COHORTS else len(COHORTS) - 1 for t in trigger_names], dtype=np.int64
        )
        code = codes[timer] if len(codes) else np.zeros(0, np.int64)
        pairs, counts = np.unique(index * len(COHORTS) + code, return_counts=True)
        for pair, count in zip(pairs.tolist(), counts.tolist(), strict=True):
            key = (pair // len(COHORTS), pair % len(COHORTS))
            self.triggers[key] = self.triggers.get(key, 0.0) + count
        manual = code == COHORTS.index("host-api")
        if manual.any():
            self.by_hand.update(zip(index[manual].tolist(), (at[manual] // HOUR_US).tolist(), strict=True))
        timed = code == COHORTS.index("timer")
        if timed.any():
            minute = (start[timed] // (60 * US)) % DAY_PHASES
            half = (start[timed] // (30 * US)) % HOUR_PHASES
            phases = np.concatenate(
                [np.stack([index[timed], minute], 1), np.stack([index[timed], DAY_PHASES + half], 1)]
            )
            ones = np.ones((phases.shape[0], 1))
            self._phases.append(_group_sum(np.concatenate([phases, ones], axis=1).astype(np.float64), 2))
        self._count_countries(rows.column("country"), weight)
        self._pending += len(at)
        if self._pending > 2_000_000:
            self._compact()

    def _count_countries(self, country: Any, weight: Floats) -> None:
        coded = _encode(country)
        names = coded.dictionary
        code = np.asarray(coded.indices.fill_null(len(names)))
        calls = np.bincount(code, weights=weight, minlength=len(names) + 1)[: len(names)]
        for key, name, count in zip(hash_strings(names).tolist(), names.to_pylist(), calls.tolist(), strict=True):
            if key and count:
                self.countries[key] = self.countries.get(key, 0.0) + count
                self.country_names[key] = name[:_COUNTRY_NAME]
        self._bound_countries()

    def _bound_countries(self) -> None:
        if len(self.countries) > 2 * MOST_COUNTRIES:
            self.countries = {key: self.countries[key] for key in sorted(self.countries)[:MOST_COUNTRIES]}
            self.country_names = {key: self.country_names[key] for key in self.countries}

    def function_index(self, apps: pa.Array, functions: pa.Array) -> Ints:
        """int64[n]: a number for each (app, function), new ones added."""
        codes, names = pair_codes(apps, functions)
        lookup = np.array([self.names.setdefault(n, len(self.names)) for n in names], dtype=np.int64)
        return lookup[codes] if len(names) else np.zeros(0, np.int64)

    def merge(self, other: BaselineSketch) -> None:
        """Take in another sketch's counts."""
        lookup = np.array([self.names.setdefault(n, len(self.names)) for n in other.names], dtype=np.float64)
        for key, count in other.triggers.items():
            mine = (int(lookup[key[0]]), key[1])
            self.triggers[mine] = self.triggers.get(mine, 0.0) + count
        for country, count in other.countries.items():
            self.countries[country] = self.countries.get(country, 0.0) + count
        self.country_names |= other.country_names
        self.by_hand |= {(int(lookup[function]), hour) for function, hour in other.by_hand}
        self._bound_countries()
        for here, there in ((self._bins, other._bins), (self._runs, other._runs), (self._phases, other._phases)):
            for part in there:
                moved = part.copy()
                moved[:, 0] = lookup[part[:, 0].astype(np.int64)] if len(lookup) else part[:, 0]
                here.append(moved)
        self._compact()

    def _compact(self) -> None:
        self._bins = [_group_sum(np.concatenate(self._bins), 2)] if self._bins else []
        self._phases = [_group_sum(np.concatenate(self._phases), 2)] if self._phases else []
        if self._runs:
            runs = np.concatenate(self._runs)
            # cold starts are rare: a sample of all runs would hold one or two
            kind = 2.0 * runs[:, 0] + runs[:, 3]
            order = np.lexsort((runs[:, 1], kind))
            runs, kind = runs[order], kind[order]
            self._runs = [runs[_rank_in_group(kind) < np.where(runs[:, 3] > 0, COLD_RESERVOIR, RESERVOIR)]]
        self._pending = 0

    def forget_runs(self, names: Iterable[tuple[str, str]]) -> None:
        """Drop the run times of some functions, by app and name."""
        gone = [self.names[name] for name in names if name in self.names]
        self._runs = [runs[~np.isin(runs[:, 0], gone)] for runs in self._runs]

    def fit(self, since: Mapping[tuple[str, str], int] | None = None) -> Baselines:
        """Baselines with a row a function (ordered by app and name) and a row a cohort.

        Args:
            since: by app and name, completion (UTC us) from which on a function's errors count; its rhythm always does.
        """
        self._compact()
        return _fit(self, since or {})


@dataclass(frozen=True)
class Baselines:
    """Rows 0..F-1 are functions, ordered by (app, function); rows F..F+C-1 the cohorts of ``COHORTS``.

    Attributes:
        apps, functions: str, length F.
        cohort: int64[F+C], index into COHORTS.
        count: float64[F+C], weighted invocations whose errors count.
        quantiles: float64[F+C, len(LEVELS)], of ln(duration in ms).
        tail_high, tail_low: float64[F+C], scale of the exponential tails of ln(duration) beyond the outer levels, nats.
        longest: float64[F+C], largest ln(duration) seen.
        spread: float64[F+C], interquartile range of the duration, ms.
        cold_extra: float64[F+C], what a cold start adds to ln(duration).
        failure_rate, refusal_rate: float64[F+C], shares.
        rate: float64[F+C, 168], expected invocations per second by hour of the week (UTC, Monday first); 0 for cohorts.
        dispersion: float64[F+C], variance over mean of five-minute counts, at least 1.
        between_days: float64[F+C], the same of hours at the same time of day, as ``assured`` has it.
        day_spread: float64[F+C, 2], how far a day's ln(calls) lies from other days', as ``assured`` has it.
        waves: float64[F+C, 24], calls of five minutes that come at that hour of most days, as ``waves`` has it.
        alarms: float64[F+C, 192], how fast a silence becomes an alarm by what came on every day, as ``assured`` has it;
            0 for cohorts.
        lasting: float64[F+C, 24], share of the calls at an hour of the day (UTC) that is no single day's.
        app_alarms: float64[F+C, 192], as ``alarms``, of an app with several functions, in the row of its first; else 0.
        mean_ms, square_ms: float64[F+C], first and second moment of the duration, trimmed.
        by_hand: float64[F+C], hours in which somebody started by hand what something else fires.
        phases: float64[F+C, 1440], share of starts by phase; all 0 where no schedule is kept.
        phase_us: int64[F+C], width of a phase bin, 0 where no schedule is kept.
        phase_count: int64[F+C], number of bins in the period.
        window: (first, last) completion in us.
        covered: bool[168], hours of the week that were seen whole at least once.
        countries: uint64[C], hashes of the countries that called, sorted.
        country_count: float64[C], weighted invocations from each.
        country_names: C names; none from models that kept none.
    """

    apps: tuple[str, ...]
    functions: tuple[str, ...]
    cohort: Ints
    count: Floats
    quantiles: Floats
    tail_high: Floats
    tail_low: Floats
    longest: Floats
    spread: Floats
    cold_extra: Floats
    failure_rate: Floats
    refusal_rate: Floats
    rate: Floats
    dispersion: Floats
    between_days: Floats
    day_spread: Floats
    waves: Floats
    alarms: Floats
    lasting: Floats
    app_alarms: Floats
    mean_ms: Floats
    square_ms: Floats
    by_hand: Floats
    phases: Floats
    phase_us: Ints
    phase_count: Ints
    window: tuple[int, int]
    covered: npt.NDArray[np.bool_]
    countries: Hashes
    country_count: Floats
    country_names: tuple[str, ...] = ()

    def named(self, country: Hashes) -> pa.Array:
        """The names of countries, string[n], "" where training saw none of that name; null where the hash is 0."""
        known = len(self.country_names)
        place = np.searchsorted(self.countries[:known], country)
        same = np.append(self.countries[:known], np.uint64(0))[place] == country
        code = pa.array(np.where(same, place, known).astype(np.int32), mask=country == 0)
        return pa.DictionaryArray.from_arrays(code, pa.array([*self.country_names, ""])).cast(pa.string())

    def foreign(self, country: Hashes) -> Floats:
        """Nats by which a country is rare in the whole tenant, float64[n]; ``country``: uint64[n] hashes, 0 unknown."""
        if len(self.countries) == 0:
            return np.zeros(len(country))
        place = np.minimum(np.searchsorted(self.countries, country), len(self.countries) - 1)
        seen = np.where(self.countries[place] == country, self.country_count[place], 0.0)
        rare: Floats = log((self.country_count.sum() + 1.0) / (seen + 0.5))
        return np.where(country == 0, 0.0, np.maximum(rare, 0.0))

    def busy_hours(self) -> Floats:
        """Hours a day in which the functions of each cohort have any run, added up over them, float64[C]."""
        size = len(self)
        any_run = -np.expm1(-self.rate[:size] * (HOUR_US / US))
        hours: Floats = np.bincount(self.cohort[:size], any_run.sum(axis=1) / 7.0, len(COHORTS)).astype(np.float64)
        return hours

    def missed(self) -> Floats:
        """Invocations per second that are missed where they don't come, float64[F+C, 168]: the rate where it is known.

        Who rests for a third of the time, as an office does, may rest on a day of which training saw nothing. Of what
        weekends are like who saw weekdays only knows no more than the quietest hour, nor the other way round. What came
        on a single day is not missed. A timer that ran on each day, or on each working day, is missed within the hour
        after it was due to end.
        """
        out: Floats = _as_on_other_days(self.rate * np.tile(self.lasting, HOURS_A_WEEK // HOURS))
        weekend = np.arange(HOURS_A_WEEK) >= WEEKEND
        if self.covered.any():
            usual = out[:, self.covered]
            for days in (weekend, ~weekend):
                if not self.covered[days].any():
                    out[:, days] = np.minimum(out[:, days], usual.min(axis=1, keepdims=True))
            rests = (usual < REST_RATE * usual.mean(axis=1, keepdims=True)).mean(axis=1) >= REST_SHARE
            out[np.ix_(rests, ~self.covered)] = 0.0
        a_day = self.starts_a_day
        daily = self.runs_daily & (self.phase_count == DAY_PHASES) & (a_day < SELDOM)
        due = np.rint(a_day[daily, None]) * _shares(self.phases[daily])
        # a run is seen when it ends
        behind = np.ceil(self.takes_ms()[daily] / 60e3).astype(np.int64)
        due = np.take_along_axis(due, (np.arange(DAY_PHASES) - behind[:, None]) % DAY_PHASES, axis=1)
        within = np.stack([np.roll(due, minute, axis=1) for minute in range(HOUR_MINUTES)]).mean(axis=0)
        out[daily] = np.tile(within.reshape(-1, DAY_PHASES // HOUR_MINUTES, HOUR_MINUTES).sum(axis=2), 7) / 3600.0
        out[np.ix_(self.rests_at_weekends, weekend)] = 0.0
        return out

    def steady(self, missed: Floats | None = None) -> Floats:
        """Invocations per second that came at that time of every day, float64[F+C, 168]; none where no day was seen.

        Who works on some days may rest on another, too; what never rested is missed as soon as much of it stays away.

        Args:
            missed: what ``missed`` gives, where it is known already; what is steady is no more.
        """
        hours = np.stack([np.roll(self.rate, hour, axis=1) for hour in (-1, 0, 1)]).mean(axis=0)
        each = np.where(self.covered, hours, np.inf).reshape(len(hours), -1, HOURS)
        least = each.min(axis=1)
        least[~np.isfinite(least)] = 0.0
        out: Floats = np.minimum(self.missed() if missed is None else missed, np.tile(least, HOURS_A_WEEK // HOURS))
        return out

    def takes_ms(self) -> Floats:
        """What a run of each function takes at most, ms, float64[F+C], as far as its own runs say."""
        scatter = np.sqrt(np.maximum(self.square_ms - self.mean_ms**2, 0.0))
        out: Floats = np.maximum(self.mean_ms + TAKES_SCATTERS * scatter, TAKES_TIMES * self.mean_ms)
        return out

    def unnoticed(self) -> Floats:
        """Calls of an hour beyond the usual that are too few to speak of, float64[F+C].

        A hundred calls more from outside may be somebody who should not be there; a hundred messages more are a busy
        evening, which only counts where it is many for the tenant.
        """
        tenant = 3600.0 * float(self.rate[: len(self)].mean(axis=1).sum())
        by_message = np.isin(self.cohort, [COHORTS.index(name) for name in BY_MESSAGE])
        return np.where(by_message, min(UNNOTICED_SHARE * tenant, UNNOTICED_MOST), 0.0)

    @property
    def days(self) -> float:
        """Days from the first completion to the last."""
        return (self.window[1] - self.window[0]) / (24 * 3600 * US)

    @property
    def keeps_schedule(self) -> npt.NDArray[np.bool_]:
        """bool[F+C]: timers that start by a schedule."""
        return self.phase_us > 0

    @property
    def starts_a_day(self) -> Floats:
        """Starts on schedule of a day, float64[F+C]."""
        found: Floats = self.phases.sum(axis=1) / max(self.days, 1.0)
        return found

    @property
    def runs_daily(self) -> npt.NDArray[np.bool_]:
        """bool[F+C]: timers that ran on each day of the window, or on each working day, as often as on the others."""
        each_day = np.rint(self.days) * np.maximum(np.rint(self.starts_a_day), 1.0)
        daily: npt.NDArray[np.bool_] = self.keeps_schedule & (np.rint(self.phases.sum(axis=1)) >= each_day)
        return daily | self.rests_at_weekends

    @property
    def rests_at_weekends(self) -> npt.NDArray[np.bool_]:
        """bool[F+C]: timers that ran once on each working day of the window, and on none of its weekends."""
        days = np.arange(self.window[0] // (HOURS * HOUR_US), (self.window[1] - 1) // (HOURS * HOUR_US) + 1)
        working = int(((days + THURSDAY) % 7 < SATURDAY).sum())
        starts = np.rint(self.phases.sum(axis=1))
        quiet = self.rate[:, WEEKEND:].max(axis=1) < RESTS * self.rate[:, :WEEKEND].max(axis=1)
        both = working >= FEWEST_WORKING and working < len(days)
        rests: npt.NDArray[np.bool_] = self.keeps_schedule & (starts == working) & quiet & both
        return rests

    def starts_on_schedule(self) -> Floats:
        """Starts on schedule that one off it is held against, float64[F+C]; 0 where no schedule is kept.

        A daily timer showed few in some days. It is held against all timers of the tenant, of each its starts up to one
        an hour (what comes all the time can hardly be off), over one more than there are timers whose few starts keep
        no schedule. And that each of several starts came on the second says by itself that a clock starts it.
        """
        own: Floats = self.phases.sum(axis=1)
        timer = self.cohort == COHORTS.index("timer")
        timer[len(self) :] = False
        strays = timer & ~self.keeps_schedule & (self.count >= FLOCK) & (self.count <= SPARSE_STARTS)
        together = np.minimum(own, 24.0 * self.days).sum() / (strays.sum() + 1.0)
        clock = np.where(own >= CLOCK_STARTS, CLOCK, 0.0)
        return np.where(self.keeps_schedule, np.maximum(np.maximum(own, together), clock), 0.0)

    def longest_alike(self) -> Floats:
        """Largest ln(duration) seen of any function of the same cohort, float64[F+C]."""
        return self.longest[len(self) + self.cohort]

    def hands(self) -> Floats:
        """How little it says that somebody starts a function by hand, of the tenant, float64[2], in nats.

        What is to be taken from how seldom any run is one, by the rule of succession; and how strange it is that
        anybody does so on one day, where it was done in more than one hour; inf where it was not.
        """
        acts = float(self.by_hand.sum())
        a_day = (acts + 0.5) / max(self.days, 1.0)
        often = -np.log(-np.expm1(-a_day)) if acts >= SEVERAL_ACTS else np.inf
        return np.array([np.log(2.0 * acts + 1.0), often])

    def names(self) -> Iterator[tuple[str, str]]:
        """App and function of each row but the cohorts'."""
        return zip(self.apps, self.functions, strict=True)

    def __len__(self) -> int:
        return len(self.functions)

    def to_table(self) -> pa.Table:
        """All rows as one table; the inverse of ``from_table``."""
        labels = [*self.names(), *(("", c) for c in COHORTS)]
        columns: dict[str, Any] = {"app": [a for a, _ in labels], "function": [f for _, f in labels]}
        for name in _ARRAYS:
            value = getattr(self, name)
            flat = pa.array(value.reshape(-1))
            columns[name] = pa.FixedSizeListArray.from_arrays(flat, value.shape[1]) if value.ndim == 2 else flat
        meta = {
            "window": f"{self.window[0]},{self.window[1]}",
            "covered": ",".join(map(str, np.flatnonzero(self.covered).tolist())),
            "countries": ",".join(map(str, self.countries.tolist())),
            "country_count": ",".join(map(repr, self.country_count.tolist())),
            "country_names": json.dumps(self.country_names),
        }
        return pa.table(columns).replace_schema_metadata(meta)

    @classmethod
    def from_table(cls, table: pa.Table) -> Baselines:
        """Read what ``to_table`` wrote."""
        table = table.combine_chunks()
        size = table.num_rows - len(COHORTS)
        values: dict[str, Any] = {}
        for name in _ARRAYS:
            array = table.column(name).chunk(0)
            if pa.types.is_fixed_size_list(array.type):
                values[name] = array.flatten().to_numpy().reshape(-1, array.type.list_size).copy()
            else:
                values[name] = array.to_numpy().copy()
        first, last = (table.schema.metadata or {})[b"window"].decode().split(",")
        return cls(
            apps=tuple(table.column("app").to_pylist()[:size]),
            functions=tuple(table.column("function").to_pylist()[:size]),
            window=(int(first), int(last)),
            covered=np.isin(np.arange(HOURS_A_WEEK), _listed(table, b"covered", int)),
            countries=np.array(_listed(table, b"countries", int), np.uint64),
            country_count=np.array(_listed(table, b"country_count", float), np.float64),
            country_names=tuple(json.loads((table.schema.metadata or {}).get(b"country_names", b"[]"))),
            **values,
        )


def _listed(table: pa.Table, name: bytes, kind: Callable[[str], Any]) -> list[Any]:
    text = (table.schema.metadata or {})[name].decode()
    return [kind(part) for part in text.split(",") if part]


_ARRAYS: Final = (
    *(
        "cohort",
        "count",
        "quantiles",
        "tail_high",
        "tail_low",
        "longest",
        "spread",
        "cold_extra",
        "failure_rate",
        "refusal_rate",
    ),
    *("rate", "dispersion", "between_days", "day_spread", "waves", "alarms", "lasting", "app_alarms"),
    *("mean_ms", "square_ms", "by_hand", "phases", "phase_us", "phase_count"),
)


#: pairs of an app and a function, there or not, up to which they are numbered by a table: 2 MB
_MOST_PAIRS: Final = 1 << 18


def pair_codes(apps: Any, functions: Any) -> tuple[Ints, list[tuple[str, str]]]:
    """Dense codes of (app, function) pairs: int64[n] and the list of distinct pairs."""
    a, f = _encode(apps), _encode(functions)
    names_a, names_f = a.dictionary.to_pylist(), f.dictionary.to_pylist()
    width = max(len(names_f), 1)
    joined = np.asarray(a.indices).astype(np.int64) * width + np.asarray(f.indices)
    if len(names_a) * width <= _MOST_PAIRS:
        # numbered by a table of all pairs there could be: far faster than sorting the rows
        there = np.zeros(len(names_a) * width, np.bool_)
        there[joined] = True
        distinct, codes = np.flatnonzero(there), (np.cumsum(there) - 1)[joined]
    else:
        distinct, codes = np.unique(joined, return_inverse=True)
    return codes.astype(np.int64), [(names_a[d // width], names_f[d % width]) for d in distinct.tolist()]


def hour_of_week(at_us: Any) -> Any:
    """Hour of the week of UTC times in microseconds, 0 = Monday 00:00."""
    return (at_us // HOUR_US + WEEK_OFFSET) % HOURS_A_WEEK


def _encode(array: Any) -> Any:
    if isinstance(array, pa.ChunkedArray):
        array = array.combine_chunks()
        if isinstance(array, pa.ChunkedArray):
            array = array.chunk(0) if array.num_chunks else pa.array([], pa.string())
    return array if pa.types.is_dictionary(array.type) else array.dictionary_encode()


def _bool(column: Any) -> npt.NDArray[np.int8]:
    """1 true, 0 false, -1 null."""
    return np.asarray(column.cast(pa.int8()).fill_null(-1))


def _group_sum(rows: Floats, keys: int) -> Floats:
    """Sum the columns after the first ``keys`` over equal keys; ordered by key."""
    if rows.shape[0] == 0:
        return rows
    order = np.lexsort(tuple(rows[:, k] for k in reversed(range(keys))))
    rows = rows[order]
    fresh = np.any(rows[1:, :keys] != rows[:-1, :keys], axis=1)
    starts = np.concatenate([[0], np.flatnonzero(fresh) + 1])
    out: Floats = np.concatenate([rows[starts, :keys], np.add.reduceat(rows[:, keys:], starts, axis=0)], axis=1)
    return out


def _rank_in_group(sorted_keys: Floats) -> Ints:
    n = sorted_keys.shape[0]
    fresh = np.ones(n, dtype=bool)
    fresh[1:] = sorted_keys[1:] != sorted_keys[:-1]
    starts = np.flatnonzero(fresh)
    group = np.cumsum(fresh) - 1
    rank: Ints = np.arange(n) - starts[group]
    return rank


def _fit(sketch: BaselineSketch, since: Mapping[tuple[str, str], int]) -> Baselines:
    names = sorted(sketch.names)
    size, cohorts = len(names), len(COHORTS)
    rank = np.zeros(max(size, 1), dtype=np.int64)
    for position, name in enumerate(names):
        rank[sketch.names[name]] = position
    cohort = np.zeros(size + cohorts, dtype=np.int64)
    cohort[size:] = np.arange(cohorts)
    best = np.zeros(size)
    for (function, code), times in sorted(sketch.triggers.items()):
        row = rank[function]
        # a manual run doesn't make a timer a manual function
        weight = times * (0.5 if COHORTS[code] == "host-api" else 1.0)
        if weight > best[row]:
            best[row], cohort[row] = weight, code

    bins = sketch._bins[0] if sketch._bins else np.zeros((0, 6))
    who = rank[bins[:, 0].astype(np.int64)] if size else np.zeros(0, np.int64)
    # the bin in which it begins is left out
    begin = np.array([since.get(name, -(2**62)) // BIN_US + 1 for name in names], dtype=np.int64)
    counted = bins[:, 1] >= begin[who] if len(bins) else np.zeros(0, bool)
    rated, rated_who = (bins[counted], who[counted]) if since else (bins, who)
    rows = size + cohorts
    count, failures, refusals = (np.zeros(rows) for _ in range(3))
    for totals, column in ((count, 2), (failures, 3), (refusals, 4)):
        np.add.at(totals, rated_who, rated[:, column])
        np.add.at(totals, size + cohort[rated_who], rated[:, column])
    lived = Lived.of(np.unique(bins[:, 1]).astype(np.int64), HOLE_US // BIN_US)
    first, last = (int(lived.begins[0]), int(lived.ends[-1])) if len(bins) else (0, 0)
    # the five minutes that the logs cover
    stretches = [np.arange(a, b + 1) for a, b in zip(lived.begins, lived.ends, strict=True)]
    covered = np.concatenate([np.zeros(0, np.int64), *stretches])

    failure_rate = _shrunk(_trimmed_rate(rated, rated_who, 3, size, cohort), failures, count, size, cohort)
    refusal_rate = _shrunk(_trimmed_rate(rated, rated_who, 4, size, cohort), refusals, count, size, cohort)
    lives = _lives(bins, who, size, covered)
    whole = _whole_hours(covered)
    rate = _rhythm(bins, who, size, cohorts, covered, lives, whole)
    dispersion = _dispersion(bins, who, rate, size, cohorts, len(covered) - lives)
    quantiles, tail_high, tail_low, longest, cold_extra, mean_ms, square_ms = _durations(sketch, rank, size, cohort)
    phases, phase_us, phase_count = _schedules(sketch, rank, size, cohort)
    started = [rank[function] for function, _ in sketch.by_hand]
    by_hand = np.bincount(np.array(started, np.int64), minlength=rows) * (cohort != COHORTS.index("host-api"))
    middle = quantiles[:, int(np.searchsorted(LEVELS, 0.75))], quantiles[:, int(np.searchsorted(LEVELS, 0.25))]
    countries = sorted(sketch.countries)[:MOST_COUNTRIES]
    return Baselines(
        apps=tuple(a for a, _ in names),
        functions=tuple(f for _, f in names),
        cohort=cohort,
        count=count,
        quantiles=quantiles,
        tail_high=tail_high,
        tail_low=tail_low,
        longest=longest,
        spread=exp(middle[0]) - exp(middle[1]),
        cold_extra=cold_extra,
        failure_rate=failure_rate,
        refusal_rate=refusal_rate,
        rate=rate,
        dispersion=dispersion,
        between_days=between_days(bins, who, covered, dispersion),
        day_spread=day_spread(bins, who, covered, rows),
        waves=waves(bins, who, covered, rate),
        alarms=alarms(bins, who, covered, dispersion),
        lasting=lasting(bins, who, covered, rows),
        app_alarms=_app_alarms(bins, who, names, rate, covered),
        mean_ms=mean_ms,
        square_ms=square_ms,
        by_hand=by_hand.astype(np.float64),
        phases=phases,
        phase_us=phase_us,
        phase_count=phase_count,
        window=(first * BIN_US, (last + 1) * BIN_US),
        covered=np.isin(np.arange(HOURS_A_WEEK), hour_of_week(covered[whole] * BIN_US)),
        countries=np.array(countries, np.uint64),
        country_count=np.array([sketch.countries[key] for key in countries]),
        country_names=tuple(sketch.country_names[key] for key in countries),
    )


def _trimmed_rate(bins: Floats, who: Ints, column: int, size: int, cohort: Ints) -> tuple[Floats, Floats]:
    """Error counts and totals without each function's worst bins, so that an outage in training sets no standard."""
    errors, totals = np.zeros(size + len(COHORTS)), np.zeros(size + len(COHORTS))
    if len(bins) == 0:
        return errors, totals
    share = bins[:, column]
    order = np.lexsort((-share, who))
    sorted_who = who[order]
    position = _rank_in_group(sorted_who.astype(np.float64))
    lengths = np.bincount(sorted_who, minlength=size)[sorted_who]
    kept = order[position >= np.floor(lengths * TRIM_BINS)]
    for target, source in ((errors, share), (totals, bins[:, 2])):
        np.add.at(target, who[kept], source[kept])
        np.add.at(target, size + cohort[who[kept]], source[kept])
    return errors, totals


def _shrunk(trimmed: tuple[Floats, Floats], errors: Floats, count: Floats, size: int, cohort: Ints) -> Floats:
    kept_errors, kept = trimmed
    # halfway between the trimmed and the full rate: blips are part of life, outages are not
    rate = 0.5 * (kept_errors / np.maximum(kept, 1.0)) + 0.5 * (errors / np.maximum(count, 1.0))
    tenant = (errors[size:].sum() + 0.5) / (count[size:].sum() + 100.0)
    out = np.empty_like(rate)
    out[size:] = (rate[size:] * count[size:] + PRIOR_RATES * tenant) / (count[size:] + PRIOR_RATES)
    prior = out[size:][cohort[:size]]
    # a function that never fails is believed in proportion to how often it was seen not to
    out[:size] = (rate[:size] * count[:size] + np.minimum(PRIOR_RATES * prior, 0.5)) / (count[:size] + PRIOR_RATES)
    return out


def _lives(bins: Floats, who: Ints, size: int, covered: Ints) -> Ints:
    """For each function the place in ``covered`` where it came into being; 0 where it may have been there all along.

    It came later if more hours with calls are missing before its first than chance explains, as busy as it was since.
    """
    first = np.full(size, np.iinfo(np.int64).max)
    np.minimum.at(first, who, bins[:, 1].astype(np.int64))
    lives = np.searchsorted(covered, first)
    an_hour = HOUR_US // BIN_US
    hours = np.unique(who * 2**32 + bins[:, 1].astype(np.int64) // an_hour)
    busy = np.bincount(hours // 2**32, minlength=size)
    # its first hour has hardly begun
    lived = np.maximum((len(covered) - lives) / an_hour, busy)
    missing = busy / np.maximum(lived, 1.0) * (lives / an_hour - REST_HOURS)
    return np.where(missing >= HOURS_MISSED, lives, 0)


def _rhythm(
    bins: Floats, who: Ints, size: int, cohorts: int, covered: Ints, lives: Ints, whole: npt.NDArray[np.bool_]
) -> Floats:
    """Expected rate per second by hour of week, of the time since each function came into being.

    A flat rate, bent by the hour of the day, then by weekday or weekend, then by the hour of the week, each step shrunk
    by one event's worth of evidence for the step before.
    """
    rate = np.zeros((size + cohorts, HOURS_A_WEEK))
    if len(bins) == 0:
        return rate
    hours, at = hour_of_week(covered * BIN_US), bins[:, 1].astype(np.int64)
    flat = np.bincount(who, bins[:, 2], size) / np.maximum((len(covered) - lives) * (BIN_US / HOUR_US), 1e-9)
    # of an hour that the logs cover in part nobody knows what its rest holds: a job may run at its end
    hours_seen = np.empty((size, HOURS_A_WEEK))
    for begin in np.unique(lives):
        seen = hours[begin:][whole[begin:]]
        hours_seen[lives == begin] = np.bincount(seen, minlength=HOURS_A_WEEK) * (BIN_US / HOUR_US)
    inside = whole[np.searchsorted(covered, at)]
    by_hour = np.zeros((size, HOURS_A_WEEK))
    np.add.at(by_hour, (who[inside], hour_of_week(at[inside] * BIN_US)), bins[inside, 2])
    day = np.arange(HOURS_A_WEEK) % 24
    weekend = (np.arange(HOURS_A_WEEK) >= WEEKEND).astype(np.int64)
    level = np.repeat(flat[:, None], HOURS_A_WEEK, axis=1)
    for group in (day, day + 24 * weekend, np.arange(HOURS_A_WEEK)):
        groups = int(group.max()) + 1
        observed, expected = np.zeros((size, groups)), np.zeros((size, groups))
        for hour in range(HOURS_A_WEEK):
            observed[:, group[hour]] += by_hour[:, hour]
            expected[:, group[hour]] += level[:, hour] * hours_seen[:, hour]
        # the finest step needs more to be believed: a single week shows each of its hours once
        weight = 1.0 if groups < HOURS_A_WEEK else 30.0
        level = level * ((observed + weight) / (expected + weight))[:, group]
    rate[:size] = smoothed(level) / 3600.0
    return rate


def _whole_hours(covered: Ints) -> npt.NDArray[np.bool_]:
    """Which of the spans that logs cover lie in hours covered whole, bool[n]; all of them if those are not a day."""
    an_hour = HOUR_US // BIN_US
    _, which, spans = np.unique(covered // an_hour, return_inverse=True, return_counts=True)
    whole: npt.NDArray[np.bool_] = spans[which.reshape(-1)] == an_hour
    return whole if int(whole.sum()) >= 24 * an_hour else np.ones(len(covered), np.bool_)


def _dispersion(bins: Floats, who: Ints, rate: Floats, size: int, cohorts: int, covered: Ints) -> Floats:
    out = np.full(size + cohorts, 2.0)
    if len(bins) == 0:
        return out
    expected = rate[who, hour_of_week(bins[:, 1].astype(np.int64) * BIN_US)] * (BIN_US / US)
    expected *= _without_itself(bins, who, rate, size, covered)
    excess = (bins[:, 2] - expected) ** 2 / np.maximum(expected, 0.05)
    order = np.lexsort((-excess, who))
    position = _rank_in_group(who[order].astype(np.float64))
    lengths = np.bincount(who, minlength=size)[who[order]]
    kept = order[position >= np.floor(lengths * TRIM_BINS)]
    total, number = np.zeros(size), np.zeros(size)
    np.add.at(total, who[kept], excess[kept])
    np.add.at(number, who[kept], 1.0)
    # empty bins each add their expectation: (0 - e)^2 / e = e
    seen = np.zeros(size)
    np.add.at(seen, who, expected)
    overall = rate[:size].mean(axis=1) * (BIN_US / US) * covered
    total += np.maximum(overall - seen, 0.0)
    out[:size] = np.clip((total + 2.0 * 20) / (np.maximum(covered, number) + 20), 1.0, 200.0)
    return out


def _app_alarms(bins: Floats, who: Ints, names: list[tuple[str, str]], rate: Floats, covered: Ints) -> Floats:
    """How fast the silence of an app with several functions becomes an alarm, in the row of its first function."""
    first: dict[str, int] = {}
    of_app = np.array([first.setdefault(app, row) for row, (app, _) in enumerate(names)], np.int64)
    size = len(names)
    several = np.bincount(of_app, minlength=size) > 1
    inside = several[of_app[who]] if len(bins) else np.zeros(0, np.bool_)
    counted = np.column_stack([of_app[who[inside]].astype(np.float64), bins[inside, 1:3]])
    counted = _group_sum(counted, 2)
    apps = counted[:, 0].astype(np.int64)
    together = np.zeros_like(rate)
    np.add.at(together, of_app, rate[:size])
    dispersion = _dispersion(counted, apps, together, size, len(COHORTS), np.full(size, len(covered)))
    return alarms(counted, apps, covered, dispersion)


def _without_itself(bins: Floats, who: Ints, rate: Floats, size: int, covered: Ints) -> Floats:
    """What the rhythm would expect of each bin, had it not seen the bin's own hour, over what it does, float64[n].

    A few days show each hour of the day a few times: a burst makes its own hour busy, and would be as expected.
    """
    hour = bins[:, 1].astype(np.int64) // (HOUR_US // BIN_US)
    of_day = hour_of_week(bins[:, 1].astype(np.int64) * BIN_US) % 24
    seen = np.zeros((size, 24))
    np.add.at(seen, (who, of_day), bins[:, 2])
    _, own = np.unique(who * (int(hour.max()) + 1) + hour, return_inverse=True)
    in_hour = np.bincount(own.reshape(-1), bins[:, 2])[own.reshape(-1)]
    a_day = rate[:size].mean(axis=1)[who] * (HOUR_US / US)
    expected = a_day * covered[who] * (BIN_US / HOUR_US) / 24.0
    others = np.maximum(seen[who, of_day] - in_hour, 0.0)
    without = (others + 1.0) / (np.maximum(expected - a_day, 0.0) + 1.0)
    out: Floats = without / ((seen[who, of_day] + 1.0) / (expected + 1.0))
    return out


def _cold_extra(chilled: Floats, who: Ints, centre: Floats, ran: npt.NDArray[np.bool_]) -> Floats:
    """What a cold start adds to ln(duration) of each function, float64[F]; nearly all of them stay within it.

    A host takes its time to start, whatever it runs then: of a function that was seldom the first on its host, what
    others take in milliseconds says more than a factor.

    Args:
        chilled: float64[n], ln(duration) of cold runs, of functions that run on warm hosts, too.
        who: int64[n], their functions.
        centre: float64[F], medians of ln(duration).
        ran: bool[F], whose run times are known.
    """
    out = np.zeros(len(centre))
    if len(chilled) < FEW_COLD:
        return out
    took = max(float(np.quantile(exp(chilled) - exp(centre[who]), COLD_SHARE)), 0.0)
    order = np.argsort(who, kind="stable")
    edges = np.searchsorted(who[order], np.arange(len(centre) + 1))
    for f in np.flatnonzero(ran).tolist():
        own = chilled[order[edges[f] : edges[f + 1]]]
        others = float(log(1.0 + took / exp(centre[f : f + 1]))[0])
        out[f] = max(others, float(np.quantile(own, COLD_SHARE)) - centre[f] if len(own) else 0.0)
    return out


def _durations(sketch: BaselineSketch, rank: Ints, size: int, cohort: Ints) -> tuple[Floats, ...]:
    rows = size + len(COHORTS)
    quantiles = np.zeros((rows, len(LEVELS)))
    high, low, cold_extra, longest = np.full(rows, 1.0), np.full(rows, 1.0), np.zeros(rows), np.zeros(rows)
    mean, square = np.full(rows, 100.0), np.full(rows, 20_000.0)
    runs = sketch._runs[0] if sketch._runs else np.zeros((0, 5))
    who = rank[runs[:, 0].astype(np.int64)] if size else np.zeros(0, np.int64)
    value, cold = runs[:, 2], runs[:, 3] > 0
    pooled = value if len(value) else np.array([np.log(100.0)])
    # how far a function's run times stray from its own median, pooled: the shape that a sparse function borrows
    centre = np.zeros(size)
    parts: list[Floats] = [np.zeros(0)] * size
    order = np.argsort(who, kind="stable")
    edges = np.searchsorted(who[order], np.arange(size + 1))
    warmed = np.zeros(size, np.bool_)
    for f in range(size):
        chosen = order[edges[f] : edges[f + 1]]
        warm = value[chosen][~cold[chosen]]
        # of a function whose runs nearly all are the first on their hosts nobody knows what it takes on others
        warmed[f] = len(warm) >= FEWEST_WARM
        parts[f] = np.sort(warm if warmed[f] else value[chosen])
        if len(parts[f]):
            centre[f] = np.median(parts[f])
    chilled = cold & warmed[who]
    cold_extra[:size] = _cold_extra(
        value[chilled], who[chilled], centre, np.array([len(part) > 0 for part in parts], bool)
    )
    for c in range(len(COHORTS)):
        members = [f for f in range(size) if cohort[f] == c and len(parts[f])]
        residual = (
            np.sort(np.concatenate([parts[f][:: max(1, len(parts[f]) // 200)] - centre[f] for f in members]))
            if members
            else None
        )
        shape = residual if residual is not None and len(residual) >= 20 else np.sort(pooled - np.median(pooled))
        row = size + c
        everything = np.sort(np.concatenate([parts[f] for f in members])) if members else np.sort(pooled)
        quantiles[row] = _quantiles(everything)
        high[row], low[row] = _tails(shape)
        longest[row] = everything[-1]
        cold_extra[row] = max([cold_extra[f] for f in members], default=1.0)
        spread_q = _quantiles(shape)
        moments = np.minimum(exp(everything), exp(quantiles[row, -1]))
        mean[row], square[row] = moments.mean(), (moments**2).mean()
        for f in members:
            own, n = parts[f], len(parts[f])
            blend = n / (n + PRIOR_DURATIONS)
            quantiles[f] = blend * _quantiles(own) + (1 - blend) * (centre[f] + spread_q)
            quantiles[f] = np.maximum.accumulate(quantiles[f])
            # few runs say little of how long one may take: the cohort's usual spread is granted to them
            longest[f] = max(own[-1], centre[f] + spread_q[-1] * max(0.0, 1.0 - n / 200.0))
            own_high, own_low = _tails(own)
            k = max(n * TAIL_SHARE, 0.0)
            high[f] = (k * own_high + PRIOR_TAIL * high[row]) / (k + PRIOR_TAIL)
            low[f] = (k * own_low + PRIOR_TAIL * low[row]) / (k + PRIOR_TAIL)
            moments = np.minimum(exp(own), exp(quantiles[f, -1]))
            mean[f], square[f] = moments.mean(), (moments**2).mean()
    return quantiles, np.maximum(high, MIN_TAIL), np.maximum(low, MIN_TAIL), longest, cold_extra, mean, square


def _quantiles(ordered: Floats) -> Floats:
    out: Floats = np.quantile(ordered, LEVELS, method="hazen")
    return out


def _tails(ordered: Floats) -> tuple[float, float]:
    """Mean excess over the outer quantiles: the scale of an exponential tail (Hill's estimator, in ln duration)."""
    if len(ordered) < 20:
        return 1.0, 1.0
    upper, lower = np.quantile(ordered, [1 - TAIL_SHARE, TAIL_SHARE])
    above, below = ordered[ordered > upper] - upper, lower - ordered[ordered < lower]
    return (float(above.mean()) if len(above) else MIN_TAIL, float(below.mean()) if len(below) else MIN_TAIL)


def _schedules(sketch: BaselineSketch, rank: Ints, size: int, cohort: Ints) -> tuple[Floats, Ints, Ints]:
    rows = size + len(COHORTS)
    phases, width, bins = np.zeros((rows, DAY_PHASES)), np.zeros(rows, np.int64), np.zeros(rows, np.int64)
    if not sketch._phases:
        return phases, width, bins
    counted = sketch._phases[0]
    who, phase = rank[counted[:, 0].astype(np.int64)], counted[:, 1].astype(np.int64)
    for f in np.unique(who).tolist():
        if COHORTS[cohort[f]] != "timer":
            continue
        mine = who == f
        daily, hourly = np.zeros(DAY_PHASES), np.zeros(HOUR_PHASES)
        inside = phase[mine] < DAY_PHASES
        daily[phase[mine][inside]] = counted[mine, 2][inside]
        hourly[phase[mine][~inside] - DAY_PHASES] = counted[mine, 2][~inside]
        # a daily schedule is the stronger claim; a timer of a few runs a day keeps it if its runs flock together
        if FLOCK <= daily.sum() <= SPARSE_STARTS and _flocks(daily).any():
            phases[f, :DAY_PHASES] = _flocks(daily)
            width[f], bins[f] = 60 * US, DAY_PHASES
            continue
        for found, share, period_us, period in ((daily, 0.2, 60 * US, DAY_PHASES), (hourly, 0.5, 30 * US, HOUR_PHASES)):
            if found.sum() >= 4 and _concentrated(found, share):
                phases[f, :period] = found
                width[f], bins[f] = period_us, period
                break
    return phases, width, bins


def _as_on_other_days(rate: Floats) -> Floats:
    """Rates by hour of the week, float64[n, 168], each up to a half more than days like it have at that hour.

    One busy day promises nothing for its day of the week, but is expected there.
    """
    out: Floats = rate.copy()
    for alike in (slice(0, WEEKEND), slice(WEEKEND, None)):
        by_day = rate[:, alike].reshape(len(rate), -1, HOURS)
        most = ONE_DAY * by_day.mean(axis=1, keepdims=True) + ONE_CALL
        out[:, alike] = np.minimum(by_day, most).reshape(len(rate), -1)
    return out


def _shares(counts: Floats) -> Floats:
    """Each row over its sum."""
    shares: Floats = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1e-12)
    return shares


def _flocks(daily: Floats) -> Floats:
    """Share of starts by minute, each flock spread over the minutes it spans and FLOCK_MINUTES around; 0 if they stray.

    A flock is FLOCK starts or more with no gap of FLOCK_MINUTES between two of them.
    """
    minutes = np.flatnonzero(daily)
    breaks = np.flatnonzero(np.diff(minutes) > FLOCK_MINUTES)
    out = np.zeros_like(daily)
    for flock in np.split(minutes, breaks + 1):
        count = daily[flock].sum()
        if count < FLOCK or flock[-1] - flock[0] > 3 * FLOCK_MINUTES:
            return np.zeros_like(daily)
        first, last = max(flock[0] - FLOCK_MINUTES, 0), min(flock[-1] + FLOCK_MINUTES, len(daily) - 1)
        out[first : last + 1] = count / (last - first + 1)
    return out


def _concentrated(found: Floats, share: float) -> bool:
    ordered = np.sort(found)[::-1]
    needed = int(np.searchsorted(np.cumsum(ordered), 0.95 * ordered.sum())) + 1
    # phases that only chance filled must not look like a schedule
    return needed <= SCHEDULE_SHARE * len(found) and needed <= share * found.sum()
