"""The warehouse: its schemas and tables, COPY in and out. Postgres only; the lake is next door."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from psycopg2.errors import LockNotAvailable
from sqlalchemy import Connection, Engine, text

from lakehouse.compile.ddl import TableDdl, gold_ddl, literal, ods_ddl, raw_ddl
from lakehouse.compile.policies import open_tables
from lakehouse.contract import Project
from lakehouse.errors import ContractError, LakehouseError
from lakehouse.home import masked
from lakehouse.home.homes import CATALOG_NAME, Homes, not_free

if TYPE_CHECKING:
    from psycopg2.extensions import connection as PsycopgConnection

ANALYST_ROLE = "lakehouse_analyst"
MONITOR_ROLE = "lakehouse_monitor"
#: How long anybody waits for a lock.
_PATIENCE_S = 60
#: Of a database that is being restored, before the backup's id.
_RESTORING = "lakehouse: being restored from "


def run_script(conn: Connection, sql: str) -> None:
    """Run SQL text as it is, several statements or one; ``%`` and ``:name`` mean nothing in it."""
    with cursor(conn) as cur:
        cur.execute(sql)


@contextmanager
def cursor(conn: Connection) -> Iterator[Any]:
    """psycopg2's cursor of a SQLAlchemy connection, for COPY and scripts, in the same transaction."""
    if not conn.in_transaction():
        conn.begin()
    raw = cast("PsycopgConnection", conn.connection.dbapi_connection)
    with raw.cursor() as cur:
        try:
            yield cur
        except LockNotAvailable as error:
            raise not_free() from error


def lock(conn: Connection, *names: str) -> None:
    """Wait for the warehouse's lock on something (a source's layer, its tables); COMMIT or ROLLBACK releases it.

    Raises:
        LakehouseError: it was not free within a minute; says who holds it.
    """
    name = ".".join(("lakehouse", *names))
    waiting = (
        f"set local lock_timeout = '{_PATIENCE_S}s'; select pg_advisory_xact_lock(hashtextextended(:n, 0))"
    )
    try:
        conn.execute(text(waiting), {"n": name})
    except LakehouseError as error:
        raise LakehouseError(
            f"{' '.join(names)} has been locked by another session for more than {_PATIENCE_S} s.",
            "Wait for the other run's end; `select * from pg_stat_activity` shows what it does.",
        ) from error


@contextmanager
def holding(engine: Engine, *names: str) -> Iterator[bool]:
    """Hold the warehouse's lock on something for as long as it takes, over many transactions; False: it is taken.

    A process that dies holds nothing.
    """
    name = {"n": ".".join(("lakehouse", *names))}
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as conn:
        got = conn.execute(text("select pg_try_advisory_lock(hashtextextended(:n, 0))"), name).scalar_one()
        try:
            yield bool(got)
        finally:
            if got:
                conn.execute(text("select pg_advisory_unlock(hashtextextended(:n, 0))"), name)


def is_held(conn: Connection, *names: str) -> bool:
    """Whether somebody is :func:`holding` this; if not, nobody will before the transaction ends."""
    taken = text("select pg_try_advisory_xact_lock_shared(hashtextextended(:n, 0))")
    return not conn.execute(taken, {"n": ".".join(("lakehouse", *names))}).scalar_one()


def tidy(homes: Homes, relations: Iterable[str]) -> None:
    """Let Postgres forget rows that are gone, and what its planner knew of their values."""
    with homes.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as conn:
        for relation in relations:
            conn.exec_driver_sql(f"vacuum (analyze) {relation}")


def take_over(conn: Connection, *names: str) -> None:
    """Take the warehouse's lock on something, and end the session that has it: its work is undone, in nobody's way.

    For the task that was given up on but goes on, or whose machine stands still: its connection may be open for
    hours.
    """
    conn.execute(
        text(
            "select pg_terminate_backend(l.pid, 10000) from pg_locks as l inner join pg_stat_activity as a using (pid) "
            "cross join (select hashtextextended(:n, 0) as key) as k where l.locktype = 'advisory' and l.granted "
            "and a.datname = current_database() and a.usename = current_user and l.pid <> pg_backend_pid() "
            "and l.objsubid = 1 and l.classid::bigint = (k.key >> 32) & 4294967295 "
            "and l.objid::bigint = k.key & 4294967295"
        ),
        {"n": ".".join(("lakehouse", *names))},
    )
    lock(conn, *names)


