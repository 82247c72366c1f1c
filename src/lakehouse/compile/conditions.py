"""What breaks a rule, said once: the condition of a rule on one column, in DuckDB's dialect.

The conform query refuses rows by it, and the gate's queries list the keys of broken rows by it.
"""

from __future__ import annotations

from lakehouse.compile.ddl import literal
from lakehouse.contract import Rule


def broken(rule: Rule, column: str) -> str:
    """The SQL condition that holds for a value of ``column`` that breaks the rule.

    A missing value breaks only ``not_null``: for it, every other condition is null, which is as good as false
    in a ``where``, a ``filter`` and a ``case``; do not negate it. The condition can stand beside ``and`` and
    ``or`` without brackets of its own.

    Raises:
        ValueError: the rule is not about single values (uniqueness, references, counts, a query of its own).
    """
    given = rule.arguments
    if rule.kind == "not_null":
        return f"{column} is null"
    if rule.kind == "accepted_values":
        return f"{column} not in ({', '.join(literal(v) for v in given['values'])})"
    if rule.kind == "pattern":
        return f"not regexp_matches({column}, {literal(given['pattern'])})"
    if rule.kind == "range":
        outside = [
            f"{column} {sign} {literal(given[name])}"
            for name, sign in (("minimum", "<"), ("maximum", ">"))
            if name in given
        ]
        return outside[0] if len(outside) == 1 else f"({' or '.join(outside)})"
    raise ValueError(f"A rule of kind {rule.kind} has no condition on a single value.")
