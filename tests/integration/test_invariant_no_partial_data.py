"""Invariant 3: nobody sees staged or half published rows, in either home, whatever dies whenever."""

from __future__ import annotations

import signal
from typing import Any

import psycopg2
import pytest
from sqlalchemy import text

from lakehouse.contract.model import LAYERS, Layer
from lakehouse.errors import StaleStage
from lakehouse.layer import flow
from lakehouse.layer.ledger import latest_run
from lakehouse.layer.steps import Work

from ..support.lakehouse import Lakehouse
from ..support.olist import DAY, NEXT_DAY, Delivery, ident, small_shop

pytestmark = pytest.mark.servers


def next_delivery() -> Delivery:
    """Inserts, an update and nothing else."""
    delivery = small_shop(5).only_orders(3, 5)
    delivery.order(3)["order_status"] = "shipped"
    return delivery


def seen_by_the_analyst(lakehouse: Lakehouse) -> tuple[Any, ...]:
    with psycopg2.connect(lakehouse.analyst_dsn) as connection, connection.cursor() as cursor:
        cursor.execute("select order_id, order_status, _publish_id from ods.olist_orders order by 1")
        orders = cursor.fetchall()
        cursor.execute("select order_id, order_status, payment_brl from gold.fact_order order by 1")
        return orders, cursor.fetchall()


def test_staged_rows_are_seen_by_nobody(loaded: Lakehouse) -> None:
    before, analyst = loaded.served(), seen_by_the_analyst(loaded)
    loaded.land(next_delivery(), NEXT_DAY)
    for layer in LAYERS[:2]:
        loaded.prepare(layer, NEXT_DAY)
        assert loaded.served()[layer] == before[layer]
        loaded.publish(layer, NEXT_DAY)
        assert loaded.served()[layer] != before[layer]
    loaded.plan("gold", NEXT_DAY)
    loaded.stage("gold", NEXT_DAY)
    assert loaded.served()["gold"] == before["gold"]
    assert seen_by_the_analyst(loaded)[1] == analyst[1]
    staged = loaded.staged("gold", "fact_order", NEXT_DAY).stage
    assert loaded.value(f"select count(*) from {staged}") > 0
    with (
        psycopg2.connect(loaded.analyst_dsn) as connection,
        connection.cursor() as cursor,
        pytest.raises(psycopg2.errors.InsufficientPrivilege),
    ):
        cursor.execute(f"select * from {staged}")


def test_one_commit_shows_both_homes_everything_and_no_commit_nothing(loaded: Lakehouse) -> None:
    before, analyst = loaded.served(), seen_by_the_analyst(loaded)
    loaded.load(next_delivery(), NEXT_DAY, "bronze")
    loaded.prepare("silver", NEXT_DAY)
    at_bronze = loaded.served()
    with loaded.homes.engine.connect() as conn:
        run = latest_run(conn, "olist", "silver", NEXT_DAY)
        assert run is not None
        work = Work(loaded.homes, loaded.project, run)
        flow._publish(work, conn, flow._prepare(work))
        # All is done, nothing is committed: this connection sees it, the others do not.
        assert conn.execute(text("select count(*) from ods.olist_orders")).scalar() == 5
        assert loaded.served() == at_bronze
        assert seen_by_the_analyst(loaded) == analyst
        assert loaded.lake("silver", "olist_orders").num_rows == 4
        conn.rollback()
    assert loaded.served() == at_bronze
    published = "select count(*) from ops.publish where status = 'published' and layer = 'silver'"
    assert loaded.value(published) == len(loaded.tables("silver"))
    loaded.publish("silver", NEXT_DAY)
    assert loaded.value("select count(*) from ods.olist_orders") == 5
    assert loaded.lake("silver", "olist_orders").num_rows == 5
    assert loaded.served()["gold"] == before["gold"]


def staged_files(lakehouse: Lakehouse) -> list[str]:
    return [
        uri for (uri,) in lakehouse.query("select uri from ops.lake_file where status = 'staged' order by 1")
    ]


def exists(lakehouse: Lakehouse, uri: str) -> bool:
    bucket, _, key = uri.removeprefix("s3://").partition("/")
    return "Contents" in lakehouse.homes.s3_client().list_objects_v2(Bucket=bucket, Prefix=key)


