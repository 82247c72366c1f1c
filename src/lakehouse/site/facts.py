"""What the ledger says, asked as the analyst: small results, set by set."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from sqlalchemy import Connection, Engine, text

from lakehouse.contract import Project, TableContract
from lakehouse.errors import LakehouseError

Row = Mapping[str, Any]

#: Days per source that have a page and a place in the trends; older ones are in ``ops.quality_result``.
DAYS_SHOWN = 90
#: No page may keep the warehouse busy for longer, per query.
_PATIENCE_S = 20

_TABLES = """
select p.source, p.layer, p.table_name, p.partition_key, p.verdict, p.published_at, p.run_id,
       counted.row_count, counted.publish_count
from ops.publish as p
inner join (
    select layer, table_name, sum(coalesce(inserted_rows, 0) - coalesce(deleted_rows, 0))::bigint as row_count,
           count(*) as publish_count
    from ops.publish where status in ('published', 'closed') and published_at is not null
    group by layer, table_name
) as counted using (layer, table_name)
where p.is_current
order by p.source, p.table_name
"""

_OPEN = """
select status, source, layer, partition_key, message, since from ops.open_partition
order by array_position(array['blocked', 'failed', 'overtaken', 'working', 'pending'], status),
         source, partition_key, layer
limit 50
"""

#: Of the state that readers see: the rules of each table's newest publish, and of the newest run of each layer.
_BROKEN = """
with judged as (
    select run_id, table_name from ops.publish where is_current
    union all
    select newest.run_id, relation.table_name
    from (select max(run_id) as run_id from ops.run where status = 'published' group by source, layer) as newest
    cross join (values ('accounting'), ('agreement'), ('shrinking')) as relation (table_name)
)
select q.source, q.layer, q.partition_key, q.table_name, q.rule, q.severity, q.checked_rows, q.failed_rows,
       q.sample_keys, q.description
from judged inner join ops.quality_result as q using (run_id, table_name)
where not q.passed
order by array_position(array['hard', 'row', 'soft'], q.severity), q.failed_rows desc, q.table_name, q.rule
"""

#: The newest run of each layer for each of the last days.
_DAYS = f"""
with ranked as (
    select source, layer, partition_key, run_id, status, verdict,
           coalesce(ended_at, audited_at, planned_at) as moment,
           row_number() over (partition by source, partition_key, layer order by run_id desc) as place,
           dense_rank() over (partition by source order by partition_key desc) as day_place
    from ops.run where status <> 'abandoned' or verdict is not null
)
select r.source, r.partition_key, r.layer, r.run_id, r.status, r.verdict, r.moment, coalesce(q.rules, 0) as rules,
       coalesce(q.broken, 0) as broken
from ranked as r
left join lateral (
    select count(*) as rules, count(*) filter (where not passed) as broken
    from ops.quality_result where run_id = r.run_id
) as q on true
where r.place = 1 and r.day_place <= {DAYS_SHOWN}
order by r.source, r.partition_key desc, array_position(array['bronze', 'silver', 'gold'], r.layer)
"""

_RESULTS = """
select q.run_id, q.layer, q.table_name, q.rule, q.severity, q.checked_rows, q.failed_rows, q.sample_keys,
       q.description, q.verdict
from ops.quality_result as q
where q.run_id = any(:runs) and not q.passed
order by array_position(array['hard', 'row', 'soft'], q.severity), q.table_name, q.rule
"""

_HOPS = """
select p.run_id, p.layer, p.table_name, p.verdict, p.published_at, sum(a.read_rows)::bigint as read_rows,
       p.inserted_rows, p.updated_rows, p.deleted_rows, p.unchanged_rows,
       sum(a.quarantined_rows)::bigint as quarantined_rows, sum(a.duplicate_rows)::bigint as duplicate_rows
from ops.publish as p
left join ops.accounted as a on a.publish_id = p.publish_id
where p.run_id = any(:runs)
group by p.publish_id
order by p.table_name
"""

#: A gate has spoken against it; when was the same partition of the same layer published after that?
_REPAIRS = """
select b.source, b.layer, b.partition_key, min(b.audited_at) as blocked_at, r.published_at,
       extract(epoch from r.published_at - min(b.audited_at))::bigint as seconds
from ops.run as b
left join lateral (
    select min(n.ended_at) as published_at from ops.run as n
    where n.source = b.source and n.layer = b.layer and n.partition_key = b.partition_key
      and n.status = 'published' and n.run_id > b.run_id
) as r on true
where b.verdict = 'blocked'
group by b.source, b.layer, b.partition_key, r.published_at
order by blocked_at desc
limit 20
"""

#: From the last file of a source's newest published day to its gold.
_ARRIVALS = """
select b.source, b.partition_key, max(b.landed_at) as landed_at, count(*) as files, sum(b.size_bytes)::bigint as bytes,
       g.published_at
