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

import sqlglot
from sqlglot import exp

from lakehouse.compile.ddl import banner, literal
from lakehouse.contract import Column, ColumnType, Contract, Rule

DIALECTS = ("postgres", "duckdb")
#: No bounds on the digits: the casts judge ranges, and Postgres matches `+` three times faster than `{1,10}`.
_WHOLE = "^[+-]?[0-9]+$"
_PATTERNS = {
    "smallint": _WHOLE,
    "integer": _WHOLE,
    "bigint": _WHOLE,
    "double": "^[+-]?[0-9]{1,15}([.][0-9]{1,20})?([eE][+-]?[0-9][0-9]?)?$",
    "boolean": "^(true|false)$",
}
#: Source formats that are rewritten to ISO before the cast.
_FORMATS = {
    "yyMMddHH": "'20' || substring({0}, 1, 2) || '-' || substring({0}, 3, 2) || '-' || substring({0}, 5, 2)"
    " || ' ' || substring({0}, 7) || ':00:00'",
}


def conform_sql(contract: Contract, dialect: str) -> str:
    """The conform query of a table for one engine (see the module for its input and output)."""
    tree = sqlglot.parse_one(_query(contract), dialect="postgres")
    if dialect == "postgres":
        tree = tree.transform(_checked_cast)
    return banner(contract) + tree.sql(dialect=dialect, pretty=True) + "\n"


def _query(contract: Contract) -> str:
    """The query in Postgres' words, with ``try_cast`` where the engines differ.

    Materialized, or Postgres would work out every value again wherever it is named: five times slower.
    """
    technical = "_batch_id, _source_line, _delivery"
    names = ", ".join(c.name for c in contract.columns)
    cleaned = ", ".join(f"nullif(trim(both ' ' from {c.raw_name}), '') as {c.name}" for c in contract.columns)
    typed = ", ".join(
        f"{_typed(c)} as {c.name}" + ("" if c.type.name == "text" else f", {c.name} as {c.name}__text")
        for c in contract.columns
    )
    reasons = ", ".join(_reasons(contract))
    key = ", ".join(contract.key)
    return f"""
        with cleaned as materialized (select {cleaned}, {technical} from raw_input),
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
    if kind.name in ("timestamp", "date"):
        return _typed_time(name, kind, column.source_format)
    return f"case when {_matches(name, _pattern(kind))} then try_cast({name} as {kind.sql}) end"


def _typed_time(name: str, kind: ColumnType, source_format: str | None) -> str:
    """A time is accepted when it is written as both engines write it back: no taste, no `24:00`, no `today`.

    A day may carry a time of day, which is dropped: where clocks go forward at midnight, a source may write
    01:00:00 for a day.
    """
    value = f"({_FORMATS[source_format].format(name)})" if source_format else name
    time = f"try_cast({value} as timestamp)"
    # Words such as `infinity` are times to both engines; a year has four digits.
    written = (
        f"{name} >= '0' and {name} < ':' and (length({value}) in (10, 19) "
        f"or {_matches(value, '^.{19}[.][0-9]{1,6}$')})"
    )
    to_second = f"least(length({value}), 19)"
    same = f"substring(cast({time} as text), 1, {to_second}) = replace(substring({value}, 1, 19), 'T', ' ')"
    outcome = time if kind.name == "timestamp" else f"cast({time} as date)"
    return f"case when {written} and {same} then {outcome} end"


def _pattern(kind: ColumnType) -> str:
    if kind.name != "numeric":
        return _PATTERNS[kind.name]
    return f"^[+-]?[0-9]+([.][0-9]{{1,{kind.scale}}})?$" if kind.scale else _WHOLE


def _matches(value: str, pattern: str) -> str:
    return f"regexp_like({value}, {literal(pattern)})"


def _reasons(contract: Contract) -> list[str]:
    reasons = []
    for column in contract.columns:
        if column.type.name != "text":
            broken = f"{column.name}__text is not null and {column.name} is null"
            reasons.append(_reason(broken, f"{column.name} is not a {column.type.sql}"))
        if column.required:
            text = column.name if column.type.name == "text" else f"{column.name}__text"
            reasons.append(_reason(f"{text} is null", f"{column.name} is empty"))
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
        return f"{column} in ({', '.join(literal(v) for v in rule.arguments['values'])})"
    if rule.kind == "pattern":
        return _matches(column, rule.arguments["pattern"])
    bounds = [
        f"{column} {sign} {literal(rule.arguments[name])}"
        for name, sign in (("minimum", ">="), ("maximum", "<="))
        if name in rule.arguments
    ]
    return " and ".join(bounds)


def _checked_cast(node: exp.Expr) -> exp.Expr:
    """``try_cast(x as t)`` in Postgres' words."""
    if not isinstance(node, exp.TryCast):
        return node
    value, to = node.this, node.to
    valid = exp.func("pg_input_is_valid", value.copy(), exp.Literal.string(to.sql("postgres").lower()))
    return exp.case().when(valid, exp.cast(value.copy(), to.copy()))
