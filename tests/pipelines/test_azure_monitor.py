from __future__ import annotations

import datetime as dt
import json
import random
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from models.errors import InputError, SourceError
from pipelines.sources.azure_monitor import AzureMonitorSource
from pipelines.sources.base import Polled, Source, microseconds
from pipelines.sources.cursor import PullOptions, Window
from pipelines.sources.log_analytics import CLOUDS, TABLES, make_client, query_text

from .fake_log_analytics import NOON, Workspace, error, log_analytics, real_client
from .incidents import rng
from .local_http import Response

MINUTE = dt.timedelta(minutes=1)
HOUR = dt.timedelta(hours=1)


class Puller:
    """A source against a workspace, with one clock for both."""

    def __init__(self, workspace: Workspace, client: Any, **options: Any) -> None:
        self.workspace = workspace
        options = {"tables": ["AppRequests"], "start": NOON - HOUR, "rng": rng(), **options}
        self.source = AzureMonitorSource(options.pop("workspaces", ["ws-1"]), client=client, **options)
        self.got: list[str] = []
        self.polled: list[Polled] = []

    def poll(self, later: dt.timedelta = dt.timedelta()) -> list[str]:
        self.workspace.now += later
        before = len(self.got)
        for polled in self.source.poll(self.workspace.now):
            self.polled.append(polled)
            assert polled.conformed.dead.num_rows == 0
            assert polled.conformed.ignored == 0
            self.got.extend(polled.conformed.rows.column("invocation_id").to_pylist())
        return self.got[before:]


@pytest.fixture
def workspace() -> Workspace:
    return Workspace()


@pytest.fixture
def client(workspace: Workspace) -> Iterator[Any]:
    with log_analytics(workspace) as server:
        made = real_client(server)
        yield made
        made.close()


def all_of(workspace: Workspace) -> list[str]:
    return sorted(row.invocation for row in workspace.rows)


def fill(workspace: Workspace, rows: int, begin: dt.datetime, span: dt.timedelta) -> None:
    for number in range(rows):
        workspace.add(number, begin + span * number / rows)


def test_rows_are_pulled_once_and_read_as_invocations(workspace: Workspace, client: Any):
    fill(workspace, 50, NOON - HOUR, HOUR - 2 * MINUTE)
    puller = Puller(workspace, client)
    assert isinstance(puller.source, Source)
    assert sorted(puller.poll()) == all_of(workspace)
    assert puller.source.idle
    for _ in range(5):
        assert puller.poll(MINUTE) == []
    rows = puller.polled[0].conformed.rows.to_pylist()
    assert rows[0]["function"] == "pay"
    assert rows[0]["app"] == "shop"
    assert rows[0]["source"] == "azure-monitor:ws-1/AppRequests"
    assert [row["position"] for row in rows] == list(range(50))
    assert rows[0]["event_time"] == NOON - HOUR - dt.timedelta(seconds=30)
    assert rows[0]["duration_ms"] is None  # the service writes NaN as a text
    assert rows[1]["duration_ms"] == 12.5


def test_the_query_asks_by_ingestion_time_for_the_hidden_item_id_with_the_longest_time_out(
    workspace: Workspace, client: Any
):
    Puller(workspace, client).poll()
    (query,) = workspace.queries
    assert "ingestion_time()" in query
    assert "_ItemId" in query
    assert "TimeGenerated between (datetime(2026-07-29T11:00:00.000000Z) .." in query
    assert workspace.prefers == ["wait=600"]
    assert workspace.windows == [(NOON - HOUR, NOON - MINUTE)]


def test_rows_that_show_up_late_within_the_overlap_are_found_and_none_comes_twice(workspace: Workspace, client: Any):
    drawn = random.Random(1)
    for number in range(200):
        workspace.add(number, NOON + MINUTE * 20 * number / 200, hidden_s=drawn.uniform(0, 290))
    puller = Puller(workspace, client)
    for _ in range(60):
        puller.poll(dt.timedelta(seconds=drawn.uniform(1, 60)))
    assert sorted(puller.got) == all_of(workspace)


def test_order_and_duplicates_in_answers_do_not_matter(workspace: Workspace, client: Any):
    fill(workspace, 100, NOON - HOUR, HOUR)
    workspace.doubled, workspace.shuffle = True, random.Random(2)
    puller = Puller(workspace, client)
    for _ in range(10):
        puller.poll(MINUTE)
    assert sorted(puller.got) == all_of(workspace)


def test_a_partial_result_is_not_used_and_its_window_halved_until_it_is_whole(workspace: Workspace, client: Any):
    fill(workspace, 300, NOON - HOUR, HOUR - MINUTE)
    workspace.most_rows = 40
    puller = Puller(workspace, client)
    puller.poll()
    assert sorted(puller.got) == all_of(workspace)
    assert all(polled.conformed.rows.num_rows <= 40 for polled in puller.polled)
    widths = [end - begin for begin, end in workspace.windows]
    assert min(widths) < widths[0] / 4


