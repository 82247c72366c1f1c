"""The committed conform queries on Postgres and DuckDB: identical rows for every contract, whatever the file holds."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from datetime import date, datetime
from decimal import Decimal
from typing import Any

import duckdb
import psycopg2
import pyarrow as pa
import pytest
from psycopg2.extensions import connection as Connection
from psycopg2.extras import execute_values

from lakehouse.contract import Column, Contract, Project
from lakehouse.layer.silver import conform_text
from lakehouse.stack.postgres import PostgresServer

from ..support.olist import ident

pytestmark = pytest.mark.servers

NBSP, ZERO_WIDTH, FULL_WIDTH_ONE = "\u00a0", "\u200b", "\uff11"
#: Put into every column of every table in turn.
TRICKY = (
    "", " ", "   ", NBSP, ZERO_WIDTH, "\t", "\n", "NULL", "null", "NaN", "nan", "inf", "-Infinity", "None", "\\N",
    # numbers
    "0", "-0", "+0", "1", "+1", "-1", " 1 ", f"1{NBSP}", "1\n", "\t1", "01", "007", "1.", ".5", "1.0", "1.00", "1.005",
    "1,5", "1 000", "1_000", "0x1F", "1e3", "1E+03", "1e-3", "1e99", "-1e99", "1e-99", "1e400", "12e", FULL_WIDTH_ONE,
    "32767", "32768", "-32768", "-32769", "2147483647", "2147483648", "9223372036854775807", "9223372036854775808",
    "18446744073709551615", "99999999999999999999", "100000000000000000000", "9999999999.99", "10000000000.00",
    "-9999999999.99", "0.1", "0.30", "123456789.12", "-23.548945985189434", "-46.63467113292871", "90.0000001",
    "0.00000000000000000001", "179769313486231",
    # dates and times
    "2018-02-28", "2018-02-29", "2018-02-30", "2016-02-29", "1900-02-29", "0000-01-01", "0001-01-01", "9999-12-31",
    "2018-13-01", "2018-00-10", "2018-01-00", "2018-1-5", "20180105", "05/01/2018", "2018-01-05T00:00:00",
    "2018-01-05 00:00:00", "2018-01-05 10:11:12", "2018-01-05T10:11:12", "2018-01-05 10:11:12.5",
    "2018-01-05 10:11:12.123456", "2018-01-05 10:11:12.1234567", "2018-01-05 24:00:00", "2018-01-05 23:59:60",
    "2018-01-05 10:11", "2018-01-05 10:11:12Z", "2018-01-05 10:11:12+03:00", "2018-01-05 10:11:12 BC", "infinity",
    "today", "now", "epoch", "2018-02-30 10:00:00", "2018-10-21 00:30:00", "10000-01-01",
    # the hour of an impression
    "14102100", "14102123", "14102124", "14023010", "14130100", "00010100", "99123123", "1410210", "141021000",
    # texts
    "são paulo", "sa\u0303o paulo", "O'Brien", 'with "quotes"', "back\\slash", "%s %(x)s :x", "{batch}", "a\nb", "😀",
    " SP", "SP ", "sp", "SP", "\ufeffSP", "x" * 5000, ident("a", 1), ident("a", 1).upper(), f"{ident('a', 1)}\n",
    "delivered", "DELIVERED", "credit_card", "true", "TRUE", "t", "5", "6",
)  # fmt: skip


@pytest.fixture(scope="module")
def project() -> Project:
    return Project.load()


@pytest.fixture
def postgres(pg_server: PostgresServer) -> Iterator[Connection]:
    connection = psycopg2.connect(pg_server.dsn("postgres", "postgres"))
    yield connection
    connection.close()


def plain(column: Column, contract: Contract) -> str:
    """A text that conforms to a column."""
    for rule in contract.rules:
        if rule.kind == "accepted_values" and column.name in rule.columns:
            return str(rule.arguments["values"][0])
        if rule.kind == "pattern" and column.name in rule.columns:
            return ident("plain", 1) if "32" in rule.arguments["pattern"] else "01001"
    if column.source_format:
        return "14102100"
    return {"text": "text", "timestamp": "2018-01-05 10:11:12", "date": "2018-01-05"}.get(
        column.type.name, "1"
    )


def conformed(
    contract: Contract, rows: list[dict[str, Any]], project: Project, postgres: Connection
) -> dict[str, list[tuple[Any, ...]]]:
    """Engine → what its committed query makes of the rows (RAW columns and technical ones), by source line."""
    names = [c.raw_name for c in contract.columns] + ["_batch_id", "_source_line", "_delivery"]
    types = {"_batch_id": "uuid", "_source_line": "bigint", "_delivery": "date"}
    values = [tuple(row[n] for n in names) for row in rows]
    found = {}
    with postgres.cursor() as cursor:
        typed = ", ".join(f"{n} {types.get(n, 'text')}" for n in names)
        cursor.execute(f"create temp table raw_input ({typed})")
        execute_values(cursor, "insert into raw_input values %s", values, page_size=1000)
        cursor.execute(conform_text(project, contract, "postgres"))
        found["postgres"] = cursor.fetchall()
    postgres.rollback()
    with duckdb.connect() as duck:
        arrow = pa.table({n: [v[i] for v in values] for i, n in enumerate(names)})
        duck.register("raw_input", arrow)
        found["duckdb"] = duck.execute(conform_text(project, contract, "duckdb")).fetchall()
    line = len(contract.columns) + 1
    for rows_found in found.values():
        rows_found.sort(key=lambda row: (row[line], str(row[line - 1])))
    return found


def landed(
    line: int, values: dict[str, str], delivery: date = date(2018, 1, 5), batch: int = 1
) -> dict[str, Any]:
    """A RAW row."""
    return values | {"_batch_id": str(uuid.UUID(int=batch)), "_source_line": line, "_delivery": delivery}


@pytest.mark.parametrize("table", sorted(Project.load().contracts))
def test_both_engines_make_the_same_of_every_text_in_every_column(
    project: Project, postgres: Connection, table: str
) -> None:
    contract = project.contracts[table]
    base = {c.raw_name: plain(c, contract) for c in contract.columns}
    cases = [(c.raw_name, text) for c in contract.columns for text in TRICKY]
    rows = [landed(line, base | {name: text}) for line, (name, text) in enumerate(cases, start=2)]
    found = conformed(contract, [landed(1, base), *rows], project, postgres)
    assert len(found["postgres"]) == len(cases) + 1
    differing = [
        (cases[i - 1], ours, theirs)
        for i, (ours, theirs) in enumerate(zip(found["postgres"], found["duckdb"], strict=True))
        if ours != theirs
    ]
    assert differing == []
    reasons = [row[-2] for row in found["postgres"]]
    assert reasons[0] == "", "the plain row is fine"
    assert any(reasons[1:])


@pytest.mark.parametrize("table", sorted(Project.load().contracts))
def test_both_engines_let_the_same_row_of_a_key_win(
    project: Project, postgres: Connection, table: str
) -> None:
    contract = project.contracts[table]
    base = {c.raw_name: plain(c, contract) for c in contract.columns}
    broken = base | {next(c.raw_name for c in contract.columns if c.required): ""}
    newer = date(2018, 1, 6)
    rows = [
        landed(5, base),
        landed(9, base),
        landed(2, base, newer, batch=2),
        landed(3, base, newer, batch=2),
        landed(4, base, newer, batch=3),
        landed(9, broken, newer, batch=4),
    ]
    found = conformed(contract, rows, project, postgres)
    assert found["postgres"] == found["duckdb"]
    ranks = {(row[-4], row[-1]) for row in found["postgres"] if row[-2] == ""}
    # The later delivery wins, then the later line; the broken row does not compete.
    assert ranks == {(4, 1), (3, 2), (2, 3), (9, 4), (5, 5)}


def outcome(column: Column, text: str, contract: Contract, found: dict[str, list[tuple[Any, ...]]]) -> Any:
    (row,) = found["duckdb"]
    value = row[[c.name for c in contract.columns].index(column.name)]
    return value if f"{column.name} is not a" not in row[-2] else "refused"


@pytest.mark.parametrize(
    ("table", "name", "text", "expected"),
    [
        ("olist_orders", "order_approved_at", "2018-02-30 10:00:00", "refused"),
        ("olist_orders", "order_approved_at", "2018-02-28 24:00:00", "refused"),
        ("olist_orders", "order_approved_at", "0000-01-01 00:00:00", "refused"),
        ("olist_orders", "order_approved_at", "today", "refused"),
        ("olist_orders", "order_approved_at", "2018-02-28 10:00:00+03:00", "refused"),
        (
            "olist_orders",
            "order_approved_at",
            "  2018-02-28 10:00:00.25 ",
            datetime(2018, 2, 28, 10, 0, 0, 250_000),
        ),
        ("olist_orders", "order_approved_at", "   ", None),
        ("olist_orders", "order_approved_at", NBSP, "refused"),
        ("olist_orders", "order_estimated_delivery_date", "2016-02-29 00:00:00", date(2016, 2, 29)),
        ("olist_orders", "order_estimated_delivery_date", "2018-02-29", "refused"),
        ("olist_order_items", "price_brl", "0.1", Decimal("0.10")),
        ("olist_order_items", "price_brl", "1.005", "refused"),
        ("olist_order_items", "price_brl", "1e2", "refused"),
        ("olist_order_items", "price_brl", "9999999999.99", Decimal("9999999999.99")),
        ("olist_order_items", "price_brl", "10000000000.00", "refused"),
        ("olist_order_items", "order_item_id", "32768", "refused"),
        ("olist_geolocation", "latitude_deg", "-23.548945985189434", -23.548945985189434),
        ("olist_geolocation", "latitude_deg", "1e-3", 0.001),
        ("olist_geolocation", "latitude_deg", "nan", "refused"),
        ("olist_sellers", "city", f" são paulo{NBSP}", f"são paulo{NBSP}"),
        ("avazu_impressions", "id", "18446744073709551615", Decimal("18446744073709551615")),
        ("avazu_impressions", "id", "1.0000169349117863715e+19", "refused"),
        ("avazu_impressions", "hour", "14102123", datetime(2014, 10, 21, 23)),
        ("avazu_impressions", "hour", "14102124", "refused"),
    ],
)
def test_what_becomes_of_a_text(
    project: Project, postgres: Connection, table: str, name: str, text: str, expected: object
) -> None:
    contract = project.contracts[table]
    column = contract.column(name)
    base = {c.raw_name: plain(c, contract) for c in contract.columns}
    found = conformed(contract, [landed(2, base | {column.raw_name: text})], project, postgres)
    assert found["postgres"] == found["duckdb"]
    assert outcome(column, text, contract, found) == expected
