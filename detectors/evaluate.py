"""How good were the verdicts and incidents, given the truth: average precision, recall at a budget, time to detect.

Average precision is the sum over score thresholds of (recall gained) x (precision there), as in scikit-learn:
AP = sum_n (R_n - R_{n-1}) P_n. Ties share a threshold.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from datetime import datetime, timezone
from pathlib import Path
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset as ds

from detectors.schema import TIMESTAMP, VERDICT
from models.errors import InputError

#: an incident is true where at least this share of its invocations was caused by trouble: a person who opens it
#: and reads three lines meets the trouble
TRUE_SHARE: Final = 1 / 3
#: false incidents a day at which recall is told
BUDGETS: Final = (1.0, 5.0, 20.0)
#: kinds of incidents that no invocation needs to be part of
SILENT_KINDS: Final = ("silence", "silence-app", "silence-downstream")
#: the kind that counts runs and holds no invocation, since nobody can tell which of two was the one too many
SURPLUS_KIND: Final = "surplus-downstream"
#: how long after the end of a silence an incident may still be raised for it
SILENCE_GRACE_S: Final = 3_600.0
#: p-values below this are counted among normal invocations; a calibrated detector has about this share of them
SMALL_P: Final = 1e-3

_DAY_S: Final = 86_400.0
_COLUMNS: Final = ("invocation_id", "event_time", "trigger", "score", "p_value", "anomalous")
_PLACE: Final = ("app", "function")


@dataclass(frozen=True)
class Scenario:
    """One kind of trouble: was it found within the budget, and how soon."""

    #: name as in the truth
    name: str
    #: invocations that it caused
    events: int
    #: an incident of its own came before the budget was used up
    found: bool
    #: its invocations up to the moment the incident was opened, that one included; None if not found
    events_to_detect: int | None = None
    #: seconds from its first invocation to the moment the incident was opened; None if not found
    seconds_to_detect: float | None = None


@dataclass(frozen=True)
class Recall:
    """What a person sees who reads incidents by score until so many false ones a day are passed."""

    #: the budget
    false_per_day: float
    #: kinds of trouble seen, sorted
    found: tuple[str, ...]
    #: share of all kinds
    recall: float
    #: incidents read
    incidents: int


@dataclass(frozen=True)
class Evaluation:
    """The result of ``evaluate``; ``to_json`` gives it as a document."""

    #: length of the judged logs in days
    days: float
    #: false incidents a day for ``scenarios``
    budget: float
    #: invocations with a verdict
    verdicts: int
    #: invocations that trouble caused, with a verdict or not
    labelled: int
    #: of the score over invocations, in [0, 1]; nan without any label
    average_precision: float
    #: True where verdicts of ordinary invocations are among them; else average precision is a lower bound
    complete: bool
    #: incidents raised that are true
    incidents_true: int
    #: incidents raised that are false
    incidents_false: int
    #: false incidents a day, all that were raised
    false_per_day: float
    #: true incidents among all raised; nan where none was raised
    precision: float
    #: one entry a kind of trouble, sorted by name
    scenarios: tuple[Scenario, ...]
    #: one entry a budget
    recalls: tuple[Recall, ...]
    #: median over found scenarios; None where nothing was found
    median_events_to_detect: float | None
    #: median over found scenarios in seconds; None where nothing was found
    median_seconds_to_detect: float | None
    #: trigger -> share of normal invocations with a p-value below SMALL_P
    small_p_share: dict[str, float] = field(default_factory=dict)
    #: trigger -> normal invocations judged
    normal_count: dict[str, int] = field(default_factory=dict)

    def to_json(self) -> str:
        """A JSON document; nan is written as null."""
        return json.dumps(_without_nan(asdict(self)), indent=2, sort_keys=True)


def evaluate(
    verdicts: Path | pa.Table,
    incidents: Path | Sequence[dict[str, Any]],
    truth: Path | pa.Table,
    *,
    days: float | None = None,
    budget: float = 1.0,
    budgets: Sequence[float] = BUDGETS,
    silences: Sequence[dict[str, Any]] = (),
) -> Evaluation:
    """Judge verdicts and incidents by the truth.

    Args:
        verdicts: folder or file of Parquet, or a table, with the columns of ``detectors.schema.VERDICT``. Where only
            anomalous verdicts were written, labelled invocations without one count as never retrieved, so that
            average precision is a lower bound; with all verdicts it is exact.
        incidents: ``incidents.ndjson`` or its documents: score, opened, invocation_ids, kind, apps, functions.
        truth: Parquet or table with ``InvocationId`` and ``scenario`` (absent rows are normal), and, where known,
            ``TimeGenerated``; without it the first bad event is the first that has a verdict.
        days: length of the judged logs; None takes it from the first to the last verdict.
        budget: false incidents a day within which a scenario counts as found.
        budgets: false incidents a day at which recall is told.
        silences: documents with scenario ``silence``, apps, functions, start and end (ISO 8601, UTC); an incident of
            one of ``SILENT_KINDS`` for such a function within that time is true though it holds no
            invocation. One of ``SURPLUS_KIND`` holds none either: it is true where labelled invocations came at its
            functions while it lasted, as far as the verdicts tell where they came.

    Returns:
        The evaluation.

    Raises:
        InputError: a column is missing, or a file can't be read.
    """
    labels = _truth_table(truth)
    raised = read_incidents(incidents) if isinstance(incidents, Path) else list(incidents)
    counted = any(incident.get("kind") == SURPLUS_KIND for incident in raised)
    judged = _verdict_table(verdicts, _PLACE if counted else ())
    scenario_of = dict(zip(labels["InvocationId"].to_pylist(), labels["scenario"].to_pylist(), strict=True))

    bad = pc.is_in(judged["invocation_id"], value_set=labels["InvocationId"].combine_chunks()).to_numpy()
    missing = len(scenario_of) - int(bad.sum())
    times = _bad_times(judged, labels, bad)
    length = days if days is not None else _length_days(judged)

    came = _came(judged.filter(pa.array(bad)), scenario_of) if counted else []
    truths = [
        scenario_of_incident(incident, scenario_of, silences) or _scenario_there(incident, came) for incident in raised
    ]
    names = sorted({*scenario_of.values(), *(str(s["scenario"]) for s in silences)})
    counts = Counter(scenario_of.values())
    order = sorted(range(len(raised)), key=lambda k: (-float(raised[k]["score"]), str(raised[k]["opened"])))
    inside = _within(order, truths, budget * length)
    starts = _starts(times, silences)
    scenarios = tuple(_judge(name, counts[name], inside, truths, raised, starts, times) for name in names)
    hits = sum(t is not None for t in truths)
    found = [s for s in scenarios if s.found]
    shares, normal = _small_p(judged, bad)
    return Evaluation(
        days=length,
        budget=budget,
        verdicts=judged.num_rows,
        labelled=len(scenario_of),
        average_precision=average_precision(bad, judged["score"].to_numpy(), missing=missing),
        complete=not bool(pc.all(judged["anomalous"]).as_py()) if judged.num_rows else False,
        incidents_true=hits,
        incidents_false=len(raised) - hits,
        false_per_day=(len(raised) - hits) / length,
        precision=hits / len(raised) if raised else float("nan"),
        scenarios=scenarios,
        recalls=tuple(_recall(b, order, truths, length, names) for b in budgets),
        median_events_to_detect=_median([s.events_to_detect for s in found]),
        median_seconds_to_detect=_median([s.seconds_to_detect for s in found]),
        small_p_share=shares,
        normal_count=normal,
    )


def average_precision(bad: np.ndarray, score: np.ndarray, *, missing: int = 0) -> float:
    """Average precision of ``score`` (N,) float64 for ``bad`` (N,) bool.

    ``missing`` labelled invocations have no score: they count as never retrieved. nan without any label.
    """
    total = int(bad.sum()) + missing
    if total == 0:
        return float("nan")
    order = np.argsort(-score, kind="stable")
    ranked, hit = score[order], bad[order].astype(np.float64)
    last_of_tie = np.flatnonzero(np.diff(ranked, append=np.nan) != 0)
    retrieved = np.cumsum(hit)[last_of_tie]
    precision = retrieved / (last_of_tie + 1)
    return float(np.sum(np.diff(retrieved, prepend=0.0) * precision) / total)


def read_incidents(path: Path) -> list[dict[str, Any]]:
    """The documents of an ``incidents.ndjson``."""
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
        return [json.loads(line) for line in lines if line.strip()]
    except (OSError, ValueError) as error:
        raise InputError(
            "The incidents can't be read.",
            expected="a file of JSON Lines, one incident a line",
            received=f"{path}: {error}",
            hint="point to the incidents.ndjson that replay wrote",
        ) from error


def _verdict_table(verdicts: Path | pa.Table, welcome: Sequence[str] = ()) -> pa.Table:
    # where only what is anomalous is written, a quiet day has no file
    table = _read(verdicts, "verdicts", _COLUMNS, welcome, without_files=VERDICT)
    table = table.set_column(1, "event_time", table["event_time"].cast(TIMESTAMP))
    # should an invocation have been judged twice, its higher score counts
    if len(pc.unique(table["invocation_id"])) < table.num_rows:
        table = table.sort_by([("score", "descending")])
        ids = table["invocation_id"].to_numpy(zero_copy_only=False)
        table = table.take(pa.array(np.sort(np.unique(ids, return_index=True)[1])))
    return table


def _truth_table(truth: Path | pa.Table) -> pa.Table:
    table = _read(truth, "truth", ("InvocationId", "scenario"), ("TimeGenerated",))
    table = table.set_column(0, "InvocationId", table["InvocationId"].cast(pa.string()))
    return table.filter(pc.is_valid(table["scenario"]))


def _read(
    source: Path | pa.Table,
    what: str,
    needed: Sequence[str],
    welcome: Sequence[str] = (),
    without_files: pa.Schema | None = None,
) -> pa.Table:
    try:
        data = ds.dataset(source, format="parquet") if isinstance(source, Path) else source
        if without_files is not None and isinstance(source, Path) and not data.files:
            return without_files.empty_table().select([*needed, *welcome])
        there = data.schema.names
        lacking = [name for name in needed if name not in there]
        columns = [*needed, *(name for name in welcome if name in there)]
        if not lacking:
            return data.to_table(columns=columns) if isinstance(source, Path) else data.select(columns)
    except (OSError, pa.ArrowInvalid) as error:
        raise InputError(
            f"The {what} can't be read.", expected="Parquet", received=f"{source}: {error}", hint="check the path"
        ) from error
    raise InputError(
        f"The {what} lack a column.",
        expected=", ".join(needed),
        received=", ".join(there),
        hint=f"add {', '.join(lacking)}",
    )


def _length_days(judged: pa.Table) -> float:
    if judged.num_rows < 2:
        return 1.0
    span = pc.min_max(judged["event_time"]).as_py()
    return max(float((span["max"] - span["min"]).total_seconds()) / _DAY_S, 1 / 24)


def _bad_times(judged: pa.Table, labels: pa.Table, bad: np.ndarray) -> dict[str, np.ndarray]:
    """Scenario -> sorted times of its invocations, seconds since 1970, as far as they are known."""
    scenario_of = dict(zip(labels["InvocationId"].to_pylist(), labels["scenario"].to_pylist(), strict=True))
    if "TimeGenerated" in labels.column_names:
        stamps, names = labels["TimeGenerated"].cast(TIMESTAMP), labels["scenario"].to_pylist()
    else:
        mine = judged.filter(pa.array(bad))
        stamps, names = mine["event_time"], [scenario_of[i] for i in mine["invocation_id"].to_pylist()]
    seconds = stamps.cast(pa.int64()).to_numpy() / 1e6
    which = np.array(names, dtype=object)
    return {name: np.sort(seconds[which == name]) for name in set(names)}


def _starts(times: dict[str, np.ndarray], silences: Sequence[dict[str, Any]]) -> dict[str, float]:
    starts = {name: float(t[0]) for name, t in times.items() if len(t)}
    for silence in silences:
        name, start = str(silence["scenario"]), _seconds(silence["start"])
        starts[name] = min(start, starts.get(name, start))
    return starts


def scenario_of_incident(
    incident: dict[str, Any], scenario_of: dict[str, str], silences: Sequence[dict[str, Any]] = ()
) -> str | None:
    """The scenario of most of an incident's labelled invocations; None where the incident is false.

    Args:
        incident: a document of ``incidents.ndjson``.
        scenario_of: invocation id -> scenario; those that are absent are normal.
        silences: as for ``evaluate``.
    """
    ids = incident.get("invocation_ids") or []
    labels = Counter(scenario_of[i] for i in ids if i in scenario_of)
    if ids and sum(labels.values()) >= TRUE_SHARE * len(ids):
        return labels.most_common(1)[0][0]
    if incident.get("kind") not in SILENT_KINDS:
        return None
    opened = _seconds(incident["opened"])
    for silence in silences:
        # an app that went silent as a whole names no function
        same = all(_meet(incident.get(what), silence.get(what)) for what in ("apps", "functions"))
        if same and _seconds(silence["start"]) <= opened <= _seconds(silence["end"]) + SILENCE_GRACE_S:
            return str(silence["scenario"])
    return None


#: a labelled invocation: scenario, app, function, seconds since 1970
_Came = tuple[str, str, str, float]


def _came(mine: pa.Table, scenario_of: dict[str, str]) -> list[_Came]:
    """Where and when each labelled invocation came; nothing where the verdicts don't say where."""
    if any(name not in mine.column_names for name in _PLACE):
        return []
    names = [scenario_of[i] for i in mine["invocation_id"].to_pylist()]
    seconds = (mine["event_time"].cast(pa.int64()).to_numpy() / 1e6).tolist()
    return list(zip(names, mine["app"].to_pylist(), mine["function"].to_pylist(), seconds, strict=True))


