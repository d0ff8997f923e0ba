from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from models.errors import InputError
from pipelines.simulate import KINDS, SimulationSummary, simulate
from pipelines.simulate.clock import DAY, MINUTES_A_DAY, minute_weights
from pipelines.simulate.durations import Percentiles
from pipelines.simulate.places import IPV6_BIT, write_address
from pipelines.simulate.text import decimals, guids, iso

SMALL = 0.02
WORKLOAD = Path(__file__).parents[2].parent / "shared" / "data" / "azure-functions-2019"
GUID = r"^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$"


@dataclass
class Logs:
    out: Path
    summary: SimulationSummary
    train: pa.Table
    replay: pa.Table
    truth: pa.Table

    @cached_property
    def requests(self) -> pa.Table:
        return pa.concat_tables([self.train, self.replay])


def read(out: Path, summary: SimulationSummary) -> Logs:
    def part(name: str) -> pa.Table:
        return pa.concat_tables([pq.read_table(path) for path in sorted((out / name).glob("day=*.parquet"))])

    return Logs(out, summary, part("train"), part("replay"), pq.read_table(out / "truth.parquet"))


@pytest.fixture(scope="module")
def logs(tmp_path_factory: pytest.TempPathFactory) -> Logs:
    out = tmp_path_factory.mktemp("simulated")
    return read(out, simulate(out, seed=1, scale=0.05, days=7))


@pytest.fixture(scope="module")
def masked(tmp_path_factory: pytest.TempPathFactory) -> Logs:
    out = tmp_path_factory.mktemp("masked")
    return read(out, simulate(out, seed=1, scale=SMALL, days=2, identity="masked"))


def properties(table: pa.Table) -> list[dict[str, str]]:
    found: list[dict[str, str]] = json.loads("[" + ",".join(table["Properties"].to_pylist()) + "]")
    return found


def reason(table: pa.Table) -> list[str]:
    return [one["TriggerReason"] for one in properties(table)]


