"""Rows of a query on a terminal: a table where it fits, else one block per row."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

#: A terminal is no place for more.
TABLE_ROWS = 200
#: Of rows that take a block of lines each.
_BLOCKS = 20
#: Wide enough for any row; a file or a pipe has no right edge.
_UNBOUNDED = 100_000


class Result(NamedTuple):
    """Column names, rows, and which columns hold numbers. ``more``: the query has further rows."""

    columns: list[str]
    rows: list[tuple[Any, ...]]
    numeric: list[bool]
    more: bool = False


def print_table(result: Result, console: Console | None = None) -> None:
    """Print rows so that no value is cut or split: as a table, or as blocks when that is wider than the terminal.

    See :func:`output_console` for how wide that is.
    """
    from rich.measure import Measurement

    console = console or output_console()
    rows = [tuple(_text(value) for value in row) for row in result.rows[:TABLE_ROWS]]
    table = _table(result, rows)
    needed = Measurement.get(console, console.options.update(width=_UNBOUNDED), table).maximum
    if needed > console.width:
        rows = rows[:_BLOCKS]
        _print_blocks(result.columns, rows, console)
    else:
        console.print(table)
    if result.more or len(rows) < len(result.rows):
        console.print(f"… the first {len(rows)} rows; `--format csv` writes all.", highlight=False)


def output_console() -> Console:
    """Standard output: as wide as the terminal; a file or a pipe has no right edge unless ``COLUMNS`` says so."""
    from rich.console import Console

    console = Console()
    if not console.is_terminal and "COLUMNS" not in os.environ:
        console.width = _UNBOUNDED
    return console


def _table(result: Result, rows: Sequence[tuple[str, ...]]) -> Table:
    from rich import box
    from rich.table import Table
    from rich.text import Text

    table = Table(box=box.SIMPLE_HEAD)
    for name, numeric in zip(result.columns, result.numeric, strict=True):
        table.add_column(Text(name), justify="right" if numeric else "left", no_wrap=True)
    for row in rows:
        table.add_row(*map(Text, row))
    return table


def _print_blocks(columns: list[str], rows: Sequence[tuple[str, ...]], console: Console) -> None:
    """A line per column; only texts longer than the terminal go on in the next line, at a space where there is one."""
    from rich.table import Table
    from rich.text import Text

    for number, row in enumerate(rows, 1):
        console.rule(f"row {number}", align="left", style="dim")
        block = Table.grid(padding=(0, 2))
        block.add_column(no_wrap=True, style="bold")
        block.add_column(overflow="fold")
        for name, value in zip(columns, row, strict=True):
            block.add_row(Text(name), Text(value))
        console.print(block)


def _text(value: object) -> str:
    return "" if value is None else str(value)
