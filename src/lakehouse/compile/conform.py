"""The conform SQL: from RAW text to typed, deduplicated rows with the reasons of those that are refused.

One sqlglot tree per contract, written for Postgres and for DuckDB. Both must give identical rows, so nothing
is left to an engine's taste: a value is first held against a pattern that both read alike, then cast by the
engine's own checked cast (``pg_input_is_valid`` / ``try_cast``), which only has the calendar and ranges left
to judge.

The query reads the relation ``raw_input``: RAW columns (text) with ``_batch_id``, ``_source_line`` and
``_delivery`` (the batch's date). It returns all rows read: the contract's columns, ``_batch_id``,
``_source_line``, ``_delivery``, ``_reasons`` ('' when the row is fine) and ``_rank`` (1 for the row that wins
its key; the later delivery wins, then the later line).
"""

from __future__ import annotations

from typing import Any

import sqlglot
from sqlglot import exp

from lakehouse.compile.ddl import banner, literal
from lakehouse.contract import Column, ColumnType, Contract, Rule

DIALECTS = ("postgres", "duckdb")
_TIME = "([01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9]"
# No year 0: one engine knows it as 1 BC, the other does not know it.
_DATE = "[1-9][0-9]{3}-[0-9]{2}-[0-9]{2}"
_PATTERNS = {
    "smallint": "^[+-]?[0-9]{1,5}$",
    "integer": "^[+-]?[0-9]{1,10}$",
    "bigint": "^[+-]?[0-9]{1,19}$",
    "double": r"^[+-]?[0-9]{1,15}([.][0-9]{1,20})?([eE][+-]?[0-9]{1,2})?$",
    "timestamp": f"^{_DATE}([ T]{_TIME}([.][0-9]{{1,6}})?)?$",
    # A time of day is dropped: where clocks go forward at midnight, a source writes 01:00:00 for a day.
    "date": f"^{_DATE}([ T]{_TIME})?$",
    "boolean": "^(true|false)$",
}
#: Source formats that are rewritten to ISO before the cast: pattern, and the SQL that rewrites `{0}`.
_FORMATS = {
    "yyMMddHH": (
        "^[0-9]{6}([01][0-9]|2[0-3])$",
        "'20' || substring({0}, 1, 2) || '-' || substring({0}, 3, 2) || '-' || substring({0}, 5, 2)"
        " || ' ' || substring({0}, 7, 2) || ':00:00'",
    )
}


def conform_sql(contract: Contract, dialect: str) -> str:
    """The conform query of a table for one engine (see the module for its input and output)."""
    tree = sqlglot.parse_one(_query(contract), dialect="postgres")
    if dialect == "postgres":
        tree = tree.transform(_checked_cast)
    return banner(contract) + tree.sql(dialect=dialect, pretty=True) + "\n"


def _query(contract: Contract) -> str:
    """The query in Postgres' words, with ``try_cast`` where the engines differ.

    Materialized, or Postgres would work out every cast again wherever its outcome is named: five times slower.
    """
    technical = "_batch_id, _source_line, _delivery"
    names = ", ".join(c.name for c in contract.columns)
    cleaned = ", ".join(f"nullif(trim(both ' ' from {c.raw_name}), '') as {c.name}" for c in contract.columns)
    typed = ", ".join(f"{c.name} as {c.name}__text, {_typed(c)} as {c.name}" for c in contract.columns)
    reasons = ", ".join(_reasons(contract))
    key = ", ".join(contract.key)
    return f"""
        with cleaned as (select {cleaned}, {technical} from raw_input),
        typed as materialized (select {typed}, {technical} from cleaned),
        judged as materialized (select {names}, {technical}, concat_ws(', ', {reasons}) as _reasons from typed)
        select {names}, {technical}, _reasons,
            row_number() over (
                partition by _reasons = '', {key}
                order by _delivery desc, _source_line desc, _batch_id
            ) as _rank
        from judged
    """


def _typed(column: Column) -> str:
    name, kind = column.name, column.type
    if kind.name == "text":
        return name
    pattern, value = _pattern(kind), name
    if kind.name == "date":
        value = f"substring({name}, 1, 10)"
    if column.source_format:
        pattern, template = _FORMATS[column.source_format]
        value = template.format(name)
    return f"case when {_matches(name, pattern)} then try_cast({value} as {kind.sql}) end"


def _pattern(kind: ColumnType) -> str:
    if kind.name != "numeric":
        return _PATTERNS[kind.name]
    whole = (kind.precision or 0) - (kind.scale or 0)
    fraction = f"([.][0-9]{{1,{kind.scale}}})?" if kind.scale else ""
    return f"^[+-]?[0-9]{{1,{whole}}}{fraction}$"


def _matches(value: str, pattern: str) -> str:
    return f"regexp_like({value}, {literal(pattern)})"


def _reasons(contract: Contract) -> list[str]:
    reasons = []
    for column in contract.columns:
        if column.type.name != "text":
            broken = f"{column.name}__text is not null and {column.name} is null"
            reasons.append(_reason(broken, f"{column.name} is not a {column.type.sql}"))
        if column.required:
            reasons.append(_reason(f"{column.name}__text is null", f"{column.name} is empty"))
    reasons += [
        _reason(f"{column} is not null and not ({_holds(column, rule)})", rule.name)
        for rule in contract.rules
        if rule.severity == "row"
        for column in rule.columns
    ]
    return reasons


def _reason(broken: str, text: str) -> str:
    return f"case when {broken} then {literal(text)} end"


def _holds(column: str, rule: Rule) -> str:
    if rule.kind == "not_null":
        return f"{column} is not null"
    if rule.kind == "accepted_values":
        return f"{column} in ({', '.join(_value(v) for v in rule.arguments['values'])})"
    if rule.kind == "pattern":
        return _matches(column, rule.arguments["pattern"])
    bounds = [
        f"{column} {sign} {_value(rule.arguments[name])}"
        for name, sign in (("minimum", ">="), ("maximum", "<="))
        if name in rule.arguments
    ]
    return " and ".join(bounds)


def _value(value: Any) -> str:
    return literal(value) if isinstance(value, str) else str(value)


def _checked_cast(node: exp.Expr) -> exp.Expr:
    """``try_cast(x as t)`` in Postgres' words."""
    if not isinstance(node, exp.TryCast):
        return node
    value, to = node.this, node.to
    valid = exp.func("pg_input_is_valid", value.copy(), exp.Literal.string(to.sql("postgres").lower()))
    return exp.case().when(valid, exp.cast(value.copy(), to.copy()))
