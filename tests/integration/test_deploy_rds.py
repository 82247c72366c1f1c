"""The SQL of docs/deploy/managed-airflow.md on a Postgres whose administrator is no superuser, as on RDS."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import psycopg2
import pytest

from lakehouse.contract import Project
from lakehouse.home import warehouse
from lakehouse.home.homes import Homes
from lakehouse.home.settings import Settings
from lakehouse.stack import postgres
from lakehouse.stack.network import LOOPBACK, any_free_port
from lakehouse.stack.s3 import S3Server
from lakehouse.stack.tether import start_tethered

from ..conftest import empty_and_delete

pytestmark = pytest.mark.servers

PAGE = Path(__file__).resolve().parents[2] / "docs" / "deploy" / "managed-airflow.md"
PASSWORD = "a-password-of-this-test"


@pytest.fixture(scope="module")
def port(server_folder: Path) -> Iterator[int]:
    """A Postgres without any of our roles, with a master like that of RDS."""
    folder, port = server_folder / "rds", any_free_port()
    place = postgres.place_for(folder)
    postgres.initialise(place, PASSWORD)
    command = place.command(port, throwaway=True)
    server = start_tethered(command, log=folder / "log", stop_signal="INT", account=place.account)
    postgres.wait_until_ready(dsn(port, "postgres", "postgres"), alive=server)
    run(port, "postgres", [f"create role master login createrole createdb password '{PASSWORD}'"])
    yield port
    server.stop()


def dsn(port: int, user: str, database: str) -> str:
    return f"postgresql://{user}:{PASSWORD}@{LOOPBACK}:{port}/{database}"


def run(port: int, user: str, statements: list[str], database: str = "postgres") -> None:
    postgres.execute(dsn(port, user, database), statements)


def test_the_page_makes_a_warehouse_without_a_superuser(
    port: int, s3_server: S3Server, flow_project: Project
) -> None:
    (script,) = re.findall(r"```sql\n(.+?)```", PAGE.read_text(), re.DOTALL)
    script = re.sub(r"'[A-Z]+_PASSWORD'", f"'{PASSWORD}'", script)
    run(port, "master", [line for line in script.split(";\n") if line.strip()])
    homes = Homes.open(
        Settings.model_validate(
            {
                "pg_dsn": dsn(port, postgres.LOADER, "lakehouse"),
                "s3_endpoint": s3_server.endpoint,
                "bucket": "rds",
                "access_key": s3_server.access_key,
                "secret_key": s3_server.secret_key,
            }
        )
    )
    try:
        assert warehouse.prepare(homes, flow_project)
        run(port, postgres.ANALYST, ["select * from gold.kpi_daily"], "lakehouse")
        with pytest.raises(psycopg2.errors.InsufficientPrivilege):
            run(port, postgres.ANALYST, ["delete from gold.kpi_daily"], "lakehouse")
        with pytest.raises(psycopg2.OperationalError, match="permission denied for database"):
            run(port, postgres.ANALYST, ["select 1"], "airflow")
        run(port, postgres.AIRFLOW, ["create table probe (a int)"], "airflow")
    finally:
        homes.engine.dispose()
        empty_and_delete(homes)