from ops.batch as b
inner join (
    select source, max(partition_key) as partition_key
    from ops.batch where bronze_publish_id is not null
    group by source
) as newest using (source, partition_key)
left join lateral (
    select max(r.ended_at) as published_at from ops.run as r
    where r.source = b.source and r.layer = 'gold' and r.partition_key = b.partition_key and r.status = 'published'
) as g on true
where b.superseded_by is null
group by b.source, b.partition_key, g.published_at
order by b.source
"""

_STATISTICS = (
    "select schema_name, table_name, column_name, missing_rate, distinct_count from ops.column_statistics()"
)

#: Changes whenever a page about the data might have to.
_MARK = """
select jsonb_build_array(
    (select jsonb_build_array(count(*), max(run_id), max(planned_at), max(audited_at), max(ended_at)) from ops.run),
    (select jsonb_build_array(count(*), max(staged_at), max(published_at)) from ops.publish),
    (select jsonb_agg(o order by o.source, o.layer, o.partition_key) from ops.open_partition as o),
    (select max(last_autoanalyze) from pg_stat_all_tables where schemaname in ('ods', 'gold'))
)::text
"""


@contextmanager
def reading(engine: Engine, project: Project) -> Iterator[Connection]:
    """A transaction that only reads, of one state of the warehouse.

    Raises:
        LakehouseError: its role may read personal columns; the site is for everybody who may see its folder.
    """
    with engine.connect() as conn:
        conn.execute(text("set transaction isolation level repeatable read, read only"))
        conn.execute(text(f"set local statement_timeout = '{_PATIENCE_S}s'"))
        _refuse_the_privileged(conn, project)
        yield conn
        conn.rollback()


def _refuse_the_privileged(conn: Connection, project: Project) -> None:
    tables: list[tuple[str, TableContract]] = [("ods", t) for t in project.silver.values()]
    tables += [("gold", m) for m in project.gold.values()]
    personal = [(f"{schema}.{t.table}", c) for schema, t in tables for c in sorted(t.personal)]
    if not personal:
        return
    open_to = conn.execute(
        text(
            "select current_user, t || '.' || c "
            "from unnest(cast(:tables as text[]), cast(:columns as text[])) as p (t, c) "
            "where to_regclass(t) is not null and has_column_privilege(t, c, 'select') limit 1"
        ),
        {"tables": [t for t, _ in personal], "columns": [c for _, c in personal]},
    ).first()
    if open_to:
        raise LakehouseError(
            f"The site is not built as {open_to[0]}, who can read the personal column {open_to[1]}.",
            "Build it as the analyst: LAKEHOUSE_ANALYST_DSN, or Airflow's connection lakehouse_analyst.",
        )


def mark(conn: Connection) -> str:
    """Changes whenever the ledger does."""
    return hashlib.sha256(str(conn.execute(text(_MARK)).scalar()).encode()).hexdigest()


def _asked(conn: Connection, query: str, **parameters: object) -> list[Row]:
    return [dict(row) for row in conn.execute(text(query), parameters).mappings()]


def tables(conn: Connection) -> list[Row]:
    """Every published table: verdict, day and time of its newest publish, and how many rows readers see."""
    return _asked(conn, _TABLES)


def open_partitions(conn: Connection) -> list[Row]:
    """What is not done; what needs a person comes first."""
    return _asked(conn, _OPEN)


def broken_rules(conn: Connection) -> list[Row]:
    """The rules that do not hold for what readers see now."""
    return _asked(conn, _BROKEN)


def days(conn: Connection) -> list[Row]:
    """The newest run of each layer for the last days of each source, newest first."""
    return _asked(conn, _DAYS)


def results(conn: Connection, runs: Sequence[int]) -> list[Row]:
    """The rules that did not hold in these runs."""
    return _asked(conn, _RESULTS, runs=list(runs))


def hops(conn: Connection, runs: Sequence[int]) -> list[Row]:
    """What became of the rows of each table in these runs."""
    return _asked(conn, _HOPS, runs=list(runs))


def repairs(conn: Connection) -> list[Row]:
    """What the gate has blocked, newest first, and when it was mended."""
    return _asked(conn, _REPAIRS)


def arrivals(conn: Connection) -> list[Row]:
    """Each source's newest day: when its last file came, and when gold had it."""
    return _asked(conn, _ARRIVALS)


def statistics(conn: Connection) -> dict[tuple[str, str], Row]:
    """(``schema.table``, column) → what the planner knows of the column, without any of its values.

    Only columns that the role may read; nothing of tables that were never analysed.
    """
    found = _asked(conn, _STATISTICS)
    return {(f"{r['schema_name']}.{r['table_name']}", str(r["column_name"])): r for r in found}
