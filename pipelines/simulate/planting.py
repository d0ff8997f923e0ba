"""Which troubles there are, and planting them into a window of days."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Final

from models.errors import InputError

from . import abuse, faults, intruders
from .clock import DAY
from .scenario import Scenario, Stage
from .seeds import stream
from .world import World

Planter = Callable[[Stage], Scenario | None]

PLANTERS: Final[dict[str, Planter]] = {
    "stolen-key": intruders.stolen_key,
    "impossible-travel": intruders.impossible_travel,
    "lateral-movement": intruders.lateral,
    "off-hours": intruders.off_hours,
    "enumeration": intruders.enumeration,
    "injection-probe": intruders.injection,
    "exfiltration": intruders.exfiltration,
    "unknown-function": intruders.backdoor,
    "single-source-flood": abuse.single_source_flood,
    "distributed-flood": abuse.distributed_flood,
    "denial-of-wallet": abuse.denial_of_wallet,
    "credential-stuffing": abuse.credential_stuffing,
    "retry-storm": abuse.retry_storm,
    "slow-growth": abuse.slow_growth,
    "poison-message": faults.poison_message,
    "injection-through-queue": faults.injection_through_queue,
    "timer-off-schedule": faults.timer_off_schedule,
    "manual-run": faults.manual_run,
    "runaway-duration": faults.runaway,
    "latency-shift": faults.latency_shift,
    "failure-burst": faults.failure_burst,
    "bad-version": faults.bad_version,
    "silence": faults.silence,
}

KINDS: Final = tuple(PLANTERS)
#: kinds that make events of their own and may contaminate training days without changing normal ones
CONTAMINATING: Final = ("stolen-key", "enumeration", "injection-probe", "exfiltration", "lateral-movement")
MOST_ROUNDS: Final = 500  #: of contamination
SEED_STEP: Final = 1_000_003  #: far from the seeds that people choose


def chosen(scenarios: bool | Sequence[str]) -> tuple[str, ...]:
    """The kinds asked for.

    Raises:
        InputError: for a kind that doesn't exist.
    """
    if isinstance(scenarios, bool):
        return KINDS if scenarios else ()
    unknown = [kind for kind in scenarios if kind not in PLANTERS]
    if unknown:
        raise InputError("No such kind of trouble.", expected=", ".join(KINDS), received=", ".join(unknown))
    return tuple(kind for kind in KINDS if kind in set(scenarios))


def plant(world: World, kinds: Sequence[str], start: int, end: int) -> list[Scenario]:
    """One trouble of each kind within a window (us UTC), where the tenant has what it takes."""
    placed = []
    taken: set[int] = set()
    used: set[int] = set()
    for kind in kinds:
        stage = Stage(world, start, end, stream(world.seed, "scenario", kind, start), taken, used)
        scenario = PLANTERS[kind](stage)
        if scenario is not None:
            placed.append(scenario)
    return placed


def contaminate(world: World, share: float, days: int) -> list[Scenario]:
    """Troubles for the first ``days`` days that make up about ``share`` of their events."""
    expected = sum(function.per_day for function in world.tenant.functions) * days
    planted: list[Scenario] = []
    total = 0
    for round_ in range(1, MOST_ROUNDS + 1):
        if total >= expected * share:
            break
        # other draws in each round, of the same world
        another = replace(world, seed=world.seed + SEED_STEP * round_)
        start = world.first_day * DAY
        more = plant(another, CONTAMINATING, start, start + days * DAY)
        planted += more
        total += sum(len(one.adds) for one in more if one.adds is not None)
    return planted
