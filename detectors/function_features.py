"""First stage: what each function's own timeline says about its invocations.

Takes collated invocations in order of completion and adds raw features (``raw_function``), the value and typical value
a person would be told, and raises a signal for every function that has gone silent.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from detectors import function_kernel as kernel
from detectors.features import FUNCTION_FEATURES
from detectors.keyed import KeyedState
from detectors.order import FUNCTION_KEY, HASH, ID, concat, in_order
from detectors.raised import raised_batch
from detectors.run_counts import RunCounts, went_well
from detectors.schema import UNREADABLE
from detectors.signatures import signature_kinds
from detectors.texts import is_text
from detectors.timeline import END, Tables
from models.baselines import BY_MESSAGE, COHORTS, HOUR_US, LEVELS, US, Baselines, pair_codes
from models.downstream import Downstream
from models.errors import BundleNewerError
from models.hashing import combine, hash_strings, shard_of
from models.jit import njit
from models.portable import log

#: sources of identity that make a caller somebody, whose habits and novelty mean something
IDENTIFIED: Final = ("property", "user", "address", "role", "geography")
#: by what callers are known that may come from anywhere
NAMED: Final = ("property", "user")
WIDTH: Final = len(FUNCTION_FEATURES)
#: nats of silence needed where training says nothing of a function's gaps
DEFAULT_SILENCE: Final = 12.0

#: us, and calls of an app that were to be expected, in which logs may say nothing of it and go on where others ended
GOES_ON_US: Final = 600 * US
GOES_ON_CALLS: Final = 12.0
#: p-value told with a silence: its threshold is far beyond the longest gap of training, so it is a bound, no measure
SILENCE_P_VALUE: Final = 1e-6
#: callers kept before the forgotten ones are cleared away
CLEAR_AT: Final = 200_000

#: what a function is told by, and what kind it is
FUNCTION: Final = ("app", "function", "trigger")
#: columns of an invocation that later stages need
KEPT: Final = (
    *(
        "invocation_id",
        "event_time",
        "at",
        "late",
        "app",
        "function",
        "trigger",
        "trigger_source",
        "caller",
        "caller_source",
    ),
    *("country", "city", "duration_ms", "succeeded", "status", "item_count", "method", "path"),
    "exception_type",
)

#: columns of an invocation, with ``at`` and ``late``, that the first stage reads: what is not here need not travel
NEEDED: Final = (
    *("record", *KEPT, "host_instance", "caller_confidence", "sdk_version", "dequeue_count", "unscheduled_reason"),
    *("message", "app_version", "operation_id"),
)

Vector = npt.NDArray[Any]


def matrix(values: Vector) -> pa.Array:
    """float[n, k] as a fixed-size list column."""
    return pa.FixedSizeListArray.from_arrays(pa.array(values.reshape(-1)), values.shape[1])


def from_matrix(column: pa.Array) -> Vector:
    """The inverse of ``matrix``."""
    if isinstance(column, pa.ChunkedArray):
        column = column.combine_chunks()
    return np.asarray(column.flatten()).reshape(len(column), column.type.list_size)


def slots(column: pa.Array) -> Vector:
    """As ``from_matrix``, with something in the place of rows that are null."""
    if not column.null_count:
        return from_matrix(column)
    width = column.type.list_size
    numbers = np.asarray(column.values.fill_null(0.0)).reshape(-1, width)
    return numbers[column.offset : column.offset + len(column)]


def failures(succeeded: pa.Array) -> Vector:
    """int8[n]: 1 where an invocation is known to have failed, else 0."""
    failed: Vector = np.asarray(succeeded.cast(pa.int8()).fill_null(-1)) == 0
    return failed.astype(np.int8)


def refusals(status: pa.Array) -> Vector:
    """int8[n]: ``REFUSED`` by a client error (HTTP 4xx), ``MALFORMED`` as a call that can't be read, else 0."""
    code = np.asarray(status.fill_null(0))
    refused = np.where((code >= 400) & (code < 500), kernel.REFUSED, 0)
    return np.where(np.isin(code, list(UNREADABLE)), kernel.MALFORMED, refused).astype(np.int8)


def own_rows(tables: Mapping[str, pa.Table], column: str, shard: int, shards: int) -> Tables:
    """The rows of a whole tenant's state that belong to one shard, by the hash in ``column``."""
    out = {}
    for name, table in tables.items():
        if shards > 1 and column in table.column_names:
            of = shard_of(table.column(column).to_numpy().astype(np.uint64), shards)
            table = table.filter(pa.array(of == shard))
        out[name] = table
    return out


