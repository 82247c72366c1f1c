"""The login roles of Postgres, each trying what it must not do."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from typing import Any

import psycopg2
import pytest
from psycopg2.errors import InsufficientPrivilege
from psycopg2.extensions import connection as Connection

from lakehouse.home import warehouse
from lakehouse.stack import postgres, roles
from lakehouse.stack.postgres import PostgresServer

from ..support.lakehouse import Lakehouse

pytestmark = pytest.mark.servers

#: Each of them writes, or lets others write.
_CHANGES = ("INSERT", "UPDATE", "DELETE", "TRUNCATE", "REFERENCES", "TRIGGER", "MAINTAIN")
_OPEN_IN_OPS = {
    "accounted", "batch", "last_publish", "open_partition", "publish", "quality_result", "refused", "run"
}  # fmt: skip
#: Figures about the system: for monitoring and the analyst.
_FIGURES = {
    "measurement", "metric_delivery", "metric_growth", "metric_open", "metric_rows", "metric_rows_daily", "metric_rule",
    "metric_run", "metric_session", "metric_size", "metric_step", "metric_table", "metric_workload",
}  # fmt: skip


@contextmanager
def session(dsn: str) -> Iterator[Connection]:
    connection = psycopg2.connect(dsn)
    connection.autocommit = True
    with closing(connection):
        yield connection


def ask(connection: Connection, sql: str) -> list[tuple[Any, ...]]:
    with connection.cursor() as cursor:
        cursor.execute(sql)
        return cursor.fetchall() if cursor.description else []


@pytest.fixture
def analyst(loaded: Lakehouse) -> Iterator[Connection]:
    with session(loaded.analyst_dsn) as connection:
        yield connection


@pytest.fixture
def superuser(pg_server: PostgresServer) -> Iterator[Connection]:
    with session(pg_server.superuser_dsn) as connection:
        yield connection
        postgres.create_roles(pg_server)


@pytest.fixture
def guard(pg_server: PostgresServer) -> Iterator[Connection]:
    with session(pg_server.dsn(roles.GUARD, "postgres")) as connection:
        yield connection


def wait_until_gone(connection: Connection) -> None:
    """Until the server has ended a session."""
    with pytest.raises(psycopg2.Error, match=r"terminat|closed"):
        for _ in range(100):
            ask(connection, "select 1")
            time.sleep(0.05)


@pytest.mark.parametrize(
    "take",
    [
        "select pg_advisory_lock(hashtextextended('lakehouse.olist.silver', 0))",
        "select pg_advisory_xact_lock(hashtextextended('lakehouse.olist.silver', 0))",
        "select pg_try_advisory_lock_shared(1)",
        "select pg_try_advisory_xact_lock(1, 2)",
        "select pg_advisory_unlock_all()",
        "select lo_create(0)",
        "select lo_from_bytea(0, 'x')",
        "select pg_logical_emit_message(false, 'x', 'y')",
        "select pg_notify('x', 'y')",
        "create temporary table mine (x int)",
        "create schema mine",
        "create role mine",
        "alter role lakehouse_loader password 'x'",
        "alter role lakehouse_analyst valid until 'infinity'",
        "alter role lakehouse_analyst connection limit -1",
        "set temp_file_limit = -1",
        "alter role lakehouse_analyst set temp_file_limit = -1",
        "set session authorization lakehouse_loader",
        "set role postgres",
        "lock table ods.olist_orders in share mode",
        "select order_id from ods.olist_orders for update",
        "select pg_read_file('/etc/passwd')",
        "copy (select 1) to program 'true'",
        "select rolpassword from pg_authid",
        "select pg_terminate_backend(pid) from pg_stat_activity where usename = 'postgres'",
    ],
)
def test_the_analyst_is_refused(pg_server: PostgresServer, analyst: Connection, take: str) -> None:
    with session(pg_server.superuser_dsn), pytest.raises((InsufficientPrivilege, psycopg2.InternalError)):
        ask(analyst, take)


@pytest.mark.parametrize("role", [roles.LOADER, roles.ANALYST, roles.MONITOR, roles.AIRFLOW, roles.GUARD])
def test_nobody_connects_to_a_database_of_others(
    pg_server: PostgresServer, loaded: Lakehouse, role: str
) -> None:
    postgres.create_database(pg_server, "airflow", roles.AIRFLOW)
    own = {
        roles.LOADER: {"warehouse"},
        roles.ANALYST: {"warehouse"},
        roles.MONITOR: {"warehouse"},
        roles.AIRFLOW: {"airflow"},
        roles.GUARD: {"postgres"},
    }[role]
    warehouse_name = str(loaded.homes.engine.url.database)
    for database in ("postgres", "template1", "airflow", "warehouse"):
        dsn = pg_server.dsn(role, warehouse_name if database == "warehouse" else database)
        if database in own:
            psycopg2.connect(dsn).close()
        else:
            with pytest.raises(psycopg2.OperationalError, match="permission denied for database"):
                psycopg2.connect(dsn)


def test_no_login_role_is_anybodys_superior(superuser: Connection) -> None:
    ours = f"('{roles.LOADER}', '{roles.ANALYST}', '{roles.MONITOR}', '{roles.GUARD}', '{roles.AIRFLOW}')"
    assert ask(
        superuser,
        "select distinct rolsuper, rolcreaterole, rolcreatedb, rolreplication, rolbypassrls, rolcanlogin "
        f"from pg_roles where rolname in {ours}",
    ) == [(False, False, False, False, False, True)]
    assert ask(superuser, f"select 1 from pg_auth_members where member::regrole::text in {ours}") == []


def test_the_analyst_changes_nothing_in_any_schema_present_and_future(
    loaded: Lakehouse, analyst: Connection
) -> None:
    for schema in ("raw", "ods", "gold", "ops", "stage", "masked", "public"):
        loaded.execute(f"create table {schema}.of_tomorrow (x int)")
    found = ask(
        analyst,
        "select n.nspname, c.relname, "
        + ", ".join(f"has_table_privilege(c.oid, '{p}') or has_any_column_privilege(c.oid, '{p}')"
                    if p in ("INSERT", "UPDATE", "REFERENCES") else f"has_table_privilege(c.oid, '{p}')"
                    for p in _CHANGES)
        + ", has_any_column_privilege(c.oid, 'SELECT') and has_schema_privilege(n.oid, 'USAGE') "
        "from pg_class as c inner join pg_namespace as n on n.oid = c.relnamespace "
        "where c.relkind in ('r', 'p', 'v', 'm', 'f') "
        "and n.nspname not in ('pg_catalog', 'information_schema', 'pg_toast')",
    )  # fmt: skip
    assert len(found) > 80
    assert [(schema, table) for schema, table, *changes, _ in found if any(changes)] == []
    read = {(schema, table) for schema, table, *_, may_read in found if may_read}
    assert {schema for schema, _ in read} <= {"ods", "gold", "ops", "masked", "lake"}
    assert not {table for _, table in read if table == "of_tomorrow" or table.endswith("__data")}
    assert {table for schema, table in read if schema == "ops"} == _OPEN_IN_OPS | _FIGURES
    creating = ask(analyst, "select nspname from pg_namespace where has_schema_privilege(oid, 'CREATE')")
    assert creating == []


def test_monitoring_reads_figures_and_nothing_else_in_any_schema_present_and_future(
    pg_server: PostgresServer, loaded: Lakehouse
) -> None:
    for schema in ("raw", "ods", "gold", "ops", "stage", "masked", "public"):
        loaded.execute(f"create table {schema}.of_tomorrow (x int)")
    with session(pg_server.dsn(roles.MONITOR, str(loaded.homes.engine.url.database))) as monitor:
        found = ask(
            monitor,
            "select n.nspname, c.relname, "
            + " or ".join(
                f"has_table_privilege(c.oid, '{p}') or has_any_column_privilege(c.oid, '{p}')"
                if p in ("INSERT", "UPDATE", "REFERENCES")
                else f"has_table_privilege(c.oid, '{p}')"
                for p in _CHANGES
            )
            + ", has_any_column_privilege(c.oid, 'SELECT') and has_schema_privilege(n.oid, 'USAGE') "
            "from pg_class as c inner join pg_namespace as n on n.oid = c.relnamespace "
            "where c.relkind in ('r', 'p', 'v', 'm', 'f') "
            "and n.nspname not in ('pg_catalog', 'information_schema', 'pg_toast')",
        )
        assert [(schema, table) for schema, table, changes, _ in found if changes] == []
        assert {(s, t) for s, t, _, may_read in found if may_read} == {("ops", t) for t in _FIGURES}
        callable_ = ask(
            monitor,
            "select p.oid::regprocedure::text from pg_proc as p inner join pg_namespace as n on n.oid = p.pronamespace "
            "where n.nspname not in ('pg_catalog', 'information_schema') and has_schema_privilege(n.oid, 'USAGE') "
            "and has_function_privilege(p.oid, 'EXECUTE')",
        )
        assert callable_ == [("ops.take_sample()",)]
        for attempt in (
            "select * from ods.olist_orders",
            "select * from ops.run",
            "insert into ops.measurement values ('x', now(), 1)",
            "select pg_advisory_lock(1)",
            "create temporary table mine (x int)",
            "set temp_file_limit = -1",
        ):
            with pytest.raises(InsufficientPrivilege):
                ask(monitor, attempt)
        assert ask(monitor, "show statement_timeout") == [("30s",)]
        ask(monitor, "select ops.take_sample()")


def test_what_the_loader_makes_tomorrow_runs_for_nobody_else(loaded: Lakehouse, analyst: Connection) -> None:
    loaded.execute(
        "create function ods.peek() returns setof text language sql security definer "
        "as 'select city from ods.olist_customers'"
    )
    with pytest.raises(InsufficientPrivilege):
        ask(analyst, "select ods.peek()")


def test_a_publish_does_not_care_for_locks_of_the_same_name_elsewhere(
    pg_server: PostgresServer, loaded: Lakehouse
) -> None:
    """Locks are a database's own, and the analyst has no other database to go to."""
    with session(pg_server.superuser_dsn) as elsewhere:
        ask(elsewhere, "select pg_advisory_lock(hashtextextended('lakehouse.olist.silver', 0))")
        with loaded.homes.engine.begin() as conn:
            warehouse.lock(conn, "olist", "silver")


