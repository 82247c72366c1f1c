"""The ledger: which batches are on their way through which layer. Reads and writes ``ops.publish``."""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import Connection, Row, text

from lakehouse.contract.model import Layer
from lakehouse.errors import StaleStage

#: Namespace of batch ids. Changing it would make every delivered file look new.
_BATCH_NAMESPACE = uuid.UUID("6f1d1c62-8d2e-5c1b-9d0c-3f1b7a5e2c44")

_TAKEN_OVER = "Another partition's run has planned this layer since."


@dataclass(frozen=True)
class Wanted:
    """A hop that a plan asks for: one batch (gold: one table) to bring into one layer."""

    table: str
    partition_key: str
    mode: str
    batch_id: str | None = None
    fingerprint: str | None = None
    details: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Hop:
    """A row of ``ops.publish``. Rows written by it carry ``lead_publish_id`` as their ``_publish_id``."""

    publish_id: int
    source: str
    layer: Layer
    table: str
    partition_key: str
    run_partition_key: str
    batch_id: str | None
    lead_publish_id: int
    mode: str
    status: str
    base_publish_id: int | None
    verdict: str | None
    fingerprint: str | None
    details: dict[str, Any]

    @property
    def leads(self) -> bool:
        """Whether this hop is the one whose id is written into the rows."""
        return self.publish_id == self.lead_publish_id


def batch_id(source: str, table: str, key: str, sha256: str) -> str:
    """The same bytes under the same key always give the same id (UUIDv5)."""
    return str(uuid.uuid5(_BATCH_NAMESPACE, json.dumps([source, table, key, sha256])))


_HOP_COLUMNS = (
    "publish_id, source, layer, table_name, partition_key::text, run_partition_key::text, batch_id::text, "
    "lead_publish_id, mode, status, base_publish_id, verdict, fingerprint, details"
)


def _hop(row: Row[Any]) -> Hop:
    return Hop(*tuple(row))


def open_hops(conn: Connection, source: str, layer: Layer) -> list[Hop]:
    """The hops of the newest plan of a layer that are not published yet (blocked ones included)."""
    rows = conn.execute(
        text(
            f"select {_HOP_COLUMNS} from ops.publish where source = :s and layer = :l "
            "and status in ('planned', 'staged', 'blocked') order by table_name, publish_id"
        ),
        {"s": source, "l": layer},
    )
    return [_hop(r) for r in rows]


def run_hops(
    conn: Connection, source: str, layer: Layer, partition_key: str, table: str | None = None
) -> list[Hop]:
    """The open hops of one run, of one table when named. Empty means there is nothing to do.

    Raises:
        StaleStage: another partition's run has planned this layer since.
    """
    hops = open_hops(conn, source, layer)
    others = {h.run_partition_key for h in hops if h.status != "blocked"} - {partition_key}
    mine = [h for h in hops if h.run_partition_key == partition_key]
    if not mine and (others or _was_taken_over(conn, source, layer, partition_key)):
        what = (
            f"is being made for {', '.join(sorted(others))}"
            if others
            else "has been made for another partition"
        )
        raise StaleStage(
            f"{source} {layer} {what}, not for {partition_key}.",
            f"Let that run end, then clear the task `plan` of {source}_{layer} for {partition_key}.",
        )
    return [h for h in mine if table is None or h.table == table]


def replan(
    conn: Connection, source: str, layer: Layer, partition_key: str, wanted: Sequence[Wanted]
) -> list[Hop]:
    """Make the open hops of a layer be exactly ``wanted``; hops that already are stay as they are.

    A run that wants nothing leaves those of other partitions' runs alone.
    """
    run = {"s": source, "l": layer, "k": partition_key, "taken": _TAKEN_OVER}
    conn.execute(
        text(
            "update ops.publish set message = null where source = :s and layer = :l "
            "and run_partition_key = :k and status = 'abandoned' and message = :taken"
        ),
        run,
    )
    if not wanted:
        conn.execute(
            text(
                "update ops.publish set status = 'abandoned' where source = :s and layer = :l "
                "and run_partition_key = :k and status in ('planned', 'staged', 'blocked')"
            ),
            run,
        )
        return []
    present = {_identity(h): h for h in open_hops(conn, source, layer) if h.status != "blocked"}
    asked = {(w.table, w.partition_key, w.batch_id, w.mode, w.fingerprint, partition_key): w for w in wanted}
    if asked.keys() != present.keys() or any(asked[k].details != _asked(h) for k, h in present.items()):
        conn.execute(
            text(
                "update ops.publish set status = 'abandoned', "
                "message = case when run_partition_key <> :k then :taken else message end "
                "where source = :s and layer = :l "
                "and (status in ('planned', 'staged') or (status = 'blocked' and run_partition_key = :k))"
            ),
            run,
        )
        for w in wanted:
            _insert(conn, source, layer, partition_key, w)
        _elect_leads(conn, source, layer)
    return run_hops(conn, source, layer, partition_key)


