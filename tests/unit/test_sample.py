"""The samples have the published format and every oddity that the layers must cope with."""

from __future__ import annotations

import gzip
import hashlib
from pathlib import Path

import polars as pl
import pyarrow as pa
import pytest

from lakehouse.contract import Project
from lakehouse.errors import LakehouseError
from lakehouse.landing import sample_avazu, sample_olist
from lakehouse.landing.delimited import read_batches
from lakehouse.landing.sampling import NOTE

#: Of all files of the default sample; the same with every Python, numpy and machine.
#: Changes only when the sample is meant to change.
OLIST_DIGEST = "802228db672b87a5f97667dbd403f7856e921780f995d0aa6c8e00efce22317b"
AVAZU_DIGEST = "60b984fdfb05117d6d35f09872233ea2af77766debed357ec5daf4b639f3ae4c"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("olist")
    sample_olist.write_sample(folder)
    return folder


@pytest.fixture(scope="module")
def tables(folder: Path) -> dict[str, pl.DataFrame]:
    """Every table as the reader gives it, in the names of the files."""
    found = {}
    for contract in Project.load().tables("olist"):
        batches = read_batches(folder / contract.file_name, contract, contract.file_name)
        found[contract.name] = pl.DataFrame(pa.Table.from_batches(batches)).drop("_source_line")
    return found


def test_the_sample_is_the_same_everywhere(folder: Path, tmp_path: Path) -> None:
    names = sorted(p.name for p in folder.iterdir() if p.name != NOTE)
    digest = hashlib.sha256(b"".join((folder / n).read_bytes() for n in names)).hexdigest()
    assert names == sorted(c.file_name for c in Project.load().tables("olist"))
    assert digest == OLIST_DIGEST
    sample_olist.write_sample(tmp_path, orders=600, seed=1)
    sample_olist.write_sample(tmp_path, orders=600, seed=1)
    other = sample_olist.write_sample(tmp_path / "other", orders=600, seed=2)
    assert other["olist_orders_dataset.csv"] == 600
    assert (tmp_path / "olist_orders_dataset.csv").read_bytes() != (
        tmp_path / "other" / "olist_orders_dataset.csv"
    ).read_bytes()


def test_files_of_another_making_are_never_overwritten(tmp_path: Path) -> None:
    mine = tmp_path / "olist_orders_dataset.csv"
    mine.write_text("my own file")
    with pytest.raises(LakehouseError, match="left as it is"):
        sample_olist.write_sample(tmp_path, orders=600)
    assert [p.name for p in tmp_path.iterdir()] == [mine.name]
    assert mine.read_text() == "my own file"


def test_an_earlier_sample_is_replaced_but_not_a_file_put_in_its_place(tmp_path: Path) -> None:
    sample_olist.write_sample(tmp_path, orders=600, seed=1)
    orders = tmp_path / "olist_orders_dataset.csv"
    first = orders.read_bytes()
    sample_olist.write_sample(tmp_path, orders=600, seed=2)
    assert orders.read_bytes() != first
    orders.write_text("my own file")
    with pytest.raises(LakehouseError, match="is not a sample"):
        sample_olist.write_sample(tmp_path, orders=600, seed=3)


def test_foreign_keys_hold_and_keys_are_unique(tables: dict[str, pl.DataFrame]) -> None:
    contracts = Project.load().tables("olist")
    for contract in contracts:
        frame = tables[contract.name]
        key = [contract.column(k).raw_name for k in contract.key]
        if contract.name != "geolocation":
            assert frame.select(key).is_unique().all(), contract.name
        for column, reference in contract.references:
            if reference.severity == "hard":
                target = next(c for c in contracts if c.table == reference.table)
                theirs = tables[target.name][target.column(reference.column).raw_name]
                assert frame[column.raw_name].is_in(theirs.implode()).all(), (contract.name, column.name)


def test_orders_have_the_odd_cases_of_the_real_ones(tables: dict[str, pl.DataFrame]) -> None:
    orders, items, payments = tables["orders"], tables["order_items"], tables["order_payments"]
    delivered = orders.filter(pl.col("order_status") == "delivered")
    assert orders["order_status"].n_unique() == 8
    assert orders["order_purchase_timestamp"].max() == "2018-10-17 11:42:07"
    assert orders.join(items, on="order_id", how="anti").height > 20
    assert orders.join(payments, on="order_id", how="anti").height == 1
    assert delivered.filter(pl.col("order_delivered_customer_date") == "").height == 8
    early = (pl.col("order_delivered_carrier_date") < pl.col("order_approved_at")) & (
        pl.col("order_delivered_carrier_date") != ""
    )
    assert delivered.filter(early).height > 20
    assert 0.02 < _late(delivered) < 0.2


