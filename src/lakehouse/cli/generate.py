"""`generate`: what is compiled from contracts."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from lakehouse.contract import Project


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(generate)


def generate(
    check: Annotated[
        bool, typer.Option("--check", help="Change nothing; fail when a file is stale.")
    ] = False,
) -> None:
    """Compile the contracts to SQL, quality suites and pages, and write what changed.

    Example: `lakehouse generate && git diff`
    """
    from lakehouse.compile.generate import write_all
    from lakehouse.contract import Project
    from lakehouse.errors import LakehouseError

    project = Project.load()
    paths = write_all(project, check=check, also=reference_pages(project))
    if check and paths:
        raise LakehouseError(
            f"Generated files are stale: {', '.join(paths)}.", "Run `make generate` and commit the result."
        )
    typer.echo("\n".join(paths) if paths else "Everything is up to date.")


def reference_pages(project: Project) -> dict[str, str]:
    """Path below the project's root → text: what is described by code, the commands and the DAGs."""
    from lakehouse.cli.main import app
    from lakehouse.cli.reference import cli_page
    from lakehouse.orchestrate.reference import dags_page

    return {
        "docs/reference/cli.md": cli_page(app),
        "docs/reference/dags.md": dags_page(project.root / "dags"),
    }
