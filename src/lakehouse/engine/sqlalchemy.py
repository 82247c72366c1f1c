"""A session as SQLAlchemy sees it, for Great Expectations: its queries run on the session's own connection."""

from __future__ import annotations

from typing import Any

import duckdb
from sqlalchemy import Engine, create_engine
from sqlalchemy.dialects import registry
from sqlalchemy.engine.default import DefaultDialect
from sqlalchemy.engine.interfaces import ReflectedColumn, ReflectedPrimaryKeyConstraint
from sqlalchemy.exc import NoSuchTableError
from sqlalchemy.pool import StaticPool
from sqlalchemy.sql.compiler import IdentifierPreparer
from sqlalchemy.types import NullType

#: Errors that speak of the query. All others may quote the data they stumbled over.
_ABOUT_THE_QUERY = (
    duckdb.ParserException,
    duckdb.SyntaxException,
    duckdb.BinderException,
    duckdb.CatalogException,
)
#: Errors after which nothing can be asked any more.
_LOST = (duckdb.ConnectionException, duckdb.FatalException)


def sqlalchemy_engine(connection: duckdb.DuckDBPyConnection) -> Engine:
    """An engine whose only connection is a session's. Disposing of it leaves the session open."""
    return create_engine(
        "lakehouse_session://", creator=lambda: _Connection(connection), poolclass=StaticPool
    )


def is_lost(error: BaseException) -> bool:
    """Whether the session itself is gone, so that no query would be answered."""
    return isinstance(error, _LOST)


def error_without_values(error: BaseException) -> str:
    """What can be told of an error without telling a value of a row."""
    # SQLAlchemy keeps the engine's own error in its wrapper.
    error = getattr(error, "orig", None) or error
    if isinstance(error, _ABOUT_THE_QUERY):
        return str(error).splitlines()[0]
    return type(error).__name__


class _Quoted(IdentifierPreparer):
    """Quotes every name: columns may be called ``at`` or ``order``."""

    def _requires_quotes(self, value: str) -> bool:
        return True


class SessionDialect(DefaultDialect):
    """Plain SQL with quoted names. Transactions are the session's own affair, so there are none here."""

    name = "duckdb"
    driver = "session"
    preparer = _Quoted
    supports_statement_cache = True
    supports_native_boolean = True

    @classmethod
    def import_dbapi(cls) -> Any:
        """DuckDB's module has a parameter style and exceptions as SQLAlchemy wants them."""
        return duckdb

    def initialize(self, connection: Any) -> None:
        """Nothing has to be asked of the database."""

    def do_begin(self, dbapi_connection: Any) -> None:
        """See the class."""

    def do_rollback(self, dbapi_connection: Any) -> None:
        """See the class."""

    def do_commit(self, dbapi_connection: Any) -> None:
        """See the class."""

    def get_columns(
        self, connection: Any, table_name: str, schema: str | None = None, **_: Any
    ) -> list[ReflectedColumn]:
        """The columns of a relation in schema ``main``; Great Expectations wants their names only.

        Raises:
            NoSuchTableError: there is no such relation.
        """
        rows = connection.exec_driver_sql(
            "select column_name from duckdb_columns() where schema_name = 'main' and table_name = ? "
            "order by column_index",
            (str(table_name),),
        ).scalars()
        if not (
            columns := [ReflectedColumn(name=n, type=NullType(), nullable=True, default=None) for n in rows]
        ):
            raise NoSuchTableError(table_name)
        return columns

    def get_pk_constraint(
        self, connection: Any, table_name: str, schema: str | None = None, **_: Any
    ) -> ReflectedPrimaryKeyConstraint:
        """Relations of a session have no constraints."""
        return ReflectedPrimaryKeyConstraint(constrained_columns=[], name=None)


registry.register("lakehouse_session", __name__, SessionDialect.__name__)


class _Connection:
    """DuckDB's connection, with cursors as SQLAlchemy expects them; closing it closes nothing."""

    def __init__(self, connection: duckdb.DuckDBPyConnection) -> None:
        self._connection = connection

    def cursor(self) -> _Cursor:
        return _Cursor(self._connection)

    def close(self) -> None:
        pass


class _Cursor:
    """Keeps its rows: Great Expectations reads results after it has given the connection back."""

    arraysize = 1
    rowcount = -1

    def __init__(self, connection: duckdb.DuckDBPyConnection) -> None:
        self._connection = connection
        self._rows: list[tuple[Any, ...]] = []
        self.description: Any = None

    def execute(self, statement: str, parameters: Any = None) -> None:
        result = self._connection.execute(statement, parameters or None)
        self.description = result.description
        self._rows = result.fetchall()

    def fetchall(self) -> list[tuple[Any, ...]]:
        rows, self._rows = self._rows, []
        return rows

    def fetchone(self) -> tuple[Any, ...] | None:
        return self._rows.pop(0) if self._rows else None

    def fetchmany(self, size: int | None = None) -> list[tuple[Any, ...]]:
        rows, self._rows = self._rows[:size], self._rows[size:] if size else []
        return rows

    def close(self) -> None:
        pass
