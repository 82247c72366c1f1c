"""A Postgres and a MinIO that are killed, or started with other settings, over the same data and on the same port."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from lakehouse.errors import StackError
from lakehouse.stack import postgres, s3
from lakehouse.stack.minio import resolve_minio
from lakehouse.stack.postgres import PostgresServer, place_for, wait_until_ready
from lakehouse.stack.s3 import S3Server
from lakehouse.stack.tether import start_tethered


@dataclass
class MortalPostgres:
    """Waits for the disk, unlike other servers of tests: what was committed is there after a kill."""

    home: Path
    server: PostgresServer

    @classmethod
    def start_in(cls, home: Path) -> MortalPostgres:
        """A new one in a folder that its account can enter."""
        home.mkdir(mode=0o711, exist_ok=True)
        return cls(home, postgres.start_postgres(home, throwaway=False))

    @property
    def pid(self) -> int:
        """The postmaster."""
        return int((place_for(self.home).data / "postmaster.pid").read_text().split()[0])

    def kill(self) -> None:
        """As if the machine had lost its memory: nobody gets a chance to write anything."""
        tethered = self.server.tethered
        assert tethered is not None
        os.kill(self.pid, signal.SIGKILL)
        tethered.process.wait(30)

    def start(self, environment: Mapping[str, str] | None = None) -> None:
        """The same port and the same data; ``environment``: variables beside those of this process."""
        place = place_for(self.home)
        for _ in range(100):
            tethered = start_tethered(
                place.command(self.server.port),
                log=self.home / "postgres.log",
                stop_signal="INT",
                account=place.account,
                environment=os.environ | (environment or {}),
            )
            self.server = replace(self.server, tethered=tethered)
            # The killed server's children may take a moment to notice, and have its memory until then.
            try:
                wait_until_ready(self.server.superuser_dsn, alive=tethered)
            except StackError:
                time.sleep(0.1)
                continue
            return
        raise AssertionError((self.home / "postgres.log").read_text()[-2000:])

    def restart(self, environment: Mapping[str, str] | None = None) -> None:
        """Stop it in good order and start it again."""
        self.server.stop()
        self.start(environment)


@dataclass
class MortalStore:
    """MinIO."""

    home: Path
    server: S3Server

    @classmethod
    def start_in(cls, home: Path) -> MortalStore:
        """A new one."""
        home.mkdir(mode=0o711, exist_ok=True)
        return cls(home, s3.start_s3(home))

    @property
    def port(self) -> int:
        """Where it listens."""
        return int(self.server.endpoint.rpartition(":")[2])

    def kill(self) -> None:
        """kill -9 of the shell that holds it, and of itself."""
        tethered = self.server.tethered
        assert tethered is not None
        os.killpg(tethered.process.pid, signal.SIGKILL)
        tethered.process.wait(30)

    def start(self) -> None:
        """The same port and the same data."""
        data = self.home / "s3" / "data"
        tethered = start_tethered(
            s3.minio_command(resolve_minio(), data, self.port),
            log=self.home / "s3.log",
            environment={
                **os.environ,
                **s3.minio_environment(self.server.access_key, self.server.secret_key),
            },
        )
        self.server = replace(self.server, tethered=tethered)
        s3.wait_until_ready(self.server.endpoint, alive=tethered)