def drop(conn: Connection, relations: Iterable[str]) -> None:
    """Drop relations that nobody uses."""
    for relation in relations:
        run_script(conn, f"drop table if exists {relation}")


def settle_rows(homes: Homes, relation: str) -> None:
    """Read a committed relation once: its first reader notes on every page that the rows are there.

    That reader is better not a publish, which holds a lock.
    """
    with homes.engine.connect() as conn:
        if conn.execute(text("select to_regclass(:r)"), {"r": relation}).scalar() is not None:
            conn.exec_driver_sql(f"select count(*) from {relation}")


def column_types(conn: Connection, relation: str) -> dict[str, str]:
    """Column → type of a relation, in order; empty when it does not exist."""
    rows = conn.execute(
        text(
            "select attname, format_type(atttypid, atttypmod) from pg_attribute "
            "where attrelid = to_regclass(:r) and attnum > 0 and not attisdropped order by attnum"
        ),
        {"r": relation},
    )
    short = {"timestamp without time zone": "timestamp", "timestamp with time zone": "timestamptz"}
    return {name: short.get(sql_type, sql_type) for name, sql_type in rows}


def fingerprint(project: Project) -> str:
    """Changes whenever the warehouse's tables might have to."""
    digest = hashlib.sha256()
    for path in _scripts(project):
        digest.update(path.name.encode() + path.read_bytes())
    for ddl in _tables(project):
        digest.update(ddl.text.encode())
    for table in (*project.silver.values(), *project.gold.values()):
        digest.update(f"{table.table} {sorted(table.personal)}".encode())
    return digest.hexdigest()


def _scripts(project: Project) -> list[Path]:
    return sorted((project.root / "sql/ops").glob("*.sql"))


def _tables(project: Project) -> list[TableDdl]:
    landed = [raw_ddl(c) for c in project.contracts.values()] + [ods_ddl(t) for t in project.silver.values()]
    return landed + [gold_ddl(m) for m in project.gold.values()]


def prepare(homes: Homes, project: Project) -> bool:
    """Create or evolve schemas, ledger, tables, masked views, grants, bucket and Iceberg tables.

    Does nothing when the contracts and the SQL are those it was last called with. Otherwise it looks into the
    catalog first: what is there is not touched, so that no reader waits where nothing is to be created. Returns
    whether there was anything to look at.

    Raises:
        ContractError: a column's type in the warehouse is not the contract's any more.
        LakehouseError: a lock was not free within a minute, or a backup is being restored.
    """
    from lakehouse.home import lake

    wanted = fingerprint(project)
    with homes.engine.connect() as conn:
        _refuse_half_restored(conn)
        if _remembered(conn, "fingerprint") == wanted:
            return False
    homes.ensure_bucket()
    with homes.engine.begin() as conn:
        lock(conn, "tables")
        if _remembered(conn, "fingerprint") == wanted:
            return False
        _refuse_older(conn)
        scripts = "".join(path.read_text(encoding="utf-8") for path in _scripts(project))
        if _remembered(conn, "ops") != _digest(scripts):
            run_script(conn, scripts)
            _remember(conn, "ops", _digest(scripts))
        for ddl in _tables(project):
            _create_or_evolve(conn, ddl)
        _name_masked(conn, project)
        _mask_and_grant(conn, project)
        _show_figures(conn)
    # The lake's objects are recorded in the ledger before they are written, so it must be there by now.
    with homes.engine.begin() as conn:
        lock(conn, "tables")
        lake.prepare(homes, conn, project)
        _show_lake(conn, project)
        _remember(conn, "fingerprint", wanted)
    return True