def _scenario_there(incident: dict[str, Any], came: Sequence[_Came]) -> str | None:
    """The scenario of most labelled invocations at the functions of an incident that counts runs, while it lasted."""
    if incident.get("kind") != SURPLUS_KIND:
        return None
    opened = _seconds(incident["opened"])
    first = min(opened, _seconds(incident.get("first_event") or incident["opened"]))
    last = max(opened, _seconds(incident.get("last_event") or incident["opened"]))
    apps, functions = set(incident.get("apps") or ()), set(incident.get("functions") or ())
    there = Counter(
        name for name, app, function, at in came if first <= at <= last and app in apps and function in functions
    )
    return there.most_common(1)[0][0] if there else None


def _meet(named: Sequence[str] | None, silent: Sequence[str] | None) -> bool:
    """Whether two lists of names share one; an empty list means all."""
    return not named or not silent or bool(set(named) & set(silent))


def _seconds(moment: Any) -> float:
    """Seconds since 1970 of an ISO 8601 text or a datetime; without a zone it is UTC."""
    if isinstance(moment, str):
        # 3.10 reads neither a Z nor other than 3 or 6 digits of a second
        text = moment.strip().replace("Z", "+00:00")
        head, dot, rest = text.partition(".")
        digits = rest[: len(rest) - len(rest.lstrip("0123456789"))]
        moment = datetime.fromisoformat(f"{head}.{digits[:6]:0<6}{rest[len(digits) :]}" if dot else text)
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=timezone.utc)
    return float(moment.timestamp())


