"""A replay tells what the dump tells, bit by bit: its deliveries end as the dump, and each can be loaded by itself."""

from __future__ import annotations

import hashlib
from datetime import date
from functools import cache
from pathlib import Path
from typing import get_args

import polars as pl
import pyarrow as pa
import pytest

from lakehouse.contract import Contract, Project
from lakehouse.errors import LakehouseError
from lakehouse.landing import sample_olist
from lakehouse.landing.delimited import SOURCE_LINE, raw_schema, read_batches
from lakehouse.landing.replay_olist import ReplayDelivery, Step, write_deliveries

from ..support.olist import Delivery, ident, small_shop

Tables = dict[str, pl.DataFrame]
CONTRACTS = Project.load().tables("olist")
STEPS: tuple[Step, ...] = get_args(Step)
MILESTONES = ["order_approved_at", "order_delivered_carrier_date", "order_delivered_customer_date"]
#: Which statuses may follow one; a last status that has no milestone may follow any.
LADDER = {"created": 0, "approved": 1, "shipped": 2, "delivered": 3}


@pytest.fixture(scope="module")
def dump(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("dump")
    sample_olist.write_sample(folder, orders=1_500)
    return folder


@pytest.fixture(scope="module", params=STEPS)
def replayed(request: pytest.FixtureRequest, dump: Path, tmp_path_factory: pytest.TempPathFactory) -> Tables:
    """Every row of every delivery of the whole dump, by table, with the delivery's date as ``at``."""
    return union(write_deliveries(CONTRACTS, dump, tmp_path_factory.mktemp("replay"), request.param))


def read(contract: Contract, folder: Path) -> pl.DataFrame:
    name = contract.file_name
    table = pa.Table.from_batches(list(read_batches(folder / name, contract, name)), raw_schema(contract))
    return pl.DataFrame(table)


def has_rows(contract: Contract, folder: Path) -> bool:
    return len((folder / contract.file_name).read_bytes().splitlines()) > 1


def union(deliveries: list[ReplayDelivery]) -> Tables:
    return {
        c.name: pl.concat(
            read(c, d.folder).with_columns(at=pl.lit(date.fromisoformat(d.partition_key)))
            for d in deliveries
            if d is deliveries[0] or has_rows(c, d.folder)
        )
        for c in CONTRACTS
    }


@cache
def contract(name: str) -> Contract:
    return next(c for c in CONTRACTS if c.name == name)


def key(name: str) -> list[str]:
    return [contract(name).column(k).raw_name for k in contract(name).key]


def written(
    delivery: Delivery, folder: Path, step: Step = "day", last: date | None = None
) -> list[ReplayDelivery]:
    return write_deliveries(
        CONTRACTS, delivery.write(folder / "dump", Project.load()), folder / "out", step, last=last
    )


def days_of(deliveries: list[ReplayDelivery]) -> list[str]:
    return [d.partition_key for d in deliveries]


def order_rows(deliveries: list[ReplayDelivery], number: int) -> list[tuple[str, ...]]:
    """Delivery, status and milestones of an order, as told one after the other."""
    orders = union(deliveries)["orders"].filter(pl.col("order_id") == ident("order", number))
    return orders.select(
        pl.col("at").cast(pl.String), "order_status", *(pl.col(m).str.slice(0, 10) for m in MILESTONES)
    ).rows()


@pytest.mark.parametrize("name", [c.name for c in CONTRACTS])
def test_the_last_row_of_each_key_is_the_dumps(name: str, replayed: Tables, dump: Path) -> None:
    expected = read(contract(name), dump).drop(SOURCE_LINE)
    told = replayed[name].drop(SOURCE_LINE)
    if name == "geolocation":  # repeats rows, and they are kept
        last = told.drop("at")
    else:
        assert told.select("at", *key(name)).is_unique().all()
        last = told.sort("at").unique(key(name), keep="last").drop("at")
    assert last.sort(pl.all()).equals(expected.sort(pl.all()))


def test_an_order_goes_on_and_not_back(replayed: Tables) -> None:
    told = replayed["orders"].sort("order_id", "at")
    before = told.with_columns(pl.all().shift(1).over("order_id").name.prefix("was_"))
    before = before.filter(pl.col("was_at").is_not_null())
    assert before.height > 500
    for name in MILESTONES:
        assert before.filter(
            (pl.col(f"was_{name}") != "") & (pl.col(name) != pl.col(f"was_{name}"))
        ).is_empty()
    was, now = (
        pl.col(c).replace_strict(LADDER, default=None, return_dtype=pl.Int32)
        for c in ("was_order_status", "order_status")
    )
    assert before.filter(was.is_null()).filter(pl.col("at") < date(2018, 10, 17)).is_empty()
    assert before.filter(now < was).is_empty()


def test_nothing_is_told_before_it_happened(replayed: Tables) -> None:
    for table, columns in {
        "orders": ["order_purchase_timestamp", *MILESTONES],
        "order_reviews": ["review_answer_timestamp"],
    }.items():
        for column in columns:
            days = pl.col(column).str.slice(0, 10).str.to_date("%Y-%m-%d", strict=False)
            assert replayed[table].filter(days > pl.col("at")).is_empty(), column


def test_every_delivery_points_to_what_is_there(replayed: Tables) -> None:
    for child in CONTRACTS:
        for column, reference in child.references:
            if reference.severity != "hard":
                continue
            parent = next(c for c in CONTRACTS if c.table == reference.table)
            target = parent.column(reference.column).raw_name
            first = replayed[parent.name].group_by(target).agg(there=pl.col("at").min())
            joined = replayed[child.name].join(first, left_on=column.raw_name, right_on=target, how="left")
            assert joined.filter(pl.col("there").is_null() | (pl.col("there") > pl.col("at"))).is_empty()


def test_every_delivery_has_nine_files_with_orders(dump: Path, tmp_path: Path) -> None:
    deliveries = write_deliveries(CONTRACTS, dump, tmp_path, "week")
    names = {c.file_name for c in CONTRACTS}
    for delivery in deliveries:
        assert {p.name for p in delivery.folder.iterdir()} == names
        assert not read(contract("orders"), delivery.folder).is_empty()
        assert date.fromisoformat(delivery.partition_key).isoweekday() == 7 or delivery is deliveries[-1]
    for name in ("geolocation", "product_category_translation"):
        assert (deliveries[0].folder / contract(name).file_name).read_bytes() == (
            dump / contract(name).file_name
        ).read_bytes()
        assert all(read(contract(name), d.folder).is_empty() for d in deliveries[1:])


def test_the_same_arguments_give_the_same_bytes(dump: Path, tmp_path: Path) -> None:
    def digests(folder: Path) -> dict[str, str]:
        write_deliveries(CONTRACTS, dump, folder, "week")
        files = sorted(p for p in folder.rglob("*") if p.is_file())
        return {str(p.relative_to(folder)): hashlib.sha256(p.read_bytes()).hexdigest() for p in files}

    assert digests(tmp_path / "one") == digests(tmp_path / "two")


def test_a_part_begins_with_all_that_was_before_and_goes_on_as_the_whole_does(
    dump: Path, tmp_path: Path
) -> None:
    first, last = date(2017, 6, 10), date(2017, 7, 5)
    deliveries = write_deliveries(CONTRACTS, dump, tmp_path, "day", first, last)
    assert days_of(deliveries)[0] == "2017-06-10"
    assert days_of(deliveries)[-1] <= "2017-07-05"
    part = union(deliveries)
    whole = union(write_deliveries(CONTRACTS, dump, tmp_path / "whole", "day", None, last))
    for name in ("orders", "order_items", "customers", "products", "sellers", "order_payments"):
        latest = [
            t[name].drop(SOURCE_LINE).sort("at").unique(key(name), keep="last").drop("at").sort(pl.all())
            for t in (part, whole)
        ]
        assert latest[0].equals(latest[1]), name
        later = [t[name].filter(pl.col("at") > first).drop(SOURCE_LINE).sort(pl.all()) for t in (part, whole)]
        assert later[0].equals(later[1]), name
        assert name == "sellers" or later[0].height > 0, name


def test_an_order_is_told_as_it_was(tmp_path: Path) -> None:
    shop = small_shop()
    shop.order(1).update(
        order_purchase_timestamp="2018-02-01 10:00:00",
        order_approved_at="2018-02-03 10:00:00",
        # Handed over before it was approved, as over a thousand real ones were.
        order_delivered_carrier_date="2018-02-02 10:00:00",
        order_delivered_customer_date="2018-02-09 10:00:00",
    )
    assert order_rows(written(shop, tmp_path, last=date(2018, 2, 20)), 1) == [
        ("2018-02-01", "created", "", "", ""),
        ("2018-02-02", "shipped", "", "2018-02-02", ""),
        ("2018-02-03", "shipped", "2018-02-03", "2018-02-02", ""),
        ("2018-02-09", "delivered", "2018-02-03", "2018-02-02", "2018-02-09"),
    ]


def test_an_end_without_a_time_comes_with_the_last_milestone(tmp_path: Path) -> None:
    shop = small_shop()
    for number, status in ((1, "canceled"), (2, "delivered"), (3, "unavailable")):
        shop.order(number).update(
            order_status=status,
            order_purchase_timestamp="2018-02-01 10:00:00",
            order_approved_at="" if number == 3 else "2018-02-02 10:00:00",
            order_delivered_carrier_date="2018-02-04 10:00:00" if number == 2 else "",
            order_delivered_customer_date="",
        )
    deliveries = written(shop, tmp_path, last=date(2018, 2, 20))
    assert [row[:2] for row in order_rows(deliveries, 1)] == [
        ("2018-02-01", "created"),
        ("2018-02-02", "canceled"),
    ]
    assert [row[:2] for row in order_rows(deliveries, 2)] == [
        ("2018-02-01", "created"),
        ("2018-02-02", "approved"),
        ("2018-02-04", "delivered"),
    ]
    assert [row[:2] for row in order_rows(deliveries, 3)] == [("2018-02-01", "unavailable")]


def test_rows_that_no_time_places_come_with_the_last_delivery(tmp_path: Path) -> None:
    shop = small_shop()
    for name in ("order_purchase_timestamp", *MILESTONES):
        shop.order(3)[name] = "soon"
    shop.order(1)["order_approved_at"] = "9999-99-99 00:00:00"
    for table, column in (("products", "product_id"), ("sellers", "seller_id"), ("customers", "customer_id")):
        shop.rows(table).append(shop.rows(table)[0] | {column: ident("never", 1)})
    told = union(written(shop, tmp_path))
    end = told["orders"]["at"].max()
    for table in ("products", "sellers", "customers"):
        assert told[table].filter(pl.col(key(table)[0]) == ident("never", 1))["at"].to_list() == [end]
    for table in ("orders", "order_items", "order_payments", "order_reviews"):
        rows = told[table].filter(pl.col("order_id") == ident("order", 3))
        assert set(rows["at"]) == {end}, table
    first = told["orders"].filter(pl.col("order_id") == ident("order", 1)).sort("at")
    assert first["order_approved_at"].to_list()[0] == ""
    assert first["order_approved_at"].to_list()[-1] == "9999-99-99 00:00:00"
    # A range that ends before the dump does leaves them out.
    early = union(written(shop, tmp_path / "early", last=date(2018, 2, 2)))
    assert early["products"].filter(pl.col("product_id") == ident("never", 1)).is_empty()
    assert early["orders"].filter(pl.col("order_id") == ident("order", 3)).is_empty()


def test_reviews_wait_for_orders_and_the_last_bring_theirs(tmp_path: Path) -> None:
    shop = small_shop()
    answers = {1: "2018-02-02 08:00:00", 3: "2018-05-01 08:00:00", 4: "2018-05-03 08:00:00"}
    for number, answer in answers.items():
        for review in shop.rows("order_reviews"):
            if review["order_id"] == ident("order", number):
                review["review_answer_timestamp"] = answer
    deliveries = written(shop, tmp_path)
    told = union(deliveries)
    assert days_of(deliveries)[-1] == "2018-05-03"
    assert read(contract("order_reviews"), deliveries[-1].folder)["order_id"].sort().to_list() == sorted(
        (ident("order", 3), ident("order", 4))
    )
    # The orders come once more, as they were.
    for number in (3, 4):
        rows = told["orders"].filter(pl.col("order_id") == ident("order", number)).drop("at", SOURCE_LINE)
        assert rows[-1].equals(rows[-2])


def test_steps_end_with_the_week_the_month_or_the_last_day(tmp_path: Path) -> None:
    days: dict[Step, list[str]] = {
        step: days_of(written(small_shop(), tmp_path / step, step, last=date(2018, 2, 20))) for step in STEPS
    }
    assert days["day"] == [*(f"2018-02-0{n}" for n in range(1, 5)), "2018-02-20"]
    assert days["week"] == ["2018-02-04", "2018-02-20"]
    assert days["month"] == ["2018-02-20"]
    late = written(small_shop(), tmp_path / "late", "month", last=date(2018, 3, 31))
    assert days_of(late) == ["2018-02-28"]


def test_texts_stay_as_they_are(tmp_path: Path) -> None:
    shop = small_shop()
    shop.rows("order_reviews")[0]["review_comment_message"] = ' "a,b"\r\nc\n\n""d"" \r '
    told = union(written(shop, tmp_path))["order_reviews"]
    assert ' "a,b"\r\nc\n\n""d"" \r ' in told["review_comment_message"].to_list()


@pytest.mark.parametrize(
    ("first", "last"),
    [
        (date(2018, 3, 2), date(2018, 3, 1)),
        (None, date(2015, 1, 1)),
        (date(2030, 1, 1), None),
    ],
)
def test_dates_without_events_are_refused(first: date | None, last: date | None, tmp_path: Path) -> None:
    files = small_shop().write(tmp_path / "dump", Project.load())
    with pytest.raises(LakehouseError, match=r"nothing to replay") as caught:
        write_deliveries(CONTRACTS, files, tmp_path / "out", "day", first, last)
    assert "from 2018-02-01 to" in caught.value.hint


def test_missing_files_and_a_dump_without_times_are_told(tmp_path: Path) -> None:
    shop = small_shop()
    for order in shop.rows("orders"):
        for name in ("order_purchase_timestamp", *MILESTONES):
            order[name] = ""
    with pytest.raises(LakehouseError, match="No order of the dump has a legible time"):
        written(shop, tmp_path)
    (tmp_path / "dump" / "olist_sellers_dataset.csv").unlink()
    with pytest.raises(LakehouseError, match=r"no olist_sellers_dataset\.csv in"):
        write_deliveries(CONTRACTS, tmp_path / "dump", tmp_path / "other")
