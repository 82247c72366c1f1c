"""The `lakehouse` command. Heavy imports wait inside the commands, so that ``--help`` is quick."""

from __future__ import annotations

from typing import Any

import typer
from typer.core import TyperGroup

from lakehouse.cli import bench, demo, generate, land, replay, run, sql, stack, status, withdraw
from lakehouse.errors import LakehouseError


class _ErrorsForPeople(TyperGroup):
    """Prints what went wrong and what to do next; exit code 1. A traceback would help nobody here."""

    def invoke(self, ctx: Any) -> Any:
        try:
            return super().invoke(ctx)
        except LakehouseError as error:
            typer.secho(error.message, fg="red", err=True)
            if error.hint:
                typer.secho(f"→ {error.hint}", fg="cyan", err=True)
            raise typer.Exit(1) from error
        except KeyboardInterrupt as error:
            typer.secho(
                "Interrupted. The same command continues where this one stopped.", fg="yellow", err=True
            )
            raise typer.Exit(130) from error


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
* `lakehouse sql "SELECT * FROM gold.kpi_daily ORDER BY 1 DESC LIMIT 5"`
* `lakehouse status`: services, layers, freshness
* `eval "$(lakehouse env)"`: endpoints and credentials for psql, DuckDB, boto3 …
""",
)

for noun in (stack, status, land, withdraw, replay, run, sql, generate, demo, bench):
    noun.register(app)


if __name__ == "__main__":
    app()
