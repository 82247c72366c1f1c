"""`withdraw`: take a delivery back."""

from __future__ import annotations

from typing import Annotated

import typer


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(withdraw)


def withdraw(
    source: Annotated[str, typer.Argument(help="`olist`, `avazu` or another source with contracts.")],
    date: Annotated[str, typer.Option("--date", help="The delivery's date, YYYY-MM-DD.")],
    land_only: Annotated[
        bool,
        typer.Option(
            "--land-only", help="Only remove the files; its rows are served until the next `lakehouse run`."
        ),
    ] = False,
    json: Annotated[bool, typer.Option("--json", help="The outcome as JSON.")] = False,
) -> None:
    """Take a delivery back: its files leave the landing zone, and its rows every layer, as if it had never come.

    Other deliveries stay what they are: where an earlier one said something of the same keys, that counts again.
    RAW and bronze keep the rows for the record, and the ledger shows the withdrawal. Landing the files again brings
    the delivery back.

    Example: `lakehouse withdraw avazu --date 2014-10-22`
    """
    from dataclasses import asdict
    from json import dumps

    from lakehouse.cli.context import open_homes, stack_state
    from lakehouse.cli.progress import RichReporter
    from lakehouse.cli.run import report, run_partitions
    from lakehouse.contract import Project
    from lakehouse.landing.withdraw import withdraw as take_back

    project = Project.load()
    project.tables(source)  # names an unknown source
    if not land_only:
        stack_state()  # there must be an Airflow to tell, and of these homes, before anything goes
    with RichReporter() as reporter:
        homes = open_homes(landing=True)
        try:
            done = take_back(homes, project, source, date)
        finally:
            homes.engine.dispose()
        reporter.note(f"{source} {date}: {done.files} files with {done.rows:,} rows are withdrawn.")
        outcome = None if land_only else run_partitions(source, [date], reporter)
    if json:
        typer.echo(dumps(asdict(done) | (outcome.as_json() if outcome else {}), indent=2))
    if outcome:
        report(outcome, as_json=json)
