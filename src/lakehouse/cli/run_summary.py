"""What a run did, from the reports of its gates: rows by layer and table, verdicts, causes, and where to look."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

from lakehouse.contract.model import LAYERS

if TYPE_CHECKING:
    from rich.console import Console
    from sqlalchemy import Connection

    from lakehouse.cli.follow import Outcome
    from lakehouse.quality.report import Report, TableRows

#: The last gate of each layer and partition, of runs that were planned since a moment.
_REPORTS = """
SELECT DISTINCT ON (layer, partition_key) report FROM ops.run
WHERE source = :s AND partition_key = any(cast(:k AS date[])) AND planned_at >= :since AND report IS NOT NULL
ORDER BY layer, partition_key, run_id DESC
"""
#: From the worst on.
_VERDICTS = ("blocked", "held back", "warned", "passed")


@dataclass(frozen=True)
class TableSummary:
    """A table, summed over the partitions of a run. ``seconds``: of its stage task, None when it has none.

    ``rows_in``: read from files, or computed where none are read. ``changed``: inserted, updated, deleted.
    """

    layer: str
    table: str
    partitions: int
    rows_in: int
    changed: int
    refused: int
    verdict: str
    seconds: float | None = None


@dataclass(frozen=True)
class Finding:
    """What a gate did not find in order: the causes, and the queries that show the rows."""

    layer: str
    partition_key: str
    verdict: str
    headline: str
    causes: list[str]
    look: list[str]


@dataclass(frozen=True)
class Summary:
    """All tables that a run worked on, by layer; what was not in order; Airflow's page of the layer to look at."""

    tables: list[TableSummary]
    findings: list[Finding]
    airflow: str

    def as_json(self) -> dict[str, Any]:
        """For scripts."""
        return asdict(self)


def now(conn: Connection) -> datetime:
    """The ledger's clock."""
    from sqlalchemy import text

    moment: datetime = conn.execute(text("SELECT clock_timestamp()")).scalar_one()
    return moment


def published(conn: Connection, source: str, key: str) -> str:
    """``published 2018-10-17 12:00 UTC, verdict passed``: when a partition was last published; worst verdict."""
    from lakehouse.layer.published import last_published

    found = [one for layer in LAYERS if (one := last_published(conn, source, layer, key))]
    if not found:
        return "never published"
    verdict = min((one.verdict for one in found), key=_VERDICTS.index)
    return f"published {max(one.published_at for one in found):%Y-%m-%d %H:%M} UTC, verdict {verdict}"


def summarise(conn: Connection, source: str, outcome: Outcome, since: datetime, airflow: str) -> Summary:
    """What the gates found in the runs of an outcome that were planned ``since``. ``airflow``: where its UI is."""
    from sqlalchemy import text

    from lakehouse.quality.report import read_report

    keys = {"s": source, "k": outcome.partitions, "since": since}
    reports = [read_report(kept) for kept in conn.execute(text(_REPORTS), keys).scalars()]
    reports.sort(key=lambda r: (LAYERS.index(r.layer), r.partition_key))
    tables = [
        _table(layer, name, rows, outcome.task_seconds.get(layer, {}))
        for layer in LAYERS
        for name, rows in _by_table(r for r in reports if r.layer == layer).items()
    ]
    wrong = [f"{source}_{r.layer}" for r in reports if r.verdict == "blocked"]
    wrong += [failure.dag_id for failure in outcome.failures]
    return Summary(tables, _findings(reports), f"{airflow}/dags/{[*wrong, f'{source}_{LAYERS[-1]}'][0]}")


def _by_table(reports: Iterable[Report]) -> dict[str, list[TableRows]]:
    found: dict[str, list[TableRows]] = {}
    for report in reports:
        for rows in report.tables:
            found.setdefault(rows.table, []).append(rows)
    return found


def _table(layer: str, name: str, rows: list[TableRows], seconds: dict[str, float]) -> TableSummary:
    return TableSummary(
        layer,
        name,
        len(rows),
        sum(one.inserted + one.updated + one.unchanged if one.read is None else one.read for one in rows),
        sum(one.inserted + one.updated + one.deleted for one in rows),
        sum(one.quarantined for one in rows),
        min((one.verdict for one in rows), key=_VERDICTS.index),
        seconds.get(f"stage.{name}"),
    )


def _findings(reports: list[Report]) -> list[Finding]:
    """Of every blocked gate, and of the newest partition in each layer whose gate has warned."""
    from lakehouse.quality.report import cause_lines, headline

    newest = {r.layer: r.run_id for r in reports if r.verdict != "blocked" and cause_lines(r)}
    return [
        Finding(r.layer, r.partition_key, r.verdict, headline(r), cause_lines(r), list(r.look))
        for r in reports
        if r.verdict == "blocked" or newest.get(r.layer) == r.run_id
    ]


def print_summary(summary: Summary, outcome: Outcome, console: Console) -> None:
    """A line per table that changed or did not pass, the others counted; then what was not in order."""
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
    _print_findings(summary, console)


def _print_findings(summary: Summary, console: Console) -> None:
    from rich.text import Text

    for found in summary.findings:
        console.print(Text(found.headline, "bold red" if found.verdict == "blocked" else "bold yellow"))
        for line in found.causes:
            console.print(Text(f"• {line}"), soft_wrap=False)
        for query in found.look:
            console.print(Text(f"→ {query}", "cyan"), soft_wrap=True)
        console.print()
    console.print(f"Airflow: {summary.airflow}", highlight=False, soft_wrap=True)


def _total(layer: str, tables: list[TableSummary]) -> TableSummary:
    return TableSummary(
        layer,
        "",
        max(one.partitions for one in tables),
        sum(one.rows_in for one in tables),
        sum(one.changed for one in tables),
        sum(one.refused for one in tables),
        min((one.verdict for one in tables), key=_VERDICTS.index),
    )


def _cells(one: TableSummary, seconds: float | None) -> list[str]:
    colors = {"passed": "green", "warned": "yellow", "held back": "yellow"}
    return [
        f"  {one.table}" if one.table else one.layer,
        *(f"{rows:,}" for rows in (one.rows_in, one.changed, one.refused)),
        f"[{colors.get(one.verdict, 'red')}]{one.verdict}",
        "" if seconds is None else f"{seconds:.1f}",
    ]
