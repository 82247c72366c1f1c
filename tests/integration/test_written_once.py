"""Each home is written once: what is staged is what is served, and what did not change is not written again."""

from __future__ import annotations

import gzip
import inspect
import threading
from collections.abc import Callable, Generator
from contextlib import closing
from dataclasses import replace
from typing import Any

import psycopg2
import pyarrow as pa
import pytest
from psycopg2.errors import InsufficientPrivilege

from lakehouse.contract.model import LAYERS, SCHEMAS, Layer
from lakehouse.home.rows import copy_rows, create_stage, wire_schema
from lakehouse.landing.deliver import land
from lakehouse.landing.sample_avazu import write_sample
from lakehouse.layer.stage import tee

from ..support.lakehouse import Lakehouse
from ..support.olist import DAY, NEXT_DAY, Delivery, ident, small_shop

pytestmark = pytest.mark.servers
AVAZU_DAY = "2014-10-21"


def storage(lakehouse: Lakehouse, relation: str) -> tuple[Any, ...]:
    """Which relation this is, where its pages are, and which version of each row is in them."""
    [(oid, node)] = lakehouse.query(
        "select oid, relfilenode from pg_class where oid = cast(:r as regclass)", r=relation
    )
    return oid, node, lakehouse.query(f"select xmin::text, ctid::text from {relation} order by 2")


def partitions(lakehouse: Lakehouse, relation: str) -> list[str]:
    return [
        name
        for (name,) in lakehouse.query(
            "select inhrelid::regclass::text from pg_inherits where inhparent = cast(:r as regclass) order by 1",
            r=relation,
        )
    ]


def files(lakehouse: Lakehouse, layer: Layer, table: str) -> set[str]:
    """The data files that the Iceberg table names."""
    scan = lakehouse.homes.catalog().load_table(f"{layer}.{table}").scan()
    return {task.file.file_path for task in scan.plan_files()}


def test_a_first_load_is_attached_as_it_was_staged(lakehouse: Lakehouse) -> None:
    lakehouse.land(small_shop())
    for layer in LAYERS:
        lakehouse.prepare(layer)
        publishes = {t: lakehouse.staged(layer, t) for t in lakehouse.tables(layer)}
        # The shop has no late orders, so one table of gold stays empty.
        publishes = {t: p for t, p in publishes.items() if p.placement != "none"}
        assert len(publishes) >= len(lakehouse.tables(layer)) - 1
        before = {t: storage(lakehouse, p.stage) for t, p in publishes.items()}
        staged = {
            t: {
                uri
                for (uri,) in lakehouse.query(
                    "select uri from ops.lake_file where publish_id = :p and kind = 'changed'", p=p.publish_id
                )
            }
            for t, p in publishes.items()
        }
        lakehouse.publish(layer)
        for table, versions in before.items():
            [partition] = partitions(lakehouse, f"{SCHEMAS[layer]}.{table}")
            assert storage(lakehouse, partition) == versions, partition
            assert files(lakehouse, layer, table) == staged[table]
    assert lakehouse.query("select relname from pg_class where relnamespace = 'stage'::regnamespace") == []


def test_a_later_delivery_writes_the_rows_that_it_changes_and_no_others(loaded: Lakehouse) -> None:
    def versions() -> dict[Any, Any]:
        return {
            (layer, t): set(loaded.row_versions(layer)[t])
            for layer in ("silver", "gold")
            for t in loaded.tables(layer)
        }

    before = versions()
    kept = {t: storage(loaded, f"ods.{t}__data")[:2] for t in loaded.tables("silver")}
    delivery = small_shop(5).only_orders(3, 5)
    delivery.order(3)["order_status"] = "shipped"
    events = loaded.load(delivery, NEXT_DAY)
    after = versions()
    for layer in ("silver", "gold"):
        planned = loaded.query(
            "select p.table_name, p.inserted_rows + p.updated_rows, p.deleted_rows, p.placement from ops.publish as p "
            "inner join ops.run as r using (run_id) where r.layer = :l and r.partition_key = :d",
            l=layer,
            d=NEXT_DAY,
        )
        written = dict.fromkeys(loaded.tables(layer), 0) | {t: rows for t, rows, *_ in planned}
        for table, rows in written.items():
            assert len(after[layer, table] - before[layer, table]) == rows, table
        swapped = {t for t, *_, placement in planned if placement == "attach"}
        assert {"olist_orders", "fact_order"}.isdisjoint(swapped)
        assert events[layer]["rows_written"] == sum(rows + gone for _, rows, gone, _ in planned)
    assert {t: storage(loaded, f"ods.{t}__data")[:2] for t in kept} == kept


