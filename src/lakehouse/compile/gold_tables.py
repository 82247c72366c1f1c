"""The query of a computed table: its written SELECT, cast to the types of its contract."""

from __future__ import annotations

from lakehouse.contract import GoldModel


def gold_query(model: GoldModel) -> str:
    """The table's columns in its contract's order and types.

    A text template, because every task of a gold run needs it and a parser would cost more than the query.
    """
    columns = ",\n".join(f"    cast(q.{c.name} as {c.type.sql}) as {c.name}" for c in model.columns)
    # The closing bracket has a line of its own: the SELECT may end in a comment.
    return f"select\n{columns}\nfrom (\n{model.sql}\n) as q\n"
