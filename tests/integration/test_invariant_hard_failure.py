"""Invariant 4: a hard failure publishes nothing, says what is wrong with which rows, and is over when it is mended."""

from __future__ import annotations

import pytest

from lakehouse.compile import gold_tables
from lakehouse.contract import GoldModel
from lakehouse.errors import FileDefect, GateFailed, StaleStage
from lakehouse.layer import gold

from ..support.lakehouse import Lakehouse
from ..support.olist import DAY, NEXT_DAY, Delivery, ident, small_shop

pytestmark = pytest.mark.servers


def blocked(lakehouse: Lakehouse, delivery: Delivery, day: str = NEXT_DAY) -> str:
    """Load a delivery that silver refuses; the message. What is served must not have changed."""
    before = lakehouse.served()
    lakehouse.load(delivery, day, "bronze")
    lakehouse.plan("silver", day)
    lakehouse.stage("silver", day)
    with pytest.raises(GateFailed) as caught:
        lakehouse.gate("silver", day)
    after = lakehouse.served()
    assert (after["silver"], after["gold"]) == (before["silver"], before["gold"])
    return str(caught.value)


def test_an_item_of_an_unknown_product_blocks_until_a_corrected_delivery_comes(loaded: Lakehouse) -> None:
    broken = small_shop(5).only_orders(5)
    broken.rows("order_items")[1]["product_id"] = ident("product", 77)
    message = blocked(loaded, broken)
    assert (
        f"olist silver {NEXT_DAY}: olist_order_items: hard rule product_id_exists_in_olist_products"
        in message
    )
    assert "is broken by 1 of 2 rows" in message
    assert f"order_id={ident('order', 5)}, order_item_id=2" in message
    staged = loaded.staged("silver", "olist_order_items", NEXT_DAY)
    assert staged.stage in message

    # The failed rows stay where they can be queried, and the history knows.
    assert loaded.query(
        f"select order_item_id from {staged.stage} where product_id = :p",
        p=ident("product", 77),
    ) == [(2,)]
    assert loaded.query(
        "select table_name, rule, failed_rows, sample_keys, verdict from ops.quality_result "
        "where not passed and severity = 'hard'"
    ) == [
        (
            "olist_order_items",
            "product_id_exists_in_olist_products",
            1,
            [f"order_id={ident('order', 5)}, order_item_id=2"],
            "blocked",
        )
    ]
    runs = "select status, verdict from ops.run where layer = 'silver' and partition_key = :d"
    assert loaded.query(runs, d=NEXT_DAY) == [("blocked", "blocked")]
    still_open = "select layer, partition_key::text, status from ops.open_partition"
    assert loaded.query(still_open) == [("silver", NEXT_DAY, "blocked")]
    # It cannot be published, and there is nothing for gold to do.
    with pytest.raises(StaleStage, match="is blocked"):
        loaded.publish("silver", NEXT_DAY)
    assert loaded.plan("gold", NEXT_DAY) == ()

    # A try without a correction fails again.
    with pytest.raises(GateFailed):
        loaded.run_layer("silver", NEXT_DAY)

    loaded.load(small_shop(5).only_orders(5), NEXT_DAY)
    assert (
        loaded.value("select count(*) from gold.fact_order")
        == loaded.lake("gold", "fact_order").num_rows
        == 5
    )
    assert loaded.query(still_open) == []


def test_the_next_day_does_not_stumble_over_a_blocked_one(loaded: Lakehouse) -> None:
    broken = small_shop(5).only_orders(5)
    broken.rows("order_items")[1]["product_id"] = ident("product", 77)
    blocked(loaded, broken)
    following = small_shop().only_orders(3)
    following.order(3)["order_status"] = "shipped"
    loaded.load(following, "2018-03-03", "silver")
    assert (
        loaded.value("select order_status from ods.olist_orders where order_id = :o", o=ident("order", 3))
        == "shipped"
    )
    assert loaded.value("select count(*) from ods.olist_orders") == 4


def test_more_bad_rows_than_tolerated_block(loaded: Lakehouse) -> None:
    delivery = small_shop(5)
    delivery.rows("order_payments")[0]["payment_value"] = "12,50"
    message = blocked(loaded, delivery)
    assert (
        "olist_order_payments: hard rule quarantine_is_within_tolerance is broken by 1 of 10 rows" in message
    )
    assert "from ops.refused where" in message
    assert loaded.query("select source_line, reasons, record ->> 'payment_value' from ops.refused") == [
        (2, "payment_brl is not a numeric(12,2)", "12,50")
    ]
    assert loaded.value("select count(*) from ops.quarantine") == 0


