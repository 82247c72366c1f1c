"""`land`: files of a source into the landing zone."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from lakehouse.cli.progress import RichReporter
    from lakehouse.contract.model import DeliveryKind
    from lakehouse.landing.deliver import LandingReport


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(land)


def land(
    source: Annotated[str, typer.Argument(help="`olist`, `avazu` or another source with contracts.")],
    folder: Annotated[
        Path | None, typer.Option("--from", help="Folder with the files. Default: `data/raw/SOURCE`.")
    ] = None,
    date: Annotated[
        str | None,
        typer.Option("--date", help="The delivery's date, YYYY-MM-DD. Default: told by the files."),
    ] = None,
    full: Annotated[
        bool | None,
        typer.Option(
            "--full/--increment",
            help="What the delivery lacks is gone, or it holds new and changed rows only. Default: the contracts say.",
            show_default=False,
        ),
    ] = None,
    allow_shrink: Annotated[
        bool,
        typer.Option("--allow-shrink", help="It may have far fewer rows than the delivery it supersedes."),
    ] = False,
    json: Annotated[bool, typer.Option("--json", help="The outcome as JSON.")] = False,
) -> None:
    """Check the files of a source and upload them to the landing zone.

    The same bytes again change nothing; other bytes for the same date, or the same of another kind, supersede that
    delivery. A broken file, or a day that cannot date a delivery, is named with its line and column, and nothing is
    uploaded.

    Example: `lakehouse land olist --from ~/Downloads/olist`
    """
    from json import dumps

    from lakehouse.cli.progress import RichReporter

    with RichReporter() as reporter:
        kind: DeliveryKind | None = None if full is None else "full" if full else "increment"
        reports = land_source(source, folder, date, reporter, kind=kind, allow_shrink=allow_shrink)
    if json:
        typer.echo(dumps([as_json(report) for report in reports], indent=2))
    else:
        for line in summary(reports):
            reporter.console.print(line, highlight=False)


def land_source(
    source: str,
    folder: Path | None,
    date: str | None,
    reporter: RichReporter,
    *,
    kind: DeliveryKind | None = None,
    allow_shrink: bool = False,
) -> list[LandingReport]:
    """Land a source's files and show what is being done."""
    from lakehouse.cli.context import existing_folder, open_homes
    from lakehouse.contract import Project
    from lakehouse.landing.deliver import land as deliver

    project = Project.load()
    project.tables(source)  # an unknown source is named before anything else
    folder = existing_folder(folder, "--from") or project.root / "data" / "raw" / source
    homes = open_homes(landing=True)
    with reporter.step(f"Landing {source}") as detail:

        def progress(label: str, done: int, total: int) -> None:
            detail(f"{label} {done * 100 // total} %" if total else label)

        reports = deliver(
            homes, project, source, folder, date, kind=kind, allow_shrink=allow_shrink, progress=progress
        )
        detail(f"{sum(report.rows for report in reports):,} rows")
    homes.engine.dispose()
    return reports


def summary(reports: list[LandingReport]) -> list[str]:
    """A line per delivery; many are summed up."""
    lines = [
        f"{one.source} {one.partition_key}: {one.action}, {len(one.files)} files, {one.rows:,} rows"
        for one in reports
    ]
    return lines if len(lines) <= 12 else [*lines[:5], f"… {len(lines) - 10} more deliveries", *lines[-5:]]


def as_json(report: LandingReport) -> dict[str, Any]:
    """A delivery for scripts."""
    return {
        "source": report.source,
        "partition_key": report.partition_key,
        "action": report.action,
        "files": len(report.files),
        "rows": report.rows,
        "uploaded": list(report.uploaded),
    }
