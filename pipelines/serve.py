"""``/healthz`` and ``/metrics`` of a streaming job, on a small server that only this machine reaches unless told."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Final

from models.errors import InputError
from pipelines.vitals import Vitals, troubles

#: only this machine
HOST: Final = "127.0.0.1"

#: vital sign -> metric, its help, and whether it is a counter
_METRICS: Final = (
    ("read", "records", "Records that stand for an invocation or could not be read.", True),
    ("scored", "scored", "Invocations judged.", True),
    ("duplicates", "duplicates", "Second records of an invocation.", True),
    ("dead_letter", "dead_letters", "Records that could not be read.", True),
    ("late", "late_rows", "Rows that came after the watermark had passed them.", True),
    ("ignored", "ignored", "Records of other kinds.", True),
    ("incidents", "incidents", "Incidents opened.", True),
    ("tellings", "tellings", "Incidents opened or amended.", True),
    ("suppressed", "tellings_suppressed", "Tellings of incidents that feedback expects.", True),
    ("swaps", "model_swaps", "Changes of version since the start.", True),
    ("refused_models", "models_refused", "Versions refused since the start.", True),
    ("checkpoints", "checkpoints", "Checkpoints written since the start.", True),
    ("lag_s", "watermark_lag_seconds", "How far what is judged trails the clock.", False),
    ("standing_s", "watermark_standing_seconds", "How long the watermark has stood while rows wait.", False),
    ("pending", "pending_rows", "Rows that wait for the watermark.", False),
    ("events_per_second", "events_per_second", "Records read a second, lately.", False),
    ("checkpoint_bytes", "checkpoint_bytes", "Size of the last checkpoint.", False),
    ("checkpoint_s", "checkpoint_seconds", "How long the last checkpoint took.", False),
    ("notes", "notes", "Notes added to checkpoints since the start.", True),
    ("note_s", "note_seconds", "How long the last note took.", False),
    ("unheard_s", "runner_unheard_seconds", "How long the runner of Beam has told nothing.", False),
    ("unasked_s", "sources_unasked_seconds", "How long no worker of the runner has asked a source.", False),
)


class VitalsCollector:
    """Vital signs as metrics of prometheus-client, read at the moment they are asked for."""

    def __init__(self, vitals: Callable[[], Vitals]) -> None:
        self._vitals = vitals

    def collect(self) -> Iterator[Any]:
        """The metric families."""
        from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily

        vitals = self._vitals()
        for name, metric, text, counts in _METRICS:
            value = getattr(vitals, name)
            if value is not None and name not in vitals.lacking:
                family = CounterMetricFamily if counts else GaugeMetricFamily
                yield family(f"lonetree_{metric}", text, value=float(value))
        model = GaugeMetricFamily("lonetree_model", "The version that judges.", labels=["version"])
        model.add_metric([vitals.model_version], 1.0)
        yield model
        source = GaugeMetricFamily("lonetree_source_idle", "1: read to its end and well.", labels=["source"])
        for name, idle in vitals.sources.items():
            source.add_metric([name], float(idle))
        yield source
        place = GaugeMetricFamily("lonetree_source_position", "Where a source is.", labels=["source", "unit"])
        for name, position in vitals.positions.items():
            for unit, number in position.items():
                place.add_metric([name, unit], float(number))
        yield place
        if vitals.blind_spots is not None:
            spots = float(len(vitals.blind_spots))
            yield GaugeMetricFamily("lonetree_blind_spots", "What the logs don't let anyone see.", value=spots)
        waiting = GaugeMetricFamily("lonetree_sink_waiting", "Incidents that wait for a sink.", labels=["sink"])
        failing = GaugeMetricFamily("lonetree_sink_failures", "Failures of a sink in a row.", labels=["sink"])
        for sink in vitals.sinks:
            waiting.add_metric([sink.name], float(sink.pending))
            failing.add_metric([sink.name], float(sink.failures))
        yield waiting
        yield failing
        yield GaugeMetricFamily("lonetree_healthy", "1: nobody needs to look.", value=float(not troubles(vitals)))


def metrics_text(vitals: Callable[[], Vitals]) -> bytes:
    """All metrics in Prometheus's text format.

    Raises:
        ModuleNotFoundError: prometheus-client is missing.
    """
    from prometheus_client import CollectorRegistry, generate_latest

    registry = CollectorRegistry()
    registry.register(VitalsCollector(vitals))
    return bytes(generate_latest(registry))


def answer(path: str, vitals: Callable[[], Vitals]) -> tuple[int, str, bytes]:
    """What a request for a path gets: status, content type and body."""
    if path == "/healthz":
        found = troubles(vitals())
        body = json.dumps({"healthy": not found, "troubles": found}).encode() + b"\n"
        return (503 if found else 200), "application/json", body
    if path == "/metrics":
        try:
            return 200, "text/plain; version=0.0.4; charset=utf-8", metrics_text(vitals)
        except ModuleNotFoundError:
            return 501, "text/plain", b"prometheus-client is not installed: pip install 'lonetree[metrics]'\n"
    return 404, "text/plain", b"There are /healthz and /metrics.\n"


class Served:
    """The server, in a thread of its own; ``close`` ends it.

    Args:
        vitals: asked at each request.
        port: 0 chooses a free one.
        host: where it listens.

    Raises on construction:
        InputError: the port is taken.
    """

    def __init__(self, vitals: Callable[[], Vitals], port: int, host: str = HOST) -> None:
        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                status, kind, body = answer(self.path.partition("?")[0], vitals)
                self.send_response(status)
                self.send_header("Content-Type", kind)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the library's name
                """Nothing: a probe every few seconds is no news."""

        try:
            self._server = ThreadingHTTPServer((host, port), Handler)
        except OSError as error:
            raise InputError(
                "The port can't be used.", expected="a free one", received=f"{host}:{port}: {error.strerror}"
            ) from None
        self._server.daemon_threads = True
        #: the port it listens on
        self.port = int(self._server.server_address[1])
        self._thread = threading.Thread(target=self._server.serve_forever, name="http", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Stop to listen."""
        self._server.shutdown()
        self._server.server_close()
