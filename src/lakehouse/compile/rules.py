"""Compiles rules to expectations: of contracts, of gold models, of the accounts every publish must keep.

An :class:`Expectation` says the same thing twice, on purpose. ``type`` and ``kwargs`` are what Great
Expectations evaluates; its verdict decides. ``broken`` is a query for the keys of the broken rows, used only
to tell people which rows they are, without any value of the row reaching a report. Queries are written in
Postgres' dialect against the relation ``staged`` and, for other tables, ``ods.<table>`` and ``gold.<table>``.

Rules of severity ``row`` are not here: the conform query moves their rows to quarantine, and the accounts
check how many those may be.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any, Literal

import sqlglot
from sqlglot import exp

from lakehouse.compile.ddl import literal
from lakehouse.compile.refs import rewrite
from lakehouse.contract import Contract, GoldModel, Reference, Rule

GateSeverity = Literal["hard", "soft"]

#: Great Expectations' names of the expectations that are used.
QUERY = "unexpected_rows_expectation"
ROW_COUNT = "expect_table_row_count_to_be_between"
NOT_NULL = "expect_column_values_to_not_be_null"
IN_SET = "expect_column_values_to_be_in_set"
BETWEEN = "expect_column_values_to_be_between"
REGEX = "expect_column_values_to_match_regex"
UNIQUE = "expect_column_values_to_be_unique"

_BATCH = "lakehouse_batch"


@dataclass(frozen=True)
class Expectation:
    """One thing that must be true of the staged rows.

    ``broken`` returns one row per broken row (of a uniqueness rule: per value that occurs again); it is empty
    for rules about the table as a whole.
    """

    rule: str
    severity: GateSeverity
    type: str
    kwargs: dict[str, Any] = field(default_factory=dict)
    description: str = ""
    broken: str = ""


def contract_expectations(contract: Contract) -> tuple[Expectation, ...]:
    """What conformed rows must fulfil: rows at all, required columns, key, references, written rules."""
    keys = ", ".join(contract.key)
    found = [_row_count("has_rows", "hard", 0 if contract.allow_empty else 1, "A delivery has rows.")]
    found += [
        _not_null(c.name, "hard", keys, f"{c.name} is required.", f"{c.name}_is_given")
        for c in contract.columns
        if c.required
    ]
    found.append(_unique("key_is_unique", "hard", contract.key, f"One row per {keys}."))
    found += [_foreign_key(contract, column.name, reference) for column, reference in contract.references]
    for rule in contract.rules:
        found += _written(rule, contract.key)
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
            f"select {', '.join(contract.key)} from staged where exists (select 1 from ods.{other.table} as child "
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
    return (
        _row_count("has_rows", "hard", 0 if contract.allow_empty else 1, "A delivery has rows."),
        _not_null(
            "_source_line", "hard", "_source_line", "Every row knows its line.", "_source_line_is_given"
        ),
    )


def gold_expectations(model: GoldModel) -> tuple[Expectation, ...]:
    """What a gold table's staged rows must fulfil: its key is its grain, and the rules in its header."""
    keys = ", ".join(model.key)
    found = [_row_count("has_rows", "soft", 1, "Recomputed days usually have rows.")]
    found += [_not_null(k, "hard", keys, f"{k} is part of the key.", f"{k}_is_given") for k in model.key]
    found.append(_unique("key_is_unique", "hard", model.key, f"Grain: {model.grain}."))
    for rule in model.rules:
        found += _written(rule, model.key)
    return tuple(found)


def accounting_expectations(allow_empty: Collection[str] = ()) -> tuple[Expectation, ...]:
    """No row may get lost.

    Audits a relation with one row per table: ``table_name, read_rows, published_rows, quarantined_rows,
    duplicate_rows, tolerance`` (the share of rows that may go to quarantine). ``allow_empty`` names the
    tables whose delivery may have no rows.
    """
    allowed = f" and table_name not in ({_list(sorted(allow_empty))})" if allow_empty else ""
    identity = "published_rows + quarantined_rows + duplicate_rows"
    negative = "least(read_rows, published_rows, quarantined_rows, duplicate_rows) < 0"
    return (
        _row_count("tables_are_counted", "hard", 1, "Something was counted."),
        _query(
            "every_row_is_accounted_for",
            "hard",
            f"select table_name from staged where read_rows is distinct from {identity} or {negative}",
            "Rows read = published + quarantined + duplicates.",
        ),
        _query(
            "quarantine_is_within_tolerance",
            "hard",
            "select table_name from staged "
            "where not coalesce(quarantined_rows <= tolerance * read_rows, false)",
            "No more rows in quarantine than the contract's quarantineTolerance allows.",
        ),
        _query(
            "input_is_not_empty",
            "hard",
            f"select table_name from staged where coalesce(read_rows, 0) = 0{allowed}",
            "A table's delivery has rows, unless its contract says allowEmpty.",
        ),
    )


def agreement_expectations() -> tuple[Expectation, ...]:
    """Both homes hold the same.

    Audits a relation ``table_name, column_name, warehouse_value, lake_value`` with one row per column
    checksum and one named ``row_count`` per table.
    """
    return (
        _row_count("homes_are_compared", "hard", 1, "Both homes were counted."),
        _query(
            "homes_agree",
            "hard",
            "select table_name, column_name from staged where warehouse_value is distinct from lake_value",
            "Row count and column checksums are the same in warehouse and lake.",
        ),
        _query(
            "homes_count_rows",
            "hard",
            "select table_name from staged group by table_name having "
            "count(case when column_name = 'row_count' and warehouse_value is not null then 1 end) = 0",
            "Every table was counted in both homes.",
        ),
    )


