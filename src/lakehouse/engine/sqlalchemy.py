"""A session as SQLAlchemy sees it, for Great Expectations: its queries run on the session's own connection."""

from __future__ import annotations

from typing import Any

import duckdb
from sqlalchemy import Engine, create_engine
from sqlalchemy.dialects import registry
from sqlalchemy.engine.default import DefaultDialect
from sqlalchemy.pool import StaticPool

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


class SessionDialect(DefaultDialect):
    """Plain SQL. Transactions are the session's own affair, so there are none here."""

    name = "duckdb"
    driver = "session"
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
