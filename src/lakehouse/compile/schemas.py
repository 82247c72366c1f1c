"""Arrow schemas of the lake's tables: the same columns as the warehouse's, in the lake's types."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping

import pyarrow as pa

from lakehouse.compile.ddl import TECHNICAL, gold_columns, ods_columns, raw_columns, required_columns
from lakehouse.contract import Contract, GoldModel, Project, TableContract
from lakehouse.contract.model import History
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
    "timestamptz": pa.timestamp("us", tz="UTC"),
    "date": pa.date32(),
    "boolean": pa.bool_(),
}


def arrow_type(sql_type: str) -> pa.DataType:
    """The Arrow type of a type in the contracts' words.

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


def arrow_schema(
    columns: Mapping[str, str],
    required: Collection[str] = frozenset(),
    meanings: Mapping[str, str] | None = None,
) -> pa.Schema:
    """The schema of a table given as column → type.

    Iceberg takes over which columns are always given, and their meanings as docs.
    """
    docs = meanings or {}
    return pa.schema(
        [
            pa.field(
                name,
                arrow_type(sql_type),
                nullable=name not in required,
                metadata={"doc": docs[name]} if name in docs else None,
            )
            for name, sql_type in columns.items()
        ]
    )


def bronze_schema(contract: Contract) -> pa.Schema:
    """Bronze: text as landed, then the technical columns, which alone are always given."""
    columns = raw_columns(contract)
    meanings = {c.raw_name: c.description for c in contract.columns} | TECHNICAL
    return arrow_schema(columns, columns.keys() & TECHNICAL.keys(), meanings)


def silver_schema(table: Contract | History) -> pa.Schema:
    """Silver: the contract's columns, then the technical ones."""
    return _schema(table, ods_columns(table))


def gold_schema(model: GoldModel) -> pa.Schema:
    """Gold: the contract's columns, then the publish."""
    return _schema(model, gold_columns(model))


def _schema(table: TableContract, columns: dict[str, str]) -> pa.Schema:
    meanings = {c.name: c.description for c in table.columns} | TECHNICAL
    return arrow_schema(columns, required_columns(table, columns), meanings)


def table_schemas(project: Project) -> dict[str, pa.Schema]:
    """Every table of the lake: ``<layer>.<table>`` → schema."""
    schemas = {}
    for contract in project.contracts.values():
        schemas[f"bronze.{contract.table}"] = bronze_schema(contract)
    for table in project.silver.values():
        schemas[f"silver.{table.table}"] = silver_schema(table)
    return schemas | {f"gold.{m.table}": gold_schema(m) for m in project.gold.values()}
