"""Logs that nobody here simulated go all the way: whatever types their columns have, and however little they hold."""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from detectors.schema import VERDICT
from pipelines.champion import Champion
from pipelines.cli.entry import run
from pipelines.sources.files import expand, read
from tests.pipelines.foreign import START, TYPES, Call, calls, moved, record, table, write

LEARNED = calls(600, 60.0, 1)
JUDGED = calls(150, 12.0, 2, start=START + timedelta(days=3))
LATER = START + timedelta(days=3)
FUTURE, BEFORE = datetime(2099, 1, 1, tzinfo=timezone.utc), datetime(1970, 1, 1, tzinfo=timezone.utc)


def conformed(path: Path) -> list[dict[str, Any]]:
    pieces = [piece for ref in expand([str(path)]) for piece in read(ref)]
    assert sum(piece.dead.num_rows + piece.ignored for piece in pieces) == 0
    rows = pa.Table.from_batches([piece.rows for piece in pieces])
    return sorted(rows.drop_columns(["source", "position"]).to_pylist(), key=lambda row: row["invocation_id"])


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, Any]]:
    rows = conformed(write(tmp_path_factory.mktemp("plain") / "a.parquet", table(JUDGED)))
    assert {row["invocation_id"] for row in rows} == {call.id for call in JUDGED}
    assert {row["trigger"] for row in rows} == {"http", "queue", "timer", "servicebus"}
    return rows


@pytest.mark.parametrize("types", TYPES)
def test_types_of_columns_never_change_what_is_read(types: str, plain: list[dict[str, Any]], tmp_path: Path) -> None:
    assert conformed(write(tmp_path / "a.parquet", table(JUDGED, **TYPES[types]))) == plain


def lines(of: list[Call]) -> bytes:
    return b"".join(json.dumps(record(call)).encode() + b"\n" for call in of)


FILES: dict[str, Callable[[Path], object]] = {
    "columns the other way round": lambda to: write(
        to / "a.parquet", table(JUDGED).select(table(JUDGED).column_names[::-1])
    ),
    "a file for each row": lambda to: [
        write(to / f"{i // 50}" / f"{i}.parquet", table([call])) for i, call in enumerate(JUDGED)
    ],
    "rows shuffled, one a row group": lambda to: pq.write_table(
        table(JUDGED[::-1]), to / "a.parquet", row_group_size=1, compression="gzip"
    ),
    "JSON Lines": lambda to: (to / "a.log").write_bytes(lines(JUDGED)),
    "JSON Lines, gzipped in two members": lambda to: (to / "a.json.gz").write_bytes(
        gzip.compress(lines(JUDGED[:70])) + gzip.compress(lines(JUDGED[70:]))
    ),
    "a JSON array": lambda to: (to / "a.json").write_text(json.dumps([record(call) for call in JUDGED])),
    "envelopes": lambda to: (to / "a.json").write_text(json.dumps([{"records": [record(c) for c in JUDGED]}])),
    "a mixture": lambda to: (
        write(to / "a.parquet", table(JUDGED[:50])),
        (to / "b.json").write_bytes(lines(JUDGED[50:])),
    ),
}


@pytest.mark.parametrize("files", FILES)
def test_shapes_of_files_never_change_what_is_read(files: str, plain: list[dict[str, Any]], tmp_path: Path) -> None:
    FILES[files](tmp_path)
    assert conformed(tmp_path) == plain


@dataclass(frozen=True)
class Case:
    """Logs to learn from and logs to judge."""

    learned: list[Call]
    judged: list[Call]
    #: of the judged, those that can't be read and those that stand twice
    dead: int = 0
    duplicates: int = 0


