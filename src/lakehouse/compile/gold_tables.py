"""The table of a gold model: its column types are the casts of its final SELECT."""

from __future__ import annotations

from typing import cast

from sqlglot import exp

from lakehouse.compile.ddl import literal
from lakehouse.compile.refs import parse
from lakehouse.contract import GoldModel
from lakehouse.errors import ContractError

#: What sqlglot calls types, as Postgres' catalog calls them.
_TYPES = {"INT": "integer", "DOUBLE": "double precision", "TIMESTAMPTZ": "timestamp with time zone"}


def gold_columns(model: GoldModel) -> dict[str, str]:
    """Column → Postgres type, in order.

    Raises:
        ContractError: the final SELECT does not cast every column, or its columns are not the header's.
    """
    select = parse(model.sql)
    columns = {}
    for projection in cast(exp.Query, select).selects:
        if not isinstance(projection, exp.Alias) or not isinstance(projection.this, exp.Cast):
            raise ContractError(
                f"sql/gold/{model.table}.sql: {projection.sql('postgres')} has no type.",
                "Write cast(… as type) as name for every column of the final SELECT.",
            )
        columns[projection.alias] = _sql_type(projection.this.to)
    if list(columns) != list(model.columns):
        differing = sorted(set(columns) ^ set(model.columns)) or "their order"
        raise ContractError(
            f"sql/gold/{model.table}.sql: header and SELECT differ in {differing}.",
            "Describe exactly the columns of the final SELECT, in its order.",
        )
    return columns


def _sql_type(data_type: exp.DataType) -> str:
    if data_type.this == exp.DataType.Type.DECIMAL and data_type.expressions:
        return f"numeric({','.join(e.name for e in data_type.expressions)})"
    name = str(data_type.this.value)
    return _TYPES.get(name, name.lower())


def gold_ddl(model: GoldModel) -> str:
    """DDL of ``gold.<table>``, safe to repeat; columns that are new are added."""
    table, columns = f"gold.{model.table}", gold_columns(model)
    lines = [f"    {name} {sql_type}" for name, sql_type in columns.items()]
    lines += ["    _publish_id bigint not null", f"    primary key ({', '.join(model.key)})"]
    statements = [f"create table if not exists {table} (\n" + ",\n".join(lines) + "\n);"]
    statements += [
        f"alter table {table} add column if not exists {name} {sql_type};"
        for name, sql_type in columns.items()
    ]
    statements.append(
        f"create index if not exists {model.table}__publish_id_idx on {table} using brin (_publish_id);"
    )
    if model.scope and model.scope != model.key[0]:
        statements.append(
            f"create index if not exists {model.table}_{model.scope}_idx on {table} ({model.scope});"
        )
    statements.append(f"comment on table {table} is {literal(f'{model.description} Grain: {model.grain}.')};")
    statements += [
        f"comment on column {table}.{name} is {literal(text.strip())};"
        for name, text in model.columns.items()
    ]
    return "\n".join(statements) + "\n"
