"""The Olist dump as the deliveries that a shop system would have sent: step by step what was new or changed.

An order is told when it is created and each time a milestone is reached: approved, handed to the carrier,
received. Until the last of them it looks as it did then, with empty columns for what had not happened; from then
on its row is the dump's, so that an end like ``canceled``, which has no time of its own, comes with the last
milestone. Its customer, items and payments come with its creation, a product and a seller when first sold.
A review comes when it was answered: before that the shop had nothing but a questionnaire it had sent.

Every row is given its step once, for all steps together; each table then is one query and one file per step.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Literal, cast

import polars as pl
import pyarrow as pa

from lakehouse.contract import Contract
from lakehouse.errors import LakehouseError
from lakehouse.landing.delimited import SOURCE_LINE, raw_schema, read_batches
from lakehouse.landing.origins import find_file, origin
from lakehouse.landing.sampling import csv_record

SOURCE = "olist"
Step = Literal["day", "week", "month"]
#: Called with what is being written.
Progress = Callable[[str], None]

#: What a shop knows of an order as it goes on: the status, and the column that says when it was reached.
_MILESTONES = {
    "created": "order_purchase_timestamp",
    "approved": "order_approved_at",
    "shipped": "order_delivered_carrier_date",
    "delivered": "order_delivered_customer_date",
}
_RANKS = {status: rank for rank, status in enumerate(_MILESTONES)}
_REACHED = [f"_{status}" for status in _MILESTONES]
#: Reference data, not the shop's own: they go whole, as they are, with the first delivery.
_WHOLE = frozenset({"geolocation", "product_category_translation"})
#: The last day of the step in which a row is told.
_STEP = "_step"


@dataclass(frozen=True)
class ReplayDelivery:
    """A delivery that was written: the files of its folder are to be landed under the partition key."""

    partition_key: str
    folder: Path


def write_deliveries(
    contracts: tuple[Contract, ...],
    dump: Path,
    folder: Path,
    step: Step = "day",
    first: date | None = None,
    last: date | None = None,
    *,
    progress: Progress | None = None,
) -> list[ReplayDelivery]:
    """Write one folder per delivery, each with all nine files; the deliveries, oldest first.

    A delivery is dated by the last day of its step, the last one at most by ``last``. The first also tells all
    that happened before it. Steps in which no order was created or changed are left out: reviews answered in them
    come with the next delivery, and when there is none, with a last one that tells their orders once more.
    Rows without any legible time, products that were never sold and the like come with the last delivery when
    ``last`` is not before the dump's end. After all deliveries of the whole dump, the last row of each key is the
    dump's (where a dump repeats the key of an order or a review, its last line is). The same arguments give the
    same bytes.

    Args:
        contracts: of Olist's tables.
        dump: holds the nine files, plain or compressed.
        folder: where to write; made when it is missing.
        step: what one delivery covers: a day, a week that ends on Sunday, or a calendar month.
        first: the first day of the first step; default: the dump's first day.
        last: the last day that is told; default: the dump's last day.
        progress: called with what is being written.

    Raises:
        FileDefect: a file is broken.
        LakehouseError: a file is missing, or nothing happens in these dates.
    """
    tell = progress or _silent
    paths = _find_files(contracts, dump)
    tell("reading")
    tables = {c.name: _read(c, paths[c.name]) for c in contracts if c.name not in _WHOLE}
    told, deliveries = _tell(tables, step, first, last)
    written = [ReplayDelivery(day.isoformat(), folder / f"dt={day}") for day in deliveries]
    for delivery in written:
        delivery.folder.mkdir(parents=True)
    for contract in contracts:
        tell(contract.file_name)
        _write(contract, told.get(contract.name), written)
        if contract.name in _WHOLE:
            (written[0].folder / contract.file_name).unlink()
            shutil.copyfile(paths[contract.name], written[0].folder / paths[contract.name].name)
    return written


def _silent(_what: str) -> None:
    """Report to nobody."""


def _find_files(contracts: tuple[Contract, ...], dump: Path) -> dict[str, Path]:
    """The file of each table, by the table's name in the source."""
    found = {c.name: find_file(dump, c) for c in contracts}
    missing = [c.file_name for c in contracts if not found[c.name]]
    if missing:
        raise LakehouseError(f"There is no {', '.join(missing)} in {dump}.", origin(SOURCE).advice)
    return {name: path for name, path in found.items() if path}


def _read(contract: Contract, path: Path) -> pl.LazyFrame:
    """A table as texts, under the names of RAW, with the line of each row."""
    batches = list(read_batches(path, contract, path.name))
    return cast(pl.DataFrame, pl.from_arrow(pa.Table.from_batches(batches, raw_schema(contract)))).lazy()


