"""Invariant 8: warehouse and lake hold the same rows after every publish, and a difference is never published."""

from __future__ import annotations

from typing import Any

import duckdb
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

from lakehouse.contract.model import LAYERS, SCHEMAS
from lakehouse.engine.rowhash import count_and_hash
from lakehouse.errors import GateFailed, StaleStage
from lakehouse.home import rows
from lakehouse.home.rows import to_wire
from lakehouse.home.warehouse import column_types

from ..support.lakehouse import Lakehouse
from ..support.olist import DAY, NEXT_DAY, ident, small_shop

pytestmark = pytest.mark.servers


def in_warehouse(lakehouse: Lakehouse, layer: str, table: str, names: list[str]) -> list[tuple[Any, ...]]:
    types = dict(
        lakehouse.query(
            "select column_name, data_type from information_schema.columns "
            "where table_schema = :s and table_name = :t",
            s=SCHEMAS[layer],
            t=table,
        )
    )
    # The lake keeps uuids as text; a time with zone is compared as UTC.
    read = {"uuid": "{}::text", "timestamp with time zone": "{} at time zone 'UTC'"}
    columns = ", ".join(read.get(types[n], "{}").format(n) for n in names)
    return sorted(lakehouse.query(f"select {columns} from {SCHEMAS[layer]}.{table}"), key=repr)


def in_lake(lakehouse: Lakehouse, layer: str, table: str, names: list[str]) -> list[tuple[Any, ...]]:
    """What DuckDB reads from the Parquet files that the Iceberg table names."""
    iceberg = lakehouse.homes.catalog().load_table(f"{layer}.{table}")
    paths = [task.file.file_path.removeprefix("s3://") for task in iceberg.scan().plan_files()]
    if not paths:
        return []
    filesystem = lakehouse.homes.filesystem()
    with duckdb.connect() as duck:
        duck.register("files", pq.ParquetDataset(paths, filesystem=filesystem).read())
        duck.execute("set timezone = 'UTC'")
        columns = ", ".join(f"{n}::timestamp" if n == "_ingested_at" else n for n in names)
        return sorted(duck.execute(f"select {columns} from files").fetchall(), key=repr)


def assert_homes_agree(lakehouse: Lakehouse) -> int:
    compared = 0
    for layer in LAYERS:
        for table in lakehouse.tables(layer):
            names = lakehouse.columns(f"{SCHEMAS[layer]}.{table}")
            ours, theirs = (read(lakehouse, layer, table, names) for read in (in_warehouse, in_lake))
            assert ours == theirs, f"{layer}.{table}"
            assert lakehouse.lake(layer, table).num_rows == len(ours)
            compared += len(ours)
    return compared


def test_every_row_is_the_same_in_both_homes_after_inserts_updates_and_deletes(loaded: Lakehouse) -> None:
    assert assert_homes_agree(loaded) > 500
    changed = small_shop(5).only_orders(3, 5)
    changed.order(3)["order_status"] = "shipped"
    changed.rows("products")[0]["product_weight_g"] = "1"
    loaded.load(changed, NEXT_DAY)
    assert assert_homes_agree(loaded) > 500
    # Superseding takes orders back: rows are deleted in silver and gold.
    loaded.load(small_shop().without_order(1), DAY)
    assert loaded.value("select sum(deleted_rows) from ops.publish where layer = 'silver'") > 0
    assert loaded.value("select sum(deleted_rows) from ops.publish where layer = 'gold'") > 0
    assert assert_homes_agree(loaded) > 500


@pytest.mark.parametrize("part", ["changed", "carried"])
def test_the_gate_compares_every_staged_table(loaded: Lakehouse, part: str) -> None:
    delivery = small_shop(5).only_orders(3, 5)
    delivery.order(3)["order_status"] = "shipped"
    loaded.load(delivery, NEXT_DAY, "bronze")
    loaded.plan("silver", NEXT_DAY)
    counts = loaded.stage("silver", NEXT_DAY)
    compared = loaded.query(
        "select p.table_name, a.part, a.warehouse_rows, a.lake_rows from ops.agreement as a "
        "inner join ops.publish as p using (publish_id) inner join ops.run as r using (run_id) "
        "where r.layer = 'silver' and r.partition_key = :d and a.warehouse_hash = a.lake_hash",
        d=NEXT_DAY,
    )
    written = {(t, "changed", c["inserted"] + c["updated"]) for t, c in counts.items()}
    written |= {(t, "carried", c["carried"]) for t, c in counts.items()}
    assert {(t, p, rows) for t, p, rows, _ in compared} == {w for w in written if w[2]}
    assert all(warehouse == lake for *_, warehouse, lake in compared)
    orders = loaded.staged("silver", "olist_orders", NEXT_DAY)
    tampered = loaded.execute(
        "update ops.agreement set lake_hash = lake_hash || '1' where publish_id = :p and part = :part",
        p=orders.publish_id,
        part=part,
    )
    assert tampered == 1
    with pytest.raises(GateFailed, match="olist_orders: hard rule homes_agree") as caught:
        loaded.gate("silver", NEXT_DAY)
    assert f"for example part={part}, warehouse_rows=" in str(caught.value)