def test_what_a_change_does_not_concern_is_not_computed_and_nobody_is_warned_of_it(loaded: Lakehouse) -> None:
    delivery = small_shop()
    review = delivery.rows("order_reviews")[0]
    review["review_comment_title"] = "Changed"
    loaded.load(delivery, NEXT_DAY)
    rows = {
        table: (written, untouched)
        for table, written, untouched in loaded.query(
            "select p.table_name, p.inserted_rows + p.updated_rows + p.deleted_rows, p.unchanged_rows "
            "from ops.publish as p inner join ops.run as r using (run_id) "
            "where r.layer = 'gold' and r.partition_key = :d",
            d=NEXT_DAY,
        )
    }
    assert rows["fact_order_review"] == (1, 0)
    assert rows["fact_order"] == (0, 1)
    # No payment, no price and no date has changed.
    assert rows["customer_rfm"] == rows["cohort_monthly_retention"] == (0, 0)
    warned = loaded.query(
        "select q.table_name from ops.quality_result as q inner join ops.run as r using (run_id) "
        "where r.layer = 'gold' and r.partition_key = :d and not q.passed",
        d=NEXT_DAY,
    )
    # The day of order 1 is worked out again, and no seller was late.
    assert warned == [("delay_top_seller_daily",)]


def other_addresses() -> Delivery:
    """All rows of two tables change."""
    delivery = small_shop()
    for row in delivery.rows("sellers"):
        row["seller_city"] = "campinas"
    for row in delivery.rows("customers"):
        row["customer_state"] = "MG"
    return delivery


def test_a_table_of_which_nothing_stays_is_swapped_and_people_notice_nothing(loaded: Lakehouse) -> None:
    """Views, masked views, grants and statements prepared before go on working; nothing is left behind."""
    loaded.execute("create schema reports")
    loaded.execute(
        "create view reports.cities as select city, count(*) as sellers from ods.olist_sellers group by 1"
    )
    loaded.execute("create view reports.prices as select sum(price_brl) as price from gold.fact_order_item")
    loaded.execute("create view reports.of_views as select city from reports.cities where city is not null")
    loaded.execute("grant usage on schema reports to lakehouse_analyst")
    loaded.execute("grant select on all tables in schema reports to lakehouse_analyst")
    grants = "select grantee, column_name, privilege_type from information_schema.column_privileges " \
        "where table_schema || '.' || table_name = :r and grantee = 'lakehouse_analyst' order by 2"  # fmt: skip
    granted = loaded.query(grants, r="ods.olist_sellers")
    before, indexes = storage(loaded, "ods.olist_sellers__data"), index_methods(loaded)
    with closing(psycopg2.connect(loaded.analyst_dsn)) as analyst, analyst.cursor() as cursor:
        analyst.autocommit = True
        cursor.execute("prepare mine as select state from ods.olist_sellers where seller_id = $1")
        cursor.execute("execute mine (%s)", (ident("seller", 1),))
        cursor.execute("select * from reports.of_views")
        assert cursor.fetchall() == [("sao paulo",)]

        loaded.load(other_addresses(), NEXT_DAY)
        assert loaded.staged("silver", "olist_sellers", NEXT_DAY).placement == "attach"
        after = storage(loaded, "ods.olist_sellers__data")
        assert after[0] != before[0] and after[1] != before[1]

        cursor.execute("select * from reports.of_views")
        assert cursor.fetchall() == [("campinas",)]
        cursor.execute("select * from reports.cities")
        assert cursor.fetchall() == [("campinas", 2)]
        cursor.execute("select price from reports.prices")
        assert cursor.fetchall() == [(loaded.value("select sum(price_brl) from gold.fact_order_item"),)]
        cursor.execute("execute mine (%s)", (ident("seller", 1),))
        assert cursor.fetchall() == [("SP",)]
        assert loaded.staged("silver", "olist_customers", NEXT_DAY).placement == "attach"
        cursor.execute("select distinct city, state from masked.olist_customers")
        assert set(cursor.fetchall()) == {("***", "MG")}
        for relation in ("ods.olist_sellers__data", "gold.dim_seller__data"):
            with pytest.raises(InsufficientPrivilege):
                cursor.execute(f"select * from {relation}")
    assert loaded.query(grants, r="ods.olist_sellers") == granted != []
    assert partitions(loaded, "ods.olist_sellers") == ["ods.olist_sellers__data"]
    assert index_methods(loaded) == indexes
    assert loaded.query("select relname from pg_class where relnamespace = 'stage'::regnamespace") == []
    # And once more, over what is there now.
    loaded.load(small_shop(), "2018-03-03", "silver")
    assert loaded.staged("silver", "olist_sellers", "2018-03-03").placement == "attach"
    assert loaded.query("select * from reports.of_views") == [("sao paulo",)]
    assert index_methods(loaded) == indexes


def index_methods(lakehouse: Lakehouse) -> list[tuple[Any, ...]]:
    """The valid indexes of the sellers' partition: columns, method, whether they are the primary key."""
    return lakehouse.query(
        "select regexp_replace(pg_get_indexdef(i.indexrelid), '^.* USING ', ''), i.indisprimary, i.indisvalid, "
        "(select count(*) from pg_inherits where inhrelid = i.indexrelid) from pg_index as i "
        "where i.indrelid = cast('ods.olist_sellers__data' as regclass) order by 1"
    )


