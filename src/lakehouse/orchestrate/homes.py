"""The homes of a task, from Airflow's connections. Called inside tasks only: DAG files open nothing."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sqlalchemy import Engine

    from lakehouse.home.homes import Homes, S3Access

#: Airflow connection of the warehouse (type postgres, the loader role).
WAREHOUSE_CONNECTION = "lakehouse_warehouse"
#: Airflow connection of the warehouse for those who read only (type postgres, the analyst role).
ANALYST_CONNECTION = "lakehouse_analyst"
#: Airflow connection of Airflow's own database (type postgres, the role that owns it), for maintenance only.
AIRFLOW_CONNECTION = "lakehouse_airflow"
#: Airflow connection of the object store (type aws; ``endpoint_url`` in its extra when it is not AWS itself).
S3_CONNECTION = "lakehouse_s3"


def bucket() -> str:
    """The bucket that holds landing zone and lake."""
    return os.environ.get("LAKEHOUSE_BUCKET", "lakehouse")


def data_docs() -> str:
    """Where gates write their pages: a folder or ``s3://<bucket>/<prefix>``; nowhere when empty."""
    return os.environ.get("LAKEHOUSE_DATA_DOCS", "")


def site() -> str:
    """Where the site about the data is: a folder or ``s3://<bucket>/<prefix>``; nowhere when empty."""
    return os.environ.get("LAKEHOUSE_SITE", "")


@contextmanager
def open_homes() -> Iterator[Homes]:
    """The two homes, reached through ``lakehouse_warehouse`` and ``lakehouse_s3``; closed at the end.

    An S3 connection without a key leaves authentication to the machine's role (AWS's default chain).
    """
    from lakehouse.home.homes import Homes

    with open_warehouse() as engine:
        yield Homes(engine, s3_access(), bucket(), data_docs())


def s3_access() -> S3Access:
    """The object store, as the connection ``lakehouse_s3`` tells."""
    from airflow.providers.amazon.aws.hooks.s3 import S3Hook

    from lakehouse.home.homes import S3Access

    store = S3Hook(aws_conn_id=S3_CONNECTION).conn_config
    return S3Access(
        endpoint=store.get_service_endpoint_url("s3") or "",
        access_key=store.aws_access_key_id or "",
        secret_key=store.aws_secret_access_key or "",
        region=store.region_name or "us-east-1",
    )


@contextmanager
def open_warehouse(connection: str = WAREHOUSE_CONNECTION) -> Iterator[Engine]:
    """The warehouse alone, for tasks that only ask it; closed at the end."""
    from airflow.providers.postgres.hooks.postgres import PostgresHook

    from lakehouse.home.homes import open_engine

    engine = open_engine(PostgresHook(postgres_conn_id=connection).sqlalchemy_url, "lakehouse-airflow")
    try:
        yield engine
    finally:
        engine.dispose()
