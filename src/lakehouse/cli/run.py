"""`run`: partitions of a source through Airflow, followed to gold."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import date, datetime, timedelta
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from collections.abc import Iterable

    from lakehouse.cli.follow import Outcome
    from lakehouse.cli.progress import RichReporter
    from lakehouse.contract import Project
    from lakehouse.home.homes import Homes


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(run)


def run(
    source: Annotated[str, typer.Argument(help="`olist`, `avazu` or another source with contracts.")],
    first: Annotated[
        str | None,
        typer.Option("--from", help="First date, YYYY-MM-DD."),
    ] = None,
    last: Annotated[str | None, typer.Option("--to", help="Last date; default: the same as --from.")] = None,
    force: Annotated[
        bool,
        typer.Option("--force", help="Stage, audit and publish the days anew, although they are published."),
    ] = False,
    reconform: Annotated[
        bool,
        typer.Option("--reconform", help="Judge every row again: silver from all of bronze, then gold."),
    ] = False,
    json: Annotated[bool, typer.Option("--json", help="The outcome as JSON.")] = False,
) -> None:
    """Run landed partitions through Airflow and follow them: bronze, silver, gold.

    Without dates: every landed delivery that has not reached gold yet, but for those that a gate has blocked;
    these are named. With dates: the deliveries of these days. Of one that is published it says when, and how it was
    judged; `--force` does it again, with a fresh gate, and rewrites no row that comes out as it was. Ends with a table
    of what was done. When a gate or a task fails, its message is printed and the exit code is 1.

    `--reconform` is for a contract whose rules changed: rows that are fine now leave quarantine, others enter it, and
    gold follows. Rows that come out as they were are not written.

    Example: `lakehouse run avazu --from 2014-10-21 --to 2014-10-23`
    """
    from json import dumps

    from lakehouse.cli.context import stack_state
    from lakehouse.cli.progress import RichReporter

    if reconform and (first or last):
        raise typer.BadParameter("--reconform judges all days; leave out --from and --to.")
    if force and not first:
        raise typer.BadParameter("--force wants to be told which days: --from, and --to.")
    dates(first, last)
    stack_state()  # there must be an Airflow, and of the homes that are looked at
    with RichReporter() as reporter:
        selected = _newest(source) if reconform else select(source, first, last)
        for note in selected.notes(source):
            reporter.note(note)
        outcome = (
            run_partitions(source, selected.keys, reporter, reconform=reconform, rebuild=force)
            if selected.keys
            else None
        )
    if json:
        told = outcome.as_json() if outcome else {"partitions": [], "failures": []}
        left = {"blocked": selected.blocked, "without_delivery": selected.undelivered}
        typer.echo(dumps(told | left, indent=2))
    if outcome:
        report(outcome, as_json=json)


def report(outcome: Outcome, *, as_json: bool = False) -> None:
    """Print what a run did, table by table (JSON has told it already), and what failed; then the exit code is 1."""
    from lakehouse.cli.grid import output_console
    from lakehouse.cli.run_summary import print_summary

    if outcome.summary and not as_json:
        print_summary(outcome.summary, outcome, output_console())
    if outcome.failures:
        report_failures(outcome)
        raise typer.Exit(1)


def report_failures(outcome: Outcome) -> None:
    """Print what failed, where and why."""
    for failure in outcome.failures:
        typer.secho(failure.headline, fg="red", err=True)
        typer.echo(failure.message, err=True)


def run_partitions(
    source: str,
    keys: list[str],
    reporter: RichReporter,
    *,
    reconform: bool = False,
    rebuild: bool = False,
) -> Outcome:
    """Trigger the partitions and follow each to gold; with ``reconform`` from silver on. Sums up what the ledger says.

    ``rebuild``: what is published is made anew, in every layer.

    Raises:
        StackError: the environment names another stack than the one whose Airflow would be asked.
    """
    from lakehouse.cli import run_summary
    from lakehouse.cli.context import open_homes, stack_state
    from lakehouse.cli.follow import Follower
    from lakehouse.contract.model import Layer
    from lakehouse.stack.laptop import airflow_url, open_airflow

    state, homes = stack_state(), open_homes()
    first: Layer = "silver" if reconform else "bronze"

    def published(key: str) -> str:
        with homes.engine.connect() as conn:
            return run_summary.published(conn, source, key)

    try:
        with homes.engine.connect() as conn:
            since = run_summary.now(conn)
        with open_airflow(state) as api:
            params = {"reconform": True} if reconform else {"rebuild": True} if rebuild else {}
            follower = Follower(api, source, reporter, first=first, params=params, published=published)
            follower.wait_until_known()
            outcome = follower.run(keys)
        with homes.engine.connect() as conn:
            summary = run_summary.summarise(conn, source, outcome, since, airflow_url(state))
    finally:
        homes.engine.dispose()
    return replace(outcome, summary=summary)


@dataclass(frozen=True)
class Selection:
    """The partitions to run, oldest first, and those that are left alone: partition key → the layer that blocks it.

    ``undelivered``: days that were asked for, between others, for which nothing is landed.
    """

    keys: list[str]
    blocked: dict[str, str] = field(default_factory=dict)
    undelivered: list[str] = field(default_factory=list)

    def notes(self, source: str) -> list[str]:
        """What a person should know before the run begins."""
        notes = []
        if self.blocked:
            days = ", ".join(f"{key} ({layer})" for key, layer in sorted(self.blocked.items()))
            notes.append(
                f"Left alone, because a gate has blocked them: {days}. `lakehouse status` says why; "
                f"`lakehouse run {source} --from DATE` runs one again."
            )
        if self.undelivered:
            days = ", ".join(self.undelivered[:_NAMED_DAYS]) + (
                " …" if self.undelivered[_NAMED_DAYS:] else ""
            )
            count = "1 day" if len(self.undelivered) == 1 else f"{len(self.undelivered)} days"
            notes.append(f"{count} skipped: no delivery ({days}).")
        if not self.keys:
            others = "Every other" if self.blocked else "Every"
            notes.append(
                f"{others} landed delivery of {source} is in gold. Run it again with --from DATE --force."
            )
        return notes


def select(source: str, first: str | None, last: str | None) -> Selection:
    """The partitions to run.

    Raises:
        LakehouseError: nothing is landed (in these dates).
    """
    from lakehouse.cli.context import open_homes
    from lakehouse.contract import Project
    from lakehouse.errors import LakehouseError
    from lakehouse.landing.manifest import list_deliveries

    given = [day.isoformat() for day in dates(first, last) if day]
    project = Project.load()
    project.tables(source)  # names an unknown source
    homes = open_homes()
    try:
        landed = list_deliveries(homes.s3_client(), homes.bucket, source)
        if not landed:
            raise LakehouseError(f"Nothing of {source} is landed.", f"Run `lakehouse land {source}` first.")
        if not given:
            return to_do(homes, project, source, landed)
        low, high = given[0], given[-1]
        keys = [key for key in landed if low <= key <= high]
        if not keys:
            raise LakehouseError(
                f"No delivery of {source} "
                + (f"for {low}." if low == high else f"between {low} and {high}."),
                f"Landed: {min(landed)} … {max(landed)} ({len(landed)}).",
            )
        return Selection(keys, undelivered=_days_without(landed, low, high))
    finally:
        homes.engine.dispose()


def _newest(source: str) -> Selection:
    """The newest partition that bronze serves: under it silver works everything out again.

    Raises:
        LakehouseError: bronze serves nothing.
    """
    from sqlalchemy import text

    from lakehouse.cli.context import open_homes
    from lakehouse.contract import Project
    from lakehouse.errors import LakehouseError

    Project.load().tables(source)  # names an unknown source
    homes = open_homes()
    try:
        with homes.engine.connect() as conn:
            key = conn.execute(text(_NEWEST), {"s": source}).scalar()
    finally:
        homes.engine.dispose()
    if key is None:
        raise LakehouseError(f"Bronze has nothing of {source} yet.", f"Run `lakehouse run {source}`.")
    return Selection([key])


def _days_without(landed: Iterable[str], low: str, high: str) -> list[str]:
    """Days from ``low`` to ``high`` that are not among the landed ones."""
    first, known = date.fromisoformat(low), set(landed)
    days = (first + timedelta(days=n) for n in range((date.fromisoformat(high) - first).days + 1))
    return [day.isoformat() for day in days if day.isoformat() not in known]


#: More days are counted only.
_NAMED_DAYS = 5
_NEWEST = """
SELECT max(partition_key)::text FROM ops.batch
WHERE source = :s AND bronze_publish_id IS NOT NULL AND superseded_by IS NULL
"""
_OPEN = "SELECT partition_key::text, layer, status FROM ops.open_partition WHERE source = :s"
#: What bronze last did for each landed partition; an index look-up each.
_BRONZE = """
SELECT k.key, r.status, r.planned_at
FROM unnest(cast(:keys AS text[])) AS k (key)
LEFT JOIN LATERAL (
    SELECT status, planned_at FROM ops.run
    WHERE source = :s AND layer = 'bronze' AND partition_key = cast(k.key AS date)
    ORDER BY run_id DESC LIMIT 1
) AS r ON true
"""
#: Files of deliveries that bronze has seen, with what it knows of their manifest; true: it serves them.
_SEEN = """
SELECT batch_id::text, kind, allow_shrink, bronze_publish_id IS NOT NULL AND superseded_by IS NULL
FROM ops.batch WHERE batch_id = any(cast(:b AS uuid[]))
"""
#: A delivery that was landed this long before bronze looked at it was seen; the clocks of store and warehouse differ.
_SLACK = timedelta(minutes=1)


def to_do(homes: Homes, project: Project, source: str, landed: dict[str, datetime]) -> Selection:
    """Landed partitions that are new or not in gold yet, without those that a gate has blocked as they are landed.

    Manifests are read only of deliveries that were landed about when bronze last looked, or later.
    """
    from sqlalchemy import text

    with homes.engine.connect() as conn:
        open_layers = conn.execute(text(_OPEN), {"s": source}).all()
        bronze = conn.execute(text(_BRONZE), {"s": source, "keys": list(landed)}).all()
    new = {key for key, status, _ in bronze if status is None}
    unsure = {
        k: status == "blocked" for k, status, looked in bronze if status and landed[k] + _SLACK >= looked
    }
    new |= _landed_again(homes, project, source, unsure)
    blocked = {key: layer for key, layer, status in open_layers if status == "blocked" and key not in new}
    unfinished = {key for key, _, status in open_layers if status != "blocked"}
    keys = [key for key in landed if key in new or (key in unfinished and key not in blocked)]
    return Selection(keys, {key: layer for key, layer in blocked.items() if key in landed})


def _landed_again(homes: Homes, project: Project, source: str, keys: dict[str, bool]) -> set[str]:
    """Partitions with landed files that bronze neither serves nor, where it is blocked (the value), has tried.

    The same bytes count as another file when their kind has changed, or when they may shrink now.
    """
    from sqlalchemy import text

    from lakehouse.landing.manifest import read_manifest
    from lakehouse.layer.ledger import batch_id

    tables = {contract.name: contract.table for contract in project.tables(source)}
    client, files = homes.s3_client(), {}
    for key in keys:
        manifest = read_manifest(client, homes.bucket, source, key)
        named = manifest.files if manifest else ()
        files[key] = {
            (batch_id(source, tables[f.table], f.key, f.sha256), f.kind, manifest.allow_shrink)
            for f in named
            if manifest and f.table in tables
        }
    every = sorted(batch for found in files.values() for batch, _, _ in found)
    with homes.engine.connect() as conn:
        rows = conn.execute(text(_SEEN), {"b": every}).all()
    seen = {(batch, kind, allow_shrink): served for batch, kind, allow_shrink, served in rows}
    return {
        key
        for key, is_blocked in keys.items()
        if not all(batch in seen and (is_blocked or seen[batch]) for batch in files[key])
    }


def dates(first: str | None, last: str | None) -> tuple[date | None, date | None]:
    """First and last day as dates.

    Raises:
        LakehouseError: one is no date, or they are the wrong way round.
    """
    from lakehouse.errors import LakehouseError

    low, high = (date.fromisoformat(parsed_date(day)) if day is not None else None for day in (first, last))
    if low and high and low > high:
        raise LakehouseError(f"--from {low} is later than --to {high}.", "Exchange them.")
    return low, high


def parsed_date(value: str) -> str:
    """A date as a person wrote it, in the form of partition keys.

    Raises:
        LakehouseError: it is none.
    """
    from lakehouse.errors import LakehouseError

    try:
        return date.fromisoformat(value).isoformat()
    except ValueError as error:
        raise LakehouseError(
            f"`{value}` is not a date.", "Write it as YYYY-MM-DD, such as 2018-10-17."
        ) from error
