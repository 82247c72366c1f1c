"""`backup` and `restore`: the whole lakehouse, out and in."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from lakehouse.backup.make import Stack
    from lakehouse.backup.places import Place
    from lakehouse.backup.programs import Programs
    from lakehouse.backup.records import Backup
    from lakehouse.backup.restore import Target
    from lakehouse.cli.progress import RichReporter
    from lakehouse.home.homes import Homes
    from lakehouse.stack.state import StackHome, StackState

_WHERE = "A folder, or `s3://<bucket>/<prefix>` (on the store that LAKEHOUSE_BACKUP_* name)."


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.command()(backup)
    app.command()(restore)


def backup(
    place: Annotated[str, typer.Argument(help=_WHERE)],
    keep: Annotated[
        int | None,
        typer.Option("--keep", min=1, help="Afterwards remove all but so many of the newest backups."),
    ] = None,
    verify: Annotated[
        bool,
        typer.Option("--verify", help="Make none: read a backup back, and compare every checksum."),
    ] = False,
    list_: Annotated[bool, typer.Option("--list", help="Make none: list those that are there.")] = False,
    backup_id: Annotated[
        str | None, typer.Option("--backup", help="With --verify: its id; else the newest.")
    ] = None,
    json: Annotated[bool, typer.Option("--json", help="The backups as JSON.")] = False,
) -> None:
    """Back up the lakehouse while it works.

    `pg_dump` dumps the database (warehouse, ledger, catalog) at one moment; then all objects of the lake that it names
    are copied, which nobody deletes meanwhile, with the landing zone and Data Docs. What an earlier backup has copied
    is not copied again. A backup counts when its `backup.json` is there, which is written last; what was
    interrupted continues with the same command.

    It holds all personal data and no password. Airflow's own database and the secrets in `LAKEHOUSE_HOME` (or `.env`)
    are not in it.

    Example: `lakehouse backup /mnt/backups/lakehouse --keep 14`
    """
    from lakehouse.backup.keep import tidy
    from lakehouse.backup.keep import verify as read_back
    from lakehouse.backup.make import make_backup
    from lakehouse.backup.records import backups, choose
    from lakehouse.cli.progress import RichReporter

    if backup_id and not verify:
        raise typer.BadParameter("--backup says which one to verify; add --verify.")
    found = _place(place)
    if list_:
        _show(backups(found), as_json=json)
        return
    with RichReporter() as reporter:
        if verify:
            done = choose(found, backup_id)
            read_back(found, done, reporter)
            reporter.note(f"{done.id}: {done.object_count + 1:,} files are what was written.")
        else:
            stack = _stack()
            try:
                done = make_backup(stack, found, _programs(), reporter)
                with reporter.step("Removing what no backup needs") as detail:
                    removed = tidy(stack.homes, found, keep, detail)
            finally:
                stack.homes.engine.dispose()
            for one in removed:
                reporter.note(f"{one} was removed.")
    _show([done], as_json=json)


def restore(
    place: Annotated[str, typer.Argument(help=_WHERE)],
    backup_id: Annotated[str | None, typer.Option("--backup", help="Its id; else the newest.")] = None,
    json: Annotated[bool, typer.Option("--json", help="The outcome as JSON.")] = False,
) -> None:
    """Restore a backup into a fresh, empty stack. `lakehouse up` then makes it whole: roles, keys, Airflow.

    On a laptop it starts Postgres and the object store itself. A stack that holds anything is refused. Interrupted, the
    same command continues; until it has finished nobody can use the stack. The bucket must have the name it had.

    Example: `lakehouse restore /mnt/backups/lakehouse && lakehouse up`
    """
    from json import dumps

    from lakehouse.backup.records import choose
    from lakehouse.backup.restore import restore_backup
    from lakehouse.cli.progress import RichReporter

    found = _place(place)
    chosen = choose(found, backup_id)
    with RichReporter() as reporter:
        target = _target(reporter)
        try:
            count, copied = restore_backup(target, found, chosen, _programs(), reporter)
        finally:
            target.homes.engine.dispose()
            target.landing.engine.dispose()
        reporter.note(f"{chosen.id} is restored, as it was at {chosen.made_at:%Y-%m-%d %H:%M} UTC.")
        reporter.note("Persons who were erased since are back: erase them again. Then `lakehouse up`.")
    if json:
        typer.echo(dumps({"backup": chosen.id, "copied_count": count, "copied_bytes": copied}, indent=2))


def _place(where: str) -> Place:
    import os

    from lakehouse.backup.places import open_place
    from lakehouse.cli.context import settings
    from lakehouse.home.settings import Settings
    from lakehouse.stack import state

    # The key of a bucket may be the stack's; a folder needs none, nor a stack.
    known = os.environ.get("LAKEHOUSE_PG_DSN") or state.load(state.StackHome.locate())
    return open_place(where, settings() if where.startswith("s3://") and known else Settings())


def _programs() -> Programs:
    """Those of the stack's own Postgres before those on PATH."""
    from lakehouse.backup.programs import Programs
    from lakehouse.errors import StackError
    from lakehouse.stack.postgres import wheel_install

    try:
        return Programs((wheel_install() / "bin",))
    except StackError:
        return Programs()


