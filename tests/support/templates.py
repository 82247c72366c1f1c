"""Lakehouses that are ready in a fraction of a second: a prepared database is copied, not made again.

All copies share one bucket, because Iceberg's metadata names its files in full. Nobody is disturbed by that: data
files are never changed and have names of their own; the landing zone is emptied for every test.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from lakehouse.contract import Project
from lakehouse.home import warehouse
from lakehouse.home.homes import Homes
from lakehouse.home.settings import Settings
from lakehouse.stack import postgres
from lakehouse.stack.postgres import ANALYST, LOADER, PostgresServer
from lakehouse.stack.s3 import S3Server

from .lakehouse import Lakehouse
from .olist import small_shop


@dataclass
class Templates:
    """Databases to copy, made when first asked for."""

    pg: PostgresServer
    s3: S3Server
    project: Project
    folder: Path
    made: dict[str, str] = field(default_factory=dict)

    @contextmanager
    def empty(self) -> Iterator[Lakehouse]:
        """A lakehouse with all its tables and no rows."""
        with self._copy("empty", None, lambda homes: warehouse.prepare(homes, self.project)) as made:
            yield made

    @contextmanager
    def loaded(self) -> Iterator[Lakehouse]:
        """A lakehouse that has taken ``small_shop()``, delivered on its day, to gold."""
        with self._copy("loaded", "empty", self._load) as made:
            yield made

    def _load(self, homes: Homes) -> None:
        Lakehouse(homes, self.project, self.folder / "template").load(small_shop())

    @contextmanager
    def _copy(self, name: str, base: str | None, fill: Callable[[Homes], object]) -> Iterator[Lakehouse]:
        if base == "empty" and base not in self.made:
            with self.empty():
                pass
        if name not in self.made:
            database = _create(self.pg, self.made.get(base or ""))
            homes = self._homes(database)
            fill(homes)
            homes.engine.dispose()
            self.made[name] = database
        database = _create(self.pg, self.made[name])
        homes = self._homes(database)
        self._empty_landing_zone(homes)
        try:
            yield Lakehouse(
                homes, self.project, self.folder / database, analyst_dsn=self.pg.dsn(ANALYST, database)
            )
        finally:
            homes.engine.dispose()
            postgres.drop_database(self.pg, database)

    def _homes(self, database: str) -> Homes:
        return Homes.open(
            Settings.model_validate(
                {
                    "pg_dsn": self.pg.dsn(LOADER, database),
                    "s3_endpoint": self.s3.endpoint,
                    "bucket": "flows",
                    "access_key": self.s3.access_key,
                    "secret_key": self.s3.secret_key,
                }
            )
        )

    def _empty_landing_zone(self, homes: Homes) -> None:
        client = homes.s3_client()
        listed = client.list_objects_v2(Bucket=homes.bucket, Prefix="landing/").get("Contents", [])
        if listed:
            keys = [{"Key": entry["Key"]} for entry in listed]
            client.delete_objects(Bucket=homes.bucket, Delete={"Objects": keys})  # type: ignore[typeddict-item]


def _create(server: PostgresServer, template: str | None) -> str:
    name = f"flow_{uuid.uuid4().hex[:12]}"
    copied = f' TEMPLATE "{template}"' if template else ""
    postgres.execute(server.superuser_dsn, [f'CREATE DATABASE "{name}" OWNER {LOADER}{copied}'])
    postgres.create_database(server, name, LOADER)
    return name
