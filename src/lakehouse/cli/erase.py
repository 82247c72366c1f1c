"""`erase`: remove a person from everything that is stored."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from lakehouse.contract.model import Layer
    from lakehouse.home.homes import Homes
    from lakehouse.home.pages import Pages
    from lakehouse.layer.erasure import Outcome


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(erase)


def erase(
    source: Annotated[str, typer.Argument(help="`olist` or another source whose contracts name persons.")],
    person: Annotated[
        str,
        typer.Option(
            "--customer-unique-id",
            "--person",
            help="The person's id, as in the files; `-` reads it from standard input, so that no shell remembers it.",
        ),
    ],
    apply: Annotated[
        bool, typer.Option("--apply", help="Do it. Without this only what would be touched is counted.")
    ] = False,
    reference: Annotated[
        str, typer.Option(help="Of the request, for the record in `ops.erasure`; a ticket, never the id.")
    ] = "",
    json: Annotated[bool, typer.Option("--json", help="The outcome as JSON.")] = False,
) -> None:
    """Erase a person: from landed files, every layer of both homes, their past, quarantine, reports and pages.

    Orders, payments and all sums stay, and so does the number of persons: the id becomes a pseudonym that nobody can
    compute back, the address a placeholder, and the texts of reviews go. What is delivered again, or late, loses the
    person where it is parsed. Ends with a search of all that is stored. Killed, the same command goes on. Backups
    that were made before are not reached: see docs/how-to/erase-a-person.md.

    Example: `cat id.txt | lakehouse erase olist --customer-unique-id - --reference DPO-17 --apply`
    """
    import sys
    from json import dumps

    from lakehouse.cli.context import open_homes
    from lakehouse.cli.progress import RichReporter
    from lakehouse.contract import Project
    from lakehouse.errors import LakehouseError
    from lakehouse.home import warehouse
    from lakehouse.layer import erasure

    wanted = sys.stdin.readline().strip() if person == "-" else person.strip()
    if reference and wanted in reference:
        raise LakehouseError("The reference has the person's id in it.", "Name the request, not the person.")
    project, homes, landing = Project.load(), open_homes(), open_homes(landing=True)
    try:
        warehouse.prepare(homes, project)
        with RichReporter() as reporter:
            request = erasure.Request(
                homes, landing, project, source, wanted, reference,
                pages=_pages(homes), caches=_caches(), is_alive=_is_alive(homes, source), step=reporter.step,
            )  # fmt: skip
            outcome = erasure.erase(request) if apply else erasure.look(request)
    finally:
        homes.engine.dispose()
        landing.engine.dispose()
    if json:
        told = {
            "erasure_id": outcome.erasure_id,
            "applied": apply,
            "touched": dict(outcome.touched),
            "warnings": list(outcome.warnings),
        }
        typer.echo(dumps(told, indent=2))
    else:
        _tell(outcome, applied=apply)


def _tell(outcome: Outcome, *, applied: bool) -> None:
    for place, count in sorted(outcome.touched.items()):
        if count:
            typer.echo(f"{place:<34} {count:>9,}")
    for warning in outcome.warnings:
        typer.secho(warning, fg="yellow", err=True)
    if applied:
        typer.secho(
            f"Erased, and found nowhere any more. The record is row {outcome.erasure_id} of ops.erasure.",
            fg="green",
        )
    elif outcome.is_nothing:
        typer.echo("Nothing is there about that person.")
    else:
        typer.echo("Nothing was changed. The same with --apply does it.")


def _pages(homes: Homes) -> list[Pages]:
    """The Data Docs and the site, where there are any."""
    import os

    from lakehouse.home.pages import open_pages
    from lakehouse.stack.state import StackHome

    home = StackHome.locate()
    places = (
        os.environ.get("LAKEHOUSE_DATA_DOCS") or str(home.data_docs),
        os.environ.get("LAKEHOUSE_SITE") or str(home.site),
    )
    return [open_pages(place, homes.s3) for place in places]


def _caches() -> list[Path]:
    """Where tasks on this machine keep copies of lake files: the stack's, and what the environment names."""
    import os
    from pathlib import Path

    from lakehouse.stack.airflow import lake_cache
    from lakehouse.stack.state import StackHome

    named = os.environ.get("LAKEHOUSE_CACHE_FOLDER")
    return [lake_cache(StackHome.locate().airflow), *([Path(named)] if named else [])]


def _is_alive(homes: Homes, source: str) -> Callable[[Layer, str], bool]:
    """Whether a DAG run of a layer is at work: Airflow knows; where there is none to ask, the ledger must do."""
    from lakehouse.cli.context import stack_state
    from lakehouse.errors import StackError
    from lakehouse.layer.turns import has_open_run
    from lakehouse.stack.laptop import open_airflow

    try:
        state = stack_state()
    except StackError:
        state = None

    def is_alive(layer: Layer, run: str) -> bool:
        if state is None:
            with homes.engine.connect() as conn:
                return has_open_run(conn, source, layer, run)
        with open_airflow(state) as api:
            path = f"/dags/{source}_{layer}/dagRuns/{run}"
            return api.exists(path) and api.call("GET", path)["state"] in ("running", "queued", "restarting")

    return is_alive
