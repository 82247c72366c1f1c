"""One moment of the warehouse: what its ledger and its catalog name then, and that nobody deletes meanwhile."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from psycopg2.errors import SerializationFailure
from sqlalchemy import Connection, text
from sqlalchemy.exc import OperationalError

from lakehouse.errors import LakehouseError
from lakehouse.home.homes import Homes
from lakehouse.home.iceberg import referenced

_LOCK = "select pg_try_advisory_xact_lock(hashtextextended('lakehouse.backup', 0))"
#: A sweep passes over objects whose rows somebody holds; a publish, which changes other columns, is not kept waiting.
_HOLD = "select uri, kind from ops.lake_file where status <> 'staged' for key share"
_IDENTITY = """
insert into ops.setting (name, value) values ('identity', gen_random_uuid()::text) on conflict (name) do nothing
"""
#: How often it is tried again, when a sweep was quicker.
_TRIES = 10


@dataclass(frozen=True)
class Moment:
    """A moment that is held: ``conn`` sees it, and so does whoever imports ``snapshot``.

    ``uris``: the lake's objects, each with its kind in the registry.
    """

    conn: Connection
    snapshot: str
    lakehouse: str
    postgres: int
    uris: dict[str, str]


@contextmanager
def hold(homes: Homes) -> Iterator[Moment]:
    """Hold this moment: until the end no object that the ledger shows now is deleted. Publishes go on meanwhile.

    Raises:
        LakehouseError: another backup is at work, or there is no warehouse yet.
    """
    with homes.engine.begin() as conn:
        if conn.execute(text("select to_regclass('ops.lake_file')")).scalar() is None:
            raise LakehouseError(
                "There is nothing to back up: the warehouse has no tables yet.", "`lakehouse up`."
            )
        conn.execute(text(_IDENTITY))
    for left in reversed(range(_TRIES)):
        with (
            homes.engine.connect().execution_options(isolation_level="REPEATABLE READ") as conn,
            conn.begin(),
        ):
            try:
                moment = _moment(conn)
            except OperationalError as error:
                if left and isinstance(error.orig, SerializationFailure):
                    continue
                raise
            yield moment
            # A connection that broke has let go of the objects.
            conn.execute(text("select 1"))
            return


@contextmanager
def alone(homes: Homes) -> Iterator[None]:
    """No backup of this lakehouse begins meanwhile.

    Raises:
        LakehouseError: one is at work.
    """
    with homes.engine.begin() as conn:
        _lock(conn)
        yield


def _lock(conn: Connection) -> None:
    if not conn.execute(text(_LOCK)).scalar():
        raise LakehouseError("Another backup of this lakehouse is at work.", "Wait for its end.")


def _moment(conn: Connection) -> Moment:
    _lock(conn)
    uris: dict[str, str] = dict(conn.execute(text(_HOLD)).all())
    return Moment(
        conn,
        conn.execute(text("select pg_export_snapshot()")).scalar_one(),
        conn.execute(text("select value from ops.setting where name = 'identity'")).scalar_one(),
        server_major(conn),
        uris,
    )


def server_major(conn: Connection) -> int:
    """The server's major version."""
    return int(conn.execute(text("show server_version_num")).scalar_one()) // 10000


def unknown_objects(homes: Homes, moment: Moment) -> list[str]:
    """Objects that Iceberg tables name at this moment and the registry does not: there should be none."""
    catalog = homes.catalog(moment.conn)
    tables = [name for namespace in catalog.list_namespaces() for name in catalog.list_tables(namespace)]
    return sorted(
        {uri for name in tables for uri in referenced(catalog.load_table(name))} - moment.uris.keys()
    )
