"""What a staged result changes in its target: the same for silver and gold, in both homes.

Relations in schema ``stage``, named ``<layer>__<table>`` plus:

* ``__result``: the complete new content for what was recomputed (ODS or gold columns, no ``_publish_id``);
* (nothing): the delta, the target's columns and ``_op`` (insert, update, delete);
* ``__next``: a view of the whole table as it will be after the publish.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from sqlalchemy import Connection

from lakehouse.home.homes import Homes
from lakehouse.home.warehouse import column_types
from lakehouse.layer.copies import record_agreement, warehouse_to_lake
from lakehouse.layer.ledger import Hop

#: Indexes of a table that is not partitioned: name, definition, and the constraint it belongs to with its definition.
_INDEXES = """
select
    i.indexrelid::regclass::text, pg_get_indexdef(i.indexrelid),
    quote_ident(c.conname), pg_get_constraintdef(c.oid)
from pg_index as i
join pg_class as t on t.oid = i.indrelid and t.relkind = 'r'
left join pg_constraint as c on c.conindid = i.indexrelid
where i.indrelid = cast(%(table)s as regclass)
"""


@dataclass(frozen=True)
class Target:
    """Where a staged result goes. ``technical`` columns are written but do not make a row different.

    ``scope`` is a condition on ``t`` (the target): its rows that the result replaces completely; rows of the
    scope that the result lacks are deleted. None deletes nothing.
    """

    layer: str
    schema: str
    table: str
    key: tuple[str, ...]
    technical: tuple[str, ...]
    scope: str | None

    @property
    def name(self) -> str:
        """The target table."""
        return f"{self.schema}.{self.table}"

    @property
    def delta(self) -> str:
        """The delta's relation."""
        return staged(self.layer, self.table)


def staged(layer: str, table: str, suffix: str = "") -> str:
    """The name of a staged relation."""
    return f"stage.{layer}__{table}" + (f"__{suffix}" if suffix else "")


def matches(left: str, right: str, key: tuple[str, ...]) -> str:
    """The join condition on a key."""
    return " and ".join(f"{left}.{k} = {right}.{k}" for k in key)


def stage_delta(conn: Connection, target: Target, publish_id: int) -> dict[str, int]:
    """Compare ``__result`` with the target; build the delta and ``__next``.

    Returns inserted, updated, deleted and unchanged rows.
    """
    columns = column_types(conn, target.name)
    business = [c for c in columns if c not in target.technical]
    result, on = staged(target.layer, target.table, "result"), matches("t", "r", target.key)
    differs = f"({', '.join(f'r.{c}' for c in business)}) is distinct from ({', '.join(f't.{c}' for c in business)})"
    names = ", ".join(columns)
    values = ", ".join(
        f"{publish_id}::bigint as _publish_id" if c == "_publish_id" else f"r.{c}" for c in columns
    )
    missing = (
        f"union all select {', '.join(f't.{c}' for c in columns)}, 'delete' from {target.name} t "
        f"where ({target.scope}) and not exists (select 1 from {result} r where {on})"
        if target.scope
        else ""
    )
    conn.exec_driver_sql(f"drop table if exists {target.delta} cascade")
    conn.exec_driver_sql(
        f"create unlogged table {target.delta} as "
        f"select {values}, case when t.{target.key[0]} is null then 'insert' else 'update' end as _op "
        f"from {result} r left join {target.name} t on {on} where t.{target.key[0]} is null or {differs} {missing}"
    )
    conn.exec_driver_sql(f"analyze {target.delta}")
    conn.exec_driver_sql(
        f"create view {staged(target.layer, target.table, 'next')} as "
        f"select {names} from {target.name} t where not exists "
        f"(select 1 from {target.delta} r where r._op <> 'insert' and {on}) "
        f"union all select {names} from {target.delta} where _op <> 'delete'"
    )
    counts = dict.fromkeys(("insert", "update", "delete"), 0) | dict(
        conn.exec_driver_sql(f"select _op, count(*) from {target.delta} group by _op").all()
    )
    total = conn.exec_driver_sql(f"select count(*) from {result}").scalar_one()
    return {
        "inserted": counts["insert"],
        "updated": counts["update"],
        "deleted": counts["delete"],
        "unchanged": total - counts["insert"] - counts["update"],
    }


def copy_delta_to_lake(homes: Homes, conn: Connection, hop: Hop, target: Target) -> dict[str, object]:
    """Write the lake's side of the delta and compare it with the warehouse's.

    A file holds rows of one publish only. Files of publishes that lost rows to this delta are replaced by files
    of the rows that stay. Returns ``files`` (to add) and ``replaced`` (publish ids whose files go).
    """
    columns = column_types(conn, target.name)
    names, on = ", ".join(columns), matches("t", "r", target.key)
    lost = f"exists (select 1 from {target.delta} r where r._op <> 'insert' and {on})"
    replaced = [
        row[0]
        for row in conn.exec_driver_sql(
            f"select distinct t._publish_id from {target.name} t where {lost} order by 1"
        )
    ]
    fresh = f"select {names} from {target.delta} where _op <> 'delete'"
    stays = f"select {names} from {target.name} t where t._publish_id = {{0}} and not {lost}"
    queries = [fresh, *(stays.format(old) for old in replaced)]
    files = warehouse_to_lake(homes, conn, hop, columns, queries)
    record_agreement(homes, conn, hop, columns, f"({' union all '.join(queries)}) q", files)
    return {"files": files, "replaced": replaced}


def merge(conn: Connection, target: Target, publish_id: int, keep_preimages: bool) -> dict[str, int]:
    """Apply the delta to the target in the warehouse. Returns inserted, updated and deleted rows."""
    columns = list(column_types(conn, target.name))
    on = matches("t", "r", target.key)
    names = ", ".join(columns)
    if keep_preimages:
        conn.exec_driver_sql(
            f"insert into ops.preimage select {publish_id}, '{target.table}', to_jsonb(t.*) "
            f"from {target.name} t join {target.delta} r on {on} where r._op <> 'insert'"
        )
    deleted = conn.exec_driver_sql(
        f"delete from {target.name} t using {target.delta} r where r._op = 'delete' and {on}"
    ).rowcount
    updated = conn.exec_driver_sql(
        f"update {target.name} t set {', '.join(f'{c} = r.{c}' for c in columns)} "
        f"from {target.delta} r where r._op = 'update' and {on}"
    ).rowcount
    with _indexed_afterwards(conn, target.name):
        inserted = conn.exec_driver_sql(
            f"insert into {target.name} ({names}) select {names} from {target.delta} where _op = 'insert'"
        ).rowcount
    return {"inserted": inserted, "updated": updated, "deleted": deleted}


@contextmanager
def _indexed_afterwards(conn: Connection, table: str) -> Iterator[None]:
    """Build the indexes of an empty table from its first rows: much faster than keeping them up row by row."""
    indexes = conn.exec_driver_sql(_INDEXES, {"table": table}).all()
    if not indexes or conn.exec_driver_sql(f"select exists (select from {table})").scalar():
        yield
        return
    for name, _, constraint, _ in indexes:
        drop = f"alter table {table} drop constraint {constraint}" if constraint else f"drop index {name}"
        conn.exec_driver_sql(drop)
    yield
    for _, definition, constraint, rule in indexes:
        conn.exec_driver_sql(
            f"alter table {table} add constraint {constraint} {rule}" if constraint else definition
        )