def _firsts(column: pa.DictionaryArray) -> tuple[list[int], list[str]]:
    """The row in which each value comes first, and the value."""
    codes, rows = np.unique(np.asarray(column.indices), return_index=True)
    return rows.tolist(), column.dictionary.take(pa.array(codes)).to_pylist()


@njit
def _cross(
    rows: Any, state: Any, times: Any, missed: Any, alarms: Any, mean_rate: Any, silence_nats: Any, until: Any,
    known: Any, out: Any,
) -> None:  # fmt: skip
    """When each function known from training, and at its pace since, has been silent for too long."""
    for k in range(rows.shape[0]):
        row = rows[k]
        if row < known and times[k, kernel.T_ARMED] == kernel.PACED and mean_rate[row] > 0.0:
            last = times[k, kernel.T_LAST]
            level = kernel.level_of(state[k, kernel.S_N60], state[k, kernel.S_E60])
            level = kernel.rows_of(level, state[k, kernel.S_ITEMS])
            out[k], _ = kernel.missed_since(missed[row], alarms[row], level, last, until, silence_nats[row])


@njit
def _cross_apps(state: Any, lasts: Any, armed: Any, missed: Any, alarms: Any, until: Any, out: Any) -> None:
    """When each app that was at its pace has been silent for too long."""
    for a in range(lasts.shape[0]):
        if armed[a] == kernel.PACED:
            level = kernel.level_of(state[a, kernel.A_N60], state[a, kernel.A_E60])
            out[a] = kernel.alarmed_since(alarms[a], missed[a], level, lasts[a], until)


@dataclass(frozen=True)
class Usual:
    """What every shard asks of the baselines, F functions and C cohorts: worked out once.

    Attributes:
        rows: row of each function, by app and name.
        of_app: rows of each app.
        missed, steady, unnoticed, phase_sum: as ``Baselines.missed``, ``steady``, ``unnoticed`` and
            ``starts_on_schedule`` give them.
        hands: as ``Baselines.hands`` gives it.
        longest_alike: float64[F+C], as ``Baselines.longest_alike`` gives it.
        mean_rate, max_rate: float64[F+C], invocations per second in a mean hour of the week and in the busiest.
    """

    rows: Mapping[tuple[str, str], int]
    of_app: Mapping[str, list[int]]
    missed: Vector
    steady: Vector
    unnoticed: Vector
    phase_sum: Vector
    hands: Vector
    longest_alike: Vector
    mean_rate: Vector
    max_rate: Vector

    @classmethod
    def of(cls, baselines: Baselines) -> Usual:
        """Work it out."""
        of_app: dict[str, list[int]] = {}
        for row, app in enumerate(baselines.apps):
            of_app.setdefault(app, []).append(row)
        missed = baselines.missed()
        return cls(
            {name: row for row, name in enumerate(baselines.names())},
            of_app,
            missed,
            baselines.steady(missed),
            baselines.unnoticed(),
            baselines.starts_on_schedule(),
            baselines.hands(),
            baselines.longest_alike(),
            baselines.rate.mean(axis=1),
            baselines.rate.max(axis=1),
        )


