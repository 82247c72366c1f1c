"""What the staging of a table runs and reads, for people who look at the task."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import Connection, text

from lakehouse.contract import Project
from lakehouse.contract.model import Layer
from lakehouse.errors import StaleStage
from lakehouse.layer.flow import LAYER_STEPS
from lakehouse.layer.ledger import Publish, Run, open_run, publishes

#: The pinned states of some tables, and when each was published.
_PINNED = """
select t.layer || '.' || t.table_name, t.publish_id, t.snapshot_id, t.since_publish_id,
    p.published_at at time zone 'UTC'
from ops.pinned_table as t
left join ops.publish as p on p.publish_id = t.publish_id
where t.run_id = :r and t.layer || '.' || t.table_name = any(:t) order by 1
"""
#: The batches that a run reads of a table: silver has pinned them, bronze accounts for them.
_BATCHES = """
select b.source_key, b.partition_key::text, coalesce(n.role, 'new'), b.kind
from ops.batch as b
left join ops.pinned_batch as n on n.run_id = :r and n.batch_id = b.batch_id
where b.table_name = :t and (n.run_id is not null or b.batch_id in (
    select a.batch_id from ops.accounted as a where a.publish_id = any(:p)
))
order by b.partition_key, b.source_key
"""
#: More batches than this are counted, not listed.
_LISTED = 50


def explain(
    conn: Connection, project: Project, source: str, layer: Layer, partition_key: str, table: str
) -> tuple[str, dict[str, Any]]:
    """The SQL that makes a table, and what the run under way reads for it: mode, pinned tables, batches.

    Of a table that no run under way makes, what is read is not known yet: it is pinned when staging begins.
    """
    steps = LAYER_STEPS[layer]
    sql = steps.sql(project, table)
    try:
        run = open_run(conn, source, layer, partition_key)
    except StaleStage:
        run = None
    mine = publishes(conn, run, project.staged_with(table)) if run else []
    if run is None or not mine:
        return sql, {"run": "not planned yet: the table is published, and is planned when this task begins"}
    return sql, _reads(conn, run, mine, [f"{layer}.{p.table}" for p in mine] + steps.reads(project, table))


def _reads(conn: Connection, run: Run, mine: list[Publish], tables: list[str]) -> dict[str, Any]:
    pinned = conn.execute(text(_PINNED), {"r": run.run_id, "t": tables}).all()
    ids = [p.publish_id for p in mine]
    batches = conn.execute(text(_BATCHES), {"r": run.run_id, "t": mine[0].table, "p": ids}).all()
    reads: dict[str, Any] = {
        "run": run.run_id,
        "partition_key": run.partition_key,
        "makes": {p.table: f"{p.mode} {p.partition_key}" for p in mine},
        "tables": {table: _state(*state) for table, *state in pinned},
        "batches": {file: f"{kind} of {date}, {role}" for file, date, role, kind in batches[:_LISTED]},
    }
    return reads if len(batches) <= _LISTED else reads | {"more_batches": len(batches) - _LISTED}


def _state(publish: int, snapshot: int | None, since: int | None, at: datetime | None) -> str:
    told = f"publish {publish}" + (f" of {at:%Y-%m-%d %H:%M:%S} UTC" if at else "")
    told += f", snapshot {snapshot}" if snapshot else ""
    if since is None or since == publish:
        return told
    return told + (f"; changes since publish {since}" if since else "; all of it is new")