def _was_taken_over(conn: Connection, source: str, layer: Layer, partition_key: str) -> bool:
    """Whether another run has abandoned this run's hops, and this run has not planned anew since."""
    return bool(
        conn.execute(
            text(
                "select exists (select 1 from ops.publish where source = :s and layer = :l "
                "and run_partition_key = :k and status = 'abandoned' and message = :taken)"
            ),
            {"s": source, "l": layer, "k": partition_key, "taken": _TAKEN_OVER},
        ).scalar()
    )


def _identity(hop: Hop) -> tuple[str, str, str | None, str, str | None, str]:
    return hop.table, hop.partition_key, hop.batch_id, hop.mode, hop.fingerprint, hop.run_partition_key


def _asked(hop: Hop) -> dict[str, Any]:
    """The details a plan put there, without what staging added."""
    return {k: v for k, v in hop.details.items() if k not in ("files", "replaced", "etags")}


def _insert(conn: Connection, source: str, layer: Layer, partition_key: str, w: Wanted) -> None:
    conn.execute(
        text(
            "insert into ops.publish (source, layer, table_name, partition_key, run_partition_key, batch_id, "
            "mode, fingerprint, details) values (:source, :layer, :table, :key, :run, :batch, :mode, :print, "
            "cast(:details as jsonb))"
        ),
        {
            "source": source,
            "layer": layer,
            "table": w.table,
            "key": w.partition_key,
            "run": partition_key,
            "batch": w.batch_id,
            "mode": w.mode,
            "print": w.fingerprint,
            "details": json.dumps(w.details),
        },
    )


def _elect_leads(conn: Connection, source: str, layer: Layer) -> None:
    conn.execute(
        text(
            "update ops.publish p set lead_publish_id = l.lead from (select table_name, max(publish_id) as lead "
            "from ops.publish where source = :s and layer = :l and status = 'planned' group by table_name) l "
            "where p.table_name = l.table_name and p.source = :s and p.layer = :l and p.status = 'planned'"
        ),
        {"s": source, "l": layer},
    )


def last_published(conn: Connection, layer: Layer, table: str) -> int | None:
    """The newest publish of a table, None when there is none."""
    return conn.execute(
        text(
            "select max(lead_publish_id) from ops.publish "
            "where layer = :l and table_name = :t and status = 'published'"
        ),
        {"l": layer, "t": table},
    ).scalar()


def mark_staged(conn: Connection, hop: Hop, counts: dict[str, int], details: dict[str, Any]) -> None:
    """Record what staging found; takes back the verdict of an earlier gate."""
    sets = ", ".join(f"{name}_rows = :{name}" for name in counts)
    conn.execute(
        text(
            "update ops.publish set status = 'staged', verdict = null, message = null, "
            f"staged_at = clock_timestamp(), base_publish_id = :base, details = cast(:details as jsonb), {sets} "
            "where publish_id = :id"
        ),
        {
            "id": hop.publish_id,
            "base": last_published(conn, hop.layer, hop.table),
            "details": json.dumps(_asked(hop) | details),
            **counts,
        },
    )


def mark(conn: Connection, hops: Iterable[Hop], **values: object) -> None:
    """Set columns of the hops."""
    sets = ", ".join(f"{name} = :{name}" for name in values)
    conn.execute(
        text(f"update ops.publish set {sets} where publish_id = any(:ids)"),
        {"ids": [h.publish_id for h in hops], **values},
    )
