"""What has to be true after a fault is over, whatever it was."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import psycopg2

from lakehouse.contract.model import LAYERS

from .lakehouse import Lakehouse

#: See :func:`rows_of`.
Rows = dict[str, Any]

#: Rows that were read and whose fate is not known.
_UNACCOUNTED = """
select a.table_name, a.read_rows, a.published_rows, a.quarantined_rows, a.duplicate_rows, a.conflicting_rows
from ops.accounted as a inner join ops.publish as p on p.publish_id = a.publish_id
where
    p.status = 'published'
    and a.read_rows is distinct from a.published_rows + a.quarantined_rows + a.duplicate_rows + a.conflicting_rows
"""
#: What became of the rows of each file that is the current one of its key, by layer.
_FATES = """
select distinct on (p.layer, b.source_key)
    p.layer, b.source_key, a.read_rows, a.published_rows, a.quarantined_rows, a.duplicate_rows, a.conflicting_rows
from ops.accounted as a
inner join ops.publish as p on p.publish_id = a.publish_id
inner join ops.batch as b on b.batch_id = a.batch_id
where p.status = 'published' and b.superseded_by is null
order by p.layer, b.source_key, p.publish_id
"""


def seen(lakehouse: Lakehouse) -> dict[str, Any]:
    """What readers see, by layer: checksums of the warehouse, and which state of the lake's tables is shown."""
    shown = lakehouse.query(
        "select table_namespace, table_name, metadata_location from iceberg_tables order by 1, 2"
    )
    return {
        layer: (lakehouse.checksums(layer), [row for row in shown if row[0] == layer]) for layer in LAYERS
    }


def rows_of(lakehouse: Lakehouse) -> Rows:
    """Checksums of all layers in both homes, and what became of the rows of each file."""
    return {
        "warehouse": {layer: lakehouse.checksums(layer) for layer in LAYERS},
        "lake": {layer: _lake_checksums(lakehouse, layer) for layer in LAYERS},
        "fates": lakehouse.query(_FATES),
        "quarantine": lakehouse.query(
            "select table_name, source_line, reasons from ops.quarantine order by 1, 2"
        ),
    }


def _lake_checksums(lakehouse: Lakehouse, layer: Any) -> dict[str, str]:
    found, catalog = {}, lakehouse.homes.catalog()
    for table in lakehouse.tables(layer):
        scanned = catalog.load_table(f"{layer}.{table}").scan().to_arrow()
        rows = scanned.select(lakehouse.business_columns(layer, table)).to_pylist()
        digest = hashlib.md5(usedforsecurity=False)
        for line in sorted(repr(tuple(row.values())) for row in rows):
            digest.update(line.encode())
        found[table] = f"{len(rows)}:{digest.hexdigest()}"
    return found


def assert_whole(lakehouse: Lakehouse, undisturbed: Rows) -> None:
    """Both homes hold what they hold where nothing went wrong, and every row is accounted for."""
    assert rows_of(lakehouse) == undisturbed
    assert lakehouse.query(_UNACCOUNTED) == []


def assert_nothing_left(lakehouse: Lakehouse, before: set[str], scratch: Path | None = None) -> None:
    """No staged rows, files, locks, sessions or folders of what was disturbed.

    ``before``: the objects that were in the bucket, of others too, before anything was disturbed. ``scratch``: where
    the disturbed processes had their temporary files.
    """
    staged = "select relname from pg_class where relnamespace = 'stage'::regnamespace and relkind = 'r'"
    assert lakehouse.query(staged) == []
    assert lakehouse.query("select uri, kind from ops.lake_file where status = 'staged'") == []
    assert lakehouse.query("select run_id, status from ops.run where status in ('planned', 'audited')") == []
    known = {uri for (uri,) in lakehouse.query("select uri from ops.lake_file")}
    there = lakehouse.objects()
    assert known - there == set(), "in the registry, not in the store"
    assert there - known - before == set(), "in the store, not in the registry"
    assert _locks(lakehouse) == []
    if scratch is not None:
        assert sorted(p.name for p in scratch.iterdir()) == []


def _locks(lakehouse: Lakehouse) -> list[Any]:
    """Locks of others, and sessions that hold a transaction open."""
    with psycopg2.connect(lakehouse.environment()["LAKEHOUSE_PG_DSN"]) as conn, conn.cursor() as cursor:
        cursor.execute(
            "select a.pid, a.state, a.query, l.locktype from pg_stat_activity as a left join pg_locks as l "
            "on l.pid = a.pid and l.locktype = 'advisory' where a.datname = current_database() "
            "and a.usename = current_user and a.pid <> pg_backend_pid() "
            "and (l.locktype is not null or a.state like 'idle in transaction%')"
        )
        return cursor.fetchall()
