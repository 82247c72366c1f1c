"""Invariant 11: the same deliveries give the same rows, however they come: one by one, at once, late, again, in any
order, after a missed event, a crash or a pause.

Compared is all there is: every table of silver and its history, every table of gold, in both homes, what is in
quarantine and how the rows are accounted for. Products and sellers change.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from lakehouse.contract import Project
from lakehouse.contract.model import DeliveryKind
from lakehouse.landing.withdraw import withdraw

from ..support.lakehouse import Lakehouse, copy_project
from ..support.olist import Delivery, ident, small_shop
from ..support.once import Once
from ..support.templates import Templates

pytestmark = pytest.mark.servers

LAST = "2018-03-09"


@dataclass(frozen=True)
class Landing:
    """Something that happens to the landing zone: a delivery comes (again), or is taken back (None)."""

    date: str
    delivery: Delivery | None
    kind: DeliveryKind = "increment"

    def happen(self, lakehouse: Lakehouse) -> None:
        if self.delivery is None:
            withdraw(lakehouse.homes, lakehouse.project, "olist", self.date)
        else:
            lakehouse.land(self.delivery, self.date, kind=self.kind)


def _part(
    shop: Delivery, *orders: int, products: tuple[int, ...] = (), sellers: tuple[int, ...] = ()
) -> Delivery:
    """Some orders with all that they point to, and some products and sellers."""
    part = shop.only_orders(*orders)
    customers = {row["customer_id"] for row in part.rows("orders")}
    part.tables["customers"] = [r for r in part.rows("customers") if r["customer_id"] in customers]
    for table, key, kind, numbers in (
        ("products", "product_id", "product", products),
        ("sellers", "seller_id", "seller", sellers),
    ):
        named = {ident(kind, n) for n in numbers} | {row[key] for row in part.rows("order_items")}
        part.tables[table] = [r for r in part.rows(table) if r[key] in named]
    part.tables["geolocation"] = part.rows("geolocation")[:1]
    part.tables["product_category_translation"] = []
    return part.copy()


def _row(delivery: Delivery, table: str, kind: str, number: int) -> dict[str, str]:
    return next(r for r in delivery.rows(table) if r[f"{kind}_id"] == ident(kind, number))


def _shop() -> Delivery:
    """Eight orders; a third product and seller of whom nothing is sold."""
    shop = small_shop(8)
    shop.rows("products").append({**_row(shop, "products", "product", 2), "product_id": ident("product", 3)})
    shop.rows("sellers").append({**_row(shop, "sellers", "seller", 2), "seller_id": ident("seller", 3)})
    return shop


def _landings() -> list[Landing]:
    """The story, in the order of its dates; what happens to one date again comes after it."""
    shop = _shop()
    first = _part(shop, 1, 2, 3, 4, products=(1, 2, 3), sellers=(1, 2, 3))
    first.tables["product_category_translation"] = shop.copy().rows("product_category_translation")
    first.tables["geolocation"] = shop.copy().rows("geolocation")

    changed = _part(shop, 2, products=(1,), sellers=(1,))
    _row(changed, "products", "product", 1)["product_category_name"] = "artes"
    _row(changed, "sellers", "seller", 1)["seller_zip_code_prefix"] = "20010"
    changed.order(2)["order_status"] = "unavailable"

    complete = first.copy()
    _row(complete, "products", "product", 1)["product_category_name"] = "artes"
    _row(complete, "sellers", "seller", 1)["seller_zip_code_prefix"] = "20010"
    complete.tables["products"] = complete.rows("products")[:2]
    complete.tables["sellers"] = complete.rows("sellers")[:2]
    complete.order(2)["order_status"] = "unavailable"

    doubtful = _part(shop, 5, products=(3,), sellers=(2,))
    _row(doubtful, "products", "product", 3)["product_weight_g"] = "7"
    doubtful.rows("sellers").append({**_row(doubtful, "sellers", "seller", 2), "seller_city": "niteroi"})
    doubtful.rows("order_payments").append(dict(doubtful.rows("order_payments")[0]))
    doubtful.rows("order_payments").append(
        {**doubtful.rows("order_payments")[0], "payment_sequential": "9", "payment_value": "much"}
    )

    back = _part(shop, 3, products=(1,))

    wrong = _part(shop, 6, products=(2,), sellers=(2,))
    _row(wrong, "products", "product", 2)["product_photos_qty"] = "99"
    _row(wrong, "sellers", "seller", 2)["seller_city"] = "nowhere"

    hasty = _part(shop, 6, 7, products=(2,))
    _row(hasty, "products", "product", 2)["product_height_cm"] = "1"
    hasty.rows("products").append(
        {**_row(hasty, "products", "product", 2), "product_id": ident("product", 4)}
    )
    mended = _part(shop, 7, 8, products=(2,))
    _row(mended, "products", "product", 2)["product_height_cm"] = "2"

    renamed = _part(shop, 1)
    renamed.tables["product_category_translation"] = [
        {"product_category_name": "artes", "product_category_name_english": "arts"}
    ]
    return [
        Landing("2018-03-01", first),
        Landing("2018-03-02", changed),
        Landing("2018-03-03", complete, "full"),
        Landing("2018-03-04", doubtful),
        Landing("2018-03-05", back),
        Landing("2018-03-06", wrong),
        Landing("2018-03-06", None),
        Landing("2018-03-07", hasty),
        Landing("2018-03-07", mended),
        Landing("2018-03-08", back),
        Landing(LAST, renamed),
    ]


def _everything(lakehouse: Lakehouse) -> dict[str, Any]:
    """All that readers of both homes see, but for where a row was last written; and what the ledger says of rows."""
    seen: dict[str, Any] = {
        f"{layer} in {home}": look(layer)
        for layer in ("silver", "gold")
        for home, look in (
            ("the warehouse", lakehouse.checksums),
            ("the lake", lambda one: _in_lake(lakehouse, one)),
        )
    }
    seen["quarantine"] = lakehouse.query(
        "select q.table_name, b.partition_key, b.source_hash, q.source_line, q.reasons, q.record::text "
        "from ops.quarantine as q inner join ops.batch as b using (batch_id) order by 1, 2, 3, 4"
    )
    seen["accounts"] = lakehouse.query(
        "select b.table_name, b.partition_key, b.source_hash, a.read_rows, a.published_rows, a.quarantined_rows, "
        "a.duplicate_rows, a.conflicting_rows from ops.batch as b inner join ops.accounted as a "
        "on a.batch_id = b.batch_id and a.publish_id = b.silver_publish_id "
        "where b.superseded_by is null and b.size_bytes > 0 order by 1, 2, 3"
    )
    seen["history of products"] = lakehouse.query(
        "select product_id, valid_from::text, is_deleted from ods.olist_products_history order by 1, 2"
    )
    seen["open"] = lakehouse.query("select * from ops.open_partition")
    return seen


def _in_lake(lakehouse: Lakehouse, layer: Any) -> dict[str, list[str]]:
    found = {}
    for table in lakehouse.tables(layer):
        names = lakehouse.business_columns(layer, table)
        found[table] = sorted(map(repr, lakehouse.lake(layer, table).select(names).to_pylist()))
    return found


def _lenient(root: Path) -> None:
    """A tiny delivery with one refused row has refused a quarter."""
    for path in (root / "contracts" / "olist").glob("*.yaml"):
        text = path.read_text(encoding="utf-8")
        assert "quarantineTolerance, value: " in text
        lines = [
            "  - {property: quarantineTolerance, value: 0.5}" if "quarantineTolerance" in line else line
            for line in text.splitlines()
        ]
        path.write_text("\n".join(lines) + "\n", encoding="utf-8")


@pytest.fixture(scope="module")
def lenient(tmp_path_factory: pytest.TempPathFactory) -> Project:
    return copy_project(tmp_path_factory.mktemp("lenient"), _lenient)


@pytest.fixture(scope="module")
def expected(once: Once, templates: Templates, lenient: Project) -> dict[str, Any]:
    """What the deliveries give when each is landed and run to gold before the next one comes."""

    def one_by_one() -> dict[str, Any]:
        with templates.empty() as lakehouse:
            lakehouse.project = lenient
            for landing in _landings():
                landing.happen(lakehouse)
                lakehouse.run(landing.date)
            return _everything(lakehouse)

    return once("cadence", one_by_one)


@pytest.fixture
def shop(lakehouse: Lakehouse, lenient: Project) -> Lakehouse:
    lakehouse.project = lenient
    return lakehouse


def _shuffled(seed: int) -> Iterator[Landing]:
    """The landings in another order of dates; what happens to one date stays in its order."""
    dice = random.Random(seed)
    waiting: dict[str, list[Landing]] = {}
    for landing in _landings():
        waiting.setdefault(landing.date, []).append(landing)
    dates = [date for date, landings in waiting.items() for _ in landings]
    dice.shuffle(dates)
    for date in dates:
        yield waiting[date].pop(0)


def test_the_story_shows_what_it_is_meant_to_show(expected: dict[str, Any]) -> None:
    """So that equal results are not equal for being empty."""
    assert expected["open"] == []
    assert [(row[0], str(row[1]), row[4]) for row in expected["quarantine"]] == [
        ("olist_order_payments", "2018-03-04", "payment_brl is not a numeric(12,2)")
    ]
    counted = {(row[0], str(row[1])): row[3:] for row in expected["accounts"]}
    assert counted["olist_order_payments", "2018-03-04"] == (4, 2, 1, 1, 0)
    assert counted["olist_sellers", "2018-03-04"][-1] == 1
    assert not any(date == "2018-03-06" for _, date in counted)
    history = expected["history of products"]
    assert [day for product, day, _ in history if product == ident("product", 1)] == [
        "2018-03-01", "2018-03-02", "2018-03-04",
    ]  # fmt: skip
    assert [gone for product, _, gone in history if product == ident("product", 3)] == [False, True, False]
    assert not any(product == ident("product", 4) for product, _, _ in history)


def test_all_at_once(shop: Lakehouse, expected: dict[str, Any]) -> None:
    """A consumer that was paused, or that missed every event."""
    for landing in _landings():
        landing.happen(shop)
    for date in dict.fromkeys(landing.date for landing in _landings()):
        shop.run_layer("bronze", date)
    shop.run_layer("silver", LAST)
    shop.run_layer("gold", LAST)
    assert _everything(shop) == expected


@pytest.mark.parametrize("seed", range(10))
def test_in_any_order_and_company(seed: int, shop: Lakehouse, expected: dict[str, Any]) -> None:
    """Silver and gold run now and then; some runs break off between two steps, and are planned again later."""
    dice = random.Random(seed + 1000)
    for landing in _shuffled(seed):
        landing.happen(shop)
        shop.run_layer("bronze", landing.date)
        if dice.random() < 0.2:
            _break_off(shop, dice, LAST)
        if dice.random() < 0.4:
            shop.run_layer("silver", landing.date if dice.random() < 0.5 else LAST)
            if dice.random() < 0.3:
                shop.run_layer("gold", landing.date)
    shop.run_layer("silver", LAST)
    shop.run_layer("gold", LAST)
    assert _everything(shop) == expected


def _break_off(shop: Lakehouse, dice: random.Random, date: str) -> None:
    steps: list[Callable[[], object]] = [
        lambda: shop.plan("silver", date),
        lambda: shop.stage("silver", date),
        lambda: shop.gate("silver", date),
    ]
    for step in steps[: dice.randint(1, 3)]:
        step()


def test_judged_again_nothing_changes(shop: Lakehouse, expected: dict[str, Any]) -> None:
    """All from bronze once more: every row of every table comes out as it is, and none is written."""
    for landing in _shuffled(99):
        landing.happen(shop)
        shop.run_layer("bronze", landing.date)
    shop.run_layer("silver", LAST)
    shop.run_layer("gold", LAST)
    from lakehouse.layer import flow

    before = shop.row_versions("silver")
    flow.plan(shop.homes, shop.project, "olist", "silver", LAST, scope="everything")
    shop.stage("silver", LAST)
    shop.gate("silver", LAST)
    assert shop.publish("silver", LAST)["rows_written"] == 0
    assert shop.row_versions("silver") == before
    assert _everything(shop) | {"open": []} == expected