def test_the_cursor_never_passes_a_partial_result(workspace: Workspace, client: Any):
    fill(workspace, 10, NOON - HOUR, HOUR - MINUTE)
    workspace.most_rows = 3
    puller = Puller(workspace, client)
    for polled in puller.source.poll(workspace.now):
        to_us = polled.cursor["pulls"]["ws-1/AppRequests"]["to_us"]
        puller.got.extend(polled.conformed.rows.column("invocation_id").to_pylist())
        assert sorted(puller.got) == sorted(
            row.invocation for row in workspace.rows if microseconds(row.ingested) < to_us
        )


def test_an_answer_near_the_row_limit_is_not_trusted_to_be_whole(workspace: Workspace, client: Any):
    fill(workspace, 500, NOON - HOUR, HOUR - MINUTE)
    workspace.silent_limit = 100
    puller = Puller(workspace, client, row_limit=100)
    puller.poll()
    assert sorted(puller.got) == all_of(workspace)
    assert all(polled.conformed.rows.num_rows < 98 for polled in puller.polled)


def test_a_time_out_halves_the_window_after_a_pause(workspace: Workspace, client: Any):
    fill(workspace, 30, NOON - HOUR, HOUR - MINUTE)
    workspace.slowest = 10 * MINUTE
    puller = Puller(workspace, client)
    assert puller.poll() == []
    assert not puller.source.idle
    assert puller.poll() == []  # the pause is not over
    assert len(workspace.queries) == 1
    for _ in range(30):
        puller.poll(dt.timedelta(seconds=30))
    assert sorted(puller.got) == all_of(workspace)


def test_throttling_is_waited_for_as_long_as_the_service_asks(workspace: Workspace, client: Any):
    fill(workspace, 5, NOON - HOUR, HOUR / 2)
    workspace.faults = [error(429, "Throttled", {"Retry-After": "45"})]
    puller = Puller(workspace, client)
    assert puller.poll() == puller.poll(dt.timedelta(seconds=44)) == []
    assert len(workspace.queries) == 1
    assert len(puller.poll(dt.timedelta(seconds=1))) == 5
    assert workspace.windows[0][0] == NOON - HOUR  # throttling narrows nothing and moves nothing


def test_throttling_without_a_header_is_waited_for_with_growing_pauses(workspace: Workspace, client: Any):
    fill(workspace, 5, NOON - HOUR, HOUR / 2)
    workspace.faults = [error(429, "Throttled") for _ in range(6)]
    puller = Puller(workspace, client)
    asked_at: list[int] = []
    for second in range(120):
        asked = len(workspace.queries)
        puller.poll(dt.timedelta(seconds=1))
        if len(workspace.queries) > asked:
            asked_at.append(second)
    gaps = [b - a for a, b in pairwise(asked_at)][:6]
    assert gaps == sorted(gaps)
    assert gaps[-1] >= 16
    assert len(puller.got) == 5


@pytest.mark.parametrize(
    "fault",
    [
        Response(200, b'{"tables": [{"name": "PrimaryResult", "columns": [', {}),
        Response(200, b'{"tables": []}', {}, truncated=True),
        Response(silent=True),
        error(500, "InternalServerError"),
        error(502, "BadGateway"),
        error(504, "GatewayTimeout"),
    ],
    ids=["cut JSON", "cut body", "hang-up", "500", "502", "504"],
)
def test_an_answer_that_fails_or_breaks_off_loses_nothing(workspace: Workspace, client: Any, fault: Response):
    fill(workspace, 20, NOON - HOUR, HOUR / 2)
    workspace.faults = [fault]
    puller = Puller(workspace, client)
    assert puller.poll() == []
    puller.poll(MINUTE)
    assert sorted(puller.got) == all_of(workspace)


def test_an_outage_of_hours_is_caught_up_in_wide_windows(workspace: Workspace, client: Any):
    workspace.outage = (NOON + 10 * MINUTE, NOON + 4 * HOUR)
    fill(workspace, 600, NOON, 5 * HOUR)
    puller = Puller(workspace, client, start=NOON)
    asked = 0
    for _ in range(6 * 60):
        puller.poll(MINUTE)
        if workspace.outage[0] <= workspace.now < workspace.outage[1]:
            asked = len(workspace.queries)
    assert sorted(puller.got) == all_of(workspace)
    assert asked < 120  # it did not hammer a service that was down
    assert puller.source.idle
    assert puller.polled[-1].watermark_us == microseconds(workspace.now) - 6 * 60_000_000


def test_after_a_restart_it_goes_on_from_what_was_committed(workspace: Workspace, client: Any, tmp_path: Path):
    state = tmp_path / "cursor.json"
    fill(workspace, 120, NOON - HOUR, 2 * HOUR)
    first = Puller(workspace, client, state=state)
    first.poll()
    first.source.commit(first.polled[-1].cursor)
    first.poll(10 * MINUTE)  # polled, not committed: it comes again
    second = Puller(workspace, client, state=state)
    second.poll(HOUR)
    committed = len(first.polled[0].conformed.rows)
    assert sorted(first.got[:committed] + second.got) == all_of(workspace)
    assert second.polled[0].conformed.rows.column("position")[0].as_py() == committed
    assert json.loads(state.read_text())["kind"] == "azure-monitor"


