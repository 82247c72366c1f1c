"""Publishes of maintenance: one transaction each, without stage and gate, because no row says anything new.

They are runs in the ledger like others, so that states, snapshots and files of a table have one history.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Literal

from sqlalchemy import Connection, text

from lakehouse.contract import Project
from lakehouse.contract.model import Layer
from lakehouse.home import lake
from lakehouse.home.homes import Homes
from lakehouse.layer.ledger import Publish, Run, Wanted, mark_published, publishes, start_run
from lakehouse.layer.place import replacements

Mode = Literal["retire", "compact"]
_SERVED = """
select table_name, fingerprint from ops.publish where layer = :l and table_name = any(:t) and is_current
"""
_COUNTED = """
update ops.publish set
    status = 'staged', staged_at = clock_timestamp(), verdict = 'passed', placement = 'none', replaced_files = :files,
    inserted_rows = 0, updated_rows = 0, deleted_rows = :deleted, unchanged_rows = :unchanged, carried_rows = :carried
where publish_id = :p
"""


def start(
    conn: Connection,
    source: str,
    layer: Layer,
    partition_key: str,
    mode: Mode,
    tables: Sequence[str],
    message: str,
) -> tuple[Run, list[Publish]]:
    """Begin a run that changes some tables. The caller holds the layer's lock, and none is open for the partition."""
    served: dict[str, str | None] = {}
    if layer != "bronze":  # what a query makes is made by the same query still
        served = dict(conn.execute(text(_SERVED), {"l": layer, "t": list(tables)}).all())
    wanted = [Wanted(table, mode, served.get(table), partition_key=partition_key) for table in tables]
    run = start_run(conn, source, layer, partition_key, wanted, ())
    note = text("update ops.run set message = :m, verdict = 'passed' where run_id = :r")
    conn.execute(note, {"m": message, "r": run.run_id})
    return run, publishes(conn, run)


def publish(
    homes: Homes,
    project: Project,
    conn: Connection,
    one: Publish,
    replaced: Sequence[str],
    *,
    deleted: int = 0,
    unchanged: int = 0,
    carried: int = 0,
) -> None:
    """Take files out of a table in the lake, put in those that are registered for the publish, and make it the current.

    Args:
        homes: where.
        project: knows which tables have a masked copy.
        conn: the transaction; it holds the lock on the warehouse's tables, too.
        one: the publish.
        replaced: the files.
        deleted: rows that went with them.
        unchanged: rows that are there as before.
        carried: how many of these are in another file now.
    """
    counts = {"deleted": deleted, "unchanged": unchanged, "carried": carried}
    conn.execute(text(_COUNTED), {"p": one.publish_id, "files": list(replaced), **counts})
    whole, *copies = replacements(project, replace(one, replaced_files=list(replaced)))
    done = lake.publish_alone(homes, conn, whole)
    for copy in copies:
        lake.publish_alone(homes, conn, copy)
    mark_published(conn, one, done)
