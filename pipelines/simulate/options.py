"""What may be asked of the simulator, and the check of it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Final, Literal

from models.errors import InputError

from .planting import chosen

Format = Literal["parquet", "ndjson", "functionapplogs"]
Identity = Literal["full", "masked"]
#: called with (what was done, days done, days in all)
Progress = Callable[[str, int, int], None]

FORMATS: Final = ("parquet", "ndjson", "functionapplogs")
IDENTITIES: Final = ("full", "masked")
FIRST_DAY: Final = date(2026, 6, 6)  #: a Saturday, so that five days of training hold a weekend and working days
REPLAY_SHARE: Final = 2 / 7  #: of the days, the last, are for replay
MOST_DAYS: Final = 400
MOST_SCALE: Final = 1000.0
MOST_CONTAMINATION: Final = 0.2


@dataclass(frozen=True)
class Options:
    """Checked options; see ``simulate`` for what they mean."""

    seed: int
    days: int
    scale: float
    workload: Path | None
    identity: Identity
    format: Format
    kinds: tuple[str, ...]
    train_days: int
    start: date
    contaminate: float
    sampling: float
    traces: bool


def check(
    *,
    seed: int,
    days: int,
    scale: float,
    workload: Path | None,
    identity: Identity,
    format: Format,  # noqa: A002 - the option's name on the command line
    scenarios: bool | Sequence[str],
    train_days: int | None,
    start: date,
    contaminate: float,
    sampling: float,
    traces: bool,
) -> Options:
    """The options, with defaults worked out.

    Raises:
        InputError: if one is out of range.
    """
    for name, good, value, expected in (
        ("days", 1 <= days <= MOST_DAYS, days, f"1 to {MOST_DAYS}"),
        ("scale", 0 < scale <= MOST_SCALE, scale, f"more than 0, at most {MOST_SCALE:g}"),
        ("identity", identity in IDENTITIES, identity, " or ".join(IDENTITIES)),
        ("format", format in FORMATS, format, ", ".join(FORMATS)),
        ("train days", train_days is None or 0 <= train_days <= days, train_days, f"0 to {days}, the number of days"),
        ("contaminate", 0 <= contaminate <= MOST_CONTAMINATION, contaminate, f"a share from 0 to {MOST_CONTAMINATION}"),
        ("sampling", 0 < sampling <= 1, sampling, "the share of rows that are kept, above 0 and at most 1"),
    ):
        if not good:
            raise InputError(f"The option {name} is out of range.", expected=expected, received=str(value))
    training = max(0, days - max(1, round(days * REPLAY_SHARE))) if train_days is None else train_days
    return Options(
        seed=seed,
        days=days,
        scale=scale,
        workload=workload,
        identity=identity,
        format=format,
        kinds=chosen(scenarios),
        train_days=training,
        start=start,
        contaminate=contaminate,
        sampling=sampling,
        traces=traces,
    )