class FunctionFeatures:
    """The fold of the first stage, behind ``Collate``.

    Args:
        baselines: what is usual.
        silence_nats: float64[len(baselines.cohort)], expected calls over dispersion after which silence is strange.
        usual: of these baselines, where it is known already.
        downstream: who follows whom, so that their runs are counted.
    """

    def __init__(
        self,
        baselines: Baselines,
        silence_nats: Vector,
        usual: Usual | None = None,
        downstream: Downstream | None = None,
    ) -> None:
        self._base = baselines
        self._usual = usual or Usual.of(baselines)
        self._silence = silence_nats
        self._names: dict[tuple[str, str], int] = {}
        self._rows: Vector = np.zeros(0, np.int64)
        self._owners: list[int] = []
        self._state = np.zeros((0, kernel.FUNCTION_STATE))
        self._times = np.zeros((0, kernel.FUNCTION_TIMES), np.int64)
        self._hosts = np.zeros((0, kernel.HOSTS), np.uint64)
        self._host_since = np.zeros((0, kernel.HOSTS), np.int64)
        self._operations = np.zeros((0, kernel.OPERATIONS), np.uint64)
        self._pairs = KeyedState(
            {
                "app_key": (np.uint64, 0, 0),
                "state": (np.float64, kernel.PAIR_STATE, 0.0),
                "times": (np.int64, kernel.PAIR_TIMES, 0),
            }
        )
        self._lands = KeyedState({"app_key": (np.uint64, 0, 0), "seen": (np.float64, 2, 0.0), "day": (np.int64, 0, 0)})
        self._apps: dict[str, int] = {}
        self._app_of = np.zeros(0, np.int64)
        self._app_state = np.zeros((0, kernel.APP_STATE))
        self._app_last = np.zeros(0, np.int64)
        self._app_armed = np.zeros(0, np.int64)
        self._app_rate, self._app_missed, self._app_alarms = self._usual_of([])
        self._counts = RunCounts(downstream or Downstream.none())
        self._raised: pa.RecordBatch | None = None
        self._clear_at = CLEAR_AT

    # ------------------------------------------------------------------ functions
    def _function_rows(self, apps: pa.Array, functions: pa.Array, triggers: pa.Array) -> tuple[Vector, Vector]:
        """State row of each event, and the hash of its (app, function)."""
        codes, names = pair_codes(apps, functions)
        fresh = [code for code, name in enumerate(names) if name not in self._names]
        if fresh:
            _, first = np.unique(codes, return_index=True)
            cohorts = [COHORTS.index(_cohort(triggers[int(first[code])].as_py())) for code in fresh]
            self._add([names[code] for code in fresh], cohorts)
        lookup = np.array([self._names[n] for n in names], dtype=np.int64)
        owners = np.array([self._owners[r] for r in lookup], dtype=np.uint64)
        return lookup[codes], owners[codes]

    def _add(self, names: list[tuple[str, str]], cohorts: list[int]) -> None:
        hashes = combine(hash_strings(pa.array([a for a, _ in names])), hash_strings(pa.array([f for _, f in names])))
        for name, owner in zip(names, hashes.tolist(), strict=True):
            self._names[name] = len(self._names)
            self._owners.append(owner)
        size = len(self._base)
        rows = [self._usual.rows.get(n, size + c) for n, c in zip(names, cohorts, strict=True)]
        self._rows = np.concatenate([self._rows, np.array(rows, np.int64)])
        more = len(names)
        fresh = [app for app in dict.fromkeys(app for app, _ in names) if app not in self._apps]
        if fresh:
            self._apps |= {app: len(self._apps) + number for number, app in enumerate(fresh)}
            rate, missed, alarms = self._usual_of(fresh)
            self._app_rate = np.concatenate([self._app_rate, rate])
            self._app_missed = np.concatenate([self._app_missed, missed])
            self._app_alarms = np.concatenate([self._app_alarms, alarms])
            self._app_armed = np.concatenate([self._app_armed, np.full(len(fresh), kernel.UNHEARD)])
            self._app_state = np.concatenate([self._app_state, np.zeros((len(fresh), kernel.APP_STATE))])
            self._app_last = np.concatenate([self._app_last, np.zeros(len(fresh), np.int64)])
        self._app_of = np.concatenate([self._app_of, np.array([self._apps[a] for a, _ in names], np.int64)])
        self._state = np.concatenate([self._state, np.zeros((more, kernel.FUNCTION_STATE))])
        self._times = np.concatenate([self._times, np.zeros((more, kernel.FUNCTION_TIMES), np.int64)])
        self._hosts = np.concatenate([self._hosts, np.zeros((more, kernel.HOSTS), np.uint64)])
        self._host_since = np.concatenate([self._host_since, np.zeros((more, kernel.HOSTS), np.int64)])
        self._operations = np.concatenate([self._operations, np.zeros((more, kernel.OPERATIONS), np.uint64)])

    def _usual_of(self, apps: list[str]) -> tuple[Vector, Vector, Vector]:
        """Rates, what is missed where it does not come, and how fast that becomes an alarm, a row an app."""
        of_app = [self._usual.of_app.get(app, []) for app in apps]
        rate, missed, alarms = (
            np.array([table[rows].sum(axis=0) for rows in of_app]).reshape(len(apps), table.shape[1])
            for table in (self._base.rate, self._usual.missed, self._base.app_alarms)
        )
        # some functions are missed on any day; of the others together that is known of days that were seen
        return rate, missed * self._base.covered, alarms

    def _take_back(self, functions: int, apps: int) -> None:
        """Forget the functions and apps beyond the first so many: only late rows had them, and those leave no trace."""
        for name in list(self._names)[functions:]:
            del self._names[name]
        for app in list(self._apps)[apps:]:
            del self._apps[app]
        del self._owners[functions:]
        self._rows, self._app_of, self._times = (
            self._rows[:functions],
            self._app_of[:functions],
            self._times[:functions],
        )
        self._state, self._hosts = self._state[:functions], self._hosts[:functions]
        self._host_since = self._host_since[:functions]
        self._operations = self._operations[:functions]
        self._app_state, self._app_last, self._app_armed, self._app_rate, self._app_missed, self._app_alarms = (
            self._app_state[:apps], self._app_last[:apps], self._app_armed[:apps], self._app_rate[:apps],
            self._app_missed[:apps], self._app_alarms[:apps],
        )  # fmt: skip

    # ------------------------------------------------------------------ the fold
    def advance(self, rows: pa.RecordBatch, watermark_us: int) -> pa.RecordBatch:
        """Add features to invocations (sorted by ``at``); ``raised()`` then gives silences, and counts of runs."""
        n = rows.num_rows
        base, b = self._base, self._rows
        raw, value, typical = (np.zeros((n, WIDTH), np.float32) for _ in range(3))
        cold, pair_age, deployed = np.zeros(n, np.bool_), np.zeros(n, np.int64), np.zeros(n, np.int64)
        company, usual_peak = np.zeros(n), np.zeros(n)
        refused_as_usual = np.zeros(n, np.bool_)
        # an event may end the silence of its function, and that of its app
        quiet_f, quiet_at, quiet_since, quiet_until = (np.zeros(2 * n + 1, np.int64) for _ in range(4))
        f = np.zeros(0, np.int64)
        owner = app_key = caller = country = np.zeros(0, np.uint64)
        identified = by_place = named = np.zeros(0, np.bool_)
        quiet = 0
        if n:
            late = np.asarray(rows.column("late"))
            if late.any() and not late.all():  # what came in time is entered first, so that the rest can be taken back
                self._function_rows(*(rows.column(name).filter(pa.array(~late)) for name in FUNCTION))
            self._go_on(rows, late)
            functions, apps = len(self._names), len(self._apps)
            f, owner = self._function_rows(*(rows.column(name) for name in FUNCTION))
            b = self._rows
            app_key = hash_strings(rows.column("app"))
            caller = hash_strings(rows.column("caller"))
            keys = combine(owner, caller)
            pair, pairs_in_time = self._pairs.rows_in_time(keys, late)
            self._pairs.columns["app_key"][pair] = app_key
            country = hash_strings(rows.column("country"))
            land = np.full(n, -1, np.int64)
            placed = country != 0
            land[placed], lands_in_time = self._lands.rows_in_time(combine(owner, country)[placed], late[placed])
            self._lands.columns["app_key"][land[placed]] = app_key[placed]
            identified = is_text(rows.column("caller_source"), *IDENTIFIED)
            by_place = is_text(rows.column("caller_source"), "geography")
            named = is_text(rows.column("caller_source"), *NAMED)
            weight = np.asarray(rows.column("item_count")).astype(np.float64)
            duration = rows.column("duration_ms").to_numpy(zero_copy_only=False)
            # Arrow lends it for reading where all rows have one: the loop would be compiled anew for that
            deliveries = rows.column("dequeue_count").cast(pa.float64()).to_numpy(zero_copy_only=False)
            deliveries = np.require(deliveries, requirements="W")
            # who counts deliveries knows better than who takes operations for messages; and runs that one run starts
            # share its operation
            uncounted = np.isnan(deliveries) & is_text(rows.column("trigger"), *BY_MESSAGE)
            trigger = rows.column("trigger")
            manual = is_text(trigger, "host-api")
            home = np.array(COHORTS)[base.cohort[b[f]]]
            unscheduled = np.asarray(rows.column("unscheduled_reason").is_valid()).astype(np.int8)
            unscheduled[manual & (home != "host-api")] = kernel.BY_HAND
            with np.errstate(invalid="ignore", divide="ignore"):
                lnd = log(np.maximum(duration.astype(np.float64), 0.01))
            pairs, lands = self._pairs.columns, self._lands.columns
            events = (
                f, np.asarray(rows.column("at")), np.asarray(rows.column("event_time").cast(pa.int64())), pair,
                caller.view(np.int64), identified, by_place, lnd,
                failures(rows.column("succeeded")), refusals(rows.column("status")), weight,
                hash_strings(rows.column("app_version")).view(np.int64), hash_strings(rows.column("host_instance")),
                np.where(uncounted, hash_strings(rows.column("operation_id")), np.uint64(0)),
                deliveries,
                unscheduled, ~manual & (home == "timer"),
                late, signature_of(rows), weight > 1.0,
            )  # fmt: skip
            state = (
                self._state, self._times, self._hosts, self._host_since, self._operations,
                self._app_of, self._app_state, self._app_last, self._app_rate, self._app_missed, self._app_alarms,
                self._app_armed, land, lands["seen"], lands["day"],
                base.foreign(country), pairs["state"], pairs["times"],
            )  # fmt: skip
            gone = (quiet_f, quiet_at, quiet_since, quiet_until)
            out = (raw, value, typical, cold, pair_age, company, usual_peak, refused_as_usual, deployed, *gone)
            arguments = (*events, *self._parameters(b), LEVELS, *state, *out)
            quiet = kernel.advance_functions(*arguments)
            self._count(rows, owner, weight, late)
            if late.any():
                self._take_back(functions, apps)
                self._pairs.take_back(pairs_in_time)
                self._lands.take_back(lands_in_time)
        self._clear(rows)
        found = (quiet_f[:quiet], quiet_at[:quiet], quiet_since[:quiet], quiet_until[:quiet])
        signals = (self._silences(*found, watermark_us), self._counts.take(watermark_us))
        raised = [batch for batch in signals if batch is not None]
        self._raised = in_order(concat(raised)) if len(raised) > 1 else next(iter(raised), None)
        columns = [rows.column(name) for name in KEPT]
        fields = [rows.schema.field(name) for name in KEPT]
        extra = {
            "raw_function": matrix(raw),
            "value_function": matrix(value),
            "typical_function": matrix(typical),
            "cold": pa.array(cold),
            "pair_age_us": pa.array(pair_age),
            "company": pa.array(company),
            "usual_peak": pa.array(usual_peak),
            "deployed_us": pa.array(deployed),
            "failure_rate": pa.array(base.failure_rate[b[f]] if n else np.zeros(0)),
            # that somebody is refused so often here happens on most days
            "refusal_rate": pa.array(np.where(refused_as_usual, 1.0, base.refusal_rate[b[f]] if n else 0.0)),
            # said once for all stages, so that the strings themselves need not travel
            f"{ID}{HASH}": pa.array(hash_strings(rows.column(ID))),
            **{f"{n}{HASH}": pa.array(h) for n, h in (("app", app_key), ("caller", caller), ("country", country))},
            FUNCTION_KEY: pa.array(owner),
            "identified": pa.array(identified),
            "by_place": pa.array(by_place),
            "named": pa.array(named),
            **self._places(b[f], rows.column("trigger")),
        }
        schema = pa.schema([*fields, *(pa.field(k, v.type) for k, v in extra.items())])
        return pa.RecordBatch.from_arrays([*columns, *extra.values()], schema=schema)

    def _places(self, b: Vector, trigger: pa.Array) -> dict[str, pa.Array]:
        """Row of each event's function in the baselines, or -1, and its cohort, as ``Judge.locate`` finds them."""
        known = b < len(self._base)
        group = np.where(known, b, -1)
        cohort = self._base.cohort[b]
        if not known.all():
            cohort = np.where(known, cohort, cohorts_of(trigger))
        return {"group": pa.array(group.astype(np.int32)), "cohort": pa.array(cohort.astype(np.int16))}

    def _parameters(self, b: Vector) -> tuple[Vector, ...]:
        base = self._base
        known = b < len(base)
        return (
            *(getattr(base, n)[b] for n in ("quantiles", "tail_high", "tail_low", "longest")),
            self._usual.longest_alike[b],
            *(getattr(base, n)[b] for n in ("count", "spread", "cold_extra")),
            *(getattr(base, n)[b] for n in ("failure_rate", "refusal_rate", "rate")),
            self._usual.mean_rate[b],
            self._usual.max_rate[b],
            self._usual.missed[b],
            self._usual.steady[b],
            self._usual.unnoticed[b],
            *(
                getattr(base, n)[b]
                for n in ("dispersion", "between_days", "day_spread", "waves", "mean_ms", "square_ms")
            ),
            *(getattr(base, n)[b] for n in ("phases", "phase_us", "phase_count")),
            self._usual.phase_sum[b],
            self._usual.hands,
            known,
            self._silence[b],
            base.alarms[b],
        )

    def _count(self, rows: pa.RecordBatch, owner: Vector, weight: Vector, late: Vector) -> None:
        """Count the runs that came in time, where any function follows another."""
        if not len(self._counts.known):
            return
        good = went_well(rows.column("succeeded"), rows.column("status"))
        columns = (owner, np.asarray(rows.column("at")), weight, good)
        self._counts.add(*(columns if not late.any() else (column[~late] for column in columns)))

    def _clear(self, rows: pa.RecordBatch) -> None:
        """Drop callers that count as forgotten anyway, so that memory follows callers alive, not time."""
        if len(self._pairs) < self._clear_at or rows.num_rows == 0:
            return
        now_us = int(np.asarray(rows.column("at"))[-1])
        times, state = (self._pairs.columns[name][: len(self._pairs)] for name in ("times", "state"))
        calls = state[:, kernel.P_SETTLED] + state[:, kernel.P_TODAY]
        self._pairs.keep(kernel.remembered(times[:, kernel.Q_LAST], times[:, kernel.Q_SETTLED_DAYS], calls, now_us))
        self._clear_at = max(CLEAR_AT, 2 * len(self._pairs))

    # ------------------------------------------------------------------ silence
    def _silences(
        self, f: Vector, at: Vector, since: Vector, until: Vector, watermark_us: int
    ) -> pa.RecordBatch | None:
        """Silences that events ended, that they did, and those that the watermark found still going on; None: nothing.

        Args:
            f: int64[n], functions that were silent; beyond them, apps.
            at: int64[n], when that became strange, UTC us; -1 where it was told before.
            since: int64[n], last sign of life before.
            until: int64[n], first sign of life after.
            watermark_us: up to which all is known.
        """
        ended = list(zip(f.tolist(), at.tolist(), since.tolist(), until.tolist(), strict=True))
        found = [(a, k, s, "silence", False) for k, a, s, _ in ended if a >= 0]
        found += [(u, k, s, "speech", False) for k, _, s, u in ended]
        # functions that spoke in these logs; what others said may be later, in logs that a model was trained on
        speaking = self._times[:, kernel.T_ARMED] >= kernel.HEARD
        crossings = self._crossings(min(watermark_us, END))
        for k in np.flatnonzero((crossings >= 0) & (crossings < watermark_us)).tolist():
            at_us, since_us = int(crossings[k]), int(self._times[k, kernel.T_LAST])
            found.append((at_us, k, since_us, "silence", watermark_us >= END))
            # told once: it counts as missing again when it has come back to its pace
            self._times[k, kernel.T_ARMED] = kernel.MISSED
        crossings = self._app_crossings(min(watermark_us, END))
        for a in np.flatnonzero((crossings >= 0) & (crossings < watermark_us)).tolist():
            since_us = int(self._app_last[a])
            found.append((int(crossings[a]), len(self._names) + a, since_us, "silence", watermark_us >= END))
            self._app_armed[a] = kernel.MISSED
        if not found and watermark_us < END:
            return None
        names = [*self._names, *((app, "") for app in self._apps)]
        # two at the same moment stand by name: the places of functions are others once state was saved and read
        found.sort(key=lambda one: (one[0], names[one[1]], *one[2:]))
        rows = len(found)
        silent = [signal == "silence" for _, _, _, signal, _ in found]
        columns: dict[str, Any] = {
            "at": [a for a, *_ in found],
            "invocation_id": [f"{signal}:{names[k][0]}/{names[k][1]}@{s}" for _, k, s, signal, _ in found],
            "event_time": [a for a, *_ in found],
            "app": [names[k][0] for _, k, *_ in found],
            "function": [names[k][1] for _, k, *_ in found],
            "trigger": [self._fired_by(k, names[k][0]) for _, k, *_ in found],
            "candidate": [True] * rows,
            "p_value": [SILENCE_P_VALUE if gone else 1.0 for gone in silent],
            "signal": [signal for _, _, _, signal, _ in found],
            "since": [s for _, _, s, *_ in found],
            "per_hour": [
                self._expected(k, s, a) * HOUR_US / max(a - s, 1) if gone else None
                for (a, k, s, *_), gone in zip(found, silent, strict=True)
            ],
            "horizon": [h for *_, h in found],
        }
        if watermark_us >= END and speaking.any():
            reached = int(self._times[speaking, kernel.T_LAST].max())
            for name, value in (("at", reached), ("event_time", reached), ("invocation_id", f"tick@{reached}")):
                columns[name].append(value)
            for name, value in (
                ("app", ""),
                ("function", ""),
                ("trigger", "other"),
                ("candidate", True),
                ("signal", "tick"),
            ):
                columns[name].append(value)
            columns["p_value"].append(1.0)
            for name in ("since", "per_hour", "horizon"):
                columns[name].append(None)
            rows += 1
        return raised_batch(columns, rows)

    def _fired_by(self, k: int, app: str) -> str:
        """What fires a function, or beyond them most of an app's calls."""
        if k < len(self._names):
            return COHORTS[self._base.cohort[self._rows[k]]]
        busiest = max(self._usual.of_app.get(app, [-1]), key=lambda row: float(self._usual.mean_rate[row]))
        return COHORTS[self._base.cohort[busiest]]

    def raised(self) -> pa.RecordBatch | None:
        """What the last ``advance`` found: silences, their ends, counts of runs, and at the end how far logs reach."""
        return self._raised

    def due(self) -> int | None:
        """The lowest watermark at which a silence would be found, or runs have been counted."""
        crossings = np.concatenate([self._crossings(END), self._app_crossings(END)])
        waiting = [int(us) + 1 for us in crossings[crossings >= 0]]
        counted = self._counts.due()
        return min([*waiting, counted] if counted is not None else waiting, default=None)

    def _expected(self, k: int, since_us: int, until_us: int) -> float:
        """Calls that were to be expected of a function, or beyond them of an app, from one moment to another."""
        functions = len(self._names)
        missed = self._usual.missed[self._rows[k]] if k < functions else self._app_missed[k - functions]
        return float(kernel.silent_since(missed, 1.0, since_us, until_us, np.inf)[1])

    def _crossings(self, until_us: int) -> Vector:
        """int64[functions]: when each function's silence becomes strange if it says nothing until then; -1 if not."""
        out = np.full(len(self._rows), -1, np.int64)
        if len(out):
            _cross(
                self._rows,
                self._state,
                self._times,
                self._usual.missed,
                self._base.alarms,
                self._usual.mean_rate,
                self._silence,
                until_us,
                len(self._base),
                out,
            )
        return out

    def _app_crossings(self, until_us: int) -> Vector:
        """As ``_crossings``, of apps as a whole, int64[apps]."""
        out = np.full(len(self._apps), -1, np.int64)
        if len(out):
            about = (self._app_last, self._app_armed, self._app_missed, self._app_alarms)
            _cross_apps(self._app_state, *about, until_us, out)
        return out

    def disarm(self) -> None:
        """What comes may be other logs: a gap between training and replay is no silence.

        Silence counts from when a function is at its pace again; or from when the logs are seen to go on where they
        ended, for those that were at their pace then.
        """
        for armed in (self._times[:, kernel.T_ARMED], self._app_armed):
            armed[:] = np.where(armed == kernel.PACED, kernel.LEFT, kernel.UNHEARD)

    def _go_on(self, rows: pa.RecordBatch, late: Vector) -> None:
        """Of each app that is heard of for the first time since ``disarm``: do its logs go on where they ended?"""
        left, left_apps = (armed == kernel.LEFT for armed in (self._times[:, kernel.T_ARMED], self._app_armed))
        if not left.any() and not left_apps.any():
            return
        apps = rows.column("app").filter(pa.array(~late)).dictionary_encode()
        first = {name: place for place, name in zip(*_firsts(apps), strict=True)}
        at = np.asarray(rows.column("at"))[~late]
        for name, app in self._apps.items():
            mine = left & (self._app_of == app)
            if name not in first or not (mine.any() or left_apps[app]):
                continue
            ended, begins = int(self._app_last[app]), int(at[first[name]])
            goes_on = ended <= begins and (
                begins - ended <= GOES_ON_US
                or kernel.silent_since(self._app_rate[app], 1.0, ended, begins, np.inf)[1] <= GOES_ON_CALLS
            )
            self._times[mine, kernel.T_ARMED] = kernel.PACED if goes_on else kernel.UNHEARD
            if left_apps[app]:
                self._app_armed[app] = kernel.PACED if goes_on else kernel.UNHEARD

    def begin_anew(self) -> None:
        """What comes follows a hole in the logs: it is no silence, and windows begin anew."""
        self._times[:, kernel.T_LAST] = 0
        self._times[:, kernel.T_ARMED] = self._app_armed[:] = kernel.UNHEARD

    def longest_gaps(self, until_us: int) -> dict[tuple[str, str], float]:
        """Longest silence lived through by each function up to a moment, in expected calls."""
        gaps = self._state[:, kernel.S_MAX_GAP].copy()
        last = self._times[:, kernel.T_LAST]
        for k in np.flatnonzero((last > 0) & (self._rows < len(self._base))).tolist():
            # the silence that still goes on counts, too
            gaps[k] = max(gaps[k], self._expected(k, int(last[k]), until_us))
        return {name: float(gaps[k]) for name, k in self._names.items()}

    # ------------------------------------------------------------------ state
    def snapshot(self) -> Tables:
        """Functions and their callers as plain tables, ordered by name and key."""
        names = list(self._names)
        order = sorted(range(len(names)), key=lambda k: names[k])
        size = len(self._base)
        functions = pa.table(
            {
                "app": pa.array([names[k][0] for k in order], pa.string()),
                "function": pa.array([names[k][1] for k in order], pa.string()),
                "cohort": pa.array([int(self._base.cohort[self._rows[k]]) for k in order], pa.int64()),
                "known": pa.array([bool(self._rows[k] < size) for k in order], pa.bool_()),
                "app_key": hash_strings(pa.array([names[k][0] for k in order], pa.string())),
                "state": matrix(self._state[order]),
                "times": matrix(self._times[order]),
                "hosts": matrix(self._hosts[order]),
                "host_since": matrix(self._host_since[order]),
                "operations": matrix(self._operations[order]),
            }
        )
        apps = sorted(self._apps)
        rows = [self._apps[a] for a in apps]
        app_table = pa.table(
            {
                "app": pa.array(apps, pa.string()),
                "app_key": hash_strings(pa.array(apps, pa.string())),
                "state": matrix(self._app_state[rows]),
                "last": self._app_last[rows],
                "armed": self._app_armed[rows],
            }
        )
        return {
            "functions": functions,
            "pairs": self._pairs.to_table(),
            "lands": self._lands.to_table(),
            "apps": app_table,
            "counts": self._counts.snapshot(),
        }

    def restore(self, tables: Mapping[str, pa.Table]) -> None:
        """Take over a snapshot, of this or of other baselines: functions are found by name."""
        functions = tables["functions"].combine_chunks()
        self._names, self._owners, self._apps = {}, [], {}
        self._app_of, self._app_last, self._app_armed = (np.zeros(0, np.int64) for _ in range(3))
        self._app_state = np.zeros((0, kernel.APP_STATE))
        self._app_rate, self._app_missed, self._app_alarms = self._usual_of([])
        self._rows = np.zeros(0, np.int64)
        names = list(zip(functions.column("app").to_pylist(), functions.column("function").to_pylist(), strict=True))
        if names:
            self._add(names, functions.column("cohort").to_pylist())
        self._state = _widened(from_matrix(functions.column("state")), kernel.FUNCTION_STATE)
        self._times = _widened(from_matrix(functions.column("times")), kernel.FUNCTION_TIMES)
        self._hosts = from_matrix(functions.column("hosts")).copy()
        # what an earlier version saved does not say since when
        saved = "host_since" in functions.schema.names
        self._host_since = (
            from_matrix(functions.column("host_since")).copy() if saved else np.zeros_like(self._hosts, np.int64)
        )
        self._operations = from_matrix(functions.column("operations")).copy()
        self._pairs.load_table(tables["pairs"])
        self._lands.load_table(tables["lands"])
        if "counts" in tables:
            self._counts.restore(tables["counts"])
        saved = tables["apps"].combine_chunks()
        for place, app in enumerate(saved.column("app").to_pylist()):
            if app in self._apps:
                self._app_state[self._apps[app]] = from_matrix(saved.column("state"))[place]
                self._app_last[self._apps[app]] = saved.column("last")[place].as_py()
                self._app_armed[self._apps[app]] = saved.column("armed")[place].as_py()


