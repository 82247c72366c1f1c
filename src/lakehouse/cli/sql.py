"""`sql`: the analyst's view of the warehouse."""

from __future__ import annotations

import csv
import sys
from decimal import Decimal
from enum import StrEnum
from typing import Annotated, Any, NamedTuple

import typer

#: A terminal is no place for more; `--format csv` writes all rows.
_TABLE_ROWS = 200


class Format(StrEnum):
    """How rows are written."""

    table = "table"
    csv = "csv"
    json = "json"


class Result(NamedTuple):
    """Column names and rows of a query."""

    columns: list[str]
    rows: list[tuple[Any, ...]]


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(sql)


def sql(
    query: Annotated[str, typer.Argument(help="One SQL query; `-` reads it from standard input.")],
    format: Annotated[Format, typer.Option("--format", help="How rows are written.")] = Format.table,
) -> None:
    """Run a read-only query as `lakehouse_analyst`: schemas `ods`, `gold`, `masked` and the ledger in `ops`.

    Example: `lakehouse sql "SELECT order_status, count(*) FROM gold.fact_order GROUP BY 1 ORDER BY 2 DESC"`
    """
    result = query_as_analyst(sys.stdin.read() if query == "-" else query)
    if format is Format.table:
        print_table(result)
    elif format is Format.csv:
        writer = csv.writer(sys.stdout, lineterminator="\n")
        writer.writerow(result.columns)
        writer.writerows(result.rows)
    else:
        from json import dumps

        records = [dict(zip(result.columns, row, strict=True)) for row in result.rows]
        typer.echo(dumps(records, default=_json_value, ensure_ascii=False, indent=2))


def query_as_analyst(query: str) -> Result:
    """Run a query in a read-only transaction.

    Raises:
        LakehouseError: the warehouse refuses it, or does not answer.
    """
    import psycopg2

    from lakehouse.errors import LakehouseError

    try:
        connection = psycopg2.connect(_analyst_dsn(), options="-c default_transaction_read_only=on")
    except psycopg2.OperationalError as error:
        raise LakehouseError(
            f"The warehouse does not answer: {str(error).strip()}", "Start it with `lakehouse up`."
        ) from error
    try:
        with connection, connection.cursor() as cursor:
            cursor.execute(query)
            if cursor.description is None:
                return Result([], [])
            return Result([column.name for column in cursor.description], cursor.fetchall())
    except psycopg2.Error as error:
        hint = "What there is: SELECT table_schema, table_name FROM information_schema.tables"
        raise LakehouseError(str(error).strip(), hint) from error
    finally:
        connection.close()


def _analyst_dsn() -> str:
    import os

    from lakehouse.cli.context import stack_state
    from lakehouse.stack.laptop import server_of

    return os.environ.get("LAKEHOUSE_ANALYST_DSN") or server_of(stack_state()).analyst_dsn


def print_table(result: Result) -> None:
    """Rows as a table, numbers to the right."""
    from rich import box
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    console = Console()
    if not console.is_terminal:
        console.width = max(console.width, 200)
    shown = result.rows[:_TABLE_ROWS]
    table = Table(box=box.SIMPLE_HEAD)
    for index, name in enumerate(result.columns):
        numeric = any(isinstance(row[index], int | float | Decimal) for row in shown[:20])
        table.add_column(name, justify="right" if numeric else "left", overflow="fold")
    for row in shown:
        table.add_row(*[Text("") if value is None else Text(str(value)) for value in row])
    console.print(table)
    rest = len(result.rows) - len(shown)
    if rest:
        console.print(f"… {rest:,} more rows; `--format csv` writes them all.", highlight=False)


def _json_value(value: object) -> object:
    """Numbers stay numbers where that loses nothing; everything else as text."""
    if isinstance(value, Decimal):
        return float(value) if Decimal(repr(float(value))) == value else str(value)
    return str(value)