def _late(delivered: pl.DataFrame) -> float:
    late = delivered["order_delivered_customer_date"] > delivered["order_estimated_delivery_date"]
    return int(late.sum()) / delivered.height


def test_money_has_the_odd_cases_of_the_real_one(tables: dict[str, pl.DataFrame]) -> None:
    items, payments = tables["order_items"], tables["order_payments"]
    assert payments["payment_type"].value_counts().filter(pl.col("payment_type") == "not_defined")[
        "count"
    ].to_list() == [3]
    assert payments.group_by("order_id").len()["len"].max() > 3  # type: ignore[operator]
    money = pl.Decimal(12, 2)
    due = items.group_by("order_id").agg(
        due=pl.col("price").cast(money).sum() + pl.col("freight_value").cast(money).sum()
    )
    paid = payments.group_by("order_id").agg(paid=pl.col("payment_value").cast(money).sum())
    both = due.join(paid, on="order_id")
    differing = both.filter(pl.col("due") != pl.col("paid")).height
    assert 3 <= differing < both.height * 0.02
    assert payments.filter(pl.col("payment_installments") == "0").height >= 2


def test_persons_reviews_products_and_places_have_theirs(tables: dict[str, pl.DataFrame]) -> None:
    people = (
        tables["customers"]
        .group_by("customer_unique_id")
        .agg(orders=pl.len(), homes=pl.col("customer_zip_code_prefix").n_unique())
    )
    assert people.filter(pl.col("orders") > 1).height > 100
    assert 3 <= people.filter(pl.col("homes") > 1).height < people.filter(pl.col("orders") > 1).height
    reviews = tables["order_reviews"]
    assert reviews["review_id"].is_duplicated().any()
    assert reviews["order_id"].is_duplicated().any()
    assert reviews["review_comment_message"].str.contains("\r\n").any()
    assert reviews["review_comment_message"].str.contains('"').any()
    products = tables["products"]
    assert products.filter(pl.col("product_category_name") == "").height > 10
    assert products.filter(pl.col("product_weight_g") == "0").height == 3
    untranslated = set(products["product_category_name"]) - {""}
    untranslated -= set(tables["product_category_translation"]["product_category_name"])
    assert untranslated == {"pc_gamer", "portateis_cozinha_e_preparadores_de_alimentos"}
    places = tables["geolocation"]
    assert 0.15 < 1 - places.unique().height / places.height < 0.25
    zips = places["geolocation_zip_code_prefix"]
    assert zips.str.starts_with("0").any()
    assert (zips.str.len_chars() == 5).all()
    assert not tables["customers"]["customer_zip_code_prefix"].is_in(zips.implode()).all()


def test_the_files_look_like_the_published_ones(folder: Path) -> None:
    translation = (folder / "product_category_name_translation.csv").read_bytes()
    assert translation.startswith(b"\xef\xbb\xbfproduct_category_name,")
    assert not translation.endswith(b"\n")
    assert b'"product_name_lenght"' in (folder / "olist_products_dataset.csv").read_bytes()[:200]
    assert (folder / "olist_order_reviews_dataset.csv").read_bytes().startswith(b"review_id,order_id,")
    assert (folder / "olist_orders_dataset.csv").read_bytes().startswith(b'"order_id","customer_id",')


def test_avazu_ids_need_64_bits_and_the_hours_span_two_days(tmp_path: Path) -> None:
    assert sample_avazu.write_sample(tmp_path) == {"train.gz": 20_000}
    data = gzip.decompress((tmp_path / "train.gz").read_bytes())
    assert hashlib.sha256(data).hexdigest() == AVAZU_DIGEST
    contract = Project.load().contracts["avazu_impressions"]
    frame = pl.DataFrame(pa.Table.from_batches(read_batches(tmp_path / "train.gz", contract, "train.gz")))
    ids = frame["id"].cast(pl.UInt64)
    assert ids.is_unique().all()
    assert (ids > 2**63).sum() > 9_000
    assert frame["hour"].n_unique() == 34
    assert frame["hour"].str.slice(0, 6).unique().sort().to_list() == ["141021", "141022"]
    assert 0.1 < frame["click"].cast(pl.Int32).mean() < 0.25  # type: ignore[operator]
    assert frame["site_id"].str.contains("^[0-9a-f]{8}$").all()
