"""What deliveries mean to each other: complete ones, ones that are taken back, rules that changed, ids on two days."""

from __future__ import annotations

import csv
import gzip
from dataclasses import replace
from pathlib import Path

import pytest

from lakehouse.errors import GateFailed, LakehouseError
from lakehouse.landing.deliver import land
from lakehouse.landing.withdraw import withdraw
from lakehouse.layer import flow

from ..support.lakehouse import Lakehouse, copy_project
from ..support.olist import DAY, NEXT_DAY, Delivery, ident, small_shop

pytestmark = pytest.mark.servers
ORDERS = "select order_id from ods.olist_orders"


def _with_another_product() -> Delivery:
    shop = small_shop()
    shop.rows("products").append(shop.rows("products")[0] | {"product_id": ident("product", 9)})
    return shop


def test_what_a_complete_delivery_lacks_is_gone_and_its_history_says_when(lakehouse: Lakehouse) -> None:
    lakehouse.load(_with_another_product())
    lakehouse.land(small_shop(), NEXT_DAY, kind="full")
    lakehouse.run(NEXT_DAY)
    assert lakehouse.value("select count(*) from ods.olist_products") == 2
    said = lakehouse.query(
        "select valid_from::text, valid_to::text, is_deleted from ods.olist_products_history "
        "where product_id = :p order by 1",
        p=ident("product", 9),
    )
    assert said == [(DAY, NEXT_DAY, False), (NEXT_DAY, None, True)]
    # Gold keeps the last version of what is gone.
    assert lakehouse.query(
        "select is_current, valid_to from gold.dim_product where product_id = :p", p=ident("product", 9)
    ) == [(True, None)]


def test_a_complete_delivery_that_becomes_an_increment_gives_back_what_it_had_taken(
    lakehouse: Lakehouse,
) -> None:
    lakehouse.load(_with_another_product())
    before = lakehouse.checksums("silver"), lakehouse.checksums("gold")
    lakehouse.land(small_shop(), NEXT_DAY, kind="full")
    lakehouse.run(NEXT_DAY)
    assert lakehouse.value("select count(*) from ods.olist_products") == 2
    lakehouse.land(small_shop(), NEXT_DAY, kind="increment")
    lakehouse.run(NEXT_DAY)
    assert (lakehouse.checksums("silver"), lakehouse.checksums("gold")) == before


def test_an_increment_deletes_nothing(lakehouse: Lakehouse) -> None:
    lakehouse.load(_with_another_product())
    lakehouse.load(small_shop(), NEXT_DAY)
    assert lakehouse.value("select count(*) from ods.olist_products") == 3


def test_a_complete_delivery_that_lacks_too_much_is_refused_until_somebody_allows_it(
    lakehouse: Lakehouse,
) -> None:
    lakehouse.load(_with_another_product())
    lakehouse.land(small_shop(), NEXT_DAY, kind="full", allow_shrink=False)
    lakehouse.run(NEXT_DAY, "bronze")
    with pytest.raises(GateFailed, match="shrinks_within_tolerance") as refused:
        lakehouse.run_layer("silver", NEXT_DAY)
    assert "served_rows=3" in str(refused.value) and "delivered_rows=2" in str(refused.value)
    assert lakehouse.value("select count(*) from ods.olist_products") == 3
    lakehouse.land(small_shop(), NEXT_DAY, kind="full", allow_shrink=True)
    lakehouse.run(NEXT_DAY)
    assert lakehouse.value("select count(*) from ods.olist_products") == 2


def test_a_delivery_that_becomes_complete_is_held_to_the_same(lakehouse: Lakehouse) -> None:
    lakehouse.load(_with_another_product())
    lakehouse.land(small_shop(), NEXT_DAY, allow_shrink=False)
    lakehouse.run(NEXT_DAY)
    lakehouse.land(small_shop(), NEXT_DAY, kind="full", allow_shrink=False)
    lakehouse.run(NEXT_DAY, "bronze")
    with pytest.raises(GateFailed, match="shrinks_within_tolerance"):
        lakehouse.run_layer("silver", NEXT_DAY)


def test_a_delivery_that_is_taken_back_leaves_nothing_and_can_come_back(
    loaded: Lakehouse, undisturbed: Lakehouse
) -> None:
    wrong = small_shop(5)
    wrong.rows("products")[0]["product_category_name"] = "artes"
    loaded.load(wrong, NEXT_DAY)
    after = {layer: loaded.checksums(layer) for layer in ("silver", "gold")}
    assert loaded.value("select count(*) from ods.olist_orders") == 5

    done = withdraw(loaded.homes, loaded.project, "olist", NEXT_DAY)
    assert (done.files, done.rows) == (9, sum(map(len, wrong.tables.values())))
    assert withdraw(loaded.homes, loaded.project, "olist", NEXT_DAY).files == 0
    events = loaded.run(NEXT_DAY)
    assert events["silver"]["rows_written"] > 0
    for layer in ("silver", "gold"):
        assert loaded.checksums(layer) == undisturbed.checksums(layer)
    assert loaded.query("select * from ops.open_partition") == []
    # For the record: what came, and what took its place.
    assert loaded.value("select count(*) from raw.olist_orders") == 9
    assert loaded.query(
        "select mode, count(*) from ops.publish where layer = 'bronze' and partition_key = :d group by 1 order by 1",
        d=NEXT_DAY,
    ) == [("batch", 9), ("withdraw", 9)]
    assert all(loaded.run(NEXT_DAY)[layer]["rows_written"] == 0 for layer in ("bronze", "silver", "gold"))

    loaded.load(wrong, NEXT_DAY)
    assert {layer: loaded.checksums(layer) for layer in ("silver", "gold")} == after


