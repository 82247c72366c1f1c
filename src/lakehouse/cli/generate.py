"""`generate`: what is compiled from contracts."""

from __future__ import annotations

from typing import Annotated

import typer


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

    paths = write_all(Project.load(), check=check)
    if check and paths:
        raise LakehouseError(
            f"Generated files are stale: {', '.join(paths)}.", "Run `make generate` and commit the result."
        )
    typer.echo("\n".join(paths) if paths else "Everything is up to date.")