def last_staged_file(lakehouse: Lakehouse) -> tuple[str, str]:
    """Of the table that is published last: all others have been when its file is looked for."""
    [(table, uri)] = lakehouse.query(
        "select f.table_name, f.uri from ops.lake_file as f inner join ops.publish as p using (publish_id) "
        "where f.status = 'staged' and f.kind = 'changed' order by p.publish_id desc limit 1"
    )
    return table, uri


def lose(lakehouse: Lakehouse, uri: str) -> None:
    bucket, _, key = uri.removeprefix("s3://").partition("/")
    lakehouse.homes.s3_client().delete_object(Bucket=bucket, Key=key)


def test_when_the_lake_fails_under_the_lock_the_warehouse_keeps_the_old_rows_too(loaded: Lakehouse) -> None:
    loaded.load(next_delivery(), NEXT_DAY, "bronze")
    loaded.prepare("silver", NEXT_DAY)
    before = loaded.served()
    with loaded.homes.engine.connect() as conn:
        run = latest_run(conn, "olist", "silver", NEXT_DAY)
    assert run is not None
    work = Work(loaded.homes, loaded.project, run)
    prepared = flow._prepare(work)
    # Somebody moves the last table on, so that its commit has to be written once more; and its file is lost.
    table, lost = last_staged_file(loaded)
    with loaded.homes.catalog().load_table(f"silver.{table}").transaction() as changing:
        changing.set_properties(touched="true")
    lose(loaded, lost)
    with pytest.raises(FileNotFoundError), loaded.homes.engine.begin() as conn:
        flow._publish(work, conn, prepared)
    assert loaded.served() == before
    loaded.run_layer("silver", NEXT_DAY)
    assert loaded.lake("silver", "olist_orders").num_rows == 5
    assert loaded.value("select count(*) from ods.olist_orders") == 5


def test_when_the_lake_fails_before_the_publish_nothing_has_happened(loaded: Lakehouse) -> None:
    loaded.load(next_delivery(), NEXT_DAY, "bronze")
    loaded.prepare("silver", NEXT_DAY)
    before = loaded.served()
    _, lost = last_staged_file(loaded)
    lose(loaded, lost)
    with pytest.raises(StaleStage, match="is not the file that was staged"):
        loaded.publish("silver", NEXT_DAY)
    loaded.execute("update ops.lake_file set etag = '' where uri = :u", u=lost)
    with pytest.raises(FileNotFoundError):
        loaded.publish("silver", NEXT_DAY)
    assert loaded.served() == before
    loaded.run_layer("silver", NEXT_DAY)
    assert (
        loaded.value("select order_status from ods.olist_orders where order_id = :o", o=ident("order", 3))
        == "shipped"
    )
    assert loaded.lake("silver", "olist_orders").num_rows == 5


def test_rows_that_another_run_has_overtaken_are_refused(loaded: Lakehouse) -> None:
    loaded.load(next_delivery(), NEXT_DAY, "bronze")
    loaded.prepare("silver", NEXT_DAY)
    publish = loaded.staged("silver", "olist_orders", NEXT_DAY)
    loaded.execute(
        "update ops.publish set base_publish_id = base_publish_id - 1 where publish_id = :p",
        p=publish.publish_id,
    )
    before = loaded.served()
    with pytest.raises(StaleStage, match="was published by another run since"):
        loaded.publish("silver", NEXT_DAY)
    assert loaded.served() == before


@pytest.mark.parametrize(
    ("layer", "placement", "day"),
    [("bronze", "attach", NEXT_DAY), ("silver", "merge", NEXT_DAY), ("silver", "attach", DAY)],
)
def test_a_stage_that_somebody_emptied_is_refused(
    lakehouse: Lakehouse, loaded: Lakehouse, layer: Layer, placement: str, day: str
) -> None:
    made = lakehouse if day == DAY else loaded
    made.land(next_delivery(), day)
    if layer == "silver":
        made.run(day, "bronze")
    made.prepare(layer, day)
    publish = made.staged(layer, "olist_orders", day)
    assert publish.placement == placement
    made.execute(f"truncate {publish.stage}")
    before = made.served()
    with pytest.raises(StaleStage, match="the stage is not what was audited"):
        made.publish(layer, day)
    assert made.served() == before


