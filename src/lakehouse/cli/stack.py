"""`up`, `down`, `env`, `logs`: the laptop's servers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from lakehouse.cli.progress import RichReporter
    from lakehouse.stack.state import StackState


def register(app: typer.Typer) -> None:
    """Add the commands."""
    for command in (up, down, env, logs):
        app.command()(command)
    app.command(hidden=True)(delete_everything)


def up(
    without_airflow: Annotated[
        bool, typer.Option("--without-airflow", help="Only PostgreSQL and the object store.")
    ] = False,
) -> None:
    """Start what does not run yet, and wait until it answers. Safe to repeat at any time.

    Everything listens on 127.0.0.1; a busy port is replaced by the next free one. State lives in
    `LAKEHOUSE_HOME` (default `.lakehouse/`).

    Example: `lakehouse up && lakehouse status`
    """
    from lakehouse.cli.progress import RichReporter

    with RichReporter() as reporter:
        state = bring_up(reporter, with_airflow=not without_airflow)
    reporter.console.print(login_lines(state), highlight=False)


def bring_up(reporter: RichReporter, *, with_airflow: bool = True) -> StackState:
    """Bring up the stack of this checkout."""
    from lakehouse.cli.context import prepare_homes
    from lakehouse.orchestrate.pools import POOLS
    from lakehouse.stack import laptop
    from lakehouse.stack.state import StackHome

    return laptop.up(
        StackHome.locate(), reporter, prepare=prepare_homes, pools=POOLS, with_airflow=with_airflow
    )


def login_lines(state: StackState) -> str:
    """URL and login of what a person opens next."""
    from lakehouse.stack.airflow import USER
    from lakehouse.stack.laptop import airflow_url

    return (
        f"Airflow     [link]{airflow_url(state)}[/link]   user [bold]{USER}[/bold]   "
        f"password [bold]{state.airflow_password}[/bold]\n"
        f"PostgreSQL  127.0.0.1:{state.ports['postgres']}   database lakehouse\n"
        f"S3          {state.store.url}   bucket {state.bucket}\n"
        'Credentials for tools: eval "$(lakehouse env)"'
    )


def down() -> None:
    """Stop everything; nothing of it is left running, and nothing is lost.

    Example: `lakehouse down`
    """
    from lakehouse.cli.progress import RichReporter
    from lakehouse.stack import laptop
    from lakehouse.stack.state import StackHome

    with RichReporter() as reporter:
        stopped = laptop.down(StackHome.locate(), reporter)
        reporter.note("Stopped." if stopped else "Nothing was running.")


def delete_everything(
    yes: Annotated[bool, typer.Option("--yes", help="Really.")] = False,
) -> None:
    """Stop the stack and delete all its data, logs and secrets; `make clean` calls it.

    Example: `lakehouse delete-everything --yes`
    """
    from lakehouse.cli.progress import RichReporter
    from lakehouse.errors import StackError
    from lakehouse.stack import laptop
    from lakehouse.stack.state import StackHome

    home = StackHome.locate()
    if not yes:
        raise StackError(f"This deletes {home.root} with all data in it.", "Say so with --yes.")
    with RichReporter() as reporter:
        laptop.delete(home, reporter)


def env(
    json: Annotated[bool, typer.Option("--json", help="As a JSON object instead of shell lines.")] = False,
    reader: Annotated[
        bool, typer.Option("--reader", help="Only what reads both homes, without personal data.")
    ] = False,
) -> None:
    """Print `export` lines with endpoints and credentials of the running stack.

    Example: `eval "$(lakehouse env)"; psql "$LAKEHOUSE_PG_DSN"`
    """
    from json import dumps

    from lakehouse.cli.context import export_lines, exports, reader_exports, stack_state

    variables = (reader_exports if reader else exports)(stack_state(check=False))
    typer.echo(dumps(variables, indent=2) if json else export_lines(variables))


def logs(
    service: Annotated[str, typer.Argument(help="A service; without it, the services are listed.")] = "",
    lines: Annotated[int, typer.Option("--lines", "-n", help="How many of the last lines.")] = 100,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Keep printing what is added.")] = False,
) -> None:
    """Print a service's log. Logs of tasks are in Airflow's UI.

    Example: `lakehouse logs airflow-scheduler -f`
    """
    import subprocess

    from lakehouse.errors import StackError
    from lakehouse.stack.state import StackHome
    from lakehouse.stack.supervisor import log_file

    home = StackHome.locate()
    known = sorted(path.stem for path in home.logs.glob("*.log"))
    if not service:
        typer.echo("\n".join(known) or f"No logs in {home.logs} yet.")
        return
    if service not in known:
        raise StackError(f"There is no log of `{service}`.", f"Known: {', '.join(known) or 'none yet'}.")
    path = log_file(home, service)
    if not path.stat().st_size and not follow:
        typer.echo(f"The log of {service} is empty: {path}", err=True)
    arguments = ["-n", str(lines), *(["-F"] if follow else [])]
    subprocess.run(["tail", *arguments, str(path)], check=False)
