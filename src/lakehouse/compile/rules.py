"""Compiles rules to expectations: of contracts, landed or computed, and of the accounts every publish must keep.

An :class:`Expectation` says what is expected in Great Expectations' words (``type`` and ``kwargs``, for suites and
pages) and, once, what breaks it: a ``condition`` on a row, or a query ``broken`` for the keys of the broken rows.
The gate lets Great Expectations evaluate the latter; it also tells people which rows they are, without any value of
a row reaching a report. Queries are written in DuckDB's dialect against the relation ``staged`` and, for other
tables as they will be after the publish, ``ods.<table>`` and ``gold.<table>``.

Rules of severity ``row`` are not here: the conform query moves their rows to quarantine, and the accounts
check how many those may be.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from lakehouse.compile.conditions import broken
from lakehouse.compile.ddl import literal
from lakehouse.contract import Contract, GoldModel, Reference, Rule
from lakehouse.contract.model import TableContract

GateSeverity = Literal["hard", "soft"]

#: Great Expectations' names of the expectations that are used.
QUERY = "unexpected_rows_expectation"
ROW_COUNT = "expect_table_row_count_to_be_between"
NOT_NULL = "expect_column_values_to_not_be_null"
IN_SET = "expect_column_values_to_be_in_set"
BETWEEN = "expect_column_values_to_be_between"
REGEX = "expect_column_values_to_match_regex"
UNIQUE = "expect_column_values_to_be_unique"


@dataclass(frozen=True)
class Expectation:
    """One thing that must be true of the staged rows.

    ``condition`` holds for a row that breaks a rule on single values. ``broken`` returns one row per broken row (of
    a uniqueness rule: per value that occurs again). Both are empty for rules about the table as a whole. ``parent``:
    the rule is that values of ``column`` are among those of another table's column.
    """

    rule: str
    severity: GateSeverity
    type: str
    kwargs: dict[str, Any] = field(default_factory=dict)
    description: str = ""
    broken: str = ""
    condition: str = ""
    column: str = ""
    parent: Reference | None = None

    @property
    def allowed(self) -> str:
        """How many rows may break it, in words."""
        if self.type != ROW_COUNT:
            return "none"
        minimum = self.kwargs["min_value"]
        return f"at least {minimum} row{'s' * (minimum != 1)}"


def contract_expectations(contract: Contract) -> tuple[Expectation, ...]:
    """What conformed rows must fulfil: rows at all, and what every table keeps (see :func:`table_expectations`)."""
    return (_has_rows(contract), *table_expectations(contract))


def gold_expectations(model: GoldModel) -> tuple[Expectation, ...]:
    """What the rows of a computed table must fulfil. A recomputation may have no rows, which is worth a warning."""
    return (
        _row_count("has_rows", "soft", 1, "Recomputed days usually have rows."),
        *table_expectations(model),
    )


def table_expectations(table: TableContract) -> tuple[Expectation, ...]:
    """What the rows of every table must fulfil: required columns, key, references, written rules."""
    found = [
        _not_null(table, c.name, f"{c.name} is required.")
        for c in table.columns
        if c.required or c.key_position is not None
    ]
    found.append(_unique("key_is_unique", "hard", table.key, f"Grain: {table.grain}"))
    found += [_foreign_key(table, column.name, reference) for column, reference in table.references]
    for rule in table.rules:
        found += _written(rule, table)
    return tuple(found)


def removal_expectations(contract: Contract, others: Iterable[Contract]) -> tuple[Expectation, ...]:
    """What the rows that a publish deletes must fulfil: nobody points to them any more.

    The rows that are staged are held against their parents by :func:`contract_expectations`; rows of other
    tables, which may not be staged at all, can lose their parent only here.
    """
    return tuple(
        _query(
            f"{reference.column}_is_not_missed_by_{other.table}_{column.name}",
            "soft" if reference.severity == "soft" else "hard",
            f"select {_names(contract.key)} from staged where exists (select 1 from ods.{other.table} as child "
            f"where child.{column.name} = staged.{reference.column}) and not exists (select 1 "
            f"from ods.{contract.table} as parent where parent.{reference.column} = staged.{reference.column})",
            f"A row that goes is not one that {other.table}.{column.name} points to.",
        )
        for other in others
        for column, reference in other.references
        if reference.table == contract.table
    )


def raw_expectations(contract: Contract) -> tuple[Expectation, ...]:
    """What a table's rows as landed must fulfil; everything else is decided after the cast."""
    rule = Rule("_source_line_is_given", "not_null", "hard", ("_source_line",))
    line = _column_rule(rule, "_source_line", ("_source_line",), "Every row knows its line.")
    return (_has_rows(contract), line)


