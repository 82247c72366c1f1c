"""How many rows the warehouse's tables hold."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from lakehouse.contract.model import SCHEMAS

if TYPE_CHECKING:
    from sqlalchemy import Connection, Engine

#: Warehouse schema → layer, in the order people read them.
LAYER_OF_SCHEMA = {schema: layer for layer, schema in SCHEMAS.items()}
#: A count that takes longer is replaced by the planner's estimate.
_PATIENCE_MS = 3000

_TABLES = """
SELECT n.nspname, c.relname, greatest(c.reltuples, 0)::bigint
FROM pg_class AS c JOIN pg_namespace AS n ON n.oid = c.relnamespace
WHERE n.nspname IN ('raw', 'ods', 'gold') AND c.relkind IN ('r', 'p') AND NOT c.relispartition
ORDER BY n.nspname, c.relname
"""


@dataclass(frozen=True)
class TableRows:
    """Rows of one table; ``exact`` is false for an estimate."""

    layer: str
    schema: str
    table: str
    rows: int
    exact: bool


def table_rows(engine: Engine) -> list[TableRows]:
    """Rows of every table of raw, ods and gold, by layer and name."""
    from sqlalchemy import text

    with engine.connect() as connection:
        tables = connection.execute(text(_TABLES)).all()
        connection.execute(text(f"SET statement_timeout = {_PATIENCE_MS}"))
        found = [_count(connection, schema, table, estimate) for schema, table, estimate in tables]
        connection.rollback()
    layers = list(LAYER_OF_SCHEMA.values())
    return sorted(found, key=lambda entry: (layers.index(entry.layer), entry.table))


def _count(connection: Connection, schema: str, table: str, estimate: int) -> TableRows:
    from sqlalchemy import text
    from sqlalchemy.exc import OperationalError

    layer = LAYER_OF_SCHEMA[schema]
    try:
        with connection.begin_nested():
            # The names come from the catalog and are quoted.
            rows = connection.execute(text(f'SELECT count(*) FROM "{schema}"."{table}"')).scalar_one()  # noqa: S608
        return TableRows(layer, schema, table, rows, exact=True)
    except OperationalError:  # the statement took too long
        return TableRows(layer, schema, table, estimate, exact=False)