def test_a_written_hard_rule_blocks(loaded: Lakehouse) -> None:
    delivery = small_shop(5).only_orders(4, 5)
    for number in (4, 5):
        delivery.order(number)["order_approved_at"] = "2018-01-01 00:00:00"
    message = blocked(loaded, delivery)
    assert "olist_orders: hard rule approval_follows_purchase is broken by 2 of 2 rows" in message
    assert ident("order", 4) in message and ident("order", 5) in message


def test_a_table_without_rows_blocks(loaded: Lakehouse) -> None:
    delivery = small_shop(5)
    delivery.tables["orders"] = []
    before = loaded.served()
    with pytest.raises(FileDefect, match=r"olist_orders_dataset\.csv, line 2: there are no rows"):
        loaded.land(delivery, NEXT_DAY)
    # Somebody put it there by other means.
    loaded.land(small_shop(5), NEXT_DAY)
    loaded.plan("bronze", NEXT_DAY)
    loaded.stage("bronze", NEXT_DAY)
    publish = loaded.staged("bronze", "olist_orders", NEXT_DAY)
    loaded.execute(
        "update ops.accounted set read_rows = 0, published_rows = 0 where publish_id = :p",
        p=publish.publish_id,
    )
    with pytest.raises(GateFailed, match=r"olist_orders: hard rule input_is_not_empty"):
        loaded.gate("bronze", NEXT_DAY)
    assert loaded.served() == before


def test_a_row_that_others_still_point_to_cannot_be_taken_back(loaded: Lakehouse) -> None:
    """The superseding delivery lacks an order whose items, in a file that did not change, are still there."""
    delivery = small_shop()
    delivery.tables["orders"] = [r for r in delivery.rows("orders") if r["order_id"] != ident("order", 3)]
    message = blocked(loaded, delivery, DAY)
    assert "olist_orders.removed: hard rule order_id_is_not_missed_by_olist_order_items_order_id" in message
    assert f"order_id={ident('order', 3)}" in message
    # Taking its items, payments and reviews back as well mends it.
    loaded.load(small_shop().without_order(3), DAY, "silver")
    assert loaded.value("select count(*) from ods.olist_orders") == 3


def test_a_soft_rule_warns_and_publishes(loaded: Lakehouse) -> None:
    delivery = small_shop(5).only_orders(5)
    delivery.order(5)["order_delivered_customer_date"] = ""
    events = loaded.load(delivery, NEXT_DAY, "silver")
    assert events["silver"]["verdict"] == "warned"
    assert loaded.query(
        "select table_name, failed_rows, verdict from ops.quality_result "
        "where rule = 'delivered_orders_have_a_date' and not passed"
    ) == [("olist_orders", 1, "audited")]
    assert "delivered_orders_have_a_date" in loaded.value(
        "select message from ops.publish where layer = 'silver' and table_name = 'olist_orders' and partition_key = :d",
        d=NEXT_DAY,
    )


def test_gold_that_does_not_add_up_blocks(loaded: Lakehouse, monkeypatch: pytest.MonkeyPatch) -> None:
    loaded.load(small_shop(5).only_orders(5), NEXT_DAY, "silver")
    before = loaded.served()
    loaded.plan("gold", NEXT_DAY)
    right = gold_tables.gold_query

    def a_cent_too_much(model: GoldModel) -> str:
        cent = f"case when order_id = '{ident('order', 5)}' then 0.01 else 0 end"
        wrong = f"select * replace (cast(payment_brl + {cent} as decimal(14, 2)) as payment_brl) from"
        return f"{wrong} (\n{right(model)}\n)" if model.table == "fact_order" else right(model)

    with monkeypatch.context() as patched:
        patched.setattr(gold, "gold_query", a_cent_too_much)
        loaded.stage("gold", NEXT_DAY)
    with pytest.raises(
        GateFailed, match="fact_order: hard rule payment_totals_match_source is broken by 1 of"
    ):
        loaded.gate("gold", NEXT_DAY)
    assert loaded.served() == before
