"""The warehouse: its schemas and tables, COPY in and out. Postgres only; the lake is next door."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from typing import IO, TYPE_CHECKING, Any, cast

from sqlalchemy import Connection, text

from lakehouse.compile.gold_tables import gold_columns, gold_ddl
from lakehouse.contract import Project
from lakehouse.errors import ContractError
from lakehouse.home.homes import Homes

if TYPE_CHECKING:
    from psycopg2.extensions import connection as PsycopgConnection

ANALYST_ROLE = "lakehouse_analyst"
#: Serialises changes of tables and publishes; any number will do, as long as everybody takes the same.
_LOCK = 5_106_201_807


def run_script(conn: Connection, sql: str) -> None:
    """Run SQL text as it is, several statements or one; ``%`` and ``:name`` mean nothing in it."""
    with cursor(conn) as cur:
        cur.execute(sql)


@contextmanager
def cursor(conn: Connection) -> Iterator[Any]:
    """psycopg2's cursor of a SQLAlchemy connection, for COPY and scripts, in the same transaction."""
    conn.execute(text("select 1"))  # makes SQLAlchemy begin its transaction
    raw = cast("PsycopgConnection", conn.connection.dbapi_connection)
    with raw.cursor() as cur:
        yield cur


def lock(conn: Connection) -> None:
    """Wait for the warehouse's one lock; it is released by COMMIT or ROLLBACK."""
    conn.execute(text("select pg_advisory_xact_lock(:k)"), {"k": _LOCK})


def copy_in(conn: Connection, relation: str, columns: list[str], source: IO[bytes]) -> int:
    """COPY CSV (every value quoted, null unquoted and empty) into a relation; returns the rows."""
    names = ", ".join(columns)
    with cursor(conn) as cur:
        cur.copy_expert(f"copy {relation} ({names}) from stdin (format csv)", source, 1 << 20)
        return int(cur.rowcount)


def copy_out(conn: Connection, query: str, sink: IO[bytes]) -> int:
    """COPY a query's rows out as CSV (every value quoted, null unquoted and empty); returns the rows."""
    with cursor(conn) as cur:
        cur.copy_expert(f"copy ({query}) to stdout (format csv, force_quote *)", sink, 1 << 20)
        return int(cur.rowcount)


def column_types(conn: Connection, relation: str) -> dict[str, str]:
    """Column → type of a relation, in order; empty when it does not exist."""
    rows = conn.execute(
        text(
            "select attname, format_type(atttypid, atttypmod) from pg_attribute "
            "where attrelid = to_regclass(:r) and attnum > 0 and not attisdropped order by attnum"
        ),
        {"r": relation},
    )
    return {name: sql_type.replace(" without time zone", "") for name, sql_type in rows}


def fingerprint(project: Project) -> str:
    """Changes whenever the warehouse's tables might have to."""
    digest = hashlib.sha256()
    for folder in ("sql/ops", "sql/raw", "sql/ods"):
        for path in sorted((project.root / folder).glob("*.sql")):
            digest.update(path.name.encode() + path.read_bytes())
    for contract in project.contracts.values():
        digest.update(repr(contract).encode())
    for path in sorted((project.root / "sql/gold").glob("*.sql")):
        digest.update(path.name.encode() + path.read_bytes())
    return digest.hexdigest()


