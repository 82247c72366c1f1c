"""One moment of the warehouse: what its ledger and its catalog name then, and that nobody deletes meanwhile."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from sqlalchemy import Connection, text

from lakehouse.errors import LakehouseError
from lakehouse.home import warehouse
from lakehouse.home.expiry import keeping_objects
from lakehouse.home.homes import Homes
from lakehouse.home.iceberg import referenced

_LOCK = "select pg_try_advisory_xact_lock(hashtextextended('lakehouse.backup', 0))"
_IDENTITY = """
insert into ops.setting (name, value) values ('identity', gen_random_uuid()::text) on conflict (name) do nothing
"""


@dataclass(frozen=True)
class Moment:
    """A moment that is held: ``conn`` sees it, and so does whoever imports ``snapshot``.

    ``uris``: the lake's objects, each with its kind in the registry. Staged ones are of runs at work, and left out.
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
        if not warehouse.is_prepared(conn):
            raise LakehouseError(
                "There is nothing to back up: the warehouse has no tables yet.", "Run `lakehouse up` first."
            )
        conn.execute(text(_IDENTITY))
    reading = homes.engine.execution_options(isolation_level="REPEATABLE READ")
    with alone(homes), keeping_objects(homes), reading.begin() as conn:
        yield Moment(
            conn,
            conn.execute(text("select pg_export_snapshot()")).scalar_one(),
            conn.execute(text("select value from ops.setting where name = 'identity'")).scalar_one(),
            server_major(conn),
            dict(conn.execute(text("select uri, kind from ops.lake_file where status <> 'staged'")).all()),
        )
        # A server that went away meanwhile has let go of the objects.
        conn.execute(text("select 1"))


@contextmanager
def alone(homes: Homes) -> Iterator[None]:
    """No backup of this lakehouse begins meanwhile.

    Raises:
        LakehouseError: one is at work.
    """
    with homes.engine.begin() as conn:
        if not conn.execute(text(_LOCK)).scalar():
            raise LakehouseError("Another backup of this lakehouse is at work.", "Wait for its end.")
        yield


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
