"""Real servers for tests: one Postgres and one MinIO per test process, fresh database and bucket per test.

Each pytest-xdist worker is a process of its own and so has servers of its own, on free ports, in its
temporary folder. They end with the process, even when it is killed.
"""

from __future__ import annotations

import shutil
import tempfile
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from lakehouse.home.homes import Homes
from lakehouse.home.settings import Settings
from lakehouse.stack import postgres, s3
from lakehouse.stack.postgres import LOADER, PostgresServer
from lakehouse.stack.s3 import S3Server


@pytest.fixture(scope="session")
def server_folder() -> Iterator[Path]:
    """A folder that the account of Postgres can enter (pytest's own temporary folders are private)."""
    folder = Path(tempfile.mkdtemp(prefix="lakehouse-test-"))
    folder.chmod(0o711)
    yield folder
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="session")
def pg_server(server_folder: Path) -> Iterator[PostgresServer]:
    """PostgreSQL 18 with the roles `lakehouse_loader` and `lakehouse_analyst`."""
    server = postgres.start_postgres(server_folder)
    yield server
    server.stop()


@pytest.fixture(scope="session")
def s3_server(server_folder: Path) -> Iterator[S3Server]:
    """MinIO."""
    server = s3.start_s3(server_folder)
    yield server
    server.stop()


@pytest.fixture
def homes(pg_server: PostgresServer, s3_server: S3Server) -> Iterator[Homes]:
    """An empty database (owned by the loader) and an empty bucket, both dropped after the test."""
    with fresh_homes(pg_server, s3_server) as made:
        yield made


@contextmanager
def fresh_homes(pg_server: PostgresServer, s3_server: S3Server) -> Iterator[Homes]:
    """An empty database (owned by the loader) and an empty bucket, for as long as they are needed."""
    name = f"test-{uuid.uuid4().hex[:12]}"
    database = name.replace("-", "_")
    postgres.create_database(pg_server, database, LOADER)
    settings = Settings.model_validate(
        {
            "pg_dsn": pg_server.dsn(LOADER, database),
            "s3_endpoint": s3_server.endpoint,
            "bucket": name,
            "access_key": s3_server.access_key,
            "secret_key": s3_server.secret_key,
            "data_docs": "",
        }
    )
    opened = Homes.open(settings)
    opened.s3_client().create_bucket(Bucket=name)
    yield opened
    opened.engine.dispose()
    postgres.drop_database(pg_server, database)
    empty_and_delete(opened)


@pytest.fixture
def analyst_dsn(homes: Homes, pg_server: PostgresServer) -> str:
    """DSN of the analyst on the test's own database."""
    return pg_server.dsn(postgres.ANALYST, str(homes.engine.url.database))


def empty_and_delete(homes: Homes) -> None:
    """Delete a test's bucket with all that is in it."""
    client = homes.s3_client()
    for page in client.get_paginator("list_objects_v2").paginate(Bucket=homes.bucket):
        keys = [{"Key": entry["Key"]} for entry in page.get("Contents", [])]
        if keys:
            client.delete_objects(Bucket=homes.bucket, Delete={"Objects": keys})  # type: ignore[typeddict-item]
    client.delete_bucket(Bucket=homes.bucket)
