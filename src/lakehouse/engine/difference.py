"""What a computed result changes in its table: rows to insert, update and delete, and the lake files they lie in.

Relations of the session: ``result`` (the complete new content of what was computed, without ``_publish_id``) and
``base`` (the table's pinned state). Made here: ``delta``, the table's columns and ``_op``.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from lakehouse.engine.session import FILE_COLUMN, Session


@dataclass(frozen=True)
class Difference:
    """Rows by what happens to them, and the lake files that lose rows. ``base``: rows of the table before."""

    inserted: int
    updated: int
    deleted: int
    unchanged: int
    base: int
    touched: tuple[str, ...]

    @property
    def replaces_all(self) -> bool:
        """Whether nothing stays of what was there."""
        return self.inserted + self.updated > 0 and self.updated + self.deleted == self.base


#: Nothing was compared, because nothing can differ.
NO_DIFFERENCE = Difference(0, 0, 0, 0, 0, ())


def difference(
    session: Session,
    *,
    columns: Sequence[str],
    technical: Sequence[str],
    key: Sequence[str],
    publish_id: int,
    scope: str | None,
) -> Difference:
    """Compare ``result`` with ``base``; make ``delta``.

    Args:
        session: holds ``result`` and ``base``.
        columns: the table's columns.
        technical: those that do not make a row different.
        key: what identifies a row.
        publish_id: written into ``_publish_id`` of inserted and updated rows.
        scope: a condition on ``t`` (the base): rows that the result replaces completely, so that those it lacks
            are deleted. None deletes nothing.
    """
    values = ", ".join(
        f"cast({publish_id} as bigint) as {c}" if c == "_publish_id" else f"r.{c}" for c in columns
    )
    rows = int(session.value("select count(*) from result"))
    base = int(session.value("select count(*) from base"))
    if base == 0:
        session.view("delta", f"select {values}, 'insert' as _op from result as r")
        return Difference(rows, 0, 0, 0, 0, ())
    on = matches("t", "r", key)
    differs = (
        " or ".join(f"r.{c} is distinct from t.{c}" for c in columns if c not in technical and c not in key)
        or "false"
    )
    gone = ", ".join(f"t.{c}" for c in columns)
    session.table(
        "delta",
        f"select {values}, case when t.{key[0]} is null then 'insert' else 'update' end as _op, "
        f"t.{FILE_COLUMN} as _file "
        f"from result as r left join base as t on {on} where t.{key[0]} is null or {differs}"
        + (
            f" union all select {gone}, 'delete', t.{FILE_COLUMN} from base as t where ({scope}) "
            f"and not exists (select 1 from result as r where {on})"
            if scope
            else ""
        ),
    )
    counts = dict(session.rows("select _op, count(*) from delta group by _op"))
    inserted, updated, deleted = (int(counts.get(op, 0)) for op in ("insert", "update", "delete"))
    lost = session.rows("select distinct _file from delta where _op <> 'insert' order by 1")
    touched = tuple(session.uri(path) for (path,) in lost)
    return Difference(inserted, updated, deleted, rows - inserted - updated, base, touched)


def carried(files: Sequence[str], columns: Sequence[str], key: Sequence[str]) -> str:
    """A query for the rows of some (local) files of ``base`` that ``delta`` leaves as they are."""
    names = ", ".join(f"t.{c}" for c in columns)
    listed = ", ".join(f"'{path}'" for path in files)
    return f"select {names} from base as t where t.{FILE_COLUMN} in ({listed}) and not {_lost(key)}"


def _lost(key: Sequence[str]) -> str:
    return f"exists (select 1 from delta as r where r._op <> 'insert' and {matches('t', 'r', key)})"


def matches(left: str, right: str, key: Sequence[str]) -> str:
    """The join condition on a key."""
    return " and ".join(f"{left}.{k} = {right}.{k}" for k in key)


def changed_rows(
    session: Session, relation: str, before: str, after: str, key: Sequence[str], since: int
) -> None:
    """Make ``relation``: rows that differ between two states of a table, as they were and as they are.

    ``before`` and ``after`` are relations over the files that only one of the states has. A row that merely moved
    to another file keeps its ``_publish_id``.
    """
    same = f"{matches('a', 'b', key)} and a._publish_id = b._publish_id"
    session.view(
        relation,
        f"select a.* from {after} as a where a._publish_id > {since} union all by name "
        f"select b.* from {before} as b where not exists (select 1 from {after} as a where {same})",
    )
