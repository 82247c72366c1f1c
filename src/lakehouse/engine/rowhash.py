"""One hash per row, computed alike by the engine and by the warehouse, and summed: order does not matter.

A row's text is its values, each in a form that both write alike, with a mark for null between separators; its hash
is the first 60 bits of the MD5 of that text. So two homes are compared by reading each once.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

Dialect = Literal["engine", "warehouse"]

_NULL = "chr(1)"
#: Of doubles the 64 bits, as a whole number: programs write them as different texts.
_ENGINE = {
    "double precision": "cast(cast(cast({0} as bit) as bigint) as text)",
    "timestamptz": "cast(epoch_us({0}) as text)",
    "text": "{0}",
    "uuid": "{0}",
}
_WAREHOUSE = {
    "double precision": "('x' || encode(float8send({0}), 'hex'))::bit(64)::bigint::text",
    "timestamptz": "(extract(epoch from {0}) * 1000000)::bigint::text",
    "text": "{0}",
}


def row_hash(columns: Mapping[str, str], dialect: Dialect) -> str:
    """An aggregate expression: the sum of all rows' hashes as text, ``0`` for no rows.

    ``columns`` maps names to types in the contract's words.
    """
    forms = _ENGINE if dialect == "engine" else _WAREHOUSE
    values = ", ".join(
        f"coalesce({forms.get(kind, 'cast({0} as text)').format(name)}, {_NULL})"
        for name, kind in columns.items()
    )
    digits = f"substr(md5(concat_ws('|', {values})), 1, 15)"
    number = (
        f"cast('0x' || {digits} as bigint)" if dialect == "engine" else f"('x' || {digits})::bit(60)::bigint"
    )
    return f"cast(coalesce(sum({number}), 0) as text)"


def count_and_quick_hash(relation: str, columns: Mapping[str, str]) -> str:
    """Like :func:`count_and_hash`, with the engine's own hash: to compare what only the engine reads."""
    return f"select count(*), cast(coalesce(sum(hash({', '.join(columns)})), 0) as text) from {relation}"


def count_and_hash(relation: str, columns: Mapping[str, str], dialect: Dialect) -> str:
    """A query for the number of rows and the sum of their hashes."""
    return f"select count(*), {row_hash(columns, dialect)} from {relation}"
