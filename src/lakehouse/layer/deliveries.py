"""Which batches a run of silver takes up, and which others it has to read for that. Reads the ledger."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass

from sqlalchemy import Connection, text

from lakehouse.compile.generate import conform_path
from lakehouse.contract import Contract, Project
from lakehouse.errors import ContractError
from lakehouse.layer.ledger import Publish, Role, Wanted

#: Batches of this partition, and those that were missed before it. What the gate has blocked is only tried again by
#: its own partition's run.
_PENDING = """
select b.table_name, b.batch_id::text, b.partition_key::text
from ops.batch as b
where
    b.source = :source and b.bronze_publish_id is not null and b.silver_publish_id is null
    and b.superseded_by is null and b.retired_at is null and b.partition_key <= cast(:key as date)
    and (b.partition_key = cast(:key as date) or coalesce((
        select r.status from ops.run as r
        where r.source = b.source and r.layer = 'silver' and r.partition_key = b.partition_key
        order by r.run_id desc limit 1
    ), '') <> 'blocked')
order by b.table_name, b.partition_key, b.batch_id
"""
_CURRENT = """
select batch_id::text, partition_key::text from ops.batch
where
    table_name = :t and partition_key = :k and bronze_publish_id is not null and superseded_by is null
    and retired_at is null
"""
#: What silver took up for these dates and does not count any more: it was superseded or withdrawn.
_GONE = """
select batch_id::text from ops.batch
where
    table_name = :t and silver_publish_id is not null and superseded_by is not null
    and partition_key = any(cast(:dates as date[]))
"""
_NEWEST = """
select max(partition_key)::text from ops.batch where table_name = :t and silver_publish_id is not null
"""
#: What was retired says nothing any more that newer deliveries do not say; of events it is not served.
_SERVED = """
select batch_id::text, partition_key::text from ops.batch
where
    table_name = :t and silver_publish_id is not null and superseded_by is null and retired_at is null
    and (cast(:since as date) is null or partition_key >= cast(:since as date))
"""
#: Batches that bronze served as another kind before: they have said something else of the keys that they lack.
_OF_ANOTHER_KIND = """
select exists (
    select 1 from ops.batch as b
    inner join ops.accounted as a on a.batch_id = b.batch_id
    inner join ops.publish as s on s.publish_id = a.publish_id
    where
        b.batch_id = any(cast(:b as uuid[])) and s.layer = 'bronze' and s.status = 'published'
        and s.fingerprint is distinct from b.kind
)
"""
_READ = """
select
    b.batch_id::text, b.partition_key::text, p.role, b.kind, b.allow_shrink,
    coalesce((
        select array_agg(f.uri order by f.uri) from ops.lake_file as f
        where f.batch_id = b.batch_id and f.layer = 'bronze' and f.status = 'live'
    ), '{}')