def take_sample(conn: Connection) -> None:
    """Write down sizes and readers of this moment for monitoring, where nobody has in the last five minutes."""
    conn.execute(text("select ops.take_sample()"))


def is_prepared(conn: Connection) -> bool:
    """Whether the ledger is there, whatever the state of everything else."""
    return conn.execute(text("select to_regclass('ops.open_partition')")).scalar() is not None


def being_restored(conn: Connection) -> str | None:
    """The backup that is being restored into this database; None when it is all there, or none is."""
    told = "select shobj_description(oid, 'pg_database') from pg_database where datname = current_database()"
    comment = str(conn.execute(text(told)).scalar() or "")
    return comment.removeprefix(_RESTORING) if comment.startswith(_RESTORING) else None


def begin_restore(conn: Connection, backup_id: str) -> None:
    """Let the database say of itself that it is being restored; until :func:`restored` nobody can prepare it."""
    _comment(conn, literal(_RESTORING + backup_id))


def restored(conn: Connection) -> None:
    """The database is all there."""
    _comment(conn, "null")


def _comment(conn: Connection, value: str) -> None:
    name = conn.execute(text("select quote_ident(current_database())")).scalar_one()
    run_script(conn, f"comment on database {name} is {value}")


def _refuse_half_restored(conn: Connection) -> None:
    if backup := being_restored(conn):
        raise LakehouseError(
            f"This warehouse is being restored from the backup {backup}; that has not finished.",
            "Run `lakehouse restore` again: it continues.",
        )


def _refuse_older(conn: Connection) -> None:
    """A ledger of another shape cannot be evolved: what it would have to tell was not written down then.

    Raises:
        LakehouseError: the warehouse was made by an older version.
    """
    if column_types(conn, "ops.publish") and "role" not in column_types(conn, "ops.pinned_batch"):
        raise LakehouseError(
            "This warehouse was made by an older version, whose ledger has another shape.",
            "Start afresh: `make clean`, then land the files again and run them.",
        )


def _digest(script: str) -> str:
    return hashlib.sha256(script.encode()).hexdigest()


def _remembered(conn: Connection, name: str) -> str | None:
    if conn.execute(text("select to_regclass('ops.setting')")).scalar() is None:
        return None
    return conn.execute(text("select value from ops.setting where name = :n"), {"n": name}).scalar()


def _remember(conn: Connection, name: str, value: str) -> None:
    conn.execute(
        text(
            "insert into ops.setting values (:n, :v) on conflict (name) do update set value = excluded.value"
        ),
        {"n": name, "v": value},
    )


def _create_or_evolve(conn: Connection, ddl: TableDdl) -> None:
    """Create the table, or what it lacks of columns and indexes.

    Raises:
        ContractError: a column has another type than its contract says.
    """
    actual = column_types(conn, ddl.relation)
    if not actual:
        run_script(conn, ddl.text)
        return
    differing = sorted(n for n, kind in actual.items() if ddl.columns.get(n, kind) != kind)
    if differing:
        name = differing[0]
        raise ContractError(
            f"{ddl.relation}.{name} is {actual[name]}, its contract says {ddl.columns[name]}.",
            "Changing a type needs a migration: alter the table by hand in both homes, or drop a gold table in "
            "both, and run again.",
        )
    new = {n: kind for n, kind in ddl.columns.items() if n not in actual}
    if new:
        added = ", ".join(f"add column {name} {kind}" for name, kind in new.items())
        run_script(conn, f"alter table {ddl.relation} {added}")
    for name, statement in ddl.indexes.items():
        if conn.execute(text("select to_regclass(:n)"), {"n": f"{ddl.schema}.{name}"}).scalar() is None:
            run_script(conn, statement)
    run_script(conn, "".join(ddl.comments))


def _name_masked(conn: Connection, project: Project) -> None:
    """Tell the ledger's views which columns of landed rows nobody may read there."""
    personal = [
        (c.table, x.raw_name) for c in project.contracts.values() for x in c.columns if x.pii == "personal"
    ]
    conn.execute(text("delete from ops.masked_column"))
    conn.execute(
        text("insert into ops.masked_column select * from unnest(cast(:t as text[]), cast(:c as text[]))"),
        {"t": [table for table, _ in personal], "c": [column for _, column in personal]},
    )