def test_an_analysts_session_has_limits_from_the_start(analyst: Connection) -> None:
    shown = {
        name: ask(analyst, f"show {name}")[0][0]
        for name in (
            "statement_timeout",
            "transaction_timeout",
            "lock_timeout",
            "idle_in_transaction_session_timeout",
            "idle_session_timeout",
            "temp_file_limit",
        )
    }
    assert shown == {
        "statement_timeout": "10min",
        "transaction_timeout": "15min",
        "lock_timeout": "10s",
        "idle_in_transaction_session_timeout": "2min",
        "idle_session_timeout": "2h",
        "temp_file_limit": "4GB",
    }


def test_a_role_that_changed_itself_is_restored_by_the_guard(
    pg_server: PostgresServer,
    loaded: Lakehouse,
    analyst: Connection,
    superuser: Connection,
    guard: Connection,
) -> None:
    """PostgreSQL cannot forbid it, so it does not last."""
    defined = ask(superuser, "select role, verifier, settings from guard.login order by role")
    ask(analyst, "alter role lakehouse_analyst password 'mine now'")
    ask(analyst, "alter role lakehouse_analyst set statement_timeout = 0")
    ask(
        analyst,
        f"alter role lakehouse_analyst in database {loaded.homes.engine.url.database} set work_mem = '9GB'",
    )
    with pytest.raises(psycopg2.OperationalError, match="password authentication failed"):
        psycopg2.connect(loaded.analyst_dsn)
    ask(guard, "select guard.enforce()")
    with session(loaded.analyst_dsn) as again:
        assert ask(again, "show statement_timeout") == [("10min",)]
        assert ask(again, "show work_mem") == ask(superuser, "show work_mem")
    assert ask(superuser, "select role, verifier, settings from guard.login order by role") == defined


