"""What of the lake nobody reads any more: old snapshots expire, and the objects that only they show are deleted.

A publish keeps the newest snapshots and sweeps the rest; maintenance expires by age. Both ask the ledger for the oldest
state of a table that somebody may still read, and remove what is older. Nothing that an open run has pinned goes.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from typing import TYPE_CHECKING, Any

from sqlalchemy import Connection, text

from lakehouse.home import lake, masked, warehouse
from lakehouse.home.homes import Homes, abort_uploads

if TYPE_CHECKING:
    from lakehouse.home.iceberg import LakeCatalog

#: Deleted in one request and one transaction.
_SWEPT = 500
#: Name of the lock: shared by who deletes objects, held alone by who wants them to stay.
_OBJECTS = "lakehouse.objects"

#: Table → the oldest state that is kept; no row when all are. States that did not change the table have no snapshot.
#: An open run reads what it has pinned, and the next run of gold compares with what the last one has seen.
_OLDEST_KEPT = """
with pinning as (
    select r.run_id, true as is_open from ops.run as r where r.status in ('planned', 'audited')
    union all
    select seen.run_id, false as is_open
    from (
        select distinct p.source from ops.publish as p
        where p.layer = :layer and p.table_name = any(:tables) and p.is_current
    ) as s
    cross join lateral (
        select r.run_id from ops.run as r
        where r.source = s.source and r.layer = 'gold' and r.status = 'published'
        order by r.run_id desc limit 1
    ) as seen
),
pinned as (
    select
        t.table_name,
        min(case when g.is_open then least(t.publish_id, nullif(t.since_publish_id, 0)) else t.publish_id end) as oldest
    from ops.pinned_table as t
    inner join pinning as g on t.run_id = g.run_id
    where t.layer = :layer and (g.is_open or t.layer = 'silver')
    group by t.table_name
),
oldest as (
    select
        t.table_name,
        kept.publish_id as kept,
        least(
            kept.publish_id, pinned.oldest,
            -- What was replaced since then was read until then.
            (
                select min(p.publish_id) from ops.publish as p
                where
                    p.layer = :layer and p.table_name = t.table_name and p.status = 'published'
                    and p.published_at >= cast(:before as timestamptz)
            )
        ) as oldest
    from unnest(cast(:tables as text[])) as t (table_name)
    cross join lateral (
        select p.publish_id from ops.publish as p
        where
            p.layer = :layer and p.table_name = t.table_name and p.status = 'published'
            and (p.placement <> 'none' or p.replaced_files <> '{}')
        order by p.publish_id desc offset :keep - 1 limit 1
    ) as kept
    left join pinned on t.table_name = pinned.table_name
)
"""
#: Staged by an attempt that is over, or replaced before the oldest state that is kept.
_GARBAGE = f"""
{_OLDEST_KEPT}
select f.uri from ops.lake_file as f
left join ops.publish as p on p.publish_id = f.publish_id
where f.status = 'staged' and (p.status = 'closed' or p.status = 'published')
union all
select f.uri from ops.lake_file as f
inner join oldest on oldest.table_name = f.table_name
where f.status = 'replaced' and f.layer = :layer and f.replaced_by <= oldest.oldest
"""


@contextmanager
def keeping_objects(homes: Homes) -> Iterator[None]:
    """Hold off every deletion in the bucket, for instance while a backup copies it; deletions under way end first.

    Publishes go on, and what they do not sweep meanwhile a later one does. A process that dies holds nothing.
    """
    with homes.engine.connect() as conn:
        key = {"n": _OBJECTS}
        conn.execute(text("select pg_advisory_lock(hashtextextended(:n, 0))"), key)
        conn.commit()
        try:
            yield
        finally:
            conn.execute(text("select pg_advisory_unlock(hashtextextended(:n, 0))"), key)
            conn.commit()


def may_delete(conn: Connection) -> bool:
    """Whether objects may be deleted until the transaction ends; False while somebody keeps them."""
    taken = text("select pg_try_advisory_xact_lock_shared(hashtextextended(:n, 0))")
    return bool(conn.execute(taken, {"n": _OBJECTS}).scalar_one())


def sweep(
    homes: Homes,
    layer: str,
    tables: Sequence[str],
    *,
    keep: int | None = None,
    before: datetime | None = None,
) -> int:
    """Delete objects of ended attempts, and those that no kept state of these tables shows; at most some hundred.

    Args:
        homes: whose lake.
        layer: of the tables.
        tables: their names.
        keep: how many of the newest states of each table stay: 1 is what readers see now. Default: the snapshots
            that a publish keeps, and the one that it has just expired, for who reads it still.
        before: what was read since then stays, too.

    Returns how many were deleted; none while somebody keeps the objects (see :func:`keeping_objects`).
    """
    with homes.engine.begin() as conn:
        if not may_delete(conn):
            return 0
        garbage = text(f"{_GARBAGE} limit :swept")
        found = conn.execute(garbage, _limits(layer, tables, keep, before) | {"swept": _SWEPT})
        # What a task that was given up still holds is left for later.
        free = text(
            "select uri, status = 'staged' and kind <> 'metadata' from ops.lake_file where uri = any(:u) "
            "for update skip locked"
        )
        half_sent: dict[str, bool] = dict(conn.execute(free, {"u": list(found.scalars())}).all())
        uris = list(half_sent)
        if uris:
            lake.delete_objects(homes, uris)
            # Of objects whose writer was killed there may be parts.
            for bucket, key in (lake.place_of(uri) for uri in uris if half_sent[uri]):
                abort_uploads(homes.s3_client(), bucket, key)
            conn.execute(text("delete from ops.lake_file where uri = any(:u)"), {"u": uris})
    return len(uris)


def sweepable(
    conn: Connection, layer: str, tables: Sequence[str], *, keep: int, before: datetime | None
) -> list[str]:
    """The objects that :func:`sweep` would delete, all of them."""
    return list(conn.execute(text(_GARBAGE), _limits(layer, tables, keep, before)).scalars())


def expire_snapshots(
    homes: Homes,
    source: str,
    layer: str,
    table: str,
    *,
    keep: int = 1,
    before: datetime | None = None,
    dry_run: bool = False,
) -> int:
    """Let a table's old snapshots expire, in its masked copy, too; readers see no difference but in its past.

    One transaction, under the lock of the source's layer: a run that publishes meanwhile waits for it, and writes its
    commit anew. What :func:`sweep` with the same ``keep`` and ``before`` deletes, no snapshot shows afterwards.
    Snapshots that a branch or tag of Iceberg names stay.

    Args:
        homes: whose lake.
        source: of the table.
        layer: of the table.
        table: its name.
        keep: how many of the newest states stay: 1 is what readers see now.
        before: what was read since then stays, too.
        dry_run: only count.

    Returns how many snapshots expire.
    """
    expired = 0
    with homes.engine.begin() as conn:
        if not dry_run:
            warehouse.lock(conn, "tables")
            warehouse.lock(conn, source, layer)
        oldest = conn.execute(
            text(f"{_OLDEST_KEPT} select oldest from oldest"), _limits(layer, [table], keep, before)
        ).scalar()
        if oldest is None:
            return 0
        catalog = homes.catalog(conn)
        for namespace in (layer, masked.NAMESPACE):
            identifier = f"{namespace}.{table}"
            if namespace == layer or (layer != "bronze" and catalog.table_exists(identifier)):
                expired += _expire(homes, conn, catalog, identifier, layer, oldest, dry_run=dry_run)
    return expired


def _expire(
    homes: Homes,
    conn: Connection,
    catalog: LakeCatalog,
    identifier: str,
    layer: str,
    oldest: int,
    *,
    dry_run: bool,
) -> int:
    from lakehouse.home.iceberg import drop_snapshots, snapshots_before

    table = catalog.load_table(identifier)
    old = snapshots_before(table, oldest)
    if old and not dry_run:
        with lake.changing_metadata(homes, conn, catalog, layer, identifier.rpartition(".")[2]) as replaced:
            replaced.extend(drop_snapshots(table, old))
    return len(old)


def _limits(layer: str, tables: Sequence[str], keep: int | None, before: datetime | None) -> dict[str, Any]:
    from lakehouse.home import iceberg

    return {
        "layer": layer,
        "tables": list(tables),
        "keep": keep or iceberg.KEEP_SNAPSHOTS + 1,
        "before": before,
    }
