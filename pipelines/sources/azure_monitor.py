"""Azure Monitor as a live source: workspaces are pulled by ingestion time through azure-monitor-query."""

from __future__ import annotations

import datetime as dt
import logging
import random
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from detectors.conform import ConformOptions, conform_table
from models.errors import InputError, SourceError
from pipelines.retry import LONGEST_RETRY_AFTER_S, Backoff
from pipelines.sources.base import Cursor, Polled, microseconds
from pipelines.sources.cursor import PullCursor, PullOptions, Window, completed, halved, next_window
from pipelines.sources.log_analytics import (
    ROW_LIMIT,
    TABLES,
    CutShortError,
    Trouble,
    make_client,
    query_text,
    read_answer,
    trouble_of,
)
from pipelines.sources.state import load_cursor, save_cursor

#: the service's own longest time for a query, s
SERVER_TIMEOUT_S: Final = 600
#: and how much longer we listen, s
_LISTEN_S: Final = 30
#: rows arrive within about this after they happened, µs: seconds to minutes for Application Insights tables
INGESTION_DELAY_US: Final = 5 * 60_000_000
#: how far back a source looks that is given no time to start from
_DEFAULT_START: Final = dt.timedelta(hours=1)
_SECOND_US: Final = 1_000_000

_log = logging.getLogger(__name__)


@dataclass
class _Pull:
    """One table of one workspace."""

    workspace: str
    table: str
    cursor: PullCursor | None = None
    failures: int = 0
    retry_at_us: int = 0

    @property
    def name(self) -> str:
        return f"{self.workspace}/{self.table}"


