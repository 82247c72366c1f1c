"""The servers that tests and the laptop stack stand on."""

from __future__ import annotations

import subprocess
import sys
import textwrap
from pathlib import Path

import psutil
import psycopg2
import pytest
from sqlalchemy import text

from lakehouse.home.homes import Homes
from lakehouse.stack.postgres import PostgresServer

pytestmark = pytest.mark.servers


def test_homes_are_empty_and_usable(homes: Homes) -> None:
    with homes.engine.begin() as connection:
        connection.execute(text("CREATE TABLE answer AS SELECT 42 AS value"))
        assert connection.execute(text("SELECT value FROM answer")).scalar_one() == 42
    homes.s3_client().put_object(Bucket=homes.bucket, Key="a/b", Body=b"x" * 10)
    assert homes.filesystem().get_file_info(f"{homes.bucket}/a/b").size == 10


def test_postgres_is_version_18_in_utf8_and_utc(pg_server: PostgresServer, homes: Homes) -> None:
    with homes.engine.connect() as connection:
        names = ("server_version_num", "server_encoding", "timezone")
        shown = {name: connection.execute(text(f"SHOW {name}")).scalar_one() for name in names}
    assert shown["server_version_num"].startswith("18")
    assert (shown["server_encoding"], shown["timezone"]) == ("UTF8", "UTC")


def test_postgres_refuses_a_wrong_password_and_strangers(pg_server: PostgresServer, analyst_dsn: str) -> None:
    with pytest.raises(psycopg2.OperationalError, match="password authentication failed"):
        psycopg2.connect(analyst_dsn.replace(pg_server.passwords["lakehouse_analyst"], "wrong"))
    with pytest.raises(psycopg2.OperationalError, match="permission denied for database"):
        psycopg2.connect(pg_server.dsn("airflow", analyst_dsn.rsplit("/", 1)[1]))


def test_servers_end_when_their_starter_is_killed(
    tmp_path_factory: pytest.TempPathFactory, server_folder: Path
) -> None:
    folder = server_folder / "orphans"
    folder.mkdir(mode=0o711)
    script = textwrap.dedent(
        f"""
        import os, pathlib, signal
        from lakehouse.stack import postgres, s3
        home = pathlib.Path({str(folder)!r})
        servers = [postgres.start_postgres(home), s3.start_s3(home)]
        print(*(server.tethered.process.pid for server in servers), flush=True)
        os.kill(os.getpid(), signal.SIGKILL)
        """
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=False, timeout=60
    )
    started = [int(pid) for pid in done.stdout.split()]
    assert len(started) == 2, done.stderr
    waiting = [psutil.Process(pid) for pid in started if psutil.pid_exists(pid)]
    _, alive = psutil.wait_procs(waiting, timeout=20)
    assert alive == []
    assert [
        p for p in psutil.process_iter(["cmdline"]) if str(folder) in " ".join(p.info["cmdline"] or [])
    ] == []
