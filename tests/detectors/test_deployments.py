"""A deployment that changes how a function behaves restarts what is usual for it; one that does not changes nothing."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from detectors.deployments import MAX_VERSIONS, MIN_HOURS, NAMED, Restart, Restarts, VersionLog
from detectors.model import Model
from detectors.order import in_order
from detectors.training import train
from models.baselines import LEVELS
from tests.detectors.life import DAY, HOUR, SECOND, ordinary, timer, usual_ms
from tests.detectors.rows import rows

Records = list[dict[str, Any]]


def slow(number: int) -> float:
    return 3.0 * usual_ms(number)


def log_of(records: Records, slices: int = 1) -> VersionLog:
    log = VersionLog()
    whole = in_order(rows(records, epoch_us=0))
    for part in np.array_split(np.arange(whole.num_rows), slices):
        log.update(whole.slice(int(part[0]), len(part)))
    return log


def restarts(records: Records, slices: int = 1) -> list[Restart]:
    return log_of(records, slices).restarts()


def two(days: float = 2.0, **second: Any) -> Records:
    """Version 1.0 for two days, then 2.0."""
    return [*ordinary(0, 48), *ordinary(2 * DAY, 24 * days, **{"app_version": "2.0", **second})]


def test_a_version_that_runs_longer_restarts_its_function() -> None:
    (found,) = restarts(two(duration_ms=slow))
    assert (found.app, found.function, found.version) == ("shop", "Pay", "2.0")
    assert 2 * DAY <= found.at_us <= 2 * DAY + SECOND
    assert found.typical_ms[1] == pytest.approx(3.0 * found.typical_ms[0], rel=0.05)
    assert "shop/Pay is learned from 1970-01-03 00:00 UTC on, when version 2.0" in found.told()


def test_a_version_that_fails_more_restarts_its_function() -> None:
    (found,) = restarts(two(succeeded=lambda number: number % 10 != 0))
    assert found.failure_rate == pytest.approx((0.0, 0.1), abs=0.005)
    assert "0.0% to 10.0% failures" in found.told()


@pytest.mark.parametrize(
    "records",
    [
        two(),
        two(duration_ms=lambda number: 1.2 * usual_ms(number)),
        two(succeeded=lambda number: number % 200 != 0),
        two(days=0.4, duration_ms=slow),
        [*ordinary(0, 48), *ordinary(2 * DAY, 48, duration_ms=slow)],
        [*ordinary(0, 48, app_version=None), *ordinary(2 * DAY, 48, app_version=None, duration_ms=slow)],
        [*ordinary(0, 48, app_version=None), *ordinary(2 * DAY, 48, duration_ms=slow)],
        [],
    ],
    ids=["same", "little slower", "few failures", "too young", "same version", "no version", "version later", "none"],
)
def test_otherwise_nothing_restarts(records: Records) -> None:
    assert (restarts(records) if records else VersionLog().restarts()) == []


def test_one_bad_hour_after_a_deployment_is_no_other_behaviour() -> None:
    def roll_out(number: int) -> bool:
        return number >= 30

    assert restarts(two(succeeded=roll_out, duration_ms=lambda n: slow(n) if n < 30 else usual_ms(n))) == []


def test_of_several_changes_the_last_that_moved_anything_counts() -> None:
    life = [
        *two(duration_ms=slow),
        *ordinary(4 * DAY, 48, app_version="3.0", duration_ms=slow),
        *ordinary(6 * DAY, 3, app_version="4.0"),
    ]
    (found,) = restarts(life)
    assert found.version == "2.0"


def test_a_version_that_was_taken_back_soon_restarts_nothing() -> None:
    life = [*two(days=0.25, duration_ms=slow), *ordinary(2 * DAY + 6 * HOUR, 48)]
    assert restarts(life) == []


def test_each_function_has_changes_of_its_own() -> None:
    life = [*two(duration_ms=slow), *two(function="Refund"), *timer(0, 96)]
    assert [one.function for one in restarts(life)] == ["Pay"]


def test_slices_change_nothing() -> None:
    life = two(duration_ms=slow)
    assert restarts(life, 7) == restarts(life)


def test_a_field_that_holds_anything_but_versions_is_no_version() -> None:
    life = two(duration_ms=slow, app_version=lambda number: f"build {number % (MAX_VERSIONS + 5)}")
    assert restarts(life) == []


def test_only_some_restarts_are_told_one_by_one() -> None:
    many = [Restart("shop", f"F{n}", "2.0", 0, (1.0, 2.0), (float("nan"),) * 2) for n in range(NAMED + 3)]
    told = list(Restarts(many).notes())
    assert len(told) == NAMED + 1
    assert told[-1].startswith("3 more functions")


def test_run_times_from_before_are_taken_out_and_nothing_else() -> None:
    batch = in_order(rows([*two(duration_ms=slow), *two(function="Refund")], epoch_us=0))
    found = Restarts(restarts([*two(duration_ms=slow)]))
    kept = found.without_old_runs(batch)
    old = (np.asarray(batch["at"]) < found.found[0].at_us) & (np.asarray(batch["function"]) == "Pay")
    assert (np.isnan(kept["duration_ms"].to_numpy(zero_copy_only=False)) == old).all()
    rest = [name for name in batch.schema.names if name != "duration_ms"]
    assert kept.select(rest) == batch.select(rest)
    assert Restarts().without_old_runs(batch) is batch


def test_a_restart_shortly_before_a_moment_is_not_seen_by_it() -> None:
    one = Restart("shop", "Pay", "2.0", 0, (1.0, 2.0), (0.0, 0.0))
    assert Restarts([one]).seen_by(MIN_HOURS * HOUR).found == (one,)
    assert Restarts([one]).unseen_by(MIN_HOURS * HOUR - 1).found == (one,)


def learned(version: str | None, days_before: int) -> Model:
    """Ten days, two functions, one three times slower from a day on, when its version changes (or none is logged)."""
    first = None if version is None else "1.0"
    life = [
        *ordinary(0, 24 * days_before, app_version=first),
        *ordinary(days_before * DAY, 24 * (10 - days_before), app_version=version, duration_ms=slow),
        *ordinary(
            0, 240, function="Refund", app_version=first, caller=lambda number: f"address:198.51.100.{number % 5}"
        ),
    ]
    batch = in_order(rows(life, epoch_us=0))
    return train(lambda: [batch.slice(begin, 2_000) for begin in range(0, batch.num_rows, 2_000)])


def median_ms(model: Model, function: str) -> float:
    baselines = model.judge.baselines
    row = baselines.functions.index(function)
    return float(np.exp(np.interp(0.5, LEVELS, baselines.quantiles[row])))


@pytest.mark.parametrize("days_before", [3, 7], ids=["before the held-out part", "within it"])
def test_training_learns_a_changed_function_from_after_the_change(days_before: int) -> None:
    model = learned("2.0", days_before)
    assert median_ms(model, "Pay") == pytest.approx(300.0, rel=0.1)
    assert median_ms(model, "Refund") == pytest.approx(100.0, rel=0.1)
    assert [note for note in model.notes if "shop/Pay is learned from" in note]
    # how often it is called is not the version's doing
    rate = model.judge.baselines.rate
    assert rate[0].mean() == pytest.approx(rate[1].mean(), rel=0.05)
    assert model.judge.baselines.longest[0] < np.log(3.0 * 140.0)


def test_without_versions_training_learns_from_all_of_it() -> None:
    model = learned(None, 7)
    assert median_ms(model, "Pay") < 150.0
    assert not [note for note in model.notes if "is learned from" in note]


def test_versions_that_change_nothing_leave_the_baselines_as_they_are() -> None:
    def baselines(version: str | None) -> pa.Table:
        batch = in_order(
            rows([*ordinary(0, 72, app_version=version and "1.0"), *ordinary(3 * DAY, 72, app_version=version)])
        )
        return train(lambda: [batch]).judge.baselines.to_table()

    assert baselines("2.0").equals(baselines(None))
