"""`replay`: a dump as the deliveries that its source would have sent, landed and run one after the other."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

if TYPE_CHECKING:
    from datetime import date

    from lakehouse.cli.follow import Outcome
    from lakehouse.cli.progress import RichReporter
    from lakehouse.home.homes import Homes
    from lakehouse.landing.deliver import LandingReport
    from lakehouse.landing.replay_olist import ReplayDelivery


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(replay)


def replay(
    source: Annotated[str, typer.Argument(help="`olist`, the source that comes as one dump.")],
    first: Annotated[
        str | None, typer.Option("--from", help="First day, YYYY-MM-DD. Default: the first day of the dump.")
    ] = None,
    last: Annotated[
        str | None, typer.Option("--to", help="Last day. Default: the last day of the dump.")
    ] = None,
    step: Annotated[
        Literal["day", "week", "month"],
        typer.Option("--step", help="What one delivery covers; weeks end on Sunday."),
    ] = "day",
    land_only: Annotated[
        bool, typer.Option("--land-only", help="Land the deliveries; `lakehouse run` takes them up later.")
    ] = False,
    files: Annotated[
        Path | None,
        typer.Option("--files", help="Folder with the dump. Default: `data/raw/olist`, else the sample."),
    ] = None,
    allow_shrink: Annotated[
        bool,
        typer.Option("--allow-shrink", help="A delivery may have far fewer rows than the one it supersedes."),
    ] = False,
    json: Annotated[bool, typer.Option("--json", help="The outcome as JSON.")] = False,
) -> None:
    """Replay the Olist dump as the deliveries its shop would have sent, and run them through Airflow.

    Each delivery holds what was new or changed in its step: orders as they looked at its end, their customers,
    items and payments when they were placed, reviews when they were answered. It is dated by the step's last day;
    steps in which no order changed are left out. After the whole dump, silver and gold are what
    `lakehouse land olist` and `lakehouse run olist` make of it at once.

    With `--from` in the middle, the first delivery catches up: it holds all that happened until the end of its
    step, so that the shop does not start empty.

    The same command again continues: what is landed stays, and what is in gold is not run again. Another `--step`
    or `--from` over the same days supersedes their deliveries; replay those into a fresh stack (`make clean`).

    Example: `lakehouse replay olist --from 2017-01-01 --to 2017-03-31 --step month`
    """
    from json import dumps

    from lakehouse.cli.context import existing_folder, stack_state
    from lakehouse.cli.progress import RichReporter
    from lakehouse.cli.run import dates, report

    _check_source(source)
    days = dates(first, last)
    files = existing_folder(files, "--files")
    if not land_only:
        stack_state()  # there must be an Airflow of these homes
    with RichReporter() as reporter:
        reports = _land(step, *days, files, reporter, allow_shrink=allow_shrink)
        for line in _summary(reports):
            reporter.note(line)
        outcome = None if land_only else _run([report.partition_key for report in reports], reporter)
    if json:
        typer.echo(dumps(_as_json(reports, outcome), indent=2))
    if outcome:
        report(outcome, as_json=json)


def _check_source(source: str) -> None:
    from lakehouse.contract import Project
    from lakehouse.errors import LakehouseError
    from lakehouse.landing.replay_olist import SOURCE

    Project.load().tables(source)  # names an unknown source
    if source != SOURCE:
        raise LakehouseError(
            f"{source} is not replayed: its files are split into one delivery per day when they are landed.",
            f"Run `lakehouse land {source}`.",
        )


def _land(
    step: Literal["day", "week", "month"],
    first: date | None,
    last: date | None,
    files: Path | None,
    reporter: RichReporter,
    *,
    allow_shrink: bool,
) -> list[LandingReport]:
    """Write the deliveries to a temporary folder and land them, oldest first."""
    from lakehouse.cli.context import open_homes
    from lakehouse.cli.demo import own_or_sample_files
    from lakehouse.contract import Project
    from lakehouse.home import scratch
    from lakehouse.landing.replay_olist import SOURCE, write_deliveries

    homes = open_homes(landing=True)  # without a stack there is nothing to write for
    try:
        dump = files or own_or_sample_files(SOURCE, reporter)
        with scratch.occupied(scratch.new_folder()) as work:
            with reporter.step(f"Writing deliveries of {SOURCE}") as detail:
                contracts = Project.load().tables(SOURCE)
                deliveries = write_deliveries(contracts, dump, work, step, first, last, progress=detail)
                detail(f"{len(deliveries)}, one per {step}")
            return _land_each(homes, deliveries, reporter, allow_shrink=allow_shrink)
    finally:
        homes.engine.dispose()


def _land_each(
    homes: Homes, deliveries: list[ReplayDelivery], reporter: RichReporter, *, allow_shrink: bool
) -> list[LandingReport]:
    from lakehouse.contract import Project
    from lakehouse.landing.deliver import land
    from lakehouse.landing.replay_olist import SOURCE

    project, reports = Project.load(), list["LandingReport"]()
    with reporter.step(f"Landing {SOURCE}") as detail:
        for number, delivery in enumerate(deliveries, 1):
            detail(f"{delivery.partition_key}, {number} of {len(deliveries)}")
            reports += land(
                homes,
                project,
                SOURCE,
                delivery.folder,
                delivery.partition_key,
                # Whatever the contracts say of a delivery without more words: these lack what did not change.
                kind="increment",
                allow_shrink=allow_shrink,
            )
        detail(f"{len(reports)} deliveries, {sum(report.rows for report in reports):,} rows")
    return reports


def _run(keys: list[str], reporter: RichReporter) -> Outcome | None:
    """Run those of the deliveries that are not in gold; None when there are none."""
    from lakehouse.cli.run import Selection, run_partitions, select
    from lakehouse.landing.replay_olist import SOURCE

    replayed = set(keys)
    waiting = select(SOURCE, None, None)
    selected = Selection(
        [key for key in waiting.keys if key in replayed],
        {key: layer for key, layer in waiting.blocked.items() if key in replayed},
    )
    for note in selected.notes(SOURCE):
        reporter.note(note)
    return run_partitions(SOURCE, selected.keys, reporter) if selected.keys else None


def _summary(reports: list[LandingReport]) -> list[str]:
    """How many deliveries were landed, superseded, or there already."""
    from collections import Counter

    from lakehouse.landing.replay_olist import SOURCE

    span = f"{reports[0].partition_key} … {reports[-1].partition_key}"
    counts = Counter(report.action for report in reports)
    return [f"{SOURCE} {span}: " + ", ".join(f"{count} {action}" for action, count in counts.items())]


def _as_json(reports: list[LandingReport], outcome: Outcome | None) -> dict[str, Any]:
    from lakehouse.cli.land import as_json

    deliveries = [as_json(report) for report in reports]
    return {"deliveries": deliveries, "run": outcome.as_json() if outcome else None}
