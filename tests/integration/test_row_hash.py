"""Both homes write a value alike: the same hash from the engine and the warehouse, the same value after COPY."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from sqlalchemy import Connection

from lakehouse.compile.schemas import arrow_schema
from lakehouse.engine.rowhash import count_and_hash
from lakehouse.engine.session import Session, open_session
from lakehouse.home.homes import Homes
from lakehouse.home.rows import copy_rows, create_stage, wire_schema

pytestmark = pytest.mark.servers

#: Type → values that programs like to write in different ways.
VALUES: dict[str, tuple[Any, ...]] = {
    "text": (
        "", " ", "a", "A", "null", "NULL", "\\N", "|", "a|b", "||", "\x01", "a\x01", "\t", "\n", "\r\n", "'", '"', "\\",
        "%", "%s", ":x", "{}", "é", "e\u0301", "😀", "\u00a0", "\ufeff", "ß", "İ", "\U0010ffff", "x" * 100_000,
    ),
    "smallint": (0, 1, -1, 32767, -32768),
    "integer": (0, 1, -1, 2**31 - 1, -(2**31)),
    "bigint": (0, 1, -1, 2**53 + 1, 2**63 - 1, -(2**63)),
    "numeric(12,2)": ("0.00", "-0.01", "0.10", "-1.50", "100.00", "9999999999.99", "-9999999999.99"),
    "numeric(20,0)": ("0", "18446744073709551615", "-1", "100", "99999999999999999999"),
    "numeric(38,10)": ("0", "-0.0000000001", "1.1", "9999999999999999999999999999.9999999999"),
    "double precision": (
        0.0, -0.0, 1.0, -1.0, 0.1, 1e-7, -1e-7, 5e-324, 1e15, -1e15, 1e15 + 0.5, 123456789.123456789, 1e-6,
        999999.9999995, float("inf"), float("-inf"), -23.548945985189434, -46.63467113292871, 1 / 3,
        2 / 3, 100.0, 0.1 + 0.2, 2.0**53, 123456789012345.678, 1e22,
    ),
    "timestamp": (
        datetime(1, 1, 1), datetime(9999, 12, 31, 23, 59, 59, 999999), datetime(1969, 12, 31, 23, 59, 59, 999999),
        datetime(2018, 1, 5), datetime(2018, 1, 5, 10, 11, 12), datetime(2018, 1, 5, 10, 11, 12, 500000),
        datetime(2018, 1, 5, 10, 11, 12, 123456), datetime(2018, 1, 5, 10, 11, 12, 1), datetime(1582, 10, 10),
        datetime(2018, 10, 21, 0, 30),
    ),
    "timestamptz": (
        datetime(2018, 1, 5, 10, 11, 12, 123456, tzinfo=UTC), datetime(1, 1, 2, tzinfo=UTC),
        datetime(9999, 12, 30, tzinfo=UTC), datetime(2018, 10, 21, 0, 30, tzinfo=UTC),
    ),
    "date": (date(1, 1, 1), date(9999, 12, 31), date(1969, 12, 31), date(2016, 2, 29), date(1582, 10, 10)),
    "boolean": (True, False),
    "uuid": ("0fcd8e5b-0ee6-5328-ad87-db323c4c2102", "00000000-0000-0000-0000-000000000000"),
}  # fmt: skip
COLUMNS = {f"c_{number}": kind for number, kind in enumerate(VALUES)}


def column(kind: str, values: list[Any]) -> list[Any]:
    return [Decimal(v) if v is not None and kind.startswith("numeric") else v for v in values]


def given(kind: str) -> list[Any]:
    """The values, and null; technical columns always have a value."""
    return [*VALUES[kind], *(() if kind == "uuid" else (None,))]


def parquet(session: Session, columns: dict[str, str], *values: list[Any]) -> str:
    """A file of the session with these columns."""
    arrays = {n: column(k, v) for (n, k), v in zip(columns.items(), values, strict=True)}
    path = session.folder / "rows.parquet"
    pq.write_table(pa.table(arrays, schema=arrow_schema(columns)), path, store_schema=False)
    return str(path)


def table(columns: dict[str, str]) -> pa.Table:
    """Every value of every type, and null, in rows whose other columns have other values."""
    longest = max(len(v) for v in VALUES.values()) + 1
    arrays: dict[str, list[Any]] = {}
    for shift, (name, kind) in enumerate(columns.items()):
        values = given(kind)
        arrays[name] = column(kind, [values[(row + shift) % len(values)] for row in range(longest * 2)])
    return pa.table(arrays, schema=arrow_schema(columns))


@pytest.fixture
def warehouse(homes: Homes) -> Iterator[Connection]:
    with homes.engine.connect() as conn:
        conn.exec_driver_sql("create schema stage")
        yield conn
        conn.rollback()


@pytest.fixture
def session() -> Iterator[Session]:
    with open_session(None) as opened:
        yield opened


def in_both_homes(conn: Connection, session: Session, rows: pa.Table, columns: dict[str, str]) -> None:
    """Rows as the flow brings them there: a Parquet file, and one COPY."""
    path = session.folder / "rows.parquet"
    pq.write_table(rows, path, compression="zstd", store_schema=False)
    session.files("main.written", [str(path)], columns)
    create_stage(conn, "stage.written", columns)
    few = (batch for batch in rows.to_batches(max_chunksize=7))
    copied = copy_rows(conn, "stage.written", wire_schema(columns, rows.schema), few)
    assert copied == rows.num_rows


def hashes(conn: Connection, session: Session, columns: dict[str, str], relation: str) -> tuple[Any, Any]:
    query = count_and_hash(f"stage.{relation}", columns, "warehouse").replace("%", "%%")
    ours = conn.exec_driver_sql(query).one()
    theirs = session.rows(count_and_hash(f"main.{relation}", columns, "engine"))[0]
    return tuple(ours), tuple(theirs)


@pytest.mark.parametrize("kind", VALUES)
def test_every_value_has_the_same_hash_in_both_homes(
    warehouse: Connection, session: Session, kind: str
) -> None:
    """One value a row, so that the value is named that differs."""
    columns = {"place": "integer", "value": kind}
    values = given(kind)
    rows = pa.table(
        {"place": list(range(len(values))), "value": column(kind, values)}, schema=arrow_schema(columns)
    )
    in_both_homes(warehouse, session, rows, columns)
    differing = []
    for place, value in enumerate(values):
        one = {"value": kind}
        ours = warehouse.exec_driver_sql(
            count_and_hash(f"(select value from stage.written where place = {place}) as q", one, "warehouse")
        ).one()
        theirs = session.rows(
            count_and_hash(f"(select value from written where place = {place}) as q", one, "engine")
        )[0]
        if tuple(ours) != tuple(theirs):
            differing.append((value, tuple(ours), tuple(theirs)))
    assert differing == []


@pytest.mark.parametrize("kind", VALUES)
def test_every_value_has_a_hash_of_its_own(session: Session, kind: str) -> None:
    """But for one text, a single control character, which is written like null."""
    columns = {"place": "integer", "value": kind}
    values = [v for v in given(kind) if v != "\x01"]
    session.files("main.written", [parquet(session, columns, list(range(len(values))), values)], columns)
    hashed = {
        session.rows(
            count_and_hash(f"(select value from written where place = {n}) as q", {"value": kind}, "engine")
        )[0]
        for n in range(len(values))
    }
    assert len(hashed) == len(values)


def test_rows_of_all_types_have_the_same_hash_and_values_in_both_homes(
    warehouse: Connection, session: Session
) -> None:
    rows = table(COLUMNS)
    in_both_homes(warehouse, session, rows, COLUMNS)
    ours, theirs = hashes(warehouse, session, COLUMNS, "written")
    assert ours == theirs
    assert ours[0] == rows.num_rows
    casts = {"timestamptz": "{0} at time zone 'UTC'", "uuid": "{0}::text"}
    read = ", ".join(casts.get(kind, "{0}").format(name) for name, kind in COLUMNS.items())
    stored = [tuple(row) for row in warehouse.exec_driver_sql(f"select {read} from stage.written")]
    expected = [
        tuple(v.replace(tzinfo=None) if isinstance(v, datetime) else v for v in row.values())
        for row in rows.to_pylist()
    ]
    assert sorted(stored, key=repr) == sorted(expected, key=repr)


def test_no_rows_have_a_hash_too(warehouse: Connection, session: Session) -> None:
    in_both_homes(warehouse, session, table(COLUMNS).slice(0, 0), COLUMNS)
    ours, theirs = hashes(warehouse, session, COLUMNS, "written")
    assert ours == theirs == (0, "0")


@pytest.mark.parametrize(
    "change",
    [
        {"a": "", "b": None}, {"a": None, "b": ""}, {"a": None, "b": None}, {"a": "|", "b": ""}, {"a": "x", "b": "y|z"},
        {"a": "x|y", "b": "z"}, {"a": "\x01", "b": ""}, {"a": " ", "b": ""},
    ],
)  # fmt: skip
def test_a_value_that_is_missing_or_moved_shows(
    warehouse: Connection, session: Session, change: dict[str, str | None]
) -> None:
    """Against a row of empty texts. A separator within a value does not hide that something moved."""
    columns = {"a": "text", "b": "text"}
    rows = pa.table({"a": [change["a"]], "b": [change["b"]]}, schema=arrow_schema(columns))
    in_both_homes(warehouse, session, rows, columns)
    ours, theirs = hashes(warehouse, session, columns, "written")
    assert ours == theirs
    plain = session.rows(count_and_hash("(select '' as a, '' as b) as q", columns, "engine"))[0]
    assert ours != tuple(plain)
