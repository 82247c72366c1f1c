"""`sql`: the analyst's view of the warehouse."""

from __future__ import annotations

import csv
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from decimal import Decimal
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from lakehouse.cli.grid import TABLE_ROWS, Result, print_table

if TYPE_CHECKING:
    from psycopg2.extensions import connection as Connection
    from psycopg2.extensions import cursor as Cursor

#: Rows are fetched in portions: a big table does not have to fit into memory.
_PORTION = 10_000
_READ_ONLY = "-c default_transaction_read_only=on"
#: A cursor is fetched from in portions; only these statements can have one.
_CURSOR = "CLOSE ALL; DECLARE lakehouse_answer NO SCROLL CURSOR FOR "
_WITH_CURSOR = ("select", "with", "values", "table")


class Format(StrEnum):
    """How rows are written."""

    table = "table"
    csv = "csv"
    json = "json"


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(sql)


def sql(
    query: Annotated[
        str | None, typer.Argument(help="SQL; `-` reads it from standard input. Without any, psql opens.")
    ] = None,
    file: Annotated[
        Path | None,
        typer.Option("--file", "-f", help="Read the SQL from this file; several statements are fine."),
    ] = None,
    format: Annotated[Format, typer.Option("--format", help="How rows are written.")] = Format.table,
) -> None:
    """Run read-only queries as `lakehouse_analyst`: schemas `ods`, `gold`, `masked` and the ledger in `ops`.

    A result that is wider than the terminal is shown as one block per row. Without a query psql opens, with the same
    rights: history, completion, `\\dt gold.*`, `\\?` for help.

    Example: `lakehouse sql "SELECT order_status, count(*) FROM gold.fact_order GROUP BY 1 ORDER BY 2 DESC"`
    """
    from lakehouse.errors import LakehouseError

    text = _given(query, file)
    if text is None:
        _open_psql()
        return
    statements = split_statements(text)
    if not statements:
        raise LakehouseError(
            "There is no query.", 'Such as: lakehouse sql "SELECT * FROM gold.kpi_daily LIMIT 5"'
        )
    if len(statements) > 1 and format is not Format.table:
        raise LakehouseError(
            f"These are {len(statements)} statements, and --format {format} writes one result.",
            "Give them one by one, or leave out --format.",
        )
    with _connected() as connection:
        for statement in statements:
            _write(connection, statement, format)


def _given(query: str | None, file: Path | None) -> str | None:
    """The SQL; None when a person at a terminal gave none."""
    from lakehouse.errors import LakehouseError

    if query is not None and file is not None:
        raise typer.BadParameter("Give a query or --file, not both.")
    if file is not None:
        try:
            return file.expanduser().read_text()
        except (OSError, UnicodeDecodeError) as error:
            reason = error.strerror if isinstance(error, OSError) else "it is no text in UTF-8"
            raise LakehouseError(
                f"{file} cannot be read: {reason}.", "--file wants a file with SQL."
            ) from error
    if query == "-" or (query is None and not sys.stdin.isatty()):
        return sys.stdin.read()
    return query


def split_statements(text: str) -> list[str]:
    """The statements of a text, without their semicolons; those in strings and comments end nothing.

    What cannot be told apart, such as an open quote, stays one statement, for Postgres to say what is wrong.
    """
    from sqlglot import tokenize
    from sqlglot.errors import SqlglotError

    try:
        tokens = tokenize(text, read="postgres")
    except SqlglotError:
        return [text]
    # A string of one semicolon is longer in the text than its token says.
    ends = [token.start for token in tokens if token.text == ";" and token.start == token.end]
    parts = [
        text[start:end] for start, end in zip([0, *(e + 1 for e in ends)], [*ends, len(text)], strict=True)
    ]
    return [part.strip() for part in parts if tokenize(part, read="postgres")]


def query_as_analyst(query: str) -> Result:
    """All rows of a query, in a read-only transaction.

    Raises:
        LakehouseError: the warehouse refuses it, or does not answer.
    """
    with _connected() as connection:
        portions = list(_portions(connection, query, _PORTION))
    return Result(portions[0].columns, [row for one in portions for row in one.rows], portions[0].numeric)


