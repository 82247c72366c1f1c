"""Retention: rows that are older than their contract says leave RAW and bronze, and of events ODS and silver too.

A batch is *retired* as a whole, in both homes, by one COMMIT with the ledger. Its age counts from the day it landed.
What silver is made from stays, however old. A batch is retired when its retention has passed and

* it was superseded or withdrawn, and silver has let go of it; or
* its table holds events: then silver's rows of that day, which come from it alone, are retired with it; or
* its table keeps no history and a newer *full* delivery, itself past retention and without refused rows, says
  everything again: within the time of retention anything can be withdrawn, and falls back to that one.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import groupby

from sqlalchemy import Connection, text

from lakehouse.contract import Contract, Project
from lakehouse.contract.model import SCHEMAS, Layer
from lakehouse.errors import LakehouseError
from lakehouse.home import warehouse
from lakehouse.home.homes import Homes
from lakehouse.home.rows import detach
from lakehouse.layer import upkeep
from lakehouse.layer.ledger import Publish, end_run
from lakehouse.layer.place import batch_partition, date_partition

#: Batches that may go, oldest first, with their rows. A run that is under way may read what it has pinned.
_RETIRABLE = """
with base as (
    select max(b.partition_key) as day
    from ops.batch as b
    inner join ops.accounted as a on a.publish_id = b.silver_publish_id and a.batch_id = b.batch_id
    where
        b.table_name = :t and b.kind = 'full' and b.size_bytes > 0 and a.quarantined_rows = 0
        and b.superseded_by is null and b.retired_at is null and b.landed_at <= :cutoff
)
select
    b.batch_id::text, b.partition_key::text,
    coalesce((select sum(f.row_count) from ops.lake_file as f
    where f.batch_id = b.batch_id and f.layer = 'bronze' and f.status = 'live'), 0)::bigint,
    b.superseded_by is null
from ops.batch as b
where
    b.table_name = :t and b.bronze_publish_id is not null and b.retired_at is null and b.size_bytes > 0
    and b.landed_at <= :cutoff
    and case
        when b.superseded_by is not null then b.silver_publish_id is null
        when b.silver_publish_id is null then false
        when :events then true
        when :history then false
        else b.partition_key < (select day from base)
    end
    and not exists (
        select 1 from ops.pinned_batch as p
        inner join ops.run as r on r.run_id = p.run_id
        where p.batch_id = b.batch_id and r.status in ('planned', 'audited', 'blocked')
    )
    and not exists (
        select 1 from ops.accounted as a
        inner join ops.publish as p on p.publish_id = a.publish_id
        where a.batch_id = b.batch_id and p.status in ('planned', 'staged')
    )
order by b.partition_key, b.batch_id
"""
#: A run that is under way for the date, or (of a layer whose rows are replaced) for any date.
_UNDER_WAY = """
select layer || ' ' || partition_key from ops.run
where
    source = :s and status in ('planned', 'audited')
    and (layer = 'bronze' and partition_key = :k or layer = 'silver' and :silver)
order by 1 limit 1
"""
_RETIRED = """
update ops.batch set retired_at = clock_timestamp() where batch_id = any(cast(:b as uuid[]))
"""
_LIVE = """
select uri from ops.lake_file
where
    layer = :l and table_name = :t and status = 'live' and kind in ('changed', 'carried')
    and case when :l = 'bronze' then batch_id = any(cast(:b as uuid[])) else partition_key = :k end
"""
#: How long readers may hold a table before this gives up: a lock that waits makes others wait.
_PATIENCE = "set local lock_timeout = '10s'"


@dataclass(frozen=True)
class Outdated:
    """A batch whose retention has passed and that nothing needs. ``with_silver``: silver's day goes with it."""

    source: str
    table: str
    partition_key: str
    batch_id: str
    rows: int
    with_silver: bool


@dataclass(frozen=True)
class Retired:
    """What became of a delivery's outdated batches. ``held_by``: the run that is under way, for which they stay."""

    batches: tuple[Outdated, ...]
    held_by: str = ""


