"""Figures of a real warehouse, and alerts that come when something is broken on purpose."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import closing
from pathlib import Path

import psycopg2
import pytest
import yaml
from prometheus_client.parser import text_string_to_metric_families
from psycopg2.extensions import connection as Connection
from sqlalchemy.engine import make_url
from typer.testing import CliRunner

from lakehouse.cli.main import app
from lakehouse.errors import GateFailed, LakehouseError
from lakehouse.home.homes import open_engine
from lakehouse.home.warehouse import take_sample
from lakehouse.layer.ledger import note_failure
from lakehouse.monitor import questions
from lakehouse.monitor.exporter import PROBES, Exporter
from lakehouse.monitor.figures import FAMILIES
from lakehouse.stack import postgres, roles
from lakehouse.stack.network import LOOPBACK, any_free_port
from lakehouse.stack.postgres import PostgresServer
from lakehouse.stack.s3 import S3Server

from ..support import compose
from ..support.lakehouse import Lakehouse
from ..support.olist import NEXT_DAY, small_shop
from ..support.promql import Moment

pytestmark = pytest.mark.servers

ROOT = Path(__file__).resolve().parents[2]
MONITORING = ROOT / "deploy" / "monitoring"
RULES = yaml.safe_load((MONITORING / "alerts.yml").read_text())["groups"][0]["rules"]
DASHBOARD = json.loads((MONITORING / "grafana" / "lakehouse.json").read_text())
HOUR = 3600


def monitor_dsn(house: Lakehouse, server: PostgresServer) -> str:
    return server.dsn(roles.MONITOR, str(house.homes.engine.url.database))


@pytest.fixture
def exporter(loaded: Lakehouse, pg_server: PostgresServer, s3_server: S3Server) -> Iterator[Exporter]:
    """What `lakehouse metrics` is made of, on a loaded lakehouse."""
    engine = open_engine(make_url(monitor_dsn(loaded, pg_server)), "metrics")
    yield Exporter(engine, s3_server.endpoint, (loaded.folder.parent,), lambda: {"scheduler": "healthy"})
    engine.dispose()


@pytest.fixture
def monitor(loaded: Lakehouse, pg_server: PostgresServer) -> Iterator[Connection]:
    with closing(psycopg2.connect(monitor_dsn(loaded, pg_server))) as connection:
        connection.autocommit = True
        yield connection


def alerts(exporter: Exporter, *, later: float = 0) -> set[tuple[str, str]]:
    """Which alerts would come so many seconds later: name and layer (or home, or path)."""
    moment = Moment.of(exporter.collect(), time.time() + later)
    return {
        (rule["alert"], labels.get("layer") or labels.get("home") or labels.get("source", ""))
        for rule in RULES
        for labels in moment.ask(rule["expr"])
    }


def shown(exporter: Exporter) -> dict[str, dict[frozenset[tuple[str, str]], float]]:
    return {n: dict(v) for n, v in Moment.of(exporter.collect(), 0).series.items()}


def test_every_figure_of_a_loaded_warehouse_is_what_the_ledger_says(
    loaded: Lakehouse, exporter: Exporter
) -> None:
    loaded.execute(
        "insert into ops.measurement (measure, measured_at, value) "
        "values ('warehouse_bytes', now() - interval '2 days', 1), ('lake_bytes', now() - interval '2 days', 1)"
    )
    with closing(psycopg2.connect(loaded.analyst_dsn)) as analyst:
        analyst.cursor().execute("select 1")  # within a transaction
        found = shown(exporter)
    only_when_open = {"lakehouse_open_partition_oldest_timestamp_seconds"}
    assert {family.name for family in FAMILIES} | PROBES.keys() == found.keys() | only_when_open
    now = time.time()
    for name, series in found.items():
        if name.endswith("_timestamp_seconds"):
            assert all(now - 24 * HOUR < value < now for value in series.values()), name
        assert all(value >= 0 for value in series.values()), name
    read = ("read_rows", "published_rows", "quarantined_rows", "duplicate_rows", "conflicting_rows")
    sums = loaded.query(
        f"select layer, {', '.join(f'sum({n})' for n in read)} "
        "from ops.publish inner join ops.accounted using (publish_id) where is_published group by layer"
    )
    for layer, *counts in sums:
        for name, count in zip(read, counts, strict=True):
            fate = ("fate", name.removesuffix("_rows"))
            values = [v for k, v in found["lakehouse_rows"].items() if {fate, ("layer", layer)} <= k]
            assert sum(values) == count, (layer, fate)
    assert len(found["lakehouse_table_verdict"]) == loaded.value(
        "select count(*) from ops.publish where is_current"
    )
    lake = sum(v for k, v in found["lakehouse_home_bytes"].items() if ("home", "lake") in k)
    listed = loaded.query(
        "select uri from ops.lake_file where kind in ('changed', 'carried', 'result', 'unit')"
    )
    client = loaded.homes.s3_client()
    keys = [uri.removeprefix(f"s3://{loaded.homes.bucket}/") for (uri,) in listed]
    sizes = [client.head_object(Bucket=loaded.homes.bucket, Key=k)["ContentLength"] for k in keys]
    assert lake == sum(sizes)
    database = loaded.value("select pg_database_size(current_database())")
    warehouse = sum(v for k, v in found["lakehouse_home_bytes"].items() if ("home", "warehouse") in k)
    assert 0.1 * database < warehouse < database
    sessions = found["lakehouse_sessions"]
    reader = ("role", "lakehouse_analyst")
    assert sessions[frozenset({reader, ("state", "session")})] == 1
    assert sessions[frozenset({reader, ("state", "active")})] == 1
    assert found["lakehouse_queries_per_day"] == {
        frozenset(): loaded.value("select count(*) from ops.publish where staged_at is not null")
    }


def test_figures_are_served_on_loopback_in_the_text_format(exporter: Exporter) -> None:
    port = any_free_port()
    stop = exporter.serve(port, LOOPBACK)
    try:
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        with opener.open(f"http://{LOOPBACK}:{port}/metrics", timeout=30) as answer:
            text = answer.read().decode()
        with opener.open(f"http://{LOOPBACK}:{port}/favicon.ico", timeout=30) as answer:
            assert answer.read() == b"", "the path of the health check asks nobody"
    finally:
        stop()
    names = {family.name for family in text_string_to_metric_families(text)}
    assert {"lakehouse_home_up", "lakehouse_open_partitions", "lakehouse_rows"} <= names


def test_nothing_is_told_of_a_warehouse_that_is_well(exporter: Exporter) -> None:
    assert {name for name, _ in alerts(exporter)} <= {"LakehouseDiskFull"}  # this machine's own


def test_no_delivery_is_told_after_a_day_and_a_half(exporter: Exporter) -> None:
    assert ("LakehouseNoDelivery", "olist") not in alerts(exporter, later=35 * HOUR)
    assert ("LakehouseNoDelivery", "olist") in alerts(exporter, later=37 * HOUR)


def test_a_blocked_gate_is_told_until_it_is_settled(loaded: Lakehouse, exporter: Exporter) -> None:
    shop = small_shop(5)
    shop.order(1)["order_approved_at"] = "2017-01-01 00:00:00"
    loaded.load(shop, NEXT_DAY, "bronze")
    with pytest.raises(GateFailed):
        loaded.prepare("silver", NEXT_DAY)
    assert ("LakehouseHardFailure", "silver") in alerts(exporter)
    assert ("LakehouseStaleGold", "silver") not in alerts(exporter, later=3 * HOUR), "it is told once"
    loaded.load(small_shop(5), NEXT_DAY)
    assert ("LakehouseHardFailure", "silver") not in alerts(exporter)


def test_gold_that_does_not_follow_is_told_after_two_hours(loaded: Lakehouse, exporter: Exporter) -> None:
    loaded.load(small_shop(5), NEXT_DAY, "silver")
    assert ("LakehouseStaleGold", "gold") not in alerts(exporter, later=HOUR)
    assert ("LakehouseStaleGold", "gold") in alerts(exporter, later=3 * HOUR)
    loaded.run_layer("gold", NEXT_DAY)
    assert ("LakehouseStaleGold", "gold") not in alerts(exporter, later=3 * HOUR)


def test_a_run_that_was_given_up_is_told(loaded: Lakehouse, exporter: Exporter) -> None:
    loaded.load(small_shop(5), NEXT_DAY, "bronze")
    loaded.plan("silver", NEXT_DAY)
    with loaded.homes.engine.begin() as conn:
        note_failure(conn, "olist", "silver", NEXT_DAY, "the disk is full")
    assert ("LakehouseRunFailed", "silver") in alerts(exporter)


def test_refused_rows_are_told_when_there_are_more_than_ever(loaded: Lakehouse, exporter: Exporter) -> None:
    """The published shop, as if some of its rows had been refused: last month, today."""

    def refuse(share: str) -> None:
        loaded.execute(
            f"update ops.accounted set read_rows = 1000, quarantined_rows = 1000 * {share}, duplicate_rows = 0, "
            f"conflicting_rows = 0, published_rows = 1000 - 1000 * {share} where table_name = 'olist_orders'"
        )

    told = ("LakehouseQuarantineGrowth", "silver")
    assert told not in alerts(exporter)
    refuse("0.009")
    assert told not in alerts(exporter)
    refuse("0.03")
    assert told in alerts(exporter)
    # The same again the next day is what is usual by then.
    loaded.execute("update ops.publish set published_at = published_at - interval '2 days'")
    assert told not in alerts(exporter)
    loaded.load(small_shop(5), NEXT_DAY)
    refuse("0.03")
    assert told not in alerts(exporter)
    loaded.execute(
        "update ops.accounted as a set quarantined_rows = 70, published_rows = 930 from ops.publish as p "
        "where a.publish_id = p.publish_id and a.table_name = 'olist_orders' and p.partition_key = :day",
        day=NEXT_DAY,
    )
    assert told in alerts(exporter)


def test_a_home_that_does_not_answer_is_told_and_the_rest_is_still_shown(
    exporter: Exporter, pg_server: PostgresServer
) -> None:
    nowhere = f"{LOOPBACK}:{any_free_port()}"
    gone = open_engine(make_url(f"postgresql://lakehouse_monitor:x@{nowhere}/lakehouse"), "metrics")
    no_warehouse = Exporter(gone, exporter.store_url, exporter.disks)
    assert ("LakehouseStoreUnreachable", "warehouse") in alerts(no_warehouse)
    assert ("LakehouseStoreUnreachable", "lake") not in alerts(no_warehouse)
    no_lake = Exporter(exporter.engine, f"http://{nowhere}", ())
    assert ("LakehouseStoreUnreachable", "lake") in alerts(no_lake)
    assert "lakehouse_rows" in shown(no_lake)
    no_airflow = Exporter(exporter.engine, airflow=dict[str, str])
    assert ("LakehouseAirflowDown", "") in alerts(no_airflow)


def test_servers_that_hang_are_down_and_a_scrape_does_not_hang_with_them(
    loaded: Lakehouse, exporter: Exporter
) -> None:
    """They accept connections and say nothing; asked again, they are not asked twice at a time."""
    asked, answered = list[str](), threading.Event()

    def airflow() -> Mapping[str, str]:
        asked.append("airflow")
        answered.wait(60)
        return {}

    with closing(socket.create_server((LOOPBACK, 0))) as silent:
        address = f"{LOOPBACK}:{silent.getsockname()[1]}"
        hanging = Exporter(
            open_engine(make_url(f"postgresql://lakehouse_monitor:x@{address}/lakehouse"), "metrics"),
            f"http://{address}",
            airflow=airflow,
        )
        started = time.monotonic()
        found = alerts(hanging)
        assert time.monotonic() - started < 12
        assert {("LakehouseStoreUnreachable", "warehouse"), ("LakehouseStoreUnreachable", "lake")} <= found
        assert ("LakehouseAirflowDown", "") in found
        list(hanging.collect())
        assert asked == ["airflow"]
        answered.set()
    assert alerts(exporter).isdisjoint(found)


def test_a_table_that_is_locked_is_not_a_warehouse_that_is_down(
    loaded: Lakehouse, exporter: Exporter
) -> None:
    with loaded.homes.engine.begin() as conn:
        conn.exec_driver_sql("lock table ods.olist_orders in access exclusive mode")
        found = shown(exporter)
        with pytest.raises(LakehouseError, match="locked"), loaded.homes.engine.begin() as another:
            take_sample(another)
    assert found["lakehouse_home_up"][frozenset({("home", "warehouse")})] == 1
    assert "lakehouse_rows" in shown(exporter)


def test_every_query_of_the_dashboard_runs_on_the_real_schema(monitor: Connection) -> None:
    ran = 0
    for panel in DASHBOARD["panels"]:
        for target in panel["targets"]:
            if "rawSql" in target:
                with monitor.cursor() as cursor:
                    cursor.execute(target["rawSql"])
                    rows = cursor.fetchall()
                assert rows or panel["title"] in ("Not done", "Growth"), panel["title"]
                ran += 1
    assert ran >= 6


def test_a_sample_is_taken_every_five_minutes_and_kept_for_ninety_days(
    loaded: Lakehouse, exporter: Exporter
) -> None:
    count = "select count(*) from ops.measurement where measure = 'warehouse_bytes'"
    list(exporter.collect())
    list(exporter.collect())
    assert loaded.value(count) == 1
    loaded.execute("update ops.measurement set measured_at = measured_at - interval '6 minutes'")
    list(exporter.collect())
    assert loaded.value(count) == 2
    loaded.execute("update ops.measurement set measured_at = measured_at - interval '91 days'")
    list(exporter.collect())
    assert loaded.value(count) == 1


def test_growth_is_the_slope_of_the_samples(loaded: Lakehouse) -> None:
    loaded.execute(
        "insert into ops.measurement (measure, measured_at, value) "
        "select 'warehouse_bytes', now() - make_interval(days => d), 5e9 - d * 1e8 from generate_series(1, 20) as d"
    )
    assert loaded.value("select per_day from ops.metric_growth where measure = 'warehouse_bytes'") == (
        pytest.approx(1e8)
    )


def test_every_question_is_answered_for_the_analyst(loaded: Lakehouse) -> None:
    analyst = open_engine(make_url(loaded.analyst_dsn), "advise")
    files = questions.questions(loaded.project.root)
    timings = questions.ask(analyst, files, 2)
    analyst.dispose()
    assert len(timings) >= 5
    assert all(len(timing.seconds) == 2 for timing in timings)


def test_the_commands_answer_for_people_and_scripts(
    loaded: Lakehouse, pg_server: PostgresServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in loaded.environment().items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("LAKEHOUSE_ANALYST_DSN", loaded.analyst_dsn)
    monkeypatch.setenv("LAKEHOUSE_MONITOR_DSN", monitor_dsn(loaded, pg_server))
    monkeypatch.setenv("LAKEHOUSE_HOME", str(loaded.folder))
    run = CliRunner().invoke
    text = run(app, ["metrics", "--once"]).stdout
    assert 'lakehouse_home_up{home="lake"} 1.0' in text
    listed = json.loads(run(app, ["metrics", "--json"]).stdout)
    assert {"name": "lakehouse_home_up", "labels": {"home": "warehouse"}, "value": 1.0} in listed

    calm = run(app, ["advise", "--runs", "1"]).stdout
    assert "far below" in calm
    strict = json.loads(
        run(app, ["advise", "--runs", "1", "--json", "--queries", "10", "--kpi-seconds", "0"]).stdout
    )
    verdicts = {line["measure"]: line["verdict"] for line in strict}
    assert verdicts["queries_per_day"] == "passed"
    assert verdicts["kpi_p95_seconds"] == "passed, not for long"
    assert verdicts["warehouse_bytes"] == "far below"
    # Three weeks of slow answers are another matter.
    loaded.execute(
        "insert into ops.measurement (measure, measured_at, value) "
        "select 'kpi_p95_seconds', now() - make_interval(days => d), 40 from generate_series(1, 21, 5) as d"
    )
    slow = json.loads(run(app, ["advise", "--runs", "1", "--json", "--kpi-seconds", "0"]).stdout)
    assert {line["measure"]: line["verdict"] for line in slow}["kpi_p95_seconds"] == "passed"
    monkeypatch.setenv("LAKEHOUSE_MONITOR_DSN", "")
    monkeypatch.setenv("LAKEHOUSE_HOME", str(loaded.folder / "nothing"))
    assert "LAKEHOUSE_MONITOR_DSN is empty" in run(app, ["metrics", "--once", "--json"]).stdout


def test_the_service_of_the_compose_file_runs_on_its_own_variables_alone(
    loaded: Lakehouse, pg_server: PostgresServer, s3_server: S3Server, tmp_path: Path
) -> None:
    """Its command, variables and health check, with hosts and ports of this machine; ended by a signal."""
    service = compose.services(compose.filled_in(tmp_path))["metrics"]
    loaded.homes.engine.dispose()
    template = loaded.homes.engine.url.database
    copy = f'create database lakehouse owner {roles.LOADER} template "{template}"'
    postgres.execute(pg_server.superuser_dsn, [copy])
    postgres.create_database(pg_server, "lakehouse", roles.LOADER)
    port = str(any_free_port())
    here = {
        "LAKEHOUSE_PG_HOST": LOOPBACK,
        "LAKEHOUSE_PG_MONITOR_PASSWORD": pg_server.passwords[roles.MONITOR],
        "LAKEHOUSE_S3_ENDPOINT": s3_server.endpoint,
        "LAKEHOUSE_AIRFLOW_URL": f"http://{LOOPBACK}:{any_free_port()}",
    }
    assert service["environment"].keys() == here.keys()
    image = {
        "PATH": f"{Path(sys.executable).parent}:{os.defpath}",
        "LAKEHOUSE_PROJECT": str(ROOT),
        "LAKEHOUSE_HOME": str(tmp_path),
        "LAKEHOUSE_PG_PORT": str(pg_server.port),  # inside its network it is the usual one
    }
    moved = {"0.0.0.0": LOOPBACK, "9464": port, "/var/lib/lakehouse": str(tmp_path)}  # noqa: S104
    command = [moved.get(part, part) for part in service["command"]]
    process = subprocess.Popen(
        [sys.executable, "-m", "lakehouse.stack.service", *command], env=here | image, cwd="/"
    )
    try:
        _, _, *check = service["healthcheck"]["test"]
        check = [sys.executable, *(part.replace("9464", port) for part in check)]
        deadline = time.monotonic() + 120
        while subprocess.run(check, check=False, capture_output=True).returncode:
            assert process.poll() is None
            assert time.monotonic() < deadline
            time.sleep(0.5)
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        with opener.open(f"http://{LOOPBACK}:{port}/metrics", timeout=60) as answer:
            text = answer.read().decode()
        assert 'lakehouse_home_up{home="warehouse"} 1.0' in text
        assert 'lakehouse_airflow_up{component="api_server"} 0.0' in text
        assert f'lakehouse_disk_free_bytes{{path="{tmp_path}"}}' in text
        process.terminate()
        assert process.wait(int(service["stop_grace_period"].removesuffix("s")) * 6) == 0
    finally:
        process.kill()
        process.wait()
        postgres.drop_database(pg_server, "lakehouse")