def test_roles_are_restored_to_their_definition_by_a_start(
    pg_server: PostgresServer, loaded: Lakehouse, superuser: Connection
) -> None:
    for statement in (
        "alter role lakehouse_analyst superuser createdb createrole bypassrls connection limit -1 password 'x'",
        "grant lakehouse_loader to lakehouse_analyst",
        "grant pg_read_all_data to airflow",
        "alter role lakehouse_analyst set statement_timeout = 0",
        "grant connect on database postgres to public",
    ):
        ask(superuser, statement)
    postgres.create_roles(pg_server)
    test_no_login_role_is_anybodys_superior(superuser)
    with session(loaded.analyst_dsn) as analyst:
        assert ask(analyst, "show statement_timeout") == [("10min",)]
    with pytest.raises(psycopg2.OperationalError, match="permission denied for database"):
        psycopg2.connect(pg_server.dsn(roles.ANALYST, "postgres"))


@pytest.mark.parametrize(
    ("limit", "misbehave"),
    [
        ("statement_timeout", lambda c: _begin(c, "select pg_sleep(3600)")),
        ("transaction_timeout", lambda c: ask(c, "begin; select 1")),
        ("idle_in_transaction_session_timeout", lambda c: ask(c, "begin; select 1")),
        ("idle_session_timeout", lambda c: ask(c, "select 1")),
    ],
)
def test_who_has_lifted_a_limit_is_ended_by_the_guard(
    loaded: Lakehouse,
    superuser: Connection,
    guard: Connection,
    limit: str,
    misbehave: Callable[[Connection], object],
) -> None:
    with closing(psycopg2.connect(loaded.analyst_dsn, async_=limit == "statement_timeout")) as stubborn:
        _wait(stubborn)
        if limit != "statement_timeout":
            stubborn.autocommit = True
            for name in ("statement_timeout", "transaction_timeout", "idle_in_transaction_session_timeout"):
                ask(stubborn, f"set {name} = 0")
            ask(stubborn, "set idle_session_timeout = 0")
        misbehave(stubborn)
        sessions = "select count(*) from pg_stat_activity where usename = 'lakehouse_analyst' and datname = "
        mine = f"{sessions}'{loaded.homes.engine.url.database}'"
        ask(guard, "select guard.enforce()")
        assert ask(superuser, mine) == [(1,)], "within the limits nobody is ended"
        # The guard adds five seconds to the server's own limit, which is set to less than none here.
        ask(superuser, f"alter role lakehouse_analyst set {limit} = '0'")
        ask(
            superuser,
            "select guard.remember(); update guard.login set settings = array_replace(settings, "
            f"'{limit}=0', '{limit}=-5 s') where role = 'lakehouse_analyst'",
        )
        time.sleep(0.2)
        ask(guard, "select guard.enforce()")
        deadline = time.monotonic() + 10
        while ask(superuser, mine) != [(0,)]:
            assert time.monotonic() < deadline
            time.sleep(0.05)


