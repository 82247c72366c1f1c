"""Points the relation names of a hand-written query at the relations of one run."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache

import sqlglot
from sqlglot import exp

from lakehouse.errors import ContractError

#: Schemas whose names are logical in hand-written SQL. `staged` and `delivery` are logical without a schema.
LOGICAL_SCHEMAS = frozenset({"ods", "gold", "affected", "changed"})
LOGICAL_NAMES = frozenset({"staged", "delivery"})


@lru_cache(maxsize=256)
def parse(sql: str) -> exp.Expr:
    """The tree of one Postgres statement, which nobody may change: it is kept.

    Raises:
        ContractError: it is not one SQL statement.
    """
    try:
        return sqlglot.parse_one(sql, dialect="postgres")
    except sqlglot.errors.ParseError as error:
        raise ContractError(f"Not one SQL statement: {error}", "Run `make check` to lint the SQL.") from error


def _logical(table: exp.Table, local: frozenset[str]) -> str | None:
    if table.db in LOGICAL_SCHEMAS:
        return f"{table.db}.{table.name}"
    if not table.db and table.name in LOGICAL_NAMES and table.name not in local:
        return table.name
    return None


def references(sql: str) -> frozenset[str]:
    """The logical relations a query reads: ``ods.olist_orders``, ``affected.order_date``, ``delivery`` …"""
    tree = parse(sql)
    local = frozenset(cte.alias for cte in tree.find_all(exp.CTE))
    return frozenset(n for t in tree.find_all(exp.Table) if (n := _logical(t, local)))


def rewrite(sql: str, resolve: Callable[[str], str], *, to: str = "postgres") -> str:
    """Replace every logical relation of a Postgres query by ``resolve(name)``, written for the dialect ``to``.

    ``resolve`` returns a relation (``stage.gold__fact_order``) or a query in parentheses. A relation keeps the
    alias it had; one without an alias gets its own name, so that ``fact_order.order_id`` still means it.
    """
    tree = parse(sql).copy()
    local = frozenset(cte.alias for cte in tree.find_all(exp.CTE))
    for table in list(tree.find_all(exp.Table)):
        logical = _logical(table, local)
        if logical is None:
            continue
        target = resolve(logical)
        alias = table.alias or table.name
        if target.startswith("("):
            replacement: exp.Expr = parse(target[1:-1]).copy().subquery(alias)  # type: ignore[attr-defined]
        else:
            replacement = exp.to_table(target, dialect="postgres", alias=alias)
        for key in ("joins", "laterals", "sample"):
            if table.args.get(key):
                replacement.set(key, table.args[key])
        table.replace(replacement)
    return tree.sql(dialect=to, pretty=True)
