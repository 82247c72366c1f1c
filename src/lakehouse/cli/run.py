"""`run`: partitions of a source through Airflow, followed to gold."""

from __future__ import annotations

from datetime import date
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from lakehouse.cli.follow import Outcome
    from lakehouse.cli.progress import RichReporter
    from lakehouse.home.homes import Homes


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(run)


def run(
    source: Annotated[str, typer.Argument(help="`olist`, `avazu` or another source with contracts.")],
    first: Annotated[
        str | None,
        typer.Option("--from", help="First date, YYYY-MM-DD; runs it again even when it is published."),
    ] = None,
    last: Annotated[str | None, typer.Option("--to", help="Last date; default: the same as --from.")] = None,
    json: Annotated[bool, typer.Option("--json", help="The outcome as JSON.")] = False,
) -> None:
    """Run landed partitions through Airflow and follow them: bronze, silver, gold.

    Without dates: every landed delivery that has not reached gold yet. With dates: the deliveries of these
    days, again; a replay changes nothing that is already so. When a gate or a task fails, its message is
    printed and the exit code is 1.

    Example: `lakehouse run avazu --from 2014-10-21 --to 2014-10-23`
    """
    from json import dumps

    from lakehouse.cli.progress import RichReporter

    with RichReporter() as reporter:
        keys = partitions(source, first, last)
        if not keys and not json:
            reporter.note(f"Every landed delivery of {source} is in gold. Run it again with --from DATE.")
        outcome = run_partitions(source, keys, reporter) if keys else None
    if json:
        typer.echo(dumps(outcome.as_json() if outcome else {"partitions": [], "failures": []}, indent=2))
    if outcome and outcome.failures:
        report_failures(outcome)
        raise typer.Exit(1)


def report_failures(outcome: Outcome) -> None:
    """Print what failed, where and why."""
    for failure in outcome.failures:
        typer.secho(failure.headline, fg="red", err=True)
        typer.echo(failure.message, err=True)


def run_partitions(source: str, keys: list[str], reporter: RichReporter) -> Outcome:
    """Trigger the partitions and follow each to gold."""
    from lakehouse.cli.context import stack_state
    from lakehouse.cli.follow import Follower
    from lakehouse.stack.laptop import open_airflow

    with open_airflow(stack_state()) as api:
        follower = Follower(api, source, reporter)
        follower.wait_until_known()
        return follower.run(keys)


def partitions(source: str, first: str | None, last: str | None) -> list[str]:
    """The partition keys to run, oldest first.

    Raises:
        LakehouseError: nothing is landed (in these dates).
    """
    from lakehouse.cli.context import open_homes
    from lakehouse.contract import Project
    from lakehouse.errors import LakehouseError
    from lakehouse.landing.manifest import list_partitions

    low, high = _dates(first, last)
    Project.load().tables(source)  # names an unknown source
    homes = open_homes()
    landed = list_partitions(homes.s3_client(), homes.bucket, source)
    if not landed:
        raise LakehouseError(f"Nothing of {source} is landed.", f"Run `lakehouse land {source}` first.")
    if not low:
        keys = _pending(homes, source, landed)
    else:
        keys = [key for key in landed if low <= key <= high]
        if not keys:
            raise LakehouseError(
                f"No delivery of {source} between {low} and {high}.",
                f"Landed: {landed[0]} … {landed[-1]} ({len(landed)}).",
            )
    homes.engine.dispose()
    return keys


#: Files that bronze has published, and dates whose rows the next layer has not taken up yet.
_KNOWN_FILES = "SELECT source_key, source_hash FROM ops.batch WHERE source = :s AND superseded_by IS NULL"
_UNDER_WAY = """
SELECT DISTINCT partition_key::text FROM ops.publish
WHERE source = :s AND layer IN ('bronze', 'silver') AND status = 'published' AND consumed_by IS NULL
"""


def _pending(homes: Homes, source: str, landed: list[str]) -> list[str]:
    """Landed keys that the ledger does not know to be in gold with the bytes that are landed now."""
    from sqlalchemy import text

    from lakehouse.landing.manifest import read_manifest

    with homes.engine.connect() as connection:
        known = {tuple(row) for row in connection.execute(text(_KNOWN_FILES), {"s": source})}
        under_way = set(connection.execute(text(_UNDER_WAY), {"s": source}).scalars())
    client, pending = homes.s3_client(), []
    for key in landed:
        manifest = read_manifest(client, homes.bucket, source, key)
        files = {(file.key, file.sha256) for file in manifest.files} if manifest else set()
        if key in under_way or not files <= known:
            pending.append(key)
    return pending


def _dates(first: str | None, last: str | None) -> tuple[str, str]:
    """First and last date, checked; empty when none was given."""
    if first is None and last is None:
        return "", ""
    return _date(first or last or ""), _date(last or first or "")


def _date(value: str) -> str:
    from lakehouse.errors import LakehouseError

    try:
        return date.fromisoformat(value).isoformat()
    except ValueError as error:
        raise LakehouseError(
            f"`{value}` is not a date.", "Write it as YYYY-MM-DD, such as 2018-10-17."
        ) from error
