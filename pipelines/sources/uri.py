"""Sources from their URIs: ``KIND:TARGET[?OPTION=VALUE[&OPTION=VALUE]…]``. docs/deploy.md has examples.

Secrets are named by where they are kept: ``env:NAME`` or ``file:PATH``.
"""

from __future__ import annotations

import datetime as dt
import difflib
import zlib
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any, Final
from urllib.parse import unquote

from detectors.conform import ConformOptions
from models.errors import InputError
from pipelines.secrets import Secret
from pipelines.sources.base import Cursor, Source
from pipelines.sources.state import save_cursor

_SECOND_US: Final = 1_000_000

Options = Mapping[str, str]
#: target, options, cursor to go on from, file of the cursor, how records are read
Build = Callable[[str, Options, "Cursor | None", Path, "ConformOptions | None"], Source]


def source_name(uri: str) -> str:
    """The name of a source: its kind and a checksum of its URI, the same from start to start."""
    return f"{uri.partition(':')[0]}-{zlib.crc32(uri.encode()):08x}"


def check_source(uri: str) -> None:
    """Refuse a URI that can't be meant.

    Raises:
        InputError: unknown kind or option, or a missing target. It never repeats a value.
    """
    _parse(uri)


def open_sources(
    uris: Iterable[str], cursors: Mapping[str, Cursor], folder: Path, conform: ConformOptions | None = None
) -> dict[str, Source]:
    """All sources by name, each from its cursor.

    Args:
        uris: one a source.
        cursors: name to cursor, as the checkpoint has them; a source without one starts anew.
        folder: for the files of cursors that sources keep beside; they are made from ``cursors``.
        conform: how records are read.

    Raises:
        InputError: a URI can't be used, or stands twice.
        SourceError: the source can't be opened.
    """
    sources: dict[str, Source] = {}
    for uri in uris:
        name = source_name(uri)
        if name in sources:
            raise InputError("A source is named twice.", expected="each source once", received=name)
        build, target, options = _parse(uri)
        cursor, path = cursors.get(name), folder / f"{name}.json"
        # the checkpoint is the truth: a cursor file that is ahead of it would lose what came between
        path.unlink(missing_ok=True)
        if cursor is not None:
            save_cursor(path, cursor)
        sources[name] = build(target, options, cursor, path, conform)
    return sources


def _parse(uri: str) -> tuple[Build, str, Options]:
    kind, _, rest = uri.partition(":")
    if kind not in _KINDS:
        raise InputError(
            "The source is of no known kind.",
            expected=f"one of {', '.join(_KINDS)}, as in files:PATH",
            received=kind if len(kind) < len(uri) else uri[:100],
            hint=_nearest(kind, _KINDS),
        )
    build, allowed = _KINDS[kind]
    target, _, query = rest.partition("?")
    if not target:
        raise InputError(f"The source {kind} lacks its target.", expected=f"{kind}:…", received=f"{kind}:")
    options: dict[str, str] = {}
    for piece in query.split("&") if query else []:
        name, equals, value = piece.partition("=")
        if name not in allowed or not equals:
            raise InputError(
                f"The source {kind} has no such option.",
                expected=", ".join(allowed),
                received=name,  # never the value, it may be a secret
                hint=_nearest(name, allowed),
            )
        options[name] = unquote(value)
    return build, unquote(target), options


def _nearest(name: str, names: Iterable[str]) -> str | None:
    near = difflib.get_close_matches(name, list(names), n=1)
    return f"did you mean {near[0]}?" if near else None


def _time(options: Options) -> dt.datetime | None:
    text = options.get("start")
    if text is None:
        return None
    try:
        found = dt.datetime.fromisoformat(text[:-1] + "+00:00" if text.endswith(("Z", "z")) else text)
    except ValueError:
        raise InputError("The start is no time.", expected="like 2026-08-01T00:00:00Z", received=text) from None
    return found if found.tzinfo is not None else found.replace(tzinfo=dt.timezone.utc)


def _delay(options: Options, name: str) -> dict[str, Any]:
    if "delay_s" not in options:
        return {}
    try:
        delay_s = float(options["delay_s"])
    except ValueError:
        delay_s = -1.0
    if not 0 <= delay_s < float("inf"):
        raise InputError("The delay is no time.", expected="seconds, from 0", received=options["delay_s"])
    return {name: round(delay_s * _SECOND_US)}


def _files(target: str, options: Options, cursor: Cursor | None, path: Path, conform: ConformOptions | None) -> Source:
    from pipelines.sources.tail import TailSource

    del cursor  # it is in the file
    return TailSource(target, state=path, start=_time(options), conform=conform, **_delay(options, "delivery_delay_us"))


def _azure_monitor(
    target: str, options: Options, cursor: Cursor | None, path: Path, conform: ConformOptions | None
) -> Source:
    from pipelines.sources.azure_monitor import AzureMonitorSource

    del cursor  # it is in the file
    more: dict[str, Any] = _delay(options, "ingestion_delay_us") | {"conform": conform}
    if "tables" in options:
        more["tables"] = options["tables"].split(",")
    return AzureMonitorSource(
        target.split(","), state=path, start=_time(options), cloud=options.get("cloud", "public"), **more
    )


def _kafka(target: str, options: Options, cursor: Cursor | None, path: Path, conform: ConformOptions | None) -> Source:
    from pipelines.kafka_config import KafkaAccess
    from pipelines.sources.kafka import KafkaSource

    del path  # the broker keeps a copy of the cursor
    secrets = {
        name: Secret.parse(options[name], what=f"{name} of kafka")
        for name in ("connection", "password")
        if name in options
    }
    plain = {name: options[name] for name in ("bootstrap", "user", "mechanism") if name in options}
    access = KafkaAccess(**plain, **secrets)  # type: ignore[arg-type]  # names and kinds belong together
    return KafkaSource(
        target.split(","),
        access,
        group=options.get("group", "lonetree"),
        start=_time(options),
        cursor=cursor,
        conform=conform,
        **_delay(options, "delivery_delay_us"),
    )


#: kind -> how it is opened, and the options it knows
_KINDS: Final[dict[str, tuple[Build, tuple[str, ...]]]] = {
    "files": (_files, ("start", "delay_s")),
    "azure-monitor": (_azure_monitor, ("tables", "cloud", "start", "delay_s")),
    "kafka": (_kafka, ("bootstrap", "connection", "user", "password", "mechanism", "group", "start", "delay_s")),
}