def _stack() -> Stack:
    from lakehouse.backup.make import Stack
    from lakehouse.cli.context import open_homes

    homes = open_homes()
    return Stack(homes, _pages(homes))


def _pages(homes: Homes) -> Place:
    """Where Data Docs are: what the environment names, else the laptop stack's folder, else in the lake's bucket."""
    import os

    from lakehouse.backup.places import Bucket, Folder
    from lakehouse.stack import state

    home = state.StackHome.locate()
    named = os.environ.get("LAKEHOUSE_DATA_DOCS") or (str(home.data_docs) if state.load(home) else "")
    if named and not named.startswith("s3://"):
        return Folder(Path(named))
    bucket, _, prefix = (named or f"s3://{homes.bucket}/data-docs").removeprefix("s3://").partition("/")
    return Bucket(bucket, f"{prefix.strip('/')}/", homes.s3)


def _target(reporter: RichReporter) -> Target:
    """The stack to fill: a deployment that the environment names, else the laptop's, whose two servers are started."""
    import os

    from lakehouse.backup.restore import Target
    from lakehouse.cli.context import open_homes, refuse_mixture
    from lakehouse.stack import laptop
    from lakehouse.stack import state as memory

    home = memory.StackHome.locate()
    state = memory.load(home)
    if os.environ.get("LAKEHOUSE_PG_DSN") and state is None:
        homes = open_homes()
        homes.ensure_bucket()
        return Target(homes, open_homes(landing=True), _pages(homes))
    if state and state.s3:
        refuse_mixture(state)
        _refuse_airflow(home, state)
    state = laptop.up(home, reporter, prepare=lambda _: None, pools={}, with_airflow=False)
    homes = _as_root(state)
    homes.ensure_bucket()
    return Target(homes, homes, _pages(homes))


def _refuse_airflow(home: StackHome, state: StackState) -> None:
    from lakehouse.errors import StackError
    from lakehouse.stack import airflow
    from lakehouse.stack.supervisor import Supervisor

    supervisor = Supervisor(home, state)
    if supervisor.alive and any(s.running and s.group == airflow.GROUP for s in supervisor.statuses()):
        raise StackError(
            "Airflow is running, and its tasks would look into a half-filled warehouse.",
            "`lakehouse down`, then this command again.",
        )


def _as_root(state: StackState) -> Homes:
    """The homes with the key of the laptop store's root, which alone may write everywhere."""
    from dataclasses import replace

    from lakehouse.cli.context import open_homes
    from lakehouse.stack import s3

    homes = open_homes(state)
    if state.store.kind != "minio":
        return homes
    return replace(homes, s3=replace(homes.s3, access_key=s3.ROOT, secret_key=state.s3_password))


def _show(found: list[Backup], *, as_json: bool) -> None:
    from json import dumps

    from rich.table import Table

    from lakehouse.backup.make import size
    from lakehouse.cli.grid import output_console

    if as_json:
        typer.echo(dumps([one.model_dump(mode="json") for one in found], indent=2))
        return
    table = Table("backup", "made (UTC)", "database", "objects", "their size", "copied", "seconds", box=None)
    for one in found:
        table.add_row(
            one.id,
            f"{one.made_at:%Y-%m-%d %H:%M}",
            size(one.dump_bytes),
            f"{one.object_count:,}",
            size(one.object_bytes),
            size(one.copied_bytes),
            f"{one.seconds:,.1f}",
        )
    output_console().print(table)
