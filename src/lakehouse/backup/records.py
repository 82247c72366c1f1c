"""What a backup says of itself. A backup exists from the moment its record does, and is whole from then on.

backups/<id>/lakehouse.dump    the database, as `pg_dump --format=custom` writes it
backups/<id>/SHA256SUMS        its objects, as `sha256sum` writes and checks them
backups/<id>/backup.json       the record, written last
objects/<name>                 objects, shared by all backups; an object that may be replaced by one of its name
                               has its token behind the name: objects/<name>@<token>
"""

from __future__ import annotations

import io
from collections.abc import Collection, Mapping
from contextlib import closing, suppress
from datetime import UTC, datetime, timedelta

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from lakehouse.backup.places import Changed, Hashing, Place
from lakehouse.errors import LakehouseError

BACKUPS, OBJECTS = "backups/", "objects/"
DUMP, SUMS, RECORD = "lakehouse.dump", "SHA256SUMS", "backup.json"
FORMAT = 1


class Backup(BaseModel):
    """One backup. Sizes are in bytes; ``copied`` are objects that were not there from earlier ones."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    format: int = FORMAT
    id: str
    lakehouse: str = Field(description="the lakehouse's own id, which a restored one has too")
    made_at: datetime
    version: str = Field(description="of the software")
    postgres: int = Field(description="major version of the server")
    bucket: str
    dump_bytes: int
    dump_sha256: str
    sums_sha256: str
    object_count: int
    object_bytes: int
    copied_count: int
    copied_bytes: int
    seconds: float

    def path(self, name: str) -> str:
        """Where a file of its own lies."""
        return f"{BACKUPS}{self.id}/{name}"


def new_id(now: datetime, taken: Collection[str]) -> str:
    """An id that sorts by time and is a file's name everywhere: ``20261130T183000Z``."""
    while (made := now.astimezone(UTC).strftime("%Y%m%dT%H%M%SZ")) in taken:
        now += timedelta(seconds=1)
    return made


def stored_name(name: str, token: str) -> str:
    """Where an object lies in the place of backups; ``token`` is empty for one that is never replaced."""
    return f"{OBJECTS}{name}@{token}" if token else f"{OBJECTS}{name}"


def object_name(stored: str) -> str:
    """The name that a stored object has in the stack."""
    name, at, _ = stored.removeprefix(OBJECTS).rpartition("@")
    return name if at else stored.removeprefix(OBJECTS)


def write_text(place: Place, name: str, text: str) -> str:
    """Write a small file; its SHA-256."""
    source = Hashing(io.BytesIO(text.encode()))
    place.write(name, source)
    return source.written.sha256


def sums_text(sums: Mapping[str, str]) -> str:
    """Stored name → SHA-256, as ``sha256sum`` writes it."""
    return "".join(f"{sha256}  {name}\n" for name, sha256 in sorted(sums.items()))


def read_sums(place: Place, backup: Backup) -> dict[str, str]:
    """Stored name → SHA-256 of a backup's objects.

    Raises:
        LakehouseError: the list is not what was written.
    """
    text, sha256 = "", ""
    with suppress(Changed), closing(place.open(backup.path(SUMS))) as stream:
        source = Hashing(stream)
        text = source.read().decode(errors="replace")
        sha256 = source.written.sha256
    if sha256 != backup.sums_sha256:
        raise LakehouseError(
            f"The backup {backup.id} is damaged: {backup.path(SUMS)} is missing or not what was written.",
            "Use another one (`lakehouse backup PLACE --list`), and delete its folder.",
        )
    pairs = (line.split("  ", 1) for line in text.splitlines())
    return {name: sha256 for sha256, name in pairs}


def backups(place: Place) -> list[Backup]:
    """The whole backups of a place, oldest first.

    Raises:
        LakehouseError: a record cannot be read.
    """
    names = [n for n in place.list(BACKUPS) if n.count("/") == 2 and n.endswith(f"/{RECORD}")]
    return [_read(place, name) for name in sorted(names)]


def _read(place: Place, name: str) -> Backup:
    with closing(place.open(name)) as stream:
        data = stream.read()
    try:
        found = Backup.model_validate_json(data)
    except ValidationError as error:
        raise LakehouseError(
            f"{place.name}/{name} is not the record of a backup that this version can read.",
            "Use the version of the software that made it, or delete its folder.",
        ) from error
    if found.format != FORMAT or name != found.path(RECORD):
        raise LakehouseError(
            f"{place.name}/{name} is not in its place, or of another format ({found.format}).",
            "Use the version of the software that made it, or delete its folder.",
        )
    return found


def choose(place: Place, backup_id: str | None) -> Backup:
    """A backup by its id; the newest one without.

    Raises:
        LakehouseError: there is none.
    """
    found = backups(place)
    chosen = [b for b in found if backup_id in (None, b.id)]
    if not chosen:
        raise LakehouseError(
            f"There is no backup {backup_id} in {place.name}."
            if backup_id
            else f"{place.name} holds no backup.",
            f"There are: {', '.join(b.id for b in found)}."
            if found
            else "`lakehouse backup PLACE` makes one.",
        )
    return chosen[-1]
