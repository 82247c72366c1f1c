"""The `lakehouse` command. Heavy imports wait inside the commands, so that ``--help`` is quick."""

from __future__ import annotations

from itertools import pairwise
from json import dumps
from typing import Any

import typer
from typer.core import TyperGroup
from typer.exceptions import TyperException

from lakehouse.cli import (
    adr,
    advise,
    backup,
    bench,
    demo,
    docs,
    erase,
    generate,
    land,
    maintain,
    metrics,
    prepare,
    replay,
    run,
    sql,
    stack,
    status,
    withdraw,
)
from lakehouse.cli import open as open_command
from lakehouse.errors import LakehouseError, StackError


class _ErrorsForPeople(TyperGroup):
    """Prints what went wrong and what to do next; exit code 1. A traceback would help nobody here.

    Where JSON was asked for, the error is JSON too, on standard output: ``{"error": {"kind", "message", "hint"}}``.
    """

    def invoke(self, ctx: Any) -> Any:
        as_json = _wants_json(ctx.args)
        try:
            return super().invoke(ctx)
        except LakehouseError as error:
            _tell(error, as_json=as_json)
            raise typer.Exit(1) from error
        except TyperException as error:
            if not as_json:
                raise
            _print_json("UsageError", error.format_message(), "")
            raise typer.Exit(error.exit_code) from error
        except KeyboardInterrupt as error:
            message = "Interrupted. The same command continues where this one stopped."
            if as_json:
                _print_json("Interrupted", message, "")
            else:
                typer.secho(message, fg="yellow", err=True)
            raise typer.Exit(130) from error
        except Exception as error:
            down = _unreachable(error)
            if down is None:
                raise
            _tell(down, as_json=as_json)
            raise typer.Exit(1) from error


def _wants_json(arguments: list[str]) -> bool:
    return (
        "--json" in arguments or "--format=json" in arguments or ("--format", "json") in pairwise(arguments)
    )


def _tell(error: LakehouseError, *, as_json: bool) -> None:
    if as_json:
        _print_json(type(error).__name__, error.message, error.hint)
        return
    typer.secho(error.message, fg="red", err=True)
    if error.hint:
        typer.secho(f"→ {error.hint}", fg="cyan", err=True)


def _print_json(kind: str, message: str, hint: str) -> None:
    typer.echo(
        dumps({"error": {"kind": kind, "message": message, "hint": hint}}, ensure_ascii=False, indent=2)
    )


def _unreachable(error: Exception) -> LakehouseError | None:
    """What to say when a server does not answer; None when the error is another one.

    Judged by names of classes: whoever raised one has imported its library, and ``--help`` need not.
    """
    names = {(kind.__module__.partition(".")[0], kind.__name__) for kind in type(error).__mro__}
    if ("sqlalchemy", "OperationalError") in names:
        what = f"The warehouse does not answer: {str(error.__cause__ or error).strip()}"
    elif ("botocore", "ConnectionError") in names or ("botocore", "HTTPClientError") in names:
        what = f"The object store does not answer: {error}"
    else:
        return None
    return StackError(what, "`lakehouse status` shows what is down; `lakehouse up` starts it.")


app = typer.Typer(
    cls=_ErrorsForPeople,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="markdown",
    context_settings={"help_option_names": ["-h", "--help"]},
    help="""A lakehouse on a laptop: land files, run them through Airflow, query the result.

* `lakehouse up`: start PostgreSQL, MinIO and Airflow
* `lakehouse land olist`: upload `data/raw/olist`
* `lakehouse run olist`: through Airflow, followed to gold
* `lakehouse replay olist`: the same dump as the deliveries its shop would have sent
* `lakehouse sql "SELECT order_date, order_count, payment_brl FROM gold.kpi_daily LIMIT 5"`; without a query psql opens
* `lakehouse status`: services, layers, freshness
* `lakehouse maintain`: what nobody needs any more, and to remove it
* `lakehouse open`: the site: is the data good, what is there, where does it come from
* `lakehouse docs --open`: what the gates have found, table by table
* `eval "$(lakehouse env)"`: endpoints and credentials for psql, DuckDB, boto3 …
""",
)

for noun in (
    stack,
    status,
    open_command,
    land,
    withdraw,
    erase,
    replay,
    run,
    maintain,
    sql,
    backup,
    generate,
    adr,
    demo,
    docs,
    metrics,
    advise,
    bench,
    prepare,
):
    noun.register(app)


if __name__ == "__main__":
    app()
