"""Assets are tables: one for every table that is published, and what each is made from.

The asset of a *layer* (``olist/silver``) schedules the next layer and is told for every partition. Those of its tables
(``olist/silver/olist_orders``) are told beside it, by the same task after the same COMMIT: what somebody elsewhere
schedules on. Between them lie the stage tasks, which make one table each: in Airflow's graph they are what leads from
table to table.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from airflow.sdk import Asset

from lakehouse.contract.model import SCHEMAS

if TYPE_CHECKING:
    from airflow.sdk import Context

    from lakehouse.contract import Project
    from lakehouse.contract.model import Layer, TableContract


def table_asset(project: Project, source: str, layer: Layer, table: str, owner: str) -> Asset:
    """The asset of a published table. The URI's scheme is told in ``dags/assets.py``."""
    name = f"{source}/{layer}/{table}"
    contract = _contract(project, layer, table)
    return Asset(
        name=name,
        uri=f"x-lakehouse://{name}",
        group=f"{source} {layer}",
        extra={
            "description": contract.description,
            "grain": contract.grain,
            "owner": owner,
            "lake": f"{layer}.{table}",
            "warehouse": f"{SCHEMAS[layer]}.{table}",
        },
    )


def landed_asset(project: Project, source: str, table: str, owner: str) -> Asset:
    """The asset of the files that a table is read from. Nobody tells its events: landing knows no Airflow."""
    contract = project.contracts[table]
    name = f"{source}/landing/{contract.name}"
    place = f"landing/{source}/dt=<date>/{contract.file_name}"
    extra: dict[str, Any] = {"description": contract.description, "owner": owner, "files": place}
    return Asset(name=name, uri=f"x-lakehouse://{name}", group=f"{source} landing", extra=extra)


def made_by(project: Project, source: str, layer: Layer, table: str, owner: str) -> list[Asset]:
    """What a stage task makes: the table, and its history when it has one."""
    tables = project.staged_with(table) if layer == "silver" else (table,)
    return [table_asset(project, source, layer, made, owner) for made in tables]


def read_by(project: Project, source: str, layer: Layer, table: str, owner: str) -> list[Asset]:
    """What a stage task makes its table from, as contracts and SQL say."""
    if layer == "bronze":
        return [landed_asset(project, source, table, owner)]
    if layer == "silver":
        return [table_asset(project, source, "bronze", table, owner)]
    model = project.gold[table]
    named: Mapping[Layer, frozenset[str]] = {"silver": model.ods_references, "gold": model.gold_references}
    return [
        table_asset(project, source, of, read, owner)
        for of, tables in named.items()
        for read in sorted(tables)
    ]


def tell_tables(context: Context, source: str, layer: Layer, told: Mapping[str, Any]) -> None:
    """Tell of each table that a run of a layer has published, beside the layer's own event.

    ``told``: what that carries. A table's event has ``partition_key``, ``rows``, ``verdict``, and what changed. It is
    told by the task that publishes, though its outlets do not name it: which tables there are to tell of, only a run
    knows, and Airflow would tell an event of every outlet that is named.
    """
    changes = {t["table"]: t for t in told.get("tables", ())}
    task, key = context["task"], told["partition_key"]
    for table, rows in told["row_counts"].items():
        name = f"{source}/{layer}/{table}"
        asset = Asset(name=name, uri=f"x-lakehouse://{name}")
        event = context["outlet_events"][asset]
        event.extra.update(
            {"partition_key": key, "rows": rows, "verdict": told["verdict"]} | changes.get(table, {})
        )
        event.add_partitions(key)
        task.outlets = [*task.outlets, asset]


def _contract(project: Project, layer: Layer, table: str) -> TableContract:
    return project.gold[table] if layer == "gold" else project.silver[table]
