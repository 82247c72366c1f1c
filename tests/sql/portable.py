"""Every query of the project, as sqlglot writes it for Spark, and what would mean something else there."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import sqlglot
from sqlglot import exp

from lakehouse.compile.conform import conform_sql
from lakehouse.compile.gold_tables import gold_query
from lakehouse.compile.refs import DIALECT
from lakehouse.contract import Project

#: Parts of a date that both engines count alike.
_PARTS = {"YEAR", "QUARTER", "MONTH", "WEEK", "DAY", "DOY", "HOUR", "MINUTE", "SECOND"}
#: Functions that gave the same on Spark. Another one: run `make test-spark` with it, then add it.
_FUNCTIONS = (
    *(exp.Abs, exp.And, exp.Case, exp.Cast, exp.Coalesce, exp.Concat, exp.ConcatWs, exp.Count, exp.DateDiff),
    *(exp.DateFromParts, exp.Extract, exp.Greatest, exp.If, exp.Lag, exp.Lead, exp.Length, exp.MD5, exp.Max),
    *(exp.Min, exp.Nullif, exp.Or, exp.RegexpExtract, exp.RegexpLike, exp.RegexpReplace, exp.Reverse),
    *(exp.RowNumber, exp.Substring, exp.Sum, exp.TimestampTrunc, exp.TryCast, exp.Unicode),
)


def queries(project: Project) -> dict[str, str]:
    """Name → SQL of everything that is computed: conform, gold, units, rules."""
    found = {f"conform {c.table}": conform_sql(c) for c in project.contracts.values()}
    found |= {f"gold {m.table}": gold_query(m) for m in project.gold.values()}
    units = project.root / "sql" / "gold" / "affected"
    for path in sorted(units.glob("*/*.sql")):
        found[f"unit {path.parent.name}/{path.stem}"] = path.read_text(encoding="utf-8")
    for table in (*project.silver.values(), *project.gold.values()):
        for rule in table.rules:
            if rule.kind == "sql":
                found[f"rule {table.table}.{rule.name}"] = rule.arguments["query"]
    return found


def to_spark(sql: str) -> str:
    """The query for Spark.

    Raises:
        sqlglot.errors.SqlglotError: sqlglot cannot carry something over.
    """
    tree = sqlglot.parse_one(sql, dialect=DIALECT)
    for expression in tree.find_all(exp.CTE):
        # Spark has no such hint; it changes no row.
        expression.set("materialized", None)
    return tree.sql(dialect="spark", unsupported_level=sqlglot.ErrorLevel.RAISE)


def differences(sql: str) -> list[str]:
    """What Spark would refuse or answer differently, with the reason and the place."""
    tree = sqlglot.parse_one(sql, dialect=DIALECT)
    return [
        f"{node.sql(DIALECT)[:80]}: {reason}"
        for node in tree.walk()
        for reason, differs in _REFUSED.items()
        if differs(node)
    ]


def _is_day(node: exp.Expr) -> bool:
    """By the names of this project: a column ``…_date`` or ``…_month``, a date literal, a cast to a date."""
    if isinstance(node, exp.Column):
        return node.name.endswith(("_date", "_month"))
    return isinstance(node, exp.Cast) and node.to.this == exp.DataType.Type.DATE


def _is_time(node: exp.Expr) -> bool:
    if isinstance(node, exp.Paren):
        return _is_time(node.this)
    if isinstance(node, exp.Column):
        return _is_day(node) or node.name.endswith("_at")
    cast_to_time = isinstance(node, exp.Cast) and node.to.is_type(*exp.DataType.TEMPORAL_TYPES)
    return cast_to_time or isinstance(node, exp.DateFromParts)


def _operands(node: exp.Expr) -> Iterator[exp.Expr]:
    yield from (node.this, node.expression)


def _has_interval(node: exp.Expr) -> bool:
    return any(operand.find(exp.Interval) for operand in _operands(node))


def _is_double(node: exp.Expr) -> bool:
    return isinstance(node, exp.Cast) and node.to.this == exp.DataType.Type.DOUBLE


_REFUSED: dict[str, Callable[[exp.Expr], bool]] = {
    "weekdays, ISO years and epochs are called and counted differently: use date_diff": (
        lambda n: isinstance(n, exp.Extract) and n.this.name.upper() not in _PARTS
    ),
    "a difference of times is an interval there: use date_diff": (
        lambda n: isinstance(n, exp.Sub) and any(map(_is_time, _operands(n))) and not _has_interval(n)
    ),
    "a date plus a number is not a date everywhere: add interval '1 day' * number": (
        lambda n: isinstance(n, exp.Add) and any(map(_is_time, _operands(n))) and not _has_interval(n)
    ),
    "DuckDB counts boundaries, Spark whole units: they agree on microseconds and on days between dates": (
        lambda n: (
            isinstance(n, exp.DateDiff)
            and n.text("unit").upper() != "MICROSECOND"
            and not (n.text("unit").upper() == "DAY" and all(map(_is_day, _operands(n))))
        )
    ),
    "Spark divides decimals to a decimal and DuckDB to a double: cast the dividend to double precision, or use //": (
        lambda n: isinstance(n, exp.Div) and not _is_double(n.this)
    ),
    "sqlglot makes it an approximation: rank and pick": (
        lambda n: isinstance(
            n, (exp.WithinGroup, exp.PercentileDisc, exp.PercentileCont, exp.Quantile, exp.Median)
        )
    ),
    "Spark has none: rank in a common table expression and filter": (
        lambda n: isinstance(n, exp.Qualify) or (isinstance(n, exp.Distinct) and bool(n.args.get("on")))
    ),
    "lists count from 0 or 1, and their order is the engine's: use rows": (
        lambda n: isinstance(
            n, (exp.Array, exp.ArrayAgg, exp.GroupConcat, exp.Bracket, exp.Lambda, exp.Unnest)
        )
    ),
    "DuckDB replaces the first match, Spark all: write the option 'g'": (
        lambda n: isinstance(n, exp.RegexpReplace) and "g" not in n.text("modifiers")
    ),
    "the same input must give the same rows at any time: the delivery's date is the only today": (
        lambda n: isinstance(n, (exp.CurrentDate, exp.CurrentTimestamp, exp.Rand, exp.Uuid))
    ),
    "nobody has tried this function on Spark yet": (
        lambda n: isinstance(n, exp.Func) and not isinstance(n, _FUNCTIONS)
    ),
}
