"""Restore a backup into an empty stack: its objects, then its database.

Until all of it is there the warehouse says of itself that it is being restored, and nobody prepares or uses it. The
same command continues where it broke off.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from importlib.metadata import version

from sqlalchemy import Connection, text

from lakehouse.backup.keep import refuse_damaged
from lakehouse.backup.make import LANDING, PAGES, Reporter, in_parallel, size
from lakehouse.backup.places import Bucket, Changed, Found, Hashing, Place
from lakehouse.backup.programs import Programs
from lakehouse.backup.programs import restore as fill_database
from lakehouse.backup.records import DUMP, Backup, object_name, read_sums
from lakehouse.backup.snapshot import server_major
from lakehouse.errors import LakehouseError
from lakehouse.home import warehouse
from lakehouse.home.homes import Homes
from lakehouse.layer.ledger import forget_work_at_hand

_SCHEMAS = """
select nspname from pg_namespace where nspname !~ '^pg_' and nspname <> 'information_schema' order by 1
"""
_RELATIONS = """
select c.oid::regclass::text from pg_class as c inner join pg_namespace as n on n.oid = c.relnamespace
where n.nspname = any(:s) and c.relkind in ('r', 'p') order by c.relispartition desc, 1
"""
#: In one transaction: a server has locks for so many relations, their indexes and their long values.
_DROPPED = 200
#: What a prepared warehouse has.
_OWN = {"raw", "ods", "gold", "ops", "stage", "masked", "lake", "public"}


@dataclass(frozen=True)
class Target:
    """The stack to fill: its homes, the homes of who may write to the landing zone, where its pages go, if anywhere."""

    homes: Homes
    landing: Homes
    pages: Place | None = None

    def place_of(self, name: str) -> tuple[Place | None, str]:
        """Where an object of a backup goes, and its name there."""
        if name.startswith(PAGES):
            return self.pages, name.removeprefix(PAGES)
        homes = self.landing if name.startswith(LANDING) else self.homes
        return Bucket(homes.bucket, "", homes.s3), name


def restore_backup(
    target: Target, place: Place, backup: Backup, programs: Programs, report: Reporter
) -> tuple[int, int]:
    """Fill an empty stack with a backup. Returns the objects and bytes that were copied.

    Runs that were at work when the backup was made are over: what they had staged is not in it.

    Raises:
        LakehouseError: the stack is not empty, has another bucket, or is too old; the backup is damaged. The stack is
            untouched, or says that it is being restored.
    """
    _check_versions(target, backup)
    sums = read_sums(place, backup)
    with report.step("Looking at backup and stack") as detail:
        there = place.list()
        names = [backup.path(DUMP), *sums]
        refuse_damaged(backup, [f"{name} is missing" for name in names if name not in there])
        with place.on_disk(backup.path(DUMP)) as archive, archive.open("rb") as stream:
            whole = Hashing(stream).to_end().sha256 == backup.dump_sha256
        refuse_damaged(backup, [] if whole else [f"{backup.path(DUMP)} is not what was written"])
        continued = _begin(target, backup)
        detail("continues" if continued else "empty")
    with report.step("Objects") as detail:
        copied = _copy_objects(target, place, backup, sums, there, detail)
    with report.step("Postgres") as detail:
        detail(size(backup.dump_bytes))
        _clear(target.homes)
        program = programs.find("pg_restore", backup.postgres)
        with place.on_disk(backup.path(DUMP)) as archive:
            fill_database(program, target.homes.engine.url, archive, jobs=min(4, os.cpu_count() or 1))
    with target.homes.engine.begin() as conn:
        forget_work_at_hand(conn)
        warehouse.restored(conn)
    return copied


def _check_versions(target: Target, backup: Backup) -> None:
    if backup.bucket != target.homes.bucket:
        raise LakehouseError(
            f"The backup {backup.id} is of the bucket {backup.bucket}, this stack has {target.homes.bucket}. Iceberg's "
            "metadata names every file in full, with its bucket.",
            f"Restore into a stack with LAKEHOUSE_BUCKET={backup.bucket}; its endpoint may be another one.",
        )
    if _numbers(backup.version) > _numbers(version("lakehouse-lite")):
        raise LakehouseError(
            f"The backup {backup.id} was made by version {backup.version}, this is {version('lakehouse-lite')}.",
            "Restore with that version or a newer one.",
        )
    with target.homes.engine.connect() as conn:
        major = server_major(conn)
    if major < backup.postgres:
        raise LakehouseError(
            f"The backup {backup.id} is of PostgreSQL {backup.postgres}, this server is {major}.",
            f"Restore into PostgreSQL {backup.postgres} or newer.",
        )


def _numbers(told: str) -> tuple[int, ...]:
    return tuple(int(part) for part in told.split(".") if part.isdigit())


def _begin(target: Target, backup: Backup) -> bool:
    """Refuse a stack that holds something, and mark one that does not. Whether this restore was begun before.

    Raises:
        LakehouseError: the stack is not empty, or another restore was begun here.
    """
    with target.homes.engine.connect() as conn:
        begun = warehouse.being_restored(conn)
        if begun == backup.id:
            return True
        holds = f"the half of the backup {begun}" if begun else _what_is_there(target, conn)
    if holds:
        raise LakehouseError(
            f"This stack is not empty: it holds {holds}. Nothing was changed.",
            "Restore into a fresh one: another LAKEHOUSE_HOME, or `make clean` here, which deletes what there is.",
        )
    _clear(target.homes)
    with target.homes.engine.begin() as conn:
        warehouse.begin_restore(conn, backup.id)
    return False


def _what_is_there(target: Target, conn: Connection) -> str:
    """What a stack holds beside what `up` gives every stack; nothing when it is fresh."""
    homes = target.homes
    schemas = set(conn.execute(text(_SCHEMAS)).scalars())
    if foreign := sorted(schemas - _OWN):
        return f"the schema {foreign[0]}"
    known: set[str] = set()
    if warehouse.is_prepared(conn):
        runs = conn.execute(text("select count(*) from ops.run")).scalar_one()
        if runs:
            return f"{runs:,} runs in its ledger"
        known = set(conn.execute(text("select uri from ops.lake_file")).scalars())
    there = Bucket(homes.bucket, "", homes.s3).list()
    mine = {name for name in there if name.startswith((LANDING, "lake/"))}
    foreign = sorted(name for name in mine if f"s3://{homes.bucket}/{name}" not in known)
    return f"{len(foreign):,} objects in its bucket, such as {foreign[0]}" if foreign else ""


def _clear(homes: Homes) -> None:
    """Drop everything in a database that holds nothing, or what a restore has begun to put there."""
    with homes.engine.begin() as conn:
        schemas = [str(name) for name in conn.execute(text(_SCHEMAS)).scalars()]
        uris: Sequence[str] = []
        if warehouse.being_restored(conn) is None and warehouse.is_prepared(conn):
            uris = list(conn.execute(text("select uri from ops.lake_file")).scalars())
        relations = list(conn.execute(text(_RELATIONS), {"s": schemas}).scalars())
    Bucket(homes.bucket, "", homes.s3).delete(uri.removeprefix(f"s3://{homes.bucket}/") for uri in uris)
    for start in range(0, len(relations), _DROPPED):
        with homes.engine.begin() as conn:
            warehouse.run_script(
                conn, f"drop table if exists {', '.join(relations[start : start + _DROPPED])} cascade"
            )
    with homes.engine.begin() as conn:
        for schema in schemas:
            if schema != "public":
                warehouse.run_script(conn, f'drop schema "{schema}" cascade')


def _copy_objects(
    target: Target,
    place: Place,
    backup: Backup,
    sums: Mapping[str, str],
    stored: Mapping[str, Found],
    detail: Callable[[str], None],
) -> tuple[int, int]:
    """Copy what is not there yet; objects and bytes. What an earlier try has written is whole."""
    there = Bucket(target.homes.bucket, "", target.homes.s3).list()
    total, done, count, copied = sum(stored[name].bytes for name in sums), 0, 0, 0

    def one(item: tuple[str, str]) -> tuple[int, bool, str]:
        name, sha256 = item
        to, own = target.place_of(object_name(name))
        length = stored[name].bytes
        found = there.get(own) if isinstance(to, Bucket) else None
        if to is None or (found is not None and found.bytes == length):
            return length, False, ""
        try:
            with closing(place.open(name)) as stream:
                reading = Hashing(stream)
                to.write(own, reading)
        except Changed:
            return 0, False, f"{name} is missing"
        if reading.written.sha256 != sha256:
            to.delete([own])
            return 0, False, f"{name} is not what was written"
        return length, True, ""

    wrong = []
    for length, is_copied, problem in in_parallel(one, sums.items()):
        done += length
        count, copied = count + is_copied, copied + (length if is_copied else 0)
        wrong += [problem] if problem else []
        detail(f"{size(done)} of {size(total)}")
    refuse_damaged(backup, wrong)
    return count, copied