def _within(order: Sequence[int], truths: Sequence[str | None], allowed: float) -> list[int]:
    """Incidents in order of score up to the one whose falsehood would exceed ``allowed`` false ones."""
    false = 0
    kept: list[int] = []
    for k in order:
        false += truths[k] is None
        if false > allowed:
            break
        kept.append(k)
    return kept


def _recall(
    budget: float, order: Sequence[int], truths: Sequence[str | None], days: float, names: Sequence[str]
) -> Recall:
    inside = _within(order, truths, budget * days)
    found = sorted({t for k in inside if (t := truths[k]) is not None})
    return Recall(budget, tuple(found), len(found) / len(names) if names else float("nan"), len(inside))


def _judge(
    name: str,
    events: int,
    inside: Sequence[int],
    truths: Sequence[str | None],
    raised: Sequence[dict[str, Any]],
    starts: dict[str, float],
    times: dict[str, np.ndarray],
) -> Scenario:
    opened = [_seconds(raised[k]["opened"]) for k in inside if truths[k] == name]
    if not opened:
        return Scenario(name, events, False)
    first = min(opened)
    until = int(np.searchsorted(times[name], first, side="right")) if name in times else 0
    delay = max(0.0, first - starts[name]) if name in starts else None
    return Scenario(name, events, True, until, delay)


def _small_p(judged: pa.Table, bad: np.ndarray) -> tuple[dict[str, float], dict[str, int]]:
    trigger = judged["trigger"].to_numpy(zero_copy_only=False)[~bad]
    small = (judged["p_value"].to_numpy() < SMALL_P)[~bad]
    shares, counts = {}, {}
    for name in sorted(set(trigger)):
        mine = trigger == name
        shares[str(name)], counts[str(name)] = float(small[mine].mean()), int(mine.sum())
    return shares, counts


def _median(values: Sequence[float | None]) -> float | None:
    known = [v for v in values if v is not None]
    return float(np.median(known)) if known else None


def _without_nan(value: Any) -> Any:
    if isinstance(value, dict):
        return {k: _without_nan(v) for k, v in value.items()}
    if isinstance(value, (list, tuple)):
        return [_without_nan(v) for v in value]
    return None if isinstance(value, float) and np.isnan(value) else value