def _write(connection: Connection, statement: str, format: Format) -> None:
    if format is Format.table:
        first = next(_portions(connection, statement, TABLE_ROWS + 1))
        if first.columns:
            print_table(first._replace(rows=first.rows[:TABLE_ROWS], more=len(first.rows) > TABLE_ROWS))
    elif format is Format.csv:
        writer = csv.writer(sys.stdout, lineterminator="\n")
        for number, portion in enumerate(_portions(connection, statement, _PORTION)):
            if not number:
                writer.writerow(portion.columns)
            writer.writerows(portion.rows)
    else:
        _write_json(_portions(connection, statement, _PORTION))


def _write_json(portions: Iterator[Result]) -> None:
    """An array, an object a line, written as rows arrive."""
    from json import dumps

    before = "["
    for portion in portions:
        for row in portion.rows:
            record = dict(zip(portion.columns, row, strict=True))
            print(before + "\n  " + dumps(record, default=_json_value, ensure_ascii=False), end="")
            before = ","
    print("[]" if before == "[" else "\n]")


def _portions(connection: Connection, statement: str, size: int) -> Iterator[Result]:
    """The rows of a statement, ``size`` at a time; at least one portion, which may be empty."""
    import psycopg2

    from lakehouse.cli.sql_errors import explained, first_word

    prefix = _CURSOR if first_word(statement) in _WITH_CURSOR else ""
    try:
        with connection.cursor() as cursor:
            cursor.execute(prefix + statement)
            if not prefix:
                yield _result(cursor)
                return
            while True:
                cursor.execute(f"FETCH {size} FROM lakehouse_answer")
                portion = _result(cursor)
                yield portion
                if len(portion.rows) < size:
                    return
    except psycopg2.Error as error:
        raise explained(error, connection, statement, len(prefix)) from error


def _result(cursor: Cursor) -> Result:
    from psycopg2 import NUMBER

    if cursor.description is None:
        return Result([], [], [])
    names = [column.name for column in cursor.description]
    return Result(names, cursor.fetchall(), [column.type_code == NUMBER for column in cursor.description])


@contextmanager
def _connected() -> Iterator[Connection]:
    import psycopg2

    from lakehouse.errors import StackError

    try:
        connection = psycopg2.connect(_analyst_dsn(), options=_READ_ONLY)
    except psycopg2.OperationalError as error:
        raise StackError(
            f"The warehouse does not answer: {str(error).strip()}", "Start it with `lakehouse up`."
        ) from error
    try:
        yield connection
    finally:
        connection.close()


def _open_psql() -> None:
    """Become psql, which asks for nothing: the password goes by the environment, where `ps` does not show it."""
    import os

    from psycopg2.extensions import parse_dsn

    from lakehouse.stack.postgres import wheel_install

    login = parse_dsn(_analyst_dsn())
    names = {
        "host": "PGHOST",
        "port": "PGPORT",
        "user": "PGUSER",
        "password": "PGPASSWORD",
        "dbname": "PGDATABASE",
    }
    environment = os.environ | {variable: login[name] for name, variable in names.items() if name in login}
    shown = {"expanded": "auto", "linestyle": "unicode", "null": "∅"}
    arguments = [part for name, value in shown.items() for part in ("-P", f"{name}={value}")]
    psql = str(wheel_install() / "bin" / "psql")
    os.execve(psql, [psql, *arguments], environment | {"PGOPTIONS": _READ_ONLY})  # noqa: S606 - no shell


def _analyst_dsn() -> str:
    import os

    from lakehouse.cli.context import stack_state
    from lakehouse.stack.laptop import server_of

    return os.environ.get("LAKEHOUSE_ANALYST_DSN") or server_of(stack_state(check=False)).analyst_dsn


def _json_value(value: object) -> object:
    """Numbers stay numbers where that loses nothing; everything else as text."""
    if isinstance(value, Decimal):
        return float(value) if Decimal(repr(float(value))) == value else str(value)
    return str(value)
