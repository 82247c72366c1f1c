"""Landing and silver read a day by one parser: what dates a delivery is what silver makes of the value."""

from __future__ import annotations

from datetime import date
from typing import Any

import pyarrow as pa
import pytest

from lakehouse.contract import Contract, Project
from lakehouse.engine.session import Session, open_session
from lakehouse.errors import FileDefect
from lakehouse.landing.dates import DayReader
from lakehouse.landing.delimited import SOURCE_LINE

from .reading import conformed, landed
from .test_conform import TRICKY

CONTRACTS = Project.load().contracts
BOUNDS = (date(2000, 1, 1), date.today())


def made(column: str, texts: list[str], lines: list[int]) -> pa.RecordBatch:
    arrays: list[pa.Array[Any]] = [pa.array(texts), pa.array(lines, pa.int64())]
    return pa.RecordBatch.from_arrays(arrays, [column, SOURCE_LINE])


def landing(session: Session, contract: Contract, column: str, text: str) -> str | None:
    """The day landing reads; the message's class when it refuses the value."""
    batch = made(contract.column(column).raw_name, [text], [2])
    try:
        day: str | None = DayReader(session, contract, column, "f.csv").days(batch)[0].as_py()
        return day
    except FileDefect as error:
        return next(w for w in ("impossible", "future", "ancient", "no value") if w in error.message)


def silver(contract: Contract, column: str, texts: list[str]) -> list[str | None]:
    """The same of each text, derived from what the conform query returns."""
    raw = contract.column(column).raw_name
    rows = [
        landed(line, {c.raw_name: text if c.raw_name == raw else "" for c in contract.columns})
        for line, text in enumerate(texts)
    ]
    return [said(row, column, contract) for row in conformed(contract, rows)]


def said(row: dict[str, Any], column: str, contract: Contract) -> str | None:
    value = row[column]
    if value is None:
        splits = contract.partition_column == column
        empty = f"{column} is empty" in row["_reasons"]
        return ("no value" if splits else None) if empty else "impossible"
    if value.date() < BOUNDS[0]:
        return "ancient"
    return "future" if value.date() > BOUNDS[1] else value.date().isoformat()


@pytest.mark.parametrize("table", ["olist_orders", "avazu_impressions"])
def test_every_odd_text_is_the_same_day_in_both(table: str) -> None:
    contract = CONTRACTS[table]
    column = contract.partition_column or contract.delivery_date_column or ""
    texts = [t for t in dict.fromkeys(TRICKY) if len(t) < 100]
    with open_session(None) as session:
        days = {t: landing(session, contract, column, t) for t in texts}
    assert days == dict(zip(texts, silver(contract, column, texts), strict=True))


def test_memory_does_not_grow_with_the_texts(monkeypatch: pytest.MonkeyPatch) -> None:
    """Values with white space are all different; what was met long ago is forgotten, the days are not."""
    monkeypatch.setattr("lakehouse.landing.dates._REMEMBERED", 3)
    contract = CONTRACTS["olist_orders"]
    with open_session(None) as session:
        reader = DayReader(session, contract, "order_purchased_at", "f.csv")
        for minute in range(30):
            texts = [f" 2018-03-{1 + minute // 10:02} 10:{minute:02}:0{second}" for second in range(4)]
            batch = made("order_purchase_timestamp", texts, [*range(4 * minute + 2, 4 * minute + 6)])
            assert set(reader.days(batch).to_pylist()) == {f"2018-03-{1 + minute // 10:02}"}
            assert len(reader._known) <= 8
        assert reader.lines == {"2018-03-01": 2, "2018-03-02": 42, "2018-03-03": 82}
