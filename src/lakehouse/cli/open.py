"""`open`: the addresses a person wants, in the browser."""

from __future__ import annotations

import os
import sys
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from lakehouse.site.build import Built
    from lakehouse.stack.state import StackState


class Target(StrEnum):
    """What can be opened."""

    site = "site"
    airflow = "airflow"
    docs = "docs"
    data_docs = "data-docs"


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("open")(open_target)


def open_target(
    target: Annotated[
        Target, typer.Argument(help="What to open. The site's pages are built first where they are stale.")
    ] = Target.site,
    no_open: Annotated[bool, typer.Option("--no-open", help="Only print the address.")] = False,
) -> None:
    """Open the site (is the data good, what is there, where does it come from), Airflow, the docs or Data Docs.

    Prints the address; opens it where there is a browser.

    Example: `lakehouse open`
    """
    from lakehouse.cli.context import stack_state

    state = stack_state()
    if target in (Target.site, Target.docs):
        for name, why in build_site(state).failed.items():
            typer.secho(f"{name} could not be built ({why}); it is as it was.", fg="yellow", err=True)
    address = address_of(target, state)
    typer.echo(address)
    if not no_open:
        show(address)


def address_of(target: Target, state: StackState) -> str:
    """Where something is; what is kept on S3 is shown by Airflow.

    Raises:
        LakehouseError: no gate has written Data Docs yet.
    """
    from lakehouse.errors import LakehouseError
    from lakehouse.stack.laptop import airflow_url

    airflow = airflow_url(state)
    if target is Target.airflow:
        return airflow
    place = _place(target)
    if place.startswith("s3://"):
        return f"{airflow}/plugin/{'data-docs' if target is Target.data_docs else 'site'}"
    page = Path(place) / ("docs.html" if target is Target.docs else "index.html")
    if target is Target.data_docs and not page.exists():
        raise LakehouseError(
            f"There are no Data Docs in {place} yet.", "A gate writes them: `lakehouse run olist`."
        )
    return page.as_uri()


def _place(target: Target) -> str:
    """What the environment names, else the stack's folder."""
    from lakehouse.stack.state import StackHome

    home = StackHome.locate()
    if target is Target.data_docs:
        return os.environ.get("LAKEHOUSE_DATA_DOCS") or str(home.data_docs)
    return os.environ.get("LAKEHOUSE_SITE") or str(home.site)


def build_site(state: StackState) -> Built:
    """Make what is stale of the site, as the analyst."""
    from sqlalchemy.engine import make_url

    from lakehouse.cli.context import settings
    from lakehouse.contract import Project
    from lakehouse.home.homes import open_engine, s3_access
    from lakehouse.site.build import build
    from lakehouse.stack.laptop import server_of

    place = _place(Target.site)
    dsn = os.environ.get("LAKEHOUSE_ANALYST_DSN") or server_of(state).analyst_dsn
    engine = open_engine(make_url(dsn), "lakehouse-site")
    try:
        return build(
            place, Project.load(), engine, s3_access(settings()) if place.startswith("s3://") else None
        )
    finally:
        engine.dispose()


def show(address: str) -> bool:
    """Open an address in the browser of the person who sits here; whether there is such a browser."""
    import webbrowser

    if not has_browser():
        return False
    try:
        return webbrowser.open(address)
    except webbrowser.Error:
        return False


def has_browser() -> bool:
    """Whether somebody sits before a screen here: a terminal, a display, and no continuous integration."""
    if os.environ.get("CI") or not sys.stdout.isatty():
        return False
    return sys.platform == "darwin" or any(os.environ.get(n) for n in ("DISPLAY", "WAYLAND_DISPLAY"))