def digest(out: Path) -> dict[str, str]:
    files = sorted(path for path in out.rglob("*") if path.is_file())
    return {str(path.relative_to(out)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def test_the_same_seed_gives_the_same_bytes(tmp_path: Path) -> None:
    for name in ("a", "b"):
        simulate(tmp_path / name, seed=5, scale=SMALL, days=2)
    assert digest(tmp_path / "a") == digest(tmp_path / "b")
    assert len(digest(tmp_path / "a")) > 4


def test_another_seed_gives_another_tenant(tmp_path: Path) -> None:
    one = simulate(tmp_path / "a", seed=5, scale=SMALL, days=1, scenarios=False)
    other = simulate(tmp_path / "b", seed=6, scale=SMALL, days=1, scenarios=False)
    assert one.replay_events != other.replay_events
    ids = [set(invocations(pq.read_table(s.out / "replay" / f"day={s.replay_days[0]}.parquet"))) for s in (one, other)]
    assert not ids[0] & ids[1]


def test_more_days_leave_the_first_days_as_they_are(tmp_path: Path) -> None:
    short = simulate(tmp_path / "a", seed=5, scale=SMALL, days=2, train_days=2, scenarios=False)
    simulate(tmp_path / "b", seed=5, scale=SMALL, days=3, train_days=3, scenarios=False)
    for day in short.train_days:
        name = Path("train") / f"day={day}.parquet"
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()


def test_a_second_simulation_replaces_the_first(tmp_path: Path) -> None:
    simulate(tmp_path, scale=SMALL, days=3, scenarios=False)
    simulate(tmp_path, scale=SMALL, days=1, scenarios=False, format="ndjson")
    assert [path.name for path in tmp_path.rglob("day=*") if path.parent.name == "replay"] == ["day=2026-06-06.ndjson"]
    assert not list((tmp_path / "train").glob("day=*"))


def test_five_days_of_seven_are_for_training(logs: Logs) -> None:
    assert (len(logs.summary.train_days), len(logs.summary.replay_days)) == (5, 2)
    assert logs.summary.train_days[-1] < logs.summary.replay_days[0]


def invocations(table: pa.Table) -> list[str]:
    return [one["InvocationId"] for one in properties(table)]


def test_every_label_names_an_invocation_in_the_replay_logs(logs: Logs) -> None:
    written = set(invocations(logs.replay))
    labelled = logs.truth["InvocationId"].to_pylist()
    assert labelled
    assert len(labelled) == len(set(labelled)) == logs.summary.labelled
    assert set(labelled) <= written
    assert not set(labelled) & set(invocations(logs.train))


def test_every_kind_of_trouble_is_planted_and_told(logs: Logs) -> None:
    assert len(KINDS) >= 16
    told = json.loads((logs.out / "scenarios.json").read_text(encoding="utf-8"))
    assert {one["kind"] for one in told} == set(KINDS)
    counts = {row["values"]: row["counts"] for row in logs.truth["scenario"].value_counts().to_pylist()}
    for one in told:
        assert one["events"] == counts.get(one["kind"], 0)
        if one["kind"] == "silence":
            assert one["events"] == 0
        else:
            assert one["events"] > 0
            assert one["start"] <= one["first_event"] <= one["last_event"]


def test_the_count_of_rows_is_invocations_and_duplicates(logs: Logs) -> None:
    ids = invocations(logs.requests)
    assert len(set(ids)) == logs.summary.train_events + logs.summary.replay_events
    assert len(ids) - len(set(ids)) == logs.summary.duplicates > 0


def test_a_result_code_is_the_http_status_or_zero_even_on_failure(logs: Logs) -> None:
    table = logs.requests
    http = np.array(["HttpPath" in one for one in properties(table)])
    codes = np.array(table["ResultCode"].to_pylist())
    success = np.asarray(table["Success"])
    assert set(codes[~http]) == {"0"}
    assert (~success[~http]).any()
    assert "0" not in set(codes[http])
    refused = np.char.startswith(codes, "4")
    assert refused.any()
    assert success[refused].all()
    assert (codes[http & ~success] == "500").all()


def test_rows_without_http_have_neither_address_nor_geography_nor_url(logs: Logs) -> None:
    table = logs.requests.filter(pc.starts_with(logs.requests["SDKVersion"], "azurefunctions:"))
    http = np.array(["HttpPath" in one for one in properties(table)])
    other = table.filter(pa.array(~http))
    assert set(other["ClientIP"].to_pylist()) == {"0.0.0.0"}  # noqa: S104 - the mask
    for name in ("ClientCountryOrRegion", "ClientCity", "ClientStateOrProvince", "Url", "UserAuthenticatedId"):
        assert other[name].null_count == other.num_rows
    assert table.filter(pa.array(http))["ClientCountryOrRegion"].null_count == 0


def test_full_identity_shows_addresses_and_some_users(logs: Logs) -> None:
    http = logs.replay.filter(pc.is_valid(logs.replay["Url"]))
    assert len(set(http["ClientIP"].to_pylist())) > 50
    assert 0 < http["UserAuthenticatedId"].null_count < http.num_rows


def test_masked_identity_has_geography_but_no_address_and_no_user(masked: Logs) -> None:
    table = masked.requests
    assert set(table["ClientIP"].to_pylist()) == {"0.0.0.0"}  # noqa: S104 - the mask
    assert table["UserAuthenticatedId"].null_count == table.num_rows
    assert len(set(table["ClientCountryOrRegion"].to_pylist()) - {None}) > 3


def test_properties_are_those_of_a_row_written_by_the_host(logs: Logs) -> None:
    for one in properties(logs.replay.slice(0, 2000)):
        assert {"InvocationId", "FullName", "TriggerReason", "Category", "HostInstanceId"} <= set(one)
        assert one["Category"] == "Host.Results"
        assert float(one["FunctionExecutionTimeMs"]) >= 0


def test_trigger_reasons_tell_the_trigger(logs: Logs) -> None:
    reasons = set(reason(logs.replay))
    for start in (
        "This function was programmatically called via the host APIs.",
        "New queue message detected on '",
        "New ServiceBus message detected on '",
        "New blob detected: uploads/",
        "Timer fired at 2026-06-1",
    ):
        assert any(text.startswith(start) for text in reasons), start


def test_a_manual_run_looks_like_a_host_call_without_method_and_path(logs: Logs) -> None:
    wanted = set(logs.truth.filter(pc.equal(logs.truth["scenario"], "manual-run"))["InvocationId"].to_pylist())
    found = [one for one in properties(logs.replay) if one["InvocationId"] in wanted]
    assert found
    for one in found:
        assert one["TriggerReason"] == "This function was programmatically called via the host APIs."
        assert "HttpMethod" not in one


def test_queue_messages_share_the_operation_of_the_request_that_sent_them(logs: Logs) -> None:
    names = logs.train["Name"].to_pylist()
    operations = logs.train["OperationId"].to_pylist()
    sent = {op for op, name in zip(operations, names, strict=True) if name == "Checkout"}
    handled = [op for op, name in zip(operations, names, strict=True) if name == "ProcessOrder"]
    assert handled
    # a message may be handled after midnight of the day before the logs begin, never without a sender
    assert np.mean([op in sent for op in handled]) > 0.97


def test_trigger_details_stand_in_traces_and_poison_is_delivered_five_times(logs: Logs) -> None:
    paths = sorted((logs.out / "replay" / "traces").glob("*.parquet"))
    traces = pa.concat_tables([pq.read_table(path) for path in paths])
    counts = {one["InvocationId"]: one.get("prop__DequeueCount") for one in properties(traces)}
    poison = logs.truth.filter(pc.equal(logs.truth["scenario"], "poison-message"))["InvocationId"].to_pylist()
    assert {counts[one] for one in poison} == {"1", "2", "3", "4", "5"}


def test_each_failure_has_two_exceptions(logs: Logs) -> None:
    day = logs.summary.train_days[0]
    requests = pq.read_table(logs.out / "train" / f"day={day}.parquet")
    failed = {i for i, ok in zip(invocations(requests), requests["Success"].to_pylist(), strict=True) if not ok}
    rows = invocations(pq.read_table(logs.out / "train" / "exceptions" / f"day={day}.parquet"))
    assert failed
    assert set(rows) == failed
    assert len(rows) == 2 * len(failed)


def test_people_work_by_day_and_rest_at_weekends(logs: Logs) -> None:
    table = logs.train.filter(pc.equal(logs.train["Name"], "FindCustomer"))
    hours = np.asarray(pc.hour(table["TimeGenerated"]))
    counts = np.bincount(hours, minlength=24)
    ring = np.concatenate([counts, counts])
    busiest = max(ring[start : start + 10].sum() for start in range(24))
    assert busiest > 0.8 * counts.sum()
    weekend = np.asarray(pc.day_of_week(table["TimeGenerated"])) >= 5
    assert weekend.mean() < 0.2


def test_a_few_callers_make_most_of_the_calls(logs: Logs) -> None:
    table = logs.train.filter(pc.equal(logs.train["Name"], "GetInvoice"))
    counts = np.sort([row["counts"] for row in table["ClientIP"].value_counts().to_pylist()])[::-1]
    assert counts[:3].sum() > 0.3 * counts.sum()


def test_durations_spread_over_decades_and_stay_within_the_time_limit(logs: Logs) -> None:
    ms = np.asarray(logs.requests["DurationMs"])
    assert ms.min() > 0
    assert np.log10(np.quantile(ms, 0.999) / np.quantile(ms, 0.01)) > 2.5
    assert ms.max() < 1_810_000


def test_hosts_start_anew_now_and_then_and_the_first_call_is_slower(logs: Logs) -> None:
    rows = logs.train.sort_by("TimeGenerated")
    hosts = [one["HostInstanceId"] for one in properties(rows)]
    _, first = np.unique(hosts, return_index=True)
    ms = np.asarray(rows["DurationMs"])
    assert len(first) > 20
    assert np.median(ms[first]) > 2 * np.median(ms)


def test_scenarios_can_be_chosen(tmp_path: Path) -> None:
    summary = simulate(tmp_path, scale=SMALL, days=2, scenarios=["enumeration", "silence"])
    assert [one["kind"] for one in summary.scenarios] == ["enumeration", "silence"]
    assert set(pq.read_table(tmp_path / "truth.parquet")["scenario"].to_pylist()) == {"enumeration"}


def test_no_scenarios_leave_an_empty_truth(tmp_path: Path) -> None:
    summary = simulate(tmp_path, scale=SMALL, days=1, scenarios=False)
    assert (summary.labelled, summary.scenarios) == (0, ())
    assert pq.read_table(tmp_path / "truth.parquet").column_names == ["InvocationId", "scenario"]


def test_contamination_puts_attacks_into_training_and_says_which(tmp_path: Path) -> None:
    summary = simulate(tmp_path, scale=SMALL, days=3, contaminate=0.03)
    tainted = pq.read_table(tmp_path / "contamination.parquet")
    assert 0.01 < tainted.num_rows / summary.train_events < 0.15
    ids = set()
    for day in summary.train_days:
        ids |= set(invocations(pq.read_table(tmp_path / "train" / f"day={day}.parquet")))
    assert set(tainted["InvocationId"].to_pylist()) <= ids


def test_sampled_logs_say_how_many_each_row_stands_for(tmp_path: Path) -> None:
    whole = simulate(tmp_path / "a", scale=SMALL, days=1, scenarios=False)
    some = simulate(tmp_path / "b", scale=SMALL, days=1, scenarios=False, sampling=0.25)
    table = pq.read_table(tmp_path / "b" / "replay" / f"day={some.replay_days[0]}.parquet")
    assert set(table["ItemCount"].to_pylist()) == {4}
    assert some.replay_events == pytest.approx(whole.replay_events / 4, rel=0.1)


def test_ndjson_holds_the_rows_of_parquet_with_properties_as_object(tmp_path: Path) -> None:
    for form in ("parquet", "ndjson"):
        simulate(tmp_path / form, seed=2, scale=SMALL, days=1, format=form)
    table = pq.read_table(next((tmp_path / "parquet" / "replay").glob("day=*")))
    lines = next((tmp_path / "ndjson" / "replay").glob("day=*")).read_text(encoding="utf-8").splitlines()
    rows = [json.loads(line) for line in lines]
    assert [row["Properties"] for row in rows] == properties(table)
    for name in ("Name", "Success", "ResultCode", "ClientIP", "OperationId", "Url"):
        assert [row.get(name) for row in rows] == table[name].to_pylist()
    assert [row["DurationMs"] for row in rows] == pytest.approx(table["DurationMs"].to_pylist())


def test_function_app_logs_have_a_start_and_an_end_for_each_invocation(tmp_path: Path) -> None:
    summary = simulate(tmp_path, seed=2, scale=SMALL, days=1, format="functionapplogs")
    path = next((tmp_path / "replay").glob("day=*"))
    records = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    assert len(records) == 2 * summary.replay_events
    proper = [one["properties"] for one in records if isinstance(one["properties"], dict)]
    pseudo = [one["properties"] for one in records if isinstance(one["properties"], str)]
    assert {one["eventName"] for one in proper} == {"FunctionStarted", "FunctionCompleted"}
    assert all(text.startswith("{'appName':'") for text in pseudo)
    done = [one for one in proper if one["eventName"] == "FunctionCompleted"]
    assert {one["eventId"] for one in done} == {2, 3}
    for one in done[:200]:
        assert one["functionInvocationId"] in one["message"]
        assert ("Failed" in one["message"]) == (one["eventId"] == 3)


@pytest.mark.parametrize(
    "wrong",
    [
        {"days": 0},
        {"scale": 0.0},
        {"identity": "open"},
        {"format": "xml"},
        {"scenarios": ["earthquake"]},
        {"contaminate": 0.9},
        {"sampling": 0.0},
        {"train_days": 9},
        {"workload": Path("nowhere")},
    ],
    ids=lambda wrong: next(iter(wrong)),
)
def test_a_wrong_option_is_refused_with_what_was_expected(tmp_path: Path, wrong: dict[str, object]) -> None:
    with pytest.raises(InputError) as caught:
        simulate(tmp_path, **wrong)  # type: ignore[arg-type]
    assert caught.value.expected
    assert caught.value.received


def test_progress_is_told_after_each_day(tmp_path: Path) -> None:
    told: list[tuple[str, int, int]] = []
    simulate(tmp_path, scale=SMALL, days=2, scenarios=False, progress=lambda *step: told.append(step))
    assert told == [("train 2026-06-06", 1, 2), ("replay 2026-06-07", 2, 2)]


@pytest.mark.skipif(not (WORKLOAD / "invocations.csv").is_file(), reason="the 2019 workload tables are not here")
def test_the_workload_gives_real_functions_and_all_scenarios(tmp_path: Path) -> None:
    summary = simulate(tmp_path, seed=3, scale=SMALL, days=2, workload=WORKLOAD)
    assert summary.functions == 100
    assert {one["kind"] for one in summary.scenarios} == set(KINDS)
    logs = read(tmp_path, summary)
    assert set(logs.truth["InvocationId"].to_pylist()) <= set(invocations(logs.replay))
    ms = np.asarray(logs.train["DurationMs"])
    assert np.log10(np.quantile(ms, 0.99) / np.quantile(ms, 0.01)) > 3


@given(
    hours=st.floats(-12, 14), day=st.integers(0, 40_000), audience=st.sampled_from(["public", "customers", "partners"])
)
def test_a_day_curve_is_positive_and_about_one_on_the_mean(hours: float, day: int, audience: str) -> None:
    weights = minute_weights(audience, day, hours)
    assert weights.shape == (MINUTES_A_DAY,)
    assert (weights > 0).all()
    assert 0.3 < weights.mean() < 1.3


@settings(deadline=None)
@given(st.lists(st.integers(0, 4 * 10**15), min_size=1, max_size=20))
def test_times_are_written_with_seven_digits_in_utc(micros: list[int]) -> None:
    texts = iso(np.array(micros, dtype=np.int64)).to_pylist()
    for number, text in zip(micros, texts, strict=True):
        assert len(text) == 28
        assert text.endswith("0Z")
        assert np.datetime64(text[:-2], "us").astype(np.int64) == number


@given(st.lists(st.floats(0, 1e7), min_size=1, max_size=20))
def test_decimals_read_back_as_the_number(values: list[float]) -> None:
    assert [float(text) for text in decimals(np.array(values)).to_pylist()] == pytest.approx(values, abs=1e-4)


@given(st.lists(st.integers(0, 2**63 - 1), min_size=2, max_size=20, unique=True))
def test_different_numbers_become_different_guids(numbers: list[int]) -> None:
    texts = guids(np.array(numbers, dtype=np.uint64), 1)
    assert len(set(texts.to_pylist())) == len(numbers)
    assert pc.all(pc.match_substring_regex(texts, GUID)).as_py()


def test_address_zero_is_the_mask_and_ipv6_is_written_as_such() -> None:
    assert write_address(0) == "0.0.0.0"  # noqa: S104 - the mask
    assert ":" in write_address(IPV6_BIT | 12345)
    assert len({write_address(IPV6_BIT | number) for number in range(1000)}) == 1000


def test_percentiles_are_met_by_the_samples() -> None:
    real = Percentiles((0.0, 0.25, 0.5, 0.75, 1.0), (10.0, 100.0, 1000.0, 2000.0, 9000.0), scatter=0.0)
    ms = real.sample(np.random.default_rng(0), 20_000)
    assert np.quantile(ms, 0.5) == pytest.approx(1000.0, rel=0.05)
    assert (ms >= 10.0 - 1e-6).all()
    assert (ms <= 9000.0 + 1e-6).all()


def test_a_week_covers_every_weekday_once() -> None:
    means = [minute_weights("internal", day, 0.0).mean() for day in range(7)]
    assert sum(mean < 0.2 for mean in means) == 2
    assert DAY == 86_400_000_000
