"""Invariant 8: warehouse and lake hold the same rows after every publish, and a difference is never published."""

from __future__ import annotations

from typing import Any

import duckdb
import pyarrow.parquet as pq
import pytest

from lakehouse.contract.model import LAYERS, SCHEMAS
from lakehouse.errors import GateFailed, StaleStage

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


def test_the_gate_compares_every_column_of_every_staged_table(loaded: Lakehouse) -> None:
    loaded.load(small_shop(5).only_orders(5), NEXT_DAY, "bronze")
    loaded.plan("silver", NEXT_DAY)
    loaded.stage("silver", NEXT_DAY)
    compared = loaded.query(
        "select column_name from stage.agreement where layer = 'silver' and table_name = 'olist_orders' order by 1"
    )
    assert {c for (c,) in compared} == {"row_count", *loaded.columns("ods.olist_orders")}
    loaded.execute(
        "update stage.agreement set lake_value = '1:0' where layer = 'silver' "
        "and table_name = 'olist_orders' and column_name = 'order_status'"
    )
    with pytest.raises(GateFailed, match="agreement: hard rule homes_agree") as caught:
        loaded.gate("silver", NEXT_DAY)
    assert "table_name=olist_orders, column_name=order_status" in str(caught.value)


@pytest.mark.parametrize("step", ["gate", "publish"])
def test_a_staged_file_that_is_tampered_with_is_noticed(loaded: Lakehouse, step: str) -> None:
    loaded.load(small_shop(5).only_orders(5), NEXT_DAY, "bronze")
    loaded.plan("silver", NEXT_DAY)
    loaded.stage("silver", NEXT_DAY)
    if step == "publish":
        loaded.gate("silver", NEXT_DAY)
    path = loaded.value(
        "select details -> 'files' ->> 0 from ops.publish where status = 'staged' and table_name = 'olist_orders'"
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


@pytest.mark.parametrize("column", ["price_brl", "order_id", "shipping_limit_at"])
def test_a_difference_in_one_value_of_one_row_shows_in_the_checksums(loaded: Lakehouse, column: str) -> None:
    from lakehouse.home.warehouse import column_types
    from lakehouse.layer.checksum import checksum_query

    with loaded.homes.engine.connect() as conn:
        types = column_types(conn, "ods.olist_order_items")
        query = checksum_query(types, "ods.olist_order_items", "postgres")
        before = conn.exec_driver_sql(query).one()
        change = {"price_brl": "price_brl + 0.01", "order_id": "reverse(order_id)"}.get(
            column, "shipping_limit_at + interval '1 microsecond'"
        )
        conn.exec_driver_sql(
            f"update ods.olist_order_items set {column} = {change} "
            "where order_id = (select min(order_id) from ods.olist_order_items) and order_item_id = 1"
        )
        after = conn.exec_driver_sql(query).one()
        conn.rollback()
    differing = [name for name, a, b in zip(["row_count", *types], before, after, strict=True) if a != b]
    assert differing == [column]
