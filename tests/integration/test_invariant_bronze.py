"""Invariant 7: bronze holds the text as landed, where it came from, for ever."""

from __future__ import annotations

import csv
import hashlib
from datetime import UTC

import pytest

from lakehouse.errors import FileDefect
from lakehouse.landing.manifest import read_manifest
from lakehouse.layer.ledger import batch_id

from ..support.lakehouse import Lakehouse
from ..support.olist import DAY, Delivery, small_shop

pytestmark = pytest.mark.servers


def awkward_shop() -> Delivery:
    """Texts that a careless reader would change."""
    shop = small_shop()
    review = shop.rows("order_reviews")[0]
    review["review_comment_title"] = " NULL "
    review["review_comment_message"] = ' "a";\\N\t\\. %s ${x} {batch}\n\n\nlinha, 3 😀 \u00a0 é e\u0301'
    shop.rows("products")[0]["product_category_name"] = ""
    shop.rows("products")[1]["product_weight_g"] = "0225 "
    shop.rows("geolocation")[0]["geolocation_lat"] = "-23.5489459851894340"
    return shop


def test_every_text_is_what_the_csv_module_reads_from_the_file(lakehouse: Lakehouse) -> None:
    lakehouse.load(awkward_shop(), upto="bronze")
    for contract in lakehouse.project.tables("olist"):
        with (lakehouse.folder / DAY / contract.file_name).open(newline="", encoding="utf-8") as file:
            reader = csv.reader(file)
            next(reader)
            expected, line = [], reader.line_num
            for row in reader:
                expected.append((line + 1, *row))
                line = reader.line_num
        names = ", ".join(c.raw_name for c in contract.columns)
        stored = lakehouse.query(f"select _source_line, {names} from raw.{contract.table} order by 1")
        assert stored == expected
        columns = ["_source_line", *(c.raw_name for c in contract.columns)]
        lake = lakehouse.lake("bronze", contract.table).select(columns).to_pylist()
        assert sorted(tuple(row.values()) for row in lake) == expected


def test_every_row_says_where_it_came_from(lakehouse: Lakehouse) -> None:
    lakehouse.load(small_shop(), upto="bronze")
    manifest = read_manifest(lakehouse.homes.s3_client(), lakehouse.homes.bucket, "olist", DAY)
    assert manifest is not None
    for contract in lakehouse.project.tables("olist"):
        content = (lakehouse.folder / DAY / contract.file_name).read_bytes()
        key = f"landing/olist/dt={DAY}/{contract.file_name}"
        digest = hashlib.sha256(content).hexdigest()
        batch = batch_id("olist", contract.table, key, digest)
        expected = (batch, key, digest, manifest.landed_at)
        assert lakehouse.query(
            f"select distinct _batch_id::text, _source_key, _source_hash, _ingested_at from raw.{contract.table}"
        ) == [expected]
        lake = lakehouse.lake("bronze", contract.table)
        assert {
            (row["_batch_id"], row["_source_key"], row["_source_hash"], row["_ingested_at"].astimezone(UTC))
            for row in lake.to_pylist()
        } == {expected}


def test_the_same_file_always_gets_the_same_batch_id() -> None:
    one = batch_id("olist", "olist_orders", "landing/olist/dt=2018-03-01/a.csv", "0" * 64)
    assert one == "0fcd8e5b-0ee6-5328-ad87-db323c4c2102", (
        "another id would make every delivered file look new"
    )
    assert one != batch_id("olist", "olist_orders", "landing/olist/dt=2018-03-02/a.csv", "0" * 64)
    assert one != batch_id("olist", "olist_orders", "landing/olist/dt=2018-03-01/a.csv", "1" * 64)


def test_other_bytes_for_the_same_key_become_a_new_batch_and_the_old_one_stays(loaded: Lakehouse) -> None:
    old = loaded.query("select * from raw.olist_orders order by _source_line")
    changed = small_shop()
    changed.order(1)["order_status"] = "shipped"
    loaded.load(changed, upto="bronze")
    batches = loaded.query(
        "select batch_id::text, superseded_by::text from ops.batch where table_name = 'olist_orders' "
        "order by superseded_by is null"
    )
    (first, superseded_by), (second, current) = batches
    assert (superseded_by, current) == (second, None)
    assert (
        loaded.query(
            "select * from raw.olist_orders where _batch_id = cast(:b as uuid) order by _source_line", b=first
        )
        == old
    )
    lake = loaded.lake("bronze", "olist_orders").to_pylist()
    assert sorted(row["order_status"] for row in lake if row["_batch_id"] == first) == [
        "canceled",
        *["delivered"] * 3,
    ]
    assert {row["_batch_id"] for row in lake} == {first, second}


def test_a_file_that_is_not_what_its_manifest_names_is_refused(loaded: Lakehouse) -> None:
    loaded.land(small_shop(5), "2018-03-02")
    key = "landing/olist/dt=2018-03-02/olist_orders_dataset.csv"
    store = loaded.homes.s3_client()
    body = store.get_object(Bucket=loaded.homes.bucket, Key=key)["Body"].read()
    store.put_object(Bucket=loaded.homes.bucket, Key=key, Body=body.replace(b"canceled", b"delivered"))
    before = loaded.served()
    loaded.plan("bronze", "2018-03-02")
    with pytest.raises(FileDefect, match="is not the file its manifest names") as caught:
        loaded.stage("bronze", "2018-03-02")
    assert "lakehouse land olist --date 2018-03-02" in caught.value.hint
    assert loaded.served() == before