def batch_query(query: str, resolve: Callable[[str], str] = lambda name: name) -> str:
    """A rule's query as Great Expectations takes it.

    ``staged`` becomes its ``{batch}``, other relations what ``resolve`` makes of them, and braces and colons
    that mean nothing to it are escaped.

    Raises:
        ContractError: the query is not one SQL statement.
    """
    tree = sqlglot.parse_one(
        rewrite(query, lambda name: name if name == "staged" else resolve(name)), dialect="postgres"
    )
    batch = sqlglot.parse_one(
        f"with staged as not materialized (select * from {_BATCH}) select 1", dialect="postgres"
    ).find(exp.With)
    own = tree.args.get("with_")
    if own:
        batch.set("expressions", [*batch.expressions, *own.expressions])  # type: ignore[union-attr]
        batch.set("recursive", own.args.get("recursive"))  # type: ignore[union-attr]
    tree.set("with_", batch)
    text = tree.sql(dialect="postgres", pretty=True).replace("{", "{{").replace("}", "}}")
    return _escape_colons(text).replace(_BATCH, "{batch}")


def _escape_colons(sql: str) -> str:
    """SQLAlchemy reads ``:name`` as a parameter, inside literals too."""
    return re.sub(r"(?<![:\w\\]):(?=\w)", r"\\:", sql)


def _written(rule: Rule, key: tuple[str, ...]) -> Iterator[Expectation]:
    """The expectations of a rule that a person wrote; none for row rules."""
    if rule.severity == "row":
        return
    severity, keys = rule.severity, ", ".join(key)
    if rule.kind == "sql":
        yield _query(rule.name, severity, rule.arguments["query"], rule.description)
    elif rule.kind == "row_count":
        yield _row_count(rule.name, severity, rule.arguments.get("minimum", 1), rule.description)
    elif rule.kind == "unique":
        yield _unique(rule.name, severity, rule.columns or key, rule.description)
    else:
        for column in rule.columns:
            name = rule.name if len(rule.columns) == 1 else f"{rule.name}:{column}"
            yield _column_rule(rule, name, column, severity, keys)


def _column_rule(rule: Rule, name: str, column: str, severity: GateSeverity, keys: str) -> Expectation:
    given = rule.arguments
    if rule.kind == "not_null":
        return _not_null(column, severity, keys, rule.description, name)
    if rule.kind == "accepted_values":
        kind, kwargs = IN_SET, {"value_set": list(given["values"])}
        condition = f"{column} not in ({_list(given['values'])})"
    elif rule.kind == "range":
        bounds = {"min_value": given.get("minimum"), "max_value": given.get("maximum")}
        kind, kwargs = BETWEEN, {k: v for k, v in bounds.items() if v is not None}
        outside = [f"{column} < {literal(given['minimum'])}"] if "minimum" in given else []
        outside += [f"{column} > {literal(given['maximum'])}"] if "maximum" in given else []
        condition = " or ".join(outside)
    elif rule.kind == "pattern":
        kind, kwargs = REGEX, {"regex": given["pattern"]}
        condition = f"{column} !~ {literal(given['pattern'])}"
    else:
        reference = Reference(given["table"], given["column"])
        return _missing_parent(
            name=name,
            severity=severity,
            column=column,
            reference=reference,
            keys=keys,
            description=rule.description,
        )
    return Expectation(
        name,
        severity,
        kind,
        {"column": column, **kwargs},
        rule.description,
        f"select {keys} from staged where {condition}",
    )


def _foreign_key(contract: Contract, column: str, reference: Reference) -> Expectation:
    """References are decided for the table, not row by row, so severity ``row`` counts as hard."""
    severity: GateSeverity = "soft" if reference.severity == "soft" else "hard"
    return _missing_parent(
        name=f"{column}_exists_in_{reference.table}",
        severity=severity,
        column=column,
        reference=reference,
        keys=", ".join(contract.key),
        description=f"{column} points to a row of {reference.table}.",
    )


def _missing_parent(
    *, name: str, severity: GateSeverity, column: str, reference: Reference, keys: str, description: str
) -> Expectation:
    return _query(
        name,
        severity,
        f"select {keys} from staged where {column} is not null and not exists ("
        f"select 1 from ods.{reference.table} as parent where parent.{reference.column} = staged.{column})",
        description,
    )


def _not_null(column: str, severity: GateSeverity, keys: str, description: str, name: str) -> Expectation:
    broken = f"select {keys} from staged where {column} is null"
    return Expectation(name, severity, NOT_NULL, {"column": column}, description, broken)


def _unique(name: str, severity: GateSeverity, columns: tuple[str, ...], description: str) -> Expectation:
    names = ", ".join(columns)
    broken = f"select {names} from staged group by {names} having count(*) > 1"
    if len(columns) == 1:
        broken = f"select {names} from staged where {names} is not null group by {names} having count(*) > 1"
        return Expectation(name, severity, UNIQUE, {"column": columns[0]}, description, broken)
    # GX's own compound uniqueness joins the table with its groups on all columns; grouping alone is enough.
    return _query(name, severity, broken, description)


def _row_count(name: str, severity: GateSeverity, minimum: int, description: str) -> Expectation:
    return Expectation(name, severity, ROW_COUNT, {"min_value": minimum}, description)


def _query(name: str, severity: GateSeverity, query: str, description: str) -> Expectation:
    return Expectation(name, severity, QUERY, {"unexpected_rows_query": query}, description, query)


def _list(values: Collection[object]) -> str:
    return ", ".join(literal(v) for v in values)
