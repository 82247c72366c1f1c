"""A lakehouse that can be lost, and places of backups where something happens on the way."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

from lakehouse.backup.make import Stack, make_backup
from lakehouse.backup.places import Folder, Hashing, Place
from lakehouse.backup.programs import Programs
from lakehouse.backup.records import Backup, choose
from lakehouse.backup.restore import Target, restore_backup
from lakehouse.home.homes import Homes
from lakehouse.stack import postgres
from lakehouse.stack.postgres import LOADER, PostgresServer, wheel_install

from ..support.lakehouse import Lakehouse
from .stack_support import Notes

PROGRAMS = Programs((wheel_install() / "bin",))


@dataclass
class Backed:
    """A lakehouse with a bucket of its own, the folder of its pages, and a folder for its backups."""

    house: Lakehouse
    server: PostgresServer
    place: Folder
    pages: Folder

    @property
    def homes(self) -> Homes:
        return self.house.homes

    def backup(self, place: Place | None = None) -> Backup:
        return make_backup(Stack(self.homes, self.pages), place or self.place, PROGRAMS, Notes())

    def restore(self, backup: Backup | None = None, place: Place | None = None) -> tuple[int, int]:
        where = place or self.place
        target = Target(self.homes, self.homes, self.pages)
        return restore_backup(target, where, backup or choose(where, None), PROGRAMS, Notes())

    def destroy(self) -> None:
        """Database, objects and pages are gone; a new, bare database has the old one's name."""
        database = str(self.homes.engine.url.database)
        self.homes.engine.dispose()
        postgres.drop_database(self.server, database)
        postgres.create_database(self.server, database, LOADER)
        delete_all(self.homes)
        self.pages.delete(self.pages.list())


def delete_all(homes: Homes) -> None:
    """Delete every object of a bucket."""
    client = homes.s3_client()
    for page in client.get_paginator("list_objects_v2").paginate(Bucket=homes.bucket):
        keys: Any = [{"Key": entry["Key"]} for entry in page.get("Contents", [])]
        if keys:
            client.delete_objects(Bucket=homes.bucket, Delete={"Objects": keys})


@dataclass(frozen=True)
class Eventful(Folder):
    """A folder where something happens: after the dump was written, or when so many objects were written or read."""

    after_dump: Callable[[], object] = lambda: None
    ctrl_c_after: int = 1_000_000
    done: list[str] = field(default_factory=list)

    def write(self, name: str, source: Hashing, *, long: bool = False) -> None:
        self._count(name)
        super().write(name, source, long=long)
        if long:
            self.after_dump()

    def open(self, name: str, token: str = "") -> IO[bytes]:
        self._count(name)
        return super().open(name, token)

    def _count(self, name: str) -> None:
        if name.startswith("objects/"):
            if len(self.done) >= self.ctrl_c_after:
                raise KeyboardInterrupt
            self.done.append(name)


def copied(folder: Folder, to: Path) -> Folder:
    """A place of backups with a copy of another's."""
    shutil.copytree(folder.root, to)
    return Folder(to)
