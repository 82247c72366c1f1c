"""`prepare`: the set-up steps of a deployment, each run once by a job of its own before the servers start.

The laptop's `lakehouse up` takes the same steps.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Annotated

import typer

from lakehouse.errors import LakehouseError


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(prepare)


def prepare(
    what: Annotated[str, typer.Argument(help="`database`, `store`, `homes` or `pools`.")],
) -> None:
    """Set up one part of a deployment (not needed on a laptop: `lakehouse up` does all of it). Safe to repeat.

    `database`: the roles and databases of Postgres, as its superuser. `store`: MinIO's buckets and keys, as its root.
    `homes`: schemas and tables, as the loader (and buckets, where the pipeline's key may make them). `pools`: Airflow's
    pools, over its API, as its operator. Endpoints and credentials come from the environment; `.env.example` explains
    each variable.

    Example: `lakehouse prepare homes`
    """
    steps = {"database": _database, "store": _store, "homes": _homes, "pools": _pools}
    if what not in steps:
        raise LakehouseError(f"There is no part `{what}`.", f"There are: {', '.join(steps)}.")
    steps[what]()
    typer.echo(f"{what}: ready")


def _database() -> None:
    from lakehouse.stack import postgres
    from lakehouse.stack.service import Deployment

    server = Deployment().server()
    postgres.wait_until_ready(server.superuser_dsn)
    postgres.create_roles(server)
    postgres.create_database(server, postgres.WAREHOUSE_DATABASE, postgres.LOADER)
    postgres.create_database(server, postgres.AIRFLOW_DATABASE, postgres.AIRFLOW)


def _store() -> None:
    from lakehouse.cli.context import set_up_store
    from lakehouse.contract import Project
    from lakehouse.stack import s3
    from lakehouse.stack.service import Deployment

    told = Deployment()
    root = s3.S3Server(
        told.s3_endpoint, told.s3_root_user, told.secret("s3_root_password"), region=told.region
    )
    s3.wait_until_ready(root.endpoint)
    set_up_store(Project.load(), root, told.store_keys(), told.bucket, told.logs.removeprefix("s3://"))


def _homes() -> None:
    from lakehouse.cli.context import open_homes, prepare_homes
    from lakehouse.stack.service import Deployment

    prepare_homes()
    logs = Deployment().logs.removeprefix("s3://").partition("/")[0]
    if logs:
        homes = open_homes()
        replace(homes, bucket=logs).ensure_bucket()
        homes.engine.dispose()


def _pools() -> None:
    from lakehouse.orchestrate.pools import POOLS
    from lakehouse.stack.airflow import OPERATOR
    from lakehouse.stack.airflow_api import AirflowApi
    from lakehouse.stack.service import Deployment

    told = Deployment()
    with AirflowApi(told.airflow_url, OPERATOR, told.secret("airflow_operator_password")) as api:
        api.set_pools(POOLS)
