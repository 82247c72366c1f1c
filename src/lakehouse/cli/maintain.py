"""`maintain`: remove what nobody needs any more."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from datetime import datetime

    from lakehouse.home.homes import Homes
    from lakehouse.home.pages import Pages
    from lakehouse.layer.maintenance import Job, Outcome
    from lakehouse.stack.state import StackState


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(maintain)


def maintain(
    apply: Annotated[bool, typer.Option("--apply", help="Do it. Without this nothing is changed.")] = False,
    step: Annotated[
        list[str] | None,
        typer.Option(
            "--step",
            help="Only this step, may be repeated: `retention`, `compact`, `snapshots`, `orphans`, `ledger`, "
            "`warehouse`, `pages`, `logs`, `airflow`.",
        ),
    ] = None,
    json: Annotated[bool, typer.Option("--json", help="The outcome as JSON.")] = False,
) -> None:
    """Show what nobody needs any more, step by step: rows past retention, old snapshots, stray objects, logs, history.

    Nothing is changed unless `--apply` is given. Runs may be under way: what they have pinned stays. Each step is safe
    to repeat; one that fails stops no other, and the exit code is 1 then. The DAG `lakehouse_maintenance` does the
    same every night. How long things are kept: the retention in each contract; `LAKEHOUSE_KEEP_…` in `.env.example`.

    Example: `lakehouse maintain`, then `lakehouse maintain --apply --step snapshots --step orphans`
    """
    from json import dumps

    from lakehouse.cli.context import open_homes
    from lakehouse.errors import LakehouseError
    from lakehouse.layer import maintenance

    unknown = sorted(set(step or ()) - maintenance.STEPS.keys())
    if unknown:
        raise LakehouseError(
            f"There is no step {unknown[0]!r}.", f"The steps: {', '.join(maintenance.STEPS)}."
        )
    homes, landing = open_homes(), open_homes(landing=True)
    try:
        with homes.engine.connect():  # one message when nobody is there, not one of each step
            pass
        job = _job(homes, landing, apply=apply)
        done = maintenance.maintain(job, step or ())
    finally:
        homes.engine.dispose()
        landing.engine.dispose()
    if json:
        typer.echo(dumps({"applied": apply, "steps": [o.as_json() for o in done]}, indent=2))
    else:
        _show(done, apply=apply)
    if any(o.state == "failed" for o in done):
        raise typer.Exit(1)


def _job(homes: Homes, landing: Homes, *, apply: bool) -> Job:
    from dataclasses import replace

    from lakehouse.cli.docs import place
    from lakehouse.contract import Project
    from lakehouse.layer.maintenance import Job

    return Job(
        replace(homes, data_docs=homes.data_docs or place()),
        Project.load(),
        apply=apply,
        landing=landing,
        logs=_logs(),
        airflow=_airflow(),
    )


def _stack() -> StackState | None:
    """The laptop's stack; None when there is none, or the homes are not its."""
    from lakehouse.cli.context import stack_state
    from lakehouse.errors import StackError

    try:
        return stack_state()
    except StackError:
        return None


def _logs() -> tuple[Pages, ...]:
    """Logs of the tasks of the laptop's Airflow, which need not run."""
    from lakehouse.home.pages import open_pages
    from lakehouse.stack.state import StackHome

    folder = StackHome.locate().airflow / "logs"
    return (open_pages(folder),) if _stack() and folder.is_dir() else ()


def _airflow() -> Callable[[datetime, bool], int] | None:
    """What cleans the database of the laptop's Airflow; None when it has none, or the homes are not the laptop's."""
    import os

    from lakehouse.orchestrate.metadata import clean
    from lakehouse.stack import airflow
    from lakehouse.stack.laptop import server_of
    from lakehouse.stack.state import StackHome

    home, state = StackHome.locate(), _stack()
    if state is None or not airflow.is_migrated(home):
        return None
    server = server_of(state)
    environment = os.environ | airflow.environment(home, state, server)
    return lambda before, apply: clean(server.airflow_dsn, before, apply, environment)


def _show(done: Sequence[Outcome], *, apply: bool) -> None:
    from rich import box
    from rich.console import Console
    from rich.table import Table

    console = Console()
    table = Table(box=box.SIMPLE_HEAD)
    table.add_column("step")
    table.add_column("")
    for name in ("objects", "size", "rows"):
        table.add_column(name, justify="right")
    table.add_column("what", overflow="fold")
    for o in done:
        size = _size(o.bytes) if o.bytes else ""
        figures = (f"{o.objects:,}" if o.objects else "", size, f"{o.rows:,}" if o.rows else "")
        table.add_row(o.step, o.state, *figures, "\n".join(o.notes))
    console.print(table)
    if not apply and any(o.state == "planned" for o in done):
        console.print("Nothing was changed. To do it: [bold]lakehouse maintain --apply[/bold]")


def _size(count: float) -> str:
    for unit in ("B", "kB", "MB", "GB"):
        if count < 1000:
            return f"{count:.0f} {unit}"
        count /= 1000
    return f"{count:.1f} TB"