def _mask_and_grant(conn: Connection, project: Project) -> None:
    """The analyst reads ods, gold and the ledger's views; personal columns only masked."""
    if not _has_role(conn):
        return
    run_script(
        conn,
        f"grant usage on schema ods, gold, ops, masked to {ANALYST_ROLE};"
        "grant select on ops.batch, ops.run, ops.publish, ops.accounted, ops.last_publish, ops.open_partition, "
        f"ops.quality_result, ops.refused to {ANALYST_ROLE};"
        f"grant execute on function ops.column_statistics() to {ANALYST_ROLE};",
    )
    tables = [(ods_ddl(t), t.personal) for t in project.silver.values()]
    tables += [(gold_ddl(m), m.personal) for m in project.gold.values()]
    for ddl, personal in tables:
        # A column that the contract has given up is still there, and open.
        names = [*column_types(conn, ddl.relation)]
        _share_with_analyst(conn, ddl.schema, ddl.table, {name: name in personal for name in names})


def _show_figures(conn: Connection) -> None:
    """Monitoring and the analyst read what the system says of itself in figures; monitoring reads nothing else."""
    views = conn.execute(
        text(
            "select string_agg('ops.' || viewname, ', ') from pg_views "
            "where schemaname = 'ops' and starts_with(viewname, 'metric_')"
        )
    ).scalar_one()
    if _has_role(conn, ANALYST_ROLE):
        run_script(conn, f"grant select on {views}, ops.measurement to {ANALYST_ROLE};")
    if _has_role(conn, MONITOR_ROLE):
        run_script(
            conn,
            f"grant usage on schema ops to {MONITOR_ROLE};"
            f"grant select on {views}, ops.measurement to {MONITOR_ROLE};"
            f"grant execute on function ops.take_sample() to {MONITOR_ROLE};",
        )


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
        query = f"select {masked} from {schema}.{table}"
        present = text("select obj_description(to_regclass(:v), 'pg_class')")
        if conn.execute(present, {"v": f"masked.{table}"}).scalar() != _digest(query):
            sql += (
                f"drop view if exists masked.{table};create view masked.{table} as {query};"
                f"comment on view masked.{table} is '{_digest(query)}';"
                f"grant select on masked.{table} to {ANALYST_ROLE};"
            )
    else:
        sql += f"grant select on {schema}.{table} to {ANALYST_ROLE};"
    run_script(conn, sql)


def _show_lake(conn: Connection, project: Project) -> None:
    """The lake's catalog for analysts: masked tables, and those without personal columns."""
    shown = ", ".join(literal(name) for name in open_tables(project))
    copies = ", ".join(literal(f"{masked.NAMESPACE}.{table}") for table in masked.personal_tables(project))
    named = ", ".join(part for part in (shown, copies) if part)
    catalog, namespaces = literal(CATALOG_NAME), f"'silver', 'gold', {literal(masked.NAMESPACE)}"
    run_script(
        conn,
        "drop view if exists lake.iceberg_tables, lake.iceberg_namespace_properties;"
        "create view lake.iceberg_tables as select * from public.iceberg_tables "
        f"where catalog_name = {catalog} and table_namespace || '.' || table_name in ({named or 'null'});"
        "create view lake.iceberg_namespace_properties as select * from public.iceberg_namespace_properties "
        f"where catalog_name = {catalog} and namespace in ({namespaces});",
    )
    if _has_role(conn):
        run_script(
            conn,
            f"grant usage on schema lake to {ANALYST_ROLE};"
            f"grant select on lake.iceberg_tables, lake.iceberg_namespace_properties to {ANALYST_ROLE};",
        )


def _has_role(conn: Connection, role: str = ANALYST_ROLE) -> bool:
    return bool(conn.execute(text("select 1 from pg_roles where rolname = :r"), {"r": role}).scalar())
