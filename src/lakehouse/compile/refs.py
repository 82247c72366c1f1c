"""Which relations a hand-written query reads."""

from __future__ import annotations

from functools import lru_cache

import sqlglot
from sqlglot import exp

from lakehouse.errors import ContractError

#: Schemas whose relations a session holds. `staged` has none.
LOGICAL_SCHEMAS = frozenset({"ods", "gold", "affected", "changed"})
LOGICAL_NAMES = frozenset({"staged"})
DIALECT = "duckdb"


@lru_cache(maxsize=256)
def parse(sql: str) -> exp.Expr:
    """The tree of one statement, which nobody may change: it is kept.

    Raises:
        ContractError: it is not one SQL statement.
    """
    try:
        return sqlglot.parse_one(sql, dialect=DIALECT)
    except sqlglot.errors.ParseError as error:
        raise ContractError(f"Not one SQL statement: {error}", "Run `make check` to lint the SQL.") from error


def references(sql: str) -> frozenset[str]:
    """The relations of a session a query reads: ``ods.olist_orders``, ``affected.order_date`` …

    Raises:
        ContractError: it is not one SQL statement.
    """
    tree = parse(sql)
    local = frozenset(cte.alias for cte in tree.find_all(exp.CTE))
    return frozenset(
        f"{t.db}.{t.name}" if t.db else t.name
        for t in tree.find_all(exp.Table)
        if t.db in LOGICAL_SCHEMAS or (not t.db and t.name in LOGICAL_NAMES and t.name not in local)
    )
