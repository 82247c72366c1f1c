"""The figures for Prometheus: read anew at each scrape, served over HTTP or written once."""

from __future__ import annotations

import logging
import shutil
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from concurrent.futures import TimeoutError as NotInTime
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from prometheus_client import CollectorRegistry, generate_latest, start_http_server
from prometheus_client.core import GaugeMetricFamily, Metric
from sqlalchemy.exc import SQLAlchemyError

from lakehouse.errors import LakehouseError
from lakehouse.home.warehouse import take_sample
from lakehouse.monitor import figures

if TYPE_CHECKING:
    from sqlalchemy import Engine

log = logging.getLogger(__name__)

#: Of all that is asked, together: a server that hangs is down, and a scrape must not hang with it.
_PATIENCE_S = 8.0
_TIMEOUT_S = 5.0
#: Never through a proxy: the store is near.
_OPENER = urllib.request.build_opener(urllib.request.ProxyHandler({}))

HOME_UP = "lakehouse_home_up"
AIRFLOW_UP = "lakehouse_airflow_up"
DISK_FREE = "lakehouse_disk_free_bytes"
DISK_SIZE = "lakehouse_disk_size_bytes"
#: What is seen from outside of the ledger; name → help.
PROBES = {
    HOME_UP: "Whether a home answers.",
    AIRFLOW_UP: "Whether a component of Airflow is healthy.",
    DISK_FREE: "Bytes that are free on the disk of a folder.",
    DISK_SIZE: "Bytes of the disk of a folder.",
}


@dataclass(frozen=True, eq=False)
class Exporter:
    """A collector of prometheus_client: what it yields is what a scrape sees."""

    #: The warehouse as ``lakehouse_monitor``.
    engine: Engine
    #: URL of the S3 API; empty: not looked at.
    store_url: str = ""
    #: Folders whose disks are looked at.
    disks: tuple[Path, ...] = ()
    #: Component of Airflow → its state; None: not looked at.
    airflow: Callable[[], Mapping[str, str]] | None = None
    registry: CollectorRegistry = field(default_factory=CollectorRegistry, repr=False)
    _threads: ThreadPoolExecutor = field(default_factory=lambda: ThreadPoolExecutor(3), repr=False)
    #: What was asked and has not been answered yet, by whom.
    _pending: dict[str, Future[Any]] = field(default_factory=dict, repr=False)

    def __post_init__(self) -> None:
        self.registry.register(self)

    def describe(self) -> Iterable[Metric]:
        """Nothing: registering must not open connections."""
        return []

    def collect(self) -> Iterator[Metric]:
        """Every metric with its values of now. All servers are asked at once; who does not answer in time is down."""
        deadline = time.monotonic() + _PATIENCE_S
        self._ask("warehouse", self._from_the_ledger)
        self._ask("lake", lambda: answers(self.store_url))
        self._ask("airflow", self.airflow or dict)
        up = GaugeMetricFamily(HOME_UP, PROBES[HOME_UP], labels=["home"])
        metrics = self._answer("warehouse", deadline)
        up.add_metric(["warehouse"], float(metrics is not None))
        if self.store_url:
            up.add_metric(["lake"], float(bool(self._answer("lake", deadline))))
        yield up
        yield from (metrics or {}).values()
        if self.airflow:
            yield _airflow(self._answer("airflow", deadline) or {})
        yield from self._disks()

    def _ask(self, whom: str, question: Callable[[], Any]) -> None:
        """Ask, unless the last question has not been answered yet."""
        if whom not in self._pending:
            self._pending[whom] = self._threads.submit(question)

    def _answer(self, whom: str, deadline: float) -> Any:
        """The answer; None when there is none in time."""
        try:
            found = self._pending[whom].result(max(0.0, deadline - time.monotonic()))
        except NotInTime:
            return None
        del self._pending[whom]
        return found

    def _from_the_ledger(self) -> dict[str, GaugeMetricFamily] | None:
        """Name → metric; None when the warehouse does not tell."""
        found: dict[str, GaugeMetricFamily] = {}
        try:
            with self.engine.connect() as conn:
                take_sample(conn)
                conn.commit()
                for figure in figures.read(conn):
                    family = figure.family
                    metric = found.setdefault(
                        family.name, GaugeMetricFamily(family.name, family.help, labels=family.label_names)
                    )
                    metric.add_metric(figure.labels, figure.value)
        except LakehouseError as error:
            # It is there, and somebody has a table locked: the next scrape comes soon.
            log.warning("The warehouse tells nothing now: %s", error.message)
            return {}
        except SQLAlchemyError as error:
            log.warning("The warehouse does not tell: %s", str(error.__cause__ or error).strip())
            return None
        return found

    def _disks(self) -> Iterator[Metric]:
        free = GaugeMetricFamily(DISK_FREE, PROBES[DISK_FREE], labels=["path"])
        size = GaugeMetricFamily(DISK_SIZE, PROBES[DISK_SIZE], labels=["path"])
        for path in self.disks:
            if path.exists():
                usage = shutil.disk_usage(path)
                free.add_metric([str(path)], usage.free)
                size.add_metric([str(path)], usage.total)
        yield from (free, size)

    def serve(self, port: int, listen: str) -> Callable[[], None]:
        """Answer scrapes in a thread of its own; returns what ends that.

        Raises:
            OSError: the port is taken.
        """
        server, thread = start_http_server(port, listen, self.registry)

        def stop() -> None:
            server.shutdown()
            server.server_close()
            thread.join()

        return stop

    def text(self) -> str:
        """What a scrape sees, in Prometheus' text format."""
        return generate_latest(self.registry).decode()


def _airflow(states: Mapping[str, str]) -> Metric:
    up = GaugeMetricFamily(AIRFLOW_UP, PROBES[AIRFLOW_UP], labels=["component"])
    up.add_metric(["api_server"], float(bool(states)))
    for component, state in states.items():
        up.add_metric([component], float(state == "healthy"))
    return up


def answers(url: str) -> bool:
    """Whether a store speaks HTTP and is not in trouble. Without a key it refuses, which is an answer."""
    try:
        with _OPENER.open(url, timeout=_TIMEOUT_S):
            return True
    except urllib.error.HTTPError as error:
        return error.code < 500
    except OSError:
        return False
