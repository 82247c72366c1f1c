"""What Postgres refused, in words that lead on: the place, the nearest name, the view to read instead."""

from __future__ import annotations

import re
from difflib import get_close_matches
from typing import TYPE_CHECKING

from lakehouse.errors import LakehouseError

if TYPE_CHECKING:
    import psycopg2
    from psycopg2.extensions import connection as Connection

_COMMENTS = re.compile(r"/\*.*?\*/|--[^\n]*", re.DOTALL)
_WRITES = re.compile(
    r"(insert|update|delete|merge|truncate|create|drop|alter|grant|revoke|comment|vacuum|reindex|copy|refresh)\b",
    re.IGNORECASE,
)
_WORDS = re.compile(r"\w+")
_SHOWN_NAMES = 12

#: What the analyst may look into: a table with every column, whether the analyst may read it, and its masked twin.
_COLUMNS = """
SELECT n.nspname, c.relname, a.attname, has_column_privilege(c.oid, a.attnum, 'SELECT')
FROM pg_class AS c
JOIN pg_namespace AS n ON n.oid = c.relnamespace
JOIN pg_attribute AS a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
WHERE c.relkind IN ('r', 'p', 'v', 'm') AND NOT c.relispartition
  AND n.nspname !~ '^(pg_|information_schema)' AND has_schema_privilege(n.oid, 'USAGE')
ORDER BY n.nspname, c.relname, a.attnum
"""
#: Schema → table → column → whether it is open.
_Catalogue = dict[str, dict[str, dict[str, bool]]]


def explained(error: psycopg2.Error, connection: Connection, query: str, before: int = 0) -> LakehouseError:
    """The error for a person. ``before``: so many characters were sent in front of the query."""
    message = error.diag.message_primary or str(error).strip() or "The warehouse has closed the connection."
    if error.pgcode is None:
        return LakehouseError(message, "`lakehouse status` shows what is down; `lakehouse up` starts it.")
    position = int(error.diag.statement_position or 0) - before
    if position > 0:
        message = f"{message}\n{pointed_at(query, position)}"
    return LakehouseError(message, _hint(error, connection, query))


def pointed_at(query: str, position: int) -> str:
    """The line of a query with a caret under the character at ``position`` (from 1)."""
    start = query.rfind("\n", 0, position - 1) + 1
    end = query.find("\n", start)
    line = query[start : end if end >= 0 else len(query)]
    number = query.count("\n", 0, start) + 1
    label = f"line {number}: "
    # A tab stays a tab, so that the caret stands below its character.
    space = re.sub(r"[^\t]", " ", line[: position - 1 - start])
    return f"{label}{line}\n{' ' * len(label)}{space}^"


def first_word(query: str) -> str:
    """The keyword a query begins with, in small letters."""
    found = _WORDS.search(_COMMENTS.sub(" ", query))
    return found.group().lower() if found else ""


def _hint(error: psycopg2.Error, connection: Connection, query: str) -> str:
    from psycopg2 import errorcodes as code

    refused = error.pgcode in (code.INSUFFICIENT_PRIVILEGE, code.FEATURE_NOT_SUPPORTED)
    if error.pgcode == code.READ_ONLY_SQL_TRANSACTION or (refused and _writes(query)):
        return "This login only reads. Rows change by files: `lakehouse land`, then `lakehouse run`."
    if error.pgcode == code.QUERY_CANCELED:
        return "Ask for less: a day, a table of `gold`, or a LIMIT."
    hints = {
        code.INSUFFICIENT_PRIVILEGE: _closed,
        code.UNDEFINED_TABLE: _unknown_table,
        code.INVALID_SCHEMA_NAME: _unknown_table,
        code.UNDEFINED_COLUMN: _unknown_column,
    }
    by_code = hints.get(error.pgcode or "")
    own = error.diag.message_hint or error.diag.message_detail or ""
    return (by_code and by_code(error, _catalogue(connection), query)) or own


def _writes(query: str) -> bool:
    """Whether a query is meant to change something, at its beginning or in a WITH."""
    bare = _COMMENTS.sub(" ", query).lstrip(" \t\r\n(")
    return bool(_WRITES.match(bare)) or (first_word(query) == "with" and bool(_WRITES.search(bare)))


def _catalogue(connection: Connection) -> _Catalogue:
    found: _Catalogue = {}
    connection.rollback()  # after an error nothing else is answered
    with connection.cursor() as cursor:
        cursor.execute(_COLUMNS)
        for schema, table, column, is_open in cursor.fetchall():
            found.setdefault(schema, {}).setdefault(table, {})[column] = is_open
    return {
        schema: tables for schema, tables in found.items() if any(any(c.values()) for c in tables.values())
    }


def _closed(error: psycopg2.Error, known: _Catalogue, query: str) -> str:
    """A column, a table or a schema that the analyst may not read."""
    named = _name_in(error, r"permission denied for \w+(?: \w+)? ")
    words = set(_WORDS.findall(query.lower()))
    for schema, tables in known.items():
        closed = [column for column, is_open in tables.get(named, {}).items() if not is_open]
        if not closed or schema == "masked":
            continue
        asked = [column for column in closed if column in words] or closed
        if named in known.get("masked", {}):
            return (
                f"{_listed(asked)} of {schema}.{named}: closed, because personal. Read masked.{named}, where they are "
                "masked, or name the other columns."
            )
    return f"Open to this login are {', '.join(f'`{schema}`' for schema in sorted(known))}; {_HOW_TO_LIST}"


def _unknown_table(error: psycopg2.Error, known: _Catalogue, query: str) -> str:
    schema, _, table = _name_in(error, r"(?:relation|schema) ").rpartition(".")
    tables = {
        f"{s}.{t}": t for s, found in known.items() for t, columns in found.items() if any(columns.values())
    }
    same = [name for name, bare in tables.items() if bare == table]
    # Those of the schema that was asked for come first; a misspelt schema is no reason to find nothing.
    close = get_close_matches(table, sorted(set(tables.values())), n=3, cutoff=0.6)
    near = same or [name for bare in close for name, own in tables.items() if own == bare]
    near.sort(key=lambda name: (not name.startswith(f"{schema}."), name.startswith("masked.")))
    return f"Did you mean {_or(near[:3])}?" if near else _HOW_TO_LIST.capitalize()


def _unknown_column(error: psycopg2.Error, known: _Catalogue, query: str) -> str:
    column = _name_in(error, r"column ").rpartition(".")[2]
    words = set(_WORDS.findall(query.lower()))
    asked = {t: columns for found in known.values() for t, columns in found.items() if t in words}
    every = list(dict.fromkeys(name for columns in asked.values() for name in columns))
    near = get_close_matches(column, every, n=3, cutoff=0.6)
    if near:
        return f"Did you mean {_or(near)}?"
    return f"{' and '.join(asked)}: {_listed(every)}." if every else ""


def _name_in(error: psycopg2.Error, before: str) -> str:
    """The name that a message speaks of, such as ``gold.kpi_daly``."""
    found = re.search(before + r'"?([^"\s]+)"?', error.diag.message_primary or "")
    return found.group(1) if found else ""


def _listed(names: list[str]) -> str:
    more = len(names) - _SHOWN_NAMES
    return ", ".join(names[:_SHOWN_NAMES]) + (f" and {more} more" if more > 0 else "")


def _or(names: list[str]) -> str:
    return " or ".join(names)


_HOW_TO_LIST = "`lakehouse sql` without a query opens psql, where `\\dt+ gold.*` lists tables."
