"""Moves staged rows into ODS and GOLD, by attaching or by merging, and refuses what is not what was counted."""

from __future__ import annotations

from dataclasses import replace

from sqlalchemy import Connection, text

from lakehouse.compile.ddl import literal
from lakehouse.contract import Project
from lakehouse.errors import StaleStage
from lakehouse.home import lake
from lakehouse.home.rows import attach, merge
from lakehouse.home.warehouse import run_script
from lakehouse.layer.ledger import Publish
from lakehouse.layer.target import Target

#: Planner statistics are renewed in the publish when at least so many rows changed.
_ANALYZE_ROWS = 1000


def replacements(project: Project, publish: Publish) -> list[lake.Replacement]:
    """What happens to a published table in the lake and, when it has personal columns, to its masked copy."""
    whole = lake.Replacement(
        publish.layer, publish.table, publish.publish_id, publish.partition_key, tuple(publish.replaced_files)
    )
    if publish.layer == "bronze":  # text as landed: nobody but the pipeline reads it
        return [whole]
    personal = Target.of(project, publish.layer, publish.table).contract.personal
    return [whole, replace(whole, personal=personal)] if personal else [whole]


def batch_partition(table: str, batch_id: str) -> str:
    """The partition of RAW that holds a batch, without its schema."""
    return f"{table}__{batch_id.replace('-', '')[:12]}"


def date_partition(table: str, partition_key: str) -> str:
    """The partition of a table of events in ODS that holds a delivery's date, without its schema."""
    return f"{table}_p{partition_key.replace('-', '')}"


def place_rows(conn: Connection, target: Target, publish: Publish) -> None:
    """Attach or merge the staged rows of a publish; its stage is empty afterwards.

    Raises:
        StaleStage: there are not the rows that were counted.
    """
    if publish.placement == "none":
        return
    name, bound = f"{target.table}__data", "default"
    if target.has_dates:
        name = date_partition(target.table, publish.partition_key)
        bound = f"for values in ({literal(publish.partition_key)})"
    if publish.placement == "attach":
        attach_rows(conn, target, publish, name, bound)
        return
    expected = _counted(conn, publish)
    partition = f"{target.ddl.schema}.{name}"
    run_script(conn, f"create table if not exists {partition} partition of {target.ddl.relation} {bound}")
    _check(publish, expected, merge(conn, publish.stage, partition, target.key, list(target.columns)))
    if sum(expected.values()) >= _ANALYZE_ROWS:
        run_script(conn, f"analyze {partition}")
    run_script(conn, f"drop table {publish.stage}")


def attach_rows(conn: Connection, target: Target, publish: Publish, name: str, bound: str) -> None:
    """Make the staged relation a partition of its table.

    Raises:
        StaleStage: it does not hold the rows that were counted.
    """
    expected = _counted(conn, publish)
    found = conn.exec_driver_sql(f"select count(*) from {publish.stage}").scalar_one()
    _check(publish, expected["inserted"] + expected["updated"], found)
    attach(conn, publish.stage, target.ddl.relation, name, bound)


def _counted(conn: Connection, publish: Publish) -> dict[str, int]:
    row = conn.execute(
        text("select inserted_rows, updated_rows, deleted_rows from ops.publish where publish_id = :p"),
        {"p": publish.publish_id},
    ).one()
    return dict(zip(("inserted", "updated", "deleted"), row, strict=True))


def _check(publish: Publish, expected: object, found: object) -> None:
    if found != expected:
        raise StaleStage(
            f"{publish.layer}.{publish.table}: staged {expected}, found {found}; the stage is not what was audited.",
            f"Clear the task `plan` and those after it in {publish.source}_{publish.layer}.",
        )
