"""What notebooks call gives what the commands give."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from detectors import collated, detect, fit, load_model, measure, save_model
from detectors.features import FEATURE_NAMES
from detectors.model import Model
from detectors.schema import INVOCATION, VERDICT
from models import Registry
from models.errors import InputError
from pipelines import load, replay
from tests.conftest import Tenant


@pytest.fixture(scope="module")
def logs(tenant: Tenant) -> pa.Table:
    return load([str(tenant.replay)])


def test_fit_gives_the_version_that_train_gives(tenant: Tenant, models: Path, tmp_path: Path) -> None:
    table = load([str(tenant.train)])
    version = save_model(fit(table), tmp_path, note="from a notebook", who="ann")
    assert version == Registry(models).resolve()
    # one batch of another size after the other, in another order
    shuffled = pa.Table.from_batches(reversed(table.to_batches(max_chunksize=5_000)))
    assert save_model(fit(shuffled), tmp_path) == version


def test_a_saved_model_comes_back_under_its_name(model: Model, logs: pa.Table, tmp_path: Path) -> None:
    version = save_model(model, tmp_path)
    again = load_model(tmp_path)
    assert again.version == version
    found, same = detect(logs, model), detect(logs, again)
    assert found.verdicts.drop_columns("model_version").equals(same.verdicts.drop_columns("model_version"))


def test_detect_gives_the_incidents_that_replay_gives(
    tenant: Tenant, models: Path, model: Model, logs: pa.Table, tmp_path: Path
) -> None:
    told = replay([str(tenant.replay)], models, tmp_path / "out", budget=2.0)
    found = detect(logs, model, budget=2.0)
    assert [(i["incident_id"], i["title"]) for i in found.incidents] == [
        (i["incident_id"], i["title"]) for i in told.incidents
    ]
    assert found.incidents
    assert found.verdicts.num_rows == told.run["scored"]


def test_every_invocation_gets_one_verdict_in_order_of_time(model: Model, logs: pa.Table) -> None:
    verdicts = detect(logs, model).verdicts
    assert verdicts.schema.equals(pa.schema(list(VERDICT)))
    assert verdicts["invocation_id"].to_pylist() != []
    assert len(set(verdicts["invocation_id"].to_pylist())) == verdicts.num_rows == collated(logs).num_rows
    times = verdicts["event_time"].cast(pa.int64()).to_numpy()
    assert (np.diff(times) >= 0).all()


def test_measure_tells_the_score_of_detect_and_every_feature(model: Model, logs: pa.Table) -> None:
    felt, verdicts = measure(logs, model), detect(logs, model).verdicts
    assert {f"{what}_{name}" for what in ("raw", "value", "surprise") for name in FEATURE_NAMES} <= set(
        felt.column_names
    )
    mine = dict(zip(felt["invocation_id"].to_pylist(), felt["score"].to_pylist(), strict=True))
    theirs = dict(zip(verdicts["invocation_id"].to_pylist(), verdicts["score"].to_pylist(), strict=True))
    assert mine == theirs


def test_nothing_to_learn_from_is_refused() -> None:
    with pytest.raises(InputError, match="no invocation"):
        fit(pa.Table.from_pylist([], schema=INVOCATION))


@pytest.mark.parametrize("budget", [0.0, -1.0, float("nan")])
def test_a_budget_that_is_none_is_refused(model: Model, logs: pa.Table, budget: float) -> None:
    with pytest.raises(InputError, match="budget"):
        detect(logs, model, budget=budget)


class Frame:
    """A table as data frames give it: other types of texts and times, and a column of the reader's own."""

    def __init__(self, table: pa.Table) -> None:
        wide = {pa.string(): pa.large_string(), pa.timestamp("us", "UTC"): pa.timestamp("ns", "UTC")}
        schema = pa.schema([pa.field(f.name, wide.get(f.type, f.type)) for f in table.schema])
        self._table = table.cast(schema).append_column("mine", pa.array(range(table.num_rows)))

    def __arrow_c_stream__(self, requested_schema: object = None) -> object:
        return self._table.__arrow_c_stream__(requested_schema)


def test_a_data_frame_of_invocations_is_judged_as_the_table_is(model: Model, logs: pa.Table) -> None:
    some = logs.slice(0, 5_000)
    plain = detect(some, model)
    for given in (Frame(some), some.select(some.schema.names[::-1]), some.combine_chunks().to_batches()[0]):
        assert detect(given, model).verdicts.equals(plain.verdicts)


@pytest.mark.parametrize(
    ("given", "received"),
    [
        (pa.table({"TimeGenerated": ["2026-08-01T12:00:00Z"], "AppRoleName": ["shop"]}), "TimeGenerated, AppRoleName"),
        ({"app": ["shop"]}, "a dict"),
        (pa.table({name: ["?"] for name in INVOCATION.names}), "other types"),
    ],
    ids=["raw logs", "no table", "texts only"],
)
def test_what_is_no_invocation_is_refused_with_what_came_and_how_to_read_it(
    model: Model, given: object, received: str
) -> None:
    for call in (fit, lambda table: detect(table, model), lambda table: measure(table, model)):
        with pytest.raises(InputError, match="no invocations") as caught:
            call(given)  # type: ignore[operator]
        assert received in str(caught.value)
        assert "pipelines.load" in str(caught.value)


def test_a_model_and_what_it_found_show_themselves_on_one_line(model: Model, logs: pa.Table) -> None:
    found = detect(logs.slice(0, 5_000), model)
    assert f"{model.invocations:,} invocations of {len(model.judge.baselines):,} functions" in repr(model)
    assert f"{found.verdicts.num_rows:,} verdicts" in repr(found)
    assert all(len(repr(shown)) < 200 and "\n" not in repr(shown) for shown in (model, found))
