"""Deployments that change how a function behaves: what is usual for it is then learned from after the change only.

A new version shows in the logs as an AppVersion not seen before in that function. Whether it brought another behaviour
is told by hours, since invocations within an hour hang together: the mean of ln(run time) and the share of failures of
each hour before and after are compared by the Mann-Whitney rank test, which a few bad hours don't sway. What is
significant may still be slight, so there is a least effect too. Of several changes the last that moved anything counts;
each is held against the stretch right before it. Logs without AppVersion tell of no deployment.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timezone
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from models.baselines import HOUR_US, pair_codes
from models.hashing import combine, hash_strings
from models.portable import log

Vector = npt.NDArray[Any]

#: hours with invocations that are needed on each side of a change
MIN_HOURS: Final = 12
#: p-value below which a rank test is believed: a window has hundreds of functions and changes, and hours are not free
#: of each other
SIGNIFICANT: Final = 1e-4
#: least change of an hour's typical run time: by half, and by more than hours usually differ
LEAST_RUN_TIME: Final = float(np.log(1.5))
#: least change of the share of failures, and how many times it must have grown or shrunk beyond one in 200
LEAST_FAILURES: Final = 0.02
LEAST_RATIO: Final = 2.0
_FEW_FAILURES: Final = 0.005
#: versions of one function beyond which the field holds something else
MAX_VERSIONS: Final = 200
#: ln(run time) is added up in whole millionths, so that the order of addition changes nothing
_UNIT: Final = 1e6
#: makes the median absolute deviation of a normal distribution its standard deviation
_MAD: Final = 1.4826
#: sums by function and hour after which they are added up again
_COMPACT_AT: Final = 2_000_000
#: functions that are named one by one
NAMED: Final = 10


@dataclass(frozen=True)
class Restart:
    """A function that behaves otherwise since a version came.

    Attributes:
        app, function: which.
        version: the version that came.
        at_us: completion of its first invocation, UTC us.
        typical_ms: run time of a typical hour before and after; nan where no run time is logged.
        failure_rate: share of failures before and after; nan where no outcome is logged.
    """

    app: str
    function: str
    version: str
    at_us: int
    typical_ms: tuple[float, float]
    failure_rate: tuple[float, float]

    def told(self) -> str:
        """One sentence for the model's notes."""
        when = datetime.fromtimestamp(self.at_us / 1e6, timezone.utc)
        said = []
        if not np.isnan(self.typical_ms).any():
            said.append(f"runs of {self.typical_ms[0]:,.3g} to {self.typical_ms[1]:,.3g} ms")
        if not np.isnan(self.failure_rate).any():
            said.append(f"{self.failure_rate[0]:.1%} to {self.failure_rate[1]:.1%} failures")
        return (
            f"{self.app}/{self.function} is learned from {when:%Y-%m-%d %H:%M} UTC on, when version {self.version}"
            f" changed how it behaves: {', '.join(said)}."
        )