@pytest.mark.parametrize(
    ("change", "placement"),
    [
        (lambda line: line, "none"),
        (lambda line: line.replace(",0,", ",1,", 1), "attach"),
        (lambda line: line if int(line[:3], 36) % 7 else None, "merge"),
    ],
)
def test_a_day_of_events_is_swapped_only_when_all_of_it_changes(
    lakehouse: Lakehouse, change: Callable[[str], str | None], placement: str
) -> None:
    avazu = replace(lakehouse, source="avazu")
    write_sample(avazu.folder, rows=400)
    path = avazu.folder / "train.gz"
    header, *rows = gzip.decompress(path.read_bytes()).decode().splitlines()
    rows = [r if r.split(",")[1] == "0" else r.replace(",1,", ",0,", 1) for r in rows if ",141021" in r]
    deliver(avazu, [header, *rows])
    avazu.run(AVAZU_DAY, "silver")
    partition = f"ods.avazu_impressions_p{AVAZU_DAY.replace('-', '')}"
    before = storage(avazu, partition)
    changed = [c for r in rows if (c := change(r)) is not None]
    # One row more in the file, so that it is another batch; it is the same row, and so a duplicate.
    deliver(avazu, [header, *changed, changed[-1]])
    written = avazu.run(AVAZU_DAY, "silver")["silver"]["rows_written"]
    assert avazu.staged("silver", "avazu_impressions", AVAZU_DAY).placement == placement
    after = storage(avazu, partition)
    assert partitions(avazu, "ods.avazu_impressions") == [partition]
    assert avazu.value("select count(*) from ods.avazu_impressions") == len(changed)
    if placement == "attach":
        assert after[0] != before[0] and written == len(changed) == len(rows)
    else:
        assert after[:2] == before[:2] and set(after[2]) <= set(before[2])
        assert written == len(rows) - len(changed)


def deliver(lakehouse: Lakehouse, lines: list[str]) -> None:
    (lakehouse.folder / "train.gz").write_bytes(gzip.compress(("\n".join(lines) + "\n").encode(), mtime=0))
    land(lakehouse.homes, lakehouse.project, "avazu", lakehouse.folder)


def test_what_is_staged_is_not_in_the_way_of_readers(loaded: Lakehouse) -> None:
    """Attaching and merging wait for nobody but writers: an open reader of another table does not matter."""
    loaded.load(other_addresses(), NEXT_DAY, "bronze")
    loaded.prepare("silver", NEXT_DAY)
    with psycopg2.connect(loaded.analyst_dsn) as analyst, analyst.cursor() as cursor:
        cursor.execute("select count(*) from ods.olist_orders")
        cursor.execute("select count(*) from gold.dim_seller")
        assert loaded.publish("silver", NEXT_DAY)["rows_written"] > 0
    assert loaded.value("select min(city) from ods.olist_sellers") == "campinas"
    assert DAY < NEXT_DAY


@pytest.mark.parametrize("cause", ["a value that does not fit", "the connection is lost"])
def test_a_copy_that_breaks_off_leaves_no_thread_and_no_open_file(lakehouse: Lakehouse, cause: str) -> None:
    """All that feeds it is closed where it broke off, and not when, and where, garbage is collected."""
    given = pa.schema([("number", pa.int64())])
    columns = {"number": "smallint"}
    left: list[threading.Thread] = []

    def numbers(server: int) -> Generator[pa.RecordBatch]:
        try:
            for number in (1, 2, 3, 4, 5, 6):
                if number == 4 and cause == "the connection is lost":
                    lakehouse.query("select pg_terminate_backend(:p, 10000)", p=server)
                far = 70_000 if number == 4 and cause == "a value that does not fit" else 0
                yield pa.record_batch([pa.array([number + far] * 500_000)], schema=given)
        finally:
            left.append(threading.current_thread())

    threads = set(threading.enumerate())
    with lakehouse.homes.engine.connect() as conn:
        server = conn.exec_driver_sql("select pg_backend_pid()").scalar_one()
        create_stage(conn, "stage.numbers", columns)
        source = numbers(server)
        uri = f"s3://{lakehouse.homes.bucket}/lake/numbers.parquet"
        fed = tee(lakehouse.homes, uri, given, source)
        with pytest.raises((pa.ArrowInvalid, psycopg2.OperationalError)):
            copy_rows(conn, "stage.numbers", wire_schema(columns, given), fed)
        assert {inspect.getgeneratorstate(g) for g in (fed, source)} == {inspect.GEN_CLOSED}
        assert left == [threading.current_thread()]
        conn.invalidate()
    assert not {t for t in threading.enumerate() if t.is_alive()} - threads