@dataclass(frozen=True)
class _Timeline:
    """The days that are replayed, cut into steps."""

    step: Step
    first: date
    last: date
    #: Whether all that ever happens in the dump happens until ``last``.
    is_whole: bool

    def step_of(self, day: pl.Expr) -> pl.Expr:
        """The step in which a day is told; null after the last one. What was before is told with the first."""
        day = pl.when(day < self.first).then(pl.lit(self.first)).otherwise(day)
        ends = {
            "day": day,
            "week": day.dt.truncate("1w") + pl.duration(days=6),
            "month": day.dt.month_end(),
        }
        return pl.when(day <= self.last).then(pl.min_horizontal(ends[self.step], pl.lit(self.last)))

    def placed(self, table: pl.LazyFrame, last_delivery: date) -> pl.LazyFrame:
        """The rows that are told; those that no time places come with the last delivery of the whole dump."""
        if self.is_whole:
            table = table.with_columns(pl.col(_STEP).fill_null(last_delivery))
        return table.drop_nulls(_STEP)


def _tell(
    tables: Mapping[str, pl.LazyFrame], step: Step, first: date | None, last: date | None
) -> tuple[dict[str, pl.LazyFrame], list[date]]:
    """Every row to tell, in each step that tells it, by table; and the dates of the deliveries."""
    orders = _dated_orders(tables["orders"]).collect()
    reviews = _dated_reviews(tables["order_reviews"], orders.lazy()).collect()
    timeline = _timeline(orders, reviews, step, first, last)
    orders = orders.with_columns(
        timeline.step_of(pl.col(name)).alias(name) for name in (*_REACHED, "_complete")
    )
    reviews = reviews.with_columns(timeline.step_of(pl.col("_day")).alias(_STEP)).drop("_day")
    days = orders.select(pl.concat_list(_REACHED).explode().unique().drop_nulls().sort()).to_series()
    reviews, rest = _with_orders(reviews, days)
    deliveries: list[date] = [*days, *([rest] if rest else [])]
    end = deliveries[-1]
    if timeline.is_whole:
        orders = orders.with_columns(pl.col(_REACHED[0], "_complete").fill_null(end))
    again = reviews.filter(pl.col(_STEP) == pl.lit(rest, pl.Date)).select("order_id", _again=_STEP).unique()
    created = orders.lazy().select("order_id", "customer_id", pl.col(_REACHED[0]).alias(_STEP))
    items = timeline.placed(_at(tables["order_items"], created, "order_id"), end)
    told = {
        "orders": _states(orders.lazy().join(again.lazy(), on="order_id", how="left")),
        "order_items": items,
        "order_payments": timeline.placed(_at(tables["order_payments"], created, "order_id"), end),
        "order_reviews": timeline.placed(reviews.lazy(), end),
        "customers": timeline.placed(_at(tables["customers"], created, "customer_id"), end),
        "products": timeline.placed(_at(tables["products"], items, "product_id"), end),
        "sellers": timeline.placed(_at(tables["sellers"], items, "seller_id"), end),
    }
    return told, deliveries


def _day(column: str) -> pl.Expr:
    """The day of a time, null when there is none or it is not legible."""
    return pl.col(column).str.slice(0, 10).str.to_date("%Y-%m-%d", strict=False)


def _dated_orders(orders: pl.LazyFrame) -> pl.LazyFrame:
    """Orders with the day on which each milestone became known, and ``_complete``, that of the last.

    Some were handed to the carrier before they were placed: nothing is known of an order before its creation.
    """
    created, *others = (_day(column) for column in _MILESTONES.values())
    first = pl.coalesce(created, pl.min_horizontal(others))
    days = [first, *(pl.when(day < first).then(first).otherwise(day) for day in others)]
    return orders.unique("order_id", keep="last", maintain_order=True).with_columns(
        *(day.alias(name) for day, name in zip(days, _REACHED, strict=True)),
        _complete=pl.max_horizontal(days),
    )


def _dated_reviews(reviews: pl.LazyFrame, orders: pl.LazyFrame) -> pl.LazyFrame:
    """Reviews with the day on which each came, null where its order is unknown or has no day."""
    came = pl.coalesce(_day("review_answer_timestamp"), _day("review_creation_date"))
    created = pl.col(_REACHED[0])
    return (
        reviews.unique(["review_id", "order_id"], keep="last", maintain_order=True)
        .join(orders.select("order_id", _REACHED[0]), on="order_id", how="left")
        .with_columns(_day=pl.when(created.is_not_null()).then(pl.max_horizontal(came, created)))
        .drop(_REACHED[0])
    )