class VersionLog:
    """What each function did by the hour, and when each of its versions came; grows with functions and hours."""

    def __init__(self) -> None:
        self._names: dict[tuple[str, str], int] = {}
        #: function -> version -> completion of its first invocation, UTC us
        self._came: dict[int, dict[str, int]] = {}
        self._sums: list[Vector] = []
        self._size = 0

    def update(self, rows: pa.RecordBatch) -> None:
        """Count collated invocations, ordered by completion; those without a version are passed over."""
        version = rows.column("app_version").dictionary_encode()
        if version.null_count == len(version):
            return
        codes, names = pair_codes(rows.column("app"), rows.column("function"))
        number = np.array([self._names.setdefault(name, len(self._names)) for name in names], np.int64)[codes]
        at = np.asarray(rows.column("at"))
        code, texts = np.asarray(version.indices.fill_null(-1)), version.dictionary.to_pylist()
        told = np.flatnonzero(code >= 0)
        pairs, first = np.unique(number[told] * len(texts) + code[told], return_index=True)
        for pair, came in zip(pairs.tolist(), at[told[first]].tolist(), strict=True):
            versions = self._came.setdefault(pair // len(texts), {})
            if len(versions) <= MAX_VERSIONS:
                versions.setdefault(texts[pair % len(texts)], came)
        self._sums.append(_hourly(rows, number, at))
        self._size += self._sums[-1].shape[1]
        if self._size > _COMPACT_AT:
            self._compact()

    def _compact(self) -> None:
        self._sums = [_added(np.concatenate(self._sums, axis=1))]
        self._size = 0

    def restarts(self) -> list[Restart]:
        """Functions that behave otherwise since one of their versions came, by app and name."""
        if not self._sums:
            return []
        self._compact()
        sums = self._sums[0]
        edges = np.searchsorted(sums[0], np.arange(len(self._names) + 1))
        found = []
        for (app, function), f in self._names.items():
            came = sorted((at, version) for version, at in self._came.get(f, {}).items())
            if 2 <= len(came) <= MAX_VERSIONS:
                restart = _restart(app, function, came[1:], sums[1:, edges[f] : edges[f + 1]])
                found += [restart] if restart else []
        return sorted(found, key=lambda one: (one.app, one.function))


class Restarts:
    """Since when functions count, in training.

    Args:
        found: as ``VersionLog`` gives them.
    """

    def __init__(self, found: Iterable[Restart] = ()) -> None:
        self.found = tuple(found)
        #: (app, function) -> completion from which on it counts, UTC us
        self.since: Mapping[tuple[str, str], int] = {(one.app, one.function): one.at_us for one in self.found}

    def seen_by(self, cut_us: int) -> Restarts:
        """Those long enough before a moment that the hours between the two tell what is usual since."""
        return Restarts(one for one in self.found if one.at_us + MIN_HOURS * HOUR_US <= cut_us)

    def unseen_by(self, cut_us: int) -> Restarts:
        """The others."""
        return Restarts(one for one in self.found if one.at_us + MIN_HOURS * HOUR_US > cut_us)

    def without_old_runs(self, rows: pa.RecordBatch) -> pa.RecordBatch:
        """The rows, run times from before their function's restart taken out; that it was called still counts."""
        if not self.since:
            return rows
        codes, names = pair_codes(rows.column("app"), rows.column("function"))
        since = np.array([self.since.get(name, -(2**62)) for name in names], np.int64)[codes]
        old = np.asarray(rows.column("at")) < since
        if not old.any():
            return rows
        place = rows.schema.get_field_index("duration_ms")
        known = rows.column("duration_ms").to_numpy(zero_copy_only=False).astype(np.float64)
        kept = pa.array(known, pa.float64(), mask=old | np.isnan(known))
        return rows.set_column(place, rows.schema.field(place), kept)

    def after(self, function: Vector, at: Vector) -> Vector:
        """Which events came after the restart of their function, bool[n].

        Args:
            function: uint64[n], app's and function's hashes combined.
            at: int64[n], completion, UTC us.
        """
        out = np.zeros(len(at), np.bool_)
        for one in self.found:
            out |= (function == _key(one)) & (at >= one.at_us)
        return out

    def notes(self) -> Iterator[str]:
        """A sentence each, the first few; then how many more."""
        for one in self.found[:NAMED]:
            yield one.told()
        if len(self.found) > NAMED:
            yield f"{len(self.found) - NAMED} more functions are learned from their last change of version on."


def _key(one: Restart) -> Any:
    return combine(hash_strings(pa.array([one.app])), hash_strings(pa.array([one.function])))[0]


def _hourly(rows: pa.RecordBatch, number: Vector, at: Vector) -> Vector:
    """float64[6, k]: function, hour, then weights with a run time, their ln, weights with an outcome, and failed."""
    weight = np.asarray(rows.column("item_count")).astype(np.float64)
    duration = rows.column("duration_ms").to_numpy(zero_copy_only=False).astype(np.float64)
    ran = ~np.isnan(duration)
    units = np.round(log(np.maximum(np.where(ran, duration, 1.0), 0.01)) * _UNIT)
    outcome = np.asarray(rows.column("succeeded").cast(pa.int8()).fill_null(-1))
    columns = (
        number,
        at // HOUR_US,
        weight * ran,
        weight * ran * units,
        weight * (outcome >= 0),
        weight * (outcome == 0),
    )
    return _added(np.stack(columns).astype(np.float64))


def _added(sums: Vector) -> Vector:
    """Columns of equal function and hour added up, sorted by both."""
    order = np.lexsort((sums[1], sums[0]))
    sums = sums[:, order]
    fresh = np.flatnonzero(np.r_[True, (sums[:2, 1:] != sums[:2, :-1]).any(axis=0)])
    return np.concatenate([sums[:2, fresh], np.add.reduceat(sums[2:], fresh, axis=1)])


def _restart(app: str, function: str, changes: list[tuple[int, str]], hours: Vector) -> Restart | None:
    """The last change that moved anything.

    Args:
        app: the function's app.
        function: its name.
        changes: when each version but the first came, UTC us, and its name.
        hours: float64[5, k], as ``_hourly`` gives them for this function, by hour.
    """
    marks = [at // HOUR_US for at, _ in changes]
    for j in reversed(range(len(changes))):
        # the hour of the change itself is of both
        after = np.flatnonzero(hours[0] > marks[j])
        before = np.flatnonzero(hours[0] < marks[j])
        own = before[hours[0, before] > marks[j - 1]] if j else before
        before = own if len(own) >= MIN_HOURS else before[-MIN_HOURS:]
        if _moved(hours[1:, before], hours[1:, after]):
            sides = (hours[1:, before], hours[1:, after])
            times, rates = (tuple(measure(side) for side in sides) for measure in (_typical_ms, _failure_rate))
            return Restart(app, function, changes[j][1], changes[j][0], times, rates)  # type: ignore[arg-type]
    return None


def _moved(before: Vector, after: Vector) -> bool:
    """Whether run times or failures have moved, from float64[4, k] of hours on either side."""
    run_times = [_run_times(side) for side in (before, after)]
    failures = [_failures(side) for side in (before, after)]
    return (_enough(run_times) and _slower_or_faster(*run_times) and _differ(*run_times)) or (
        _enough(failures) and _more_or_fewer(_failure_rate(before), _failure_rate(after)) and _differ(*failures)
    )


def _enough(sides: list[Vector]) -> bool:
    return min(map(len, sides)) >= MIN_HOURS


def _slower_or_faster(before: Vector, after: Vector) -> bool:
    middle = np.median(before)
    spread = _MAD * np.median(np.abs(before - middle))
    return bool(abs(np.median(after) - middle) >= max(LEAST_RUN_TIME, spread))


def _more_or_fewer(before: float, after: float) -> bool:
    ratio = (max(before, after) + _FEW_FAILURES) / (min(before, after) + _FEW_FAILURES)
    return abs(after - before) >= LEAST_FAILURES and ratio >= LEAST_RATIO


def _differ(before: Vector, after: Vector) -> bool:
    from scipy.stats import mannwhitneyu

    return bool(mannwhitneyu(before, after, method="asymptotic").pvalue < SIGNIFICANT)


def _run_times(hours: Vector) -> Vector:
    """Mean ln(run time in ms) of each hour that has one."""
    weight, units = hours[0], hours[1]
    found: Vector = units[weight > 0.0] / weight[weight > 0.0] / _UNIT
    return found


def _failures(hours: Vector) -> Vector:
    """Share of failures of each hour with an outcome."""
    weight, failed = hours[2], hours[3]
    found: Vector = failed[weight > 0.0] / weight[weight > 0.0]
    return found


def _typical_ms(hours: Vector) -> float:
    found = _run_times(hours)
    return float(np.exp(np.median(found))) if len(found) else float("nan")


def _failure_rate(hours: Vector) -> float:
    said = hours[2].sum()
    return float(hours[3].sum() / said) if said > 0.0 else float("nan")