from ops.pinned_batch as p
inner join ops.batch as b on b.batch_id = p.batch_id
where p.run_id = :r and b.table_name = :t and (cast(:d as date) is null or b.partition_key = cast(:d as date))
order by b.partition_key, b.batch_id
"""


@dataclass(frozen=True)
class Delivered:
    """A pinned batch: the date it was delivered for, what it is to the run, and its lake files."""

    batch_id: str
    date: str
    role: Role
    kind: str
    allow_shrink: bool
    uris: list[str]


@dataclass(frozen=True)
class Reading:
    """What one publish of a table of entities reads.

    ``since``: the first date that is worked out anew. ``all_keys``: not only the keys of the deliveries that changed,
    because one of them says something about every key.
    """

    deliveries: tuple[Delivered, ...]
    since: str
    all_keys: bool

    @property
    def present(self) -> tuple[Delivered, ...]:
        """The deliveries that count."""
        return tuple(d for d in self.deliveries if d.role != "gone")

    @property
    def complete_dates(self) -> tuple[str, ...]:
        """The dates of deliveries that are complete: what they lack is gone."""
        return tuple(d.date for d in self.present if d.kind == "full")


def pending(conn: Connection, source: str, partition_key: str) -> dict[str, dict[str, str]]:
    """Table → batch id → date, of what bronze serves and silver has not taken up."""
    found: dict[str, dict[str, str]] = {}
    for table, batch, date in conn.execute(text(_PENDING), {"source": source, "key": partition_key}):
        found.setdefault(table, {})[batch] = date
    return found


def current(conn: Connection, table: str, partition_key: str) -> dict[str, str]:
    """Batch id → date, of what bronze serves of a table for a partition, taken up or not."""
    rows = conn.execute(text(_CURRENT), {"t": table, "k": partition_key})
    found: dict[str, str] = dict(rows.all())
    return found


def plan_table(
    conn: Connection, project: Project, contract: Contract, new: Mapping[str, str], *, reconform: bool
) -> tuple[list[Wanted], dict[str, Role]]:
    """What a run does with a table, and the batches that it reads: batch id → what it is to the run.

    ``new``: batch id → date. ``reconform``: judge everything again. Modes of tables of entities:

    * ``upsert``: the usual case; all of it is newer than what is served.
    * ``rework``: something came late, or was superseded or withdrawn; the keys it touches are worked out anew from
      the deliveries since.
    * ``rebuild``: everything is conformed again; also when a delivery comes as another kind, or a history is new.
    """
    table = {"t": contract.table}
    newest = conn.execute(text(_NEWEST), table).scalar()
    # A history that is asked for since yesterday knows nothing of the days before.
    unknown = contract.history and not _is_published(conn, contract.history.table)
    another_kind = bool(new) and conn.execute(text(_OF_ANOTHER_KIND), {"b": list(new)}).scalar()
    reconform = newest is not None and bool(reconform or unknown or another_kind)
    if not new and not reconform:
        return [], {}
    dates = sorted(set(new.values()))
    gone = conn.execute(text(_GONE), table | {"dates": dates}).scalars()
    roles: dict[str, Role] = dict.fromkeys(new, "new")
    roles |= dict.fromkeys(gone, "gone")
    served: dict[str, str] = {}
    mode = "upsert"
    if reconform:
        mode, served = "rebuild", _served(conn, contract, None)
        roles |= dict.fromkeys(served, "new")
    elif newest is not None and newest >= dates[0] and not contract.partition_column:
        # A table without history knows what it serves, not what it had before: that is in the older deliveries.
        older = "gone" in roles.values() and not contract.keeps_history
        mode, served = "rework", _served(conn, contract, None if older else dates[0])
        roles |= {batch: "served" for batch in served if batch not in new}
    judged = conform_fingerprint(project, contract)
    if contract.partition_column:
        days = dict(new) | served
        return [
            Wanted(contract.table, "partition", judged, (batch,), date)
            for batch, date in sorted(days.items())
        ], roles
    mine = tuple(batch for batch, role in roles.items() if role == "new")
    kept = [contract.history.table] if contract.history else []
    return [
        Wanted(contract.table, mode, judged, mine),
        *(Wanted(one, mode, judged) for one in kept),
    ], roles


def _served(conn: Connection, contract: Contract, since: str | None) -> dict[str, str]:
    """Batch id → date, of what silver serves of a table, since a date."""
    rows = conn.execute(text(_SERVED), {"t": contract.table, "since": since})
    found: dict[str, str] = dict(rows.all())
    return found


def _is_published(conn: Connection, table: str) -> bool:
    return bool(
        conn.execute(
            text(
                "select exists (select 1 from ops.publish where layer = 'silver' and table_name = :t and is_current)"
            ),
            {"t": table},
        ).scalar()
    )


def read_deliveries(conn: Connection, contract: Contract, publish: Publish) -> Reading:
    """The pinned batches of a publish, oldest first."""
    date = publish.partition_key if contract.partition_column else None
    rows = conn.execute(text(_READ), {"r": publish.run_id, "t": contract.table, "d": date})
    found = tuple(Delivered(*row) for row in rows)
    changed = [d for d in found if d.role != "served"]
    rebuild = publish.mode == "rebuild"
    return Reading(
        found,
        min(d.date for d in changed),
        rebuild or any(d.kind == "full" for d in changed),
    )


def conform_text(project: Project, contract: Contract) -> str:
    """The committed conform query.

    Raises:
        ContractError: it has not been generated.
    """
    path = project.root / conform_path(contract.table)
    if not path.exists():
        raise ContractError(f"{path.relative_to(project.root)} does not exist.", "Run `make generate`.")
    return path.read_text(encoding="utf-8")


def conform_fingerprint(project: Project, contract: Contract) -> str:
    """Changes when rows would be judged otherwise."""
    return hashlib.sha256(conform_text(project, contract).encode()).hexdigest()
