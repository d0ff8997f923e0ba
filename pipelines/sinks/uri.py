"""Sinks from their URIs: ``KIND[:TARGET][?OPTION=VALUE[&OPTION=VALUE]…]``. docs/sinks.md has an example of each.

Addresses that are secrets, and other secrets, are named by where they are kept: ``env:NAME`` or ``file:PATH``.
"""

from __future__ import annotations

import difflib
import zlib
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any, Final
from urllib.parse import unquote

from models.errors import InputError
from pipelines.kafka_config import KafkaAccess
from pipelines.secrets import Secret
from pipelines.sinks import slack_message, teams_message
from pipelines.sinks.azure_logs import AzureLogs
from pipelines.sinks.base import Incident, Sink
from pipelines.sinks.fanout import Sinks
from pipelines.sinks.files import MAX_AGE_S, MAX_BYTES, NdjsonFile
from pipelines.sinks.kafka import KafkaTopic
from pipelines.sinks.lines import json_line
from pipelines.sinks.ocsf import ocsf_line
from pipelines.sinks.parquet import ParquetFolder
from pipelines.sinks.post import TIMEOUT_S
from pipelines.sinks.stdout import Stdout, text_lines
from pipelines.sinks.webhook import ATTEMPTS, Webhook

_MB: Final = 1024 * 1024
_HOUR_S: Final = 3600.0

#: format -> how an incident becomes bytes
_FORMATS: Final[dict[str, Callable[[Incident], bytes]]] = {"json": json_line, "ocsf": ocsf_line, "text": text_lines}


def parse_sink(uri: str) -> Sink:
    """The sink that a URI names; its ``name`` is the kind and a checksum of the URI, the same from start to start.

    Nothing is sent; files and folders are opened, environment variables and secret files are read.

    Raises:
        InputError: unknown kind or option, a missing or unreadable part. It never repeats a secret.
    """
    kind, _, rest = uri.partition(":") if ":" in uri.partition("?")[0] else (uri.partition("?")[0], "", uri)
    if kind not in _KINDS:
        raise InputError(
            "The sink is of no known kind.",
            expected=f"one of {', '.join(_KINDS)}",
            received=kind,
            hint=_nearest(kind, _KINDS),
        )
    build, allowed = _KINDS[kind]
    target, _, query = rest.partition("?")
    sink: Any = build("" if target == kind else unquote(target), _options(kind, query, allowed))
    sink.name = f"{kind}-{zlib.crc32(uri.encode()):08x}"
    return sink  # type: ignore[no-any-return]  # each builder returns a Sink; Any lets the name be set


def open_sinks(uris: Iterable[str], state: Path, **options: Any) -> Sinks:
    """All the sinks behind one fan-out with its outboxes in ``state``; ``options`` are those of Sinks.

    Raises:
        InputError: a URI can't be used, or stands twice.
    """
    sinks: dict[str, Sink] = {}
    for uri in uris:
        sink = parse_sink(uri)
        name = str(sink.name)  # type: ignore[attr-defined]  # parse_sink gives one
        if name in sinks:
            raise InputError("A sink is named twice.", expected="each sink once", received=name)
        sinks[name] = sink
    return Sinks(sinks, state, **options)


class _Options(Mapping[str, str]):
    """The options of one URI, with readers that say what was wrong with a value."""

    def __init__(self, kind: str, values: dict[str, str]) -> None:
        self.kind, self._values = kind, values

    def __getitem__(self, name: str) -> str:
        return self._values[name]

    def __iter__(self) -> Any:
        return iter(self._values)

    def __len__(self) -> int:
        return len(self._values)

    def number(self, name: str, default: float) -> float:
        try:
            value = float(self._values.get(name, default))
        except ValueError:
            value = float("nan")
        if not 0 < value < float("inf"):
            raise InputError(
                f"The option {name} of {self.kind} can't be used.",
                expected="a number above 0",
                received=self._values[name],
            )
        return value

    def count(self, name: str) -> int | None:
        return None if name not in self._values else max(1, round(self.number(name, 1)))

    def secret(self, name: str) -> Secret | None:
        return None if name not in self._values else Secret.parse(self._values[name], what=f"{name} of {self.kind}")

    def format(self, default: str, *allowed: str) -> Callable[[Incident], bytes]:
        name = self._values.get("format", default)
        if name not in allowed:
            raise InputError(f"{self.kind} has no such format.", expected=" or ".join(allowed), received=name)
        return _FORMATS[name]


