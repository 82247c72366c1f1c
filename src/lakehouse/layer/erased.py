"""Whose rows lose their personal values: the list of erased persons, and what becomes of rows that lead to them.

``ops.erased`` holds keyed hashes, so rows are compared by the hash of the column that says, or leads to, the person
(``person`` in the contract). It is done where a file is parsed, so whatever is delivered again, late or otherwise, no
layer sees the person again. While nobody has been erased it costs one look into the ledger per table.
"""

from __future__ import annotations

from collections.abc import Generator, Iterable, Sequence
from dataclasses import dataclass, field

import pyarrow as pa
from sqlalchemy import Connection, text

from lakehouse.compile.conform import SPACE_CHARACTERS, value_sql
from lakehouse.compile.ddl import literal
from lakehouse.contract import Contract
from lakehouse.contract.erasure import Link, followed
from lakehouse.contract.model import PSEUDONYM, Column
from lakehouse.engine.keyedhash import keyed_hash, match_of, pseudonym_of
from lakehouse.engine.rowhash import Dialect
from lakehouse.engine.session import Session

_LISTED = "select table_name, column_name, match from ops.erased where source = :s"
_NOTE = """
insert into ops.erased (source, table_name, column_name, match)
select :s, :t, :c, m from unnest(cast(:m as text[])) as m on conflict do nothing
"""
_INCOMING, _MATCHES = "incoming", "erased_matches"


@dataclass
class Erased:
    """The list of a source: what leads to erased persons, as hashes under ``key``."""

    source: str
    key: bytes = field(repr=False)
    matches: dict[Link, set[str]] = field(repr=False)

    def concerns(self, contract: Contract) -> bool:
        """Whether rows of the table may lead to somebody who was erased."""
        link = followed(contract)
        return link is not None and bool(self.matches.get(link))

    def without(
        self, session: Session, contract: Contract, relation: str, names: Sequence[str], *, only: bool = False
    ) -> str:
        """A query for a relation of landed rows, personal values of erased persons replaced.

        Args:
            session: gets the list.
            contract: of the rows' table.
            relation: has its RAW columns.
            names: the columns to return.
            only: return the rows of erased persons and no others.
        """
        link = followed(contract)
        session.texts(_MATCHES, "match", sorted(self.matches.get(link, set()) if link else ()))
        person = contract.person_column
        if person is None:
            raise AssertionError(f"{contract.table} holds nothing about persons.")
        replaced = {c.raw_name: _replacement(c) for c in contract.erased_columns}
        shown = ", ".join(f"{replaced[n]} as {n}" if n in replaced else f"r.{n}" for n in names)
        hashed = keyed_hash(value_sql(person, person.raw_name), self.key, "engine")
        join = "inner" if only else "left"
        return (
            f"select {shown} from (select *, {hashed} as _hash from {relation}) as r "
            f"{join} join {_MATCHES} as e on e.match = {match_of('r._hash')}"
        )

    def take_out(
        self, session: Session, contract: Contract, batches: Iterable[pa.RecordBatch], *, only: bool = False
    ) -> Generator[pa.RecordBatch]:
        """Batches of landed rows with the personal values of erased persons replaced (``only``: of these persons)."""
        query = ""
        for batch in batches:
            query = query or self.without(session, contract, _INCOMING, batch.schema.names, only=only)
            found = session.transformed(_INCOMING, batch, query)
            yield from found.cast(batch.schema).combine_chunks().to_batches()

    def leads(
        self, session: Session, contract: Contract, link: Link, batches: Iterable[pa.RecordBatch]
    ) -> set[str]:
        """Hashes of what rows of erased persons hand on to other tables, by one of their columns."""
        column = contract.column(link.column)
        rows = self.without(session, contract, _INCOMING, [column.raw_name], only=True)
        hashed = match_of(keyed_hash(value_sql(column, column.raw_name), self.key, "engine"))
        query = f"select distinct {hashed} as match from ({rows}) as q"
        found: set[str] = set()
        for batch in batches:
            matches = session.transformed(_INCOMING, batch, query)["match"].to_pylist()
            found.update(match for match in matches if match)
        return found


def _replacement(column: Column) -> str:
    """SQL of what becomes of a column of ``r``."""
    erased = pseudonym_of("r._hash") if column.erased_as == PSEUDONYM else literal(column.erased_as or "")
    return f"case when e.match is not null then {erased} else r.{column.raw_name} end"


def read_erased(conn: Connection, source: str) -> Erased | None:
    """The list of a source; None while nobody of it has been erased."""
    matches: dict[Link, set[str]] = {}
    for table, column, match in conn.execute(text(_LISTED), {"s": source}):
        matches.setdefault(Link(table, column), set()).add(match)
    if not matches:
        return None
    key = bytes(conn.execute(text("select secret_key from ops.erasure_key")).scalar_one())
    return Erased(source, key, matches)


def note(conn: Connection, source: str, link: Link, matches: Iterable[str]) -> int:
    """Put hashes on the list; returns how many are new. Safe to repeat."""
    given = {"s": source, "t": link.table, "c": link.column, "m": sorted(matches)}
    return conn.execute(text(_NOTE), given).rowcount


def stored_value(column: Column) -> str:
    """SQL of the warehouse: a value of RAW as silver reads it, null when there is nothing."""
    return f"nullif(btrim(r.{column.raw_name}, {literal(SPACE_CHARACTERS)}), '')"


def stored_match(column: Column, key: bytes) -> str:
    """SQL of the warehouse: the hash of a value of RAW that the list would have."""
    dialect: Dialect = "warehouse"
    return match_of(keyed_hash(stored_value(column), key, dialect))


def of_erased(contract: Contract, key: bytes) -> str:
    """A condition on ``r``, rows of RAW: they are about somebody who is on the list."""
    person, link = contract.person_column, followed(contract)
    if person is None or link is None:
        return "false"
    listed = (
        f"select match from ops.erased where source = {literal(contract.source)} "
        f"and table_name = {literal(link.table)} and column_name = {literal(link.column)}"
    )
    return f"{stored_match(person, key)} in ({listed})"


def still_there(contract: Contract, key: bytes) -> str:
    """A condition on ``r``, rows of RAW: they are about somebody on the list and have not lost everything."""
    changed = [
        f"coalesce(r.{c.raw_name}, '') <> {literal(c.erased_as)}"
        for c in contract.erased_columns
        if c.erased_as != PSEUDONYM
    ]
    if any(c.erased_as == PSEUDONYM for c in contract.erased_columns):
        changed.append("true")  # a pseudonym is on no list
    return f"({' or '.join(changed) or 'false'}) and {of_erased(contract, key)}"
