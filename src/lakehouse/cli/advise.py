"""`advise`: does a part have to change soon?"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from lakehouse.monitor.advice import Advice


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(advise)


def advise(
    runs: Annotated[int, typer.Option("--runs", min=1, help="How often each question is asked.")] = 5,
    kpi_seconds: Annotated[
        float | None, typer.Option("--kpi-seconds", min=0, help="Threshold of the p95. [default: 30]")
    ] = None,
    warehouse_gb: Annotated[
        float | None, typer.Option("--warehouse-gb", min=0, help="Threshold of its size. [default: 200]")
    ] = None,
    users: Annotated[
        float | None, typer.Option("--users", min=0, help="Threshold of concurrent users. [default: 10]")
    ] = None,
    queries: Annotated[
        float | None, typer.Option("--queries", min=0, help="Threshold of queries a day. [default: 100]")
    ] = None,
    json: Annotated[bool, typer.Option("--json", help="For scripts.")] = False,
) -> None:
    """Compare what is measured with the thresholds of growth: which part to change next, and what it may cost.

    It asks the questions of `sql/kpi` as the analyst and times them, and reads sizes, growth, readers and queries
    from the ledger and its samples. Run it daily: a slow day is no reason, slow weeks are. Costs are estimates.

    Example: `lakehouse advise --warehouse-gb 50 --json`
    """
    from json import dumps

    from lakehouse.monitor.advice import GB

    given = {
        "kpi_p95_seconds": kpi_seconds,
        "warehouse_bytes": None if warehouse_gb is None else warehouse_gb * GB,
        "readers_active": users,
        "queries_per_day": queries,
    }
    found = _measured(runs, given)
    if json:
        typer.echo(dumps([advice.as_json() for advice in found], indent=2))
    else:
        _print(found)


def _measured(runs: int, given: Mapping[str, float | None]) -> list[Advice]:
    from sqlalchemy.engine import make_url

    from lakehouse.cli.context import open_homes, settings
    from lakehouse.contract import Project
    from lakehouse.errors import LakehouseError
    from lakehouse.home import warehouse
    from lakehouse.home.homes import open_engine
    from lakehouse.monitor import advice, measuring, questions

    dsn = settings().analyst_dsn.get_secret_value()
    if not dsn:
        raise LakehouseError(
            "No login of the analyst is configured (LAKEHOUSE_ANALYST_DSN is empty).",
            'Start the stack with `lakehouse up`, then `eval "$(lakehouse env)"`.',
        )
    measures = measuring.thresholds(given)
    homes, analyst = open_homes(), open_engine(make_url(dsn), "lakehouse-advise")
    try:
        with homes.engine.connect() as conn:
            if not warehouse.is_prepared(conn):
                raise LakehouseError("This warehouse is empty.", "`lakehouse up` prepares it.")
        timings = questions.ask(analyst, questions.questions(Project.load().root), runs)
        with homes.engine.begin() as conn:
            known = measuring.measure(conn, measures, timings)
    finally:
        homes.engine.dispose()
        analyst.dispose()
    return [advice.judge(measure, known[measure.name]) for measure in measures]


def _print(found: Sequence[Advice]) -> None:
    from rich import box
    from rich.table import Table

    from lakehouse.cli.grid import output_console

    console = output_console()
    table = Table(box=box.SIMPLE_HEAD)
    for heading in ("measure", "now", "threshold", "verdict", "passed on"):
        table.add_column(
            heading, justify="right" if heading in ("now", "threshold") else "left", no_wrap=True
        )
    for heading in ("first", "next engine", "a month (estimate)"):
        table.add_column(heading)
    for advice in found:
        measure = advice.measure
        table.add_row(
            measure.title,
            _shown(advice.known.now, measure.unit),
            _threshold(advice),
            f"[{'green' if advice.is_calm else 'yellow'}]{advice.verdict.value}",
            advice.passed_on.date().isoformat() if advice.passed_on else "",
            measure.first,
            measure.engine,
            measure.cost,
        )
    console.print(table)
    for advice in found:
        console.print(
            f"{advice.measure.title}: {advice.measure.basis} ({advice.known.detail}).", highlight=False
        )
    if all(advice.is_calm for advice in found):
        console.print("\nAll far below the thresholds: nothing has to change.", style="green")


def _threshold(advice: Advice) -> str:
    measure = advice.measure
    low = _shown(measure.threshold, measure.unit)
    return low if measure.upper == measure.threshold else f"{low} to {_shown(measure.upper, measure.unit)}"


def _shown(value: float | None, unit: str) -> str:
    from lakehouse.monitor.advice import GB

    if value is None:
        return "?"
    return f"{value / GB if unit == 'GB' else value:,.4g} {unit}".rstrip()
