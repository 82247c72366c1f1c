"""DDL of RAW and ODS, compiled from a contract. Every statement is safe to repeat."""

from __future__ import annotations

from lakehouse.contract import Contract
from lakehouse.contract.model import PARTITION_COLUMN

_BANNER = "-- Compiled from contracts/{source}/{name}.yaml by `make generate`. Do not edit.\n"
_RAW_TECHNICAL = {
    "_batch_id": "uuid",
    "_source_key": "text",
    "_source_hash": "text",
    "_source_line": "bigint",
    "_ingested_at": "timestamptz",
}
ODS_TECHNICAL = {"_batch_id": "uuid", "_source_line": "bigint", "_publish_id": "bigint"}


def banner(contract: Contract) -> str:
    """The first line of every compiled file."""
    return _BANNER.format(source=contract.source, name=contract.name)


def literal(value: object) -> str:
    """A SQL literal: numbers and booleans as they are, everything else as a string."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, (int, float)):
        return str(value)
    return "'" + str(value).replace("'", "''") + "'"


def raw_columns(contract: Contract) -> dict[str, str]:
    """RAW: column → type, without constraints. Text as landed, then the technical columns."""
    return {c.raw_name: "text" for c in contract.columns} | _RAW_TECHNICAL


def ods_columns(contract: Contract) -> dict[str, str]:
    """ODS: column → type, without constraints. Event tables carry the delivery's date."""
    columns = {c.name: c.type.sql for c in contract.columns} | ODS_TECHNICAL
    return columns | ({PARTITION_COLUMN: "date"} if contract.partition_column else {})


def raw_ddl(contract: Contract) -> str:
    """RAW, partitioned by batch: a batch is attached or dropped in milliseconds.

    Source columns may be null only because a contract can gain a column after a batch has landed.
    """
    table = f"raw.{contract.table}"
    body = ",\n".join(
        f"    {name} {sql_type}{' not null' if name in _RAW_TECHNICAL else ''}"
        for name, sql_type in raw_columns(contract).items()
    )
    evolve = "".join(
        f"alter table {table} add column if not exists {c.raw_name} text;\n" for c in contract.columns
    )
    return (
        f"{banner(contract)}create table if not exists {table} (\n{body}\n) partition by list (_batch_id);\n"
        f"{evolve}"
        f"comment on table {table} is {literal(contract.description + ' As landed, all text.')};\n"
    )


def ods_ddl(contract: Contract) -> str:
    """ODS: typed, keyed, one row per key. Event tables are partitioned by the delivery's date."""
    table = f"ods.{contract.table}"
    required = {c.name for c in contract.columns if c.required} | {*ODS_TECHNICAL, PARTITION_COLUMN}
    lines = [
        f"    {name} {sql_type}{' not null' if name in required else ''}"
        for name, sql_type in ods_columns(contract).items()
    ]
    lines.append(f"    primary key ({', '.join(contract.stored_key)})")
    partitioned = f" partition by list ({PARTITION_COLUMN})" if contract.partition_column else ""
    statements = [f"create table if not exists {table} (\n" + ",\n".join(lines) + f"\n){partitioned};"]
    statements += [
        f"alter table {table} add column if not exists {c.name} {c.type.sql};" for c in contract.columns
    ]
    # Rows of a publish lie together, so a block range index finds them and costs the load nothing.
    statements.append(
        f"create index if not exists {contract.table}__publish_id_idx on {table} using brin (_publish_id);"
    )
    statements += [
        f"create index if not exists {contract.table}_{c.name}_idx on {table} ({c.name});"
        for c in contract.columns
        if c.indexed
    ]
    statements.append(f"comment on table {table} is {literal(f'{contract.description} {contract.grain}')};")
    statements += [
        f"comment on column {table}.{c.name} is {literal(c.description)};" for c in contract.columns
    ]
    return banner(contract) + "\n".join(statements) + "\n"
