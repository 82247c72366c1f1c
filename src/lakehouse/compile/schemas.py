"""Arrow schemas of the lake's tables: the same columns as the warehouse's, in the lake's types."""

from __future__ import annotations

import re

import pyarrow as pa

from lakehouse.compile.ddl import raw_columns
from lakehouse.contract import Contract
from lakehouse.errors import ContractError

#: Iceberg knows no 16-bit integers, and uuids as text are readable by every engine.
_ARROW: dict[str, pa.DataType] = {
    "text": pa.string(),
    "uuid": pa.string(),
    "smallint": pa.int32(),
    "integer": pa.int32(),
    "bigint": pa.int64(),
    "double precision": pa.float64(),
    "timestamp": pa.timestamp("us"),
    "timestamp without time zone": pa.timestamp("us"),
    "timestamptz": pa.timestamp("us", tz="UTC"),
    "date": pa.date32(),
    "boolean": pa.bool_(),
}


def arrow_type(sql_type: str) -> pa.DataType:
    """The Arrow type of a Postgres type.

    Raises:
        ContractError: the lake has no such type (an unbounded ``numeric``, for example).
    """
    if sql_type in _ARROW:
        return _ARROW[sql_type]
    match = re.fullmatch(r"numeric\((\d+),(\d+)\)", sql_type)
    if match:
        return pa.decimal128(int(match.group(1)), int(match.group(2)))
    raise ContractError(
        f"The lake has no type for {sql_type}.", "Cast the column, for example to numeric(12,2) or bigint."
    )


def arrow_schema(columns: dict[str, str]) -> pa.Schema:
    """The schema of a table given as column → Postgres type."""
    return pa.schema([pa.field(name, arrow_type(sql_type)) for name, sql_type in columns.items()])


def bronze_schema(contract: Contract) -> pa.Schema:
    """Bronze: text as landed, then the technical columns."""
    return arrow_schema(raw_columns(contract))
