"""The warehouse's own housekeeping: space of dead rows, and what the planner believes of tables."""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import Connection, text

from lakehouse.compile.ddl import literal
from lakehouse.home.homes import Homes

#: Autovacuum does this too, but for partitioned tables as wholes, and after what has changed least and longest.
_WORN = """
select c.oid::regclass::text, c.relkind = 'p', coalesce(s.n_dead_tup, 0)
from pg_class as c
inner join pg_namespace as n on n.oid = c.relnamespace
left join pg_stat_user_tables as s on s.relid = c.oid
where
    n.nspname in ('raw', 'ods', 'gold', 'ops', 'public') and c.relkind in ('r', 'p')
    and pg_has_role(c.relowner, 'usage')
    and case c.relkind
        when 'p' then exists (
            select 1 from pg_inherits as i
            inner join pg_stat_user_tables as p on p.relid = i.inhrelid
            where
                i.inhparent = c.oid and p.n_live_tup > 0
                -- Before version 18 the partitions are analysed with it, and later.
                and coalesce(
                    s.last_analyze < greatest(p.last_analyze, p.last_autoanalyze) - interval '1 hour', true
                )
        )
        else
            s.n_dead_tup > 1000 + s.n_live_tup / 10 or s.n_mod_since_analyze > 1000 + s.n_live_tup / 10
            or (s.n_live_tup > 0 and s.last_analyze is null and s.last_autoanalyze is null)
    end
order by c.relkind desc, 1
"""


@dataclass(frozen=True)
class Worn:
    """A table with dead rows, or whose statistics are old; of a partitioned table (``is_whole``) only these count."""

    relation: str
    is_whole: bool
    dead_rows: int


def worn(conn: Connection) -> list[Worn]:
    """The tables that are to be vacuumed or analysed, partitions before what they belong to."""
    return [Worn(*row) for row in conn.execute(text(_WORN))]


def renew(homes: Homes, table: Worn) -> None:
    """Vacuum and analyse a table. One that somebody has locked is passed over, and no reader waits."""
    with homes.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as conn:
        # Without its partitions, where that can be said: they were looked at each by itself.
        alone = " only" if int(conn.exec_driver_sql("show server_version_num").scalar_one()) >= 180000 else ""
        what = "vacuum (analyze, skip_locked, truncate false)"
        if table.is_whole:
            what = f"analyze (skip_locked){alone}"
        conn.exec_driver_sql("set lock_timeout = '10s'")
        conn.exec_driver_sql(f"{what} {table.relation}")
        conn.exec_driver_sql("reset lock_timeout")


def stage_relations(conn: Connection, relations: list[str]) -> int:
    """Bytes of some relations."""
    if not relations:
        return 0
    listed = ", ".join(literal(name) for name in relations)
    query = f"select coalesce(sum(pg_total_relation_size(r::regclass)), 0)::bigint from unnest(array[{listed}]) as r"
    return int(conn.exec_driver_sql(query).scalar_one())
