"""`pg_dump` and `pg_restore`: which ones, and how they are called."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from sqlalchemy.engine import URL

from lakehouse.backup.places import Hashing, Place, Written
from lakehouse.errors import LakehouseError

#: A publish has a table for seconds only.
_LOCK_WAIT = "60s"


@dataclass(frozen=True)
class Programs:
    """The folders to look into before PATH."""

    folders: tuple[Path, ...] = ()

    def find(self, name: str, major: int) -> str:
        """The first program of this name that knows servers of this major version.

        Raises:
            LakehouseError: there is none.
        """
        beside = (folder / name for folder in (*self.folders, Path(f"/usr/lib/postgresql/{major}/bin")))
        found = [str(path) for path in beside if path.is_file()]
        if on_path := shutil.which(name):
            found.append(on_path)
        for program in found:
            if _major(program) >= major:
                return program
        raise LakehouseError(
            f"There is no {name} of PostgreSQL {major} or newer"
            + (f" (found: {', '.join(found)})." if found else "."),
            f"Install the client programs of PostgreSQL {major}, and put them on PATH.",
        )


def _major(program: str) -> int:
    told = subprocess.run([program, "--version"], capture_output=True, text=True, check=False).stdout
    found = re.search(r"(\d+)", told)
    return int(found.group(1)) if found else 0


def dump(program: str, url: URL, snapshot: str, place: Place, name: str) -> Written:
    """Stream a database, as an exported snapshot shows it, into an object.

    The stage is left out: its rows belong to runs at work, whose lake files are not in a backup either. So are rights
    on what the server itself brings, which whoever sets up a server gives.

    Raises:
        LakehouseError: pg_dump failed; nothing was written.
    """
    command = [
        program,
        "--format=custom",
        "--compress=gzip:1",
        f"--snapshot={snapshot}",
        f"--lock-wait-timeout={_LOCK_WAIT}",
        "--exclude-schema=pg_catalog",
        "--exclude-table=stage.*",
        "--statistics",
        *_database(url),
    ]
    with subprocess.Popen(
        command, env=_environment(url), stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as process:
        assert process.stdout is not None  # noqa: S101 - for the type checker
        source = _UntilSuccess(process, process.stdout)
        try:
            place.write(name, source, long=True)
        finally:
            process.kill()
    return source.written


class _UntilSuccess(Hashing):
    """What a program prints. Its end is an end only when the program has succeeded."""

    def __init__(self, process: subprocess.Popen[bytes], stream: object) -> None:
        super().__init__(stream)  # type: ignore[arg-type]
        self._process = process

    def read(self, size: int = -1) -> bytes:
        data = super().read(size)
        if not data and self._process.wait() != 0:
            assert self._process.stderr is not None  # noqa: S101 - for the type checker
            raise LakehouseError(
                f"pg_dump failed: {self._process.stderr.read().decode(errors='replace').strip()}",
                "Nothing was backed up. Mend this and run the same command again.",
            )
        return data


def restore(program: str, url: URL, archive: Path, jobs: int) -> None:
    """Fill an empty database from an archive.

    Raises:
        LakehouseError: pg_restore failed; the database is half filled.
    """
    command = [
        program,
        "--exit-on-error",
        "--no-owner",
        f"--jobs={jobs}",
        *_database(url),
        str(archive),
    ]
    done = subprocess.run(command, env=_environment(url), capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise LakehouseError(
            f"pg_restore failed: {done.stderr.strip()}",
            "Nobody can use the half-filled warehouse. Mend this and run the same command again.",
        )


def _database(url: URL) -> Sequence[str]:
    """The database to speak to; its password is in the environment, where other users of the machine cannot read it."""
    parts = {key: value for key, value in url.translate_connect_args().items() if key != "password"}
    names = {"username": "user", "database": "dbname"}
    told = {names.get(key, key): str(value) for key, value in parts.items()}
    told |= {key: str(value) for key, value in url.query.items()}
    quoted = (
        f"{key}='{value.replace(chr(92), chr(92) * 2).replace(chr(39), chr(92) + chr(39))}'"
        for key, value in told.items()
    )
    return ["--no-password", f"--dbname={' '.join(quoted)}"]


def _environment(url: URL) -> dict[str, str]:
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("PG")}
    return {**inherited, "PGPASSWORD": url.password or "", "PGAPPNAME": "lakehouse-backup"}