def accounting_expectations(allow_empty: Collection[str] = ()) -> tuple[Expectation, ...]:
    """No row may get lost.

    Audits a relation with one row per table and batch: ``table_name, batch_id, read_rows, published_rows,
    quarantined_rows, duplicate_rows, conflicting_rows, tolerance`` (the share of rows that may go to quarantine).
    ``allow_empty`` names the tables whose delivery may have no rows.
    """
    allowed = f" where table_name not in ({_list(sorted(allow_empty))})" if allow_empty else ""
    identity = "published_rows + quarantined_rows + duplicate_rows + conflicting_rows"
    negative = "least(read_rows, published_rows, quarantined_rows, duplicate_rows, conflicting_rows) < 0"
    return (
        _row_count("tables_are_counted", "hard", 1, "Something was counted."),
        _query(
            "every_row_is_accounted_for",
            "hard",
            f"select table_name, batch_id from staged where read_rows is distinct from {identity} or {negative}",
            "Rows read = published + quarantined + duplicates + conflicting.",
        ),
        _query(
            "rows_of_a_key_agree",
            "soft",
            "select table_name, batch_id from staged where conflicting_rows > 0",
            "No delivery says two things of one key; the later line wins.",
        ),
        _query(
            "quarantine_is_within_tolerance",
            "hard",
            "select table_name, batch_id from staged "
            "where not coalesce(quarantined_rows <= tolerance * read_rows, false)",
            "No more rows in quarantine than the contract's quarantineTolerance allows.",
        ),
        _query(
            "input_is_not_empty",
            "hard",
            f"select table_name from staged{allowed} group by table_name having coalesce(sum(read_rows), 0) = 0",
            "A table's delivery has rows, unless its contract says allowEmpty.",
        ),
    )


def shrink_expectations() -> tuple[Expectation, ...]:
    """What supersedes rows does not lose far more of them than its contract tolerates.

    Audits a relation with one row per table and partition that is superseded: ``table_name, partition_key,
    served_rows, delivered_rows, tolerance`` (the share of rows that may be lost), ``allow_shrink`` (a person has said
    that more may be).
    """
    return (
        _query(
            "shrinks_within_tolerance",
            "hard",
            "select table_name, partition_key, served_rows, delivered_rows from staged where not allow_shrink "
            "and not coalesce(served_rows - delivered_rows <= tolerance * served_rows, false)",
            "No more rows are lost than the contract's shrinkTolerance allows; if they are meant to go, land with "
            "--allow-shrink.",
        ),
    )


def agreement_expectations() -> tuple[Expectation, ...]:
    """Both homes hold the same.

    Audits a relation with one row per table and part (the rows that were ``changed`` or ``carried``):
    ``table_name, part, warehouse_rows, lake_rows, warehouse_hash, lake_hash``.
    """
    differ = " or ".join(
        f"warehouse_{figure} is null or warehouse_{figure} is distinct from lake_{figure}"
        for figure in ("rows", "hash")
    )
    return (
        _row_count("homes_are_compared", "hard", 1, "Both homes were counted."),
        _query(
            "homes_agree",
            "hard",
            f"select table_name, part, warehouse_rows, lake_rows from staged where {differ}",
            "Row count and row hashes were taken in warehouse and lake, and are the same.",
        ),
    )


def batch_query(query: str) -> str:
    """A query on ``staged`` as Great Expectations takes it: with ``{batch}``, and what it would misread escaped."""
    text = query.strip().rstrip(";").replace("{", "{{").replace("}", "}}")
    return (
        "with staged as not materialized (select * from {batch})\n"
        f"select * from (\n{escape_colons(text)}\n) as broken"
    )


def escape_colons(sql: str) -> str:
    """SQLAlchemy reads ``:name`` as a parameter, inside literals too."""
    return re.sub(r"(?<![:\w\\]):(?=\w)", r"\\:", sql)


