"""Small files become one. Publishes do this when they write a table anyway; this is for what has piled up since.

Bronze is left as it was landed, a file a batch: that is what retention drops and what a rework reads.
"""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import Connection, text

from lakehouse.contract import Project
from lakehouse.contract.model import Layer
from lakehouse.engine.rowhash import count_and_quick_hash
from lakehouse.engine.session import open_session
from lakehouse.errors import LakehouseError
from lakehouse.home import lake, masked, warehouse
from lakehouse.home.homes import Homes
from lakehouse.layer import upkeep
from lakehouse.layer.ledger import Publish, end_run
from lakehouse.layer.place import replacements
from lakehouse.layer.stage import SMALL_ROWS
from lakehouse.layer.target import Target

#: So many small files are worth a publish.
_MANY = 4
_SMALL = """
select partition_key::text, array_agg(uri order by uri), sum(row_count)::bigint
from (
    select case when :dates then partition_key end as partition_key, uri, row_count from ops.lake_file
    where
        layer = :l and table_name = :t and status = 'live' and kind in ('changed', 'carried')
        and row_count < :small
) as f
group by partition_key having count(*) >= :many order by partition_key
"""
_BUSY = """
select exists (
    select 1 from ops.run where source = :s and layer = :l and status in ('planned', 'audited')
)
"""
_SERVED = """
select partition_key::text from ops.publish where layer = :l and table_name = :t and is_current
"""
_ROWS = """
select coalesce(sum(row_count), 0)::bigint from ops.lake_file
where layer = :l and table_name = :t and status = 'live' and kind in ('changed', 'carried')
"""


@dataclass(frozen=True)
class SmallFiles:
    """The small files of a table; ``partition_key``: of one of its dates, '' when it has none."""

    source: str
    layer: Layer
    table: str
    partition_key: str
    files: tuple[str, ...]
    rows: int


def small_files(
    conn: Connection, project: Project, source: str, layer: Layer, table: str
) -> list[SmallFiles]:
    """Where a table has many small files."""
    dates = Target.of(project, layer, table).has_dates
    limits = {"l": layer, "t": table, "dates": dates, "small": SMALL_ROWS, "many": _MANY}
    return [
        SmallFiles(source, layer, table, day or "", tuple(files), rows)
        for day, files, rows in conn.execute(text(_SMALL), limits)
    ]


def compact(homes: Homes, project: Project, one: SmallFiles) -> bool:
    """Write the rows of small files into one, in one transaction. Safe to repeat and to kill.

    Returns False when a run of the layer is under way: nothing was done.

    Raises:
        LakehouseError: what was written is not what was read; nothing was done.
    """
    with homes.engine.begin() as conn:
        warehouse.lock(conn, "tables")
        warehouse.lock(conn, one.source, one.layer)
        if conn.execute(text(_BUSY), {"s": one.source, "l": one.layer}).scalar():
            return False
        if one not in small_files(conn, project, one.source, one.layer, one.table):
            return True  # a publish was quicker
        table = {"l": one.layer, "t": one.table}
        key = one.partition_key or conn.execute(text(_SERVED), table).scalar_one()
        run, (mine,) = upkeep.start(
            conn, one.source, one.layer, key, "compact", [one.table], "Many small files became one."
        )
        rows = conn.execute(text(_ROWS), table).scalar_one()
        _write(homes, project, conn, mine, one)
        upkeep.publish(homes, project, conn, mine, one.files, unchanged=rows, carried=one.rows)
        end_run(conn, run, "published")
    return True


def _write(homes: Homes, project: Project, conn: Connection, mine: Publish, one: SmallFiles) -> None:
    target = Target.of(project, one.layer, one.table)
    day = one.partition_key or None
    place = {"layer": one.layer, "table": one.table, "publish_id": 0, "partition_key": day}
    uri = lake.announce(homes, kind="carried", **place)  # type: ignore[arg-type]
    new = [uri]
    if len(replacements(project, mine)) > 1:
        new.append(lake.announce(homes, kind="masked", uri=masked.twin(homes, one.layer, uri), **place))  # type: ignore[arg-type]
    with open_session(homes) as session:
        session.files("small", one.files, target.columns)
        before = session.rows(count_and_quick_hash("small", target.columns))
        query = f"select {', '.join(target.schema.names)} from small"
        rows = lake.write(homes, uri, target.schema, session.batches(query, target.schema))
        session.files("written", [uri], target.columns)
        if session.rows(count_and_quick_hash("written", target.columns)) != before:
            raise LakehouseError(
                f"{one.layer}.{one.table}: {uri} does not hold the rows of the files it was made from.",
                "Nothing was changed. Run it again; when it repeats, look at the object store.",
            )
    lake.written(homes, conn, uri, rows)
    adopt = text("update ops.lake_file set publish_id = :p where uri = any(:u)")
    conn.execute(adopt, {"p": mine.publish_id, "u": new})
