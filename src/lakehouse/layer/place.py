"""Moves staged rows into ODS and GOLD, by attaching or by merging, and refuses what is not what was counted."""

from __future__ import annotations

from sqlalchemy import Connection, text

from lakehouse.compile.ddl import literal
from lakehouse.errors import StaleStage
from lakehouse.home.rows import attach, merge
from lakehouse.home.warehouse import run_script
from lakehouse.layer.ledger import Publish
from lakehouse.layer.target import Target

#: Planner statistics are renewed in the publish when at least so many rows changed.
_ANALYZE_ROWS = 1000


def place_rows(conn: Connection, target: Target, publish: Publish) -> None:
    """Attach or merge the staged rows of a publish; its stage is empty afterwards.

    Raises:
        StaleStage: there are not the rows that were counted.
    """
    if publish.placement == "none":
        return
    name, bound = f"{target.table}__data", "default"
    if target.has_dates:
        name = f"{target.table}_p{publish.partition_key.replace('-', '')}"
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
