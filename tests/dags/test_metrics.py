"""Airflow takes the metrics settings of docker-compose.yml and sends what Prometheus takes. Needs no scheduler."""

from __future__ import annotations

import gzip
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest

from ..support import compose

#: What the scheduler does when it starts, and at each heartbeat.
COMPONENT = """
from airflow._shared.observability.metrics import stats
from airflow.configuration import conf
from airflow.observability.metrics import stats_utils
from opentelemetry import metrics

stats.initialize(
    factory=stats_utils.get_stats_factory(), export_legacy_names=conf.getboolean("metrics", "legacy_names_on")
)
stats.incr("scheduler_heartbeat", 1, 1)
stats.gauge("pool.open_slots", 3, tags={"pool_name": "default_pool"})
getattr(metrics.get_meter_provider(), "force_flush", lambda: None)()
"""


@contextmanager
def receiver() -> Iterator[tuple[str, list[tuple[str, bytes]]]]:
    """An HTTP server that keeps what is sent: address, (path, body)."""
    kept: list[tuple[str, bytes]] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            kept.append((self.path, gzip.decompress(body) if body[:2] == b"\x1f\x8b" else body))
            self.send_response(200)
            self.end_headers()

        def log_message(self, format: str, *args: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}", kept
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def sent(folder: Path, switch: str) -> list[tuple[str, bytes]]:
    """What a component sends with the variables of the compose file."""
    (folder / "env").mkdir(parents=True)
    service = compose.services(compose.filled_in(folder / "env") | {"LAKEHOUSE_AIRFLOW_METRICS": switch})
    given = service["airflow-scheduler"]["environment"]
    variables = {
        name: value for name, value in given.items() if name.startswith(("OTEL_", "AIRFLOW__METRICS__"))
    }
    with receiver() as (address, kept):
        variables = {n: v.replace("http://prometheus:9090", address) for n, v in variables.items()}
        done = subprocess.run(
            [sys.executable, "-c", COMPONENT],
            env=os.environ | {"AIRFLOW_HOME": str(folder), "NO_PROXY": "127.0.0.1"} | variables,
            check=False,
            capture_output=True,
            text=True,
            timeout=120,
        )
    assert done.returncode == 0, done.stderr
    return kept


def test_airflow_sends_its_metrics_where_prometheus_takes_them(tmp_path: Path) -> None:
    kept = sent(tmp_path, "True")
    assert {path for path, _ in kept} == {"/api/v1/otlp/v1/metrics"}
    request = ExportMetricsServiceRequest.FromString(kept[-1][1])
    (resource,) = request.resource_metrics
    about = {a.key: a.value.string_value or a.value.int_value for a in resource.resource.attributes}
    # Several processes count the same thing: a series must say whose it is, as prometheus.yml asks.
    assert about["service.name"] == "airflow"
    assert about["process.pid"]
    assert about["host.name"]
    found = {m.name: m for scope in resource.scope_metrics for m in scope.metrics}
    assert found["airflow.scheduler_heartbeat"].sum.is_monotonic
    assert found["airflow.pool.open_slots"].gauge.data_points[0].as_int == 3


def test_nothing_is_sent_unless_it_is_asked_for(tmp_path: Path) -> None:
    assert sent(tmp_path, "False") == []
