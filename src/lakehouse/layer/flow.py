"""The four steps of a layer, as Airflow's tasks, the benchmark and the tests call them.

Every step takes (homes, project, source, layer, partition key) and finds the rest in the ledger, so that each
can be repeated alone: after a crash, by a retry, or because somebody cleared one task.
"""

from __future__ import annotations

from typing import Any

from sqlalchemy import Connection, text

from lakehouse.contract import Project
from lakehouse.contract.model import Layer
from lakehouse.errors import StaleStage
from lakehouse.home import lake, warehouse
from lakehouse.home.homes import Homes
from lakehouse.layer.ledger import Hop, Wanted, mark_staged, replan, run_hops


def plan(
    homes: Homes,
    project: Project,
    source: str,
    layer: Layer,
    partition_key: str,
    *,
    full_refresh: bool = False,
) -> tuple[str, ...]:
    """Ask the ledger what this run has to do, and write it down. Safe to repeat.

    Returns the tables with work; none when all is done. ``full_refresh`` recomputes gold in full.

    Raises:
        LakehouseError: bronze: there is no complete delivery for the partition.
    """
    warehouse.prepare(homes, project)
    with homes.engine.begin() as conn:
        warehouse.lock(conn)
        hops = replan(
            conn,
            source,
            layer,
            partition_key,
            _wanted(homes, conn, project, source, layer, partition_key, full_refresh),
        )
        if layer == "gold":
            from lakehouse.layer import gold

            if hops:
                gold.prepare(conn, project, source, hops)
            else:
                gold.settle_unchanged(conn, source)
    return tuple(dict.fromkeys(h.table for h in hops))


def _wanted(
    homes: Homes,
    conn: Connection,
    project: Project,
    source: str,
    layer: Layer,
    partition_key: str,
    full_refresh: bool,
) -> list[Wanted]:
    if layer == "bronze":
        from lakehouse.layer import bronze

        return bronze.plan(homes, conn, project, source, partition_key)
    if layer == "silver":
        from lakehouse.layer import silver

        return silver.plan(conn, project, source, partition_key)
    from lakehouse.layer import gold

    return gold.plan(conn, project, source, partition_key, full_refresh)


def stage(
    homes: Homes, project: Project, source: str, layer: Layer, partition_key: str, table: str
) -> dict[str, int]:
    """Make one table's rows, in both homes, where no reader sees them. Safe to repeat.

    Returns the row counts, empty when the plan has nothing for this table.

    Raises:
        FileDefect: bronze: the landed file is broken.
        StaleStage: another run has planned this layer since.
    """
    from lakehouse.layer.copies import discard_files

    with homes.engine.connect() as conn:
        hops = run_hops(conn, source, layer, partition_key, table)
    if not hops:
        return {}
    discard_files(homes, hops[0])
    with homes.engine.begin() as conn:
        # What is staged is read a few times and dropped; the planner needs a rough picture of it.
        conn.execute(text("set local default_statistics_target = 10"))
        counts, details = _stage_rows(homes, conn, project, layer, hops)
        details["etags"] = lake.etags(homes, details.get("files", []))
        for hop in hops:
            mark_staged(conn, hop, counts[hop.publish_id], details if hop.leads else {})
    return {name: sum(c[name] for c in counts.values()) for name in next(iter(counts.values()))}


def _stage_rows(
    homes: Homes, conn: Connection, project: Project, layer: Layer, hops: list[Hop]
) -> tuple[dict[int, dict[str, int]], dict[str, Any]]:
    if layer == "bronze":
        from lakehouse.layer import bronze

        (hop,) = hops
        counts, details = bronze.stage(homes, conn, project.contracts[hop.table], hop)
        return {hop.publish_id: counts}, details
    if layer == "silver":
        from lakehouse.layer import silver

        return silver.stage(homes, conn, project, project.contracts[hops[0].table], hops)
    from lakehouse.layer import gold

    (hop,) = hops
    counts, details = gold.stage(homes, conn, project.gold[hop.table], hop)
    return {hop.publish_id: counts}, details


def gate(homes: Homes, project: Project, source: str, layer: Layer, partition_key: str) -> dict[str, Any]:
    """Audit what is staged. Safe to repeat.

    Returns ``verdict``: passed, warned (a soft rule was broken) or nothing.

    Raises:
        GateFailed: a hard rule was broken; names table, rule, counts and sample keys.
        StaleStage: a table of the plan has not been staged.
    """
    with homes.engine.connect() as conn:
        hops = run_hops(conn, source, layer, partition_key)
    if not hops:
        return {"verdict": "nothing"}
    missing = sorted({h.table for h in hops if h.status == "planned"})
    if missing:
        raise StaleStage(
            f"{source} {layer} {partition_key}: not staged: {', '.join(missing)}.",
            f"Clear the tasks `stage.<table>` of these tables in {source}_{layer}.",
        )
    from lakehouse.layer.audit import audit

    return {"verdict": audit(homes, project, layer, hops)}


def publish(homes: Homes, project: Project, source: str, layer: Layer, partition_key: str) -> dict[str, Any]:
    """Publish what has passed the gate, in both homes, by one COMMIT. Safe to repeat.

    Returns what the next layer's event carries: partition key, batch ids, rows by table, verdict. When there is
    nothing to publish this is what the ledger knows of the partition, so that a missed event can be told again.

    Raises:
        StaleStage: something is not what was audited; nothing was published.
    """
    from lakehouse.layer.publish import publish as publish_hops

    with homes.engine.begin() as conn:
        hops = run_hops(conn, source, layer, partition_key)
        if hops:
            publish_hops(homes, conn, project, layer, hops)
    with homes.engine.connect() as conn:
        return _event(conn, source, layer, partition_key, [h.publish_id for h in hops])


def _event(
    conn: Connection, source: str, layer: Layer, partition_key: str, publish_ids: list[int]
) -> dict[str, Any]:
    """What was just published, else what the ledger last published for the partition."""
    rows = conn.execute(
        text(
            "select distinct on (table_name, batch_id) table_name, batch_id::text, published_rows, verdict, "
            "inserted_rows + updated_rows + deleted_rows as written from ops.publish "
            "where source = :s and layer = :l and status = 'published' and "
            "case when cardinality(cast(:ids as bigint[])) > 0 then publish_id = any(:ids) "
            "else run_partition_key = cast(:k as date) end order by table_name, batch_id, publish_id desc"
        ),
        {"s": source, "l": layer, "ids": publish_ids, "k": partition_key},
    ).all()
    rows_by_table: dict[str, int] = {}
    for table, _, published, _, _ in rows:
        rows_by_table[table] = rows_by_table.get(table, 0) + published
    return {
        "partition_key": partition_key,
        "batch_ids": sorted({batch for _, batch, _, _, _ in rows if batch}),
        "row_counts": rows_by_table,
        "rows_written": sum(written for *_, written in rows) if publish_ids else 0,
        "verdict": "warned" if any(v == "warned" for _, _, _, v, _ in rows) else "passed",
    }
