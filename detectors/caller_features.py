"""Second stage, first half: what each caller's own timeline says, across functions, apps and countries."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import pairwise
from typing import Any, Final, NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from detectors import caller_kernel as kernel
from detectors.features import CALLER_FEATURES, INDEX
from detectors.function_features import CLEAR_AT, IDENTIFIED, failures, from_matrix, matrix, refusals
from detectors.function_kernel import DAY_US, remembered
from detectors.keyed import KeyedState
from detectors.order import FUNCTION_KEY, hashed
from detectors.regions import regions
from detectors.timeline import Tables
from models.baselines import HOUR_US

WIDTH: Final = len(CALLER_FEATURES)
#: calls that a sampled row may stand for where its caller may still be told to be in two countries
MOST_SAMPLED: Final = 10.0
#: what the function's timeline says of a country
_PLACES: Final = ("country_rare_here", "country_new")
Vector = npt.NDArray[Any]


def by_day(rows: pa.RecordBatch) -> Iterator[pa.RecordBatch]:
    """Rows sorted by ``at``, cut at each change of the UTC day, when what was done becomes habit."""
    day = np.asarray(rows.column("at")) // DAY_US
    cuts = [0, *(np.flatnonzero(np.diff(day)) + 1).tolist(), rows.num_rows]
    return (rows.slice(begin, end - begin) for begin, end in pairwise(cuts))


def _outcomes(rows: pa.RecordBatch) -> tuple[Vector, Vector]:
    """int8[n] each: which invocations failed (``failures``), and how they were refused (``refusals``)."""
    return failures(rows.column("succeeded")), refusals(rows.column("status"))


def _excused(raw_function: Vector, travelled: Vector) -> Vector:
    """What the function's timeline says, float[n, w]: less of those who may have travelled, bool[n].

    A country then claims no more there than it does on the caller's own timeline.
    """
    if not travelled.any():
        return raw_function
    out: Vector = raw_function.copy()
    for name in _PLACES:
        out[travelled, INDEX[name]] = np.minimum(out[travelled, INDEX[name]], kernel.TRAVELLED)
    return out


class Reach(NamedTuple):
    """How seldom callers of other apps come to each app, and callers to another country, as training saw it.

    Attributes:
        app: uint64[a], hashes, sorted.
        nats: float64[a], calls of an app for each caller that had been known elsewhere for a while, in logarithms.
        abroad: days of callers that may come from anywhere, against those of them that changed country, in logarithms.
    """

    app: Vector
    nats: Vector
    abroad: float = 0.0

    @classmethod
    def of(cls, tables: Mapping[str, pa.Table] | None) -> Reach:
        """From ``CallerFeatures.snapshot`` of all callers; without it nothing is known of any app."""
        callers = tables["callers"].combine_chunks() if tables else None
        if callers is None or not len(callers):
            return cls(np.zeros(0, np.uint64), np.zeros(0))
        state, times, apps, first, lands, landed = (
            from_matrix(callers.column(name)) for name in ("state", "times", "apps", "app_first", "lands", "land_first")
        )
        begun = times[:, kernel.D_FIRST, None]
        # an address stays where it is: only who is known by a name may come from anywhere
        may_go = (state[:, kernel.C_NAMED] > 0.0) & (lands != 0).any(axis=1)
        gone = may_go & ((lands != 0) & (landed - begun > kernel.ARRIVAL_US)).any(axis=1)
        days = state[may_go, kernel.C_DAYS].sum()
        abroad = max(float(np.log((days + 1.0) / np.square(gone.sum() + 1.0))), 0.0)
        known = apps != 0
        calls = state[:, kernel.C_SETTLED] + state[:, kernel.C_TODAY]
        # of who calls several apps each has a like part
        parts = np.broadcast_to((calls / np.maximum(known.sum(axis=1), 1))[:, None], apps.shape)
        came = known & (first - begun > kernel.ARRIVAL_US)
        app, place = np.unique(apps[known], return_inverse=True)
        many, others = (np.bincount(place.reshape(-1), part[known], len(app)) for part in (parts, came))
        # where nobody goes from one app to another, this is as rare as all calls say
        nobody = np.log((many.sum() + 1.0) / np.square(others.sum() + 1.0))
        return cls(app, np.maximum(np.log((many + 1.0) / (others + 1.0)), nobody), abroad)

    def find(self, app: Vector) -> Vector:
        """float64[n]: by hash of the app; 0 for one that training did not know."""
        if not len(self.app):
            return np.zeros(len(app))
        place = np.minimum(np.searchsorted(self.app, app), len(self.app) - 1)
        return np.where(self.app[place] == app, self.nats[place], 0.0)


class CallerFeatures:
    """State of all callers of a shard; adds ``raw_caller`` and what a person would be told.

    Args:
        reach: of the apps; without it a caller's own calls alone say how rare it is that it comes to another app.
    """

    def __init__(self, reach: Reach | None = None) -> None:
        self._reach = reach or Reach.of(None)
        places = kernel.PLACES
        self._callers = KeyedState(
            {
                "state": (np.float64, kernel.CALLER_STATE, 0.0),
                "times": (np.int64, kernel.CALLER_TIMES, 0),
                "apps": (np.uint64, places, 0),
                "app_first": (np.int64, places, 0),
                "app_last": (np.int64, places, 0),
                "lands": (np.uint64, places, 0),
                "land_first": (np.int64, places, 0),
                "land_last": (np.int64, places, 0),
                "settled_hours": (np.float32, 24, 0.0),
                "today_hours": (np.float32, 24, 0.0),
            }
        )
        self._clear_at = CLEAR_AT
        #: of the rows measured last: each one's caller as a row of the state, and whether it can be unlearned
        self._row, self._learned = np.zeros(0, np.int64), np.zeros(0, np.bool_)
        #: of the rows measured last: hash of the country that the caller came from sooner than anyone travels, or 0
        self.came_from = np.zeros(0, np.uint64)

    def measure(self, rows: pa.RecordBatch) -> tuple[Vector, Vector, Vector, Vector]:
        """raw, value and typical, float32[n, WIDTH] each, of rows sorted by ``at``; then ``raw_function``, excused."""
        n = rows.num_rows
        raw, value, typical = (np.zeros((n, WIDTH), np.float32) for _ in range(3))
        self._row, self._learned = np.zeros(n, np.int64), np.zeros(n, np.bool_)
        self.came_from = np.zeros(n, np.uint64)
        travelled = np.zeros(n, np.bool_)
        raw_function = from_matrix(rows.column("raw_function"))
        if n == 0:
            return raw, value, typical, raw_function
        keys, apps = hashed(rows, "caller"), hashed(rows, "app")
        weight = np.asarray(rows.column("item_count")).astype(np.float64)
        if "identified" in rows.schema.names:
            somebody = np.asarray(rows.column("identified"))
        else:
            somebody = np.asarray(pc.is_in(rows.column("caller_source"), value_set=pa.array(IDENTIFIED)))
        ident = somebody & (weight <= MOST_SAMPLED)
        failed, refused = _outcomes(rows)
        # a place is many people, of whom one may well have come to this app before
        by_place = np.asarray(rows.column("by_place"))
        seldom = np.where(by_place, 0.0, self._reach.find(apps))
        # only somebody gets a row: queues and timers have no habits of their own
        row = np.zeros(n, np.int64)
        late = np.asarray(rows.column("late"))
        if not late.all():
            # before anything is looked up, so that the numbers of rows hold until they may be unlearned
            self._clear(int(np.asarray(rows.column("at"))[np.argmin(late)]))
        row[ident], in_time = self._callers.rows_in_time(keys[ident], late[ident])
        c = self._callers.columns
        kernel.advance_callers(
            row, np.asarray(rows.column("at")), ident,
            apps, seldom, np.asarray(rows.column(FUNCTION_KEY)).astype(np.int64),
            hashed(rows, "country"), np.asarray(rows.column("named")), self._reach.abroad,
            np.asarray(rows.column("pair_age_us")), failed, refused, weight,
            late, np.asarray(rows.column("company")), np.asarray(rows.column("usual_peak")),
            raw_function[:, INDEX["new_function"]].copy(),
            raw_function[:, INDEX["country_rare_here"]].copy(), raw_function[:, INDEX["country_new"]].copy(),
            np.asarray(rows.column("failure_rate")), np.asarray(rows.column("refusal_rate")), *regions(),
            c["state"], c["times"], c["apps"], c["app_first"], c["app_last"],
            c["lands"], c["land_first"], c["land_last"],
            c["settled_hours"], c["today_hours"], raw, value, typical,
            self.came_from, travelled,
        )  # fmt: skip
        self._callers.take_back(in_time)
        # and what one of them does is no habit of the others
        self._row, self._learned = row, ident & (weight == 1.0) & ~late & ~by_place
        return raw, value, typical, _excused(raw_function, travelled)

    def unlearn(self, rows: pa.RecordBatch, strange: Vector) -> None:
        """Keep what was raised from becoming habit.

        Calls, hours and errors become habit at the change of the day; until then they can be taken back. What a caller
        is raised for on more than ``UNLEARNED_DAYS`` days is its way by now, and is learned.

        Args:
            rows: what was measured last, of one UTC day, see ``by_day``.
            strange: int64[m], numbers of the rows that were raised.
        """
        strange = strange[self._learned[strange]]
        if not len(strange):
            return
        c = self._callers.columns
        caller, at = self._row[strange], np.asarray(rows.column("at"))[strange]
        times, today = c["times"], int(at[0]) // DAY_US + 1
        fresh = np.unique(caller)
        fresh = fresh[times[fresh, kernel.D_RAISED_ON] != today]
        forgotten = times[fresh, kernel.D_RAISED_ON] < today - kernel.RAISED_MEMORY_DAYS
        times[fresh, kernel.D_RAISED_DAYS] = np.where(forgotten, 0, times[fresh, kernel.D_RAISED_DAYS]) + 1
        times[fresh, kernel.D_RAISED_ON] = today
        back = times[caller, kernel.D_RAISED_DAYS] <= kernel.UNLEARNED_DAYS
        caller, at, strange = caller[back], at[back], strange[back]
        taken = rows.select(["status", "succeeded", "pair_age_us"]).take(pa.array(strange))
        failed, refused = _outcomes(taken)
        new_here = np.asarray(taken.column("pair_age_us")) == 0
        # nobody who is sampled has habits, so that each of these counts for one, and sums are exact in any order
        np.subtract.at(c["state"], (caller, kernel.C_TODAY), 1.0)
        np.subtract.at(c["state"], (caller, kernel.C_TODAY_REFUSED), refused > 0)
        np.subtract.at(c["state"], (caller, kernel.C_TODAY_FAILED), failed)
        np.subtract.at(c["state"], (caller, kernel.C_TODAY_FUNCTIONS), new_here)
        # a night's first calls are not strange yet, and would make the hour one of theirs
        c["today_hours"][caller, at // HOUR_US % 24] = kernel.RAISED_HOUR

    def _clear(self, now_us: int) -> None:
        """Drop callers that count as forgotten anyway by then, so that memory follows callers alive, not time."""
        if len(self._callers) < self._clear_at:
            return
        times, state = (self._callers.columns[name][: len(self._callers)] for name in ("times", "state"))
        calls = state[:, kernel.C_SETTLED] + state[:, kernel.C_TODAY]
        self._callers.keep(remembered(times[:, kernel.D_LAST], times[:, kernel.D_SETTLED_DAYS], calls, now_us))
        self._clear_at = max(CLEAR_AT, 2 * len(self._callers))

    def advance(self, rows: pa.RecordBatch, watermark_us: int) -> pa.RecordBatch:  # noqa: ARG002 - a Fold
        """The rows with ``raw_caller``, ``value_caller`` and ``typical_caller`` appended, ``raw_function`` excused."""
        *measured, excused = self.measure(rows)
        place = rows.schema.get_field_index("raw_function")
        rows = rows.set_column(place, rows.schema.field(place), matrix(excused))
        for name, values in zip(("raw_caller", "value_caller", "typical_caller"), measured, strict=True):
            rows = rows.append_column(name, matrix(values))
        return rows

    def snapshot(self) -> Tables:
        """All callers, ordered by key; the key is the caller's hash, so shards find their own."""
        return {"callers": self._callers.to_table()}

    def restore(self, tables: Mapping[str, pa.Table]) -> None:
        """Take over a snapshot."""
        self._callers.load_table(tables["callers"])
