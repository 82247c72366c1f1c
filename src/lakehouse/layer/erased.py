"""Whose rows lose their personal values: the list of erased persons, and what becomes of rows that lead to them.

``ops.erased`` holds keyed hashes, so rows are compared by the hash of the column that says, or leads to, the person
(``person`` in the contract). It is done where a file is parsed, so whatever is delivered again, late or otherwise, no
layer sees the person again. While nobody has been erased it costs one look into the ledger per table.
"""

from __future__ import annotations

from collections.abc import Generator, Iterable, Mapping, Sequence
from contextlib import closing, suppress
from dataclasses import dataclass, field
from typing import Any

import pyarrow as pa
from sqlalchemy import Connection, text

from lakehouse.compile.conform import SPACE_CHARACTERS, value_sql
from lakehouse.compile.ddl import literal
from lakehouse.contract import Contract, Project
from lakehouse.contract.erasure import Link, followed, handed_on
from lakehouse.contract.model import PSEUDONYM, Column
from lakehouse.engine.keyedhash import keyed_hash, match_of, pseudonym_of
from lakehouse.engine.rowhash import Dialect
from lakehouse.engine.session import Session, open_session
from lakehouse.errors import FileDefect
from lakehouse.home.homes import Homes
from lakehouse.landing.delimited import read_batches
from lakehouse.landing.manifest import read_manifest

_LISTED = "select table_name, column_name, match from ops.erased where source = :s"
_NOTE = """
insert into ops.erased (source, table_name, column_name, match)
select :s, :t, :c, m from unnest(cast(:m as text[])) as m on conflict do nothing
"""
_STORED = """
select batch_id::text, kind from ops.batch
where table_name = :t and partition_key = cast(:k as date) and bronze_publish_id is not null and size_bytes > 0
order by 1
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

    def stored(self, conn: Connection, project: Project, partition_key: str) -> dict[str, tuple[str, str]]:
        """Table → a batch of the partition that RAW stores, current or not, and that shows erased persons; its kind."""
        found = {}
        for contract in project.tables(self.source):
            if not self.concerns(contract) or not contract.erased_columns:
                continue
            condition = still_there(contract, self.key)
            batches = conn.execute(text(_STORED), {"t": contract.table, "k": partition_key}).all()
            for batch, kind in batches:  # one partition of RAW at a time, by its name
                mine = f"r._batch_id = {literal(batch)} and {condition}"
                if warehouse_value(
                    conn, f"select exists (select 1 from raw.{contract.table} as r where {mine})"
                ):
                    found[contract.table] = batch, kind
                    break
        return found


def warehouse_value(conn: Connection, query: str) -> Any:
    """The one value of a query whose text is complete: nothing in it is a parameter."""
    return conn.exec_driver_sql(query.replace("%", "%%")).scalar_one()


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


def note_leads(
    homes: Homes, conn: Connection, project: Project, erased: Erased, partition_key: str
) -> Mapping[Link, int]:
    """Put what a delivery's files say leads to erased persons on the list; how much of it is new.

    A file that is broken is left to whoever parses it.
    """
    manifest = read_manifest(homes.s3_client(), homes.bucket, erased.source, partition_key)
    found: dict[Link, int] = {}
    with open_session(homes) as session:
        for contract in project.tables(erased.source):
            file = manifest and manifest.file(contract.name)
            links = handed_on(contract, project.contracts)
            if not file or not file.bytes or not erased.concerns(contract) or not links:
                continue
            for link in links:
                body = homes.s3_client().get_object(Bucket=homes.bucket, Key=file.key)["Body"]
                with suppress(FileDefect), closing(read_batches(body, contract, file.key)) as rows:
                    leads = erased.leads(session, contract, link, rows)
                    erased.matches.setdefault(link, set()).update(leads)
                    found[link] = found.get(link, 0) + note(conn, erased.source, link, leads)
    return found


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
