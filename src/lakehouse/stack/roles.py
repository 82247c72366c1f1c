"""The login roles of Postgres: restored to their definition (``sql/roles``) at every start, and guarded meanwhile."""

from __future__ import annotations

import secrets
import shlex
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from lakehouse.stack.network import LOOPBACK

if TYPE_CHECKING:
    from psycopg2.extensions import connection as Connection

SUPERUSER = "postgres"
LOADER = "lakehouse_loader"
ANALYST = "lakehouse_analyst"
MONITOR = "lakehouse_monitor"
GUARD = "lakehouse_guard"
AIRFLOW = "airflow"

#: Seconds between two looks of the guard.
_GUARD_EVERY = 5


def new_passwords() -> dict[str, str]:
    """A fresh password for every role; URL-safe, so that DSNs need no quoting."""
    return {role: secrets.token_urlsafe(24) for role in (SUPERUSER, LOADER, ANALYST, MONITOR, GUARD, AIRFLOW)}


def restore_roles(superuser_dsn: str, passwords: Mapping[str, str]) -> None:
    """Create the login roles, or make them again what they are defined to be; one transaction.

    Args:
        superuser_dsn: of the maintenance database ``postgres``.
        passwords: by role.
    """
    from psycopg2.extensions import encrypt_password

    with _transaction(superuser_dsn) as connection, connection.cursor() as cursor:
        # The guard stands aside while somebody has this lock.
        cursor.execute("select pg_advisory_xact_lock(hashtextextended('lakehouse.roles', 0))")
        cursor.execute(_script("010_roles.sql"))
        for role, password in passwords.items():
            if role != SUPERUSER:
                # Only the verifier travels, so that no log of the server can show the password.
                verifier = encrypt_password(password, role, connection, "scram-sha-256")
                cursor.execute(f"alter role {role} password %s", [verifier])
        cursor.execute("select guard.remember()")


def close_warehouse(superuser_dsn: str) -> None:
    """Take away from everybody but the loader what could stop a publish or write into a warehouse.

    Args:
        superuser_dsn: of the warehouse's database.
    """
    with _transaction(superuser_dsn) as connection, connection.cursor() as cursor:
        cursor.execute(_script("020_warehouse.sql"))


def guard_loop(psql: str) -> str:
    """Shell lines that call the guard for ever; they wait for a Postgres that is not there. ``PG*`` say where it is."""
    return (
        "while :; do\n"
        f"  echo 'select guard.enforce() \\watch {_GUARD_EVERY}' | {psql} -X -q -o /dev/null -v ON_ERROR_STOP=1\n"
        f"  sleep {_GUARD_EVERY}\n"
        "done\n"
    )


def guard_script(psql: Path, port: int, password: str) -> str:
    """A shell script that calls the guard of the laptop's Postgres for ever."""
    where = {
        "PGHOST": LOOPBACK,
        "PGPORT": str(port),
        "PGUSER": GUARD,
        "PGPASSWORD": password,
        "PGDATABASE": "postgres",
        "PGAPPNAME": "lakehouse-guard",
    }
    exports = "".join(f"export {name}={shlex.quote(value)}\n" for name, value in where.items())
    return exports + guard_loop(shlex.quote(str(psql)))


@contextmanager
def _transaction(dsn: str) -> Iterator[Connection]:
    """A connection for one transaction."""
    import psycopg2

    connection = psycopg2.connect(dsn)
    try:
        with connection:
            yield connection
    finally:
        connection.close()


def _script(name: str) -> str:
    from lakehouse.stack.state import checkout

    return (checkout() / "sql/roles" / name).read_text(encoding="utf-8")