def prepare(homes: Homes, project: Project) -> bool:
    """Create or evolve schemas, ledger, RAW and ODS, masked views, grants, bucket and Iceberg tables.

    Does nothing when the contracts and the SQL are those it was last called with. Returns whether it did.

    Raises:
        ContractError: a column's type in the warehouse is not the contract's any more.
    """
    from lakehouse.home import lake

    wanted = fingerprint(project)
    with homes.engine.connect() as conn:
        if _remembered(conn) == wanted:
            return False
    homes.ensure_bucket()
    with homes.engine.begin() as conn:
        lock(conn)
        if _remembered(conn) == wanted:
            return False
        for folder in ("sql/ops", "sql/raw", "sql/ods"):
            for path in sorted((project.root / folder).glob("*.sql")):
                if ".conform." not in path.name:
                    run_script(conn, path.read_text(encoding="utf-8"))
        for model in project.gold.values():
            run_script(conn, gold_ddl(model))
        _check_types(conn, project)
        _mask_and_grant(conn, project)
        lake.prepare(homes, conn, project)
        conn.execute(
            text(
                "insert into ops.setting values ('fingerprint', :f) "
                "on conflict (name) do update set value = excluded.value"
            ),
            {"f": wanted},
        )
    return True


def _remembered(conn: Connection) -> str | None:
    if conn.execute(text("select to_regclass('ops.setting')")).scalar() is None:
        return None
    return conn.execute(text("select value from ops.setting where name = 'fingerprint'")).scalar()


def _check_types(conn: Connection, project: Project) -> None:
    for contract in project.contracts.values():
        actual = column_types(conn, f"ods.{contract.table}")
        for column in contract.columns:
            if actual[column.name] != column.type.sql:
                raise ContractError(
                    f"ods.{contract.table}.{column.name} is {actual[column.name]}, "
                    f"its contract says {column.type.sql}.",
                    "Changing a type needs a migration: alter the table by hand, then run again.",
                )
    for model in project.gold.values():
        wanted = gold_columns(model) | {"_publish_id": "bigint"}
        actual = column_types(conn, f"gold.{model.table}")
        differing = sorted(n for n in wanted.keys() | actual.keys() if wanted.get(n) != actual.get(n))
        if differing:
            raise ContractError(
                f"gold.{model.table} does not fit its model any more: {', '.join(differing)}.",
                f"Drop gold.{model.table} in both homes; the next run computes it again.",
            )


def _mask_and_grant(conn: Connection, project: Project) -> None:
    """The analyst reads ods, gold and the ledger's views; personal columns only masked."""
    if not _has_role(conn):
        return
    run_script(
        conn,
        f"grant usage on schema ods, gold, ops, masked to {ANALYST_ROLE};"
        f"grant select on ops.batch, ops.publish, ops.last_publish, ops.quality_result to {ANALYST_ROLE};",
    )
    for contract in project.contracts.values():
        columns = {c.name: c.pii == "personal" for c in contract.columns}
        for name in column_types(conn, f"ods.{contract.table}"):
            columns.setdefault(name, False)
        _share_with_analyst(conn, "ods", contract.table, columns)
    for model in project.gold.values():
        columns = {name: model.pii.get(name) == "personal" for name in (*model.columns, "_publish_id")}
        _share_with_analyst(conn, "gold", model.table, columns)


def _share_with_analyst(conn: Connection, schema: str, table: str, columns: dict[str, bool]) -> None:
    """Let the analyst read a table; columns marked True (personal) only through ``masked.<table>``."""
    open_columns = ", ".join(name for name, personal in columns.items() if not personal)
    sql = (
        f"revoke all on {schema}.{table} from {ANALYST_ROLE};"
        f"grant select ({open_columns}) on {schema}.{table} to {ANALYST_ROLE};"
    )
    if any(columns.values()):
        masked = ", ".join(
            f"case when {name} is not null then '***' end as {name}" if personal else name
            for name, personal in columns.items()
        )
        sql += (
            f"drop view if exists masked.{table};"
            f"create view masked.{table} as select {masked} from {schema}.{table};"
            f"grant select on masked.{table} to {ANALYST_ROLE};"
        )
    else:
        sql += f"grant select on {schema}.{table} to {ANALYST_ROLE};"
    run_script(conn, sql)


def _has_role(conn: Connection) -> bool:
    return bool(conn.execute(text("select 1 from pg_roles where rolname = :r"), {"r": ANALYST_ROLE}).scalar())