CASES = {
    "200 events": Case(LEARNED[:200], JUDGED),
    "an hour": Case(calls(300, 1.0, 3), calls(100, 1.0, 4, start=START + timedelta(hours=1))),
    "one function": Case(calls(400, 48.0, 3, functions=1), calls(100, 12.0, 4, functions=1, start=LATER)),
    "only timers": Case(calls(300, 48.0, 3, kind="timer"), calls(60, 12.0, 4, kind="timer", start=LATER)),
    "only failures": Case(calls(400, 48.0, 3, failing=1.0), calls(100, 12.0, 4, failing=1.0, start=LATER)),
    "nobody known": Case(calls(400, 48.0, 3, masked=True), calls(100, 12.0, 4, masked=True, start=LATER)),
    "durations all alike": Case(calls(400, 48.0, 3, ms=100.0), calls(100, 12.0, 4, ms=100.0, start=LATER)),
    "all at one moment": Case(
        [replace(call, when=START) for call in LEARNED], [replace(call, when=LATER) for call in JUDGED]
    ),
    "a gap of weeks": Case(LEARNED[:300] + calls(300, 24.0, 5, start=START + timedelta(days=40)), JUDGED),
    "judged before it was learned": Case(JUDGED + calls(300, 24.0, 5, start=LATER), LEARNED[:200]),
    "one event": Case(LEARNED, JUDGED[:1]),
    "all twice": Case(LEARNED, JUDGED + JUDGED, duplicates=len(JUDGED)),
    "times that can't be": Case(
        [*LEARNED, moved(LEARNED, when=FUTURE), moved(LEARNED, when=BEFORE)],
        [*JUDGED, moved(JUDGED, when=FUTURE), moved(JUDGED, when=BEFORE)],
        dead=2,
    ),
}


@pytest.mark.slow
@pytest.mark.parametrize("name", CASES)
def test_little_or_odd_logs_are_learned_from_and_judged(
    name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    case = CASES[name]
    train, replay = (write(tmp_path / part / "a.parquet", table(of)) for part, of in _parts(case))
    models, out = str(tmp_path / "models"), tmp_path / "out"
    assert run(["train", "--input", str(train), "--models", models]) == 0
    assert ("train again on a week or more" in capsys.readouterr().out) == (
        name not in ("a gap of weeks", "all at one")
    )
    words = ["--input", str(replay), "--models", models, "--output", str(out), "--verdicts", "all", "--json"]
    assert run(["replay", *words]) == 0
    account = json.loads(capsys.readouterr().out)["run"]
    distinct = {call.id for call in case.judged if BEFORE < call.when < FUTURE}
    assert (account["scored"], account["dead_letter"], account["duplicates"]) == (
        len(distinct),
        case.dead,
        case.duplicates,
    )
    assert account["read"] == len(case.judged)

    verdicts = pq.read_table(out / "verdicts")
    assert verdicts.schema.equals(VERDICT)
    assert sorted(verdicts["invocation_id"].to_pylist()) == sorted(distinct)
    score, p_value = (verdicts[name].to_numpy() for name in ("score", "p_value"))
    assert np.isfinite(score).all()
    assert ((p_value >= 0.0) & (p_value <= 1.0)).all()
    told = [json.loads(line) for line in (out / "incidents.ndjson").read_text().splitlines()]
    anomalous = verdicts.filter(verdicts["anomalous"])
    assert set(anomalous["incident_id"].to_pylist()) <= {one["incident_id"] for one in told}
    for one in told[:1]:
        assert run(["incidents", str(out), "--id", one["incident_id"]]) == 0


def _parts(case: Case) -> list[tuple[str, list[Call]]]:
    return [("train", case.learned), ("replay", case.judged)]


def test_callers_are_known_by_the_property_that_training_was_told_of(tmp_path: Path) -> None:
    learned, judged = (
        write(tmp_path / part, table(of)) for part, of in (("a.parquet", LEARNED), ("b.parquet", JUDGED))
    )
    models, out = str(tmp_path / "models"), tmp_path / "out"
    assert run(["train", "--input", str(learned), "--models", models, "--caller-property", "keyhash"]) == 0
    assert Champion(models, 1.0).caller_property() == "keyhash"
    words = ["--input", str(judged), "--models", models, "--output", str(out), "--verdicts", "all"]
    assert run(["replay", *words]) == 0
    callers = dict(
        zip(*(pq.read_table(out / "verdicts")[name].to_pylist() for name in ("invocation_id", "caller")), strict=True)
    )
    assert all(callers[call.id] == f"property:{call.key}" for call in JUDGED if call.kind != "timer")


def test_too_little_to_learn_from_is_refused_with_what_came(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = write(tmp_path / "a.parquet", table(LEARNED[:10]))
    assert run(["train", "--input", str(path), "--models", str(tmp_path / "models")]) == 2
    assert "10 invocations" in capsys.readouterr().err