def test_a_value_that_changes_on_its_way_into_the_warehouse_is_noticed(
    loaded: Lakehouse, monkeypatch: pytest.MonkeyPatch
) -> None:
    def careless(batch: pa.RecordBatch, wire: pa.Schema) -> pa.RecordBatch:
        sent = to_wire(batch, wire)
        if "order_status" not in wire.names:
            return sent
        place = wire.get_field_index("order_status")
        return sent.set_column(place, "order_status", pc.utf8_upper(sent["order_status"]))

    loaded.load(small_shop(5).only_orders(5), NEXT_DAY, "bronze")
    loaded.plan("silver", NEXT_DAY)
    with monkeypatch.context() as patched:
        patched.setattr(rows, "to_wire", careless)
        loaded.stage("silver", NEXT_DAY)
    before = loaded.served()
    with pytest.raises(GateFailed, match="olist_orders: hard rule homes_agree is broken by 1 of"):
        loaded.gate("silver", NEXT_DAY)
    assert loaded.served() == before


@pytest.mark.parametrize("step", ["gate", "publish"])
def test_a_staged_file_that_is_tampered_with_is_noticed(loaded: Lakehouse, step: str) -> None:
    loaded.load(small_shop(5).only_orders(5), NEXT_DAY, "bronze")
    loaded.plan("silver", NEXT_DAY)
    loaded.stage("silver", NEXT_DAY)
    if step == "publish":
        loaded.gate("silver", NEXT_DAY)
    publish = loaded.staged("silver", "olist_orders", NEXT_DAY)
    path = loaded.value(
        "select uri from ops.lake_file where publish_id = :p and kind = 'changed'", p=publish.publish_id
    ).removeprefix("s3://")
    filesystem = loaded.homes.filesystem()
    table = pq.read_table(path, filesystem=filesystem)
    place = table.schema.get_field_index("order_status")
    pq.write_table(
        table.set_column(place, "order_status", [["invoiced"] * table.num_rows]), path, filesystem=filesystem
    )
    before = loaded.served()
    with pytest.raises(StaleStage, match="is not the file that was staged") as caught:
        getattr(loaded, step)("silver", NEXT_DAY)
    assert "stage.olist_orders" in caught.value.hint
    assert loaded.served() == before
    loaded.run_layer("silver", NEXT_DAY)
    assert (
        loaded.value("select order_status from ods.olist_orders where order_id = :o", o=ident("order", 5))
        == "delivered"
    )


#: Another value of the same type.
_OTHER = {
    "text": "reverse({0}) || 'x'",
    "timestamp": "{0} + interval '1 microsecond'",
    "date": "{0} + 1",
    "uuid": "gen_random_uuid()",
    "boolean": "not {0}",
}


@pytest.mark.parametrize("table", ["olist_order_items", "olist_geolocation", "olist_products"])
def test_a_difference_in_one_value_of_one_row_shows_in_the_hash(loaded: Lakehouse, table: str) -> None:
    with loaded.homes.engine.connect() as conn:
        types = column_types(conn, f"ods.{table}")
        query = count_and_hash(f"ods.{table}", types, "warehouse")
        before = conn.exec_driver_sql(query).one()
        for column, kind in types.items():
            # Whole numbers may be keys: far from the others.
            more = (
                "0.01" if kind.startswith("numeric") else "0.00001" if kind == "double precision" else "1000"
            )
            change = _OTHER.get(kind, f"{{0}} + {more}").format(column)
            where = f"where ctid = (select min(ctid) from ods.{table} where {column} is not null)"
            for other in (change, "null" if column not in loaded.required("ods", table) else change):
                with conn.begin_nested() as savepoint:
                    changed = conn.exec_driver_sql(f"update ods.{table} set {column} = {other} {where}")
                    after = conn.exec_driver_sql(query).one()
                    savepoint.rollback()
                assert changed.rowcount == 1
                assert (after[0], after[1] == before[1]) == (before[0], False), column
        conn.rollback()
