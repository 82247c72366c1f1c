"""The charts of the site: one file each under ``sql/site``, a query with a few words above it.

    -- title: Orders by month
    -- text: What a reader should know.
    -- kind: bars
    -- page: numbers
    -- unit: orders
    select … as x, … as y from gold.kpi_daily group by 1 order by 1

``kind`` says which columns the query returns:

=========  =====================================================================
figure     ``x``, ``y`` (a small line) and ``total``, the number that is shown
bars       ``x``, ``y``
line       ``x``, ``y``
shares     ``x``, ``y``, ``series``: parts of a whole, from 0 to 1
funnel     ``x`` (a step's name, in order), ``y``
heatmap    ``x``, ``y`` and ``value``
interval   ``x``, ``y``, ``low``, ``high``
=========  =====================================================================

The queries run on the warehouse as the analyst.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from functools import cached_property
from pathlib import Path
from typing import Any

from sqlalchemy import Connection

from lakehouse.contract import Project
from lakehouse.errors import LakehouseError

#: Kind → the columns that its query must return.
KINDS: dict[str, frozenset[str]] = {
    "figure": frozenset({"x", "y", "total"}),
    "bars": frozenset({"x", "y"}),
    "line": frozenset({"x", "y"}),
    "shares": frozenset({"x", "y", "series"}),
    "funnel": frozenset({"x", "y"}),
    "heatmap": frozenset({"x", "y", "value"}),
    "interval": frozenset({"x", "y", "low", "high"}),
}
#: What a page can show and a person can read.
MAX_ROWS = 5000


@dataclass(frozen=True)
class Chart:
    """A chart: ``page`` is ``today`` or ``numbers``; ``unit`` stands beside values, ``share`` means from 0 to 1."""

    name: str
    title: str
    kind: str
    page: str
    text: str
    unit: str
    x: str
    y: str
    sql: str

    @cached_property
    def reads(self) -> tuple[str, ...]:
        """The tables that it reads, as ``gold.<table>``."""
        return tuple(sorted({f"{s}.{t}" for s, t in re.findall(r"\b(gold|ods)\.(\w+)", self.sql)}))

    def is_known(self, project: Project) -> bool:
        """Whether the project has all its tables."""
        return all(
            (t in project.gold if s == "gold" else t in project.silver)
            for s, t in (name.split(".") for name in self.reads)
        )


def find(project: Project) -> tuple[Chart, ...]:
    """The charts of a project whose tables it has, in the order of their files.

    Raises:
        LakehouseError: a file lacks what a chart needs.
    """
    charts = [read(path) for path in sorted((project.root / "sql" / "site").glob("*.sql"))]
    return tuple(c for c in charts if c.is_known(project))


def read(path: Path) -> Chart:
    """A chart from its file.

    Raises:
        LakehouseError: it has no title, or a kind that nobody knows.
    """
    text = path.read_text(encoding="utf-8")
    facts = dict(re.findall(r"^-- (title|text|kind|page|unit|x|y): *(.+?) *$", text, re.MULTILINE))
    sql = re.sub(r"^--.*\n", "", text, flags=re.MULTILINE).strip().rstrip(";")
    if "title" not in facts or facts.get("kind") not in KINDS:
        raise LakehouseError(
            f"sql/site/{path.name}: it has no title, or its kind {facts.get('kind')!r} is unknown.",
            f"Write `-- title: …` and `-- kind: …` above the query; kinds: {', '.join(KINDS)}.",
        )
    return Chart(
        path.stem,
        facts["title"],
        facts["kind"],
        facts.get("page", "numbers"),
        facts.get("text", ""),
        facts.get("unit", ""),
        facts.get("x", ""),
        facts.get("y", ""),
        sql,
    )


def rows(conn: Connection, chart: Chart) -> list[dict[str, Any]]:
    """What a chart's query returns, as values that JSON knows: dates as text, numbers as numbers.

    Raises:
        LakehouseError: a column is missing, or there are more rows than a chart can show.
        SQLAlchemyError: the warehouse refuses the query.
    """
    result = conn.execution_options(no_parameters=True).exec_driver_sql(chart.sql)
    missing = sorted(KINDS[chart.kind] - set(result.keys()))
    if missing:
        raise LakehouseError(
            f"sql/site/{chart.name}.sql returns no column {', '.join(missing)}.",
            f"A chart of kind {chart.kind} needs {', '.join(sorted(KINDS[chart.kind]))}.",
        )
    found = result.mappings().fetchmany(MAX_ROWS + 1)
    if len(found) > MAX_ROWS:
        raise LakehouseError(
            f"sql/site/{chart.name}.sql returns more than {MAX_ROWS} rows.", "Sum them up by a longer unit."
        )
    return [{name: _plain(value) for name, value in row.items()} for row in found]


def _plain(value: Any) -> Any:
    if isinstance(value, Decimal):
        return float(value)
    if isinstance(value, date | datetime):
        return value.isoformat()
    return value if isinstance(value, int | float | str) or value is None else str(value)
