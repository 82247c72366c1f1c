"""What a run did, from the ledger: per layer and table rows in, changed and refused, verdict and seconds."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass, replace
from datetime import datetime
from typing import TYPE_CHECKING, Any

from lakehouse.contract.model import LAYERS

if TYPE_CHECKING:
    from rich.console import Console
    from sqlalchemy import Connection

    from lakehouse.cli.follow import Outcome

#: The tables of the runs of some partitions that were planned since a moment; the worst verdict of each.
_TABLES = """
SELECT p.layer, p.table_name, count(DISTINCT p.partition_key) AS partitions,
       coalesce(sum(coalesce(a.read_rows, p.inserted_rows + p.updated_rows + p.unchanged_rows)), 0)::bigint AS rows_in,
       coalesce(sum(p.inserted_rows + p.updated_rows + p.deleted_rows), 0)::bigint AS changed,
       coalesce(sum(a.refused), 0)::bigint AS refused,
       CASE WHEN bool_or(r.status = 'blocked' AND p.verdict = 'blocked') THEN 'blocked'
            WHEN bool_or(r.status <> 'published') THEN 'not published'
            WHEN bool_or(p.verdict = 'warned') THEN 'warned' ELSE 'passed' END AS verdict
FROM ops.run AS r
JOIN ops.publish AS p ON p.run_id = r.run_id
LEFT JOIN LATERAL (
    SELECT sum(c.read_rows) AS read_rows, sum(c.quarantined_rows) AS refused
    FROM ops.accounted AS c WHERE c.publish_id = p.publish_id
) AS a ON true
WHERE r.source = :s AND r.partition_key = any(cast(:k AS date[])) AND r.planned_at >= :since
  AND r.status <> 'abandoned'
GROUP BY p.layer, p.table_name
ORDER BY array_position(ARRAY['bronze', 'silver', 'gold'], p.layer), p.table_name
"""
#: The newest publish of a partition in the last layer that has one, and the worst verdict of its layers.
_PUBLISHED = """
SELECT max(p.published_at), bool_or(r.verdict = 'warned')
FROM (
    SELECT DISTINCT ON (layer) run_id, verdict FROM ops.run
    WHERE source = :s AND partition_key = cast(:k AS date) AND status = 'published'
    ORDER BY layer, run_id DESC
) AS r
JOIN ops.publish AS p ON p.run_id = r.run_id
"""


@dataclass(frozen=True)
class TableSummary:
    """A table, summed over the partitions of a run. ``seconds``: of its stage task, None when it has none."""

    layer: str
    table: str
    partitions: int
    rows_in: int
    changed: int
    refused: int
    verdict: str
    seconds: float | None = None


@dataclass(frozen=True)
class Summary:
    """All tables that a run worked on, by layer, and where to look."""

    tables: list[TableSummary]
    where: dict[str, str]

    def as_json(self) -> dict[str, Any]:
        """For scripts."""
        return asdict(self)


def now(conn: Connection) -> datetime:
    """The ledger's clock."""
    from sqlalchemy import text

    moment: datetime = conn.execute(text("SELECT clock_timestamp()")).scalar_one()
    return moment


def published(conn: Connection, source: str, key: str) -> str:
    """``published 2018-10-17 12:00 UTC, verdict passed``: when a partition was last published, and how judged."""
    from datetime import UTC

    from sqlalchemy import text

    moment, warned = conn.execute(text(_PUBLISHED), {"s": source, "k": key}).one()
    if moment is None:
        return "never published"
    return (
        f"published {moment.astimezone(UTC):%Y-%m-%d %H:%M} UTC, verdict {'warned' if warned else 'passed'}"
    )


def summarise(conn: Connection, source: str, outcome: Outcome, since: datetime, airflow: str) -> Summary:
    """What the runs of an outcome did, of those that were planned ``since``. ``airflow``: where its UI is."""
    from sqlalchemy import text

    rows = conn.execute(text(_TABLES), {"s": source, "k": outcome.partitions, "since": since}).all()
    tables = [
        replace(
            TableSummary(*row),
            seconds=outcome.task_seconds.get(row.layer, {}).get(f"stage.{row.table_name}"),
        )
        for row in rows
    ]
    where = {"airflow": f"{airflow}/dags/{source}_{_worst_layer(tables)}"}
    if any(table.verdict != "passed" for table in tables):
        where["rules"] = (
            "SELECT layer, table_name, rule, severity, failed_rows, checked_rows FROM ops.quality_result "  # noqa: S608
            f"WHERE source = '{source}' AND NOT passed ORDER BY quality_result_id DESC LIMIT 20"
        )
    return Summary(tables, where)


def _worst_layer(tables: Iterable[TableSummary]) -> str:
    return next((t.layer for t in tables if t.verdict not in ("passed", "warned")), LAYERS[-1])


def print_summary(summary: Summary, outcome: Outcome, console: Console) -> None:
    """A line per table that changed or did not pass; the others are counted."""
    from rich import box
    from rich.table import Table

    if not summary.tables:
        return
    table = Table(box=box.SIMPLE_HEAD)
    table.add_column("layer and table", overflow="fold")
    for heading in ("rows in", "changed", "refused"):
        table.add_column(heading, justify="right", no_wrap=True)
    table.add_column("verdict", no_wrap=True)
    table.add_column("seconds", justify="right", no_wrap=True)
    for layer in LAYERS:
        mine = [one for one in summary.tables if one.layer == layer]
        if not mine:
            continue
        shown = [one for one in mine if one.changed or one.refused or one.verdict != "passed"]
        table.add_row(*_cells(_total(layer, mine), outcome.seconds.get(layer)), style="bold")
        for one in shown:
            table.add_row(*_cells(one, one.seconds))
        if len(shown) < len(mine):
            table.add_row(f"  [dim]{len(mine) - len(shown)} more, unchanged")
    console.print(table)
    print_where(summary, console)


def print_where(summary: Summary, console: Console) -> None:
    """Where to look next."""
    console.print(f"Airflow: {summary.where['airflow']}", highlight=False, soft_wrap=True)
    if "rules" in summary.where:
        query = f'lakehouse sql "{summary.where["rules"]}"'
        console.print(f"Rules that did not hold: {query}", highlight=False, soft_wrap=True, markup=False)


def _total(layer: str, tables: list[TableSummary]) -> TableSummary:
    order = ("blocked", "not published", "warned", "passed")
    return TableSummary(
        layer,
        "",
        max(one.partitions for one in tables),
        sum(one.rows_in for one in tables),
        sum(one.changed for one in tables),
        sum(one.refused for one in tables),
        min((one.verdict for one in tables), key=order.index),
    )


def _cells(one: TableSummary, seconds: float | None) -> list[str]:
    colors = {"passed": "green", "warned": "yellow"}
    return [
        f"  {one.table}" if one.table else one.layer,
        *(f"{rows:,}" for rows in (one.rows_in, one.changed, one.refused)),
        f"[{colors.get(one.verdict, 'red')}]{one.verdict}",
        "" if seconds is None else f"{seconds:.1f}",
    ]
