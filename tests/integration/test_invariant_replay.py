"""Invariant 1: replaying anything changes nothing; what is superseded goes, what comes late does not win."""

from __future__ import annotations

from typing import Any

import pytest

from lakehouse.contract.model import LAYERS

from ..support.lakehouse import Lakehouse
from ..support.olist import DAY, NEXT_DAY, Delivery, ident, small_shop

pytestmark = pytest.mark.servers
EARLIER = "2018-02-28"


def versions(lakehouse: Lakehouse) -> dict[str, Any]:
    """Every served row's physical version, and the lake's snapshots."""
    return {layer: (lakehouse.row_versions(layer), lakehouse.snapshots(layer)) for layer in LAYERS}


def changed_tables(before: dict[str, Any], after: dict[str, Any], layer: str) -> set[str]:
    return {t for t in after[layer][0] if after[layer][0][t] != before[layer][0][t]}


def statuses(lakehouse: Lakehouse) -> dict[str, str]:
    return dict(lakehouse.query("select order_id, order_status from ods.olist_orders"))


def with_status(delivery: Delivery, number: int, status: str) -> Delivery:
    changed = delivery.copy()
    changed.order(number)["order_status"] = status
    return changed


def test_the_same_delivery_again_writes_nothing(loaded: Lakehouse) -> None:
    runs = "select (select count(*) from ops.run), (select count(*) from ops.publish)"
    before, ledger = versions(loaded), loaded.query(runs)
    events = loaded.load(small_shop())
    assert [e["rows_written"] for e in events.values()] == [0, 0, 0]
    assert versions(loaded) == before
    assert loaded.query(runs) == ledger


def test_the_same_rows_under_another_date_rewrite_nothing(loaded: Lakehouse) -> None:
    before = versions(loaded)
    events = loaded.load(small_shop(), NEXT_DAY)
    assert events["silver"]["rows_written"] == events["gold"]["rows_written"] == 0
    after = versions(loaded)
    assert (after["silver"], after["gold"]) == (before["silver"], before["gold"])
    # RAW keeps every batch as it came.
    assert loaded.value("select count(*) from raw.olist_orders") == 8


def test_a_later_delivery_touches_only_what_it_changes(loaded: Lakehouse) -> None:
    before, first = versions(loaded), dict(loaded.query("select order_id, _publish_id from gold.fact_order"))
    delivery = with_status(small_shop(5), 3, "shipped").only_orders(3, 5)
    silver = loaded.load(delivery, NEXT_DAY)["silver"]
    after = versions(loaded)
    assert silver["rows_written"] == loaded.value(
        "select count(*) from ods.olist_orders where _publish_id > :p", p=max(first.values())
    ) + loaded.value(
        "select sum(inserted_rows + updated_rows) from ops.publish where layer = 'silver' "
        "and partition_key = :d and table_name <> 'olist_orders'",
        d=NEXT_DAY,
    )
    updated = loaded.query(
        "select table_name, inserted_rows, updated_rows, deleted_rows from ops.publish "
        "where layer = 'silver' and partition_key = :d and inserted_rows + updated_rows + deleted_rows > 0",
        d=NEXT_DAY,
    )
    assert {t: rest for t, *rest in updated} == {
        "olist_orders": [1, 1, 0],
        "olist_order_items": [2, 0, 0],
        "olist_order_payments": [2, 0, 0],
        "olist_order_reviews": [1, 0, 0],
        # The shop of five gives its fourth customer record to a fourth person.
        "olist_customers": [1, 1, 0],
    }
    untouched = {
        "olist_products", "olist_products_history", "olist_sellers", "olist_sellers_history",
        "olist_geolocation", "olist_product_category_translation",
    }  # fmt: skip
    assert changed_tables(before, after, "silver") == set(loaded.tables("silver")) - untouched
    now = dict(loaded.query("select order_id, _publish_id from gold.fact_order"))
    assert now[ident("order", 2)] == first[ident("order", 2)]
    assert now[ident("order", 3)] > first[ident("order", 3)]
    assert {"dim_product", "dim_seller", "dim_geography"}.isdisjoint(changed_tables(before, after, "gold"))


def test_days_loaded_one_by_one_equal_the_days_loaded_at_once(
    lakehouse: Lakehouse, loaded: Lakehouse
) -> None:
    whole = small_shop()
    lakehouse.load(whole.only_orders(1, 2), "2018-02-03")
    lakehouse.load(whole.only_orders(2, 3, 4), DAY)
    # Since when something was said does depend on the dates of the deliveries.
    assert lakehouse.checksums("silver", without="valid_from") == loaded.checksums(
        "silver", without="valid_from"
    )
    assert lakehouse.checksums("gold") == loaded.checksums("gold")


def test_a_superseding_delivery_replaces_the_old_one_completely(loaded: Lakehouse) -> None:
    corrected = with_status(small_shop(), 1, "shipped").without_order(3)
    events = loaded.load(corrected)
    assert statuses(loaded) == {
        ident("order", 1): "shipped",
        ident("order", 2): "canceled",
        ident("order", 4): "delivered",
    }
    assert loaded.value("select count(*) from ods.olist_order_items") == 4
    assert loaded.value("select count(*) from gold.fact_order") == 3
    assert loaded.lake("silver", "olist_orders").num_rows == loaded.lake("gold", "fact_order").num_rows == 3
    assert (
        loaded.value(
            "select count(*) from gold.kpi_daily where order_date = '2018-02-03' and order_count > 0"
        )
        == 0
    )
    replaced = loaded.query(
        "select table_name from ops.batch where superseded_by is not null order by 1",
    )
    assert [t for (t,) in replaced] == [
        "olist_order_items", "olist_order_payments", "olist_order_reviews", "olist_orders"
    ]  # fmt: skip
    assert len(events["bronze"]["batch_ids"]) == 4


