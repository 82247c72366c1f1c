"""One COMMIT: the warehouse's rows, the lake's pointers, quarantine, quality history and ledger, or none of it."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Connection, text

from lakehouse.contract import Project
from lakehouse.contract.model import SCHEMAS, Layer
from lakehouse.errors import StaleStage
from lakehouse.home import lake
from lakehouse.home.homes import Homes
from lakehouse.home.warehouse import lock, run_script
from lakehouse.layer import bronze, gold, silver
from lakehouse.layer.copies import check_files
from lakehouse.layer.ledger import Hop, last_published, mark
from lakehouse.layer.merge import staged

#: Planner statistics are renewed in the publish when at least so many rows changed.
_ANALYZE_ROWS = 1000
#: The staged tables of a layer; their views go with them.
_STAGED = {"bronze": (), "silver": ("", "conformed"), "gold": ("", "result")}


def publish(homes: Homes, conn: Connection, project: Project, layer: Layer, hops: list[Hop]) -> None:
    """Publish the audited hops of a run, inside the transaction of ``conn``.

    Raises:
        StaleStage: a hop has not passed the gate, its target has been published since it was staged, or staged
            rows are missing.
    """
    lock(conn)
    check_files(homes, hops)
    catalog = homes.catalog(conn)
    by_table: dict[str, list[Hop]] = {}
    for hop in hops:
        _check_ready(conn, hop)
        by_table.setdefault(hop.table, []).append(hop)
    for table, mine in by_table.items():
        lead = next(h for h in mine if h.leads)
        done = _publish_rows(conn, project, layer, table, mine)
        _check_complete(conn, lead, done)
        if sum(done.values()) >= _ANALYZE_ROWS and layer != "bronze":
            run_script(conn, f"analyze {SCHEMAS[layer]}.{table}")
        lake.publish_files(
            catalog,
            f"{layer}.{table}",
            add=lead.details.get("files", []),
            drop_publish_ids=lead.details.get("replaced", []),
            properties={
                "lakehouse.publish-id": str(lead.publish_id),
                "lakehouse.partition-key": lead.partition_key,
            },
        )
        _settle(conn, layer, mine)
    conn.execute(
        text("delete from ops.staged_file where publish_id = any(:ids)"),
        {"ids": [h.publish_id for h in hops]},
    )


def _publish_rows(
    conn: Connection, project: Project, layer: Layer, table: str, hops: list[Hop]
) -> dict[str, int]:
    if layer == "gold":
        return gold.publish(conn, project.gold[table], hops[0])
    contract = project.contracts[table]
    if layer == "silver":
        return silver.publish(conn, contract, hops, keep_preimages=bool(project.models(contract.source)))
    for hop in hops:
        bronze.publish(conn, contract, hop)
    return {}


def _check_ready(conn: Connection, hop: Hop) -> None:
    if hop.status != "staged" or hop.verdict not in ("passed", "warned"):
        raise StaleStage(
            f"{hop.layer}.{hop.table} for {hop.run_partition_key} is {hop.status}, verdict {hop.verdict or 'none'}.",
            f"Clear the task `stage.{hop.table}` and those after it in {hop.source}_{hop.layer}.",
        )
    served = last_published(conn, hop.layer, hop.table)
    if served != hop.base_publish_id:
        raise StaleStage(
            f"{hop.layer}.{hop.table} was published by another run since these rows were staged "
            f"(publish {served}, staged on {hop.base_publish_id}).",
            f"Clear the task `plan` and those after it in {hop.source}_{hop.layer}.",
        )


def _check_complete(conn: Connection, lead: Hop, done: dict[str, int]) -> None:
    """Staged rows live in unlogged tables: a crash of Postgres empties them, and must not be published."""
    if not done:
        return
    row = conn.execute(
        text("select inserted_rows, updated_rows, deleted_rows from ops.publish where publish_id = :p"),
        {"p": lead.publish_id},
    ).one()
    expected = dict(zip(("inserted", "updated", "deleted"), row, strict=True))
    if done != expected:
        raise StaleStage(
            f"{lead.layer}.{lead.table}: staged {expected}, found {done}; the stage is not what was audited.",
            f"Clear the task `plan` and those after it in {lead.source}_{lead.layer}.",
        )


def _settle(conn: Connection, layer: Layer, hops: list[Hop]) -> None:
    """Ledger: the hops are published, what they took up is consumed, the stage is empty again."""
    lead = next(h for h in hops if h.leads)
    for suffix in _STAGED[layer]:
        run_script(conn, f"drop table if exists {staged(layer, lead.table, suffix)} cascade")
    mark(conn, hops, status="published", published_at=_now(conn))
    consumed = [i for h in hops for i in h.details.get("consumes", [])]
    if consumed:
        conn.execute(
            text("update ops.publish set consumed_by = :lead where publish_id = any(:ids)"),
            {"lead": lead.publish_id, "ids": consumed},
        )
    if layer == "gold":
        gold.forget_preimages(conn, consumed)


def _now(conn: Connection) -> Any:
    return conn.execute(text("select clock_timestamp()")).scalar_one()