def test_what_was_never_landed_cannot_be_taken_back(lakehouse: Lakehouse) -> None:
    lakehouse.homes.ensure_bucket()
    with pytest.raises(LakehouseError, match="There is no delivery of olist for 2018-03-02"):
        withdraw(lakehouse.homes, lakehouse.project, "olist", NEXT_DAY)


def test_a_rule_that_changed_judges_again_and_identities_stay(lakehouse: Lakehouse, tmp_path: Path) -> None:
    """A contract refuses what it should not; mended, the row leaves quarantine, and nothing else is written."""

    def strict(root: Path) -> None:
        path = root / "contracts/olist/products.yaml"
        text = path.read_text(encoding="utf-8")
        path.write_text(
            text.replace("quarantineTolerance, value: 0.001", "quarantineTolerance, value: 0.5"),
            encoding="utf-8",
        )
        query = root / "sql/ods/olist_products.conform.sql"
        judged = query.read_text(encoding="utf-8")
        assert judged.count("product_photos_qty < 0") == 2
        query.write_text(judged.replace("product_photos_qty < 0", "product_photos_qty < 2"), encoding="utf-8")

    def tolerant(root: Path) -> None:
        strict(root)
        query = root / "sql/ods/olist_products.conform.sql"
        judged = query.read_text(encoding="utf-8")
        query.write_text(judged.replace("product_photos_qty < 2", "product_photos_qty < 0"), encoding="utf-8")

    refused, mended = copy_project(tmp_path / "strict", strict), copy_project(tmp_path / "tolerant", tolerant)
    shop = _with_another_product()
    shop.rows("products")[0]["product_photos_qty"] = "3"
    shop.rows("products")[1]["product_photos_qty"] = "4"
    strictly = replace(lakehouse, project=refused)
    strictly.load(shop)
    product = ident("product", 9)
    assert [tuple(row) for row in strictly.query("select reasons from ops.quarantine")] == [
        ("product_photos_qty_is_not_negative",)
    ]
    keys = strictly.query("select product_key from gold.dim_product order by 1")
    versions = strictly.row_versions("silver")

    mildly = replace(lakehouse, project=mended)
    mildly.run()
    assert mildly.value("select count(*) from ops.quarantine") == 1  # nothing new came
    flow.plan(mildly.homes, mended, "olist", "silver", DAY, scope="everything")
    mildly.stage("silver")
    mildly.gate("silver")
    assert mildly.publish("silver")["rows_written"] == 2  # the row and its history
    mildly.run_layer("gold")
    assert mildly.value("select count(*) from ops.quarantine") == 0
    assert mildly.value("select count(*) from ods.olist_products where product_id = :p", p=product) == 1
    after = mildly.row_versions("silver")
    assert {t: after[t] for t in after if "products" not in t} == {
        t: versions[t] for t in versions if "products" not in t
    }
    found = mildly.query("select product_key from gold.dim_product order by 1")
    assert set(keys) < set(found) and len(found) == len(keys) + 1


@pytest.mark.parametrize("together", [True, False])
def test_an_id_on_two_days_is_two_rows_whether_they_are_taken_up_together_or_not(
    together: bool, lakehouse: Lakehouse
) -> None:
    avazu = replace(lakehouse, source="avazu")
    header = [c.source_name for c in avazu.project.contracts["avazu_impressions"].columns]
    values = {"id": "7", "click": "1", "hour": "14102105", "site_id": "a"} | {
        name: "1" for name in header if name not in ("id", "click", "hour", "site_id")
    }
    avazu.folder.mkdir(parents=True, exist_ok=True)
    with gzip.open(avazu.folder / "train.gz", "wt", newline="") as file:
        writer = csv.DictWriter(file, header)
        writer.writeheader()
        writer.writerows(
            [values, values | {"site_id": "b"}, values, values | {"hour": "14102205", "click": "0"}]
        )
    land(avazu.homes, avazu.project, "avazu", avazu.folder)
    for day in ("2014-10-21", "2014-10-22"):
        avazu.run_layer("bronze", day)
        if not together:
            avazu.run_layer("silver", day)
    if together:
        avazu.run_layer("silver", "2014-10-22")
    assert avazu.query(
        "select _partition_key::text, id::text, site_id, click from ods.avazu_impressions order by 1"
    ) == [("2014-10-21", "7", "a", 1), ("2014-10-22", "7", "a", 0)]
    assert avazu.query(
        "select b.partition_key::text, a.read_rows, a.published_rows, a.duplicate_rows, a.conflicting_rows "
        "from ops.accounted as a inner join ops.batch as b using (batch_id) "
        "inner join ops.publish as p on p.publish_id = a.publish_id where p.layer = 'silver' order by 1"
    ) == [("2014-10-21", 3, 1, 1, 1), ("2014-10-22", 1, 1, 0, 0)]


def test_a_day_of_events_that_is_taken_back_is_empty(lakehouse: Lakehouse) -> None:
    from lakehouse.landing.sample_avazu import write_sample

    avazu = replace(lakehouse, source="avazu")
    write_sample(avazu.folder, rows=600)
    days = [r.partition_key for r in land(avazu.homes, avazu.project, "avazu", avazu.folder)]
    for day in days:
        avazu.run(day)
    kept = avazu.query("select count(*) from ods.avazu_impressions where _partition_key <> :d", d=days[0])
    withdraw(avazu.homes, avazu.project, "avazu", days[0])
    avazu.run(days[0])
    assert avazu.query("select count(*) from ods.avazu_impressions") == kept
    assert avazu.query("select count(*) from gold.ctr_daily where hour_date = :d", d=days[0]) == [(0,)]
    assert avazu.lake("silver", "avazu_impressions").num_rows == kept[0][0]