def test_superseding_leaves_rows_that_another_delivery_also_brought(loaded: Lakehouse) -> None:
    loaded.load(with_status(small_shop(), 3, "shipped").only_orders(3), NEXT_DAY, "silver")
    loaded.load(small_shop().without_order(3).without_order(1), DAY, "silver")
    assert statuses(loaded) == {
        ident("order", 2): "canceled",
        ident("order", 3): "shipped",
        ident("order", 4): "delivered",
    }


def test_going_back_to_the_first_bytes_revives_the_first_batch(loaded: Lakehouse) -> None:
    first = {layer: loaded.checksums(layer) for layer in LAYERS}
    batches = loaded.query("select batch_id from ops.batch where superseded_by is null order by 1")
    changed = with_status(small_shop(), 1, "shipped")
    for table in changed.tables:
        changed.tables[table] = (
            changed.tables[table] * 2 if table == "geolocation" else changed.tables[table][:]
        )
    loaded.load(changed)
    assert statuses(loaded)[ident("order", 1)] == "shipped"
    loaded.load(small_shop())
    for layer in ("silver", "gold"):
        assert loaded.checksums(layer) == first[layer]
    assert loaded.query("select batch_id from ops.batch where superseded_by is null order by 1") == batches
    # The batch is not stored a second time.
    assert loaded.value("select count(*) from raw.olist_orders") == 8


def test_every_file_of_a_delivery_may_be_revived_at_once(loaded: Lakehouse) -> None:
    other = small_shop(5)
    for row in (*other.rows("products"), *other.rows("sellers"), *other.rows("geolocation")):
        row.update({k: "37" for k in row if k == "product_weight_g"})
        row.update({k: "campinas" for k in row if k.endswith("_city")})
    for row in other.rows("product_category_translation"):
        row["product_category_name_english"] += "_"
    first = loaded.checksums("silver")
    loaded.load(other, DAY, "silver")
    assert not {t for t, c in loaded.checksums("silver").items() if c == first[t]}
    loaded.load(small_shop(), DAY, "silver")
    assert loaded.checksums("silver") == first


def test_a_late_delivery_does_not_overwrite_a_newer_one(loaded: Lakehouse) -> None:
    before = versions(loaded)
    old = with_status(small_shop(5), 1, "shipped").only_orders(1, 5)
    loaded.load(old, EARLIER)
    assert statuses(loaded)[ident("order", 1)] == "delivered"
    # What only the late delivery knows is new; customer 4 of a newer delivery stays the first person.
    assert ident("order", 5) in statuses(loaded)
    assert loaded.value(
        "select customer_unique_id from ods.olist_customers where customer_id = :c", c=ident("customer", 4)
    ) == ident("person", 1)
    assert set(before["silver"][0]["olist_orders"]) < set(loaded.row_versions("silver")["olist_orders"])
    counted = loaded.query(
        "select a.read_rows, a.published_rows, a.quarantined_rows, a.duplicate_rows, a.conflicting_rows "
        "from ops.accounted as a "
        "inner join ops.publish as p using (publish_id) inner join ops.batch as b using (batch_id) "
        "where p.layer = 'silver' and b.table_name = 'olist_orders' and b.partition_key = :d",
        d=EARLIER,
    )
    # Its row of order 1 has won its key within the delivery; that a newer one says otherwise does not count here.
    assert counted == [(2, 2, 0, 0, 0)]


def compared(lakehouse: Lakehouse, table: str, day: str) -> tuple[Any, ...]:
    """How the newest silver run of a day made a table: mode, rows inserted, updated, deleted, unchanged."""
    [found] = lakehouse.query(
        "select mode, inserted_rows, updated_rows, deleted_rows, unchanged_rows from ops.publish "
        "where layer = 'silver' and table_name = :t and partition_key = :d order by publish_id desc limit 1",
        t=table,
        d=day,
    )
    return found


def test_a_rework_makes_the_keys_that_it_touches_and_no_others(loaded: Lakehouse) -> None:
    """However much is served: what a late or a corrected delivery does not name is not worked out again."""
    late = with_status(small_shop(5), 1, "shipped").only_orders(1, 5)
    loaded.load(late, EARLIER, "silver")
    # Order 5 is new; of order 1 the newer delivery is read again.
    assert compared(loaded, "olist_orders", EARLIER) == ("rework", 1, 0, 0, 1)
    newer = with_status(small_shop(), 2, "shipped").only_orders(2, 3)
    loaded.load(newer, NEXT_DAY, "silver")
    assert compared(loaded, "olist_orders", NEXT_DAY) == ("upsert", 0, 1, 0, 1)
    corrected = with_status(small_shop(), 4, "shipped").only_orders(2, 4)
    loaded.load(corrected, NEXT_DAY, "silver")
    # Named by what was corrected or by its correction: orders 2, 3 and 4.
    assert compared(loaded, "olist_orders", NEXT_DAY) == ("rework", 0, 2, 0, 1)
    assert statuses(loaded) == {
        ident("order", 1): "delivered",
        ident("order", 2): "canceled",
        ident("order", 3): "delivered",
        ident("order", 4): "shipped",
        ident("order", 5): "delivered",
    }


def test_deliveries_in_any_order_end_alike(lakehouse: Lakehouse, loaded: Lakehouse) -> None:
    newer = with_status(small_shop(), 3, "shipped").only_orders(3, 4)
    loaded.load(newer, NEXT_DAY, "silver")
    lakehouse.load(newer, NEXT_DAY, "silver")
    lakehouse.load(small_shop(), DAY, "silver")
    assert lakehouse.checksums("silver") == loaded.checksums("silver")