def test_without_the_gate_nothing_is_published(loaded: Lakehouse) -> None:
    loaded.load(next_delivery(), NEXT_DAY, "bronze")
    loaded.plan("silver", NEXT_DAY)
    with pytest.raises(StaleStage, match="not staged"):
        loaded.gate("silver", NEXT_DAY)
    loaded.stage("silver", NEXT_DAY)
    with pytest.raises(StaleStage, match="verdict none"):
        loaded.publish("silver", NEXT_DAY)
    loaded.gate("silver", NEXT_DAY)
    # Staged again after the gate: the verdict was about other rows.
    loaded.stage("silver", NEXT_DAY)
    with pytest.raises(StaleStage, match="verdict none"):
        loaded.publish("silver", NEXT_DAY)


#: Kills its own process, with SIGKILL, right after a statement or right before a COMMIT.
_KILLED = """
import os, signal, sys
from sqlalchemy import event
from lakehouse.contract import Project
from lakehouse.home.homes import Homes
from lakehouse.layer import flow

step, layer, day, table, at = sys.argv[1:]
homes, project = Homes.open(), Project.load()
publishing = set()

def die():
    os.kill(os.getpid(), signal.SIGKILL)

@event.listens_for(homes.engine, "after_cursor_execute")
def statement_done(conn, cursor, statement, *_):
    if "iceberg_tables" in statement and statement.lower().startswith("update"):
        publishing.add(conn.connection.dbapi_connection)
    if at != "commit" and at in statement.lower():
        die()

@event.listens_for(homes.engine, "commit")
def before_commit(conn):
    # Names of files are recorded by transactions of their own.
    if at == "commit" and conn.connection.dbapi_connection in publishing:
        die()

getattr(flow, step)(homes, project, "olist", layer, day, *([table] if table else []))
"""


def be_killed(lakehouse: Lakehouse, step: str, layer: Layer, at: str, table: str = "") -> None:
    before = lakehouse.served()
    run = lakehouse.process(_KILLED, step, layer, NEXT_DAY, table, at)
    assert run.returncode == -signal.SIGKILL, run.stderr
    assert lakehouse.served() == before


@pytest.mark.parametrize(("layer", "table"), [("bronze", "olist_orders"), ("silver", "olist_orders")])
def test_killed_anywhere_the_old_data_is_served_and_the_next_try_completes(
    loaded: Lakehouse, layer: Layer, table: str
) -> None:
    loaded.land(next_delivery(), NEXT_DAY)
    if layer == "silver":
        loaded.run(NEXT_DAY, "bronze")
    loaded.plan(layer, NEXT_DAY)
    be_killed(loaded, "stage", layer, "insert into ops.agreement", table)
    left_over = staged_files(loaded)
    assert left_over
    assert all(exists(loaded, uri) for uri in left_over)
    loaded.stage(layer, NEXT_DAY)
    be_killed(loaded, "gate", layer, "insert into ops.quality_result")
    assert loaded.gate(layer, NEXT_DAY)["verdict"] in ("passed", "warned")
    be_killed(loaded, "publish", layer, "update iceberg_tables")
    be_killed(loaded, "publish", layer, "commit")
    killed = loaded.query("select uri from ops.lake_file where status = 'staged' and kind = 'metadata'")
    assert killed and all(exists(loaded, uri) for (uri,) in killed)
    loaded.publish(layer, NEXT_DAY)
    assert staged_files(loaded) == []
    assert not any(exists(loaded, uri) for uri in [*left_over, *(uri for (uri,) in killed)])
    loaded.run(NEXT_DAY, "silver")
    assert loaded.value("select count(*) from ods.olist_orders") == 5
    assert loaded.lake("silver", "olist_orders").num_rows == 5
    assert (
        loaded.lake("bronze", "olist_orders").num_rows
        == loaded.value("select count(*) from raw.olist_orders")
        == 6
    )


def test_killed_in_gold_the_old_figures_are_served_and_the_next_try_completes(loaded: Lakehouse) -> None:
    loaded.load(next_delivery(), NEXT_DAY, "silver")
    loaded.plan("gold", NEXT_DAY)
    loaded.stage("gold", NEXT_DAY)
    be_killed(loaded, "stage", "gold", "insert into ops.agreement", "fact_order")
    loaded.stage("gold", NEXT_DAY)
    loaded.gate("gold", NEXT_DAY)
    be_killed(loaded, "publish", "gold", "commit")
    assert loaded.value("select count(*) from gold.fact_order") == 4
    loaded.publish("gold", NEXT_DAY)
    assert (
        loaded.value("select count(*) from gold.fact_order")
        == loaded.lake("gold", "fact_order").num_rows
        == 5
    )
