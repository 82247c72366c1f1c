"""A blocked gate names the cause first, then what follows from it, and where the refused rows can be queried."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import psycopg2
import pytest

from lakehouse.errors import GateFailed
from lakehouse.layer.findings import last_report
from lakehouse.quality.report import Report, lines

from ..support.lakehouse import Lakehouse
from ..support.olist import DAY, NEXT_DAY, Delivery, ident, small_shop

pytestmark = pytest.mark.servers


def blocked(lakehouse: Lakehouse, spoil: Callable[[Delivery], None]) -> GateFailed:
    """What the gate of silver says of the orders 4 and 5, spoilt."""
    delivery = small_shop(6).only_orders(4, 5)
    spoil(delivery)
    before = lakehouse.served()
    lakehouse.load(delivery, NEXT_DAY, "bronze")
    lakehouse.plan("silver", NEXT_DAY)
    lakehouse.stage("silver", NEXT_DAY)
    with pytest.raises(GateFailed) as caught:
        lakehouse.gate("silver", NEXT_DAY)
    assert lakehouse.served()["silver"] == before["silver"]
    return caught.value


def kept(lakehouse: Lakehouse, day: str = NEXT_DAY, **asked: bool) -> Report:
    """The last report of silver, as the ledger has it."""
    with lakehouse.homes.engine.connect() as conn:
        found = last_report(conn, "olist", "silver", day, **asked)
    assert found is not None
    return found


def as_analyst(lakehouse: Lakehouse, query: str) -> list[dict[str, Any]]:
    """Rows of a query of a message (``lakehouse sql "…"``), as the analyst who pastes it sees them."""
    match = re.fullmatch(r'lakehouse sql "([^"]+)"', query)
    assert match
    connection = psycopg2.connect(lakehouse.analyst_dsn, options="-c default_transaction_read_only=on")
    try:
        with connection.cursor() as cursor:
            cursor.execute(match[1])
            assert cursor.description
            names = [column.name for column in cursor.description]
            return [dict(zip(names, row, strict=True)) for row in cursor.fetchall()]
    finally:
        connection.close()


def test_a_bad_date_is_named_before_the_items_without_an_order(loaded: Lakehouse) -> None:
    def spoil(delivery: Delivery) -> None:
        delivery.order(5)["order_purchase_timestamp"] = "31/02/2018 10:00:00"

    error = blocked(loaded, spoil)
    first, *rest = error.message.splitlines()
    assert first == (
        f"olist silver {NEXT_DAY}: olist_orders: 1 of 2 rows refused: order_purchased_at is not a timestamp, "
        "written like 99/99/9999 99:99:99; line 3 of olist_orders_dataset.csv"
    )
    assert rest[0].startswith(
        "olist_orders: hard rule quarantine_is_within_tolerance is broken by 1 of 2 rows, allowed: at most 0.1 %"
    )
    orphans = [line for line in rest if "order_id_exists_in_olist_orders" in line]
    assert {line.partition(":")[0] for line in orphans} == {
        "olist_order_items",
        "olist_order_payments",
        "olist_order_reviews",
    }
    assert all("; follows from the rows that olist_orders lacks" in line for line in orphans)
    assert rest[-len(orphans) :] == orphans
    (row,) = as_analyst(loaded, kept(loaded).look[0])
    assert row["source_line"] == 3 and row["reasons"] == "order_purchased_at is not a timestamp"
    assert row["record"]["order_purchase_timestamp"] == "31/02/2018 10:00:00"
    assert kept(loaded).look[0] in error.hint


def test_a_bad_zip_is_named_before_the_order_without_a_customer(loaded: Lakehouse) -> None:
    def spoil(delivery: Delivery) -> None:
        customer = ident("customer", 5)
        row = next(r for r in delivery.rows("customers") if r["customer_id"] == customer)
        row["customer_zip_code_prefix"] = "segredo"

    error = blocked(loaded, spoil)
    first, *rest = error.message.splitlines()
    assert first.startswith(
        f"olist silver {NEXT_DAY}: olist_customers: 1 of 6 rows refused: zip_code_prefix_has_five_digits "
        "(A zip prefix is five digits, zeros in front included.); line 6 of olist_customers_dataset.csv"
    )
    (orphan,) = [line for line in rest if line.startswith("olist_orders: hard rule customer_id_exists_in")]
    assert orphan.endswith("; follows from the rows that olist_customers lacks")
    # The analyst sees the row, but of its personal columns only that they had a value.
    (row,) = as_analyst(loaded, kept(loaded).look[0])
    assert row["record"]["customer_zip_code_prefix"] == row["record"]["customer_city"] == "***"
    assert row["record"]["customer_id"] == ident("customer", 5)
    assert "segredo" not in str(error) + str(kept(loaded))
    assert loaded.value("select record from ops.refused_stage").count("segredo") == 1


def test_decimal_commas_are_named_with_lines_and_shape(loaded: Lakehouse) -> None:
    def spoil(delivery: Delivery) -> None:
        for item in delivery.rows("order_items"):
            item["price"] = item["price"].replace(".", ",")

    error = blocked(loaded, spoil)
    first, second, *rest = error.message.splitlines()
    assert first == (
        f"olist silver {NEXT_DAY}: olist_order_items: 4 of 4 rows refused: price_brl is not a numeric(12,2), "
        "written like 99,99; first lines 2, 3, 4 of olist_order_items_dataset.csv"
    )
    assert second.startswith(
        "olist_order_items: hard rule quarantine_is_within_tolerance is broken by 4 of 4 rows"
    )
    assert rest == []
    rows = as_analyst(loaded, kept(loaded).look[0])
    assert [r["source_line"] for r in rows] == [2, 3, 4, 5]


def test_a_table_without_rows_follows_from_its_refused_rows(loaded: Lakehouse) -> None:
    def spoil(delivery: Delivery) -> None:
        for order in delivery.rows("orders"):
            order["order_purchase_timestamp"] = "2018-13-45 00:00:00"

    error = blocked(loaded, spoil)
    assert error.message.startswith(f"olist silver {NEXT_DAY}: olist_orders: 2 of 2 rows refused")
    assert (
        "olist_orders: hard rule has_rows is broken by a table of 0 rows, allowed: at least 1 row "
        "(A delivery has rows.); follows from the rows that olist_orders lacks"
    ) in error.message.splitlines()


def test_an_orphan_of_nobody_refused_is_a_cause_of_its_own(loaded: Lakehouse) -> None:
    def spoil(delivery: Delivery) -> None:
        delivery.order(5)["order_purchase_timestamp"] = "yesterday"
        delivery.rows("order_items")[0]["product_id"] = ident("product", 77)
        delivery.rows("order_payments")[0]["order_id"] = ident("order", 88)

    blocked(loaded, spoil)
    found = {(b.table, b.rule): b for b in kept(loaded).broken}
    product = found["olist_order_items", "product_id_exists_in_olist_products"]
    assert (product.failed, product.follows_from) == (1, ())
    # One of its orders was refused, the other is unknown.
    payment = found["olist_order_payments", "order_id_exists_in_olist_orders"]
    assert (payment.follows_from, payment.surely) == (("olist_orders",), False)


def test_the_refused_rows_of_a_blocked_run_are_gone_with_its_next_try(loaded: Lakehouse) -> None:
    def spoil(delivery: Delivery) -> None:
        delivery.order(5)["order_purchase_timestamp"] = "yesterday"

    blocked(loaded, spoil)
    with pytest.raises(GateFailed):  # judged again as it is: nothing is in the way
        loaded.gate("silver", NEXT_DAY)
    seen = "select run_id, is_published, table_name, partition_key::text, source_line from ops.refused"
    assert loaded.query(seen) == [(kept(loaded).run_id, False, "olist_orders", NEXT_DAY, 3)]
    loaded.load(small_shop(6).only_orders(4, 5), NEXT_DAY, "silver")
    assert loaded.query(seen) == []
    assert kept(loaded).verdict in ("passed", "warned")


def test_the_report_tells_what_became_of_the_rows(loaded: Lakehouse) -> None:
    delivery = small_shop(5)
    delivery.order(3)["order_status"] = "shipped"
    delivery.rows("order_payments").append(dict(delivery.rows("order_payments")[0]))
    told = loaded.load(delivery, NEXT_DAY, "silver")["silver"]
    report = kept(loaded)
    rows = {t.table: t for t in report.tables}
    assert set(rows) == set(told["row_counts"])
    orders = rows["olist_orders"]
    assert (orders.read, orders.inserted, orders.updated, orders.deleted, orders.unchanged) == (5, 1, 1, 0, 3)
    assert rows["olist_order_payments"].duplicates == 1
    assert report.published_at and report == kept(loaded, published=True)
    text = lines(report)
    assert text[0].startswith(f"olist silver {NEXT_DAY}: {report.verdict}; ")
    assert any(line.split()[:6] == ["olist_orders", "5", "1", "1", "0", "3"] for line in text)
    # Another day's gate says nothing of this one.
    assert kept(loaded, DAY).run_id != report.run_id