def _timeline(
    orders: pl.DataFrame, reviews: pl.DataFrame, step: Step, first: date | None, last: date | None
) -> _Timeline:
    """The days to replay.

    Raises:
        LakehouseError: nothing happens in these dates.
    """
    begin = cast(date | None, orders[_REACHED[0]].min())
    if begin is None:
        raise LakehouseError(
            "No order of the dump has a legible time, so there is nothing to replay.",
            "Land the files as one delivery: `lakehouse land olist --date YYYY-MM-DD`.",
        )
    ends = (cast(date | None, days.max()) for days in (orders["_complete"], reviews["_day"]))
    end = max(day for day in ends if day)
    first, last = first or begin, last or end
    if first > last or first > end or last < begin:
        raise LakehouseError(
            f"There is nothing to replay from {first} to {last}.",
            f"The dump tells what happened from {begin} to {end}; choose --from and --to within it.",
        )
    return _Timeline(step, first, last, last >= end)


def _with_orders(reviews: pl.DataFrame, days: pl.Series) -> tuple[pl.DataFrame, date | None]:
    """Reviews moved to the next day on which orders are told; and the day of those after the last, if there are any.

    A delivery without orders would look like one whose file of orders was lost.
    """
    deliveries = pl.DataFrame({"_delivery": days.alias("_delivery")})
    steps = reviews.select(pl.col(_STEP).unique().drop_nulls().sort())
    moved = steps.join_asof(deliveries, left_on=_STEP, right_on="_delivery", strategy="forward")
    rest = cast(date | None, moved.filter(pl.col("_delivery").is_null())[_STEP].max())
    moved = moved.with_columns(pl.col("_delivery").fill_null(pl.lit(rest, pl.Date)))
    placed = reviews.join(moved, on=_STEP, how="left", maintain_order="left")
    return placed.drop(_STEP).rename({"_delivery": _STEP}), rest


def _at(table: pl.LazyFrame, needed: pl.LazyFrame, key: str) -> pl.LazyFrame:
    """Rows with the first step that needs them, null where none does."""
    return table.join(needed.group_by(key).agg(pl.col(_STEP).min()), on=key, how="left")


def _states(orders: pl.LazyFrame) -> pl.LazyFrame:
    """Orders as they looked in each step that tells them.

    The status is that of the highest milestone known, but not above the status that the order ends with.
    """
    steps = pl.concat_list(*_REACHED, "_complete", "_again").list.drop_nulls().list.unique()
    is_complete = (pl.col("_complete") <= pl.col(_STEP)).fill_null(False)
    known = [(pl.col(name) <= pl.col(_STEP)).fill_null(False) for name in _REACHED]
    highest = pl.max_horizontal(
        pl.when(is_known).then(rank).otherwise(0) for rank, is_known in enumerate(known)
    )
    ends_with = pl.col("order_status").replace_strict(_RANKS, default=len(_RANKS), return_dtype=pl.Int32)
    rank = pl.min_horizontal(highest, ends_with)
    status = rank.replace_strict({r: s for s, r in _RANKS.items()}, return_dtype=pl.String)
    columns = list(_MILESTONES.values())
    return (
        # An order that is not told until the last step has no step at all.
        orders.with_columns(steps.alias(_STEP))
        .filter(pl.col(_REACHED[0]).is_not_null())
        .explode(_STEP)
        .with_columns(
            pl.when(is_complete).then("order_status").otherwise(status).alias("order_status"),
            *(
                pl.when(is_complete | is_known).then(column).otherwise(pl.lit("")).alias(column)
                for column, is_known in list(zip(columns, known, strict=True))[1:]
            ),
        )
    )


def _write(contract: Contract, told: pl.LazyFrame | None, deliveries: list[ReplayDelivery]) -> None:
    """A table's file in each delivery: the header, and the rows of its step in the dump's order."""
    header = ",".join(column.source_name for column in contract.columns) + "\n"
    texts = _texts(contract, told) if told is not None else {}
    for delivery in deliveries:
        body = texts.get(delivery.partition_key)
        text = f"{header}{body}\n" if body is not None else header
        (delivery.folder / contract.file_name).write_bytes(text.encode())


def _texts(contract: Contract, told: pl.LazyFrame) -> dict[str, str]:
    """The records of each step, by the step's partition key."""
    record = csv_record([column.raw_name for column in contract.columns])
    texts = (
        told.select(_STEP, SOURCE_LINE, record.alias("records"))
        .sort(_STEP, SOURCE_LINE)
        .group_by(pl.col(_STEP).cast(pl.String), maintain_order=True)
        .agg(pl.col("records").str.join("\n"))
    )
    return dict(texts.collect().iter_rows())