def test_an_analyst_in_the_way_of_the_loader_is_ended(
    loaded: Lakehouse, superuser: Connection, guard: Connection
) -> None:
    with closing(psycopg2.connect(loaded.analyst_dsn)) as reader:
        ask(reader, "select count(*) from ods.olist_orders")
        dsn = loaded.homes.engine.url.set(drivername="postgresql").render_as_string(hide_password=False)
        with closing(psycopg2.connect(dsn, async_=True)) as loader:
            _wait(loader)
            cursor = loader.cursor()
            cursor.execute("alter table ods.olist_orders add column later int")
            deadline = time.monotonic() + 60
            ends = 0.0
            while loader.poll() != psycopg2.extensions.POLL_OK:
                assert time.monotonic() < deadline
                ask(guard, "select guard.enforce()")
                time.sleep(0.5)
            ends = deadline - 60
            assert time.monotonic() - ends > 19, "a reader has twenty seconds"
        with pytest.raises(psycopg2.OperationalError):
            ask(reader, "select 1")


def test_the_guard_can_do_nothing_else(guard: Connection) -> None:
    for attempt in (
        "select * from guard.login",
        "select guard.restore()",
        "select guard.remember()",
        "update guard.login set verifier = null",
        "select rolpassword from pg_authid",
        "create table mine (x int)",
        "alter role lakehouse_analyst superuser",
    ):
        with pytest.raises(InsufficientPrivilege):
            ask(guard, attempt)


def _begin(connection: Connection, sql: str) -> None:
    """Start a statement and do not wait for its end; time limits are lifted in the same breath."""
    connection.cursor().execute(f"set statement_timeout = 0; set transaction_timeout = 0; {sql}")


def _wait(connection: Connection) -> None:
    """Until a connection that was opened without waiting is there."""
    while connection.poll() != psycopg2.extensions.POLL_OK:
        time.sleep(0.01)