class AzureMonitorSource:
    """Pulls AppRequests and what belongs to it from one or many workspaces; see Source for the contract.

    Each table of each workspace has a cursor of ingestion time (pipelines/sources/cursor.py). A window is answered as a
    whole or not at all: on a partial result, an answer near the row limit, a time-out or one that breaks off, the
    window is halved and asked for again. 429 and other failures of the service are waited for, as long as it asks
    (``Retry-After``) or with back-off; nothing is slept, ``poll`` just yields nothing of that table until then.
    Before the first answer a refusal (no rights, no such workspace) is raised; after it, it is waited for too.

    Rows that come again (overlap, the service's own duplicates) are told by ``_ItemId`` and dropped.

    Args:
        workspaces: workspace ids (GUIDs).
        state: file of the committed cursor; None keeps it in memory only.
        start: ingestion time to start from where ``state`` has none (backfill); an hour ago unless told.
        tables: of TABLES.
        cloud: of CLOUDS, where no client is given.
        client: a LogsQueryClient; it should not retry by itself (``retry_total=0``).
        options: how windows are cut.
        conform: how records are read.
        row_limit: rows at which the service cuts an answer.
        backoff: between attempts on a service that fails.
        rng: draws its jitter.
        ingestion_delay_us: how long after its event a row usually arrives, for the watermark.
    """

    def __init__(
        self,
        workspaces: Sequence[str],
        *,
        state: Path | None = None,
        start: dt.datetime | None = None,
        tables: Sequence[str] = ("AppRequests", "AppExceptions", "AppTraces"),
        cloud: str = "public",
        client: Any = None,
        options: PullOptions | None = None,
        conform: ConformOptions | None = None,
        row_limit: int = ROW_LIMIT,
        backoff: Backoff | None = None,
        rng: random.Random | None = None,
        ingestion_delay_us: int = INGESTION_DELAY_US,
        make: Callable[[str], Any] = make_client,
    ) -> None:
        unknown = [table for table in tables if table not in TABLES]
        if not workspaces or not tables or unknown:
            raise InputError(
                "Azure Monitor can't be pulled like this.",
                expected=f"a workspace id, and tables of {', '.join(TABLES)}",
                received=f"{len(workspaces)} workspaces, tables {', '.join(tables)}",
            )
        self._pulls = [
            _Pull(workspace, table) for workspace in dict.fromkeys(workspaces) for table in dict.fromkeys(tables)
        ]
        self._state, self._start = state, start
        self._options, self._conform = options or PullOptions(), conform or ConformOptions()
        self._row_limit, self._delay_us = row_limit, ingestion_delay_us
        self._backoff, self._rng = backoff or Backoff(), rng or random.Random()
        saved = load_cursor(state, "azure-monitor") if state is not None else None
        self._saved: dict[str, Any] = dict(saved["pulls"]) if saved is not None else {}
        for pull in self._pulls:
            if pull.name in self._saved:
                pull.cursor = PullCursor.from_json(self._saved[pull.name])
        self._client = client if client is not None else make(cloud)
        self._answered = self._idle = False

    def poll(self, now: dt.datetime) -> Iterator[Polled]:
        """Pull every window that is ripe, the table that lags most first.

        Raises:
            SourceError: refused before anything was ever answered (``retry=False``), or not answered in full however
                narrow the window (``retry=True``).
        """
        now_us = microseconds(now)
        self._idle = False
        for pull in self._pulls:
            if pull.cursor is None:
                start = self._start or now - _DEFAULT_START
                pull.cursor = PullCursor.start(microseconds(start), self._options)
        while True:
            ripe = [(pull, window) for pull in self._pulls if (window := self._window(pull, now_us)) is not None]
            if not ripe:
                break
            pull, window = min(ripe, key=lambda item: item[1].begin_us)
            polled = self._pull(pull, window, now_us)
            if polled is not None:
                yield polled
        self._idle = not any(pull.failures for pull in self._pulls)

    def commit(self, cursor: Cursor) -> None:
        """Write the cursor to ``state``."""
        if self._state is not None:
            save_cursor(self._state, cursor)

    @property
    def idle(self) -> bool:
        """Whether the last ``poll`` read everything that was ripe."""
        return self._idle

    def close(self) -> None:
        """Close the client's connections."""
        self._client.close()

    def _window(self, pull: _Pull, now_us: int) -> Window | None:
        if pull.cursor is None:
            return None
        if 0 < pull.retry_at_us - now_us <= LONGEST_RETRY_AFTER_S * _SECOND_US:  # more: the clock was set back
            return None
        return next_window(pull.cursor, now_us, self._options)

    def _pull(self, pull: _Pull, window: Window, now_us: int) -> Polled | None:
        cursor = pull.cursor
        if cursor is None:
            return None
        try:
            result = self._client.query_workspace(
                pull.workspace,
                query_text(pull.table, window),
                timespan=None,  # the query has its own bounds
                server_timeout=SERVER_TIMEOUT_S,
                read_timeout=SERVER_TIMEOUT_S + _LISTEN_S,
            )
            answer = read_answer(result, self._row_limit)
        except SourceError:
            raise
        except Exception as error:  # azure-core's and its transport's, told apart in trouble_of
            self._troubled(
                pull, window, trouble_of(error, now_us / _SECOND_US), now_us, cut=isinstance(error, CutShortError)
            )
            return None
        self._answered, pull.failures, pull.retry_at_us = True, 0, 0
        after, fresh = completed(cursor, window, answer.items, answer.times_us, now_us, self._options)
        pull.cursor = after
        batch = answer.batch.filter(fresh) if not fresh.all() else answer.batch
        conformed = conform_table(batch, f"azure-monitor:{pull.name}", cursor.rows, self._conform)
        return Polled(conformed, self._cursor(pull), self._watermark_us())

    def _troubled(self, pull: _Pull, window: Window, trouble: Trouble, now_us: int, *, cut: bool) -> None:
        if pull.cursor is None:
            return
        narrower = halved(pull.cursor, window, self._options) if trouble.halve else None
        if narrower is not None:
            pull.cursor = narrower
            if cut:  # the service is well, only the question was too large: ask on
                _log.info("%s: %s; asking for half", pull.name, trouble.text)
                return
        elif cut:
            raise SourceError(
                f"{pull.name} is not answered in full, however little is asked for.",
                expected=f"a whole answer for {self._options.narrowest_us} µs of logs",
                received=trouble.text,
                hint="check the workspace's health, or pull fewer tables",
                retry=True,
            )
        if not trouble.passes and not self._answered:
            raise SourceError(f"{pull.name} can't be pulled.", received=trouble.text, hint=trouble.hint, retry=False)
        pull.failures += 1
        wait_s = self._backoff.delay_s(pull.failures, self._rng, trouble.retry_after_s)
        pull.retry_at_us = now_us + round(wait_s * _SECOND_US)
        _log.warning(
            "%s failed (%d in a row), next attempt in %.1f s: %s", pull.name, pull.failures, wait_s, trouble.text
        )

    def _cursor(self, changed: _Pull) -> Cursor:
        if changed.cursor is not None:
            self._saved = {**self._saved, changed.name: changed.cursor.to_json()}
        for pull in self._pulls:
            if pull.name not in self._saved and pull.cursor is not None:
                self._saved[pull.name] = pull.cursor.to_json()
        return {"kind": "azure-monitor", "pulls": self._saved}

    def _watermark_us(self) -> int | None:
        reached = [pull.cursor.to_us for pull in self._pulls if pull.cursor is not None]
        return min(reached) - self._delay_us if len(reached) == len(self._pulls) else None
