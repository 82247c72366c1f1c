"""What the ledger forgets of long ago, and what it never does.

It forgets how gates judged, what ended runs had pinned, and attempts that published nothing. It keeps every batch,
every publish, and what became of each batch's rows: these are as long as the list of deliveries.
"""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import text

from lakehouse.home.homes import Homes

#: Runs that published nothing and never will; no object of theirs is left, and none is the newest of its partition.
_FAILED = """
select r.run_id from ops.run as r
where
    r.status = 'abandoned' and r.planned_at < :before
    and not exists (select 1 from ops.publish as p where p.run_id = r.run_id and p.status <> 'closed')
    and not exists (
        select 1 from ops.publish as p inner join ops.lake_file as f on f.publish_id = p.publish_id
        where p.run_id = r.run_id
    )
    and exists (
        select 1 from ops.run as n
        where n.source = r.source and n.layer = r.layer and n.partition_key = r.partition_key and n.run_id > r.run_id
    )
"""
#: Of the newest run of a layer the next one asks what it has seen.
_OVER = """
select r.run_id from ops.run as r
where
    r.status in ('published', 'abandoned') and r.planned_at < :before
    and r.run_id <> (
        select max(n.run_id) from ops.run as n
        where n.source = r.source and n.layer = r.layer and n.status = 'published'
    )
"""
_NOT_SERVED = """
select p.publish_id from ops.publish as p
where p.status in ('published', 'closed') and not p.is_current and p.planned_at < :before
"""
#: What the last gate of a partition has found stays.
_JUDGED = """
select r.run_id from ops.run as r
where
    r.planned_at < :before and r.status not in ('planned', 'audited', 'blocked')
    and exists (
        select 1 from ops.run as n
        where n.source = r.source and n.layer = r.layer and n.partition_key = r.partition_key and n.run_id > r.run_id
    )
"""
_OF_FAILED = f"publish_id in (select p.publish_id from ops.publish as p where p.run_id in ({_FAILED}))"
#: Table of ops → which rows go; in an order that the references between them allow.
_GOING: dict[str, str] = {
    "quality_result": f"run_id in ({_JUDGED}) or run_id in ({_FAILED})",
    "pinned_table": f"run_id in ({_OVER}) or run_id in ({_FAILED})",
    "pinned_batch": f"run_id in ({_OVER}) or run_id in ({_FAILED})",
    "agreement": f"publish_id in ({_NOT_SERVED}) or {_OF_FAILED}",
    "accounted": f"not is_published and {_OF_FAILED}",
    "publish": f"status = 'closed' and run_id in ({_FAILED})",
    "run": f"run_id in ({_FAILED}) and not exists (select 1 from ops.publish as p where p.run_id = run.run_id)",
}
_REPORTS = f"report is not null and run_id in ({_JUDGED})"


def bound(homes: Homes, before: datetime, *, apply: bool) -> dict[str, int]:
    """Forget what is older than a time; one transaction. Returns table of ``ops`` → rows that go.

    Reports of gates, which lie in ``ops.run``, are counted as ``report``.
    """
    limit = {"before": before}
    with homes.engine.begin() as conn:
        if not apply:
            going = [(table, table, rows) for table, rows in _GOING.items()] + [("report", "run", _REPORTS)]
            return {
                name: int(
                    conn.execute(text(f"select count(*) from ops.{table} where {rows}"), limit).scalar_one()
                )
                for name, table, rows in going
            }
        forgotten = conn.execute(text(f"update ops.run set report = null where {_REPORTS}"), limit).rowcount
        done = {
            table: conn.execute(text(f"delete from ops.{table} where {rows}"), limit).rowcount
            for table, rows in _GOING.items()
        }
        return done | {"report": forgotten}