def _widened(matrix: Vector, width: int) -> Vector:
    """A copy with columns of zeros for what an earlier version did not count.

    Raises:
        BundleNewerError: it counts more than this version does.
    """
    if matrix.shape[1] > width:
        raise BundleNewerError(
            "This model or state was written by a newer Lonetree.",
            expected=f"{width} numbers a function at most",
            received=f"{matrix.shape[1]}",
            hint="Update Lonetree, or choose an older version of the model.",
        )
    return np.pad(matrix, ((0, 0), (0, width - matrix.shape[1])))


def cohorts_of(triggers: pa.Array | pa.ChunkedArray) -> Vector:
    """The cohort of each trigger, int64[n]; that of all others where there is none."""
    codes = triggers.dictionary_encode()
    if isinstance(codes, pa.ChunkedArray):
        codes = codes.combine_chunks()
    known = [COHORTS.index(_cohort(trigger)) for trigger in [*codes.dictionary.to_pylist(), None]]
    found: Vector = np.array(known, dtype=np.int64)[np.asarray(codes.indices.fill_null(len(known) - 1))]
    return found


def _cohort(trigger: str | None) -> str:
    return trigger if trigger in COHORTS else "other"


def signature_of(rows: pa.RecordBatch) -> Vector:
    """int8[n]: the kind of attack signature in path or message, 0 for none."""
    kinds = np.asarray(signature_kinds(rows.column("path")))
    more = np.asarray(signature_kinds(rows.column("message")))
    return np.where(kinds > 0, kinds, more).astype(np.int8)