def _written(rule: Rule, table: TableContract) -> Iterator[Expectation]:
    """The expectations of a rule that a person wrote; none for row rules."""
    if rule.severity == "row":
        return
    if rule.kind == "sql":
        yield _query(rule.name, rule.severity, rule.arguments["query"], rule.description)
    elif rule.kind == "row_count":
        yield _row_count(rule.name, rule.severity, rule.arguments.get("minimum", 1), rule.description)
    elif rule.kind == "unique":
        yield _unique(rule.name, rule.severity, rule.columns or table.key, rule.description)
    else:
        for column in rule.columns:
            name = rule.name if len(rule.columns) == 1 else f"{rule.name}:{column}"
            if rule.kind == "foreign_key":
                parent = Reference(rule.arguments["table"], rule.arguments["column"])
                yield _missing_parent(table, name, rule.severity, column, parent, rule.description)
            else:
                yield _column_rule(rule, column, table.key, rule.description, name)


def _column_rule(
    rule: Rule, column: str, key: Collection[str], description: str, name: str = ""
) -> Expectation:
    """A rule on single values. Its severity must not be ``row``."""
    kind, kwargs = _in_their_words(rule)
    condition = broken(rule, column)
    return Expectation(
        rule=name or rule.name,
        severity="soft" if rule.severity == "soft" else "hard",
        type=kind,
        kwargs={"column": column, **kwargs},
        description=description,
        broken=f"select {_names(key)} from staged where {condition}",
        condition=condition,
    )


def _in_their_words(rule: Rule) -> tuple[str, dict[str, Any]]:
    given = rule.arguments
    if rule.kind == "not_null":
        return NOT_NULL, {}
    if rule.kind == "accepted_values":
        return IN_SET, {"value_set": list(given["values"])}
    if rule.kind == "pattern":
        return REGEX, {"regex": given["pattern"]}
    bounds = {"min_value": given.get("minimum"), "max_value": given.get("maximum")}
    return BETWEEN, {name: bound for name, bound in bounds.items() if bound is not None}


def _foreign_key(table: TableContract, column: str, reference: Reference) -> Expectation:
    """References are decided for the table, not row by row, so severity ``row`` counts as hard."""
    return _missing_parent(
        table,
        f"{column}_exists_in_{reference.table}",
        "soft" if reference.severity == "soft" else "hard",
        column,
        reference,
        f"{column} points to a row of {reference.table}.",
    )


def _missing_parent(
    table: TableContract,
    name: str,
    severity: GateSeverity,
    column: str,
    parent: Reference,
    description: str,
) -> Expectation:
    schema = "gold" if isinstance(table, GoldModel) else "ods"
    query = (
        f"select {_names(table.key)} from staged where {column} is not null and not exists ("
        f"select 1 from {schema}.{parent.table} as parent where parent.{parent.column} = staged.{column})"
    )
    return replace(_query(name, severity, query, description), column=column, parent=parent)


def _not_null(table: TableContract, column: str, description: str) -> Expectation:
    rule = Rule(f"{column}_is_given", "not_null", "hard", (column,))
    return _column_rule(rule, column, table.key, description)


def _unique(name: str, severity: GateSeverity, columns: tuple[str, ...], description: str) -> Expectation:
    names = _names(columns)
    if len(columns) > 1:
        query = f"select {names} from staged group by {names} having count(*) > 1"
        return _query(name, severity, query, description)
    query = f"select {names} from staged where {names} is not null group by {names} having count(*) > 1"
    return Expectation(name, severity, UNIQUE, {"column": columns[0]}, description, query)


def _has_rows(contract: Contract) -> Expectation:
    return _row_count("has_rows", "hard", 0 if contract.allow_empty else 1, "A delivery has rows.")


def _row_count(name: str, severity: GateSeverity, minimum: int, description: str) -> Expectation:
    return Expectation(name, severity, ROW_COUNT, {"min_value": minimum}, description)


def _query(name: str, severity: GateSeverity, query: str, description: str) -> Expectation:
    return Expectation(name, severity, QUERY, {"unexpected_rows_query": query}, description, query)


def _names(columns: Collection[str]) -> str:
    return ", ".join(columns)


def _list(values: Collection[object]) -> str:
    return ", ".join(literal(v) for v in values)
