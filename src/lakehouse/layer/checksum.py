"""Column checksums that Postgres and DuckDB compute alike, so that both homes can be compared without moving rows.

Every checksum is a sum, so the order of rows does not matter: of the numbers themselves, of days and
microseconds since 1970, of millionths for doubles, of the first 32 bits of the MD5 for text.
"""

from __future__ import annotations

_POSTGRES = {
    "text": "sum(('x' || substr(md5({0}::text), 1, 8))::bit(32)::bigint)",
    "number": "sum({0})",
    "double": "sum(floor({0} * 1000000)::numeric)",
    "date": "sum({0} - date '1970-01-01')",
    "timestamp": "sum((extract(epoch from {0}) * 1000000)::bigint)",
    "boolean": "sum({0}::integer)",
}
_DUCKDB = {
    "text": "sum(('0x' || substr(md5({0}), 1, 8))::bigint)",
    "number": "sum({0})",
    "double": "sum(floor({0} * 1000000)::hugeint)",
    "date": "sum(date_diff('day', date '1970-01-01', {0}))",
    "timestamp": "sum(epoch_us({0}))",
    "boolean": "sum({0}::integer)",
}
_KINDS = {
    "text": "text",
    "uuid": "text",
    "double precision": "double",
    "date": "date",
    "timestamp": "timestamp",
    "timestamptz": "timestamp",
    "timestamp with time zone": "timestamp",
    "boolean": "boolean",
}


def checksum_query(columns: dict[str, str], relation: str, dialect: str) -> str:
    """One row: the row count, then per column ``<values that are not null>:<checksum>``, all as text.

    ``columns`` maps names to Postgres types.
    """
    templates = _POSTGRES if dialect == "postgres" else _DUCKDB
    sums = [
        f"count({name})::text || ':' || coalesce({templates[_KINDS.get(kind, 'number')].format(name)}::text, '')"
        for name, kind in columns.items()
    ]
    return f"select count(*)::text, {', '.join(sums)} from {relation}"