def _options(kind: str, query: str, allowed: tuple[str, ...]) -> _Options:
    values: dict[str, str] = {}
    for part in query.split("&") if query else []:
        name, equals, value = part.partition("=")
        if name not in allowed or not equals:
            hint = _nearest(name, allowed)
            if kind == "webhook":
                hint = "an address with a query of its own is named by env:NAME or file:PATH"
            raise InputError(
                f"The sink {kind} has no such option.",
                expected=", ".join(allowed) or "no options",
                received=name,  # never the value, it may be a secret
                hint=hint,
            )
        values[name] = unquote(value)
    return _Options(kind, values)


def _nearest(name: str, names: Iterable[str]) -> str | None:
    near = difflib.get_close_matches(name, list(names), n=1)
    return f"did you mean {near[0]}?" if near else None


def _path(target: str, kind: str) -> Path:
    if not target:
        raise InputError(f"The sink {kind} lacks its path.", expected=f"{kind}:PATH", received=f"{kind}:")
    return Path(target).expanduser()


def _address(target: str, kind: str, *, plain: bool) -> Secret:
    if plain and target.startswith(("https://", "http://")):
        return Secret(target, f"{kind} address")
    return Secret.parse(target, what=f"address of {kind}")


def _stdout(target: str, options: _Options) -> Sink:
    if target:
        raise InputError("Standard output has no target.", expected="stdout", received=f"stdout:{target}")
    return Stdout(options.format("text", "text", "json", "ocsf"))


def _ndjson(target: str, options: _Options) -> Sink:
    return NdjsonFile(
        _path(target, options.kind),
        max_bytes=round(options.number("max_mb", MAX_BYTES / _MB) * _MB),
        max_age_s=options.number("max_hours", MAX_AGE_S / _HOUR_S) * _HOUR_S,
        keep=options.count("keep"),
        render=options.format("ocsf" if options.kind == "ocsf" else "json", "json", "ocsf"),
    )


def _parquet(target: str, options: _Options) -> Sink:
    return ParquetFolder(
        _path(target, "parquet"),
        max_bytes=round(options.number("max_mb", MAX_BYTES / _MB) * _MB),
        max_age_s=options.number("max_hours", MAX_AGE_S / _HOUR_S) * _HOUR_S,
    )


def _kafka(target: str, options: _Options) -> Sink:
    if not target:
        raise InputError("The sink kafka lacks its topic.", expected="kafka:TOPIC?…", received="kafka:")
    access = KafkaAccess(
        bootstrap=options.get("bootstrap", ""),
        connection=options.secret("connection"),
        user=options.get("user"),
        password=options.secret("password"),
        mechanism=options.get("mechanism", "PLAIN"),
    )
    return KafkaTopic(target, access, render=options.format("json", "json", "ocsf"))


def _webhook(target: str, options: _Options) -> Sink:
    return Webhook(
        _address(target, "webhook", plain=True),
        options.secret("secret"),
        options.format("json", "json", "ocsf"),
        attempts=options.count("attempts") or ATTEMPTS,
        timeout_s=options.number("timeout_s", TIMEOUT_S),
    )


def _slack(target: str, options: _Options) -> Sink:
    url = _address(target, options.kind, plain=False)
    return Webhook(url, body=slack_message.slack_body, name="slack", interval_s=slack_message.INTERVAL_S)


def _teams(target: str, options: _Options) -> Sink:
    url = _address(target, options.kind, plain=False)
    return Webhook(url, body=teams_message.teams_body, name="teams", interval_s=teams_message.INTERVAL_S)


def _azure_logs(target: str, options: _Options) -> Sink:
    return AzureLogs(target, options.get("rule", ""), options.get("stream", ""))


_ROTATION: Final = ("max_mb", "max_hours")

#: kind -> how it is built, and the options it knows
_KINDS: Final[dict[str, tuple[Callable[[str, _Options], Sink], tuple[str, ...]]]] = {
    "stdout": (_stdout, ("format",)),
    "ndjson": (_ndjson, (*_ROTATION, "keep", "format")),
    "ocsf": (_ndjson, (*_ROTATION, "keep")),
    "parquet": (_parquet, _ROTATION),
    "kafka": (_kafka, ("bootstrap", "connection", "user", "password", "mechanism", "format")),
    "webhook": (_webhook, ("secret", "format", "attempts", "timeout_s")),
    "slack": (_slack, ()),
    "teams": (_teams, ()),
    "azure-logs": (_azure_logs, ("rule", "stream")),
}