def outdated(conn: Connection, contract: Contract, now: datetime) -> list[Outdated]:
    """The batches of a table that may be retired, oldest first; none when its contract names no retention."""
    if contract.retention_days is None:
        return []
    events = contract.partition_column is not None
    rows = conn.execute(
        text(_RETIRABLE),
        {
            "t": contract.table,
            "cutoff": now - timedelta(days=contract.retention_days),
            "events": events,
            "history": contract.keeps_history,
        },
    ).all()
    return [
        Outdated(contract.source, contract.table, day, batch, rows_in_lake, events and is_current)
        for batch, day, rows_in_lake, is_current in rows
    ]


def deliveries(conn: Connection, project: Project, now: datetime) -> list[tuple[Outdated, ...]]:
    """All that may be retired, a delivery (source and date) each."""
    found = [o for contract in project.contracts.values() for o in outdated(conn, contract, now)]
    found.sort(key=lambda o: (o.source, o.partition_key, o.table, o.batch_id))
    return [tuple(group) for _, group in groupby(found, key=lambda o: (o.source, o.partition_key))]


def retire(homes: Homes, project: Project, source: str, partition_key: str, now: datetime) -> Retired:
    """Take the outdated batches of a delivery out of both homes, by one COMMIT. Safe to repeat and to kill.

    Raises:
        LakehouseError: the homes do not hold the same rows of a batch, or a lock was not free; nothing was done.
    """
    with homes.engine.begin() as conn:
        warehouse.lock(conn, "tables")
        warehouse.lock(conn, source, "bronze")
        warehouse.lock(conn, source, "silver")
        found = [
            o
            for contract in project.tables(source)
            for o in outdated(conn, contract, now)
            if o.partition_key == partition_key
        ]
        day = {"s": source, "k": partition_key}
        busy = conn.execute(text(_UNDER_WAY), day | {"silver": any(o.with_silver for o in found)}).scalar()
        if busy or not found:
            return Retired(tuple(found), busy or "")
        conn.execute(text(_PATIENCE))
        events = [o for o in found if o.with_silver]
        if events:
            _retire_layer(homes, project, conn, "silver", events)
        _retire_layer(homes, project, conn, "bronze", found)
        conn.execute(text(_RETIRED), {"b": [o.batch_id for o in found]})
        gone = text("delete from ops.quarantine where batch_id = any(cast(:b as uuid[]))")
        conn.execute(gone, {"b": [o.batch_id for o in found]})
    return Retired(tuple(found))


def _retire_layer(
    homes: Homes, project: Project, conn: Connection, layer: Layer, batches: Sequence[Outdated]
) -> None:
    first = batches[0]
    tables = {o.table: tuple(b.batch_id for b in batches if b.table == o.table) for o in batches}
    told = "Retired: the contracts' retention has passed."
    run, mine = upkeep.start(conn, first.source, layer, first.partition_key, "retire", list(tables), told)
    for publish in mine:
        _take_out(homes, project, conn, publish, tables[publish.table])
    end_run(conn, run, "published")


def _take_out(
    homes: Homes, project: Project, conn: Connection, publish: Publish, batches: Sequence[str]
) -> None:
    """The rows of some batches (of silver: of their day) out of a table, in both homes."""
    place = {"l": publish.layer, "t": publish.table, "b": list(batches), "k": publish.partition_key}
    files = list(conn.execute(text(_LIVE), place).scalars())
    counted = text("select coalesce(sum(row_count), 0)::bigint from ops.lake_file where uri = any(:u)")
    in_lake = conn.execute(counted, {"u": files}).scalar_one()
    parent = f"{SCHEMAS[publish.layer]}.{publish.table}"
    names = (
        [batch_partition(publish.table, batch) for batch in batches]
        if publish.layer == "bronze"
        else [date_partition(publish.table, publish.partition_key)]
    )
    in_warehouse = sum(detach(conn, parent, name) for name in names)
    if in_warehouse != in_lake:
        raise LakehouseError(
            f"{publish.layer}.{publish.table} for {publish.partition_key}: the warehouse has {in_warehouse} rows to "
            f"retire, the lake {in_lake}. Nothing was removed.",
            "Look for who changed one of them by hand; `ops.lake_file` says which files the rows are in.",
        )
    upkeep.publish(homes, project, conn, publish, files, deleted=in_lake)