def test_a_cursor_of_something_else_is_refused(workspace: Workspace, client: Any, tmp_path: Path):
    for content in ('{"kind": "kafka"}', "not json", "[]"):
        (tmp_path / "c").write_text(content)
        with pytest.raises(SourceError, match="move the file away"):
            Puller(workspace, client, state=tmp_path / "c")


def test_several_workspaces_and_tables_have_a_cursor_each_and_one_that_fails_stops_no_other(
    workspace: Workspace, client: Any
):
    for number in range(20):
        workspace.add(number, NOON - 30 * MINUTE, workspace="ws-1" if number % 2 else "ws-2")
    workspace.add(100, NOON - 30 * MINUTE, table="AppExceptions", workspace="ws-2")
    workspace.faults = [error(503, "ServiceUnavailable")]
    tables = ["AppRequests", "AppExceptions"]
    puller = Puller(workspace, client, workspaces=["ws-1", "ws-2"], tables=tables)
    puller.poll()
    assert len(puller.got) == 11
    assert puller.polled[-1].watermark_us == microseconds(NOON - HOUR) - 5 * 60_000_000  # held by the one that waits
    puller.poll(MINUTE)
    assert sorted(puller.got) == all_of(workspace)
    assert set(puller.polled[-1].cursor["pulls"]) == {f"ws-{n}/{table}" for n in (1, 2) for table in tables}


def test_an_idle_workspace_moves_the_watermark_on(workspace: Workspace, client: Any):
    puller = Puller(workspace, client)
    for _ in range(3):
        puller.poll(MINUTE)
    marks = [polled.watermark_us for polled in puller.polled]
    assert marks == sorted(set(marks))  # type: ignore[type-var]
    assert puller.got == []
    assert puller.source.idle


def test_a_clock_set_back_loses_and_repeats_nothing(workspace: Workspace, client: Any):
    fill(workspace, 100, NOON - HOUR, 2 * HOUR)
    puller = Puller(workspace, client)
    puller.poll(10 * MINUTE)
    workspace.faults = [error(429, "Throttled", {"Retry-After": "60"})]
    puller.poll(MINUTE)
    assert puller.poll(-3 * HOUR) == []
    puller.poll(6 * HOUR)
    assert sorted(puller.got) == all_of(workspace)


@pytest.mark.parametrize(
    ("status", "hint"), [(403, "Log Analytics Reader"), (404, "GUID"), (400, "table"), (401, "cloud")]
)
def test_a_refusal_at_the_start_is_raised_with_what_to_do(workspace: Workspace, client: Any, status: int, hint: str):
    workspace.faults = [error(status, "Refused")]
    with pytest.raises(SourceError, match=hint) as caught:
        Puller(workspace, client).poll()
    assert not caught.value.retry


def test_a_refusal_later_on_is_waited_for(workspace: Workspace, client: Any):
    fill(workspace, 10, NOON - HOUR, HOUR + 3 * MINUTE)
    puller = Puller(workspace, client)
    puller.poll()
    workspace.faults = [error(403, "Refused")]
    assert puller.poll(MINUTE) == []
    puller.poll(5 * MINUTE)
    assert sorted(puller.got) == all_of(workspace)


def test_what_is_never_answered_in_full_is_an_error_and_not_an_endless_loop(workspace: Workspace, client: Any):
    workspace.most_rows = 0
    workspace.add(1, NOON - HOUR)
    with pytest.raises(SourceError, match="however little") as caught:
        Puller(workspace, client, options=PullOptions(narrowest_us=60_000_000)).poll()
    assert caught.value.retry
    assert len(workspace.queries) < 10


def test_signing_in_that_fails_says_how_to(workspace: Workspace):
    from azure.identity import CredentialUnavailableError

    class Unsigned:
        def query_workspace(self, *_: Any, **__: Any) -> Any:
            raise CredentialUnavailableError(message="no managed identity")

    with pytest.raises(SourceError, match="az login"):
        Puller(workspace, Unsigned()).poll()


def test_sovereign_clouds_have_their_own_endpoints():
    for cloud, (endpoint, _) in CLOUDS.items():
        client = make_client(cloud)
        assert client._endpoint == endpoint
        assert client._config.credential_scopes == [f"{endpoint}/.default"]
        client.close()
    with pytest.raises(InputError, match="public, usgov, china"):
        make_client("mars")


def test_a_pull_without_workspace_or_with_an_unknown_table_is_refused():
    for workspaces, tables in (([], ["AppRequests"]), (["ws"], []), (["ws"], ["Heartbeat"])):
        with pytest.raises(InputError, match="AppRequests"):
            AzureMonitorSource(workspaces, tables=tables, client=object())


def test_every_table_has_a_query_of_its_own():
    for table in TABLES:
        text = query_text(table, Window(0, 1_000_000))
        assert text.startswith(f"{table}\n| where TimeGenerated between (datetime(1970-01-01T00:00:00.000000Z) ..")
    assert "Trigger Details" in query_text("AppTraces", Window(0, 1))
