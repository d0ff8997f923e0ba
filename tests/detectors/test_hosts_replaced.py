"""Where no version is logged, a deployment shows by its hosts: all of them go, and others come, within minutes."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from detectors.catalogue import BY_ID, classify
from detectors.explain import describe
from detectors.function_kernel import BY_HOSTS
from models.baselines import Baselines
from tests.detectors.life import DAY, HOUR, MINUTE, baselines_of, live, ordinary

BEGIN = 4 * DAY


@pytest.fixture(scope="module")
def usual() -> Baselines:
    return baselines_of(ordinary(0, 96))


def hours(at: int, many: float, *hosts: str, **fields: Any) -> list[dict[str, Any]]:
    """So many hours of calls, one a minute, each host in turn, no version logged."""
    begin = BEGIN + at
    plain = {"host_instance": lambda number: hosts[number % len(hosts)], "app_version": None}
    found = ordinary(begin, many, every=MINUTE, **{**plain, **fields})
    return [{**record, "invocation_id": f"at{at}-{n}"} for n, record in enumerate(found)]


def since(usual: Baselines, *pieces: list[dict[str, Any]]) -> float:
    """Minutes since hosts were replaced, at the last call; -1: they were not."""
    told = live(usual, *pieces).rows["deployed_us"][-1].as_py()
    return -1.0 if told == -1 else (BY_HOSTS - told) / MINUTE


def test_all_hosts_that_go_while_others_come_were_replaced(usual: Baselines) -> None:
    assert since(usual, hours(0, 2, "a", "b"), hours(2 * HOUR, 1, "c", "d")) == pytest.approx(59.0, abs=0.1)


def test_old_hosts_may_go_on_for_minutes_while_they_are_replaced(usual: Baselines) -> None:
    both = hours(2 * HOUR, 4 / 60, "a", "c")
    assert since(usual, hours(0, 2, "a", "b"), both, hours(2 * HOUR + 4 * MINUTE, 1, "c", "d")) == pytest.approx(
        62.0, abs=0.1
    )


def test_hosts_that_come_beside_others_replace_none(usual: Baselines) -> None:
    assert since(usual, hours(0, 2, "a", "b"), hours(2 * HOUR, 1, "a", "b", "c", "d")) == -1.0


def test_a_host_that_comes_after_a_rest_is_a_cold_start(usual: Baselines) -> None:
    assert since(usual, hours(0, 2, "a"), hours(2 * HOUR + 20 * MINUTE, 1, "b")) == -1.0


def test_hosts_that_come_to_the_help_of_one_that_started_after_a_rest_replace_none(usual: Baselines) -> None:
    # the first host of the night hangs, and is not heard of again
    night = [hours(4 * HOUR, 2 / 60, "b"), hours(4 * HOUR + 3 * MINUTE, 1, "c", "d")]
    assert since(usual, hours(0, 2, "a"), *night) == -1.0
    later = [hours(4 * HOUR, 1, "b"), hours(5 * HOUR, 1, "c", "d")]
    assert since(usual, hours(0, 2, "a"), *later) == pytest.approx(59.0, abs=0.1)


def test_hosts_that_are_replaced_again_and_again_are_no_news(usual: Baselines) -> None:
    pieces = [hours(n * HOUR, 1, f"host-{n}") for n in range(18)]
    assert since(usual, *pieces[:15]) > 0.0
    assert since(usual, *pieces) == -1.0


def test_a_few_calls_to_a_new_host_say_nothing_yet(usual: Baselines) -> None:
    assert since(usual, hours(0, 2, "a"), hours(2 * HOUR, 4 / 60, "b")) == -1.0


def test_a_version_says_more_than_hosts(usual: Baselines) -> None:
    before, after = (hours(at, 2, host, app_version="1.0") for at, host in ((0, "a"), (2 * HOUR, "b")))
    assert since(usual, before, after) == -1.0


def test_hundreds_of_hosts_are_not_told_apart(usual: Baselines) -> None:
    before, after = ([f"{name}{n}" for n in range(60)] for name in "ab")
    assert since(usual, hours(0, 3, *before), hours(3 * HOUR, 2, *after)) == -1.0


def test_rows_before_and_after_are_judged_as_if_no_host_had_been_replaced(usual: Baselines) -> None:
    same, other = (live(usual, hours(0, 2, "a"), hours(2 * HOUR, 2, host)) for host in "ab")
    assert np.array_equal(same.raw("latency_shift"), other.raw("latency_shift"))


def test_what_is_worse_since_hosts_were_replaced_is_told_so() -> None:
    example = replace(BY_ID["bad-deployment"].example, by_hosts=True)
    told = describe(example)
    assert classify(example).id == "bad-deployment"
    assert told["title"].startswith("Worse since its hosts were replaced: ")
    assert told["summary"].startswith("From 4 minutes after all of its hosts were replaced on: ")


def test_hosts_that_were_replaced_half_an_hour_before_are_a_coincidence() -> None:
    example = replace(BY_ID["bad-deployment"].example, deployed_ago_s=1_800.0)
    assert classify(example).id == "bad-deployment"
    assert classify(replace(example, by_hosts=True)).id != "bad-deployment"
